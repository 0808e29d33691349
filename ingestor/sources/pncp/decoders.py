"""Decoders and checks of the portal's records, made of their descriptions once."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from common.clock import to_wall_clock
from common.resources.description import Child, Column, Kind, Resource

Small = Annotated[int, Meta(ge=-(2**31), lt=2**31)]

LONGEST_NUMBER = 60
"""Digits on either side of the point that a numeric column is trusted with; the largest real value has nine."""

_TYPES: dict[Kind, Any] = {
    Kind.TEXT: str,
    Kind.SHORT_TEXT: Annotated[str, Meta(max_length=250)],
    Kind.INTEGER: Small,
    Kind.CODE: Small | str,
    Kind.NUMBER: Decimal,
    Kind.BOOLEAN: bool,
    Kind.DAY: date,
    Kind.MOMENT: datetime,
    Kind.STAMP: str,
    Kind.JSON: Raw,
}
# Types that leave nothing to check: numbers that any column holds, stamps without an offset, ids that are numbers.
# (Only of a number that is next to nothing, 1e-61, would `check_number` say that it has too many digits.)
_PLAIN_TYPES: dict[Kind, Any] = _TYPES | {
    Kind.NUMBER: Annotated[float, Meta(gt=-1e30, lt=1e30)],
    Kind.MOMENT: Annotated[datetime, Meta(tz=False)],
    Kind.CODE: Small,
}

_CODE = re.compile("[0-9]{1,9}")
_PLAIN_NUMBER = re.compile(rf"-?[0-9]{{1,{LONGEST_NUMBER}}}(?:\.[0-9]{{1,{LONGEST_NUMBER}}})?")

Decode = Callable[[bytes], Any]


class RejectedError(ValueError):
    """A record that cannot be stored; its text says why."""


@dataclass(frozen=True)
class Decoders:
    """How the records of one table are read.

    `kind` has a field for each column, by its name, and one for each object that columns stand in, by its key in JSON.
    `decode` makes one of a record, `check` raises `RejectedError` for what no column can hold, `key` reads its key, and
    `decode_key` finds what stands in the place of the key (`value`, undecoded) where `decode` fails.
    """

    name: str
    kind: type[Struct]
    decode: Decode
    check: Callable[[Any], None]
    key: Callable[[Any], Any]
    decode_key: Decode


@dataclass(frozen=True)
class ResourceDecoders(Decoders):
    """And how little of a record tells whether it has to be written.

    `decode_sight` reads its key and its stamps alone, into fields with the names of the columns. `decode_plain_sights`
    does so for an array of records whose stamps are without an offset. Of either, and of a whole record, `key` reads
    the key, `version` the stamps of the version, and `stamps` the one that a listing filters on, by the listing's name.
    `is_key` matches all of a key.
    """

    decode_sight: Decode
    decode_plain_sights: Decode
    is_key: Callable[[str], object]
    stamps: Mapping[str, Callable[[Any], Any]]
    version: Callable[[Any], tuple[Any, Any]]


@dataclass(frozen=True)
class ChildDecoders(Decoders):
    """And how a whole list is read at once.

    `decode_plain_list` takes the same entries in types that leave nothing to check. Nearly all real entries are such; a
    list with others is read by `decode`, which takes them or says what is wrong.
    """

    decode_plain_list: Decode


@cache
def resource_decoders(resource: Resource) -> ResourceDecoders:
    """The decoders of a resource's records."""
    seen = [column for column in resource.columns if column.required]
    matches = re.compile(resource.key_pattern).fullmatch
    key, path = _key_reader(resource)
    check_columns = _checker(resource.columns)
    stamps = [(column.path, attrgetter(column.name)) for column in resource.columns if column.kind is Kind.STAMP]

    def check(record: object) -> None:
        if not matches(key(record)):
            raise RejectedError(f"{path} is not of the form {resource.key_form}")
        check_columns(record)
        for name, stamp_of in stamps:
            check_stamp(name, stamp_of(record))

    kind = _struct(resource.name, resource.columns, _TYPES)
    plain_sight = _struct("sight", seen, _PLAIN_TYPES)
    return ResourceDecoders(
        name=resource.name,
        kind=kind,
        decode=msgspec.json.Decoder(kind).decode,
        check=check,
        key=key,
        decode_key=_decoder_of_key("" if resource.key_columns else path),
        decode_sight=msgspec.json.Decoder(_struct("sight", seen, _TYPES)).decode,
        decode_plain_sights=msgspec.json.Decoder(list[plain_sight]).decode,  # type: ignore[valid-type]  # made above
        is_key=matches,
        stamps={criterio: attrgetter(listing.stamp) for criterio, listing in resource.listings.items()},
        version=attrgetter(*resource.version),
    )


@cache
def child_decoders(child: Child) -> ChildDecoders:
    """The decoders of a list's entries."""
    kind = _struct(child.name, child.columns, _TYPES)
    plain = _struct(child.name, child.columns, _PLAIN_TYPES)
    return ChildDecoders(
        name=child.name,
        kind=kind,
        decode=msgspec.json.Decoder(kind).decode,
        check=_checker(child.columns),
        key=attrgetter(*child.told_apart_by),
        decode_key=_decoder_of_key(path_of(child.columns, child.told_apart_by[-1])),
        decode_plain_list=msgspec.json.Decoder(list[plain]).decode,  # type: ignore[valid-type]  # made above
    )


