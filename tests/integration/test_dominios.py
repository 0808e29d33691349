"""The domain tables from the portal to the mirror: whole lists, what changes in them, and lists that fail."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiohttp import web

from backend.services.failures import load_pending
from common.messages import PoisonError, SyncCommand, decode, encode
from common.resources.dominios import DOMAIN_TABLES, DOMINIOS
from ingestor.dominios import ingest_dominios
from ingestor.errors import LeaseLost, PncpError, PncpRejected, PncpUnavailable
from ingestor.schedule import run_tick
from ingestor.slices import SliceIngestion, Tools
from ingestor.sources.pncp.client import PncpClient
from simulator.world import World
from tests.integration.conftest import Database, Portals, piece
from tests.integration.test_worker import OPTIONS, Workers, finished, quick_polls, workers  # noqa: F401  # fixtures
from tests.support import eventually

NAMES = [table.name for table in DOMAIN_TABLES]


def entry(code: int | str, name: str = "nome", **more: Any) -> dict[str, Any]:
    return {"id": code, "nome": name, "descricao": None, "statusAtivo": True, **more}


class Lists:
    """A portal of domain tables alone: the entries of each, or a status, or a whole body in its place."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        for table in DOMAIN_TABLES:
            joined = {name: {"id": 1, "nome": f"um {name}"} for name in table.joins}
            self.answers[table.name] = [joined] if joined else [entry(1), entry(2, "dois")]

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        self.asked.append(name)
        answer = self.answers[name]
        if isinstance(answer, int):
            return web.json_response({"message": "não"}, status=answer)
        return web.Response(body=answer if isinstance(answer, bytes) else json.dumps(answer).encode())


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
async def client(lists: Lists, portals: Portals) -> AsyncIterator[PncpClient]:
    app = web.Application()
    app.router.add_get("/api/pncp/v1/{name}", lists.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield await portals.client_of(f"http://127.0.0.1:{runner.addresses[0][1]}/api")
    await runner.cleanup()


async def begun(database: Database, client: PncpClient) -> SliceIngestion:
    """A new execution's slice, held by a worker."""
    await database.rows("DELETE FROM sync_executions")  # the next update waits for the end of the one before
    claim = await database.claimed([piece()], mode="update", resource=DOMINIOS)
    return SliceIngestion(Tools(database.engine, client, asyncio.Event(), lease_seconds=60), claim)


async def read(database: Database, client: PncpClient) -> SliceIngestion:
    """Read all lists; none may fail."""
    work = await begun(database, client)
    assert await ingest_dominios(work)
    return work


async def known(database: Database, name: str = "modalidades") -> dict[str, tuple[str, bool]]:
    """The names of a table's entries by their codes, and whether they are absent."""
    rows = await database.rows("SELECT * FROM dominios WHERE dominio = :name", name=name)
    return {row.codigo: (row.nome, row.ausente_desde is not None) for row in rows}


async def stamps(database: Database, column: str, name: str = "modalidades") -> dict[str, datetime]:
    rows = await database.rows(f"SELECT codigo, {column} FROM dominios WHERE dominio = :name", name=name)
    return dict(map(tuple, rows))


async def test_every_list_is_mirrored_whole(lists: Lists, client: PncpClient, database: Database) -> None:
    lists.answers["modalidades"] = [entry(6, "Pregão", statusAtivo=False, descricao="d", novo=[1.50]), entry("A")]
    work = await read(database, client)
    assert lists.asked == NAMES
    assert {row.dominio for row in await database.rows("SELECT dominio FROM dominios")} == set(NAMES)
    row = await database.row("SELECT * FROM dominios WHERE dominio = 'modalidades' AND codigo = '6'")
    assert (row.nome, row.descricao, row.ativo, row.ausente_desde) == ("Pregão", "d", False, None)
    assert row.payload == lists.answers["modalidades"][0]
    assert await known(database, "modalidade-criterio-julgamento") == {
        "1/1": ("um modalidadeContratacao/um criterioJulgamento", False)
    }
    entries = sum(map(len, lists.answers.values()))
    assert (work.counts.processed, work.counts.inserted, work.counts.updated) == (entries, entries, 0)
    told = await database.slice(work.claim.slice_id)
    assert (told.pages_done, told.pages_total, told.records_processed) == (len(NAMES), len(NAMES), entries)


async def test_entries_that_have_not_changed_are_only_seen_again(
    lists: Lists, client: PncpClient, database: Database
) -> None:
    await read(database, client)
    changed, seen = await stamps(database, "updated_at"), await stamps(database, "seen_at")
    lists.answers["modalidades"] = [dict(reversed(entry(2, "dois").items())), entry(1)]
    work = await read(database, client)
    assert (work.counts.inserted, work.counts.updated) == (0, 0)
    assert await stamps(database, "updated_at") == changed
    later = await stamps(database, "seen_at")
    assert all(later[code] > seen[code] for code in seen)


async def test_an_entry_that_changes_is_replaced_and_a_new_one_is_added(
    lists: Lists, client: PncpClient, database: Database
) -> None:
    await read(database, client)
    before = await stamps(database, "updated_at")
    lists.answers["modalidades"] = [entry(1), entry(2, "deux"), entry(3, "três")]
    work = await read(database, client)
    assert (work.counts.inserted, work.counts.updated) == (1, 1)
    assert await known(database) == {"1": ("nome", False), "2": ("deux", False), "3": ("três", False)}
    after = await stamps(database, "updated_at")
    assert {code for code in before if after[code] > before[code]} == {"2"}


async def test_an_entry_that_leaves_its_list_is_kept_and_marked_until_it_comes_back(
    lists: Lists, client: PncpClient, database: Database
) -> None:
    await read(database, client)
    whole, lists.answers["modalidades"] = lists.answers["modalidades"], [entry(1)]
    work = await read(database, client)
    assert work.counts.updated == 1
    assert await known(database) == {"1": ("nome", False), "2": ("dois", True)}
    since = await stamps(database, "ausente_desde")

    work = await read(database, client)
    assert work.counts.updated == 0
    assert await stamps(database, "ausente_desde") == since

    lists.answers["modalidades"] = whole
    work = await read(database, client)
    assert work.counts.updated == 1
    assert await known(database) == {"1": ("nome", False), "2": ("dois", False)}


@pytest.mark.parametrize("answer", [500, 404, b"texto", b'{"data": []}', b'[{"nome": "sem"}]', b"[", [], 204])
async def test_a_list_that_fails_or_is_suddenly_empty_changes_nothing_and_holds_up_no_other(
    lists: Lists, client: PncpClient, database: Database, answer: Any
) -> None:
    await read(database, client)
    before = await known(database)
    lists.answers |= {"modalidades": answer, "catalogos": [entry(7)]}
    with pytest.raises(PncpUnavailable):
        await ingest_dominios(await begun(database, client))
    assert await known(database) == before
    assert set(await known(database, "catalogos")) == {"1", "2", "7"}


async def test_a_list_that_has_always_been_empty_is_read(lists: Lists, client: PncpClient, database: Database) -> None:
    lists.answers |= {"catalogos": [], "portes-empresa": 204}
    work = await read(database, client)
    assert work.committed == len(NAMES)
    assert await known(database, "catalogos") == {}


async def test_a_value_that_the_database_refuses_fails_its_list_alone(
    lists: Lists, client: PncpClient, database: Database
) -> None:
    lists.answers["modalidades"] = b'[{"id": 1, "x": 1e999999}]'
    with pytest.raises(PncpUnavailable) as caught:
        await ingest_dominios(await begun(database, client))
    assert caught.value.cause == "bad_answer"
    assert await known(database) == {}
    assert await known(database, "catalogos")


async def test_the_next_claim_reads_only_what_is_left(lists: Lists, client: PncpClient, database: Database) -> None:
    whole, lists.answers["catalogos"] = lists.answers["catalogos"], 500
    work = await begun(database, client)
    with pytest.raises(PncpUnavailable):
        await ingest_dominios(work)
    assert work.has_progressed
    lists.asked.clear()
    lists.answers["catalogos"] = whole
    await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 second'")
    again = SliceIngestion(work.tools, await database.claim())
    assert await ingest_dominios(again)
    assert lists.asked == ["catalogos"]
    told = await database.slice(work.claim.slice_id)
    assert told.records_processed == sum(map(len, lists.answers.values()))
    assert told.pages_done == len(NAMES)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [({"modalidades": 422}, PncpRejected), ({"modalidades": 422, "catalogos": 500}, PncpUnavailable)],
)
async def test_another_try_is_of_use_where_it_is_for_any_list(
    lists: Lists, client: PncpClient, database: Database, answers: dict[str, Any], kind: type[PncpError]
) -> None:
    lists.answers |= answers
    with pytest.raises(PncpError) as caught:
        await ingest_dominios(await begun(database, client))
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [302, 401, 403])
async def test_a_portal_that_refuses_us_is_asked_again(
    lists: Lists, client: PncpClient, database: Database, status: int
) -> None:
    whole, lists.answers = lists.answers, dict.fromkeys(NAMES, status)
    work = asyncio.create_task(read(database, client))
    await eventually(lambda: database.rows("SELECT 1 FROM source_pauses WHERE reason = 'refused'"))
    lists.answers = whole
    assert (await work).committed == len(NAMES)


