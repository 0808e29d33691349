"""Messages to a destination of kind amqp: persistent, confirmed by the broker, to permitted addresses only.

What consumers get is at least once; `message_id` is the same each time that a message is published again.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from aio_pika import Connection, DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import (
    AuthenticationError,
    ChannelNotFoundEntity,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.exceptions import ChannelAccessRefused, ConnectionNotAllowed
from yarl import URL

from common.connections.secrets import SecretMissing
from common.connections.settings import Destination, Stream
from common.mapping.fields import NONE
from common.rabbit import BROKER_UNAVAILABLE, QUEUE_DIFFERS, broken_off_is_unavailable, connect
from ingestor.delivery.guard import ForbiddenAddress, Reach
from ingestor.delivery.verdicts import Answer, Failure

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 5
CLOSE_SECONDS: Final = 1

_REFUSED: Final = (
    AuthenticationError,
    ProbableAuthenticationError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ConnectionNotAllowed,
    QUEUE_DIFFERS,
    PublishError,  # returned: no queue takes it
)


class AmqpSender:
    """Publishes to one destination of kind amqp, over one connection that is opened when it is needed."""

    def __init__(self, destination: Destination, *, allow_loopback: bool = False) -> None:
        self._destination = destination
        self._reach = Reach(destination.allow_private, allow_loopback)
        self._connection: Connection | None = None
        self._exchange: AbstractExchange | None = None
        self._opening = asyncio.Lock()

    @property
    def host(self) -> str:
        """The host of the destination's URL; empty where it cannot be resolved or is none."""
        try:
            return urlsplit(self._destination.url.resolve()).hostname or ""
        except (SecretMissing, ValueError):
            return ""

    async def send(
        self, stream: Stream, body: bytes, *, idempotency_key: UUID, attempt: int, message_ids: Sequence[str] = ()
    ) -> Answer:
        """Publish a request and wait until the broker has confirmed it whole; that is status 200.

        With `wrap: none` each line of the body is a message with an id of `message_ids`, else the body is one message
        with the idempotency key as its id.
        """
        answer = Answer(HTTPStatus.OK)
        try:
            async with asyncio.timeout(self._destination.timeout):
                await self._publish(stream, _messages(stream, body, idempotency_key, message_ids))
        except (SecretMissing, TimeoutError, ValueError, ssl.SSLError, *BROKER_UNAVAILABLE) as error:
            answer = Answer(failure=failure_of(error))
            await self.close()
        log.debug(
            "delivery_publish",
            destination=self._destination.name,
            host=self.host,
            attempt=attempt,
            status=answer.status,
            failure=answer.failure,
        )
        return answer

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            with suppress(TimeoutError):  # a broker that is silent is not waited for; the transport is closed by then
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.close()

    async def _publish(self, stream: Stream, messages: Sequence[Message]) -> None:
        exchange = await self._open()
        key = self._destination.routing_key or ("" if self._destination.exchange else self._destination.queue)
        for message in messages:
            message.headers["stream"] = stream.name
        with broken_off_is_unavailable():
            await asyncio.gather(*(exchange.publish(message, routing_key=key, mandatory=True) for message in messages))

    async def _open(self) -> AbstractExchange:
        """The exchange to which messages go, over a connection that works; the queue is there then."""
        async with self._opening:
            if self._exchange is None or self._connection is None or self._connection.is_closed:
                await self.close()
                self._connection = await self._connect()
                channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                self._exchange = await self._declare(channel)
            return self._exchange

    async def _connect(self) -> Connection:
        url = self._destination.url.resolve()
        schemes = ("amqps", "amqp") if self._destination.allow_http else ("amqps",)
        parts = urlsplit(url)
        if parts.scheme not in schemes or not parts.hostname or parts.port == 0:
            raise ValueError("no URL of a broker")
        kind = _guarded(self._reach)
        return await connect(kind, url, name=f"pncp-delivery {self._destination.name}", seconds=CONNECT_SECONDS)

    async def _declare(self, channel: AbstractChannel) -> AbstractExchange:
        """Declare the queue plainly; the exchange must be there."""
        if self._destination.queue:
            await channel.declare_queue(self._destination.queue, durable=True)
        if self._destination.exchange:
            return await channel.get_exchange(self._destination.exchange, ensure=True)
        return channel.default_exchange


def _messages(stream: Stream, body: bytes, idempotency_key: UUID, message_ids: Sequence[str]) -> list[Message]:
    if stream.wrap != NONE:
        return [_message(stream, body, str(idempotency_key))]
    lines = body.splitlines()
    ids = message_ids or [f"{idempotency_key}/{number}" for number in range(1, len(lines) + 1)]
    return [_message(stream, line, message_id) for line, message_id in zip(lines, ids, strict=True)]


def _message(stream: Stream, body: bytes, message_id: str) -> Message:
    return Message(
        body,
        delivery_mode=DeliveryMode.PERSISTENT,
        content_type=stream.rendering.content_type,
        message_id=message_id,
    )


def failure_of(error: BaseException) -> Failure:
    """The failure that an error of a connection or of a publication is, by its own kind or by that of its cause."""
    cause: BaseException | None = error
    while cause is not None:
        for kinds, failure in _FAILURES:
            if isinstance(cause, kinds):
                return failure
        cause = cause.__cause__
    return "amqp"


_FAILURES: Final[tuple[tuple[tuple[type[BaseException], ...], Failure], ...]] = (
    ((SecretMissing,), "secret_missing"),
    ((ForbiddenAddress,), "forbidden_address"),
    ((socket.gaierror,), "dns"),
    ((ssl.SSLError,), "tls"),
    ((TimeoutError,), "timeout"),
    ((ConnectionRefusedError,), "refused_connection"),
    (_REFUSED, "amqp_refused"),
    ((ValueError,), "invalid_url"),
)


def _guarded(reach: Reach) -> type[Connection]:
    class GuardedConnection(Connection):
        """A connection whose socket is opened for permitted addresses alone."""

        def __init__(self, url: URL, **kwargs: Any) -> None:
            super().__init__(url, **kwargs)
            self.kwargs["transport_factory"] = _GuardedTransport(reach)

    return GuardedConnection


class _GuardedTransport:
    """Opens connections of the library; an address is judged where its socket is opened."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first address that is permitted and answers; a reader and a writer of the connection."""
        context = await kwargs["ssl_context_provider"].get_context() if url.scheme == "amqps" else None
        opened = await self._connect(url.host or "", url.port or 0)
        try:
            return await asyncio.open_connection(
                sock=opened, ssl=context, server_hostname=url.host if context is not None else None
            )
        except BaseException:
            opened.close()
            raise

    async def _connect(self, host: str, port: int) -> socket.socket:
        loop = asyncio.get_running_loop()
        failed: OSError = ForbiddenAddress()
        for info in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            opened: socket.socket | None = None
            try:
                opened = self._reach.open_socket(info)
                opened.setblocking(False)
                await loop.sock_connect(opened, info[4])
            except OSError as error:
                failed = error
            else:
                return opened
            if opened is not None:
                opened.close()
        raise failed
