"""A batch in the database: what is known of its records, and the transaction that stores it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import to_wall_clock
from common.database import driver_of, network_errors, raw_driver_of
from common.lifecycle.slices import Claim, PageCounts
from common.lists import NO_SCOPES, Scopes
from common.resources.description import Resource
from ingestor.sources.values import Batch, Bundle, Itens, Rejected, Stamps
from ingestor.store.drift import count_drift, drift_of
from ingestor.store.driver import BYTES_AT_ONCE, VALUE_REFUSED, in_one
from ingestor.store.later import owe_later
from ingestor.store.lists import merge_itens_one_by_one, merge_lists
from ingestor.store.progress import Progress, keep_page
from ingestor.store.rejected import keep_rejected
from ingestor.store.statements import Statements, statements_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class BundleCounts:
    """What writing bundles came to; what is unchanged or older is in none of them."""

    inserted: int = 0
    updated: int = 0
    itens: int = 0

    def plus(self, other: "BundleCounts") -> "BundleCounts":
        """The sum of both."""
        return BundleCounts(self.inserted + other.inserted, self.updated + other.updated, self.itens + other.itens)


_NOW = text("SELECT now()")


async def holds_records_of(db: AsyncConnection, resource: Resource, claim: Claim) -> bool:
    """Whether the mirror holds records that the slice's listing ought to show.

    By `atualizacao` only today's listing can be judged: from an earlier day's every record may have moved on, unless a
    record stays where it was listed first.
    """
    parameters = {"first_day": claim.first_day, "last_day": claim.last_day, "part": claim.part}
    if claim.criterio == "atualizacao" and resource.shows_changes:
        moment: datetime = (await db.execute(_NOW)).scalar_one()
        if claim.last_day < to_wall_clock(moment).date():
            return False
    statement = statements_of(resource).holds[claim.criterio]
    return bool((await db.execute(statement, parameters)).scalar_one())


async def load_versions(db: AsyncConnection, resource: Resource, keys: Iterable[str]) -> dict[str, tuple[Stamps, bool]]:
    """The stored version of each known key, and whether its list is stored too, or has been set aside."""
    driver = await raw_driver_of(db)
    with network_errors():
        rows = await driver.fetch(statements_of(resource).versions, list(keys))
    return {key: ((header, whole), has_list) for key, header, whole, has_list in rows}


# in the order of keys, so that two slices of an execution wait for each other and not in a circle
_COUNT_ONCE = """
    INSERT INTO sync_counted (execution_id, key) SELECT $1, key FROM unnest($2::text[]) AS fresh (key)
    ON CONFLICT DO NOTHING
