"""RabbitMQ for both services: connect, declare the queues, publish."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from aio_pika import Connection, DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue, HeadersType
from aio_pika.connection import make_url
from aio_pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AMQPException,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
)

from common.messages import DEAD_SUFFIX

BROKER_UNAVAILABLE = (AMQPError, AMQPException, ChannelInvalidStateError, OSError)
"""The errors of a broker that is down, blocked, restarted or refuses; a time-out is an OSError."""

QUEUE_DIFFERS = ChannelPreconditionFailed
"""The error of a queue that exists with other arguments (406); waiting does not help."""

HEARTBEAT_SECONDS = 30

C = TypeVar("C", bound=Connection)


@contextmanager
def broken_off_is_unavailable() -> Iterator[None]:
    """Convert the cancellation of a waiting publisher into an error when its connection was closed.

    The library cancels all waiters for a confirm when another task, whose message has timed out, closes the connection.
    The waiting task was not cancelled by its owner, and would otherwise end without an answer.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ChannelInvalidStateError("the connection was closed meanwhile") from None


async def connect(kind: type[C], url: str, *, name: str, seconds: float | None = None) -> C:
    """Open a connection of this kind, under a name that the broker lists; a failed one leaves nothing behind.

    The library's own functions lose track of a failed connection: a robust one keeps trying with no way to stop it, and
    any is closed when the garbage collector runs, possibly without a running event loop.
    """
    connection = kind(make_url(url, heartbeat=HEARTBEAT_SECONDS), client_properties={"connection_name": name})
    try:
        await connection.connect(timeout=seconds)
    except StopAsyncIteration:  # the library's error for a broker that closes during the handshake
        await connection.close()
        raise AMQPConnectionError("the broker has closed the connection while it was opened") from None
    except BaseException:
        await connection.close()
        raise
    return connection


async def is_blocked(connection: AbstractConnection) -> bool:
    """Whether the broker has announced that it takes no messages on this connection at present."""
    if connection.transport is None:
        return False
    try:
        async with asyncio.timeout(0):  # nothing is waited for
            await connection.transport.ready()
    except TimeoutError:
        return True
    return False


async def probe(channel: AbstractChannel, queue: str, *, seconds: float) -> None:
    """Publish a message that no queue takes, and wait for its confirm; under a memory or disk alarm there is none.

    A broker reports an alarm only on connections that publish.

    Raises:
        TimeoutError: it has not confirmed in time.

    """
    await channel.default_exchange.publish(Message(b""), routing_key=f"{queue}.probe", mandatory=False, timeout=seconds)


async def declare_queues(channel: AbstractChannel, name: str) -> AbstractQueue:
    """Declare `name` and its dead-letter queue, durable and without arguments; answers the first.

    To declare an existing queue with other arguments is an error (406), so a plain declaration is the one that every
    other party can make too. Quorum and dead-lettering are set by policies of the broker.
    """
    queue = await channel.declare_queue(name, durable=True)
    await channel.declare_queue(name + DEAD_SUFFIX, durable=True)
    return queue


async def send(
    channel: AbstractChannel, queue: str, body: bytes, *, headers: HeadersType, message_id: str | None, seconds: float
) -> None:
    """Publish persistently and wait for the broker's confirm.

    The channel must have been opened with `on_return_raises=True`, else a missing queue is no error. A broker with a
    memory alarm never confirms, hence the time limit.
    """
    message = Message(
        body,
        delivery_mode=DeliveryMode.PERSISTENT,
        content_type="application/json",
        headers=headers,
        message_id=message_id,
    )
    await channel.default_exchange.publish(message, routing_key=queue, mandatory=True, timeout=seconds)
