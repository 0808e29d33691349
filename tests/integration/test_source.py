"""The state of the source, shared by all workers of a database: pauses, probes, outages, and the budget of requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from common.resources import SERVICES
from common.resources.contratacoes import CONTRATACOES, ITENS
from ingestor import worker as worker_module
from ingestor.errors import (
    PncpBlocked,
    PncpError,
    PncpPaused,
    PncpRefused,
    PncpRejected,
    PncpThrottled,
    PncpUnavailable,
    StoppedWaiting,
)
from ingestor.sources.pncp import shared_state as source_module
from ingestor.sources.pncp.client import PncpClient, Span
from ingestor.sources.pncp.shared_state import SharedSource
from ingestor.worker import Worker
from simulator.app import Simulator
from simulator.generated import generate
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, Portals, Proxy, piece
from tests.integration.test_worker import OPTIONS, assert_mirrored, finished, pages_committed
from tests.support import eventually

LAST_DAY = CLOSED_DAY + timedelta(days=13)
QUESTION = (Span(CONTRATACOES, "publicacao", MODALIDADE, CLOSED_DAY, CLOSED_DAY), 1)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.05)


class Count:
    """Counts the requests of all clients that it is given to."""

    def __init__(self) -> None:
        self.requests = 0

    def answered(self, service: str, status: int | str, seconds: float) -> None:  # noqa: ARG002  # as `Meter` has it
        self.requests += 1

    def retried(self, service: str) -> None:
        pass

    def throttled(self) -> None:
        pass


@pytest.fixture
def fortnight() -> World:
    """Two closed weeks: over two hundred slices, a few records in many of them."""
    return generate(7, CLOSED_DAY, LAST_DAY, 20, until=datetime(2025, 4, 1))  # wall clock


@pytest.fixture
def day(world: World) -> World:
    world.publish(5, at=CLOSED_DAY, modalidade=MODALIDADE)
    return world


@asynccontextmanager
async def working(engine: AsyncEngine, *clients: PncpClient, **changes: Any) -> AsyncIterator[list[Worker]]:
    """Workers, one for each client, until the end of the context."""
    workers = [Worker(engine, client, replace(OPTIONS, **changes)) for client in clients]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stopping.set()
        await asyncio.gather(*tasks)


def paused(database: Database, service: str = "consulta", *, pauses: int = 1) -> Callable[[], Awaitable[bool]]:
    async def is_paused() -> bool:
        return bool(
            await database.rows(
                "SELECT 1 FROM source_pauses WHERE source = :service AND failures >= :pauses",
                service=service,
                pauses=pauses,
            )
        )

    return is_paused


# --- an outage --------------------------------------------------------------------------------------------------


class Outage:
    """A portal behind a proxy, and the ways in which it may fail."""

    def __init__(self, portal: Simulator, proxy: Proxy) -> None:
        self._portal, self._proxy = portal, proxy
        self.base_url = f"http://127.0.0.1:{proxy.port}/api"

    async def begin(self, kind: str) -> None:
        if kind == "refused connection":
            await self._proxy.cut()
        elif kind == "403":
            self._portal.quirks.add(kind, match={"service": "consulta"})
        else:
            self._portal.quirks.add(kind)

    async def end(self) -> None:
        self._portal.quirks.reset()
        await self._proxy.mend()


@pytest.fixture
async def outage(portals: Portals, fortnight: World) -> AsyncIterator[Outage]:
    portal = await portals.serve(fortnight)
    target = urlsplit(portal.base_url)
    proxy = Proxy(target.hostname or "", target.port or 0)
    await proxy.mend()
    yield Outage(portal, proxy)
    await proxy.cut()


@pytest.mark.parametrize(
    ("kind", "is_under_way", "days"),
    [
        ("refused connection", True, 14),
        ("refused connection", False, 2),
        ("redirect", False, 2),
        ("redirect", True, 2),
        ("403", True, 2),
        ("html_200", True, 2),
        ("html_block", True, 2),
        ("503", True, 2),
    ],
)
async def test_an_outage_costs_a_backfill_nothing_but_time_and_the_portal_few_requests(
    database: Database, portals: Portals, outage: Outage, fortnight: World, kind: str, is_under_way: bool, days: int
) -> None:
    count = Count()
    options: dict[str, Any] = {"meter": count, "requests_in_flight": 6, "pause_seconds": 0.1}
    clients = [await portals.client_of(outage.base_url, **options) for _ in range(2)]
    execution_id = await database.requested(last=CLOSED_DAY + timedelta(days=days - 1))
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '25 h'")
    if not is_under_way:
        await outage.begin(kind)
    async with working(database.engine, *clients):
        if is_under_way:
            await eventually(pages_committed(database, 10))
            await outage.begin(kind)
        before = count.requests
        await eventually(paused(database, pauses=3))
        during = count.requests - before
        await outage.end()
        execution = await finished(database, execution_id, seconds=60)

    assert during < 30
    await assert_mirrored(database, fortnight, execution)
    assert await database.value("SELECT count(*) FROM sync_slices") == 19 * days
    touched = await database.value("SELECT count(*) FROM sync_slices WHERE failures > 0 OR attempt > 1")
    assert touched == 0 or kind == "503", "one page that fails so may be the only one that does"
    assert await database.value("SELECT count(*) FROM source_pauses WHERE failing_since IS NOT NULL") == 0


async def test_a_backfill_that_is_older_than_its_patience_survives_a_portal_that_fails_for_a_moment(
    database: Database, portals: Portals, world: World
) -> None:
    for modalidade in range(1, 20):
        world.publish(1, at=CLOSED_DAY, modalidade=modalidade)
    portal = await portals.serve(world)
    portal.quirks.add("500", times=12)
    execution_id = await database.requested()
    client = await portals.client(portal, pause_seconds=0.01)
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '25 h'")
    async with working(database.engine, client):
        execution = await finished(database, execution_id)

    await assert_mirrored(database, world, execution)


async def test_an_execution_ends_once_when_the_portal_stays_away_and_its_slices_are_let_go(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("redirect")
    execution_id = await database.requested("update")
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '61 min'")
    async with working(database.engine, await portals.client(portal), lease_seconds=1):
        await eventually(paused(database))
        await database.rows("UPDATE source_pauses SET failing_since = now() - interval '61 min'")
        execution = await finished(database, execution_id)

        assert execution.status == "error"
        assert execution.error_message.startswith("the portal has not answered since 20")
        assert "status 302" in execution.error_message
        assert await database.value("SELECT count(*) FROM sync_slices WHERE status <> 'error'") == 0


# --- pauses and probes ------------------------------------------------------------------------------------------


async def test_the_end_of_a_pause_is_tried_by_one_request_alone(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.latency_ms = 50
    rule = portal.quirks.add("redirect", times=3)
    clients = [await portals.client(portal, pause_seconds=0.1) for _ in range(3)]
    first = asyncio.create_task(clients[0].fetch_page(*QUESTION))
    await eventually(paused(database))
    others = [asyncio.create_task(client.fetch_page(*QUESTION)) for client in clients for _ in range(5)]
    pages = await asyncio.gather(first, *others)

    assert {len(page.records) for page in pages} == {5}
    assert rule.hits == 3, "or more than one has tried at once"
    assert len(portal.stats.log) == 3 + len(pages)
    assert [served.status for served in list(portal.stats.log)[:4]] == ["302", "302", "302", "200"]


PAUSES = {
    "refused": (PncpRefused("302"), [(24, 30), (48, 60), (96, 120), (192, 240), (384, 480), (768, 900), (900, 900)]),
    "blocked": (PncpBlocked("HTML"), [(60, 60), (60, 60), (120, 120), (240, 240), (480, 480), (900, 900)]),
    "429": (PncpThrottled("429"), [(60, 60), (60, 60), (120, 120)]),
    "429 that says how long": (PncpThrottled("429", 7), [(7, 7), (7, 7), (7, 7), (7, 7), (15, 15), (31, 31)]),
    "429 that says nothing": (PncpThrottled("429", 0), [(0, 0), (1, 1), (3, 3)]),
    "429 that says a day": (PncpThrottled("429", 86_400), [(120, 120), (120, 120)]),
}


@pytest.mark.parametrize(("error", "lengths"), PAUSES.values(), ids=PAUSES)
async def test_pauses_in_a_row_grow_to_a_quarter_of_an_hour(
    database: Database, error: PncpError, lengths: list[tuple[float, float]]
) -> None:
    source = SharedSource(database.engine, pause_seconds=30)
    for shortest, longest in lengths:
        assert await source.failed("consulta", "listing", error)
        lasts = "SELECT extract(epoch FROM paused_until - now()) FROM source_pauses WHERE source = 'consulta'"
        assert shortest - 1 < await database.value(lasts) <= longest
        await database.rows("UPDATE source_pauses SET paused_until = now()")
    assert await database.value("SELECT failures FROM source_pauses WHERE source = 'consulta'") == len(lengths)


async def test_failures_while_a_pause_is_on_neither_count_nor_cut_it(database: Database) -> None:
    sources = [SharedSource(database.engine, pause_seconds=30) for _ in range(3)]
    row = "SELECT failures, failing_since, reason, paused_until FROM source_pauses WHERE source = 'consulta'"
    await sources[0].failed("consulta", "listing", PncpRefused("302"))
    first = await database.row(row)
    await sources[1].failed("consulta", "listing", PncpRefused("302"))
    await sources[2].failed("consulta", "listing", PncpThrottled("429", 1))
    assert tuple(await database.row(row)) == tuple(first)
    await sources[2].failed("consulta", "listing", PncpThrottled("429", 100))
    longer = await database.row(row)
    assert list(longer)[:3] == list(first)[:3]
    assert longer.paused_until > first.paused_until


async def test_the_services_fail_apart_and_a_throttle_is_of_all(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal, pause_seconds=60)
    portal.quirks.add("redirect", times=1, match={"service": "itens"})
    (key,) = [next(iter(day.keys))]
    with pytest.raises(PncpPaused, match=r"service itens is paused \(refused\): .*status 302"):
        await client.fetch_list(CONTRATACOES, ITENS, key, wait=False)
    assert len((await client.fetch_page(*QUESTION)).records) == 5

    portal.quirks.add("429", times=1, value="30")
    throttled = asyncio.create_task(client.fetch_page(*QUESTION))
    await eventually(paused(database))
    rows = await database.rows("SELECT source, reason, cause, error_message IS NULL FROM source_pauses ORDER BY 1")
    others = [(service, "throttled", "no_answer", False) for service in SERVICES if service != "itens"]
    assert [tuple(row) for row in rows] == sorted([*others, ("itens", "refused", "portal_refused", False)])
    throttled.cancel()


async def test_the_items_of_one_record_are_its_own_matter_and_of_many_the_service_s(
    database: Database, portals: Portals, world: World
) -> None:
    world.publish(8, at=CLOSED_DAY, modalidade=MODALIDADE)
    portal = await portals.serve(world)
    portal.quirks.add("403", match={"service": "itens"})
    client = await portals.client(portal, pause_seconds=60)
    keys = list(world.keys)
    for _ in range(10):
        with pytest.raises(PncpRejected):
            await client.fetch_list(CONTRATACOES, ITENS, keys[0], wait=False)
    assert not await paused(database, "itens")()

    for key in keys[1:3]:
        with pytest.raises(PncpUnavailable if key == keys[2] else PncpRejected):
            await client.fetch_list(CONTRATACOES, ITENS, key, wait=False)
    assert await paused(database, "itens")()
    asked = len(portal.stats.log)
    with pytest.raises(PncpPaused):
        await client.fetch_list(CONTRATACOES, ITENS, keys[3], wait=False)
    assert len(portal.stats.log) == asked


async def test_a_page_that_always_fails_causes_no_pause(database: Database, portals: Portals, day: World) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("500")
    client = await portals.client(portal)
    for _ in range(3):
        with pytest.raises(PncpUnavailable, match="status 500"):
            await client.fetch_page(*QUESTION)
    assert await database.rows("SELECT 1 FROM source_pauses") == []


async def test_a_probe_of_a_worker_that_died_is_followed_by_another(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    client = await portals.client(portal)
    await database.rows("""
        INSERT INTO source_pauses (source, paused_until, reason, failures, failing_since, probing_until)
        VALUES ('consulta', now(), 'down', 3, now() - interval '1 min', now() + interval '0.5 s')
    """)
    waiting = asyncio.create_task(client.fetch_page(*QUESTION))
    is_over = "SELECT probing_until < now() FROM source_pauses"

    async def is_probed() -> bool:
        return bool(portal.stats.log)

    await eventually(is_probed)
    assert await database.value(is_over) is not False
    assert len((await waiting).records) == 5
    assert tuple(await database.row("SELECT failures, failing_since, probing_until FROM source_pauses")) == (
        0,
        None,
        None,
    )


async def test_a_worker_that_stops_waits_for_no_pause_and_gives_its_slices_back(
    database: Database, portals: Portals, day: World
) -> None:
    portal = await portals.serve(day)
    portal.quirks.add("redirect")
    await database.planned([piece(date(2025, 3, 10) + timedelta(days=number)) for number in range(3)])
    async with working(database.engine, await portals.client(portal, pause_seconds=600)):
        await eventually(paused(database))
        assert await database.value("SELECT count(*) FROM sync_slices WHERE status = 'running'") > 0
    rows = await database.rows("SELECT status, stalls, failures FROM sync_slices")
    assert [tuple(row) for row in rows] == [("pending", 0, 0)] * 3


async def test_no_wait_outlasts_the_stop(database: Database) -> None:
    source = SharedSource(database.engine)
    resting = asyncio.create_task(source.rest(3600))
    await asyncio.sleep(0)
    source.stop_waiting()
    with pytest.raises(StoppedWaiting):
        await resting


# --- the budget -------------------------------------------------------------------------------------------------


async def share(source: SharedSource) -> tuple[int | None, int]:
    await source.look()
    return source._slots.limit, source.workers


async def test_workers_that_are_busy_share_the_budget_and_one_too_many_gets_none(database: Database) -> None:
    sources = [SharedSource(database.engine, requests_in_flight=5) for _ in range(6)]
    begun = [await source.begin_work(f"worker {number}") for number, source in enumerate(sources)]
    assert begun == [True] * 5 + [False]
    assert [await share(source) for source in sources[:5]] == [(1, 5)] * 5

    for source in sources[:3]:
        await source.end_work()
    assert await sources[5].begin_work("worker 5")
    sources[3]._looked_at = sources[4]._looked_at = 0
    assert [await share(source) for source in sources[3:]] == [(2, 3), (2, 3), (1, 3)]

    await database.rows("UPDATE workers SET alive_until = now() WHERE id = 'worker 3'")
    sources[4]._looked_at = sources[5]._looked_at = 0
    assert [await share(source) for source in sources[4:]] == [(3, 2), (2, 2)], "a dead worker has no share"


async def test_who_is_no_worker_has_a_share_beside_them(database: Database) -> None:
    busy, command = (SharedSource(database.engine, requests_in_flight=3) for _ in range(2))
    assert await busy.begin_work("worker")
    assert await share(command) == (1, 2)


async def test_no_more_requests_are_in_flight_than_all_workers_together_may_have(
    database: Database, portals: Portals, fortnight: World
) -> None:
    portal = await portals.serve(fortnight)
    portal.quirks.latency_ms = 20
    clients = [await portals.client(portal, requests_in_flight=4) for _ in range(2)]
    execution_id = await database.requested(last=CLOSED_DAY)
    async with working(database.engine, *clients):
        execution = await finished(database, execution_id, seconds=60)
        assert execution.status == "success"
        await eventually(none_busy(database))

    assert portal.stats.largest_concurrency["itens"] <= 4
    assert portal.stats.largest_concurrency["consulta"] <= 4
    assert await database.value("SELECT count(*) FROM workers WHERE is_busy") == 0


def none_busy(database: Database) -> Callable[[], Awaitable[bool]]:
    async def is_none() -> bool:
        return int(await database.value("SELECT count(*) FROM workers WHERE is_busy")) == 0

    return is_none
