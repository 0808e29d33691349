"""RabbitMQ publisher: one long-lived connection, publisher confirms."""

import asyncio
import contextvars
from dataclasses import dataclass
from typing import Literal

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, HeadersType
from aio_pika.exceptions import DeliveryError

from backend.models.sync import SyncRequest
from common import rabbit, traces
from common.messages import EXECUTION_HEADER, ImportAnnounced, encode, encode_import

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 3.0  # with a second to close a dead connection, the answer comes within five
CHECK_SECONDS = 2.0
PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class BrokerState:
    """The state of the broker, and how many messages of the queue wait for a consumer.

    `blocked`: it can be reached but takes no message, because of a memory or disk alarm.
    """

    state: Literal["connected", "blocked", "disconnected"]
    messages: int = 0
    consumers: int = 0

    @property
    def is_unconsumed(self) -> bool:
        """Whether messages wait and nothing consumes them."""
        return self.messages > 0 and self.consumers == 0

    @property
    def is_fine(self) -> bool:
        """Whether messages are taken and consumed."""
        return self.state == "connected" and not self.is_unconsumed


class RabbitMQPublisher:
    """Publishes to one queue. It connects when it has to, so it recovers when the broker comes back."""

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
        """Declare the queue and publish a probe to prove that the broker takes messages, within two seconds."""
        try:
            async with asyncio.timeout(CHECK_SECONDS), self._checking:
                with rabbit.broken_off_is_unavailable():
                    await self._open_channel()
                    return await self._check()
        except rabbit.BROKER_UNAVAILABLE as error:
            log.info("broker cannot be checked", error=type(error).__name__)
            return BrokerState("disconnected")

    async def _check(self) -> BrokerState:
        """Use a channel of its own, so that a check that is cancelled does not close the channel of a request."""
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
        """Publish the message of an execution; `True` only if the broker has confirmed it.

        After `False` the message may still have arrived.
        """
        headers: HeadersType = {} if execution_id is None else {EXECUTION_HEADER: execution_id}
        identity = None if execution_id is None else str(execution_id)
        return await self._publish_surely(encode(request.to_command()), headers, identity)

    async def publish_import(self, announced: ImportAnnounced) -> bool:
        """Publish that rows of an import wait; `True` only if the broker has confirmed it."""
        return await self._publish_surely(encode_import(announced), {}, announced.message_id)

    async def close(self) -> None:
        """Close the connection."""
        await self._drop()

    async def _publish_surely(self, body: bytes, headers: HeadersType, message_id: str | None) -> bool:
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                try:
                    await self._publish(body, headers, message_id)
                except DeliveryError:  # the queue was deleted: declare it and publish once more
                    await self._drop()
                    await self._publish(body, headers, message_id)
        except rabbit.BROKER_UNAVAILABLE as error:
            log.warning("message was not confirmed", message_id=message_id, error=type(error).__name__)
            await self._drop()
            return False
        return True

    async def _publish(self, body: bytes, headers: HeadersType, message_id: str | None) -> None:
        if (parent := traces.traceparent()) is not None:
            headers = {**headers, traces.TRACEPARENT: parent}
        with rabbit.broken_off_is_unavailable():
            channel = await self._open_channel()
            await rabbit.send(
                channel, self._queue, body, headers=headers, message_id=message_id, seconds=PUBLISH_SECONDS
            )

    async def _open_channel(self) -> AbstractChannel:
        async with self._opening:
            if self._channel is not None and not self._channel.is_closed and self._is_connected():
                return self._channel
            await self._drop()
            # in a context of its own: the connection's tasks outlive this request, and what they log must not carry
            # its fields
            return await asyncio.create_task(self._open(), context=contextvars.Context())

    async def _open(self) -> AbstractChannel:
        self._connection = await rabbit.connect(aio_pika.Connection, self._url, name="pncp backend")
        self._channel = await self._connection.channel(on_return_raises=True)
        await rabbit.declare_queues(self._channel, self._queue)
        return self._channel

    def _is_connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed

    async def _drop(self) -> None:
        """Close a connection that may be dead; errors and time-outs of the close have no effect."""
        connection, self._connection = self._connection, None
        self._channel = self._checks = None
        if connection is None:
            return
        try:
            async with asyncio.timeout(1):
                await connection.close()
        except rabbit.BROKER_UNAVAILABLE as error:
            log.debug("connection was dead already", error=type(error).__name__)
