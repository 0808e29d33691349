"""What deliveries and intakes have in common: they are made, planned, counted, put off, held and ended in one way."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle import Kind, Mode
from common.lifecycle.causes import Cause
from common.lifecycle.slices import UNHELD, Fenced, change
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
