"""The program that reads one spreadsheet for `ingestor.intake.spreadsheet`, within limits of memory and time.

`python -m ingestor.intake.sheet_child PATH LIMITS`: frames of a length (4 bytes, the greatest first) and MessagePack go
to the standard output. A frame is `["sheet", {...}]`, then `["rows", [[number, cells], ...]]` as often as needed, and
`["end", rows]`; or `["refused", code, values]`. Days, moments and faulty cells are extensions of MessagePack. What the
file holds is a stranger's: nothing of it is executed, imported or used as a path.
"""

import os
import resource
import struct
import sys
from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ingestor.intake.sheets.reading import ERRORS, Faults, FaultyCell, Limits, Refused, Row, Rows, column_letters

BATCH_ROWS = 500
DAY, MOMENT, FAULTY, CLOCK = 1, 2, 3, 4
"""Codes of the extensions."""
_BLANK = "".join(map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x200B, 0x202F, 0x2060, 0xFEFF)))
_ZIP, _OLE = b"PK", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ODS = b"application/vnd.oasis.opendocument.spreadsheet"
_OPEN_FILES = 32
_encode = msgspec.msgpack.Encoder().encode


def main(arguments: list[str]) -> int:
    """Read one file, and say what is in it or why it is refused."""
    limits = msgspec.json.decode(arguments[1], type=Limits)
    out = os.fdopen(os.dup(1), "wb")
    try:
        _limit(limits)
        _run(Path(arguments[0]), limits, out)
    except Refused as refused:
        _send(out, ["refused", refused.code, refused.values])
    except MemoryError:
        _send(out, ["refused", "too_much_memory", {}])
    return 0


