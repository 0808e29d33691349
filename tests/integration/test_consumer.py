"""The consumer with a real broker: what becomes a row, what is dead-lettered, and that nothing is lost."""

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

from common import clock
from common.clock import BRASILIA
from common.database import create_engine
from common.lifecycle import admission, executions
from common.lifecycle.executions import PUBLISH_FAILED
from common.messages import LONGEST_BODY
from ingestor import consumer as consumer_module
from ingestor import listener as listener_module
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
    for module in (consumer_module, listener_module):
        monkeypatch.setattr(module, "RECONNECT_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(listener_module, "DISPUTE_SECONDS", 0.2)


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[AbstractChannel]:
    """Another party's own connection."""
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        yield channel


class Inbox:
    """A queue with our consumer on it, seen from outside."""

    def __init__(self, channel: AbstractChannel, queue: str) -> None:
        self.channel = channel
        self.queue = queue
        self.announced: list[int] = []
        self._running: list[asyncio.Task[None]] = []

    async def listen(self, url: str, engine: AsyncEngine, *, at_most: int = 1000) -> None:
        """Start a consumer, and return when it listens."""
        consumer = Consumer(url, self.queue, engine, self.announced.append, at_most=at_most)
        running = asyncio.create_task(consumer.run())
        self._running.append(running)
        await eventually(self.has_consumer)

    async def has_consumer(self) -> bool:
        try:
            queue = await self.channel.declare_queue(self.queue, passive=True)
        except aio_pika.exceptions.ChannelClosed:
            await self.channel.reopen()
            return False
        return bool(queue.declaration_result.consumer_count)

    async def send(self, body: bytes, **properties: Any) -> None:
        await self.channel.default_exchange.publish(aio_pika.Message(body, **properties), routing_key=self.queue)

    async def waiting(self, suffix: str = "") -> int:
        """Messages that no consumer has been given."""
        queue = await self.channel.declare_queue(self.queue + suffix, passive=True)
        return int(queue.declaration_result.message_count or 0)

    async def dead_letters(self, count: int) -> list[AbstractIncomingMessage]:
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
async def inbox(channel: AbstractChannel, queue_name: str) -> AsyncIterator[Inbox]:
    """The queue, without a consumer."""
    await channel.declare_queue(queue_name, durable=True)
    await channel.declare_queue(f"{queue_name}.dead", durable=True)
    inbox = Inbox(channel, queue_name)
    yield inbox
    await inbox.stop()


@pytest.fixture
async def consumed(inbox: Inbox, rabbitmq_url: str, engine: AsyncEngine) -> Inbox:
    """The queue, with our consumer on it."""
    await inbox.listen(rabbitmq_url, engine)
    return inbox


def rows(database: Database, count: int) -> Callable[[], Awaitable[bool]]:
    async def are_there() -> bool:
        return bool(await database.value("SELECT count(*) FROM sync_executions") == count)

    return are_there


async def all_is_acknowledged(inbox: Inbox) -> None:
    """Stopping the consumer gives back what it had not acknowledged: there is nothing."""
    await inbox.stop()

    async def has_no_consumer() -> bool:
        return not await inbox.has_consumer()

    await eventually(has_no_consumer)
    assert await inbox.waiting() == 0


# --- messages that are understood -------------------------------------------------------------------------------


async def test_our_own_message_announces_its_row_and_makes_no_other(consumed: Inbox, database: Database) -> None:
    created = await database.requested()
    await consumed.send(json.dumps(BACKFILL).encode(), headers={"execution_id": created}, message_id=str(created))

    await eventually(lambda: consumed.announced == [created])
    await all_is_acknowledged(consumed)
    assert await rows(database, 1)()


async def test_the_identity_may_come_as_text(consumed: Inbox, database: Database) -> None:
    created = await database.requested()
    await consumed.send(UPDATE, headers={"execution_id": str(created)})

    await eventually(lambda: consumed.announced == [created])


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"{}", UPDATE, b'{"mode": "update", "more": [1], "data_ini": "x"}', b'{"origem": "outro"}']
)
async def test_another_partys_message_for_an_update_makes_its_own_row(
    consumed: Inbox, database: Database, body: bytes
) -> None:
    await consumed.send(body)

    await eventually(lambda: consumed.announced)
    row = await database.row("SELECT * FROM sync_executions")
    assert consumed.announced == [row.id]
    assert (row.mode, row.criterio, row.status, row.trigger) == ("update", "atualizacao", "running", "message")
    assert (row.window_start, row.window_end, row.planned_at) == (None, None, None)
    await all_is_acknowledged(consumed)


