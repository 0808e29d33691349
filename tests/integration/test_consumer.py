"""The bell with a real broker: what becomes a row, what is buried, and that nothing is lost on the way."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from structlog.typing import EventDict

from common import clock, executions
from common.database import create_engine
from common.executions import PUBLISH_FAILED
from common.messages import LONGEST_BODY
from ingestor import consumer as consumer_module
from ingestor.consumer import Consumer
from ingestor.wire import KEPT_BYTES
from tests.chaos.amqp import open_publisher
from tests.integration.conftest import Database, Proxy
from tests.support import eventually

pytestmark = pytest.mark.rabbitmq

UPDATE = b'{"mode": "update"}'
BACKFILL = {"mode": "backfill", "data_ini": "2025-03-10T00:00:00", "data_fim": "2025-03-12T23:59:59"}


def backfill(number: int) -> bytes:
    """A request for a day that no other number asks for."""
    day = date(2025, 3, 10) - timedelta(days=number)
    return json.dumps({"mode": "backfill", "data_ini": f"{day}T00:00:00", "data_fim": f"{day}T23:59:59"}).encode()


@pytest.fixture(autouse=True)
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "RECONNECT_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(consumer_module, "DISPUTE_SECONDS", 0.2)


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[AbstractChannel]:
    """Another party's own connection."""
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        yield channel


class Bells:
    """A queue with our consumer on it, seen from outside."""

    def __init__(self, channel: AbstractChannel, queue: str) -> None:
        self.channel = channel
        self.queue = queue
        self.rung: list[int] = []
        self._running: list[asyncio.Task[None]] = []

    async def listen(self, url: str, engine: AsyncEngine, *, at_most: int = 1000) -> None:
        """Start a consumer, and return when it listens."""
        consumer = Consumer(url, self.queue, engine, self.rung.append, at_most=at_most)
        running = asyncio.create_task(consumer.run())
        self._running.append(running)
        await eventually(self.somebody_listens)

    async def somebody_listens(self) -> bool:
        try:
            queue = await self.channel.declare_queue(self.queue, passive=True)
        except aio_pika.exceptions.ChannelClosed:
            await self.channel.reopen()
            return False
        return bool(queue.declaration_result.consumer_count)

    async def send(self, body: bytes, **properties: Any) -> None:
        await self.channel.default_exchange.publish(aio_pika.Message(body, **properties), routing_key=self.queue)

    async def waiting(self, suffix: str = "") -> int:
        """Messages that nobody has been given."""
        queue = await self.channel.declare_queue(self.queue + suffix, passive=True)
        return int(queue.declaration_result.message_count or 0)

    async def buried(self, count: int) -> list[AbstractIncomingMessage]:
        """The dead letters, as soon as there are so many."""

        async def are_there() -> bool:
            return await self.waiting(".dead") >= count

        await eventually(are_there)
        queue = await self.channel.get_queue(f"{self.queue}.dead")
        messages = []
        while (message := await queue.get(fail=False)) is not None:
            await message.ack()
            messages.append(message)
        return messages

    async def stop(self) -> None:
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@pytest.fixture
async def bells(channel: AbstractChannel, queue_name: str) -> AsyncIterator[Bells]:
    """The queue, with nobody on it yet."""
    await channel.declare_queue(queue_name, durable=True)
    await channel.declare_queue(f"{queue_name}.dead", durable=True)
    bells = Bells(channel, queue_name)
    yield bells
    await bells.stop()


@pytest.fixture
async def heard(bells: Bells, rabbitmq_url: str, engine: AsyncEngine) -> Bells:
    """The queue, with our consumer on it."""
    await bells.listen(rabbitmq_url, engine)
    return bells


def rows(database: Database, count: int) -> Callable[[], Awaitable[bool]]:
    async def are_there() -> bool:
        return bool(await database.value("SELECT count(*) FROM sync_executions") == count)

    return are_there


async def all_is_acknowledged(bells: Bells) -> None:
    """Stopping the consumer gives back what it had not acknowledged: there is nothing."""
    await bells.stop()

    async def nobody_listens() -> bool:
        return not await bells.somebody_listens()

    await eventually(nobody_listens)
    assert await bells.waiting() == 0


# --- messages that are understood -------------------------------------------------------------------------------


