"""A worker's row in `workers` and what it leaves: that it is alive, what it works on, and that it has stopped."""

import os
import secrets
import socket
from collections.abc import Collection

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import cause_of, is_database_trouble, is_unknown_to_schema
from common.lifecycle import Kind, slices

log = structlog.get_logger(__name__)

LEAVE_SECONDS = 5.0  # the time of the last statements, where the database is slow
SHORTEST_ALIVE_SECONDS = 60.0
FORGET_WORKERS_AFTER_DAYS = 7

_BEAT = text("""
    INSERT INTO workers (id, kinds, alive_until)
    VALUES (:id, CAST(:kinds AS text[]), now() + make_interval(secs => :alive_seconds))
    ON CONFLICT (id) DO UPDATE SET last_seen_at = now(), alive_until = excluded.alive_until
""")
_LEAVE = text("""
    UPDATE workers SET stopped_at = now(), last_seen_at = now(), alive_until = now(), is_busy = false WHERE id = :id
""")
_LIMIT = text("SELECT set_config('statement_timeout', :milliseconds, true)")
_FORGET = text("DELETE FROM workers WHERE last_seen_at < now() - make_interval(days => :days)")


def new_worker_id() -> str:
    """An id that no other worker has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


async def limit_statements(db: AsyncConnection, seconds: float) -> None:
    """Limit the time of each statement of this transaction."""
    await db.execute(_LIMIT, {"milliseconds": str(int(seconds * 1000))})


async def beat(engine: AsyncEngine, worker_id: str, kinds: Collection[Kind], *, lease_seconds: float) -> None:
    """Record that a worker of these kinds is alive, and until when it counts as alive."""
    alive_seconds = max(2 * lease_seconds, SHORTEST_ALIVE_SECONDS)
    async with engine.begin() as db:
        await db.execute(_BEAT, {"id": worker_id, "kinds": list(kinds), "alive_seconds": alive_seconds})


async def leave(engine: AsyncEngine, worker_id: str) -> None:
    """Record that a worker has stopped, and delete workers that stopped long ago."""
    try:
        async with engine.begin() as db:
            await limit_statements(db, LEAVE_SECONDS)
            await db.execute(_LEAVE, {"id": worker_id})
            await db.execute(_FORGET, {"days": FORGET_WORKERS_AFTER_DAYS})
    except Exception as error:
        if not (is_database_trouble(error) or is_unknown_to_schema(error)):
            raise
        log.warning("database is not available, the end of this worker is not recorded", cause=cause_of(error))


async def release_all(engine: AsyncEngine, worker_id: str) -> list[tuple[int, int]]:
    """Release all slices of a worker that ends; answers the ids of the slices, each with its execution's."""
    try:
        async with engine.begin() as db:
            await limit_statements(db, LEAVE_SECONDS)
            released = await slices.release_all(db, worker_id)
    except Exception as error:
        if not (is_database_trouble(error) or is_unknown_to_schema(error)):
            raise
        log.warning("the slices are not released, the leases will run out", cause=cause_of(error))
        return []
    for slice_id, execution_id in released:
        log.info("slice is released", slice_id=slice_id, execution_id=execution_id)
    return released
