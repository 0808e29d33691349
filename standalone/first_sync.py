"""The demonstration's first sync: its requests, and the progress line while it runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from common.resources import RESOURCE_NAMES
from common.resources.dominios import DOMINIOS
from standalone.console import is_terminal, rewrite, say
from standalone.language import number, reason_of, tr
from standalone.processes import Supervisor
from standalone.settings import Settings
from standalone.system import LaunchError

# The longest backfill that the backend takes.
LONGEST_DAYS = 365
SAY_EVERY_SECONDS = 5.0
WEEKEND = timedelta(days=3)
BAD_DAY_BEFORE_LAST = 2
BAD_MODALIDADES = [6, 8]  # pregão and dispensa, which every day has
BAD_STATUS = "422"
"""A refusal that is final after some tries; others are waited for up to a day."""

Days = tuple[date, date]
Execution = dict[str, Any]


@dataclass
class Backend:
    """The backend as an administrator sees it, and the processes to watch while waiting for it."""

    client: httpx.Client
    supervisor: Supervisor
    poll_seconds: float = 0.5

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """A GET's answer; asked again for a while when the backend is too busy to answer."""
        return self._send("GET", path, params=parameters)

    def force(self, body: dict[str, str]) -> str:
        """Ask for a sync and return the execution's id."""
        return str(self._send("POST", "/sync/force", json=body)["request_id"])

    def _send(self, method: str, path: str, **words: Any) -> dict[str, Any]:
        for attempt in range(1, 6):
            self.supervisor.check_alive()
            try:
                answer = self.client.request(method, path, **words)
            except httpx.TransportError as error:
                # A second POST would be a second sync.
                if method == "POST" or attempt == 5:  # noqa: PLR2004
                    what = tr(
                        "the backend did not answer {request}: {error}", request=f"{method} {path}", error=repr(error)
                    )
                    raise LaunchError(what) from error
                continue
            if answer.is_success:
                body: dict[str, Any] = answer.json()
                return body
            said = f"{answer.status_code}: {answer.text[:500]}"
            raise LaunchError(tr("the backend answered {request} with {said}", request=f"{method} {path}", said=said))
        raise AssertionError("unreachable")


@contextmanager
def connect(url: str, settings: Settings, supervisor: Supervisor) -> Iterator[Backend]:
    """The backend at this URL, with the administrator's name and password where they are set."""
    auth = None
    if settings.get("ADMIN_PASSWORD"):
        auth = (settings.get("ADMIN_USERNAME") or "admin", settings["ADMIN_PASSWORD"])
    elif settings.get("ADMIN_PASSWORD_HASH"):
        raise LaunchError(
            tr("with ADMIN_PASSWORD_HASH alone the first sync cannot be asked for: set ADMIN_PASSWORD too")
        )
    # A proxy for the internet is not meant for 127.0.0.1.
    with httpx.Client(base_url=url, auth=auth, timeout=10, trust_env=False) as client:
        yield Backend(client, supervisor)


def resources_of(settings: Settings) -> list[str]:
    """What PNCP_RESOURCES names; by default contratações."""
    named = [name.strip() for name in settings.get("PNCP_RESOURCES", "").split(",")]
    return [name for name in named if name] or [RESOURCE_NAMES[0]]


def run_first_sync(
    backend: Backend,
    days: Days,
    resource: str = RESOURCE_NAMES[0],
    *,
    without: date | None = None,
    only: list[date] | None = None,
) -> bool:
    """Sync the simulator's days of a resource that are missing; answers whether all of it succeeded.

    `without`: a day that is left out; `only`: the days of which there are records, where others have none.
    An unfinished sync of an earlier start is watched to its end; stored days are not asked for again.
    """
    unfinished = _backfills(backend, "running", resource)
    for execution in unfinished:
        say(tr("- an earlier start left execution {id} unfinished; it goes on", id=execution["id"]))
        _watch(backend, str(execution["id"]))
    left = choose_days(_backfills(backend, "success", resource), days)
    if left is None and unfinished:
        return True
    if left is None:
        say(tr("- the first sync of {resource} is finished already; asking for an update", resource=resource))
        return _watch(backend, backend.force({"resource": resource, "mode": "update"}))
    spans = spans_around(left, without) if only is None else spans_of(only)
    bodies = [body for span in spans for body in backfills_of(span, today())]
    return all(_watch(backend, backend.force({"resource": resource, **body})) for body in bodies)


def spans_of(days: list[date]) -> list[Days]:
    """Single days as spans, the newest first; those with no more than a weekend between them are one."""
    spans: list[Days] = []
    for day in sorted(days):
        if spans and day - spans[-1][1] <= WEEKEND:
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return spans[::-1]


