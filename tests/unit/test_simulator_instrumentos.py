"""The simulator's instrumentos de cobrança: generated, recorded, changed, and listed by the day of their inclusion."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from simulator import World, generate, serve
from simulator.recorded import load_recorded
from tests.portal_client import NO_RECORDINGS, REAL, PortalClient, shape_of

NOW = datetime.fromisoformat("2026-03-01T12:00:00")
INCLUDED = "/consulta/v1/instrumentoscobranca/inclusao"
NAME = "instrumentos_cobranca"


def make(seed: int = 1, per_day: float = 200, **over: Any) -> World:
    return generate(seed, date(2026, 1, 5), date(2026, 1, 16), per_day, **{"now": lambda: NOW} | over)


@pytest.fixture(scope="module")
def world() -> World:
    return make()


@pytest.fixture
async def client() -> AsyncIterator[PortalClient]:
    async with serve(make()) as simulator, aiohttp.ClientSession() as session:
        yield PortalClient(simulator, session)


def window(first: str = "20260105", last: str = "20260116", page: int = 1, size: int = 100) -> dict[str, Any]:
    return {"dataInicial": first, "dataFinal": last, "pagina": page, "tamanhoPagina": size}


def number(record: Any) -> tuple[str, int, int, int]:
    return (
        record["cnpj"],
        record["ano"],
        record["sequencialContrato"],
        record["sequencialInstrumentoCobranca"],
    )


async def whole(client: PortalClient, size: int = 10) -> tuple[list[Any], int]:
    """All rows of the listing of the world's days, page by page, and what totalRegistros says."""
    rows: list[Any] = []
    page = pages = 1
    total = 0
    while page <= pages:
        envelope = await client.parsed(INCLUDED, **window(page=page, size=size))
        pages, total = envelope["totalPaginas"], envelope["totalRegistros"]
        rows += envelope["data"]
        page += 1
    return rows, total


def test_an_instrumento_holds_a_whole_contrato_of_the_world(world: World) -> None:
    records = [world.record(key) for key in world.instrumentos_cobranca.records]
    assert 0.04 < len(records) / len(world) < 0.1
    for key, record in zip(world.instrumentos_cobranca.records, records, strict=True):
        contrato = record["recuperarContratoDTO"]
        assert contrato == world.record(contrato["numeroControlePNCP"])
        assert contrato["dataPublicacaoPncp"] < record["dataInclusao"]
        cnpj, ano, sequencial, numero = number(record)
        assert contrato["numeroControlePNCP"] == f"{cnpj}-2-{sequencial:06d}/{ano}"
        assert key == f"{contrato['numeroControlePNCP']}-{numero:06d}"
    assert len({number(record) for record in records}) == len(records)


def test_what_the_service_of_invoices_said_is_json_in_a_text(world: World) -> None:
    for key in world.instrumentos_cobranca.records:
        record = world.record(key)
        nota, said = record["notaFiscalEletronica"], json.loads(record["jsonResponseNFe"])
        assert said["notaFiscalDTO"]["valorNotaFiscal"] == nota["valorNotaFiscal"]
        assert said["itensNotaFiscal"][0]["valor"] == nota["itens"][0]["valorTotal"]
        assert record["chaveNFe"] == nota["chave"] == said["notaFiscalDTO"]["chaveNotaFiscal"]
        assert len(record["chaveNFe"]) == 44
        whole_part, cents = nota["valorNotaFiscal"].split(",")
        assert len(cents) == 2
        assert all(len(group) == 3 for group in whole_part.split(".")[1:])
        datetime.strptime(nota["dataEmissao"], "%d/%m/%Y")  # noqa: DTZ007 - a day, as it is written here


