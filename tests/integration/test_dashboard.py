"""The dashboard: its totals, what runs, how fresh the mirror is, what failed and was not made good."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services import dashboard as queries
from backend.services import failures, freshness
from backend.services.alerts.findings import Rules, look
from backend.services.reading import ReadConnections
from backend.services.status import WITH_PROGRESS
from common.clock import BRASILIA
from common.config import ScheduleSettings
from common.lifecycle import admission, executions, slices
from common.lifecycle.causes import Cause
from common.lifecycle.slices import PageCounts, PlannedSlice
from common.tables import sync_executions
from tests.integration.conftest import CLOSED_DAY, Database, piece

FIXED = {"total_executions", "success_rate", "avg_duration_seconds", "last_24h_executions", "current_status"}


@pytest.fixture(autouse=True)
def read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these asks anew; what callers share has tests of its own."""
    monkeypatch.setattr(queries, "FRESH_SECONDS", 0.0)


async def dashboard(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/sync/dashboard")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ended(
    database: Database,
    status: str,
    *,
    seconds: float = 10,
    records: int = 0,
    error: str | None = None,
    cause: Cause = "internal",
    trigger: str = "api",
    **changes: Any,
) -> int:
    """An execution that has ended; what is cancelled, by Maria."""
    mode = changes.pop("mode", "update")
    criterio = changes.pop("criterio", None)
    execution_id = await database.run(
        admission.create, mode=mode, window_start=None, window_end=None, trigger=trigger, criterio=criterio
    )
    assert execution_id is not None
    await database.run(
        executions.end,
        execution_id,
        status=status,
        duration_seconds=seconds,
        records_processed=records,
        cause=cause if status == "error" else None,
        error_message=error,
        cancelled_by="maria" if cause == "cancelled" else None,
    )
    for name, value in changes.items():
        await database.rows(f"UPDATE sync_executions SET {name} = :value WHERE id = :id", value=value, id=execution_id)
    return execution_id


async def updated(
    database: Database,
    until: datetime,
    *modalidades: int,
    failing: tuple[int, ...] = (),
    since: timedelta = timedelta(minutes=15),
) -> int:
    """An update of these modalidades, up to a wall clock and `since` so long before; those that fail do."""
    start = until - since
    pieces = [PlannedSlice(each, start.date(), until.date(), start, until) for each in modalidades]
    execution_id = await database.planned(pieces, mode="update")
    for _ in pieces:
        claim = await database.claim()
        if claim.part in failing:
            await database.run(slices.fail, claim, "no_answer", "status 503")
        else:
            await database.run(slices.finish, claim)
    await database.run(executions.close, execution_id)
    return execution_id


def wall_clock(ago: timedelta) -> datetime:
    return (datetime.now(BRASILIA) - ago).replace(tzinfo=None, microsecond=0)


async def test_before_the_first_execution_everything_is_there_and_empty(api: httpx.AsyncClient) -> None:
    found = await dashboard(api)

    assert found.keys() >= FIXED
    assert {name: found[name] for name in FIXED - {"current_status"}} == {
        "total_executions": 0,
        "success_rate": "0.0%",
        "avg_duration_seconds": "0.0",
        "last_24h_executions": 0,
    }
    assert found["current_status"] == (await api.get("/sync/status")).json()
    assert found["freshness"] == {
        "complete_until": None,
        "age_seconds": None,
        "updated_until": None,
        "updated_age_seconds": None,
        "modalidades": [],
    }
    assert found["mean_duration_seconds"] is None
    assert [found[name] for name in ("modes", "errors", "failed", "unfinished", "workers")] == [[], [], [], [], []]
    assert len(found["days"]) == 30
    assert found["days"][-1]["day"] == datetime.now(BRASILIA).date().isoformat()
    assert {table["table"]: (table["rows"], table["exact"]) for table in found["mirror"]}["contratacoes"] == (0, True)


async def test_totals_count_what_has_ended_and_the_rate_is_a_text_with_a_percent(
    api: httpx.AsyncClient, database: Database
) -> None:
    for _ in range(39):
        await ended(database, "success", seconds=45, records=10)
    await ended(database, "error", seconds=53)
    await database.requested("update")

    found = await dashboard(api)

    assert found["success_rate"] == "97.5%"
    assert found["avg_duration_seconds"] == "45.2"
    assert (found["total_executions"], found["last_24h_executions"]) == (41, 41)
    assert (found["success_count"], found["error_count"], found["running_count"]) == (39, 1, 1)
    assert (found["records_processed"], found["records_per_execution"]) == (390, 9.8)
    assert found["current_status"]["status"] == "running"


