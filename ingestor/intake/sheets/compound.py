"""Reads the old container of Office files (OLE2): whether it is encrypted, and which cells of an xls have an error.

Readers take cells with an error for empty. A formula without a value cannot be told from one whose value is an empty
text here: it is empty. The sizes and chains that a file says are
bounded by its own length.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from ingestor.intake.sheets.reading import MOST_FAULTY_CELLS, FaultyCell, Refused

_HEADER_BYTES, _ENTRY_BYTES = 512, 128
_LAST_SECTOR = 0xFFFFFFFA
"""Numbers from here on end a chain or mark sectors that hold none of it."""
_IN_HEADER = 109
_ENCRYPTED = {"encryptedpackage", "encryptioninfo"}
_BOOKS = ("workbook", "book")
_FORMULA, _BOOL_ERR, _BOUND_SHEET, _FILE_PASS, _EOF = 0x0006, 0x0205, 0x0085, 0x002F, 0x000A
_ERROR_NAMES = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
}
_NOT_A_NUMBER = 0xFFFF
_IS_ERROR = 2


class Compound:
    """The streams of a container by their names in lower case."""

    def __init__(self, path: Path) -> None:
        """Read its directory.

        Raises:
            Refused: it is encrypted, is no workbook, or is damaged.

        """
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._read()
        except (struct.error, IndexError):
            raise Refused("damaged_file") from None
        if self._streams.keys() & _ENCRYPTED:
            raise Refused("encrypted")
        if not self._streams.keys() & set(_BOOKS):
            raise Refused("unknown_format")

    def faulty_cells(self, index: int) -> dict[tuple[int, int], FaultyCell]:
        """The cells of the sheet of an index, by row and column.

        Raises:
            Refused: the workbook is encrypted or damaged, or too many cells are faulty.

        """
        found: dict[tuple[int, int], FaultyCell] = {}
        starts: list[int] = []
        is_inside = False
        try:
            for at, kind, body in self._records():
                is_inside = is_inside or (len(starts) > index and at == starts[index])
                if kind == _FILE_PASS:
                    raise Refused("encrypted")
                if kind == _BOUND_SHEET:
                    starts.append(struct.unpack_from("<I", body)[0])
                elif is_inside and kind in (_FORMULA, _BOOL_ERR):
                    cell = _faulty(kind, body)
                    if cell is not None:
                        row, column = struct.unpack_from("<HH", body)
                        found[row + 1, column + 1] = cell
                elif is_inside and kind == _EOF:
                    break
                if len(found) > MOST_FAULTY_CELLS:
                    raise Refused("too_many_faults", limit=MOST_FAULTY_CELLS)
        except (struct.error, IndexError):
            raise Refused("damaged_file") from None
        return found

    def _read(self) -> None:
        (shift,) = struct.unpack_from("<H", self._data, 30)
        if shift not in (9, 12):
            raise Refused("damaged_file")
        self._size = 1 << shift
        directory, _, cutoff, mini, _, more, _ = struct.unpack_from("<7I", self._data, 48)
        self._table = self._read_table(more)
        self._streams: dict[str, tuple[int, int]] = {}
        entries = b"".join(self._chain(directory))
        root = 0
        for at in range(0, len(entries) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            length, kind = struct.unpack_from("<HB", entries, at + 64)
            start, size = struct.unpack_from("<II", entries, at + 116)
            name = entries[at : at + max(0, min(length, 64) - 2)].decode("utf-16-le", "replace").lower()
            if kind == 5:  # noqa: PLR2004  # the root, whose stream holds the small ones
                root = start
            elif kind == 2:  # noqa: PLR2004  # a stream
                self._streams.setdefault(name, (start, size))
        self._cutoff = cutoff
        self._mini, self._root = mini, root

    def _read_table(self, more: int) -> list[int]:
        """The table of sectors: which one follows which."""
        sectors = list(struct.unpack_from(f"<{_IN_HEADER}I", self._data, 76))
        most = len(self._data) // self._size
        while more < _LAST_SECTOR and len(sectors) <= most:
            *here, more = struct.unpack(f"<{self._size // 4}I", self._sector(more))
            sectors += here
        table: list[int] = []
        for sector in sectors:
            if sector < _LAST_SECTOR:
                table += struct.unpack(f"<{self._size // 4}I", self._sector(sector))
        return table

    def _sector(self, number: int) -> bytes:
        at = (number + 1) * self._size
        return self._data[at : at + self._size]

    def _chain(self, first: int) -> Iterator[bytes]:
        sector, left = first, len(self._data) // self._size + 1
        while sector < _LAST_SECTOR:
            left -= 1
            if left < 0:
                raise Refused("damaged_file")
            yield self._sector(sector)
            sector = self._table[sector]

    def _stream(self, name: str) -> Iterator[bytes]:
        start, size = self._streams[name]
        return self._chain(start) if size >= self._cutoff else self._small(start, size)

    def _small(self, first: int, size: int) -> Iterator[bytes]:
        """A stream in pieces of 64 bytes inside the root's."""
        holder = b"".join(self._chain(self._root))
        table = [each for piece in self._chain(self._mini) for (each,) in struct.iter_unpack("<I", piece)]
        sector, left = first, size // 64 + 1
        while sector < _LAST_SECTOR and left:
            yield holder[sector * 64 : sector * 64 + 64]
            sector, left = table[sector], left - 1

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        """Offset, kind and content of each record of the workbook."""
        name = next(each for each in _BOOKS if each in self._streams)
        buffer, at, base = b"", 0, 0
        for piece in self._stream(name):
            buffer, base, at = buffer[at:] + piece, base + at, 0
            while at + 4 <= len(buffer):
                kind, length = struct.unpack_from("<HH", buffer, at)
                if at + 4 + length > len(buffer):
                    break
                yield base + at, kind, buffer[at + 4 : at + 4 + length]
                at += 4 + length


def _faulty(kind: int, body: bytes) -> FaultyCell | None:
    if kind == _BOOL_ERR:
        value, is_error = struct.unpack_from("<BB", body, 6)
        return FaultyCell("cell_error", _ERROR_NAMES.get(value, "")) if is_error else None
    what, value, mark = struct.unpack_from("<BxBxxxH", body, 6)
    is_error = mark == _NOT_A_NUMBER and what == _IS_ERROR
    return FaultyCell("cell_error", _ERROR_NAMES.get(value, "")) if is_error else None
