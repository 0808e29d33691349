"""What is wrong, folded: one trouble for all that has one cause, with a true count. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from backend.language.translator import Text
from backend.services.alerts.sentences import DELIVERY, family_of
from backend.services.verdict.completeness import RETRY_FAILED, SHOW_REJECTED
from backend.services.verdict.freshness import told_updates, told_user
from backend.services.verdict.outages import judge_outage
from backend.services.verdict.state import Acknowledged, Action, Fact, Failed, Judgement, Mirror, State, Trouble
from common.resources import SERVICE_OF

MOST_IDS = 100
SHOWN_FIELDS = 3
TOLD_ALERTS = {"sync", "source", "rejected", "database", "itens", "drift", "queue"}
"""Kinds of alerts whose reasons are troubles or facts of their own."""


def find_troubles(mirror: Mirror) -> list[Trouble]:
    """All of them, the worst first; acknowledged ones keep their place."""
    found = [
        *_of_database(mirror),
        *_of_workers(mirror),
        *_of_broker(mirror),
        *_of_portal(mirror),
        *_of_failures(mirror.failed),
        *_of_records(mirror),
        *_of_alerts(mirror),
        *_of_schedules(mirror),
    ]
    known = [_with_acknowledgement(one, mirror.acknowledged.get(one.id)) for one in found]
    return sorted(known, key=lambda one: one.said.state != "problem")


def _with_acknowledgement(trouble: Trouble, known: Acknowledged | None) -> Trouble:
    """An acknowledgement holds until there is something newer than what it covers."""
    if known is None or trouble.fingerprint is None or int(trouble.fingerprint) > int(known.fingerprint):
        return trouble
    return replace(trouble, acknowledged=known)


def _of_database(mirror: Mirror) -> Iterator[Trouble]:
    codes = {"away": "database_away", "read-only": "database_read_only", "failing": "database_failing"}
    if mirror.database in codes:
        said = Judgement("problem", codes[mirror.database])
        yield Trouble("database", "database", "healthy", said, original=mirror.database_error)


def _of_workers(mirror: Mirror) -> Iterator[Trouble]:
    if mirror.workers == 0:
        yield Trouble("workers", "workers", "healthy", Judgement("problem", "no_worker", since=mirror.no_worker_since))


def _of_broker(mirror: Mirror) -> Iterator[Trouble]:
    broker = mirror.broker
    if broker is None:
        return
    if broker.state != "connected":
        code = "broker_blocked" if broker.state == "blocked" else "broker_away"
        yield Trouble("broker", "broker", "healthy", Judgement("attention", code))
    elif broker.is_unconsumed:
        said = Judgement("attention", "queue_unread", {"count": broker.messages})
        yield Trouble("queue", "queue", "healthy", said, count=broker.messages)


def _of_portal(mirror: Mirror) -> Iterator[Trouble]:
    """An outage of a listing is a matter of freshness; one of a service beside it leaves records incomplete."""
    resource_of = {SERVICE_OF[one.resource]: one for one in mirror.resources if one.updates is not None}
    for outage in mirror.outages:
        of = resource_of.get(outage.service)
        said = judge_outage(outage, mirror.now, told_updates(of.updates if of else None))
        if said is not None:
            fact: Fact = "fresh" if of else "complete"
            said = said if of else replace(said, state="attention")
            yield Trouble(f"source-{outage.service}", "source", fact, said, original=outage.error_message)


def _of_failures(failed: Sequence[Failed]) -> Iterator[Trouble]:
    """Failed updates are one trouble, as the next one reads again what is missing; others are one for each cause."""
    updates = [one for one in failed if one.mode == "update"]
    if updates:
        told = {"last": updates[0].finished_at, "why": Text(f"cause.{updates[0].cause}")}
        yield _fold("failed-updates", "failed_updates", updates, told, state="attention")
    by_cause: dict[str, list[Failed]] = {}
    for one in failed:
        if one.mode != "update":
            by_cause.setdefault(one.cause, []).append(one)
    for cause, alike in by_cause.items():
        told = {"why": Text(f"cause.{cause}"), "advice": Text(f"advice.{cause}")}
        yield _fold(f"failed-{cause}", "failed_backfills", alike, told, state="problem")


def _fold(trouble_id: str, code: str, failed: Sequence[Failed], told: dict[str, object], *, state: State) -> Trouble:
    """`failed`: newest first."""
    ids = [one.id for one in failed]
    can_retry = [one.id for one in failed if one.can_retry and one.mode != "update"]
    action = Action("show_history", "GET", "/#/historico?status=error")
    if can_retry:
        action = replace(RETRY_FAILED, body={"execution_ids": can_retry[:MOST_IDS]})
    since = min(one.finished_at for one in failed)
    return Trouble(
        trouble_id,
        code,
        "healthy",
        Judgement(state, code, {"count": len(ids), **told}, since, action),
        count=len(ids),
        execution_ids=ids[:MOST_IDS],
        original=failed[0].error_message,
        fingerprint=str(max(ids)),
    )


def _of_records(mirror: Mirror) -> Iterator[Trouble]:
    rejected = mirror.rejected
    told: dict[str, object]
    if rejected.records:
        effect = Text("rejected_days", {"days": rejected.days}) if rejected.days else Text("rejected_no_day")
        told = {"count": rejected.records, "effect": effect}
        said = Judgement("attention", "rejected", told, action=SHOW_REJECTED)
        yield Trouble("rejected", "rejected", "healthy", said, count=rejected.records, fingerprint=str(rejected.newest))
    for owed in mirror.owed:
        waiting = owed.count - owed.set_aside
        told = {"list": owed.label, "name": owed.list}
        if owed.set_aside:
            said = Judgement("attention", "itens_set_aside", {**told, "count": owed.set_aside}, owed.since)
            yield Trouble(
                f"aside-{owed.resource}-{owed.list}",
                "set_aside",
                "complete",
                said,
                count=owed.set_aside,
                original=owed.original,
            )
        elif waiting and owed.since is not None:
            told = {**told, "count": waiting, "since": owed.since, "why": list(owed.reasons)}
            said = Judgement("attention", "itens_owed", told, owed.since)
            yield Trouble(
                f"owed-{owed.resource}-{owed.list}",
                "owed",
                "complete",
                said,
                count=waiting,
                original=owed.original,
            )
    if mirror.drift:
        fields = [Text("drift.field", vars(one)) for one in mirror.drift[:SHOWN_FIELDS]]
        said = Judgement("attention", "drift", {"count": len(mirror.drift), "fields": fields})
        original = "\n".join(one.path for one in mirror.drift)
        yield Trouble("drift", "drift", "healthy", said, len(mirror.drift), original=original)


def _of_alerts(mirror: Mirror) -> Iterator[Trouble]:
    for one in mirror.alerts:
        if one.kind not in TOLD_ALERTS:
            told = {"summary": one.summary, "since": one.opened_at}
            action = Action("show_alerts", "GET", "/#/alertas")
            if family_of(one.kind) == DELIVERY:
                action = Action("show_deliveries", "GET", "/#/entregas")
            said = Judgement("attention", "alert", told, one.opened_at, action)
            yield Trouble(f"alert-{one.kind}", "alert", "healthy", said)


def _of_schedules(mirror: Mirror) -> Iterator[Trouble]:
    for one in mirror.paused:
        told = {
            "name": one.name,
            "since": one.pause.at,
            "by": told_user(one.pause.by),
            "reason": one.pause.reason,
        }
        action = Action("resume_schedule", "POST", f"/sync/schedules/{one.name}/resume")
        said = Judgement("attention", "schedule_paused", told, one.pause.at, action)
        yield Trouble(f"paused-{one.name}", "schedule_paused", "fresh" if one.action == "update" else "healthy", said)
