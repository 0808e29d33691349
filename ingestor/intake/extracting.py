"""One entity of a source is read: whole, page by page in the order of its keys, or what was changed since.

Each page is one transaction that holds the slice, so that a worker that was overtaken writes nothing, and one that dies
costs a page. What a whole reading has not met is removed when it is complete, and never before.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.connections.layouts import plain_layout
from common.database import driver_of, in_transaction
from common.intake.rows import Reader
from common.lifecycle import imports, intake, jobs, slices
from common.lifecycle.imports import StagedRow
from common.lifecycle.intake import IntakeClaim
from ingestor.errors import LeaseLost
from ingestor.intake import sources
from ingestor.intake.columns import ForeignColumn, Row, Shape, check_types, news, shape_of
from ingestor.intake.cursors import beyond, moment_of, since_of
from ingestor.intake.faults import SourceChanged
from ingestor.intake.foreign import ForeignDatabase
from ingestor.intake.records import make_record, upsert
from ingestor.intake.sources import Position, Registered
from ingestor.metrics import Metrics

log = structlog.get_logger(__name__)

FEWEST_JUDGED = 50
"""Rows of a page that say of a column in which none of them can be read that it has changed."""
SAMPLES = 3
MOST_REMOVED = 5000
"""Records that one transaction removes."""
MOST_WITHOUT_KEY = 100
"""Rows without a key that are listed."""
MANY_REMOVED = "many_removed"
FUTURE = timedelta(days=1)
"""A cursor may be so far ahead of the clock; what is later is taken for a slip, which would hide all other changes."""

_FORGET_KEYS = text("DELETE FROM source_keys WHERE source_entity_id = :id")
_MEET = """
    INSERT INTO source_keys (source_entity_id, key) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING RETURNING key
"""
_UNMET = """
      FROM entity_records r LEFT JOIN source_keys k ON k.source_entity_id = :id AND k.key = r.key
     WHERE r.entity = :entity AND r.source = :source AND r.removed_at IS NULL
"""
_COUNT_UNMET = text("SELECT count(*) AS known, count(*) FILTER (WHERE k.key IS NULL) AS unmet" + _UNMET)
_UNMET_KEYS = "SELECT r.key" + _UNMET + " AND k.key IS NULL ORDER BY r.key LIMIT :most"  # constants of ours
_SOME_UNMET = text(_UNMET_KEYS)
_REMOVE = text(
    "UPDATE entity_records SET removed_at = now(), updated_at = now()"  # noqa: S608  # constants of ours
    " WHERE entity = :entity AND key = ANY(ARRAY(" + _UNMET_KEYS + "))"
)
_COUNT_MET = text("SELECT count(*) FROM source_keys WHERE source_entity_id = :id")


@dataclass(eq=False)
class Held(Exception):
    """An administrator has to confirm that the reading goes on; `details` say why."""

    details: Mapping[str, Any]


@dataclass(frozen=True)
class _Read:
    """A page as it is to be stored: rows of the entity, and the order of its last one.

    `repeats`: it may hold keys that were met before, as it is the first one after a stop.
    """

    rows: Sequence[StagedRow]
    seen: int
    after: Row
    is_last: bool
    without_cursor: int = 0
    repeats: bool = False


@dataclass
class _Work:
    """A claim of an entity, and how far it has come. `is_whole`: all rows are read, not what was changed."""

    engine: AsyncEngine
    claim: IntakeClaim
    registered: Registered
    metrics: Metrics
    stops: Callable[[], bool]
    is_whole: bool
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def entity(self) -> str:
        """The entity's name."""
        return self.registered.name


async def extract(
    engine: AsyncEngine,
    claim: IntakeClaim,
    registered: Registered,
    *,
    stops: Callable[[], bool],
    metrics: Metrics,
) -> bool:
    """Read an entity of a source until nothing is left; `False` where the worker stops before.

    `finish` ends the slice afterwards.

    Raises:
        SourceDown: the database does not answer.
        SourceChanged: what is there does not fit what the source's file says.
        SourceMisconfigured: a secret or a driver is missing.
        Held: an administrator has to confirm.
        LeaseLost: the slice is another worker's now, or has been ended.

    """
    async with engine.connect() as db:
        position = await sources.load_position(db, registered)
    is_whole = claim.mode == "backfill" or position.cursor is None
    work = _Work(engine, claim, registered, metrics, stops, is_whole)
    if position.reading != claim.execution_id or not position.is_read:
        async with ForeignDatabase(registered.source) as database:
            if not await _read(work, database, position):
                return False
    if not is_whole:
        return True
    return await _remove_unmet(work)


