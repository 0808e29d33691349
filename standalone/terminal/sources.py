"""Databases of others: their state, and readings of them."""

import argparse
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from standalone.api import Answer, Api
from standalone.console import say
from standalone.language import number, reason_of, tr
from standalone.system import LaunchError
from standalone.terminal import INTERRUPTED
from standalone.terminal.output import STYLES, duration, labelled, moment, print_answer, state_of, table
from standalone.terminal.watching import watch_reading

STATES = {
    "ok": "ok",
    "running": "running",
    "waiting": "waiting",
    "held": "held back",
    "failed": "failed",
    "paused": "paused",
    "missing": "its file is gone",
    "invalid": "its file has faults",
}
READS = {"diferencas": "all rows", "novidades": "what has changed"}
"""What a reading reads, by the API's word for it."""


def sources(api: Api, options: argparse.Namespace) -> int:
    """List sources, or do something about one."""
    if options.what == "list":
        answer = api.get("/sources")
        print_answer(answer, *_list_of(answer), as_json=options.json)
        return 0
    address = f"/sources/{options.name}"
    match options.what:
        case "pause":
            answer = api.post(f"{address}/pause", {"reason": options.reason})
        case "resume":
            answer = api.post(f"{address}/resume")
        case _:
            return _decide(api, api.get(address), options)
    print_answer(answer, sources_of([answer]), as_json=options.json)
    return 0


def _decide(api: Api, source: Answer, options: argparse.Namespace) -> int:
    """Confirm or cancel the reading under way."""
    job_id = source["job_id"]
    if job_id is None:
        raise LaunchError(tr("no reading of {name} is under way", name=options.name))
    answer = api.post(f"/jobs/{job_id}/{options.what}")
    if options.what == "confirm":
        return watch(api, str(job_id), as_json=options.json)
    print_answer(answer, tr("the reading is cancelled; what was read stays"), as_json=options.json)
    return 0


def read(api: Api, options: argparse.Namespace) -> int:
    """Have a source read."""
    started = api.post(f"/sources/{options.name}/ler", {"modo": "delta" if options.delta else "full"})
    if options.watch:
        return watch(api, str(started["request_id"]), as_json=options.json)
    begun = tr("reading {id} of {name} has begun", id=started["request_id"], name=options.name)
    print_answer(started, begun, as_json=options.json)
    return 0


def watch(api: Api, job_id: str, *, as_json: bool) -> int:
    """Watch a reading until it ends or waits for a person; 0 if it succeeded, else 1."""
    try:
        job = watch_reading(api, job_id, is_quiet=as_json)
    except KeyboardInterrupt:
        say(tr("no longer watching; reading {id} goes on", id=job_id))
        return INTERRUPTED
    print_answer(job, *details_of(job), as_json=as_json)
    return 0 if job["status"] == "success" else 1


# --- what is shown ----------------------------------------------------------------------------------------------


def _list_of(answer: Answer) -> Iterator[RenderableType]:
    yield sources_of(answer["sources"])
    for fault in (fault for one in answer["sources"] for fault in one["faults"]):
        place = fault["file"] if fault["line"] is None else f"{fault['file']}:{fault['line']}"
        yield Text(f"{place}: {fault['message']}", STYLES["error"])
    if answer["sources"] and not answer["workers"]:
        yield Text(tr("no worker that takes in runs, so nothing is read"), STYLES["warning"])


def sources_of(listed: list[Answer]) -> RenderableType:
    """Sources in columns."""
    heads = ("SOURCE", "STATE", "READS", "RECORDS", "LAST SUCCESS (Brasília)", "NEXT (Brasília)")
    shown = table(heads, right=("RECORDS",), wrap=("STATE", "READS"))
    for one in listed:
        entities = ", ".join(each["entity"] for each in one["entities"])
        counts = [each["rows"] for each in one["entities"] if each["rows"] is not None]
        rows = number(sum(counts)) if counts else "-"
        following = min(filter(None, (one["next_run"], one["next_delta"])), default=None)
        cells = [entities or "-", rows, moment(one["last_success_at"]), moment(following)]
        shown.add_row(one["name"], state_of(one["state"], _state(one)), *cells)
    return shown


def _state(source: Answer) -> str:
    """The state in words, with what explains it."""
    state = str(source["state"])
    words = tr(STATES[state])
    match state:
        case "held":
            return f"{words}: ./pncp sources confirm {source['name']}"
        case "waiting" | "failed":
            return f"{words}: {source['last_error'] or '-'}"
        case "paused":
            return f"{words}: {source['pause_reason'] or '-'}"
    return words


def details_of(job: Answer) -> Iterator[RenderableType]:
    """One reading, as lines, a table of its entities, and what to do about it."""
    state = "cancelled" if job["cancelled_by"] else str(job["status"])
    line = tr("reading {id} of {name}, {mode}: ", id=job["id"], name=job["subject"], mode=tr(READS[job["mode"]]))
    yield Text(line) + state_of(state, tr(job["phase"] if state == "running" else state))
    facts = Table.grid(padding=(0, 2))
    facts.add_row("  " + tr("asked for"), f"{labelled(job['created_at'])}, {job['trigger']}")
    if job["duration_seconds"] is not None:
        facts.add_row("  " + tr("duration"), duration(job["duration_seconds"]))
    if reason := reason_of(job):
        facts.add_row("  " + tr("error"), Text(reason, STYLES["error"]))
    yield facts
    heads = ("ENTITY", "STATUS", "READ", "NEW", "CHANGED", "UNCHANGED", "REJECTED", "ERROR")
    shown = table(heads, right=heads[2:7], wrap=("ERROR",))
    for one in job["streams"]:
        counts = [number(one[name]) for name in ("seen", "created", "changed", "unchanged", "rejected")]
        shown.add_row(one["stream"], state_of(one["status"]), *counts, one["error_message"] or "")
    yield shown
    if job["held"]:
        why = tr("it waits for a person: {n} records are gone from the source", n=number(job["held"]["owed"] or 0))
        yield Text("  " + why, STYLES["warning"])
        words = {"name": job["subject"]}
        yield "  " + tr(
            "to remove them here: ./pncp sources confirm {name}; not to: ./pncp sources cancel {name}", **words
        )
    if job["rejected"]:
        yield "  " + tr("what was rejected, and why: ./pncp imports --door sql")
