"""Rows of every table of the mirror, made from the descriptions: equal values, nulls, and texts that bite."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.services.entities.address import record_parts, to_key
from common.clock import BRASILIA
from common.database import driver_of
from common.resources import RESOURCES
from common.resources.derive import entry_sql, party_columns, party_key, to_sql
from common.resources.description import Child, Column, Kind, Party, Resource
from common.resources.parties import PARTIES

NOW = datetime.combine(datetime.now(BRASILIA).date(), time())
"""The midnight before the test, on Brasília's clock: some rows lie in the past, and some in the future."""
CNPJS = ("03112386000111", "46675997000180", "00394460000141", "0A112386000111")
UNITS = ("01", "3.2026", "253002", "a/b c")
COMPANY, PERSON, FOREIGNER = ("PJ", "12345678000190"), ("PF", "52998224725"), ("PE", "AXON INC/7")
TEXTS = ("Ação", "a, b", 'O\'Reilly "x" \\', "100%_", "água e luz", "SP", "🙂", "")
NUMBERS = ("0", "0.1", "1234567.8901", "99999999999999999999.99", "-3.50", "1e2")
PARTS = {"cnpj": CNPJS, "codigo": UNITS}
OTHERS: Mapping[Kind, Sequence[Any]] = {
    Kind.INTEGER: (0, 6, 7, 8, 2**31 - 1),
    Kind.CODE: (0, 6, 7, 8, 2**31 - 1),
    Kind.BOOLEAN: (True, False),
    Kind.JSON: ([{"codigo": 1, "nome": "Própria"}], {"a": 1.5}, "text", 7),
}
NULLS = 0.25


@dataclass
class Filler:
    """Makes rows; the same seed makes the same ones."""

    db: AsyncConnection
    keys: dict[str, list[str]]
    random: random.Random

    def key(self, resource: Resource, number: int) -> str:
        values = {"cnpj": CNPJS[number % 3], "ano": str(2024 + number % 2), "sequencial": str(number + 1)}
        return to_key(resource, {part.name: values.get(part.name, "1") for part in record_parts(resource)})

    def value(self, column: Column) -> Any:
        """A value as the portal would write it; null now and then where it may be."""
        pick = self.random.choice
        if not column.required and self.random.random() < NULLS:
            return None
        if column.refers:
            return pick([*self.keys.get(column.refers, []), f"{CNPJS[0]}-9-000001/2025"])
        moment = NOW + timedelta(days=pick([-400, -30, -1, 0, 0, 1, 30]), seconds=pick([0, 0, 1, 86_399]))
        match column.kind:
            case Kind.NUMBER:
                value = orjson.Fragment(pick(NUMBERS))
            case Kind.DAY:
                value = moment.date().isoformat()
            case Kind.MOMENT | Kind.STAMP:
                value = moment.isoformat()
            case Kind.TEXT | Kind.SHORT_TEXT:
                value = pick(next((PARTS[part] for part in PARTS if part in column.name), TEXTS))
            case _:
                value = pick(OTHERS[column.kind])
        return value

    def payload(self, columns: Iterable[Column], given: Mapping[str, Any]) -> dict[str, Any]:
        """A record with a value at the path of each column; suppliers are persons of whom kind and number agree."""
        columns = list(columns)
        kinds = {column.personal for column in columns if column.personal}
        people = {path: self.random.choice([COMPANY, PERSON, FOREIGNER, (None, PERSON[1])]) for path in kinds}
        made: dict[str, Any] = {}
        for column in columns:
            value = given.get(column.name, self.value(column))
            if column.name not in given and (column.path in people or column.personal in people):
                kind, ni = people[column.path if column.path in people else str(column.personal)]
                value = kind if column.path in people else ni if column.kind is Kind.SHORT_TEXT else f"NOME {ni}"
            elif column.name not in given and column.personal == "":
                value = f"ver {PERSON[1]}" if column.kind is Kind.TEXT else PERSON[1]
            inner = made
            *outer, last = column.path.split(".")
            for name in outer:
                inner = inner.setdefault(name, {})
            inner[last] = value
        return made

    async def insert(
        self, table: str, values: Mapping[str, str], payload: Mapping[str, Any], number: int, **more: Any
    ) -> None:
        """A row whose columns are read from the payload, as the store does it."""
        expressions = {name: sql for name, sql in values.items() if name not in more}
        given = {"created_at": NOW - timedelta(hours=number % 5), "updated_at": NOW + timedelta(hours=number % 3)}
        own = [f"timezone('America/Sao_Paulo', CAST(${at} AS timestamp))" for at in (2, 3)]
        own += [f"${at}" for at in range(4, 4 + len(more))]
        statement = (
            f"INSERT INTO {table} ({', '.join((*expressions, *given, *more))})"
            f" SELECT {', '.join((*expressions.values(), *own))}"
            " FROM (SELECT CAST(CAST($1 AS text) AS jsonb) AS payload) AS row"
        )
        driver = await driver_of(self.db)
        await driver.execute(statement, orjson.dumps(payload).decode(), *given.values(), *more.values())

    async def fill_resource(self, resource: Resource, count: int) -> None:
        self.keys[resource.name] = []
        for number in range(count):
            key = self.key(resource, number)
            given: dict[str, Any] = {resource.key: key}
            if resource.key_columns:
                given = dict(
                    zip(resource.key_columns, (CNPJS[number % 3], 2024 + number % 2, number + 1, 1), strict=True)
                )
            record = self.payload(resource.columns, given)
            own = {resource.key: key} if resource.key_columns else {}
            await self.insert(resource.name, to_sql(resource.columns), record, number, **own)
            self.keys[resource.name].append(key)

    async def fill_child(self, resource: Resource, child: Child, count: int) -> None:
        for number in range(count):
            key = self.keys[resource.name][number % 7]
            given: dict[str, Any] = dict.fromkeys(child.key, number + 1)
            if child.key_columns:
                given = {child.key_columns[0]: (NOW + timedelta(minutes=number)).isoformat()}
            entry = self.payload(child.columns, given)
            await self.insert(child.name, entry_sql(child), entry, number, **{resource.key: key})

    async def fill_party(self, party: Party) -> None:
        keys: Iterable[tuple[Any, ...]] = [(cnpj,) for cnpj in CNPJS[:3]]
        if party.owner:
            keys = [(cnpj, unit) for cnpj in CNPJS[:2] for unit in UNITS]
        elif len(party.key) > 1:
            keys = [COMPANY, PERSON, FOREIGNER]
        for number, key in enumerate(keys):
            given = dict(zip(party_key(party), key, strict=True))
            row = self.payload(party_columns(party), given)
            await self.insert(party.name, to_sql(party_columns(party)), row, number, as_of=NOW)


async def fill(engine: AsyncEngine, count: int = 40, resources: Iterable[Resource] = RESOURCES) -> None:
    """Fill every table of these resources, their lists and all parties."""
    async with engine.begin() as db:
        filler = Filler(db, {}, random.Random(1))
        for party in PARTIES:
            await filler.fill_party(party)
        for resource in resources:
            await filler.fill_resource(resource, count)
        for resource in resources:
            for child in resource.lists:
                await filler.fill_child(resource, child, count)
