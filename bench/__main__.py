"""`./pncp bench [--quick] [PART ...]`: run benchmarks, all or those of `PARTS`, and print their tables."""

import argparse
import os
import platform
import time

from bench.api import run_api
from bench.databases import Databases, query
from bench.deliver import run_deliver
from bench.files import run_files
from bench.ingest import PER_DAY, run_ingest
from bench.intake import run_intake
from bench.read import EXPORTED, run_read
from bench.requests_cost import run_requests
from bench.scale_out import run_scale
from bench.taking_in import run_taking_in
from common.resources import RESOURCE_NAMES, RESOURCES_BY_NAME

PARTS = ("ingest", "api", "scale", "requests", "files", "deliver", "intake")
READ = "read"
"""Not among all parts: its database takes an hour to fill."""


def main() -> None:
    """Run the chosen benchmarks; every created database is dropped and every process ended."""
    options = parse()
    start = time.monotonic()
    server_url = os.environ["DATABASE_URL"]  # `./pncp` has chosen or started a server
    version = query(server_url, "SHOW server_version")[0][0]
    python, processors = platform.python_version(), os.cpu_count()
    print(f"Python {python}, PostgreSQL {version}, {processors} processors, {platform.platform()}")
    databases = Databases(server_url)
    try:
        run_parts(databases, options)
    finally:
        databases.close()
    print(f"\n{time.monotonic() - start:.0f} s in all")


def run_parts(databases: Databases, options: argparse.Namespace) -> None:
    """The parts that were asked for, in their order; all of them where none was."""
    parts = options.parts or PARTS
    quick = options.quick
    if "ingest" in parts:
        resource = RESOURCES_BY_NAME[options.resource]
        sizes = options.records or ([150] if quick else [1_000, 10_000, 100_000])
        latencies = options.latency or ([0, 50] if quick else [0, 50, 200])
        repeats = options.repeats or (1 if quick else 3)
        run_ingest(databases, sizes, latencies, repeats, resource, per_day=options.per_day, settings=options.set)
    if "api" in parts:
        sizes_of_history = [1_000, 20_000] if quick else [1_000, 100_000, 1_000_000]
        run_api(databases, sizes_of_history, seconds=1 if quick else 5, repeats=options.repeats or (1 if quick else 3))
    if "scale" in parts:
        counts = [1, 2] if quick else [1, 2, 4]
        run_scale(databases, 200 if quick else 2_000, counts, options.repeats or (1 if quick else 3))
    if "requests" in parts:
        run_requests(databases, 40 if quick else 600)
    if "files" in parts:
        run_files(databases, 5_000 if quick else 100_000, options.repeats or (1 if quick else 3))
    if "deliver" in parts:
        sizes = options.records or ([20_000] if quick else [10_000, 100_000, 1_000_000])
        run_deliver(databases, sizes, options.latency or [0, 200], options.repeats or 1)
    if "intake" in parts:
        rows, repeats = (5_000 if quick else 100_000), options.repeats or (1 if quick else 3)
        run_intake(rows, repeats)
        run_taking_in(databases, rows, repeats)
    if READ in parts:
        rows = 200_000 if quick else 10_000_000
        contratos, itens = options.contratos or rows, options.itens or rows
        exported, seconds = (EXPORTED // 10, 1) if quick else (EXPORTED, 4)
        run_read(databases, contratos, itens, seconds, options.repeats or 1, exported=exported, keep=options.keep)


def _part(name: str) -> str:
    known = (*PARTS, READ)
    if name not in known:  # argparse's own `choices` would refuse that none is given
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return name


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./pncp bench", description="benchmarks; medians are printed, never judged")
    parser.add_argument("parts", nargs="*", type=_part, metavar="PART", help=f"{', '.join(PARTS)} (these), {READ}")
    parser.add_argument("--quick", action="store_true", help="small numbers, under two minutes")
    parser.add_argument("--records", type=int, nargs="+", help="records for ingest (1000 10000 100000), deliver")
    parser.add_argument("--resource", choices=RESOURCE_NAMES, default="contratacoes", help="for ingest (contratacoes)")
    parser.add_argument("--per-day", type=int, default=PER_DAY, help="records of a weekday for ingest (5000)")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="for ingest, one more run of PNCP Sync with each"
    )
    parser.add_argument("--latency", type=float, nargs="+", help="milliseconds for ingest (0 50 200), deliver")
    parser.add_argument("--repeats", type=int, help="runs of each contender (3; of read and deliver 1)")
    parser.add_argument("--contratos", type=int, help="rows for read (10000000)")
    parser.add_argument("--itens", type=int, help="rows for read (10000000)")
    parser.add_argument("--keep", action="store_true", help="leave the database of read to the next run that asks so")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
