"""The metrics of both services: they count what happened, cost little, and rules and dashboard know them."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services import figures
from common.clock import to_wall_clock
from common.config import ConfigurationError
from common.lifecycle import executions, slices
from common.lifecycle.slices import PageCounts
from common.resources import RESOURCES
from common.resources.contratacoes import CONTRATACOES
from ingestor import metrics as metrics_module
from ingestor import worker as worker_module
from ingestor.metrics import Metrics, MetricsServer
from ingestor.planning import Rules
from ingestor.sources.pncp.client import Span
from ingestor.worker import Worker, WorkerOptions
from simulator.app import Simulator
from simulator.generated import generate
from simulator.quirks import Rule
from tests.delivery_rows import Deliveries
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, OpenApi, Portals, Proxy, piece
from tests.support import ROOT, eventually

BACKFILL = {"mode": "backfill", "data_ini": f"{CLOSED_DAY}T00:00:00", "data_fim": f"{CLOSED_DAY}T23:59:59"}
RULES = Rules({"contratacoes": (MODALIDADE, 8)}, rolling_window=timedelta(minutes=15), overlap=timedelta(minutes=10))
OPTIONS = WorkerOptions(rules=RULES, slots=2, lease_seconds=60, slice_retry_seconds=0.02, has_broker=False)
PASSWORDS = {"admin_password": "the words of the admin", "viewer_password": "the words of a viewer"}

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)


def parse(text: str) -> Samples:
    """Samples by name and labels; that the text can be parsed at all is part of every test."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in samples.setdefault(sample.name, {}), sample
            samples[sample.name][labels] = sample.value
    return samples


OF_A_RESOURCE = (
    "pncp_executions_finished",
    "pncp_execution_duration",
    "pncp_records_processed",
    "pncp_records_rejected",
)


def value(samples: Samples, name: str, **labels: str) -> float:
    if name.startswith(OF_A_RESOURCE):
        labels = {"resource": "contratacoes", **labels}
    return samples[name].get(tuple(sorted(labels.items())), 0.0)


async def scrape(api: httpx.AsyncClient, **words: Any) -> Samples:
    answer = await api.get("/metrics", **words)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return parse(answer.text)


@asynccontextmanager
async def working(engine: AsyncEngine, portals: Portals, portal: Simulator) -> AsyncIterator[Metrics]:
    metrics = Metrics()
    worker = Worker(engine, await portals.client(portal, meter=metrics), OPTIONS, metrics)
    running = asyncio.create_task(worker.run())
    try:
        yield metrics
    finally:
        worker.stopping.set()
        await running


def of(metrics: Metrics) -> Samples:
    return parse(generate_latest(metrics.registry).decode())


async def ended(database: Database, execution_id: int) -> Any:
    async def has_ended() -> bool:
        return bool((await database.execution(execution_id)).status != "running")

    await eventually(has_ended, seconds=60)
    return await database.execution(execution_id)


# --- after real work --------------------------------------------------------------------------------------------


