"""The dashboard's queries, each bounded by an index, so that a million executions cost what a thousand do.

Totals come from `sync_execution_counts`. What looks back over days is computed anew only when those counts have
changed, or a minute has passed: finished executions never change, so that nothing else can change it.
All who ask within two seconds get one reading.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

from sqlalchemy import Row, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.language.translator import DEFAULT_LANGUAGE, Language
from backend.models.dashboard import (
    CommonError,
    DayOfExecutions,
    FailedExecution,
    Freshness,
    ModalidadeFreshness,
    ModeStatistics,
    Rejections,
    ResourceFreshness,
    SyncDashboard,
    TableSize,
    UnfinishedExecution,
    UnsearchedRows,
    Waiting,
    Worker,
)
from backend.models.sync import Status
from backend.services.attention import load_drift, load_itens_owed, load_lists_owed, load_source
from backend.services.failures import load_pending
from backend.services.freshness import aware, load_marks, load_mirrored, reached_by
from backend.services.health import BrokerCheck
from backend.services.publisher import RabbitMQPublisher
from backend.services.reading import ReadConnections
from backend.services.rejections import RejectedDay, load_rejected_days
from backend.services.search import load_unsearched
from backend.services.status import WITH_PROGRESS, SyncStatusService, fields_of, progress_of
from backend.services.verdict.judging import judge, judge_without_database
from backend.services.verdict.loading import Lately, load_lately, load_mirror
from backend.services.verdict.state import Verdict
from backend.services.verdict.wording import word
from common.clock import BRASILIA
from common.config import ScheduleSettings
from common.database import is_database_trouble
from common.lifecycle import DEFAULT_RESOURCE
from common.lists import NO_SCOPES, Scopes
from common.resources import RESOURCE_NAMES, RESOURCES, RESOURCES_BY_NAME
from common.resources.parties import PARTIES
from common.tables import metadata, sync_executions
from common.watermarks import Watermark

FRESH_SECONDS = 2.0
"""The page's polling interval."""
LONGEST_SECONDS = 3.0
"""A database that takes longer counts as away, for the verdict alone."""
MOST_UNFINISHED_SHOWN = 50
MOST_FAILED_SHOWN = 10
COUNTED_ROWS = 10_000
MIRROR = {
    **{resource.name: resource.label for resource in RESOURCES},
    **{child.name: child.label for resource in RESOURCES for child in resource.lists},
    **{party.name: party.label for party in PARTIES},
    "rejected_records": "Registros rejeitados",
}
"""The tables whose sizes are shown, and what they are called."""

