"""Faults of RabbitMQ, PostgreSQL and of our own processes, one at a time, on servers that this file may let fall."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aio_pika
import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from backend.services.sweeper import sweep
from common.database import create_engine, is_unavailable
from common.lifecycle import executions
from common.lifecycle.executions import PUBLISH_FAILED
from common.lifecycle.slices import MAX_STALLS
from common.tables import metadata
from tests.acceptance.conftest import Stack
from tests.chaos.fleet import make_folder, remove_folder
from tests.chaos.services import Broker, Database, find_rabbitmq
from tests.support import ROOT, SETTINGS_OF_OURS, eventually, migrate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("faults")]

PER_DAY = "300"
LATE = "UPDATE sync_executions SET created_at = created_at - interval '25 seconds'"
"""The poll finds lost messages after half a minute; this makes most of it pass."""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A RabbitMQ of our own; every test leaves it running."""
    script = find_rabbitmq()
    if script is None:
        if os.environ.get("CI"):
            pytest.fail("rabbitmq-server is not installed")
        pytest.skip("rabbitmq-server is not installed")
    folder = make_folder()
    node = Broker(folder / "broker", script)
    try:
        node.start()
        yield node
    finally:
        node.close()
        remove_folder(folder)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """A PostgreSQL of our own, migrated; every test leaves it running."""
    folder = make_folder()
    server = Database(folder / "database")
    try:
        server.start()
        migrate(server.url, "upgrade", "head")
        yield server
    finally:
        server.close()
        remove_folder(folder)


SETTINGS = {
    "PNCP_REQUESTS_PER_SECOND": "0",
    "PNCP_REQUESTS_IN_FLIGHT": "0",
    "PNCP_PAUSE_SECONDS": "0.5",
    "PNCP_ITENS_CONCURRENCY": "8",
    "PNCP_RETRY_WAIT_MAX": "0.2",
    "SLICE_RETRY_SECONDS": "1",
    "LEASE_SECONDS": "4",
    "SCHEDULE_ENABLED": "false",
}


@asynccontextmanager
async def open_stack(folder: Path, url: str, **settings: str) -> AsyncIterator[Stack]:
    driver = make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    engine = create_engine(driver, application_name="pncp-tests", pool_size=10)
    async with engine.begin() as db:
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        await db.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    stack = Stack(folder, url, engine, settings=SETTINGS | settings)
    try:
        yield stack
    finally:
        await stack.close()
        await engine.dispose()


@pytest.fixture
async def on_own_database(tmp_path: Path, database: Database) -> AsyncIterator[Stack]:
    """No broker, and a database that may fall."""
    async with open_stack(tmp_path, database.url) as stack:
        yield stack


@pytest.fixture
async def on_own_broker(tmp_path: Path, database: Database, broker: Broker) -> AsyncIterator[Stack]:
    """A broker that may fall, with queues of this test's own."""
    settings = {"RABBITMQ_URL": broker.url, "QUEUE_NAME": f"ingest.{uuid4().hex[:8]}"}
    async with open_stack(tmp_path, database.url, **settings) as stack:
        yield stack


async def in_thread(work: object, *arguments: str) -> None:
    """Let something happen beside the event loop; nothing that must outlive the thread may be started so."""
    await asyncio.to_thread(work, *arguments)  # type: ignore[arg-type]


async def rows(stack: Stack, statement: str, **values: object) -> list[tuple[object, ...]]:
    async with stack.engine.begin() as db:
        return [tuple(row) for row in await db.execute(text(statement), values)]


async def change(stack: Stack, statement: str, **values: object) -> None:
    async with stack.engine.begin() as db:
        await db.execute(text(statement), values)


async def post(stack: Stack, **body: str) -> httpx.Response:
    return await stack.api.post("/sync/force", json=body or {"mode": "update"})


