"""Resources with one listing, from the request to the mirror: atas, plans with items, instrumentos de cobrança."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from common.resources import RESOURCES_BY_NAME
from common.resources.description import Resource
from simulator.app import Simulator
from simulator.resources import RESOURCES as LISTED
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, Database, Portals
from tests.integration.test_contratos import NEXT_DAY, ask, coverage, read, window
from tests.integration.test_worker import OPTIONS, Workers, finished, quick_polls, workers  # noqa: F401  # fixtures
from tests.mirror import (
    columns_that_differ,
    lists_mirrored,
    lists_on_the_portal,
    loads,
    mirrored,
    on_the_portal,
    tables_of,
    versions_of_rows,
)
from tests.support import eventually

NAMES = [name for name in ("atas", "pcas", "instrumentos_cobranca") if name in LISTED]
AT = f"{CLOSED_DAY}T09:00:00"

Start = Callable[..., Awaitable[Simulator]]
every_resource = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
async def start(portals: Portals, workers: Workers, world: World) -> Start:  # noqa: F811
    """Serves the world and starts a worker whose pages are as large as the portal gives them."""

    async def start(page_size: int | None = None, **changes: Any) -> Simulator:
        portal = await portals.serve(world)
        workers.start(await portals.client(portal, page_size=page_size), **{"rules": OPTIONS.rules} | changes)
        return portal

    return start


async def assert_mirror_is_the_portal(database: Database, world: World, resource: Resource) -> None:
    assert await mirrored(database.engine, resource) == on_the_portal(world, resource)
    if resource.child:
        assert await lists_mirrored(database.engine, resource) == lists_on_the_portal(world, resource)


async def written_by(database: Database, detail: dict[str, Any]) -> tuple[int, int]:
    """How many records an execution has inserted and updated."""
    counts = "SELECT sum(records_inserted), sum(records_updated) FROM sync_slices WHERE execution_id = :id"
    inserted, updated = await database.row(counts, id=int(detail["id"]))
    return int(inserted), int(updated)


def publish(world: World, count: int, name: str, at: str = AT) -> list[str]:
    """Add records; atas and instrumentos belong to contratações and contratos, which are there first."""
    if not world.contratacoes.records:
        for number in range(5):
            world.put(data_publicacao="2025-03-03T09:00:00", record={"srp": True, "numeroCompra": str(number)})
        world.publish(5, at="2025-03-03T10:00:00", resource="contratos")
    return world.publish(count, at=at, resource=name)


@every_resource
async def test_a_backfill_stores_what_the_portal_shows_and_a_second_run_writes_nothing(
    api: httpx.AsyncClient, database: Database, world: World, start: Start, name: str
) -> None:
    resource = RESOURCES_BY_NAME[name]
    publish(world, 60, name)
    publish(world, 3, name, at=f"{NEXT_DAY}T10:00:00")
    await start(page_size=20)

    detail = await read(api, database, name, **window(last=NEXT_DAY))

    await assert_mirror_is_the_portal(database, world, resource)
    assert (detail["criterio"], detail["records_processed"], detail["records_rejected"]) == ("atualizacao", 63, 0)
    assert [day["state"] for day in await coverage(api, name)] == ["complete", "complete"]
    before = await versions_of_rows(database.engine, resource)

    again = await read(api, database, name, **window(last=NEXT_DAY))

    assert again["records_processed"] == 63
    assert await versions_of_rows(database.engine, resource) == before


@every_resource
async def test_the_columns_say_what_the_payload_says(
    api: httpx.AsyncClient, database: Database, world: World, start: Start, name: str
) -> None:
    resource = RESOURCES_BY_NAME[name]
    publish(world, 20, name)
    await start()

    await read(api, database, name)

    assert await columns_that_differ(database.engine, resource) == []
    for table, columns in tables_of(resource):
        filled = await database.row(f"SELECT {', '.join(f'count({each.name})' for each in columns)} FROM {table}")
        assert sum(map(bool, filled)) > len(columns) / 2


@every_resource
async def test_a_listing_by_publication_is_refused_with_what_there_is(api: httpx.AsyncClient, name: str) -> None:
    answer = await api.post("/sync/force", json={"resource": name, **window(), "criterio": "publicacao"})

    assert answer.status_code == 422
    assert "atualizacao" in answer.text


@every_resource
async def test_a_day_without_records_is_complete(
    api: httpx.AsyncClient, database: Database, world: World, start: Start, name: str
) -> None:
    publish(world, 1, name, at=f"{NEXT_DAY}T10:00:00")
    await start()

    detail = await read(api, database, name)

    assert detail["records_processed"] == 0
    assert [day["state"] for day in await coverage(api, name)] == ["complete", "never"]


@every_resource
async def test_an_outage_of_its_listing_leaves_the_others_alone(
    api: httpx.AsyncClient, database: Database, world: World, start: Start, name: str
) -> None:
    publish(world, 5, name)
    portal = await start(slice_retry_seconds=1)
    portal.quirks.add("503", match={"resource": name})
    number = await ask(api, name, **window())

    async def it_has_failed() -> bool:
        failing = "SELECT count(*) FROM sync_slices WHERE resource = :name AND failing_since IS NOT NULL"
        return bool(await database.value(failing, name=name))

    await eventually(it_has_failed)
    others = [other for other in ("contratos", *NAMES) if other != name]
    for other in others:
        await read(api, database, other, **window())

    assert (await database.execution(number)).status == "running"
    portal.quirks.reset()
    await database.rows("UPDATE sync_slices SET run_after = now() WHERE status = 'pending'")
    await database.rows("UPDATE source_pauses SET paused_until = now()")
    assert (await finished(database, number)).status == "success"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "instrumentos_cobranca"])
async def test_an_update_takes_what_has_changed_and_only_that(
    api: httpx.AsyncClient, database: Database, world: World, start: Start, name: str
) -> None:
    resource = RESOURCES_BY_NAME[name]
    publish(world, 20, name)
    await start()
    await read(api, database, name)
    before = await versions_of_rows(database.engine, resource)
    changed = world.touch(3, resource=name)

    await read(api, database, name, mode="update")

    await assert_mirror_is_the_portal(database, world, resource)
    assert {row[3] for row in await versions_of_rows(database.engine, resource) - before} == set(changed)


# --- atas ---------------------------------------------------------------------------------------------------------


async def test_of_two_versions_of_an_ata_on_one_day_the_one_that_was_read_later_stands(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    (key,) = publish(world, 1, "atas")
    await start()
    await read(api, database, "atas")
    world.put(resource="atas", numeroControlePNCPAta=key, objetoContratacao="outro objeto")

    detail = await read(api, database, "atas")

    assert await written_by(database, detail) == (0, 1)
    assert await database.value("SELECT objeto_contratacao FROM atas") == "outro objeto"
    await assert_mirror_is_the_portal(database, world, RESOURCES_BY_NAME["atas"])


async def test_an_ata_overwrites_no_orgao_that_others_describe_in_full(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    publish(world, 10, "atas")
    await start()
    await read(api, database, "contratos", **window(CLOSED_DAY.replace(day=3)))
    known = await database.rows("SELECT cnpj, esfera_id, payload FROM orgaos ORDER BY 1")
    assert known

    await read(api, database, "atas")

    after = {row.cnpj: row for row in await database.rows("SELECT cnpj, esfera_id, payload FROM orgaos")}
    assert [after[row.cnpj] for row in known] == known
    named = await database.rows("SELECT DISTINCT cnpj_orgao FROM atas")
    assert {row.cnpj_orgao for row in named} <= set(after)


# --- plans --------------------------------------------------------------------------------------------------------


async def test_a_plan_that_is_cut_between_pages_is_read_whole(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    key = world.put(resource="pcas", data_publicacao=AT, items=95)
    await start(page_size=20)

    detail = await read(api, database, "pcas")

    assert detail["records_processed"] == 1
    assert await written_by(database, detail) == (1, 0)
    slices = (await api.get(f"/sync/executions/{detail['id']}/slices")).json()["slices"]
    assert [each["total_registros"] for each in slices] == [95]
    assert {number for _, number in await lists_mirrored(database.engine, RESOURCES_BY_NAME["pcas"])} == {
        loads(item)["numeroItem"] for item in world.items(key)
    }
    assert len(world.items(key)) == 95


async def test_items_of_a_plan_that_do_not_come_are_owed_and_come_later(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    publish(world, 4, "pcas")
    portal = await start()
    rule = portal.quirks.add("items_down", match={"path": "/pca/"})

    detail = await read(api, database, "pcas")

    assert detail["itens_owed"] == 4
    assert await database.value("SELECT count(*) FROM itens_pca_owed") == 4
    portal.quirks.rules.remove(rule)
    await database.rows("UPDATE itens_pca_owed SET due_at = now()")
    await database.rows("UPDATE source_pauses SET paused_until = now()")

    async def nothing_is_owed() -> bool:
        return await database.value("SELECT count(*) FROM itens_pca_owed") == 0

    await eventually(nothing_is_owed, seconds=30)
    await assert_mirror_is_the_portal(database, world, RESOURCES_BY_NAME["pcas"])


# --- instrumentos de cobrança -------------------------------------------------------------------------------------


async def test_rows_that_come_twice_are_stored_once_and_the_contrato_in_each_is_stored_as_one(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    resource = RESOURCES_BY_NAME["instrumentos_cobranca"]
    publish(world, 40, resource.name)
    portal = await start(page_size=10)
    portal.quirks.update({"listed_twice": 1.0})

    detail = await read(api, database, resource.name)

    slices = (await api.get(f"/sync/executions/{detail['id']}/slices")).json()["slices"]
    assert [(each["total_registros"], each["records_processed"]) for each in slices] == [(80, 40)]
    assert await mirrored(database.engine, resource) == on_the_portal(world, resource)
    nested = [record["recuperarContratoDTO"] for record in on_the_portal(world, resource).values()]
    contratos = {row.key: loads(row.payload) for row in await database.rows(PAYLOADS_OF_CONTRATOS)}
    assert set(contratos) == {each["numeroControlePNCP"] for each in nested}
    assert all(contrato in nested for contrato in contratos.values())

    await read(api, database, "contratos", **window(CLOSED_DAY.replace(day=3)))

    for key, payload in [(row.key, loads(row.payload)) for row in await database.rows(PAYLOADS_OF_CONTRATOS)]:
        newest = max([loads(world.payload(world.contratos.records[key])), contratos[key]], key=version_of)
        assert version_of(payload) == version_of(newest)


async def test_a_last_page_that_has_lost_rows_proves_nothing_though_rows_come_twice(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    resource = RESOURCES_BY_NAME["instrumentos_cobranca"]
    publish(world, 40, resource.name)
    portal = await start(page_size=10)
    portal.quirks.update({"listed_twice": 0.2})
    short = portal.quirks.add("short_page", match={"resource": resource.name, "page": 5}, times=1)

    detail = await read(api, database, resource.name)

    assert short.hits == 1
    assert detail["status"] == "success"
    assert await mirrored(database.engine, resource) == on_the_portal(world, resource)


PAYLOADS_OF_CONTRATOS = "SELECT numero_controle_pncp AS key, CAST(payload AS text) AS payload FROM contratos"


def version_of(contrato: dict[str, Any]) -> tuple[str, str]:
    return contrato["dataAtualizacaoGlobal"], contrato["dataAtualizacao"]


async def test_a_page_of_plans_that_cannot_be_stored_is_a_failure_however_many_items_they_have(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    for number in range(6):
        bad = {"dataPublicacaoPNCP": None} if number else {}
        world.put(resource="pcas", data_publicacao=f"{CLOSED_DAY}T09:00:0{number}", items=50, record=bad)
    await start()
    number = await ask(api, "pcas", **window())

    async def it_has_failed() -> bool:
        return bool(await database.value("SELECT count(*) FROM sync_slices WHERE cause = 'bad_answer'"))

    await eventually(it_has_failed, seconds=20)
    assert (await database.execution(number)).status == "running"
    assert await database.value("SELECT count(*) FROM rejected_records") == 5