async def finish(db: AsyncConnection, claim: IntakeClaim, registered: Registered) -> bool:
    """End the slice of an entity that has been read; `False` if it is not ours."""
    if await slices.hold(db, claim) is None:
        return False
    position = await sources.load_position(db, registered)
    if position.reading != claim.execution_id:
        raise LeaseLost(f"the file of {registered.name} has changed")
    is_whole = claim.mode == "backfill" or position.cursor is None
    rows: int = (await db.execute(_COUNT_MET, {"id": registered.id})).scalar_one()
    await sources.end(db, registered, cursor=position.next_cursor, is_whole=is_whole, rows=rows if is_whole else None)
    await db.execute(_FORGET_KEYS, {"id": registered.id})
    if is_whole:
        await imports.reject_gone(db, claim.execution_id, registered.name, source=registered.source.name)
    await imports.end_listing(db, claim.execution_id, registered.name)
    return await jobs.finish(db, claim)


async def fail(db: AsyncConnection, claim: IntakeClaim, registered: Registered, reason: str) -> bool:
    """End the slice of an entity that does not fit its file; others of the source go on. `False` if it is not ours."""
    if await slices.hold(db, claim) is None:
        return False
    await sources.note_failure(db, registered.source.name, reason)
    await imports.end_listing(db, claim.execution_id, registered.name)
    return await jobs.fail(db, claim, "source_changed", reason)


async def hold(db: AsyncConnection, claim: IntakeClaim, held: Held) -> bool:
    """Let the reading wait for an administrator; `False` if it is not ours."""
    await jobs.lock(db, claim.execution_id)
    if not await jobs.hold(db, claim, claim.execution_id, held.details):
        return False
    await intake.ask_for(db, claim.execution_id, held.details["entity"])
    return True


# --- reading ----------------------------------------------------------------------------------------------------------


async def _read(work: _Work, database: ForeignDatabase, position: Position) -> bool:
    """Read and store pages to the end; `False` where the worker stops before."""
    entity = work.registered.entity
    found = await database.columns(entity)
    shape = shape_of(entity, found, position.columns)
    goes_on = position.reading == work.claim.execution_id and entity.paging == "keyset"
    if not goes_on:
        await _begin(work, database, shape, found, position)
    reader = Reader(plain_layout(entity.entity), door="sql")
    reader.bind(shape.places)
    since = None if work.is_whole else since_of(position.cursor, entity.lag)
    after = position.after if goes_on else ()
    async for page in _pages(work, database, shape, since, after):
        read = _to_rows(work, reader, shape, page)
        await in_transaction(work.engine, lambda db, read=read: _store(db, work, read))  # type: ignore[misc]
        if work.stops() and not page.is_last:
            return False
    log.info("entity was read", entity=work.entity, whole=work.is_whole, **work.counts)
    return True


@dataclass(frozen=True)
class _Page:
    """Rows that were not in the page before. `repeats`: some may have been stored before this claim."""

    rows: Sequence[Row]
    after: Row
    is_last: bool
    repeats: bool


async def _pages(work: _Work, database: ForeignDatabase, shape: Shape, since: Any, after: Row) -> AsyncIterator[_Page]:
    if shape.entity.paging == "stream":
        async for page in database.stream(shape, since):
            check_types(shape, page.rows)
            yield _Page(page.rows, (), page.is_whole, repeats=False)
        return
    by_cursor = since is not None
    before, repeats = {after}, bool(after)
    while True:
        page = await (database.changes(shape, since, after) if by_cursor else database.page(shape, after))
        check_types(shape, page.rows)
        orders = [shape.order_of(row, by_cursor=by_cursor) for row in page.rows]
        fresh = [row for row, order in zip(page.rows, orders, strict=True) if order not in before]
        if not fresh and not page.is_whole:
            raise SourceChanged(
                f"as páginas de `{work.entity}` não avançam: {_told_key(shape)} não distingue as linhas"
            )
        _check_unique(work, shape, orders)
        after = orders[-1] if orders else after
        yield _Page(fresh, after, page.is_whole, repeats)
        if page.is_whole:
            return
        before, repeats = set(orders), False


