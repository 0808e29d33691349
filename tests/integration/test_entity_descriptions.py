"""The description of an entity: what it says can be asked, by the names of lists, facets and domain tables."""

from typing import Any

import httpx
import pytest

from common.entities.entity import ENTITIES, RELEVANCE, SEARCH, Entity

every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=[each.address for each in ENTITIES])
VALUES = {
    "texto": "1",
    "inteiro": "1",
    "codigo": "1",
    "numero": "1",
    "booleano": "true",
    "dia": "2026-01-31",
    "momento": "2026-01-31",
}


async def describe(api: httpx.AsyncClient, entity: Entity) -> dict[str, Any]:
    answer = await api.get(f"/entidades/{entity.address}")
    assert answer.status_code == 200, answer.text
    described: dict[str, Any] = answer.json()
    return described


@every_entity
async def test_all_that_is_described_may_be_asked(api: httpx.AsyncClient, entity: Entity) -> None:
    described = await describe(api, entity)
    for each in described["filtros"]:
        answer = await api.get(f"/{entity.address}", params={each["nome"]: VALUES[each["tipo"]], "contagem": "nao"})
        assert answer.status_code == 200, answer.text
    for each in described["ordens"]:
        words = {SEARCH: "palavra"} if each["nome"] == RELEVANCE else {}
        answer = await api.get(f"/{entity.address}", params={"ordem": each["nome"], "limite": 1, **words})
        assert answer.status_code == 200, answer.text
    names = [each["nome"] for each in described["campos"]]
    answer = await api.get(f"/{entity.address}", params={"campos": ",".join(names)})
    assert answer.status_code == 200, answer.text
    assert {described["titulo"], *described["colunas"]} <= set(names)


async def test_the_document_of_the_api_has_the_same_filters(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    own = {"limite", "pular", "cursor", "ordem", "contagem", "campos", "dados_pessoais"}
    for entity in ENTITIES:
        described = await describe(api, entity)
        documented = paths[f"/{entity.address}"]["get"]["parameters"]
        assert {each["nome"] for each in described["filtros"]} == {each["name"] for each in documented} - own


@every_entity
async def test_facets_are_counted_where_the_description_says_so(api: httpx.AsyncClient, entity: Entity) -> None:
    described = await describe(api, entity)
    for each in described["filtros"]:
        answer = await api.get(f"/{entity.address}/facetas", params={"facetas": each["nome"]})
        assert answer.status_code == (200 if each["faceta"] else 422), answer.text
    assert set(described["facetas"]) <= {each["nome"] for each in described["filtros"] if each["faceta"]}


async def test_codes_have_the_domain_table_that_names_them(api: httpx.AsyncClient) -> None:
    named: dict[str, dict[str, str]] = {}
    for entity in ENTITIES:
        described = await describe(api, entity)
        named[entity.address] = {each["nome"]: each["dominio"] for each in described["filtros"] if each["dominio"]}
    assert named["contratacoes"] == {
        "modalidade": "modalidades",
        "modo_disputa": "modos-disputas",
        "situacao": "situacoes-compra",
        "instrumento": "tipos-instrumentos-convocatorios",
        "amparo_legal": "amparos-legais",
    }
    assert named["itens"]["beneficio"] == "tipos-beneficio"
    assert named["itens"]["modalidade"] == "modalidades"  # of the record
    assert named["orgaos"] == {}
    for table in {each for tables in named.values() for each in tables.values()}:
        assert (await api.get(f"/dominios/{table}")).status_code == 200


async def test_formats_have_their_limits_and_an_unknown_list_is_not_found(api: httpx.AsyncClient) -> None:
    formats = (await api.get("/entidades/contratos")).json()["formatos"]
    limits = {each["nome"]: (each["registros_na_hora"], each["registros"]) for each in formats}
    assert limits["csv"] == (100_000, None)
    assert limits["pdf"] == (5_000, 5_000)
    assert next(each for each in formats if each["nome"] == "xlsx")["registros_por_planilha"] == 1_048_575
    answer = await api.get("/entidades/contratados")
    assert answer.status_code == 404
    assert "contratos" in answer.json()["detail"]
