"""Ends executions that have waited for a worker for an hour, so that none is `running` for ever.

It runs in the backend: a running ingestor is itself a worker that such executions wait for.
"""

import asyncio
import time

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import in_transaction, is_database_trouble
from common.execution_log import log_finished
from common.lifecycle import executions
from common.lifecycle.executions import Summary

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 60.0
PATIENCE_SECONDS = 3600.0


async def sweep(engine: AsyncEngine, *, every: float = SWEEP_SECONDS, patience: float = PATIENCE_SECONDS) -> None:
    """Sweep until cancelled.

    Executions are ended only after the database was reachable for all of `patience`: before that, workers could not
    have reported themselves.
    """
    reachable_since: float | None = None
    while True:
        try:
            async with engine.connect() as db:
                now = time.monotonic()
                if reachable_since is None:
                    reachable_since = now
                await executions.exists(db, 0)  # a pooled connection may be dead: send it a query
            if now - reachable_since >= patience:
                await _expire_orphans(engine, patience)
        except Exception as error:
            if not is_database_trouble(error):
                raise
            reachable_since = None
        await asyncio.sleep(every)


async def _expire_orphans(engine: AsyncEngine, patience: float) -> None:
    async def expire(db: AsyncConnection) -> tuple[int, Summary] | None:
        execution_id = await executions.expire_orphan(db, seconds=patience)
        return None if execution_id is None else (execution_id, await executions.summarize(db, execution_id))

    while (expired := await in_transaction(engine, expire)) is not None:
        execution_id, summary = expired
        log.error("execution ended, no worker was alive", execution_id=execution_id)
        log_finished(execution_id, summary)
