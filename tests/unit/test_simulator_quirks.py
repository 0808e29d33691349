"""The simulator misbehaves exactly as told, and the same way each time."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from simulator import Quirks, Simulator, World, generate, serve
from simulator.answers import THROTTLED
from simulator.quirks import ANSWERS, CHANGES, FAILURES, NAMES, SPOILERS

pytestmark = pytest.mark.enable_socket

NOW = datetime.fromisoformat("2025-01-20T12:00:00")
DAY = "2025-01-06"


class Client:
    """A client that asks once, and follows nothing."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.quirks = simulator.quirks
        self.world = simulator.world
        self.session = session

    async def raw(self, path: str, **parameters: Any) -> tuple[int, bytes, aiohttp.ClientResponse]:
        url = self.simulator.base_url + path
        # A connection of its own for each request: aiohttp repeats a GET by itself when a kept-alive one is reset.
        headers = {"Connection": "close"}
        async with self.session.get(url, params=parameters, headers=headers, allow_redirects=False) as response:
            return response.status, await response.read(), response

    async def page(self, page: int = 1, criterio: str = "publicacao", **over: Any) -> Any:
        status, body, _ = await self.listing(page, criterio, **over)
        assert status == 200
        return json.loads(body)

    async def listing(
        self, page: int = 1, criterio: str = "publicacao", **over: Any
    ) -> tuple[int, bytes, aiohttp.ClientResponse]:
        parameters = {
            "dataInicial": "20250106",
            "dataFinal": "20250106",
            "codigoModalidadeContratacao": 6,
            "pagina": page,
            "tamanhoPagina": 10,
        } | over
        return await self.raw(f"/consulta/v1/contratacoes/{criterio}", **parameters)

    async def contratos(self, page: int = 1, suffix: str = "") -> tuple[int, bytes, aiohttp.ClientResponse]:
        day = DAY.replace("-", "")
        return await self.raw(
            f"/consulta/v1/contratos{suffix}", dataInicial=day, dataFinal=day, pagina=page, tamanhoPagina=10
        )

    async def items(self, key: str, **parameters: Any) -> tuple[int, bytes, aiohttp.ClientResponse]:
        cnpj, _, rest = key.split("-")
        sequencial, ano = rest.split("/")
        return await self.raw(f"/pncp/v1/orgaos/{cnpj}/compras/{ano}/{int(sequencial)}/itens", **parameters)


@pytest.fixture
def world() -> World:
    world = generate(1, date(2025, 1, 6), date(2025, 1, 8), 0, now=lambda: NOW)
    world.publish(35, at=DAY, modalidade=6)
    return world


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with serve(world) as simulator, aiohttp.ClientSession() as session:
        yield Client(simulator, session)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about in five seconds")


def keys(envelope: Any) -> list[str]:
    return [record["numeroControlePNCP"] for record in envelope["data"]]


# Answers in place of the true one


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 502, 503, 504])
async def test_any_status_can_be_answered(client: Client, status: int) -> None:
    client.quirks.add(str(status), times=1)
    answered, body, response = await client.listing()
    assert answered == status
    if response.headers["Content-Type"] == "application/json":
        assert str(json.loads(body)["status"]) == str(status)
    else:
        assert response.headers["Content-Type"] == "text/html"
    assert (await client.listing())[0] == 200
    assert client.simulator.stats.statuses == {str(status): 1, "200": 1}


async def test_the_throttle_answers_its_page_of_html(client: Client) -> None:
    client.quirks.add("429")
    status, body, response = await client.listing()
    assert status == 429
    assert "<title>Limite de Requisições Excedido</title>" in body.decode()
    assert response.headers["Content-Type"] == "text/html"
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize("value", [0, 3, 99999, "logo mais"])
async def test_retry_after_is_sent_verbatim(client: Client, value: Any) -> None:
    client.quirks.add("429", value=value)
    _, _, response = await client.listing()
    assert response.headers["Retry-After"] == str(value)


