"""Whole workers against the simulated portal: what they end, what they leave, and what happens when they die."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from common.clock import to_wall_clock
from common.lifecycle import admission, executions, slices
from ingestor import loops
from ingestor import worker as worker_module
from ingestor.planning import Rules, plan_next
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.pncp.shared_state import SharedSource
from ingestor.worker import Worker, WorkerOptions
from simulator.app import Simulator
from simulator.generated import generate
from simulator.world import World
from tests.integration.conftest import (
    CLOSED_DAY,
    MODALIDADE,
    Database,
    EndlessClient,
    Portals,
    listing_pages,
    piece,
    truth,
)
from tests.support import eventually

ALL_MODALIDADES = tuple(range(1, 20))
LAST_DAY = CLOSED_DAY + timedelta(days=2)
OPTIONS = WorkerOptions(
    rules=Rules({"contratacoes": ALL_MODALIDADES}, rolling_window=timedelta(minutes=15), overlap=timedelta(minutes=10)),
    slots=4,
    lease_seconds=60,
    slice_retry_seconds=0.02,
    has_broker=False,
)


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(worker_module, "DEBT_SECONDS", 0.05)


class Workers:
    """Workers that run in this loop; those that a test leaves running are stopped at its end."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._running: list[tuple[Worker, asyncio.Task[None]]] = []

    def start(self, client: PncpClient, **changes: Any) -> tuple[Worker, asyncio.Task[None]]:
        worker = Worker(self._engine, client, replace(OPTIONS, **changes))
        started = worker, asyncio.create_task(worker.run())
        self._running.append(started)
        return started

    async def stop(self) -> None:
        for worker, _ in self._running:
            worker.stopping.set()
        for _, task in self._running:
            if not task.cancelled():
                await task


@pytest.fixture
async def workers(engine: AsyncEngine) -> AsyncIterator[Workers]:
    workers = Workers(engine)
    yield workers
    await workers.stop()


@pytest.fixture
def three_days() -> World:
    """Three closed weekdays, most modalidades among them."""
    return generate(7, CLOSED_DAY, LAST_DAY, 30, until=datetime(2025, 4, 1))  # wall clock


def only(*modalidades: int) -> dict[str, Any]:
    return {"rules": replace(OPTIONS.rules, parts={"contratacoes": modalidades})}


async def finished(database: Database, execution_id: int, *, seconds: float = 30) -> Row[Any]:
    """The execution's row as soon as it has ended."""

    async def has_ended() -> bool:
        return bool((await database.execution(execution_id)).status != "running")

    await eventually(has_ended, seconds=seconds)
    return await database.execution(execution_id)


async def assert_mirrored(database: Database, world: World, execution: Row[Any]) -> None:
    """All of the execution's window is stored in its newest version, was counted once, and nothing else is there.

    Items that did not come at once may come a little later.
    """

    async def nothing_is_owed() -> bool:
        await database.rows("UPDATE itens_owed SET due_at = now()")
        return not await database.value("SELECT count(*) FROM itens_owed")

    await eventually(nothing_is_owed, every=0.3)
    expected = truth(world.select("publicacao", execution.window_start.isoformat(), execution.window_end.isoformat()))
    assert await database.mirror() == expected
    assert (execution.status, execution.error_message) == ("success", None)
    assert execution.records_processed == len(expected) > 0


def pages_committed(database: Database, at_least: int) -> Callable[[], Awaitable[bool]]:
    async def are_there() -> bool:
        return int(await database.value("SELECT coalesce(sum(pages_done), 0) FROM sync_slices")) >= at_least

    return are_there


# --- the whole of it --------------------------------------------------------------------------------------------


async def test_a_backfill_of_some_days_ends_in_success_with_exactly_the_portals_records(
    database: Database, portals: Portals, workers: Workers, three_days: World
) -> None:
    portal = await portals.serve(three_days)
    execution_id = await database.requested(last=LAST_DAY)
    workers.start(await portals.client(portal))

    execution = await finished(database, execution_id)

    await assert_mirrored(database, three_days, execution)
    slices = await database.rows("SELECT status, attempt FROM sync_slices")
    assert [tuple(row) for row in slices] == [("success", 1)] * 3 * len(ALL_MODALIDADES)
    assert await database.value("SELECT count(*) FROM sync_pages") == 0
    assert execution.started_at is not None
    assert execution.duration_seconds > 0


