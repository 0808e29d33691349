"""Lists that are only ever read later than their records: of which records they are wanted, and who asks for one.

A scope is `nenhum`, `tudo`, or filters such as `uf=SP,MG;cnpj=00394460000141;modalidade=6,8;dias=30`; a record is in it
that all of them take.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import BRASILIA
from common.resources.description import Child, Parts, Resource

# ruff: noqa: S608  # all names in these statements stand in descriptions

UFS = (
    *("AC", "AL", "AM", "AP", "BA", "CE", "DF", "ES", "GO", "MA", "MG", "MS", "MT", "PA", "PB", "PE", "PI", "PR", "RJ"),
    *("RN", "RO", "RR", "RS", "SC", "SE", "SP", "TO", "EX"),
)
"""EX: units abroad."""
LAST_MODALIDADE = 99
MOST_DAYS = 36_500
NONE, ALL = "nenhum", "tudo"


@dataclass(frozen=True)
class Scope:
    """The records whose list is wanted: all that each of these filters takes; an empty one takes every record.

    `dias`: published within so many days.
    """

    uf: tuple[str, ...] = ()
    cnpj: tuple[str, ...] = ()
    modalidade: tuple[int, ...] = ()
    dias: int | None = None

    def __str__(self) -> str:
        said = [
            f"{name}={','.join(map(str, values))}"
            for name, values in (("uf", self.uf), ("cnpj", self.cnpj), ("modalidade", self.modalidade))
            if values
        ]
        return ";".join([*said, *([f"dias={self.dias}"] if self.dias is not None else [])]) or ALL

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of `in_scope`."""
        lists = {"uf": self.uf, "cnpj": self.cnpj, "modalidade": self.modalidade}
        return {**{name: list(values) or None for name, values in lists.items()}, "dias": self.dias}


Scopes = Mapping[str, Scope | None]
"""The scope of each kind of list by the name of its service; `None` takes no record."""
NO_SCOPES: Scopes = MappingProxyType({})


def _uf(value: str) -> str:
    if value.upper() not in UFS:
        raise ValueError(f"{value!r} is no UF")
    return value.upper()


def _cnpj(value: str) -> str:
    if not re.fullmatch("[0-9A-Z]{14}", value.upper()):
        raise ValueError(f"{value!r} is no CNPJ of 14 characters")
    return value.upper()


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch("[0-9]{1,6}", value) or not least <= int(value) <= most:
            raise ValueError(f"{value!r} is no number from {least} to {most}")
        return int(value)

    return parse


_FILTERS: Mapping[str, Callable[[str], str | int]] = {
    "uf": _uf,
    "cnpj": _cnpj,
    "modalidade": _number(1, LAST_MODALIDADE),
    "dias": _number(1, MOST_DAYS),
}


def parse_scope(value: object) -> object:
    """Read a scope; other types than text are left as they are.

    Raises:
        ValueError: it says what is wrong.

    """
    if not isinstance(value, str):
        return value
    written = value.strip()
    if written.lower() in {NONE, ALL}:
        return None if written.lower() == NONE else Scope()
    found: dict[str, Any] = {}
    for part in written.split(";"):
        name, _, values = (each.strip() for each in part.partition("="))
        if name not in _FILTERS or not values:
            known = ", ".join(f"{each}=..." for each in _FILTERS)
            raise ValueError(f"expected {NONE}, {ALL}, or filters ({known}) between semicolons, not {part.strip()!r}")
        if name in found:
            raise ValueError(f"{name} stands there twice; its values are written between commas")
        found[name] = tuple(dict.fromkeys(_FILTERS[name](each.strip()) for each in values.split(",")))
    if "dias" in found:
        if len(found["dias"]) > 1:
            raise ValueError("dias is one number")
        found["dias"] = found["dias"][0]
    return Scope(**found)


def _without_modalidade(scope: Scope | None) -> Scope | None:
    if scope is not None and scope.modalidade:
        raise ValueError("contratos have no modalidade")
    return scope


ListScope = Annotated[Scope | None, NoDecode, BeforeValidator(parse_scope)]
TermosScope = Annotated[Scope | None, NoDecode, BeforeValidator(parse_scope), AfterValidator(_without_modalidade)]


# --- SQL --------------------------------------------------------------------------------------------------------


def in_scope(resource: Resource) -> str:
    """SQL that says whether the record `c` is in a scope, whose `values` are parameters; without an axis none is that
    is wanted by modalidade.
    """
    of_modalidade = f"c.{resource.axis.column} = ANY(CAST(:modalidade AS int[]))" if resource.axis else "false"
    return f"""(CAST(:uf AS text[]) IS NULL OR c.unidade_orgao_uf_sigla = ANY(CAST(:uf AS text[])))
           AND (CAST(:cnpj AS text[]) IS NULL OR c.orgao_entidade_cnpj = ANY(CAST(:cnpj AS text[])))
           AND (CAST(:modalidade AS int[]) IS NULL OR {of_modalidade})
           AND (CAST(:dias AS int) IS NULL
                OR c.data_publicacao_pncp
                   >= CAST(now() AT TIME ZONE '{BRASILIA.key}' AS date) - CAST(:dias AS int))"""


