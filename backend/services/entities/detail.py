"""One record or party with what hangs on it, what it refers to and what refers to it, derived from the descriptions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import NotFoundError
from backend.services.entities.address import party_path, portal_page, record_parts, record_path, to_key, to_party_key
from backend.services.entities.mirror import Mirrors
from backend.services.entities.question import VALUE, Asked, Question, Where
from backend.services.entities.rows import LIST_SECONDS, load_page
from backend.services.profiles import PROFILED, load_profile, root_of
from common.database import raw_driver_of
from common.entities.entity import MAIN, Entity, Field, Filter, Form, Order, of_child, of_party, of_resource
from common.lists import is_to_be_read
from common.resources import RESOURCES
from common.resources.derive import party_key
from common.resources.description import Child, Column, Mention, Party, Resource
from common.resources.parties import FORNECEDORES, PARTIES

# ruff: noqa: S608  # all names in these statements stand in descriptions

MOST_LISTED = 100
"""Rows of each list of a detail; the address of the whole list stands beside them."""

READ, MISSING, OUTSIDE = "lida", "falta", "fora do escopo"
SITUATIONS = (READ, MISSING, OUTSIDE)
"""Of a list of a record: read, still to be read, and read only where it is asked for."""


@dataclass(frozen=True)
class Sight:
    """Through which connection a detail is read, and whether its reader sees the numbers of natural persons."""

    db: AsyncConnection
    driver: "asyncpg.Connection[Any]"
    mirrors: Mirrors
    sees_all: bool


async def load_record(
    db: AsyncConnection, mirrors: Mirrors, written: Mapping[str, str], *, resource: Resource, sees_all: bool
) -> dict[str, Any]:
    """A record with its lists, its parties, the records that it refers to and those that refer to it.

    `written` are the parts of its address.

    Raises:
        NotFoundError: the mirror does not have it; the text says whether the portal may.
        TimeoutError: the database takes too long.

    """
    sight = Sight(db, await raw_driver_of(db), mirrors, sees_all)
    entity, key = of_resource(resource), to_key(resource, written)
    async with sight.driver.transaction(isolation="repeatable_read", readonly=True):  # all as of one moment
        found = await _rows(sight, entity, {resource.key: key}, tuple(entity.fields.values()))
        if found:
            state = await _load_state(sight.driver, resource, key)
            lists = {address_name(child): await _list(sight, resource, child, key, state) for child in resource.lists}
            referring = [await _referring(sight, each, column, key) for each, column in _referring_to(resource)]
            referred = [await _referred(sight, column, state) for column in resource.columns if column.refers]
            parties = await _parties(sight, resource.mentions, state)
            rejected = await _count_rejected(sight.driver, resource, key)
    if not found:
        raise NotFoundError(await _missing_record(sight, entity, resource, key))
    mirror = await mirrors.load_period(db, entity, (None, None))
    missing = [name for name, each in lists.items() if each["situacao"] == MISSING]
    outside = [name for name, each in lists.items() if each["situacao"] == OUTSIDE]
    return {
        "entidade": entity.name,
        "registro": found[0],
        "endereco": record_path(resource, key),
        "fonte": portal_page(resource, key),
        "listas": lists,
        "refere": [each for each in referred if each],
        "referido_por": referring,
        "partes": parties,
        "espelho": {
            "ate": mirror.fresh_until,
            "completo": not (missing or outside or rejected),
            "registros_recusados": rejected,
            "listas_faltando": missing,
            "listas_fora_do_escopo": outside,
        },
    }


async def load_party(
    db: AsyncConnection, mirrors: Mirrors, written: Mapping[str, str], *, party: Party, sees_all: bool
) -> dict[str, Any]:
    """A party, the profile of an órgão or a supplier, and the addresses of the lists that name it.

    `written` are the parts of its address.

    Raises:
        NotFoundError: no record of the mirror names it.
        TimeoutError: the database takes too long.

    """
    sight = Sight(db, await raw_driver_of(db), mirrors, sees_all)
    entity, key = of_party(party), to_party_key(party, written)
    found = await _rows(sight, entity, key, (*entity.fields.values(), *entity.key))
    mirror = await mirrors.load_period(db, entity, (None, None))
    if not found:
        raise NotFoundError(f"Nenhum registro do espelho cita quem é pedido ({entity.label}). {mirror.to_sentence()}")
    shown = found[0]
    where = Where()
    where.conditions += [f"{MAIN}.{name} = {where.parameter(value)}" for name, value in key.items()]
    statement = f"SELECT {', '.join(party_key(party))} FROM {party.name} {MAIN}{where.sql}"
    row = dict(await sight.driver.fetchrow(statement, *where.values, timeout=LIST_SECONDS) or shown)
    is_masked = any(shown[name] != value for name, value in row.items())
    answer: dict[str, Any] = {
        "entidade": entity.name,
        "registro": shown,
        "endereco": party_path(party, shown),
        # an address masks nothing
        "citada_em": [] if is_masked else list(_lists_that_name(party, row)),
        "espelho": mirror.to_object(),
    }
    if party.owner:
        answer["pertence_a"] = party_path(party.owner, row)
    if party is FORNECEDORES:
        answer["raiz"] = root_of(row["tipo_pessoa"], row["ni"])
    if party in PROFILED:
        answer["perfil"] = await load_profile(sight.driver, party, row, sees_all=sees_all)
    return answer


# --- rows -------------------------------------------------------------------------------------------------------


def _question(
    sight: Sight, entity: Entity, key: Mapping[str, Any], fields: Iterable[Field], *, order: Order, limit: int
) -> Question:
    """All rows with these values in columns of the entity's own table."""
    own = Filter("", "", order.kind, Form.ANY, "", leads=True)
    asked = {name: Asked(own, f"{MAIN}.{name} = {VALUE}", value) for name, value in key.items()}
    return Question(entity, asked, tuple(dict.fromkeys(fields)), order, limit, sees_all=sight.sees_all)


