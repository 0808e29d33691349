"""What a person at a terminal asks of the ingestor: reconcile with the portal, look after rejected records.

Tables go to stdout, progress to stderr; the exit code says whether all is well.
"""

import argparse
import sys
from datetime import date

from common.database import check_schema
from ingestor.config import IngestorSettings, parse_modalidades
from ingestor.errors import PncpError
from ingestor.opening import make_client, make_engine
from ingestor.rejected import load_unresolved, try_again
from ingestor.verify import DayCount, count_days

ALL_IS_WELL, SOMETHING_IS_AMISS = 0, 1


def make_parser() -> argparse.ArgumentParser:
    """The command line of `python -m ingestor`; without a command it works."""
    parser = argparse.ArgumentParser(
        prog="python -m ingestor", description="Without a command: hear the bell, claim slices, mirror the portal."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    verify = commands.add_parser(
        "verify",
        help="compare what the portal says it has of each day and modalidade with what is stored",
        description="Asks the portal for page 1 of each listing by publication. Exit code 1 if anything is missing.",
    )
    verify.add_argument("--from", dest="first", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD")
    verify.add_argument("--to", dest="last", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD")
    verify.add_argument("--modalidades", type=_modalidades, help="such as 1-13,15 (default: as configured)")
    verify.add_argument("--all", action="store_true", help="print the days that agree, too")
    rejected = commands.add_parser(
        "rejected",
        help="list the records that could not be stored, or try them again",
        description="Exit code 1 if any are left.",
    )
    rejected.add_argument("--retry", action="store_true", help="try to store them with this version")
    return parser


def _modalidades(text: str) -> list[int]:
    try:
        numbers = parse_modalidades(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert isinstance(numbers, list)  # noqa: S101  # it is a list where the value is text
    return numbers


async def verify(settings: IngestorSettings, options: argparse.Namespace) -> int:
    """Print the days and modalidades that differ, and what they come to."""
    modalidades = options.modalidades or settings.pncp_modalidades
    engine = make_engine(settings)
    asked = missing = 0
    try:
        await check_schema(engine)
        _row("day", "modalidade", "portal", "stored", "rejected", "missing")
        async with make_client(settings, engine) as client:
            async for count in count_days(engine, client, options.first, options.last, modalidades):
                asked += 1
                missing += max(count.missing, 0)
                if options.all or count.missing:
                    _print(count)
                if sys.stderr.isatty():
                    print(f"\r{count.day} modalidade {count.modalidade} ", end="", file=sys.stderr, flush=True)
    except PncpError as error:
        sys.exit(f"verify: the portal does not answer: {error}")
    finally:
        await engine.dispose()
    print(f"{asked} listings compared, {missing} records missing")
    return SOMETHING_IS_AMISS if missing else ALL_IS_WELL


def _print(count: DayCount) -> None:
    _row(count.day, count.modalidade, count.portal, count.stored, count.rejected, count.missing)


def _row(*values: object) -> None:
    print("".join(f"{value!s:>12}" for value in values), flush=True)


async def rejected(settings: IngestorSettings, options: argparse.Namespace) -> int:
    """Print every record that is not stored, and why; with `--retry`, only those that still are not."""
    engine = make_engine(settings)
    left = 0
    try:
        await check_schema(engine)
        entries = await load_unresolved(engine)
        async with make_client(settings, engine) as client:
            for entry in entries:
                reason = await try_again(engine, client, entry) if options.retry else entry.reason
                if reason is not None:
                    left += 1
                    print(f"{entry.resource} {entry.natural_key or '(no key)'}: {reason}")
    except PncpError as error:
        sys.exit(f"rejected: the portal does not give the items: {error}")
    finally:
        await engine.dispose()
    print(f"{left} of {len(entries)} rejected records are not stored")
    return SOMETHING_IS_AMISS if left else ALL_IS_WELL
