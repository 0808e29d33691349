"""Failed executions that were not made good: the one definition, for the dashboard and for alerts.

A failure is made good when everything that failed in it was read later: each failed slice by a later reading of its
listing that covers its window; slices of an update or of the backfill of a gap also by the watermark of their listing.
An execution that failed before it had slices is made good by a later execution that covers it. A failed retry takes the
place of what it repeats. Cancelled executions, those refused because the broker was away, and those that fill a goal
never count: what a goal misses is tried again by itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.services.freshness import load_mirrored
from common.coverage import READ_LATER
from common.resources import RESOURCE_NAMES
from common.resources.dominios import DOMINIOS

LOOK_BACK = timedelta(days=7)
"""Failures older than this are not listed."""
LONGEST_EXECUTION = timedelta(days=30)

_LOAD_PENDING = text(
    """
    WITH failed AS MATERIALIZED (
        SELECT id, resource, mode, criterio, trigger, window_start, window_end, parts, finished_at, cause,
               error_message
          FROM sync_executions f
         WHERE status = 'error' AND kind = 'sync' AND finished_at > :since
           AND created_at > CAST(:since AS timestamptz) - CAST(:longest AS interval)
           AND cause NOT IN ('publish_failed', 'cancelled') AND trigger <> 'goal'
           AND NOT EXISTS (SELECT 1 FROM sync_executions r
                            WHERE r.retry_of = f.id AND r.status = 'error' AND r.cause <> 'cancelled')
    )
    SELECT f.id, f.resource, f.mode, f.criterio, f.trigger, f.window_start, f.window_end, f.finished_at,
           f.cause, f.error_message, broken.is_there AND NOT EXISTS (SELECT 1 FROM sync_executions r
                                            WHERE r.retry_of = f.id AND r.status = 'running') AS can_retry
      FROM failed f
     CROSS JOIN LATERAL (
           SELECT EXISTS (SELECT 1 FROM sync_slices WHERE execution_id = f.id AND status = 'error') AS is_there) broken
     WHERE CASE WHEN broken.is_there THEN EXISTS (
                SELECT 1
                  FROM sync_slices b
                  LEFT JOIN watermarks w ON w.resource = b.resource AND w.part = b.part
                 WHERE b.execution_id = f.id AND b.status = 'error'
                   AND (f.mode <> 'update' OR (b.resource, b.part) IN (
                        SELECT * FROM unnest(CAST(:resources AS text[]), CAST(:parts AS int[]))))
                   AND NOT coalesce((f.mode = 'update' OR f.trigger = 'gap') AND w.reached >= b.window_end, false)
                   AND NOT ("""  # noqa: S608  # constants of ours
    + READ_LATER
    + """))
           ELSE NOT EXISTS (
                SELECT 1 FROM sync_executions l
                 WHERE l.id > f.id AND l.status = 'success' AND l.kind = 'sync' AND l.resource = f.resource
                   AND l.mode = f.mode AND l.trigger <> 'retry'
                   AND (f.mode = 'update'
                        OR (l.criterio = f.criterio AND l.window_start <= f.window_start
                            AND l.window_end >= f.window_end
                            AND (l.parts IS NULL OR l.parts @> f.parts)))) END
     ORDER BY f.id DESC
"""
)


async def load_pending(db: AsyncConnection, now: datetime) -> Sequence[Row[Any]]:
    """The executions that failed in the week before `now` (aware) and were not made good, newest first.

    Columns: `id, resource, mode, criterio, trigger, window_start, window_end, finished_at, cause, error_message`,
    and `can_retry`: it has failed slices that no retry is repeating just now.
    """
    mirrored = [(resource, part) for resource in RESOURCE_NAMES for part in await load_mirrored(db, resource)]
    mirrored.append((DOMINIOS, 0))
    parameters = {
        "since": now - LOOK_BACK,
        "longest": LONGEST_EXECUTION,
        "resources": [resource for resource, _ in mirrored],
        "parts": [part for _, part in mirrored],
    }
    return (await db.execute(_LOAD_PENDING, parameters)).all()


def is_explained(failed: Row[Any], *, is_out: bool) -> bool:
    """Whether an execution failed because of an outage of the portal and needs no action at present.

    The next update makes such an update good, and if none comes, that is reported. A backfill has to be repeated once
    the portal answers. `is_out`: the outage goes on.
    """
    return bool(failed.cause == "portal_down") and (failed.mode == "update" or is_out)