async def is_refused(stack: Stack, answer: httpx.Response) -> int:
    """A 503 that names an execution, which has been ended and was never planned; its id."""
    assert answer.status_code == 503, answer.text
    found = re.search(r"execução (\d+)", answer.json()["detail"])
    assert found, answer.text
    number = int(found[1])
    assert await refused_row(stack, number) == ("error", PUBLISH_FAILED, None, 0)
    return number


async def refused_row(stack: Stack, number: int) -> tuple[object, ...]:
    (row,) = await rows(
        stack,
        "SELECT status, error_message, planned_at, (SELECT count(*) FROM sync_slices WHERE execution_id = e.id)"
        "  FROM sync_executions e WHERE id = :id",
        id=number,
    )
    return row


async def depth(stack: Stack, suffix: str = "") -> int:
    async with (
        await aio_pika.connect(stack.settings["RABBITMQ_URL"]) as connection,
        connection.channel() as channel,
    ):
        queue = await channel.declare_queue(stack.settings["QUEUE_NAME"] + suffix, passive=True)
        return queue.declaration_result.message_count or 0


async def keys_of(stack: Stack, day: str, modalidade: str) -> set[str]:
    """What the portal holds of one day and modalidade."""
    window = {"data_ini": f"{day[:10]}T00:00:00", "data_fim": f"{day[:10]}T23:59:59", "modalidades": modalidade}
    answer = await stack.api.get(f"{stack.simulator_url}/records", params=window)
    return {record["numeroControlePNCP"] for record in answer.json()}


async def broker_is(stack: Stack, state: str) -> None:
    async def so() -> bool:
        return bool((await stack.api.get("/health")).json()["broker"] == state)

    await eventually(so, seconds=30, every=0.2)


# --- B: RabbitMQ ----------------------------------------------------------------------------------------------------


async def test_a_broker_killed_while_many_publish_refuses_or_accepts_and_what_it_refused_never_runs(
    on_own_broker: Stack, broker: Broker
) -> None:
    stack = on_own_broker
    await stack.start_simulator("--days", "1", "--per-day", "5")
    await stack.start_backend()
    await stack.start_ingestor(PNCP_MODALIDADES="6")

    async def publish_for_a_while() -> list[httpx.Response]:
        answers = []
        while time.monotonic() < ends:
            answers.append(await post(stack))
        return answers

    ends = time.monotonic() + 3
    publishers = [asyncio.create_task(publish_for_a_while()) for _ in range(4)]
    await asyncio.sleep(0.5)
    broker.kill()
    answers = [answer for one in publishers for answer in await one]
    broker.start()
    await broker_is(stack, "connected")
    await change(stack, LATE)
    last = await stack.finished(await stack.force(mode="update"))

    assert {answer.status_code for answer in answers} <= {200, 429, 503}
    refused = [await is_refused(stack, answer) for answer in answers if answer.status_code == 503]
    assert refused
    assert last["status"] == "success"
    for answer in answers:
        if answer.status_code == 200:
            assert (await stack.finished(int(answer.json()["request_id"])))["status"] == "success"
    for number in refused:
        assert await refused_row(stack, number) == ("error", PUBLISH_FAILED, None, 0)
    assert await depth(stack) == 0


async def test_a_broker_with_an_alarm_is_a_503_within_five_seconds_and_what_it_delivers_later_does_not_run(
    on_own_broker: Stack, broker: Broker
) -> None:
    stack = on_own_broker
    await stack.start_backend()
    await broker_is(stack, "connected")
    await in_thread(broker.control, "set_vm_memory_high_watermark", "0.00001")
    try:
        begin = time.monotonic()
        answers = await asyncio.gather(post(stack), post(stack))
        took = time.monotonic() - begin
    finally:
        await in_thread(broker.control, "set_vm_memory_high_watermark", "0.4")
    refused = [await is_refused(stack, answer) for answer in answers]
    await stack.start_simulator("--days", "1", "--per-day", "5")
    await stack.start_ingestor(PNCP_MODALIDADES="6")
    after = await stack.finished(await stack.force(mode="update"))

    assert took < 5
    assert after["status"] == "success"
    for number in refused:
        assert await refused_row(stack, number) == ("error", PUBLISH_FAILED, None, 0)


