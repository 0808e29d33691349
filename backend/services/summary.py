"""Counts and sums of an entity out of the rollup, by what was added up and by what was not yet."""

from calendar import monthrange
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import TooSlowError
from backend.models.summary import Facet, FacetValue, Group, Summary, SummaryGroup
from backend.services.entities.question import Question, Where
from common.database import driver_of
from common.entities.entity import MAIN, Form
from common.resources.contratos import EMPENHO, NO_EMPENHOS
from common.resources.description import Resource, Rollup
from common.resources.resumo import (
    DAILY,
    DELTAS,
    LONGEST,
    MARGINS,
    MARGINS_OF,
    MONTH_OF_DAY,
    MONTHLY,
    SUMS,
    day_of,
    picked,
)

# ruff: noqa: S608  # all names in these statements stand in descriptions, or in the closed list of groups

MOST_VALUES = 50
FILTERED_SECONDS = 5.0

_STATE = text(
    "SELECT counted_from, complete_at IS NOT NULL AS is_complete FROM rollup_state WHERE entidade = :entidade"
)
_ARRAYS = {
    "uf": "text",
    "esfera": "text",
    "modalidade": "integer",
    "tipo": "integer",
    "receita": "boolean",
    "plataforma": "text",
}
_FIGURES = """
    CAST(coalesce(sum(n), 0) AS bigint) AS registros, sum(valor_estimado) AS valor_estimado,
    sum(valor_homologado) AS valor_homologado, sum(valor_global) FILTER (WHERE receita IS NOT TRUE) AS valor_global,
    sum(valor_global) FILTER (WHERE receita) AS valor_receita"""


def _median(amount: str, condition: str = "") -> str:
    """SQL of the exact median of the amounts that are known: the mean of the lower and the upper one."""
    known = f"FILTER (WHERE {amount} > 0{condition})"
    ends = (f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {amount}{order}) {known}" for order in ("", " DESC"))
    return f"trim_scale(({' + '.join(ends)}) / 2)"


_MEDIANS = f"""
    {_median("valor_estimado")} AS mediana_estimado, {_median("valor_homologado")} AS mediana_homologado,
    {_median("valor_global", " AND receita IS NOT TRUE")} AS mediana_global"""


def groups_of(rollup: Rollup) -> list[Group]:
    """What an entity can be grouped by."""
    own: list[Group] = ["uf", "esfera", "modalidade", "tipo", "receita", "plataforma"]
    return ["dia", "mes", *(name for name in own if name in rollup.dimensions)]


def default_groups_of(rollup: Rollup) -> list[Group]:
    """What it is grouped by where nothing is asked for."""
    return [name for name in groups_of(rollup) if name not in ("dia", "esfera", "receita")]


@dataclass(frozen=True)
class InRollup:
    """A question that the rollup can answer: values of its dimensions, the first and the last day, without empenhos."""

    filters: dict[str, list[Any]]
    span: tuple[date | None, date | None]
    empenhos: bool


def to_rollup(question: Question) -> InRollup | None:
    """What is asked, in dimensions of the rollup and whole days; `None` where the rollup does not know it."""
    resource = question.entity.resource
    if resource is None or resource.rollup is None:
        return None
    dimensions = {f"{MAIN}.{column}": name for name, column in resource.rollup.dimensions.items()}
    day = f"{MAIN}.{resource.rollup.day}"
    filters, ends, empenhos = dict[str, list[Any]](), dict[Form, date](), True
    for name, asked in question.asked.items():
        chosen, value = asked.filter, asked.value
        if chosen.form is Form.ANY and chosen.sql in dimensions:
            if any(isinstance(each, str) and len(each) > LONGEST for each in value):
                return None
            filters[dimensions[chosen.sql]] = value
        elif chosen.form in (Form.FROM, Form.TO) and chosen.sql == day and asked.day is not None:
            ends[chosen.form] = asked.day
        elif name == NO_EMPENHOS and asked.sql == f"({chosen.sql})":
            empenhos = False
        else:
            return None
    return InRollup(filters, (ends.get(Form.FROM), ends.get(Form.TO)), empenhos)


