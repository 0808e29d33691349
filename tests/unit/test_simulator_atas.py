"""The simulator's atas: generated, recorded, changed, and listed by change and by validity."""

import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulator import Query, World, generate, serve
from simulator.recorded import load_recorded
from tests.portal_client import NO_RECORDINGS, REAL, PortalClient, shape_of

NOW = datetime.fromisoformat("2026-03-01T12:00:00")
CHANGED = "/consulta/v1/atas/atualizacao"
IN_FORCE = "/consulta/v1/atas"


def make(seed: int = 1, per_day: float = 100, **over: Any) -> World:
    return generate(seed, date(2026, 1, 5), date(2026, 1, 16), per_day, **{"now": lambda: NOW} | over)


@pytest.fixture(scope="module")
def world() -> World:
    return make()


@pytest.fixture(scope="module")
def atas(world: World) -> list[dict[str, Any]]:
    return [world.record(key) for key in world.atas.records]


@pytest.fixture
async def client() -> AsyncIterator[PortalClient]:
    async with serve(make(per_day=60)) as simulator, aiohttp.ClientSession() as session:
        yield PortalClient(simulator, session)


def numbers(envelope: Any) -> list[str]:
    return [record["numeroControlePNCPAta"] for record in envelope["data"]]


def window(first: str, last: str, page: int = 1, size: int | None = 500, **over: Any) -> dict[str, Any]:
    return {"dataInicial": first, "dataFinal": last, "pagina": page, "tamanhoPagina": size} | over


def test_atas_belong_to_contratacoes_with_srp(world: World, atas: list[dict[str, Any]]) -> None:
    assert 0.2 < len(atas) / len(world) < 0.4
    for ata in atas:
        compra = world.record(ata["numeroControlePNCPCompra"])
        assert compra["srp"] is True
        assert compra["dataPublicacaoPncp"][:10] < ata["dataPublicacaoPncp"]
        assert ata["cnpjOrgao"] == compra["orgaoEntidade"]["cnpj"]
        assert ata["codigoUnidadeOrgao"] == compra["unidadeOrgao"]["codigoUnidade"]
    by_compra = Counter(ata["numeroControlePNCPCompra"] for ata in atas)
    assert max(by_compra.values()) > 1


def test_the_number_of_an_ata_is_that_of_its_contratacao_and_its_own(atas: list[dict[str, Any]]) -> None:
    counts: Counter[str] = Counter()
    for ata in sorted(atas, key=lambda each: each["numeroControlePNCPAta"]):
        counts[ata["numeroControlePNCPCompra"]] += 1
        numero = counts[ata["numeroControlePNCPCompra"]]
        assert ata["numeroControlePNCPAta"] == f"{ata['numeroControlePNCPCompra']}-{numero:06d}"
        assert len(ata["numeroControlePNCPAta"]) == 35


def test_all_stamps_of_an_ata_are_days(world: World, atas: list[dict[str, Any]]) -> None:
    for ata in atas:
        stamps = [ata[key] for key in ("dataPublicacaoPncp", "dataAtualizacao", "dataAtualizacaoGlobal")]
        assert all(len(stamp) == 10 for stamp in (*stamps, ata["dataInclusao"], ata["dataAssinatura"]))
        assert stamps == sorted(stamps)
        assert ata["vigenciaInicio"] < ata["vigenciaFim"]
    assert any(ata["dataAtualizacaoGlobal"] > ata["dataAtualizacao"] for ata in atas)
    assert max(ata["dataAtualizacaoGlobal"] for ata in atas) <= "2026-01-16"
    assert len(world.atas.select("atualizacao", "2026-01-14T10:00:00", "2026-01-14T11:00:00")) == sum(
        ata["dataAtualizacaoGlobal"] == "2026-01-14" for ata in atas
    )


