"""What the database may do to us: cancel statements, fill up, turn read-only, refuse us, be slow or of a wrong kind.

It is never the fault of the work in hand. It is waited for and told, and in the end everything is stored.
"""

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from structlog.testing import capture_logs

from backend.services import sweeper
from backend.services.alerts.episodes import Notifier, run_once
from backend.services.alerts.findings import Rules
from common import database as database_module
from common.database import (
    UnreachableDatabaseError,
    UnusableDatabaseError,
    cause_of,
    check_schema,
    create_engine,
    in_transaction,
    is_database_trouble,
    is_transient,
    is_unavailable,
)
from common.lifecycle import executions, slices
from ingestor import loops, presence, settling
from ingestor import worker as worker_module
from ingestor.worker import Worker
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, OpenApi, Portals, Proxy, piece, truth
from tests.integration.test_worker import OPTIONS, Workers, finished
from tests.support import eventually, migrate


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(settling, "DATABASE_WAIT", (0.02, 0.05))
    monkeypatch.setattr(settling, "DATABASE_RETRY", (0.02, 0.05))


@pytest.fixture
async def workers(engine: AsyncEngine) -> AsyncIterator[Workers]:
    workers = Workers(engine)
    yield workers
    await workers.stop()


def asyncpg_url(url: str, **changes: Any) -> str:
    return make_url(url).set(drivername="postgresql+asyncpg", **changes).render_as_string(hide_password=False)


@asynccontextmanager
async def engine_of(url: str, **options: Any) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(asyncpg_url(url), application_name="pncp-tests", **{"pool_size": 5, **options})
    try:
        yield engine
    finally:
        await engine.dispose()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(False))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def raise_state(engine: AsyncEngine, state: str) -> BaseException:
    """The error as it comes through the engine when a statement ends with this SQLSTATE."""
    async with engine.begin() as db:
        with pytest.raises(Exception, match=f"told {state}") as raised:
            await db.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'told {state}' USING ERRCODE = '{state}'; END $$"))
        await db.rollback()
    return raised.value


# --- classes ----------------------------------------------------------------------------------------------------

UNAVAILABLE = (
    *("08000", "08006", "53000", "53100", "53200", "53300", "57014", "57P01", "57P02", "57P03", "57P05", "58030"),
    *("55P03", "25006", "25P03", "28000", "28P01", "3D000"),
)


@pytest.mark.parametrize("state", UNAVAILABLE)
async def test_a_state_of_the_database_is_waited_for(engine: AsyncEngine, state: str) -> None:
    error = await raise_state(engine, state)
    assert (is_unavailable(error), is_transient(error), is_database_trouble(error)) == (True, False, True)
    assert cause_of(error) == f"told {state}", "the server's words, without the statement"


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_transaction_in_anothers_way_is_run_again(engine: AsyncEngine, state: str) -> None:
    error = await raise_state(engine, state)
    assert (is_unavailable(error), is_transient(error)) == (False, True)


@pytest.mark.parametrize("state", ["22003", "23505", "42601", "42P01", "42501", "P0001", "XX000", "0A000"])
async def test_anything_else_is_a_fault_of_ours(engine: AsyncEngine, state: str) -> None:
    assert not is_database_trouble(await raise_state(engine, state))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FileNotFoundError("x"), TimeoutError()])
def test_an_os_error_that_is_not_the_databases_is_a_fault_of_ours(error: OSError) -> None:
    assert not is_database_trouble(error)


async def test_a_refused_a_broken_and_a_silent_connection_are_the_databases(
    database_proxy: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "SILENT_SECONDS", 0.2)
    proxy, url = database_proxy
    async with engine_of(url, statement_seconds=0.3) as engine:
        async with engine.connect() as db:
            proxy.freeze()
            with pytest.raises(UnreachableDatabaseError):
                await db.execute(text("SELECT 1"))
        await proxy.cut()
        with pytest.raises(UnreachableDatabaseError, match="Connect call failed"):
            async with engine.connect():
                pass
        await proxy.mend()
        async with engine.connect() as db:
            await proxy.cut()
            with pytest.raises(Exception, match=r"closed|lost") as raised:
                await db.execute(text("SELECT 1"))
        assert is_unavailable(raised.value)


