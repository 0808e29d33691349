"""Jobs: the list, one with its streams, its log as lines and as a file, cancel and confirm."""

from datetime import UTC, datetime

import httpx
import pytest

from tests.delivery_rows import Deliveries
from tests.integration.conftest import Database, OpenApi

PASSWORDS = {"admin_password": "the words of the admin", "viewer_password": "the words of a viewer"}
ADMIN, VIEWER = ("admin", PASSWORDS["admin_password"]), ("viewer", PASSWORDS["viewer_password"])
CPF, MASKED = "529.982.247-25", "***.982.247-**"
HELD = {"reason": "hold_above", "owed": 20000, "samples": ['{"cpf": "52998224725"}']}


@pytest.fixture
def rows(database: Database) -> Deliveries:
    return Deliveries(database.engine)


async def test_a_delivery_is_shown_with_the_progress_of_its_streams(api: httpx.AsyncClient, rows: Deliveries) -> None:
    await rows.destination("crm")
    streams = [await rows.stream("crm"), await rows.stream("crm", "contratos")]
    counts = {
        "records_seen": 90,
        "records_unchanged": 50,
        "records_processed": 30,
        "records_rejected": 10,
        "pages_done": 4,
    }
    job_id = await rows.execution("crm", streams=streams, counts=counts, options={"mode": "tudo"})
    job = (await api.get(f"/jobs/{job_id}")).json()
    told = {"seen": 180, "unchanged": 100, "accepted": 60, "rejected": 20, "requests": 8}
    assert {name: job[name] for name in told} == told
    assert (job["kind"], job["subject"], job["mode"], job["phase"]) == ("delivery", "crm", "tudo", "running")
    assert [one["stream"] for one in job["streams"]] == ["contratacoes", "contratos"]
    assert [one["entity"] for one in job["streams"]] == ["contratacoes", "contratos"]
    assert job["streams"][0]["accepted"] == 30


async def test_a_delivery_of_changes_is_called_one_and_waits_after_a_failure(
    api: httpx.AsyncClient, rows: Deliveries, database: Database
) -> None:
    await rows.destination("crm")
    job_id = await rows.execution("crm", mode="update", streams=[await rows.stream("crm")])
    await database.rows(
        "UPDATE sync_slices SET status = 'pending', cause = 'no_answer', error_message = 'não respondeu',"
        " run_after = now() + interval '1 minute'"
    )
    job = (await api.get(f"/jobs/{job_id}")).json()
    assert (job["mode"], job["phase"]) == ("novidades", "waiting")
    assert job["streams"][0]["next_try_at"] is not None


async def test_jobs_are_listed_from_the_newest_and_synchronisations_are_none(
    api: httpx.AsyncClient, rows: Deliveries, database: Database
) -> None:
    sync = await database.requested("update")
    failed = await rows.execution("crm", "error")
    cancelled = await rows.execution("bi", "error", cause="cancelled")
    running = await rows.execution("crm")
    jobs = (await api.get("/jobs")).json()
    assert [one["id"] for one in jobs["jobs"]] == [running, cancelled, failed]
    assert [one["id"] for one in (await api.get("/jobs?subject=crm&status=error")).json()["jobs"]] == [failed]
    assert (await api.get("/jobs?kind=intake")).json()["jobs"] == []
    page = (await api.get("/jobs?limit=2")).json()
    assert page["next_cursor"] == str(cancelled)
    rest = (await api.get(f"/jobs?limit=2&cursor={page['next_cursor']}")).json()
    assert ([one["id"] for one in rest["jobs"]], rest["next_cursor"]) == ([failed], None)
    answer = await api.get(f"/jobs/{sync}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")


async def test_a_held_delivery_goes_on_when_it_is_confirmed_and_only_once(
    api: httpx.AsyncClient, rows: Deliveries, database: Database
) -> None:
    job_id = await rows.execution("crm", held=HELD, options={"mode": "diferencas"})
    assert (await api.get(f"/jobs/{job_id}")).json()["held"] == HELD
    confirmed = await api.post(f"/jobs/{job_id}/confirm")
    assert (confirmed.status_code, confirmed.json()["held"]) == (200, None)
    assert (await database.execution(job_id)).options["confirmed"] is True
    again = await api.post(f"/jobs/{job_id}/confirm")
    assert (again.status_code, again.json()["code"]) == (409, "job_not_held")
    assert (await api.post("/jobs/999/confirm")).status_code == 404


