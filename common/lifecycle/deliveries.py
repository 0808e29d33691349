"""The state of a delivery: an execution of kind `delivery`, with a slice for each stream of its destination, in order.

A destination has one delivery at a time. The slices of a delivery are claimed one after the other, so that the records
of a later stream find those that they refer to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle import Mode
from common.lifecycle.slices import MAX_STALLS

SCHEDULE = "deliver:"
"""A destination's schedule has its name behind this. While it is paused, nothing is sent."""

_RUNNING = text("""
    SELECT id FROM sync_executions WHERE kind = 'delivery' AND status = 'running' AND resource = :destination
""")
# One that was asked for together with a reading of a source waits until that has ended, however it has.
_LOCK_UNPLANNED = text("""
    SELECT id, resource, options FROM sync_executions waiting
     WHERE kind = 'delivery' AND status = 'running' AND planned_at IS NULL
       AND resource = ANY(CAST(:destinations AS text[]))
       AND NOT EXISTS (SELECT FROM sync_executions reading
                        WHERE reading.id = CAST(waiting.options ->> 'reads_first' AS bigint)
                          AND reading.status = 'running')
     ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""")
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
_IS_PAUSED = text("SELECT 1 FROM schedules WHERE name = :schedule AND paused_at IS NOT NULL")


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


async def running_of(db: AsyncConnection, destination: str) -> int | None:
    """The delivery that a destination has."""
    found: int | None = (await db.execute(_RUNNING, {"destination": destination})).scalar_one_or_none()
    return found


async def lock_unplanned(db: AsyncConnection, destinations: Sequence[str]) -> Requested | None:
    """Lock the oldest delivery to one of these destinations that has no slices yet."""
    row = (await db.execute(_LOCK_UNPLANNED, {"destinations": list(destinations)})).one_or_none()
    return None if row is None else Requested(row.id, row.resource, row.options or {})


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
