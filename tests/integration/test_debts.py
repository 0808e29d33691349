"""Items that are owed: a record is stored without them, nothing of its listing stops, and they come by themselves."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from common.resources.contratacoes import CONTRATACOES
from common.resources.itens import ITENS
from ingestor import debts as debts_module
from ingestor.debts import EMPTY_WAITS, MOST_TRIES, Outcome, claim_debts, load_owed, try_all_again, wait_after, work_off
from ingestor.slices import SliceIngestion, ingest_slice
from ingestor.sources.pncp import client as client_module
from ingestor.sources.pncp import shared_state as source_module
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.values import Bundle, Itens, Owed
from ingestor.store.batch import store_bundles
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, Portals, truth
from tests.integration.test_ingestion import work_on
from tests.integration.test_store import EVENING, MORNING, NOON, bundle, numbers, store
from tests.integration.test_worker import Workers, finished, only, quick_polls, workers  # noqa: F401  # fixtures
from tests.support import eventually

RECORDS = 35


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures of single lists, as many as they are, are no outage of the service."""
    monkeypatch.setattr(source_module, "HANDFUL", 1_000_000)


@pytest.fixture
def day(world: World) -> World:
    """A closed day with four pages of one modalidade; every contratação has items."""
    for number in range(RECORDS):
        world.put(
            data_publicacao=f"{CLOSED_DAY}T10:{number:02}:00",
            data_atualizacao=f"{CLOSED_DAY}T10:{number:02}:00",
            modalidade=MODALIDADE,
            items=1 + number % 12,
        )
    return world


def of_the_day(world: World) -> list[Any]:
    return world.select("publicacao", f"{CLOSED_DAY}", f"{CLOSED_DAY}T23:59:59", [MODALIDADE])


async def read_day(database: Database, client: PncpClient) -> SliceIngestion:
    """Read the day as an execution of its own; what must always hold of debts does."""
    work = work_on(database, client, await database.claimed())
    assert await ingest_slice(work)
    await assert_a_debt_for_each_missing_list(database)
    return work


async def assert_a_debt_for_each_missing_list(database: Database) -> None:
    wrong = """
        SELECT count(*) FROM contratacoes c FULL JOIN itens_owed o USING (numero_controle_pncp)
         WHERE (c.itens_at IS NULL) <> (o.numero_controle_pncp IS NOT NULL) OR c.numero_controle_pncp IS NULL
    """
    assert await database.value(wrong) == 0


async def owed(database: Database) -> int:
    return int(await database.value("SELECT count(*) FROM itens_owed"))


async def work(database: Database, client: PncpClient, *, most: int = 50) -> list[Outcome]:
    """One round of the debt worker, for which everything that is not set aside is due."""
    await database.rows("UPDATE itens_owed SET due_at = now()")
    outcomes = await work_off(database.engine, client, asyncio.Event(), most)
    await assert_a_debt_for_each_missing_list(database)
    return outcomes


# --- the listing goes on ----------------------------------------------------------------------------------------


