"""Requests to destinations, against servers of all manners on this machine."""

import asyncio
import base64
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import standardwebhooks
import structlog
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from common.connections.results import Rejection, ResultsRule
from common.connections.secrets import SecretText
from common.connections.settings import Basic, Bearer, ClientCredentials, Destination, HeaderKey, Stream
from ingestor.delivery import http as http_module
from ingestor.delivery.http import LONGEST_ANSWER, HttpSender, unpack
from ingestor.delivery.verdicts import Answer, Sent, judge
from tests.destinations import destination, stream

pytestmark = pytest.mark.enable_socket

KEY = UUID("0d5ac4b6-3d7f-4a2e-9f66-5d6f2f3a9c11")
BODY = b'[{"id":1}]'
MISSING = SecretText("${env:NO_SUCH_VARIABLE_OF_TESTS}")
STREAM = stream()
OTHER_KEY = "whsec_" + base64.b64encode(b"another key, of the month before").decode()
SIGNING_KEY = "whsec_" + base64.b64encode(b"a key for tests and nothing else").decode()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of a server that answers everything by this handler."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def spoken(speak: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """The URL of a server that speaks whatever it likes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await speak(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def client(token_url: str, **settings: Any) -> ClientCredentials:
    named = {"client_id": SecretText("id"), "client_secret": SecretText("s3cr3t"), **settings}
    return ClientCredentials(SecretText(token_url), **named)


async def send(target: Destination, to: Stream = STREAM, body: bytes = BODY, **options: Any) -> Answer:
    sender = HttpSender(target, **{"allow_loopback": True, **options})
    try:
        return await sender.send(to, body, idempotency_key=KEY, attempt=1)
    finally:
        await sender.close()


class Requests:
    """A server that keeps what it was sent, and answers 200 or what it is told."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.answers: list[web.Response] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.bodies.append(await request.read())
        return self.answers.pop(0) if self.answers else web.json_response({"ok": True})


@pytest.fixture
async def server() -> AsyncIterator[Requests]:
    requests = Requests()
    async with served(requests.answer) as requests.url:
        yield requests


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as events:
        yield events


# What is sent


async def test_a_request_carries_its_body_its_key_and_its_type(server: Requests) -> None:
    answer = await send(destination(f"{server.url}/api/"), stream(path="/produtos", method="PUT"))
    (seen,) = server.seen
    assert (answer.status, answer.body, answer.failure, answer.is_cut) == (200, b'{"ok": true}', None, False)
    assert (seen.method, seen.path_qs, server.bodies) == ("PUT", "/api/produtos", [BODY])
    assert seen.headers["Idempotency-Key"] == str(KEY)
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Content-Length"] == str(len(BODY))
    assert not {"Authorization", "webhook-id", "Cookie"} & set(seen.headers)


async def test_the_query_of_an_address_stays_as_it_is_written(server: Requests) -> None:
    await send(destination(f"{server.url}/hook?sp=%2Ftriggers%2frun&sig=a%2Bb~c#part"), stream(path="x"))
    assert server.seen[0].raw_path == "/hook/x?sp=%2Ftriggers%2frun&sig=a%2Bb~c"


@pytest.mark.parametrize(
    ("base", "path", "sent"),
    [
        ("/hook?sig=a%2Bb", "/x?tipo=1", "/hook/x?sig=a%2Bb&tipo=1"),
        ("/hook?sig=a%2Bb", "?tipo=1", "/hook?sig=a%2Bb&tipo=1"),
        ("/hook", "/x?tipo=1", "/hook/x?tipo=1"),
        ("/hook", "?tipo=1", "/hook?tipo=1"),
    ],
)
async def test_the_query_of_a_path_joins_that_of_the_address(server: Requests, base: str, path: str, sent: str) -> None:
    await send(destination(f"{server.url}{base}"), stream(path=path))
    assert server.seen[0].raw_path == sent


async def test_a_header_of_the_configuration_takes_the_place_of_ours_however_it_is_written(server: Requests) -> None:
    await send(destination(server.url, headers={"accept": SecretText("application/xml")}))
    assert server.seen[0].headers.getall("Accept") == ["application/xml"]


async def test_a_body_of_many_megabytes_goes_through(server: Requests) -> None:
    body = b"x" * (5 * 1024 * 1024)
    assert (await send(destination(server.url), body=body)).status == 200
    assert server.bodies == [body]


async def test_headers_of_the_configuration_are_sent(server: Requests) -> None:
    await send(destination(server.url, headers={"X-Tenant": SecretText("sé")}))
    assert server.seen[0].headers["X-Tenant"] == "sé"


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "Cookie", "accept-encoding", "Webhook-Id", "a b", ""],
)
async def test_headers_that_frame_a_request_are_not_the_configuration_s(server: Requests, name: str) -> None:
    assert (await send(destination(server.url, headers={name: SecretText("1")}))).failure == "secret_missing"
    assert server.seen == []


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "\x1b"])
async def test_a_line_end_in_a_header_s_value_is_not_sent(server: Requests, value: str) -> None:
    for target in (
        destination(server.url, headers={"X-Tenant": SecretText(value)}),
        destination(server.url, auth=Bearer(SecretText(value))),
        destination(server.url, auth=HeaderKey("X-Key", SecretText(value))),
    ):
        assert (await send(target)).failure == "secret_missing"
    assert server.seen == []


async def test_requests_share_a_connection_and_no_cookies(server: Requests) -> None:
    server.answers = [web.Response(headers={"Set-Cookie": "a=1"})]
    sender = HttpSender(destination(server.url), allow_loopback=True)
    for attempt in (1, 2):
        await sender.send(STREAM, BODY, idempotency_key=KEY, attempt=attempt)
    await sender.close()
    first, second = server.seen
    assert first.transport is second.transport
    assert "Cookie" not in second.headers


# Authorization


async def test_authorization_by_token_by_login_and_by_header(server: Requests) -> None:
    await send(destination(server.url, auth=Bearer(SecretText("abc"))))
    await send(destination(server.url, auth=Basic(SecretText("ana"), SecretText("sé:1"))))
    await send(destination(server.url, auth=HeaderKey("X-Api-Key", SecretText("k"))))
    bearer, basic, header = (seen.headers for seen in server.seen)
    assert bearer["Authorization"] == "Bearer abc"
    assert base64.b64decode(basic["Authorization"].removeprefix("Basic ")).decode() == "ana:sé:1"
    assert header["X-Api-Key"] == "k"


async def test_a_login_in_the_address_gives_way_to_the_authorization(server: Requests) -> None:
    url = server.url.replace("http://", "http://ana:senha@")
    await send(destination(url, auth=Bearer(SecretText("abc"))))
    await send(destination(url))
    assert [seen.headers["Authorization"][:7] for seen in server.seen] == ["Bearer ", "Basic Y"]


async def test_a_missing_secret_sends_nothing(server: Requests) -> None:
    for target in (
        destination(MISSING),
        destination(server.url, auth=Bearer(MISSING)),
        destination(server.url, headers={"X-Key": MISSING}),
        destination(server.url, sign=(MISSING,)),
        destination(server.url, auth=client(server.url, client_secret=MISSING)),
    ):
        assert await send(target) == Answer(failure="secret_missing")
    assert server.seen == []


class Authority:
    """An authorization server and the destination beside it, which takes the newest token alone."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str | None, dict[str, Any]]] = []
        self.valid = ""
        self.lifetime: Any = 3600
        self.refuses = 0
        self.posts = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return await self._token(request)
        self.posts += 1
        if request.headers.get("Authorization") != f"Bearer {self.valid}":
            return web.Response(status=401)
        return web.Response()

    async def _token(self, request: web.Request) -> web.Response:
        self.asked.append((request.headers.get("Authorization"), dict(await request.post())))
        if self.refuses:
            return web.json_response({"error": "invalid_client"}, status=self.refuses)
        self.valid = f"t{len(self.asked)}"
        document = {"access_token": self.valid, "token_type": "Bearer", "expires_in": self.lifetime}
        return web.json_response(document)


@pytest.fixture
async def authority() -> AsyncIterator[Authority]:
    authority = Authority()
    async with served(authority.answer) as authority.url:
        yield authority


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def client_of(
    authority: Authority, clock: Clock, **options: Any
) -> AsyncIterator[Callable[[], Awaitable[Answer]]]:
    target = destination(authority.url, auth=client(f"{authority.url}/token", **options), concurrency=4)
    sender = HttpSender(target, allow_loopback=True, clock=clock)

    async def post() -> Answer:
        return await sender.send(STREAM, BODY, idempotency_key=KEY, attempt=1)

    yield post
    await sender.close()


async def test_a_token_is_kept_until_shortly_before_its_end(authority: Authority) -> None:
    clock = Clock()
    async with client_of(authority, clock, scope="carga") as post:
        for now, asked in ((0, 1), (3569, 1), (3570, 2)):
            clock.now = now
            assert (await post()).status == 200
            assert len(authority.asked) == asked
    login, form = authority.asked[0]
    assert login == "Basic " + base64.b64encode(b"id:s3cr3t").decode()
    assert form == {"grant_type": "client_credentials", "scope": "carga"}


async def test_requests_at_once_ask_for_one_token(authority: Authority) -> None:
    async with client_of(authority, Clock()) as post:
        assert [answer.status for answer in await asyncio.gather(*(post() for _ in range(4)))] == [200] * 4
    assert len(authority.asked) == 1


async def test_a_token_that_is_refused_is_replaced_once(authority: Authority) -> None:
    async with client_of(authority, Clock()) as post:
        await post()
        authority.valid = "revoked"
        assert (await post()).status == 200
        assert (len(authority.asked), authority.posts) == (2, 3)


async def test_a_destination_that_refuses_every_token_answers_401(server: Requests, authority: Authority) -> None:
    server.answers = [web.Response(status=401), web.Response(status=401)]
    target = destination(server.url, auth=client(f"{authority.url}/token"))
    assert (await send(target)).status == 401
    assert (len(server.seen), len(authority.asked)) == (2, 2)


async def test_a_server_that_wants_the_client_in_the_form_gets_it_there(authority: Authority) -> None:
    async with client_of(authority, Clock(), in_body=True) as post:
        assert (await post()).status == 200
    form = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "s3cr3t"}
    assert authority.asked == [(None, form)]


