"""What is to be kept complete: the goal of each resource, and which of its days are owed.

A goal is a day from which on a resource is to be complete. The setting MIRROR_FROM gives it, until an administrator has
set or removed the goal of that resource, in the table `goals`. What is missing follows from the ledger
(`common/coverage.py`), and is stored nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import to_wall_clock
from common.resources import RESOURCE_NAMES
from common.resources.description import Resource

OWED_AFTER = timedelta(hours=7)
"""After its end a day is owed: before, the sweep of the night may read it, and records come late."""

_DAY = timedelta(days=1)
_LOAD = text("SELECT resource, from_day, set_by, set_at, paused_by, paused_at, pause_reason FROM goals")


@dataclass(frozen=True)
class Goal:
    """From which day on a resource is to be complete (`None`: it is not), who has said so, and whether it waits."""

    resource: str
    from_day: date | None = None
    origin: Literal["setting", "api"] | None = None
    set_by: str | None = None
    set_at: datetime | None = None
    paused_by: str | None = None
    paused_at: datetime | None = None
    pause_reason: str | None = None

    @property
    def is_filled(self) -> bool:
        """Whether its missing days are read."""
        return self.from_day is not None and self.paused_at is None


async def load_goals(db: AsyncConnection, setting: Mapping[str, date]) -> dict[str, Goal]:
    """The goal of every resource, by its name. `setting`: the days of MIRROR_FROM."""
    rows = (await db.execute(_LOAD)).mappings()
    known = {row["resource"]: dict(row) for row in rows}
    return {resource: _to_goal(resource, known.get(resource, {}), setting.get(resource)) for resource in RESOURCE_NAMES}


def _to_goal(resource: str, row: Mapping[str, Any], setting: date | None) -> Goal:
    is_set = row.get("set_at") is not None
    day = row.get("from_day") if is_set else setting
    origin: Literal["setting", "api"] | None = "api" if is_set else None if day is None else "setting"
    return Goal(**{**row, "resource": resource, "from_day": day, "origin": origin})


def owed_span(resource: Resource, from_day: date, now: datetime) -> tuple[date, date] | None:
    """The first and the last closed day that a goal asks for at an aware moment; `None` before there is one.

    What the portal's listing does not have is not asked for.
    """
    begins = resource.listings[resource.day_criterio].begins
    first = from_day if begins is None else max(from_day, begins)
    last = to_wall_clock(now - OWED_AFTER).date() - _DAY
    return (first, last) if first <= last else None
