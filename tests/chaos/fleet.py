"""The product as an operator runs it, on services under our control, with a supervisor that restarts what died."""

import asyncio
import json
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg
import httpx

from common.resources import INLINE, LATER
from common.resources.description import Child, Resource
from simulator.resources import Criterio
from simulator.world import brasilia_now
from standalone.system import LaunchError, find_free_port
from tests.chaos.portal import History, Setting
from tests.chaos.relay import Relay
from tests.chaos.services import Broker, Database, Program, Service, clean_environment, find_rabbitmq, python
from tests.chaos.triggers import INSTALL
from tests.chaos.variants import Patches, make_copy

T = TypeVar("T")
Lists = tuple[tuple[Resource, Child], ...]

MODALIDADES = (4, 5, 6, 8)
PARTS: dict[str, tuple[int, ...]] = {
    "contratacoes": MODALIDADES,
    "contratos": (0,),
    "atas": (0,),
    "pcas": (0,),
    "instrumentos_cobranca": (0,),
}
"""The parts of each resource that are read; 0 where it is not divided."""
LISTINGS: dict[str, tuple[Criterio, ...]] = {
    "contratacoes": ("publicacao", "atualizacao"),
    "contratos": ("publicacao", "atualizacao"),
    "atas": ("atualizacao",),
    "pcas": ("atualizacao",),
    "instrumentos_cobranca": ("atualizacao",),
}
"""By which stamps a resource is asked for; the first is the one by which its days are read whole."""
LISTS = tuple(resource.name for resource, _ in INLINE)
"""The resources whose records have lists that are read with them."""
SCOPES = {"resultados": "modalidade=6", "arquivos": "uf=SP,MG,PE,SC", "termos": "tudo", "historico": "uf=SP,BA"}
"""Of which records the lists are read that are only ever read later, by kind."""
LEASE_SECONDS = 4
QUEUE = "ingest.pncp"
DAYS = 8
FROZEN_DAYS = 4
SATURDAY = 6
RESTART_SECONDS = 0.5  # what a supervisor lets pass before it starts again what has died


