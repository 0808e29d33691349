"""Facets: how many rows have each value of a filter, within a limit of time."""

from collections.abc import Iterable
from typing import cast

from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.summary import Facet, FacetValue, Group
from backend.services.entities.question import Question
from backend.services.summary import MOST_VALUES, InRollup, load_rollup_facets, to_rollup
from common.database import driver_of
from common.entities.entity import Entity, Filter, Form
from common.masking import mask_text
from common.resources.description import Kind

# ruff: noqa: S608  # names in these statements stand in descriptions, and values are parameters

MOST_FACETS = 6
FACET_SECONDS = 0.2
DEFAULT_FACETS = ("uf", "esfera", "modalidade", "tipo_contrato", "tipo", "situacao", "plataforma", "tipo_pessoa")
"""Of these, those that an entity has, where none are named."""


def facets_of(entity: Entity) -> list[str]:
    """The filters whose values can be counted."""
    personal = {each.sql for each in entity.fields.values() if each.is_personal}
    return [
        name
        for name, each in entity.filters.items()
        if each.form is Form.ANY and _is_of_few_values(each) and each.sql not in personal
    ]


def _is_of_few_values(each: Filter) -> bool:
    return each.kind in (Kind.CODE, Kind.BOOLEAN, Kind.TEXT) or each.name in DEFAULT_FACETS or each.name == "ano"


def default_facets_of(entity: Entity) -> list[str]:
    """The facets where none are named."""
    return [name for name in DEFAULT_FACETS if name in entity.filters][:MOST_FACETS]


async def load_facets(db: AsyncConnection, question: Question, names: Iterable[str]) -> dict[str, Facet]:
    """How many rows there are of each value of these filters, each counted by all filters but itself."""
    found, in_rollup = {}, to_rollup(question)
    for name in names:
        facet = None if in_rollup is None else await _in_rollup(db, question.entity, in_rollup, name)
        found[name] = await _counted(db, question, name) if facet is None else facet
    return found


async def _in_rollup(db: AsyncConnection, entity: Entity, asked: InRollup, name: str) -> Facet | None:
    """The facet of a dimension of the rollup, where that has counted everything."""
    resource = entity.resource
    if resource is None or resource.rollup is None:
        return None
    column = entity.filters[name].sql.partition(".")[2]
    dimension = next((each for each, stored in resource.rollup.dimensions.items() if stored == column), None)
    if dimension is None or not asked.empenhos:
        return None
    group = cast("Group", dimension)
    facet = (await load_rollup_facets(db, resource, [group], asked.filters, asked.span))[group]
    return None if facet.incompleta else facet


async def _counted(db: AsyncConnection, question: Question, name: str) -> Facet:
    where, column = question.where(without=name), question.entity.filters[name].sql
    statement = f"""
    WITH counted AS (
        SELECT {column} AS valor, count(*) AS registros FROM {question.entity.source}{where.sql} GROUP BY 1
    )
    SELECT CAST(valor AS text) AS valor, registros, (SELECT count(*) FROM counted) AS valores
      FROM counted ORDER BY registros DESC, valor LIMIT {MOST_VALUES}"""
    try:
        rows = await (await driver_of(db)).fetch(statement, *where.values, timeout=FACET_SECONDS)
    except TimeoutError:
        return Facet(valores=[], outros=0, incompleta=True)
    is_free = any(each.is_free and each.sql == column for each in question.entity.fields.values())
    values = [FacetValue(valor=row["valor"], registros=row["registros"]) for row in rows]
    if is_free:
        values = [each.model_copy(update={"valor": each.valor and mask_text(each.valor)}) for each in values]
    return Facet(valores=values, outros=rows[0]["valores"] - len(rows) if rows else 0, incompleta=False)