async def test_the_last_day_is_the_last_24_hours(api: httpx.AsyncClient, database: Database) -> None:
    moved = await ended(database, "success")
    await ended(database, "success")
    assert (await dashboard(api))["last_24h_executions"] == 2

    await database.rows("UPDATE sync_executions SET created_at = now() - interval '25 hours' WHERE id = :id", id=moved)

    assert (await dashboard(api))["last_24h_executions"] == 1


async def test_days_durations_and_modes_look_back_thirty_days_and_no_further(
    api: httpx.AsyncClient, database: Database
) -> None:
    now = datetime.now(UTC)
    for seconds in (10, 20, 30):
        await ended(database, "success", seconds=seconds, records=100)
    await ended(database, "error", seconds=40, mode="backfill")
    await ended(database, "success", seconds=1000, created_at=now - timedelta(days=31))

    found = await dashboard(api)

    today = found["days"][-1]
    assert (today["success"], today["error"], today["running"], today["records_processed"]) == (3, 1, 0, 300)
    assert today["mean_seconds"] == 25
    assert sum(day["success"] for day in found["days"]) == 3
    assert found["mean_duration_seconds"] == 25
    assert found["p95_duration_seconds"] == pytest.approx(38.5)
    assert [(one["mode"], one["executions"], one["mean_seconds"]) for one in found["modes"]] == [
        ("backfill", 1, 40),
        ("update", 3, 20),
    ]
    assert found["modes"][1]["mean_records"] == 100


async def test_what_is_remembered_is_computed_anew_as_soon_as_an_execution_ends(
    api: httpx.AsyncClient, database: Database
) -> None:
    assert (await dashboard(api))["days"][-1]["success"] == 0
    await ended(database, "success")
    assert (await dashboard(api))["days"][-1]["success"] == 1
    execution_id = await database.requested("update")
    assert (await dashboard(api))["days"][-1]["running"] == 1
    await database.run(executions.end, execution_id, status="error", cause="no_answer", error_message="status 500")
    found = await dashboard(api)
    assert (found["days"][-1]["running"], found["days"][-1]["error"]) == (0, 1)
    assert [(one["cause"], one["message"]) for one in found["errors"]] == [("no_answer", "status 500")]


async def test_errors_of_one_cause_are_counted_together_and_what_was_cancelled_is_none(
    api: httpx.AsyncClient, database: Database
) -> None:
    await ended(database, "error", error="status 503 of page 4", cause="no_answer")
    last = await ended(database, "error", error="status 500 of page 21", cause="no_answer")
    await ended(database, "error", error="status 403", cause="portal_refused")
    await ended(database, "error", error=None)
    await ended(database, "error", cause="cancelled")

    errors = (await dashboard(api))["errors"]

    assert [(one["cause"], one["message"], one["executions"]) for one in errors] == [
        ("no_answer", "status 500 of page 21", 2),
        ("internal", None, 1),
        ("portal_refused", "status 403", 1),
    ]
    assert errors[0]["last_execution_id"] == last


async def test_the_mirror_is_as_fresh_as_the_modalidade_that_is_furthest_behind(
    api: httpx.AsyncClient, database: Database
) -> None:
    began = wall_clock(timedelta(hours=3)) - timedelta(minutes=15)
    await database.planned([piece(began.date(), each) for each in (5, 6, 8)])
    for _ in range(3):
        await database.run(slices.finish, await database.claim())
    await updated(database, wall_clock(timedelta(hours=3)), 5, 6, 8)
    await updated(database, wall_clock(timedelta(minutes=5)), 6, 8, failing=(8,), since=timedelta(hours=3))

    freshness = (await dashboard(api))["freshness"]

    behind, ahead = timedelta(hours=3).total_seconds(), timedelta(minutes=5).total_seconds()
    assert freshness["age_seconds"] == pytest.approx(behind, abs=60)
    until = datetime.fromisoformat(freshness["complete_until"])
    assert (datetime.now(UTC) - until).total_seconds() == pytest.approx(behind, abs=60)
    assert {one["modalidade"]: one["age_seconds"] for one in freshness["modalidades"]} == {
        6: pytest.approx(ahead, abs=60),
        8: pytest.approx(behind, abs=60),
    }, "5 is no longer asked for"


