"""Exports as their users see them: asked for, listed, ended, and the file."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.errors import ConflictError, NoParquetError, NotFoundError
from backend.models.exports import Export, ExportRequest, Exports, ExportsQuery
from backend.security import User, name_of, sees_personal_data
from backend.services.entities.mirror import Mirrors
from backend.services.entities.rows import load_total
from backend.services.exports import jobs, running
from backend.services.exports.converting import has_parquet
from backend.services.exports.folder import Download, in_another_folder
from backend.services.exports.formats import FORMATS, Format
from backend.services.exports.running import question_of
from backend.services.exports.tables import grouped
from backend.services.reading import ReadConnections
from common.database import in_transaction, raw_driver_of

log = structlog.get_logger(__name__)

COUNT_SECONDS = 1.0
"""How long rows are counted before a job begins; then their number is estimated."""


async def ask_for_export(
    engine: AsyncEngine,
    reading: ReadConnections,
    mirrors: Mirrors,
    exports: running.Exports,
    body: ExportRequest,
    *,
    user: User | None,
    key: str | None,
) -> Export:
    """Record a job, and say what it will come to.

    Raises:
        RequestValidationError: the entity does not answer this.
        NoParquetError: the format is an extra that is not installed.
        TooManyUnfinishedError: too many jobs are under way.
        ConflictError: there is no room for files.
        IdempotencyKeyReusedError: the key belongs to another request.

    """
    if body.formato == "parquet" and not has_parquet():
        raise NoParquetError
    request, requested_by = body.model_dump(), user.name if user else None
    known = await exports.connections.load()
    question = replace(question_of(known, request, may_see_all=sees_personal_data(user)), counting="exata")
    async with reading.connect() as db:
        job_id = None if key is None else await jobs.find_by_key(db, key, requested_by, request)
        if job_id is None:
            total = await load_total(await raw_driver_of(db), question, seconds=COUNT_SECONDS)
            mirror = await mirrors.load(db, question)
    if job_id is None:
        job_id = await in_transaction(
            engine,
            lambda db: jobs.add(
                db,
                request,
                requested_by=requested_by,
                key=key,
                folder=exports.folder.identity,
                total=(total.number or 0, total.kind),
                mirror=mirror.to_json(),
                per_user=exports.limits.per_user,
                most_bytes=exports.limits.most_bytes,
            ),
        )
        log.info("export asked for", export_id=job_id, entity=body.entidade, user=name_of(user))
        exports.wake()
    return await load_export(reading, job_id, user)


async def load_export(reading: ReadConnections, job_id: int, user: User | None) -> Export:
    """A job that the user may see.

    Raises:
        NotFoundError: there is none.

    """
    return _to_model(await _load_row(reading, job_id, user))


async def list_exports(reading: ReadConnections, query: ExportsQuery, user: User | None) -> Exports:
    """The user's jobs, those of all users for an administrator."""
    async with reading.connect() as db:
        rows = await jobs.load_many(
            db,
            requested_by=user.name if user else None,
            sees_all=sees_personal_data(user),
            before=query.cursor,
            limit=query.limite + 1,
        )
    shown = [_to_model(row) for row in rows[: query.limite]]
    return Exports(exportacoes=shown, proximo=str(shown[-1].id) if len(rows) > query.limite else None)


async def end_export(
    engine: AsyncEngine, reading: ReadConnections, exports: running.Exports, job_id: int, user: User | None
) -> None:
    """Cancel a job that is under way, or delete its file; there is no such job afterwards.

    Raises:
        NotFoundError: there is none that the user may see.

    """
    row = await _load_row(reading, job_id, user)
    await in_transaction(engine, lambda db: jobs.end(db, job_id))
    log.info("export ended by its user", export_id=job_id, was=row.status, user=name_of(user))
    # what is under way is removed by the process that does it, within a second
    if row.status == "pronta" and row.folder == exports.folder.identity:
        await asyncio.to_thread(exports.folder.remove, jobs.folder_name(row.id, row.attempt))


async def find_file(reading: ReadConnections, exports: running.Exports, job_id: int, user: User | None) -> Download:
    """The file of a job.

    Raises:
        NotFoundError: there is no such job, or no file any more.
        ConflictError: there is no file yet, or it is in the folder of another backend.

    """
    row = await _load_row(reading, job_id, user)
    if row.status in jobs.UNDER_WAY:
        raise ConflictError(f"A exportação {job_id} ainda está em andamento: acompanhe /exportacoes/{job_id}.")
    if row.status != "pronta":
        raise NotFoundError(f"A exportação {job_id} não tem arquivo: {row.error_message or row.status}.")
    if row.folder != exports.folder.identity:
        raise in_another_folder("EXPORT_DIR")
    path = exports.folder.path / jobs.folder_name(row.id, row.attempt) / row.file_name
    return Download(
        path, row.file_name, FORMATS[row.request["formato"]].media_type, f'"{row.id}-{row.attempt}-{row.bytes}"'
    )


async def _load_row(reading: ReadConnections, job_id: int, user: User | None) -> Row[Any]:
    async with reading.connect() as db:
        row = await jobs.load(db, job_id)
    is_own = user is not None and row.requested_by == user.name and not row.request["dados_pessoais"]
    if not is_own and not sees_personal_data(user):
        raise NotFoundError(f"Não existe a exportação {job_id}.")
    return row


def _to_model(row: Row[Any]) -> Export:
    request: Mapping[str, Any] = row.request
    chosen = FORMATS[request["formato"]]
    share, left = _progress_of(row, has_two_steps=chosen.is_converted or request["excel"], now=datetime.now(UTC))
    return Export(
        **{name: request[name] for name in ExportRequest.model_fields},
        id=row.id,
        estado=row.status,
        solicitante=row.requested_by,
        registros=row.rows_total,
        registros_tipo=row.rows_total_kind,
        registros_feitos=row.rows_done,
        percentual=round(100 * share, 1),
        bytes=row.bytes,
        segundos_restantes=None if left is None else round(left, 1),
        avisos=list(_notices(chosen, row.rows_total)),
        espelho=row.mirror,
        arquivo=row.file_name,
        causa=row.cause,
        erro=row.error_message,
        criada_em=row.created_at,
        iniciada_em=row.started_at,
        terminada_em=row.finished_at,
        expira_em=row.expires_at,
    )


def _notices(chosen: Format, rows: int) -> Iterable[str]:
    """What the format does to so many rows."""
    if chosen.most_rows is not None and rows > chosen.most_rows:
        yield f"{chosen.name}: só os primeiros {grouped(chosen.most_rows)} registros; outro formato tem todos."
    if chosen.rows_per_sheet is not None and rows > chosen.rows_per_sheet:
        sheets = -(-rows // chosen.rows_per_sheet)
        yield f"{chosen.name}: {sheets} planilhas, de até {grouped(chosen.rows_per_sheet)} registros."


def _progress_of(row: Row[Any], *, has_two_steps: bool, now: datetime) -> tuple[float, float | None]:
    """The share of a job that is done, its steps counted alike, and the seconds to its end, if they are known."""
    if row.status in ("pronta", "expirada"):
        return 1.0, None
    share = min(1.0, row.rows_done / row.rows_total) if row.rows_total else 0.0
    is_last = row.status == "convertendo" or not has_two_steps
    left = None
    if is_last and row.status in ("lendo", "convertendo") and 0 < share < 1:
        left = (now - row.step_at).total_seconds() * (1 - share) / share
    if not has_two_steps:
        return share, left
    return (share + (row.status == "convertendo")) / 2, left
