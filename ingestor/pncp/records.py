"""The portal's JSON, typed: pages, records and lists of entries; which version is newer; what has to be rejected.

A record's bytes are kept beside its typed form: they are its `payload`, so that a key without a column is not lost
and a number keeps every digit.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from common.clock import to_wall_clock
from common.resources.contratacoes import CONTRATACOES
from common.resources.description import Child, Resource
from ingestor.completeness import fewest_rows
from ingestor.pncp.bodies import is_utf8
from ingestor.pncp.decoders import (
    ChildDecoders,
    Decoders,
    RejectedError,
    check_code,
    check_moment,
    check_number,
    child_decoders,
    resource_decoders,
)
from ingestor.sources.values import Drift, Entry, Itens, Record, Rejected, Stamps, compare_versions

LONGEST_JSONB_NUMBER = 10_000

MANY_SEPARATORS = 100_000
"""Commas of a body from which on its entries are counted before an object is made of each: a list of 1,400 items."""
MOST_OBJECTS = 100_000
"""Objects in a body with many separators, inner ones counted: the longest lists of items have some thousands."""
DECODED_AT_ONCE = 1024 * 1024
"""Bytes of a list that are decoded together: their texts and objects are dropped as soon as their numbers are known."""
MOST_REFUSED_ITENS = 1_000
"""Entries of one list that cannot be stored: with more of them it is no list of items."""
MOST_MENDED_BYTES = 96 * 1024 * 1024
"""Bytes of memory that the lenient reading of a body may take, about: a body of 20 MB may hold ten million arrays."""


LONGEST_KEY = 1_000
"""Bytes of an array or object in the place of a rejected record's key that are still decoded."""


class NotAPageError(ValueError):
    """A body that is not the JSON it should be."""


class AnotherPageError(NotAPageError):
    """A page of the listing, but not the one that was asked for."""


class Seen(Struct, frozen=True, gc=False):
    """A record as a listing shows it, read no further than it takes to tell whether it has to be written.

    `stamp` is the one that the listing filters on; `raw` is the whole record.
    """

    key: str
    version: Stamps
    stamp: datetime
    raw: bytes


@dataclass(frozen=True)
class Page:
    """One page of a listing; an empty listing is page 1 without records."""

    number: int
    total_registros: int
    total_paginas: int
    records: list[bytes]


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
_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_any_array = msgspec.json.Decoder(list[_Anything]).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode

_CONTROL_NUMBER = re.compile(CONTRATACOES.key_pattern)
_REFUSED_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")  # NUL and surrogates, which jsonb does not take
_REFUSED_CHARACTER = re.compile("[\x00\ud800-\udfff]")


# --- bodies -----------------------------------------------------------------------------------------------------


def parse_page(body: bytes, number: int, *, full_page: int = 0) -> Page:
    """Read the envelope of page `number`; before the last page, one holds at least `full_page` records.

    Raises:
        AnotherPageError: another page than was asked for, though not page 1.
        NotAPageError: not UTF-8, not JSON, another shape, totals that contradict each other, or too few records.

    """
    _check_body(body, _decode_any_envelope)
    envelope = _decode_or_mend(_decode_envelope, body)
    total, pages, count = envelope.total_registros, envelope.total_paginas, len(envelope.data)
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
    return Page(number, total, pages, [bytes(record) for record in envelope.data])


def _check_body(body: bytes, decode: Callable[[bytes], object]) -> None:
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


D = TypeVar("D")


def _decode_or_mend(decode: Callable[[bytes], D], body: bytes) -> D:
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


def mend(raw: bytes) -> bytes:
    """The same JSON without what PostgreSQL refuses: NUL and lone surrogates go, `NaN` and `Infinity` become text.

    Raises:
        ValueError: not JSON, not UTF-8, or so many values that reading them one by one would take all memory.

    """
    entries = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
    if 4 * len(raw) + 300 * entries > MOST_MENDED_BYTES:
        raise NotAPageError("too large to be mended")
    loose = json.loads(raw.decode(), strict=False, parse_float=Decimal, parse_int=_whole, parse_constant=str)
    return _encode(_without_refused(loose))


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < 19 else Decimal(digits)  # noqa: PLR2004  # what the encoder's 64 bits hold


