"""What decides about the source without a database: what a failure says, when a service is down, who gets a slot."""

import asyncio

import pytest

from ingestor.errors import (
    ListingIncomplete,
    PageAbsent,
    PncpBlocked,
    PncpDisputed,
    PncpError,
    PncpRefused,
    PncpRejected,
    PncpThrottled,
    PncpTooLarge,
    PncpUnavailable,
    PncpUnreachable,
)
from ingestor.sources.pncp.shared_state import DIFFERENT, HANDFUL, Slots, Streak, judge, share_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PncpThrottled(""), "throttled"),
        (PncpBlocked(""), "blocked"),
        (PncpRefused(""), "refused"),
        (PncpUnavailable(""), "down"),
        (PncpUnreachable(""), "down"),
        (PncpRejected(""), "refused"),
        (PncpDisputed(""), None),
        (PncpTooLarge(""), None),
        (PageAbsent(""), None),
        (ListingIncomplete(""), None),
    ],
)
def test_what_a_failure_says_of_its_service(error: PncpError, reason: str | None) -> None:
    assert judge(error) == reason


def test_a_service_is_down_after_a_handful_of_failures_of_different_requests() -> None:
    streak = Streak()
    failed = [streak.add(f"page {number % DIFFERENT}", PncpUnavailable("500")) for number in range(HANDFUL)]
    assert failed == [False] * (HANDFUL - 1) + [True]
    streak.end()
    assert [streak.add("page", PncpUnavailable("500")) for _ in range(3 * HANDFUL)] == [False] * 3 * HANDFUL


def test_without_a_connection_one_request_is_enough() -> None:
    streak = Streak()
    failed = [streak.add("page", PncpUnreachable("refused")) for _ in range(HANDFUL)]
    assert failed == [False] * (HANDFUL - 1) + [True]


@pytest.mark.parametrize("total", [1, 5, 6, 7, 100])
@pytest.mark.parametrize("workers", [1, 2, 3, 6, 11])
def test_shares_differ_by_one_at_most_and_add_up(total: int, workers: int) -> None:
    shares = [share_of(total, workers, rank) for rank in range(workers)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


async def test_slots_are_given_in_the_order_of_asking_and_none_is_lost_by_a_cancel() -> None:
    slots, served = Slots(1), []

    async def take(name: str) -> None:
        await slots.take()
        served.append(name)

    await take("first")
    tasks = [asyncio.create_task(take(name)) for name in ("second", "cancelled", "third", "handed over", "last")]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    for _ in range(2):
        slots.give()
        await asyncio.sleep(0)
    assert served == ["first", "second", "third"]
    slots.give()
    tasks[3].cancel()  # it has been given the slot, and has not run since
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == ["first", "second", "third", "last"]


async def test_slots_may_become_more_fewer_and_none() -> None:
    slots = Slots(0)
    waiting = [asyncio.create_task(slots.take()) for _ in range(3)]
    await asyncio.sleep(0)
    slots.resize(2)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.done() for task in waiting] == [True, True, False]
    slots.resize(1)
    slots.give()
    await asyncio.sleep(0)
    assert not waiting[2].done(), "one is still taken"
    slots.resize(None)
    await waiting[2]
    assert slots.take_at_once()
