"""Findings: what is wrong at present, read from the database. Nothing is written here.

`sync`: executions that failed and were not made good since, or overdue updates. Both are one kind, so that a night in
which the portal is down is one message. `empty`: listings that were empty and never are. `rejected`: days with records
that could not be stored. `itens`: records without their items for over a day, or given up. `drift`: fields that do
not fit their columns. `database`: the database answers and does not store. `source`: the portal refuses us or does not
answer; failures caused by that are not reported as `sync` as well. `delivery:<destination>`: a destination that fails,
wants no more, rejects, or whose delivery waits for an administrator. `import`: files of the watched folder that were
refused, and rows that wait for over a day for records that they refer to. `extract:<source>`: a source that cannot be
read, or whose reading waits for an administrator.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.language.translator import Text, Translator, say
from backend.services.alerts.destinations import look_at_destinations
from backend.services.alerts.imports import look_at_imports
from backend.services.alerts.sentences import DELIVERY, EXTRACT, IMPORT, Details, family_of, of_resource, summarise
from backend.services.alerts.sources import look_at_sources
from backend.services.deliveries.files import ConnectionFiles
from backend.services.failures import LOOK_BACK, is_explained, load_pending
from backend.services.freshness import load_marks, load_mirrored, reached_by
from backend.services.outages import load_last_end, load_outages
from backend.services.owed import DRIFT_FOR, load_causes, load_drift, load_owed
from backend.services.rejections import load_rejected_days
from backend.services.sources import faults_of
from common.clock import to_wall_clock
from common.config import schedule_name
from common.cron import next_runs
from common.lifecycle import slices
from common.resources import RESOURCES

MOST_SHOWN = 100
LONGEST_ERROR = 300

OWED_TOO_LONG = timedelta(days=1)
SUSPECT_FOR = timedelta(days=2)
RECENT_DAYS = 35
WEEKS = 8
FEWEST_WEEKS = 4
FEWEST_IN_LISTING = 50
"""The fewest records of a modalidade's usual day: one that has a handful a day has none on holidays."""
UPDATES_HOURS = 3
FEWEST_IN_UPDATES = 50

_LOAD_UPDATES_STATE = text("""
    SELECT (SELECT finished_at FROM sync_executions
             WHERE kind = 'sync' AND resource = :resource AND mode = 'update' AND status = 'success'
             ORDER BY id DESC LIMIT 1) AS last_success,
           s.cron, s.effective_at, s.paused_at IS NOT NULL AS is_paused
      FROM (SELECT 1) AS one LEFT JOIN schedules s ON s.name = :schedule
""")
_LISTED = """unnest(CAST(:resources AS text[]), CAST(:criterios AS text[])) AS listed (resource, criterio)"""
# What each day has brought, of the days that a backfill which succeeded has lately read.
_LOAD_EMPTY = text(
    """
    WITH judged AS (
        SELECT DISTINCT d.resource, d.criterio, d.day
          FROM """  # noqa: S608  # constants of ours
    + _LISTED
    + """
          JOIN read_days d USING (resource, criterio)
          JOIN sync_executions e ON e.id = d.execution_id
         WHERE d.day >= :first_day AND d.day < :today AND e.status = 'success' AND e.finished_at > :since
    )
    SELECT d.resource, d.day, d.part, d.records, d.records = 0 AND d.complete_at > :since AS is_empty
      FROM judged JOIN read_days d USING (resource, criterio, day)
     ORDER BY array_position(CAST(:resources AS text[]), d.resource), d.day, d.part
"""
)
_LOAD_READINGS = text(
    """
    SELECT d.resource, d.day, d.part, d.records
      FROM """  # noqa: S608  # constants of ours
    + _LISTED
    + """ JOIN read_days d USING (resource, criterio)
     WHERE d.day = ANY(CAST(:days AS date[]))
"""
)
_LOAD_UPDATED = text("""
    SELECT asked.resource, weeks, count(e.id) AS executions, coalesce(sum(e.records_processed), 0) AS records
      FROM unnest(CAST(:resources AS text[])) AS asked (resource)
     CROSS JOIN generate_series(0, :weeks) AS weeks
      LEFT JOIN sync_executions e
             ON e.kind = 'sync' AND e.resource = asked.resource AND e.mode = 'update' AND e.status = 'success'
            AND e.created_at > CAST(:now AS timestamptz) - make_interval(weeks => weeks, hours => :hours)
            AND e.created_at <= CAST(:now AS timestamptz) - make_interval(weeks => weeks)
     GROUP BY asked.resource, weeks ORDER BY asked.resource, weeks
""")
_LOAD_UPDATED_SINCE = text("""
    SELECT coalesce(sum(records_processed), 0) FROM sync_executions
     WHERE kind = 'sync' AND resource = :resource AND mode = 'update' AND status = 'success'
       AND created_at > :since
""")


