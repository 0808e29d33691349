"""The verdict on the mirror: fresh, complete, healthy, what is wrong, and which command mends it."""

import argparse
import re
from collections.abc import Iterator
from shlex import quote
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from common.resources import RESOURCE_NAMES
from standalone.api import Answer, Api
from standalone.language import number, tr
from standalone.terminal.output import STYLES, ago, labelled, moment, print_answer, state_of, table

COMMANDS = (
    (r"POST /sync/force", "./pncp sync --update"),
    (r"POST /sync/retry-failed", "./pncp retry-failed"),
    (r"POST /sync/executions/(\d+)/retry", r"./pncp retry \1"),
    (r"POST /sync/schedules/([^/]+)/resume", r"./pncp schedules resume \1"),
    (r"POST /sync/goals/([^/]+)/resume", r"./pncp goals resume \1"),
    (r"PUT /sync/goals/([^/]+)", r"./pncp goals set \1 YYYY-MM-DD"),
    (r"POST /sync/troubles/([^/]+)/acknowledge", r"./pncp alerts ack \1"),
)
"""Which command does what the page does by a request."""


def verdict(api: Api, options: argparse.Namespace) -> int:
    """Show it; 0 if all is well, else 1."""
    answer = api.get("/sync/verdict")
    troubles = [trouble_table(answer["troubles"])] if answer["troubles"] else []
    tables = [*facts_of(answer), *resources_of(answer), *troubles]
    print_answer(answer, *heads_of(answer), *(part for shown in tables for part in ("", shown)), as_json=options.json)
    return 0 if answer["state"] == "ok" else 1


def heads_of(answer: Answer | None) -> Iterator[RenderableType]:
    """The verdict as a whole, in two or three lines; nothing of a backend that has none."""
    if answer is None:
        return
    yield state_of(answer["state"], answer["title"])
    since = f" {tr('Since')} {labelled(answer['since'])}." if answer["since"] else ""
    yield f"{answer['text']}{since}"
    yield from _to_do(answer["action"])


def _to_do(action: Answer | None) -> Iterator[str]:
    if action is not None:
        yield f"  {action['label']}: {command_of(action)}"


def command_of(action: Answer) -> str:
    """The command that does what a button of the page does, or the request where there is none."""
    request = f"{action['method']} {action['path']}"
    body: dict[str, Any] = action.get("body") or {}
    if request == "POST /sync/force" and body.get("mode") == "backfill":
        days = f"{str(body.get('data_ini'))[:10]} {str(body.get('data_fim'))[:10]}"
        resource = f" --resource {body['resource']}" if "resource" in body else ""
        return f"./pncp sync --backfill {days}{resource}"
    if "from_day" in body:
        return f"./pncp goals set {action['path'].rpartition('/')[2]} {body['from_day']}"
    if request == "POST /sync/force" and "resource" in body:
        return f"./pncp sync --update --resource {body['resource']}"
    if action["method"] == "GET":
        return f"./pncp open {quote(action['path'])}"
    return next((found.expand(to) for form, to in COMMANDS if (found := re.fullmatch(form, request))), request)


def facts_of(answer: Answer) -> Iterator[RenderableType]:
    """The three facts, in columns."""
    shown = table(("FACT", "STATE", "WHAT", "SINCE (Brasília)", "TO DO"), wrap=("WHAT", "TO DO"))
    for fact in answer["facts"]:
        what = f"{fact['title']}. {fact['text']}"
        command = command_of(fact["action"]) if fact["action"] else "-"
        shown.add_row(tr(fact["fact"]), state_of(fact["state"]), what, moment(fact["since"]), command)
    yield shown


def resources_of(answer: Answer) -> Iterator[RenderableType]:
    """Each resource in columns, where there are any."""
    figures = ("DAYS", "COMPLETE DAYS", "MISSING", "FAILED", "REJECTED")
    shown = table(("RESOURCE", "FRESH", "COMPLETE", "UPDATED UNTIL", *figures), right=figures)
    for one in answer["resources"]:
        days = [one[name] for name in ("days", "days_complete", "days_missing", "days_failed", "days_rejected")]
        states = [state_of(one[fact]["state"]) for fact in ("fresh", "complete")]
        counts = ["-" if count is None else number(count) for count in days]
        shown.add_row(one["resource"], *states, ago(one["updated_until"]), *counts)
    if shown.row_count:
        yield shown


def trouble_table(troubles: list[Answer]) -> RenderableType:
    """What is wrong, each with its number of cases, and the command that mends it."""
    shown = table(("TROUBLE", "STATE", "WHAT", "TIMES", "SINCE (Brasília)", "TO DO"), right=("TIMES",), wrap=("WHAT",))
    for one in troubles:
        what = Text(f"{one['title']}. {one['text']}")
        if one["acknowledged_by"] or one["acknowledged_at"]:
            seen = {"name": one["acknowledged_by"] or "-", "when": moment(one["acknowledged_at"])}
            what += Text(" " + tr("Acknowledged by {name}, {when} (Brasília).", **seen), STYLES["paused"])
        command = command_of(one["action"]) if one["action"] else "-"
        cells: list[RenderableType] = [
            state_of(one["state"]),
            what,
            number(one["count"]),
            moment(one["since"]),
            command,
        ]
        shown.add_row(one["id"], *cells)
    return shown


def freshness_of(dashboard: Answer) -> Iterator[RenderableType]:
    """How many records of each resource there are, and up to when its changes have been read, where there are any."""
    fresh = {one["resource"]: one for one in dashboard["resources"]}
    sizes = {one["table"]: one for one in dashboard["mirror"]}
    shown = table(("RESOURCE", "RECORDS", "UPDATED UNTIL", "COMPLETE UNTIL"), right=("RECORDS",))
    for resource in RESOURCE_NAMES:
        size, freshness = sizes.get(resource), fresh.get(resource, {})
        if size and (size["rows"] or freshness):
            rows = number(size["rows"]) if size["exact"] else tr("about {n}", n=number(size["rows"]))
            shown.add_row(resource, rows, *(ago(freshness.get(name)) for name in ("updated_until", "complete_until")))
    if shown.row_count:
        yield shown


def owed_of(dashboard: Answer) -> RenderableType:
    """What is still to be read: items that did not come with their records, and the lists that are only read later."""
    figures = ("OWED", "SET ASIDE", "REQUESTS")
    shown = table(("LIST", "OF", "SCOPE", "OWED", "OLDEST", "SET ASIDE", "REQUESTS"), right=figures, wrap=("SCOPE",))
    for one in dashboard["itens_owed"]["resources"]:
        owed = number(one["count"] - one["set_aside"])
        shown.add_row(tr("items"), one["resource"], "-", owed, ago(one["since"]), number(one["set_aside"]), "-")
    for one in dashboard["lists_owed"]:
        counts = (one["set_aside"], one["requests"])
        aside, requests = ("-" if count is None else number(count) for count in counts)
        owed = number(one["owed"])
        owed = tr("about {n}", n=owed) if one["set_aside"] is None else owed
        shown.add_row(one["list"], one["resource"], one["scope"], owed, ago(one["since"]), aside, requests)
    return shown
