"""A broker that takes no messages, a queue that nothing reads: what `/health` and the alerts say of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import aio_pika
import pytest
from pamqp import commands, frame
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from backend.services.alerts.episodes import Notifier, run_once
from backend.services.alerts.findings import Rules
from backend.services.alerts.queue_watch import QueueWatch
from backend.services.publisher import BrokerState, RabbitMQPublisher
from ingestor import listener as listener_module
from ingestor.consumer import Consumer
from tests.integration.conftest import Database, OpenApi, Proxy
from tests.support import eventually

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
QUIET = Rules(no_success=None, reminder=None, schedule_enabled=True, update_crons={"contratacoes": "*/15 * * * *"})
PUBLISH = b"\x00\x3c\x00\x28"


class AlarmedBroker(Proxy):
    """A broker that can run out of memory: it says so to publishers, and reads no further from it."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.is_well = asyncio.Event()
        self.is_well.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, there = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there}
        try:
            await asyncio.gather(self._pass_on(reader, there, writer), self._pass(answers, writer))
        except OSError:
            pass
        finally:
            for end in (writer, there):
                end.close()
                self._writers.discard(end)

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while part := await source.read(65536):
            if PUBLISH in part and not self.is_well.is_set():
                back.write(frame.marshal(commands.Connection.Blocked("low on memory"), 0))
                await self.is_well.wait()
                back.write(frame.marshal(commands.Connection.Unblocked(), 0))
            sink.write(part)
            await sink.drain()
        sink.close()


@pytest.fixture
async def alarmed(rabbitmq_url: str) -> AsyncIterator[tuple[AlarmedBroker, str]]:
    parts = urlsplit(rabbitmq_url)
    proxy = AlarmedBroker(parts.hostname or "127.0.0.1", parts.port or 5672)
    await proxy.mend()
    login = parts.netloc.rpartition("@")[0]
    yield proxy, parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()
    await proxy.cut()


@pytest.mark.rabbitmq
async def test_a_broker_with_an_alarm_is_told_as_one_that_takes_nothing(
    open_api: OpenApi, alarmed: tuple[AlarmedBroker, str], queue_name: str
) -> None:
    proxy, url = alarmed
    api = await open_api(rabbitmq_url=url, queue_name=queue_name)
    before = (await api.get("/health")).json()
    proxy.is_well.clear()
    during = [(await api.get("/health")).json() for _ in range(3)]
    proxy.is_well.set()

    async def is_well_again() -> bool:
        return bool((await api.get("/health")).json()["status"] == "ok")

    await eventually(is_well_again)
    assert (before["status"], before["broker"], before["broker_blocked"]) == ("ok", "connected", False)
    assert before["queue"] == {"messages": 0, "consumers": 0}
    for told in during:
        assert (told["status"], told["broker"], told["broker_blocked"]) == ("degraded", "disconnected", True)


@pytest.mark.rabbitmq
async def test_messages_that_nothing_reads_are_degraded(
    open_api: OpenApi, rabbitmq_url: str, queue_name: str, engine: AsyncEngine
) -> None:
    api = await open_api(rabbitmq_url=rabbitmq_url, queue_name=queue_name)
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"[]"), routing_key=queue_name)
        told = (await api.get("/health")).json()
        listening = asyncio.create_task(Consumer(rabbitmq_url, queue_name, engine, lambda _: None).run())

        async def is_read() -> bool:
            return bool((await api.get("/health")).json()["queue"] == {"messages": 0, "consumers": 1})

        await eventually(is_read)
        assert (await api.get("/health")).json()["status"] == "ok"
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    assert (told["status"], told["broker"]) == ("degraded", "connected")
    assert told["queue"] == {"messages": 1, "consumers": 0}


class Told(RabbitMQPublisher):
    """A broker of which is told what it is like."""

    def __init__(self) -> None:
        super().__init__("amqp://nowhere")
        self.state = BrokerState("connected")

    async def check(self) -> BrokerState:
        return self.state


async def test_a_queue_without_a_reader_is_an_alert_after_five_minutes_until_it_has_one(
    engine: AsyncEngine, database: Database
) -> None:
    broker = Told()
    watch = QueueWatch(broker)

    async def look(minutes: int) -> list[tuple[str, bool]]:
        now = NOW + minutes * MINUTE
        await run_once(engine, QUIET, Notifier([]), watch, now=now, watching_since=NOW)
        return [
            (kind, is_open)
            for kind, is_open in await database.rows("SELECT kind, resolved_at IS NULL FROM alerts ORDER BY id")
        ]

    assert await look(0) == []
    broker.state = BrokerState("connected", messages=3)
    assert await look(1) == []
    broker.state = BrokerState("disconnected")
    assert await look(4) == []
    broker.state = BrokerState("connected", messages=3)
    assert await look(6) == [("queue", True)]
    assert await look(9) == [("queue", True)]
    broker.state = BrokerState("connected", messages=3, consumers=1)
    assert await look(10) == [("queue", False)]


async def test_a_backend_that_is_new_does_not_end_the_alert_that_another_has_opened(
    engine: AsyncEngine, database: Database
) -> None:
    broker = Told()
    broker.state = BrokerState("connected", messages=3)

    async def look(watch: QueueWatch, minutes: int) -> list[tuple[str, bool]]:
        now = NOW + minutes * MINUTE
        await run_once(engine, QUIET, Notifier([]), watch, now=now, watching_since=now)
        return [
            (kind, is_open)
            for kind, is_open in await database.rows("SELECT kind, resolved_at IS NULL FROM alerts ORDER BY id")
        ]

    old = QueueWatch(broker)
    await look(old, 0)
    assert await look(old, 6) == [("queue", True)]
    assert await look(QueueWatch(broker), 7) == [("queue", True)]
    broker.state = BrokerState("disconnected")
    assert await look(QueueWatch(broker), 8) == [("queue", True)]
    broker.state = BrokerState("connected", messages=3, consumers=1)
    assert await look(QueueWatch(broker), 9) == [("queue", False)]


@pytest.mark.rabbitmq
async def test_a_connection_that_is_lost_again_and_again_is_an_error_in_the_log(
    engine: AsyncEngine, broker_proxy: tuple[Proxy, str], queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "RECONNECT_SECONDS", (0.01, 0.02))
    proxy, url = broker_proxy
    with capture_logs() as logs:
        consumer = Consumer(f"{url}?reconnect_interval=0.1", queue_name, engine, lambda _: None)
        listening = asyncio.create_task(consumer.run())
        await eventually(lambda: any(entry["event"] == "listening" for entry in logs))
        for times in (1, 2, 3):
            await proxy.cut()
            await eventually(lambda times=times: losses(logs) >= times)
            await proxy.mend()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    told = [entry for entry in logs if entry["event"] == "consumer loses its connection again and again"]
    assert told
    assert {entry["log_level"] for entry in told} == {"error"}


def losses(logs: object) -> int:
    assert isinstance(logs, list)
    return len([entry for entry in logs if "connection" in entry["event"] and entry["event"].startswith("consumer")])
