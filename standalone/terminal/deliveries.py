"""Deliveries to other systems: begin, preview and watch them; destinations with their state, and what they rejected."""

import argparse
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from standalone.api import Answer, Api
from standalone.console import say
from standalone.language import number, reason_of, tr
from standalone.system import LaunchError
from standalone.terminal import INTERRUPTED
from standalone.terminal.output import STYLES, ago, duration, labelled, moment, print_answer, state_of, table
from standalone.terminal.watching import watch_job

Shown = tuple[Answer, Iterable[RenderableType]]
"""An answer, and how it is shown to people."""
MODES = {"all": "tudo", "rejected": "rejeitados"}
"""What a delivery sends, by its option; without one what differs."""
SENDS = {
    "novidades": "what has changed",
    "diferencas": "all that differs",
    "tudo": "everything",
    "rejeitados": "what was rejected",
    "teste": "a request without records",
}
"""What a delivery sends, by the API's word for it."""
STATES = {
    "ok": "ok",
    "running": "running",
    "waiting": "waiting",
    "held": "held back",
    "stopped": "wants no more",
    "paused": "paused",
    "missing": "its file is gone",
    "invalid": "its file has faults",
}
RECORD_STATES = {"devido": "owed", "enviado": "sent", "enviando": "being sent", "rejeitado": "rejected"}

# --- the commands -----------------------------------------------------------------------------------------------


def deliver(api: Api, options: argparse.Namespace) -> int:
    """Deliver to a destination what it lacks, or show what that would be."""
    if options.dry_run:
        answer = api.post(f"/destinations/{options.name}/preview")
        print_answer(answer, *preview_of(answer), as_json=options.json)
        return 0
    entities = _entities_of(api, options)
    mode = next((word for name, word in MODES.items() if getattr(options, name)), "diferencas")
    for entity in entities:
        body = {"destino": options.name, "modo": mode, **({"chaves": options.keys} if options.keys else {})}
        answer = api.post(f"/{entity.replace('_', '-')}/sincronizar", body)
        # a destination has one delivery at a time: the next entity waits for the end of the one before
        if not options.watch and len(entities) == 1:
            return _say_begun(answer, options)
        code = watch(api, str(answer["request_id"]), as_json=options.json)
        if code != 0:
            return code
    return 0


def _entities_of(api: Api, options: argparse.Namespace) -> list[str]:
    """The entities that the destination receives, in the order of its file, or the one that was asked for."""
    streams = api.get(f"/destinations/{options.name}")["streams"]
    entities = list(dict.fromkeys(str(stream["entity"]) for stream in streams))
    if options.entity is None:
        return entities
    wanted = options.entity.replace("-", "_")
    if wanted not in entities:
        known = {"name": options.name, "entity": options.entity, "entities": ", ".join(entities) or "-"}
        raise LaunchError(tr("{name} does not receive {entity}; it receives: {entities}", **known))
    return [wanted]


def _say_begun(answer: Answer, options: argparse.Namespace) -> int:
    begun = tr("delivery {id} has begun; to watch it: ./pncp deliveries watch {id}", id=answer["request_id"])
    print_answer(answer, begun, as_json=options.json)
    return 0


def watch(api: Api, job_id: str, *, as_json: bool) -> int:
    """Watch a delivery until it ends or waits for a person; 0 if it succeeded, else 1."""
    try:
        job = watch_job(api, job_id, is_quiet=as_json)
    except KeyboardInterrupt:
        say(tr("no longer watching; delivery {id} goes on. To stop it: ./pncp deliveries cancel {id}", id=job_id))
        return INTERRUPTED
    print_answer(job, *details_of(job), as_json=as_json)
    return 0 if job["status"] == "success" else 1


def deliveries(api: Api, options: argparse.Namespace) -> int:
    """List destinations or deliveries, or do something about one."""
    if options.what == "watch":
        return watch(api, str(options.id), as_json=options.json)
    if options.what == "test":
        started = api.post(f"/destinations/{options.name}/test")
        return watch(api, str(started["request_id"]), as_json=options.json)
    if hasattr(options, "id"):
        answer, parts = _about_job(api, options)
    elif hasattr(options, "name"):
        answer, parts = _about_destination(api, options)
    else:
        answer, parts = _listed(api, options)
    print_answer(answer, *parts, as_json=options.json)
    return 0


def _listed(api: Api, options: argparse.Namespace) -> Shown:
    match options.what:
        case "history":
            answer = api.get("/jobs", kind="delivery", subject=options.destination, limit=options.limit)
            return answer, [jobs_of(answer["jobs"])]
        case "trace":
            answer = api.get(f"/deliveries/{options.entity}/{quote(options.key, safe='/')}")
            return answer, trace_of(answer)
    answer = api.get("/destinations")
    return answer, _list_of(answer)


