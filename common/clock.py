"""Brasília's wall clock: the only module that converts times, parses dates and validates windows.

The portal writes its stamps in Brasília civil time without an offset (Manual de Consulta; every recorded answer), so
windows are kept and answered that way. Our own events are aware.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

BRASILIA = ZoneInfo("America/Sao_Paulo")
LONGEST_WINDOW = timedelta(days=365)  # the portal answers 422 to more
EARLIEST = datetime(2021, 1, 1)  # noqa: DTZ001  # wall clock; the PNCP opened in August 2021
FIRST_DAY = EARLIEST.date()
DATE_FORMAT = "YYYY-MM-DDTHH:MM:SS"

_WALL_CLOCK = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")


class WindowError(ValueError):
    """A date or window that the portal does not accept; the text is for the caller, the code for programs."""

    def __init__(self, code: str, text: str, *fields: str, **values: str) -> None:
        """`fields`: those of the request that are to be changed; `values`: what the text says of it."""
        self.code = code
        self.fields = fields
        self.values = values
        super().__init__(text)


def to_wall_clock(moment: datetime) -> datetime:
    """Brasília's wall clock at an aware moment; a naive one is returned as it is."""
    return moment.astimezone(BRASILIA).replace(tzinfo=None) if moment.tzinfo else moment


def parse_wall_clock(text: object, name: str = "data") -> datetime:
    """Read `YYYY-MM-DDTHH:MM:SS`, and only that; `name` is what the error calls it.

    Raises:
        WindowError: any other type, form, offset, or a day that no calendar has.

    """
    if not isinstance(text, str) or not _WALL_CLOCK.fullmatch(text):
        said = f"{name} inválida: use {DATE_FORMAT}, no horário de Brasília e sem fuso"
        raise WindowError("date_form", said, name, name=name)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        said = f"{name} inexistente no calendário: use {DATE_FORMAT}"
        raise WindowError("date_unknown", said, name, name=name) from None


def check_window(start: datetime, end: datetime, now: datetime) -> None:
    """Validate a backfill's window (all three in Brasília's wall clock).

    Raises:
        WindowError: reversed, longer than 365 days, not begun yet, ending more than a day ahead, or before the PNCP.

    """
    if start > end:
        said = "data_ini deve ser anterior ou igual a data_fim"
        raise WindowError("window_reversed", said, "data_ini", "data_fim")
    if start < EARLIEST:
        said = "data_ini é anterior ao PNCP: use uma data a partir de 2021-01-01T00:00:00"
        raise WindowError("window_too_early", said, "data_ini")
    if start > now:
        raise WindowError("window_begins_in_future", "data_ini está no futuro (horário de Brasília)", "data_ini")
    if end > now + timedelta(days=1):
        said = "data_fim está mais de um dia no futuro (horário de Brasília)"
        raise WindowError("window_ends_in_future", said, "data_fim")
    if end - start > LONGEST_WINDOW:
        said = "o intervalo entre data_ini e data_fim não pode passar de 365 dias"
        raise WindowError("window_too_long", said, "data_ini", "data_fim")


def start_of_day(moment: datetime) -> datetime:
    """The first moment of its day."""
    return datetime.combine(moment.date(), datetime.min.time())


def days(start: datetime, end: datetime) -> Iterator[tuple[date, datetime, datetime]]:
    """Split a window at midnights: each day with its part of the window, both ends included."""
    day = start.date()
    while day <= end.date():
        midnight = datetime.combine(day, datetime.min.time())
        yield day, max(start, midnight), min(end, midnight + timedelta(days=1, seconds=-1))
        day += timedelta(days=1)
