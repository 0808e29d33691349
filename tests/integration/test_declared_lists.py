"""Declared entities as lists, files, schemas and sheets: those that come with the product, and those of files."""

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import httpx
import openpyxl
import pytest
from jsonschema import Draft202012Validator

from common.connections.entities import shipped
from common.entities.declared import digest_of, from_json, to_json
from common.entities.entity import RELEVANCE, SEARCH
from tests.integration.conftest import Database, OpenApi
from tests.integration.test_entity_descriptions import VALUES
from tests.support import eventually

CPF, MASKED = "52998224725", "***.982.247-**"
BIG = 9_223_372_036_854_775_807
PECAS = """
label: Peças
key: [codigo, serie]
search: [nome]
columns:
  codigo: {type: integer, label: Código}
  serie: {type: text, label: Série}
  nome: {type: text, label: Nome, max: 100}
  preco: {type: number, label: Preço, decimals: 4}
  grande: {type: integer, label: Número grande}
  ativa: {type: boolean, label: Ativa}
  dia: {type: day, label: Dia}
  quando: {type: moment, label: Quando}
  dono: {type: cpf, label: Dono}
  compra: {type: text, label: Compra, references: compras}
  controle: {type: control_number, label: Contratação}
  ordem: {type: text, label: Ordem}
  dia_de: {type: text, label: Dia de}
  extra: {type: json, label: Extra}
"""
VIEW = """
label: Oportunidades
view: vw_oportunidades
key: [cnpj, ano]
version: mudou
columns: {cnpj: cnpj, ano: integer, total: number, quando: moment, extra: json}
"""
PEOPLE = "key: cpf\ncolumns: {cpf: cpf, nome: text, nascimento: day}\n"


async def put(database: Database, entity: str, records: dict[str, dict[str, Any]], words: str = "") -> None:
    """Store records as they are when they were taken in; `words`: the column that is searched."""
    for key, data in records.items():
        await database.rows(
            "INSERT INTO entity_records (entity, key, data, digest, busca) VALUES (:entity, :key, CAST(:data AS jsonb),"
            " :digest, to_tsvector('pncp', CAST(:words AS text)))",
            entity=entity,
            key=key,
            data=to_json(data),
            digest=digest_of(data),
            words=data.get(words),
        )


def peca(number: int, **more: Any) -> dict[str, Any]:
    return {
        "codigo": number,
        "serie": "A/1",
        "nome": f"Parafuso {number}",
        "preco": Decimal(f"{number}.1250"),
        "grande": BIG - number,
        "ativa": number % 2 == 0,
        "dia": f"2026-01-{number + 1:02}",
        "quando": f"2026-01-{number + 1:02}T10:00:00",
        "dono": CPF,
        "ordem": "x",
        "dia_de": "y",
        "extra": {"n": 1.10},
        **more,
    }


@pytest.fixture
async def stored(database: Database) -> AsyncIterator[Database]:
    """Some records of shipped entities and of a declared one, of which one is removed; and a view of an operator's."""
    await put(
        database,
        "compras",
        {
            f"C{number}": {
                "numero": f"C{number}",
                "orgao_cnpj": "00394460000141",
                "fornecedor": CPF if number % 2 else "00394460000141",
                "objeto": "=1+1" if number == 1 else f"Aquisição de cadeiras {number}",
                "valor_estimado": Decimal("1234.50"),
                "data_assinatura": f"2026-01-{number + 1:02}",
                "ano": 2026,
            }
            for number in range(12)
        },
        words="objeto",
    )
    await put(database, "fornecedores_proprios", {CPF: {"documento": CPF, "nome": "Maria"}}, words="nome")
    await put(database, "fornecedores_proprios", {"00394460000141": {"documento": "00394460000141", "nome": "Órgão"}})
    await put(database, "pecas", {f"{number}/A/1": peca(number) for number in range(10)}, words="nome")
    await database.rows("UPDATE entity_records SET removed_at = now() WHERE entity = 'pecas' AND key = '9/A/1'")
    await database.rows(
        "CREATE TABLE valores (cnpj text, ano int, total numeric, quando timestamp, extra jsonb, mudou timestamptz)"
    )
    await database.rows(
        "INSERT INTO valores SELECT lpad(CAST(n AS text), 14, '0'), 2000 + n % 3, n / 4.0, '2026-01-01', '{\"n\": 1}',"
        " now() FROM generate_series(1, 30) n"
    )
    await database.rows("CREATE VIEW vw_oportunidades AS SELECT * FROM valores")
    yield database
    await database.rows("DROP VIEW IF EXISTS vw_oportunidades")
    await database.rows("DROP TABLE valores")
    await database.rows("DELETE FROM entity_records")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    entities = tmp_path / "entities"
    entities.mkdir()
    (entities / "pecas.yaml").write_text(PECAS)
    (entities / "oportunidades.yaml").write_text(VIEW)
    (entities / "pessoas.yaml").write_text(PEOPLE)
    return tmp_path


