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

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from yarl import URL

from common import rabbit
from common.clock import to_wall_clock
from common.database import cause_of, is_database_trouble
from common.lifecycle import admission, executions
from common.messages import DEAD_SUFFIX, REASON_HEADER, SIZE_HEADER, PoisonError, decode, execution_id_of
from ingestor import wire

log = structlog.get_logger(__name__)

PREFETCH = 1  # a body is bounded by `ingestor.wire`, and a message takes an INSERT: more would only wait here
CONFIRM_SECONDS = 5.0
WATCH_SECONDS = 60.0
RECONNECT_SECONDS = (1.0, 5.0)
DISPUTE_SECONDS = 10.0
DECISION_POLL_SECONDS = 0.1
ROOM_POLL_SECONDS = (1.0, 3.0)
HOLD_SECONDS = 600.0
"""How long a message waits for room, unacknowledged: well below the broker's consumer timeout of half an hour."""
MOST_LOSSES = 3
LOSSES_WITHIN_SECONDS = 300.0
FOREIGN_TRIGGER = "message"

_NOW = text("SELECT now()")


class BoundedConnection(aio_pika.RobustConnection):
    """A connection for consumers: whatever is delivered to it can be read, and is short."""

    def __init__(self, url: URL, **kwargs: Any) -> None:
        super().__init__(url, **kwargs)
        self.kwargs["transport_factory"] = wire.BoundedTransport(url.scheme)


class Consumer:
    """Listens to one queue of one broker and announces the execution of every valid message."""

    def __init__(
        self,
        url: str,
        queue: str,
        engine: AsyncEngine,
        announce: Callable[[int], None],
        *,
        at_most: int = admission.MAX_UNFINISHED,
    ) -> None:
        self._url = url
        self._queue = queue
        self._engine = engine
        self._announce = announce
        self._at_most = at_most
        self._losses: list[float] = []
        self._dead_letters: AbstractChannel | None = None

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is made again."""
        while True:
            try:
                await self._listen()
            except rabbit.QUEUE_DIFFERS as error:
                reason = str(error)  # no traceback: the broker's text names the argument
                log.critical("queue has other arguments, delete it or name another", queue=self._queue, error=reason)
                await asyncio.sleep(DISPUTE_SECONDS)
            except (
                rabbit.BROKER_UNAVAILABLE
            ) as error:  # the URL holds a password: log class and text of the error alone
                log.warning("broker is not available", queue=self._queue, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(random.uniform(*RECONNECT_SECONDS))  # noqa: S311  # jitter

    async def _listen(self) -> None:
        """Use two connections: a broker that blocks the publisher must not block the consumer."""
        async with (
            await self._connect(BoundedConnection, "pncp ingestor consumer") as consuming,
            await self._connect(aio_pika.RobustConnection, "pncp ingestor dead letters") as publishing,
        ):
            consuming.close_callbacks.add(self._on_loss)
            self._dead_letters = await publishing.channel(on_return_raises=True)
            channel = await consuming.channel()
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await rabbit.declare_queues(channel, self._queue)
            tag = await queue.consume(self._receive)
            log.info("listening", queue=self._queue)
            try:
                await self._watch(channel, tag)
            finally:  # closing it from here on is not a loss
                consuming.close_callbacks.discard(self._on_loss)

    async def _watch(self, channel: AbstractChannel, tag: str) -> None:
        """Return when the queue has no consumer: some brokers remove one without cancelling it."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            declared = await rabbit.declare_queues(channel, self._queue)  # the answer says how many there are
            if declared.declaration_result.consumer_count == 0:
                log.warning("the queue has lost its consumer, connecting anew", queue=self._queue, tag=tag)
                return

    def _on_loss(self, _: object, error: BaseException | None = None) -> None:
        """Log that the consumer's connection has ended; as an error if that happens often."""
        now = time.monotonic()
        self._losses = [at for at in self._losses if now - at < LOSSES_WITHIN_SECONDS] + [now]
        cause = f"{type(error).__name__}: {error}"
        if len(self._losses) < MOST_LOSSES:
            log.warning("consumer has lost its connection", queue=self._queue, error=cause)
            return
        log.error(
            "consumer loses its connection again and again",
            queue=self._queue,
            times=len(self._losses),
            within_seconds=LOSSES_WITHIN_SECONDS,
            error=cause,
        )

    async def _connect(self, kind: type[aio_pika.RobustConnection], name: str) -> aio_pika.RobustConnection:
        return await rabbit.connect(kind, self._url, name=name, seconds=CONFIRM_SECONDS)

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        """Write the row, acknowledge, announce. Never requeue: some brokers redeliver in a hot loop."""
        try:
            execution_id = await self._ensure_row(message)
        except PoisonError as error:
            await self._dead_letter(message, str(error))
            return
        except Exception as error:  # an unacknowledged message would block the queue
            log.exception("message cannot be processed")
            await self._dead_letter(message, f"unexpected {type(error).__name__}")
            return
        finally:
            structlog.contextvars.unbind_contextvars("execution_id")
        await message.ack()
        if execution_id is not None:
            self._announce(execution_id)

    async def _ensure_row(self, message: AbstractIncomingMessage) -> int | None:
        """The execution that the message names or makes; `None` if it makes none, because the execution exists.

        Waits while the database is away, and up to `HOLD_SECONDS` while the limit of executions is reached.
        """
        fault = message.headers.get(wire.FAULT_HEADER)
        if fault is not None:
            raise PoisonError(str(fault))
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

    async def _dead_letter(self, message: AbstractIncomingMessage, reason: str) -> None:
        """Move a message to the dead letters, confirmed, before it is acknowledged."""
        headers: dict[str, Any] = {REASON_HEADER: reason[:1000]}
        if wire.SIZE_HEADER in message.headers:
            headers[SIZE_HEADER] = message.headers[wire.SIZE_HEADER]
        size = headers.get(SIZE_HEADER, len(message.body))
        log.warning("message cannot be understood", reason=reason, message_id=message.message_id, bytes=size)
        if self._dead_letters is None:
            raise RuntimeError("no channel for dead letters")
        failed = False
        while True:
            try:
                if failed:  # the queue may have been deleted
                    await rabbit.declare_queues(self._dead_letters, self._queue)
                await rabbit.send(
                    self._dead_letters,
                    self._queue + DEAD_SUFFIX,
                    message.body,
                    headers=headers,
                    message_id=message.message_id,
                    seconds=CONFIRM_SECONDS,
                )
            except rabbit.BROKER_UNAVAILABLE as error:
                log.warning("message is not in the dead letters yet", error=type(error).__name__)
                failed = True
                await asyncio.sleep(random.uniform(*RECONNECT_SECONDS))  # noqa: S311  # jitter
            else:
                await message.ack()
                return


class Wait(Enum):
    """Why a message has to wait."""

    FOR_ROOM = auto()
    FOR_DECISION = auto()


async def _take_in(db: AsyncConnection, message: AbstractIncomingMessage, at_most: int) -> int | Wait | None:
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