async def test_retry_after_can_be_a_date(client: Client) -> None:
    client.quirks.add("429", value="date")
    _, _, response = await client.listing()
    ahead = parsedate_to_datetime(response.headers["Retry-After"]) - parsedate_to_datetime(response.headers["Date"])
    assert timedelta(0) <= ahead <= timedelta(seconds=3)


async def test_a_database_in_trouble_speaks_json_and_plain_text(client: Client) -> None:
    client.quirks.add("500", times=1)
    client.quirks.add("500_plain", times=1)
    status, body, _ = await client.listing()
    assert status == 500
    assert json.loads(body)["message"].startswith("Failed to obtain JDBC Connection")
    status, body, response = await client.listing()
    assert (status, body.decode()) == (500, "Erro na comunicação com o banco de dados.")
    assert response.headers["Content-Type"] == "application/json"


async def test_html_comes_with_status_200(client: Client) -> None:
    client.quirks.add("html_200")
    status, body, response = await client.listing()
    assert (status, body, response.headers["Content-Type"]) == (200, THROTTLED, "text/html")


async def test_a_redirect_leads_to_another_host(client: Client) -> None:
    client.quirks.add("redirect", times=1)
    client.quirks.add("redirect", value="http://169.254.169.254/")
    status, _, response = await client.listing()
    assert status == 302
    assert response.headers["Location"].startswith("http://redirected.invalid/")
    _, _, response = await client.listing()
    assert response.headers["Location"] == "http://169.254.169.254/"


async def test_any_body_can_be_answered(client: Client) -> None:
    client.quirks.add("body", value={"text": "[1, 2]"})
    status, body, _ = await client.listing()
    assert (status, body) == (200, b"[1, 2]")


async def test_a_promised_page_can_be_empty_or_204(client: Client) -> None:
    client.quirks.add("empty_page", match={"page": 2}, times=1)
    client.quirks.add("no_content", match={"page": 2}, times=1)
    envelope = await client.page(2)
    assert (envelope["data"], envelope["empty"], envelope["totalRegistros"]) == ([], True, 35)
    assert (await client.listing(2))[:2] == (204, b"")
    assert len((await client.page(2))["data"]) == 10


async def test_a_stream_breaks_off_before_its_end(client: Client) -> None:
    client.quirks.add("cut")
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.listing()
    assert client.simulator.stats.statuses == {"cut": 1}


async def test_an_answer_without_a_body_that_is_to_be_cut_is_reset(client: Client) -> None:
    client.quirks.add("cut")
    with pytest.raises(aiohttp.ClientOSError):
        await client.listing(dataInicial="20240101", dataFinal="20240101")


async def test_a_complete_body_of_cut_json(client: Client) -> None:
    _, whole, _ = await client.listing()
    client.quirks.add("cut_json", value=0.25)
    status, body, _ = await client.listing()
    assert status == 200
    assert body == whole[: len(whole) // 4]


async def test_a_connection_is_reset_before_the_head(client: Client) -> None:
    client.quirks.add("reset")
    with pytest.raises(aiohttp.ClientOSError):
        await client.listing()
    assert client.simulator.stats.statuses["reset"] >= 1


async def test_silence_lasts_until_the_client_goes(client: Client) -> None:
    client.quirks.add("hang")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.listing(), 0.1)
    await until(lambda: not client.simulator.stats.concurrent["consulta"])
    assert client.simulator.stats.statuses == {"hang": 1}


async def test_silence_does_not_hold_up_the_end(world: World) -> None:
    quirks = Quirks()
    quirks.add("hang")
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        async with serve(world, quirks) as simulator:
            asked = asyncio.create_task(Client(simulator, session).listing())
            await until(lambda: simulator.stats.concurrent["consulta"] > 0)
            began = loop.time()
        assert loop.time() - began < 2
        with pytest.raises(aiohttp.ClientError):
            await asked


