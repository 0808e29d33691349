"""A listing as it is read: which pages, in which order, what of their records counts, and a little ahead of the commit.

Page 1 tells how many pages there are; then they are read from the last to the first, and page 1 again. Records leave a
listing while it is read (they change, they are deleted) and move everything behind them forward: reading backwards
meets them again, reading forwards would miss them (docs/adr/0004). That holds because a page is asked for only when
the one before it has come; its lists, and its commit, may follow while the next pages are read.

What the pages prove about the listing is in `completeness` (docs/adr/0022).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Any, Self

import structlog

from common.lifecycle.slices import Claim
from common.resources.description import Resource
from ingestor.errors import ListingShrank, NoRoomError, PageAbsent, PncpUnavailable
from ingestor.room import LONE_RECORD_BYTES, RECORD_BYTES, Charge, Room, Share, counting
from ingestor.sources.pncp.children import fetch_lists
from ingestor.sources.pncp.client import PncpClient, Span
from ingestor.sources.pncp.completeness import Evidence, last_page_with_rows, may_stop_early
from ingestor.sources.pncp.envelope import Page
from ingestor.sources.pncp.order import OrderProof, pages_to_read
from ingestor.sources.pncp.records import parse_nested
from ingestor.sources.pncp.sight import JudgedPage, choose_wanted, judge_records
from ingestor.sources.values import Batch, Bundle, Ended, Itens, Record, Rejected, Stamps, compare_versions
from ingestor.store.progress import Progress

log = structlog.get_logger(__name__)

PAGES_AHEAD = 3
"""Pages that wait, read, for the one that is being committed; one more is held while it waits for its place.