ADMIN, VIEWER = (httpx.BasicAuth(role, f"{role}-and-its-long-words") for role in ("admin", "viewer"))
USERS = {f"{role}_password": f"{role}-and-its-long-words" for role in ("admin", "viewer")}


@pytest.fixture
async def declared_api(open_api: OpenApi, folder: Path, stored: Database) -> httpx.AsyncClient:
    return await is_loaded(await open_api(connections_dir=folder), "/pecas")


async def is_loaded(api: httpx.AsyncClient, path: str, status: int = 200, **more: Any) -> httpx.AsyncClient:
    async def answers() -> bool:
        return (await api.get(path, **more)).status_code == status

    await eventually(answers)
    return api


async def rows(api: httpx.AsyncClient, path: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = await api.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = json.loads(answer.text, parse_float=Decimal)["registros"]
    return found


# --- lists ------------------------------------------------------------------------------------------------------


async def test_records_are_listed_in_the_order_of_their_keys_and_paged(declared_api: httpx.AsyncClient) -> None:
    first = (await declared_api.get("/compras", params={"limite": 5})).json()
    keys = [row["chave"] for row in first["registros"]]
    assert keys == ["C0", "C1", "C10", "C11", "C2"]
    assert (first["total"], first["total_tipo"], first["espelho"]["completo"]) == (12, "exato", True)
    assert first["espelho"]["ate"] is not None
    while first["proximo"]:
        answer = await declared_api.get("/compras", params={"limite": 5, "cursor": first["proximo"]})
        first = answer.json()
        keys += [row["chave"] for row in first["registros"]]
    assert keys == sorted(f"C{number}" for number in range(12))
    linked = await declared_api.get("/compras", params={"limite": 5, "ordem": "data_assinatura:desc"})
    following = dict(parse_qsl(urlsplit(linked.headers["Link"].split(">")[0][1:]).query))
    newest = [row["data_assinatura"] for row in linked.json()["registros"]]
    newest += [row["data_assinatura"] for row in await rows(declared_api, "/compras", **following)]
    assert newest == sorted(newest, reverse=True)
    assert len(newest) == 10
    etag = linked.headers["ETag"]
    again = await declared_api.get(str(linked.request.url.copy_with()), headers={"If-None-Match": etag})
    assert again.status_code == 304


async def test_values_are_exact_and_what_is_removed_is_not_there(declared_api: httpx.AsyncClient) -> None:
    found = await rows(declared_api, "/pecas", campos="todos", dados_pessoais="true")
    assert [row["codigo"] for row in found] == list(range(9))
    expected = from_json(to_json(peca(3)))
    assert {name: found[3][name] for name in expected} == expected
    assert found[3]["compra"] is None
    assert "1.1250" not in str(found[3]["preco"]) or found[3]["preco"] == Decimal("3.125")


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ({"codigo": "3"}, [3]),
        ({"codigo": "3,4"}, [3, 4]),
        ({"chave": "3/A/1"}, [3]),
        ({"nome": "Parafuso 3"}, [3]),
        ({"preco_min": "7.125"}, [7, 8]),
        ({"preco_max": "1.12"}, [0]),
        ({"grande": str(BIG - 2)}, [2]),
        ({"ativa": "true"}, [0, 2, 4, 6, 8]),
        ({"dia_de_": "y", "codigo": "1"}, [1]),
        ({"ordem_": "z"}, []),
        ({"dia_ate": "2026-01-02"}, [0, 1]),
        ({"dia_de": "2026-01-08"}, [7, 8]),
        ({"quando_de": "2026-01-08T10:00:00"}, [7, 8]),
        ({"quando_ate": "2026-01-01"}, [0]),
        ({"visto_desde": "2100-01-01"}, []),
        ({"dono": "529.982.247-25", "codigo": "0"}, [0]),
        ({"q": "parafusos 4"}, [4]),
    ],
)
async def test_filters_leave_what_they_say(
    declared_api: httpx.AsyncClient, query: dict[str, str], codes: list[int]
) -> None:
    assert [row["codigo"] for row in await rows(declared_api, "/pecas", **query)] == codes