@pytest.mark.skipif(not REAL.is_dir(), reason=NO_RECORDINGS)
def test_generated_instrumentos_have_the_keys_and_types_of_recorded_ones(world: World) -> None:
    real = load_recorded(REAL)
    recorded = [real.record(key) for key in real.instrumentos_cobranca.records]
    contratos = set().union(*(shape_of(real.record(key)) for key in real.contratos.records))
    known = set().union(*map(shape_of, recorded)) | {(f".recuperarContratoDTO{path}", kind) for path, kind in contratos}
    generated = [world.record(key) for key in world.instrumentos_cobranca.records]
    assert {frozenset(record) for record in generated} == {frozenset(record) for record in recorded}
    assert set().union(*map(shape_of, generated)) <= known
    said = [shape_of(json.loads(record["jsonResponseNFe"])) for record in (*generated, *recorded)]
    assert all(shape == said[-1] for shape in said)
    for key in ("notaFiscalEletronica", "tipoInstrumentoCobranca"):
        assert all(shape_of(record[key]) == shape_of(recorded[0][key]) for record in generated)


def test_there_are_none_before_2025() -> None:
    world = generate(1, date(2024, 12, 26), date(2025, 1, 4), 200, now=lambda: NOW)
    stamps = [record.publicacao for record in world.instrumentos_cobranca.records.values()]
    assert stamps
    assert min(stamps) > "2025-01-01"


def test_instrumentos_follow_from_the_seed_and_change_nothing_else() -> None:
    plain, asked, late = make(per_day=60), make(per_day=60), make(per_day=60)
    store = asked.instrumentos_cobranca
    before = {key: asked.payload(each) for key, each in store.records.items()}
    late.touch(20, resource="contratos")
    late.remove(200, resource="contratos")
    added = set(late.publish(3, resource=NAME))
    found = {key: late.payload(each) for key, each in late.instrumentos_cobranca.records.items() if key not in added}
    assert before == found != {}
    asked.publish(3, resource=NAME)
    asked.touch(3, resource=NAME)
    asked.remove(3, resource=NAME)
    for world in (plain, asked):
        for resource in ("contratacoes", "contratos", "atas", "pcas"):
            world.publish(3, resource=resource)
            world.touch(3, resource=resource)
    for name in ("contratacoes", "contratos", "atas", "pcas"):
        one, other = (each.store(name).records.values() for each in (plain, asked))
        assert list(map(plain.payload, one)) == list(map(asked.payload, other))


def test_instrumentos_are_published_changed_and_removed_by_name() -> None:
    clock = [NOW]
    world = make(per_day=20, now=lambda: clock[0])
    keys = world.publish(3, resource=NAME)
    clock[0] += timedelta(days=1)
    before = [world.record(key) for key in keys]
    assert world.touch(keys) == keys
    for key, old in zip(keys, before, strict=True):
        new = world.record(key)
        assert new["dataAtualizacao"] == clock[0].isoformat()
        assert new["observacao"] != old["observacao"]
        assert new["dataInclusao"] == old["dataInclusao"] == NOW.isoformat()
        assert new["recuperarContratoDTO"] == old["recuperarContratoDTO"]
    assert len(world.select("publicacao")) == len(world)
    assert set(world.touch(2, resource=NAME)) <= set(world.instrumentos_cobranca.records)
    world.remove(keys)
    assert not set(keys) & set(world.instrumentos_cobranca.records)