def _about_job(api: Api, options: argparse.Namespace) -> Shown:
    address = f"/jobs/{options.id}"
    match options.what:
        case "confirm":
            return api.post(f"{address}/confirm"), [tr("delivery {id} is confirmed, and goes on", id=options.id)]
        case "cancel":
            line = tr("delivery {id} is cancelled; what was sent stays sent, the rest is still owed", id=options.id)
            return api.post(f"{address}/cancel"), [line]
    answer = api.get(address)
    if answer["kind"] != "delivery":
        raise LaunchError(tr("{id} is no delivery; what comes in: ./pncp imports, ./pncp sources", id=options.id))
    return answer, details_of(answer)


def _about_destination(api: Api, options: argparse.Namespace) -> Shown:
    address = f"/destinations/{options.name}"
    match options.what:
        case "pause":
            answer = api.post(f"{address}/pause", {"reason": options.reason})
        case "resume":
            answer = api.post(f"{address}/resume")
        case _:
            answer = api.get(f"{address}/rejeitados", limite=options.limit)
            return answer, [rejected_of(answer["records"]), tr("{n} in all", n=number(answer["total"]))]
    return answer, [destinations_of([answer])]


# --- what is shown ----------------------------------------------------------------------------------------------


def _list_of(answer: Answer) -> Iterator[RenderableType]:
    yield destinations_of(answer["destinations"])
    faults = [*answer["faults"], *(fault for one in answer["destinations"] for fault in one["faults"])]
    for fault in faults:
        place = fault["file"] if fault["line"] is None else f"{fault['file']}:{fault['line']}"
        yield Text(f"{place}: {fault['message']}", STYLES["error"])
    if answer["hint"]:
        yield str(answer["hint"])
    elif answer["destinations"] and not answer["workers"]:
        yield Text(tr("no courier runs, so nothing is sent"), STYLES["warning"])


def destinations_of(listed: list[Answer]) -> RenderableType:
    """Destinations in columns."""
    heads = ("DESTINATION", "STATE", "RECEIVES", "OWED", "REJECTED", "LAST SUCCESS (Brasília)", "NEXT (Brasília)")
    shown = table(heads, right=("OWED", "REJECTED"), wrap=("STATE", "RECEIVES"))
    for one in listed:
        entities = ", ".join(dict.fromkeys(stream["entity"] for stream in one["streams"]))
        owed = "-" if one["owed"] is None else number(one["owed"])
        next_run = moment(one["next_run"])
        next_run = f"{next_run}, {tr('after updates')}" if one["after"] == "update" and one["next_run"] else next_run
        cells = [entities or "-", owed, number(one["rejected"]), moment(one["last_success_at"]), next_run]
        shown.add_row(one["name"], state_of(one["state"], _state(one)), *cells)
    return shown


def _state(destination: Answer) -> str:
    """The state in words, with what explains it."""
    words = tr(STATES[destination["state"]])
    match destination["state"]:
        case "held":
            return f"{words}: ./pncp deliveries show {destination['job_id']}"
        case "waiting":
            values = {"time": ago(destination["retry_at"]), "why": destination["last_error"] or "-"}
            return tr("{state}, {time}: {why}", state=words, **values)
        case "paused":
            return f"{words}: {destination['pause_reason'] or '-'}"
        case "stopped":
            return f"{words}: {destination['stopped_reason'] or '-'}"
    return words


def preview_of(answer: Answer) -> Iterator[RenderableType]:
    """Per stream how many records are owed, and some of them as they would be sent."""
    yield tr("nothing was sent; {name} would receive:", name=answer["destination"])
    for stream in answer["streams"]:
        if stream["owed"] is None:
            yield tr("{name}: to count what is owed takes longer than 5 s", name=stream["name"])
        else:
            yield tr("{name}: {owed} records are owed", name=stream["name"], owed=number(stream["owed"]))
        for record in stream["records"] or ():
            if record["content"] is None:
                yield Text(f"  {record['key']}: {record['reason']}", STYLES["rejected"])
            else:
                yield Text(f"  {record['content']}")


