"""Pure ASGI around the application: permissions and rate limits, hosts and origins, headers, the size of heads."""

import ipaddress
import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.access import access_of, leaves
from backend.errors import (
    ForbiddenError,
    RefusedError,
    TooManyRequestsError,
    on_unexpected,
    problem,
    refusal,
)
from backend.language.translator import Language, language_of_request, negotiate
from backend.limiter import Limiter, network_of
from backend.metrics import Metrics, template_of
from backend.security import Security, User
from common import traces
from common.connections.scopes import covers

log = structlog.get_logger(__name__)

LIVENESS = "/health/live"
PUBLIC = {"/", "/health", "/health/ready", LIVENESS, "/auth/token", "/buscas/cancelar/{token}"}
"""Paths of routes that need no user, beside the page's assets. All other routes need one."""
PAGE = "/"
ASSETS = "/assets/"
"""The page's paths; they hold no data."""
READING = ("GET", "HEAD")

SAFE = (*READING, "OPTIONS", "TRACE")
"""Methods that change nothing (RFC 9110, 9.2.1)."""

LONGEST_HEAD = 64 * 1024
MOST_HEADERS = 100
LONGEST_DISCARDED = 1024 * 1024
HANG_UP = {"Connection": "close"}
"""Close the connection in place of reading the rest of a body.

A client that is cut off while sending may miss the answer, so this is only for bodies that are very long or of unknown
length.
"""


class HeadLimit:
    """Refuses a head over the limit with 431; `backend.heads` limits what is read of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (len(scope["headers"]) > MOST_HEADERS or _head_size(scope) > LONGEST_HEAD):
            log.warning("request head too large", peer=peer_of(scope))
            answer = problem(431, "head_too_large", headers=HANG_UP)
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)


def announced_length(scope: Scope) -> int:
    """The length that a request's body is said to have, in bytes; 0 where nothing is said."""
    told = next(iter(_header(scope, b"content-length")), b"")
    return int(told[:20]) if told.isdigit() else 0


def hang_up_for(scope: Scope) -> dict[str, str]:
    """Headers of an answer to a request whose body is not read: `HANG_UP` where it is long or of unknown length."""
    is_chunked = bool(_header(scope, b"transfer-encoding"))
    return HANG_UP if is_chunked or announced_length(scope) > LONGEST_DISCARDED else {}


def _head_size(scope: Scope) -> int:
    """The size of a head: address and headers with their separators, in bytes."""
    address = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    return address + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


class OneLineStart:
    """Logs a configuration error at startup in one line in place of a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def shorten(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                message = {**message, "message": message["message"].strip().rsplit("\n", 1)[-1]}
            await send(message)

        await self.app(scope, receive, shorten)


_REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")


class RequestContext:
    """Adds a request id to the answer and to all log lines, finds its language, and answers 500 to what is left."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id")
        request_id = given[0].decode() if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else uuid.uuid4().hex
        language_of_request.set(_language_of(scope))
        has_begun = False

        async def send_named(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_named)
            except Exception as error:
                if has_begun:
                    raise
                # Starlette handles exceptions outside of all middleware, where our headers would be missing
                answer = on_unexpected(Request(scope), error)
                _add_headers(answer.headers, scope)
                await answer(scope, receive, send_named)
            finally:
                structlog.contextvars.unbind_contextvars("execution_id")  # of the one that the request was about


def _language_of(scope: Scope) -> Language:
    """The language that a request wants; the header may be given in parts."""
    return negotiate(",".join(value.decode("latin-1") for value in _header(scope, b"accept-language")))


class ForgetShared:
    """Invalidates the shared dashboard (`state["dashboard"]`) before the answer to a request with an effect is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dashboard = scope.get("state", {}).get("dashboard")
        if scope["type"] != "http" or scope["method"] in SAFE or dashboard is None:
            await self.app(scope, receive, send)
            return

        async def send_after(message: Message) -> None:
            if message["type"] == "http.response.start":
                dashboard.forget()
            await send(message)

        await self.app(scope, receive, send_after)


class Measure:
    """Counts requests and their durations by route."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = dict(scope)  # routing changes the scope
        status: int | None = None
        began = time.monotonic()

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        finally:
            route = template_of(asked, scope, self._routes)
            self._metrics.answered(route, scope["method"], status, time.monotonic() - began)


