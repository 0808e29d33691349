"""PNCP Sync itself as a contender: one ingestor process, one backfill, from its planning to its end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from sqlalchemy.engine import make_url

from bench.databases import ROOT, query
from bench.measure import DatabaseCpu, Run, cpu_seconds_of, peak_mib_of

POLL_SECONDS = 0.1
LONGEST_RUN = 3600

_REQUEST = """
    INSERT INTO sync_executions (mode, criterio, window_start, window_end, trigger)
    VALUES ('backfill', 'publicacao', $1::date, $2::date + time '23:59:59', 'sweep') RETURNING id
"""
_STATE = """
    SELECT status, error_message, records_processed,
           CAST(extract(epoch FROM finished_at - planned_at) AS float) AS seconds
      FROM sync_executions WHERE id = $1
"""
_WORKERS = "SELECT count(*) FROM workers WHERE stopped_at IS NULL"


@dataclass(frozen=True)
class Concurrency:
    """What the benchmark allows an ingestor, instead of the politeness that the real portal wants."""

    slots: int = 16
    itens: int = 64


@contextmanager
def ingestor(database_url: str, portal_url: str, allowed: Concurrency) -> Iterator[subprocess.Popen[bytes]]:
    """An ingestor process, up and waiting for work."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "DATABASE_URL": database_url,
        "PNCP_BASE_URL": portal_url,
        "PNCP_REQUESTS_PER_SECOND": "0",
        "PNCP_ITENS_CONCURRENCY": str(allowed.itens),
        "WORKER_CONCURRENCY": str(allowed.slots),
        "SCHEDULE_ENABLED": "false",
        "LOG_FORMAT": "json",
    }
    known = query(database_url, _WORKERS)[0][0]
    process = subprocess.Popen(
        [sys.executable, "-m", "ingestor"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=None
    )
    try:
        _wait_until(lambda: query(database_url, _WORKERS)[0][0] > known, seconds=30)
        yield process
    finally:
        process.terminate()
        process.wait()


def backfill(database_url: str, first_day: date, last_day: date, processes: list[subprocess.Popen[bytes]]) -> Run:
    """Have these processes do one backfill."""
    database = make_url(database_url).database or ""
    before = [cpu_seconds_of(process.pid) for process in processes]
    with DatabaseCpu(database) as database_cpu:
        execution_id = query(database_url, _REQUEST, first_day, last_day)[0][0]
        _wait_until(lambda: query(database_url, _STATE, execution_id)[0]["status"] != "running", seconds=LONGEST_RUN)
    state = query(database_url, _STATE, execution_id)[0]
    if state["status"] != "success":
        raise RuntimeError(f"the backfill ended as {state['status']}: {state['error_message']}")
    used = sum(cpu_seconds_of(process.pid) for process in processes) - sum(before)
    peak = max(peak_mib_of(process.pid) for process in processes)
    return Run(state["seconds"], state["records_processed"], used, database_cpu.seconds, peak)


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(POLL_SECONDS)
