"""Export jobs: what they are told to make, how they go, how they end, and whose they are."""

import csv
import io
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.services.exports import running
from tests.integration.conftest import Database, OpenApi, Proxy
from tests.support import eventually

ROWS = 2_500
CPF = "12345678909"
PASSWORDS = {f"{role}_password": f"{role}-and-its-long-words" for role in ("admin", "viewer")}
ADMIN, VIEWER = (httpx.BasicAuth(role, f"{role}-and-its-long-words") for role in ("admin", "viewer"))
UNDER_WAY = ("na_fila", "lendo", "convertendo")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are looked for, and tell how they go, ten times as often."""
    for name in ("POLL_SECONDS", "BEAT_SECONDS"):
        monkeypatch.setattr(running, name, 0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture
async def client(open_api: OpenApi, folder: Path) -> httpx.AsyncClient:
    return await open_api(export_dir=folder)


async def fill(database: Database, rows: int = ROWS) -> None:
    """Suppliers, the first of them a natural person."""
    await database.rows(
        """
        INSERT INTO fornecedores (tipo_pessoa, ni, nome, payload, as_of)
        SELECT CASE n WHEN 1 THEN 'PF' ELSE 'PJ' END, CASE n WHEN 1 THEN :cpf ELSE lpad(n::text, 14, '0') END,
               'Nome; "' || n || '"', '{}', '2026-01-01'
          FROM generate_series(1, :rows) AS n
        """,
        cpf=CPF,
        rows=rows,
    )


async def ask(client: httpx.AsyncClient, status: int = 202, **body: Any) -> dict[str, Any]:
    auth = body.pop("auth", None)
    body = {"entidade": "fornecedores", "formato": "csv", **body}
    answer = await client.post("/exportacoes", json=body, **({"auth": auth} if auth else {}))
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    if status == 202:
        assert answer.headers["Location"] == f"/exportacoes/{told['id']}"
    return told


async def ended(client: httpx.AsyncClient, job_id: int, **options: Any) -> dict[str, Any]:
    """What is told of a job, once it has ended."""
    told: dict[str, Any] = {}

    async def has_ended() -> bool:
        nonlocal told
        told = (await client.get(f"/exportacoes/{job_id}", **options)).json()
        return told["estado"] not in UNDER_WAY

    await eventually(has_ended, seconds=30)
    return told


async def queued(database: Database, **over: Any) -> int:
    """A job that waits for a backend, as one that another one was asked for a while ago."""
    request = {
        "entidade": "fornecedores",
        "formato": "csv",
        "filtros": {},
        "campos": None,
        "ordem": None,
        "excel": False,
        "dados_pessoais": False,
    }
    job_id: int = await database.value(
        """
        INSERT INTO exportacoes (request, folder, rows_total, rows_total_kind, mirror, created_at)
        VALUES (CAST(:request AS jsonb), 'another', 0, 'exato', '{}', now() - interval '1 minute') RETURNING id
        """,
        request=json.dumps(request | over),
    )
    return job_id


@asynccontextmanager
async def held(database: Database, table: str = "fornecedores") -> AsyncIterator[None]:
    """While rows cannot be read: a job that begins stays where it reads them."""
    async with database.engine.begin() as db:
        await db.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


async def is_reading(database: Database, job_id: int) -> bool:
    return bool(await database.value("SELECT status = 'lendo' FROM exportacoes WHERE id = :id", id=job_id))


def files_in(folder: Path) -> list[str]:
    # a folder that goes meanwhile is no error of this
    return sorted(name for _, _, names in os.walk(folder) for name in names if not name.startswith("."))


def folders_in(folder: Path) -> list[Path]:
    return list(folder.glob("exportacao-*"))


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


# --- a job from its request to its file -------------------------------------------------------------------------


async def test_a_job_makes_the_file_that_was_asked_for(
    client: httpx.AsyncClient, database: Database, folder: Path
) -> None:
    await fill(database)
    asked = await ask(client, campos=["ni", "nome"], filtros={"tipo_pessoa": "PJ"}, ordem="chave:desc")

    assert (asked["registros"], asked["registros_tipo"]) == (ROWS - 1, "exato")
    assert asked["espelho"]["completo"] is False
    told = await ended(client, asked["id"])
    assert (told["estado"], told["percentual"], told["registros_feitos"]) == ("pronta", 100, ROWS - 1)
    assert re.fullmatch(r"fornecedores-\d{4}-\d{2}-\d{2}\.csv", told["arquivo"])
    answer = await client.get(f"/exportacoes/{told['id']}/arquivo")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{told["arquivo"]}"'
    assert len(answer.content) == told["bytes"]
    rows = rows_of(answer.content)
    assert list(rows[0]) == ["ni", "nome"]
    assert [rows[0]["ni"], rows[-1]["ni"]] == [f"{ROWS:014}", "00000000000002"]
    assert rows[0]["nome"] == f'Nome; "{ROWS}"'
    assert files_in(folder) == [told["arquivo"]]


async def test_rows_are_converted_in_a_second_step(client: httpx.AsyncClient, database: Database, folder: Path) -> None:
    await fill(database, 12_000)
    for body in ({"formato": "ndjson"}, {"excel": True}):
        told = await ended(client, (await ask(client, **body, campos=["ni", "nome"]))["id"])
        assert (told["estado"], told["registros"], told["percentual"]) == ("pronta", 12_000, 100), told
        content = (await client.get(f"/exportacoes/{told['id']}/arquivo")).content
        assert content.count(b"\n") == 12_000 + ("excel" in body)
        assert f"{12_000:014}".encode() in content
    assert len(files_in(folder)) == 2  # the copied rows are gone


async def test_the_limit_of_a_format_is_told_beforehand(client: httpx.AsyncClient, database: Database) -> None:
    await fill(database, 5_001)
    told = await ask(client, formato="pdf")
    assert told["avisos"] == ["pdf: só os primeiros 5.000 registros; outro formato tem todos."]
    await client.delete(f"/exportacoes/{told['id']}")
    assert (await ask(client))["avisos"] == []


async def test_a_part_of_a_file_is_served_by_its_range_and_its_tag(
    client: httpx.AsyncClient, database: Database
) -> None:
    await fill(database, 50)
    job_id = (await ask(client))["id"]
    await ended(client, job_id)
    url = f"/exportacoes/{job_id}/arquivo"
    whole = await client.get(url)
    tag, size = whole.headers["ETag"], len(whole.content)

    part = await client.get(url, headers={"Range": "bytes=10-", "If-Range": tag})
    assert (part.status_code, part.content) == (206, whole.content[10:])
    assert part.headers["Content-Range"] == f"bytes 10-{size - 1}/{size}"
    assert (await client.get(url, headers={"Range": "bytes=-5"})).content == whole.content[-5:]
    assert (await client.get(url, headers={"Range": "bytes=10-", "If-Range": '"other"'})).status_code == 200
    assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 304
    beyond = await client.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert beyond.headers["Content-Type"] == "application/problem+json"
    for ignored in ("lines=1-2", "bytes=1-2,4-5", "bytes=-", "bytes=x-"):
        answer = await client.get(url, headers={"Range": ignored})
        assert (answer.status_code, answer.content) == (200, whole.content), ignored


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"entidade": "contrato"}, "'contrato' não existe: use contratacoes ou contratos"),
        ({"formato": "doc"}, "'doc' não existe: use csv"),
        ({"filtros": {"tipo_pessoas": "PJ"}}, "o mais próximo é tipo_pessoa"),
        ({"filtros": {"campos": "ni"}}, "fica ao lado de filtros"),
        ({"filtros": {"limite": 5}}, "não é um parâmetro de /fornecedores"),
        ({"filtros": {"visto_desde": "ontem"}}, "visto_desde deve ser um dia"),
        ({"filtros": {"tipo_pessoa": []}}, "de 1 a 200 valores"),
        ({"filtros": {"tipo_pessoa": None}}, "um valor é um texto"),
        ({"filtros": {"tipo_pessoa": "\ud800"}}, "não é aceito"),
        ({"filtros": {"tipo_pessoa": "\0"}}, "não é aceito"),
        ({"campos": ["nomes"]}, "o mais próximo é nome"),
        ({"campos": ["payload"]}, "payload, que pode ter CPFs"),
        ({"ordem": "valor"}, "ordem deve ser chave"),
        ({"limite": 3}, "limite não é um campo conhecido"),
        ({"excel": True, "formato": "xlsx"}, "excel: só vale para o formato csv"),
    ],
)
async def test_what_the_list_would_refuse_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], said: str
) -> None:
    content = json.dumps({"entidade": "fornecedores", "formato": "csv", **body})
    answer = await client.post("/exportacoes", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


async def test_a_key_makes_one_job_of_a_request_that_is_repeated(client: httpx.AsyncClient, database: Database) -> None:
    body = {"entidade": "fornecedores", "formato": "csv"}
    key = {"Idempotency-Key": "once"}
    first, second = [(await client.post("/exportacoes", json=body, headers=key)).json() for _ in range(2)]
    assert first["id"] == second["id"]
    other = await client.post("/exportacoes", json={**body, "campos": ["ni"]}, headers=key)
    assert (other.status_code, "Idempotency-Key" in other.json()["detail"]) == (422, True)
    assert await database.value("SELECT count(*) FROM exportacoes") == 1


# --- how a job ends otherwise -----------------------------------------------------------------------------------


async def test_a_job_that_is_cancelled_stops_reading_and_leaves_nothing(
    client: httpx.AsyncClient, database: Database, folder: Path
) -> None:
    await fill(database)
    job_id = await queued(database)
    copying = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"
    async with held(database):
        await eventually(lambda: is_reading(database, job_id))

        async def copies() -> bool:
            return bool(await database.value(copying) == 1)

        await eventually(copies)
        assert (await client.get(f"/exportacoes/{job_id}/arquivo")).status_code == 409
        answers = [await client.delete(f"/exportacoes/{job_id}") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [204, 404]
        assert (await client.get(f"/exportacoes/{job_id}")).json()["detail"] == "A exportação 1 foi cancelada."

        async def copies_no_more() -> bool:
            return bool(await database.value(copying) == 0)

        await eventually(copies_no_more)
        await eventually(lambda: not folders_in(folder))
    assert await database.value("SELECT status FROM exportacoes") == "cancelada"
    assert (await client.get(f"/exportacoes/{job_id}/arquivo")).status_code == 404


async def test_a_deleted_file_is_gone_at_once_and_so_is_its_job(
    client: httpx.AsyncClient, database: Database, folder: Path
) -> None:
    job_id = (await ask(client))["id"]
    await ended(client, job_id)
    assert (await client.delete(f"/exportacoes/{job_id}")).status_code == 204
    assert files_in(folder) == []
    assert (await client.get(f"/exportacoes/{job_id}")).json()["detail"] == "A exportação 1 foi apagada."
    assert (await client.get("/exportacoes")).json()["exportacoes"] == []
    assert (await client.get(f"/exportacoes/{job_id}/arquivo")).status_code == 404
    assert (await client.delete("/exportacoes/999")).status_code == 404


async def test_files_expire_and_rows_are_forgotten_later(
    client: httpx.AsyncClient, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "TIDY_SECONDS", 0)
    job_id = (await ask(client))["id"]
    told = await ended(client, job_id)
    assert told["expira_em"] > told["terminada_em"]
    await database.rows("UPDATE exportacoes SET expires_at = now() - interval '1 second'")
    assert (await ended_as(client, job_id, "expirada"))["arquivo"]
    await eventually(lambda: files_in(folder) == [])

    await database.rows("UPDATE exportacoes SET finished_at = now() - interval '31 days'")

    async def is_forgotten() -> bool:
        return (await client.get(f"/exportacoes/{job_id}")).status_code == 404

    await eventually(is_forgotten)


async def ended_as(client: httpx.AsyncClient, job_id: int, state: str) -> dict[str, Any]:
    told: dict[str, Any] = {}

    async def has_come() -> bool:
        nonlocal told
        told = (await client.get(f"/exportacoes/{job_id}")).json()
        return told["estado"] == state

    await eventually(has_come)
    return told


async def test_a_job_whose_backend_has_died_is_begun_anew_and_given_up_after_three_times(
    client: httpx.AsyncClient, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the row of a killed process looks: a lease that nothing extends."""
    monkeypatch.setattr(running, "TIDY_SECONDS", 0)
    await fill(database, 10)
    died = "UPDATE exportacoes SET status = 'lendo', attempt = :attempt, lease_until = now() - interval '1 second'"
    (folder / "exportacao-1-1").mkdir()
    job_id = await queued(database)
    await database.rows(died, attempt=1)
    assert (await ended(client, job_id))["estado"] == "pronta"
    await eventually(lambda: not (folder / "exportacao-1-1").exists())

    job_id = await queued(database)
    await database.rows(f"{died} WHERE id = :id", attempt=3, id=job_id)
    told = await ended(client, job_id)
    assert (told["estado"], told["causa"]) == ("erro", "interrompida")
    assert "3 vezes" in told["erro"]
    assert (await client.get(f"/exportacoes/{job_id}/arquivo")).status_code == 404


