"""Spreadsheets and CSV are read in a child process; what is no sound file is refused, and the worker lives."""

import asyncio
import io
import os
import random
import signal
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
import xlwt

from common.intake.faults import CellFault
from ingestor.intake import spreadsheet
from ingestor.intake.sheets.reading import MEBIBYTE, Limits, column_letters, column_number
from ingestor.intake.spreadsheet import Clock, SheetRefused, open_sheet
from tests.sheets import HEADER, MAIN, compound, flagged, lying, ods, raw_xlsx, text_cell, xlsx

SOUND = xlsx(["nome", "valor"], ["Arroz", 5.9])
Read = tuple[tuple[str, ...], list[tuple[int, list[Any]]]]


async def read_sheet(path: Path, limits: Limits | None = None) -> Read:
    async with open_sheet(path, path.name, limits) as sheet:
        rows = [row async for batch in sheet.batches() for row in batch]
        return sheet.headers, [(number, cells) for number, cells in rows]


async def read_bytes(tmp_path: Path, content: bytes | str, name: str = "arquivo") -> Read:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return await read_sheet(path)


async def refused(tmp_path: Path, content: bytes | str, limits: Limits | None = None, name: str = "arquivo") -> str:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SheetRefused) as caught:
        await read_sheet(path, limits)
    assert caught.value.message
    return caught.value.code


# --- what is read -----------------------------------------------------------------------------------------------


async def test_cells_have_the_types_that_the_sheet_gives_them(tmp_path: Path) -> None:
    day, moment = date(2026, 12, 31), datetime(2026, 12, 31, 10, 33, 7)
    content = xlsx(["texto", "número", "dia", "hora", "sim"], [" Arroz\t", 5.9, day, moment, True], ["b"])
    headers, rows = await read_bytes(tmp_path, content)
    assert headers == ("texto", "número", "dia", "hora", "sim")
    assert rows == [(2, ["Arroz", 5.9, day, moment, True]), (3, ["b", None, None, None, None])]
    assert [type(cell) for cell in rows[0][1]] == [str, float, date, datetime, bool]


async def test_rows_have_the_numbers_of_the_sheet_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    content = xlsx([], [], [None, "nome", "valor"], [], [None, "Arroz"], [None, " "], [None, None, 1.0])
    headers, rows = await read_bytes(tmp_path, content)
    assert headers == ("(A)", "nome", "valor")
    assert rows == [(5, [None, "Arroz", None]), (7, [None, None, 1.0])]


async def test_the_first_visible_sheet_with_content_is_read(tmp_path: Path) -> None:
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        for name, is_hidden, text in (
            ("oculta", True, "a"),
            ("vazia", False, ""),
            ("esta", False, "b"),
            ("x", False, "c"),
        ):
            sheet = book.add_worksheet(name)
            sheet.write(0, 0, text)
            if is_hidden:
                sheet.hide()
        book.get_worksheet_by_name("vazia").activate()
    path = tmp_path / "x"
    path.write_bytes(made.getvalue())
    async with open_sheet(path) as sheet:
        assert (sheet.name, sheet.headers, sheet.header_row) == ("esta", ("b",), 1)


async def test_columns_without_a_name_have_their_letters(tmp_path: Path) -> None:
    headers, rows = await read_bytes(tmp_path, xlsx(["nome", None, 2026.0], ["a", "b", "c", "obs"]))
    assert (headers, rows) == (("nome", "(B)", "2026", "(D)"), [(2, ["a", "b", "c", "obs"])])


async def test_a_time_without_a_day_is_no_value_that_a_column_takes(tmp_path: Path) -> None:
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["a", "b"])
        sheet.write_number(1, 0, 0.5, book.add_format({"num_format": "hh:mm"}))
        sheet.write_number(1, 1, 1.5, book.add_format({"num_format": "[h]:mm"}))
    _, rows = await read_bytes(tmp_path, made.getvalue())
    assert rows == [(2, [Clock("12:00:00"), Clock("1 day, 12:00:00")])]


async def test_what_a_file_is_its_content_says(tmp_path: Path) -> None:
    table = f"<table:table-row>{text_cell('nome')}</table:table-row><table:table-row>{text_cell('x')}</table:table-row>"
    for name, content in (
        ("a.csv", xlsx(["nome"], ["x"])),
        ("b.xlsx", ods(table)),
        ("c.ods", "nome\nx\n"),
        ("d.xls", "nome\nx"),
    ):
        assert await read_bytes(tmp_path, content, name) == (("nome",), [(2, ["x"])]), name


