"""XLSX: a sheet of rows, or several, and the sheet "Sobre". The only module that knows the library that writes them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import rustpy_xlsxwriter
from rustpy_xlsxwriter import Format

from backend.services.exports.formats import MOST_SHEET_ROWS
from backend.services.exports.tables import (
    BOOLEANS,
    DAYS,
    INTEGERS,
    MOMENTS,
    NUMBERS,
    PARSERS,
    About,
    Column,
    Row,
    Section,
    Table,
    heads_of,
)

LONGEST_TEXT = 32_767
"""Of a cell, in the units of UTF-16."""
CUT = " [cortado]"
EXACT_DIGITS = 15
"""Of a number in Excel; a longer one stays a text."""
_FIRST_YEAR = "1900"
_FORMS = {
    **dict.fromkeys(MOMENTS, "dd/mm/yyyy hh:mm:ss"),
    **dict.fromkeys(DAYS, "dd/mm/yyyy"),
    **dict.fromkeys(NUMBERS, "#,##0.00##"),
    **dict.fromkeys(INTEGERS, "0"),
}
_WIDTHS = {
    **dict.fromkeys(MOMENTS, 19.0),
    **dict.fromkeys((*DAYS, *INTEGERS, *BOOLEANS), 12.0),
    **dict.fromkeys(NUMBERS, 18.0),
}
_TEXT_WIDTH = 30.0
Cells = dict[str, Any]


def write_xlsx(table: Table, about: About, target: Path, *, count: Callable[[Iterator[Row]], Iterator[Row]]) -> None:
    """Write a workbook. `count` passes rows on and counts them. Memory is flat: rows are taken as they are written."""
    heads = heads_of(table.columns)
    writers = [_writer_of(column) for column in table.columns]
    cut = _Cut()
    rows = (_cells(heads, writers, row, cut) for row in count(table.rows()))
    sheets = max(1, -(-about.rows // MOST_SHEET_ROWS))
    names = [_sheet_name(about.title, n, sheets) for n in range(sheets)]
    empty = [dict.fromkeys(heads)] if about.rows == 0 else []  # without a row, no head would be written
    entries: list[tuple[str, Any]] = [(name, chain(empty, islice(rows, MOST_SHEET_ROWS))) for name in names]
    entries += [(_sheet_name(each.title, 0, 1), _section_rows(each, cut)) for each in about.sections]
    # the sheets are written in this order, so that the last one knows what was cut
    entries.append(("Sobre", _lines_about(about, table.columns, names, cut)))
    looks = {name: _look(table.columns) for name in names}
    looks |= {_sheet_name(each.title, 0, 1): _look(each.columns) for each in about.sections}
    rustpy_xlsxwriter.write_worksheets(
        entries,
        str(target),
        bold_headers=True,
        freeze_panes={"general": {"row": 1, "col": 0}},
        datetime_format=_FORMS["MOMENT"],
        column_formats={name: forms for name, (forms, _) in looks.items()},
        column_widths={
            **{name: widths for name, (_, widths) in looks.items()},
            "Sobre": {"Assunto": 34.0, "Valor": 100.0},
        },
        autofilter=dict.fromkeys(names, True),
    )


def write_model(
    title: str, heads: Sequence[tuple[str, str]], explained: Sequence[Mapping[str, str]], target: Path
) -> None:
    """Write a workbook to be filled in: a sheet with heads and no row, and one that explains its columns.

    `heads`: a head and the name of its kind. Columns of texts are formatted as such: Excel would take the zeros in
    front of a number away, and its digits after the fifteenth.
    """
    name, other = _sheet_name(title, 0, 1), "Explicação das colunas"
    forms = {head: "@" if kind == "TEXT" else _FORMS.get(kind) for head, kind in heads}
    rustpy_xlsxwriter.write_worksheets(
        [(name, [{head: None for head, _ in heads}]), (other, [dict(each) for each in explained])],
        str(target),
        bold_headers=True,
        freeze_panes={"general": {"row": 1, "col": 0}},
        column_formats={name: {head: Format().set_num_format(form) for head, form in forms.items() if form}},
        column_widths={
            name: {head: _WIDTHS.get(kind, _TEXT_WIDTH) for head, kind in heads},
            other: {
                "Coluna": 40.0,
                "Entidade": 26.0,
                "Campo": 26.0,
                "Tipo": 32.0,
                "Obrigatória": 12.0,
                "Observação": 60.0,
            },
        },
    )


def _look(columns: tuple[Column, ...]) -> tuple[dict[str, Format], dict[str, float]]:
    """The formats and the widths of columns, by their heads."""
    shown = list(zip(heads_of(columns), columns, strict=True))
    forms = {head: Format().set_num_format(_FORMS[each.kind]) for head, each in shown if each.kind in _FORMS}
    return forms, {head: _WIDTHS.get(each.kind, _TEXT_WIDTH) for head, each in shown}


def _section_rows(section: Section, cut: "_Cut") -> Iterator[Cells]:
    heads, writers = heads_of(section.columns), [_writer_of(column) for column in section.columns]
    return (_cells(heads, writers, row, cut) for row in section.rows)


class _Cut:
    """Counts the texts that are longer than a cell."""

    def __init__(self) -> None:
        self.texts = 0

    def fit(self, text: str) -> str:
        """The text, cut to what a cell holds, with a mark."""
        if len(text) <= LONGEST_TEXT // 2:
            return text
        units = text.encode("utf-16-le")
        if len(units) <= 2 * LONGEST_TEXT:
            return text
        self.texts += 1
        return units[: 2 * (LONGEST_TEXT - len(CUT))].decode("utf-16-le", "ignore") + CUT


def _cells(heads: list[str], writers: list[Callable[[str], Any] | None], row: Row, cut: _Cut) -> Cells:
    return {
        head: None if value is None else cut.fit(value) if write is None else write(value)
        for head, write, value in zip(heads, writers, row, strict=True)
    }


def _writer_of(column: Column) -> Callable[[str], Any] | None:
    """What makes a cell's value of a text; none for texts, which are cut to fit."""
    if column.kind in NUMBERS:
        return float  # as Excel keeps numbers: 15 digits
    if column.kind in (*MOMENTS, *DAYS):
        parse = PARSERS[column.kind]
        return lambda text: _moment(parse, text)
    if column.kind == "LONG":
        return lambda text: int(text) if len(text) <= EXACT_DIGITS else text
    return PARSERS.get(column.kind)


