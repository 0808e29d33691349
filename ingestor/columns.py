"""Where each column of a table stands in a record's JSON, as SQL: the database reads the values itself.

A record is judged in Python (`pncp.records`) and sent as its payload alone. To make rows of it and to encode them for
the driver costs the ingestor several times what it costs the database to pick the values out of the `jsonb` that it
stores anyway; and a column cannot say anything else than the payload beside it.
"""

from collections.abc import Iterator
from types import UnionType
from typing import get_args

import msgspec
from msgspec import Struct
from sqlalchemy import Boolean, Column, DateTime, Integer, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from common.clock import BRASILIA
from common.tables import contratacoes, itens_contratacao
from ingestor.pncp.records import Contratacao, Item

Path = tuple[str, ...]
"""Keys from the outermost object of a record to a value: `("amparoLegal", "codigo")`."""


def paths(kind: type[Struct]) -> dict[str, Path]:
    """The path of every column that a kind of record fills, by the column's name; its payload is not among them."""
    return dict(_walk(kind))


def _walk(kind: type[Struct], prefix: str = "", outer: Path = ()) -> Iterator[tuple[str, Path]]:
    for field in msgspec.structs.fields(kind):
        name, path = f"{prefix}{field.name}", (*outer, field.encode_name)
        inner = _object_in(field.type)
        if inner is None:
            yield name, path
        else:
            yield from _walk(inner, f"{name}_", path)


def _object_in(annotation: object) -> type[Struct] | None:
    """The kind of object that a field holds, if it holds one."""
    for option in get_args(annotation) if isinstance(annotation, UnionType) else (annotation,):
        if isinstance(option, type) and issubclass(option, Struct):
            return option
    return None


def expressions(table: Table, kind: type[Struct]) -> dict[str, str]:
    """SQL that reads each column out of a `jsonb` by the name of `payload`, the payload included."""
    read = {name: _expression(table.c[name], path) for name, path in paths(kind).items()}
    return {**read, "payload": "payload"}


def _expression(column: "Column[object]", path: Path) -> str:
    *outer, name = path
    inside = "payload" + "".join(f" -> '{key}'" for key in outer)
    value = f"({inside} ->> '{name}')"
    match column.type:
        case Text():
            return value
        case JSONB():
            return f"nullif({inside} -> '{name}', 'null')"
        case Integer():
            return f"CAST(nullif({value}, '') AS integer)"  # a code may be written as an empty text
        case DateTime():
            # a stamp without an offset is Brasília's already, as in `to_wall_clock`; only longer ones can have one
            return (
                f"CASE WHEN length({value}) > 19 AND {value} ~* '(z|[+-][0-9]{{2}}:?[0-9]{{2}})$'"
                f" THEN CAST({value} AS timestamptz) AT TIME ZONE '{BRASILIA.key}' ELSE CAST({value} AS timestamp) END"
            )
        case Boolean():
            return f"CAST({value} AS boolean)"
        case Numeric():
            return f"CAST({value} AS numeric)"
        case other:
            raise TypeError(f"nobody has said how {column.name}, {other!r}, is read")


CONTRATACAO_COLUMNS = expressions(contratacoes, Contratacao)
ITEM_COLUMNS = expressions(itens_contratacao, Item)
