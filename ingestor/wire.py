"""Bounds what an ingestor reads from the broker's connection: short messages, with two properties.

The AMQP library decodes all properties of a message and collects its whole body before a consumer is called, and closes
the connection over a property that it cannot decode. A broker accepts such messages from any publisher, so one of them
would stop the queue for ever, and a few of 100 MB would end the process. Here every frame of the consumer's connection
passes `BoundedReader` first, which rewrites messages: of the properties only `message_id` and the headers
`execution_id` and `traceparent` are kept, and of a body that is too long only its first bytes.
"""

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import commands, constants, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat
from yarl import URL

from common.messages import EXECUTION_HEADER, LONGEST_BODY, LONGEST_ID, NO_IDENTITY
from common.traces import LENGTH, TRACEPARENT

FAULT_HEADER = "x-pncp-fault"
"""Why a message cannot be taken; written here alone, so that no publisher can."""
SIZE_HEADER = "x-pncp-size"
"""Bytes of the body as it was published, where it has been cut."""

KEPT_BYTES = 1024
"""How much of a body that is too long goes to the dead letters."""

_HEAD = struct.Struct(">BHI")
_CHUNK_BYTES = 64 * 1024
_DELIVER = struct.pack(">HH", 60, 60)

# The bits of a message's properties in the order in which they are written, up to the last one that is read.
_SHORT, _TABLE, _OCTET = "short", "table", "octet"
_PROPERTIES = (
    ("content_type", _SHORT),
    ("content_encoding", _SHORT),
    ("headers", _TABLE),
    ("delivery_mode", _OCTET),
    ("priority", _OCTET),
    ("correlation_id", _SHORT),
    ("reply_to", _SHORT),
    ("expiration", _SHORT),
    ("message_id", _SHORT),
)
# Bytes that a value in a table of headers takes, by its type; the others begin with their length in four bytes.
_FIXED = {b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8, b"L": 8, b"f": 4, b"d": 8}
_FIXED |= {b"D": 5, b"T": 8, b"V": 0, b"\0": 0}
_COUNTED = (b"S", b"A", b"F", b"x")
_INTEGERS = {b"b": ">b", b"B": ">B", b"s": ">h", b"u": ">H", b"I": ">i", b"i": ">I", b"l": ">q", b"L": ">q"}
_NOTHING = (b"V", b"\0")
_TEXTS = (b"S", b"x")


class UnreadableError(ValueError):
    """The properties are malformed; the text is the reason for the dead letters."""


@dataclass(frozen=True)
class Envelope:
    """The properties that are kept."""

    message_id: str | None = None
    execution_id: int | str | None = None
    traceparent: str | None = None


def read_envelope(data: bytes) -> Envelope:
    """Read the properties of a message as they stand behind the size of its body in a header frame.

    What is not asked for is passed over by its length and never decoded.

    Raises:
        UnreadableError: the lengths do not add up before both have been found, or one of the two is no text.

    """
    flags = int.from_bytes(_take(data, 0, 2), "big")
    at, more = 2, flags
    while more & 1:
        more = int.from_bytes(_take(data, at, 2), "big")
        at += 2
    found: dict[str, bytes] = {}
    for bit, (name, kind) in enumerate(_PROPERTIES):
        if not flags & 0x8000 >> bit:
            continue
        prefix = {_SHORT: 1, _TABLE: 4, _OCTET: 0}[kind]
        length = int.from_bytes(_take(data, at, prefix), "big") if prefix else 1
        found[name] = _take(data, at + prefix, length)
        at += prefix + length
    return Envelope(_read_text(found.get("message_id")), *read_headers(found.get("headers", b"")))


