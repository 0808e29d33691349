"""Memory of a real ingestor process, whatever the portal sends: the kernel's own count of the most that it has held."""

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.conftest import Stack
from tests.heavy_portal import HeavyPortal

MOST_MIB = 300
CHEAP_MIB = 210  # what the process takes anyway is 80; without a budget all lists lie in memory at once, 440

_BACKFILL = """
    INSERT INTO sync_executions (mode, criterio, window_start, window_end, trigger)
    VALUES ('backfill', 'publicacao', $1::date, $1::date + time '23:59:59', 'sweep') RETURNING id
"""
_STATE = "SELECT status FROM sync_executions WHERE id = $1"


def peak_mib_of(pid: int) -> float:
    """The most memory that a process has held at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def peak_of(stack: Stack, kind: str, *, records: int, until: Callable[[HeavyPortal, str], bool]) -> float:
    """The peak of an ingestor that reads a day of four listings from such a portal, in MiB."""
    with HeavyPortal(kind, records) as portal:
        ingestor = await stack.start_ingestor(
            PNCP_BASE_URL=portal.url,
            PNCP_REQUESTS_PER_SECOND="0",
            PNCP_ITENS_CONCURRENCY="16",
            PNCP_RETRY_WAIT_MAX="0.2",
            PNCP_MODALIDADES="1-4",
            WORKER_CONCURRENCY="4",
            SCHEDULE_ENABLED="false",
        )
        database = await asyncpg.connect(stack.database_url.replace("+asyncpg", ""))
        try:
            execution_id = await database.fetchval(_BACKFILL, date(2026, 3, 10))
            async with asyncio.timeout(280):
                while not until(portal, await database.fetchval(_STATE, execution_id)):
                    assert ingestor.popen.poll() is None, ingestor.text
                    assert peak_mib_of(ingestor.popen.pid) < MOST_MIB
                    await asyncio.sleep(0.1)
            return peak_mib_of(ingestor.popen.pid)
        finally:
            await database.close()


async def test_large_lists_are_mirrored_in_little_memory(stack: Stack) -> None:
    """Thirty-two lists of 8 MB."""
    peak = await peak_of(stack, "lists of 8 MB", records=8, until=lambda _, status: status != "running")
    assert peak < CHEAP_MIB


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("lists of 19 MB", marks=SLOW),
        pytest.param("lists of 20 MB", marks=SLOW),
        pytest.param("texts of 1 MiB", marks=SLOW),
        pytest.param("wide lists", marks=SLOW),
        pytest.param("pages of 19 MB", marks=SLOW),
    ],
)
async def test_what_is_large_is_mirrored_in_bounded_memory(stack: Stack, kind: str) -> None:
    peak = await peak_of(stack, kind, records=4, until=lambda _, status: status == "success")
    assert peak < MOST_MIB


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "lists without end",
        "lists of 20 MB without end",
        "bombs",
        "zeros",
        "objects",
        "one number",
        "a million rejected",
        "nests",
        "bodies of 1 GB",
        "bombs on listings",
        "zeros on listings",
        "listings of 1 GB",
    ],
)
async def test_what_is_no_answer_is_refused_in_bounded_memory(stack: Stack, kind: str) -> None:
    peak = await peak_of(
        stack,
        kind,
        records=8,
        until=lambda portal, status: portal.requests > 23 and (status != "running" or "listings" in kind),
    )
    assert peak < MOST_MIB
