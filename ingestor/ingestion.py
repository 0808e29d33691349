"""One slice: pages read, records judged, items fetched, each page committed with its progress.

Page 1 tells how many pages there are; then they are read from the last to the first, and page 1 again. Records leave a
listing while it is read (they change, they are deleted) and move everything behind them forward: reading backwards
meets them again, reading forwards would miss them (EXPERIMENTS F18).
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, auto
from itertools import chain, pairwise

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import executions
from common.clock import to_wall_clock
from common.database import is_transient
from common.executions import Claim, PageCounts
from ingestor.errors import LeaseLost, ListingIncomplete, PageBeyondEnd
from ingestor.metrics import Metrics
from ingestor.persistence import (
    Bundle,
    PageResult,
    Progress,
    load_progress,
    load_versions,
    store_page,
)
from ingestor.pncp.client import PncpClient
from ingestor.pncp.records import (
    Contratacao,
    Item,
    Page,
    Record,
    Rejected,
    Stamps,
    choose_newest,
    compare_versions,
    parse_contratacao,
    parse_item,
    stamp_for,
    stamps,
)

log = structlog.get_logger(__name__)

TRANSACTION_TRIES = 5
READINGS_AT_ONCE = 4  # the first and three more; then the listing is given time


@dataclass
class OrderProof:
    """Whether the pages read so far, page 1 first and then from the last backwards, are in ascending order.

    The order of `/atualizacao` is undocumented, so that nothing may be concluded from it before it is seen.
    """

    holds: bool = True
    highest_of_first: datetime | None = None
    lowest_so_far: datetime | None = None

    def add(self, number: int, page_stamps: list[datetime]) -> None:
        """Take a page's stamps into account, in the page's order."""
        if not page_stamps or any(a > b for a, b in pairwise(page_stamps)):
            self.holds = False
            return
        if number == 1:
            self.highest_of_first = page_stamps[-1]
            return
        if self.lowest_so_far is not None and page_stamps[-1] > self.lowest_so_far:
            self.holds = False
        self.lowest_so_far = page_stamps[0]
        if self.highest_of_first is None or self.highest_of_first > self.lowest_so_far:
            self.holds = False

    def allows_stop(self, page_stamps: list[datetime], window_start: datetime) -> bool:
        """Whether all pages before this one must be older than the window, as it is itself."""
        return self.holds and page_stamps[-1] < window_start


@dataclass(frozen=True)
class ParsedPage:
    """A page's records, judged: which were seen, which lie in the window, which cannot be stored."""

    keys: frozenset[str]
    in_window: dict[str, Record[Contratacao]]
    rejected: list[Rejected]
    stamps: list[datetime]


class Ended(Enum):
    """How the reading of a listing ended."""

    AT_THE_END = auto()
    OLD_ENOUGH = auto()  # all that is left lies before an update's window
    ASKED_TO_STOP = auto()


@dataclass
class SliceIngestion:
    """All that the reading of one slice works with.

    `stopping` asks it to end after the present page; `committed` counts the pages that this claim has committed,
    the last of them at `read_at` by the database's clock, and `counts` what they have come to.
    """

    engine: AsyncEngine
    client: PncpClient
    claim: Claim
    stopping: asyncio.Event
    lease_seconds: float
    committed: int = 0
    counts: PageCounts = field(default_factory=PageCounts)
    reading: int = 1
    read_at: datetime | None = None
    metrics: Metrics = field(default_factory=Metrics)


async def ingest_slice(work: SliceIngestion) -> bool:
    """Read a slice until it is complete, going on from the pages that earlier claims have committed.

    Answers whether it is complete; if not, the worker was asked to stop.

    Raises:
        PncpError: the portal failed or refused, or its listing does not add up however often it is read.
        LeaseLost: the slice is another worker's now, or has been ended.

    """
    progress = await _load_progress(work)
    while True:
        work.reading = progress.reading
        try:
            ended = await _read_listing(work, progress)
            if ended is Ended.ASKED_TO_STOP:
                return False
            missing = missing_records(progress, work.claim.last_day, work.read_at)
            if ended is Ended.OLD_ENOUGH or not missing:
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


async def _load_progress(work: SliceIngestion) -> Progress:
    if work.claim.attempt == 1:
        return Progress(work.claim.reading)  # nobody was here before
    async with work.engine.connect() as db:
        return await load_progress(db, work.claim)


async def _read_listing(work: SliceIngestion, progress: Progress) -> Ended:
    """Read what is left of the listing."""
    resumed = bool(progress.pages)
    proof = OrderProof(holds=work.claim.mode == "update" and not resumed)
    if not resumed:
        proof.add(1, await _ingest_page(work, progress, 1))
    for number in pages_to_read(progress.total_paginas, progress.pages):
        if work.stopping.is_set():
            return Ended.ASKED_TO_STOP
        page_stamps = await _ingest_page(work, progress, number)
        proof.add(number, page_stamps)
        if number > 1 and proof.allows_stop(page_stamps, work.claim.window_start):
            log.debug("the listing is ascending and the rest of it older than the window", page=number)
            return Ended.OLD_ENOUGH
    return Ended.AT_THE_END


