"""Listings that are not what they promise: what counts as complete, what is asked for again, and how often."""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from common.clock import to_wall_clock
from common.lifecycle import Criterio, Mode, executions, slices
from common.lifecycle.slices import Claim, PlannedSlice
from common.resources.contratacoes import CONTRATACOES
from ingestor.errors import ListingIncomplete, PncpUnavailable
from ingestor.slices import SliceIngestion, Tools, ingest_slice
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.values import Batch
from ingestor.store.batch import store_page
from ingestor.store.progress import Progress
from simulator.app import Simulator
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

RECORDS = 35  # four pages of ten


@pytest.fixture
def day(world: World) -> World:
    """A closed day with four pages of one modalidade."""
    world.publish(RECORDS, at=CLOSED_DAY, modalidade=MODALIDADE)
    return world


def today() -> date:
    return to_wall_clock(datetime.now(UTC)).date()


def of_the_day(world: World, criterio: Criterio = "publicacao", day: date = CLOSED_DAY) -> list[Any]:
    return world.select(criterio, f"{day}", f"{day}T23:59:59", [MODALIDADE])


def work_on(database: Database, client: PncpClient, claim: Claim) -> SliceIngestion:
    return SliceIngestion(Tools(database.engine, client, asyncio.Event(), lease_seconds=60), claim)


async def ingest(database: Database, client: PncpClient, claim: Claim) -> bool:
    return await ingest_slice(work_on(database, client, claim))


async def put_back(database: Database, claim: Claim, *, progressed: bool = False) -> Claim:
    """The next claim of a slice that has failed."""
    assert await database.run(
        slices.postpone, claim, delay_seconds=0, cause="no_answer", error_message="failed", progressed=progressed
    )
    return await database.claim()


async def assert_complete(database: Database, world: World, claim: Claim) -> None:
    row = await database.slice(claim.slice_id)
    assert (row.status, row.records_processed) == ("success", len(of_the_day(world)))
    assert await database.mirror() == truth(of_the_day(world))
    assert await database.rows("SELECT 1 FROM sync_pages") == []


# --- short pages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("when", ["closed", "today"])
async def test_a_short_page_before_the_last_is_asked_for_again(
    database: Database, portals: Portals, world: World, page: int, when: str
) -> None:
    day = CLOSED_DAY if when == "closed" else today()
    world.publish(RECORDS, at=datetime.combine(day, time()), modalidade=MODALIDADE)
    portal = await portals.serve(world)
    portal.quirks.add("short_page", match={"page": page}, times=2, value=2)
    claim = await database.claimed([piece(day)])

    assert await ingest(database, await portals.client(portal), claim)

    assert await database.mirror() == truth(of_the_day(world, day=day))
    assert len(listing_pages(portal)) == 5 + 2
    assert (await database.slice(claim.slice_id)).reading == 1