def test_atas_follow_from_the_seed_and_change_nothing_else() -> None:
    plain, asked, late = make(per_day=30), make(per_day=30), make(per_day=30)
    before = {key: asked.payload(each) for key, each in asked.atas.records.items()}
    late.touch(20)
    late.remove(20)
    added = set(late.publish(10, resource="atas"))
    asked.publish(5, resource="atas")
    asked.touch(5, resource="atas")
    asked.remove(5, resource="atas")
    found = {key: late.payload(each) for key, each in late.atas.records.items() if key not in added}
    assert before == found != {}
    for world in (plain, asked):
        world.publish(5)
        world.publish(5, resource="contratos")
        world.touch(5, resource="contratos")
    for store, other in ((plain.contratacoes, asked.contratacoes), (plain.contratos, asked.contratos)):
        assert list(map(plain.payload, store.records.values())) == list(map(asked.payload, other.records.values()))


@pytest.mark.skipif(not REAL.is_dir(), reason=NO_RECORDINGS)
def test_generated_atas_have_the_keys_and_types_of_recorded_ones(atas: list[dict[str, Any]]) -> None:
    real = load_recorded(REAL)
    recorded = [real.record(key) for key in real.atas.records]
    assert len(recorded) > 5
    older = generate(1, date(2024, 1, 8), date(2024, 1, 12), 100, now=lambda: NOW)
    generated = atas + [older.record(key) for key in older.atas.records]
    # dataAtualizacaoGlobal came between the oldest recording and the others.
    current = {frozenset(record) for record in recorded if "dataAtualizacaoGlobal" in record}
    assert {frozenset(record) for record in generated} == current
    assert set().union(*map(shape_of, generated)) == set().union(*map(shape_of, recorded))


def test_two_changes_of_one_day_bear_the_same_stamps() -> None:
    world = make(per_day=20)
    keys = world.publish(6, resource="atas")
    versions = [[world.record(key) for key in keys]]
    for _ in range(3):
        assert world.touch(keys) == keys
        versions.append([world.record(key) for key in keys])
    for before, after in itertools.pairwise(versions):
        for one, other in zip(before, after, strict=True):
            assert one != other
            assert one["dataAtualizacaoGlobal"] == other["dataAtualizacaoGlobal"] == "2026-03-01"
            assert one["dataAtualizacao"] == other["dataAtualizacao"] == "2026-03-01"
    assert any(ata["vigenciaFim"] > versions[0][index]["vigenciaFim"] for index, ata in enumerate(versions[-1]))
    assert world.record(keys[0]) == json.loads(world.payload(world.atas.records[keys[0]]))


def test_atas_are_published_changed_and_removed_by_name() -> None:
    clock = [NOW]
    world = make(per_day=20, now=lambda: clock[0])
    keys = world.publish(3, resource="atas")
    assert len(set(keys)) == 3
    clock[0] += timedelta(days=1)
    world.touch(keys)
    day = clock[0].date()
    listed = world.listing(Query("atualizacao", None, day, day, resource="atas"))
    assert [each.numero_controle_pncp for each in listed] == sorted(keys)
    assert not world.listing(Query("atualizacao", None, NOW.date(), NOW.date(), resource="atas"))
    assert set(world.touch(4, resource="atas")) <= set(world.atas.records)
    assert world.remove(keys[:1]) == keys[:1]
    assert keys[0] not in world


def test_a_hand_made_ata_is_laid_over_an_invented_one() -> None:
    world = make(per_day=0)
    key = world.put(
        resource="atas",
        data_publicacao="2026-01-10T12:00:00",
        numeroControlePNCPAta="00394429000100-1-000007/2025-000002",
        vigenciaFim="2026-01-20",
        delete=["possibilidadeAdesao"],
    )
    record = world.record(key)
    assert (key, record["numeroControlePNCPCompra"]) == (
        "00394429000100-1-000007/2025-000002",
        "00394429000100-1-000007/2025",
    )
    assert record["cnpjOrgao"] == "00394429000100"
    assert record["dataPublicacaoPncp"] == record["dataAtualizacaoGlobal"] == "2026-01-10"
    assert "possibilidadeAdesao" not in record
    following = world.put(resource="atas", numeroControlePNCPCompra="00394429000100-1-000007/2025")
    assert following == "00394429000100-1-000007/2025-000003"
    again = world.put(resource="atas", numeroControlePNCPAta=key, data_atualizacao_global="2026-01-12", anoAta="x")
    assert (again, world.record(key)["anoAta"], len(world.atas.records)) == (key, "x", 2)
    day = date(2026, 1, 12)
    assert [each.numero_controle_pncp for each in world.listing(Query("atualizacao", None, day, day, resource="atas"))]
    for over in ({"modalidade": 6}, {"items": 1}):
        with pytest.raises(ValueError, match="atas"):
            world.put(resource="atas", **over)


