"""What was read of records with their lists, kept as it was read: pages of a coleta, which its execution's end settles.

A page is added in the transaction that stores the list: with its record, or later where the list was owed. A coleta is
settled by the first ingestor that finds its execution ended. The rules and their reasons stand in docs/adr/0041.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.database import driver_of, network_errors
from common.resources.description import Resource
from ingestor.sources.values import Bundle, Itens
from ingestor.store.driver import BYTES_AT_ONCE, VALUE_REFUSED, in_one
from ingestor.store.lists import cut
from ingestor.store.statements import statements_of

log = structlog.get_logger(__name__)

MOST_BYTES = 8 * 1024 * 1024
"""Of all pages of a coleta that stand in its own row; more of them stay in theirs."""

Page = tuple[str, bytes]
"""A record by its key, and what was read of it as JSON. A list of more than `BYTES_AT_ONCE` takes several."""

_BEGIN = """
    INSERT INTO coletas (execution_id, ano_referencia)
    SELECT $1, ano FROM unnest($2::int[]) AS read (ano)
     WHERE NOT EXISTS (SELECT FROM coletas c WHERE c.execution_id = $1 AND c.ano_referencia = read.ano)
    ON CONFLICT DO NOTHING
"""
_ADD = """
    INSERT INTO coleta_paginas (coleta_id, id_pca_pncp, bytes, dados)
    SELECT c.id, page.key, page.bytes,
           CAST(convert_from(substring($6::bytea FROM page.begins FOR page.bytes), 'UTF8') AS jsonb)
      FROM unnest($2::int[], $3::text[], $4::int[], $5::int[])
           WITH ORDINALITY AS page (ano, key, begins, bytes, place)
      JOIN coletas c ON c.execution_id = $1 AND c.ano_referencia = page.ano
     ORDER BY page.place
"""
# After the pages, whose foreign key has waited for a coleta that is being settled.
_REOPEN = """
    UPDATE coletas SET status = NULL
     WHERE execution_id = $1 AND ano_referencia = ANY($2::int[]) AND status IS NOT NULL
"""
# Not one that pages are being added to: their foreign key holds a lock on it until they are committed.
_ENDED = text("""
    SELECT c.id, coalesce(e.status, 'error') AS status,
           (SELECT coalesce(sum(p.bytes), 0) FROM coleta_paginas p WHERE p.coleta_id = c.id) AS bytes
      FROM coletas c LEFT JOIN sync_executions e ON e.id = c.execution_id
     WHERE c.status IS NULL AND e.status IS DISTINCT FROM 'running'
     LIMIT 1
       FOR UPDATE OF c SKIP LOCKED
""")
_TAKE_IN = text("""
    UPDATE coletas
       SET dados = coalesce(dados, '[]') || (SELECT coalesce(jsonb_agg(p.dados ORDER BY p.id), '[]')
                                               FROM coleta_paginas p WHERE p.coleta_id = :id AND p.dados IS NOT NULL)
     WHERE id = :id
""")
_EMPTY = text("UPDATE coleta_paginas SET dados = NULL WHERE coleta_id = :id AND dados IS NOT NULL")
_SETTLE = text("UPDATE coletas SET status = :status WHERE id = :id")


async def add_to_coletas(db: AsyncConnection, resource: Resource, bundles: list[Bundle], execution_id: int) -> None:
    """Keep what was read of records whose lists have come, in the caller's transaction, as its last work with records.

    What the database itself refuses is left out; it is among the rejected records.
    """
    driver = await driver_of(db)
    with network_errors():
        for pages in _in_batches(bundles):
            try:
                async with driver.transaction():
                    await _add(driver, resource, pages, execution_id)
            except VALUE_REFUSED:
                await _add_one_by_one(driver, resource, pages, execution_id)


async def add_list_to_coletas(
    db: AsyncConnection, resource: Resource, key: str, itens: Itens, execution_id: int
) -> None:
    """Keep a list that was owed, with the record that is stored."""
    payload = (await db.execute(statements_of(resource).payload, {"key": key})).scalar_one()
    driver = await driver_of(db)
    with network_errors():
        for part in _parts(key, itens):
            await _add_one_by_one(driver, resource, [(key, _page(payload, part))], execution_id)


async def settle_one(db: AsyncConnection) -> int | None:
    """Note of a coleta how its execution has ended, and take its pages in if they are few; which, if there was one."""
    coleta = (await db.execute(_ENDED)).one_or_none()
    if coleta is None:
        return None
    if coleta.bytes <= MOST_BYTES:
        await db.execute(_TAKE_IN, {"id": coleta.id})
        await db.execute(_EMPTY, {"id": coleta.id})
    await db.execute(_SETTLE, {"id": coleta.id, "status": coleta.status})
    return int(coleta.id)


async def _add(driver: "asyncpg.Connection[Any]", resource: Resource, pages: list[Page], execution_id: int) -> None:
    years = [_year_of(resource, key) for key, _ in pages]
    different = sorted(set(years))  # in the same order as any other transaction
    await driver.execute(_BEGIN, execution_id, different)
    await driver.execute(_ADD, execution_id, years, [key for key, _ in pages], *in_one([page for _, page in pages]))
    await driver.execute(_REOPEN, execution_id, different)


async def _add_one_by_one(
    driver: "asyncpg.Connection[Any]", resource: Resource, pages: list[Page], execution_id: int
) -> None:
    for page in pages:
        try:
            async with driver.transaction():
                await _add(driver, resource, [page], execution_id)
        except VALUE_REFUSED as error:
            log.warning("a page of a coleta cannot be stored", natural_key=page[0], error_message=str(error))


def _in_batches(bundles: list[Bundle]) -> Iterator[list[Page]]:
    """The pages of records whose lists have come, together until they take `BYTES_AT_ONCE`."""
    batch, size = list[Page](), 0
    for bundle in bundles:
        if bundle.itens.owed is not None:
            continue
        for part in _parts(bundle.key, bundle.itens):
            page = _page(bundle.record.payload, part)
            batch.append((bundle.key, page))
            size += len(page)
            if size >= BYTES_AT_ONCE:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _parts(key: str, itens: Itens) -> Iterable[Itens]:
    return [itens] if itens.size <= BYTES_AT_ONCE else (part for _, part in cut(key, itens))


def _page(payload: str, itens: Itens) -> bytes:
    return b'{"registro":%b,"itens":[%b]}' % (payload.encode(), b",".join(itens.payloads.values()))


def _year_of(resource: Resource, key: str) -> int:
    match = re.fullmatch(resource.key_pattern, key)
    assert match is not None  # noqa: S101  # a record with another key is rejected
    return int(match["ano"])
