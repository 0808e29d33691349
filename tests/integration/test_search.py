"""Search in the database: every word of a text finds it, in either number; and rows without words get theirs."""

import asyncio
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from backend.services.search import Unanswerable, is_search_complete, to_tsquery_text
from common.resources.contratacoes import CONTRATACOES
from common.resources.derive import search_vector
from common.search import SEARCHED
from ingestor.sources.pncp.records import parse_list, parse_record
from ingestor.sources.values import Bundle, Record
from ingestor.store import search as search_module
from ingestor.store.batch import store_bundles
from ingestor.store.search import ONE_FILLER, fill_some, fill_words
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, Database, OpenApi
from tests.integration.test_columns import fetch
from tests.integration.test_store import bundle
from tests.records import CONTRATACAO, ITEM, KEY, raw

FINDS = f"SELECT {search_vector(['$1::text'])} @@ to_tsquery('pncp', $2)"
PAIRS = """
    licitação licitações, aquisição aquisições, contratação contratações, manutenção manutenções, prestação prestações,
    locação locações, instalação instalações, obra obras, serviço serviços, pneu pneus, material materiais,
    papel papéis, órgão órgãos, pão pães, cão cães, mão mãos, avião aviões, caminhão caminhões, cartão cartões,
    colchão colchões, botijão botijões, pregão pregões, leilão leilões, hospital hospitais, edital editais,
    jornal jornais, animal animais, móvel móveis, imóvel imóveis, combustível combustíveis, automóvel automóveis,
    lençol lençóis, farol faróis, anzol anzóis, fuzil fuzis, barril barris, civil civis, têxtil têxteis, fóssil fósseis,
    reagente reagentes, bem bens, item itens, homem homens, imagem imagens, viagem viagens, refeição refeições,
    computador computadores, motor motores, extintor extintores, professor professores, lâmpada lâmpadas,
    cadeira cadeiras, luz luzes, giz gizes, veículo veículos, medicamento medicamentos
"""
NOUNS = [tuple(pair.split()) for pair in PAIRS.split(",")]


async def finds(database: Database, written: str, question: str) -> bool:
    query = to_tsquery_text(question)
    assert isinstance(query, str), query
    (row,) = await fetch(database, f"{FINDS} AS found", written, query)
    return bool(row["found"])


