"""PNCP Sync itself as a contender: one ingestor process, one backfill, from its planning to its end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import asyncpg

from bench.contender import Task
from bench.databases import ROOT, name_of, query
from bench.measure import DatabaseCpu, Run, cpu_seconds_of, peak_mib_of

POLL_SECONDS = 0.5
LONGEST_RUN = 3600

# By a trigger without a message, so that the poll takes it at once.
_BACKFILL = """
    INSERT INTO sync_executions (mode, resource, criterio, window_start, window_end, trigger)
    VALUES ('backfill', $1, $2, $3::date, $4::date + time '23:59:59', 'sweep') RETURNING id
"""
_UPDATE = (
    "INSERT INTO sync_executions (mode, criterio, trigger) VALUES ('update', 'atualizacao', 'schedule') RETURNING id"
)
_STATE = """
    SELECT status, error_message, records_processed,
           CAST(extract(epoch FROM finished_at - planned_at) AS float) AS seconds
      FROM sync_executions WHERE id = $1
"""
_WORKERS = "SELECT count(*) FROM workers WHERE stopped_at IS NULL"


@contextmanager
def ingestor(task: Task, settings: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """An ingestor process, up and waiting for work, with settings of its own given as `NAME=value`."""
    variables = {
        "PNCP_BASE_URL": task.portal_url,
        "PNCP_REQUESTS_PER_SECOND": "0",
        "PNCP_REQUESTS_IN_FLIGHT": "0",
        "PNCP_ITENS_CONCURRENCY": str(task.itens),
        "WORKER_CONCURRENCY": str(task.slots),
        **dict(setting.split("=", 1) for setting in settings),
    }
    with worker(task.database_url, variables) as process:
        yield process


@contextmanager
def worker(database_url: str, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `python -m ingestor` with these variables, from when it is up to the end of the block."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "DATABASE_URL": database_url,
        "SCHEDULE_ENABLED": "false",
        "LOG_FORMAT": "json",
        **variables,
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


def backfill(task: Task, processes: list[subprocess.Popen[bytes]]) -> Run:
    """Run one backfill on these processes."""
    before = [cpu_seconds_of(process.pid) for process in processes]
    with DatabaseCpu(name_of(task.database_url)) as database_cpu:
        criterio = task.described.day_criterio
        asked = (task.resource, criterio, task.first_day, task.last_day)
        execution_id = query(task.database_url, _BACKFILL, *asked)[0][0]
        state = wait_for_end(task.database_url, execution_id, processes)
    used = sum(cpu_seconds_of(process.pid) for process in processes) - sum(before)
    peak = max(peak_mib_of(process.pid) for process in processes)
    return Run(state["seconds"], state["records_processed"], used, database_cpu.seconds, peak)


def update(database_url: str) -> int:
    """Run one update on the ingestors; answers how many records it processed."""
    execution_id = query(database_url, _UPDATE)[0][0]
    return int(wait_for_end(database_url, execution_id)["records_processed"])


def wait_for_end(
    database_url: str, execution_id: int, processes: Sequence[subprocess.Popen[bytes]] = ()
) -> asyncpg.Record:
    """Wait until an execution has ended well; its `seconds` from planning to end, and its `records_processed`."""

    def state() -> asyncpg.Record:
        if any(process.poll() is not None for process in processes):
            raise RuntimeError(f"a worker has ended before execution {execution_id}")
        return query(database_url, _STATE, execution_id)[0]

    _wait_until(lambda: state()["status"] != "running", seconds=LONGEST_RUN)
    ended = state()
    if ended["status"] != "success":
        raise RuntimeError(f"execution {execution_id} ended as {ended['status']}: {ended['error_message']}")
    return ended


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(POLL_SECONDS)
