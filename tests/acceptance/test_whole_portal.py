"""A month of every resource, through failing answers and a kill: the mirror is exactly what the portal has."""

import signal
from datetime import date
from typing import Any

import pytest

from common.resources import RESOURCES
from common.resources.description import Resource
from simulator.generated import generate
from tests.acceptance.conftest import Stack
from tests.mirror import lists_mirrored, lists_on_the_portal, mirrored, on_the_portal
from tests.support import eventually

FIRST, LAST, PER_DAY, SEED = date(2026, 9, 1), date(2026, 9, 30), 8, 1


@pytest.mark.parametrize("ingestors", [1, 3])
async def test_a_month_of_every_resource_is_stored_exactly_through_failures_and_a_kill(
    stack: Stack, ingestors: int
) -> None:
    world = generate(SEED, FIRST, LAST, PER_DAY)
    options = ["--from", f"{FIRST}", "--until", f"{LAST}", "--per-day", f"{PER_DAY}", "--seed", f"{SEED}"]
    await stack.start_simulator(*options, "--fail", "0.2")
    await stack.start_backend()
    workers = [await stack.start_ingestor() for _ in range(ingestors)]
    window = {"mode": "backfill", "data_ini": f"{FIRST}T00:00:00", "data_fim": f"{LAST}T23:59:59"}
    asked = {resource.name: await stack.force(resource=resource.name, **window) for resource in RESOURCES}

    await stack.processed_at_least(asked["contratos"], len(world.contratos.records) // 3)
    workers[0].send(signal.SIGKILL)
    await workers[0].ended()
    await stack.start_ingestor()
    ended = {name: await stack.finished(number, seconds=180) for name, number in asked.items()}

    assert {name: execution["status"] for name, execution in ended.items()} == dict.fromkeys(asked, "success"), ended
    await stack.portal_behaves()
    for resource in RESOURCES:
        truth = on_the_portal(world, resource)
        assert truth
        assert await mirrored(stack.engine, resource) == truth, resource.name
        assert ended[resource.name]["records_processed"] == len(truth)
        if resource.child:
            entries = lists_on_the_portal(world, resource)

            async def all_have_come(of: Resource = resource, entries: dict[tuple[str, int], Any] = entries) -> bool:
                return await lists_mirrored(stack.engine, of) == entries  # those that failed were owed

            await eventually(all_have_come, seconds=100)
