"""What strangers may try on a real process: its memory, its connections, whose word it takes; where it may write."""

import asyncio
import os
import re
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.passwords import hash_password
from tests.acceptance.conftest import Process, Stack, free_port
from tests.support import ROOT, SETTINGS_OF_OURS, eventually

PASSWORD = "a-password-of-ana"
MEBIBYTE = 1024 * 1024


def memory_of(process: Process, kind: str) -> int:
    """Bytes of memory: `VmRSS` now, `VmHWM` at most so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(rf"^{kind}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def forget_the_peak(process: Process) -> int:
    """Let `VmHWM` count from now on; answers the memory now."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return memory_of(process, "VmRSS")


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")


@needs_proc
async def test_fifty_logins_at_once_take_little_memory_and_liveness_answers_meanwhile(stack: Stack) -> None:
    settings = {"ADMIN_PASSWORD_HASH": hash_password(PASSWORD.encode()), "LIMIT_FAILED_LOGINS_PER_MINUTE": "0"}
    backend = await stack.start_backend(**settings)
    before = forget_the_peak(backend)

    logins = [asyncio.create_task(stack.api.get("/sync/status", auth=("admin", f"wrong-{n}"))) for n in range(50)]
    alive = [await stack.api.get("/health/live") for _ in range(5)]
    codes = {(await login).status_code for login in logins}

    assert codes <= {401, 429, 503}
    assert {answer.status_code for answer in alive} == {200}
    assert memory_of(backend, "VmHWM") - before < 200 * MEBIBYTE
    assert (await stack.api.get("/sync/status", auth=("admin", PASSWORD))).status_code == 200


@needs_proc
async def test_bodies_without_end_leave_the_memory_as_it_was(stack: Stack) -> None:
    backend = await stack.start_backend()
    before = forget_the_peak(backend)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1600):
            yield b"[" * 65536
            await asyncio.sleep(0)

    async def send(headers: dict[str, str]) -> int:
        try:
            return (await stack.api.post("/sync/force", content=endless(), headers=headers)).status_code
        except httpx.TransportError:  # cut off while it was sending
            return 413

    announced = {"Content-Length": str(1600 * 65536)}
    codes = await asyncio.gather(*(send({"Content-Type": "application/json", **announced}) for _ in range(5)))
    codes += await asyncio.gather(*(send({"Content-Type": "application/json"}) for _ in range(5)))

    assert set(codes) == {413}
    assert memory_of(backend, "VmHWM") - before < 50 * MEBIBYTE


async def speak(stack: Stack, request: bytes) -> list[bytes]:
    """The status lines of all that is answered to these bytes until the connection ends or falls silent."""
    reader, writer = await asyncio.open_connection(stack.api.base_url.host, stack.api.base_url.port)
    writer.write(request)
    answered = b""
    try:
        async with asyncio.timeout(2):
            while part := await reader.read(65536):
                answered += part
    except TimeoutError:
        pass
    writer.close()
    return re.findall(rb"^HTTP/1\.1 (\d+)", answered, re.MULTILINE)


