"""The simulator answers as the portal was recorded to answer."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any

import aiohttp
import pytest

from simulator import Quirks, Simulator, World, generate, serve

pytestmark = pytest.mark.enable_socket

NOW = datetime.fromisoformat("2025-01-20T12:00:00")
LISTING_KEYS = {
    "amparoLegal",
    "anoCompra",
    "dataAberturaProposta",
    "dataAtualizacao",
    "dataAtualizacaoGlobal",
    "dataEncerramentoProposta",
    "dataInclusao",
    "dataPublicacaoPncp",
    "fontesOrcamentarias",
    "informacaoComplementar",
    "justificativaPresencial",
    "linkProcessoEletronico",
    "linkSistemaOrigem",
    "modalidadeId",
    "modalidadeNome",
    "modoDisputaId",
    "modoDisputaNome",
    "numeroCompra",
    "numeroControlePNCP",
    "objetoCompra",
    "orgaoEntidade",
    "orgaoSubRogado",
    "processo",
    "sequencialCompra",
    "situacaoCompraId",
    "situacaoCompraNome",
    "srp",
    "tipoInstrumentoConvocatorioCodigo",
    "tipoInstrumentoConvocatorioNome",
    "unidadeOrgao",
    "unidadeSubRogada",
    "usuarioNome",
    "valorTotalEstimado",
    "valorTotalHomologado",
}
ITEM_KEYS = {
    "aplicabilidadeMargemPreferenciaAdicional",
    "aplicabilidadeMargemPreferenciaNormal",
    "catalogo",
    "catalogoCodigoItem",
    "categoriaItemCatalogo",
    "codigoRegistroImobiliario",
    "criterioJulgamentoId",
    "criterioJulgamentoNome",
    "dataAtualizacao",
    "dataInclusao",
    "descricao",
    "exigenciaConteudoNacional",
    "imagem",
    "incentivoProdutivoBasico",
    "informacaoComplementar",
    "itemCategoriaId",
    "itemCategoriaNome",
    "materialOuServico",
    "materialOuServicoNome",
    "ncmNbsCodigo",
    "ncmNbsDescricao",
    "numeroItem",
    "orcamentoSigiloso",
    "patrimonio",
    "percentualMargemPreferenciaAdicional",
    "percentualMargemPreferenciaNormal",
    "quantidade",
    "situacaoCompraItem",
    "situacaoCompraItemNome",
    "temResultado",
    "tipoBeneficio",
    "tipoBeneficioNome",
    "tipoMargemPreferencia",
    "unidadeMedida",
    "valorTotal",
    "valorUnitarioEstimado",
}


class Portal:
    """A client and the simulator it asks."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.session = session

    async def get(self, path: str, **parameters: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        async with self.session.get(self.simulator.base_url + path, params=parameters) as response:
            body = await response.read()
            return response.status, json.loads(body) if body else None, response

    async def listing(self, criterio: str = "publicacao", **over: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        parameters = {
            "dataInicial": "20250106",
            "dataFinal": "20250106",
            "codigoModalidadeContratacao": 6,
            "pagina": 1,
            "tamanhoPagina": 10,
        } | over
        wanted = {key: value for key, value in parameters.items() if value is not None}
        return await self.get(f"/consulta/v1/contratacoes/{criterio}", **wanted)

    async def contratos(self, suffix: str = "", **over: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        parameters = {"dataInicial": "20250106", "dataFinal": "20250108", "pagina": 1, "tamanhoPagina": 10} | over
        wanted = {key: value for key, value in parameters.items() if value is not None}
        return await self.get(f"/consulta/v1/contratos{suffix}", **wanted)


@pytest.fixture(scope="module")
def records() -> World:
    return generate(1, date(2025, 1, 6), date(2025, 1, 8), 200, now=lambda: NOW)


@pytest.fixture
async def portal(records: World) -> AsyncIterator[Portal]:
    async with serve(records) as simulator, aiohttp.ClientSession() as session:
        yield Portal(simulator, session)


@pytest.fixture
async def empty() -> AsyncIterator[Portal]:
    world = generate(1, date(2025, 1, 6), date(2025, 1, 8), 0, now=lambda: NOW)
    async with serve(world) as simulator, aiohttp.ClientSession() as session:
        yield Portal(simulator, session)


async def test_a_listing_is_an_envelope_of_records_with_every_field(portal: Portal) -> None:
    status, envelope, _ = await portal.listing()
    assert status == 200
    assert list(envelope) == ["data", "totalRegistros", "totalPaginas", "numeroPagina", "paginasRestantes", "empty"]
    assert len(envelope["data"]) == 10
    assert envelope["totalPaginas"] == -(-envelope["totalRegistros"] // 10)
    assert envelope["paginasRestantes"] == envelope["totalPaginas"] - 1
    assert envelope["numeroPagina"] == 1
    assert envelope["empty"] is False
    assert all(set(record) == LISTING_KEYS for record in envelope["data"])


async def test_the_headers_are_those_recorded(portal: Portal) -> None:
    _, _, response = await portal.listing()
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-cache, no-store, max-age=0, must-revalidate"
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["Date"].endswith(" GMT")
    assert "Server" not in response.headers
    assert "Content-Length" not in response.headers


async def test_an_empty_listing_is_204_without_a_body(portal: Portal) -> None:
    status, body, response = await portal.listing(dataInicial="20240101", dataFinal="20240101")
    assert (status, body) == (204, None)
    assert response.headers["Content-Type"] == "application/json"
    assert "Transfer-Encoding" not in response.headers


@pytest.mark.parametrize("modalidade", [0, 20, 999])
async def test_a_modalidade_the_portal_does_not_know_finds_nothing(portal: Portal, modalidade: int) -> None:
    status, body, _ = await portal.listing(codigoModalidadeContratacao=modalidade)
    assert (status, body) == (204, None)


async def test_the_pages_of_a_listing_hold_every_record_once_and_in_order(portal: Portal, records: World) -> None:
    for criterio, stamp in (("publicacao", "dataPublicacaoPncp"), ("atualizacao", "dataAtualizacaoGlobal")):
        read: list[Any] = []
        pages = 1
        page = 1
        while page <= pages:
            _, envelope, _ = await portal.listing(criterio, pagina=page)
            pages = envelope["totalPaginas"]
            read += envelope["data"]
            page += 1
        truth = records.select(
            "publicacao" if criterio == "publicacao" else "atualizacao", "2025-01-06", "2025-01-06T23:59:59", [6]
        )
        assert [record["numeroControlePNCP"] for record in read] == [each.numero_controle_pncp for each in truth]
        assert [record[stamp] for record in read] == sorted(record[stamp] for record in read)
        assert len(truth) == envelope["totalRegistros"] > 20


async def test_a_window_of_days_includes_both_ends(portal: Portal) -> None:
    counts = []
    for first, last in (("06", "06"), ("07", "07"), ("08", "08"), ("06", "08")):
        _, envelope, _ = await portal.listing(dataInicial=f"202501{first}", dataFinal=f"202501{last}")
        counts.append(envelope["totalRegistros"])
    assert sum(counts[:3]) == counts[3]


async def test_the_default_page_size_is_ten(portal: Portal) -> None:
    _, envelope, _ = await portal.listing(tamanhoPagina=None)
    assert len(envelope["data"]) == 10


@pytest.mark.parametrize("missing", ["dataInicial", "dataFinal", "codigoModalidadeContratacao", "pagina"])
async def test_a_missing_parameter_is_400_as_spring_says_it(portal: Portal, missing: str) -> None:
    status, body, response = await portal.listing(**dict[str, Any]({missing: None}))
    kind = {"codigoModalidadeContratacao": "Long", "pagina": "Integer"}.get(missing, "String")
    assert status == 400
    assert response.headers["Content-Type"] == "application/json"
    assert body == {
        "timestamp": "2025-01-20T15:00:00.000+00:00",
        "status": 400,
        "error": "Bad Request",
        "message": f"Required request parameter '{missing}' for method parameter type {kind} is not present",
        "path": "/pncp-consulta/v1/contratacoes/publicacao",
    }


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"tamanhoPagina": 9}, "Tamanho de página inválido"),
        ({"tamanhoPagina": 51}, "Tamanho de página inválido"),
        ({"tamanhoPagina": "dez"}, 'For input string: "dez"'),
        ({"codigoModalidadeContratacao": "seis"}, "java.lang.Long"),
        ({"pagina": "9" * 12}, "java.lang.Integer"),
        ({"pagina": 0}, "página"),
        ({"pagina": 100_000}, "página"),
    ],
)
async def test_an_unfit_number_is_400(portal: Portal, over: dict[str, Any], message: str) -> None:
    status, body, _ = await portal.listing(**over)
    assert status == body["status"] == 400
    assert message in body["message"]


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("20250107", "20250106", "Data Inicial deve ser anterior ou igual à Data Final"),
        ("20240101", "20250101", "Período inicial e final maior que 365 dias."),
        ("2025-01-06", "20250106", "Data Inicial inválida"),
        ("20250106", "20250230", "Data Final inválida"),
    ],
)
async def test_dates_against_the_rules_are_422_with_the_status_as_text(
    portal: Portal, first: str, last: str, message: str
) -> None:
    status, body, _ = await portal.listing(dataInicial=first, dataFinal=last)
    assert status == 422
    assert body == {
        "path": "/pncp-consulta/v1/contratacoes/publicacao",
        "message": message,
        "error": "422 UNPROCESSABLE_ENTITY",
        "timestamp": "2025-01-20T12:00:00.000-03:00",
        "status": "422",
    }


