"""Records as destinations would receive them: previews, and what was rejected. Nothing is sent."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import ConflictError
from backend.models.destinations import (
    Preview,
    PreviewedRecord,
    RejectedDeliveries,
    RejectedDeliveriesQuery,
    RejectedDelivery,
    StreamPreview,
)
from backend.services.deliveries.destinations import check_name, no_file
from backend.services.deliveries.files import ConnectionFiles
from backend.services.reading import ReadConnections
from common.clock import BRASILIA
from common.connections.samples import all_of, columns_sql, conditions_sql, sample_of
from common.connections.settings import Destination, Stream
from common.database import raw_driver_of
from common.difference import Ledger, Scope, difference
from common.masking import mask_ni, mask_text

PREVIEWED = 5
LONGEST_MILLISECONDS = 5000
NO_STREAM = -1
UNREADABLE = (asyncpg.SyntaxOrAccessError, asyncpg.DataError)
"""A view of the operator's is not there or not permitted, has no such column, or a value that it cannot hold."""
COUNTED = "-"
"""In a cursor, in place of a stream: the number of records before the page follows."""

_PAST = text(
    "SELECT id, entity, plan, plan_digest, baseline_at FROM streams WHERE destination = :destination AND name = :name"
)
_REJECTED = text("""
    SELECT d.stream_id, t.name AS stream, t.entity, d.key, d.reason, d.tries, d.rejected_since, d.sent_at
      FROM streams t JOIN deliveries d ON d.stream_id = t.id
     WHERE t.destination = :name AND d.rejected_since IS NOT NULL
       AND (d.stream_id, d.key) > (CAST(:stream_id AS int), CAST(:key AS text))
     ORDER BY d.stream_id, d.key LIMIT :most OFFSET :skipped
""")
_COUNT = text("""
    SELECT count(*) FROM streams t JOIN deliveries d ON d.stream_id = t.id
     WHERE t.destination = :name AND d.rejected_since IS NOT NULL
""")


# --- a preview ----------------------------------------------------------------------------------------------------


async def preview_destination(reading: ReadConnections, files: ConnectionFiles, name: str) -> Preview:
    """What each stream of a destination would send now.

    Raises:
        NotFoundError: there is no such destination.
        ConflictError: its file does not hold, or what it names cannot be read.

    """
    known = await files.load()
    file = known.destinations.get(name)
    if file is None:
        async with reading.connect() as db:
            await check_name(db, known, name)
        raise no_file(known, name)
    streams = []
    for stream in file.streams:
        async with reading.connect() as db:
            streams.append(await _preview_stream(db, file, stream))
    return Preview(destination=name, streams=streams)


async def _preview_stream(db: AsyncConnection, file: Destination, stream: Stream) -> StreamPreview:
    past = (await db.execute(_PAST, {"destination": file.name, "name": stream.name})).one_or_none()
    driver = await raw_driver_of(db)
    sql, values = difference(stream, _ledger_of(file, stream, past), _scope())
    try:
        records = await _ask(driver, _select_newest(stream), stream.where.values)
        counted = await _ask(driver, f"SELECT count(*) {sql}", values)
    except UNREADABLE as error:
        raise ConflictError("stream_unreadable", name=stream.name, fault=" ".join(str(error).split())) from None
    return StreamPreview(
        name=stream.name,
        entity=stream.entity.name,
        owed=None if counted is None else counted[0][0],
        records=None if records is None else [PreviewedRecord(**vars(sample_of(stream, row))) for row in records],
    )


async def _ask(driver: "asyncpg.Connection[Any]", statement: str, values: Sequence[Any]) -> list[asyncpg.Record] | None:
    """The rows of a question, `None` where it takes more than five seconds."""
    try:
        async with driver.transaction(readonly=True):
            await driver.execute(f"SET LOCAL statement_timeout = {LONGEST_MILLISECONDS}")
            return await driver.fetch(statement, *values)
    except asyncpg.QueryCanceledError:
        return None


