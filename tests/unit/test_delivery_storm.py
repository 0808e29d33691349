"""A sender, its verdicts and a faulty receiver together: what settles is what the receiver has or has refused."""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from common.connections.results import Rejection, ResultsRule
from ingestor.delivery.http import HttpSender
from ingestor.delivery.verdicts import Kind, Sent, judge
from simulator.receiver.app import Manners, serve
from simulator.receiver.faults import Faults
from tests.destinations import destination, stream

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(60)]

RESULTS = ResultsRule("resultados", "id", (Rejection(("erro",), "present"),), "erro")
STORM = Faults.parse(
    "error_before=0.08,error_after=0.08,hang=0.04,reset=0.06,garbage=0.05,throttle=0.04,unauthorized=0.04,"
    "not_found=0.02,redirect=0.02,bad=0.03,largest=2000"
)
KEYS = [f"r/{number}" for number in range(400)]


@dataclass
class Request:
    keys: list[str]
    key: UUID = field(default_factory=uuid4)
    tries: int = 0


def body_of(keys: Sequence[str]) -> bytes:
    return json.dumps([{"id": key, "VERSAO": "2026-03-01T10:00:00Z"} for key in keys]).encode()


async def deliver(sender: HttpSender, results: ResultsRule | None) -> tuple[set[str], set[str]]:
    """Send all records until each has a verdict, as deliveries do; the accepted and the rejected."""
    accepted: set[str] = set()
    rejected: set[str] = set()
    open_requests = deque(Request(KEYS[start : start + 50]) for start in range(0, len(KEYS), 50))
    while open_requests:
        request = open_requests.popleft()
        request.tries += 1
        body = body_of(request.keys)
        answer = await sender.send(stream(), body, idempotency_key=request.key, attempt=request.tries)
        keys = tuple(request.keys)
        verdict = judge(answer, Sent(keys, keys, request.tries), results)
        accepted.update(verdict.accepted)
        rejected.update(verdict.rejected)
        if verdict.kind is Kind.SETTLED and verdict.unknown:
            open_requests.append(Request(list(verdict.unknown)))
        elif verdict.kind is Kind.SPLIT:
            half = len(request.keys) // 2
            open_requests.extend((Request(request.keys[:half]), Request(request.keys[half:])))
        elif verdict.kind in {Kind.REPEAT, Kind.FAULT}:
            open_requests.append(request)
        assert verdict.kind is not Kind.STOP
    return accepted, rejected


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("manner", ["207", "whole"])
@pytest.mark.parametrize("honours_key", [True, False])
async def test_in_a_storm_each_record_settles_as_the_receiver_has_it(manner: str, seed: int, honours_key: bool) -> None:
    manners = Manners(results=manner, seed=seed, honours_key=honours_key)  # type: ignore[arg-type]
    async with serve(manners, STORM) as receiver:
        sender = HttpSender(destination(receiver.url + "/records/a", timeout=0.2), allow_loopback=True)
        accepted, rejected = await deliver(sender, RESULTS if manner == "207" else None)
        await sender.close()
    box = receiver.state.boxes["a"]
    assert accepted | rejected == set(KEYS)
    assert accepted == box.records.keys()
    assert rejected == box.refused.keys()
    assert rejected
    assert box.reused_keys == 0
    assert box.backwards == 0
    assert (box.duplicates == 0) is honours_key
    assert box.repeats > 0 if honours_key else box.duplicates > 0


async def test_records_that_answers_leave_out_are_sent_again_and_settle() -> None:
    async with serve(Manners(), Faults.parse("missing=0.3,bad=0.05")) as receiver:
        sender = HttpSender(destination(receiver.url + "/records/a"), allow_loopback=True)
        accepted, rejected = await deliver(sender, RESULTS)
        await sender.close()
    box = receiver.state.boxes["a"]
    assert (accepted, rejected) == (box.records.keys(), box.refused.keys())
    assert len(accepted | rejected) == len(KEYS)
