"""The log of an execution: what gets into it and what never does, what survives the database, how it is read."""

import asyncio
import contextvars
import io
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services.execution_log import forget_lines
from backend.services.sweeper import sweep
from common import execution_log as module
from common.database import create_engine
from common.execution_log import CUT, FINISHED, LOST, ExecutionLog, encode_fields, keep_execution_log
from common.lifecycle import executions as module_executions
from common.lifecycle import slices
from common.logs import configure_logging
from ingestor import worker as worker_module
from ingestor.consumer import Consumer
from ingestor.planning import Rules, plan_next
from ingestor.schedule import tick
from ingestor.worker import Worker, WorkerOptions
from simulator.app import Simulator
from simulator.generated import generate
from simulator.quirks import Rule
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, OpenApi, Portals, Proxy, piece
from tests.support import eventually

BACKFILL = {"mode": "backfill", "data_ini": f"{CLOSED_DAY}T00:00:00", "data_fim": f"{CLOSED_DAY}T23:59:59"}
RULES = Rules({"contratacoes": (MODALIDADE, 8)}, rolling_window=timedelta(minutes=15), overlap=timedelta(minutes=10))
OPTIONS = WorkerOptions(rules=RULES, slots=2, lease_seconds=60, slice_retry_seconds=0.02, has_broker=False)

log = structlog.get_logger("tests")
Line = dict[str, Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)
    monkeypatch.setattr(module, "WITHOUT_DATABASE_SECONDS", 0.05)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the process itself prints, with logging set up as the services do."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def kept(stream: io.StringIO, engine: AsyncEngine) -> Iterator[ExecutionLog]:
    """A log of executions that writes when it is told to."""
    kept = ExecutionLog(engine)
    root = logging.getLogger()
    root.addHandler(kept)
    yield kept
    root.removeHandler(kept)


@asynccontextmanager
async def working(engine: AsyncEngine, portals: Portals, portal: Simulator) -> AsyncIterator[None]:
    """A worker at work; with what it holds settled at the end."""
    worker = Worker(engine, await portals.client(portal), OPTIONS)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stopping.set()
        await running


async def lines_of(database: Database, execution_id: int = 1) -> list[Line]:
    rows = await database.rows("SELECT * FROM execution_log WHERE execution_id = :id ORDER BY id", id=execution_id)
    return [dict(row._mapping) for row in rows]


async def read(api: httpx.AsyncClient, execution_id: int, **query: Any) -> list[Line]:
    answer = await api.get(f"/sync/executions/{execution_id}/log", params={"limit": 500, **query})
    assert answer.status_code == 200, answer.text
    lines: list[Line] = answer.json()["lines"]
    return lines


def has(api: httpx.AsyncClient, execution_id: int, event: str) -> Callable[[], Any]:
    async def is_told() -> bool:
        return event in [line["event"] for line in await read(api, execution_id)]

    return is_told


# --- what an execution tells ------------------------------------------------------------------------------------


async def test_lines_of_a_machine_whose_clock_is_three_days_late_stand_at_the_database_s_time(
    kept: ExecutionLog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await database.requested()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3 * 86_400)
    logging.getLogger("late").warning({"event": "late", "execution_id": execution_id})
    assert await kept.write_all()
    apart = await database.value("SELECT extract(epoch FROM now() - logged_at) FROM execution_log")
    assert abs(apart) < 60


