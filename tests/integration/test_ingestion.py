"""One slice against the simulated portal: complete, resumable, counted once, and nothing lost on the way."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common.clock import to_wall_clock
from common.lifecycle import Criterio, executions, slices
from common.lifecycle.slices import Claim, PlannedSlice
from common.resources.contratacoes import CONTRATACOES
from ingestor.errors import LeaseLost, ListingIncomplete, PncpRejected, PncpUnavailable
from ingestor.slices import SliceIngestion, Tools, ingest_slice
from ingestor.sources.pncp import listing as reading_module
from ingestor.sources.pncp.client import PncpClient, Span
from simulator.store import Query
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, Portals, listing_pages, piece, truth
from tests.support import eventually

RECORDS = 35  # four pages of ten
WHOLE_READING = [1, 4, 3, 2, 1]


@pytest.fixture
def day(world: World) -> World:
    """A closed day with four pages of one modalidade, and other days and modalidades beside it."""
    world.publish(RECORDS, at=CLOSED_DAY, modalidade=MODALIDADE)
    world.publish(5, at=CLOSED_DAY, modalidade=8)
    world.publish(5, at=CLOSED_DAY + timedelta(days=1), modalidade=MODALIDADE)
    return world


def of_the_day(world: World, criterio: Criterio = "publicacao") -> list[Any]:
    return world.select(criterio, f"{CLOSED_DAY}", f"{CLOSED_DAY}T23:59:59", [MODALIDADE])


def pages_kept(database: Database, count: int) -> Callable[[], Awaitable[bool]]:
    """Whether so many pages have been committed; what is read ahead of them is not."""

    async def kept() -> bool:
        return bool(await database.value("SELECT count(*) = :count FROM sync_pages", count=count))

    return kept


def work_on(
    database: Database, client: PncpClient, claim: Claim, stopping: asyncio.Event | None = None
) -> SliceIngestion:
    return SliceIngestion(Tools(database.engine, client, stopping or asyncio.Event(), lease_seconds=60), claim)


async def test_a_closed_day_is_mirrored_exactly(database: Database, portals: Portals, day: World) -> None:
    portal = await portals.serve(day)
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert await database.mirror() == truth(of_the_day(day))
    assert listing_pages(portal) == WHOLE_READING
    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_inserted, row.records_updated) == (RECORDS, RECORDS, 0)
    assert (row.records_rejected, row.total_registros, row.pages_done, row.pages_total) == (0, RECORDS, 4, 4)
    assert row.itens_written == sum(record.item_count for record in of_the_day(day))
    stored = await database.rows("SELECT numero_controle_pncp, payload FROM contratacoes")
    assert {key: payload for key, payload in stored} == {  # noqa: C416  # rows are no pairs to mypy
        record.numero_controle_pncp: json.loads(day.payload(record)) for record in of_the_day(day)
    }


async def test_the_last_page_ends_its_slice_in_its_own_transaction(
    database: Database, portals: Portals, day: World
) -> None:
    claim = await database.claimed()
    work = work_on(database, await portals.client(await portals.serve(day)), claim)

    assert await ingest_slice(work)

    assert work.finished
    row = await database.slice(claim.slice_id)
    assert (row.status, row.worker_id, row.lease_until, row.finished_at) == ("success", None, None, work.read_at)
    assert await database.rows("SELECT * FROM sync_pages") == []


async def test_a_last_page_that_is_rolled_back_leaves_its_slice_to_the_next_claim(
    database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))
    claim = await database.claimed()
    await database.rows("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room' USING ERRCODE = '53100';
        END $$
    """)
    await database.rows("""
        CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON sync_slices DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.status = 'success') EXECUTE FUNCTION refuse()
    """)
    try:
        with pytest.raises(DBAPIError, match="no room"):
            await ingest_slice(work_on(database, client, claim))
    finally:
        await database.rows("DROP TRIGGER refuse ON sync_slices")
        await database.rows("DROP FUNCTION refuse")
    row = await database.slice(claim.slice_id)
    assert (row.status, row.pages_done) == ("running", 4), "all was committed but the second look at page 1"
    await database.run(slices.release, claim)

    assert await ingest_slice(work_on(database, client, await database.claim()))

    row = await database.slice(claim.slice_id)
    assert (row.status, row.records_processed) == ("success", RECORDS)
    assert await database.mirror() == truth(of_the_day(day))


