"""The simulator's PCAs: generated, recorded, changed; listed by items, and their items by the integration service."""

import json
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from simulator import Query, World, generate, serve
from simulator.invention_pcas import LISTED_KEYS
from simulator.recorded import load_recorded
from simulator.records import decode_json
from tests.portal_client import NO_RECORDINGS, REAL, PortalClient, shape_of

NOW = datetime.fromisoformat("2026-03-01T12:00:00")
CHANGED = "/consulta/v1/pca/atualizacao"


def make(seed: int = 1, per_day: float = 100, **over: Any) -> World:
    return generate(seed, date(2026, 1, 5), date(2026, 1, 16), per_day, **{"now": lambda: NOW} | over)


@pytest.fixture(scope="module")
def world() -> World:
    return make()


@pytest.fixture
async def client() -> AsyncIterator[PortalClient]:
    async with serve(make(per_day=100)) as simulator, aiohttp.ClientSession() as session:
        yield PortalClient(simulator, session)


def window(first: str, last: str, page: int = 1, size: int | None = 500, **over: Any) -> dict[str, Any]:
    return {"dataInicio": first, "dataFim": last, "pagina": page, "tamanhoPagina": size} | over


def of_plan(key: str) -> str:
    cnpj, _, rest = key.split("-")
    sequencial, ano = rest.split("/")
    return f"/pncp/v1/orgaos/{cnpj}/pca/{ano}/{int(sequencial)}"


def item_keys(envelope: Any) -> list[tuple[str, int]]:
    return [(plan["idPcaPncp"], item["numeroItem"]) for plan in envelope["data"] for item in plan["itens"]]


def put_plan(world: World, stamp: str = "2026-02-02T10:00:00", items: int = 25, **over: Any) -> str:
    return world.put(resource="pcas", data_publicacao=stamp, items=items, **over)


def test_plans_belong_to_the_orgaos_of_the_world(world: World) -> None:
    plans = [world.record(key) for key in world.pcas.records]
    assert 0.02 < len(plans) / len(world) < 0.08
    orgaos = {orgao.entidade["cnpj"]: orgao for orgao in world.inventor.orgaos}
    for key, plan in zip(world.pcas.records, plans, strict=True):
        orgao = orgaos[plan["orgaoEntidadeCnpj"]]
        assert plan["orgaoEntidadeRazaoSocial"] == orgao.entidade["razaoSocial"]
        assert plan["codigoUnidade"] in {unidade["codigoUnidade"] for unidade in orgao.unidades}
        assert key == plan["idPcaPncp"]
        assert key[:17] + key[-5:] == f"{plan['orgaoEntidadeCnpj']}-0-/{plan['anoPca']}"
        assert "2026-01-05" < plan["dataPublicacaoPNCP"] <= plan["dataAtualizacaoGlobalPCA"] <= "2026-01-16T23:59:59"
    assert any(plan["dataPublicacaoPNCP"] < plan["dataAtualizacaoGlobalPCA"] for plan in plans)


def test_an_item_is_the_same_in_both_shapes_and_numbers_have_gaps(world: World) -> None:
    gaps = unordered = 0
    for key, head in world.pcas.records.items():
        listed = {item["numeroItem"]: item for item in world.record(key)["itens"]}
        flat = [decode_json(item) for item in world.items(key)]
        numbers = [item["numeroItem"] for item in flat]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == head.item_count == len(listed)
        gaps += numbers[-1] > len(numbers)
        unordered += list(listed) != numbers
        for item in flat:
            assert {shown: item[name] for name, shown in LISTED_KEYS.items()} == listed[item["numeroItem"]]
            assert (item["cnpj"], item["anoPca"], item["sequencialPca"]) == (head.cnpj, head.ano, head.sequencial)
            assert head.publicacao <= item["dataInclusao"] <= item["dataAtualizacao"] <= head.atualizacao_global
    assert gaps > 10
    assert unordered > 10