async def test_a_transaction_is_run_again_until_it_comes_through_but_not_for_ever(engine: AsyncEngine) -> None:
    tried = 0

    async def deadlocked(db: AsyncConnection, *, times: int) -> int:
        nonlocal tried
        tried += 1
        if tried <= times:
            await db.execute(text("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$"))
        return tried

    assert await in_transaction(engine, partial(deadlocked, times=2)) == 3
    tried = 0
    with pytest.raises(DBAPIError):
        await in_transaction(engine, partial(deadlocked, times=100))
    assert tried == 5


# --- at connect -------------------------------------------------------------------------------------------------


async def test_what_we_rely_on_is_set_at_connect_whatever_the_databases_defaults_are(
    server_url: str, database_url: str
) -> None:
    name = make_url(database_url).database
    defaults = {
        "lock_timeout": "123ms",
        "statement_timeout": "123ms",
        "default_transaction_isolation": "serializable",
        "idle_in_transaction_session_timeout": "123ms",
    }
    await execute(server_url, *(f"ALTER DATABASE {name} SET {key} = '{value}'" for key, value in defaults.items()))
    try:
        async with engine_of(database_url) as engine, engine.connect() as db:
            found = {key: (await db.execute(text(f"SHOW {key}"))).scalar_one() for key in defaults}
    finally:
        await execute(server_url, f"ALTER DATABASE {name} RESET ALL")
    assert found == {
        "lock_timeout": "0",
        "statement_timeout": "30s",
        "default_transaction_isolation": "read committed",
        "idle_in_transaction_session_timeout": "10s",
    }


@pytest.fixture
async def latin1(server_url: str) -> AsyncIterator[str]:
    name = f"pncp_test_latin1_{uuid.uuid4().hex[:12]}"
    locale = "LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    await execute(server_url, f"CREATE DATABASE {name} ENCODING 'LATIN1' {locale} TEMPLATE template0")
    yield make_url(server_url).set(database=name).render_as_string(False)
    await execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_database_of_another_encoding_is_refused_at_the_start_in_one_line(latin1: str) -> None:
    async with engine_of(latin1) as engine:
        with pytest.raises(UnusableDatabaseError, match="encoding is LATIN1 and has to be UTF8") as raised:
            await check_schema(engine)
    assert "\n" not in str(raised.value)


