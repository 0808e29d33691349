"""What an outage of the portal's services means. Pure."""

from datetime import datetime

from backend.language.translator import Text
from backend.services.verdict.state import Judgement, Outage
from common.resources import LABELS


def judge_outage(outage: Outage, now: datetime, updated: Text) -> Judgement | None:
    """What to say of a service that fails; `None` for a pause that the portal asks for, until it is a long one."""
    is_asked = outage.reason in (None, "throttled")
    if is_asked and not outage.is_long:
        return None
    told = {
        "service": told_service(outage.service),
        "how": told_failure(outage.reason, outage.cause),
        "since": outage.since or now,
        "left": max((outage.next_try_at - now).total_seconds(), 0),
        "updated": updated,
    }
    if is_asked:
        return Judgement("attention", "portal_throttled", told, outage.since)
    if outage.is_long:
        return Judgement("problem", "portal_away", told, outage.since)
    return Judgement("attention", "portal_failing", told, outage.since)


def told_service(service: str) -> Text:
    """The name of a service of the portal: what has a listing is named by its resource."""
    if service in ("consulta", "itens", "itens_pca"):
        return Text(f"service.{service}")
    return Text("service.listing" if service in LABELS else "service.other", {"service": service})


def told_failure(reason: str | None, cause: str | None) -> Text:
    """What a service does while it is paused."""
    if cause == "bad_answer":
        return Text("outage.bad_answer")
    return Text(f"outage.{reason or 'throttled'}")