async def test_a_modalidade_without_any_update_leaves_the_freshness_open_and_a_retry_does_not_decide_what_counts(
    api: httpx.AsyncClient, database: Database
) -> None:
    failed = await updated(database, wall_clock(timedelta(minutes=5)), 6, 8, failing=(8,))
    await database.run(admission.retry, failed)

    freshness = (await dashboard(api))["freshness"]

    assert freshness["complete_until"] is None
    assert freshness["updated_until"] is None
    assert {one["modalidade"]: one["updated_until"] is None for one in freshness["modalidades"]} == {6: False, 8: True}


async def test_what_runs_is_told_with_its_progress_and_what_it_waits_for(
    api: httpx.AsyncClient, database: Database
) -> None:
    execution_id = await database.planned([piece(modalidade=each) for each in (5, 6, 7, 8)])
    done = await database.claim()
    await database.run(executions.mark_started, execution_id)
    counts = PageCounts(processed=7, inserted=7)
    await database.run(slices.advance, done, counts, pages_done=1, pages_total=1, total_registros=7, lease_seconds=60)
    await database.run(slices.finish, done)
    postponed = await database.claim()
    await database.run(
        slices.postpone,
        postponed,
        delay_seconds=300,
        cause="no_answer",
        error_message="status 503",
        progressed=False,
    )
    await database.claim()
    await database.rows("INSERT INTO workers (id) VALUES ('worker'), ('stopped'), ('gone')")
    await database.rows("UPDATE workers SET stopped_at = now() WHERE id = 'stopped'")
    await database.rows("UPDATE workers SET alive_until = now() - interval '1 s' WHERE id = 'gone'")

    found = await dashboard(api)

    (one,) = found["unfinished"]
    assert (one["id"], one["status"], one["phase"], one["records_processed"]) == (execution_id, "running", "running", 7)
    assert (one["progress"]["slices_done"], one["progress"]["slices_total"], one["progress"]["percent"]) == (1, 4, 25)
    waiting = one["waiting"]
    assert (waiting["slices"], waiting["cause"], waiting["error_message"]) == (1, "no_answer", "status 503")
    wait = datetime.fromisoformat(one["waiting"]["next_try_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)
    assert [(worker["id"], worker["slices_running"]) for worker in found["workers"]] == [("worker", 1)]


async def test_a_failure_asks_for_attention_until_something_has_made_it_good(
    api: httpx.AsyncClient, database: Database
) -> None:
    async def failed() -> list[int]:
        return [one["id"] for one in (await dashboard(api))["failed"]]

    days: dict[str, Any] = {
        "mode": "backfill",
        "window_start": datetime(2025, 3, 10),
        "window_end": datetime(2025, 3, 11),
    }
    long_ago = datetime.now(UTC) - timedelta(days=8)
    update = await ended(database, "error", error="no worker", cause="no_worker")
    sweep = await ended(
        database, "error", error="no worker", cause="no_worker", trigger="sweep", criterio="publicacao", **days
    )
    await ended(database, "error", cause="cancelled", mode="backfill")
    await ended(database, "error", error="long ago", mode="backfill", created_at=long_ago, finished_at=long_ago)
    assert await failed() == [sweep, update]

    await ended(database, "success", trigger="sweep", criterio="atualizacao", **days)
    assert await failed() == [sweep, update], "by another criterio"
    await ended(database, "success")
    assert await failed() == [sweep]
    await ended(
        database, "success", trigger="sweep", criterio="publicacao", **days | {"window_end": datetime(2025, 3, 10)}
    )
    assert await failed() == [sweep], "a part of it"
    await ended(database, "success", trigger="sweep", criterio="publicacao", **days)
    assert await failed() == []


async def failures_told(api: httpx.AsyncClient, database: Database) -> tuple[list[int], list[int]]:
    """What the dashboard and what the alerts call failed and not made good."""
    rules = Rules(no_success=None, reminder=None, schedule_enabled=True, update_crons={"contratacoes": "*/15 * * * *"})
    now = datetime.now(UTC)
    findings = await database.run(look, rules, now, watching_since=now, known={})
    pending = [one["id"] for finding in findings if finding.kind == "sync" for one in finding.details["executions"]]
    return [one["id"] for one in (await dashboard(api))["failed"]], pending


async def test_a_day_that_was_read_since_it_failed_is_made_good_for_the_dashboard_and_the_alerts_alike(
    api: httpx.AsyncClient, database: Database
) -> None:
    """A failed backfill whose day another one has read; seen with alerts silent and the dashboard still asking."""
    failing = await database.planned([piece(modalidade=6), piece(modalidade=8)])
    for _ in range(2):
        await database.run(slices.fail, await database.claim(), "no_answer", "status 503")
    await database.run(executions.close, failing)
    assert await failures_told(api, database) == ([failing], [failing])

    for modalidade, left in ((6, [failing]), (8, [])):
        again = await database.planned([piece(modalidade=modalidade)])
        await database.run(slices.finish, await database.claim())
        await database.run(executions.close, again)
        assert await failures_told(api, database) == (left, left), "every part of it must have been read"


async def test_a_failed_span_of_a_sweep_is_not_made_good_by_its_sibling(
    api: httpx.AsyncClient, database: Database
) -> None:
    """A sweep of two spans is two executions; seen with the dashboard silent and the alerts still asking."""
    spans = []
    for day in (CLOSED_DAY, CLOSED_DAY + timedelta(days=2)):
        spans.append(await database.planned([piece(day)]))
        await database.rows("UPDATE sync_executions SET trigger = 'sweep' WHERE id = :id", id=spans[-1])
    await database.run(slices.fail, await database.claim(), "no_answer", "status 503")
    await database.run(slices.finish, await database.claim())
    for execution_id in spans:
        await database.run(executions.close, execution_id)
    assert await failures_told(api, database) == ([spans[0]], [spans[0]])


async def test_a_failed_update_is_made_good_by_the_next_one_that_reads_its_window(
    api: httpx.AsyncClient, database: Database
) -> None:
    await updated(database, wall_clock(timedelta(hours=3)), 6, 8)
    failing = await updated(database, wall_clock(timedelta(hours=1)), 6, 8, failing=(8,), since=timedelta(hours=2))
    assert await failures_told(api, database) == ([failing], [failing])
    await updated(database, wall_clock(timedelta(minutes=5)), 6, 8, failing=(8,), since=timedelta(minutes=55))
    found, pending = await failures_told(api, database)
    assert found == pending
    assert len(found) == 2
    await updated(database, wall_clock(timedelta()), 6, 8, since=timedelta(hours=4))
    assert await failures_told(api, database) == ([], [])


async def test_a_retry_takes_the_place_of_what_it_repeats(api: httpx.AsyncClient, database: Database) -> None:
    execution_id = await database.planned([piece()])
    claim = await database.claim()
    await database.run(slices.fail, claim, "portal_refused", "status 403")
    await database.run(executions.close, execution_id)
    (one,) = (await dashboard(api))["failed"]
    assert (one["id"], one["can_retry"]) == (execution_id, True)

    async def repeated(ends: Callable[[int], Awaitable[object]]) -> list[tuple[int, bool]]:
        copy = await database.run(admission.retry, execution_id)
        assert copy is not None
        (one,) = (await dashboard(api))["failed"]
        assert (one["id"], one["can_retry"]) == (execution_id, False), "it is being repeated"
        await ends(copy)
        return [(one["id"] - copy, one["can_retry"]) for one in (await dashboard(api))["failed"]]

    async def cancelled(copy: int) -> None:
        await database.run(executions.cancel, copy, "admin")

    async def failed(copy: int) -> None:
        await database.run(slices.fail, await database.claim(), "portal_refused", "status 403")
        await database.run(executions.close, copy)

    assert await repeated(cancelled) == [(-1, True)], "a retry that was cancelled"
    assert await repeated(failed) == [(0, True)], "a retry that failed stands for what it repeats"


async def test_a_pause_that_the_portal_asked_for_is_told_while_it_lasts(
    api: httpx.AsyncClient, database: Database
) -> None:
    await database.rows(
        "INSERT INTO source_pauses (source, paused_until) VALUES ('consulta', now() - interval '1 minute')"
    )
    assert (await dashboard(api))["source_paused_until"] is None
    await database.rows("UPDATE source_pauses SET paused_until = now() + interval '1 minute'")
    assert (await dashboard(api))["source_paused_until"] is not None


async def test_the_mirror_s_tables_are_told_with_their_sizes(api: httpx.AsyncClient, database: Database) -> None:
    await database.requested()
    await database.rows("""
        INSERT INTO rejected_records (execution_id, resource, reason, payload_hash, payload)
        SELECT id, 'contratacoes', 'x', n, 'x' FROM sync_executions, generate_series(1, 25000) n
    """)
    await database.rows("ANALYZE rejected_records")

    sizes = {one["table"]: one for one in (await dashboard(api))["mirror"]}

    assert sizes["rejected_records"]["bytes"] > 1_000_000
    assert sizes["contratacoes"]["bytes"] > 0
    assert (sizes["rejected_records"]["exact"], sizes["contratacoes"]["exact"]) == (False, True)
    assert sizes["rejected_records"]["rows"] == pytest.approx(25_000, rel=0.05)


async def test_an_execution_of_the_closed_day_counts_by_when_it_was_asked_for(
    api: httpx.AsyncClient, database: Database
) -> None:
    await database.requested(first=CLOSED_DAY)
    days = (await dashboard(api))["days"]
    assert [day["running"] for day in days] == [0] * 29 + [1]


async def test_a_long_history_is_never_read_whole(database: Database) -> None:
    await database.rows("""
        INSERT INTO sync_executions (mode, criterio, trigger, status, cause, created_at, finished_at)
        SELECT 'update', 'atualizacao', 'schedule', CASE WHEN n % 20 = 0 THEN 'error' ELSE 'success' END,
               CASE WHEN n % 20 = 0 THEN 'no_answer' END,
               now() - n * interval '1 hour', now() - n * interval '1 hour'
          FROM generate_series(1, 30000) n
    """)
    try:
        await database.rows("ANALYZE sync_executions")
        for statement in (
            queries._NOW,
            queries._DAYS,
            queries._MODES,
            queries._ERRORS,
            failures._LOAD_PENDING,
            freshness._MIRRORED,
        ):
            known = {
                "zone": BRASILIA.key,
                "since": datetime.now(UTC) - timedelta(days=7),
                "longest": timedelta(days=30),
                "resource": "contratacoes",
                "resources": ["contratacoes"],
                "parts": [6],
            }
            values = {name: value for name, value in known.items() if name in statement._bindparams}
            plan = "\n".join(row[0] for row in await database.rows(f"EXPLAIN {statement.text}", **values))
            assert "sync_executions" in plan
            assert "Seq Scan on sync_executions" not in plan, plan
    finally:
        await database.rows("TRUNCATE sync_executions CASCADE")  # row by row it would take minutes


# --- what wants attention without being a failure ---------------------------------------------------------------


async def test_a_source_that_does_not_answer_is_told_with_its_next_try(
    api: httpx.AsyncClient, database: Database
) -> None:
    assert (await dashboard(api))["source"] == []
    await database.rows("""
        INSERT INTO source_pauses (source, paused_until, reason, cause, error_message, failing_since)
        VALUES ('consulta', now() + interval '21 s', 'down', 'no_answer', 'ConnectError', now() - interval '10 min'),
               ('itens', now() - interval '1 s', 'down', 'no_answer', 'status 503', now() - interval '1 min'),
               ('over', now() - interval '1 h', 'throttled', NULL, NULL, NULL)
    """)
    consulta, itens = (await dashboard(api))["source"]
    assert (consulta["service"], consulta["reason"]) == ("consulta", "down")
    assert (consulta["cause"], consulta["error_message"]) == ("no_answer", "ConnectError")
    assert datetime.fromisoformat(consulta["failing_since"]) < datetime.now(UTC) - timedelta(minutes=9)
    assert datetime.fromisoformat(consulta["next_try_at"]) > datetime.now(UTC) + timedelta(seconds=10)
    assert itens["service"] == "itens", "its pause has ended, and nothing has been answered since"


async def test_owed_items_and_drifted_fields_are_told(api: httpx.AsyncClient, database: Database) -> None:
    found = await dashboard(api)
    assert found["itens_owed"] == {
        "count": 0,
        "since": None,
        "unread": 0,
        "empty": 0,
        "set_aside": 0,
        "cause": None,
        "causes": [],
        "resources": [],
    }
    assert found["drift"] == []
    await database.rows("""
        INSERT INTO contratacoes (numero_controle_pncp, data_publicacao_pncp, data_atualizacao,
                                  data_atualizacao_global, payload)
        SELECT 'k' || n, '2025-03-10', '2025-03-10', '2025-03-10', '{}' FROM generate_series(1, 3) n
    """)
    await database.rows("""
        INSERT INTO itens_owed (numero_controle_pncp, as_of, reason, cause, owed_since, set_aside_at)
        SELECT 'k' || n, '2025-03-10', 'unread', CASE WHEN n > 1 THEN 'status 503' END, now() - n * interval '1 h',
               CASE WHEN n = 3 THEN now() END
          FROM generate_series(1, 3) n
    """)
    await database.rows("""
        INSERT INTO schema_drift (resource, path, kind, records, example, last_seen)
        VALUES ('contratacoes', 'valorTotalEstimado', 'string', 12, '"1,0"', now()),
               ('contratacoes', 'srp', 'number', 1, '1', now() - interval '8 days')
    """)
    await ended(database, "success")  # what looks back is read anew with the counts
    found = await dashboard(api)
    owed = found["itens_owed"]
    assert (owed["count"], owed["set_aside"], owed["cause"]) == (3, 1, "status 503")
    assert datetime.fromisoformat(owed["since"]) < datetime.now(UTC) - timedelta(hours=2)
    assert [(one["path"], one["kind"], one["records"]) for one in found["drift"]] == [
        ("valorTotalEstimado", "string", 12)
    ]


async def test_the_failures_are_counted_beyond_those_that_are_shown(api: httpx.AsyncClient, database: Database) -> None:
    for number in range(14):
        mode = "update" if number < 11 else "backfill"
        await database.planned(mode=mode)
        await database.run(slices.fail, await database.claim(), "no_answer", "status 503")
        await database.run(executions.close, number + 1)
    found = await dashboard(api)
    assert (len(found["failed"]), found["failed_count"], found["failed_updates_count"]) == (10, 14, 11)


# --- what callers share -----------------------------------------------------------------------------------------


async def count_of_readings(api: httpx.AsyncClient) -> set[str]:
    """The moments of what six callers at once are answered."""
    answers = await asyncio.gather(*(dashboard(api) for _ in range(6)))
    return {answer["generated_at"] for answer in answers}


async def test_all_who_ask_within_two_seconds_get_one_reading(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "FRESH_SECONDS", 3600.0)
    first = await count_of_readings(api)
    await ended(database, "success")
    assert await count_of_readings(api) == first
    assert len(first) == 1
    monkeypatch.setattr(queries, "FRESH_SECONDS", 0.0)
    assert (await dashboard(api))["total_executions"] == 1


async def test_what_is_changed_through_the_api_is_shown_at_once(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "FRESH_SECONDS", 3600.0)
    assert (await dashboard(api))["running_count"] == 0
    started = (await api.post("/sync/force", json={"mode": "update"})).json()["request_id"]
    assert (await dashboard(api))["running_count"] == 1
    await api.post("/sync/plan", json={"mode": "update"})
    await api.post(f"/sync/executions/{started}/cancel")
    found = await dashboard(api)
    assert (found["running_count"], found["cancelled_count"]) == (0, 1)


async def test_a_fault_is_not_shared_with_who_asks_later(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "FRESH_SECONDS", 3600.0)
    monkeypatch.setattr(queries, "_COUNTS", text("SELECT 1/0"))
    shared = queries.Dashboard(ReadConnections(engine), ScheduleSettings())
    faults = await asyncio.gather(shared.load(), shared.load(), return_exceptions=True)
    assert [isinstance(fault, DBAPIError) for fault in faults] == [True, True]
    monkeypatch.undo()
    assert (await shared.load()).total_executions == 0


async def test_who_leaves_does_not_end_the_reading_of_the_others(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = queries.Dashboard(ReadConnections(engine), ScheduleSettings())
    leaving, staying = asyncio.create_task(shared.load()), asyncio.create_task(shared.load())
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).total_executions == 0
    assert leaving.cancelled()
    await shared.close()


async def test_slices_that_were_never_claimed_are_counted_without_being_read(database: Database) -> None:
    """Of what runs, an index has the slices that anything is known of."""
    pieces = [piece(CLOSED_DAY, modalidade=number) for number in range(1, 2001)]
    await database.planned(pieces)
    for _ in range(3):
        await database.claim()
    await database.rows("ANALYZE sync_executions, sync_slices")
    async with database.engine.connect() as db:
        statement = WITH_PROGRESS.where(sync_executions.c.status == "running").compile(
            dialect=db.dialect, compile_kwargs={"literal_binds": True}
        )
        told = "\n".join((await db.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF) {statement}")).scalars())
        row = (await db.execute(WITH_PROGRESS)).one()
    assert "ix_sync_slices_touched" in told
    assert "Seq Scan on sync_slices" not in told
    assert not re.search(r"on sync_slices .*actual rows=\d{4}", told), told
    assert (row.slices_total, row.slices_running, row.slices_ready, row.slices_done) == (2000, 3, 1997, 0)


# --- what was cancelled -----------------------------------------------------------------------------------------


async def cancelled_at(api: httpx.AsyncClient, database: Database, *, finished: int, failed: int, of: int) -> Any:
    execution_id = await database.planned([piece(CLOSED_DAY, modalidade=number) for number in range(1, of + 1)])
    for number in range(finished + failed):
        claim = await database.claim()
        if number < finished:
            await database.run(slices.finish, claim)
        else:
            await database.run(slices.fail, claim, "portal_refused", "status 403")
    answer = await api.post(f"/sync/executions/{execution_id}/cancel")
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize(
    ("finished", "failed", "of", "percent"), [(0, 0, 4, 0.0), (71, 0, 100, 71.0), (2, 1, 4, 75.0), (0, 0, 1, 0.0)]
)
async def test_a_cancelled_execution_shows_the_share_that_was_done(
    api: httpx.AsyncClient, database: Database, finished: int, failed: int, of: int, percent: float
) -> None:
    told = await cancelled_at(api, database, finished=finished, failed=failed, of=of)
    assert (told["status"], told["cancelled"]) == ("error", True)
    progress = told["progress"]
    assert progress["percent"] == percent
    assert (progress["slices_total"], progress["slices_done"]) == (of, finished + failed)
    assert progress["slices_failed"] == failed
    assert (await api.get("/sync/status")).json()["progress"] == progress
    (listed,) = (await api.get("/sync/history")).json()["executions"]
    assert listed["cancelled"] is True


async def test_a_slice_that_was_being_read_counts_by_its_pages(api: httpx.AsyncClient, database: Database) -> None:
    execution_id = await database.planned([piece(CLOSED_DAY, modalidade=number) for number in (1, 2)])
    page = {"pages_total": 4, "total_registros": 40, "lease_seconds": 60.0}
    await database.run(slices.advance, await database.claim(), PageCounts(10, 8, 1, 2, 30), pages_done=2, **page)
    told = (await api.post(f"/sync/executions/{execution_id}/cancel")).json()
    assert told["progress"]["percent"] == 25.0


async def test_an_execution_that_never_had_slices_has_done_nothing(api: httpx.AsyncClient, database: Database) -> None:
    execution_id = await database.requested()
    told = (await api.post(f"/sync/executions/{execution_id}/cancel")).json()
    assert (told["cancelled"], told["progress"]["percent"]) == (True, 0.0)


async def test_what_was_cancelled_is_out_of_the_rate(api: httpx.AsyncClient, database: Database) -> None:
    await ended(database, "success")
    await ended(database, "error", cause="portal_refused")
    await ended(database, "error", cause="cancelled")
    found = await dashboard(api)
    assert found["success_rate"] == "50.0%"
    assert (found["success_count"], found["error_count"], found["cancelled_count"]) == (1, 2, 1)
    assert (found["days"][-1]["error"], found["days"][-1]["cancelled"]) == (2, 1)
    history = (await api.get("/sync/history")).json()["executions"]
    assert [(one["cause"], one["cancelled"], one["cancelled_by"]) for one in history] == [
        ("cancelled", True, "maria"),
        ("portal_refused", False, None),
        (None, False, None),
    ]


async def test_what_was_cancelled_goes_on_by_its_retry(api: httpx.AsyncClient, database: Database) -> None:
    told = await cancelled_at(api, database, finished=3, failed=0, of=5)
    copy = (await api.post(f"/sync/executions/{told['id']}/retry")).json()["request_id"]
    again = (await api.get(f"/sync/executions/{copy}")).json()
    assert (again["progress"]["slices_total"], again["retry_of"]) == (2, told["id"])
