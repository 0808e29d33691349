"""The command line: `python -m simulator.receiver --help`."""

import argparse
import asyncio
import errno
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from simulator.receiver.app import KEY_FIELDS, VERSION_FIELD, Manners, serve
from simulator.receiver.faults import KINDS, Faults
from simulator.receiver.signatures import parse_secret

_FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; answers the exit code."""
    options = _parser().parse_args(arguments)
    try:
        faults = Faults.parse(options.faults)
        if options.secret:
            parse_secret(options.secret)
    except ValueError as error:
        return _fail(str(error))
    manners = Manners(
        keys=tuple(options.key or KEY_FIELDS),
        version=options.version,
        honours_key=options.honours_key,
        results=options.results,
        secret=options.secret,
        latency_ms=options.latency,
        most_records=options.max_records,
        seed=options.seed,
    )
    try:
        asyncio.run(_run(manners, faults, options))
    except OSError as error:
        return _fail(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}")
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"receiver: {message}\n")
    return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator.receiver",
        description="A local system that receives deliveries: records by POST /records/NAME, and messages by "
        "POST /slack, /teams and /telegram. A page at / shows what comes.",
        epilog="Faults are shares of requests, as in --faults error_before=0.08,hang=0.05:\n"
        + "\n".join(f"  {name}: {meaning}" for name, meaning in KINDS)
        + "\n  bad: share of keys that are refused, the same ones always"
        "\n  missing: share of accepted records that an answer leaves out"
        "\n  largest: bytes of a body beyond which the answer is 413"
        "\n\nWhile it runs: GET, DELETE /_state; GET /_state/NAME; POST /_faults.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=int, default=8300, help="port to listen on, 0 for any free one (default %(default)s)")
    add("--or-any-port", action="store_true", help="take any free port where that one is busy")
    add(
        "--key",
        action="append",
        metavar="FIELD",
        help=f"the field with a record's key; may be repeated, the first that is there counts "
        f"(default {', '.join(KEY_FIELDS)})",
    )
    add("--version", default=VERSION_FIELD, metavar="FIELD", help="the field with its version (default %(default)s)")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument(
        "--honours-key",
        action="store_true",
        default=True,
        help="answer a repeated Idempotency-Key as before, and apply nothing again (default)",
    )
    keys.add_argument("--plain", dest="honours_key", action="store_false", help="ignore Idempotency-Key")
    add(
        "--results",
        choices=("207", "whole"),
        default="207",
        help="a result for each record, or refuse a request with any bad record (default %(default)s)",
    )
    add("--faults", default="", metavar="NAME=SHARE,...", help="faults, see below")
    add(
        "--secret",
        default="",
        metavar="WHSEC",
        help="refuse records that are not signed with this secret (whsec_...); chats verify none",
    )
    add("--latency", type=float, default=0, metavar="MS", help="wait before every answer")
    add("--seed", type=int, default=1, help="what the faults follow from (default %(default)s)")
    add(
        "--max-records",
        type=int,
        default=100_000,
        metavar="N",
        help="records kept for each address, the newest (default %(default)s)",
    )
    return parser


async def _run(manners: Manners, faults: Faults, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(serve(manners, faults, options.host, options.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not options.or_any_port:
                raise
            running = await stack.enter_async_context(serve(manners, faults, options.host, 0))
        sys.stdout.write(f"receiver ready on {running.url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
