"""Destinations for administrators: state, streams, pause and resume."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError
from backend.language.translator import Language, Text, Translator
from backend.models.destinations import Destinations, DestinationState, DestinationStream, DestinationSummary, FileFault
from backend.services import schedules
from backend.services.deliveries.files import ConnectionFiles, Known, unknown_destination
from backend.services.reading import ReadConnections
from common.connections.reading import Fault
from common.connections.settings import Destination
from common.cron import next_runs
from common.database import run_again
from common.lifecycle.deliveries import SCHEDULE

log = structlog.get_logger(__name__)

# A destination that was never delivered to has no row, and one whose file is gone has nothing else.
_LOAD = text("""
    SELECT wanted.name, d.missing_since, d.stopped_at, d.stopped_reason, coalesce(d.failures, 0) AS failures,
           d.failing_since, d.retry_at, d.last_error, d.last_success_at, d.counted_at,
           now() AS moment, d.retry_at > now() AS is_waiting, s.cron, s.paused_at, s.paused_by, s.pause_reason,
           e.id AS job_id, e.held IS NOT NULL AS is_held
      FROM (SELECT unnest(CAST(:names AS text[])) AS name
             UNION
            SELECT name FROM destinations WHERE CAST(:all AS boolean)) AS wanted
      LEFT JOIN destinations d ON d.name = wanted.name
      LEFT JOIN schedules s ON s.name = :schedule || wanted.name
      LEFT JOIN sync_executions e ON e.kind = 'delivery' AND e.status = 'running' AND e.resource = wanted.name
     ORDER BY wanted.name
""")
# A record stays rejected until it is accepted, also while it is sent again.
_STREAMS = text("""
    SELECT t.destination, t.name, t.entity, t.cursor_at, t.full_at, t.owed, t.oldest_owed_at,
           (SELECT count(*) FROM deliveries WHERE stream_id = t.id AND rejected_since IS NOT NULL) AS rejected
      FROM streams t WHERE t.destination = ANY(CAST(:names AS text[])) ORDER BY t.destination, t.id
""")
_WORKERS = text("""
    SELECT count(*) FROM workers WHERE stopped_at IS NULL AND alive_until > now() AND 'delivery' = ANY(kinds)
""")
_NAMES = text("SELECT name FROM destinations ORDER BY name")
_START = text("""
    UPDATE destinations SET stopped_at = NULL, stopped_reason = NULL, retry_at = NULL, updated_at = now()
     WHERE name = :name AND stopped_at IS NOT NULL
