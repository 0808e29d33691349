"""One page of the portal in the database: what is known of its records, and the transaction that stores it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

import asyncpg
import structlog
from msgspec import Raw
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import to_wall_clock
from common.database import network_errors
from common.executions import Claim, PageCounts
from common.resources.description import Resource
from ingestor.completeness import Evidence
from ingestor.pncp.records import Drift, Itens, Owed, Record, Rejected, Stamps
from ingestor.store.statements import ListStatements, Statements, statements_of

log = structlog.get_logger(__name__)

LONGEST_CAUSE = 500
FEWEST_UNFIT, UNFIT_SHARE = 5, 0.05
"""A page of which so many records, and more than such a share, cannot be stored has a fault that is not theirs."""

VALUE_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""What PostgreSQL says to a value that it cannot hold: out of range, or too large for an index."""


@dataclass(frozen=True)
class Bundle:
    """A record to be written, with its list as read."""

    record: Record
    itens: Itens = field(default_factory=Itens)

    @property
    def key(self) -> str:
        """That of its record."""
        return self.record.key


Listed = tuple[str, Itens]
"""A record by its key, and its list as read."""


@dataclass(frozen=True)
class BundleCounts:
    """What writing bundles came to; what is unchanged or older is in none of them."""

    inserted: int = 0
    updated: int = 0
    itens: int = 0

    def plus(self, other: "BundleCounts") -> "BundleCounts":
        """The sum of both."""
        return BundleCounts(self.inserted + other.inserted, self.updated + other.updated, self.itens + other.itens)


@dataclass(frozen=True)
class PageResult:
    """What one read page leaves: its rows, the keys that count as processed, what to write and to reject.

    `keys` names every row (`completeness.row_names`), `records` is how many there are. `is_second_look`: page 1 is read
    for the second time in this reading.
    """

    resource: Resource
    number: int
    total_registros: int
    total_paginas: int
    keys: frozenset[str]
    processed: frozenset[str]
    bundles: list[Bundle] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    records: int = 0
    is_second_look: bool = False

    @property
    def unfit(self) -> int:
        """How many of its records cannot be stored, where those are more than single records' faults; else 0."""
        lost = sum(record.resource == self.resource.name for record in self.rejected)
        return lost if lost >= FEWEST_UNFIT and lost > UNFIT_SHARE * len(self.keys) else 0


@dataclass
class Progress:
    """What the committed pages of a slice say; it goes on growing in memory while the slice is held.

    `pages` belong to the present reading, `processed` to all readings: it is what must not be counted twice.
    `first_records` is how many records page 1 held. `refused` are those that the database itself would not take since
    the slice is held. `unfit` tells of the pages of this reading too many of whose records cannot be stored how many
    those are.
    """

    reading: int
    evidence: Evidence = field(default_factory=Evidence)
    pages: set[int] = field(default_factory=set)
    processed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unfit: dict[int, int] = field(default_factory=dict)
    total_paginas: int = 0
    first_records: int = 0

    def add(self, result: PageResult) -> None:
        """Take in a page that has just been committed."""
        self.evidence.add(result.keys, result.total_registros)
        self.pages.add(result.number)
        self.processed |= result.processed
        self.unfit.pop(result.number, None)
        if result.unfit:
            self.unfit[result.number] = result.unfit
        if result.number == 1:
            self.total_paginas = max(self.total_paginas, result.total_paginas)
            if not result.is_second_look:
                self.first_records = result.records

    def evidence_with(self, result: PageResult) -> Evidence:
        """What will be known with a page that is about to be committed."""
        grown = self.evidence.copy()
        grown.add(result.keys, result.total_registros)
        return grown

    def begin_anew(self) -> None:
        """Start the next reading."""
        self.reading += 1
        self.pages, self.unfit = set(), {}
        self.total_paginas = self.first_records = 0
        self.evidence.begin_anew()


