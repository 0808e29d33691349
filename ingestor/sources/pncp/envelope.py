"""The envelopes of the portal's JSON: pages of a listing, lists, and counts; what is too much to be looked into."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from ingestor.sources.pncp.bodies import is_utf8
from ingestor.sources.pncp.completeness import fewest_rows
from ingestor.sources.pncp.mending import mend

MANY_SEPARATORS = 100_000
"""Commas of a body from which on its entries are counted before an object is made of each: a list of 1,400 items."""
MOST_OBJECTS = 100_000
"""Objects in a body with many separators, inner ones counted: the longest lists of items have some thousands."""


class NotAPageError(ValueError):
    """A body that is not the JSON it should be."""


class AnotherPageError(NotAPageError):
    """A page of the listing, but not the one that was asked for."""


@dataclass(frozen=True)
class Page:
    """One page of a listing; an empty listing is page 1 without records, which else are parts of the answer's body.

    `rows` is how many it counts in the totals.
    """

    number: int
    total_registros: int
    total_paginas: int
    records: list[Raw]
    rows: int = 0


class _Envelope(Struct, frozen=True):
    data: list[Raw]
    total_registros: Annotated[int, Meta(ge=0, lt=2**40)] = field(name="totalRegistros")
    total_paginas: Annotated[int, Meta(ge=0, lt=2**31)] = field(name="totalPaginas")
    numero_pagina: int = field(name="numeroPagina")


class _Anything(Struct, gc=False):
    """An object that is not looked into."""


class _AnyEnvelope(Struct, gc=False):
    data: list[_Anything]


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_any_envelope = msgspec.json.Decoder(_AnyEnvelope).decode
_decode_quantidade: Callable[[bytes], int] = msgspec.json.Decoder(Annotated[int, Meta(ge=0, lt=2**31)]).decode
decode_array = msgspec.json.Decoder(list[Raw]).decode
decode_any_array = msgspec.json.Decoder(list[_Anything]).decode
D = TypeVar("D")


def parse_page(body: bytes, number: int, *, full_page: int = 0, counts: str | None = None) -> Page:
    """Read the envelope of page `number`; before the last page, one holds at least `full_page` rows.

    A row is a record, or with `counts` an entry of this array of one.

    Raises:
        AnotherPageError: another page than was asked for, though not page 1.
        NotAPageError: not UTF-8, not JSON, another shape, totals that contradict each other, or too few records.

    """
    check_body(body, _decode_any_envelope)
    envelope = decode_or_mend(_decode_envelope, body)
    rows = [1] * len(envelope.data) if counts is None else _entries(envelope.data, counts)
    total, pages, count = envelope.total_registros, envelope.total_paginas, sum(rows)
    kind = AnotherPageError if number > 1 else NotAPageError
    if envelope.numero_pagina != number:
        raise kind(f"page {envelope.numero_pagina} came instead of page {number}")
    if number > max(pages, 1):
        raise kind(f"the listing has {pages} page(s)")
    if number == 1 and count < total and pages <= 1:
        raise NotAPageError(f"{total} records are promised on {pages} page(s) and {count} came")
    if pages > max(total, 1):
        raise NotAPageError(f"{total} records are promised on {pages} pages, too few to fill them")
    if number == 1 and total and not count:
        raise NotAPageError(f"{total} records are promised and page 1 is empty")
    fewest = fewest_rows(number, total, pages, full_page)
    if 0 < count < fewest:
        raise NotAPageError(
            f"{count} records came on a page before the last of {pages}, at least {fewest} belong there"
        )
    return Page(number, total, pages, envelope.data, count)


def _entries(records: list[Raw], name: str) -> list[int]:
    """How many entries each record has of this array; one that has none, or is no object, is a row itself."""
    decode = _array_decoder(name)
    found = []
    for record in records:
        try:
            found.append(max(len(decode(record).entries), 1))
        except msgspec.ValidationError:
            found.append(1)
    return found


@cache
def _array_decoder(name: str) -> Callable[[Raw], Any]:
    kind = msgspec.defstruct("_Array", [("entries", list[_Anything], field(name=name))])
    return msgspec.json.Decoder(kind).decode


def parse_quantidade(body: bytes) -> int:
    """Read how many entries a list has, a bare integer.

    Raises:
        NotAPageError: anything else.

    """
    try:
        return _decode_quantidade(body)
    except (ValueError, RecursionError) as error:
        raise NotAPageError(f"no number of entries: {error}") from None


def check_body(body: bytes, decode: Callable[[bytes], object]) -> None:
    """Refuse what is not text, and more entries than any answer has, before an object is made of each of them.

    `decode` looks into no entry and makes as little of it as can be: entries that are no objects are refused.
    """
    if not is_utf8(body):
        raise NotAPageError("not UTF-8")
    if len(body) < MANY_SEPARATORS or body.count(b",") < MANY_SEPARATORS:
        return
    if body.count(b"{") > MOST_OBJECTS:
        raise NotAPageError(f"more than {MOST_OBJECTS} objects")
    try:
        decode(body)
    except (ValueError, RecursionError) as error:
        raise NotAPageError(f"more than {MANY_SEPARATORS} separators, and {error}") from None


def decode_or_mend(decode: Callable[[bytes], D], body: bytes) -> D:
    """Decode a body, mended where it is no JSON; `NotAPageError` where it is not of the shape either way."""
    try:
        return decode(body)
    except RecursionError:
        raise NotAPageError("the body is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise NotAPageError(f"not the expected shape: {error}") from None
    except msgspec.DecodeError:
        pass  # one record with NaN or a lone surrogate must not cost the page, so the whole is read leniently
    try:
        return decode(mend(body))
    except (ValueError, RecursionError) as error:
        raise NotAPageError(f"not JSON: {error}") from None
