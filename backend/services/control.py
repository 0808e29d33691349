"""Cancel executions, or repeat failed slices of one or of all."""

from collections.abc import Collection

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.errors import ConflictError, TooManyUnfinishedError, UnknownExecutionError
from backend.models.sync import CancelRequest, SyncCancelled
from backend.models.verdict import RetriedFailed
from backend.services.failures import load_pending
from backend.services.goals import pause_of_cancelled
from common.database import run_again
from common.execution_log import log_finished
from common.lifecycle import admission, executions

log = structlog.get_logger(__name__)

MOST_CANCELLED = 1000
"""The most executions that one request cancels."""

_NOW = text("SELECT now()")
_RUNNING = text("""
    SELECT id FROM sync_executions
     WHERE status = 'running' AND kind = 'sync'
       AND (CAST(:resource AS text) IS NULL OR resource = CAST(:resource AS text))
       AND (CAST(:mode AS text) IS NULL OR mode = CAST(:mode AS text))
       AND (CAST(:trigger AS text) IS NULL OR trigger = CAST(:trigger AS text))
       AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(CAST(:ids AS bigint[])))
     ORDER BY id
""")


@run_again
async def cancel_execution(engine: AsyncEngine, execution_id: int, who: str) -> None:
    """End an execution and its unfinished slices; a worker notices at its next page. A goal that it fills is paused.

    Raises:
        UnknownExecutionError: there is none of this id.
        ConflictError: it has ended already.

    """
    async with engine.begin() as db:
        if not await executions.exists(db, execution_id):
            raise UnknownExecutionError(execution_id)
        structlog.contextvars.bind_contextvars(execution_id=execution_id)  # until the request has ended
        if not await executions.cancel(db, execution_id, who):
            raise ConflictError("execution_ended", id=execution_id)
        await pause_of_cancelled(db, execution_id, who)
        summary = await executions.summarize(db, execution_id)
    log.info("execution cancelled", user=who)
    log_finished(execution_id, summary)


async def cancel_executions(engine: AsyncEngine, request: CancelRequest, who: str) -> SyncCancelled:
    """End the unfinished executions that match all filters, oldest first, each in a transaction of its own."""
    filters = {"resource": request.resource, "mode": request.mode, "trigger": request.trigger, "ids": request.ids}
    async with engine.connect() as db:
        found = list((await db.execute(_RUNNING, filters)).scalars())
    cancelled = [one for one in found[:MOST_CANCELLED] if await _end_running(engine, one, who)]
    return SyncCancelled(
        cancelled=len(cancelled), execution_ids=cancelled, remaining=max(len(found) - MOST_CANCELLED, 0)
    )


@run_again
async def _end_running(engine: AsyncEngine, execution_id: int, who: str) -> bool:
    async with engine.begin() as db:
        if not await executions.cancel(db, execution_id, who):
            return False
        await pause_of_cancelled(db, execution_id, who)
        summary = await executions.summarize(db, execution_id)
    log.info("execution cancelled", execution_id=execution_id, user=who)
    log_finished(execution_id, summary)
    return True


@run_again
async def retry_execution(
    engine: AsyncEngine,
    execution_id: int,
    requested_by: str | None = None,
    *,
    at_most: int = admission.MAX_UNFINISHED,
) -> int:
    """Start a new execution with copies of the failed slices, and only those; answers its id.

    It is planned already, so that ingestors find it by their poll, within a second.

    Raises:
        UnknownExecutionError: there is none of this id.
        ConflictError: it is still running, nothing of it failed, or what failed is being repeated already.
        TooManyUnfinishedError: as many are under way as there may be.

    """
    async with engine.begin() as db:
        may_be_added = await admission.admit(db, at_most=at_most)
        if not await executions.exists(db, execution_id):
            raise UnknownExecutionError(execution_id)
        copy = await admission.retry(db, execution_id, requested_by)
        if copy is None:
            raise ConflictError("nothing_to_retry", id=execution_id)
        if not may_be_added:
            raise TooManyUnfinishedError("too_many_executions", most=at_most)
    log.info("failed slices are repeated", execution_id=execution_id, repeated_by=copy, user=requested_by)
    log.info("execution accepted", execution_id=copy, trigger="retry", retry_of=execution_id, user=requested_by)
    return copy


async def retry_failed(
    engine: AsyncEngine,
    execution_ids: Collection[int] | None,
    requested_by: str | None = None,
    *,
    at_most: int = admission.MAX_UNFINISHED,
) -> RetriedFailed:
    """Repeat the executions that failed and were not made good, of these ids or all, the oldest first.

    Updates are left out: the next one reads again what is missing.

    Raises:
        ConflictError: there is none that can be repeated.
        TooManyUnfinishedError: as many are under way as there may be, before the first.

    """
    async with engine.connect() as db:
        now = (await db.execute(_NOW)).scalar_one()
        pending = await load_pending(db, now)
    wanted = [
        row.id
        for row in reversed(pending)
        if row.can_retry and row.mode != "update" and (execution_ids is None or row.id in execution_ids)
    ]
    if not wanted:
        raise ConflictError("nothing_failed")
    started: list[int] = []
    taken = 0
    for execution_id in wanted:
        try:
            started.append(await retry_execution(engine, execution_id, requested_by, at_most=at_most))
        except ConflictError:  # another request has repeated it
            pass
        except TooManyUnfinishedError:
            if not started:
                raise
            break
        taken += 1
    return RetriedFailed(retried=len(started), execution_ids=started, remaining=len(wanted) - taken)
