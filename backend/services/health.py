"""Whether the database and the broker can be reached just now."""

import asyncio
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services.publisher import RabbitMQPublisher
from common.database import is_unavailable

DATABASE_SECONDS = 2.0


async def database_state(engine: AsyncEngine) -> Literal["connected", "disconnected"]:
    """Ask the database something, for two seconds at most."""
    asking = asyncio.create_task(_ask(engine))
    # not asyncio.timeout: to give up a connection that has fallen silent takes the driver seconds of its own
    await asyncio.wait([asking], timeout=DATABASE_SECONDS)
    if not asking.done():
        asking.cancel()
        return "disconnected"
    return "connected" if asking.result() else "disconnected"


async def _ask(engine: AsyncEngine) -> bool:
    try:
        async with engine.connect() as db:
            await db.execute(text("SELECT 1"))
    except Exception as error:
        if not is_unavailable(error):
            raise
        return False
    return True


async def broker_state(publisher: RabbitMQPublisher | None) -> Literal["connected", "disconnected", "disabled"]:
    """Whether the publisher has its connection, or can have it."""
    if publisher is None:
        return "disabled"
    return "connected" if await publisher.connect() else "disconnected"
