"""Jobs: the executions that deliver or take in, one by one and as a list; confirm and cancel."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.models.execution_log import ExecutionLog, LogQuery
from backend.models.jobs import Job, JobDetail, JobHeld, Jobs, JobsQuery, JobStream
from backend.services.execution_log import load_lines
from backend.services.reading import ReadConnections
from common.clock import to_wall_clock
from common.database import run_again
from common.execution_log import log_finished
from common.lifecycle import executions, imports, jobs
from common.lifecycle.intake import IMPORT
from common.masking import mask_text

log = structlog.get_logger(__name__)

LINES_AT_ONCE = 1000
DELTA = "novidades"
"""What a job is called that sends, or reads, what was changed since the last one."""
OF_IMPORT = "importacao"

# The counts of a job live on its slices, also when it has ended.
_COLUMNS = """
    SELECT e.id, e.kind, e.resource AS subject, e.mode, e.trigger, e.requested_by, e.status, e.options, e.held, e.cause,
           e.error_message, e.cancelled_by, e.created_at, e.started_at, e.finished_at,
           CAST(CASE e.status WHEN 'running' THEN extract(epoch FROM now() - e.started_at)
                              ELSE e.duration_seconds END AS float) AS duration_seconds,
           s.seen, s.unchanged, s.accepted, s.rejected, s.requests, s.created, s.changed, s.is_waiting, s.entities
      FROM sync_executions e
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(records_seen), 0) AS seen, coalesce(sum(records_unchanged), 0) AS unchanged,
                  coalesce(sum(records_processed), 0) AS accepted, coalesce(sum(records_rejected), 0) AS rejected,
                  coalesce(sum(pages_done), 0) AS requests,
                  coalesce(sum(records_inserted), 0) AS created, coalesce(sum(records_updated), 0) AS changed,
                  coalesce(bool_or(status = 'pending' AND run_after > now()), false)
                  AND NOT coalesce(bool_or(status = 'running'), false) AS is_waiting,
                  array_agg(DISTINCT t.entity) FILTER (WHERE t.entity IS NOT NULL) AS entities
             FROM sync_slices LEFT JOIN streams t ON e.kind = 'delivery' AND t.id = part WHERE execution_id = e.id) s
"""
_PAGE = text(
    _COLUMNS
    + """
     WHERE e.kind <> 'sync'
       AND (CAST(:kind AS text) IS NULL OR e.kind = :kind)
       AND (CAST(:subject AS text) IS NULL OR e.resource = :subject)
       AND (CAST(:status AS text) IS NULL OR e.status = :status)
       AND (CAST(:cursor AS bigint) IS NULL OR e.id < :cursor)
     ORDER BY e.id DESC LIMIT :most
"""
)
_ONE = text(_COLUMNS + " WHERE e.kind <> 'sync' AND e.id = :id")
# The stream of a slice may have been forgotten since. An import is one slice, of a layout.
_STREAMS = text("""
    SELECT coalesce(t.name, o.entity, s.resource) AS stream, coalesce(t.entity, o.entity) AS entity, s.status,
           CASE WHEN s.status = 'pending' AND s.run_after > now() THEN s.run_after END AS next_try_at, s.cause,
           s.error_message, s.started_at, s.finished_at, s.records_seen AS seen, s.records_unchanged AS unchanged,
           s.records_processed AS accepted, s.records_rejected AS rejected, s.pages_done AS requests,
           s.records_inserted AS created, s.records_updated AS changed
      FROM sync_slices s
      LEFT JOIN streams t ON s.kind = 'delivery' AND t.id = s.part
      LEFT JOIN source_entities o ON s.kind = 'intake' AND o.id = s.part
     WHERE s.execution_id = :id ORDER BY s.ordinal
""")
_LINES = text("""
    SELECT id, logged_at, level, event, fields FROM execution_log
     WHERE execution_id = :id AND id > :after ORDER BY id LIMIT :most
