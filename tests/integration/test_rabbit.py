"""Connecting to a broker that is not there, or says nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest

from common import rabbit


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
