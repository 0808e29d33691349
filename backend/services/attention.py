"""What needs attention without being a failed execution: outages of the source, owed items, drifted fields."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.dashboard import DriftedField, ItensOwed, ListOwed, OwedCause, ResourceOwed, SourceState
from backend.services import owed
from common.lifecycle.executions import STALE_OUTAGE
from common.lists import Scopes, write_scope
from common.resources import INLINE

_LABELS = {resource.name: child.label for resource, child in INLINE}

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
    """The records that are stored without their items, of all resources and of each."""
    total, *rows = [row._asdict() for row in await owed.load_owed(db)]
    causes = await owed.load_causes(db) if rows else []
    return ItensOwed(
        **total,
        causes=[OwedCause.model_validate(row, from_attributes=True) for row in causes],
        resources=[ResourceOwed(**row, label=_LABELS[row["resource"]]) for row in rows],
    )


async def load_lists_owed(db: AsyncConnection, scopes: Scopes) -> list[ListOwed]:
    """The lists that are only read later, with the scopes that are set."""
    return [
        ListOwed(**vars(one), scope=write_scope(scopes.get(one.list)))
        for one in await owed.load_lists(db, with_requests=True)
    ]


async def load_drift(db: AsyncConnection) -> list[DriftedField]:
    """The fields that came in another type within the last seven days, the last seen first."""
    rows = await owed.load_drift(db, within=owed.DRIFT_FOR)
    return [DriftedField.model_validate(row, from_attributes=True) for row in rows]
