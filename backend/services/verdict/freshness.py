"""Whether a resource is fresh: how old its updates are, by its own schedule. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.language.translator import Text
from backend.services.verdict.outages import judge_outage
from backend.services.verdict.state import Action, Failed, Judgement, Mirror, MirrorOf, State, Updates
from common.cron import next_runs
from common.lifecycle import DEFAULT_RESOURCE
from common.resources import SERVICE_OF

MOST_GRACE = timedelta(minutes=25)
RUNNING_TIME = timedelta(minutes=5)
"""An update takes this long without being late."""
SEVERE = timedelta(hours=6)
BY_HAND = timedelta(days=1)


@dataclass(frozen=True)
class Due:
    """When the update is due that would read on from a moment, and the time to the one after it."""

    at: datetime
    interval: timedelta

    @property
    def grace(self) -> timedelta:
        """How late it may be: as long as to the next one, at most half an hour. Alerts wait at least as long."""
        return min(self.interval, MOST_GRACE) + RUNNING_TIME


def due_after(cron: str, moment: datetime) -> Due | None:
    """The first two runs after a moment; `None` where the cron has none."""
    runs = next_runs(cron, moment, 2)
    return Due(runs[0], runs[1] - runs[0]) if len(runs) > 1 else None


def judge_freshness(of: MirrorOf, mirror: Mirror) -> Judgement:
    """How fresh a resource is."""
    updates = of.updates
    if mirror.workers == 0:
        return Judgement("problem", "no_worker", since=mirror.no_worker_since)
    if updates is None:
        return Judgement("ok", "not_kept")
    outage = next((one for one in mirror.outages if one.service == SERVICE_OF[of.resource]), None)
    if outage is not None and (said := judge_outage(outage, mirror.now, told_updates(updates))) is not None:
        return said
    if updates.updated_until is None:
        return _judge_first(of.resource, updates, mirror)
    return _judge_age(of.resource, updates, updates.updated_until, mirror)


def told_updates(updates: Updates | None) -> Text:
    """Up to when a resource is up to date, as part of another sentence."""
    if updates is None or updates.updated_until is None:
        return Text("not_updated")
    return Text("updated_until", {"until": updates.updated_until})


def _judge_first(resource: str, updates: Updates, mirror: Mirror) -> Judgement:
    action = update_now(resource)
    if updates.pause is not None:
        return _paused(resource, updates, is_severe=False)
    if failing := _failing(resource, mirror):
        return _updates_failing(failing, updates, action, is_severe=True)
    if updates.parts_missing:
        counted = {"missing": updates.parts_missing, "parts": updates.parts}
        return Judgement("attention", "first_update_partial", counted, action=action)
    due = due_after(updates.cron, updates.counts_from or mirror.now)
    overdue = timedelta() if due is None else mirror.now - due.at
    if not mirror.has_executions and (due is None or overdue <= due.grace):
        return Judgement("empty", "nothing_updated", action=action)
    if not updates.is_scheduled or due is None:
        return Judgement("attention", "never_updated_off", action=action)
    state: State = "problem" if overdue > max(SEVERE, due.interval) else "attention"
    following = due_after(updates.cron, mirror.now) or due
    return Judgement(state, "never_updated", {"due": following.at}, updates.counts_from, action)


def _judge_age(resource: str, updates: Updates, until: datetime, mirror: Mirror) -> Judgement:
    age, due = mirror.now - until, due_after(updates.cron, until)
    if updates.pause is not None:
        return _paused(resource, updates, is_severe=age > BY_HAND)
    overdue = timedelta() if due is None else mirror.now - max(due.at, updates.counts_from or due.at)
    if due is not None and overdue > due.grace:
        if updates.is_scheduled:
            return _judge_late(resource, updates, due, overdue, mirror)
        told = {"age": age.total_seconds(), "updated": told_updates(updates)}
        state: State = "problem" if age > BY_HAND else "attention"
        return Judgement(state, "schedule_off", told, until, update_now(resource))
    if not updates.is_scheduled:
        return Judgement("ok", "fresh_by_hand", {"until": until})
    following = due_after(updates.cron, mirror.now)
    return Judgement("ok", "fresh", {"until": until, "due": following.at if following else mirror.now})


def _judge_late(resource: str, updates: Updates, due: Due, overdue: timedelta, mirror: Mirror) -> Judgement:
    is_severe, action = overdue > max(SEVERE, due.interval), update_now(resource)
    if failing := _failing(resource, mirror):
        return _updates_failing(failing, updates, action, is_severe=is_severe)
    state: State = "problem" if is_severe else "attention"
    since = updates.updated_until or due.at
    if _goes_on(updates, mirror.now):
        return Judgement(state, "gap", {"since": since}, since, action)
    told = {"age": overdue.total_seconds(), "updated": told_updates(updates), "due": due.at}
    return Judgement(state, "late", told, due.at, action)


def _goes_on(updates: Updates, now: datetime) -> bool:
    """Whether updates succeed all the same, so that what is missing is a gap before them."""
    if updates.last_success_at is None:
        return False
    due = due_after(updates.cron, updates.last_success_at)
    return due is not None and now - due.at <= due.grace


def _failing(resource: str, mirror: Mirror) -> list[Failed]:
    """The failed updates of a resource, newest first."""
    return [one for one in mirror.failed if one.mode == "update" and one.resource == resource]


def _updates_failing(failing: list[Failed], updates: Updates, action: Action, *, is_severe: bool) -> Judgement:
    newest, since = failing[0], failing[-1].finished_at
    told = {"since": since, "updated": told_updates(updates), "why": Text(f"cause.{newest.cause}")}
    return Judgement("problem" if is_severe else "attention", "updates_failing", told, since, action)


def _paused(resource: str, updates: Updates, *, is_severe: bool) -> Judgement:
    assert updates.pause is not None  # noqa: S101  # for the type checker
    pause = updates.pause
    told = {"since": pause.at, "by": told_user(pause.by), "reason": pause.reason, "updated": told_updates(updates)}
    return Judgement("problem" if is_severe else "attention", "update_paused", told, pause.at, resume(resource))


def told_user(name: str) -> str | Text:
    """A user's name; without authentication all users have one."""
    return Text("an_administrator") if name == "an administrator" else name


def resume(resource: str, action: str = "update") -> Action:
    """Let the schedule of a resource run again."""
    name = action if resource == DEFAULT_RESOURCE else f"{resource}.{action}"
    return Action("resume_schedule", "POST", f"/sync/schedules/{name}/resume")


def update_now(resource: str) -> Action:
    """Ask for an update."""
    return Action("update_now", "POST", "/sync/force", {"mode": "update", "resource": resource})
