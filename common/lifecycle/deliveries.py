"""The state of a delivery: an execution of kind `delivery`, with a slice for each stream of its destination, in order.

A destination has one delivery at a time. The slices of a delivery are claimed one after the other, so that the records
of a later stream find those that they refer to.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle import Mode
from common.lifecycle.causes import Cause
from common.lifecycle.slices import MAX_STALLS, UNHELD, Fenced, change
from common.tables import sync_slices

PATIENCE = timedelta(hours=24)
"""How long a delivery may fail in a row before it ends; the next one owes the same."""

SCHEDULE = "deliver:"
"""A destination's schedule has its name behind this. While it is paused, nothing is sent."""

_CREATE = text("""
    INSERT INTO sync_executions (kind, resource, mode, criterio, trigger, options, requested_by, idempotency_key,
                                 request_digest, published_at)
    VALUES ('delivery', :destination, :mode, 'atualizacao', :trigger, CAST(:options AS jsonb), :requested_by,
            :idempotency_key, :request_digest, now())
    ON CONFLICT DO NOTHING
    RETURNING id
""")
_RUNNING = text("""
    SELECT id FROM sync_executions WHERE kind = 'delivery' AND status = 'running' AND resource = :destination
""")
_LOCK_UNPLANNED = text("""
    SELECT id, resource, options FROM sync_executions
     WHERE kind = 'delivery' AND status = 'running' AND planned_at IS NULL
       AND resource = ANY(CAST(:destinations AS text[]))
     ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""")
_PLAN = text("""
    INSERT INTO sync_slices (execution_id, ordinal, kind, resource, mode, criterio, part)
    SELECT e.id, stream.ordinal, e.kind, e.resource, e.mode, e.criterio, stream.id
      FROM sync_executions e, unnest(CAST(:ids AS int[])) WITH ORDINALITY AS stream (id, ordinal)
     WHERE e.id = :execution_id
""")
_MARK_PLANNED = text("UPDATE sync_executions SET planned_at = now(), updated_at = now() WHERE id = :execution_id")
_CLAIM = text("""
    UPDATE sync_slices
       SET status = 'running', attempt = attempt + 1, stalls = stalls + 1, worker_id = :worker_id,
           lease_until = now() + make_interval(secs => :lease_seconds), started_at = coalesce(started_at, now()),
           updated_at = now()
      FROM (SELECT s.id, s.worker_id IS NOT NULL AS was_held
              FROM sync_slices s JOIN sync_executions e ON e.id = s.execution_id
            WHERE s.kind = 'delivery' AND s.status IN ('pending', 'running') AND s.stalls < :max_stalls
              AND e.held IS NULL AND e.resource = ANY(CAST(:destinations AS text[]))
              AND (s.lease_until IS NULL OR s.lease_until < now()) AND (s.run_after IS NULL OR s.run_after <= now())
              AND NOT EXISTS (SELECT FROM sync_slices before
                               WHERE before.execution_id = s.execution_id AND before.ordinal < s.ordinal
                                 AND before.status IN ('pending', 'running'))
              AND NOT EXISTS (SELECT FROM schedules p
                               WHERE p.name = :schedule || e.resource AND p.paused_at IS NOT NULL)
            ORDER BY s.execution_id, s.ordinal LIMIT 1 FOR UPDATE OF s SKIP LOCKED) AS free
     WHERE sync_slices.id = free.id
    RETURNING sync_slices.id AS slice_id, execution_id, attempt, worker_id, part AS stream_id, mode, failures,
              started_at, free.was_held
""")
_DETAILS = text("""
    SELECT resource, options, started_at IS NULL AS is_new, created_at
      FROM sync_executions WHERE id = :execution_id
""")
_LOCK = text("SELECT FROM sync_executions WHERE id = :execution_id FOR NO KEY UPDATE")
_IS_PAUSED = text("SELECT 1 FROM schedules WHERE name = :schedule AND paused_at IS NOT NULL")
_HOLD = text("""
    UPDATE sync_executions SET held = CAST(:held AS jsonb), updated_at = now()
     WHERE id = :execution_id AND status = 'running'
""")
_CONFIRM = text("""
    UPDATE sync_executions
       SET held = NULL, options = coalesce(options, '{}') || '{"confirmed": true}', updated_at = now()
     WHERE id = :execution_id AND kind = 'delivery' AND status = 'running' AND held IS NOT NULL
""")


@dataclass(frozen=True)
class Requested:
    """A delivery that waits to be planned."""

    id: int
    destination: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class StreamClaim:
    """A stream of a delivery held by one worker.

    `taken_over`: the lease of another worker has run out, whose last requests may be on their way. `began_at`: the
    moment of the first claim, from which on changes are those of the next delivery. `created_at`: when the delivery was
    asked for.
    """

    slice_id: int
    execution_id: int
    attempt: int
    worker_id: str
    stream_id: int
    mode: Mode
    failures: int
    began_at: datetime
    destination: str
    options: Mapping[str, Any]
    starts_execution: bool
    created_at: datetime
    taken_over: bool


