"""A CSV as `copying` makes it, read again with its types, and what is said of it.

It imports the standard library alone: converters read it in a process of their own.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

Row = list[str | None]
"""A row's values as they are written; null is `None`, and an empty text is one."""

NUMBERS = ("NUMBER",)
INTEGERS = ("INTEGER", "LONG", "CODE")
MOMENTS = ("MOMENT", "STAMP")
DAYS = ("DAY",)
BOOLEANS = ("BOOLEAN",)
JSON = ("JSON",)


@dataclass(frozen=True)
class Column:
    """A column: its name, its label for people, and the name of its kind (`common.resources.description.Kind`)."""

    name: str
    label: str
    kind: str


def heads_of(columns: tuple[Column, ...]) -> list[str]:
    """The labels of columns; two columns with one label have their names beside it."""
    labels = [column.label for column in columns]
    return [
        label if labels.count(label) == 1 else f"{label} ({column.name})"
        for label, column in zip(labels, columns, strict=True)
    ]


@dataclass(frozen=True)
class Section:
    """A small table that a file has beside its rows."""

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Row]


@dataclass(frozen=True)
class About:
    """What a file says of itself.

    `filters` and `order` are in words for people, `made_at` is Brasília's clock. `mirror` says whether the mirror is
    complete, as an object and in a sentence. `sums`: the columns that a summary adds up. `notes`, lines by their
    subjects, and `sections` stand before the rows.
    """

    title: str
    filters: Sequence[tuple[str, str]]
    order: str
    made_at: str
    rows: int
    mirror: Mapping[str, Any]
    mirror_sentence: str
    sums: Sequence[str] = ()
    notes: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()

    def to_object(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def of_object(cls, value: Mapping[str, Any]) -> "About":
        """What `to_object` has made, read from JSON."""
        sections = [
            Section(each["title"], tuple(Column(**column) for column in each["columns"]), each["rows"])
            for each in value["sections"]
        ]
        return cls(**{**value, "sections": sections})

    def with_notes(self, *, title: str, notes: Sequence[tuple[str, str]], sections: Sequence[Section]) -> "About":
        """The same under another title, with more to say."""
        return replace(self, title=title, notes=notes, sections=sections)


@dataclass(frozen=True)
class Table:
    """A CSV file and its columns."""

    path: Path
    columns: tuple[Column, ...]

    def rows(self) -> Iterator[Row]:
        """All rows but the head. Memory is flat."""
        csv.field_size_limit(2**31 - 1)
        taken: list[str] = []

        def lines() -> Iterator[str]:
            with self.path.open(encoding="utf-8", newline="") as file:
                for line in file:
                    taken.append(line)
                    yield line

        records = csv.reader(lines())
        next(records)
        taken.clear()
        for record in records:
            # the reader takes an empty text and null for the same
            if any('""' in line for line in taken):
                yield _split("".join(taken))
            else:
                yield [value or None for value in record] or [None]
            taken.clear()


def write_csv(rows: Iterable[Row], columns: Sequence[Column], target: Path) -> None:
    """Write rows as `Table` reads them: null is empty, and an empty text is `""`."""
    with target.open("w", encoding="utf-8", newline="") as file:
        head: Row = [column.name for column in columns]
        for row in chain([head], rows):
            fields = ("" if value is None else f'"{value.replace(_QUOTE, 2 * _QUOTE)}"' for value in row)
            file.write(",".join(fields) + "\n")


_QUOTE = '"'
_FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^,"\r\n]*))(,?)')


def _split(line: str) -> Row:
    """The values of one row."""
    values: Row = []
    at, has_more = 0, True
    while has_more:
        found = _FIELD.match(line, at)
        if found is None:
            raise ValueError("not a row of CSV")
        quoted, bare, comma = found.groups()
        values.append(bare or None if quoted is None else quoted.replace('""', '"'))
        at, has_more = found.end(), bool(comma)
    return values


def _is_true(text: str) -> bool:
    return text == "true"


PARSERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(INTEGERS, int),
    **dict.fromkeys(NUMBERS, Decimal),
    **dict.fromkeys(MOMENTS, datetime.fromisoformat),
    **dict.fromkeys(DAYS, date.fromisoformat),
    **dict.fromkeys(BOOLEANS, _is_true),
}
"""What reads a value of each kind; a value of others is its text."""


def maker_of(column: Column, *, moments: str) -> Callable[[str], str] | None:
    """What writes a day, a moment (in the form `moments`) or a boolean as Brazil does; `None` for other columns."""
    if column.kind in MOMENTS:
        return lambda text: _in_form(text, moments)
    if column.kind in DAYS:
        return lambda text: _in_form(text, "%d/%m/%Y")
    return _yes_or_no if column.kind in BOOLEANS else None


def _yes_or_no(text: str) -> str:
    return "sim" if _is_true(text) else "não"


def grouped(number: int) -> str:
    """A number as Brazil writes it."""
    return f"{number:,}".replace(",", ".")


def decimal_in_words(text: str) -> str:
    """A decimal as Brazil writes it, with at least two digits behind the comma."""
    whole, _, part = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{grouped(int(digits)) if digits.isdigit() else digits},{part.rstrip('0'):0<2}"


def _in_form(text: str, form: str) -> str:
    """A day or a moment in another form; as it is where it is beyond what a calendar of ours holds."""
    with suppress(ValueError):
        return datetime.fromisoformat(text).strftime(form)
    return text
