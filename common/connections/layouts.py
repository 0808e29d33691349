"""Makes what a file of `layouts/` says, and the layout of an entity that has none."""

from collections.abc import Iterator, Mapping

from common.connections.files import IntoFile, LayoutFieldFile, LayoutFile
from common.connections.settings import Into, Layout, LayoutField
from common.entities.declared import Declaration
from common.intake.values import constant_fault
from common.mapping.problem import At, Problem, unknown


def make_layout(
    name: str, written: LayoutFile, entities: Mapping[str, Declaration]
) -> tuple[Layout | None, list[Problem]]:
    """The layout, or what keeps it from being one."""
    problems = list(_problems(name, written, entities))
    if problems:
        return None, problems
    into = tuple(
        Into(entities[each.entity], {column: _field(field) for column, field in each.fields.items()})
        for each in written.into
    )
    return Layout(name, written.label or name, written.policy, into), []


def plain_layout(entity: Declaration) -> Layout:
    """An entity as it is: a column's header is its name or its label."""
    into = Into(entity, {name: LayoutField(name) for name in entity.columns})
    return Layout(entity.name, entity.label, "valid_rows", (into,))


def _field(written: LayoutFieldFile) -> LayoutField:
    return LayoutField(written.from_, written.const, written.default, written.map)


def _problems(name: str, written: LayoutFile, entities: Mapping[str, Declaration]) -> Iterator[Problem]:
    if name in entities:
        yield Problem((), f"`{name}` já é uma entidade, que tem o seu próprio layout")
    seen = set()
    for index, each in enumerate(written.into):
        at: At = ("into", index)
        entity = entities.get(each.entity)
        if entity is None:
            yield Problem((*at, "entity"), unknown("não há a entidade", each.entity, entities))
            continue
        if entity.view is not None:
            yield Problem((*at, "entity"), f"`{each.entity}` é uma visão, que não recebe linhas")
        if each.entity in seen:
            yield Problem((*at, "entity"), f"`{each.entity}` está repetida")
        seen.add(each.entity)
        yield from _problems_of(each, entity, at)


def _problems_of(written: IntoFile, entity: Declaration, at: At) -> Iterator[Problem]:
    for column, field in written.fields.items():
        if column not in entity.columns:
            yield Problem((*at, "fields", column), unknown(f"`{entity.name}` não tem a coluna", column, entity.columns))
            continue
        if (field.from_ is None) == (field.const is None):
            yield Problem((*at, "fields", column), "diga `from` ou `const`, e só um dos dois")
        for value in (field.const, field.default, *(field.map or {}).values()):
            fault = constant_fault(entity.columns[column], value)
            if fault is not None:
                yield Problem((*at, "fields", column), f"`{column}` não aceita `{value}`: {fault}")
    for column in entity.required:
        if column not in written.fields:
            yield Problem((*at, "fields"), f"falta a coluna `{column}`, que é obrigatória")
