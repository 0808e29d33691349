"""One slice: its pages as they are read, each committed with its lists, its counts and its progress.

In which order pages are read, and why that misses nothing, is told in `sources.pncp.listing`. Here they are committed
in that very order, one transaction each, and the last one ends the slice.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import traces
from common.clock import to_wall_clock
from common.database import in_transaction, network_errors
from common.lifecycle import slices
from common.lifecycle.slices import Claim, PageCounts
from common.lists import Scopes
from common.resources import RESOURCES_BY_NAME
from common.resources.description import Resource
from ingestor.errors import LeaseLost, ListingIncomplete, ListingShrank, PageUnfit, PncpUnavailable
from ingestor.metrics import Metrics
from ingestor.room import Room, alone
from ingestor.sources.pncp.children import fetch_or_owe
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.pncp.completeness import READINGS_AT_ONCE, Evidence, is_worth_another_reading, shortfall
from ingestor.sources.pncp.listing import Reading
from ingestor.sources.values import Batch, Bundle, Ended, Rejected, Stamps
from ingestor.store.batch import holds_records_of, load_versions, mark_absent, store_page
from ingestor.store.coletas import add_to_coletas
from ingestor.store.progress import Progress, keep_earlier, load_progress

log = structlog.get_logger(__name__)

EMPTY_SIGHTS = 3
"""Claims that must find a listing empty before that is believed, where the mirror holds records of it."""
COMMITS_AT_ONCE = 3
"""Page transactions of one process: more of them only wait for each other, and each holds a page in memory."""


@dataclass(frozen=True)
class Tools:
    """What the slices of a process work with.

    `stopping` asks them to end after the present page; `room` bounds what is in memory, `commits` the transactions.
    `scopes` are those of lists that are read later. `keeps_coletas`: what is read is also kept as it was read.
    `searches_itens`: entries of lists are found by a search.
    """

    engine: AsyncEngine
    client: PncpClient
    stopping: asyncio.Event
    lease_seconds: float
    room: Room = field(default_factory=Room)
    commits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(COMMITS_AT_ONCE))
    metrics: Metrics = field(default_factory=Metrics)
    scopes: Scopes = field(default_factory=dict)
    keeps_coletas: bool = False
    searches_itens: bool = True


@dataclass
class SliceIngestion:
    """One claim of a slice, and what has come of it so far.

    `committed` counts the pages that this claim has committed, the last of them at `read_at` by the database's clock,
    and `counts` what they have come to; `has_progressed`: one of them showed what the slice had not seen before;
    `finished` says that the last one has ended the slice.
    """

    tools: Tools
    claim: Claim
    committed: int = 0
    has_progressed: bool = False
    counts: PageCounts = field(default_factory=PageCounts)
    reading: int = 1
    read_at: datetime | None = None
    finished: bool = False

    @property
    def resource(self) -> Resource:
        """That of the slice."""
        return RESOURCES_BY_NAME[self.claim.resource]


async def ingest_slice(work: SliceIngestion) -> bool:
    """Read a slice until it is complete, going on from the pages that earlier claims have committed.

    Answers whether it is complete; if not, the worker was asked to stop.

    Raises:
        PncpError: the portal failed or refused, or its listing does not add up however often it is read.
        PageUnfit: too many records of a page cannot be stored; what can be is.
        LeaseLost: the slice is another worker's now, or has been ended.

    """
    progress = await _load_progress(work)
    while True:
        work.reading = progress.reading
        try:
            ended = await _read_listing(work, progress)
            if ended is Ended.ASKED_TO_STOP:
                return False
            if work.finished:
                return True
            if progress.unfit:
                raise await _give_up_unfit(work, progress)
            cause = _shortfall(work, progress.evidence, sum(progress.rows.values()), work.read_at)
            if cause is None:
                return True
        except ListingShrank as error:
            cause = str(error)
        await _begin_anew(work, progress, cause)


async def _begin_anew(work: SliceIngestion, progress: Progress, cause: str) -> None:
    """Forget the pages of a reading that proves nothing and keep what they have shown.

    Raises:
        ListingIncomplete: reading it again now would lead nowhere.

    """
    log.warning("the listing is read again", reading=progress.reading, cause=cause)
    reading = progress.reading
    await _end_reading(work, progress)
    began = work.claim.reading
    if not is_worth_another_reading(
        progress.evidence, readings=reading - began + 1, is_first_claim=began <= READINGS_AT_ONCE
    ):
        raise ListingIncomplete(f"{cause}, after {reading} readings")


async def _end_reading(work: SliceIngestion, progress: Progress) -> None:
    """Put what the reading has shown in place of its pages."""
    progress.begin_anew()

    async def end(db: AsyncConnection) -> None:
        if not await slices.reread(db, work.claim):
            raise LeaseLost(f"slice {work.claim.slice_id}")
        await keep_earlier(db, work.claim, progress)

    with network_errors():
        await in_transaction(work.tools.engine, end)


async def _give_up_unfit(work: SliceIngestion, progress: Progress) -> PageUnfit:
    """Have the listing begun anew by the next claim, all of it; what is wrong with it in a sentence."""
    page, lost = next(iter(progress.unfit.items()))
    more = f", nor of {len(progress.unfit) - 1} other pages" if len(progress.unfit) > 1 else ""
    progress.evidence = Evidence()  # what has been shown and could not be stored is to be shown again
    await _end_reading(work, progress)
    return PageUnfit(f"{lost} records of page {page} could not be stored{more}")


async def _load_progress(work: SliceIngestion) -> Progress:
    if work.claim.attempt == 1:
        return Progress(work.claim.reading)  # the first claim of the slice
    async with work.tools.engine.connect() as db:
        return await load_progress(db, work.resource, work.claim)


async def _read_listing(work: SliceIngestion, progress: Progress) -> Ended:
    """Read what is left of the listing and commit it page by page."""
    if progress.pages and work.tools.stopping.is_set():
        return Ended.ASKED_TO_STOP
    tools = work.tools
    engine = tools.engine.execution_options(isolation_level="AUTOCOMMIT")  # one question, nothing to begin or end

    async def versions(keys: Collection[str]) -> dict[str, tuple[Stamps, bool]]:
        async with engine.connect() as db:
            return await load_versions(db, work.resource, keys)

    async with Reading(
        tools.client,
        work.claim,
        progress,
        tools.stopping,
        room=tools.room,
        resource=work.resource,
        versions=versions,
    ) as pages:
        async for page in pages:
            async with page as batch:
                with traces.span("page", {"page": batch.number, "records": batch.records}):
                    await _ingest(work, progress, batch)
            if batch.ends is not None:
                return batch.ends
    return Ended.ASKED_TO_STOP if work.tools.stopping.is_set() else Ended.AT_THE_END


def _shortfall(work: SliceIngestion, evidence: Evidence, rows: int, read_at: datetime | None) -> str | None:
    """Why the slice's listing is not complete, if it is not; its pages hold so many `rows`.

    It moves if it reached the day on which its last page was committed, by the database's clock.
    """
    moves = read_at is not None and work.claim.last_day >= to_wall_clock(read_at).date()
    repeats = work.resource.listings[work.claim.criterio].repeats_rows
    return shortfall(evidence, moves=moves, rows=rows if repeats else None)


# --- one page ---------------------------------------------------------------------------------------------------


async def _ingest(work: SliceIngestion, progress: Progress, batch: Batch) -> None:
    """Commit a page: first, one by one, the records whose lists there was no room for, then all the rest."""
    if batch.number == 1 and not (batch.records or batch.total_registros or batch.is_second_look):
        await _doubt_emptiness(work, progress)
    refused = await _ingest_alone(work, progress, batch) if batch.crowded else []
    tried = {bundle.key for bundle in batch.bundles} | {record.key for record in batch.crowded}
    lost = (progress.refused - tried) | {record.natural_key for record in refused}
    async with work.tools.commits:
        whole = replace(batch, processed=batch.processed - lost, rejected=[*batch.rejected, *refused])
        shows_new = progress.evidence.is_new(whole.keys)
        stored, counts = await _commit(work, whole, progress)
    work.has_progressed |= shows_new
    progress.add(stored)
    progress.refused |= batch.processed - stored.processed
    work.committed += 1
    work.counts = work.counts.plus(counts)
    work.tools.metrics.page_committed(counts)
    log.debug("page committed", page=batch.number, pages=progress.total_paginas, records=batch.records, **vars(counts))


async def _doubt_emptiness(work: SliceIngestion, progress: Progress) -> None:
    """Believe an empty listing only where it is no surprise, or where it has been empty for several claims.

    Raises:
        PncpUnavailable: it is a surprise, and is looked at again later.

    """
    async with work.tools.engine.begin() as db:
        if not progress.evidence.known and not await holds_records_of(db, work.resource, work.claim):
            return
        sights = await slices.note_empty(db, work.claim)
    if sights is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    if sights < EMPTY_SIGHTS:
        looks = f"{sights} of {EMPTY_SIGHTS} looks"
        raise PncpUnavailable(f"the listing is empty, and its records are known ({looks})", "incomplete")
    log.warning("the listing is empty, its records have left it", looks=sights)


async def _ingest_alone(work: SliceIngestion, progress: Progress, batch: Batch) -> list[Rejected]:
    """Fetch the lists that there was no room for, one at a time, and commit each before its page.

    The record is counted as processed with its page. Answers the records that the database itself refuses.
    """
    nothing = frozenset[str]()
    lost: list[Rejected] = []
    child = batch.resource.child
    assert child is not None  # noqa: S101  # only of records with lists there may be no room for one
    for record in batch.crowded:
        key = record.key
        log.info("a list is read alone", natural_key=key)
        async with alone(work.tools.room):
            itens = await fetch_or_owe(work.tools.client, batch.resource, child, key)
            part = Batch(
                batch.resource,
                batch.number,
                batch.total_registros,
                batch.total_paginas,
                keys=nothing,
                processed=nothing,
                bundles=[Bundle(record, itens)],
                rejected=itens.rejected,
            )
            del itens
            async with work.tools.commits:
                part, counts = await _commit(work, part, progress, is_whole=False)
            lost += [each for each in part.rejected if each.resource == batch.resource.name]
            del part
        work.counts = work.counts.plus(counts)
        work.tools.metrics.page_committed(counts)
    return lost


async def _commit(
    work: SliceIngestion, batch: Batch, progress: Progress, *, is_whole: bool = True
) -> tuple[Batch, PageCounts]:
    """Fence, data, page and counts in one transaction, run again where two workers got in each other's way."""
    write = partial(_write, work=work, batch=batch, progress=progress, is_whole=is_whole)
    with network_errors():  # the merge speaks to the driver itself
        batch, counts, work.finished = await in_transaction(
            work.tools.engine, write, on_retry=work.tools.metrics.transaction_retries.inc
        )
    return batch, counts


