"""Makes what a file of `sources/` says: which entities are read out of a database of others, and how."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta

from common.connections import guards
from common.connections.files import SourceEntityFile, SourceFile
from common.connections.names import destination_name_fault
from common.connections.settings import Source, SourceEntity
from common.entities.declared import Declaration
from common.mapping.problem import At, Problem, unknown

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def make_source(
    name: str, digest: bytes, written: SourceFile, entities: Mapping[str, Declaration]
) -> tuple[Source | None, list[Problem]]:
    """The source, or what keeps it from being one."""
    problems = list(_problems(name, written, entities))
    url = None
    try:
        url = guards.secret(written.url, ("url",))
    except Problem as problem:
        problems.append(problem)
    if problems or url is None:
        return None, problems
    read = tuple(_entity(entities[each], how) for each, how in written.entities.items())
    return (
        Source(
            name,
            digest,
            url,
            written.schedule,
            written.delta,
            written.timeout,
            written.hold_removed,
            read,
        ),
        [],
    )


def _entity(entity: Declaration, how: SourceEntityFile) -> SourceEntity:
    lag = how.cursor.lag if how.cursor else "0s"
    return SourceEntity(
        entity,
        how.table,
        how.query,
        tuple(how.key),
        how.fields,
        how.cursor.column if how.cursor else None,
        timedelta(**{_UNITS[lag[-1]]: int(lag[:-1])}),
        how.page,
        how.paging,
    )


def _problems(name: str, written: SourceFile, entities: Mapping[str, Declaration]) -> Iterator[Problem]:
    fault = destination_name_fault(name)
    if fault:
        yield Problem((), fault)
    if written.delta and not any(each.cursor for each in written.entities.values()):
        yield Problem(("delta",), "nenhuma das entidades tem `cursor`")
    for each, how in written.entities.items():
        at: At = ("entities", each)
        entity = entities.get(each)
        if entity is None:
            yield Problem(at, unknown("não há a entidade", each, entities))
            continue
        yield from _problems_of(how, entity, at)


def _problems_of(how: SourceEntityFile, entity: Declaration, at: At) -> Iterator[Problem]:
    if entity.view is not None:
        yield Problem(at, f"`{entity.name}` é uma visão, que não recebe linhas")
    if (how.table is None) == (how.query is None):
        yield Problem(at, "diga `table` ou `query`, e só um dos dois")
    if len(how.key) != len(entity.key):
        yield Problem((*at, "key"), f"a chave de `{entity.name}` tem {len(entity.key)} partes: {', '.join(entity.key)}")
    if how.query is not None and not re.match(r"\s*(select|with)\b", how.query, re.IGNORECASE):
        yield Problem((*at, "query"), "deve começar com SELECT ou WITH")
    for column in how.fields:
        if column not in entity.columns:
            yield Problem((*at, "fields", column), unknown(f"`{entity.name}` não tem a coluna", column, entity.columns))
