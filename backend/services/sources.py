"""Sources for administrators: state, readings that are asked for, pause and resume."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.models.destinations import FileFault
from backend.models.sources import ReadRequest, SourceEntityState, Sources, SourceState, SourceSummary
from backend.services import schedules
from backend.services.deliveries.files import ConnectionFiles, Known
from backend.services.idempotency import find_earlier
from backend.services.reading import ReadConnections
from common.connections.loading import SOURCES
from common.connections.reading import Fault
from common.connections.settings import Source
from common.connections.sources import kind_of
from common.cron import next_runs
from common.database import in_transaction, run_again
from common.lifecycle import Mode, intake, jobs
from common.lifecycle.intake import DELTA, SCHEDULE

log = structlog.get_logger(__name__)

MODES: Mapping[str, Mode] = {"full": "backfill", "delta": "update"}

# A source that was never read has no row, and one whose file is gone has nothing else.
_LOAD = text("""
    SELECT wanted.name, o.missing_since, o.last_success_at, o.last_error, now() AS moment, s.cron, s.paused_at,
           s.paused_by, s.pause_reason, d.cron AS delta, e.id AS job_id, e.held IS NOT NULL AS is_held,
           EXISTS (SELECT FROM sync_slices p WHERE p.execution_id = e.id AND p.status = 'pending'
                                               AND p.run_after > now()) AS is_waiting
      FROM (SELECT unnest(CAST(:names AS text[])) AS name
             UNION
            SELECT name FROM sources WHERE CAST(:all AS boolean)) AS wanted
      LEFT JOIN sources o ON o.name = wanted.name
      LEFT JOIN schedules s ON s.name = :schedule || wanted.name
      LEFT JOIN schedules d ON d.name = :schedule || wanted.name || :delta
      LEFT JOIN sync_executions e ON e.kind = 'intake' AND e.trigger <> 'import' AND e.status = 'running'
                                 AND e.resource = wanted.name
     ORDER BY wanted.name
""")
_ENTITIES = text("""
    SELECT source, entity, full_at, rows, without_cursor, columns FROM source_entities
     WHERE source = ANY(CAST(:names AS text[])) ORDER BY source, id
""")
_WORKERS = text("""
    SELECT count(*) FROM workers WHERE stopped_at IS NULL AND alive_until > now() AND 'intake' = ANY(kinds)
