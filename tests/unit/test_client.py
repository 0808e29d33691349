"""The client asks as the portal wants to be asked, and tells the portal's failures apart; no network, no real time."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import aiohttp
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from common.resources.contratacoes import CONTRATACOES, ITENS
from common.resources.description import Listing
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
from ingestor.sources.pncp import client as client_module
from ingestor.sources.pncp.bodies import LONGEST_BODY
from ingestor.sources.pncp.client import PncpClient, Span, parse_retry_after
from ingestor.sources.pncp.envelope import Page
from ingestor.sources.values import Itens
from tests.support import FakeSource

T = TypeVar("T")
Answer = httpx.Response | Exception
Handler = Callable[[httpx.Request], Answer | Awaitable[Answer]]

BASE_URL = "http://portal.test/api"
KEY = "46675997000180-1-000350/2026"
DAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


# --- the portal and the time that these tests give the client ------------------------------------------


class Reply:
    """An answer as the client's session gives it: the body unpacked, faults in the session's own words."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.headers = answer.headers
        self.content = self
        self._answer = answer

    async def iter_any(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._answer.aiter_bytes():
                yield part
        except httpx.DecodingError as error:
            raise aiohttp.ClientPayloadError(str(error)) from error


class Portal:
    """Answers by script: one answer after the other and the last for ever, or whatever a function makes of a request.

    A script's exception is raised, its response answered anew each time. It stands in the place of aiohttp's session.
    """

    def __init__(self, *script: Answer, by: Handler | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self.starts: list[float] = []
        self.timeouts: list[float | None] = []
        self._script = list(script)
        self._by = by

    @asynccontextmanager
    async def get(
        self,
        url: URL,
        *,
        allow_redirects: bool,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's own
    ) -> AsyncIterator[Any]:
        assert not allow_redirects
        self.timeouts.append(timeout.sock_read)
        request = httpx.Request("GET", str(url))
        self.requests.append(request)
        self.starts.append(asyncio.get_running_loop().time())
        answer: Any = self._by(request) if self._by else self._script[min(len(self.requests), len(self._script)) - 1]
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        if answer.is_stream_consumed or isinstance(answer.stream, httpx.ByteStream):
            answer = httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)
        try:
            yield Reply(answer)
        finally:
            await answer.aclose()

    @property
    def asked(self) -> list[dict[str, str]]:
        return [dict(request.url.params) for request in self.requests]


class FastLoop(asyncio.SelectorEventLoop):
    """A loop in which waiting takes no time: its clock jumps to whatever comes next."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        due = [timer._when for timer in self._scheduled if not timer._cancelled]
        if not self._ready and due:
            self._now = max(self._now, min(due))
        super()._run_once()


def in_fast_time(scenario: Awaitable[T]) -> T:
    async def run() -> T:
        return await scenario

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(run())


def client_of(portal: Portal, source: FakeSource | None = None, **options: Any) -> PncpClient:
    settings = {"requests_per_second": 0, "retry_wait_max": 0} | options
    return PncpClient(BASE_URL, source=source or FakeSource(), session=portal, **settings)


async def ask(portal: Portal, number: int = 1, source: FakeSource | None = None, **options: Any) -> Page:
    async with client_of(portal, source, **options) as client:
        return await client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), number)


async def ask_itens(portal: Portal, key: str = KEY, **options: Any) -> Itens:
    async with client_of(portal, **options) as client:
        return await client.fetch_list(CONTRATACOES, ITENS, key)


async def fault_of(awaitable: Awaitable[object]) -> PncpError:
    with pytest.raises(PncpError) as caught:
        await awaitable
    return caught.value


def page(number: int = 1, records: int = 1, **over: Any) -> httpx.Response:
    """A good page; there are as many as it says."""
    body = {
        "data": [{"numero": index} for index in range(records)],
        "totalRegistros": records + 50 * (number - 1),
        "totalPaginas": number,
        "numeroPagina": number,
    }
    return httpx.Response(200, json=body | over)


def itens(first: int, last: int) -> httpx.Response:
    return httpx.Response(200, json=[{"numeroItem": number} for number in range(first, last + 1)])


def numbers(found: Itens) -> list[int]:
    assert [json.loads(bytes(item))["numeroItem"] for item in found.payloads.values()] == list(found.payloads)
    assert found.rejected == []
    return list(found.payloads)


# --- what is asked ----------------------------------------------------------------------------------------------


async def test_a_page_is_asked_for_with_every_parameter_it_needs() -> None:
    portal = Portal(page(3))
    async with client_of(portal, page_size=20) as client:
        found = await client.fetch_page(Span(CONTRATACOES, "atualizacao", 8, date(2026, 3, 9), date(2026, 3, 10)), 3)
    assert (found.number, found.total_registros, len(found.records)) == (3, 101, 1)
    (request,) = portal.requests
    assert request.method == "GET"
    assert request.url.copy_with(query=None) == f"{BASE_URL}/consulta/v1/contratacoes/atualizacao"
    assert dict(request.url.params) == {
        "dataInicial": "20260309",
        "dataFinal": "20260310",
        "codigoModalidadeContratacao": "8",
        "pagina": "3",
        "tamanhoPagina": "20",
    }


async def test_a_resource_without_parts_is_asked_for_as_its_description_says() -> None:
    listing = Listing("/consulta/v1/contratos", stamp="data_publicacao_pncp")
    contratos = replace(CONTRATACOES, name="contratos", axis=None, listings={"publicacao": listing})
    portal = Portal(page())
    async with client_of(portal) as client:
        await client.fetch_page(Span(contratos, "publicacao", 0, DAY, DAY), 1)
    (request,) = portal.requests
    assert request.url.copy_with(query=None) == f"{BASE_URL}/consulta/v1/contratos"
    assert request.url.params.keys() == {"dataInicial", "dataFinal", "pagina", "tamanhoPagina"}


async def test_a_page_has_fifty_records_unless_told_otherwise() -> None:
    portal = Portal(page())
    await ask(portal)
    assert portal.asked[0]["tamanhoPagina"] == "50"


async def test_nothing_found_is_an_empty_first_page() -> None:
    portal = Portal(httpx.Response(204))
    assert await ask(portal) == Page(1, 0, 0, [])
    assert len(portal.requests) == 1


async def test_an_empty_envelope_is_an_empty_first_page() -> None:
    portal = Portal(page(records=0, totalPaginas=0))
    assert await ask(portal) == Page(1, 0, 0, [])
    assert len(portal.requests) == 1


async def test_what_the_content_type_says_does_not_matter() -> None:
    good = page()
    portal = Portal(httpx.Response(200, content=good.content, headers={"Content-Type": "text/html"}))
    assert len((await ask(portal)).records) == 1


# --- the pause --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        (None, 60),
        ("", 60),
        ("logo mais", 60),
        ("-5", 60),
        ("1.5", 60),
        (b"\xd9\xa5", 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", 60),
        ("Wed, 21 Oct 2015 07:28:00 +999999999999999", 60),
    ],
)
def test_a_429_pauses_everyone_for_as_long_as_it_says(retry_after: str | bytes | None, seconds: float) -> None:
    told = retry_after.encode() if isinstance(retry_after, str) else retry_after
    headers = [] if told is None else [(b"Retry-After", told)]
    source, portal = FakeSource(), Portal(httpx.Response(429, headers=headers, text="<html></html>"), page())
    found = in_fast_time(ask(portal, source=source, retry_wait_max=30))
    assert len(found.records) == 1
    assert source.pauses == [seconds]
    assert portal.starts == [0, seconds]  # and then at once: the pause was the wait


def test_a_date_to_retry_after_is_obeyed() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    source, portal = FakeSource(), Portal(httpx.Response(429, headers={"Retry-After": moment}), page())
    in_fast_time(ask(portal, source=source))
    (seconds,) = source.pauses
    assert 60 < seconds <= 100
    assert portal.starts == [0, seconds]


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("121", 121), ("3600", 3600), ("99999", 86_400), ("9" * 400, 86_400)]
)
def test_what_a_429_asks_for_is_handed_on_whatever_it_is(retry_after: str, seconds: float) -> None:
    source, portal = FakeSource(), Portal(httpx.Response(429, headers={"Retry-After": retry_after}), page())
    in_fast_time(ask(portal, source=source))
    assert source.pauses == [seconds]


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(429), httpx.Response(200, html="<title>Request Rejected</title>"), httpx.Response(302)],
    ids=["429", "HTML", "302"],
)
def test_an_outage_costs_a_request_none_of_its_tries(answer: httpx.Response) -> None:
    source, portal = FakeSource(), Portal(*[answer] * 20, page())
    assert len(in_fast_time(ask(portal, source=source)).records) == 1
    assert portal.starts == [60 * number for number in range(21)]


@pytest.mark.parametrize(("status", "tries"), [(429, 6), (403, 2)])
def test_what_fails_while_others_are_answered_is_this_request_s_own_failure(status: int, tries: int) -> None:
    source = FakeSource()

    async def answer(request: httpx.Request) -> httpx.Response:
        await source.answered("consulta")  # another's
        return httpx.Response(status)

    portal = Portal(by=answer)
    assert type(in_fast_time(fault_of(ask(portal, source=source)))) in (PncpThrottled, PncpRefused)
    assert len(portal.requests) == tries + 1  # the first may still have been the outage's


def test_who_does_not_want_to_wait_for_a_paused_service_is_told_so_at_once() -> None:
    source, portal = FakeSource(), Portal(httpx.Response(302))

    async def scenario() -> float:
        async with client_of(portal, source) as client:
            assert type(await fault_of(client.fetch_list(CONTRATACOES, ITENS, KEY, wait=False))) is PncpPaused
        return asyncio.get_running_loop().time()

    assert in_fast_time(scenario()) == 0
    assert len(portal.requests) == 1


async def test_each_try_looks_at_the_pause_first() -> None:
    source, portal = FakeSource(), Portal(httpx.Response(500), page())
    await ask(portal, source=source)
    assert source.entered >= len(portal.requests) == 2


async def test_itens_look_at_the_pause_and_begin_it_too() -> None:
    source, portal = FakeSource(), Portal(httpx.Response(429, headers={"Retry-After": "0"}), itens(1, 3))
    async with client_of(portal, source) as client:
        assert numbers(await client.fetch_list(CONTRATACOES, ITENS, KEY)) == [1, 2, 3]
    assert source.pauses == [0]
    assert source.entered >= 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("17", 17),
        ("9" * 5000, 86_400),
        ("Tue, 10 Mar 2026 12:01:30 GMT", 90),
        ("Tue, 10 Mar 2026 12:01:30 -0000", 90),
        ("Tue, 10 Mar 2026 09:01:30 -0300", 90),
        ("Tuesday, 10-Mar-26 12:01:30 GMT", 90),
        ("Tue, 10 Mar 2026 11:59:59 GMT", 0),
        ("Tue, 10 Mar 2099 12:00:00 GMT", 86_400),
        ("\u00b2", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@settings(deadline=None)
@given(
    st.text()
    | st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        st.sampled_from(["Wed", "Wednesday", ""]),
        st.integers(-1, 32),
        st.sampled_from(["Oct", "Feb", "out"]),
        st.integers(0, 100_000),
        st.integers(0, 25),
        st.integers(0, 61),
        st.integers(0, 61),
        st.integers().map(str) | st.just("GMT"),
    )
    | st.from_regex(r"\A[0-9]+\Z")
)
def test_no_header_at_all_stops_the_client(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


# --- what may pass: six tries -----------------------------------------------------------------------------------

HTML = "<html><head><title>Limite de Requisições Excedido</title></head></html>"
CUT = page(records=3).content[:-20]

MAY_PASS = {
    "500": httpx.Response(500, json={"status": 500, "message": "Failed to obtain JDBC Connection"}),
    "500 in plain words": httpx.Response(
        500, text="Erro na comunicação com o banco de dados.", headers={"Content-Type": "application/json"}
    ),
    "501": httpx.Response(501),
    "502": httpx.Response(502, html="<html></html>"),
    "503": httpx.Response(503),
    "504": httpx.Response(504),
    "408": httpx.Response(408),
    "425": httpx.Response(425),
    "404": httpx.Response(404, json={"status": "404"}),  # a listing exists, whatever it says
    "400": httpx.Response(400, json={"message": 'For input string: ""'}),  # and our requests are of a good form
    "200 with JSON cut": httpx.Response(200, content=CUT),
    "200 with nothing": httpx.Response(200),
    "200 with another page": page(number=2),
    "200 with no total": page(totalRegistros=None),
    "200 with an empty page of many": page(records=0, totalRegistros=70, totalPaginas=2),
    "200 with broken gzip": httpx.Response(
        200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b\x08nonsense")
    ),
    "200 with nested arrays": httpx.Response(200, content=b"[" * 100_000 + b"]" * 100_000),
    "no connection": aiohttp.ClientConnectionError("All connection attempts failed"),
    "read timeout": aiohttp.SocketTimeoutError(""),
    "reset": aiohttp.ClientOSError("Connection reset by peer"),
    "cut off": aiohttp.ClientPayloadError("Response payload is not completed"),
}


@pytest.mark.parametrize("answer", MAY_PASS.values(), ids=MAY_PASS)
async def test_what_may_pass_is_tried_six_times_and_never_taken_for_an_empty_page(answer: Answer) -> None:
    source, portal = FakeSource(), Portal(answer)
    error = await fault_of(ask(portal, source=source))
    assert type(error) is PncpUnavailable
    assert len(portal.requests) == 6
    assert not source.pauses
    assert "/consulta/v1/contratacoes/publicacao" in str(error)


@pytest.mark.parametrize("answer", MAY_PASS.values(), ids=MAY_PASS)
async def test_the_sixth_try_may_succeed(answer: Answer) -> None:
    portal = Portal(*[answer] * 5, page(records=2))
    assert len((await ask(portal)).records) == 2
    assert len(portal.requests) == 6


ITENS_MAY_PASS = {
    name: answer
    for name, answer in MAY_PASS.items()
    # 404 means none, and the last is an array, if of arrays: its records are judged later
    if name not in {"400", "404", "200 with nested arrays"}
}


@pytest.mark.parametrize("answer", ITENS_MAY_PASS.values(), ids=ITENS_MAY_PASS)
async def test_itens_are_tried_six_times_too(answer: Answer) -> None:
    portal = Portal(answer)
    error = await fault_of(ask_itens(portal))
    assert type(error) is PncpUnavailable
    assert len(portal.requests) == 6


def test_between_tries_the_client_waits_longer_and_longer_but_not_too_long() -> None:
    portal = Portal(httpx.Response(500))
    waits: list[float] = []
    for _ in range(30):
        portal.starts.clear()
        portal.requests.clear()
        in_fast_time(fault_of(ask(portal, retry_wait_max=4)))
        waits += [later - sooner for sooner, later in zip(portal.starts, portal.starts[1:], strict=False)]
    assert len(waits) == 150
    assert all(0 <= wait <= 4 for wait in waits)
    assert max(waits[0::5]) <= 1 < max(waits[4::5])  # the first within a second, the last within four
    assert len({round(wait, 6) for wait in waits}) > 100  # each at random


async def test_an_error_tells_the_status_and_a_little_of_what_the_portal_said() -> None:
    told = str(await fault_of(ask(Portal(httpx.Response(500, text="Erro\n\tna  comunicação " + "x" * 5000)))))
    assert "status 500, Erro na comunicação xxx" in told
    assert len(told) < 400
    assert "html" not in str(await fault_of(ask(Portal(httpx.Response(502, html=HTML)))))


# --- what will not pass -----------------------------------------------------------------------------------------


async def test_a_disputed_refusal_is_tried_three_times() -> None:
    portal = Portal(httpx.Response(422, json={"message": "Data Inicial inválida"}))
    error = await fault_of(ask(portal))
    assert type(error) is PncpDisputed
    assert "status 422" in str(error)
    assert "Data Inicial inválida" in str(error)
    assert len(portal.requests) == 3


@pytest.mark.parametrize("status", [400, 422])
async def test_a_disputed_refusal_may_have_been_spurious(status: int) -> None:
    portal = Portal(httpx.Response(status), httpx.Response(status), page())
    assert len((await ask(portal)).records) == 1


REFUSES_US = [201, 202, 203, 206, 301, 302, 303, 307, 308, 401, 402, 403, 405, 410, 451]


@pytest.mark.parametrize("status", REFUSES_US)
def test_a_listing_that_is_refused_is_the_source_s_refusal_and_is_asked_for_again(status: int) -> None:
    source, portal = FakeSource(), Portal(httpx.Response(status, json={}), page())
    assert len(in_fast_time(ask(portal, source=source)).records) == 1
    (error,) = source.failures
    assert type(error) is PncpRefused
    assert f"status {status}" in str(error)
    assert portal.starts == [0, 60]  # once the pause is over


@pytest.mark.parametrize("status", [401, 402, 403, 405, 410, 451])
async def test_items_that_are_refused_are_their_contratacao_s_own_matter(status: int) -> None:
    source, portal = FakeSource(), Portal(httpx.Response(status, json={}))
    error = await fault_of(ask_itens(portal, source=source))
    assert type(error) is PncpRejected
    assert f"status {status}" in str(error)
    assert len(portal.requests) == 1
    assert source.failures == [error]
    assert not source.pauses


@pytest.mark.parametrize("status", [201, 202, 203, 206, 301, 302, 303, 307, 308])
def test_items_that_are_redirected_or_half_answered_are_the_source_s_refusal(status: int) -> None:
    source, portal = FakeSource(), Portal(httpx.Response(status, content=b"[]"), itens(1, 3))
    assert numbers(in_fast_time(ask_itens(portal, source=source))) == [1, 2, 3]
    assert [type(error) for error in source.failures] == [PncpRefused]


@pytest.mark.parametrize(
    "location",
    ["http://elsewhere.test/", "/api/consulta/v1/outra", "file:///etc/passwd", "http://169.254.169.254/", "http://["],
)
def test_a_redirect_is_not_followed(location: str) -> None:
    source, portal = FakeSource(), Portal(httpx.Response(302, headers={"Location": location}), page())
    in_fast_time(ask(portal, source=source))
    assert [type(error) for error in source.failures] == [PncpRefused]
    assert {str(request.url.copy_with(query=None)) for request in portal.requests} == {
        f"{BASE_URL}/consulta/v1/contratacoes/publicacao"
    }


BLOCKS = {
    "the throttle's": HTML,
    "the firewall's": "<html><head><title>Request Rejected</title></head></html>",
    "with blanks and a mark before it": "\ufeff\r\n  <!DOCTYPE html>",
    "XML": "<?xml version='1.0'?><erro/>",
}


@pytest.mark.parametrize("body", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize(("question", "good"), [(ask, page()), (ask_itens, itens(1, 3))])
def test_a_page_for_people_with_status_200_pauses_like_a_429(
    question: Callable[..., Awaitable[object]], good: httpx.Response, body: str
) -> None:
    source, portal = FakeSource(), Portal(httpx.Response(200, content=body.encode()), good)
    in_fast_time(question(portal, source=source))
    (error,) = source.failures
    assert type(error) is PncpBlocked
    assert source.pauses == [60]
    assert portal.starts == [0, 60]


async def test_a_block_tells_the_title_of_its_page() -> None:
    source = FakeSource()

    async def answer(request: httpx.Request) -> httpx.Response:
        await source.answered("consulta")
        return httpx.Response(200, html=HTML)

    source.pause_seconds = 0
    error = await fault_of(ask(Portal(by=answer), source=source))
    assert "status 200 with a page in HTML, Limite de Requisições Excedido" in str(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.ConnectionTimeoutError(""), PncpUnreachable),
        (aiohttp.ServerDisconnectedError(), PncpUnavailable),
        (aiohttp.SocketTimeoutError(""), PncpUnavailable),
    ],
)
async def test_no_connection_is_told_apart_from_no_answer(error: Exception, kind: type[PncpError]) -> None:
    source = FakeSource()
    assert type(await fault_of(ask(Portal(error), source=source))) is kind
    assert [type(failure) for failure in source.failures] == [kind] * 6


# --- time-outs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "failures", "timeouts"),
    [(30, 0, [30, 90, 240]), (5, 0, [5, 15, 45]), (300, 0, [300] * 3), (30, 1, [90, 240, 240]), (30, 7, [240] * 3)],
)
async def test_later_tries_are_given_more_time(seconds: float, failures: int, timeouts: list[float]) -> None:
    portal = Portal(httpx.Response(500), httpx.Response(500), page())
    async with client_of(portal, timeout_seconds=seconds) as client:
        await client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 1, failures=failures)
    assert portal.timeouts == timeouts


# --- a page that does not come ----------------------------------------------------------------------------------

ABSENT = {
    "400": httpx.Response(400, json={"message": "Página inválida"}),
    "404": httpx.Response(404),
    "422": httpx.Response(422),
    "204": httpx.Response(204),
    "an empty page": page(3, records=0, totalRegistros=100, totalPaginas=2),
    "an empty page of many": page(3, records=0, totalRegistros=500, totalPaginas=10),
    "the last page": page(2, totalRegistros=60, totalPaginas=2),
    "the last page under its number": page(3, totalRegistros=60, totalPaginas=2),
}


@pytest.mark.parametrize("answer", ABSENT.values(), ids=ABSENT)
async def test_a_promised_page_that_is_not_there_is_asked_for_four_times(answer: httpx.Response) -> None:
    portal = Portal(answer)
    error = await fault_of(ask(portal, number=3))
    assert type(error) is PageAbsent
    assert "page 3" in str(error)
    assert len(portal.requests) == 4


@pytest.mark.parametrize("answer", ABSENT.values(), ids=ABSENT)
async def test_a_promised_page_may_be_there_the_fourth_time(answer: httpx.Response) -> None:
    portal = Portal(answer, answer, answer, page(3))
    assert (await ask(portal, number=3)).number == 3


async def test_a_later_page_that_fails_or_is_refused_is_not_absent() -> None:
    assert type(await fault_of(ask(Portal(httpx.Response(500)), number=3))) is PncpUnavailable


@pytest.mark.parametrize("records", [1, 2, 49])
async def test_a_short_page_before_the_last_is_asked_for_again(records: int) -> None:
    short = page(2, records=records, totalRegistros=130, totalPaginas=3)
    portal = Portal(short, short, page(2, records=50, totalRegistros=130, totalPaginas=3))
    assert len((await ask(portal, number=2)).records) == 50
    error = await fault_of(ask(Portal(short), number=2))
    assert type(error) is PncpUnavailable
    assert f"{records} records came" in str(error)


async def test_a_page_is_as_long_as_page_one_was_and_may_be_longer() -> None:
    for records in (20, 50, 243):
        portal = Portal(page(2, records=records, totalRegistros=500, totalPaginas=3))
        async with client_of(portal) as client:
            found = await client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 2, full_page=20)
        assert len(found.records) == records


async def test_a_page_is_asked_for_in_the_size_that_is_given() -> None:
    portal = Portal(page(2, records=20, totalRegistros=55, totalPaginas=3))
    async with client_of(portal, page_size=50) as client:
        await client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 2, page_size=20)
    assert portal.asked[0]["tamanhoPagina"] == "20"


# --- itens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (KEY, "/api/pncp/v1/orgaos/46675997000180/compras/2026/350/itens"),
        ("12ABC34501DE35-1-000001/2026", "/api/pncp/v1/orgaos/12ABC34501DE35/compras/2026/1/itens"),
    ],
)
async def test_itens_are_asked_for_under_their_contratacao(key: str, path: str) -> None:
    portal = Portal(itens(1, 3))
    assert numbers(await ask_itens(portal, key)) == [1, 2, 3]
    (request,) = portal.requests
    assert request.url.path == path
    assert dict(request.url.params) == {"pagina": "1", "tamanhoPagina": "500"}  # without it, ten come


@pytest.mark.parametrize("answer", [httpx.Response(204), httpx.Response(404, json={}), httpx.Response(200, json=[])])
async def test_no_itens_is_an_answer(answer: httpx.Response) -> None:
    portal = Portal(answer)
    assert await ask_itens(portal) == Itens()
    assert len(portal.requests) == 1


@pytest.mark.parametrize("count", [1, 9, 11, 25, 499, 501])
@pytest.mark.parametrize("limit", [10, 50, 500])
async def test_itens_are_complete_whatever_the_portal_s_own_limit_is(count: int, limit: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        first = (int(request.url.params["pagina"]) - 1) * limit + 1
        return itens(first, min(first + limit - 1, count))

    portal = Portal(by=answer)
    assert numbers(await ask_itens(portal)) == list(range(1, count + 1))
    assert len(portal.requests) == -(-count // limit)  # and not one request more


@pytest.mark.parametrize("count", [10, 20, 500])
async def test_after_a_multiple_of_ten_it_takes_one_look_more(count: int) -> None:
    portal = Portal(itens(1, count), httpx.Response(200, json=[]))
    assert numbers(await ask_itens(portal)) == list(range(1, count + 1))
    assert [each["pagina"] for each in portal.asked] == ["1", "2"]


@pytest.mark.parametrize("end", [httpx.Response(204), httpx.Response(404)])
async def test_a_later_page_that_is_not_there_is_asked_for_again(end: httpx.Response) -> None:
    portal = Portal(itens(1, 10), end, itens(11, 13))
    assert numbers(await ask_itens(portal)) == list(range(1, 14))


@pytest.mark.parametrize("end", [httpx.Response(204), httpx.Response(404)])
@pytest.mark.parametrize("count", [10, 11])
async def test_a_later_page_that_is_never_there_is_the_end_if_the_portal_s_count_says_so(
    end: httpx.Response, count: int
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/quantidade"):
            return httpx.Response(200, json=count)
        return itens(1, 10) if request.url.params["pagina"] == "1" else end

    portal = Portal(by=answer)
    if count == 10:
        found = await ask_itens(portal)
        assert (numbers(found), found.is_proved) == (list(range(1, 11)), True)
    else:
        assert isinstance(await fault_of(ask_itens(portal)), PncpUnavailable)


async def test_a_list_is_proved_where_nothing_can_have_been_cut_off() -> None:
    lists = ([itens(1, 3)], [itens(1, 10), httpx.Response(200, json=[])], [itens(1, 10), itens(11, 13)])
    assert [(await ask_itens(Portal(*answers))).is_proved for answers in lists] == [True, False, False]


@pytest.mark.parametrize(
    ("answer", "count"),
    [(httpx.Response(200, json=0), 0), (httpx.Response(200, json=7), 7)],
)
async def test_the_portal_s_count_of_items_is_a_bare_number(answer: httpx.Response, count: int) -> None:
    portal = Portal(answer)
    async with client_of(portal) as client:
        assert await client.fetch_count(CONTRATACOES, ITENS, KEY) == count
    assert portal.requests[0].url.path.endswith("/compras/2026/350/itens/quantidade")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json=[]),
        httpx.Response(200, json=-1),
        httpx.Response(200, text="x"),
        httpx.Response(404),
        httpx.Response(204),
        httpx.Response(503),
    ],
)
async def test_what_is_no_count_of_items_is_asked_for_once(answer: httpx.Response) -> None:
    portal = Portal(answer)
    async with client_of(portal) as client:
        await fault_of(client.fetch_count(CONTRATACOES, ITENS, KEY))
    assert len(portal.requests) == 1


async def test_itens_are_tried_no_more_often_than_the_caller_says() -> None:
    portal = Portal(by=lambda _: httpx.Response(500))
    async with client_of(portal) as client:
        await fault_of(client.fetch_list(CONTRATACOES, ITENS, KEY, tries=2))
    assert len(portal.requests) == 2


async def test_a_portal_that_gives_all_itens_on_every_page_does_not_double_them() -> None:
    portal = Portal(itens(1, 20))
    assert numbers(await ask_itens(portal)) == list(range(1, 21))
    assert len(portal.requests) == 2


async def test_itens_that_move_between_pages_come_once_each() -> None:
    portal = Portal(itens(1, 10), itens(8, 17), itens(18, 21))
    assert numbers(await ask_itens(portal)) == list(range(1, 22))


async def test_each_page_of_itens_has_its_own_tries() -> None:
    failing = [httpx.Response(500)] * 5
    portal = Portal(*failing, itens(1, 10), *failing, itens(11, 12))
    assert numbers(await ask_itens(portal)) == list(range(1, 13))


async def test_a_later_page_of_itens_that_fails_fails_them_all() -> None:
    portal = Portal(itens(1, 10), httpx.Response(500))
    assert type(await fault_of(ask_itens(portal))) is PncpUnavailable


async def test_itens_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MOST_LIST_PAGES", 7)

    def answer(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["pagina"])
        return itens(number * 10, number * 10 + 9)

    portal = Portal(by=answer)
    assert type(await fault_of(ask_itens(portal))) is PncpTooLarge
    assert len(portal.requests) == 7


@pytest.mark.parametrize("status", [400, 422])
async def test_refused_itens_are_tried_three_times(status: int) -> None:
    portal = Portal(httpx.Response(status))
    assert type(await fault_of(ask_itens(portal))) is PncpDisputed
    assert len(portal.requests) == 3


# --- bodies without end -----------------------------------------------------------------------------------------


class Stream(httpx.AsyncByteStream):
    """The same part over and over, `times` often or for ever; `sent` counts."""

    def __init__(self, part: bytes, times: int | None = None, *, seconds_apart: float = 0) -> None:
        self._part, self._times, self._seconds_apart = part, times, seconds_apart
        self.sent = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._times is None or self.sent < self._times:
            self.sent += 1
            await asyncio.sleep(self._seconds_apart)
            yield self._part

    async def aclose(self) -> None:
        self.closed = True


class Parts(Stream):
    """These parts, one after the other."""

    def __init__(self, parts: list[bytes]) -> None:
        super().__init__(b"")
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            self.sent += 1
            yield part


MIB = 1 << 20


async def test_an_endless_body_is_cut_at_the_limit_and_tried_again() -> None:
    streams: list[Stream] = []

    def answer(_request: httpx.Request) -> httpx.Response:
        streams.append(Stream(b" " * MIB))
        return httpx.Response(200, stream=streams[-1])

    error = await fault_of(ask(Portal(by=answer)))
    assert type(error) is PncpTooLarge
    assert "larger than" in str(error)
    assert [stream.sent for stream in streams] == [LONGEST_BODY // MIB + 1] * 6
    assert all(stream.closed for stream in streams)


async def test_a_body_of_the_largest_size_is_read() -> None:
    body = page().content
    padded = body + b" " * (LONGEST_BODY - len(body))
    assert len((await ask(Portal(httpx.Response(200, content=padded)))).records) == 1
    error = await fault_of(ask(Portal(httpx.Response(200, content=padded + b" "))))
    assert "larger than" in str(error)


async def test_a_gzip_bomb_is_cut_as_it_unfolds() -> None:
    packed = gzip.compress(b" " * (128 * MIB), compresslevel=1)
    parts = [packed[start : start + 16_384] for start in range(0, len(packed), 16_384)]
    streams: list[Parts] = []

    def answer(_request: httpx.Request) -> httpx.Response:
        streams.append(Parts(parts))
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=streams[-1])

    error = await fault_of(ask(Portal(by=answer)))
    assert type(error) is PncpTooLarge
    assert "larger than" in str(error)
    assert all(stream.sent < len(parts) / 4 for stream in streams)


async def test_a_packed_body_is_unpacked() -> None:
    packed = httpx.Response(
        200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(gzip.compress(page(records=4).content))
    )
    assert len((await ask(Portal(packed))).records) == 4


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate,gzip", "gzip, deflate"])
async def test_a_body_packed_twice_is_refused_unread(encoding: str) -> None:
    stream = Parts([gzip.compress(gzip.compress(page().content))])  # 16 kB of it could hold 16 GB
    error = await fault_of(ask(Portal(httpx.Response(200, headers={"Content-Encoding": encoding}, stream=stream))))
    assert type(error) is PncpUnavailable
    assert stream.sent == 0


def test_a_body_that_drips_for_ever_is_cut_off_in_time() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Stream(b" ", seconds_apart=1))  # never a read timeout

    portal = Portal(by=answer)
    error = in_fast_time(fault_of(ask(portal, timeout_seconds=5)))
    assert type(error) is PncpUnavailable
    assert portal.starts == [0, 20, 50, 110, 170, 230]  # the time-out, and fifteen seconds more


async def test_a_body_in_very_many_parts_costs_no_more_than_its_bytes() -> None:
    body = itens(1, 9).content

    class Padded(Stream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield body
            for _ in range(60_000):
                yield bytes([32, 32])  # another object each time

    tracemalloc.start()
    try:
        found = await ask_itens(Portal(by=lambda _request: httpx.Response(200, stream=Padded(b""))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert numbers(found) == list(range(1, 10))
    assert peak < MIB


@pytest.mark.parametrize("what", ["too large", "not JSON", "not a page", "cut", "status"])
async def test_a_failed_body_is_let_go_before_the_next_try_waits(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body was held by the frames of the error, for as long as the error was."""
    held: list[int] = []
    part, closed = b"x" * MIB, b'"' + b"x" * (8 * MIB) + b'"'

    def no_wait(_shortest: float, _longest: float) -> float:
        held.append(tracemalloc.get_traced_memory()[0])
        return 0

    def answer(_request: httpx.Request) -> httpx.Response:
        match what:
            case "too large":
                return httpx.Response(200, stream=Stream(part))
            case "cut":
                return httpx.Response(200, stream=Cut(part, 8))
            case "status":
                return httpx.Response(500, stream=Stream(part, 8))
            case "not JSON":
                return httpx.Response(200, stream=Stream(part, 8))
            case _:
                return httpx.Response(200, stream=Parts([b'{"data": ', closed, b"}"]))

    monkeypatch.setattr(client_module.random, "uniform", no_wait)
    portal = Portal(by=answer)
    tracemalloc.start()
    try:
        for fetch in (ask, ask_itens):
            error = await fault_of(fetch(portal))
            held.append(tracemalloc.get_traced_memory()[0])
            assert isinstance(error, PncpUnavailable)
    finally:
        tracemalloc.stop()
    assert len(held) == 12
    assert max(held) < 4 * MIB


class Cut(Stream):
    """A body whose connection ends too early."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in super().__aiter__():
            yield part[:-1] + b"y"  # a copy
        raise httpx.DecodingError("cut")


# --- charsets ---------------------------------------------------------------------------------------------------

LATIN = "Construção"


def text_page(charset: str, content_type: str, *, mark: bytes = b"") -> httpx.Response:
    body = f'{{"data": [{{"a": "{LATIN}"}}], "totalRegistros": 1, "totalPaginas": 1, "numeroPagina": 1}}'
    return httpx.Response(200, content=mark + body.encode(charset), headers={"Content-Type": content_type})


@pytest.mark.parametrize(
    ("charset", "content_type", "mark"),
    [
        ("utf-8", "application/json", b"\xef\xbb\xbf"),
        ("utf-8", "application/json; charset=ISO-8859-1", b"\xef\xbb\xbf"),
        ("latin-1", "application/json; charset=ISO-8859-1", b""),
        ("latin-1", 'application/json;CHARSET="iso-8859-1"', b""),
        ("cp1252", "application/json; charset=windows-1252", b""),
        ("utf-16", "application/json; charset=utf-16", b""),
        ("utf-16-le", "application/json; charset=utf-16le", b""),
        ("utf-8", "application/json; charset=utf-8", b""),
        ("utf-8", "application/json; charset=ISO-8859-1", b""),  # JSON is UTF-8, whatever a gateway says of it
        ("utf-8", "application/json; charset=klingon", b""),
        ("utf-8", "application/json; charset", b""),
    ],
)
async def test_a_text_is_read_by_its_mark_or_its_charset(charset: str, content_type: str, mark: bytes) -> None:
    found = await ask(Portal(text_page(charset, content_type, mark=mark)))
    assert [bytes(record) for record in found.records] == [f'{{"a": "{LATIN}"}}'.encode()]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "text/html", "x; charset=us-ascii", "x; charset=zip"],
)
async def test_a_text_that_is_not_utf8_is_asked_for_again(content_type: str) -> None:
    portal = Portal(text_page("latin-1", content_type), text_page("utf-8", content_type))
    assert [bytes(record) for record in (await ask(portal)).records] == [f'{{"a": "{LATIN}"}}'.encode()]
    assert len(portal.requests) == 2
    bad = httpx.Response(200, content=b'[{"numeroItem": 1, "descricao": "Constru\xe7\xe3o"}]')
    good = httpx.Response(200, content='[{"numeroItem": 1, "descricao": "Construção"}]'.encode())
    found = await ask_itens(Portal(bad, good))
    assert [bytes(payload) for payload in found.payloads.values()] == [good.content[1:-1]]


# --- pace and concurrency ---------------------------------------------------------------------------------------


def together(count: int, portal: Portal, source: FakeSource | None = None, **options: Any) -> None:
    """So many pages at once, in fast time."""

    async def scenario() -> None:
        async with client_of(portal, source, **options) as client:
            await asyncio.gather(
                *(client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 1) for _ in range(count))
            )

    in_fast_time(scenario())


@pytest.mark.parametrize(("per_second", "starts"), [(1, [0, 1, 2, 3]), (4, [0, 0.25, 0.5, 0.75]), (0.5, [0, 2, 4, 6])])
def test_pages_start_no_closer_together_than_agreed(per_second: float, starts: list[float]) -> None:
    portal = Portal(page())
    together(4, portal, requests_per_second=per_second)
    assert portal.starts == pytest.approx(starts)


def test_workers_share_the_pace() -> None:
    source, portal = FakeSource(), Portal(page())
    source.workers = 3
    together(3, portal, source, requests_per_second=2)
    assert portal.starts == [0, 1.5, 3]


def test_without_a_limit_pages_start_at_once() -> None:
    portal = Portal(page())
    together(4, portal, requests_per_second=0)
    assert portal.starts == [0, 0, 0, 0]


def test_time_without_requests_is_not_saved_up() -> None:
    portal = Portal(page())

    async def scenario() -> None:
        async with client_of(portal, requests_per_second=1) as client:
            await client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 1)
            await asyncio.sleep(10)
            await asyncio.gather(
                *(client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 1) for _ in range(3))
            )

    in_fast_time(scenario())
    assert portal.starts == [0, 10, 11, 12]


def test_tries_keep_the_pace_as_well() -> None:
    portal = Portal(httpx.Response(500), httpx.Response(500), httpx.Response(500), page())
    together(1, portal, requests_per_second=1)
    assert portal.starts == [0, 1, 2, 3]


def test_after_a_pause_the_waiting_requests_keep_the_pace() -> None:
    portal = Portal(httpx.Response(429), page())
    together(4, portal, requests_per_second=1)
    assert portal.starts == [0, 60, 61, 62, 63]


def test_a_request_that_is_cancelled_in_the_queue_delays_no_other() -> None:
    portal = Portal(page())

    async def scenario() -> None:
        async with client_of(portal, requests_per_second=1) as client, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 1)) for _ in range(4)
            ]
            await asyncio.sleep(0.5)
            tasks[1].cancel()
            tasks[2].cancel()

    in_fast_time(scenario())
    assert portal.starts == [0, 1]


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_itens_are_asked_for_at_once_than_agreed(slots: int) -> None:
    under_way, most = 0, 0

    async def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(1)
        under_way -= 1
        return itens(1, 3)

    portal = Portal(by=answer)

    async def scenario() -> float:
        async with client_of(portal, requests_per_second=1, itens_concurrency=slots) as client:
            await asyncio.gather(*(client.fetch_list(CONTRATACOES, ITENS, KEY) for _ in range(9)))
        return asyncio.get_running_loop().time()

    assert in_fast_time(scenario()) == 9 / slots  # all slots are used, and the pace is not theirs
    assert most == slots


def test_a_page_does_not_wait_for_itens() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/itens"):
            await asyncio.sleep(100)
            return itens(1, 3)
        return page()

    async def scenario() -> float:
        async with client_of(Portal(by=answer), itens_concurrency=1) as client, asyncio.TaskGroup() as group:
            group.create_task(client.fetch_list(CONTRATACOES, ITENS, KEY))
            await asyncio.sleep(0)
            await client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 1)
            return asyncio.get_running_loop().time()

    assert in_fast_time(scenario()) == 0
