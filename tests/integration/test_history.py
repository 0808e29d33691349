"""What is old of the history is deleted, in small steps, and nothing that the mirror knows with it."""

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services import dashboard, figures
from common import watermarks
from common.clock import BRASILIA
from common.lifecycle import admission, executions, slices
from common.lifecycle.slices import PlannedSlice
from ingestor import history
from ingestor import worker as worker_module
from ingestor.history import ONE_DELETER, delete_old
from ingestor.planning import Rules, plan_next
from ingestor.schedule import run_tick
from ingestor.sources.values import Rejected
from ingestor.store.rejected import keep_rejected
from ingestor.worker import Worker, WorkerOptions
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, Database, OpenApi, Portals, piece
from tests.support import eventually

DAYS = 180
RULES = Rules({"contratacoes": (6, 8)}, timedelta(minutes=15), timedelta(minutes=10))
NOON = datetime(2026, 3, 10, 12)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KEY = "00000000000191-1-000001/2025"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, no readings that are shared, and nothing that stays because it is the newest."""
    monkeypatch.setattr(history, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(history, "KEPT", 0)
    monkeypatch.setattr(dashboard, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)


async def ended(database: Database, *pieces: PlannedSlice, failing: bool = False, **options: Any) -> int:
    """An execution of these slices that has ended."""
    execution_id = await database.planned(pieces or [piece()], **options)
    for _ in pieces or [None]:
        claim = await database.claim()
        assert claim.execution_id == execution_id
        await (database.run(slices.fail, claim, "no_answer", "503") if failing else database.run(slices.finish, claim))
    assert await database.run(executions.close, execution_id) == ("error" if failing else "success")
    return execution_id


async def age(database: Database, *ids: int, days: float = DAYS + 1) -> None:
    """As if these executions, or all of them, had been asked for and had ended so long ago."""
    await database.rows(
        """
        UPDATE sync_executions
           SET created_at = created_at - make_interval(secs => :seconds),
               finished_at = finished_at - make_interval(secs => :seconds)
         WHERE id = ANY(CAST(:ids AS bigint[])) OR CAST(:ids AS bigint[]) = '{}'
        """,
        ids=list(ids),
        seconds=days * 86400.0,
    )


async def delete(database: Database, days: int = DAYS) -> None:
    await delete_old(database.engine, days, asyncio.Event())


async def left(database: Database, table: str = "sync_executions", column: str = "id") -> list[int]:
    return [row[0] for row in await database.rows(f"SELECT {column} FROM {table} ORDER BY 1")]


async def test_what_is_old_goes_with_all_that_belongs_to_it(database: Database) -> None:
    old, failed, young = (
        await ended(database),
        await ended(database, failing=True),
        await ended(database, piece(), piece(CLOSED_DAY, 8)),
    )
    running = await database.planned([piece()])
    await database.run(admission.keep_key, old, "key", "digest")
    await database.rows("""
        INSERT INTO execution_log (execution_id, logged_at, level, event, fields)
        SELECT id, now(), 'info', 'e', '{}' FROM sync_executions
    """)
    await age(database, old, failed, running)
    await age(database, young, days=DAYS - 1)

    await delete(database)

    assert await left(database) == [young, running]
    assert await left(database, "sync_slices", "execution_id") == [young, young, running]
    assert await left(database, "execution_log", "execution_id") == [young, running]
    assert await left(database, "coalesced_keys", "execution_id") == []


async def test_one_that_was_asked_for_long_ago_and_has_just_ended_stays(database: Database) -> None:
    execution_id = await ended(database)
    await age(database, execution_id)
    await database.rows("UPDATE sync_executions SET finished_at = now()")
    await delete(database)
    assert await left(database) == [execution_id]


async def test_it_goes_in_small_transactions_and_an_execution_as_a_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in {"SLICES_AT_ONCE": 3, "EXECUTIONS_AT_ONCE": 2, "ROWS_AT_ONCE": 4}.items():
        monkeypatch.setattr(history, name, most)
    sizes = (1, 1, 1, 5, 2, 2)
    for size in sizes:
        await ended(database, *[piece(CLOSED_DAY + n * DAY) for n in range(size)])
    await database.rows("""
        INSERT INTO execution_log (execution_id, logged_at, level, event, fields)
        SELECT 1, now(), 'info', 'e', '{}' FROM generate_series(1, 9)
    """)
    await age(database)
    steps: list[history.Deleted] = []
    delete_some = history._delete_some

    async def noted(*arguments: Any) -> history.Deleted:
        steps.append(await delete_some(*arguments))
        return steps[-1]

    monkeypatch.setattr(history, "_delete_some", noted)
    await delete(database)

    assert [(step.executions, step.slices, step.lines) for step in steps] == [
        (0, 0, 4),
        (0, 0, 4),
        (2, 2, 1),
        (1, 1, 0),
        (1, 5, 0),
        (1, 2, 0),
        (1, 2, 0),
        (0, 0, 0),
    ]
    assert await left(database) == await left(database, "sync_slices") == await left(database, "execution_log") == []


async def test_one_ingestor_deletes_at_a_time_and_a_stopping_one_does_not_begin(database: Database) -> None:
    await ended(database)
    await age(database)
    async with database.engine.begin() as db:
        await db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_DELETER})
        await delete(database)
        assert len(await left(database)) == 1
    stopping = asyncio.Event()
    stopping.set()
    await delete_old(database.engine, DAYS, stopping)
    assert len(await left(database)) == 1
    await asyncio.gather(*[delete(database) for _ in range(3)])
    assert await left(database) == []


# --- what stays whatever its age ----------------------------------------------------------------------------------


async def test_the_newest_of_each_kind_stays(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT", 1)
    update = PlannedSlice(6, NOON.date(), NOON.date(), NOON - HOUR, NOON)
    older = [
        await ended(database),
        await ended(database, update, mode="update"),
        await ended(database, update, mode="update", failing=True),
    ]
    newer = [
        await ended(database),
        await ended(database, update, mode="update"),
        await ended(database, update, mode="update", failing=True),
    ]
    await age(database)
    await delete(database)
    assert await left(database) == newer
    assert not set(older) & set(newer)


async def test_what_a_retry_repeats_stays_until_it_has_ended(database: Database) -> None:
    failed = await ended(database, failing=True)
    retry = await database.run(admission.retry, failed)
    assert retry is not None
    await age(database, failed)
    await delete(database)
    assert await left(database) == [failed, retry]

    await database.run(slices.finish, await database.claim())
    await database.run(executions.close, retry)
    await delete(database)
    assert await left(database) == [retry]
    assert (await database.execution(retry)).retry_of is None


async def test_what_was_read_beyond_a_gap_stays_until_the_gap_is_read(database: Database) -> None:
    def span(start: datetime, end: datetime) -> PlannedSlice:
        return PlannedSlice(6, start.date(), end.date(), start, end)

    first = await ended(database, span(NOON - HOUR, NOON), mode="update")
    beyond = await ended(database, span(NOON + HOUR, NOON + 2 * HOUR), mode="update")
    await age(database)
    await delete(database)
    assert await left(database) == [beyond]

    gap = await ended(database, span(NOON, NOON + HOUR), criterio="atualizacao")
    mark = (await database.run(watermarks.load, [6], resource="contratacoes"))[6]
    assert (mark.since, mark.reached) == (NOON - HOUR, NOON + 2 * HOUR)
    await age(database)
    await delete(database)
    assert await left(database) == []
    assert first < beyond < gap


# --- what is known does not change --------------------------------------------------------------------------------


async def test_what_has_been_read_and_what_is_owed_is_known_afterwards(database: Database, open_api: OpenApi) -> None:
    await database.rows("INSERT INTO schedules (name, effective_at) VALUES ('sweep', '2020-01-01')")
    night = datetime(2026, 3, 10, 1, tzinfo=BRASILIA)
    outcome = await run_tick(database.engine, RULES, "sweep", night)
    assert outcome is not None
    for execution_id in outcome.execution_ids or []:
        await plan_next(database.engine, RULES, older_than_seconds=0, execution_id=execution_id)
        while (claim := await database.run(slices.claim, "worker", lease_seconds=60)) is not None:
            fails = (claim.criterio, claim.part) == ("publicacao", 8)
            await (
                database.run(slices.fail, claim, "no_answer", "503") if fails else database.run(slices.finish, claim)
            )
        await database.run(executions.close, execution_id)
    update = PlannedSlice(6, date(2026, 3, 9), date(2026, 3, 10), NOON - DAY, NOON)
    await ended(database, update, mode="update")
    await ended(database, piece(date(2026, 3, 10)))
    await ended(database, PlannedSlice(6, NOON.date(), NOON.date(), NOON, NOON + HOUR), mode="update")
    api = await open_api()

    async def known() -> list[Any]:
        days = {"from": "2026-03-01", "to": "2026-03-12"}
        complete = (await api.get("/sync/coverage", params={**days, "modalidade": 6})).json()["days"]
        marks = await database.run(watermarks.load, [6, 8], resource="contratacoes")
        days_read = await database.rows("SELECT * FROM read_days ORDER BY criterio, part, day")
        return [complete, marks, [tuple(row) for row in days_read]]

    before = await known()
    assert before[1][6].complete_from == date(2026, 3, 9)
    await age(database)
    assert len(await left(database)) == 5
    await delete(database)

    assert await left(database) == []
    assert await known() == before
    later = await run_tick(database.engine, RULES, "sweep", night + 2 * DAY)
    assert later is not None
    owed = await database.rows("SELECT criterio, CAST(window_start AS text) FROM sync_executions ORDER BY id")
    assert [tuple(row) for row in owed] == [
        ("publicacao", "2026-03-09 00:00:00"),
        ("atualizacao", "2026-03-09 00:00:00"),
    ], "what failed is owed, what was read is not"


async def test_debts_and_rejected_records_stay_and_resolved_ones_go(database: Database) -> None:
    claim = await database.claimed()
    records = [Rejected(name, "reason", f'{{"{name}": 1}}', "contratacoes") for name in ("open", "old", "young")]
    for record in records:
        await database.run(keep_rejected, record, execution_id=claim.execution_id, slice_id=claim.slice_id)
    resolve = "UPDATE rejected_records SET resolved_at = now() - make_interval(days => :days) WHERE natural_key = :key"
    await database.rows(resolve, key="old", days=DAYS + 1)
    await database.rows(resolve, key="young", days=DAYS - 1)
    await database.rows(
        """
        INSERT INTO contratacoes (numero_controle_pncp, data_publicacao_pncp, data_atualizacao, data_atualizacao_global,
                                  payload)
        VALUES (:key, :noon, :noon, :noon, '{}')
        """,
        key=KEY,
        noon=NOON,
    )
    await database.rows(
        "INSERT INTO itens_owed (numero_controle_pncp, as_of, reason, execution_id)"
        " VALUES (:key, :noon, 'unread', :id)",
        key=KEY,
        noon=NOON,
        id=claim.execution_id,
    )
    await database.run(slices.finish, claim)
    await database.run(executions.close, claim.execution_id)
    await age(database)

    await delete(database)

    assert await left(database) == []
    rejected = await database.rows("SELECT natural_key, execution_id, slice_id, day FROM rejected_records ORDER BY 1")
    assert [tuple(row) for row in rejected] == [("open", None, None, CLOSED_DAY), ("young", None, None, CLOSED_DAY)]
    debt = await database.row("SELECT numero_controle_pncp, execution_id FROM itens_owed")
    assert tuple(debt) == (KEY, None)

    again = Rejected("late", "reason", "{}", "contratacoes")
    await database.run(keep_rejected, again, execution_id=claim.execution_id, slice_id=claim.slice_id)
    late = await database.row("SELECT execution_id, slice_id FROM rejected_records WHERE natural_key = 'late'")
    assert tuple(late) == (None, None), "work on what a deleted execution has left"


async def test_the_history_counts_what_is_there_and_metrics_what_ever_was(
    database: Database, open_api: OpenApi
) -> None:
    api = await open_api()
    for failing in (False, False, True):
        await ended(database, failing=failing)
    cancelled = await database.planned()
    await database.run(executions.cancel, cancelled, "admin")
    await database.rows("UPDATE sync_executions SET records_processed = id, records_rejected = 1, duration_seconds = 2")

    async def totals() -> dict[str, Any]:
        answer = (await api.get("/sync/history")).json()
        return {name: answer[name] for name in ("total_count", "success_count", "error_count")}

    async def metrics() -> list[str]:
        wanted = ("pncp_executions_finished_total", "pncp_execution_duration_seconds_total", "pncp_records_")
        return [line for line in (await api.get("/metrics")).text.splitlines() if line.startswith(wanted)]

    before = await metrics()
    assert await totals() == {"total_count": 4, "success_count": 2, "error_count": 2}
    labels = 'mode="backfill",resource="contratacoes",status="cancelled",trigger="api"'
    assert f"pncp_executions_finished_total{{{labels}}} 1.0" in before
    await age(database, 1, 3, cancelled)
    await delete(database)
    assert await totals() == {"total_count": 1, "success_count": 1, "error_count": 0}
    assert await metrics() == before

    await age(database)
    await delete(database)
    assert (await totals())["total_count"] == 0
    assert await metrics() == before


# --- in a worker --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [DAYS, 0])
async def test_a_worker_deletes_what_is_old_and_with_zero_keeps_all(
    engine: AsyncEngine, database: Database, portals: Portals, world: World, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    monkeypatch.setattr(worker_module, "HISTORY_SECONDS", 0.02)
    await ended(database)
    await age(database)
    options = WorkerOptions(RULES, slots=1, lease_seconds=60, slice_retry_seconds=0.1, has_broker=True)
    client = await portals.client(await portals.serve(world))
    worker = Worker(engine, client, replace(options, history_days=days))
    working = asyncio.create_task(worker.run())
    try:
        if days:
            await eventually(lambda: is_empty(database))
            second = await ended(database, piece(CLOSED_DAY + DAY))
            await age(database, second)
            await eventually(lambda: is_empty(database))
        else:
            another = await database.planned([piece(CLOSED_DAY + DAY)])
            await eventually(lambda: has_ended(database, another))
            assert await left(database) == [1, another]
    finally:
        worker.stopping.set()
        await working


async def has_ended(database: Database, execution_id: int) -> bool:
    return bool((await database.execution(execution_id)).status != "running")


async def is_empty(database: Database) -> bool:
    return await left(database) == []
