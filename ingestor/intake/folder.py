"""The watched folder: what is left in `<INTAKE_DIR>/<layout>/` becomes an import, and moves on when that has ended.

A file that stands still is claimed by a rename into `processando/<token>/`. The token is the key of its import, which
is committed with all bytes at once. So a worker that dies at any moment leaves a file that is not claimed, one that is
claimed and has no import (it is taken up again), or one whose import any worker processes. All that is done to a file
is done under one lock of the database: of several workers that watch the same folder, one at a time.
"""

import asyncio
import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.clock import to_wall_clock
from common.intake.faults import sentence
from common.intake.reports import BYTE_ORDER_MARK, HEAD, fault_of_name, line_of_fault, lines_of, to_csv
from common.lifecycle import imports
from common.lifecycle.imports import PART_BYTES

log = structlog.get_logger(__name__)

DOOR = "folder"
CLAIMED, DONE, REFUSED = "processando", "feitos", "recusados"
OURS = (CLAIMED, DONE, REFUSED)
_KEY = "folder "
"""Before the token: no key of a request has a blank."""
FOLDER_LOCK = 7_020_114_191
"""The advisory lock under which files are claimed, stored and moved."""
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
_NOW = text("SELECT now()")
_IMPORTS = text("""
    SELECT idempotency_key AS key, id, state, layout, rejected, fault_code, fault, ended_at FROM imports
     WHERE idempotency_key = ANY(CAST(:keys AS text[]))
""")
_CREATED = text("SELECT created_at FROM imports WHERE id = :id")


@dataclass(frozen=True)
class _Stamp:
    """By which a file is known to stand still."""

    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, known: os.stat_result) -> "_Stamp":
        return cls(known.st_ino, known.st_size, known.st_mtime_ns)


