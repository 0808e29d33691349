"""The commands on connections: check the files, print their schemas, preview a destination, forget one.

What is asked for goes to stdout; the exit code says whether all is well.
"""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.config import ConfigurationError, ConnectionsSettings, load_settings
from common.connections.files import FILES, schema_of
from common.connections.loading import check_connections
from common.connections.samples import columns_sql, conditions_sql, sample_of
from common.connections.secrets import SecretText
from common.connections.settings import Connections, Destination, Source, Stream
from common.database import check_schema, driver_of
from common.lifecycle.deliveries import SCHEDULE, running_of
from ingestor.config import IngestorSettings
from ingestor.opening import make_engine

if TYPE_CHECKING:
    from argparse import _SubParsersAction

ALL_IS_WELL, SOMETHING_IS_AMISS = 0, 1
SAMPLES = 5
_UNLIMITED = text("SET LOCAL statement_timeout = 0")
_LOCKED = text("SELECT name FROM destinations WHERE name = :name FOR UPDATE")
_COUNTED = text(
    "SELECT count(*) FROM deliveries JOIN streams ON streams.id = deliveries.stream_id"
    " WHERE streams.destination = :name"
)
_FORGOTTEN = (
    text("DELETE FROM deliveries WHERE stream_id IN (SELECT id FROM streams WHERE destination = :name)"),
    text("DELETE FROM destinations WHERE name = :name"),
    text("DELETE FROM schedules WHERE name = :schedule || :name"),
)


