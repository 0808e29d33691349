"""`./pncp goals`: since when each resource is to be kept complete, and what is left to read for that."""

import argparse

from rich.console import RenderableType

from standalone.api import Answer, Api
from standalone.language import number, tr
from standalone.terminal.output import duration, moment, print_answer, table

MEGABYTE = 1_000_000


def goals(api: Api, options: argparse.Namespace) -> int:
    """List them, or change one."""
    address = f"/sync/goals/{getattr(options, 'resource', '')}"
    match options.what:
        case "set":
            answer = api.put(address, {"from_day": options.day})
            line = tr("{resource} is kept complete from {day} on", resource=options.resource, day=options.day)
        case "remove":
            api.delete(address)
            answer = {}
            line = tr("{resource} has no goal; what is stored stays", resource=options.resource)
        case "pause":
            answer = api.post(f"{address}/pause", {"reason": options.reason})
            line = tr("the goal of {resource} is paused", resource=options.resource)
        case "resume":
            answer = api.post(f"{address}/resume")
            line = tr("the goal of {resource} goes on", resource=options.resource)
        case "plan":
            answer = api.get(f"{address}/plan", from_day=options.day)
            line = plan_line(answer)
        case _:
            answer = api.get("/sync/goals")
            print_answer(answer, table_of(answer["goals"]), as_json=options.json)
            return 0
    print_answer(answer, line, as_json=options.json)
    return 0


def plan_line(plan: Answer) -> str:
    """What keeping a resource complete from a day on would come to."""
    counts = {name: number(plan[name]) for name in ("days", "slices", "requests")}
    size = number(plan["bytes"] / MEGABYTE)
    took = duration(plan["hours"] * 3600)
    text = "{days} days to read, {slices} slices, about {requests} requests, {time}, {size} MB"
    return tr(text, **counts, time=took, size=size)


def table_of(listed: list[Answer]) -> RenderableType:
    """Goals in columns."""
    figures = ("DAYS", "COMPLETE DAYS", "MISSING", "FAILED", "REJECTED")
    heads = ("RESOURCE", "COMPLETE FROM", *figures, "NEXT TO READ", "LEFT", "STATE")
    shown = table(heads, right=figures, wrap=("STATE",))
    for one in listed:
        days = ("days", "days_complete", "days_missing", "days_failed", "days_rejected")
        counts = [number(one[name]) for name in days] if one["from_day"] else ["-"] * len(days)
        left = "-" if one["hours_left"] is None else duration(one["hours_left"] * 3600)
        from_day = one["from_day"] or tr("no goal")
        shown.add_row(one["resource"], from_day, *counts, one["newest_missing"] or "-", left, _state(one))
    return shown


def _state(goal: Answer) -> str:
    if goal["paused"]:
        who = {"name": goal["paused_by"] or "-", "when": moment(goal["paused_at"])}
        return tr("paused by {name}, {when} (Brasília)", **who) + f": {goal['pause_reason']}"
    if not goal["from_day"]:
        return "-"
    if not goal["days_missing"]:
        return tr("complete")
    return tr("execution {id}", id=goal["execution_id"]) if goal["execution_id"] else tr("waiting for its turn")
