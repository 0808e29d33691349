"""The log of executions: lines with an execution_id, stored in `execution_log` where the API can read them.

A line costs its writer an append to a list in memory; once a second one task of the process writes the collected lines
in one statement. The stream of the process remains the complete log. This part holds lines about executions, from INFO
on.
"""

import asyncio
import contextlib
import contextvars
import itertools
import json
import logging
import math
import sys
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.database import is_database_trouble
from common.lifecycle.executions import Summary
from common.logs import HIDDEN, is_secret
from common.masking import mask_text

log = structlog.get_logger(__name__)

CLOCKS_AGREE = timedelta(seconds=5)
"""Where this machine's clock and the database's differ by more, lines are moved to the database's time."""
WRITE_SECONDS = 1.0
WITHOUT_DATABASE_SECONDS = 3.0
FAREWELL_SECONDS = 3.0
"""How long the end of a process waits for its last lines to be written."""
GIVE_UP_SECONDS = 1.0

BATCH = 1000
MOST_WAITING = 10_000
MOST_LINES = 5000
"""The most waiting lines of one execution in one process, and the same number of errors beside them."""

MOST_COUNTED = 1000
LONGEST_TEXT = 2000
MOST_ENTRIES = 50
DEEPEST = 4
LARGEST_ID = 2**63

FINISHED = "execution finished"
CUT = "further lines of this execution are in the log of the process alone"
LOST = "lines of this execution were lost while the database was away"

OF_A_SLICE = ("slice_id", "resource", "part", "day")
"""The fields bound while a slice is worked on, beside the execution's id."""

_APART = {"execution_id", "slice_id", "event", "level", "timestamp", "exc_info", "stack", "stack_info"}
_WRITING = 7_020_114_135
# Ids are given out and become visible in one order, so that a reader that continues from an id misses no line.
_QUEUE_UP = text("SELECT pg_advisory_xact_lock(:key)")
_WRITE = text("""
    INSERT INTO execution_log (execution_id, slice_id, logged_at, level, event, fields)
    SELECT execution_id, slice_id, CASE WHEN late NOT BETWEEN - CAST(:unnoticed AS interval) AND :unnoticed
                                        THEN logged_at + late ELSE logged_at END, level, event, CAST(fields AS jsonb)
      FROM (SELECT clock_timestamp() - CAST(:written_at AS timestamptz) AS late) AS clock,
           unnest(CAST(:execution_ids AS bigint[]), CAST(:slice_ids AS bigint[]), CAST(:moments AS timestamptz[]),
                  CAST(:levels AS text[]), CAST(:events AS text[]), CAST(:fields AS text[]))
           WITH ORDINALITY AS line (execution_id, slice_id, logged_at, level, event, fields, place)
     ORDER BY place
""")


@dataclass(frozen=True)
class Line:
    """A line as it was logged; `seconds` since the epoch, `level` as a number of the standard library."""

    execution_id: int
    seconds: float
    level: int
    event: Mapping[str, Any]


def log_finished(execution_id: int, summary: Summary) -> None:
    """Log how an execution has ended; once for each, by the process that ended it."""
    contextvars.copy_context().run(_log_finished, execution_id, summary)


def _log_finished(execution_id: int, summary: Summary) -> None:
    structlog.contextvars.unbind_contextvars(*OF_A_SLICE)  # this line is about the execution, not about its last slice
    level = logging.INFO if summary.status == "success" else logging.ERROR
    told = {name: value for name, value in vars(summary).items() if value is not None}
    log.log(level, FINISHED, execution_id=execution_id, **told)


