"""What statements of the ledger read and write, whatever it held when they were planned; counts, not times."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.database import driver_of
from ingestor.delivery import ledger
from ingestor.delivery.ledger import Filled
from ingestor.delivery.streams import Registered
from tests.deliveries import Desk, Receiver, put_products, write_files
from tests.integration.conftest import Database

LEDGER = 3_000
KEYS = [str(number) for number in range(1, 21)]
GENERIC_AFTER = 6
"""Executions after which PostgreSQL keeps the plan of a prepared statement."""
Driver = Any

_GROW = """
    INSERT INTO deliveries (stream_id, key, state) SELECT $1, 'x' || n, 1 FROM generate_series(1, $2::int) AS n
"""
_COUNTS = """
    SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) AS read, n_tup_upd AS updated, n_tup_hot_upd AS hot
      FROM pg_stat_xact_user_tables WHERE relname = 'deliveries'
"""


@pytest.fixture
async def registered(database: Database, tmp_path: Path) -> Registered:
    """A stream whose ledger is empty, and 20 records that it owes."""
    desk = Desk(database.engine, write_files(tmp_path, records=100), Receiver())
    await put_products(database.engine, {int(key): f"produto {key}" for key in KEYS})
    return await desk.load()


@asynccontextmanager
async def one_connection(database: Database) -> AsyncIterator[Driver]:
    """A connection that keeps its plans, as those of a worker do."""
    async with database.engine.connect() as db:
        yield await driver_of(db)


async def every_verdict(driver: Driver, registered: Registered) -> None:
    """A round of the records: frozen, and then some accepted, some rejected and some without a verdict."""
    filled = await fill(driver, registered)
    for batch in filled.batches:
        half = len(batch.keys) // 2
        await ledger.settle(
            driver,
            registered.id,
            batch,
            state="partial",
            accepted=batch.keys[:half],
            rejected={batch.keys[half]: "não"} if half else {},
            status=207,
        )


async def fill(driver: Driver, registered: Registered, *, forgets: bool = True) -> Filled:
    prepared = await ledger.prepare(driver, registered, KEYS, most_bytes=100_000, forgets=forgets, asks_rejected=True)
    return await ledger.freeze(driver, registered, 1, prepared, most_records=100, limit=100_000)


async def test_what_was_planned_while_the_ledger_was_empty_reads_only_its_keys_when_it_is_not(
    database: Database, registered: Registered
) -> None:
    async with database.engine.connect() as db:
        await db.execution_options(isolation_level="AUTOCOMMIT")
        await db.execute(text("VACUUM ANALYZE deliveries"))  # which is then known to be empty
    async with one_connection(database) as driver:
        for _ in range(GENERIC_AFTER):
            transaction = driver.transaction()
            await transaction.start()
            await every_verdict(driver, registered)
            await fill(driver, registered, forgets=False)
            await transaction.rollback()
        await driver.execute(_GROW, registered.id, LEDGER)
        async with driver.transaction():
            before = await driver.fetchrow(_COUNTS)
            await every_verdict(driver, registered)
            await fill(driver, registered, forgets=False)
            after = await driver.fetchrow(_COUNTS)
    assert after["updated"] - before["updated"] >= len(KEYS)
    assert after["read"] - before["read"] < 10 * len(KEYS)


async def test_updates_of_the_ledger_change_no_index(database: Database, registered: Registered) -> None:
    async with one_connection(database) as driver, driver.transaction():
        filled = await fill(driver, registered)
        (batch,) = filled.batches
        before = await driver.fetchrow(_COUNTS)
        await ledger.settle(
            driver, registered.id, batch, state="accepted", accepted=batch.keys, rejected={}, status=200
        )
        after = await driver.fetchrow(_COUNTS)
    # all rows are in one page, with room for their next versions
    assert after["updated"] - before["updated"] == len(KEYS)
    assert after["hot"] - before["hot"] == len(KEYS)
