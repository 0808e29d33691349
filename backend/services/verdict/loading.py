"""Loads what the verdict follows from. Figures over many days change only with executions: they are loaded apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.language.translator import Text
from backend.models.dashboard import ItensOwed, ListOwed, SourceState
from backend.services.alerts.sentences import summarise
from backend.services.failures import is_explained
from backend.services.freshness import reached_by
from backend.services.goals import list_goals
from backend.services.outages import load_outages
from backend.services.publisher import BrokerState
from backend.services.rejections import RejectedDay
from backend.services.verdict.state import (
    Acknowledged,
    Broker,
    Days,
    Drifted,
    Failed,
    GoalState,
    Mirror,
    MirrorOf,
    OpenAlert,
    Outage,
    Owed,
    Pause,
    PausedSchedule,
    Rejected,
    Updates,
)
from common.clock import to_wall_clock
from common.config import ScheduleSettings, schedule_name, to_action
from common.lifecycle import slices
from common.resources import LABELS, RESOURCES_BY_NAME
from common.resources.description import CRITERIOS
from common.watermarks import Watermark

OWED_TOO_LONG = timedelta(days=1)
"""Empty lists that nothing confirms yet are ordinary for so long."""

# A standby in recovery is read-only too. The newest rejection that still counts says whether there is a newer one than
# those that were acknowledged.
_NOW = text("""
    SELECT current_setting('transaction_read_only') = 'on' AS is_read_only,
           (SELECT max(LEAST(coalesce(stopped_at, alive_until), now())) FROM workers
             WHERE 'sync' = ANY(kinds)) AS no_worker_since
""")
_SCHEDULES = text("SELECT name, cron, effective_at, paused_at, paused_by, pause_reason FROM schedules ORDER BY name")
_ALERTS = text("SELECT id, kind, summary, details, opened_at FROM alerts WHERE resolved_at IS NULL ORDER BY id")
_ACKNOWLEDGED = text("SELECT id, fingerprint, acknowledged_by, acknowledged_at FROM acknowledgements")
_NEWEST_REJECTED = text("SELECT coalesce(max(id), 0) FROM rejected_records WHERE resolved_at IS NULL")
_LAST_SUCCESS = text("""
    SELECT finished_at FROM sync_executions
     WHERE kind = 'sync' AND resource = :resource AND mode = 'update' AND status = 'success'
     ORDER BY id DESC LIMIT 1
""")
# The closed days that were ever asked for: read whole, failed, or still to be read. A day that was read whole is
# complete whatever failed later. What was cut off by a cancellation is missing and not failed. Only slices of days that
# are not in the ledger are looked at, by the indexes of failed and of unfinished ones.
_DAYS = """
    WITH whole AS (
        SELECT day, part, began_at FROM read_days
         WHERE resource = :resource AND criterio = '{criterio}' AND day < :today
    ), open_slices AS (
        SELECT first_day, part, cause <> 'cut_off' AS failed FROM sync_slices
         WHERE mode = 'backfill' AND status = 'error' AND resource = :resource AND criterio = '{criterio}'
         UNION ALL
        SELECT first_day, part, false FROM sync_slices
         WHERE mode = 'backfill' AND status IN ('pending', 'running') AND resource = :resource
           AND criterio = '{criterio}'
    ), others AS (
        SELECT first_day AS day, part, bool_or(failed) AS failed
          FROM open_slices s
         WHERE first_day < :today AND NOT EXISTS (SELECT FROM whole w WHERE w.day = s.first_day AND w.part = s.part)
         GROUP BY 1, 2
    ), parts AS (
        SELECT count(*) AS wanted FROM (SELECT part FROM whole UNION SELECT part FROM others) AS every_part
    ), days AS (
        SELECT day, count(*) FILTER (WHERE is_whole) AS read, bool_or(failed) AS failed
          FROM (SELECT day, true AS is_whole, false AS failed FROM whole
                 UNION ALL
                SELECT day, false, failed FROM others) AS pairs
         GROUP BY day
    ), rejected AS (
        SELECT DISTINCT r.day
          FROM rejected_records r JOIN whole w ON w.day = r.day AND w.part = r.part
         WHERE r.resolved_at IS NULL AND r.resource = ANY(CAST(:tables AS text[])) AND r.last_seen >= w.began_at
    )
    SELECT count(*) AS days, min(d.day) AS first,
           count(*) FILTER (WHERE NOT failed AND read >= wanted AND r.day IS NULL) AS complete,
           count(*) FILTER (WHERE failed) AS failed,
           count(*) FILTER (WHERE failed OR read < wanted) AS missing,
           count(*) FILTER (WHERE NOT failed AND read >= wanted AND r.day IS NOT NULL) AS rejected
      FROM days d CROSS JOIN parts LEFT JOIN rejected r ON r.day = d.day