async def test_a_whole_leap_year_is_accepted(portal: Portal) -> None:
    status, _, _ = await portal.listing(dataInicial="20240101", dataFinal="20241231")
    assert status == 204


@pytest.mark.parametrize(("setting", "status"), [("400", 400), ("204", 204), ("empty", 200)])
async def test_a_page_beyond_the_end_answers_as_set(portal: Portal, setting: str, status: int) -> None:
    portal.simulator.quirks.update({"page_beyond_end": setting})
    answered, body, _ = await portal.listing(pagina=500)
    assert answered == status
    if status == 200:
        assert (body["data"], body["empty"], body["numeroPagina"]) == ([], True, 500)


async def test_filters_narrow_a_listing_and_unknown_parameters_do_not(portal: Portal) -> None:
    _, everything, _ = await portal.listing(tamanhoPagina=50, codigoModalidadeContratacao=8)
    sample = everything["data"][0]
    wanted = {
        "uf": (("unidadeOrgao", "ufSigla"), sample["unidadeOrgao"]["ufSigla"]),
        "codigoMunicipioIbge": (("unidadeOrgao", "codigoIbge"), sample["unidadeOrgao"]["codigoIbge"]),
        "codigoUnidadeAdministrativa": (("unidadeOrgao", "codigoUnidade"), sample["unidadeOrgao"]["codigoUnidade"]),
        "cnpj": (("orgaoEntidade", "cnpj"), sample["orgaoEntidade"]["cnpj"]),
    }
    for parameter, ((outer, inner), value) in wanted.items():
        _, some, _ = await portal.listing(codigoModalidadeContratacao=8, **{parameter: value})
        assert {record[outer][inner] for record in some["data"]} == {value}
        assert 0 < some["totalRegistros"] < everything["totalRegistros"]
    _, some, _ = await portal.listing(codigoModalidadeContratacao=8, codigoModoDisputa=sample["modoDisputaId"])
    assert {record["modoDisputaId"] for record in some["data"]} == {sample["modoDisputaId"]}
    _, ignored, _ = await portal.listing(codigoModalidadeContratacao=8, cnpjOrgao="0" * 14, sort="desc")
    assert ignored["totalRegistros"] == everything["totalRegistros"]