def test_a_hand_made_instrumento_names_a_contrato_that_is_there_or_one_that_is_not() -> None:
    world = make(per_day=0)
    contrato = world.put(resource="contratos", data_publicacao="2026-01-06T10:00:00", valorGlobal=Decimal("1.0050"))
    head = world.contratos.records[contrato]
    parts = {"cnpj": head.cnpj, "ano": head.ano, "sequencialContrato": head.sequencial}
    key = world.put(resource=NAME, **parts, sequencialInstrumentoCobranca=7, observacao="sete")
    assert key == f"{contrato}-000007"
    assert world.record(key)["recuperarContratoDTO"] == world.record(contrato)
    assert b'"valorGlobal":1.0050' in world.payload(world.instrumentos_cobranca.records[key])
    again = world.put(
        resource=NAME, **parts, sequencialInstrumentoCobranca=7, recuperarContratoDTO={"valorGlobal": None}
    )
    assert (again, world.record(key)["observacao"]) == (key, "sete")
    assert world.record(key)["recuperarContratoDTO"]["valorGlobal"] is None
    assert world.record(key)["recuperarContratoDTO"]["objetoContrato"]
    absent = {"cnpj": "00394429000100", "ano": 2025, "sequencialContrato": 129, "sequencialInstrumentoCobranca": 1}
    other = world.record(world.put(resource=NAME, **absent))
    assert number(other) == ("00394429000100", 2025, 129, 1)
    assert other["recuperarContratoDTO"]["numeroControlePNCP"] == "00394429000100-2-000129/2025"
    assert list(world.contratos.records) == [contrato]


@pytest.mark.skipif(not REAL.is_dir(), reason=NO_RECORDINGS)
def test_the_recorded_instrumento_is_served_value_for_value() -> None:
    world = load_recorded(REAL)
    file = REAL / "instrumentoscobranca" / "baliza_instrumentoscobranca_inclusao_record.json"
    key = "03277610000125-2-000129/2025-000001"
    assert world.record(key) == json.loads(file.read_text(), parse_float=Decimal)
    assert world.instrumentos_cobranca.records[key].tipo == 1


# What the portal answers


@pytest.mark.enable_socket
async def test_about_a_sixth_of_the_rows_comes_twice_and_is_counted(client: PortalClient) -> None:
    rows, total = await whole(client)
    assert total == len(rows)
    times = Counter(map(number, rows))
    assert set(times) == {number(client.world.record(key)) for key in client.world.instrumentos_cobranca.records}
    assert set(times.values()) == {1, 2}
    assert 0.1 < 1 - len(times) / len(rows) < 0.24
    by_number = {number(row): row for row in rows}
    assert all(by_number[number(row)] == row for row in rows)
    client.quirks.update({"listed_twice": 0})
    once, total = await whole(client)
    assert len(once) == total == len(times)
    stamps = [row["dataInclusao"] for row in once]
    assert stamps == sorted(stamps)


@pytest.mark.enable_socket
async def test_the_second_time_is_byte_for_byte_the_first(client: PortalClient) -> None:
    client.quirks.update({"listed_twice": 1})
    client.world.remove(10**6, resource=NAME)
    client.world.publish(1, at="2026-01-07", resource=NAME)
    _, body = await client.get(INCLUDED, **window())
    payload = client.world.payload(*client.world.instrumentos_cobranca.records.values())
    assert body.startswith(b'{"data":[' + payload + b"," + payload + b'],"totalRegistros":2,')


@pytest.mark.enable_socket
async def test_a_window_without_any_is_404_with_its_own_words(client: PortalClient) -> None:
    status, body = await client.get(INCLUDED, **window("20240101", "20240131"))
    assert status == 404
    assert json.loads(body) == {
        "timestamp": "2026-03-01T15:00:00.000+00:00",
        "status": 404,
        "error": "Not Found",
        "message": "Nenhum instrumento de Cobrança encontrado.",
        "path": "/pncp-consulta/v1/instrumentoscobranca/inclusao",
    }


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("over", "status", "message"),
    [
        ({"tamanhoPagina": 9}, 400, "Tamanho de página inválido"),
        ({"tamanhoPagina": 101}, 400, "Tamanho de página inválido"),
        ({"pagina": ""}, 400, "'pagina'"),
        ({"dataInicial": ""}, 400, "'dataInicial'"),
        ({"tipoInstrumentoCobranca": "NF"}, 400, "java.lang.Long"),
        ({"dataFinal": "20240101"}, 422, "anterior ou igual"),
        ({"dataFinal": "20270201"}, 422, "365 dias"),
    ],
)
async def test_what_is_wrong_about_a_request_is_refused(
    client: PortalClient, over: dict[str, Any], status: int, message: str
) -> None:
    refused, body = await client.get(INCLUDED, **window() | over)
    assert refused == status
    assert message in json.loads(body)["message"]


