"""Values of a cursor: days, moments, whole numbers, or texts that are written as moments are in ISO 8601.

Such texts are what databases without a type for moments have; they are in order where all are written alike.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from common.clock import to_wall_clock

_TIMESPECS = {16: "minutes", 19: "seconds", 23: "milliseconds", 26: "microseconds"}
_DAY = 10


def moment_of(written: str) -> datetime | None:
    """The moment that a text says, without a zone; null where it says none, or with more or other signs."""
    if len(written) != _DAY and len(written) not in _TIMESPECS:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return None if moment.tzinfo is not None or written[4:5] != "-" else moment


def since_of(cursor: Any, lag: timedelta) -> Any:
    """From which value on rows are read again, as writers may be late by `lag`; numbers have none."""
    if isinstance(cursor, int | Decimal):
        return cursor
    if isinstance(cursor, str):
        moment = moment_of(cursor)
        return cursor if moment is None else _as_written(moment - lag, cursor)
    return cursor - lag


def beyond(value: Any, latest: datetime) -> Any:
    """`latest` (aware) as a value of the same kind, where the value is later than that; else null."""
    match value:
        case datetime():
            bound: Any = latest if value.tzinfo is not None else to_wall_clock(latest)
        case date():
            bound = to_wall_clock(latest).date()
        case str():
            bound = _as_written(to_wall_clock(latest), value)
        case _:
            return None
    return bound if value > bound else None


def _as_written(moment: datetime, like: str) -> str:
    if len(like) == _DAY:
        return moment.date().isoformat()
    return moment.isoformat(sep=like[_DAY], timespec=_TIMESPECS[len(like)])
