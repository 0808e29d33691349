"""Another resource needs its description and nothing else: no axis, no list, days, keys of another form."""

import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from fastapi import APIRouter
from sqlalchemy import MetaData

from backend.api import entities
from common.entities.entity import of_resource
from common.resources.derive import add_tables
from common.resources.description import Listing, Resource, code, day, moment, number, text
from common.resources.parties import BOTH_ORGAOS, OF_BOTH_ORGAOS
from ingestor.sources.pncp.records import parse_record
from ingestor.sources.pncp.sight import Seen, see
from ingestor.sources.values import Bundle, Drift, Record, Rejected
from ingestor.store.batch import load_versions, store_bundles
from ingestor.store.statements import statements_of
from tests.integration.conftest import Database, OpenApi

CONTRATOS = Resource(
    name="contratos_for_a_test",
    label="Contratos",
    key="numero_controle_pncp",
    key_pattern=r"(?P<cnpj>[0-9A-Z]{14})-2-(?P<sequencial>[0-9]{6,9})/(?P<ano>[0-9]{4})",
    key_form="CNPJ-2-SSSSSS/AAAA",
    version=("data_atualizacao", "data_atualizacao_global"),
    page_size=500,
    listings={
        "publicacao": Listing("/consulta/v1/contratos", stamp="data_publicacao_pncp"),
        "atualizacao": Listing("/consulta/v1/contratos/atualizacao", stamp="data_atualizacao_global"),
    },
    update_cron="0 * * * *",
    sweep_cron="0 2 * * *",
    columns=(
        text("numero_controle_pncp", "numeroControlePNCP", "Número de controle", required=True),
        moment("data_publicacao_pncp", "dataPublicacaoPncp", "Publicação", required=True),
        moment("data_atualizacao", "dataAtualizacao", "Atualização", required=True),
        moment("data_atualizacao_global", "dataAtualizacaoGlobal", "Atualização global", required=True),
        day("data_assinatura", "dataAssinatura", "Assinatura"),
        number("valor_global", "valorGlobal", "Valor global"),
        code("tipo_contrato_id", "tipoContrato.id", "Código do tipo"),
        text("tipo_contrato_nome", "tipoContrato.nome", "Tipo"),
        *OF_BOTH_ORGAOS,
    ),
    mentions=BOTH_ORGAOS,
    indexes=(("data_publicacao_pncp",), ("orgao_entidade_cnpj", "data_atualizacao_global")),
)

KEY = "03112386000111-2-000082/2024"
CONTRATO: dict[str, Any] = {
    "numeroControlePNCP": KEY,
    "dataPublicacaoPncp": "2025-02-24T07:27:10",
    "dataAtualizacao": "2025-07-10T11:34:04",
    "dataAtualizacaoGlobal": "2025-07-10T11:34:05",
    "dataAssinatura": "2024-03-11",
    "valorGlobal": 1.50,
    "tipoContrato": {"id": 8, "nome": "Outros"},
    "orgaoEntidade": {"cnpj": "03112386000111", "razaoSocial": "AGENCIA", "poderId": "E", "esferaId": "F"},
    "unidadeOrgao": {"codigoUnidade": "253002", "nomeUnidade": "SEDE", "ufSigla": "DF"},
    "orgaoSubRogado": None,
    "unidadeSubRogada": None,
}


def raw(**over: Any) -> bytes:
    return json.dumps(CONTRATO | over).encode()


def parsed(**over: Any) -> Record:
    record = parse_record(CONTRATOS, raw(**over))
    assert isinstance(record, Record), record
    return record


@pytest.fixture
async def database_of_contratos(database: Database) -> AsyncIterator[Database]:
    metadata = MetaData()
    add_tables(metadata, CONTRATOS)
    async with database.engine.begin() as db:
        await db.run_sync(metadata.create_all)
    yield database
    async with database.engine.begin() as db:
        await db.run_sync(metadata.drop_all)


async def store(database: Database, **over: Any) -> tuple[int, int]:
    """Write one; how many were inserted, and how many updated."""
    counts, refused = await database.run(store_bundles, CONTRATOS, [Bundle(parsed(**over))])
    assert refused == []
    return counts.inserted, counts.updated


async def test_a_record_is_read_out_of_its_payload_and_names_its_parties(database_of_contratos: Database) -> None:
    database = database_of_contratos
    assert await store(database) == (1, 0)
    row = await database.row("SELECT * FROM contratos_for_a_test")
    assert (row.numero_controle_pncp, row.data_assinatura, row.valor_global) == (KEY, date(2024, 3, 11), Decimal("1.5"))
    assert (row.tipo_contrato_id, row.tipo_contrato_nome, row.payload) == (8, "Outros", CONTRATO)
    assert (await database.row("SELECT * FROM orgaos")).razao_social == "AGENCIA"
    assert (await database.row("SELECT * FROM unidades")).nome_unidade == "SEDE"