async def test_an_execution_tells_its_whole_course_and_nothing_of_its_pages(
    open_api: OpenApi, database: Database, portals: Portals, engine: AsyncEngine
) -> None:
    api = await open_api()
    portal = await portals.serve(generate(7, CLOSED_DAY, CLOSED_DAY, 60, until=datetime(2025, 4, 1)))
    answer = await api.post("/sync/force", json=BACKFILL, headers={"X-Request-Id": "id-of-mine"})
    execution_id = int(answer.json()["request_id"])
    async with working(engine, portals, portal):
        await eventually(has(api, execution_id, FINISHED), seconds=30)

    lines = await read(api, execution_id)
    events = [line["event"] for line in lines]
    assert events[:3] == ["execution accepted", "execution planned", "execution started"]
    assert events[3:-1] == ["slice finished"] * len(events[3:-1])
    assert events[-1] == FINISHED
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    assert lines[0]["fields"] == {
        "resource": "contratacoes",
        "mode": "backfill",
        "criterio": "publicacao",
        "trigger": "api",
        "user": None,
        "request_id": "id-of-mine",
        "data_ini": BACKFILL["data_ini"],
        "data_fim": BACKFILL["data_fim"],
        "logger": "backend.services.force",
    }
    row = await database.row("SELECT * FROM sync_executions WHERE id = :id", id=execution_id)
    ended = lines[-1]["fields"]
    assert {name: ended[name] for name in ("status", "mode", "criterio", "trigger", "records", "rejected")} == {
        "status": "success",
        "mode": "backfill",
        "criterio": "publicacao",
        "trigger": "api",
        "records": row.records_processed,
        "rejected": 0,
    }
    assert (ended["slices"], ended["failed_slices"], ended["duration_seconds"]) == (2, 0, float(row.duration_seconds))
    assert ended["pages"] == await database.value("SELECT sum(pages_done) FROM sync_slices")
    assert lines[-1]["slice_id"] is None


async def test_a_line_names_the_slice_that_it_is_about_and_no_other(
    open_api: OpenApi, database: Database, portals: Portals, engine: AsyncEngine
) -> None:
    api = await open_api()
    portal = await portals.serve(generate(7, CLOSED_DAY, CLOSED_DAY, 60, until=datetime(2025, 4, 1)))
    portal.quirks.rules += [
        Rule("429", {"service": "consulta", "modalidade": MODALIDADE}, times=1, value="0"),
        Rule("500", {"service": "consulta", "modalidade": 8}, times=12),
    ]
    execution_id = int((await api.post("/sync/force", json=BACKFILL)).json()["request_id"])
    async with working(engine, portals, portal):
        await eventually(has(api, execution_id, FINISHED), seconds=60)

    parts = {row.id: row.part for row in await database.rows("SELECT id, part FROM sync_slices")}
    lines = await read(api, execution_id)
    about = {line["event"]: (parts.get(line["slice_id"]), line["fields"].get("part")) for line in lines}
    assert about["source paused"] == (MODALIDADE, MODALIDADE)
    assert about["slice is postponed"] == (8, 8)
    for event in ("execution accepted", "execution planned", FINISHED):
        assert about[event] == (None, None)
    (put_back, *_) = [line for line in lines if line["event"] == "slice is postponed"]
    assert (put_back["level"], put_back["fields"]["day"]) == ("warning", CLOSED_DAY.isoformat())
    assert put_back["fields"]["cause"] == "no_answer"
    assert "status 500" in put_back["fields"]["error_message"]
    warnings = await read(api, execution_id, level="warning")
    assert {line["event"] for line in warnings} == {"source paused", "slice is postponed"}


async def test_empty_slices_are_passed_over_in_silence(
    open_api: OpenApi, database: Database, portals: Portals, engine: AsyncEngine
) -> None:
    api = await open_api()
    portal = await portals.serve(generate(7, CLOSED_DAY, CLOSED_DAY, 0, until=datetime(2025, 4, 1)))
    execution_id = int((await api.post("/sync/force", json=BACKFILL)).json()["request_id"])
    async with working(engine, portals, portal):
        await eventually(has(api, execution_id, FINISHED), seconds=30)

    told = ["execution accepted", "execution planned", "execution started", FINISHED]
    assert [line["event"] for line in await read(api, execution_id)] == told