@pytest.mark.parametrize("criterio", [None, "publicacao", "atualizacao"])
async def test_another_partys_backfill_makes_its_own_row(
    consumed: Inbox, database: Database, criterio: str | None
) -> None:
    await consumed.send(json.dumps({**BACKFILL, **({"criterio": criterio} if criterio else {})}).encode())

    await eventually(lambda: consumed.announced)
    row = await database.row("SELECT * FROM sync_executions")
    assert (row.mode, row.criterio) == ("backfill", criterio or "publicacao")
    assert (row.window_start.isoformat(), row.window_end.isoformat()) == (BACKFILL["data_ini"], BACKFILL["data_fim"])


async def test_a_message_that_comes_twice_makes_one_row(consumed: Inbox, database: Database) -> None:
    with capture_logs() as logs:
        for number, message_id in enumerate(("one", "one", "other", "one")):
            await consumed.send(backfill(number), message_id=message_id)
        await consumed.send(backfill(9), message_id="last")
        await eventually(lambda: len(consumed.announced) == 3)

    assert await rows(database, 3)()
    assert len(set(consumed.announced)) == 3
    told = _events(logs, "message was taken before, it makes no execution")
    assert [(entry["log_level"], entry["message_id"], entry["made"]) for entry in told] == [
        ("warning", "one", consumed.announced[0])
    ] * 2


async def test_a_message_whose_row_was_committed_before_its_ack_makes_no_second_row(
    inbox: Inbox, database: Database, rabbitmq_url: str, engine: AsyncEngine
) -> None:
    await inbox.send(backfill(1), message_id="twice")
    queue = await inbox.channel.get_queue(inbox.queue)
    first = await queue.get()
    assert first is not None
    await database.run(
        admission.create, mode="update", window_start=None, window_end=None, trigger="message", message_id="twice"
    )
    await first.reject(requeue=True)
    await inbox.send(backfill(2), message_id="after")
    await inbox.listen(rabbitmq_url, engine)

    await eventually(lambda: inbox.announced)
    await all_is_acknowledged(inbox)
    assert await rows(database, 2)()


async def test_an_identity_without_a_row_is_another_partys(consumed: Inbox, database: Database) -> None:
    await consumed.send(json.dumps(BACKFILL).encode(), headers={"execution_id": 12345}, message_id="12345")

    await eventually(lambda: consumed.announced)
    row = await database.row("SELECT id, trigger, mode FROM sync_executions")
    assert tuple(row) == (consumed.announced[0], "message", "backfill")
    assert row.id != 12345


async def test_where_header_and_body_disagree_the_row_counts(consumed: Inbox, database: Database) -> None:
    created = await database.requested()
    before = await database.execution(created)
    await consumed.send(b'{"mode": "backfill", "data_ini": "nonsense"}', headers={"execution_id": created})

    await eventually(lambda: consumed.announced == [created])
    assert await database.execution(created) == before
    assert await consumed.waiting(".dead") == 0


async def test_a_finished_row_is_not_run_again(consumed: Inbox, database: Database) -> None:
    created = await database.requested()
    await database.run(admission.refuse, created)
    before = await database.execution(created)
    await consumed.send(UPDATE, headers={"execution_id": created})

    await eventually(lambda: consumed.announced == [created])
    assert await database.run(executions.lock_unplanned, older_than_seconds=0, execution_id=created) is None
    assert await database.execution(created) == before
    assert before.error_message == PUBLISH_FAILED
    await all_is_acknowledged(consumed)


# --- floods -----------------------------------------------------------------------------------------------------