async def test_our_own_message_rings_for_its_row_and_makes_no_other(heard: Bells, database: Database) -> None:
    created = await database.requested()
    await heard.send(json.dumps(BACKFILL).encode(), headers={"execution_id": created}, message_id=str(created))

    await eventually(lambda: heard.rung == [created])
    await all_is_acknowledged(heard)
    assert await rows(database, 1)()


async def test_the_identity_may_come_as_text(heard: Bells, database: Database) -> None:
    created = await database.requested()
    await heard.send(UPDATE, headers={"execution_id": str(created)})

    await eventually(lambda: heard.rung == [created])


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"{}", UPDATE, b'{"mode": "update", "more": [1], "data_ini": "x"}', b'{"origem": "outro"}']
)
async def test_another_partys_message_for_an_update_makes_its_own_row(
    heard: Bells, database: Database, body: bytes
) -> None:
    await heard.send(body)

    await eventually(lambda: heard.rung)
    row = await database.row("SELECT * FROM sync_executions")
    assert heard.rung == [row.id]
    assert (row.mode, row.criterio, row.status, row.trigger) == ("update", "atualizacao", "running", "message")
    assert (row.window_start, row.window_end, row.planned_at) == (None, None, None)
    await all_is_acknowledged(heard)


@pytest.mark.parametrize("criterio", [None, "publicacao", "atualizacao"])
async def test_another_partys_backfill_makes_its_own_row(
    heard: Bells, database: Database, criterio: str | None
) -> None:
    await heard.send(json.dumps({**BACKFILL, **({"criterio": criterio} if criterio else {})}).encode())

    await eventually(lambda: heard.rung)
    row = await database.row("SELECT * FROM sync_executions")
    assert (row.mode, row.criterio) == ("backfill", criterio or "publicacao")
    assert (row.window_start.isoformat(), row.window_end.isoformat()) == (BACKFILL["data_ini"], BACKFILL["data_fim"])


async def test_a_message_that_comes_twice_makes_one_row(heard: Bells, database: Database) -> None:
    with capture_logs() as logs:
        for number, message_id in enumerate(("one", "one", "other", "one")):
            await heard.send(backfill(number), message_id=message_id)
        await heard.send(backfill(9), message_id="last")
        await eventually(lambda: len(heard.rung) == 3)

    assert await rows(database, 3)()
    assert len(set(heard.rung)) == 3
    told = _events(logs, "message was taken before, it makes no execution")
    assert [(entry["log_level"], entry["message_id"], entry["made"]) for entry in told] == [
        ("warning", "one", heard.rung[0])
    ] * 2


async def test_a_message_whose_row_was_committed_before_its_ack_makes_no_second_row(
    bells: Bells, database: Database, rabbitmq_url: str, engine: AsyncEngine
) -> None:
    await bells.send(backfill(1), message_id="twice")
    queue = await bells.channel.get_queue(bells.queue)
    first = await queue.get()
    assert first is not None
    await database.run(
        executions.create, mode="update", window_start=None, window_end=None, trigger="message", message_id="twice"
    )
    await first.reject(requeue=True)
    await bells.send(backfill(2), message_id="after")
    await bells.listen(rabbitmq_url, engine)

    await eventually(lambda: bells.rung)
    await all_is_acknowledged(bells)
    assert await rows(database, 2)()


async def test_an_identity_without_a_row_is_another_partys(heard: Bells, database: Database) -> None:
    await heard.send(json.dumps(BACKFILL).encode(), headers={"execution_id": 12345}, message_id="12345")

    await eventually(lambda: heard.rung)
    row = await database.row("SELECT id, trigger, mode FROM sync_executions")
    assert tuple(row) == (heard.rung[0], "message", "backfill")
    assert row.id != 12345


async def test_where_header_and_body_disagree_the_row_counts(heard: Bells, database: Database) -> None:
    created = await database.requested()
    before = await database.execution(created)
    await heard.send(b'{"mode": "backfill", "data_ini": "nonsense"}', headers={"execution_id": created})

    await eventually(lambda: heard.rung == [created])
    assert await database.execution(created) == before
    assert await heard.waiting(".dead") == 0