async def test_both_services_count_what_an_execution_did(
    open_api: OpenApi, database: Database, portals: Portals, engine: AsyncEngine
) -> None:
    api = await open_api()
    before = await scrape(api)
    portal = await portals.serve(generate(7, CLOSED_DAY, CLOSED_DAY, 80, until=datetime(2025, 4, 1)))
    portal.quirks.rules += [
        Rule("429", {"service": "consulta", "modalidade": MODALIDADE}, times=1, value="0"),
        Rule("500", {"service": "consulta", "modalidade": 8}, times=7),
        Rule("missing_key", {"service": "consulta", "modalidade": MODALIDADE, "page": 1}),
    ]
    execution_id = int((await api.post("/sync/force", json=BACKFILL)).json()["request_id"])
    async with working(engine, portals, portal) as metrics:
        row = await ended(database, execution_id)
        assert row.status == "success"
        samples = of(metrics)

    stored = await database.value("SELECT count(*) FROM contratacoes")
    pages = await database.value("SELECT sum(pages_done) FROM sync_slices")
    assert row.records_processed == stored > 0
    assert value(samples, "pncp_ingestor_records_processed_total") == stored
    assert value(samples, "pncp_ingestor_records_written_total", result="inserted") == stored
    assert value(samples, "pncp_ingestor_pages_total") >= pages
    assert value(samples, "pncp_ingestor_records_rejected_total") == row.records_rejected == 1
    itens = await database.value("SELECT count(*) FROM itens_contratacao")
    assert value(samples, "pncp_ingestor_itens_written_total") == itens
    assert value(samples, "pncp_ingestor_slices_total", outcome="finished") == 2
    assert value(samples, "pncp_ingestor_slices_total", outcome="postponed") >= 1
    assert value(samples, "pncp_ingestor_slices_total", outcome="failed") == 0
    assert abs(value(samples, "pncp_ingestor_last_page_timestamp_seconds") - time.time()) < 60
    served = portal.stats.statuses
    assert value(samples, "pncp_source_throttled_total") == served["429"] == 1
    for status in ("200", "204", "429", "500"):
        told = sum(
            value(samples, "pncp_source_requests_total", service=one, status=status) for one in ("consulta", "itens")
        )
        assert told == served[status], status
    asked = sum(samples["pncp_source_requests_total"].values())
    assert sum(samples["pncp_source_request_duration_seconds_count"].values()) == asked == portal.stats.log.__len__()
    assert value(samples, "pncp_source_retries_total", service="consulta") >= 6
    assert value(samples, "pncp_source_retries_total", service="itens") == 0

    after = await scrape(api)
    kind = {"mode": "backfill", "trigger": "api"}
    assert value(before, "pncp_executions_finished_total", **kind, status="success") == 0
    assert value(after, "pncp_executions_finished_total", **kind, status="success") == 1
    assert value(after, "pncp_execution_duration_seconds_total", **kind, status="success") == pytest.approx(
        float(row.duration_seconds)
    )
    assert value(after, "pncp_records_processed_total", **kind) == stored
    assert value(after, "pncp_records_rejected_total", **kind) == 1
    assert value(after, "pncp_http_requests_total", route="/sync/force", method="POST", status="2xx") == 1
    assert value(after, "pncp_http_request_duration_seconds_count", route="/sync/force", method="POST") == 1
    assert value(after, "pncp_database_up") == 1


async def test_errors_without_an_answer_are_counted_by_their_kind(portals: Portals, database: Database) -> None:
    portal = await portals.serve(generate(7, CLOSED_DAY, CLOSED_DAY, 80, until=datetime(2025, 4, 1)))
    portal.quirks.rules += [Rule("hang", times=1), Rule("cut", times=1), Rule("gzip_bomb", times=1)]
    metrics = Metrics()
    client = await portals.client(portal, meter=metrics, timeout_seconds=3)
    await client.fetch_page(Span(CONTRATACOES, "publicacao", MODALIDADE, CLOSED_DAY, CLOSED_DAY), 1)
    samples = of(metrics)
    counted = {dict(labels)["status"]: count for labels, count in samples["pncp_source_requests_total"].items()}
    assert counted.pop("200") == 1
    assert counted.pop("UnfitBody") == 1
    assert sum(counted.values()) == 2, counted
    assert all(re.fullmatch("[A-Z][A-Za-z]+", kind) for kind in counted), counted
    assert value(samples, "pncp_source_retries_total", service="consulta") == 3


