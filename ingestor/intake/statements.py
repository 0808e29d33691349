"""The statements that are asked of a database of others, all of them a SELECT.

Pages follow each other by the key: a page begins with the last row of the one before, which the caller leaves out.
What the database takes for equal (`a` and `A` in some of them) may stand on either side of a page's end in any order,
and is so never passed over.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    ColumnClause,
    ColumnElement,
    Select,
    String,
    Unicode,
    and_,
    bindparam,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.sql.selectable import FromClause
from sqlalchemy.types import NullType, TypeEngine

from common.connections.settings import SourceEntity

COMPARES_ROWS = ("postgresql", "sqlite")
"""Where `(a, b) >= (1, 2)` is known, and goes by an index."""
_NEVER = literal_column("1") == literal_column("0")


def probe(entity: SourceEntity) -> Select[Any]:
    """All columns, without a row."""
    return select(literal_column("*")).select_from(_origin(entity)).where(_NEVER)


def page(
    entity: SourceEntity, columns: Sequence[str], key: Sequence[str], *, after: Sequence[Any], limit: int, dialect: str
) -> Select[Any]:
    """Rows in the order of their keys, from that of `after` on, or from the first one where it is empty."""
    statement = _of_keys(entity, columns, key).order_by(*map(_column, key)).limit(limit)
    return statement.where(_from(key, after, dialect)) if after else statement


def everything(entity: SourceEntity, columns: Sequence[str], key: Sequence[str]) -> Select[Any]:
    """All rows in no order."""
    return _of_keys(entity, columns, key)


def changes(
    entity: SourceEntity,
    columns: Sequence[str],
    key: Sequence[str],
    *,
    cursor: str,
    since: Any,
    after: Sequence[Any],
    limit: int | None,
    dialect: str,
) -> Select[Any]:
    """Rows whose cursor is `since` or later, in the order of cursor and key, from that of `after` on.

    Without a `limit` they come in no order.
    """
    order = (cursor, *key)
    begin = _from(order, after, dialect) if after else _from([cursor], [since], dialect)
    statement = _of_keys(entity, columns, key).where(begin)
    return statement if limit is None else statement.order_by(*map(_column, order)).limit(limit)


def without_key(entity: SourceEntity, columns: Sequence[str], key: Sequence[str], *, limit: int) -> Select[Any]:
    """Some rows in which a part of the key is null."""
    lacking = or_(*(_column(each).is_(None) for each in key))
    return select(*map(_column, columns)).select_from(_origin(entity)).where(lacking).limit(limit)


def newest(entity: SourceEntity, cursor: str, *, until: Any, dialect: str) -> Select[Any]:
    """The greatest value of the cursor, of those that are not beyond `until`, which may be null."""
    statement = select(func.max(_column(cursor), type_=NullType())).select_from(_origin(entity))
    return statement if until is None else statement.where(_column(cursor) <= _value("until", until, dialect))


def _of_keys(entity: SourceEntity, columns: Sequence[str], key: Sequence[str]) -> Select[Any]:
    whole = (_column(each).is_not(None) for each in key)
    return select(*map(_column, columns)).select_from(_origin(entity)).where(*whole)


def _origin(entity: SourceEntity) -> FromClause:
    if entity.table is not None:
        schema, _, name = entity.table.rpartition(".")
        return table(name, schema=schema or None)
    # a colon is no parameter, and a comment at the end does not swallow the bracket
    written = f"{entity.query}\n".replace(":", "\\:")
    return text(written).columns().subquery("src")


def _column(name: str) -> ColumnClause[Any]:
    """A column by its name as the database itself gives it."""
    return column(quoted_name(name, quote=True))


def _from(columns: Sequence[str], values: Sequence[Any], dialect: str) -> ColumnElement[bool]:
    """`(a, b, c) >= (1, 2, 3)`, written out where the database does not know that."""
    bound = [_value(f"from_{number}", value, dialect) for number, value in enumerate(values)]
    named = [_column(each) for each in columns]
    if len(named) > 1 and dialect in COMPARES_ROWS:
        return tuple_(*named) >= tuple_(*bound)
    condition: ColumnElement[bool] = named[-1] >= bound[-1]
    for each, value in reversed(list(zip(named[:-1], bound[:-1], strict=True))):
        # the first part alone is what an index is entered by
        condition = and_(each >= value, or_(each > value, and_(each == value, condition)))
    return condition


def _value(name: str, value: Any, dialect: str) -> ColumnElement[Any]:
    """A parameter, compared as the column's type compares.

    A type that the parameter brought along would make some databases convert the column, and so compare by other rules
    than those of its order, and without an index.
    """
    kind: TypeEngine[Any] = NullType()
    if dialect == "mssql" and isinstance(value, str):
        kind = String() if value.isascii() else Unicode()
    elif dialect == "oracle" and isinstance(value, datetime) and value.microsecond:
        kind = TIMESTAMP()  # the driver's own choice has whole seconds
    return bindparam(name, value, type_=kind)
