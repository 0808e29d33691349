"""Reads a spreadsheet or a CSV in a child process, which may die of what it reads.

The child has no secrets, and limits of memory and time. What it says is decoded here and never executed.
"""

import asyncio
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

import ingestor
from common.intake.faults import CellFault, sentence
from ingestor.intake.sheet_child import DAY, FAULTY, MOMENT
from ingestor.intake.sheets.reading import MEBIBYTE, Limits

log = structlog.get_logger()

Batch = list[tuple[int, list[Any]]]
"""Rows: the number that a person sees, and the cells by the order of the headers. Empty cells are null."""
_ROOT = Path(ingestor.__file__).parents[1]
_LONGEST_FRAME = 64 * MEBIBYTE
_READ_AHEAD = 64 * 1024
_LONGEST_COMPLAINT = 2_000


class SheetRefused(Exception):
    """A file is not taken. `code` is for programs, `message` for people, in Portuguese."""

    def __init__(self, code: str, **values: Any) -> None:
        self.code = code
        self.message = sentence(code, values)
        super().__init__(self.message)


@dataclass(frozen=True)
class Clock:
    """A cell with a time or a duration and no day, as it is shown; no column takes it."""

    shown: str

    def __str__(self) -> str:
        return self.shown


class Sheet:
    """An open sheet. `name` is empty for a CSV; `header_row` is the number of the row that the headers stand in."""

    def __init__(self, child: "_Child", name: str, headers: Sequence[str], header_row: int) -> None:
        self.name = name
        self.headers = tuple(headers)
        self.header_row = header_row
        self._child = child

    @property
    def pid(self) -> int:
        """The process that reads it."""
        return self._child.pid

    async def batches(self) -> AsyncIterator[Batch]:
        """The rows below the headers that are not empty, some hundred at a time.

        Raises:
            SheetRefused: what follows cannot be read; what came before is not all.

        """
        while True:
            kind, said = await self._child.next_message()
            if kind == "end":
                return
            yield said


@asynccontextmanager
async def open_sheet(path: Path, file_name: str | None = None, limits: Limits | None = None) -> AsyncIterator[Sheet]:
    """Open the first visible sheet that has content; the child ends with the block.

    `file_name` stands in the log alone: what a file is, its content says.

    Raises:
        SheetRefused: the file is not taken.

    """
    child = await _Child.start(path, limits or Limits())
    try:
        _, said = await child.next_message()
        yield Sheet(child, said["name"], said["headers"], said["header_row"])
    except SheetRefused as refused:
        log.info("sheet refused", file_name=file_name, code=refused.code, complaint=child.complaint or None)
        raise
    finally:
        await child.end()


class _Child:
    """The process that reads, and the frames that it sends."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self.complaint = ""
        self._process = process
        self._limits = limits
        self._left = float(limits.seconds)
        self._complaints = asyncio.create_task(self._listen())
        self._decode = msgspec.msgpack.Decoder(ext_hook=_extension).decode

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @classmethod
    async def start(cls, path: Path, limits: Limits) -> "_Child":
        """Start it on a file, with nothing of this process's environment."""
        process = await asyncio.create_subprocess_exec(
            *_command(path, limits),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_READ_AHEAD,
            cwd=_ROOT,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return cls(process, limits)

    async def next_message(self) -> tuple[str, Any]:
        """What it says next.

        Raises:
            SheetRefused: it refuses the file, or has died; only the time that it was waited for counts.

        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(max(self._left, 0)):
                frame = await self._frame()
        except TimeoutError:
            raise SheetRefused("too_slow", limit=self._limits.seconds) from None
        self._left -= loop.time() - began
        if frame is None:
            raise await self._death()
        kind, *said = self._decode(frame)
        if kind == "refused":
            raise SheetRefused(said[0], **said[1])
        return kind, said[0]

    async def end(self) -> None:
        """Kill it if it still runs, and wait until it is gone."""
        if self._process.returncode is None:
            self._process.kill()
        assert self._process.stdout is not None  # noqa: S101
        while await self._process.stdout.read(_READ_AHEAD):  # an end is waited for behind what has not been read
            pass
        await self._complaints
        await self._process.wait()

    async def _frame(self) -> bytes | None:
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        try:
            (length,) = struct.unpack(">I", await self._process.stdout.readexactly(4))
            return await self._process.stdout.readexactly(length) if length <= _LONGEST_FRAME else None
        except asyncio.IncompleteReadError:
            return None

    async def _death(self) -> SheetRefused:
        """Why it has ended without a word."""
        await self._complaints
        code = await self._process.wait()
        log.warning("sheet reader ended", returncode=code, complaint=self.complaint or None)
        if code in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
            return SheetRefused("too_slow", limit=self._limits.seconds)
        if code in (-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV):  # how allocations fail that nothing catches
            return SheetRefused("too_much_memory")
        return SheetRefused("damaged_file")

    async def _listen(self) -> None:
        """Keep the end of what it complains of, so that its pipe never fills."""
        assert self._process.stderr is not None  # noqa: S101
        while said := await self._process.stderr.read(_READ_AHEAD):
            self.complaint = (self.complaint + said.decode("utf-8", "replace"))[-_LONGEST_COMPLAINT:]


def _command(path: Path, limits: Limits) -> tuple[str, ...]:
    said = msgspec.json.encode(limits).decode()
    return sys.executable, "-s", "-m", "ingestor.intake.sheet_child", str(path.absolute()), said


def _extension(code: int, data: memoryview) -> Any:
    if code == FAULTY:
        return CellFault(*msgspec.msgpack.decode(data))
    text = bytes(data).decode()
    if code == DAY:
        return date.fromisoformat(text)
    return datetime.fromisoformat(text) if code == MOMENT else Clock(text)
