"""Requests to a destination over HTTP: authorized, signed, to permitted addresses only, each with one bounded answer.

Neither log events nor errors hold more of an address than its host.
"""

import asyncio
import base64
import io
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import LineTooLong
from yarl import URL

from common.connections.guards import FORBIDDEN_HEADERS
from common.connections.secrets import SecretMissing, SecretText
from common.connections.settings import Basic, Bearer, ClientCredentials, Destination, HeaderKey, Stream
from ingestor.delivery.guard import ForbiddenAddress, Reach
from ingestor.delivery.signing import InvalidSigningSecret, sign
from ingestor.delivery.tokens import Client, TokenRefused, Tokens
from ingestor.delivery.verdicts import Answer, Failure

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 5
LONGEST_ANSWER: Final = 1024 * 1024
"""Bytes of an answer, as they come and unpacked; the rest is not read."""
LONGEST_HEADER: Final = 64 * 1024
SHORTEST_SECRET: Final = 8
"""Characters of what is looked for in an answer; shorter ones would be found in what is none."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\uffff]*")
_CHUNK_BYTES: Final = 64 * 1024
_ZLIB_OR_GZIP: Final = 47


class _Failed(Exception):
    """A request cannot be sent, or its token cannot be had."""

    def __init__(self, failure: Failure, status: int | None = None) -> None:
        super().__init__(failure)
        self.failure = failure
        self.status = status


class HttpSender:
    """Sends requests to one destination of kind http; secrets are resolved at each request.

    `now` is the time of signatures, `clock` that of tokens, in seconds. `resolver` is for tests of names.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        allow_loopback: bool = False,
        now: Callable[[], datetime] | None = None,
        clock: Callable[[], float] = time.monotonic,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._destination = destination
        self._reach = Reach(destination.allow_private, allow_loopback)
        self._now = now or _now
        self._clock = clock
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._tokens = Tokens(clock=clock)

    @property
    def host(self) -> str:
        """The host of the destination's URL; empty where it cannot be resolved or is none."""
        try:
            return urlsplit(self._destination.url.resolve()).hostname or ""
        except (SecretMissing, ValueError):
            return ""

    async def send(
        self,
        stream: Stream,
        body: bytes,
        *,
        idempotency_key: UUID,
        attempt: int,
        message_ids: Sequence[str] = (),  # noqa: ARG002  # a request has one key
    ) -> Answer:
        """Send one request; whatever happens to it is in the answer.

        The answer is whole within the destination's `timeout`, a new token and a second try with it included.
        """
        start = self._clock()
        try:
            async with asyncio.timeout(self._destination.timeout):
                answer = await self._send(stream, body, idempotency_key)
        except _Failed as error:
            answer = Answer(error.status, failure=error.failure)
        except TimeoutError:
            answer = Answer(failure="timeout")
        if answer.body:
            answer = replace(answer, secrets=self._secrets())
        log.debug(
            "delivery_request",
            destination=self._destination.name,
            host=self.host,
            attempt=attempt,
            status=answer.status,
            failure=answer.failure,
            seconds=round(self._clock() - start, 3),
        )
        return answer

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, stream: Stream, body: bytes, idempotency_key: UUID) -> Answer:
        url = self._url(_resolve(self._destination.url), stream.path)
        headers = self._headers(stream, body, idempotency_key)
        auth = self._destination.auth
        if auth is None:
            return await self._request(stream.method, url, headers, body)
        if not isinstance(auth, ClientCredentials):
            return await self._request(stream.method, url.with_user(None), headers | _authorization(auth), body)
        token = await self._access_token(auth)
        bare = url.with_user(None)
        answer = await self._request(stream.method, bare, headers | {"Authorization": f"Bearer {token}"}, body)
        if answer.status == HTTPStatus.UNAUTHORIZED and answer.failure is None:  # it may have been revoked
            token = await self._access_token(auth, instead_of=token)
            answer = await self._request(stream.method, bare, headers | {"Authorization": f"Bearer {token}"}, body)
        return answer

    def _secrets(self) -> tuple[str, ...]:
        """What of a request must not be kept of its answer, the longest first; what is short may be anything."""
        found = {self._tokens.held}
        with suppress(SecretMissing, ValueError, _Failed):  # the file of one was just taken away
            for secret in self._destination.secrets:
                found.update(secret.values())
            if self._destination.url.references:
                parts = urlsplit(self._destination.url.resolve())
                found |= {parts.path, parts.query, *(value for _, value in parse_qsl(parts.query))}
            if isinstance(self._destination.auth, Basic):
                found.add(_authorization(self._destination.auth)["Authorization"].partition(" ")[2])
        return tuple(sorted((each for each in found if len(each) >= SHORTEST_SECRET), key=len, reverse=True))

    def _url(self, base: str, path: str = "") -> URL:
        """The URL with a path appended to its own; its query stays as it is, for it may be signed, and comes first."""
        try:
            parts = urlsplit(base.strip())
            schemes = ("https", "http") if self._destination.allow_http else ("https",)
            if parts.scheme.lower() not in schemes or not parts.hostname or parts.port == 0:
                raise _Failed("invalid_url")
            if path:
                path, _, query = path.partition("?")
                joined = f"{parts.path.rstrip('/')}/{path.lstrip('/')}" if path else parts.path
                parts = parts._replace(path=joined, query="&".join(each for each in (parts.query, query) if each))
            text = parts._replace(fragment="").geturl()
            return URL(text, encoded=parts.netloc.isascii() and text.isascii() and text.isprintable())
        except ValueError:
            raise _Failed("invalid_url") from None

    def _headers(self, stream: Stream, body: bytes, idempotency_key: UUID) -> dict[str, str]:
        """Every header but `Authorization`."""
        given = {name: _resolve(secret) for name, secret in self._destination.headers.items()}
        own = {
            "Content-Type": stream.rendering.content_type,
            "Idempotency-Key": str(idempotency_key),
            "Accept-Encoding": "identity",
        }
        secrets = [_resolve(secret) for secret in self._destination.sign]
        if secrets:
            try:
                own |= sign(secrets, message_id=str(idempotency_key), at=self._now(), body=body)
            except InvalidSigningSecret:
                raise _Failed("secret_missing") from None
        has_accept = any(name.lower() == "accept" for name in given)
        return ({} if has_accept else {"Accept": "application/json, */*;q=0.5"}) | _checked(given) | own

    # One request

    async def _request(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        status: int | None = None
        try:
            async with self._open_session().request(
                method, url, headers=headers, data=io.BytesIO(body), allow_redirects=False
            ) as response:
                status = response.status
                raw, is_cut = await _read(response)
                received = _first_of_each(response.headers)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _Failed(failure_of(error), status) from None
        received.setdefault("date", format_datetime(self._now(), usegmt=True))
        raw, unpacked_is_cut = unpack(raw, received.get("content-encoding", ""))
        is_redirect = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
        return Answer(status, received, raw, "redirect" if is_redirect else None, is_cut or unpacked_is_cut)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._destination.concurrency + 1,  # a request for a token stands beside the others
                socket_factory=self._reach.open_socket,
                use_dns_cache=False,
                resolver=self._resolver,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "pncp-sync"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                auto_decompress=False,
                trust_env=False,
                max_line_size=LONGEST_HEADER,
                max_field_size=LONGEST_HEADER,
            )
        return self._session

    async def _access_token(self, auth: ClientCredentials, *, instead_of: str = "") -> str:
        url = self._url(_resolve(auth.token_url))

        async def post(headers: Mapping[str, str], body: bytes) -> Answer:
            return await self._request("POST", url, {"Accept-Encoding": "identity", **headers}, body)

        client = Client(_resolve(auth.client_id), _resolve(auth.client_secret), auth.scope, in_body=auth.in_body)
        try:
            return await self._tokens.take(post, client, instead_of=instead_of)
        except TokenRefused as error:
            raise _Failed("oauth", error.status) from None


