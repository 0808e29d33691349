"""Deliveries: a declared entity to a receiver that takes all, beside what bounds it, a plain script, and drt."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from statistics import median
from time import perf_counter
from typing import Any

import asyncpg

from bench.contender import run
from bench.courier import courier, deliver
from bench.databases import Databases, query
from bench.measure import PROC, Run
from bench.products import BATCH, Task, fill
from bench.receiver import Receiver
from bench.render_rows import stream_of
from bench.report import memory, per_second, rate, ratio, table
from common.database import driver_of
from common.difference import Scope
from ingestor.delivery import owed
from ingestor.delivery.streams import load_position

OURS, RENDER, SCRIPT, DRT = "PNCP Sync", "read, render, discard", "plain script", "drt"
MODULES = {RENDER: "bench.render_rows", SCRIPT: "bench.post_rows", DRT: "bench.drt_sync"}
NEEDS = {SCRIPT: "psycopg2", DRT: "drt"}
"""What a contender imports that is pinned for the benchmarks alone."""
MOST_FOR_OTHERS = 100_000
"""Records that the script and drt deliver; they are compared by their rates."""
CONCURRENCY = 4
QUESTIONS = 5

_JOIN = """
    SELECT count(*) FROM entity_records e
      LEFT JOIN deliveries d ON d.stream_id = $1 AND d.key = e.key
     WHERE e.entity = 'produtos' AND e.removed_at IS NULL AND d.source_at IS DISTINCT FROM e.updated_at
"""
_LEDGER = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'deliveries'"


@dataclass(frozen=True)
class Asked:
    """What one question of a stream that owes nothing costs: milliseconds of the clock, and of PostgreSQL's process."""

    wall_ms: float
    cpu_ms: float


def run_deliver(databases: Databases, sizes: Sequence[int], latencies: Sequence[float], repeats: int) -> None:
    """Every size with every latency, in turns; then what it costs to find that nothing is owed."""
    missing = {name for name, module in NEEDS.items() if find_spec(module) is None}
    for name in sorted(missing):
        print(f"\n{name} is left out: {NEEDS[name]} is not installed.")
    with Receiver() as receiver:
        for records in sizes:
            for latency in latencies:
                names = [name for name in contenders(records, latency) if name not in missing]
                _run_case(databases, receiver, names, records, latency, repeats=repeats)


def contenders(records: int, latency: float) -> list[str]:
    """Who takes part; what discards its records knows no latency."""
    others = [SCRIPT, DRT] if records <= MOST_FOR_OTHERS else []
    return [OURS, *others] if latency else [OURS, RENDER, *others]


def _run_case(
    databases: Databases, receiver: Receiver, names: Sequence[str], records: int, latency: float, *, repeats: int
) -> None:
    runs: dict[str, list[Run]] = {name: [] for name in names}
    hot, asked = "", {}
    for _ in range(repeats):
        url = databases.fresh("deliver")
        fill(url, records)
        task = Task(receiver.url, url, CONCURRENCY)
        for name in reversed(names):  # ours last, for its ledger is what the others have not
            receiver.reset(latency)
            runs[name].append(_run(name, task))
            received = receiver.received()
            if name != RENDER and received.records != records:
                raise RuntimeError(f"{name} has sent {received.records} records of {records}")
        hot = _hot_updates(url)
        asked = {} if latency else asyncio.run(_nothing_owed(task))
        databases.drop(url)
    _print_case(records, latency, runs, hot)
    if asked:
        _print_nothing_owed(records, asked)


def _run(name: str, task: Task) -> Run:
    if name != OURS:
        return run(MODULES[name], task)
    with courier(task) as process:
        return deliver(task, process)


def _hot_updates(url: str) -> str:
    updates, hot = query(url, _LEDGER)[0]
    return f"{hot / updates:.0%} of the ledger's {updates:,} updates are HOT." if updates else ""


def _print_case(records: int, latency: float, runs: dict[str, list[Run]], hot: str) -> None:
    ours = runs[OURS]
    rows = [
        [
            name,
            per_second(done),
            ratio(rate(ours), rate(done)),
            *(f"{each:.1f}" for each in _cpu(done)),
            ratio(sum(_cpu(ours)), sum(_cpu(done))),
            memory(done),
        ]
        for name, done in runs.items()
    ]
    head = ["", "records/s", "ours", "CPU ms per 1,000", "PostgreSQL's", "ours in all", "MiB"]
    notes = [f"Load of the machine in the last minute: {os.getloadavg()[0]:.1f}.", *([hot] if hot else [])]
    if latency:
        possible = CONCURRENCY * BATCH / (latency / 1000)
        notes.append(f"Latency permits {possible:,.0f} a second: {rate(ours) / possible:.0%} of it.")
    table(f"Deliveries: {records:,} records of 8 fields, {BATCH:,} a request, {latency:.0f} ms", head, rows, *notes)


def _cpu(runs: Sequence[Run]) -> tuple[float, float]:
    """Milliseconds of processor per thousand records: of the process, and of PostgreSQL for it."""
    own = median(1e6 * run.cpu_seconds / run.records for run in runs)
    return own, median(1e6 * run.database_cpu_seconds / run.records for run in runs)


# --- nothing owed -----------------------------------------------------------------------------------------------


async def _nothing_owed(task: Task) -> dict[str, list[Asked]]:
    """What a run asks first, of all records and of what was changed since; and the join that it cannot do without."""
    async with stream_of(task) as (engine, registered), engine.connect() as db:
        driver = await driver_of(db)
        # the server's other processes would not be counted
        await driver.execute("SET max_parallel_workers_per_gather = 0")
        # asked so much later that what was delivered lies longer ago than a run looks back
        later = datetime.now(UTC) + timedelta(hours=2)

        async def ask(*, is_full: bool) -> None:
            keys, _ = await owed.load_owed(driver, registered, position, Scope("diferencas", is_full, later))
            if keys:
                raise RuntimeError("something is owed after a delivery")

        async def join() -> None:
            await driver.execute("SET LOCAL enable_nestloop = off")
            await driver.execute("SET LOCAL work_mem = '64MB'")
            await driver.fetchval(_JOIN, registered.id)

        await driver.execute("UPDATE streams SET cursor_at = now() + interval '1 hour'")
        position = await load_position(db, registered.id)
        await db.rollback()
        return {
            "the join alone": await _ask(driver, join),
            "all that differs": await _ask(driver, lambda: ask(is_full=True)),
            "what has changed since the last run": await _ask(driver, lambda: ask(is_full=False)),
        }


async def _ask(driver: "asyncpg.Connection[Any]", question: Callable[[], Awaitable[None]]) -> list[Asked]:
    """A question some times, each in a transaction, after one that is not counted."""
    pid = driver.get_server_pid()
    found = []
    for _ in range(QUESTIONS + 1):
        used, start = _cpu_ms(pid), perf_counter()
        async with driver.transaction():
            await question()
        found.append(Asked(1000 * (perf_counter() - start), _cpu_ms(pid) - used))
    return found[1:]


def _cpu_ms(pid: int) -> float:
    """Milliseconds that a process of this machine has been running."""
    return int((PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e6


def _print_nothing_owed(records: int, asked: dict[str, list[Asked]]) -> None:
    rows = [
        [name, f"{median(each.wall_ms for each in found):.1f}", f"{median(each.cpu_ms for each in found):.1f}"]
        for name, found in asked.items()
    ]
    table(f"Nothing owed: {records:,} records in the ledger", ["", "ms", "PostgreSQL's CPU ms"], rows)