"""


async def store_page(
    db: AsyncConnection,
    claim: Claim,
    batch: Batch,
    progress: Progress,
    *,
    keeps_page: bool = True,
    scopes: Scopes = NO_SCOPES,
    searches_itens: bool = True,
) -> tuple[Batch, PageCounts]:
    """Write a page: records, their lists, the parties that they name, what was rejected, and the page's own row.

    Runs inside the caller's transaction, which holds the slice. Answers the batch as it really went (a record that
    the database itself refuses is rejected here) and what it adds to the slice's counts. `keeps_page`: false where the
    slice ends in this transaction, which it does not with a page that is `unfit`. `scopes` and `searches_itens` as of
    `store_bundles`.
    """
    stored, refused = BundleCounts(), list[Rejected]()
    if batch.bundles:
        stored, refused = await store_bundles(
            db, batch.resource, batch.bundles, claim.execution_id, scopes, searches_itens=searches_itens
        )
    if refused:
        lost = {record.natural_key for record in refused if record.resource == batch.resource.name}
        batch = replace(batch, processed=batch.processed - lost, rejected=[*batch.rejected, *refused])
    if batch.nested and batch.resource.nested:
        nested = batch.resource.nested.resource
        _, lost_nested = await store_bundles(db, nested, batch.nested, claim.execution_id, scopes)
        batch = replace(batch, rejected=[*batch.rejected, *lost_nested])
    rejected = 0
    for record in sorted(batch.rejected, key=lambda record: record.hash):  # as any other worker does
        rejected += await keep_rejected(db, record, execution_id=claim.execution_id, slice_id=claim.slice_id)
    fresh = frozenset(key for key in batch.processed if key not in progress.processed)
    if keeps_page or batch.unfit:
        await keep_page(db, claim, batch, progress, fresh)
    processed = await _count_once(db, claim, fresh) if claim.counts_once and fresh else len(fresh)
    return batch, PageCounts(processed, stored.inserted, stored.updated, rejected, stored.itens)


async def mark_absent(db: AsyncConnection, claim: Claim, resource: Resource, keys: Iterable[str]) -> None:
    """Note which stored records of a day the portal no longer lists, and which it lists again.

    `keys`: the rows that all readings of the slice have shown. Runs inside the transaction that has ended the slice.
    """
    statement = statements_of(resource).mark_absent
    if statement is None or claim.criterio != "publicacao":
        return
    marked = await (await driver_of(db)).fetchrow(statement, list(keys), claim.slice_id)
    if marked and any(marked.values()):
        log.info("records have left their listing, or are back", **marked)


async def _count_once(db: AsyncConnection, claim: Claim, keys: frozenset[str]) -> int:
    """How many of these records no slice of the execution has counted; from now on they are."""
    told = await (await driver_of(db)).execute(_COUNT_ONCE, claim.execution_id, sorted(keys))
    return int(told.rpartition(" ")[2])


async def store_bundles(
    db: AsyncConnection,
    resource: Resource,
    bundles: list[Bundle],
    execution_id: int | None = None,
    scopes: Scopes = NO_SCOPES,
    *,
    searches_itens: bool = True,
) -> tuple[BundleCounts, list[Rejected]]:
    """Write all bundles at once; where the database refuses a value, one at a time, to find which.

    `execution_id`: who met them, for what is owed of their lists. `scopes`: of lists that are read later.
    `searches_itens`: entries of their lists are found by a search.
    """
    statements = statements_of(resource, searches_itens=searches_itens)
    stored = await _store_bundles(db, statements, bundles, execution_id)
    await owe_later(db, resource, [bundle.key for bundle in bundles], scopes, execution_id=execution_id)
    return stored


async def _store_bundles(
    db: AsyncConnection, statements: Statements, bundles: list[Bundle], execution_id: int | None
) -> tuple[BundleCounts, list[Rejected]]:
    driver = await driver_of(db)
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
            refused.append(Rejected(bundle.key, str(error), bundle.record.payload, statements.table))
        else:
            stored = stored.plus(counts)
            refused += refused_itens
    return stored, refused


async def _merge_with_care(
    driver: "asyncpg.Connection[Any]", statements: Statements, bundle: Bundle, execution_id: int | None
) -> tuple[BundleCounts, list[Rejected]]:
    """Write one bundle; where the database refuses an entry of its list, all others."""
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
    itens, refused = await merge_itens_one_by_one(driver, statements.list, bundle.key, bundle.itens)
    return counts.plus(BundleCounts(itens=itens)), refused


async def _merge(
    driver: "asyncpg.Connection[Any]", statements: Statements, bundles: list[Bundle], execution_id: int | None
) -> BundleCounts:
    """Write bundles in the order of their keys, so that two workers with the same records cannot deadlock."""
    bundles = sorted(bundles, key=lambda bundle: bundle.key)
    written: dict[str, bool] = {}
    for some in _records_in_batches(bundles):
        written |= await _merge_records(driver, statements, some)
    itens = 0
    if statements.list is not None:
        itens = await merge_lists(driver, statements.list, bundles, written, execution_id)
    drift = drift_of(statements, [bundle for bundle in bundles if bundle.key in written])
    if drift:
        await count_drift(driver, drift)
    inserted = sum(written.values())
    return BundleCounts(inserted, len(written) - inserted, itens)


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
        return dict(await driver.fetch(statements.merge, *judged, *in_one(payloads)))
    columns = [(bundle.record.columns or bundle.record.payload).encode() for bundle in bundles]
    return dict(await driver.fetch(statements.merge_drifted, *judged, *in_one(columns), *in_one(payloads)))


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
