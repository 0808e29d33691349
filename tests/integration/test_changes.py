"""The feed of changes: what is in it, and that a reader who pages by number misses nothing."""

import asyncio
import json
import random
from typing import Any

import httpx
import pytest

from backend.models.changes import Change, Changes
from backend.services import changes as service
from backend.services.changes import load_changes
from backend.services.personal import mask_changes
from common.resources import RESOURCES
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from ingestor import history
from ingestor.changes import move_horizon
from ingestor.history import delete_old
from tests.integration.conftest import Database
from tests.integration.test_rollup import Writers, record_of, store, store_some
from tests.support import eventually

KEY = "00000000000191-1-000000/2025"


async def move(database: Database) -> None:
    """As often as it takes where nothing is under way on the server."""
    for _ in range(2):
        await database.run(move_horizon)


async def reach_the_end(database: Database) -> None:
    """Move the horizon to the last change; transactions of other databases of the server may hold it up."""

    async def has_reached() -> bool:
        await move(database)
        return bool(
            await database.value(
                "SELECT (SELECT seq FROM change_horizon) >= coalesce((SELECT max(seq) FROM mudancas), 0)"
            )
        )

    await eventually(has_reached, seconds=30)


async def load(database: Database, desde: int = 0, limite: int = 500, entidade: str | None = None) -> Changes:
    async with database.engine.connect() as db:
        return await load_changes(db, entidade, desde, limite)


async def test_an_insertion_an_alteration_and_a_removal_are_noted(database: Database) -> None:
    _, payload = record_of(CONTRATACOES, 0, 1, random.Random(1))
    await database.run(
        store, CONTRATACOES, {KEY: {**payload, "objetoCompra": "OLD", "srp": None, "orgaoEntidade": {"a": 1, "b": 2}}}
    )
    changed = {
        **payload,
        "dataAtualizacaoGlobal": "2026-01-01T00:00:00",
        "objetoCompra": "NEW",
        "orgaoEntidade": {"b": 2, "a": 1},
    }
    await database.run(store, CONTRATACOES, {KEY: {**changed, "novo": [1]}})
    await database.rows("DELETE FROM contratacoes")
    await reach_the_end(database)

    inserted, altered, removed = (await load(database)).registros

    assert (inserted.tipo, inserted.entidade, inserted.chave, inserted.campos) == (
        "inserido",
        "contratacoes",
        KEY,
        None,
    )
    assert (altered.tipo, altered.campos) == (
        "alterado",
        {"dataAtualizacaoGlobal": payload["dataAtualizacaoGlobal"], "objetoCompra": "OLD", "srp": None, "novo": None},
    )
    assert (removed.tipo, removed.chave, removed.campos) == ("ausente", KEY, None)
    assert inserted.quando.tzinfo is not None


async def test_what_stays_as_it_was_is_not_noted(database: Database) -> None:
    await store_some(database, CONTRATACOES, 3)
    await database.rows("UPDATE contratacoes SET itens_at = NULL, updated_at = now()")
    await store_some(database, CONTRATACOES, 3)  # the same version again
    await database.rows("UPDATE contratacoes SET payload = payload || '{}'")
    assert await database.value("SELECT count(*) FROM mudancas") == 3


async def test_a_change_behind_an_open_transaction_waits_for_it(database: Database) -> None:
    await store_some(database, CONTRATACOES, 1)
    await reach_the_end(database)
    first = await load(database)
    assert [change.seq for change in first.registros] == [1]
    async with database.engine.begin() as db:
        await store(db, CONTRATOS, dict([record_of(CONTRATOS, 7, 1, random.Random(1))]))  # number 2, still open
        await store_some(database, CONTRATOS, 3)  # numbers 3 to 5
        for _ in range(3):
            await move(database)
        waiting = await load(database, first.proximo)
        assert (waiting.registros, waiting.proximo, waiting.ha_mais) == ([], 1, False)
    await reach_the_end(database)
    assert [change.seq for change in (await load(database, waiting.proximo)).registros] == [2, 3, 4, 5]


async def test_an_open_transaction_that_is_the_newest_of_all_is_waited_for(database: Database) -> None:
    """The id after the last that has ended may be that of a transaction under way."""
    async with database.engine.begin() as db:
        await store(db, CONTRATOS, dict([record_of(CONTRATOS, 7, 1, random.Random(1))]))
        for _ in range(3):
            await move(database)
            assert (await load(database)).ultimo == 0
    await reach_the_end(database)
    assert (await load(database)).ultimo == 1


