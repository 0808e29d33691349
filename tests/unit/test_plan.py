"""What is expected of a backfill, by the past or without one."""

from functools import partial

from backend.services import plan
from backend.services.plan import PUBLISHED_IN_A_DAY, Past, Work
from common.resources import RESOURCE_NAMES
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS

NO_PAST = Past(0, {})
PUBLISHED = PUBLISHED_IN_A_DAY[CONTRATACOES.name]
PREGAO, DISPENSA, UNKNOWN_TO_THE_PORTAL = 6, 8, 19

estimate_backfill = partial(plan.estimate_backfill, CONTRATACOES)


def test_without_a_past_every_day_is_taken_for_a_busy_one_that_is_not_stored() -> None:
    estimate = estimate_backfill([(modalidade, False) for modalidade in range(1, 20)], NO_PAST)
    assert estimate.work.records == sum(PUBLISHED.values()) == 6499
    assert estimate.work.itens == estimate.work.records
    # rounded up for each modalidade, and one answer of nothing for each that has none
    assert estimate.work.pages == 37 + 61 + 25 + 5 + 3 + 2 + 13
    assert "10/07/2025" in estimate.basis


def test_the_past_of_a_modalidade_tells_more_than_the_published_figures() -> None:
    past = Past(12, {(PREGAO, False): Work(3, 120, 20), (PREGAO, True): Work(1, 4, 1)})
    estimate = estimate_backfill([(PREGAO, False), (PREGAO, False), (PREGAO, True)], past)
    assert estimate.work == Work(7, 244, 41)
    assert estimate.work.requests == 48
    assert "12 fatias passadas" in estimate.basis
    assert "10/07/2025" not in estimate.basis


def test_an_unknown_weekend_is_taken_for_other_days_and_not_the_other_way_round() -> None:
    weekdays = estimate_backfill([(PREGAO, True)], Past(1, {(PREGAO, False): Work(3, 120, 20)}))
    assert weekdays.work == Work(3, 120, 20)
    weekends = estimate_backfill([(PREGAO, False)], Past(1, {(PREGAO, True): Work(1, 4, 1)}))
    assert weekends.work.records == PUBLISHED[PREGAO]


def test_what_is_measured_and_what_is_assumed_are_told_apart() -> None:
    past = Past(5, {(PREGAO, False): Work(3, 120, 20)})
    estimate = estimate_backfill([(PREGAO, False), (DISPENSA, False), (UNKNOWN_TO_THE_PORTAL, False)], past)
    assert estimate.work == Work(3 + 61 + 1, 120 + 3030, 20 + 3030)
    assert "para 2 das 3 fatias" in estimate.basis


def test_a_part_of_a_day_reads_its_whole_listing_and_stores_its_share() -> None:
    past = Past(1, {(PREGAO, False): Work(4, 200, 200)})
    assert estimate_backfill([(PREGAO, False)], past, share=0.25).work == Work(4, 50, 50)


def test_every_resource_has_a_busy_day() -> None:
    assert tuple(PUBLISHED_IN_A_DAY) == RESOURCE_NAMES


def test_contratos_come_on_pages_of_500_without_lists_of_items() -> None:
    estimate = plan.estimate_backfill(CONTRATOS, [(0, False), (0, True)], NO_PAST)
    assert estimate.work == Work(2 * 17, 2 * 8368, 0)
    measured = plan.estimate_backfill(CONTRATOS, [(0, False)], Past(3, {(0, False): Work(12, 5830, 0)}))
    assert measured.work == Work(12, 5830, 0)
    assert "3 fatias passadas" in measured.basis
    assert "modalidade" not in measured.basis