@dataclass(frozen=True)
class _File:
    """A file of a layout. `token`: the name of the folder that it was claimed into; null before."""

    layout: str
    path: Path
    stamp: _Stamp
    token: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key of its import."""
        return f"{_KEY}{self.token}"

    @property
    def name(self) -> str:
        """Its name as it is stored; what is no UTF-8 in it is replaced."""
        return self.path.name.encode("utf-8", "replace").decode("utf-8")

    @property
    def home(self) -> Path:
        """The folder of the layout."""
        return self.path.parent if self.token is None else self.path.parents[2]


class _Known(Exception):
    """An import has the same bytes as a claimed file."""

    def __init__(self, file: _File, import_id: int, created_at: datetime) -> None:
        super().__init__(import_id)
        self.file = file
        self.import_id = import_id
        self.created_at = created_at


class _Changes(Exception):
    """A file is written to while it is read."""


class Folder:
    """The folder as one worker watches it; `look` is called every few seconds."""

    def __init__(self, path: Path, engine: AsyncEngine, *, most_bytes: int) -> None:
        self._path = path
        self._engine = engine
        self._most_bytes = most_bytes
        self._stamps: dict[Path, _Stamp] = {}
        self._told: dict[Path, str] = {}
        self._left: set[Path] = set()

    async def look(self, layouts: Collection[str]) -> list[int]:
        """Claim and store files that stand still, and move those whose imports have ended; answers the new imports.

        Raises:
            DBAPIError: the database is away; the next look goes on.

        """
        found = await asyncio.to_thread(self._scan, set(layouts))
        still = [file for file in found if self._stamps.get(file.path) == file.stamp]
        self._stamps = {file.path: file.stamp for file in found}
        made = []
        past = await self._load_imports([file for file in found if file.token is not None])
        for file in found:
            known = None if file.token is None else past.get(file.key)
            if known is not None:
                if known.ended_at is not None:
                    await self._insist(file, partial(self._settle, file=file, known=known))
            elif file in still:
                import_id = await self._insist(file, partial(self._take, file=file))
                if import_id is not None:
                    made.append(import_id)
        return made

    async def _load_imports(self, files: Collection[_File]) -> dict[str, Row[Any]]:
        if not files:
            return {}
        async with self._engine.connect() as db:
            rows = (await db.execute(_IMPORTS, {"keys": [file.key for file in files]})).all()
        return {row.key: row for row in rows}

    async def _insist(self, file: _File, work: Callable[[AsyncConnection], Awaitable[int | None]]) -> int | None:
        """Work on a file in a transaction under the lock; what the disk refuses is said once, and tried again later."""
        try:
            async with self._engine.begin() as db:
                is_ours = (await db.execute(_TRY_LOCK, {"key": FOLDER_LOCK})).scalar_one()
                done = await work(db) if is_ours else None
        except _Known as known:
            return await self._insist(known.file, partial(self._move_known, known=known))
        except _Changes:
            return None
        except FileNotFoundError:
            log.warning("a file of the folder is gone", layout=file.layout, file=file.name)
            return None
        except OSError as error:
            self._tell(file.path, "a file of the folder cannot be moved or read", file, error)
            return None
        self._told.pop(file.path, None)
        return done

    # --- what is there ----------------------------------------------------------------------------------------------

    def _scan(self, layouts: set[str]) -> list[_File]:
        """The files of all layouts, those that were claimed first; what is no plain file is left alone."""
        found: list[_File] = []
        left: set[Path] = set()
        try:
            entries = _entries(self._path)
        except OSError as error:
            self._tell(self._path, "the folder that is watched cannot be read", None, error)
            return found
        for entry in entries:
            if entry.name.startswith("."):
                continue
            layout = entry.name.replace("-", "_")
            if not entry.is_dir(follow_symlinks=False):
                self._tell_once(Path(entry.path), "what lies beside the folders of layouts is not taken in", entry.name)
            elif layout not in layouts:
                self._tell_once(Path(entry.path), "a folder has the name of no layout", entry.name)
            else:
                try:
                    found += [*_claimed(layout, Path(entry.path), left), *_waiting(layout, Path(entry.path))]
                except OSError as error:
                    self._tell(Path(entry.path), "a folder of a layout cannot be read", None, error)
        # one that is empty for the first time may be another worker's, for a file that it is about to claim
        for path in left & self._left:
            _remove_left(path)
        self._left = left
        there = {self._path, *(Path(entry.path) for entry in entries), *(file.path for file in found)}
        self._told = {path: said for path, said in self._told.items() if path in there}
        return found

    def _tell_once(self, path: Path, event: str, name: str) -> None:
        if path not in self._told:
            self._told[path] = event
            log.warning(event, name=name.encode("utf-8", "replace").decode("utf-8"))

    def _tell(self, path: Path, event: str, file: _File | None, error: OSError) -> None:
        why = errno.errorcode.get(error.errno or 0, type(error).__name__)
        if self._told.get(path) != why:
            self._told[path] = why
            about = {} if file is None else {"layout": file.layout, "file": file.name}
            log.error(event, **about, error=f"{why}: {error.strerror}")

    # --- one file ---------------------------------------------------------------------------------------------------

    async def _take(self, db: AsyncConnection, file: _File) -> int | None:
        """Claim a file, and store it as an import; one that was claimed by a worker that died is stored again."""
        claimed = file if file.token is not None else await asyncio.to_thread(_claim, file)
        import_id = await imports.create(
            db, door=DOOR, layout=file.layout, file_name=file.name, idempotency_key=claimed.key
        )
        if import_id is None:
            return None
        code = fault_of_name(file.name)
        if code is not None:
            return await self._refuse(db, import_id, file, code)
        try:
            opened = await asyncio.to_thread(_open, claimed.path)
        except PermissionError as error:
            return await self._refuse(db, import_id, file, "unreadable_file", why=str(error.strerror))
        try:
            return await self._store(db, import_id, claimed, opened)
        finally:
            os.close(opened)

    async def _store(self, db: AsyncConnection, import_id: int, file: _File, opened: int) -> int:
        began = await asyncio.to_thread(os.fstat, opened)
        if not began.st_size:
            return await self._refuse(db, import_id, file, "empty_file")
        if began.st_size > self._most_bytes:
            return await self._refuse(db, import_id, file, "file_too_large", limit=self._most_bytes // 1024)
        digest = hashlib.sha256()
        part = size = 0
        while data := await asyncio.to_thread(_read_part, opened):
            size += len(data)
            if size > began.st_size:
                raise _Changes
            digest.update(data)
            await imports.add_part(db, import_id, part, data)
            part += 1
        if size != began.st_size or _Stamp.of(await asyncio.to_thread(os.fstat, opened)) != _Stamp.of(began):
            raise _Changes
        same = await imports.find_same_file(db, import_id, file.layout, digest.digest())
        if same is not None:
            raise _Known(file, same, (await db.execute(_CREATED, {"id": same})).scalar_one())
        job_id = await imports.mark_received(
            db, import_id, layout=file.layout, size=size, sha256=digest.digest(), requested_by=None
        )
        told = {"import_id": import_id, "layout": file.layout, "door": DOOR, "file": file.name, "bytes": size}
        log.info("import accepted", execution_id=job_id, **told)
        return import_id

    async def _refuse(self, db: AsyncConnection, import_id: int, file: _File, code: str, **values: Any) -> int:
        fault = sentence(code, values)
        await imports.end(db, import_id, "refused", code=code, fault=fault)
        log.warning("import is refused", import_id=import_id, layout=file.layout, file=file.name, code=code)
        return import_id

    async def _settle(self, db: AsyncConnection, file: _File, known: Row[Any]) -> None:
        """Move a file whose import has ended, with what is wrong with its rows beside it."""
        kind = DONE if known.state == "done" else REFUSED
        errors = await self._write_errors(db, file, known) if known.rejected or known.fault_code else None
        target = await asyncio.to_thread(_move, file, kind, known.ended_at, errors)
        log.info("file has moved", import_id=known.id, layout=file.layout, file=file.name, to=kind, named=target.name)

    async def _move_known(self, db: AsyncConnection, known: _Known) -> None:
        """Move a file whose bytes an import has, with a note."""
        file, now = known.file, (await db.execute(_NOW)).scalar_one()
        when = f"{to_wall_clock(known.created_at):%d/%m/%Y %H:%M}"
        target = await asyncio.to_thread(_move, file, DONE, now)
        note = target.with_name(f"{target.name}.nota.txt")
        said = f"já importado em {when}, na importação {known.import_id}\n"
        await asyncio.to_thread(note.write_text, said, encoding="utf-8")
        log.info("file is known already", layout=file.layout, file=file.name, import_id=known.import_id)

    async def _write_errors(self, db: AsyncConnection, file: _File, known: Row[Any]) -> Path:
        """Write the errors beside the claimed file, under a name that is not looked at."""
        path = file.path.with_name(".erros.csv")
        faults = [line_of_fault(known.layout, known.fault_code, known.fault or "")] if known.fault_code else []
        after = (-1, "")
        with await asyncio.to_thread(path.open, "w", encoding="utf-8", newline="") as written:
            await asyncio.to_thread(written.write, BYTE_ORDER_MARK + to_csv([HEAD, *faults]))
            while rows := await imports.load_errors(db, known.id, after=after):
                await asyncio.to_thread(written.write, to_csv(lines_of(rows)))
                after = rows[-1][:2]
        return path


def is_ignored(name: str) -> bool:
    """Whether a file of this name is another program's own, or not complete."""
    return name.startswith((".", "~$")) or name.lower().endswith((".part", ".tmp"))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _files(folder: Path) -> Iterator[tuple[Path, _Stamp]]:
    """The plain files of a folder that are to be taken in."""
    for entry in _entries(folder):
        try:
            known = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # it has just been moved
            continue
        if stat.S_ISREG(known.st_mode) and not is_ignored(entry.name):
            yield Path(entry.path), _Stamp.of(known)