@pytest.mark.skipif(not REAL.is_dir(), reason=NO_RECORDINGS)
def test_generated_plans_have_the_keys_and_types_of_recorded_ones(world: World) -> None:
    real = load_recorded(REAL)
    text = [file.read_text() for name in ("pca", "pca-atualizacao") for file in (REAL / name).glob("*.json")]
    recorded = [plan for each in text for plan in json.loads(each).get("data", [json.loads(each)])]
    generated = [world.record(key) for key in world.pcas.records]
    both = json.loads(next((REAL / "pca-item-both").glob("*.json")).read_text())
    described = {(f".itens[]{path}", kind) for path, kind in shape_of(both["consulta"])}
    known = set().union(*map(shape_of, recorded)) | described
    assert set().union(*map(shape_of, generated)) == known
    flat = [item for file in (REAL / "pca-itens-pncpapi").glob("*.json") for item in json.loads(file.read_text())]
    made = [json.loads(item) for key in world.pcas.records for item in world.items(key)]
    assert {frozenset(item) for item in made} == {frozenset(item) for item in flat}
    # Only plans of the federal catalogue have been recorded in this shape; the others lack these in their listings.
    ungrouped = {(".grupoContratacaoCodigo", "null"), (".grupoContratacaoNome", "null")}
    assert set().union(*map(shape_of, made)) == set().union(*map(shape_of, flat)) | ungrouped
    assert len(real.pcas.records) == 8


def test_plans_follow_from_the_seed_and_change_nothing_else() -> None:
    plain, asked, late = make(per_day=40), make(per_day=40), make(per_day=40)
    before = {key: asked.payload(each) for key, each in asked.pcas.records.items()}
    late.touch(20)
    added = set(late.publish(3, resource="pcas"))
    found = {key: late.payload(each) for key, each in late.pcas.records.items() if key not in added}
    assert before == found != {}
    asked.publish(3, resource="pcas")
    asked.touch(3, resource="pcas")
    asked.remove(3, resource="pcas")
    for world in (plain, asked):
        for resource in ("contratacoes", "contratos", "atas"):
            world.publish(3, resource=resource)
            world.touch(3, resource=resource)
    for name in ("contratacoes", "contratos", "atas"):
        one, other = (each.store(name).records.values() for each in (plain, asked))
        assert list(map(plain.payload, one)) == list(map(asked.payload, other))


def test_a_touched_plan_moves_with_all_its_items_of_which_few_have_changed() -> None:
    clock = [NOW]
    world = make(per_day=0, now=lambda: clock[0])
    key = put_plan(world, items=30)
    changes = []
    for _ in range(20):
        before = world.record(key)
        clock[0] += timedelta(hours=1)
        assert world.touch([key]) == [key]
        after = world.record(key)
        assert after["dataAtualizacaoGlobalPCA"] == clock[0].isoformat()
        assert after["dataPublicacaoPNCP"] == before["dataPublicacaoPNCP"]
        changed = [one for one, other in zip(after["itens"], before["itens"], strict=True) if one != other]
        assert all(item["dataAtualizacao"] == clock[0].isoformat() for item in changed)
        changes.append(len(changed))
    assert set(changes) == {0, 1}


def test_a_plan_loses_items_and_is_removed() -> None:
    world = make(per_day=40)
    key = put_plan(world, items=3)
    assert world.lose_item([key]) == [key]
    assert len(world.items(key)) == len(world.record(key)["itens"]) == world.pcas.records[key].item_count == 2
    assert world.record(key)["dataAtualizacaoGlobalPCA"] == NOW.isoformat()
    assert set(world.lose_item(10**6, resource="pcas")) <= set(world.pcas.records)
    world.remove([key])
    assert key not in world
    with pytest.raises(KeyError):
        world.items(key)