class Traced:
    """A span for each request, of its method, its route's template and its status; what is in it is not said."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_NOT_TRACED):
            await self.app(scope, receive, send)
            return
        asked = dict(scope)  # routing changes the scope
        given = _header(scope, traces.TRACEPARENT.encode())
        parent = given[0].decode("latin-1") if len(given) == 1 else None
        with traces.span(scope["method"], parent=parent, kind="SERVER") as span:

            async def send_noting(message: Message) -> None:
                if span is not None and message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self.app(scope, receive, send_noting)
            finally:
                if span is not None:
                    route = template_of(asked, scope, list(leaves(self._routes)))
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attributes({"http.request.method": scope["method"], "http.route": route})


_NOT_TRACED = ("/health", ASSETS, "/metrics")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# ReDoc makes two style elements, one of which is empty and filled by script; its search runs in a worker of its own
_REDOC_POLICY = _PAGE_POLICY.replace(
    "style-src 'self'",
    "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='; worker-src blob:",
)


class SecurityHeaders:
    """Adds security headers: no sniffing, no framing, and a policy by which pages load our own files alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), scope)
            await send(message)

        await self.app(scope, receive, send_guarded)


def _add_headers(headers: MutableHeaders, scope: Scope) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")  # but where an endpoint knows better
    if headers.get("content-type", "").startswith("text/html"):
        headers["Content-Security-Policy"] = _REDOC_POLICY if scope["path"] == "/redoc" else _PAGE_POLICY
    if scope["path"].startswith("/docs/assets/"):
        headers["Cache-Control"] = "private, no-cache"  # megabytes: cached by the browser, and revalidated
    if _is_of_page(scope["path"]) and "etag" in headers:
        headers["Cache-Control"] = "no-cache"  # cached, but revalidated each time: an upgrade takes effect at once


_LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]"}