async def test_silence_can_end_by_itself(client: Client) -> None:
    client.quirks.add("hang", value=0.05)
    with pytest.raises(aiohttp.ClientError):
        await client.listing()


async def test_an_answer_can_be_late(client: Client) -> None:
    loop = asyncio.get_running_loop()
    client.quirks.add("latency", value=60)
    client.quirks.latency_ms = 40
    began = loop.time()
    assert (await client.listing())[0] == 200
    assert loop.time() - began >= 0.09


async def test_a_gzip_bomb_unpacks_to_what_was_asked(client: Client) -> None:
    client.quirks.add("gzip_bomb", value=8)
    status, body, response = await client.listing()
    assert status == 200
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(body) == 8 << 20


async def test_a_huge_body_is_as_long_as_asked_or_endless(client: Client) -> None:
    client.quirks.add("huge_body", value=3, times=1)
    client.quirks.add("huge_body", value=0)
    _, body, _ = await client.listing()
    assert len(body) == 3 << 20
    url = f"{client.simulator.base_url}/consulta/v1/orgaos/1/compras/2025/1"
    async with client.session.get(url) as response:
        assert len(await response.content.readexactly(20 << 20)) == 20 << 20


async def test_arrays_can_nest_a_million_deep(client: Client) -> None:
    client.quirks.add("nested")
    _, body, _ = await client.listing()
    assert b"[" * 1_000_000 in body


# Changed answers


@pytest.mark.parametrize(
    ("name", "key", "value", "told"),
    [
        ("total_records", "totalRegistros", "+5", 40),
        ("total_records", "totalRegistros", "-3", 32),
        ("total_records", "totalRegistros", "muitos", "muitos"),
        ("total_pages", "totalPaginas", 10**9, 10**9),
        ("total_pages", "totalPaginas", -1, -1),
        ("total_pages", "totalPaginas", "quatro", "quatro"),
        ("page_number", "numeroPagina", 7, 7),
    ],
)
async def test_an_envelope_tells_wrong_numbers(client: Client, name: str, key: str, value: Any, told: Any) -> None:
    client.quirks.add(name, value=value)
    envelope = await client.page()
    assert envelope[key] == told
    assert len(envelope["data"]) == 10


async def test_a_record_comes_twice_on_a_page_or_on_two(client: Client) -> None:
    true = [await client.page(page) for page in (1, 2)]
    client.quirks.add("repeat", times=1)
    once = await client.page(1)
    assert keys(once) == [*keys(true[0]), keys(true[0])[0]]
    client.quirks.add("repeat", value="next_page")
    assert keys(await client.page(2)) == [keys(true[0])[-1], *keys(true[1])]


async def test_a_listing_out_of_order_is_still_whole(client: Client) -> None:
    true = [key for page in (1, 2, 3, 4) for key in keys(await client.page(page, "publicacao"))]
    client.quirks.add("unordered")
    shuffled = [key for page in (1, 2, 3, 4) for key in keys(await client.page(page, "publicacao"))]
    assert shuffled != true
    assert sorted(shuffled) == sorted(true)


async def test_a_listing_can_have_another_order_for_every_request(client: Client) -> None:
    client.quirks.add("unordered", value="each")
    pages = [(await client.page(1))["data"] for _ in range(6)]
    firsts = {page[0]["numeroControlePNCP"] for page in pages}
    assert len(firsts) > 1
    assert {len(page) for page in pages} == {10}


async def test_a_page_can_be_short_or_a_copy_of_its_neighbour(client: Client) -> None:
    true = {number: (await client.page(number))["data"] for number in (1, 2, 3, 4)}
    client.quirks.add("short_page", match={"page": 2})
    client.quirks.add("copied_page", match={"page": [3, 4]})
    assert (await client.page(2))["data"] == true[2][:2]
    assert (await client.page(3))["data"] == true[4]
    assert (await client.page(4))["data"] == true[3]
    assert (await client.page(2))["totalRegistros"] == 35