async def test_a_reader_sees_what_has_ended_since_the_horizon_was_last_moved(database: Database) -> None:
    await store_some(database, CONTRATACOES, 2)
    await database.run(move_horizon)  # the number and the transaction it waits for, which has ended
    assert [change.seq for change in (await load(database)).registros] == [1, 2]


async def test_a_reader_who_pages_while_many_write_misses_nothing_and_repeats_nothing(database: Database) -> None:
    seen: list[int] = []
    written, all_is_visible = asyncio.Event(), asyncio.Event()

    async def follow() -> None:
        at = 0
        while True:
            was_done = all_is_visible.is_set()
            page = await load(database, at, limite=7)
            seen.extend(change.seq for change in page.registros)
            at = page.proximo
            if was_done and not page.registros and not page.ha_mais:
                return

    async def move_on() -> None:
        while not written.is_set():
            await database.run(move_horizon)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        movers = [tasks.create_task(move_on()) for _ in range(2)]
        await Writers(database, CONTRATOS, pages=30, keys=60).run(5)
        written.set()
        await asyncio.gather(*movers)
        await reach_the_end(database)  # the transactions of movers are over, which have ids too
        all_is_visible.set()

    assert seen == [row[0] for row in await database.rows("SELECT seq FROM mudancas ORDER BY seq")]
    assert len(seen) > 500


async def test_the_horizon_of_another_server_does_not_hold_up_a_restored_database(database: Database) -> None:
    await store_some(database, CONTRATACOES, 2)
    await database.rows("INSERT INTO change_horizon (id, seq, next_seq, next_xid) VALUES (1, 0, 1, 9000000000000)")
    assert [change.seq for change in (await load(database)).registros] == [1]
    await reach_the_end(database)
    assert [change.seq for change in (await load(database)).registros] == [1, 2]


async def test_nothing_is_written_while_nothing_changes(database: Database) -> None:
    await store_some(database, CONTRATACOES, 2)
    await reach_the_end(database)
    place = "SELECT ctid::text, seq, next_seq FROM change_horizon"
    before = await database.row(place)
    await move(database)
    assert await database.row(place) == before
    assert (before.seq, before.next_seq) == (2, None)


async def test_pages_of_one_entity_go_on_where_others_have_many(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOKED_AT", 10)
    await store_some(database, CONTRATACOES, 25)
    await store_some(database, CONTRATOS, 3)
    await reach_the_end(database)
    at, seen, pages = 0, list[str](), 0
    while True:
        page = await load(database, at, limite=2, entidade="contratos")
        seen += [change.entidade for change in page.registros]
        at, pages = page.proximo, pages + 1
        if not page.ha_mais:
            break
    assert seen == ["contratos"] * 3
    assert (at, pages) == (28, 4)


async def test_old_changes_go_in_steps_and_a_reader_who_was_behind_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch, api: httpx.AsyncClient
) -> None:
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(history, "PAUSE_SECONDS", 0.0)
    await store_some(database, CONTRATACOES, 10)
    await database.rows("UPDATE mudancas SET quando = now() - interval '91 days'")
    await store_some(database, CONTRATOS, 2)
    await reach_the_end(database)

    await delete_old(database.engine, 0, asyncio.Event(), changes_days=0)
    assert await database.value("SELECT count(*) FROM mudancas") == 12
    await delete_old(database.engine, 0, asyncio.Event(), changes_days=90)

    assert await database.value("SELECT count(*) FROM mudancas") == 2
    behind = (await api.get("/mudancas", params={"desde": 5})).json()
    assert (behind["lacuna"], behind["apagadas_ate"]) == (True, 10)
    assert [change["seq"] for change in behind["registros"]] == [11, 12]
    assert (await api.get("/mudancas", params={"desde": 10})).json()["lacuna"] is False


async def test_before_any_ingestor_has_run_there_is_an_empty_page(api: httpx.AsyncClient, database: Database) -> None:
    await store_some(database, CONTRATOS, 2)
    answer = (await api.get("/mudancas")).json()
    assert (answer["registros"], answer["proximo"], answer["ha_mais"]) == ([], 0, False)


