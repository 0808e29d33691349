"""A short storm; and that the invariants have teeth: mistakes, made on purpose, are each noticed."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from common.resources import LATER
from tests.chaos.__main__ import NO_BROKER, run_storm
from tests.chaos.fleet import LEASE_SECONDS, PARTS, Fleet, make_folder, remove_folder
from tests.chaos.invariants import (
    Findings,
    Seen,
    Witness,
    check_counts,
    check_ends,
    check_lists,
    check_mirror,
    check_requests,
    check_resources,
    check_seen,
    watch_leases,
    watch_rows,
)
from tests.chaos.portal import DOMINIOS
from tests.chaos.services import Program, find_rabbitmq
from tests.chaos.storm import Storm
from tests.chaos.variants import (
    COVERED_BY_ANOTHER,
    EQUAL_DAYS_UNCHANGED,
    FAILED_DOMAIN_TABLE_SKIPPED,
    FAILED_PAGE_SKIPPED,
    FAILED_PARTS_FORGOTTEN,
    GONE_ITEMS_STAY,
    LEASE_IGNORED,
    LEASE_NEVER_TAKEN_OVER,
    LEASES_OF_OTHERS_RENEWED,
    LISTING_NOT_COUNTED,
    LISTS_OF_BEFORE_KEPT,
    NO_SHARED_PAUSE,
    OLDER_VERSION_WINS,
    PLANNED_EXECUTION_REFUSED,
    PROGRESS_APART_FROM_DATA,
    ROWS_COUNTED_BY_PLAN,
    SABOTAGE,
    SCOPE_NOT_ASKED,
    SIGTERM_ENDS_AT_ONCE,
    UNBROKEN,
    WATERMARK_OF_ANOTHER_MOVED,
    Patches,
    make_copy,
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
    assert set(result.judged.slices) == {*PARTS, DOMINIOS}
    assert result.days_of_one >= len(PARTS)
    assert result.read_in_trouble >= 20
    assert set(result.compared) == {*PARTS, *(child.name for _, child in LATER), DOMINIOS}
    assert min(result.compared.values()) > 20
    assert min(result.compared[resource] for resource in ("contratacoes", "contratos", "atas")) > 150
    everything = {f"I{number}" for number in range(1, 10)}
    assert set(result.findings.looked) >= (everything if result.has_broker else everything - {"I6", "I7"})


# --- teeth ----------------------------------------------------------------------------------------------------------


async def judge(fleet: Fleet) -> Findings:
    """What a storm's judgement says of ends, counts and resources."""
    findings = Findings()
    await check_ends(fleet, findings)
    await check_counts(fleet, fleet.history(), findings)
    await check_lists(fleet, fleet.history(), findings)
    await check_resources(fleet, findings)
    assert findings.looked["I4"] or findings.broken
    return findings


async def some_slice_runs(fleet: Fleet) -> bool:
    return bool(await fleet.query("SELECT FROM sync_slices WHERE status = 'running' AND pages_done > 0"))


async def a_holder_is_killed_in_the_middle_of_a_slice(fleet: Fleet) -> None:
    await fleet.portal("PUT", "quirks", {"latency_ms": 100})
    await fleet.force(mode="backfill", **fleet.window(fleet.busy_day, fleet.busy_day))
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
        await fleet.force(mode="backfill", **fleet.window(fleet.busy_day, fleet.busy_day))
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


async def two_share_a_day(fleet: Fleet) -> Findings:
    await fleet.portal("PUT", "quirks", {"latency_ms": 50})
    await fleet.force(mode="backfill", **fleet.window(fleet.busy_day, fleet.busy_day))
    assert await fleet.until(fleet.is_quiet, 40)
    return Findings()


async def a_holder_is_killed_beside_another(fleet: Fleet) -> Findings:
    """The other one renews its own leases meanwhile, and must not renew those of the dead."""
    witness = Witness()
    await fleet.portal("PUT", "quirks", {"latency_ms": 300})
    await fleet.force(mode="backfill", **fleet.window(fleet.days[0], fleet.days[-1]))
    assert await fleet.until(lambda: holds_slices(fleet, "ingestor-1"), 20)
    fleet.services["ingestor-1"].kill()
    deadline = time.monotonic() + 2 * LEASE_SECONDS + 2
    while time.monotonic() < deadline:
        await watch_rows(fleet, witness)
        await asyncio.sleep(0.5)
    await fleet.portal("DELETE", "quirks")
    await fleet.until(fleet.is_quiet, LEASE_SECONDS + 10)
    return witness.findings