async def test_an_ods_is_read(tmp_path: Path) -> None:
    row = (
        f'{text_cell("Arroz")}<table:table-cell office:value-type="float" office:value="5.9"/>'
        '<table:table-cell office:value-type="date" office:date-value="2026-12-31"/>'
        '<table:table-cell office:value-type="boolean" office:boolean-value="true"/>'
        f"{text_cell('#DIV/0!')}{text_cell('Err:508')}"
    )
    header = "".join(text_cell(f"c{number}") for number in range(1, 7))
    empty = '<table:table-row table:number-rows-repeated="3"><table:table-cell/></table:table-row>'
    content = ods(f"<table:table-row>{header}</table:table-row>{empty}<table:table-row>{row}</table:table-row>")
    _, rows = await read_bytes(tmp_path, content)
    faults = [CellFault("cell_error", "E5", "#DIV/0!"), CellFault("cell_error", "F5", "Err:508")]
    assert rows == [(5, ["Arroz", 5.9, date(2026, 12, 31), True, *faults])]


async def test_a_hidden_table_of_an_ods_is_not_read(tmp_path: Path) -> None:
    table, hidden = (f"<table:table-row>{text_cell(each)}</table:table-row>" for each in ("nome", "oculta"))
    assert await read_bytes(tmp_path, ods(table, hidden=hidden)) == (("nome",), [])


async def test_days_may_stand_in_cells_as_texts_of_iso(tmp_path: Path) -> None:
    cells = '<c r="A2" t="d"><v>2026-12-31T10:00:00</v></c><c r="B2" t="d"><v>2026-12-31</v></c>'
    _, rows = await read_bytes(tmp_path, raw_xlsx(f'{HEADER}<row r="2">{cells}</row>'))
    assert rows == [(2, [datetime(2026, 12, 31, 10), date(2026, 12, 31)])]


def old_xls(*, has_1904: bool) -> bytes:
    book = xlwt.Workbook()
    book.dates_1904 = has_1904
    sheet = book.add_sheet("x")
    for column, header in enumerate(("nome", "valor", "dia", "f")):
        sheet.write(0, column, header)
    sheet.write(1, 0, "Arroz")
    sheet.write(1, 1, 5.9)
    sheet.write(1, 2, date(2026, 12, 31), xlwt.easyxf(num_format_str="dd/mm/yyyy"))
    sheet.write(1, 3, xlwt.Formula("1+1"))
    sheet.row(2).set_cell_error(1, 0x07)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


@pytest.mark.parametrize("has_1904", [False, True])
async def test_an_xls_is_read_with_its_faulty_cells(tmp_path: Path, has_1904: bool) -> None:
    _, rows = await read_bytes(tmp_path, old_xls(has_1904=has_1904))
    assert rows == [
        (2, ["Arroz", 5.9, date(2026, 12, 31), None]),
        (3, [None, CellFault("cell_error", "B3", "#DIV/0!"), None, None]),
    ]


def test_letters_and_numbers_of_columns_belong_together() -> None:
    assert [column_letters(number) for number in (1, 26, 27, 702, 703, 16384)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]
    assert all(column_number(column_letters(number)) == number for number in range(1, 16385))


