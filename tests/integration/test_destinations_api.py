"""Destinations: state, pause, what is asked for, previews, rejected records, traces."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from backend.services.deliveries import files as files_module
from backend.services.deliveries import rendering
from tests.delivery_rows import Deliveries
from tests.integration.conftest import Database, OpenApi

PASSWORDS = {"admin_password": "the words of the admin", "viewer_password": "the words of a viewer"}
ADMIN, VIEWER = ("admin", PASSWORDS["admin_password"]), ("viewer", PASSWORDS["viewer_password"])
CRM = """
kind: http
url: https://crm.example.org/api
start: all
after: update
schedule: "0 1 * * *"
streams:
  - entity: contratacoes
    path: /contratacoes
    batch: {records: 100, wrap: array}
    fields:
      numero: numero_controle_pncp
      objeto: objeto_compra
      versao: {meta: version}
"""
BI = """
kind: http
url: ${env:BI_URL_OF_A_TEST}
start: now
streams:
  - entity: contratacoes
    path: /c
    fields: {numero: numero_controle_pncp}
  - entity: contratos
    path: /k
    fields: {numero: numero_controle_pncp}
"""


@pytest.fixture
def rows(database: Database) -> Deliveries:
    return Deliveries(database.engine)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two destinations; every request looks at the files."""
    monkeypatch.setattr(files_module, "LOOK_SECONDS", 0.0)
    (tmp_path / "destinations").mkdir()
    (tmp_path / "destinations" / "crm.yaml").write_text(CRM)
    (tmp_path / "destinations" / "bi.yaml").write_text(BI)
    return tmp_path


@pytest.fixture
async def here(open_api: OpenApi, folder: Path) -> httpx.AsyncClient:
    return await open_api(connections_dir=folder)


async def keys_of(database: Database, how_many: int) -> list[str]:
    found = await database.rows(
        "SELECT numero_controle_pncp FROM contratacoes ORDER BY updated_at DESC, 1 LIMIT :n", n=how_many
    )
    return [row[0] for row in found]


# --- what they are, and how they are ------------------------------------------------------------------------------


async def test_without_a_folder_there_is_no_destination_and_the_answer_says_what_to_set(api: httpx.AsyncClient) -> None:
    found = (await api.get("/destinations")).json()
    assert found["destinations"] == []
    assert "CONNECTIONS_DIR" in found["hint"]


async def test_a_destination_is_known_before_its_first_delivery_and_its_secret_is_not(
    here: httpx.AsyncClient,
) -> None:
    found = (await here.get("/destinations")).json()
    bi, crm = found["destinations"]
    assert (found["hint"], found["workers"], found["faults"]) == (None, 0, [])
    assert (crm["name"], crm["state"], crm["host"], crm["after"]) == ("crm", "ok", "crm.example.org", "update")
    assert (crm["cron"], crm["owed"], crm["rejected"]) == ("0 1 * * *", None, 0)
    assert crm["next_run"].endswith("T01:00:00-03:00")
    assert [one["entity"] for one in crm["streams"]] == ["contratacoes"]
    assert (bi["host"], [one["entity"] for one in bi["streams"]]) == (None, ["contratacoes", "contratos"])
    assert "BI_URL_OF_A_TEST" not in (await here.get("/destinations/bi")).text


async def test_what_is_owed_is_that_of_the_last_delivery(
    here: httpx.AsyncClient, rows: Deliveries, database: Database
) -> None:
    await rows.destination("crm", counted_at="now()", last_success_at="now()")
    stream = await rows.stream("crm")
    await database.rows("UPDATE streams SET owed = 7, oldest_owed_at = '2026-03-01T00:00:00Z'")
    for state, key in enumerate(("a", "b", "c", "d")):
        await rows.record(stream, key, state)
    found = (await here.get("/destinations/crm")).json()
    assert (found["owed"], found["rejected"]) == (7, 1)
    assert found["oldest_owed_at"].startswith("2026-03-01T00:00:00")
    assert found["owed_counted_at"] is not None
    assert found["streams"][0]["full_at"] is not None