async def test_a_worker_that_has_lost_its_slice_writes_nothing(
    lists: Lists, client: PncpClient, database: Database
) -> None:
    work = await begun(database, client)
    await database.rows("UPDATE sync_slices SET attempt = attempt + 1")
    with pytest.raises(LeaseLost):
        await ingest_dominios(work)
    assert await database.rows("SELECT FROM dominios") == []


async def test_a_worker_that_stops_leaves_the_other_lists_for_later(
    lists: Lists, client: PncpClient, database: Database
) -> None:
    work = await begun(database, client)
    work.tools.stopping.set()
    assert not await ingest_dominios(work)
    assert lists.asked == []


# --- as executions ----------------------------------------------------------------------------------------------


async def ticked(database: Database) -> int:
    """The execution that the nightly schedule starts now."""
    await database.rows("""
        INSERT INTO schedules (name, effective_at) VALUES ('dominios.update', '2020-01-01') ON CONFLICT DO NOTHING
    """)
    outcome = await run_tick(database.engine, OPTIONS.rules, "dominios.update", datetime.now(UTC))
    assert outcome is not None
    assert outcome.execution_ids is not None
    (execution_id,) = outcome.execution_ids
    return execution_id


async def test_the_schedule_s_execution_reads_every_table_of_the_portal(
    portals: Portals,
    workers: Workers,  # noqa: F811
    world: World,
    database: Database,
    api: httpx.AsyncClient,
) -> None:
    portal = await portals.serve(world)
    workers.start(await portals.client(portal))
    execution_id = await ticked(database)
    told = await finished(database, execution_id)
    assert (told.status, told.error_message, told.trigger) == ("success", None, "schedule")
    entries = {table.name: world.tables.entries(table.name) for table in DOMAIN_TABLES}
    rows = await database.rows("SELECT dominio, codigo, payload FROM dominios")
    assert {(row.dominio, row.codigo): row.payload for row in rows} == {
        (name, "/".join(map(str, codes))): entry for name, table in entries.items() for codes, entry in table.items()
    }
    assert told.records_processed == len(rows)
    history = (await api.get("/sync/history", params={"resource": DOMINIOS})).json()
    assert [each["id"] for each in history["executions"]] == [execution_id]
    assert await database.rows("SELECT FROM watermarks") == await database.rows("SELECT FROM read_days") == []