def _moment(parse: Callable[[str], Any], text: str) -> Any:
    """A moment; Excel's calendar begins in 1900, and what lies before stays a text."""
    try:
        return parse(text) if text >= _FIRST_YEAR else text
    except ValueError:
        return text


def _sheet_name(title: str, number: int, sheets: int) -> str:
    """A name within the 31 characters that Excel takes, without those that it refuses."""
    name = "".join(" " if mark in "[]:*?/\\" else mark for mark in title)
    return name[:31] if sheets == 1 else f"{name[:24]} {number + 1}"


def _in_words(value: Any) -> str:
    return {None: "", True: "sim", False: "não"}[value] if value is None or isinstance(value, bool) else str(value)


def _lines_about(about: About, columns: tuple[Column, ...], names: list[str], cut: _Cut) -> Iterator[Cells]:
    lines = [
        ("Conteúdo", about.title),
        *((f"Filtro: {label}", value) for label, value in about.filters),
        *about.notes,
        ("Ordem", about.order),
        ("Registros", str(about.rows)),
        ("Planilhas", ", ".join(names)),
        ("Feito em", about.made_at),
        ("Espelho", about.mirror_sentence),
        *((f"Espelho: {name}", _in_words(value)) for name, value in about.mirror.items()),
    ]
    for subject, value in lines:
        yield {"Assunto": subject, "Valor": cut.fit(value)}
    yield {
        "Assunto": "Textos cortados",
        "Valor": f"{cut.texts}, com mais de {LONGEST_TEXT} caracteres; CSV, NDJSON e Parquet os trazem inteiros",
    }
    for head, column in zip(heads_of(columns), columns, strict=True):
        yield {"Assunto": f"Coluna: {head}", "Valor": column.name}
