"""The schedule: cron ticks, each elected by a unique row that one transaction writes with its executions.

Every ingestor checks every few seconds, by the database's clock. An update is one execution. A sweep is one execution
per span of days that it owes, by each criterio; `owed_days` computes them.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import coverage
from common.clock import LONGEST_WINDOW, to_wall_clock
from common.config import to_action
from common.cron import latest_due
from common.lifecycle import Mode, admission
from common.resources import RESOURCES_BY_NAME
from common.resources.description import Criterio
from ingestor.planning import Rules

log = structlog.get_logger(__name__)

LATEST = timedelta(minutes=10)
"""A tick that is missed for longer is dropped: the next update's window and the next sweep's days cover it."""

KEEP_TICKS_DAYS = 56
REREAD_DAYS = 30
REREAD_CHANGES_DAYS = 3
"""A change may become visible hours after its stamp, when the sweep of its day is over."""
SUNDAY = 7
MOST_SPANS = 5
"""Executions per criterio and sweep; where the days that are owed lie more scattered, those between are read again."""

_DAY = timedelta(days=1)
_LAST_SECOND = time(23, 59, 59)

Span = tuple[date, date]

_LOOK = text("""
    SELECT s.name, s.cron, s.paused_at IS NOT NULL AS is_paused, now() AS moment,
           greatest(s.effective_at, (SELECT max(t.due_at) FROM schedule_ticks t WHERE t.schedule = s.name)) AS settled
      FROM schedules s WHERE s.name = ANY(:names)
     ORDER BY s.name DESC
""")
_OPEN = text("INSERT INTO schedules (name) SELECT unnest(CAST(:names AS text[])) ON CONFLICT (name) DO NOTHING")
# a concurrent pause or change waits for this transaction, or this one finds the tick settled
_STILL_DUE = text("""
    SELECT 1 FROM schedules WHERE name = :name AND paused_at IS NULL AND effective_at < :due_at FOR SHARE
""")
_ELECT = text("""
    INSERT INTO schedule_ticks (schedule, due_at) VALUES (:name, :due_at) ON CONFLICT (schedule, due_at) DO NOTHING
""")
_SETTLE = text("""
    UPDATE schedule_ticks SET execution_ids = :execution_ids, skipped_reason = :skipped_reason
     WHERE schedule = :name AND due_at = :due_at
