"""The portal's client: pages of listings and the lists of records, its limits kept and its failures told apart.

What the portal dictates was reconstructed from recordings; each rule stands at the line that obeys it.
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self, TypeVar

import aiohttp
import structlog
from yarl import URL

from common.resources import LATER_SERVICES, LISTINGS_OF
from common.resources.description import Child, Criterio, Listing, Resource
from ingestor.errors import (
    PageAbsent,
    PncpBlocked,
    PncpDisputed,
    PncpError,
    PncpPaused,
    PncpRefused,
    PncpRejected,
    PncpThrottled,
    PncpTooLarge,
    PncpUnavailable,
    PncpUnreachable,
)
from ingestor.room import current_charge
from ingestor.sources.pncp.bodies import read_body
from ingestor.sources.pncp.envelope import AnotherPageError, NotAPageError, Page, parse_page, parse_quantidade
from ingestor.sources.pncp.records import MOST_REFUSED_ENTRIES, list_path, parse_list, part_of
from ingestor.sources.values import Itens

log = structlog.get_logger(__name__)

LONGEST_HEADER = 64 * 1024  # gateways send cookies and policies of more than the 8 KiB that aiohttp takes
CONNECT_SECONDS = 5
LONGEST_TIMEOUT = 240  # on bad days pages come after 40 to 57 s; no answer has been seen after more than 2 minutes
MOST_LIST_PAGES = 1000
LATER_AT_ONCE = 2
"""Requests of a worker for lists that are only read later: the others of its share are left to everything else."""
LONGEST_LIST = 40 * 1024 * 1024  # bytes of one record's list in memory; the largest seen have some 4 MB
ABSENT_STATUS = {204, 400, 404, 422}
"""What the portal says to a page beyond the end, and to any other page on a bad day."""
RETRIED_STATUS = {404, 408, 425}  # what exists answers 404 now and then; the others ask for another try
# Of a listing 400 too: the portal fails so on its own data, and our requests are all of one known-good form.
RETRIED_ON_LISTINGS = RETRIED_STATUS | {400}

R = TypeVar("R")


class SharedState(Protocol):
    """The state of the portal that all ingestors of a database share: pauses, probes, and the requests in flight."""

    @property
    def workers(self) -> int:
        """How many workers share the pace, this one among them."""

    async def enter(self, service: str, *, wait: bool, seconds: float) -> None:
        """Wait until a request that may take so many seconds may be sent; `leave` must follow.

        Raises:
            PncpPaused: the service refuses or is down, and `wait` is false.
            StoppedWaiting: the worker stops.

        """

    def leave(self) -> None:
        """The request has ended, in whatever way."""

    async def rest(self, seconds: float) -> None:
        """Sleep, unless the worker stops.

        Raises:
            StoppedWaiting: the worker stops.

        """

    async def answered(self, service: str) -> None:
        """Report an answer that could be used."""

    async def failed(self, service: str, about: str, error: PncpError) -> bool:
        """Report a failure; answers whether the service is paused now. `about` names what was asked for."""

    def answers(self, service: str) -> int:
        """A count that has grown if the service has answered any request in between."""


class Meter(Protocol):
    """Is told of every request; `service` is `consulta` or `itens`."""

    def answered(self, service: str, status: int | str, seconds: float) -> None:
        """A request has ended, with a status or with an error of this kind."""

    def retried(self, service: str) -> None:
        """A request is about to be sent again."""

    def throttled(self) -> None:
        """The portal has answered 429."""


class _LaterPageAbsent(PncpUnavailable):
    """204 or 404 in place of a page of a list after the first."""


class _NoMeter:
    """A meter that counts nothing."""

    def answered(self, service: str, status: int | str, seconds: float) -> None:
        """Is not counted."""

    def retried(self, service: str) -> None:
        """Is not counted."""

    def throttled(self) -> None:
        """Is not counted."""


class Session(Protocol):
    """The part of aiohttp's session that the client uses."""

    def get(
        self, url: URL, *, allow_redirects: bool, timeout: aiohttp.ClientTimeout
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Ask, and have the answer until the end of the context."""


@dataclass(frozen=True)
class Span:
    """What a listing is asked for: days, both included, of one part of a resource.

    `criterio` is the listing's name in the description of the resource, `part` a value of its axis; where it has none,
    `part` says nothing.
    """

    resource: Resource
    criterio: Criterio
    part: int
    first_day: date
    last_day: date

    @property
    def listing(self) -> Listing:
        """That of the resource."""
        return self.resource.listings[self.criterio]


class Pace:
    """When requests may start: those of one service in the order in which they come, all at least `interval` apart."""

    def __init__(self, per_second: float, services: Iterable[str]) -> None:
        self.interval = 1 / per_second if per_second else 0.0
        self.turns = {service: asyncio.Lock() for service in services}
        self.next_turn = 0.0


class PncpClient:
    """Asks the portal. Use it as a context manager; it holds the connections open.

    `base_url` ends before `/consulta` and `/pncp`. `page_size`: the most records of a page of a listing, where that is
    less than the portal allows. `requests_per_second` to listings, and `lists_per_second` for lists that are only read
    later, are shared by all workers, and 0 means no limit. `session` replaces the network in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        source: SharedState,
        page_size: int | None = None,
        requests_per_second: float = 1,
        lists_per_second: float = 0,
        itens_concurrency: int = 4,
        timeout_seconds: float = 30,
        retry_wait_max: float = 30,
        user_agent: str = "pncp-sync",
        meter: Meter | None = None,
        session: Session | None = None,
    ) -> None:
        self._base_url = base_url
        self.source = source
        self._meter = meter or _NoMeter()
        self._most_per_page = page_size
        self._timeouts = timeouts_from(timeout_seconds)
        self._longest_drip = 3 * timeout_seconds  # a body may drip for ever without a read timing out
        of_listings = Pace(requests_per_second, LISTINGS_OF.values())
        of_later_lists = Pace(lists_per_second, LATER_SERVICES)
        self._paces = {service: pace for pace in (of_listings, of_later_lists) for service in pace.turns}
        self._itens_slots = asyncio.Semaphore(itens_concurrency)
        self._later_slots = asyncio.Semaphore(LATER_AT_ONCE)
        self._at_once: dict[str, asyncio.Semaphore] = {}
        self._retry_wait_max = retry_wait_max
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        self._session = session
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = await self._stack.enter_async_context(self._open_session())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _open_session(self) -> aiohttp.ClientSession:
        """Connections without a limit of their own: the slots and the pace are the limit. Cookies are not kept."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=self._timeouts[0],
            trust_env=False,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )

    def _slots_of(self, listing: Listing) -> AbstractAsyncContextManager[None]:
        """What is to be held while a listing is asked for that bears few requests at once."""
        if listing.at_once is None:
            return nullcontext()
        return self._at_once.setdefault(listing.path, asyncio.Semaphore(listing.at_once))

    def _slots_for(self, service: str) -> asyncio.Semaphore:
        return self._later_slots if service in LATER_SERVICES else self._itens_slots

    def page_size(self, resource: Resource) -> int:
        """Records per page of a listing of a resource, where no other number is asked for."""
        return page_size_of(resource, self._most_per_page)

    async def fetch_page(
        self,
        span: Span,
        number: int,
        *,
        page_size: int | None = None,
        full_page: int | None = None,
        failures: int = 0,
    ) -> Page:
        """Page `number` (from 1) of a listing; an empty listing is page 1 without records.

        `page_size`: records asked for, as the client was made where left out. `full_page`: records that a page before
        the last holds at the least, where page 1 of the listing has held fewer than `page_size`. `failures`: how often
        this listing has failed before, so that it is given more time. While the service is paused, this waits.

        Raises:
            PncpUnavailable: it may work later; a page that is too short is no answer either.
            PncpRejected: it will not.
            PageAbsent: a page after the first is not there.
            StoppedWaiting: the worker stops.

        """
        size = page_size or self.page_size(span.resource)
        listing = span.listing
        if listing.begins and span.last_day < listing.begins:
            return Page(1, 0, 0, [])  # the portal has nothing of such days, and refuses to be asked
        first_day = max(span.first_day, listing.begins) if listing.begins else span.first_day
        last_day = span.last_day + timedelta(days=1) if listing.excludes_last_day else span.last_day
        parameters: dict[str, str | int] = {
            listing.first_day: f"{first_day:%Y%m%d}",
            listing.last_day: f"{last_day:%Y%m%d}",
            "pagina": number,
            "tamanhoPagina": size,  # left out, it is 10
        }
        if span.resource.axis:
            parameters[span.resource.axis.parameter] = span.part
        least = size if full_page is None else full_page

        async def once(level: int) -> Page:
            return await self._page_once(span, parameters, number, least, level)

        about = f"{listing.path} {span.first_day} {span.part} {number}"
        if listing.is_slow:
            failures += 1
        return await self._with_retries(LISTINGS_OF[span.resource.name], about, once, failures=failures)

    async def fetch_list(
        self, resource: Resource, child: Child, key: str, *, tries: int | None = None, wait: bool = True
    ) -> Itens:
        """All entries of the list of a record; none for 204, 404 and `[]`, which only `fetch_count` can confirm.

        `tries`: how often each request is sent at most, where that is less than its error allows. `wait`: whether to
        wait for a service that refuses or is down.

        Raises:
            PncpPaused: the service refuses or is down, and `wait` is false.
            PncpUnavailable, PncpRejected, StoppedWaiting: as for a page.
            PncpUnavailable: the list does not end, or not before it is larger than a process may hold.
            NoRoomError: there is no room for it just now.

        """
        path = list_path(resource, child, key)
        charge = current_charge()
        itens, size = Itens(), 0
        for number in range(1, MOST_LIST_PAGES + 1):
            try:
                page = await self._fetch_list_page(child, path, number, key, tries, wait=wait)
            except _LaterPageAbsent:
                count = await self.fetch_count(resource, child, key, wait=wait)
                if count != len(itens.payloads) + len(itens.rejected):
                    raise
                return itens  # it was the end after all
            overhead = page.overhead
            charge.keep(overhead)
            size += page.size + overhead
            if size > LONGEST_LIST or len(itens.rejected) > MOST_REFUSED_ENTRIES:
                raise PncpTooLarge(f"{path} takes more than {LONGEST_LIST} bytes or has too much that does not fit")
            # A list that is not a multiple of ten was not cut: every limit seen or reported is one. Else it may have
            # been, by our page size or by a smaller one of the portal's, and only the next page can tell.
            if number == 1:
                itens, is_new = page, bool(page.payloads or page.rejected)
            else:
                is_new = itens.add(page)
            if not is_new or page.told % 10:
                # Of pages one may be missing though each was well: the portal answers from several machines.
                itens.is_proved = number == 1 and bool(page.told % 10 or not page.told)
                return itens
        raise PncpTooLarge(f"{path} does not end after {MOST_LIST_PAGES} pages")

    async def _fetch_list_page(
        self, child: Child, path: str, number: int, key: str, tries: int | None, *, wait: bool
    ) -> Itens:
        parameters: dict[str, str | int] = {"pagina": number, "tamanhoPagina": child.page_size}

        async def once(level: int) -> Itens:
            async with self._slots_for(child.service):
                body = await self._list_once(child.service, path, parameters, level, wait=wait)
            try:
                return parse_list(child, body, key)
            except NotAPageError as error:
                raise PncpUnavailable(f"{path}: {error}", "bad_answer") from None

        return await self._with_retries(child.service, path, once, tries=tries)

    async def _page_once(
        self, span: Span, parameters: dict[str, str | int], number: int, full_page: int, level: int
    ) -> Page:
        listing = span.listing
        path = listing.path
        async with self._slots_of(listing):
            status, body = await self._get(LISTINGS_OF[span.resource.name], path, parameters, level)
        if _is_empty(listing, status, body):
            if number == 1:
                return Page(1, 0, 0, [])
            raise PageAbsent(f"{path} page {number} is not there (status {status})")
        if status == HTTPStatus.OK:
            try:
                page = parse_page(body, number, full_page=full_page, counts=listing.counts)
            except AnotherPageError as error:
                raise PageAbsent(f"{path} page {number} is not there: {error}") from None
            except NotAPageError as error:
                raise PncpUnavailable(f"{path} page {number}: {error}", "bad_answer") from None
            if page.records or number == 1:
                return page
        elif number == 1 or status not in ABSENT_STATUS:
            raise _fault_of_listing(status, path, body)
        told = "" if status == HTTPStatus.OK else _message_of(body)
        raise PageAbsent(f"{path} page {number} is not there (status {status}){told}")

    async def fetch_count(self, resource: Resource, child: Child, key: str, *, wait: bool = True) -> int:
        """How many entries the portal says that the list of a record has; it is asked once.

        Raises:
            PncpUnavailable, PncpRejected: it does not say.
            PncpPaused, StoppedWaiting: as for the list.

        """
        path = f"{list_path(resource, child, key)}/quantidade"

        async def once(level: int) -> int:
            async with self._slots_for(child.service):
                status, body = await self._get(child.service, path, {}, level, wait=wait)
            if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
                raise PncpDisputed(f"{path}: status {status}{_message_of(body)}")  # an answer, if no count
            if status != HTTPStatus.OK:
                raise _fault_of_list(status, path, body)
            try:
                return parse_quantidade(body)
            except NotAPageError as error:
                raise PncpUnavailable(f"{path}: {error}", "bad_answer") from None

        return await self._with_retries(child.service, path, once, tries=1)

    async def fetch_part(
        self, resource: Resource, child: Child, key: str, part: int, *, tries: int | None = None, wait: bool = True
    ) -> Itens:
        """One part of a list that is asked for in parts; 204, 404 and `[]` say that it has no entries.

        Raises:
            PncpPaused, PncpUnavailable, PncpRejected, StoppedWaiting, NoRoomError: as for a list.
            PncpUnavailable: entries of another part have come.

        """
        assert child.parts is not None  # noqa: S101  # the caller has looked
        column = child.parts.column
        path = list_path(resource, child, key, {column: part})

        async def once(level: int) -> Itens:
            async with self._slots_for(child.service):
                status, body = await self._get(child.service, path, {}, level, wait=wait)
            if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
                return Itens()
            if status != HTTPStatus.OK:
                raise _fault_of_list(status, path, body)
            try:
                itens = parse_list(child, body, key)
            except NotAPageError as error:
                raise PncpUnavailable(f"{path}: {error}", "bad_answer") from None
            if any(part_of(child, entry) != part for entry in itens.payloads):
                raise PncpUnavailable(f"{path}: entries of another {column} have come", "bad_answer")
            return itens

        itens = await self._with_retries(child.service, path, once, tries=tries)
        current_charge().keep(itens.overhead)
        return itens

    async def fetch_whole(self, service: str, path: str, parse: Callable[[bytes], R]) -> R:
        """A list of the integration API that comes whole, without pages, as `parse` reads its body.

        204 is the empty list. `parse` raises `NotAPageError` where a body is no such list. While the service is
        paused, this waits.

        Raises:
            PncpUnavailable, PncpRejected, StoppedWaiting: as for a page.

        """

        async def once(level: int) -> R:
            async with self._itens_slots:
                status, body = await self._get(service, path, {}, level)
            if status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
                raise _fault_of_listing(status, path, body)  # it belongs to no record that a 4xx could speak of
            try:
                return parse(body if status == HTTPStatus.OK else b"[]")
            except NotAPageError as error:
                raise PncpUnavailable(f"{path}: {error}", "bad_answer") from None

        return await self._with_retries(service, path, once)

    async def _list_once(
        self, service: str, path: str, parameters: dict[str, str | int], level: int, *, wait: bool
    ) -> bytes:
        """One page of a list; without any it is the end of the list, on a page after the first only if it says `[]`."""
        status, body = await self._get(service, path, parameters, level, wait=wait)
        if status == HTTPStatus.OK:
            return body
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
            raise _fault_of_list(status, path, body)
        if parameters["pagina"] == 1:
            return b"[]"
        raise _LaterPageAbsent(f"{path} page {parameters['pagina']}: status {status}")

    async def _get(
        self, service: str, path: str, parameters: dict[str, str | int], level: int, *, wait: bool = True
    ) -> tuple[int, bytes]:
        """One request, after any pause; `level` chooses its time-out."""
        assert self._session is not None  # noqa: S101  # it is open from the beginning of the context
        query = "&".join(f"{name}={value}" for name, value in parameters.items())  # nothing in them needs quoting
        url = URL(f"{self._base_url}{path}?{query}", encoded=True)
        timeout = self._timeouts[level]
        seconds = timeout.sock_read or 0.0
        if service in self._paces:
            await self._enter_in_turn(service, seconds + CONNECT_SECONDS, wait=wait)
        else:
            await self.source.enter(service, wait=wait, seconds=seconds + CONNECT_SECONDS)
        began = time.monotonic()
        ended: int | str | None = None  # by us, before it could end by itself
        try:
            async with (
                asyncio.timeout(seconds + self._longest_drip),
                self._session.get(url, allow_redirects=False, timeout=timeout) as response,
            ):
                if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                    ended = response.status
                    raise self._throttled(path, response.headers.get("Retry-After"))
                body = await read_body(response, path)
                ended = response.status
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            ended = type(error).__name__
            raise PncpUnreachable(f"{path}: {_told(error)}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            ended = type(error).__name__
            raise PncpUnavailable(f"{path}: {_told(error)}") from None
        except PncpUnavailable:
            ended = ended or "UnfitBody"
            raise
        finally:
            self.source.leave()
            if ended is not None:
                self._meter.answered(service, ended, time.monotonic() - began)
        if ended == HTTPStatus.OK and body[:1] not in _JSON and is_markup(body):
            raise PncpBlocked(f"{path}: status 200 with a page in HTML{_title_of(body)}")
        return ended, body

    def _throttled(self, path: str, retry_after: str | None) -> PncpThrottled:
        self._meter.throttled()
        asked = parse_retry_after(retry_after, datetime.now(UTC))
        told = "" if asked is None else f", Retry-After {asked:.0f} s"
        return PncpThrottled(f"{path}: status 429{told}", asked)

    async def _enter_in_turn(self, service: str, seconds: float, *, wait: bool) -> None:
        """Keep the starts of requests apart that have a pace, also of those that a pause of their service held back."""
        loop = asyncio.get_running_loop()
        pace = self._paces[service]
        interval = pace.interval * self.source.workers
        async with pace.turns[service]:
            start = max(pace.next_turn, loop.time())
            pace.next_turn = start + interval  # before any wait: requests of another service come after this one
            try:
                if start > loop.time():
                    await self.source.rest(start - loop.time())
                await self.source.enter(service, wait=wait, seconds=seconds)
            except BaseException:
                if pace.next_turn == start + interval:  # no other request has its turn after this one
                    pace.next_turn = start
                raise
            pace.next_turn = max(pace.next_turn, loop.time() + interval)

    async def _with_retries(
        self,
        service: str,
        about: str,
        once: Callable[[int], Awaitable[R]],
        *,
        failures: int = 0,
        tries: int | None = None,
    ) -> R:
        """The one layer of retries: as often as the error allows, at most `tries` times, with full jitter.

        A failure that a pause of the service explains is not counted: the request waits for the end of the pause. If
        the service answers others meanwhile and fails this request again, it is this request's own failure.
        """
        attempt = 0
        answers: int | None = None
        while True:
            try:
                answer = await once(min(failures + attempt, len(self._timeouts) - 1))
            except PncpPaused:
                raise  # nothing was asked
            except PncpError as failure:
                error = _without_frames(failure)
            else:
                await self.source.answered(service)
                return answer
            is_paused = await self.source.failed(service, about, error)
            before, answers = answers, self.source.answers(service)
            if not is_paused or before not in (None, answers):
                attempt += 1
                if attempt >= (error.tries if tries is None else min(tries, error.tries)):
                    raise error
            self._meter.retried(service)
            if not is_paused:
                await self.source.rest(random.uniform(0, min(2.0 ** (attempt - 1), self._retry_wait_max)))  # noqa: S311


def page_size_of(resource: Resource, most: int | None) -> int:
    """Records per page of a listing: as many as the portal allows, or `most` if that is less."""
    return resource.page_size if most is None else min(resource.page_size, most)


def timeouts_from(seconds: float) -> list[aiohttp.ClientTimeout]:
    """The time-outs of a first, a second and all later tries: three times as long each, up to `LONGEST_TIMEOUT`."""
    return [
        aiohttp.ClientTimeout(
            total=None,
            sock_connect=CONNECT_SECONDS,
            sock_read=max(seconds, min(seconds * 3**level, LONGEST_TIMEOUT)),
        )
        for level in range(3)
    ]


def _without_frames(error: PncpError) -> PncpError:
    """The error without the frames that it came through: they hold its body while the next try waits."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _is_empty(listing: Listing, status: int, body: bytes) -> bool:
    """Whether this is how the portal says of a listing that it has nothing."""
    if status != listing.empty_status:
        return False
    return not body.strip() if status == HTTPStatus.OK else listing.empty_text.encode() in body


