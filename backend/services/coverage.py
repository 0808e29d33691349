"""The state of each day of a resource: from the ledger, and from slices for days that were not read whole."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, get_args

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.models.coverage import (
    CoverageDay,
    CoverageModalidade,
    CoverageQuery,
    CoverageSpan,
    CoverageSpans,
    CoverageSpansQuery,
    DayState,
    PairState,
    SyncCoverage,
)
from backend.services.reading import ReadConnections
from common.clock import to_wall_clock
from common.resources import RESOURCES_BY_NAME
from common.resources.description import CRITERIOS, Resource

# One row for each day and part. A day that was read whole after its end is complete, whatever failed later: its records
# stay stored. The state of other days comes from their slices, the newest first: running, failed, or read in part.
# Records that a reading showed and that could not be stored are missing; records that were last seen before it have
# left its listing.
_PAIRS = """
    WITH whole AS (
        SELECT day, part, execution_id, records, total_registros, began_at, complete_at AS finished_at,
               CAST(NULL AS text) AS cause, CAST(NULL AS text) AS error_message, 'complete' AS state
          FROM read_days
         WHERE resource = :resource AND criterio = '{criterio}' AND day BETWEEN :first AND :last
           AND (CAST(:modalidade AS int) IS NULL OR part = :modalidade)
    ), others AS (
        SELECT DISTINCT ON (s.first_day, s.part)
               s.first_day AS day, s.part, s.execution_id, s.records_processed AS records, s.total_registros,
               s.started_at AS began_at, s.finished_at, s.cause, s.error_message,
               CASE WHEN bool_or(s.status IN ('pending', 'running')) OVER (PARTITION BY s.first_day, s.part)
                    THEN 'running'
                    WHEN s.status = 'error' THEN 'failed'
                    ELSE 'partial' END AS state
          FROM sync_slices s
         WHERE s.criterio = '{criterio}' AND s.resource = :resource AND s.first_day BETWEEN :first AND :last
           AND (CAST(:modalidade AS int) IS NULL OR s.part = :modalidade)
           AND NOT EXISTS (SELECT FROM whole w WHERE w.day = s.first_day AND w.part = s.part)
         ORDER BY s.first_day, s.part, s.id DESC
    ), counting AS (
        SELECT * FROM whole UNION ALL SELECT * FROM others
    )
    SELECT c.day, c.part AS modalidade, c.records, c.total_registros, c.finished_at, c.cause, c.error_message,
           -- it may have been deleted since
           (SELECT e.id FROM sync_executions e WHERE CAST(:detail AS boolean) AND e.id = c.execution_id)
               AS execution_id,
           refused.records AS records_rejected,
           CASE WHEN c.state = 'complete' AND refused.records > 0 THEN 'rejected' ELSE c.state END AS state
      FROM counting c
     CROSS JOIN LATERAL (
           SELECT count(*) AS records FROM rejected_records r
            WHERE r.resolved_at IS NULL AND r.day = c.day AND r.part = c.part
              AND r.resource = ANY(CAST(:tables AS text[]))
              AND r.last_seen >= coalesce(c.began_at, '-infinity')) refused
     ORDER BY c.day, c.part
"""
# One row for each day with any part, summed by the database: of six years there are forty thousand parts.
_DAYS = """
    SELECT day, count(*) FILTER (WHERE state = 'complete') AS complete,
           count(*) FILTER (WHERE state = 'rejected') AS rejected,
           count(*) FILTER (WHERE state = 'partial') AS partial,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           count(*) FILTER (WHERE state = 'running') AS running,
           array_agg(modalidade) AS parts
      FROM ({pairs}) AS pairs GROUP BY day ORDER BY day
"""
_PAIR_STATES: tuple[PairState, ...] = get_args(PairState)
# written out, so that each is answered from the index of its listing
_PAIRS_BY = {criterio: text(_PAIRS.format(criterio=criterio)) for criterio in CRITERIOS}
_DAYS_BY = {criterio: text(_DAYS.format(pairs=_PAIRS.format(criterio=criterio))) for criterio in CRITERIOS}


async def load_coverage(engine: AsyncEngine, query: CoverageQuery) -> SyncCoverage:
    """Every day of the span, in order."""
    first, last = query.span
    resource = RESOURCES_BY_NAME[query.resource]
    parameters = {**_parameters(resource, first, last, query.modalidade), "detail": query.detail}
    async with engine.connect() as db:
        rows = (await db.execute(_PAIRS_BY[resource.day_criterio], parameters)).all()
    listing = resource.listings[resource.day_criterio]
    counts_records = listing.counts is None and not listing.repeats_rows
    asked = sorted({row.modalidade for row in rows})
    by_day: defaultdict[date, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_day[row.day].append(row)
    span = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return SyncCoverage(
        modalidades=[part for part in asked if part],
        days=[_to_day(day, by_day.get(day, []), asked, query, counts_records=counts_records) for day in span],
    )


async def load_spans(reading: ReadConnections, query: CoverageSpansQuery) -> CoverageSpans:
    """Every day since the first, until today in Brasília, as spans of one state."""
    resource, today = RESOURCES_BY_NAME[query.resource], to_wall_clock(datetime.now(UTC)).date()
    parameters = {**_parameters(resource, query.first_day, today, query.modalidade), "detail": False}
    async with reading.connect() as db:
        rows = (await db.execute(_DAYS_BY[resource.day_criterio], parameters)).all()
    asked = sorted({part for row in rows for part in row.parts})
    states = {row.day: _state_of(_states_in(row), len(asked) - len(row.parts)) for row in rows}
    days = [query.first_day + timedelta(days=n) for n in range((today - query.first_day).days + 1)]
    spans = []
    for state, same in groupby(days, key=lambda day: states.get(day, "never")):
        span = list(same)
        spans.append(CoverageSpan(first_day=span[0], last_day=span[-1], state=state))
    return CoverageSpans(modalidades=[part for part in asked if part], spans=spans)


def _states_in(row: Row[Any]) -> Counter[str]:
    return Counter({state: getattr(row, state) for state in _PAIR_STATES})


def _parameters(resource: Resource, first: date, last: date, modalidade: int | None) -> dict[str, Any]:
    return {
        "resource": resource.name,
        "tables": resource.tables,
        "first": first,
        "last": last,
        "modalidade": modalidade,
    }


def _to_day(
    day: date, pairs: Sequence[Row[Any]], asked: Collection[int], query: CoverageQuery, *, counts_records: bool
) -> CoverageDay:
    """`counts_records`: the totals of the portal's listing are of records, not of repeated rows or of parts."""
    states = Counter(pair.state for pair in pairs)
    missing = len(asked) - len(pairs)
    told = [pair.total_registros for pair in pairs if counts_records and pair.total_registros is not None]
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
        modalidades=[_to_modalidade(pair, counts_records=counts_records) for pair in pairs] if query.detail else None,
    )


def _to_modalidade(pair: Row[Any], *, counts_records: bool) -> CoverageModalidade:
    found = CoverageModalidade.model_validate(pair, from_attributes=True)
    return found if counts_records else found.model_copy(update={"total_registros": None})


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
