"""Values as others hand them over become values as they are stored, or are refused with a reason.

Three doors differ in what they may bring. `json`: pushed objects, whose types are strict; numbers with a fraction come
as decimals. `sheet`: cells of spreadsheets and texts of CSV, as Brazilians write them. `sql`: values of a driver.
Texts are trimmed at all doors; what is empty then is null.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any, Literal, NoReturn
from unicodedata import combining, normalize
from uuid import UUID

import msgspec

from common.clock import to_wall_clock
from common.entities.declared import PERSONAL, DeclaredColumn
from common.intake.documents import CNPJ_LENGTH, CPF_LENGTH, is_cnpj, is_cpf, without_punctuation
from common.intake.faults import CellFault, ValueRefused, has_unfit

Door = Literal["json", "sheet", "sql"]
Read = Callable[[Any], Any]

LONGEST_TEXT = 100_000
"""Characters of a text whose column says nothing."""
LONGEST_JSON = 1024 * 1024
DEEPEST_JSON = 32
FEWEST_LOST = 10**15
"""Whole numbers from here on have lost digits in the cell of a sheet, which keeps fifteen."""
MOST_WHOLE_DIGITS, MOST_DECIMALS = 20, 20
"""Of a number; further decimals are rounded."""
LEAST_INTEGER, GREATEST_INTEGER = -(2**63), 2**63 - 1
FIRST_YEAR, LAST_YEAR = 1900, 2199
TRUE = frozenset({"true", "sim", "s", "1", "verdadeiro"})
FALSE = frozenset({"false", "nao", "n", "0", "falso"})

_BLANK = "".join(map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200E), 0x2028, 0x2029)))
_BLANK += "\u202f\u205f\u2060\u3000\ufeff"
_WIDE = Context(prec=100, rounding=ROUND_HALF_UP)
_FINEST = Decimal(1).scaleb(-MOST_DECIMALS)
_PLAIN = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?[Ee]\+?-?[0-9]{1,3}")
_DAMAGED = re.compile(r"[0-9][.,][0-9]+E\+[0-9]{2}")
_DECIMAL_COMMA = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]+)?|[0-9]+(?:,[0-9]+)?")
_DECIMAL_POINT = re.compile(r"[0-9]+\.[0-9]+|[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+\.[0-9]+|(?:,[0-9]{3}){2,})")
_EITHER = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")
_PARTS = re.compile(
    r"(?:(?P<d>[0-9]{1,2})(?P<sign>[/.-])(?P<m>[0-9]{1,2})(?P=sign)(?P<y>[0-9]{4})"
    r"|(?P<iy>[0-9]{4})(?P<isign>[/-])(?P<im>[0-9]{1,2})(?P=isign)(?P<id>[0-9]{1,2}))"
    r"(?:[T ] ?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r" ?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISO_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_LONGEST_DATE = 40
_CONTROL_NUMBER = re.compile(r"[0-9A-Z]{12}[0-9]{2}-[0-9]{1,2}-[0-9]{6}/[0-9]{4}(-[0-9]{6})?")


def read(column: DeclaredColumn, raw: Any, *, door: Door) -> Any:
    """The value as it is stored; null where there is none.

    Raises:
        ValueRefused: the column does not take it.

    """
    return reader_of(column, door)(raw)


@lru_cache(maxsize=4096)
def reader_of(column: DeclaredColumn, door: Door) -> Read:
    """What reads the values of a column."""
    return _READERS[column.type](column, door)


def constant_fault(column: DeclaredColumn, value: Any) -> str | None:
    """Why a column does not take a value that a file gives it, for people; null where it does."""
    try:
        read(column, value, door="sql")
    except ValueRefused as refused:
        return refused.message
    return None


def is_personal(column: DeclaredColumn) -> bool:
    """Whether its values may be the number of a natural person."""
    return column.type in PERSONAL


def fold(text: str) -> str:
    """Without accents, case and space at the ends, to compare what people write."""
    stripped = text.strip(_BLANK)
    if stripped.isascii():
        return stripped.lower()
    decomposed = normalize("NFKD", stripped.casefold())
    return "".join(each for each in decomposed if not combining(each))


def strip(text: str) -> str:
    """Without blanks at the ends, those of no width included."""
    return text.strip(_BLANK)


def _refuse(raw: Any, code: str) -> NoReturn:
    match raw:
        case CellFault():
            raise ValueRefused(raw.code, address=raw.address, error=raw.error)
        case bytes() | bytearray() | memoryview():
            raise ValueRefused("binary")
        case timedelta():
            raise ValueRefused("interval")
        case _:
            raise ValueRefused(code)


# --- texts ------------------------------------------------------------------------------------------------------


def _text(column: DeclaredColumn, door: Door) -> Read:
    longest = column.longest or LONGEST_TEXT
    as_text = {"json": _text_of_json, "sheet": _text_of_cell, "sql": _text_of_driver}[door]
    choose = _choice(column.values, door) if column.values else None

    def read_text(raw: Any) -> str | None:
        if raw is None:
            return None
        text = (raw if type(raw) is str else as_text(raw)).strip(_BLANK)
        if not text:
            return None
        if not text.isascii() or "\x00" in text:
            _check_storable(text)
        if len(text) > longest:
            raise ValueRefused("too_long", longest=longest)
        if is_sheet and text[-4:-2] == "E+" and _DAMAGED.fullmatch(text):
            raise ValueRefused("scientific")
        return text if choose is None else choose(text)

    is_sheet = door == "sheet"
    return read_text


def _check_storable(text: str) -> None:
    if has_unfit(text):
        raise ValueRefused("bad_character")


def _choice(values: tuple[str, ...], door: Door) -> Callable[[str], str]:
    """Takes one of the values; of a sheet accents and case do not count where that leaves no doubt."""
    exact = {each: each for each in values}
    folded: dict[str, str] = {}
    if door == "sheet" and len({fold(each) for each in values}) == len(values):
        folded = {fold(each): each for each in values}
    accepted = ", ".join(values)

    def choose(text: str) -> str:
        found = exact.get(text) or folded.get(fold(text))
        if found is None:
            raise ValueRefused("not_listed", values=accepted)
        return found

    return choose


def _text_of_json(raw: Any) -> str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return _digits(raw)
    _refuse(raw, "not_text")


def _text_of_cell(raw: Any) -> str:
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return str(_whole_of_cell(raw, "number_as_text"))
    _refuse(raw, "date_as_text" if isinstance(raw, date | time) else "not_text")


def _text_of_driver(raw: Any) -> str:
    match raw:
        case str() | UUID():
            return str(raw)
        case bool():
            raise ValueRefused("not_text")
        case int():
            return _digits(raw)
        case Decimal() if raw.is_finite():
            return f"{_settle(raw, None):f}"
        case float() if raw.is_integer():
            return str(_whole_of_cell(raw, "not_text"))
        case date():
            return raw.isoformat()
        case _:
            _refuse(raw, "not_text")


def _digits(raw: int) -> str:
    if abs(raw) >= 10**100:  # Python writes no int of thousands of digits
        raise ValueRefused("out_of_range")
    return str(raw)


def _whole_of_cell(raw: float, code: str) -> int:
    """The whole number of a cell, which keeps fifteen digits."""
    if raw != raw or abs(raw) >= FEWEST_LOST:  # noqa: PLR0124  # NaN
        raise ValueRefused("digits_lost" if raw == raw else code)  # noqa: PLR0124
    if raw != int(raw):
        raise ValueRefused(code)
    return int(raw)


# --- numbers ----------------------------------------------------------------------------------------------------


def _number(column: DeclaredColumn, door: Door) -> Read:
    unit = None if column.decimals is None else Decimal(1).scaleb(-column.decimals)

    def read_number(raw: Any) -> Decimal | None:
        if raw is None:
            return None
        kind = type(raw)
        if kind is float:
            return _settle(_decimal_of_float(raw, door), unit)
        if kind is Decimal or kind is int:
            if is_sheet and kind is int:
                _whole_of_cell(raw, "not_number")
            return _settle(Decimal(raw), unit)
        if isinstance(raw, str) and door != "json":
            text = raw.strip(_BLANK)
            return _settle(_parse_number(text, is_whole=False), unit) if text else None
        if isinstance(raw, str) and _PLAIN.fullmatch(raw):  # senders write decimals as text, so that they stay exact
            return _settle(Decimal(raw), unit)
        _refuse(raw, "not_number")

    is_sheet = door == "sheet"
    return read_number


def _decimal_of_float(raw: float, door: Door) -> Decimal:
    if door != "sheet":
        return Decimal(repr(raw))
    if abs(raw) >= FEWEST_LOST:
        raise ValueRefused("digits_lost")
    return Decimal(f"{raw:.15g}")  # the digits that a sheet shows; those behind come from its calculations


def _settle(value: Decimal, unit: Decimal | None) -> Decimal:
    """A number with the decimals of its column, rounded half up; without any, in one form for each number."""
    if not value.is_finite():
        raise ValueRefused("not_number")
    if value and value.adjusted() >= MOST_WHOLE_DIGITS:
        raise ValueRefused("out_of_range")
    if unit is not None:
        settled = value.quantize(unit, context=_WIDE)
        return settled or abs(settled)  # no sign before a zero
    exponent = value.as_tuple().exponent
    if value and isinstance(exponent, int) and exponent < -MOST_DECIMALS:
        value = value.quantize(_FINEST, context=_WIDE)
    plain = value.normalize(_WIDE) or Decimal(0)
    return plain.quantize(Decimal(1), context=_WIDE) if plain == plain.to_integral_value() else plain


def _parse_number(text: str, *, is_whole: bool) -> Decimal:
    """Read a number as people write it: `1.234,56`, `1234.56`, `R$ 1.234,56`, `(12,00)`, `-5`.

    `is_whole`: it has no decimals, so that a point parts thousands.
    """
    if len(text) > _LONGEST_DATE:
        raise ValueRefused("not_number")
    bare = text
    for blank in (" ", "\xa0", "\u202f"):
        bare = bare.replace(blank, "")
    bare = bare.replace("\u2212", "-")
    is_negative = bare.startswith("(") and bare.endswith(")")
    if is_negative:
        bare = bare[1:-1]
    has_currency = False
    for _ in range(2):  # the sign may stand on either side of the currency
        if bare[:1] in ("-", "+"):
            is_negative, bare = is_negative or bare[0] == "-", bare[1:]
        if bare[:2].upper() == "R$" and not has_currency:
            has_currency, bare = True, bare[2:]
    if _EITHER.fullmatch(bare) and not has_currency and not is_whole:
        raise ValueRefused("ambiguous_number")
    if _DECIMAL_COMMA.fullmatch(bare):
        plain = bare.replace(".", "").replace(",", ".")
    elif _DECIMAL_POINT.fullmatch(bare):
        plain = bare.replace(",", "")
    else:
        raise ValueRefused("scientific" if _SCIENTIFIC.fullmatch(bare) else "not_number")
    return -Decimal(plain) if is_negative else Decimal(plain)


def _integer(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001  # all readers are made alike
    def read_integer(raw: Any) -> int | None:
        if raw is None:
            return None
        kind = type(raw)
        if kind is int:
            value: int = raw
            if door == "sheet":
                _whole_of_cell(raw, "not_integer")
        elif kind is float:
            value = _whole_of_cell(raw, "not_integer")
        elif kind is Decimal:
            value = _whole_of_decimal(raw)
        elif isinstance(raw, str) and door != "json":
            text = raw.strip(_BLANK)
            if not text:
                return None
            value = _whole_of_text(text)
        else:
            _refuse(raw, "not_integer")
        if not LEAST_INTEGER <= value <= GREATEST_INTEGER:
            raise ValueRefused("out_of_range")
        return value

    return read_integer


def _whole_of_text(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_DATE:
        return int(text)
    try:
        return _whole_of_decimal(_parse_number(text, is_whole=True))
    except ValueRefused as refused:
        raise ValueRefused("not_integer" if refused.code == "not_number" else refused.code) from None


def _whole_of_decimal(raw: Decimal) -> int:
    if not raw.is_finite():
        raise ValueRefused("not_integer")
    if raw and raw.adjusted() >= MOST_WHOLE_DIGITS:
        raise ValueRefused("out_of_range")
    if raw != raw.to_integral_value():
        raise ValueRefused("not_integer")
    return int(raw)


def _boolean(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001
    def read_boolean(raw: Any) -> bool | None:
        if raw is None or isinstance(raw, bool):
            return raw
        if door != "json":
            if isinstance(raw, str):
                text = fold(raw)
                if not text:
                    return None
                if text in TRUE or text in FALSE:
                    return text in TRUE
            elif isinstance(raw, int | float | Decimal) and raw in (0, 1):
                return bool(raw)
        _refuse(raw, "not_boolean")

    return read_boolean


# --- dates ------------------------------------------------------------------------------------------------------


def _day(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001
    def read_day(raw: Any) -> str | None:
        if raw is None:
            return None
        if isinstance(raw, str):
            text = raw.strip(_BLANK)
            return _day_of_text(text, door) if text else None
        if isinstance(raw, date) and door != "json":
            moment = to_wall_clock(raw) if isinstance(raw, datetime) else raw
            return _checked_year(moment).isoformat()[:10]
        _refuse(raw, "not_day")

    return read_day


@lru_cache(maxsize=16_384)
def _day_of_text(text: str, door: Door) -> str:
    if door == "json" and not _ISO_DAY.fullmatch(text):
        raise ValueRefused("not_day")
    return _parse_moment(text, "not_day").isoformat()[:10]


def _moment(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001
    def read_moment(raw: Any) -> str | None:
        if raw is None:
            return None
        if isinstance(raw, str):
            text = raw.strip(_BLANK)
            if not text:
                return None
            if door == "json" and not _ISO_MOMENT.fullmatch(text):
                raise ValueRefused("not_moment")
            return _parse_moment(text, "not_moment").isoformat()
        if isinstance(raw, date) and door != "json":
            moment = to_wall_clock(raw) if isinstance(raw, datetime) else datetime.combine(raw, time())
            return _checked_year(moment).isoformat()
        _refuse(raw, "not_moment")

    return read_moment


def _parse_moment(text: str, code: str) -> datetime:
    """A date with or without a time, `31/12/2026 14:30` or `2026-12-31T14:30:00-03:00`, on Brasília's clock."""
    found = _PARTS.fullmatch(text) if len(text) <= _LONGEST_DATE else None
    if found is None:
        raise ValueRefused(code)
    of = found.groupdict()
    year, month, day = (int(of[name] or of[f"i{name}"] or 0) for name in ("y", "m", "d"))
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueRefused("unlikely_year")
    hour, minute, second = (int(of[name] or 0) for name in ("hour", "minute", "second"))
    micros = int((of["fraction"] or "")[:6].ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, micros)  # noqa: DTZ001
        return _with_offset(moment, of["offset"])
    except ValueError:  # a day or an hour that there is not
        raise ValueRefused(code) from None