def pages_to_read(total_paginas: int, done: set[int]) -> Iterator[int]:
    """What is left of a listing whose page 1 has been read: the last page first, and page 1 once more.

    A single page needs no second look. Pages are committed in this very order, so that nothing above the lowest
    one done is missing. One after the other, because a portal may promise any number of them.
    """
    if total_paginas <= 1:
        return iter(())
    lowest_done = min(done - {1}, default=total_paginas + 1)
    return chain(range(lowest_done - 1, 1, -1), [1])


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


async def _ingest_page(work: SliceIngestion, progress: Progress, number: int) -> list[datetime]:
    """Fetch, judge and commit one page; answers its records' stamps, in the page's order."""
    claim = work.claim
    page = await work.client.fetch_page(claim.criterio, claim.modalidade, claim.first_day, claim.last_day, number)
    parsed = parse_records(page, claim)
    stored: dict[str, tuple[Stamps, bool]] = {}
    if parsed.in_window:
        async with work.engine.connect() as db:
            stored = await load_versions(db, parsed.in_window)
    wanted = [record for key, record in parsed.in_window.items() if needs_writing(record, stored.get(key))]
    bundles, rejected_itens = await _fetch_bundles(work.client, wanted)
    result = PageResult(
        number,
        page.total_registros,
        page.total_paginas,
        keys=parsed.keys,
        processed=frozenset(parsed.in_window),
        bundles=bundles,
        rejected=[*parsed.rejected, *rejected_itens],
    )
    result, counts = await _commit(work, result, progress)
    progress.add(result)
    work.committed += 1
    work.counts = work.counts.plus(counts)
    work.metrics.page_committed(counts)
    log.debug("page committed", page=number, pages=progress.total_paginas, records=len(page.records), **vars(counts))
    return parsed.stamps


def parse_records(page: Page, claim: Claim) -> ParsedPage:
    """Judge the records of a page against the slice's window, both ends included."""
    good: list[Record[Contratacao]] = []
    rejected: list[Rejected] = []
    for raw in page.records:
        record = parse_contratacao(raw)
        if isinstance(record, Rejected):
            rejected.append(record)
        else:
            good.append(record)
    page_stamps = [stamp_for(record.typed, claim.criterio) for record in good]
    in_window = [
        record
        for record, stamp in zip(good, page_stamps, strict=True)
        if claim.window_start <= stamp <= claim.window_end
    ]
    keys = {record.typed.numero_controle_pncp for record in good}
    keys |= {record.natural_key or record.hash for record in rejected}
    return ParsedPage(frozenset(keys), choose_newest(in_window), rejected, page_stamps)


def needs_writing(record: Record[Contratacao], stored: tuple[Stamps, bool] | None) -> bool:
    """Whether a record is new, newer than what is stored, or stored without its items."""
    if stored is None:
        return True
    version, has_itens = stored
    judged = compare_versions(stamps(record.typed), version)
    return judged == "newer" or (judged == "unchanged" and not has_itens)


async def _fetch_bundles(client: PncpClient, records: list[Record[Contratacao]]) -> tuple[list[Bundle], list[Rejected]]:
    """The items of all these records at once; how many requests are under way is the client's business."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.fetch_itens(record.typed.numero_controle_pncp)) for record in records]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the first to fail has cancelled the others
    rejected: list[Rejected] = []
    bundles: list[Bundle] = []
    for record, task in zip(records, tasks, strict=True):
        bundle, refused = make_bundle(record, task.result())
        bundles.append(bundle)
        rejected.extend(refused)
    return bundles, rejected


def make_bundle(record: Record[Contratacao], raw_itens: list[bytes]) -> tuple[Bundle, list[Rejected]]:
    """A record with its items; of two items with one number the later one of the answer stands."""
    itens: dict[int, Record[Item]] = {}
    rejected: list[Rejected] = []
    for raw in raw_itens:
        item = parse_item(raw)
        if isinstance(item, Rejected):
            key = record.typed.numero_controle_pncp
            rejected.append(Rejected(key, item.reason, item.payload, resource="itens_contratacao"))
        else:
            itens[item.typed.numero_item] = item
    return Bundle(record, list(itens.values()), itens_complete=not rejected), rejected


async def _commit(work: SliceIngestion, result: PageResult, progress: Progress) -> tuple[PageResult, PageCounts]:
    """Fence, data, page and counts in one transaction, run again where two workers got in each other's way."""
    for attempt in range(1, TRANSACTION_TRIES + 1):
        try:
            async with work.engine.begin() as db:
                return await _write(db, work, result, progress)
        except (DBAPIError, asyncpg.PostgresError) as error:  # the merge speaks to the driver itself
            if not is_transient(error) or attempt == TRANSACTION_TRIES:
                raise
            work.metrics.transaction_retries.inc()
            await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311  # jitter
    raise AssertionError("unreachable")


async def _write(
    db: AsyncConnection, work: SliceIngestion, result: PageResult, progress: Progress
) -> tuple[PageResult, PageCounts]:
    if not await executions.hold(db, work.claim):
        raise LeaseLost(f"slice {work.claim.slice_id}")
    result, counts = await store_page(db, work.claim, result, progress)
    work.read_at = await executions.advance(
        db,
        work.claim,
        counts,
        pages_done=len(progress.pages | {result.number}),
        pages_total=max(result.total_paginas, progress.total_paginas, 1),
        total_registros=result.total_registros,
        lease_seconds=work.lease_seconds,
    )
    if work.read_at is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")
    return result, counts
