"""The client over real connections, against a portal that fails in every way that was recorded or reported."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from common.resources.contratacoes import CONTRATACOES, ITENS
from ingestor.errors import PageAbsent, PncpBlocked, PncpDisputed, PncpError, PncpRefused, PncpTooLarge, PncpUnavailable
from ingestor.sources.pncp.client import PncpClient, Span
from ingestor.sources.pncp.envelope import Page
from ingestor.sources.pncp.records import parse_record
from ingestor.sources.values import Itens, Record, Rejected
from simulator import Simulator, World, generate, serve
from tests.support import FakeSource

pytestmark = pytest.mark.enable_socket

DAY = date(2025, 1, 6)
NOW = datetime.fromisoformat("2025-01-20T12:00:00")
FOR_EVER = 1_000


@pytest.fixture
def world() -> World:
    world = generate(1, DAY, date(2025, 1, 8), 0, now=lambda: NOW)
    world.publish(35, at=DAY, modalidade=6)
    return world


@pytest.fixture
async def portal(world: World) -> AsyncIterator[Simulator]:
    async with serve(world) as simulator:
        yield simulator


@pytest.fixture
def source() -> FakeSource:
    """A source whose pauses are noted and not kept."""
    source = FakeSource()
    source.keeps_pauses = False
    return source


def client_of(base_url: str, source: FakeSource, **options: Any) -> PncpClient:
    settings = {"page_size": 10, "requests_per_second": 0, "retry_wait_max": 0, "timeout_seconds": 10} | options
    return PncpClient(base_url, source=source, **settings)


@pytest.fixture
async def client(portal: Simulator, source: FakeSource) -> AsyncIterator[PncpClient]:
    async with client_of(portal.base_url, source) as client:
        yield client


async def ask(client: PncpClient, number: int = 1) -> Page:
    return await client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), number)


def keys_on(page: Page) -> list[str]:
    records = [parse_record(CONTRATACOES, raw) for raw in page.records]
    return [record.typed.numero_controle_pncp for record in records if isinstance(record, Record)]


def listed(world: World) -> list[str]:
    return [record.numero_controle_pncp for record in world.select("publicacao", modalidades=[6])]


# A portal that stands firm


async def test_all_pages_together_hold_the_whole_listing(client: PncpClient, world: World) -> None:
    first = await ask(client)
    assert (first.total_registros, first.total_paginas) == (35, 4)
    pages = [first, *[await ask(client, number) for number in (2, 3, 4)]]
    assert [len(page.records) for page in pages] == [10, 10, 10, 5]
    assert [key for page in pages for key in keys_on(page)] == listed(world)


def payloads(itens: Itens) -> list[bytes]:
    assert itens.rejected == []
    return [bytes(payload) for payload in itens.payloads.values()]


async def test_a_listing_of_nothing_is_an_empty_first_page(client: PncpClient) -> None:
    assert await client.fetch_page(Span(CONTRATACOES, "publicacao", 7, DAY, DAY), 1) == Page(1, 0, 0, [])


@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 25, 500, 501, 1000])
async def test_itens_come_complete(client: PncpClient, world: World, count: int) -> None:
    key = world.put(items=count, data_publicacao=f"{DAY}T10:00:00")
    found = payloads(await client.fetch_list(CONTRATACOES, ITENS, key))
    assert found == world.items(key)
    assert len(found) == count


@pytest.mark.parametrize("form", ["204", "404", "empty"])
async def test_no_itens_are_none_in_whatever_form(client: PncpClient, portal: Simulator, form: Any) -> None:
    portal.quirks.no_items = form
    key = portal.world.put(items=0, data_publicacao=f"{DAY}T10:00:00")
    assert await client.fetch_list(CONTRATACOES, ITENS, key) == Itens()


async def test_a_proxy_in_the_environment_is_not_used(
    portal: Simulator, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with client_of(portal.base_url, source) as client:
        assert len((await ask(client)).records) == 10


# What may pass

MAY_PASS = [
    ("reset", None),
    ("cut", None),
    ("cut", 0),
    ("cut_json", None),
    ("cut_json", 0),
    ("400", None),
    ("gzip_bomb", 24),
    ("huge_body", 24),
    ("huge_body", 0),
    ("nested", None),
    ("nested", 2_000),
    ("500", None),
    ("500_plain", None),
    ("502", None),
    ("503", "5"),
    ("504", None),
    ("body", {"status": 200, "text": ""}),
    ("body", {"status": 200, "text": "{}"}),
    ("body", {"status": 200, "text": '{"data": []'}),
    ("body", {"status": 408}),
]
LISTINGS_MAY_PASS = [
    ("404", None),  # a listing exists, whatever it says
    ("empty_page", None),
    ("page_number", "+1"),
    ("page_number", 0),
    ("page_number", "um"),
    ("total_records", -1),
    ("total_records", "muitos"),
    ("total_records", 10**30),
    ("total_pages", -1),
    ("total_pages", 1),
    ("total_pages", 0),
    ("total_pages", 1_000_000_000),
    ("total_pages", "quatro"),
]


@pytest.mark.parametrize(("quirk", "value"), [*MAY_PASS, *LISTINGS_MAY_PASS])
async def test_a_page_that_fails_for_now_is_asked_for_again_until_it_stands(
    client: PncpClient, portal: Simulator, world: World, quirk: str, value: Any
) -> None:
    rule = portal.quirks.add(quirk, times=2, value=value)
    assert keys_on(await ask(client)) == listed(world)[:10]
    assert rule.hits == 2


@pytest.mark.parametrize(("quirk", "value"), [*MAY_PASS, *LISTINGS_MAY_PASS])
async def test_a_page_that_fails_for_ever_is_unavailable_and_not_empty(
    client: PncpClient, portal: Simulator, source: FakeSource, quirk: str, value: Any
) -> None:
    rule = portal.quirks.add(quirk, value=value)
    with pytest.raises(PncpUnavailable) as caught:
        await ask(client)
    assert type(caught.value) in (PncpUnavailable, PncpTooLarge)
    assert "/consulta/v1/contratacoes/publicacao" in str(caught.value)
    tries = {6, 12} if quirk == "reset" else {6}  # aiohttp itself asks once more where a connection is reset
    assert rule.hits in tries
    assert source.pauses == []


@pytest.mark.parametrize(("quirk", "value"), [each for each in MAY_PASS if each[0] not in ("nested", "400")])
async def test_itens_that_fail_for_now_are_asked_for_again_until_they_stand(
    client: PncpClient, portal: Simulator, world: World, quirk: str, value: Any
) -> None:
    key = world.put(items=3, data_publicacao=f"{DAY}T10:00:00")
    portal.quirks.add(quirk, match={"service": "itens"}, times=2, value=value)
    assert payloads(await client.fetch_list(CONTRATACOES, ITENS, key)) == world.items(key)
    portal.quirks.add(quirk, match={"service": "itens"}, value=value)
    with pytest.raises(PncpUnavailable):
        await client.fetch_list(CONTRATACOES, ITENS, key)


async def test_silence_ends_with_the_timeout_and_is_asked_again(portal: Simulator, source: FakeSource) -> None:
    portal.quirks.add("hang", times=1)
    async with client_of(portal.base_url, source, timeout_seconds=0.2) as client:
        assert len((await ask(client)).records) == 10


async def test_silence_for_ever_is_unavailable(portal: Simulator, source: FakeSource) -> None:
    rule = portal.quirks.add("hang")
    async with client_of(portal.base_url, source, timeout_seconds=0.02) as client:
        with pytest.raises(PncpUnavailable, match="Timeout"):
            await ask(client)
    assert rule.hits == 6


async def test_an_address_without_a_server_is_unavailable(source: FakeSource) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and taken by no other process
        async with client_of(f"http://127.0.0.1:{taken.getsockname()[1]}/api", source) as client:
            with pytest.raises(PncpUnavailable, match="Connect"):
                await ask(client)


# What will not pass


@pytest.mark.parametrize(
    ("quirk", "kind"),
    [("401", PncpRefused), ("403", PncpRefused), ("redirect", PncpRefused), ("html_200", PncpBlocked)],
)
async def test_a_portal_that_refuses_us_pauses_the_source_and_is_asked_again(
    client: PncpClient, portal: Simulator, source: FakeSource, quirk: str, kind: type[PncpError]
) -> None:
    portal.quirks.add(quirk, times=9)
    assert len((await ask(client)).records) == 10
    assert [type(error) for error in source.failures] == [kind] * 9


async def test_a_redirect_is_not_followed_anywhere(client: PncpClient, portal: Simulator, world: World) -> None:
    async with serve(world) as elsewhere:
        target = f"{elsewhere.base_url}/consulta/v1/contratacoes/publicacao"
        portal.quirks.add("redirect", times=1, value=target)
        await ask(client)
        assert not elsewhere.stats.log
    assert len(portal.stats.log) == 2


async def test_a_disputed_refusal_is_tried_three_times(client: PncpClient, portal: Simulator) -> None:
    rule = portal.quirks.add("422", value="Data Inicial inválida")
    with pytest.raises(PncpDisputed, match="Data Inicial inválida"):
        await ask(client)
    assert rule.hits == 3
    rule.times = 5
    assert len((await ask(client)).records) == 10


async def test_dates_that_the_portal_refuses_are_disputed(client: PncpClient) -> None:
    with pytest.raises(PncpDisputed, match="anterior ou igual"):
        await client.fetch_page(Span(CONTRATACOES, "publicacao", 6, date(2025, 1, 8), DAY), 1)


# The throttle


@pytest.mark.parametrize(
    ("value", "begun"),
    [(None, 60), (0, 0), (3, 3), (120, 120), (99999, 86_400), ("logo mais", 60), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
async def test_a_throttle_pauses_everyone_and_is_asked_again(
    client: PncpClient, portal: Simulator, source: FakeSource, value: Any, begun: float
) -> None:
    portal.quirks.add("429", times=8, value=value)
    assert len((await ask(client)).records) == 10
    assert source.pauses == [begun] * 8


async def test_a_throttle_may_name_a_date(client: PncpClient, portal: Simulator, source: FakeSource) -> None:
    portal.quirks.add("429", times=1, value="date")
    await ask(client)
    (seconds,) = source.pauses
    assert 0 <= seconds <= 2


# Beyond the end


@pytest.mark.parametrize("form", ["400", "204", "empty"])
async def test_a_page_beyond_the_end_is_told_in_whatever_form(client: PncpClient, portal: Simulator, form: Any) -> None:
    portal.quirks.page_beyond_end = form
    with pytest.raises(PageAbsent):
        await ask(client, number=5)
    assert len(portal.stats.log) == 4


@pytest.mark.parametrize("quirk", ["empty_page", "no_content"])
async def test_an_empty_page_in_the_midst_is_no_end(
    client: PncpClient, portal: Simulator, world: World, quirk: str
) -> None:
    rule = portal.quirks.add(quirk, match={"page": 3}, times=2)
    assert keys_on(await ask(client, number=3)) == listed(world)[20:30]
    rule.times = FOR_EVER
    with pytest.raises(PageAbsent):
        await ask(client, number=3)


# Spoilt records

SPOILT = [
    ("nul", True),
    ("surrogate", True),
    ("long_text", True),
    ("huge_number", True),  # 10^30 has room in a numeric column
    ("unknown_keys", True),
    ("nan", True),  # the value becomes null in its column
    ("wrong_type", True),
    ("missing_key", False),
    ("null_dates", False),
    ("not_an_object", False),
]


@pytest.mark.parametrize(("quirk", "is_stored"), SPOILT)
async def test_one_spoilt_record_costs_itself_at_most(
    client: PncpClient, portal: Simulator, world: World, quirk: str, is_stored: bool
) -> None:
    portal.quirks.add(quirk, value={"position": 4})
    records = [parse_record(CONTRATACOES, raw) for raw in (await ask(client)).records]
    assert [isinstance(record, Record) for record in records] == [is_stored or place != 4 for place in range(10)]
    keys = [record.typed.numero_controle_pncp if isinstance(record, Record) else None for record in records]
    assert keys == [key if is_stored or place != 4 else None for place, key in enumerate(listed(world)[:10])]
    for record in records:
        assert "\x00" not in record.payload
        assert record.payload.encode()
        if isinstance(record, Rejected):
            assert record.reason


@pytest.mark.parametrize(("quirk", "is_stored"), [(quirk, stored or quirk == "null_dates") for quirk, stored in SPOILT])
async def test_one_spoilt_item_costs_itself_at_most(
    client: PncpClient, portal: Simulator, world: World, quirk: str, is_stored: bool
) -> None:
    key = world.put(items=3, data_publicacao=f"{DAY}T10:00:00")
    portal.quirks.add(quirk, match={"service": "itens"}, value={"position": 1})
    itens = await client.fetch_list(CONTRATACOES, ITENS, key)
    assert (len(itens.payloads), len(itens.rejected), itens.told) == (2 + is_stored, 1 - is_stored, 3)


# Concurrency


async def test_no_more_itens_are_under_way_than_agreed(portal: Simulator, world: World, source: FakeSource) -> None:
    portal.quirks.latency_ms = 20
    async with client_of(portal.base_url, source, itens_concurrency=3) as client, asyncio.TaskGroup() as group:
        for key in listed(world):
            group.create_task(client.fetch_list(CONTRATACOES, ITENS, key))
    assert portal.stats.largest_concurrency["itens"] == 3
    assert set(portal.stats.statuses) <= {"200", "204"}


async def test_with_a_third_of_all_answers_failing_everything_still_arrives(
    client: PncpClient, portal: Simulator, world: World
) -> None:
    portal.quirks.seed, portal.quirks.fail = 5, 0.3
    found = [key for number in (1, 2, 3, 4) for key in keys_on(await ask(client, number))]
    assert found == listed(world)
    assert sum(count for status, count in portal.stats.statuses.items() if status != "200") > 0


# What is said of ourselves


async def test_every_request_says_who_asks_and_what_for_and_keeps_its_connection(source: FakeSource) -> None:
    heads: list[bytes] = []

    async def serve_many(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve_many, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"
    async with server, client_of(url, source, user_agent="pncp-sync/9 (mail@example.org)") as client:
        await ask(client)
        await ask(client)

    assert len(heads) == 2
    for head in heads:
        assert b"\r\nAccept: application/json\r\n" in head
        assert b"\r\nUser-Agent: pncp-sync/9 (mail@example.org)\r\n" in head
        assert b"Cookie" not in head


# TLS


@pytest.fixture
def untrusted(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that is signed by no authority."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command, *files], cwd=tmp_path, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


async def test_a_certificate_without_an_authority_is_not_accepted(
    untrusted: ssl.SSLContext, source: FakeSource
) -> None:
    served: list[bytes] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=untrusted)
    async with server, client_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/api", source) as client:
        with pytest.raises(PncpUnavailable, match="certificate"):
            await ask(client)
    assert not any(served)  # not a byte of a request