_COUNTS = text("""
    SELECT status, sum(executions) AS executions, sum(records_processed) AS records, sum(duration_seconds) AS seconds
      FROM sync_execution_counts WHERE kind = 'sync' GROUP BY status ORDER BY status
""")
# By the index of the cancelled ones, which are few.
_NOW = text("""
    SELECT now() AS moment,
           (SELECT count(*) FROM sync_executions WHERE kind = 'sync' AND cause = 'cancelled') AS cancelled,
           (SELECT count(*) FROM sync_executions
             WHERE kind = 'sync' AND created_at > now() - interval '24 hours') AS last_day,
           (SELECT max(paused_until) FROM source_pauses WHERE paused_until > now()) AS paused_until
""")
_WAITING = text("""
    SELECT execution_id, count(*) AS slices, min(run_after) AS next_try_at,
           (array_agg(cause ORDER BY updated_at DESC))[1] AS cause,
           (array_agg(error_message ORDER BY updated_at DESC))[1] AS error_message
      FROM sync_slices
     WHERE execution_id = ANY(:ids) AND status = 'pending' AND run_after > now()
     GROUP BY execution_id
""")
_WORKERS = text("""
    SELECT w.id, w.started_at, w.last_seen_at, count(s.id) AS slices_running
      FROM workers w LEFT JOIN sync_slices s ON s.worker_id = w.id AND s.status = 'running' AND s.kind = 'sync'
     WHERE w.stopped_at IS NULL AND w.alive_until > now() AND 'sync' = ANY(w.kinds)
     GROUP BY w.id ORDER BY w.id
""")
_DAYS = text("""
    WITH span AS (
        SELECT CAST(timezone(:zone, now()) AS date) AS today
    ), asked AS (
        SELECT CAST(timezone(:zone, created_at) AS date) AS day,
               count(*) FILTER (WHERE status = 'success') AS success,
               count(*) FILTER (WHERE status = 'error') AS error,
               count(*) FILTER (WHERE cause = 'cancelled') AS cancelled,
               count(*) FILTER (WHERE status = 'running') AS running,
               coalesce(sum(records_processed), 0) AS records_processed,
               avg(duration_seconds) FILTER (WHERE status <> 'running') AS mean_seconds
          FROM sync_executions, span
         WHERE kind = 'sync' AND created_at >= timezone(:zone, CAST(span.today - 29 AS timestamp))
         GROUP BY 1
    )
    SELECT CAST(days.day AS date) AS day, coalesce(success, 0) AS success, coalesce(error, 0) AS error,
           coalesce(cancelled, 0) AS cancelled, coalesce(running, 0) AS running,
           coalesce(records_processed, 0) AS records_processed, mean_seconds
      FROM span, generate_series(span.today - 29, span.today, interval '1 day') AS days (day)
      LEFT JOIN asked ON asked.day = CAST(days.day AS date)
     ORDER BY 1
""")
# mode: null for all of them together
_MODES = text("""
    SELECT mode, count(*) AS executions, CAST(avg(duration_seconds) AS float) AS mean_seconds,
           CAST(percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS float) AS p95_seconds,
           CAST(avg(records_processed) AS float) AS mean_records
      FROM sync_executions
     WHERE kind = 'sync' AND created_at > now() - interval '30 days' AND status <> 'running'
       AND duration_seconds IS NOT NULL
     GROUP BY ROLLUP (mode) ORDER BY mode
""")
_ERRORS = text("""
    SELECT cause, left((array_agg(error_message ORDER BY id DESC))[1], 300) AS message, count(*) AS executions,
           max(id) AS last_execution_id, max(created_at) AS last_at
      FROM sync_executions
     WHERE kind = 'sync' AND cause <> 'cancelled' AND created_at > now() - interval '30 days'
     GROUP BY cause ORDER BY 3 DESC, 4 DESC LIMIT 8
""")
_SIZES = text("""
    SELECT relname, reltuples, pg_total_relation_size(oid) AS bytes
      FROM pg_class WHERE oid = ANY(CAST(CAST(:names AS text[]) AS regclass[]))
""")
_COUNTED = {
    name: select(func.count()).select_from(
        select(literal(1)).select_from(metadata.tables[name]).limit(COUNTED_ROWS + 1).subquery()
    )
    for name in MIRROR
}


@dataclass(frozen=True)
class _Lately:
    """The figures over several days, with the counts and the minute that they belong to."""

    counts: Sequence[Row[Any]]
    minute: datetime
    fields: dict[str, Any]
    judged: Lately


@dataclass(frozen=True)
class _Read:
    """One reading: what the dashboard shows, and the verdict before it is in a language."""

    fields: dict[str, Any]
    verdict: Verdict