async def test_a_finished_row_is_not_run_again(heard: Bells, database: Database) -> None:
    created = await database.requested()
    await database.run(executions.refuse, created)
    before = await database.execution(created)
    await heard.send(UPDATE, headers={"execution_id": created})

    await eventually(lambda: heard.rung == [created])
    assert await database.run(executions.lock_unplanned, older_than_seconds=0, execution_id=created) is None
    assert await database.execution(created) == before
    assert before.error_message == PUBLISH_FAILED
    await all_is_acknowledged(heard)


# --- floods -----------------------------------------------------------------------------------------------------


async def test_hundreds_of_messages_for_an_update_are_one_execution(heard: Bells, database: Database) -> None:
    with capture_logs() as logs:
        for number in range(300):
            await heard.send(UPDATE, message_id=str(number))
        await heard.send(backfill(0))
        await eventually(rows(database, 2))

    assert len(_events(logs, "message joins an execution that is not planned yet")) == 299
    assert await heard.waiting(".dead") == 0
    await all_is_acknowledged(heard)


async def test_a_backfill_that_waits_to_be_planned_is_not_made_again_and_another_one_is(
    heard: Bells, database: Database
) -> None:
    for body in (backfill(1), backfill(1), json.dumps({**json.loads(backfill(1)), "criterio": "publicacao"}).encode()):
        await heard.send(body)
    await heard.send(json.dumps({**json.loads(backfill(1)), "criterio": "atualizacao"}).encode())
    await heard.send(backfill(2))

    await eventually(lambda: len(heard.rung) == 3)
    assert await rows(database, 3)()
    await all_is_acknowledged(heard)


async def test_a_message_joins_no_execution_that_may_still_be_refused(heard: Bells, database: Database) -> None:
    requested = await database.requested("update")
    await heard.send(UPDATE)
    await database.run(executions.refuse, requested)

    await eventually(lambda: heard.rung)
    assert [tuple(row) for row in await database.rows("SELECT status, trigger FROM sync_executions ORDER BY id")] == [
        ("error", "api"),
        ("running", "message"),
    ]


async def test_a_message_beyond_the_cap_waits_until_there_is_room(
    bells: Bells, database: Database, rabbitmq_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "ROOM_POLL_SECONDS", (0.05, 0.1))
    await bells.listen(rabbitmq_url, engine, at_most=2)
    with capture_logs() as logs:
        for number in range(3):
            await bells.send(backfill(number))
        await eventually(lambda: _events(logs, "message waits for room"))
    assert await rows(database, 2)()

    await database.run(executions.end, bells.rung[0], status="error", error_message="cancelled by admin")
    await eventually(lambda: len(bells.rung) == 3)
    assert await bells.waiting(".dead") == 0
    await all_is_acknowledged(bells)