# --- reading ----------------------------------------------------------------------------------------------------

# Numbers that stand for no page of a listing: the second look at page 1, and, in reading 0, what the readings before
# the present one have shown (the rows that stand, with all that was processed; the other rows).
_SECOND_LOOK = 0
_EARLIER, _STANDING, _NO_LONGER_STANDING = 0, 0, 1

_PAGES = text("""
    SELECT reading, page, keys, processed, total_registros, total_paginas, records, unfit
      FROM sync_pages WHERE slice_id = :slice_id ORDER BY reading, read_at
""")
_NOW = text("SELECT now()")


async def load_progress(db: AsyncConnection, resource: Resource, claim: Claim) -> Progress:
    """What earlier claims of this slice have committed."""
    progress = Progress(claim.reading)
    evidence = progress.evidence
    for row in await db.execute(_PAGES, {"slice_id": claim.slice_id}):
        keys, processed = frozenset(row.keys), frozenset(row.processed)
        if row.reading == claim.reading:
            second = row.page == _SECOND_LOOK
            number = 1 if second else row.page
            page = PageResult(resource, number, row.total_registros, row.total_paginas, keys, processed)
            progress.add(replace(page, records=row.records, is_second_look=second))
            if row.unfit:
                progress.unfit[number] = row.unfit
            continue
        progress.processed |= processed
        evidence.known |= keys
        if (row.reading, row.page) == (_EARLIER, _STANDING):
            evidence.standing, evidence.promised = set(keys), row.total_registros
    return progress


async def holds_records_of(db: AsyncConnection, resource: Resource, claim: Claim) -> bool:
    """Whether the mirror holds records that the slice's listing ought to show.

    By `atualizacao` only today's listing can be judged: from an earlier day's every record may have moved on.
    """
    parameters = {"first_day": claim.first_day, "last_day": claim.last_day, "part": claim.part}
    if claim.criterio == "atualizacao":
        moment: datetime = (await db.execute(_NOW)).scalar_one()
        if claim.last_day < to_wall_clock(moment).date():
            return False
    statement = statements_of(resource).holds[claim.criterio]
    return bool((await db.execute(statement, parameters)).scalar_one())


async def load_versions(db: AsyncConnection, resource: Resource, keys: Iterable[str]) -> dict[str, tuple[Stamps, bool]]:
    """The stored version of each known key, and whether its list is stored too, or has been set aside."""
    driver = await _raw_driver_of(db)
    with network_errors():
        rows = await driver.fetch(statements_of(resource).versions, list(keys))
    return {key: ((header, whole), has_list) for key, header, whole, has_list in rows}


# --- writing ----------------------------------------------------------------------------------------------------


def _in_one(payloads: Sequence[bytes | Raw]) -> tuple[list[int], list[int], bytes]:
    """Where each payload begins, counted from 1, how many bytes it has, and all of them."""
    sizes = [memoryview(payload).nbytes for payload in payloads]
    return list(accumulate(sizes[:-1], initial=1)), sizes, b"".join(payloads)


ITENS_AT_ONCE = 2_000
"""Items that one statement takes, about; most pages hold 400, and a few contratações have thousands each."""
BYTES_AT_ONCE = 4 * 1024 * 1024
"""Bytes of payloads that one statement takes, about: they are joined, encoded and sent, each time as a copy."""

