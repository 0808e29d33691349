"""The health of the database, the workers and the broker."""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services.publisher import BrokerState, RabbitMQPublisher
from common.database import cause_of, is_database_trouble
from common.lifecycle import slices

log = structlog.get_logger(__name__)

DATABASE_SECONDS = 2.0
BROKER_SECONDS = 5.0

# A standby in recovery answers `on` too.
_STATE = text("""
    SELECT current_setting('transaction_read_only') = 'on' AS is_read_only,
           EXISTS (SELECT FROM workers
                    WHERE stopped_at IS NULL AND alive_until > now() AND 'sync' = ANY(kinds)) AS has_workers,
           EXISTS (SELECT FROM sync_executions WHERE status = 'running' AND kind = 'sync') AS has_work
""")


@dataclass(frozen=True)
class State:
    """The state of the database and the workers.

    `failing`: it answers, but ingestors could not store what they have read, because of a full disk for instance.
    """

    database: Literal["connected", "failing", "read-only", "disconnected"]
    workers: Literal["ok", "none", "unknown"] = "unknown"
    has_work: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether requests can be served."""
        return self.database in ("connected", "failing")

    @property
    def is_fine(self) -> bool:
        """Whether no action is needed; unfinished work without a worker needs one."""
        return self.database == "connected" and (self.workers == "ok" or not self.has_work)


async def load_state(engine: AsyncEngine) -> State:
    """Ask the database, for two seconds at most."""
    asking = asyncio.create_task(_ask(engine))
    # not asyncio.timeout: the driver takes seconds to close a connection that does not answer
    await asyncio.wait([asking], timeout=DATABASE_SECONDS)
    if not asking.done():
        asking.cancel()
        return State("disconnected")
    return asking.result()


async def _ask(engine: AsyncEngine) -> State:
    try:
        state = await _load(engine)
        if state.database == "read-only":  # after a failover, new connections may lead to a writable server
            await engine.dispose()
            state = await _load(engine)
    except SQLAlchemyError as error:
        if not is_database_trouble(error):  # a database without our tables counts as absent
            log.warning("database cannot be asked for its state", cause=cause_of(error))
        return State("disconnected")
    return state


async def _load(engine: AsyncEngine) -> State:
    async with engine.connect() as db:
        row = (await db.execute(_STATE)).one()
        workers: Literal["ok", "none"] = "ok" if row.has_workers else "none"
        if row.is_read_only:
            return State("read-only", workers, row.has_work)
        is_failing = await slices.database_trouble(db) is not None
        return State("failing" if is_failing else "connected", workers, row.has_work)


async def load_broker(publisher: RabbitMQPublisher | None) -> BrokerState | None:
    """The state of the broker and its queue; `None` without a broker."""
    return None if publisher is None else await publisher.check()


class BrokerCheck:
    """Remembers the state of the broker for some seconds, so that a broker that does not answer delays one caller."""

    def __init__(self, publisher: RabbitMQPublisher) -> None:
        self._publisher = publisher
        self._known: BrokerState | None = None
        self._checking: asyncio.Task[None] | None = None
        self._checked_at = float("-inf")

    async def state(self) -> BrokerState | None:
        """The state at the last check; the first caller waits for one, later ones begin the next."""
        if self._checking is None and time.monotonic() - self._checked_at >= BROKER_SECONDS:
            self._checking = asyncio.create_task(self._check())
        if self._known is None and self._checking is not None:
            await asyncio.wait([self._checking])
        return self._known

    async def close(self) -> None:
        """Cancel a check that is under way."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait([self._checking], timeout=1)

    async def _check(self) -> None:
        try:
            self._known = await self._publisher.check()
        finally:
            self._checked_at, self._checking = time.monotonic(), None
