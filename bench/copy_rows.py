"""What the database could do if nothing were asked of it but to take the rows: COPY into empty tables, no more.

One connection, as many records at a time as a page has. Only COPY and its commit count, not the making of the rows.
"""

import asyncio
import time
from decimal import Decimal
from typing import Any

import asyncpg
from sqlalchemy import Numeric

from bench.contender import Task, compete
from bench.limits import client_of, records_of
from common.tables import contratacoes, itens_contratacao
from ingestor.ingestion import make_bundle
from ingestor.persistence import Bundle
from ingestor.pncp.records import CONTRATACAO_COLUMNS, ITEM_COLUMNS, contratacao_row, item_row
from ingestor.reading import fetch_itens

NUMBERS = {
    column.name
    for table in (contratacoes, itens_contratacao)
    for column in table.columns
    if isinstance(column.type, Numeric)
}


def copy(task: Task) -> tuple[int, float]:
    """Fetch everything and copy it; answers how many contratações, and the seconds that the copying took."""
    return asyncio.run(_copy_all(task))


async def _copy_all(task: Task) -> tuple[int, float]:
    database = await asyncpg.connect(task.database_url)
    await database.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=lambda text: b"\x01" + text.encode(), decoder=bytes
    )
    count, seconds = 0, 0.0
    async with client_of(task) as client:
        for day, modalidade in task.slices():
            number, pages = 1, 1
            while number <= pages:
                page = await client.fetch_page("publicacao", modalidade, day, day, number)
                pages = page.total_paginas
                records = records_of(page)
                raw_itens = await fetch_itens(client, records)
                bundles = [make_bundle(record, raw)[0] for record, raw in zip(records, raw_itens, strict=True)]
                seconds += await _copy_page(database, bundles)
                count += len(bundles)
                number += 1
    await database.close()
    return count, seconds


def _with_numbers(columns: tuple[str, ...], row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row whose numbers are numbers, as they go into the tables themselves."""
    return tuple(
        Decimal(value) if name in NUMBERS and value is not None else value
        for name, value in zip(columns, row, strict=True)
    )


async def _copy_page(database: "asyncpg.Connection[asyncpg.Record]", bundles: list[Bundle]) -> float:
    rows = [_with_numbers(CONTRATACAO_COLUMNS, contratacao_row(bundle.record)) for bundle in bundles]
    itens = [_with_numbers(ITEM_COLUMNS, item_row(bundle.key, item)) for bundle in bundles for item in bundle.itens]
    start = time.perf_counter()
    async with database.transaction():
        await database.copy_records_to_table("contratacoes", records=rows, columns=CONTRATACAO_COLUMNS)
        await database.copy_records_to_table("itens_contratacao", records=itens, columns=ITEM_COLUMNS)
    return time.perf_counter() - start


if __name__ == "__main__":
    compete(copy)