@pytest.mark.parametrize("address", ["compras", "fornecedores-proprios", "produtos", "itens-compra"])
async def test_all_that_is_described_may_be_asked(declared_api: httpx.AsyncClient, address: str) -> None:
    await all_may_be_asked(declared_api, address)


@pytest.mark.parametrize("address", ["pecas", "oportunidades", "pessoas"])
async def test_all_that_is_described_of_a_file_may_be_asked(declared_api: httpx.AsyncClient, address: str) -> None:
    await all_may_be_asked(declared_api, address)


async def all_may_be_asked(api: httpx.AsyncClient, address: str) -> None:
    described = (await api.get(f"/entidades/{address}")).json()
    for each in described["filtros"]:
        answer = await api.get(f"/{address}", params={each["nome"]: VALUES[each["tipo"]], "contagem": "nao"})
        assert answer.status_code == 200, answer.text
        counted = await api.get(f"/{address}/facetas", params={"facetas": each["nome"]})
        assert counted.status_code == (200 if each["faceta"] else 422), counted.text
    for each in described["ordens"]:
        words = {SEARCH: "palavra"} if each["nome"] == RELEVANCE else {}
        answer = await api.get(f"/{address}", params={"ordem": each["nome"], "limite": 1, **words})
        assert answer.status_code == 200, answer.text
    names = [each["nome"] for each in described["campos"]]
    assert (await api.get(f"/{address}", params={"campos": ",".join(names)})).status_code == 200
    assert {described["titulo"], *described["colunas"]} <= set(names)
    for each in described["formatos"]:
        answer = await api.get(f"/{address}.{each['nome']}")
        assert answer.status_code in (200, 501), answer.text
    assert (await api.get(f"/{address}.atom")).status_code == 200


async def test_references_are_links_and_numbers_of_the_portal_too(declared_api: httpx.AsyncClient) -> None:
    fields = {each["nome"]: each for each in (await declared_api.get("/entidades/pecas")).json()["campos"]}
    assert fields["compra"]["refere"] == "compras"
    assert fields["controle"]["refere"] == "controle"
    assert fields["nome"]["refere"] is None
    described = (await declared_api.get("/entidades/compras")).json()["campos"]
    assert {each["refere"] for each in described} == {"fornecedores-proprios", "controle", None}


async def test_a_search_says_whether_it_finds_every_record(declared_api: httpx.AsyncClient, stored: Database) -> None:
    answer = (await declared_api.get("/pecas", params={"q": "parafuso"})).json()
    assert (answer["total"], answer["espelho"]["busca_completa"]) == (9, True)
    await stored.rows("UPDATE entity_records SET busca = NULL WHERE entity = 'pecas' AND key = '1/A/1'")
    answer = (await declared_api.get("/pecas", params={"q": "parafuso"})).json()
    assert (answer["total"], answer["espelho"]["busca_completa"], answer["espelho"]["completo"]) == (8, False, False)


async def test_rows_that_wait_for_a_record_are_told(declared_api: httpx.AsyncClient, stored: Database) -> None:
    number = await stored.value(
        "INSERT INTO imports (door, layout, state) VALUES ('api', 'produtos', 'processing') RETURNING id"
    )
    await stored.rows(
        "INSERT INTO import_rows (import_id, row, entity, key, state, waits_entity, waits_key)"
        " VALUES (:number, 1, 'produtos', '1', 'pending', 'x', '1')",
        number=number,
    )
    told = (await declared_api.get("/produtos")).json()["espelho"]
    assert (told["ate"], told["completo"], told["registros_recusados"], told["dias_faltando"]) == (None, False, 1, None)
    await stored.rows("DELETE FROM imports")


