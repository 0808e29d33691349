"""The admin service over real HTTP: what it answers, and that no input and no outage makes it answer nonsense."""

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import httpx
import pytest
import uvicorn
from pydantic import SecretStr, ValidationError
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from backend.config import BackendSettings
from backend.main import create_app
from backend.models.sync import HistoryQuery, SyncExecution, SyncHistory, SyncRequest, SyncResponse, SyncStatus
from backend.services import publisher as publisher_module
from backend.services import reading as reading_module
from backend.services.publisher import RabbitMQPublisher
from backend.services.status import SyncStatusService
from common.clock import to_wall_clock
from common.lifecycle import executions, slices
from common.lifecycle.executions import PUBLISH_FAILED
from common.lifecycle.slices import PageCounts
from common.messages import SyncCommand, decode
from tests.integration.conftest import Database, OpenApi, Proxy, piece
from tests.support import ROOT, eventually

BACKFILL = {"mode": "backfill", "data_ini": "2025-03-10T00:00:00", "data_fim": "2025-03-12T23:59:59"}
INNER_LIFE = re.compile(
    r"Traceback|sqlalchemy|asyncpg|SELECT |INSERT |UPDATE |sync_executions|\.py\b|postgres(ql)?://|amqp://",
    re.IGNORECASE,
)


Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serve(database_url: str, engine: AsyncEngine) -> Serve:  # `engine`: on an empty database
    @asynccontextmanager
    async def serve(**parts: Any) -> AsyncIterator[httpx.AsyncClient]:
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        given = {"database_url": database_url, "rabbitmq_url": None, **parts}
        settings = BackendSettings(
            **{name: SecretStr(value) if value and name.endswith("_url") else value for name, value in given.items()}
        )
        config = uvicorn.Config(
            create_app(settings), port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve())
        try:
            await eventually(lambda: server.started or running.done())
            port = server.servers[0].sockets[0].getsockname()[1]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            await running
            root.handlers, root.level = handlers, level

    return serve


