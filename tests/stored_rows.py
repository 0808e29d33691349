"""Rows of every table that readers list, each value by the kind of its column."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.ext.asyncio import AsyncEngine

from common.resources import RESOURCES
from common.resources.parties import PARTIES
from common.tables import metadata

READ_TABLES = [
    *(table for each in RESOURCES for table in (each.name, *(child.name for child in each.lists))),
    *(party.name for party in PARTIES),
]
"""Records before the lists that refer to them."""


async def insert(engine: AsyncEngine, table: str, *rows: dict[str, Any]) -> None:
    """Insert rows; columns that are not named, and may not be null, have a value of their kind."""
    columns = metadata.tables[table].columns
    required = [column for column in columns if not column.nullable and _is_given(column)]
    whole = [{column.name: value_of(column, n) for column in required} | row for n, row in enumerate(rows)]
    async with engine.begin() as db:
        for row in whole:
            await db.execute(sa.insert(metadata.tables[table]).values(row))


async def fill(engine: AsyncEngine, *, rows: int = 3) -> None:
    """Some rows of every table, all their columns filled; entries belong to records with the same number."""
    for name in READ_TABLES:
        columns = [column for column in metadata.tables[name].columns if _is_given(column)]
        await insert(engine, name, *({column.name: value_of(column, n) for column in columns} for n in range(rows)))


def _is_given(column: sa.Column[Any]) -> bool:
    """Whether a row brings its value; the words of a row are made out of it."""
    return column.server_default is None and column.identity is None and not isinstance(column.type, TSVECTOR)


def value_of(column: sa.Column[Any], number: int) -> Any:
    moment = datetime(2026, 3, 10, 8, 30) + timedelta(days=number, microseconds=number)
    if isinstance(column.type, sa.DateTime):
        return moment.replace(tzinfo=UTC) if column.type.timezone else moment
    values: dict[type[Any], Any] = {
        JSONB: {"numero": number},
        sa.Date: moment.date(),
        sa.Boolean: number % 2 == 0,
        sa.Integer: number + 1,
        sa.BigInteger: number + 1,
        sa.Numeric: Decimal("12345678901234.5678") + number,
        sa.Text: f"0{number}",  # a zero in front, as codes have
    }
    return values[type(column.type)]