def _with_offset(moment: datetime, offset: str | None) -> datetime:
    return moment if offset is None else to_wall_clock(datetime.fromisoformat(f"{moment.isoformat()}{offset}"))


def _checked_year(day: date) -> date:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueRefused("unlikely_year")
    return day


# --- numbers of persons and of the portal -----------------------------------------------------------------------


def _cnpj(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001
    return _document(door, CNPJ_LENGTH, is_cnpj, "not_cnpj")


def _cpf(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001
    return _document(door, CPF_LENGTH, is_cpf, "not_cpf")


def _document(door: Door, length: int, is_valid: Callable[[str], bool], code: str) -> Read:
    valid = lru_cache(maxsize=16_384)(is_valid)

    def read_document(raw: Any) -> str | None:
        written, is_number = _written_document(raw, door, code)
        if not written:
            return None
        if is_number or (door != "json" and written.isdecimal()):
            written = written.zfill(length)
        if len(written) != length:
            raise ValueRefused(code)
        if not valid(written):
            raise ValueRefused("check_digits" if written.isalnum() and written.isascii() else code)
        return written

    return read_document


def _cpf_cnpj(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001
    cnpj, cpf = lru_cache(maxsize=16_384)(is_cnpj), lru_cache(maxsize=16_384)(is_cpf)

    def read_either(raw: Any) -> str | None:
        written, is_number = _written_document(raw, door, "not_cpf_cnpj")
        if not written:
            return None
        if len(written) == CPF_LENGTH and not is_number and cpf(written):
            return written
        may_lack_zeros = is_number or (door != "json" and written.isdecimal())
        candidates = (written.zfill(CPF_LENGTH), written.zfill(CNPJ_LENGTH)) if may_lack_zeros else (written,)
        fitting = {each for each in candidates if cpf(each) or cnpj(each)}
        if len(fitting) > 1:
            raise ValueRefused("ambiguous_document")
        if not fitting:
            has_length = len(written) in (CPF_LENGTH, CNPJ_LENGTH) and written.isalnum() and written.isascii()
            raise ValueRefused("check_digits" if has_length or may_lack_zeros else "not_cpf_cnpj")
        return fitting.pop()

    return read_either


def _written_document(raw: Any, door: Door, code: str) -> tuple[str, bool]:
    """What stands for a number of a person, without punctuation, and whether it came as a number."""
    if raw is None:
        return "", False
    if isinstance(raw, str):
        text = raw.strip(_BLANK)
        if door == "sheet" and _SCIENTIFIC.fullmatch(text):
            raise ValueRefused("scientific")
        return (text if text.isdecimal() else without_punctuation(text)), False
    if isinstance(raw, Decimal) and door == "sql":
        raw = _whole_of_decimal(raw) if raw.is_finite() and raw == raw.to_integral_value() else raw
    if isinstance(raw, float) and door != "json":
        raw = _whole_of_cell(raw, code)
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < FEWEST_LOST:
        return str(raw), True
    _refuse(raw, code)


def _control_number(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001
    def read_control_number(raw: Any) -> str | None:
        if raw is None:
            return None
        if not isinstance(raw, str):
            _refuse(raw, "not_control_number")
        text = raw.strip(_BLANK).upper()
        if text and not _CONTROL_NUMBER.fullmatch(text):
            raise ValueRefused("not_control_number")
        return text or None

    return read_control_number


# --- JSON -------------------------------------------------------------------------------------------------------

_JSON = msgspec.json.Decoder(float_hook=Decimal)
_TO_JSON = msgspec.json.Encoder(decimal_format="number")


def _json(column: DeclaredColumn, door: Door) -> Read:  # noqa: ARG001
    def read_json(raw: Any) -> Any:
        if isinstance(raw, str) and door != "json":
            raw = _parse_json(raw)
        value = _plain_json(raw, 0)
        if len(_TO_JSON.encode(value)) > LONGEST_JSON:
            raise ValueRefused("too_long", longest=LONGEST_JSON)
        return value

    return read_json


def _parse_json(text: str) -> Any:
    bare = text.strip(_BLANK)
    if not bare:
        return None
    _check_storable(bare)
    try:
        return _JSON.decode(bare)
    except RecursionError:
        raise ValueRefused("too_deep") from None
    except msgspec.MsgspecError:
        raise ValueRefused("not_json") from None


def _plain_json(raw: Any, depth: int) -> Any:
    """JSON that PostgreSQL stores, its numbers with a fraction as decimals."""
    if depth > DEEPEST_JSON:
        raise ValueRefused("too_deep")
    match raw:
        case None | bool():
            return raw
        case str():
            _check_storable(raw)
            return raw
        case int() | Decimal() | float():
            return _number_of_json(raw)
        case Mapping() if all(isinstance(name, str) for name in raw):
            for name in raw:
                _check_storable(name)
            return {name: _plain_json(inner, depth + 1) for name, inner in raw.items()}
        case list() | tuple():
            return [_plain_json(inner, depth + 1) for inner in raw]
        case _:
            _refuse(raw, "not_json")


def _number_of_json(raw: Decimal | float) -> Decimal | int:
    if isinstance(raw, int):
        if abs(raw) >= 10**100:
            raise ValueRefused("out_of_range")
        return raw
    return _settle(Decimal(repr(raw)) if isinstance(raw, float) else raw, None)


_READERS: Mapping[str, Callable[[DeclaredColumn, Door], Read]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "day": _day,
    "moment": _moment,
    "json": _json,
    "cnpj": _cnpj,
    "cpf": _cpf,
    "cpf_cnpj": _cpf_cnpj,
    "control_number": _control_number,
}
