"""Files of text: one JSON object a line, and CSV as Excel opens it in Brazil."""

import csv
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson

from backend.services.exports.tables import (
    BOOLEANS,
    DAYS,
    INTEGERS,
    JSON,
    MOMENTS,
    NUMBERS,
    Column,
    Row,
    Table,
    heads_of,
    maker_of,
)

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def write_ndjson(table: Table, target: Path, *, count: Callable[[Iterator[Row]], Iterator[Row]]) -> None:
    """Write each row as the object that lists show."""
    names = [column.name for column in table.columns]
    makers = [_json_maker(column) for column in table.columns]
    with target.open("wb") as file:
        for row in count(table.rows()):
            shown = {
                name: None if value is None else make(value)
                for name, make, value in zip(names, makers, row, strict=True)
            }
            file.write(orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE))


def _json_maker(column: Column) -> Callable[[str], Any]:
    if column.kind in (*NUMBERS, *INTEGERS, *BOOLEANS, *JSON):
        return _fragment  # as it is written: numbers lose no digit
    if column.kind in MOMENTS:
        return datetime.fromisoformat
    return date.fromisoformat if column.kind in DAYS else str


def _fragment(written: str) -> orjson.Fragment:
    return orjson.Fragment("null" if written == "NaN" else written)


def write_csv_for_excel(table: Table, target: Path, *, count: Callable[[Iterator[Row]], Iterator[Row]]) -> None:
    """Write CSV with a byte order mark, semicolons, decimal commas and days first; texts begin no formula."""
    makers = [_excel_maker(column) for column in table.columns]
    with target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(heads_of(table.columns))
        for row in count(table.rows()):
            writer.writerow("" if value is None else make(value) for make, value in zip(makers, row, strict=True))


def _excel_maker(column: Column) -> Callable[[str], str]:
    if column.kind in NUMBERS:
        return lambda text: text.replace(".", ",")
    made = maker_of(column, moments="%d/%m/%Y %H:%M:%S")
    if made is not None:
        return made
    return str if column.kind in INTEGERS else without_formula


def without_formula(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