@pytest.mark.parametrize("status", [400, 401, 403, 500, 302])
async def test_without_a_token_nothing_is_sent(authority: Authority, status: int) -> None:
    authority.refuses = status
    async with client_of(authority, Clock()) as post:
        answer = await post()
    assert (answer.failure, answer.status, authority.posts) == ("oauth", status, 0)


@pytest.mark.parametrize(
    "body",
    ["", "x", "[]", "{}", '{"access_token": 7}', '{"access_token": "a b"}', '{"access_token": "a\\nb"}'],
)
async def test_an_answer_without_a_usable_token_is_none(server: Requests, body: str) -> None:
    server.answers = [web.Response(text=body)]
    assert (await send(destination(server.url, auth=client(server.url)))).failure == "oauth"
    assert len(server.seen) == 1


@pytest.mark.parametrize("lifetime", [None, "3600", "soon", -5, 0, 1e400, [1], True])
async def test_a_token_of_whatever_lifetime_is_used(authority: Authority, lifetime: Any) -> None:
    authority.lifetime = lifetime if lifetime != float("inf") else "inf"
    async with client_of(authority, Clock()) as post:
        assert (await post()).status == 200


async def test_the_address_of_tokens_is_guarded_too(server: Requests) -> None:
    target = destination(server.url, auth=client(server.url))
    assert await send(target, allow_loopback=False) == Answer(failure="forbidden_address")
    assert server.seen == []