async def test_a_page_is_asked_for_only_when_the_one_before_it_has_come(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.latency_ms = 20

    assert await ingest_slice(work_on(database, await portals.client(portal), await database.claimed()))

    assert listing_pages(portal) == WHOLE_READING
    assert portal.stats.largest_concurrency["consulta"] == 1


@pytest.mark.parametrize(("ahead", "asked"), [(1, [1, 4, 3, 2]), (3, [1, 4, 3, 2, 1])])
async def test_pages_are_read_on_while_the_items_of_one_are_waited_for_but_committed_in_order(
    database: Database, portals: Portals, day: World, monkeypatch: pytest.MonkeyPatch, ahead: int, asked: list[int]
) -> None:
    monkeypatch.setattr(reading_module, "PAGES_AHEAD", ahead)
    portal = await portals.serve(day)
    slow = day.listing(Query("publicacao", MODALIDADE, CLOSED_DAY, CLOSED_DAY))[-1]  # it stands on page 4
    portal.quirks.add("hang", match={"key": slow.numero_controle_pncp}, times=1, value=2)
    claim = await database.claimed()
    reading = asyncio.create_task(ingest_slice(work_on(database, await portals.client(portal), claim)))

    await eventually(lambda: listing_pages(portal) == asked)

    async def committed() -> list[int]:
        return [row.page for row in await database.rows("SELECT page FROM sync_pages")]

    await eventually(committed)
    assert await committed() == [1], "nothing is committed before what was read before it"
    assert await reading
    assert await database.mirror() == truth(of_the_day(day))


async def test_items_are_asked_for_once_though_page_one_is_read_again_before_it_is_committed(
    database: Database, portals: Portals, day: World
) -> None:
    listing = day.listing(Query("publicacao", MODALIDADE, CLOSED_DAY, CLOSED_DAY))
    slow, refused = listing[0].numero_controle_pncp, listing[1].numero_controle_pncp
    day.put(numeroControlePNCP=refused, chaveNova=Decimal("1e200000"))  # which only the database finds out
    portal = await portals.serve(day)
    portal.quirks.add("hang", match={"key": slow}, times=1, value=1)
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    asked = Counter(served.target for served in portal.stats.log if "itens?pagina=1&" in served.target)
    assert listing_pages(portal) == WHOLE_READING
    assert sorted(asked.values()) == [1] * (RECORDS - 1) + [2]  # what hangs is asked for again
    assert await database.mirror() == truth(each for each in of_the_day(day) if each.numero_controle_pncp != refused)
    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_rejected) == (RECORDS - 1, 1)


async def test_a_day_without_records_is_complete_at_once(database: Database, portals: Portals, world: World) -> None:
    portal = await portals.serve(world)
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert listing_pages(portal) == [1, 1], "an empty answer is asked for twice"
    assert (await database.slice(claim.slice_id)).records_processed == 0


@pytest.mark.parametrize("count", [0, 1, 10, 11, 500, 501, 1003])
async def test_all_items_are_stored_however_many(
    database: Database, portals: Portals, world: World, count: int
) -> None:
    key = world.put(data_publicacao=f"{CLOSED_DAY}T10:00:00", items=count)
    portal = await portals.serve(world)

    await ingest_slice(work_on(database, await portals.client(portal), await database.claimed()))

    stored = await database.rows("SELECT numero_item, payload FROM itens_contratacao ORDER BY numero_item")
    assert [(row.numero_item, row.payload) for row in stored] == [
        (number, json.loads(item)) for number, item in enumerate(world.items(key), start=1)
    ]
    assert await database.value("SELECT itens_at IS NOT NULL FROM contratacoes")


@pytest.mark.parametrize("said", ["204", "404", "empty"])
async def test_a_record_without_items_is_not_asked_for_them_again(
    database: Database, portals: Portals, world: World, said: Any
) -> None:
    world.put(data_publicacao=f"{CLOSED_DAY}T10:00:00", items=0)
    portal = await portals.serve(world)
    portal.quirks.no_items = said
    client = await portals.client(portal)
    for _ in range(2):
        assert await ingest_slice(work_on(database, client, await database.claimed()))

    assert portal.stats.services["itens"] == 2, "the list, and the portal's own count"


