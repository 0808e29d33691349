"""Which columns of a foreign table are which of an entity, and whether its values can be those of the entity's.

A column is found by its exact name, else by its letters: databases write names in capitals, or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.connections.settings import SourceEntity
from common.entities.declared import ColumnType
from ingestor.intake.faults import SourceChanged

Row = tuple[Any, ...]
_NUMBERS = (int, float, Decimal)
_DAYS = (date, datetime)
_TEXTS = ("text", "cnpj", "cpf", "cpf_cnpj", "control_number")


@dataclass(frozen=True)
class ForeignColumn:
    """A column by the name that the database gives it; `type` is what the driver calls its type, or empty."""

    name: str
    type: str


@dataclass(frozen=True)
class Shape:
    """How rows of an entity are asked for, by the names that the database gives its columns.

    `columns` are those that are selected. `places`: which of them each column of the entity is.
    """

    entity: SourceEntity
    columns: tuple[str, ...]
    key: tuple[str, ...]
    cursor: str | None
    places: Mapping[str, int]

    def order_of(self, row: Row, *, by_cursor: bool) -> Row:
        """By what a row comes before others: cursor and key, or the key."""
        names = (self.cursor, *self.key) if by_cursor and self.cursor else self.key
        return tuple(row[self.columns.index(name)] for name in names)

    def cells_of(self, row: Row) -> dict[str, Any]:
        """The values of a row by the columns of the entity."""
        return {name: row[place] for name, place in self.places.items()}


def shape_of(entity: SourceEntity, found: Sequence[ForeignColumn], known: Mapping[str, str]) -> Shape:
    """How an entity is read from a table with these columns. `known`: columns and types as they were seen before.

    Raises:
        SourceChanged: a column is gone that the file names, that is required, or that was there before.

    """
    there = {column: _look(entity.names.get(column, column), found) for column in entity.entity.columns}
    lost = {each.casefold() for each in known} - {each.name.casefold() for each in found}
    for column, name in there.items():
        called = entity.names.get(column, column)
        if name is None and (column in entity.names or column in entity.entity.required or called.casefold() in lost):
            raise SourceChanged(f"a coluna `{called}` de `{entity.entity.name}` não existe mais na fonte")
    cursor = None if entity.cursor is None else _look(entity.cursor, found)
    if entity.cursor is not None and cursor is None:
        raise SourceChanged(f"a coluna `{entity.cursor}` do cursor de `{entity.entity.name}` não existe na fonte")
    names = {column: name for column, name in there.items() if name is not None}
    key = tuple(names[column] for column in entity.entity.key)
    columns = tuple(dict.fromkeys((*key, *((cursor,) if cursor else ()), *names.values())))
    return Shape(entity, columns, key, cursor, {column: columns.index(name) for column, name in names.items()})


def _look(name: str, found: Sequence[ForeignColumn]) -> str | None:
    if any(each.name == name for each in found):
        return name
    alike = [each.name for each in found if each.name.casefold() == name.casefold()]
    if len(alike) > 1:
        raise SourceChanged(f"há mais de uma coluna `{name}`: {', '.join(alike)}; escreva em `fields` qual delas é")
    return alike[0] if alike else None


def news(found: Sequence[ForeignColumn], known: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Columns that are new, and those whose type has changed, since they were seen before."""
    new = [each.name for each in found if each.name not in known]
    retyped = [each.name for each in found if known.get(each.name, each.type) != each.type]
    return new, retyped


def check_types(shape: Shape, rows: Sequence[Row]) -> None:
    """Raise `SourceChanged` where none of a column's values can be one of the entity's column, whatever it says."""
    for name, place in shape.places.items():
        kind = shape.entity.entity.columns[name].type
        values = (row[place] for row in rows if row[place] is not None)
        first = next(values, None)
        if first is None or _fits(kind, first) or any(_fits(kind, value) for value in values):
            continue
        said = f"a coluna `{shape.columns[place]}` traz valores do tipo {type(first).__name__}"
        raise SourceChanged(f"{said}, que não servem para `{shape.entity.entity.name}.{name}` ({kind})")


def _fits(kind: ColumnType, value: Any) -> bool:
    """Whether a value may be one of a column of a kind; a text always may, as what it says decides."""
    fits = True
    match value:
        case str():
            pass
        case bytes() | bytearray() | memoryview() | timedelta() | time():
            fits = False
        case bool():
            fits = kind in ("boolean", "json", "text", "integer", "number")
        case _ if isinstance(value, _NUMBERS):
            fits = kind not in ("day", "moment")
        case _ if isinstance(value, _DAYS):
            fits = kind in ("day", "moment", "text", "json")
        case UUID():
            fits = kind in _TEXTS
        case _:
            fits = kind == "json"
    return fits
