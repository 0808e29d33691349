"""Contratos from the request to the mirror: the API, a worker and the portal, alone and beside contratações."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from common.clock import BRASILIA
from simulator.app import Simulator
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, Portals, truth
from tests.integration.test_worker import OPTIONS, Workers, finished, quick_polls, workers  # noqa: F401  # fixtures
from tests.support import eventually

NEXT_DAY = CLOSED_DAY + timedelta(days=1)
OVERLAP = OPTIONS.rules.overlap
ONE_MODALIDADE: dict[str, Any] = {"rules": replace(OPTIONS.rules, parts={"contratacoes": (MODALIDADE,)})}
BOTH = ["contratacoes", "contratos"]

Start = Callable[..., Awaitable[Simulator]]


@pytest.fixture
async def start(portals: Portals, workers: Workers, world: World) -> Start:  # noqa: F811
    """Serves the world and starts a worker whose pages are as large as the portal gives them."""

    async def start(**changes: Any) -> Simulator:
        portal = await portals.serve(world)
        workers.start(await portals.client(portal, page_size=None), **ONE_MODALIDADE | changes)
        return portal

    return start


async def ask(api: httpx.AsyncClient, resource: str = "contratos", **body: str) -> int:
    """POST /sync/force; the execution that it was accepted as."""
    answer = await api.post("/sync/force", json={"resource": resource, **body})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["request_id"])


def window(first: date = CLOSED_DAY, last: date | None = None) -> dict[str, str]:
    return {"mode": "backfill", "data_ini": f"{first}T00:00:00", "data_fim": f"{last or first}T23:59:59"}


async def read(api: httpx.AsyncClient, database: Database, resource: str = "contratos", **body: str) -> dict[str, Any]:
    """The detail of an execution that was asked for and has ended in success."""
    number = await ask(api, resource, **body or window())
    await finished(database, number)
    detail: dict[str, Any] = (await api.get(f"/sync/executions/{number}")).json()
    assert (detail["status"], detail["error_message"], detail["resource"]) == ("success", None, resource)
    return detail


async def mirrored(database: Database) -> dict[str, Any]:
    """The payloads of all contratos that are stored."""
    rows = await database.rows("SELECT numero_controle_pncp AS key, payload FROM contratos")
    return {row.key: row.payload for row in rows}


def on_the_portal(world: World) -> dict[str, Any]:
    return {key: json.loads(world.payload(record)) for key, record in world.contratos.records.items()}


async def versions_of_rows(database: Database) -> set[tuple[Any, ...]]:
    """Which version of each row PostgreSQL holds: it is another one after any write."""
    return {tuple(row) for row in await database.rows("SELECT ctid, xmin::text, numero_controle_pncp FROM contratos")}


def asked_pages(portal: Simulator) -> list[tuple[str, int, int]]:
    """Path, page and size of each request for a listing, in the order of asking."""
    asked = (urlsplit(served.target) for served in portal.stats.log if served.service == "consulta")
    queries = ((each.path, parse_qs(each.query)) for each in asked)
    return [(path, int(query["pagina"][0]), int(query["tamanhoPagina"][0])) for path, query in queries]


async def coverage(api: httpx.AsyncClient, resource: str) -> list[dict[str, Any]]:
    asked = {"from": f"{CLOSED_DAY}", "to": f"{NEXT_DAY}", "resource": resource}
    answer = await api.get("/sync/coverage", params=asked)
    assert answer.status_code == 200, answer.text
    days: list[dict[str, Any]] = answer.json()["days"]
    return days


def wall_clock() -> datetime:
    return datetime.now(BRASILIA).replace(microsecond=0, tzinfo=None)


# --- alone --------------------------------------------------------------------------------------------------------


async def test_a_backfill_reads_each_day_in_pages_of_500_and_stores_what_the_portal_shows(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    world.publish(1_100, at=CLOSED_DAY, resource="contratos")
    world.publish(30, at=NEXT_DAY, resource="contratos")
    portal = await start()

    detail = await read(api, database, **window(last=NEXT_DAY))

    assert await mirrored(database) == on_the_portal(world)
    assert (detail["records_processed"], detail["records_rejected"]) == (1_130, 0)
    slices = (await api.get(f"/sync/executions/{detail['id']}/slices")).json()["slices"]
    assert [(each["resource"], each["modalidade"], each["total_registros"]) for each in slices] == [
        ("contratos", None, 1_100),
        ("contratos", None, 30),
    ]
    pages = asked_pages(portal)
    assert {(path, size) for path, _, size in pages} == {("/api/consulta/v1/contratos", 500)}
    assert sorted({number for _, number, _ in pages}) == [1, 2, 3]
    assert {served.service for served in portal.stats.log} == {"consulta"}  # contratos have no items to ask for


async def test_the_columns_of_a_contrato_say_what_its_payload_says(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    key = world.put(
        resource="contratos",
        data_publicacao=f"{CLOSED_DAY}T09:00:00",
        dataAssinatura="2025-02-28",
        valorGlobal=1234.5678,
        niFornecedor="12345678000190",
    )
    await start()

    await read(api, database)

    row = await database.row("SELECT * FROM contratos")
    assert (row.numero_controle_pncp, row.ni_fornecedor) == (key, "12345678000190")
    assert (row.data_assinatura, float(row.valor_global)) == (date(2025, 2, 28), 1234.5678)
    assert row.data_publicacao_pncp == datetime(2025, 3, 10, 9)
    orgaos = await database.rows("SELECT cnpj FROM orgaos")
    assert row.orgao_entidade_cnpj in {orgao.cnpj for orgao in orgaos}


async def test_a_second_run_writes_nothing(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    world.publish(60, at=CLOSED_DAY, resource="contratos")
    await start()
    await read(api, database)
    before = await versions_of_rows(database)

    again = await read(api, database)

    assert again["records_processed"] == len(before) == 60
    assert await versions_of_rows(database) == before


async def test_a_contrato_that_has_changed_is_updated_and_the_others_are_left_alone(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    world.publish(20, at=CLOSED_DAY, resource="contratos")
    await start()
    await read(api, database)
    before = await versions_of_rows(database)
    changed = world.touch(3, resource="contratos")

    detail = await read(api, database, mode="update")

    assert await mirrored(database) == on_the_portal(world)
    assert {row[2] for row in await versions_of_rows(database) - before} == set(changed)
    in_window = [
        record
        for record in world.contratos.select("atualizacao")
        if detail["window_start"] <= record.atualizacao_global <= detail["window_end"]
    ]
    assert detail["records_processed"] == len(in_window) >= 3


async def test_a_contrato_that_cannot_be_stored_is_rejected_once_and_shown(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    world.publish(30, at=CLOSED_DAY, resource="contratos")
    bad = next(iter(world.contratos.records))
    world.put(resource="contratos", numeroControlePNCP=bad, record={"dataAtualizacao": None})
    await start()

    await read(api, database)
    detail = await read(api, database)

    assert (detail["records_processed"], detail["records_rejected"]) == (29, 1)
    (shown,) = detail["rejected_records"]
    assert (shown["resource"], shown["natural_key"], shown["times"]) == ("contratos", bad, 2)
    assert await database.value("SELECT count(*) FROM rejected_records") == 1
    assert set(await mirrored(database)) == set(world.contratos.records) - {bad}
    day = (await coverage(api, "contratos"))[0]
    assert (day["state"], day["records_rejected"]) == ("rejected", 1)
    assert (await coverage(api, "contratacoes"))[0]["state"] == "never"

    world.put(resource="contratos", numeroControlePNCP=bad, record={"dataAtualizacao": f"{NEXT_DAY}T10:00:00"})
    await read(api, database)

    assert set(await mirrored(database)) == set(world.contratos.records)
    assert (await coverage(api, "contratos"))[0]["state"] == "complete"


async def test_an_update_reads_on_from_the_watermark_of_contratos(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    await start()
    await read(api, database, mode="update")
    await read(api, database, "contratacoes", mode="update")
    reached = wall_clock() - timedelta(hours=5)
    await database.rows(
        "UPDATE watermarks SET since = CAST(:at AS timestamp) - interval '1 hour', reached = :at"
        " WHERE resource = 'contratos'",
        at=reached,
    )
    (missed,) = world.publish(1, at=reached + timedelta(hours=1), resource="contratos")
    theirs = await database.rows("SELECT * FROM watermarks WHERE resource = 'contratacoes'")

    detail = await read(api, database, mode="update")

    assert datetime.fromisoformat(detail["window_start"]) == reached - OVERLAP
    assert set(await mirrored(database)) == {missed}
    mark = await database.row("SELECT * FROM watermarks WHERE resource = 'contratos'")
    assert mark.reached.isoformat() == detail["window_end"]
    assert await database.rows("SELECT * FROM watermarks WHERE resource = 'contratacoes'") == theirs


# --- beside contratações ------------------------------------------------------------------------------------------


async def test_history_and_coverage_tell_of_the_resource_that_is_asked_for(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    world.publish(7, at=CLOSED_DAY, resource="contratos")
    world.publish(5, at=NEXT_DAY, modalidade=MODALIDADE)
    await start()
    contratos = await read(api, database, "contratos", **window(CLOSED_DAY))
    contratacoes = await read(api, database, "contratacoes", **window(NEXT_DAY))

    for resource, detail in (("contratos", contratos), ("contratacoes", contratacoes)):
        found = (await api.get("/sync/history", params={"resource": resource})).json()
        assert [each["id"] for each in found["executions"]] == [detail["id"]]
        assert (found["total_count"], found["success_count"]) == (1, 1)
    states = {resource: [(day["state"], day["records"]) for day in await coverage(api, resource)] for resource in BOTH}
    assert states == {"contratos": [("complete", 7), ("never", 0)], "contratacoes": [("never", 0), ("complete", 5)]}
    assert (await api.get("/sync/history")).json()["total_count"] == 2


async def test_both_are_read_at_once_and_each_counts_its_own(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    world.publish(120, at=CLOSED_DAY, resource="contratos")
    world.publish(120, at=CLOSED_DAY, modalidade=MODALIDADE)
    portal = await start()
    portal.quirks.latency_ms = 100
    numbers = {resource: await ask(api, resource, **window()) for resource in BOTH}

    async def both_are_under_way() -> bool:
        rows = await database.rows("SELECT DISTINCT resource FROM sync_slices WHERE status = 'running'")
        return sorted(row.resource for row in rows) == BOTH

    await eventually(both_are_under_way)
    portal.quirks.latency_ms = 0

    for resource, number in numbers.items():
        execution = await finished(database, number)
        assert (execution.status, execution.records_processed, execution.resource) == ("success", 120, resource)
        slices = await database.rows("SELECT DISTINCT resource FROM sync_slices WHERE execution_id = :id", id=number)
        assert [each.resource for each in slices] == [resource]
    assert await mirrored(database) == on_the_portal(world)
    assert await database.mirror() == truth(world.contratacoes.records.values())


async def test_an_outage_of_the_listing_of_contratos_fails_only_their_own_executions(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    world.publish(20, modalidade=MODALIDADE)
    portal = await start(slice_retry_seconds=1)
    portal.quirks.add("503", match={"path": "/v1/contratos"})
    contratos = await ask(api, mode="update")

    async def it_has_failed() -> bool:
        rows = "SELECT count(*) FROM sync_slices WHERE resource = 'contratos' AND failing_since IS NOT NULL"
        return bool(await database.value(rows))

    await eventually(it_has_failed)

    await read(api, database, "contratacoes", mode="update")

    assert len(await database.mirror()) == 20
    assert (await database.execution(contratos)).status == "running"
    await database.rows("""
        UPDATE sync_slices SET failing_since = now() - interval '61 min', run_after = now()
         WHERE resource = 'contratos' AND failing_since IS NOT NULL
    """)
    execution = await finished(database, contratos)
    assert execution.status == "error"
    assert "503" in execution.error_message
    rows = await database.rows("SELECT DISTINCT resource FROM watermarks")
    assert [row.resource for row in rows] == ["contratacoes"]
    await read(api, database, "contratacoes", **window())


async def test_a_backfill_of_years_of_contratacoes_holds_up_no_backfill_of_contratos(
    api: httpx.AsyncClient, database: Database, world: World, start: Start
) -> None:
    world.publish(20, modalidade=MODALIDADE)
    first = await database.planned()
    await database.rows(
        """
        INSERT INTO sync_slices (execution_id, ordinal, mode, criterio, part, first_day, last_day, window_start,
                                 window_end)
        SELECT :id, 1 + n, 'backfill', 'publicacao', 6, day, day, day, day + interval '1 day - 1 second'
          FROM (SELECT n, date '2024-12-31' - n AS day FROM generate_series(1, 5000) n) days
        """,
        id=first,
    )
    await start(slots=1)
    await read(api, database, **window(CLOSED_DAY, CLOSED_DAY + timedelta(days=4)))

    left = "SELECT count(*) FROM sync_slices WHERE execution_id = :id AND status = 'pending'"
    assert await database.value(left, id=first) > 4000


@pytest.mark.parametrize("fault", ["503", "403"])
async def test_many_days_of_contratos_that_fail_hold_up_no_contratacoes(
    api: httpx.AsyncClient, database: Database, world: World, start: Start, fault: str
) -> None:
    """More days than a worker has slots, so that the listing as a whole is paused: refused at once, or down."""
    world.publish(20, modalidade=MODALIDADE)
    portal = await start(slice_retry_seconds=1)
    portal.quirks.add(fault, match={"path": "/v1/contratos"})
    contratos = await ask(api, **window(CLOSED_DAY, CLOSED_DAY + timedelta(days=30)))

    async def contratos_are_paused() -> bool:
        rows = await database.rows("SELECT source, failures FROM source_pauses WHERE paused_until > now()")
        return [(row.source, row.failures >= 2) for row in rows] == [("contratos", True)]

    for _ in range(3):
        await eventually(contratos_are_paused, seconds=20)
        await read(api, database, "contratacoes", mode="update")

    assert len(await database.mirror()) == 20
    later = await ask(api, "contratacoes", **window())
    await database.rows("UPDATE source_pauses SET failing_since = now() - interval '25 h', paused_until = now()")
    await database.rows("UPDATE sync_executions SET created_at = created_at - interval '25 h'")
    execution = await finished(database, contratos)
    assert (execution.status, execution.cause) == ("error", "portal_down")
    assert (await finished(database, later)).status == "success"
