"""Files of spreadsheets by their names, and what is wrong with an import as a file for people."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

KINDS = (".xlsx", ".ods", ".xls", ".csv")
_CODES = {".xlsm": "macros", ".xlsb": "binary_workbook"}

HEAD = ("linha", "entidade", "coluna", "valor", "codigo", "mensagem")
BYTE_ORDER_MARK = "\ufeff"
"""By which Excel knows UTF-8."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Line = tuple[str, ...]


def fault_of_name(file_name: str) -> str | None:
    """The code of what is wrong with the extension of a file; null where it is one of `KINDS`."""
    suffix = PurePath(file_name).suffix.lower()
    return None if suffix in KINDS else _CODES.get(suffix, "unknown_format")


def line_of_fault(layout: str, code: str, fault: str) -> Line:
    """The line for an import that was refused as a whole."""
    return "", layout, "", "", code, fault


def lines_of(rows: Iterable[tuple[int, str, Sequence[Mapping[str, Any]]]]) -> list[Line]:
    """A line for each error of rejected rows: number, entity and errors of each."""
    return [
        (str(row), entity, error["column"], error["value"], error["code"], error["message"])
        for row, entity, errors in rows
        for error in errors
    ]


def to_csv(lines: Iterable[Line]) -> str:
    """Lines for spreadsheets, with semicolons; no cell is a formula."""
    written = io.StringIO()
    csv.writer(written, delimiter=";").writerows([[safe_cell(value) for value in line] for line in lines])
    return written.getvalue()


def safe_cell(value: str) -> str:
    """A text that no spreadsheet takes for a formula: behind an apostrophe where it would."""
    return f"'{value}" if value.startswith(_FORMULA) else value