@pytest.mark.parametrize("count", [1, 2], ids=["one worker", "two workers"])
async def test_a_portal_that_fails_a_fifth_of_its_answers_loses_nothing(
    database: Database, portals: Portals, workers: Workers, three_days: World, count: int
) -> None:
    portal = await portals.serve(three_days)
    portal.quirks.fail = 0.2
    execution_id = await database.requested(last=LAST_DAY)
    for _ in range(count):
        workers.start(await portals.client(portal))

    execution = await finished(database, execution_id, seconds=60)

    await assert_mirrored(database, three_days, execution)
    assert sum(portal.stats.statuses[status] for status in ("500", "502", "503", "504", "reset", "cut")) > 20


async def test_two_workers_share_an_execution_and_take_no_slice_twice(
    database: Database, portals: Portals, workers: Workers, three_days: World
) -> None:
    portal = await portals.serve(three_days)
    portal.quirks.latency_ms = 5
    execution_id = await database.requested(last=LAST_DAY)
    started = [workers.start(await portals.client(portal), slots=2) for _ in range(2)]
    at_work: set[str] = set()

    async def both_have_been_seen() -> bool:
        rows = await database.rows("SELECT worker_id FROM sync_slices WHERE status = 'running'")
        at_work.update(row.worker_id for row in rows)
        return at_work == {worker.id for worker, _ in started}

    await eventually(both_have_been_seen)
    execution = await finished(database, execution_id)

    await assert_mirrored(database, three_days, execution)
    assert await database.value("SELECT max(attempt) FROM sync_slices") == 1


# --- deaths and farewells ---------------------------------------------------------------------------------------


async def test_what_a_killed_worker_held_is_finished_by_another_after_the_lease(
    database: Database, portals: Portals, workers: Workers, three_days: World
) -> None:
    portal = await portals.serve(three_days)
    portal.quirks.latency_ms = 20
    execution_id = await database.requested(last=LAST_DAY)
    _, killed = workers.start(await portals.client(portal), lease_seconds=2)
    await eventually(pages_committed(database, 10))
    killed.cancel()
    await asyncio.wait([killed])
    held = await database.rows("SELECT id FROM sync_slices WHERE status = 'running' AND lease_until > now()")
    assert held, "a killed worker settles nothing"

    workers.start(await portals.client(portal), lease_seconds=2)
    execution = await finished(database, execution_id)

    await assert_mirrored(database, three_days, execution)
    again = await database.rows("SELECT id FROM sync_slices WHERE attempt > 1")
    assert {row.id for row in again} == {row.id for row in held}


async def test_what_a_stopped_worker_held_is_free_at_once(
    database: Database, portals: Portals, workers: Workers, three_days: World
) -> None:
    portal = await portals.serve(three_days)
    portal.quirks.latency_ms = 20
    execution_id = await database.requested(last=LAST_DAY)
    worker, running = workers.start(await portals.client(portal), lease_seconds=3600)
    await eventually(pages_committed(database, 10))
    worker.stopping.set()
    await running

    assert await database.value("SELECT count(*) FROM sync_slices WHERE status = 'running'") == 0
    assert await database.value("SELECT max(stalls) FROM sync_slices") == 0
    assert (await database.row("SELECT stopped_at FROM workers WHERE id = :id", id=worker.id)).stopped_at is not None
    assert (await database.execution(execution_id)).status == "running"
    workers.start(await portals.client(portal))
    await assert_mirrored(database, three_days, await finished(database, execution_id))


async def test_a_page_that_outlasts_the_grace_is_dropped_and_its_slice_released(
    database: Database, portals: Portals, workers: Workers, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "GRACE_SECONDS", 0.1)
    portal = await portals.serve(world)
    portal.quirks.add("hang")
    await database.planned()
    worker, running = workers.start(await portals.client(portal, timeout_seconds=60))
    await eventually(lambda: listing_pages(portal) == [1])
    worker.stopping.set()
    await asyncio.wait_for(running, timeout=5)

    row = await database.row("SELECT status, worker_id, stalls FROM sync_slices")
    assert tuple(row) == ("pending", None, 0)


