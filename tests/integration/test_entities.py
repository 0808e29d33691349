"""Lists of every entity, compared with a plain evaluation of all rows; another resource is tested without a line."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from backend.services.entities import mirror, rows
from backend.services.entities.question import MOST_ROWS
from common.clock import BRASILIA
from common.entities.entity import (
    DATES,
    ENTITIES,
    ENTITIES_BY_ADDRESS,
    RELEVANCE,
    Entity,
    Filter,
    Form,
    Order,
    of_resource,
)
from common.resources.description import Kind
from tests.integration.conftest import Database, OpenApi, Proxy
from tests.rows import CNPJS, NOW

every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=[each.address for each in ENTITIES])
Row = dict[str, Any]


def loads(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


async def ask(api: httpx.AsyncClient, entity: Entity, *pairs: tuple[str, str], **more: Any) -> Any:
    parameters = [*pairs, *((name, str(value)) for name, value in more.items())]
    return loads(await api.get(f"/{entity.address}", params=parameters))


async def all_rows(api: httpx.AsyncClient, entity: Entity, **more: Any) -> list[Row]:
    whole = await ask(api, entity, limite=MOST_ROWS, campos="todos", dados_pessoais="true", **more)
    assert whole["proximo"] is None
    found: list[Row] = whole["registros"]
    return found


def key_of(entity: Entity) -> Callable[[Row], tuple[Any, ...]]:
    """What tells rows apart; a party that is paged by a number of ours does not show it."""
    names = [each.name for each in entity.key]
    if not set(names) <= entity.fields.keys():
        names = ["tipo_pessoa", "ni"]
    return lambda row: tuple(row[name] for name in names)


# --- filters ----------------------------------------------------------------------------------------------------

TODAY = datetime.now(BRASILIA).replace(tzinfo=None)
CONDITIONS: dict[str, Callable[[Row, Any], bool]] = {
    "aberta": lambda row, _: (
        bool(row["data_encerramento_proposta"] and row["data_abertura_proposta"])
        and row["data_encerramento_proposta"] > TODAY.isoformat()
        and row["data_abertura_proposta"] <= TODAY.isoformat()
    ),
    "sem_valor": lambda row, _: not row["valor_total_estimado"],
    "sem_empenhos": lambda row, _: row["tipo_contrato_id"] != 7,
    "vigente": lambda row, _: (
        bool(row["data_vigencia_inicio"] and row["data_vigencia_fim"])
        and row["data_vigencia_inicio"] <= str(TODAY.date()) <= row["data_vigencia_fim"]
    ),
    "vigente_em": lambda row, day: (
        bool(row["vigencia_inicio"] and row["vigencia_fim"] and not row["cancelado"])
        and row["vigencia_inicio"] <= day <= row["vigencia_fim"]
    ),
    "visto_desde": lambda row, moment: row["alterado_em"] >= moment,
}
"""Conditions that are more than a column, in plain Python; of others it is seen that they divide the rows in two."""


def values_to_ask(each: Filter, found: Iterable[Any]) -> list[str]:
    """Some values that rows have, and one that none has."""
    present = sorted({as_written(value) for value in found if value is not None and value != ""})
    absent = {Kind.BOOLEAN: [], Kind.DAY: ["2031-01-01"], Kind.NUMBER: ["123.456"]}
    other = ["2031-01-01T00:00:00"] if each.kind in DATES else ["4"]
    return [*present[:3], *present[-2:], *absent.get(each.kind, other)]


def as_written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:f}" if isinstance(value, Decimal) else str(value)


def holds(each: Filter, value: Any, asked: str) -> bool:
    """Whether a row with this value is among those that a filter leaves."""
    if value is None:
        return False
    if each.form is Form.ANY:
        return as_written(value) == asked
    if each.kind is Kind.NUMBER:
        return value >= Decimal(asked) if each.form is Form.FROM else value <= Decimal(asked)
    if each.form is Form.FROM:
        return bool(value >= asked)
    return bool(value <= asked) if each.kind is Kind.DAY or "T" in asked else bool(value < f"{next_day(asked)}")


def next_day(day: str) -> date:
    return date.fromisoformat(day) + timedelta(days=1)


@every_entity
async def test_every_filter_leaves_the_rows_that_a_plain_comparison_leaves(
    api: httpx.AsyncClient, filled: Database, entity: Entity
) -> None:
    whole, key = await all_rows(api, entity), key_of(entity)
    field_of = {field.sql: name for name, field in entity.fields.items()}
    assert whole
    for name, each in entity.filters.items():
        if each.form in (Form.HOLDS, Form.WITH, Form.SEARCH):
            continue
        column = field_of[each.sql]
        asked = values_to_ask(each, (row[column] for row in whole))
        if each.kind in (Kind.MOMENT, Kind.STAMP):
            asked += [value[:10] for value in asked]
        for value in asked:
            if each.form is Form.ANY and "," in value and (each.kind is not Kind.TEXT or ", " not in value):
                continue
            left = await all_rows(api, entity, **{name: value})
            expected = [key(row) for row in whole if holds(each, row[column], value)]
            assert sorted(map(key, left)) == sorted(expected), (name, value)


async def records_of(api: httpx.AsyncClient, entity: Entity) -> Callable[[Row], Row]:
    """Of an entry of a list the record that it belongs to; of another row itself."""
    if not entity.children or len(entity.resources) > 1:
        return lambda row: row
    key = entity.resources[0].key
    records = {row[key]: row for row in await all_rows(api, of_resource(entity.resources[0]))}
    return lambda row: records[row[key]]


@every_entity
async def test_every_condition_divides_the_rows_as_it_says(
    api: httpx.AsyncClient, filled: Database, entity: Entity
) -> None:
    whole, key = await all_rows(api, entity), key_of(entity)
    records = await records_of(api, entity)
    for name, each in entity.filters.items():
        if each.form is Form.HOLDS:
            yes, no = [[key(row) for row in await all_rows(api, entity, **{name: word})] for word in ("true", "false")]
            assert sorted(yes + no) == sorted(map(key, whole)), name
            if name in CONDITIONS:
                expected = [key(row) for row in whole if CONDITIONS[name](records(row), None)]
                assert sorted(yes) == sorted(expected), name
        elif each.form is Form.WITH and each.kind in DATES:
            for moment in (NOW, NOW + timedelta(hours=1)):
                value = str(moment.date()) if each.kind is Kind.DAY else moment.isoformat()
                left = [key(row) for row in await all_rows(api, entity, **{name: value})]
                subjects = [(key(row), row if name == "visto_desde" else records(row)) for row in whole]
                assert sorted(left) == sorted(each for each, row in subjects if CONDITIONS[name](row, value)), name


@pytest.mark.parametrize("address", ["contratos", "orgaos", "pcas"])
async def test_a_root_of_cnpjs_leaves_the_rows_whose_cnpj_begins_with_it(
    api: httpx.AsyncClient, filled: Database, address: str
) -> None:
    whole = loads(await api.get(f"/{address}?limite=500"))["registros"]
    (name,) = {"cnpj", "orgao_entidade_cnpj"} & whole[0].keys()
    left = loads(await api.get(f"/{address}?limite=500&cnpj_raiz={CNPJS[0][:8]}"))["registros"]
    assert left == [row for row in whole if row[name] == CNPJS[0]]
    assert 0 < len(left) < len(whole)


async def test_several_values_are_alternatives_however_they_are_written(
    api: httpx.AsyncClient, filled: Database
) -> None:
    def keys(answer: httpx.Response) -> list[str]:
        return [row["numero_controle_pncp"] for row in loads(answer)["registros"]]

    together = keys(await api.get("/contratos?tipo_contrato=7,8&limite=500"))
    assert together == keys(await api.get("/contratos?tipo_contrato=7&tipo_contrato=8&limite=500"))
    alone = [keys(await api.get(f"/contratos?tipo_contrato={code}&limite=500")) for code in (7, 8)]
    assert sorted(together) == sorted([*alone[0], *alone[1]])
    punctuated = keys(await api.get("/contratos?cnpj=03.112.386/0001-11&limite=500"))
    assert punctuated == keys(await api.get(f"/contratos?cnpj={CNPJS[0]}&limite=500")) != []


# --- orders and pages -------------------------------------------------------------------------------------------


async def pages(api: httpx.AsyncClient, entity: Entity, **more: Any) -> AsyncIterator[Any]:
    """All pages by the address of the next one that each answer has."""
    answer = await api.get(f"/{entity.address}", params=more)
    while True:
        yield loads(answer)
        link = answer.headers.get("Link")
        assert (link is None) is (loads(answer)["proximo"] is None)
        if link is None:
            return
        target = link.removeprefix("<").partition(">")[0]
        assert link.endswith('>; rel="next"')
        assert ("cursor", loads(answer)["proximo"]) in parse_qsl(urlsplit(target).query)
        answer = await api.get(target)


def _plain_orders(entity: Entity) -> dict[str, Order]:
    """The orders that need no search."""
    return {name: order for name, order in entity.orders.items() if name != RELEVANCE}


@every_entity
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_every_order_walks_all_rows_once_by_cursor_and_by_skipping(
    api: httpx.AsyncClient, filled: Database, entity: Entity, direction: str
) -> None:
    for name, order in _plain_orders(entity).items():
        wanted = {"campos": "todos", "ordem": f"{name}:{direction}", "contagem": "nao"}
        whole = (await ask(api, entity, limite=MOST_ROWS, **wanted))["registros"]
        walked = [row async for page in pages(api, entity, limite=7, **wanted) for row in page["registros"]]
        skipped = [
            row
            for skip in range(0, len(whole) + 7, 7)
            for row in (await ask(api, entity, limite=7, pular=skip, **wanted))["registros"]
        ]
        assert walked == skipped == whole
        assert len({json.dumps(row, default=str) for row in whole}) == len(whole)
        field = next((each for each in entity.fields.values() if each.sql == order.sql), None)
        if field is not None and field.kind not in (Kind.TEXT, Kind.SHORT_TEXT):
            values = [row[field.name] for row in whole]
            known = [value for value in values if value is not None]
            assert values == [*known, *[None] * (len(values) - len(known))], "nulls come last"
            assert all(one <= other if direction == "asc" else one >= other for one, other in pairwise(known))


@every_entity
async def test_far_pages_have_the_rows_that_walking_there_finds(
    api: httpx.AsyncClient, filled: Database, entity: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    for order in (f"{name}:{direction}" for name in _plain_orders(entity) for direction in ("asc", "desc")):
        wanted = {"campos": "todos", "ordem": order, "contagem": "nao"}
        whole = (await ask(api, entity, limite=MOST_ROWS, **wanted))["registros"]
        monkeypatch.setattr(rows, "FAR", 1)
        for skip in {1, 5, len(whole) // 2, len(whole) - 1, len(whole), len(whole) + 1}:
            page = (await ask(api, entity, limite=10, pular=skip, **wanted))["registros"]
            assert page == whole[skip : skip + 10], (order, skip)
        monkeypatch.undo()


async def test_the_order_of_relevance_is_that_of_the_words_among_the_newest(
    api: httpx.AsyncClient, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank = "round(CAST(ts_rank(busca, to_tsquery('pncp', 'pneu')) AS numeric), 6)"
    texts = ["pneu", "pneu pneu pneu", "outro", "pneu e mais pneu", "pneu " * 9, "um pneu de um carro", "nenhum"]
    for n, each in enumerate(texts * 5):
        nth = f"SELECT numero_controle_pncp FROM contratos ORDER BY 1 OFFSET {n} LIMIT 1"
        words = f"to_tsvector('pncp', '{each}')"
        await filled.rows(f"UPDATE contratos SET busca = {words} WHERE numero_controle_pncp = ({nth})")
    hits = f"SELECT numero_controle_pncp, {rank} FROM contratos WHERE busca @@ to_tsquery('pncp', 'pneu')"
    found = await filled.rows(f"{hits} ORDER BY 2 DESC, 1 DESC")
    expected = [row[0] for row in found]
    assert len({row[1] for row in found}) >= 4
    asked = {"q": "pneus", "uf": [], "ordem": "relevancia", "campos": "numero_controle_pncp"}
    contratos = ENTITIES_BY_ADDRESS["contratos"]
    walked = [row async for page in pages(api, contratos, limite=3, **asked) for row in page["registros"]]
    assert [row["numero_controle_pncp"] for row in walked] == expected
    far = loads(await api.get("/contratos", params={**asked, "data_publicacao_de": "2000-01-01", "pular": 4}))
    assert [row["numero_controle_pncp"] for row in far["registros"]] == expected[4:]
    monkeypatch.setattr(rows, "RANKED", 5)
    newest = await filled.rows(f"{hits} ORDER BY data_publicacao_pncp DESC, 1 DESC LIMIT 5")
    ranked = loads(await api.get("/contratos", params=asked))["registros"]
    assert [row["numero_controle_pncp"] for row in ranked] == [
        row[0] for row in sorted(newest, key=lambda row: (row[1], row[0]), reverse=True)
    ]


async def test_relevance_needs_words(api: httpx.AsyncClient, filled: Database) -> None:
    refused = await api.get("/contratos?ordem=relevancia")
    assert (refused.status_code, "só é relevancia junto com q" in refused.json()["detail"]) == (422, True)
    assert (await api.get("/pcas?ordem=relevancia&q=x")).status_code == 422


async def test_a_cursor_of_another_order_another_list_or_none_is_refused(
    api: httpx.AsyncClient, filled: Database
) -> None:
    cursor = loads(await api.get("/contratos?limite=1"))["proximo"]
    assert loads(await api.get(f"/contratos?limite=1&cursor={cursor}"))["registros"]
    for address in (
        f"/contratacoes?cursor={cursor}",
        f"/contratos?ordem=valor&cursor={cursor}",
        f"/contratos?ordem=data_publicacao:asc&cursor={cursor}",
        f"/contratos?cursor={cursor[:-3]}",
        f"/contratos?cursor={cursor}x",
        "/contratos?cursor=",
        "/contratos?cursor=" + "A" * 5_000,
        "/contratos?cursor=bnVsbA",
        f"/contratos?pular=1&cursor={cursor}",
    ):
        refused = await api.get(address)
        assert refused.status_code == 422, address
        assert refused.headers["content-type"] == "application/problem+json"
        assert "cursor" in refused.json()["detail"]


# --- parameters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("dataInicial=2025-01-01", "não é um parâmetro de /contratos"),
        ("data_publicacao_ini=2025-01-01", "data_publicacao"),
        ("plataform=x", "o mais próximo é plataforma"),
        ("limit=5", "limite"),
        ("limite=5&limite=6", "mais de uma vez"),
        ("valor_min=1&valor_min=2", "mais de uma vez"),
        ("limite=501", "entre 1 e 500"),
        ("limite=0", "entre 1 e 500"),
        ("pular=100001", "entre 0 e 100000"),
        ("campos=objeto", "objeto_contrato"),
        ("ordem=objeto", "data_publicacao"),
        ("contagem=sim", "limitada, exata ou nao"),
        ("dados_pessoais=talvez", "true ou false"),
        ("receita=talvez", "true ou false"),
        ("tipo_contrato=sete", "número inteiro"),
        ("tipo_contrato=2147483648", "entre -2147483647 e 2147483647"),
        ("valor_min=1,5", "ponto antes dos decimais"),
        ("valor_min=1e400", "grande demais"),
        ("valor_min=NaN", "grande demais"),
        ("data_publicacao_de=31/12/2025", "YYYY-MM-DD"),
        ("data_publicacao_de=2025-02-30", "calendário"),
        ("data_publicacao_de=0000-01-01", "calendário"),
        ("data_publicacao_ate=2025-02-30", "calendário"),
        ("cnpj=%00", "caractere"),
        ("cnpj=" + "9" * 251, "longo demais"),
        ("uf=" + ",".join(["SP"] * 201), "mais de 200 valores"),
    ],
)
async def test_what_is_wrong_in_a_query_is_said(api: httpx.AsyncClient, query: str, told: str) -> None:
    answer = await api.get(f"/contratos?{query}")
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["detail"]


HOSTILE = (
    *("", " ", "\0", "'", '"', "\\", "%", "'; DROP TABLE contratos; --", "$1", "{value}", "🙂", "\ud7ff", "a" * 2_000),
    *("2147483647", "2147483648", "-2147483649", "9" * 400, "1e308", "1e-60", "-0", "NaN", "Infinity", "0x1", "1_0"),
    *("0001-01-01", "9999-12-31", "0002-01-01", "9998-12-31", "2025-13-01", "2025-01-01T24:00:00", "10000-01-01"),
    *("2025-01-01T00:00:00Z", "true", "null", "[]", ",", ",,", "a,b", "\u0663", "\uff10", "\u202e", "ß\u0301"),
)


@every_entity
async def test_no_value_whatever_makes_a_list_fail(api: httpx.AsyncClient, filled: Database, entity: Entity) -> None:
    kinds = {(each.kind, each.form): name for name, each in entity.filters.items()}  # one of each
    names = [*kinds.values(), "limite", "pular", "cursor", "ordem", "contagem", "campos", "dados_pessoais", "outro"]
    for name in names:
        for value in HOSTILE:
            answer = await api.get(f"/{entity.address}", params={name: value, "limite": 1} | {name: value})
            assert answer.status_code in (200, 422), (name, value, answer.text)


# --- counts -----------------------------------------------------------------------------------------------------


async def test_rows_are_counted_as_is_asked(
    api: httpx.AsyncClient, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def total(query: str) -> tuple[int | None, str]:
        # a filter that every record passes, and that the rollup does not know
        answer = loads(await api.get(f"/contratos?limite=1&data_atualizacao_de=2000-01-01&{query}"))
        return answer["total"], answer["total_tipo"]

    assert await total("") == await total("contagem=exata") == (40, "exato")
    assert await total("contagem=nao") == (None, "nenhum")
    assert await total("contagem=nao&valor_min=1e50") == (0, "exato"), "what is known costs nothing"
    monkeypatch.setattr(rows, "COUNTED", 30)
    assert await total("") == (30, "minimo")
    assert await total("contagem=exata") == (40, "exato")
    monkeypatch.setattr(rows, "COUNTED", 40)
    assert await total("") == (40, "exato")
    await filled.rows("ANALYZE contratos")
    monkeypatch.setattr(rows, "COUNT_SECONDS", {"limitada": 0.0, "exata": 0.0})
    assert await total("contagem=exata") == await total("") == (40, "estimado")


async def test_a_list_that_takes_too_long_says_which_filter_helps(
    api: httpx.AsyncClient, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LIST_SECONDS", 0.0)
    for address, status, told in (
        ("/contratos", 422, "Acrescente um filtro que um índice conduz: "),
        ("/contratos?plataforma=x", 422, "cnpj"),
        (f"/contratos?cnpj={CNPJS[0]}", 503, "Peça um período menor"),
        ("/orgaos?esfera=M", 422, "cnpj"),
        ("/contratos/03112386000111/2024/1", 503, "tente de novo"),
        ("/orgaos/03112386000111", 503, "tente de novo"),
    ):
        answer = await api.get(address)
        assert answer.status_code == status, answer.text
        assert told in answer.json()["detail"]
        assert ("Retry-After" in answer.headers) is (status == 503)
    monkeypatch.undo()
    assert len(loads(await api.get("/contratos"))["registros"]) == 40, "the connections serve on"


async def test_a_database_that_falls_silent_is_told_from_a_list_that_is_slow(
    open_api: OpenApi, filled: Database, database_proxy: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = database_proxy
    api = await open_api(database_url=url)
    whole = (await api.get("/contratos")).json()["registros"]
    monkeypatch.setattr(rows, "LIST_SECONDS", 0.3)
    monkeypatch.setattr(rows, "ANSWER_SECONDS", 0.3)
    proxy.freeze()
    for address in ("/contratos", "/contratos/03112386000111/2024/1"):
        silent = await api.get(address)
        assert silent.status_code == 503
        assert "O banco de dados está indisponível" in silent.json()["detail"]
    await proxy.mend()
    monkeypatch.undo()
    assert (await api.get("/contratos")).json()["registros"] == whole


# --- answers ----------------------------------------------------------------------------------------------------


async def test_an_answer_that_has_not_changed_is_not_sent_again(api: httpx.AsyncClient, filled: Database) -> None:
    answer = await api.get("/contratos?limite=3")
    tag = answer.headers["ETag"]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    for known in (tag, f'"x", W/{tag}'):
        again = await api.get("/contratos?limite=3", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    await filled.rows("UPDATE contratos SET objeto_contrato = 'novo', updated_at = now()")
    changed = await api.get("/contratos?limite=3", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


async def test_numbers_keep_all_their_digits(api: httpx.AsyncClient, filled: Database) -> None:
    await filled.rows("UPDATE contratos SET valor_global = 12345678901234567890.1234, valor_inicial = 1.50")
    answer = await api.get("/contratos?limite=1&campos=valor_global,valor_inicial,payload")
    assert '"valor_global":12345678901234567890.1234' in answer.text
    assert '"valor_inicial":1.50' in answer.text


CPF, MASKED = "52998224725", "***.982.247-**"


@pytest.mark.parametrize(
    ("user", "query", "sees"),
    [
        ("viewer", "", False),
        ("admin", "", False),
        ("admin", "dados_pessoais=true", True),
        ("admin", "dados_pessoais=false", False),
    ],
)
async def test_cpfs_are_shown_to_administrators_who_ask_for_them(
    open_api: OpenApi, filled: Database, user: str, query: str, sees: bool
) -> None:
    api = await open_api(admin_password="the admin's words", viewer_password="the viewer's words")
    for entity in ENTITIES:
        answer = await api.get(f"/{entity.address}?limite=500&campos=todos&{query}", auth=(user, f"the {user}'s words"))
        assert answer.status_code == 200, answer.text
        if any(field.is_personal and field.name != "payload" for field in entity.fields.values()):
            assert (CPF in answer.text, MASKED in answer.text) == (sees, not sees), entity.address
        elif not sees:
            assert CPF not in answer.text


async def test_a_viewer_cannot_ask_for_cpfs_and_finds_by_them_all_the_same(open_api: OpenApi, filled: Database) -> None:
    api = await open_api(admin_password="the admin's words", viewer_password="the viewer's words")
    viewer = ("viewer", "the viewer's words")
    assert (await api.get("/contratos?dados_pessoais=true", auth=viewer)).status_code == 422
    assert (await api.get("/contratos")).status_code == 401
    for number in (CPF, "529.982.247-25"):
        found = loads(await api.get(f"/contratos?ni_fornecedor={number}&limite=500", auth=viewer))["registros"]
        assert {row["ni_fornecedor"] for row in found} == {MASKED}


# --- the mirror -------------------------------------------------------------------------------------------------

DAY = date(2025, 3, 10)
OF_DAY = f"data_publicacao_de={DAY}&data_publicacao_ate={DAY}"


@pytest.fixture
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "KEPT_SECONDS", 0.0)


async def mirror_of(api: httpx.AsyncClient, query: str = OF_DAY, address: str = "contratos") -> dict[str, Any]:
    found: dict[str, Any] = loads(await api.get(f"/{address}?{query}"))["espelho"]
    return found


async def read_day(database: Database, day: date = DAY, resource: str = "contratos", part: int = 0) -> None:
    await database.rows(
        "INSERT INTO read_days (resource, criterio, part, day, began_at, complete_at, slice_id, execution_id, pages,"
        " records, stored) VALUES (:resource, 'publicacao', :part, :day, now(), now(), 1, 1, 1, 1, 1)",
        resource=resource,
        part=part,
        day=day,
    )


async def test_a_list_says_which_days_are_not_proved_complete(
    api: httpx.AsyncClient, database: Database, asked_anew: None
) -> None:
    nothing = await mirror_of(api)
    assert (nothing["completo"], nothing["dias_faltando"], nothing["ate"]) == (False, None, None)
    await read_day(database)
    whole = await mirror_of(api)
    assert (whole["completo"], whole["dias_faltando"], whole["de"]) == (True, 0, str(DAY))
    gap = await mirror_of(api, f"data_publicacao_de={DAY}&data_publicacao_ate={DAY + timedelta(days=2)}")
    assert (gap["completo"], gap["dias_faltando"]) == (False, 2)
    before = await mirror_of(api, f"data_publicacao_ate={DAY - timedelta(days=1)}")
    assert (before["completo"], before["dias_faltando"]) == (False, 1), "nothing is known of what was before"
    assert (await mirror_of(api, ""))["dias_faltando"] == (TODAY.date() - DAY).days - 1


async def test_a_day_is_complete_by_its_changes_too(
    api: httpx.AsyncClient, database: Database, asked_anew: None
) -> None:
    await database.rows(
        "INSERT INTO watermarks (resource, part, since, reached, complete_from)"
        " VALUES ('contratos', 0, '2025-03-01', '2025-03-12T10:00:00', '2025-03-09')"
    )
    whole = await mirror_of(api)
    assert (whole["completo"], whole["ate"]) == (True, "2025-03-12T10:00:00")
    later = await mirror_of(api, f"data_publicacao_de={DAY}&data_publicacao_ate={DAY + timedelta(days=2)}")
    assert later["dias_faltando"] == 1, "the day at whose noon the changes end"
    await database.rows("UPDATE watermarks SET complete_from = NULL")
    assert (await mirror_of(api))["dias_faltando"] == 1


async def test_a_day_of_which_a_part_failed_is_missing(
    api: httpx.AsyncClient, database: Database, asked_anew: None
) -> None:
    for part in (6, 8):
        await read_day(database, resource="contratacoes", part=part)
    assert (await mirror_of(api, address="contratacoes"))["completo"]
    await read_day(database, DAY + timedelta(days=1), resource="contratacoes", part=6)
    both = f"data_publicacao_de={DAY}&data_publicacao_ate={DAY + timedelta(days=1)}"
    assert (await mirror_of(api, both, "contratacoes"))["dias_faltando"] == 1
    assert (await mirror_of(api, both, "itens"))["dias_faltando"] == 1
    assert (await mirror_of(api, "", "orgaos"))["dias_faltando"] is None, "of all resources that name them"


async def test_what_was_rejected_or_is_owed_is_missing(
    api: httpx.AsyncClient, filled: Database, asked_anew: None
) -> None:
    await read_day(filled, resource="contratacoes", part=6)
    assert (await mirror_of(api, address="contratacoes"))["completo"]
    await filled.rows(
        "INSERT INTO itens_owed (numero_controle_pncp, as_of, reason)"
        " SELECT numero_controle_pncp, now(), 'unread' FROM contratacoes LIMIT 2"
    )
    for address in ("contratacoes", "itens"):
        owed = await mirror_of(api, address=address)
        assert (owed["completo"], owed["listas_faltando"]) == (False, 2)
    await filled.rows("DELETE FROM itens_owed")
    for day, counts in ((str(DAY), 1), (None, 2), ("2025-03-11", 2)):
        await filled.rows(
            "INSERT INTO rejected_records (resource, natural_key, reason, payload_hash, payload, day)"
            " VALUES ('contratacoes', 'x', 'x', CAST(:hash AS text), '{}', CAST(CAST(:day AS text) AS date))",
            hash=str(day),
            day=day,
        )
        assert (await mirror_of(api, address="contratacoes"))["registros_recusados"] == counts
    await filled.rows("UPDATE rejected_records SET resolved_at = now()")
    assert (await mirror_of(api, address="contratacoes"))["completo"]


async def test_a_list_that_is_read_of_some_records_only_says_of_which(
    open_api: OpenApi, database: Database, asked_anew: None
) -> None:
    await read_day(database, resource="contratacoes", part=6)
    for scope, told in (("nenhum", "nenhum"), ("tudo", "tudo"), ("uf=SP", "uf=SP")):
        api = await open_api(pncp_resultados=scope)
        found = await mirror_of(api, address="resultados")
        assert (found["escopo"], found["completo"]) == (told, scope == "tudo")
    assert (await mirror_of(api, address="contratacoes"))["escopo"] is None
