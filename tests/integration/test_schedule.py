"""The schedule on a real database: one of many tickers is elected, skips are recorded, sweeps owe what is unread."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.clock import BRASILIA
from common.cron import CronError
from common.database import create_engine
from common.lifecycle import admission, executions, slices
from common.lifecycle.executions import Execution
from ingestor import settling
from ingestor.planning import Rules, backfill_slices, plan_next
from ingestor.schedule import KEEP_TICKS_DAYS, Outcome, run_tick, tick
from ingestor.worker import Worker, WorkerOptions
from simulator.world import World
from tests.integration.conftest import Portals, Proxy
from tests.support import eventually

CRONS = {"update": "*/15 * * * *", "sweep": "0 1 * * *"}
RULES = Rules({"contratacoes": (6, 8)}, timedelta(minutes=15), timedelta(minutes=10))
OPTIONS = WorkerOptions(RULES, slots=2, lease_seconds=60, slice_retry_seconds=0.1, has_broker=True)
NIGHT = datetime(2026, 3, 10, 1, tzinfo=BRASILIA)  # a Tuesday
SUNDAY_NIGHT = datetime(2026, 3, 15, 1, tzinfo=BRASILIA)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
async def known_schedules(engine: AsyncEngine) -> None:
    """Both have been looked after for years, so that any tick of the tests' may be due."""
    async with engine.begin() as db:
        await db.execute(
            text("INSERT INTO schedules (name, effective_at) VALUES ('update', '2020-01-01'), ('sweep', '2020-01-01')")
        )


async def rows(engine: AsyncEngine, statement: str, **parameters: Any) -> list[Any]:
    async with engine.connect() as db:
        return [tuple(row) for row in await db.execute(text(statement), parameters)]


async def cron_of_the_minute(engine: AsyncEngine, minutes_ago: int) -> str:
    """A cron that came up so many minutes ago, and does not again before tomorrow."""
    ((moment,),) = await rows(engine, "SELECT now()")
    then = moment.astimezone(BRASILIA) - timedelta(minutes=minutes_ago)
    return f"{then.minute} {then.hour} * * *"


async def finish(engine: AsyncEngine, execution_id: int, *failing: tuple[date, int]) -> str | None:
    """Plan an execution as an ingestor does and end all its slices, those of these days and modalidades as failed."""
    await plan_next(engine, RULES, older_than_seconds=0, execution_id=execution_id)
    async with engine.begin() as db:
        while (claim := await slices.claim(db, "worker", lease_seconds=60)) is not None:
            assert claim.execution_id == execution_id
            fails = (claim.first_day, claim.part) in failing
            await (
                slices.fail(db, claim, "portal_refused", "the portal said no") if fails else slices.finish(db, claim)
            )
    async with engine.begin() as db:
        return await executions.close(db, execution_id)


async def sweep(engine: AsyncEngine, at: datetime, name: str = "sweep") -> dict[int, tuple[str, str, str]]:
    """Run a sweep's tick: execution -> criterio and days of its window."""
    async with engine.begin() as db:
        await db.execute(
            text("INSERT INTO schedules (name, effective_at) VALUES (:name, '2020-01-01') ON CONFLICT DO NOTHING"),
            {"name": name},
        )
    outcome = await run_tick(engine, RULES, name, at)
    assert outcome is not None
    assert outcome.skipped_reason is None
    listed = await rows(
        engine,
        "SELECT id, criterio, window_start, window_end FROM sync_executions WHERE id = ANY(:ids) ORDER BY id",
        ids=outcome.execution_ids,
    )
    assert {end.time() for *_, end in listed} == {time(23, 59, 59)}
    assert {start.time() for *_, start, _ in listed} == {time(0)}
    return {one: (criterio, str(start.date()), str(end.date())) for one, criterio, start, end in listed}


# Election