# --- personal data ----------------------------------------------------------------------------------------------


async def test_viewers_see_no_number_of_a_person_in_lists_files_facets_or_cursors(
    open_api: OpenApi, folder: Path, stored: Database
) -> None:
    await put(stored, "pessoas", {CPF[:9] + f"{n:02}": {"cpf": CPF[:9] + f"{n:02}", "nome": str(n)} for n in range(5)})
    api = await is_loaded(await open_api(**USERS, connections_dir=folder), "/pecas", auth=VIEWER)
    for path in (
        *("/pecas", "/pessoas?limite=2", "/fornecedores-proprios?limite=1", "/compras", "/pecas.csv", "/pessoas.csv"),
        *("/pessoas.ndjson", "/compras.csv", "/pessoas.atom", "/fornecedores-proprios.atom", "/compras/facetas"),
    ):
        answer = await api.get(path, auth=VIEWER)
        assert answer.status_code == 200, answer.text
        assert CPF[:9] not in answer.text, path
        if answer.headers["content-type"] == "application/json" and answer.json().get("proximo"):
            cursor = answer.json()["proximo"]
            assert CPF[:9] not in str(base64.urlsafe_b64decode(cursor + "=="))
            following = await api.get(path, params={"limite": 100, "cursor": cursor}, auth=VIEWER)
            assert following.status_code == 200, following.text
            assert following.json()["registros"]
    found = (await api.get("/pecas?codigo=1", auth=VIEWER)).json()["registros"]
    assert found[0]["dono"] == MASKED
    assert (await api.get("/pecas?dados_pessoais=true", auth=VIEWER)).status_code == 422
    told = await api.get("/fornecedores-proprios?dados_pessoais=true", auth=ADMIN)
    assert [row["chave"] for row in told.json()["registros"]] == [CPF, "00394460000141"]
    assert "documento" not in {
        each["nome"]
        for each in (await api.get("/entidades/fornecedores-proprios", auth=VIEWER)).json()["filtros"]
        if each["faceta"]
    }


# --- files ------------------------------------------------------------------------------------------------------


async def test_files_have_the_rows_of_the_list_and_no_formulas(declared_api: httpx.AsyncClient) -> None:
    text = (await declared_api.get("/compras.csv", params={"excel": "1"})).text
    table = list(csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=";"))
    assert len(table) == 13
    assert "'=1+1" in table[2]
    book = openpyxl.load_workbook(io.BytesIO((await declared_api.get("/pecas.xlsx")).content))
    head, *lines = book.worksheets[0].iter_rows(values_only=True)
    values = dict(zip(head, lines[2], strict=True))
    assert (values["Preço"], values["Número grande"], values["Dia"]) == (2.125, str(BIG - 2), datetime(2026, 1, 3))
    assert values["Dono"] == MASKED
    line = (await declared_api.get("/pecas.ndjson")).text.splitlines()[1]
    assert json.loads(line, parse_float=Decimal)["grande"] == BIG - 1
    assert (await declared_api.get("/pecas.doc")).status_code == 422
    ET.fromstring((await declared_api.get("/oportunidades.atom")).content)


async def test_an_export_is_made_and_a_search_saved_of_a_declared_entity(declared_api: httpx.AsyncClient) -> None:
    for entity in ("pecas", "compras", "oportunidades"):
        asked = await declared_api.post("/exportacoes", json={"entidade": entity, "formato": "csv"})
        assert asked.status_code == 202, asked.text
        place = asked.headers["Location"]

        async def is_ready(place: str = place) -> bool:
            return bool((await declared_api.get(place)).json()["estado"] == "pronta")

        await eventually(is_ready)
        assert (await declared_api.get(f"{place}/arquivo")).text.startswith("chave,")
    refused = await declared_api.post("/exportacoes", json={"entidade": "nada", "formato": "csv"})
    assert refused.status_code == 422
    assert "pecas" in refused.json()["detail"]
    search = await declared_api.post(
        "/buscas", json={"nome": "Peças", "entidade": "pecas", "filtros": {"q": "parafuso"}}
    )
    assert search.status_code == 201, search.text
    assert (await declared_api.get(f"{search.headers['Location']}/previa")).json()["total"] == 0


