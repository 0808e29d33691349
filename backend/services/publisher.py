"""The bell's rope: one long-lived connection to RabbitMQ, and messages that are confirmed or said not to be."""

import asyncio
import contextvars
from dataclasses import dataclass
from typing import Literal

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError

from backend.models.sync import SyncRequest
from common import rabbit
from common.messages import EXECUTION_HEADER, encode

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 3.0  # with a second to let a dead connection go, the answer comes within five
CHECK_SECONDS = 2.0
PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class BrokerState:
    """What the broker says, and how many messages of the queue wait for a consumer.

    `blocked`: it is reached and takes no message, for a memory or disk alarm.
    """

    state: Literal["connected", "blocked", "disconnected"]
    messages: int = 0
    consumers: int = 0

    @property
    def is_unheard(self) -> bool:
        """Whether messages wait and nothing consumes them."""
        return self.messages > 0 and self.consumers == 0

    @property
    def is_fine(self) -> bool:
        """Whether messages are taken and consumed."""
        return self.state == "connected" and not self.is_unheard


class RabbitMQPublisher:
    """Publishes to one queue; connects when it has to, so that a broker that was away is found again."""

    def __init__(self, url: str, queue: str = "ingest.pncp") -> None:
        self._url = url
        self._queue = queue
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._checks: AbstractChannel | None = None
        self._checking = asyncio.Lock()
        self._opening = asyncio.Lock()

    async def connect(self) -> bool:
        """Connect now, within two seconds; `False` if the broker cannot be reached."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                with rabbit.broken_off_is_unavailable():
                    await self._open_channel()
        except rabbit.BROKER_UNAVAILABLE as error:
            log.info("broker cannot be reached", error=type(error).__name__)
            return False
        return True

    async def check(self) -> BrokerState:
        """Ask for the queue and prove that messages are taken, within two seconds."""
        try:
            async with asyncio.timeout(CHECK_SECONDS), self._checking:
                with rabbit.broken_off_is_unavailable():
                    await self._open_channel()
                    return await self._check()
        except rabbit.BROKER_UNAVAILABLE as error:
            log.info("broker cannot be checked", error=type(error).__name__)
            return BrokerState("disconnected")

    async def _check(self) -> BrokerState:
        """On a channel of its own: one that is given up in the middle takes no request with it."""
        connection = self._connection
        if connection is None:
            return BrokerState("disconnected")
        if await rabbit.is_blocked(connection):
            return BrokerState("blocked")
        if self._checks is None or self._checks.is_closed:
            self._checks = await connection.channel()
        queue = (await self._checks.declare_queue(self._queue, durable=True)).declaration_result
        try:
            await rabbit.probe(self._checks, self._queue, seconds=PROBE_SECONDS)
        except TimeoutError:
            return BrokerState("blocked" if await rabbit.is_blocked(connection) else "disconnected")
        return BrokerState("connected", queue.message_count or 0, queue.consumer_count or 0)

    async def publish_sync_request(self, request: SyncRequest, execution_id: int | None = None) -> bool:
        """Ring for an execution; `True` only if the broker has confirmed it.

        `False` is not a denial: the message may have arrived all the same.
        """
        body = encode(request.to_command())
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                try:
                    await self._publish(body, execution_id)
                except DeliveryError:  # the queue was deleted: declare it and ring once more
                    await self._drop()
                    await self._publish(body, execution_id)
        except rabbit.BROKER_UNAVAILABLE as error:
            log.warning("bell did not ring", execution_id=execution_id, error=type(error).__name__)
            await self._drop()
            return False
        return True

    async def close(self) -> None:
        """Close the connection."""
        await self._drop()

    async def _publish(self, body: bytes, execution_id: int | None) -> None:
        identity = None if execution_id is None else str(execution_id)
        with rabbit.broken_off_is_unavailable():
            channel = await self._open_channel()
            await rabbit.send(
                channel,
                self._queue,
                body,
                headers={} if execution_id is None else {EXECUTION_HEADER: execution_id},
                message_id=identity,
                seconds=PUBLISH_SECONDS,
            )

    async def _open_channel(self) -> AbstractChannel:
        async with self._opening:
            if self._channel is not None and not self._channel.is_closed and self._is_connected():
                return self._channel
            await self._drop()
            # in a context of its own: the tasks that a connection lives on log for years what befalls it, and would
            # name the request in which it was opened
            return await asyncio.create_task(self._open(), context=contextvars.Context())

    async def _open(self) -> AbstractChannel:
        self._connection = await rabbit.connect(aio_pika.Connection, self._url, name="pncp backend")
        self._channel = await self._connection.channel(on_return_raises=True)
        await rabbit.declare_queues(self._channel, self._queue)
        return self._channel

    def _is_connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed

    async def _drop(self) -> None:
        """Let go of a connection that may be dead; its close may fail or hang, and matters to nobody any more."""
        connection, self._connection = self._connection, None
        self._channel = self._checks = None
        if connection is None:
            return
        try:
            async with asyncio.timeout(1):
                await connection.close()
        except rabbit.BROKER_UNAVAILABLE as error:
            log.debug("connection was dead already", error=type(error).__name__)