def spans_around(days: Days, without: date | None) -> list[Days]:
    """The days, but for one, as spans."""
    if without is None:
        return [days]
    one = timedelta(days=1)
    spans = [(days[0], without - one), (without + one, days[1])]
    return [span for span in spans if span[0] <= span[1]]


def choose_bad_day(backend: Backend, days: Days) -> date | None:
    """The closed day that is to fail: none where there are few, or where something was read at an earlier start."""
    day = days[1] - timedelta(days=BAD_DAY_BEFORE_LAST)
    if day <= days[0] or any(_backfills(backend, status, RESOURCE_NAMES[0]) for status in ("success", "error")):
        return None
    return day


def run_bad_day(backend: Backend, portal: str, day: date) -> None:
    """Read a day while the portal refuses a part of it; the portal has it afterwards, so that a repair succeeds."""
    address = f"{portal}/simulator/quirks"
    with httpx.Client(timeout=10, trust_env=False) as client:
        before = client.get(address).raise_for_status().json()["rules"]
        match = {
            "resource": RESOURCE_NAMES[0],
            "criterio": "publicacao",
            "day": str(day),
            "modalidade": BAD_MODALIDADES,
        }
        rule = {"match": match, "value": "Consulta indisponível para este dia."}
        client.put(address, json={BAD_STATUS: rule}).raise_for_status()
        try:
            (body,) = backfills_of((day, day), day)
            _watch(backend, backend.force({"resource": RESOURCE_NAMES[0], **body}))
        finally:
            client.put(address, json={"rules": before}).raise_for_status()


def run_domain_tables(backend: Backend) -> bool:
    """Read the portal's lists of codes; whether that succeeded."""
    return _watch(backend, backend.force({"resource": DOMINIOS, "mode": "update"}))


def today() -> date:
    """The day it is in Brasília, by whose clock the portal and the backend go."""
    return datetime.now(ZoneInfo("America/Sao_Paulo")).date()


def choose_days(successful: list[Execution], days: Days) -> Days | None:
    """The days still to be asked for, given the successful backfills; None when there are none.

    The last day that was read is read again if there are later ones: it had not ended then.
    """
    windows = [(_day(each["window_start"]), _day(each["window_end"])) for each in successful]
    first, last = days
    if not windows or min(start for start, _ in windows) > first:
        return days
    read_until = max(end for _, end in windows)
    return None if read_until >= last else (max(first, read_until), last)


def backfills_of(days: Days, this_day: date) -> Iterator[dict[str, str]]:
    """The requests for these days, each of at most 365 days and none beyond today."""
    first, last = days[0], min(days[1], this_day)
    while first <= last:
        end = min(last, first + timedelta(days=LONGEST_DAYS - 1))
        yield {"mode": "backfill", "data_ini": f"{first}T00:00:00", "data_fim": f"{end}T23:59:59"}
        first = end + timedelta(days=1)


def progress_line(execution: Execution) -> str:
    """How far an execution is, from the keys it has."""
    progress = execution.get("progress") or {}
    words = [tr("execution {id}", id=execution.get("id", "?"))]
    if progress.get("percent") is not None:
        words.append(f"{float(progress['percent']):.0f} %")
    if progress.get("slices_total"):
        values = {"done": progress.get("slices_done", 0), "total": progress["slices_total"]}
        words.append(tr("{done} of {total} slices", **values))
    words.append(f"{number(execution.get('records_processed') or 0)} {execution.get('resource') or RESOURCE_NAMES[0]}")
    return ", ".join(words)


def _day(moment: str) -> date:
    return datetime.fromisoformat(moment).date()


def _backfills(backend: Backend, status: str, resource: str) -> list[Execution]:
    answer = backend.get("/sync/history", mode="backfill", status=status, resource=resource, limit=500)
    executions: list[Execution] = answer["executions"]
    return sorted(executions, key=lambda execution: int(execution["id"]))


def _watch(backend: Backend, execution_id: str) -> bool:
    """Show the progress of an execution until its end; whether it succeeded."""
    start = said = time.monotonic()
    while True:
        execution = backend.get(f"/sync/executions/{execution_id}")
        if execution.get("status") != "running":
            break
        if is_terminal():
            rewrite(f"  {progress_line(execution)} ({time.monotonic() - start:.0f} s)")
        elif time.monotonic() - said >= SAY_EVERY_SECONDS:
            said = time.monotonic()
            say(f"  {progress_line(execution)} ({said - start:.0f} s)")
        backend.supervisor.pause(backend.poll_seconds)
    if is_terminal():
        rewrite("")
    took = execution.get("duration_seconds") or round(time.monotonic() - start, 1)
    error = f": {reason}" if (reason := reason_of(execution)) else ""
    status = tr(str(execution.get("status")))
    say(f"- {progress_line(execution)}: " + tr("{status} after {seconds} s", status=status, seconds=took) + error)
    return execution.get("status") == "success"
