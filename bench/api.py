"""The API with a thousand, a hundred thousand and a million executions behind it, beside a bare endpoint."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import aio_pika
import asyncpg

from bench.databases import ROOT, Databases, query
from bench.load import Answers, ask
from bench.report import ratio, table
from standalone.checks import broker_answers

READS = {
    "GET /sync/status": "/sync/status",
    "GET /sync/history?limit=50": "/sync/history?limit=50",
    "GET /sync/dashboard": "/sync/dashboard",
}
BARE = "bare FastAPI, one row"
POST, BARE_POST = "POST /sync/force", "bare FastAPI, row and message"
POST_CONNECTIONS = 8
"""Fewer than executions may be unfinished at once; they are ended as fast as they come."""

# Most of them updates, one in a hundred failed, one every minute up to now; the last thousand with their slices.
_FILL = """
    INSERT INTO sync_executions (mode, criterio, trigger, status, records_processed, duration_seconds, cause,
                                 error_message, window_start, window_end, created_at, updated_at, planned_at,
                                 started_at, finished_at)
    SELECT CASE WHEN n % 50 = 0 THEN 'backfill' ELSE 'update' END,
           CASE WHEN n % 50 = 0 THEN 'publicacao' ELSE 'atualizacao' END,
           CASE WHEN n % 50 = 0 THEN 'api' ELSE 'schedule' END,
           CASE WHEN n % 100 = 0 THEN 'error' ELSE 'success' END,
           n % 700, (n % 900) / 10.0,
           CASE WHEN n % 100 = 0 THEN 'no_answer' END,
           CASE WHEN n % 100 = 0 THEN '1 of 19 slices failed: status 500' END,
           moment, moment + interval '15 min', moment, moment, moment, moment, moment + interval '30 s'
      FROM generate_series(1, $1::int) n
     CROSS JOIN LATERAL (SELECT now() - ($1::int - n) * interval '1 min') AS t (moment)
"""
_FILL_SLICES = """
    INSERT INTO sync_slices (execution_id, ordinal, mode, criterio, part, first_day, last_day, window_start,
                             window_end, status, pages_total, pages_done, records_processed, finished_at)
    SELECT e.id, m, e.mode, e.criterio, m, e.created_at::date, e.created_at::date, e.window_start, e.window_end,
           'success', 1, 1, e.records_processed / 19, e.finished_at
      FROM (SELECT * FROM sync_executions ORDER BY id DESC LIMIT 1000) e
     CROSS JOIN generate_series(1, 19) m
"""
_END_ALL = """
    UPDATE sync_executions SET status = 'success', finished_at = now(), duration_seconds = 0 WHERE status = 'running'
