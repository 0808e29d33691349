"""SQL of the values of a declared entity's columns.

A record is JSON whose values were checked when it was taken in, by the types that its columns had then. A file may give
a column another type later: lists read such a value as null until the record is taken in again, and a delivery fails
rather than send null in its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from common.entities.declared import Declaration, DeclaredColumn
from common.resources.description import Kind

_DAY, _SECOND = "YYYY-MM-DD", 'YYYY-MM-DD\\"T\\"HH24:MI:SS'


def _read_as(template: str) -> str:
    """SQL of JSON text that has this form; null where it has another one, or is no day of the calendar."""
    path = f'strict $ ? (@ >= "0001").datetime("{template}")'
    return f"jsonb_path_query_first({{json}}, '{path}', '{{}}', true)"


def _read_date(kind: str, *templates: str) -> str:
    """SQL of a day or a moment in one of these forms; years have four digits, as clients of the database know them."""
    read = [_read_as(each) for each in templates]
    found = read[0] if len(read) == 1 else f"coalesce({', '.join(read)})"
    return f"CASE WHEN substr({{text}}, 5, 1) = '-' THEN CAST({found} #>> '{{}}' AS {kind}) END"


@dataclass(frozen=True)
class _Reading:
    """`type`: what a value is cast to.

    `checked`: SQL of a value, or of null where it is of another type; `{json}` and `{text}` stand for what is stored.
    """

    type: str
    checked: str


_TEXT = _Reading("text", "{text}")
_NUMBER = "CASE WHEN jsonb_typeof({json}) = 'number' THEN CAST({json} AS numeric) END"
_READINGS: Mapping[Kind, _Reading] = {
    Kind.TEXT: _TEXT,
    Kind.LONG: _Reading(
        "bigint",
        f"CASE WHEN {_NUMBER} BETWEEN -9223372036854775808 AND 9223372036854775807 AND {_NUMBER} % 1 = 0"
        " THEN CAST({json} AS bigint) END",
    ),
    Kind.NUMBER: _Reading("numeric", _NUMBER),
    Kind.BOOLEAN: _Reading("boolean", "CASE WHEN jsonb_typeof({json}) = 'boolean' THEN CAST({json} AS boolean) END"),
    Kind.DAY: _Reading("date", _read_date("date", _DAY)),
    Kind.MOMENT: _Reading("timestamp", _read_date("timestamp", _SECOND, f"{_SECOND}.US", _DAY)),
    Kind.JSON: _Reading("jsonb", "{json}"),
}


def value_of(entity: Declaration, column: DeclaredColumn, table: str) -> str:
    """SQL of a column's value for lists: null where the stored one is not of the column's type.

    A view's columns have types of their own.
    """
    reading = _READINGS[column.kind]
    if entity.view is not None:
        return _cast(f"{table}.{column.name}", reading)
    if column.name == entity.key_text:
        return f"{table}.key"  # which an index begins with
    json, text = (f"({table}.data {arrow} '{column.name}')" for arrow in ("->", "->>"))
    return reading.checked.replace("{json}", json).replace("{text}", text)


def strict_value_of(entity: Declaration, column: DeclaredColumn, table: str) -> str:
    """SQL of a column's value for deliveries; JSON is text. A value of another type fails the statement."""
    reading = _READINGS[column.kind]
    arrow = "->" if column.kind is Kind.JSON else "->>"
    written = f"{table}.{column.name}" if entity.view is not None else f"({table}.data {arrow} '{column.name}')"
    return _cast(written, _TEXT if column.kind is Kind.JSON else reading)


def _cast(sql: str, reading: _Reading) -> str:
    return f"CAST({sql} AS {reading.type})"
