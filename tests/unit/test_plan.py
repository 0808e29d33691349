"""What is expected of a backfill, by the past or without one."""

from datetime import date
from functools import partial

from backend.services import plan
from backend.services.plan import FULL_YEAR, USUAL, Past, Work
from common.resources import RESOURCE_NAMES
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.instrumentos_cobranca import INSTRUMENTOS_COBRANCA
from common.resources.pcas import PCAS

NO_PAST = Past(0, {})
PUBLISHED = USUAL[CONTRATACOES.name].records
THURSDAY, SATURDAY = date(2025, 7, 10), date(2025, 7, 12)
FORMER = date(2024, 7, 11)  # a Thursday
PREGAO, DISPENSA, UNKNOWN_TO_THE_PORTAL = 6, 8, 19

estimate_backfill = partial(plan.estimate_backfill, CONTRATACOES)


def test_without_a_past_every_day_is_taken_for_a_busy_one_that_is_not_stored() -> None:
    estimate = estimate_backfill([(modalidade, THURSDAY) for modalidade in range(1, 20)], NO_PAST)
    assert estimate.work.records == sum(PUBLISHED.values()) == 6499
    assert estimate.work.itens == estimate.work.records
    # rounded up for each modalidade, and one answer of nothing for each that has none
    assert estimate.work.pages == 37 + 61 + 25 + 5 + 3 + 2 + 13
    assert "10/07/2025" in estimate.basis


def test_the_past_of_a_modalidade_tells_more_than_the_published_figures() -> None:
    past = Past(12, {(PREGAO, FULL_YEAR, False): Work(3, 120, 20), (PREGAO, FULL_YEAR, True): Work(1, 4, 1)})
    estimate = estimate_backfill([(PREGAO, THURSDAY), (PREGAO, THURSDAY), (PREGAO, SATURDAY)], past)
    assert estimate.work == Work(7, 244, 41)
    assert estimate.work.requests == 48
    assert "12 fatias passadas" in estimate.basis
    assert "10/07/2025" not in estimate.basis


def test_an_unknown_weekend_is_taken_for_other_days_and_not_the_other_way_round() -> None:
    weekdays = estimate_backfill([(PREGAO, SATURDAY)], Past(1, {(PREGAO, FULL_YEAR, False): Work(3, 120, 20)}))
    assert weekdays.work == Work(3, 120, 20)
    weekends = estimate_backfill([(PREGAO, THURSDAY)], Past(1, {(PREGAO, FULL_YEAR, True): Work(1, 4, 1)}))
    assert weekends.work.records == PUBLISHED[PREGAO]


def test_former_years_and_weekends_have_a_share_of_a_working_day() -> None:
    without = estimate_backfill([(PREGAO, FORMER), (PREGAO, SATURDAY)], NO_PAST).work
    assert without == Work(19 + 4, 901 + 180.2, 901 + 180.2)
    past = Past(1, {(PREGAO, FULL_YEAR, False): Work(3, 120, 20)})
    assert estimate_backfill([(PREGAO, FORMER)], past).work == Work(1.5, 60, 10)
    past = Past(2, {**past.means, (PREGAO, 2024, False): Work(2, 70, 7)})
    assert estimate_backfill([(PREGAO, FORMER)], past).work == Work(2, 70, 7)


def test_what_is_measured_and_what_is_assumed_are_told_apart() -> None:
    past = Past(5, {(PREGAO, FULL_YEAR, False): Work(3, 120, 20)})
    pieces = [(part, THURSDAY) for part in (PREGAO, DISPENSA, UNKNOWN_TO_THE_PORTAL)]
    estimate = estimate_backfill(pieces, past)
    assert estimate.work == Work(3 + 61 + 1, 120 + 3030, 20 + 3030)
    assert "para 2 das 3 fatias" in estimate.basis


def test_a_part_of_a_day_reads_its_whole_listing_and_stores_its_share() -> None:
    past = Past(1, {(PREGAO, FULL_YEAR, False): Work(4, 200, 200)})
    assert estimate_backfill([(PREGAO, THURSDAY)], past, share=0.25).work == Work(4, 50, 50)


def test_every_resource_has_a_usual_day() -> None:
    assert tuple(USUAL) == RESOURCE_NAMES


def test_contratos_come_on_pages_of_500_without_lists_of_items() -> None:
    estimate = plan.estimate_backfill(CONTRATOS, [(0, THURSDAY), (0, SATURDAY)], NO_PAST)
    assert estimate.work == Work(17 + 2, 9204.8, 0)
    past = Past(3, {(0, FULL_YEAR, False): Work(12, 5830, 0)})
    measured = plan.estimate_backfill(CONTRATOS, [(0, THURSDAY)], past)
    assert measured.work == Work(12, 5830, 0)
    assert "3 fatias passadas" in measured.basis
    assert "modalidade" not in measured.basis


def test_a_page_of_plans_holds_items_and_each_plan_has_a_list_of_them() -> None:
    estimate = plan.estimate_backfill(PCAS, [(0, THURSDAY)], NO_PAST)
    assert estimate.work == Work(11, 60, 60)  # 5,300 items on pages of 500
    assert "5300 linhas" in estimate.basis


def test_before_2025_the_listing_of_instrumentos_is_empty_and_asked_for_all_the_same() -> None:
    estimate = plan.estimate_backfill(INSTRUMENTOS_COBRANCA, [(0, FORMER), (0, THURSDAY)], NO_PAST)
    assert estimate.work == Work(1 + 6, 600, 0)
