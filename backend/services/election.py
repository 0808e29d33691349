"""One backend at a time does what several could do: an advisory lock that is released with its connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

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