async def _write(
    db: AsyncConnection, work: SliceIngestion, batch: Batch, progress: Progress, *, is_whole: bool
) -> tuple[Batch, PageCounts, bool]:
    """The page, or a part of it, and the end of the slice where it ends complete with this page."""
    moment = await slices.hold(db, work.claim)
    if moment is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    has_unfit = batch.unfit or any(page != batch.number for page in progress.unfit)
    completes = not has_unfit and (
        batch.ends is Ended.OLD_ENOUGH
        or (
            batch.ends is Ended.AT_THE_END
            and _shortfall(work, progress.evidence_with(batch), progress.rows_with(batch), moment) is None
        )
    )
    shows_new = progress.evidence.is_new(batch.keys)
    batch, counts = await store_page(
        db,
        work.claim,
        batch,
        progress,
        keeps_page=is_whole and not completes,
        scopes=work.tools.scopes,
        searches_itens=work.tools.searches_itens,
    )
    if work.tools.keeps_coletas and batch.resource.is_collected:
        await add_to_coletas(db, batch.resource, batch.bundles, work.claim.execution_id)
    completes = completes and not batch.unfit  # of what the database itself refuses, only now is known
    work.read_at = await slices.advance(
        db,
        work.claim,
        counts,
        pages_done=len(progress.pages | {batch.number}) if is_whole else len(progress.pages),
        pages_total=max(batch.total_paginas, progress.total_paginas, 1),
        total_registros=batch.total_registros,
        lease_seconds=work.tools.lease_seconds,
        finishes=completes,
        shows_new=shows_new,
    )
    if work.read_at is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    if completes:
        await mark_absent(db, work.claim, batch.resource, progress.evidence_with(batch).rows)
    return batch, counts, completes