async def test_the_detail_has_the_record_and_three_keys_more(portal: Portal) -> None:
    _, envelope, _ = await portal.listing()
    record = envelope["data"][0]
    path = f"/consulta/v1/orgaos/{record['orgaoEntidade']['cnpj']}/compras/{record['anoCompra']}"
    status, detail, _ = await portal.get(f"{path}/{record['sequencialCompra']}")
    assert status == 200
    assert set(detail) - set(record) == {"orcamentoSigilosoCodigo", "orcamentoSigilosoDescricao", "existeResultado"}
    assert {key: detail[key] for key in record} == record
    status, _, _ = await portal.get(f"{path}/{record['sequencialCompra']:06d}")
    assert status == 404  # leading zeros are not part of the path form


async def test_an_unknown_contratacao_is_404_everywhere(portal: Portal) -> None:
    missing = {"status": "404", "error": "404 NOT_FOUND", "message": "Contratação não cadastrada."}
    for path in ("consulta/v1/{}", "pncp/v1/{}/itens", "pncp/v1/{}/itens/quantidade"):
        status, body, _ = await portal.get("/" + path.format("orgaos/00000000000000/compras/2025/1"))
        assert (status, body) == (404, missing)


async def test_an_unknown_path_is_404(portal: Portal) -> None:
    status, body, _ = await portal.get("/consulta/v1/orgaos/00000000000000/compras/2025/1/itens")
    assert status == body["status"] == 404
    assert body["path"] == "/pncp-consulta/v1/orgaos/00000000000000/compras/2025/1/itens"


