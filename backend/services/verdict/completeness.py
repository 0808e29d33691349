"""Whether a resource is complete: the closed days of its goal, or those that were ever asked for. Pure."""

from datetime import date

from backend.language.translator import Text
from backend.services.verdict.freshness import told_user
from backend.services.verdict.state import Action, Days, Judgement, Mirror, MirrorOf

SHOW_COVERAGE = Action("show_coverage", "GET", "/#/cobertura")
SHOW_REJECTED = Action("show_rejected", "GET", "/#/rejeitados")
RETRY_FAILED = Action("retry_failed", "POST", "/sync/retry-failed")


def days_of(of: MirrorOf) -> Days:
    """The days that count."""
    goal = of.goal
    if goal is None:
        return of.asked
    return Days(
        goal.days, goal.days_complete, goal.days_missing, goal.days_failed, goal.days_rejected, first=goal.from_day
    )


def judge_completeness(of: MirrorOf, mirror: Mirror) -> Judgement:
    """How complete a resource is."""
    days = days_of(of)
    told = {**vars(days), "goal": told_goal(of)}
    if days.missing:
        return _judge_missing(of, mirror, told)
    if days.rejected:
        return Judgement("attention", "days_rejected", told, action=SHOW_REJECTED)
    if of.goal is not None:
        return Judgement("ok", "complete", told)
    return _judge_without_goal(of, mirror, told)


def _judge_missing(of: MirrorOf, mirror: Mirror, told: dict[str, object]) -> Judgement:
    """Days whose reading has failed are tried again by themselves for a goal that is not paused, and else are not."""
    pause = of.goal.pause if of.goal else None
    if days_of(of).failed and (of.goal is None or pause is not None):
        action = RETRY_FAILED if _can_retry(of.resource, mirror) else SHOW_COVERAGE
        return Judgement("problem", "days_failed", told, action=action)
    if pause is not None:
        action = Action("resume_goal", "POST", f"/sync/goals/{of.resource}/resume")
        return Judgement("attention", "filling_paused", told, pause.at, action)
    code = "days_tried_again" if days_of(of).failed else "days_missing"
    return Judgement("attention", code, told, action=SHOW_COVERAGE)


def _judge_without_goal(of: MirrorOf, mirror: Mirror, told: dict[str, object]) -> Judgement:
    """All that was ever asked for has been read; it has to reach the updates, which go on from there."""
    action = set_goal(of, mirror)
    if not of.asked.days:
        if mirror.has_executions:
            return Judgement("attention", "days_unknown", told, action=action)
        return Judgement("empty", "nothing_read", told, action=action)
    if of.updates is not None and of.updates.updated_until is not None and not of.updates.has_complete_day:
        return Judgement("attention", "not_joined", told, action=action)
    return Judgement("ok", "complete", told, action=action)


def told_goal(of: MirrorOf) -> Text:
    """What the goal is, as part of another sentence."""
    goal = of.goal
    if goal is None:
        return Text("goal.none")
    if goal.pause is not None:
        told = {"from_day": goal.from_day, "by": told_user(goal.pause.by), "reason": goal.pause.reason}
        return Text("goal.paused", told)
    if goal.days_missing and goal.hours_left is not None:
        return Text("goal.hours", {"from_day": goal.from_day, "left": goal.hours_left * 3600})
    return Text("goal.from", {"from_day": goal.from_day})


def set_goal(of: MirrorOf, mirror: Mirror) -> Action:
    """Set a goal: from the first day that was asked for, or from the beginning of the year."""
    first = of.asked.first or date(mirror.now.year, 1, 1)
    return Action("set_goal", "PUT", f"/sync/goals/{of.resource}", {"from_day": first.isoformat()})


def _can_retry(resource: str, mirror: Mirror) -> bool:
    return any(one.can_retry and one.mode != "update" and one.resource == resource for one in mirror.failed)