class ExecutionLog(logging.Handler):
    """Collects the lines of executions and writes them. Its own log lines carry no execution_id, so that it never
    loops.

    While the database is away the newest lines wait, and dropped ones are counted.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(logging.INFO)
        self._engine = engine
        self._waiting: deque[Line] = deque()
        self._in_hand: list[Line] = []
        self._taken: OrderedDict[tuple[int, bool], int] = OrderedDict()
        self._lost: Counter[int] = Counter()
        self._stopping = asyncio.Event()

    # --- taking -------------------------------------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line if it is an execution's."""
        try:
            line = _line_of(record)
            if line is not None:
                self._take(line)
        except Exception:  # noqa: BLE001  # as in every handler: what cannot be logged must not break what is being done
            self.handleError(record)

    def _take(self, line: Line) -> None:
        if line.event.get("event") != FINISHED:
            key = line.execution_id, line.level >= logging.ERROR
            taken = self._taken[key] = self._taken.pop(key, 0) + 1
            if len(self._taken) > MOST_COUNTED:
                self._taken.popitem(last=False)
            if taken == MOST_LINES + 1:
                told = {"event": CUT, "most_lines": MOST_LINES}
                self._append(Line(line.execution_id, line.seconds, logging.WARNING, told))
            if taken > MOST_LINES:
                return
        self._append(line)

    def _append(self, line: Line) -> None:
        self._waiting.append(line)
        if len(self._waiting) > MOST_WAITING:
            self._lost[self._waiting.popleft().execution_id] += 1

    # --- writing ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write once a second until `stop`, and then what is left."""
        pause = WRITE_SECONDS
        stopped = False
        while not stopped:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            stopped = self._stopping.is_set()
            pause = WRITE_SECONDS if await self.write_all() else WITHOUT_DATABASE_SECONDS
        if left := len(self._in_hand) + len(self._waiting):
            log.warning("the last lines of executions are in this log alone", lines=left)

    def stop(self) -> None:
        """Make `run` end after writing the lines collected so far."""
        self._stopping.set()

    async def write_all(self) -> bool:
        """Write all waiting lines; `False` if the database is away. No error is raised: it is only the log."""
        while self._in_hand or self._waiting or self._lost:
            if not self._in_hand:
                self._in_hand = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            lost, self._lost = self._lost, Counter()
            try:
                await self._write([*self._in_hand, *_lines_about(lost)])
            except Exception as error:
                if is_database_trouble(error):
                    self._lost += lost
                    return False  # code that works with the database logs that it is away
                log.exception("lines of executions could not be written", lines=len(self._in_hand))
            else:
                if lost:
                    log.warning(LOST, lines=lost.total())
            self._in_hand = []
        return True

    async def _write(self, lines: list[Line]) -> None:
        async with self._engine.begin() as db:
            await db.execute(_QUEUE_UP, {"key": _WRITING})
            await db.execute(
                _WRITE,
                {
                    "execution_ids": [line.execution_id for line in lines],
                    "slice_ids": [_as_id(line.event.get("slice_id")) for line in lines],
                    "written_at": datetime.fromtimestamp(time.time(), UTC),
                    "unnoticed": CLOCKS_AGREE,
                    "moments": [datetime.fromtimestamp(line.seconds, UTC) for line in lines],
                    "levels": [logging.getLevelName(line.level).lower() for line in lines],
                    "events": [clean_text(str(line.event.get("event", ""))) for line in lines],
                    "fields": [encode_fields(line.event) for line in lines],
                },
            )


@contextlib.asynccontextmanager
async def keep_execution_log(engine: AsyncEngine) -> AsyncIterator[None]:
    """While open, store the lines of executions; write the rest at its end.

    Use it after `configure_logging`: it takes lines that the stream's level leaves out.
    """
    kept = ExecutionLog(engine)
    root = logging.getLogger()
    root.setLevel(min(root.level, kept.level))
    root.addHandler(kept)
    writing = asyncio.create_task(kept.run())
    try:
        yield
    finally:
        root.removeHandler(kept)
        kept.stop()
        await asyncio.wait([writing], timeout=FAREWELL_SECONDS)
        writing.cancel()
        await asyncio.wait([writing], timeout=GIVE_UP_SECONDS)  # closing a connection that does not answer takes time


def _line_of(record: logging.LogRecord) -> Line | None:
    """The line of a record, if it is an execution's; another library's is, if it is logged while we work on one."""
    ours: dict[str, Any] | None = record.msg if isinstance(record.msg, dict) else None
    event = structlog.contextvars.get_contextvars() if ours is None else ours
    execution_id = _as_id(event.get("execution_id"))
    if execution_id is None:
        return None
    if ours is None:
        event = {**event, "event": record.getMessage(), "logger": record.name}
    # only its kind: a trace shows our inner life, the driver's texts carry values, and both keep memory
    if exc_info := event.get("exc_info") or record.exc_info:
        error = sys.exc_info() if exc_info is True else exc_info
        kind = type(error[1] if isinstance(error, tuple) else error)
        event = {**event, "exception": kind.__name__}
    return Line(execution_id, record.created, record.levelno, event)


def _lines_about(lost: Counter[int]) -> Iterable[Line]:
    seconds = time.time()
    return [
        Line(execution_id, seconds, logging.WARNING, {"event": LOST, "lines": count})
        for execution_id, count in lost.items()
    ]


def _as_id(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value < LARGEST_ID else None


# --- values ---------------------------------------------------------------------------------------------------------


def encode_fields(event: Mapping[str, Any]) -> str:
    """The fields of a line without its own columns, as JSON that PostgreSQL accepts and readers may see."""
    fields = {name: value for name, value in event.items() if name not in _APART and not name.startswith("_")}
    return json.dumps(clean(fields), ensure_ascii=False)


def clean(value: object, depth: int = 0) -> object:
    """A value as JSON can hold it and PostgreSQL store it: short, finite, without NUL and lone surrogates.

    Secrets are hidden, CPFs masked.
    """
    if value is None or isinstance(value, bool) or _is_plain_number(value):
        return value
    if depth < DEEPEST and isinstance(value, Mapping):
        return {
            clean_text(str(name)): HIDDEN if is_secret(str(name)) else clean(inner, depth + 1)
            for name, inner in itertools.islice(value.items(), MOST_ENTRIES)
        }
    if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [clean(inner, depth + 1) for inner in itertools.islice(value, MOST_ENTRIES)]
    return clean_text(value.isoformat() if isinstance(value, date) else _as_text(value))


def _is_plain_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) < LARGEST_ID


def _as_text(value: object) -> str:
    try:
        return value if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001  # whatever it is, it must not cost the other lines
        return f"({type(value).__name__})"


def clean_text(value: str) -> str:
    """Text that PostgreSQL takes, shortened and without CPFs."""
    return mask_text(value)[:LONGEST_TEXT].replace("\0", "").encode("utf-8", "ignore").decode("utf-8")
