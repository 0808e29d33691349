"""Rows become declared records: inserted, changed or left as they are, with what they refer to.

Every function works in the caller's transaction, which holds the slice of an intake.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.entities.declared import Declaration, digest_of, from_json, to_json
from common.resources.derive import search_vector

# ruff: noqa: S608  # constants of ours

Reference = tuple[str, str, str]
"""A column, and the entity and the key of the record that it refers to."""
Driver = "asyncpg.Connection[Any]"


@dataclass(frozen=True)
class NewRecord:
    """A record as it is to be: its content as it is stored, what it refers to, and the words it is searched by."""

    key: str
    written: str
    digest: bytes
    references: tuple[Reference, ...] = ()
    words: str | None = None


@dataclass
class Upserted:
    """What became of records, by their keys; `missing`: the entity and the key of a record that is not there."""

    created: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    unchanged: set[str] = field(default_factory=set)
    missing: dict[str, tuple[str, str]] = field(default_factory=dict)


# A plan that is made while the tables are small would read all rows for each key, and is kept.
BY_INDEX = "SET LOCAL enable_seqscan = off"
# What is found is not removed before this transaction ends: a removal locks the record, and waits.
_FIND = """
    SELECT wanted.entity, wanted.key FROM unnest($1::text[], $2::text[]) AS wanted (entity, key)
      JOIN entity_records r ON r.entity = wanted.entity AND r.key = wanted.key AND r.removed_at IS NULL
     ORDER BY wanted.entity, wanted.key FOR KEY SHARE OF r
"""
_UPSERT = f"""
    INSERT INTO entity_records AS known (entity, key, data, digest, busca, source, import_id)
    SELECT $1, key, CAST(data AS jsonb), digest,
           CASE WHEN words IS NOT NULL THEN {search_vector(["words"])} END, $6, $7
      FROM unnest($2::text[], $3::text[], $4::bytea[], $5::text[]) AS fresh (key, data, digest, words)
    ON CONFLICT (entity, key) DO UPDATE
       SET data = excluded.data, digest = excluded.digest, busca = excluded.busca, removed_at = NULL,
           source = coalesce(excluded.source, known.source),
           import_id = CASE WHEN known.digest IS DISTINCT FROM excluded.digest OR known.removed_at IS NOT NULL
                            THEN excluded.import_id ELSE known.import_id END,
           updated_at = CASE WHEN known.digest IS DISTINCT FROM excluded.digest OR known.removed_at IS NOT NULL
                             THEN now() ELSE known.updated_at END
     WHERE known.digest IS DISTINCT FROM excluded.digest OR known.removed_at IS NOT NULL
        OR excluded.source IS NOT NULL AND known.source IS DISTINCT FROM excluded.source
    RETURNING key, xmax = 0 AS is_new, updated_at = now() AS is_changed
"""
_FORGET = """
    DELETE FROM entity_refs r USING unnest($2::text[], $3::text[]) AS gone (key, field)
     WHERE r.entity = $1 AND r.key = gone.key AND r.field = gone.field
"""
_REFER = """
    INSERT INTO entity_refs AS known (entity, key, field, ref_entity, ref_key)
    SELECT $1, key, field, ref_entity, ref_key
      FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS fresh (key, field, ref_entity, ref_key)
    ON CONFLICT (entity, key, field) DO UPDATE SET ref_entity = excluded.ref_entity, ref_key = excluded.ref_key
     WHERE (known.ref_entity, known.ref_key) IS DISTINCT FROM (excluded.ref_entity, excluded.ref_key)