class Dashboard:
    """Loads the dashboard and the verdict once for simultaneous requests; caches what changes only with the counts."""

    def __init__(
        self,
        reading: ReadConnections,
        settings: ScheduleSettings,
        scopes: Scopes = NO_SCOPES,
        publisher: RabbitMQPublisher | None = None,
    ) -> None:
        """`scopes`: of the lists that are read later, as they are set; without a publisher there is no broker."""
        self._reading = reading
        self._settings = settings
        self._scopes = scopes
        self._broker = None if publisher is None else BrokerCheck(publisher)
        self._lately: _Lately | None = None
        self._shared: asyncio.Task[_Read] | None = None
        self._began = 0.0

    async def load(self, language: Language = DEFAULT_LANGUAGE) -> SyncDashboard:
        """The data of the page's first view, at most two seconds old; requests share a query in progress."""
        found = await self._share()
        return SyncDashboard(**found.fields, verdict=word(found.verdict, language))

    async def verdict(self) -> Verdict:
        """The verdict of the same reading; while the database does not answer, that it does not."""
        reading = asyncio.ensure_future(self._share())
        # not asyncio.timeout: the driver takes seconds to close a connection that does not answer
        await asyncio.wait([reading], timeout=LONGEST_SECONDS)
        try:
            if reading.done():
                return reading.result().verdict
        except Exception as error:
            if not is_database_trouble(error):
                raise
        reading.cancel()
        return judge_without_database(datetime.now(UTC))

    def forget(self) -> None:
        """Invalidate the caches after a change."""
        self._shared = self._lately = None

    async def close(self) -> None:
        """Cancel the query in progress."""
        if self._broker is not None:
            await self._broker.close()
        if self._shared is not None:
            self._shared.cancel()
            await asyncio.wait([self._shared], timeout=1)

    async def _share(self) -> _Read:
        now = time.monotonic()
        if self._shared is None or (self._shared.done() and now - self._began >= FRESH_SECONDS):
            self._shared, self._began = asyncio.create_task(self._read()), now
            self._shared.add_done_callback(self._drop_if_failed)
        return await asyncio.shield(self._shared)  # a caller that disconnects does not cancel the query of the others

    def _drop_if_failed(self, shared: asyncio.Task[_Read]) -> None:
        """Drop a failed query, so that later requests start a new one."""
        failed = shared.cancelled() or shared.exception() is not None
        if failed and self._shared is shared:
            self._shared = None

    async def _read(self) -> _Read:
        broker = None if self._broker is None else await self._broker.state()
        async with self._reading.connect() as db:
            counts = (await db.execute(_COUNTS)).all()
            now = (await db.execute(_NOW)).one()
            marks = {name: await load_marks(db, name, await load_mirrored(db, name)) for name in RESOURCE_NAMES}
            workers, source = await _load_workers(db), await load_source(db)
            lately = await self._look_back(db, counts, now.moment)
            fields = {
                **_totals(counts, now.cancelled),
                "last_24h_executions": now.last_day,
                "current_status": await SyncStatusService(db).get_current_status(),
                **_to_freshnesses(marks, now.moment),
                "unfinished": await _load_unfinished(db),
                "workers": workers,
                "source": source,
                "source_paused_until": now.paused_until,
                "generated_at": now.moment,
                **lately.fields,
            }
            mirror = await load_mirror(
                db,
                now.moment,
                self._settings,
                lately=lately.judged,
                marks=marks,
                workers=len(workers),
                has_executions=fields["total_executions"] > 0,
                source=source,
                broker=broker,
            )
            return _Read(fields, judge(mirror))

    async def _look_back(self, db: AsyncConnection, counts: Sequence[Row[Any]], now: datetime) -> _Lately:
        known, minute = self._lately, now.replace(second=0, microsecond=0)
        if known is None or known.counts != counts or known.minute != minute:
            fields, judged = await _load_lately(db, now, self._scopes, self._settings)
            known = self._lately = _Lately(counts, minute, fields, judged)
        return known


def _totals(counts: Sequence[Row[Any]], cancelled: int) -> dict[str, Any]:
    executions = dict.fromkeys(get_args(Status), 0) | {row.status: int(row.executions) for row in counts}
    ended = executions["success"] + executions["error"]
    seconds = sum((row.seconds for row in counts if row.status != "running"), Decimal())
    records = int(sum(row.records for row in counts if row.status != "running"))
    return {
        "total_executions": sum(executions.values()),
        "success_rate": f"{100 * executions['success'] / max(ended - cancelled, 1):.1f}%",
        "avg_duration_seconds": f"{seconds / max(ended, 1):.1f}",
        "success_count": executions["success"],
        "error_count": executions["error"],
        "cancelled_count": cancelled,
        "running_count": executions["running"],
        "records_processed": records,
        "records_per_execution": round(records / max(ended, 1), 1),
    }


async def _load_unfinished(db: AsyncConnection) -> list[UnfinishedExecution]:
    column = sync_executions.c
    statement = WITH_PROGRESS.where(column.status == "running").order_by(column.id).limit(MOST_UNFINISHED_SHOWN)
    rows = (await db.execute(statement)).all()
    waiting = {row.execution_id: row for row in await db.execute(_WAITING, {"ids": [row.id for row in rows]})}
    return [
        UnfinishedExecution(
            **fields_of(row),
            progress=progress_of(row),
            waiting=Waiting.model_validate(waiting[row.id], from_attributes=True) if row.id in waiting else None,
        )
        for row in rows
    ]


async def _load_workers(db: AsyncConnection) -> list[Worker]:
    rows = await db.execute(_WORKERS)
    return [Worker.model_validate(row, from_attributes=True) for row in rows]


