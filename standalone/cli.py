"""The commands of ./pncp and their options.

It is read before anything is installed: it imports the standard library and the descriptions of resources, which do no
more.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from common.resources import RESOURCE_NAMES
from common.resources.dominios import DOMINIOS
from standalone.language import tr

LOCAL = "requirements-local.txt"
DEVELOPMENT = "requirements-dev.txt"
BENCHMARKS = "requirements-bench.txt"
ROOT = Path(__file__).resolve().parent.parent
SHELLS = ("bash", "zsh", "fish")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(tr("must be at least 1"))
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(tr("must lie between 0 and 1"))
    return number


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")


def _moment(text: str) -> str:
    """A day or a moment that a calendar has, as it was given."""
    if not (_DAY.fullmatch(text) or _MOMENT.fullmatch(text)):
        raise argparse.ArgumentTypeError(tr("{text} is neither YYYY-MM-DD nor YYYY-MM-DDTHH:MM:SS", text=repr(text)))
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(tr("{text} is in no calendar", text=repr(text))) from None
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
            parser.error(tr("--backfill: {start} comes after {end}", start=start, end=end))
        setattr(namespace, self.dest, (start, end))


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help=tr("the backend (PNCP_SYNC_URL; not set: the one that ./pncp runs here)"))
    parser.add_argument("--json", action="store_true", help=tr("the API's answer, for programs"))


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=_positive, metavar="ID", help=tr("the execution"))
    _add_url(parser)


def _add_ids(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", type=_positive, metavar="ID", nargs="*", default=[], help=tr("the executions"))
    which.add_argument("--all", action="store_true", help=tr("all that are under way"))
    _add_resource(which, tr("all of this resource that are under way"))
    _add_url(parser)


def _add_resource(parser: argparse._ActionsContainer, what: str) -> None:
    parser.add_argument("--resource", choices=RESOURCE_NAMES, help=what)


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch", action="store_true", help=tr("show its progress to the end; exit code 0 if it succeeded, else 1")
    )


def _add_sync(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--update", action="store_true", help=tr("what has changed since the last update"))
    what.add_argument(
        "--backfill",
        nargs=2,
        type=_moment,
        action=_Window,
        metavar=("FROM", "TO"),
        help=tr("an interval, ends included: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, Brasília's time"),
    )
    parser.add_argument(
        "--criterio",
        choices=("publicacao", "atualizacao"),
        help=tr(
            "of a backfill: what was published in the interval (publicacao, unless the resource has none) or what "
            "changed in it"
        ),
    )
    parser.add_argument(
        "--resource",
        choices=(*RESOURCE_NAMES, DOMINIOS),
        help=tr("what to read ({resource}); dominios: --update", resource=RESOURCE_NAMES[0]),
    )
    parser.add_argument("--dry-run", action="store_true", help=tr("start nothing; say what it would come to"))
    _add_watch(parser)
    _add_url(parser)


def _add_status(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("id", type=_positive, metavar="ID", nargs="?", help=tr("an execution; without it the newest"))
    _add_resource(which, tr("the newest execution of this resource"))
    _add_watch(parser)
    _add_url(parser)


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=("running", "success", "error"))
    _add_resource(parser, tr("those of this resource only"))
    parser.add_argument("--mode", choices=("update", "backfill"))
    parser.add_argument("--trigger", help=tr("who asked: api, message, schedule, sweep, gap, goal, retry"))
    _add_limit(parser)
    _add_url(parser)


def _day(text: str) -> str:
    """A day that a calendar has, as it was given."""
    if not _DAY.fullmatch(text):
        raise argparse.ArgumentTypeError(tr("{text} is not YYYY-MM-DD", text=repr(text)))
    return _moment(text)


def _add_coverage(parser: argparse.ArgumentParser) -> None:
    first, last = tr("the first day (30 days before the last)"), tr("the last day, included (today)")
    parser.add_argument("--from", dest="first", type=_day, metavar="YYYY-MM-DD", help=first)
    parser.add_argument("--to", dest="last", type=_day, metavar="YYYY-MM-DD", help=last)
    _add_resource(parser, tr("of what ({resource})", resource=RESOURCE_NAMES[0]))
    _add_url(parser)


def _add_retry(parser: argparse.ArgumentParser) -> None:
    _add_watch(parser)
    _add_id(parser)


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--level", choices=("debug", "info", "warning", "error"), help=tr("of this level and above"))
    parser.add_argument("--limit", type=_positive, help=tr("how many lines (1000; with --follow all)"))
    parser.add_argument("--follow", action="store_true", help=tr("go on until the execution ends"))
    _add_id(parser)


def _add_show(parser: argparse.ArgumentParser) -> None:
    states = ("error", "pending", "running", "success", "all")
    parser.add_argument("--slices", choices=states, default="error", help=tr("which slices to list (error)"))
    _add_id(parser)


def _add_actions(
    parser: argparse.ArgumentParser, actions: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]
) -> None:
    """What a command can do besides listing, each with its own arguments; the common ones may stand on either side."""
    parser.set_defaults(what="list")
    _add_url(parser)
    chosen = parser.add_subparsers(metavar=tr("ACTION"))
    for name, (summary, add_arguments) in actions.items():
        action = chosen.add_parser(
            name,
            help=tr(summary),
            description=tr(summary),
            argument_default=argparse.SUPPRESS,  # what stands before the action counts, too
            allow_abbrev=False,
        )
        action.set_defaults(what=name)
        add_arguments(action)
        _add_url(action)


def _add_goal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("resource", choices=RESOURCE_NAMES, metavar="RESOURCE", help=", ".join(RESOURCE_NAMES))


def _add_goal_and_day(parser: argparse.ArgumentParser) -> None:
    _add_goal(parser)
    parser.add_argument("day", type=_day, metavar="YYYY-MM-DD", help=tr("the first day that is kept complete"))


def _add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", required=True, metavar="TEXT", help=tr("why, for those who come later"))


def _add_goal_and_reason(parser: argparse.ArgumentParser) -> None:
    _add_goal(parser)
    _add_reason(parser)


def _add_goals(parser: argparse.ArgumentParser) -> None:
    _add_actions(
        parser,
        {
            "list": ("since when each resource is kept complete, and what is left to read", _add_nothing),
            "plan": ("what a goal would come to; changes nothing", _add_goal_and_day),
            "set": ("keep a resource complete from a day on", _add_goal_and_day),
            "remove": ("no goal for a resource", _add_goal),
            "pause": ("read nothing for a goal until it is resumed", _add_goal_and_reason),
            "resume": ("go on with a goal", _add_goal),
        },
    )


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="SCHEDULE", help=tr("update, sweep, contratos.update, ..."))


def _add_schedule_and_reason(parser: argparse.ArgumentParser) -> None:
    _add_schedule(parser)
    _add_reason(parser)


def _add_schedule_and_cron(parser: argparse.ArgumentParser) -> None:
    _add_schedule(parser)
    parser.add_argument("cron", metavar="CRON", help=tr("five fields in one word, Brasília's time: '*/30 6-22 * * *'"))


def _add_schedules(parser: argparse.ArgumentParser) -> None:
    _add_actions(
        parser,
        {
            "list": ("what starts by itself, and when", _add_nothing),
            "pause": ("start nothing more by a schedule", _add_schedule_and_reason),
            "resume": ("go on with a schedule", _add_schedule),
            "set": ("change when a schedule starts something", _add_schedule_and_cron),
            "reset": ("back to the schedule of the settings", _add_schedule),
        },
    )


def _add_trouble(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trouble", metavar="TROUBLE", help=tr("its name, from ./pncp verdict"))


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=_positive, default=20, help=tr("how many, 500 at most (20)"))


def _add_alerts(parser: argparse.ArgumentParser) -> None:
    _add_limit(parser)
    _add_actions(
        parser,
        {
            "list": ("episodes of trouble, newest first", _add_limit),
            "test": ("send a message to every channel; exit code 1 if one fails", _add_nothing),
            "ack": ("acknowledge a trouble of the verdict until it changes", _add_trouble),
            "unack": ("let an acknowledged trouble count again", _add_trouble),
        },
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=_positive, metavar="ID", help=tr("the saved search"))


def _add_searches(parser: argparse.ArgumentParser) -> None:
    _add_actions(
        parser,
        {
            "list": ("saved searches, newest first", _add_nothing),
            "show": ("what the next message of a saved search would say", _add_search),
            "remove": ("remove a saved search", _add_search),
        },
    )


def _add_destination(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="DESTINATION", help=tr("its file in CONNECTIONS_DIR, without the ending"))


def _add_destination_and_reason(parser: argparse.ArgumentParser) -> None:
    _add_destination(parser)
    _add_reason(parser)


def _add_destination_and_limit(parser: argparse.ArgumentParser) -> None:
    _add_destination(parser)
    parser.add_argument("--limit", type=_positive, default=20, help=tr("how many, 200 at most (20)"))


def _add_deliver(parser: argparse.ArgumentParser) -> None:
    _add_destination(parser)
    parser.add_argument("--entity", help=tr("of a destination with several entities, this one only"))
    parser.add_argument("--dry-run", action="store_true", help=tr("send nothing; show what would be sent"))
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help=tr("also what the destination has already"))
    what.add_argument("--rejected", action="store_true", help=tr("again what the destination rejected"))
    parser.add_argument("--keys", nargs="+", metavar="KEY", help=tr("these records only"))
    parser.add_argument(
        "--watch",
        action="store_true",
        help=tr("show its progress until it ends or is held; exit code 0 if it succeeded, else 1"),
    )
    _add_url(parser)


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=_positive, metavar="ID", help=tr("the delivery"))


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--destination", default=None, help=tr("those to this destination only"))
    parser.add_argument("--limit", type=_positive, default=20, help=tr("how many, 200 at most (20)"))


def _add_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entity", metavar="ENTITY", help=tr("a list of the API: contratacoes, contratos, itens, ..."))
    parser.add_argument("key", metavar="KEY", help=tr("the record's key; of several parts with / between them"))


def _add_deliveries(parser: argparse.ArgumentParser) -> None:
    _add_actions(
        parser,
        {
            "list": ("destinations with their state, and what they are owed", _add_nothing),
            "history": ("deliveries, newest first", _add_jobs),
            "show": ("one delivery with its streams", _add_job),
            "watch": ("watch a delivery until it ends or is held", _add_job),
            "confirm": ("send what a delivery holds back", _add_job),
            "cancel": ("end a delivery; what was not sent is still owed", _add_job),
            "pause": ("send nothing to a destination until it is resumed", _add_destination_and_reason),
            "resume": ("send to a destination again", _add_destination),
            "test": ("send a destination one request without records", _add_destination),
            "rejected": ("records that a destination rejected, and why", _add_destination_and_limit),
            "trace": ("where a record went, when, and what was answered", _add_trace),
        },
    )


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=tr("a spreadsheet: xlsx, ods, xls or csv"))
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--layout", metavar="NAME", help=tr("how a row becomes records: a file of layouts/"))
    what.add_argument("--entity", metavar="NAME", help=tr("rows are records of this entity: compras, produtos, ..."))
    parser.add_argument("--dry-run", action="store_true", help=tr("take nothing in; show what the rows would do"))
    parser.add_argument("--yes", action="store_true", help=tr("do not ask before the rows are taken in"))
    parser.add_argument("--again", action="store_true", help=tr("even if this file was imported before"))
    _add_url(parser)


def _add_imports(parser: argparse.ArgumentParser) -> None:
    states = ("receiving", "received", "checked", "processing", "done", "refused", "discarded")
    parser.add_argument("id", type=_positive, metavar="ID", nargs="?", help=tr("an import; without it all of them"))
    parser.add_argument("--layout", metavar="NAME", help=tr("those of this layout or entity only"))
    parser.add_argument("--state", choices=states, help=tr("those in this state only"))
    parser.add_argument("--door", choices=("api", "file", "folder", "page", "sql"), help=tr("those that came this way"))
    parser.add_argument("--limit", type=_positive, default=20, help=tr("how many, 200 at most (20)"))
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--confirm", action="store_true", help=tr("take in what an import holds back, and watch it"))
    what.add_argument("--discard", action="store_true", help=tr("end an import; what was taken in stays"))
    what.add_argument("--watch", action="store_true", help=tr("show its progress until it ends or is held back"))
    what.add_argument("--errors", metavar="FILE", help=tr("write what is wrong with its rows into this CSV"))
    _add_url(parser)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="SOURCE", help=tr("its file in CONNECTIONS_DIR, without the ending"))


def _add_source_and_reason(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    _add_reason(parser)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    _add_actions(
        parser,
        {
            "list": ("databases of others with their state", _add_nothing),
            "confirm": ("remove here what a reading no longer found", _add_source),
            "cancel": ("end the reading under way; what was read stays", _add_source),
            "pause": ("read nothing from a source until it is resumed", _add_source_and_reason),
            "resume": ("read from a source again", _add_source),
        },
    )


def _add_read(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--delta", action="store_true", help=tr("only what has changed since the last reading"))
    parser.add_argument(
        "--watch",
        action="store_true",
        help=tr("show its progress until it ends or is held; exit code 0 if it succeeded, else 1"),
    )
    _add_url(parser)


def _add_changes(parser: argparse.ArgumentParser) -> None:
    kinds = ("inserido", "alterado", "ausente", "presente")
    parser.add_argument("--kind", choices=kinds, help=tr("those of this kind only"))
    _add_resource(parser, tr("those of this resource only"))
    _add_limit(parser)
    _add_url(parser)


def _add_open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "place", metavar="PATH", nargs="?", default="", help=tr("a path of the page, such as '#/dados'")
    )
    parser.add_argument("--no-browser", action="store_true", help=tr("only print the address"))
    _add_url(parser)


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--systemd", action="store_true", help=tr("print a systemd unit for this folder, and start nothing")
    )


def _add_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", help=tr("whose token (PNCP_SYNC_USERNAME, or admin)"))
    _add_url(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.usage = "./pncp export ENTIDADE [--FILTRO VALOR ...] [--formato FORMATO] [-o FILE] ..."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = tr(EXPORT_DESCRIPTION)
    parser.epilog = tr(EXPORT_EPILOG)
    parser.add_argument("entity", metavar="ENTIDADE", help=tr("a list of the API: contratacoes, contratos, itens, ..."))
    parser.add_argument("--filtros", action="store_true", help=tr("show the filters of the entity, and export nothing"))
    parser.add_argument(
        "--formato", help=tr("csv, ndjson, xlsx, parquet or pdf; not given: as the ending of FILE says, else csv")
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=tr("where to; - is standard output (a name of the backend's, here)")
    )
    parser.add_argument("--campos", help=tr("which fields, in this order, separated by commas (all but JSON)"))
    parser.add_argument("--ordem", help=tr("by which value, as in the API: valor, data_publicacao:asc"))
    parser.add_argument(
        "--excel", action="store_true", help=tr("csv as Excel opens it in Brazil: ; and decimal commas")
    )
    parser.add_argument("--dados-pessoais", action="store_true", help=tr("CPFs as they are; for administrators"))
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
            parser.error(tr("{word} belongs to no option", word=repr(word)))
    return filters


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recorded", metavar="FOLDER", help=tr("answers recorded from the portal instead of generated ones")
    )
    parser.add_argument("--days", type=_positive, default=10, help=tr("days of generated data, today the last (10)"))
    parser.add_argument("--per-day", type=_positive, default=60, help=tr("contratações generated per day (60)"))
    parser.add_argument(
        "--fail", type=_share, metavar="SHARE", help=tr("share of the simulator's answers that fail, 0 to 1")
    )
    parser.add_argument("--seed", type=int, help=tr("another seed generates other data"))
    parser.add_argument("--no-first-sync", action="store_true", help=tr("start everything but no sync"))
    parser.add_argument("--guide", action="store_true", help=tr("print the guided ten minutes, and start nothing"))
    parser.add_argument("--still", action="store_true", help=tr("a portal where nothing changes, and no schedule"))
    parser.add_argument(
        "--exit-after-sync",
        action="store_true",
        help=tr("stop after the first sync; exit code 0 if it succeeded, else 1"),
    )


def _add_chaos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help=tr("what all faults and requests are drawn from (1)"))
    parser.add_argument("--seconds", type=_positive, default=600, help=tr("how long the storm lasts (600)"))
    parser.add_argument("--ingestors", type=_positive, default=2, help=tr("how many there are (2)"))
    parser.add_argument("--sabotage", metavar="NAME", help=tr("break the product on purpose: is it noticed?"))
    parser.add_argument("--keep", action="store_true", help=tr("keep the logs of a storm that broke nothing, too"))


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=tr("ingest, api, scale, requests, files, deliver, intake (these), read"),
    )
    parser.add_argument("--quick", action="store_true", help=tr("small numbers, under two minutes"))
    parser.add_argument("--resource", choices=RESOURCE_NAMES, help=tr("for ingest (contratacoes)"))
    parser.add_argument(
        "--records", type=_positive, nargs="+", help=tr("records for ingest (1000 10000 100000), deliver")
    )
    parser.add_argument("--per-day", type=_positive, help=tr("records of a weekday for ingest (5000)"))
    parser.add_argument(
        "--set", nargs="+", metavar="NAME=VALUE", help=tr("for ingest, one more run of PNCP Sync with each setting")
    )
    parser.add_argument("--latency", type=float, nargs="+", help=tr("milliseconds for ingest (0 50 200), deliver"))
    parser.add_argument("--repeats", type=_positive, help=tr("runs of each contender (3; of read and deliver 1)"))
    parser.add_argument("--contratos", type=_positive, help=tr("rows for read (10000000)"))
    parser.add_argument("--itens", type=_positive, help=tr("rows for read (10000000)"))
    parser.add_argument("--keep", action="store_true", help=tr("leave the database of read to the next run"))


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    """The options of a command that has none."""


@dataclass(frozen=True)
class Command:
    """One command: its group, what it does in a line, which pinned packages it needs, and its options."""

    group: str
    summary: str
    requirements: str
    add_options: Callable[[argparse.ArgumentParser], None] = _add_nothing
    # pytest, psql and their like read their options themselves.
    hands_on_arguments: bool = False
    # Options that are not known here are filters of the API.
    takes_filters: bool = False


def _asking(summary: str, add_options: Callable[[argparse.ArgumentParser], None], *, filters: bool = False) -> Command:
    return Command(ASK, summary, LOCAL, add_options, takes_filters=filters)


def _tool(summary: str) -> Command:
    return Command(TOOL, summary, LOCAL, hands_on_arguments=True)


RUN, ASK, TOOL, DEVELOP = (
    "Run it",
    "Ask the backend, here or elsewhere",
    "Work on the database of the services that run here, else on that of DATABASE_URL",
    "Develop it",
)
COMMANDS = {
    "demo": Command(RUN, "everything here against a simulated portal; no internet needed", LOCAL, _add_demo),
    "up": Command(RUN, "everything here against the real portal", LOCAL, _add_up),
    "verdict": _asking("is the mirror fresh, complete and healthy; exit code 1 if not", _add_url),
    "status": _asking("the verdict, and how an execution goes", _add_status),
    "sync": _asking("start a synchronisation, or say what it would come to", _add_sync),
    "history": _asking("executions, newest first", _add_history),
    "show": _asking("one execution with its failed slices", _add_show),
    "log": _asking("what an execution has logged", _add_log),
    "cancel": _asking("end executions", _add_ids),
    "retry": _asking("repeat what failed of an execution", _add_retry),
    "retry-failed": _asking("repeat all that failed", _add_url),
    "coverage": _asking("what the mirror has of each day", _add_coverage),
    "goals": _asking("since when each resource is kept complete", _add_goals),
    "schedules": _asking("what starts by itself: list, pause, resume, change", _add_schedules),
    "alerts": _asking("episodes of trouble; try the channels; acknowledge", _add_alerts),
    "changes": _asking("what has changed in the mirror, the newest last", _add_changes),
    "export": _asking("rows of the mirror as a file: ENTIDADE --FILTRO VALOR ... -o FILE", _add_export, filters=True),
    "searches": _asking("saved searches: list, show the next message, remove", _add_searches),
    "deliver": _asking("send a destination what it lacks, or show what that is", _add_deliver),
    "deliveries": _asking("destinations and deliveries: list, confirm, pause, trace", _add_deliveries),
    "import": _asking("take in a spreadsheet: FILE --layout NAME or --entity NAME", _add_import),
    "imports": _asking("what has come in, and what became of it: list, show, confirm, discard", _add_imports),
    "sources": _asking("databases of others that are read: list, confirm, pause, resume", _add_sources),
    "read": _asking("read a database of others: all rows, or what has changed", _add_read),
    "token": _asking("a token for the API, good for half an hour", _add_token),
    "open": _asking("the page in a browser", _add_open),
    "verify": _tool("compare the mirror with the portal; exit code 1 if they differ: --from DAY --to DAY"),
    "rejected": _tool("records that could not be stored; --retry tries again"),
    "itens": _tool("contratações whose items are owed; --retry tries again"),
    "lists": _tool("--plan: what reading results, documents and termos comes to"),
    "connections": _tool("connections to other systems: check, schema, preview NAME, forget NAME"),
    "psql": _tool("a prompt of the database; options go to psql"),
    "backup": _tool("the whole database into one file: [FILE]"),
    "restore": _tool("a backup back into the database: [--force] FILE"),
    "hash-password": _tool("the hash of a password, for ADMIN_PASSWORD_HASH"),
    "make-client": _tool("a secret and a file for a program that calls the API: NAME --scope SCOPE"),
    "completion": Command(RUN, "completion of these commands for a shell: bash, zsh, fish", LOCAL, _add_completion),
    "test": Command(
        DEVELOP, "the test suite in fresh databases; arguments go to pytest", DEVELOPMENT, hands_on_arguments=True
    ),
    "check": Command(DEVELOP, "format, lint, types and import rules; changes nothing", DEVELOPMENT),
    "bench": Command(
        DEVELOP,
        "the benchmarks, printed as tables: ingest, api, scale, requests, files, deliver, intake, read",
        BENCHMARKS,
        _add_bench,
    ),
    "chaos": Command(
        DEVELOP, "random faults on real processes, then the check that nothing was lost", DEVELOPMENT, _add_chaos
    ),
}
ASKING = tuple(name for name, command in COMMANDS.items() if command.group == ASK)
"""Commands that start nothing here: they ask a backend."""
TOOLS = tuple(name for name, command in COMMANDS.items() if command.group == TOOL)

HELP = """\
usage: ./pncp COMMAND [OPTIONS]

