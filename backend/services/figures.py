"""Metrics from the database: the same from every backend, and unchanged by a restart.

Each question is answered from an index or from counts that triggers keep, so that a long history costs nothing; all of
them are asked at most once in some seconds.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from backend.services.freshness import aware, load_marks, load_mirrored, reached_by
from backend.services.goals import load_days_missing
from backend.services.owed import CountedList, load_drift, load_lists, load_owed
from backend.services.search import load_unsearched
from backend.services.verdict.state import METRIC, Verdict
from common.config import schedule_name
from common.cron import next_runs
from common.database import is_database_trouble
from common.lifecycle.executions import STALE_OUTAGE
from common.resources import INLINE, RESOURCE_NAMES, SERVICES
from common.watermarks import Watermark

FRESH_SECONDS = 5.0
LONGEST_SECONDS = 3.0

_MODES = ("update", "backfill")
# Exported from the start, at 0: Prometheus sees no increase in a series that appears with its first error.
_SERIES = tuple(
    (resource, mode, trigger)
    for resource in RESOURCE_NAMES
    for mode, triggers in {
        "update": ("api", "message", "schedule", "retry"),
        "backfill": ("api", "message", "sweep", "gap", "goal", "retry"),
    }.items()
    for trigger in triggers
)

Rows = Sequence[Row[Any]]
_TO = "destination"

_COUNTS = text("""
    SELECT resource, mode, trigger, status, executions, records_processed, records_rejected,
           CAST(duration_seconds AS float)
      FROM sync_execution_counts WHERE kind = 'sync'
""")
# What has been deleted of the history stays counted.
_DELETED = text("""
    SELECT resource, mode, trigger, status, executions, records_processed, records_rejected,
           CAST(duration_seconds AS float)
      FROM deleted_execution_counts WHERE kind = 'sync'
""")
# What administrators cancelled is counted apart from what failed; they are few, and an index has them.
_CANCELLED = text("""
    SELECT resource, mode, trigger, count(*) AS executions,
           CAST(coalesce(sum(duration_seconds), 0) AS float) AS duration_seconds
      FROM sync_executions WHERE kind = 'sync' AND cause = 'cancelled'
     GROUP BY resource, mode, trigger
""")
# While an execution runs its counts live on its slices, and move to its own row when it ends.
_UNFINISHED = text("""
    SELECT e.resource, e.mode, e.trigger,
           CASE WHEN e.started_at IS NULL THEN 'queued'
                WHEN s.running = 0 AND s.ready + t.untouched = 0 AND s.waiting > 0 THEN 'waiting' ELSE 'running'
           END AS phase,
           s.running, s.ready + t.untouched AS ready, s.waiting, s.records_processed, s.records_rejected,
           CASE WHEN e.started_at IS NULL THEN CAST(extract(epoch FROM now() - e.created_at) AS float) END AS queued_for
      FROM sync_executions e
     CROSS JOIN LATERAL (
           SELECT count(*) AS touched, count(*) FILTER (WHERE status = 'running') AS running,
                  count(*) FILTER (WHERE status = 'pending' AND (run_after IS NULL OR run_after <= now())) AS ready,
                  count(*) FILTER (WHERE status = 'pending' AND run_after > now()) AS waiting,
                  coalesce(sum(records_processed), 0) AS records_processed,
                  coalesce(sum(records_rejected), 0) AS records_rejected
             FROM sync_slices
            WHERE execution_id = e.id AND (started_at IS NOT NULL OR run_after IS NOT NULL OR status <> 'pending')) s
     CROSS JOIN LATERAL (
           SELECT coalesce(max(ordinal), 0) - s.touched AS untouched
             FROM sync_slices WHERE execution_id = e.id) t
     WHERE e.status = 'running' AND e.kind = 'sync'
""")
_STATE = text("""
    SELECT (SELECT count(*) FROM workers
             WHERE stopped_at IS NULL AND alive_until > now() AND 'sync' = ANY(kinds)) AS workers,
           coalesce((SELECT bool_or(paused_until > now()) FROM source_pauses), false) AS paused
""")
_SCHEDULES = text("""
    SELECT name, cron, effective_at, now() AS moment FROM schedules WHERE name = ANY(CAST(:names AS text[]))
""")
_FAILING = text("""
    SELECT asked.service, coalesce(CAST(extract(epoch FROM now() - p.failing_since) AS float), 0) AS seconds
      FROM unnest(CAST(:services AS text[])) AS asked (service)
      LEFT JOIN source_pauses p ON p.source = asked.service AND p.paused_until > now() - CAST(:stale AS interval)
