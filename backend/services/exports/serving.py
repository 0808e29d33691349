"""Files of lists, made while the reader waits: few at once, in a folder that is gone when this process is.

The rows are copied into a file as fast as the database gives them, and the connection is returned: a slow client holds
neither a connection nor a snapshot. CSV is sent while it grows; other formats are converted from it first.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.errors import FileTooLargeError, NoParquetError, StorageFullError, TooManyFilesError
from backend.services.entities.mirror import Mirror
from backend.services.entities.question import Question
from backend.services.entities.rows import load_total
from backend.services.exports.about import columns_of, describe
from backend.services.exports.converting import FULL, DiskFullError, convert, has_parquet
from backend.services.exports.copying import copy_csv, count_rows
from backend.services.exports.formats import EXCEL, Format
from backend.services.exports.tables import About, Column, Row, grouped, write_csv
from common.clock import BRASILIA
from common.database import UnreachableDatabaseError, network_errors, raw_driver_of

MOST_ROWS = 100_000
CONNECTIONS = 2
CONVERTERS = 2
MOST_FILES = 20
"""That are made or sent at once."""
COPY_SECONDS = 120.0
TURN_SECONDS = 10.0
PART_BYTES = 256 * 1024
_PREFIX = "direct-"


class Workspace:
    """A folder of this process's own for files that are sent at once.

    It is locked as long as the process lives, whatever ends it; the next process that starts removes those without a
    lock.
    """

    def __init__(self, parent: Path) -> None:
        """Make it in a folder that can be written; where it is removed later, it is made again."""
        self._parent = parent
        self._path: Path | None = None
        self._held: int | None = None
        self._open()

    def _open(self) -> Path:
        self.close()
        self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        turn = _lock(self._parent, wait=True)
        try:
            for left in self._parent.glob(f"{_PREFIX}*"):
                _remove_if_left(left)
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            self._held = _lock(path, wait=False)
        finally:
            os.close(turn)
        self._path = path
        return path

    def _new(self) -> Path:
        try:
            # what cleans temporary files may have removed it
            path = self._path if self._path is not None and self._path.is_dir() else self._open()
            return Path(tempfile.mkdtemp(dir=path))
        except OSError as error:
            raise StorageFullError from error

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """A folder for one file and what it is made of; it is removed at the end.

        Raises:
            StorageFullError: it cannot be made.

        """
        path = await asyncio.to_thread(self._new)
        try:
            yield path
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, path, ignore_errors=True))

    def close(self) -> None:
        """Remove everything."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
        self._path = self._held = None


