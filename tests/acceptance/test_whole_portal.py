"""A month of every resource, through failing answers and a kill: the mirror is exactly what the portal has."""

import json
import signal
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from common.resources import RESOURCES
from common.resources.description import Resource
from simulator.generated import generate
from simulator.world import World
from tests.acceptance.conftest import Stack
from tests.support import eventually

FIRST, LAST, PER_DAY, SEED = date(2026, 9, 1), date(2026, 9, 30), 8, 1


def loads(raw: bytes | str) -> Any:
    return json.loads(raw, parse_float=Decimal)


def on_the_portal(world: World, resource: Resource) -> dict[str, Any]:
    """Every record of a resource by its key, as its payload is kept."""
    paths = {column.name: column.path for column in resource.columns}
    names = [paths[name] for name in resource.key_columns or (resource.key,)]
    found = [loads(world.payload(record)) for record in world.store(resource.name).records.values()]
    return {
        "-".join(str(record[name]) for name in names): {
            key: value for key, value in record.items() if key not in resource.omits
        }
        for record in found
    }


def entries_on_the_portal(world: World, resource: Resource) -> dict[str, list[Any]]:
    """The list of every record that has one, in the order of numbers."""
    keys = world.store(resource.name).records
    lists = {key: sorted(map(loads, world.items(key)), key=lambda item: int(item["numeroItem"])) for key in keys}
    return {key: found for key, found in lists.items() if found}


async def mirrored(stack: Stack, resource: Resource) -> dict[str, Any]:
    async with stack.engine.connect() as db:
        rows = await db.execute(text(f"SELECT {resource.key}, CAST(payload AS text) FROM {resource.name}"))
        return {row[0]: loads(row[1]) for row in rows}


async def entries_mirrored(stack: Stack, resource: Resource) -> dict[str, list[Any]]:
    assert resource.child
    found: dict[str, list[Any]] = {}
    async with stack.engine.connect() as db:
        for key, payload in await db.execute(
            text(f"SELECT {resource.key}, CAST(payload AS text) FROM {resource.child.name} ORDER BY 1, numero_item")
        ):
            found.setdefault(key, []).append(loads(payload))
    return found


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
        assert await mirrored(stack, resource) == truth, resource.name
        assert ended[resource.name]["records_processed"] == len(truth)
        if resource.child:
            entries = entries_on_the_portal(world, resource)

            async def all_have_come(of: Resource = resource, entries: dict[str, list[Any]] = entries) -> bool:
                return await entries_mirrored(stack, of) == entries  # those that failed were owed

            await eventually(all_have_come, seconds=100)
