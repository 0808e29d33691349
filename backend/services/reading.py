"""The database for whoever only reads: one connection for a request, in the order in which they come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import network_errors

READS_AT_ONCE = 8
"""Of the process's ten connections; the others are for what writes and for the loops beside the API."""
TURN_SECONDS = 10.0


class Reading:
    """Connections in which each statement stands for itself, so that nothing is begun or ended.

    The pool alone lets whoever comes take what somebody has long been waiting for: with 32 at once, one in a hundred
    waited ten times as long as the others. Who needs less time than a turn takes may use `engine` as it is.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection, when it is our turn.

        Raises:
            UnreachableDatabaseError: it was not within ten seconds.

        """
        with network_errors():  # a time-out is one
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        try:
            async with self.engine.connect() as db:
                yield db
        finally:
            self._turns.release()