def _read_text(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    if b"\0" in raw:
        raise UnreadableError("the message_id holds a NUL")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise UnreadableError("the message_id is not UTF-8") from None


def read_headers(table: bytes) -> tuple[int | str | None, str | None]:
    """The headers `execution_id` and `traceparent` in a table of headers, each `None` where there is none.

    Raises:
        UnreadableError: the table is broken before the first of the two, or that is neither a number nor a short text.

    """
    execution_id: int | str | None = None
    trace: str | None = None
    is_found = False
    try:
        for name, kind, value in _headers_in(table):
            if name == EXECUTION_HEADER.encode() and not is_found:
                execution_id = _read_execution_id(kind, value)
                is_found = True
            elif name == TRACEPARENT.encode() and kind in _TEXTS and len(value) == LENGTH and value.isascii():
                trace = value.decode()
    except UnreadableError:
        if not is_found:
            raise
    return execution_id, trace


def _headers_in(table: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, type and value of each header, none of them decoded."""
    at = 0
    while at < len(table):
        length = table[at]
        name = _take(table, at + 1, length)
        at += 1 + length
        kind = _take(table, at, 1)
        at += 1
        if kind in _COUNTED:
            size = int.from_bytes(_take(table, at, 4), "big")
            at += 4
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise UnreadableError(f"the headers hold a value of the unknown type {kind!r}")
        value = _take(table, at, size)
        at += size
        yield name, kind, value


def _read_execution_id(kind: bytes, value: bytes) -> int | str | None:
    if kind in _NOTHING:
        return None
    if kind in _INTEGERS:
        number: int = struct.unpack(_INTEGERS[kind], value)[0]
        return number
    if kind in _TEXTS and len(value) <= LONGEST_ID and value.isascii():
        return value.decode()
    raise UnreadableError(NO_IDENTITY)


def _take(data: bytes, at: int, length: int) -> bytes:
    part = data[at : at + length]
    if len(part) < length:
        raise UnreadableError("the properties or headers are shorter than they say")
    return part


class BoundedReader:
    """The rewritten frames of one connection; implements what the library uses of a stream reader."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._ready = b""
        self._to_keep: dict[int, int] = {}  # by channel: what is still to come of the body that is handed on

    def at_eof(self) -> bool:
        """Whether nothing is left and nothing will come."""
        return not self._ready and self._reader.at_eof()

    async def readexactly(self, n: int) -> bytes:
        """`n` bytes of one frame; the library never asks across the end of one.

        Raises:
            asyncio.IncompleteReadError: the peer has closed.

        """
        if not self._ready:
            self._ready = await self._next_frame()
        part, self._ready = self._ready[:n], self._ready[n:]
        if len(part) < n:
            raise asyncio.IncompleteReadError(part, n)
        return part

    async def _next_frame(self) -> bytes:
        head = await self._reader.readexactly(_HEAD.size)
        if head.startswith(constants.AMQP):  # a broker that speaks another version says so, without a frame
            return head
        kind, channel, size = _HEAD.unpack(head)
        if kind == constants.FRAME_BODY:
            return await self._shorten_body(channel, size)
        content = await self._reader.readexactly(size + 1)
        if kind == constants.FRAME_HEADER:
            return self._rewrite_header(channel, content)
        if kind == constants.FRAME_METHOD and content.startswith(_DELIVER):
            return _without_routing(channel, content)
        return head + content

    def _rewrite_header(self, channel: int, content: bytes) -> bytes:
        size = int.from_bytes(content[4:12], "big")
        headers: dict[str, Any] = {}
        message_id = None
        try:
            envelope = read_envelope(content[12:-1])
        except UnreadableError as error:
            headers[FAULT_HEADER] = str(error)
        else:
            message_id = envelope.message_id
            if envelope.execution_id is not None:
                headers[EXECUTION_HEADER] = envelope.execution_id
            if envelope.traceparent is not None:
                headers[TRACEPARENT] = envelope.traceparent
        kept = size
        if size > LONGEST_BODY:
            headers.setdefault(FAULT_HEADER, f"the body is longer than {LONGEST_BODY} bytes")
            headers[SIZE_HEADER] = min(size, 2**63 - 1)
            kept = KEPT_BYTES
        self._to_keep[channel] = kept
        properties = commands.Basic.Properties(message_id=message_id, headers=headers)
        return frame.marshal(ContentHeader(body_size=kept, properties=properties), channel)

    async def _shorten_body(self, channel: int, size: int) -> bytes:
        """One frame of a body, or as much as is kept of it.

        In place of a frame of which nothing is kept stands a heartbeat: to the library a connection on which nothing
        comes for a while is a dead one.
        """
        kept = await self._reader.readexactly(min(size, self._to_keep.get(channel, 0)))
        self._to_keep[channel] = self._to_keep.get(channel, 0) - len(kept)
        left = size - len(kept)
        while left:
            left -= len(await self._reader.readexactly(min(left, _CHUNK_BYTES)))
        await self._reader.readexactly(1)  # the octet that ends a frame
        return frame.marshal(ContentBody(kept), channel) if kept else frame.marshal(Heartbeat(), 0)


def _without_routing(channel: int, content: bytes) -> bytes:
    """Remove a delivery's exchange and routing key, which its publisher chooses and which may be no text."""
    end_of_tag = 4 + 1 + content[4]
    method = content[: end_of_tag + 9] + b"\0\0"  # the number of the delivery, and whether it is a repeated one
    return _HEAD.pack(constants.FRAME_METHOD, channel, len(method)) + method + constants.FRAME_END_CHAR


class BoundedTransport(TransportFactory):
    """Opens connections as the library does, with a `BoundedReader` in front."""

    def __init__(self, scheme: str) -> None:
        self._inner = TLSTransportFactory() if scheme == "amqps" else TCPTransportFactory()

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect; answers a reader and a writer of the new connection."""
        reader, writer = await self._inner.create(url, **kwargs)
        return cast("asyncio.StreamReader", BoundedReader(reader)), writer
