"""Makes what a file of `sources/` says: which entities are read out of a database of others, and how."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

from common.connections import guards
from common.connections.files import SourceEntityFile, SourceFile
from common.connections.names import destination_name_fault
from common.connections.secrets import SecretText
from common.connections.settings import Source, SourceEntity
from common.entities.declared import Declaration
from common.mapping.problem import At, Problem, unknown

DRIVERS: Mapping[str, str] = {
    "oracle": "oracle+oracledb",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mssql": "mssql+pyodbc",
    "sqlite": "sqlite",
}
"""What is read with which driver, by the first word of the address; a driver behind a plus is replaced by this one."""
LONGEST_LAG = timedelta(days=366)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SCHEME = re.compile(r"([a-z]+)(\+[a-z0-9_]+)?://")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)


def make_source(
    name: str, digest: bytes, written: SourceFile, entities: Mapping[str, Declaration]
) -> tuple[Source | None, list[Problem]]:
    """The source, or what keeps it from being one."""
    problems = list(_problems(name, written, entities))
    url = None
    try:
        url = _url(written.url)
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


def kind_of(address: str) -> str | None:
    """The kind of database of a written address, one of `DRIVERS`; null for any other."""
    match = _SCHEME.match(address)
    return match[1] if match and match[1] in DRIVERS else None


def _url(written: str) -> SecretText:
    """The address: a reference, or a text whose password is one."""
    at: At = ("url",)
    text = guards.secret_text(written, at)
    if text.outside and not written.startswith("${") and kind_of(text.outside) is None:
        raise Problem(at, f"esperava um endereço que começa com {', '.join(f'{each}://' for each in DRIVERS)}")
    guards.check_no_password(text, at)
    return text


def _entity(entity: Declaration, how: SourceEntityFile) -> SourceEntity:
    return SourceEntity(
        entity,
        how.table,
        None if how.query is None else how.query.strip().rstrip(";"),
        tuple(how.key),
        {**dict(zip(entity.key, how.key, strict=True)), **how.fields},
        how.cursor.column if how.cursor else None,
        _lag(how),
        how.page,
        how.paging,
    )


def _lag(how: SourceEntityFile) -> timedelta:
    lag = how.cursor.lag if how.cursor else "0s"
    return timedelta(**{_UNITS[lag[-1]]: int(lag[:-1])})


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
    if how.query is not None:
        yield from _problems_of_query(how.query, (*at, "query"))
    yield from _problems_of_key(how, entity, at)
    if _lag(how) > LONGEST_LAG:
        yield Problem((*at, "cursor", "lag"), f"o máximo são {LONGEST_LAG.days} dias")
    for column in how.fields:
        if column not in entity.columns:
            yield Problem((*at, "fields", column), unknown(f"`{entity.name}` não tem a coluna", column, entity.columns))


def _problems_of_query(query: str, at: At) -> Iterator[Problem]:
    """The query stands within another one; what is not one SELECT is told here, as the database would say less."""
    if not re.match(r"\s*(select|with)\b", query, re.IGNORECASE):
        yield Problem(at, "deve começar com SELECT ou WITH")
    if ";" in _QUOTED.sub("", query).rstrip().rstrip(";"):
        yield Problem(at, "deve ser um comando só, sem `;` no meio")


def _problems_of_key(how: SourceEntityFile, entity: Declaration, at: At) -> Iterator[Problem]:
    if len(how.key) != len(entity.key):
        yield Problem((*at, "key"), f"a chave de `{entity.name}` tem {len(entity.key)} partes: {', '.join(entity.key)}")
    for column, number in Counter(each.casefold() for each in how.key).items():
        if number > 1:
            yield Problem((*at, "key"), f"a coluna `{column}` está repetida na chave")
    for column, there in zip(entity.key, how.key, strict=False):
        if how.fields.get(column, there) != there:
            yield Problem((*at, "fields", column), f"`key` diz que é `{there}`")