async def test_hundreds_of_messages_for_an_update_are_one_execution(consumed: Inbox, database: Database) -> None:
    with capture_logs() as logs:
        for number in range(300):
            await consumed.send(UPDATE, message_id=str(number))
        await consumed.send(backfill(0))
        await eventually(rows(database, 2))

    assert len(_events(logs, "message joins an execution that is not planned yet")) == 299
    assert await consumed.waiting(".dead") == 0
    await all_is_acknowledged(consumed)


async def test_a_backfill_that_waits_to_be_planned_is_not_made_again_and_another_one_is(
    consumed: Inbox, database: Database
) -> None:
    for body in (backfill(1), backfill(1), json.dumps({**json.loads(backfill(1)), "criterio": "publicacao"}).encode()):
        await consumed.send(body)
    await consumed.send(json.dumps({**json.loads(backfill(1)), "criterio": "atualizacao"}).encode())
    await consumed.send(backfill(2))

    await eventually(lambda: len(consumed.announced) == 3)
    assert await rows(database, 3)()
    await all_is_acknowledged(consumed)


async def test_a_message_joins_no_execution_that_may_still_be_refused(consumed: Inbox, database: Database) -> None:
    requested = await database.requested("update")
    await consumed.send(UPDATE)
    await database.run(admission.refuse, requested)

    await eventually(lambda: consumed.announced)
    assert [tuple(row) for row in await database.rows("SELECT status, trigger FROM sync_executions ORDER BY id")] == [
        ("error", "api"),
        ("running", "message"),
    ]


async def test_a_message_beyond_the_cap_waits_until_there_is_room(
    inbox: Inbox, database: Database, rabbitmq_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "ROOM_POLL_SECONDS", (0.05, 0.1))
    await inbox.listen(rabbitmq_url, engine, at_most=2)
    with capture_logs() as logs:
        for number in range(3):
            await inbox.send(backfill(number))
        await eventually(lambda: _events(logs, "message waits for room"))
    assert await rows(database, 2)()

    await database.run(executions.cancel, inbox.announced[0], "admin")
    await eventually(lambda: len(inbox.announced) == 3)
    assert await inbox.waiting(".dead") == 0
    await all_is_acknowledged(inbox)


