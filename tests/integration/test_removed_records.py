"""Records that are removed: nothing refers to them from then on, and what they held is deleted after a month."""

import asyncio

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.connections.loading import no_connections
from common.database import driver_of
from ingestor.intake.records import Upserted, blank_removed, make_record, upsert
from tests.intake_rows import Intake, good
from tests.integration.conftest import Database
from tests.support import eventually

CPF = "52998224725"
COMPRAS = no_connections().declarations["compras"]
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def intake(engine: AsyncEngine) -> Intake:
    return Intake(engine)


async def store(engine: AsyncEngine) -> Upserted:
    """A purchase that refers to a supplier."""
    record = make_record(COMPRAS, "1", {"numero": "1", "orgao_cnpj": "00394460000141", "fornecedor": CPF})
    async with engine.begin() as db:
        return await upsert(await driver_of(db), COMPRAS, [record])


async def test_a_record_that_is_being_removed_is_not_referred_to_any_more(
    engine: AsyncEngine, database: Database, intake: Intake
) -> None:
    await intake.record("fornecedores_proprios", CPF, {"documento": CPF})
    async with engine.begin() as db:
        await db.execute(text("SELECT key FROM entity_records FOR UPDATE"))
        await db.execute(text("UPDATE entity_records SET removed_at = now()"))
        storing = asyncio.create_task(store(engine))

        async def waits() -> bool:
            return bool(await database.value(WAITING))

        await eventually(waits)
    done = await storing
    assert done.missing == {"1": ("fornecedores_proprios", CPF)}
    assert await database.value("SELECT count(*) FROM entity_refs") == 0


async def test_a_removal_waits_for_a_record_that_comes_to_refer_to_it_and_is_refused(
    api: httpx.AsyncClient, engine: AsyncEngine, database: Database, intake: Intake
) -> None:
    await intake.record("fornecedores_proprios", CPF, {"documento": CPF})
    record = make_record(COMPRAS, "1", {"numero": "1", "orgao_cnpj": "00394460000141", "fornecedor": CPF})
    async with engine.begin() as db:
        await upsert(await driver_of(db), COMPRAS, [record])
        removing = asyncio.create_task(api.delete(f"/entities/fornecedores_proprios/records/{CPF}"))

        async def waits() -> bool:
            return bool(await database.value(WAITING))

        await eventually(waits)
    assert (await removing).json()["code"] == "record_referred"


async def test_what_a_removed_record_held_is_deleted_after_thirty_days_and_comes_again_with_the_record(
    engine: AsyncEngine, database: Database, intake: Intake
) -> None:
    await intake.record("fornecedores_proprios", CPF, {"documento": CPF})
    import_id = await intake.file("compras")
    await intake.staged(import_id, [good(2, "1", "compras", numero="1", fornecedor=CPF)])
    await intake.ended(import_id)
    await database.rows("UPDATE import_rows SET state = 'processed'")
    assert (await store(engine)).created == {"1"}
    await database.rows("UPDATE entity_records SET removed_at = now() - interval '29 days' WHERE entity = 'compras'")
    assert await database.run(blank_removed) == 0
    await database.rows("UPDATE entity_records SET removed_at = now() - interval '31 days' WHERE entity = 'compras'")
    assert await database.run(blank_removed) == 1
    row = await database.row("SELECT * FROM entity_records WHERE entity = 'compras'")
    assert (row.data, row.digest, row.busca) == ({}, None, None)
    assert await database.value("SELECT count(*) FROM entity_refs") == 0
    assert await database.value("SELECT data FROM import_rows") is None
    assert await database.run(blank_removed) == 0
    assert (await store(engine)).changed == {"1"}
    row = await database.row("SELECT * FROM entity_records WHERE entity = 'compras'")
    assert (row.removed_at, row.data["fornecedor"]) == (None, CPF)
    assert await database.value("SELECT count(*) FROM entity_refs") == 1
