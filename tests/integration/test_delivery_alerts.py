"""Alerts and metrics of destinations: what opens an episode, what it says, and how it ends."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.services import figures
from backend.services.alerts.episodes import Notifier, run_once
from backend.services.alerts.findings import Rules
from backend.services.alerts.texts import Episode, compose
from backend.services.deliveries import files as files_module
from backend.services.deliveries.files import ConnectionFiles
from tests.delivery_rows import Deliveries
from tests.integration.conftest import Database
from tests.integration.test_destinations_api import CRM
from tests.integration.test_metrics import scrape, value

HELD = {"reason": "hold_above", "owed": 20000, "samples": []}
NOW = datetime.now(UTC)


@pytest.fixture
def rows(database: Database) -> Deliveries:
    return Deliveries(database.engine)


async def look(database: Database, connections: ConnectionFiles | None = None) -> dict[str, Any]:
    """Evaluate once; the open episodes of destinations, by kind."""
    rules = Rules(no_success=None, reminder=None, schedule_enabled=False, update_crons={}, connections=connections)
    await run_once(database.engine, rules, Notifier([]), now=datetime.now(UTC), watching_since=NOW)
    found = await database.rows("SELECT * FROM alerts WHERE resolved_at IS NULL AND kind LIKE 'delivery:%'")
    return {row.kind: row for row in found}


async def summary_of(database: Database) -> str:
    (row,) = (await look(database)).values()
    return str(row.summary)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"failing_since": "now() - interval '16 minutes'", "last_error": "'status 503'"}, "o destino falha desde"),
        ({"stopped_at": "now()", "stopped_reason": "'410'"}, "não quer mais receber"),
    ],
)
async def test_a_destination_that_fails_or_wants_no_more_opens_an_episode_and_ends_it(
    database: Database, rows: Deliveries, state: dict[str, str], said: str
) -> None:
    await rows.destination("crm", **state)
    assert said in await summary_of(database)
    await database.rows("UPDATE destinations SET failing_since = NULL, stopped_at = NULL")
    assert await look(database) == {}
    ended = await database.row("SELECT details, resolved_at FROM alerts")
    assert "o destino recebe de novo" in ended.details["resolution"]


async def test_a_failure_of_some_minutes_is_no_alert(database: Database, rows: Deliveries) -> None:
    await rows.destination("crm", failing_since="now() - interval '14 minutes'")
    assert await look(database) == {}


async def test_a_delivery_that_waits_for_confirmation_is_an_alert(database: Database, rows: Deliveries) -> None:
    await rows.destination("crm")
    job_id = await rows.execution("crm", held=HELD)
    assert await summary_of(database) == f"crm: a entrega {job_id} espera confirmação: deve 20.000 registros"


async def test_a_delivery_that_gave_up_is_an_alert_until_one_succeeds(database: Database, rows: Deliveries) -> None:
    await rows.destination("crm")
    job_id = await rows.execution("crm", "error")
    await rows.execution("crm", "error", cause="cancelled")
    assert f"a entrega {job_id} falhou: o destino falhou por tempo demais" in await summary_of(database)
    await rows.execution("crm", "success")
    assert await look(database) == {}


async def test_rejected_records_are_an_alert_for_a_day(database: Database, rows: Deliveries) -> None:
    await rows.destination("crm")
    stream = await rows.stream("crm")
    await rows.record(stream, "old", 3)
    await database.rows("UPDATE deliveries SET rejected_since = now() - interval '25 hours'")
    assert await look(database) == {}
    await rows.record(stream, "new", 3)
    await database.rows("UPDATE deliveries SET rejected_since = now() WHERE key = 'new'")
    assert await summary_of(database) == "crm: 1 registro rejeitado no último dia"


async def test_a_paused_destination_and_one_without_a_file_raise_no_alert(database: Database, rows: Deliveries) -> None:
    await rows.destination("crm", failing_since="now() - interval '1 day'")
    await rows.pause("crm")
    await rows.destination("bi", failing_since="now() - interval '1 day'", missing_since="now()")
    assert await look(database) == {}


async def test_a_file_that_does_not_hold_is_an_alert_until_it_does(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "LOOK_SECONDS", 0.0)
    (tmp_path / "destinations").mkdir()
    file = tmp_path / "destinations" / "crm.yaml"
    file.write_text(CRM.replace("objeto_compra", "objeto_da_compra"))
    connections = ConnectionFiles(tmp_path)
    found = (await look(database, connections))["delivery:crm"]
    assert found.summary == "crm: 1 erro no arquivo do destino"
    assert "destinations/crm.yaml:13" in found.details["faults"][0]
    file.write_text(CRM)
    assert await look(database, connections) == {}


async def test_the_message_of_an_episode_says_what_to_do_and_where_to_look(
    database: Database, rows: Deliveries
) -> None:
    await rows.destination("crm", failing_since="now() - interval '1 day'", last_error="'status 503'")
    (row,) = (await look(database)).values()
    episode = Episode(row.id, row.kind, row.summary, row.details, row.opened_at)
    message = compose("opened", episode, number=1, public_url="https://pncp.example.org", reminder=None)
    assert message.subject.startswith("[PNCP Sync] Alerta: entregas a crm desde ")
    for said in ("O que fazer:", "nada se acumula", "- destino: status 503", "https://pncp.example.org/#/entregas"):
        assert said in message.text
    english = compose("opened", episode, number=1, public_url=None, reminder=None, language="en")
    assert "deliveries to crm" in english.subject
    assert "the destination has failed since" in english.text


async def test_the_verdict_asks_for_attention_and_leads_to_the_deliveries(
    database: Database, rows: Deliveries, api: httpx.AsyncClient
) -> None:
    await rows.destination("crm", stopped_at="now()")
    await look(database)
    troubles = (await api.get("/sync/verdict")).json()["troubles"]
    (trouble,) = [one for one in troubles if one["id"] == "alert-delivery:crm"]
    assert (trouble["state"], trouble["action"]["path"]) == ("attention", "/#/entregas")
    assert (await api.get("/sync/alerts")).json()["alerts"][0]["kind"] == "delivery:crm"


async def test_metrics_count_what_is_owed_and_rejected_by_destination(
    database: Database, rows: Deliveries, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)
    await rows.destination("crm")
    await rows.destination("gone", missing_since="now()")
    streams = [await rows.stream("crm"), await rows.stream("crm", "contratos")]
    await database.rows("UPDATE streams SET owed = 4, oldest_owed_at = now() - interval '1 hour'")
    await rows.record(streams[0], "a", 3)
    await rows.record(streams[1], "b", 3)
    await rows.record(streams[1], "c")
    samples = await scrape(api)
    assert value(samples, "pncp_delivery_owed", destination="crm") == 8
    assert value(samples, "pncp_delivery_rejected", destination="crm") == 2
    assert value(samples, "pncp_delivery_oldest_owed_seconds", destination="crm") == pytest.approx(3600, abs=600)
    assert (("destination", "gone"),) not in samples["pncp_delivery_owed"]
