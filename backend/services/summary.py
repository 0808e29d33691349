"""Counts and sums of an entity out of the rollup, by what was added up and by what was not yet."""

from calendar import monthrange
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.summary import Facet, FacetValue, Group, Summary, SummaryGroup
from common.resources.contratos import EMPENHO
from common.resources.description import Resource, Rollup
from common.resources.resumo import DAILY, DELTAS, MARGINS, MARGINS_OF, MONTH_OF_DAY, MONTHLY, SUMS

# ruff: noqa: S608  # all names in these statements stand in descriptions, or in the closed list of groups

MOST_VALUES = 50

_STATE = text(
    "SELECT counted_from, complete_at IS NOT NULL AS is_complete FROM rollup_state WHERE entidade = :entidade"
)
_ARRAYS = {"uf": "text", "esfera": "text", "modalidade": "integer", "tipo": "integer", "plataforma": "text"}
_FIGURES = """
    CAST(coalesce(sum(n), 0) AS bigint) AS registros, sum(valor_estimado) AS valor_estimado,
    sum(valor_homologado) AS valor_homologado, sum(valor_global) FILTER (WHERE receita IS NOT TRUE) AS valor_global,
    sum(valor_global) FILTER (WHERE receita) AS valor_receita"""
_TO_COUNT = f"""
    SELECT coalesce(sum(n), 0)
      FROM (SELECT n FROM {MONTHLY} WHERE entidade = :entidade AND dimensao = ''
             UNION ALL
            SELECT n FROM {DELTAS} WHERE entidade = :entidade) known
"""
_TOTAL = text(_TO_COUNT)


def groups_of(rollup: Rollup) -> list[Group]:
    """What an entity can be grouped by."""
    own: list[Group] = ["uf", "esfera", "modalidade", "tipo", "receita", "plataforma"]
    return ["dia", "mes", *(name for name in own if name in rollup.dimensions)]


def default_groups_of(rollup: Rollup) -> list[Group]:
    """What it is grouped by where nothing is asked for."""
    return [name for name in groups_of(rollup) if name not in ("dia", "esfera", "receita")]


async def load_total(db: AsyncConnection, resource: Resource) -> tuple[int, bool]:
    """How many records the table of a resource has, and whether that is exact: all of them have been counted."""
    state = (await db.execute(_STATE, {"entidade": resource.name})).one_or_none()
    total = (await db.execute(_TOTAL, {"entidade": resource.name})).scalar_one()
    return int(total), state is not None and state.is_complete


async def load_summary(
    db: AsyncConnection,
    resource: Resource,
    groups: Collection[Group],
    filters: Mapping[str, Sequence[Any]],
    span: tuple[date | None, date | None] = (None, None),
    *,
    empenhos: bool = True,
) -> Summary:
    """The sums of the records that pass the filters, and by each of these groups.

    `filters`: the values of dimensions of the rollup. `span`: the first and the last day. Both ends are included.
    """
    is_by_month = not filters and "dia" not in groups and _is_whole_months(*span)
    conditions = ["entidade = :entidade"]
    parameters: dict[str, Any] = {"entidade": resource.name, "empenho": EMPENHO}
    day = "mes" if is_by_month else "dia"
    for name, sign, value in (("first", ">=", span[0]), ("last", "<=", span[1])):
        if value is not None:
            conditions.append(f"{day} {sign} CAST(:{name} AS date)")
            parameters[name] = value
    if not empenhos:
        conditions.append("tipo IS DISTINCT FROM :empenho")
    for name, values in filters.items():
        conditions.append(f"{name} = ANY(CAST(:{name} AS {_ARRAYS[name]}[]))")
        parameters[name] = list(values)
    to_sql = _by_month if is_by_month else _by_day
    statement = text(to_sql(groups, " AND ".join(conditions)))
    state = (await db.execute(_STATE, {"entidade": resource.name})).one_or_none()
    found: defaultdict[str, list[SummaryGroup]] = defaultdict(list)
    for row in await db.execute(statement, parameters):
        if row.registros or row.por == "total":
            found[row.por].append(SummaryGroup.model_validate(row, from_attributes=True))
    total = found["total"][0].model_dump(exclude={"valor"})
    is_complete = state is not None and state.is_complete
    return Summary(
        **total,
        entidade=resource.name,
        completo=is_complete,
        contado_desde=None if is_complete or state is None else state.counted_from,
        grupos={group: _in_order(group, found[group]) for group in groups},
    )