async def test_a_queue_that_takes_no_more_is_a_503(on_own_broker: Stack, broker: Broker) -> None:
    stack = on_own_broker
    await stack.start_backend()
    await broker_is(stack, "connected")
    queue = stack.settings["QUEUE_NAME"]
    limit = '{"max-length": 0, "overflow": "reject-publish"}'
    await in_thread(broker.control, "set_policy", "full", f"^{queue}$", limit, "--apply-to", "queues")
    try:
        answer = await post(stack)
    finally:
        await in_thread(broker.control, "clear_policy", "full")

    await is_refused(stack, answer)


async def test_restarts_of_the_broker_restart_no_service_and_lose_nothing(on_own_broker: Stack, broker: Broker) -> None:
    stack = on_own_broker
    await stack.start_simulator("--days", "1", "--per-day", "5")
    backend = await stack.start_backend()
    ingestor = await stack.start_ingestor(PNCP_MODALIDADES="6")
    accepted = []
    for how in ("kill", "stop", "close connections"):
        if how == "close connections":
            await in_thread(broker.control, "close_all_connections", "maintenance")
        else:
            (broker.kill if how == "kill" else broker.terminate)()
            await eventually(lambda: broker.pid is None, seconds=20)
            broker.start()
        await broker_is(stack, "connected")
        answer = await post(stack)
        assert answer.status_code == 200, answer.text
        accepted.append(int(answer.json()["request_id"]))

    for number in accepted:  # by the message or by the poll that finds lost ones
        assert (await stack.finished(number))["status"] == "success"
    assert await depth(stack) == 0
    for process in (backend, ingestor):
        assert process.popen.poll() is None
        assert process.text.count("worker started") <= 1

    async def listens_again() -> bool:
        async with (
            await aio_pika.connect(broker.url) as connection,
            connection.channel() as channel,
        ):
            queue = await channel.declare_queue(stack.settings["QUEUE_NAME"], passive=True)
            return bool(queue.declaration_result.consumer_count)

    await eventually(listens_again, seconds=20, every=0.2)


async def test_a_backfill_goes_on_while_the_broker_is_down(on_own_broker: Stack, broker: Broker) -> None:
    stack = on_own_broker
    await stack.start_simulator("--per-day", PER_DAY, "--days", "4", "--latency-ms", "10")
    await stack.start_backend()
    await stack.start_ingestor()
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    await stack.processed_at_least(execution_id, 20)

    broker.kill()
    try:
        execution = await stack.finished(execution_id)
    finally:
        broker.start()

    assert (execution["status"], execution["records_processed"]) == ("success", len(truth))
    assert await stack.stored() == truth


async def test_with_the_broker_down_at_the_start_both_services_come_up_and_waiting_rows_run(
    on_own_broker: Stack, broker: Broker
) -> None:
    stack = on_own_broker
    broker.kill()
    try:
        await stack.start_simulator("--days", "1", "--per-day", "5")
        await stack.start_backend()
        assert (await stack.api.get("/health")).json()["broker"] == "disconnected"
        await change(
            stack,
            "INSERT INTO sync_executions (mode, criterio, trigger, created_at)"
            " VALUES ('update', 'atualizacao', 'api', now() - interval '31 seconds')",
        )
        ingestor = await stack.start_ingestor(PNCP_MODALIDADES="6")
        execution = await stack.finished(1)
    finally:
        broker.start()

    assert execution["status"] == "success"
    await eventually(lambda: "listening" in ingestor.text, seconds=30)
    assert ingestor.text.count("broker is not available") < 20  # calmly