@pytest.mark.parametrize("criterio", ["publicacao", "atualizacao"])
async def test_a_window_of_hours_takes_exactly_its_records_ends_included(
    database: Database, portals: Portals, world: World, criterio: Criterio
) -> None:
    stamps = ["09:59:59", "10:00:00", "11:30:00", "13:00:00", "13:00:01", "23:59:59"]
    other = f"{CLOSED_DAY - timedelta(days=20)}T11:00:00" if criterio == "atualizacao" else f"{CLOSED_DAY}T20:00:00"
    keys = []
    for stamp in stamps:
        told = f"{CLOSED_DAY}T{stamp}"
        published, changed = (told, other) if criterio == "publicacao" else (other, told)
        keys.append(world.put(data_publicacao=published, data_atualizacao=other, data_atualizacao_global=changed))
    portal = await portals.serve(world)
    hours = PlannedSlice(
        MODALIDADE,
        CLOSED_DAY,
        CLOSED_DAY,
        datetime.combine(CLOSED_DAY, time(10)),
        datetime.combine(CLOSED_DAY, time(13)),
    )
    claim = await database.claimed([hours], criterio=criterio)

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert set(await database.mirror()) == set(keys[1:4])
    assert (await database.slice(claim.slice_id)).records_processed == 3
    assert portal.stats.services["itens"] == 3, "no items are asked for of what is not stored"


async def test_a_second_run_asks_for_listings_only_and_counts_all_again(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    await ingest_slice(work_on(database, client, await database.claimed()))
    portal.stats.reset()
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, client, claim))

    assert portal.stats.services == {"consulta": len(WHOLE_READING)}
    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_inserted, row.records_updated, row.itens_written) == (RECORDS, 0, 0, 0)


async def test_only_what_has_changed_is_written_and_its_items_read_anew(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    await ingest_slice(work_on(database, client, await database.claimed()))
    changed = day.touch([record.numero_controle_pncp for record in of_the_day(day)[:3]])
    portal.stats.reset()
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, client, claim))

    assert await database.mirror() == truth(of_the_day(day))
    row = await database.slice(claim.slice_id)
    assert (row.records_inserted, row.records_updated) == (0, 3)
    asked = {served.target.split("?")[0] for served in portal.stats.log if served.service == "itens"}
    assert len(asked) == len(changed) == 3


@pytest.mark.parametrize("after_page", [1, 4, 2])
@pytest.mark.parametrize(
    "change",
    [
        {"remove": 3},
        {"remove": 3, "from": "before"},
        {"remove": 12, "from": "after"},
        {"touch": 4, "from": "page"},
        {"insert": 4},
        {"append": 7},
    ],
    ids=str,
)
async def test_nothing_is_lost_of_a_closed_day_that_changes_while_it_is_read(
    database: Database, portals: Portals, world: World, change: dict[str, Any], after_page: int
) -> None:
    criterio: Criterio = "atualizacao"  # there a record that changes leaves the listing
    for number in range(RECORDS):
        world.put(data_publicacao=f"{CLOSED_DAY}T08:{number:02}:00", items=1)
    portal = await portals.serve(world)
    portal.quirks.add("change", match={"page": after_page}, times=1, value=change)
    claim = await database.claimed(criterio=criterio)

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    stored = await database.mirror()
    assert {record.numero_controle_pncp for record in of_the_day(world, criterio)} - stored.keys() == set()
    assert (await database.slice(claim.slice_id)).records_processed == len(stored)


