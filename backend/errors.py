"""Every error as `application/problem+json` (RFC 9457), without internals, with a `detail` that a person can act on.

The texts are in Brazilian Portuguese because administrators read them.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from backend.metrics import Metrics
from common.database import cause_of, is_database_trouble

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 10
MOST_FAULTS = 20


def _documented(code: int, description: str) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {code: {"description": description, "content": {"application/problem+json": {"schema": schema}}}}


PROBLEM_RESPONSES = {
    **_documented(400, "O corpo não pôde ser lido, ou o endereço pedido não é deste serviço"),
    **_documented(413, "O corpo passa do limite"),
    **_documented(422, "Algum valor não serve; `detail` diz qual e o que se espera"),
    **_documented(503, "Banco de dados ou RabbitMQ indisponível; tente depois de `Retry-After` segundos"),
}
NOT_FOUND_RESPONSE = _documented(404, "Não existe")
TOO_LONG_RESPONSE = _documented(431, "O endereço é longo demais; peça menos valores de cada vez")
CONFLICT_RESPONSE = _documented(409, "Não cabe no estado em que a execução está")
BUSY_RESPONSE = _documented(429, "Já há execuções ou pedidos demais; tente depois de `Retry-After` segundos")
UNAUTHORIZED_RESPONSE = _documented(401, "Usuário e senha (Basic) ou token (Bearer) faltam ou não servem")
FORBIDDEN_RESPONSE = _documented(403, "Só um administrador pode fazer isto")
NO_PARQUET_RESPONSE = _documented(501, "Este servidor não grava Parquet")
NO_ROOM_RESPONSE = _documented(507, "Não há espaço em disco para o arquivo")
LIMIT_RESPONSE = _documented(429, "Pedidos demais; tente depois de `Retry-After` segundos")

_FAULTS = {
    "missing": "é obrigatório",
    "extra_forbidden": "não é um campo conhecido",
    "literal_error": "deve ser {expected}",
    "string_type": "deve ser um texto",
    "int_type": "deve ser um número inteiro",
    "int_parsing": "deve ser um número inteiro",
    "int_parsing_size": "é um número grande demais",
    "int_from_float": "deve ser um número inteiro",
    "greater_than_equal": "deve ser no mínimo {ge}",
    "less_than_equal": "deve ser no máximo {le}",
    "string_pattern_mismatch": "tem um formato que não é aceito",
    "string_too_long": "é longo demais",
    "json_invalid": "não é JSON válido",
    "model_attributes_type": "deve ser um objeto JSON, enviado como application/json",
    "dict_type": "deve ser um objeto JSON",
    "list_type": "deve ser uma lista",
    "too_short": "não pode ser vazio",
    "too_long": "tem elementos demais",
    "repeated": "foi informado mais de uma vez",
}
TOO_LARGE = "O corpo do pedido passa do limite de 16 KiB."
_STATUS = {
    400: "O corpo do pedido não pôde ser lido como JSON.",
    404: "Não existe nada neste endereço.",
    405: "Este endereço não aceita este método.",
    413: TOO_LARGE,
    415: "O corpo do pedido deve ser application/json.",
}


class NotFoundError(Exception):
    """Not found; the text says what."""


class UnknownExecutionError(NotFoundError):
    """No execution has this id."""

    def __init__(self, execution_id: int) -> None:
        super().__init__(f"Não existe a execução {execution_id}.")


class PublishFailedError(Exception):
    """The broker did not confirm the message, so the execution was ended."""


class ConflictError(Exception):
    """The present state does not allow it; the text says why."""


class IdempotencyKeyReusedError(Exception):
    """The idempotency key belongs to another request."""


class TooManyUnfinishedError(Exception):
    """The limit of unfinished executions is reached."""


class TooBroadError(Exception):
    """What is asked takes too long, and would take less with a filter; the text names some."""


class TooSlowError(Exception):
    """What is asked takes too long just now; the text says what to do."""


class FileTooLargeError(Exception):
    """A file has more rows than are given at once; the text says how many, and what to do."""


class NoParquetError(Exception):
    """The extra that writes Parquet is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "Este servidor não grava Parquet: instale requirements-exports.txt, ou use a imagem com essa parte. CSV e"
            " NDJSON têm os mesmos dados."
        )


class TooManyFilesError(Exception):
    """Other files are being made or sent."""

    def __init__(self) -> None:
        super().__init__("Há arquivos demais sendo gerados. Tente de novo em alguns segundos.")


class StorageFullError(Exception):
    """There is no room for a file."""

    def __init__(self) -> None:
        super().__init__(
            "Não há lugar em disco para o arquivo (EXPORT_DIR). Use mais filtros, ou avise quem administra o servidor."
        )


class RefusedError(Exception):
    """The request is refused; answered alike by the gate and by endpoints."""

    status = 403
    detail = "Só um administrador pode fazer isto."

    def __init__(self, retry_after: int = 0) -> None:
        super().__init__(self.detail)
        self.retry_after = retry_after


class UnauthorizedError(RefusedError):
    """Unknown user or wrong password. The text is the same for both."""

    status = 401
    detail = "Informe usuário e senha (Basic) ou um token válido (Bearer)."


class ForbiddenError(RefusedError):
    """The user's role does not allow it."""


