"""Coletas: what was read of plans, kept as it was read; and demands, which are their items by other names."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy.dialects import postgresql

from common.resources.coletas import demandas
from common.resources.pcas import PCAS
from ingestor import history
from ingestor.debts import Turn, work_off
from ingestor.history import delete_old
from ingestor.slices import SliceIngestion, Tools, ingest_slice
from ingestor.sources.pncp import shared_state as source_module
from ingestor.sources.values import Bundle, Itens, Record
from ingestor.store import coletas as coletas_module
from ingestor.store import lists as lists_module
from ingestor.store.coletas import add_to_coletas, settle_one
from simulator.app import Simulator
from simulator.world import World
from tests.integration.conftest import Database, Portals
from tests.integration.test_contratos import NEXT_DAY, read, window
from tests.integration.test_whole_portal import lists_on_the_portal, on_the_portal, publish
from tests.integration.test_worker import OPTIONS, Workers, finished, quick_polls, workers  # noqa: F401  # fixtures
from tests.support import eventually

Start = Callable[..., Awaitable[Simulator]]
PLANS = 25


@pytest.fixture
async def start(portals: Portals, workers: Workers, world: World) -> Start:  # noqa: F811
    """Serves the world and starts a worker that keeps coletas, unless it is said otherwise."""

    async def start(**changes: Any) -> Simulator:
        portal = await portals.serve(world)
        client = await portals.client(portal, page_size=20)
        workers.start(client, **{"rules": OPTIONS.rules, "keeps_coletas": True} | changes)
        return portal

    return start


@pytest.fixture
def plans(world: World) -> World:
    publish(world, PLANS, "pcas")
    return world


def year_of(key: str) -> int:
    return int(key[-4:])


def as_read(world: World, keys: set[str] | None = None) -> dict[str, Any]:
    """What is to be kept of each plan."""
    lists = lists_on_the_portal(world, PCAS)
    return {
        key: {"registro": record, "itens": [item for (of, _), item in sorted(lists.items()) if of == key]}
        for key, record in on_the_portal(world, PCAS).items()
        if keys is None or key in keys
    }


def by_key(pages: Any) -> dict[str, Any]:
    loaded = [json.loads(page, parse_float=Decimal) if isinstance(page, str) else page for page in pages]
    return {page["registro"]["idPcaPncp"]: page for page in loaded}


async def coletas_of(database: Database, execution_id: int) -> list[Any]:
    """The coletas of an execution, once all of them are settled."""

    async def is_settled() -> bool:
        return not await database.value("SELECT count(*) FROM coletas WHERE status IS NULL")

    await eventually(is_settled)
    rows = await database.rows(
        "SELECT *, CAST(dados AS text) AS raw FROM coletas WHERE execution_id = :id ORDER BY ano_referencia",
        id=execution_id,
    )
    return list(rows)


async def pages_in_rows(database: Database, coleta_id: int) -> list[str]:
    rows = await database.rows(
        "SELECT CAST(dados AS text) FROM coleta_paginas WHERE coleta_id = :id AND dados IS NOT NULL", id=coleta_id
    )
    return [row[0] for row in rows]


def page_of(key: str, *items: dict[str, Any]) -> Bundle:
    """A plan as read."""
    record = Record(None, json.dumps({"idPcaPncp": key}), key=key, version=(None, None))  # type: ignore[arg-type]
    return Bundle(record, Itens({each["numeroItem"]: json.dumps(each).encode() for each in items}, told=len(items)))


def key_of(sequencial: int, year: int = 2025) -> str:
    return f"00000000000191-0-{sequencial:06}/{year}"


async def add(database: Database, execution_id: int, *bundles: Bundle) -> None:
    await database.run(add_to_coletas, PCAS, list(bundles), execution_id)


async def plan_execution(database: Database) -> int:
    return await database.planned(resource="pcas", criterio="atualizacao")


async def end(database: Database, execution_id: int, status: str = "success") -> None:
    await database.rows(
        "UPDATE sync_executions SET status = :status, finished_at = now(),"
        " cause = CASE WHEN :status = 'error' THEN 'internal' END WHERE id = :id",
        status=status,
        id=execution_id,
    )


# --- what is kept -----------------------------------------------------------------------------------------------


async def test_a_coleta_for_each_year_has_every_plan_with_its_items_as_the_portal_shows_them(
    api: httpx.AsyncClient, database: Database, plans: World, start: Start
) -> None:
    await start()

    detail = await read(api, database, "pcas")

    found = await coletas_of(database, int(detail["id"]))
    kept = {coleta.ano_referencia: by_key(json.loads(coleta.raw, parse_float=Decimal)) for coleta in found}
    whole = as_read(plans)
    assert kept == {
        year: {key: page for key, page in whole.items() if year_of(key) == year} for year in set(map(year_of, whole))
    }
    assert {(each.fonte, each.cnpj, each.status) for each in found} == {("PNCP", None, "success")}
    assert await database.value("SELECT count(*) FROM coleta_paginas WHERE dados IS NOT NULL") == 0
    assert await database.value("SELECT count(*) FROM coleta_paginas") == PLANS


async def test_nothing_is_kept_unless_it_is_asked_for(
    api: httpx.AsyncClient, database: Database, plans: World, start: Start
) -> None:
    await start(keeps_coletas=False)

    await read(api, database, "pcas")

    assert await database.value("SELECT count(*) FROM coletas") == 0
    assert await database.value("SELECT count(*) FROM demandas WHERE coleta_id IS NULL") == len(
        lists_on_the_portal(plans, PCAS)
    )


async def test_of_other_resources_nothing_is_kept(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    publish(world, 3, "atas")
    await start()

    await read(api, database, "atas")

    assert await database.value("SELECT count(*) FROM coletas") == 0


async def test_a_second_coleta_has_what_has_changed_since_the_first(
    api: httpx.AsyncClient, database: Database, plans: World, start: Start
) -> None:
    await start()
    first = await read(api, database, "pcas")
    new = set(publish(plans, 2, "pcas", at=f"{NEXT_DAY}T10:00:00"))

    second = await read(api, database, "pcas", **window(last=NEXT_DAY))

    found = await coletas_of(database, int(second["id"]))
    kept = {key: page for each in found for key, page in by_key(json.loads(each.raw, parse_float=Decimal)).items()}
    assert kept == as_read(plans, new)
    rows = await database.rows(
        "SELECT DISTINCT id_pca_pncp, c.execution_id FROM demandas JOIN coletas c ON c.id = coleta_id"
    )
    plans_with_items = {key for key, _ in lists_on_the_portal(plans, PCAS)}
    last = {key: int(second["id"] if key in new else first["id"]) for key in plans_with_items}
    assert {row.id_pca_pncp: row.execution_id for row in rows} == last


async def test_a_plan_whose_items_are_owed_is_kept_when_they_come(
    database: Database, portals: Portals, plans: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "HANDFUL", 1_000_000)  # failures of single lists are no outage
    portal = await portals.serve(plans)
    owed = {key for number, key in enumerate(on_the_portal(plans, PCAS)) if number % 5 == 0}
    rule = portal.quirks.add("403", match={"key": sorted(owed)})
    client = await portals.client(portal, page_size=20)
    execution_id = await plan_execution(database)
    claim = await database.claim()
    tools = Tools(database.engine, client, asyncio.Event(), lease_seconds=60, keeps_coletas=True)
    assert await ingest_slice(SliceIngestion(tools, claim))
    await end(database, execution_id)
    while await database.run(settle_one):
        pass
    found = await coletas_of(database, execution_id)
    assert {key for each in found for key in by_key(json.loads(each.raw))} == set(as_read(plans)) - owed

    portal.quirks.rules.remove(rule)
    await database.rows("UPDATE itens_pca_owed SET due_at = now()")
    await work_off(database.engine, client, asyncio.Event(), 50, turn=Turn(keeps_coletas=True))
    while await database.run(settle_one):
        pass

    found = await coletas_of(database, execution_id)
    kept = {key: page for each in found for key, page in by_key(json.loads(each.raw, parse_float=Decimal)).items()}
    assert kept == as_read(plans)


async def test_a_long_list_takes_several_pages(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (coletas_module, lists_module):
        monkeypatch.setattr(module, "BYTES_AT_ONCE", 40)
    bundle = page_of(key_of(1), *({"numeroItem": number} for number in range(1, 8)))
    bundle.itens.size = 200

    await add(database, await plan_execution(database), bundle)

    pages = [row[0] for row in await database.rows("SELECT dados FROM coleta_paginas ORDER BY id")]
    assert len(pages) > 1
    assert [item["numeroItem"] for page in pages for item in page["itens"]] == list(range(1, 8))
    assert all(page["registro"] == {"idPcaPncp": key_of(1)} for page in pages)


async def test_what_the_database_refuses_is_left_out_and_no_other_page(database: Database) -> None:
    execution_id = await plan_execution(database)
    refused = Bundle(page_of(key_of(2)).record, Itens({1: b'{"numeroItem":1,"x":"\\u0000"}'}, told=1))

    await add(database, execution_id, page_of(key_of(1), {"numeroItem": 1}), refused, page_of(key_of(3)))

    rows = await database.rows("SELECT id_pca_pncp FROM coleta_paginas ORDER BY 1")
    assert [row[0] for row in rows] == [key_of(1), key_of(3)]


# --- what becomes of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["success", "error"])
async def test_a_coleta_is_settled_when_its_execution_has_ended(database: Database, status: str) -> None:
    execution_id = await plan_execution(database)
    await add(database, execution_id, page_of(key_of(1), {"numeroItem": 1}), page_of(key_of(2, 2026)))
    assert await database.run(settle_one) is None

    await end(database, execution_id, status)
    assert await database.run(settle_one)
    assert await database.run(settle_one)
    assert await database.run(settle_one) is None

    rows = await database.rows("SELECT ano_referencia, status, dados FROM coletas ORDER BY 1")
    assert [tuple(row) for row in rows] == [
        (2025, status, [{"registro": {"idPcaPncp": key_of(1)}, "itens": [{"numeroItem": 1}]}]),
        (2026, status, [{"registro": {"idPcaPncp": key_of(2, 2026)}, "itens": []}]),
    ]


async def test_pages_that_are_too_many_stay_in_rows_of_their_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coletas_module, "MOST_BYTES", 150)
    execution_id = await plan_execution(database)
    pages = [page_of(key_of(number)) for number in range(4)]
    await add(database, execution_id, *pages[:2])
    await end(database, execution_id)
    coleta_id = await database.run(settle_one)
    assert coleta_id is not None

    await add(database, execution_id, *pages[2:])  # lists that come after the end
    assert await database.value("SELECT status FROM coletas") is None
    assert await database.run(settle_one) == coleta_id

    (coleta,) = await coletas_of(database, execution_id)
    assert set(by_key(json.loads(coleta.raw))) == {key_of(0), key_of(1)}
    assert set(by_key(await pages_in_rows(database, coleta_id))) == {key_of(2), key_of(3)}


async def test_a_coleta_that_pages_are_being_added_to_is_settled_after_them(database: Database) -> None:
    execution_id = await plan_execution(database)
    await add(database, execution_id, page_of(key_of(1)))
    await end(database, execution_id)
    async with database.engine.begin() as db:
        await add_to_coletas(db, PCAS, [page_of(key_of(2))], execution_id)
        assert await database.run(settle_one) is None

    assert await database.run(settle_one)
    (coleta,) = await coletas_of(database, execution_id)
    assert set(by_key(json.loads(coleta.raw))) == {key_of(1), key_of(2)}


async def test_two_pages_at_once_make_one_coleta(database: Database) -> None:
    execution_id = await plan_execution(database)

    await asyncio.gather(*(add(database, execution_id, page_of(key_of(n)), page_of(key_of(n, 2026))) for n in range(8)))

    assert await database.value("SELECT count(*) FROM coletas") == 2
    assert await database.value("SELECT count(*) FROM coleta_paginas") == 16


async def test_old_coletas_are_deleted_in_small_steps_and_the_history_is_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PAGES_AT_ONCE": 2, "COLETAS_AT_ONCE": 2, "PAUSE_SECONDS": 0.0}.items():
        monkeypatch.setattr(history, name, value)
    execution_id = await plan_execution(database)
    await add(database, execution_id, *(page_of(key_of(n, 2020 + n % 3)) for n in range(7)))
    await end(database, execution_id)
    while await database.run(settle_one):
        pass
    await add(database, await plan_execution(database), page_of(key_of(8, 2020)))  # under way
    await database.rows("UPDATE coletas SET data_coleta = now() - interval '91 days'")
    await database.rows("UPDATE coletas SET data_coleta = now() - interval '89 days' WHERE ano_referencia = 2022")
    steps: list[history.Deleted] = []
    delete_some = history._delete_some_coletas

    async def noted(*arguments: Any) -> history.Deleted:
        steps.append(await delete_some(*arguments))
        return steps[-1]

    monkeypatch.setattr(history, "_delete_some_coletas", noted)
    await delete_old(database.engine, 0, asyncio.Event())
    assert steps == []

    await delete_old(database.engine, 0, asyncio.Event(), coletas_days=90)

    assert [(step.pages, step.coletas) for step in steps] == [(2, 0), (2, 0), (1, 2), (0, 0)]
    rows = await database.rows("SELECT ano_referencia, status FROM coletas ORDER BY 1")
    assert [tuple(row) for row in rows] == [(2020, None), (2022, "success")]
    assert await database.value("SELECT count(*) FROM coleta_paginas") == 3
    assert await database.value("SELECT count(*) FROM sync_executions") == 2


# --- demands ----------------------------------------------------------------------------------------------------


async def test_demands_are_the_items_of_plans_by_other_names(
    api: httpx.AsyncClient, database: Database, plans: World, start: Start
) -> None:
    await start()
    await read(api, database, "pcas")
    for columns in ("descricao", "descricao, pdm_descricao", "descricao, pdm_descricao, grupo_contratacao_nome"):
        emptied = ", ".join(f"{name} = NULL" for name in columns.split(", "))
        await database.rows(f"""
            UPDATE itens_pca SET {emptied}
             WHERE (id_pca_pncp, numero_item) IN (SELECT id_pca_pncp, numero_item FROM itens_pca
                                                   WHERE descricao IS NOT NULL LIMIT 3)
        """)
    owed = await database.value("SELECT min(id_pca_pncp) FROM itens_pca")
    await database.rows("UPDATE pcas SET itens_at = NULL WHERE id_pca_pncp = :key", key=owed)

    differs = """
        SELECT count(*) FROM demandas d FULL JOIN itens_pca i USING (id_pca_pncp, numero_item)
         WHERE d.dfd IS DISTINCT FROM i.grupo_contratacao_codigo OR d.valor IS DISTINCT FROM i.valor_total
            OR d.data_inicio IS DISTINCT FROM i.data_desejada OR d.data_fim IS NOT NULL
            OR d.descricao IS DISTINCT FROM coalesce(i.descricao, i.pdm_descricao, i.grupo_contratacao_nome,
                                                     i.classificacao_superior_nome)
            OR d.status <> CASE WHEN id_pca_pncp = :owed THEN 'desatualizada' ELSE 'publicada' END
    """
    assert await database.value(differs, owed=owed) == 0
    assert await database.value("SELECT count(*) FROM demandas") == len(lists_on_the_portal(plans, PCAS))


async def test_the_view_has_the_columns_that_are_documented(database: Database) -> None:
    rows = await database.rows("""
        SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'demandas'
         ORDER BY ordinal_position
    """)
    documented = demandas()
    assert [tuple(row) for row in rows] == [
        (column.name, column.type.compile(postgresql.dialect()).lower()) for column in documented.columns
    ]