# --- files of entities that change ------------------------------------------------------------------------------


async def test_a_value_of_a_type_that_the_column_had_before_is_null(
    declared_api: httpx.AsyncClient, folder: Path, stored: Database
) -> None:
    odd: dict[str, Any] = {
        "preco": "caro",
        "grande": Decimal("1e400"),
        "ativa": "talvez",
        "dia": "2026-02-30",
        "quando": "2026-01-31T25:00:00",
        "nome": 5,
        "codigo": Decimal("1.5"),
    }
    strange = ["0000-01-01", "10000-01-01", "2026-01-31x", 5, ["2026-01-31"], {"a": 1}, None]
    await put(stored, "pecas", {"x/1": {**peca(1), **odd}})
    await put(stored, "pecas", {f"y/{n}": peca(20, dia=each, quando=each) for n, each in enumerate(strange)})
    described = (await declared_api.get("/entidades/pecas")).json()
    for each in described["filtros"]:
        value = {**VALUES, "inteiro": str(2**62)}[each["tipo"]]
        answer = await declared_api.get("/pecas", params={each["nome"]: value, "contagem": "exata"})
        assert answer.status_code == 200, answer.text
    for each in described["ordens"]:
        if each["nome"] != RELEVANCE:
            found = await rows(declared_api, "/pecas", ordem=each["nome"], campos="todos", limite=100)
            assert len(found) == 17
    found = await rows(declared_api, "/pecas", chave="x/1")
    assert {name: found[0][name] for name in odd} == {**dict.fromkeys(odd), "nome": "5"}
    for row in await rows(declared_api, "/pecas", codigo="20"):
        assert (row["dia"], row["quando"]) == (None, None)
    for suffix in ("csv", "xlsx", "ndjson", "pdf", "atom"):
        assert (await declared_api.get(f"/pecas.{suffix}")).status_code == 200


async def test_a_list_comes_changes_and_goes_with_its_file(
    declared_api: httpx.AsyncClient, folder: Path, stored: Database
) -> None:
    nowhere = await declared_api.get("/notas")
    assert (nowhere.status_code, nowhere.json()["type"]) == (404, "/problems/unknown_address")
    assert nowhere.json() == {**(await declared_api.get("/nenhuma")).json(), "request_id": nowhere.json()["request_id"]}
    path = folder / "entities" / "notas.yaml"
    path.write_text("key: numero\ncolumns: {numero: text, valor: number}\n")
    await put(stored, "notas", {"1": {"numero": "1", "valor": Decimal(5)}})
    await is_loaded(declared_api, "/notas")
    assert (await declared_api.post("/notas", json={})).status_code == 405
    path.write_text("key: numero\ncolumns: {numero: text, valor: number, obs: text}\n")

    async def has_column() -> bool:
        return "obs" in (await rows(declared_api, "/notas"))[0]

    await eventually(has_column)
    path.unlink()
    await is_loaded(declared_api, "/notas", 404)
    assert (await declared_api.get("/notas")).json()["type"] == "/problems/unknown_address"
    assert (await declared_api.get("/compras")).status_code == 200


async def test_an_unknown_name_is_answered_404_without_a_user_and_a_known_one_401(
    open_api: OpenApi, folder: Path
) -> None:
    api = await is_loaded(await open_api(**USERS, connections_dir=folder), "/pecas", auth=ADMIN)
    for path, status in (
        *(("/nenhuma", 404), ("/nenhuma.csv", 404), ("/nenhuma/facetas", 404)),
        *(("/pecas", 401), ("/pecas.csv", 401), ("/pecas/facetas", 401), ("/compras", 401), ("/itens_compra", 401)),
    ):
        assert (await api.get(path)).status_code == status, path


