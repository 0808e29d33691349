"""What deliveries and intakes have in common: they are made, planned, claimed, counted, held and ended in one way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import TextClause, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle import Kind, Mode
from common.lifecycle.causes import Cause
from common.lifecycle.slices import MAX_STALLS, UNHELD, Fenced, change
from common.tables import sync_slices

PATIENCE = timedelta(hours=24)
"""How long a job may fail in a row before it ends; the next one has the same to do."""

_FORGIVEN: Mapping[str, Any] = {"failures": 0, "failing_since": None, "cause": None, "error_message": None}
_CREATE = text("""
    INSERT INTO sync_executions (kind, resource, mode, criterio, trigger, options, requested_by, idempotency_key,
                                 request_digest, published_at)
    VALUES (:kind, :subject, :mode, 'atualizacao', :trigger, CAST(:options AS jsonb), :requested_by,
            :idempotency_key, :request_digest, now())
    ON CONFLICT DO NOTHING
    RETURNING id
""")
_PLAN = text("""
    INSERT INTO sync_slices (execution_id, ordinal, kind, resource, mode, criterio, part)
    SELECT e.id, part.ordinal, e.kind, e.resource, e.mode, e.criterio, part.id
      FROM sync_executions e, unnest(CAST(:parts AS int[])) WITH ORDINALITY AS part (id, ordinal)
     WHERE e.id = :execution_id
""")
_MARK_PLANNED = text("UPDATE sync_executions SET planned_at = now(), updated_at = now() WHERE id = :execution_id")
# Materialized: in a FROM of its own the planner may run the search once for each slice, and each finds another one.
_CLAIM = """
    WITH free AS MATERIALIZED (
            SELECT s.id, s.worker_id IS NOT NULL AS was_held
              FROM sync_slices s JOIN sync_executions e ON e.id = s.execution_id
             WHERE s.kind = '{kind}' AND s.status IN ('pending', 'running') AND s.stalls < :max_stalls
               AND e.held IS NULL
               AND (s.lease_until IS NULL OR s.lease_until < now()) AND (s.run_after IS NULL OR s.run_after <= now())
               AND NOT EXISTS (SELECT FROM sync_slices before
                                WHERE before.execution_id = s.execution_id AND before.ordinal < s.ordinal
                                  AND before.status IN ('pending', 'running'))
               AND {own}
             ORDER BY s.execution_id, s.ordinal LIMIT 1 FOR UPDATE OF s SKIP LOCKED)
    UPDATE sync_slices
       SET status = 'running', attempt = attempt + 1, stalls = stalls + 1, worker_id = :worker_id,
           lease_until = now() + make_interval(secs => :lease_seconds), started_at = coalesce(started_at, now()),
           updated_at = now()
      FROM free WHERE sync_slices.id = free.id
    RETURNING sync_slices.id AS slice_id, execution_id, attempt, worker_id, part, mode, failures, started_at,
              free.was_held
"""
_DETAILS = text("""
    SELECT resource, trigger, options, started_at IS NULL AS is_new, created_at
      FROM sync_executions WHERE id = :execution_id
""")
_IS_PAUSED = text("SELECT 1 FROM schedules WHERE name = :name AND paused_at IS NOT NULL")
_LOCK = text("SELECT FROM sync_executions WHERE id = :execution_id FOR NO KEY UPDATE")
_HOLD = text("""
    UPDATE sync_executions SET held = CAST(:held AS jsonb), updated_at = now()
     WHERE id = :execution_id AND status = 'running'
""")
_CONFIRM = text("""
    UPDATE sync_executions
       SET held = NULL, options = coalesce(options, '{}') || '{"confirmed": true}', updated_at = now()
     WHERE id = :execution_id AND kind <> 'sync' AND status = 'running' AND held IS NOT NULL
""")


@dataclass(frozen=True)
class JobClaim:
    """A slice of a job held by one worker.

    `part`: the id of a stream or of a source's entity, 0 of an import; `subject`: the destination, the source, or the
    layout of an import. `began_at`: the moment of the first claim; `created_at`: when the job was asked for.
    `taken_over`: the lease of another worker has run out, whose last requests may be on their way.
    """

    slice_id: int
    execution_id: int
    attempt: int
    worker_id: str
    part: int
    mode: Mode
    failures: int
    began_at: datetime
    subject: str
    trigger: str
    options: Mapping[str, Any]
    starts_execution: bool
    created_at: datetime
    taken_over: bool


C = TypeVar("C", bound=JobClaim)


async def create(
    db: AsyncConnection,
    *,
    kind: Kind,
    subject: str,
    mode: Mode,
    trigger: str,
    options: Mapping[str, Any] | None = None,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    request_digest: str | None = None,
) -> int | None:
    """Record a job and answer its id; `None` where its destination or source has one, or the idempotency key is known.

    `subject`: the destination, the source, or the layout of an import. `mode`: `update` for what was changed since the
    last one, `backfill` for all that differs, all rows, and for imports.
    """
    parameters = {
        "kind": kind,
        "subject": subject,
        "mode": mode,
        "trigger": trigger,
        "options": None if options is None else json.dumps(options),
        "requested_by": requested_by,
        "idempotency_key": idempotency_key,
        "request_digest": request_digest,
    }
    created: int | None = (await db.execute(_CREATE, parameters)).scalar_one_or_none()
    return created


async def plan(db: AsyncConnection, execution_id: int, parts: Sequence[int]) -> None:
    """Write a slice for each part of a locked job, at least one: ids of streams or of a source's entities, or 0."""
    await db.execute(_PLAN, {"execution_id": execution_id, "parts": list(parts)})
    await db.execute(_MARK_PLANNED, {"execution_id": execution_id})


