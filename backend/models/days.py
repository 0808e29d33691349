"""A day as queries and bodies give it."""

import re
from datetime import date

from backend.language.values import InvalidValueError

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_day(value: str, name: str) -> date:
    """Read `YYYY-MM-DD`, and only that.

    Raises:
        InvalidValueError: any other form, or a day that no calendar has.

    """
    if not _DAY.fullmatch(value):
        raise InvalidValueError("day_form", name, name=name)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InvalidValueError("day_unknown", name, name=name) from None