async def test_every_second_look_at_page_1_can_be_empty(client: Client) -> None:
    client.quirks.add("second_look_empty")
    statuses = [(await client.listing(1))[0] for _ in range(4)]
    assert statuses == [200, 204, 200, 204]
    assert [(await client.listing(2))[0] for _ in range(2)] == [200, 200]


async def test_a_record_can_be_left_out_of_the_last_page_and_shown_as_it_was(client: Client, world: World) -> None:
    true = (await client.page(4))["data"]
    client.quirks.add("left_out", times=1)
    lacking = await client.page(4)
    assert (lacking["data"], lacking["totalRegistros"]) == (true[1:], 35)
    key = true[0]["numeroControlePNCP"]
    world.touch([key])
    assert (await client.page(4))["data"][0] != true[0]
    client.quirks.add("stale_record", value=[key], times=1)
    assert (await client.page(4))["data"] == true
    assert (await client.page(4))["data"][0]["dataAtualizacaoGlobal"] == NOW.isoformat()


async def test_a_record_can_lose_an_item(client: Client, world: World) -> None:
    key = next(key for key in world.keys if len(world.items(key)) > 1)
    before = world.items(key)
    async with client.session.post(f"{client.simulator.control_url}/changes", json={"lose_item": [key]}) as answer:
        assert (await answer.json())["lost_item"] == [key]
    left = json.loads((await client.items(key, tamanhoPagina=50))[1])
    assert len(left) == len(before) - 1


async def test_requests_are_told_with_their_moment(client: Client) -> None:
    await client.page(1)
    async with client.session.get(f"{client.simulator.control_url}/requests") as answer:
        ((first, service, status, target),) = await answer.json()
    assert (service, status) == ("consulta", "200")
    assert "pagina=1" in target
    async with client.session.get(f"{client.simulator.control_url}/requests?since={first}") as answer:
        assert await answer.json() == []


async def test_items_can_be_down_while_listings_answer(client: Client, world: World) -> None:
    client.quirks.add("items_down")
    assert (await client.items(world.keys[0]))[0] == 503
    assert (await client.listing(1))[0] == 200


async def test_the_items_of_some_contratacoes_never_come(client: Client, world: World) -> None:
    client.quirks.add("poison_items", value=0.3)
    first = {key: (await client.items(key))[0] for key in world.keys}
    again = {key: (await client.items(key))[0] for key in world.keys}
    assert first == again
    assert set(first.values()) == {200, 503}


@pytest.mark.parametrize(
    ("name", "status", "inside"),
    [
        ("html_block", 200, b"<title>Request Rejected</title>"),
        ("forbidden", 403, b"403 Forbidden"),
        ("bad_400", 400, b'For input string: \\"\\"'),
    ],
)
async def test_the_portal_refuses_without_a_reason_of_ours(
    client: Client, name: str, status: int, inside: bytes
) -> None:
    client.quirks.add(name)
    told, body, _ = await client.listing(1)
    assert told == status
    assert inside in body


async def test_a_page_can_be_slow(client: Client) -> None:
    client.quirks.add("slow_page", match={"page": 2}, value=0.2)
    began = asyncio.get_running_loop().time()
    await client.page(2)
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_a_field_can_drift_on_every_record(client: Client, world: World) -> None:
    client.quirks.add("drifted_field")
    client.quirks.add("drifted_field", match={"service": "itens"}, value={"field": "descricao"})
    assert all(isinstance(record["processo"], dict) for record in (await client.page(1))["data"])
    _, body, _ = await client.items(world.keys[0])
    assert all(isinstance(item["descricao"], dict) for item in json.loads(body))