""")


async def list_destinations(reading: ReadConnections, files: ConnectionFiles, language: Language) -> Destinations:
    """All destinations: those with a file, and those that had one."""
    known = await files.load()
    async with reading.connect() as db:
        found = await _load(db, known, known.names, with_gone=True)
        workers: int = (await db.execute(_WORKERS)).scalar_one()
    return Destinations(
        destinations=found,
        faults=[_to_fault(one) for one in known.other_faults],
        workers=workers,
        hint=Translator(language).say(Text("delivery.hint")) if files.folder is None else None,
    )


async def load_destination(reading: ReadConnections, files: ConnectionFiles, name: str) -> DestinationSummary:
    """One destination.

    Raises:
        NotFoundError: there is none of this name.

    """
    known = await files.load()
    async with reading.connect() as db:
        await check_name(db, known, name)
        (found,) = await _load(db, known, [name], with_gone=False)
    return found


async def check_name(db: AsyncConnection, known: Known, name: str) -> None:
    """Raise `NotFoundError`, with the nearest name, for a destination that has neither a file nor a past."""
    if name in known.destinations or name in known.faults:
        return
    names = [*known.names, *(await db.execute(_NAMES)).scalars()]
    if name not in names:
        raise unknown_destination(name, sorted(set(names)))


def no_file(known: Known, name: str) -> ConflictError:
    """The error for a destination of which no file says what it is."""
    if name in known.faults:
        return ConflictError("destination_invalid", name=name, fault=str(known.faults[name][0]))
    return ConflictError("destination_missing", name=name)


async def _load(
    db: AsyncConnection, known: Known, names: Sequence[str], *, with_gone: bool
) -> list[DestinationSummary]:
    rows = (await db.execute(_LOAD, {"names": list(names), "all": with_gone, "schedule": SCHEDULE})).all()
    streams: dict[str, list[Row[Any]]] = {}
    for one in await db.execute(_STREAMS, {"names": [row.name for row in rows]}):
        streams.setdefault(one.destination, []).append(one)
    return [_to_summary(row, known, streams.get(row.name, [])) for row in rows]


def _to_summary(row: Row[Any], known: Known, streams: Sequence[Row[Any]]) -> DestinationSummary:
    file = known.destinations.get(row.name)
    faults = known.faults.get(row.name, ())
    cron = None if file is None else row.cron or file.schedule
    runs = next_runs(cron, row.moment, 1) if cron and row.paused_at is None else []
    shown = _to_streams(file, streams, known)
    names = (
        *("job_id", "last_success_at", "failing_since", "failures", "retry_at", "last_error"),
        *("stopped_at", "stopped_reason", "paused_at", "paused_by", "pause_reason", "missing_since"),
    )
    return DestinationSummary(
        name=row.name,
        kind=None if file is None else file.kind,
        preset=None if file is None else file.preset,
        host=None if file is None else host_of(file),
        state=_state_of(row, has_file=file is not None, has_faults=bool(faults)),
        cron=cron,
        after=None if file is None else file.after,
        next_run=runs[0] if runs else None,
        streams=shown,
        owed=None if row.counted_at is None else sum(one.owed for one in shown),
        owed_counted_at=row.counted_at,
        oldest_owed_at=min((one.oldest_owed_at for one in shown if one.oldest_owed_at is not None), default=None),
        rejected=sum(one.rejected for one in shown),
        faults=[_to_fault(one) for one in faults],
        **{name: getattr(row, name) for name in names},
    )


def _state_of(row: Row[Any], *, has_file: bool, has_faults: bool) -> DestinationState:
    """The first word that holds: what a person has to do something about stands first."""
    words: list[tuple[DestinationState, bool]] = [
        ("invalid", has_faults),
        ("missing", not has_file),
        ("stopped", row.stopped_at is not None),
        ("held", bool(row.is_held)),
        ("paused", row.paused_at is not None),
        ("waiting", bool(row.is_waiting)),
        ("running", row.job_id is not None),
    ]
    return next((word for word, holds in words if holds), "ok")


def _to_streams(file: Destination | None, rows: Sequence[Row[Any]], known: Known) -> list[DestinationStream]:
    """Those of the file, and of a file that is gone those that it had."""
    past = {row.name: row for row in rows}
    if file is not None:
        named = [(stream.name, stream.entity.name, stream.entity.label) for stream in file.streams]
    else:
        labels = {name: entity.label for name, entity in known.entities.items()}
        named = [(row.name, row.entity, labels.get(row.entity, row.entity)) for row in rows]
    return [_to_stream(name, entity, label, past.get(name)) for name, entity, label in named]


def _to_stream(name: str, entity: str, label: str, past: Row[Any] | None) -> DestinationStream:
    """`past`: absent where no delivery has looked at the stream yet."""
    return DestinationStream(
        name=name,
        entity=entity,
        label=label,
        owed=past.owed if past else 0,
        oldest_owed_at=past.oldest_owed_at if past else None,
        rejected=past.rejected if past else 0,
        cursor_at=past.cursor_at if past else None,
        full_at=past.full_at if past else None,
    )


def host_of(file: Destination) -> str | None:
    """The host of a destination, unless its address refers to a secret."""
    return None if file.url.literal is None else urlsplit(file.url.literal).hostname


def _to_fault(fault: Fault) -> FileFault:
    return FileFault(file=fault.file, line=fault.line or None, message=fault.message)


@run_again
async def pause_destination(engine: AsyncEngine, files: ConnectionFiles, name: str, *, reason: str, who: str) -> None:
    """Send nothing more to a destination until it is resumed.

    Raises:
        NotFoundError: there is none of this name.
        ConflictError: it is paused already; who did it and why stays.

    """
    known = await files.load()
    async with engine.begin() as db:
        await check_name(db, known, name)
        if not await schedules.pause(db, SCHEDULE + name, reason=reason, who=who):
            raise ConflictError("destination_paused", name=name)
    log.info("destination paused", destination=name, who=who, reason=reason)


@run_again
async def resume_destination(engine: AsyncEngine, files: ConnectionFiles, name: str, *, who: str) -> None:
    """Let a destination that was paused, or that wanted no more, receive again.

    Raises:
        NotFoundError: there is none of this name.
        ConflictError: it is neither paused nor stopped.

    """
    known = await files.load()
    async with engine.begin() as db:
        await check_name(db, known, name)
        resumed = await schedules.resume(db, SCHEDULE + name, who=who)
        started = bool((await db.execute(_START, {"name": name})).rowcount)
        if not resumed and not started:
            raise ConflictError("destination_not_paused", name=name)
    log.info("destination resumed", destination=name, who=who, was_stopped=started)
