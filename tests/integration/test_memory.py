"""Where memory is short, everything is mirrored all the same: what does not fit is read again, alone."""

import asyncio
from typing import Any

import pytest

from ingestor import slices as slices_module
from ingestor.room import Room
from ingestor.slices import SliceIngestion, Tools, ingest_slice
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
    work = SliceIngestion(Tools(database.engine, client, asyncio.Event(), 60, room), claim)

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
    works = [SliceIngestion(Tools(database.engine, client, asyncio.Event(), 60, room), claim) for claim in claims]

    async with asyncio.timeout(120):
        assert await asyncio.gather(*(ingest_slice(work) for work in works)) == [True] * 4

    assert await database.mirror() == truth(of_the_day(day))
    assert room.free == room.size
    rows = [await database.slice(claim.slice_id) for claim in claims]
    assert [row.records_processed for row in rows] == [RECORDS] * 4
    assert sum(row.records_inserted for row in rows) == RECORDS


async def test_a_part_that_was_committed_before_its_page_is_neither_lost_nor_counted_twice(
    database: Database, portals: Portals, day: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies after the lists that it has read alone, and before their page."""
    client = await portals.client(await portals.serve(day))
    claim = await database.claimed()
    commit = slices_module._commit

    async def dies_at_its_page(*arguments: Any, is_whole: bool = True) -> Any:
        if is_whole:
            raise ConnectionError
        return await commit(*arguments, is_whole=is_whole)

    monkeypatch.setattr(slices_module, "_commit", dies_at_its_page)
    with pytest.raises(ConnectionError):
        await ingest_slice(SliceIngestion(Tools(database.engine, client, asyncio.Event(), 60, Room(1)), claim))
    monkeypatch.undo()
    before = await database.slice(claim.slice_id)
    assert (before.records_processed, before.records_inserted, before.pages_done) == (0, 10, 0)

    assert await ingest_slice(SliceIngestion(Tools(database.engine, client, asyncio.Event(), 60, Room(1)), claim))

    row = await database.slice(claim.slice_id)
    assert (row.records_processed, row.records_inserted) == (RECORDS, RECORDS)
    assert await database.mirror() == truth(of_the_day(day))