def _now() -> datetime:
    return datetime.now(UTC)


def _first_of_each(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by their names in lower case."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        found.setdefault(name.lower(), value)
    return found


def _resolve(secret: SecretText) -> str:
    try:
        return secret.resolve()
    except SecretMissing:
        raise _Failed("secret_missing") from None


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of a configuration, without those that frame a request and without line ends."""
    for name, value in headers.items():
        if name.lower() in FORBIDDEN_HEADERS or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise _Failed("secret_missing")
    return dict(headers)


def _authorization(auth: Bearer | Basic | HeaderKey) -> dict[str, str]:
    """The header that authorizes a request."""
    if isinstance(auth, Bearer):
        return _checked({"Authorization": f"Bearer {_resolve(auth.token)}"})
    if isinstance(auth, Basic):
        login = f"{_resolve(auth.username)}:{_resolve(auth.password)}"
        return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    return _checked({auth.name: _resolve(auth.value)})


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body as it comes, up to the limit, and whether there is more of it; the connection is closed then."""
    parts: list[bytes] = []
    left = LONGEST_ANSWER
    async for part in response.content.iter_chunked(_CHUNK_BYTES):
        parts.append(part[:left])
        left -= len(part)
        if left < 0:
            response.close()
            return b"".join(parts), True
    return b"".join(parts), False


def unpack(body: bytes, encoding: str) -> tuple[bytes, bool]:
    """A body without its content encoding, up to the limit, and whether there is more of it.

    Requests ask for none; what comes packed in another way, or more than once, is left as it is.
    """
    if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        return body, False
    unpacker = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        unpacked = unpacker.decompress(body, LONGEST_ANSWER)
    except zlib.error:
        return body, False
    return unpacked, not unpacker.eof


def failure_of(error: BaseException) -> Failure:
    """The failure that an error of a request is, by its own kind or by that of its cause."""
    causes = list(_causes(error))
    for kinds, failure in _FAILURES:
        if any(isinstance(cause, kinds) for cause in causes):
            return failure
    return "closed"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_FAILURES: Final[tuple[tuple[tuple[type[BaseException], ...], Failure], ...]] = (
    ((ForbiddenAddress,), "forbidden_address"),
    ((aiohttp.ClientConnectorDNSError, socket.gaierror), "dns"),
    ((aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, ssl.SSLError, ssl.CertificateError), "tls"),
    ((TimeoutError,), "timeout"),
    ((LineTooLong,), "too_large"),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), "invalid_url"),
    ((aiohttp.ClientConnectorError,), "refused_connection"),
    ((aiohttp.ClientOSError, ConnectionError), "reset"),
)
"""Failures by the kinds of errors, the first that matches; what is left has broken off or is not HTTP."""
