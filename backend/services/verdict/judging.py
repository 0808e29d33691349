"""The facts and the whole: of what belongs to each, the worst decides. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from backend.services.verdict.completeness import days_of, judge_completeness
from backend.services.verdict.freshness import judge_freshness
from backend.services.verdict.state import (
    STATES,
    Action,
    Fact,
    Judgement,
    Mirror,
    ResourceVerdict,
    Trouble,
    Verdict,
    worst,
)
from backend.services.verdict.troubles import find_troubles
from common.clock import start_of_day, to_wall_clock

FIRST_DAYS = timedelta(days=7)
OF_ALL = ("no_worker", "nothing_updated", "nothing_read")
"""Judgements that are the same for every resource."""


def judge(mirror: Mirror) -> Verdict:
    """The verdict."""
    resources = [
        ResourceVerdict(one, days_of(one), judge_freshness(one, mirror), judge_completeness(one, mirror))
        for one in mirror.resources
    ]
    troubles = find_troubles(mirror)
    counting = [one for one in troubles if one.acknowledged is None]
    facts: dict[Fact, Judgement] = {
        "fresh": _judge_freshness(resources, counting),
        "complete": _judge_completeness(resources, counting),
        "healthy": _judge_health(counting),
    }
    return Verdict(_judge_whole(facts, mirror), facts, resources, troubles, mirror.now)


def judge_without_database(now: datetime) -> Verdict:
    """The verdict while the database does not answer: nothing is known but that."""
    troubles = find_troubles(Mirror(now, database="away"))
    unknown = Judgement("problem", "unknown")
    away = troubles[0].said
    return Verdict(away, {"fresh": unknown, "complete": unknown, "healthy": away}, [], troubles, now)


def _judge_freshness(resources: Sequence[ResourceVerdict], troubles: Sequence[Trouble]) -> Judgement:
    kept = [one for one in resources if one.of.updates is not None]
    if not kept:
        return _or_worse(Judgement("ok", "not_kept"), troubles, "fresh")
    judged = _worst_of([(one.of.resource, one.fresh) for one in kept])
    if judged.state == "ok" and judged.code == "fresh":
        earliest = min(
            (one.fresh for one in kept if "until" in one.fresh.values), key=lambda said: said.values["until"]
        )
        judged = earliest
    return _or_worse(judged, troubles, "fresh")


def _judge_completeness(resources: Sequence[ResourceVerdict], troubles: Sequence[Trouble]) -> Judgement:
    judged = _worst_of([(one.of.resource, one.complete) for one in resources])
    if judged.state == "ok" and len(resources) > 1:
        days = sum(one.days.days for one in resources)
        judged = replace(
            judged, code="complete_all", values={**judged.values, "days": days, "resources": len(resources)}
        )
    return _or_worse(judged, troubles, "complete")


def _worst_of(judged: Sequence[tuple[str, Judgement]]) -> Judgement:
    """The first of the worst; it names its resource where there are several, and says how many are like it."""
    state = worst([said.state for _, said in judged])
    alike = [(resource, said) for resource, said in judged if said.state == state]
    resource, said = alike[0]
    if len(judged) == 1 or state == "ok" or said.code in OF_ALL:
        return said
    return replace(said, resource=resource, others=sum(other.code == said.code for _, other in alike[1:]))


def _or_worse(judged: Judgement, troubles: Sequence[Trouble], fact: Fact) -> Judgement:
    """A judgement of the resources, or the first trouble of this fact that is worse."""
    own = [one.said for one in troubles if one.fact == fact]
    return max([judged, *own], key=lambda said: STATES.index(said.state))


def _judge_health(troubles: Sequence[Trouble]) -> Judgement:
    own = [one.said for one in troubles if one.fact == "healthy"]
    if not own:
        return Judgement("ok", "healthy")
    first = max(own, key=lambda said: STATES.index(said.state))
    if len(own) == 1:
        return first
    since = min((said.since for said in own if said.since is not None), default=None)
    return Judgement(first.state, "troubles", {"count": len(own), "first": first.title}, since, first.action)


def _judge_whole(facts: dict[Fact, Judgement], mirror: Mirror) -> Judgement:
    state = worst([said.state for said in facts.values()])
    if state == "ok":
        return Judgement("ok", "ok", {fact: said.title for fact, said in facts.items()})
    if state == "empty":
        return Judgement("empty", "empty", action=_first_load(mirror))
    return next(said for said in facts.values() if said.state == state)


def _first_load(mirror: Mirror) -> Action:
    """Read the last days, today among them."""
    end = to_wall_clock(mirror.now).replace(microsecond=0)
    start = start_of_day(end) - (FIRST_DAYS - timedelta(days=1))
    resource = mirror.resources[0].resource
    body = {"mode": "backfill", "resource": resource, "data_ini": start.isoformat(), "data_fim": end.isoformat()}
    return Action("first_load", "POST", "/sync/force", body)
