"""`./pncp schedules`: what starts by itself, when, and whether it is paused."""

import argparse

from rich.console import RenderableType

from standalone.api import Answer, Api
from standalone.language import tr
from standalone.terminal.output import moment, print_answer, state_of, table


def schedules(api: Api, options: argparse.Namespace) -> int:
    """List them, or pause, resume or change one."""
    address = f"/sync/schedules/{getattr(options, 'name', '')}"
    match options.what:
        case "pause":
            listed = [api.post(f"{address}/pause", {"reason": options.reason})]
        case "resume":
            listed = [api.post(f"{address}/resume")]
        case "set":
            listed = [api.put(address, {"cron": options.cron})]
        case "reset":
            listed = [api.put(address, {"cron": None})]
        case _:
            answer = api.get("/sync/schedules")
            print_answer(answer, table_of(answer["schedules"]), as_json=options.json)
            return 0
    print_answer(listed[0], table_of(listed), as_json=options.json)
    return 0


def table_of(listed: list[Answer]) -> RenderableType:
    """Schedules in columns; the next moment only of those that run."""
    heads = ("SCHEDULE", "CRON (Brasília)", "STATE", "NEXT (Brasília)", "LAST (Brasília)", "WHAT CAME OF IT")
    shown = table(heads, wrap=("STATE", "WHAT CAME OF IT"))
    for one in listed:
        last = one["last_tick"]
        what = "-"
        if last:
            ids = ", ".join(str(number) for number in last["execution_ids"])
            what = tr("execution {id}", id=ids) if ids else last["skipped_reason"] or "-"
        runs = one["enabled"] and not one["paused"] and one["next_runs"]
        due = moment(one["next_runs"][0]) if runs else "-"
        shown.add_row(one["name"], one["cron"], _state(one), due, moment(last["due_at"]) if last else "-", what)
    return shown


def _state(schedule: Answer) -> RenderableType:
    if schedule["paused"]:
        who = {"name": schedule["paused_by"] or "-", "when": moment(schedule["paused_at"])}
        words = tr("paused by {name}, {when} (Brasília)", **who)
        return state_of("paused", f"{words}: {schedule['pause_reason']}")
    return state_of("on") if schedule["enabled"] else state_of("off", tr("off: SCHEDULE_ENABLED"))