async def test_only_a_newer_version_is_written(database_of_contratos: Database) -> None:
    database = database_of_contratos
    assert await store(database) == (1, 0)
    assert await store(database) == (0, 0)
    assert await store(database, dataAtualizacao="2025-07-09T00:00:00", valorGlobal=2) == (0, 0)
    assert await store(database, dataAtualizacaoGlobal="2025-07-11T00:00:00", valorGlobal=3) == (0, 1)
    assert await database.value("SELECT valor_global FROM contratos_for_a_test") == 3
    versions = await database.run(load_versions, CONTRATOS, [KEY, "unknown"])
    newer = datetime.fromisoformat("2025-07-11T00:00:00")
    assert versions == {KEY: ((datetime.fromisoformat("2025-07-10T11:34:04"), newer), True)}


async def test_a_day_that_is_none_costs_its_column_alone(database_of_contratos: Database) -> None:
    database = database_of_contratos
    assert parsed(dataAssinatura="11/03/2024").drift == (Drift("dataAssinatura", "unfit", '"11/03/2024"'),)
    assert await store(database, dataAssinatura="11/03/2024") == (1, 0)
    row = await database.row("SELECT data_assinatura, payload FROM contratos_for_a_test")
    assert (row.data_assinatura, row.payload["dataAssinatura"]) == (None, "11/03/2024")
    assert await database.row("SELECT resource, path FROM schema_drift") == ("contratos_for_a_test", "dataAssinatura")


async def test_the_mirror_knows_whether_a_listing_should_show_something(database_of_contratos: Database) -> None:
    database = database_of_contratos
    await store(database)
    statement = statements_of(CONTRATOS).holds["publicacao"]
    for first, held in ((date(2025, 2, 24), True), (date(2025, 2, 25), False)):
        async with database.engine.begin() as db:
            parameters = {"first_day": first, "last_day": first, "part": 0}
            assert (await db.execute(statement, parameters)).scalar_one() is held


async def test_a_record_that_is_stored_settles_what_was_rejected_of_it(database_of_contratos: Database) -> None:
    database = database_of_contratos
    for resource in (CONTRATOS.name, "contratacoes"):
        await database.rows(
            "INSERT INTO rejected_records (resource, natural_key, reason, payload_hash, payload)"
            " VALUES (:resource, :key, 'x', :resource, '{}')",
            resource=resource,
            key=KEY,
        )
    await store(database)
    rows = await database.rows("SELECT resource FROM rejected_records WHERE resolved_at IS NULL")
    assert [row.resource for row in rows] == ["contratacoes"]


def test_a_key_of_another_resource_is_rejected() -> None:
    refused = see(CONTRATOS, raw(numeroControlePNCP=KEY.replace("-2-", "-1-")), "publicacao")
    assert isinstance(refused, Rejected)
    assert refused.resource == CONTRATOS.name
    assert "CNPJ-2-SSSSSS/AAAA" in refused.reason


def test_what_is_seen_of_a_record_goes_by_the_listing() -> None:
    published = datetime.fromisoformat("2025-02-24T07:27:10")
    changed = datetime.fromisoformat("2025-07-10T11:34:05")
    assert see(CONTRATOS, raw(), "publicacao") == Seen(KEY, parsed().version, published, raw())
    assert see(CONTRATOS, raw(), "atualizacao") == Seen(KEY, parsed().version, changed, raw())


async def test_readers_find_its_list_its_filters_its_records_and_their_description(
    database_of_contratos: Database, open_api: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for serial in range(3):
        await store(
            database_of_contratos, numeroControlePNCP=f"03112386000111-2-00008{serial}/2024", valorGlobal=serial
        )
    router = APIRouter()
    entities.add_routes(router, of_resource(CONTRATOS))
    monkeypatch.setattr(entities, "router", router)
    api = await open_api()

    listed = (await api.get("/contratos-for-a-test?valor_global_min=1&valor_global_max=1&uf=DF")).json()
    assert [row["numero_controle_pncp"] for row in listed["registros"]] == ["03112386000111-2-000081/2024"]
    assert (listed["total"], listed["espelho"]["completo"]) == (1, False)
    assert (await api.get("/contratos-for-a-test?tipo_contrato=8")).status_code == 422
    shown = (await api.get("/contratos-for-a-test/03112386000111/2024/81")).json()
    assert shown["registro"]["payload"]["valorGlobal"] == 1
    assert [each["entidade"] for each in shown["partes"]] == ["orgaos", "unidades"]
    described = (await api.get("/openapi.json")).json()["paths"]
    names = {each["name"] for each in described["/contratos-for-a-test"]["get"]["parameters"]}
    assert {"valor_global_min", "data_assinatura_de", "cnpj", "uf", "limite", "cursor"} <= names
    assert "/contratos-for-a-test/{cnpj}/{ano}/{sequencial}" in described
