"""The schedules through the API: what they say, pause and resume, another cron, and what is refused."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.clock import BRASILIA
from ingestor.planning import Rules
from ingestor.schedule import run_tick, tick
from tests.integration.conftest import OpenApi

RULES = Rules({"contratacoes": (6,)}, timedelta(minutes=15), timedelta(minutes=10))
CRONS = {"update": "*/15 * * * *", "sweep": "0 1 * * *"}
PAUSE = {"reason": "portal em manutenção"}


@pytest.fixture
async def api(open_api: OpenApi) -> httpx.AsyncClient:
    """The application with these crons, whatever the machine's own are."""
    return await open_api(
        schedule_enabled=True, schedule_update=CRONS["update"], schedule_sweep=CRONS["sweep"], schedule_dominios="off"
    )


async def schedules(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/sync/schedules")
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["schedules"]}


async def test_before_anything_has_happened_both_schedules_are_there_with_their_next_five_runs(
    api: httpx.AsyncClient,
) -> None:
    found = await schedules(api)

    assert list(found) == ["update", "sweep"]
    update = found["update"]
    runs = [datetime.fromisoformat(run) for run in update.pop("next_runs")]
    assert update == {
        "name": "update",
        "resource": "contratacoes",
        "label": "Contratações",
        "action": "update",
        "cron": CRONS["update"],
        "default_cron": CRONS["update"],
        "enabled": True,
        "paused": False,
        "paused_at": None,
        "paused_by": None,
        "pause_reason": None,
        "last_tick": None,
        "updated_at": None,
        "updated_by": None,
    }
    assert len(runs) == 5
    assert abs(runs[0] - datetime.now(UTC)) <= timedelta(minutes=15)
    assert {later - earlier for earlier, later in pairwise(runs)} == {timedelta(minutes=15)}
    sweeps = [datetime.fromisoformat(run) for run in found["sweep"]["next_runs"]]
    assert [(run.hour, run.minute, run.utcoffset()) for run in sweeps] == [(1, 0, timedelta(hours=-3))] * 5


async def test_schedules_of_every_resource_are_listed_paused_and_changed_by_their_names(open_api: OpenApi) -> None:
    api = await open_api(
        schedule_enabled=True,
        pncp_resources=["contratacoes", "atas", "pcas"],
        schedule_crons={"pcas.update": "0 12 * * *"},
    )

    found = await schedules(api)

    assert list(found) == [
        "update",
        "sweep",
        "atas.update",
        "atas.sweep",
        "pcas.update",
        "pcas.sweep",
        "dominios.update",
    ]
    assert found["dominios.update"]["label"] == "Tabelas de domínio"
    atas = found["atas.update"]
    assert (atas["resource"], atas["label"], atas["action"]) == ("atas", "Atas de registro de preços", "update")
    assert found["pcas.update"]["default_cron"] == "0 12 * * *"

    assert (await api.put("/sync/schedules/pcas.update", json={"cron": "0 8 * * *"})).json()["cron"] == "0 8 * * *"
    assert (await api.post("/sync/schedules/atas.sweep/pause", json=PAUSE)).json()["paused"]
    changed = await schedules(api)
    assert changed["pcas.update"]["cron"] == "0 8 * * *"
    assert [name for name, one in changed.items() if one["paused"]] == ["atas.sweep"]
    refused = await api.post("/sync/schedules/contratos.update/pause", json=PAUSE)
    assert refused.status_code == 404
    assert "atas.update" in refused.json()["detail"]