def _without_refused(value: Any) -> Any:
    match value:
        case str():
            return _REFUSED_CHARACTER.sub("", value)
        case list():
            return [_without_refused(entry) for entry in value]
        case dict():
            return {_without_refused(key): _without_refused(entry) for key, entry in value.items()}
        case _:
            return value


# --- records ----------------------------------------------------------------------------------------------------


def parse_record(resource: Resource, raw: bytes) -> Record | Rejected:
    """Read one record of a listing; only its key and its stamps must be as expected."""
    decoders = resource_decoders(resource)
    entry = _parse(raw, decoders)
    if isinstance(entry, Rejected):
        return entry
    header, whole = decoders.version(entry.typed)
    return Record(
        entry.typed,
        entry.payload,
        entry.columns,
        entry.drift,
        key=decoders.key(entry.typed),
        version=(to_wall_clock(header), to_wall_clock(whole)),
    )


def parse_entry(child: Child, raw: bytes) -> Entry | Rejected:
    """Read one entry of a list; only its key must be as expected."""
    return _parse(raw, child_decoders(child))


def see(resource: Resource, raw: bytes, criterio: str) -> Seen | Rejected:
    """Read of one record of a listing what tells whether it has to be written; the rest is read if it has."""
    decoders = resource_decoders(resource)
    try:
        told = decoders.decode_sight(raw)
        if decoders.is_key(told.key):
            return _seen(told, decoders.stamps[criterio](told), raw)
    except (ValueError, OverflowError, RecursionError):  # what is wrong, or can be mended, the whole record tells
        pass
    record = parse_record(resource, raw)
    if isinstance(record, Rejected):
        return record
    told = decoders.decode_sight(record.payload.encode())
    return _seen(told, decoders.stamps[criterio](told), raw)


def _seen(told: Any, stamp: datetime, raw: bytes) -> Seen:
    """What is seen of a record.

    Its stamp is in whole seconds, as windows are. No fraction was ever recorded; one within a day's last second would
    lie between that day's window and the next.
    """
    version = to_wall_clock(told.header), to_wall_clock(told.whole)
    return Seen(told.key, version, to_wall_clock(stamp).replace(microsecond=0), raw)


def parse_quantidade(body: bytes) -> int:
    """Read how many items a contratação has, a bare integer.

    Raises:
        NotAPageError: anything else.

    """
    try:
        return _decode_quantidade(body)
    except (ValueError, RecursionError) as error:
        raise NotAPageError(f"no number of items: {error}") from None


def parse_list(child: Child, body: bytes, parent: str) -> Itens:
    """Read the list that belongs to the record with the key `parent`.

    Raises:
        NotAPageError: not JSON, or not an array.

    """
    _check_body(body, _decode_any_array)
    decoders = child_decoders(child)
    plain = _parse_plain_list(decoders, body)
    if plain is not None:
        return plain
    itens = Itens(size=len(body))
    for raw in _decode_or_mend(_decode_array, body):
        entry = _parse(bytes(raw), decoders)
        itens.told += 1
        if isinstance(entry, Rejected):
            itens.rejected.append(Rejected(parent, entry.reason, entry.payload, child.name))
            if len(itens.rejected) > MOST_REFUSED_ITENS:
                raise NotAPageError(f"more than {MOST_REFUSED_ITENS} entries that are no items")
        else:
            number = decoders.key(entry.typed)
            itens.payloads[number] = entry.payload.encode()
            itens.drifted.pop(number, None)
            if entry.columns is not None:
                itens.drifted[number] = entry.columns.encode(), entry.drift
    return itens


def _parse_plain_list(decoders: ChildDecoders, body: bytes) -> Itens | None:
    """All entries in one go, where nothing is to be mended, checked or rejected: nearly twice as fast as one by one."""
    if b"\\u" in body and _REFUSED_ESCAPE.search(body):
        return None
    try:
        raws = _decode_array(body)
        parts = [body] if len(body) <= DECODED_AT_ONCE else _in_parts(raws)
        numbers = [decoders.key(entry) for part in parts for entry in decoders.decode_plain_list(part)]
    except (ValueError, RecursionError):  # msgspec's and Unicode's errors are ValueErrors
        return None
    return Itens(dict(zip(numbers, raws, strict=True)), told=len(numbers), size=len(body))