PNCP Sync keeps a mirror of Brazil's public procurement portal in PostgreSQL.

{commands}

./pncp COMMAND --help shows the options of a command, ./pncp --version the version.

Exit codes: 0 done; 1 failed, or verdict, verify, rejected, itens or connections found something; 2 wrong options; 3
exported, but the mirror is not complete for it, or imported, but not all rows; 130 interrupted. Ctrl-C stops demo and
up in good order (0), a second one at once (130). While a synchronisation is watched, it ends the watching alone.

Settings come from the environment, then from .env, then from defaults:

  DATABASE_URL   a PostgreSQL to use instead of the embedded one
  RABBITMQ_URL   a broker to use; without it the ingestor polls the database
  BACKEND_PORT   the port on 127.0.0.1 (8000, or the next free one)
  PNCP_HOME      where data and logs lie (.data in the project folder)
  PNCP_SYNC_URL, PNCP_SYNC_USERNAME, PNCP_SYNC_PASSWORD
                 the backend to ask, and its user; without them the one that runs here, as the administrator of .env
  LANGUAGE, LC_ALL, LC_MESSAGES, LANG
                 the language: Portuguese, or English where the first that is set begins with en
  PYTHON         the Python to use, 3.11 or newer

The first call makes .venv here and installs the pinned packages, with uv where it is installed, else with pip.
"""


def help_text() -> str:
    """What ./pncp --help prints."""
    groups = []
    for group in (RUN, ASK, TOOL, DEVELOP):
        names = [name for name, command in COMMANDS.items() if command.group == group]
        lines = [f"  {name:<13} {tr(COMMANDS[name].summary)}" for name in names]
        groups.append("\n".join([f"{tr(group)}:", *lines]))
    return tr(HELP, commands="\n\n".join(groups))


def version() -> str:
    """The version of this folder."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def parse(words: list[str]) -> tuple[str, argparse.Namespace]:
    """The command and its options; prints help (exit code 0) or what is wrong (2) and exits where that is asked.

    Arguments for another program stand in `arguments`.
    """
    name = words[0] if words else "help"
    if name in ("help", "--help", "-h"):
        sys.stdout.write(help_text())
        sys.exit(0)
    if name == "--version":
        sys.stdout.write(f"PNCP Sync {version()}\n")
        sys.exit(0)
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = tr("; did you mean {near}?", near=near[0]) if near else f"; {tr('commands')}: {', '.join(COMMANDS)}"
        sys.stderr.write(f"pncp: {tr('unknown command {name}', name=repr(name))}{hint}\n")
        sys.exit(2)
    command = COMMANDS[name]
    if command.hands_on_arguments:
        return name, argparse.Namespace(arguments=words[1:])
    parser = make_parser(name)
    if not command.takes_filters:
        return name, parser.parse_args(words[1:])
    if words[1:2] and words[1].startswith("-") and words[1] not in ("-h", "--help"):
        parser.error(tr("the entity comes first"))
    options, rest = parser.parse_known_args(words[1:])
    options.filters = _read_filters(parser, rest)
    return name, options


def make_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    vars(argparse)["_"] = tr  # its own texts are ours to translate
    command = COMMANDS[name]
    parser = argparse.ArgumentParser(prog=f"./pncp {name}", description=tr(command.summary), allow_abbrev=False)
    command.add_options(parser)
    return parser
