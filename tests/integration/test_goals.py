"""Goals on a real database: what is missing is filled once and newest first, and administrators decide over it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from common.clock import FIRST_DAY, to_wall_clock
from common.goals import owed_span
from common.lifecycle import executions, slices
from common.lifecycle.slices import PlannedSlice
from common.resources.contratacoes import CONTRATACOES
from ingestor import goals, planning
from ingestor import worker as worker_module
from ingestor.goals import FIRST_WAIT, fill_goals
from ingestor.planning import Rules, plan_next
from ingestor.sources.pncp.client import PncpClient
from ingestor.worker import Worker, WorkerOptions
from simulator.generated import generate
from simulator.world import World
from tests.integration.conftest import Database, OpenApi, Portals, piece, truth
from tests.support import eventually

RULES = Rules({"contratacoes": (6, 8)}, timedelta(minutes=15), timedelta(minutes=10))
OPTIONS = WorkerOptions(RULES, slots=4, lease_seconds=2, slice_retry_seconds=0.02, has_broker=False)
DAY = timedelta(days=1)
ADMIN = {"admin_password": "correct horse battery", "viewer_password": "a viewer's own words"}
RULED = {"pncp_resources": ["contratacoes"], "mirror_from": {}}


def last_owed() -> date:
    """The newest day that a goal asks for now."""
    span = owed_span(CONTRATACOES, FIRST_DAY, datetime.now(UTC))
    assert span is not None
    return span[1]


LAST = last_owed()


async def fill(engine: AsyncEngine, first: date | None, **options: Any) -> list[int]:
    return await fill_goals(engine, RULES, {} if first is None else {"contratacoes": first}, **options)


async def fill_one(database: Database, first: date) -> tuple[int, date, date, list[int] | None]:
    """The one execution that is started: its days and parts."""
    (created,) = await fill(database.engine, first)
    row = await database.execution(created)
    assert (row.mode, row.criterio, row.trigger) == ("backfill", "publicacao", "goal")
    assert (row.window_start.time(), row.window_end.time()) == (time(0), time(23, 59, 59))
    return created, row.window_start.date(), row.window_end.date(), row.parts


async def end(database: Database, execution_id: int, *failing: date) -> str | None:
    """Plan an execution as an ingestor does and end all its slices, those of these days as failed."""
    await plan_next(database.engine, RULES, older_than_seconds=0, execution_id=execution_id)
    while (claim := await database.run(slices.claim, "worker", lease_seconds=60)) is not None:
        assert claim.execution_id == execution_id
        if claim.first_day in failing:
            await database.run(slices.fail, claim, "portal_refused", "the portal said no")
        else:
            await database.run(slices.finish, claim)
    return await database.run(executions.close, execution_id)


async def read(database: Database, *pieces: tuple[date, int]) -> None:
    """Have these days be in the ledger."""
    for day, part in pieces:
        await database.rows(
            """INSERT INTO read_days (resource, criterio, day, part, began_at, complete_at, slice_id, execution_id,
                                      pages, records, stored)
               VALUES ('contratacoes', 'publicacao', :day, :part, now(), now(), 0, 0, 1, 1, 1)""",
            day=day,
            part=part,
        )


async def let_time_pass(database: Database, passed: timedelta) -> None:
    await database.rows(
        "UPDATE sync_executions SET finished_at = finished_at - CAST(:passed AS interval)", passed=passed
    )


async def goal(api: httpx.AsyncClient, resource: str = "contratacoes") -> dict[str, Any]:
    answer = await api.get("/sync/goals")
    assert answer.status_code == 200, answer.text
    (found,) = [one for one in answer.json()["goals"] if one["resource"] == resource]
    return dict(found)


# --- what is started --------------------------------------------------------------------------------------------


async def test_without_a_goal_nothing_is_started(engine: AsyncEngine) -> None:
    assert await fill(engine, None) == []


async def test_missing_days_become_one_execution_that_reads_the_newest_first(database: Database) -> None:
    created, first, last, parts = await fill_one(database, LAST - 4 * DAY)

    assert (first, last, parts) == (LAST - 4 * DAY, LAST, None)
    assert await fill(database.engine, LAST - 4 * DAY) == [], "it is under way"
    await plan_next(database.engine, RULES, older_than_seconds=0)
    planned = await database.rows("SELECT first_day, part, for_goal FROM sync_slices ORDER BY ordinal")
    assert [tuple(row) for row in planned] == [(LAST - n * DAY, part, True) for n in range(5) for part in (6, 8)]
    assert await end(database, created) == "success"
    assert await fill(database.engine, LAST - 4 * DAY) == [], "nothing is missing any more"


async def test_a_long_goal_is_filled_month_by_month_from_the_newest_day_to_the_oldest(database: Database) -> None:
    spans = []
    for _ in range(3):
        created, first, last, _ = await fill_one(database, LAST - 69 * DAY)
        spans.append(((LAST - last).days, (LAST - first).days))
        await end(database, created)
    assert spans == [(0, 30), (31, 61), (62, 69)]
    assert await fill(database.engine, LAST - 69 * DAY) == []


async def test_what_the_ledger_has_is_not_read_again(database: Database) -> None:
    await read(database, (LAST, 6), (LAST, 8), (LAST - DAY, 6))

    created, first, last, parts = await fill_one(database, LAST - 3 * DAY)
    assert (first, last, parts) == (LAST - DAY, LAST - DAY, [8])
    await end(database, created)

    _, first, last, parts = await fill_one(database, LAST - 3 * DAY)
    assert (first, last, parts) == (LAST - 3 * DAY, LAST - 2 * DAY, None)


async def test_of_five_ingestors_that_look_at_once_one_starts_it(database: Database) -> None:
    started = await asyncio.gather(*[fill(database.engine, LAST - 9 * DAY) for _ in range(5)])

    assert sorted(map(len, started)) == [0, 0, 0, 0, 1]
    assert await database.value("SELECT count(*) FROM sync_executions") == 1


async def test_days_that_a_request_is_about_to_read_are_left_to_it(database: Database) -> None:
    await database.requested(first=LAST - DAY, last=LAST)
    _, first, last, _ = await fill_one(database, LAST - 3 * DAY)
    assert (first, last) == (LAST - 3 * DAY, LAST - 2 * DAY)


async def test_each_resource_has_a_goal_of_its_own(database: Database) -> None:
    started = await fill_goals(database.engine, RULES, {"atas": LAST - DAY, "contratos": LAST})
    rows = await database.rows("SELECT resource, criterio, window_start FROM sync_executions ORDER BY resource")
    assert len(started) == 2
    assert [(row.resource, row.criterio, row.window_start.date()) for row in rows] == [
        ("atas", "atualizacao", LAST - DAY),
        ("contratos", "publicacao", LAST),
    ]


async def test_goals_take_half_of_the_room_for_executions_and_one_place_at_least(database: Database) -> None:
    await database.requested("update")
    await database.requested(first=FIRST_DAY)
    assert await fill(database.engine, LAST, at_most=5) == []
    assert len(await fill(database.engine, LAST, at_most=6)) == 1
    await database.rows("DELETE FROM sync_executions")
    assert len(await fill(database.engine, LAST, at_most=1)) == 1


async def test_updates_and_requested_backfills_are_claimed_before_what_fills_a_goal(database: Database) -> None:
    filling, *_ = await fill_one(database, LAST - DAY)
    await plan_next(database.engine, RULES, older_than_seconds=0)
    backfill = await database.planned([piece(date(2025, 3, 10))])
    other = await database.planned([piece(date(2025, 3, 10), 0)], resource="contratos")
    update = await database.planned([piece(LAST)], mode="update")

    claimed = [(await database.claim()).execution_id for _ in range(5)]

    assert claimed == [update, backfill, other, filling, filling]


# --- failures ---------------------------------------------------------------------------------------------------


async def test_a_day_that_fails_is_tried_again_later_and_ever_more_seldom(database: Database) -> None:
    first = LAST - 2 * DAY
    created, *_ = await fill_one(database, first)
    assert await end(database, created, LAST - DAY) == "error"
    assert await fill(database.engine, first) == []

    await let_time_pass(database, FIRST_WAIT)
    again, start, last, _ = await fill_one(database, first)
    assert (start, last) == (LAST - DAY, LAST - DAY)
    await end(database, again, LAST - DAY)

    await let_time_pass(database, FIRST_WAIT)
    assert await fill(database.engine, first) == []
    await let_time_pass(database, FIRST_WAIT)
    third, *_ = await fill_one(database, first)
    assert await end(database, third) == "success"
    assert await fill(database.engine, first) == []


async def test_a_day_that_fails_holds_up_no_older_day(database: Database) -> None:
    created, *_ = await fill_one(database, LAST - 31 * DAY)
    await end(database, created, LAST)
    _, first, last, _ = await fill_one(database, LAST - 31 * DAY)
    assert (first, last) == (LAST - 31 * DAY, LAST - 31 * DAY)


async def test_a_slice_for_a_goal_is_given_up_after_an_hour_and_one_that_was_asked_for_is_not(
    database: Database,
) -> None:
    await fill_one(database, LAST)
    await plan_next(database.engine, RULES, older_than_seconds=0)
    of_goal = await database.claim()
    await database.planned()
    asked_for = await database.claim()
    await database.rows("UPDATE sync_slices SET failing_since = now() - interval '61 minutes'")

    waits = [
        await database.run(
            slices.postpone, claim, delay_seconds=1, cause="no_answer", error_message="away", progressed=False
        )
        for claim in (of_goal, asked_for)
    ]

    assert waits == [False, True]


async def test_an_execution_that_cannot_be_planned_makes_no_crowd_of_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> list[PlannedSlice]:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(planning, "backfill_slices", fails)
    await fill_one(database, FIRST_DAY)
    await plan_next(database.engine, RULES, older_than_seconds=0)
    assert await database.value("SELECT cause FROM sync_executions") == "internal"
    assert await fill(database.engine, FIRST_DAY) == []
    await let_time_pass(database, FIRST_WAIT)
    assert len(await fill(database.engine, FIRST_DAY)) == 1


@pytest.mark.parametrize("cause", ["no_worker", "portal_down"])
async def test_what_was_ended_without_a_fault_of_its_days_is_begun_again_at_once(
    database: Database, cause: Any
) -> None:
    created, *_ = await fill_one(database, LAST - DAY)
    await database.run(executions.end, created, status="error", cause=cause, error_message="away")
    _, first, last, _ = await fill_one(database, LAST - DAY)
    assert (first, last) == (LAST - DAY, LAST)


async def test_what_failed_for_a_goal_asks_nothing_of_administrators(
    api: httpx.AsyncClient, database: Database
) -> None:
    created, *_ = await fill_one(database, LAST)
    await end(database, created, LAST)
    assert (await api.get("/sync/dashboard")).json()["failed"] == []


# --- administrators ---------------------------------------------------------------------------------------------


async def test_at_first_every_resource_is_listed_without_a_goal(open_api: OpenApi) -> None:
    api = await open_api(**RULED)
    answer = (await api.get("/sync/goals")).json()["goals"]
    assert [one["resource"] for one in answer] == [
        "contratacoes",
        "contratos",
        "atas",
        "pcas",
        "instrumentos_cobranca",
    ]
    assert answer[0] == {
        "resource": "contratacoes",
        "label": "Contratações",
        "from_day": None,
        "origin": None,
        "set_by": None,
        "set_at": None,
        "paused": False,
        "paused_by": None,
        "paused_at": None,
        "pause_reason": None,
        "days": 0,
        "days_complete": 0,
        "days_rejected": 0,
        "days_failed": 0,
        "days_missing": 0,
        "oldest_missing": None,
        "newest_missing": None,
        "requests_left": None,
        "hours_left": None,
        "execution_id": None,
    }


async def test_a_goal_says_how_far_it_has_got(open_api: OpenApi, database: Database) -> None:
    api = await open_api(**RULED)
    assert (await api.put("/sync/goals/contratacoes", json={"from_day": str(LAST - 9 * DAY)})).status_code == 200
    created, *_ = await fill_one(database, LAST - 9 * DAY)
    assert (await goal(api))["execution_id"] == created
    await end(database, created, LAST - 2 * DAY, LAST - 5 * DAY)
    await database.rows(
        """INSERT INTO rejected_records (resource, reason, payload_hash, payload, day, part)
           VALUES ('contratacoes', 'no key', 'a', '{}', :day, 6)""",
        day=LAST,
    )

    found = await goal(api)

    assert (found["from_day"], found["origin"], found["set_by"]) == (str(LAST - 9 * DAY), "api", "an administrator")
    assert (found["days"], found["days_complete"], found["days_rejected"]) == (10, 7, 1)
    assert (found["days_missing"], found["days_failed"], found["execution_id"]) == (2, 2, None)
    assert (found["oldest_missing"], found["newest_missing"]) == (str(LAST - 5 * DAY), str(LAST - 2 * DAY))
    assert found["requests_left"] == 4
    assert found["hours_left"] >= 0


async def test_the_setting_counts_until_the_api_has_set_or_removed_a_goal(
    open_api: OpenApi, database: Database
) -> None:
    api = await open_api(pncp_resources=["contratacoes", "atas"], mirror_from={"": LAST - 2 * DAY})
    found = await goal(api)
    assert (found["from_day"], found["origin"], found["set_at"]) == (str(LAST - 2 * DAY), "setting", None)
    assert (await goal(api, "contratos"))["origin"] is None

    changed = (await api.put("/sync/goals/contratacoes", json={"from_day": str(LAST)})).json()
    assert (changed["from_day"], changed["origin"], changed["days"]) == (str(LAST), "api", 1)
    _, first, _, _ = await fill_one(database, LAST - 2 * DAY)
    assert first == LAST

    removed = (await api.delete("/sync/goals/contratacoes")).json()
    assert (removed["from_day"], removed["origin"], removed["days"]) == (None, "api", 0)
    assert await database.value("SELECT status FROM sync_executions") == "running", "what is under way continues"
    await database.run(executions.end, 1, status="success")
    assert await fill(database.engine, LAST - 2 * DAY) == []
    assert (await goal(api, "atas"))["origin"] == "setting"


async def test_a_paused_goal_starts_nothing_until_it_is_resumed(open_api: OpenApi, database: Database) -> None:
    api = await open_api(**RULED | {"mirror_from": {"contratacoes": LAST}})

    paused = (await api.post("/sync/goals/contratacoes/pause", json={"reason": " o portal  está lento"})).json()
    assert (paused["paused"], paused["paused_by"], paused["pause_reason"]) == (
        True,
        "an administrator",
        "o portal está lento",
    )
    assert paused["origin"] == "setting", "a pause is no goal of its own"
    assert await fill(database.engine, LAST) == []
    again = await api.post("/sync/goals/contratacoes/pause", json={"reason": "x"})
    assert (again.status_code, again.json()["detail"]) == (409, "A meta de contratacoes já está em pausa.")
    assert (await api.put("/sync/goals/contratacoes", json={"from_day": str(LAST - DAY)})).json()["paused"]

    resumed = (await api.post("/sync/goals/contratacoes/resume")).json()
    assert (resumed["paused"], resumed["paused_at"], resumed["pause_reason"]) == (False, None, None)
    assert len(await fill(database.engine, LAST)) == 1
    assert (await api.post("/sync/goals/contratacoes/resume")).status_code == 409
    assert (await api.post("/sync/goals/atas/pause", json={"reason": "x"})).status_code == 409


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
async def test_cancelling_what_fills_a_goal_pauses_the_goal(
    api: httpx.AsyncClient, database: Database, *, many: bool
) -> None:
    created, *_ = await fill_one(database, LAST)
    await plan_next(database.engine, RULES, older_than_seconds=0)
    backfill = await database.requested()
    if many:
        answer = await api.post("/sync/cancel", json={"trigger": "goal"})
        assert answer.json()["execution_ids"] == [created]
    else:
        assert (await api.post(f"/sync/executions/{created}/cancel")).status_code == 200

    rows = await database.rows("SELECT resource, paused_by, pause_reason, set_at FROM goals")
    assert [tuple(row) for row in rows] == [("contratacoes", "an administrator", f"execução {created} cancelada", None)]
    assert await fill(database.engine, LAST) == []
    assert await database.value("SELECT count(*) FROM sync_slices WHERE cause = 'cut_off'") == 2
    await api.post(f"/sync/executions/{backfill}/cancel")
    assert (await database.row("SELECT pause_reason FROM goals"))[0] == f"execução {created} cancelada"
    assert (await api.post("/sync/goals/contratacoes/resume")).status_code == 200
    assert len(await fill(database.engine, LAST)) == 1, "what was cancelled has not failed"


async def test_what_was_cancelled_counts_as_missing_and_not_as_failed(
    api: httpx.AsyncClient, database: Database
) -> None:
    await api.put("/sync/goals/contratacoes", json={"from_day": str(LAST)})
    created, *_ = await fill_one(database, LAST)
    await plan_next(database.engine, RULES, older_than_seconds=0)
    await api.post(f"/sync/executions/{created}/cancel")
    found = await goal(api)
    assert (found["days_missing"], found["days_failed"], found["paused"]) == (1, 0, True)


async def test_a_goal_that_is_removed_and_set_again_is_not_paused(api: httpx.AsyncClient) -> None:
    await api.put("/sync/goals/contratacoes", json={"from_day": str(LAST)})
    await api.post("/sync/goals/contratacoes/pause", json={"reason": "x"})
    removed = (await api.delete("/sync/goals/contratacoes")).json()
    assert (removed["paused"], removed["pause_reason"]) == (False, None)
    assert (await api.put("/sync/goals/contratacoes", json={"from_day": str(LAST)})).json()["paused"] is False


async def test_cancelling_what_filled_a_goal_that_was_removed_leaves_it_removed(
    api: httpx.AsyncClient, database: Database
) -> None:
    await api.put("/sync/goals/contratacoes", json={"from_day": str(LAST)})
    (created,) = await fill(database.engine, None)
    await api.delete("/sync/goals/contratacoes")
    await api.post(f"/sync/executions/{created}/cancel")
    assert not (await goal(api))["paused"]
    assert (await api.put("/sync/goals/contratacoes", json={"from_day": str(LAST)})).json()["paused"] is False


TOMORROW = str(to_wall_clock(datetime.now(UTC)).date() + DAY)


@pytest.mark.parametrize(
    ("from_day", "told"),
    [
        ("2020-12-31", "from_day é anterior ao PNCP: use um dia a partir de 2021-01-01"),
        (TOMORROW, "from_day está no futuro (horário de Brasília)"),
        ("2023-02-30", "from_day inexistente no calendário: use YYYY-MM-DD"),
        ("31/12/2023", "from_day inválida: use YYYY-MM-DD"),
        (20230101, "from_day deve ser um texto: use YYYY-MM-DD"),
        (None, "from_day deve ser um texto: use YYYY-MM-DD"),
    ],
)
async def test_a_day_that_makes_no_goal_is_refused_in_words(api: httpx.AsyncClient, from_day: Any, told: str) -> None:
    answer = await api.put("/sync/goals/contratacoes", json={"from_day": from_day})
    assert (answer.status_code, answer.json()["detail"]) == (422, told)
    if isinstance(from_day, str):
        planned = await api.get("/sync/goals/contratacoes/plan", params={"from_day": from_day})
        assert (planned.status_code, planned.json()["detail"]) == (422, told)


async def test_a_resource_that_is_none_has_no_goal(api: httpx.AsyncClient) -> None:
    for method, path, body in (
        ("PUT", "dominios", {"from_day": "2021-01-01"}),
        ("DELETE", "itens", None),
        ("POST", "ata/pause", {"reason": "x"}),
        ("POST", "ata/resume", None),
        ("GET", "dominios/plan?from_day=2021-01-01", None),
    ):
        answer = await api.request(method, f"/sync/goals/{path}", json=body)
        assert answer.status_code == 404, path
        assert "contratacoes, contratos, atas" in answer.json()["detail"]


async def test_a_viewer_reads_goals_and_changes_none(open_api: OpenApi) -> None:
    api = await open_api(**ADMIN)
    viewer = ("viewer", ADMIN["viewer_password"])
    assert (await api.get("/sync/goals", auth=viewer)).status_code == 200
    assert (await api.get("/sync/goals/atas/plan", params={"from_day": "2023-01-01"}, auth=viewer)).status_code == 200
    for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        answer = await api.request(method, f"/sync/goals/atas{path}", json={"from_day": "2023-01-01"}, auth=viewer)
        assert answer.status_code == 403
    admin = ("admin", ADMIN["admin_password"])
    answer = await api.put("/sync/goals/atas", json={"from_day": "2023-01-01"}, auth=admin)
    assert answer.json()["set_by"] == "admin"


async def test_a_plan_says_beforehand_what_is_missing_and_what_that_takes(
    api: httpx.AsyncClient, database: Database
) -> None:
    await database.planned([piece(date(2025, 3, 10), 6), piece(date(2025, 3, 10), 8)])  # these parts are mirrored

    async def plan(first: date) -> dict[str, Any]:
        answer = await api.get("/sync/goals/contratacoes/plan", params={"from_day": str(first)})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    found = await plan(LAST - 2 * DAY)
    assert (found["resource"], found["from_day"]) == ("contratacoes", str(LAST - 2 * DAY))
    assert (found["days"], found["slices"]) == (3, 6)
    assert found["requests"] > 6
    assert found["bytes"] == found["records"] * 25_000 > 0
    assert found["hours"] > 0
    assert "pois ainda não há fatias passadas" in found["basis"]

    await read(database, (LAST, 6), (LAST, 8), (LAST - DAY, 6))
    less = await plan(LAST - 2 * DAY)
    assert (less["days"], less["slices"]) == (2, 3)
    assert less["requests"] < found["requests"]
    nothing = await plan(LAST)
    assert [nothing[name] for name in ("days", "slices", "requests", "hours", "bytes")] == [0, 0, 0, 0, 0]
    assert await database.value("SELECT count(*) FROM goals") == 0


async def test_a_metric_says_how_many_days_are_missing(open_api: OpenApi, database: Database) -> None:
    api = await open_api(**RULED | {"mirror_from": {"contratacoes": LAST - 2 * DAY}})
    await database.planned([piece(date(2025, 3, 10), 6)])
    await read(database, (LAST - DAY, 6))
    scraped = (await api.get("/metrics")).text
    assert 'pncp_goal_days_missing{resource="contratacoes"} 2.0' in scraped
    assert 'pncp_goal_days_missing{resource="atas"} 0.0' in scraped


# --- whole workers ----------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(worker_module, "DEBT_SECONDS", 0.05)
    monkeypatch.setattr(worker_module, "GOALS_SECONDS", 0.05)
    monkeypatch.setattr(goals, "MOST_DAYS", 3)


@pytest.fixture
def week() -> World:
    """A week of closed days up to the newest one that is owed."""
    return generate(7, LAST - 6 * DAY, LAST, 20)


def work(engine: AsyncEngine, client: PncpClient) -> tuple[Worker, asyncio.Task[None]]:
    worker = Worker(engine, client, replace(OPTIONS, goals={"contratacoes": LAST - 6 * DAY}))
    return worker, asyncio.create_task(worker.run())


def filled(database: Database, days: int) -> Callable[[], Awaitable[bool]]:
    """Whether so many days have been read whole and nothing is under way."""

    async def is_so() -> bool:
        count = await database.value("SELECT count(*) FROM read_days")
        running = await database.value("SELECT count(*) FROM sync_executions WHERE status = 'running'")
        return bool(count >= 2 * days and running == 0)

    return is_so


async def assert_complete(database: Database, world: World) -> None:
    async def nothing_is_owed() -> bool:
        await database.rows("UPDATE itens_owed SET due_at = now()")
        return not await database.value("SELECT count(*) FROM itens_owed")

    await eventually(nothing_is_owed, seconds=60, every=0.3)
    whole_days = [f"{LAST - 6 * DAY}", f"{LAST}T23:59:59"]
    assert await database.mirror() == truth(world.select("publicacao", *whole_days, [6, 8]))
    read_twice = "SELECT count(*) FROM sync_slices GROUP BY first_day, part HAVING count(*) > 1"
    assert await database.rows(read_twice) == []


@pytest.mark.usefixtures("quick")
async def test_a_goal_fills_itself_from_the_newest_day_on_and_rests_when_it_is_complete(
    database: Database, portals: Portals, week: World
) -> None:
    portal = await portals.serve(week)
    worker, running = work(database.engine, await portals.client(portal))
    await eventually(filled(database, 7), seconds=90)

    await assert_complete(database, week)
    rows = await database.rows("SELECT trigger, status, window_end FROM sync_executions ORDER BY id")
    assert [(row.trigger, row.status, (LAST - row.window_end.date()).days) for row in rows] == [
        ("goal", "success", 0),
        ("goal", "success", 3),
        ("goal", "success", 6),
    ]
    asked = portal.stats.statuses.total()
    assert await fill(database.engine, LAST - 6 * DAY) == []
    assert portal.stats.statuses.total() == asked
    worker.stopping.set()
    await running


@pytest.mark.usefixtures("quick")
async def test_a_goal_whose_worker_is_killed_is_filled_by_another(
    database: Database, portals: Portals, week: World
) -> None:
    portal = await portals.serve(week)
    portal.quirks.latency_ms = 20
    _, killed = work(database.engine, await portals.client(portal))

    async def half_way() -> bool:
        return bool(await database.value("SELECT count(*) FROM read_days") >= 4)

    await eventually(half_way, seconds=60)
    killed.cancel()
    await asyncio.wait([killed])
    assert await database.value("SELECT count(*) FROM read_days") < 14

    worker, running = work(database.engine, await portals.client(portal))
    await eventually(filled(database, 7), seconds=90)
    await assert_complete(database, week)
    worker.stopping.set()
    await running
