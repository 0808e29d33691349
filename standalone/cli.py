"""The commands of ./pncp and their options.

It is read before anything is installed: it imports the standard library and the descriptions of resources, which do no
more.
"""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.resources import RESOURCE_NAMES
from common.resources.dominios import DOMINIOS

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


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")


def _moment(text: str) -> str:
    """A day or a moment that a calendar has, as it was given."""
    if not (_DAY.fullmatch(text) or _MOMENT.fullmatch(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither YYYY-MM-DD nor YYYY-MM-DDTHH:MM:SS")
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is in no calendar") from None
    return text


class _Window(argparse.Action):
    """From the first second of a day to the last one of another, where no hours are given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002  # argparse hands it over
    ) -> None:
        """Keep the two bounds in the API's form."""
        assert isinstance(values, list)  # noqa: S101  # for the type checker; nargs is 2
        start, end = values
        start = f"{start}T00:00:00" if _DAY.fullmatch(start) else start
        end = f"{end}T23:59:59" if _DAY.fullmatch(end) else end
        if start > end:
            parser.error(f"--backfill: {start} comes after {end}")
        setattr(namespace, self.dest, (start, end))


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the backend (PNCP_SYNC_URL; not set: the one that ./pncp runs here)")
    parser.add_argument("--json", action="store_true", help="the API's answer, for programs")


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=_positive, metavar="ID", help="the execution")
    _add_url(parser)


def _add_ids(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", type=_positive, metavar="ID", nargs="*", default=[], help="the executions")
    which.add_argument("--all", action="store_true", help="all that are under way")
    _add_resource(which, "all of this resource that are under way")
    _add_url(parser)


def _add_resource(parser: argparse._ActionsContainer, what: str) -> None:
    parser.add_argument("--resource", choices=RESOURCE_NAMES, help=what)


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch", action="store_true", help="show its progress to the end; exit code 0 if it succeeded, else 1"
    )


def _add_sync(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--update", action="store_true", help="what has changed since the last update")
    what.add_argument(
        "--backfill",
        nargs=2,
        type=_moment,
        action=_Window,
        metavar=("FROM", "TO"),
        help="an interval, ends included: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, Brasília's time",
    )
    parser.add_argument(
        "--criterio",
        choices=("publicacao", "atualizacao"),
        help="of a backfill: what was published in the interval (publicacao, unless the resource has none) or what "
        "changed in it",
    )
    parser.add_argument(
        "--resource",
        choices=(*RESOURCE_NAMES, DOMINIOS),
        help=f"what to read ({RESOURCE_NAMES[0]}); dominios: --update",
    )
    parser.add_argument("--dry-run", action="store_true", help="start nothing; tell what it would come to")
    _add_watch(parser)
    _add_url(parser)


def _add_status(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("id", type=_positive, metavar="ID", nargs="?", help="an execution; without it the newest")
    _add_resource(which, "the newest execution of this resource")
    _add_watch(parser)
    _add_url(parser)


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=("running", "success", "error"))
    _add_resource(parser, "those of this resource only")
    parser.add_argument("--mode", choices=("update", "backfill"))
    parser.add_argument("--trigger", help="who asked: api, message, schedule, sweep, gap, goal, retry")
    parser.add_argument("--limit", type=_positive, default=20, help="how many, 500 at most (20)")
    _add_url(parser)


def _day(text: str) -> str:
    """A day that a calendar has, as it was given."""
    if not _DAY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not YYYY-MM-DD")
    return _moment(text)


def _add_coverage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="first", type=_day, required=True, metavar="YYYY-MM-DD", help="the first day")
    parser.add_argument("--to", dest="last", type=_day, required=True, metavar="YYYY-MM-DD", help="the last, included")
    _add_resource(parser, f"of what ({RESOURCE_NAMES[0]})")
    _add_url(parser)


def _add_retry(parser: argparse.ArgumentParser) -> None:
    _add_watch(parser)
    _add_id(parser)


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--level", choices=("debug", "info", "warning", "error"), help="of this level and above")
    parser.add_argument("--limit", type=_positive, help="how many lines (1000; with --follow all)")
    parser.add_argument("--follow", action="store_true", help="go on until the execution ends")
    _add_id(parser)


def _add_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", help="whose token (PNCP_SYNC_USERNAME, or admin)")
    _add_url(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.usage = "./pncp export ENTIDADE [--FILTRO VALOR ...] [--formato FORMATO] [-o FILE] [OPTIONS]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = EXPORT_DESCRIPTION
    parser.epilog = EXPORT_EPILOG
    parser.add_argument("entity", metavar="ENTIDADE", help="a list of the API: contratacoes, contratos, itens, ...")
    parser.add_argument("--filtros", action="store_true", help="show the filters of the entity, and export nothing")
    parser.add_argument(
        "--formato", help="csv, ndjson, xlsx, parquet or pdf; not given: as the ending of FILE says, else csv"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to; - is standard output (a name of the backend's, here)"
    )
    parser.add_argument("--campos", help="which fields, in this order, separated by commas (all but JSON)")
    parser.add_argument("--ordem", help="by which value, as in the API: valor, data_publicacao:asc")
    parser.add_argument("--excel", action="store_true", help="csv as Excel opens it in Brazil: ; and decimal commas")
    parser.add_argument("--dados-pessoais", action="store_true", help="CPFs as they are; for administrators")
    _add_url(parser)


EXPORT_DESCRIPTION = """\
Write the rows of a list of the API into a file: all of them, as of one moment.

Every filter of the list is an option by its name, with one value or several, repeated or separated by commas:

  ./pncp export contratos --uf SC,PR --data-publicacao-de 2026-01-01 --formato xlsx -o contratos.xlsx
"""
EXPORT_EPILOG = """\
Few rows come at once; for more the backend makes a file, with a progress bar here, and Ctrl-C cancels that.
FILE has its name only when it is whole. The last line, on standard error, says whether the mirror is complete for
what was exported. Exit codes: 0 done and complete, 1 failed, 2 wrong options or filters, 3 done, but the mirror is not
complete, 130 interrupted.
"""
_FILTER = re.compile(r"--([a-z][a-z0-9_-]*)(?:=(.*))?", re.DOTALL)


def _read_filters(parser: argparse.ArgumentParser, words: list[str]) -> list[tuple[str, str]]:
    """Filters by their names, from the options that the parser does not know; one without a value means true."""
    filters: list[tuple[str, str]] = []
    is_open = False
    for word in words:
        option = _FILTER.fullmatch(word)
        if option is not None:
            filters.append((option[1].replace("-", "_"), "true" if option[2] is None else option[2]))
            is_open = option[2] is None
        elif is_open:
            filters[-1] = (filters[-1][0], word)
            is_open = False
        else:
            parser.error(f"{word!r} belongs to no option")
    return filters


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
    parser.add_argument("--sabotage", metavar="NAME", help="break the product on purpose: is it noticed?")
    parser.add_argument("--keep", action="store_true", help="keep the logs of a storm that broke nothing, too")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("parts", nargs="*", metavar="PART", help="ingest, api, scale, requests, files (these), read")
    parser.add_argument("--quick", action="store_true", help="small numbers, under two minutes")
    parser.add_argument("--resource", choices=RESOURCE_NAMES, help="for ingest (contratacoes)")
    parser.add_argument("--records", type=_positive, nargs="+", help="records for ingest (1000 10000 100000)")
    parser.add_argument("--per-day", type=_positive, help="records of a weekday for ingest (5000)")
    parser.add_argument(
        "--set", nargs="+", metavar="NAME=VALUE", help="for ingest, one more run of PNCP Sync with each setting"
    )
    parser.add_argument("--latency", type=float, nargs="+", help="milliseconds for ingest (0 50 200)")
    parser.add_argument("--repeats", type=_positive, help="runs of each contender (3; of read 1)")
    parser.add_argument("--contratos", type=_positive, help="rows for read (10000000)")
    parser.add_argument("--itens", type=_positive, help="rows for read (10000000)")
    parser.add_argument("--keep", action="store_true", help="leave the database of read to the next run")


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    """The options of a command that has none."""


@dataclass(frozen=True)
class Command:
    """One command: what it does in a line, which pinned packages it needs, and its options."""

    summary: str
    requirements: str
    add_options: Callable[[argparse.ArgumentParser], None] = _add_nothing
    # pytest, psql and their like read their options themselves.
    hands_on_arguments: bool = False
    # Options that are not known here are filters of the API.
    takes_filters: bool = False


COMMANDS = {
    "demo": Command("everything on this machine against a simulated portal; no internet needed", LOCAL, _add_demo),
    "up": Command("everything on this machine against the real portal", LOCAL),
    "test": Command("the test suite in fresh databases; arguments go to pytest", DEVELOPMENT, hands_on_arguments=True),
    "check": Command("format, lint, types and import rules; changes nothing", DEVELOPMENT),
    "bench": Command(
        "the benchmarks, printed as tables: ingest, api, scale, requests, files, read", BENCHMARKS, _add_bench
    ),
    "chaos": Command("random faults on real processes, then the check that nothing was lost", DEVELOPMENT, _add_chaos),
    "sync": Command("start a synchronisation, or tell what it would come to", LOCAL, _add_sync),
    "status": Command("how an execution goes", LOCAL, _add_status),
    "history": Command("executions, newest first", LOCAL, _add_history),
    "coverage": Command("what the mirror has of each day: --from DAY --to DAY", LOCAL, _add_coverage),
    "cancel": Command("end executions", LOCAL, _add_ids),
    "retry": Command("repeat what failed of an execution", LOCAL, _add_retry),
    "log": Command("what an execution has logged", LOCAL, _add_log),
    "export": Command(
        "rows of the mirror as a file: ENTIDADE --FILTRO VALOR ... -o FILE", LOCAL, _add_export, takes_filters=True
    ),
    "token": Command("a token for the API, good for half an hour", LOCAL, _add_token),
    "verify": Command(
        "compare the mirror with the portal: [--resource NAME] --from DAY --to DAY", LOCAL, hands_on_arguments=True
    ),
    "rejected": Command("records that could not be stored; --retry tries again", LOCAL, hands_on_arguments=True),
    "itens": Command("contratações whose items are owed; --retry tries again", LOCAL, hands_on_arguments=True),
    "lists": Command("--plan: what reading results, documents and termos comes to", LOCAL, hands_on_arguments=True),
    "psql": Command("a prompt of the database; options go to psql", LOCAL, hands_on_arguments=True),
    "backup": Command("the whole database into one file: [FILE]", LOCAL, hands_on_arguments=True),
    "restore": Command("a backup back into the database: [--force] FILE", LOCAL, hands_on_arguments=True),
    "hash-password": Command("the hash of a password, for ADMIN_PASSWORD_HASH", LOCAL, hands_on_arguments=True),
}
ASKING = ("sync", "status", "history", "coverage", "cancel", "retry", "log", "export", "token")
"""Commands that start nothing here: they ask a backend, here or elsewhere."""
TOOLS = ("verify", "rejected", "itens", "lists", "psql", "backup", "restore", "hash-password")
"""Commands that work on the database itself: that of the services that run here, else DATABASE_URL's."""

HELP = """\
usage: ./pncp COMMAND [OPTIONS]

PNCP Sync keeps a mirror of Brazil's public procurement portal in PostgreSQL.

{commands}

./pncp COMMAND --help tells the options of a command. Ctrl-C stops everything in good order (exit code 0);
a second Ctrl-C ends it at once (130). While a synchronisation is watched, it ends the watching alone. Exit codes:
0 done, 1 failed, 2 wrong options. Settings come from the environment, then from .env, then from defaults:

  DATABASE_URL   a PostgreSQL to use instead of the embedded one
  RABBITMQ_URL   a broker to use; without it the ingestor polls the database
  BACKEND_PORT   the port on 127.0.0.1 (8000, or the next free one)
  PNCP_HOME      where data and logs lie (.data in the project folder)
  PNCP_SYNC_URL, PNCP_SYNC_USERNAME, PNCP_SYNC_PASSWORD
                 the backend that sync, status, history, coverage, cancel, retry, log, export and token ask, and its
                 user; without them the one that ./pncp up or demo runs here, as the administrator of .env
  PYTHON         the Python to use, 3.11 or newer

The first call makes .venv here and installs the pinned packages, with uv where it is installed, else with pip.
"""


def help_text() -> str:
    """What ./pncp --help prints."""
    return HELP.format(commands="\n".join(f"  {name:<13} {command.summary}" for name, command in COMMANDS.items()))


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
    if not command.takes_filters:
        return name, parser.parse_args(words[1:])
    if words[1:2] and words[1].startswith("-") and words[1] not in ("-h", "--help"):
        parser.error("the entity comes first")
    options, rest = parser.parse_known_args(words[1:])
    options.filters = _read_filters(parser, rest)
    return name, options