async def test_a_database_that_falls_amid_a_job_delays_it(
    open_api: OpenApi, database: Database, database_proxy: tuple[Proxy, str], folder: Path
) -> None:
    proxy, url = database_proxy
    await fill(database, 10)
    client = await open_api(database_url=url, export_dir=folder)
    job_id = await queued(database)
    async with held(database):
        await eventually(lambda: is_reading(database, job_id))
        await proxy.cut()
    await proxy.mend()
    await database.rows("UPDATE exportacoes SET lease_until = now()")  # it would end by itself in 15 seconds
    told = await ended(client, job_id)
    assert (told["estado"], told["registros"]) == ("pronta", 10)
    assert files_in(folder) == [told["arquivo"]]


async def test_a_backend_that_stops_puts_its_jobs_back(
    open_api: OpenApi, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.config import BackendSettings  # noqa: PLC0415
    from backend.main import create_app  # noqa: PLC0415

    await fill(database, 10)
    url = database.engine.url.render_as_string(hide_password=False)
    app = create_app(BackendSettings(database_url=url, rabbitmq_url=None, export_dir=folder))
    job_id = await queued(database)
    async with held(database):
        async with app.router.lifespan_context(app):
            await eventually(lambda: is_reading(database, job_id))
        assert await database.value("SELECT status FROM exportacoes") == "na_fila"
        assert folders_in(folder) == []
    client = await open_api(export_dir=folder)
    assert (await ended(client, job_id))["estado"] == "pronta"


async def test_a_request_that_this_version_does_not_know_ends_in_words(
    client: httpx.AsyncClient, database: Database
) -> None:
    job_id = await queued(database, filtros={"nome_antigo": ["x"]})
    told = await ended(client, job_id)
    assert (told["estado"], told["causa"]) == ("erro", "pedido")


# --- limits -----------------------------------------------------------------------------------------------------


async def test_files_that_would_take_more_than_is_allowed_end_the_job(
    open_api: OpenApi, database: Database, folder: Path
) -> None:
    await fill(database, 20_000)
    client = await open_api(export_dir=folder, export_max_bytes=1_000_000)
    told = await ended(client, (await ask(client))["id"])
    assert (told["estado"], told["causa"]) == ("erro", "limite")
    await eventually(lambda: files_in(folder) == [])

    told = await ended(client, (await ask(client, campos=["ni"]))["id"])
    assert told["estado"] == "pronta"
    await database.rows("UPDATE exportacoes SET bytes = 1000000 WHERE status = 'pronta'")
    refused = await ask(client, 409)
    assert "EXPORT_MAX_BYTES" in refused["detail"]
    await client.delete(f"/exportacoes/{told['id']}")
    await ask(client)


async def test_a_user_has_only_so_many_jobs_under_way(open_api: OpenApi, database: Database, folder: Path) -> None:
    client = await open_api(export_dir=folder, export_per_user=1, export_concurrency=1, **PASSWORDS)
    await fill(database, 10)
    await queued(database)
    async with held(database):
        await eventually(lambda: is_reading(database, 1))  # the only one at once
        own = await ask(client, entidade="orgaos", auth=VIEWER)
        refused = await ask(client, 429, entidade="orgaos", auth=VIEWER)
        assert "1 exportações suas" in refused["detail"]
        await ask(client, entidade="orgaos", auth=ADMIN)
        assert (await client.get(f"/exportacoes/{own['id']}", auth=VIEWER)).json()["estado"] == "na_fila"
        assert (await client.delete(f"/exportacoes/{own['id']}", auth=VIEWER)).status_code == 204
        await ask(client, entidade="orgaos", auth=VIEWER)


# --- whose jobs -------------------------------------------------------------------------------------------------


async def test_a_viewer_sees_own_jobs_alone_and_no_cpf(open_api: OpenApi, database: Database, folder: Path) -> None:
    client = await open_api(export_dir=folder, **PASSWORDS)
    await fill(database, 3)
    assert (await client.post("/exportacoes", json={})).status_code == 401
    of_viewer = (await ask(client, auth=VIEWER))["id"]
    of_admin = (await ask(client, auth=ADMIN, dados_pessoais=True))["id"]
    refused = await ask(client, 422, auth=VIEWER, dados_pessoais=True)
    assert "só vale para administradores" in refused["detail"]
    await ended(client, of_viewer, auth=VIEWER)
    await ended(client, of_admin, auth=ADMIN)

    async def listed(auth: httpx.BasicAuth) -> list[int]:
        return [each["id"] for each in (await client.get("/exportacoes", auth=auth)).json()["exportacoes"]]

    assert await listed(VIEWER) == [of_viewer]
    assert await listed(ADMIN) == [of_admin, of_viewer]
    for path in (f"/exportacoes/{of_admin}", f"/exportacoes/{of_admin}/arquivo"):
        assert (await client.get(path, auth=VIEWER)).status_code == 404
    assert (await client.delete(f"/exportacoes/{of_admin}", auth=VIEWER)).status_code == 404

    masked = (await client.get(f"/exportacoes/{of_viewer}/arquivo", auth=VIEWER)).text
    assert CPF not in masked
    assert "***.456.789-**" in masked
    assert CPF in (await client.get(f"/exportacoes/{of_admin}/arquivo", auth=ADMIN)).text
    assert (await client.get(f"/exportacoes/{of_viewer}/arquivo", auth=ADMIN)).text == masked
    # whoever it was made for: a job that shows CPFs is an administrator's
    await database.rows("UPDATE exportacoes SET requested_by = 'viewer' WHERE id = :id", id=of_admin)
    assert (await client.get(f"/exportacoes/{of_admin}/arquivo", auth=VIEWER)).status_code == 404


async def test_pages_of_jobs_follow_each_other(client: httpx.AsyncClient, database: Database) -> None:
    ids = [(await ask(client))["id"] for _ in range(3)]
    first = (await client.get("/exportacoes?limite=2")).json()
    assert [each["id"] for each in first["exportacoes"]] == ids[:0:-1]
    second = (await client.get(f"/exportacoes?limite=2&cursor={first['proximo']}")).json()
    assert ([each["id"] for each in second["exportacoes"]], second["proximo"]) == (ids[:1], None)


# --- several backends -------------------------------------------------------------------------------------------


async def test_a_file_in_another_backend_s_folder_is_said_to_be_there(
    open_api: OpenApi, database: Database, tmp_path: Path
) -> None:
    first = await open_api(export_dir=tmp_path / "a")
    second = await open_api(export_dir=tmp_path / "b")
    same = await open_api(export_dir=tmp_path / "a")
    job_id = (await ask(first))["id"]
    await ended(second, job_id)
    answer = await second.get(f"/exportacoes/{job_id}/arquivo")
    assert (answer.status_code, "EXPORT_DIR" in answer.json()["detail"]) == (409, True)
    assert (await same.get(f"/exportacoes/{job_id}/arquivo")).content == (
        await first.get(f"/exportacoes/{job_id}/arquivo")
    ).content


async def test_metrics_count_exports(client: httpx.AsyncClient, database: Database) -> None:
    await fill(database, 7)
    told = await ended(client, (await ask(client))["id"])

    async def counted() -> bool:
        return 'pncp_exports_total{format="csv",outcome="pronta"} 1.0' in (await client.get("/metrics")).text

    await eventually(counted)
    metrics = (await client.get("/metrics")).text
    assert "pncp_export_rows_total 7.0" in metrics
    assert f"pncp_export_bytes_total {float(told['bytes'])}" in metrics


async def test_an_address_names_all_its_methods(client: httpx.AsyncClient) -> None:
    answer = await client.put("/exportacoes")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert (await client.put("/exportacoes/1")).headers["Allow"] == "DELETE, GET"
