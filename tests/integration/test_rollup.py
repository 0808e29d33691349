"""The rollup is what the tables come to, however they are written, and by how many at once."""

import asyncio
import json
import random
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from common.database import driver_of, in_transaction
from common.resources import RESOURCES, RESOURCES_BY_NAME
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.description import Resource
from common.resources.resumo import (
    DAILY,
    DELTAS,
    DIMENSIONS,
    MARGINS,
    MONTH_OF_DAY,
    SUMS,
    day_of,
    picked,
    trigger_arguments,
)
from ingestor import rollup
from ingestor.rollup import ONE_SUMMER, add_up, correct, count_a_day, keep_rollup, verify_a_day
from ingestor.store.driver import in_one
from ingestor.store.statements import statements_of
from tests.integration.conftest import Database

# chance is reproducible here, and all names stand in descriptions

STAMP = datetime(2025, 3, 10)


def record_of(resource: Resource, number: int, version: int, chance: random.Random) -> tuple[str, dict[str, Any]]:
    """A record and its key, whose day, dimensions and amounts are chance."""
    day = STAMP + timedelta(days=chance.randrange(4), hours=chance.randrange(24))
    stamp = (STAMP + timedelta(days=10, seconds=version)).isoformat()
    payload: dict[str, Any] = {
        "dataPublicacaoPncp": day.isoformat(),
        "dataAtualizacao": stamp,
        "dataAtualizacaoGlobal": stamp,
        "usuarioNome": chance.choice(["A" * 120, "B", None]),
        "unidadeOrgao": {"ufSigla": chance.choice(["SP", "MG", None])},
        "orgaoEntidade": {"esferaId": chance.choice(["M", "F"])},
    }
    amount = chance.choice([None, 0, 1.1, 1234567890123.4567, -3])
    if resource is CONTRATACOES:
        key = f"00000000000191-1-{number:06}/2025"
        more = {"modalidadeId": chance.choice([6, 8]), "valorTotalEstimado": amount, "valorTotalHomologado": 0.0001}
    else:
        key = f"00000000000191-2-{number:06}/2025"
        more = {"tipoContrato": {"id": chance.choice([1, 7])}, "receita": chance.choice([True, False, None])}
        more["valorGlobal"] = amount
    return key, {"numeroControlePNCP": key, **payload, **more}


async def store(db: AsyncConnection, resource: Resource, records: dict[str, dict[str, Any]]) -> None:
    """Write records by the statement that a page is written by, in the order of their keys."""
    keys = sorted(records)
    stamps = [datetime.fromisoformat(records[key]["dataAtualizacaoGlobal"]) for key in keys]
    payloads = [json.dumps(records[key]).encode() for key in keys]
    driver = await driver_of(db)
    await driver.fetch(statements_of(resource).merge, keys, stamps, stamps, [True] * len(keys), *in_one(payloads))


async def store_some(database: Database, resource: Resource, count: int, *, seed: int = 1, version: int = 1) -> None:
    chance = random.Random(seed)
    records = dict(record_of(resource, number, version, chance) for number in range(count))
    await database.run(store, resource, records)


def _expected(resource: Resource) -> str:
    return f"""
        SELECT CAST({day_of(resource)} AS date) AS dia, {", ".join(DIMENSIONS)}, {totals()}
          FROM (SELECT {day_of(resource)}, 1 AS n, {picked(resource)} FROM {resource.name}) r
         GROUP BY 1, {", ".join(DIMENSIONS)}
    """


def totals() -> str:
    return ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in SUMS)


def _known(resource: Resource) -> str:
    columns = f"dia, {', '.join(DIMENSIONS)}"
    return f"""
        SELECT {columns}, {totals()}
          FROM (SELECT * FROM {DAILY} UNION ALL SELECT * FROM {DELTAS}) s WHERE entidade = '{resource.name}'
         GROUP BY {columns} HAVING sum(n) <> 0
    """


async def differences(database: Database, resource: Resource) -> list[Row[Any]]:
    """What table and rollup do not agree on, in one statement."""
    expected, known = _expected(resource), _known(resource)
    return list(await database.rows(f"({expected} EXCEPT ALL {known}) UNION ALL ({known} EXCEPT ALL {expected})"))


async def differences_by_month(database: Database, resource: Resource) -> list[Row[Any]]:
    """What the sums by month and those by day do not agree on, once all deltas are added up."""
    margins = " UNION ALL ".join(
        f"""SELECT '{name}' AS dimensao, {MONTH_OF_DAY} AS mes, {value} AS valor, tipo, receita, {totals()}
              FROM {DAILY} WHERE entidade = '{resource.name}' GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0"""
        for name, value in [("", "CAST(NULL AS text)"), *((name, f"CAST({name} AS text)") for name in MARGINS)]
    )
    known = f"""
        SELECT dimensao, mes, valor, tipo, receita, {totals()} FROM resumo_mensal
         WHERE entidade = '{resource.name}' GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0
    """
    return list(await database.rows(f"(({margins}) EXCEPT ALL {known}) UNION ALL ({known} EXCEPT ALL ({margins}))"))


