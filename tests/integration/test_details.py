"""One record or party with what hangs on it, derived from the descriptions."""

import json
import re
from decimal import Decimal
from typing import Any

import httpx
import pytest

from backend.services.entities.address import find_record, portal_page, record_path
from common.entities.entity import ENTITIES, Entity, of_resource
from common.resources import RESOURCES
from common.resources.description import Resource
from tests.integration.conftest import Database, OpenApi
from tests.integration.test_entities import CPF, MASKED, loads

every_resource = pytest.mark.parametrize("resource", RESOURCES, ids=[each.name for each in RESOURCES])
every_party = pytest.mark.parametrize("entity", [each for each in ENTITIES if each.party], ids=lambda each: each.name)

VIEWER = ("viewer", "the viewer's words")
ADMIN = ("admin", "the admin's words")


async def keys_of(database: Database, resource: Resource) -> list[str]:
    return [row[0] for row in await database.rows(f"SELECT {resource.key} FROM {resource.name} ORDER BY 1")]


def address(resource: Resource, key: str) -> str:
    path = record_path(resource, key)
    assert path is not None
    return path


async def all_of(api: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = loads(await api.get(path))["registros"]
    return rows


@every_resource
async def test_a_record_is_shown_with_all_that_hangs_on_it(
    api: httpx.AsyncClient, filled: Database, resource: Resource
) -> None:
    entity = of_resource(resource)
    whole = {row[resource.key]: row for row in await all_of(api, f"/{entity.address}?limite=500&campos=todos")}
    for key in (await keys_of(filled, resource))[:8]:
        shown = loads(await api.get(address(resource, key)))
        assert shown["registro"] == whole[key]
        assert shown["endereco"] == address(resource, key)
        assert shown["fonte"] == portal_page(resource, key)
        for name, part in shown["listas"].items():
            linked = await all_of(api, f"{part['endereco']}&limite=500")
            assert len(linked) == part["total"] == len(part["registros"]), name
            assert all(row[resource.key] == key for row in linked)
        for part in shown["referido_por"]:
            linked = await all_of(api, f"{part['endereco']}&limite=500")
            assert [row | {"endereco": None} for row in linked] == [
                row | {"endereco": None} for row in part["registros"]
            ]
            for row in part["registros"]:
                again = loads(await api.get(row["endereco"]))
                named = {each["chave"]: each for each in again["refere"] if each["campo"] == part["campo"]}
                assert named[key]["endereco"] == address(resource, key)
                assert named[key]["registro"][resource.key] == key
        for party in shown["partes"]:
            assert loads(await api.get(party["endereco"]))["endereco"] == party["endereco"]


@every_resource
async def test_numbers_are_taken_with_and_without_zeros_in_front(
    api: httpx.AsyncClient, filled: Database, resource: Resource
) -> None:
    key = (await keys_of(filled, resource))[3]
    path = address(resource, key)
    shown = loads(await api.get(path))
    *before, last = path.split("/")
    assert loads(await api.get("/".join([*before, f"000{last}"]))) == shown
    zeros = re.sub(r"(?<=[-/])0+(?=[0-9])", "", key)
    for number in (key, zeros):
        moved = await api.get(f"/controle/{number}?dados_pessoais=false")
        assert moved.status_code == 307
        assert moved.headers["Location"] == f"{path}?dados_pessoais=false"
        assert loads(await api.get(moved.headers["Location"])) == shown


@pytest.mark.parametrize(
    "number",
    [
        "1",
        "03112386000111-1-000001",
        "03112386000111-3-000001/2025",
        "x" * 300,
        "%00",
        "a/b/c",
        "03112386000111-1-0/2025x",
    ],
)
async def test_what_is_no_control_number_is_refused(api: httpx.AsyncClient, filled: Database, number: str) -> None:
    answer = await api.get(f"/controle/{number}")
    assert answer.status_code == 422
    assert "CNPJ-1-SSSSSS/AAAA-NNNNNN" in answer.json()["detail"]


def test_a_control_number_names_one_kind_of_record() -> None:
    for number, path in (
        ("03112386000111-1-000007/2025", "/contratacoes/03112386000111/2025/7"),
        ("03112386000111-2-7/2025", "/contratos/03112386000111/2025/7"),
        ("03112386000111-1-000007/2025-000012", "/atas/03112386000111/2025/7/12"),
        ("03112386000111-0-1234567/2025", "/pcas/03112386000111/2025/1234567"),
        ("03112386000111-2025-7-12", "/instrumentos-cobranca/03112386000111/2025/7/12"),
    ):
        assert find_record(number) == path


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/contratos/0311238600011/2025/1", "cnpj"),
        ("/contratos/03112386000111/2025x/1", "ano"),
        ("/contratos/03112386000111/2025/1234567890", "sequencial"),
        ("/contratos/03112386000111/2025/um", "sequencial"),
        ("/contratos/03112386000111/2025/1?campos=todos", "campos"),
        ("/contratos/03112386000111/2025/1?dados_pessoais=talvez", "dados_pessoais"),
        ("/fornecedores/um", "id"),
        ("/orgaos/%00", "cnpj"),
    ],
)
async def test_what_is_wrong_in_an_address_is_said(
    api: httpx.AsyncClient, filled: Database, path: str, told: str
) -> None:
    answer = await api.get(path)
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["detail"]


