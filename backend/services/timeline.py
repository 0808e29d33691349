"""What ran when, and how late the mirror was, over the last hours."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from backend.models.timeline import FreshnessMark, ResourceTimeline, Timeline, TimelineBar, TimelineQuery
from backend.services.freshness import aware
from backend.services.reading import ReadConnections
from common.resources import RESOURCES

BARS_APART = 200
"""Executions that are nearer than this part of the span become one bar."""

# An execution that waits for a worker has no bar yet.
_RUNS = text("""
    SELECT id, resource, mode, CASE WHEN cause = 'cancelled' THEN 'cancelled' ELSE status END AS state,
           started_at, finished_at, records_processed
      FROM sync_executions
     WHERE kind = 'sync' AND started_at IS NOT NULL
       AND (status = 'running'
            OR (finished_at > :since AND created_at > CAST(:since AS timestamptz) - interval '30 days'))
     ORDER BY resource, started_at, id
""")
# By the time of its end; and of each resource the last one before, since its lag holds until the next.
_MARKS = text("""
    SELECT resource, finished_at AS at, window_end AS updated_until FROM sync_executions
     WHERE kind = 'sync' AND mode = 'update' AND status = 'success' AND window_end IS NOT NULL
       AND finished_at > :since
       AND created_at > CAST(:since AS timestamptz) - interval '7 days'
    UNION ALL
    (SELECT DISTINCT ON (resource) resource, finished_at, window_end FROM sync_executions
      WHERE kind = 'sync' AND mode = 'update' AND status = 'success' AND window_end IS NOT NULL
        AND finished_at <= :since
        AND created_at > CAST(:since AS timestamptz) - interval '7 days'
      ORDER BY resource, window_end DESC)
""")


async def load_timeline(reading: ReadConnections, query: TimelineQuery) -> Timeline:
    """The executions that ran within the last hours, by resource."""
    async with reading.connect() as db:
        now: datetime = (await db.execute(text("SELECT now()"))).scalar_one()
        span = timedelta(hours=query.hours)
        runs = (await db.execute(_RUNS, {"since": now - span})).all()
        marks = (await db.execute(_MARKS, {"since": now - span})).all()
    found = [
        ResourceTimeline(
            resource=resource.name,
            label=resource.label,
            bars=join_bars(map(_to_bar, _of(runs, resource.name)), apart=span / BARS_APART),
            marks=_to_marks(_of(marks, resource.name)),
        )
        for resource in RESOURCES
    ]
    return Timeline(since=now - span, until=now, resources=[one for one in found if one.bars])


def _of(rows: Iterable[Row[Any]], resource: str) -> list[Row[Any]]:
    return [row for row in rows if row.resource == resource]


def _to_bar(row: Row[Any]) -> TimelineBar:
    return TimelineBar(
        resource=row.resource,
        mode=row.mode,
        state=row.state,
        executions=1,
        first_id=row.id,
        last_id=row.id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        records_processed=row.records_processed,
    )


def join_bars(bars: Iterable[TimelineBar], *, apart: timedelta) -> list[TimelineBar]:
    """Bars, in the order of their start, of which those of one mode and state that are nearer than `apart` are one."""
    joined: list[TimelineBar] = []
    last: dict[str, int] = {}  # of each mode, where its last bar is
    for bar in bars:
        before = joined[last[bar.mode]] if bar.mode in last else None
        if before is not None and before.state == bar.state and _is_near(before, bar, apart):
            joined[last[bar.mode]] = _join(before, bar)
        else:
            last[bar.mode] = len(joined)
            joined.append(bar)
    return joined


def _is_near(before: TimelineBar, bar: TimelineBar, apart: timedelta) -> bool:
    """Not of two that run: each of them has a progress of its own."""
    return before.finished_at is not None and bar.started_at - before.finished_at < apart


def _join(before: TimelineBar, bar: TimelineBar) -> TimelineBar:
    ends = [one.finished_at for one in (before, bar) if one.finished_at is not None]
    return before.model_copy(
        update={
            "executions": before.executions + 1,
            "last_id": bar.last_id,
            "finished_at": max(ends),
            "records_processed": before.records_processed + bar.records_processed,
        }
    )


def _to_marks(rows: Sequence[Row[Any]]) -> list[FreshnessMark]:
    """Only what moved the mirror on: an update that ended late may reach less far than one before it."""
    marks: list[FreshnessMark] = []
    for row in sorted(rows, key=lambda row: row.at):
        reached = aware(row.updated_until)
        if not marks or reached > marks[-1].updated_until:
            marks.append(FreshnessMark(at=row.at, updated_until=reached))
    return marks