def test_a_hand_made_plan_is_laid_over_an_invented_one() -> None:
    world = make(per_day=0)
    key = world.put(
        resource="pcas",
        data_publicacao="2026-01-10T12:00:00",
        idPcaPncp="00394429000100-0-000004/2026",
        nomeUnidade="GALEÃO",
        items=[{"numeroItem": 399, "valorTotal": Decimal("320.00")}, {"descricao": None}],
    )
    assert key == "00394429000100-0-000004/2026"
    plan = world.record(key)
    assert (plan["nomeUnidade"], plan["orgaoEntidadeCnpj"], plan["anoPca"]) == ("GALEÃO", "00394429000100", 2026)
    assert {item["numeroItem"] for item in plan["itens"]} == {399, 2}
    assert b'"valorTotal":320.00' in world.payload(world.pcas.records[key])
    world.put(resource="pcas", idPcaPncp=key, data_atualizacao_global="2026-01-11T08:00:00")
    assert len(world.items(key)) == 2
    assert world.record(key)["dataAtualizacaoGlobalPCA"] == "2026-01-11T08:00:00"
    with pytest.raises(ValueError, match="pcas"):
        world.put(resource="pcas", modalidade=6)


@pytest.mark.skipif(not REAL.is_dir(), reason=NO_RECORDINGS)
def test_recorded_plans_are_served_with_the_items_of_both_services() -> None:
    world = load_recorded(REAL)
    text = (REAL / "pca" / "motorpncp_43052497000102_2025_page1.json").read_text()
    recorded = json.loads(text, parse_float=Decimal)["data"][0]
    plan = world.record(recorded["idPcaPncp"])
    by_number = {item["numeroItem"]: item for item in recorded.pop("itens")}
    assert {item["numeroItem"]: item for item in plan.pop("itens")} == by_number
    assert plan == recorded
    flat = json.loads((REAL / "pca-itens-pncpapi" / "ifesbsf_10838653000106_2023.json").read_text())
    key = "10838653000106-0-000014/2023"
    assert [json.loads(item) for item in world.items(key)] == flat
    assert world.record(key)["orgaoEntidadeRazaoSocial"].startswith("INSTITUTO FEDERAL")
    listed = world.listing(Query("atualizacao", None, date(2023, 11, 14), date(2023, 11, 14), resource="pcas"))
    assert [each.numero_controle_pncp for each in listed] == [key]


# What the portal answers


@pytest.mark.enable_socket
async def test_pages_count_items_and_a_plan_goes_on_from_page_to_page(client: PortalClient) -> None:
    one, other = put_plan(client.world, items=25), put_plan(client.world, "2026-02-02T11:00:00", items=8)
    pages = [await client.parsed(CHANGED, **window("20260202", "20260203", page, 10)) for page in (1, 2, 3, 4)]
    assert [(page["totalRegistros"], page["totalPaginas"]) for page in pages] == [(33, 4)] * 4
    assert [[(plan["idPcaPncp"], len(plan["itens"])) for plan in page["data"]] for page in pages] == [
        [(one, 10)],
        [(one, 10)],
        [(one, 5), (other, 5)],
        [(other, 3)],
    ]
    read = [key for page in pages for key in item_keys(page)]
    numbers = {key: {json.loads(item)["numeroItem"] for item in client.world.items(key)} for key in (one, other)}
    assert set(read) == {(key, number) for key, held in numbers.items() for number in held}
    assert len(read) == 33


@pytest.mark.enable_socket
async def test_the_last_day_is_excluded(client: PortalClient) -> None:
    key = put_plan(client.world)
    assert await client.get(CHANGED, **window("20260202", "20260202")) == (200, b"")
    day = await client.parsed(CHANGED, **window("20260202", "20260203"))
    assert {plan["idPcaPncp"] for plan in day["data"]} == {key}
    assert await client.get(CHANGED, **window("20260201", "20260202")) == (200, b"")