_KEEP_PAGE = """
    INSERT INTO sync_pages AS known
           (slice_id, reading, page, keys, processed, total_registros, total_paginas, records, unfit)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (slice_id, reading, page) DO UPDATE
       SET keys = ARRAY(SELECT DISTINCT unnest(known.keys || excluded.keys)),
           processed = ARRAY(SELECT DISTINCT unnest(known.processed || excluded.processed)),
           total_registros = excluded.total_registros, total_paginas = excluded.total_paginas,
           records = excluded.records, unfit = excluded.unfit, read_at = clock_timestamp()
"""
_FORGET_PAGES = "DELETE FROM sync_pages WHERE slice_id = $1"
# in the order of keys, so that two slices of an execution wait for each other and not in a circle
_COUNT_ONCE = """
    INSERT INTO sync_counted (execution_id, key) SELECT $1, key FROM unnest($2::text[]) AS fresh (key)
    ON CONFLICT DO NOTHING
"""
# One row for a record, however often it is seen; the ids are those of the last sight.
_REJECT = text("""
    WITH before AS (
        SELECT execution_id FROM rejected_records WHERE payload_hash = :payload_hash
    )
    INSERT INTO rejected_records AS known
           (execution_id, slice_id, resource, natural_key, reason, payload_hash, payload, day, part)
    VALUES (:execution_id, :slice_id, :resource, :natural_key, :reason, :payload_hash, :payload,
            (SELECT first_day FROM sync_slices WHERE id = :slice_id AND criterio = 'publicacao'),
            (SELECT part FROM sync_slices WHERE id = :slice_id AND criterio = 'publicacao'))
    ON CONFLICT (payload_hash) DO UPDATE
       SET last_seen = now(), resolved_at = NULL, reason = excluded.reason,
           times = known.times + CAST(known.execution_id IS DISTINCT FROM excluded.execution_id AS int),
           execution_id = excluded.execution_id, slice_id = excluded.slice_id,
           day = coalesce(excluded.day, known.day), part = coalesce(excluded.part, known.part)
    RETURNING (SELECT execution_id FROM before) IS DISTINCT FROM :execution_id
""")
_COUNT_DRIFT = """
    INSERT INTO schema_drift AS known (resource, path, kind, records, example)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    ON CONFLICT (resource, path, kind) DO UPDATE
       SET records = known.records + excluded.records, last_seen = now()
    RETURNING resource, path, kind, example, xmax = 0 AS is_new
"""


async def store_page(
    db: AsyncConnection,
    claim: Claim,
    result: PageResult,
    progress: Progress,
    *,
    keeps_page: bool = True,
) -> tuple[PageResult, PageCounts]:
    """Write a page: records, órgãos, units, items, what was rejected, and the page's own row.

    Runs inside the caller's transaction, which holds the slice. Answers the result as it really went (a record that
    the database itself refuses is rejected here) and what it adds to the slice's counts. `keeps_page`: false where the
    slice ends in this transaction, which it does not with a page that is `unfit`.
    """
    stored, refused = BundleCounts(), list[Rejected]()
    if result.bundles:
        stored, refused = await store_bundles(db, result.resource, result.bundles, claim.execution_id)
    if refused:
        lost = {record.natural_key for record in refused if record.resource == result.resource.name}
        result = replace(result, processed=result.processed - lost, rejected=[*result.rejected, *refused])
    rejected = 0
    for record in sorted(result.rejected, key=lambda record: record.hash):  # as any other worker does
        rejected += await keep_rejected(db, record, execution_id=claim.execution_id, slice_id=claim.slice_id)
    fresh = result.processed - progress.processed
    if keeps_page or result.unfit:
        is_new = progress.evidence.is_new_to_reading(result.keys)
        driver = await _driver_of(db)
        await driver.execute(
            _KEEP_PAGE,
            claim.slice_id,
            progress.reading,
            _SECOND_LOOK if result.is_second_look else result.number,
            sorted(result.keys) if is_new else [],  # a listing without end must not fill the table
            sorted(fresh),
            result.total_registros,
            result.total_paginas,
            result.records,
            result.unfit,
        )
    processed = await _count_once(db, claim, fresh) if claim.counts_once and fresh else len(fresh)
    return result, PageCounts(processed, stored.inserted, stored.updated, rejected, stored.itens)


