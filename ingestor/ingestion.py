"""One slice: its pages as they are read, each committed with its items, its counts and its progress.

In which order pages are read, and why that misses nothing, is told in `reading`; here they are committed in that very
order, one transaction each, and the last one ends the slice.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import executions
from common.clock import to_wall_clock
from common.database import in_transaction, network_errors
from common.executions import Claim, PageCounts
from ingestor.errors import LeaseLost, ListingIncomplete, PageBeyondEnd, PageUnfit
from ingestor.metrics import Metrics
from ingestor.persistence import Bundle, PageResult, Progress, load_progress, store_page
from ingestor.pncp.client import PncpClient
from ingestor.reading import FULL_PAGE, Ended, PageInHand, Reading, Room

log = structlog.get_logger(__name__)

READINGS_AT_ONCE = 4  # the first and three more; then the listing is given time
RECORDS_IN_HAND = 10 * FULL_PAGE
"""Records to be written that one process holds in memory: enough for 64 lists of items in flight."""
COMMITS_AT_ONCE = 3
"""Page transactions of one process: more of them only wait for each other, and each holds a page in memory."""


@dataclass
class SliceIngestion:
    """All that the reading of one slice works with.

    `stopping` asks it to end after the present page; `room` (for records in memory) and `commits` are shared by the
    slices of a process; `committed` counts the pages that this claim has committed, the last of them at `read_at` by
    the database's clock, and `counts` what they have come to; `finished` says that the last one has ended the slice.
    """

    engine: AsyncEngine
    client: PncpClient
    claim: Claim
    stopping: asyncio.Event
    lease_seconds: float
    room: Room = field(default_factory=lambda: Room(RECORDS_IN_HAND))
    commits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(COMMITS_AT_ONCE))
    committed: int = 0
    counts: PageCounts = field(default_factory=PageCounts)
    reading: int = 1
    read_at: datetime | None = None
    finished: bool = False
    metrics: Metrics = field(default_factory=Metrics)


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
            missing = missing_records(progress, work.claim.last_day, work.read_at)
            if not missing:
                return True
            shortfall = f"{missing} of {progress.total_registros} records are missing from the listing"
        except PageBeyondEnd as error:
            shortfall = str(error)
        log.warning("the listing is read again", reading=progress.reading, cause=shortfall)
        async with work.engine.begin() as db:
            if not await executions.reread(db, work.claim):
                raise LeaseLost(f"slice {work.claim.slice_id}")
        if progress.reading % READINGS_AT_ONCE == 0:
            raise ListingIncomplete(f"{shortfall}, after {progress.reading} readings")
        progress.begin_anew()


async def _give_up_unfit(work: SliceIngestion, progress: Progress) -> PageUnfit:
    """Have the listing begun anew by the next claim; what is wrong with it in a sentence."""
    page, lost = next(iter(progress.unfit.items()))
    more = f", nor of {len(progress.unfit) - 1} other pages" if len(progress.unfit) > 1 else ""
    async with work.engine.begin() as db:
        if not await executions.reread(db, work.claim):
            raise LeaseLost(f"slice {work.claim.slice_id}")
    return PageUnfit(f"{lost} records of page {page} could not be stored{more}")


async def _load_progress(work: SliceIngestion) -> Progress:
    if work.claim.attempt == 1:
        return Progress(work.claim.reading)  # nobody was here before
    async with work.engine.connect() as db:
        return await load_progress(db, work.claim)


async def _read_listing(work: SliceIngestion, progress: Progress) -> Ended:
    """Read what is left of the listing and commit it page by page."""
    if progress.pages and work.stopping.is_set():
        return Ended.ASKED_TO_STOP
    async with Reading(work.engine, work.client, work.claim, progress, work.stopping, room=work.room) as pages:
        async for page in pages:
            await _ingest_page(work, progress, page)
            if page.ends is not None:
                return page.ends
    return Ended.ASKED_TO_STOP if work.stopping.is_set() else Ended.AT_THE_END


def missing_records(progress: Progress, last_day: date, read_at: datetime | None) -> int:
    """How many records a closed day's listing promised and did not show; today's moves all day and proves nothing.

    `read_at`: when the last page was committed, by the database's clock.
    """
    seen, promised = len(progress.keys), progress.total_registros
    if read_at is not None and last_day >= to_wall_clock(read_at).date():
        return 0
    if seen > promised:
        log.warning("more records than the listing promised", seen=seen, promised=promised)
    return max(promised - seen, 0)


# --- one page ---------------------------------------------------------------------------------------------------


async def _ingest_page(work: SliceIngestion, progress: Progress, page: PageInHand) -> None:
    """Wait for a page's items and commit it with them."""
    itens = await page.itens
    tried = {record.typed.numero_controle_pncp for record in page.wanted}
    async with work.commits:
        result = PageResult(
            page.number,
            page.total_registros,
            page.total_paginas,
            keys=page.keys,
            processed=page.processed - (progress.refused - tried),
            bundles=[Bundle(record, of_it) for record, of_it in zip(page.wanted, itens, strict=True)],
            rejected=[*page.rejected, *(refused for of_it in itens for refused in of_it.rejected)],
        )
        result, counts = await _commit(work, result, progress, page.ends)
    progress.add(result)
    progress.refused |= page.processed - result.processed
    work.committed += 1
    work.counts = work.counts.plus(counts)
    work.metrics.page_committed(counts)
    log.debug("page committed", page=page.number, pages=progress.total_paginas, records=page.records, **vars(counts))


async def _commit(
    work: SliceIngestion, result: PageResult, progress: Progress, ends: Ended | None
) -> tuple[PageResult, PageCounts]:
    """Fence, data, page and counts in one transaction, run again where two workers got in each other's way."""
    write = partial(_write, work=work, result=result, progress=progress, ends=ends)
    with network_errors():  # the merge speaks to the driver itself
        result, counts, work.finished = await in_transaction(
            work.engine, write, on_retry=work.metrics.transaction_retries.inc
        )
    return result, counts


async def _write(
    db: AsyncConnection, work: SliceIngestion, result: PageResult, progress: Progress, ends: Ended | None
) -> tuple[PageResult, PageCounts, bool]:
    """The page, and the end of the slice where it ends complete with this page."""
    moment = await executions.hold(db, work.claim)
    if moment is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    grown = progress.with_page(result)
    completes = not grown.unfit and (
        ends is Ended.OLD_ENOUGH
        or (ends is Ended.AT_THE_END and not missing_records(grown, work.claim.last_day, moment))
    )
    result, counts = await store_page(db, work.claim, result, progress, keeps_page=not completes)
    completes = completes and not result.unfit  # of what the database itself refuses, only now is known
    work.read_at = await executions.advance(
        db,
        work.claim,
        counts,
        pages_done=len(progress.pages | {result.number}),
        pages_total=max(result.total_paginas, progress.total_paginas, 1),
        total_registros=result.total_registros,
        lease_seconds=work.lease_seconds,
        finishes=completes,
    )
    if work.read_at is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    return result, counts, completes