@pytest.mark.enable_socket
async def test_a_window_without_plans_is_200_and_not_a_byte(client: PortalClient) -> None:
    assert await client.get(CHANGED, **window("20220101", "20220201")) == (200, b"")
    assert await client.get(CHANGED, **window("20210401", "20210402")) == (200, b"")


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("over", "status", "message"),
    [
        ({"dataInicio": "20210331"}, 422, "Data inicial inválida ou anterior a 20210401"),
        ({"dataInicio": None}, 400, "'dataInicio'"),
        ({"dataFim": None, "dataFinal": "20210501"}, 400, "'dataFim'"),
        ({"pagina": None}, 400, "'pagina'"),
        ({"tamanhoPagina": 9}, 400, "Tamanho de página inválido"),
        ({"tamanhoPagina": 501}, 400, "Tamanho de página inválido"),
        ({"dataFim": "20220601"}, 422, "365 dias"),
        ({"dataFim": "20210401"}, 422, "anterior ou igual"),
        ({"codigoUnidade": "1"}, 422, "Obrigatório que o CNPJ do órgão seja informado."),
    ],
)
async def test_what_is_wrong_about_a_request_is_refused(
    client: PortalClient, over: dict[str, Any], status: int, message: str
) -> None:
    refused, body = await client.get(CHANGED, **window("20210501", "20210502") | over)
    assert refused == status
    assert message in json.loads(body)["message"]


@pytest.mark.enable_socket
async def test_plans_are_filtered_by_orgao_and_unit(client: PortalClient) -> None:
    key = put_plan(client.world, orgaoEntidadeCnpj="00394429000100", codigoUnidade="120645", items=2)
    put_plan(client.world)
    days = window("20260202", "20260203")
    for asked in ({"cnpj": "00394429000100"}, {"cnpj": "00394429000100", "codigoUnidade": "120645"}):
        some = await client.parsed(CHANGED, **days, **asked)
        assert [plan["idPcaPncp"] for plan in some["data"]] == [key]
    assert await client.get(CHANGED, **days, cnpj="00394429000100", codigoUnidade="1") == (200, b"")
    assert (await client.parsed(CHANGED, **days, cnpjOrgao="0"))["totalRegistros"] == 27


@pytest.mark.enable_socket
async def test_the_integration_service_lists_items_flat_ten_at_a_time(client: PortalClient) -> None:
    key = put_plan(client.world, items=25)
    items = [json.loads(item) for item in client.world.items(key)]
    path = of_plan(key)
    assert await client.parsed(f"{path}/itens") == items[:10]
    assert await client.parsed(f"{path}/itens", pagina=2, tamanhoPagina=20) == items[20:]
    assert await client.parsed(f"{path}/itens", tamanhoPagina=2000) == items
    assert await client.parsed(f"{path}/itens", pagina=9) == []
    assert await client.parsed(f"{path}/itens/quantidade") == 25
    of_kind = await client.parsed(f"{path}/itens", categoria=2, tamanhoPagina=100)
    assert of_kind == [item for item in items if item["categoriaItemPcaid"] == 2]
    assert (await client.get(f"{path}/itens", tamanhoPagina=2001))[0] == 400
    whole = await client.parsed(f"{path}/consolidado")
    assert (whole["quantidade"], whole["numeroControlePNCP"]) == (25, key)
    assert whole["dataAtualizacaoGlobalPCA"] == "2026-02-02T10:00:00"
    assert whole["valorTotal"] == pytest.approx(sum(item["valorTotal"] for item in items))
    for part in ("itens", "itens/quantidade", "consolidado"):
        status, body = await client.get(f"/pncp/v1/orgaos/00394429000100/pca/2026/999/{part}")
        assert (status, json.loads(body)["status"]) == (404, "404")


@pytest.mark.enable_socket
async def test_rules_tell_the_listing_of_plans_from_their_items(client: PortalClient) -> None:
    key = put_plan(client.world)
    path = f"{of_plan(key)}/itens"
    day = window("20260202", "20260203")
    client.quirks.add("503", match={"resource": "pcas"})
    assert [(await client.get(CHANGED, **day))[0], (await client.get(path))[0]] == [503, 200]
    client.quirks.reset()
    client.quirks.add("503", match={"kind": "itens_pca", "key": key})
    assert [(await client.get(CHANGED, **day))[0], (await client.get(path))[0]] == [200, 503]
    client.quirks.reset()
    client.quirks.add("nan", match={"kind": "itens_pca"})
    assert b'"valorTotal":NaN' in (await client.get(path))[1]
    client.quirks.reset()
    client.quirks.add("missing_key")
    assert "idPcaPncp" not in (await client.parsed(CHANGED, **day))["data"][0]
    assert "numeroItem" in (await client.parsed(path))[0]