def _waiting(layout: str, home: Path) -> Iterator[_File]:
    return (_File(layout, path, stamp) for path, stamp in _files(home))


def _claimed(layout: str, home: Path, left: set[Path]) -> Iterator[_File]:
    """The claimed files of a layout. Folders of claims without a file are added to `left`."""
    try:
        folders = [entry for entry in _entries(home / CLAIMED) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for folder in folders:
        files = list(_files(Path(folder.path)))
        yield from (_File(layout, path, stamp, folder.name) for path, stamp in files[:1])
        if not files:
            left.add(Path(folder.path))


def _remove_left(folder: Path) -> None:
    """Remove a folder of a claim; it stays where something is in it, or was just put there."""
    try:
        (folder / ".erros.csv").unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            log.warning("a folder of a claim stays", name=folder.name, error=str(error.strerror))


def _claim(file: _File) -> _File:
    """Rename a file into a folder of its own.

    Raises:
        OSError: it is gone, or may not be moved.

    """
    token = uuid.uuid4().hex
    folder = file.home / CLAIMED / token
    folder.mkdir(parents=True)
    path = folder / file.path.name
    try:
        file.path.rename(path)
    except OSError:
        _remove_left(folder)
        raise
    return _File(file.layout, path, file.stamp, token)


def _open(path: Path) -> int:
    """Open a plain file, and nothing that has taken its place.

    Raises:
        OSError: it is gone, may not be read, or is no file.

    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise FileNotFoundError(path)
    return opened


def _read_part(opened: int) -> bytes:
    """The next part of a file; shorter only at its end."""
    parts = []
    left = PART_BYTES
    while left and (data := os.read(opened, left)):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _move(file: _File, kind: str, when: datetime, errors: Path | None = None) -> Path:
    """Move a claimed file to where it stays, under a name that is free there; answers the path.

    Raises:
        OSError: the disk refuses it.

    """
    folder = file.home / kind / f"{to_wall_clock(when):%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    target = _free(folder, file.path.name)
    if errors is not None:
        errors.replace(target.with_name(f"{target.name}.erros.csv"))
    file.path.rename(target)
    _remove_left(file.path.parent)
    return target


def _free(folder: Path, name: str) -> Path:
    """A path in a folder that nothing has: with a number where something has it."""
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{Path(name).stem} ({number}){Path(name).suffix}"
    return path