async def holds_slices(fleet: Fleet, name: str) -> bool:
    pid = fleet.services[name].pid
    held = "SELECT FROM sync_slices WHERE status = 'running' AND worker_id LIKE $1"
    return bool(await fleet.query(held, f"%-{pid}-%"))


def a_storm_of(fault: str) -> Callable[[Fleet], Awaitable[Findings]]:
    """One of the storm's own faults alone, after a first load of everything that stands still."""

    async def faults(fleet: Fleet) -> Findings:
        storm = Storm(fleet, 1, 0.0, lambda _: None)
        await fleet.force(mode="backfill", **fleet.window(fleet.days[0], fleet.days[-1]))
        assert await fleet.until(fleet.is_quiet, 40)
        if fault == "show_as_before":  # there must be something that has changed, and its change stored
            await fleet.portal("POST", "changes", {"touch": 60})
            await fleet.force(mode="backfill", **fleet.window(fleet.days[0], fleet.days[-1]))
            assert await fleet.until(fleet.is_quiet, 40)
        await getattr(storm, fault)(random.Random(1))
        if fault == "lose_item":
            await asyncio.sleep(2.5)  # a change must be older than the judgement's tolerance
            await fleet.force(mode="update")
        await fleet.until(fleet.is_quiet, 40)
        return storm.witness.findings

    return faults


async def a_holder_is_asked_to_end(fleet: Fleet) -> Findings:
    storm = Storm(fleet, 1, 0.0, lambda _: None)
    await fleet.portal("PUT", "quirks", {"latency_ms": 200})
    await fleet.force(mode="backfill", **fleet.window(fleet.busy_day, fleet.busy_day))
    assert await fleet.until(lambda: holds_slices(fleet, "ingestor-1"), 20)
    program = fleet.program("ingestor-1")
    pid = program.pid
    assert pid is not None
    program.terminate()
    assert await fleet.until(lambda: has_ended(program, pid), 30)
    await storm.expect_nothing_held("ingestor-1", pid, was_calm=True)
    await fleet.portal("DELETE", "quirks")
    await fleet.in_starter(program.start)
    await fleet.until(fleet.is_quiet, LEASE_SECONDS + 10)
    return storm.witness.findings


async def has_ended(program: Program, pid: int) -> bool:
    return program.pid != pid


async def a_request_s_confirm_is_lost(fleet: Fleet) -> Findings:
    storm = Storm(fleet, 1, 0.0, lambda _: None)
    await fleet.portal("PUT", "quirks", {"latency_ms": 1000})  # it must still run when the backend gives up
    await storm.lose_confirms(random.Random(1))
    await fleet.portal("DELETE", "quirks")
    await fleet.until(fleet.is_quiet, 60)
    await check_requests(fleet, storm.witness, storm.witness.findings)
    return storm.witness.findings


async def one_of_two_is_throttled(fleet: Fleet) -> Findings:
    storm = Storm(fleet, 1, 0.0, lambda _: None)
    await fleet.portal("PUT", "quirks", {"latency_ms": 150})
    await fleet.force(mode="backfill", **fleet.window(fleet.days[0], fleet.days[-1]))
    for name in fleet.ingestor_names:
        assert await fleet.until(lambda name=name: holds_slices(fleet, name), 20)  # type: ignore[misc]
    await storm.throttle(random.Random(1))
    await fleet.portal("DELETE", "quirks")
    await fleet.until(fleet.is_quiet, 60)
    return storm.witness.findings


async def contratos_are_read_alone(fleet: Fleet) -> None:
    """Their changes and one of their days: nothing of this says anything of contratações."""
    await fleet.force(resource="contratos", mode="update")
    await fleet.force(resource="contratos", mode="backfill", **fleet.window(fleet.busy_day, fleet.busy_day))
    assert await fleet.until(fleet.is_quiet, 40)


