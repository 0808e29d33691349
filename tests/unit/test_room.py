"""Room in memory: what is taken is given back, what waits holds nothing, and what does not fit says so."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.errors import NoRoomError
from ingestor.room import UNCOUNTED, Charge, Room, Share, alone, counting, current_charge


async def test_a_share_takes_in_advance_and_gives_back_what_it_does_not_need() -> None:
    room = Room(100)
    share = Share(room)
    await share.reserve(60)
    assert room.free == 40
    share.settle(least=10, used=25)
    assert room.free == 75
    share.shrink(20)
    assert room.free == 90, "the least is kept"
    share.release()
    assert room.free == 100


async def test_a_share_grows_where_there_is_room_and_says_where_there_is_none() -> None:
    room = Room(100)
    share, other = Share(room), Share(room)
    await share.reserve(30)
    share.grow(30)
    assert room.free == 70
    share.grow(20)
    assert room.free == 50
    await other.reserve(50)
    with pytest.raises(NoRoomError):
        share.grow(1)
    share.shrink(20)
    other.grow(70)
    assert room.free == 0


async def test_a_share_of_all_the_room_grows_without_a_limit_until_it_is_settled() -> None:
    room = Room(100)
    share = Share(room)
    await share.reserve(1_000)
    share.grow(5_000)
    share.settle(least=10, used=150)
    with pytest.raises(NoRoomError):
        share.grow(1)
    assert room.free == 0
    share.release()
    assert room.free == 100


async def test_who_waits_for_all_the_room_holds_none_of_it() -> None:
    room = Room(100)
    first, second = Share(room), Share(room)
    await first.reserve(60)
    await second.reserve(40)
    both = [asyncio.create_task(share.reserve(100)) for share in (first, second)]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    assert room.free == 0
    first.release()
    await asyncio.wait(both)
    second.release()
    assert room.free == 100


def charged(share: Share) -> Charge:
    return Charge(share, factor=2)


async def test_a_failed_body_is_given_back_when_the_next_begins_and_a_kept_one_is_not() -> None:
    room = Room(100)
    charge = charged(Share(room))
    charge.begin()
    charge.grow(30)
    assert room.free == 40
    charge.begin()
    assert room.free == 100
    charge.grow(10)
    charge.keep(5)
    charge.begin()
    assert room.free == 75
    charge.drop()
    assert room.free == 100


async def test_what_fails_inside_keeps_nothing_and_what_succeeds_does() -> None:
    room = Room(100)
    share = Share(room)

    def read() -> None:
        with counting(charged(share)):
            current_charge().grow(20)
            current_charge().keep()
            current_charge().grow(31)

    with pytest.raises(NoRoomError):
        read()
    assert room.free == 100
    with counting(charged(share)):
        current_charge().grow(20)
        current_charge().keep()
    assert room.free == 60
    assert current_charge() is UNCOUNTED


async def test_what_is_read_alone_is_not_counted_and_one_at_a_time() -> None:
    room = Room(10)
    inside = 0

    async def read() -> None:
        nonlocal inside
        async with alone(room):
            inside += 1
            current_charge().grow(1_000)
            await asyncio.sleep(0)
            assert inside == 1
            inside -= 1

    with counting(charged(Share(room))):
        await asyncio.gather(*(read() for _ in range(5)))
    assert room.free == 10


async def take_step(share: Share, charge: Charge, step: str, size: int) -> None:
    match step:
        case "release":
            charge.drop()
            share.release()
        case "reserve" if share.room.free >= size:
            charge.drop()
            await share.reserve(size)
        case "grow":
            charge.grow(size)
        case "keep":
            charge.keep(size)
        case "begin":
            charge.begin()


STEPS = st.tuples(
    st.sampled_from(["release", "reserve", "grow", "keep", "begin"]), st.integers(0, 1), st.integers(0, 60)
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_the_room_is_whole_in_the_end(steps: list[tuple[str, int, int]]) -> None:
    async def scenario() -> None:
        room = Room(100)
        shares = [Share(room), Share(room)]
        charges = [charged(share) for share in shares]
        for step, which, size in steps:
            with suppress(NoRoomError):
                await take_step(shares[which], charges[which], step, size)
            assert 0 <= room.free <= 100
        for share in shares:
            share.release()
        assert room.free == 100

    asyncio.run(scenario())