def _limit(limits: Limits) -> None:
    """Give up what reading a file does not need. The standard output is a pipe, which the size of files leaves out."""
    os.umask(0o077)
    wanted = {
        resource.RLIMIT_AS: limits.memory,
        resource.RLIMIT_CPU: limits.seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    for kind, most in wanted.items():
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS does not limit the address space, and others allow less already
            continue


def _run(path: Path, limits: Limits, out: BinaryIO) -> None:
    name, rows, faults = _open(path, limits)
    header_row, headers = _header(rows, limits, is_text=not name)
    known = Counter(each.casefold() for each in headers)
    repeated = [each for each in headers if known[each.casefold()] > 1]
    if repeated:
        raise Refused("repeated_headers", headers=", ".join(repeated)[:500])
    _send(out, ["sheet", {"name": name, "headers": headers, "header_row": header_row}])
    batch: list[Row] = []
    sent = 0
    for row, values in rows:
        cells = _cells(row, values, len(headers), faults)
        if cells is None:
            continue
        batch.append((row, cells))
        sent += 1
        if sent > limits.rows:
            raise Refused("too_many_rows", limit=limits.rows)
        if len(batch) == BATCH_ROWS:
            _send(out, ["rows", batch])
            batch = []
    if batch:
        _send(out, ["rows", batch])
    _send(out, ["end", sent])


def _send(out: BinaryIO, message: list[Any]) -> None:
    frame = _encode(message)
    out.write(struct.pack(">I", len(frame)) + frame)
    out.flush()


# --- formats ----------------------------------------------------------------------------------------------------


def _open(path: Path, limits: Limits) -> tuple[str, Rows, Faults]:
    """The name of the sheet, its rows and its faulty cells; what a file is follows from its content alone."""
    with path.open("rb") as file:
        head = file.read(len(_OLE))
    if not head:
        raise Refused("empty_file")
    if head == _OLE:
        return _open_old(path, limits)
    if head.startswith(_ZIP):
        return _open_zip(path, limits)
    from ingestor.intake.sheets.delimited import rows_of  # noqa: PLC0415  # each format loads what it needs

    return "", rows_of(path), {}


def _open_zip(path: Path, limits: Limits) -> tuple[str, Rows, Faults]:
    from ingestor.intake.sheets.archive import Archive  # noqa: PLC0415
    from ingestor.intake.sheets.faulty import faulty_cells  # noqa: PLC0415

    archive = Archive(path, limits)
    names = archive.parts.keys()
    is_ods = "mimetype" in names and archive.read("mimetype").strip() == _ODS
    if not is_ods and "xl/workbook.bin" in names:
        raise Refused("binary_workbook")
    if not is_ods and "xl/workbook.xml" not in names:
        raise Refused("unknown_format")
    if not is_ods and ("xl/vbaproject.bin" in names or b"macroEnabled" in archive.read("[content_types].xml")):
        raise Refused("macros")
    archive.check()
    if is_ods and b"encryption-data" in archive.read("meta-inf/manifest.xml"):
        raise Refused("encrypted")
    name, _, rows = _sheet(path, limits)
    return name, rows, {} if is_ods else faulty_cells(archive, name)


def _open_old(path: Path, limits: Limits) -> tuple[str, Rows, Faults]:
    from ingestor.intake.sheets.compound import Compound  # noqa: PLC0415

    compound = Compound(path)
    name, index, rows = _sheet(path, limits)
    return name, rows, compound.faulty_cells(index)


def _sheet(path: Path, limits: Limits) -> tuple[str, int, Rows]:
    """The first visible sheet that has content."""
    import python_calamine as calamine  # noqa: PLC0415

    try:
        # a path without an ending: else the ending decides what the content is
        workbook = calamine.load_workbook(f"/dev/fd/{os.open(path, os.O_RDONLY)}")
        for index, each in enumerate(workbook.sheets_metadata):
            is_sheet = each.typ == calamine.SheetTypeEnum.WorkSheet
            if not is_sheet or each.visible != calamine.SheetVisibleEnum.Visible:
                continue
            sheet = workbook.get_sheet_by_index(index)
            if sheet.start is None or sheet.end is None:
                continue
            if sheet.end[0] - sheet.start[0] > limits.rows * 2:  # empty rows between do not count, to a degree
                raise Refused("too_many_rows", limit=limits.rows)
            if sheet.end[1] >= limits.columns:
                raise Refused("too_many_columns", limit=limits.columns)
            return each.name, index, _rows(sheet)
    except calamine.PasswordError:
        raise Refused("encrypted") from None
    except calamine.CalamineError:
        raise Refused("damaged_file") from None
    raise Refused("no_content")


def _rows(sheet: Any) -> Rows:
    """Rows of a sheet from the first column on: calamine's begin with the first that has content."""
    before = [None] * sheet.start[1]
    for row, values in enumerate(sheet.iter_rows(), 1):
        yield row, before + values if before else values


# --- rows and cells ---------------------------------------------------------------------------------------------


def _header(rows: Rows, limits: Limits, *, is_text: bool) -> tuple[int, list[str]]:
    """The number of the first row with content, and the names of its columns.

    A column without a name has its letters for one, so that what it holds is not lost unseen; but for the empty cells
    that end the rows of a text.
    """
    for row, values in rows:
        names = [_name(each) for each in values]
        if not any(names):
            continue
        while is_text and not names[-1]:
            names.pop()
        if len(names) > limits.columns:
            raise Refused("too_many_columns", limit=limits.columns)
        return row, [each or f"({column_letters(index)})" for index, each in enumerate(names, 1)]
    raise Refused("no_content")


def _name(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else " ".join(str(value).split()).strip(_BLANK)


def _cells(row: int, values: list[Any], width: int, faults: Faults) -> list[Any] | None:
    """The cells of a row below the headers; `None` where it is empty."""
    cells = [_plain(each, row, index) for index, each in enumerate(values)]
    if faults:
        for index in range(len(cells)):
            fault = faults.get((row, index + 1))
            if fault is not None:
                cells[index] = _faulty(row, index, fault)
    if cells.count(None) == len(cells):
        return None
    if len(cells) > width:
        if any(each is not None for each in cells[width:]):  # a delimiter without quotes has moved them
            return [_faulty(row, width, FaultyCell("cells_beyond_header"))] * width
        del cells[width:]
    return cells + [None] * (width - len(cells)) if len(cells) < width else cells


def _plain(value: Any, row: int, index: int) -> Any:
    """A value as MessagePack holds it; of blanks alone nothing is left."""
    kind = type(value)
    if kind is str:
        text = value.strip(_BLANK)
        if text[:1] in ("#", "E") and text in ERRORS:
            return _faulty(row, index, FaultyCell("cell_error", text))
        return text or None
    if kind is datetime:
        return msgspec.msgpack.Ext(MOMENT, value.isoformat().encode())
    if kind is date:
        return msgspec.msgpack.Ext(DAY, value.isoformat().encode())
    if kind is time or kind is timedelta:
        return msgspec.msgpack.Ext(CLOCK, str(value).encode())
    return value


def _faulty(row: int, index: int, fault: FaultyCell) -> msgspec.msgpack.Ext:
    address = f"{column_letters(index + 1)}{row}"
    return msgspec.msgpack.Ext(FAULTY, msgspec.msgpack.encode([fault.code, address, fault.error]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