def _check_unique(work: _Work, shape: Shape, orders: Sequence[Row]) -> None:
    """Raise `SourceChanged` where a key stands in a page twice."""
    keys = Counter(order[-len(shape.key) :] for order in orders)
    repeated = next((key for key, number in keys.items() if number > 1), None)
    if repeated is not None:
        raise _not_unique(work, "/".join(map(str, repeated)))


def _not_unique(work: _Work, key: str) -> SourceChanged:
    told = ", ".join(f"`{each}`" for each in work.registered.entity.key)
    return SourceChanged(f"a chave {told} de `{work.entity}` não é única: {key} aparece mais de uma vez")


def _told_key(shape: Shape) -> str:
    return ", ".join(f"`{each}`" for each in shape.key)


async def _begin(
    work: _Work, database: ForeignDatabase, shape: Shape, found: Sequence[ForeignColumn], position: Position
) -> None:
    """Note what the reading begins with: columns, the newest change, and rows that have no key."""
    if position.columns:
        new, retyped = news(found, position.columns)
        if new:
            log.info("the source has new columns", entity=work.entity, columns=new)
        if retyped:
            log.warning("columns of the source have another type", entity=work.entity, columns=retyped)
    if shape.entity.paging == "stream":
        log.warning("this entity is read in one piece, and from the beginning after each stop", entity=work.entity)
    cursor = None if shape.cursor is None else await _newest(work, database, shape)
    lacking = await database.without_key(shape, MOST_WITHOUT_KEY) if work.is_whole else []
    reader = Reader(plain_layout(shape.entity.entity), door="sql")
    reader.bind(shape.places)
    rejected = [reader.read(number, shape.cells_of(row))[0] for number, row in enumerate(lacking, 1)]

    async def begin(db: AsyncConnection) -> None:
        await _hold(db, work.claim)
        await db.execute(_FORGET_KEYS, {"id": work.registered.id})
        await imports.drop_listing(db, work.claim.execution_id, work.entity)
        await sources.begin(
            db, work.registered, work.claim.execution_id, cursor=cursor, columns=found, is_whole=work.is_whole
        )
        await _list(db, work, rejected, {})
        if rejected:
            await jobs.count(db, work.claim, seen=len(rejected), rejected=len(rejected))

    await in_transaction(work.engine, begin)
    if rejected:
        log.warning("rows without a key are rejected", entity=work.entity, rows=len(rejected))


async def _newest(work: _Work, database: ForeignDatabase, shape: Shape) -> Any:
    """The newest value of the cursor, of those that are not in the future."""
    value = await database.newest(shape)
    if isinstance(value, bytes | float) or (isinstance(value, str) and moment_of(value) is None):
        said = f"a coluna `{shape.cursor}` do cursor de `{work.entity}` é do tipo {type(value).__name__}"
        raise SourceChanged(f"{said}; use uma data, um momento ou um número")
    latest = beyond(value, work.claim.created_at + FUTURE)
    if latest is None:
        return value
    log.warning("the cursor has values in the future", entity=work.entity, column=shape.cursor)
    return await database.newest(shape, latest)


def _to_rows(work: _Work, reader: Reader, shape: Shape, page: _Page) -> _Read:
    rows = [reader.read(number, shape.cells_of(row))[0] for number, row in enumerate(page.rows, 1)]
    _check_readable(work, rows)
    without = 0
    if work.is_whole and shape.cursor is not None:
        place = shape.columns.index(shape.cursor)
        without = sum(row[place] is None for row in page.rows)
    return _Read(rows, len(page.rows), page.after, page.is_last, without, page.repeats)


def _check_readable(work: _Work, rows: Sequence[StagedRow]) -> None:
    """Raise `SourceChanged` where no row of a page can be read because of one column."""
    if len(rows) < FEWEST_JUDGED or not all(row.errors for row in rows):
        return
    common = set.intersection(*({(each.column, each.code) for each in row.errors} for row in rows))
    for column, _ in sorted(common):
        first = next(each for each in rows[0].errors if each.column == column)
        raise SourceChanged(f"nenhuma linha de `{work.entity}` traz um valor que sirva em `{column}`: {first.message}")