@pytest.mark.skipif(not REAL.is_dir(), reason=NO_RECORDINGS)
def test_recorded_atas_are_served_value_for_value() -> None:
    world = load_recorded(REAL)
    recorded = json.loads((REAL / "atas" / "motorpncp_ata_prorrogada_page.json").read_text())["data"]
    day = date(2026, 9, 14)
    page = world.page(Query("atualizacao", None, day, day, resource="atas"), 1, 500)
    assert [json.loads(payload) for payload in page] == recorded


def test_the_newest_version_of_a_recorded_ata_stays(tmp_path: Path) -> None:
    compra = {
        "numeroControlePNCP": "00394429000100-1-000001/2025",
        "dataPublicacaoPncp": "2025-07-10T09:00:00",
        "modalidadeId": 6,
    }
    ata = {
        "numeroControlePNCPAta": "00394429000100-1-000001/2025-000001",
        "dataPublicacaoPncp": "2025-07-11",
        "dataAtualizacaoGlobal": "2025-07-11",
    }
    for name, value in (
        ("contratacoes-publicacao/a.json", [compra]),
        ("atas/a.json", {"data": [ata]}),
        ("atas-atualizacao/b.json", [ata | {"dataAtualizacaoGlobal": "2025-07-12", "cancelado": True}]),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(value))
    world = load_recorded(tmp_path)
    assert [world.record(key)["cancelado"] for key in world.atas.records] == [True]
    assert world.atas.select("atualizacao")[0].compra == compra["numeroControlePNCP"]


# What the portal answers


@pytest.mark.enable_socket
async def test_atas_are_listed_by_the_day_of_their_last_change(client: PortalClient) -> None:
    truth = [each.numero_controle_pncp for each in client.world.atas.select("atualizacao", "2026-01-12", "2026-01-13")]
    whole = await client.parsed(CHANGED, **window("20260112", "20260113"))
    assert numbers(whole) == truth
    assert len(truth) > 10
    assert whole["totalRegistros"] == len(truth)
    pages = [await client.parsed(CHANGED, **window("20260112", "20260113", page, 10)) for page in (1, 2)]
    assert numbers(pages[0]) + numbers(pages[1]) == truth[:20]
    assert pages[0]["totalPaginas"] == -(-len(truth) // 10)


@pytest.mark.enable_socket
async def test_an_ata_in_force_is_listed_on_every_day_of_its_life(client: PortalClient) -> None:
    put = client.world.put
    client.world.remove(10**6, resource="atas")
    first = put(resource="atas", data_publicacao="2026-01-05", vigenciaInicio="2026-02-01", vigenciaFim="2026-02-28")
    other = put(resource="atas", data_publicacao="2026-01-06", vigenciaInicio="2026-02-10", vigenciaFim="2027-02-10")
    for days, listed in (
        (("20260101", "20260131"), None),
        (("20260131", "20260201"), [first]),
        (("20260215", "20260215"), [first, other]),
        (("20260228", "20260301"), [first, other]),
        (("20270210", "20270211"), [other]),
    ):
        status, body = await client.get(IN_FORCE, **window(*days))
        assert (status, numbers(json.loads(body)) if body else None) == (200 if listed else 204, listed)


@pytest.mark.enable_socket
async def test_atas_are_filtered_by_their_own_parameters(client: PortalClient) -> None:
    whole = await client.parsed(CHANGED, **window("20260105", "20260116"))
    sample = whole["data"][0]
    for name, key in (("cnpj", "cnpjOrgao"), ("codigoUnidadeAdministrativa", "codigoUnidadeOrgao")):
        some = await client.parsed(CHANGED, **window("20260105", "20260116"), **{name: sample[key]})
        assert {record[key] for record in some["data"]} == {sample[key]}
        assert some["totalRegistros"] < whole["totalRegistros"]
    by_system = await client.parsed(CHANGED, **window("20260105", "20260116"), idUsuario=1)
    assert len({record["usuario"] for record in by_system["data"]}) == 1
    for unknown in ({"cnpjOrgao": "0" * 14}, {"usuarioId": 1}, {"uf": "XX"}):
        ignored = await client.parsed(CHANGED, **window("20260105", "20260116"), **unknown)
        assert ignored["totalRegistros"] == whole["totalRegistros"]


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("over", "status", "message"),
    [
        ({"tamanhoPagina": 9}, 400, "Tamanho de página inválido"),
        ({"tamanhoPagina": 501}, 400, "Tamanho de página inválido"),
        ({"pagina": None}, 400, "'pagina'"),
        ({"dataFinal": None}, 400, "'dataFinal'"),
        ({"idUsuario": "x"}, 400, "java.lang.Long"),
        ({"dataFinal": "20250101"}, 422, "anterior ou igual"),
        ({"dataFinal": "2026-01-16"}, 422, "Data Final inválida"),
    ],
)
async def test_what_is_wrong_about_a_request_is_refused(
    client: PortalClient, over: dict[str, Any], status: int, message: str
) -> None:
    for path in (CHANGED, IN_FORCE):
        refused, body = await client.get(path, **window("20260105", "20260116") | over)
        assert refused == status
        assert message in json.loads(body)["message"]


