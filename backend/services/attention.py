"""What wants attention without being a failed execution: a source that does not answer, owed items, drifted fields."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.dashboard import DriftedField, ItensOwed, SourceState

MOST_DRIFTED_SHOWN = 20

_SOURCE = text("""
    SELECT source AS service, reason, cause, failing_since, paused_until AS next_try_at FROM source_pauses
     WHERE paused_until > now() OR failing_since IS NOT NULL ORDER BY source
""")
_ITENS_OWED = text("""
    SELECT count(*) AS count, min(owed_since) AS since, count(set_aside_at) AS set_aside,
           mode() WITHIN GROUP (ORDER BY cause) AS cause
      FROM itens_owed
""")
_DRIFT = text("""
    SELECT resource, path, kind, records, first_seen, last_seen FROM schema_drift
     WHERE last_seen > now() - interval '7 days' ORDER BY last_seen DESC, resource, path, kind LIMIT :most
""")


async def load_source(db: AsyncConnection) -> list[SourceState]:
    """The services of the portal that are paused, or have not answered since their last pause."""
    return [SourceState.model_validate(row, from_attributes=True) for row in await db.execute(_SOURCE)]


async def load_itens_owed(db: AsyncConnection) -> ItensOwed:
    """The contratações that are stored without their items."""
    return ItensOwed.model_validate((await db.execute(_ITENS_OWED)).one(), from_attributes=True)


async def load_drift(db: AsyncConnection) -> list[DriftedField]:
    """The fields that came in another type within the last seven days, the last seen first."""
    rows = await db.execute(_DRIFT, {"most": MOST_DRIFTED_SHOWN})
    return [DriftedField.model_validate(row, from_attributes=True) for row in rows]
