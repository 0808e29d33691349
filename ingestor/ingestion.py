"""One slice: its pages as they are read, each committed with its items, its counts and its progress.

In which order pages are read, and why that misses nothing, is told in `sources.pncp.listing`. Here they are committed
in that very order, one transaction each, and the last one ends the slice.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import executions
from common.clock import to_wall_clock
from common.database import in_transaction, network_errors
from common.executions import Claim, PageCounts
from common.resources import RESOURCES_BY_NAME
from common.resources.description import Resource
from ingestor.errors import LeaseLost, ListingIncomplete, ListingShrank, PageUnfit, PncpUnavailable
from ingestor.metrics import Metrics
from ingestor.room import Room, alone
from ingestor.sources.pncp.children import fetch_or_owe
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.pncp.completeness import READINGS_AT_ONCE, Evidence, is_worth_another_reading, shortfall
from ingestor.sources.pncp.listing import Ended, PageInHand, Reading
from ingestor.sources.values import Bundle, PageResult, Record, Rejected
from ingestor.store.batch import holds_records_of, store_page
from ingestor.store.progress import Progress, keep_earlier, load_progress

log = structlog.get_logger(__name__)

EMPTY_SIGHTS = 3
"""Claims that must find a listing empty before that is believed, where the mirror holds records of it."""
COMMITS_AT_ONCE = 3
"""Page transactions of one process: more of them only wait for each other, and each holds a page in memory."""


@dataclass
class SliceIngestion:
    """All that the reading of one slice works with.

    `stopping` asks it to end after the present page; `room` (for what is in memory) and `commits` are shared by the
    slices of a process; `committed` counts the pages that this claim has committed, the last of them at `read_at` by
    the database's clock, and `counts` what they have come to; `has_progressed`: one of them showed what the slice had
    not seen before; `finished` says that the last one has ended the slice.
    """

    engine: AsyncEngine
    client: PncpClient
    claim: Claim
    stopping: asyncio.Event
    lease_seconds: float
    room: Room = field(default_factory=Room)
    commits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(COMMITS_AT_ONCE))
    committed: int = 0
    has_progressed: bool = False
    counts: PageCounts = field(default_factory=PageCounts)
    reading: int = 1
    read_at: datetime | None = None
    finished: bool = False
    metrics: Metrics = field(default_factory=Metrics)

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
            cause = shortfall(progress.evidence, moves=_is_open(work.claim, work.read_at))
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
        if not await executions.reread(db, work.claim):
            raise LeaseLost(f"slice {work.claim.slice_id}")
        await keep_earlier(db, work.claim, progress)

    with network_errors():
        await in_transaction(work.engine, end)


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
    async with work.engine.connect() as db:
        return await load_progress(db, work.resource, work.claim)


async def _read_listing(work: SliceIngestion, progress: Progress) -> Ended:
    """Read what is left of the listing and commit it page by page."""
    if progress.pages and work.stopping.is_set():
        return Ended.ASKED_TO_STOP
    async with Reading(
        work.engine, work.client, work.claim, progress, work.stopping, room=work.room, resource=work.resource
    ) as pages:
        async for page in pages:
            await _ingest_page(work, progress, page)
            if page.ends is not None:
                return page.ends
    return Ended.ASKED_TO_STOP if work.stopping.is_set() else Ended.AT_THE_END


def _is_open(claim: Claim, read_at: datetime | None) -> bool:
    """Whether the listing reached the day on which its last page was committed, by the database's clock."""
    return read_at is not None and claim.last_day >= to_wall_clock(read_at).date()


# --- one page ---------------------------------------------------------------------------------------------------


async def _ingest_page(work: SliceIngestion, progress: Progress, page: PageInHand) -> None:
    """Wait for a page's items and commit it with them."""
    if page.number == 1 and not (page.records or page.total_registros or page.is_second_look):
        await _doubt_emptiness(work, progress)
    fetched = await page.itens
    crowded = [record for record, of_it in zip(page.wanted, fetched, strict=True) if of_it is None]
    refused = await _ingest_alone(work, progress, page, crowded) if crowded else []
    bundles = [Bundle(record, of_it) for record, of_it in zip(page.wanted, fetched, strict=True) if of_it is not None]
    tried = {record.key for record in page.wanted}
    async with work.commits:
        result = PageResult(
            work.resource,
            page.number,
            page.total_registros,
            page.total_paginas,
            keys=page.keys,
            processed=page.processed - (progress.refused - tried) - {record.natural_key for record in refused},
            bundles=bundles,
            rejected=[*page.rejected, *refused, *(each for bundle in bundles for each in bundle.itens.rejected)],
            records=page.records,
            is_second_look=page.is_second_look,
        )
        shows_new = progress.evidence.is_new(result.keys)
        result, counts = await _commit(work, result, progress, page.ends)
    work.has_progressed |= shows_new
    progress.add(result)
    progress.refused |= page.processed - result.processed
    work.committed += 1
    work.counts = work.counts.plus(counts)
    work.metrics.page_committed(counts)
    log.debug("page committed", page=page.number, pages=progress.total_paginas, records=page.records, **vars(counts))