def without_accents(word: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFD", word) if not unicodedata.combining(each))


async def found_of(database: Database, pairs: list[tuple[str, str]]) -> list[bool]:
    """Whether each text is found by its question."""
    statement = FINDS.replace("$1::text", "written").replace("$2", "asked")
    rows = await fetch(
        database,
        f"SELECT ({statement}) AS found FROM unnest($1::text[], $2::text[]) WITH ORDINALITY"
        " AS pair (written, asked, place) ORDER BY place",
        [written for written, _ in pairs],
        [to_tsquery_text(question) for _, question in pairs],
    )
    return [row["found"] for row in rows]


@pytest.mark.parametrize("change", [str, without_accents, str.upper], ids=["as it is", "without accents", "capitals"])
async def test_a_noun_is_found_in_its_other_number(database: Database, change: Any) -> None:
    assert len(NOUNS) == 56
    both_ways = [(f"compra de {one}, e mais", change(many)) for one, many in NOUNS]
    both_ways += [(f"COMPRA DE {many.upper()}", change(one)) for one, many in NOUNS]
    found = await found_of(database, both_ways)
    assert sum(found[:56]) >= 55, [pair for pair, is_found in zip(both_ways, found, strict=True) if not is_found]
    assert sum(found[56:]) >= 55, [pair for pair, is_found in zip(both_ways, found, strict=True) if not is_found]


WRITTEN = (
    "Pregão nº 90001/2025 (SRP): óleo diesel S-10, e-mail compras@prefeitura.sp.gov.br, www.gov.br/compras?id=7&x=1; "
    "MATERIAIS/BENS e/ou SERVIÇOS.CONFORME edital\u2013TR “anexo”, papel A4 75g/m², 1.234,56 m³ d'água & C+3ª"
)


@pytest.mark.parametrize(
    "question",
    [
        "90001/2025",
        "90001",
        "2025",
        '"nº 90001/2025"',
        "s-10",
        '"diesel S-10"',
        "e-mail",
        "compras@prefeitura.sp.gov.br",
        "prefeitura",
        "www.gov.br",
        "www.gov.br/compras?id=7",
        "material",
        "bem",
        "serviço",
        '"servicos conforme"',
        "edital tr",
        "anexo",
        "a4",
        "75g",
        "1.234,56",
        "1234,56 OU 234",
        "agua",
        "3ª",
        "pregões -concorrência",
        '"bens e/ou serviços"',
        "prefei*",
        "servico* diese*",
    ],
)
async def test_a_text_is_found_by_what_stands_in_it(database: Database, question: str) -> None:
    assert await finds(database, WRITTEN, question)


@pytest.mark.parametrize(
    "question", ["90002", "1000", "pregão -diesel", '"diesel óleo"', "gasolina", "mail.com", "2025/90001", "die"]
)
async def test_a_text_is_not_found_by_what_does_not(database: Database, question: str) -> None:
    assert not await finds(database, WRITTEN, question)


CHARACTERS = st.one_of(st.characters(), st.sampled_from("aáãç OU-*\"'\\&|!()<>:/.@_0 \x00\ud800"))
QUESTIONS = st.text(CHARACTERS, max_size=60)
LONG = st.lists(QUESTIONS, max_size=10).map(" ".join)


async def test_no_question_is_an_error_of_the_database_nor_one_without_a_word(database: Database) -> None:
    """Whatever is written, what is handed to PostgreSQL is a query, and one that its index can answer."""
    asked: list[str] = []

    @settings(max_examples=2_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(question=st.one_of(QUESTIONS, LONG))
    @example(question="a' | 'b")
    @example(question="\\' ' :* <-> !!")
    @example(question="☃ -x ª ² ½ ⒜ ٣ 漢字")
    def collect(question: str) -> None:
        query = to_tsquery_text(question)
        if isinstance(query, Unanswerable):
            return
        asked.append(query)

    collect()
    assert len(asked) > 500
    rows = await fetch(
        database,
        "SELECT asked, querytree(to_tsquery('pncp', asked)) AS tree FROM unnest($1::text[]) AS a (asked)",
        asked,
    )
    assert [row for row in rows if row["tree"] in ("", "T")] == []


TEXTS = st.lists(
    st.text(st.sampled_from("abçãõéÀZ019 /.-_@<>&+~:;,()'\"%#=?!º²\u2013"), min_size=1, max_size=12),
    min_size=1,
    max_size=6,
).map(" ".join)


async def test_a_text_is_found_by_itself_as_a_phrase_and_by_its_words(database: Database) -> None:
    pairs: list[tuple[str, str]] = []

    @settings(max_examples=1_500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(written=TEXTS)
    def collect(written: str) -> None:
        quoted = '"' + written.replace('"', " ") + '"'
        questions = (quoted, *(word.strip('*-"') for word in written.split()))
        pairs.extend((written, each) for each in questions if isinstance(to_tsquery_text(each), str))

    collect()
    assert len(pairs) > 1_000
    found = await found_of(database, pairs)
    assert [pair for pair, is_found in zip(pairs, found, strict=True) if not is_found] == []


# --- words are written with their rows --------------------------------------------------------------------------


async def words_of(database: Database, table: str) -> list[set[str] | None]:
    rows = await database.rows(f"SELECT tsvector_to_array(busca) FROM {table}")
    return sorted((row[0] if row[0] is None else set(row[0]) for row in rows), key=lambda words: sorted(words or ()))


def one_bundle(item: dict[str, Any] | None = None, **over: Any) -> Bundle:
    record = parse_record(CONTRATACOES, raw(**over))
    assert isinstance(record, Record), record
    return Bundle(record, parse_list(CONTRATACOES.lists[0], b"[%s]" % raw(ITEM | (item or {})), KEY))


async def store(database: Database, *bundles: Bundle, searches_itens: bool = True) -> None:
    async with database.engine.begin() as db:
        _, refused = await store_bundles(db, CONTRATACOES, list(bundles), searches_itens=searches_itens)
    assert refused == []


async def test_a_record_its_entries_and_its_parties_have_their_words(database: Database) -> None:
    await store(database, one_bundle())

    assert await words_of(database, "contratacoes") == [
        {"019", "2026", "reabertura", "p", "1", "agua", "e", "luz"},
    ]
    assert await words_of(database, "itens_contratacao") == [{"areia"}]
    assert await words_of(database, "orgaos") == [{"orgao"}, {"sub"}]
    assert await words_of(database, "unidades") == [{"brasilia", "subunidade"}, {"paulo", "sao", "unidade"}]


async def test_words_change_with_their_row(database: Database) -> None:
    await store(database, one_bundle())
    newer = {"dataAtualizacao": "2026-01-02T00:00:00", "dataAtualizacaoGlobal": "2026-01-02T00:00:00"}
    orgao = CONTRATACAO["orgaoEntidade"] | {"razaoSocial": "NOVO"}
    await store(database, one_bundle({"descricao": None}, objetoCompra="Gás", orgaoEntidade=orgao, **newer))

    assert await words_of(database, "contratacoes") == [{"019", "2026", "reabertura", "p", "1", "gas"}]
    assert await words_of(database, "itens_contratacao") == [set()]
    assert await words_of(database, "orgaos") == [{"novo"}, {"sub"}]


async def test_where_settings_do_not_ask_for_them_entries_have_no_words_and_no_old_ones(database: Database) -> None:
    await store(database, one_bundle())
    newer = {"dataAtualizacao": "2026-01-02T00:00:00", "dataAtualizacaoGlobal": "2026-01-02T00:00:00"}
    await store(database, one_bundle({"descricao": "Brita"}, **newer), searches_itens=False)

    assert await words_of(database, "itens_contratacao") == [None]
    assert await words_of(database, "contratacoes") != [None]


async def test_a_text_of_more_words_than_a_vector_holds_is_stored_with_the_first_of_them(database: Database) -> None:
    text_of_megabytes = " ".join(f"palavra{number}" for number in range(200_000))
    await store(database, one_bundle(objetoCompra=text_of_megabytes))

    (words,) = await words_of(database, "contratacoes")
    assert words is not None
    assert "palavra0" in words
    assert "palavra199999" not in words
    assert await database.value("SELECT length(objeto_compra) FROM contratacoes") == len(text_of_megabytes)


# --- words that are missing -------------------------------------------------------------------------------------


@pytest.fixture
async def filled(database: Database, world: World) -> dict[str, list[Any]]:
    """A mirror without words, as before the upgrade; answers the words that its rows ought to have."""
    keys = world.publish(30, at=CLOSED_DAY, modalidade=6)
    await store(database, *(bundle(world, key) for key in keys))
    words = {table: await words_of(database, table) for table in SEARCHED}
    for table in SEARCHED:
        await database.rows(f"UPDATE {table} SET busca = NULL")
    return words


async def is_complete(database: Database, table: str) -> bool:
    async with database.engine.connect() as db:
        return await is_search_complete(db, table)


async def test_rows_without_words_get_them_and_are_said_to_lack_them_until_then(
    database: Database, filled: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "ROWS_AT_ONCE", 7)
    stored = ("contratacoes", "itens_contratacao", "orgaos", "unidades")
    assert [await is_complete(database, table) for table in stored] == [False] * 4
    changed = await database.rows("SELECT max(updated_at) FROM contratacoes")

    await fill_words(database.engine, asyncio.Event(), searches_itens=False)

    assert [table for table in SEARCHED if not await is_complete(database, table)] == ["itens_contratacao"]
    assert await words_of(database, "itens_contratacao") == [None] * len(filled["itens_contratacao"])

    await fill_words(database.engine, asyncio.Event(), searches_itens=True)

    assert {table: await words_of(database, table) for table in SEARCHED} == filled
    assert all([await is_complete(database, table) for table in SEARCHED])
    assert await database.rows("SELECT max(updated_at) FROM contratacoes") == changed, "for readers nothing has changed"


async def test_the_newest_get_their_words_first_and_what_is_locked_is_left_for_later(
    database: Database, filled: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "ROWS_AT_ONCE", 3)
    order = "data_atualizacao DESC, numero_controle_pncp"
    await database.rows(
        "UPDATE contratacoes SET data_atualizacao = data_atualizacao + make_interval(secs =>"
        " hashtext(numero_controle_pncp) % 1000)"
    )
    keys = [row[0] for row in await database.rows(f"SELECT numero_controle_pncp FROM contratacoes ORDER BY {order}")]
    table = SEARCHED["contratacoes"]
    async with database.engine.begin() as other:
        lock = "SELECT FROM contratacoes WHERE numero_controle_pncp = :key FOR UPDATE"
        await other.execute(text(lock), {"key": keys[1]})
        async with asyncio.timeout(5):
            reached = await database.run(fill_some, table)
            reached = await database.run(fill_some, table, reached.reached)
    have = {
        row[0] for row in await database.rows("SELECT numero_controle_pncp FROM contratacoes WHERE busca IS NOT NULL")
    }
    assert have == {keys[0], *keys[2:7]}
    assert reached.rows == 3


async def test_one_ingestor_at_a_time_makes_words(database: Database, filled: dict[str, list[Any]]) -> None:
    async with database.engine.begin() as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_FILLER})
        async with asyncio.timeout(5):
            await fill_words(database.engine, asyncio.Event(), searches_itens=True)
    assert not await is_complete(database, "contratacoes")


async def test_it_rests_most_of_the_time_and_ends_at_once_when_it_is_to_stop(
    database: Database, filled: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(search_module, "RESTS", 1e6)
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stopping.set)
    began = time.monotonic()

    await fill_words(database.engine, stopping, searches_itens=True)

    assert time.monotonic() - began < 5
    assert await database.value("SELECT count(*) FROM contratacoes WHERE busca IS NOT NULL") == 1


async def test_whether_a_search_is_complete_is_asked_of_its_index_whatever_is_known_of_the_table(
    database: Database, filled: dict[str, list[Any]]
) -> None:
    """Also where the statistics are those of a table without any words; small ones are read whole, if one lets them."""
    asked = "SELECT true FROM {} WHERE busca IS NULL ORDER BY {} LIMIT 1"
    for table in SEARCHED.values():
        await database.rows(f"ANALYZE {table.name}")
        async with database.engine.begin() as db:
            await db.execute(text("SET LOCAL enable_seqscan = off"))
            plan = (await db.execute(text(f"EXPLAIN {asked.format(table.name, table.order)}"))).scalars().all()
        assert f"ix_{table.name}_unsearched" in "".join(plan), table.name


async def test_words_are_looked_up_in_their_index_also_where_the_question_is_a_parameter(database: Database) -> None:
    async with database.engine.begin() as db:
        for setting in ("enable_seqscan = off", "plan_cache_mode = force_generic_plan"):
            await db.execute(text(f"SET LOCAL {setting}"))
        for table in SEARCHED:
            await db.execute(text(f"PREPARE asked_{table} (text) AS SELECT FROM {table} WHERE busca @@ to_tsquery($1)"))
            plan = (await db.execute(text(f"EXPLAIN EXECUTE asked_{table} ('a')"))).scalars().all()
            await db.execute(text(f"DEALLOCATE asked_{table}"))
            assert f"ix_{table}_busca" in "".join(plan), table


async def test_how_many_rows_are_not_found_yet_is_shown(
    database: Database, filled: dict[str, list[Any]], open_api: OpenApi
) -> None:
    await database.rows("ANALYZE contratacoes, orgaos")
    await database.rows("UPDATE unidades SET busca = ''")
    api = await open_api()

    shown = {one["table"]: one for one in (await api.get("/sync/dashboard")).json()["unsearched"]}

    assert shown["contratacoes"] == {"table": "contratacoes", "label": "Contratações", "rows": 30}
    assert shown["itens_contratacao"]["rows"] > 0
    assert "unidades" not in shown
    metrics = (await api.get("/metrics")).text
    assert 'pncp_unsearched_rows{table="contratacoes"} 30.0' in metrics
    assert 'pncp_unsearched_rows{table="unidades"} 0.0' in metrics