async def test_what_waits_runs_though_the_queue_was_purged(on_own_broker: Stack) -> None:
    stack = on_own_broker
    await stack.start_simulator("--days", "1", "--per-day", "5")
    await stack.start_backend()
    waiting = [await stack.force(mode="update") for _ in range(5)]
    assert await depth(stack) == 5
    async with (
        await aio_pika.connect(stack.settings["RABBITMQ_URL"]) as connection,
        connection.channel() as channel,
    ):
        await (await channel.declare_queue(stack.settings["QUEUE_NAME"], passive=True)).purge()
    await change(stack, LATE)
    await stack.start_ingestor(PNCP_MODALIDADES="6")

    for number in waiting:
        assert (await stack.finished(number))["status"] == "success"


async def test_nothing_stays_unacknowledged_while_a_backfill_runs(on_own_broker: Stack, broker: Broker) -> None:
    stack = on_own_broker
    await stack.start_simulator("--per-day", PER_DAY, "--days", "2", "--latency-ms", "200")
    await stack.start_backend()
    await stack.start_ingestor()
    start, end = await stack.span()
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    await stack.processed_at_least(execution_id, 1)

    listed = await asyncio.to_thread(
        broker.control, "list_queues", "--quiet", "--no-table-headers", "name", "messages", "messages_unacknowledged"
    )

    assert (await stack.execution(execution_id))["status"] == "running"
    ours = [line.split() for line in listed.splitlines() if line.split()[:1] == [stack.settings["QUEUE_NAME"]]]
    assert ours == [[stack.settings["QUEUE_NAME"], "0", "0"]]


async def test_a_wrong_password_of_the_broker_is_a_503_that_does_not_show_it(
    on_own_broker: Stack, broker: Broker
) -> None:
    stack = on_own_broker
    stack.settings["RABBITMQ_URL"] = f"amqp://guest:not-this-one@127.0.0.1:{broker.port}/"
    backend = await stack.start_backend()

    await is_refused(stack, await post(stack))

    assert "not-this-one" not in backend.text


# --- D: PostgreSQL --------------------------------------------------------------------------------------------------


async def test_a_database_killed_in_the_middle_of_a_page_costs_that_page_and_nothing_else(
    on_own_database: Stack, database: Database
) -> None:
    stack = on_own_database
    await stack.start_simulator("--per-day", PER_DAY, "--days", "4", "--latency-ms", "10")
    await stack.start_backend()
    ingestor = await stack.start_ingestor()
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    await stack.processed_at_least(execution_id, 20)
    waits = "wait_event_type = 'Lock' AND query LIKE '%INSERT INTO contratacoes%'"
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute("BEGIN; LOCK TABLE contratacoes IN SHARE ROW EXCLUSIVE MODE")

        async def a_page_waits() -> bool:  # another connection must ask: within a transaction the answer never changes
            return bool(await rows(stack, f"SELECT 1 FROM pg_stat_activity WHERE {waits}"))

        await eventually(a_page_waits, seconds=20)
        database.kill()
    finally:
        connection.terminate()
    database.start()
    execution = await stack.finished(execution_id)

    assert (execution["status"], execution["records_processed"]) == ("success", len(truth))
    assert await stack.stored() == truth
    assert ingestor.popen.poll() is None


async def test_while_the_database_is_down_all_services_wait_and_then_go_on(
    on_own_database: Stack, database: Database
) -> None:
    stack = on_own_database
    await stack.start_simulator("--per-day", PER_DAY, "--days", "4", "--latency-ms", "10")
    backend = await stack.start_backend()
    ingestor = await stack.start_ingestor()
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    await stack.processed_at_least(execution_id, 20)

    database.kill()
    away = 8
    answers = []
    for _ in range(away):
        answers.append(await post(stack))
        await asyncio.sleep(1)
    complaints = ingestor.text.count("database is not available")
    database.start()
    execution = await stack.finished(execution_id)

    assert [answer.status_code for answer in answers] == [503] * away
    assert {answer.headers["Retry-After"] for answer in answers} == {"10"}
    # four loops and up to four slices, each at most once a second
    assert 0 < complaints <= 8 * away
    assert (execution["status"], execution["records_processed"]) == ("success", len(truth))
    assert await stack.stored() == truth
    assert await rows(stack, "SELECT count(*) FROM sync_executions") == [(1,)]
    assert backend.popen.poll() is ingestor.popen.poll() is None


