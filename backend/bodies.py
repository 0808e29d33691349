"""Bodies of requests: how long they may be, declared beside the endpoint, and how slowly they may arrive."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import TooManyUploadsError, problem, refusal
from backend.middleware import HANG_UP, announced_length, hang_up_for, peer_of

log = structlog.get_logger(__name__)

KIB = 1024
MIB = 1024 * KIB
LONGEST_BODY = 16 * KIB
LONGEST_LIST = 256 * KIB
"""Where a body may name a thousand records."""
LONGEST_RECORDS = MIB
"""Where it holds the records themselves."""
GRACE_SECONDS = 20.0
SLOWEST_BYTES_PER_SECOND = 8 * KIB
"""A body may keep us waiting for the grace, and for as long as what has come of it takes at this pace."""
MOST_UPLOADS = 4
"""Files that arrive at once, of all users together."""
UPLOAD_RETRY_SECONDS = 5

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])
_KEY = "body"


@dataclass(frozen=True)
class Body:
    """How many bytes the body of a request may have; those of a file are a setting."""

    most: int
    is_file: bool = False


def body(*, most: int) -> Callable[[Endpoint], Endpoint]:
    """Declare how many bytes an endpoint takes; the route's decorator stands above this one."""
    return _declare(Body(most))


def _declare(declared: Body) -> Callable[[Endpoint], Endpoint]:
    def declare(endpoint: Endpoint) -> Endpoint:
        vars(endpoint)[_KEY] = declared
        return endpoint

    return declare


takes_file = _declare(Body(0, is_file=True))
"""Declare that an endpoint takes a file: up to UPLOAD_MAX_BYTES, one at a time of each user."""


def body_of(route: BaseRoute | None) -> Body:
    """What a route's endpoint declares, `LONGEST_BODY` where that is nothing."""
    declared = getattr(getattr(route, "endpoint", None), _KEY, None)
    return declared if isinstance(declared, Body) else Body(LONGEST_BODY)


class BodyLimit:
    """Refuses a body over the limit of its route (which the gate has found), and one that arrives too slowly.

    It stands behind the gate: of a stranger's body nothing is read.
    """

    def __init__(self, app: ASGIApp, *, most_of_file: int) -> None:
        self.app = app
        self._most_of_file = most_of_file
        self._sending: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold a place while a file arrives and is dealt with."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.get("state", {})
        declared = body_of(state.get("route"))
        most = self._most_of_file if declared.is_file else declared.most
        if announced_length(scope) > most:
            answer = problem(413, "body_too_large", values={"limit": to_text(most)}, headers=hang_up_for(scope))
            await answer(scope, receive, send)
            return
        arriving = _Arriving(scope, receive, send, most)
        if not declared.is_file:
            await self.app(scope, arriving.receive, arriving.send)
            return
        user = state.get("user")
        try:
            with self._place(f"user {user.name}" if user else f"peer {peer_of(scope)}"):
                await self.app(scope, arriving.receive, arriving.send)
        except TooManyUploadsError as error:
            await refusal(error, Headers(scope=scope))(scope, receive, send)

    @contextmanager
    def _place(self, sender: str) -> Iterator[None]:
        if sender in self._sending or len(self._sending) >= MOST_UPLOADS:
            log.warning("limit reached", limit="uploads", key=sender)
            raise TooManyUploadsError(UPLOAD_RETRY_SECONDS)
        self._sending.add(sender)
        try:
            yield
        finally:
            self._sending.remove(sender)


class _Arriving:
    """A body on its way: counts its bytes, and how long they have kept us waiting."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._most = most
        self._size = 0
        self._waited = 0.0
        self._is_whole = False
        self._is_answered = False

    async def send(self, message: Message) -> None:
        self._is_answered = True
        await self._send(message)

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()  # waits for the end of the connection
        began = time.monotonic()
        left = GRACE_SECONDS + self._size / SLOWEST_BYTES_PER_SECOND - self._waited
        try:
            async with asyncio.timeout(left):
                message = await self._receive()
        except TimeoutError:
            log.warning("a body arrives too slowly", peer=peer_of(self._scope), bytes=self._size)
            if self._is_answered:
                return {"type": "http.disconnect"}
            raise HTTPException(408, headers=HANG_UP) from None
        self._waited += time.monotonic() - began
        self._size += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._size > self._most:
            raise HTTPException(413, to_text(self._most), headers=HANG_UP)
        return message


def to_text(size: int) -> str:
    """A number of bytes for people."""
    return f"{size // MIB} MiB" if size % MIB == 0 else f"{size // KIB} KiB"
