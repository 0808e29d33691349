"""Which tick is due, and which days a sweep owes: whatever fails or is down, no day is ever passed over."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.lifecycle import Criterio
from ingestor.schedule import LATEST, MOST_SPANS, REREAD_DAYS, due, owed_days, to_spans

DAY = timedelta(days=1)
MONDAY, SUNDAY = date(2026, 3, 9), date(2026, 3, 8)
CRITERIOS: list[Criterio] = ["publicacao", "atualizacao"]
EVERY_QUARTER = "*/15 * * * *"
NOON = datetime(2026, 3, 10, 15, tzinfo=UTC)


def days(first: date, last: date) -> set[date]:
    return {first + n * DAY for n in range((last - first).days + 1)}


# Ticks


def test_a_tick_is_due_from_its_time_until_it_is_settled() -> None:
    before, after = NOON - timedelta(hours=1), NOON + timedelta(seconds=3)
    assert due(EVERY_QUARTER, before, NOON - timedelta(seconds=1)) is None
    assert due(EVERY_QUARTER, before, NOON) == NOON
    assert due(EVERY_QUARTER, before, after) == NOON
    assert due(EVERY_QUARTER, NOON, after) is None


def test_a_tick_that_is_late_by_more_than_ten_minutes_is_dropped() -> None:
    settled = NOON - timedelta(days=3)
    assert due(EVERY_QUARTER, settled, NOON + LATEST - timedelta(seconds=1)) == NOON
    assert due(EVERY_QUARTER, settled, NOON + LATEST + timedelta(minutes=1)) is None


def test_of_several_missed_ticks_the_latest_stands_for_all() -> None:
    assert due("* * * * *", NOON - timedelta(minutes=8), NOON + timedelta(seconds=30)) == NOON


@given(st.integers(0, 7200), st.integers(-600, 7200))
def test_a_tick_that_is_due_is_neither_late_nor_settled_nor_ahead(seconds: int, settled_before: int) -> None:
    moment = NOON + timedelta(seconds=seconds)
    settled = moment - timedelta(seconds=settled_before)
    found = due(EVERY_QUARTER, settled, moment)
    if found is not None:
        assert moment - LATEST - timedelta(minutes=1) < found <= moment
        assert found > settled - timedelta(minutes=1)
        assert found.minute % 15 == 0


# Sweeps


@pytest.mark.parametrize("criterio", CRITERIOS)
def test_the_first_sweep_takes_yesterday_and_of_changes_three_days(criterio: Criterio) -> None:
    first = MONDAY - (DAY if criterio == "publicacao" else 3 * DAY)
    assert owed_days(None, set(), MONDAY, rereads_month=criterio == "publicacao") == days(first, MONDAY - DAY)


def test_a_sweep_takes_the_days_that_have_closed_since_the_last_one() -> None:
    first = date(2026, 3, 2)
    assert owed_days(first, days(first, date(2026, 3, 9)), date(2026, 3, 11), rereads_month=True) == {date(2026, 3, 10)}
    assert owed_days(first, days(first, date(2026, 3, 2)), date(2026, 3, 6), rereads_month=False) == days(
        date(2026, 3, 3), date(2026, 3, 5)
    )


def test_after_a_week_down_the_next_sweep_takes_the_week() -> None:
    first = date(2026, 2, 2)
    owed = owed_days(first, days(first, date(2026, 3, 2)), date(2026, 3, 11), rereads_month=False)
    assert to_spans(owed) == [(date(2026, 3, 3), date(2026, 3, 10))]


def test_a_day_that_failed_is_owed_until_it_is_read_and_the_days_around_it_are_not() -> None:
    first, failed = date(2026, 3, 2), date(2026, 3, 4)
    owed = owed_days(first, days(first, date(2026, 3, 9)) - {failed}, date(2026, 3, 11), rereads_month=True)
    assert to_spans(owed) == [(failed, failed), (date(2026, 3, 10), date(2026, 3, 10))]


def test_on_a_sunday_the_last_thirty_days_are_read_again_by_publication_in_one_span_with_what_is_owed() -> None:
    first = date(2026, 1, 1)
    read = days(first, SUNDAY - 2 * DAY)
    assert to_spans(owed_days(first, read, SUNDAY, rereads_month=True)) == [(SUNDAY - REREAD_DAYS * DAY, SUNDAY - DAY)]
    assert to_spans(owed_days(first, read, SUNDAY, rereads_month=False)) == [(SUNDAY - 3 * DAY, SUNDAY - DAY)]


def test_the_changes_of_the_last_three_days_are_read_again_every_night() -> None:
    """A change stamped yesterday 23:50 may become visible after yesterday's sweep."""
    first = date(2026, 3, 2)
    owed = owed_days(first, days(first, date(2026, 3, 10)), date(2026, 3, 11), rereads_month=False)
    assert owed == days(date(2026, 3, 8), date(2026, 3, 10))


