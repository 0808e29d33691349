"""Scale-out: one, two and four ingestors on one backfill whose latency, not the machine, is the limit."""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from statistics import median

from bench.contender import Task
from bench.databases import Databases
from bench.ingest import FIRST_DAY
from bench.measure import Run
from bench.mirror import backfill, ingestor
from bench.portal import Portal
from bench.report import cpu, per_second, rate, ratio, table

LATENCY_MS = 50
SLOTS, ITENS = 4, 4
"""The defaults of WORKER_CONCURRENCY and PNCP_ITENS_CONCURRENCY."""


def run_scale(databases: Databases, records: int, counts: Sequence[int], repeats: int) -> None:
    """The same backfill with each number of ingestors, each with the default concurrency.

    It covers two weeks, as backfills cover many days: one day's largest modalidade is a single slice, which one
    ingestor reads alone.
    """
    first_day, last_day, per_day = FIRST_DAY, FIRST_DAY + timedelta(days=11), records // 10
    runs: dict[int, list[Run]] = {count: [] for count in counts}
    with Portal(first_day, last_day, per_day) as portal:
        for _ in range(repeats):
            for count in counts:
                url = databases.fresh("scale")
                task = Task(portal.url, url, first_day, last_day, SLOTS, ITENS)
                with ExitStack() as stack:
                    processes = [stack.enter_context(ingestor(task)) for _ in range(count)]
                    portal.reset(LATENCY_MS)
                    runs[count].append(backfill(task, processes))
                databases.drop(url)
        rows = [
            [
                str(count),
                per_second(done),
                ratio(rate(done), rate(runs[counts[0]])),
                cpu(done),
                f"{median(run.seconds for run in done):.1f}",
            ]
            for count, done in runs.items()
        ]
        title = f"{portal.records:,} contratações, {LATENCY_MS} ms, {ITENS} lists of items in flight per ingestor"
        table(title, ["ingestors", "records/s", f"of {counts[0]}", "CPU ms", "seconds"], rows)