async def test_a_delivery_is_cancelled_once_and_a_synchronisation_not_as_one(
    api: httpx.AsyncClient, rows: Deliveries, database: Database
) -> None:
    sync = await database.requested("update")
    job_id = await rows.execution("crm")
    cancelled = (await api.post(f"/jobs/{job_id}/cancel")).json()
    assert (cancelled["status"], cancelled["cause"], cancelled["phase"]) == ("error", "cancelled", "finished")
    assert (await api.post(f"/jobs/{job_id}/cancel")).json()["code"] == "job_ended"
    assert (await api.post(f"/jobs/{sync}/cancel")).status_code == 404
    assert (await database.execution(sync)).status == "running"


async def log_of(database: Database, job_id: int, *events: tuple[str, str]) -> None:
    for event, value in events:
        await database.rows(
            "INSERT INTO execution_log (execution_id, logged_at, level, event, fields) VALUES"
            " (:id, '2024-07-15T04:00:09Z', 'info', :event,"
            " jsonb_build_object('logger', 'x', 'answer', CAST(:value AS text)))",
            id=job_id,
            event=event,
            value=value,
        )


async def test_the_log_is_a_file_named_after_the_route_and_the_moment_in_brasilia(
    open_api: OpenApi, rows: Deliveries, database: Database
) -> None:
    api = await open_api(execution_log_days=0)  # old lines are kept
    await rows.destination("crm-vendas")
    stream = await rows.stream("crm-vendas", "contratacoes")
    whole = await rows.execution("crm-vendas", "success", streams=[stream])
    of_one = await rows.execution("crm-vendas", "success", streams=[stream], options={"streams": ["contratacoes"]})
    await database.rows("UPDATE sync_executions SET started_at = :at", at=datetime(2024, 7, 15, 4, 0, 7, tzinfo=UTC))
    await log_of(database, whole, ("delivery started", "a\nb"), ("batch accepted", "200"))
    answer = await api.get(f"/jobs/{whole}/log?formato=texto")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    name = 'attachment; filename="15_07_2024_01h00_Rota_Crm_Vendas.log"'
    assert answer.headers["Content-Disposition"] == name
    assert answer.text.splitlines() == [
        "15/07/2024 01:00:09 info     delivery started answer=a b",
        "15/07/2024 01:00:09 info     batch accepted answer=200",
    ]
    named = (await api.get(f"/jobs/{of_one}/log?formato=texto")).headers["Content-Disposition"]
    assert named == 'attachment; filename="15_07_2024_01h00_Rota_Contratacoes.log"'
    lines = (await api.get(f"/jobs/{whole}/log?limit=1")).json()
    assert ([one["event"] for one in lines["lines"]], bool(lines["next_cursor"])) == (["delivery started"], True)
    assert (await api.get("/jobs/999/log")).json()["code"] == "unknown_job"
    assert (await api.get("/jobs/999/log?formato=texto")).status_code == 404


async def test_a_viewer_reads_jobs_without_personal_data_and_changes_none(
    open_api: OpenApi, rows: Deliveries, database: Database
) -> None:
    api = await open_api(**PASSWORDS, execution_log_days=0)
    job_id = await rows.execution("crm", held=HELD)
    await log_of(database, job_id, ("record rejected", f"CPF {CPF}"))
    await database.rows("UPDATE sync_executions SET error_message = :said", said=f"recusou {CPF}")
    seen = (await api.get(f"/jobs/{job_id}", auth=VIEWER)).json()
    assert (seen["held"]["samples"], seen["error_message"]) == (None, f"recusou {MASKED}")
    for form in ("json", "texto"):
        shown = (await api.get(f"/jobs/{job_id}/log?formato={form}", auth=VIEWER)).text
        assert CPF not in shown
        assert MASKED in shown
        assert CPF in (await api.get(f"/jobs/{job_id}/log?formato={form}", auth=ADMIN)).text
    assert CPF not in (await api.get("/jobs", auth=VIEWER)).text
    for change in ("cancel", "confirm"):
        assert (await api.post(f"/jobs/{job_id}/{change}", auth=VIEWER)).status_code == 403