SECOND = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /sync/force HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
MALFORMED = {
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(SECOND) + SECOND,
    "a header with NUL": b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_refused_and_hides_no_second_one(stack: Stack, name: str) -> None:
    await stack.start_backend()
    assert await speak(stack, SECOND) == [b"200"]
    codes = await speak(stack, MALFORMED[name])
    assert codes in ([b"400"], []), codes
    assert (await stack.api.get("/sync/history")).json()["total_count"] == 0


async def send_until_refused(stack: Stack, start: bytes, part: bytes, *, most: int) -> int:
    """Send a start, then at most so many bytes in parts while the other side takes them; answers how many it took."""
    _, writer = await asyncio.open_connection(stack.api.base_url.host, stack.api.base_url.port)
    sent = 0
    try:
        async with asyncio.timeout(20):
            writer.write(start)
            while sent < most:
                writer.write(part)
                await writer.drain()
                sent += len(part)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return sent


ENDLESS = {
    "a header": (b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: ", b"x" * 65536),
    "headers": (b"GET /health/live HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n" * 10_000),
    "an address": (b"GET /", b"x" * 65536),
    "empty lines": (b"\r\n", b"\r\n" * 30_000),
    "trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10_000),
}


@needs_proc
async def test_a_head_without_end_is_refused_by_ourselves_and_holds_nothing_up(stack: Stack) -> None:
    backend = await stack.start_backend()
    before = forget_the_peak(backend)
    for name, (start, part) in ENDLESS.items():
        sent = await send_until_refused(stack, start, part, most=100 * MEBIBYTE)
        assert sent < 20 * MEBIBYTE, name  # what the sockets of both sides hold
        assert memory_of(backend, "VmHWM") - before < 20 * MEBIBYTE, name
        assert (await stack.api.get("/health/live")).status_code == 200, name


async def test_a_large_head_is_told_so_and_a_fair_one_is_served(stack: Stack) -> None:
    await stack.start_backend()
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: %s\r\n%s\r\n"
    assert await speak(stack, head % (b"x" * 60_000, b"")) == [b"200"]
    assert await speak(stack, head % (b"x" * 66_000, b"")) == [b"431"]
    assert await speak(stack, head % (b"x", b"X: y\r\n" * 100)) == [b"431"]
    for _ in range(3):  # on one connection, where each has a bound of its own
        assert (await stack.api.get("/health/live", headers={"X": "x" * 40_000})).status_code == 200


@pytest.mark.parametrize("proxy", ["127.0.0.1", "192.0.2.1", None])
async def test_only_the_proxy_that_was_named_speaks_for_others(stack: Stack, proxy: str | None) -> None:
    port = str(free_port())
    settings = {"BACKEND_PORT": port, "LIMIT_UNAUTHENTICATED_PER_MINUTE": "3"}
    settings |= {"FORWARDED_ALLOW_IPS": proxy} if proxy else {}
    backend = stack.start("backend", "-m", "backend", **settings)
    stack.api.base_url = httpx.URL(f"http://127.0.0.1:{port}")
    await eventually(lambda: "Uvicorn running" in backend.text, seconds=30)

    codes = [
        (await stack.api.get("/nowhere", headers={"X-Forwarded-For": f"203.0.113.{n}"})).status_code for n in range(5)
    ]

    assert codes == ([404] * 5 if proxy == "127.0.0.1" else [404] * 3 + [429] * 2)


# --- where it may write, and how it refuses to start ------------------------------------------------------------


async def test_no_service_writes_a_file(stack: Stack) -> None:
    """As on a read-only file system, but for every user: a process that may make files of no bytes at most."""
    await stack.start_simulator("--days", "2", "--per-day", "10")
    port = str(free_port())
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS_OF_OURS}
    environment |= stack.settings | {"DATABASE_URL": stack.database_url, "BACKEND_PORT": port}
    environment |= {"TMPDIR": "/nowhere", "HOME": "/nowhere", "PYTHONUNBUFFERED": "1"}

    def start(module: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),  # noqa: PLW1509  # before any thread
        )

    services = [start("backend"), start("ingestor")]
    try:
        stack.api.base_url = httpx.URL(f"http://127.0.0.1:{port}")

        async def is_ready() -> bool:
            assert [service.poll() for service in services] == [None, None]
            try:
                return (await stack.api.get("/health/ready")).is_success
            except httpx.TransportError:
                return False

        await eventually(is_ready, seconds=30)
        first, last = await stack.span()
        execution = await stack.finished(await stack.force(mode="backfill", data_ini=first, data_fim=last))
        assert execution["status"] == "success"
    finally:
        for service in services:
            service.terminate()
        told = await asyncio.gather(*(asyncio.to_thread(service.communicate) for service in services))
    assert b"Traceback" not in b"".join(errors for _, errors in told)


@pytest.mark.parametrize("module", ["backend", "ingestor"])
def test_a_missing_variable_ends_the_start_with_one_line_and_an_exit_code(module: str, tmp_path: Path) -> None:
    environment: dict[str, Any] = {name: value for name, value in os.environ.items() if name not in SETTINGS_OF_OURS}
    ended = subprocess.run(
        [sys.executable, "-m", module],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "RABBITMQ_URL": "amqp://u:s3cret@h/"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert (ended.stdout, ended.stderr) == ("", f"{module}: DATABASE_URL: is required\n")
