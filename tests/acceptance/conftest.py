"""Real processes on free ports, on a database of the test's own, stopped by their own pid whatever happens."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support import ROOT, SETTINGS_OF_OURS, eventually

# Where the test run itself is killed, what it has started ends with it.
ENDS_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
STARTS_WITHIN = 30.0


@dataclass
class Process:
    """One started program and what it has printed so far."""

    name: str
    popen: subprocess.Popen[bytes]
    output: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    async def ended(self, seconds: float = 40) -> int:
        """Its exit code, once it has ended."""
        await eventually(lambda: self.popen.poll() is not None, seconds=seconds)
        assert self.popen.returncode is not None
        return self.popen.returncode


@dataclass
class Stack:
    """The product as an operator starts it: simulator, backend, any number of ingestors."""

    folder: Path
    database_url: str
    engine: AsyncEngine
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    simulator_url: str = ""
    api: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=30, trust_env=False))

    def start(self, name: str, *command: str, **settings: str) -> Process:
        """Start `python COMMAND` with the stack's settings and these."""
        environment = {key: value for key, value in os.environ.items() if key not in SETTINGS_OF_OURS}
        environment |= {"DATABASE_URL": self.database_url, "LOG_FORMAT": "text", "PYTHONUNBUFFERED": "1"}
        environment |= self.settings | settings
        output = self.folder / f"{len(self.processes)}-{name}.log"
        with output.open("wb") as sink:
            popen = subprocess.Popen(
                [*ENDS_WITH_US, sys.executable, *command],
                cwd=ROOT,
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        process = Process(name, popen, output)
        self.processes.append(process)
        return process

    async def start_simulator(self, *options: str) -> None:
        """Start the simulator and have the ingestors ask it."""
        simulator = self.start("simulator", "-m", "simulator", "--port", "0", *options)
        await self._wait_for(simulator, lambda: "simulator ready on " in simulator.text)
        base_url = simulator.text.partition("ready on ")[2].split()[0]
        self.simulator_url = base_url.removesuffix("/api") + "/simulator"
        self.settings["PNCP_BASE_URL"] = base_url

    async def start_backend(self, **settings: str) -> Process:
        """Start the backend as the documentation says and wait until it is ready."""
        port = free_port()
        command = ("-m", "uvicorn", "backend.main:app", "--port", str(port))
        backend = self.start("backend", *command, **settings)
        self.api.base_url = f"http://127.0.0.1:{port}"

        async def ready() -> bool:
            try:
                return (await self.api.get("/health")).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

        await self._wait_for(backend, ready)
        return backend

    async def start_ingestor(self, **settings: str) -> Process:
        """Start one ingestor and wait until it works."""
        ingestor = self.start("ingestor", "-m", "ingestor", **settings)
        await self._wait_for(ingestor, lambda: "worker started" in ingestor.text)
        return ingestor

    async def _wait_for(self, process: Process, condition: Any) -> None:
        def fine() -> Any:
            assert process.popen.poll() is None, process.text
            return condition()

        await eventually(fine, seconds=STARTS_WITHIN)

    async def force(self, **body: str) -> int:
        """Ask for a synchronisation; answers its id."""
        answer = await self.api.post("/sync/force", json=body)
        assert answer.status_code == httpx.codes.OK, answer.text
        return int(answer.json()["request_id"])

    async def execution(self, execution_id: int) -> dict[str, Any]:
        """What the API says of an execution."""
        answer: dict[str, Any] = (await self.api.get(f"/sync/executions/{execution_id}")).json()
        return answer

    async def finished(self, execution_id: int, seconds: float = 90) -> dict[str, Any]:
        """What the API says of an execution, once it has ended."""

        async def ended() -> bool:
            return bool((await self.execution(execution_id))["status"] != "running")

        await eventually(ended, seconds=seconds, every=0.1)
        return await self.execution(execution_id)

    async def processed_at_least(self, execution_id: int, records: int) -> None:
        """Wait until an execution is so far."""

        async def so_far() -> bool:
            return bool((await self.execution(execution_id))["records_processed"] >= records)

        await eventually(so_far, seconds=60)

    async def portal_behaves(self) -> None:
        """Let no answer fail any more."""
        (await self.api.delete(f"{self.simulator_url}/quirks")).raise_for_status()

    async def span(self) -> tuple[str, str]:
        """The days that the simulator covers, as a window."""
        first, last = (await self.api.get(f"{self.simulator_url}/state")).json()["days"]
        return f"{first}T00:00:00", f"{last}T23:59:59"

    async def truth(self, start: str, end: str, criterio: str = "publicacao") -> dict[str, int]:
        """What the portal holds of a window: control number -> number of items."""
        window = {"criterio": criterio, "data_ini": start, "data_fim": end}
        records = (await self.api.get(f"{self.simulator_url}/records", params=window)).json()
        return {record["numeroControlePNCP"]: record["itens"] for record in records}

    async def stored(self) -> dict[str, int]:
        """What the mirror holds: control number -> number of items."""
        statement = text("""
            SELECT numero_controle_pncp, (SELECT count(*) FROM itens_contratacao i
                                           WHERE i.numero_controle_pncp = c.numero_controle_pncp)
              FROM contratacoes c
        """)
        async with self.engine.connect() as db:
            return {row[0]: row[1] for row in await db.execute(statement)}

    async def requests(self) -> dict[str, int]:
        """How many requests each of the portal's services has answered since it was last asked."""
        state = (await self.api.get(f"{self.simulator_url}/state")).json()["requests"]
        await self.api.delete(f"{self.simulator_url}/state")
        return dict(state)

    async def close(self) -> None:
        await self.api.aclose()
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.kill()
                await asyncio.to_thread(process.popen.wait)


def free_port() -> int:
    """A port without a listener at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def stack(tmp_path: Path, database_url: str, engine: AsyncEngine) -> AsyncIterator[Stack]:
    """Settings that make the most of a fast portal and let faults pass quickly."""
    stack = Stack(tmp_path, database_url, engine)
    stack.settings = {
        "PNCP_REQUESTS_PER_SECOND": "0",
        "PNCP_REQUESTS_IN_FLIGHT": "0",
        "PNCP_PAUSE_SECONDS": "0.5",
        "PNCP_ITENS_CONCURRENCY": "8",
        "PNCP_RETRY_WAIT_MAX": "0.2",
        "SLICE_RETRY_SECONDS": "1",
        "LEASE_SECONDS": "4",
        "SCHEDULE_ENABLED": "false",
    }
    yield stack
    await stack.close()
