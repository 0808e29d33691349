"""Planning: an execution becomes its window and its slices, once, in one transaction; the rest is pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import watermarks
from common.clock import EARLIEST, LONGEST_WINDOW, days, to_wall_clock
from common.database import is_database_trouble
from common.execution_log import log_finished
from common.lifecycle import admission, executions
from common.lifecycle.executions import Execution
from common.lifecycle.slices import PlannedSlice
from common.resources.dominios import DOMINIOS
from common.watermarks import Beyond
from ingestor.loops import was_upgraded

log = structlog.get_logger(__name__)

LONGEST_GAP = timedelta(days=7)
GAP_TRIGGER = "gap"


@dataclass(frozen=True)
class Rules:
    """The settings of planning.

    `parts`: those of each divided resource, by its name.
    """

    parts: Mapping[str, tuple[int, ...]]
    rolling_window: timedelta
    overlap: timedelta

    def parts_of(self, resource: str) -> tuple[int, ...]:
        """The parts that have a listing of their own; of a resource that is not divided, 0 stands for the whole."""
        return self.parts.get(resource, (0,))


@dataclass(frozen=True)
class Gap:
    """Parts of a resource whose updates stopped so long ago that a backfill must close the gap."""

    parts: tuple[int, ...]
    window_start: datetime
    window_end: datetime


_NOW = text("SELECT now()")


async def plan_next(
    engine: AsyncEngine, rules: Rules, *, older_than_seconds: float, execution_id: int | None = None
) -> int | None:
    """Plan the named execution, or the oldest that has waited long enough; answers its id, `None` if there is none.

    An execution that cannot be planned is ended: otherwise every ingestor would try it first, for ever.
    """
    execution = None
    try:
        async with engine.begin() as db:
            execution = await executions.lock_unplanned(
                db, older_than_seconds=older_than_seconds, execution_id=execution_id
            )
            if execution is None:
                return None
            slices, bridges = await _plan(db, execution, rules)
    except Exception as error:
        if execution is None or is_database_trouble(error) or await was_upgraded(error, engine):
            raise
        log.exception("execution cannot be planned", execution_id=execution.id)
        await _give_up(engine, execution.id, f"planning failed: {type(error).__name__}")
    else:
        log.info(
            "execution planned",
            execution_id=execution.id,
            resource=execution.resource,
            mode=execution.mode,
            slices=len(slices),
            window_start=min(piece.window_start for piece in slices).isoformat(),
            window_end=max(piece.window_end for piece in slices).isoformat(),
        )
        for bridge in bridges:
            log.warning("updates stopped long ago, a backfill bridges the gap", execution_id=execution.id, **bridge)
            log.info("execution accepted", execution_id=bridge["backfill"], mode="backfill", trigger=GAP_TRIGGER)
    return execution.id


async def _give_up(engine: AsyncEngine, execution_id: int, message: str) -> None:
    async with engine.begin() as db:
        if not await executions.end(db, execution_id, status="error", cause="internal", error_message=message):
            return
        summary = await executions.summarize(db, execution_id)
    log_finished(execution_id, summary)


async def _plan(
    db: AsyncConnection, execution: Execution, rules: Rules
) -> tuple[list[PlannedSlice], list[dict[str, Any]]]:
    """Write the slices of a locked execution; answers them, and the backfills that bridge a gap before them."""
    now = to_wall_clock((await db.execute(_NOW)).scalar_one()).replace(microsecond=0)
    bridges: list[dict[str, Any]] = []
    if execution.resource == DOMINIOS:
        slices = [whole_lists(now)]
    elif execution.mode == "backfill":
        slices = backfill_slices(execution, rules.parts_of(execution.resource))
    else:
        slices, gap = await _plan_update(db, execution.resource, now, rules)
        if gap is not None:
            await admission.queue_up(db)  # another ingestor may just have begun to bridge it
            slices, gap = await _plan_update(db, execution.resource, now, rules)
        if gap is not None:
            bridges = await _bridge(db, execution.resource, gap)
    await executions.plan(db, execution, slices)
    return slices, bridges


async def _plan_update(
    db: AsyncConnection, resource: str, now: datetime, rules: Rules
) -> tuple[list[PlannedSlice], Gap | None]:
    parts = rules.parts_of(resource)
    return update_slices(await watermarks.load_beyond(db, parts, resource=resource), parts, now, rules)


def backfill_slices(execution: Execution, parts: tuple[int, ...]) -> list[PlannedSlice]:
    """One slice per day and part of the execution's window; for a goal the newest day first."""
    if execution.window_start is None or execution.window_end is None:
        raise ValueError("a backfill has a window")
    chosen = execution.parts or parts
    window = list(days(execution.window_start, execution.window_end))
    return [
        PlannedSlice(part, day, day, start, end)
        for day, start, end in (reversed(window) if execution.for_goal else window)
        for part in chosen
    ]


def whole_lists(now: datetime) -> PlannedSlice:
    """The slice of the domain tables: their lists hold for all time, so that a later reading makes good a failure."""
    return PlannedSlice(0, EARLIEST.date(), now.date(), EARLIEST, now)


def update_slices(
    known: Mapping[int, Beyond], parts: Iterable[int], now: datetime, rules: Rules
) -> tuple[list[PlannedSlice], Gap | None]:
    """One slice per part, each from where its updates have got to; and the gap that is too long for that.

    `known`: per part how far it has been read, in Brasília's wall clock like `now`. A gap that is being bridged
    is not bridged again; the updates meanwhile follow on each other beyond it.
    """
    recent = now - rules.rolling_window
    slices: list[PlannedSlice] = []
    gaps: dict[int, tuple[datetime, datetime]] = {}
    for part in parts:
        mark = known.get(part)
        start = min(recent, _read_on(mark, now) - rules.overlap)
        slices.append(PlannedSlice(part, start.date(), now.date(), start, now))
        if mark is not None and now - mark.reached > LONGEST_GAP and not mark.is_bridged:
            gaps[part] = mark.reached - rules.overlap, mark.resumes or now
    if not gaps:
        return slices, None
    return slices, Gap(tuple(gaps), min(start for start, _ in gaps.values()), max(end for _, end in gaps.values()))


def _read_on(mark: Beyond | None, now: datetime) -> datetime:
    """Where an update begins: at the end of its listing's readings, or beyond a gap too long for an update."""
    ends = () if mark is None else (mark.reached, mark.newest)
    return next((end for end in ends if now - end <= LONGEST_GAP), now)


async def _bridge(db: AsyncConnection, resource: str, gap: Gap) -> list[dict[str, Any]]:
    """Record the backfills that close a gap, each no longer than the portal's limit; answers their log fields."""
    bridges = []
    start = gap.window_start
    while start <= gap.window_end:
        end = min(start + LONGEST_WINDOW, gap.window_end)
        backfill = await admission.create(
            db,
            mode="backfill",
            criterio="atualizacao",
            window_start=start,
            window_end=end,
            trigger=GAP_TRIGGER,
            resource=resource,
            parts=gap.parts,
        )
        bridges.append({"backfill": backfill, "window_start": start.isoformat(), "window_end": end.isoformat()})
        start = end + timedelta(seconds=1)
    return bridges