async def test_the_items_of_one_contratacao_that_fail_cost_nothing_else(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    poisoned = [record.numero_controle_pncp for record in of_the_day(day)[3:12:4]]
    portal.quirks.add("403", match={"key": poisoned})

    done = await read_day(database, await portals.client(portal))

    row = await database.slice(done.claim.slice_id)
    assert (row.status, row.records_processed, row.records_rejected) == ("success", RECORDS, 0)
    expected = {key: one if key not in poisoned else (*one[:2], 0) for key, one in truth(of_the_day(day)).items()}
    assert await database.mirror() == expected
    rows = await database.rows("SELECT * FROM itens_owed")
    assert {row.numero_controle_pncp for row in rows} == set(poisoned)
    assert {(row.reason, row.execution_id, row.tries) for row in rows} == {("unread", done.claim.execution_id, 0)}
    assert all("status 403" in row.cause for row in rows)


async def test_all_items_come_by_themselves_after_a_service_that_was_down_for_a_whole_execution(
    database: Database,
    portals: Portals,
    workers: Workers,  # noqa: F811
    day: World,
) -> None:
    portal = await portals.serve(day)
    rule = portal.quirks.add("items_down")
    workers.start(await portals.client(portal), **only(MODALIDADE))
    execution = await finished(database, await database.requested())

    assert (execution.status, execution.records_processed) == ("success", RECORDS)
    assert await owed(database) == RECORDS
    assert await database.value("SELECT count(*) FROM itens_contratacao") == 0

    portal.quirks.rules.remove(rule)
    await database.rows("UPDATE itens_owed SET due_at = now()")

    async def nothing_is_owed() -> bool:
        return await owed(database) == 0

    await eventually(nothing_is_owed)
    assert await database.mirror() == truth(of_the_day(day))


async def test_what_is_owed_is_read_at_the_next_sight_of_its_record(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    rule = portal.quirks.add("items_down")
    client = await portals.client(portal)
    await read_day(database, client)
    portal.quirks.rules.remove(rule)

    await read_day(database, client)

    assert await owed(database) == 0
    assert await database.mirror() == truth(of_the_day(day))


@pytest.mark.parametrize("said", ["404", "no_content"])
async def test_an_empty_list_is_believed_only_if_the_portal_counts_none_too(
    database: Database, portals: Portals, day: World, said: str
) -> None:
    portal = await portals.serve(day)
    rule = portal.quirks.add(said, match={"service": "itens"})
    client = await portals.client(portal)
    await read_day(database, client)
    rows = await database.rows("SELECT reason, empty_sights, due_at > now() + interval '59 minutes' FROM itens_owed")
    assert {tuple(row) for row in rows} == {("empty", 1, True)}
    assert len(rows) == RECORDS
    portal.quirks.rules.remove(rule)

    await read_day(database, client)

    assert await owed(database) == 0
    assert await database.mirror() == truth(of_the_day(day))


async def test_a_list_that_is_empty_though_the_portal_counts_items_is_unread(
    database: Database, portals: Portals, world: World
) -> None:
    key = world.put(data_publicacao=MORNING, items=3)
    portal = await portals.serve(world)
    portal.quirks.add("no_content", match={"key": key}, times=1)

    await read_day(database, await portals.client(portal))

    row = await database.row("SELECT reason, cause FROM itens_owed")
    assert tuple(row) == ("unread", "the list is empty, and the portal says 3")


async def test_an_empty_list_takes_no_stored_items_away(database: Database, portals: Portals, world: World) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=3)
    portal = await portals.serve(world)
    client = await portals.client(portal)
    await read_day(database, client)
    world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON)
    rule = portal.quirks.add("404", match={"service": "itens"})

    await read_day(database, client)

    assert await numbers(database, key) == [1, 2, 3]
    assert await owed(database) == 1
    portal.quirks.rules.remove(rule)
    assert await work(database, client) == ["read"]
    assert await numbers(database, key) == [1, 2, 3]


async def test_an_older_debt_is_settled_by_a_newer_version_with_its_items(database: Database, world: World) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=3)
    claim = await database.claimed()
    without = Bundle(bundle(world, key).record, Itens(owed=Owed("unread", "for the test")))
    await store(database, claim, without)
    assert await owed(database) == 1
    world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON)

    await store(database, claim, bundle(world, key))

    assert await owed(database) == 0
    assert await numbers(database, key) == [1, 2, 3]


async def test_what_is_owed_of_a_newer_version_begins_anew(database: Database, world: World) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=3)
    claim = await database.claimed()
    await store(database, claim, bundle(world, key))
    for stamp in (NOON, EVENING):
        world.put(numeroControlePNCP=key, data_atualizacao=stamp, data_atualizacao_global=stamp)
        without = Bundle(bundle(world, key).record, Itens(owed=Owed("unread", "for the test")))
        await store(database, claim, without)
        await assert_a_debt_for_each_missing_list(database)
        row = await database.row("SELECT tries, set_aside_at, as_of FROM itens_owed")
        assert (row.tries, row.set_aside_at, row.as_of.isoformat()) == (0, None, stamp)
        await database.rows("UPDATE itens_owed SET tries = 9, set_aside_at = now()")

    await store(database, claim, without)

    row = await database.row("SELECT tries, set_aside_at IS NOT NULL FROM itens_owed")
    assert tuple(row) == (9, True), "the same version changes nothing"
    assert await numbers(database, key) == [1, 2, 3]