# Signatures


@pytest.mark.parametrize("key", [SIGNING_KEY, OTHER_KEY])
async def test_a_signature_by_each_of_two_keys_is_accepted_by_the_reference_library(server: Requests, key: str) -> None:
    await send(destination(server.url, sign=(SecretText(SIGNING_KEY), SecretText(OTHER_KEY))))
    headers = dict(server.seen[0].headers)
    assert standardwebhooks.Webhook(key).verify(server.bodies[0], headers) == [{"id": 1}]
    assert headers["webhook-id"] == headers["Idempotency-Key"]
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(key).verify(b"[]", headers)


async def test_the_timestamp_of_a_signature_is_that_of_the_attempt(server: Requests) -> None:
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    await send(destination(server.url, sign=(SecretText(SIGNING_KEY),)), now=lambda: at)
    assert server.seen[0].headers["webhook-timestamp"] == str(int(at.timestamp()))


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_ü", "não é base64"])
async def test_a_key_that_cannot_be_read_sends_nothing(server: Requests, key: str) -> None:
    assert (await send(destination(server.url, sign=(SecretText(key),)))).failure == "secret_missing"
    assert server.seen == []


# Addresses

SPELLINGS = [
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
]
NUMBERS = ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "\uff11\uff12\uff17.\uff10.\uff10.\uff11"]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_loopback_is_refused_at_the_socket_however_it_is_spelt(server: Requests, host: str) -> None:
    port = server.url.rpartition(":")[2]
    target = destination(f"http://{host}:{port}/", allow_private=True)
    assert await send(target, allow_loopback=False) == Answer(failure="forbidden_address")
    assert server.seen == []


