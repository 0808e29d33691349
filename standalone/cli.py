"""The commands of ./pncp and their options; all standard library, as it is read before anything is installed."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOCAL = "requirements-local.txt"
DEVELOPMENT = "requirements-dev.txt"
BENCHMARKS = "requirements-bench.txt"
ROOT = Path(__file__).resolve().parent.parent


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return number


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recorded", metavar="FOLDER", help="answers recorded from the portal instead of generated ones"
    )
    parser.add_argument("--days", type=_positive, default=10, help="days of generated data, today the last (10)")
    parser.add_argument("--per-day", type=_positive, default=60, help="contratações generated per day (60)")
    parser.add_argument(
        "--fail", type=_share, metavar="SHARE", help="share of the simulator's answers that fail, 0 to 1"
    )
    parser.add_argument("--seed", type=int, help="another seed generates other data")
    parser.add_argument("--no-first-sync", action="store_true", help="start everything but no sync")
    parser.add_argument(
        "--exit-after-sync", action="store_true", help="stop after the first sync; exit code 0 if it succeeded, else 1"
    )


def _add_chaos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="what all faults and requests are drawn from (1)")
    parser.add_argument("--seconds", type=_positive, default=600, help="how long the storm lasts (600)")
    parser.add_argument("--ingestors", type=_positive, default=2, help="how many there are (2)")
    parser.add_argument("--keep", action="store_true", help="keep the logs of a storm that broke nothing, too")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("parts", nargs="*", metavar="PART", help="ingest, api, scale, requests (all of them)")
    parser.add_argument("--quick", action="store_true", help="small numbers, under two minutes")
    parser.add_argument("--records", type=_positive, nargs="+", help="contratações for ingest (1000 10000 100000)")
    parser.add_argument("--latency", type=float, nargs="+", help="milliseconds for ingest (0 50 200)")
    parser.add_argument("--repeats", type=_positive, help="runs of each contender (3)")


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    """The options of a command that has none."""


@dataclass(frozen=True)
class Command:
    """One command: what it does in a line, which pinned packages it needs, and its options."""

    summary: str
    requirements: str
    add_options: Callable[[argparse.ArgumentParser], None] = _add_nothing
    # pytest and its like read their options themselves.
    hands_on_arguments: bool = False


COMMANDS = {
    "demo": Command("everything on this machine against a simulated portal; no internet needed", LOCAL, _add_demo),
    "up": Command("everything on this machine against the real portal", LOCAL),
    "test": Command("the test suite in fresh databases; arguments go to pytest", DEVELOPMENT, hands_on_arguments=True),
    "check": Command("format, lint, types and import rules; changes nothing", DEVELOPMENT),
    "bench": Command("the benchmarks, printed as tables: ingest, api, scale, requests", BENCHMARKS, _add_bench),
    "chaos": Command("random faults on real processes, then the check that nothing was lost", DEVELOPMENT, _add_chaos),
}

HELP = """\
usage: ./pncp COMMAND [OPTIONS]

PNCP Sync keeps a mirror of Brazil's public procurement portal in PostgreSQL.

{commands}

./pncp COMMAND --help tells the options of a command. Ctrl-C stops everything in good order (exit code 0);
a second Ctrl-C ends it at once (130). Settings come from the environment, then from .env, then from defaults:

  DATABASE_URL   a PostgreSQL to use instead of the embedded one
  RABBITMQ_URL   a broker to use; without it the ingestor polls the database
  BACKEND_PORT   the port on 127.0.0.1 (8000, or the next free one)
  PNCP_HOME      where data and logs lie (.data in the project folder)
  PYTHON         the Python to use, 3.11 or newer

The first call makes .venv here and installs the pinned packages, with uv where it is installed, else with pip.
"""


def help_text() -> str:
    """What ./pncp --help prints."""
    return HELP.format(commands="\n".join(f"  {name:<8} {command.summary}" for name, command in COMMANDS.items()))


def parse(words: list[str]) -> tuple[str, argparse.Namespace]:
    """The command and its options; prints help (exit code 0) or what is wrong (2) and exits where that is asked.

    Arguments for another program stand in `arguments`.
    """
    name = words[0] if words else "help"
    if name in ("help", "--help", "-h"):
        sys.stdout.write(help_text())
        sys.exit(0)
    if name not in COMMANDS:
        sys.stderr.write(f"pncp: unknown command {name!r}; commands: {', '.join(COMMANDS)}\n")
        sys.exit(2)
    command = COMMANDS[name]
    if command.hands_on_arguments:
        return name, argparse.Namespace(arguments=words[1:])
    parser = argparse.ArgumentParser(prog=f"./pncp {name}", description=command.summary, allow_abbrev=False)
    command.add_options(parser)
    return name, parser.parse_args(words[1:])
