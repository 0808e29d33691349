"""What the mirror has of each day of publication, told by the slices that read it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.models.coverage import CoverageDay, CoverageModalidade, CoverageQuery, DayState, SyncCoverage
from common.clock import BRASILIA

# Of each day and modalidade one row: the slice that counts, and the state. A slice that counts as complete goes before
# every other one, however new: what is stored does not go away because a later reading fails. What that slice met and
# could not be stored is missing; what was last seen before it is not on its listing any more.
_PAIRS = text("""
    WITH read AS (
        SELECT s.first_day AS day, s.part AS modalidade, s.id, s.execution_id, s.status, s.records_processed,
               s.total_registros, s.started_at, s.finished_at, s.error_message,
               s.status = 'success' AND s.window_start <= s.first_day
                   AND s.window_end >= s.first_day + interval '1 day' - interval '1 second'
                   AND s.finished_at >= timezone(:zone, s.first_day + interval '1 day') AS is_complete
          FROM sync_slices s
         WHERE s.criterio = 'publicacao' AND s.resource = :resource AND s.first_day BETWEEN :first AND :last
           AND (CAST(:modalidade AS int) IS NULL OR s.part = :modalidade)
    ), counting AS (
        SELECT DISTINCT ON (day, modalidade)
               day, modalidade, execution_id, records_processed AS records, total_registros, started_at, finished_at,
               error_message,
               CASE WHEN is_complete THEN 'complete'
                    WHEN bool_or(status IN ('pending', 'running')) OVER (PARTITION BY day, modalidade) THEN 'running'
                    WHEN status = 'error' THEN 'failed'
                    ELSE 'partial' END AS state
          FROM read
         ORDER BY day, modalidade, is_complete DESC, id DESC
    )
    SELECT c.day, c.modalidade, c.execution_id, c.records, c.total_registros, c.finished_at, c.error_message,
           refused.records AS records_rejected,
           CASE WHEN c.state = 'complete' AND refused.records > 0 THEN 'rejected' ELSE c.state END AS state
      FROM counting c
     CROSS JOIN LATERAL (
           SELECT count(*) AS records FROM rejected_records r
            WHERE r.resolved_at IS NULL AND r.day = c.day AND r.part = c.modalidade
              AND r.last_seen >= coalesce(c.started_at, '-infinity')) refused
     ORDER BY c.day, c.modalidade
""")


async def load_coverage(engine: AsyncEngine, query: CoverageQuery) -> SyncCoverage:
    """Every day of the span, in order."""
    first, last = query.span
    parameters = {
        "zone": BRASILIA.key,
        "resource": query.resource,
        "first": first,
        "last": last,
        "modalidade": query.modalidade,
    }
    async with engine.connect() as db:
        rows = (await db.execute(_PAIRS, parameters)).all()
    asked = sorted({row.modalidade for row in rows})
    by_day: defaultdict[date, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_day[row.day].append(row)
    span = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return SyncCoverage(
        modalidades=[part for part in asked if part],
        days=[_to_day(day, by_day.get(day, []), asked, detail=query.detail) for day in span],
    )


def _to_day(day: date, pairs: Sequence[Row[Any]], asked: Collection[int], *, detail: bool) -> CoverageDay:
    states = Counter(pair.state for pair in pairs)
    missing = len(asked) - len(pairs)
    told = [pair.total_registros for pair in pairs if pair.total_registros is not None]
    return CoverageDay(
        day=day,
        state=_state_of(states, missing),
        complete=states["complete"],
        partial=states["partial"],
        failed=states["failed"],
        running=states["running"],
        rejected=states["rejected"],
        missing=missing,
        records=sum(pair.records for pair in pairs),
        total_registros=sum(told) if told else None,
        records_rejected=sum(pair.records_rejected for pair in pairs),
        modalidades=[CoverageModalidade.model_validate(pair, from_attributes=True) for pair in pairs]
        if detail
        else None,
    )


def _state_of(states: Counter[str], missing: int) -> DayState:
    if not states.total():
        return "never"
    if states["running"]:
        return "running"
    if states["failed"]:
        return "failed"
    if missing or states["partial"]:
        return "partial"
    return "rejected" if states["rejected"] else "complete"