async def _doubt_emptiness(work: SliceIngestion, progress: Progress) -> None:
    """Believe an empty listing only where it is no surprise, or where it has been empty for several claims.

    Raises:
        PncpUnavailable: it is a surprise, and is looked at again later.

    """
    async with work.engine.begin() as db:
        if not progress.evidence.known and not await holds_records_of(db, work.resource, work.claim):
            return
        sights = await executions.note_empty(db, work.claim)
    if sights is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    if sights < EMPTY_SIGHTS:
        looks = f"{sights} of {EMPTY_SIGHTS} looks"
        raise PncpUnavailable(f"the listing is empty, and its records are known ({looks})", "incomplete")
    log.warning("the listing is empty, its records have left it", looks=sights)


async def _ingest_alone(
    work: SliceIngestion, progress: Progress, page: PageInHand, crowded: list[Record]
) -> list[Rejected]:
    """Fetch the items that there was no room for, one list at a time, and commit each before its page.

    The record is counted as processed with its page. Answers the records that the database itself refuses.
    """
    lost: list[Rejected] = []
    for record in crowded:
        key = record.key
        log.info("items are read alone", numero_controle_pncp=key)
        async with alone(work.room):
            itens = await fetch_or_owe(work.client, key)
            part = PageResult(
                work.resource,
                page.number,
                page.total_registros,
                page.total_paginas,
                keys=frozenset(),
                processed=frozenset(),
                bundles=[Bundle(record, itens)],
                rejected=itens.rejected,
            )
            del itens
            async with work.commits:
                part, counts = await _commit(work, part, progress, None, is_whole=False)
            lost += [each for each in part.rejected if each.resource == work.resource.name]
            del part
        work.counts = work.counts.plus(counts)
        work.metrics.page_committed(counts)
    return lost


async def _commit(
    work: SliceIngestion, result: PageResult, progress: Progress, ends: Ended | None, *, is_whole: bool = True
) -> tuple[PageResult, PageCounts]:
    """Fence, data, page and counts in one transaction, run again where two workers got in each other's way."""
    write = partial(_write, work=work, result=result, progress=progress, ends=ends, is_whole=is_whole)
    with network_errors():  # the merge speaks to the driver itself
        result, counts, work.finished = await in_transaction(
            work.engine, write, on_retry=work.metrics.transaction_retries.inc
        )
    return result, counts


async def _write(
    db: AsyncConnection,
    work: SliceIngestion,
    result: PageResult,
    progress: Progress,
    ends: Ended | None,
    *,
    is_whole: bool,
) -> tuple[PageResult, PageCounts, bool]:
    """The page, or a part of it, and the end of the slice where it ends complete with this page."""
    moment = await executions.hold(db, work.claim)
    if moment is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    has_unfit = result.unfit or any(page != result.number for page in progress.unfit)
    completes = not has_unfit and (
        ends is Ended.OLD_ENOUGH
        or (
            ends is Ended.AT_THE_END
            and shortfall(progress.evidence_with(result), moves=_is_open(work.claim, moment)) is None
        )
    )
    shows_new = progress.evidence.is_new(result.keys)
    result, counts = await store_page(db, work.claim, result, progress, keeps_page=is_whole and not completes)
    completes = completes and not result.unfit  # of what the database itself refuses, only now is known
    work.read_at = await executions.advance(
        db,
        work.claim,
        counts,
        pages_done=len(progress.pages | {result.number}) if is_whole else len(progress.pages),
        pages_total=max(result.total_paginas, progress.total_paginas, 1),
        total_registros=result.total_registros,
        lease_seconds=work.lease_seconds,
        finishes=completes,
        shows_new=shows_new,
    )
    if work.read_at is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    return result, counts, completes
