"""Makes the words of rows that were stored without them (`busca`), in small transactions, the newest first.

Rows lack them that were stored before their table had the column, or while settings did not ask for them.
"""

import asyncio
import time
from datetime import datetime
from functools import cache, partial
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import driver_of, in_transaction, network_errors
from common.resources.derive import BUSCA
from common.search import SEARCHED, SearchedTable

# ruff: noqa: S608  # all names in these statements stand in descriptions

log = structlog.get_logger(__name__)

ONE_FILLER = 7_020_114_139
"""The advisory lock of the one ingestor that makes words just now."""
ROWS_AT_ONCE = 500
RESTS = 3
"""After each transaction it rests so many times as long as that took: a quarter of one connection's time is used."""
REPORT_SECONDS = 60.0

_TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)"


class Filled(NamedTuple):
    """What one transaction has done: how many rows, and the lowest value of the table's order among them."""

    rows: int = 0
    reached: datetime | None = None


# The index of rows without words keeps the entries of those that were filled until it is vacuumed, so that the next
# step begins beyond them. Rows that others have locked are left for later.
@cache
def _fill(table: SearchedTable, *, goes_on: bool) -> str:
    same = " AND ".join(f"t.{name} = empty.{name}" for name in table.key)
    beyond = f"AND {table.order} <= $2" if goes_on else ""
    return f"""
    WITH empty AS (
        SELECT {", ".join(table.key)} FROM {table.name}
         WHERE {BUSCA} IS NULL {beyond}
         ORDER BY {table.order} DESC
         LIMIT $1
           FOR UPDATE SKIP LOCKED
    ), filled AS (
        UPDATE {table.name} t SET {BUSCA} = {table.vector} FROM empty WHERE {same} RETURNING t.{table.order}
    )
    SELECT count(*), min({table.order}) FROM filled
"""


async def fill_words(engine: AsyncEngine, stopping: asyncio.Event, *, searches_itens: bool) -> None:
    """Make the words of all rows that have none, until none are left, another ingestor does it, or `stopping` is set.

    `searches_itens`: those of entries of lists too.
    """
    for table in SEARCHED.values():
        if searches_itens or not table.is_list:
            await _fill_table(engine, stopping, table)


async def _fill_table(engine: AsyncEngine, stopping: asyncio.Event, table: SearchedTable) -> None:
    rows, filled = 0, Filled()
    reported = time.monotonic()
    while not stopping.is_set():
        began = time.monotonic()
        filled = await in_transaction(engine, partial(fill_some, table=table, reached=filled.reached))
        if not filled.rows:
            break
        rows += filled.rows
        now = time.monotonic()
        if now - reported > REPORT_SECONDS:
            reported = now
            log.info("words for the search are being made", table=table.name, rows=rows, down_to=str(filled.reached))
        try:
            async with asyncio.timeout(RESTS * (now - began)):
                await stopping.wait()
        except TimeoutError:
            continue
    if rows:
        log.info("words for the search have been made", table=table.name, rows=rows)


async def fill_some(db: AsyncConnection, table: SearchedTable, reached: datetime | None = None) -> Filled:
    """Make the words of some rows, from the highest value of the table's order down, or from the one reached so far."""
    driver = await driver_of(db)
    with network_errors():
        if not await driver.fetchval(_TRY_LOCK, ONE_FILLER):
            return Filled()
        beyond = () if reached is None else (reached,)
        row = await driver.fetchrow(_fill(table, goes_on=reached is not None), ROWS_AT_ONCE, *beyond)
    assert row is not None  # noqa: S101  # a count is one row
    return Filled(*row)