""")
# As of the last delivery, which alone counts what is owed.
_DELIVERIES = text("""
    SELECT d.name, coalesce(sum(t.owed), 0) AS owed,
           coalesce(CAST(extract(epoch FROM now() - min(t.oldest_owed_at)) AS float), 0) AS oldest_seconds,
           coalesce(sum(r.rejected), 0) AS rejected
      FROM destinations d
      LEFT JOIN streams t ON t.destination = d.name
      LEFT JOIN LATERAL (SELECT count(*) AS rejected FROM deliveries
                          WHERE stream_id = t.id AND rejected_since IS NOT NULL) r ON true
     WHERE d.missing_since IS NULL
     GROUP BY d.name ORDER BY d.name
""")
_LIMIT = text("SELECT set_config('statement_timeout', :milliseconds, true)")


@dataclass(frozen=True)
class Figures:
    """The answers of the database."""

    counts: Rows
    deleted: Rows
    cancelled: Rows
    unfinished: Rows
    marks: dict[tuple[str, int], Watermark | None]
    overdue: Mapping[str, float]
    days_missing: Mapping[str, int]
    workers: int
    paused: bool
    failing: Rows
    owed: Rows
    lists_owed: Sequence[CountedList]
    unsearched: Rows
    drift: Rows
    deliveries: Rows


class FiguresReader:
    """Loads the figures on request, and caches them for some seconds."""

    def __init__(
        self, engine: AsyncEngine, update_crons: Mapping[str, str], goals: Mapping[str, date] | None = None
    ) -> None:
        """The settings by the names of resources.

        `update_crons`: for the updates of those that are kept up to date; `goals`: from which day on they are complete.
        """
        self._goals = goals or {}
        self._engine = engine
        self._update_crons = update_crons
        self._reading: asyncio.Task[Figures | None] | None = None
        self._began = 0.0

    async def metrics(self) -> list[Metric]:
        """The figures as metrics; `pncp_database_up 0` alone if the database does not answer in time."""
        now = time.monotonic()
        if self._reading is None or (self._reading.done() and now - self._began > FRESH_SECONDS):
            self._reading, self._began = asyncio.create_task(_read(self._engine, self._update_crons, self._goals)), now
        # not asyncio.timeout: the driver takes seconds to close a connection that does not answer
        await asyncio.wait([self._reading], timeout=LONGEST_SECONDS)
        figures = self._reading.result() if self._reading.done() else None
        up = GaugeMetricFamily(
            "pncp_database_up", "Whether the database has answered in time.", float(figures is not None)
        )
        return [up, *_of_pool(self._engine), *(_of_figures(figures) if figures else [])]

    async def close(self) -> None:
        """Cancel the query in progress."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading], timeout=1)  # closing a connection that does not answer takes time


async def _read(engine: AsyncEngine, update_crons: Mapping[str, str], goals: Mapping[str, date]) -> Figures | None:
    try:
        async with engine.connect() as db:
            # one snapshot for all questions: counts that move from slices to their execution are counted once
            await db.execution_options(isolation_level="REPEATABLE READ")
            await db.execute(_LIMIT, {"milliseconds": str(int(LONGEST_SECONDS * 1000))})
            return await _ask(db, update_crons, goals)
    except Exception as error:
        if not is_database_trouble(error):
            raise
        return None


async def _ask(db: AsyncConnection, update_crons: Mapping[str, str], goals: Mapping[str, date]) -> Figures:
    counts = (await db.execute(_COUNTS)).all()
    deleted = (await db.execute(_DELETED)).all()
    cancelled = (await db.execute(_CANCELLED)).all()
    unfinished = (await db.execute(_UNFINISHED)).all()
    marks = {
        (resource, part): mark
        for resource in RESOURCE_NAMES
        for part, mark in (await load_marks(db, resource, await load_mirrored(db, resource))).items()
    }
    state = (await db.execute(_STATE)).one()
    failing = (await db.execute(_FAILING, {"stale": STALE_OUTAGE, "services": list(SERVICES)})).all()
    return Figures(
        counts,
        deleted,
        cancelled,
        unfinished,
        marks,
        await _load_overdue(db, update_crons, marks),
        await load_days_missing(db, goals),
        state.workers,
        state.paused,
        failing,
        await load_owed(db),
        await load_lists(db),
        await load_unsearched(db),
        await load_drift(db),
        (await db.execute(_DELIVERIES)).all(),
    )


