"""The state of an execution: planned into slices, started, closed with its last slice, or ended from outside."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import to_wall_clock
from common.lifecycle import GOAL_TRIGGER, PATIENCE, Kind, Mode
from common.lifecycle.causes import Cause
from common.lifecycle.slices import UNHELD, PlannedSlice
from common.resources import INLINE, SERVICE_OF
from common.resources.description import Criterio
from common.tables import sync_executions, sync_pages, sync_slices

PUBLISH_FAILED = "Failed to publish to RabbitMQ"
NO_WORKER = "no worker"
STALE_OUTAGE = timedelta(hours=1)
"""A pause that ended this long ago without a probe since shows that nothing was asked, not that nothing answers."""


@dataclass(frozen=True)
class Execution:
    """The data that planning needs of an execution: its window is Brasília's wall clock, absent for an update."""

    id: int
    resource: str
    mode: Mode
    criterio: Criterio
    window_start: datetime | None
    window_end: datetime | None
    parts: list[int] | None
    for_goal: bool = False


@dataclass(frozen=True)
class Summary:
    """How an execution has ended, in one line's worth; pages and itens are those of its slices."""

    status: str
    resource: str
    mode: Mode
    criterio: Criterio
    trigger: str
    records: int
    inserted: int
    updated: int
    rejected: int
    itens: int
    itens_owed: int
    slices: int
    failed_slices: int
    pages: int
    duration_seconds: float | None
    cause: str | None
    error_message: str | None


_EXISTS = text("SELECT 1 FROM sync_executions WHERE id = :id AND kind = :kind")


async def exists(db: AsyncConnection, execution_id: int, *, kind: Kind = "sync") -> bool:
    """Whether there is such a row."""
    return (await db.execute(_EXISTS, {"id": execution_id, "kind": kind})).scalar_one_or_none() is not None


# An update waits while another one of its resource is at work, and is what all others are that are asked for
# meanwhile: so that any number of requests comes to one that runs and one that waits. One that only waits to be tried
# again holds up the next for a minute.
_LOCK_UNPLANNED = text("""
    SELECT id, resource, mode, criterio, window_start, window_end, parts, trigger = :goal
      FROM sync_executions waiting
     WHERE status = 'running' AND planned_at IS NULL AND kind = 'sync'
       AND (id = :id OR trigger <> 'api' OR published_at IS NOT NULL
            OR created_at <= now() - make_interval(secs => :older_than_seconds))
       AND (mode <> 'update' OR NOT EXISTS (
            SELECT 1 FROM sync_executions e JOIN sync_slices s ON s.execution_id = e.id
             WHERE e.status = 'running' AND e.kind = 'sync' AND e.resource = waiting.resource AND e.mode = 'update'
               AND e.retry_of IS NULL AND s.status IN ('pending', 'running')
               AND (s.run_after IS NULL OR s.run_after <= now() OR e.planned_at > now() - interval '1 minute')))
     ORDER BY (id = :id) DESC, id
     LIMIT 1
       FOR UPDATE SKIP LOCKED
""")
_MARK_PLANNED = text("""
    UPDATE sync_executions
       SET planned_at = now(), updated_at = now(), window_start = :window_start, window_end = :window_end
     WHERE id = :id AND status = 'running' AND planned_at IS NULL
""")


async def lock_unplanned(
    db: AsyncConnection, *, older_than_seconds: float, execution_id: int | None = None
) -> Execution | None:
    """Lock the named unplanned execution, or the oldest one that cannot be refused any more.

    That is one that a message, a schedule or a gap has made, one that has been published, and any of that age.
    """
    parameters = {"id": execution_id, "older_than_seconds": float(older_than_seconds), "goal": GOAL_TRIGGER}
    row = (await db.execute(_LOCK_UNPLANNED, parameters)).one_or_none()
    return None if row is None else Execution(*row)


async def plan(db: AsyncConnection, execution: Execution, slices: list[PlannedSlice]) -> None:
    """Write the slices of a locked execution (at least one) and fix its window as their span."""
    await db.execute(
        insert(sync_slices),
        [
            {
                "execution_id": execution.id,
                "ordinal": ordinal,
                "resource": execution.resource,
                "mode": execution.mode,
                "criterio": execution.criterio,
                "for_goal": execution.for_goal,
                "part": piece.part,
                "first_day": piece.first_day,
                "last_day": piece.last_day,
                "window_start": piece.window_start,
                "window_end": piece.window_end,
            }
            for ordinal, piece in enumerate(slices, start=1)
        ],
    )
    await db.execute(
        _MARK_PLANNED,
        {
            "id": execution.id,
            "window_start": min(piece.window_start for piece in slices),
            "window_end": max(piece.window_end for piece in slices),
        },
    )


_MARK_STARTED = text("""
    UPDATE sync_executions SET started_at = now(), updated_at = now()
     WHERE id = :id AND started_at IS NULL AND status = 'running'
""")


