"""The commands that ask the API: sync, status, history, coverage, cancel, retry, log, token, export."""

import argparse
import getpass
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from operator import itemgetter

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table
from rich.text import Text

from common.clock import LONGEST_WINDOW
from common.resources import RESOURCE_NAMES
from standalone.api import Answer, Api, Away, connect, credentials
from standalone.console import say
from standalone.export import export
from standalone.processes import ENDING_SIGNALS
from standalone.settings import read_settings

POLL_SECONDS = 1.0
SAY_EVERY_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
"""How long a backend may be away while an execution is watched."""
BAR_WIDTH = 24
STYLES = {"success": "green", "cancelled": "yellow", "warning": "yellow", "error": "red", "critical": "red"}
"""Of the states of executions and the levels of logs; what is not here is plain."""
COVERAGE_STYLES = {"complete": "green", "rejected": "yellow", "partial": "yellow", "failed": "red"}
MOST_LINES = 500
MOST_LOG_LINES = 1000
INTERRUPTED = 130


def run(name: str, options: argparse.Namespace) -> int:
    """Run one of the commands; its exit code.

    Raises:
        LaunchError: it could not be done; the text says why.

    """
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.default_int_handler)  # a progress bar hides the cursor, and has to show it again
    # They were held back while one program became the other (standalone.environment).
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
    commands = {
        "sync": _sync,
        "status": _status,
        "history": _history,
        "coverage": _coverage,
        "cancel": _cancel,
        "retry": _retry,
        "log": _log,
        "token": _token,
        "export": export,
    }
    try:
        with connect(options.url, read_settings()) as api:
            return commands[name](api, options)
    except KeyboardInterrupt:
        say("")
        return INTERRUPTED


# --- the commands -----------------------------------------------------------------------------------------------


def _sync(api: Api, options: argparse.Namespace) -> int:
    bodies = list(_bodies_of(options))
    if options.dry_run:
        plans = [api.post("/sync/plan", body) for body in bodies]
        plan = plans[0] if len(plans) == 1 else sum_of(plans)
        windows = [f"{body['data_ini'][:10]} to {body['data_fim'][:10]}" for body in bodies if "data_ini" in body]
        show(plan, *plan_lines(plan), *(years_of(windows, plans) if len(plans) > 1 else ()), as_json=options.json)
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
    start, end = (datetime.fromisoformat(moment) for moment in options.backfill)
    criterio = {"criterio": options.criterio} if options.criterio else {}
    while start <= end:
        last = min(start + LONGEST_WINDOW - timedelta(seconds=1), end)
        window = {"data_ini": start.isoformat(), "data_fim": last.isoformat()}
        yield {"mode": "backfill", **window, **criterio, **resource}
        start = last + timedelta(seconds=1)


def _retry(api: Api, options: argparse.Namespace) -> int:
    answer = api.post(f"/sync/executions/{options.id}/retry")
    return _follow(api, str(answer["request_id"]), answer, options)


def _token(api: Api, options: argparse.Namespace) -> int:
    """A token for scripts; the password comes from the settings or a prompt, never from the command line."""
    known = credentials(read_settings(), is_here=True)
    name = options.user or (known[0] if known else "admin")
    password = known[1] if known and name == known[0] else _read_password(name)
    answer = api.post_form("/auth/token", username=name, password=password)
    show(answer, str(answer["access_token"]), as_json=options.json)
    return 0


