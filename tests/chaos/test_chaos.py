"""A short storm; and that the invariants have teeth: three mistakes, made on purpose, are each noticed."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.__main__ import NO_BROKER, run_storm
from tests.chaos.fleet import LEASE_SECONDS, Fleet, make_folder, remove_folder
from tests.chaos.invariants import Findings, Seen, Witness, check_counts, check_ends, watch_leases
from tests.chaos.services import find_rabbitmq
from tests.chaos.variants import (
    FAILED_PAGE_SKIPPED,
    LEASE_NEVER_TAKEN_OVER,
    PROGRESS_APART_FROM_DATA,
    UNBROKEN,
    Patches,
)

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("chaos")]

STORM_SECONDS = 20


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own: the user PostgreSQL runs as must be able to enter it."""
    made = make_folder()
    yield made
    remove_folder(made)


async def test_after_a_storm_nothing_is_lost_and_nothing_is_counted_twice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_rabbitmq() is None and os.environ.get("CI"):
        pytest.fail(NO_BROKER)

    result = await run_storm(folder, seed=1, seconds=STORM_SECONDS)

    with capsys.disabled():
        print(f"\n{result}")  # noqa: T201  # what was injected and compared is the point
    log = (folder / "faults.log").read_text()
    assert not result.findings.broken, f"{result.findings}\n{log}"
    assert sum(result.faults.values()) >= 4
    assert result.judged.exact >= 4
    assert result.compared > 300
    everything = {f"I{number}" for number in range(1, 9)}
    assert set(result.findings.looked) >= (everything if result.has_broker else everything - {"I6", "I7"})


# --- teeth ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def small_fleet(folder: Path, patches: Patches, per_day: float = 150) -> AsyncIterator[Fleet]:
    """One ingestor and one backend of a variant, without a broker, so that work is found at once."""
    async with Fleet(folder, ingestors=1, with_broker=False, per_day=per_day, patches=patches) as fleet:
        yield fleet


async def judge(fleet: Fleet) -> Findings:
    """What a storm's judgement says of ends and counts."""
    findings = Findings()
    await check_ends(fleet, findings)
    await check_counts(fleet, fleet.history(), findings)
    assert findings.looked["I4"] or findings.broken
    return findings


async def some_slice_runs(fleet: Fleet) -> bool:
    return bool(await fleet.query("SELECT FROM sync_slices WHERE status = 'running' AND pages_done > 0"))


async def a_holder_is_killed_in_the_middle_of_a_slice(fleet: Fleet) -> None:
    await fleet.portal("PUT", "quirks", {"latency_ms": 100})
    await fleet.force(mode="backfill", **fleet.window(fleet.days[0], fleet.days[0]))
    assert await fleet.until(lambda: some_slice_runs(fleet), 20)
    fleet.services["ingestor-1"].kill()
    await fleet.portal("DELETE", "quirks")
    await fleet.in_starter(fleet.services["ingestor-1"].start)
    await fleet.until(fleet.is_quiet, LEASE_SECONDS + 8)


async def a_page_fails_for_a_while(fleet: Fleet) -> None:
    """A page of today's listing, where no count of the portal's could tell that it is missing."""
    today = fleet.days[-1]
    await fleet.portal("POST", "changes", {"publish": 35, "modalidade": 6})
    rule = {
        "name": "503",
        "times": 6,
        "match": {"criterio": "publicacao", "modalidade": 6, "day": f"{today}", "page": 2},
    }
    await fleet.portal("PUT", "quirks", {"rules": [rule]})
    await asyncio.sleep(2.5)  # the records must have stood there for longer than the judgement's own tolerance
    await fleet.force(mode="backfill", **fleet.window(today, today))
    await fleet.until(fleet.is_quiet, 20)


async def a_holder_is_killed_while_its_data_wait_for_a_lock(fleet: Fleet) -> None:
    connection = await asyncpg.connect(fleet.database.url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE contratacoes IN SHARE ROW EXCLUSIVE MODE")
        await fleet.force(mode="backfill", **fleet.window(fleet.days[0], fleet.days[0]))
        waiting = (
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO contratacoes%'"
        )
        assert await fleet.until(lambda: fleet.query(waiting), 20)
        fleet.services["ingestor-1"].kill()
        # the server notices that its client is gone only when it would answer
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pncp-ingestor'"
        )
        await transaction.rollback()
    finally:
        await connection.close()
    await fleet.in_starter(fleet.services["ingestor-1"].start)
    await fleet.until(fleet.is_quiet, LEASE_SECONDS + 15)


TARGETED = {
    "a lease that is never taken over": (
        a_holder_is_killed_in_the_middle_of_a_slice,
        LEASE_NEVER_TAKEN_OVER,
        {"I1", "I2"},
    ),
    "a failed page that is skipped": (a_page_fails_for_a_while, FAILED_PAGE_SKIPPED, {"I4", "I5"}),
    "progress committed apart from the data": (
        a_holder_is_killed_while_its_data_wait_for_a_lock,
        PROGRESS_APART_FROM_DATA,
        {"I5"},
    ),
}


@pytest.mark.parametrize(("later_ones_are_claimed", "noticed"), [(True, {"I2"}), (False, set())])
def test_a_lease_that_others_are_claimed_past_is_noticed_and_one_that_waits_its_turn_is_not(
    later_ones_are_claimed: bool, noticed: set[str]
) -> None:
    witness = Witness()
    for second in range(40):
        expired = Seen(attempt=1, place=(True, 7, 1), lapsed=1.0 + second)
        other = Seen(attempt=second, place=(True, 8 if later_ones_are_claimed else 6, 1), lapsed=0)
        watch_leases({1: expired, 2: other}, float(second), witness)
    assert witness.findings.broken == noticed
    assert witness.findings.looked["I2"]


@pytest.mark.slow
@pytest.mark.parametrize("mistake", TARGETED)
async def test_a_mistake_is_noticed_by_the_invariant_that_it_breaks(folder: Path, mistake: str) -> None:
    faults, patches, expected = TARGETED[mistake]
    async with small_fleet(folder, patches) as fleet:
        await faults(fleet)
        findings = await judge(fleet)
    assert findings.broken == expected, str(findings)


@pytest.mark.slow
@pytest.mark.parametrize("mistake", TARGETED)
async def test_the_same_faults_without_the_mistake_break_nothing(folder: Path, mistake: str) -> None:
    faults, _, _ = TARGETED[mistake]
    async with small_fleet(folder, UNBROKEN) as fleet:
        await faults(fleet)
        findings = await judge(fleet)
    assert not findings.broken, str(findings)
    assert {"I1", "I2", "I4", "I5"} <= set(findings.looked)