@dataclass(frozen=True)
class Rules:
    """The thresholds of alerts; `None` switches one off."""

    no_success: timedelta | None
    reminder: timedelta | None
    schedule_enabled: bool
    update_crons: Mapping[str, str]
    """The cron of each resource's updates, by the name of the resource."""
    connections: ConnectionFiles | None = None
    """Whose faults are reported."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong at present: a line for people, and details for JSON."""

    kind: str
    summary: str
    details: Details

    @classmethod
    def of(cls, kind: str, details: Details) -> "Finding":
        """A finding with its line in Portuguese, as it is stored."""
        return cls(kind, Translator().say(summarise(kind, details)), details)


async def look(
    db: AsyncConnection, rules: Rules, now: datetime, *, watching_since: datetime, known: Mapping[str, Details]
) -> list[Finding]:
    """The findings at `now` (aware).

    `known`: the details of the open episodes, by kind. `watching_since`: when this process began to evaluate; overdue
    updates are counted from there at the earliest.
    """
    outage = await _look_at_source(db, now, known.get("source"))
    findings = [
        outage,
        await _look_at_syncs(
            db, rules, now, watching_since, known.get("sync"), outage=_Outage(outage, "source" in known)
        ),
        await _look_for_empty(db, now, known.get("empty")),
        await _look_for_rejected(db, now),
        await _look_at_database(db),
        await _look_for_owed(db, now),
        await _look_for_drift(db),
        *await _look_at_destinations(db, rules.connections),
        await _look_at_imports(db),
        *await _look_at_sources(db, rules.connections),
    ]
    return [finding for finding in findings if finding is not None]


# --- executions that fail, updates that do not come -------------------------------------------------------------


@dataclass(frozen=True)
class _Outage:
    """The portal's outage, if there is one, and whether there was one at the last evaluation."""

    finding: Finding | None
    was_known: bool

    def explains(self, failed: Row[Any]) -> bool:
        """Whether an execution failed because of it and needs no action at present."""
        return is_explained(failed, is_out=self.finding is not None)

    async def load_end(self, db: AsyncConnection, now: datetime) -> datetime | None:
        """Until when an outage has prevented updates."""
        return now if self.finding is not None or self.was_known else await load_last_end(db)


async def _look_at_syncs(
    db: AsyncConnection,
    rules: Rules,
    now: datetime,
    watching_since: datetime,
    known: Details | None,
    *,
    outage: _Outage,
) -> Finding | None:
    failed = [_described(row) for row in await load_pending(db, now) if not outage.explains(row)]
    # an open episode does not end because this process is new
    begun = [] if known and known.get("overdue") else [watching_since, await outage.load_end(db, now)]
    late = [
        found for resource in rules.update_crons if (found := await _look_at_updates(db, rules, now, resource, begun))
    ]
    if not failed and not late:
        return None
    details = merge_failures(known, failed) | {"overdue": bool(late), "late": late}
    return Finding.of("sync", details)


