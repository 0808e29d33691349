"""The records of a resource as the portal has them and as the mirror holds them, each by its key."""

import json
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.resources.derive import stored_columns, to_sql
from common.resources.description import Column, Resource
from simulator.world import World


def loads(raw: bytes | str) -> Any:
    """JSON, its numbers to the last digit."""
    return json.loads(raw, parse_float=Decimal)


def key_of(resource: Resource, record: dict[str, Any]) -> str:
    paths = {column.name: column.path for column in resource.columns}
    return "-".join(str(record[paths[name]]) for name in resource.key_columns or (resource.key,))


def as_kept(resource: Resource, record: dict[str, Any]) -> dict[str, Any]:
    """A record as its payload is kept."""
    return {key: value for key, value in record.items() if key not in resource.omits}


def on_the_portal(world: World, resource: Resource) -> dict[str, Any]:
    found = [loads(world.payload(record)) for record in world.store(resource.name).records.values()]
    return {key_of(resource, record): as_kept(resource, record) for record in found}


def lists_on_the_portal(world: World, resource: Resource) -> dict[tuple[str, int], Any]:
    """Every entry of the lists that come with records, by its record's key and its number."""
    lists = {key: map(loads, world.items(key)) for key in world.store(resource.name).records}
    return {(key, entry["numeroItem"]): entry for key, found in lists.items() for entry in found}


async def mirrored(engine: AsyncEngine, resource: Resource) -> dict[str, Any]:
    async with engine.connect() as db:
        rows = await db.execute(text(f"SELECT {resource.key}, CAST(payload AS text) FROM {resource.name}"))
        return {row[0]: loads(row[1]) for row in rows}


async def lists_mirrored(engine: AsyncEngine, resource: Resource) -> dict[tuple[str, int], Any]:
    assert resource.child
    (number,) = resource.child.key
    entries = f"SELECT {resource.key}, {number}, CAST(payload AS text) FROM {resource.child.name}"
    async with engine.connect() as db:
        return {(row[0], row[1]): loads(row[2]) for row in await db.execute(text(entries))}


async def versions_of_rows(engine: AsyncEngine, resource: Resource) -> set[tuple[Any, ...]]:
    """Which version of each row PostgreSQL holds, a record's key last: it is another version after any write."""
    async with engine.connect() as db:
        return {
            tuple(row)
            for table in resource.tables
            for row in await db.execute(text(f"SELECT '{table}', ctid, xmin::text, {resource.key} FROM {table}"))
        }


async def columns_that_differ(engine: AsyncEngine, resource: Resource) -> list[str]:
    """The columns of its records and lists that say other than the payload beside them, in any row."""
    found = []
    async with engine.connect() as db:
        for table, columns in tables_of(resource):
            for column, expression in to_sql(columns).items():
                differs = text(f"SELECT count(*) FROM {table} WHERE {column} IS DISTINCT FROM {expression}")
                if (await db.execute(differs)).scalar_one():
                    found.append(f"{table}.{column}")
    return found


def tables_of(resource: Resource) -> list[tuple[str, list[Column]]]:
    """Its table and that of its lists, each with the columns that are read from payloads."""
    own = [each for each in stored_columns(resource) if not (resource.key_columns and each.name == resource.key)]
    lists = [(resource.child.name, list(resource.child.columns))] if resource.child else []
    return [(resource.name, own), *lists]