"""


def run_api(databases: Databases, rows_of_history: Sequence[int], seconds: float, repeats: int) -> None:
    """Every endpoint at every size, in turns; then POST, where a broker answers."""
    broker = os.environ.get("RABBITMQ_URL", "")
    has_broker = bool(broker) and broker_answers(broker)
    reads: dict[int, dict[str, list[Answers]]] = {}
    posts: dict[str, list[Answers]] = {POST: [], BARE_POST: []}
    for rows in rows_of_history:
        url = databases.fresh("api")
        query(url, _FILL, rows)
        query(url, _FILL_SLICES)
        query(url, "VACUUM ANALYZE")  # otherwise autovacuum and a checkpoint would run while we measure
        query(url, "CHECKPOINT")
        queue = f"ingest.pncp.bench-{uuid.uuid4().hex[:8]}"
        variables = {"DATABASE_URL": url, "QUEUE_NAME": queue, "RABBITMQ_URL": broker if has_broker else ""}
        found = reads[rows] = {name: [] for name in [*READS, BARE]}
        with serving("standalone.serve", variables) as ours, serving("bench.bare", variables) as bare:
            known = {name: path for name, path in READS.items() if exists(ours + path)}
            for _ in range(repeats):
                found[BARE].append(ask(f"{bare}/row", seconds=seconds))
                for name, path in known.items():
                    found[name].append(ask(ours + path, seconds=seconds))
            if has_broker and rows == rows_of_history[0]:
                with _ending(url):
                    for _ in range(repeats):
                        for name, address in ((POST, f"{ours}/sync/force"), (BARE_POST, f"{bare}/row")):
                            posts[name].append(_post(address, seconds))
        if has_broker:
            _delete_queue(broker, queue)
        databases.drop(url)
    _print_reads(reads)
    _print_posts(posts) if has_broker else print("\nNo RabbitMQ answers: POST /sync/force is left out.")


def _post(address: str, seconds: float) -> Answers:
    return ask(address, seconds=seconds, connections=POST_CONNECTIONS, body='{"mode": "update"}')


def _print_reads(reads: dict[int, dict[str, list[Answers]]]) -> None:
    smallest = min(reads)
    lines = []
    for rows, found in reads.items():
        bare = _median(found[BARE])
        for name, answers in found.items():
            if not answers:
                lines.append([name, f"{rows:,}", "is not there", "", "", "", ""])
                continue
            at_first = _median(reads[smallest][name])
            middle = _median(answers)
            lines.append(
                [
                    name,
                    f"{rows:,}",
                    f"{middle.per_second:,.0f}",
                    f"{middle.p50_ms:.1f}",
                    f"{middle.p99_ms:.1f}",
                    ratio(middle.per_second, bare.per_second),
                    ratio(at_first.per_second, middle.per_second),
                ]
            )
    head = ["", "rows", "requests/s", "p50 ms", "p99 ms", "of bare", f"time of {smallest:,}"]
    table("API: one uvicorn process, 32 connections", head, lines)


def _print_posts(posts: dict[str, list[Answers]]) -> None:
    bare = _median(posts[BARE_POST])
    lines = []
    for name, answers in posts.items():
        middle = _median(answers)
        refused = sum(count for answer in answers for status, count in answer.statuses.items() if status != "200")
        all_of_them = sum(sum(answer.statuses.values()) for answer in answers)
        lines.append(
            [
                name,
                f"{middle.per_second:,.0f}",
                f"{middle.p50_ms:.1f}",
                f"{middle.p99_ms:.1f}",
                ratio(middle.per_second, bare.per_second),
                f"{refused / all_of_them:.1%}",
            ]
        )
    head = ["", "requests/s", "p50 ms", "p99 ms", "of bare", "not 200"]
    table(f"API: POST with RabbitMQ, {POST_CONNECTIONS} connections", head, lines)


def _median(answers: list[Answers]) -> Answers:
    return sorted(answers, key=lambda answer: answer.per_second)[len(answers) // 2]


@contextmanager
def serving(module: str, variables: dict[str, str]) -> Iterator[str]:
    """A server in a process of its own, once it answers; its URL."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(512)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(listening.fileno())],
            cwd=ROOT,
            env={**environment, **variables, "LOG_LEVEL": "WARNING", "LOG_FORMAT": "json"},
            pass_fds=[listening.fileno()],
            stdout=subprocess.DEVNULL,
        )
    try:
        exists(f"{url}/openapi.json")  # the socket is open already: this waits for the first answer
        yield url
    finally:
        process.terminate()
        process.wait()


def exists(url: str) -> bool:
    """Whether a server answers at an address with 200."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # our own process
            return bool(answer.status == 200)  # noqa: PLR2004
    except urllib.error.HTTPError:
        return False


@contextmanager
def _ending(database_url: str) -> Iterator[None]:
    """End executions as they come, in the place of ingestors: only so many may be unfinished."""
    done = threading.Event()

    async def end_all() -> None:
        connection = await asyncpg.connect(database_url)
        while not done.is_set():
            await connection.execute(_END_ALL)
            await asyncio.sleep(0.005)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(end_all()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _delete_queue(broker: str, name: str) -> None:
    async def delete() -> None:
        connection = await aio_pika.connect(broker)
        async with connection, connection.channel() as channel:
            await channel.queue_delete(name)
            await channel.queue_delete(f"{name}.dead")

    asyncio.run(delete())