def _read_password(name: str) -> str:
    """From a prompt, or as one line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(f"password of {name}: ")
    return sys.stdin.readline().rstrip("\r\n")


def _follow(api: Api, execution_id: str, answer: Answer, options: argparse.Namespace) -> int:
    """What was started: watched, or only named."""
    if options.watch:
        return watch(api, execution_id, as_json=options.json)
    begun = f"execution {execution_id} has begun; to watch it: ./pncp status {execution_id} --watch"
    show(answer, begun, as_json=options.json)
    return 0


def _status(api: Api, options: argparse.Namespace) -> int:
    execution_id = options.id
    if options.resource:
        history = api.get("/sync/history", resource=options.resource, limit=1)
        if not history["executions"]:
            show(history, f"nothing of {options.resource} has been synchronised yet", as_json=options.json)
            return 0
        execution_id = history["executions"][0]["id"]
    if execution_id is None:
        status = api.get("/sync/status")
        if status["execution_id"] is None:
            show(status, "nothing has been synchronised yet", as_json=options.json)
            return 0
        execution_id = status["execution_id"]
    if options.watch:
        return watch(api, str(execution_id), as_json=options.json)
    execution = api.get(f"/sync/executions/{execution_id}")
    parts = list(details_of(execution))
    if not options.json and execution_id is not options.id and not options.resource:
        dashboard = api.get("/sync/dashboard")
        parts += [*freshness_of(dashboard), owed_of(dashboard)]
    show(execution, *parts, as_json=options.json)
    return 0


def _history(api: Api, options: argparse.Namespace) -> int:
    wanted = {name: getattr(options, name) for name in ("status", "resource", "mode", "trigger", "limit")}
    history = api.get("/sync/history", **wanted)
    sums = (
        f"{history['total_count']} in all: {history['success_count']} success, "
        f"{history['error_count']} error, {history['running_count']} running"
    )
    show(history, *table_of(history["executions"]), sums, as_json=options.json)
    return 0


def _coverage(api: Api, options: argparse.Namespace) -> int:
    wanted = {"from": options.first, "to": options.last, "resource": options.resource}
    coverage = api.get("/sync/coverage", **wanted)
    show(coverage, *coverage_of(coverage["days"]), as_json=options.json)
    return 0


def _cancel(api: Api, options: argparse.Namespace) -> int:
    if len(options.ids) == 1:
        answer = api.post(f"/sync/executions/{options.ids[0]}/cancel")
        what = f"execution {options.ids[0]} is cancelled"
    else:
        everything = {"status": "running", **({"resource": options.resource} if options.resource else {})}
        answer = api.post("/sync/cancel", {"ids": options.ids} if options.ids else everything)
        what = _cancelled_line(answer)
    show(answer, f"{what}; what was stored stays", as_json=options.json)
    return 0


def _cancelled_line(cancelled: Answer) -> str:
    ids = ", ".join(str(one) for one in cancelled["execution_ids"])
    line = f"{cancelled['cancelled']} executions are cancelled" + (f": {ids}" if ids else "")
    return f"{line}, {cancelled['remaining']} more are under way" if cancelled["remaining"] else line


def _log(api: Api, options: argparse.Namespace) -> int:
    left = options.limit or (float("inf") if options.follow else MOST_LOG_LINES)
    cursor: int | None = None
    has_ended = not options.follow
    while left > 0:
        page = api.get(
            f"/sync/executions/{options.id}/log", level=options.level, cursor=cursor, limit=int(min(left, MOST_LINES))
        )
        for line in page["lines"][: int(min(left, MOST_LINES))]:
            show(line, Text(log_line(line), STYLES.get(line["level"], "")), as_json=options.json, indent=None)
            cursor = line["id"]
        left -= len(page["lines"])
        if page["next_cursor"] is None:
            if has_ended:
                break
            time.sleep(POLL_SECONDS)
            # its last lines are read after its end was seen
            has_ended = api.get(f"/sync/executions/{options.id}")["status"] != "running"
    return 0


# --- watching ---------------------------------------------------------------------------------------------------


def watch(api: Api, execution_id: str, *, as_json: bool) -> int:
    """Show an execution until its end: a bar on a terminal, else a line now and then; 0 if it succeeded, else 1."""
    try:
        execution = _watch_to_its_end(api, execution_id, is_quiet=as_json)
    except KeyboardInterrupt:
        say(f"no longer watching; execution {execution_id} goes on. To stop it: ./pncp cancel {execution_id}")
        return INTERRUPTED
    show(execution, *details_of(execution), as_json=as_json)
    return 0 if execution["status"] == "success" else 1


def _watch_to_its_end(api: Api, execution_id: str, *, is_quiet: bool) -> Answer:
    progress, said, said_at, away_since = progress_of(execution_id), "", -SAY_EVERY_SECONDS, None
    try:
        while True:
            try:
                execution = api.get(f"/sync/executions/{execution_id}")
            except Away as error:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_SECONDS:
                    raise
                words = f"{error}; trying again"
                progress.update(progress.tasks[0].id, words=words)
            else:
                away_since = None
                if execution["status"] != "running":
                    return execution
                words = note(progress, execution)
                if console().is_interactive and not is_quiet:
                    progress.start()  # not before the first answer, for which a password may be asked
            is_due = words != said and time.monotonic() - said_at >= SAY_EVERY_SECONDS
            if is_due and not is_quiet and not progress.live.is_started:
                show(execution, progress.get_renderable())
                said, said_at = words, time.monotonic()
            time.sleep(POLL_SECONDS)
    finally:
        if progress.live.is_started:  # else it would print an empty line
            progress.stop()


def progress_of(execution_id: str) -> Progress:
    """A line with a bar."""
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(BAR_WIDTH),
        TextColumn("{task.percentage:5.1f} %"),
        TextColumn("{task.fields[words]}", markup=False),
        console=console(),
        transient=True,
    )
    progress.add_task(execution_id, words="")
    progress.add_task("records", total=None, visible=False)  # only their speed is shown
    return progress


def note(progress: Progress, execution: Answer) -> str:
    """Show how far an execution is; what stands behind the bar: records, pace, time left."""
    share, records = progress.tasks
    name = f"{execution['id']} {another_resource(execution)}".rstrip()
    progress.update(share.id, description=name, completed=float(execution["progress"]["percent"]))
    progress.update(records.id, completed=execution["records_processed"])
    words = [f"{execution['records_processed']:,} records"]
    if execution["phase"] == "queued":
        words = ["queued: no ingestor has taken it yet"]
    elif execution["phase"] == "waiting":
        words.append("waiting for the portal, which failed")
    else:
        words.append(f"{records.speed:,.1f}/s" if records.speed else "-")
        left = share.time_remaining
        words.append("time left unknown" if left is None else f"about {duration(left)} left")
    if execution["progress"]["slices_failed"]:
        words.append(f"{execution['progress']['slices_failed']} slices failed")
    progress.update(share.id, words=", ".join(words))
    return ", ".join(words)


# --- what is shown ----------------------------------------------------------------------------------------------


@cache
def console() -> Console:
    """Standard output: as wide as the terminal and in colours, or without both where no person reads."""
    is_terminal = sys.stdout.isatty()
    return Console(
        force_terminal=is_terminal,  # whatever FORCE_COLOR says
        width=None if is_terminal else 10_000,
        markup=False,
        emoji=False,
        highlight=False,
    )


def show(answer: Answer, *parts: RenderableType, as_json: bool = False, indent: int | None = 2) -> None:
    """Print an answer: itself for programs, else the parts for people. Tables fit into the terminal."""
    if as_json:
        say(json.dumps(answer, ensure_ascii=False, indent=indent))
        return
    with console().capture() as captured:
        for part in parts:
            console().print(part, soft_wrap=isinstance(part, str | Text))
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def plan_lines(plan: Answer) -> list[str]:
    """What a request would become."""
    resource = another_resource(plan)
    parts = [f"{plan['days']} days", f"{plan['modalidades']} modalidades" if plan["modalidades"] else ""]
    size = f"{plan['slices']:,} slices{resource and f' of {resource}'} ({', '.join(filter(None, parts))})"
    work = f"{plan['requests_estimate']:,} requests and {plan['records_estimate']:,} records"
    return [
        f"nothing was started; it would become {size}",
        f"about {work} in {duration(plan['seconds_estimate'])}",
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
    yield f"as {len(plans)} executions, each of {LONGEST_WINDOW.days} days at most:"
    heads = ["WINDOW", "REQUESTS TO THE PORTAL", "RECORDS", "TIME"]
    columns = [Column(head, no_wrap=True, justify="left" if head == "WINDOW" else "right") for head in heads]
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for window, plan in zip(windows, plans, strict=True):
        counts = [f"{plan[name]:,}" for name in ("requests_estimate", "records_estimate")]
        table.add_row(window, *counts, duration(plan["seconds_estimate"]))
    yield table


def details_of(execution: Answer) -> Iterator[RenderableType]:
    """One execution, as lines and a table."""
    progress = execution["progress"]
    slices = f"{progress['slices_done']} of {progress['slices_total']} slices, {progress['slices_failed']} failed"
    stored = f"{progress['records_inserted']:,} new, {progress['records_updated']:,} updated"
    stored += f", {execution['records_rejected']:,} rejected"
    running = "running, " if execution["status"] == "running" else ""
    resource = another_resource(execution)
    mode = f"{execution['mode']}{resource and f' of {resource}'} by {execution['criterio']}"
    what = f"execution {execution['id']}: {mode}, {running}"
    yield Text(what) + _state(execution)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("  window", window_of(execution))
    facts.add_row("  progress", f"{progress['percent']:.1f} %, {slices}")
    facts.add_row("  records", f"{execution['records_processed']:,} processed, {stored}")
    if execution["duration_seconds"] is not None:
        facts.add_row("  duration", duration(execution["duration_seconds"]))
    if execution["error_message"]:
        facts.add_row("  error", Text(execution["error_message"], STYLES["error"]))
    yield facts
    if execution.get("cancelled"):
        yield f"  to go on with what is left: ./pncp retry {execution['id']}"
    elif execution["status"] == "error" and progress["slices_failed"]:
        yield f"  to repeat what failed: ./pncp retry {execution['id']}"


def another_resource(answer: Answer) -> str:
    """The resource of an execution or a plan where it is not the one that is meant without a name; else nothing."""
    resource = str(answer.get("resource", RESOURCE_NAMES[0]))
    return "" if resource == RESOURCE_NAMES[0] else resource


def _state(execution: Answer) -> Text:
    state = "cancelled" if execution.get("cancelled") else execution["status"]
    return Text(execution["phase"] if state == "running" else state, STYLES.get(state, ""))


def table_of(executions: list[Answer]) -> Iterator[RenderableType]:
    """Executions in columns. On a terminal errors follow below, whole; elsewhere they are the last column."""
    is_terminal = console().is_terminal
    resource = ["RESOURCE"] if any(another_resource(execution) for execution in executions) else []
    heads = ["ID", "STATUS", *resource, "MODE", "TRIGGER", "WINDOW", "RECORDS", "TOOK"]
    heads += [] if is_terminal else ["ERROR"]
    columns = (Column(head, no_wrap=head != "WINDOW") for head in heads)
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    errors = [" ".join((execution["error_message"] or "").split()) for execution in executions]
    for execution, error in zip(executions, errors, strict=True):
        took = execution["duration_seconds"]
        cells = [str(execution["id"]), _state(execution), *([execution["resource"]] if resource else [])]
        cells += [execution["mode"], execution["trigger"], window_of(execution)]
        cells += [f"{execution['records_processed']:,}", "" if took is None else duration(took), error]
        table.add_row(*cells[: len(heads)])
    yield table
    if is_terminal:
        yield from (f"{one['id']}: {error}" for one, error in zip(executions, errors, strict=True) if error)


def freshness_of(dashboard: Answer) -> Iterator[RenderableType]:
    """How many records of each resource there are, and up to when its changes have been read, where there are any."""
    fresh = {one["resource"]: one for one in dashboard["resources"]}
    sizes = {one["table"]: one for one in dashboard["mirror"]}
    heads = ["RESOURCE", "RECORDS", "UPDATED UNTIL", "COMPLETE UNTIL"]
    table = Table(*(Column(head, no_wrap=True) for head in heads), box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for resource in RESOURCE_NAMES:
        size, freshness = sizes.get(resource), fresh.get(resource, {})
        if size and (size["rows"] or freshness):
            rows = f"{'' if size['exact'] else 'about '}{size['rows']:,}"
            table.add_row(resource, rows, *(_ago(freshness.get(name)) for name in ("updated_until", "complete_until")))
    if table.row_count:
        yield table


def owed_of(dashboard: Answer) -> RenderableType:
    """What is still to be read: items that did not come with their records, and the lists that are only read later."""
    heads = ["LIST", "OF", "SCOPE", "OWED", "OLDEST", "SET ASIDE", "REQUESTS"]
    columns = (Column(head, no_wrap=head != "SCOPE") for head in heads)
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for one in dashboard["itens_owed"]["resources"]:
        owed = f"{one['count'] - one['set_aside']:,}"
        table.add_row("items", one["resource"], "-", owed, _ago(one["since"]), f"{one['set_aside']:,}", "-")
    for one in dashboard["lists_owed"]:
        counts = (one["set_aside"], one["requests"])
        aside, requests = ("-" if count is None else f"{count:,}" for count in counts)
        owed = f"{'about ' if one['set_aside'] is None else ''}{one['owed']:,}"
        table.add_row(one["list"], one["resource"], one["scope"], owed, _ago(one["since"]), aside, requests)
    return table


def _ago(moment: str | None) -> str:
    """A moment as its distance from now, of which people need no more than minutes."""
    if moment is None:
        return "-"
    return f"{duration((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())} ago"


def coverage_of(days: list[Answer]) -> Iterator[RenderableType]:
    """Days in columns, those in a row of one state in a line, and how many there are of each state."""
    heads = ["FROM", "TO", "DAYS", "STATE", "RECORDS", "REJECTED"]
    table = Table(*(Column(head, no_wrap=True) for head in heads), box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for state, group in groupby(days, key=itemgetter("state")):
        span = list(group)
        records, rejected = (sum(day[name] for day in span) for name in ("records", "records_rejected"))
        cells = [span[0]["day"], span[-1]["day"], str(len(span)), Text(state, COVERAGE_STYLES.get(state, ""))]
        table.add_row(*cells, f"{records:,}", f"{rejected:,}")
    yield table
    states = Counter(day["state"] for day in days)
    yield f"{len(days)} days: " + ", ".join(f"{count} {state}" for state, count in states.most_common())


def log_line(line: Answer) -> str:
    """One line of an execution's log."""
    fields = " ".join(f"{name}={value}" for name, value in (line.get("fields") or {}).items())
    piece = "" if line.get("slice_id") is None else f"slice {line['slice_id']} "
    moment = datetime.fromisoformat(line["logged_at"]).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S} {line['level']:<8} {piece}{line['event']} {fields}".rstrip()


def window_of(execution: Answer) -> str:
    """From when to when, in Brasília's wall clock; minutes say enough."""
    if execution["window_start"] is None:
        return "-"
    start, end = (execution[name].replace("T", " ")[:16] for name in ("window_start", "window_end"))
    return f"{start} - {end}"


def duration(seconds: float) -> str:
    """A duration for people: 45 s, 12 min 05 s, 3 h 20 min, 2 d 04 h."""
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if days:
        return f"{days} d {hours % 24:02} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"