async def test_without_a_free_connection_the_answer_is_503_and_it_recovers(
    on_own_database: Stack, database: Database
) -> None:
    stack = on_own_database
    await stack.start_backend()
    taken = []
    while True:
        try:
            taken.append(await asyncpg.connect(database.url))
        except asyncpg.TooManyConnectionsError:
            break
    own = "application_name IN ('pncp-backend', 'pncp-tests')"
    freed = await taken[0].fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {own}")

    async def take_what_was_freed() -> bool:
        try:
            taken.append(await asyncpg.connect(database.url))
        except asyncpg.TooManyConnectionsError:
            return True
        return False

    assert freed
    await eventually(take_what_was_freed, seconds=10)
    begin = time.monotonic()
    answer = await post(stack)
    took = time.monotonic() - begin
    for connection in taken:
        await connection.close()

    async def recovers() -> bool:
        return (await post(stack)).status_code == 200

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert took < 10
    await eventually(recovers, seconds=10, every=0.2)


@pytest.mark.parametrize("state", ["53100", "57014"], ids=["disk full", "statement too slow"])
async def test_a_database_that_cannot_do_it_puts_the_work_off_and_says_why(on_own_database: Stack, state: str) -> None:
    stack = on_own_database
    await stack.start_simulator("--per-day", "100", "--days", "2")
    await stack.start_backend()
    ingestor = await stack.start_ingestor(PNCP_MODALIDADES="6")
    start, _ = await stack.span()
    await change(
        stack,
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '{state}'; END $$",
    )
    await change(stack, "CREATE TRIGGER fail BEFORE INSERT ON contratacoes EXECUTE FUNCTION fail()")
    try:
        execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=start[:11] + "23:59:59")

        async def is_put_off() -> bool:
            return (await stack.execution(execution_id))["phase"] == "waiting"

        await eventually(is_put_off, seconds=20)
        (slice_,) = (await stack.api.get(f"/sync/executions/{execution_id}/slices")).json()["slices"]
        tries = ingestor.text.count("slice ended unexpectedly")
    finally:
        await change(stack, "DROP FUNCTION fail CASCADE")
    execution = await stack.finished(execution_id)

    assert slice_["error_message"]
    assert slice_["run_after"]
    assert tries == 0, "it is no fault of the slice's"
    assert execution["status"] == "success"
    assert set(await stack.stored()) == await keys_of(stack, start, "6")
    assert execution["records_processed"] == len(await keys_of(stack, start, "6")) > 0


async def test_a_database_whose_disk_is_full_is_a_503(on_own_database: Stack) -> None:
    stack = on_own_database
    await stack.start_backend()
    await change(
        stack, "CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '53100'; END $$"
    )
    await change(stack, "CREATE TRIGGER full_ BEFORE INSERT ON sync_executions EXECUTE FUNCTION full_()")
    try:
        answer = await post(stack)
    finally:
        await change(stack, "DROP FUNCTION full_ CASCADE")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert "53100" not in answer.text


