"""RabbitMQ as both services see it: one way to connect, to declare the queues and to send."""

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
"""What comes through when RabbitMQ is down, blocked, restarted or declines; a time-out is an OSError."""

QUEUE_DIFFERS = ChannelPreconditionFailed
"""What comes through when a queue of that name has other arguments (406); waiting does not help."""

HEARTBEAT_SECONDS = 30

C = TypeVar("C", bound=Connection)


@contextmanager
def broken_off_is_unavailable() -> Iterator[None]:
    """Tell whose waiting ends because the connection is closed under it that the broker is not available.

    The library cancels whoever waits for a confirm when somebody else, whose message has timed out, lets go of the
    connection. Nobody has cancelled the task itself, and it would end without an answer.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ChannelInvalidStateError("the connection was closed meanwhile") from None


async def connect(kind: type[C], url: str, *, name: str, seconds: float | None = None) -> C:
    """Open a connection of this kind, by the name under which the broker lists it, or raise and leave nothing behind.

    The library's own functions forget a connection that could not be made: a robust one goes on trying with nobody to
    stop it, and any is closed whenever the garbage collector comes by, also where no event loop runs any more.
    """
    connection = kind(make_url(url, heartbeat=HEARTBEAT_SECONDS), client_properties={"connection_name": name})
    try:
        await connection.connect(timeout=seconds)
    except StopAsyncIteration:  # so the library names a broker that closes in the middle of its greeting
        await connection.close()
        raise AMQPConnectionError("the broker has closed the connection while it was opened") from None
    except BaseException:
        await connection.close()
        raise
    return connection


async def is_blocked(connection: AbstractConnection) -> bool:
    """Whether the broker has said that it takes no messages on this connection for the time being."""
    if connection.transport is None:
        return False
    try:
        async with asyncio.timeout(0):  # nothing is waited for
            await connection.transport.ready()
    except TimeoutError:
        return True
    return False


async def probe(channel: AbstractChannel, queue: str, *, seconds: float) -> None:
    """Have the broker confirm a message that no queue takes; with a memory or disk alarm it does not.

    A broker tells of an alarm only on connections that publish.

    Raises:
        TimeoutError: it has not confirmed in time.

    """
    await channel.default_exchange.publish(Message(b""), routing_key=f"{queue}.probe", mandatory=False, timeout=seconds)


async def declare_queues(channel: AbstractChannel, name: str) -> AbstractQueue:
    """Declare `name` and its dead-letter queue, durable and without arguments; answers the first.

    Without arguments on purpose: whoever declares a queue with other arguments than it has is answered 406, so a
    plain declaration is the one that every other party can make too. Quorum and dead-lettering come from the broker.
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
