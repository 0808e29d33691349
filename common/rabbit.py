"""RabbitMQ as both services see it: one way to declare the queues and one way to send."""

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractQueue, HeadersType
from aio_pika.exceptions import AMQPError, AMQPException, ChannelInvalidStateError, ChannelPreconditionFailed

from common.messages import DEAD_SUFFIX

BROKER_UNAVAILABLE = (AMQPError, AMQPException, ChannelInvalidStateError, OSError)
"""What comes through when RabbitMQ is down, blocked, restarted or declines; a time-out is an OSError."""

QUEUE_DIFFERS = ChannelPreconditionFailed
"""What comes through when a queue of that name has other arguments (406); waiting does not help."""


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
