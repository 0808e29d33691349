"""What could not be stored and is still missing: counted by the day whose listing shows it, for dashboard and alerts.

A rejected record counts until it is stored, or until its day has been read again whole without meeting it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import to_wall_clock

RECENT_DAYS = 35

# Where no listing by `publicacao` has shown it, its day is unknown; then it counts by when it was seen last.
_LOAD = text("""
    SELECT r.day, count(*) AS records, count(DISTINCT r.part) AS modalidades
      FROM rejected_records r
     WHERE r.resolved_at IS NULL
       AND (r.day >= :since OR (r.day IS NULL AND r.last_seen >= CAST(:seen_since AS timestamptz)))
       AND r.last_seen >= coalesce((
           SELECT s.started_at FROM sync_slices s
            WHERE s.criterio = 'publicacao' AND s.status = 'success' AND s.resource = 'contratacoes'
              AND s.first_day = r.day AND s.part = r.part AND s.window_start <= s.first_day
              AND s.window_end >= s.first_day + interval '1 day' - interval '1 second'
            ORDER BY s.id DESC LIMIT 1), '-infinity')
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
    values = {"since": today - timedelta(days=RECENT_DAYS), "seen_since": now - timedelta(days=RECENT_DAYS)}
    return [RejectedDay(row.day, row.records, row.modalidades) for row in await db.execute(_LOAD, values)]