async def test_a_message_that_has_waited_too_long_for_room_is_a_dead_letter_and_our_own_passes(
    bells: Bells, database: Database, rabbitmq_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "ROOM_POLL_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(consumer_module, "HOLD_SECONDS", 0.3)
    await bells.listen(rabbitmq_url, engine, at_most=1)
    created = await database.requested()
    await bells.send(backfill(5), message_id="late")
    await bells.send(UPDATE, headers={"execution_id": created})

    (letter,) = await bells.buried(1)
    assert (letter.message_id, letter.body) == ("late", backfill(5))
    assert "1 executions were under way" in str(letter.headers["reason"])
    await eventually(lambda: bells.rung == [created])
    await all_is_acknowledged(bells)


async def test_a_window_is_checked_by_the_clock_of_the_database(
    heard: Bells, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(datetime):
        """A machine that is three days behind."""

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(days=3)

    for module in (consumer_module, clock):
        monkeypatch.setattr(module, "datetime", Late)
    today = datetime.now(UTC).date().isoformat()
    await heard.send(dated(f"{today}T00:00:00", f"{today}T23:59:59"))

    await eventually(lambda: heard.rung)
    assert await heard.waiting(".dead") == 0


# --- messages that are not --------------------------------------------------------------------------------------


def dated(first: Any, last: Any = "2025-03-12T23:59:59") -> bytes:
    return json.dumps({"mode": "backfill", "data_ini": first, "data_fim": last}).encode()


POISON: dict[str, tuple[bytes, dict[str, Any]]] = {
    "an array": (b"[]", {}),
    "null": (b"null", {}),
    "a text": (b'"update"', {}),
    "not JSON": (b"update", {}),
    "cut": (b'{"mode": "up', {}),
    "NaN alone": (b"NaN", {}),
    "not UTF-8": (b'{"mode": "\xff\xfe"}', {}),
    "binary": (bytes(range(256)), {}),
    "nested": (b"[" * 15_000, {}),
    "5000 digits": (b'{"mode": "update", "n": ' + b"9" * 5000 + b"}", {}),
    "10 MB": (b'{"mode": "' + b"a" * 10_000_000 + b'"}', {}),
    "an unknown mode": (b'{"mode": "delete"}', {}),
    "mode null": (b'{"mode": null}', {}),
    "mode as a list": (b'{"mode": ["update"]}', {}),
    "a lone surrogate": (rb'{"mode": "\ud800"}', {}),
    "an unknown criterio": (json.dumps({**BACKFILL, "criterio": ["tudo"]}).encode(), {}),
    "no dates": (b'{"mode": "backfill"}', {}),
    "a date as a number": (dated(20250310), {}),
    "a date that is none": (dated("2025-02-30T00:00:00"), {}),
    "a date with an offset": (dated("2025-03-10T00:00:00Z"), {}),
    "reversed": (dated("2025-03-13T00:00:00"), {}),
    "too long": (dated("2024-01-01T00:00:00"), {}),
    "in the future": (dated("2999-01-01T00:00:00", "2999-01-02T00:00:00"), {}),
    "year 1": (dated("0001-01-01T00:00:00"), {}),
    "a word as identity": (UPDATE, {"headers": {"execution_id": "abc"}}),
    "a superscript as identity": (UPDATE, {"headers": {"execution_id": "²"}}),
    "a UUID as identity": (UPDATE, {"headers": {"execution_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}}),
    "a negative identity": (UPDATE, {"headers": {"execution_id": -1}}),
    "a huge identity": (UPDATE, {"headers": {"execution_id": "9" * 30}}),
    "one beyond the largest": (UPDATE, {"headers": {"execution_id": str(2**63)}}),
    "a boolean identity": (UPDATE, {"headers": {"execution_id": True}}),
    "a fractional identity": (UPDATE, {"headers": {"execution_id": 1.5}}),
    "a moment as identity": (UPDATE, {"headers": {"execution_id": datetime(2025, 3, 10, tzinfo=UTC)}}),
    "a table as identity": (UPDATE, {"headers": {"execution_id": {"a": {"b": [1, {"c": None}]}}}}),
    "100 kB as identity": (UPDATE, {"headers": {"execution_id": "x" * 100_000}}),
    "a list as identity": (UPDATE, {"headers": {"execution_id": [1]}}),
    "NUL in its name": (UPDATE, {"message_id": "a\x00b"}),
}


async def test_what_cannot_be_understood_is_buried_with_a_reason_and_the_next_message_served(
    heard: Bells, database: Database, subtests: pytest.Subtests
) -> None:
    for number, (name, (body, properties)) in enumerate(POISON.items(), start=1):
        with subtests.test(name):
            await heard.send(body, **properties)
            await heard.send(backfill(number), message_id=f"after {name}")

            (letter,) = await heard.buried(1)
            assert letter.body == (body if len(body) <= LONGEST_BODY else body[:KEPT_BYTES])
            assert letter.headers["reason"]
            assert letter.headers.get("size", len(body)) == len(body)
            assert letter.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
            await eventually(lambda number=number: len(heard.rung) == number)
    assert await rows(database, len(POISON))()
    await all_is_acknowledged(heard)


def short(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def table(*entries: bytes) -> bytes:
    return len(b"".join(entries)).to_bytes(4, "big") + b"".join(entries)


def number_of(value: int) -> bytes:
    return value.to_bytes(8, "big")


NESTED = b""
for _ in range(1500):
    NESTED = b"\1aF" + table(NESTED)

# The word of flags and what follows it. Each of these ends the connection of the library, or its task, unseen.
UNDECODABLE = {
    "a timestamp in microseconds": b"\x00\x40" + number_of(1_764_000_000_000_000),
    "the largest timestamp": b"\x00\x40" + number_of(2**64 - 1),
    "a content type that is not UTF-8": b"\x80\x00" + short(b"\xff\xfe"),
    "an application that is not UTF-8": b"\x00\x08" + short(b"\xff\xfe"),
    "a timestamp in microseconds as a header": b"\x20\x00" + table(short(b"at") + b"T" + number_of(10**18)),
    "a header whose name is not UTF-8": b"\x20\x00" + table(short(b"\xff") + b"V"),
    "headers nested 1500 deep": b"\x20\x00" + table(NESTED),
    "a text of 100 kB as a header": b"\x20\x00" + table(short(b"x") + b"S" + table(b"x" * 100_000)),
}


@pytest.mark.parametrize("properties", UNDECODABLE.values(), ids=UNDECODABLE.keys())
async def test_a_property_that_no_library_can_decode_is_passed_over(
    heard: Bells, database: Database, rabbitmq_url: str, properties: bytes
) -> None:
    async with open_publisher(rabbitmq_url) as publisher:
        assert await publisher.publish_raw(heard.queue, json.dumps(BACKFILL).encode(), properties)
    await eventually(rows(database, 1))
    assert await heard.waiting(".dead") == 0
    await all_is_acknowledged(heard)


async def test_a_message_that_is_read_leniently_keeps_its_execution(
    heard: Bells, database: Database, rabbitmq_url: str
) -> None:
    created = await database.requested()
    headers = table(short(b"at") + b"T" + number_of(10**18), short(b"execution_id") + b"l" + number_of(created))
    async with open_publisher(rabbitmq_url) as publisher:
        assert await publisher.publish_raw(heard.queue, UPDATE, b"\x20\x00" + headers)

    await eventually(lambda: heard.rung == [created])
    assert await rows(database, 1)()
    await all_is_acknowledged(heard)


async def test_a_message_without_a_readable_identity_is_a_dead_letter_and_the_next_is_served(
    heard: Bells, database: Database, rabbitmq_url: str
) -> None:
    async with open_publisher(rabbitmq_url) as publisher:
        assert await publisher.publish_raw(heard.queue, UPDATE, b"\x00\x80" + short(b"\xff\xfe"))
    await heard.send(json.dumps(BACKFILL).encode())

    (letter,) = await heard.buried(1)
    assert (letter.body, letter.headers["reason"]) == (UPDATE, "the message_id is not UTF-8")
    await eventually(rows(database, 1))
    await all_is_acknowledged(heard)


async def test_two_hundred_of_them_are_buried_and_the_consumer_lives(heard: Bells, database: Database) -> None:
    for number in range(200):
        await heard.send(b"poison %d" % number)
    await heard.send(UPDATE)

    letters = await heard.buried(200)
    assert {letter.body for letter in letters} == {b"poison %d" % number for number in range(200)}
    await eventually(lambda: heard.rung)
    await all_is_acknowledged(heard)
    assert await rows(database, 1)()


# --- the broker ------------------------------------------------------------------------------------------------


async def test_a_queue_that_is_deleted_under_the_consumer_is_listened_to_again(
    heard: Bells, database: Database
) -> None:
    await heard.channel.queue_delete(heard.queue)

    await eventually(heard.somebody_listens)
    await heard.send(UPDATE)
    await eventually(rows(database, 1))


async def test_poison_is_buried_though_the_queue_for_it_was_deleted(heard: Bells) -> None:
    await heard.channel.queue_delete(f"{heard.queue}.dead")
    await heard.send(b"poison", message_id="1")

    async def is_buried() -> bool:
        try:
            return await heard.waiting(".dead") == 1
        except aio_pika.exceptions.ChannelClosed:
            await heard.channel.reopen()
            return False

    await eventually(is_buried)
    await heard.send(UPDATE)
    await eventually(lambda: heard.rung)
    await all_is_acknowledged(heard)


async def test_a_connection_that_breaks_is_made_again_and_no_message_lost(
    bells: Bells, database: Database, engine: AsyncEngine, broker_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = broker_proxy
    await bells.listen(url, engine)
    await bells.send(UPDATE, message_id="before")
    await eventually(rows(database, 1))
    await proxy.cut()
    for number in range(20):
        await bells.send(backfill(number), message_id=str(number))
    await proxy.mend()

    await eventually(lambda: len(set(bells.rung)) == 21)
    assert await rows(database, 21)()


async def test_a_consumer_that_is_silently_gone_is_noticed_and_replaced(
    bells: Bells, database: Database, rabbitmq_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "WATCH_SECONDS", 0.5)
    consume = aio_pika.RobustQueue.consume
    tags: list[str] = []

    async def consume_and_vanish_once(queue: aio_pika.RobustQueue, *arguments: Any, **options: Any) -> str:
        tag = await consume(queue, *arguments, **options)
        if not tags:
            await queue.cancel(tag)
        tags.append(tag)
        return tag

    monkeypatch.setattr(aio_pika.RobustQueue, "consume", consume_and_vanish_once)
    await bells.listen(rabbitmq_url, engine)
    await bells.send(UPDATE)

    await eventually(rows(database, 1))
    assert len(tags) == 2


def _events(logs: list[EventDict], event: str) -> list[EventDict]:
    return [entry for entry in logs if entry["event"] == event]


async def test_a_broker_that_is_not_there_is_waited_for(
    bells: Bells, database: Database, engine: AsyncEngine, broker_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = broker_proxy
    await proxy.cut()
    with capture_logs() as logs:
        listening = asyncio.create_task(bells.listen(url, engine))
        await eventually(lambda: len(_told(logs, "warning")) >= 2)
        await bells.send(UPDATE)
        await proxy.mend()
        await listening

    await eventually(rows(database, 1))


def _told(logs: list[EventDict], level: str) -> list[EventDict]:
    return [entry for entry in logs if entry["log_level"] == level]


async def test_a_queue_with_other_arguments_is_named_and_waited_for(
    channel: AbstractChannel, database: Database, rabbitmq_url: str, queue_name: str
) -> None:
    await channel.declare_queue(queue_name, durable=True, arguments={"x-max-length": 5})
    bells = Bells(channel, queue_name)
    with capture_logs() as logs:
        running = asyncio.create_task(bells.listen(rabbitmq_url, database.engine))
        await eventually(lambda: len(_told(logs, "critical")) >= 2)
        entry = _told(logs, "critical")[0]
        assert entry["queue"] == queue_name
        assert "x-max-length" in entry["error"]
        await channel.queue_delete(queue_name)
        await running

    await bells.send(UPDATE)
    await eventually(rows(database, 1))
    await bells.stop()


async def test_a_wrong_password_is_told_without_it(bells: Bells, engine: AsyncEngine, rabbitmq_url: str) -> None:
    url = rabbitmq_url.replace("guest:guest@", "guest:s3cret-pass@")
    with capture_logs() as logs:
        running = asyncio.create_task(bells.listen(url, engine))
        await eventually(lambda: len(_told(logs, "warning")) >= 2)
        running.cancel()

    assert "s3cret-pass" not in repr(logs)


# --- the database -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def engine_through(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(url, application_name="pncp-tests", pool_size=5)
    try:
        yield engine
    finally:
        await engine.dispose()


async def test_messages_wait_while_the_database_is_away_and_none_is_lost_or_buried(
    bells: Bells, database: Database, rabbitmq_url: str, database_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = database_proxy
    async with engine_through(url) as engine:
        await bells.listen(rabbitmq_url, engine)
        await bells.send(UPDATE, message_id="before")
        await eventually(rows(database, 1))
        await proxy.cut()
        with capture_logs() as logs:
            for number in range(15):
                await bells.send(backfill(number), message_id=str(number))
            await eventually(lambda: len(_events(logs, "database is not available, the message waits")) >= 12)
        assert await rows(database, 1)()
        await proxy.mend()

        await eventually(rows(database, 16))
        await eventually(lambda: len(bells.rung) == 16)
        await all_is_acknowledged(bells)
    assert await bells.waiting(".dead") == 0


async def test_a_consumer_that_dies_while_its_messages_wait_gives_them_back(
    bells: Bells, database: Database, rabbitmq_url: str, database_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = database_proxy
    async with engine_through(url) as engine:
        await bells.listen(rabbitmq_url, engine)
        await proxy.cut()
        with capture_logs() as logs:
            for number in range(15):
                await bells.send(backfill(number), message_id=str(number))
            await eventually(lambda: _events(logs, "database is not available, the message waits"))
        await bells.stop()
    await bells.listen(rabbitmq_url, database.engine)

    await eventually(lambda: len(bells.rung) == 15)
    await all_is_acknowledged(bells)
    assert await rows(database, 15)()