""")
_NAMES = text("SELECT name FROM sources ORDER BY name")


class ReadingRunningError(ConflictError):
    """The source is being read already; the answer says where."""

    def __init__(self, name: str, job_id: int) -> None:
        super().__init__("reading_running", name=name, id=job_id)
        self.headers = {"Location": f"/jobs/{job_id}"}


async def list_sources(reading: ReadConnections, files: ConnectionFiles) -> Sources:
    """All sources: those with a file, and those that had one."""
    known = await files.load()
    async with reading.connect() as db:
        found = await _load(db, known, _names_of(known), with_gone=True)
        workers: int = (await db.execute(_WORKERS)).scalar_one()
    return Sources(sources=found, workers=workers)


async def load_source(reading: ReadConnections, files: ConnectionFiles, name: str) -> SourceSummary:
    """One source.

    Raises:
        NotFoundError: there is none of this name.

    """
    known = await files.load()
    async with reading.connect() as db:
        await _check_name(db, known, name)
        (found,) = await _load(db, known, [name], with_gone=False)
    return found


async def read_source(
    engine: AsyncEngine,
    files: ConnectionFiles,
    name: str,
    request: ReadRequest,
    *,
    who: str | None,
    idempotency_key: str | None = None,
) -> int:
    """Begin a reading of a source; answers the id of the job.

    Raises:
        NotFoundError: there is none of this name.
        ConflictError: it is being read, is paused, its file does not hold, or nothing of it can be read in part.
        IdempotencyKeyReusedError: the key belongs to another request.

    """
    known = await files.load()
    async with engine.connect() as db:
        await _check_name(db, known, name)
    source = known.sources.get(name)
    if source is None:
        raise _no_file(known, name)
    if request.modo == "delta" and not any(each.cursor for each in source.entities):
        raise ConflictError("source_without_cursor", name=name)
    digest = hashlib.sha256(json.dumps([name, request.modo]).encode()).hexdigest()

    async def accept(db: AsyncConnection) -> tuple[int, bool]:
        earlier = await find_earlier(db, idempotency_key, digest)
        if earlier is not None:
            return earlier.id, False
        if await jobs.is_paused(db, SCHEDULE + name):
            raise ConflictError("source_paused", name=name)
        created = await jobs.create(
            db,
            kind="intake",
            subject=name,
            mode=MODES[request.modo],
            trigger="api",
            requested_by=who,
            idempotency_key=idempotency_key,
            request_digest=digest,
        )
        if created is not None:
            return created, True
        # another request was faster: the same one, or any other of this source
        earlier = await find_earlier(db, idempotency_key, digest)
        if earlier is not None:
            return earlier.id, False
        running = await intake.running_of(db, name)
        if running is None:  # it has just ended
            raise ConflictError("request_in_progress")
        raise ReadingRunningError(name, running)

    job_id, is_new = await in_transaction(engine, accept)
    if is_new:
        structlog.contextvars.bind_contextvars(execution_id=job_id)  # until the request has ended
        log.info("reading accepted", source=name, mode=request.modo, trigger="api", user=who)
    return job_id


@run_again
async def pause_source(engine: AsyncEngine, files: ConnectionFiles, name: str, *, reason: str, who: str) -> None:
    """Read nothing more of a source until it is resumed.

    Raises:
        NotFoundError: there is none of this name.
        ConflictError: it is paused already; who did it and why stays.

    """
    known = await files.load()
    async with engine.begin() as db:
        await _check_name(db, known, name)
        if not await schedules.pause(db, SCHEDULE + name, reason=reason, who=who):
            raise ConflictError("source_paused", name=name)
    log.info("source paused", source=name, who=who, reason=reason)


@run_again
async def resume_source(engine: AsyncEngine, files: ConnectionFiles, name: str, *, who: str) -> None:
    """Let a source that was paused be read again.

    Raises:
        NotFoundError: there is none of this name.
        ConflictError: it is not paused.

    """
    known = await files.load()
    async with engine.begin() as db:
        await _check_name(db, known, name)
        if not await schedules.resume(db, SCHEDULE + name, who=who):
            raise ConflictError("source_not_paused", name=name)
    log.info("source resumed", source=name, who=who)


def faults_of(known: Known) -> dict[str, list[Fault]]:
    """What is wrong with files of sources, by name."""
    found: dict[str, list[Fault]] = {}
    for fault in known.other_faults:
        path = PurePath(fault.file)
        if path.parent.name == SOURCES:
            found.setdefault(path.stem, []).append(fault)
    return found


def _names_of(known: Known) -> list[str]:
    return sorted({*known.sources, *faults_of(known)})


async def _check_name(db: AsyncConnection, known: Known, name: str) -> None:
    names = {*_names_of(known), *(await db.execute(_NAMES)).scalars()}
    if name not in names:
        near = get_close_matches(name, sorted(names), n=1)
        raise NotFoundError("unknown_source", name=name, near=near or sorted(names))


def _no_file(known: Known, name: str) -> ConflictError:
    faults = faults_of(known).get(name)
    if faults:
        return ConflictError("source_invalid", name=name, fault=str(faults[0]))
    return ConflictError("source_missing", name=name)


async def _load(db: AsyncConnection, known: Known, names: Sequence[str], *, with_gone: bool) -> list[SourceSummary]:
    parameters = {"names": list(names), "all": with_gone, "schedule": SCHEDULE, "delta": DELTA}
    rows = (await db.execute(_LOAD, parameters)).all()
    entities: dict[str, list[Row[Any]]] = {}
    for one in await db.execute(_ENTITIES, {"names": [row.name for row in rows]}):
        entities.setdefault(one.source, []).append(one)
    faults = faults_of(known)
    return [_to_summary(row, known, entities.get(row.name, []), faults.get(row.name, [])) for row in rows]


def _to_summary(row: Row[Any], known: Known, past: Sequence[Row[Any]], faults: Sequence[Fault]) -> SourceSummary:
    file = known.sources.get(row.name)
    schedule = None if file is None else row.cron or file.schedule
    delta = None if file is None or file.delta is None else row.delta or file.delta
    names = ("last_success_at", "last_error", "paused_at", "paused_by", "pause_reason", "missing_since", "job_id")
    return SourceSummary(
        name=row.name,
        kind=None if file is None else kind_of(file.url.outside),
        state=_state_of(row, has_file=file is not None, has_faults=bool(faults)),
        schedule=schedule,
        delta=delta,
        next_run=_next(schedule, row),
        next_delta=_next(delta, row),
        entities=_to_entities(file, past, known),
        faults=[FileFault(file=one.file, line=one.line or None, message=one.message) for one in faults],
        **{name: getattr(row, name) for name in names},
    )


def _next(cron: str | None, row: Row[Any]) -> Any:
    return next_runs(cron, row.moment, 1)[0] if cron and row.paused_at is None else None


def _state_of(row: Row[Any], *, has_file: bool, has_faults: bool) -> SourceState:
    """The first word that holds: what a person has to do something about stands first."""
    words: list[tuple[SourceState, bool]] = [
        ("invalid", has_faults),
        ("missing", not has_file),
        ("held", bool(row.is_held)),
        ("paused", row.paused_at is not None),
        ("waiting", bool(row.is_waiting)),
        ("running", row.job_id is not None),
        ("failed", row.last_error is not None),
    ]
    return next((word for word, holds in words if holds), "ok")


def _to_entities(file: Source | None, past: Sequence[Row[Any]], known: Known) -> list[SourceEntityState]:
    """Those of the file, and of a file that is gone those that it had."""
    rows = {row.entity: row for row in past}
    if file is not None:
        named = [(each.entity.name, each.entity.label, each.cursor) for each in file.entities]
    else:
        labels = {name: entity.label for name, entity in known.declarations.items()}
        named = [(row.entity, labels.get(row.entity, row.entity), None) for row in past]
    return [_to_entity(name, label, cursor, rows.get(name)) for name, label, cursor in named]


def _to_entity(name: str, label: str, cursor: str | None, past: Row[Any] | None) -> SourceEntityState:
    """`past`: absent where no reading has looked at the entity yet."""
    return SourceEntityState(
        entity=name,
        label=label,
        cursor=cursor,
        full_at=past.full_at if past else None,
        rows=past.rows if past else None,
        without_cursor=past.without_cursor if past else None,
        columns=list(past.columns) if past and past.columns else None,
    )
