"""Limits what uvicorn's parser keeps of an incomplete request: its head, and the trailers of a body.

uvicorn with httptools keeps a head of any size, and its parser takes quadratic time over a header that arrives in
pieces: 100 MB stopped the process for a minute. Middleware only gets complete heads, and `uvicorn backend.main:app`
does not let the application choose a protocol class. So this process patches the class itself. uvicorn with h11 has a
limit of its own (64 KiB).
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol

import structlog

LONGEST_INCOMPLETE = 64 * 1024

_BODY = '{"type":"about:blank","title":"Request Header Fields Too Large","status":431}'
_ANSWER = (
    "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    f"content-length: {len(_BODY)}\r\nconnection: close\r\n\r\n{_BODY}"
).encode()

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
                connection.transport.write(_ANSWER)
            connection.transport.close()

    return count


def _awaits_an_answer(connection: _Connection) -> bool:
    """Whether the head is incomplete and no answer to an earlier request is being sent."""
    is_head = connection.scope is None or "path" not in connection.scope
    return is_head and (connection.cycle is None or connection.cycle.response_complete)