async def _rows(sight: Sight, entity: Entity, key: Mapping[str, Any], fields: Iterable[Field]) -> list[dict[str, Any]]:
    question = _question(sight, entity, key, fields, order=entity.default_order, limit=1)
    return (await load_page(sight.driver, question)).rows


def _default_fields(entity: Entity) -> list[Field]:
    return [each for each in entity.fields.values() if each.is_default]


async def _section(
    sight: Sight, entity: Entity, key: Mapping[str, Any], fields: Iterable[Field], order: Order
) -> dict[str, Any]:
    """The first rows of a list, how many there are, and the address of the whole."""
    page = await load_page(sight.driver, _question(sight, entity, key, fields, order=order, limit=MOST_LISTED))
    return {
        "registros": page.rows,
        "total": page.total.number,
        "total_tipo": page.total.kind,
        "endereco": _address(entity, key),
    }


def _address(entity: Entity, values: Mapping[str, Any]) -> str | None:
    """The address of the list of an entity's rows with these values in these columns; `None` where no filters ask."""
    by_sql = {each.sql: each.name for each in entity.filters.values() if each.form is Form.ANY}
    asked = [(by_sql.get(f"{MAIN}.{name}", ""), value) for name, value in values.items()]
    return f"/{entity.address}?{urlencode(asked)}" if all(name for name, _ in asked) else None


# --- what hangs on a record ---------------------------------------------------------------------------------------


def address_name(child: Child) -> str:
    """What a list is called in details."""
    return child.address or child.name


async def _load_state(driver: "asyncpg.Connection[Any]", resource: Resource, key: str) -> Mapping[str, Any]:
    """What lists of the record have been read and are owed, and the values by which it names others."""
    named = {name for mention in resource.mentions for name in mention.columns.values()}
    named |= {column.name for column in resource.columns if column.refers}
    columns = [f"c.{name}" for name in sorted(named)]
    for child in resource.lists:
        columns += [
            f"timezone('America/Sao_Paulo', c.{child.read_at}) AS {child.read_at}",
            f"({is_to_be_read(resource, child)}) AS {child.name}",
            f"EXISTS (SELECT FROM {child.debts} o WHERE o.{resource.key} = c.{resource.key}) AS {child.debts}",
        ]
    statement = f"SELECT {', '.join(columns)} FROM {resource.name} c WHERE c.{resource.key} = $1"
    return dict(await driver.fetchrow(statement, key, timeout=LIST_SECONDS) or {})


def _situation_of(child: Child, resource: Resource, state: Mapping[str, Any]) -> str:
    """Whether a list has been read. One with parts that belong to nothing is as good as read."""
    if state[child.debts]:
        return MISSING
    if state[child.read_at]:
        return READ
    if child is resource.child or (child.parts and not state[child.parts.child.read_at]):
        return MISSING
    return OUTSIDE if state[child.name] else READ


async def _list(sight: Sight, resource: Resource, child: Child, key: str, state: Mapping[str, Any]) -> dict[str, Any]:
    entity = of_child(resource, child)
    own = {column.name for column in child.columns}
    fields = [each for each in _default_fields(entity) if each.name in own]
    number = entity.key[1]
    order = Order("", "", number.sql, number.kind, is_required=True, is_descending=False)
    return {
        **await _section(sight, entity, {resource.key: key}, fields, order),
        "endereco": _address_of_list(resource, child, key),
        "lida_em": state[child.read_at],
        "situacao": _situation_of(child, resource, state),
        "lista": child.service if child in resource.later else None,
    }