@pytest.mark.enable_socket
async def test_rules_match_the_listings_of_atas_alone(client: PortalClient) -> None:
    client.quirks.add("503", match={"resource": "atas", "criterio": "atualizacao"})
    day = window("20260112", "20260112")
    assert [(await client.get(path, **day))[0] for path in (CHANGED, IN_FORCE)] == [503, 200]
    assert (await client.get("/consulta/v1/contratos/atualizacao", **day))[0] == 200
    client.quirks.reset()
    for name, shown in (("nan", b'"anoAta":NaN'), ("nul", b"\\u0000"), ("null_dates", b'"dataAtualizacaoGlobal":null')):
        client.quirks.reset()
        client.quirks.add(name)
        assert shown in (await client.get(CHANGED, **day))[1]
    client.quirks.reset()
    client.quirks.add("missing_key")
    assert "numeroControlePNCPAta" not in (await client.parsed(CHANGED, **day))["data"][0]


@pytest.mark.enable_socket
async def test_a_listing_of_atas_changes_while_it_is_read(client: PortalClient) -> None:
    days = ("20260105", "20260116")
    before = await client.parsed(CHANGED, **window(*days, size=10))
    client.quirks.add("change", times=1, value={"remove": 2, "touch": 1, "from": "page", "append": 1, "insert": 1})
    assert await client.parsed(CHANGED, **window(*days, size=10)) == before
    after = await client.parsed(CHANGED, **window(*days, size=10))
    assert after["totalRegistros"] == before["totalRegistros"] - 1
    assert numbers(after) != numbers(before)


@pytest.mark.enable_socket
async def test_atas_are_counted_told_and_changed_from_outside(client: PortalClient) -> None:
    count = len(client.world.atas.records)
    status, made = await client.order("POST", "records", resource="atas", data_publicacao="2026-02-01")
    assert status == 201
    key = made["numeroControlePNCP"]
    _, changes = await client.order("POST", "changes", publish=2, touch=[key], resource="atas")
    assert (len(changes["published"]), changes["touched"]) == (2, [key])
    assert (await client.order("GET", "state"))[1]["atas"] == count + 3
    _, truth = await client.order("GET", "records", resource="atas", data_ini="2026-02-01", data_fim="2026-02-01")
    assert truth == [
        {
            "numeroControlePNCPAta": key,
            "dataPublicacaoPncp": "2026-02-01",
            "dataAtualizacao": "2026-03-01",
            "dataAtualizacaoGlobal": "2026-03-01",
        }
    ]
