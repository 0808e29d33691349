"""Messages to a destination of kind amqp, on the broker at hand."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from common.connections.secrets import SecretText
from common.connections.settings import Stream
from ingestor.delivery.amqp import AmqpSender
from ingestor.delivery.verdicts import Answer
from tests.destinations import destination, stream
from tests.integration.conftest import Proxy

pytestmark = pytest.mark.rabbitmq

KEY = uuid.UUID("0d5ac4b6-3d7f-4a2e-9f66-5d6f2f3a9c11")
BODY = b'[{"id":1},{"id":2}]'
LINES = b'{"id":1}\n{"id":2}\n'
WHOLE = stream()
EACH = stream(wrap="none")
IDS = ["contratacoes:a/1@2026-03-01T10:00:00Z", "contratacoes:a/2@2026-03-01T10:00:00Z"]

Open = Callable[..., AmqpSender]


@pytest.fixture
async def open_sender(rabbitmq_url: str) -> AsyncIterator[Open]:
    """Senders to the broker, closed when the test ends."""
    senders: list[AmqpSender] = []

    def open_sender(*, allow_loopback: bool = True, **settings: Any) -> AmqpSender:
        sender = AmqpSender(
            destination(**{"url": rabbitmq_url, "kind": "amqp", **settings}), allow_loopback=allow_loopback
        )
        senders.append(sender)
        return sender

    yield open_sender
    for sender in senders:
        await sender.close()


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection, connection.channel() as channel:
        yield channel


async def taken(channel: AbstractChannel, queue: str) -> list[AbstractIncomingMessage]:
    """What is in a queue now."""
    found = await channel.declare_queue(queue, durable=True)
    messages = []
    while (message := await found.get(no_ack=True, fail=False)) is not None:
        messages.append(message)
    return messages


async def send(sender: AmqpSender, to: Stream = WHOLE, body: bytes = BODY, **options: Any) -> Answer:
    return await sender.send(to, body, idempotency_key=KEY, attempt=1, **options)


async def test_a_request_is_one_persistent_message_under_its_idempotency_key(
    open_sender: Open, channel: AbstractChannel, queue_name: str
) -> None:
    answer = await send(open_sender(queue=queue_name), stream(content_type="application/x-ndjson"))
    assert (answer.status, answer.failure) == (200, None)
    (message,) = await taken(channel, queue_name)
    assert (message.body, message.message_id) == (BODY, str(KEY))
    assert (message.content_type, message.delivery_mode) == ("application/x-ndjson", 2)
    assert message.headers == {"stream": "contratacoes"}


async def test_without_a_wrapping_every_record_is_a_message_under_its_own_id(
    open_sender: Open, channel: AbstractChannel, queue_name: str
) -> None:
    assert (await send(open_sender(queue=queue_name), EACH, LINES, message_ids=IDS)).status == 200
    messages = await taken(channel, queue_name)
    assert [(message.message_id, message.body) for message in messages] == [
        (IDS[0], b'{"id":1}'),
        (IDS[1], b'{"id":2}'),
    ]


async def test_records_without_ids_get_them_of_the_request(
    open_sender: Open, channel: AbstractChannel, queue_name: str
) -> None:
    await send(open_sender(queue=queue_name), EACH, LINES)
    assert [message.message_id for message in await taken(channel, queue_name)] == [f"{KEY}/1", f"{KEY}/2"]


async def test_a_thousand_messages_go_in_one_request(
    open_sender: Open, channel: AbstractChannel, queue_name: str
) -> None:
    body = b"\n".join(b'{"id":%d}' % number for number in range(1000))
    assert (await send(open_sender(queue=queue_name), EACH, body)).status == 200
    queue = await channel.declare_queue(queue_name, durable=True)
    assert queue.declaration_result.message_count == 1000


async def test_an_exchange_passes_messages_on_by_their_routing_key(
    open_sender: Open, channel: AbstractChannel, queue_name: str
) -> None:
    exchange = await channel.declare_exchange(f"{queue_name}.x", "topic", auto_delete=True)
    queue = await channel.declare_queue(queue_name, durable=True)
    await queue.bind(exchange, "pncp.#")
    sender = open_sender(exchange=exchange.name, routing_key="pncp.contratacoes")
    assert (await send(sender)).status == 200
    assert len(await taken(channel, queue_name)) == 1
    other = open_sender(exchange=exchange.name, routing_key="other")
    assert await send(other) == Answer(failure="amqp_refused")
    await queue.unbind(exchange, "pncp.#")


async def test_an_exchange_that_is_not_there_is_the_destination_s_fault(open_sender: Open, queue_name: str) -> None:
    assert await send(open_sender(exchange=f"{queue_name}.no")) == Answer(failure="amqp_refused")


async def test_a_queue_that_exists_with_other_arguments_is_the_destination_s_fault(
    open_sender: Open, channel: AbstractChannel, queue_name: str
) -> None:
    await channel.declare_queue(queue_name, durable=True, arguments={"x-max-length": 10})
    assert await send(open_sender(queue=queue_name)) == Answer(failure="amqp_refused")


async def test_a_wrong_password_is_the_destination_s_fault(
    open_sender: Open, rabbitmq_url: str, queue_name: str
) -> None:
    parts = urlsplit(rabbitmq_url)
    url = f"amqp://unknown-{queue_name}:wrong@{parts.hostname}:{parts.port or 5672}/"
    assert await send(open_sender(url=SecretText(url), queue=queue_name)) == Answer(failure="amqp_refused")


async def test_a_vhost_that_is_not_there_is_asked_for_again(
    open_sender: Open, rabbitmq_url: str, queue_name: str
) -> None:
    """The broker closes the connection without a reason that the library passes on."""
    url = rabbitmq_url.rstrip("/") + f"/{queue_name}"
    assert await send(open_sender(url=SecretText(url), queue=queue_name)) == Answer(failure="amqp")


async def test_a_broker_that_is_away_is_asked_again_when_it_is_back(
    open_sender: Open, broker_proxy: tuple[Proxy, str], channel: AbstractChannel, queue_name: str
) -> None:
    proxy, url = broker_proxy
    sender = open_sender(url=SecretText(url), queue=queue_name)
    assert (await send(sender)).status == 200
    await proxy.cut()
    assert (await send(sender)).failure in {"amqp", "refused_connection"}
    assert (await send(sender)).failure == "refused_connection"
    await proxy.mend()
    assert (await send(sender)).status == 200
    assert {message.message_id for message in await taken(channel, queue_name)} == {str(KEY)}


async def test_a_broker_that_confirms_nothing_ends_at_the_time_limit(
    open_sender: Open, broker_proxy: tuple[Proxy, str], queue_name: str
) -> None:
    proxy, url = broker_proxy
    sender = open_sender(url=SecretText(url), queue=queue_name, timeout=1)
    assert (await send(sender)).status == 200
    proxy.freeze()
    sending: Awaitable[Answer] = asyncio.create_task(send(sender))
    assert await sending == Answer(failure="timeout")
    await proxy.cut()


async def test_requests_at_once_share_one_connection(open_sender: Open, queue_name: str) -> None:
    sender = open_sender(queue=queue_name)
    answers = await asyncio.gather(*(send(sender) for _ in range(8)))
    assert {answer.status for answer in answers} == {200}


async def test_the_address_of_a_broker_is_guarded(open_sender: Open, queue_name: str) -> None:
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"):
        sender = open_sender(url=SecretText(f"amqp://guest:guest@{host}/"), queue=queue_name, allow_loopback=False)
        assert await send(sender) == Answer(failure="forbidden_address")


async def test_what_cannot_be_used_publishes_nothing(open_sender: Open, rabbitmq_url: str, queue_name: str) -> None:
    assert await send(open_sender(url=SecretText("${env:NO_SUCH_VARIABLE_OF_TESTS}"))) == Answer(
        failure="secret_missing"
    )
    assert await send(open_sender(url=SecretText("http://x/"))) == Answer(failure="invalid_url")
    assert await send(open_sender(url=SecretText(rabbitmq_url), allow_http=False, queue=queue_name)) == Answer(
        failure="invalid_url"
    )
    url = rabbitmq_url.replace("amqp:", "amqps:")
    assert (await send(open_sender(url=SecretText(url), queue=queue_name))).failure == "tls"