"""
# written out, so that each is answered from the index of its listing
_DAYS_BY = {criterio: text(_DAYS.format(criterio=criterio)) for criterio in CRITERIOS}


@dataclass(frozen=True)
class Lately:
    """What only executions change, and what a minute's delay does not make wrong."""

    failed: Sequence[Row[Any]]
    rejected: Rejected
    owed: Sequence[Owed]
    drift: Sequence[Drifted]
    asked: Mapping[str, Days]
    last_success: Mapping[str, datetime | None]
    goals: Mapping[str, GoalState]


async def load_lately(
    db: AsyncConnection,
    now: datetime,
    settings: ScheduleSettings,
    *,
    failed: Sequence[Row[Any]],
    rejected: Sequence[RejectedDay],
    itens: ItensOwed,
    lists: Sequence[ListOwed],
    drift: Sequence[Any],
) -> Lately:
    """Load it; what the dashboard shows anyway is handed in."""
    newest = (await db.execute(_NEWEST_REJECTED)).scalar_one()
    kept = list(settings.update_crons)
    return Lately(
        failed=failed,
        rejected=Rejected(sum(one.records for one in rejected), sum(one.day is not None for one in rejected), newest),
        owed=[*_owed_itens(itens, now), *_owed_lists(lists)],
        drift=[Drifted(f"{one.resource}.{one.path}", one.kind, one.records) for one in drift],
        asked={resource: await load_asked_days(db, resource, to_wall_clock(now).date()) for resource in kept},
        last_success={
            resource: (await db.execute(_LAST_SUCCESS, {"resource": resource})).scalar_one_or_none()
            for resource in kept
        },
        goals=await _load_goals(db, settings),
    )


async def load_asked_days(db: AsyncConnection, name: str, today: date) -> Days:
    """The closed days of a resource that were ever asked for, by what is known of them."""
    resource = RESOURCES_BY_NAME[name]
    asked = {"resource": name, "tables": resource.tables, "today": today}
    return Days(**(await db.execute(_DAYS_BY[resource.day_criterio], asked)).one()._mapping)  # noqa: SLF001


async def load_mirror(
    db: AsyncConnection,
    now: datetime,
    settings: ScheduleSettings,
    *,
    lately: Lately,
    marks: Mapping[str, Mapping[int, Watermark | None]],
    workers: int,
    has_executions: bool,
    source: Sequence[SourceState],
    broker: BrokerState | None,
) -> Mirror:
    """Load everything else."""
    known = (await db.execute(_NOW)).one()
    schedules = {row.name: row for row in await db.execute(_SCHEDULES)}
    alerts = [OpenAlert(row.id, row.kind, _summary_of(row), row.opened_at) for row in await db.execute(_ALERTS)]
    outages = await load_outages(db, now, is_known=any(one.kind == "source" for one in alerts))
    is_out = bool(outages)
    trouble = await slices.database_trouble(db)
    return Mirror(
        now=now,
        has_executions=has_executions,
        workers=workers,
        no_worker_since=known.no_worker_since,
        database="read-only" if known.is_read_only else "ok" if trouble is None else "failing",
        database_error=trouble,
        broker=None if broker is None else Broker(broker.state, broker.messages, broker.is_unconsumed),
        resources=[
            MirrorOf(
                resource,
                LABELS[resource],
                _to_updates(resource, settings, schedules, marks[resource], lately),
                lately.asked.get(resource, Days()),
                lately.goals.get(resource),
            )
            for resource in dict.fromkeys([*settings.update_crons, *lately.goals])
        ],
        outages=_to_outages(source, {row.service for row in outages}),
        failed=[_to_failed(row) for row in lately.failed if not is_explained(row, is_out=is_out)],
        rejected=lately.rejected,
        owed=lately.owed,
        drift=lately.drift,
        alerts=alerts,
        paused=_to_paused(schedules, settings),
        acknowledged={row.id: Acknowledged(*row[1:]) for row in await db.execute(_ACKNOWLEDGED)},
    )