""")


class UnknownJobError(NotFoundError):
    """No job has this id."""

    def __init__(self, job_id: int) -> None:
        super().__init__("unknown_job", id=job_id)


@dataclass(frozen=True)
class JobLog:
    """The whole log of a job as a file: its name, and its lines as they are read."""

    name: str
    lines: AsyncIterator[str]


async def list_jobs(reading: ReadConnections, query: JobsQuery, *, sees_all: bool) -> Jobs:
    """Jobs that pass the filters, newest first; `sees_all`: with samples of records, and texts as they are."""
    parameters = {**query.model_dump(exclude={"limit"}), "most": query.limit + 1}
    async with reading.connect() as db:
        rows = (await db.execute(_PAGE, parameters)).all()
    jobs = [Job(**_fields_of(row, sees_all=sees_all)) for row in rows[: query.limit]]
    return Jobs(jobs=jobs, next_cursor=str(jobs[-1].id) if len(rows) > query.limit else None)


async def load_job(reading: ReadConnections, job_id: int, *, sees_all: bool) -> JobDetail:
    """One job with its streams.

    Raises:
        UnknownJobError: there is none of this id.

    """
    async with reading.connect() as db:
        row = await _load(db, job_id)
        streams = (await db.execute(_STREAMS, {"id": job_id})).all()
    told = [one._asdict() | {"error_message": _shown(one.error_message, sees_all=sees_all)} for one in streams]
    return JobDetail(**_fields_of(row, sees_all=sees_all), streams=[JobStream(**one) for one in told])


async def _load(db: AsyncConnection, job_id: int) -> Row[Any]:
    row = (await db.execute(_ONE, {"id": job_id})).one_or_none()
    if row is None:
        raise UnknownJobError(job_id)
    return row


def _fields_of(row: Row[Any], *, sees_all: bool) -> dict[str, Any]:
    known = row._asdict()
    return {
        **{name: known[name] for name in Job.model_fields if name in known},
        "mode": OF_IMPORT if row.trigger == IMPORT else mode_of(row.mode, row.options),
        "import_id": (row.options or {}).get("import_id"),
        "phase": _phase_of(row),
        "held": None if row.held is None else _held(row.held, sees_all=sees_all),
        "error_message": _shown(row.error_message, sees_all=sees_all),
        "duration_seconds": None if row.duration_seconds is None else round(row.duration_seconds, 2),
    }


def mode_of(mode: str, options: Mapping[str, Any] | None) -> str:
    """What a delivery sends, or a reading reads, in the word of the API."""
    return str((options or {}).get("mode") or (DELTA if mode == "update" else "diferencas"))


def _phase_of(row: Row[Any]) -> str:
    if row.status != "running":
        return "finished"
    if row.held is not None:
        return "held"
    if row.started_at is None:
        return "queued"
    return "waiting" if row.is_waiting else "running"


def _held(held: Mapping[str, Any], *, sees_all: bool) -> JobHeld:
    samples = held.get("samples") or []
    return JobHeld(reason=held["reason"], owed=held.get("owed"), samples=samples if sees_all else None)


def _shown(said: str | None, *, sees_all: bool) -> str | None:
    """A text that may quote a record's values: a viewer sees the CPFs in it masked."""
    return said if sees_all or said is None else mask_text(said)


async def load_log(reading: ReadConnections, job_id: int, query: LogQuery) -> ExecutionLog:
    """Lines of a job's log that pass the filters, oldest first.

    Raises:
        UnknownJobError: there is none of this id.

    """
    async with reading.connect() as db:
        row = await _load(db, job_id)
    return await load_lines(reading, job_id, query, kind=row.kind)


async def open_log(reading: ReadConnections, job_id: int, *, sees_all: bool) -> JobLog:
    """The whole log of a job, oldest line first.

    Raises:
        UnknownJobError: there is none of this id.

    """
    async with reading.connect() as db:
        row = await _load(db, job_id)
    return JobLog(name_log(row), _write_lines(reading, job_id, sees_all=sees_all))


def name_log(row: Row[Any]) -> str:
    """The name of a log's file: when the job began on Brasília's clock, and what was asked for.

    A job for one entity has that entity's name, any other its destination's.
    """
    began: datetime = to_wall_clock(row.started_at or row.created_at)
    is_of_one = bool((row.options or {}).get("streams")) and len(row.entities or []) == 1
    subject = row.entities[0] if is_of_one else row.subject
    words = "_".join(word.capitalize() for word in subject.replace("-", "_").split("_") if word)
    return f"{began:%d_%m_%Y_%Hh%M}_Rota_{words}.log"


async def _write_lines(reading: ReadConnections, job_id: int, *, sees_all: bool) -> AsyncIterator[str]:
    """The connection is given back between two parts: a reader may be slow."""
    after = 0
    while True:
        async with reading.connect() as db:
            rows = (await db.execute(_LINES, {"id": job_id, "after": after, "most": LINES_AT_ONCE})).all()
        if not rows:
            return
        written = "".join(map(write_line, rows))
        yield written if sees_all else mask_text(written)
        after = rows[-1].id


def write_line(line: Row[Any]) -> str:
    """A line of the log: moment on Brasília's clock, level, event, and what else it says."""
    fields = " ".join(f"{name}={value}" for name, value in line.fields.items() if name != "logger")
    told = f"{to_wall_clock(line.logged_at):%d/%m/%Y %H:%M:%S} {line.level:<8} {line.event} {fields}".rstrip()
    return " ".join(told.splitlines()) + "\n"


@run_again
async def cancel_job(engine: AsyncEngine, job_id: int, who: str) -> None:
    """End a job; what has been sent stays sent, and what has been stored stays.

    Raises:
        UnknownJobError: there is none of this id.
        ConflictError: it has ended already.

    """
    async with engine.begin() as db:
        row = await _load(db, job_id)
        structlog.contextvars.bind_contextvars(execution_id=job_id)  # until the request has ended
        if not await executions.cancel(db, job_id, who):
            raise ConflictError("job_ended", id=job_id)
        if row.trigger == IMPORT:
            await imports.discard(db, row.options["import_id"])
        summary = await executions.summarize(db, job_id)
    log.info("job cancelled", kind=row.kind, user=who)
    log_finished(job_id, summary)


@run_again
async def confirm_job(engine: AsyncEngine, job_id: int, who: str) -> None:
    """Let a job go on that was held.

    Raises:
        UnknownJobError: there is none of this id.
        ConflictError: it is not held.

    """
    async with engine.begin() as db:
        row = await _load(db, job_id)
        structlog.contextvars.bind_contextvars(execution_id=job_id)  # until the request has ended
        if not await jobs.confirm(db, job_id):
            raise ConflictError("job_not_held", id=job_id)
        if row.trigger == IMPORT:
            await imports.confirm(db, job_id, who)
    log.info("job confirmed", kind=row.kind, user=who)
