"""A load generator for one address, over a number of connections: `python -m bench.load`.

A process of its own that does as little as possible: its share of the machine is the same for all that is measured.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop

from bench.databases import ROOT
from bench.portal import Portal

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(frozen=True)
class Answers:
    """The result: answers per second, their median and 99th percentile, their statuses."""

    per_second: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]


def ask(url: str, *, seconds: float, connections: int = 32, body: str | None = None) -> Answers:
    """Ask for some seconds after a short warm-up; with a body it is a POST."""
    command = [sys.executable, "-m", "bench.load", url, f"--seconds={seconds}", f"--connections={connections}"]
    if body is not None:
        command.append(f"--body={body}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the load on {url} failed:\n{done.stderr[-2000:]}")
    return Answers(**json.loads(done.stdout))


def ceiling(portal: Portal) -> float:
    """How many requests per second a portal answers when it is asked for nothing but one page over and over."""
    address = (
        "/consulta/v1/contratacoes/publicacao?dataInicial=20250310&dataFinal=20250310"
        "&codigoModalidadeContratacao=99&pagina=1&tamanhoPagina=50"
    )
    portal.reset()
    return ask(f"{portal.url}{address}", seconds=1).per_second


class Connection(asyncio.Protocol):
    """Sends the same request again as soon as it has been answered."""

    def __init__(self, request: bytes, took: list[float], statuses: Counter[str]) -> None:
        self._request = request
        self._took = took
        self._statuses = statuses
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]  # uvloop's transports are of no such class

    def data_received(self, data: bytes) -> None:
        """Take an answer's part; when it is whole, ask again."""
        self._received += data
        if not _is_whole(self._received):
            return
        self._took.append(time.perf_counter() - self._sent_at)
        self._statuses[self._received[9:12].decode()] += 1
        self._received = b""
        self._send()


def _is_whole(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return False
    length = _LENGTH.search(head)
    if length:
        return len(body) >= int(length[1])
    return not _CHUNKED.search(head) or body.endswith(b"0\r\n\r\n")


async def _ask(url: str, seconds: float, connections: int, body: str | None) -> Answers:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    head = f"{'GET' if body is None else 'POST'} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}\r\n{body or ''}".encode()
    took: list[float] = []
    statuses: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(
            lambda: Connection(request, took, statuses), parts.hostname or "", parts.port or 80
        )
    await asyncio.sleep(min(seconds / 4, 1))
    took.clear()
    statuses.clear()
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    measured = time.perf_counter() - start
    ordered = sorted(took)
    if not ordered:
        raise RuntimeError(f"{url} did not answer once")
    return Answers(
        len(ordered) / measured,
        1000 * ordered[len(ordered) // 2],
        1000 * ordered[len(ordered) * 99 // 100],
        dict(statuses),
    )


def main() -> None:
    """Run, and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--body")
    options = parser.parse_args()
    found = uvloop.run(_ask(options.url, options.seconds, options.connections, options.body))
    sys.stdout.write(json.dumps(vars(found)))


if __name__ == "__main__":
    main()