async def test_of_five_ingestors_that_see_one_tick_one_starts_it(engine: AsyncEngine) -> None:
    outcomes = await asyncio.gather(*[run_tick(engine, RULES, "update", NIGHT) for _ in range(5)])

    assert sorted(outcome is None for outcome in outcomes) == [False, True, True, True, True]
    assert await rows(engine, "SELECT mode, trigger, criterio, window_start FROM sync_executions") == [
        ("update", "schedule", "atualizacao", None)
    ]
    assert await rows(engine, "SELECT schedule, due_at, execution_ids, skipped_reason FROM schedule_ticks") == [
        ("update", NIGHT, [1], None)
    ]


async def test_five_ingestors_that_look_at_once_start_one_update_and_one_sweep(engine: AsyncEngine) -> None:
    crons = {"update": await cron_of_the_minute(engine, 1), "sweep": await cron_of_the_minute(engine, 2)}

    started = await asyncio.gather(*[tick(engine, RULES, crons) for _ in range(5)])
    again = await tick(engine, RULES, crons)

    assert len([one for ids in started for one in ids]) == 3
    assert again == []
    triggers = await rows(engine, "SELECT trigger, count(*) FROM sync_executions GROUP BY 1 ORDER BY 1")
    assert triggers == [("schedule", 1), ("sweep", 2)]
    assert await rows(engine, "SELECT count(*) FROM schedule_ticks") == [(2,)]