def add_connections(commands: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command with its actions."""
    parser = commands.add_parser(
        "connections",
        help="check the files of connections, print their schemas, preview a destination, or forget one",
        description="The files lie in the folders destinations, entities and clients of CONNECTIONS_DIR.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="print what is wrong with the files, else what they say",
        description="Needs no database. Exit code 1 if anything is wrong or a secret is missing.",
    )
    _add_folder(check)
    check.add_argument("--without-secrets", action="store_true", help="do not look for the secrets")
    schema = actions.add_parser("schema", help="print the JSON Schema of files, for editors")
    schema.add_argument("folder", choices=tuple(FILES), nargs="?", default="destinations", help="(%(default)s)")
    preview = actions.add_parser(
        "preview",
        help="print some records of a destination as it would receive them",
        description="Reads the database; does not contact the destination.",
    )
    preview.add_argument("name", metavar="NAME")
    _add_folder(preview)
    forget = actions.add_parser(
        "forget",
        help="remove what is known of a destination: what it has received, and its requests",
        description="A destination whose file is still there begins anew, as its `start` says.",
    )
    forget.add_argument("name", metavar="NAME")
    forget.add_argument("--yes", action="store_true", help="do it; without this, only say what would be removed")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="the folder of the files (CONNECTIONS_DIR)")


def needs_database(options: argparse.Namespace) -> bool:
    """Whether an action does."""
    return options.action in ("preview", "forget")


def run_without_database(options: argparse.Namespace) -> int:
    """Check the files, or print a schema."""
    if options.action == "schema":
        print(json.dumps(schema_of(options.folder), indent=2, ensure_ascii=False))
        return ALL_IS_WELL
    return _check(_folder(options, load_settings(ConnectionsSettings).connections_dir), options)


def _folder(options: argparse.Namespace, configured: Path | None) -> Path:
    folder: Path | None = options.dir or configured
    if folder is None:
        raise ConfigurationError("CONNECTIONS_DIR: is not set; it is the folder of the files of connections")
    return folder


def _check(folder: Path, options: argparse.Namespace) -> int:
    connections, faults = check_connections(folder)
    for fault in faults:
        print(fault)
    if faults:
        return SOMETHING_IS_AMISS
    missing: list[str] = []
    for source in connections.sources.values():
        _print_source(source)
        missing += _print_secrets([source.url], options)
    for destination in connections.destinations.values():
        _print(destination)
        missing += _print_secrets(destination.secrets, options)
    for client in connections.clients.values():
        origin = f", from {' '.join(map(str, client.networks))}" if client.networks else ""
        print(f"{client.name}  client, {' '.join(sorted(client.scopes))}{origin}")
    others = {"clients": len(connections.clients), "sources": len(connections.sources)}
    counted = [f"{number} {kind}" for kind, number in others.items() if number]
    print(f"{', '.join([*counted, f'{len(connections.destinations)} destinations'])}, no faults")
    return SOMETHING_IS_AMISS if missing else ALL_IS_WELL


def _print_source(source: Source) -> None:
    delta = f", changes {source.delta}" if source.delta else ""
    print(f"{source.name}  source, {source.schedule}{delta}")
    for each in source.entities:
        cursor = f", changes by {each.cursor}" if each.cursor else ""
        print(f"  {each.entity.name}: {each.table or 'a query'} by {', '.join(each.key)}{cursor}")


def _print(destination: Destination) -> None:
    kind = destination.kind if destination.preset == "generic" else destination.preset
    after = ", after each update" if destination.after else ""
    print(f"{destination.name}  {kind}, {destination.schedule}{after}, start {destination.start}")
    for stream in destination.streams:
        size = f"{stream.batch_records} records a request"
        print(f"  {stream.name}: {stream.entity.name}, {size} {stream.path}".rstrip())


def _print_secrets(secrets: Iterable[SecretText], options: argparse.Namespace) -> list[str]:
    """Print what is referred to, and answer what is not there of it."""
    missing: list[str] = []
    for secret in secrets:
        if secret.references:
            print(f"  {' '.join(secret.references)}")
        missing += [] if options.without_secrets else secret.missing()
    for each in missing:
        print(f"  missing: {each}")
    return missing


async def connections(settings: IngestorSettings, options: argparse.Namespace) -> int:
    """Preview or forget a destination."""
    actions: dict[str, Callable[[AsyncEngine, argparse.Namespace], Awaitable[int]]] = {"forget": _forget}
    if options.action == "preview":
        known, faults = check_connections(_folder(options, settings.connections_dir))
        for fault in faults:
            print(fault, file=sys.stderr)
        actions["preview"] = lambda engine, asked: _preview(engine, known, asked)
    engine = make_engine(settings)
    try:
        await check_schema(engine)
        return await actions[options.action](engine, options)
    finally:
        await engine.dispose()


async def _preview(engine: AsyncEngine, known: Connections, options: argparse.Namespace) -> int:
    destination = known.destinations.get(options.name)
    if destination is None:
        print(f"there is no valid file destinations/{options.name}.yaml", file=sys.stderr)
        return SOMETHING_IS_AMISS
    for stream in destination.streams:
        print(f"{stream.name}:")
        async with engine.connect() as db:
            await db.execute(_UNLIMITED)
            driver = await driver_of(db)
            rows = await driver.fetch(_select_some(stream), *stream.where.values)
        for sample in (sample_of(stream, row) for row in rows):
            print(sample.content if sample.content is not None else f"rejected {sample.key}: {sample.reason}")
        if not rows:
            print("no records")
    return ALL_IS_WELL


def _select_some(stream: Stream) -> str:
    """SQL of some records, in no order."""
    conditions = conditions_sql(stream, first=1)
    return f"SELECT {columns_sql(stream)} FROM {stream.entity.source} WHERE {conditions} LIMIT {SAMPLES}"  # noqa: S608


async def _forget(engine: AsyncEngine, options: argparse.Namespace) -> int:
    parameters = {"name": options.name, "schedule": SCHEDULE}
    async with engine.begin() as db:
        await db.execute(_UNLIMITED)
        if (await db.execute(_LOCKED, parameters)).first() is None:
            print(f"nothing is known of {options.name}", file=sys.stderr)
            return SOMETHING_IS_AMISS
        records = await _count(db, options.name)
        running = await running_of(db, options.name)
        if running is not None:
            print(f"execution {running} delivers to {options.name}: cancel it first", file=sys.stderr)
            return SOMETHING_IS_AMISS
        if not options.yes:
            print(f"{records} records of {options.name} would be forgotten; add --yes to do it")
            return SOMETHING_IS_AMISS
        for statement in _FORGOTTEN:
            await db.execute(statement, parameters)
    print(f"{records} records of {options.name} are forgotten")
    return ALL_IS_WELL


async def _count(db: AsyncConnection, name: str) -> int:
    found: int = (await db.execute(_COUNTED, {"name": name})).scalar_one()
    return found