async def test_a_database_that_is_not_migrated_refuses_both_services_in_one_line(
    tmp_path: Path, database: Database
) -> None:
    connection = await asyncpg.connect(database.url)
    await connection.execute("CREATE DATABASE bare")
    url = make_url(database.url).set(database="bare").render_as_string(hide_password=False)
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    stack = Stack(tmp_path, url, engine)
    try:
        for command in (["-m", "uvicorn", "backend.main:app", "--port", "0"], ["-m", "ingestor"]):
            process = stack.start(command[1], *command, PNCP_BASE_URL="http://127.0.0.1:9/api")
            assert await process.ended(seconds=30) != 0
            assert "alembic upgrade head" in process.text
            assert "Traceback" not in process.text
    finally:
        await stack.close()
        await engine.dispose()
        await connection.execute("DROP DATABASE bare WITH (FORCE)")
        await connection.close()


async def test_a_server_that_says_good_bye_just_before_it_is_asked_is_away_and_nothing_worse(
    database: Database,
) -> None:
    """The driver then finds itself in a state that it calls an internal error, which must not end a process."""
    url = make_url(database.url)
    good_bye = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
    clients: list[asyncio.StreamWriter] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(url.host, url.port)
        clients.extend((writer, back))

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while part := await source.read(65536):
                sink.write(part)

        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = await asyncpg.connect(database.url, host="127.0.0.1", port=port, ssl=False)
    try:
        await connection.fetchval("SELECT 1")
        clients[0].write(b"E" + (len(good_bye) + 4).to_bytes(4, "big") + good_bye)
        await clients[0].drain()
        await asyncio.sleep(0.2)  # it must have been read, and nothing tells that it was
        with pytest.raises(asyncpg.InternalClientError) as raised:
            await connection.fetchval("SELECT 1")
    finally:
        connection.terminate()
        for client in clients:
            client.close()
        server.close()

    assert is_unavailable(raised.value)


# --- F: our own processes -------------------------------------------------------------------------------------------


