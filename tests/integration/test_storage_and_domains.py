"""How much room the tables take, and what codes are called by the portal and by records."""

import json
from typing import Any

import httpx
import pytest

from backend.services import domains
from common.resources.contratos import CONTRATOS
from common.resources.dominios import DOMAIN_TABLES, SEEN
from common.tables import metadata
from ingestor.sizes import note_sizes
from tests.integration.conftest import Database
from tests.integration.test_rollup import store_some


async def test_sizes_are_those_of_every_table_and_are_noted_once_a_day(
    database: Database, api: httpx.AsyncClient
) -> None:
    await database.run(note_sizes)
    noted = {row[0] for row in await database.rows("SELECT table_name FROM table_sizes")}
    assert metadata.tables.keys() <= noted
    await store_some(database, CONTRATOS, 200)
    await database.run(note_sizes)
    assert await database.value("SELECT count(*) FROM table_sizes") == len(noted)

    answer = (await api.get("/armazenamento")).json()

    (contratos,) = (each for each in answer["tabelas"] if each["tabela"] == "contratos")
    parts = contratos["dados"] + contratos["indices"] + contratos["valores_longos"]
    assert contratos["total"] == parts == await database.value("SELECT pg_total_relation_size('contratos')")
    assert answer["total"] == sum(each["total"] for each in answer["tabelas"]) < answer["banco"]
    assert [each["total"] for each in answer["tabelas"]] == sorted(
        (e["total"] for e in answer["tabelas"]), reverse=True
    )
    assert contratos["crescimento_por_dia"] is None, "no record of another day"


async def test_growth_is_that_since_the_oldest_record_of_thirty_days(
    database: Database, api: httpx.AsyncClient
) -> None:
    await database.run(note_sizes)
    await database.rows("UPDATE table_sizes SET day = day - 40, heap_bytes = 0")
    await database.run(note_sizes)
    await database.rows(
        "UPDATE table_sizes SET day = day - 10, heap_bytes = heap_bytes - 5000 WHERE day > now() - interval '5 days'"
    )
    answer = (await api.get("/armazenamento")).json()
    assert {each["crescimento_por_dia"] for each in answer["tabelas"] if each["tabela"] != "table_sizes"} == {500}
    assert answer["crescimento_por_dia"] > 500


async def test_sizes_of_more_than_a_year_ago_are_forgotten(database: Database) -> None:
    await database.run(note_sizes)
    await database.rows("UPDATE table_sizes SET day = day - 401")
    await database.run(note_sizes)
    assert await database.value("SELECT count(DISTINCT day) FROM table_sizes") == 1


# --- domain tables ----------------------------------------------------------------------------------------------


async def add_official(database: Database, *entries: tuple[str, str]) -> None:
    for code, name in entries:
        await database.rows(
            "INSERT INTO dominios (dominio, codigo, nome, payload) VALUES ('tipos-contratos', :code, :name, '{}')",
            code=code,
            name=name,
        )


async def contrato(database: Database, key: str, code: int | None, name: str | None) -> None:
    await database.rows(
        """
        INSERT INTO contratos (numero_controle_pncp, data_publicacao_pncp, data_atualizacao, data_atualizacao_global,
                               tipo_contrato_id, tipo_contrato_nome, payload)
        VALUES (:key, now(), now(), now(), :code, :name, CAST(:payload AS jsonb))
        """,
        key=key,
        code=code,
        name=name,
        payload=json.dumps({"x": key}),
    )


async def test_a_domain_shows_both_names_and_what_differs(database: Database, api: httpx.AsyncClient) -> None:
    await add_official(database, ("1", "Contrato"), ("7", "Empenho"), ("12", "Nunca"))
    rows = [(1, "Contrato"), (1, "Contrato"), (7, "EMPENHO"), (7, "Empenho"), (7, "Empenho"), (99, None), (None, "X")]
    for number, (code, name) in enumerate(rows):
        await contrato(database, str(number), code, name)

    answer = (await api.get("/dominios/tipos-contratos")).json()

    assert (answer["vista_em"], answer["estimado"], answer["incompleta"]) == (["contratos"], False, False)
    entries: dict[str, Any] = {entry["codigo"]: entry for entry in answer["entradas"]}
    assert list(entries) == ["1", "7", "12", "99"]
    assert {code: entry["divergencia"] for code, entry in entries.items()} == {
        "1": None,
        "7": "outro_nome",
        "12": "sem_registros",
        "99": "fora_da_tabela",
    }
    assert {code: entry["registros"] for code, entry in entries.items()} == {"1": 2, "7": 3, "12": 0, "99": 1}
    assert entries["7"]["nomes"] == [{"nome": "Empenho", "registros": 2}, {"nome": "EMPENHO", "registros": 1}]
    assert entries["99"]["nome"] is None


async def test_of_a_large_table_a_sample_is_counted(
    database: Database, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_some(database, CONTRATOS, 300)
    async with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as db:
        await db.exec_driver_sql("ANALYZE contratos")
    monkeypatch.setattr(domains, "SAMPLED_ROWS", 150)
    answer = (await api.get("/dominios/tipos-contratos")).json()
    assert answer["estimado"] is True
    monkeypatch.setattr(domains, "SAMPLED_ROWS", 300)
    answer = (await api.get("/dominios/tipos-contratos")).json()
    assert (answer["estimado"], sum(entry["registros"] for entry in answer["entradas"])) == (False, 300)
    assert {entry["divergencia"] for entry in answer["entradas"]} == {None}, "the portal's table was not read"


async def test_a_count_that_takes_too_long_is_left_out(
    database: Database, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_official(database, ("1", "Contrato"))
    await store_some(database, CONTRATOS, 300)
    monkeypatch.setattr(domains, "_to_count", lambda _: "SELECT pg_sleep(1), CAST(:share AS float)")
    monkeypatch.setattr(domains, "SEEN_SECONDS", 0.05)
    answer = (await api.get("/dominios/tipos-contratos")).json()
    assert (answer["incompleta"], [entry["codigo"] for entry in answer["entradas"]]) == (True, ["1"])


async def test_every_domain_can_be_asked_for(database: Database, api: httpx.AsyncClient) -> None:
    await add_official(database, ("1", "Contrato"))
    listed = (await api.get("/dominios")).json()["tabelas"]
    assert {each["tabela"] for each in listed} == {*(table.name for table in DOMAIN_TABLES), *SEEN}
    assert {each["tabela"]: each["entradas"] for each in listed}["tipos-contratos"] == 1
    for each in listed:
        assert (await api.get(f"/dominios/{each['tabela']}")).status_code == 200, each
    unknown = await api.get("/dominios/nada")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "Não existe a tabela de domínio nada.")