async def _look_at_updates(
    db: AsyncConnection, rules: Rules, now: datetime, resource: str, begun: Sequence[datetime | None]
) -> Details | None:
    """The details of a resource whose updates are overdue; `None` if they are not."""
    names = {"resource": resource, "schedule": schedule_name(resource, "update")}
    state = (await db.execute(_LOAD_UPDATES_STATE, names)).one()
    if rules.no_success is None or not rules.schedule_enabled or state.is_paused:
        return None
    reached = reached_by(await load_marks(db, resource, await load_mirrored(db, resource)))
    cron, limit = state.cron or rules.update_crons[resource], rules.no_success
    if not is_overdue(cron, now, limit=limit, last=[reached, state.effective_at, *begun]):
        return None
    return {
        "resource": resource,
        "has_gap": not is_overdue(cron, now, limit=limit, last=[state.last_success]),
        "last_success_at": None if state.last_success is None else state.last_success.isoformat(),
        "updated_until": None if reached is None else reached.isoformat(),
    }


def is_overdue(cron: str, now: datetime, *, limit: timedelta, last: Iterable[datetime | None]) -> bool:
    """Whether there was no update for `limit`, although one was due for half of that time (all aware).

    `last`: moments to count from; the latest one is used.
    """
    since = max((moment for moment in last if moment is not None), default=None)
    if since is None:
        return True
    if now - since < limit:
        return False
    due = next_runs(cron, since, 1)
    return bool(due) and now - due[0] >= limit / 2


def merge_failures(known: Details | None, failed: Sequence[Details]) -> Details:
    """The failures of an episode, newest first; earlier ones are pending only if they are among `failed`.

    All are counted by their ids; of very many, the pending ones and the newest are listed.
    """
    before = {one["id"]: {**one, "is_pending": False} for one in (known or {}).get("executions", [])}
    together = before | {one["id"]: {**one, "is_pending": True} for one in failed}
    told = sorted(together.values(), key=lambda one: (one["is_pending"], one["id"]), reverse=True)[:MOST_SHOWN]
    told.sort(key=lambda one: int(one["id"]), reverse=True)
    seen = {*(known or {}).get("execution_ids", []), *together}
    return {"executions": told, "execution_ids": sorted(seen, reverse=True), "pending": len(failed)}


def _described(row: Row[Any]) -> Details:
    window = (row.window_start, row.window_end)
    return {
        "id": row.id,
        "resource": row.resource,
        "mode": row.mode,
        "criterio": row.criterio,
        "trigger": row.trigger,
        "window_start": None if window[0] is None else window[0].isoformat(),
        "window_end": None if window[1] is None else window[1].isoformat(),
        "finished_at": row.finished_at.isoformat(),
        "cause": row.cause,
        "error_message": one_line(row.error_message or say("mail.unexplained")),
    }


