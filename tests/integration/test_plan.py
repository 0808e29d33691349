"""POST /sync/plan: what a request would become, told by what the database knows and without starting anything."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from common.clock import to_wall_clock
from common.lifecycle import executions, slices
from common.lifecycle.slices import PageCounts, PlannedSlice
from common.resources import RESOURCE_NAMES
from tests.integration.conftest import Database, piece

MARCH = {"mode": "backfill", "data_ini": "2025-03-01T00:00:00", "data_fim": "2025-03-31T23:59:59"}
MONDAY = date(2025, 3, 10)
CONTRATOS = {"resource": "contratos"}
KEYS = {
    "resource",
    "slices",
    "days",
    "modalidades",
    "requests_estimate",
    "records_estimate",
    "seconds_estimate",
    "basis",
}


async def plan(api: httpx.AsyncClient, body: Any) -> dict[str, Any]:
    answer = await api.post("/sync/plan", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert set(told) == KEYS
    return told


async def finished(
    database: Database,
    pieces: list[PlannedSlice],
    counts: PageCounts,
    *,
    mode: Any,
    pages: int,
    resource: str = "contratacoes",
) -> int:
    """An execution that has read so many pages of each slice, and took a hundred seconds."""
    execution_id = await database.planned(pieces, mode=mode, resource=resource)
    for _ in pieces:
        claim = await database.claim()
        await database.run(
            slices.advance,
            claim,
            counts,
            pages_done=pages,
            pages_total=pages,
            total_registros=counts.processed,
            lease_seconds=60,
        )
        assert await database.run(slices.finish, claim)
    assert await database.run(executions.close, execution_id) == "success"
    await database.rows("UPDATE sync_executions SET duration_seconds = 100 WHERE id = :id", id=execution_id)
    return execution_id


async def test_without_a_past_a_month_is_told_by_the_portals_own_figures(
    api: httpx.AsyncClient, database: Database
) -> None:
    told = await plan(api, MARCH)
    assert (told["slices"], told["days"], told["modalidades"]) == (31 * 19, 31, 19)
    days, pages = 21 + 10 / 10, 21 * 146 + 10 * (4 + 7 + 3 + 16)
    assert told["records_estimate"] == days * 6499
    assert told["requests_estimate"] == pages + days * 6499
    assert told["seconds_estimate"] == round(pages * 2.8 + days * 6499 / 8)
    assert "10/07/2025" in told["basis"]
    assert "2,8 s por página de listagem e 8 pedidos por segundo" in told["basis"]
    assert await database.value("SELECT count(*) FROM sync_executions") == 0


async def test_the_past_tells_modalidades_amounts_and_pace(api: httpx.AsyncClient, database: Database) -> None:
    pieces = [piece(MONDAY, 6), piece(MONDAY, 8)]
    await finished(database, pieces, PageCounts(processed=120, inserted=40), mode="backfill", pages=3)

    told = await plan(api, {**MARCH, "data_ini": "2025-03-17T00:00:00", "data_fim": "2025-03-18T23:59:59"})

    assert (told["slices"], told["days"], told["modalidades"]) == (4, 2, 2)
    assert (told["records_estimate"], told["requests_estimate"]) == (480, 4 * 43)
    assert told["seconds_estimate"] == 200  # twice what took a hundred
    assert "média de 2 fatias passadas" in told["basis"]
    assert "0.9 pedidos/s" in told["basis"]


async def test_what_another_criterio_or_a_part_of_a_day_brought_says_nothing(
    api: httpx.AsyncClient, database: Database
) -> None:
    half = PlannedSlice(6, MONDAY, MONDAY, datetime(2025, 3, 10), datetime(2025, 3, 10, 12))
    await finished(database, [half], PageCounts(processed=5), mode="backfill", pages=1)
    told = await plan(api, {**MARCH, "data_fim": "2025-03-01T23:59:59"})
    assert "ainda não há fatias passadas" in told["basis"]


async def test_an_update_is_told_by_those_before_it_and_the_time_since(
    api: httpx.AsyncClient, database: Database
) -> None:
    now = to_wall_clock(datetime.now(UTC))
    pieces = [
        PlannedSlice(modalidade, now.date(), now.date(), now - timedelta(minutes=30), now) for modalidade in (6, 8)
    ]
    await finished(database, pieces, PageCounts(processed=30, updated=10), mode="update", pages=4)

    told = await plan(api, {"mode": "update"})

    # the next one covers a quarter of an hour at least, half of what that one did
    assert (told["slices"], told["modalidades"]) == (2, 2)
    assert told["records_estimate"] == 30
    assert told["requests_estimate"] == 8 * told["days"] + 10
    assert "últimas atualizações" in told["basis"]


async def test_the_first_update_is_told_too(api: httpx.AsyncClient) -> None:
    told = await plan(api, {})
    assert (told["slices"], told["modalidades"]) == (19, 19)
    assert told["records_estimate"] == round(6499 * 15 / 1440)
    assert told["seconds_estimate"] > 0


async def test_without_a_past_a_month_of_contratos_is_one_listing_a_day_without_items(api: httpx.AsyncClient) -> None:
    told = await plan(api, MARCH | CONTRATOS)
    assert (told["resource"], told["slices"], told["days"], told["modalidades"]) == ("contratos", 31, 31, None)
    pages = 21 * 17 + 10 * 2
    assert (told["records_estimate"], told["requests_estimate"]) == (22 * 8368, pages)
    assert told["seconds_estimate"] == round(pages * 2.8)
    assert "10/07/2025" in told["basis"]
    assert "modalidade" not in told["basis"]
    assert "itens" not in told["basis"]


async def test_the_past_of_one_resource_says_nothing_of_another(api: httpx.AsyncClient, database: Database) -> None:
    two_days = {**MARCH, "data_ini": "2025-03-17T00:00:00", "data_fim": "2025-03-18T23:59:59"}
    before = await plan(api, two_days)
    counts = PageCounts(processed=5000, inserted=5000)
    await finished(database, [piece(MONDAY, 0)], counts, mode="backfill", pages=10, resource="contratos")

    assert await plan(api, two_days) == before
    told = await plan(api, two_days | CONTRATOS)
    assert (told["slices"], told["records_estimate"], told["requests_estimate"]) == (2, 10_000, 20)
    assert told["seconds_estimate"] == 200  # twice what took a hundred, and no request for any items
    assert "média de 1 fatias passadas" in told["basis"]


async def test_an_update_of_contratos_is_told_by_their_own_updates(api: httpx.AsyncClient, database: Database) -> None:
    now = to_wall_clock(datetime.now(UTC))
    ours = [PlannedSlice(6, now.date(), now.date(), now - timedelta(minutes=30), now)]
    await finished(database, ours, PageCounts(processed=30, updated=10), mode="update", pages=4)
    first = await plan(api, CONTRATOS)
    theirs = [PlannedSlice(0, now.date(), now.date(), now - timedelta(minutes=30), now)]
    counts = PageCounts(processed=200, updated=200)
    await finished(database, theirs, counts, mode="update", pages=2, resource="contratos")

    told = await plan(api, CONTRATOS)

    assert (first["slices"], first["records_estimate"]) == (1, round(8368 * 15 / 1440))
    assert "ainda não há atualizações passadas" in first["basis"]
    assert (told["slices"], told["modalidades"], told["records_estimate"]) == (1, None, 100)
    assert told["requests_estimate"] == 2 * told["days"]
    assert (await plan(api, {}))["records_estimate"] == 15


@pytest.mark.parametrize("body", [{"mode": "backfill"}, {**MARCH, "data_fim": "2025-02-01T00:00:00"}, {"mode": "x"}])
async def test_what_could_not_be_started_cannot_be_planned(api: httpx.AsyncClient, body: Any) -> None:
    answer = await api.post("/sync/plan", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_can_be_asked_for_is_listed_with_names_for_people(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/sync/resources")).json()["resources"]

    assert [one["name"] for one in listed] == list(RESOURCE_NAMES)
    assert listed[0] == {
        "name": "contratacoes",
        "label": "Contratações",
        "criterios": ["publicacao", "atualizacao"],
        "is_divided": True,
        "is_scheduled": True,
    }
    assert [one["is_divided"] for one in listed if one["name"] == "contratos"] == [False]
    for one in listed:
        answer = await plan(api, {**MARCH, "resource": one["name"], "criterio": one["criterios"][0]})
        assert (answer["modalidades"] is not None) == one["is_divided"]
