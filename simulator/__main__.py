"""The command line: `python -m simulator --help`."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from simulator.app import live, serve
from simulator.generated import generate
from simulator.quirks import NAMES, Quirks
from simulator.recorded import NoRecordings, load_recorded
from simulator.world import World, brasilia_now

_FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; answers the exit code."""
    options = make_parser().parse_args(arguments)
    try:
        quirks = _quirks(options)
        world = _world(options)
    except (NoRecordings, TypeError, ValueError) as error:
        return _fail(str(error))
    try:
        asyncio.run(_run(world, quirks, options))
    except OSError as error:
        return _fail(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}")
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"simulator: {message}\n")
    return _FAILED


def make_parser() -> argparse.ArgumentParser:
    """The command line of the simulator."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A local PNCP, Brazil's procurement portal: its listings of contratações, contratos, atas, PCAs "
        "and instrumentos de cobrança, their items, resultados, documents, termos and events, its domain tables, "
        "generated or recorded, with its faults on demand.",
        epilog="Quirks and what their values mean:\n"
        + "\n".join(f"  {name}: {meaning}" for name, meaning in NAMES.items())
        + "\n\nA quirk's VALUE is a probability (--quirk 429=0.1) or a JSON object:\n"
        '  --quirk \'cut={"match": {"page": 2}, "times": 3}\'\n'
        "with match (path, service, resource, criterio, modalidade, page, day, cnpj, key, kind), probability, times, "
        "skip and value.\n"
        "Settings go the same way: --quirk page_beyond_end=204 (or 400, empty), --quirk no_items=404 (or 204, empty), "
        "--quirk listed_twice=0.2 (share of instrumentos de cobrança).\n"
        "While it runs: GET, PUT, DELETE /simulator/quirks; GET, DELETE /simulator/state; "
        "GET /simulator/days; GET /simulator/requests; "
        "GET, POST /simulator/records; POST /simulator/children; POST /simulator/tables; "
        "POST /simulator/changes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=int, default=8100, help="port to listen on, 0 for any free one (default %(default)s)")
    add("--seed", type=int, default=1, help="what the records and the faults follow from (default %(default)s)")
    add("--days", type=int, default=10, help="so many days, the last of them --until (default %(default)s)")
    add(
        "--per-day",
        type=float,
        default=60,
        help="mean contratações per weekday, all modalidades, with 0.6 contratos, 0.3 atas, 0.05 PCAs and "
        "0.07 instrumentos de cobrança for each "
        "(default %(default)s)",
    )
    add("--from", dest="first_day", type=date.fromisoformat, metavar="DATE", help="first day, instead of --days")
    add(
        "--until",
        dest="last_day",
        type=date.fromisoformat,
        metavar="DATE",
        help="last day (default: today in Brasília)",
    )
    add("--recorded", metavar="FOLDER", help="serve recordings of the portal instead of generated records")
    add(
        "--live-per-minute",
        type=float,
        default=0,
        metavar="N",
        help="records published or changed per minute while it runs",
    )
    add("--fail", type=float, default=0, metavar="SHARE", help="share of all answers that fail in some way, 0..1")
    add("--hang", type=float, metavar="SECONDS", help="let silence of so many seconds be among the ways to fail")
    add("--latency-ms", type=float, default=0, metavar="MS", help="wait before every answer")
    add(
        "--rate-limit",
        type=float,
        default=0,
        metavar="N",
        help="requests per second the consulta service takes; beyond them 429",
    )
    add(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a fault or a setting, see below; may be repeated",
    )
    return parser


def _quirks(options: argparse.Namespace) -> Quirks:
    quirks = Quirks(seed=options.seed)
    settings = {
        "fail": options.fail,
        "hang_seconds": options.hang,
        "latency_ms": options.latency_ms,
        "rate_limit": options.rate_limit,
    }
    quirks.update(settings)
    for given in options.quirk:
        name, equals, text = given.partition("=")
        if not equals:
            raise ValueError(f"--quirk {given}: NAME=VALUE is expected")
        quirks.update({name: _value(text)})
    return quirks


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _world(options: argparse.Namespace) -> World:
    if options.recorded is not None:
        return load_recorded(options.recorded)
    last_day = options.last_day or brasilia_now().date()
    if options.days < 1:
        raise ValueError("--days must be 1 or more")
    first_day = options.first_day or last_day - timedelta(days=options.days - 1)
    return generate(options.seed, first_day, last_day, options.per_day)


async def _run(world: World, quirks: Quirks, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(world, quirks, options.host, options.port) as running:
        span = f"{len(world)} contratações from {world.first_day} to {world.last_day}"
        sys.stdout.write(f"simulator ready on {running.base_url} ({span})\n")
        sys.stdout.flush()
        changes = asyncio.create_task(live(world, options.live_per_minute)) if options.live_per_minute > 0 else None
        await stop.wait()
        if changes is not None:
            changes.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await changes


if __name__ == "__main__":
    sys.exit(main())
