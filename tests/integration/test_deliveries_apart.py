"""What is said of synchronisations is the same whatever deliveries there are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.config import BackendSettings
from backend.main import rules_of
from backend.services import dashboard as dashboard_module
from backend.services import figures
from backend.services.alerts.findings import look
from common.lifecycle import admission, executions
from ingestor.debts import _NO_UPDATE_WAITS
from tests.delivery_rows import Deliveries
from tests.integration.conftest import Database
from tests.integration.test_metrics import parse
from tests.integration.test_verdict import YESTERDAY, failed, whole

VOLATILE = {"generated_at", "timestamp", "since", "until", "next_runs", "last_seen_at", "duration_seconds", "as_of"}
ASKED = (
    "/sync/status",
    "/sync/history",
    "/sync/history?status=error",
    "/sync/history?since=2020-01-01T00:00:00",
    "/sync/dashboard",
    "/sync/timeline",
    "/sync/verdict",
    f"/sync/coverage?from={YESTERDAY - timedelta(days=25)}&to={YESTERDAY}",
    "/sync/coverage/spans",
    "/sync/rejected",
    "/sync/goals",
    "/sync/schedules",
    "/health",
)


@pytest.fixture(autouse=True)
def read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)


def steady(answer: Any) -> Any:
    """An answer without what moves with the clock."""
    if isinstance(answer, dict):
        kept = {name: one for name, one in answer.items() if name not in VOLATILE and not name.endswith("age_seconds")}
        return {name: steady(one) for name, one in kept.items()}
    return [steady(one) for one in answer] if isinstance(answer, list) else answer


async def everything(api: httpx.AsyncClient, database: Database) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for path in ASKED:
        answer = await api.get(path)
        assert answer.status_code == 200, answer.text
        said[path] = steady(answer.json())
    samples = parse((await api.get("/metrics")).text)
    said["metrics"] = {
        name: {labels: pytest.approx(value, abs=60 if "seconds" in name else 0) for labels, value in of.items()}
        for name, of in samples.items()
        if name.startswith("pncp_")
        and not name.startswith(("pncp_delivery", "pncp_http", "pncp_request", "pncp_database_pool"))
    }
    settings = BackendSettings(database_url="postgresql://u:p@127.0.0.1/none", rabbitmq_url=None)
    now = datetime.now(UTC)
    async with database.engine.connect() as db:
        found = await look(db, rules_of(settings), now, watching_since=now - timedelta(days=60), known={})
    said["alerts"] = [one for one in found if not one.kind.startswith("delivery:")]
    return said


async def deliver(database: Database) -> dict[str, int]:
    """Deliveries of every state, to destinations that are called as resources are."""
    rows = Deliveries(database.engine)
    made = {}
    await rows.worker()
    for name, status in (("contratacoes", "running"), ("contratos", "error"), ("atas", "success"), ("held", "running")):
        await rows.destination(name)
        stream = await rows.stream(name)
        made[name] = await rows.execution(
            name,
            status,
            mode="update",
            held={"reason": "hold_above", "owed": 20000, "samples": []} if name == "held" else None,
            streams=[stream],
            counts={"records_processed": 7, "records_rejected": 2, "records_seen": 9, "pages_done": 1},
        )
    made["cancelled"] = await rows.execution("atas", "error", cause="cancelled")
    await rows.pause("contratacoes")
    return made


async def test_deliveries_change_nothing_that_is_said_of_synchronisations(
    api: httpx.AsyncClient, database: Database
) -> None:
    await whole(database)
    await failed(database, YESTERDAY - timedelta(days=20))
    before = await everything(api, database)
    made = await deliver(database)
    after = await everything(api, database)
    for name in ASKED:
        assert after[name] == before[name], name
    assert after["alerts"] == before["alerts"]
    assert before["metrics"].keys() == after["metrics"].keys()
    for name, of in before["metrics"].items():
        assert {labels: one.expected for labels, one in after["metrics"][name].items()} == of, name
    for execution_id in made.values():
        for path in ("", "/slices", "/matrix", "/log"):
            assert (await api.get(f"/sync/executions/{execution_id}{path}")).status_code == 404, path
        assert (await api.post(f"/sync/executions/{execution_id}/retry")).status_code == 404
        assert (await api.post(f"/sync/executions/{execution_id}/cancel")).status_code == 404
    assert (await api.post("/sync/cancel", json={"mode": "update"})).json()["cancelled"] == 0
    assert (await api.post("/sync/retry-failed", json={})).json()["retried"] == 1, "the backfill that failed"
    assert await database.value("SELECT count(*) FROM sync_executions WHERE status = 'running' AND kind <> 'sync'") == 2


async def test_deliveries_take_no_place_of_a_synchronisation(database: Database) -> None:
    await deliver(database)
    assert await database.run(admission.admit, at_most=1)
    assert await database.requested("update") > 0


async def test_the_portal_s_outage_ends_no_delivery(database: Database) -> None:
    await deliver(database)
    await database.rows(
        "INSERT INTO source_pauses (source, paused_until, reason, cause, error_message, failures, failing_since)"
        " VALUES ('consulta', now() + interval '1 minute', 'down', 'no_answer', 'no connection', 9,"
        " now() - interval '2 days')"
    )
    assert await database.run(executions.end_by_outage) is None


async def test_a_delivery_that_waits_does_not_hold_up_what_is_read_later(database: Database) -> None:
    await deliver(database)
    await database.rows("UPDATE sync_slices SET status = 'pending' WHERE status = 'running'")
    assert await database.value(f"SELECT {_NO_UPDATE_WAITS.replace(':listings', ':names')}", names=["consulta"])


@pytest.mark.parametrize(("kinds", "expires"), [(["sync"], True), (["delivery"], False), (["sync", "delivery"], False)])
async def test_a_delivery_expires_without_a_worker_that_delivers(
    database: Database, kinds: list[str], expires: bool
) -> None:
    rows = Deliveries(database.engine)
    await database.rows("INSERT INTO workers (id, kinds) VALUES ('w', CAST(:kinds AS text[]))", kinds=kinds)
    held = await rows.execution("held", held={"reason": "mostly_refused", "owed": 1, "samples": []})
    waiting = await rows.execution("slack")
    assert await database.run(executions.expire_orphan, seconds=3600) == (waiting if expires else None)
    assert (await database.execution(held)).status == "running", "it waits for an administrator"