""")
_FORGET = text("DELETE FROM schedule_ticks WHERE due_at < CAST(:due_at AS timestamptz) - make_interval(days => :days)")

# Any update does the work of the schedule's, whatever its trigger.
_RUNNING = "SELECT min(id) FROM sync_executions WHERE status = 'running' AND kind = 'sync' AND resource = :resource"
_PREDECESSOR = {"update": text(_RUNNING + " AND mode = 'update'"), "sweep": text(_RUNNING + " AND trigger = 'sweep'")}


@dataclass(frozen=True)
class Outcome:
    """What a tick came to: the executions that it started, or why it started none."""

    execution_ids: list[int] | None = None
    skipped_reason: str | None = None


Start = Callable[[AsyncConnection, str, datetime], Awaitable[Outcome]]
"""Starts what a tick of a schedule stands for, in its transaction."""


async def tick(
    engine: AsyncEngine, rules: Rules, crons: Mapping[str, str], *, at_most: int = admission.MAX_UNFINISHED
) -> list[int]:
    """Look once at every schedule, and start what is due and no other ingestor has started; answers the executions.

    `rules` say which parts a resource has. `crons`: each schedule's setting by its name, which holds unless an
    administrator has given it another.
    """
    return await tick_each(engine, crons, partial(_start, rules=rules, at_most=at_most))


async def tick_each(engine: AsyncEngine, crons: Mapping[str, str], start: Start) -> list[int]:
    """Look once at every schedule of `crons`, and `start` what is due and no other worker has; answers the executions.

    `start` is given the transaction, the schedule's name, and the tick.
    """
    async with engine.connect() as db:
        known = (await db.execute(_LOOK, {"names": list(crons)})).all()
    if len(known) < len(crons):  # a new database; what was due before it knew of the schedule is not made up for
        async with engine.begin() as db:
            await db.execute(_OPEN, {"names": list(crons)})
        return []
    started: list[int] = []
    for row in known:
        due_at = None if row.is_paused else due(row.cron or crons[row.name], row.settled, row.moment)
        outcome = None if due_at is None else await _run_tick(engine, row.name, due_at, start)
        if outcome is not None:
            started += outcome.execution_ids or []
    return started


def due(cron: str, settled: datetime, moment: datetime) -> datetime | None:
    """The tick to run now (all aware): the latest one, if it is neither settled nor late; those before it are one."""
    return latest_due(cron, max(settled, moment - LATEST), moment)


async def run_tick(
    engine: AsyncEngine, rules: Rules, name: str, due_at: datetime, *, at_most: int = admission.MAX_UNFINISHED
) -> Outcome | None:
    """Run one tick, whole or not at all; `None` if another ingestor has, or if it is not due any more."""
    return await _run_tick(engine, name, due_at, partial(_start, rules=rules, at_most=at_most))


async def _run_tick(engine: AsyncEngine, name: str, due_at: datetime, start: Start) -> Outcome | None:
    key = {"name": name, "due_at": due_at}
    async with engine.begin() as db:
        if (await db.execute(_STILL_DUE, key)).one_or_none() is None:
            return None
        if (await db.execute(_ELECT, key)).rowcount == 0:
            return None
        outcome = await start(db, name, due_at)
        settled = {"execution_ids": outcome.execution_ids, "skipped_reason": outcome.skipped_reason}
        await db.execute(_SETTLE, key | settled)
        await db.execute(_FORGET, {"due_at": due_at, "days": KEEP_TICKS_DAYS})
    log.info("scheduled tick", schedule=name, due_at=due_at.isoformat(), **settled)
    for execution_id in outcome.execution_ids or []:
        log.info("execution accepted", execution_id=execution_id, schedule=name, due_at=due_at.isoformat())
    return outcome


async def _start(db: AsyncConnection, name: str, due_at: datetime, *, rules: Rules, at_most: int) -> Outcome:
    """What a tick starts. Its update needs no room below `at_most`; what a sweep finds no room for stays owed."""
    await admission.queue_up(db)
    resource, action = to_action(name)
    predecessor: int | None = (await db.execute(_PREDECESSOR[action], {"resource": resource})).scalar_one()
    if predecessor is not None:
        return Outcome(skipped_reason=f"a execução {predecessor} ainda não terminou")
    if action == "update":
        return Outcome(await _create(db, resource, mode="update", trigger="schedule"))
    today = to_wall_clock(due_at).date()
    owed = {
        criterio: await _note_owed(db, resource, criterio, rules.parts_of(resource), today)
        for criterio in RESOURCES_BY_NAME[resource].listings
    }
    if not any(owed.values()):
        return Outcome(skipped_reason="não há dia por ler")
    started: list[int] = []
    for criterio, spans in owed.items():
        for first, last in spans:
            window = (datetime.combine(first, time.min), datetime.combine(last, _LAST_SECOND))
            started += await _create(
                db, resource, mode="backfill", trigger="sweep", criterio=criterio, window=window, at_most=at_most
            )
    if not started:
        return Outcome(skipped_reason=f"já há {at_most} execuções em andamento")
    return Outcome(started)


async def _create(
    db: AsyncConnection,
    resource: str,
    *,
    mode: Mode,
    trigger: str,
    criterio: Criterio | None = None,
    window: tuple[datetime | None, datetime | None] = (None, None),
    at_most: int | None = None,
) -> list[int]:
    created = await admission.create(
        db,
        mode=mode,
        criterio=criterio,
        window_start=window[0],
        window_end=window[1],
        trigger=trigger,
        resource=resource,
        at_most=at_most,
    )
    return [] if created is None else [created]


async def _note_owed(
    db: AsyncConnection, resource: str, criterio: Criterio, parts: Iterable[int], today: date
) -> list[Span]:
    """The spans that a sweep of `today` has to read: the days that any part owes, which it does until they are read."""
    swept = await coverage.load_swept(db, parts, resource=resource, criterio=criterio)
    owed = {
        part: owed_days(known.first, known.read, today, rereads_month=_rereads_month(resource, criterio))
        for part, known in swept.items()
    }
    first = {part: min(days) for part, days in owed.items() if days}
    await coverage.note_swept(db, first, resource=resource, criterio=criterio)
    return to_spans(set().union(*owed.values()))


def _rereads_month(resource: str, criterio: Criterio) -> bool:
    """Whether what was changed late is found by the listing's own days alone: it shows a record on one day for ever."""
    return criterio == "publicacao" or not RESOURCES_BY_NAME[resource].shows_changes


def owed_days(first_tried: date | None, read: Collection[date], today: date, *, rereads_month: bool) -> set[date]:
    """The closed days that a sweep of `today` has to read of one listing.

    That is every day, from the first that any sweep has had to read to yesterday, which has not been `read` whole since
    it ended; before the first sweep, yesterday. Read or not, also the last three days; with `rereads_month` the last 30
    instead, on Sundays alone.
    """
    yesterday = today - _DAY
    first = yesterday if first_tried is None else first_tried
    owed = {first + n * _DAY for n in range((yesterday - first).days + 1)} - set(read)
    if not rereads_month:
        owed |= {today - n * _DAY for n in range(1, REREAD_CHANGES_DAYS + 1)}
    elif today.isoweekday() == SUNDAY:
        owed |= {today - n * _DAY for n in range(1, REREAD_DAYS + 1)}
    return owed


def to_spans(days: Iterable[date]) -> list[Span]:
    """Days as spans from first to last, in order: few, and none longer than the portal answers."""
    spans: list[Span] = []
    for day in sorted(days):
        if spans and (len(spans) > MOST_SPANS - 1 or day - spans[-1][1] == _DAY):
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return [piece for span in spans for piece in _cut(span)]


def _cut(span: Span) -> list[Span]:
    first, last = span
    pieces: list[Span] = []
    while first <= last:
        end = min(first + LONGEST_WINDOW - _DAY, last)
        pieces.append((first, end))
        first = end + _DAY
    return pieces