@pytest.fixture
async def silent_broker() -> AsyncIterator[str]:
    """Takes connections and never says a word; its URL."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    yield f"amqp://guest:guest@127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


async def test_an_api_killed_between_commit_and_publish_leaves_a_row_that_the_poll_finds(
    on_own_database: Stack, silent_broker: str
) -> None:
    stack = on_own_database
    stack.settings["RABBITMQ_URL"] = silent_broker
    await stack.start_simulator("--days", "1", "--per-day", "5")
    backend = await stack.start_backend()
    asking = asyncio.create_task(post(stack))

    async def is_committed() -> bool:
        return await rows(stack, "SELECT published_at, planned_at FROM sync_executions") == [(None, None)]

    await eventually(is_committed)
    backend.send(signal.SIGKILL)
    with pytest.raises(httpx.HTTPError):
        await asking
    await change(stack, LATE)
    await stack.start_ingestor(PNCP_MODALIDADES="6")

    async def ran() -> bool:
        return await rows(stack, "SELECT status FROM sync_executions") == [("success",)]

    await eventually(ran, seconds=30, every=0.2)


async def test_an_api_killed_after_the_publish_and_before_its_answer_has_its_row_run_once(on_own_broker: Stack) -> None:
    stack = on_own_broker
    await stack.start_simulator("--days", "1", "--per-day", "5")
    backend = await stack.start_backend()
    await broker_is(stack, "connected")
    # the stamp that follows the confirm waits, so that the API hangs exactly there
    await change(
        stack, "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); END $$"
    )
    await change(
        stack,
        "CREATE TRIGGER wait BEFORE UPDATE OF published_at ON sync_executions FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    try:
        asking = asyncio.create_task(post(stack))

        async def is_published() -> bool:
            return await depth(stack) == 1

        await eventually(is_published, seconds=20, every=0.1)
        backend.send(signal.SIGKILL)
        with pytest.raises(httpx.HTTPError):
            await asking
    finally:
        await change(
            stack, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pncp-backend'"
        )
        await change(stack, "DROP FUNCTION wait CASCADE")
    await stack.start_ingestor(PNCP_MODALIDADES="6")

    async def ran() -> bool:
        return await rows(stack, "SELECT status FROM sync_executions") == [("success",)]

    await eventually(ran, seconds=30, every=0.2)
    assert await rows(stack, "SELECT attempt FROM sync_slices") == [(1,)]


async def test_what_waits_for_workers_that_are_not_alive_is_ended_and_says_so(on_own_database: Stack) -> None:
    stack = on_own_database
    await stack.start_backend()
    execution_id = await stack.force(mode="update")
    sweeping = asyncio.create_task(sweep(stack.engine, every=0.05, patience=1))
    try:
        execution = await stack.finished(execution_id, seconds=20)
    finally:
        sweeping.cancel()

    assert (execution["status"], execution["error_message"]) == ("error", executions.NO_WORKER)
    assert (await stack.api.get("/sync/status")).json()["error_message"] == executions.NO_WORKER


async def test_a_slice_that_kills_its_workers_is_given_up_and_the_others_are_done(on_own_database: Stack) -> None:
    stack = on_own_database
    await stack.start_simulator("--days", "2", "--per-day", "100")
    await stack.start_backend()
    start, _ = await stack.span()
    day = start[:10]
    # the ingestor that reads this listing is held there until it is killed
    hang = {"name": "hang", "match": {"modalidade": 6, "service": "consulta"}}
    await stack.api.put(f"{stack.simulator_url}/quirks", json={"rules": [hang]})
    body = {"mode": "backfill", "data_ini": start, "data_fim": f"{day}T23:59:59"}
    execution_id = await stack.force(**body)
    settings = {"PNCP_MODALIDADES": "6,8", "LEASE_SECONDS": "2", "HTTP_TIMEOUT": "600"}

    async def is_held_for(attempt: int) -> bool:
        held = await rows(stack, "SELECT attempt FROM sync_slices WHERE part = 6 AND status = 'running'")
        return held == [(attempt,)]

    for attempt in range(1, MAX_STALLS + 1):
        victim = await stack.start_ingestor(**settings)
        await eventually(lambda attempt=attempt: is_held_for(attempt), seconds=20)
        victim.send(signal.SIGKILL)
        await victim.ended()
    await stack.start_ingestor(**settings)
    execution = await stack.finished(execution_id)

    assert execution["status"] == "error"
    assert "1 of 2 slices failed" in execution["error_message"]
    assert "6 workers in a row ended without a page" in execution["error_message"]
    assert execution["records_processed"] == len(await keys_of(stack, start, "8")) > 0


async def test_a_frozen_ingestor_is_red_and_green_again_when_it_wakes(on_own_database: Stack) -> None:
    stack = on_own_database
    stack.settings["LEASE_SECONDS"] = "2"
    stack.settings["PNCP_BASE_URL"] = "http://127.0.0.1:9/api"
    ingestor = await stack.start_ingestor()

    async def health() -> int:
        return await stack.start("health", "-m", "ingestor.health").ended()

    async def is_red() -> bool:
        return await health() == 1

    async def is_green() -> bool:
        return await health() == 0

    await eventually(is_green, seconds=20)
    ingestor.send(signal.SIGSTOP)
    await eventually(is_red, seconds=20)
    ingestor.send(signal.SIGCONT)
    await eventually(is_green, seconds=20)


async def test_an_interrupt_during_the_start_ends_it_without_a_flood(tmp_path: Path) -> None:
    """While it waits for a database that is not there."""
    output = tmp_path / "ingestor.log"
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS_OF_OURS}
    environment |= {"DATABASE_URL": "postgresql://stranger:nothing@127.0.0.1:9/none", "LOG_FORMAT": "text"}
    with output.open("wb") as sink:
        popen = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ingestor"), cwd=ROOT, env=environment, stdout=sink, stderr=sink
        )
    try:
        await eventually(lambda: "waiting for the database" in output.read_text(), seconds=20)
        popen.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(popen.wait(), 10)
    finally:
        if popen.returncode is None:
            popen.kill()
            await popen.wait()

    assert code == 0
    assert "Traceback" not in output.read_text()
