"""Where memory is short, everything is mirrored all the same: what does not fit is read again, alone."""

import asyncio

import pytest

from ingestor.ingestion import SliceIngestion, ingest_slice
from ingestor.room import Room
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, Portals, truth
from tests.integration.test_ingestion import RECORDS, of_the_day


@pytest.fixture
def day(world: World) -> World:
    """A closed day with four pages of one modalidade."""
    world.publish(RECORDS, at=CLOSED_DAY, modalidade=MODALIDADE)
    return world


@pytest.mark.parametrize("size", [1, 3_000, 30_000, 300_000])
async def test_a_listing_is_mirrored_exactly_in_any_room(
    database: Database, portals: Portals, day: World, size: int
) -> None:
    client = await portals.client(await portals.serve(day))
    room = Room(size)
    claim = await database.claimed()
    work = SliceIngestion(database.engine, client, claim, asyncio.Event(), 60, room=room)

    async with asyncio.timeout(60):
        assert await ingest_slice(work)

    assert await database.mirror() == truth(of_the_day(day))
    assert room.free == size, "everything was given back"
    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_inserted, row.records_updated) == (RECORDS, RECORDS, 0)
    assert row.itens_written == sum(record.item_count for record in of_the_day(day))
    assert (row.pages_done, row.status) == (4, "success")


async def test_slices_that_share_too_little_room_do_not_wait_for_each_other_for_ever(
    database: Database, portals: Portals, day: World
) -> None:
    client = await portals.client(await portals.serve(day))
    room = Room(20_000)
    claims = [await database.claimed() for _ in range(4)]
    works = [SliceIngestion(database.engine, client, claim, asyncio.Event(), 60, room=room) for claim in claims]

    async with asyncio.timeout(120):
        assert await asyncio.gather(*(ingest_slice(work) for work in works)) == [True] * 4

    assert await database.mirror() == truth(of_the_day(day))
    assert room.free == room.size
    rows = [await database.slice(claim.slice_id) for claim in claims]
    assert [row.records_processed for row in rows] == [RECORDS] * 4
    assert sum(row.records_inserted for row in rows) == RECORDS


async def test_a_part_that_was_committed_before_its_page_is_neither_lost_nor_counted_twice(
    database: Database, portals: Portals, day: World
) -> None:
    """The worker dies after the lists that it read alone, and before their page."""
    portal = await portals.serve(day)
    client = await portals.client(portal)
    last = of_the_day(day)[-1]
    claim = await database.claimed()
    portal.quirks.add("status", match={"key": last.numero_controle_pncp}, value=503)
    work = SliceIngestion(database.engine, client, claim, asyncio.Event(), 60, room=Room(1))
    with pytest.raises(Exception, match="503"):
        await ingest_slice(work)
    before = await database.slice(claim.slice_id)
    portal.quirks.reset()
    work = SliceIngestion(database.engine, client, claim, asyncio.Event(), 60, room=Room(1))

    assert await ingest_slice(work)

    row = await database.slice(claim.slice_id)
    assert before.records_inserted > before.records_processed
    assert (row.records_processed, row.records_inserted) == (RECORDS, RECORDS)
    assert await database.mirror() == truth(of_the_day(day))
