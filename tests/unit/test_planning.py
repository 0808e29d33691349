"""An execution becomes slices that cover its window, and updates follow each other without a gap."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.clock import EARLIEST, LONGEST_WINDOW
from common.lifecycle.executions import Execution
from common.lifecycle.slices import PlannedSlice
from common.watermarks import Beyond
from ingestor.planning import LONGEST_GAP, Gap, Rules, backfill_slices, update_slices

NOW = datetime.fromisoformat("2026-03-10T12:00:00")
ROLLING, OVERLAP = timedelta(minutes=15), timedelta(minutes=10)
RULES = Rules(parts={"contratacoes": (6, 8)}, rolling_window=ROLLING, overlap=OVERLAP)
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def marks(reached: dict[int, datetime]) -> dict[int, Beyond]:
    """Modalidades that have been read without a gap up to these moments, and no further."""
    return {modalidade: Beyond(end, newest=end) for modalidade, end in reached.items()}


def update_of(known: dict[int, Beyond], now: datetime, rules: Rules) -> tuple[list[PlannedSlice], Gap | None]:
    return update_slices(known, rules.parts_of("contratacoes"), now, rules)


def backfill(start: str | None, end: str | None, modalidades: list[int] | None = None) -> Execution:
    window = (at(text) if text else None for text in (start, end))
    return Execution(1, "contratacoes", "backfill", "publicacao", *window, modalidades)


# Backfills


def test_a_backfill_becomes_one_slice_per_day_and_modalidade() -> None:
    slices = backfill_slices(backfill("2026-03-08T10:00:00", "2026-03-09T09:00:00"), (6, 8))
    first, last = at("2026-03-08T00:00:00").date(), at("2026-03-09T00:00:00").date()
    assert slices == [
        PlannedSlice(6, first, first, at("2026-03-08T10:00:00"), at("2026-03-08T23:59:59")),
        PlannedSlice(8, first, first, at("2026-03-08T10:00:00"), at("2026-03-08T23:59:59")),
        PlannedSlice(6, last, last, at("2026-03-09T00:00:00"), at("2026-03-09T09:00:00")),
        PlannedSlice(8, last, last, at("2026-03-09T00:00:00"), at("2026-03-09T09:00:00")),
    ]


def test_a_backfill_s_own_modalidades_go_before_the_settings() -> None:
    slices = backfill_slices(backfill("2026-03-08T00:00:00", "2026-03-08T00:00:00", [3, 12]), (6, 8))
    assert [each.part for each in slices] == [3, 12]


def test_a_backfill_of_a_second_is_one_slice_each() -> None:
    slices = backfill_slices(backfill("2026-03-08T10:00:00", "2026-03-08T10:00:00"), (6,))
    assert [(each.window_start, each.window_end) for each in slices] == [(at("2026-03-08T10:00:00"),) * 2]


def test_the_longest_backfill_has_a_slice_for_each_of_its_days() -> None:
    slices = backfill_slices(backfill("2025-03-09T12:00:00", "2026-03-09T12:00:00"), tuple(range(1, 20)))
    assert len(slices) == 366 * 19
    assert len({(each.first_day, each.part) for each in slices}) == len(slices)


@pytest.mark.parametrize(("start", "end"), [(None, None), ("2026-03-08T00:00:00", None), (None, "2026-03-08T00:00:00")])
def test_a_backfill_without_a_window_cannot_be_planned(start: str | None, end: str | None) -> None:
    with pytest.raises(ValueError, match="window"):
        backfill_slices(backfill(start, end), (6,))


@settings(deadline=None, max_examples=50)
@given(
    st.datetimes(EARLIEST, NOW).map(lambda moment: moment.replace(microsecond=0)),
    st.integers(0, int(timedelta(days=40).total_seconds())),
    st.lists(st.integers(1, 19), min_size=1, max_size=3, unique=True),
)
def test_the_slices_of_a_backfill_cover_its_window_once_per_modalidade(
    start: datetime, seconds: int, modalidades: list[int]
) -> None:
    end = start + timedelta(seconds=seconds)
    slices = backfill_slices(
        Execution(1, "contratacoes", "backfill", "publicacao", start, end, None), tuple(modalidades)
    )
    for modalidade in modalidades:
        own = [each for each in slices if each.part == modalidade]
        assert own[0].window_start == start
        assert own[-1].window_end == end
        assert all(sooner.window_end + SECOND == later.window_start for sooner, later in pairwise(own))
        assert all(each.first_day == each.last_day == each.window_start.date() for each in own)


# Updates


def test_the_first_update_ever_looks_back_by_the_rolling_window() -> None:
    slices, gap = update_of({}, NOW, RULES)
    today = NOW.date()
    assert slices == [
        PlannedSlice(6, today, today, NOW - ROLLING, NOW),
        PlannedSlice(8, today, today, NOW - ROLLING, NOW),
    ]
    assert gap is None


@pytest.mark.parametrize(
    ("watermark", "start"),
    [
        (NOW, NOW - ROLLING),
        (NOW - timedelta(minutes=4), NOW - ROLLING),  # 14 minutes back with the overlap
        (NOW - timedelta(minutes=5), NOW - ROLLING),
        (NOW - timedelta(minutes=6), NOW - timedelta(minutes=16)),  # and now the overlap reaches further
        (NOW - timedelta(minutes=15), NOW - timedelta(minutes=25)),
        (NOW - timedelta(hours=5), NOW - timedelta(hours=5, minutes=10)),
        (NOW - LONGEST_GAP, NOW - LONGEST_GAP - OVERLAP),  # the longest that an update bridges itself
        (NOW + timedelta(hours=1), NOW - ROLLING),  # a clock that was set back
    ],
)
def test_an_update_starts_where_the_last_one_ended_less_the_overlap(watermark: datetime, start: datetime) -> None:
    slices, gap = update_of(marks({6: watermark, 8: NOW}), NOW, RULES)
    assert [each.window_start for each in slices] == [start, NOW - ROLLING]
    assert [each.first_day for each in slices] == [start.date(), (NOW - ROLLING).date()]
    assert all(each.window_end == NOW and each.last_day == NOW.date() for each in slices)
    assert gap is None


def test_an_update_just_after_midnight_reads_both_days() -> None:
    now = at("2026-03-10T00:05:00")
    slices, _ = update_of({}, now, RULES)
    assert {(each.first_day, each.last_day) for each in slices} == {(at("2026-03-09T00:00:00").date(), now.date())}
    assert slices[0].window_start == at("2026-03-09T23:50:00")


def test_a_gap_over_seven_days_is_left_to_a_backfill_from_where_updates_ended() -> None:
    watermark = NOW - LONGEST_GAP - SECOND
    slices, gap = update_of(marks({6: watermark, 8: NOW}), NOW, RULES)
    assert gap == Gap((6,), watermark - OVERLAP, NOW)
    assert [each.part for each in slices] == [6, 8]  # the fresh end is not left to the backfill
    assert (slices[0].window_start, slices[0].window_end) == (NOW - ROLLING, NOW)


def test_one_gap_spans_all_modalidades_that_are_behind_and_no_others() -> None:
    rules = Rules({"contratacoes": (1, 2, 3, 4, 5)}, ROLLING, OVERLAP)
    watermarks = {
        1: NOW - timedelta(days=9),
        2: NOW - timedelta(days=30),
        3: NOW - timedelta(days=6),
        4: NOW - timedelta(minutes=15),
    }
    slices, gap = update_of(marks(watermarks), NOW, rules)
    assert gap == Gap((1, 2), NOW - timedelta(days=30) - OVERLAP, NOW)
    assert {each.part: each.window_start for each in slices} == {
        1: NOW - ROLLING,
        2: NOW - ROLLING,
        3: NOW - timedelta(days=6) - OVERLAP,
        4: NOW - timedelta(minutes=25),
        5: NOW - ROLLING,
    }


def test_a_watermark_of_a_modalidade_that_is_no_longer_wanted_does_not_matter() -> None:
    slices, gap = update_of(marks({13: NOW - timedelta(days=30)}), NOW, RULES)
    assert [each.part for each in slices] == [6, 8]
    assert gap is None


def test_an_update_may_have_no_overlap() -> None:
    rules = Rules({"contratacoes": (6,)}, timedelta(minutes=1), timedelta())
    (only,), _ = update_of(marks({6: NOW - timedelta(hours=1)}), NOW, rules)
    assert only.window_start == NOW - timedelta(hours=1)


LONG_AGO = NOW - timedelta(days=30)


def test_while_a_gap_is_being_bridged_no_second_backfill_is_begun_and_updates_follow_on_each_other() -> None:
    twenty_ago = NOW - timedelta(minutes=20)
    bridged = Beyond(LONG_AGO, newest=twenty_ago, resumes=LONG_AGO + timedelta(days=30), is_bridged=True)
    (only,), gap = update_of({6: bridged}, NOW, Rules({"contratacoes": (6,)}, ROLLING, OVERLAP))
    assert gap is None
    assert only.window_start == twenty_ago - OVERLAP


def test_a_gap_whose_backfill_failed_is_bridged_again_up_to_what_has_been_read_beyond_it() -> None:
    resumes = LONG_AGO + timedelta(days=3)
    failed = Beyond(LONG_AGO, newest=NOW - timedelta(minutes=5), resumes=resumes)
    (only,), gap = update_of({6: failed}, NOW, Rules({"contratacoes": (6,)}, ROLLING, OVERLAP))
    assert gap == Gap((6,), LONG_AGO - OVERLAP, resumes)
    assert only.window_start == NOW - ROLLING


def test_a_short_gap_is_read_by_the_update_itself() -> None:
    failed = Beyond(NOW - timedelta(days=2), newest=NOW - timedelta(minutes=5), resumes=NOW - timedelta(days=1))
    (only,), gap = update_of({6: failed}, NOW, Rules({"contratacoes": (6,)}, ROLLING, OVERLAP))
    assert gap is None
    assert only.window_start == NOW - timedelta(days=2) - OVERLAP


DURATIONS = st.integers(0, int(2 * LONGEST_WINDOW.total_seconds())).map(lambda seconds: timedelta(seconds=seconds))
MINUTES = st.integers(0, 10_080).map(lambda minutes: timedelta(minutes=minutes))


@settings(deadline=None)
@given(
    ages=st.dictionaries(st.integers(1, 6), DURATIONS | MINUTES),
    rolling=MINUTES.filter(bool),
    overlap=MINUTES,
)
def test_an_update_leaves_no_gap_between_a_watermark_and_its_start(
    ages: dict[int, timedelta], rolling: timedelta, overlap: timedelta
) -> None:
    watermarks = {modalidade: NOW - age for modalidade, age in ages.items()}
    slices, gap = update_of(marks(watermarks), NOW, Rules({"contratacoes": (1, 2, 3, 4, 5, 6)}, rolling, overlap))
    assert [each.part for each in slices] == [1, 2, 3, 4, 5, 6]
    for each in slices:
        assert each.window_end == NOW
        assert each.window_start <= NOW - rolling
        assert (each.first_day, each.last_day) == (each.window_start.date(), NOW.date())
        watermark = watermarks.get(each.part)
        if watermark is None:
            continue
        if gap is not None and each.part in gap.parts:
            assert gap.window_start <= watermark - overlap
            assert each.window_start <= gap.window_end
        else:
            assert each.window_start <= watermark - overlap
            assert NOW - watermark <= LONGEST_GAP
