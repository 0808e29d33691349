"""Facets: how many records have each value of a column, within a limit of time."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.summary import Facet, FacetValue
from backend.services.summary import MOST_VALUES
from common.database import driver_of

# ruff: noqa: S608  # names and conditions are the caller's own, values are parameters

MOST_FACETS = 6
FACET_SECONDS = 0.2
_TIMED_OUT = "57014"
_LIMIT = text("SELECT set_config('statement_timeout', :milliseconds, true)")


async def rows_within(
    db: AsyncConnection, statement: TextClause, parameters: Mapping[str, Any], *, seconds: float
) -> Sequence[Row[Any]] | None:
    """The rows of a query, or `None` where it would take longer; the connection may be in a transaction or not."""
    try:
        async with (await driver_of(db)).transaction():
            await db.execute(_LIMIT, {"milliseconds": str(int(seconds * 1000))})
            return (await db.execute(statement, parameters)).all()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _TIMED_OUT:
            raise
        return None


async def load_facets(
    db: AsyncConnection,
    table: str,
    conditions: Mapping[str, str],
    parameters: Mapping[str, Any],
    facets: Mapping[str, str],
) -> dict[str, Facet]:
    """The facets of a table, each by the column that it counts.

    `conditions`: SQL by the names of filters; all hold but that of the facet's own name. `parameters`: of all of them.
    """
    if len(facets) > MOST_FACETS:
        raise ValueError(f"more than {MOST_FACETS} facets")
    found = {}
    for name, column in facets.items():
        others = [condition for filter_, condition in conditions.items() if filter_ != name]
        statement = text(_to_count(table, column, " AND ".join(others) or "true"))
        rows = await rows_within(db, statement, parameters, seconds=FACET_SECONDS)
        if rows is None:
            found[name] = Facet(valores=[], outros=0, incompleta=True)
            continue
        values = [FacetValue(valor=row.valor, registros=row.registros) for row in rows]
        outros = rows[0].valores - len(rows) if rows else 0
        found[name] = Facet(valores=values, outros=outros, incompleta=False)
    return found


def _to_count(table: str, column: str, where: str) -> str:
    return f"""
    WITH counted AS (SELECT {column} AS valor, count(*) AS registros FROM {table} WHERE {where} GROUP BY {column})
    SELECT CAST(valor AS text) AS valor, registros, (SELECT count(*) FROM counted) AS valores
      FROM counted ORDER BY registros DESC, valor LIMIT {MOST_VALUES}
"""