def _lock(folder: Path, *, wait: bool) -> int:
    """A descriptor that holds the folder's lock until it is closed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_left(folder: Path) -> None:
    try:
        descriptor = _lock(folder, wait=False)
    except OSError:
        return  # of a process that lives
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)


@dataclass
class _Copy:
    """A file that is being written; `grown` is set when there is more of it."""

    path: Path

    def __post_init__(self) -> None:
        self.file = self.path.open("wb", buffering=0)
        self.grown = asyncio.Event()
        self._kept = bytearray()

    async def take(self, part: bytes) -> None:
        """Append a part, which is written with others."""
        self._kept += part
        if len(self._kept) >= PART_BYTES:
            await self.write()

    async def write(self) -> None:
        """Write what has been taken so far."""
        part, self._kept = self._kept, bytearray()
        try:
            await asyncio.to_thread(self._put, part)
        except OSError as error:
            raise (DiskFullError if error.errno in FULL else error) from error
        self.grown.set()

    def _put(self, part: bytearray) -> None:
        left = memoryview(part)
        while left:
            left = left[self.file.write(left) :]


@dataclass
class ServedFile:
    """A file that can be sent; `copying` still makes it longer, unless it is complete."""

    path: Path
    rows: int
    copying: asyncio.Task[int] | None = None
    copy: _Copy | None = None

    @property
    def size(self) -> int | None:
        """Its length in bytes, if it is complete."""
        return None if self.copying is not None else self.path.stat().st_size

    async def parts(self) -> AsyncIterator[bytes]:
        """Its bytes, as they come.

        Raises:
            Exception: the copying of rows has failed.

        """
        with await asyncio.to_thread(self.path.open, "rb") as file:
            while True:
                is_whole = self.copying is None or self.copying.done()
                part = await asyncio.to_thread(file.read, PART_BYTES)
                if part:
                    yield part
                elif is_whole:
                    break
                else:
                    await self._growth()
        if self.copying is not None:
            await self.copying

    async def _growth(self) -> None:
        assert self.copy is not None  # noqa: S101  # for the type checker
        assert self.copying is not None  # noqa: S101  # for the type checker
        grown = asyncio.create_task(self.copy.grown.wait())
        await asyncio.wait({grown, self.copying}, return_when=asyncio.FIRST_COMPLETED)
        grown.cancel()
        self.copy.grown.clear()


class FileMaker:
    """Makes files, through a small pool of connections of its own and a few child processes."""

    def __init__(self, engine: AsyncEngine, workspace: Workspace) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._workspace = workspace
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._converters = asyncio.Semaphore(CONVERTERS)
        self._files = 0

    @asynccontextmanager
    async def open(
        self, question: Question, form: Format, mirror: Mirror, *, for_excel: bool = False
    ) -> AsyncIterator[ServedFile]:
        """A file with all rows of a question; it is removed at the end, and its making ended.

        Raises:
            FileTooLargeError: there are more rows than are made while a reader waits, or than the format takes.
            TooManyFilesError: others are being made.
            StorageFullError: there is no room for it.
            NoParquetError: the format is an extra that is not installed.

        """
        if form.name == "parquet" and not has_parquet():
            raise NoParquetError
        async with (
            self._place() as folder,
            self._open(folder, question, form, mirror, for_excel=for_excel) as made,
        ):
            yield made

    @asynccontextmanager
    async def open_rows(
        self, rows: Iterable[Row], columns: Sequence[Column], about: About, form: Format
    ) -> AsyncIterator[ServedFile]:
        """A file of rows that are in memory, in a format that is converted; it is removed at the end.

        Raises:
            TooManyFilesError: others are being made.
            StorageFullError: there is no room for it.

        """
        async with self._place() as folder:
            source, target = folder / "linhas.csv", folder / f"arquivo.{form.name}"
            await asyncio.to_thread(write_csv, rows, columns, source)
            async with _turn(self._converters):
                made = await convert(form.name, source, target, columns, about)
            yield ServedFile(target, made)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[Path]:
        """A folder for one of the files that are made at once."""
        if self._files >= MOST_FILES:
            raise TooManyFilesError
        self._files += 1
        try:
            async with self._workspace.folder() as folder:
                try:
                    yield folder
                except DiskFullError:
                    raise StorageFullError from None
        except OSError as error:
            raise (StorageFullError if error.errno in FULL else error) from error
        finally:
            self._files -= 1

    @asynccontextmanager
    async def _open(
        self, folder: Path, question: Question, form: Format, mirror: Mirror, *, for_excel: bool
    ) -> AsyncIterator[ServedFile]:
        copy = _Copy(folder / "linhas.csv")
        counted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        most = min(MOST_ROWS, form.most_rows or MOST_ROWS)
        copying = asyncio.create_task(self._copy(question, copy, most, counted))
        try:
            await asyncio.wait({counted, copying}, return_when=asyncio.FIRST_COMPLETED)
            if not counted.done():
                await copying  # it has failed
            if counted.result() > most:
                await copying
                raise FileTooLargeError(await self._too_large(question, form, most))
            if not form.is_converted and not for_excel:
                yield ServedFile(copy.path, counted.result(), copying, copy)
                return
            rows = await copying
            target = folder / f"arquivo.{form.name}"
            about = describe(question, mirror, rows=rows, made_at=datetime.now(BRASILIA))
            async with _turn(self._converters):
                await convert(EXCEL if for_excel else form.name, copy.path, target, columns_of(question), about)
            yield ServedFile(target, rows)
        finally:
            copying.cancel()
            with suppress(asyncio.CancelledError, Exception):  # its error, if any, is known
                await copying
            copy.file.close()

    async def _copy(self, question: Question, copy: _Copy, most: int, counted: asyncio.Future[int]) -> int:
        """Count the rows and, unless they are too many, copy them, in one snapshot."""
        async with _turn(self._connections), self._engine.connect() as db:
            driver = await raw_driver_of(db)
            snapshot = driver.transaction(isolation="repeatable_read", readonly=True)
            try:
                with network_errors():
                    await snapshot.start()
                    counted.set_result(await count_rows(driver, question, most=most))
                    rows = 0 if counted.result() > most else await copy_csv(driver, question, copy.take)
                    await snapshot.commit()
                    await copy.write()
                    return rows
            except (asyncpg.QueryCanceledError, UnreachableDatabaseError) as error:
                if isinstance(error, asyncpg.QueryCanceledError) or isinstance(error.__cause__, TimeoutError):
                    raise FileTooLargeError(
                        f"A leitura dos registros demorou mais de {COPY_SECONDS:.0f} segundos. Use mais filtros, ou"
                        " peça o arquivo com POST /exportacoes."
                    ) from error
                raise
            finally:
                if not driver.is_closed() and driver.is_in_transaction():
                    await snapshot.rollback()

    async def _too_large(self, question: Question, form: Format, most: int) -> str:
        async with _turn(self._connections), self._engine.connect() as db:
            with network_errors():
                total = await load_total(await raw_driver_of(db), replace(question, counting="exata"))
        remedy = (
            "Use mais filtros, ou outro formato: XLSX, CSV, NDJSON e Parquet levam mais."
            if most < MOST_ROWS
            else "Use mais filtros, ou peça o arquivo com POST /exportacoes."
        )
        return f"São {total.to_words()} registros, e .{form.name} leva até {grouped(most)} de uma vez. {remedy}"


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore) -> AsyncIterator[None]:
    """A turn, in the order of asking.

    Raises:
        TooManyFilesError: there was none within ten seconds.

    """
    try:
        async with asyncio.timeout(TURN_SECONDS):
            await turns.acquire()
    except TimeoutError:
        raise TooManyFilesError from None
    try:
        yield
    finally:
        turns.release()