def _in_parts(raws: list[Raw]) -> Iterator[bytes]:
    """A long list as arrays of about `DECODED_AT_ONCE`."""
    part, size = list[Raw](), 0
    for raw in raws:
        part.append(raw)
        size += memoryview(raw).nbytes
        if size >= DECODED_AT_ONCE:
            yield b"[%s]" % b",".join(part)
            part, size = [], 0
    yield b"[%s]" % b",".join(part)


def _parse(raw: bytes, decoders: Decoders) -> Entry | Rejected:
    try:
        if _REFUSED_ESCAPE.search(raw):
            raw = mend(raw)
        payload = raw.decode()
        try:
            typed = decoders.decode(raw)
            decoders.check(typed)
        except (msgspec.ValidationError, RejectedError):  # of the right syntax: what does not fit can be left out
            return _parse_leniently(raw, decoders)
    except (ValueError, RecursionError) as error:  # msgspec's and Unicode's errors are ValueErrors
        shown = raw.decode("utf-8", "replace").replace("\x00", "")
        return Rejected(_key_in(raw, decoders), str(error), shown, decoders.name)
    return Entry(typed, payload)


def _parse_leniently(raw: bytes, decoders: Decoders) -> Entry:
    """Read a record without the optional values that do not fit.

    Raises:
        ValueError: its key or its stamps do not fit either.

    """
    sieve = _Sieve()
    columns, typed = sieve.sift(raw, decoders.kind)
    record = decoders.decode(typed)
    decoders.check(record)
    drift = tuple(sieve.drift)
    if not sieve.too_long:
        return Entry(record, raw.decode(), columns.decode() if drift else None, drift)
    return Entry(record, _with_texts(raw, sieve.too_long).decode(), columns.decode(), drift)


