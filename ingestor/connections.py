"""The commands on connections: check the files, print their schemas, preview a destination or a source, forget one.

What is asked for goes to stdout; the exit code says whether all is well.
"""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.config import ConfigurationError, ConnectionsSettings, load_settings
from common.connections.files import FILES, schema_of
from common.connections.layouts import plain_layout
from common.connections.loading import check_connections
from common.connections.samples import columns_sql, conditions_sql, sample_of
from common.connections.secrets import SecretText
from common.connections.settings import Connections, Destination, Layout, Source, Stream
from common.database import check_schema, driver_of
from common.entities.declared import Declaration, to_json
from common.intake.rows import Reader
from common.lifecycle.deliveries import SCHEDULE, running_of
from common.lifecycle.imports import StagedRow
from ingestor.config import IngestorSettings
from ingestor.intake.columns import shape_of
from ingestor.intake.faults import SourceChanged, SourceDown, SourceMisconfigured
from ingestor.intake.foreign import ForeignDatabase
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


class Translate(Protocol):
    """Gives a text in a language, with its values in place."""

    def __call__(self, text: str, /, **values: object) -> str:  # noqa: D102  # as the class says
        ...


def english(text: str, /, **values: object) -> str:
    """A text as it stands in the code."""
    return text.format(**values)


