"""What a list of a domain table writes: its entries as they are now, and which of those known before it lacks."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.database import driver_of
from common.lifecycle.slices import Claim
from ingestor.sources.values import DomainEntry

# An entry is changed where its JSON is another one, whatever the order of its keys, or where it has come back. What
# the list lacks stays: records still have its code.
_MERGE = """
    WITH listed AS (
        SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[], CAST($6::text[] AS jsonb[]))
                   AS entry (codigo, nome, descricao, ativo, payload)
    ), written AS (
        INSERT INTO dominios AS known (dominio, codigo, nome, descricao, ativo, payload)
        SELECT $1, codigo, nome, descricao, ativo, payload FROM listed ORDER BY codigo
        ON CONFLICT (dominio, codigo) DO UPDATE
           SET nome = excluded.nome, descricao = excluded.descricao, ativo = excluded.ativo,
               payload = excluded.payload, seen_at = excluded.seen_at, ausente_desde = NULL,
               updated_at = CASE WHEN known.payload = excluded.payload AND known.ausente_desde IS NULL
                                 THEN known.updated_at ELSE excluded.updated_at END
        RETURNING created_at, updated_at
    ), gone AS (
        UPDATE dominios SET ausente_desde = now(), updated_at = now()
         WHERE dominio = $1 AND ausente_desde IS NULL AND codigo NOT IN (SELECT codigo FROM listed)
        RETURNING 1
    )
    SELECT count(*) FILTER (WHERE created_at = now()),
           count(*) FILTER (WHERE created_at < now() AND updated_at = now()),
           (SELECT count(*) FROM gone)
      FROM written
"""
_HOLDS = text("SELECT EXISTS (SELECT FROM dominios WHERE dominio = :dominio AND ausente_desde IS NULL)")
_READ = text("SELECT page FROM sync_pages WHERE slice_id = :slice_id")
_NOTE_READ = text("""
    INSERT INTO sync_pages (slice_id, reading, page, keys, processed, total_registros, total_paginas, records)
    VALUES (:slice_id, :reading, :page, '{}', '{}', CAST(:entries AS int), :lists, CAST(:entries AS int))
""")


@dataclass(frozen=True)
class DomainCounts:
    """What writing a list came to; `gone`: entries that have left it."""

    inserted: int
    updated: int
    gone: int


async def holds_entries_of(db: AsyncConnection, dominio: str) -> bool:
    """Whether the mirror knows entries that the list ought to show."""
    return bool((await db.execute(_HOLDS, {"dominio": dominio})).scalar_one())


async def merge_domain_table(db: AsyncConnection, dominio: str, entries: Sequence[DomainEntry]) -> DomainCounts:
    """Put the whole list in place of what was known of it; `entries` are some, each code once."""
    driver = await driver_of(db)
    (counts,) = await driver.fetch(
        _MERGE,
        dominio,
        [entry.codigo for entry in entries],
        [entry.nome for entry in entries],
        [entry.descricao for entry in entries],
        [entry.ativo for entry in entries],
        [entry.payload for entry in entries],
    )
    return DomainCounts(*counts)


async def load_read(db: AsyncConnection, claim: Claim) -> set[int]:
    """The lists that earlier claims of this slice have committed, by their numbers."""
    return set((await db.execute(_READ, {"slice_id": claim.slice_id})).scalars())


async def note_read(db: AsyncConnection, claim: Claim, number: int, *, entries: int, lists: int) -> None:
    """Keep that a list has been committed, in the place of a page. The caller's transaction holds the slice."""
    values = {"slice_id": claim.slice_id, "reading": claim.reading, "page": number, "entries": entries, "lists": lists}
    await db.execute(_NOTE_READ, values)
