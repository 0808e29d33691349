"""Filling goals: closed days that are to be kept and are missing become executions, the newest days first.

An execution reads days in a row that lack the same parts, so that nothing is read which the ledger has. A goal has one
execution at a time, and as long as requests need the room for executions, none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.coverage import MissingDay, load_missing
from common.goals import load_goals, owed_span
from common.lifecycle import GOAL_TRIGGER, admission
from common.resources import RESOURCES
from common.resources.description import Resource
from ingestor.planning import Rules

log = structlog.get_logger(__name__)

MOST_DAYS = 31
FIRST_WAIT = timedelta(hours=1)
LONGEST_WAIT = timedelta(days=7)
LOOK_BACK = timedelta(days=60)
"""Failures older than this count no more; history is kept as long at least."""

_DAY = timedelta(days=1)
_LAST_SECOND = time(23, 59, 59)

Span = tuple[date, date]

_NOW = text("SELECT now()")
# Days that another backfill is about to read are not read twice.
_UNDER_WAY = text("""
    SELECT trigger = :goal AS for_goal, CAST(window_start AS date) AS first, CAST(window_end AS date) AS last
      FROM sync_executions
     WHERE status = 'running' AND kind = 'sync' AND resource = :resource AND mode = 'backfill'
       AND criterio = :criterio
""")
# What ended because there was no portal, no ingestor or no wish for it says nothing about its days.
_TRIED = text("""
    SELECT CAST(e.window_start AS date) AS first, CAST(e.window_end AS date) AS last, e.finished_at,
           e.status = 'error' AS has_failed,
           EXISTS (SELECT FROM sync_slices s WHERE s.execution_id = e.id AND s.status = 'success') AS has_read
      FROM sync_executions e
     WHERE e.trigger = 'goal' AND e.resource = :resource AND e.finished_at > now() - CAST(:look_back AS interval)
       AND (e.cause IS NULL OR e.cause NOT IN ('cancelled', 'no_worker', 'portal_down'))
     ORDER BY e.id DESC
""")


@dataclass(frozen=True)
class Tried:
    """An execution for the goal that has ended; `has_read`: some of its slices were read."""

    first: date
    last: date
    finished_at: datetime
    has_failed: bool
    has_read: bool


@dataclass(frozen=True)
class Filling:
    """What an execution for a goal is to read; `parts` is `None` where it is all of them."""

    first: date
    last: date
    parts: tuple[int, ...] | None


async def fill_goals(
    engine: AsyncEngine,
    rules: Rules,
    setting: Mapping[str, date],
    *,
    at_most: int = admission.MAX_UNFINISHED,
) -> list[int]:
    """Start what goals miss and no other ingestor has started; answers the executions.

    `setting`: the days of MIRROR_FROM. Half of the `at_most` unfinished executions is left to others.
    """
    started: list[int] = []
    async with engine.connect() as db:
        goals = await load_goals(db, setting)
        wanted = [
            resource
            for resource in RESOURCES
            if goals[resource.name].is_filled and await _find(db, rules, resource, setting) is not None
        ]
    for resource in wanted:
        async with engine.begin() as db:
            await admission.queue_up(db)
            found = await _find(db, rules, resource, setting)  # another ingestor may just have started it
            created = None if found is None else await _create(db, resource, found, max(1, at_most // 2))
        if created is not None and found is not None:
            days = {"first_day": found.first.isoformat(), "last_day": found.last.isoformat()}
            log.info("execution accepted", execution_id=created, trigger=GOAL_TRIGGER, resource=resource.name, **days)
            started.append(created)
    return started


async def _create(db: AsyncConnection, resource: Resource, found: Filling, at_most: int) -> int | None:
    return await admission.create(
        db,
        mode="backfill",
        criterio=resource.day_criterio,
        window_start=datetime.combine(found.first, time.min),
        window_end=datetime.combine(found.last, _LAST_SECOND),
        trigger=GOAL_TRIGGER,
        resource=resource.name,
        parts=found.parts,
        at_most=at_most,
    )


async def _find(db: AsyncConnection, rules: Rules, resource: Resource, setting: Mapping[str, date]) -> Filling | None:
    """What the goal of a resource misses and nothing is about to read.

    The goal is looked at after the executions: cancelling one of them pauses it in the same transaction.
    """
    listing = {"resource": resource.name, "criterio": resource.day_criterio}
    under_way = (await db.execute(_UNDER_WAY, {**listing, "goal": GOAL_TRIGGER})).all()
    goal = (await load_goals(db, setting))[resource.name]
    if goal.from_day is None or not goal.is_filled or any(row.for_goal for row in under_way):
        return None
    now = (await db.execute(_NOW)).scalar_one()
    span = owed_span(resource, goal.from_day, now)
    if span is None:
        return None
    parts = rules.parts_of(resource.name)
    missing = await load_missing(db, parts, span, **listing)
    tried = await db.execute(_TRIED, {"resource": resource.name, "look_back": LOOK_BACK})
    chosen = choose(missing, [Tried(*row) for row in tried], [(row.first, row.last) for row in under_way], now)
    return (
        chosen if chosen is None or chosen.parts != tuple(sorted(parts)) else Filling(chosen.first, chosen.last, None)
    )


def choose(
    missing: Iterable[MissingDay], tried: Sequence[Tried], under_way: Sequence[Span], now: datetime
) -> Filling | None:
    """The newest days in a row that may be read now and lack the same parts.

    `missing` and `tried` from the newest to the oldest. Nothing may be read as long as the newest tries have failed
    without reading anything, and the wait after them is not over.
    """
    fruitless = _fruitless(tried)
    if fruitless and now < fruitless[0].finished_at + wait_after(len(fruitless)):
        return None
    last = first = parts = None
    for one in missing:
        is_free = not any(start <= one.day <= end for start, end in under_way) and now >= due_again(one.day, tried)
        if last is None or first is None:
            if is_free:
                last, first, parts = one.day, one.day, one.parts
        elif is_free and one.parts == parts and one.day == first - _DAY and last - one.day < MOST_DAYS * _DAY:
            first = one.day
        else:
            break
    return None if first is None or last is None else Filling(first, last, parts)


def _fruitless(tried: Sequence[Tried]) -> list[Tried]:
    """The newest executions, up to the first that has not failed or has read something."""
    found: list[Tried] = []
    for one in tried:
        if not one.has_failed or one.has_read:
            break
        found.append(one)
    return found


def due_again(day: date, tried: Iterable[Tried]) -> datetime:
    """From when on a missing day may be read: the wait doubles with each failed execution that was to read it."""
    failed = [one.finished_at for one in tried if one.has_failed and one.first <= day <= one.last]
    return max(failed) + wait_after(len(failed)) if failed else datetime.min.replace(tzinfo=UTC)


def wait_after(failures: int) -> timedelta:
    """How long to wait after so many failures."""
    return min(FIRST_WAIT * 2.0 ** min(failures - 1, 30), LONGEST_WAIT)