class TooManyRequestsError(RefusedError):
    """A rate limit is reached."""

    status = 429
    detail = "Pedidos demais. Espere o que diz Retry-After e tente de novo."


class TooManyLoginsError(RefusedError):
    """Too many logins wait for a password check."""

    status = 503
    detail = "Há acessos demais sendo verificados. Tente de novo em alguns segundos."


def problem(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] | None = None,
) -> Response:
    """An answer that describes an error."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")  # the caller chooses a field's name
    return Response(content, status_code=status, media_type="application/problem+json", headers=dict(headers or {}))


def refusal(error: RefusedError, headers: Headers) -> Response:
    """The answer to a refused request; for 401 with the ways to authenticate.

    `headers`: the request's. Our page is recognised by them and is not offered Basic: a browser would show its own
    dialog before the page's login and hold the page's request until then.
    """
    wait = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    answer = problem(error.status, error.detail, headers=wait)
    if isinstance(error, UnauthorizedError):
        if headers.get("X-Requested-With") != "fetch":
            answer.headers.append("WWW-Authenticate", 'Basic realm="PNCP Sync", charset="UTF-8"')
        answer.headers.append("WWW-Authenticate", 'Bearer realm="PNCP Sync"')
    return answer


_PLAIN: dict[type[Exception], int] = {
    NotFoundError: 404,
    ConflictError: 409,
    IdempotencyKeyReusedError: 422,
    TooManyUnfinishedError: 429,
    TooBroadError: 422,
    TooSlowError: 503,
    FileTooLargeError: 422,
    NoParquetError: 501,
    PublishFailedError: 503,
    TooManyFilesError: 503,
    StorageFullError: 507,
}
_WORTH_REPEATING = (409, 429, 503)


def install_error_handlers(app: FastAPI, metrics: Metrics, methods_at: Callable[[Scope], Sequence[str]]) -> None:
    """Register the handler of each kind of error. `methods_at`: the methods that the address of a request takes."""
    app.add_exception_handler(RequestValidationError, _counting_invalid(metrics))
    app.add_exception_handler(HTTPException, _naming_methods(methods_at))
    app.add_exception_handler(RefusedError, _on_refused)
    for kind, status in _PLAIN.items():
        app.add_exception_handler(kind, _plainly(status))
    for kind in (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError):
        app.add_exception_handler(kind, _on_database)
    app.add_exception_handler(Exception, on_unexpected)


def _counting_invalid(metrics: Metrics) -> Callable[[Request, Exception], Response]:
    def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for nothing else
        metrics.invalid(fault["type"] for fault in error.errors()[:MOST_FAULTS])
        return _on_invalid(request, error)

    return handler


def _on_invalid(_: Request, error: Exception) -> Response:
    """Leave the input out: it may be a secret, and NaN or a lone surrogate would make the answer itself fail."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for nothing else
    faults = error.errors()[:MOST_FAULTS]
    errors = [{"field": _field_of(fault["loc"]), "message": _message_of(fault)} for fault in faults]
    return problem(422, "; ".join(_sentence(fault) for fault in faults), errors=errors)


def _sentence(fault: Mapping[str, Any]) -> str:
    """The message, with the field in front; messages of our own validators name it themselves."""
    message = _message_of(fault)
    return message if fault["type"] == "value_error" else f"{_field_of(fault['loc']) or 'o corpo do pedido'} {message}"


def _field_of(location: Sequence[Any]) -> str:
    """`body.data_ini` as `data_ini`; empty where the whole body is at fault."""
    # a number is the position of the error in malformed JSON
    names = [str(part) for part in location if not isinstance(part, int)]
    return ".".join(names[1:])[:100]


def _message_of(fault: Mapping[str, Any]) -> str:
    known = _FAULTS.get(fault["type"])
    if known is not None:
        values = {name: str(value).replace(" or ", " ou ") for name, value in fault.get("ctx", {}).items()}
        return known.format_map(defaultdict(str, values))
    if fault["type"] == "value_error":
        return str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "parameter":  # ours, in words
        return str(fault["msg"])
    return "não é um valor aceito"


def _naming_methods(methods_at: Callable[[Scope], Sequence[str]]) -> Callable[[Request, Exception], Response]:
    def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for nothing else
        detail = _STATUS.get(error.status_code, HTTPStatus(error.status_code).phrase)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # a router names the methods of its first route only
            headers["Allow"] = ", ".join(methods_at(request.scope))
        return problem(error.status_code, detail, headers=headers)

    return handler


def _plainly(status: int) -> Callable[[Request, Exception], Response]:
    """A handler for errors whose text is meant for the caller."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status in _WORTH_REPEATING else {}

    def handler(_: Request, error: Exception) -> Response:
        return problem(status, str(error), headers=headers)

    return handler


def _on_database(request: Request, error: Exception) -> Response:
    if not is_database_trouble(error):
        return on_unexpected(request, error)
    log.warning("database is not available", path=request.url.path, cause=cause_of(error))
    detail = "O banco de dados está indisponível. Consulte o histórico antes de repetir o pedido."
    return problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101  # registered for nothing else
    return refusal(error, request.headers)


def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer 500; the traceback goes to the log only."""
    log.error("request failed unexpectedly", path=request.url.path, exc_info=error)
    return problem(500, "Erro interno. O registro do servidor (log) traz a causa.")
