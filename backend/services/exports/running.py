"""Does export jobs: rows by one COPY into a file, connection given back, then a converter in a process of its own.

Every backend does so. Jobs are claimed from the table, so that those of a backend that dies are begun anew by another
one, or by itself when it is back. A job whose database is away is left to its lease in the same way.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from fastapi.exceptions import RequestValidationError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.metrics import Metrics
from backend.services.deliveries.files import ConnectionFiles, Known
from backend.services.entities.mirror import Mirror, Mirrors
from backend.services.entities.question import PERSONAL, Question, parse_question, refuse
from backend.services.exports import jobs
from backend.services.exports.about import columns_of, describe, file_name, for_format
from backend.services.exports.converting import FULL, DiskFullError, convert
from backend.services.exports.copying import copy_csv
from backend.services.exports.folder import Folder, size_of
from backend.services.exports.formats import EXCEL, FORMATS
from backend.services.exports.jobs import Cause, Job
from common.clock import to_wall_clock
from common.database import UnreachableDatabaseError, cause_of, in_transaction, is_database_trouble, raw_driver_of
from common.lists import Scopes

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
BEAT_SECONDS = 1.0
TIDY_SECONDS = 60.0
COPY_SECONDS = 3600.0
"""The longest that one COPY may take."""
ROWS = "linhas.csv"


@dataclass(frozen=True)
class ExportLimits:
    """Of one backend: jobs at once, jobs under way per user, bytes that are kept in its folder, hours of a file."""

    at_once: int
    per_user: int
    most_bytes: int
    hours: int


class _EndedError(Exception):
    """The job was cancelled, or is another backend's."""


class _FullError(Exception):
    """The files would take more than is allowed."""


@dataclass
class Progress:
    """How far a job is, for its row."""

    pid: int | None = None
    rows_done: int = 0

    def convert(self, rows: int) -> None:
        """So many rows are converted."""
        self.rows_done = rows


@dataclass(frozen=True)
class _Made:
    """A file, and the completeness of the mirror in the snapshot of its rows."""

    rows: int
    size: int
    file_name: str
    mirror: dict[str, Any]


def question_of(known: Known, request: Mapping[str, Any], *, may_see_all: bool) -> Question:
    """The question of a request, read by the parser of lists.

    Raises:
        RequestValidationError: there is no such list, or it is not one that the list answers.

    """
    entity = known.list_of(request["entidade"])
    if entity is None:
        refuse("entidade", f"{request['entidade']!r} não existe: use {' ou '.join(known.addresses)}")
    parameters = []
    for name, values in request["filtros"].items():
        if name not in entity.filters and name in ("campos", "ordem", PERSONAL):
            refuse(f"filtros.{name}", "não é um filtro: fica ao lado de filtros")
        parameters += [(name, value) for value in values]
    if request["campos"]:
        parameters.append(("campos", ",".join(request["campos"])))
    if request["ordem"]:
        parameters.append(("ordem", request["ordem"]))
    if request["dados_pessoais"]:
        parameters.append((PERSONAL, "true"))
    question = parse_question(entity, parameters, may_see_all=may_see_all, has_pages=False)
    return for_format(question, request["formato"], names_fields=bool(request["campos"]))


