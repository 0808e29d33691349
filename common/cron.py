"""Cron expressions on Brasília's wall clock: validation and next runs. The only module that imports the library.

Five fields (minute, hour, day, month, weekday), as on Debian: if both day and weekday are restricted, either matches.
"""

from datetime import UTC, datetime
from itertools import islice

from cronsim import CronSim, CronSimError

from common.clock import BRASILIA

LONGEST_CRON = 100
_FIELDS = 5


class CronError(ValueError):
    """Not a cron expression, or one that never matches."""


def check_cron(text: str) -> str:
    """The expression with single spaces.

    Raises:
        CronError: it is not one of five fields, or no day ever fits it.

    """
    cron = " ".join(text.split())
    # the library would take seconds as a sixth field
    if len(cron) > LONGEST_CRON or len(cron.split()) != _FIELDS or not next_runs(cron, datetime.now(UTC), 1):
        raise CronError("not a cron expression of five fields that ever comes up")
    return cron


def next_runs(cron: str, after: datetime, count: int) -> list[datetime]:
    """The next `count` times after an aware moment, with Brasília's offset; fewer if half a century has fewer.

    Raises:
        CronError: no cron expression.

    """
    return list(islice(_times(cron, after), count))


def latest_due(cron: str, after: datetime, until: datetime) -> datetime | None:
    """The last time after one aware moment and not after another, or `None`; meant for spans of minutes."""
    latest = None
    for time in _times(cron, after):
        if time > until:
            break
        latest = time
    return latest


def _times(cron: str, after: datetime) -> CronSim:
    try:
        return CronSim(cron, after.astimezone(BRASILIA))
    except CronSimError:
        raise CronError("not a cron expression") from None