def details_of(job: Answer) -> Iterator[RenderableType]:
    """One delivery, as lines, a table of its streams, and what to do about it."""
    state = "cancelled" if job["cancelled_by"] else job["status"]
    line = tr("delivery {id} to {name}, {mode}: ", id=job["id"], name=job["subject"], mode=tr(SENDS[job["mode"]]))
    yield Text(line) + state_of(state, tr(job["phase"] if state == "running" else state))
    facts = Table.grid(padding=(0, 2))
    facts.add_row("  " + tr("asked for"), f"{labelled(job['created_at'])}, {job['trigger']}")
    counts = {name: number(job[name]) for name in ("accepted", "rejected", "unchanged", "requests")}
    sums = tr("{accepted} accepted, {rejected} rejected, {unchanged} unchanged, {requests} requests", **counts)
    facts.add_row("  " + tr("records"), sums)
    if job["duration_seconds"] is not None:
        facts.add_row("  " + tr("duration"), duration(job["duration_seconds"]))
    if reason := reason_of(job):
        facts.add_row("  " + tr("error"), Text(reason, STYLES["error"]))
        if job["error_message"] and job["error_message"] != reason:
            facts.add_row("", job["error_message"])
    yield facts
    if len(job["streams"]) > 1:
        yield _streams_of(job["streams"])
    if job["held"]:
        yield from _held_of(job)
    if job["rejected"]:
        yield "  " + tr("what was rejected, and why: ./pncp deliveries rejected {name}", name=job["subject"])


def _streams_of(streams: list[Answer]) -> RenderableType:
    heads = ("STREAM", "STATUS", "ACCEPTED", "REJECTED", "UNCHANGED", "REQUESTS", "ERROR")
    shown = table(heads, right=heads[2:6], wrap=("ERROR",))
    for one in streams:
        counts = [number(one[name]) for name in ("accepted", "rejected", "unchanged", "requests")]
        shown.add_row(one["stream"], state_of(one["status"]), *counts, one["error_message"] or "")
    return shown


def _held_of(job: Answer) -> Iterator[RenderableType]:
    held = job["held"]
    if held["reason"] == "mostly_refused":
        why = tr("it waits for a person: the destination refused nearly everything, so its contract may have changed")
    else:
        owed = "?" if held["owed"] is None else number(held["owed"])
        why = tr("it waits for a person: {n} records are owed, more than hold_above permits", n=owed)
    yield Text("  " + why, STYLES["warning"])
    for sample in held["samples"] or ():
        yield f"    {_sample(sample)}"
    yield "  " + tr("to send it: ./pncp deliveries confirm {id}; not to: ./pncp deliveries cancel {id}", id=job["id"])


def _sample(sample: Any) -> str:
    if isinstance(sample, dict):
        return str(sample.get("content") or sample.get("key") or sample)
    return str(sample)


def jobs_of(jobs: list[Answer]) -> RenderableType:
    """Deliveries in columns, newest first."""
    heads = ("ID", "DESTINATION", "STATUS", "WHAT", "TRIGGER", "ASKED FOR (Brasília)", "ACCEPTED", "REJECTED", "ERROR")
    shown = table(heads, right=("ACCEPTED", "REJECTED"), wrap=("ASKED FOR (Brasília)", "ERROR"))
    for job in jobs:
        state = "cancelled" if job["cancelled_by"] else job["status"]
        status = state_of(state, tr(job["phase"] if state == "running" else state))
        cells = [tr(SENDS[job["mode"]]), job["trigger"], moment(job["created_at"]), number(job["accepted"])]
        shown.add_row(str(job["id"]), job["subject"], status, *cells, number(job["rejected"]), reason_of(job))
    return shown


def rejected_of(records: list[Answer]) -> RenderableType:
    """Records that a destination rejected, in columns."""
    shown = table(("REJECTED", "STREAM", "TRIES", "SINCE (Brasília)", "REASON"), right=("TRIES",), wrap=("REASON",))
    for one in records:
        cells = [one["stream"], str(one["tries"]), moment(one["since"]), one["reason"] or "-"]
        shown.add_row(one["key"], *cells)
    return shown


def trace_of(answer: Answer) -> Iterator[RenderableType]:
    """Where a record went: a line for each destination, and its requests."""
    if not answer["streams"]:
        yield tr("no destination has received {key}", key=answer["key"])
    for one in answer["streams"]:
        when = "-" if one["sent_at"] is None else f"{moment(one['sent_at'])} ({tr('Brasília')})"
        reason = f": {one['reason']}" if one["reason"] else ""
        yield Text(f"{one['destination']} {one['stream']}: {tr(RECORD_STATES[one['state']])}, {when}{reason}")
        for request in one["requests"]:
            status = "-" if request["status"] is None else str(request["status"])
            values = {"batch": request["batch"], "job": request["job_id"], "n": request["records"], "status": status}
            yield "  " + tr("request {batch} of delivery {job}: {n} records, status {status}", **values)
