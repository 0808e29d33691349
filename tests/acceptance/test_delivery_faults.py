"""A courier that is killed or frozen around a request, against a receiver that honours the key of a request."""

import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.lifecycle import jobs
from simulator.receiver.app import Manners, Receiver, serve
from simulator.receiver.faults import Faults
from tests.acceptance.conftest import Process, Stack
from tests.deliveries import put_products, write_files
from tests.support import eventually

NAMES = {number: f"produto {number}" for number in range(1, 6)}
LEASE_SECONDS = 5
BOX = "produtos"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with serve(Manners(keys=("CODIGO",))) as running:
        yield running


class Delivery:
    """A destination with records that it is owed, and couriers on it."""

    def __init__(self, stack: Stack, receiver: Receiver, folder: Path) -> None:
        self.stack = stack
        self.receiver = receiver
        stack.settings |= {
            "WORKER_KINDS": "delivery",
            "CONNECTIONS_DIR": str(write_files(folder, change=self._aim)),
            "DELIVERY_ALLOW_LOOPBACK": "true",
            "DELIVERY_RETRY_SECONDS": "0.1",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SCHEDULE_ENABLED": "false",
        }

    def _aim(self, written: str) -> str:
        """To the receiver instead, and with its short patience."""
        aimed = written.replace("https://crm.example/api", f"{self.receiver.url}\nallow_http: true")
        return aimed.replace("path: /produtos", "path: /records/produtos").replace("timeout: 5", "timeout: 1")

    def start(self, *, freezes: bool = False) -> Process:
        """A courier; one that `freezes` stops itself before each request."""
        module = "tests.chaos.courier" if freezes else "ingestor"
        return self.stack.start("courier", "-m", module, CHAOS_FREEZE="send,1,1")

    async def ask(self) -> int:
        """Ask for a full delivery."""
        async with self.stack.engine.begin() as db:
            created = await jobs.create(db, kind="delivery", subject="crm", mode="backfill", trigger="api")
        assert created is not None
        return created

    async def value(self, statement: str) -> Any:
        async with self.stack.engine.connect() as db:
            return (await db.execute(text(statement))).scalar_one_or_none()

    async def end_of(self, execution_id: int) -> None:
        statement = f"SELECT status = 'success' FROM sync_executions WHERE id = {execution_id}"
        await eventually(lambda: self.value(statement), seconds=60)

    @property
    def names(self) -> dict[int, str]:
        """What the receiver has."""
        return {int(key): kept.record["NOME"] for key, kept in self.box.records.items()}

    @property
    def box(self) -> Any:
        return self.receiver.state.box(BOX)


@pytest.fixture
async def delivery(stack: Stack, receiver: Receiver, tmp_path: Path) -> Delivery:
    await put_products(stack.engine, NAMES)
    return Delivery(stack, receiver, tmp_path / "connections")


def is_stopped(process: Process) -> Callable[[], bool]:
    def check() -> bool:
        assert process.popen.poll() is None, process.text
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    return check


async def test_a_courier_killed_before_its_request_leaves_it_to_the_next_one(delivery: Delivery) -> None:
    courier = delivery.start(freezes=True)
    execution_id = await delivery.ask()
    await eventually(is_stopped(courier), seconds=60)
    key = await delivery.value("SELECT idempotency FROM delivery_batches WHERE state = 'open'")
    assert delivery.box.requests == 0
    courier.send(signal.SIGKILL)

    delivery.start()
    await delivery.end_of(execution_id)
    assert delivery.names == NAMES
    assert (delivery.box.requests, delivery.box.duplicates) == (1, 0)
    assert [name for _, name in delivery.receiver.state.replies] == [str(key)]


async def test_a_courier_killed_during_its_request_is_followed_by_the_same_bytes_under_the_same_key(
    delivery: Delivery,
) -> None:
    delivery.receiver.faults = Faults(hang=1)
    courier = delivery.start()
    execution_id = await delivery.ask()
    await eventually(lambda: delivery.box.requests, seconds=60)
    courier.send(signal.SIGKILL)
    delivery.receiver.faults = Faults()

    delivery.start()
    await delivery.end_of(execution_id)
    assert delivery.names == NAMES
    # the receiver knows the key, and would count another body under it
    assert (delivery.box.repeats, delivery.box.duplicates, delivery.box.reused_keys) == (1, 0, 0)


async def test_a_courier_killed_between_the_answer_and_its_verdict_is_followed_by_the_same_request(
    delivery: Delivery,
) -> None:
    courier = delivery.start(freezes=True)
    execution_id = await delivery.ask()
    await eventually(is_stopped(courier), seconds=60)
    async with delivery.stack.engine.connect() as db:
        await db.execute(text("SELECT FROM sync_slices FOR UPDATE"))
        courier.send(signal.SIGCONT)
        await eventually(lambda: delivery.box.statuses["207"])
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%sync_slices%'"
        await eventually(lambda: delivery.value(waiting))
        courier.send(signal.SIGKILL)
        await courier.ended()
        await delivery.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pncp-ingestor'"
            " AND datname = current_database()"
        )
        await db.rollback()
    assert await delivery.value("SELECT count(*) FROM delivery_batches WHERE state = 'open'") == 1

    delivery.start()
    await delivery.end_of(execution_id)
    assert delivery.names == NAMES
    assert (delivery.box.requests, delivery.box.repeats, delivery.box.duplicates) == (2, 1, 0)


async def test_a_courier_killed_after_its_verdict_sends_nothing_again(delivery: Delivery) -> None:
    courier = delivery.start()
    await delivery.end_of(await delivery.ask())
    courier.send(signal.SIGKILL)
    delivery.start()
    await delivery.end_of(await delivery.ask())
    assert (delivery.box.requests, delivery.box.duplicates) == (1, 0)


async def test_a_request_that_was_applied_and_timed_out_is_repeated_and_the_delivery_goes_on(
    delivery: Delivery,
) -> None:
    delivery.receiver.faults = Faults(hang=1)
    delivery.start()
    execution_id = await delivery.ask()
    await eventually(lambda: delivery.box.requests >= 2, seconds=60)
    delivery.receiver.faults = Faults()
    await delivery.end_of(execution_id)
    assert delivery.names == NAMES
    assert (delivery.box.duplicates, delivery.box.reused_keys) == (0, 0)


async def test_a_courier_that_was_frozen_at_the_send_settles_nothing_and_takes_nothing_back(
    delivery: Delivery,
) -> None:
    frozen = delivery.start(freezes=True)
    execution_id = await delivery.ask()
    await eventually(is_stopped(frozen), seconds=60)
    delivery.start()
    await put_products(delivery.stack.engine, {3: "mudou"})
    await delivery.end_of(execution_id)
    assert delivery.names == NAMES | {3: "mudou"}
    ledger = "SELECT array_agg((key, state, source_at, digest, batch_id)::text ORDER BY key) FROM deliveries"
    before = await delivery.value(ledger)

    frozen.send(signal.SIGCONT)
    await eventually(lambda: "slice is another worker's now" in frozen.text, seconds=30)
    assert delivery.names == NAMES | {3: "mudou"}
    assert (delivery.box.backwards, delivery.box.duplicates) == (0, 0)
    assert await delivery.value(ledger) == before
