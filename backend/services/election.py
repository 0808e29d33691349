"""One backend at a time does what several could do: an advisory lock that is released with its connection."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.database import cause_of, is_database_trouble

log = structlog.get_logger(__name__)

_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:key)")


@asynccontextmanager
async def elected(engine: AsyncEngine, key: int) -> AsyncIterator[bool]:
    """Whether this process holds the lock meanwhile; no transaction stays open."""
    async with engine.connect() as db:
        await db.execution_options(isolation_level="AUTOCOMMIT")
        is_ours: bool = (await db.execute(_TRY_LOCK, {"key": key})).scalar_one()
        try:
            yield is_ours
        finally:
            if is_ours:
                await db.execute(_UNLOCK, {"key": key})


async def look_if_elected(
    engine: AsyncEngine, key: int, look: Callable[[], Awaitable[None]], *, waits: str, fails: str
) -> None:
    """Look once, unless another backend does; no error of it ends the API.

    `waits` and `fails`: the log events of a database that is away, and of an error.
    """
    try:
        async with elected(engine, key) as is_ours:
            if is_ours:
                await look()
    except Exception as error:
        if is_database_trouble(error):
            log.warning(waits, cause=cause_of(error))
        else:
            log.exception(fails)