def items_path(key: str, suffix: str = "") -> str:
    cnpj, _, rest = key.split("-")
    sequencial, ano = rest.split("/")
    return f"/pncp/v1/orgaos/{cnpj}/compras/{ano}/{int(sequencial)}/itens{suffix}"


async def test_items_come_ten_at_a_time_unless_asked_otherwise(empty: Portal) -> None:
    key = empty.simulator.world.put(data_publicacao="2025-01-07T10:00:00", items=23)
    status, body, response = await empty.get(items_path(key))
    assert status == 200
    assert [item["numeroItem"] for item in body] == list(range(1, 11))
    assert set(body[0]) == ITEM_KEYS
    assert set(response.headers).isdisjoint({"X-Total-Count", "Link"})
    numbers = []
    for page in (1, 2, 3, 4):
        _, body, _ = await empty.get(items_path(key), pagina=page, tamanhoPagina=10)
        numbers.append([item["numeroItem"] for item in body])
    assert [len(each) for each in numbers] == [10, 10, 3, 0]
    assert list(itertools.chain.from_iterable(numbers)) == list(range(1, 24))
    _, body, _ = await empty.get(items_path(key), pagina=1, tamanhoPagina=10_000)
    assert len(body) == 23
    assert (await empty.get(items_path(key, "/quantidade")))[:2] == (200, 23)


@pytest.mark.parametrize(
    ("setting", "status", "expected"), [("204", 204, None), ("404", 404, dict), ("empty", 200, [])]
)
async def test_a_contratacao_without_items_answers_as_set(
    empty: Portal, setting: str, status: int, expected: Any
) -> None:
    key = empty.simulator.world.put(items=0)
    empty.simulator.quirks.update({"no_items": setting})
    answered, body, _ = await empty.get(items_path(key))
    assert answered == status
    assert body["message"] if expected is dict else body == expected
    assert (await empty.get(items_path(key, "/quantidade")))[:2] == (200, 0)


async def test_state_and_truth_are_told_outside_the_api(portal: Portal, records: World) -> None:
    await asyncio.gather(*(portal.listing(pagina=page) for page in (1, 2, 3)))
    await portal.listing(pagina=None)
    control = portal.simulator.control_url
    async with portal.session.get(f"{control}/state") as response:
        state = await response.json()
    assert state["records"] == len(records)
    assert state["items"] == records.item_count
    assert state["days"] == ["2025-01-06", "2025-01-08"]
    assert state["requests"] == {"consulta": 4}
    assert state["statuses"] == {"200": 3, "400": 1}
    assert state["paths"] == {"/api/consulta/v1/contratacoes/publicacao": 4}
    assert 1 <= state["largest_concurrency"]["consulta"] <= 3
    window = {"criterio": "atualizacao", "data_ini": "2025-01-07T00:00:00", "data_fim": "2025-01-07T23:59:59"}
    async with portal.session.get(f"{control}/records", params=window | {"modalidades": "6,8"}) as response:
        truth = await response.json()
    _, listed, _ = await portal.listing("atualizacao", dataInicial="20250107", dataFinal="20250107")
    assert sum(record["modalidadeId"] == 6 for record in truth) == listed["totalRegistros"]
    assert set(truth[0]) == {
        "numeroControlePNCP",
        "dataPublicacaoPncp",
        "dataAtualizacao",
        "dataAtualizacaoGlobal",
        "modalidadeId",
        "itens",
    }
    async with portal.session.delete(f"{control}/state") as response:
        assert response.status == 204
    assert not portal.simulator.stats.log
    async with portal.session.get(f"{control}/records", params={"criterio": "outro"}) as response:
        assert response.status == 400