@pytest.mark.parametrize(
    ("state", "columns"),
    [
        ("ok", {"retry_at": "now() - interval '1 minute'", "failures": "1"}),
        ("waiting", {"retry_at": "now() + interval '1 minute'", "failures": "3"}),
        ("stopped", {"stopped_at": "now()", "stopped_reason": "'410'"}),
    ],
)
async def test_the_state_of_a_destination_is_one_word(
    here: httpx.AsyncClient, rows: Deliveries, state: str, columns: dict[str, str]
) -> None:
    await rows.destination("crm", **columns)
    assert (await here.get("/destinations/crm")).json()["state"] == state


async def test_a_delivery_under_way_or_held_shows_at_its_destination(here: httpx.AsyncClient, rows: Deliveries) -> None:
    await rows.destination("crm")
    await rows.destination("bi")
    running = await rows.execution("crm")
    held = await rows.execution("bi", held={"reason": "mostly_refused", "owed": 5, "samples": []})
    bi, crm = (await here.get("/destinations")).json()["destinations"]
    assert (crm["state"], crm["job_id"]) == ("running", running)
    assert (bi["state"], bi["job_id"]) == ("held", held)


async def test_a_destination_whose_file_is_gone_is_missing_and_keeps_its_streams(
    here: httpx.AsyncClient, rows: Deliveries, folder: Path
) -> None:
    await rows.destination("crm", missing_since="now()")
    await rows.stream("crm")
    (folder / "destinations" / "crm.yaml").unlink()
    found = (await here.get("/destinations/crm")).json()
    assert (found["state"], found["kind"], found["next_run"]) == ("missing", None, None)
    assert [one["entity"] for one in found["streams"]] == ["contratacoes"]
    answer = await here.post("/contratacoes/sincronizar", json={"destino": "crm"})
    assert (answer.status_code, answer.json()["code"]) == (409, "destination_missing")


async def test_a_file_with_faults_is_reported_with_its_line_and_the_last_good_one_stays(
    here: httpx.AsyncClient, folder: Path
) -> None:
    assert (await here.get("/destinations/crm")).json()["state"] == "ok"
    (folder / "destinations" / "crm.yaml").write_text(CRM.replace("objeto_compra", "objeto_da_compra"))
    found = (await here.get("/destinations/crm")).json()
    assert (found["state"], found["kind"]) == ("invalid", "http")
    assert found["faults"][0]["file"] == "destinations/crm.yaml"
    assert found["faults"][0]["line"] == 13
    assert (await here.post("/contratacoes/sincronizar", json={"destino": "crm"})).status_code == 202
    (folder / "destinations" / "crm.yaml").write_text(CRM)
    assert (await here.get("/destinations/crm")).json()["faults"] == []


async def test_an_unknown_destination_is_answered_with_the_nearest_name(here: httpx.AsyncClient) -> None:
    answer = await here.get("/destinations/crn")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_destination")
    assert "crm" in answer.json()["detail"]
    assert "bi" not in answer.json()["detail"]


# --- pause and resume ---------------------------------------------------------------------------------------------


async def test_a_paused_destination_has_no_next_run_and_takes_no_delivery_until_it_is_resumed(
    here: httpx.AsyncClient,
) -> None:
    paused = await here.post("/destinations/crm/pause", json={"reason": "manutenção"})
    assert (paused.json()["state"], paused.json()["next_run"]) == ("paused", None)
    assert paused.json()["pause_reason"] == "manutenção"
    assert (await here.post("/destinations/crm/pause", json={"reason": "outra"})).json()["code"] == "destination_paused"
    refused = await here.post("/contratacoes/sincronizar", json={"destino": "crm"})
    assert (refused.status_code, refused.json()["code"]) == (409, "destination_paused")
    assert (await here.post("/destinations/crm/resume")).json()["state"] == "ok"
    assert (await here.post("/destinations/crm/resume")).json()["code"] == "destination_not_paused"
    assert (await here.post("/destinations/crm/test")).status_code == 202


