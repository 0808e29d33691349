"""Executions, deliveries, imports and readings to their end: a line that moves on a terminal, else one now and then."""

import time
from collections.abc import Callable

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from standalone.api import Answer, Api, Away
from standalone.language import number, tr
from standalone.terminal.output import another_resource, console, duration, print_answer

POLL_SECONDS = 1.0
SAY_EVERY_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
"""How long a backend may be away while an execution is watched."""
BAR_WIDTH = 24


def watch_to_its_end(api: Api, execution_id: str, *, is_quiet: bool) -> Answer:
    """The execution when it has ended; nothing is shown of it meanwhile where it is to be quiet.

    Raises:
        Away: the backend cannot be reached for two minutes.

    """
    address = f"/sync/executions/{execution_id}"
    return _watch(api, address, progress_of(execution_id), note, _has_ended, is_quiet=is_quiet)


def watch_job(api: Api, job_id: str, *, is_quiet: bool) -> Answer:
    """A delivery when it has ended or waits for a person, otherwise as for executions."""
    return _watch(api, f"/jobs/{job_id}", _words_alone(job_id), note_job, _waits_for_a_person, is_quiet=is_quiet)


def watch_reading(api: Api, job_id: str, *, is_quiet: bool) -> Answer:
    """A reading of a source when it has ended or waits for a person, otherwise as for executions."""
    return _watch(api, f"/jobs/{job_id}", _words_alone(job_id), note_reading, _waits_for_a_person, is_quiet=is_quiet)


def watch_import(api: Api, import_id: str, *, is_quiet: bool) -> Answer:
    """An import when it has ended or waits for a person, otherwise as for executions."""
    progress = _words_alone(import_id)
    return _watch(api, f"/imports/{import_id}", progress, note_import, _is_decided, is_quiet=is_quiet)


def _words_alone(name: str) -> Progress:
    """A line of words, with a sign that moves on a terminal."""
    progress = Progress(
        *([SpinnerColumn()] if console().is_interactive else []),
        TextColumn("{task.description}:", markup=False),
        TextColumn("{task.fields[words]}", markup=False),
        console=console(),
        transient=True,
    )
    progress.add_task(name, words="")
    return progress


def _is_decided(one: Answer) -> bool:
    return one["phase"] in ("held", "done", "refused", "discarded")


def _has_ended(execution: Answer) -> bool:
    return bool(execution["status"] != "running")


def _waits_for_a_person(job: Answer) -> bool:
    return _has_ended(job) or job["phase"] == "held"


def _watch(
    api: Api,
    address: str,
    progress: Progress,
    note_progress: Callable[[Progress, Answer], str],
    is_over: Callable[[Answer], bool],
    *,
    is_quiet: bool,
) -> Answer:
    said, said_at, away_since = "", -SAY_EVERY_SECONDS, None
    try:
        while True:
            try:
                watched = api.get(address)
            except Away as error:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_SECONDS:
                    raise
                words = tr("{error}; trying again", error=error)
                progress.update(progress.tasks[0].id, words=words)
            else:
                away_since = None
                if is_over(watched):
                    return watched
                words = note_progress(progress, watched)
                if console().is_interactive and not is_quiet:
                    progress.start()  # not before the first answer, for which a password may be asked
            is_due = words != said and time.monotonic() - said_at >= SAY_EVERY_SECONDS
            if is_due and not is_quiet and not progress.live.is_started:
                print_answer({}, progress.get_renderable())
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
    words = [tr("{n} records", n=number(execution["records_processed"]))]
    if execution["phase"] == "queued":
        words = [tr("queued: no ingestor has taken it yet")]
    elif execution["phase"] == "waiting":
        words.append(tr("waiting for the portal, which failed"))
    else:
        words.append(f"{number(records.speed, 1)}/s" if records.speed else "-")
        left = share.time_remaining
        words.append(tr("time left unknown") if left is None else tr("about {time} left", time=duration(left)))
    if execution["progress"]["slices_failed"]:
        words.append(tr("{n} slices failed", n=execution["progress"]["slices_failed"]))
    progress.update(share.id, words=", ".join(words))
    return ", ".join(words)


def note_job(progress: Progress, job: Answer) -> str:
    """Show how far a delivery is: what it has sent, and what it waits for."""
    if job["phase"] == "queued":
        words = tr("queued: no courier has taken it yet")
    else:
        counts = {name: number(job[name]) for name in ("accepted", "rejected", "requests")}
        words = tr("{accepted} accepted, {rejected} rejected, {requests} requests", **counts)
    if job["phase"] == "waiting":
        words += "; " + tr("waiting for the destination, which failed")
    description = tr("delivery {id} to {name}", id=job["id"], name=job["subject"])
    progress.update(progress.tasks[0].id, description=description, words=words)
    return words


def note_reading(progress: Progress, job: Answer) -> str:
    """Show how far a reading is: how many rows were read, and what it waits for."""
    if job["phase"] == "queued":
        words = tr("queued: no worker that takes in has taken it yet")
    else:
        words = tr("{n} rows are read", n=number(job["seen"]))
    if job["phase"] == "waiting":
        words += "; " + tr("waiting for the source, which failed")
    description = tr("reading {id} of {name}", id=job["id"], name=job["subject"])
    progress.update(progress.tasks[0].id, description=description, words=words)
    return words


def note_import(progress: Progress, one: Answer) -> str:
    """Show how far an import is: how many of its rows are done."""
    match one["phase"]:
        case "queued" | "receiving":
            words = tr("queued: no worker that takes in has taken it yet")
        case "checking":
            words = tr("the file is being read")
        case _:
            done = number(one["rows"] - one["pending"])
            words = tr("{n} of {all} records", n=done, all=number(one["rows"]))
    description = tr("import {id} of {layout}", id=one["id"], layout=one["layout"])
    progress.update(progress.tasks[0].id, description=description, words=words)
    return words
