"""Files of spreadsheets for tests, sound ones and others."""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import xlsxwriter

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def xlsx(*rows: Sequence[Any], **options: Any) -> bytes:
    """A workbook of one sheet; a formula is a text that begins with `=` and has no stored value."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True, **options}) as book:
        sheet = book.add_worksheet()
        day, moment = (book.add_format({"num_format": each}) for each in ("dd/mm/yyyy", "dd/mm/yyyy hh:mm:ss"))
        for at, row in enumerate(rows):
            for column, value in enumerate(row):
                if isinstance(value, date):
                    sheet.write_datetime(at, column, value, moment if isinstance(value, datetime) else day)
                elif isinstance(value, str) and value.startswith("="):
                    sheet.write_formula(at, column, value, None, "")
                elif isinstance(value, str):
                    sheet.write_string(at, column, value)
                elif value is not None:
                    sheet.write(at, column, value)
    return made.getvalue()


def raw_xlsx(sheet: str, more: Mapping[str, bytes] | None = None, *, attributes: str = "") -> bytes:
    """A workbook of one sheet whose XML between the ends of `sheetData` is given."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        parts.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{OFFICE}/officeDocument"'
            ' Target="xl/workbook.xml"/></Relationships>',
        )
        parts.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="P" sheetId="1" r:id="r1"/></sheets>'
            "</workbook>",
        )
        parts.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" Type="{OFFICE}/worksheet"'
            ' Target="worksheets/sheet1.xml"/></Relationships>',
        )
        parts.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{MAIN}" {attributes}><sheetData>{sheet}</sheetData></worksheet>',
        )
        for name, content in (more or {}).items():
            parts.writestr(name, content)
    return made.getvalue()


HEADER = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>nome</t></is></c><c r="B1" t="inlineStr"><is><t>valor</t></is></c></row>'
)


def ods(table: str, *, manifest: str = "", hidden: str = "") -> bytes:
    """A document of a table whose XML is given; one more that is hidden comes before it where its XML is given."""
    names = ("office", "table", "text", "style")
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    styles = (
        '<office:automatic-styles><style:style style:name="h" style:family="table">'
        '<style:table-properties table:display="false"/></style:style></office:automatic-styles>'
    )
    before = f'<table:table table:name="H" table:style-name="h">{hidden}</table:table>' if hidden else ""
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces} office:version="1.3">{styles}'
        f'<office:body><office:spreadsheet>{before}<table:table table:name="P">{table}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        parts.writestr("content.xml", content)
        parts.writestr("META-INF/manifest.xml", f"<manifest>{manifest}</manifest>")
    return made.getvalue()


def text_cell(text: str) -> str:
    """A cell of an ODS."""
    return f'<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>'


def lying(archive: bytes, size: int) -> bytes:
    """The same zip, whose directory and parts say of each part that it inflates to `size` bytes."""
    changed = bytearray(archive)
    for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        found = changed.find(mark)
        while found >= 0:
            struct.pack_into("<I", changed, found + at, size)
            found = changed.find(mark, found + 4)
    return bytes(changed)


def flagged(archive: bytes) -> bytes:
    """The same zip, whose parts are said to be encrypted."""
    changed = bytearray(archive)
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        found = changed.find(mark)
        while found >= 0:
            changed[found + at] |= 1
            found = changed.find(mark, found + 4)
    return bytes(changed)


def compound(*names: str) -> bytes:
    """A container of the old kind with empty streams of these names."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    struct.pack_into("<HHHH", header, 24, 0x3E, 3, 0xFFFE, 9)
    struct.pack_into("<IIIIIIIII", header, 44, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 0)
    struct.pack_into("<108I", header, 80, *[0xFFFFFFFF] * 108)
    table = struct.pack("<128I", 0xFFFFFFFD, 0xFFFFFFFE, *[0xFFFFFFFF] * 126)
    entries = b""
    for name, kind in (("Root Entry", 5), *((name, 2) for name in names)):
        written = name.encode("utf-16-le") + b"\0\0"
        entry = bytearray(128)
        entry[: len(written)] = written
        struct.pack_into("<HB", entry, 64, len(written), kind)
        struct.pack_into("<II", entry, 116, 0xFFFFFFFE, 0)
        entries += entry
    return bytes(header) + table + entries.ljust(512, b"\0")
