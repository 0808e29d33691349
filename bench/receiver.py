"""A destination in a process of its own: reads requests, counts their records, and answers 200 to all: `Receiver`."""

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import uvloop

from bench.databases import ROOT
from bench.products import MARK

CONTROL = "/__bench"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class Received:
    """Requests since the last reset, and the records and bytes in them."""

    requests: int
    records: int
    bytes: int


class Receiver:
    """The process, from the beginning of a `with` to its end; `url` is what a destination has."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.receiver"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the receiver of the benchmark did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def reset(self, latency_ms: float) -> None:
        """Count from zero, and wait so long before each answer."""
        self._control(latency_ms=latency_ms)

    def received(self) -> Received:
        """What has come since the last reset."""
        return Received(**self._control())

    def _control(self, **words: float) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}{CONTROL}?{urlencode(words)}", timeout=10) as told:  # noqa: S310  # ours
            counts: dict[str, int] = json.load(told)
            return counts


@dataclass
class State:
    """What is common to all connections: seconds before each answer, and what has come."""

    latency: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("requests", "records", "bytes"), 0))


class Connection(asyncio.Protocol):
    """One connection: a request at a time, with its length before its body."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._target = b""
        self._head = b""
        self._parts: list[bytes] = []
        self._missing: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Answer a request when its body is whole."""
        if self._missing is None:
            head, separator, data = (self._head + data).partition(b"\r\n\r\n")
            if not separator:
                self._head = head
                return
            if _CHUNKED.search(head):
                self._transport.close()
                return
            length = _LENGTH.search(head)
            self._target, self._head = head.split(b" ", 2)[1], b""
            self._missing = int(length[1]) if length else 0
        self._parts.append(data)
        self._missing -= len(data)
        if self._missing <= 0:
            body, self._parts, self._missing = b"".join(self._parts), [], None
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        if self._target.startswith(CONTROL.encode()):
            told = json.dumps(control(self._state, self._target.decode())).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
            return
        counts = self._state.counts
        counts["requests"] += 1
        counts["records"] += body.count(MARK)
        counts["bytes"] += len(body)
        if self._state.latency:
            asyncio.get_running_loop().call_later(self._state.latency, self._transport.write, _EMPTY)
        else:
            self._transport.write(_EMPTY)


def control(state: State, target: str) -> dict[str, int]:
    """Answer with the counts; where a latency is given, set it and count from zero."""
    counts = dict(state.counts)
    given = dict(parse_qsl(urlsplit(target).query))
    if "latency_ms" in given:
        state.latency = float(given["latency_ms"]) / 1000
        state.counts = dict.fromkeys(counts, 0)
    return counts


async def _serve() -> None:
    state = State()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