@pytest.mark.parametrize("host", NUMBERS)
async def test_loopback_in_numbers_is_not_reached_either(server: Requests, host: str) -> None:
    port = server.url.rpartition(":")[2]
    target = destination(f"http://{host}:{port}/", allow_private=True)
    assert (await send(target, allow_loopback=False)).failure in {"forbidden_address", "dns", "invalid_url"}
    assert server.seen == []


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "168.63.129.16", "[fd00:ec2::254]", "100.64.0.1"])
async def test_private_and_metadata_addresses_are_refused_before_any_packet(host: str) -> None:
    assert await send(destination(f"http://{host}/")) == Answer(failure="forbidden_address")


class Names(AbstractResolver):
    """Says the next of its addresses each time that it is asked."""

    def __init__(self, *addresses: list[str]) -> None:
        self._addresses = list(addresses)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self._addresses[min(self.asked, len(self._addresses) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0) for address in found
        ]

    async def close(self) -> None:
        pass


async def test_a_name_that_turns_to_loopback_is_refused_when_it_does(server: Requests) -> None:
    """Rebinding: the name was checked when it was public, and is asked again for the connection."""
    port = server.url.rpartition(":")[2]
    names = Names(["203.0.113.1"], ["127.0.0.1"], ["10.0.0.1"])
    sender = HttpSender(destination(f"http://erp.example:{port}/"), resolver=names)
    for asked in (1, 2, 3):
        answer = await sender.send(STREAM, BODY, idempotency_key=KEY, attempt=asked)
        assert (answer, names.asked) == (Answer(failure="forbidden_address"), asked)
    await sender.close()
    assert server.seen == []


async def test_of_several_addresses_of_a_name_only_permitted_ones_are_tried(server: Requests) -> None:
    port = server.url.rpartition(":")[2]
    names = Names(["169.254.169.254", "127.0.0.1", "10.0.0.1"])
    answer = await send(destination(f"http://erp.example:{port}/"), resolver=names)
    assert (answer.status, len(server.seen)) == (200, 1)


async def test_a_redirect_is_not_followed(server: Requests) -> None:
    for status in (301, 302, 303, 307, 308):
        server.answers = [web.Response(status=status, headers={"Location": f"{server.url}/elsewhere"})]
        answer = await send(destination(server.url))
        assert (answer.status, answer.failure) == (status, "redirect")
    assert {seen.path for seen in server.seen} == {"/"}


async def test_a_proxy_of_the_environment_is_not_used(server: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await send(destination(server.url))).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "",
        "erp",
        "//erp/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "http://127.0.0.1:99999/",
    ],
)
async def test_what_is_no_address_of_http_is_not_asked(url: str) -> None:
    assert await send(destination(url)) == Answer(failure="invalid_url")


async def test_plain_http_wants_permission(server: Requests) -> None:
    assert await send(destination(server.url, allow_http=False)) == Answer(failure="invalid_url")
    assert server.seen == []


# Failures


async def test_a_port_without_a_listener_refuses() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert await send(destination(f"http://127.0.0.1:{port}/")) == Answer(failure="refused_connection")


class Nowhere(AbstractResolver):
    async def resolve(self, *_: Any, **__: Any) -> list[ResolveResult]:
        raise OSError(None, "no such name")

    async def close(self) -> None:
        pass


async def test_a_name_that_is_not_found_is_a_failure_of_dns() -> None:
    assert await send(destination("http://erp.example/"), resolver=Nowhere()) == Answer(failure="dns")


