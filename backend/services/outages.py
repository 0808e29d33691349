"""The portal's services that fail as a whole, for long enough to alert."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle.executions import STALE_OUTAGE

# An outage is reported when the first probe of a service that refuses or is down has failed; when a service blocks us,
# after half a minute (its first pause is a minute long); and throttling, which is common, after some minutes. An open
# episode lasts until every service answers.
_LOAD = text("""
    WITH moment AS (
        SELECT CAST(:now AS timestamptz) AS now
    ), failing AS (
        SELECT source AS service, reason, cause, error_message, failing_since, paused_until AS next_try_at,
               CASE reason
                   WHEN 'throttled' THEN failures >= 4 OR failing_since <= now - interval '5 minutes'
                   WHEN 'blocked' THEN failures >= 2 OR failing_since <= now - interval '30 seconds'
                   ELSE failures >= 2 OR failing_since <= now - interval '3 minutes' END AS is_long
          FROM source_pauses, moment
         WHERE failing_since IS NOT NULL AND paused_until > now - CAST(:stale AS interval)
    )
    SELECT * FROM failing
     WHERE CAST(:is_known AS bool) OR EXISTS (SELECT FROM failing WHERE is_long)
     ORDER BY failing_since, service
""")
_LAST_END = text("SELECT max(resolved_at) FROM alerts WHERE kind = 'source'")


async def load_outages(db: AsyncConnection, now: datetime, *, is_known: bool) -> Sequence[Row[Any]]:
    """The services that fail at `now`, the longest outage first.

    Columns: `service, reason, cause, error_message, failing_since, next_try_at`.
    `is_known`: an episode is open, so that the outage lasts until all services answer.
    """
    return (await db.execute(_LOAD, {"now": now, "stale": STALE_OUTAGE, "is_known": is_known})).all()


async def load_last_end(db: AsyncConnection) -> datetime | None:
    """When the last outage with an alert ended."""
    ended: datetime | None = (await db.execute(_LAST_END)).scalar_one()
    return ended