def _to_freshnesses(marks: Mapping[str, Mapping[int, Watermark | None]], now: datetime) -> dict[str, Any]:
    return {
        "freshness": _to_freshness(marks[DEFAULT_RESOURCE], now),
        "resources": [
            ResourceFreshness(
                resource=name, label=RESOURCES_BY_NAME[name].label, **vars(_to_freshness(of_resource, now))
            )
            for name, of_resource in marks.items()
            if of_resource
        ],
    }


def _to_freshness(marks: Mapping[int, Watermark | None], now: datetime) -> Freshness:
    updated = reached_by(marks)
    complete = updated if all(mark is not None and mark.complete_from for mark in marks.values()) else None
    return Freshness(
        complete_until=complete,
        age_seconds=_age(complete, now),
        updated_until=updated,
        updated_age_seconds=_age(updated, now),
        modalidades=[_to_modalidade(part, mark, now) for part, mark in marks.items()],
    )


def _to_modalidade(part: int, mark: Watermark | None, now: datetime) -> ModalidadeFreshness:
    updated = None if mark is None else aware(mark.reached)
    complete = updated if mark is not None and mark.complete_from else None
    return ModalidadeFreshness(
        modalidade=part or None,
        complete_until=complete,
        age_seconds=_age(complete, now),
        updated_until=updated,
        updated_age_seconds=_age(updated, now),
    )


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()


async def _load_lately(
    db: AsyncConnection, now: datetime, scopes: Scopes, settings: ScheduleSettings
) -> tuple[dict[str, Any], Lately]:
    """What the dashboard shows of it, and what the verdict follows from."""
    in_brasilia = {"zone": BRASILIA.key}
    modes = (await db.execute(_MODES)).all()
    together = next((row for row in modes if row.mode is None and row.executions), None)
    failed = await load_pending(db, now)
    rejected = await load_rejected_days(db, now)
    shown: dict[str, Any] = {
        "days": [
            DayOfExecutions.model_validate(row, from_attributes=True) for row in await db.execute(_DAYS, in_brasilia)
        ],
        "modes": [ModeStatistics.model_validate(row, from_attributes=True) for row in modes if row.mode],
        "mean_duration_seconds": together.mean_seconds if together else None,
        "p95_duration_seconds": together.p95_seconds if together else None,
        "errors": [CommonError.model_validate(row, from_attributes=True) for row in await db.execute(_ERRORS)],
        "failed": [FailedExecution.model_validate(row, from_attributes=True) for row in failed[:MOST_FAILED_SHOWN]],
        "failed_count": len(failed),
        "failed_updates_count": sum(row.mode == "update" for row in failed),
        "itens_owed": await load_itens_owed(db),
        "lists_owed": await load_lists_owed(db, scopes),
        "unsearched": await _load_unsearched(db),
        "drift": await load_drift(db),
        "rejections": _to_rejections(rejected),
        "mirror": await _load_sizes(db),
    }
    judged = await load_lately(
        db,
        now,
        settings,
        failed=failed,
        rejected=rejected,
        itens=shown["itens_owed"],
        lists=shown["lists_owed"],
        drift=shown["drift"],
    )
    return shown, judged


def _to_rejections(rejected: Sequence[RejectedDay]) -> Rejections:
    days = [one.day for one in rejected if one.day is not None]
    return Rejections(
        records=sum(one.records for one in rejected),
        days=len(days),
        first_day=min(days, default=None),
        last_day=max(days, default=None),
    )


async def _load_unsearched(db: AsyncConnection) -> list[UnsearchedRows]:
    """Of each table, about how many rows a search does not find yet, where there are any."""
    return [
        UnsearchedRows(table=row.name, label=MIRROR[row.name], rows=row.rows)
        for row in await load_unsearched(db)
        if row.rows
    ]


async def _load_sizes(db: AsyncConnection) -> list[TableSize]:
    """Row counts: exact where that is fast, else estimated."""
    known = {row.relname: row for row in await db.execute(_SIZES, {"names": list(MIRROR)})}
    sizes = []
    for table, label in MIRROR.items():
        estimate = int(known[table].reltuples)
        counted: int = 0
        if estimate < 2 * COUNTED_ROWS:
            counted = (await db.execute(_COUNTED[table])).scalar_one()
        exact = estimate < 2 * COUNTED_ROWS and counted <= COUNTED_ROWS
        rows = counted if exact else max(estimate, counted)
        sizes.append(TableSize(table=table, label=label, rows=rows, exact=exact, bytes=known[table].bytes))
    return sizes