async def mark_started(db: AsyncConnection, execution_id: int) -> bool:
    """Stamp the first claim of an execution's slices; answers whether this was it."""
    return (await db.execute(_MARK_STARTED, {"id": execution_id})).rowcount == 1


_FORGET_COUNTED = text("DELETE FROM sync_counted WHERE execution_id = :id")
_UNFINISHED_SLICE = text("""
    SELECT 1 FROM sync_slices WHERE execution_id = :id AND status IN ('pending', 'running') LIMIT 1
""")
# Not FOR UPDATE: rows that refer to the execution may be written meanwhile, and who writes them holds a slice.
_LOCK_RUNNING = text("SELECT id FROM sync_executions WHERE id = :id AND status = 'running' FOR NO KEY UPDATE")
_CLOSE = text("""
    WITH done AS (
        SELECT count(*) AS slices,
               count(*) FILTER (WHERE status = 'error') AS failed,
               count(*) FILTER (WHERE status IN ('pending', 'running')) AS unfinished,
               coalesce(sum(records_processed), 0) AS records,
               coalesce(sum(records_rejected), 0) AS rejected,
               mode() WITHIN GROUP (ORDER BY cause) FILTER (WHERE status = 'error') AS cause
          FROM sync_slices WHERE execution_id = :id
    ), example AS (
        SELECT concat_ws(' ', s.first_day, coalesce(CASE s.kind WHEN 'sync' THEN 'modalidade ' || nullif(s.part, 0) END,
                                               s.resource)) AS listing,
               s.error_message
          FROM sync_slices s JOIN done ON s.cause = done.cause
         WHERE s.execution_id = :id AND s.status = 'error'
         ORDER BY s.ordinal LIMIT 1
    )
    UPDATE sync_executions e
       SET status = CASE WHEN done.failed = 0 THEN 'success' ELSE 'error' END,
           cause = done.cause,
           error_message = CASE WHEN done.failed > 0
               THEN format('%s of %s slices failed: %s: %s', done.failed, done.slices, example.listing,
                           example.error_message) END,
           records_processed = done.records,
           records_rejected = done.rejected,
           duration_seconds = extract(epoch FROM clock_timestamp() - coalesce(e.started_at, e.planned_at)),
           finished_at = clock_timestamp(),
           updated_at = clock_timestamp()
      FROM done LEFT JOIN example ON true
     WHERE e.id = :id AND done.slices > 0 AND done.unfinished = 0
    RETURNING e.status
""")
_LEFT_OPEN = text("""
    SELECT e.id FROM sync_executions e
     WHERE e.status = 'running' AND e.planned_at IS NOT NULL AND e.kind = coalesce(CAST(:kind AS text), e.kind)
       AND NOT EXISTS (SELECT 1 FROM sync_slices s
                        WHERE s.execution_id = e.id AND s.status IN ('pending', 'running'))
     ORDER BY e.id
""")


async def close(db: AsyncConnection, execution_id: int) -> str | None:
    """End an execution whose slices have all ended; answers its status, or `None` where some have not.

    It is called after a slice's end has been committed, so that of two workers that end the last two slices at once,
    the later one sees both. The execution is locked before its slices are counted.
    """
    if (await db.execute(_UNFINISHED_SLICE, {"id": execution_id})).one_or_none() is not None:
        return None
    if (await db.execute(_LOCK_RUNNING, {"id": execution_id})).one_or_none() is None:
        return None
    status: str | None = (await db.execute(_CLOSE, {"id": execution_id})).scalar_one_or_none()
    if status is not None:
        await db.execute(_FORGET_COUNTED, {"id": execution_id})
    return status


async def end(
    db: AsyncConnection,
    execution_id: int,
    *,
    status: str,
    records_processed: int | None = None,
    duration_seconds: float | None = None,
    cause: Cause | None = None,
    error_message: str | None = None,
    cancelled_by: str | None = None,
) -> bool:
    """End a running execution from outside, and what is left of its slices; `False` if it had ended before.

    What is not given is taken from its slices and its start. An error has a `cause`, a success none.

    Raises:
        ValueError: a status that is no end, an error without a cause, or a success with one.

    """
    if status not in ("success", "error"):
        raise ValueError("an execution ends as 'success' or 'error'")
    if (status == "error") != (cause is not None):
        raise ValueError("an error has a cause, a success none")
    if (await db.execute(_LOCK_RUNNING, {"id": execution_id})).one_or_none() is None:
        return False
    own = sync_slices.c.execution_id == execution_id
    await db.execute(
        update(sync_slices)
        .where(own, sync_slices.c.status.in_(["pending", "running"]))
        .values(
            status="error",
            cause="cut_off",
            error_message=error_message,
            finished_at=func.now(),
            updated_at=func.now(),
            **UNHELD,
        )
    )
    await db.execute(delete(sync_pages).where(sync_pages.c.slice_id.in_(select(sync_slices.c.id).where(own))))
    await db.execute(_FORGET_COUNTED, {"id": execution_id})
    processed = select(func.coalesce(func.sum(sync_slices.c.records_processed), 0)).where(own).scalar_subquery()
    rejected = select(func.coalesce(func.sum(sync_slices.c.records_rejected), 0)).where(own).scalar_subquery()
    column = sync_executions.c
    age = func.extract("epoch", func.now() - func.coalesce(column.started_at, func.now()))
    await db.execute(
        update(sync_executions)
        .where(column.id == execution_id)
        .values(
            status=status,
            cause=cause,
            error_message=error_message,
            cancelled_by=cancelled_by,
            records_processed=processed if records_processed is None else records_processed,
            records_rejected=rejected,
            duration_seconds=age if duration_seconds is None else duration_seconds,
            finished_at=func.now(),
            updated_at=func.now(),
        )
    )
    return True


