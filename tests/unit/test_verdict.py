"""What the verdict makes of plain values: lateness by the schedule, the worst of several, acknowledgements."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from backend.language.translator import LANGUAGES
from backend.language.verdict import SENTENCES
from backend.services.alerts.findings import is_overdue
from backend.services.verdict import judging
from backend.services.verdict.judging import judge_without_database
from backend.services.verdict.state import (
    Acknowledged,
    Broker,
    Days,
    Drifted,
    Failed,
    GoalState,
    Mirror,
    MirrorOf,
    Outage,
    Owed,
    Pause,
    Rejected,
    Updates,
    Verdict,
)
from backend.services.verdict.wording import word
from tests.support import ROOT

NOW = datetime(2026, 3, 10, 15, tzinfo=UTC)  # Tuesday, noon in Brasília
PAIRED = [code for code in SENTENCES if f"{code.removesuffix('.title')}.text" in SENTENCES and code.endswith(".title")]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
QUARTERLY, HOURLY, NIGHTLY = "*/15 * * * *", "20 * * * *", "0 1 * * *"
WHOLE = Days(days=10, complete=10, first=date(2026, 2, 28))


def judge(mirror: Mirror) -> Verdict:
    """The verdict, which has its sentences in every language."""
    verdict = judging.judge(mirror)
    for language in LANGUAGES:
        assert word(verdict, language).title
    return verdict


def mirror_of(
    resource: str = "contratacoes", *, cron: str = QUARTERLY, ago: timedelta = MINUTE, **more: Any
) -> MirrorOf:
    updates = Updates(cron=cron, updated_until=NOW - ago, parts=1, has_complete_day=True)
    return MirrorOf(resource, resource, replace(updates, **more.pop("updates", {})), **{"asked": WHOLE, **more})


def mirror(*resources: MirrorOf, **more: Any) -> Mirror:
    return Mirror(NOW, resources=resources or (mirror_of(),), **more)


def failed(number: int, **more: Any) -> Failed:
    told = {"resource": "contratacoes", "mode": "backfill", "cause": "no_answer", "error_message": None}
    return Failed(number, **{**told, "finished_at": NOW - HOUR, "can_retry": True, **more})


@pytest.mark.parametrize(
    ("cron", "ago", "state"),
    [
        (QUARTERLY, 30 * MINUTE, "ok"),
        (QUARTERLY, 40 * MINUTE, "attention"),
        (QUARTERLY, 6 * HOUR, "attention"),
        (QUARTERLY, 7 * HOUR, "problem"),
        (HOURLY, 35 * MINUTE, "ok"),
        (HOURLY, 75 * MINUTE, "attention"),
        (NIGHTLY, 11 * HOUR, "ok"),
        (NIGHTLY, 12 * HOUR, "attention"),
        (NIGHTLY, 30 * HOUR, "attention"),
        (NIGHTLY, 3 * DAY, "problem"),
    ],
)
def test_an_update_is_late_by_its_own_schedule(cron: str, ago: timedelta, state: str) -> None:
    verdict = judge(mirror(mirror_of(cron=cron, ago=ago)))
    assert verdict.facts["fresh"].state == state
    assert verdict.whole.state == state


@pytest.mark.parametrize("cron", [QUARTERLY, HOURLY, NIGHTLY])
def test_no_alert_of_overdue_updates_is_open_over_a_fresh_mirror(cron: str) -> None:
    for minutes in range(0, 4 * 24 * 60, 7):
        ago = minutes * MINUTE
        alarmed = is_overdue(cron, NOW, limit=HOUR, last=[NOW - ago])
        assert not alarmed or judge(mirror(mirror_of(cron=cron, ago=ago))).facts["fresh"].state != "ok", ago


def test_what_is_made_of_the_first_minutes_counts_from_the_schedule_s_beginning() -> None:
    late = mirror_of(ago=5 * HOUR, updates={"counts_from": NOW - 5 * MINUTE})
    assert judge(mirror(late)).facts["fresh"].state == "ok"


def test_the_worst_fact_decides_and_of_equal_ones_the_first() -> None:
    both = judge(mirror(mirror_of(ago=12 * HOUR, asked=replace(WHOLE, missing=1, failed=1))))
    assert (both.whole.code, both.whole.state) == ("late", "problem")
    complete = judge(mirror(mirror_of(ago=2 * HOUR, asked=replace(WHOLE, missing=1, failed=1))))
    assert (complete.whole.code, complete.facts["fresh"].state) == ("days_failed", "attention")


def test_an_outage_of_one_listing_is_that_resource_s_alone() -> None:
    outage = Outage("contratos", "down", "no_answer", None, NOW - HOUR, NOW + MINUTE, is_long=True)
    verdict = judge(mirror(mirror_of(), mirror_of("contratos"), outages=[outage]))
    assert [one.fresh.code for one in verdict.resources] == ["fresh", "portal_away"]
    assert verdict.whole.resource == "contratos"


def test_an_acknowledgement_holds_while_there_is_less_and_not_while_there_is_more() -> None:
    known = {"failed-no_answer": Acknowledged("2", "ana", NOW)}
    for numbers, state in (((2, 1), "ok"), ((1,), "ok"), ((3, 2, 1), "problem")):
        verdict = judge(mirror(failed=[failed(number) for number in numbers], acknowledged=known))
        assert verdict.facts["healthy"].state == state, numbers
        assert len(verdict.troubles) == 1


def test_days_whose_reading_failed_are_a_problem_where_nothing_tries_them_again() -> None:
    goal = GoalState(date(2026, 1, 1), days=60, days_complete=58, days_missing=2, days_failed=1, days_rejected=0)
    paused = replace(goal, pause=Pause(NOW, "ana", "portal lento"))
    codes = [judge(mirror(mirror_of(goal=one))).facts["complete"] for one in (goal, paused)]
    assert [(said.code, said.state) for said in codes] == [
        ("days_tried_again", "attention"),
        ("days_failed", "problem"),
    ]


def test_without_the_database_the_facts_are_unknown() -> None:
    verdict = judge_without_database(NOW)
    assert {fact: said.code for fact, said in verdict.facts.items()} == {
        "fresh": "unknown",
        "complete": "unknown",
        "healthy": "database_away",
    }
    for language in LANGUAGES:
        assert word(verdict, language).state == "problem"


def test_a_trouble_that_is_worse_than_its_fact_decides_it() -> None:
    owed = Owed("contratacoes", "itens", "Itens", count=3, set_aside=0, since=NOW - HOUR)
    drifted = Drifted("contratacoes.processo", "object", 1)
    verdict = judge(mirror(owed=[owed], drift=[drifted], failed=[failed(1)]))
    told = {fact: (said.code, said.state) for fact, said in verdict.facts.items()}
    assert told == {
        "fresh": ("fresh", "ok"),
        "complete": ("itens_owed", "attention"),
        "healthy": ("troubles", "problem"),
    }
    assert [one.id for one in verdict.troubles] == ["failed-no_answer", "owed-contratacoes-itens", "drift"]


def test_several_resources_in_order_are_told_in_one_sentence() -> None:
    verdict = judge(mirror(mirror_of(ago=2 * MINUTE), mirror_of("contratos")))
    assert {fact: said.code for fact, said in verdict.facts.items()} == {
        "fresh": "fresh",
        "complete": "complete_all",
        "healthy": "healthy",
    }
    said = word(verdict, "pt-BR")
    assert said.text == "Atualizado até 11:58. Completo."
    assert said.facts[1].text == "20 dias lidos por inteiro, de 2 recursos."


@pytest.mark.parametrize("code", [code.removesuffix(".title") for code in PAIRED])
def test_no_sentence_of_a_judgement_is_left_that_nothing_decides(code: str) -> None:
    """Every judgement is made somewhere in the code of the verdict."""
    sources = "".join(path.read_text() for path in (ROOT / "backend" / "services" / "verdict").glob("*.py"))
    assert f'"{code}"' in sources


NEVER = {"updated_until": None, "parts": 0}
GOAL = GoalState(date(2026, 1, 1), days=60, days_complete=58, days_missing=2, days_failed=0, days_rejected=0)


@pytest.mark.parametrize(
    ("of", "fact", "code"),
    [
        (mirror(mirror_of(updates={**NEVER, "is_scheduled": False})), "fresh", "never_updated_off"),
        (mirror(mirror_of(updates=NEVER)), "fresh", "never_updated"),
        (mirror(mirror_of(), MirrorOf("atas", "Atas", None, Days(), replace(GOAL, days_missing=0))), "fresh", "fresh"),
        (mirror(mirror_of(updates={"has_complete_day": False})), "complete", "not_joined"),
        (mirror(mirror_of(goal=replace(GOAL, hours_left=12.5))), "complete", "days_missing"),
        (mirror(database="read-only"), "healthy", "database_read_only"),
        (mirror(broker=Broker("blocked")), "healthy", "broker_blocked"),
        (mirror(broker=Broker("connected", 3, is_unconsumed=True)), "healthy", "queue_unread"),
        (mirror(broker=Broker("connected", 3)), "healthy", "healthy"),
    ],
)
def test_rarer_states_have_their_codes_and_their_sentences(of: Mirror, fact: Any, code: str) -> None:
    assert judge(of).facts[fact].code == code


def test_a_mirror_that_keeps_nothing_up_to_date_has_a_verdict() -> None:
    verdict = judge(mirror(MirrorOf("atas", "Atas", None, WHOLE)))
    assert {fact: (said.state, said.code) for fact, said in verdict.facts.items()} == {
        "fresh": ("ok", "not_kept"),
        "complete": ("ok", "complete"),
        "healthy": ("ok", "healthy"),
    }


@pytest.mark.parametrize(
    ("days", "said"),
    [(0, "Nenhum dia depende deles. ./pncp"), (1, "1 dia não está completo"), (2, "2 dias não estão completos")],
)
def test_rejected_records_say_how_many_days_lack_them(days: int, said: str) -> None:
    verdict = judge(mirror(mirror_of(), rejected=Rejected(3, days, 9)))
    assert word(verdict, "pt-BR").troubles[0].text.startswith(said)