async def _count_once(db: AsyncConnection, claim: Claim, keys: frozenset[str]) -> int:
    """How many of these records no slice of the execution has counted; from now on they are."""
    told = await (await _driver_of(db)).execute(_COUNT_ONCE, claim.execution_id, sorted(keys))
    return int(told.rpartition(" ")[2])


async def keep_earlier(db: AsyncConnection, claim: Claim, progress: Progress) -> None:
    """Put what the readings so far have shown in place of their pages: `progress` has just begun anew.

    Runs inside the caller's transaction, which holds the slice. However many readings there are, two rows stay.
    """
    evidence = progress.evidence
    driver = await _driver_of(db)
    await driver.execute(_FORGET_PAGES, claim.slice_id)
    earlier = [
        (_STANDING, evidence.standing, progress.processed),
        (_NO_LONGER_STANDING, evidence.known - evidence.standing, set[str]()),
    ]
    for page, keys, processed in earlier:
        numbers = (evidence.promised, 0, 0, 0)
        await driver.execute(_KEEP_PAGE, claim.slice_id, _EARLIER, page, sorted(keys), sorted(processed), *numbers)


_ANYTHING = text("SELECT")


async def store_bundles(
    db: AsyncConnection, resource: Resource, bundles: list[Bundle], execution_id: int | None = None
) -> tuple[BundleCounts, list[Rejected]]:
    """Write all bundles at once; where the database refuses a value, one at a time, to find which.

    `execution_id`: who met them, for what is owed of their items.
    """
    driver, statements = await _driver_of(db), statements_of(resource)
    try:
        async with driver.transaction():  # a savepoint
            return await _merge(driver, statements, bundles, execution_id), []
    except VALUE_REFUSED:
        log.info("the database refuses a value, the page is stored record by record")
    stored = BundleCounts()
    refused: list[Rejected] = []
    for bundle in bundles:
        try:
            async with driver.transaction():
                counts, refused_itens = await _merge_with_care(driver, statements, bundle, execution_id)
        except VALUE_REFUSED as error:
            refused.append(Rejected(bundle.key, str(error), bundle.record.payload, resource.name))
        else:
            stored = stored.plus(counts)
            refused += refused_itens
    return stored, refused


async def _merge_with_care(
    driver: "asyncpg.Connection[Any]", statements: Statements, bundle: Bundle, execution_id: int | None
) -> tuple[BundleCounts, list[Rejected]]:
    """Write one bundle; where the database refuses an item, all others."""
    try:
        async with driver.transaction():
            return await _merge(driver, statements, [bundle], execution_id), []
    except VALUE_REFUSED:
        if statements.list is None or not bundle.itens.payloads:
            raise
    without = replace(bundle, itens=Itens(rejected=bundle.itens.rejected))
    counts = await _merge(driver, statements, [without], execution_id)
    if not counts.inserted and not counts.updated:
        return counts, []
    itens, refused = await _merge_itens_one_by_one(driver, statements.list, bundle.key, bundle.itens)
    return counts.plus(BundleCounts(itens=itens)), refused


async def _merge_itens_one_by_one(
    driver: "asyncpg.Connection[Any]", statements: ListStatements, key: str, itens: Itens
) -> tuple[int, list[Rejected]]:
    """Write a list whose items the database has refused together; answers how many were, and those that it refuses."""
    count, refused = 0, list[Rejected]()
    for number, payload in itens.payloads.items():
        try:
            async with driver.transaction():
                count += await _merge_itens(driver, statements, [(key, itens.only(number))])
        except VALUE_REFUSED as error:
            refused.append(Rejected(key, str(error), bytes(payload).decode(), statements.table))
    return count, refused


async def _driver_of(db: AsyncConnection) -> "asyncpg.Connection[Any]":
    """The driver's own connection, inside the transaction that SQLAlchemy has begun on it, for what is done per page.

    It prepares a statement once and takes arrays as they are; SQLAlchemy's way there costs several times as much.
    """
    driver = await _raw_driver_of(db)
    if not driver.is_in_transaction():
        await db.execute(_ANYTHING)  # SQLAlchemy begins its transaction with its own first statement only
    return driver


