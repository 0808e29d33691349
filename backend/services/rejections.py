"""Records that could not be stored and are still missing, by the day of their listing, for dashboard and alerts.

A rejected record counts until it is stored, or until its day, once over, has been read whole without meeting it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import to_wall_clock
from common.resources import RESOURCES

RECENT_DAYS = 35

# Where no listing of a day has shown it, its day is unknown; then it counts by when it was seen last.
_LOAD = text("""
    SELECT r.day, count(*) AS records, count(DISTINCT r.part) AS modalidades
      FROM rejected_records r
      LEFT JOIN unnest(CAST(:tables AS text[]), CAST(:resources AS text[]), CAST(:criterios AS text[]))
             AS listed (name, resource, criterio)
             ON listed.name = r.resource
     WHERE r.resolved_at IS NULL
       AND (r.day >= :since OR (r.day IS NULL AND r.last_seen >= CAST(:seen_since AS timestamptz)))
       AND r.last_seen >= coalesce((
           SELECT d.began_at FROM read_days d
            WHERE d.criterio = listed.criterio AND d.resource = listed.resource AND d.day = r.day AND d.part = r.part
           ), '-infinity')
     GROUP BY r.day ORDER BY r.day
""")


@dataclass(frozen=True)
class RejectedDay:
    """A day of publication (`None` where it is unknown) of which records could not be stored."""

    day: date | None
    records: int
    modalidades: int


async def load_rejected_days(db: AsyncConnection, now: datetime) -> Sequence[RejectedDay]:
    """The days before `now` (aware), of the last 35, with records that are still rejected; the unknown day last."""
    today = to_wall_clock(now).date()
    listed = [(table, resource) for resource in RESOURCES for table in resource.tables]
    values = {
        "since": today - timedelta(days=RECENT_DAYS),
        "seen_since": now - timedelta(days=RECENT_DAYS),
        "tables": [table for table, _ in listed],
        "resources": [resource.name for _, resource in listed],
        "criterios": [resource.day_criterio for _, resource in listed],
    }
    return [RejectedDay(row.day, row.records, row.modalidades) for row in await db.execute(_LOAD, values)]
