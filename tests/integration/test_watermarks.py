"""What has been read without a gap: one row per listing of changes, which moves only where a reading adjoins."""

import asyncio
import itertools
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from backend.services import dashboard
from common import watermarks
from common.clock import BRASILIA, to_wall_clock
from common.lifecycle import Criterio, Mode, admission, executions, slices
from common.lifecycle.slices import Claim, PageCounts, PlannedSlice
from common.watermarks import Beyond, Watermark
from ingestor.planning import LONGEST_GAP, Rules, plan_next
from tests.integration.conftest import Database, piece

RULES = Rules({"contratacoes": (6,)}, timedelta(minutes=15), timedelta(minutes=10))
MINUTE, HOUR, DAY, SECOND = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
NOON = datetime(2026, 3, 10, 12)  # wall clock


@pytest.fixture(autouse=True)
def read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dashboard shares no reading between the questions of these tests."""
    monkeypatch.setattr(dashboard, "FRESH_SECONDS", 0.0)


def span(start: datetime, end: datetime, modalidade: int = 6) -> PlannedSlice:
    return PlannedSlice(modalidade, start.date(), end.date(), start, end)


def wall_clock(ago: timedelta = timedelta()) -> datetime:
    return (datetime.now(BRASILIA) - ago).replace(tzinfo=None, microsecond=0)


async def claimed(
    database: Database, *pieces: PlannedSlice, mode: Mode = "backfill", criterio: Criterio = "atualizacao"
) -> list[Claim]:
    """The slices of one new execution, all held by one worker."""
    await database.planned(pieces, mode=mode, criterio=criterio)
    return [await database.claim() for _ in pieces]


async def read(
    database: Database, *pieces: PlannedSlice, mode: Mode = "backfill", criterio: Criterio = "atualizacao"
) -> None:
    """An execution of these slices, which all succeed."""
    claims = await claimed(database, *pieces, mode=mode, criterio=criterio)
    for claim in claims:
        assert await database.run(slices.finish, claim)
    await database.run(executions.close, claims[0].execution_id)


async def mark(database: Database, modalidade: int = 6) -> Watermark | None:
    return (await database.run(watermarks.load, [modalidade], resource="contratacoes")).get(modalidade)


async def stretch(database: Database) -> tuple[datetime, datetime]:
    found = await mark(database)
    assert found is not None
    return found.since, found.reached


async def freshness(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/sync/dashboard")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["freshness"]
    return found


# --- the row ----------------------------------------------------------------------------------------------------


async def test_the_first_update_begins_the_row_and_a_backfill_does_not(database: Database) -> None:
    await read(database, span(NOON - DAY, NOON))
    await read(database, span(NOON - DAY, NOON), criterio="publicacao")
    assert await mark(database) is None

    await read(database, span(NOON, NOON + HOUR), mode="update")

    assert await mark(database) == Watermark(NOON - DAY, NOON + HOUR, None), "what adjoins is taken in"


@pytest.mark.parametrize(
    ("start", "reached"),
    [
        (NOON - 2 * HOUR, NOON + HOUR),
        (NOON, NOON + HOUR),
        (NOON + SECOND, NOON + HOUR),  # windows are whole seconds, ends included
        (NOON + 2 * SECOND, NOON),
        (NOON + 30 * MINUTE, NOON),
    ],
)
async def test_it_moves_only_where_a_reading_adjoins(database: Database, start: datetime, reached: datetime) -> None:
    await read(database, span(NOON - HOUR, NOON), mode="update")
    await read(database, span(start, NOON + HOUR), mode="update")
    assert (await stretch(database))[1] == reached


async def test_it_never_moves_back_and_failures_do_not_move_it(database: Database) -> None:
    await read(database, span(NOON - HOUR, NOON), mode="update")
    await read(database, span(NOON - HOUR, NOON - MINUTE))
    (claim,) = await claimed(database, span(NOON, NOON + HOUR), mode="update")
    await database.run(slices.fail, claim, "no_answer", "status 503")
    assert await stretch(database) == (NOON - HOUR, NOON)


async def test_a_slice_that_ends_with_its_last_page_moves_it_too(database: Database) -> None:
    await read(database, span(NOON - HOUR, NOON), mode="update")
    (claim,) = await claimed(database, span(NOON, NOON + HOUR), mode="update")
    await database.run(
        slices.advance,
        claim,
        PageCounts(processed=1),
        pages_done=1,
        pages_total=1,
        total_registros=1,
        lease_seconds=60,
        finishes=True,
    )
    assert (await stretch(database))[1] == NOON + HOUR


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
async def test_the_days_of_a_gap_end_in_any_order_and_take_in_what_was_read_beyond(
    database: Database, order: tuple[int, ...]
) -> None:
    await read(database, span(NOON - HOUR, NOON), mode="update")
    beyond = NOON + 3 * DAY
    await read(database, span(beyond - HOUR, beyond), mode="update")
    await read(database, span(beyond - MINUTE, beyond + HOUR), mode="update")
    assert (await stretch(database))[1] == NOON
    midnight = NOON.replace(hour=0)
    days = [span(NOON, midnight + DAY - SECOND)]
    days += [span(midnight + n * DAY, midnight + (n + 1) * DAY - SECOND) for n in (1, 2)]
    days += [span(midnight + 3 * DAY, beyond - HOUR)]

    claims = await claimed(database, *days)
    for n in order[:-1]:
        await database.run(slices.finish, claims[n])
    missing = order[-1]
    assert (await stretch(database))[1] == (days[missing - 1].window_end if missing else NOON)
    await database.run(slices.finish, claims[order[-1]])

    assert await stretch(database) == (NOON - HOUR, beyond + HOUR)


async def test_of_two_days_that_end_at_once_the_later_one_sees_both(database: Database) -> None:
    await read(database, span(NOON - HOUR, NOON), mode="update")
    near, far = await claimed(database, span(NOON, NOON + HOUR), span(NOON + HOUR, NOON + 2 * HOUR))

    async with database.engine.connect() as first:
        transaction = await first.begin()
        assert await slices.finish(first, far)
        second = asyncio.create_task(database.run(slices.finish, near))
        await database.someone_waits_for_a_lock()
        await transaction.commit()
        assert await second

    assert (await stretch(database))[1] == NOON + 2 * HOUR


async def test_a_reading_proves_nothing_of_what_came_after_it(database: Database) -> None:
    now = wall_clock()
    await read(database, span(now - HOUR, now - MINUTE), mode="update")
    await read(database, span(now - 2 * MINUTE, now + 6 * HOUR))
    assert now - MINUTE < (await stretch(database))[1] <= wall_clock() + SECOND


async def test_modalidades_move_on_their_own(database: Database) -> None:
    await read(database, span(NOON - HOUR, NOON, 6), span(NOON - HOUR, NOON, 8), mode="update")
    await read(database, span(NOON, NOON + HOUR, 8), mode="update")
    found = await database.run(watermarks.load, [6, 8, 9], resource="contratacoes")
    assert {modalidade: one.reached for modalidade, one in found.items()} == {6: NOON, 8: NOON + HOUR}


async def test_a_million_slices_cost_a_look_into_an_index(database: Database) -> None:
    """Ten thousand here; what is asserted is that no statement walks through them."""
    await read(database, span(NOON - HOUR, NOON), mode="update")
    await database.rows("""
        INSERT INTO sync_slices (execution_id, ordinal, mode, criterio, part, first_day, last_day, window_start,
                                 window_end, status, started_at)
        SELECT 1, n + 1, 'update', 'atualizacao', 6, '2020-01-01', '2020-01-01', t, t + interval '25 minutes',
               'success', now()
          FROM generate_series(1, 10000) n,
               LATERAL (SELECT timestamp '2020-01-01' + n * interval '15 minutes') AS at (t)
    """)
    await database.rows("ANALYZE sync_slices")
    values = {"resource": "contratacoes", "part": 6, "parts": [6], "since": NOON, "reached": NOON, "slice_id": 1}
    for statement in (watermarks._FOLLOW, watermarks._BEYOND, watermarks._READING):
        given = {name: value for name, value in values.items() if f":{name}" in statement.text}
        async with database.engine.connect() as db:
            # whether an index can answer: of a small table the planner may guess that reading it whole is as cheap
            await db.execute(text("SET LOCAL enable_seqscan = off"))
            await db.execute(text("DROP INDEX ix_sync_slices_touched"))  # as is walking through another index
            plan = "\n".join((await db.execute(text(f"EXPLAIN {statement.text}"), given)).scalars())
        assert "Seq Scan on sync_slices" not in plan, plan
        assert "ix_sync_slices_watermark" in plan or "pk_sync_slices" in plan, plan


# --- updates, gaps and what is told of them ---------------------------------------------------------------------


async def update_of(database: Database) -> PlannedSlice:
    """Plan an update as an ingestor does and end it; answers its slice."""
    requested = await database.requested("update")
    assert await plan_next(database.engine, RULES, older_than_seconds=0, execution_id=requested) == requested
    claim = await database.claim()
    assert claim.execution_id == requested
    await database.run(slices.finish, claim)
    await database.run(executions.close, requested)
    return span(claim.window_start, claim.window_end)


async def gaps(database: Database) -> list[Any]:
    return list(await database.rows("SELECT * FROM sync_executions WHERE trigger = 'gap' ORDER BY id"))


async def end_gap(database: Database, *, failing: date | None = None) -> None:
    """Plan what bridges a gap, and end it; the slice of one day may fail."""
    execution_id = (await gaps(database))[-1].id
    assert await plan_next(database.engine, RULES, older_than_seconds=0, execution_id=execution_id) == execution_id
    while (claim := await database.run(slices.claim, "worker", lease_seconds=60)) is not None:
        fails = claim.first_day == failing
        await (database.run(slices.fail, claim, "internal", "no") if fails else database.run(slices.finish, claim))
    assert await database.run(executions.close, execution_id) == ("error" if failing else "success")


async def test_a_gap_of_thirty_days_counts_only_when_it_has_been_read(
    database: Database, api: httpx.AsyncClient
) -> None:
    ended = wall_clock(30 * DAY)
    await read(database, span(ended - DAY, ended), mode="update")
    await read(database, piece(ended.date()), criterio="publicacao")
    await update_of(database)
    assert len(await gaps(database)) == 1

    async def until() -> Any:
        told = await freshness(api)
        assert told["complete_until"] == told["updated_until"]
        return datetime.fromisoformat(told["complete_until"])

    old = ended.replace(tzinfo=BRASILIA)
    assert await until() == old, "the backfill of the gap is pending"
    first = await update_of(database)
    assert len(await gaps(database)) == 1, "no second one while it is under way"

    hole = (ended + 10 * DAY).date()
    await end_gap(database, failing=hole)
    assert to_wall_clock(await until()) == datetime.combine(hole, datetime.min.time()) - SECOND, "it failed on one day"

    await update_of(database)
    _, again = await gaps(database)
    assert again.window_start <= datetime.combine(hole, datetime.min.time())
    assert again.window_end == datetime.combine(hole + DAY, datetime.min.time()), "up to what has been read beyond"
    await end_gap(database)
    assert to_wall_clock(await until()) >= first.window_end, "and the updates beyond are taken in"
    last = await update_of(database)
    assert to_wall_clock(await until()) == last.window_end
    assert len(await gaps(database)) == 2


async def test_two_updates_that_are_planned_at_once_bridge_a_gap_once(database: Database) -> None:
    ended = wall_clock(LONGEST_GAP + DAY)
    await read(database, span(ended - DAY, ended), mode="update")
    requested = [await database.requested("update") for _ in range(2)]
    await asyncio.gather(
        *[plan_next(database.engine, RULES, older_than_seconds=0, execution_id=one) for one in requested]
    )
    assert len(await gaps(database)) == 1


async def test_what_lies_beyond_a_gap_is_told_to_planning(database: Database) -> None:
    await read(database, span(NOON - HOUR, NOON), mode="update")
    assert await database.run(watermarks.load_beyond, [6], resource="contratacoes") == {
        6: Beyond(NOON, NOON, None, is_bridged=False)
    }
    await read(database, span(NOON + 2 * DAY, NOON + 3 * DAY), mode="update")
    await database.run(
        admission.create,
        mode="backfill",
        criterio="atualizacao",
        window_start=NOON + DAY,
        window_end=NOON + 2 * DAY,
        trigger="api",
        parts=[6, 8],
    )
    assert await database.run(watermarks.load_beyond, [6], resource="contratacoes") == {
        6: Beyond(NOON, NOON + 3 * DAY, NOON + DAY, is_bridged=False)
    }
    await database.run(
        admission.create,
        mode="backfill",
        criterio="atualizacao",
        window_start=NOON - MINUTE,
        window_end=NOON + DAY,
        trigger="gap",
    )
    assert (await database.run(watermarks.load_beyond, [6], resource="contratacoes"))[6].is_bridged


async def test_one_update_of_an_empty_mirror_is_fresh_and_not_complete(
    database: Database, api: httpx.AsyncClient
) -> None:
    update = await update_of(database)
    told = await freshness(api)
    assert (told["complete_until"], told["age_seconds"]) == (None, None)
    assert to_wall_clock(datetime.fromisoformat(told["updated_until"])) == update.window_end
    assert 0 <= told["updated_age_seconds"] < 60
    assert told["modalidades"][0]["complete_until"] is None

    before = update.window_start.date() - DAY
    await read(database, piece(before), criterio="publicacao")
    await update_of(database)
    assert (await freshness(api))["complete_until"] is None, "what was published since that day is still missing"

    await read(database, piece(update.window_start.date()), criterio="publicacao")
    last = await update_of(database)
    told = await freshness(api)
    assert to_wall_clock(datetime.fromisoformat(told["complete_until"])) == last.window_end
    assert told["complete_until"] == told["updated_until"]


async def test_the_first_complete_day_is_known_though_its_slices_are_deleted(database: Database) -> None:
    await read(database, piece(NOON.date()), piece((NOON + DAY).date()), criterio="publicacao")
    await database.rows("DELETE FROM sync_executions")
    await read(database, span(NOON - HOUR, NOON), mode="update")
    found = await mark(database)
    assert found is not None
    assert found.complete_from == NOON.date()