async def _raw_driver_of(db: AsyncConnection) -> "asyncpg.Connection[Any]":
    """The driver's own connection, in no transaction unless there is one."""
    raw = await db.get_raw_connection()
    driver = raw.driver_connection
    if not isinstance(driver, asyncpg.Connection):
        raise TypeError("not an asyncpg connection")
    return driver


async def _merge(
    driver: "asyncpg.Connection[Any]", statements: Statements, bundles: list[Bundle], execution_id: int | None
) -> BundleCounts:
    """Write bundles, in the order of their keys: two workers that meet then wait for each other, and not in a ring."""
    bundles = sorted(bundles, key=lambda bundle: bundle.key)
    written: dict[str, bool] = {}
    for some in _records_in_batches(bundles):
        written |= await _merge_records(driver, statements, some)
    itens = 0
    if statements.list is not None:
        itens = await _merge_lists(driver, statements.list, bundles, written, execution_id)
    drift = _drift_of(statements, [bundle for bundle in bundles if bundle.key in written])
    if drift:
        await _count_drift(driver, drift)
    inserted = sum(written.values())
    return BundleCounts(inserted, len(written) - inserted, itens)


async def _merge_lists(
    driver: "asyncpg.Connection[Any]",
    statements: ListStatements,
    bundles: list[Bundle],
    written: dict[str, bool],
    execution_id: int | None,
) -> int:
    """Write the lists of records that were just written, and what is owed; answers how many entries were."""
    with_itens = [bundle for bundle in bundles if bundle.key in written and bundle.itens.payloads]
    new = [(bundle.key, bundle.itens) for bundle in with_itens if written[bundle.key]]
    known = [(bundle.key, bundle.itens) for bundle in with_itens if not written[bundle.key]]
    owed = {bundle.key: bundle.itens.owed for bundle in bundles if bundle.itens.owed is not None}
    settled = [key for key, is_new in written.items() if not is_new and key not in owed]
    if settled:
        await driver.execute(statements.settle_all, settled)
    owed |= await _delete_gone(driver, statements, known)
    itens = await _merge_itens(driver, statements, new, are_new=True) + await _merge_itens(driver, statements, known)
    if owed:
        await _owe(driver, statements, owed, written.keys(), execution_id)
    return itens


async def _merge_records(
    driver: "asyncpg.Connection[Any]", statements: Statements, bundles: list[Bundle]
) -> dict[str, bool]:
    """Write the records of bundles; answers whether each that was written is new."""
    versions = [bundle.record.version for bundle in bundles]
    payloads = [bundle.record.payload.encode() for bundle in bundles]
    judged = (
        [bundle.key for bundle in bundles],
        [header for header, _ in versions],
        [whole for _, whole in versions],
        [bundle.itens.owed is None for bundle in bundles],
    )
    if all(bundle.record.columns is None for bundle in bundles):
        return dict(await driver.fetch(statements.merge, *judged, *_in_one(payloads)))
    columns = [(bundle.record.columns or bundle.record.payload).encode() for bundle in bundles]
    return dict(await driver.fetch(statements.merge_drifted, *judged, *_in_one(columns), *_in_one(payloads)))


async def _delete_gone(
    driver: "asyncpg.Connection[Any]", statements: ListStatements, lists: list[Listed]
) -> dict[str, Owed]:
    """Delete the items of known contratações that are not on their lists any more; what is owed instead.

    An empty list may be a fault of the portal's, and so may one that could have been cut off: it takes nothing away.
    """
    kept: list[tuple[str, list[int]]] = []
    owed: dict[str, Owed] = {}
    for key, itens in lists:
        numbers = list(itens.payloads)
        if itens.rejected or not numbers:
            continue
        if itens.is_proved:
            kept.append((key, numbers))
        elif await driver.fetch(statements.would_go, key, numbers):
            await driver.execute(statements.want, key)
            owed[key] = Owed("unread", f"items are stored that are missing from a list of {itens.told}")
    if kept:
        await driver.executemany(statements.delete_gone, kept)
    return owed