async def atas_and_plans_are_read(fleet: Fleet) -> Findings:
    """Atas that change twice on a day, where nothing but the payload tells the versions apart; and plans whose items,
    which the portal counts, fill several pages."""
    findings = Findings()
    for _ in range(2):
        await fleet.portal("POST", "changes", {"resource": "atas", "touch": 150})
        await fleet.force(resource="atas", mode="backfill", **fleet.window(fleet.days[0], fleet.days[-1]))
        assert await fleet.until(fleet.is_quiet, 40)
    await check_mirror(fleet, fleet.history(), findings, ["atas"])
    await fleet.force(resource="pcas", mode="backfill", **fleet.window(fleet.busy_day, fleet.busy_day))
    await fleet.until(lambda: is_quiet_or_fails(fleet), 30)
    return findings


async def lists_change_after_they_are_read(fleet: Fleet) -> None:
    for lost in (0, 300):
        await fleet.portal("POST", "changes", {"resource": "contratos", "lose_document": lost})
        await fleet.force(resource="contratos", mode="backfill", **fleet.window(fleet.days[0], fleet.days[-1]))
        assert await fleet.until(fleet.is_quiet, 40)
        assert await fleet.pay_debts(60)


async def parts_of_lists_fail(fleet: Fleet) -> None:
    await fleet.portal("PUT", "quirks", {"503": {"probability": 0.4, "match": {"kind": "resultados"}}})
    await fleet.force(mode="backfill", **fleet.window(fleet.days[0], fleet.days[-1]))
    assert await fleet.until(lambda: has_read_resultados(fleet, of=40), 60)
    await fleet.portal("DELETE", "quirks")
    assert await fleet.until(fleet.is_quiet, 20)


async def has_read_resultados(fleet: Fleet, of: int) -> bool:
    (row,) = await fleet.query("SELECT count(*) FROM contratacoes WHERE resultados_at IS NOT NULL")
    return bool(row["count"] >= of)


async def domain_tables_fail(fleet: Fleet) -> None:
    """One list fails for longer than it is tried; and later the portal refuses everything for a while."""
    await fleet.portal("PUT", "quirks", {"503": {"times": 12, "match": {"path": "/amparos-legais"}}})
    await fleet.force(resource="dominios", mode="update")
    assert await fleet.until(fleet.is_quiet, 40)
    await fleet.portal("PUT", "quirks", {"forbidden": 1})
    await fleet.force(resource="dominios", mode="update")
    await asyncio.sleep(2)
    await fleet.portal("DELETE", "quirks")
    assert await fleet.until(fleet.is_quiet, 40)


async def is_quiet_or_fails(fleet: Fleet) -> bool:
    failing = "SELECT FROM sync_slices WHERE failing_since IS NOT NULL"
    return await fleet.is_quiet() or bool(await fleet.query(failing))


@dataclass(frozen=True)
class Mistake:
    """A broken copy, the faults that bring the mistake to light, and the invariants that must notice it."""

    patches: Patches
    faults: Callable[[Fleet], Awaitable[Findings | None]]
    noticed: set[str]
    ingestors: int = 1
    with_broker: bool = False