def add_connections(commands: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command with its actions."""
    parser = commands.add_parser(
        "connections",
        help="check the files of connections, print their schemas, preview a destination or a source, forget one",
        description="The files lie in entities, layouts, sources, destinations and clients in CONNECTIONS_DIR.",
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
        help="print some records of a destination as it would receive them, or some rows of a source",
        description="Of a destination, reads the database and does not contact it; of a source, reads some rows there.",
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


def run_without_database(options: argparse.Namespace, tr: Translate = english) -> int:
    """Check the files, or print a schema. `tr` gives a text in the person's language, with its values in place."""
    if options.action == "schema":
        print(json.dumps(schema_of(options.folder), indent=2, ensure_ascii=False))
        return ALL_IS_WELL
    return _check(_folder(options, load_settings(ConnectionsSettings).connections_dir), options, tr)


def _folder(options: argparse.Namespace, configured: Path | None) -> Path:
    folder: Path | None = options.dir or configured
    if folder is None:
        raise ConfigurationError("CONNECTIONS_DIR: is not set; it is the folder of the files of connections")
    return folder


def _check(folder: Path, options: argparse.Namespace, tr: Translate) -> int:
    found, faults = check_connections(folder)
    for fault in faults:
        print(fault)
    if faults:
        return SOMETHING_IS_AMISS
    declared = [each for each in found.declarations.values() if not each.is_shipped]
    layouts = [each for each in found.layouts.values() if each.name not in found.declarations]
    for entity in declared:
        _print_lines(_lines_of_entity(entity, tr))
    for layout in layouts:
        _print_lines(_lines_of_layout(layout, tr))
    missing: list[str] = []
    for source in found.sources.values():
        _print_lines(_lines_of_source(source, tr))
        missing += _print_secrets([source.url], options, tr)
    for destination in found.destinations.values():
        _print_lines(_lines_of_destination(destination, tr))
        missing += _print_secrets(destination.secrets, options, tr)
    for client in found.clients.values():
        origin = tr(", from {networks}", networks=" ".join(map(str, client.networks))) if client.networks else ""
        print(f"{client.name}  {tr('client')}, {' '.join(sorted(client.scopes))}{origin}")
    counts = {
        "entities": len(declared),
        "layouts": len(layouts),
        "sources": len(found.sources),
        "destinations": len(found.destinations),
        "clients": len(found.clients),
    }
    text = "no faults; entities: {entities}, layouts: {layouts}, sources: {sources}, destinations: {destinations}, clients: {clients}"  # noqa: E501  # one text
    print(tr(text, **counts))
    return SOMETHING_IS_AMISS if missing else ALL_IS_WELL


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _lines_of_entity(entity: Declaration, tr: Translate) -> Iterator[str]:
    view = tr(", the view {name}", name=entity.view) if entity.view else ""
    yield f"{entity.name}  {tr('entity')}{view}, {tr('by {key}', key=', '.join(entity.key))}"
    for column, referred in entity.references.items():
        yield "  " + tr("{column} refers to {entity}", column=column, entity=referred)


def _lines_of_layout(layout: Layout, tr: Translate) -> Iterator[str]:
    yield f"{layout.name}  {tr('layout')}, {layout.policy}"
    for each in layout.into:
        headers = [field.header for field in each.fields.values() if field.header is not None]
        yield f"  {each.entity.name}: {', '.join(dict.fromkeys(headers))}"


def _lines_of_source(source: Source, tr: Translate) -> Iterator[str]:
    delta = tr(", changes {schedule}", schedule=source.delta) if source.delta else ""
    yield f"{source.name}  {tr('source')}, {source.schedule}{delta}"
    for each in source.entities:
        cursor = tr(", changes by {column}", column=each.cursor) if each.cursor else ""
        place = each.table or tr("a query")
        yield f"  {each.entity.name}: {place} {tr('by {key}', key=', '.join(each.key))}{cursor}"


def _lines_of_destination(destination: Destination, tr: Translate) -> Iterator[str]:
    kind = destination.kind if destination.preset == "generic" else destination.preset
    after = tr(", after each update") if destination.after else ""
    start = tr(", start {start}", start=destination.start)
    yield f"{destination.name}  {kind}, {destination.schedule}{after}{start}"
    for stream in destination.streams:
        size = tr("{n} records a request", n=stream.batch_records)
        yield f"  {stream.name}: {stream.entity.name}, {size} {stream.path}".rstrip()


def _print_secrets(secrets: Iterable[SecretText], options: argparse.Namespace, tr: Translate) -> list[str]:
    """Print what is referred to, and answer what is not there of it."""
    missing: list[str] = []
    for secret in secrets:
        if secret.references:
            print(f"  {' '.join(secret.references)}")
        missing += [] if options.without_secrets else secret.missing()
    for each in missing:
        print("  " + tr("missing: {what}", what=each))
    return missing


async def connections(settings: IngestorSettings, options: argparse.Namespace) -> int:
    """Preview or forget a destination."""
    actions: dict[str, Callable[[AsyncEngine, argparse.Namespace], Awaitable[int]]] = {"forget": _forget}
    if options.action == "preview":
        folder = _folder(options, settings.connections_dir)
        known, faults = check_connections(folder, settings.reconciliation_days)
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
    if options.name in known.sources:
        return await _preview_source(known.sources[options.name])
    destination = known.destinations.get(options.name)
    if destination is None:
        print(f"there is no valid file {options.name}.yaml in destinations or sources", file=sys.stderr)
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


async def _preview_source(source: Source) -> int:
    """Read some rows of each entity of a source, and print what they would be stored as."""
    try:
        async with ForeignDatabase(source) as database:
            for entity in source.entities:
                shape = shape_of(replace(entity, page=SAMPLES), await database.columns(entity), {})
                page = await database.page(shape, ())
                reader = Reader(plain_layout(entity.entity), door="sql")
                reader.bind(shape.places)
                print(f"{entity.entity.name}:")
                for number, row in enumerate(page.rows, 1):
                    _print_staged(reader.read(number, shape.cells_of(row))[0])
    except (SourceDown, SourceChanged, SourceMisconfigured) as error:
        print(error, file=sys.stderr)
        return SOMETHING_IS_AMISS
    return ALL_IS_WELL


def _print_staged(row: StagedRow) -> None:
    if row.data is not None and not row.errors:
        print(to_json(row.data))
        return
    reasons = "; ".join(f"{error.column}: {error.message}" for error in row.errors)
    print(f"rejected {row.key or '(no key)'}: {reasons}")


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
