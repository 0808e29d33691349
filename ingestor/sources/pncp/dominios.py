"""The entries of the portal's domain tables."""

from typing import Any

import msgspec

from common.resources.dominios import DomainTable
from ingestor.sources.pncp.envelope import NotAPageError, check_body, decode_any_array, decode_array, decode_or_mend
from ingestor.sources.pncp.mending import REFUSED_ESCAPE, mend
from ingestor.sources.values import DomainEntry

LONGEST_CODE = 250
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def parse_domain_table(table: DomainTable, body: bytes) -> list[DomainEntry]:
    """All entries of a list, each code once: where one comes twice, the later stands.

    Raises:
        NotAPageError: not JSON, not an array, or an entry without a code: then nothing of the list is believed.

    """
    check_body(body, decode_any_array)
    try:
        whole = mend(body) if REFUSED_ESCAPE.search(body) else body
        entries = [_parse_entry(table, bytes(raw)) for raw in decode_or_mend(decode_array, whole)]
    except (ValueError, RecursionError) as error:
        raise NotAPageError(str(error)) from None
    return list({entry.codigo: entry for entry in entries}.values())


def _parse_entry(table: DomainTable, raw: bytes) -> DomainEntry:
    found = _decode_object(raw)
    payload = raw.decode()
    if not table.joins:
        active = found.get("statusAtivo")
        return DomainEntry(
            codigo=_code(found),
            nome=_text(found.get("nome")),
            descricao=_text(found.get("descricao")),
            ativo=active if isinstance(active, bool) else None,
            payload=payload,
        )
    joined = [found.get(name) for name in table.joins]
    names = [_text(each.get("nome")) for each in joined if isinstance(each, dict)]
    return DomainEntry(
        codigo="/".join(_code(each) for each in joined),
        nome="/".join(filter(None, names)) or None,
        descricao=None,
        ativo=None,
        payload=payload,
    )


def _code(found: object) -> str:
    """The id of an object, a number or a text."""
    value = found.get("id") if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | str) or not 0 < len(str(value)) <= LONGEST_CODE:
        raise NotAPageError("an entry has no code")
    return str(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
