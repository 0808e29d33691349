"""The ingestor's commands: reconcile with the portal, list and retry rejected records and owed items.

Tables go to stdout, progress to stderr; the exit code says whether all is well.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import date

from sqlalchemy import text as sa_text

from common.database import check_schema
from common.lifecycle import DEFAULT_RESOURCE
from common.lists import Scope, hours_of, parse_scope, plan_list, write_scope
from common.masking import mask_text
from common.resources import INLINE, LATER, LATER_SERVICES, RESOURCE_NAMES, RESOURCES, RESOURCES_BY_NAME
from common.resources.description import Child, Resource
from ingestor.config import IngestorSettings, parse_modalidades
from ingestor.connections import add_connections
from ingestor.debts import load_owed, try_all_again
from ingestor.errors import PncpError
from ingestor.opening import make_client, make_engine
from ingestor.store.rejected import load_unresolved
from ingestor.try_again import try_again
from ingestor.verify import Comparison, compare_days, listing_of

LISTS = (*INLINE, *LATER)
ALL_IS_WELL, SOMETHING_IS_AMISS = 0, 1
_UNLIMITED = sa_text("SET LOCAL statement_timeout = 0")


def make_parser() -> argparse.ArgumentParser:
    """The command line of `python -m ingestor`; without a command it runs the worker."""
    parser = argparse.ArgumentParser(
        prog="python -m ingestor", description="Without a command: consume messages, claim slices, mirror the portal."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    verify = commands.add_parser(
        "verify",
        help="compare what the portal lists for each day (of contratacoes: and modalidade) with what is stored",
        description="Reads every listing by publication and looks for each of its records here. Prints the listings "
        "that differ, and below each the records that are missing and those that could not be stored. "
        "Exit code 1 if there are any.",
    )
    verify.set_defaults(parser=verify)
    verify.add_argument(
        "--resource", choices=RESOURCE_NAMES, default=DEFAULT_RESOURCE, help="what to compare (%(default)s)"
    )
    verify.add_argument("--from", dest="first", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD")
    verify.add_argument("--to", dest="last", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD")
    verify.add_argument(
        "--modalidades", type=_modalidades, help="of contratacoes, such as 1-13,15 (default: as configured)"
    )
    verify.add_argument("--all", action="store_true", help="print the days that agree, too")
    verify.add_argument(
        "--itens",
        action="store_true",
        help="of contratacoes and pcas: ask for the number of items of each too, one request for each, and list those "
        "that lack some",
    )
    rejected = commands.add_parser(
        "rejected",
        help="list the records that could not be stored, or try them again",
        description="Exit code 1 if any are left.",
    )
    rejected.add_argument("--resource", choices=RESOURCE_NAMES, help="those of this resource only")
    rejected.add_argument("--retry", action="store_true", help="try to store them with this version")
    itens = commands.add_parser(
        "itens",
        help="list the contratações whose items are owed, or have them tried again; --list, --resource: other lists",
        description="The ingestors read what is owed by themselves. Exit code 1 if anything is owed.",
    )
    itens.add_argument(
        "--resource", choices=[resource.name for resource in RESOURCES if resource.lists], help="whose lists"
    )
    itens.add_argument(
        "--list", choices=list(dict.fromkeys(child.service for _, child in LISTS)), help="which lists (itens)"
    )
    itens.set_defaults(parser=itens)
    itens.add_argument(
        "--retry", action="store_true", help="have them tried now, also those that were set aside after many tries"
    )
    lists = commands.add_parser(
        "lists",
        help="say what reading the lists comes to that are only read later",
        description="Results, documents and termos, of records that are mirrored: how many are owed, how many of the "
        "scope are not yet, and what both come to in requests and hours. Reads nothing from the portal.",
    )
    lists.add_argument("--plan", action="store_true", required=True, help="print the plan")
    lists.add_argument("--list", choices=LATER_SERVICES, help="of this list only")
    lists.add_argument(
        "--scope", type=_scope, help="of this scope, such as uf=SP;dias=30 (default: as configured)", metavar="SCOPE"
    )
    add_connections(commands)
    return parser


def parse_words(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line; what is wrong with it ends the process with its usage and exit code 2."""
    options = make_parser().parse_args(words)
    if options.command == "verify":
        resource = RESOURCES_BY_NAME[options.resource]
        if options.modalidades and resource.axis is None:
            options.parser.error(f"{resource.name} are not divided by modalidade")
        if options.itens and resource.child is None:
            options.parser.error(f"{resource.name} have no items")
    if options.command == "itens" and not _lists_of(options):
        options.parser.error(f"{options.resource} have no such lists as {options.list}")
    return options


