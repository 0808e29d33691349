"""The goals for administrators: how far each has got, what another one comes to, and its changes.

Every change takes the lock under which executions are created, so that it holds as soon as it is answered.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.models.goals import Goal, GoalPlan
from backend.services.plan import (
    DayKind,
    Estimate,
    estimate_bytes,
    estimate_days,
    estimate_seconds,
    kind_of,
    load_parts,
    load_past,
)
from common import goals
from common.coverage import MissingDay, load_missing
from common.database import run_again
from common.goals import load_goals, owed_span
from common.lifecycle import GOAL_TRIGGER, admission
from common.resources import RESOURCE_NAMES, RESOURCES, RESOURCES_BY_NAME
from common.resources.description import Resource

log = structlog.get_logger(__name__)

_HOUR_SECONDS = 3600

_NOW = text("SELECT now()")
_UNFINISHED = text("""
    SELECT resource, max(id) AS id FROM sync_executions WHERE trigger = 'goal' AND status = 'running' GROUP BY resource
""")
# What was cut off with its execution has not failed by itself.
_FAILED = text("""
    SELECT DISTINCT first_day AS day, part FROM sync_slices
     WHERE resource = :resource AND criterio = :criterio AND mode = 'backfill' AND status = 'error'
       AND cause <> 'cut_off' AND first_day BETWEEN :first AND :last
""")
_REJECTED = text("""
    SELECT DISTINCT r.day
      FROM rejected_records r
      JOIN read_days d ON d.resource = :resource AND d.criterio = :criterio AND d.day = r.day AND d.part = r.part
     WHERE r.resolved_at IS NULL AND r.resource = ANY(CAST(:tables AS text[])) AND r.day BETWEEN :first AND :last
       AND r.last_seen >= d.began_at
""")
_SET = text("""
    INSERT INTO goals (resource, from_day, set_by, set_at) VALUES (:resource, :from_day, :who, now())
        ON CONFLICT (resource) DO UPDATE SET from_day = excluded.from_day, set_by = excluded.set_by,
           set_at = excluded.set_at
""")
_REMOVE = text("""
    INSERT INTO goals (resource, set_by, set_at) VALUES (:resource, :who, now())
        ON CONFLICT (resource) DO UPDATE SET from_day = NULL, set_by = excluded.set_by, set_at = excluded.set_at,
           paused_at = NULL, paused_by = NULL, pause_reason = NULL
""")
_PAUSE = """
    INSERT INTO goals AS known (resource, paused_at, paused_by, pause_reason)
    {paused}
        ON CONFLICT (resource) DO UPDATE SET paused_at = excluded.paused_at, paused_by = excluded.paused_by,
           pause_reason = excluded.pause_reason
     WHERE known.paused_at IS NULL AND (known.set_at IS NULL OR known.from_day IS NOT NULL)
"""
_PAUSE_ONE = text(_PAUSE.format(paused="VALUES (:resource, now(), :who, :reason)"))
_PAUSE_OF_EXECUTION = text(
    _PAUSE.format(
        paused="SELECT resource, now(), :who, :reason FROM sync_executions WHERE id = :id AND trigger = :goal"
    )
)
_RESUME = text("""
    UPDATE goals SET paused_at = NULL, paused_by = NULL, pause_reason = NULL
     WHERE resource = :resource AND paused_at IS NOT NULL
