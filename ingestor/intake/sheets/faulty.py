"""Finds the cells of an xlsx that have an error or a formula without a stored value: readers take both for empty.

By regular expressions over the stream of a sheet, row by row, in memory that does not depend on its size.
"""

import posixpath
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from ingestor.intake.sheets.archive import Archive
from ingestor.intake.sheets.reading import MEBIBYTE, MOST_FAULTY_CELLS, FaultyCell, Refused, column_number

_TAG = rb"(?:[A-Za-z][\w.-]*:)?"
_ERROR = re.compile(rb"<%sc\s([^<>]*\bt\s*=\s*[\"']e[\"'][^<>]*)>(.*?)</%sc>" % (_TAG, _TAG), re.DOTALL)
_FORMULA = re.compile(rb"<%sc\s([^<>]*)>\s*<%sf\b(.*?)</%sc>" % (_TAG, _TAG, _TAG), re.DOTALL)
_VALUE = re.compile(rb"<%sv(?:\s[^<>]*)?>([^<]+)<" % _TAG)
_EMPTY_TEXT = re.compile(rb"\bt\s*=\s*[\"']str[\"']")
_ANY_VALUE = re.compile(rb"<%sv[\s/>]" % _TAG)
_ADDRESS = re.compile(rb"\br\s*=\s*[\"']([A-Z]{1,3})([0-9]{1,7})[\"']")
_ROW_END = b"row>"
_LARGEST_ROW = 16 * MEBIBYTE
_RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT_RELATIONS = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"


def faulty_cells(archive: Archive, sheet: str) -> dict[tuple[int, int], FaultyCell]:
    """The cells of the sheet of a name, by row and column.

    Raises:
        Refused: there are too many, or one says not where it is.

    """
    found: dict[tuple[int, int], FaultyCell] = {}
    for rows in _pieces(archive.chunks(_part_of(archive, sheet))):
        for attributes, cell in _faulty(rows):
            address = _ADDRESS.search(attributes)
            if address is None:
                raise Refused("faults_without_address")
            found[int(address[2]), column_number(address[1].decode())] = cell
            if len(found) > MOST_FAULTY_CELLS:
                raise Refused("too_many_faults", limit=MOST_FAULTY_CELLS)
    return found


def _faulty(rows: bytes) -> Iterator[tuple[bytes, FaultyCell]]:
    if b'"e"' in rows or b"'e'" in rows:
        for cell in _ERROR.finditer(rows):
            shown = _VALUE.search(cell[2])
            yield cell[1], FaultyCell("cell_error", shown[1].decode("utf-8", "replace")[:20] if shown else "")
    if b"<f" in rows or b":f" in rows:
        for cell in _FORMULA.finditer(rows):
            if _VALUE.search(cell[2]) is None and not (_EMPTY_TEXT.search(cell[1]) and _ANY_VALUE.search(cell[2])):
                yield cell[1], FaultyCell("formula_without_value")


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The stream in pieces that end where a row does."""
    kept = b""
    for chunk in chunks:
        kept += chunk
        end = kept.rfind(_ROW_END)
        if end >= 0:
            yield kept[: end + len(_ROW_END)]
            kept = kept[end + len(_ROW_END) :]
        elif len(kept) > _LARGEST_ROW:
            raise Refused("damaged_file")
    yield kept


def _part_of(archive: Archive, sheet: str) -> str:
    """The name of the part that a sheet stands in."""
    try:
        workbook = ET.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314  # no part has a document type
        relations = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    except ET.ParseError:
        raise Refused("damaged_file") from None
    for each in workbook.iter():
        if each.tag.rpartition("}")[2] == "sheet" and each.get("name") == sheet:
            relation = each.get(_RELATIONS) or each.get(_STRICT_RELATIONS)
            for target in relations:
                if target.get("Id") == relation:
                    return posixpath.normpath(posixpath.join("/xl", target.get("Target", ""))).lstrip("/")
    raise Refused("damaged_file")