async def test_a_night_that_failed_is_pending_until_a_later_one_succeeds(
    lists: Lists,
    client: PncpClient,
    workers: Workers,  # noqa: F811
    database: Database,
) -> None:
    lists.answers["modalidades"] = 422
    workers.start(client)
    failed = await ticked(database)
    told = await finished(database, failed)
    assert (told.status, told.cause) == ("error", "portal_refused")
    async with database.engine.connect() as db:
        assert [row.id for row in await load_pending(db, datetime.now(UTC))] == [failed]

    lists.answers = Lists().answers
    assert (await finished(database, await ticked(database))).status == "success"
    async with database.engine.connect() as db:
        assert await load_pending(db, datetime.now(UTC)) == []


async def test_an_administrator_asks_for_the_lists_by_an_update_and_for_no_days_of_them(api: httpx.AsyncClient) -> None:
    asked = await api.post("/sync/force", json={"resource": DOMINIOS})
    assert asked.status_code == 200, asked.text
    execution = (await api.get(f"/sync/executions/{asked.json()['request_id']}")).json()
    assert (execution["resource"], execution["mode"], execution["trigger"]) == (DOMINIOS, "update", "api")

    plan = (await api.post("/sync/plan", json={"resource": DOMINIOS})).json()
    assert (plan["resource"], plan["requests_estimate"]) == (DOMINIOS, len(DOMAIN_TABLES))
    days = {"mode": "backfill", "data_ini": "2025-01-01T00:00:00", "data_fim": "2025-01-01T23:59:59"}
    for path in ("/sync/force", "/sync/plan"):
        refused = await api.post(path, json={"resource": DOMINIOS, **days})
        assert refused.status_code == 422
        assert "lidas por inteiro" in refused.text


def test_a_message_may_ask_for_the_lists_too() -> None:
    now = datetime(2025, 3, 1)
    assert decode(encode(SyncCommand("update", resource=DOMINIOS)), now=now) == SyncCommand("update", resource=DOMINIOS)
    days = {
        "resource": DOMINIOS,
        "mode": "backfill",
        "data_ini": "2025-01-01T00:00:00",
        "data_fim": "2025-01-02T00:00:00",
    }
    with pytest.raises(PoisonError):
        decode(json.dumps(days).encode(), now=now)