# --- lists that may be cut off ----------------------------------------------------------------------------------


async def test_a_list_that_may_have_been_cut_off_takes_nothing_away_before_the_portal_s_count_proves_it(
    database: Database, portals: Portals, world: World
) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=25)
    portal = await portals.serve(world)
    client = await portals.client(portal)
    await read_day(database, client)
    world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON, items=20)

    await read_day(database, client)

    assert await numbers(database, key) == list(range(1, 26))
    row = await database.row("SELECT reason, cause FROM itens_owed")
    assert tuple(row) == ("unread", "entries are stored that are missing from a list of 20")
    assert await work(database, client) == ["read"]
    assert await numbers(database, key) == list(range(1, 21))


async def test_a_list_that_the_portal_s_count_contradicts_takes_nothing_away(
    database: Database, portals: Portals, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=25)
    portal = await portals.serve(world)
    client = await portals.client(portal)
    await read_day(database, client)
    world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON, items=20)
    await read_day(database, client)

    async def says_25(*_: object, **__: Any) -> int:
        return 25

    monkeypatch.setattr(client, "fetch_count", says_25)

    assert await work(database, client) == ["failed"]
    assert await numbers(database, key) == list(range(1, 26))
    assert await database.value("SELECT cause FROM itens_owed") == "the list has 20 entries, and the portal says 25"


async def test_a_later_page_that_is_not_there_once_loses_nothing(
    database: Database, portals: Portals, world: World
) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=700)
    portal = await portals.serve(world)
    client = await portals.client(portal)
    await read_day(database, client)
    world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON)
    for said in ("404", "no_content"):
        portal.quirks.add(said, match={"service": "itens"}, times=1, skip=1)

    await read_day(database, client)

    assert await numbers(database, key) == list(range(1, 701))
    assert await owed(database) == 0


# --- working off ------------------------------------------------------------------------------------------------


@pytest.fixture
async def down(database: Database, portals: Portals, day: World) -> tuple[Any, PncpClient]:
    """A portal whose items have been down while the day was read, and are still; and a client of it."""
    portal = await portals.serve(day)
    portal.quirks.add("items_down")
    client = await portals.client(portal)
    await read_day(database, client)
    return portal, client


async def test_debts_are_claimed_newest_first_and_by_one_worker_alone(database: Database, down: Any) -> None:
    newest_first = [
        row.numero_controle_pncp
        for row in await database.rows(
            "SELECT numero_controle_pncp FROM contratacoes ORDER BY data_atualizacao_global DESC"
        )
    ]
    async with database.engine.begin() as one, database.engine.begin() as other:
        first, second = await claim_debts(one, 3), await claim_debts(other, 4)

    assert [debt.key for debt in first] == newest_first[:3]
    assert [debt.key for debt in second] == newest_first[3:7]
    async with database.engine.begin() as db:
        assert [debt.key for debt in await claim_debts(db, 100)] == newest_first[7:]
        assert await claim_debts(db, 100) == []


async def test_a_debt_that_fails_waits_longer_each_time_and_is_set_aside_with_its_cause(
    database: Database, down: Any
) -> None:
    _, client = down
    for tries in range(1, MOST_TRIES):
        assert set(await work(database, client)) == {"failed"}
        row = await database.row("SELECT DISTINCT tries, due_at - now() AS wait, set_aside_at FROM itens_owed LIMIT 1")
        assert (row.tries, row.set_aside_at) == (tries, None)
        assert timedelta(seconds=wait_after(tries) - 60) < row.wait <= timedelta(seconds=wait_after(tries))

    assert set(await work(database, client)) == {"set_aside"}

    rows = await database.rows("SELECT set_aside_at, cause FROM itens_owed")
    assert all(row.set_aside_at and "status 503" in row.cause for row in rows)
    assert await work(database, client) == []


