"""Requests: what an update and the re-run of a backfill cost the portal, beside a reader that remembers nothing.

Such a reader asks for every page of a listing and for the items of every record on it, each time.
"""

import json
import math
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from bench.contender import MODALIDADES, PAGE_SIZE, Task
from bench.databases import ROOT, Databases
from bench.mirror import backfill, ingestor, update
from bench.report import ratio, table
from simulator import brasilia_now

DAYS = 10
CHANGED = 25


def run_requests(databases: Databases, per_day: int) -> None:
    """A backfill of closed days, the same again, then changes and the update that brings them."""
    today = brasilia_now().date()
    with _simulator(today - timedelta(days=DAYS - 1), today, per_day) as url:
        database_url = databases.fresh("requests")
        task = Task(f"{url}/api", database_url, today - timedelta(days=DAYS - 1), today - timedelta(days=1))
        rows = []
        with ingestor(task) as process:
            update(database_url)  # the first ever only says where the next one begins
            for name in ("backfill", "the same again"):
                _call(f"{url}/simulator/state", "DELETE")
                done = backfill(task, [process])
                truth = _records(url, "publicacao", task.first_day, task.last_day)
                rows.append(_row(name, done.records, _asked(url), _forgetful(truth, "dataPublicacaoPncp")))
            _call(f"{url}/simulator/changes", "POST", {"touch": CHANGED, "publish": CHANGED})
            _call(f"{url}/simulator/state", "DELETE")
            processed = update(database_url)
            truth = _records(url, "atualizacao", today, today)
            rows.append(_row("update", processed, _asked(url), _forgetful(truth, "dataAtualizacaoGlobal")))
        databases.drop(database_url)
    head = ["", "records", "listings", "items", "forgetful: listings", "items", "saved"]
    title = f"Requests: {DAYS - 1} closed days of {per_day} contratações, then {2 * CHANGED} changes today"
    table(title, head, rows, "saved: how many times fewer requests than a reader that remembers nothing.")


def _row(name: str, records: int, asked: tuple[int, int], forgetful: tuple[int, int]) -> list[str]:
    figures = [str(figure) for figure in (records, *asked, *forgetful)]
    return [name, *figures, ratio(sum(forgetful), sum(asked))]


def _forgetful(truth: list[dict[str, Any]], stamp: str) -> tuple[int, int]:
    """Listings and lists of items of a reader that takes every page of each day and modalidade, and all items."""
    days = {record[stamp][:10] for record in truth}
    sizes = Counter((record[stamp][:10], record["modalidadeId"]) for record in truth)
    empty = len(days) * len(MODALIDADES) - len(sizes)
    return sum(math.ceil(size / PAGE_SIZE) for size in sizes.values()) + empty, len(truth)


def _asked(url: str) -> tuple[int, int]:
    asked = _call(f"{url}/simulator/state")["requests"]
    return asked.get("consulta", 0), asked.get("itens", 0)


def _records(url: str, criterio: str, first_day: date, last_day: date) -> list[dict[str, Any]]:
    window = f"data_ini={first_day}T00:00:00&data_fim={last_day}T23:59:59"
    found: list[dict[str, Any]] = _call(f"{url}/simulator/records?criterio={criterio}&{window}")
    return found


def _call(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # our own process
        text = answer.read()
        return json.loads(text) if text else None


@contextmanager
def _simulator(first_day: date, last_day: date, per_day: int) -> Iterator[str]:
    """The simulator in full, which changes its records; the URL before `/api` and `/simulator`."""
    words = ["--port=0", f"--from={first_day}", f"--until={last_day}", f"--per-day={per_day}"]
    command = [sys.executable, "-m", "simulator", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101  # it is a pipe
            ready = re.search(r"(http://\S+)/api", process.stdout.readline())
            if ready is None:
                raise RuntimeError("the simulator did not start")
            yield ready[1]
        finally:
            process.terminate()