As many as keep the requests for lists busy while a long listing, alone at the end of a backfill, is asked for page by
page; memory is bounded by the room that slices share.
"""


HELD_TWICE = 2
"""Bytes in memory for each byte of a record: as it came, and as it was read."""

IDLE_PAGES = 20
"""Pages in a row without a row that is new to the reading, after which the portal is taken to fail."""


@dataclass(frozen=True)
class PageInHand:
    """A page that has been read and judged: commit its batch inside `async with`, which waits for the lists.

    The end of the block gives back its room and empties it: variables still name it while the next page is read.
    `wanted` are the records that have to be written, `itens` their lists in the same order, on their way, `None` where
    there was no room for them; `share` is what the page holds of the room. `shows_new`: it has a row that no page of
    this reading had shown.
    """

    batch: Batch
    wanted: list[Record]
    itens: asyncio.Task[list[Itens | None]]
    share: Share
    shows_new: bool
    let_go: Callable[["PageInHand"], None]

    async def __aenter__(self) -> Batch:
        batch = self.batch
        for record, itens in zip(self.wanted, await self.itens, strict=True):
            if itens is None:
                batch.crowded.append(record)
            else:
                batch.bundles.append(Bundle(record, itens))
                batch.rejected.extend(itens.rejected)
        if batch.resource.nested:
            self._take_nested()
        return batch

    def _take_nested(self) -> None:
        """Read the records that stand in those to be written; of each the newest version is enough."""
        newest: dict[str, Record] = {}
        for record in self.wanted:
            found = parse_nested(self.batch.resource, record)
            if isinstance(found, Rejected):
                self.batch.rejected.append(found)
            elif found is not None and (
                found.key not in newest or compare_versions(found.version, newest[found.key].version) == "newer"
            ):
                newest[found.key] = found
        self.batch.nested.extend(Bundle(record) for record in newest.values())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go(self)
        self.itens.result().clear()
        for held in (self.wanted, self.batch.bundles, self.batch.crowded, self.batch.nested, self.batch.rejected):
            held.clear()


Versions = Callable[[Collection[str]], Awaitable[Mapping[str, tuple[Stamps, bool]]]]
"""Loads the stored version of each known key, and whether its list is stored too."""


class Reading:
    """Reads a listing ahead of its commit: iterate over it inside `async with`, whose end drops what was not taken.

    Of each page the batch is committed inside `async with` before the next page is asked for.

    What fails is raised in its turn, after the pages that came before it. `progress` tells where to go on; once
    `stopping` is set, nothing more is asked for. `room` is shared by the slices of a process. A page takes its part
    before it is asked for and gives back what it does not need as soon as that is known: most pages of a re-run need
    nothing. What needs more takes it where it is free. Where it is not, a page is read again when it is the only one
    in memory, and a list is left to the commit.
    """

    def __init__(
        self,
        client: PncpClient,
        claim: Claim,
        progress: Progress,
        stopping: asyncio.Event,
        *,
        room: Room,
        resource: Resource,
        versions: Versions,
    ) -> None:
        self._client = client
        self._resource = resource
        self._versions = versions
        self._claim = claim
        self._stopping = stopping
        self._room = room
        self._shares: set[Share] = set()
        self._released = asyncio.Event()
        self._underway: dict[str, Stamps] = {}
        self._total_paginas = progress.total_paginas
        self._done = set(progress.pages)
        self._reading = progress.reading
        self._progress = progress
        self._in_hand: deque[tuple[frozenset[str], int]] = deque()  # rows and totals of pages read, not yet let go
        self._page_size = claim.page_size or client.page_size(resource)
        self._record_bytes = RECORD_BYTES if resource.child else LONE_RECORD_BYTES
        self._full_page = min(self._page_size, progress.first_records)
        self._has_proof = not (claim.reaches_today or resource.listings[claim.criterio].repeats_rows)
        self._idle = 0
        self._proof = OrderProof(holds=claim.mode == "update" and not progress.pages and not resource.has_day_stamps)
        self._ahead: asyncio.Queue[PageInHand | Exception | None] = asyncio.Queue(PAGES_AHEAD)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._tasks.add(asyncio.create_task(self._read_ahead()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for share in self._shares:
            share.release()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PageInHand:
        """The next page to be committed; its lists may still be on their way."""
        page = await self._ahead.get()
        if page is None:
            raise StopAsyncIteration
        if isinstance(page, Exception):
            raise page
        self._tasks.discard(page.itens)  # the caller waits for them
        return page

    def _let_go(self, page: PageInHand) -> None:
        """A page has been committed, and with it what was under way."""
        self._in_hand.popleft()  # pages are committed in the order of reading
        for record in page.wanted:
            self._underway.pop(record.key, None)
        self._drop(page.share)

    async def _read_ahead(self) -> None:
        try:
            async for page in self._pages():
                await self._ahead.put(page)
        except Exception as error:  # noqa: BLE001  # it is raised where the pages are taken
            await self._ahead.put(error)
        else:
            await self._ahead.put(None)

    async def _pages(self) -> AsyncIterator[PageInHand]:
        """Every page that is left, each asked for when the one before it has come."""
        total_paginas, done = self._total_paginas, self._done
        if not done:
            first = await self._read(1)
            yield first
            if first.batch.ends is not None:
                return
            total_paginas, done = first.batch.total_paginas, {1}
        left = pages_to_read(total_paginas, done)
        while (number := next(left, None)) is not None:
            if self._stopping.is_set():
                return
            try:
                page = await self._read(number, is_second_look=number == 1)
            except PageAbsent as absent:
                left = chain(range(await self._last_page_before(number, absent), 1, -1), [1])
                continue
            yield page
            if page.batch.ends is not None:
                return
            self._idle = 0 if page.shows_new else self._idle + 1
            if self._idle >= IDLE_PAGES:
                idle = f"{self._idle} pages in a row, down to {number}, show no record that is new"
                raise PncpUnavailable(idle, "incomplete")

    async def _last_page_before(self, number: int, absent: PageAbsent) -> int:
        """The page that the reading goes on from though this one does not come, however often it is asked for.

        Raises:
            ListingShrank: page 1 promises fewer pages now.
            PncpUnavailable: it still promises this page, which is what the slice goes on from later.

        """
        share = self._new_share()
        try:
            first = await self._fetch_within(1, share)
        finally:
            self._drop(share)
        full_page = min(first.rows, self._page_size)
        promised = max(first.total_registros, self._evidence().highest)
        last = last_page_with_rows(number, promised, first.total_paginas, full_page)
        if last is None:
            raise PncpUnavailable(f"{absent}; page 1 still promises {first.total_paginas} pages", "incomplete")
        if last == 0:
            raise ListingShrank(f"{absent}; page 1 now promises {first.total_paginas} pages")
        log.warning("a promised page is left out, all records fit on those before it", page=number, last=last)
        return last

    async def _fetch(self, number: int) -> Page:
        page = await self._fetch_once(number)
        return await self._fetch_once(number) if self._is_doubtful(page) else page

    def _is_doubtful(self, page: Page) -> bool:
        """Whether an answer is asked for once more: it is empty, or a last page with fewer rows than it promises.

        Where totals prove nothing of the listing as a whole, those of the page itself are all that is known of its last
        page. A page before it may have held more than a full one, so that the second answer is believed.
        """
        if not page.records:
            return True
        promised = page.total_registros - (page.number - 1) * self._full_page
        return not self._has_proof and page.number == page.total_paginas > 1 and page.rows < promised

    async def _fetch_once(self, number: int) -> Page:
        claim = self._claim
        return await self._client.fetch_page(
            Span(self._resource, claim.criterio, claim.part, claim.first_day, claim.last_day),
            number,
            page_size=self._page_size,
            full_page=self._page_size if number == 1 else self._full_page,
            failures=claim.failures,
        )

    async def _read(self, number: int, *, is_second_look: bool = False) -> PageInHand:
        """Fetch and judge a page, and begin to fetch the lists that are wanted; once there is room for it."""
        share = self._new_share()
        try:
            page = await self._fetch_within(number, share)
        except PageAbsent:  # the reading may go on without it
            self._drop(share)
            raise
        judged = judge_records(self._resource, page, self._claim)
        shows_new = self._shows_new(judged.keys)
        self._in_hand.append((judged.keys, page.total_registros))
        self._proof.add(number, judged.stamps)
        if number == 1 and not is_second_look:
            self._full_page = min(self._page_size, page.rows)
        # What earlier pages are about to write will be there when this one is committed: without that, page 1 of a
        # short listing, which is read twice, would have its lists fetched twice. It is noted before the database is
        # asked, else a page that is committed just then would be in neither.
        underway = {key: (version, True) for key, version in self._underway.items() if key in judged.candidates}
        stored = await self._versions(judged.candidates.keys()) if judged.candidates else {}
        wanted, rejected, lost = choose_wanted(self._resource, judged.candidates, {**stored, **underway})
        self._underway.update((record.key, record.version) for record in wanted)
        share.settle(
            least=self._record_bytes * len(wanted),
            used=sum(HELD_TWICE * len(record.payload) for record in wanted)
            + sum(len(record.payload) for record in chain(judged.rejected, rejected)),
        )
        itens = asyncio.create_task(fetch_lists(self._client, self._resource, wanted, share))
        self._tasks.add(itens)
        batch = Batch(
            self._resource,
            number,
            page.total_registros,
            page.total_paginas,
            keys=judged.keys,
            processed=frozenset(judged.in_window.keys() - lost),
            rejected=judged.rejected + rejected,
            records=page.rows,
            listed=len(page.records),
            is_second_look=is_second_look,
            ends=self._ends_with(page, judged, is_second_look=is_second_look),
        )
        return PageInHand(batch, wanted, itens, share, shows_new, self._let_go)

    def _shows_new(self, rows: frozenset[str]) -> bool:
        """Whether a page shows a row that no page of this reading has shown, committed or in hand."""
        evidence, in_hand = self._progress.evidence, [keys for keys, _ in self._in_hand]
        return any(not (evidence.is_shown(row) or any(row in keys for keys in in_hand)) for row in rows)

    def _evidence(self) -> Evidence:
        """That of the pages committed and in hand; one that has just been committed is in both, and counts once."""
        evidence = self._progress.evidence.copy()
        for keys, total_registros in self._in_hand:
            evidence.add(keys, total_registros)
        return evidence

    def _ends_with(self, page: Page, judged: JudgedPage, *, is_second_look: bool) -> Ended | None:
        """How the reading ends with this page."""
        if is_second_look or (page.number == 1 and page.total_paginas <= 1):
            return Ended.AT_THE_END
        if self._reading > 1 and may_stop_early(self._evidence(), self._reading):
            return Ended.AT_THE_END
        if page.number > 1 and self._proof.allows_stop(judged.stamps, self._claim.window_start):
            log.info("the listing is ascending and the rest of it older than the window", page=page.number)
            return Ended.OLD_ENOUGH
        return None

    def _new_share(self) -> Share:
        share = Share(self._room)
        self._shares.add(share)
        return share

    def _drop(self, share: Share) -> None:
        share.release()
        self._shares.discard(share)
        self._released.set()

    async def _fetch_within(self, number: int, share: Share) -> Page:
        """Fetch a page once there is room for it; one that needs all the room waits until it is alone there."""
        try:
            await share.reserve(self._page_size * self._record_bytes)
            with counting(Charge(share, HELD_TWICE)):
                return await self._fetch(number)
        except NoRoomError:
            log.info("the page is read again when there is room for it", page=number)
        share.release()
        while len(self._shares) > 1:  # what this slice holds is given back when it is committed
            self._released.clear()
            await self._released.wait()
        await share.reserve(self._room.size)
        with counting(Charge(share, HELD_TWICE)):
            return await self._fetch(number)
