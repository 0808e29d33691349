"""What the integration tests share: the database at hand, executions ready to be claimed, a portal and its clients."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import date, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import structlog
from sqlalchemy import Row, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.config import BackendSettings
from backend.main import create_app
from backend.passwords import hash_password
from common.lifecycle import DEFAULT_RESOURCE, Criterio, Mode, admission, executions, slices
from common.lifecycle.executions import Execution
from common.lifecycle.slices import Claim, PlannedSlice
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.pncp.envelope import Page
from ingestor.sources.pncp.shared_state import SharedSource
from simulator.app import Simulator, serve
from simulator.invention import Inventor
from simulator.records import Contratacao
from simulator.world import World
from tests.rows import fill
from tests.support import eventually

CLOSED_DAY = date(2025, 3, 10)
MODALIDADE = 6
ADMIN_PASSWORD = "correct horse battery"
VIEWER_PASSWORD = "a viewer's own words"
KEY = "0123456789abcdef0123456789abcdef-one"
ADMIN_HASH = hash_password(ADMIN_PASSWORD.encode())
VIEWER_HASH = hash_password(VIEWER_PASSWORD.encode())
ADMIN = ("admin", ADMIN_PASSWORD)
ADMIN_BYTES = (b"admin", ADMIN_PASSWORD.encode())
VIEWER = ("viewer", VIEWER_PASSWORD)

P = ParamSpec("P")
R = TypeVar("R")


def piece(day: date = CLOSED_DAY, modalidade: int = MODALIDADE) -> PlannedSlice:
    """A whole day of one modalidade."""
    midnight = datetime.combine(day, datetime.min.time())
    return PlannedSlice(modalidade, day, day, midnight, midnight + timedelta(days=1, seconds=-1))


def truth(records: Iterable[Contratacao]) -> dict[str, tuple[datetime, datetime, int]]:
    """What must be stored of records: their version and how many items they have."""
    return {
        record.numero_controle_pncp: (
            datetime.fromisoformat(record.atualizacao),
            datetime.fromisoformat(record.atualizacao_global),
            record.item_count,
        )
        for record in records
    }


def listing_pages(portal: Simulator) -> list[int]:
    """The pages of listings that were asked for, in the order of asking."""
    asked = (urlsplit(served.target) for served in portal.stats.log if served.service == "consulta")
    return [int(parse_qs(target.query)["pagina"][0]) for target in asked]


class Database:
    """The database at hand: statements as text, transitions each in a transaction of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def rows(self, statement: str, **parameters: Any) -> Sequence[Row[Any]]:
        async with self.engine.begin() as db:
            result = await db.execute(text(statement), parameters)
            return result.all() if result.returns_rows else []

    async def row(self, statement: str, **parameters: Any) -> Row[Any]:
        (row,) = await self.rows(statement, **parameters)
        return row

    async def value(self, statement: str, **parameters: Any) -> Any:
        return (await self.row(statement, **parameters))[0]

    async def run(
        self,
        transition: Callable[Concatenate[AsyncConnection, P], Awaitable[R]],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> R:
        async with self.engine.begin() as db:
            return await transition(db, *arguments, **options)

    async def execution(self, execution_id: int) -> Row[Any]:
        return await self.row("SELECT * FROM sync_executions WHERE id = :id", id=execution_id)

    async def slice(self, slice_id: int) -> Row[Any]:
        return await self.row("SELECT * FROM sync_slices WHERE id = :id", id=slice_id)

    async def requested(
        self,
        mode: Mode = "backfill",
        *,
        first: date = CLOSED_DAY,
        last: date | None = None,
        criterio: Criterio | None = None,
        resource: str = DEFAULT_RESOURCE,
    ) -> int:
        """An execution that waits to be planned; a backfill covers whole days."""
        window = (None, None) if mode == "update" else (piece(first).window_start, piece(last or first).window_end)
        execution_id = await self.run(
            admission.create,
            mode=mode,
            criterio=criterio,
            window_start=window[0],
            window_end=window[1],
            trigger="api",
            resource=resource,
        )
        assert execution_id is not None
        return execution_id

    async def planned(
        self,
        pieces: Sequence[PlannedSlice] | None = None,
        *,
        mode: Mode = "backfill",
        criterio: Criterio | None = None,
        resource: str = DEFAULT_RESOURCE,
    ) -> int:
        """An execution whose slices (one, where none are given) wait to be claimed."""
        execution_id = await self.requested(mode, criterio=criterio, resource=resource)
        async with self.engine.begin() as db:
            execution = await executions.lock_unplanned(db, older_than_seconds=3600, execution_id=execution_id)
            assert isinstance(execution, Execution)
            await executions.plan(db, execution, list(pieces or [piece()]))
        return execution_id

    async def claim(
        self, worker_id: str = "worker", *, lease_seconds: float = 60, page_sizes: dict[str, int] | None = None
    ) -> Claim:
        """The next free slice; it must be there."""
        claim = await self.run(slices.claim, worker_id, lease_seconds=lease_seconds, page_sizes=page_sizes)
        assert claim is not None
        return claim

    async def claimed(self, *arguments: Any, **options: Any) -> Claim:
        """The only slice of a new execution, held by `worker`."""
        await self.planned(*arguments, **options)
        return await self.claim()

    async def mirror(self) -> dict[str, tuple[datetime, datetime, int]]:
        """What is stored of each contratação, in the shape of `truth`."""
        rows = await self.rows("""
            SELECT c.numero_controle_pncp, c.data_atualizacao, c.data_atualizacao_global, count(i.numero_item)
              FROM contratacoes c LEFT JOIN itens_contratacao i USING (numero_controle_pncp) GROUP BY 1, 2, 3
        """)
        return {key: (header, whole, itens) for key, header, whole, itens in rows}

    async def someone_waits_for_a_lock(self, how_many: int = 1) -> None:
        """Return as soon as so many statements in this database are blocked by another transaction's lock."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )

        async def is_blocked() -> bool:
            return bool(await self.value(waiting) >= how_many)

        await eventually(is_blocked)


@pytest.fixture
def world() -> World:
    """A portal that knows nothing yet."""
    return World(Inventor(20250310))


@pytest.fixture
def database(engine: AsyncEngine) -> Database:
    return Database(engine)


@pytest.fixture
async def filled(database: Database) -> Database:
    """A database with some rows in every table of the mirror."""
    await fill(database.engine)
    return database


class Portals:
    """Simulated portals and clients of them, open until the test ends."""

    def __init__(self, stack: AsyncExitStack, engine: AsyncEngine) -> None:
        self._stack = stack
        self._engine = engine

    async def serve(self, world: World) -> Simulator:
        return await self._stack.enter_async_context(serve(world))

    async def client(self, portal: Simulator, **options: Any) -> PncpClient:
        """A client without pace and with short waits, which shares the state of the source in this database."""
        return await self.client_of(portal.base_url, **options)

    async def client_of(
        self, base_url: str, *, pause_seconds: float = 0.2, requests_in_flight: int = 0, **options: Any
    ) -> PncpClient:
        """Such a client of the portal at this address."""
        source = SharedSource(self._engine, requests_in_flight=requests_in_flight, pause_seconds=pause_seconds)
        options = {
            "page_size": 10,
            "requests_per_second": 0,
            "itens_concurrency": 16,
            "retry_wait_max": 0,
            "timeout_seconds": 5,
            **options,
        }
        return await self._stack.enter_async_context(PncpClient(base_url, source=source, **options))


class EndlessClient:
    """Has the same records for every page, and promises as many pages as there can be."""

    def __init__(self, client: PncpClient) -> None:
        self._client = client
        self.page_size = client.page_size
        self.source = client.source
        self.fetch_list = client.fetch_list

    async def fetch_page(self, *listing: Any, **options: Any) -> Page:
        *which, number = listing
        page = await self._client.fetch_page(*which, 1, **options)
        return Page(number, 2**31, 2**31 - 1, page.records, page.rows)


@pytest.fixture
async def portals(engine: AsyncEngine) -> AsyncIterator[Portals]:
    async with AsyncExitStack() as stack:
        yield Portals(stack, engine)


OpenApi = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def open_api(engine: AsyncEngine, database_url: str) -> AsyncIterator[OpenApi]:
    """Opens the backend in this process, with its lifespan and these settings; answers a client of it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    async with AsyncExitStack() as stack:

        async def open_api(**settings: Any) -> httpx.AsyncClient:
            app = create_app(BackendSettings(**{"database_url": database_url, "rabbitmq_url": None, **settings}))
            state = await stack.enter_async_context(app.router.lifespan_context(app))

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            transport = httpx.ASGITransport(app=with_state)
            return await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://api"))

        yield open_api
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
async def api(open_api: OpenApi) -> httpx.AsyncClient:
    """A client of the backend as it is by default, without a broker."""
    return await open_api()


Open = Callable[..., Any]


@pytest.fixture
async def start(engine: AsyncEngine, database_url: str) -> AsyncIterator[Open]:
    """Start the application with these settings; answers a function that makes clients, each of an address."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Callable[..., httpx.AsyncClient]:
            given = {"admin_password_hash": ADMIN_HASH, "viewer_password_hash": VIEWER_HASH, "jwt_secret": KEY}
            app = create_app(
                BackendSettings(**{"database_url": database_url, "rabbitmq_url": None, **given, **settings})
            )
            state = await stack.enter_async_context(app.router.lifespan_context(app))

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            def client(address: str = "192.0.2.1", **words: Any) -> httpx.AsyncClient:
                transport = httpx.ASGITransport(app=with_state, client=(address, 1))
                return httpx.AsyncClient(transport=transport, base_url="http://api", **words)

            client.app = app  # type: ignore[attr-defined]
            client.state = state or {}  # type: ignore[attr-defined]
            return client

        yield start


class Proxy:
    """Stands before a server and can be cut off from it, or frozen, and be mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0

    async def mend(self) -> None:
        """Let everything through, also what has waited."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def freeze(self) -> None:
        """Take connections and bytes, and pass nothing on."""
        self._flows.clear()

    async def cut(self) -> None:
        """Break all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._flows.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there: asyncio.StreamWriter | None = None
        self._writers.add(writer)
        try:
            await self._flows.wait()
            answers, there = await asyncio.open_connection(*self._target)
            self._writers.add(there)
            await asyncio.gather(self._pass(reader, there), self._pass(answers, writer))
        except OSError:
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    end.close()
                    self._writers.discard(end)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while part := await source.read(65536):
            await self._flows.wait()
            sink.write(part)
            await sink.drain()
        sink.close()


@pytest.fixture
async def database_proxy(database_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before PostgreSQL, and the URL of the database through it."""
    url = make_url(database_url)
    proxy = Proxy(url.host or "127.0.0.1", url.port or 5432)
    await proxy.mend()
    through = url.set(drivername="postgresql+asyncpg", host="127.0.0.1", port=proxy.port)
    yield proxy, through.render_as_string(hide_password=False)
    await proxy.cut()


@pytest.fixture
async def broker_proxy(rabbitmq_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before RabbitMQ, and the broker's URL through it."""
    parts = urlsplit(rabbitmq_url)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5672)
    await proxy.mend()
    login = parts.netloc.rpartition("@")[0]
    yield proxy, parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()
    await proxy.cut()


@pytest.fixture
def closed_port() -> int:
    """A port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