async def _load_overdue(
    db: AsyncConnection, update_crons: Mapping[str, str], marks: Mapping[tuple[str, int], Watermark | None]
) -> dict[str, float]:
    """For how many seconds an update of each resource has been due, by its cron, that would read on from its marks.

    Before the first update, those count that were due since its schedule began.
    """
    names = {schedule_name(resource, "update"): resource for resource in update_crons}
    overdue = dict.fromkeys(update_crons, 0.0)
    for row in await db.execute(_SCHEDULES, {"names": list(names)}):
        resource = names[row.name]
        parts = {part: mark for (of_resource, part), mark in marks.items() if of_resource == resource}
        due = next_runs(row.cron or update_crons[resource], reached_by(parts) or row.effective_at, 1)
        if due:
            overdue[resource] = max(0.0, (row.moment - due[0]).total_seconds())
    return overdue


def verdict_metric(verdict: Verdict) -> Metric:
    """The verdict's facts as a metric."""
    judged = GaugeMetricFamily(
        "pncp_verdict", "Of each fact of the verdict: 0 in order, 1 needs attention, 2 a problem.", labels=["fact"]
    )
    for fact, said in verdict.facts.items():
        judged.add_metric([fact], METRIC[said.state])
    return judged


def _of_figures(figures: Figures) -> Iterable[Metric]:
    yield from _of_counts(figures)
    yield from _of_unfinished(figures.unfinished)
    yield from _of_marks(figures.marks)
    overdue = GaugeMetricFamily(
        "pncp_update_overdue_seconds",
        "For how long an update of a resource has been due, by its cron, without bringing it up to date; 0 if none.",
        labels=["resource"],
    )
    for resource, seconds in figures.overdue.items():
        overdue.add_metric([resource], seconds)
    yield overdue
    missing = GaugeMetricFamily(
        "pncp_goal_days_missing",
        "Closed days of a resource that its goal asks for and that are missing.",
        labels=["resource"],
    )
    for resource, days in figures.days_missing.items():
        missing.add_metric([resource], days)
    yield missing
    yield GaugeMetricFamily("pncp_workers_alive", "Ingestors that have lately said that they live.", figures.workers)
    yield from _of_owed(figures)
    yield GaugeMetricFamily("pncp_source_paused", "Whether every ingestor waits for the portal.", float(figures.paused))
    failing = GaugeMetricFamily(
        "pncp_source_failing_seconds",
        "For how long a service of the portal has refused or not answered; 0 while it answers.",
        labels=["service"],
    )
    for row in figures.failing:
        failing.add_metric([row.service], row.seconds)
    yield failing
    yield from _of_deliveries(figures.deliveries)


def _of_deliveries(rows: Rows) -> Iterable[Metric]:
    owed = GaugeMetricFamily(
        "pncp_delivery_owed", "Records owed to a destination, as its last delivery has counted them.", labels=[_TO]
    )
    oldest = GaugeMetricFamily(
        "pncp_delivery_oldest_owed_seconds",
        "For how long the oldest of these has been owed; 0 where nothing is.",
        labels=[_TO],
    )
    rejected = GaugeMetricFamily(
        "pncp_delivery_rejected", "Records that a destination has rejected and not accepted since.", labels=[_TO]
    )
    for row in rows:
        owed.add_metric([row.name], row.owed)
        oldest.add_metric([row.name], row.oldest_seconds)
        rejected.add_metric([row.name], row.rejected)
    return [owed, oldest, rejected]


def _of_marks(marks: Mapping[tuple[str, int], Watermark | None]) -> Iterable[Metric]:
    updated = GaugeMetricFamily(
        "pncp_mirror_updated_timestamp_seconds",
        "Up to when the changes of a part of a resource have been read without a gap; 0 before the first update.",
        labels=["resource", "part"],
    )
    complete = GaugeMetricFamily(
        "pncp_mirror_complete_timestamp_seconds",
        "The same; 0 while no day since its updates began has been read whole.",
        labels=["resource", "part"],
    )
    for (resource, part), mark in marks.items():
        until = 0.0 if mark is None else aware(mark.reached).timestamp()
        updated.add_metric([resource, str(part)], until)
        complete.add_metric([resource, str(part)], until if mark is not None and mark.complete_from else 0.0)
    return [updated, complete]