async def test_resuming_lets_a_destination_that_wanted_no_more_receive_again(
    here: httpx.AsyncClient, rows: Deliveries
) -> None:
    await rows.destination("crm", stopped_at="now()", stopped_reason="'410'", retry_at="now() + interval '1 hour'")
    assert (await here.post("/destinations/crm/test")).json()["code"] == "destination_stopped"
    resumed = (await here.post("/destinations/crm/resume")).json()
    assert (resumed["state"], resumed["stopped_at"], resumed["retry_at"]) == ("ok", None, None)


# --- what is asked for --------------------------------------------------------------------------------------------


async def test_a_delivery_of_an_entity_is_recorded_as_it_is_asked_for(
    here: httpx.AsyncClient, database: Database
) -> None:
    body = {"destino": "crm", "modo": "tudo", "chaves": ["b", "a", "b"]}
    answer = await here.post("/contratacoes/sincronizar", json=body)
    assert (answer.status_code, answer.json()["success"]) == (202, True)
    job_id = int(answer.json()["request_id"])
    assert answer.headers["Location"] == f"/jobs/{job_id}"
    asked = await database.execution(job_id)
    assert (asked.kind, asked.resource, asked.mode, asked.trigger) == ("delivery", "crm", "backfill", "api")
    assert asked.options == {"mode": "tudo", "streams": ["contratacoes"], "keys": ["a", "b"]}
    job = (await here.get(f"/jobs/{job_id}")).json()
    assert (job["mode"], job["phase"], job["streams"]) == ("tudo", "queued", [])