async def test_a_listing_that_does_not_add_up_is_read_four_times_and_is_no_success(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("total_records", value="+5")
    claim = await database.claimed()

    with pytest.raises(ListingIncomplete) as error:
        await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert str(error.value) == "5 of 40 records are missing from the listing, after 4 readings"
    row = await database.slice(claim.slice_id)
    assert (row.status, row.reading) == ("running", 5)
    assert listing_pages(portal).count(1) == 8


async def test_an_incomplete_listing_is_read_again_by_the_next_claim_from_page_one(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("total_records", value="+5")
    client = await portals.client(portal)
    claim = await database.claimed()
    with pytest.raises(ListingIncomplete):
        await ingest_slice(work_on(database, client, claim))
    await database.run(
        slices.postpone, claim, delay_seconds=0, cause="incomplete", error_message="incomplete", progressed=False
    )
    portal.quirks.reset()
    portal.stats.reset()

    claim = await database.claim()
    assert await ingest_slice(work_on(database, client, claim))

    assert listing_pages(portal) == [1, 4, 3, 2], "all records have been shown since the promise fell"
    assert (await database.slice(claim.slice_id)).records_processed == RECORDS, "readings do not count twice"


async def test_fewer_pages_than_promised_mean_that_the_listing_is_read_again(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("change", match={"page": 1}, times=1, value={"remove": 6})
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert listing_pages(portal) == [1, *[4] * 4, 1, 1, 3, 2]
    row = await database.slice(claim.slice_id)
    assert (row.reading, row.total_registros, row.pages_total) == (2, RECORDS - 6, 3)


async def test_more_records_than_promised_are_no_failure(database: Database, portals: Portals, day: World) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("total_records", value="-5")
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))
    assert await database.mirror() == truth(of_the_day(day))


async def test_a_record_on_two_pages_or_twice_on_one_is_stored_and_counted_once(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("repeat", value="next_page")
    portal.quirks.add("repeat", match={"page": 1}, value="same_page")
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert await database.mirror() == truth(of_the_day(day))
    assert (await database.slice(claim.slice_id)).records_processed == RECORDS


# --- updates ----------------------------------------------------------------------------------------------------


def todays_updates(world: World, today: date) -> PlannedSlice:
    """Sixty records changed today, the last fifteen of them in the window of the slice that is answered."""
    midnight = datetime.combine(today, time())
    for second in range(60):
        changed = (midnight + timedelta(seconds=second)).isoformat()
        world.put(data_publicacao=f"{CLOSED_DAY}T08:00:00", data_atualizacao_global=changed, items=1)
    return PlannedSlice(MODALIDADE, today, today, midnight + timedelta(seconds=45), midnight + timedelta(days=1))


@pytest.mark.parametrize(
    ("unordered", "pages"), [(False, [1, 6, 5, 4]), (True, [1, 6, 5, 4, 3, 2, 1])], ids=["ascending", "unordered"]
)
async def test_an_update_stops_early_only_where_the_listing_is_seen_to_be_ascending(
    database: Database, portals: Portals, world: World, unordered: bool, pages: list[int]
) -> None:
    slice_ = todays_updates(world, to_wall_clock(datetime.now(UTC)).date())
    portal = await portals.serve(world)
    if unordered:
        portal.quirks.add("unordered")
    claim = await database.claimed([slice_], mode="update")

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert listing_pages(portal) == pages
    changed = {record.numero_controle_pncp for record in world.select("atualizacao", slice_.window_start.isoformat())}
    assert changed <= (await database.mirror()).keys()
    assert (await database.slice(claim.slice_id)).records_processed == 15


async def test_a_backfill_never_stops_early(database: Database, portals: Portals, world: World) -> None:
    slice_ = todays_updates(world, to_wall_clock(datetime.now(UTC)).date())
    portal = await portals.serve(world)
    claim = await database.claimed([slice_], criterio="atualizacao")

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))
    assert listing_pages(portal) == [1, 6, 5, 4, 3, 2, 1]


async def test_an_update_that_ends_after_its_midnight_may_have_stopped_early(
    database: Database, portals: Portals, world: World
) -> None:
    slice_ = todays_updates(world, to_wall_clock(datetime.now(UTC)).date() - timedelta(days=1))
    portal = await portals.serve(world)
    claim = await database.claimed([slice_], mode="update")

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))
    assert listing_pages(portal) == [1, 6, 5, 4]
    assert (await database.slice(claim.slice_id)).records_processed == 15


async def test_todays_listing_may_promise_more_than_it_shows(
    database: Database, portals: Portals, world: World
) -> None:
    today = to_wall_clock(datetime.now(UTC)).date()
    world.publish(25, at=datetime.combine(today, time()), modalidade=MODALIDADE)
    portal = await portals.serve(world)
    portal.quirks.add("total_records", value="+5")
    claim = await database.claimed([piece(today)])

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))
    assert len(await database.mirror()) == 25


# --- interruptions ----------------------------------------------------------------------------------------------


