"""The bytes of a broker: what is read of a message's properties, and how much of its body is handed on."""

import asyncio
import struct
from typing import Any

import pytest
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from common.messages import LONGEST_BODY
from ingestor.wire import FAULT_HEADER, KEPT_BYTES, SIZE_HEADER, BoundedReader, Envelope, UnreadableError, read_envelope


async def receive(sent: bytes) -> list[Any]:
    """The frames that come out, as the library reads them: seven bytes, then the rest."""
    stream = asyncio.StreamReader()
    stream.feed_data(sent)
    stream.feed_eof()
    reader = BoundedReader(stream)
    frames = []
    while not reader.at_eof():
        head = await reader.readexactly(1) + await reader.readexactly(6)
        rest = await reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
        frames.append(frame.unmarshal(head + rest)[2])
    return frames


def delivery(body: bytes, *, pieces: int = 1, routing_key: bytes = b"q", **properties: Any) -> bytes:
    method = struct.pack(">HH", 60, 60) + b"\1t" + (7).to_bytes(8, "big") + b"\1" + b"\0"
    method += bytes([len(routing_key)]) + routing_key
    header = ContentHeader(body_size=len(body), properties=commands.Basic.Properties(**properties))
    step = -(-len(body) // pieces) or 1
    return (
        struct.pack(">BHI", 1, 1, len(method))
        + method
        + b"\xce"
        + frame.marshal(header, 1)
        + b"".join(frame.marshal(ContentBody(body[at : at + step]), 1) for at in range(0, len(body), step))
    )


async def test_of_the_properties_two_are_left() -> None:
    sent = delivery(
        b"{}",
        routing_key=b"\xff",
        content_type="text/plain",
        headers={"more": [1, {"a": None}], "execution_id": 42},
        priority=3,
        expiration="soon",
        message_id="ours",
        app_id="x",
    )
    method, header, body = await receive(sent)

    assert (method.delivery_tag, method.redelivered, method.exchange, method.routing_key) == (7, True, "", "")
    assert (header.body_size, body.value) == (2, b"{}")
    assert {name: value for name, value in header.properties if value} == {
        "message_id": "ours",
        "headers": {"execution_id": 42},
    }


async def test_of_a_body_that_is_too_long_the_first_bytes_are_left_and_heartbeats() -> None:
    body = bytes(range(256)) * 40_000
    _, header, first, *others = await receive(delivery(body, pieces=100))

    assert header.body_size == KEPT_BYTES
    assert header.properties.headers[SIZE_HEADER] == len(body)
    assert str(LONGEST_BODY) in header.properties.headers[FAULT_HEADER]
    assert first.value == body[:KEPT_BYTES]
    assert len(others) == 99
    assert all(isinstance(other, Heartbeat) for other in others)


@pytest.mark.parametrize("size", [0, 1, LONGEST_BODY])
@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_body_that_is_short_enough_is_whole(size: int, pieces: int) -> None:
    body = b"x" * size
    _, header, *parts = await receive(delivery(body, pieces=pieces))

    assert header.body_size == size
    assert b"".join(part.value for part in parts) == body
    assert header.properties.headers == {}


async def test_what_is_not_a_message_passes_unchanged() -> None:
    sent = [commands.Channel.OpenOk(), Heartbeat(), commands.Queue.DeclareOk("q", 3, 1)]
    received = await receive(b"".join(frame.marshal(one, 1) for one in sent))

    assert [type(one) for one in received] == [type(one) for one in sent]
    assert (received[2].queue, received[2].message_count, received[2].consumer_count) == ("q", 3, 1)


async def test_a_broker_of_another_version_is_heard() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"AMQP\0\0\x09\1")
    assert (await BoundedReader(stream).readexactly(1)) == b"A"


async def test_a_connection_that_ends_in_the_middle_is_told_as_the_library_expects_it() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(delivery(b"x" * 100)[:-20])
    stream.feed_eof()
    reader = BoundedReader(stream)

    async def read_on() -> None:
        while True:
            await reader.readexactly(1)

    with pytest.raises(asyncio.IncompleteReadError):
        await read_on()


def properties(**values: Any) -> bytes:
    return ContentHeader(properties=commands.Basic.Properties(**values)).marshal()[12:]


@pytest.mark.parametrize("value", [1, 255, 70_000, 2**40, "12", "²".encode().decode("latin-1"), None])
def test_an_identity_is_a_number_or_a_short_text(value: int | str | None) -> None:
    if isinstance(value, str) and not value.isascii():
        with pytest.raises(UnreadableError):
            read_envelope(properties(headers={"execution_id": value}))
        return
    assert read_envelope(properties(headers={"a": "b", "execution_id": value})).execution_id == value


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_is_read_before_and_behind_the_identity_and_never_refuses_a_message() -> None:
    before = read_envelope(properties(headers={"traceparent": TRACE, "execution_id": 7}))
    behind = read_envelope(properties(headers={"execution_id": 7, "a": 1, "traceparent": TRACE}))
    assert before == behind == Envelope(execution_id=7, traceparent=TRACE)
    for other in (1, "short", "x" * 5000, "é" * 55, {}):
        assert read_envelope(properties(headers={"traceparent": other, "execution_id": 7})) == Envelope(None, 7)
    table = properties(headers={"execution_id": 7, "z": "x" * 10})
    broken = table.replace(b"\x01zS", b"\x01z?")
    assert broken != table
    assert read_envelope(broken) == Envelope(None, 7)


def test_flags_may_go_on_in_further_words() -> None:
    assert read_envelope(b"\x80\x01\x00\x00\x01x") == Envelope()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x00",
        b"\x80\x00\x05x",
        b"\x20\x00\x00\x00\x00\x09\x01a",
        b"\x20\x00\x00\x00\x00\x03\x01a?",
        b"\x20\x00\x00\x00\x00\x07\x01aS\xff\xff\xff\xff",
        b"\x20\x00\xff\xff\xff\xff",
        b"\x00\x80\x01\xff",
        *(properties(headers={"execution_id": value}) for value in (True, 1.5, {"a": 1}, [1], "x" * 20)),
    ],
)
def test_what_does_not_add_up_has_a_reason(data: bytes) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_envelope(data)
    assert str(caught.value)
