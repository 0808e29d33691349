"""Imports as they are shown: one by one, as a list, with their rows, and what is wrong with these as a file; confirm,
discard.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.models.imports import (
    Import,
    ImportDetail,
    ImportFigures,
    ImportPreview,
    ImportRow,
    ImportRows,
    ImportRowsQuery,
    Imports,
    ImportsQuery,
    RecordReference,
    RowError,
)
from backend.services.deliveries.files import Known
from backend.services.intake.announcing import announce
from backend.services.personal import mask_record
from backend.services.publisher import RabbitMQPublisher
from backend.services.reading import ReadConnections
from common.database import run_again
from common.entities.declared import from_json
from common.execution_log import log_finished
from common.intake.reports import BYTE_ORDER_MARK, HEAD, Line, line_of_fault, lines_of, to_csv
from common.lifecycle import executions, imports, jobs
from common.masking import mask_text, mask_texts

log = structlog.get_logger(__name__)

SOURCE = "sql"


_COLUMNS = """
    SELECT i.id, i.execution_id AS job_id, i.door, i.layout, i.state, i.needs_confirmation, i.file_name, i.file_bytes,
           i.rows, i.pending, i.processed, i.unchanged, i.rejected, i.created, i.changed, i.notes, i.fault_code,
           i.fault, i.requested_by, i.confirmed_by, i.created_at, i.checked_at, i.confirmed_at, i.ended_at,
           e.held IS NOT NULL AS is_held, e.started_at IS NOT NULL AS is_started
      FROM imports i LEFT JOIN sync_executions e ON e.id = i.execution_id AND e.kind = 'intake'
"""
_PAGE = text(
    _COLUMNS
    + """
     WHERE (CAST(:layout AS text) IS NULL OR i.layout = :layout)
       AND (CAST(:state AS text) IS NULL OR i.state = :state)
       AND (CAST(:door AS text) IS NULL OR i.door = :door)
       AND (CAST(:cursor AS bigint) IS NULL OR i.id < :cursor)
       AND (CAST(:owner AS text) IS NULL OR i.requested_by = :owner)
     ORDER BY i.id DESC LIMIT :most
"""
)
_ONE = text(_COLUMNS + " WHERE i.id = :id AND (CAST(:owner AS text) IS NULL OR i.requested_by = :owner)")
_PREVIEW = text("""
    SELECT entity, count(*) AS rows,
           count(*) FILTER (WHERE state <> 'rejected' AND action = 'create') AS create,
           count(*) FILTER (WHERE state <> 'rejected' AND action = 'change') AS change,
           count(*) FILTER (WHERE state = 'unchanged' OR state <> 'rejected' AND action = 'none') AS none,
           count(*) FILTER (WHERE action = 'remove') AS remove,
           count(*) FILTER (WHERE state = 'rejected') AS rejected,
           count(*) FILTER (WHERE state = 'pending' AND waits_key IS NOT NULL) AS waiting,
           count(*) FILTER (WHERE state = 'pending' AND action IS NULL AND waits_key IS NULL) AS unknown
      FROM import_rows WHERE import_id = :id GROUP BY entity ORDER BY entity
""")
_FIGURES = text("""
    WITH mine AS (
        SELECT i.id, i.state, i.rejected, i.created_at, i.door, e.held IS NOT NULL AS is_held
          FROM imports i LEFT JOIN sync_executions e ON e.id = i.execution_id AND e.kind = 'intake'
         WHERE CAST(:owner AS text) IS NULL OR i.requested_by = :owner
    ), recent AS (SELECT * FROM mine WHERE created_at > now() - interval '7 days')
    SELECT (SELECT count(*) FROM mine
             WHERE door <> 'sql'
               AND created_at >= timezone('America/Sao_Paulo', date_trunc('day', timezone('America/Sao_Paulo', now())))
           ) AS today,
           (SELECT count(*) FROM mine WHERE state IN ('received', 'checked') AND is_held) AS held,
           (SELECT count(*) FROM mine
             WHERE state = 'processing' OR (state IN ('received', 'checked') AND NOT is_held)) AS running,
           (SELECT count(*) FROM (
                SELECT FROM import_rows r
                 WHERE r.state = 'pending' AND r.waits_key IS NOT NULL
                   AND (CAST(:owner AS text) IS NULL OR r.import_id IN (SELECT id FROM mine))
                 LIMIT 100000) AS waiting) AS waiting_rows,
           (SELECT coalesce(sum(rejected), 0) FROM recent) AS rejected_rows,
           (SELECT count(*) FROM recent WHERE state = 'refused') AS refused
