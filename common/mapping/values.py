"""Values of records as texts, numbers and dates: the transforms of fields and templates, each a pure function.

All raise `CannotRender` with a reason for people where a value does not fit.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from operator import attrgetter
from typing import Any

from common.mapping.rendering import CannotRender

Step = Callable[[Any], Any]

_NOT_DIGITS = re.compile(r"[^0-9]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DIRECTIVES = {
    "%d": ("day", "%02d"),
    "%m": ("month", "%02d"),
    "%Y": ("year", "%04d"),
    "%H": ("hour", "%02d"),
    "%M": ("minute", "%02d"),
    "%S": ("second", "%02d"),
    "%%": ("", "%%"),
}
_OF_HOURS = ("%H", "%M", "%S")
_WIDE = Context(prec=100, rounding=ROUND_HALF_UP)


def to_text(value: Any) -> str | None:
    """A text, number, truth value or date as text, a whole number without a point; null for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, date):
        return value.isoformat()
    return None


def for_people(value: Any) -> str:
    """A value as a Brazilian reads it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "sim" if value else "não"
    if isinstance(value, Decimal):
        return f"{value:f}".replace(".", ",")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return format_date("%d/%m/%Y %H:%M")(value)  # type: ignore[no-any-return]
    if isinstance(value, date):
        return format_date("%d/%m/%Y")(value)  # type: ignore[no-any-return]
    raise CannotRender("não é um valor simples")


def text_of(value: Any) -> str:
    """A text, or a number as one."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    raise CannotRender("não é um texto")


def number_of(value: Any) -> Decimal:
    """A number, or a text that spells one with a point."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if isinstance(value, Decimal) and value.is_finite():
        return value
    raise CannotRender("não é um número")


def trim(value: Any) -> str | None:
    """Without space at its ends; null where nothing is left."""
    return text_of(value).strip() or None


def digits(value: Any) -> str | None:
    """Its digits alone; null where it has none."""
    return _NOT_DIGITS.sub("", text_of(value)) or None


def upper(value: Any) -> str:
    """In capitals."""
    return text_of(value).upper()


def at_most(length: int) -> Step:
    """Its first characters."""
    return lambda value: text_of(value)[:length]


def shortened(length: int) -> Step:
    """Cut to a number of characters, the last of which then says so."""

    def shorten(value: Any) -> str:
        text = for_people(value)
        return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"

    return shorten


def decimal(places: int) -> Step:
    """A text with a number of decimal places, rounded half up."""
    unit = Decimal(1).scaleb(-places)

    def write(value: Any) -> str:
        try:
            rounded = number_of(value).quantize(unit, context=_WIDE)
        except InvalidOperation:
            raise CannotRender("número grande demais") from None
        return f"{rounded or abs(rounded):f}"  # without the sign of a zero

    return write


_cents = decimal(2)


def brl(value: Any) -> str:
    """An amount as `R$ 1.234,56`."""
    written = _cents(value)
    sign, plain = ("-", written[1:]) if written.startswith("-") else ("", written)
    whole, _, cents = plain.partition(".")
    return f"{sign}R$ {int(whole):,}".replace(",", ".") + f",{cents}"


def check_format(text: str, *, has_hours: bool) -> str | None:
    """What is wrong with a format of dates, for people; null if nothing is."""
    found = re.findall(r"%.?", text)
    for each in found:
        if each not in _DIRECTIVES:
            return f"formato de data desconhecido `{each}`; use {' '.join(_DIRECTIVES)}"
        if each in _OF_HOURS and not has_hours:
            return f"`{each}`: a coluna é um dia, sem hora"
    return None if found else "o formato de data não tem nenhum campo, como %d"


def format_date(text: str) -> Step:
    """A day or a moment in a checked format."""
    parts = [name for name, _ in (_DIRECTIVES[each] for each in re.findall(r"%.", text)) if name]
    compiled = re.sub(r"%.", lambda match: _DIRECTIVES[match[0]][1], text)
    read = attrgetter(*parts) if parts else lambda _: ()
    has_hours = any(each in text for each in _OF_HOURS)

    def write(value: Any) -> str:
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value) if has_hours or len(value) > len("2026-01-01") else _day(value)
            except ValueError:
                raise CannotRender("não é uma data") from None
        if not isinstance(value, date):
            raise CannotRender("não é uma data")
        return compiled % read(value)

    return write


def _day(value: str) -> date:
    return date.fromisoformat(value)
