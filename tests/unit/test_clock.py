"""Dates are read in one form only, windows are judged as the portal would, and days cut a window without a gap."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.clock import (
    BRASILIA,
    DATE_FORMAT,
    EARLIEST,
    LONGEST_WINDOW,
    WindowError,
    check_window,
    days,
    parse_wall_clock,
    to_wall_clock,
)

SECOND = timedelta(seconds=1)
NOW = datetime.fromisoformat("2026-03-10T12:00:00")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Reading a date


@pytest.mark.parametrize(
    "text", ["2025-01-02T03:04:05", "2024-02-29T23:59:59", "0001-01-01T00:00:00", "9999-12-31T23:59:59"]
)
def test_the_one_form_of_a_date_is_read_as_it_stands(text: str) -> None:
    moment = parse_wall_clock(text)
    assert moment.isoformat() == text
    assert moment.tzinfo is None


@pytest.mark.parametrize(
    "value",
    [
        20250101,
        1735689600.0,
        "1735689600",
        "2025-01-01",
        "2025-01-01T00:00",
        "2025-01-01T00:00:00.5",
        "2025-01-01T00:00:00.000000",
        "2025-01-01 00:00:00",
        "2025-01-01t00:00:00",
        "20250101T000000",
        "2025-W01-1T00:00:00",
        "202\u0665-01-01T00:00:00",
        "\uff12025-01-01T00:00:00",
        "12025-01-01T00:00:00",
        "-2025-01-01T00:00:00",
        "2025-01-01T00:00:00 ",
        " 2025-01-01T00:00:00",
        "2025-01-01T00:00:00\n",
        "2025-01-01T00:00:00\x00",
        "",
        None,
        True,
        b"2025-01-01T00:00:00",
        ["2025-01-01T00:00:00"],
        {"date": "2025-01-01T00:00:00"},
        NOW,  # not even the value itself: this reads text
    ],
)
def test_any_other_form_is_refused_with_the_form_that_is_wanted(value: object) -> None:
    with pytest.raises(WindowError, match=DATE_FORMAT):
        parse_wall_clock(value)


@pytest.mark.parametrize("text", ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00-03:00", "2025-01-01T00:00:00+00:00"])
def test_an_offset_is_refused_with_a_word_on_whose_time_it_is(text: str) -> None:
    with pytest.raises(WindowError, match=r"Brasília e sem fuso"):
        parse_wall_clock(text)


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-30T00:00:00",
        "2025-02-29T00:00:00",
        "2025-13-01T00:00:00",
        "2025-00-01T00:00:00",
        "2025-01-00T00:00:00",
        "2025-01-01T24:00:00",
        "2025-01-01T23:60:00",
        "2016-12-31T23:59:60",
        "0000-01-01T00:00:00",
    ],
)
def test_a_moment_that_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(WindowError, match=f"inexistente.*{DATE_FORMAT}"):
        parse_wall_clock(text)


# Judging a window


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-10T11:59:59", "2026-03-10T11:59:59"),  # one second
        ("2026-03-10T12:00:00", "2026-03-10T12:00:00"),  # of now
        ("2026-03-09T00:00:00", "2026-03-11T12:00:00"),  # the end a day ahead, not a second more
        ("2025-03-09T00:00:00", "2026-03-09T00:00:00"),  # 365 days
        ("2021-01-01T00:00:00", "2021-12-31T23:59:59"),  # the first that may be asked for
    ],
)
def test_a_window_that_the_portal_takes_is_accepted(start: str, end: str) -> None:
    check_window(at(start), at(end), NOW)


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("2026-03-10T00:00:01", "2026-03-10T00:00:00", "anterior ou igual"),
        ("2026-03-09T00:00:00", "2025-03-10T00:00:00", "anterior ou igual"),
        ("2025-03-08T23:59:59", "2026-03-09T00:00:00", "365 dias"),
        ("2026-03-10T12:00:01", "2026-03-10T12:00:01", "data_ini está no futuro"),
        ("2026-03-10T12:00:00", "2026-03-11T12:00:01", "data_fim está mais de um dia"),
        ("2026-03-10T12:00:00", "9999-12-31T23:59:59", "data_fim está mais de um dia"),
        ("0001-01-01T00:00:00", "0001-01-02T00:00:00", "anterior ao PNCP"),
        ("2020-12-31T23:59:59", "2021-01-01T00:00:00", "anterior ao PNCP"),
    ],
)
def test_a_window_that_cannot_be_asked_is_refused_with_its_reason(start: str, end: str, told: str) -> None:
    with pytest.raises(WindowError, match=told):
        check_window(at(start), at(end), NOW)


def test_a_window_may_be_365_days_long_and_not_a_second_more() -> None:
    start = at("2024-06-01T00:00:00")
    check_window(start, start + LONGEST_WINDOW, NOW)
    with pytest.raises(WindowError, match="365"):
        check_window(start, start + LONGEST_WINDOW + SECOND, NOW)


# Cutting into days


def test_a_window_is_cut_at_midnights_with_both_ends_included() -> None:
    cut = [
        (day.isoformat(), start.isoformat(), end.isoformat())
        for day, start, end in days(at("2024-02-28T10:00:00"), at("2024-03-01T00:00:00"))
    ]
    assert cut == [
        ("2024-02-28", "2024-02-28T10:00:00", "2024-02-28T23:59:59"),
        ("2024-02-29", "2024-02-29T00:00:00", "2024-02-29T23:59:59"),
        ("2024-03-01", "2024-03-01T00:00:00", "2024-03-01T00:00:00"),
    ]


def test_a_window_within_a_day_is_that_one_piece() -> None:
    start, end = at("2024-02-28T10:00:00"), at("2024-02-28T10:00:00")
    assert list(days(start, end)) == [(start.date(), start, end)]


@settings(deadline=None)
@given(
    start=st.datetimes(EARLIEST, NOW).map(lambda moment: moment.replace(microsecond=0)),
    length=st.timedeltas(timedelta(), LONGEST_WINDOW).map(
        lambda length: timedelta(seconds=int(length.total_seconds()))
    ),
)
def test_days_cut_any_window_without_gap_or_overlap(start: datetime, length: timedelta) -> None:
    pieces = list(days(start, start + length))
    assert pieces[0][1] == start
    assert pieces[-1][2] == start + length
    for day, first, last in pieces:
        assert first <= last
        assert first.date() == last.date() == day
    for (_, _, last), (_, following, _) in pairwise(pieces):
        assert following - last == SECOND  # the portal's stamps have whole seconds


# Brasília's wall clock


@pytest.mark.parametrize(
    ("moment", "wall_clock"),
    [
        (datetime(2026, 1, 1, 2, 59, 59, tzinfo=UTC), "2025-12-31T23:59:59"),
        (datetime(2026, 7, 1, 3, tzinfo=UTC), "2026-07-01T00:00:00"),
        (datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=9))), "2026-07-01T00:00:00"),
        (datetime(2026, 7, 1, 12, tzinfo=BRASILIA), "2026-07-01T12:00:00"),
    ],
)
def test_an_aware_moment_becomes_brasilia_s_wall_clock(moment: datetime, wall_clock: str) -> None:
    assert to_wall_clock(moment) == at(wall_clock)
    assert to_wall_clock(moment).tzinfo is None


def test_a_naive_moment_is_taken_to_be_brasilia_s_already() -> None:
    assert to_wall_clock(NOW) is NOW
