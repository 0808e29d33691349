"""The portal's answers as bytes: its two error shapes, its HTML, its headers, as recorded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Final

import orjson

from simulator.quirks import Rule

HEADERS: Final = {
    "access-control-allow-credentials": "true",
    "access-control-allow-headers": "Content-Type,Authorization,X-Requested-With,Content-Length,Accept,Origin,",
    "access-control-allow-methods": "GET,PUT,POST,DELETE,OPTIONS",
    "access-control-allow-origin": "*",
    "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
    "Expires": "0",
    "pragma": "no-cache",
    "strict-transport-security": "max-age=15768000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-xss-protection": "1; mode=block",
}
JSON: Final = "application/json"  # never with a charset, though the bytes are UTF-8
HTML: Final = "text/html"

THROTTLED: Final = (
    '<html>\n<head>\n    <meta charset="UTF-8">\n    <title>Limite de Requisições Excedido</title>\n</head>\n<body>\n'
    "    <h2>Limite de requisições excedido</h2>\n\n    <p>Aguarde alguns instantes e tente novamente.</p>\n"
    "</body>\n</html>\n"
).encode()
NO_CONNECTION: Final = "Failed to obtain JDBC Connection; nested exception is java.sql.SQLTransientConnectionException"
NO_DATABASE: Final = "Erro na comunicação com o banco de dados."
NO_QUERY: Final = "Erro ao processar a consulta."
NO_INPUT: Final = 'For input string: ""'  # the portal failing on a record of its own
NO_CONTRATACAO: Final = "Contratação não cadastrada."
NO_CONTRATO: Final = "Contrato não cadastrado."
NO_ITEMS: Final = "Nenhum item encontrado para a contratação."
NO_CNPJ: Final = "Obrigatório que o CNPJ do órgão seja informado."
# Not recorded: what the portal says of these.
NO_PCA: Final = "Plano de Contratações não cadastrado."
NO_ITEM: Final = "Item não cadastrado."
NO_ENTRY: Final = "Nenhum registro encontrado."
NO_CHILDREN: Final = {
    "resultados": "Nenhum resultado encontrado para o item.",
    "arquivos": "Nenhum documento encontrado.",
    "termos": "Nenhum termo encontrado para o contrato.",
    "historico": "Nenhum histórico encontrado.",
}


@dataclass(slots=True)
class Answer:
    """One answer of the portal: `body` None means none at all, as with 204."""

    status: int
    body: bytes | None = None
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(value: Any, status: int = 200) -> Answer:
    """`value` as JSON."""
    return Answer(status, orjson.dumps(value))


def nothing_found() -> Answer:
    """204: no body, yet labelled application/json."""
    return Answer(HTTPStatus.NO_CONTENT)


def spring_error(status: int, message: str | None, path: str, now: datetime) -> Answer:
    """The error body of Spring: `status` is a number, the stamp is UTC. `now` is Brasília wall clock, `path` that of
    the caller.
    """
    stamp = (now + timedelta(hours=3)).isoformat(timespec="milliseconds") + "+00:00"
    told = {} if message is None else {"message": message}
    return json_answer(
        {"timestamp": stamp, "status": status, "error": HTTPStatus(status).phrase, **told, "path": inner_path(path)},
        status,
    )


def validation_error(message: str, path: str, now: datetime) -> Answer:
    """The error body of the date rules: `status` is a string, the stamp is Brasília time with its offset."""
    stamp = now.isoformat(timespec="milliseconds") + "-03:00"
    body = {
        "path": inner_path(path),
        "message": message,
        "error": "422 UNPROCESSABLE_ENTITY",
        "timestamp": stamp,
        "status": "422",
    }
    return json_answer(body, HTTPStatus.UNPROCESSABLE_ENTITY)


def absent(message: str) -> Answer:
    """404 of the integration API, where `status` is a string again."""
    return json_answer({"status": "404", "error": "404 NOT_FOUND", "message": message}, HTTPStatus.NOT_FOUND)


def inner_path(path: str) -> str:
    """The path as the services behind the edge see it: `/pncp-consulta/v1/...`, `/pncp-api/v1/...`."""
    return path.replace("/api/consulta/", "/pncp-consulta/", 1).replace("/api/pncp/", "/pncp-api/", 1)


def page_of_html(title: str) -> bytes:
    """What gateways and firewalls say."""
    head = f"<html>\n<head><title>{title}</title></head>\n"
    return f"{head}<body>\n<center><h1>{title}</h1></center>\n</body>\n</html>\n".encode()


def throttled(retry_after: Any = None) -> Answer:
    """429 as the edge answers it; `retry_after` is the header's text ('date': an HTTP date two seconds ahead), None for
    none.
    """
    return Answer(HTTPStatus.TOO_MANY_REQUESTS, THROTTLED, HTML, _retry_after(retry_after))


def fault_answer(rule: Rule, path: str, now: datetime) -> Answer | None:
    """The answer a rule puts in place of the true one; None for rules that act on the wire or on the true answer."""
    make = _FAULTS.get(rule.name)
    return None if make is None else make(rule, path, now)


def _nested(depth: int) -> Answer:
    return Answer(HTTPStatus.OK, envelope([b"[" * depth + b"]" * depth], 1, 1, 1))


def _gateway(rule: Rule, _path: str, _now: datetime) -> Answer:
    title = f"{rule.name} {HTTPStatus(int(rule.name)).phrase}"
    return Answer(int(rule.name), page_of_html(title), HTML, _retry_after(rule.value))


def _refused_by_gateway(status: HTTPStatus) -> Answer:
    return Answer(status, page_of_html(f"{status.value} {status.phrase}"), HTML)


def _any_body(told: Mapping[str, Any]) -> Answer:
    return Answer(told.get("status", 200), told.get("text", "").encode(), told.get("content_type", JSON))


_FAULTS: Final[dict[str, Callable[[Rule, str, datetime], Answer]]] = {
    "400": lambda rule, path, now: spring_error(400, rule.value or "Failed to convert value", path, now),
    "401": lambda _rule, path, now: spring_error(401, None, path, now),
    "403": _gateway,
    "404": lambda rule, _path, _now: absent(rule.value or NO_CONTRATACAO),
    "422": lambda rule, path, now: validation_error(rule.value or "Data Inicial inválida", path, now),
    "429": lambda rule, _path, _now: throttled(rule.value),
    "500": lambda _rule, path, now: spring_error(500, NO_CONNECTION, path, now),
    "500_plain": lambda _rule, _path, _now: Answer(500, NO_DATABASE.encode()),
    "502": _gateway,
    "503": _gateway,
    "504": _gateway,
    "html_200": lambda _rule, _path, _now: Answer(200, THROTTLED, HTML),
    "redirect": lambda rule, path, _now: Answer(
        302, None, HTML, {"Location": rule.value or f"http://redirected.invalid{path}"}
    ),
    "no_content": lambda _rule, _path, _now: nothing_found(),
    "nested": lambda rule, _path, _now: _nested(rule.value or 1_000_000),
    "html_block": lambda _rule, _path, _now: Answer(200, page_of_html("Request Rejected"), HTML),
    "forbidden": lambda _rule, _path, _now: _refused_by_gateway(HTTPStatus.FORBIDDEN),
    "bad_400": lambda _rule, path, now: spring_error(400, NO_INPUT, path, now),
    "query_failed": lambda _rule, path, now: spring_error(500, NO_QUERY, path, now),
    "items_down": lambda _rule, _path, _now: _refused_by_gateway(HTTPStatus.SERVICE_UNAVAILABLE),
    "poison_items": lambda _rule, _path, _now: _refused_by_gateway(HTTPStatus.SERVICE_UNAVAILABLE),
    "body": lambda rule, _path, _now: _any_body(rule.value or {}),
}


def envelope(data: list[bytes], total: Any, pages: Any, page: Any) -> bytes:
    """A page of a listing. `total`, `pages` and `page` are numbers, unless a quirk says otherwise."""
    left = pages - page if isinstance(pages, int) and isinstance(page, int) else 0
    tail = {
        "totalRegistros": total,
        "totalPaginas": pages,
        "numeroPagina": page,
        "paginasRestantes": left,
        "empty": not data,
    }
    return b'{"data":[' + b",".join(data) + b"]," + orjson.dumps(tail)[1:]


def _retry_after(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if value == "date":
        # As HTTP writes dates, whole seconds in GMT.
        return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)}
    return {"Retry-After": str(value)}