async def test_the_world_changes_by_order_from_outside(empty: Portal) -> None:
    control, world = empty.simulator.control_url, empty.simulator.world
    body = {"modalidade": 9, "data_publicacao": "2025-01-07T10:00:00", "items": 2, "record": {"objetoCompra": "Giz"}}
    async with empty.session.post(f"{control}/records", json=body) as response:
        assert response.status == 201
        key = (await response.json())["numeroControlePNCP"]
    assert world.record(key)["objetoCompra"] == "Giz"
    async with empty.session.post(f"{control}/changes", json={"publish": 3, "modalidade": 6}) as response:
        assert len((await response.json())["published"]) == 3
    async with empty.session.post(f"{control}/changes", json={"touch": [key]}) as response:
        assert (await response.json())["touched"] == [key]
    assert world.record(key)["dataAtualizacaoGlobal"] == NOW.isoformat()
    async with empty.session.post(f"{control}/changes", json={"remove": [key]}) as response:
        assert (await response.json())["removed"] == [key]
    assert key not in world
    for bad in ({"remove": ["nenhum"]}, {"explode": 1}):
        async with empty.session.post(f"{control}/changes", json=bad) as response:
            assert response.status == 400
    async with empty.session.post(f"{control}/records", data="[]") as response:
        assert response.status == 400


# Contratos


