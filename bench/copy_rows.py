"""The database's limit: COPY of the same rows into empty tables, on one connection, a thousand records at a time.

Only COPY and COMMIT are timed; the rows are fetched and made beforehand.
"""

import asyncio

import asyncpg

from bench.contender import Task
from bench.limits import client_of
from ingestor.pncp.records import (
    Record,
    parse_contratacao,
)

BATCH = 1000


def copy(task: Task) -> tuple[int, float]:
    """Fetch all rows, and copy them; answers how many contratações, and the seconds that the copying took."""
    return asyncio.run(_copy(task))


async def _copy(task: Task) -> tuple[int, float]:
    database = await asyncpg.connect(task.database_url)
    await database.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda text: b"\x01" + text.encode(),
        decoder=lambda raw: raw[1:].decode(),
    )
    count, seconds = 0, 0.0
    records: list[Record[Contratacao]] = []
    async with client_of(task) as client:
        for day, modalidade in task.slices():
            number, pages = 1, 1
            while number <= pages:
                page = await client.fetch_page("publicacao", modalidade, day, day, number)
                pages = page.total_paginas
                parsed = (parse_contratacao(raw) for raw in page.records)
                records += [record for record in parsed if isinstance(record, Record)]
                number += 1
            while len(records) >= BATCH or (records and (day, modalidade) == last):
                ...
    await database.close()
    return count, seconds
