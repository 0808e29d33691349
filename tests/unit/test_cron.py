"""Which cron expressions are taken, and when they come up on Brasília's clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.clock import BRASILIA
from common.cron import LONGEST_CRON, CronError, check_cron, latest_due, next_runs

EVERY_QUARTER, AT_ONE = "*/15 * * * *", "0 1 * * *"
MOMENTS = st.datetimes(datetime(2021, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
CRONS = st.sampled_from([EVERY_QUARTER, AT_ONE, "* * * * *", "7 3 * * 0", "0 0 1 * *", "59 23 31 12 *"])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "cron", [EVERY_QUARTER, AT_ONE, "0 1 * * SUN", "0 9-17/2 1,15 JAN-MAR *", "0 0 29 2 *", "0 0 L * *", "5 4 * * 7"]
)
def test_five_fields_that_come_up_are_taken(cron: str) -> None:
    assert check_cron(cron) == cron


def test_what_surrounds_the_fields_is_tidied() -> None:
    assert check_cron(" */15  *\t* * *\n") == EVERY_QUARTER


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "every day",
        "* * * *",
        "0 */15 * * * *",  # seconds
        "@daily",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "*/0 * * * *",
        "0 0 30 2 *",  # no February has it
        "-1 * * * *",
        "1-0 * * * *",
        "٣ * * * *",
        "1,2,,3 * * * *",
        "* " * LONGEST_CRON,
        "0" * LONGEST_CRON + " * * * *",
    ],
)
def test_anything_else_is_refused(cron: str) -> None:
    with pytest.raises(CronError):
        check_cron(cron)


@given(st.one_of(st.text(max_size=40), st.text("0123456789*/,-L#W \x00", max_size=40)))
def test_no_text_breaks_the_check(text: str) -> None:
    try:
        taken = check_cron(text)
    except CronError:
        return
    assert len(next_runs(taken, utc("2026-01-01T00:00:00"), 5)) >= 1


def test_times_are_brasilia_s_also_across_its_midnight() -> None:
    # 22:50 in Brasília; in UTC the next day has begun
    runs = next_runs("*/30 * * * *", utc("2026-03-11T01:50:00"), 5)
    assert [run.isoformat() for run in runs] == [
        "2026-03-10T23:00:00-03:00",
        "2026-03-10T23:30:00-03:00",
        "2026-03-11T00:00:00-03:00",
        "2026-03-11T00:30:00-03:00",
        "2026-03-11T01:00:00-03:00",
    ]
    assert next_runs(AT_ONE, utc("2026-03-11T02:59:59"), 1) == [utc("2026-03-11T04:00:00")]
    assert next_runs("30 23 * * 0", utc("2026-03-09T02:29:00"), 1) == [utc("2026-03-09T02:30:00")]  # Sunday there


def test_the_latest_due_time_is_the_one_at_or_before_the_moment() -> None:
    nine = utc("2026-03-10T12:00:00")
    assert latest_due(EVERY_QUARTER, nine - timedelta(minutes=1), nine) == nine
    assert latest_due(EVERY_QUARTER, nine, nine + timedelta(minutes=14, seconds=59)) is None
    assert latest_due("* * * * *", nine, nine + timedelta(minutes=9, seconds=30)) == nine + timedelta(minutes=9)
    assert latest_due(EVERY_QUARTER, nine, nine - timedelta(minutes=5)) is None


@given(CRONS, MOMENTS, st.integers(0, 6000))
def test_the_latest_due_time_is_the_last_of_the_next_ones(cron: str, after: datetime, seconds: int) -> None:
    until = after + timedelta(seconds=seconds)
    before = [run for run in next_runs(cron, after, 101) if run <= until]
    assert latest_due(cron, after, until) == (before[-1] if before else None)


@given(CRONS, MOMENTS)
def test_next_runs_ascend_from_the_moment_in_brasilia(cron: str, moment: datetime) -> None:
    runs = next_runs(cron, moment, 5)
    assert len(runs) == 5
    assert all(earlier < later for earlier, later in zip([moment, *runs], runs, strict=False))
    assert {run.tzinfo for run in runs} == {BRASILIA}