class _Sieve:
    """Takes what does not fit out of one record, value by value, and lists it in `drift`.

    `too_long`: where numbers stand that `jsonb` itself does not take.
    """

    def __init__(self) -> None:
        self.drift: list[Drift] = []
        self.too_long: list[tuple[str, ...]] = []

    def sift(self, raw: bytes, kind: type[Struct], outer: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
        """The fields of an object that have columns, once as those are read from, and once as they can be decoded.

        Both are without the values that do not fit. A number or boolean in place of a text is missing only from what
        can be decoded: SQL reads it as a text.

        Raises:
            ValueError: not an object.

        """
        shape = _shape_of(kind)
        values = shape.decode(raw)
        columns = {name: value for name in shape.names if (value := getattr(values, name)) is not UNSET}
        typed = columns.copy()
        for name, options in shape.optional.items():
            if name not in columns:
                continue
            value, path = bytes(columns[name]), (*outer, name)
            is_number = value[:1] not in _OF_NO_NUMBER
            if options.inner is not None and value[:1] == b"{":
                columns[name], typed[name] = map(Raw, self.sift(value, options.inner, path))
            elif options.is_text and value[:1] not in b'"{[n':
                typed[name] = _NULL
                if is_number and not _fits_jsonb(value):
                    columns[name] = Raw(b'"' + value + b'"')
                    self.too_long.append(path)
            elif not options.fits(value):
                columns[name] = typed[name] = _NULL
                self.drift.append(_drift(path, value, options))
                if is_number and not _fits_jsonb(value):
                    self.too_long.append(path)
        return _encode(columns), _encode(typed)


def _drift(path: tuple[str, ...], value: bytes, options: "_Options") -> Drift:
    kind = _KINDS.get(value[:1], "number")
    return Drift(
        ".".join(path),
        "unfit" if kind in options.natural else kind,
        value[: 4 * LONGEST_EXAMPLE].decode("utf-8", "replace")[:LONGEST_EXAMPLE],
    )


def _with_texts(raw: bytes, paths: Iterable[tuple[str, ...]]) -> bytes:
    """A record whose numbers at these paths have become texts.

    Raises:
        RejectedError: it is too large to be taken apart.

    """
    if len(raw) > LONGEST_TAKEN_APART:
        raise RejectedError("a number that jsonb does not take, in a record that is too large to be mended")
    found = _decode_object(raw)
    for name, *inner in paths:
        value = bytes(found[name])
        found[name] = Raw(_with_texts(value, [tuple(inner)]) if inner else b'"' + value + b'"')
    return _encode(found)


class _Options(Struct, frozen=True):
    """What an optional field takes: `natural` are the kinds of JSON that its column is made for."""

    decode: Callable[[bytes], Any]
    inner: type[Struct] | None
    is_text: bool
    natural: frozenset[str]

    def fits(self, value: bytes) -> bool:
        """Whether a value can be decoded, and any column can hold it."""
        try:
            found = self.decode(value)
            match found:
                case datetime():
                    check_moment(found)
                case Decimal():
                    check_number("", found)
                case str() if not self.is_text:
                    check_code(found)
        except (ValueError, RecursionError):
            return False
        return True


LONGEST_EXAMPLE = 200
LONGEST_TAKEN_APART = 1024 * 1024
_NULL = Raw(b"null")
_OF_NO_NUMBER = b'{["tfn'
_KINDS = {b"{": "object", b"[": "array", b'"': "string", b"t": "boolean", b"f": "boolean"}
_NATURAL = {
    bool: "boolean",
    datetime: "string",
    date: "string",
    Decimal: "number",
    str: "string",
    int: "number",
}
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


class _Shape(Struct, frozen=True):
    """The fields of a kind of object by their names in JSON: all, undecoded, and what the optional ones take."""

    decode: Callable[[bytes], Any]
    names: tuple[str, ...]
    optional: dict[str, _Options]


@cache
def _shape_of(kind: type[Struct]) -> _Shape:
    fields = msgspec.structs.fields(kind)
    names = tuple(each.encode_name for each in fields)
    undecoded = msgspec.defstruct("_Undecoded", [(name, Raw | UnsetType, UNSET) for name in names])
    optional = {each.encode_name: _options_of(each.type) for each in fields if not each.required}
    return _Shape(msgspec.json.Decoder(undecoded).decode, names, optional)


def _options_of(annotation: Any) -> _Options:
    types = [getattr(option, "__origin__", option) for option in get_args(annotation)]
    inner = next((option for option in types if isinstance(option, type) and issubclass(option, Struct)), None)
    natural = frozenset(_NATURAL[option] for option in types if option in _NATURAL)
    return _Options(
        msgspec.json.Decoder(annotation).decode,
        inner,
        is_text=str in types and int not in types,
        natural=natural | {"object"} if inner else natural,
    )


def _fits_jsonb(number: bytes) -> bool:
    """Whether `jsonb` itself takes a number: its digits are bounded, far beyond those that a column is trusted with."""
    value = Decimal(number.decode())
    return abs(value.adjusted()) < LONGEST_JSONB_NUMBER and len(number) < LONGEST_JSONB_NUMBER


def _key_in(raw: bytes, decoders: Decoders) -> str | None:
    try:
        value = decoders.decode_key(raw).value
        written = b"null" if value is UNSET else bytes(value)
        if len(written) > LONGEST_KEY and written.startswith((b"[", b"{")):
            return None
        key = msgspec.json.decode(written)
    except (ValueError, RecursionError):
        return None
    return None if key is None else str(key)[:100]


def itens_path(numero_controle_pncp: str) -> tuple[str, int, int]:
    """CNPJ, year and sequence as the items' address wants them (1,899 of 1,899 records recompose exactly)."""
    match = _CONTROL_NUMBER.fullmatch(numero_controle_pncp)
    if match is None:
        raise ValueError("not a contratação's control number")
    cnpj, sequence, year = match.groups()
    return cnpj, int(year), int(sequence)


def newest_first(records: Iterable[Seen]) -> dict[str, list[Seen]]:
    """The versions of each record, by its key: a page may hold a record twice. Of equal ones the first is enough."""
    found: dict[str, list[Seen]] = {}
    for record in records:
        known = found.setdefault(record.key, [])
        judged = [compare_versions(record.version, other.version) for other in known]
        if "unchanged" not in judged:
            known.insert(judged.index("newer") if "newer" in judged else len(known), record)
    return found