async def test_a_message_that_has_waited_too_long_for_room_is_a_dead_letter_and_our_own_passes(
    inbox: Inbox, database: Database, rabbitmq_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "ROOM_POLL_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(consumer_module, "HOLD_SECONDS", 0.3)
    await inbox.listen(rabbitmq_url, engine, at_most=1)
    created = await database.requested()
    await inbox.send(backfill(5), message_id="late")
    await inbox.send(UPDATE, headers={"execution_id": created})

    (letter,) = await inbox.dead_letters(1)
    assert (letter.message_id, letter.body) == ("late", backfill(5))
    assert "1 executions were under way" in str(letter.headers["reason"])
    await eventually(lambda: inbox.announced == [created])
    await all_is_acknowledged(inbox)


async def test_a_window_is_checked_by_the_clock_of_the_database(
    consumed: Inbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(datetime):
        """A machine that is three days behind."""

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(days=3)

    for module in (consumer_module, clock):
        monkeypatch.setattr(module, "datetime", Late)
    today = datetime.now(BRASILIA).date().isoformat()
    await consumed.send(dated(f"{today}T00:00:00", f"{today}T23:59:59"))

    await eventually(lambda: consumed.announced)
    assert await consumed.waiting(".dead") == 0


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


async def test_what_cannot_be_understood_is_dead_lettered_with_a_reason_and_the_next_message_served(
    consumed: Inbox, database: Database, subtests: pytest.Subtests
) -> None:
    for number, (name, (body, properties)) in enumerate(POISON.items(), start=1):
        with subtests.test(name):
            await consumed.send(body, **properties)
            await consumed.send(backfill(number), message_id=f"after {name}")

            (letter,) = await consumed.dead_letters(1)
            assert letter.body == (body if len(body) <= LONGEST_BODY else body[:KEPT_BYTES])
            assert letter.headers["reason"]
            assert letter.headers.get("size", len(body)) == len(body)
            assert letter.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
            await eventually(lambda number=number: len(consumed.announced) == number)
    assert await rows(database, len(POISON))()
    await all_is_acknowledged(consumed)


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
    consumed: Inbox, database: Database, rabbitmq_url: str, properties: bytes
) -> None:
    async with open_publisher(rabbitmq_url) as publisher:
        assert await publisher.publish_raw(consumed.queue, json.dumps(BACKFILL).encode(), properties)
    await eventually(rows(database, 1))
    assert await consumed.waiting(".dead") == 0
    await all_is_acknowledged(consumed)


async def test_a_message_that_is_read_leniently_keeps_its_execution(
    consumed: Inbox, database: Database, rabbitmq_url: str
) -> None:
    created = await database.requested()
    headers = table(short(b"at") + b"T" + number_of(10**18), short(b"execution_id") + b"l" + number_of(created))
    async with open_publisher(rabbitmq_url) as publisher:
        assert await publisher.publish_raw(consumed.queue, UPDATE, b"\x20\x00" + headers)

    await eventually(lambda: consumed.announced == [created])
    assert await rows(database, 1)()
    await all_is_acknowledged(consumed)


async def test_a_message_without_a_readable_identity_is_a_dead_letter_and_the_next_is_served(
    consumed: Inbox, database: Database, rabbitmq_url: str
) -> None:
    async with open_publisher(rabbitmq_url) as publisher:
        assert await publisher.publish_raw(consumed.queue, UPDATE, b"\x00\x80" + short(b"\xff\xfe"))
    await consumed.send(json.dumps(BACKFILL).encode())

    (letter,) = await consumed.dead_letters(1)
    assert (letter.body, letter.headers["reason"]) == (UPDATE, "the message_id is not UTF-8")
    await eventually(rows(database, 1))
    await all_is_acknowledged(consumed)


async def test_two_hundred_of_them_are_dead_lettered_and_the_consumer_lives(
    consumed: Inbox, database: Database
) -> None:
    for number in range(200):
        await consumed.send(b"poison %d" % number)
    await consumed.send(UPDATE)

    letters = await consumed.dead_letters(200)
    assert {letter.body for letter in letters} == {b"poison %d" % number for number in range(200)}
    await eventually(lambda: consumed.announced)
    await all_is_acknowledged(consumed)
    assert await rows(database, 1)()


# --- the broker ------------------------------------------------------------------------------------------------


async def test_a_queue_that_is_deleted_under_the_consumer_is_listened_to_again(
    consumed: Inbox, database: Database
) -> None:
    await consumed.channel.queue_delete(consumed.queue)

    await eventually(consumed.has_consumer)
    await consumed.send(UPDATE)
    await eventually(rows(database, 1))


async def test_poison_is_dead_lettered_though_the_queue_for_it_was_deleted(consumed: Inbox) -> None:
    await consumed.channel.queue_delete(f"{consumed.queue}.dead")
    await consumed.send(b"poison", message_id="1")

    async def is_dead_lettered() -> bool:
        try:
            return await consumed.waiting(".dead") == 1
        except aio_pika.exceptions.ChannelClosed:
            await consumed.channel.reopen()
            return False

    await eventually(is_dead_lettered)
    await consumed.send(UPDATE)
    await eventually(lambda: consumed.announced)
    await all_is_acknowledged(consumed)


async def test_a_connection_that_breaks_is_made_again_and_no_message_lost(
    inbox: Inbox, database: Database, engine: AsyncEngine, broker_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = broker_proxy
    await inbox.listen(url, engine)
    await inbox.send(UPDATE, message_id="before")
    await eventually(rows(database, 1))
    await proxy.cut()
    for number in range(20):
        await inbox.send(backfill(number), message_id=str(number))
    await proxy.mend()

    await eventually(lambda: len(set(inbox.announced)) == 21)
    assert await rows(database, 21)()


async def test_a_consumer_that_is_silently_gone_is_noticed_and_replaced(
    inbox: Inbox, database: Database, rabbitmq_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "WATCH_SECONDS", 0.5)
    consume = aio_pika.RobustQueue.consume
    tags: list[str] = []

    async def consume_and_vanish_once(queue: aio_pika.RobustQueue, *arguments: Any, **options: Any) -> str:
        tag = await consume(queue, *arguments, **options)
        if not tags:
            await queue.cancel(tag)
        tags.append(tag)
        return tag

    monkeypatch.setattr(aio_pika.RobustQueue, "consume", consume_and_vanish_once)
    await inbox.listen(rabbitmq_url, engine)
    await inbox.send(UPDATE)

    await eventually(rows(database, 1))
    assert len(tags) == 2


def _events(logs: list[EventDict], event: str) -> list[EventDict]:
    return [entry for entry in logs if entry["event"] == event]


async def test_a_broker_that_is_not_there_is_waited_for(
    inbox: Inbox, database: Database, engine: AsyncEngine, broker_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = broker_proxy
    await proxy.cut()
    with capture_logs() as logs:
        listening = asyncio.create_task(inbox.listen(url, engine))
        await eventually(lambda: len(_told(logs, "warning")) >= 2)
        await inbox.send(UPDATE)
        await proxy.mend()
        await listening

    await eventually(rows(database, 1))


def _told(logs: list[EventDict], level: str) -> list[EventDict]:
    return [entry for entry in logs if entry["log_level"] == level]


async def test_a_queue_with_other_arguments_is_named_and_waited_for(
    channel: AbstractChannel, database: Database, rabbitmq_url: str, queue_name: str
) -> None:
    await channel.declare_queue(queue_name, durable=True, arguments={"x-max-length": 5})
    inbox = Inbox(channel, queue_name)
    with capture_logs() as logs:
        running = asyncio.create_task(inbox.listen(rabbitmq_url, database.engine))
        await eventually(lambda: len(_told(logs, "critical")) >= 2)
        entry = _told(logs, "critical")[0]
        assert entry["queue"] == queue_name
        assert "x-max-length" in entry["error"]
        await channel.queue_delete(queue_name)
        await running

    await inbox.send(UPDATE)
    await eventually(rows(database, 1))
    await inbox.stop()


async def test_a_wrong_password_is_logged_without_it(inbox: Inbox, engine: AsyncEngine, rabbitmq_url: str) -> None:
    url = rabbitmq_url.replace("guest:guest@", "guest:s3cret-pass@")
    with capture_logs() as logs:
        running = asyncio.create_task(inbox.listen(url, engine))
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


async def test_messages_wait_while_the_database_is_away_and_none_is_lost_or_dead_lettered(
    inbox: Inbox, database: Database, rabbitmq_url: str, database_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = database_proxy
    async with engine_through(url) as engine:
        await inbox.listen(rabbitmq_url, engine)
        await inbox.send(UPDATE, message_id="before")
        await eventually(rows(database, 1))
        await proxy.cut()
        with capture_logs() as logs:
            for number in range(15):
                await inbox.send(backfill(number), message_id=str(number))
            await eventually(lambda: len(_events(logs, "database is not available, the message waits")) >= 12)
        assert await rows(database, 1)()
        await proxy.mend()

        await eventually(rows(database, 16))
        await eventually(lambda: len(inbox.announced) == 16)
        await all_is_acknowledged(inbox)
    assert await inbox.waiting(".dead") == 0


async def test_a_consumer_that_dies_while_its_messages_wait_gives_them_back(
    inbox: Inbox, database: Database, rabbitmq_url: str, database_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = database_proxy
    async with engine_through(url) as engine:
        await inbox.listen(rabbitmq_url, engine)
        await proxy.cut()
        with capture_logs() as logs:
            for number in range(15):
                await inbox.send(backfill(number), message_id=str(number))
            await eventually(lambda: _events(logs, "database is not available, the message waits"))
        await inbox.stop()
    await inbox.listen(rabbitmq_url, database.engine)

    await eventually(lambda: len(inbox.announced) == 15)
    await all_is_acknowledged(inbox)
    assert await rows(database, 15)()