""")
_ROWS = text("""
    SELECT row, entity, key, state, action, CAST(data AS text) AS data, errors, waits_entity, waits_key
      FROM import_rows
     WHERE import_id = :id AND (CAST(:state AS text) IS NULL OR state = :state)
       AND (CAST(:entity AS text) IS NULL OR entity = :entity)
       AND (row, entity) > (CAST(:after_row AS int), CAST(:after_entity AS text))
     ORDER BY row, entity LIMIT :most
""")
_LARGEST_ROW = 2**31 - 1


class UnknownImportError(NotFoundError):
    """No import has this id, or none that this user may see."""

    def __init__(self, import_id: int) -> None:
        super().__init__("unknown_import", id=import_id)


@dataclass(frozen=True)
class Onlooker:
    """Who asks for imports. `owner`: the user whose imports are all that is shown. `sees_all`: no CPF is masked."""

    owner: str | None
    sees_all: bool


async def list_imports(reading: ReadConnections, query: ImportsQuery, onlooker: Onlooker) -> Imports:
    """Imports that pass the filters, newest first."""
    asked = {**query.model_dump(exclude={"limit"}), "owner": onlooker.owner, "most": query.limit + 1}
    async with reading.connect() as db:
        rows = (await db.execute(_PAGE, asked)).all()
    shown = [Import(**_fields_of(row, onlooker)) for row in rows[: query.limit]]
    return Imports(imports=shown, next_cursor=str(shown[-1].id) if len(rows) > query.limit else None)


async def load_import(reading: ReadConnections, import_id: int, onlooker: Onlooker) -> ImportDetail:
    """One import with what its rows do.

    Raises:
        UnknownImportError: there is none of this id for this user.

    """
    async with reading.connect() as db:
        row = await _load(db, import_id, onlooker)
        preview = (await db.execute(_PREVIEW, {"id": import_id})).all()
    notes = {name: value for name, value in row.notes.items() if name != "preview"}
    notes = notes if onlooker.sees_all else mask_texts(notes)
    shown = [_preview_of(one, row.notes.get("preview", {}).get(one.entity)) for one in preview]
    return ImportDetail(**_fields_of(row, onlooker), notes=notes, preview=shown)


async def _load_own(db: AsyncConnection, import_id: int, onlooker: Onlooker) -> Row[Any]:
    """An import that is decided on by itself: what a source was read into is decided on with its job."""
    row = await _load(db, import_id, onlooker)
    if row.door == SOURCE:
        raise ConflictError("import_of_source", id=import_id, job=row.job_id or 0)
    return row


async def load_figures(reading: ReadConnections, onlooker: Onlooker) -> ImportFigures:
    """How many imports there are of each kind, and what they wait for."""
    async with reading.connect() as db:
        row = (await db.execute(_FIGURES, {"owner": onlooker.owner})).one()
    return ImportFigures(**row._asdict())


def _preview_of(row: Row[Any], planned: Mapping[str, int] | None) -> ImportPreview:
    """What the rows of an entity have done; before any has, what the worker has found that they would do."""
    counted = row._asdict() | {"repeated": (planned or {}).get("repeated", 0)}
    if planned is not None and row.unknown and row.unknown == row.rows - row.rejected:
        counted |= {name: planned.get(name, 0) for name in ("create", "change", "none", "waiting")} | {"unknown": 0}
    return ImportPreview(**counted)


async def _load(db: AsyncConnection, import_id: int, onlooker: Onlooker) -> Row[Any]:
    row = (await db.execute(_ONE, {"id": import_id, "owner": onlooker.owner})).one_or_none()
    if row is None:
        raise UnknownImportError(import_id)
    return row


def _fields_of(row: Row[Any], onlooker: Onlooker) -> dict[str, Any]:
    known = row._asdict()
    fields = {name: known[name] for name in Import.model_fields if name in known} | {"phase": _phase_of(row)}
    if not onlooker.sees_all:  # names of files and faults may hold anything
        fields |= {name: fields[name] and mask_text(fields[name]) for name in ("file_name", "fault")}
    return fields


def _phase_of(row: Row[Any]) -> str:
    match row.state:
        case "received" | "checked" if row.is_held:
            return "held"
        case "received":
            return "checking" if row.is_started else "queued"
        case "checked":
            return "processing" if row.is_started else "queued"
        case _:
            return str(row.state)


async def load_rows(
    reading: ReadConnections, known: Known, import_id: int, query: ImportRowsQuery, onlooker: Onlooker
) -> ImportRows:
    """Rows of an import that pass the filters, in their order.

    Raises:
        UnknownImportError: there is none of this id for this user.

    """
    after_row, _, after_entity = (query.cursor or "-1:").partition(":")
    asked = {
        "id": import_id,
        "state": query.state,
        "entity": query.entidade,
        "after_row": min(int(after_row), _LARGEST_ROW),
        "after_entity": after_entity,
        "most": query.limit + 1,
    }
    async with reading.connect() as db:
        await _load(db, import_id, onlooker)
        rows = (await db.execute(_ROWS, asked)).all()
    shown = [_row_of(row, known, onlooker) for row in rows[: query.limit]]
    following = f"{shown[-1].row}:{shown[-1].entity}" if len(rows) > query.limit else None
    return ImportRows(rows=shown, next_cursor=following)


def _row_of(row: Row[Any], known: Known, onlooker: Onlooker) -> ImportRow:
    data: dict[str, Any] | None = None if row.data is None else from_json(row.data)
    key, waits_key, errors = row.key, row.waits_key, row.errors or []
    if not onlooker.sees_all:
        data = None if data is None else mask_record(data, known.declarations.get(row.entity))
        key, waits_key, errors = mask_texts(key), mask_texts(waits_key), mask_texts(errors)
    return ImportRow(
        row=row.row,
        entity=row.entity,
        key=key,
        state=row.state,
        action=row.action,
        data=data,
        errors=[RowError(**error) for error in errors],
        waits_for=None if waits_key is None else RecordReference(entity=row.waits_entity, key=waits_key),
    )


async def open_errors(reading: ReadConnections, import_id: int, onlooker: Onlooker) -> AsyncIterator[str]:
    """What is wrong with the rows of an import, as parts of a CSV.

    Raises:
        UnknownImportError: there is none of this id for this user.

    """
    async with reading.connect() as db:
        row = await _load(db, import_id, onlooker)
    told = _fields_of(row, onlooker)
    faults = [line_of_fault(row.layout, row.fault_code, told["fault"] or "")] if row.fault_code else []
    return _write_errors(reading, import_id, faults, sees_all=onlooker.sees_all)


async def _write_errors(
    reading: ReadConnections, import_id: int, faults: list[Line], *, sees_all: bool
) -> AsyncIterator[str]:
    """The connection is given back between two parts: a reader may be slow."""
    yield BYTE_ORDER_MARK + to_csv([HEAD, *faults])
    after = (-1, "")
    while True:
        async with reading.connect() as db:
            rows = await imports.load_errors(db, import_id, after=after)
        if not rows:
            return
        yield to_csv(lines_of((row, name, shown if sees_all else mask_texts(shown)) for row, name, shown in rows))
        after = rows[-1][:2]


@run_again
async def confirm(
    engine: AsyncEngine, publisher: RabbitMQPublisher | None, import_id: int, who: str, onlooker: Onlooker
) -> None:
    """Let the rows of an import become records.

    Raises:
        UnknownImportError: there is none of this id for this user.
        ConflictError: it does not wait for that.

    """
    async with engine.begin() as db:
        row = await _load_own(db, import_id, onlooker)
        structlog.contextvars.bind_contextvars(execution_id=row.job_id)  # until the request has ended
        is_held = row.job_id is not None and await jobs.confirm(db, row.job_id)
        if not is_held or not await imports.confirm(db, row.job_id, who):
            raise ConflictError("import_not_held", id=import_id)
    log.info("import confirmed", import_id=import_id, user=who)
    await announce(publisher, import_id, row.layout)


@run_again
async def discard(engine: AsyncEngine, import_id: int, who: str, onlooker: Onlooker) -> None:
    """End an import; records of rows that are processed stay.

    Raises:
        UnknownImportError: there is none of this id for this user.
        ConflictError: it has ended already.

    """
    async with engine.begin() as db:
        row = await _load_own(db, import_id, onlooker)
        structlog.contextvars.bind_contextvars(execution_id=row.job_id)  # until the request has ended
        is_cancelled = row.job_id is not None and await executions.cancel(db, row.job_id, who)
        if not await imports.discard(db, import_id):
            raise ConflictError("import_ended", id=import_id)
        summary = await executions.summarize(db, row.job_id) if is_cancelled else None
    log.info("import discarded", import_id=import_id, user=who)
    if summary is not None:
        log_finished(row.job_id, summary)
