"""What proves a listing complete: tables of cases, and listings that change or come in any order."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.sources.pncp.completeness import (
    Evidence,
    fewest_rows,
    is_worth_another_reading,
    last_page_with_rows,
    may_stop_early,
    missing_rows,
    row_names,
    shortfall,
)

Page = tuple[str, int]
"""The rows of a page, a letter each, and the total that it tells."""


def evidence_of(*readings: Sequence[Page]) -> Evidence:
    evidence = Evidence()
    for number, reading in enumerate(readings):
        if number:
            evidence.begin_anew()
        for rows, promised in reading:
            evidence.add(row_names(rows), promised)
    return evidence


# --- rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "names"),
    [("", set()), ("abc", {"a", "b", "c"}), ("aab", {"a", "a#2", "b"}), ("abaa", {"a", "a#2", "a#3", "b"})],
)
def test_a_row_that_comes_again_on_its_page_has_a_name_of_its_own(keys: str, names: set[str]) -> None:
    assert row_names(keys) == names


@given(st.lists(st.sampled_from("abcdef")))
def test_a_page_has_as_many_names_as_rows_in_whatever_order(keys: list[str]) -> None:
    names = row_names(keys)
    assert len(names) == len(keys)
    assert names == row_names(reversed(keys))


# --- what is missing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("readings", "missing"),
    [
        ([[]], 0),
        ([[("", 0)]], 0),
        ([[("abc", 3)]], 0),
        ([[("ab", 4), ("cd", 4), ("ab", 4)]], 0),
        ([[("ab", 5), ("cd", 5), ("ab", 5)]], 1),
        # it promises more from page to page
        ([[("ab", 4), ("cd", 5), ("ab", 5)]], 1),
        ([[("ab", 4), ("cde", 5), ("ab", 5)]], 0),
        # more came than was promised
        ([[("ab", 3), ("cd", 3), ("ab", 3)]], 0),
        # the promise fell: everything promised at first was shown all the same
        ([[("ab", 4), ("cd", 4), ("ab", 3)]], 0),
        # it fell, and what it fell by was not shown
        ([[("ab", 5), ("cd", 5), ("ab", 4)]], 1),
        ([[("ab", 5), ("cd", 5), ("a", 1)]], 1),
        ([[("ab", 5), ("cd", 5), ("", 0)]], 1),
        # the next reading is promised the lower total from its beginning
        ([[("ab", 5), ("cd", 5), ("ab", 4)], [("ab", 4), ("cd", 4), ("ab", 4)]], 0),
        # it fell during the second reading by a row that is known and gone
        ([[("ab", 5), ("cd", 5), ("ab", 5)], [("ab", 5), ("c", 5), ("ab", 3)]], 1),
        ([[("ab", 5), ("cd", 5), ("ab", 5)], [("ab", 5), ("ce", 5), ("ab", 4)]], 0),
        # rows of two readings together
        ([[("ab", 4), ("bc", 4), ("ab", 4)], [("bc", 4), ("cd", 4), ("bc", 4)]], 0),
        ([[("ab", 4), ("bc", 4), ("ab", 4)], [("bd", 4)]], 0),
        # but not of readings with a fall between them
        ([[("ab", 4), ("bc", 4), ("ab", 4)], [("bd", 3)]], 1),
        # a row twice on one page counts once two readings have shown it so, on two pages it never does
        ([[("ab", 4), ("cc", 4), ("ab", 4)]], 1),
        ([[("ab", 4), ("cc", 4), ("ab", 4)]] * 2, 0),
        ([[("ab", 4), ("cc", 4), ("ab", 4)], [("ab", 4), ("cd", 4), ("ab", 4)]], 0),
        ([[("ab", 5), ("cc", 5), ("ab", 5)], [("ab", 5), ("cd", 5), ("ab", 5)]], 1),
        ([[("ab", 4), ("bc", 4), ("ab", 4)]], 1),
    ],
)
def test_what_is_missing(readings: list[list[Page]], missing: int) -> None:
    assert missing_rows(evidence_of(*readings)) == missing


def test_an_empty_second_look_proves_nothing_however_much_was_shown() -> None:
    evidence = evidence_of([("ab", 4), ("cd", 4), ("", 0)])
    for moves in (False, True):
        assert shortfall(evidence, moves=moves) == ("the second look at page 1 shows no records, and 4 were promised")
    evidence.add(row_names("ab"), 4)
    assert shortfall(evidence, moves=False) is None


def test_todays_listing_proves_nothing_by_its_totals() -> None:
    evidence = evidence_of([("ab", 9), ("cd", 9), ("ab", 9)])
    assert shortfall(evidence, moves=True) is None
    assert shortfall(evidence, moves=False) == "5 of 9 records are missing from the listing"


def test_a_listing_that_repeats_rows_is_complete_where_its_pages_hold_as_many_as_were_promised() -> None:
    evidence = evidence_of([("ab", 6), ("bc", 6), ("cd", 6), ("ab", 6)])
    assert shortfall(evidence, moves=False) == "2 of 6 records are missing from the listing"
    assert shortfall(evidence, moves=False, rows=6) is None
    assert shortfall(evidence, moves=False, rows=5) == "1 of 6 records are missing from the listing"
    assert shortfall(evidence, moves=True, rows=5) is None


def test_of_a_listing_that_repeats_rows_the_highest_total_of_a_reading_counts() -> None:
    evidence = evidence_of([("ab", 6), ("bc", 6), ("cd", 6), ("ab", 5)])
    assert shortfall(evidence, moves=False, rows=5) == "1 of 6 records are missing from the listing"


@pytest.mark.parametrize(
    ("readings", "stops"),
    [
        ([[("abcd", 4)]], False),  # a first reading always looks twice
        ([[("ab", 4), ("bc", 4), ("ab", 4)], [("d", 4)]], True),
        ([[("ab", 4), ("bc", 4), ("ab", 4)], [("ab", 4)]], False),
        ([[("abcd", 4), ("ab", 2)], [("ab", 2)]], True),
        ([[("abc", 4)], [("abcd", 4), ("ab", 3)]], False),  # it has just fallen
        ([[("", 0)], [("", 0)]], False),
    ],
)
def test_a_later_reading_may_stop_once_all_rows_have_been_shown(readings: list[list[Page]], stops: bool) -> None:
    assert may_stop_early(evidence_of(*readings), len(readings)) is stops


def test_a_page_is_new_to_a_reading_or_to_the_slice() -> None:
    evidence = evidence_of([("ab", 4), ("c", 4)], [("ab", 4)])
    assert not evidence.is_new_to_reading(row_names("ab"))
    assert evidence.is_new_to_reading(row_names("ac"))
    assert not evidence.is_new(row_names("ac"))
    assert evidence.is_new(row_names("ad"))
    assert not evidence.is_new(frozenset())


def test_readings_that_show_nothing_new_are_counted_until_one_does() -> None:
    evidence, idle = Evidence(), []
    for rows in ("ab", "a", "ab", "bc", "abc"):
        evidence.add(row_names(rows), 4)
        evidence.begin_anew()
        idle.append(evidence.idle)
    assert idle == [0, 1, 2, 0, 1]
    assert evidence.known == {"a", "b", "c"}


@pytest.mark.parametrize(("second", "is_unordered"), [("abc", False), ("abd", True), ("ab", True)])
def test_a_reading_that_leaves_out_what_stands_shows_that_there_is_no_order(second: str, is_unordered: bool) -> None:
    evidence = evidence_of([("abc", 4)], [(second, 4)])
    evidence.begin_anew()
    assert evidence.is_unordered is is_unordered


@pytest.mark.parametrize(
    ("idle", "is_unordered", "is_first_claim", "readings", "is_worth_it"),
    [
        (0, False, True, 19, True),
        (0, False, True, 20, False),
        (2, False, True, 3, True),
        (3, False, True, 4, False),
        (5, True, True, 9, True),
        (6, True, True, 9, False),
        (0, False, False, 1, True),
        (1, False, False, 1, False),
        (1, True, False, 1, True),
        (2, True, False, 2, False),
    ],
)
def test_how_often_a_listing_that_is_not_complete_is_read_at_once(
    *, idle: int, is_unordered: bool, is_first_claim: bool, readings: int, is_worth_it: bool
) -> None:
    evidence = Evidence(idle=idle, is_unordered=is_unordered)
    assert is_worth_another_reading(evidence, readings=readings, is_first_claim=is_first_claim) is is_worth_it


# --- pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "total", "pages", "full_page", "fewest"),
    [
        (2, 35, 4, 10, 10),
        (3, 35, 4, 10, 10),
        (4, 35, 4, 10, 0),  # the last page
        (4, 35, 7, 10, 5),  # more pages are promised than the records fill
        (5, 35, 7, 10, 0),
        (5, 35, 4, 10, 0),
        (2, 35, 4, 0, 0),  # how long page 1 was is not known
        (1, 35, 4, 10, 9),  # 35 on 4 pages: one of them holds 9 at least
        (1, 343, 3, 50, 50),  # pages longer than was asked for are taken, and do not make page 1 short
        (1, 10, 1, 10, 0),
        (1, 0, 0, 10, 0),
    ],
)
def test_how_many_rows_a_page_must_hold(number: int, total: int, pages: int, full_page: int, fewest: int) -> None:
    assert fewest_rows(number, total, pages, full_page) == fewest


@given(st.integers(0, 500), st.integers(1, 60), st.integers(1, 60))
def test_no_page_of_a_true_listing_is_too_short(total: int, served: int, asked: int) -> None:
    pages = -(-total // served)
    first = min(served, total)
    for number in range(1, pages + 1):
        rows = min(served, total - (number - 1) * served)
        full_page = asked if number == 1 else min(asked, first)
        assert rows >= fewest_rows(number, total, pages, full_page)


@pytest.mark.parametrize(
    ("absent", "total", "pages", "last"),
    [
        (4, 35, 3, 0),  # fewer pages than before
        (4, 0, 0, 0),
        (3, 35, 4, None),  # it is promised still, and needed
        (4, 35, 4, None),
        (5, 35, 5, 4),  # it is promised, and all records fit on the pages before it
        (35, 35, 35, 4),
        (5, 40, 5, 4),
        (5, 41, 5, None),
    ],
)
def test_where_a_listing_goes_on_whose_page_does_not_come(
    absent: int, total: int, pages: int, last: int | None
) -> None:
    assert last_page_with_rows(absent, total, pages, 10) == last


# --- listings as they come --------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 25), st.integers(1, 10), st.randoms(use_true_random=False))
def test_nothing_is_proven_before_every_row_was_shown_and_then_it_is(total: int, size: int, rng: random.Random) -> None:
    """A listing that stands still and comes in another order with every request."""
    rows = [f"row {number}" for number in range(total)]
    evidence, seen = Evidence(), set[str]()
    for _ in range(500):
        order = rng.sample(rows, total)
        start = rng.randrange(0, total, size)
        page = row_names(order[start : start + size])
        evidence.add(page, total)
        seen |= page
        assert (missing_rows(evidence) == 0) is (len(seen) == total)
        if len(seen) == total:
            return
        if rng.random() < 0.3:
            evidence.begin_anew()


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 20),
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(["remove", "add", "none"]), st.integers(0, 30)), max_size=60),
    st.randoms(use_true_random=False),
)
def test_a_listing_that_only_shrinks_or_only_grows_is_never_proven_too_early(
    total: int, size: int, changes: list[tuple[str, int]], rng: random.Random
) -> None:
    """Whatever order its pages come in: no row that is in the listing at the end is missing from what was shown.

    A row that leaves and one that comes between two answers do not show in the totals; so only one kind happens.
    """
    kind = rng.choice(["remove", "add"])
    rows = [f"row {number}" for number in range(total)]
    evidence, seen = Evidence(), set[str]()
    for number, (change, place) in enumerate(changes):
        order = rng.sample(rows, len(rows))
        start = rng.randrange(0, max(len(rows), 1), size)
        page = row_names(order[start : start + size])
        evidence.add(page, len(rows))
        seen |= page
        if missing_rows(evidence) == 0 and not evidence.has_vanished:
            assert set(rows) <= seen
        if rng.random() < 0.2:
            evidence.begin_anew()
        if change == kind == "remove" and rows:
            rows.pop(place % len(rows))
        elif change == kind == "add":
            rows.append(f"new {number}")