async def test_a_failing_page_leaves_the_earlier_ones_stored_and_the_next_claim_goes_on_from_them(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    portal.quirks.add("500", match={"page": 2})
    claim = await database.claimed()
    with pytest.raises(PncpUnavailable, match="status 500"):
        await ingest_slice(work_on(database, client, claim))
    assert listing_pages(portal) == [1, 4, 3, 2, 2, 2, 2, 2, 2]
    expected = {record.numero_controle_pncp for at, record in enumerate(of_the_day(day)) if at // 10 != 1}
    assert (await database.mirror()).keys() == expected
    assert await database.run(
        slices.postpone, claim, delay_seconds=0, cause="no_answer", error_message="500", progressed=True
    )
    portal.quirks.reset()
    portal.stats.reset()

    claim = await database.claim("other")
    assert await ingest_slice(work_on(database, client, claim))

    assert listing_pages(portal) == [2, 1]
    assert await database.mirror() == truth(of_the_day(day))
    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_inserted, row.pages_done) == (RECORDS, RECORDS, 4)


@pytest.mark.parametrize(
    ("quirk", "tries", "kind"), [("422", 3, PncpRejected), ("400", 6, PncpUnavailable)], ids=["422", "400"]
)
async def test_what_is_refused_as_ill_formed_is_ours_only_where_it_names_our_parameters(
    database: Database, portals: Portals, day: World, quirk: str, tries: int, kind: type[Exception]
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add(quirk)

    with pytest.raises(kind, match=f"status {quirk}"):
        await ingest_slice(work_on(database, await portals.client(portal), await database.claimed()))
    assert len(listing_pages(portal)) == tries


async def test_being_asked_to_stop_ends_after_the_page_in_hand(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("latency", match={"page": 4}, value=200)
    client = await portals.client(portal)
    stopping = asyncio.Event()
    claim = await database.claimed()
    reading = asyncio.create_task(ingest_slice(work_on(database, client, claim, stopping)))
    await eventually(lambda: listing_pages(portal) == [1, 4])
    stopping.set()

    assert await reading is False

    assert (await database.slice(claim.slice_id)).pages_done == 2
    await database.run(slices.release, claim)
    assert await ingest_slice(work_on(database, client, await database.claim()))
    assert listing_pages(portal) == WHOLE_READING, "no page was read for nothing"
    assert (await database.slice(claim.slice_id)).records_processed == RECORDS


async def test_a_worker_that_has_lost_its_slice_writes_nothing_more(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("latency", match={"page": 3}, value=2000)
    claim = await database.claimed()
    reading = asyncio.create_task(ingest_slice(work_on(database, await portals.client(portal), claim)))
    await eventually(pages_kept(database, 2))
    await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 s'")
    await database.claim("other")

    with pytest.raises(LeaseLost):
        await reading

    pages = await database.rows("SELECT page FROM sync_pages ORDER BY page")
    assert [row.page for row in pages] == [1, 4]
    assert len(await database.mirror()) == 15
    assert (await database.slice(claim.slice_id)).worker_id == "other"


async def test_a_worker_that_has_lost_its_slice_does_not_begin_the_listing_anew(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("latency", match={"page": 4}, value=100)
    portal.quirks.add("change", match={"service": "consulta", "page": 1}, times=1, value={"remove": 6})
    claim = await database.claimed()
    reading = asyncio.create_task(ingest_slice(work_on(database, await portals.client(portal), claim)))
    await eventually(lambda: listing_pages(portal) == [1, 4])
    await database.run(executions.end, claim.execution_id, status="error", cause="internal", error_message="cancelled")

    with pytest.raises(LeaseLost):
        await reading
    assert (await database.slice(claim.slice_id)).reading == 1


async def test_a_deadlock_with_another_transaction_is_run_again_unseen(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    await ingest_slice(work_on(database, client, await database.claimed()))
    day.touch([record.numero_controle_pncp for record in of_the_day(day)])
    claim = await database.claimed()
    async with database.engine.connect() as other:
        # whose patience ends first is the one that PostgreSQL ends: it must be ours
        await other.execute(text("SET LOCAL deadlock_timeout = '60s'"))
        await other.execute(text("SELECT 1 FROM contratacoes FOR UPDATE"))
        reading = asyncio.create_task(ingest_slice(work_on(database, client, claim)))
        await database.someone_waits_for_a_lock()
        await other.execute(text("SELECT 1 FROM sync_slices WHERE id = :id FOR UPDATE"), {"id": claim.slice_id})
        await other.rollback()

    assert await reading
    assert await database.mirror() == truth(of_the_day(day))
    assert (await database.slice(claim.slice_id)).records_updated == RECORDS


# --- records that are not as they should be ---------------------------------------------------------------------


@pytest.mark.parametrize("quirk", ["missing_key", "null_dates", "not_an_object"])
async def test_a_record_that_cannot_be_stored_is_kept_aside_once_and_costs_nothing_else(
    database: Database, portals: Portals, day: World, quirk: str
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add(quirk, match={"page": 1}, value={"position": 3})
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    lost = of_the_day(day)[3].numero_controle_pncp
    assert (await database.mirror()).keys() == {record.numero_controle_pncp for record in of_the_day(day)} - {lost}
    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_rejected) == (RECORDS - 1, 1)
    rejected = await database.row("SELECT * FROM rejected_records")
    assert (rejected.execution_id, rejected.slice_id) == (claim.execution_id, claim.slice_id)
    assert rejected.natural_key == (lost if quirk == "null_dates" else None)
    assert rejected.reason
    assert rejected.payload


@pytest.mark.parametrize("quirk", ["nul", "surrogate", "long_text", "huge_number"])
async def test_what_the_database_refuses_is_taken_out_of_a_record_which_is_stored(
    database: Database, portals: Portals, day: World, quirk: str
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add(quirk, value={"position": 4})
    portal.quirks.add(quirk, match={"service": "itens"}, value={"position": 0})
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    assert await database.mirror() == truth(of_the_day(day))
    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_rejected) == (RECORDS, 0)


async def test_an_item_that_cannot_be_stored_costs_neither_its_record_nor_the_other_items(
    database: Database, portals: Portals, world: World
) -> None:
    key = world.put(data_publicacao=f"{CLOSED_DAY}T10:00:00", items=5)
    portal = await portals.serve(world)
    portal.quirks.add("missing_key", match={"service": "itens"}, value={"position": 2})
    claim = await database.claimed()

    assert await ingest_slice(work_on(database, await portals.client(portal), claim))

    stored = await database.rows("SELECT numero_item FROM itens_contratacao ORDER BY 1")
    assert [row.numero_item for row in stored] == [1, 2, 4, 5]
    rejected = await database.row("SELECT resource, natural_key FROM rejected_records")
    assert tuple(rejected) == ("itens_contratacao", key)
    assert (await database.slice(claim.slice_id)).records_processed == 1


async def test_unknown_keys_are_kept(database: Database, portals: Portals, day: World) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("unknown_keys", value={"all": True})
    portal.quirks.add("unknown_keys", match={"service": "itens"}, value={"all": True})

    assert await ingest_slice(work_on(database, await portals.client(portal), await database.claimed()))

    unknown = "payload -> 'outroCampoNovo' = CAST(:value AS jsonb)"
    value = json.dumps({"codigo": 1, "lista": [1, 2, 3]})
    for table, count in (("contratacoes", RECORDS), ("itens_contratacao", None)):
        with_it = await database.value(f"SELECT count(*) FROM {table} WHERE {unknown}", value=value)
        assert with_it == (count or await database.value(f"SELECT count(*) FROM {table}"))
        assert with_it > 0


# --- the shared brake -------------------------------------------------------------------------------------------


async def test_one_throttled_client_stops_every_other_on_the_same_database(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    throttled, other = await portals.client(portal), await portals.client(portal)
    portal.quirks.add("429", times=1, value="2")
    wanted = (Span(CONTRATACOES, "publicacao", MODALIDADE, CLOSED_DAY, CLOSED_DAY), 1)
    first = asyncio.create_task(throttled.fetch_page(*wanted))

    async def is_paused() -> bool:
        return bool(await database.rows("SELECT 1 FROM source_pauses WHERE paused_until > now()"))

    await eventually(is_paused)
    assert listing_pages(portal) == [1]
    second = asyncio.create_task(other.fetch_page(*wanted))
    done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)

    assert not await is_paused(), "no request is answered before the pause is over"
    assert len((await first).records) == len((await second).records) == 10
    assert done
    assert portal.stats.statuses == {"429": 1, "200": 2}