async def test_a_lease_is_kept_while_a_page_takes_longer_than_it(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    world.put(data_publicacao=f"{CLOSED_DAY}T10:00:00")
    portal = await portals.serve(world)
    portal.quirks.add("latency", match={"service": "consulta"}, value=4000)
    execution_id = await database.planned()
    client = await portals.client(portal)
    for _ in range(2):
        workers.start(client, lease_seconds=2)

    assert (await finished(database, execution_id)).records_processed == 1
    assert await database.value("SELECT attempt FROM sync_slices") == 1


async def test_a_worker_lets_go_of_a_slice_that_it_cannot_renew(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    portal = await portals.serve(world)
    portal.quirks.add("hang", times=1)
    execution_id = await database.planned([piece(modalidade=6), piece(modalidade=8)])
    workers.start(await portals.client(portal, timeout_seconds=60), lease_seconds=1, slots=1)
    await eventually(lambda: listing_pages(portal) == [1])
    await database.rows("UPDATE sync_slices SET worker_id = 'other', attempt = 2 WHERE status = 'running'")

    await finished(database, execution_id, seconds=10)

    rows = await database.rows("SELECT status, attempt FROM sync_slices ORDER BY ordinal")
    assert [tuple(row) for row in rows] == [("success", 3), ("success", 1)], "it took both, each when it was free"


async def test_an_execution_whose_closer_died_is_closed(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    execution_id = await database.planned()
    await database.run(slices.finish, await database.claim())
    portal = await portals.serve(world)
    workers.start(await portals.client(portal))

    assert (await finished(database, execution_id)).status == "success"


async def test_a_worker_shows_that_it_lives_and_forgets_those_long_gone(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    await database.rows("INSERT INTO workers (id, last_seen_at) VALUES ('gone', now() - interval '8 days')")
    await database.rows("INSERT INTO workers (id, last_seen_at) VALUES ('away', now() - interval '6 days')")
    portal = await portals.serve(world)
    worker, running = workers.start(await portals.client(portal), lease_seconds=0.4)
    beats = []

    async def has_beaten_thrice() -> bool:
        beats.extend(await database.rows("SELECT last_seen_at FROM workers WHERE id = :id", id=worker.id))
        return len(set(beats)) >= 3

    await eventually(has_beaten_thrice)
    worker.stopping.set()
    await running

    rows = await database.rows("SELECT id, stopped_at IS NOT NULL FROM workers")
    assert {tuple(row) for row in rows} == {("away", False), (worker.id, True)}


# --- planning ---------------------------------------------------------------------------------------------------


async def test_with_a_broker_an_announced_execution_is_planned_at_once_and_others_later(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    silent, announced = await database.requested(), await database.requested()
    portal = await portals.serve(world)
    worker, _ = workers.start(await portals.client(portal), has_broker=True, **only(MODALIDADE))
    worker.announce(announced)

    assert (await finished(database, announced)).status == "success"
    assert (await database.execution(silent)).planned_at is None
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '31 s' WHERE id = :id", id=silent)
    assert (await finished(database, silent)).status == "success"


@pytest.mark.parametrize("unordered", [False, True], ids=["ascending", "unordered"])
async def test_an_update_takes_what_has_changed_and_nothing_else(
    database: Database, portals: Portals, workers: Workers, world: World, unordered: bool
) -> None:
    options = only(MODALIDADE)
    world.publish(60, at=date(2026, 1, 5), modalidade=MODALIDADE)
    portal = await portals.serve(world)
    if unordered:
        portal.quirks.add("unordered")
    workers.start(await portals.client(portal), **options)
    for touched, published in ((15, 3), (4, 1)):
        world.touch(touched)
        world.publish(published, modalidade=MODALIDADE)

        execution = await finished(database, await database.requested("update"))

        assert (execution.status, execution.error_message) == ("success", None)
        window = execution.window_start.isoformat(), execution.window_end.isoformat()
        expected = truth(world.select("atualizacao", *window))
        assert {key: row for key, row in (await database.mirror()).items() if key in expected} == expected
        assert execution.records_processed == len(expected)
        assert len(expected) >= touched

    stored = await database.mirror()
    assert stored == truth(record for record in world.select("atualizacao") if record.numero_controle_pncp in stored)
    assert len(stored) <= 15 + 3 + 4 + 1


async def test_an_update_begins_where_the_last_successful_one_of_its_modalidade_ended(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    now = to_wall_clock(datetime.now(UTC)).replace(microsecond=0)
    for modalidade, ago in ((6, timedelta(hours=3)), (8, timedelta(minutes=1))):
        old = replace(piece(now.date(), modalidade), window_start=now - timedelta(days=1), window_end=now - ago)
        await database.planned([old], mode="update")
        await database.run(slices.finish, await database.claim())
    portal = await portals.serve(world)
    workers.start(await portals.client(portal), **only(6, 8, 9))

    execution = await finished(database, await database.requested("update"))

    rows = await database.rows("SELECT * FROM sync_slices WHERE execution_id = :id ORDER BY ordinal", id=execution.id)
    assert [row.part for row in rows] == [6, 8, 9]
    assert rows[0].window_start == now - timedelta(hours=3, minutes=10)
    assert {row.window_end - row.window_start for row in rows[1:]} == {timedelta(minutes=15)}
    assert (execution.window_start, execution.window_end) == (rows[0].window_start, rows[0].window_end)


async def test_a_gap_of_more_than_a_week_becomes_a_backfill_of_its_own(database: Database) -> None:
    now = to_wall_clock(datetime.now(UTC)).replace(microsecond=0)
    last_seen = now - timedelta(days=8)
    await database.planned([replace(piece(last_seen.date()), window_end=last_seen)], mode="update")
    await database.run(slices.finish, await database.claim())
    rules = replace(OPTIONS.rules, parts={"contratacoes": (MODALIDADE, 8)})
    for _ in range(2):
        requested = await database.requested("update")
        assert await plan_next(database.engine, rules, older_than_seconds=0, execution_id=requested) == requested
        await database.run(executions.end, requested, status="error", cause="internal")  # the next one waits for that

    update = await database.execution(requested)
    assert update.window_end - update.window_start == timedelta(minutes=15)
    gap = await database.row("SELECT * FROM sync_executions WHERE trigger = 'gap'")
    assert (gap.mode, gap.criterio, gap.parts, gap.status) == ("backfill", "atualizacao", [MODALIDADE], "running")
    assert gap.window_start == last_seen - timedelta(minutes=10)
    assert gap.window_end >= now


# --- failures ---------------------------------------------------------------------------------------------------


def failed_for_a_day(database: Database) -> Callable[[], Awaitable[bool]]:
    """Whether a slice has failed; if so, that was yesterday."""

    async def has_failed() -> bool:
        return bool(
            await database.rows("""
                UPDATE sync_slices SET failing_since = now() - interval '25 h'
                 WHERE failing_since IS NOT NULL RETURNING id
            """)
        )

    return has_failed


async def poisoned_page(database: Database, portals: Portals, world: World) -> tuple[Simulator, int]:
    """Two slices of which one has a page that never comes."""
    world.publish(25, at=CLOSED_DAY, modalidade=6)
    world.publish(5, at=CLOSED_DAY, modalidade=8)
    portal = await portals.serve(world)
    portal.quirks.add("500", match={"modalidade": 6, "page": 2})
    return portal, await database.planned([piece(modalidade=6), piece(modalidade=8)])


async def test_a_failing_slice_waits_longer_each_time_and_goes_on_when_the_portal_does(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    portal, execution_id = await poisoned_page(database, portals, world)
    workers.start(await portals.client(portal))

    async def has_failed_thrice() -> bool:
        return bool(await database.rows("SELECT 1 FROM sync_slices WHERE failures >= 3"))

    await eventually(has_failed_thrice)
    row = await database.row("SELECT * FROM sync_slices WHERE part = 6")
    assert row.error_message.startswith("/consulta/v1/contratacoes/publicacao: status 500")
    assert row.cause == "no_answer"
    assert row.stalls <= 1, "the portal's failures are not the worker's"
    portal.quirks.reset()

    execution = await finished(database, execution_id)
    await assert_mirrored(database, world, execution)
    assert await database.value("SELECT count(*) FROM sync_slices WHERE num_nulls(cause, error_message) < 2") == 0


async def test_a_page_that_never_comes_ends_in_an_error_that_names_it_and_what_was_read_stays(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    portal, execution_id = await poisoned_page(database, portals, world)
    workers.start(await portals.client(portal))

    await eventually(failed_for_a_day(database))
    execution = await finished(database, execution_id)

    assert execution.status == "error"
    error = "/consulta/v1/contratacoes/publicacao: status 500"
    assert execution.error_message.startswith(f"1 of 2 slices failed: 2025-03-10 modalidade 6: {error}")
    slices = await database.rows("SELECT status, cause, error_message, attempt FROM sync_slices ORDER BY ordinal")
    assert [(row.status, row.cause) for row in slices] == [("error", "no_answer"), ("success", None)]
    assert execution.cause == "no_answer"
    assert slices[0].error_message.startswith(error)
    assert slices[0].attempt > 1, "the first claim had committed pages, so that there was a second"
    assert execution.records_processed == len(await database.mirror()) == 20


async def test_a_listing_that_never_adds_up_ends_in_an_error_that_says_how_many_are_missing(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    world.publish(15, at=CLOSED_DAY, modalidade=6)
    portal = await portals.serve(world)
    portal.quirks.add("total_records", value="+3")
    execution_id = await database.planned()
    await database.rows("UPDATE sync_slices SET failing_since = now() - interval '25 h'")
    workers.start(await portals.client(portal))

    execution = await finished(database, execution_id)

    assert execution.status == "error"
    assert "3 of 18 records are missing from the listing, after 4 readings" in execution.error_message
    assert execution.cause == "incomplete"
    assert len(await database.mirror()) == 15


async def test_a_listing_without_end_is_given_up_when_its_patience_ends(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    world.publish(10, at=CLOSED_DAY, modalidade=6)
    client: Any = EndlessClient(await portals.client(await portals.serve(world)))
    execution_id = await database.planned()
    workers.start(client)
    await eventually(failed_for_a_day(database))

    execution = await finished(database, execution_id)

    assert execution.status == "error"
    assert "20 pages in a row" in execution.error_message
    assert execution.cause == "incomplete"
    assert await database.value("SELECT max(attempt) FROM sync_slices") > 1, "only the first claim was progress"
    assert execution.records_processed == len(await database.mirror()) == 10
    assert await database.rows("SELECT 1 FROM sync_pages") == []


async def test_a_request_that_is_disputed_ends_its_slice_and_no_other(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    portal, execution_id = await poisoned_page(database, portals, world)
    portal.quirks.reset()
    portal.quirks.add("422", match={"modalidade": 6})
    workers.start(await portals.client(portal))

    execution = await finished(database, execution_id)

    assert "1 of 2 slices failed: 2025-03-10 modalidade 6:" in execution.error_message
    assert "status 422" in execution.error_message
    assert execution.cause == "portal_refused"
    assert await database.value("SELECT max(attempt) FROM sync_slices") == 1
    assert execution.records_processed == 5


class BrokenClient:
    """Fails in an unforeseen way."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.source = SharedSource(engine)

    def page_size(self, _: Any) -> int:
        return 10

    async def fetch_page(self, *_: Any, **__: Any) -> None:
        raise ZeroDivisionError


async def test_an_unforeseen_error_is_tried_six_times_and_harms_no_other_slice(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    execution_id = await database.planned()
    worker, running = workers.start(cast("PncpClient", BrokenClient(database.engine)), slice_retry_seconds=0.001)

    execution = await finished(database, execution_id)

    assert execution.error_message == (
        "1 of 1 slices failed: 2025-03-10 modalidade 6:"
        " 6 workers in a row ended without a page: unexpected ZeroDivisionError"
    )
    assert execution.cause == "stalled"
    assert (await database.row("SELECT attempt FROM sync_slices")).attempt == 6
    assert not running.done(), "the worker outlives it"
    worker.stopping.set()
    portal = await portals.serve(world)
    workers.start(await portals.client(portal))
    assert (await finished(database, await database.requested())).status == "success"


async def test_an_execution_that_was_ended_from_outside_stops_its_work(
    database: Database, portals: Portals, workers: Workers, three_days: World
) -> None:
    portal = await portals.serve(three_days)
    portal.quirks.latency_ms = 20
    execution_id = await database.requested(last=LAST_DAY)
    worker, running = workers.start(await portals.client(portal))
    await eventually(pages_committed(database, 5))
    await database.run(executions.end, execution_id, status="error", cause="internal", error_message="cancelled")
    ended = await database.execution(execution_id)
    worker.stopping.set()
    await running

    assert await database.execution(execution_id) == ended
    assert ended.records_processed == len(await database.mirror())
    assert await database.value("SELECT count(*) FROM sync_slices WHERE status IN ('pending', 'running')") == 0


async def test_an_execution_that_cannot_be_planned_is_ended_and_the_next_one_is_planned(
    engine: AsyncEngine, database: Database
) -> None:
    broken = await database.run(admission.create, mode="backfill", window_start=None, window_end=None, trigger="api")
    sound = await database.run(
        admission.create,
        mode="backfill",
        window_start=datetime(2025, 3, 10),
        window_end=datetime(2025, 3, 10, 23, 59, 59),
        trigger="api",
    )

    planned = [await plan_next(engine, OPTIONS.rules, older_than_seconds=0) for _ in range(3)]

    assert planned == [broken, sound, None]
    rows = await database.rows("SELECT status, error_message FROM sync_executions ORDER BY id")
    assert [tuple(row) for row in rows] == [("error", "planning failed: ValueError"), ("running", None)]