async def test_the_last_tick_is_told_with_its_executions_or_why_there_are_none(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await tick(engine, RULES, CRONS)
    async with engine.begin() as db:
        await db.execute(text("UPDATE schedules SET effective_at = '2020-01-01'"))
    night = datetime(2026, 3, 10, 1, tzinfo=BRASILIA)
    await run_tick(engine, RULES, "sweep", night)
    await run_tick(engine, RULES, "update", night)
    await run_tick(engine, RULES, "update", night + timedelta(minutes=15))

    found = await schedules(api)

    assert found["sweep"]["last_tick"] == {
        "due_at": "2026-03-10T04:00:00Z",
        "execution_ids": [1, 2],
        "skipped_reason": None,
    }
    assert found["update"]["last_tick"] == {
        "due_at": "2026-03-10T04:15:00Z",
        "execution_ids": [],
        "skipped_reason": "a execução 3 ainda não terminou",
    }
    swept = (await api.get("/sync/executions/2")).json()
    assert (swept["trigger"], swept["criterio"], swept["mode"]) == ("sweep", "atualizacao", "backfill")
    listed = (await api.get("/sync/history", params={"trigger": "sweep"})).json()
    assert listed["total_count"] == 2


async def test_a_pause_says_who_why_and_since_when_and_nothing_starts_until_it_is_resumed(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    answer = await api.post("/sync/schedules/update/pause", json={"reason": "  portal em\nmanutenção "})

    assert answer.status_code == 200, answer.text
    paused = answer.json()
    assert (paused["paused"], paused["pause_reason"]) == (True, "portal em manutenção")
    assert paused["paused_by"] == paused["updated_by"] == "an administrator"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(paused["paused_at"])) < timedelta(minutes=1)
    found = await schedules(api)
    assert found["update"] == paused
    assert not found["sweep"]["paused"]
    soon = datetime.now(UTC) + timedelta(minutes=15)
    assert await run_tick(engine, RULES, "update", soon) is None

    resumed = (await api.post("/sync/schedules/update/resume")).json()

    assert (resumed["paused"], resumed["pause_reason"], resumed["paused_by"], resumed["paused_at"]) == (
        False,
        None,
        None,
        None,
    )
    passed_in_the_pause = datetime.now(UTC) - timedelta(minutes=1)
    assert await run_tick(engine, RULES, "update", passed_in_the_pause) is None
    assert await run_tick(engine, RULES, "update", soon) is not None


async def test_a_second_pause_leaves_the_first_one_s_reason_and_a_second_resume_is_told(
    api: httpx.AsyncClient,
) -> None:
    await api.post("/sync/schedules/sweep/pause", json=PAUSE)
    again = await api.post("/sync/schedules/sweep/pause", json={"reason": "outra"})
    assert again.status_code == 409
    assert again.json()["detail"] == "A agenda sweep já está em pausa."
    assert (await schedules(api))["sweep"]["pause_reason"] == PAUSE["reason"]

    assert (await api.post("/sync/schedules/sweep/resume")).status_code == 200
    again = await api.post("/sync/schedules/sweep/resume")
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": ""}, {"reason": " \n"}, {"reason": None}, {"reason": "x" * 501}, {"reason": "x" + " " * 500}],
)
async def test_a_pause_without_a_reason_is_refused(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await api.post("/sync/schedules/update/pause", json=body)
    assert answer.status_code == 422
    assert "reason" in answer.json()["detail"]
    assert not (await schedules(api))["update"]["paused"]


@pytest.mark.parametrize("reason", ["a\x00b", "\ud800"])
async def test_a_reason_that_no_database_stores_is_refused(api: httpx.AsyncClient, reason: str) -> None:
    content = b'{"reason": "%s"}' % reason.encode("unicode_escape").replace(b"\\x00", b"\\u0000")
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/sync/schedules/update/pause", content=content, headers=headers)
    assert answer.status_code == 422


async def test_another_cron_holds_until_it_is_taken_back(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    changed = await api.put("/sync/schedules/update", json={"cron": " 0  */2 * * * "})

    assert changed.status_code == 200, changed.text
    assert (changed.json()["cron"], changed.json()["default_cron"]) == ("0 */2 * * *", CRONS["update"])
    hours = [datetime.fromisoformat(run).hour for run in changed.json()["next_runs"]]
    assert all(hour % 2 == 0 for hour in hours)
    async with engine.begin() as db:
        stored = await db.execute(text("SELECT cron FROM schedules WHERE name = 'update'"))
        assert stored.scalar_one() == "0 */2 * * *"

    back = await api.put("/sync/schedules/update", json={"cron": None})

    assert back.json()["cron"] == CRONS["update"]
    assert (await schedules(api))["update"] == back.json()


async def test_a_new_cron_leaves_a_pause_as_it_is(api: httpx.AsyncClient) -> None:
    await api.post("/sync/schedules/update/pause", json=PAUSE)
    changed = (await api.put("/sync/schedules/update", json={"cron": "0 * * * *"})).json()
    assert (changed["paused"], changed["pause_reason"]) == (True, PAUSE["reason"])


@pytest.mark.parametrize("cron", ["", "nightly", "* * * *", "0 0 30 2 *", "61 * * * *", "* * * * * *"])
async def test_a_cron_that_is_none_is_refused_with_what_is_expected(api: httpx.AsyncClient, cron: str) -> None:
    answer = await api.put("/sync/schedules/update", json={"cron": cron})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    detail = answer.json()["detail"]
    assert "cinco campos" in detail
    assert "*/15 * * * *" in detail
    assert (await schedules(api))["update"]["cron"] == CRONS["update"]


@pytest.mark.parametrize("body", [{}, {"cron": 5}, {"cron": "* * * * *", "who": "me"}])
async def test_a_change_that_does_not_say_what_is_refused(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await api.put("/sync/schedules/update", json=body)).status_code == 422


@pytest.mark.parametrize("name", ["nightly", "UPDATE", "%00", "update%20"])
async def test_a_schedule_that_does_not_exist_is_404_with_those_that_do(api: httpx.AsyncClient, name: str) -> None:
    answers = [
        await api.post(f"/sync/schedules/{name}/pause", json=PAUSE),
        await api.post(f"/sync/schedules/{name}/resume"),
        await api.put(f"/sync/schedules/{name}", json={"cron": None}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert all("update, sweep" in answer.json()["detail"] for answer in answers)
