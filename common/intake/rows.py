"""Rows of a sheet, of a foreign table, or pushed objects become rows of entities, by a layout.

A header is found by its letters and digits alone: accents, case, punctuation and blanks do not count in sheets. Pushed
objects and columns of databases are taken by their exact names.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from common.connections.settings import Into, Layout, LayoutField
from common.entities.declared import SEPARATOR, Declaration, DeclaredColumn
from common.intake.faults import ValueRefused, as_written
from common.intake.values import Door, Read, fold, is_personal, reader_of, strip
from common.lifecycle.imports import CellError, StagedRow

LONGEST_KEY = 500
"""Characters; an index of PostgreSQL holds no more than 2,704 bytes."""


@dataclass(frozen=True)
class Headers:
    """How headers and a layout fit.

    `unknown`: headers that the layout does not take. `missing`: those that it needs and that are not there, as the
    layout calls them. `repeated`: headers for a column that an earlier one is taken for.
    """

    unknown: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Field:
    """A column of an entity as it is read. `header`: that of the sheet; null for constants and where there is none."""

    column: DeclaredColumn
    name: str
    header: str | None
    read: Read
    empty: Callable[[], Any]
    """What stands where the cell is empty; raises where a value is required."""


class Reader:
    """Reads the rows of one sheet, or of several objects, by a layout; `bind` says which headers there are."""

    def __init__(self, layout: Layout, *, door: Door) -> None:
        self._layout = layout
        self._door = door
        self._taken: dict[str, str] = {}
        self._entities: list[_Entity] = []
        names = [field.header for into in layout.into for field in into.fields.values() if field.header is not None]
        self.bind(names)

    def bind(self, headers: Iterable[str]) -> Headers:
        """Take the headers of a sheet, or all members that the objects have; what is read afterwards has them."""
        known = self._known()
        taken: dict[str, str] = {}
        unknown, repeated = [], []
        for header in headers:
            names = known.get(self._plain(header))
            if names is None:
                unknown.append(header)
            elif names[0] in taken:
                repeated.append(header)
            else:
                taken |= dict.fromkeys(names, header)
        self._taken = taken
        # how many entities take a header: what several take makes no record of one alone
        uses = Counter(
            taken[field.header]
            for into in self._layout.into
            for field in into.fields.values()
            if field.header is not None and field.header in taken
        )
        self._entities = [_Entity(into, taken, uses, self._door) for into in self._layout.into]
        missing = dict.fromkeys(name for entity in self._entities for name in entity.missing)
        return Headers(tuple(unknown), tuple(missing), tuple(repeated))

    def read(self, row: int, cells: Mapping[str, Any]) -> list[StagedRow]:
        """What a row is of each entity; nothing for an empty row of a sheet.

        An entity of several is left out where it has no cell with a value, and where it lacks a required one and all
        cells with values are others' too. A row of which nothing would be left is rejected.
        """
        if len(self._entities) == 1:
            if self._door == "sheet" and all(map(_is_empty, cells.values())):
                return []
            return [self._entities[0].read(row, cells)]
        if all(map(_is_empty, cells.values())) and self._door == "sheet":
            return []
        present = [entity for entity in self._entities if entity.has_value(cells)] or self._entities[:1]
        rows = [(entity, entity.read(row, cells)) for entity in present]
        kept = [staged for entity, staged in rows if not entity.is_left_out(staged, cells)]
        return kept or [staged for _, staged in rows]

    def _known(self) -> dict[str, tuple[str, ...]]:
        """What the layout calls the columns that a header names, by the header without accents and punctuation.

        In the layout of an entity its labels name columns too, where no column has such a name.
        """
        by_plain: dict[str, dict[str, None]] = {}
        for into in self._layout.into:
            for field in into.fields.values():
                if field.header is not None:
                    by_plain.setdefault(self._plain(field.header), {})[field.header] = None
        if self._door == "sheet" and self._is_plain():
            for column in self._layout.into[0].entity.columns.values():
                by_plain.setdefault(self._plain(column.label), {column.name: None})
        return {plain: tuple(names) for plain, names in by_plain.items()}

    def _is_plain(self) -> bool:
        into = self._layout.into[0]
        return self._layout.name == into.entity.name and len(self._layout.into) == 1

    def _plain(self, header: str) -> str:
        return plain_header(header) if self._door == "sheet" else header


def plain_header(header: str) -> str:
    """The letters and digits of a header, without accents and case."""
    return "".join(each for each in fold(header) if each.isalnum()) or header.strip()


class _Entity:
    """Reads what a row is of one entity."""

    def __init__(self, into: Into, taken: Mapping[str, str], uses: Mapping[str, int], door: Door) -> None:
        self.missing = [
            field.header
            for name, field in into.fields.items()
            if field.header is not None
            and field.header not in taken
            and field.default is None
            and name in into.entity.required
        ]
        self._entity = into.entity
        self._fields = [_field(into.entity, name, field, taken, door) for name, field in into.fields.items()]
        self._headers = tuple(dict.fromkeys(each.header for each in self._fields if each.header is not None))
        self._own = tuple(header for header in self._headers if uses[header] == 1)
        self._key_of = _key_reader(into.entity)

    def has_value(self, cells: Mapping[str, Any]) -> bool:
        """Whether any of its cells has one."""
        return not all(_is_empty(cells.get(header)) for header in self._headers)

    def is_left_out(self, staged: StagedRow, cells: Mapping[str, Any]) -> bool:
        """Whether what it shares with other entities is all that a row has of it, and is not enough for a record."""
        return (
            bool(staged.errors)
            and all(each.code == "required" for each in staged.errors)
            and all(_is_empty(cells.get(header)) for header in self._own)
        )

    def read(self, row: int, cells: Mapping[str, Any]) -> StagedRow:
        """A row of this entity."""
        data: dict[str, Any] = {}
        errors: list[CellError] | None = None
        get = cells.get
        for field in self._fields:
            raw = None if field.header is None else get(field.header)
            try:
                value = None if raw is None else field.read(raw)
                if value is None:
                    value = field.empty()
                if value is not None:
                    data[field.column.name] = value
            except ValueRefused as refused:
                errors = errors or []
                written = as_written(raw, is_personal=is_personal(field.column))
                errors.append(CellError(field.name, written, refused.code, refused.message))
        key = None
        try:
            key = self._key_of(data)
        except ValueRefused as refused:
            errors = errors or []
            written = SEPARATOR.join(str(data[name]) for name in self._entity.key)
            personal = any(is_personal(self._entity.columns[name]) for name in self._entity.key)
            shown = as_written(written, is_personal=personal)
            errors.append(CellError(self._entity.key[-1], shown, refused.code, refused.message))
        if errors:
            return StagedRow(row, self._entity.name, key, None, tuple(errors))
        return StagedRow(row, self._entity.name, key, data)


def _field(entity: Declaration, name: str, field: LayoutField, taken: Mapping[str, str], door: Door) -> _Field:
    column = entity.columns[name]
    header = None if field.header is None else taken.get(field.header)
    read = reader_of(column, door)
    if field.by_value is not None:
        read = _mapped(column, field.by_value, door)
    constant = field.default if field.const is None else field.const
    empty = _required if constant is None and name in entity.required else _constantly(column, constant)
    return _Field(column, header or field.header or name, header, read, empty)


def _required() -> NoReturn:
    raise ValueRefused("required")


def _constantly(column: DeclaredColumn, value: Any) -> Callable[[], Any]:
    """What reads a value that the layout gives; one that the column does not take is refused in each row."""
    read = reader_of(column, "sql")
    try:
        settled = read(value)
    except ValueRefused:
        return lambda: read(value)
    return lambda: settled


def _mapped(column: DeclaredColumn, by_value: Mapping[str, Any], door: Door) -> Read:
    """Takes what a layout says that a value is; of a sheet accents and case do not count where that leaves no doubt."""
    text_of = reader_of(DeclaredColumn(column.name, "text", column.label), door)
    read = reader_of(column, "sql")
    folded = {fold(written): value for written, value in by_value.items()}
    if door != "sheet" or len(folded) < len(by_value):
        folded = {}

    def read_mapped(raw: Any) -> Any:
        text = ("true" if raw else "false") if isinstance(raw, bool) else text_of(raw)
        if text is None:
            return None
        if text in by_value:
            return read(by_value[text])
        if fold(text) in folded:
            return read(folded[fold(text)])
        raise ValueRefused("not_mapped")

    return read_mapped


def _key_reader(entity: Declaration) -> Callable[[Mapping[str, Any]], str | None]:
    first, others = entity.key[0], entity.key[1:]

    def key_of(data: Mapping[str, Any]) -> str | None:
        if first not in data or any(name not in data for name in others):
            return None
        if any(SEPARATOR in str(data[name]) for name in others):
            raise ValueRefused("key_separator")
        key = entity.key_of(data)
        if len(key) > LONGEST_KEY:
            raise ValueRefused("key_too_long")
        return key

    return key_of


def _is_empty(raw: Any) -> bool:
    return raw is None or (isinstance(raw, str) and (not raw or not strip(raw)))


def cells_of(headers: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """The cells of a row by their headers; a row may have fewer."""
    return dict(zip(headers, values, strict=False))