def _fault_of_listing(status: int, path: str, body: bytes) -> PncpError:
    """The error for a status that is not an answer to a request for a listing."""
    told = f"{path}: status {status}{_message_of(body)}"
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:  # comes spuriously under load
        return PncpDisputed(told)
    if status in RETRIED_ON_LISTINGS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return PncpUnavailable(told)
    return PncpRefused(told)


def _fault_of_list(status: int, path: str, body: bytes) -> PncpError:
    """The error for a status that is not an answer to a request for a list: 4xx speaks of this record alone."""
    told = f"{path}: status {status}{_message_of(body)}"
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):  # both come spuriously under load
        return PncpDisputed(told)
    if status in RETRIED_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return PncpUnavailable(told)
    return PncpRejected(told) if status >= HTTPStatus.BAD_REQUEST else PncpRefused(told)


def _told(error: Exception) -> str:
    """An error of the network, by its kind and its text; most time-outs carry none."""
    return f"{type(error).__name__} {error}".rstrip()


_JSON = (b"{", b"[")  # of nearly all bodies


def is_markup(body: bytes) -> bool:
    """Whether a body is a page for people: its Content-Type lies, its first sign does not."""
    return body[:256].lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"<")


_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


def _title_of(body: bytes) -> str:
    """What a page in HTML is called, such as `Limite de Requisições Excedido`."""
    found = _TITLE.search(body[:10_000])
    return f", {' '.join(found[1].decode('utf-8', 'replace').split())}" if found else ""


def _message_of(body: bytes) -> str:
    """What the portal says of its error, shortened; by content, because its Content-Type lies."""
    text = " ".join(body[:2000].decode("utf-8", "replace").split())
    return f", {text[:200]}" if text and not text.startswith("<") else ""


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header, given as seconds or as a date; `None` if it says nothing usable."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:10]), 86_400))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), 86_400.0)
