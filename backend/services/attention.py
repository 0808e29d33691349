"""What needs attention without being a failed execution: outages of the source, owed items, drifted fields."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.dashboard import DriftedField, ItensOwed, ListOwed, OwedCause, SourceState
from backend.services import owed
from common.lifecycle.executions import STALE_OUTAGE

_SOURCE = text("""
    SELECT source AS service, reason, cause, error_message, failing_since, paused_until AS next_try_at
      FROM source_pauses
     WHERE paused_until > now() OR (failing_since IS NOT NULL AND paused_until > now() - CAST(:stale AS interval))
     ORDER BY source
""")


async def load_source(db: AsyncConnection) -> list[SourceState]:
    """The portal's services that are paused, or have not answered since their last pause."""
    rows = await db.execute(_SOURCE, {"stale": STALE_OUTAGE})
    return [SourceState.model_validate(row, from_attributes=True) for row in rows]


async def load_itens_owed(db: AsyncConnection) -> ItensOwed:
    """The contratações that are stored without their items."""
    found = (await db.execute(owed.COUNT)).mappings().one()
    causes = await owed.load_causes(db) if found["count"] else []
    return ItensOwed(**found, causes=[OwedCause.model_validate(row, from_attributes=True) for row in causes])


async def load_lists_owed(db: AsyncConnection) -> list[ListOwed]:
    """The lists that are only read later, of which some are still to be read."""
    rows = await owed.load_lists(db)
    return [ListOwed.model_validate(row, from_attributes=True) for row in rows if row.owed or row.set_aside]


async def load_drift(db: AsyncConnection) -> list[DriftedField]:
    """The fields that came in another type within the last seven days, the last seen first."""
    rows = await owed.load_drift(db, within=owed.DRIFT_FOR)
    return [DriftedField.model_validate(row, from_attributes=True) for row in rows]