async def test_records_vanish_after_a_page_and_the_rest_moves_up(client: Client) -> None:
    before = [keys(await client.page(page)) for page in (1, 2)]
    client.quirks.add("change", match={"page": 1}, times=1, value={"remove": 2, "from": "page"})
    assert keys(await client.page(1)) == before[0]
    after = await client.page(2)
    assert after["totalRegistros"] == 33
    assert keys(after)[:8] == before[1][2:]


async def test_records_change_after_a_page_and_leave_a_listing_of_updates(client: Client, world: World) -> None:
    total = len(world.select("atualizacao", DAY, f"{DAY}T23:59:59"))
    client.quirks.add("change", times=1, value={"touch": 3, "from": "any"})
    first = await client.page(1, "atualizacao")
    assert first["totalRegistros"] == total
    second = await client.page(1, "atualizacao")
    assert second["totalRegistros"] == total - 3


async def test_records_appear_at_the_end_and_in_the_middle(client: Client) -> None:
    true = [key for page in (1, 2, 3, 4) for key in keys(await client.page(page))]
    client.quirks.add("change", times=1, value={"append": 2, "insert": 1})
    await client.page(1)
    now = [key for page in (1, 2, 3, 4) for key in keys(await client.page(page))]
    assert [key for key in now if key in true] == true
    assert set(now[-2:]).isdisjoint(true)
    assert len(now) == 38
    late = next(index for index, key in enumerate(now) if key not in true)
    assert 0 < late < 35


# Spoiled records


async def spoiled(client: Client, name: str, value: Any = None) -> tuple[dict[str, Any], bytes]:
    client.quirks.add(name, value=value)
    _, body, _ = await client.listing()
    envelope = json.loads(body)
    assert len(envelope["data"]) == 10
    record: dict[str, Any] = envelope["data"][value if isinstance(value, int) else 0]
    return record, body


async def test_texts_can_hold_nul_surrogates_and_a_megabyte(client: Client) -> None:
    record, _ = await spoiled(client, "nul", 3)
    assert "\0" in record["objetoCompra"]
    client.quirks.reset()
    record, body = await spoiled(client, "surrogate", {"field": "processo"})
    assert record["processo"].endswith("\ud800")
    assert b"\\ud800" in body
    client.quirks.reset()
    record, _ = await spoiled(client, "long_text")
    assert len(record["objetoCompra"]) == 1 << 20


async def test_numbers_can_be_nan_and_huge(client: Client) -> None:
    record, body = await spoiled(client, "nan")
    assert math.isnan(record["valorTotalEstimado"])
    assert b":NaN" in body
    client.quirks.reset()
    record, _ = await spoiled(client, "huge_number", {"field": "anoCompra"})
    assert record["anoCompra"] == 10**30


async def test_keys_can_be_missing_unknown_or_ill_typed(client: Client) -> None:
    record, _ = await spoiled(client, "missing_key")
    assert "numeroControlePNCP" not in record
    client.quirks.reset()
    record, _ = await spoiled(client, "unknown_keys")
    assert record["outroCampoNovo"]["codigo"] == 1
    client.quirks.reset()
    record, _ = await spoiled(client, "wrong_type")
    assert isinstance(record["valorTotalEstimado"], dict)
    client.quirks.reset()
    record, _ = await spoiled(client, "null_dates", 9)
    assert record["dataAtualizacaoGlobal"] is record["dataPublicacaoPncp"] is None
    client.quirks.reset()
    assert isinstance((await spoiled(client, "not_an_object"))[0], str)


async def test_all_records_of_a_page_can_be_spoiled(client: Client) -> None:
    client.quirks.add("missing_key", value={"all": True, "field": "processo"})
    assert not any("processo" in record for record in (await client.page())["data"])


async def test_items_are_spoiled_where_the_rule_says_items(client: Client) -> None:
    key = client.world.put(items=3)
    client.quirks.add("nul", match={"service": "itens"}, value=1)
    _, body, _ = await client.items(key)
    assert ["\0" in item["descricao"] for item in json.loads(body)] == [False, True, False]
    assert b"\\u0000" not in (await client.listing())[1]