# --- storing ----------------------------------------------------------------------------------------------------------


async def _hold(db: AsyncConnection, claim: IntakeClaim) -> None:
    if await slices.hold(db, claim) is None:
        raise LeaseLost(f"slice {claim.slice_id}")


async def _store(db: AsyncConnection, work: _Work, read: _Read) -> None:
    """Store a page, and how far the reading has come with it."""
    await _hold(db, work.claim)
    driver = await driver_of(db)
    entity, keys = work.registered.entity.entity, [row.key for row in read.rows if row.key is not None]
    twice = next((key for key, number in Counter(keys).items() if number > 1), None)
    if twice is not None:  # two keys of the source that are one to us: blanks at the end do not count
        raise _not_unique(work, twice)
    if work.is_whole:
        met = await driver.fetch(_MEET, work.registered.id, sorted(keys))
        if len(met) < len(keys) and not read.repeats:
            raise _not_unique(work, min(set(keys) - {row["key"] for row in met}))
    records = [make_record(entity, row.key, row.data) for row in read.rows if row.key is not None and row.data]
    done = await upsert(driver, entity, records, source=work.registered.source.name)
    rejected = [row for row in read.rows if row.errors]
    await imports.reject_read_again(db, work.entity, keys)
    await _list(db, work, [row for row in read.rows if row.errors or row.key in done.missing], done.missing)
    is_same = await sources.advance(
        db,
        work.registered,
        work.claim.execution_id,
        after=read.after,
        without_cursor=read.without_cursor,
        is_read=read.is_last,
    )
    if not is_same:
        raise LeaseLost(f"the file of {work.entity} has changed")  # the worker that claims it next reads by the new one
    counted = {
        "unchanged": len(done.unchanged),
        "created": len(done.created),
        "changed": len(done.changed),
        "rejected": len(rejected),
    }
    accepted = len(done.created) + len(done.changed)
    # a stream that has broken off begins anew, and shows with its first page nothing that it had not reached before
    forgives = work.registered.entity.paging == "keyset"
    await jobs.count(db, work.claim, seen=read.seen, requests=1, accepted=accepted, forgives=forgives, **counted)
    work.counts.update({"rows": read.seen, **counted, "waiting": len(done.missing)})
    work.metrics.source_read(work.registered.source.name, work.entity, read.seen)


async def _list(
    db: AsyncConnection, work: _Work, rows: Sequence[StagedRow], missing: Mapping[str, tuple[str, str]]
) -> None:
    """Keep rows that could not be stored, or that wait for what they refer to, as an import of this reading."""
    if rows:
        source = work.registered.source.name
        await imports.list_unstored(db, work.claim.execution_id, work.entity, rows, missing, source=source)


def _is_confirmed(work: _Work) -> bool:
    """Whether an administrator has let this entity go on; another one's confirmation says nothing of it."""
    return bool(work.claim.options.get("confirmed")) and work.claim.options.get("asked_for") == work.entity


# --- what is gone -----------------------------------------------------------------------------------------------------


async def _remove_unmet(work: _Work) -> bool:
    """Remove the records of this source that the whole reading has not met; `False` where the worker stops before.

    Raises:
        Held: they are more than may go unasked.

    """
    source = work.registered.source
    parameters = {"id": work.registered.id, "entity": work.entity, "source": source.name}
    async with work.engine.connect() as db:
        counted = (await db.execute(_COUNT_UNMET, parameters)).one()
        some = list((await db.execute(_SOME_UNMET, {**parameters, "most": SAMPLES})).scalars())
    if counted.unmet > counted.known * source.hold_removed and not _is_confirmed(work):
        told = {"reason": MANY_REMOVED, "owed": counted.unmet, "of": counted.known}
        raise Held({**told, "entity": work.entity, "samples": some})

    async def remove(db: AsyncConnection) -> int:
        await _hold(db, work.claim)
        return (await db.execute(_REMOVE, {**parameters, "most": MOST_REMOVED})).rowcount

    while counted.unmet:
        if not await in_transaction(work.engine, remove):
            break
        if work.stops():
            return False
    if counted.unmet:
        log.info("records are gone from the source", entity=work.entity, removed=counted.unmet)
    return True
