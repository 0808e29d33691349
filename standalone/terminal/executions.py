"""Executions: start, show, list, cancel and repeat them."""

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from common.clock import LONGEST_WINDOW
from standalone.api import Answer, Api
from standalone.console import say
from standalone.language import number, reason_of, tr
from standalone.terminal import INTERRUPTED
from standalone.terminal.output import (
    STYLES,
    ago,
    another_resource,
    console,
    duration,
    labelled,
    moment,
    print_answer,
    state_of,
    table,
    window_of,
)
from standalone.terminal.verdict import freshness_of, heads_of, owed_of
from standalone.terminal.watching import watch_to_its_end

MOST_SLICES = 500

# --- the commands -----------------------------------------------------------------------------------------------


def sync(api: Api, options: argparse.Namespace) -> int:
    """Start an update or backfills, or say what they would come to."""
    bodies = list(_bodies_of(options))
    if options.dry_run:
        plans = [api.post("/sync/plan", body) for body in bodies]
        plan = plans[0] if len(plans) == 1 else sum_of(plans)
        windows = [f"{body['data_ini'][:10]} - {body['data_fim'][:10]}" for body in bodies if "data_ini" in body]
        years = years_of(windows, plans) if len(plans) > 1 else ()
        print_answer(plan, *plan_lines(plan), *years, as_json=options.json)
        return 0
    if len(bodies) == 1:
        answer = api.post("/sync/force", bodies[0])
        return _follow(api, str(answer["request_id"]), answer, options)
    # all of them before the first is watched; the newest days first, since they are read in this order
    answers = [api.post("/sync/force", body) for body in reversed(bodies)]
    return max([_follow(api, str(answer["request_id"]), answer, options) for answer in answers])


def _bodies_of(options: argparse.Namespace) -> Iterator[Answer]:
    """The requests: one, or of an interval that is longer than a request may be, several in the order of its days."""
    resource = {"resource": options.resource} if options.resource else {}
    if not options.backfill:
        yield {"mode": "update", **resource}
        return
    start, end = (datetime.fromisoformat(text) for text in options.backfill)
    criterio = {"criterio": options.criterio} if options.criterio else {}
    while start <= end:
        last = min(start + LONGEST_WINDOW - timedelta(seconds=1), end)
        window = {"data_ini": start.isoformat(), "data_fim": last.isoformat()}
        yield {"mode": "backfill", **window, **criterio, **resource}
        start = last + timedelta(seconds=1)


def _follow(api: Api, execution_id: str, answer: Answer, options: argparse.Namespace) -> int:
    """What was started: watched, or only named."""
    if options.watch:
        return watch(api, execution_id, as_json=options.json)
    begun = tr("execution {id} has begun; to watch it: ./pncp status {id} --watch", id=execution_id)
    print_answer(answer, begun, as_json=options.json)
    return 0


def watch(api: Api, execution_id: str, *, as_json: bool) -> int:
    """Watch an execution to its end and show it; 0 if it succeeded, else 1."""
    try:
        execution = watch_to_its_end(api, execution_id, is_quiet=as_json)
    except KeyboardInterrupt:
        say(tr("no longer watching; execution {id} goes on. To stop it: ./pncp cancel {id}", id=execution_id))
        return INTERRUPTED
    print_answer(execution, *details_of(execution), as_json=as_json)
    return 0 if execution["status"] == "success" else 1


def status(api: Api, options: argparse.Namespace) -> int:
    """The verdict, the newest execution, and how fresh each resource is; or one execution."""
    execution_id = options.id
    if options.resource:
        listed = api.get("/sync/history", resource=options.resource, limit=1)
        if not listed["executions"]:
            nothing = tr("nothing of {resource} has been synchronised yet", resource=options.resource)
            print_answer(listed, nothing, as_json=options.json)
            return 0
        execution_id = listed["executions"][0]["id"]
    if execution_id is None:
        newest = api.get("/sync/status")
        if newest["execution_id"] is None:
            print_answer(newest, tr("nothing has been synchronised yet"), as_json=options.json)
            return 0
        execution_id = newest["execution_id"]
    if options.watch:
        return watch(api, str(execution_id), as_json=options.json)
    execution = api.get(f"/sync/executions/{execution_id}")
    parts = [*details_of(execution), *_waiting_for(api, execution)]
    if not options.json and execution_id is not options.id and not options.resource:
        dashboard = api.get("/sync/dashboard")
        parts = [*heads_of(dashboard.get("verdict")), *parts, *freshness_of(dashboard), owed_of(dashboard)]
    print_answer(execution, *parts, as_json=options.json)
    return 0


def show(api: Api, options: argparse.Namespace) -> int:
    """One execution with its slices in a state, by default those that failed, and the records it could not store."""
    execution = api.get(f"/sync/executions/{options.id}")
    chosen = None if options.slices == "all" else options.slices
    slices = api.get(f"/sync/executions/{options.id}/slices", status=chosen, limit=MOST_SLICES)["slices"]
    answer = {**execution, "slices": slices}
    parts: list[RenderableType] = [*details_of(execution), *_waiting_for(api, execution)]
    parts += [slices_of(slices)] if slices else []
    parts += [rejected_of(execution["rejected_records"])] if execution["rejected_records"] else []
    print_answer(answer, *parts, as_json=options.json)
    return 0


