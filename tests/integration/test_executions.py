"""Every transition of the state machine, and what happens where two of them meet."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle import Criterio, Mode, admission, executions, slices
from common.lifecycle.causes import Cause
from common.lifecycle.executions import PUBLISH_FAILED
from common.lifecycle.slices import MAX_STALLS, Claim, PageCounts
from tests.integration.conftest import CLOSED_DAY, Database, piece

WINDOW = {"window_start": datetime(2025, 3, 10), "window_end": datetime(2025, 3, 12, 23, 59, 59)}
ONE_PAGE = {"pages_done": 1, "pages_total": 3, "total_registros": 25, "lease_seconds": 60.0}


async def remember_page(database: Database, claim: Claim) -> None:
    await database.rows(
        "INSERT INTO sync_pages (slice_id, reading, page, keys, processed, total_registros, total_paginas)"
        " VALUES (:slice_id, 1, 1, '{a}', '{a}', 1, 1)",
        slice_id=claim.slice_id,
    )


async def expire_lease(database: Database, slice_id: int) -> None:
    await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 s' WHERE id = :id", id=slice_id)


# --- create, publish, refuse ------------------------------------------------------------------------------------


async def test_a_new_execution_is_running_and_not_yet_planned(database: Database) -> None:
    created = await database.run(admission.create, mode="backfill", trigger="api", parts=(6, 8), **WINDOW)

    assert created is not None
    row = await database.execution(created)
    assert (row.status, row.planned_at, row.finished_at, row.published_at) == ("running", None, None, None)
    assert (row.window_start, row.window_end) == tuple(WINDOW.values())
    assert (row.criterio, row.parts, row.trigger) == ("publicacao", [6, 8], "api")
    assert await database.run(executions.exists, created)
    assert not await database.run(executions.exists, created + 1)


@pytest.mark.parametrize(
    ("mode", "given", "expected"),
    [
        ("update", None, "atualizacao"),
        ("backfill", None, "publicacao"),
        ("backfill", "atualizacao", "atualizacao"),
    ],
)
async def test_the_criterio_follows_from_the_mode_unless_given(
    database: Database, mode: Mode, given: Criterio | None, expected: str
) -> None:
    created = await database.requested(mode, criterio=given)

    assert (await database.execution(created)).criterio == expected


async def test_one_message_makes_one_row(database: Database) -> None:
    def create(message_id: str | None) -> Awaitable[int | None]:
        return database.run(
            admission.create,
            mode="update",
            window_start=None,
            window_end=None,
            trigger="message",
            message_id=message_id,
        )

    answers = await asyncio.gather(*(create("the same") for _ in range(5)))

    assert sorted(answer is None for answer in answers) == [False, True, True, True, True]
    assert await create("another") is not None
    assert await create(None) is not None
    assert await create(None) is not None, "messages without an identity are never taken for one another"
    assert await database.value("SELECT count(*) FROM sync_executions") == 4


async def test_a_confirmed_message_is_stamped(database: Database) -> None:
    created = await database.requested()
    await database.run(admission.mark_published, created)

    assert (await database.execution(created)).published_at is not None


async def test_a_refused_execution_has_ended_and_is_never_planned(database: Database) -> None:
    created = await database.requested()

    assert await database.run(admission.refuse, created)

    row = await database.execution(created)
    assert (row.status, row.error_message, row.duration_seconds) == ("error", PUBLISH_FAILED, 0)
    assert row.cause == "publish_failed"
    assert row.finished_at is not None
    assert await database.run(executions.lock_unplanned, older_than_seconds=0, execution_id=created) is None
    assert not await database.run(admission.refuse, created), "it can be refused only once"


async def test_a_planned_execution_cannot_be_refused(database: Database) -> None:
    planned = await database.planned()

    assert not await database.run(admission.refuse, planned)
    assert (await database.execution(planned)).status == "running"


async def test_refusing_waits_for_a_planner_and_then_loses(database: Database) -> None:
    created = await database.requested()
    async with database.engine.begin() as planner:
        execution = await executions.lock_unplanned(planner, older_than_seconds=0)
        assert execution is not None
        refusing = asyncio.create_task(database.run(admission.refuse, created))
        await database.someone_waits_for_a_lock()
        await executions.plan(planner, execution, [piece()])

    assert await refusing is False
    assert (await database.execution(created)).status == "running"


async def test_planning_passes_over_an_execution_that_is_being_refused(database: Database) -> None:
    created = await database.requested()
    async with database.engine.begin() as refuser:
        assert await admission.refuse(refuser, created)
        assert await database.run(executions.lock_unplanned, older_than_seconds=0, execution_id=created) is None


# --- planning ---------------------------------------------------------------------------------------------------


async def test_two_planners_never_hold_one_execution(database: Database) -> None:
    first, second = await database.requested(), await database.requested()
    async with database.engine.begin() as one, database.engine.begin() as other, database.engine.begin() as third:
        held = await executions.lock_unplanned(one, older_than_seconds=0)
        beside = await executions.lock_unplanned(other, older_than_seconds=0, execution_id=first)
        nothing = await executions.lock_unplanned(third, older_than_seconds=0)

    assert held is not None
    assert beside is not None
    assert (held.id, beside.id, nothing) == (first, second, None)


async def test_only_what_has_waited_long_enough_is_planned_without_a_message(database: Database) -> None:
    young, old = await database.requested(), await database.requested()
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '31 s' WHERE id = :id", id=old)

    found = await database.run(executions.lock_unplanned, older_than_seconds=30)
    assert found is not None
    assert found.id == old
    await database.run(admission.refuse, old)
    assert await database.run(executions.lock_unplanned, older_than_seconds=30) is None
    planned = await database.run(executions.lock_unplanned, older_than_seconds=30, execution_id=young)
    assert planned is not None
    assert planned.id == young


async def test_a_message_plans_its_own_execution_though_an_older_one_waits(database: Database) -> None:
    old, announced = await database.requested(), await database.requested()
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '1 h' WHERE id = :id", id=old)

    found = await database.run(executions.lock_unplanned, older_than_seconds=30, execution_id=announced)

    assert found is not None
    assert found.id == announced


async def test_planning_writes_the_slices_and_fixes_the_window_as_their_span(database: Database) -> None:
    days = [CLOSED_DAY, CLOSED_DAY + timedelta(days=3)]
    planned = await database.planned([piece(day, modalidade) for day in days for modalidade in (6, 8)])

    row = await database.execution(planned)
    assert row.planned_at is not None
    assert (row.window_start, row.window_end) == (piece(days[0]).window_start, piece(days[1]).window_end)
    slices = await database.rows("SELECT * FROM sync_slices ORDER BY ordinal")
    assert [(each.ordinal, each.first_day, each.part) for each in slices] == [
        (1, days[0], 6),
        (2, days[0], 8),
        (3, days[1], 6),
        (4, days[1], 8),
    ]
    assert {(each.status, each.mode, each.criterio, each.attempt) for each in slices} == {
        ("pending", "backfill", "publicacao", 0)
    }


# --- claiming ---------------------------------------------------------------------------------------------------


async def test_six_workers_claim_two_hundred_slices_each_exactly_once(database: Database) -> None:
    await database.planned([piece(CLOSED_DAY + timedelta(days=day)) for day in range(200)])

    async def work(worker_id: str) -> list[Claim]:
        mine: list[Claim] = []
        while (claim := await database.run(slices.claim, worker_id, lease_seconds=60)) is not None:
            mine.append(claim)
        return mine

    claims = [claim for mine in await asyncio.gather(*(work(f"worker {n}") for n in range(6))) for claim in mine]

    assert len(claims) == 200
    assert len({claim.slice_id for claim in claims}) == 200
    assert {claim.attempt for claim in claims} == {1}
    held = await database.rows("SELECT id, worker_id FROM sync_slices WHERE status = 'running'")
    assert {(row.id, row.worker_id) for row in held} == {(claim.slice_id, claim.worker_id) for claim in claims}


async def test_a_claim_tells_all_that_the_work_needs(database: Database) -> None:
    execution_id = await database.planned([piece(modalidade=8)])

    claim = await database.claim("me")

    row = await database.row("SELECT * FROM sync_slices")
    assert claim == Claim(
        row.id,
        execution_id,
        1,
        "me",
        "contratacoes",
        "backfill",
        "publicacao",
        8,
        CLOSED_DAY,
        CLOSED_DAY,
        piece().window_start,
        piece().window_end,
        reading=1,
        failures=0,
        failing_since=None,
        starts_execution=True,
    )
    assert (row.status, row.worker_id, row.stalls) == ("running", "me", 1)
    assert row.started_at is not None


async def test_updates_go_before_backfills_and_older_executions_before_younger(database: Database) -> None:
    two_days = [piece(), piece(CLOSED_DAY + timedelta(days=1))]
    backfill, other = await database.planned(two_days), await database.planned()
    update = await database.planned(two_days, mode="update")

    claims = [await database.claim() for _ in range(5)]

    assert [claim.execution_id for claim in claims] == [update, update, backfill, backfill, other]
    assert [claim.first_day.day for claim in claims] == [10, 11, 10, 11, 10]


async def test_a_slice_under_a_lease_cannot_be_claimed_until_the_lease_is_over(database: Database) -> None:
    claim = await database.claimed()

    assert await database.run(slices.claim, "other", lease_seconds=60) is None
    await expire_lease(database, claim.slice_id)
    again = await database.claim("other")

    assert (again.slice_id, again.attempt, again.worker_id) == (claim.slice_id, 2, "other")
    assert (await database.slice(claim.slice_id)).stalls == 2


async def test_the_lease_is_as_long_as_asked_by_the_databases_clock(database: Database) -> None:
    await database.planned()
    claim = await database.claim(lease_seconds=90)

    left = await database.value("SELECT extract(epoch FROM lease_until - updated_at) FROM sync_slices")
    assert left == 90
    assert claim.attempt == 1


async def test_a_slice_waits_for_its_run_after(database: Database) -> None:
    await database.planned()
    await database.rows("UPDATE sync_slices SET run_after = now() + interval '1 h'")
    assert await database.run(slices.claim, "me", lease_seconds=60) is None

    await database.rows("UPDATE sync_slices SET run_after = now()")
    assert await database.run(slices.claim, "me", lease_seconds=60) is not None


async def test_a_slice_that_has_used_up_its_stalls_is_ended_and_not_claimed(database: Database) -> None:
    execution_id = await database.planned()
    for _ in range(MAX_STALLS):
        claim = await database.claim()
        assert await database.run(slices.fail_stalled) == set(), "while it is held it may yet commit a page"
        await remember_page(database, claim) if claim.attempt == 1 else None
        await expire_lease(database, claim.slice_id)

    assert await database.run(slices.claim, "me", lease_seconds=60) is None
    assert await database.run(slices.fail_stalled) == {execution_id}
    row = await database.slice(claim.slice_id)
    assert (row.status, row.error_message) == ("error", "6 workers in a row ended without a page")
    assert row.cause == "stalled"
    assert row.finished_at is not None
    assert await database.run(slices.fail_stalled) == set()
    assert await database.value("SELECT count(*) FROM sync_pages") == 0, "an ended slice needs its pages no more"
    assert await database.run(executions.close, execution_id) == "error"


async def test_the_first_claim_starts_the_execution_and_later_ones_change_nothing(database: Database) -> None:
    planned = await database.planned()
    await database.run(executions.mark_started, planned)
    started_at = (await database.execution(planned)).started_at
    await database.run(executions.mark_started, planned)

    assert started_at is not None
    assert (await database.execution(planned)).started_at == started_at
    assert not (await database.claim()).starts_execution


async def test_a_finished_execution_is_not_started(database: Database) -> None:
    created = await database.requested()
    await database.run(admission.refuse, created)
    await database.run(executions.mark_started, created)

    assert (await database.execution(created)).started_at is None


# --- holding ----------------------------------------------------------------------------------------------------


async def test_only_leases_that_are_still_held_are_renewed(database: Database) -> None:
    await database.planned([piece(modalidade=modalidade) for modalidade in (1, 2, 3, 4)])
    mine = [await database.claim("me", lease_seconds=1) for _ in range(3)]
    other = await database.claim("other", lease_seconds=1)
    await expire_lease(database, mine[0].slice_id)
    taken_over = await database.claim("other")
    await database.run(slices.finish, mine[1])

    renewed = await database.run(slices.renew, "me", [*mine, other], lease_seconds=1000)

    assert taken_over.slice_id == mine[0].slice_id
    assert renewed == {mine[2].slice_id}
    longer = await database.rows("SELECT id FROM sync_slices WHERE lease_until > now() + interval '900 s'")
    assert [row.id for row in longer] == [mine[2].slice_id]
    assert await database.run(slices.renew, "me", [], lease_seconds=1) == set()


async def test_a_committed_page_adds_its_counts_and_ends_the_stalling(database: Database) -> None:
    claim = await database.claimed()
    counts = PageCounts(processed=5, inserted=3, updated=1, rejected=1, itens=40)
    for _ in range(2):
        assert await database.run(slices.advance, claim, counts, **ONE_PAGE)

    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_inserted, row.records_updated) == (10, 6, 2)
    assert (row.records_rejected, row.itens_written, row.stalls) == (2, 80, 0)
    assert (row.pages_done, row.pages_total, row.total_registros) == (1, 3, 25)


Transition = Callable[[AsyncConnection, Claim], Awaitable[bool]]
TRANSITIONS: dict[str, Transition] = {
    "hold": slices.hold,
    "advance": lambda db, claim: slices.advance(db, claim, PageCounts(1, 1), **ONE_PAGE),
    "reread": slices.reread,
    "release": slices.release,
    "postpone": lambda db, claim: slices.postpone(
        db, claim, delay_seconds=1, cause="internal", error_message="?", progressed=True
    ),
    "fail": lambda db, claim: slices.fail(db, claim, "internal", "?"),
    "finish": slices.finish,
}


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("lost_by", ["takeover", "same worker again", "ended", "put back"])
async def test_a_claim_that_was_lost_changes_nothing_any_more(database: Database, name: str, lost_by: str) -> None:
    stale = await database.claimed()
    await remember_page(database, stale)
    match lost_by:
        case "takeover" | "same worker again":
            await expire_lease(database, stale.slice_id)
            await database.claim("other" if lost_by == "takeover" else stale.worker_id)
        case "ended":
            await database.run(slices.fail, stale, "internal", "ended")
        case _:
            await database.run(slices.release, stale)
    before = [await database.slice(stale.slice_id), await database.rows("SELECT * FROM sync_pages")]

    assert not await database.run(TRANSITIONS[name], stale)

    assert [await database.slice(stale.slice_id), await database.rows("SELECT * FROM sync_pages")] == before


async def test_a_takeover_passes_over_a_slice_whose_page_is_being_committed(database: Database) -> None:
    claim = await database.claimed()
    await expire_lease(database, claim.slice_id)
    async with database.engine.begin() as db:
        assert await slices.hold(db, claim)
        assert await database.run(slices.claim, "other", lease_seconds=60) is None
        assert await slices.advance(db, claim, PageCounts(), **ONE_PAGE)

    assert await database.run(slices.claim, "other", lease_seconds=60) is None, "the page has renewed the lease"


async def test_rereading_keeps_the_claim_and_begins_with_page_one(database: Database) -> None:
    claim = await database.claimed()
    await database.run(slices.advance, claim, PageCounts(processed=5), **ONE_PAGE)

    assert await database.run(slices.reread, claim)

    row = await database.slice(claim.slice_id)
    assert (row.reading, row.pages_done, row.records_processed, row.status) == (2, 0, 5, "running")


async def test_a_released_slice_is_free_at_once_and_counts_no_stall(database: Database) -> None:
    for attempt in range(1, MAX_STALLS + 3):
        claim = await database.claimed() if attempt == 1 else await database.claim("other")
        assert claim.attempt == attempt
        assert await database.run(slices.release, claim)

    row = await database.slice(claim.slice_id)
    assert (row.status, row.worker_id, row.lease_until, row.stalls) == ("pending", None, None, 0)


# --- putting back and ending ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "failing", "progressed", "put_back"),
    [
        ("update", None, False, True),
        ("update", timedelta(minutes=59), False, True),
        ("update", timedelta(minutes=61), False, False),
        ("update", None, True, True),
        ("backfill", timedelta(hours=23), False, True),
        ("backfill", timedelta(hours=25), False, False),
    ],
)
async def test_a_slice_is_put_back_until_it_has_failed_longer_than_its_patience(
    database: Database, mode: Mode, failing: timedelta | None, progressed: bool, put_back: bool
) -> None:
    await database.planned(mode=mode)
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '9 d', planned_at = created_at")
    await database.rows("UPDATE sync_slices SET failing_since = now() - CAST(:failing AS interval)", failing=failing)
    claim = await database.claim()

    won = await database.run(
        slices.postpone, claim, delay_seconds=100, cause="no_answer", error_message="503", progressed=progressed
    )

    assert won is put_back
    row = await database.slice(claim.slice_id)
    if not put_back:
        assert (row.status, row.worker_id) == ("running", "worker"), "the claim may still end it"
        return
    assert (row.status, row.worker_id, row.lease_until, row.error_message) == ("pending", None, None, "503")
    assert row.cause == "no_answer"
    assert (row.stalls, row.failures) == (0, 1)
    assert (row.run_after - row.updated_at).total_seconds() == 100
    assert timedelta() <= row.updated_at - row.failing_since - (failing or timedelta()) < timedelta(minutes=1)


@pytest.mark.parametrize("shows_new", [True, False])
async def test_a_page_that_shows_something_new_begins_the_patience_anew(database: Database, shows_new: bool) -> None:
    await database.planned()
    await database.rows("UPDATE sync_slices SET failing_since = now() - interval '25 h'")
    claim = await database.claim()
    await database.run(slices.advance, claim, PageCounts(processed=1), **ONE_PAGE, shows_new=shows_new)

    won = await database.run(
        slices.postpone, claim, delay_seconds=1, cause="no_answer", error_message="503", progressed=shows_new
    )

    assert won is shows_new
    row = await database.slice(claim.slice_id)
    assert (row.failing_since == row.updated_at) is shows_new


async def test_failures_in_a_row_are_counted_and_progress_begins_the_count_anew(database: Database) -> None:
    await database.planned()
    seen = []
    for progressed in (False, False, False, True, False):
        await database.rows("UPDATE sync_slices SET run_after = NULL")
        claim = await database.claim()
        seen.append(claim.failures)
        await database.run(
            slices.postpone, claim, delay_seconds=0, cause="no_answer", error_message="503", progressed=progressed
        )

    assert seen == [0, 1, 2, 3, 1]


async def test_a_failure_that_is_not_the_sources_counts_towards_the_stalls(database: Database) -> None:
    await database.planned()
    for stalls in (1, 2, 3):
        claim = await database.claim()
        await database.run(
            slices.postpone,
            claim,
            delay_seconds=0,
            cause="internal",
            error_message="bug",
            progressed=False,
            is_stall=True,
        )
        assert (await database.slice(claim.slice_id)).stalls == stalls


@pytest.mark.parametrize(
    ("ending", "status", "message"), [("finish", "success", None), ("fail", "error", "status 401")]
)
async def test_an_ended_slice_forgets_its_pages_and_keeps_its_counts(
    database: Database, ending: str, status: str, message: str | None
) -> None:
    claim = await database.claimed()
    await database.run(
        slices.postpone, claim, delay_seconds=0, cause="no_answer", error_message="earlier trouble", progressed=True
    )
    claim = await database.claim()
    await remember_page(database, claim)
    await database.run(slices.advance, claim, PageCounts(processed=7), **ONE_PAGE)

    transition = (
        slices.finish if ending == "finish" else lambda db, it: slices.fail(db, it, "portal_refused", "status 401")
    )
    assert await database.run(transition, claim)

    row = await database.slice(claim.slice_id)
    assert (row.status, row.error_message, row.records_processed) == (status, message, 7)
    assert row.cause == (None if status == "success" else "portal_refused")
    assert (row.worker_id, row.lease_until) == (None, None)
    assert row.finished_at is not None
    assert await database.value("SELECT count(*) FROM sync_pages") == 0


# --- closing ----------------------------------------------------------------------------------------------------


async def test_an_execution_with_unfinished_slices_is_not_closed(database: Database) -> None:
    execution_id = await database.planned([piece(modalidade=1), piece(modalidade=2), piece(modalidade=3)])
    await database.run(slices.finish, await database.claim())
    assert await database.run(executions.close, execution_id) is None
    await database.claim()

    assert await database.run(executions.close, execution_id) is None
    assert (await database.execution(execution_id)).status == "running"


async def test_an_unplanned_execution_is_not_closed(database: Database) -> None:
    created = await database.requested()

    assert await database.run(executions.close, created) is None
    assert await database.run(executions.close, created + 1) is None
    assert await database.run(executions.left_open) == []


async def test_a_closed_execution_sums_up_its_slices(database: Database) -> None:
    execution_id = await database.planned([piece(modalidade=1), piece(modalidade=2)])
    await database.run(executions.mark_started, execution_id)
    await database.rows("UPDATE sync_executions SET started_at = now() - interval '90 s'")
    for processed in (5, 7):
        claim = await database.claim()
        await database.run(slices.advance, claim, PageCounts(processed=processed), **ONE_PAGE)
        await database.run(slices.finish, claim)

    assert await database.run(executions.close, execution_id) == "success"

    row = await database.execution(execution_id)
    assert (row.status, row.error_message, row.records_processed) == ("success", None, 12)
    assert 90 <= row.duration_seconds < 95
    assert row.finished_at is not None


async def test_an_execution_with_failed_slices_says_how_many_and_why(database: Database) -> None:
    execution_id = await database.planned([piece(modalidade=modalidade) for modalidade in (1, 2, 3, 4)])
    await database.run(slices.finish, await database.claim())
    await database.run(slices.fail, await database.claim(), "no_answer", "status 503")
    await database.run(slices.fail, await database.claim(), "portal_refused", "status 403")
    await database.run(slices.fail, await database.claim(), "portal_refused", "status 401")

    assert await database.run(executions.close, execution_id) == "error"

    row = await database.execution(execution_id)
    assert row.cause == "portal_refused", "the most frequent one, and its first sentence"
    assert row.error_message == "3 of 4 slices failed: 2025-03-10 modalidade 3: status 403"


async def test_the_error_of_a_resource_that_is_not_divided_names_it(database: Database) -> None:
    execution_id = await database.planned([piece(modalidade=0)])
    await database.run(slices.fail, await database.claim(), "bad_answer", "not JSON")
    await database.run(executions.close, execution_id)
    assert (
        await database.execution(execution_id)
    ).error_message == "1 of 1 slices failed: 2025-03-10 contratacoes: not JSON"


async def test_two_workers_that_finish_the_last_two_slices_close_the_execution_once(database: Database) -> None:
    for _ in range(20):
        execution_id = await database.planned([piece(modalidade=1), piece(modalidade=2)])
        last_two = [await database.claim("one"), await database.claim("other")]

        async def finish_and_close(claim: Claim, execution_id: int = execution_id) -> str | None:
            assert await database.run(slices.finish, claim)
            return await database.run(executions.close, execution_id)

        answers = await asyncio.gather(*map(finish_and_close, last_two))

        assert set(answers) == {"success", None}
        assert (await database.execution(execution_id)).status == "success"


async def test_of_two_closers_the_one_that_waited_changes_nothing(database: Database) -> None:
    execution_id = await database.planned()
    await database.run(slices.finish, await database.claim())
    async with database.engine.begin() as first:
        assert await executions.close(first, execution_id) == "success"
        second = asyncio.create_task(database.run(executions.close, execution_id))
        await database.someone_waits_for_a_lock()
    closed = await database.execution(execution_id)

    assert await second is None
    assert await database.execution(execution_id) == closed


async def test_an_execution_that_was_left_open_is_found(database: Database) -> None:
    execution_id = await database.planned()
    await database.planned()
    assert await database.run(executions.left_open) == []
    await database.run(slices.finish, await database.claim())

    assert await database.run(executions.left_open) == [execution_id]
    await database.run(executions.close, execution_id)
    assert await database.run(executions.left_open) == []


@pytest.mark.parametrize("ended_as", ["success", "error", "refused", "ended"])
async def test_a_finished_execution_never_changes_again(database: Database, ended_as: str) -> None:
    if ended_as == "refused":
        execution_id = await database.requested()
        await database.run(admission.refuse, execution_id)
    else:
        execution_id = await database.planned()
        claim = await database.claim()
        if ended_as == "ended":
            await database.run(executions.end, execution_id, status="error", cause="internal", error_message="ended")
        else:
            await database.run(slices.finish if ended_as == "success" else TRANSITIONS["fail"], claim)
            await database.run(executions.close, execution_id)
    before = await database.execution(execution_id)

    assert not await database.run(admission.refuse, execution_id)
    assert not await database.run(executions.end, execution_id, status="success", records_processed=99)
    assert await database.run(executions.close, execution_id) is None
    assert await database.run(executions.lock_unplanned, older_than_seconds=0, execution_id=execution_id) is None
    await database.run(executions.mark_started, execution_id)

    assert await database.execution(execution_id) == before


async def test_a_late_confirm_does_not_touch_a_finished_execution(database: Database) -> None:
    created = await database.requested()
    await database.run(admission.refuse, created)
    before = await database.execution(created)

    await database.run(admission.mark_published, created)

    assert await database.execution(created) == before


# --- ending from outside ----------------------------------------------------------------------------------------


async def test_an_execution_ended_from_outside_takes_its_slices_with_it(database: Database) -> None:
    execution_id = await database.planned([piece(modalidade=modalidade) for modalidade in (1, 2, 3)])
    done, held = await database.claim(), await database.claim()
    await database.run(slices.advance, done, PageCounts(processed=4), **ONE_PAGE)
    await database.run(slices.finish, done)
    await database.run(slices.advance, held, PageCounts(processed=2), **ONE_PAGE)
    await remember_page(database, held)

    assert await database.run(
        executions.end, execution_id, status="error", cause="no_worker", error_message="no worker"
    )

    row = await database.execution(execution_id)
    assert (row.status, row.cause, row.error_message, row.records_processed) == ("error", "no_worker", "no worker", 6)
    ended = await database.rows("SELECT status, cause, error_message, worker_id FROM sync_slices ORDER BY ordinal")
    cut_off = ("error", "cut_off", "no worker", None)
    assert ended == [("success", None, None, None), cut_off, cut_off]
    assert not await database.run(slices.hold, held), "its worker finds out at the next page"
    assert await database.run(slices.claim, "me", lease_seconds=60) is None
    assert await database.value("SELECT count(*) FROM sync_pages") == 0, "ended slices need their pages no more"


async def test_what_is_told_at_the_end_stands(database: Database) -> None:
    created = await database.requested()

    assert await database.run(
        executions.end, created, status="success", records_processed=3, duration_seconds=1.25, error_message=None
    )

    row = await database.execution(created)
    assert (row.status, row.records_processed, float(row.duration_seconds)) == ("success", 3, 1.25)


@pytest.mark.parametrize("status", ["running", "idle", ""])
async def test_an_execution_ends_as_success_or_error_and_nothing_else(database: Database, status: str) -> None:
    created = await database.requested()

    with pytest.raises(ValueError, match="'success' or 'error'"):
        await database.run(executions.end, created, status=status)
    assert (await database.execution(created)).status == "running"


@pytest.mark.parametrize(("status", "cause"), [("error", None), ("success", "internal")])
async def test_an_error_has_a_cause_and_a_success_none(database: Database, status: str, cause: Cause | None) -> None:
    created = await database.requested()
    with pytest.raises(ValueError, match="a success none"):
        await database.run(executions.end, created, status=status, cause=cause)
    assert (await database.execution(created)).status == "running"


async def test_a_cancel_says_who(database: Database) -> None:
    execution_id = await database.planned()
    assert await database.run(executions.cancel, execution_id, "maria")
    assert not await database.run(executions.cancel, execution_id, "josé")
    row = await database.execution(execution_id)
    assert (row.cause, row.cancelled_by, row.error_message) == ("cancelled", "maria", "cancelled by maria")
    assert await database.value("SELECT cause FROM sync_slices") == "cut_off"


async def test_ending_waits_for_a_closer_and_then_loses(database: Database) -> None:
    execution_id = await database.planned()
    await database.run(slices.finish, await database.claim())
    async with database.engine.begin() as closer:
        assert await executions.close(closer, execution_id) == "success"
        ending = asyncio.create_task(database.run(executions.end, execution_id, status="error", cause="internal"))
        await database.someone_waits_for_a_lock()

    assert await ending is False
    assert (await database.execution(execution_id)).status == "success"


async def test_the_tables_refuse_a_running_row_that_has_ended(database: Database) -> None:
    created = await database.requested()

    with pytest.raises(Exception, match="finished_when_ended"):
        await database.rows("UPDATE sync_executions SET status = 'success' WHERE id = :id", id=created)


# --- retries, admission, orphans --------------------------------------------------------------------------------


async def test_a_retry_copies_the_failed_slices_with_a_patience_of_their_own(database: Database) -> None:
    execution_id = await database.planned([piece(CLOSED_DAY + timedelta(days=day)) for day in range(4)])
    await database.rows("UPDATE sync_slices SET failing_since = now() - interval '25 h'")
    for number in range(4):
        claim = await database.claim()
        await database.run(slices.finish if number in (0, 3) else TRANSITIONS["fail"], claim)
    assert await database.run(admission.retry, execution_id) is None, "it has not been closed yet"
    await database.run(executions.close, execution_id)

    copy = await database.run(admission.retry, execution_id)

    assert copy is not None
    row = await database.execution(copy)
    assert (row.retry_of, row.trigger, row.status, row.criterio) == (execution_id, "retry", "running", "publicacao")
    assert row.window_start == piece(CLOSED_DAY + timedelta(days=1)).window_start
    assert row.window_end == piece(CLOSED_DAY + timedelta(days=2)).window_end
    copies = await database.rows("SELECT * FROM sync_slices WHERE execution_id = :id ORDER BY ordinal", id=copy)
    assert [(each.ordinal, each.first_day, each.status, each.attempt) for each in copies] == [
        (1, CLOSED_DAY + timedelta(days=1), "pending", 0),
        (2, CLOSED_DAY + timedelta(days=2), "pending", 0),
    ]
    assert [each.failing_since for each in copies] == [None, None]


async def test_what_succeeded_or_never_was_cannot_be_repeated(database: Database) -> None:
    execution_id = await database.planned()
    await database.run(slices.finish, await database.claim())
    await database.run(executions.close, execution_id)

    assert await database.run(admission.retry, execution_id) is None
    assert await database.run(admission.retry, execution_id + 1) is None
    assert await database.value("SELECT count(*) FROM sync_executions") == 1


async def test_executions_are_admitted_one_at_a_time_up_to_the_limit(database: Database) -> None:
    async def ask() -> bool:
        async with database.engine.begin() as db:
            if not await admission.admit(db):
                return False
            await admission.create(db, mode="update", window_start=None, window_end=None, trigger="api")
            return True

    answers = await asyncio.gather(*(ask() for _ in range(admission.MAX_UNFINISHED + 5)))

    assert answers.count(True) == admission.MAX_UNFINISHED
    await database.run(admission.refuse, 1)
    assert await ask()


async def test_old_executions_end_where_no_worker_has_been_seen_for_long(database: Database) -> None:
    old, young, done = await database.planned(), await database.requested(), await database.requested()
    await database.run(admission.refuse, done)
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '2 h' WHERE id <> :id", id=young)
    await database.rows(
        "INSERT INTO workers (id, last_seen_at, alive_until) VALUES ('w', now() - interval '59 min', now())"
    )
    assert await database.run(executions.expire_orphan, seconds=3600) is None

    await database.rows("UPDATE workers SET last_seen_at = now() - interval '61 min'")
    assert await database.run(executions.expire_orphan, seconds=3600) == old

    row = await database.execution(old)
    assert (row.status, row.cause, row.error_message) == ("error", "no_worker", executions.NO_WORKER)
    assert await database.value("SELECT status FROM sync_slices") == "error"
    assert (await database.execution(young)).status == "running"


async def test_the_counts_by_kind_follow_every_change_of_the_history(database: Database) -> None:
    counted = """
        SELECT mode, trigger, status, executions, records_processed, duration_seconds
          FROM sync_execution_counts WHERE executions <> 0 ORDER BY 1, 2, 3
    """
    truth = """
        SELECT mode, trigger, status, count(*), sum(records_processed), sum(coalesce(duration_seconds, 0))
          FROM sync_executions GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """
    await database.rows("""
        INSERT INTO sync_executions (mode, criterio, trigger, created_at)
        SELECT (ARRAY['update', 'backfill'])[1 + n % 2], 'atualizacao', (ARRAY['api', 'schedule', 'sweep'])[1 + n % 3],
               now() FROM generate_series(1, 60) n
    """)
    assert await database.rows(counted) == await database.rows(truth)

    await database.rows("""
        UPDATE sync_executions SET status = (ARRAY['success', 'error'])[1 + id % 2],
               cause = (ARRAY[NULL, 'no_answer'])[1 + id % 2], finished_at = now(),
               records_processed = id, duration_seconds = id / 4.0
         WHERE id % 3 = 0
    """)
    await database.rows("UPDATE sync_executions SET updated_at = now()")
    await database.rows("DELETE FROM sync_executions WHERE id % 5 = 0")
    rows = await database.rows(counted)
    assert rows == await database.rows(truth)
    assert sum(row.executions for row in rows) == 48


# --- a source that fails for too long ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "age", "failing", "service", "ends"),
    [
        ("update", "2 h", "61 min", "consulta", True),
        ("update", "2 h", "59 min", "consulta", False),
        ("update", "59 min", "25 h", "consulta", False),
        ("backfill", "25 h", "25 h", "consulta", True),
        ("backfill", "9 d", "23 h", "consulta", False),
        ("backfill", "9 d", "1 min", "consulta", False),
        ("update", "9 d", "9 d", "itens", False),
    ],
)
async def test_an_execution_ends_once_when_the_source_has_failed_longer_than_its_patience(
    database: Database, mode: Mode, age: str, failing: str, service: str, ends: bool
) -> None:
    pieces = [piece(CLOSED_DAY + timedelta(days=day)) for day in range(3)]
    execution_id = await database.planned(pieces, mode=mode)
    await database.rows("UPDATE sync_executions SET created_at = now() - CAST(CAST(:age AS text) AS interval)", age=age)
    await database.rows(
        """
        INSERT INTO source_pauses (source, paused_until, reason, cause, error_message, failures, failing_since)
        VALUES (:service, now() - interval '5 min', 'refused', 'portal_refused', '/consulta: status 302', 9,
                timestamptz '2025-03-10 12:00:00Z')
        """,
        service=service,
    )
    claim = await database.claim()
    await database.rows(
        "UPDATE source_pauses SET failing_since = now() - CAST(CAST(:failing AS text) AS interval)", failing=failing
    )

    assert await database.run(executions.end_by_outage) == (execution_id if ends else None)
    assert await database.run(executions.end_by_outage) is None

    row = await database.execution(execution_id)
    assert row.status == ("error" if ends else "running")
    assert await database.run(slices.finish, claim) is not ends, "what was claimed is fenced off"
    if ends:
        assert row.error_message.startswith("the portal has not answered since 20")
        assert row.error_message.endswith("(refused): /consulta: status 302")
        assert (row.cause, await database.value("SELECT min(cause) FROM sync_slices")) == ("portal_down", "cut_off")


async def test_an_outage_that_was_not_probed_for_an_hour_ends_nothing(database: Database) -> None:
    await database.planned(mode="update")
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '9 d'")
    await database.rows("""
        INSERT INTO source_pauses (source, paused_until, reason, cause, error_message, failures, failing_since)
        VALUES ('consulta', now() - interval '61 min', 'down', 'no_answer', 'status 503', 9, now() - interval '9 d')
    """)
    assert await database.run(executions.end_by_outage) is None
