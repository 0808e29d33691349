"""What can be mended of the portal's JSON, so that one value costs neither its record nor its page.

Characters and numbers that PostgreSQL refuses are taken out or become texts. A record with optional values that do not
fit their columns is read without them.
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ingestor.sources.pncp.decoders import Decoders, RejectedError, check_code, check_moment, check_number
from ingestor.sources.values import Drift, Entry

MOST_MENDED_BYTES = 96 * 1024 * 1024
"""Bytes of memory that the lenient reading of a body may take, about: a body of 20 MB may hold ten million arrays."""
LONGEST_JSONB_NUMBER = 10_000
LONGEST_EXAMPLE = 200
LONGEST_TAKEN_APART = 1024 * 1024
REFUSED_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")  # NUL and surrogates, which jsonb does not take
_REFUSED_CHARACTER = re.compile("[\x00\ud800-\udfff]")
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
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_object: Callable[[bytes | str], dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw]).decode


def mend(raw: bytes) -> bytes:
    """The same JSON without what PostgreSQL refuses: NUL and lone surrogates go, `NaN` and `Infinity` become text.

    Raises:
        ValueError: not JSON, not UTF-8, or so many values that reading them one by one would take all memory.

    """
    entries = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
    if 4 * len(raw) + 300 * entries > MOST_MENDED_BYTES:
        raise ValueError("too large to be mended")
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


def parse_leniently(raw: bytes, decoders: Decoders) -> Entry:
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


def value_of(record: str, key: str) -> Raw | None:
    """The value of one key of a record, undecoded; `None` where there is none, or it is null."""
    value = _decode_object(record).get(key)
    return None if value is None or value == _NULL else value


def without(record: str, keys: Iterable[str]) -> str:
    """A record's JSON without these of its keys."""
    found = _decode_object(record)
    return _encode({key: value for key, value in found.items() if key not in keys}).decode()


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
