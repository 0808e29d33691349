"""Files of whole years: made where rows have changed, by one backend, and served."""

import gzip
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.services.exports import yearly
from tests.integration.conftest import Database, OpenApi
from tests.support import eventually

CPF = "12345678909"
FORMATS = "csv.gz,ndjson.gz"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yearly, "LOOK_SECONDS", 0.1)


async def add(database: Database, key: str, year: int, *, nome: str = "Nome") -> None:
    moment = datetime(year, 5, 1)
    await database.rows(
        """
        INSERT INTO contratos (numero_controle_pncp, data_publicacao_pncp, data_atualizacao, data_atualizacao_global,
                               tipo_pessoa, ni_fornecedor, nome_razao_social_fornecedor, payload)
        VALUES (:key, :moment, :moment, :moment, 'PF', :cpf, :nome, '{}')
        ON CONFLICT (numero_controle_pncp)
        DO UPDATE SET nome_razao_social_fornecedor = excluded.nome_razao_social_fornecedor
        """,
        key=key,
        moment=moment,
        cpf=CPF,
        nome=nome,
    )


async def made(client: httpx.AsyncClient, *, asked: bool = True) -> dict[str, Any]:
    """What is told of the files, once a round has ended that is asked for now."""
    if asked:
        assert (await client.post("/arquivos")).status_code == 202
    told: dict[str, Any] = {}

    async def has_ended() -> bool:
        nonlocal told
        told = (await client.get("/arquivos")).json()
        return told["geracao"] is not None and told["geracao"]["terminada_em"] is not None

    await eventually(has_ended, seconds=30)
    return told


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def names_of(told: dict[str, Any]) -> list[str]:
    return [each["nome"] for each in told["arquivos"]]


async def test_a_file_is_made_of_each_year_and_only_anew_where_it_changed(
    open_api: OpenApi, database: Database, tmp_path: Path
) -> None:
    settings = {"files_dir": tmp_path, "files_entities": "contratos", "files_formats": FORMATS}
    client = await open_api(**settings, public_url="https://pncp.example.org")
    for key, year in (("a", 2024), ("b", 2024), ("c", 2026)):
        await add(database, key, year)
    told = await made(client)
    expected = [f"contratos-{year}.{each}" for year in (2024, 2026) for each in FORMATS.split(",")]
    assert names_of(told) == expected
    assert (told["geracao"]["arquivos_feitos"], told["geracao"]["erro"]) == (4, None)
    assert [each["registros"] for each in told["arquivos"]] == [2, 2, 1, 1]
    assert told["arquivos"][0]["espelho"]["completo"] is False
    assert files_in(tmp_path) == expected

    answer = await client.get("/arquivos/contratos-2024.ndjson.gz")
    rows = [json.loads(line) for line in gzip.decompress(answer.content).splitlines()]
    assert {row["numero_controle_pncp"] for row in rows} == {"a", "b"}
    assert {row["ni_fornecedor"] for row in rows} == {"***.456.789-**"}
    assert hashlib.sha256(answer.content).hexdigest() == told["arquivos"][1]["sha256"]
    tag = answer.headers["ETag"]
    part = await client.get("/arquivos/contratos-2024.ndjson.gz", headers={"Range": "bytes=2-9", "If-Range": tag})
    assert (part.status_code, part.content) == (206, answer.content[2:10])
    data = told["dataset"]
    assert (data["@type"], data["temporalCoverage"]) == ("Dataset", "2024/2026")
    assert data["distribution"][0]["contentUrl"] == "https://pncp.example.org/arquivos/contratos-2024.csv.gz"

    await add(database, "c", 2026, nome="Outro")
    again = await made(client)
    assert (again["geracao"]["arquivos_feitos"], again["geracao"]["arquivos_iguais"]) == (2, 2)
    changed = [
        new["nome"]
        for old, new in zip(told["arquivos"], again["arquivos"], strict=True)
        if old["sha256"] != new["sha256"]
    ]
    assert changed == expected[2:]
    assert again["arquivos"][0]["feito_em"] == told["arquivos"][0]["feito_em"]
    assert again["arquivos"][0]["verificado_em"] > told["arquivos"][0]["verificado_em"]

    (tmp_path / expected[0]).unlink()  # as a person might
    assert (await client.get(f"/arquivos/{expected[0]}")).status_code == 404
    assert (await made(client))["geracao"]["arquivos_feitos"] == 1
    assert (await client.get(f"/arquivos/{expected[0]}")).status_code == 200


