"""Values of files as values of columns."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from common.mapping.problem import At, Problem
from common.mapping.templates import KIND_NAMES, TEXTS
from common.resources.description import Kind


def typed(value: Any, kind: Kind, at: At) -> Any:
    """A value as the driver gives and takes it for a column of a kind.

    Raises:
        Problem: it is none of that kind.

    """
    read = _READERS[kind](value)
    if read is None:
        quotes = "; coloque entre aspas" if kind in TEXTS and value is not None else ""
        raise Problem(at, f"esperava {KIND_NAMES[kind]}{quotes}")
    return read


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> Decimal | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", value):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value))
    return None if _integer(value) is None else Decimal(value)


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _day(value: Any) -> date | None:
    return value if type(value) is date else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time.min) if isinstance(value, date) else None


_READERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.SHORT_TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.LONG: _integer,
    Kind.CODE: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.DAY: _day,
    Kind.MOMENT: _moment,
    Kind.STAMP: _moment,
}