async def test_a_destination_has_one_delivery_at_a_time_and_the_refusal_says_which(here: httpx.AsyncClient) -> None:
    first = (await here.post("/contratacoes/sincronizar", json={"destino": "crm"})).json()["request_id"]
    refused = await here.post("/destinations/crm/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "delivery_running")
    assert refused.headers["Location"] == f"/jobs/{first}"
    assert first in refused.json()["detail"]
    assert (await here.post("/contratacoes/sincronizar", json={"destino": "bi"})).status_code == 202


async def test_the_same_key_is_the_same_delivery_and_another_request_under_it_is_refused(
    here: httpx.AsyncClient, database: Database
) -> None:
    headers = {"Idempotency-Key": "k"}
    asked = [here.post("/contratacoes/sincronizar", json={"destino": "crm"}, headers=headers) for _ in range(4)]
    ids = {answer.json()["request_id"] for answer in await asyncio.gather(*asked)}
    assert len(ids) == 1
    other = await here.post("/contratacoes/sincronizar", json={"destino": "bi"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await database.value("SELECT count(*) FROM sync_executions") == 1


async def test_the_destination_may_be_left_out_where_only_one_receives_the_entity(
    here: httpx.AsyncClient, database: Database
) -> None:
    answer = await here.post("/contratos/sincronizar", json={})
    assert (await database.execution(int(answer.json()["request_id"]))).resource == "bi"
    unclear = await here.post("/contratacoes/sincronizar", json={})
    assert unclear.status_code == 422
    assert "bi, crm" in unclear.json()["detail"]
    assert unclear.json()["errors"][0]["field"] == "destino"
    assert "nenhum destino" in (await here.post("/atas/sincronizar", json={})).json()["detail"]
    assert (
        "não recebe contratos" in (await here.post("/contratos/sincronizar", json={"destino": "crm"})).json()["detail"]
    )


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/contratacao/sincronizar", {}, 404),
        ("/sync/sincronizar", {}, 404),
        ("/contratacoes/sincronizar", {"destino": "crn"}, 404),
        ("/contratacoes/sincronizar", {"destino": "crm", "modo": "metade"}, 422),
        ("/contratacoes/sincronizar", {"destino": "crm", "chaves": []}, 422),
        ("/contratacoes/sincronizar", {"destino": "crm", "chaves": ["x"] * 1001}, 422),
        ("/contratacoes/sincronizar", {"destino": "crm", "outro": 1}, 422),
        ("/contratacoes/sincronizar", {"destino": "crm", "chaves": ["x" * 200] * 2000}, 413),
        ("/destinations/crm/rejeitados/repetir", {}, 409),
        ("/destinations/crm/preview?x", {}, 200),
    ],
)
async def test_what_cannot_be_delivered_is_refused(
    here: httpx.AsyncClient, path: str, body: dict[str, object], status: int, database: Database
) -> None:
    assert (await here.post(path, json=body)).status_code == status
    assert await database.value("SELECT count(*) FROM sync_executions") == 0


async def test_a_thousand_keys_fit_into_a_request(here: httpx.AsyncClient, database: Database) -> None:
    keys = [f"{n:014}-1-{n:06}/2026" for n in range(1000)]
    assert (await here.post("/contratacoes/sincronizar", json={"destino": "crm", "chaves": keys})).status_code == 202
    assert len((await database.execution(1)).options["keys"]) == 1000


# --- previews, rejected records, traces ---------------------------------------------------------------------------


async def test_a_preview_shows_the_newest_records_as_they_would_be_sent_and_counts_what_is_owed(
    here: httpx.AsyncClient, filled: Database, rows: Deliveries
) -> None:
    total = await filled.value("SELECT count(*) FROM contratacoes")
    first = (await here.post("/destinations/crm/preview")).json()["streams"][0]
    assert first["owed"] == total
    assert len(first["records"]) == min(5, total)
    assert '"numero":' in first["records"][0]["content"]
    await rows.destination("crm")
    stream = await rows.stream("crm")
    (key,) = await keys_of(filled, 1)
    await rows.record(stream, key)
    # the mapping of the row is another one: all that it has sent is owed again
    assert (await here.post("/destinations/crm/preview")).json()["streams"][0]["owed"] == total
    bi = (await here.post("/destinations/bi/preview")).json()["streams"]
    assert [one["owed"] for one in bi] == [0, 0], "it began just now"
    assert await filled.value("SELECT count(*) FROM sync_executions") == 0


async def test_a_preview_that_takes_too_long_says_so(
    here: httpx.AsyncClient, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "LONGEST_MILLISECONDS", 50)
    monkeypatch.setattr(rendering, "difference", lambda *_: ("FROM pg_sleep(60)", []))
    stream = (await here.post("/destinations/crm/preview")).json()["streams"][0]
    assert stream["owed"] is None
    assert stream["records"]


async def test_rejected_records_come_page_by_page_with_what_would_be_sent(
    here: httpx.AsyncClient, filled: Database, rows: Deliveries
) -> None:
    await rows.destination("crm")
    stream = await rows.stream("crm")
    keys = sorted(await keys_of(filled, 3))
    for key in keys:
        await rows.record(stream, key, 3)
    await rows.record(stream, "sent", 1)
    page = (await here.get("/destinations/crm/rejeitados?limite=2")).json()
    assert ([one["key"] for one in page["records"]], page["total"]) == (keys[:2], 3)
    assert page["records"][0]["tries"] == 3
    assert keys[0] in page["records"][0]["content"]
    rest = (await here.get("/destinations/crm/rejeitados", params={"cursor": page["next_cursor"]})).json()
    assert ([one["key"] for one in rest["records"]], rest["next_cursor"]) == (keys[2:], None)
    answer = await here.post("/destinations/crm/rejeitados/repetir", json={"chaves": [keys[0]]})
    asked = await filled.execution(int(answer.json()["request_id"]))
    assert (answer.status_code, asked.options) == (202, {"mode": "rejeitados", "keys": [keys[0]]})


async def test_a_viewer_sees_no_content_and_changes_nothing(
    open_api: OpenApi, folder: Path, filled: Database, rows: Deliveries
) -> None:
    api = await open_api(**PASSWORDS, connections_dir=folder)
    await rows.destination("crm")
    stream = await rows.stream("crm")
    (key,) = await keys_of(filled, 1)
    await rows.record(stream, key, 3, reason="CPF 529.982.247-25 recusado")
    batch = await rows.batch(stream, 1, [key], state="refused", last_status=422, last_answer="o CPF 529.982.247-25")
    await filled.rows("UPDATE deliveries SET batch_id = :batch", batch=batch)
    for path in ("/destinations/crm/rejeitados", f"/deliveries/contratacoes/{key}"):
        seen = await api.get(path, auth=VIEWER)
        assert seen.status_code == 200
        assert "529.982.247-25" not in seen.text
        assert "529.982.247-25" in (await api.get(path, auth=ADMIN)).text
    assert (await api.get("/destinations/crm/rejeitados", auth=VIEWER)).json()["records"][0]["content"] is None
    for path in ("crm/pause", "crm/resume", "crm/test", "crm/preview", "crm/rejeitados/repetir"):
        assert (await api.post(f"/destinations/{path}", json={}, auth=VIEWER)).status_code == 403, path
    assert (await api.post("/contratacoes/sincronizar", json={}, auth=VIEWER)).status_code == 403
    assert (await api.get("/destinations")).status_code == 401


async def test_what_a_viewer_is_told_of_a_page_names_no_cpf(
    open_api: OpenApi, folder: Path, database: Database, rows: Deliveries
) -> None:
    api = await open_api(**PASSWORDS, connections_dir=folder)
    await rows.destination("crm")
    stream = await rows.stream("crm", "fornecedores")
    keys = ["11144477735", "12345678900", "52998224725"]  # the second has wrong check digits
    for key in keys:
        await rows.record(stream, key, 3)
    seen, cursor = [], None
    for _ in keys:
        asked = {"limite": 1, **({} if cursor is None else {"cursor": cursor})}
        answer = await api.get("/destinations/crm/rejeitados", params=asked, auth=VIEWER)
        assert not [key for key in keys if key in answer.text]
        page = answer.json()
        seen += [one["key"] for one in page["records"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == (["***.444.777-**", "***.456.789-**", "***.982.247-**"], None)
    # nor can it be found by asking for what comes behind a key
    guess = await api.get("/destinations/crm/rejeitados", params={"cursor": f"{stream}/2"}, auth=VIEWER)
    assert len(guess.json()["records"]) == 3


VIEW = """
view: {view}
key: numero
version: alterado
columns: {{numero: text, valor: integer}}
"""
OF_VIEW = """
url: https://crm.example.org/api
start: all
streams:
  - entity: do_erp
    fields: {numero: numero, valor: valor}
"""


@pytest.fixture
async def erp(database: Database) -> AsyncIterator[None]:
    await database.rows("CREATE TABLE erp_of_a_test (numero text, valor text, alterado timestamptz)")
    yield
    await database.rows("DROP TABLE erp_of_a_test")


@pytest.mark.parametrize(
    ("view", "value", "said"),
    [("gone_of_a_test", "1", "gone_of_a_test"), ("erp_of_a_test", "muito", "bigint")],
)
async def test_a_preview_of_what_cannot_be_read_says_why(
    here: httpx.AsyncClient,
    folder: Path,
    database: Database,
    rows: Deliveries,
    erp: None,
    view: str,
    value: str,
    said: str,
) -> None:
    (folder / "entities").mkdir()
    (folder / "entities" / "do_erp.yaml").write_text(VIEW.format(view=view))
    (folder / "destinations" / "erp.yaml").write_text(OF_VIEW)
    await database.rows("INSERT INTO erp_of_a_test VALUES ('a', :value, now())", value=value)
    answer = await here.post("/destinations/erp/preview")
    assert (answer.status_code, answer.json()["code"]) == (409, "stream_unreadable")
    assert said in answer.json()["detail"]
    await rows.destination("erp")
    await rows.record(await rows.stream("erp", "do_erp"), "a", 3)
    (rejected,) = (await here.get("/destinations/erp/rejeitados")).json()["records"]
    assert rejected["content"] is None


async def test_rows_of_a_view_without_key_or_version_are_shown_with_the_reason(
    here: httpx.AsyncClient, folder: Path, database: Database, erp: None
) -> None:
    (folder / "entities").mkdir()
    (folder / "entities" / "do_erp.yaml").write_text(VIEW.format(view="erp_of_a_test"))
    (folder / "destinations" / "erp.yaml").write_text(OF_VIEW)
    await database.rows("INSERT INTO erp_of_a_test VALUES ('a', '1', now()), ('b', '2', NULL), (NULL, '3', now())")
    (stream,) = (await here.post("/destinations/erp/preview")).json()["streams"]
    shown = {one["key"]: one["reason"] for one in stream["records"]}
    assert set(shown) == {"a", "b", None}
    assert shown["a"] is None
    assert "falta a chave" in shown["b"] == shown[None]


async def test_a_preview_of_a_destination_whose_file_has_faults_says_so(here: httpx.AsyncClient, folder: Path) -> None:
    (folder / "destinations" / "novo.yaml").write_text("url: 5\n")
    answer = await here.post("/destinations/novo/preview")
    assert (answer.status_code, answer.json()["code"]) == (409, "destination_invalid")
    assert (await here.post("/destinations/nada/preview")).status_code == 404


async def test_the_trace_of_a_record_says_where_it_went_and_what_was_answered(
    here: httpx.AsyncClient, database: Database, rows: Deliveries
) -> None:
    key = "00394460005887-1-000123/2026"
    for name, state in (("bi", 1), ("crm", 3)):
        await rows.destination(name)
        stream = await rows.stream(name)
        job_id = await rows.execution(name, "success")
        old = await rows.batch(stream, job_id, ["x", key], state="split", last_status=400, last_error="recusado")
        new = await rows.batch(stream, job_id, [key])
        await rows.batch(stream, job_id, ["other"])
        await rows.record(stream, key, state, batch_id=new)
    trace = (await here.get(f"/deliveries/contratacoes/{key}")).json()
    assert (trace["entity"], trace["key"]) == ("contratacoes", key)
    assert [(one["destination"], one["state"]) for one in trace["streams"]] == [("bi", "enviado"), ("crm", "rejeitado")]
    crm = trace["streams"][1]
    assert [one["batch"] for one in crm["requests"]] == [new, old]
    assert (crm["requests"][1]["status"], crm["requests"][1]["error"]) == (400, "recusado")
    assert (crm["tries"], crm["reason"]) == (3, "valor sem correspondência: X")
    assert (await here.get("/deliveries/contratacoes/nada")).json()["streams"] == []
    assert (await here.get("/deliveries/nada/x")).json()["code"] == "unknown_entity"


@pytest.mark.parametrize(
    "path",
    [
        "/destinations/%00",
        "/destinations/%ED%A0%80",
        "/destinations/crm/rejeitados?cursor=1/%00",
        "/destinations/crm/rejeitados?cursor=99999999999/a",
        "/destinations/crm/rejeitados?cursor=nada",
        "/deliveries/contratacoes/%00",
        "/deliveries/%00/a",
        "/jobs?subject=%00",
    ],
)
async def test_texts_that_no_database_holds_are_no_errors_of_the_server(here: httpx.AsyncClient, path: str) -> None:
    assert (await here.get(path)).status_code in {200, 404, 422}


@pytest.mark.parametrize("key", ["\x00", "\ud800"])
async def test_keys_that_no_database_holds_are_refused(here: httpx.AsyncClient, key: str) -> None:
    body = json.dumps({"destino": "crm", "chaves": [key]})
    headers = {"Content-Type": "application/json"}
    for path in ("/contratacoes/sincronizar", "/destinations/crm/rejeitados/repetir"):
        assert (await here.post(path, content=body, headers=headers)).status_code == 422