async def _owe(
    driver: "asyncpg.Connection[Any]",
    statements: ListStatements,
    owed: Mapping[str, Owed],
    written: Collection[str],
    execution_id: int | None,
) -> None:
    """Note whose items are to be read later, after the merge has locked their contratações."""
    log.warning("items owed", records=len(owed), cause=next(iter(owed.values())).cause)
    for statement, keys in (
        (statements.owe_anew, sorted(owed.keys() & set(written))),
        (statements.owe, sorted(owed.keys() - set(written))),
    ):
        if keys:
            reasons = [owed[key].reason for key in keys]
            causes = [owed[key].cause[:LONGEST_CAUSE] for key in keys]
            sights = [int(owed[key].reason == "empty") for key in keys]
            final = [owed[key].is_final for key in keys]
            await driver.execute(statement, keys, reasons, causes, sights, final, execution_id)


async def _merge_itens(
    driver: "asyncpg.Connection[Any]", statements: ListStatements, lists: list[Listed], *, are_new: bool = False
) -> int:
    """Write lists of items, some `ITENS_AT_ONCE`; answers how many items were written."""
    count = 0
    for some in _in_batches(lists):
        keys = [key for key, itens in some for _ in itens.payloads]
        payloads = [payload for _, itens in some for payload in itens.payloads.values()]
        if any(itens.drifted for _, itens in some):
            columns = [payload for _, itens in some for payload in itens.columns()]
            told = await driver.execute(statements.merge_drifted, keys, *_in_one(columns), *_in_one(payloads))
        else:
            told = await driver.execute(statements.insert if are_new else statements.merge, keys, *_in_one(payloads))
        count += int(told.rpartition(" ")[2])
    return count


Drifted = dict[tuple[str, str, str], tuple[int, str]]
"""How many records came with a drift, and the value of the first, by table, path and kind."""


def _drift_of(statements: Statements, bundles: list[Bundle]) -> Drifted:
    found = _drift_of_lists(statements.list, (bundle.itens for bundle in bundles)) if statements.list else {}
    for bundle in bundles:
        _add_drift(found, statements.table, bundle.record.drift)
    return found


def _drift_of_lists(statements: ListStatements, lists: Iterable[Itens]) -> Drifted:
    found: Drifted = {}
    for itens in lists:
        for _, drift in itens.drifted.values():
            _add_drift(found, statements.table, drift)
    return found


def _add_drift(found: Drifted, resource: str, drifts: Iterable[Drift]) -> None:
    for drift in drifts:
        records, example = found.get((resource, drift.path, drift.kind), (0, drift.example))
        found[resource, drift.path, drift.kind] = records + 1, example


async def _count_drift(driver: "asyncpg.Connection[Any]", drift: Drifted) -> None:
    """Count what did not fit its column, in the transaction that stores it; log what is new."""
    kinds = sorted(drift)
    counts = [drift[kind] for kind in kinds]
    told = await driver.fetch(
        _COUNT_DRIFT,
        *([kind[place] for kind in kinds] for place in range(3)),
        *([count[place] for count in counts] for place in range(2)),
    )
    for resource, path, kind, example, is_new in told:
        if is_new:
            log.warning(
                "a field does not fit its column", resource=resource, field=path, kind_of_value=kind, example=example
            )


def _in_batches(lists: list[Listed]) -> Iterator[list[Listed]]:
    """Lists together until they hold `ITENS_AT_ONCE`, or take `BYTES_AT_ONCE`; a large one in parts."""
    batch: list[Listed] = []
    count = size = 0
    for listed in lists:
        for part in [listed] if listed[1].size <= BYTES_AT_ONCE else _cut(*listed):
            batch.append(part)
            count += len(part[1].payloads)
            size += part[1].size
            if count >= ITENS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield batch
                batch, count, size = [], 0, 0
    if batch:
        yield batch