async def test_a_server_without_tls_is_a_failure_of_tls(server: Requests) -> None:
    assert await send(destination(server.url.replace("http:", "https:"))) == Answer(failure="tls")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("no openssl to make a certificate")
    folder: Path = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([openssl, *words.split(), *files], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_a_certificate_that_no_authority_signed_is_refused(certificate: ssl.SSLContext) -> None:
    requests = Requests()
    async with served(requests.answer, certificate) as url:
        assert await send(destination(url, allow_http=False)) == Answer(failure="tls")
    assert requests.seen == []


async def test_silence_ends_at_the_time_limit() -> None:
    async with spoken(lambda reader, _: reader.readexactly(10**9)) as url:  # type: ignore[arg-type]
        assert await send(destination(url, timeout=0.3)) == Answer(failure="timeout")


async def test_a_body_that_trickles_ends_at_the_time_limit() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with spoken(trickle) as url:
        assert (await send(destination(url, timeout=0.3))).failure == "timeout"


async def test_a_token_that_does_not_come_counts_within_the_same_time_limit() -> None:
    async with spoken(lambda reader, _: reader.readexactly(10**9)) as url:  # type: ignore[arg-type]
        assert await send(destination(url, timeout=0.3, auth=client(url))) == Answer(failure="timeout")


def says(*parts: bytes, reset: bool = False) -> Any:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(BODY))
        for part in parts:
            writer.write(part)
        await writer.drain()
        if reset:
            writer.transport.abort()

    return speak


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("parts", "failure"),
    [
        ((), "closed"),
        ((OK, b"Content-Length: 10\r\n\r\n", b"half"), "closed"),
        ((OK, b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"), "closed"),
        ((b"SSH-2.0-OpenSSH_9.6\r\n",), "closed"),
        ((OK, b"X-Long: ", b"x" * 100_000, b"\r\n\r\n"), "too_large"),
    ],
    ids=["nothing", "half a body", "half a chunk", "no HTTP", "an endless header"],
)
async def test_an_answer_that_is_none_or_breaks_off_is_a_failure(parts: tuple[bytes, ...], failure: str) -> None:
    async with spoken(says(*parts)) as url:
        assert (await send(destination(url))).failure == failure


async def test_a_connection_that_is_reset_is_a_failure() -> None:
    async with spoken(says(reset=True)) as url:
        assert (await send(destination(url))).failure in {"reset", "closed"}


async def test_a_refusal_before_the_body_was_read_is_understood() -> None:
    """A gateway that finds a request too large answers at its head."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.write_eof()
        while await reader.read(65536):
            pass

    async with spoken(refuse) as url:
        assert (await send(destination(url), body=b"x" * 8 * 1024 * 1024)).status == 413


# Sizes


async def test_an_answer_without_end_is_cut_and_its_connection_closed() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        await request.read()
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(5 * 1024):
            await response.write(b"x" * 1024 * 1024)
            sent += 1
        return response

    async with served(endless) as url:
        answer = await send(destination(url, timeout=30))
    assert (answer.status, answer.is_cut, len(answer.body)) == (200, True, LONGEST_ANSWER)
    assert sent < 64


async def test_an_answer_at_the_limit_is_whole(server: Requests) -> None:
    server.answers = [web.Response(body=b"x" * LONGEST_ANSWER), web.Response(body=b"x" * (LONGEST_ANSWER + 1))]
    for is_cut in (False, True):
        answer = await send(destination(server.url))
        assert (len(answer.body), answer.is_cut) == (LONGEST_ANSWER, is_cut)


async def test_a_packed_answer_is_unpacked_though_none_was_asked_for(server: Requests) -> None:
    server.answers = [web.Response(body=gzip.compress(b'{"ok": 1}'), headers={"Content-Encoding": "gzip"})]
    assert (await send(destination(server.url))).body == b'{"ok": 1}'
    assert server.seen[0].headers["Accept-Encoding"] == "identity"


async def test_a_packed_bomb_is_cut_at_the_limit(server: Requests) -> None:
    bomb = gzip.compress(b"\x00" * 200 * 1024 * 1024, compresslevel=9)
    server.answers = [web.Response(body=bomb, headers={"Content-Encoding": "gzip"})]
    answer = await send(destination(server.url))
    assert (len(answer.body), answer.is_cut) == (LONGEST_ANSWER, True)


def test_bodies_are_unpacked_once_and_rubbish_is_left_alone() -> None:
    text = b'{"ok": true}'
    assert unpack(zlib.compress(text), "deflate") == (text, False)
    assert unpack(gzip.compress(text), " GZIP ") == (text, False)
    assert unpack(gzip.compress(text)[:-9], "gzip")[1]
    assert unpack(text, "gzip") == (text, False)
    assert unpack(text, "br") == (text, False)
    twice = gzip.compress(gzip.compress(text))
    assert unpack(twice, "gzip, gzip") == (twice, False)


# Discretion


SECRET_PATH = "T0K3N-in-the-path"


async def test_neither_answers_nor_logs_hold_more_of_an_address_than_its_host(
    log: list[Any], server: Requests, caplog: pytest.LogCaptureFixture
) -> None:
    targets = [
        destination(f"{server.url}/{SECRET_PATH}?sig={SECRET_PATH}"),
        destination(f"{server.url}/{SECRET_PATH}", auth=Bearer(SecretText(SECRET_PATH))),
        destination(f"http://erp.example/{SECRET_PATH}", auth=Basic(SecretText("a"), SecretText(SECRET_PATH))),
        destination(f"https://127.0.0.1:1/{SECRET_PATH}"),
        destination(f"nonsense {SECRET_PATH}"),
        destination(
            server.url,
            auth=client(f"{server.url}/{SECRET_PATH}", client_secret=SecretText(SECRET_PATH)),
        ),
    ]
    caplog.set_level("DEBUG")
    for target in targets:
        server.answers = [web.Response(status=302, headers={"Location": f"/{SECRET_PATH}"})]
        answer = await send(target, resolver=None if "erp" not in target.url.resolve() else Nowhere())
        assert SECRET_PATH not in repr(answer)
    assert len(log) == len(targets)
    assert {event["host"] for event in log} == {"127.0.0.1", "erp.example", ""}
    assert SECRET_PATH not in repr(log)
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp.access")]
    assert SECRET_PATH not in "".join(ours)


async def test_what_is_kept_of_an_answer_repeats_no_secret_of_the_request(
    server: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_OF_A_TEST", f"{server.url}/hook/s3cr3t-path?sig=s3cr3t-query")
    monkeypatch.setenv("TOKEN_OF_A_TEST", "s3cr3t-token")
    server.answers = [web.json_response([{"erro": "Cannot POST /hook/s3cr3t-path with s3cr3t-token (s3cr3t-query)"}])]
    to = destination("${env:HOOK_OF_A_TEST}", auth=Bearer(SecretText("${env:TOKEN_OF_A_TEST}")))
    answer = await send(to)
    assert b"Cannot POST" in answer.told
    assert b"s3cr3t" not in answer.told
    assert b"s3cr3t" in answer.body, "verdicts are by the answer as it came"
    rule = ResultsRule("", None, (Rejection(("erro",), "present"),), "erro")
    (reason,) = judge(answer, Sent(("a",)), rule).rejected.values()
    assert "Cannot POST" in reason
    assert "s3cr3t" not in reason


async def test_the_names_of_headers_are_in_lower_case_and_a_date_is_always_there() -> None:
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    async with spoken(
        says(b"HTTP/1.1 503 Busy\r\nRETRY-AFTER: 7\r\nRetry-After: 8\r\nContent-Length: 0\r\n\r\n")
    ) as url:
        answer = await send(destination(url), now=lambda: at)
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["date"] == "Sun, 01 Mar 2026 10:00:00 GMT"


async def test_a_closed_sender_opens_its_connections_anew(server: Requests) -> None:
    async with AsyncExitStack() as stack:
        sender = HttpSender(replace(destination(server.url)), allow_loopback=True)
        stack.push_async_callback(sender.close)
        for _ in range(2):
            assert (await sender.send(STREAM, BODY, idempotency_key=KEY, attempt=1)).status == 200
            await sender.close()


def test_the_limits_are_those_of_the_design() -> None:
    assert (http_module.CONNECT_SECONDS, LONGEST_ANSWER) == (5, 1024**2)
    assert json.loads(BODY) == [{"id": 1}]
