"""The messages of saved searches, and the page by which a recipient unsubscribes: Brazilian Portuguese. Pure."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from backend.services.alerts.channels import Message
from backend.services.entities.address import party_path, record_path
from backend.services.entities.mirror import Mirror
from backend.services.entities.question import Question
from backend.services.entities.rows import Total
from backend.services.exports.about import title_field
from backend.services.exports.atom import in_words, page_of
from common.entities.entity import Entity
from common.masking import mask_numbers, mask_text

MOST_SHOWN = 50
LONGEST_TITLE = 200
CANCEL_PATH = "/buscas/cancelar/"


@dataclass(frozen=True)
class Found:
    """What is new: how many records there are, and the newest of them, masked, as rows of the question."""

    total: Total
    rows: Sequence[Mapping[str, Any]]
    mirror: Mirror


def list_path(entity: str, filters: Mapping[str, Sequence[str]], suffix: str = "") -> str:
    """The address of the list with these filters; `suffix`: of its file or feed."""
    query = urlencode([(name, value) for name, values in filters.items() for value in values])
    return f"/{entity}{suffix}?{query}" if query else f"/{entity}{suffix}"


def compose(
    search: Any, question: Question, found: Found, *, number: int, public_url: str | None, token: str | None = None
) -> Message:
    """The message of a search (a row of `buscas`), the same for every channel but for its `token`, of an e-mail.

    CPFs are masked: in the fields of persons they are already, and here in all texts, as a message leaves the system.
    """
    name, entity = mask_text(search.name), question.entity
    count = _count(found.total)
    path = list_path(search.entity, search.filters)
    if mask_numbers(path) != path:  # a CPF is asked for: the search itself has the address
        path = f"/buscas/{search.id}"
    link = f"{public_url or ''}{path}"
    filters = [f"{asked.filter.label}: {mask_numbers(', '.join(asked.written))}" for asked in question.asked.values()]
    records = [_record(entity, question, row, public_url) for row in found.rows]
    lines = [f"{count} em {entity.label}, na busca salva “{name}”.", *(f"- {line}" for line in filters)]
    for place, record in enumerate(records, 1):
        lines += ["", f"{place}. {record['titulo']}", *(f"   {one}" for one in _lines_of(record))]
    if found.total.number is None or found.total.number > len(records):
        lines += ["", f"Aqui estão só os {len(records)} mais novos; a lista tem todos."]
    lines += ["", f"Lista: {link}", found.mirror.to_sentence()]
    headers: dict[str, str] = {}
    if token is not None and public_url is not None:
        address = f"{public_url}{CANCEL_PATH}{token}"
        lines += ["", f"Para não receber mais estas mensagens: {address}"]
        headers["List-Unsubscribe"] = f"<{address}>"
        if address.startswith("https://"):  # RFC 8058 wants it so
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    payload = {
        "event": "saved_search",
        "alert": None,
        "busca": {"id": search.id, "nome": name, "entidade": search.entity},
        "total": found.total.number,
        "total_tipo": found.total.kind,
        "registros": records,
        "espelho": found.mirror.to_json(),
        "url": link,
    }
    subject = f"[PNCP Sync] {name}: {count}"
    thread = f"busca-{search.id}-{search.generation}-{int(search.created_at.timestamp())}"
    return Message(subject, "\n".join(lines) + "\n", payload, thread, str(number), headers)


def _count(total: Total) -> str:
    if total.number == 1 and total.kind == "exato":
        return "1 registro novo"
    return f"{total.to_words()} registros novos"


def _record(entity: Entity, question: Question, row: Mapping[str, Any], public_url: str | None) -> dict[str, Any]:
    """A row for programs: all values are texts."""
    key = [str(row[each.name]) for each in entity.key]
    title = mask_text(" ".join(str(row[title_field(entity)] or "").split()))
    path = None
    if entity.resource is not None:
        path = record_path(entity.resource, key[0])
    elif entity.party is not None:
        path = party_path(entity.party, row)
    shown = [each for each in question.fields if each.name != title_field(entity) and row[each.name] is not None]
    return {
        "chave": "/".join(key),
        "titulo": title[:LONGEST_TITLE] or " ".join(key),
        "campos": {each.label: mask_text(in_words(row[each.name])) for each in shown},
        "visto_em": _moment(row.get("visto_em")),
        "portal": page_of(entity, row),
        "detalhe": f"{public_url}{path}" if public_url and path else None,
    }


def _lines_of(record: Mapping[str, Any]) -> Sequence[str]:
    facts = [f"{label}: {' '.join(value.split())[:LONGEST_TITLE]}" for label, value in record["campos"].items()]
    links = [record[name] for name in ("portal", "detalhe") if record[name]]
    return [*facts, *links]


def _moment(value: object) -> str | None:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else None


_PAGE = """<!doctype html>
<html lang="pt-BR">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="same-origin">
<meta name="robots" content="noindex">
<title>{title}</title>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
{form}</body>
</html>
"""
# Without the referrer above, browsers send `Origin: null` with the form, which is refused.
_FORM = """<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Cancelar as mensagens</button>
</form>
"""


def unsubscribe_page(name: str | None, *, is_cancelled: bool) -> str:
    """The page of a link to unsubscribe. `name`: of the search; null where there is none any more."""
    if is_cancelled or name is None:
        return _PAGE.format(title="Mensagens canceladas", text="Esta busca salva não envia mais mensagens.", form="")
    text = f"Não receber mais as mensagens da busca salva “{html.escape(mask_text(name))}”?"
    return _PAGE.format(title="Cancelar mensagens", text=text, form=_FORM)