def _ledger_of(file: Destination, stream: Stream, past: Row[Any] | None) -> Ledger:
    """The ledger that a stream's next delivery compares with; one that was never registered has none yet."""
    if past is None:
        return Ledger(NO_STREAM, 1, _baseline_of(file))
    is_same = (past.entity, bytes(past.plan_digest)) == (stream.entity.name, stream.rendering.digest)
    return Ledger(past.id, past.plan if is_same else past.plan + 1, past.baseline_at)


def _scope() -> Scope:
    return Scope("diferencas", is_full=False, begun_at=datetime.now(BRASILIA))


def _baseline_of(file: Destination) -> datetime | None:
    return datetime.now(BRASILIA) if file.start == "now" else file.first_moment


def _select_newest(stream: Stream) -> str:
    conditions = conditions_sql(stream, first=1)
    return (
        f"SELECT {columns_sql(stream)} FROM {stream.entity.source} WHERE {conditions}"  # noqa: S608  # of the files
        f" ORDER BY {stream.entity.version} DESC LIMIT {PREVIEWED}"
    )


# --- what was rejected --------------------------------------------------------------------------------------------


async def list_rejected_deliveries(
    reading: ReadConnections, files: ConnectionFiles, name: str, query: RejectedDeliveriesQuery, *, sees_all: bool
) -> RejectedDeliveries:
    """A page of a destination's rejected records, by stream and key; with `sees_all` as they would be sent now.

    Without it pages are told by their number of records: a position by key would say what is masked in it.

    Raises:
        NotFoundError: there is no such destination.

    """
    known = await files.load()
    position = _position_of(query.cursor, sees_all=sees_all)
    asked = {"name": name, **position, "most": query.limite + 1}
    async with reading.connect() as db:
        await check_name(db, known, name)
        rows = (await db.execute(_REJECTED, asked)).all()
        total = (await db.execute(_COUNT, {"name": name})).scalar_one()
        shown = rows[: query.limite]
        contents = await _render_all(db, known.destinations.get(name), shown) if sees_all else {}
    next_cursor = None
    if len(rows) > query.limite:
        last = shown[-1]
        next_cursor = f"{last.stream_id}/{last.key}" if sees_all else f"{COUNTED}/{position['skipped'] + len(shown)}"
    return RejectedDeliveries(
        records=[
            RejectedDelivery(
                stream=row.stream,
                entity=row.entity,
                key=row.key if sees_all else mask_text(mask_ni(None, row.key)),
                reason=row.reason if sees_all or row.reason is None else mask_text(row.reason),
                tries=row.tries,
                since=row.rejected_since,
                last_try_at=row.sent_at,
                content=contents.get((row.stream, row.key)),
            )
            for row in shown
        ],
        total=total,
        next_cursor=next_cursor,
    )


def _position_of(cursor: str | None, *, sees_all: bool) -> dict[str, Any]:
    """Where a page begins, as parameters; a cursor that is none of ours begins at the first."""
    first, _, rest = (cursor or "").partition("/")
    if sees_all and _is_number(first):
        return {"stream_id": int(first), "key": rest, "skipped": 0}
    is_counted = first == COUNTED and _is_number(rest)
    return {"stream_id": 0, "key": "", "skipped": int(rest) if is_counted else 0}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < len(str(2**31))


async def _render_all(
    db: AsyncConnection, file: Destination | None, rows: Iterable[Row[Any]]
) -> Mapping[tuple[str, str], str]:
    """What is sent of each record, by stream and key, of those that can be rendered."""
    keys: dict[str, list[str]] = {}
    for row in rows:
        keys.setdefault(row.stream, []).append(row.key)
    contents: dict[tuple[str, str], str] = {}
    driver = await raw_driver_of(db)
    for stream in [] if file is None else file.streams:
        if stream.name not in keys:
            continue
        entity = stream.entity
        condition = all_of(entity.condition, entity.rows_of().format(keys="$1"))
        statement = f"SELECT {columns_sql(stream)} FROM {entity.source} WHERE {condition}"  # noqa: S608  # of the files
        try:
            rows_found = await _ask(driver, statement, [keys[stream.name]])
        except UNREADABLE:  # a preview says why
            continue
        for found in rows_found or []:
            record = sample_of(stream, found)
            if record.key is not None and record.content is not None:
                contents[stream.name, record.key] = record.content
    return contents
