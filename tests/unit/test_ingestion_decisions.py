"""What decides in an ingestion: which pages are left, whether the order is proven, what is in the window, what is new.

The last part is a model: a listing that changes while it is read, and the proof that no record that stays is missed.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from common.lifecycle import Criterio
from common.lifecycle.slices import Claim
from common.resources.contratacoes import CONTRATACOES
from common.resources.pcas import PCAS
from ingestor.room import Room
from ingestor.sources.pncp.envelope import Page, parse_page
from ingestor.sources.pncp.order import OrderProof, pages_to_read
from ingestor.sources.pncp.sight import choose_wanted, judge_records, name_rows, needs_writing, see_all
from ingestor.sources.values import Stamps

START = datetime.fromisoformat("2026-03-10T08:00:00")
END = datetime.fromisoformat("2026-03-10T18:00:00")
SECOND = timedelta(seconds=1)
KEY = "46675997000180-1-000350/2026"


def claim(criterio: Criterio = "publicacao") -> Claim:
    return Claim(
        slice_id=1,
        execution_id=1,
        attempt=1,
        worker_id="worker",
        resource="contratacoes",
        mode="backfill",
        criterio=criterio,
        part=6,
        first_day=START.date(),
        last_day=END.date(),
        window_start=START,
        window_end=END,
        reading=1,
        failures=0,
        failing_since=None,
        starts_execution=True,
    )


def raw(key: str | None = KEY, stamp: datetime = START, **over: Any) -> bytes:
    fields = {
        "numeroControlePNCP": key,
        "dataPublicacaoPncp": stamp.isoformat(),
        "dataAtualizacao": stamp.isoformat(),
        "dataAtualizacaoGlobal": stamp.isoformat(),
    }
    return json.dumps(fields | over).encode()


def key_of(number: int) -> str:
    return f"46675997000180-1-{number:06}/2026"


def page_of(*records: bytes) -> Page:
    return Page(1, len(records), 1, list(records))


# --- which pages are left ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "done", "left"),
    [
        (0, {1}, []),
        (1, {1}, []),
        (2, {1}, [2, 1]),
        (5, {1}, [5, 4, 3, 2, 1]),
        # resumed after each page
        (5, {1, 5}, [4, 3, 2, 1]),
        (5, {1, 5, 4}, [3, 2, 1]),
        (5, {1, 5, 4, 3}, [2, 1]),
        (5, {1, 5, 4, 3, 2}, [1]),
        (2, {1, 2}, [1]),
        # the first page, read once more, said something else in the meantime
        (7, {1, 5, 4, 3, 2}, [1]),
        (3, {1, 5, 4}, [3, 2, 1]),
        (1, {1, 5, 4}, []),
    ],
)
def test_pages_are_read_from_the_last_to_the_first_going_on_where_it_stopped(
    total: int, done: set[int], left: list[int]
) -> None:
    assert list(pages_to_read(total, done)) == left


def test_a_portal_that_promises_two_billion_pages_does_not_fill_the_memory() -> None:
    assert list(islice(pages_to_read(2**31 - 1, {1}), 3)) == [2**31 - 1, 2**31 - 2, 2**31 - 3]


@given(st.integers(2, 30), st.integers(0, 30))
def test_wherever_a_reading_is_interrupted_the_pages_done_and_left_are_all_pages(total: int, stop_after: int) -> None:
    before = list(pages_to_read(total, {1}))[:stop_after]
    after = list(pages_to_read(total, {1, *before}))
    assert {1, *before, *after} == set(range(1, total + 1))
    assert after[-1] == 1
    assert len(before) + len(after) <= total + (1 in before)


# --- rows of a listing that counts the entries of its records ---------------------------------------------------


@pytest.mark.parametrize(
    "itens",
    [
        [{"numeroItem": 1}, {"numeroItem": 2}],
        [{"numeroItem": 1}, {"numeroItem": None}, {"descricao": "sem número"}],
        [{"numeroItem": "1"}, {"numeroItem": 1}, {"numeroItem": 2.5}, {"numeroItem": {"a": 1}}],
        [{"numeroItem": 1}, {"numeroItem": 1}],
        [],
        None,
    ],
)
def test_a_plan_has_as_many_names_as_its_page_counts_rows(itens: Any) -> None:
    stamps = {"dataPublicacaoPNCP": START.isoformat(), "dataAtualizacaoGlobalPCA": START.isoformat()}
    plans = [{"idPcaPncp": f"46675997000180-0-{number:06}/2026", "itens": itens, **stamps} for number in (1, 2)]
    promised = 2 * max(len(itens or []), 1)
    body = {"data": plans, "totalRegistros": promised, "totalPaginas": 1, "numeroPagina": 1}

    page = parse_page(json.dumps(body).encode(), 1, counts="itens")
    rows = name_rows(PCAS, "atualizacao", see_all(PCAS, page.records, "atualizacao"))

    assert len(rows) == page.rows == promised


# --- whether the order is proven --------------------------------------------------------------------------------


def at(*seconds: float) -> list[datetime]:
    return [START + timedelta(seconds=each) for each in seconds]


def proof_of(*pages: tuple[int, Sequence[float]]) -> OrderProof:
    proof = OrderProof()
    for number, seconds in pages:
        proof.add(number, at(*seconds))
    return proof


@pytest.mark.parametrize(
    "pages",
    [
        [(1, [1, 2]), (5, [9, 10]), (4, [7, 8])],
        [(1, [1, 1]), (5, [9, 9]), (4, [8, 9])],  # equal stamps are in order
        [(1, [1]), (3, [1]), (2, [1])],
        [(1, [1, 2]), (2, [2, 3])],
    ],
)
def test_pages_that_follow_each_other_prove_the_order(pages: list[tuple[int, list[float]]]) -> None:
    assert proof_of(*pages).holds


@pytest.mark.parametrize(
    "pages",
    [
        [(1, [2, 1]), (5, [9, 10])],  # within page 1
        [(1, [1, 2]), (5, [10, 9])],  # within another
        [(1, [1, 2]), (5, [9, 10, 9.5, 11])],
        [(1, [1, 2]), (5, [9, 10]), (4, [7, 9.5])],  # between two pages
        [(1, [1, 2]), (5, [9, 10]), (4, [11, 12])],
        [(1, [1, 9.5]), (5, [9, 10])],  # page 1 lies above the last
        [(1, [1, 7.5]), (5, [9, 10]), (4, [7, 8])],
        [(1, [10, 10]), (5, [1, 1])],  # descending from page to page
        [(1, []), (5, [9, 10])],
        [(1, [1, 2]), (5, [])],
        [(5, [9, 10])],  # nothing is known of page 1
    ],
)
def test_one_record_out_of_order_disproves_it(pages: list[tuple[int, list[float]]]) -> None:
    assert not proof_of(*pages).holds


def test_what_is_disproven_stays_so() -> None:
    proof = proof_of((1, [1, 2]), (5, [10, 9]), (4, [7, 8]), (3, [5, 6]))
    assert not proof.allows_stop(at(5, 6), START + timedelta(hours=1))


def test_a_reading_that_was_resumed_proves_nothing() -> None:
    proof = OrderProof(holds=False)
    proof.add(1, at(1, 2))
    proof.add(4, at(7, 8))
    assert not proof.allows_stop(at(7, 8), START + timedelta(hours=1))


@pytest.mark.parametrize(
    ("window_start", "allowed"),
    [(7, False), (8, False), (8.5, True), (100, True)],  # a record at the window's very start belongs to it
)
def test_reading_may_stop_once_a_whole_page_is_older_than_the_window(window_start: float, allowed: bool) -> None:
    proof = proof_of((1, [1, 2]), (5, [9, 10]), (4, [7, 8]))
    assert proof.allows_stop(at(7, 8), START + timedelta(seconds=window_start)) is allowed


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=30).map(sorted), st.integers(1, 5), st.integers(0, 31))
def test_in_an_ascending_listing_stopping_early_loses_nothing_of_the_window(
    listing: list[int], size: int, window_start: int
) -> None:
    pages = {number: listing[(number - 1) * size : number * size] for number in range(1, -(-len(listing) // size) + 1)}
    proof = proof_of((1, pages[1]))
    read = {1}
    for number in pages_to_read(len(pages), {1}):
        read.add(number)
        proof.add(number, at(*pages[number]))
        assert proof.holds or number == 1  # the second look at page 1 is not judged any more
        if number > 1 and proof.allows_stop(at(*pages[number]), START + timedelta(seconds=window_start)):
            break
    unread = [stamp for number, page in pages.items() if number not in read for stamp in page]
    assert all(stamp < window_start for stamp in unread)


# --- what lies in the window ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criterio", "name"), [("publicacao", "dataPublicacaoPncp"), ("atualizacao", "dataAtualizacaoGlobal")]
)
def test_both_ends_of_the_window_belong_to_it(criterio: Criterio, name: str) -> None:
    moments = [START - SECOND, START, START + SECOND, END - SECOND, END, END + SECOND]
    far = START - timedelta(days=100)  # whatever the other stamps say
    page = page_of(*(raw(key_of(number), far, **{name: moment.isoformat()}) for number, moment in enumerate(moments)))
    parsed = judge_records(CONTRATACOES, page, claim(criterio))
    assert set(parsed.in_window) == {key_of(number) for number in (1, 2, 3, 4)}
    assert parsed.keys == {key_of(number) for number in range(6)}
    assert parsed.stamps == moments
    assert not parsed.rejected


@pytest.mark.parametrize(
    ("stamp", "inside"),
    [
        ("2026-03-10T18:00:00.999", True),  # of the window's last second: the next window begins with the next one
        ("2026-03-10T18:00:01.000", False),
        ("2026-03-10T07:59:59.999", False),
        ("2026-03-10T21:00:00Z", True),
        ("2026-03-10T21:00:01Z", False),
        ("2026-03-10T08:00:00-03:00", True),
    ],
)
@pytest.mark.parametrize("criterio", ["publicacao", "atualizacao"])
def test_a_stamp_with_a_fraction_or_an_offset_lies_in_the_second_it_names(
    criterio: Criterio, stamp: str, inside: bool
) -> None:
    page = page_of(raw(dataPublicacaoPncp=stamp, dataAtualizacaoGlobal=stamp))
    assert bool(judge_records(CONTRATACOES, page, claim(criterio)).in_window) is inside


def test_every_distinct_record_of_a_page_is_seen_whatever_becomes_of_it() -> None:
    page = page_of(
        raw(key_of(1)),
        raw(key_of(2), END + SECOND),  # outside
        raw(key_of(3), dataAtualizacao=None),  # rejected, with a key
        raw(None),  # rejected, without one
        raw(None, valorTotalEstimado="x"),
        raw(key_of(4), valorTotalEstimado="x"),  # whether it can be stored is asked when it has to be
        b'"text"',
        raw(key_of(1), START + SECOND),  # twice
        raw(None),  # the same reject twice
    )
    parsed = judge_records(CONTRATACOES, page, claim())
    assert set(parsed.in_window) == {key_of(1), key_of(4)}
    assert [seen.version[0] for seen in parsed.in_window[key_of(1)]] == [START + SECOND, START]  # the newest first
    assert len(parsed.rejected) == 5
    assert {record.natural_key for record in parsed.rejected} == {key_of(3), None}
    assert parsed.keys >= {key_of(1), key_of(2), key_of(3), key_of(4)}
    assert len(parsed.keys) == 9, "a row that comes twice is two rows"
    assert parsed.stamps == [START, END + SECOND, START, START + SECOND]


def test_an_empty_page_leaves_nothing() -> None:
    parsed = judge_records(CONTRATACOES, page_of(), claim())
    assert (parsed.keys, parsed.in_window, parsed.rejected, parsed.stamps) == (frozenset(), {}, [], [])


# --- what is written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "has_itens", "written"),
    [
        (None, None, True),
        ((0, 0), True, False),
        ((0, 0), False, True),  # as known, but its items are still to come
        ((-1, 0), True, True),
        ((0, -1), True, True),
        ((-1, 1), True, True),  # crossed
        ((1, 0), True, False),
        ((0, 1), True, False),
        ((0, 1), False, False),  # never what is older, items or not
    ],
)
def test_a_record_is_written_if_it_is_new_newer_or_without_items(
    stored: tuple[int, int] | None, has_itens: bool | None, written: bool
) -> None:
    known = None
    if stored is not None and has_itens is not None:
        known = ((START + stored[0] * SECOND, START + stored[1] * SECOND), has_itens)
    assert needs_writing((START, START), known) is written


def choose(
    *records: bytes, stored: dict[str, tuple[Stamps, bool]] | None = None
) -> tuple[list[str], list[str | None], set[str]]:
    """The payloads that are wanted, the keys of what is rejected, and of what is lost."""
    wanted, rejected, lost = choose_wanted(
        CONTRATACOES, judge_records(CONTRATACOES, page_of(*records), claim()).in_window, stored or {}
    )
    return [record.payload for record in wanted], [record.natural_key for record in rejected], lost


def test_a_record_is_wanted_though_an_optional_field_of_it_does_not_fit() -> None:
    good, drifted = raw(key_of(1)), raw(key_of(2), valorTotalEstimado="x")
    assert choose(good, drifted) == ([good.decode(), drifted.decode()], [], set())


def test_of_two_versions_the_newest_is_taken() -> None:
    old, new = raw(), raw(stamp=START + SECOND, valorTotalEstimado="x")
    for order in ((old, new), (new, old)):
        assert choose(*order) == ([new.decode()], [], set())


def test_what_is_stored_is_wanted_again_only_in_a_newer_version() -> None:
    known = {KEY: ((START, START), True)}
    assert choose(raw(valorTotalEstimado="x"), stored=known) == ([], [], set())
    newer = raw(stamp=START + SECOND, valorTotalEstimado="x")
    assert choose(newer, raw(), stored=known) == ([newer.decode()], [], set())


# --- room in memory ---------------------------------------------------------------------------------------------


async def test_who_asks_for_room_waits_until_there_is_enough_and_is_served_in_order() -> None:
    room, served = Room(10), list[str]()

    async def take(name: str, records: int) -> None:
        await room.take(records)
        served.append(name)

    async with asyncio.TaskGroup() as group:
        for name, records in (("first", 8), ("large", 6), ("small", 1)):
            group.create_task(take(name, records))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert served == ["first"]
        room.give(3)
        await asyncio.sleep(0)
        assert served == ["first"], "there is room for the small one, but it is not its turn"
        room.give(5)
    assert served == ["first", "large", "small"]


async def test_a_waiter_for_room_that_gives_up_delays_no_other() -> None:
    room = Room(1)
    await room.take(1)
    gives_up, stays = asyncio.create_task(room.take(1)), asyncio.create_task(room.take(1))
    await asyncio.sleep(0)
    gives_up.cancel()
    await asyncio.wait({gives_up})
    room.give(1)
    await stays
    assert gives_up.cancelled()


# --- a listing that changes while it is read --------------------------------------------------------------------


@dataclass
class Listing:
    """Records in the order of their stamps: a change gives a record a new stamp, and so moves it to the end.

    After each page that is served, the next of `changes` happens; `stayed` are those that none of them has touched.
    """

    records: list[int]
    size: int
    changes: list[list[tuple[str, int]]]
    served: int = 0
    stayed: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.stayed = set(self.records)

    @property
    def page_count(self) -> int:
        return -(-len(self.records) // self.size)

    def page(self, number: int) -> list[int]:
        found = self.records[(number - 1) * self.size : number * self.size]
        for kind, place in self.changes[self.served] if self.served < len(self.changes) else ():
            if kind == "append":
                self.records.append(1_000 * self.served + place)
            elif self.records:
                moved = self.records.pop(place % len(self.records))
                self.stayed.discard(moved)
                if kind == "change":
                    self.records.append(moved)
        self.served += 1
        return found


@dataclass(frozen=True)
class Story:
    """How long a listing is, what happens to it after each page, and after which pages its reader is killed."""

    length: int
    size: int
    changes: list[list[tuple[str, int]]]
    kills: frozenset[int] = frozenset()

    def listing(self) -> Listing:
        return Listing(list(range(1, self.length + 1)), self.size, self.changes)


STORIES = st.builds(
    Story,
    st.integers(0, 25),
    st.integers(1, 4),
    st.lists(
        st.lists(st.tuples(st.sampled_from(["remove", "change", "append"]), st.integers(0, 30)), max_size=3),
        max_size=30,
    ),
    st.frozensets(st.integers(1, 30), max_size=3),
)

Order = Callable[[int, set[int]], Iterable[int]]


def missed_by(story: Story, order: Order) -> set[int]:
    """The records that stayed in the listing throughout and were not seen, reading page 1 and then in this order.

    As `ingest_slice` does it: where a promised page is gone, the listing is read anew.
    """
    listing, seen = story.listing(), set[int]()
    while not read(listing, seen, story.kills, order):
        pass
    return listing.stayed - seen


def read(listing: Listing, seen: set[int], kills: frozenset[int], order: Order) -> bool:
    """One reading, which goes on from the pages that are done after each kill; `False` if a page was gone."""
    total, done = listing.page_count, {1}
    seen.update(listing.page(1))
    left = iter(order(total, done))
    while (number := next(left, None)) is not None:
        found = listing.page(number)
        if not found and number > 1:
            return False
        seen.update(found)
        done.add(number)
        if listing.served in kills:
            left = iter(order(total, done))
    return True


def ascending(total: int, done: set[int]) -> Iterable[int]:
    """The order in which one would read without a second thought."""
    return range(max(done) + 1, total + 1)


def without_a_second_look(total: int, done: set[int]) -> list[int]:
    return [number for number in pages_to_read(total, done) if number > 1]


@settings(deadline=None, max_examples=300)
@given(STORIES)
def test_a_record_that_stays_in_the_listing_is_seen_whatever_the_others_do(story: Story) -> None:
    assert missed_by(story, pages_to_read) == set()


@pytest.mark.parametrize("kind", ["remove", "change"])
def test_in_ascending_order_a_record_that_stays_can_be_missed(kind: str) -> None:
    # Pages of two: [1, 2] is read, 1 leaves, 3 moves to page 1, and page 2 begins with 4.
    story = Story(length=4, size=2, changes=[[(kind, 0)]])
    assert missed_by(story, ascending) == {3}
    assert missed_by(story, pages_to_read) == set()


def test_without_a_second_look_at_page_1_a_record_that_stays_can_be_missed() -> None:
    # [1, 2] is read, 1 leaves while page 3 is on its way, 3 moves to page 1, and page 2 begins with 4.
    story = Story(length=6, size=2, changes=[[("change", 0)]])
    assert missed_by(story, without_a_second_look) == {3}
    assert missed_by(story, pages_to_read) == set()


def test_stories_in_which_other_orders_miss_records_are_easily_found() -> None:
    for order in (ascending, without_a_second_look):
        story = find(STORIES, lambda story, order=order: bool(missed_by(story, order)))
        assert missed_by(story, order)
        assert missed_by(story, pages_to_read) == set()