async def test_what_has_no_years_is_one_file(open_api: OpenApi, database: Database, tmp_path: Path) -> None:
    client = await open_api(files_dir=tmp_path, files_entities="orgaos,atas", files_formats="csv.gz")
    await database.rows("INSERT INTO orgaos (cnpj, payload, as_of) VALUES ('1', '{}', now())")
    assert names_of(await made(client)) == ["orgaos.csv.gz"]


async def test_a_cron_that_is_due_begins_a_round_once(open_api: OpenApi, database: Database, tmp_path: Path) -> None:
    await add(database, "a", 2026)
    await database.rows(
        "INSERT INTO arquivos_geracoes (created_at, finished_at) VALUES (now() - interval '2 days', now())"
    )
    settings = {
        "files_dir": tmp_path,
        "files_cron": "30 3 * * *",
        "files_entities": "contratos",
        "files_formats": "csv.gz",
    }
    clients = [await open_api(**settings) for _ in range(2)]

    async def is_made() -> bool:
        return bool(await database.value("SELECT count(*) FROM arquivos_geracoes WHERE finished_at > created_at") == 2)

    await eventually(is_made)
    told = [(await client.get("/arquivos")).json() for client in clients]
    assert [each["geracao"]["id"] for each in told] == [2, 2]
    assert told[0]["proxima"] is not None
    for client in clients:  # one folder, so that either has the file
        assert (await client.get("/arquivos/contratos-2026.csv.gz")).status_code == 200


async def test_a_round_that_its_backend_did_not_end_is_taken_up(
    open_api: OpenApi, database: Database, tmp_path: Path
) -> None:
    await add(database, "a", 2024)
    await database.rows("INSERT INTO arquivos_geracoes (started_at) VALUES (now())")
    (tmp_path / f"{yearly.WORK}1").mkdir()
    client = await open_api(files_dir=tmp_path, files_entities="contratos", files_formats="csv.gz")
    told = await made(client, asked=False)
    assert (told["geracao"]["id"], names_of(told)) == (1, ["contratos-2024.csv.gz"])
    assert not (tmp_path / f"{yearly.WORK}1").exists()


async def test_a_round_that_cannot_write_says_why(open_api: OpenApi, database: Database, tmp_path: Path) -> None:
    await add(database, "a", 2024)
    client = await open_api(files_dir=tmp_path, files_entities="contratos", files_formats="csv.gz")
    (tmp_path / "contratos-2024.csv.gz").mkdir()  # in the place of the file
    told = await made(client)
    assert "contratos-2024.csv.gz" in told["geracao"]["erro"]
    assert told["arquivos"] == []


async def test_files_are_made_for_administrators_and_read_by_all(
    open_api: OpenApi, database: Database, tmp_path: Path
) -> None:
    passwords = {f"{role}_password": f"{role}-and-its-long-words" for role in ("admin", "viewer")}
    client = await open_api(files_dir=tmp_path, **passwords)
    viewer = httpx.BasicAuth("viewer", passwords["viewer_password"])
    assert (await client.post("/arquivos", auth=viewer)).status_code == 403
    assert (await client.get("/arquivos", auth=viewer)).json()["geracao"] is None
    assert (await client.get("/arquivos/contratos-2024.csv.gz", auth=viewer)).status_code == 404


async def test_without_a_folder_there_are_no_files(api: httpx.AsyncClient) -> None:
    refused = await api.post("/arquivos")
    assert (refused.status_code, "FILES_DIR" in refused.json()["detail"]) == (409, True)
    told = (await api.get("/arquivos")).json()
    assert (told["arquivos"], told["horario"], told["proxima"]) == ([], "off", None)