# Rules


async def test_a_rule_hits_only_what_it_matches(client: Client) -> None:
    one, other = client.world.put(items=1), client.world.put(items=1)
    client.quirks.add("404", match={"service": "itens", "key": one})
    client.quirks.add("500", match={"criterio": "atualizacao", "modalidade": [6, 8], "day": "2025-01-06", "page": 2})
    client.quirks.add("503", match={"path": "/compras/", "service": "consulta"})
    assert (await client.items(one))[0] == 404
    assert (await client.items(other))[0] == 200
    assert (await client.listing(2, "atualizacao"))[0] == 500
    assert (await client.listing(1, "atualizacao"))[0] == 200
    assert (await client.listing(2, "publicacao"))[0] == 200
    assert (await client.listing(2, "atualizacao", dataInicial="20250107", dataFinal="20250107"))[0] != 500
    assert (await client.raw("/consulta/v1/orgaos/1/compras/2025/1"))[0] == 503


async def test_a_rule_hits_contratos_or_contratacoes_by_their_path(client: Client, world: World) -> None:
    world.publish(15, at=DAY, resource="contratos")
    client.quirks.add("503", match={"path": "/v1/contratos"})
    assert [(await client.contratos())[0], (await client.listing())[0]] == [503, 200]
    client.quirks.reset()
    client.quirks.add("503", match={"path": "/v1/contratacoes"})
    assert [(await client.contratos())[0], (await client.listing())[0]] == [200, 503]
    client.quirks.reset()
    client.quirks.add("503", match={"criterio": "atualizacao"})
    assert [(await client.contratos(suffix=suffix))[0] for suffix in ("", "/atualizacao")] == [200, 503]