async def test_a_page_that_stays_short_puts_its_slice_back_which_goes_on_there(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    portal.quirks.add("short_page", match={"page": 2}, value=9)
    claim = await database.claimed()
    with pytest.raises(PncpUnavailable, match="9 records came on a page before the last"):
        await ingest(database, client, claim)
    claim = await put_back(database, claim, progressed=True)
    with pytest.raises(PncpUnavailable, match="9 records came"):
        await ingest(database, client, claim)
    claim = await put_back(database, claim)
    portal.quirks.reset()
    portal.stats.reset()

    assert await ingest(database, client, claim)

    assert listing_pages(portal) == [2, 1]
    await assert_complete(database, day, claim)


async def test_pages_shorter_than_was_asked_for_are_taken_where_page_one_was_as_short(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal, page_size=20)
    portal.quirks.add("short_page", match={"page": [1, 2]}, value=18)
    portal.quirks.add("total_pages", value=2)
    portal.quirks.add("total_records", value=33)
    claim = await database.claimed()

    assert await ingest(database, client, claim)
    assert listing_pages(portal) == [1, 2, 1]


# --- second looks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("looks", [1, 2])
async def test_an_empty_second_look_proves_nothing(
    database: Database, portals: Portals, day: World, looks: int
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("copied_page", match={"page": 2}, times=1)
    portal.quirks.add("no_content", match={"service": "consulta", "page": 1}, skip=1, times=looks)
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    await assert_complete(database, day, claim)
    assert (await database.slice(claim.slice_id)).reading == 2


async def test_a_last_page_of_todays_listing_that_lacks_rows_is_asked_for_once_more(
    database: Database, portals: Portals, world: World
) -> None:
    world.publish(RECORDS, at=datetime.combine(today(), time()), modalidade=MODALIDADE)
    last = -(-RECORDS // 10)
    portal = await portals.serve(world)
    portal.quirks.add("short_page", match={"page": last}, times=1)
    claim = await database.claimed([piece(today())])

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert await database.mirror() == truth(of_the_day(world, day=today()))
    assert listing_pages(portal) == [1, last, *range(last, 0, -1)]


async def test_todays_listing_is_read_again_after_an_empty_second_look(
    database: Database, portals: Portals, world: World
) -> None:
    world.publish(RECORDS, at=datetime.combine(today(), time()), modalidade=MODALIDADE)
    portal = await portals.serve(world)
    portal.quirks.add("copied_page", match={"page": 2}, times=1)
    portal.quirks.add("no_content", match={"service": "consulta", "page": 1}, skip=1, times=2)
    claim = await database.claimed([piece(today())])

    assert await ingest(database, await portals.client(portal), claim)
    assert await database.mirror() == truth(of_the_day(world, day=today()))


async def test_a_total_that_falls_by_more_than_is_gone_proves_nothing(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("copied_page", match={"page": 2}, times=1)
    told = {"match": {"page": 1}, "skip": 1, "times": 1}
    portal.quirks.add("total_records", value=25, **told)
    portal.quirks.add("total_pages", value=3, **told)
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    await assert_complete(database, day, claim)
    assert (await database.slice(claim.slice_id)).reading == 2


# --- an order that changes --------------------------------------------------------------------------------------


async def test_a_listing_in_another_order_with_each_request_is_complete_once_all_was_shown(
    database: Database, portals: Portals, world: World
) -> None:
    world.publish(260, at=CLOSED_DAY, modalidade=MODALIDADE)
    portal = await portals.serve(world)
    portal.quirks.add("unordered", value="each")
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    await assert_complete(database, world, claim)
    assert len(listing_pages(portal)) < 15 * 27, "one reading in a fixed order takes 27 requests"


async def test_twelve_listings_without_order_take_a_few_readings_each(
    database: Database, portals: Portals, world: World
) -> None:
    days = [CLOSED_DAY + timedelta(days=number) for number in range(12)]
    for each in days:
        world.publish(22, at=each, modalidade=MODALIDADE)
    portal = await portals.serve(world)
    portal.quirks.add("unordered", value="each")
    client = await portals.client(portal)
    await database.planned([piece(each) for each in days])

    for _ in days:
        assert await ingest(database, client, await database.claim()), "nothing was put back"

    assert len(await database.mirror()) == 12 * 22
    assert len(listing_pages(portal)) < 4 * 49, "in a fixed order it would be 48"


async def test_what_earlier_readings_have_shown_counts_for_the_next_claim_too(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    portal.quirks.add("copied_page", match={"page": 2})
    claim = await database.claimed()
    with pytest.raises(ListingIncomplete, match="10 of 35 records are missing from the listing, after 4 readings"):
        await ingest(database, client, claim)
    claim = await put_back(database, claim)
    portal.stats.reset()
    with pytest.raises(ListingIncomplete, match="after 5 readings"):
        await ingest(database, client, claim)
    assert listing_pages(portal) == [1, 4, 3, 2, 1], "from now on once for each claim"
    assert await database.value("SELECT count(*) FROM sync_pages") == 2
    claim = await put_back(database, claim)
    portal.quirks.reset()
    portal.stats.reset()

    assert await ingest(database, client, claim)

    assert listing_pages(portal) == [1, 4, 3, 2], "what was missing is there, and the rest had been shown"
    await assert_complete(database, day, claim)


# --- pages that do not come -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["400", "404", "422", "no_content", "empty_page"])
async def test_one_page_that_does_not_come_for_a_while_is_asked_for_alone(
    database: Database, portals: Portals, world: World, answer: str
) -> None:
    world.publish(60, at=CLOSED_DAY, modalidade=MODALIDADE)
    portal = await portals.serve(world)
    client = await portals.client(portal)
    portal.quirks.add(answer, match={"page": 5}, times=10)
    claim = await database.claimed()
    for _ in range(2):
        with pytest.raises(PncpUnavailable, match="page 1 still promises 6 pages"):
            await ingest(database, client, claim)
        claim = await put_back(database, claim)

    assert await ingest(database, client, claim)

    assert listing_pages(portal) == [1, 6, *[5] * 4, 1, *[5] * 4, 1, 5, 5, 5, 4, 3, 2, 1]
    assert (await database.slice(claim.slice_id)).reading == 1
    await assert_complete(database, world, claim)


async def test_another_page_in_place_of_the_one_asked_for_is_asked_for_again_alone(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("page_number", match={"page": 3}, times=2, value=4)
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    assert listing_pages(portal) == [1, 4, 3, 3, 3, 2, 1]
    await assert_complete(database, day, claim)


@pytest.mark.parametrize("form", ["400", "404", "422", "204", "empty", "last"])
async def test_a_page_past_the_end_leads_to_a_reading_from_page_one(
    database: Database, portals: Portals, day: World, form: str
) -> None:
    portal = await portals.serve(day)
    past = {"page": 4}
    portal.quirks.add("change", match={"page": 1}, times=1, value={"remove": 6})  # page 4 is gone
    match form:
        case "204" | "empty" | "400":
            portal.quirks.update({"page_beyond_end": form})
        case "404" | "422":
            portal.quirks.add(form, match=past)
        case _:
            portal.quirks.update({"page_beyond_end": "empty"})
            portal.quirks.add("page_number", match=past, value=3)
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    row = await database.slice(claim.slice_id)
    assert (row.status, row.reading, row.total_registros) == ("success", 2, RECORDS - 6)
    assert {record.numero_controle_pncp for record in of_the_day(day)} <= (await database.mirror()).keys()


@pytest.mark.parametrize("form", ["400", "204", "empty"])
async def test_a_page_that_the_totals_leave_nothing_for_is_done_without(
    database: Database, portals: Portals, day: World, form: str
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("total_pages", value="+3")
    portal.quirks.update({"page_beyond_end": form})
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    assert listing_pages(portal) == [1, *[7] * 4, 1, 4, 3, 2, 1]
    await assert_complete(database, day, claim)


# --- rows that come twice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [1, 3, 4])
async def test_a_record_twice_on_one_page_counts_twice_towards_the_promise_and_once_as_processed(
    database: Database, portals: Portals, day: World, page: int
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("repeat", match={"page": page})
    portal.quirks.add("total_records", value="+1")
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    await assert_complete(database, day, claim)
    assert listing_pages(portal) in (
        [1, 4, 3, 2, 1] * 2,
        [1, 4, 3, 2, 1, 1],
        [1, 4, 3, 2, 1, 1, 4],
        [1, 4, 3, 2, 1, 1, 4, 3],
    )


async def test_a_record_that_stands_once_in_the_place_of_another_is_no_proof(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("repeat", match={"page": 4}, times=1)
    portal.quirks.add("left_out", match={"page": 4}, times=1)
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    await assert_complete(database, day, claim)


async def test_a_record_on_two_pages_does_not_count_twice(database: Database, portals: Portals, day: World) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("repeat", match={"page": 3}, value="next_page")
    portal.quirks.add("total_records", value="+1")

    with pytest.raises(ListingIncomplete, match="1 of 36 records are missing"):
        await ingest(database, await portals.client(portal), await database.claimed())


# --- empty listings ---------------------------------------------------------------------------------------------


async def mirrored(database: Database, portals: Portals, world: World, slice_: PlannedSlice) -> tuple[Simulator, Any]:
    """A portal, and a client of it, whose records of this slice are stored."""
    portal = await portals.serve(world)
    client = await portals.client(portal)
    criterio: Criterio = "publicacao" if slice_.first_day == CLOSED_DAY else "atualizacao"
    assert await ingest(database, client, await database.claimed([slice_], criterio=criterio))
    portal.stats.reset()
    return portal, client


@pytest.mark.parametrize("criterio", ["publicacao", "atualizacao"])
async def test_an_empty_answer_where_records_are_known_is_a_failure_until_three_claims_have_had_it(
    database: Database, portals: Portals, world: World, criterio: Criterio
) -> None:
    day = CLOSED_DAY if criterio == "publicacao" else today()
    world.publish(5, at=datetime.combine(day, time()), modalidade=MODALIDADE)
    portal, client = await mirrored(database, portals, world, piece(day))
    portal.quirks.add("no_content")
    claim = await database.claimed([piece(day)], criterio=criterio)
    for look in (1, 2):
        with pytest.raises(PncpUnavailable, match=f"the listing is empty, and its records are known .{look} of 3"):
            await ingest(database, client, claim)
        claim = await put_back(database, claim)

    assert await ingest(database, client, claim)

    row = await database.slice(claim.slice_id)
    assert (row.status, row.records_processed, row.total_registros) == ("success", 0, 0)
    assert listing_pages(portal) == [1] * 6


async def test_a_portal_that_answers_nothing_for_a_while_loses_nothing(
    database: Database, portals: Portals, day: World
) -> None:
    portal, client = await mirrored(database, portals, day, piece())
    portal.quirks.add("no_content", times=2)
    claim = await database.claimed()
    with pytest.raises(PncpUnavailable, match="the listing is empty"):
        await ingest(database, client, claim)

    claim = await put_back(database, claim)
    assert await ingest(database, client, claim)
    assert (await database.slice(claim.slice_id)).records_processed == RECORDS


async def test_an_empty_answer_that_is_no_surprise_is_asked_for_once_more_and_believed(
    database: Database, portals: Portals, world: World
) -> None:
    world.publish(5, at=CLOSED_DAY, modalidade=8)  # another modalidade
    world.publish(5, at=CLOSED_DAY + timedelta(days=1), modalidade=MODALIDADE)
    portal = await portals.serve(world)
    client = await portals.client(portal)
    await database.planned([piece(modalidade=8), piece(CLOSED_DAY + timedelta(days=1)), piece(modalidade=MODALIDADE)])
    for _ in range(2):
        assert await ingest(database, client, await database.claim())
    portal.stats.reset()

    assert await ingest(database, client, await database.claim())
    assert listing_pages(portal) == [1, 1]


async def test_a_past_day_s_listing_of_changes_may_become_empty(
    database: Database, portals: Portals, world: World
) -> None:
    keys = world.publish(5, at=CLOSED_DAY, modalidade=MODALIDADE)
    portal = await portals.serve(world)
    client = await portals.client(portal)
    assert await ingest(database, client, await database.claimed(criterio="atualizacao"))
    world.touch(keys)  # they are in today's listing now

    assert await ingest(database, client, await database.claimed(criterio="atualizacao"))


async def test_one_empty_answer_is_not_believed_at_all(database: Database, portals: Portals, day: World) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("no_content", times=1)
    claim = await database.claimed()

    assert await ingest(database, await portals.client(portal), claim)

    assert listing_pages(portal) == [1, 1, 4, 3, 2, 1]
    await assert_complete(database, day, claim)


# --- a listing without end --------------------------------------------------------------------------------------


async def test_a_listing_that_shows_the_same_records_for_ever_is_no_progress(
    database: Database, portals: Portals, world: World
) -> None:
    world.publish(10, at=CLOSED_DAY, modalidade=MODALIDADE)
    client: Any = EndlessClient(await portals.client(await portals.serve(world)))
    claim = await database.claimed()
    with pytest.raises(PncpUnavailable, match="20 pages in a row, down to"):
        await ingest(database, client, claim)
    row = await database.slice(claim.slice_id)
    assert row.pages_done == 21
    claim = await put_back(database, claim)
    await database.rows("UPDATE sync_slices SET failing_since = now()")
    work = work_on(database, client, claim)

    with pytest.raises(PncpUnavailable, match="20 pages in a row"):
        await ingest_slice(work)

    assert not work.has_progressed
    assert (await database.slice(claim.slice_id)).failing_since is not None
    kept = await database.rows("SELECT page, keys FROM sync_pages")
    assert len(kept) == 41
    assert Counter(len(row.keys) for row in kept) == {10: 1, 0: 40}


# --- the size of pages ------------------------------------------------------------------------------------------


async def test_a_slice_is_read_in_the_page_size_of_its_first_claim(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("500", match={"service": "consulta", "page": 3})
    await database.planned()
    claim = await database.claim(page_sizes={"contratacoes": 10})
    with pytest.raises(PncpUnavailable, match="status 500"):
        await ingest(database, await portals.client(portal, page_size=10), claim)
    assert await database.run(
        slices.postpone, claim, delay_seconds=0, cause="no_answer", error_message="500", progressed=True
    )
    portal.quirks.reset()
    portal.stats.reset()

    claim = await database.claim(page_sizes={"contratacoes": 20})  # PNCP_PAGE_SIZE is another one now
    assert claim.page_size == 10
    assert await ingest(database, await portals.client(portal, page_size=20), claim)

    assert listing_pages(portal) == [3, 2, 1]
    assert all("tamanhoPagina=10" in served.target for served in portal.stats.log if served.service == "consulta")
    await assert_complete(database, day, claim)


# --- a record in two slices -------------------------------------------------------------------------------------


async def counted(database: Database, execution_id: int) -> int:
    return int(
        await database.value("SELECT sum(records_processed) FROM sync_slices WHERE execution_id = :id", id=execution_id)
    )


async def test_a_record_that_moves_from_one_slice_to_another_counts_once(
    database: Database, portals: Portals, world: World
) -> None:
    next_day = CLOSED_DAY + timedelta(days=1)
    keys = [world.put(data_publicacao=f"{CLOSED_DAY}T08:00:00", items=1) for _ in range(30)]
    world.touch(keys, at=datetime.combine(CLOSED_DAY, time(9)))
    client = await portals.client(await portals.serve(world))
    execution_id = await database.planned([piece(), piece(next_day)], criterio="atualizacao")
    first = await database.claim("one")
    assert first.counts_once
    assert await ingest(database, client, first)
    assert await database.value("SELECT count(*) FROM sync_counted") == 30
    world.touch(keys[:20], at=datetime.combine(next_day, time(9)))
    world.put(data_publicacao=f"{next_day}T08:00:00", data_atualizacao_global=f"{next_day}T08:00:00", items=1)

    assert await ingest(database, client, await database.claim("other"))

    assert await counted(database, execution_id) == 31
    assert await database.run(executions.close, execution_id) == "success"
    assert (await database.execution(execution_id)).records_processed == 31
    assert await database.rows("SELECT 1 FROM sync_counted") == []


@pytest.mark.parametrize(
    ("mode", "criterio", "pieces", "is_needed"),
    [
        ("backfill", "atualizacao", [piece(), piece(CLOSED_DAY + timedelta(days=1))], True),
        ("backfill", "atualizacao", [piece(), piece(modalidade=8)], False),  # nothing moves to another modalidade
        ("backfill", "atualizacao", [piece()], False),
        ("backfill", "publicacao", [piece(), piece(CLOSED_DAY + timedelta(days=1))], False),
        ("update", "atualizacao", [piece(), piece(CLOSED_DAY + timedelta(days=1))], False),
    ],
)
async def test_only_where_records_may_move_between_slices_is_remembered_what_was_counted(
    database: Database,
    portals: Portals,
    world: World,
    *,
    mode: Mode,
    criterio: Criterio,
    pieces: list[PlannedSlice],
    is_needed: bool,
) -> None:
    world.put(data_publicacao=f"{CLOSED_DAY}T08:00:00", data_atualizacao_global=f"{CLOSED_DAY}T08:00:00", items=1)
    execution_id = await database.planned(pieces, mode=mode, criterio=criterio)
    claim = await database.claim()

    assert claim.counts_once is is_needed
    assert await ingest(database, await portals.client(await portals.serve(world)), claim)

    assert await counted(database, execution_id) == 1
    assert await database.value("SELECT count(*) FROM sync_counted") == int(is_needed)
    assert await database.run(executions.end, execution_id, status="error", cause="internal", error_message="cancelled")
    assert await database.rows("SELECT 1 FROM sync_counted") == []


async def test_two_slices_that_count_the_same_records_in_opposite_order_do_not_deadlock(
    database: Database, portals: Portals, world: World
) -> None:
    """Both listings show the same records at once, which is the most that a change between them can do."""
    keys = [world.put(data_publicacao=f"{CLOSED_DAY}T08:00:00", items=0) for _ in range(60)]
    pieces = [piece(), piece(CLOSED_DAY + timedelta(days=1))]
    for each in pieces:
        world.touch(keys, at=each.window_start + timedelta(hours=9))
    execution_id = await database.planned(pieces, criterio="atualizacao")
    claims = [await database.claim("one"), await database.claim("other")]
    progress = [Progress(claim.reading) for claim in claims]
    orders = [keys, keys[::-1]]

    async def count(claim: Claim, progress: Progress, order: list[str]) -> int:
        total = 0
        for start in range(0, 60, 10):
            rows = frozenset(order[start : start + 10])
            page = Batch(CONTRATACOES, start // 10 + 1, 60, 6, rows, rows)
            async with database.engine.begin() as db:
                assert await slices.hold(db, claim)
                _, counts = await store_page(db, claim, page, progress)
            progress.add(page)
            total += counts.processed
        return total

    totals = await asyncio.gather(*map(count, claims, progress, orders))
    assert sum(totals) == 60
    assert await database.value("SELECT count(*) FROM sync_counted WHERE execution_id = :id", id=execution_id) == 60


# --- what an update stores --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_known", [False, True])
async def test_an_update_stores_what_is_newer_on_its_pages_and_counts_what_is_in_its_window(
    database: Database, portals: Portals, world: World, is_known: bool
) -> None:
    day = today()
    midnight = datetime.combine(day, time())
    late = world.put(data_publicacao=f"{CLOSED_DAY}T08:00:00", items=2)
    client = await portals.client(await portals.serve(world))
    if is_known:
        assert await ingest(database, client, await database.claimed())
    world.touch([late], at=midnight + timedelta(minutes=1))  # and shows only now, after the window that it lies in
    for minute in range(41, 46):
        world.put(
            data_publicacao=f"{CLOSED_DAY}T08:00:00",
            data_atualizacao_global=(midnight + timedelta(minutes=minute)).isoformat(),
            items=1,
        )
    window = PlannedSlice(MODALIDADE, day, day, midnight + timedelta(minutes=40), midnight + timedelta(days=1))
    claim = await database.claimed([window], mode="update")

    assert await ingest(database, client, claim)

    assert await database.mirror() == truth(world.select("atualizacao", f"{day}"))
    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_inserted, row.records_updated) == (
        5,
        5 + (not is_known),
        int(is_known),
    )


async def test_a_backfill_stores_nothing_outside_its_window(database: Database, portals: Portals, world: World) -> None:
    morning, evening = (f"{CLOSED_DAY}T{hour}:00:00" for hour in ("08", "20"))
    inside = world.put(data_publicacao=morning, items=1)
    world.put(data_publicacao=evening, items=1)
    noon = datetime.combine(CLOSED_DAY, time(12))
    window = PlannedSlice(MODALIDADE, CLOSED_DAY, CLOSED_DAY, datetime.combine(CLOSED_DAY, time()), noon)

    assert await ingest(database, await portals.client(await portals.serve(world)), await database.claimed([window]))
    assert (await database.mirror()).keys() == {inside}