async def load_rollup_total(driver: "asyncpg.Connection[Any]", question: Question) -> int | None:
    """How many records a question has, out of the sums by month, which are few rows.

    `None` where they cannot answer it: they know whole months and one of `MARGINS`, and the records must all have been
    counted.
    """
    asked = to_rollup(question)
    if asked is None or not _is_whole_months(*asked.span):
        return None
    margins = [name for name in asked.filters if name in MARGINS]
    if len(margins) > 1:
        return None
    resource = question.entity.resource
    assert resource is not None  # noqa: S101  # else the rollup would not know it
    by_month = Where(["entidade = $1"], [resource.name])
    by_day = Where(["entidade = $1"], by_month.values)  # one list of parameters for both
    by_month.conditions.append(f"dimensao = {by_month.parameter(margins[0] if margins else '')}")
    for name, values in asked.filters.items():
        is_margin = name in MARGINS
        place = by_month.parameter([str(each) for each in values] if is_margin else values)
        by_month.conditions.append(f"{'valor' if is_margin else name} = ANY({place})")
        by_day.conditions.append(f"{f'CAST({name} AS text)' if is_margin else name} = ANY({place})")
    for sign, end in zip((">=", "<="), asked.span, strict=True):
        if end is not None:
            place = by_month.parameter(end)
            by_month.conditions.append(f"mes {sign} {place}")
            by_day.conditions.append(f"dia {sign} {place}")
    if not asked.empenhos:
        for where in (by_month, by_day):
            where.conditions.append(f"tipo IS DISTINCT FROM {EMPENHO}")
    statement = f"""
    SELECT CAST(coalesce(sum(n), 0) AS bigint)
      FROM (SELECT n FROM {MONTHLY}{by_month.sql} UNION ALL SELECT n FROM {DELTAS}{by_day.sql}) AS known
    HAVING EXISTS (SELECT FROM rollup_state WHERE entidade = $1 AND complete_at IS NOT NULL)"""
    found: int | None = await driver.fetchval(statement, *by_month.values)
    return found


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
    found = _by_group((await db.execute(statement, parameters)).mappings())
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


async def load_summary_of(
    db: AsyncConnection, question: Question, groups: Collection[Group], *, with_medians: bool = False
) -> Summary:
    """The sums of what a question asks for: out of the rollup if it can answer, else out of the table.

    `with_medians`: they need the records themselves.

    Raises:
        TooSlowError: the table is too large for these filters.

    """
    asked, resource = to_rollup(question), question.entity.resource
    if asked is not None and resource is not None and not with_medians:
        return await load_summary(db, resource, groups, asked.filters, asked.span, empenhos=asked.empenhos)
    summary = await load_filtered_summary(db, question, groups, with_medians=with_medians)
    if summary is None:
        known = ", ".join(name for name in groups if name not in ("dia", "mes"))
        other = "peça sem medianas" if with_medians else f"só os filtros que o resumo conhece: período, {known}"
        raise TooSlowError(f"Somar passou de {FILTERED_SECONDS:.0f} segundos. Peça um período menor, ou {other}.")
    return summary


async def load_filtered_summary(
    db: AsyncConnection, question: Question, groups: Collection[Group], *, with_medians: bool = False
) -> Summary | None:
    """The sums of the records that a question asks for, and by each of these groups, out of the table itself.

    `None` where that would take too long.
    """
    resource = question.entity.resource
    assert resource is not None  # noqa: S101  # only of records there are sums
    where = question.where()
    known = f"""
        SELECT CAST({day_of(resource)} AS date) AS dia, {picked(resource)}, 1 AS n
          FROM (SELECT {MAIN}.* FROM {question.entity.source}{where.sql}) AS asked"""
    driver = await driver_of(db)
    try:
        statement = _grouped(groups, known, f"{_FIGURES}, {_MEDIANS}" if with_medians else _FIGURES)
        rows = await driver.fetch(statement, *where.values, timeout=FILTERED_SECONDS)
    except TimeoutError:
        return None
    found = _by_group(rows)
    total = found["total"][0].model_dump(exclude={"valor"})
    return Summary(
        **total,
        entidade=resource.name,
        completo=True,
        contado_desde=None,
        grupos={group: _in_order(group, found[group]) for group in groups},
    )


def _by_group(rows: Iterable[Any]) -> defaultdict[str, list[SummaryGroup]]:
    found: defaultdict[str, list[SummaryGroup]] = defaultdict(list)
    for row in rows:
        if row["registros"] or row["por"] == "total":
            found[row["por"]].append(SummaryGroup.model_validate(dict(row)))
    return found


def _by_day(groups: Collection[Group], where: str) -> str:
    """By days with all dimensions, in one pass."""
    columns = f"dia, {', '.join(_ARRAYS)}, {', '.join(SUMS)}"
    known = f"SELECT {columns} FROM {DAILY} WHERE {where} UNION ALL SELECT {columns} FROM {DELTAS} WHERE {where}"
    return _grouped(groups, known)


def _grouped(groups: Collection[Group], known: str, figures: str = _FIGURES) -> str:
    """The sums of rows with a day and all dimensions, in one pass."""
    por = " ".join(f"WHEN GROUPING({name}) = 0 THEN '{name}'" for name in groups)
    valor = " ".join(f"WHEN GROUPING({name}) = 0 THEN CAST({name} AS text)" for name in groups)
    sets = ", ".join(["()", *(f"({name})" for name in groups)])
    return f"""
    SELECT {f"CASE {por} ELSE 'total' END" if groups else "'total'"} AS por,
           {f"CASE {valor} END" if groups else "CAST(NULL AS text)"} AS valor, {figures}
      FROM (SELECT *, {MONTH_OF_DAY} AS mes FROM ({known}) AS by_day) AS known
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