async def keep(database: Database) -> int:
    return await keep_rollup(database.engine, asyncio.Event())


@pytest.fixture(params=[CONTRATACOES, CONTRATOS], ids=lambda resource: resource.name)
def resource(request: pytest.FixtureRequest) -> Resource:
    found: Resource = request.param
    return found


async def test_what_is_written_is_added_up_by_day_and_by_month(database: Database, resource: Resource) -> None:
    await store_some(database, resource, 50)
    assert await database.value(f"SELECT sum(n) FROM {DELTAS}") == 50
    assert await differences(database, resource) == []

    await keep(database)

    assert await database.value(f"SELECT count(*) FROM {DELTAS}") == 0
    assert await database.value(f"SELECT sum(n) FROM {DAILY}") == 50
    assert await differences(database, resource) == []
    assert await differences_by_month(database, resource) == []


async def test_a_version_of_another_day_and_other_dimensions_moves(database: Database, resource: Resource) -> None:
    await store_some(database, resource, 30, seed=1)
    await keep(database)
    await store_some(database, resource, 30, seed=2, version=2)
    assert await differences(database, resource) == []
    await keep(database)
    assert await differences(database, resource) == []
    assert await differences_by_month(database, resource) == []


async def test_what_changes_nothing_that_is_added_up_appends_nothing(database: Database) -> None:
    await store_some(database, CONTRATACOES, 5)
    await keep(database)
    await database.rows("UPDATE contratacoes SET itens_at = NULL, updated_at = now()")
    await store_some(database, CONTRATACOES, 5)  # the same version again
    assert await database.value(f"SELECT count(*) FROM {DELTAS}") == 0


async def test_what_is_deleted_is_taken_away(database: Database, resource: Resource) -> None:
    await store_some(database, resource, 20)
    await keep(database)
    await database.rows(f"DELETE FROM {resource.name} WHERE {resource.key} < '00000000000191-9' AND random() < 0.5")
    assert await differences(database, resource) == []
    await database.rows(f"DELETE FROM {resource.name}")
    assert await differences(database, resource) == []
    assert await database.value(f"SELECT sum(n) FROM (SELECT n FROM {DAILY} UNION ALL SELECT n FROM {DELTAS}) s") == 0


async def test_a_transaction_that_is_rolled_back_leaves_nothing(database: Database) -> None:
    async with database.engine.connect() as db:
        await store(db, CONTRATACOES, dict([record_of(CONTRATACOES, 1, 1, random.Random(1))]))
        await db.rollback()
    assert await database.value(f"SELECT count(*) FROM {DELTAS}") == 0


class Writers:
    """Several connections that write random pages, and delete at times, until all have written theirs."""

    def __init__(self, database: Database, resource: Resource, *, pages: int, keys: int) -> None:
        self.database, self.resource, self.keys = database, resource, keys
        self.pages = pages
        self.version = 0

    async def write(self, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(self.pages):
            self.version += 1
            numbers = chance.sample(range(self.keys), 12)
            records = dict(record_of(self.resource, number, self.version, chance) for number in numbers)
            if chance.random() < 0.2:
                delete = f"DELETE FROM {self.resource.name} WHERE {self.resource.key} = :key"
                await self.database.rows(delete, key=chance.choice(list(records)))
                continue
            async with self.database.engine.begin() as db:  # a deadlock would fail here
                await store(db, self.resource, records)
                if chance.random() < 0.3:
                    await asyncio.sleep(0)

    async def run(self, count: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for seed in range(count):
                tasks.create_task(self.write(seed))


async def test_many_writers_at_once_are_added_up_exactly(database: Database, resource: Resource) -> None:
    writers = Writers(database, resource, pages=30, keys=60)
    done = asyncio.Event()

    async def keep_on() -> None:
        while not done.is_set():
            await keep(database)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_on())
        await writers.run(6)
        done.set()

    assert await differences(database, resource) == []
    await keep(database)
    assert await differences(database, resource) == []
    assert await differences_by_month(database, resource) == []


async def test_two_transactions_that_write_the_same_day_do_not_wait_for_each_other(database: Database) -> None:
    same = {"dataPublicacaoPncp": STAMP.isoformat()}
    first, second = (record_of(CONTRATACOES, number, 1, random.Random(1)) for number in (1, 2))
    async with database.engine.begin() as one, database.engine.begin() as other:
        await store(one, CONTRATACOES, {first[0]: {**first[1], **same}})
        async with asyncio.timeout(5):
            await store(other, CONTRATACOES, {second[0]: {**second[1], **same}})
    assert await differences(database, CONTRATACOES) == []


async def forget(database: Database) -> None:
    """As if the rollup had been added to a database that was filled before it."""
    for table in (DELTAS, DAILY, "resumo_mensal", "rollup_state"):
        await database.rows(f"DELETE FROM {table}")


async def test_a_database_that_was_filled_before_is_counted_while_others_write(
    database: Database, resource: Resource
) -> None:
    await store_some(database, resource, 60)
    await forget(database)
    writers = Writers(database, resource, pages=25, keys=80)

    async def count() -> None:
        while await in_transaction(database.engine, partial(count_a_day, resource=resource)):
            pass

    await asyncio.gather(writers.run(4), count())

    assert await differences(database, resource) == []
    state = "SELECT complete_at IS NOT NULL FROM rollup_state WHERE entidade = :entidade"
    assert await database.value(state, entidade=resource.name) is True
    await keep(database)
    assert await differences_by_month(database, resource) == []


async def test_counting_goes_on_where_it_was_interrupted_and_says_so(database: Database) -> None:
    await store_some(database, CONTRATOS, 40)
    await forget(database)
    state = "SELECT counted_from, complete_at FROM rollup_state WHERE entidade = 'contratos'"
    assert await database.run(count_a_day, CONTRATOS) is True
    assert await database.row(state) == (date(2025, 3, 13), None)
    async with database.engine.connect() as db:
        await count_a_day(db, CONTRATOS)
        await db.rollback()
    days = []
    while await database.run(count_a_day, CONTRATOS):
        days.append((await database.row(state)).counted_from)
    assert days == [date(2025, 3, day) for day in (12, 11, 10)]
    assert (await database.row(state)).complete_at is not None
    assert await differences(database, CONTRATOS) == []


async def test_records_without_a_day_are_counted_too(database: Database) -> None:
    insert = """
        INSERT INTO atas (numero_controle_pncp_ata, data_atualizacao, data_atualizacao_global, data_publicacao_pncp,
                          usuario, payload)
        VALUES ('a', now(), now(), NULL, 'X', '{}'), ('b', now(), now(), '2025-03-10', NULL, '{}')
    """
    await database.rows(insert)
    await forget(database)
    await keep(database)
    assert await differences(database, RESOURCES_BY_NAME["atas"]) == []
    assert await database.value("SELECT count(*) FROM resumo_diario WHERE dia IS NULL") == 1


async def test_of_two_ingestors_one_counts(database: Database) -> None:
    await store_some(database, CONTRATOS, 10)
    await forget(database)
    async with database.engine.begin() as db:
        await db.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ONE_SUMMER})")
        assert await database.run(count_a_day, CONTRATOS) is False
        assert await database.run(add_up) is False
        assert await database.value("SELECT count(*) FROM rollup_state") == 0


