"""What uvicorn answers itself: limits on what its parser keeps of a request, and problems where it answers text.

uvicorn with httptools keeps a head of any size, and its parser takes quadratic time over a header that arrives in
pieces: 100 MB stopped the process for a minute. Middleware only gets complete heads, and `uvicorn backend.main:app`
does not let the application choose a protocol class. So this process patches the class itself. uvicorn with h11 has a
limit of its own (64 KiB). What the parser cannot read, such as an address of more than 64 KiB, is answered here too.
"""

import functools
import json
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from backend.language.translator import say

LONGEST_INCOMPLETE = 64 * 1024


def _answer(status: int, title: str, code: str) -> bytes:
    """A problem before its request is known, and so without its language and its id."""
    said = {"title": say(f"title.{status}"), "status": status, "detail": say(f"problem.{code}")}
    body = json.dumps({"type": f"/problems/{code}", "code": code, **said}).encode()
    head = f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


_TOO_LARGE = _answer(431, "Request Header Fields Too Large", "head_too_large")
_UNREADABLE = _answer(400, "Bad Request", "unreadable_request")

log = structlog.get_logger(__name__)


class _Connection(Protocol):
    """The part of uvicorn's `HttpToolsProtocol` that is used here."""

    transport: Any
    cycle: Any
    scope: Any
    unparsed_bytes: int


def bound_heads() -> None:
    """Patch uvicorn's httptools protocol, once; does nothing where httptools is not installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415  # optional in uvicorn
    except ImportError:
        return
    if not hasattr(HttpToolsProtocol, "unparsed_bytes"):
        bound(HttpToolsProtocol)


def bound(protocol: Any) -> None:
    """Make a protocol class close connections that send more than 64 KiB without completing anything.

    Every received byte counts until the parser reports something complete: a head, a part of a body, the end of a
    request.
    """
    protocol.unparsed_bytes = 0
    for name in ("on_headers_complete", "on_body", "on_message_complete"):
        setattr(protocol, name, _forgetting(getattr(protocol, name)))
    protocol.data_received = _counting(protocol.data_received)
    protocol.send_400_response = _send_400_response


def _forgetting(callback: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(callback)
    def forget(connection: _Connection, *arguments: Any) -> None:
        connection.unparsed_bytes = 0
        callback(connection, *arguments)

    return forget


def _counting(receive: Callable[[Any, bytes], None]) -> Callable[[Any, bytes], None]:
    @functools.wraps(receive)
    def count(connection: _Connection, data: bytes) -> None:
        if connection.transport.is_closing():
            return
        connection.unparsed_bytes += len(data)
        receive(connection, data)
        if connection.unparsed_bytes > LONGEST_INCOMPLETE and not connection.transport.is_closing():
            log.warning("request head too large", bytes=connection.unparsed_bytes)
            if _awaits_an_answer(connection):
                connection.transport.write(_TOO_LARGE)
            connection.transport.close()

    return count


def _send_400_response(connection: _Connection, _: str) -> None:
    connection.transport.write(_UNREADABLE)
    connection.transport.close()


def _awaits_an_answer(connection: _Connection) -> bool:
    """Whether the head is incomplete and no answer to an earlier request is being sent."""
    is_head = connection.scope is None or "path" not in connection.scope
    return is_head and (connection.cycle is None or connection.cycle.response_complete)