@pytest.mark.enable_socket
async def test_instrumentos_are_filtered_by_orgao_and_kind(client: PortalClient) -> None:
    sample = (await client.parsed(INCLUDED, **window()))["data"][0]
    some = await client.parsed(INCLUDED, **window(), cnpjOrgao=sample["cnpj"])
    assert {row["cnpj"] for row in some["data"]} == {sample["cnpj"]}
    assert (await client.parsed(INCLUDED, **window(), tipoInstrumentoCobranca=1))["data"]
    assert (await client.get(INCLUDED, **window(), tipoInstrumentoCobranca=2))[0] == 404
    ignored = await client.parsed(INCLUDED, **window(), cnpj=sample["cnpj"])
    assert ignored["totalRegistros"] > some["totalRegistros"]


@pytest.mark.enable_socket
async def test_rules_match_and_spoil_the_listing_of_instrumentos_alone(client: PortalClient) -> None:
    client.quirks.add("503", match={"resource": NAME, "criterio": "inclusao"})
    contratos = "/consulta/v1/contratos"
    assert [(await client.get(path, **window()))[0] for path in (INCLUDED, contratos)] == [503, 200]
    for name, shown in (("nan", b'"fonteNFe":NaN'), ("nul", b"\\u0000"), ("null_dates", b'"dataInclusao":null')):
        client.quirks.reset()
        client.quirks.add(name, match={"resource": NAME})
        assert shown in (await client.get(INCLUDED, **window()))[1]
    client.quirks.reset()
    client.quirks.add("unordered_orgao", match={"resource": NAME})
    client.quirks.add("left_out", match={"resource": NAME})
    client.quirks.add("second_look_empty", match={"resource": NAME})
    assert (await client.get(INCLUDED, **window(size=10)))[0] == 200
    status, body = await client.get(INCLUDED, **window(size=10))
    assert (status, json.loads(body)["message"]) == (404, "Nenhum instrumento de Cobrança encontrado.")


@pytest.mark.enable_socket
async def test_instrumentos_are_counted_told_and_changed_from_outside(client: PortalClient) -> None:
    count = len(client.world.instrumentos_cobranca.records)
    parts = {"cnpj": "00394429000100", "ano": 2025, "sequencialContrato": 129, "sequencialInstrumentoCobranca": 1}
    stamp = "2026-02-01T10:00:00"
    _, made = await client.order("POST", "records", resource=NAME, data_publicacao=stamp, record=parts)
    key = made["numeroControlePNCP"]
    assert key == "00394429000100-2-000129/2025-000001"
    _, changes = await client.order("POST", "changes", publish=2, touch=[key], resource=NAME)
    assert (len(changes["published"]), changes["touched"]) == (2, [key])
    assert (await client.order("GET", "state"))[1][NAME] == count + 3
    _, truth = await client.order("GET", "records", resource=NAME, criterio="inclusao", data_ini=stamp, data_fim=stamp)
    assert truth == [parts | {"dataInclusao": stamp, "dataAtualizacao": NOW.isoformat()}]


@pytest.mark.enable_socket
async def test_a_listing_of_instrumentos_changes_while_it_is_read(client: PortalClient) -> None:
    client.quirks.update({"listed_twice": 0})
    before = await client.parsed(INCLUDED, **window(size=10))
    client.quirks.add("change", times=1, value={"remove": 2, "from": "page", "append": 1, "insert": 1})
    assert await client.parsed(INCLUDED, **window(size=10)) == before
    after = await client.parsed(INCLUDED, **window(size=10))
    assert after["totalRegistros"] == before["totalRegistros"]
    assert list(map(number, after["data"])) != list(map(number, before["data"]))