async def test_a_view_is_a_list_and_one_that_cannot_be_read_says_so(
    declared_api: httpx.AsyncClient, stored: Database
) -> None:
    found = await rows(declared_api, "/oportunidades", limite=7)
    assert found[0]["chave"] == "00000000000001/2001"
    answer = (await declared_api.get("/oportunidades", params={"limite": 7})).json()
    following = await rows(declared_api, "/oportunidades", limite=7, cursor=answer["proximo"])
    assert following[0]["chave"] == "00000000000008/2002"
    assert answer["espelho"]["completo"]
    assert len(await rows(declared_api, "/oportunidades", total_min="7")) == 3
    assert len(await rows(declared_api, "/oportunidades", ano="2001")) == 10
    await stored.rows("DROP VIEW vw_oportunidades")
    for path in ("/oportunidades", "/oportunidades.csv", "/oportunidades/facetas?facetas=ano"):
        gone = await declared_api.get(path)
        assert (gone.status_code, gone.json()["code"]) == (503, "view_unreadable"), gone.text
        assert "vw_oportunidades" in gone.json()["detail"]
    assert (await declared_api.get("/compras")).status_code == 200
    entities = (await declared_api.get("/entities")).json()["entidades"]
    assert {each["nome"]: each["registros"] for each in entities}["oportunidades"] is None


# --- schemas and sheets -----------------------------------------------------------------------------------------


async def test_entities_are_told_with_columns_counts_and_layouts(declared_api: httpx.AsyncClient, folder: Path) -> None:
    entities = {each["nome"]: each for each in (await declared_api.get("/entities")).json()["entidades"]}
    assert {*shipped(), "conciliacao", "pecas", "oportunidades", "pessoas"} == set(entities)
    pecas = entities["pecas"]
    assert (pecas["registros"], pecas["registros_tipo"], pecas["origem"], pecas["recebe"]) == (
        9,
        "exato",
        "arquivo",
        True,
    )
    assert pecas["alterada_em"] is not None
    assert pecas["layouts"] == ["pecas"]
    assert (entities["oportunidades"]["recebe"], entities["oportunidades"]["registros"]) == (False, 30)
    assert entities["produtos"]["alterada_em"] is None
    columns = {each["nome"]: each for each in pecas["colunas"]}
    assert columns["compra"] == {
        "nome": "compra", "rotulo": "Compra", "tipo": "text", "obrigatoria": False, "refere": "compras"
    }  # fmt: skip


async def test_a_schema_accepts_what_is_stored_and_nothing_else(declared_api: httpx.AsyncClient) -> None:
    schema = (await declared_api.get("/entities/pecas")).json()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    record = json.loads(to_json(peca(1)))
    assert validator.is_valid(record)
    assert validator.is_valid({**record, "nome": None})
    for wrong in ({"codigo": "1"}, {"codigo": None}, {"outra": 1}, {"dono": "1"}, {"nome": "x" * 101}):
        assert not validator.is_valid({**record, **wrong}), wrong
    assert schema["x-chave"] == ["codigo", "serie"]
    assert schema["properties"]["compra"]["x-refere"] == "compras"
    assert (await declared_api.get("/entities/itens-compra")).json()["$id"] == "/entities/itens_compra"
    unknown = await declared_api.get("/entities/peca")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_entity")


LAYOUT = """
label: Vendas
into:
  - entity: fornecedores_proprios
    fields: {documento: {from: CNPJ}, nome: {from: Empresa}}
  - entity: compras
    fields:
      numero: {from: Pedido}
      orgao_cnpj: {const: "00394460000141"}
      fornecedor: {from: CNPJ}
      data_assinatura: {from: Data}
"""


async def test_a_model_has_the_columns_and_explains_them(open_api: OpenApi, folder: Path, stored: Database) -> None:
    (folder / "layouts").mkdir()
    (folder / "layouts" / "vendas.yaml").write_text(LAYOUT)
    api = await is_loaded(await open_api(connections_dir=folder), "/layouts/vendas/modelo.xlsx")
    answer = await api.get("/entities/pecas/modelo.xlsx")
    assert "pecas-modelo.xlsx" in answer.headers["Content-Disposition"]
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    sheet, explained = book.worksheets
    assert [cell.value for cell in sheet[1]][:3] == ["Código", "Série", "Nome"]
    assert sheet.max_row == 1
    assert sheet.column_dimensions["B"].number_format == "@"
    lines = {row[0]: row for row in explained.iter_rows(min_row=2, values_only=True)}
    assert lines["Nome"][4:] == ("não", "até 100 caracteres")
    assert lines["Código"][3:5] == ("número inteiro", "sim")
    assert "compras" in lines["Compra"][5]
    sheet = openpyxl.load_workbook(io.BytesIO((await api.get("/layouts/vendas/modelo.xlsx")).content)).worksheets[0]
    assert [cell.value for cell in sheet[1]] == ["CNPJ", "Empresa", "Pedido", "Data"]
    layouts = {each["nome"]: each for each in (await api.get("/layouts")).json()["layouts"]}
    assert layouts["vendas"]["entidades"] == ["fornecedores_proprios", "compras"]
    assert "oportunidades" not in layouts
    assert (await api.get("/layouts/nada/modelo.xlsx")).json()["code"] == "unknown_layout"
    assert (await api.get("/entities/oportunidades/modelo.xlsx")).status_code == 404
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        assert b"<f>" not in file.read("xl/worksheets/sheet1.xml")


