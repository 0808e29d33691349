"""Looks through the zip of a spreadsheet before anything reads it, in memory that does not depend on its content.

What the headers of its parts say is not believed: everything is inflated and counted. Names of parts are compared and
never used as paths.
"""

import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ingestor.intake.sheets.reading import MEBIBYTE, Limits, Refused

_END = b"PK\x05\x06"
_CENTRAL = b"PK\x01\x02"
_LOCAL = b"PK\x03\x04"
_END_BYTES, _CENTRAL_BYTES, _LOCAL_BYTES = 22, 46, 30
_LONGEST_COMMENT = 65_535
_CHUNK = 256 * 1024
_LARGEST_SMALL_PART = 4 * MEBIBYTE
_STORED, _DEFLATED = 0, 8
_IS_ENCRYPTED = 1
_TOP = 0xFFFF


class Part(msgspec.Struct, frozen=True):
    """A part of a zip. `packed` and `size` are bytes as the directory says; `size` is checked while inflating."""

    name: str
    method: int
    packed: int
    size: int
    offset: int


class Archive:
    """The parts of a zip by their names in lower case, as programs find them."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Read the directory.

        Raises:
            Refused: too many parts, encrypted, packed in another way, or no sound zip.

        """
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._limits = limits
        self.parts: dict[str, Part] = {}
        for part in self._directory():
            if part.name.lower() in self.parts:
                raise Refused("damaged_file")
            self.parts[part.name.lower()] = part

    def check(self) -> None:
        """Inflate everything once and count.

        Raises:
            Refused: too much, a zip in the zip, a document type of XML, or another size than the directory says.

        """
        left = self._limits.inflated
        for part in self.parts.values():
            is_xml = part.name.lower().endswith((".xml", ".rels"))
            size, before = 0, b""
            for chunk in self._inflate(part):
                if not size and chunk.startswith(_LOCAL):
                    raise Refused("nested_archive")
                size += len(chunk)
                left -= len(chunk)
                if left < 0:
                    raise Refused("too_large_inflated", limit=self._limits.inflated // MEBIBYTE)
                if is_xml:
                    _check_xml(before + chunk, is_start=size == len(chunk))
                    before = chunk[-16:]
            if size != part.size:
                raise Refused("damaged_file")

    def read(self, name: str) -> bytes:
        """A small part as a whole.

        Raises:
            Refused: there is none of this name, or it is not small.

        """
        content = b""
        for chunk in self.chunks(name):
            content += chunk
            if len(content) > _LARGEST_SMALL_PART:
                raise Refused("damaged_file")
        return content

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a part, piece by piece.

        Raises:
            Refused: there is none of this name.

        """
        part = self.parts.get(name.lower())
        if part is None:
            raise Refused("damaged_file")
        return self._inflate(part)

    def _directory(self) -> Iterator[Part]:
        tail = max(0, len(self._data) - _END_BYTES - _LONGEST_COMMENT)
        end = self._data.rfind(_END, tail)
        if end < 0 or end + _END_BYTES > len(self._data):
            raise Refused("damaged_file")
        disk, first_disk, here, count, size, offset = struct.unpack_from("<HHHHII", self._data, end + 4)
        if count > self._limits.parts or size > end:  # 65535 parts stand for more in another directory
            raise Refused("too_many_parts", limit=self._limits.parts)
        if disk or first_disk or here != count or offset + size > end:
            raise Refused("damaged_file")
        at = offset
        for _ in range(count):
            if at + _CENTRAL_BYTES > end or self._data[at : at + 4] != _CENTRAL:
                raise Refused("damaged_file")
            flags, method, _, _, packed, plain, named, extra, comment = struct.unpack_from(
                "<HHIIIIHHH", self._data, at + 8
            )
            (start,) = struct.unpack_from("<I", self._data, at + 42)
            name = self._data[at + _CENTRAL_BYTES : at + _CENTRAL_BYTES + named].decode("utf-8", "replace")
            if flags & _IS_ENCRYPTED:
                raise Refused("encrypted")
            if method not in (_STORED, _DEFLATED):
                raise Refused("damaged_file")
            yield Part(name, method, packed, plain, start)
            at += _CENTRAL_BYTES + named + extra + comment
        if at != offset + size:
            raise Refused("damaged_file")

    def _inflate(self, part: Part) -> Iterator[bytes]:
        at = part.offset
        if self._data[at : at + 4] != _LOCAL or at + _LOCAL_BYTES > len(self._data):
            raise Refused("damaged_file")
        named, extra = struct.unpack_from("<HH", self._data, at + 26)
        start = at + _LOCAL_BYTES + named + extra
        end = start + part.packed
        if end > len(self._data):
            raise Refused("damaged_file")
        pieces = (self._data[each : min(each + _CHUNK, end)] for each in range(start, end, _CHUNK))
        return _inflated(pieces) if part.method == _DEFLATED else pieces


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in pieces:
            rest = piece
            while rest and not inflate.eof:
                yield inflate.decompress(rest, _CHUNK)
                rest = inflate.unconsumed_tail
        while not inflate.eof:
            more = inflate.decompress(inflate.unconsumed_tail, _CHUNK)
            if not more:
                raise Refused("damaged_file")
            yield more
    except zlib.error:
        raise Refused("damaged_file") from None


def _check_xml(text: bytes, *, is_start: bool) -> None:
    """No spreadsheet has a document type, which is where entities are declared; all are UTF-8."""
    if (
        b"<!DOCTYPE" in text
        or b"<!ENTITY" in text
        or (is_start and text[:2] in (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<"))
    ):
        raise Refused("xml_entities")