# --- CSV --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "headers", "rows"),
    [
        ("nome;valor\nArroz;1,5\n", ("nome", "valor"), [(2, ["Arroz", "1,5"])]),
        ("nome,valor\r\nArroz,1.5\r\n", ("nome", "valor"), [(2, ["Arroz", "1.5"])]),
        ("nome\tvalor\nArroz\t1,5", ("nome", "valor"), [(2, ["Arroz", "1,5"])]),
        ("\ufeffnome;valor\n", ("nome", "valor"), []),
        ("sep=|\nnome|valor\nArroz|1;5\n", ("nome", "valor"), [(2, ["Arroz", "1;5"])]),
        ('"nome;de","valor, em R$"\n"a;b;c","1,5"\n', ("nome;de", "valor, em R$"), [(2, ["a;b;c", "1,5"])]),
        ('nome;obs\n"1\n2";"disse ""sim"""\nx;y', ("nome", "obs"), [(2, ["1\n2", 'disse "sim"']), (3, ["x", "y"])]),
        ("\n\nnome;valor;;\n\nArroz;1;;\n;;;\n", ("nome", "valor"), [(5, ["Arroz", "1"])]),
        ("nome;;valor\na;b;c\n", ("nome", "(B)", "valor"), [(2, ["a", "b", "c"])]),
        ("nome;valor\na\n", ("nome", "valor"), [(2, ["a", None])]),
        ("nome\nArroz\n", ("nome",), [(2, ["Arroz"])]),
        ('descrição;valor, em R$\nTubo 1/2";5\n', ("descrição", "valor, em R$"), [(2, ['Tubo 1/2"', "5"])]),
    ],
)
async def test_csv(tmp_path: Path, content: str, headers: tuple[str, ...], rows: list[Any]) -> None:
    assert await read_bytes(tmp_path, content) == (headers, rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
async def test_a_csv_is_read_in_the_encoding_that_it_has(tmp_path: Path, encoding: str) -> None:
    content = "descrição;preço €\nAçúcar € 5 kg;1\n".encode(encoding)
    assert await read_bytes(tmp_path, content) == (("descrição", "preço €"), [(2, ["Açúcar € 5 kg", "1"])])


async def test_a_row_of_a_csv_with_more_cells_than_the_header_is_faulty_and_no_cell_moves(tmp_path: Path) -> None:
    _, rows = await read_bytes(tmp_path, "nome,valor\nArroz,1,50\nFeijão,2\n")
    fault = CellFault("cells_beyond_header", "C2")
    assert rows == [(2, [fault, fault]), (3, ["Feijão", "2"])]


@pytest.mark.parametrize("content", ['a;b\n"x;1\ny;2\n', 'a;b\n"x" y;1\n'])
async def test_quotes_without_a_pair_are_refused_with_their_row(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(SheetRefused, match="linha 2: aspas"):
        await read_sheet(path)


# --- I4: what sheets lose ---------------------------------------------------------------------------------------


async def test_error_cells_and_formulas_without_a_value_have_their_address(tmp_path: Path) -> None:
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        book.add_worksheet("outra").hide()
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["a", "b", "c", "d"])
        sheet.write_formula(1, 0, "=1+1", None, 2)
        sheet.write_formula(1, 1, "=1/0", None, "#DIV/0!")
        sheet.write_formula(2, 2, "=1+1", None, "")
        sheet.write_string(2, 3, "#N/D")
    _, rows = await read_bytes(tmp_path, made.getvalue())
    assert rows == [
        (2, [2.0, CellFault("cell_error", "B2", "#DIV/0!"), None, None]),
        (3, [None, None, CellFault("formula_without_value", "C3"), CellFault("cell_error", "D3", "#N/D")]),
    ]


async def test_formulas_of_openpyxl_have_no_value_and_empty_results_are_empty(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.active.append(["=1+1", 5])
    made = io.BytesIO()
    book.save(made)
    _, rows = await read_bytes(tmp_path, made.getvalue())
    assert rows == [(2, [CellFault("formula_without_value", "A2"), 5.0])]
    cells = '<c r="A2" t="str"><f>IF(1,"","")</f><v></v></c><c r="B2"><f>1+1</f><v>2</v></c>'
    _, rows = await read_bytes(tmp_path, raw_xlsx(f'{HEADER}<row r="2">{cells}</row>'))
    assert rows == [(2, [None, 2.0])]


@pytest.mark.parametrize(
    "cell",
    [
        '<c r="B2" t="e"><v>#REF!</v></c>',
        "<c  t='e'  r='B2' s='1' ><f>A1</f><v>#REF!</v></c>",
        '<c r="B2"\n t="e"><v\n>#REF!</v></c>',
        f'<x:c xmlns:x="{MAIN}" r="B2" t="e"><x:v>#REF!</x:v></x:c>',
    ],
)
async def test_error_cells_are_found_however_they_are_written(tmp_path: Path, cell: str) -> None:
    row = f'<row r="2"><c r="A2"><v>1</v></c>{cell}</row>'
    _, rows = await read_bytes(tmp_path, raw_xlsx(HEADER + row))
    assert rows == [(2, [1.0, CellFault("cell_error", "B2", "#REF!")])]


async def test_error_cells_without_an_address_refuse_the_file(tmp_path: Path) -> None:
    assert (
        await refused(tmp_path, raw_xlsx(f'{HEADER}<row><c t="e"><v>#REF!</v></c></row>')) == "faults_without_address"
    )


async def test_faulty_cells_are_found_across_the_pieces_of_a_large_sheet(tmp_path: Path) -> None:
    values = ["=1+1" if number % 5000 == 0 else 1.0 for number in range(20_000)]
    rows = [["nome", "valor"], *([f"nome {random.random()}", value] for value in values)]
    _, found = await read_bytes(tmp_path, xlsx(*rows))
    faulty = [(number, cells[1]) for number, cells in found if isinstance(cells[1], CellFault)]
    assert faulty == [(at, CellFault("formula_without_value", f"B{at}")) for at in (2, 5002, 10_002, 15_002)]
    assert len(found) == 20_000


@pytest.mark.parametrize("has_1904", [False, True])
async def test_dates_of_1904_are_right(tmp_path: Path, has_1904: bool) -> None:
    day, moment = date(1990, 2, 28), datetime(2026, 12, 31, 23, 59, 59)
    _, rows = await read_bytes(tmp_path, xlsx(["a", "b"], [day, moment], date_1904=has_1904))
    assert rows == [(2, [day, moment])]


async def test_merged_cells_have_their_value_in_the_first_cell_alone(tmp_path: Path) -> None:
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["a", "b"])
        sheet.merge_range(1, 0, 2, 1, "junto")
        sheet.write(3, 0, "x")
    _, rows = await read_bytes(tmp_path, made.getvalue())
    assert rows == [(2, ["junto", None]), (4, ["x", None])]


async def test_ids_of_sixteen_digits_come_as_the_number_that_the_cell_has(tmp_path: Path) -> None:
    _, rows = await read_bytes(tmp_path, xlsx(["a", "b"], [1234567890123456789, "1234567890123456789"]))
    assert rows == [(2, [1.234567890123457e18, "1234567890123456789"])]


# --- I2: what is no sound file ----------------------------------------------------------------------------------


def zipped(**parts: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/"), content)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\n\n;;\n", "no_content"),
        (xlsx([]), "no_content"),
        (b"<html><table><tr><td>nome</td></tr></table></html>", "html"),
        ('\ufeff <?xml version="1.0"?><Workbook/>'.encode(), "html"),
        (b"%PDF-1.7\n\0\0", "unknown_format"),
        (b"\x89PNG\r\n\x1a\n\0\0", "unknown_format"),
        (b"nome;\x81\x8d", "unknown_format"),
        (b"PK", "damaged_file"),
        (b"PK\x03\x04" + bytes(100), "damaged_file"),
        (SOUND[:-30], "damaged_file"),
        (SOUND[: len(SOUND) // 2] + bytes(10) + SOUND[len(SOUND) // 2 + 10 :], "damaged_file"),
        (zipped(a=b"b"), "unknown_format"),
        (flagged(SOUND), "encrypted"),
        (compound("EncryptionInfo", "EncryptedPackage"), "encrypted"),
        (compound("WordDocument"), "unknown_format"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000), "damaged_file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "damaged_file"),
        (ods("", manifest="<manifest:encryption-data/>"), "encrypted"),
        (raw_xlsx(HEADER, {"xl/vbaProject.bin": b"x"}), "macros"),
        (raw_xlsx(HEADER, {"xl/workbook.bin": b"x"}), "binary_workbook"),
        (raw_xlsx(HEADER, {"xl/embeddings/a.xlsx": SOUND}), "nested_archive"),
        (raw_xlsx(HEADER, {"xl/x.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}), "xml_entities"),
        (raw_xlsx(HEADER, {"xl/x.xml": "<a/>".encode("utf-16")}), "xml_entities"),
        (raw_xlsx(HEADER, {f"x{number}": b"" for number in range(1000)}), "too_many_parts"),
        (raw_xlsx(HEADER, {"XL/Workbook.xml": b"<a/>"}), "damaged_file"),
        (lying(raw_xlsx(HEADER, {"xl/x.bin": bytes(MEBIBYTE)}), 10), "damaged_file"),
        (xlsx(["nome", "Nome "]), "repeated_headers"),
        (xlsx(["a"] + [None] * 200 + ["b"]), "too_many_columns"),
        (";".join(f"c{number}" for number in range(201)).encode(), "too_many_columns"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_no_sound_spreadsheet_is_refused_with_a_reason(tmp_path: Path, content: bytes, code: str) -> None:
    assert await refused(tmp_path, content, name="compras.xlsx") == code


async def test_a_bomb_is_refused_by_what_it_inflates_to_whatever_its_headers_say(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/workbook.xml", b"<a/>")
        parts.writestr("[Content_Types].xml", b"<a/>")
        with parts.open("xl/worksheets/sheet1.xml", "w") as part:
            for _ in range(201):
                part.write(bytes(MEBIBYTE))
    assert len(made.getvalue()) < MEBIBYTE
    assert await refused(tmp_path, made.getvalue()) == "too_large_inflated"
    assert await refused(tmp_path, lying(made.getvalue(), 10)) == "damaged_file"


async def test_a_million_parts_are_refused_before_their_directory_is_read(tmp_path: Path) -> None:
    one = zipped(a=b"")
    at = one.index(b"PK\x01\x02")
    entry, end = one[at : one.index(b"PK\x05\x06")], one[one.index(b"PK\x05\x06") :]
    many = one[:at] + entry * 1_000_000
    ends = end[:8] + b"\xff\xff\xff\xff" + len(entry * 1_000_000).to_bytes(4, "little") + end[16:]
    assert await refused(tmp_path, many + ends) == "too_many_parts"
    few = end[:8] + b"\x02\0\x02\0" + len(entry * 1_000_000).to_bytes(4, "little") + end[16:]
    assert await refused(tmp_path, many + few) == "damaged_file"


async def test_too_many_rows_are_refused(tmp_path: Path) -> None:
    limits = Limits(rows=600)
    within = "a\n" + "1\n\n" * 600
    path = tmp_path / "x.csv"
    path.write_text(within)
    assert len((await read_sheet(path, limits))[1]) == 600
    assert await refused(tmp_path, within + "1\n", limits) == "too_many_rows"
    assert await refused(tmp_path, xlsx(["a"], *[[1.0]] * 601), limits) == "too_many_rows"


# --- I3: the child dies -----------------------------------------------------------------------------------------


def far_cells() -> bytes:
    """A small file whose cells span a sheet of billions."""
    row = f"<table:table-row>{text_cell('x') * 150}</table:table-row>"
    many = row.replace("<table:table-row>", '<table:table-row table:number-rows-repeated="190000">')
    return ods(f"<table:table-row>{text_cell('a') * 150}</table:table-row>{many}")


async def test_a_child_that_needs_too_much_memory_is_a_refusal_and_the_worker_lives(tmp_path: Path) -> None:
    assert await refused(tmp_path, far_cells(), Limits(memory=200 * MEBIBYTE)) == "too_much_memory"
    assert (await read_bytes(tmp_path, SOUND))[1] == [(2, ["Arroz", 5.9])]


async def test_a_child_that_takes_too_long_is_a_refusal_and_is_gone(tmp_path: Path) -> None:
    assert await refused(tmp_path, SOUND, Limits(seconds=0)) == "too_slow"
    assert (await read_bytes(tmp_path, SOUND))[1] == [(2, ["Arroz", 5.9])]


async def test_a_child_that_uses_up_its_time_on_the_processor_is_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 3_000_000)
    limits = Limits(seconds=1, rows=10_000_000)
    with pytest.raises(SheetRefused) as caught:
        await read_sheet(path, limits)
    assert caught.value.code == "too_slow"


async def test_a_child_that_is_killed_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 50_000)
    for how, code in ((signal.SIGKILL, "too_much_memory"), (signal.SIGTERM, "damaged_file")):
        async with open_sheet(path) as sheet:
            os.kill(sheet.pid, how)
            with pytest.raises(SheetRefused) as caught:
                async for _ in sheet.batches():
                    pass
            assert caught.value.code == code


async def test_a_sheet_that_is_not_read_to_its_end_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 100_000)
    async with open_sheet(path) as sheet:
        async for _ in sheet.batches():
            break
        child = sheet._child._process
    assert child.returncode == -signal.SIGKILL


async def test_a_sheet_whose_reading_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 100_000)
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async with open_sheet(path) as sheet:
            opened.set_result(sheet._child._process)
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    child = await opened
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert child.returncode is not None


async def test_the_child_has_no_secrets_and_may_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 100_000)
    async with open_sheet(path) as sheet:
        process = Path(f"/proc/{sheet.pid}")
        environment = (process / "environ").read_bytes()
        limits = (process / "limits").read_text()
    assert b"secret" not in environment
    assert {name.split(b"=")[0] for name in environment.split(b"\0") if name} == {
        b"PATH",
        b"LANG",
        b"PYTHONDONTWRITEBYTECODE",
    }
    found = {line[:25].strip(): line[25:].split()[0] for line in limits.splitlines()}
    assert (found["Max address space"], found["Max file size"], found["Max cpu time"]) == (
        str(512 * MEBIBYTE),
        "0",
        "60",
    )


def test_the_parent_executes_nothing_of_what_the_child_says() -> None:
    assert not {"pickle", "marshal", "shelve"} & set(vars(spreadsheet))