def _of_owed(figures: Figures) -> Iterable[Metric]:
    owed = GaugeMetricFamily(
        "pncp_itens_owed",
        "Records stored without their items: not read, empty and not confirmed, given up.",
        labels=["resource", "state"],
    )
    since = GaugeMetricFamily(
        "pncp_itens_owed_since_timestamp_seconds",
        "Since when the items that are owed the longest are; 0 where none are.",
        labels=["resource"],
    )
    known = {row.resource: row for row in figures.owed}
    for resource, _ in INLINE:
        row = known.get(resource.name)
        for state in ("unread", "empty", "set_aside"):
            owed.add_metric([resource.name, state], getattr(row, state, 0))
        since.add_metric([resource.name], row.since.timestamp() if row else 0.0)
    lists = GaugeMetricFamily(
        "pncp_lists_owed",
        "Records whose lists are read later and still to be read, or given up; more than 100,000 are estimated.",
        labels=["list", "resource", "state"],
    )
    for one in figures.lists_owed:
        lists.add_metric([one.list, one.resource, "unread"], one.owed)
        lists.add_metric([one.list, one.resource, "set_aside"], one.set_aside or 0)
    unsearched = GaugeMetricFamily(
        "pncp_unsearched_rows", "Rows that a search does not find yet, about, by table.", labels=["table"]
    )
    for row in figures.unsearched:
        unsearched.add_metric([row.name], row.rows)
    drift = CounterMetricFamily(
        "pncp_schema_drift_records",
        "Records written with a field that does not fit its column, by table, field and what came.",
        labels=["resource", "path", "kind"],
    )
    for row in figures.drift:
        drift.add_metric([row.resource, row.path, row.kind], row.records)
    return [owed, since, lists, unsearched, drift]


def _of_counts(figures: Figures) -> Iterable[Metric]:
    ended = {(*series, status): (0, 0.0) for series in _SERIES for status in ("success", "error", "cancelled")}
    totals = dict.fromkeys(_SERIES, (0, 0))
    for row in figures.counts:
        if row.status != "running":
            ended[row.resource, row.mode, row.trigger, row.status] = row.executions, row.duration_seconds
    for row in figures.cancelled:
        series = row.resource, row.mode, row.trigger
        failed, seconds = ended[*series, "error"]
        ended[*series, "error"] = failed - row.executions, round(seconds - row.duration_seconds, 2)
        ended[*series, "cancelled"] = row.executions, row.duration_seconds
    for row in figures.deleted:
        of_status = row.resource, row.mode, row.trigger, row.status
        executions, seconds = ended.get(of_status, (0, 0.0))
        ended[of_status] = executions + row.executions, round(seconds + row.duration_seconds, 2)
    for row in (*figures.counts, *figures.deleted, *figures.unfinished):
        series = row.resource, row.mode, row.trigger
        processed, rejected = totals.get(series, (0, 0))
        totals[series] = processed + row.records_processed, rejected + row.records_rejected
    labels = ["resource", "mode", "trigger", "status"]
    finished = CounterMetricFamily("pncp_executions_finished", "Executions that have ended.", labels=labels)
    lasted = CounterMetricFamily("pncp_execution_duration_seconds", "How long those took, together.", labels=labels)
    for values, (executions, seconds) in ended.items():
        finished.add_metric(values, executions)
        lasted.add_metric(values, seconds)
    records = CounterMetricFamily(
        "pncp_records_processed", "Distinct records processed, by all executions.", labels=labels[:3]
    )
    refused = CounterMetricFamily(
        "pncp_records_rejected", "Records that could not be stored, by all executions.", labels=labels[:3]
    )
    for series, (processed, rejected) in totals.items():
        records.add_metric(series, processed)
        refused.add_metric(series, rejected)
    return [finished, lasted, records, refused]


def _of_unfinished(rows: Rows) -> Iterable[Metric]:
    phases = dict.fromkeys([(mode, phase) for mode in _MODES for phase in ("queued", "running", "waiting")], 0)
    slices = {"ready": 0, "running": 0, "waiting": 0}
    oldest = dict.fromkeys(_MODES, 0.0)
    for row in rows:
        phases[row.mode, row.phase] += 1
        slices["ready"] += row.ready
        slices["running"] += row.running
        slices["waiting"] += row.waiting
        oldest[row.mode] = max(oldest[row.mode], row.queued_for or 0.0)
    unfinished = GaugeMetricFamily(
        "pncp_executions_unfinished", "Executions under way, by phase as in the API.", labels=["mode", "phase"]
    )
    for kind, count in phases.items():
        unfinished.add_metric(kind, count)
    open_slices = GaugeMetricFamily(
        "pncp_slices_unfinished",
        "Slices to be read: free to be claimed, being read, put back for later.",
        labels=["status"],
    )
    for status, count in slices.items():
        open_slices.add_metric([status], count)
    queued = GaugeMetricFamily(
        "pncp_oldest_queued_seconds",
        "How long the oldest execution has waited of which no worker has taken anything; 0 where none waits.",
        labels=["mode"],
    )
    for mode, age in oldest.items():
        queued.add_metric([mode], age)
    return [unfinished, open_slices, queued]


def _of_pool(engine: AsyncEngine) -> Iterable[Metric]:
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return
    yield GaugeMetricFamily("pncp_database_pool_size", "Connections that this process may hold.", pool.size())
    yield GaugeMetricFamily("pncp_database_pool_in_use", "Connections in use now.", pool.checkedout())
