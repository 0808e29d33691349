"""Converts CSV into the other formats, in a child process of low priority that ends with its parent.

The parent writes the task into the child's standard input, as a line of JSON, and leaves it open: its end is the
parent's end. The child answers in lines of JSON: `{"rows": N}` while it works, `{"done": N}`, or `{"error": "...",
"errno": N}`.
"""

import asyncio
import errno
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backend.services.exports.formats import EXCEL
from backend.services.exports.tables import About, Column, Row, Table

PROGRESS_ROWS = 5_000
LOW_PRIORITY = 10
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROOT = Path(__file__).parents[3]
_LONGEST_LINE = 1024 * 1024


class ConversionError(Exception):
    """The converter has failed; the text is for the log."""


class DiskFullError(Exception):
    """There is no room for the file."""


def has_parquet() -> bool:
    """Whether the extra that writes Parquet is installed."""
    return find_spec("pyarrow") is not None


# --- the parent -------------------------------------------------------------------------------------------------


async def convert(
    form: str,
    source: Path,
    target: Path,
    columns: Sequence[Column],
    about: About,
    *,
    on_rows: Callable[[int], None] = lambda _: None,
) -> int:
    """Convert a CSV into a file of another format (of `FORMATS`, or `EXCEL`); how many rows it has.

    The child ends when this is cancelled. `on_rows` is called with the rows that are done.

    Raises:
        DiskFullError: there is no room for the file.
        ConversionError: anything else went wrong in the child.

    """
    task = {
        "form": form,
        "source": str(source),
        "target": str(target),
        "columns": [vars(column) for column in columns],
        "about": about.to_object(),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "backend.services.exports.converting"),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(target.parent)},  # where the XLSX library keeps what is not compressed yet
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
    )
    assert child.stdin is not None  # noqa: S101  # for the type checker
    assert child.stdout is not None  # noqa: S101  # for the type checker
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended, and its exit code says how
            child.stdin.write(json.dumps(task, default=str).encode() + b"\n")
            await child.stdin.drain()
        async for line in child.stdout:
            said = json.loads(line)
            if "done" in said:
                return int(said["done"])
            if "error" in said:
                raise DiskFullError if said["errno"] in FULL else ConversionError(said["error"])
            on_rows(int(said["rows"]))
        raise ConversionError(f"the converter ended with code {await child.wait()}")
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await asyncio.shield(child.wait())


# --- the child --------------------------------------------------------------------------------------------------


def main() -> None:
    """Do the task that standard input holds."""
    os.nice(LOW_PRIORITY)
    task = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        done = _convert(task)
    except BaseException as error:  # noqa: BLE001  # the parent reports it
        number = getattr(error, "errno", None)
        if number is None and "os error 28" in str(error):  # as the XLSX library reports a full disk
            number = errno.ENOSPC
        _say(error="".join(traceback.format_exception(error))[-4_000:], errno=number)
    else:
        _say(done=done)


def _end_with_parent() -> None:
    """Wait for the end of standard input, which the parent holds open as long as it lives."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def _say(**said: Any) -> None:
    print(json.dumps(said), flush=True)  # noqa: T201  # the parent reads it


def _convert(task: dict[str, Any]) -> int:
    """Write the file; each library is imported only for its format."""
    form, target = task["form"], Path(task["target"])
    table = Table(Path(task["source"]), tuple(Column(**each) for each in task["columns"]))
    about = About.of_object(task["about"])
    counter = _Counter()
    if form == "parquet":
        from backend.services.exports.parquet import write_parquet  # noqa: PLC0415

        write_parquet(table, about, target, progress=counter.reach)
    elif form == "xlsx":
        from backend.services.exports.xlsx import write_xlsx  # noqa: PLC0415

        write_xlsx(table, about, target, count=counter.pass_on)
    elif form == "pdf":
        from backend.services.exports.pdf import write_pdf  # noqa: PLC0415

        write_pdf(table, about, target, count=counter.pass_on)
    else:
        from backend.services.exports.texts import write_csv_for_excel, write_ndjson  # noqa: PLC0415

        write = {"ndjson": write_ndjson, EXCEL: write_csv_for_excel}[form]
        write(table, target, count=counter.pass_on)
    return counter.rows


class _Counter:
    """Counts rows and reports them to the parent."""

    def __init__(self) -> None:
        self.rows = 0

    def reach(self, rows: int) -> None:
        """So many rows are done."""
        self.rows = rows
        _say(rows=rows)

    def pass_on(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The same rows, counted as they are taken."""
        for row in rows:
            self.rows += 1
            if self.rows % PROGRESS_ROWS == 0:
                _say(rows=self.rows)
            yield row


if __name__ == "__main__":
    main()
