"""Which days a goal asks for, which of those that are missing are read next, and when one is tried again."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from common.clock import BRASILIA
from common.coverage import MissingDay
from common.goals import OWED_AFTER, owed_span
from common.resources.contratacoes import CONTRATACOES
from common.resources.pcas import PCAS
from ingestor.goals import FIRST_WAIT, LONGEST_WAIT, MOST_DAYS, Filling, Tried, choose, due_again, wait_after

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
LAST = date(2026, 3, 9)
ALL = (6, 8)


def missing(*days: date, parts: tuple[int, ...] = ALL) -> list[MissingDay]:
    return [MissingDay(day, parts) for day in sorted(days, reverse=True)]


def days(first: date, last: date) -> list[date]:
    return [first + n * DAY for n in range((last - first).days + 1)]


def failed(first: date, last: date, *, ago: timedelta = timedelta(0), has_read: bool = True) -> Tried:
    return Tried(first, last, NOW - ago, has_failed=True, has_read=has_read)


# What is owed


def test_a_goal_asks_for_every_closed_day_up_to_yesterday() -> None:
    assert owed_span(CONTRATACOES, date(2026, 3, 1), NOW) == (date(2026, 3, 1), LAST)


def test_a_day_is_owed_when_the_sweep_of_the_night_has_had_its_hours() -> None:
    midnight = datetime(2026, 3, 10, tzinfo=BRASILIA)
    before, after = midnight + OWED_AFTER - timedelta(seconds=1), midnight + OWED_AFTER
    assert owed_span(CONTRATACOES, date(2026, 3, 1), before) == (date(2026, 3, 1), LAST - DAY)
    assert owed_span(CONTRATACOES, date(2026, 3, 1), after) == (date(2026, 3, 1), LAST)


def test_a_goal_of_today_or_of_the_future_asks_for_nothing_yet() -> None:
    assert owed_span(CONTRATACOES, LAST, NOW) == (LAST, LAST)
    assert owed_span(CONTRATACOES, LAST + DAY, NOW) is None
    assert owed_span(CONTRATACOES, LAST + 300 * DAY, NOW) is None


def test_days_that_the_portal_refuses_to_list_are_not_asked_for() -> None:
    begins = PCAS.listings[PCAS.day_criterio].begins
    assert begins is not None
    assert owed_span(PCAS, date(2021, 1, 1), NOW) == (begins, LAST)


# What is read next


def test_nothing_is_read_where_nothing_is_missing() -> None:
    assert choose([], [], [], NOW) is None


def test_the_newest_days_come_first_and_at_most_a_month_of_them() -> None:
    found = choose(missing(*days(date(2021, 1, 1), LAST)), [], [], NOW)
    assert found == Filling(LAST - (MOST_DAYS - 1) * DAY, LAST, ALL)


def test_days_that_were_read_are_not_read_again() -> None:
    assert choose(missing(LAST, LAST - DAY, LAST - 3 * DAY), [], [], NOW) == Filling(LAST - DAY, LAST, ALL)


def test_days_that_lack_other_parts_are_another_execution() -> None:
    found = choose([MissingDay(LAST, (8,)), *missing(LAST - DAY)], [], [], NOW)
    assert found == Filling(LAST, LAST, (8,))


def test_days_that_another_backfill_is_about_to_read_are_left_to_it() -> None:
    under_way = [(LAST - 2 * DAY, LAST)]
    assert choose(missing(*days(LAST - 5 * DAY, LAST)), [], under_way, NOW) == Filling(
        LAST - 5 * DAY, LAST - 3 * DAY, ALL
    )
    assert choose(missing(LAST), [], under_way, NOW) is None


def test_a_day_that_has_failed_waits_and_the_others_do_not() -> None:
    tried = [failed(LAST - 9 * DAY, LAST)]
    left = missing(LAST - 4 * DAY, *days(LAST - 12 * DAY, LAST - 10 * DAY))
    assert choose(left, tried, [], NOW) == Filling(LAST - 12 * DAY, LAST - 10 * DAY, ALL)
    later = NOW + FIRST_WAIT
    assert choose(left, tried, [], later) == Filling(LAST - 4 * DAY, LAST - 4 * DAY, ALL)


def test_a_day_that_fails_again_and_again_is_tried_ever_more_seldom() -> None:
    tried = [failed(LAST, LAST, ago=n * timedelta(minutes=1)) for n in range(3)]
    assert due_again(LAST, tried[:1]) == NOW + FIRST_WAIT
    assert due_again(LAST, tried) == NOW + 4 * FIRST_WAIT
    assert due_again(LAST - DAY, tried) < NOW


def test_executions_that_read_nothing_hold_up_the_whole_goal() -> None:
    tried = [failed(LAST - 5 * DAY, LAST, has_read=False), failed(LAST - 5 * DAY, LAST, ago=DAY, has_read=False)]
    older = missing(LAST - 20 * DAY)
    assert choose(older, tried, [], NOW + FIRST_WAIT) is None
    assert choose(older, tried, [], NOW + 2 * FIRST_WAIT) is not None


def test_an_execution_that_read_something_ends_the_wait_of_the_goal() -> None:
    nothing = failed(LAST, LAST, has_read=False)
    older = missing(LAST - 20 * DAY)
    assert choose(older, [failed(LAST, LAST), nothing], [], NOW) is not None
    assert choose(older, [Tried(LAST, LAST, NOW, has_failed=False, has_read=True), nothing], [], NOW) is not None


def test_waits_grow_up_to_a_week() -> None:
    waits = [wait_after(failures) for failures in range(1, 200)]
    assert waits[0] == FIRST_WAIT
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT


@given(
    st.sets(st.integers(0, 200)),
    st.sets(st.integers(0, 200)),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9))),
)
def test_whatever_is_missing_nothing_else_is_read_and_all_of_it_in_the_end(
    both: set[int], one_part: set[int], spans: list[tuple[int, int]]
) -> None:
    under_way = [(LAST - (n + more) * DAY, LAST - n * DAY) for n, more in spans]
    left = {LAST - n * DAY: ALL for n in both} | {LAST - n * DAY: (6,) for n in one_part}
    before = dict(left)
    newest: date | None = None
    while found := choose([MissingDay(day, left[day]) for day in sorted(left, reverse=True)], [], under_way, NOW):
        assert found.last - found.first < MOST_DAYS * DAY
        assert newest is None or found.last < newest
        newest = found.first
        for day in days(found.first, found.last):
            assert left.pop(day) == found.parts
    taken = {day for day in before if any(first <= day <= last for first, last in under_way)}
    assert set(left) == taken