async def test_a_database_of_another_encoding_is_not_migrated(latin1: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        await asyncio.to_thread(migrate, latin1, "upgrade", "head", capture=True)
    assert raised.value.stderr.decode().splitlines()[-1].startswith("the database's encoding is LATIN1")
    assert "Traceback" not in raised.value.stderr.decode()


# --- the API ----------------------------------------------------------------------------------------------------

BACKFILL = {"mode": "backfill", "data_ini": "2025-03-10T00:00:00", "data_fim": "2025-03-10T23:59:59"}
END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()
"""


async def health(api: httpx.AsyncClient) -> tuple[int, str, str, str]:
    answer = await api.get("/health")
    found = answer.json()
    return answer.status_code, found["status"], found["database"], found["workers"]


async def test_a_read_only_database_is_told_and_the_api_works_again_as_soon_as_it_is_not(
    api: httpx.AsyncClient, server_url: str, database_url: str
) -> None:
    name = make_url(database_url).database
    end_others = END_OTHERS.format(name=name)
    await execute(server_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on", end_others)
    try:
        answers = [await api.post("/sync/force", json=BACKFILL) for _ in range(3)]
        assert (await health(api))[:3] == (503, "degraded", "read-only")
        assert (await api.get("/health/ready")).status_code == 503
        assert (await api.get("/sync/status")).status_code == 200, "it can still be read"
    finally:
        await execute(server_url, f"ALTER DATABASE {name} RESET ALL")

    assert {(answer.status_code, answer.headers.get("Retry-After")) for answer in answers} == {(503, "10")}
    assert (await health(api))[:3] == (200, "ok", "connected")
    assert (await api.post("/sync/force", json=BACKFILL)).status_code == 200


@pytest.fixture
async def own_role(server_url: str, engine: AsyncEngine) -> AsyncIterator[str]:
    name = f"pncp_test_{uuid.uuid4().hex[:12]}"
    await execute(server_url, f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD 'x'")
    yield name
    await engine.dispose()
    await execute(server_url, f"DROP ROLE {name}")


async def test_a_role_that_is_refused_while_running_is_waited_for_by_both_services(
    open_api: OpenApi,
    database: Database,
    server_url: str,
    database_url: str,
    own_role: str,
    portals: Portals,
    world: World,
) -> None:
    url = make_url(database_url).set(username=own_role, password="x").render_as_string(False)
    end_others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{own_role}'"
    api = await open_api(database_url=url)
    world.publish(3, at=CLOSED_DAY, modalidade=MODALIDADE)
    client = await portals.client(await portals.serve(world))
    async with engine_of(url) as engine:
        worker = Worker(engine, client, OPTIONS)
        running = asyncio.create_task(worker.run())
        try:
            await eventually(lambda: database.value("SELECT count(*) FROM workers"))
            with capture_logs() as logs:
                await execute(server_url, f"ALTER ROLE {own_role} NOLOGIN", end_others)
                answers = [
                    (await api.get("/sync/status")).status_code,
                    (await api.post("/sync/force", json=BACKFILL)).status_code,
                    (await api.get("/health/live")).status_code,
                    (await health(api))[:3],
                ]
                metrics = await api.get("/metrics")
                await eventually(lambda: "not permitted to log in" in str(logs))
        finally:
            await execute(server_url, f"ALTER ROLE {own_role} LOGIN")
        assert answers == [503, 503, 200, (503, "degraded", "disconnected")]
        assert (metrics.status_code, "pncp_database_up 0.0" in metrics.text) == (200, True)
        assert not running.done()
        assert (await api.get("/sync/status")).status_code == 200
        execution = await finished(database, await database.requested())
        assert (execution.status, execution.records_processed) == ("success", 3)
        worker.stopping.set()
        await running


async def test_a_refused_role_or_a_missing_database_is_fatal_at_the_start(server_url: str) -> None:
    for changes in ({"database": "pncp_there_is_none"}, {"username": "pncp_missing"}):
        async with engine_of(make_url(server_url).set(**changes).render_as_string(False)) as engine:
            with pytest.raises(UnusableDatabaseError, match=r"^DATABASE_URL is refused: .*pncp_(there|missing)"):
                await check_schema(engine)


async def test_work_without_a_living_worker_is_degraded(api: httpx.AsyncClient, database: Database) -> None:
    assert await health(api) == (200, "ok", "connected", "none")
    await database.requested()
    assert await health(api) == (200, "degraded", "connected", "none")
    await database.rows("INSERT INTO workers (id) VALUES ('w')")
    assert await health(api) == (200, "ok", "connected", "ok")
    await database.rows("UPDATE workers SET alive_until = now()")
    assert await health(api) == (200, "degraded", "connected", "none")


async def test_a_deadlock_in_the_sweeper_is_tried_again_and_ends_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await database.planned()
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '2 h'")
    expire, tried = executions.expire_orphan, 0

    async def deadlocked(db: AsyncConnection, *, seconds: float) -> int | None:
        nonlocal tried
        tried += 1
        if tried <= 7:  # more often than one transaction is run again
            await db.execute(text("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$"))
        return await expire(db, seconds=seconds)

    monkeypatch.setattr(sweeper.executions, "expire_orphan", deadlocked)
    sweeping = asyncio.create_task(sweeper.sweep(database.engine, every=0.01, patience=0.0))
    try:
        await finished(database, execution_id)
        assert not sweeping.done()
    finally:
        sweeping.cancel()


# --- the ingestor -----------------------------------------------------------------------------------------------

FULL_DISK = """
    CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
    END $$
"""


def claimed_often(database: Database) -> Callable[[], Awaitable[bool]]:
    """More often than a slice may kill its workers."""

    async def condition() -> bool:
        return bool(await database.value("SELECT min(attempt) FROM sync_slices") > slices.MAX_STALLS + 2)

    return condition


async def assert_stored(database: Database, world: World, execution_id: int) -> None:
    execution = await finished(database, execution_id)
    assert (execution.status, execution.error_message) == ("success", None)
    assert await database.mirror() == truth(world.select("publicacao")) != {}


async def opened_alert(database: Database) -> str:
    """What an alert about the database says after a look, if there is one."""
    now = datetime.now(UTC)
    rules = Rules(no_success=None, reminder=None, schedule_enabled=False, update_crons={"contratacoes": "* * * * *"})
    await run_once(database.engine, rules, Notifier([]), now=now, watching_since=now)
    rows = await database.rows("SELECT summary FROM alerts WHERE kind = 'database' AND resolved_at IS NULL")
    return "".join(row.summary for row in rows)


async def test_a_full_disk_is_waited_for_and_told_and_no_slice_fails_for_it(
    api: httpx.AsyncClient, database: Database, portals: Portals, workers: Workers, world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    world.publish(30, at=CLOSED_DAY, modalidade=MODALIDADE)
    execution_id = await database.planned()
    await database.rows(FULL_DISK)
    try:
        await database.rows("CREATE TRIGGER t BEFORE INSERT ON contratacoes EXECUTE FUNCTION no_space()")
        worker, running = workers.start(await portals.client(await portals.serve(world)))
        await eventually(claimed_often(database))
        monkeypatch.setattr(settling, "DATABASE_RETRY", (60.0, 60.0))
        shown = "SELECT error_message FROM sync_slices WHERE status = 'pending' AND run_after > now() + interval '9 s'"
        await eventually(lambda: database.rows(shown))

        assert (await health(api))[:3] == (200, "degraded", "failing")
        assert await opened_alert(database) == "o banco de dados não grava o que foi lido"
        detail = await database.value("SELECT details ->> 'error_message' FROM alerts WHERE kind = 'database'")
        assert detail.startswith("could not extend file")
        row = await database.row("SELECT * FROM sync_slices")
        assert (row.cause, row.error_message) == ("database", "could not extend file: No space left on device")
        assert (row.stalls, row.failures, row.status) == (0, 0, "pending")
        assert not running.done()
        assert worker.id
    finally:
        await database.rows("DROP FUNCTION no_space CASCADE")
    await database.rows("UPDATE sync_slices SET run_after = NULL")
    await assert_stored(database, world, execution_id)
    assert (await health(api))[:3] == (200, "ok", "connected")
    assert await opened_alert(database) == ""


async def test_statements_that_are_cancelled_because_of_a_lock_are_no_stall(
    database: Database, database_url: str, portals: Portals, world: World
) -> None:
    world.publish(30, at=CLOSED_DAY, modalidade=MODALIDADE)
    execution_id = await database.planned()
    client = await portals.client(await portals.serve(world))
    async with engine_of(database_url, statement_seconds=0.2, pool_size=10) as engine:
        worker = Worker(engine, client, OPTIONS)
        async with database.engine.begin() as db:
            await db.execute(text("LOCK TABLE contratacoes IN EXCLUSIVE MODE"))
            running = asyncio.create_task(worker.run())
            await eventually(claimed_often(database), seconds=30)
        await assert_stored(database, world, execution_id)
        worker.stopping.set()
        await running


async def test_a_worker_beats_and_keeps_its_slice_while_its_page_takes_longer_than_a_lease(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    world.publish(3, at=CLOSED_DAY, modalidade=MODALIDADE)
    execution_id = await database.planned()
    await database.rows("""
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$
    """)
    try:
        await database.rows("CREATE TRIGGER t BEFORE INSERT ON contratacoes EXECUTE FUNCTION slow()")
        client = await portals.client(await portals.serve(world))
        for _ in range(2):
            workers.start(client, lease_seconds=1)
        beats: dict[str, set[Any]] = {}

        async def page_is_committed() -> bool:
            if await database.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
                for row in await database.rows("SELECT id, last_seen_at FROM workers"):
                    beats.setdefault(row.id, set()).add(row.last_seen_at)
            return bool((await database.execution(execution_id)).status != "running")

        await eventually(page_is_committed, seconds=30)
    finally:
        await database.rows("DROP FUNCTION slow CASCADE")

    await assert_stored(database, world, execution_id)
    assert await database.value("SELECT attempt FROM sync_slices") == 1
    assert [len(seen) >= 4 for seen in beats.values()] == [True, True], "both, also the one whose page it is"


async def test_a_page_renews_its_lease_as_of_its_end(database: Database) -> None:
    claim = await database.claimed()
    async with database.engine.begin() as db:
        await slices.hold(db, claim)
        await db.execute(text("SELECT pg_sleep(0.3)"))
        counts = slices.PageCounts()
        await slices.advance(db, claim, counts, pages_done=1, pages_total=1, total_registros=1, lease_seconds=0.2)
        left = "SELECT lease_until > clock_timestamp() FROM sync_slices"
        assert (await db.execute(text(left))).scalar_one()


async def test_a_lease_whose_row_is_locked_is_neither_waited_for_nor_given_up(database: Database) -> None:
    locked, free, gone = [piece(modalidade=number) for number in (1, 2, 3)]
    await database.planned([locked, free, gone])
    claims = [await database.claim(lease_seconds=60) for _ in range(3)]
    await database.rows("UPDATE sync_slices SET attempt = 9 WHERE id = :id", id=claims[2].slice_id)
    async with database.engine.begin() as db:
        await slices.hold(db, claims[0])
        ours = await database.run(slices.renew, "worker", claims, lease_seconds=600)

    assert ours == {claims[0].slice_id, claims[1].slice_id}
    renewed = await database.rows("SELECT lease_until > now() + interval '5 min' FROM sync_slices ORDER BY id")
    assert [row[0] for row in renewed] == [False, True, False]


async def test_a_locked_table_of_workers_keeps_no_lease_from_being_renewed(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    world.publish(1, at=CLOSED_DAY, modalidade=MODALIDADE)
    portal = await portals.serve(world)
    portal.quirks.add("latency", match={"service": "consulta"}, value=2500)
    execution_id = await database.planned()
    worker, _ = workers.start(await portals.client(portal), lease_seconds=1)
    await eventually(lambda: database.value("SELECT count(*) FROM sync_slices WHERE status = 'running'"))
    async with database.engine.begin() as db:
        await db.execute(text("LOCK TABLE workers IN EXCLUSIVE MODE"))
        await finished(database, execution_id)
    assert worker.id
    assert await database.value("SELECT attempt FROM sync_slices") == 1


async def test_a_claim_that_comes_while_the_worker_stops_is_given_back_at_once(
    database: Database, portals: Portals, workers: Workers, world: World
) -> None:
    portal = await portals.serve(world)
    portal.quirks.add("hang")
    await database.planned()
    async with database.engine.begin() as db:
        await db.execute(text("LOCK TABLE sync_slices IN EXCLUSIVE MODE"))
        worker, running = workers.start(await portals.client(portal), lease_seconds=3600)
        await database.someone_waits_for_a_lock(2)  # to claim, and to look for slices that have stalled
        worker.stopping.set()
    await asyncio.wait_for(running, timeout=8)

    row = await database.row("SELECT status, worker_id, stalls FROM sync_slices")
    assert tuple(row) == ("pending", None, 0)
    assert not portal.stats.log
    assert await database.value("SELECT stopped_at FROM workers") is not None


async def test_leases_that_cannot_be_renewed_because_of_the_database_are_no_stall(
    database: Database, database_proxy: tuple[Proxy, str], portals: Portals, world: World
) -> None:
    proxy, url = database_proxy
    world.publish(1, at=CLOSED_DAY, modalidade=MODALIDADE)
    portal = await portals.serve(world)
    portal.quirks.add("hang", times=1)
    execution_id = await database.planned()
    client = await portals.client(portal, timeout_seconds=60)
    async with engine_of(url) as engine:
        worker = Worker(engine, client, replace(OPTIONS, lease_seconds=2))
        running = asyncio.create_task(worker.run())
        await eventually(lambda: portal.stats.log)
        with capture_logs() as logs:
            await proxy.cut()
            await eventually(lambda: "lease could not be renewed, the slice is released" in str(logs))
        async with database.engine.begin() as db:  # another takes it over meanwhile
            await db.execute(
                text("""
                UPDATE sync_slices SET attempt = attempt + 1, stalls = stalls + 1, worker_id = 'other',
                       lease_until = now() + interval '1 h'
            """)
            )
        assert await database.value("SELECT stalls FROM sync_slices") == 2
        await proxy.mend()
        await eventually(lambda: database.value("SELECT count(*) FROM sync_slices WHERE stalls = 1"))
        await database.rows("UPDATE sync_slices SET lease_until = NULL")
        await assert_stored(database, world, execution_id)
        worker.stopping.set()
        await running


async def test_a_read_only_database_is_waited_for_by_the_ingestor(
    database: Database, portals: Portals, world: World, server_url: str, database_url: str
) -> None:
    world.publish(3, at=CLOSED_DAY, modalidade=MODALIDADE)
    client = await portals.client(await portals.serve(world))
    name = make_url(database_url).database
    async with engine_of(database_url) as engine:
        worker = Worker(engine, client, OPTIONS)
        running = asyncio.create_task(worker.run())
        await eventually(lambda: database.value("SELECT count(*) FROM workers"))
        await execute(
            server_url,
            f"ALTER DATABASE {name} SET default_transaction_read_only = on",
            END_OTHERS.format(name=name),
        )
        try:
            with capture_logs() as logs:
                await eventually(lambda: str(logs).count("in a read-only transaction") > 3)
        finally:
            await execute(server_url, f"ALTER DATABASE {name} RESET ALL")
        await database.engine.dispose()
        assert not running.done()
        await assert_stored(database, world, await database.requested())
        worker.stopping.set()
        await running


async def test_a_worker_whose_claim_does_not_come_does_not_wait_for_it_to_stop(
    database: Database, portals: Portals, workers: Workers, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (loops, presence):
        monkeypatch.setattr(module, "LEAVE_SECONDS", 0.2)
    await database.planned()
    async with database.engine.begin() as db:
        await db.execute(text("LOCK TABLE sync_slices IN EXCLUSIVE MODE"))
        worker, running = workers.start(await portals.client(await portals.serve(world)))
        await database.someone_waits_for_a_lock(2)
        worker.stopping.set()
        await asyncio.wait_for(running, timeout=8)  # the lock is still held
    assert await database.value("SELECT stopped_at FROM workers") is not None
    assert await database.value("SELECT status FROM sync_slices") == "pending"


@pytest.mark.parametrize(("lease_seconds", "shown_for"), [(2, 60), (60, 120), (3600, 7200)])
async def test_a_worker_says_until_when_it_counts_as_alive(
    database: Database, portals: Portals, workers: Workers, world: World, lease_seconds: int, shown_for: int
) -> None:
    workers.start(await portals.client(await portals.serve(world)), lease_seconds=lease_seconds)
    await eventually(lambda: database.value("SELECT count(*) FROM workers"))
    lasts = "SELECT CAST(extract(epoch FROM alive_until - last_seen_at) AS int) FROM workers"
    assert await database.value(lasts) == shown_for