async def cancel(db: AsyncConnection, execution_id: int, who: str) -> bool:
    """End an execution and all that is left of it because `who` asks for that; `False` if it had ended before."""
    return await end(
        db, execution_id, status="error", cause="cancelled", error_message=f"cancelled by {who}", cancelled_by=who
    )


_COUNT_OWED = " + ".join(
    f"(SELECT count(*) FROM {child.debts} WHERE execution_id = e.id)"  # noqa: S608  # names of descriptions
    for _, child in INLINE
)
_SUMMARIZE = text(
    """
    SELECT e.status, e.resource, e.mode, e.criterio, e.trigger, e.records_processed,
           coalesce(sum(s.records_inserted), 0), coalesce(sum(s.records_updated), 0), e.records_rejected,
           coalesce(sum(s.itens_written), 0),
           """  # noqa: S608
    + _COUNT_OWED
    + """, count(s.id),
           count(s.id) FILTER (WHERE s.status = 'error'), coalesce(sum(s.pages_done), 0),
           CAST(e.duration_seconds AS float), e.cause, e.error_message
      FROM sync_executions e LEFT JOIN sync_slices s ON s.execution_id = e.id
     WHERE e.id = :id
     GROUP BY e.id
"""
)


async def summarize(db: AsyncConnection, execution_id: int) -> Summary:
    """The final counts of an execution, for the process that has ended it."""
    return Summary(*(await db.execute(_SUMMARIZE, {"id": execution_id})).one())


_ORPHAN = text("""
    SELECT e.id FROM sync_executions e
     WHERE e.status = 'running' AND e.held IS NULL AND e.created_at < now() - make_interval(secs => :seconds)
       AND NOT EXISTS (SELECT 1 FROM workers w
                        WHERE e.kind = ANY(w.kinds)
                          AND (w.alive_until > now() OR w.last_seen_at > now() - make_interval(secs => :seconds)))
     ORDER BY e.id LIMIT 1
""")


async def expire_orphan(db: AsyncConnection, *, seconds: float) -> int | None:
    """End the oldest execution that has waited this long while no worker of its kind was alive; answers its id.

    One that waits for an administrator's confirmation waits as long as it takes.

    One per transaction: a transaction that held the counts of one execution and waited for another's could deadlock.
    """
    orphan: int | None = (await db.execute(_ORPHAN, {"seconds": float(seconds)})).scalar_one_or_none()
    if orphan is None or not await end(db, orphan, status="error", cause="no_worker", error_message=NO_WORKER):
        return None
    return orphan


_OUTLASTED = text("""
    SELECT e.id, p.failing_since, p.reason, p.error_message
      FROM source_pauses p
      JOIN sync_executions e ON e.status = 'running' AND e.kind = 'sync'
     CROSS JOIN LATERAL (SELECT CASE e.mode WHEN 'update' THEN CAST(:update AS interval)
                                            ELSE CAST(:backfill AS interval) END AS patience) AS own
     WHERE p.source = CAST(:listings AS jsonb) ->> e.resource
       AND p.failing_since < now() - own.patience AND e.created_at < now() - own.patience
       AND p.paused_until > now() - CAST(:stale AS interval)
     ORDER BY e.id LIMIT 1
""")


async def end_by_outage(db: AsyncConnection) -> int | None:
    """End the oldest execution whose resource's listings have failed longer than its patience; answers its id.

    One in a transaction, as for `expire_orphan`.
    """
    patience: dict[str, timedelta] = {str(mode): limit for mode, limit in PATIENCE.items()}
    parameters = {**patience, "stale": STALE_OUTAGE, "listings": json.dumps(SERVICE_OF)}
    outlasted = (await db.execute(_OUTLASTED, parameters)).one_or_none()
    if outlasted is None:
        return None
    since = f"{to_wall_clock(outlasted.failing_since):%Y-%m-%d %H:%M}"
    message = f"the portal has not answered since {since} ({outlasted.reason}): {outlasted.error_message}"
    ended = await end(db, outlasted.id, status="error", cause="portal_down", error_message=message)
    return outlasted.id if ended else None


async def left_open(db: AsyncConnection, kind: Kind | None = None) -> list[int]:
    """Executions, of a kind or of any, whose last slice has ended but that are open, as that worker died in between."""
    return list((await db.execute(_LEFT_OPEN, {"kind": kind})).scalars())
