"""Consumer: a message becomes a row and is acknowledged at once; one that cannot be decoded goes to the dead letters.

A message is held for the length of an INSERT, so that a long backfill never meets the broker's consumer timeout.
"""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import datetime
from enum import Enum, auto
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.clock import to_wall_clock
from common.database import cause_of, is_database_trouble
from common.lifecycle import admission, executions
from common.messages import PoisonError, decode, execution_id_of
from ingestor.listener import RECONNECT_SECONDS, Listener, Message

log = structlog.get_logger(__name__)

DECISION_POLL_SECONDS = 0.1
ROOM_POLL_SECONDS = (1.0, 3.0)
HOLD_SECONDS = 600.0
"""How long a message waits for room, unacknowledged: well below the broker's consumer timeout of half an hour."""
FOREIGN_TRIGGER = "message"

_NOW = text("SELECT now()")


class Consumer(Listener):
    """Announces the execution of every valid message."""

    def __init__(
        self,
        url: str,
        queue: str,
        engine: AsyncEngine,
        announce: Callable[[int], None],
        *,
        at_most: int = admission.MAX_UNFINISHED,
    ) -> None:
        super().__init__(url, queue, announce)
        self._engine = engine
        self._at_most = at_most

    async def take(self, message: Message) -> int | None:
        """The execution that the message names or makes; `None` if it makes none, because the execution exists.

        Waits while the database is away, and up to `HOLD_SECONDS` while the limit of executions is reached.
        """
        named = execution_id_of(dict(message.headers))
        deadline: float | None = None
        while True:
            try:
                async with self._engine.begin() as db:
                    if named is not None and await executions.exists(db, named):
                        structlog.contextvars.bind_contextvars(execution_id=named)
                        return named
                    taken = await _take_in(db, message, self._at_most)
            except Exception as error:
                if not is_database_trouble(error):
                    raise
                log.warning("database is not available, the message waits", cause=cause_of(error))
                await asyncio.sleep(random.uniform(*RECONNECT_SECONDS))  # noqa: S311  # jitter
                continue
            if taken is Wait.FOR_DECISION:
                await asyncio.sleep(DECISION_POLL_SECONDS)
            elif taken is Wait.FOR_ROOM:
                if deadline is None:
                    deadline = time.monotonic() + HOLD_SECONDS
                    log.warning("message waits for room", at_most=self._at_most, message_id=message.message_id)
                if time.monotonic() >= deadline:
                    raise PoisonError(
                        f"{self._at_most} executions were under way for {HOLD_SECONDS:.0f} s; publish it again later"
                    )
                await asyncio.sleep(random.uniform(*ROOM_POLL_SECONDS))  # noqa: S311  # jitter
            else:
                return taken


class Wait(Enum):
    """Why a message has to wait."""

    FOR_ROOM = auto()
    FOR_DECISION = auto()


async def _take_in(db: AsyncConnection, message: Message, at_most: int) -> int | Wait | None:
    """Make the execution that another party's message asks for; `None` if it exists, a `Wait` if not yet.

    Raises:
        PoisonError: the message cannot be understood.

    """
    moment: datetime = (await db.execute(_NOW)).scalar_one()  # not this machine's clock, which may be days off
    command = decode(message.body, now=to_wall_clock(moment))
    await admission.queue_up(db)
    if message.message_id is not None:
        earlier = await admission.find_message(db, message.message_id)
        if earlier is not None:
            log.warning("message was taken before, it makes no execution", message_id=message.message_id, made=earlier)
            return None
    wanted: dict[str, Any] = {
        "mode": command.mode,
        "resource": command.resource,
        "window_start": command.window_start,
        "window_end": command.window_end,
        "criterio": None if command.mode == "update" else command.criterio,
    }
    waiting = await admission.find_unplanned(db, **wanted)
    if waiting is not None:
        if waiting.undecided and waiting.age_seconds < admission.UNDECIDED_SECONDS:
            return Wait.FOR_DECISION
        if waiting.undecided and not await admission.mark_published(db, waiting.id):
            return Wait.FOR_DECISION
        log.info("message joins an execution that is not planned yet", joined=waiting.id, message_id=message.message_id)
        return None
    created = await admission.create(
        db, **wanted, trigger=FOREIGN_TRIGGER, message_id=message.message_id, at_most=at_most
    )
    if created is None:
        return Wait.FOR_ROOM
    log.info(
        "execution accepted",
        execution_id=created,
        mode=command.mode,
        trigger=FOREIGN_TRIGGER,
        message_id=message.message_id,
    )
    return created