async def test_the_endpoint_pages_and_filters(database: Database, api: httpx.AsyncClient) -> None:
    await store_some(database, CONTRATACOES, 3)
    await store_some(database, CONTRATOS, 3)
    await reach_the_end(database)
    page = (await api.get("/mudancas", params={"limite": 2})).json()
    assert ([change["seq"] for change in page["registros"]], page["proximo"], page["ha_mais"]) == ([1, 2], 2, True)
    page = (await api.get("/mudancas", params={"entidade": "contratos", "desde": 2, "limite": 3})).json()
    assert ([change["seq"] for change in page["registros"]], page["proximo"], page["ha_mais"]) == ([4, 5, 6], 6, False)
    for wrong in ({"entidade": "orgaos"}, {"chave": KEY}, {"desde": -1}, {"limite": 501}, {"outro": 1}):
        assert (await api.get("/mudancas", params=wrong)).status_code == 422


async def test_the_changes_of_one_record_are_found_by_its_key(database: Database, api: httpx.AsyncClient) -> None:
    _, payload = record_of(CONTRATACOES, 0, 1, random.Random(1))
    await store_some(database, CONTRATACOES, 3)
    for day in (1, 2, 3):
        stamp = f"2026-01-0{day}T00:00:00"
        await database.run(
            store, CONTRATACOES, {KEY: {**payload, "dataAtualizacaoGlobal": stamp, "processo": str(day)}}
        )
    asked = {"entidade": "contratacoes", "chave": KEY}
    behind = (await api.get("/mudancas", params=asked)).json()
    assert behind["registros"] == []  # not before all changes up to these are visible
    await reach_the_end(database)

    page = (await api.get("/mudancas", params={**asked, "limite": 1})).json()
    assert (len(page["registros"]), page["ha_mais"]) == (1, True)
    rest = (await api.get("/mudancas", params={**asked, "desde": page["proximo"]})).json()

    changes = [*page["registros"], *rest["registros"]]
    assert [(change["tipo"], change["chave"], change["campos"]["processo"]) for change in changes] == [
        ("alterado", KEY, payload.get("processo")),
        ("alterado", KEY, "1"),
        ("alterado", KEY, "2"),
    ]
    assert (rest["proximo"], rest["ha_mais"]) == (rest["ultimo"], False)
    other = (await api.get("/mudancas", params={**asked, "entidade": "contratos"})).json()
    assert other["registros"] == []


async def test_an_index_finds_the_changes_of_one_record(database: Database) -> None:
    await database.rows(
        "INSERT INTO mudancas (entidade, chave, tipo) SELECT 'contratos', md5(CAST(n AS text)),"
        " CASE WHEN n % 5 = 0 THEN 'alterado' ELSE 'inserido' END FROM generate_series(1, 20000) n"
    )
    await database.rows("ANALYZE mudancas")
    given = {"entidade": "contratos", "chave": "x", "desde": 0, "up_to": 20_000, "most": 101}
    plan = await database.rows(f"EXPLAIN {service._LOAD_OF_ONE.text}", **given)
    assert any("ix_mudancas_chave" in row[0] for row in plan)


def test_a_viewer_sees_no_cpf_in_old_values() -> None:
    fields: dict[str, Any] = {
        "niFornecedor": "52998224725",
        "valorGlobal": 52998224725,
        "objetoContrato": "SERVIÇOS DE 529.982.247-25",
        "notaFiscalEletronica": {"niEmitente": "52998224725"},
        "lista": ["52998224725", 1],
    }
    change = Change(
        seq=1, entidade="contratos", chave="k", tipo="alterado", quando="2025-01-01T00:00:00Z", campos=fields
    )
    page = Changes(registros=[change], proximo=1, ha_mais=False, ultimo=1, apagadas_ate=0, lacuna=False)
    (masked,) = mask_changes(page).registros
    assert masked.campos is not None
    assert "529" not in json.dumps({**masked.campos, "valorGlobal": 0})
    assert masked.campos["valorGlobal"] == fields["valorGlobal"]
    assert change.campos == fields
    nothing = change.model_copy(update={"campos": None})
    assert mask_changes(page.model_copy(update={"registros": [nothing]})).registros == [nothing]


async def test_every_resource_is_in_the_feed(database: Database) -> None:
    tables = "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE 'note_changes%'"
    assert {row[0] for row in await database.rows(tables)} == {resource.name for resource in RESOURCES}
