"""Sources: state, readings that are asked for, pause, alerts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.services.alerts.episodes import Notifier, run_once
from backend.services.alerts.findings import Rules
from backend.services.alerts.texts import Episode, compose
from backend.services.deliveries import files as files_module
from backend.services.deliveries.files import ConnectionFiles
from common.lifecycle import deliveries, executions, jobs
from ingestor.intake import sources
from tests.integration.conftest import Database, OpenApi
from tests.sources import Desk

CURSOR = "cursor: {column: MUDOU}"
NOW = datetime.now(UTC)


@pytest.fixture
def desk(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """One source; every request looks at the files."""
    monkeypatch.setattr(files_module, "LOOK_SECONDS", 0.0)
    desk = Desk(database.engine, tmp_path)
    desk.write_products(cursor=CURSOR, options='delta: "*/15 * * * *"')
    return desk


@pytest.fixture
async def here(open_api: OpenApi, desk: Desk) -> httpx.AsyncClient:
    return await open_api(connections_dir=desk.folder)


async def state_of(here: httpx.AsyncClient) -> str:
    return str((await here.get("/sources/erp")).json()["state"])


async def test_a_source_is_known_before_its_first_reading_and_its_secret_is_not(here: httpx.AsyncClient) -> None:
    (found,) = (await here.get("/sources")).json()["sources"]
    assert (found["name"], found["state"], found["kind"], found["job_id"]) == ("erp", "ok", None, None)
    assert (found["schedule"], found["delta"]) == ("30 0 * * *", "*/15 * * * *")
    assert found["next_run"].endswith("T00:30:00-03:00")
    assert [(one["entity"], one["cursor"], one["rows"]) for one in found["entities"]] == [("produtos", "MUDOU", None)]
    assert "ERP_URL" not in (await here.get("/sources")).text


async def test_a_reading_is_asked_for_once_at_a_time(here: httpx.AsyncClient, database: Database) -> None:
    headers = {"Idempotency-Key": "a-key"}
    taken = await here.post("/sources/erp/ler", json={}, headers=headers)
    assert (taken.status_code, taken.json()["success"]) == (202, True)
    job = taken.headers["location"]
    assert job == f"/jobs/{taken.json()['request_id']}"
    again = await here.post("/sources/erp/ler", json={}, headers=headers)
    assert (again.status_code, again.headers["location"]) == (202, job)
    other = await here.post("/sources/erp/ler", json={"modo": "delta"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    refused = await here.post("/sources/erp/ler", json={"modo": "delta"})
    assert (refused.status_code, refused.json()["code"], refused.headers["location"]) == (409, "reading_running", job)
    assert await state_of(here) == "running"
    row = await database.row("SELECT * FROM sync_executions")
    assert (row.kind, row.resource, row.mode, row.trigger) == ("intake", "erp", "backfill", "api")
    shown = (await here.get(job)).json()
    assert (shown["kind"], shown["subject"], shown["status"]) == ("intake", "erp", "running")
    assert (await here.post(f"{job}/cancel")).status_code == 200
    delta = await here.post("/sources/erp/ler", json={"modo": "delta"})
    assert delta.status_code == 202
    assert await database.value("SELECT mode FROM sync_executions WHERE status = 'running'") == "update"


async def test_what_cannot_be_read_is_refused_with_the_reason(here: httpx.AsyncClient, desk: Desk) -> None:
    unknown = await here.post("/sources/erpp/ler", json={})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_source")
    assert "erp" in unknown.json()["detail"]
    assert (await here.post("/sources/erp/ler", json={"modo": "tudo"})).status_code == 422
    desk.write_products()
    refused = await here.post("/sources/erp/ler", json={"modo": "delta"})
    assert (refused.status_code, refused.json()["code"]) == (409, "source_without_cursor")
    async with desk.engine.begin() as db:
        await sources.register(db, desk.source)
    (desk.folder / "sources" / "erp.yaml").write_text("url: x\n")
    refused = await here.post("/sources/erp/ler", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "source_invalid")
    assert await state_of(here) == "invalid"
    (desk.folder / "sources" / "erp.yaml").unlink()
    refused = await here.post("/sources/erp/ler", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "source_missing")
    assert await state_of(here) == "missing"


async def test_a_source_is_paused_and_resumed(here: httpx.AsyncClient, desk: Desk) -> None:
    await desk.ask()
    paused = await here.post("/sources/erp/pause", json={"reason": "migração do ERP"})
    assert (paused.json()["state"], paused.json()["pause_reason"], paused.json()["next_run"]) == (
        *("paused", "migração do ERP"),
        None,
    )
    assert (await here.post("/sources/erp/pause", json={"reason": "de novo"})).json()["code"] == "source_paused"
    assert await desk.claim() is None
    assert (await here.post("/sources/erp/ler", json={})).json()["code"] == "source_paused"
    assert (await here.post("/sources/erp/resume")).json()["state"] == "running"
    assert (await here.post("/sources/erp/resume")).json()["code"] == "source_not_paused"
    assert await desk.claim() is not None


CRM = """
kind: http
url: https://crm.example.org/api
start: all
streams: [{entity: produtos, path: /p, fields: {codigo: codigo}}]
"""


async def test_what_comes_from_a_source_is_read_before_it_is_delivered(
    here: httpx.AsyncClient, desk: Desk, database: Database
) -> None:
    (desk.folder / "destinations").mkdir()
    (desk.folder / "destinations" / "crm.yaml").write_text(CRM)
    answer = await here.post("/produtos/sincronizar", json={}, headers={"Idempotency-Key": "a"})
    assert answer.status_code == 202
    again = await here.post("/produtos/sincronizar", json={}, headers={"Idempotency-Key": "a"})
    assert again.json() == answer.json()
    reading, delivery = await database.rows("SELECT * FROM sync_executions ORDER BY id")
    assert (reading.kind, reading.resource, reading.options) == ("intake", "erp", {"entities": ["produtos"]})
    assert (delivery.kind, delivery.options["reads_first"]) == ("delivery", reading.id)
    assert answer.json()["request_id"] == str(delivery.id)

    async def unplanned() -> bool:
        async with desk.engine.begin() as db:
            return await deliveries.lock_unplanned(db, ["crm"]) is not None

    assert not await unplanned()
    async with desk.engine.begin() as db:
        await executions.end(db, reading.id, status="error", cause="source_down", error_message="x")
    assert await unplanned()
    refused = await here.post("/produtos/sincronizar", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "delivery_running")
    assert await database.value("SELECT count(*) FROM sync_executions") == 2


# --- alerts -------------------------------------------------------------------------------------------------------


async def look(database: Database, connections: ConnectionFiles | None = None) -> dict[str, Any]:
    """Evaluate once; the open episodes of sources, by kind."""
    rules = Rules(no_success=None, reminder=None, schedule_enabled=False, update_crons={}, connections=connections)
    await run_once(database.engine, rules, Notifier([]), now=datetime.now(UTC), watching_since=NOW)
    found = await database.rows("SELECT * FROM alerts WHERE resolved_at IS NULL AND kind LIKE 'extract:%'")
    return {row.kind: row for row in found}


async def test_a_source_that_fails_opens_an_episode_that_a_good_reading_ends(database: Database, desk: Desk) -> None:
    execution_id = await desk.ask()
    await desk.claim()
    assert await look(database) == {}
    await database.rows("""
        UPDATE sync_slices SET failing_since = now() - interval '16 minutes', error_message = 'não há conexão'
    """)
    (row,) = (await look(database)).values()
    assert "erp: a fonte não responde desde" in row.summary
    episode = Episode(1, row.kind, row.summary, row.details, NOW)
    message = compose("opened", episode, number=1, public_url="https://x", reminder=None)
    assert "fonte: não há conexão" in message.text
    assert "24 horas" in message.text
    async with desk.engine.begin() as db:
        await executions.end(db, execution_id, status="error", cause="source_changed", error_message="a coluna `x`")
    (row,) = (await look(database)).values()
    assert f"a leitura {execution_id} falhou" in row.summary
    async with desk.engine.begin() as db:
        again = await jobs.create(db, kind="intake", subject="erp", mode="backfill", trigger="api")
        assert again is not None
        await executions.end(db, again, status="success")
    assert await look(database) == {}
    assert "a fonte é lida de novo" in (await database.value("SELECT details ->> 'resolution' FROM alerts"))


async def test_a_reading_that_is_held_and_a_file_that_does_not_hold_are_told(database: Database, desk: Desk) -> None:
    await desk.ask()
    held = '{"reason": "many_removed", "owed": 42, "of": 100, "entity": "produtos"}'
    await database.rows(f"UPDATE sync_executions SET held = '{held}'")
    (row,) = (await look(database)).values()
    assert "espera confirmação: 42 registros de produtos sumiram da fonte" in row.summary
    (desk.folder / "sources" / "outra.yaml").write_text("url: x\n")
    found = await look(database, ConnectionFiles(desk.folder))
    assert "1 erro no arquivo da fonte" in found["extract:outra"].summary