def claiming(kind: Kind, own: str) -> TextClause:
    """The statement that claims a slice of a kind. `own`: SQL of what else must hold of the slice `s` of the job `e`.

    Of one job only the first slice that has not ended is claimed, and none of a job that waits to be confirmed.
    """
    return text(_CLAIM.format(kind=kind, own=own))


async def claim(
    db: AsyncConnection,
    statement: TextClause,
    worker_id: str,
    made: type[C],
    *,
    lease_seconds: float,
    **parameters: Any,
) -> C | None:
    """Take the next slice that a statement of `claiming` finds, under a lease; `parameters` are those of its own."""
    limits = {"worker_id": worker_id, "lease_seconds": float(lease_seconds), "max_stalls": MAX_STALLS}
    row = (await db.execute(statement, {**limits, **parameters})).one_or_none()
    if row is None:
        return None
    told = (await db.execute(_DETAILS, {"execution_id": row.execution_id})).one()
    return made(
        slice_id=row.slice_id,
        execution_id=row.execution_id,
        attempt=row.attempt,
        worker_id=row.worker_id,
        part=row.part,
        mode=row.mode,
        failures=row.failures,
        began_at=row.started_at,
        subject=told.resource,
        trigger=told.trigger,
        options=told.options or {},
        starts_execution=told.is_new,
        created_at=told.created_at,
        taken_over=row.was_held,
    )


async def is_paused(db: AsyncConnection, schedule: str) -> bool:
    """Whether the schedule of a destination or a source is paused, and with it all its work."""
    return (await db.execute(_IS_PAUSED, {"name": schedule})).first() is not None


async def count(
    db: AsyncConnection,
    claim: Fenced,
    *,
    seen: int = 0,
    unchanged: int = 0,
    requests: int = 0,
    accepted: int = 0,
    rejected: int = 0,
    created: int = 0,
    changed: int = 0,
    forgives: bool = False,
) -> bool:
    """Add to what a slice has come to, which is progress; `False` if it is not ours.

    `created` and `changed` are of those accepted. With one accepted, or where this `forgives`, the failures before do
    not count any more.
    """
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
        records_inserted=column.records_inserted + created,
        records_updated=column.records_updated + changed,
        **(_FORGIVEN if accepted or forgives else {}),
    )


async def finish(db: AsyncConnection, claim: Fenced) -> bool:
    """End a slice that has nothing left to do."""
    ended = {"status": "success", "cause": None, "error_message": None, "finished_at": func.now()}
    return await change(db, claim, **ended, **UNHELD)


async def fail(db: AsyncConnection, claim: Fenced, cause: Cause, error_message: str) -> bool:
    """End a slice as failed; what it has stored stays, and other slices of the job go on."""
    ended = {"status": "error", "cause": cause, "error_message": error_message, "finished_at": func.now()}
    return await change(db, claim, **ended, **UNHELD)


async def postpone(
    db: AsyncConnection, claim: Fenced, *, delay_seconds: float, cause: Cause, error_message: str
) -> bool:
    """Put a slice back until later; `False` if it has failed longer than its patience, or is not ours."""
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
    """Lock a job, before its slices."""
    await db.execute(_LOCK, {"execution_id": execution_id})


async def hold(
    db: AsyncConnection, claim: Fenced, execution_id: int, held: Mapping[str, Any], *, taken_back: int = 0
) -> bool:
    """Let a locked job wait until an administrator confirms or cancels it; `held` says why.

    `taken_back`: rejections that do not count any more. `False` if the slice is not ours.
    """
    rejected = func.greatest(sync_slices.c.records_rejected - taken_back, 0)
    if not await change(db, claim, status="pending", stalls=0, records_rejected=rejected, **UNHELD):
        return False
    await db.execute(_HOLD, {"execution_id": execution_id, "held": json.dumps(held)})
    return True


async def confirm(db: AsyncConnection, execution_id: int) -> bool:
    """Let a job that was held go on; `False` if it is not held."""
    return (await db.execute(_CONFIRM, {"execution_id": execution_id})).rowcount == 1
