"""A publisher that sends what it is told and nothing more: the libraries give every message an id of their own."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader, ProtocolHeader

CONNECTION, CHANNEL = 0, 1
BODY_FRAME = 100_000  # bytes; less than any broker takes


class PlainPublisher:
    """One connection and one channel with confirms, for one message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def _send(self, what: object, channel: int) -> None:
        self._writer.write(frame.marshal(what, channel))  # type: ignore[arg-type]

    async def _receive(self) -> object:
        head = await self._reader.readexactly(7)
        rest = await self._reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
        return frame.unmarshal(head + rest)[2]

    async def open(self, user: str, password: str) -> None:
        self._writer.write(ProtocolHeader().marshal())
        await self._receive()  # Start
        self._send(commands.Connection.StartOk(response=f"\0{user}\0{password}"), CONNECTION)
        tune = await self._receive()
        assert isinstance(tune, commands.Connection.Tune)
        # no heartbeats, for the moment that it lives; "no limit" of channels would be refused
        self._send(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0), CONNECTION)
        self._send(commands.Connection.Open("/"), CONNECTION)
        await self._receive()
        for opening in (commands.Channel.Open(), commands.Confirm.Select()):
            self._send(opening, CHANNEL)
            await self._receive()

    async def publish(self, queue: str, body: bytes, properties: commands.Basic.Properties) -> bool:
        """Whether the broker has confirmed it."""
        header = frame.marshal(ContentHeader(body_size=len(body), properties=properties), CHANNEL)
        return await self._publish(queue, header, body)

    async def publish_raw(self, queue: str, body: bytes, properties: bytes) -> bool:
        """Publish with properties that are written as they are given, the word of flags first."""
        content = struct.pack(">HHQ", 60, 0, len(body)) + properties
        return await self._publish(queue, struct.pack(">BHI", 2, CHANNEL, len(content)) + content + b"\xce", body)

    async def _publish(self, queue: str, header: bytes, body: bytes) -> bool:
        self._send(commands.Basic.Publish(routing_key=queue), CHANNEL)
        self._writer.write(header)
        for start in range(0, len(body), BODY_FRAME):
            self._send(ContentBody(body[start : start + BODY_FRAME]), CHANNEL)
            await self._writer.drain()
        return isinstance(await self._receive(), commands.Basic.Ack)


@asynccontextmanager
async def open_publisher(url: str) -> AsyncIterator[PlainPublisher]:
    """A publisher with a connection of its own; OSError or EOFError where the broker goes away."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 5672)
    try:
        publisher = PlainPublisher(reader, writer)
        await publisher.open(parts.username or "guest", parts.password or "guest")
        yield publisher
    finally:
        writer.close()


async def publish_plainly(
    url: str, queue: str, body: bytes, *, message_id: str | None = None, headers: dict[str, object] | None = None
) -> bool:
    """Publish persistently; OSError or EOFError where the broker goes away."""
    async with open_publisher(url) as publisher:
        properties = commands.Basic.Properties(
            message_id=message_id,
            headers=headers or None,  # type: ignore[arg-type]
            delivery_mode=2,
        )
        return await publisher.publish(queue, body, properties)