async def test_a_list_that_is_too_large_is_set_aside_at_once(
    database: Database, portals: Portals, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, other = world.put(data_publicacao=MORNING, items=900), world.put(data_publicacao=MORNING, items=3)
    client = await portals.client(await portals.serve(world))
    monkeypatch.setattr(client_module, "LONGEST_LIST", 100_000)

    await read_day(database, client)

    row = await database.row("SELECT numero_controle_pncp, set_aside_at IS NOT NULL, cause FROM itens_owed")
    assert tuple(row)[:2] == (large, True)
    assert "takes more than" in row.cause
    assert await numbers(database, other) == [1, 2, 3]
    assert await try_all_again(database.engine, CONTRATACOES, ITENS) == 1
    assert await work(database, client) == ["set_aside"]
    monkeypatch.undo()
    await try_all_again(database.engine, CONTRATACOES, ITENS)
    assert await work(database, client) == ["read"]
    assert len(await numbers(database, large)) == 900


async def test_what_is_set_aside_is_tried_by_command_or_for_a_newer_version_alone(
    database: Database, down: Any, day: World
) -> None:
    portal, client = down
    await database.rows("UPDATE itens_owed SET set_aside_at = now(), tries = 14")
    portal.quirks.rules.clear()
    await read_day(database, client)
    assert await owed(database) == RECORDS, "a sight of the same version changes nothing"
    key = of_the_day(day)[0].numero_controle_pncp
    day.put(numeroControlePNCP=key, data_atualizacao=EVENING, data_atualizacao_global=EVENING)

    await read_day(database, client)

    assert await owed(database) == RECORDS - 1
    listed = await load_owed(database.engine, CONTRATACOES, ITENS)
    assert (len(listed), {one.is_set_aside for one in listed}) == (RECORDS - 1, {True})
    assert await try_all_again(database.engine, CONTRATACOES, ITENS) == RECORDS - 1
    assert await work(database, client) == ["read"] * (RECORDS - 1)
    assert await database.mirror() == truth(of_the_day(day))


async def test_an_empty_list_that_nothing_confirms_is_believed_after_a_week(
    database: Database, portals: Portals, world: World
) -> None:
    world.put(data_publicacao=MORNING, items=0)
    portal = await portals.serve(world)
    portal.quirks.add("404", match={"path": "quantidade"})
    client = await portals.client(portal)
    await read_day(database, client)

    for looks, wait in enumerate(EMPTY_WAITS, start=1):
        row = await database.row("SELECT empty_sights, due_at - now() AS wait FROM itens_owed")
        assert row.empty_sights == looks
        assert timedelta(seconds=wait - 60) < row.wait <= timedelta(seconds=wait)
        outcomes = await work(database, client)

    assert outcomes == ["empty"]
    assert await owed(database) == 0
    await read_day(database, client)
    assert await owed(database) == 0


async def test_items_that_come_after_an_empty_list_are_stored(
    database: Database, portals: Portals, world: World
) -> None:
    key = world.put(data_publicacao=MORNING, items=4)
    portal = await portals.serve(world)
    rule = portal.quirks.add("404", match={"service": "itens"})
    client = await portals.client(portal)
    await read_day(database, client)
    assert await work(database, client) == ["failed"]
    portal.quirks.rules.remove(rule)

    assert await work(database, client) == ["read"]
    assert await numbers(database, key) == [1, 2, 3, 4]


async def test_a_list_of_an_older_version_is_never_written_over_a_newer_one(
    database: Database, portals: Portals, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=MORNING, items=3)
    portal = await portals.serve(world)
    rule = portal.quirks.add("items_down")
    client = await portals.client(portal)
    done = await read_day(database, client)
    portal.quirks.rules.remove(rule)
    fetch = debts_module.fetch_or_owe

    async def meanwhile_a_newer_one(*asked: Any, owe_unasked: bool) -> Itens:
        itens = await fetch(*asked, owe_unasked=owe_unasked)
        world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON, items=7)
        await store(database, again, bundle(world, key))
        return itens

    again = await database.claimed()
    monkeypatch.setattr(debts_module, "fetch_or_owe", meanwhile_a_newer_one)

    assert await work(database, client) == ["stale"]
    assert await numbers(database, key) == [1, 2, 3, 4, 5, 6, 7]
    assert done.claim.slice_id != again.slice_id


