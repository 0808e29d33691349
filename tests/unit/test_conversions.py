"""Converters take CSV as PostgreSQL writes it, to the last character, and say what a format could not hold."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.services.exports import xlsx
from backend.services.exports.parquet import write_parquet
from backend.services.exports.tables import About, Column, Row, Table, heads_of
from backend.services.exports.texts import write_ndjson
from backend.services.exports.xlsx import LONGEST_TEXT, write_xlsx

TEXTS = st.one_of(
    st.none(),
    st.text(alphabet=st.sampled_from('a,"\n\r; é'), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)


def quoted(value: str | None) -> str:
    """As PostgreSQL writes it: only what needs it is quoted, and an empty text, which null is not."""
    if value is None:
        return ""
    needs = value in ("", "\\.") or any(mark in value for mark in ',"\n\r')
    return '"' + value.replace('"', '""') + '"' if needs else value


def table_of(folder: Path, columns: dict[str, str], rows: list[list[str | None]]) -> Table:
    path = folder / "linhas.csv"
    lines = [list(columns), *rows]
    path.write_bytes("".join(",".join(map(quoted, line)) + "\n" for line in lines).encode())
    return Table(path, tuple(Column(name, name.title(), kind) for name, kind in columns.items()))


def about(rows: int) -> About:
    return About("Contratos", [("UF", "SC")], "Data, decrescente", "29/11/2026 01:00", rows, {"completo": True}, "ok")


def whole(rows: Iterator[Row]) -> Iterator[Row]:
    return rows


@settings(database=None, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(TEXTS, min_size=3, max_size=3), max_size=5))
def test_a_table_is_read_as_it_was_written(tmp_path: Path, rows: list[list[str | None]]) -> None:
    table = table_of(tmp_path, dict.fromkeys("abc", "TEXT"), rows)
    assert list(table.rows()) == rows
    write_parquet(table, about(len(rows)), tmp_path / "o.parquet", progress=lambda _: None)
    assert [list(row.values()) for row in pq.read_table(tmp_path / "o.parquet").to_pylist()] == rows
    write_ndjson(table, tmp_path / "o.ndjson", count=whole)
    assert [list(json.loads(line).values()) for line in (tmp_path / "o.ndjson").read_bytes().splitlines()] == rows


@pytest.mark.parametrize("rows", [[[None], [""], ["x"], [None]], []])
def test_a_single_column_keeps_its_nulls(tmp_path: Path, rows: list[list[str | None]]) -> None:
    table = table_of(tmp_path, {"a": "TEXT"}, rows)
    assert list(table.rows()) == rows
    write_parquet(table, about(len(rows)), tmp_path / "o.parquet", progress=lambda _: None)
    assert pq.read_table(tmp_path / "o.parquet").column("a").to_pylist() == [value for (value,) in rows]


def test_parquet_and_ndjson_lose_no_digit(tmp_path: Path) -> None:
    numbers = ["0.1", "-99999999999999999999.99", "0.123456789", "1", None]
    wide = "12345678901234567890123456789012345678901234567890.1"
    columns = {"a": "NUMBER", "b": "NUMBER", "wide": "NUMBER"}
    table = table_of(tmp_path, columns, [[number, number and number[:5], wide] for number in numbers])
    write_parquet(table, about(5), tmp_path / "o.parquet", progress=lambda _: None)
    found = pq.read_table(tmp_path / "o.parquet")
    assert found.column("a").to_pylist() == [number and Decimal(number) for number in numbers]
    assert [str(found.schema.field(name).type) for name in columns] == [
        "decimal128(38, 9)",
        "decimal128(38, 4)",
        "string",
    ]
    assert set(found.column("wide").to_pylist()) == {wide}
    write_ndjson(table, tmp_path / "o.ndjson", count=whole)
    assert [line.split(b",")[0] for line in (tmp_path / "o.ndjson").read_bytes().splitlines()] == [
        f'{{"a":{number or "null"}'.encode() for number in numbers
    ]


def test_a_row_that_is_longer_than_a_block_of_parquet_is_written(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"a": "TEXT"}, [["x" * 9_000_000], ["y"]])
    write_parquet(table, about(2), tmp_path / "o.parquet", progress=lambda _: None)
    assert [len(value) for value in pq.read_table(tmp_path / "o.parquet").column("a").to_pylist()] == [9_000_000, 1]


@pytest.mark.parametrize("letter", ["é", "🙂"])
def test_a_text_that_is_longer_than_a_cell_is_cut_with_a_mark_and_counted(tmp_path: Path, letter: str) -> None:
    units = len(letter.encode("utf-16-le")) // 2
    fits = letter * (LONGEST_TEXT // units)
    table = table_of(tmp_path, {"a": "TEXT"}, [[fits], [fits + letter]])
    write_xlsx(table, about(2), tmp_path / "o.xlsx", count=whole)
    sheet, last = openpyxl.load_workbook(tmp_path / "o.xlsx").worksheets
    assert sheet["A2"].value == fits
    assert sheet["A3"].value.endswith(f"{letter} [cortado]")
    assert LONGEST_TEXT - 2 <= len(sheet["A3"].value.encode("utf-16-le")) // 2 <= LONGEST_TEXT
    assert dict(last.iter_rows(values_only=True))["Textos cortados"].startswith("1, ")


def test_more_rows_than_a_sheet_holds_make_more_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MOST_SHEET_ROWS", 2)
    table = table_of(tmp_path, {"n": "INTEGER"}, [[str(n)] for n in range(5)])
    write_xlsx(table, about(5), tmp_path / "o.xlsx", count=whole)
    book = openpyxl.load_workbook(tmp_path / "o.xlsx")
    assert book.sheetnames == ["Contratos 1", "Contratos 2", "Contratos 3", "Sobre"]
    assert [[row[0] for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets[:3]] == [
        ["N", 0, 1],
        ["N", 2, 3],
        ["N", 4],
    ]
    assert dict(book["Sobre"].iter_rows(values_only=True))["Planilhas"] == "Contratos 1, Contratos 2, Contratos 3"


def test_what_excel_s_calendar_does_not_hold_stays_a_text(tmp_path: Path) -> None:
    days = ["2026-03-10", "0202-01-01", "1899-12-31", "12024-01-01"]
    table = table_of(tmp_path, {"a": "DAY"}, [[day] for day in days])
    write_xlsx(table, about(4), tmp_path / "o.xlsx", count=whole)
    cells = [cell.value for cell in openpyxl.load_workbook(tmp_path / "o.xlsx").worksheets[0]["A"]]
    assert cells == ["A", datetime(2026, 3, 10), "0202-01-01", "1899-12-31", "12024-01-01"]


def test_a_file_without_rows_has_its_head(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"a": "TEXT", "n": "NUMBER"}, [])
    write_xlsx(table, about(0), tmp_path / "o.xlsx", count=whole)
    assert [cell.value for cell in openpyxl.load_workbook(tmp_path / "o.xlsx").worksheets[0][1]] == ["A", "N"]


def test_two_columns_with_one_label_are_told_apart() -> None:
    columns = (Column("a", "Objeto", "TEXT"), Column("b", "Objeto", "TEXT"), Column("c", "Valor", "NUMBER"))
    assert heads_of(columns) == ["Objeto (a)", "Objeto (b)", "Valor"]


def test_csv_is_what_the_standard_library_reads_too(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"a": "TEXT", "b": "TEXT"}, [['a"b', "c,d\n"], [None, ""]])
    assert list(csv.reader(io.StringIO(table.path.read_text(), newline=""))) == [
        ["a", "b"],
        ['a"b', "c,d\n"],
        ["", ""],
    ]