async def _load_goals(db: AsyncConnection, settings: ScheduleSettings) -> dict[str, GoalState]:
    """What is to be kept complete, by resource."""
    return {
        one.resource: GoalState(
            one.from_day,
            one.days,
            one.days_complete,
            one.days_missing,
            one.days_failed,
            one.days_rejected,
            Pause(one.paused_at, one.paused_by or "", one.pause_reason or "") if one.paused_at else None,
            one.hours_left,
        )
        for one in await list_goals(db, settings.goals)
        if one.from_day is not None
    }


def _to_updates(
    resource: str,
    settings: ScheduleSettings,
    schedules: Mapping[str, Row[Any]],
    marks: Mapping[int, Watermark | None],
    lately: Lately,
) -> Updates | None:
    """`None` for a resource that is not kept up to date."""
    default = settings.update_crons.get(resource)
    if default is None:
        return None
    row = schedules.get(schedule_name(resource, "update"))
    return Updates(
        cron=(row.cron if row else None) or default,
        is_scheduled=settings.schedule_enabled,
        pause=_pause_of(row),
        counts_from=row.effective_at if row else None,
        updated_until=reached_by(marks) if marks else None,
        parts=len(marks),
        parts_missing=sum(mark is None for mark in marks.values()),
        last_success_at=lately.last_success[resource],
        has_complete_day=bool(marks) and all(mark is not None and mark.complete_from for mark in marks.values()),
    )


def _pause_of(row: Row[Any] | None) -> Pause | None:
    return None if row is None or row.paused_at is None else Pause(row.paused_at, row.paused_by, row.pause_reason)


def _to_paused(schedules: Mapping[str, Row[Any]], settings: ScheduleSettings) -> list[PausedSchedule]:
    return [
        PausedSchedule(name, to_action(name)[1], pause)
        for name in settings.crons
        if (pause := _pause_of(schedules.get(name))) is not None
    ]


def _to_outages(source: Sequence[SourceState], long: set[str]) -> list[Outage]:
    return [
        Outage(
            one.service,
            one.reason,
            one.cause,
            one.error_message,
            one.failing_since,
            one.next_try_at,
            is_long=one.service in long,
        )
        for one in source
    ]


def _summary_of(alert: Row[Any]) -> Text | str:
    try:
        return summarise(alert.kind, alert.details)
    except KeyError:  # of an earlier version
        return str(alert.summary)


def _to_failed(row: Row[Any]) -> Failed:
    return Failed(row.id, row.resource, row.mode, row.cause, row.error_message, row.finished_at, row.can_retry)


def _owed_itens(itens: ItensOwed, now: datetime) -> list[Owed]:
    """Lists that could not be read, or were given up, or are empty for too long without a confirmation."""
    return [
        Owed(
            one.resource,
            "itens",
            one.label,
            one.count,
            one.set_aside,
            one.since,
            [
                Text(f"owed.{cause.reason}", {"records": cause.records})
                for cause in itens.causes
                if cause.resource == one.resource
            ],
            "\n".join(cause.cause for cause in itens.causes if cause.resource == one.resource and cause.cause) or None,
        )
        for one in itens.resources
        if one.unread or one.set_aside or (one.since is not None and now - one.since >= OWED_TOO_LONG)
    ]


def _owed_lists(lists: Sequence[ListOwed]) -> list[Owed]:
    """Lists that are only read later count where they were given up: to wait is their ordinary way."""
    return [
        Owed(one.resource, one.list, one.label, one.set_aside, one.set_aside, one.since)
        for one in lists
        if one.set_aside
    ]