def _scope(text: str) -> str:
    try:
        parse_scope(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _lists_of(options: argparse.Namespace) -> list[tuple[Resource, Child]]:
    """The lists that options choose: of a resource without more, the one that is read with its records."""
    resource = options.resource or (DEFAULT_RESOURCE if options.list is None else None)
    return [
        (one, child)
        for one, child in LISTS
        if resource in (None, one.name)
        and (child is one.child if options.list is None else options.list == child.service)
    ]


def _modalidades(text: str) -> list[int]:
    try:
        numbers = parse_modalidades(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert isinstance(numbers, list)  # noqa: S101  # it is a list where the value is text
    return numbers


async def verify(settings: IngestorSettings, options: argparse.Namespace) -> int:
    """Print the listings that differ, what is missing of them, and what they come to."""
    resource = RESOURCES_BY_NAME[options.resource]
    parts = (options.modalidades or settings.pncp_modalidades) if resource.axis else (0,)
    engine = make_engine(settings)
    found: list[Comparison] = []
    asked = 0
    try:
        await check_schema(engine)
        _row("day", *(["modalidade"] if resource.axis else []), "portal", "stored", "rejected", "missing")
        async with make_client(settings, engine, waits=False) as client:
            first, last = options.first, options.last
            span = compare_days(engine, client, resource, first, last, parts=parts, with_itens=options.itens)
            async for listing in span:
                asked += 1
                if not listing.agrees:
                    found.append(listing)
                if options.all or not listing.agrees:
                    _print(resource, listing)
                if sys.stderr.isatty():
                    name = listing_of(resource, listing.day, listing.part)
                    print(f"\r{name} ", end="", file=sys.stderr, flush=True)
    except PncpError as error:
        sys.exit(f"verify: the portal does not answer: {error}")
    finally:
        await engine.dispose()
    missing, rejected = sum(len(one.missing) for one in found), sum(len(one.rejected) for one in found)
    print(f"{asked} listings compared, {missing} records missing, {rejected} rejected")
    if options.itens:
        counts = [count for one in found for count in one.itens]
        lacking, untold = sum(count.missing for count in counts), sum(count.portal is None for count in counts)
        told = f"{len(counts) - untold} {resource.label.lower()}"
        print(f"{lacking} items missing of {told}, {untold} whose number is not told")
    return SOMETHING_IS_AMISS if found else ALL_IS_WELL


def _print(resource: Resource, listing: Comparison) -> None:
    missing, rejected = len(listing.missing), len(listing.rejected)
    part = [listing.part] if resource.axis else []
    _row(listing.day, *part, listing.portal, listing.stored, rejected, missing)
    for key in listing.missing:
        print(f"  missing {key}")
    for name, reason in listing.rejected:
        print(mask_text(f"  rejected {name}: {reason}"))
    for count in listing.itens:
        portal = count.cause or f"the portal has {count.portal}"
        print(f"  items of {count.key}: {portal}; {count.stored} stored, {count.rejected} rejected")


def _row(*values: object) -> None:
    print("".join(f"{value!s:>12}" for value in values), flush=True)


async def rejected(settings: IngestorSettings, options: argparse.Namespace) -> int:
    """Print every record that is not stored, and why; with `--retry`, only those that still are not."""
    engine = make_engine(settings)
    left = 0
    try:
        await check_schema(engine)
        entries = await load_unresolved(engine, RESOURCES_BY_NAME.get(options.resource))
        async with make_client(settings, engine, waits=False) as client:
            for entry in entries:
                reason: str | None = entry.reason
                if options.retry:
                    reason = await try_again(
                        engine, client, entry, settings.list_scopes, searches_itens=settings.search_itens
                    )
                if reason is not None:
                    left += 1
                    print(mask_text(f"{entry.resource} {entry.natural_key or '(no key)'}: {reason}"))
    except PncpError as error:
        sys.exit(f"rejected: the portal does not give the items: {error}")
    finally:
        await engine.dispose()
    print(f"{left} of {len(entries)} rejected records are not stored")
    return SOMETHING_IS_AMISS if left else ALL_IS_WELL


async def itens(settings: IngestorSettings, options: argparse.Namespace) -> int:
    """Print every record whose list is owed, and why; with `--retry`, have the ingestors try them now."""
    engine = make_engine(settings)
    is_any_owed = False
    try:
        await check_schema(engine)
        for resource, child in _lists_of(options):
            if options.retry:
                print(f"{await try_all_again(engine, resource, child)} {resource.label.lower()} are tried again now")
            owed = await load_owed(engine, resource, child)
            is_any_owed = is_any_owed or bool(owed)
            for one in owed:
                state = "set aside" if one.is_set_aside else one.reason
                since = f"{one.owed_since:%Y-%m-%d %H:%M} UTC"
                print(f"{one.key} {state} since {since}, {one.tries} tries: {one.cause or ''}")
            name = "items" if child is resource.child else child.service
            print(f"the {name} of {len(owed)} {resource.label.lower()} are owed")
    finally:
        await engine.dispose()
    return SOMETHING_IS_AMISS if is_any_owed else ALL_IS_WELL


async def lists(settings: IngestorSettings, options: argparse.Namespace) -> int:
    """Print what reading the lists comes to that are only read later."""
    engine = make_engine(settings)
    asked = None if options.scope is None else parse_scope(options.scope)
    assert asked is None or isinstance(asked, Scope)  # noqa: S101  # of text it is
    pace = settings.pncp_lists_per_second
    total = 0
    try:
        await check_schema(engine)
        _row("list", f"{'of':>14}", "owed", "set aside", "new", "requests", "hours", "  scope")
        for resource, child in LATER:
            if options.list not in (None, child.service):
                continue
            scope = settings.list_scopes[child.service] if options.scope is None else asked
            async with engine.connect() as db:
                await db.execute(_UNLIMITED)
                one = await plan_list(db, resource, child, scope)
            total += one.requests
            hours = hours_of(one.requests, pace)
            _row(
                child.service,
                f"{resource.name:>14}",
                one.owed,
                one.set_aside,
                one.new,
                one.requests,
                hours,
                f"  {write_scope(scope)}",
            )
    finally:
        await engine.dispose()
    print(f"{total} requests, {hours_of(total, pace)} hours at {pace:g} requests per second")
    return ALL_IS_WELL
