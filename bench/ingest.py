"""Ingest of a resource: PNCP Sync beside a plain script, dlt, and what client and database could do at most.

Each contender runs in a fresh database and then, where that means something, once more with nothing changed. Within a
repetition they take turns, so that a machine that grows slower grows slower for all.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from statistics import median

from bench.contender import Task, run
from bench.databases import Databases
from bench.load import ceiling
from bench.measure import Run
from bench.mirror import backfill, ingestor
from bench.portal import Portal
from bench.report import cpu, memory, per_second, rate, ratio, table
from common.resources.contratacoes import CONTRATACOES
from common.resources.description import Resource

FIRST_DAY = date(2025, 3, 10)  # a Monday
PER_DAY = 5_000
"""Records on a weekday, of contratações somewhat more than the portal publishes; a small run takes part of one day.

Days stay this large when there are more records: a slice holds the keys of its day, and 20 days of 5,000 are read as in
production, where one day of 100,000 is not.
"""

MOST_FOR_SCRIPT = 1_000
LONGEST_WAIT_FOR_SCRIPT = 50  # ms; at 200 it takes four minutes and says nothing new
MOST_FOR_DLT = 10_000  # with a list of items for each record

OURS, FETCH, COPY, DLT, SCRIPT = "PNCP Sync", "fetch and discard", "COPY of the rows", "dlt", "plain script"
MODULES = {
    FETCH: "bench.limits",
    COPY: "bench.copy_rows",
    DLT: "bench.dlt_pipeline",
    SCRIPT: "bench.plain_script",
}


@dataclass
class Results:
    """The runs of one contender in one case."""

    first: list[Run] = field(default_factory=list)
    again: list[Run] = field(default_factory=list)


def span(records: int, per_day: int = PER_DAY) -> tuple[date, date, int]:
    """The days that hold about so many records, and how many each weekday has; from a Monday on."""
    weekdays = max(1, round(records / per_day))
    weeks, rest = divmod(weekdays - 1, 5)
    return FIRST_DAY, FIRST_DAY + timedelta(days=7 * weeks + rest), round(records / weekdays)


def run_ingest(
    databases: Databases,
    sizes: Sequence[int],
    latencies: Sequence[float],
    repeats: int,
    resource: Resource = CONTRATACOES,
    *,
    per_day: int = PER_DAY,
    settings: Sequence[str] = (),
) -> None:
    """Every size with every latency; PNCP Sync takes part once more with each of the `settings`, as `NAME=value`."""
    script_rates: dict[float, float] = {}
    dlt_rates: dict[float, tuple[float, float]] = {}
    for records in sizes:
        first_day, last_day, each_day = span(records, per_day)
        with Portal(first_day, last_day, each_day, resource=resource.name) as portal:
            print(
                f"\n{portal.records:,} {resource.name} with {portal.itens:,} items on {first_day}..{last_day}; "
                f"the portal of the benchmark answers {ceiling(portal):,.0f} requests/s by itself"
            )
            for latency in latencies:
                task = Task(portal.url, "", first_day, last_day, resource=resource.name)
                results = _run_case(databases, portal, task, latency, repeats, settings=settings)
                if SCRIPT in results:
                    script_rates[latency] = rate(results[SCRIPT].first)
                if DLT in results:
                    again = results[DLT].again or results[DLT].first
                    dlt_rates[latency] = rate(results[DLT].first), rate(again)
                _print_case(portal, latency, results, script_rates.get(latency), dlt_rates.get(latency))


def contenders(records: int, latency: float, resource: Resource = CONTRATACOES) -> list[str]:
    """Who takes part: the slow ones only where they come to an end, and the database's limit where it is one.

    Of other resources than contratações neither the script nor the database's limit. dlt's source cannot take an
    address out of a key, as the lists of plans need it.
    """
    names = [OURS, FETCH]
    if resource is not CONTRATACOES:
        return names if resource.child else [*names, DLT]
    if not latency:
        names.append(COPY)
    if records <= MOST_FOR_DLT and (not latency or records <= MOST_FOR_SCRIPT):
        names.append(DLT)
    if records <= MOST_FOR_SCRIPT and latency <= LONGEST_WAIT_FOR_SCRIPT:
        names.append(SCRIPT)
    return names


def _run_case(
    databases: Databases, portal: Portal, task: Task, latency: float, repeats: int, *, settings: Sequence[str]
) -> dict[str, Results]:
    results: dict[str, Results] = defaultdict(Results)
    names = contenders(round(portal.records, -2), latency, portal.resource)
    names[1:1] = [f"{OURS}, {setting}" for setting in settings]
    for _ in range(repeats):
        for name in names:
            is_ours = name.startswith(OURS)
            url = databases.fresh("run", migrated=is_ours or name == COPY)
            runs = results[name]
            runs.first.append(_run(name, portal, replace(task, database_url=url), latency))
            if is_ours or (name in (DLT, SCRIPT) and not latency):
                runs.again.append(_run(name, portal, replace(task, database_url=url), latency))
            databases.drop(url)
    return dict(results)


def _run(name: str, portal: Portal, task: Task, latency: float) -> Run:
    if name.startswith(OURS):
        with ingestor(task, name.split(", ", 1)[1:]) as process:
            portal.reset(latency)
            done = backfill(task, [process])
    else:
        portal.reset(latency)
        done = run(MODULES[name], task)
    if done.records != portal.records:
        raise RuntimeError(f"{name} did {done.records} records of {portal.records}")
    return replace(done, requests=portal.requests())


def _print_case(
    portal: Portal,
    latency: float,
    results: dict[str, Results],
    script: float | None,
    dlt: tuple[float, float] | None,
) -> None:
    ours = results[OURS]
    rows = []
    for name, runs in results.items():
        is_rerun = bool(runs.again)
        rows.append(
            [
                name,
                per_second(runs.first),
                per_second(runs.again),
                ratio(rate(ours.first), rate(runs.first)),
                ratio(rate(ours.again), rate(runs.again)) if is_rerun else "",
                cpu(runs.first),
                cpu(runs.again) if is_rerun else "",
                memory(runs.first),
                _requests(runs.first),
                _requests(runs.again) if is_rerun else "",
            ]
        )
    head = ["", "first/s", "again/s", "ours:first", "ours:again", "CPU ms", "CPU ms again", "MiB", "requests", "again"]
    notes = [
        "CPU per record with its items, if any: the process + PostgreSQL for it. Requests: listings + lists of items."
    ]
    if dlt and DLT not in results:
        notes.append(
            f"Beside dlt on fewer records: {ratio(rate(ours.first), dlt[0])}, again {ratio(rate(ours.again), dlt[1])}."
        )
    if script and SCRIPT not in results:
        notes.append(f"Beside the plain script on fewer records: {ratio(rate(ours.first), script)}.")
    if latency and portal.resource.child:
        possible = _least_seconds(ours.first, latency)
        share = possible / median(run.seconds for run in ours.first)
        notes.append(
            f"With 64 lists of items in flight and {latency:.0f} ms the items alone take {possible:.1f} s: "
            f"the first load reaches {share:.0%} of that."
        )
    table(f"{portal.records:,} {portal.resource.name}, {latency:.0f} ms", head, rows, *notes)


def _least_seconds(runs: Sequence[Run], latency: float) -> float:
    """What the lists of items take if every slot is busy all the time."""
    return median(run.requests["itens"] for run in runs) / Task.itens * latency / 1000


def _requests(runs: Sequence[Run]) -> str:
    asked = runs[-1].requests
    return f"{asked.get('consulta', 0):,} + {asked.get('itens', 0):,}"