async def test_totals_go_on_growing_when_an_execution_ends(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    claim = await database.claimed()
    await database.run(_advance, claim)
    running = await scrape(api)
    assert await database.run(slices.finish, claim)
    assert await database.run(executions.close, claim.execution_id) == "success"
    closed = await scrape(api)
    kind = {"mode": "backfill", "trigger": "api"}
    for samples in (running, closed):
        assert value(samples, "pncp_records_processed_total", **kind) == 7
        assert value(samples, "pncp_records_rejected_total", **kind) == 2
    assert value(running, "pncp_executions_unfinished", mode="backfill", phase="queued") == 1  # it was never stamped
    assert value(closed, "pncp_executions_unfinished", mode="backfill", phase="queued") == 0


async def _advance(db: Any, claim: Any) -> None:
    counts = PageCounts(processed=7, rejected=2)
    assert await slices.advance(db, claim, counts, pages_done=1, pages_total=2, total_registros=9, lease_seconds=60)


# --- what the database knows ------------------------------------------------------------------------------------


async def test_what_waits_is_told_by_phase_and_age(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    empty = await scrape(api)
    assert value(empty, "pncp_oldest_queued_seconds", mode="update") == 0
    assert sum(empty["pncp_executions_unfinished"].values()) == 0
    assert sum(empty["pncp_slices_unfinished"].values()) == 0

    old, young = await database.requested("update"), await database.requested("update")
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '5 min' WHERE id = :id", id=old)
    running = await database.planned([piece(modalidade=number) for number in range(1, 5)])
    claim = await database.claim()
    await database.run(executions.mark_started, running)
    await database.rows("UPDATE sync_slices SET run_after = now() + interval '1 h' WHERE part = 4")
    samples = await scrape(api)

    assert young
    assert claim.execution_id == running
    assert 300 <= value(samples, "pncp_oldest_queued_seconds", mode="update") < 360
    assert value(samples, "pncp_oldest_queued_seconds", mode="backfill") == 0
    assert value(samples, "pncp_executions_unfinished", mode="update", phase="queued") == 2
    assert value(samples, "pncp_executions_unfinished", mode="backfill", phase="running") == 1
    slices = {dict(labels)["status"]: count for labels, count in samples["pncp_slices_unfinished"].items()}
    assert slices == {"ready": 2, "running": 1, "waiting": 1}

    await database.rows("UPDATE sync_slices SET status = 'pending', run_after = now() + interval '1 h'")
    samples = await scrape(api)
    assert value(samples, "pncp_executions_unfinished", mode="backfill", phase="waiting") == 1


async def test_the_freshness_of_each_modalidade_is_that_of_its_last_complete_update(
    open_api: OpenApi, database: Database
) -> None:
    api = await open_api()
    assert (await scrape(api)).get("pncp_mirror_updated_timestamp_seconds", {}) == {}
    now = datetime.now(UTC).replace(microsecond=0)
    hour_ago, two_ago = now - timedelta(hours=1), now - timedelta(hours=2)

    def until(moment: datetime, modalidade: int) -> Any:
        return replace(piece(modalidade=modalidade), window_end=to_wall_clock(moment))

    for moment, finish in ((two_ago, (1, 2)), (hour_ago, (1,)), (now, ())):
        await database.planned([until(moment, number) for number in (1, 2, 3)], mode="update")
        for _ in range(3):
            claim = await database.claim()
            end = slices.finish if claim.part in finish else slices.fail
            assert await (database.run(end, claim) if claim.part in finish else database.run(_fail, claim))
    samples = await scrape(api)
    reached = {dict(labels)["part"]: told for labels, told in samples["pncp_mirror_updated_timestamp_seconds"].items()}
    assert reached == {"1": hour_ago.timestamp(), "2": two_ago.timestamp(), "3": 0}

    # what is mirrored no more grows no older, though a retry or a backfill may still name it
    await database.planned([until(now, 1)], mode="update")
    # it waits for the portal, so that another update may be planned
    await database.rows("UPDATE sync_slices SET run_after = now() + interval '1 h' WHERE status = 'pending'")
    await database.rows("UPDATE sync_executions SET planned_at = planned_at - interval '2 min'")
    retried = await database.planned([until(now, 2)], mode="update")
    await database.rows("UPDATE sync_executions SET retry_of = 1 WHERE id = :id", id=retried)
    await database.planned([piece(modalidade=9)])
    samples = await scrape(api)
    assert set(samples["pncp_mirror_updated_timestamp_seconds"]) == {(("part", "1"), ("resource", "contratacoes"))}


async def test_an_update_is_overdue_by_the_cron_of_its_own_resource(open_api: OpenApi, database: Database) -> None:
    """Two hours are late for an hourly update, and nothing for a nightly one or one that an administrator moved."""
    names = ["contratacoes", "contratos", "atas", "pcas"]
    api = await open_api(pncp_resources=names)
    assert {value(await scrape(api), "pncp_update_overdue_seconds", resource=name) for name in names} == {0}
    now = datetime.now(UTC)
    tomorrow = to_wall_clock(now + timedelta(hours=20))
    read_until = to_wall_clock(now - timedelta(hours=2)).replace(microsecond=0)
    for name, cron in {
        "update": None,
        "contratos.update": "20 * * * *",
        "atas.update": f"{tomorrow.minute} {tomorrow.hour} * * *",
        "pcas.update": "0 * * * *",
    }.items():
        await database.rows(
            "INSERT INTO schedules (name, cron, effective_at) VALUES (:name, :cron, now() - interval '9 h')",
            name=name,
            cron=cron,
        )
    for name in names[:3]:
        started = await database.planned(
            [replace(piece(modalidade=0), window_start=read_until - timedelta(hours=1), window_end=read_until)],
            mode="update",
            resource=name,
        )
        await database.run(slices.finish, await database.claim())
        await database.run(executions.close, started)

    samples = await scrape(api)

    overdue = {name: value(samples, "pncp_update_overdue_seconds", resource=name) for name in names}
    assert 6300 <= overdue["contratacoes"] <= 7210
    assert 3600 <= overdue["contratos"] <= 7210
    assert overdue["atas"] == 0
    assert 8 * 3600 <= overdue["pcas"] <= 9 * 3600 + 10


async def _fail(db: Any, claim: Any) -> bool:
    return await slices.fail(db, claim, "internal", "no")


async def test_workers_and_the_pause_of_the_source_are_told(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    samples = await scrape(api)
    assert (value(samples, "pncp_workers_alive"), value(samples, "pncp_source_paused")) == (0, 0)
    await database.rows("""
        INSERT INTO workers (id, last_seen_at, alive_until, stopped_at)
        VALUES ('a', now(), now() + interval '2 min', NULL),
               ('long leases', now() - interval '15 min', now() + interval '1 h', NULL),
               ('gone', now() - interval '1 min', now() - interval '1 s', NULL),
               ('stopped', now(), now() + interval '2 min', now())
    """)
    await database.rows(
        "INSERT INTO source_pauses (source, paused_until) VALUES ('consulta', now() + interval '1 min')"
    )
    samples = await scrape(api)
    assert (value(samples, "pncp_workers_alive"), value(samples, "pncp_source_paused")) == (2, 1)
    await database.rows("UPDATE source_pauses SET paused_until = now() - interval '1 s'")
    assert value(await scrape(api), "pncp_source_paused") == 0


async def test_how_long_a_service_of_the_portal_has_failed_is_told(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    await database.rows("""
        INSERT INTO source_pauses (source, paused_until, failing_since)
        VALUES ('itens', now() - interval '1 min', now() - interval '10 min')
    """)
    samples = await scrape(api)
    assert value(samples, "pncp_source_failing_seconds", service="consulta") == 0
    assert 600 <= value(samples, "pncp_source_failing_seconds", service="itens") < 700


async def test_many_who_ask_burden_the_database_once(
    open_api: OpenApi, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FRESH_SECONDS", 3600.0)
    api = await open_api()
    read = 0

    async def counting(*given: Any, read_figures: Any = figures._read) -> Any:
        nonlocal read
        read += 1
        return await read_figures(*given)

    monkeypatch.setattr(figures, "_read", counting)
    await asyncio.gather(*[scrape(api) for _ in range(10)])
    await database.requested()
    samples = await scrape(api)
    assert read == 1
    assert value(samples, "pncp_executions_unfinished", mode="backfill", phase="queued") == 0
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)
    samples = await scrape(api)
    assert value(samples, "pncp_executions_unfinished", mode="backfill", phase="queued") == 1


@pytest.fixture
async def long_history(database: Database) -> AsyncIterator[None]:
    """Ten thousand updates and as many backfills that have ended."""
    await database.rows("""
        INSERT INTO sync_executions (mode, criterio, status, trigger, planned_at, finished_at, duration_seconds)
        SELECT CASE WHEN n % 2 = 0 THEN 'update' ELSE 'backfill' END, 'atualizacao', 'success', 'api', now(), now(), 1
          FROM generate_series(1, 20000) n
    """)
    await database.rows("""
        INSERT INTO sync_slices (execution_id, ordinal, mode, criterio, part, first_day, last_day, window_start,
                                 window_end, status)
        SELECT e.id, m, e.mode, 'atualizacao', m, '2025-01-01', '2025-01-01', '2025-01-01', '2025-01-01', 'success'
          FROM sync_executions e, generate_series(1, 2) m
    """)
    await database.rows("ANALYZE sync_executions, sync_slices")
    yield
    await database.rows("TRUNCATE sync_executions, sync_slices, sync_execution_counts CASCADE")


async def test_a_long_history_is_not_read(open_api: OpenApi, engine: AsyncEngine, long_history: None) -> None:
    """No statement of a scrape walks through the executions or the slices: each has an index to go by."""
    api = await open_api()
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        asked.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        assert await figures.FiguresReader(engine, {"contratacoes": "*/15 * * * *"}).metrics()
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
    assert (
        value(await scrape(api), "pncp_executions_finished_total", mode="update", trigger="api", status="success")
        == 10000
    )
    plans = []
    for statement, parameters in asked:
        if "FROM sync_" in statement:
            async with engine.connect() as db:
                told = await db.exec_driver_sql(f"EXPLAIN {statement}", tuple(parameters))
                plans.append("\n".join(told.scalars()))
    assert len(plans) == 3 + len(RESOURCES)  # freshness asks for each resource by itself
    for plan in plans:
        assert not re.search(r"Seq Scan on sync_(executions|slices)", plan), plan


async def test_what_was_cancelled_is_no_error_of_the_metrics(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    cancelled, failed = await database.planned(), await database.planned()
    await database.run(executions.cancel, cancelled, "an administrator")
    await database.run(executions.end, failed, status="error", cause="no_worker")
    await database.rows("UPDATE sync_executions SET duration_seconds = id * 10")
    samples = await scrape(api)

    kind = {"mode": "backfill", "trigger": "api"}
    assert value(samples, "pncp_executions_finished_total", **kind, status="cancelled") == 1
    assert value(samples, "pncp_executions_finished_total", **kind, status="error") == 1
    assert value(samples, "pncp_execution_duration_seconds_total", **kind, status="cancelled") == cancelled * 10
    assert value(samples, "pncp_execution_duration_seconds_total", **kind, status="error") == failed * 10


# --- without the database ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", [False, True], ids=["gone", "silent"])
async def test_without_the_database_the_process_still_tells_of_itself(
    open_api: OpenApi, database_proxy: tuple[Proxy, str], silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "LONGEST_SECONDS", 0.3)
    proxy, url = database_proxy
    api = await open_api(database_url=url)
    monkeypatch.setattr(figures, "LONGEST_SECONDS", 3.0)
    assert value(await scrape(api), "pncp_database_up") == 1
    monkeypatch.setattr(figures, "LONGEST_SECONDS", 0.3)
    await (proxy.cut() if not silent else asyncio.sleep(0))
    if silent:
        proxy.freeze()
    for _ in range(3):
        samples = await scrape(api)
        assert value(samples, "pncp_database_up") == 0
        assert "pncp_workers_alive" not in samples
        assert value(samples, "process_resident_memory_bytes") > 0
        assert value(samples, "pncp_database_pool_size") == 10
    await proxy.mend()

    async def is_back() -> bool:
        return value(await scrape(api), "pncp_database_up") == 1

    await eventually(is_back, seconds=30)


# --- requests ---------------------------------------------------------------------------------------------------


async def test_what_callers_make_up_becomes_no_label(open_api: OpenApi, database: Database) -> None:
    api = await open_api()
    for number in range(1, 30):
        await api.get(f"/sync/executions/{number}")
        await api.get(f"/sync/executions/{number}/log")
        await api.get(f"/nowhere/{number}")
        await api.request(f"VERB{number}", "/sync/status")
        await api.request(f"VERB{number}", f"/nowhere/{number}")
    await api.put("/sync/status")
    assert (await api.get("/assets/icon.svg")).status_code == 200
    await api.get("/assets/made-up.css")
    await api.get("/sync/history?limit=0&status=x")
    samples = await scrape(api)
    requests = {tuple(dict(labels).values()): count for labels, count in samples["pncp_http_requests_total"].items()}
    assert requests == {
        ("GET", "/sync/executions/{execution_id}", "4xx"): 29,
        ("GET", "/sync/executions/{execution_id}/log", "4xx"): 29,
        ("GET", "(unknown)", "4xx"): 29,
        ("(other)", "/sync/status", "4xx"): 29,
        ("(other)", "(unknown)", "4xx"): 29,
        ("PUT", "/sync/status", "4xx"): 1,
        ("GET", "/assets", "2xx"): 1,
        ("GET", "/assets", "4xx"): 1,
        ("GET", "/sync/history", "4xx"): 1,
    }
    assert value(samples, "pncp_validation_errors_total", type="greater_than_equal") == 1
    assert value(samples, "pncp_validation_errors_total", type="literal_error") == 1


async def test_refusals_at_the_gate_are_counted_by_route_and_reason(open_api: OpenApi, database: Database) -> None:
    api = await open_api(**PASSWORDS, limit_failed_logins_per_minute=2, limit_writes_per_minute=1)
    viewer, admin = ("viewer", PASSWORDS["viewer_password"]), ("admin", PASSWORDS["admin_password"])
    assert (await api.get("/metrics")).status_code == 401
    assert (await api.get("/sync/executions/7")).status_code == 401
    assert (await api.post("/sync/force", json={}, auth=viewer)).status_code == 403
    assert (await api.post("/sync/force", json={}, auth=admin)).status_code == 200
    assert (await api.post("/sync/force", json={}, auth=admin)).status_code == 429
    assert (await api.get("/sync/status", headers={"Authorization": "Bearer none"})).status_code == 401
    for status in (401, 401, 429):
        assert (await api.get("/sync/status", auth=("admin", "wrong"))).status_code == status
    samples = await scrape(api, auth=viewer)

    assert value(samples, "pncp_http_requests_total", route="/metrics", method="GET", status="4xx") == 1
    assert value(samples, "pncp_http_requests_total", route="/sync/force", method="POST", status="4xx") == 2
    assert (
        value(samples, "pncp_http_requests_total", route="/sync/executions/{execution_id}", method="GET", status="4xx")
        == 1
    )
    assert value(samples, "pncp_failed_logins_total") == 2
    assert value(samples, "pncp_refused_tokens_total") == 1
    assert value(samples, "pncp_limit_hits_total", limit="write") == 1
    assert value(samples, "pncp_limit_hits_total", limit="failed_login") == 1


async def test_a_fault_of_ours_is_a_5xx_of_its_route(
    open_api: OpenApi, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(figures, "_read", broken)
    api = await open_api()
    assert (await api.get("/metrics")).status_code == 500
    monkeypatch.undo()
    samples = await scrape(api)
    assert value(samples, "pncp_http_requests_total", route="/metrics", method="GET", status="5xx") == 1


async def test_confirmed_and_unconfirmed_messages_are_counted(
    open_api: OpenApi, database: Database, broker_proxy: tuple[Proxy, str], queue_name: str
) -> None:
    proxy, url = broker_proxy
    api = await open_api(rabbitmq_url=url, queue_name=queue_name)
    backfill = {"mode": "backfill", "data_ini": "2025-03-10T00:00:00", "data_fim": "2025-03-10T23:59:59"}
    samples = await scrape(api)
    assert {dict(labels)["outcome"] for labels in samples["pncp_publishes_total"]} == {"confirmed", "failed"}
    assert (await api.post("/sync/force", json=backfill)).status_code == 200
    await proxy.cut()
    for _ in range(2):
        assert (await api.post("/sync/force", json=backfill)).status_code == 503
    samples = await scrape(api)
    assert value(samples, "pncp_publishes_total", outcome="confirmed") == 1
    assert value(samples, "pncp_publishes_total", outcome="failed") == 2
    assert value(samples, "pncp_executions_finished_total", mode="backfill", trigger="api", status="error") == 2


async def test_two_applications_in_one_process_count_each_their_own(open_api: OpenApi, database: Database) -> None:
    one, other = await open_api(), await open_api()
    await one.get("/sync/status")
    labels = {"route": "/sync/status", "method": "GET", "status": "2xx"}
    assert value(await scrape(one), "pncp_http_requests_total", **labels) == 1
    assert "pncp_http_requests_total" not in await scrape(other)


# --- the ingestor's server --------------------------------------------------------------------------------------


async def test_an_ingestor_serves_its_metrics_and_lets_go_of_the_port(closed_port: int) -> None:
    metrics = Metrics()
    metrics.page_committed(PageCounts(processed=3, inserted=2, updated=1, rejected=4, itens=5))
    async with httpx.AsyncClient(trust_env=False) as client:
        async with MetricsServer(metrics.registry, "127.0.0.1", closed_port):
            answer = await client.get(f"http://127.0.0.1:{closed_port}/metrics")
        samples = parse(answer.text)
        assert value(samples, "pncp_ingestor_records_processed_total") == 3
        assert value(samples, "process_cpu_seconds_total") > 0
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{closed_port}/metrics")


async def test_a_busy_port_is_waited_for_while_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "OPEN_AGAIN_SECONDS", 0.05)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        async with MetricsServer(Metrics().registry, "127.0.0.1", port) as server:
            assert server._serving is None
            holder.close()
            await eventually(lambda: server._serving)
            async with httpx.AsyncClient(trust_env=False) as client:
                assert "pncp_ingestor_pages_total" in (await client.get(f"http://127.0.0.1:{port}/metrics")).text


async def test_a_port_that_stays_busy_does_not_hold_up_the_end() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        async with MetricsServer(Metrics().registry, "127.0.0.1", holder.getsockname()[1]) as server:
            assert server._serving is None


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host"])
async def test_an_address_that_is_not_ours_is_a_mistake_of_the_configuration(host: str, closed_port: int) -> None:
    with pytest.raises(ConfigurationError, match=r"^METRICS_HOST, METRICS_PORT: cannot listen on "):
        await MetricsServer(Metrics().registry, host, closed_port).__aenter__()


async def test_without_a_port_nothing_is_served() -> None:
    async with MetricsServer(Metrics().registry, "203.0.113.1", 0) as server:
        assert server._serving is None
        assert server._later is None


# --- rules and dashboard ----------------------------------------------------------------------------------------

MONITORING = ROOT / "monitoring"
SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<matchers>[^}]*)\})?")
LABEL = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"')


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and the PromQL of it."""
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((MONITORING / "grafana" / "pncp.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


async def test_rules_and_dashboard_ask_for_nothing_that_does_not_exist(
    open_api: OpenApi, database: Database, portals: Portals, engine: AsyncEngine
) -> None:
    api = await open_api(**PASSWORDS, limit_writes_per_minute=1)
    admin = ("admin", PASSWORDS["admin_password"])
    await Deliveries(engine).destination("crm")
    portal = await portals.serve(generate(7, CLOSED_DAY, CLOSED_DAY, 20, until=datetime(2025, 4, 1)))
    portal.quirks.rules.append(Rule("500", times=1))
    await api.get("/sync/history?limit=0", auth=admin)
    update = int((await api.post("/sync/force", json={}, auth=admin)).json()["request_id"])
    await api.post("/sync/force", json={}, auth=admin)
    async with working(engine, portals, portal) as metrics:
        await ended(database, update)
        existing: dict[str, set[str]] = {"up": {"job", "instance"}}
        for samples in (await scrape(api, auth=admin), of(metrics)):
            for name, kinds in samples.items():
                labels = {label for kind in kinds for label, _ in kind}
                existing[name] = existing.get(name, set()) | labels | {"job", "instance"}

    asked: set[str] = set()
    for place, expression in expressions():
        for match in SELECTOR.finditer(re.sub(r'"[^"]*"(?![^{]*\})', "", expression)):
            name = match["name"]
            if name != "up" and not name.startswith(("pncp_", "process_", "python_")):
                assert match["matchers"] is None, f"{place}: {match[0]}"
                continue
            assert name in existing, f"{place}: {name}"
            unknown = set(LABEL.findall(match["matchers"] or "")) - existing[name]
            assert not unknown, f"{place}: {name} has no {unknown}"
            asked.add(name)
    assert len(asked) > 25

    ours = {name for name in existing if name.startswith("pncp_") and not name.endswith(("_sum", "_count"))}
    assert ours - asked <= {
        "pncp_execution_duration_seconds_total",
        "pncp_records_processed_total",
        "pncp_saved_search_messages_total",
    }


async def test_every_rule_says_how_bad_it_is_and_what_to_do() -> None:
    names = []
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            names.append(rule["alert"])
            assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
            assert rule["annotations"]["summary"]
            assert len(rule["annotations"]["description"]) > 60, rule["alert"]
    assert len(names) == len(set(names)) > 10
    dashboard = json.loads((MONITORING / "grafana" / "pncp.json").read_text())
    datasource = yaml.safe_load((MONITORING / "grafana" / "datasource.yaml").read_text())["datasources"][0]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel} == {datasource["uid"]}
    provider = yaml.safe_load((MONITORING / "grafana" / "dashboards.yaml").read_text())["providers"][0]
    assert f":{provider['options']['path']}/pncp.json:ro" in (ROOT / "docker-compose.yaml").read_text()


def test_what_is_counted_at_every_page_and_request_costs_next_to_nothing() -> None:
    """Labels are looked up once: counting makes no new series for what it has seen."""
    metrics = Metrics()
    made: list[Any] = []
    labels = metrics._requests.labels

    def noting(*values: str) -> Any:
        made.append(values)
        return labels(*values)

    metrics._requests.labels = noting  # type: ignore[method-assign]
    for _ in range(100):
        metrics.answered("itens", 200, 0.1)
        metrics.answered("consulta", "ReadTimeout", 0.1)
    assert made == [("itens", "200"), ("consulta", "ReadTimeout")]