class HostCheck:
    """Refuses unknown `Host` names: a foreign page can make its own name resolve to this address (DNS rebinding).

    Without a list (`names` is None) only local names are answered: those of this machine, and names without a dot,
    which a local network assigns (a service of Compose) and no page of the internet has. With `loopback_only` that
    holds only for connections to a loopback address.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str] | None, *, loopback_only: bool = False) -> None:
        self.app = app
        self._names = None if names is None else {name.lower() for name in names} | _LOCAL_NAMES
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass `/health` under any name: a supervisor's probe uses an address."""
        if scope["type"] == "http" and not self._is_health(scope["path"]) and not self._is_ours(scope):
            log.warning("unknown host refused", peer=peer_of(scope))
            await problem(400, "unknown_host")(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_health(self, path: str) -> bool:
        return path == "/health" or path.startswith("/health/")

    def _is_ours(self, scope: Scope) -> bool:
        if self._loopback_only and not _came_by_loopback(scope):
            return True
        given = _header(scope, b"host")
        name = re.sub(r":\d*$", "", given[0].decode("latin-1").lower()) if len(given) == 1 else ""
        if self._names is None:
            return name in _LOCAL_NAMES or re.fullmatch(r"[a-z0-9_-]+", name) is not None
        return name in self._names or any(
            allowed.startswith("*.") and name.endswith(allowed[1:]) for allowed in self._names
        )


def _came_by_loopback(scope: Scope) -> bool:
    """Whether the connection was made to a loopback address of this machine."""
    try:
        address = ipaddress.ip_address((scope.get("server") or ("",))[0])
    except ValueError:
        return False  # a name, or the path of a socket
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class OriginCheck:
    """Refuses requests with an effect that another site's page has sent, whatever their content type (CSRF).

    Browsers name the origin of a request (`Sec-Fetch-Site`, `Origin`), and pages cannot set these headers. A request
    with neither is not from a browser and passes.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self.app = app
        self._origins = {origin.lower() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE and not self._may_ask(scope):
            log.warning("cross-site request refused", method=scope["method"], path=scope["path"], peer=peer_of(scope))
            await problem(403, "cross_site")(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _may_ask(self, scope: Scope) -> bool:
        sites = [value.decode("latin-1").lower() for value in _header(scope, b"sec-fetch-site")]
        origins = [value.decode("latin-1").lower() for value in _header(scope, b"origin")]
        if origins and all(origin in self._origins for origin in origins):
            return True
        if any(site not in ("same-origin", "none") for site in sites):
            return False
        hosts = [value.decode("latin-1").lower() for value in _header(scope, b"host")]
        is_vouched_for = sites == ["same-origin"]
        return all(len(hosts) == 1 and _is_of_host(origin, hosts[0], is_vouched_for) for origin in origins)


def _is_of_host(origin: str, host: str, is_vouched_for: bool) -> bool:
    """Whether an origin is the host's own; a port missing in `Host` passes where the browser says `same-origin`."""
    try:
        theirs, ours = urlsplit(origin), urlsplit(f"//{host}")
        usual = {"http": 80, "https": 443}[theirs.scheme]
        same_port = (theirs.port or usual) == (ours.port or usual)
        port_was_cut_off = is_vouched_for and ours.port is None
    except (KeyError, ValueError):
        return False
    return theirs.hostname == ours.hostname and (same_port or port_was_cut_off)


class Gate:
    """Authentication and authorization: every route but the public ones needs a user with the declared scope.

    It stands in front of the application because FastAPI reads and validates a body before dependencies run. An unknown
    path is answered 404 to all callers alike. What follows finds user and route in the state of the request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        security: Security | None,
        limiter: Limiter,
        metrics: Metrics,
        routes: Sequence[BaseRoute],
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._security = security
        self._limiter = limiter
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            route, parameters = self._find(scope)
            try:
                user = await self._admit(scope, route, parameters)
            except RefusedError as error:
                answer = refusal(error, Headers(scope=scope))
                answer.headers.update(hang_up_for(scope))
                await answer(scope, receive, send)
                return
            scope.setdefault("state", {}).update(user=user, route=route)
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope, route: BaseRoute | None, parameters: Mapping[str, Any]) -> User | None:
        if scope["path"] == LIVENESS:
            return None  # a supervisor would restart the process after a 429
        if _is_of_page(scope["path"]) and scope["method"] in READING:
            return None  # one visit loads a dozen files, and to serve one costs less than to count it
        peer = peer_of(scope)
        if scope["path"] in PUBLIC or route is None or getattr(route, "path", None) in PUBLIC:
            await self._count("unauthenticated", peer)
            return None
        access = access_of(route)
        if self._security is None:
            await self._count(access.cost, f"peer {peer}")
            return None
        user = await self._security.identify(_header(scope, b"authorization"), peer, address_of(scope))
        wanted = access.scope_at(parameters)
        if not covers(user.scopes, wanted) and not (access.also and covers(user.scopes, access.also)):
            known = {"user": user.name, "scope": wanted, "method": scope["method"], "path": scope["path"], "peer": peer}
            log.warning("forbidden", **known)
            raise ForbiddenError(wanted)
        if user.is_client:
            await self._count("client", user.name, signed_in=True)
        else:
            # by user and peer: people who share an account do not use up each other's limit
            await self._count(access.cost, f"user {user.name} peer {peer}", signed_in=True)
        return user

    def _find(self, scope: Scope) -> tuple[BaseRoute | None, Mapping[str, Any]]:
        """The route that a request leads to, and the parameters of its path."""
        if _is_of_page(scope["path"]) and scope["method"] in READING:
            return None, {}  # one visit loads a dozen files
        for route in leaves(self._routes):
            match, found = route.matches(scope)
            if match is Match.FULL:
                return route, found.get("path_params", {})
        return None, {}

    async def _count(self, kind: str, key: str, *, signed_in: bool = False) -> None:
        if seconds := await self._limiter.hit(kind, key, signed_in=signed_in):
            log.warning("limit reached", limit=kind, key=key)
            self._metrics.limit_hit(kind)
            raise TooManyRequestsError(seconds)


def _is_of_page(path: str) -> bool:
    return path == PAGE or path.startswith(ASSETS)


def peer_of(scope: Scope) -> str:
    """The peer to count by: the connection's, or the client named by a trusted proxy."""
    client = scope.get("client")
    return network_of(client[0]) if client else "unknown"


def address_of(scope: Scope) -> str:
    """The address of the peer itself; empty where it has none."""
    client = scope.get("client")
    return client[0] if client else ""


def _header(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