def _is_whole_months(first: date | None, last: date | None) -> bool:
    begins = first is None or first.day == 1
    return begins and (last is None or last.day == monthrange(last.year, last.month)[1])


def _in_order(group: Group, rows: Iterable[SummaryGroup]) -> list[SummaryGroup]:
    if group in ("dia", "mes"):
        return sorted(rows, key=lambda row: (row.valor is None, row.valor))
    return sorted(rows, key=lambda row: (-row.registros, row.valor is None, row.valor))


def _by_day(groups: Collection[Group], where: str) -> str:
    """By days with all dimensions, in one pass."""
    columns = f"dia, {MONTH_OF_DAY} AS mes, {', '.join(_ARRAYS)}, receita, {', '.join(SUMS)}"
    por = " ".join(f"WHEN GROUPING({name}) = 0 THEN '{name}'" for name in groups)
    valor = " ".join(f"WHEN GROUPING({name}) = 0 THEN CAST({name} AS text)" for name in groups)
    sets = ", ".join(["()", *(f"({name})" for name in groups)])
    return f"""
    SELECT {f"CASE {por} ELSE 'total' END" if groups else "'total'"} AS por,
           {f"CASE {valor} END" if groups else "CAST(NULL AS text)"} AS valor, {_FIGURES}
      FROM (SELECT {columns} FROM {DAILY} WHERE {where}
             UNION ALL
            SELECT {columns} FROM {DELTAS} WHERE {where}) known
     GROUP BY GROUPING SETS ({sets})
"""


def _by_month(groups: Collection[Group], where: str) -> str:
    """By months: each group out of the rows that are divided by it."""
    parts = ["SELECT 'total' AS por, CAST(NULL AS text) AS valor, {figures} FROM known WHERE dimensao = ''"]
    for name in groups:
        dimension, column = (name, "valor") if name in MARGINS else ("", name)
        parts.append(
            f"SELECT '{name}', CAST({column} AS text), {{figures}} FROM known WHERE dimensao = '{dimension}'"
            f" GROUP BY {column}"
        )
    columns = f"dimensao, mes, valor, tipo, receita, {', '.join(SUMS)}"
    asked = ", ".join(f"'{name}'" for name in ("", *(name for name in groups if name in MARGINS)))
    return f"""
    WITH known AS (
        SELECT {columns} FROM {MONTHLY} WHERE {where} AND dimensao IN ({asked})
         UNION ALL
        SELECT {columns}
          FROM (SELECT *, {MONTH_OF_DAY} AS mes FROM {DELTAS}) deltas CROSS JOIN LATERAL {MARGINS_OF}
         WHERE {where} AND dimensao IN ({asked})
    )
    {" UNION ALL ".join(part.format(figures=_FIGURES) for part in parts)}
"""


async def load_rollup_facets(
    db: AsyncConnection,
    resource: Resource,
    facets: Iterable[Group],
    filters: Mapping[str, Sequence[Any]],
    span: tuple[date | None, date | None] = (None, None),
) -> dict[str, Facet]:
    """Facets of dimensions of the rollup, where there are no filters but those of its dimensions and days."""
    found: dict[str, Facet] = {}
    for facet in facets:
        others = {name: values for name, values in filters.items() if name != facet}
        summary = await load_summary(db, resource, [facet], others, span)
        rows = summary.grupos[facet]
        values = [FacetValue(valor=row.valor, registros=row.registros) for row in rows[:MOST_VALUES]]
        found[facet] = Facet(valores=values, outros=max(len(rows) - MOST_VALUES, 0), incompleta=not summary.completo)
    return found