@dataclass
class Fleet:
    """Services by name; their code is a copy of the checkout's, with these `patches`."""

    folder: Path
    seed: int = 1
    ingestors: int = 2
    per_day: float = 150
    quirks: dict[str, Any] = field(default_factory=dict)
    with_broker: bool = True
    with_backend: bool = True
    patches: Patches = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    unasked: list[str] = field(default_factory=list)
    restarts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.root = make_copy(self.folder, self.patches)
        now = brasilia_now()
        first_day = now.date() - timedelta(days=DAYS - 1)
        frozen_until = first_day + timedelta(days=FROZEN_DAYS - 1)
        self.setting = Setting(self.seed, first_day, now, self.per_day, frozen_until)
        self.api_url = f"http://127.0.0.1:{find_free_port()}"
        self.portal_url = f"http://127.0.0.1:{find_free_port()}"
        self.journal = self.folder / "journal"
        self.broker: Broker | None = None
        self.relay: Relay | None = None
        self.http = httpx.AsyncClient(timeout=20, trust_env=False)
        # Threads for all starts, which must outlive what they start; the database takes its time, and all others wait.
        self._starters = {name: ThreadPoolExecutor(1) for name in ("database", "others")}
        self._fallen: dict[str, float] = {}
        self._busy: dict[str, asyncio.Lock] = {}
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def days(self) -> list[date]:
        return [self.setting.first_day + timedelta(days=offset) for offset in range(DAYS)]

    @property
    def busy_day(self) -> date:
        """The first working day of those that stand still: weekends have too few records for several pages."""
        return next(day for day in self.days[:FROZEN_DAYS] if day.isoweekday() < SATURDAY)

    @property
    def database(self) -> Database:
        found = self.services["database"]
        assert isinstance(found, Database)
        return found

    def program(self, name: str) -> Program:
        found = self.services[name]
        assert isinstance(found, Program)
        return found

    @property
    def ingestor_names(self) -> list[str]:
        return [f"ingestor-{number}" for number in range(1, self.ingestors + 1)]

    async def __aenter__(self) -> Self:
        try:
            await self._start_all()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _start_all(self) -> None:
        database = Database(self.folder / "database")
        await self.add(database)
        settings = {
            "DATABASE_URL": database.url,
            "PNCP_BASE_URL": f"{self.portal_url}/api",
            "PNCP_MODALIDADES": ",".join(map(str, MODALIDADES)),
            "PNCP_PAGE_SIZE": "10",
            "PNCP_REQUESTS_PER_SECOND": "0",
            "PNCP_REQUESTS_IN_FLIGHT": "0",
            "PNCP_PAUSE_SECONDS": "0.5",
            "PNCP_ITENS_CONCURRENCY": "8",
            "PNCP_RETRY_WAIT_MAX": "0.2",
            "HTTP_TIMEOUT": "3",
            "SLICE_RETRY_SECONDS": "1",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            **{f"PNCP_{kind.upper()}": scope for kind, scope in SCOPES.items()},
            "PNCP_LISTS_PER_SECOND": "1000",
            "SCHEDULE_ENABLED": "false",  # every row has to answer to a request of the storm
            "PYTHONPATH": str(self.root),
        }
        script = find_rabbitmq() if self.with_broker else None
        if script is not None:
            self.broker = Broker(self.folder / "broker", script)
            settings |= {"RABBITMQ_URL": self.broker.url, "QUEUE_NAME": QUEUE}
        environment = clean_environment(**settings | self.settings)
        migration = Program(
            "migration", python("-m", "alembic", "upgrade", "head"), self.folder, environment, cwd=self.root
        )
        await self.in_starter(migration.run)
        connection = await asyncpg.connect(database.url)
        await connection.execute(INSTALL)
        await connection.close()
        of_backend = environment
        if self.broker is not None:
            await self.add(self.broker)
            self.relay = Relay(self.broker.port)
            await self.relay.start()
            of_backend = environment | {"RABBITMQ_URL": self.broker.url_through(self.relay.port)}
        await self.add(self._portal(environment))
        if self.with_backend:
            port = self.api_url.rpartition(":")[2]
            backend = python("-m", "uvicorn", "backend.main:app", "--port", port, "--timeout-graceful-shutdown", "20")
            await self.add(self._product("backend", backend, of_backend, lambda said: "Uvicorn running" in said))
        for name in self.ingestor_names:
            await self.add(
                self._product(name, python("-m", "ingestor"), environment, lambda said: "worker started" in said)
            )

    def _product(
        self, name: str, command: list[str], environment: dict[str, str], ready: Callable[[str], bool]
    ) -> Program:
        return Program(name, command, self.folder, environment, cwd=self.root, is_ready=ready)

    def _portal(self, environment: dict[str, str]) -> Program:
        command = python(
            *("-m", "tests.chaos.portal", *self.setting.to_arguments(), "--journal", str(self.journal)),
            *("--port", self.portal_url.rpartition(":")[2], "--quirks", json.dumps(self.quirks)),
        )
        return Program(
            "portal", command, self.folder, environment, cwd=self.root, is_ready=lambda said: "portal ready" in said
        )

    async def add(self, service: Service) -> None:
        """Start a service and know it from now on."""
        self.services[service.name] = service
        self._busy[service.name] = asyncio.Lock()
        await self.in_starter(service.start, service.name)

    async def in_starter(self, work: Callable[[], T], name: str = "others") -> T:
        starter = self._starters.get(name, self._starters["others"])
        return await asyncio.get_running_loop().run_in_executor(starter, work)

    async def close(self) -> None:
        """End everything that was started here, in whatever state it is."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await self.http.aclose()
        if self.relay is not None:
            await self.relay.close()
        for service in reversed(self.services.values()):
            await asyncio.shield(self.in_starter(service.close, service.name))
        for starter in self._starters.values():
            starter.shutdown()

    # --- falling and rising ---------------------------------------------------------------------------------------

    def supervise(self) -> None:
        """From now on, start again whatever has died."""
        self._keepers = [asyncio.create_task(self._keep(service)) for service in self.services.values()]
        for keeper in self._keepers:
            keeper.add_done_callback(tell_at_once)

    async def _keep(self, service: Service) -> None:
        while True:
            if service.pid is None:
                at = self._fallen.pop(service.name, None)
                if at is None:
                    if service.name != "database":  # its start may have failed above
                        self.unasked.append(service.name)
                    at = time.monotonic() + RESTART_SECONDS
                await asyncio.sleep(at - time.monotonic())
                async with self._busy[service.name]:
                    self.restarts[service.name] += 1
                    await asyncio.shield(
                        asyncio.create_task(self.in_starter(lambda: _start_again(service), service.name))
                    )
            await asyncio.sleep(0.05)

    def expect_fall(self, name: str, down_seconds: float) -> bool:
        """Say that a service is about to fall by our hand; `False` if it is down already."""
        if self.services[name].pid is None or self._busy[name].locked() or name in self._fallen:
            return False
        self._fallen[name] = time.monotonic() + down_seconds
        return True

    async def freeze(self, name: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later, whatever happens meanwhile."""
        service = self.services[name]
        service.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            service.signal(signal.SIGCONT)

    async def all_up(self, seconds: float = 90) -> None:
        """Wait until everything runs and the API reports database and broker connected."""
        deadline = time.monotonic() + seconds
        while True:
            if all(service.pid is not None for service in self.services.values()) and await self._is_healthy():
                return
            if time.monotonic() > deadline:
                down = [name for name, service in self.services.items() if service.pid is None]
                raise TimeoutError(f"not everything is up after {seconds} s (down: {down})")
            await asyncio.sleep(0.1)

    async def _is_healthy(self) -> bool:
        if not self.with_backend:
            return True
        try:
            health = (await self.http.get(f"{self.api_url}/health")).json()
        except (httpx.HTTPError, ValueError):
            return False
        return bool(health["status"] == "ok")

    def dead_workers(self) -> dict[int, float]:
        """The processes of ingestors that have ended, and when (seconds since 1970)."""
        ended: dict[int, float] = {}
        for name in self.ingestor_names:
            program = self.program(name)
            program.look()
            ended |= program.ended
        return ended

    # --- what can be asked ----------------------------------------------------------------------------------------

    async def query(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Ask the database over a connection of its own."""
        connection = await asyncpg.connect(self.database.url, timeout=5, command_timeout=60)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            connection.terminate()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A connection whose queries all see one moment: owed items may be paid between two of them."""
        connection = await asyncpg.connect(self.database.url, timeout=5, command_timeout=60)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            connection.terminate()

    async def force(self, **body: str) -> int:
        """POST /sync/force where nothing fails; the id."""
        answer = await self.http.post(f"{self.api_url}/sync/force", json=body)
        answer.raise_for_status()
        return int(answer.json()["request_id"])

    async def portal(self, method: str, path: str, body: Any = None) -> Any:
        """Ask or tell the portal's own control interface."""
        answer = await self.http.request(method, f"{self.portal_url}/simulator/{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def history(self) -> History:
        """What has happened to the portal's records so far."""
        return History(self.setting, self.journal)

    def window(self, first: date, last: date) -> dict[str, str]:
        """Whole days as the API wants them."""
        return {"data_ini": f"{first}T00:00:00", "data_fim": f"{last}T23:59:59"}

    async def until(self, condition: Callable[[], Awaitable[object]], seconds: float, every: float = 0.1) -> bool:
        """Wait until something is so; whether it became so in time."""
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(every)
        return True

    async def is_quiet(self) -> bool:
        """Whether no execution is under way."""
        return not await self.query("SELECT FROM sync_executions WHERE status = 'running' LIMIT 1")

    async def pay_debts(self, seconds: float) -> bool:
        """Have owed lists read now, however late they are due; whether all were in time.

        Items first: they say which resultados there are. But for lists of records that the portal has removed: it says
        nothing of them any more.
        """
        history = self.history()
        there = {key for resource, parts in PARTS.items() for key in history.current(resource, parts)}
        for lists in (INLINE, LATER):
            await self.make_due(lists)
            if not await self.until(lambda lists=lists: self._owes_none(lists, there), seconds, 0.5):  # type: ignore[misc]
                return False
        return True

    async def make_due(self, lists: Lists = LATER) -> None:
        """Have owed lists tried now, also those that have failed or that an ingestor has died over."""
        for _, child in lists:
            await self.query(f"UPDATE {child.debts} SET due_at = now(), set_aside_at = NULL")

    async def _owes_none(self, lists: Lists, there: set[str]) -> bool:
        of_each = (f"SELECT {resource.key} FROM {child.debts}" for resource, child in lists)
        owed = await self.query(" UNION ALL ".join(of_each))
        return not there & {row[0] for row in owed}


def tell_at_once(task: asyncio.Task[Any]) -> None:
    """An unforeseen failure of a part of the storm is a fault of this test."""
    if not task.cancelled() and task.exception() is not None:
        raise RuntimeError("a part of the storm has failed") from task.exception()


def _start_again(service: Service) -> None:
    """Without waiting for readiness, which may depend on something that is down itself."""
    if isinstance(service, Program):
        service.launch()
        return
    try:
        service.start()
    except (LaunchError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        time.sleep(RESTART_SECONDS)  # it fell again while it rose; the supervisor sees that, and tries again


def make_folder() -> Path:
    """A folder that the user PostgreSQL runs as may enter."""
    folder = Path(tempfile.mkdtemp(prefix="pncp-chaos-"))
    folder.chmod(0o711)
    return folder


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def now_there() -> datetime:
    """The portal's wall clock."""
    return brasilia_now()