async def create(
    db: AsyncConnection,
    *,
    destination: str,
    mode: Mode,
    trigger: str,
    options: Mapping[str, Any] | None = None,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    request_digest: str | None = None,
) -> int | None:
    """Record a delivery and answer its id; `None` where the destination has one, or the idempotency key is known.

    `mode`: `update` for what was changed since the last one, `backfill` for all that differs.
    """
    parameters = {
        "destination": destination,
        "mode": mode,
        "trigger": trigger,
        "options": None if options is None else json.dumps(options),
        "requested_by": requested_by,
        "idempotency_key": idempotency_key,
        "request_digest": request_digest,
    }
    created: int | None = (await db.execute(_CREATE, parameters)).scalar_one_or_none()
    return created


async def running_of(db: AsyncConnection, destination: str) -> int | None:
    """The delivery that a destination has."""
    found: int | None = (await db.execute(_RUNNING, {"destination": destination})).scalar_one_or_none()
    return found


async def lock_unplanned(db: AsyncConnection, destinations: Sequence[str]) -> Requested | None:
    """Lock the oldest delivery to one of these destinations that has no slices yet."""
    row = (await db.execute(_LOCK_UNPLANNED, {"destinations": list(destinations)})).one_or_none()
    return None if row is None else Requested(row.id, row.resource, row.options or {})


async def plan(db: AsyncConnection, execution_id: int, stream_ids: Sequence[int]) -> None:
    """Write a slice for each stream, at least one, of a locked delivery."""
    await db.execute(_PLAN, {"execution_id": execution_id, "ids": list(stream_ids)})
    await db.execute(_MARK_PLANNED, {"execution_id": execution_id})


async def claim(
    db: AsyncConnection, worker_id: str, *, lease_seconds: float, destinations: Sequence[str]
) -> StreamClaim | None:
    """Take the next stream of these destinations under a lease; of one destination only the first that has not ended.

    Not of destinations that are paused, nor of deliveries that wait to be confirmed.
    """
    parameters = {
        "worker_id": worker_id,
        "lease_seconds": float(lease_seconds),
        "max_stalls": MAX_STALLS,
        "destinations": list(destinations),
        "schedule": SCHEDULE,
    }
    row = (await db.execute(_CLAIM, parameters)).one_or_none()
    if row is None:
        return None
    told = (await db.execute(_DETAILS, {"execution_id": row.execution_id})).one()
    return StreamClaim(
        slice_id=row.slice_id,
        execution_id=row.execution_id,
        attempt=row.attempt,
        worker_id=row.worker_id,
        stream_id=row.stream_id,
        mode=row.mode,
        failures=row.failures,
        began_at=row.started_at,
        destination=told.resource,
        options=told.options or {},
        starts_execution=told.is_new,
        created_at=told.created_at,
        taken_over=row.was_held,
    )


async def is_paused(db: AsyncConnection, destination: str) -> bool:
    """Whether nothing is sent to a destination for now."""
    return (await db.execute(_IS_PAUSED, {"schedule": f"{SCHEDULE}{destination}"})).first() is not None


async def count(
    db: AsyncConnection,
    claim: Fenced,
    *,
    seen: int = 0,
    unchanged: int = 0,
    requests: int = 0,
    accepted: int = 0,
    rejected: int = 0,
) -> bool:
    """Add to what a stream has come to, which is progress; `False` if it is not ours."""
    column = sync_slices.c
    return await change(
        db,
        claim,
        stalls=0,
        records_seen=column.records_seen + seen,
        records_unchanged=column.records_unchanged + unchanged,
        pages_done=column.pages_done + requests,
        records_processed=column.records_processed + accepted,
        records_rejected=column.records_rejected + rejected,
        **({"failures": 0, "failing_since": None, "cause": None, "error_message": None} if accepted else {}),
    )


async def finish(db: AsyncConnection, claim: Fenced) -> bool:
    """End a stream of which nothing is owed any more but what was rejected."""
    ended = {"status": "success", "cause": None, "error_message": None, "finished_at": func.now()}
    return await change(db, claim, **ended, **UNHELD)


async def postpone(
    db: AsyncConnection, claim: Fenced, *, delay_seconds: float, cause: Cause, error_message: str
) -> bool:
    """Put a stream back until later; `False` if it has failed longer than its patience, or is not ours."""
    column = sync_slices.c
    return await change(
        db,
        claim,
        column.failing_since.is_(None) | (column.failing_since > func.now() - PATIENCE),
        status="pending",
        failures=column.failures + 1,
        failing_since=func.coalesce(column.failing_since, func.now()),
        run_after=func.now() + timedelta(seconds=delay_seconds),
        stalls=0,
        cause=cause,
        error_message=error_message,
        **UNHELD,
    )


async def lock(db: AsyncConnection, execution_id: int) -> None:
    """Lock a delivery, before its slices."""
    await db.execute(_LOCK, {"execution_id": execution_id})


async def hold(
    db: AsyncConnection, claim: Fenced, execution_id: int, held: Mapping[str, Any], *, taken_back: int = 0
) -> bool:
    """Let a locked delivery wait until an administrator confirms or cancels it; `held` says why.

    `taken_back`: rejections that do not count any more. `False` if the slice is not ours.
    """
    rejected = func.greatest(sync_slices.c.records_rejected - taken_back, 0)
    if not await change(db, claim, status="pending", stalls=0, records_rejected=rejected, **UNHELD):
        return False
    await db.execute(_HOLD, {"execution_id": execution_id, "held": json.dumps(held)})
    return True


async def confirm(db: AsyncConnection, execution_id: int) -> bool:
    """Let a delivery that was held go on; `False` if it is not held."""
    return (await db.execute(_CONFIRM, {"execution_id": execution_id})).rowcount == 1