"""


def make_record(entity: Declaration, key: str, data: Mapping[str, Any]) -> NewRecord:
    """A record of values that have been read."""
    return NewRecord(key, to_json(data), digest_of(data), tuple(entity.references_of(data)), entity.words_of(data))


def restore(entity: Declaration, key: str, written: str, digest: bytes) -> NewRecord:
    """A record of a staged row."""
    if not entity.references and not entity.searched:
        return NewRecord(key, written, digest)
    data = from_json(written)
    return NewRecord(key, written, digest, tuple(entity.references_of(data)), entity.words_of(data))


async def upsert(
    driver: "asyncpg.Connection[Any]",
    entity: Declaration,
    rows: Sequence[NewRecord],
    *,
    source: str | None = None,
    import_id: int | None = None,
) -> Upserted:
    """Store records with distinct keys. Those that refer to a record that is not there are left out.

    `source`: the database that they are read from. The content, and so the moment of the last change, stays where it is
    equal.
    """
    await driver.execute(BY_INDEX)
    done = Upserted()
    done.missing = await _find_missing(driver, entity.name, rows)
    fresh = sorted((each for each in rows if each.key not in done.missing), key=lambda each: each.key)
    if not fresh:
        return done
    stored = await driver.fetch(
        _UPSERT,
        entity.name,
        [each.key for each in fresh],
        [each.written for each in fresh],
        [each.digest for each in fresh],
        [each.words for each in fresh],
        source,
        import_id,
    )
    done.created = {row["key"] for row in stored if row["is_new"]}
    done.changed = {row["key"] for row in stored if not row["is_new"] and row["is_changed"]}
    done.unchanged = {each.key for each in fresh} - done.created - done.changed
    if entity.references:
        written = [each for each in fresh if each.key not in done.unchanged]
        await _refer(driver, entity, written, done.changed)
    return done


async def _find_missing(
    driver: "asyncpg.Connection[Any]", entity: str, rows: Iterable[NewRecord]
) -> dict[str, tuple[str, str]]:
    """The first missing record of each row that lacks one. Rows may refer to each other, but for those left out."""
    wanted = {(ref_entity, ref_key) for each in rows for _, ref_entity, ref_key in each.references}
    if not wanted:
        return {}
    found = await driver.fetch(_FIND, [name for name, _ in wanted], [key for _, key in wanted])
    known = {(row["entity"], row["key"]) for row in found}
    left = {each.key: each for each in rows}
    missing: dict[str, tuple[str, str]] = {}
    while True:
        there = known | {(entity, key) for key in left}
        lacking = {
            key: next((ref[1:] for ref in each.references if ref[1:] not in there), None) for key, each in left.items()
        }
        refused = {key: ref for key, ref in lacking.items() if ref is not None}
        if not refused:
            return missing
        missing |= refused
        left = {key: each for key, each in left.items() if key not in refused}


async def _refer(
    driver: "asyncpg.Connection[Any]", entity: Declaration, rows: Sequence[NewRecord], changed: set[str]
) -> None:
    gone = [
        (each.key, column)
        for each in rows
        if each.key in changed
        for column in entity.references
        if column not in {reference[0] for reference in each.references}
    ]
    if gone:
        await driver.execute(_FORGET, entity.name, [key for key, _ in gone], [column for _, column in gone])
    made = [(each.key, *reference) for each in rows for reference in each.references]
    if made:
        await driver.execute(_REFER, entity.name, *(list(part) for part in zip(*made, strict=True)))


_BLANK = text("""
    WITH old AS (
        SELECT entity, key FROM entity_records
         WHERE removed_at < now() - make_interval(days => :days) AND digest IS NOT NULL
         ORDER BY removed_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), referring AS (
        DELETE FROM entity_refs f USING old WHERE f.entity = old.entity AND f.key = old.key
    ), staged AS (
        UPDATE import_rows r SET data = NULL FROM old
         WHERE r.entity = old.entity AND r.key = old.key AND r.state <> 'pending' AND r.data IS NOT NULL
    )
    UPDATE entity_records r SET data = '{}', digest = NULL, busca = NULL
      FROM old WHERE r.entity = old.entity AND r.key = old.key
""")


async def blank_removed(db: AsyncConnection, *, days: int = 30, most: int = 500) -> int:
    """Delete the content of records that were removed so long ago, also where imports keep it; answers how many."""
    return (await db.execute(_BLANK, {"days": days, "most": most})).rowcount