@pytest.mark.enable_socket
async def test_a_listing_of_all_plans_fails_where_that_of_one_orgao_answers(client: PortalClient) -> None:
    put_plan(client.world, orgaoEntidadeCnpj="00394429000100")
    client.quirks.add("query_failed", match={"resource": "pcas"})
    status, body = await client.get(CHANGED, **window("20260202", "20260203"))
    assert (status, json.loads(body)["message"]) == (500, "Erro ao processar a consulta.")
    assert (await client.get(CHANGED, **window("20260202", "20260203"), cnpj="00394429000100"))[0] == 200


@pytest.mark.enable_socket
async def test_pages_of_plans_are_short_repeated_out_of_order_or_old(client: PortalClient) -> None:
    key = put_plan(client.world, items=25)
    days = ("20260202", "20260203")
    pages = [item_keys(await client.parsed(CHANGED, **window(*days, page, 10))) for page in (1, 2, 3)]
    client.quirks.add("repeat", match={"page": 2}, value="next_page")
    client.quirks.add("short_page", match={"page": 3}, value=1)
    second, third = [item_keys(await client.parsed(CHANGED, **window(*days, page, 10))) for page in (2, 3)]
    assert second == [pages[0][-1], *pages[1]]
    assert third == pages[2][:1]
    client.quirks.reset()
    client.quirks.add("unordered_orgao")
    assert item_keys(await client.parsed(CHANGED, **window(*days, 1, 10))) == pages[0]
    shuffled = [item_keys(await client.parsed(CHANGED, **window(*days, page, 10), cnpj=key[:14])) for page in (1, 2, 3)]
    assert [len(page) for page in shuffled] == [10, 10, 5]
    assert len({each for page in shuffled for each in page}) < 25
    client.quirks.reset()
    before = await client.parsed(CHANGED, **window(*days))
    client.world.put(resource="pcas", idPcaPncp=key, nomeUnidade="outra")
    client.quirks.add("stale_record", value=[key])
    assert await client.parsed(CHANGED, **window(*days)) == before


@pytest.mark.enable_socket
async def test_a_plan_changes_while_its_pages_are_read(client: PortalClient) -> None:
    keys = [put_plan(client.world, f"2026-02-02T1{hour}:00:00", items=15) for hour in (0, 1)]
    client.quirks.add("change", times=1, value={"touch": 1, "from": "page"})
    first = await client.parsed(CHANGED, **window("20260202", "20260203", 1, 10))
    after = await client.parsed(CHANGED, **window("20260202", "20260203", 1, 500))
    assert {key for key, _ in item_keys(first)} == {keys[0]}
    assert {key for key, _ in item_keys(after)} == {keys[1]}  # the other has moved to now with all its items
    assert after["totalRegistros"] == 15


@pytest.mark.enable_socket
async def test_plans_are_counted_told_and_changed_from_outside(client: PortalClient) -> None:
    count = len(client.world.pcas.records)
    stamp = "2026-02-02T10:00:00"
    _, made = await client.order("POST", "records", resource="pcas", data_publicacao=stamp, items=4)
    key = made["numeroControlePNCP"]
    _, changes = await client.order("POST", "changes", publish=2, touch=[key], lose_item=[key], resource="pcas")
    assert (len(changes["published"]), changes["touched"], changes["lost_item"]) == (2, [key], [key])
    assert (await client.order("GET", "state"))[1]["pcas"] == count + 3
    _, truth = await client.order("GET", "records", resource="pcas", criterio="atualizacao", data_ini="2026-02-02")
    assert {
        "idPcaPncp": key,
        "dataPublicacaoPNCP": stamp,
        "dataAtualizacaoGlobalPCA": NOW.isoformat(),
        "itens": 3,
    } in truth
