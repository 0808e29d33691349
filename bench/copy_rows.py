"""The bound of the database: COPY into empty tables, no more.

One connection, as many records at a time as a page has. Only COPY and its commit count, not the making of the rows.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

from bench.contender import Task, compete
from bench.limits import client_of, records_of
from common.resources.contratacoes import CONTRATACOES
from common.resources.description import Column, Kind
from common.resources.itens import ITENS
from ingestor.sources.pncp.children import fetch_lists
from ingestor.sources.pncp.client import Span
from ingestor.sources.values import Bundle

_READ: dict[Kind, Callable[[Any], Any]] = {
    Kind.BOOLEAN: bool,
    Kind.MOMENT: datetime.fromisoformat,
    Kind.INTEGER: int,
    Kind.CODE: int,
    Kind.JSON: json.dumps,
    Kind.NUMBER: Decimal,
    Kind.TEXT: str,
    Kind.SHORT_TEXT: str,
}


def copy(task: Task) -> tuple[int, float]:
    """Fetch everything and copy it; answers how many contratações, and the seconds that the copying took."""
    return asyncio.run(_copy_all(task))


async def _copy_all(task: Task) -> tuple[int, float]:
    database = await asyncpg.connect(task.database_url)
    count, seconds = 0, 0.0
    async with client_of(task) as client:
        for day, modalidade in task.slices():
            number, pages = 1, 1
            while number <= pages:
                page = await client.fetch_page(Span(CONTRATACOES, "publicacao", modalidade, day, day), number)
                pages = page.total_paginas
                records = records_of(CONTRATACOES, page)
                itens = await fetch_lists(client, CONTRATACOES, records)
                bundles = [
                    Bundle(record, of_it) for record, of_it in zip(records, itens, strict=True) if of_it is not None
                ]
                seconds += await _copy_page(database, bundles)
                count += len(bundles)
                number += 1
    await database.close()
    return count, seconds


def _row(payload: str, columns: Sequence[Column]) -> list[Any]:
    """The values of a record's columns, as the driver takes them, and its payload."""
    record = json.loads(payload, parse_float=Decimal)
    return [*(_value(record, column) for column in columns), payload]


def _value(record: dict[str, Any], column: Column) -> Any:
    value: Any = record
    for key in column.path.split("."):
        value = (value or {}).get(key)
    return None if value is None else _READ[column.kind](value)


def _names(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]


async def _copy_page(database: "asyncpg.Connection[asyncpg.Record]", bundles: list[Bundle]) -> float:
    rows = [_row(bundle.record.payload, CONTRATACOES.columns) for bundle in bundles]
    itens = [
        [bundle.key, *_row(bytes(item).decode(), ITENS.columns)]
        for bundle in bundles
        for item in bundle.itens.payloads.values()
    ]
    start = time.perf_counter()
    async with database.transaction():
        await database.copy_records_to_table(
            "contratacoes", records=rows, columns=[*_names(CONTRATACOES.columns), "payload"]
        )
        await database.copy_records_to_table(
            "itens_contratacao", records=itens, columns=["numero_controle_pncp", *_names(ITENS.columns), "payload"]
        )
    return time.perf_counter() - start


if __name__ == "__main__":
    compete(copy)