async def test_contratos_are_listed_by_day_up_to_500_a_page(portal: Portal, records: World) -> None:
    status, envelope, _ = await portal.contratos(tamanhoPagina=500)
    assert status == 200
    assert list(envelope) == ["data", "totalRegistros", "totalPaginas", "numeroPagina", "paginasRestantes", "empty"]
    keys = [record["numeroControlePNCP"] for record in envelope["data"]]
    assert keys == [record.numero_controle_pncp for record in records.contratos.select("publicacao")]
    assert envelope["totalRegistros"] == len(keys) > 100
    by_tens = []
    for page in range(1, -(-len(keys) // 10) + 1):
        _, part, _ = await portal.contratos(pagina=page)
        by_tens += [record["numeroControlePNCP"] for record in part["data"]]
    assert (part["paginasRestantes"], by_tens) == (0, keys)
    _, default, _ = await portal.contratos(tamanhoPagina=None)
    assert len(default["data"]) == len(keys)


async def test_contratos_are_listed_by_their_last_change_too(portal: Portal, records: World) -> None:
    moved = records.contratos.select("atualizacao", "2025-01-08T00:00:00", "2025-01-08T23:59:59")
    _, listed, _ = await portal.contratos("/atualizacao", dataInicial="20250108", tamanhoPagina=500)
    assert [record["numeroControlePNCP"] for record in listed["data"]] == [
        record.numero_controle_pncp for record in moved
    ]
    assert all(record["dataAtualizacaoGlobal"].startswith("2025-01-08") for record in listed["data"])
    assert any(record["dataPublicacaoPncp"] < "2025-01-08" for record in listed["data"])


async def test_an_empty_listing_of_contratos_is_204_without_a_body(empty: Portal) -> None:
    for suffix in ("", "/atualizacao"):
        status, body, response = await empty.contratos(suffix)
        assert (status, body) == (204, None)
        assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("size", [9, 501])
async def test_a_page_of_contratos_outside_the_limits_is_400(portal: Portal, size: int) -> None:
    status, body, _ = await portal.contratos(tamanhoPagina=size)
    assert (status, body["message"]) == (400, "Tamanho de página inválido")
    assert body["path"] == "/pncp-consulta/v1/contratos"


@pytest.mark.parametrize("missing", ["dataInicial", "dataFinal", "pagina"])
async def test_a_missing_parameter_of_contratos_is_400(portal: Portal, missing: str) -> None:
    status, body, _ = await portal.contratos(**{missing: None})
    assert status == 400
    assert f"'{missing}'" in body["message"]


async def test_dates_of_contratos_against_the_rules_are_422(portal: Portal) -> None:
    status, body, _ = await portal.contratos(dataInicial="20240101", dataFinal="20250101")
    assert (status, body["message"]) == (422, "Período inicial e final maior que 365 dias.")


async def test_contratos_are_filtered_by_their_own_parameters_and_no_others(portal: Portal) -> None:
    _, everything, _ = await portal.contratos(tamanhoPagina=500)
    sample = everything["data"][0]
    wanted = {
        "cnpjOrgao": ("orgaoEntidade", "cnpj"),
        "codigoUnidadeAdministrativa": ("unidadeOrgao", "codigoUnidade"),
    }
    for parameter, (outer, inner) in wanted.items():
        _, some, _ = await portal.contratos(**{parameter: sample[outer][inner]})
        assert {record[outer][inner] for record in some["data"]} == {sample[outer][inner]}
        assert 0 < some["totalRegistros"] < everything["totalRegistros"]
    # What filters contratações is unknown here, and the whole country comes.
    ignored = {"cnpj": "0" * 14, "uf": "XX", "codigoMunicipioIbge": "1", "codigoModalidadeContratacao": 6}
    for parameter, value in ignored.items():
        _, all_the_same, _ = await portal.contratos(**{parameter: value})
        assert all_the_same["totalRegistros"] == everything["totalRegistros"]


async def test_pages_of_contratos_of_one_orgao_repeat_some_and_lack_others(empty: Portal) -> None:
    cnpj = "00394429000100"
    put = empty.simulator.world.put
    made = [
        put(
            resource="contratos",
            data_publicacao="2025-01-07T10:00:00",
            orgaoEntidade={"cnpj": cnpj},
            sequencialContrato=number,
        )
        for number in range(1, 41)
    ]
    pages = [(await empty.contratos(pagina=page, cnpjOrgao=cnpj))[1] for page in (1, 2, 3, 4)]
    by_page = [[record["numeroControlePNCP"] for record in page["data"]] for page in pages]
    assert [len(set(keys)) for keys in by_page] == [10, 10, 10, 10]
    assert {page["totalRegistros"] for page in pages} == {40}
    assert 10 < len({key for keys in by_page for key in keys}) < 40
    _, whole, _ = await empty.contratos(cnpjOrgao=cnpj, tamanhoPagina=50)
    assert sorted(record["numeroControlePNCP"] for record in whole["data"]) == sorted(made)


async def test_contratos_have_no_other_paths(portal: Portal) -> None:
    for suffix in ("/", "/publicacao", "/atualizacao/"):
        assert (await portal.contratos(suffix))[0] == 404


async def test_contratos_are_counted_told_and_changed_from_outside(empty: Portal) -> None:
    control, world = empty.simulator.control_url, empty.simulator.world
    body = {"resource": "contratos", "data_publicacao": "2025-01-07T10:00:00", "record": {"objetoContrato": "Giz"}}
    async with empty.session.post(f"{control}/records", json=body) as response:
        assert response.status == 201
        key = (await response.json())["numeroControlePNCP"]
    assert world.record(key)["objetoContrato"] == "Giz"
    change = {"publish": 3, "at": "2025-01-07", "resource": "contratos"}
    async with empty.session.post(f"{control}/changes", json=change) as response:
        assert len((await response.json())["published"]) == 3
    await empty.contratos()
    async with empty.session.get(f"{control}/state") as response:
        state = await response.json()
    assert (state["contratos"], state["records"], state["items"]) == (4, 0, 0)
    assert state["paths"] == {"/api/consulta/v1/contratos": 1}
    async with empty.session.get(f"{control}/requests") as response:
        assert [(service, status) for _, service, status, _ in await response.json()] == [("consulta", "200")]
    window = {"resource": "contratos", "data_ini": "2025-01-07T10:00:00", "data_fim": "2025-01-07T10:00:00"}
    async with empty.session.get(f"{control}/records", params=window) as response:
        truth = await response.json()
    assert truth[0] == {
        "numeroControlePNCP": key,
        "dataPublicacaoPncp": "2025-01-07T10:00:00",
        "dataAtualizacao": "2025-01-07T10:00:00",
        "dataAtualizacaoGlobal": "2025-01-07T10:00:00",
    }
    async with empty.session.post(f"{control}/changes", json={"touch": [key]}) as response:
        assert (await response.json())["touched"] == [key]
    assert world.record(key)["dataAtualizacaoGlobal"] == NOW.isoformat()
    async with empty.session.post(f"{control}/changes", json={"remove": 4, "resource": "contratos"}) as response:
        assert key in (await response.json())["removed"]
    assert not world.contratos.records
    for bad in ({"resource": "editais"}, {"resource": "contratos", "modalidades": "6"}):
        async with empty.session.get(f"{control}/records", params=bad) as response:
            assert response.status == 400
    async with empty.session.post(f"{control}/changes", json={"publish": 1, "resource": "editais"}) as response:
        assert response.status == 400


async def test_two_simulators_live_side_by_side() -> None:
    world = generate(1, date(2025, 1, 6), date(2025, 1, 6), 5, now=lambda: NOW)
    async with serve(world, Quirks()) as first, serve(world) as second:
        assert first.base_url != second.base_url