def _address_of_list(resource: Resource, child: Child, key: str) -> str | None:
    """As `_address`; where an address has the lists of several resources, those of this one."""
    address = _address(of_child(resource, child), {resource.key: key})
    shares = [each for each in RESOURCES for other in each.lists if address_name(other) == address_name(child)]
    return f"{address}&entidade={resource.name}" if address and len(shares) > 1 else address


def _referring_to(resource: Resource) -> Iterator[tuple[Resource, Column]]:
    for each in RESOURCES:
        for column in each.columns:
            if column.refers == resource.name:
                yield each, column


async def _referring(sight: Sight, resource: Resource, column: Column, key: str) -> dict[str, Any]:
    """The records of a resource that refer to a key, each with its address."""
    entity = of_resource(resource)
    section = await _section(sight, entity, {column.name: key}, _default_fields(entity), entity.default_order)
    return {
        "entidade": entity.name,
        "campo": column.name,
        **section,
        "registros": [{**row, "endereco": record_path(resource, row[resource.key])} for row in section["registros"]],
    }


async def _referred(sight: Sight, column: Column, state: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record that a column names, null where the mirror does not have it."""
    key = state[column.name]
    if not key:
        return None
    resource = next(each for each in RESOURCES if each.name == column.refers)
    entity = of_resource(resource)
    rows = await _rows(sight, entity, {resource.key: key}, _default_fields(entity))
    return {
        "entidade": resource.name,
        "campo": column.name,
        "chave": key,
        "endereco": record_path(resource, key),
        "fonte": portal_page(resource, key),
        "registro": rows[0] if rows else None,
    }


async def _parties(sight: Sight, mentions: Iterable[Mention], state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parties that a record names, by what the mirror knows of them."""
    found: list[dict[str, Any]] = []
    for mention in mentions:
        party = mention.party
        key = {name: state[mention.columns[name]] for name in party_key(party)}
        if None in key.values():
            continue
        entity = of_party(party)
        fields = dict.fromkeys((*(entity.fields[name] for name in (*key, party.called)), *entity.key))
        said = {"entidade": party.name, "campo": mention.columns[party.key[-1]]}
        found += [
            {**said, **row, "endereco": party_path(party, row)} for row in await _rows(sight, entity, key, fields)
        ]
    return found


async def _count_rejected(driver: "asyncpg.Connection[Any]", resource: Resource, key: str) -> int:
    """How many newer versions of the record, or entries of its lists, could not be stored."""
    statement = (
        "SELECT count(*) FROM rejected_records"
        " WHERE resolved_at IS NULL AND natural_key = $1 AND resource = ANY(CAST($2 AS text[]))"
    )
    return int(await driver.fetchval(statement, key, list(resource.tables), timeout=LIST_SECONDS))


# --- what names a party -------------------------------------------------------------------------------------------


def _lists_that_name(party: Party, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The addresses of the lists whose rows name a party, by the column in which they do."""
    for other in PARTIES:
        if other.owner is party:
            address = _address(of_party(other), {name: row[name] for name in party_key(party)})
            yield {"entidade": other.name, "campo": party_key(party)[-1], "endereco": address}
    places = [(of_resource(resource), resource.mentions) for resource in RESOURCES]
    places += [(of_child(resource, child), child.mentions) for resource in RESOURCES for child in resource.lists]
    for entity, mentions in places:
        for mention in mentions:
            if mention.party is party:
                address = _address(entity, {mention.columns[name]: row[name] for name in party_key(party)})
                if address:
                    yield {"entidade": entity.name, "campo": mention.columns[party.key[-1]], "endereco": address}


# --- what is missing ----------------------------------------------------------------------------------------------


async def _missing_record(sight: Sight, entity: Entity, resource: Resource, key: str) -> str:
    """Why the mirror does not have a record, as far as is known."""
    page = portal_page(resource, key)
    there = f" no portal: {page}" if page else " no portal"
    if await _count_rejected(sight.driver, resource, key):
        return f"O portal lista {key}, mas o registro foi recusado: `./pncp rejected` diz por quê. Ele está{there}"
    year = _year_of(resource, key)
    period = (date(year, 1, 1), date(year, 12, 31)) if year else (None, None)
    mirror = await sight.mirrors.load_period(sight.db, entity, period)
    of_year = f" de {year}" if year else ""
    if mirror.missing_days == 0 and not mirror.rejected:
        return f"O espelho não tem {key}, e nada falta nele dos dias{of_year} já encerrados ({entity.label})."
    return f"O espelho não tem {key}, mas não está completo para os dias{of_year}: o registro pode existir{there}"


def _year_of(resource: Resource, key: str) -> int | None:
    match = re.fullmatch(resource.key_pattern, key)
    has_year = any(part.name == "ano" for part in record_parts(resource))
    with suppress(ValueError):
        return date(int(match["ano"]), 1, 1).year if match and has_year else None
    return None
