"""A broker that is away or silent, or whose connection another task closes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest

from backend.models.sync import SyncRequest
from backend.services import publisher as publisher_module
from backend.services.publisher import RabbitMQPublisher
from common import rabbit
from tests.integration.conftest import Proxy


@pytest.fixture(params=[aio_pika.Connection, aio_pika.RobustConnection])
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[type[aio_pika.Connection]]:
    """A kind of connection that remembers what was made of it."""

    class Remembered(request.param):  # type: ignore[misc]  # which class it is, only the test run knows
        made: list[aio_pika.Connection] = []  # noqa: RUF012  # that is the point

        def __init__(self, *words: Any, **named: Any) -> None:
            super().__init__(*words, **named)
            self.made.append(self)

    yield Remembered
    for connection in Remembered.made:
        await connection.close()


async def test_a_connection_that_is_refused_is_not_left_to_the_garbage_collector(kind: Any, closed_port: int) -> None:
    with pytest.raises(rabbit.BROKER_UNAVAILABLE):
        await rabbit.connect(kind, f"amqp://guest:guest@127.0.0.1:{closed_port}/", name="test")
    assert [connection.is_closed for connection in kind.made] == [True]


async def test_a_broker_that_closes_while_it_greets_is_not_available() -> None:
    class ClosedMeanwhile(aio_pika.Connection):
        """As the library's own connection ends where the broker is stopped at that moment."""

        async def connect(self, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002  # the library's form
            raise StopAsyncIteration

    with pytest.raises(rabbit.BROKER_UNAVAILABLE):
        await rabbit.connect(ClosedMeanwhile, "amqp://guest:guest@127.0.0.1/", name="test")


async def test_a_connection_whose_opening_is_cancelled_does_not_go_on_trying(kind: Any) -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await rabbit.connect(kind, f"amqp://guest:guest@127.0.0.1:{port}/", name="test")
        gone.set()
    assert [connection.is_closed for connection in kind.made] == [True]
    assert {task for task in asyncio.all_tasks() if "connection_factory" in repr(task)} == set()


@pytest.mark.rabbitmq
async def test_waiting_publishers_answer_false_when_another_one_closes_the_connection(
    broker_proxy: tuple[Proxy, str], queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = broker_proxy
    publisher = RabbitMQPublisher(url, queue_name)
    assert await publisher.connect()
    proxy.freeze()

    monkeypatch.setattr(publisher_module, "PUBLISH_SECONDS", 0.5)
    first = asyncio.create_task(publisher.publish_sync_request(SyncRequest()))
    await asyncio.sleep(0)
    monkeypatch.setattr(publisher_module, "PUBLISH_SECONDS", 10)  # the first gives up while the others still wait
    others = [asyncio.create_task(publisher.publish_sync_request(SyncRequest())) for _ in range(3)]
    ended = await asyncio.gather(first, *others, return_exceptions=True)

    assert ended == [False] * 4
    await publisher.close()


async def test_a_task_that_is_cancelled_itself_stays_cancelled() -> None:
    async def wait() -> None:
        with rabbit.broken_off_is_unavailable():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
