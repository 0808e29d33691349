"""Profiles of órgãos and suppliers, compared with what plain Python makes of the rows."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import jsonschema
import pytest

from backend.services import profiles
from tests.integration.conftest import Database, OpenApi
from tests.integration.test_entities import CPF, MASKED, loads
from tests.rows import CNPJS, COMPANY

Row = dict[str, Any]


async def rows_of(database: Database, table: str, where: str = "true", **values: Any) -> list[Row]:
    return [dict(row._mapping) for row in await database.rows(f"SELECT * FROM {table} WHERE {where}", **values)]


async def today_of(database: Database) -> date:
    ((day,),) = await database.rows("SELECT CAST(timezone('America/Sao_Paulo', now()) AS date)")
    assert isinstance(day, date)
    return day


def sums(rows: Iterable[Row], today: date) -> Row:
    rows = list(rows)
    amounts = [row["valor_global"] for row in rows if row["receita"] is not True and row["valor_global"] is not None]
    running = [row for row in rows if row["data_vigencia_inicio"] and row["data_vigencia_fim"]]
    return {
        "contratos": len(rows),
        "vigentes": sum(row["data_vigencia_inicio"] <= today <= row["data_vigencia_fim"] for row in running),
        "valor_global": sum(amounts) if amounts else None,
    }


def grouped(rows: Iterable[Row], key: Callable[[Row], Hashable], today: date) -> dict[Any, Row]:
    found = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return {name: sums(part, today) for name, part in found.items()}


def told(part: Iterable[Row], *names: str) -> dict[Any, Row]:
    """The sums of a part, by the values of these columns."""
    figures = ("contratos", "vigentes", "valor_global")
    return {
        tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]: {name: row[name] for name in figures}
        for row in part
    }


@pytest.mark.parametrize("party", ["fornecedores", "orgaos"])
async def test_the_sums_of_contratos_are_those_of_the_rows(
    api: httpx.AsyncClient, filled: Database, party: str
) -> None:
    today, cnpj = await today_of(filled), CNPJS[0]
    if party == "orgaos":
        own = await rows_of(filled, "contratos", "orgao_entidade_cnpj = :cnpj", cnpj=cnpj)
        other, names = "fornecedores", ["tipo_pessoa", "ni"]
        profile = loads(await api.get(f"/orgaos/{cnpj}?dados_pessoais=true"))["perfil"]
    else:
        own = await rows_of(filled, "contratos", "tipo_pessoa = 'PJ' AND ni_fornecedor = :ni", ni=COMPANY[1])
        other, names = "compradores", ["cnpj"]
        profile = loads(await api.get(f"/fornecedores/{COMPANY[1]}"))["perfil"]
    assert len(own) > 3
    assert profile["contratos"] == sums(own, today)
    assert told(profile["anos"], "ano") == grouped(own, lambda row: row["data_publicacao_pncp"].year, today)
    assert told(profile["ufs"]["registros"], "uf") == grouped(own, lambda row: row["unidade_orgao_uf_sigla"], today)

    def other_of(row: Row) -> Hashable:
        return (row["tipo_pessoa"], row["ni_fornecedor"]) if other == "fornecedores" else row["orgao_entidade_cnpj"]

    assert told(profile[other]["registros"], *names) == grouped(own, other_of, today)
    assert profile[other]["total"] == len(set(map(other_of, own)))
    for each in profile[other]["registros"]:
        if each["endereco"]:
            assert (await api.get(each["endereco"])).status_code == 200


async def test_a_long_part_is_cut_at_the_largest_and_says_how_many_there_are(
    api: httpx.AsyncClient, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = loads(await api.get(f"/fornecedores/{COMPANY[1]}"))["perfil"]["compradores"]
    assert whole["total"] == len(whole["registros"]) > 2
    monkeypatch.setattr(profiles, "MOST", 2)
    cut = loads(await api.get(f"/fornecedores/{COMPANY[1]}"))["perfil"]["compradores"]
    assert cut == {"total": whole["total"], "registros": whole["registros"][:2]}
    values = [row["valor_global"] for row in whole["registros"] if row["valor_global"] is not None]
    assert values == sorted(values, reverse=True)


async def test_a_supplier_shows_modalidades_items_won_atas_and_branches(
    api: httpx.AsyncClient, filled: Database
) -> None:
    await filled.rows("UPDATE resultados SET situacao_compra_item_resultado_id = 1 + (numero_item % 2)")
    await filled.rows(
        "INSERT INTO fornecedores (tipo_pessoa, ni, nome, payload, as_of) VALUES"
        " ('PJ', '12345678000270', 'FILIAL', '{}', now()), ('PJ', '12345679000190', 'OUTRA', '{}', now())"
    )
    profile = loads(await api.get(f"/fornecedores/{COMPANY[1]}"))["perfil"]
    won = await rows_of(
        filled,
        "resultados",
        "tipo_pessoa = 'PJ' AND ni_fornecedor = :ni AND situacao_compra_item_resultado_id = 1",
        ni=COMPANY[1],
    )
    assert won
    amounts = [row["valor_total_homologado"] for row in won if row["valor_total_homologado"] is not None]
    assert profile["itens_vencidos"] == {
        "total": len(won),
        "total_tipo": "exato",
        "valor_homologado": sum(amounts) if amounts else None,
    }
    atas = [
        row
        for row in await rows_of(filled, "atas")
        if row["numero_controle_pncp_compra"] in {each["numero_controle_pncp"] for each in won}
    ]
    assert profile["atas"]["atas"] == len(atas)
    (branch,) = profile["filiais"]["registros"]
    assert (branch["ni"], branch["nome"], profile["filiais"]["total"]) == ("12345678000270", "FILIAL", 1)
    assert loads(await api.get(branch["endereco"]))["registro"]["ni"] == "12345678000270"
    assert loads(await api.get("/fornecedores/12345678000270"))["raiz"] == "12345678"
    contracts = await rows_of(filled, "contratos", "tipo_pessoa = 'PJ' AND ni_fornecedor = :ni", ni=COMPANY[1])
    compras = {row["numero_controle_pncp"]: row for row in await rows_of(filled, "contratacoes")}
    of_compra = [compras.get(row["numero_controle_pncp_compra"] or "") for row in contracts]
    expected: defaultdict[Hashable, int] = defaultdict(int)
    for compra in of_compra:
        if compra:
            expected[compra["modalidade_id"], compra["modalidade_nome"]] += 1
    found = {(row["modalidade_id"], row["modalidade_nome"]): row["contratos"] for row in profile["modalidades"]}
    assert found == expected


async def test_an_orgao_shows_contratacoes_atas_and_plans_by_year(api: httpx.AsyncClient, filled: Database) -> None:
    cnpj = CNPJS[0]
    profile = loads(await api.get(f"/orgaos/{cnpj}"))["perfil"]
    own = await rows_of(filled, "contratacoes", "orgao_entidade_cnpj = :cnpj", cnpj=cnpj)
    years = defaultdict(list)
    for row in own:
        years[row["data_publicacao_pncp"].year].append(row)
    assert {row["ano"]: row["contratacoes"] for row in profile["contratacoes"]} == {
        year: len(rows) for year, rows in years.items()
    }
    for row in profile["contratacoes"]:
        amounts = [
            each["valor_total_estimado"] for each in years[row["ano"]] if each["valor_total_estimado"] is not None
        ]
        assert row["valor_estimado"] == (sum(amounts) if amounts else None)
    assert sum(row["contratacoes"] for row in profile["modalidades"]) == len(own)
    assert profile["atas"]["atas"] == len(await rows_of(filled, "atas", "cnpj_orgao = :cnpj", cnpj=cnpj))
    plans = await rows_of(filled, "pcas", "orgao_entidade_cnpj = :cnpj", cnpj=cnpj)
    items = await rows_of(filled, "itens_pca")
    for row in profile["pcas"]:
        keys = {plan["id_pca_pncp"] for plan in plans if plan["ano_pca"] == row["ano"]}
        inside = [item for item in items if item["id_pca_pncp"] in keys]
        amounts = [item["valor_total"] for item in inside if item["valor_total"] is not None]
        assert (row["planos"], row["itens"]) == (len(keys), len(inside))
        assert row["valor_total"] == (sum(amounts, Decimal()) if amounts else None)
    assert sum(row["planos"] for row in profile["pcas"]) == len(plans)


async def test_no_profile_shows_the_number_of_a_natural_person(open_api: OpenApi, filled: Database) -> None:
    api = await open_api(admin_password="the admin's words", viewer_password="the viewer's words")
    await filled.rows(
        "UPDATE contratos SET tipo_pessoa = 'PF', ni_fornecedor = :cpf, nome_razao_social_fornecedor = 'JO ' || :cpf,"
        " orgao_entidade_cnpj = :cnpj",
        cpf=CPF,
        cnpj=CNPJS[0],
    )
    for path in (f"/orgaos/{CNPJS[0]}", f"/fornecedores/PF/{CPF}"):
        answer = await api.get(path, auth=("viewer", "the viewer's words"))
        assert answer.status_code == 200, answer.text
        assert CPF not in answer.text
        assert MASKED in answer.text
        sees = await api.get(f"{path}?dados_pessoais=true", auth=("admin", "the admin's words"))
        assert CPF in sees.text
    (supplier,) = loads(await api.get(f"/orgaos/{CNPJS[0]}", auth=("viewer", "the viewer's words")))["perfil"][
        "fornecedores"
    ]["registros"]
    assert supplier["ni"] == MASKED
    assert supplier["endereco"].removeprefix("/fornecedores/").isdigit()


async def test_a_profile_has_the_form_that_the_document_says(api: httpx.AsyncClient, filled: Database) -> None:
    document = (await api.get("/openapi.json")).json()
    for path, described in (
        (f"/orgaos/{CNPJS[0]}", "/orgaos/{cnpj}"),
        (f"/fornecedores/{COMPANY[1]}", "/fornecedores/{id}"),
    ):
        answers = document["paths"][described]["get"]["responses"]
        schema = answers["200"]["content"]["application/json"]["schema"]["properties"]["perfil"]
        profile = (await api.get(path)).json()["perfil"]
        jsonschema.validate(profile, schema)
        assert profile.keys() == schema["properties"].keys()


async def test_a_cnpj_with_letters_is_an_address_and_another_word_is_not(
    api: httpx.AsyncClient, filled: Database
) -> None:
    await filled.rows(
        "INSERT INTO fornecedores (tipo_pessoa, ni, nome, payload, as_of) VALUES"
        " ('PJ', '12ABC34501DE35', 'X', '{}', now())"
    )
    assert loads(await api.get("/fornecedores/12ABC34501DE35"))["registro"]["ni"] == "12ABC34501DE35"
    assert (await api.get("/fornecedores/12ABC34501DE36")).status_code == 404
    assert (await api.get("/fornecedores/12ABC34501DE3")).status_code == 422