async def test_a_new_database_makes_up_for_nothing(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        await db.execute(text("DELETE FROM schedules"))
    crons = {"update": await cron_of_the_minute(engine, 2), "sweep": await cron_of_the_minute(engine, 2)}

    await asyncio.gather(*[tick(engine, RULES, crons) for _ in range(5)])
    await tick(engine, RULES, crons)

    assert await rows(engine, "SELECT name FROM schedules ORDER BY name") == [("sweep",), ("update",)]
    assert await rows(engine, "SELECT count(*) FROM schedule_ticks") == [(0,)]


async def test_a_tick_that_was_missed_for_more_than_ten_minutes_is_dropped(engine: AsyncEngine) -> None:
    crons = {"update": await cron_of_the_minute(engine, 12), "sweep": await cron_of_the_minute(engine, 12)}
    assert await tick(engine, RULES, crons) == []
    assert await rows(engine, "SELECT count(*) FROM schedule_ticks") == [(0,)]


async def test_a_tick_that_fails_half_way_leaves_nothing_and_is_run_by_the_next_look(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = admission.create

    async def create_once(db: AsyncConnection, **fields: Any) -> int | None:
        if fields["criterio"] == "atualizacao":
            raise OSError("the database went away between the two executions")
        return await create(db, **fields)

    monkeypatch.setattr(admission, "create", create_once)
    with pytest.raises(OSError, match="went away"):
        await run_tick(engine, RULES, "sweep", NIGHT)
    assert await rows(engine, "SELECT count(*) FROM sync_executions") == [(0,)]
    assert await rows(engine, "SELECT count(*) FROM schedule_ticks") == [(0,)]

    monkeypatch.undo()
    assert len(await sweep(engine, NIGHT)) == 2


async def test_old_ticks_are_forgotten(engine: AsyncEngine) -> None:
    kept = timedelta(days=KEEP_TICKS_DAYS)
    for due_at in (NIGHT, NIGHT + DAY, NIGHT + DAY + kept):
        await run_tick(engine, RULES, "update", due_at)
    assert await rows(engine, "SELECT due_at FROM schedule_ticks ORDER BY due_at") == [
        (NIGHT + DAY,),
        (NIGHT + DAY + kept,),
    ]


# Skips and pauses


async def test_an_update_whose_predecessor_is_unfinished_is_recorded_as_skipped(engine: AsyncEngine) -> None:
    await run_tick(engine, RULES, "update", NIGHT)

    skipped = await run_tick(engine, RULES, "update", NIGHT + timedelta(minutes=15))
    await finish(engine, 1)
    after = await run_tick(engine, RULES, "update", NIGHT + timedelta(minutes=30))

    assert skipped == Outcome(skipped_reason="a execução 1 ainda não terminou")
    assert after == Outcome([2])
    ticks = await rows(engine, "SELECT execution_ids, skipped_reason FROM schedule_ticks ORDER BY due_at")
    assert ticks == [([1], None), (None, "a execução 1 ainda não terminou"), ([2], None)]


async def test_a_requested_update_is_a_predecessor_too_and_a_backfill_is_none(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as db:
        window = {"window_start": datetime(2025, 1, 1), "window_end": datetime(2025, 1, 2)}
        await admission.create(db, mode="backfill", trigger="api", **window)
    assert await run_tick(engine, RULES, "update", NIGHT) == Outcome([2])
    async with engine.begin() as db:
        await executions.end(db, 2, status="error", cause="internal", error_message="cancelled")
        await admission.create(db, mode="update", window_start=None, window_end=None, trigger="api")
    outcome = await run_tick(engine, RULES, "update", NIGHT + timedelta(minutes=15))
    assert outcome == Outcome(skipped_reason="a execução 3 ainda não terminou")


async def test_a_sweep_waits_for_both_executions_of_the_last_one_and_not_for_updates(engine: AsyncEngine) -> None:
    first, second = await sweep(engine, NIGHT)
    await run_tick(engine, RULES, "update", NIGHT)
    async with engine.begin() as db:
        await executions.end(db, first, status="success")
    outcome = await run_tick(engine, RULES, "sweep", NIGHT + DAY)
    assert outcome == Outcome(skipped_reason=f"a execução {second} ainda não terminou")


async def test_a_sweep_adds_what_there_is_room_for_and_an_update_needs_none(engine: AsyncEngine) -> None:
    assert await run_tick(engine, RULES, "sweep", NIGHT, at_most=1) == Outcome([1])
    assert await run_tick(engine, RULES, "update", NIGHT, at_most=1) == Outcome([2])
    async with engine.begin() as db:
        await executions.end(db, 1, status="success")

    full = await run_tick(engine, RULES, "sweep", NIGHT + DAY, at_most=1)
    assert full == Outcome(skipped_reason="já há 1 execuções em andamento")


async def test_a_paused_schedule_starts_nothing_and_records_nothing(engine: AsyncEngine) -> None:
    crons = {"update": await cron_of_the_minute(engine, 1), "sweep": await cron_of_the_minute(engine, 1)}
    pause = "UPDATE schedules SET paused_at = now(), paused_by = 'an administrator', pause_reason = 'because'"
    async with engine.begin() as db:
        await db.execute(text(f"{pause} WHERE name = 'update'"))

    await tick(engine, RULES, crons)

    assert await run_tick(engine, RULES, "update", NIGHT) is None
    assert await rows(engine, "SELECT DISTINCT schedule FROM schedule_ticks") == [("sweep",)]


async def test_ticks_before_a_schedule_was_changed_or_resumed_are_not_made_up_for(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        await db.execute(text("UPDATE schedules SET effective_at = now() - interval '150 s'"))
    crons = {"update": await cron_of_the_minute(engine, 3), "sweep": await cron_of_the_minute(engine, 1)}
    await tick(engine, RULES, crons)
    assert await rows(engine, "SELECT DISTINCT schedule FROM schedule_ticks") == [("sweep",)]


async def test_an_administrator_s_cron_goes_before_the_setting(engine: AsyncEngine) -> None:
    theirs, setting = await cron_of_the_minute(engine, 1), await cron_of_the_minute(engine, 60)
    async with engine.begin() as db:
        await db.execute(text("UPDATE schedules SET cron = :cron WHERE name = 'update'"), {"cron": theirs})
    await tick(engine, RULES, {"update": setting, "sweep": setting})
    assert await rows(engine, "SELECT DISTINCT schedule FROM schedule_ticks") == [("update",)]


# What is planned


async def test_what_the_schedule_started_is_planned_at_once_and_a_request_waits_for_its_message(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as db:
        await admission.create(db, mode="update", window_start=None, window_end=None, trigger="api")
    (publicacao, atualizacao) = await sweep(engine, NIGHT)

    planned = [await plan_next(engine, RULES, older_than_seconds=30) for _ in range(3)]

    assert planned == [publicacao, atualizacao, None]


async def test_a_sweep_is_planned_as_a_slice_per_day_and_modalidade(engine: AsyncEngine) -> None:
    (first, _) = await sweep(engine, NIGHT)
    await plan_next(engine, RULES, older_than_seconds=0, execution_id=first)
    day = NIGHT.date() - DAY
    window = (datetime.combine(day, time.min), datetime.combine(day, time(23, 59, 59)))
    expected = backfill_slices(
        Execution(first, "contratacoes", "backfill", "publicacao", *window, None), RULES.parts_of("contratacoes")
    )
    found = await rows(
        engine, "SELECT part, first_day, last_day, window_start, window_end FROM sync_slices ORDER BY ordinal"
    )
    assert found == [tuple(vars(piece).values()) for piece in expected]


# In a worker


async def test_a_worker_waits_calmly_for_a_database_that_is_away_and_then_ticks(
    engine: AsyncEngine,
    database_proxy: tuple[Proxy, str],
    portals: Portals,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settling, "DATABASE_WAIT", (0.05, 0.1))
    proxy, url = database_proxy
    through = create_engine(url, application_name="pncp-tests", pool_size=9)
    tries: list[object] = []
    event.listen(through.sync_engine, "do_connect", lambda *asked: tries.append(asked))
    client = await portals.client(await portals.serve(world))
    cron = await cron_of_the_minute(engine, 1)
    worker = Worker(
        through, client, replace(OPTIONS, crons={"update": cron, "sweep": await cron_of_the_minute(engine, 60)})
    )
    await proxy.cut()
    working = asyncio.create_task(worker.run())
    try:
        await eventually(lambda: len(tries) > 12)  # each of its four loops has tried more than once
        assert not working.done()
        await proxy.mend()

        async def has_updated() -> bool:
            return await rows(engine, "SELECT status FROM sync_executions WHERE trigger = 'schedule'") == [("success",)]

        await eventually(has_updated, seconds=30)
    finally:
        worker.stopping.set()
        await working
        await through.dispose()


async def test_a_fault_in_the_schedule_ends_the_worker(engine: AsyncEngine, portals: Portals, world: World) -> None:
    client = await portals.client(await portals.serve(world))
    with pytest.raises(ExceptionGroup) as ended:
        await Worker(engine, client, replace(OPTIONS, crons={"update": "no cron"})).run()
    assert ended.group_contains(CronError)


# What a sweep owes


async def test_the_first_sweep_takes_yesterday_by_both_criteria(engine: AsyncEngine) -> None:
    assert list((await sweep(engine, NIGHT)).values()) == [
        ("publicacao", "2026-03-09", "2026-03-09"),
        ("atualizacao", "2026-03-07", "2026-03-09"),
    ]


async def test_the_day_is_brasilia_s(engine: AsyncEngine) -> None:
    late = datetime(2026, 3, 11, 2, 30, tzinfo=UTC)  # 23:30 of the 10th there
    assert {last for _, _, last in (await sweep(engine, late)).values()} == {"2026-03-09"}


async def test_a_sweep_follows_the_last_one_also_after_a_week_down(engine: AsyncEngine) -> None:
    for execution_id in await sweep(engine, NIGHT):
        assert await finish(engine, execution_id) == "success"
    for execution_id, (criterio, *span) in (await sweep(engine, NIGHT + DAY)).items():
        assert span == ["2026-03-10" if criterio == "publicacao" else "2026-03-08", "2026-03-10"]
        assert await finish(engine, execution_id) == "success"
    assert {tuple(span) for _, *span in (await sweep(engine, NIGHT + 4 * DAY)).values()} == {
        ("2026-03-11", "2026-03-13")
    }


async def test_where_one_criterio_failed_only_its_day_is_swept_again(engine: AsyncEngine) -> None:
    publicacao, atualizacao = await sweep(engine, NIGHT)
    assert await finish(engine, publicacao) == "success"
    assert await finish(engine, atualizacao, (date(2026, 3, 7), 8)) == "error"

    assert list((await sweep(engine, NIGHT + DAY)).values()) == [
        ("publicacao", "2026-03-10", "2026-03-10"),
        ("atualizacao", "2026-03-07", "2026-03-10"),
    ]


async def test_a_failed_day_stays_owed_when_later_days_have_been_read(engine: AsyncEngine) -> None:
    failing = (date(2026, 3, 9), 6)
    for execution_id in await sweep(engine, NIGHT):
        await finish(engine, execution_id, failing)
    for execution_id in await sweep(engine, NIGHT + DAY):
        assert await finish(engine, execution_id, failing) == "error"

    spans = [span for _, *span in (await sweep(engine, NIGHT + 2 * DAY)).values()]

    assert spans == [["2026-03-09"] * 2, ["2026-03-11"] * 2, ["2026-03-09", "2026-03-11"]]


async def test_a_failed_day_that_a_retry_has_read_is_owed_no_more(engine: AsyncEngine) -> None:
    publicacao, atualizacao = await sweep(engine, NIGHT)
    failing = (date(2026, 3, 9), 6)
    await finish(engine, publicacao, failing)
    await finish(engine, atualizacao)
    for fails in (True, False):  # the retry of a retry counts too
        async with engine.begin() as db:
            (newest,) = (await db.execute(text("SELECT max(id) FROM sync_executions WHERE status = 'error'"))).one()
            retry = await admission.retry(db, newest)
        assert retry is not None
        await finish(engine, retry, *([failing] if fails else []))

    assert ("publicacao", "2026-03-10", "2026-03-10") in (await sweep(engine, NIGHT + DAY)).values()


async def test_a_sweep_that_was_cancelled_before_it_was_planned_is_owed_again(engine: AsyncEngine) -> None:
    for execution_id in await sweep(engine, NIGHT):
        async with engine.begin() as db:
            await executions.cancel(db, execution_id, "an administrator")
    assert list((await sweep(engine, NIGHT + DAY)).values()) == [
        ("publicacao", "2026-03-09", "2026-03-10"),
        ("atualizacao", "2026-03-07", "2026-03-10"),
    ]


async def test_on_a_sunday_the_last_thirty_days_are_read_again_by_publication(engine: AsyncEngine) -> None:
    sunday = datetime(2026, 3, 15, 1, tzinfo=BRASILIA)
    for execution_id in await sweep(engine, sunday - DAY):
        await finish(engine, execution_id)
    assert list((await sweep(engine, sunday)).values()) == [
        ("publicacao", "2026-02-13", "2026-03-14"),
        ("atualizacao", "2026-03-12", "2026-03-14"),
    ]


async def test_a_second_sweep_on_one_day_reads_the_latest_changes_again_and_nothing_else(engine: AsyncEngine) -> None:
    for execution_id in await sweep(engine, NIGHT):
        await finish(engine, execution_id)
    again = await sweep(engine, NIGHT + timedelta(hours=5))
    assert list(again.values()) == [("atualizacao", "2026-03-07", "2026-03-09")]


async def test_what_a_backfill_has_read_whole_after_its_end_is_owed_no_more(engine: AsyncEngine) -> None:
    for execution_id in await sweep(engine, NIGHT):
        await finish(engine, execution_id)
    async with engine.begin() as db:
        window = {"window_start": datetime(2026, 3, 10), "window_end": datetime(2026, 3, 11, 12)}
        other = await admission.create(db, mode="backfill", trigger="api", **window)
    assert other is not None
    await finish(engine, other)
    swept = (await sweep(engine, NIGHT + 2 * DAY)).values()
    assert ("publicacao", "2026-03-11", "2026-03-11") in swept, "the tenth was read whole, half of the eleventh was"


async def test_what_sweeps_owe_is_known_without_the_executions_of_the_past(engine: AsyncEngine) -> None:
    failing = (date(2026, 3, 9), 6)
    for execution_id in await sweep(engine, NIGHT):
        await finish(engine, execution_id, failing)
    async with engine.begin() as db:
        await db.execute(text("DELETE FROM sync_executions"))

    assert list((await sweep(engine, NIGHT + 2 * DAY)).values()) == [
        ("publicacao", "2026-03-09", "2026-03-11"),
        ("atualizacao", "2026-03-09", "2026-03-11"),
    ]


async def test_a_part_that_is_new_owes_what_a_first_sweep_does_and_one_that_is_gone_nothing(
    engine: AsyncEngine,
) -> None:
    for execution_id in await sweep(engine, NIGHT):
        await finish(engine, execution_id, (date(2026, 3, 9), 8))
    others = replace(RULES, parts={"contratacoes": (6, 7)})
    outcome = await run_tick(engine, others, "sweep", NIGHT + 3 * DAY)
    assert outcome is not None
    windows = await rows(
        engine,
        "SELECT CAST(window_start AS text), CAST(CAST(window_end AS date) AS text)"
        "  FROM sync_executions WHERE id = ANY(:ids) AND criterio = 'publicacao'",
        ids=outcome.execution_ids,
    )
    assert windows == [("2026-03-10 00:00:00", "2026-03-12")]
    first = await rows(engine, "SELECT part, day FROM swept_from WHERE criterio = 'publicacao' ORDER BY part")
    assert first == [(6, date(2026, 3, 9)), (7, date(2026, 3, 12)), (8, date(2026, 3, 9))]


async def test_a_sweep_that_found_no_room_stays_owed_from_the_first_on(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        await admission.create(db, mode="update", window_start=None, window_end=None, trigger="api")
    full = await run_tick(engine, RULES, "sweep", NIGHT, at_most=1)
    assert full == Outcome(skipped_reason="já há 1 execuções em andamento")
    assert ("publicacao", "2026-03-09", "2026-03-10") in (await sweep(engine, NIGHT + DAY)).values()


async def test_the_schedules_of_another_resource_start_its_own_executions(engine: AsyncEngine) -> None:
    crons = {"update": "* * * * *", "contratos.update": "* * * * *", "contratos.sweep": "* * * * *"}
    assert await tick(engine, RULES, crons) == []  # opens them
    async with engine.begin() as db:
        await db.execute(text("UPDATE schedules SET effective_at = now() - interval '5 minutes'"))

    await tick(engine, RULES, crons)

    async with engine.connect() as db:
        found = await db.execute(text("SELECT resource, mode, trigger, criterio FROM sync_executions ORDER BY id"))
        assert sorted(tuple(row) for row in found) == [
            ("contratacoes", "update", "schedule", "atualizacao"),
            ("contratos", "backfill", "sweep", "atualizacao"),
            ("contratos", "backfill", "sweep", "publicacao"),
            ("contratos", "update", "schedule", "atualizacao"),
        ]


@pytest.mark.parametrize(
    ("resource", "days"),
    [("atas", ("2026-03-12", "2026-03-14")), ("pcas", ("2026-03-12", "2026-03-14"))],
)
async def test_a_sweep_of_a_resource_that_is_read_by_its_changes_alone_is_one_execution(
    engine: AsyncEngine, resource: str, days: tuple[str, str]
) -> None:
    assert await sweep(engine, SUNDAY_NIGHT, f"{resource}.sweep") == {1: ("atualizacao", *days)}
    await finish(engine, 1)
    monday = await sweep(engine, SUNDAY_NIGHT + DAY, f"{resource}.sweep")
    assert monday == {2: ("atualizacao", "2026-03-13", "2026-03-15")}


async def test_where_a_change_shows_on_the_day_of_inclusion_alone_sundays_read_thirty_days(engine: AsyncEngine) -> None:
    name = "instrumentos_cobranca.sweep"
    assert await sweep(engine, SUNDAY_NIGHT, name) == {1: ("atualizacao", "2026-02-13", "2026-03-14")}
    await finish(engine, 1)
    assert await sweep(engine, SUNDAY_NIGHT + DAY, name) == {2: ("atualizacao", "2026-03-15", "2026-03-15")}


async def test_a_sweep_that_has_nothing_to_read_says_so_and_speaks_of_no_executions(engine: AsyncEngine) -> None:
    for execution_id in await sweep(engine, NIGHT, "instrumentos_cobranca.sweep"):
        await finish(engine, execution_id)

    again = await run_tick(engine, RULES, "instrumentos_cobranca.sweep", NIGHT + timedelta(hours=5))

    assert again == Outcome(skipped_reason="não há dia por ler")