async def test_the_process_that_ends_an_execution_logs_its_summary_once(
    open_api: OpenApi, database: Database, engine: AsyncEngine, closed_port: int
) -> None:
    api = await open_api()
    cancelled = int((await api.post("/sync/force", json=BACKFILL)).json()["request_id"])
    assert (await api.post(f"/sync/executions/{cancelled}/cancel")).status_code == 200
    without_broker = await open_api(rabbitmq_url=f"amqp://guest:guest@127.0.0.1:{closed_port}/")
    assert (await without_broker.post("/sync/force", json=BACKFILL)).status_code == 503
    (refused,) = [row.id for row in await database.rows("SELECT id FROM sync_executions WHERE id > :id", id=cancelled)]
    unplannable = await database.requested()
    await database.rows("UPDATE sync_executions SET window_start = NULL WHERE id = :id", id=unplannable)
    assert await plan_next(engine, RULES, older_than_seconds=0) == unplannable
    orphan = await database.requested()
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '1 hour' WHERE id = :id", id=orphan)
    sweeping = asyncio.create_task(sweep(engine, every=0.02, patience=0.1))
    causes = {
        cancelled: ("cancelled", "cancelled by an administrator"),
        refused: ("publish_failed", "Failed to publish to RabbitMQ"),
        unplannable: ("internal", "planning failed: ValueError"),
        orphan: ("no_worker", "no worker"),
    }
    for execution_id in causes:
        await eventually(has(api, execution_id, FINISHED))
    sweeping.cancel()
    await asyncio.wait([sweeping])

    for execution_id, (cause, message) in causes.items():
        (ended,) = [line for line in await read(api, execution_id) if line["event"] == FINISHED]
        assert (ended["level"], ended["fields"]["status"]) == ("error", "error")
        assert (ended["fields"]["cause"], ended["fields"]["error_message"]) == (cause, message)
    assert "message was not confirmed" in [line["event"] for line in await read(api, refused)]
    (told,) = [line for line in await read(api, unplannable) if line["event"] == "execution cannot be planned"]
    assert told["fields"]["exception"] == "ValueError"
    assert "Traceback" not in json.dumps(told)


async def test_executions_without_a_request_to_the_api_begin_their_log_as_well(
    kept: ExecutionLog, database: Database, engine: AsyncEngine
) -> None:
    crons = {"update": "* * * * *"}
    assert await tick(engine, RULES, crons) == []
    await database.rows("UPDATE schedules SET effective_at = now() - interval '5 min'")
    (scheduled,) = await tick(engine, RULES, crons)
    long_ago = replace(piece(), window_end=datetime.combine(CLOSED_DAY, datetime.min.time()))
    await database.planned([long_ago], mode="update")
    await database.run(slices.finish, await database.claim())
    assert await plan_next(engine, RULES, older_than_seconds=0) == scheduled
    bridge = await database.value("SELECT min(id) FROM sync_executions WHERE trigger = 'gap'")
    await kept.write_all()

    told = [line["event"] for line in await lines_of(database, scheduled)]
    assert told[:2] == ["execution accepted", "execution planned"]
    assert set(told[2:]) == {"updates stopped long ago, a backfill bridges the gap"}
    (accepted,) = await lines_of(database, bridge)
    assert (accepted["event"], accepted["fields"]["trigger"]) == ("execution accepted", "gap")


async def test_a_message_of_another_party_begins_a_log_and_names_no_other(
    kept: ExecutionLog, database: Database, engine: AsyncEngine
) -> None:
    @dataclass
    class Message:
        message_id: str
        headers: dict[str, Any]
        body: bytes = b'{"mode": "update"}'

    consumer = Consumer("amqp://nowhere/", "ingest.pncp", engine, lambda _: None)
    created = await consumer.take(Message("theirs", {}))  # type: ignore[arg-type]
    assert created is not None
    await database.rows("UPDATE sync_executions SET planned_at = now()")  # else the second is the same update
    named = Message("theirs, too", {"execution_id": created + 1})  # there is no such row
    second = await consumer.take(named)  # type: ignore[arg-type]
    await kept.write_all()

    assert structlog.contextvars.get_contextvars() == {}
    for execution_id, message_id in ((created, "theirs"), (second, "theirs, too")):
        (line,) = await lines_of(database, execution_id or 0)
        assert (line["event"], line["fields"]["message_id"]) == ("execution accepted", message_id)
        assert (line["fields"]["mode"], line["fields"]["trigger"]) == ("update", "message")