# --- what is missing --------------------------------------------------------------------------------------------


async def test_of_a_record_that_is_missing_it_is_said_whether_the_year_is_complete(
    api: httpx.AsyncClient, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.entities.mirror.KEPT_SECONDS", 0.0)
    path, key = "/contratos/03112386000111/2024/900", "03112386000111-2-000900/2024"

    async def told() -> str:
        answer = await api.get(path)
        assert answer.status_code == 404
        return str(answer.json()["detail"])

    assert "não está completo para os dias de 2024" in await told()
    assert "https://pncp.gov.br/app/contratos/03112386000111/2024/900" in await told()
    await filled.rows(
        "INSERT INTO watermarks (resource, part, since, reached, complete_from)"
        " VALUES ('contratos', 0, '2023-01-01', '2025-02-01', '2024-01-01')"
    )
    assert await told() == (
        f"O espelho não tem {key}, e nada falta nele dos dias de 2024 já encerrados (Contratos e empenhos)."
    )
    await filled.rows("UPDATE watermarks SET complete_from = '2024-01-02'")
    assert "pode existir no portal" in await told()
    await filled.rows(
        "INSERT INTO rejected_records (resource, natural_key, reason, payload_hash, payload)"
        " VALUES ('contratos', :key, 'x', 'x', '{}')",
        key=key,
    )
    assert "foi recusado" in await told()


@pytest.mark.parametrize(
    "path", ["/orgaos/99999999999999", "/unidades/1/2", "/fornecedores/PJ/9", "/fornecedores/999999"]
)
async def test_a_party_that_no_record_names_is_missing(api: httpx.AsyncClient, filled: Database, path: str) -> None:
    answer = await api.get(path)
    assert answer.status_code == 404
    assert "Espelho incompleto" in answer.json()["detail"]


async def test_a_year_that_is_none_is_no_fault_of_ours(api: httpx.AsyncClient, filled: Database) -> None:
    for year in ("0", "1", "0001", "9999"):
        assert (await api.get(f"/contratacoes/03112386000111/{year}/1")).status_code == 404


async def test_what_is_still_to_be_read_of_a_record_is_said(api: httpx.AsyncClient, filled: Database) -> None:
    resource = RESOURCES[0]
    key = (await keys_of(filled, resource))[0]

    async def state() -> tuple[dict[str, str], dict[str, Any]]:
        shown = loads(await api.get(address(resource, key)))
        return {name: each["situacao"] for name, each in shown["listas"].items()}, shown["espelho"]

    await filled.rows("UPDATE itens_contratacao SET tem_resultado = true")
    situations, mirror = await state()
    outside = {"documentos": "fora do escopo", "historico": "fora do escopo"}
    assert situations == {"itens": "falta", "resultados": "falta", **outside}
    await filled.rows("UPDATE contratacoes SET itens_at = now(), arquivos_at = now(), historico_at = now()")
    situations, mirror = await state()
    shown = loads(await api.get(address(resource, key)))["listas"]
    assert {name: each["lista"] for name, each in shown.items()} == {
        "itens": None,
        "resultados": "resultados",
        "documentos": "arquivos",
        "historico": "historico",
    }
    read = {"documentos": "lida", "historico": "lida"}
    assert situations == {"itens": "lida", "resultados": "fora do escopo", **read}
    assert not mirror["completo"]
    await filled.rows("UPDATE itens_contratacao SET tem_resultado = false")
    situations, mirror = await state()
    assert situations == {"itens": "lida", "resultados": "lida", **read}
    assert mirror["completo"]
    await filled.rows(
        "INSERT INTO itens_owed (numero_controle_pncp, as_of, reason) VALUES (:key, now(), 'unread')", key=key
    )
    situations, mirror = await state()
    assert (situations["itens"], mirror["completo"], mirror["listas_faltando"]) == ("falta", False, ["itens"])
    await filled.rows("DELETE FROM itens_owed")
    await filled.rows(
        "INSERT INTO rejected_records (resource, natural_key, reason, payload_hash, payload)"
        " VALUES ('itens_contratacao', :key, 'x', 'x', '{}')",
        key=key,
    )
    _, mirror = await state()
    assert (mirror["completo"], mirror["registros_recusados"]) == (False, 1)


async def test_a_long_list_is_cut_and_says_how_long_it_is(
    api: httpx.AsyncClient, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.entities.detail.MOST_LISTED", 2)
    resource = RESOURCES[0]
    key = (await keys_of(filled, resource))[0]
    itens = loads(await api.get(address(resource, key)))["listas"]["itens"]
    numbers = [
        row[0]
        for row in await filled.rows(
            "SELECT numero_item FROM itens_contratacao WHERE numero_controle_pncp = :key ORDER BY 1", key=key
        )
    ]
    assert [row["numero_item"] for row in itens["registros"]] == numbers[:2]
    assert (itens["total"], itens["total_tipo"]) == (len(numbers), "exato")
    assert len(numbers) > 2


# --- parties ----------------------------------------------------------------------------------------------------


@every_party
async def test_a_party_leads_to_the_lists_that_name_it(
    api: httpx.AsyncClient, filled: Database, entity: Entity
) -> None:
    for row in await all_of(api, f"/{entity.address}?campos=todos&dados_pessoais=true"):
        key = [row[each.name] for each in entity.key if each.name in row] or [row["tipo_pessoa"], row["ni"]]
        quoted = [str(httpx.URL("http://x/").copy_with(params={"k": value})).partition("k=")[2] for value in key]
        path = f"/{entity.address}/{'/'.join(each.replace('+', '%20') for each in quoted)}?dados_pessoais=true"
        shown = loads(await api.get(path))
        assert {name: value for name, value in shown["registro"].items() if name != "id"} == row
        assert loads(await api.get(f"{shown['endereco']}?dados_pessoais=true")) == shown
        assert len(shown["citada_em"]) > 3
        for each in shown["citada_em"]:
            assert loads(await api.get(each["endereco"])), each
        if entity.party and entity.party.owner:
            assert loads(await api.get(shown["pertence_a"]))["registro"]["cnpj"] == row["cnpj"]


async def test_a_natural_person_is_masked_and_not_named_by_any_address(open_api: OpenApi, filled: Database) -> None:
    api = await open_api(admin_password=ADMIN[1], viewer_password=VIEWER[1])
    await filled.rows(
        "UPDATE contratos SET tipo_pessoa = 'PF', ni_fornecedor = :cpf, nome_razao_social_fornecedor = 'JO ' || :cpf",
        cpf=CPF,
    )
    key = (await keys_of(filled, RESOURCES[1]))[0]
    for path in (address(RESOURCES[1], key), f"/fornecedores/PF/{CPF}"):
        for user, query, sees in ((VIEWER, "", False), (ADMIN, "", False), (ADMIN, "?dados_pessoais=true", True)):
            answer = await api.get(path + query, auth=user)
            assert answer.status_code == 200
            assert (CPF in answer.text, MASKED in answer.text) == (sees, not sees), path
            assert answer.headers["Cache-Control"] == ("no-store" if sees else "private, no-cache")
        assert (await api.get(f"{path}?dados_pessoais=true", auth=VIEWER)).status_code == 422
    person = json.loads((await api.get(f"/fornecedores/PF/{CPF}", auth=VIEWER)).text, parse_float=Decimal)
    assert [(each["nome"], each["contratos"]) for each in person["perfil"]["nomes"]] == [(f"JO {MASKED}", 40)]
    assert (person["citada_em"], person["raiz"]) == ([], None)
    assert re.fullmatch("/fornecedores/[0-9]+", person["endereco"])