async def test_a_worker_that_stops_puts_its_debts_back_at_once(database: Database, down: Any) -> None:
    portal, client = down
    portal.quirks.rules.clear()
    portal.quirks.add("hang", match={"service": "itens"}, value=30)
    stopping = asyncio.Event()
    asked = portal.stats.services["itens"]
    working = asyncio.create_task(work_off(database.engine, client, stopping, 5))
    await eventually(lambda: portal.stats.services["itens"] >= asked + 5)

    stopping.set()

    assert await working == []
    assert await database.value("SELECT count(*) FROM itens_owed WHERE due_at <= now() AND tries = 0") == RECORDS


async def test_updates_come_before_debts_unless_they_wait_for_the_portal(database: Database, down: Any) -> None:
    await database.planned(mode="update")
    async with database.engine.begin() as db:
        assert await claim_debts(db, 1) == []
    await database.rows("INSERT INTO source_pauses (source, paused_until) VALUES ('consulta', now() + interval '1 h')")
    async with database.engine.begin() as db:
        assert len(await claim_debts(db, 1)) == 1


async def test_an_item_of_an_owed_list_that_cannot_be_stored_is_rejected_alone(
    database: Database, portals: Portals, world: World
) -> None:
    items = [{"numeroItem": 1}, {"numeroItem": "x"}, {"numeroItem": 3, "quantidade": "dez"}]
    key = world.put(data_publicacao=MORNING, items=items)
    portal = await portals.serve(world)
    portal.quirks.add("items_down", times=3)
    client = await portals.client(portal)
    await read_day(database, client)
    assert await owed(database) == 1

    assert await work(database, client) == ["read"]

    assert await numbers(database, key) == [1, 3]
    assert await database.value("SELECT natural_key FROM rejected_records WHERE resolved_at IS NULL") == key
    assert await database.value("SELECT path FROM schema_drift") == "quantidade"


async def test_an_outage_of_the_items_service_is_no_try_of_a_debt(
    database: Database, portals: Portals, day: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "HANDFUL", 5)
    portal = await portals.serve(day)
    rule = portal.quirks.add("items_down")
    client = await portals.client(portal, pause_seconds=600, itens_concurrency=1)
    await read_day(database, client)
    asked = portal.stats.services["itens"]
    assert asked < 15, "the listing goes on without the items of the others"
    assert await owed(database) == RECORDS

    assert set(await work(database, client)) == {"waits"}

    assert portal.stats.services["itens"] == asked
    assert await database.value("SELECT max(tries) FROM itens_owed") == 0
    portal.quirks.rules.remove(rule)
    await database.rows("UPDATE source_pauses SET paused_until = now()")
    client.source._looked_at = 0  # type: ignore[attr-defined]
    assert set(await work(database, client)) == {"read"}
    assert await owed(database) == 0


# --- two workers ------------------------------------------------------------------------------------------------


async def test_items_that_come_while_another_worker_owes_them_leave_no_debt(database: Database, world: World) -> None:
    key = world.put(data_publicacao=f"{CLOSED_DAY}T10:00:00", modalidade=MODALIDADE, items=3)
    with_items = bundle(world, key)
    without = Bundle(with_items.record, Itens(owed=Owed("unread", "for the test")))
    waiting = """
        SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    """

    async def store_with_items() -> None:
        async with database.engine.begin() as db:
            await store_bundles(db, CONTRATACOES, [with_items])

    async with database.engine.begin() as db:
        await store_bundles(db, CONTRATACOES, [without])
        other = asyncio.create_task(store_with_items())  # it waits for the record's row
        await eventually(lambda: database.value(waiting))
    await other

    assert await owed(database) == 0
    await assert_a_debt_for_each_missing_list(database)


async def test_a_debt_whose_items_are_there_is_dropped(database: Database, portals: Portals, world: World) -> None:
    key = world.put(data_publicacao=f"{CLOSED_DAY}T10:00:00", modalidade=MODALIDADE, items=3)
    portal = await portals.serve(world)
    async with database.engine.begin() as db:
        await store_bundles(db, CONTRATACOES, [bundle(world, key)])
    await database.rows(
        "INSERT INTO itens_owed (numero_controle_pncp, as_of, reason) VALUES (:key, now(), 'unread')", key=key
    )
    assert await work_off(database.engine, await portals.client(portal), asyncio.Event(), 10) == ["stale"]
    assert await owed(database) == 0