def _key_reader(resource: Resource) -> tuple[Callable[[Any], str], str]:
    """A function that reads a record's key, and what the key is called in messages."""
    if not resource.key_columns:
        return attrgetter(resource.key), path_of(resource.columns, resource.key)
    parts_of = attrgetter(*resource.key_columns)
    return lambda record: "-".join(map(str, parts_of(record))), resource.key


def _struct(name: str, columns: Iterable[Column], types: Mapping[Kind, Any]) -> type[Struct]:
    own, inner = _by_object(columns)
    fields = [_field(column, types) for column in sorted(own, key=lambda column: not column.required)]
    objects = [(key, _struct(key, within, types) | None, field(default=None)) for key, within in inner.items()]
    return msgspec.defstruct(name, [*fields, *objects], frozen=True, gc=False)


def _by_object(columns: Iterable[Column]) -> tuple[list[Column], dict[str, list[Column]]]:
    """The columns whose values stand in the object itself, and those of its inner objects by their keys."""
    own: list[Column] = []
    inner: dict[str, list[Column]] = {}
    for column in columns:
        key, _, rest = column.path.partition(".")
        if rest:
            inner.setdefault(key, []).append(replace(column, path=rest))
        else:
            own.append(column)
    return own, inner


def _field(column: Column, types: Mapping[Kind, Any]) -> tuple[str, Any, Any]:
    kind = types[column.kind]
    if column.required:
        return column.name, kind, field(name=column.path)
    if kind is Raw:
        return column.name, Raw, field(default=Raw(b"null"), name=column.path)
    return column.name, kind | None, field(default=None, name=column.path)


def path_of(columns: Iterable[Column], name: str) -> str:
    """The path of a column, by its name."""
    return next(column.path for column in columns if column.name == name)


def _decoder_of_key(path: str) -> Decode:
    kind = msgspec.defstruct("_Key", [("value", Raw | UnsetType, field(default=UNSET, name=path))])
    return msgspec.json.Decoder(kind).decode


# --- checks -----------------------------------------------------------------------------------------------------


def _checker(columns: Iterable[Column]) -> Callable[[Any], None]:
    """A function that refuses what no column can hold, though it is of the right type."""
    own, inner = _by_object(columns)
    moments_of, codes_of = _values_of(own, Kind.MOMENT), _values_of(own, Kind.CODE)
    numbers = [(column.path, attrgetter(column.name)) for column in own if column.kind is Kind.NUMBER]
    objects = [(attrgetter(key), _checker(within)) for key, within in inner.items() if _needs_check(within)]

    def check(record: object) -> None:
        for moment in moments_of(record):
            if moment is not None and moment.tzinfo is not None:
                check_moment(moment)
        for code in codes_of(record):
            if code.__class__ is str:
                check_code(code)
        for path, number_of in numbers:
            number = number_of(record)
            if number is not None:
                check_number(path, number)
        for object_of, check_object in objects:
            found = object_of(record)
            if found is not None:
                check_object(found)

    return check


def _needs_check(columns: Iterable[Column]) -> bool:
    return any(column.kind in {Kind.MOMENT, Kind.CODE, Kind.NUMBER} for column in columns)


def _values_of(columns: Iterable[Column], kind: Kind) -> Callable[[Any], tuple[Any, ...]]:
    """A function that reads the fields of this kind, whatever their number."""
    names = [column.name for column in columns if column.kind is kind]
    if not names:
        return lambda _: ()
    getter: Callable[[Any], Any] = attrgetter(*names)
    return getter if len(names) > 1 else lambda record: (getter(record),)


def check_moment(moment: datetime) -> None:
    """Refuse a moment that lies in no year of Brasília's wall clock.

    Raises:
        RejectedError: it says which.

    """
    try:
        to_wall_clock(moment)
    except OverflowError:
        raise RejectedError(f"{moment} lies in no year of Brasília's wall clock") from None


def check_stamp(name: str, value: str) -> None:
    """Refuse a text that is neither a moment nor a day.

    Raises:
        RejectedError: it says which.

    """
    try:
        check_moment(to_moment(value))
    except ValueError:
        raise RejectedError(f"{name}: {value[:40]!r} is no moment and no day") from None


def to_moment(stamp: str | datetime) -> datetime:
    """The moment of a stamp, in Brasília's wall clock; a day stands for its beginning.

    Raises:
        ValueError: it is neither a moment nor a day.

    """
    return to_wall_clock(datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp)


def check_code(code: str) -> None:
    """Refuse a text that spells no id; an empty one is none.

    Raises:
        RejectedError: it says which.

    """
    if code and not _CODE.fullmatch(code):
        raise RejectedError(f"{code[:40]!r} stands where an id belongs")


def check_number(name: str, number: Decimal) -> None:
    """Refuse a number that no numeric column holds.

    Raises:
        RejectedError: it says why.

    """
    if _PLAIN_NUMBER.fullmatch(str(number)):
        return
    if not number.is_finite():
        raise RejectedError(f"{name} is not a finite number")
    exponent = number.as_tuple().exponent
    if number.adjusted() > LONGEST_NUMBER or (isinstance(exponent, int) and exponent < -LONGEST_NUMBER):
        raise RejectedError(f"{name} has more than {LONGEST_NUMBER} digits on one side of the point")
