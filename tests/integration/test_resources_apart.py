"""Two resources under way at once leave each other's watermarks, updates, history and failures alone."""

from datetime import date, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from common import watermarks
from common.lifecycle import Criterio, Mode, admission, executions, slices
from common.lifecycle.executions import Execution
from common.lifecycle.slices import Claim, PlannedSlice
from common.resources import RESOURCE_NAMES
from common.watermarks import Beyond
from tests.integration.conftest import Database, OpenApi

START, END = datetime(2026, 3, 9, 8), datetime(2026, 3, 9, 12)
OTHER = "contratos"


async def planned(database: Database, resource: str, *, part: int = 6, mode: Mode = "update") -> Claim:
    """The only slice of a new execution, claimed."""
    criterio: Criterio = "atualizacao"
    created = await database.run(
        admission.create, mode=mode, resource=resource, window_start=START, window_end=END, trigger="api"
    )
    assert created is not None
    execution = Execution(created, resource, mode, criterio, START, END, None)
    await database.run(executions.plan, execution, [PlannedSlice(part, START.date(), END.date(), START, END)])
    claim = await database.claim()
    assert (claim.execution_id, claim.resource, claim.part) == (created, resource, part)
    return claim


async def test_a_slice_moves_the_watermark_of_its_own_resource_only(database: Database) -> None:
    await database.run(slices.finish, await planned(database, OTHER))

    assert await database.run(watermarks.load, [6], resource="contratacoes") == {}
    assert (await database.run(watermarks.load, [6], resource=OTHER))[6].reached == END


async def test_a_gap_is_not_bridged_by_a_backfill_of_another_resource(database: Database) -> None:
    await database.run(slices.finish, await planned(database, "contratacoes"))
    await database.run(
        admission.create,
        mode="backfill",
        resource=OTHER,
        criterio="atualizacao",
        window_start=END,
        window_end=END + timedelta(days=10),
        trigger="gap",
    )
    found = await database.run(watermarks.load_beyond, [6], resource="contratacoes")
    assert found == {6: Beyond(END, END, None, is_bridged=False)}


async def test_an_update_waits_for_no_update_of_another_resource(database: Database) -> None:
    await planned(database, OTHER)  # is under way
    waiting = await database.run(admission.create, mode="update", window_start=None, window_end=None, trigger="message")
    found = await database.run(executions.lock_unplanned, older_than_seconds=0)
    assert found is not None
    assert (found.id, found.resource) == (waiting, "contratacoes")


async def test_an_update_that_is_asked_for_is_no_waiting_one_of_another_resource(database: Database) -> None:
    await database.run(
        admission.create, mode="update", resource=OTHER, window_start=None, window_end=None, trigger="message"
    )
    assert await database.run(admission.find_unplanned, mode="update") is None
    assert await database.run(admission.find_unplanned, mode="update", resource=OTHER) is not None


async def test_a_retry_repeats_the_resource_of_what_it_repeats(database: Database) -> None:
    claim = await planned(database, OTHER)
    await database.run(slices.fail, claim, "portal_refused", "status 403")
    await database.run(executions.close, claim.execution_id)

    copy = await database.run(admission.retry, claim.execution_id)

    rows = await database.rows("SELECT resource, kind FROM sync_slices WHERE execution_id = :id", id=copy)
    assert [(row.resource, row.kind) for row in rows] == [(OTHER, "sync")]
    assert (await database.row("SELECT resource FROM sync_executions WHERE id = :id", id=copy)).resource == OTHER


async def test_a_day_that_another_resource_has_read_is_not_covered(open_api: OpenApi, database: Database) -> None:
    day = date(2025, 3, 10)
    midnight = datetime(2025, 3, 10)
    created = await database.run(
        admission.create,
        mode="backfill",
        resource=OTHER,
        window_start=midnight,
        window_end=midnight + timedelta(days=1, seconds=-1),
        trigger="api",
    )
    assert created is not None
    piece = PlannedSlice(6, day, day, midnight, midnight + timedelta(days=1, seconds=-1))
    execution = Execution(created, OTHER, "backfill", "publicacao", piece.window_start, piece.window_end, None)
    await database.run(executions.plan, execution, [piece])
    await database.run(slices.finish, await database.claim())

    api = await open_api()
    found = (await api.get("/sync/coverage", params={"from": f"{day}", "to": f"{day}"})).json()
    assert found["days"][0]["state"] == "never"


