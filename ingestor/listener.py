"""Listener of one queue: connections that are made again, messages that are taken one by one, dead letters."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from yarl import URL

from common import rabbit, traces
from common.messages import DEAD_SUFFIX, REASON_HEADER, SIZE_HEADER, PoisonError
from ingestor import wire

log = structlog.get_logger(__name__)

PREFETCH = 1  # a body is bounded by `ingestor.wire`, and a message is held for a moment: more would only wait here
CONFIRM_SECONDS = 5.0
WATCH_SECONDS = 60.0
RECONNECT_SECONDS = (1.0, 5.0)
DISPUTE_SECONDS = 10.0
MOST_LOSSES = 3
LOSSES_WITHIN_SECONDS = 300.0

Message = AbstractIncomingMessage


class BoundedConnection(aio_pika.RobustConnection):
    """A connection for consumers: whatever is delivered to it can be read, and is short."""

    def __init__(self, url: URL, **kwargs: Any) -> None:
        super().__init__(url, **kwargs)
        self.kwargs["transport_factory"] = wire.BoundedTransport(url.scheme)


class Listener:
    """Listens to one queue of one broker and announces what every valid message is about."""

    def __init__(self, url: str, queue: str, announce: Callable[[int], None]) -> None:
        self._url = url
        self._queue = queue
        self._announce = announce
        self._losses: list[float] = []
        self._dead_letters: AbstractChannel | None = None

    async def take(self, message: Message) -> int | None:
        """What a message is about, once nothing of it can be lost; `None` where there is nothing to announce.

        Raises:
            PoisonError: it cannot be understood.

        """
        raise NotImplementedError

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

    async def _receive(self, message: Message) -> None:
        """Take, acknowledge, announce. Never requeue: some brokers redeliver in a hot loop."""
        parent = message.headers.get(traces.TRACEPARENT)
        try:
            with traces.span("message", parent=parent, kind="CONSUMER"):
                _refuse_faulty(message)
                taken = await self.take(message)
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
        if taken is not None:
            self._announce(taken)

    async def _dead_letter(self, message: Message, reason: str) -> None:
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


def _refuse_faulty(message: Message) -> None:
    """Refuse what `ingestor.wire` has found wrong before it was read.

    Raises:
        PoisonError: it has.

    """
    fault = message.headers.get(wire.FAULT_HEADER)
    if fault is not None:
        raise PoisonError(str(fault))