@pytest.fixture
async def api(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """The service without a broker."""
    async with serve() as client:
        yield client


def problem(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The problem that an answer tells, which has its form and gives nothing away."""
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = json.loads(answer.content.decode("utf-8"))
    assert told["status"] == answer.status_code
    assert told["title"]
    assert told["detail"]
    assert not INNER_LIFE.search(answer.text), answer.text
    return told


async def rows_of(database: Database) -> int:
    count: int = await database.value("SELECT count(*) FROM sync_executions")
    return count


# --- POST /sync/force: what is accepted -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "mode", "criterio", "window"),
    [
        ({"mode": "update"}, "update", "atualizacao", (None, None)),
        ({}, "update", "atualizacao", (None, None)),
        ({"mode": "update", "data_ini": "x", "criterio": "publicacao"}, "update", "atualizacao", (None, None)),
        (BACKFILL, "backfill", "publicacao", (BACKFILL["data_ini"], BACKFILL["data_fim"])),
        (
            {**BACKFILL, "criterio": "atualizacao"},
            "backfill",
            "atualizacao",
            (BACKFILL["data_ini"], BACKFILL["data_fim"]),
        ),
    ],
)
async def test_an_accepted_request_is_a_row_that_can_be_followed(
    api: httpx.AsyncClient, database: Database, body: Any, mode: str, criterio: str, window: tuple[str, str]
) -> None:
    answer = await api.post("/sync/force", json=body)

    assert answer.status_code == 200
    row = await database.row("SELECT * FROM sync_executions")
    assert answer.json() == {
        "success": True,
        "message": f"Sync request published: {mode}",
        "request_id": str(row.id),
    }
    assert (row.mode, row.criterio, row.status, row.trigger) == (mode, criterio, "running", "api")
    followed = await api.get(answer.headers["Location"])
    assert followed.status_code == 200
    told = followed.json()
    assert (told["id"], told["phase"], told["window_start"], told["window_end"]) == (row.id, "queued", *window)


def wall_clock(**ahead: float) -> str:
    return to_wall_clock(datetime.now(UTC) + timedelta(**ahead)).isoformat(timespec="seconds")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2025-03-10T12:00:00", "2025-03-10T12:00:00"),
        ("2024-01-01T00:00:00", "2024-12-31T00:00:00"),
        ("2021-01-01T00:00:00", "2021-01-02T00:00:00"),
        (wall_clock(days=-1), wall_clock(hours=23)),
    ],
    ids=["one second", "exactly 365 days", "the first day of the portal", "until tomorrow"],
)
async def test_a_window_at_the_limit_is_accepted(
    api: httpx.AsyncClient, database: Database, first: str, last: str
) -> None:
    answer = await api.post("/sync/force", json={"mode": "backfill", "data_ini": first, "data_fim": last})

    assert answer.status_code == 200, answer.text
    row = await database.row("SELECT window_start, window_end FROM sync_executions")
    assert (row.window_start.isoformat(), row.window_end.isoformat()) == (first, last)


async def test_of_two_equal_keys_the_last_one_counts(api: httpx.AsyncClient, database: Database) -> None:
    answer = await api.post("/sync/force", content=b'{"mode": "backfill", "mode": "update"}')

    assert answer.status_code == 422 or (await database.row("SELECT mode FROM sync_executions")).mode == "update"
    problem(await api.post("/sync/force", content=b'{"mode": "update", "mode": "backfill"}'), 422)
    assert await rows_of(database) <= 1


async def test_twenty_requests_at_once_are_twenty_rows(api: httpx.AsyncClient, database: Database) -> None:
    answers = await asyncio.gather(*(api.post("/sync/force", json=BACKFILL) for _ in range(20)))

    accepted = [answer.json()["request_id"] for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 429, 503}
    assert len(accepted) == len(set(accepted)) == await rows_of(database)


# --- POST /sync/force: what is refused --------------------------------------------------------------------------


def dated(first: Any, last: Any = "2025-03-12T23:59:59") -> bytes:
    return json.dumps({"mode": "backfill", "data_ini": first, "data_fim": last}).encode()


BAD_BODIES: dict[str, bytes] = {
    "NaN": b'{"mode": NaN}',
    "Infinity": b'{"mode": "backfill", "data_ini": Infinity, "data_fim": -Infinity}',
    "1e400": b'{"mode": 1e400}',
    "a number of 5000 digits": b'{"mode": ' + b"9" * 5000 + b"}",
    "a lone surrogate": rb'{"mode": "\ud800"}',
    "a lone surrogate as a date": rb'{"mode": "backfill", "data_ini": "\ud800", "data_fim": "\udfff"}',
    "a lone surrogate as a key": rb'{"\ud800": 1}',
    "NUL": rb'{"mode": "update\u0000"}',
    "NUL as a key": rb'{"mo\u0000de": "update"}',
    "right to left": '{"mode": "\u202eupdate"}'.encode(),
    "emoji": '{"mode": "🚀", "🚀": 1}'.encode(),
    "nested arrays": b"[" * 16_000,
    "100 000 nested arrays": b"[" * 100_000,
    "nested objects": b'{"a":' * 3000,
    "1000 unknown keys": json.dumps({f"k{n}": 1 for n in range(1000)}).encode(),
    "a text of 20 kB": json.dumps({"mode": "a" * 20_000}).encode(),
    "a text of 15 kB": json.dumps({"mode": "a" * 15_000}).encode(),
    "nothing": b"",
    "spaces": b"  ",
    "null": b"null",
    "an array": b"[]",
    "true": b"true",
    "text": b'"update"',
    "a number": b"1",
    "not UTF-8": b'{"mode": "\xff\xfe"}',
    "cut": b'{"mode": "upd',
    "two objects": b'{"mode": "update"}{"mode": "update"}',
    "single quotes": b"{'mode': 'update'}",
    "an unknown mode": b'{"mode": "delete"}',
    "a mode in capitals": b'{"mode": "UPDATE"}',
    "mode null": b'{"mode": null}',
    "mode as a list": b'{"mode": ["update"]}',
    "an unknown criterio": b'{"criterio": "tudo"}',
    "a key of ours": b'{"mode": "update", "status": "success"}',
    "an id": b'{"mode": "update", "id": 1, "attempt": 7}',
    "SQL as a mode": b"""{"mode": "'; DROP TABLE sync_executions; --"}""",
    "SQL as a date": dated("2025-03-10T00:00:00'; DROP TABLE sync_executions; --"),
    "backfill without dates": b'{"mode": "backfill"}',
    "backfill without an end": b'{"mode": "backfill", "data_ini": "2025-03-10T00:00:00"}',
    "backfill without a start": b'{"mode": "backfill", "data_fim": "2025-03-10T00:00:00"}',
    "date null": dated(None),
    "a date as a number": dated(1741564800),
    "a date as a list": dated(["2025-03-10T00:00:00"]),
    "a numeric text": dated("1741564800"),
    "30 February": dated("2025-02-30T00:00:00"),
    "month 13": dated("2025-13-01T00:00:00"),
    "hour 24": dated("2025-03-10T24:00:00"),
    "a date without a time": dated("2025-03-10"),
    "a fraction": dated("2025-03-10T00:00:00.5"),
    "a leap second": dated("2025-03-10T23:59:60"),
    "Arabic digits": dated("٢٠٢٥-03-10T00:00:00"),
    "a year of five digits": dated("02025-03-10T00:00:00"),
    "a space before": dated(" 2025-03-10T00:00:00"),
    "a line end after": dated("2025-03-10T00:00:00\n"),
    "a space between": dated("2025-03-10 00:00:00"),
    "Z": dated("2025-03-10T00:00:00Z"),
    "an offset": dated("2025-03-10T00:00:00-03:00", "2025-03-12T00:00:00-03:00"),
    "one aware and one naive": dated("2025-03-10T00:00:00", "2025-03-12T00:00:00Z"),
    "reversed": dated("2025-03-12T00:00:00", "2025-03-10T00:00:00"),
    "365 days and a second": dated("2024-01-01T00:00:00", "2024-12-31T00:00:01"),
    "a start in the future": dated(wall_clock(hours=1), wall_clock(hours=2)),
    "an end in two days": dated("2026-01-01T00:00:00", wall_clock(days=2)),
    "year 1": dated("0001-01-01T00:00:00", "0001-01-02T00:00:00"),
    "year 0": dated("0000-01-01T00:00:00"),
    "year 9999": dated("9999-12-31T23:59:59", "9999-12-31T23:59:59"),
    "before the portal": dated("2020-12-31T23:59:59", "2021-01-02T00:00:00"),
}


async def test_a_body_that_cannot_be_served_is_refused_and_leaves_no_row(
    api: httpx.AsyncClient, database: Database, subtests: pytest.Subtests
) -> None:
    for name, body in BAD_BODIES.items():
        with subtests.test(name):
            answer = await api.post("/sync/force", content=body, headers={"Content-Type": "application/json"})

            problem(answer, 400, 413, 422)
            assert await rows_of(database) == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"mode": "backfill"}', "data_ini e data_fim são obrigatórios para modo backfill"),
        (dated("2025-03-10T00:00:00Z"), "inválida: use YYYY-MM-DDTHH:MM:SS, no horário de Brasília e sem fuso"),
        (dated("2025-02-30T00:00:00"), "inexistente no calendário: use YYYY-MM-DDTHH:MM:SS"),
        (dated("2025-03-13T00:00:00"), "data_ini deve ser anterior ou igual a data_fim"),
        (dated("2024-01-01T00:00:00"), "o intervalo entre data_ini e data_fim não pode passar de 365 dias"),
        (b'{"mode": "all"}', "mode deve ser 'update' ou 'backfill'"),
        (b'{"modo": "update"}', "modo não é um campo conhecido"),
    ],
)
async def test_a_refusal_says_what_is_expected(api: httpx.AsyncClient, body: bytes, told: str) -> None:
    answer = await api.post("/sync/force", content=body, headers={"Content-Type": "application/json"})

    assert told in problem(answer, 422)["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=str,
)
async def test_a_body_in_another_wrapping_is_refused(
    api: httpx.AsyncClient, database: Database, headers: dict[str, str]
) -> None:
    content = b'{"mode": "update"}' if "Content-Encoding" not in headers else b"\x1f\x8b\x08\x00mode"

    problem(await api.post("/sync/force", content=content, headers=headers), 400, 415, 422)
    assert await rows_of(database) == 0


async def test_a_body_without_a_type_or_that_is_a_form_starts_nothing(
    api: httpx.AsyncClient, database: Database
) -> None:
    problem(await api.post("/sync/force", files={"mode": b"update"}), 400, 415, 422)
    problem(await api.post("/sync/force", data={"mode": "update"}), 400, 415, 422)
    assert await rows_of(database) == 0


@pytest.mark.parametrize("announced", [{}, {"Content-Length": str(200 * 1024 * 1024)}], ids=["chunked", "announced"])
async def test_an_endless_body_is_not_read_past_the_limit(
    api: httpx.AsyncClient, database: Database, announced: dict[str, str]
) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 200 * 1024 * 1024:
            sent += 65536
            yield b"a" * 65536
            await asyncio.sleep(0)

    try:
        answer = await api.post(
            "/sync/force", content=body(), headers={"Content-Type": "application/json", **announced}
        )
    except httpx.TransportError:
        pass  # cut off while it was sending, so that the answer may be lost
    else:
        problem(answer, 413)
    assert sent < 20 * 1024 * 1024
    assert await rows_of(database) == 0
    assert (await api.get("/health/live")).status_code == 200


async def test_requests_whose_sender_goes_away_leave_nothing_behind(api: httpx.AsyncClient, database: Database) -> None:
    host, port = api.base_url.host, api.base_url.port
    head = b"POST /sync/force HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n"
    for number in range(40):
        _, writer = await asyncio.open_connection(host, port)
        writer.write(head + b'{"mode": "update"}'[: None if number % 2 else 9])
        await writer.drain()
        await asyncio.sleep(0.0005 * (number % 7))
        writer.transport.abort()

    held = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pncp-backend' AND datname = current_database()"
        " AND state LIKE 'idle in transaction%'"
    )

    async def nothing_is_held() -> bool:
        return not await database.value(held)

    await eventually(nothing_is_held)
    answers = await asyncio.gather(*(api.get("/sync/status") for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    assert await rows_of(database) <= 20
    assert await database.value("SELECT count(*) FROM sync_executions WHERE status <> 'running'") == 0


async def test_who_waits_too_long_for_a_turn_to_read_is_told_so_and_the_others_are_answered(
    api: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "TURN_SECONDS", 0.3)
    async with database.engine.begin() as other:
        await other.execute(text("LOCK TABLE sync_executions"))
        reading = [asyncio.create_task(api.get("/sync/history")) for _ in range(reading_module.READS_AT_ONCE)]
        await database.someone_waits_for_a_lock(reading_module.READS_AT_ONCE)
        answer = await api.get("/sync/history")
        assert problem(answer, 503)["detail"]
        assert answer.headers["retry-after"] == "10"
        assert not any(task.done() for task in reading)
    assert [task.status_code for task in await asyncio.gather(*reading)] == [200] * len(reading)
    assert (await api.get("/sync/history")).status_code == 200


# --- other input ------------------------------------------------------------------------------------------------


BAD_QUERIES = [
    "limit=0",
    "limit=-1",
    "limit=501",
    "limit=99999999999999999999999",
    "limit=1e3",
    "limit=%00",
    "limit=",
    "limit=1&limit=2",
    "limit=1%27",
    "offset=9223372036854775808",
    "sort=id",
    "status=idle",
    "status=%27%20OR%201=1",
    "mode=UPDATE",
    "trigger=%27;DROP",
    "trigger=api%0A",
    "since=ontem",
    "since=2025-03-10",
    "until=2025-03-10T00:00:00Z",
    "since=%00",
    "cursor=0",
    "cursor=-1",
    "cursor=9223372036854775808",
    "cursor=$1",
    "cursor=abc",
]


async def test_a_bad_parameter_is_refused(api: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for query in BAD_QUERIES:
        with subtests.test(query):
            problem(await api.get(f"/sync/history?{query}"), 422)
            problem(await api.get(f"/sync/executions/1/slices?{query}"), 422)


@pytest.mark.parametrize("bound", ["since", "until"])
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "2024-02-29T23:59:59"])
async def test_any_date_that_there_is_may_bound_the_history(api: httpx.AsyncClient, bound: str, moment: str) -> None:
    answer = await api.get("/sync/history", params={bound: moment})

    if answer.status_code != 200:
        problem(answer, 422)


@pytest.mark.parametrize("path", ["", "/slices"])
@pytest.mark.parametrize("number", ["1", "999999", str(2**63 - 1)])
async def test_an_execution_that_is_not_there_is_not_found(api: httpx.AsyncClient, number: str, path: str) -> None:
    told = problem(await api.get(f"/sync/executions/{number}{path}"), 404)

    assert told["detail"] == f"Não existe a execução {number}."


async def test_what_is_no_identity_is_refused(api: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for number in ("0", "-1", "abc", "1.5", "1e3", str(10**30), str(2**63), "%00", "1'", "null", "$1", "%D9%A1"):
        with subtests.test(number):
            for path in ("", "/slices"):
                problem(await api.get(f"/sync/executions/{number}{path}"), 404, 422)
            for path in ("/cancel", "/retry"):
                problem(await api.post(f"/sync/executions/{number}{path}"), 404, 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/sync/force"),
        ("GET", "/sync/force"),
        ("TRACE", "/sync/force"),
        ("PATCH", "/sync/status"),
        ("DELETE", "/sync/executions/1"),
        ("POST", "//sync/force"),
        ("POST", "/SYNC/force"),
        ("POST", "/sync/..%2fforce"),
        ("POST", "/%2e%2e/sync/force"),
        ("GET", "/nothing/here"),
        ("GET", "/docs/assets/..%2f..%2fREADME.md"),
    ],
)
async def test_what_is_not_there_says_so(api: httpx.AsyncClient, database: Database, method: str, path: str) -> None:
    problem(await api.request(method, path, headers={"Content-Type": "application/json"}, content=b"{}"), 404, 405)
    assert await rows_of(database) == 0


async def test_no_foreign_origin_is_allowed(api: httpx.AsyncClient) -> None:
    for origin in ("https://example.com", "null"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for answer in (
            await api.get("/sync/status", headers=headers),
            await api.options("/sync/force", headers=headers),
        ):
            assert "access-control-allow-origin" not in answer.headers


# --- status, history, one execution -----------------------------------------------------------------------------


async def test_before_the_first_execution_the_status_is_idle(api: httpx.AsyncClient) -> None:
    assert (await api.get("/sync/status")).json() == {
        "last_execution": None,
        "status": "idle",
        "resource": None,
        "mode": None,
        "window_start": None,
        "window_end": None,
        "records_processed": 0,
        "itens_owed": 0,
        "duration_seconds": None,
        "cause": None,
        "error_message": None,
        "last_updated": None,
        "execution_id": None,
        "phase": None,
        "progress": None,
    }
    history = (await api.get("/sync/history")).json()
    assert history == {
        "executions": [],
        "total_count": 0,
        "success_count": 0,
        "error_count": 0,
        "cancelled_count": 0,
        "running_count": 0,
        "next_cursor": None,
    }


async def test_the_status_follows_an_execution_through_its_life(api: httpx.AsyncClient, database: Database) -> None:
    async def status() -> dict[str, Any]:
        told: dict[str, Any] = (await api.get("/sync/status")).json()
        return told

    await database.planned()
    await database.run(slices.finish, await database.claim())
    execution_id = await database.planned([piece(modalidade=modalidade) for modalidade in (1, 2)])
    told = await status()
    assert (told["execution_id"], told["status"], told["phase"]) == (execution_id, "running", "queued")
    assert told["duration_seconds"] is None

    await database.run(executions.mark_started, execution_id)
    await database.rows(
        "UPDATE sync_executions SET started_at = now() - interval '10 s' WHERE id = :id", id=execution_id
    )
    first = await database.claim()
    page = {"pages_total": 4, "total_registros": 40, "lease_seconds": 60.0}
    await database.run(slices.advance, first, PageCounts(10, 8, 1, 2, 30), pages_done=2, **page)
    told = await status()
    assert (told["phase"], told["records_processed"], told["error_message"]) == ("running", 10, None)
    assert 10 <= told["duration_seconds"] < 15
    assert told["window_start"] == "2025-03-10T00:00:00"
    assert datetime.fromisoformat(told["last_execution"]).tzinfo is not None
    assert told["progress"] == {
        "percent": 25.0,
        "slices_total": 2,
        "slices_done": 0,
        "slices_failed": 0,
        "slices_running": 1,
        "pages_done": 2,
        "records_inserted": 8,
        "records_updated": 1,
        "records_rejected": 2,
        "itens_written": 30,
    }

    await database.run(slices.finish, first)
    second = await database.claim()
    await database.run(
        slices.postpone, second, delay_seconds=60, cause="no_answer", error_message="status 503", progressed=False
    )
    assert (await status())["phase"] == "waiting"

    await database.rows("UPDATE sync_slices SET run_after = now() WHERE id = :id", id=second.slice_id)
    second = await database.claim()
    await database.run(slices.fail, second, "portal_refused", "status 403")
    await database.run(executions.close, execution_id)
    told = await status()
    assert (told["status"], told["phase"], told["progress"]["percent"]) == ("error", "finished", 100)
    assert told["error_message"] == "1 of 2 slices failed: 2025-03-10 modalidade 2: status 403"
    assert told["cause"] == "portal_refused"
    assert told["records_processed"] == 10
    assert 10 <= told["duration_seconds"] < 15


async def test_the_history_is_paged_without_gaps_while_new_executions_come(
    api: httpx.AsyncClient, database: Database
) -> None:
    await database.rows(
        "INSERT INTO sync_executions (mode, criterio, trigger, status, cause, finished_at)"
        " SELECT CASE WHEN n % 3 = 0 THEN 'update' ELSE 'backfill' END, 'publicacao', 'api',"
        "        CASE n % 4 WHEN 0 THEN 'error' WHEN 1 THEN 'running' ELSE 'success' END,"
        "        CASE WHEN n % 4 = 0 THEN 'no_answer' END,"
        "        CASE WHEN n % 4 <> 1 THEN now() END FROM generate_series(1, 120) n"
    )
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page = (await api.get("/sync/history", params={"limit": 7, **({"cursor": cursor} if cursor else {})})).json()
        seen += [execution["id"] for execution in page["executions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await database.requested()

    assert seen == list(range(120, 0, -1))
    assert (page["success_count"], page["error_count"]) == (60, 30)
    assert page["total_count"] == 120 + 17
    assert page["running_count"] == 30 + 17


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [4, 3, 2, 1]),
        ({"status": "error"}, [2]),
        ({"mode": "update"}, [3]),
        ({"trigger": "gap"}, [4]),
        ({"since": "2025-03-10T12:00:00"}, [4, 3, 2]),
        ({"since": "2025-03-10T12:00:01"}, [4, 3]),
        ({"until": "2025-03-10T12:00:00"}, [2, 1]),
        ({"since": "2025-03-10T12:00:00", "until": "2025-03-11T00:00:00", "status": "running"}, [3]),
        ({"limit": 2}, [4, 3]),
        ({"mode": "update", "status": "success"}, []),
    ],
)
async def test_the_history_is_filtered_and_the_counts_are_those_of_all_that_pass(
    api: httpx.AsyncClient, database: Database, query: dict[str, Any], expected: list[int]
) -> None:
    await database.rows("""
        INSERT INTO sync_executions (mode, criterio, trigger, status, cause, finished_at, created_at) VALUES
        ('backfill', 'publicacao', 'api', 'success', null, now(), '2025-03-10T09:00:00-03:00'),
        ('backfill', 'publicacao', 'api', 'error', 'no_answer', now(), '2025-03-10T12:00:00-03:00'),
        ('update', 'atualizacao', 'api', 'running', null, null, '2025-03-10T15:00:00-03:00'),
        ('backfill', 'atualizacao', 'gap', 'success', null, now(), '2025-03-12T00:00:00-03:00')
    """)

    history = (await api.get("/sync/history", params=query)).json()

    assert [execution["id"] for execution in history["executions"]] == expected
    assert history["total_count"] == (4 if "limit" in query else len(expected))
    counts = history["success_count"] + history["error_count"] + history["running_count"]
    assert counts == history["total_count"]


async def test_an_execution_tells_its_failed_slices_and_all_of_them_page_by_page(
    api: httpx.AsyncClient, database: Database
) -> None:
    execution_id = await database.planned([piece(modalidade=modalidade) for modalidade in range(1, 26)])
    await database.planned()
    for number in range(1, 26):
        claim = await database.claim()
        if number % 5 == 0:
            await database.run(slices.fail, claim, "internal", f"broken {number}")
        elif number < 20:
            await database.run(slices.finish, claim)

    told = (await api.get(f"/sync/executions/{execution_id}")).json()
    assert [(each["modalidade"], each["cause"], each["error_message"]) for each in told["failed_slices"]] == [
        (number, "internal", f"broken {number}") for number in (5, 10, 15, 20, 25)
    ]
    assert (told["progress"]["slices_total"], told["progress"]["slices_failed"]) == (25, 5)
    assert told["progress"]["slices_running"] == 4
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get(f"/sync/executions/{execution_id}/slices", params={"limit": 4, **cursor})).json()
        seen += [each["ordinal"] for each in page["slices"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == list(range(1, 26))
    running = (await api.get(f"/sync/executions/{execution_id}/slices?status=running")).json()
    assert [each["ordinal"] for each in running["slices"]] == [21, 22, 23, 24]
    assert running["slices"][0]["window_start"] == "2025-03-10T00:00:00"


# --- health and outages -----------------------------------------------------------------------------------------


async def test_health_without_a_broker(api: httpx.AsyncClient) -> None:
    for path in ("/health", "/health/ready"):
        answer = await api.get(path)
        told = answer.json()
        assert (answer.status_code, told["status"]) == (200, "ok")
        assert (told["database"], told["broker"]) == ("connected", "disabled")
        assert abs(datetime.now(UTC) - datetime.fromisoformat(told["timestamp"])) < timedelta(seconds=10)
    assert (await api.get("/health/live")).json() == {"status": "ok"}


@pytest.mark.rabbitmq
async def test_health_with_a_broker(serve: Serve, rabbitmq_url: str, queue_name: str) -> None:
    async with serve(rabbitmq_url=rabbitmq_url, queue_name=queue_name) as api:
        answer = await api.get("/health/ready")

    assert (answer.status_code, answer.json()["status"], answer.json()["broker"]) == (200, "ok", "connected")


async def test_without_its_broker_the_service_is_ready_and_says_so(serve: Serve, closed_port: int) -> None:
    async with serve(rabbitmq_url=f"amqp://guest:guest@127.0.0.1:{closed_port}/") as api:
        answer = await api.get("/health")
        assert (await api.get("/sync/status")).status_code == 200

    told = answer.json()
    assert (answer.status_code, told["status"], told["broker"]) == (200, "degraded", "disconnected")


async def test_without_its_database_the_service_starts_lives_and_answers_503(serve: Serve, closed_port: int) -> None:
    async with serve(database_url=f"postgresql://u:s3cret@127.0.0.1:{closed_port}/x") as api:
        for path in ("/health", "/health/ready"):
            answer = await api.get(path)
            assert (answer.status_code, answer.json()["database"]) == (503, "disconnected")
            assert "s3cret" not in answer.text
        assert (await api.get("/health/live")).status_code == 200
        for answer in (
            await api.post("/sync/force", json={"mode": "update"}),
            await api.get("/sync/status"),
            await api.get("/sync/history"),
            await api.get("/sync/executions/1"),
        ):
            problem(answer, 503)
            assert int(answer.headers["Retry-After"]) > 0
            assert "s3cret" not in answer.text


async def test_a_database_that_comes_back_is_used_again_without_a_fault(
    serve: Serve, database: Database, database_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = database_proxy
    async with serve(database_url=url) as api:
        assert (await api.get("/sync/status")).status_code == 200
        await proxy.cut()
        problem(await api.post("/sync/force", json={"mode": "update"}), 503)
        assert (await api.get("/health/live")).status_code == 200
        assert (await api.get("/health/ready")).status_code == 503
        await proxy.mend()

        assert (await api.get("/sync/status")).status_code == 200
        assert (await api.get("/health/ready")).status_code == 200
        assert (await api.post("/sync/force", json={"mode": "update"})).status_code == 200
        assert await rows_of(database) == 1


async def test_a_database_that_says_nothing_makes_readiness_fail_in_time(
    serve: Serve, database_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = database_proxy
    async with serve(database_url=url) as api:
        assert (await api.get("/sync/status")).status_code == 200
        proxy.freeze()
        began = time.monotonic()
        assert (await api.get("/health/ready")).status_code == 503
        assert time.monotonic() - began < 10
        assert (await api.get("/health/live")).status_code == 200
        await proxy.cut()


async def test_with_the_broker_down_a_request_is_refused_at_once_and_never_runs(
    serve: Serve, database: Database, closed_port: int
) -> None:
    async with serve(rabbitmq_url=f"amqp://guest:s3cret@127.0.0.1:{closed_port}/") as api:
        began = time.monotonic()
        answer = await api.post("/sync/force", json={"mode": "update"})

    assert time.monotonic() - began < 5
    row = await database.row("SELECT * FROM sync_executions")
    assert str(row.id) in problem(answer, 503)["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert "s3cret" not in answer.text
    assert (row.status, row.error_message, row.published_at) == ("error", PUBLISH_FAILED, None)
    assert row.cause == "publish_failed"
    assert await database.run(executions.lock_unplanned, older_than_seconds=0, execution_id=row.id) is None


@pytest.mark.rabbitmq
async def test_a_broker_that_says_nothing_makes_a_503_within_five_seconds(
    serve: Serve, database: Database, broker_proxy: tuple[Proxy, str], queue_name: str
) -> None:
    proxy, url = broker_proxy
    async with serve(rabbitmq_url=url, queue_name=queue_name) as api:
        assert (await api.post("/sync/force", json=BACKFILL)).status_code == 200
        proxy.freeze()
        began = time.monotonic()
        problem(await api.post("/sync/force", json=BACKFILL), 503)
        assert time.monotonic() - began <= 5
        await proxy.cut()
        await proxy.mend()
        assert (await api.post("/sync/force", json=BACKFILL)).status_code == 200

    rows = await database.rows("SELECT status FROM sync_executions ORDER BY id")
    assert [row.status for row in rows] == ["running", "error", "running"]


@pytest.mark.rabbitmq
async def test_a_request_that_a_worker_took_though_the_broker_said_nothing_is_accepted(
    serve: Serve,
    database: Database,
    broker_proxy: tuple[Proxy, str],
    queue_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher_module, "PUBLISH_SECONDS", 1.0)
    proxy, url = broker_proxy
    async with serve(rabbitmq_url=url, queue_name=queue_name) as api:
        proxy.freeze()
        asking = asyncio.create_task(api.post("/sync/force", json={"mode": "update"}))
        row_is_there: Callable[[], Awaitable[int]] = lambda: rows_of(database)  # noqa: E731
        await eventually(row_is_there)
        await database.rows("UPDATE sync_executions SET planned_at = now()")
        answer = await asking
        await proxy.cut()

    assert answer.status_code == 200
    row = await database.row("SELECT * FROM sync_executions")
    assert (answer.json()["request_id"], row.status) == (str(row.id), "running")


# --- the message ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        yield channel


async def take(url: str, queue_name: str) -> aio_pika.abc.AbstractIncomingMessage:
    """The next message of a queue, acknowledged."""
    async with listening(url) as channel:
        queue = await channel.get_queue(queue_name)
        message = await queue.get(timeout=5)
        assert message is not None
        await message.ack()
        return message


@pytest.mark.rabbitmq
@pytest.mark.parametrize(
    "body", [{"mode": "update"}, {**BACKFILL, "criterio": "atualizacao"}], ids=["update", "backfill"]
)
async def test_an_accepted_request_is_published_with_its_identity(
    serve: Serve, database: Database, rabbitmq_url: str, queue_name: str, body: dict[str, str]
) -> None:
    async with serve(rabbitmq_url=rabbitmq_url, queue_name=queue_name) as api:
        answer = await api.post("/sync/force", json=body)
    message = await take(rabbitmq_url, queue_name)

    row = await database.row("SELECT * FROM sync_executions")
    assert row.published_at is not None
    assert answer.json()["request_id"] == message.message_id == str(row.id)
    assert message.headers["execution_id"] == row.id
    assert json.loads(message.body) == body
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


@pytest.mark.rabbitmq
async def test_a_queue_that_was_deleted_is_declared_again_and_published_to(
    serve: Serve, database: Database, rabbitmq_url: str, queue_name: str
) -> None:
    async with serve(rabbitmq_url=rabbitmq_url, queue_name=queue_name) as api:
        async with listening(rabbitmq_url) as channel:
            await channel.queue_delete(queue_name)
            await channel.queue_delete(f"{queue_name}.dead")
        answer = await api.post("/sync/force", json={"mode": "update"})

    assert answer.status_code == 200
    assert (await take(rabbitmq_url, queue_name)).message_id == answer.json()["request_id"]
    assert (await database.row("SELECT published_at FROM sync_executions")).published_at is not None


@pytest.mark.rabbitmq
async def test_many_requests_over_a_deleted_queue_are_all_published(
    serve: Serve, rabbitmq_url: str, queue_name: str
) -> None:
    async with serve(rabbitmq_url=rabbitmq_url, queue_name=queue_name) as api:
        async with listening(rabbitmq_url) as channel:
            await channel.queue_delete(queue_name)
        answers = await asyncio.gather(*(api.post("/sync/force", json=BACKFILL) for _ in range(10)))
    async with listening(rabbitmq_url) as channel:
        queue = await channel.declare_queue(queue_name, passive=True)

    accepted = [answer for answer in answers if answer.status_code == 200]
    assert len(accepted) == 10, [answer.text for answer in answers if answer.status_code != 200]
    assert (queue.declaration_result.message_count or 0) >= len(accepted)


# --- the named classes ------------------------------------------------------------------------------------------


@pytest.mark.rabbitmq
async def test_the_publisher_connects_publishes_and_closes(rabbitmq_url: str, queue_name: str) -> None:
    publisher = RabbitMQPublisher(rabbitmq_url, queue_name)
    request = SyncRequest(mode="backfill", data_ini=BACKFILL["data_ini"], data_fim=BACKFILL["data_fim"])
    try:
        assert await publisher.connect() is True
        assert await publisher.publish_sync_request(SyncRequest()) is True
        assert await publisher.publish_sync_request(request, execution_id=7) is True
    finally:
        await publisher.close()
    await publisher.close()
    assert await publisher.publish_sync_request(SyncRequest()) is True, "a closed one opens again when it is needed"
    await publisher.close()

    foreign, own = await take(rabbitmq_url, queue_name), await take(rabbitmq_url, queue_name)
    now = datetime(2025, 6, 1)  # wall clock
    assert (foreign.headers, decode(foreign.body, now=now)) == ({}, SyncCommand("update"))
    assert own.headers == {"execution_id": 7}
    assert decode(own.body, now=now) == request.to_command()


async def test_a_publisher_without_a_broker_says_so(closed_port: int) -> None:
    publisher = RabbitMQPublisher(f"amqp://guest:guest@127.0.0.1:{closed_port}/")

    assert await publisher.connect() is False
    assert await publisher.publish_sync_request(SyncRequest(), 1) is False
    await publisher.close()


async def test_the_status_service_creates_updates_and_reads(database: Database) -> None:
    async with AsyncSession(database.engine) as session:
        service = SyncStatusService(session)
        assert await service.get_last_execution() is None
        assert (await service.get_current_status()).status == "idle"
        start, end = piece().window_start, piece().window_end
        first = await service.create_execution("update")
        second = await service.create_execution("backfill", start, end)
        assert first is not None
        assert second is not None
        assert await service.update_execution(first, "success", 5, 1.5) is True
        assert await service.update_execution(first, "error", error_message="late") is False
        assert await service.update_execution(second, "error", error_message="stopped") is True
        with pytest.raises(ValueError, match="'success' or 'error'"):
            await service.update_execution(second, "running")
        await session.commit()

    async with AsyncSession(database.engine) as session:
        service = SyncStatusService(session)
        last = await service.get_last_execution()
        assert isinstance(last, SyncExecution)
        assert (last.id, last.status, last.error_message, last.window_start) == (second, "error", "stopped", start)
        assert last.cause == "internal"
        status = await service.get_current_status()
        assert isinstance(status, SyncStatus)
        assert (status.execution_id, status.mode, status.phase) == (second, "backfill", "finished")
        history = await service.get_history(HistoryQuery())
        assert isinstance(history, SyncHistory)
        assert (history.total_count, history.success_count, history.error_count) == (2, 1, 1)
        assert (history.executions[1].records_processed, history.executions[1].duration_seconds) == (5, 1.5)


def test_the_request_model_validates_by_itself() -> None:
    assert SyncRequest().mode == "update"
    assert SyncResponse(success=True, message="x", request_id="1").request_id == "1"
    with pytest.raises(ValidationError, match="data_ini e data_fim são obrigatórios para modo backfill"):
        SyncRequest(mode="backfill")


# --- cancel, retry, Idempotency-Key, the limit ------------------------------------------------------------------


async def test_a_cancelled_execution_has_ended_and_cannot_be_cancelled_again(
    api: httpx.AsyncClient, database: Database
) -> None:
    execution_id = await database.planned([piece(modalidade=6), piece(modalidade=8)])
    claim = await database.claim()

    told = (await api.post(f"/sync/executions/{execution_id}/cancel")).json()

    assert (told["id"], told["status"], told["phase"]) == (execution_id, "error", "finished")
    assert told["error_message"].startswith("cancelled by ")
    assert not await database.run(slices.hold, claim), "its worker stops at the next page"
    problem(await api.post(f"/sync/executions/{execution_id}/cancel"), 409)
    problem(await api.post("/sync/executions/999/cancel"), 404)


async def test_a_retry_repeats_the_failed_slices_and_only_those(api: httpx.AsyncClient, database: Database) -> None:
    execution_id = await database.planned([piece(modalidade=modalidade) for modalidade in (1, 2, 3)])
    problem(await api.post(f"/sync/executions/{execution_id}/retry"), 409)
    for _ in range(3):
        claim = await database.claim()
        end = slices.finish if claim.part == 2 else lambda db, it: slices.fail(db, it, "portal_refused", "status 403")
        await database.run(end, claim)
    await database.run(executions.close, execution_id)

    answer = await api.post(f"/sync/executions/{execution_id}/retry")

    assert answer.status_code == 200
    copy = (await api.get(answer.headers["Location"])).json()
    assert (copy["retry_of"], copy["trigger"], copy["status"]) == (execution_id, "retry", "running")
    copies = (await api.get(f"{answer.headers['Location']}/slices")).json()["slices"]
    assert [(each["modalidade"], each["status"], each["attempt"]) for each in copies] == [
        (1, "pending", 0),
        (3, "pending", 0),
    ]
    assert (await database.claim()).execution_id == copy["id"]
    problem(await api.post("/sync/executions/999/retry"), 404)


async def test_the_same_key_and_request_are_one_execution(api: httpx.AsyncClient, database: Database) -> None:
    async def ask(key: str, body: Any) -> httpx.Response:
        return await api.post("/sync/force", json=body, headers={"Idempotency-Key": key})

    answers = await asyncio.gather(*(ask("mine", {"mode": "update"}) for _ in range(5)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["request_id"] for answer in answers}) == 1
    problem(await ask("mine", BACKFILL), 422)
    assert (await ask("other", BACKFILL)).status_code == 200
    assert await rows_of(database) == 2
    for key in (b"", b"a b", "ação".encode("latin-1"), b"a" * 201):
        problem(await api.post("/sync/force", json={}, headers={b"Idempotency-Key": key}), 422)
    assert await rows_of(database) == 2


async def test_a_key_counts_only_for_a_request_that_was_accepted(
    serve: Serve, api: httpx.AsyncClient, database: Database, closed_port: int
) -> None:
    key = {"Idempotency-Key": "mine"}
    async with serve(rabbitmq_url=f"amqp://guest:guest@127.0.0.1:{closed_port}/") as without_broker:
        problem(await without_broker.post("/sync/force", json={}, headers=key), 503)

    assert (await api.post("/sync/force", json={}, headers=key)).status_code == 200
    rows = await database.rows("SELECT status FROM sync_executions ORDER BY id")
    assert [row.status for row in rows] == ["error", "running"]


async def test_no_more_than_twenty_executions_are_under_way(api: httpx.AsyncClient, database: Database) -> None:
    answers = await asyncio.gather(*(api.post("/sync/force", json=BACKFILL) for _ in range(25)))

    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 5
    for answer in refused:
        problem(answer, 429)
        assert int(answer.headers["Retry-After"]) > 0
    assert await rows_of(database) == 20
    await database.rows(
        "UPDATE sync_executions SET status = 'error', cause = 'internal', finished_at = now() WHERE id = 1"
    )
    assert (await api.post("/sync/force", json=BACKFILL)).status_code == 200


# --- documentation ----------------------------------------------------------------------------------------------


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []


async def test_the_interface_is_described_and_every_reference_resolves(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.")
    for reference in _references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
    operations = [(path, operation) for path, methods in document["paths"].items() for operation in methods.values()]
    identities = [operation["operationId"] for _, operation in operations]
    assert len(identities) == len(set(identities))
    for path, operation in operations:
        declared = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))
        for status, answer in operation["responses"].items():
            assert answer["description"]
            if int(status) >= 400 and not path.startswith("/health"):
                assert set(answer["content"]) == {"application/problem+json"}, (path, status)
    assert {"/sync/force", "/sync/status", "/sync/history", "/health"} <= document["paths"].keys()


@pytest.mark.parametrize(("path", "files"), [("/docs", 4), ("/redoc", 3)])
async def test_the_documentation_page_needs_no_other_host(api: httpx.AsyncClient, path: str, files: int) -> None:
    page = (await api.get(path)).text

    assert not re.findall(r"""(?:src|href|url)\s*[=:]\s*["']?(?:https?:)?//""", page)
    assets = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(assets) == files
    for asset in assets:
        assert (await api.get(asset)).status_code == 200, asset


# --- starts that are refused ------------------------------------------------------------------------------------


def start_in_vain(folder: Path, **environment: str) -> tuple[int, list[str]]:
    """Start the service as operators do, from an empty folder; its exit code and what it complained about."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", "uvicorn", "backend.main:app", "--port", "0"],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lines = (ended.stdout + ended.stderr).splitlines()
    return ended.returncode, [
        line for line in lines if line.strip() and not line.startswith("INFO") and '"info"' not in line
    ]


@pytest.fixture
async def empty_database_url(server_url: str) -> AsyncIterator[str]:
    name = f"pncp_test_empty_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {name}")
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def test_a_database_without_our_tables_refuses_the_start_with_one_line(
    empty_database_url: str, tmp_path: Path
) -> None:
    code, complaints = await asyncio.to_thread(start_in_vain, tmp_path, DATABASE_URL=empty_database_url)

    assert code != 0
    about = [line for line in complaints if "alembic upgrade head" in line]
    assert len(about) == 1
    assert "Traceback" not in "".join(complaints)
    refused = [line for line in complaints if '"warning"' not in line]  # that there is no authentication, here
    assert len(refused) <= 2, complaints


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "DATABASE_URL: is required"),
        ({"DATABASE_URL": "mysql://u:s3cret@h/d"}, "DATABASE_URL: must begin with postgresql://"),
        ({"DATABASE_URL": "postgresql://u:s3cret@h/d", "RABBITMQ_URL": "http://u:s3cret@h"}, "RABBITMQ_URL: is not a"),
        ({"DATABASE_URL": "postgresql://u:s3cret@h/d", "LOG_LEVEL": "LOUD"}, "LOG_LEVEL: "),
    ],
)
async def test_a_wrong_variable_refuses_the_start_with_one_line_that_names_it(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    code, complaints = await asyncio.to_thread(start_in_vain, tmp_path, **environment)

    assert code != 0
    assert len(complaints) == 1, complaints
    assert complaints[0].startswith(f"backend: {told}")
    assert "s3cret" not in complaints[0]


async def test_the_server_says_its_version_and_from_which_portal_it_reads(open_api: OpenApi) -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    real = (await (await open_api()).get("/about")).json()
    assert real == {
        "version": pyproject["project"]["version"],
        "portal_url": "https://pncp.gov.br/api",
        "portal_is_simulated": False,
        "has_documentation": True,
    }
    simulated = (await (await open_api(pncp_base_url="http://127.0.0.1:9/api")).get("/about")).json()
    assert (simulated["portal_url"], simulated["portal_is_simulated"]) == ("http://127.0.0.1:9/api", True)