def history(api: Api, options: argparse.Namespace) -> int:
    """Executions, newest first."""
    wanted = {name: getattr(options, name) for name in ("status", "resource", "mode", "trigger", "limit")}
    listed = api.get("/sync/history", **wanted)
    counts = {name: listed[f"{name}_count"] for name in ("total", "success", "error", "running")}
    sums = tr("{total} in all: {success} success, {error} error, {running} running", **counts)
    print_answer(listed, *table_of(listed["executions"]), sums, as_json=options.json)
    return 0


def cancel(api: Api, options: argparse.Namespace) -> int:
    """End executions; one that has ended already is refused when it is asked for alone."""
    if len(options.ids) == 1:
        answer = api.post(f"/sync/executions/{options.ids[0]}/cancel")
        what = tr("execution {id} is cancelled; what was stored stays", id=options.ids[0])
    else:
        everything = {"status": "running", **({"resource": options.resource} if options.resource else {})}
        answer = api.post("/sync/cancel", {"ids": options.ids} if options.ids else everything)
        what = _cancelled_line(answer)
    print_answer(answer, what, as_json=options.json)
    return 0


def _cancelled_line(cancelled: Answer) -> str:
    ids = ", ".join(str(one) for one in cancelled["execution_ids"])
    line = tr("{n} executions are cancelled; what was stored stays", n=cancelled["cancelled"])
    more = tr("{n} more are under way", n=cancelled["remaining"]) if cancelled["remaining"] else ""
    return "; ".join(filter(None, (line + (f": {ids}" if ids else ""), more)))


def retry(api: Api, options: argparse.Namespace) -> int:
    """Repeat what failed of an execution, or was left of one that was cancelled."""
    answer = api.post(f"/sync/executions/{options.id}/retry")
    return _follow(api, str(answer["request_id"]), answer, options)


def retry_failed(api: Api, options: argparse.Namespace) -> int:
    """Repeat all that failed and can be repeated."""
    answer = api.post("/sync/retry-failed")
    ids = answer["execution_ids"]
    if ids:
        line = tr("{n} executions repeat what failed: {ids}", n=len(ids), ids=", ".join(map(str, ids)))
    else:
        line = tr("nothing has failed that can be repeated")
    print_answer(answer, line, as_json=options.json)
    return 0


# --- what is shown ----------------------------------------------------------------------------------------------


def plan_lines(plan: Answer) -> list[str]:
    """What a request would become."""
    parts = [tr("{n} days", n=number(plan["days"]))]
    parts += [tr("{n} modalidades", n=plan["modalidades"])] if plan["modalidades"] else []
    resource = another_resource(plan)
    slices = tr("{n} slices of {resource}" if resource else "{n} slices", n=number(plan["slices"]), resource=resource)
    work = {name: number(plan[f"{name}_estimate"]) for name in ("requests", "records")}
    took = duration(plan["seconds_estimate"])
    return [
        tr("nothing was started; it would become {slices} ({parts})", slices=slices, parts=", ".join(parts)),
        tr("about {requests} requests and {records} records in {time}", **work, time=took),
        str(plan["basis"]),
    ]


def sum_of(plans: list[Answer]) -> Answer:
    """The plans of several requests as one, with each of them in `plans`."""
    counts = ("slices", "days", "requests_estimate", "records_estimate", "seconds_estimate")
    bases = list(dict.fromkeys(str(plan["basis"]) for plan in plans))
    return {
        **plans[0],
        **{name: sum(plan[name] for plan in plans) for name in counts},
        "basis": "\n".join(bases),
        "plans": plans,
    }


def years_of(windows: list[str], plans: list[Answer]) -> Iterator[RenderableType]:
    """The plan of each request in columns."""
    yield tr("as {n} executions, each of {days} days at most:", n=len(plans), days=LONGEST_WINDOW.days)
    heads = ("WINDOW", "REQUESTS TO THE PORTAL", "RECORDS", "TIME")
    shown = table(heads, right=heads[1:])
    for window, plan in zip(windows, plans, strict=True):
        counts = [number(plan[name]) for name in ("requests_estimate", "records_estimate")]
        shown.add_row(window, *counts, duration(plan["seconds_estimate"]))
    yield shown