""")


@dataclass(frozen=True)
class Progress:
    """How far a goal has got: its closed days, those that are missing from the newest on, and what is wrong of both."""

    goal: goals.Goal
    days: int = 0
    missing: Sequence[MissingDay] = ()
    days_failed: int = 0
    days_rejected: int = 0

    @property
    def days_complete(self) -> int:
        """The days of which everything is stored."""
        return self.days - len(self.missing) - self.days_rejected


async def _load_progress(db: AsyncConnection, resource: Resource, goal: goals.Goal, now: datetime) -> Progress:
    span, missing = await _load_missing(db, resource, goal.from_day, now)
    if span is None:
        return Progress(goal)
    parts_of = {one.day: one.parts for one in missing}
    asked = {"resource": resource.name, "criterio": resource.day_criterio, "first": span[0], "last": span[1]}
    failed = {row.day for row in await db.execute(_FAILED, asked) if row.part in parts_of.get(row.day, ())}
    rejected = set((await db.execute(_REJECTED, {**asked, "tables": list(resource.tables)})).scalars())
    return Progress(goal, (span[1] - span[0]).days + 1, missing, len(failed), len(rejected - set(parts_of)))


async def _load_missing(
    db: AsyncConnection, resource: Resource, from_day: date | None, now: datetime
) -> tuple[tuple[date, date] | None, list[MissingDay]]:
    """The closed days that a goal from this day on asks for, and those of them that are missing."""
    span = None if from_day is None else owed_span(resource, from_day, now)
    if span is None:
        return None, []
    parts = await load_parts(db, resource)
    return span, await load_missing(db, parts, span, resource=resource.name, criterio=resource.day_criterio)


async def load_days_missing(db: AsyncConnection, setting: Mapping[str, date]) -> dict[str, int]:
    """How many days the goal of each resource misses, by its name; 0 where there is no goal."""
    now = (await db.execute(_NOW)).scalar_one()
    found = {}
    for name, goal in (await load_goals(db, setting)).items():
        _, missing = await _load_missing(db, RESOURCES_BY_NAME[name], goal.from_day, now)
        found[name] = len(missing)
    return found


async def list_goals(
    db: AsyncConnection, setting: Mapping[str, date], resources: Iterable[Resource] = RESOURCES
) -> list[Goal]:
    """The goals of these resources with what is left to do. `setting`: the days of MIRROR_FROM."""
    now = (await db.execute(_NOW)).scalar_one()
    known = await load_goals(db, setting)
    unfinished = {row.resource: row.id for row in await db.execute(_UNFINISHED)}
    return [
        await _to_answer(db, await _load_progress(db, one, known[one.name], now), unfinished.get(one.name))
        for one in resources
    ]


async def plan_goal(db: AsyncConnection, name: str, from_day: date) -> GoalPlan:
    """What filling a goal from this day on comes to.

    Raises:
        NotFoundError: there is no such resource.

    """
    resource = _named(name)
    now = (await db.execute(_NOW)).scalar_one()
    _, missing = await _load_missing(db, resource, from_day, now)
    estimate = await _estimate(db, resource, missing)
    seconds, pace = await estimate_seconds(db, resource, "backfill", estimate.work)
    records = round(estimate.work.records)
    return GoalPlan(
        resource=name,
        from_day=from_day,
        days=len(missing),
        slices=sum(len(one.parts) for one in missing),
        requests=round(estimate.work.requests),
        records=records,
        hours=_hours(seconds),
        bytes=round(await estimate_bytes(db, resource, records)),
        basis=f"{estimate.basis}; {pace}." if missing else "Nada falta.",
    )


@run_again
async def set_goal(engine: AsyncEngine, setting: Mapping[str, date], name: str, *, from_day: date, who: str) -> Goal:
    """Keep a resource complete from this day on; a pause stays.

    Raises:
        NotFoundError: there is no such resource.

    """
    await _change(engine, _SET, name, from_day=from_day, who=who)
    log.info("goal set", resource=name, from_day=from_day.isoformat(), who=who)
    return await _load(engine, setting, name)


@run_again
async def remove_goal(engine: AsyncEngine, setting: Mapping[str, date], name: str, *, who: str) -> Goal:
    """Keep nothing of a resource complete, whatever the setting says; what is under way continues.

    Raises:
        NotFoundError: there is no such resource.

    """
    await _change(engine, _REMOVE, name, who=who)
    log.info("goal removed", resource=name, who=who)
    return await _load(engine, setting, name)


@run_again
async def pause_goal(engine: AsyncEngine, setting: Mapping[str, date], name: str, *, reason: str, who: str) -> Goal:
    """Start nothing more for a goal; what is under way continues.

    Raises:
        NotFoundError: there is no such resource.
        ConflictError: it has no goal, or its goal is paused already; who did it and why stays.

    """
    _named(name)
    async with engine.begin() as db:
        await admission.queue_up(db)
        if (await load_goals(db, setting))[name].from_day is None:
            raise ConflictError("no_goal", resource=name)
        paused = await db.execute(_PAUSE_ONE, {"resource": name, "reason": reason, "who": who})
        if paused.rowcount == 0:
            raise ConflictError("goal_paused", resource=name)
    log.info("goal paused", resource=name, who=who, reason=reason)
    return await _load(engine, setting, name)


@run_again
async def resume_goal(engine: AsyncEngine, setting: Mapping[str, date], name: str, *, who: str) -> Goal:
    """Let a paused goal be filled again.

    Raises:
        NotFoundError: there is no such resource.
        ConflictError: it is not paused.

    """
    if not await _change(engine, _RESUME, name):
        raise ConflictError("goal_not_paused", resource=name)
    log.info("goal resumed", resource=name, who=who)
    return await _load(engine, setting, name)


async def pause_of_cancelled(db: AsyncConnection, execution_id: int, who: str) -> None:
    """Pause the goal that an execution has filled, in the transaction that cancels it; of others there is none."""
    reason = f"execução {execution_id} cancelada"
    await db.execute(_PAUSE_OF_EXECUTION, {"id": execution_id, "who": who, "reason": reason, "goal": GOAL_TRIGGER})


def _named(name: str) -> Resource:
    if name not in RESOURCES_BY_NAME:
        raise NotFoundError("unknown_goal", names=", ".join(RESOURCE_NAMES))
    return RESOURCES_BY_NAME[name]


async def _change(engine: AsyncEngine, statement: Any, name: str, **values: Any) -> bool:
    _named(name)
    async with engine.begin() as db:
        await admission.queue_up(db)
        return bool((await db.execute(statement, {"resource": name, **values})).rowcount)


async def _load(engine: AsyncEngine, setting: Mapping[str, date], name: str) -> Goal:
    async with engine.connect() as db:
        (goal,) = await list_goals(db, setting, [RESOURCES_BY_NAME[name]])
    return goal


async def _estimate(db: AsyncConnection, resource: Resource, missing: Sequence[MissingDay]) -> Estimate:
    counted = Counter((one.parts, kind_of(0, one.day)[1:]) for one in missing)
    kinds = Counter[DayKind]()
    for (parts, (year, is_weekend)), count in counted.items():
        for part in parts:
            kinds[part, year, is_weekend] += count
    return estimate_days(resource, kinds, await load_past(db, resource, resource.day_criterio))


def _hours(seconds: float) -> float:
    return round(seconds / _HOUR_SECONDS, 2)


async def _to_answer(db: AsyncConnection, progress: Progress, execution_id: int | None) -> Goal:
    goal, missing = progress.goal, progress.missing
    resource = RESOURCES_BY_NAME[goal.resource]
    requests_left: int | None = None
    hours_left: float | None = None
    if goal.from_day is not None:
        requests_left, hours_left = 0, 0.0
    if missing:
        estimate = await _estimate(db, resource, missing)
        seconds, _ = await estimate_seconds(db, resource, "backfill", estimate.work)
        requests_left, hours_left = round(estimate.work.requests), _hours(seconds)
    return Goal(
        resource=resource.name,
        label=resource.label,
        from_day=goal.from_day,
        origin=goal.origin,
        set_by=goal.set_by,
        set_at=goal.set_at,
        paused=goal.paused_at is not None,
        paused_by=goal.paused_by,
        paused_at=goal.paused_at,
        pause_reason=goal.pause_reason,
        days=progress.days,
        days_complete=progress.days_complete,
        days_rejected=progress.days_rejected,
        days_failed=progress.days_failed,
        days_missing=len(missing),
        oldest_missing=missing[-1].day if missing else None,
        newest_missing=missing[0].day if missing else None,
        requests_left=requests_left,
        hours_left=hours_left,
        execution_id=execution_id,
    )
