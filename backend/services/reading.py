"""FIFO-fair read connections: a semaphore in front of the pool."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import UnreachableDatabaseError, network_errors

READS_AT_ONCE = 8
"""Of the process's ten connections; the others are for writes and background loops."""
TURN_SECONDS = 10.0


class ReadConnections:
    """Connections in autocommit mode: each statement is a transaction of its own.

    The pool alone is not fair: a new request may take a connection before one that has waited longer, and with 32 at
    once, one in a hundred waited ten times as long as the others. A very short query may use `engine` without waiting.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection, in the order of requests.

        Raises:
            UnreachableDatabaseError: none was free within ten seconds, or the driver met a network error.

        """
        with network_errors():  # a time-out counts as a network error
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        try:
            async with self.engine.connect() as db:
                try:
                    with network_errors():
                        yield db
                except UnreachableDatabaseError:
                    await db.invalidate()  # the server may be silent, and its answer still come
                    raise
        finally:
            self._turns.release()
