"""How a contender runs: a process of its own that gets portal and database, and reports its time.

The clock runs from the first request to the last commit; starting Python and importing libraries is not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from bench.databases import ROOT, name_of
from bench.measure import DatabaseCpu, Run, cpu_seconds_of, peak_mib_of
from common.resources import RESOURCES_BY_NAME
from common.resources.description import Resource

MODALIDADES = range(1, 20)
PAGE_SIZE = 50
"""Of contratações."""


def parts_of(resource: Resource) -> Iterable[int]:
    """The parts that have listings of their own; 0 where a resource is not divided."""
    return MODALIDADES if resource.axis else (0,)


@dataclass(frozen=True)
class Task:
    """What is to be mirrored: the records of these days, from this portal into this database.

    `slots` and `itens` are what PNCP Sync and its client are allowed: WORKER_CONCURRENCY and PNCP_ITENS_CONCURRENCY.
    """

    portal_url: str
    database_url: str
    first_day: date
    last_day: date
    slots: int = 16
    itens: int = 64
    resource: str = "contratacoes"

    @property
    def described(self) -> Resource:
        """The description of its resource."""
        return RESOURCES_BY_NAME[self.resource]

    def slices(self) -> Iterator[tuple[date, int]]:
        """Each day with each part of the resource."""
        for offset in range((self.last_day - self.first_day).days + 1):
            for part in parts_of(self.described):
                yield self.first_day + timedelta(days=offset), part


def compete(mirror: Callable[[Task], int | tuple[int, float]]) -> None:
    """The contender's side: do the task and report its time.

    `mirror` answers how many records it mirrored, and the seconds where not all of its time counts.
    """
    parser = argparse.ArgumentParser()
    for name in ("portal-url", "database-url", "resource"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("first-day", "last-day"):
        parser.add_argument(f"--{name}", type=date.fromisoformat, required=True)
    for name in ("slots", "itens"):
        parser.add_argument(f"--{name}", type=int, required=True)
    task = Task(**vars(parser.parse_args()))
    report(lambda: mirror(task))


def report(work: Callable[[], int | tuple[int, float]]) -> None:
    """Do some work and print what it has cost; see `compete`."""
    used, start = cpu_seconds_of(os.getpid()), time.perf_counter()
    done = work()
    records, seconds = done if isinstance(done, tuple) else (done, time.perf_counter() - start)
    told = {
        "seconds": seconds,
        "records": records,
        "cpu_seconds": cpu_seconds_of(os.getpid()) - used,
        "peak_mib": peak_mib_of(os.getpid()),
    }
    sys.stdout.write("\n" + json.dumps(told) + "\n")


class Described(Protocol):
    """The task of a contender: a dataclass, whose fields are the words of its command line."""

    @property
    def database_url(self) -> str:
        """The database of the run."""


def run(module: str, task: Described) -> Run:
    """The benchmark's side: one run of a contender."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in vars(task).items()]
    environment = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    command = [sys.executable, "-m", module, *words]
    with DatabaseCpu(name_of(task.database_url)) as database_cpu:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return Run(**told, database_cpu_seconds=database_cpu.seconds)
