"""Workers whose schema is upgraded under them: each stops by itself, gives back what it holds, and blames nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.database import UnreachableDatabaseError, check_schema
from common.lifecycle import jobs
from common.tables import SCHEMA_REVISION
from ingestor import loops, settling
from ingestor.delivery.courier import Courier, CourierOptions
from ingestor.intake.worker import IntakeOptions, IntakeWorker
from ingestor.worker import Worker, WorkerOptions
from simulator.world import World
from tests.deliveries import Receiver, put_products, write_files
from tests.integration.conftest import Database, Portals, listing_pages, piece
from tests.integration.test_importing import purchase, push
from tests.integration.test_schedule import RULES
from tests.support import eventually


@asynccontextmanager
async def upgraded(database: Database, table: str, column: str) -> AsyncIterator[None]:
    """Within the block the schema is another version's: the table has not this column."""
    async with database.engine.begin() as db:  # as a migration does: both at once
        await db.execute(text(f"ALTER TABLE {table} RENAME COLUMN {column} TO of_the_next_version"))
        await db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        yield
    finally:
        await database.rows(f"ALTER TABLE {table} RENAME COLUMN of_the_next_version TO {column}")
        await database.rows("UPDATE alembic_version SET version_num = :now", now=SCHEMA_REVISION)


async def assert_stopped(database: Database, running: asyncio.Task[None], execution_id: int) -> None:
    """The worker ends without an error, and what it held waits for its own version."""
    with structlog.testing.capture_logs() as logs:
        await asyncio.wait_for(running, 60)
    assert [entry["log_level"] for entry in logs if entry["event"] == "the schema was changed, this worker stops"] == [
        "critical"
    ], "said once, however many slices met it"
    rows = await database.rows("SELECT status, failures, stalls, cause FROM sync_slices")
    assert {tuple(row) for row in rows} <= {("pending", 0, 0, None)}
    assert (await database.execution(execution_id)).status == "running"


OPTIONS = WorkerOptions(rules=RULES, slots=4, lease_seconds=60, slice_retry_seconds=0.02, has_broker=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestor.worker.POLL_SECONDS", 0.05)
    monkeypatch.setattr("ingestor.jobs.POLL_SECONDS", 0.05)
    monkeypatch.setattr(settling, "DATABASE_WAIT", (0.01, 0.02))


@pytest.mark.parametrize("troubles", [0, 1])
async def test_a_worker_with_several_slices_in_hand(
    database: Database, portals: Portals, world: World, monkeypatch: pytest.MonkeyPatch, troubles: int
) -> None:
    answers = iter([UnreachableDatabaseError("gone")] * troubles)

    async def check(engine: AsyncEngine) -> None:
        for trouble in answers:
            raise trouble
        await check_schema(engine)

    monkeypatch.setattr(loops, "check_schema", check)
    execution_id = await database.planned([piece(modalidade=modalidade) for modalidade in (6, 7, 8, 9)])
    worker = Worker(database.engine, await portals.client(await portals.serve(world)), OPTIONS)
    async with upgraded(database, "sync_slices", "pages_done"):
        await assert_stopped(database, asyncio.create_task(worker.run()), execution_id)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("delivery_batches", "body"),
        ("deliveries", "digest"),
        ("entity_records", "data"),
        ("entity_records", "updated_at"),
    ],
)
async def test_a_courier(database: Database, tmp_path: Path, table: str, column: str) -> None:
    await put_products(database.engine, {1: "um"})
    execution_id = await database.run(jobs.create, kind="delivery", subject="crm", mode="backfill", trigger="api")
    assert execution_id is not None
    receiver = Receiver()
    options = CourierOptions(folder=write_files(tmp_path), slots=4, lease_seconds=60, retry_seconds=1)
    courier = Courier(database.engine, options, lambda _: receiver)
    async with upgraded(database, table, column):
        await assert_stopped(database, asyncio.create_task(courier.run()), execution_id)
    assert not receiver.requests


async def test_an_execution_that_it_cannot_plan_any_more_waits_for_its_own_version(
    database: Database, portals: Portals, world: World
) -> None:
    execution_id = await database.requested()
    worker = Worker(database.engine, await portals.client(await portals.serve(world)), OPTIONS)
    async with upgraded(database, "sync_slices", "window_start"):
        await assert_stopped(database, asyncio.create_task(worker.run()), execution_id)


async def test_a_worker_that_cannot_release_its_slices_leaves_them_to_their_leases(
    database: Database, portals: Portals, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "GRACE_SECONDS", 0.1)
    portal = await portals.serve(world)
    portal.quirks.add("hang", times=1)
    await database.planned()
    worker = Worker(database.engine, await portals.client(portal, timeout_seconds=60), OPTIONS)
    running = asyncio.create_task(worker.run())
    await eventually(lambda: listing_pages(portal) == [1])
    async with upgraded(database, "sync_slices", "stalls"):
        await asyncio.wait_for(running, 60)


async def test_a_worker_of_intakes(database: Database) -> None:
    import_id = await push(database, "compras", purchase("1"))
    execution_id = await database.value(f"SELECT execution_id FROM imports WHERE id = {import_id}")
    given: dict[str, Any] = {"slots": 2, "lease_seconds": 60, "imports_days": 30, "most_bytes": 1_000_000}
    worker = IntakeWorker(database.engine, IntakeOptions(folder=None, watched=None, **given))
    async with upgraded(database, "entity_records", "data"):
        await assert_stopped(database, asyncio.create_task(worker.run()), execution_id)
