"""Three backends behind nginx, as deploy/nginx/nginx.conf has it: one is killed under load, and nothing shows it."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from backend.passwords import hash_password
from tests.acceptance.conftest import Process, Stack, free_port
from tests.support import ROOT, eventually

CONFIGURATION = ROOT / "deploy" / "nginx" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
ENDS_WITH_US = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
BACKENDS = 3
PASSWORD = "correct horse battery"
# none that is answered 503 where the machine is so busy that the database takes seconds
READS = ("/sync/status", "/sync/history", "/contratos?limite=10", "/sync/schedules", "/sync/goals")


@dataclass
class Balanced:
    """Backends, the nginx in front of them, and a client of it."""

    stack: Stack
    client: httpx.AsyncClient
    ports: list[int]
    backends: dict[int, Process] = field(default_factory=dict)

    async def start(self, port: int) -> None:
        """Start the backend of this port and wait until it is ready."""
        process = self.stack.start("backend", "-m", "backend", BACKEND_PORT=str(port))
        self.backends[port] = process

        async def is_ready() -> bool:
            assert process.popen.poll() is None, process.text
            try:
                return (await self.client.get(f"http://127.0.0.1:{port}/health/ready")).is_success
            except httpx.TransportError:
                return False

        await eventually(is_ready, seconds=60)

    async def served(self, port: int) -> float:
        """How many requests for lists and statuses a backend says that it has answered."""
        told = (await self.client.get(f"http://127.0.0.1:{port}/metrics")).text
        counts = re.findall(r'^pncp_http_requests_total\{.*route="/(?:sync|contratos).*\} (\S+)$', told, re.MULTILINE)
        return sum(map(float, counts))


Balance = Callable[..., Awaitable[Balanced]]


def configured(folder: Path, port: int, ports: list[int], changes: dict[str, str]) -> str:
    """The configuration as it is, but for addresses, the folder of what is written, and these changes."""
    written = CONFIGURATION.read_text()
    for number, backend in enumerate(ports, start=1):
        changes = {**changes, f"pncp-backend-{number}:8000": f"127.0.0.1:{backend}"}
    for old, new in {"listen 8080": f"listen 127.0.0.1:{port}", "/tmp/nginx": f"{folder}/nginx", **changes}.items():
        assert old in written, old
        written = written.replace(old, new)
    return written


def start_nginx(path: Path, output: Path) -> subprocess.Popen[bytes]:
    directives = "daemon off;" + (" user root;" if os.getuid() == 0 else "")
    with output.open("wb") as sink:
        command = [*ENDS_WITH_US, NGINX or "", "-c", str(path), "-e", "stderr", "-g", directives]
        return subprocess.Popen(command, stdout=sink, stderr=sink)


@pytest.fixture
async def balance(stack: Stack, tmp_path: Path) -> AsyncIterator[Balance]:
    if NGINX is None:
        if os.environ.get("CI"):
            pytest.fail("no nginx")
        pytest.skip("no nginx here")
    running: list[subprocess.Popen[bytes]] = []
    clients: list[httpx.AsyncClient] = []

    async def balance(changes: dict[str, str] | None = None, *, auth: tuple[str, str] | None = None) -> Balanced:
        port, ports = free_port(), [free_port() for _ in range(BACKENDS)]
        path = tmp_path / "nginx.conf"
        path.write_text(configured(tmp_path, port, ports, changes or {}))
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False, auth=auth)
        clients.append(client)
        balanced = Balanced(stack, client, ports)
        await asyncio.gather(*(balanced.start(each) for each in ports))
        running.append(start_nginx(path, tmp_path / "nginx.log"))

        async def is_there() -> bool:
            assert running[-1].poll() is None, (tmp_path / "nginx.log").read_text()
            try:
                return (await client.get("/health/live")).is_success
            except httpx.TransportError:
                return False

        await eventually(is_there)
        return balanced

    yield balance
    for client in clients:
        await client.aclose()
    for nginx in running:
        nginx.terminate()
        await asyncio.to_thread(nginx.wait, 10)


@dataclass
class Load:
    """What readers and writers have met."""

    reads: Counter[str] = field(default_factory=Counter)
    failed_reads: list[str] = field(default_factory=list)
    accepted: dict[str, set[int]] = field(default_factory=dict)
    repeated: Counter[str] = field(default_factory=Counter)
    is_over: bool = False

    async def read(self, client: httpx.AsyncClient) -> None:
        while not self.is_over:
            for path in READS:
                try:
                    answer = await client.get(path)
                except httpx.TransportError as error:
                    self.failed_reads.append(f"{path}: {error!r}")
                    continue
                if answer.is_success:
                    self.reads[path] += 1
                else:
                    self.failed_reads.append(f"{path}: {answer.status_code} {answer.text}")

    async def write(self, client: httpx.AsyncClient, days: list[date]) -> None:
        """Ask for one day after the other, each until it is accepted, and each once more with its key."""
        while not self.is_over:
            day = days.pop()
            window = {"mode": "backfill", "data_ini": f"{day}T00:00:00", "data_fim": f"{day}T23:59:59"}
            key = str(uuid.uuid4())
            while len(answers := self.accepted.setdefault(key, set())) == 0 or self.repeated[key] == 0:
                try:
                    answer = await client.post("/sync/force", json=window, headers={"Idempotency-Key": key})
                except httpx.TransportError:
                    continue
                if answer.status_code in (502, 503, 504):
                    assert answer.headers["Retry-After"]
                    continue
                assert answer.is_success, answer.text
                self.repeated[key] += len(answers) > 0
                answers.add(int(answer.json()["request_id"]))
            await asyncio.sleep(0.1)  # there are so many days and no more


async def test_one_of_three_backends_is_killed_under_load_and_no_read_fails_and_no_post_is_lost_or_doubled(
    balance: Balance, stack: Stack
) -> None:
    stack.settings |= {"MAX_UNFINISHED": "1000", "RABBITMQ_URL": ""}
    balanced = await balance({"rate=10r/s": "rate=100000r/s"})
    load, client = Load(), balanced.client
    days = [date(2023, 1, 1) + timedelta(days=number) for number in range(900)]

    async def goes_on() -> None:
        """Return when as much again has been read and written."""
        reads, writes = load.reads.total() + 60, len(load.accepted) + 15
        await eventually(lambda: load.reads.total() >= reads and len(load.accepted) >= writes, seconds=60)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(load.read(client))
        for _ in range(3):
            tasks.create_task(load.write(client, days))
        await goes_on()
        doomed = balanced.ports[1]
        before = [await balanced.served(port) for port in balanced.ports]
        balanced.backends[doomed].send(signal.SIGKILL)
        await balanced.backends[doomed].ended()
        await goes_on()
        await balanced.start(doomed)

        async def takes_part() -> bool:
            return await balanced.served(doomed) > 0

        await eventually(takes_part, seconds=30)
        await goes_on()
        load.is_over = True

    assert all(before), "each of them has answered"
    assert load.failed_reads == [], load.failed_reads[:5]
    assert {len(ids) for ids in load.accepted.values()} == {1}, "a key is one execution"
    accepted = [identity for (identity,) in load.accepted.values()]
    assert len(set(accepted)) == len(accepted)
    async with stack.engine.connect() as db:
        stored = (await db.execute(text("SELECT id, idempotency_key FROM sync_executions"))).all()
    assert {key: {identity} for identity, key in stored} == load.accepted


async def test_nginx_names_the_client_limits_it_keeps_long_bodies_out_and_says_when_no_backend_answers(
    balance: Balance, stack: Stack
) -> None:
    stack.settings |= {
        "APP_ENV": "production",
        "ADMIN_PASSWORD_HASH": hash_password(PASSWORD.encode()),
        "JWT_SECRET": "0123456789abcdef0123456789abcdef-one",
        "ALLOWED_HOSTS": "127.0.0.1",
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
        "LIMIT_FAILED_LOGINS_PER_MINUTE": "5",
    }
    balanced = await balance()
    client = balanced.client

    token = (await client.post("/auth/token", data={"username": "admin", "password": PASSWORD})).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    answers = [await client.get("/sync/status", headers=bearer) for _ in range(2 * BACKENDS)]
    assert {answer.status_code for answer in answers} == {200}, "a token of one is good at all"
    assert (await client.get("/metrics", headers=bearer)).status_code == 404
    too_large = await client.post("/sync/force", content=b"x" * 1_100_000, headers=bearer)
    assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")

    liar = {"X-Forwarded-For": "198.51.100.7"}
    codes = [(await client.get("/sync/status", auth=("admin", "no"), headers=liar)).status_code for _ in range(7)]
    assert codes == [401] * 5 + [429] * 2, "whichever backend is asked, and whoever is named"
    from_elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(transport=from_elsewhere, base_url=client.base_url) as neighbour:
        assert (await neighbour.get("/sync/status", auth=("viewer", "no"))).status_code == 401
    told = "".join(process.text for process in balanced.backends.values())
    peers = Counter(re.findall(r"login failed .*peer=(\S+)", told))
    assert peers == {"127.0.0.1": 5, "127.0.0.2": 1}, "the address that nginx names, and none that a client names"

    flood = await asyncio.gather(*(client.get("/sync/status", headers=bearer) for _ in range(60)))
    refused = [answer for answer in flood if answer.status_code == 429]
    assert refused
    assert {(answer.json()["code"], answer.headers["Retry-After"]) for answer in refused} == {
        ("too_many_requests", "2")
    }
    assert {answer.status_code for answer in flood} == {200, 429}
    live = await asyncio.gather(*(client.get("/health/live") for _ in range(60)))
    assert {answer.status_code for answer in live} == {200}

    for process in balanced.backends.values():
        process.send(signal.SIGKILL)
        await process.ended()
    answer = await client.get("/health/live")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_backend")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "2"