async def test_a_slice_of_another_kind_is_left_to_those_who_do_it(database: Database) -> None:
    await planned(database, "contratacoes")
    await database.rows("UPDATE sync_slices SET status = 'pending', kind = 'delivery', lease_until = NULL")
    assert await database.run(slices.claim, "me", lease_seconds=60) is None
    assert not await database.run(slices.is_any_free)
    await database.rows("UPDATE sync_slices SET kind = 'sync'")
    assert await database.run(slices.claim, "me", lease_seconds=60) is not None


# A year of all modalidades, of one resource and then of another, as planning writes it; hundreds of them here.
MANY_SLICES = """
    INSERT INTO sync_slices (execution_id, ordinal, resource, mode, criterio, part, first_day, last_day, window_start,
                             window_end)
    SELECT :execution_id, 1 + n, :resource, 'backfill', 'publicacao', 6, '2025-03-10', '2025-03-10', '2025-03-10',
           '2025-03-10 23:59:59' FROM generate_series(1, :slices) n
"""


async def claimed_in_turns(database: Database, how_many: int) -> list[tuple[str, str]]:
    """The mode and resource of so many claims of a worker that gives each resource its turn."""
    turns = list(RESOURCE_NAMES)
    claims = []
    for _ in range(how_many):
        claim = await database.run(slices.claim, "me", lease_seconds=60, resources=turns)
        assert claim is not None
        turns.remove(claim.resource)
        turns.append(claim.resource)
        claims.append((claim.mode, claim.resource))
    return claims


async def test_backfills_of_two_resources_are_claimed_in_turns_and_updates_before_both(database: Database) -> None:
    first = await database.planned()
    await database.rows(MANY_SLICES, execution_id=first, resource="contratacoes", slices=5000)
    second = await database.planned(resource=OTHER)
    await database.rows(MANY_SLICES, execution_id=second, resource=OTHER, slices=3)
    await database.planned(mode="update")
    await database.planned(mode="update", resource=OTHER)

    claims = await claimed_in_turns(database, 12)

    mine, other = ("backfill", "contratacoes"), ("backfill", OTHER)
    assert claims[:2] == [("update", "contratacoes"), ("update", OTHER)]
    assert claims[2:] == [mine, other] * 4 + [mine, mine], "when one has nothing left, the other goes on"


async def test_two_workers_that_claim_at_once_wait_for_no_slice_of_each_other(database: Database) -> None:
    await database.rows(MANY_SLICES, execution_id=await database.planned(), resource="contratacoes", slices=5)
    async with database.engine.connect() as one, database.engine.connect() as another:
        mine = await slices.claim(one, "one", lease_seconds=60)
        its = await slices.claim(another, "another", lease_seconds=60)
    assert mine is not None
    assert its is not None
    assert mine.slice_id != its.slice_id


async def test_a_claim_stays_a_look_into_an_index_however_many_slices_wait(database: Database) -> None:
    """A hundred thousand of one resource; no update waits, and nothing of the resource whose turn it is."""
    await database.rows(MANY_SLICES, execution_id=await database.planned(), resource="contratacoes", slices=100_000)
    given = {
        "worker_id": "me",
        "lease_seconds": 60.0,
        "max_stalls": slices.MAX_STALLS,
        "resources": [OTHER, "contratacoes"],
        "page_sizes": "{}",
    }
    async with database.engine.connect() as db:
        await db.execute(text("ANALYZE sync_slices"))
        told = await db.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {slices._CLAIM.text}"), given)
        plan = "\n".join(told.scalars())
        found = await db.execute(slices._IS_ANY_FREE, given)
        assert len(found.all()) == 1

    assert "Index Scan using ix_sync_slices_claim" in plan, plan
    assert "uq_sync_slices_execution_id_ordinal" not in plan, plan
    assert "Rows Removed by Filter" not in plan, plan


@pytest.mark.parametrize("path", ["/sync/force", "/sync/plan"])
async def test_a_resource_that_is_not_known_is_refused(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.post(path, json={"resource": "pedidos", "mode": "update"})
    assert answer.status_code == 422
    assert "não é um recurso: use contratacoes" in answer.text