def one_line(words: str) -> str:
    """Text for a message: one line, without control characters, of limited length."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in words).split())
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]}..."


# --- a database that does not store -----------------------------------------------------------------------------


async def _look_at_source(db: AsyncConnection, now: datetime, known: Details | None) -> Finding | None:
    rows = await load_outages(db, now, is_known=known is not None)
    if not rows:
        return None
    details: Details = {
        "services": [
            {
                "service": row.service,
                "reason": row.reason,
                "cause": row.cause,
                "error_message": one_line(row.error_message or say("mail.unexplained")),
                "failing_since": row.failing_since.isoformat(),
                "next_try_at": row.next_try_at.isoformat(),
            }
            for row in rows
        ]
    }
    return Finding.of("source", details)


async def _look_at_database(db: AsyncConnection) -> Finding | None:
    error = await slices.database_trouble(db)
    if error is None:
        return None
    return Finding.of("database", {"error_message": one_line(error)})


# --- listings that are empty ------------------------------------------------------------------------------------


async def _look_for_empty(db: AsyncConnection, now: datetime, known: Details | None) -> Finding | None:
    listings = await _find_empty_days(db, now)
    quiet = await _find_quiet_updates(db, now, known)
    if not listings and not quiet:
        return None
    details = {"listings": listings, "quiet": quiet}
    return Finding.of("empty", details)


async def _find_empty_days(db: AsyncConnection, now: datetime) -> list[Details]:
    today = to_wall_clock(now).date()
    listed = {
        "resources": [resource.name for resource in RESOURCES],
        "criterios": [resource.day_criterio for resource in RESOURCES],
    }
    judged = {"since": now - SUSPECT_FOR, "first_day": today - timedelta(days=RECENT_DAYS), "today": today}
    empty: dict[tuple[str, date], list[int]] = {}
    filled: dict[tuple[str, date], int] = {}
    for row in await db.execute(_LOAD_EMPTY, {**listed, **judged}):
        listing = row.resource, row.day
        filled[listing] = filled.get(listing, 0) + row.records
        if row.is_empty:
            empty.setdefault(listing, []).append(row.part)
    if not empty:
        return []
    past_days = {day - timedelta(weeks=weeks) for _, day in empty for weeks in range(1, WEEKS + 1)}
    readings: dict[tuple[str, date], dict[int, int]] = {}
    for reading in await db.execute(_LOAD_READINGS, {**listed, "days": sorted(past_days)}):
        readings.setdefault((reading.resource, reading.day), {})[reading.part] = reading.records
    found: list[Details] = []
    for (resource, day), parts in empty.items():
        weeks_before = [(resource, day - timedelta(weeks=n)) for n in range(1, WEEKS + 1)]
        past = [readings[listing] for listing in weeks_before if listing in readings]
        found += [{"resource": resource, **one} for one in judge_day(day, filled[resource, day], parts, past)]
    return found


def judge_day(
    day: date, records: int, empty: Sequence[int], past: Sequence[Mapping[int, int]]
) -> list[dict[str, str | int | None]]:
    """What is suspicious about a day: the whole day, or its empty modalidades that never are empty.

    `records`: the records of the whole day; `past`: the records of each modalidade on the same weekday, per week.
    """
    if records == 0 and is_suspicious([sum(week.values()) for week in past], fewest=1):
        return [{"day": day.isoformat(), "modalidade": None}]
    return [
        {"day": day.isoformat(), "modalidade": modalidade}
        for modalidade in empty
        if is_suspicious([week[modalidade] for week in past if modalidade in week], fewest=FEWEST_IN_LISTING)
    ]


def is_suspicious(past: Sequence[int], *, fewest: int) -> bool:
    """Whether this many records in each of the past weeks make an empty listing unsuspicious."""
    return len(past) >= FEWEST_WEEKS and min(past) >= fewest


async def _find_quiet_updates(db: AsyncConnection, now: datetime, known: Details | None) -> dict[str, str]:
    """The resources whose updates succeed without any record although at this time of the week there always are some.

    Each with the moment since when.
    """
    quiet: dict[str, str] = {}
    for resource, since in (known or {}).get("quiet", {}).items():
        # at night there may be no records: only a record proves that there can be some
        began = datetime.fromisoformat(since)
        brought = (await db.execute(_LOAD_UPDATED_SINCE, {"resource": resource, "since": began})).scalar_one()
        if not brought and now - began <= SUSPECT_FOR:
            quiet[resource] = since
    others = [resource.name for resource in RESOURCES if resource.name not in (known or {}).get("quiet", {})]
    asked = {"resources": others, "now": now, "weeks": WEEKS, "hours": UPDATES_HOURS}
    weeks_of: dict[str, list[Row[Any]]] = {}
    for row in await db.execute(_LOAD_UPDATED, asked):
        weeks_of.setdefault(row.resource, []).append(row)
    for resource, (this, *weeks) in weeks_of.items():
        past = [week.records for week in weeks if week.executions]
        if this.executions and not this.records and is_suspicious(past, fewest=FEWEST_IN_UPDATES):
            quiet[resource] = (now - timedelta(hours=UPDATES_HOURS)).isoformat()
    return quiet


# --- records that could not be stored ---------------------------------------------------------------------------


async def _look_for_rejected(db: AsyncConnection, now: datetime) -> Finding | None:
    rejected = await load_rejected_days(db, now)
    if not rejected:
        return None
    details: Details = {
        "records": sum(one.records for one in rejected),
        "days": [{"day": one.day.isoformat(), "records": one.records} for one in rejected if one.day is not None],
    }
    return Finding.of("rejected", details)


# --- items that are owed, fields that drift ---------------------------------------------------------------------


async def _look_for_owed(db: AsyncConnection, now: datetime) -> Finding | None:
    _, *rows = await load_owed(db)
    late = [row for row in rows if row.set_aside or now - row.since >= OWED_TOO_LONG]
    if not late:
        return None
    resources = [
        {
            "resource": row.resource,
            "records": row.count,
            "since": row.since.isoformat(),
            "set_aside": row.set_aside,
        }
        for row in late
    ]
    names = {row.resource for row in late}
    causes = [
        {"resource": row.resource, "reason": row.reason, "cause": row.cause, "records": row.records}
        for row in await load_causes(db)
        if row.resource in names
    ]
    return Finding.of("itens", {"resources": resources, "causes": causes})


async def _look_for_drift(db: AsyncConnection) -> Finding | None:
    rows = await load_drift(db, within=DRIFT_FOR)
    if not rows:
        return None
    fields = [
        {"resource": row.resource, "path": row.path, "kind": row.kind, "first_seen": row.first_seen.isoformat()}
        for row in sorted(rows, key=lambda row: (row.resource, row.path, row.kind))
    ]
    return Finding.of("drift", {"fields": fields})


# --- deliveries to other systems ---------------------------------------------------------------------------------


async def _look_at_destinations(db: AsyncConnection, files: ConnectionFiles | None) -> list[Finding]:
    faults = {} if files is None else (await files.load()).faults
    said = {name: [one_line(str(fault)) for fault in of][:MOST_SHOWN] for name, of in faults.items()}
    found = await look_at_destinations(db, said)
    return [Finding.of(f"{DELIVERY}:{name}", details) for name, details in found.items()]


async def _look_at_imports(db: AsyncConnection) -> Finding | None:
    details = await look_at_imports(db)
    return None if details is None else Finding.of(IMPORT, details)


async def _look_at_sources(db: AsyncConnection, files: ConnectionFiles | None) -> list[Finding]:
    faults = {} if files is None else faults_of(await files.load())
    said = {name: [one_line(str(fault)) for fault in of][:MOST_SHOWN] for name, of in faults.items()}
    found = await look_at_sources(db, said)
    return [Finding.of(f"{EXTRACT}:{name}", details) for name, details in found.items()]


# --- how it ended -----------------------------------------------------------------------------------------------


async def explain_end(db: AsyncConnection, kind: str, known: Details, now: datetime) -> list[Text]:
    """Why the problem in `known` has ended."""
    if kind != "sync":
        return [Text(f"alert.end.{family_of(kind)}", {"days": DRIFT_FOR.days} if kind == "drift" else {})]
    reasons = []
    pending = [one for one in known["executions"] if one["is_pending"]]
    if any(now - datetime.fromisoformat(one["finished_at"]) >= LOOK_BACK for one in pending):
        reasons.append(Text("alert.end.given_up", {"days": LOOK_BACK.days}))
    elif pending:
        reasons.append(Text("alert.end.made_good"))
    return reasons + [of_resource(late["resource"], await _explain_updates(db, late)) for late in known.get("late", [])]


async def _explain_updates(db: AsyncConnection, late: Details) -> Text:
    resource = late["resource"]
    names = {"resource": resource, "schedule": schedule_name(resource, "update")}
    state = (await db.execute(_LOAD_UPDATES_STATE, names)).one()
    if state.is_paused:
        return Text("alert.end.schedule_paused")
    if late["has_gap"]:
        return Text("alert.end.gap_read")
    if state.last_success is not None and state.last_success.isoformat() != late["last_success_at"]:
        return Text("alert.end.updated", {"at": state.last_success.isoformat()})
    return Text("alert.end.schedule_changed")