async def test_a_cpf_that_stands_in_a_text_or_in_json_is_masked_wherever_the_record_is_shown(
    stored: Database, open_api: OpenApi, tmp_path: Path
) -> None:
    (tmp_path / "entities").mkdir()
    columns = "{id: text, nome: text, dono: {type: text, references: fornecedores_proprios}, extra: json, lote: text}"
    (tmp_path / "entities" / "contatos.yaml").write_text(f"key: id\ncolumns: {columns}\n")
    lot = "52998224726"  # eleven digits that are no CPF
    extra = {"cpf": CPF, "lista": [{"texto": f"de {CPF}"}], "n": Decimal("1.10")}
    await put(stored, "contatos", {"1": {"id": "1", "nome": f"ANA {CPF}", "dono": CPF, "extra": extra, "lote": lot}})
    api = await is_loaded(await open_api(connections_dir=tmp_path), "/contatos")
    for path in (
        *("/contatos", "/contatos?campos=todos", "/contatos.csv", "/contatos.csv?excel=1", "/contatos.ndjson"),
        *("/contatos.atom", "/contatos/facetas?facetas=nome,dono,lote"),
    ):
        answer = await api.get(path)
        assert answer.status_code == 200, answer.text
        assert CPF not in answer.text, path
        assert answer.text.count(MASKED) >= 2, path
        assert lot in answer.text, path
    (shown,) = (await api.get("/contatos?campos=extra")).json(parse_float=Decimal)["registros"]
    masked = {"cpf": MASKED, "lista": [{"texto": f"de {MASKED}"}], "n": Decimal("1.10")}
    assert shown["extra"] == masked
    assert (await api.get("/contatos.ndjson?campos=extra")).status_code == 422
    (whole,) = (await api.get("/contatos?campos=todos&dados_pessoais=true")).json(parse_float=Decimal)["registros"]
    assert (whole["nome"], whole["dono"], whole["extra"]) == (f"ANA {CPF}", CPF, extra)


async def test_the_cursor_of_a_view_of_persons_does_not_say_who_comes_last(
    open_api: OpenApi, folder: Path, stored: Database
) -> None:
    columns = "{cpf: cpf, total: number}"
    written = f"view: vw_pessoas\nkey: cpf\nversion: mudou\ncolumns: {columns}\n"
    (folder / "entities" / "da_visao.yaml").write_text(written)
    await stored.rows("CREATE VIEW vw_pessoas AS SELECT cnpj AS cpf, total, mudou FROM valores LIMIT 9")
    try:
        api = await is_loaded(await open_api(**USERS, connections_dir=folder), "/da-visao", auth=VIEWER)
        numbers = {row.cpf for row in await stored.rows("SELECT cpf FROM vw_pessoas")}
        guesses = {hashlib.md5(each.encode(), usedforsecurity=False).hexdigest() for each in numbers}
        cursor, found = None, []
        while cursor is not None or not found:
            asked = {"limite": 2, **({"cursor": cursor} if cursor else {})}
            page = (await api.get("/da-visao", params=asked, auth=VIEWER)).json()
            found += page["registros"]
            cursor = page["proximo"]
            assert cursor is None or guesses.isdisjoint(json.loads(base64.urlsafe_b64decode(cursor + "==")))
        assert len(found) == len(numbers)
    finally:
        await stored.rows("DROP VIEW vw_pessoas")