async def test_pages_of_contratos_are_late_short_repeated_or_out_of_order(client: Client, world: World) -> None:
    world.publish(25, at=DAY, resource="contratos")
    pages = [keys(json.loads((await client.contratos(page))[1])) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [10, 10, 5]
    client.quirks.add("repeat", match={"page": 2}, value="next_page")
    client.quirks.add("short_page", match={"page": 3}, value=1)
    client.quirks.add("total_records", value="+5")
    second, third = [json.loads((await client.contratos(page))[1]) for page in (2, 3)]
    assert keys(second)[0] == pages[0][-1]
    assert keys(third) == pages[2][:1]
    assert second["totalRegistros"] == 30
    client.quirks.reset()
    client.quirks.add("unordered", value="each")
    shuffled = [keys(json.loads((await client.contratos(page))[1])) for page in (1, 2, 3)]
    assert len({key for page in shuffled for key in page}) < 25  # each page is drawn from another order


async def test_a_contrato_is_spoiled_in_its_own_fields(client: Client, world: World) -> None:
    world.publish(3, at=DAY, resource="contratos")
    for name, shown in (("nan", b'"valorGlobal":NaN'), ("nul", b"\\u0000"), ("drifted_field", b'"processo":{')):
        client.quirks.reset()
        client.quirks.add(name)
        assert shown in (await client.contratos())[1]
    client.quirks.reset()
    client.quirks.add("null_dates")
    spoiled_record = json.loads((await client.contratos())[1])["data"][0]
    assert spoiled_record["dataPublicacaoPncp"] is spoiled_record["dataAtualizacaoGlobal"] is None
    assert "dataInclusao" not in spoiled_record


async def test_a_listing_of_contratos_changes_while_it_is_read(client: Client, world: World) -> None:
    world.publish(25, at=DAY, resource="contratos")
    contratacoes = world.keys
    before = [keys(json.loads((await client.contratos(page))[1])) for page in (1, 2)]
    client.quirks.add("change", times=1, value={"remove": 2, "from": "page", "append": 1})
    assert keys(json.loads((await client.contratos(1))[1])) == before[0]
    after = json.loads((await client.contratos(2))[1])
    assert after["totalRegistros"] == 24
    assert keys(after)[:8] == before[1][2:]
    assert world.keys == contratacoes


async def test_a_rule_spares_the_first_and_stops_after_so_many(client: Client) -> None:
    rule = client.quirks.add("500", skip=1, times=2)
    assert [(await client.listing())[0] for _ in range(5)] == [200, 500, 500, 200, 200]
    assert rule.hits == 2


async def test_failures_have_about_the_share_asked_for_and_repeat(world: World) -> None:
    runs = []
    for _ in range(2):
        outcomes = []
        async with serve(world, Quirks(fail=0.3, seed=5)) as simulator, aiohttp.ClientSession() as session:
            client = Client(simulator, session)
            for number in range(120):
                try:
                    status, body, _ = await client.listing(1 + number % 4)
                    outcomes.append(f"{status} {len(body)}")
                except aiohttp.ClientError as error:
                    outcomes.append(type(error).__name__)
            runs.append((outcomes, Counter(simulator.stats.statuses)))
    assert runs[0] == runs[1]
    outcomes, statuses = runs[0]
    whole = {f"200 {len(client_body)}" for client_body in await whole_pages(world)}
    failed = sum(outcome not in whole for outcome in outcomes)
    assert 20 <= failed <= 52
    assert {"500", "502", "503", "504"} & set(statuses)


async def whole_pages(world: World) -> list[bytes]:
    async with serve(world) as simulator, aiohttp.ClientSession() as session:
        client = Client(simulator, session)
        return [(await client.listing(page))[1] for page in (1, 2, 3, 4)]


async def test_the_rate_limit_answers_429_to_what_is_too_much(client: Client) -> None:
    client.quirks.rate_limit = 2
    statuses = [(await client.listing())[0] for _ in range(6)]
    assert statuses[:2] == [200, 200]
    assert 429 in statuses[2:]
    key = client.world.put(items=1)
    assert {(await client.items(key))[0] for _ in range(6)} == {200}  # the other service has no such limit


async def test_quirks_are_set_and_reset_while_it_runs(client: Client) -> None:
    url = f"{client.simulator.control_url}/quirks"
    body = {"429": {"times": 1, "value": 1}, "500": 0.0, "no_items": "404", "fail": 0}
    async with client.session.put(url, json=body) as response:
        assert response.status == 200
    assert (await client.listing())[0] == 429
    async with client.session.get(url) as response:
        shown = await response.json()
    assert [(rule["name"], rule["hits"]) for rule in shown["rules"]] == [("429", 1), ("500", 0)]
    assert shown["no_items"] == "404"
    async with client.session.put(url, json=shown) as response:
        assert response.status == 200
    async with client.session.delete(url) as response:
        assert response.status == 204
    assert client.quirks.as_json() == Quirks().as_json()


@pytest.mark.parametrize(
    "bad",
    [
        {"no such quirk": 1},
        {"429": 2},
        {"429": "often"},
        {"fail": 1.5},
        {"fail": "x"},
        {"no_items": "none"},
        {"rules": [{"name": "cut", "match": {"moon": "full"}}]},
        {"rules": [{"name": "cut", "match": {"day": "yesterday"}}]},
        {"rules": [{"match": {}}]},
        {"cut": {"often": True}},
    ],
)
async def test_a_quirk_that_means_nothing_is_refused_and_changes_nothing(client: Client, bad: dict[str, Any]) -> None:
    async with client.session.put(f"{client.simulator.control_url}/quirks", json={"latency_ms": 5, **bad}) as response:
        assert response.status == 400
        assert (await response.json())["detail"]
    assert client.quirks.as_json() == Quirks().as_json()


def test_every_quirk_has_a_meaning_and_every_failure_is_one() -> None:
    assert set(NAMES) == set(ANSWERS) | set(CHANGES) | set(SPOILERS)
    assert set(FAILURES) <= set(ANSWERS)
    assert all(NAMES.values())
