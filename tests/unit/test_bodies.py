"""Answers over a real connection: what lies between the portal's bytes and the client is aiohttp's, limits included."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date

import pytest

from common.resources.contratacoes import CONTRATACOES, ITENS
from ingestor.errors import PncpUnavailable
from ingestor.sources.pncp.client import PncpClient, Span
from tests.support import FakeSource

pytestmark = pytest.mark.enable_socket

DAY = date(2026, 3, 10)
KEY = "46675997000180-1-000350/2026"
MIB = 1 << 20
ONE_ITEM = json.dumps([{"numeroItem": 1}]).encode()


@asynccontextmanager
async def client_of(answer: Callable[[], AsyncIterator[bytes]]) -> AsyncIterator[PncpClient]:
    """A client of a server that sends these very bytes to every request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                async for part in answer():
                    writer.write(part)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        PncpClient(
            f"http://127.0.0.1:{port}", source=FakeSource(), requests_per_second=0, retry_wait_max=0, timeout_seconds=10
        ) as client,
    ):
        yield client


def head(*lines: str, length: int | None = None) -> bytes:
    told = () if length is None else (f"Content-Length: {length}",)
    return "\r\n".join(["HTTP/1.1 200 OK", *told, *lines, "", ""]).encode()


@pytest.mark.parametrize("size", [8_200, 60_000])
async def test_a_gateway_s_long_headers_make_no_answer_unreadable(size: int) -> None:
    async def answer() -> AsyncIterator[bytes]:
        yield (
            head(f"Content-Security-Policy: {'x' * size}", f"Set-Cookie: {'y' * size}", length=len(ONE_ITEM)) + ONE_ITEM
        )

    async with client_of(answer) as client:
        assert list((await client.fetch_list(CONTRATACOES, ITENS, KEY)).payloads) == [1]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_is_unpacked_in_bounded_parts(encoding: str) -> None:
    packed = gzip.compress(b" " * (200 * MIB), compresslevel=9)
    if encoding == "deflate":
        packed = b"\x78\x9c" + packed[10:-8]

    async def answer() -> AsyncIterator[bytes]:
        yield head(f"Content-Encoding: {encoding}", length=len(packed)) + packed

    async with client_of(answer) as client:
        for fetch in (
            lambda: client.fetch_list(CONTRATACOES, ITENS, KEY),
            lambda: client.fetch_page(Span(CONTRATACOES, "publicacao", 6, DAY, DAY), 1),
        ):
            tracemalloc.start()
            try:
                with pytest.raises(PncpUnavailable, match="larger than"):
                    await fetch()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 32 * MIB
