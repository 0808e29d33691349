"""The schedules for administrators; ingestors notice a change within seconds."""

from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.models.schedules import Schedule, ScheduleTick
from common.config import ScheduleSettings, to_action
from common.cron import next_runs
from common.database import run_again
from common.resources import LABELS

log = structlog.get_logger(__name__)

SHOWN_RUNS = 5

# a schedule has no row until an ingestor has evaluated it or an administrator has changed it
_LIST = text("""
    SELECT wanted.name, now() AS moment, s.cron, s.paused_at, s.paused_by, s.pause_reason, s.updated_by,
           CASE WHEN s.updated_by IS NOT NULL THEN s.updated_at END AS updated_at,
           t.due_at, t.execution_ids, t.skipped_reason
      FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS wanted (name, place)
      LEFT JOIN schedules s ON s.name = wanted.name
      LEFT JOIN LATERAL (SELECT * FROM schedule_ticks WHERE schedule = wanted.name ORDER BY due_at DESC LIMIT 1) t
             ON true
     ORDER BY wanted.place
""")
_OPEN = text("INSERT INTO schedules (name) VALUES (:name) ON CONFLICT (name) DO NOTHING")
_PAUSE = text("""
    UPDATE schedules SET paused_at = now(), paused_by = :who, pause_reason = :reason, updated_at = now(),
                         updated_by = :who
     WHERE name = :name AND paused_at IS NULL
""")
_RESUME = text("""
    UPDATE schedules SET paused_at = NULL, paused_by = NULL, pause_reason = NULL, effective_at = now(),
                         updated_at = now(), updated_by = :who
     WHERE name = :name AND paused_at IS NOT NULL
""")
_CHANGE = text("""
    UPDATE schedules SET cron = :cron, effective_at = now(), updated_at = now(), updated_by = :who WHERE name = :name
""")


async def list_schedules(engine: AsyncEngine, settings: ScheduleSettings) -> list[Schedule]:
    """Every schedule with its next runs and its last tick."""
    return await _load(engine, settings, list(settings.crons))


@run_again
async def pause_schedule(
    engine: AsyncEngine, settings: ScheduleSettings, name: str, *, reason: str, who: str
) -> Schedule:
    """Pause a schedule; running executions continue.

    Raises:
        NotFoundError: there is none of this name.
        ConflictError: it is paused already; who did it and why stays.

    """
    _check_name(settings, name)
    async with engine.begin() as db:
        if not await pause(db, name, reason=reason, who=who):
            raise ConflictError("schedule_paused", name=name)
    log.info("schedule paused", schedule=name, who=who, reason=reason)
    return await _load_one(engine, settings, name)


@run_again
async def resume_schedule(engine: AsyncEngine, settings: ScheduleSettings, name: str, *, who: str) -> Schedule:
    """Let a paused schedule run again, from its next time on.

    Raises:
        NotFoundError: there is none of this name.
        ConflictError: it is not paused.

    """
    _check_name(settings, name)
    async with engine.begin() as db:
        if not await resume(db, name, who=who):
            raise ConflictError("schedule_not_paused", name=name)
    log.info("schedule resumed", schedule=name, who=who)
    return await _load_one(engine, settings, name)


@run_again
async def change_schedule(
    engine: AsyncEngine, settings: ScheduleSettings, name: str, *, cron: str | None, who: str
) -> Schedule:
    """Give a schedule another cron, `None` for its setting's; a pause stays.

    Raises:
        NotFoundError: there is none of this name.

    """
    _check_name(settings, name)
    async with engine.begin() as db:
        await db.execute(_OPEN, {"name": name})
        await _write(db, _CHANGE, name=name, cron=cron, who=who)
    log.info("schedule changed", schedule=name, who=who, cron=cron)
    return await _load_one(engine, settings, name)


async def pause(db: AsyncConnection, name: str, *, reason: str, who: str) -> bool:
    """Pause a schedule of any kind; `False` if it is paused already."""
    await db.execute(_OPEN, {"name": name})
    return await _write(db, _PAUSE, name=name, reason=reason, who=who)


async def resume(db: AsyncConnection, name: str, *, who: str) -> bool:
    """Let a schedule of any kind run again; `False` if it is not paused."""
    return await _write(db, _RESUME, name=name, who=who)


def _check_name(settings: ScheduleSettings, name: str) -> None:
    if name not in settings.crons:
        raise NotFoundError("unknown_schedule", names=", ".join(settings.crons))


async def _write(db: AsyncConnection, statement: Any, **parameters: str | None) -> bool:
    return bool((await db.execute(statement, parameters)).rowcount == 1)


async def _load_one(engine: AsyncEngine, settings: ScheduleSettings, name: str) -> Schedule:
    (schedule,) = await _load(engine, settings, [name])
    return schedule


async def _load(engine: AsyncEngine, settings: ScheduleSettings, names: list[str]) -> list[Schedule]:
    async with engine.connect() as db:
        rows = (await db.execute(_LIST, {"names": names})).all()
    return [_to_schedule(row, settings) for row in rows]


def _to_schedule(row: Row[Any], settings: ScheduleSettings) -> Schedule:
    default_cron = settings.crons[row.name]
    cron = row.cron or default_cron
    resource, action = to_action(row.name)
    return Schedule(
        name=row.name,
        resource=resource,
        label=LABELS[resource],
        action=action,
        cron=cron,
        default_cron=default_cron,
        enabled=settings.schedule_enabled,
        paused=row.paused_at is not None,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        pause_reason=row.pause_reason,
        next_runs=next_runs(cron, row.moment, SHOWN_RUNS),
        last_tick=None if row.due_at is None else _to_tick(row),
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )


def _to_tick(row: Row[Any]) -> ScheduleTick:
    return ScheduleTick(due_at=row.due_at, execution_ids=row.execution_ids or [], skipped_reason=row.skipped_reason)