async def test_a_rollup_that_differs_is_found_repaired_counted_and_logged(database: Database) -> None:
    await store_some(database, CONTRATOS, 10)
    assert await keep(database) == 0
    await database.rows("UPDATE resumo_diario SET n = n + 1, valor_global = NULL WHERE entidade = 'contratos'")
    await database.rows("UPDATE rollup_state SET verified_at = verified_at - interval '1 day'")
    found = 0
    with capture_logs() as logs:
        while await differences(database, CONTRATOS):
            found += await database.run(verify_a_day, CONTRATOS)
    assert found >= 1
    assert await database.value("SELECT mismatches FROM rollup_state WHERE entidade = 'contratos'") == found
    assert "rollup differed from its table and is repaired" in [each["event"] for each in logs]


async def test_a_day_is_compared_once_a_night(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    async def verify(db: AsyncConnection, resource: Resource) -> int:
        compared.append(resource.name)
        return await verify_a_day(db, resource)

    monkeypatch.setattr(rollup, "verify_a_day", verify)
    everything = [resource.name for resource in RESOURCES]
    await keep(database)
    assert compared == everything
    await keep(database)
    assert compared == everything
    await database.rows("UPDATE rollup_state SET verified_at = now() - interval '24 hours' WHERE entidade = 'atas'")
    await keep(database)
    assert compared == [*everything, "atas"]


async def test_correcting_what_is_right_does_nothing(database: Database) -> None:
    await store_some(database, CONTRATOS, 10)
    assert await database.run(correct, CONTRATOS, date(2025, 3, 10)) == 0
    await keep(database)
    assert await database.run(correct, CONTRATOS, date(2025, 3, 10)) == 0
    assert await database.run(correct, CONTRATOS, None) == 0


TRIGGERS = """
    SELECT c.relname, t.tgname, t.tgargs FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE t.tgname LIKE '{}\\_%' ORDER BY 1, 2
"""


async def triggers(database: Database, function: str) -> dict[tuple[str, str], tuple[str, ...]]:
    rows = await database.rows(TRIGGERS.format(function))
    return {(table, name): tuple(bytes(given).decode().split("\0")[:-1]) for table, name, given in rows}


async def test_triggers_are_handed_the_columns_of_the_descriptions(database: Database) -> None:
    events = ("delete", "insert", "update")
    assert await triggers(database, "sum_rollup") == {
        (each.name, f"sum_rollup_{event}"): trigger_arguments(each.rollup)
        for each in RESOURCES
        for event in events
        if each.rollup
    }
    assert await triggers(database, "note_changes") == {
        (each.name, f"note_changes_{event}"): (each.key,) for each in RESOURCES for event in events
    }