async def test_a_retry_stands_in_the_logs_of_both(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    claim = await database.claimed()
    await database.run(_fail, claim)
    copy = int((await api.post(f"/sync/executions/{claim.execution_id}/retry")).json()["request_id"])
    await eventually(has(api, copy, "execution accepted"))

    (first,) = await read(api, claim.execution_id)
    assert (first["event"], first["fields"]["repeated_by"]) == ("failed slices are repeated", copy)
    (second,) = await read(api, copy)
    assert second["fields"]["retry_of"] == claim.execution_id


async def _fail(db: Any, claim: Any) -> None:
    assert await slices.fail(db, claim, "internal", "no")
    assert await module_executions.close(db, claim.execution_id) == "error"


# --- how it is read ---------------------------------------------------------------------------------------------


async def written(database: Database, *levels: str, execution_id: int) -> None:
    for number, level in enumerate(levels):
        await database.rows(
            "INSERT INTO execution_log (execution_id, logged_at, level, event, fields)"
            " VALUES (:id, now() - interval '1 h', :level, :event, '{}')",
            id=execution_id,
            level=level,
            event=str(number),
        )


async def test_a_level_is_the_least_that_is_shown(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    execution_id = await database.requested()
    await written(database, "info", "critical", "warning", "debug", "error", execution_id=execution_id)
    for level, shown in (("debug", "01234"), ("info", "0124"), ("warning", "124"), ("error", "14")):
        assert "".join(line["event"] for line in await read(api, execution_id, level=level)) == shown
    assert len(await read(api, execution_id)) == 5


async def test_lines_are_found_by_a_text_in_their_event_or_their_fields(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    execution_id = await database.requested()
    await written(database, "info", "warning", "info", execution_id=execution_id)
    await database.rows("UPDATE execution_log SET event = 'Slice failed 50%' WHERE event = '1'")
    await database.rows("""UPDATE execution_log SET fields = '{"path": "/contratos"}' WHERE event = '2'""")
    for words, shown in (("slice FAILED", 1), ("50%", 1), ("%", 1), ("_", 0), ("/contratos", 1), ("nowhere", 0)):
        assert len(await read(api, execution_id, text=words)) == shown, words
    assert await read(api, execution_id, text="slice", level="error") == []


async def test_pages_follow_one_another_without_gap_while_lines_come(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    execution_id, other = await database.requested(), await database.requested()
    for _ in range(5):
        await written(database, "info", execution_id=execution_id)
        await written(database, "error", execution_id=other)
    path = f"/sync/executions/{execution_id}/log"
    seen: list[int] = []
    cursor: str | None = "0"
    while cursor is not None:
        told = (await api.get(path, params={"limit": 2, "cursor": cursor})).json()
        seen += [line["id"] for line in told["lines"]]
        cursor = told["next_cursor"]
        if len(seen) == 2:
            await written(database, "info", execution_id=execution_id)
    assert len(seen) == 6
    assert seen == sorted(set(seen))

    await written(database, "info", execution_id=execution_id)
    (new,) = await read(api, execution_id, cursor=seen[-1])  # a follower continues from the last line
    assert new["id"] > seen[-1]
    assert datetime.fromisoformat(new["logged_at"]).tzinfo is not None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "level=loud",
        "cursor=-1",
        "cursor=x",
        "cursor=9223372036854775808",
        "x=1",
        "limit=1&limit=2",
    ],
)
async def test_what_cannot_be_asked_is_refused(open_api: OpenApi, database: Database, query: str) -> None:
    api = await open_api()
    execution_id = await database.requested()
    assert (await api.get(f"/sync/executions/{execution_id}/log?{query}")).status_code == 422


async def test_an_unknown_execution_has_no_log_and_a_new_one_an_empty_one(
    open_api: OpenApi, database: Database
) -> None:
    api = await open_api()
    execution_id = await database.requested()
    answer = await api.get(f"/sync/executions/{execution_id}/log")
    assert answer.json() == {"lines": [], "next_cursor": None}
    answer = await api.get(f"/sync/executions/{execution_id + 1}/log")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


# --- what gets into it ------------------------------------------------------------------------------------------


async def test_only_lines_of_executions_are_kept_from_info_on(
    kept: ExecutionLog, database: Database, stream: io.StringIO
) -> None:
    log.info("of no execution")
    log.debug("too fine", execution_id=1)
    for strange in (0, -1, 2**63, "1", None, 1.0):
        log.info("of nothing we know", execution_id=strange)
    log.info("kept", execution_id=1, slice_id=7)
    with structlog.contextvars.bound_contextvars(execution_id=1, slice_id=8):
        log.warning("kept, too")
        logging.getLogger("theirs").error("of %s", "another library", extra={"token": "marker"})
    await kept.write_all()

    lines = await lines_of(database)
    assert [(line["level"], line["event"], line["slice_id"]) for line in lines] == [
        ("info", "kept", 7),
        ("warning", "kept, too", 8),
        ("error", "of another library", 8),
    ]
    assert await database.value("SELECT count(*) FROM execution_log") == 3
    assert lines[2]["fields"] == {"logger": "theirs"}
    assert "too fine" not in stream.getvalue()


async def test_a_quiet_stream_does_not_make_the_log_quiet(
    stream: io.StringIO, engine: AsyncEngine, database: Database
) -> None:
    configure_logging("ERROR", "json", stream)
    async with keep_execution_log(engine):
        log.info("for the table alone", execution_id=1)
    assert [line["event"] for line in await lines_of(database)] == ["for the table alone"]
    assert stream.getvalue() == ""


async def test_a_stored_line_has_no_cpf(kept: ExecutionLog, database: Database) -> None:
    log.warning("of 529.982.247-25", execution_id=1, example="52998224725", inner={"of": ["52998224725"]})
    await kept.write_all()

    (line,) = await lines_of(database)
    masked = "***.982.247-**"
    assert (line["event"], line["fields"]["example"], line["fields"]["inner"]) == (
        f"of {masked}",
        masked,
        {"of": [masked]},
    )


async def test_a_line_is_stored_whatever_it_holds_but_for_secrets(kept: ExecutionLog, database: Database) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    def fault() -> None:
        raise ValueError("marker in a driver's text")

    endless: list[Any] = []
    endless.append(endless)
    log.warning(
        "strange\0 \ud800 event",
        execution_id=1,
        text="nul \0 and half a \udc00 sign",
        long="x" * 100_000,
        numbers=[float("nan"), float("inf"), 10**30, 1.5],
        day=CLOSED_DAY,
        broken=Broken(),
        endless=endless,
        admin_password="marker",
        nested={"Authorization": "marker", "deeper": {"jwt_secret": "marker", 3: "three"}},
    )
    try:
        fault()
    except ValueError:
        log.exception("failed", execution_id=1)
    log.error("failed, too", execution_id=1, exc_info=OSError("marker"))
    await kept.write_all()

    strange, failed, too = await lines_of(database)
    assert strange["event"] == "strange  event"
    fields = strange["fields"]
    assert fields["text"] == "nul  and half a  sign"
    assert len(fields["long"]) == module.LONGEST_TEXT
    assert fields["numbers"] == ["nan", "inf", str(10**30), 1.5]
    assert fields["day"] == "2025-03-10"
    assert fields["admin_password"] == "***"
    assert fields["nested"] == {"Authorization": "***", "deeper": {"jwt_secret": "***", "3": "three"}}
    assert (failed["fields"]["exception"], too["fields"]["exception"]) == ("ValueError", "OSError")
    assert "marker" not in json.dumps([strange["fields"], failed["fields"], too["fields"]])


def test_fields_are_as_many_and_as_deep_as_is_good_for_a_row() -> None:
    many = json.loads(encode_fields({"event": "x", "execution_id": 1, "_record": object(), "all": list(range(1000))}))
    assert many == {"all": list(range(module.MOST_ENTRIES))}
    assert json.loads(encode_fields({"digits": 10**5000})) == {"digits": "(int)"}


async def test_one_execution_cannot_fill_the_table(
    kept: ExecutionLog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_LINES", 3)
    for number in range(10):
        log.info("line", execution_id=1, number=number)
    log.error("matters", execution_id=1)
    log.info("line", execution_id=2)
    log.info(FINISHED, execution_id=1)
    await kept.write_all()

    told = [(line["event"], line["fields"].get("number")) for line in await lines_of(database)]
    assert told == [("line", 0), ("line", 1), ("line", 2), (CUT, None), ("matters", None), (FINISHED, None)]
    assert len(await lines_of(database, 2)) == 1


# --- without the database ---------------------------------------------------------------------------------------


@asynccontextmanager
async def behind(database_proxy: tuple[Proxy, str]) -> AsyncIterator[tuple[Proxy, ExecutionLog]]:
    """The log as a process runs it, with a database that can be taken away."""
    proxy, url = database_proxy
    engine = create_engine(url, application_name="pncp-tests", pool_size=2)
    kept = ExecutionLog(engine)
    root = logging.getLogger()
    root.addHandler(kept)
    running = asyncio.create_task(kept.run())
    try:
        yield proxy, kept
    finally:
        root.removeHandler(kept)
        kept.stop()
        await running
        await engine.dispose()


async def test_what_is_logged_while_the_database_is_away_is_there_when_it_is_back(
    stream: io.StringIO, database: Database, database_proxy: tuple[Proxy, str]
) -> None:
    async with behind(database_proxy) as (proxy, _):
        log.info("before", execution_id=1)
        await eventually(lambda: lines_of(database))
        await proxy.cut()
        for number in range(20):
            log.info("meanwhile", execution_id=1, number=number)
        await asyncio.gather(*[asyncio.sleep(0.05) for _ in range(3)])
        told_meanwhile = stream.getvalue().count("\n")
        await proxy.mend()
        await eventually(has_lines(database, 21))

    assert [line["fields"].get("number") for line in await lines_of(database)] == [None, *range(20)]
    assert told_meanwhile == 21, "the log says nothing about itself, or it would say it again and again"


async def test_what_there_is_no_room_for_is_counted_and_the_newest_kept(
    stream: io.StringIO, database: Database, database_proxy: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    async with behind(database_proxy) as (proxy, kept):
        await proxy.cut()
        log.info("in hand", execution_id=1)
        await eventually(lambda: kept._in_hand)
        for number in range(9):
            log.info("meanwhile", execution_id=1 + number % 2, number=number)
        await proxy.mend()
        await eventually(has_lines(database, 8))

    rows = await database.rows("SELECT execution_id, event, fields FROM execution_log ORDER BY id")
    lost = {row.execution_id: row.fields["lines"] for row in rows if row.event == LOST}
    assert lost == {1: 2, 2: 2}
    assert [row.fields["number"] for row in rows if row.event == "meanwhile"] == [4, 5, 6, 7, 8]
    (said,) = [json.loads(line) for line in stream.getvalue().splitlines() if LOST in line]
    assert (said["lines"], said["level"]) == (4, "warning")
    assert "execution_id" not in said


def has_lines(database: Database, count: int) -> Callable[[], Any]:
    async def are_there() -> bool:
        return bool(await database.value("SELECT count(*) FROM execution_log") == count)

    return are_there


async def test_lines_that_the_database_refuses_are_logged_once_and_delay_no_other(
    kept: ExecutionLog, database: Database, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "clean_text", str)
    log.info("a \0 that was not removed", execution_id=1)
    assert await kept.write_all()
    monkeypatch.undo()
    log.info("after it", execution_id=1)
    assert await kept.write_all()

    assert [line["event"] for line in await lines_of(database)] == ["after it"]
    assert stream.getvalue().count("lines of executions could not be written") == 1


async def test_the_last_lines_are_written_at_the_end(
    stream: io.StringIO, engine: AsyncEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 3600.0)
    async with keep_execution_log(engine):
        for _ in range(module.BATCH + 1):
            log.info("last words", execution_id=1)
        assert await lines_of(database) == []
    assert len(await lines_of(database)) == module.BATCH + 1
    log.info("too late", execution_id=1)
    assert not [handler for handler in logging.getLogger().handlers if isinstance(handler, ExecutionLog)]


async def test_an_end_without_the_database_waits_for_nothing_and_says_what_is_missing(
    stream: io.StringIO, database_proxy: tuple[Proxy, str], database: Database
) -> None:
    proxy, url = database_proxy
    await proxy.cut()
    engine = create_engine(url, application_name="pncp-tests", pool_size=2)
    async with keep_execution_log(engine):
        log.info("last words", execution_id=1)
    await engine.dispose()
    (said,) = [line for line in stream.getvalue().splitlines() if "are in this log alone" in line]
    assert json.loads(said)["lines"] == 1


async def test_ids_become_visible_in_their_order(kept: ExecutionLog, database: Database, engine: AsyncEngine) -> None:
    log.info("later", execution_id=1)
    async with engine.begin() as db:
        await db.execute(module._QUEUE_UP, {"key": module._WRITING})
        writing = asyncio.create_task(kept.write_all())
        await database.someone_waits_for_a_lock()
        await database.rows(
            "INSERT INTO execution_log (execution_id, logged_at, level, event, fields)"
            " VALUES (1, now(), 'info', 'earlier', '{}')"
        )
    await writing
    assert [line["event"] for line in await lines_of(database)] == ["earlier", "later"]


# --- forgetting -------------------------------------------------------------------------------------------------


async def test_old_lines_are_forgotten_in_batches_and_young_ones_stay(
    engine: AsyncEngine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.execution_log.FORGET_BATCH", 7)
    await database.rows("""
        INSERT INTO execution_log (execution_id, logged_at, level, event, fields)
        SELECT 1, now() - make_interval(hours => 24 * days), 'info', days, '{}' FROM generate_series(1, 40) days
    """)
    forgetting = asyncio.create_task(forget_lines(engine, days=30, every=0.02))
    await eventually(has_lines(database, 29), seconds=20)
    forgetting.cancel()
    await asyncio.wait([forgetting])
    assert {int(line["event"]) for line in await lines_of(database)} == set(range(1, 30))


@pytest.mark.parametrize(("days", "left"), [(0, 1), (1, 0)])
async def test_the_setting_says_how_long(open_api: OpenApi, database: Database, days: int, left: int) -> None:
    await written(database, "info", execution_id=1)
    await database.rows("UPDATE execution_log SET logged_at = now() - interval '2 days'")
    await open_api(execution_log_days=days)
    await eventually(has_lines(database, left))


# --- contexts ---------------------------------------------------------------------------------------------------


async def test_what_a_request_was_about_is_not_said_of_the_next_one(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    await api.post("/sync/force", json=BACKFILL, headers={"X-Request-Id": "id-of-mine"})
    assert structlog.contextvars.get_contextvars() == {}


async def test_the_brokers_connection_does_not_name_the_request_that_opened_it(
    open_api: OpenApi, broker_proxy: tuple[Proxy, str], queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = broker_proxy
    await proxy.cut()
    api = await open_api(rabbitmq_url=url, queue_name=queue_name)
    await proxy.mend()
    seen: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    create_task = type(loop).create_task

    def noting(self: Any, coro: Any, *, name: Any = None, context: contextvars.Context | None = None) -> Any:
        if getattr(coro, "cr_code", None) is not None and "aiormq" in coro.cr_code.co_filename:
            seen.append((context or contextvars.copy_context()).run(structlog.contextvars.get_contextvars))
        return create_task(self, coro, name=name, context=context)

    monkeypatch.setattr(type(loop), "create_task", noting)
    assert (await api.post("/sync/force", json=BACKFILL)).status_code == 200
    assert seen
    assert [context for context in seen if context] == []