TARGETED = {
    "a lease that is never taken over": Mistake(
        LEASE_NEVER_TAKEN_OVER, a_holder_is_killed_in_the_middle_of_a_slice, {"I1", "I2"}
    ),
    "a failed page that is skipped": Mistake(FAILED_PAGE_SKIPPED, a_page_fails_for_a_while, {"I4", "I5"}),
    "progress committed apart from the data": Mistake(
        PROGRESS_APART_FROM_DATA, a_holder_is_killed_while_its_data_wait_for_a_lock, {"I5"}
    ),
    "a lease that is ignored at a claim": Mistake(LEASE_IGNORED, two_share_a_day, {"I2"}, ingestors=2),
    "leases of others that are renewed": Mistake(
        LEASES_OF_OTHERS_RENEWED, a_holder_is_killed_beside_another, {"I2"}, ingestors=2
    ),
    "a planned execution that is refused": Mistake(
        PLANNED_EXECUTION_REFUSED, a_request_s_confirm_is_lost, {"I3"}, with_broker=True
    ),
    "an older version that wins": Mistake(OLDER_VERSION_WINS, a_storm_of("show_as_before"), {"I5"}),
    "a listing that is not counted": Mistake(LISTING_NOT_COUNTED, a_storm_of("leave_out"), {"I4"}),
    "items that are gone and stay": Mistake(GONE_ITEMS_STAY, a_storm_of("lose_item"), {"I5"}),
    "no pause for the others": Mistake(NO_SHARED_PAUSE, one_of_two_is_throttled, {"one pause for all"}, ingestors=2),
    "a watermark that another resource moves": Mistake(WATERMARK_OF_ANOTHER_MOVED, contratos_are_read_alone, {"I9"}),
    "a day that another resource has read": Mistake(COVERED_BY_ANOTHER, contratos_are_read_alone, {"I9"}),
    "an ata of the same day that counts as unchanged": Mistake(EQUAL_DAYS_UNCHANGED, atas_and_plans_are_read, {"I5"}),
    "rows of a listing of plans counted by plan": Mistake(ROWS_COUNTED_BY_PLAN, atas_and_plans_are_read, {"I1"}),
    "lists of before that a newer version keeps": Mistake(
        LISTS_OF_BEFORE_KEPT, lists_change_after_they_are_read, {"I5"}
    ),
    "a list that counts as read though parts have failed": Mistake(FAILED_PARTS_FORGOTTEN, parts_of_lists_fail, {"I5"}),
    "a scope that is not asked for": Mistake(SCOPE_NOT_ASKED, contratos_are_read_alone, {"I5"}),
    "a failed domain table that is skipped": Mistake(FAILED_DOMAIN_TABLE_SKIPPED, domain_tables_fail, {"I4"}),
    "a SIGTERM that only ends the process": Mistake(SIGTERM_ENDS_AT_ONCE, a_holder_is_asked_to_end, {"F4"}),
}


@pytest.mark.parametrize(
    ("later_ones_are_claimed", "other", "noticed"),
    [(True, "contratos", {"I2"}), (False, "contratos", set()), (True, "contratacoes", set())],
)
def test_a_lease_that_others_are_claimed_past_is_noticed_and_one_that_waits_its_turn_is_not(
    later_ones_are_claimed: bool, other: str, noticed: set[str]
) -> None:
    witness = Witness()
    for second in range(40):
        expired = Seen("contratos", attempt=1, place=(True, 7, 1), lapsed=1.0 + second)
        claimed = Seen(other, attempt=second, place=(True, 8 if later_ones_are_claimed else 6, 1), lapsed=0)
        watch_leases({1: expired, 2: claimed}, float(second), witness)
    assert witness.findings.broken == noticed
    assert witness.findings.looked["I2"]


@pytest.mark.parametrize("name", SABOTAGE)
def test_each_mistake_still_finds_the_lines_that_it_breaks(tmp_path: Path, name: str) -> None:
    root = make_copy(tmp_path, SABOTAGE[name])
    for file in SABOTAGE[name]:
        compile((root / file).read_text(), file, "exec")


async def findings_of(folder: Path, mistake: Mistake, patches: Patches) -> Findings:
    async with Fleet(folder, ingestors=mistake.ingestors, with_broker=mistake.with_broker, patches=patches) as fleet:
        seen = await mistake.faults(fleet)
        findings = await judge(fleet)
        await check_seen(fleet, findings)
    if seen is not None:
        for name, told in seen.wrong.items():
            findings.wrong[name] += told
        findings.looked += seen.looked
    return findings


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETED)
async def test_a_mistake_is_noticed_by_the_invariant_that_it_breaks(folder: Path, name: str) -> None:
    mistake = TARGETED[name]
    if mistake.with_broker and find_rabbitmq() is None:
        pytest.skip(NO_BROKER)
    findings = await findings_of(folder, mistake, mistake.patches)
    assert mistake.noticed <= findings.broken, str(findings)


@pytest.mark.slow
@pytest.mark.parametrize("name", {mistake.faults: name for name, mistake in TARGETED.items()}.values())
async def test_the_same_faults_without_the_mistake_break_nothing(folder: Path, name: str) -> None:
    mistake = TARGETED[name]
    if mistake.with_broker and find_rabbitmq() is None:
        pytest.skip(NO_BROKER)
    findings = await findings_of(folder, mistake, UNBROKEN)
    assert not findings.broken, str(findings)
    assert mistake.noticed <= set(findings.looked)