def details_of(execution: Answer) -> Iterator[RenderableType]:
    """One execution, as lines and a table."""
    progress = execution["progress"]
    what = {"id": execution["id"], "mode": tr(execution["mode"]), "criterio": execution["criterio"]}
    if resource := another_resource(execution):
        line = tr("execution {id}: {mode} of {resource} by {criterio}", **what, resource=resource)
    else:
        line = tr("execution {id}: {mode} by {criterio}", **what)
    running = tr("running") + ", " if execution["status"] == "running" else ""
    yield Text(f"{line}, {running}") + _state(execution)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("  " + tr("window"), f"{window_of(execution)} ({tr('Brasília')})")
    if execution.get("created_at"):
        facts.add_row("  " + tr("asked for"), f"{labelled(execution['created_at'])}, {execution['trigger']}")
    slices = {name: number(progress[f"slices_{name}"]) for name in ("done", "total", "failed")}
    share = tr("{done} of {total} slices, {failed} failed", **slices)
    facts.add_row("  " + tr("progress"), f"{number(progress['percent'], 1)} %, {share}")
    records = {name: number(progress[f"records_{name}"]) for name in ("inserted", "updated")}
    records |= {name: number(execution[f"records_{name}"]) for name in ("processed", "rejected")}
    stored = tr("{processed} processed, {inserted} new, {updated} updated, {rejected} rejected", **records)
    facts.add_row("  " + tr("records"), stored)
    if execution["duration_seconds"] is not None:
        facts.add_row("  " + tr("duration"), duration(execution["duration_seconds"]))
    if execution["error_message"]:
        reason, original = reason_of(execution), execution["error_message"]
        facts.add_row("  " + tr("error"), Text(reason, STYLES["error"]))
        if original != reason:
            facts.add_row("", original)
    yield facts
    if execution.get("cancelled"):
        yield "  " + tr("to go on with what is left: ./pncp retry {id}", id=execution["id"])
    elif execution["status"] == "error" and progress["slices_failed"]:
        yield "  " + tr("to repeat what failed: ./pncp retry {id}", id=execution["id"])


def _state(execution: Answer) -> Text:
    state = "cancelled" if execution.get("cancelled") else execution["status"]
    return state_of(state, tr(execution["phase"] if state == "running" else state))


def _waiting_for(api: Api, execution: Answer) -> Iterator[RenderableType]:
    """Why an execution waits, and until when: what the slices that are tried again last met with."""
    if execution["phase"] != "waiting":
        return
    slices = api.get(f"/sync/executions/{execution['id']}/slices", status="pending", limit=MOST_SLICES)["slices"]
    waiting = sorted((one for one in slices if one["run_after"]), key=lambda one: str(one["run_after"]))
    if waiting:
        first = waiting[0]
        why = reason_of(first) or tr("the portal failed")
        when = f"{moment(first['run_after'])} ({tr('Brasília')}), {ago(first['run_after'])}"
        yield Text("  " + tr("waits: {why}; tried again at {when}", why=why, when=when), STYLES["warning"])


def table_of(executions: list[Answer]) -> Iterator[RenderableType]:
    """Executions in columns. On a terminal errors follow below, whole; elsewhere they are the last column."""
    is_terminal = console().is_terminal
    resource = ["RESOURCE"] if any(another_resource(execution) for execution in executions) else []
    heads = ["ID", "STATUS", *resource, "MODE", "TRIGGER", "ASKED FOR (Brasília)", "WINDOW (Brasília)"]
    heads += ["RECORDS", "TOOK", *([] if is_terminal else ["ERROR"])]
    shown = table(heads, right=("RECORDS",), wrap=("WINDOW (Brasília)", "ASKED FOR (Brasília)"))
    errors = [" ".join(reason_of(execution).split()) for execution in executions]
    for execution, error in zip(executions, errors, strict=True):
        took = execution["duration_seconds"]
        cells = [str(execution["id"]), _state(execution), *([execution["resource"]] if resource else [])]
        cells += [tr(execution["mode"]), execution["trigger"], moment(execution.get("created_at"))]
        cells += [window_of(execution), number(execution["records_processed"])]
        cells += ["" if took is None else duration(took), error]
        shown.add_row(*cells[: len(heads)])
    yield shown
    if is_terminal:
        yield from (f"{one['id']}: {error}" for one, error in zip(executions, errors, strict=True) if error)


def slices_of(slices: list[Answer]) -> RenderableType:
    """Slices in columns."""
    heads = ("SLICE", "STATUS", "WINDOW (Brasília)", "MODALIDADE", "PAGES", "RECORDS", "TRIES", "ERROR")
    shown = table(heads, right=("RECORDS", "TRIES"), wrap=("WINDOW (Brasília)", "ERROR"))
    for one in slices:
        pages = f"{one['pages_done']}/{'?' if one['pages_total'] is None else one['pages_total']}"
        modalidade = "-" if one["modalidade"] is None else str(one["modalidade"])
        cells = [window_of(one), modalidade, pages, number(one["records_processed"]), str(one["attempt"])]
        shown.add_row(str(one["id"]), state_of(one["status"]), *cells, one["error_message"] or "")
    return shown


def rejected_of(records: list[Answer]) -> RenderableType:
    """Records that could not be stored, in columns."""
    shown = table(("REJECTED", "OF", "LAST SEEN (Brasília)", "REASON"), wrap=("REASON",))
    for one in records:
        shown.add_row(one["natural_key"] or "-", one["resource"], moment(one["last_seen"]), one["reason"])
    return shown
