"""The table of rejected records: every record that could not be stored, once, until it is."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.resources import RESOURCES
from common.resources.description import Resource
from ingestor.sources.values import Rejected

_DAYS_BY = {table: resource.day_criterio for resource in RESOURCES for table in resource.tables}
"""By which listing the days of a table's records are read."""


@dataclass(frozen=True)
class Unresolved:
    """A rejected record; the ids are of the execution that saw it last, if it is still there."""

    payload_hash: str
    resource: str
    natural_key: str | None
    reason: str
    payload: str
    execution_id: int | None
    slice_id: int | None


# One row for a record, however often it is seen; the ids are those of the last sight, if they have not been deleted.
_REJECT = text("""
    WITH before AS (
        SELECT execution_id FROM rejected_records WHERE payload_hash = :payload_hash
    )
    INSERT INTO rejected_records AS known
           (execution_id, slice_id, resource, natural_key, reason, payload_hash, payload, day, part)
    VALUES ((SELECT id FROM sync_executions WHERE id = :execution_id FOR KEY SHARE),
            (SELECT id FROM sync_slices WHERE id = :slice_id FOR KEY SHARE),
            :resource, :natural_key, :reason, :payload_hash, :payload,
            (SELECT first_day FROM sync_slices WHERE id = :slice_id AND first_day = last_day AND criterio = :criterio),
            (SELECT part FROM sync_slices WHERE id = :slice_id AND first_day = last_day AND criterio = :criterio))
    ON CONFLICT (payload_hash) DO UPDATE
       SET last_seen = now(), resolved_at = NULL, reason = excluded.reason,
           times = known.times + CAST(known.execution_id IS DISTINCT FROM excluded.execution_id AS int),
           execution_id = excluded.execution_id, slice_id = excluded.slice_id,
           day = coalesce(excluded.day, known.day), part = coalesce(excluded.part, known.part)
    RETURNING (SELECT execution_id FROM before) IS DISTINCT FROM :execution_id
""")
_UNRESOLVED = text("""
    SELECT payload_hash, resource, natural_key, reason, payload, execution_id, slice_id
      FROM rejected_records
     WHERE resolved_at IS NULL
       AND (CAST(:names AS text[]) IS NULL OR resource = ANY(CAST(:names AS text[])))
     ORDER BY id
""")
_RESOLVE = text("UPDATE rejected_records SET resolved_at = now() WHERE payload_hash = :hash AND resolved_at IS NULL")


async def keep_rejected(
    db: AsyncConnection, record: Rejected, *, execution_id: int | None, slice_id: int | None
) -> int:
    """Keep a rejected record, once however often it is seen; 0 if this execution was the last that saw it."""
    result = await db.execute(
        _REJECT,
        {
            "execution_id": execution_id,
            "slice_id": slice_id,
            "resource": record.resource,
            "natural_key": record.natural_key,
            "reason": record.reason[:2000],
            "payload_hash": record.hash,
            "payload": record.payload,
            "criterio": _DAYS_BY.get(record.resource),
        },
    )
    return int(result.scalar_one())


async def load_unresolved(engine: AsyncEngine, resource: Resource | None = None) -> list[Unresolved]:
    """Every record that is still not stored; with `resource` only its own and those of their lists."""
    names = list(resource.tables) if resource else None
    async with engine.connect() as db:
        return [Unresolved(*row) for row in await db.execute(_UNRESOLVED, {"names": names})]


async def resolve(db: AsyncConnection, payload_hash: str) -> None:
    """Note that a record has been stored."""
    await db.execute(_RESOLVE, {"hash": payload_hash})