def _cut(key: str, itens: Itens) -> Iterator[Listed]:
    """A list that is larger than what one statement takes, as several with a part of it each."""
    part = Itens()
    for number, payload in itens.payloads.items():
        part.payloads[number] = payload
        part.size += memoryview(payload).nbytes
        if number in itens.drifted:
            part.drifted[number] = itens.drifted[number]
        if part.size >= BYTES_AT_ONCE or len(part.payloads) >= ITENS_AT_ONCE:
            yield key, part
            part = Itens()
    yield key, part


def _records_in_batches(bundles: list[Bundle]) -> Iterator[list[Bundle]]:
    """Contratações together until they take `BYTES_AT_ONCE`: nearly always all of a page."""
    batch, size = list[Bundle](), 0
    for bundle in bundles:
        batch.append(bundle)
        size += len(bundle.record.payload)
        if size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def want_list(db: AsyncConnection, resource: Resource, key: str) -> None:
    """Have the list of a record written again though the record is not newer; the caller has one to write."""
    statements = statements_of(resource).list
    if statements is not None:
        await (await _driver_of(db)).execute(statements.want, key)


async def lacks_on_list(db: AsyncConnection, statements: ListStatements, key: str, itens: Itens) -> bool:
    """Whether entries of a record's list are stored that are not on this one."""
    driver = await _raw_driver_of(db)
    with network_errors():
        return bool(await driver.fetch(statements.would_go, key, list(itens.payloads)))


async def store_owed(
    db: AsyncConnection,
    statements: ListStatements,
    key: str,
    version: Stamps,
    itens: Itens,
    *,
    execution_id: int | None,
) -> bool:
    """Write a list that was owed, in the caller's transaction; it is complete, or empty and confirmed.

    `False`, and nothing is written, where the record is not of this version any more, or has its list.
    """
    driver = await _driver_of(db)
    with network_errors():
        if not await driver.fetch(statements.version_without, key, *version):
            await driver.execute(statements.settle_paid, key)
            return False
        refused = await _replace_list(driver, statements, key, itens)
    for record in sorted([*itens.rejected, *refused], key=lambda record: record.hash):
        await keep_rejected(db, record, execution_id=execution_id, slice_id=None)
    return True


async def _replace_list(
    driver: "asyncpg.Connection[Any]", statements: ListStatements, key: str, itens: Itens
) -> list[Rejected]:
    """Write a list over what is stored, and settle its debt; answers what the database itself refuses."""
    if itens.payloads and not itens.rejected:
        await driver.execute(statements.delete_gone, key, list(itens.payloads))
    refused: list[Rejected] = []
    if itens.payloads:
        try:
            async with driver.transaction():
                await _merge_itens(driver, statements, [(key, itens)])
        except VALUE_REFUSED:
            _, refused = await _merge_itens_one_by_one(driver, statements, key, itens)
    drift = _drift_of_lists(statements, [itens])
    if drift:
        await _count_drift(driver, drift)
    await driver.execute(statements.resolve, key)
    await driver.execute(statements.has, key)
    await driver.execute(statements.settle, key)
    return refused


async def keep_rejected(
    db: AsyncConnection, record: Rejected, *, execution_id: int | None, slice_id: int | None
) -> int:
    """Keep a rejected record, once however often it is seen; 0 if this execution was the last that saw it."""
    result = await db.execute(
        _REJECT,
        {
            "execution_id": execution_id,
            "slice_id": slice_id,
            "resource": record.resource,
            "natural_key": record.natural_key,
            "reason": record.reason[:2000],
            "payload_hash": record.hash,
            "payload": record.payload,
        },
    )
    return int(result.scalar_one())