def test_a_day_that_has_been_swept_already_owes_nothing() -> None:
    assert owed_days(MONDAY - DAY, {MONDAY - DAY}, MONDAY, rereads_month=True) == set()
    assert to_spans([]) == []


def test_a_span_of_more_than_365_days_is_cut_and_nothing_of_it_is_left_out() -> None:
    spans = to_spans(days(date(2024, 1, 1), date(2026, 1, 10)))
    assert spans == [
        (date(2024, 1, 1), date(2024, 12, 30)),
        (date(2024, 12, 31), date(2025, 12, 30)),
        (date(2025, 12, 31), date(2026, 1, 10)),
    ]


@given(st.sets(st.dates(date(2022, 1, 1), date(2026, 12, 31)), max_size=60))
def test_spans_hold_every_day_in_order_once_and_are_few_and_short(owed: set[date]) -> None:
    spans = to_spans(owed)
    held = [day for first, last in spans for day in sorted(days(first, last))]
    assert held == sorted(set(held))
    assert owed <= set(held)
    assert all((last - first).days < 365 for first, last in spans)
    assert len(spans) <= MOST_SPANS + 5  # what was merged over five years may have been cut again
    if owed:
        assert (held[0], held[-1]) == (min(owed), max(owed))


@dataclass
class History:
    """What the sweeps by one criterio have left behind."""

    criterio: Criterio
    tried: set[date] = field(default_factory=set)
    read: set[date] = field(default_factory=set)

    def owed(self, today: date) -> list[tuple[date, date]]:
        return to_spans(
            owed_days(min(self.tried, default=None), self.read, today, rereads_month=self.criterio == "publicacao")
        )

    def sweep(self, today: date, fails: frozenset[int]) -> None:
        """Read what is owed, but for those days, counted back from today."""
        for first, last in self.owed(today):
            self.tried |= days(first, last)
            self.read |= {day for day in days(first, last) if (today - day).days not in fails}


NIGHTS = st.lists(
    st.one_of(
        st.none(),  # no worker ran, or the tick was skipped
        st.just(frozenset(range(1, 1000))),  # all failed, or was cancelled
        st.frozensets(st.integers(1, 40), max_size=6),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=300)
@given(st.sampled_from(CRITERIOS), st.dates(date(2024, 1, 1), date(2026, 1, 1)), NIGHTS)
def test_whatever_fails_no_closed_day_since_the_first_sweep_is_ever_passed_over(
    criterio: Criterio, start: date, nights: list[frozenset[int] | None]
) -> None:
    history = History(criterio)
    for number, fails in enumerate(nights):
        today = start + number * DAY
        if fails is not None:
            history.sweep(today, fails)
        assert all(day < today for day in history.tried)
        # the next night's sweep would take whatever is still unread
        taken = {day for first, last in history.owed(today + DAY) for day in days(first, last)}
        first = min(history.tried, default=today)
        assert days(first, today) <= history.read | taken

    after = start + len(nights) * DAY
    history.sweep(after, frozenset())
    assert days(min(history.tried), after - DAY) <= history.read
