"""What hangs on one record: resultados of an item, documents and termos, as the portal was recorded to answer them."""

import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulator import Simulator, World, generate, serve
from simulator.children import KINDS, find_children, put_children
from simulator.recorded import load_recorded
from simulator.records import ChildKey, decode_json
from tests.portal_client import NO_RECORDINGS, REAL, shape_of

pytestmark = pytest.mark.enable_socket

NOW = datetime.fromisoformat("2025-01-20T12:00:00")
needs_recordings = pytest.mark.skipif(not REAL.is_dir(), reason=NO_RECORDINGS)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> World:
    return generate(1, date(2025, 1, 6), date(2025, 1, 17), 120, now=lambda: NOW)


@pytest.fixture
def world() -> World:
    return generate(1, date(2025, 1, 6), date(2025, 1, 8), 0, now=lambda: NOW)


class Client:
    """A client and the simulator it asks."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.quirks = simulator.quirks
        self.session = session

    async def get(self, path: str, **parameters: Any) -> tuple[int, Any]:
        async with self.session.get(self.simulator.base_url + path, params=parameters) as response:
            body = await response.read()
            return response.status, json.loads(body) if body.startswith((b"[", b"{")) or body.isdigit() else None


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with serve(world) as simulator, aiohttp.ClientSession() as session:
        yield Client(simulator, session)


def path_of(key: str, suffix: str) -> str:
    cnpj, digit, rest = key.split("-")
    sequencial, ano = rest.split("/")
    return f"/pncp/v1/orgaos/{cnpj}/{'compras' if digit == '1' else 'contratos'}/{ano}/{int(sequencial)}/{suffix}"


def rows(world: World, kind: str, key: str, item: int | None = None) -> list[Row]:
    return [decode_json(row) for row in find_children(world, ChildKey(kind, key, item))]


def with_result(world: World) -> list[tuple[str, Row]]:
    """All items that have a resultado, and their contratação."""
    items = ((key, decode_json(item)) for key in world.keys for item in world.items(key))
    return [(key, item) for key, item in items if item["temResultado"]]


def shapes_of(found: list[Row]) -> set[tuple[str, str]]:
    return set().union(*map(shape_of, found))


# What is generated, against what was recorded


def recorded(folder: str) -> list[Row]:
    found: list[Row] = []
    for file in sorted((REAL / folder).glob("*.json")):
        value = json.loads(file.read_text())
        found += value if isinstance(value, list) else itertools.chain.from_iterable(value.values())
    return found


@needs_recordings
@pytest.mark.parametrize(
    ("folder", "more"),
    [
        # Of a cancelled resultado there is no recording; its two keys are those of the documents of the interface.
        ("resultados", {(".dataCancelamento", "string"), (".motivoCancelamento", "string")}),
        ("arquivos", set()),
        ("contrato-arquivos", set()),
        # Null in 0.3 % of the recorded ones, none of which is among those at hand.
        ("termos", {(".numeroTermoContrato", "null")}),
        ("historico", set()),
    ],
)
def test_generated_children_have_the_keys_and_types_of_recorded_ones(
    records: World, folder: str, more: set[tuple[str, str]]
) -> None:
    if folder == "resultados":
        made = [row for key, item in with_result(records) for row in rows(records, folder, key, item["numeroItem"])]
    else:
        parents = records.keys if folder in {"arquivos", "historico"} else list(records.contratos.records)
        made = [row for key in parents for row in rows(records, folder.removeprefix("contrato-"), key)]
    real = [row for row in recorded(folder) if "ataSequencial" not in row]  # events of atas have keys of their own
    assert len(made) > 100
    assert {frozenset(row) for row in made} == {frozenset(row) for row in real}
    assert shapes_of(made) <= shapes_of(real) | more


def test_children_follow_from_the_seed(records: World) -> None:
    again = generate(1, date(2025, 1, 6), date(2025, 1, 17), 120, now=lambda: NOW)
    for key, item in with_result(records)[:50]:
        wanted = rows(records, "resultados", key, item["numeroItem"])
        assert wanted == rows(again, "resultados", key, item["numeroItem"])
    for key in [*records.keys[:50], *list(records.contratos.records)[:50]]:
        assert rows(records, "arquivos", key) == rows(again, "arquivos", key)
        assert rows(records, "historico", key) == rows(again, "historico", key)
    for key in list(records.contratos.records):
        assert rows(records, "termos", key) == rows(again, "termos", key)


def test_events_say_what_hangs_on_their_record_in_no_order_of_time(records: World) -> None:
    unordered = 0
    for key in [*records.keys[:60], *list(records.contratos.records)[:60]]:
        events = rows(records, "historico", key)
        head = records.get(key)
        assert head is not None
        moments = [event["logManutencaoDataInclusao"] for event in events]
        unordered += moments != sorted(moments)
        assert min(moments) == head.publicacao
        assert max(moments) <= max(head.publicacao, head.atualizacao_global)
        of_documents = [event for event in events if event["categoriaLogManutencao"] in (6, 8)]
        assert len(of_documents) == len(rows(records, "arquivos", key))
        if "-1-" in key:
            items = map(decode_json, records.items(key))
            having = sorted(item["numeroItem"] for item in items if item["temResultado"])
            told = sorted(event["itemNumero"] for event in events if event["categoriaLogManutencao"] == 5)
            assert told == having
    assert unordered > 10


def test_resultados_are_consistent_with_their_item(records: World) -> None:
    counts: Counter[int] = Counter()
    suppliers: Counter[str] = Counter()
    states: Counter[int] = Counter()
    pool = {record["niFornecedor"] for record in map(records.record, records.contratos.records)}
    known = 0
    for key, item in with_result(records):
        srp = records.record(key)["srp"]
        found = rows(records, "resultados", key, item["numeroItem"])
        counts[len(found)] += 1
        assert [row["sequencialResultado"] for row in found] == list(range(1, len(found) + 1))
        valid = [row for row in found if row["situacaoCompraItemResultadoId"] == 1]
        first = [row for row in valid if row["reservaRemanescente"]["codigo"] != 3]
        assert sum(row["quantidadeHomologada"] for row in first) == item["quantidade"]
        for row in found:
            states[row["situacaoCompraItemResultadoId"]] += 1
            suppliers[row["tipoPessoa"]] += 1
            known += row["niFornecedor"] in pool
            assert (row["numeroControlePNCPCompra"], row["numeroItem"]) == (key, item["numeroItem"])
            product = row["valorUnitarioHomologado"] * row["quantidadeHomologada"]
            assert abs(row["valorTotalHomologado"] - product) < Decimal("0.001")
            assert (row["ordemClassificacaoSrp"] is None) is not srp
            assert item["dataInclusao"] <= row["dataInclusao"] <= row["dataAtualizacao"] <= NOW.isoformat()
            assert (row["dataCancelamento"] is None) == (row["situacaoCompraItemResultadoId"] == 1)
            if row["tipoPessoa"] == "PF":
                assert len(row["niFornecedor"]) == 11
    assert set(counts) >= {1, 2, 3}
    assert counts[1] > sum(counts.values()) / 2
    assert set(states) == {1, 2}
    assert suppliers["PJ"] > suppliers["PF"] > suppliers["PE"] > 0
    assert known > sum(suppliers.values()) / 2  # the same suppliers have contratos


def test_an_item_without_a_resultado_has_none(records: World) -> None:
    key = next(key for key in records.keys if records.contratacoes.records[key].item_count > 20)
    items = [decode_json(item) for item in records.items(key)]
    none = [item["numeroItem"] for item in items if not item["temResultado"]]
    assert none
    assert not any(rows(records, "resultados", key, number) for number in none)


def test_documents_are_there_or_not_and_a_few_are_withdrawn(records: World) -> None:
    found = [rows(records, "arquivos", key) for key in records.keys]
    assert 0 < sum(not each for each in found) < len(found) / 10
    assert max(map(len, found)) > 10
    for each in found:
        numbers = [row["sequencialDocumento"] for row in each]
        assert numbers == sorted(set(numbers))
    every = list(itertools.chain.from_iterable(found))
    assert 0 < sum(row["statusAtivo"] is False for row in every) < len(every) / 10
    assert max(len(row["titulo"]) for row in every) <= 50
    assert {row["dataPublicacaoPncp"] <= NOW.isoformat() for row in every} == {True}


def test_the_documents_of_a_contrato_name_it_as_a_compra(records: World) -> None:
    for key, head in records.contratos.records.items():
        for row in rows(records, "arquivos", key):
            assert (row["cnpj"], row["anoCompra"], row["sequencialCompra"]) == (head.cnpj, head.ano, head.sequencial)
            assert f"/contratos/{head.ano}/{head.sequencial}/arquivos/" in row["url"]


def test_some_contratos_have_termos_in_ascending_order() -> None:
    world = generate(2, date(2025, 1, 6), date(2025, 1, 17), 400, now=lambda: NOW)
    found = {key: rows(world, "termos", key) for key in world.contratos.records}
    some = [each for each in found.values() if each]
    assert 0.04 < len(some) / len(found) < 0.32
    assert max(map(len, some)) > 2
    kinds = Counter(row["tipoTermoContratoNome"] for each in some for row in each)
    assert set(kinds) == {"Termo Aditivo", "Termo de Apostilamento", "Termo de Rescisão"}
    for key, each in found.items():
        contrato = world.record(key)
        assert [row["sequencialTermoContrato"] for row in each] == list(range(1, len(each) + 1))
        for row in each:
            assert row["niFornecedor"] in {None, contrato["niFornecedor"]}
            assert row["orgaoEntidade"] == contrato["orgaoEntidade"]
            assert row["dataPublicacaoPncp"] <= max(contrato["dataPublicacaoPncp"], contrato["dataAtualizacaoGlobal"])


# Over HTTP


async def test_a_record_can_lose_a_document_of_several(client: Client, world: World) -> None:
    for resource in ("contratacoes", "contratos"):
        several, single = world.put(resource=resource), world.put(resource=resource)
        put_children(world, "arquivos", several, 3, at="2025-01-20T11:00:00")
        put_children(world, "arquivos", single, 1)
        _, before = await client.get(path_of(several, "arquivos"))
        body = {"lose_document": [several, single]}
        async with client.session.post(f"{client.simulator.control_url}/changes", json=body) as answer:
            assert (await answer.json())["lost_document"] == [several]
        assert await client.get(path_of(several, "arquivos")) == (200, before[1:])
        assert await client.get(path_of(several, "arquivos/quantidade")) == (200, 2)
        assert world.record(several)["dataAtualizacaoGlobal"] == NOW.isoformat()


async def test_resultados_are_an_array_that_has_no_pages(client: Client, world: World) -> None:
    key = world.put(items=[{}, {"temResultado": False}])
    put_children(world, "resultados", key, 12, item=1)
    status, body = await client.get(path_of(key, "itens/1/resultados"))
    assert status == 200
    assert [row["sequencialResultado"] for row in body] == list(range(1, 13))
    _, again = await client.get(path_of(key, "itens/1/resultados"), pagina=3, tamanhoPagina=1)
    assert again == body
    assert await client.get(path_of(key, "itens/1/resultados/2")) == (200, body[1])
    assert (await client.get(path_of(key, "itens/1/resultados/13")))[0] == 404
    assert await client.get(path_of(key, "itens/2/resultados")) == (204, None)


async def test_what_hangs_on_nothing_is_404(client: Client, world: World) -> None:
    contratacao, contrato = world.put(items=1), world.put(resource="contratos")
    nothing = "00000000000000-{}-000001/2025"
    for path, message in [
        (path_of(nothing.format(1), "itens/1/resultados"), "Contratação não cadastrada."),
        (path_of(nothing.format(1), "arquivos"), "Contratação não cadastrada."),
        (path_of(nothing.format(2), "arquivos"), "Contrato não cadastrado."),
        (path_of(nothing.format(2), "termos"), "Contrato não cadastrado."),
        (path_of(contratacao, "itens/2/resultados"), "Item não cadastrado."),
    ]:
        assert await client.get(path) == (404, {"status": "404", "error": "404 NOT_FOUND", "message": message})
    for path in (path_of(contratacao, "termos"), path_of(contrato, "itens/1/resultados")):
        status, body = await client.get(path)
        assert status == body["status"] == 404  # as for any path that the portal does not have


async def test_lists_come_ten_at_a_time_unless_asked_otherwise(client: Client, world: World) -> None:
    contratacao, contrato = world.put(), world.put(resource="contratos")
    for kind, key, number in [
        ("arquivos", contratacao, "sequencialDocumento"),
        ("arquivos", contrato, "sequencialDocumento"),
        ("termos", contrato, "sequencialTermoContrato"),
        ("historico", contratacao, "documentoSequencial"),
        ("historico", contrato, "sequencialDocumentoContrato"),
    ]:
        put_children(world, kind, key, [{number: n} for n in range(1, 24)])
        path = path_of(key, kind)
        pages = [(await client.get(path, pagina=page))[1] for page in (1, 2, 3, 4)]
        assert [len(page) for page in pages] == [10, 10, 3, 0]
        assert [row[number] for page in pages for row in page] == list(range(1, 24))
        assert len((await client.get(path, tamanhoPagina=500))[1]) == 23
        assert await client.get(f"{path}/quantidade") == (200, 23)
        for over in ({"pagina": 0}, {"tamanhoPagina": 0}, {"pagina": "x"}):
            assert (await client.get(path, **over))[0] == 400


@pytest.mark.parametrize(("setting", "status"), [("204", 204), ("404", 404), ("empty", 200)])
async def test_a_record_without_children_answers_as_set(
    client: Client, world: World, setting: str, status: int
) -> None:
    contratacao, contrato = world.put(items=[{"temResultado": False}]), world.put(resource="contratos")
    put_children(world, "arquivos", contratacao, 0)
    put_children(world, "termos", contrato, 0)
    put_children(world, "historico", contrato, 0)
    client.quirks.update({"no_items": setting})
    for path in (
        path_of(contratacao, "itens/1/resultados"),
        path_of(contratacao, "arquivos"),
        path_of(contrato, "termos"),
        path_of(contrato, "historico"),
    ):
        assert (await client.get(path))[0] == status
    assert await client.get(path_of(contrato, "termos/quantidade")) == (200, 0)


# Changes


async def test_children_are_put_from_outside_and_move_the_stamp_of_their_record(client: Client, world: World) -> None:
    key = world.put(data_publicacao="2025-01-07T10:00:00", items=[{"numeroItem": 2100054}])
    control = f"{client.simulator.control_url}/children"
    given = {"kind": "resultados", "key": key, "item": 2100054, "rows": [{"niFornecedor": "SA-5122"}]}
    async with client.session.post(control, json=given) as response:
        assert response.status == 204
    status, body = await client.get(path_of(key, "itens/2100054/resultados"))
    assert (status, [row["niFornecedor"] for row in body]) == (200, ["SA-5122"])
    assert world.record(key)["dataAtualizacaoGlobal"] == NOW.isoformat()
    assert world.record(key)["dataAtualizacao"] == "2025-01-07T10:00:00"
    for wrong in (
        {"kind": "editais", "key": key, "rows": 1},
        {"kind": "resultados", "key": key, "rows": 1},
        {"kind": "resultados", "key": key, "item": 9, "rows": 1},
        {"kind": "arquivos", "key": key, "item": 1, "rows": 1},
        {"kind": "termos", "key": key, "rows": 1},
        {"kind": "arquivos", "key": "nothing", "rows": 1},
        {"kind": "arquivos"},
    ):
        async with client.session.post(control, json=wrong) as response:
            assert response.status == 400
            assert (await response.json())["detail"]


def test_a_resultado_that_is_put_fits_what_is_said_of_it(world: World) -> None:
    key = world.put(items=[{"quantidade": 40}])
    said = {"quantidadeHomologada": 3, "valorUnitarioHomologado": 2.5}
    put_children(world, "resultados", key, [{"situacaoCompraItemResultadoId": 2}, said], item=1)
    cancelled, valid = rows(world, "resultados", key, 1)
    assert (cancelled["situacaoCompraItemResultadoNome"], cancelled["dataCancelamento"]) == (
        "Cancelado",
        cancelled["dataAtualizacao"],
    )
    assert cancelled["quantidadeHomologada"] == 40
    assert (valid["situacaoCompraItemResultadoId"], valid["valorTotalHomologado"]) == (1, Decimal("7.5"))


@pytest.mark.parametrize("bad", [None, {"inesperado": [1]}, float("nan"), "\ud800", 10**400])
def test_what_hangs_on_a_bad_record_is_answered_all_the_same(world: World, bad: Any) -> None:
    item = {"temResultado": True} | dict.fromkeys(
        ("quantidade", "valorUnitarioEstimado", "dataInclusao", "dataAtualizacao", "tipoBeneficio"), bad
    )
    key = world.put(items=[item], srp=bad, tipoInstrumentoConvocatorioCodigo=bad)
    contrato = world.put(resource="contratos", valorGlobal=bad, tipoContrato=bad, niFornecedor=bad, tipoPessoa=bad)
    assert rows(world, "resultados", key, 1)
    of_contrato = [(kind, contrato) for kind in ("arquivos", "termos", "historico")]
    for kind, parent in (("arquivos", key), ("historico", key), *of_contrato):
        rows(world, kind, parent)
        put_children(world, kind, parent, 1)
        assert len(rows(world, kind, parent)) == 1


def test_a_result_that_comes_in_has_a_resultado() -> None:
    world = generate(1, date(2025, 1, 6), date(2025, 1, 8), 0, now=lambda: NOW)
    key = world.put(data_publicacao="2025-01-07T10:00:00", items=[{"temResultado": False}])
    assert rows(world, "resultados", key, 1) == []
    while not decode_json(world.items(key)[0])["temResultado"]:
        world.touch([key])
    assert rows(world, "resultados", key, 1)[0]["dataAtualizacao"] == NOW.isoformat()


def test_what_hangs_on_a_removed_record_is_gone() -> None:
    world = generate(1, date(2025, 1, 6), date(2025, 1, 8), 0, now=lambda: NOW)
    key = world.put(resource="contratos")
    put_children(world, "termos", key, 2)
    world.remove([key])
    assert world.put(resource="contratos", numeroControlePNCP=key) == key
    assert ChildKey("termos", key) not in world.given_children


# Faults


async def test_resultados_alone_can_be_down(client: Client, world: World) -> None:
    key = world.put(items=[{"temResultado": True}])
    put_children(world, "arquivos", key, 1)
    client.quirks.add("items_down", match={"kind": "resultados"})
    assert (await client.get(path_of(key, "itens/1/resultados")))[0] == 503
    assert (await client.get(path_of(key, "itens")))[0] == 200
    assert (await client.get(path_of(key, "arquivos")))[0] == 200
    client.quirks.reset()
    client.quirks.add("items_down")
    for suffix in ("itens/1/resultados", "itens", "arquivos"):
        assert (await client.get(path_of(key, suffix)))[0] == 503
    client.quirks.reset()
    client.quirks.add("404", match={"kind": ["arquivos", "termos"], "key": key}, times=1)
    assert [(await client.get(path_of(key, "arquivos")))[0] for _ in range(2)] == [404, 200]


async def test_children_are_spoiled_where_the_rule_says_their_kind(client: Client, world: World) -> None:
    key, contrato = world.put(items=[{"temResultado": True}]), world.put(resource="contratos")
    put_children(world, "arquivos", key, 2)
    put_children(world, "termos", contrato, 2)
    client.quirks.add("missing_key")
    assert all("sequencialDocumento" in row for row in (await client.get(path_of(key, "arquivos")))[1])
    for kind, path, name in [
        ("resultados", path_of(key, "itens/1/resultados"), "sequencialResultado"),
        ("arquivos", path_of(key, "arquivos"), "sequencialDocumento"),
        ("termos", path_of(contrato, "termos"), "sequencialTermoContrato"),
        ("historico", path_of(key, "historico"), "logManutencaoDataInclusao"),
    ]:
        client.quirks.reset()
        client.quirks.add("missing_key", match={"kind": kind})
        assert name not in (await client.get(path))[1][0]
        assert (await client.get(path_of(key, "itens")))[1][0]["numeroItem"] == 1


# Recordings


def test_a_recorded_world_has_no_children_but_those_recorded(tmp_path: Path) -> None:
    key = "00000000000191-1-000001/2025"
    record = {"numeroControlePNCP": key, "dataPublicacaoPncp": "2025-01-07T10:00:00", "modalidadeId": 6}
    kept = {
        "contratacoes-publicacao/a.json": [record],
        "itens/x_00000000000191_2025_1.json": [{"numeroItem": 1, "temResultado": True}],
    }
    for name, value in kept.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(value))
    world = load_recorded(tmp_path)
    assert rows(world, "resultados", key, 1) == rows(world, "arquivos", key) == []
    put_children(world, "arquivos", key, 1)
    assert len(rows(world, "arquivos", key)) == 1


@needs_recordings
def test_the_portals_own_children_are_served_value_for_value() -> None:
    world = load_recorded(REAL)

    def read(file: str) -> Any:
        return json.loads((REAL / file).read_text(), parse_float=Decimal)

    key = "82916818000113-1-000001/2022"
    assert rows(world, "resultados", key, 1) == read("resultados/criciuma_82916818000113_2022_1_item1.json")
    key = "82916818000113-2-000001/2023"
    assert rows(world, "arquivos", key) == read("contrato-arquivos/criciuma_82916818000113_2023_1.json")
    key = "39215827000158-1-000008/2026"
    assert rows(world, "arquivos", key) == read("arquivos/autopncp_39215827000158_2026_8.json")
    for kind, file in (("arquivos", "arquivos/amorim33_vitoria_20260616.json"), ("termos", "termos/antecipa_cnj.json")):
        for key, wanted in read(file).items():
            if wanted:
                assert rows(world, kind, key) == wanted
    assert {each.kind for each in world.given_children} == set(KINDS)