class Exports:
    """The jobs that this process does, and its folder of files."""

    def __init__(
        self,
        engine: AsyncEngine,
        copying: AsyncEngine,
        connections: ConnectionFiles,
        *,
        folder: Folder,
        scopes: Scopes,
        limits: ExportLimits,
        metrics: Metrics,
    ) -> None:
        """`copying`: the small pool of connections that copy rows."""
        self._engine = engine
        self._copying = copying
        self.connections = connections
        self.folder = folder
        self.limits = limits
        self._scopes = scopes
        self._metrics = metrics
        self._running: dict[int, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look for jobs now."""
        self._wake.set()

    async def work(self) -> None:
        """Do jobs until cancelled; those under way are put back then."""
        tidied_at = float("-inf")
        try:
            while True:
                try:
                    if time.monotonic() - tidied_at >= TIDY_SECONDS:
                        await self.tidy()
                        tidied_at = time.monotonic()
                    await self._claim()
                except Exception as error:
                    if not is_database_trouble(error):
                        log.exception("export jobs could not be claimed")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
                self._wake.clear()
        finally:
            left = set(self._running.values())
            for task in left:
                task.cancel()
            while left:
                with suppress(asyncio.CancelledError):  # jobs are put back whatever hurry there is
                    _, left = await asyncio.wait(left)

    async def tidy(self) -> None:
        """Expire and forget jobs, and remove the folders of those that have no use for them any more."""

        async def settle(db: AsyncConnection) -> tuple[list[int], set[str]]:
            return await jobs.tidy(db), await jobs.load_live_folders(db, self.folder.identity)

        # listed before the rows are read: a folder that is made meanwhile is not among these
        found = await asyncio.to_thread(lambda: list(self.folder.names(jobs.PREFIX)))
        given_up, live = await in_transaction(self._engine, settle)
        for job_id in given_up:
            log.error("export given up, its backends have died", export_id=job_id)
        for name in set(found) - live:
            await asyncio.to_thread(self.folder.remove, name)

    async def _claim(self) -> None:
        while len(self._running) < self.limits.at_once:
            job = await in_transaction(self._engine, partial(jobs.claim, folder=self.folder.identity))
            if job is None:
                return
            task = self._running[job.id] = asyncio.create_task(self._do(job))
            task.add_done_callback(partial(self._forget, job.id))

    def _forget(self, job_id: int, _: asyncio.Task[None]) -> None:
        self._running.pop(job_id, None)
        self.wake()

    async def _do(self, job: Job) -> None:
        """Do a job to its end, whatever that is; its folder stays only with a file in it."""
        began, name = time.monotonic(), str(job.request["formato"])
        log.info("export begun", export_id=job.id, attempt=job.attempt, entity=job.request["entidade"], format=name)
        outcome = "interrompida"
        try:
            made = await self._attend(job)
            outcome = "pronta"
            self._metrics.exported(rows=made.rows, size=made.size)
            seconds = round(time.monotonic() - began, 2)
            log.info("export finished", export_id=job.id, rows=made.rows, bytes=made.size, seconds=seconds)
        except _EndedError:
            outcome = "cancelada"
            log.info("export stopped, its job has ended", export_id=job.id)
        except asyncio.CancelledError:  # this process stops
            await self._write(jobs.put_back, job)
            raise
        except Exception as error:
            fault = _fault_of(error, self.limits)
            if fault is None:  # the lease ends, and the job is begun anew when the database is back
                log.warning("export waits for the database", export_id=job.id, cause=cause_of(error))
            else:
                outcome = "erro"
                log.warning("export failed", export_id=job.id, cause=fault[0], exc_info=fault[0] == "inesperada")
                await self._write(jobs.fail, job, *fault)
        finally:
            self._metrics.export_ended(name, outcome)
            if outcome != "pronta":
                await self._write(self._discard, job)

    async def _discard(self, db: AsyncConnection, job: Job) -> None:
        """Remove a job's folder unless its row says that it has a use: a commit may have won whose answer was lost."""
        if job.folder_name not in await jobs.load_live_folders(db, self.folder.identity):
            await asyncio.to_thread(self.folder.remove, job.folder_name)

    async def _write(self, change: Any, job: Job, *arguments: object) -> None:
        """Change a job's row; without the database its lease ends, which has the same effect later."""
        try:
            await in_transaction(self._engine, lambda db: change(db, job, *arguments))
        except Exception as error:
            if not is_database_trouble(error):
                raise
            log.warning("the end of an export could not be written", export_id=job.id, cause=cause_of(error))

    async def _attend(self, job: Job) -> _Made:
        """Make the file, and meanwhile extend the lease."""
        progress = Progress()
        await asyncio.to_thread(self.folder.remove, jobs.folder_name(job.id, job.attempt - 1))
        path = await asyncio.to_thread(self.folder.of_job, job.folder_name)
        making = asyncio.create_task(self._make(job, path, progress))
        try:
            is_made = False
            while not is_made:
                await asyncio.wait([making], timeout=BEAT_SECONDS)
                is_made = making.done()
                if not is_made or making.exception() is None:
                    await self._beat(job, path, progress)
            made = making.result()
        finally:
            making.cancel()
            with suppress(asyncio.CancelledError, Exception):  # only its result counts
                await making
        values = {**vars(made), "hours": self.limits.hours}
        if not await in_transaction(self._engine, partial(jobs.finish, job=job, **values)):
            raise _EndedError
        return made

    async def _beat(self, job: Job, path: Path, progress: Progress) -> None:
        size = await asyncio.to_thread(size_of, path)
        try:
            others = await in_transaction(
                self._engine,
                lambda db: jobs.beat(db, job, pid=progress.pid, rows_done=progress.rows_done, size=size),
            )
        except Exception as error:
            if not is_database_trouble(error):
                raise
            return  # a converter needs no database; if the lease ends, the next beat finds out
        if others is None:
            raise _EndedError
        if others + size > self.limits.most_bytes:
            raise _FullError

    async def _make(self, job: Job, path: Path, progress: Progress) -> _Made:
        """Make the file in the job's folder: of CSV the rows as they are copied, of other formats converted ones."""
        chosen, now = FORMATS[job.request["formato"]], to_wall_clock(datetime.now(UTC))
        question = question_of(await self.connections.load(), job.request, may_see_all=True)
        rows, mirror = await copy_rows(
            self._copying, self._scopes, question, path / ROWS, progress, limit=chosen.most_rows
        )
        made = path / file_name(question, chosen.name, now)
        if chosen.is_converted or job.request["excel"]:
            begin = partial(jobs.begin_converting, job=job, rows=rows, mirror=mirror.to_json())
            if not await in_transaction(self._engine, begin):
                raise _EndedError
            await convert(
                EXCEL if job.request["excel"] else chosen.name,
                path / ROWS,
                made,
                columns_of(question),
                describe(question, mirror, rows=rows, made_at=now),
                on_rows=progress.convert,
            )
            await asyncio.to_thread((path / ROWS).unlink)
        else:
            await asyncio.to_thread((path / ROWS).rename, made)
        return _Made(rows, (await asyncio.to_thread(made.stat)).st_size, made.name, mirror.to_json())


async def copy_rows(
    engine: AsyncEngine,
    scopes: Scopes,
    question: Question,
    path: Path,
    progress: Progress,
    *,
    limit: int | None = None,
) -> tuple[int, Mirror]:
    """Copy the rows of a question into a file; how many, and the mirror's completeness in the same snapshot."""
    async with engine.connect() as db:
        await db.execution_options(isolation_level="REPEATABLE READ")
        try:
            mirror = await Mirrors(scopes).load(db, question)
            driver = await raw_driver_of(db)
            progress.pid = driver.get_server_pid()
            with path.open("wb") as file:  # the driver would leave it open where a stop cuts its opening
                rows = await copy_csv(driver, question, file, limit=limit)
        except BaseException as error:
            await db.invalidate()  # amid a COPY it is of no use to the next one
            await _cancel_on_server(engine, progress.pid)
            if isinstance(error, ConnectionError | TimeoutError):  # other OSErrors are the file's
                raise UnreachableDatabaseError(str(error) or type(error).__name__) from error
            raise
        finally:
            progress.pid = None
    return rows, mirror


# By the number alone it might be another's by now.
_CANCEL = text("""
    SELECT pg_cancel_backend(pid) FROM pg_stat_activity
     WHERE pid = :pid AND usename = current_user AND state = 'active' AND query LIKE 'COPY %'
""")


async def _cancel_on_server(engine: AsyncEngine, pid: int | None) -> None:
    """End a COPY whose connection is closed: the server finds that out only when it has rows to send."""
    with suppress(SQLAlchemyError):  # then it finds out
        async with engine.connect() as db:
            await db.execute(_CANCEL, {"pid": pid})


def is_disk_full(error: Exception) -> bool:
    """Whether a file could not be written for want of room."""
    return isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in FULL)


def _fault_of(error: Exception, limits: ExportLimits) -> tuple[Cause, str] | None:
    """Why a job failed, in a word and in a sentence; `None` if it is to be begun anew."""
    if isinstance(error, _FullError):
        return "limite", f"Os arquivos guardados passariam de {limits.most_bytes} bytes (EXPORT_MAX_BYTES)."
    if is_disk_full(error):
        return "disco_cheio", "O disco dos arquivos (EXPORT_DIR) está cheio."
    if isinstance(error, RequestValidationError):
        return "pedido", "O pedido não vale mais nesta versão: peça de novo."
    if isinstance(error, asyncpg.QueryCanceledError):
        return "banco", f"A leitura demorou mais de {COPY_SECONDS:.0f} segundos. Use mais filtros."
    if is_database_trouble(error):
        return None
    return "inesperada", "Erro interno. O registro do servidor (log) traz a causa."