def is_to_be_read(resource: Resource, child: Child) -> str:
    """SQL that says whether the list of the record `c` has not been read, and can be asked for."""
    unread = f"c.{child.read_at} IS NULL"
    parts = child.parts
    if parts is None:
        return unread
    some = f"SELECT FROM {parts.child.name} e WHERE e.{resource.key} = c.{resource.key} AND e.{parts.has}"
    return f"{unread} AND c.{parts.child.read_at} IS NOT NULL AND EXISTS ({some})"


@cache
def _ask(resource: Resource, child: Child) -> TextClause:
    return text(_to_ask(resource, child))


def _to_ask(resource: Resource, child: Child) -> str:
    key = resource.key
    return f"""
    WITH c AS (
        UPDATE {resource.name} SET {child.read_at} = NULL WHERE {key} = :key RETURNING {key}, {resource.version[1]}
    )
    INSERT INTO {child.debts} AS known ({key}, as_of, reason, asked_at)
    SELECT {key}, {resource.version[1]}, 'unread', now() FROM c
    ON CONFLICT ({key}) DO UPDATE
       SET as_of = excluded.as_of, asked_at = excluded.asked_at, tries = 0, empty_sights = 0, due_at = now(),
           set_aside_at = NULL{", parts_left = NULL" if child.parts else ""}
"""


async def ask_for(db: AsyncConnection, resource: Resource, child: Child, key: str) -> bool:
    """Have the list of a record read at once and before all others; `False` where there is no such record."""
    return (await db.execute(_ask(resource, child), {"key": key})).rowcount > 0


# --- what reading them comes to -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwedList:
    """How many records wait for a list, the oldest since `since`, and how many have been given up."""

    owed: int
    since: datetime | None
    set_aside: int


@dataclass(frozen=True)
class ListPlan:
    """What is to be read of one list of a resource's records.

    `owed` records wait to be read, `set_aside` have been given up, and of `new` ones the list becomes owed once the
    scope is set. `requests` is what those that are owed and new come to, without the ones that confirm an empty list.
    """

    owed: int
    set_aside: int
    new: int
    requests: int


@cache
def _count(child: Child) -> TextClause:
    return text(_to_count(child))


def _to_count(child: Child) -> str:
    return f"""
    SELECT count(*) FILTER (WHERE set_aside_at IS NULL) AS owed,
           min(owed_since) FILTER (WHERE set_aside_at IS NULL) AS since,
           count(*) FILTER (WHERE set_aside_at IS NOT NULL) AS set_aside
      FROM {child.debts}
"""


@cache
def _count_requests(resource: Resource, child: Child) -> TextClause:
    return text(_to_count_requests(resource, child))


def _to_count_requests(resource: Resource, child: Child) -> str:
    of_one = "1"
    if child.parts:
        of_one = f"coalesce(cardinality(o.parts_left), ({_parts_of('o', resource, child.parts)}))"
    return f"SELECT CAST(coalesce(sum({of_one}), 0) AS bigint) FROM {child.debts} o WHERE set_aside_at IS NULL"


@cache
def _plan(resource: Resource, child: Child) -> TextClause:
    return text(_to_plan(resource, child))


def _to_plan(resource: Resource, child: Child) -> str:
    key = resource.key
    of_one = f"({_parts_of('n', resource, child.parts)})" if child.parts else "1"
    return f"""
    WITH new AS MATERIALIZED (
        SELECT c.{key} FROM {resource.name} c
         WHERE {is_to_be_read(resource, child)} AND {in_scope(resource)}
               AND NOT EXISTS (SELECT FROM {child.debts} o WHERE o.{key} = c.{key})
    )
    SELECT count(*) AS new, CAST(coalesce(sum({of_one}), 0) AS bigint) AS requests FROM new n
"""


def _parts_of(record: str, resource: Resource, parts: Parts) -> str:
    """SQL that counts the parts of the list of a record."""
    return (
        f"SELECT count(*) FROM {parts.child.name} e WHERE e.{parts.has} AND e.{resource.key} = {record}.{resource.key}"
    )


async def count_list(db: AsyncConnection, child: Child) -> OwedList:
    """How much is owed of a list."""
    return OwedList(*(await db.execute(_count(child))).one())


async def count_requests(db: AsyncConnection, resource: Resource, child: Child) -> int:
    """What is owed of a list in requests; of one that has parts this takes ten seconds for a million records."""
    found: int = (await db.execute(_count_requests(resource, child))).scalar_one()
    return found


async def plan_list(db: AsyncConnection, resource: Resource, child: Child, scope: Scope | None) -> ListPlan:
    """What reading the lists comes to of records that are mirrored, in this scope and those that are owed already."""
    known = await count_list(db, child)
    new, requests = 0, await count_requests(db, resource, child)
    if scope is not None:
        row = (await db.execute(_plan(resource, child), scope.values)).one()
        new, requests = row.new, requests + row.requests
    return ListPlan(known.owed, known.set_aside, new, requests)


def write_scope(scope: Scope | None) -> str:
    """A scope as `parse_scope` reads it."""
    return NONE if scope is None else str(scope)


def hours_of(requests: int, per_second: float) -> float:
    """How long so many requests take at a pace, with a digit behind the point."""
    return round(requests / per_second / 3600, 1)
