"""The bound of the client: the same pages and items, fetched by the same client and discarded.

In a process like the ingestor's, on the same event loop. The client decodes the JSON of what it fetches, here as there.
"""

import asyncio
from collections.abc import Iterator
from datetime import date

import uvloop

from bench.contender import Task, compete
from common.garbage import collect_seldom
from common.resources.description import Resource
from ingestor.errors import PncpError
from ingestor.sources.pncp.children import fetch_lists
from ingestor.sources.pncp.client import PncpClient, Span
from ingestor.sources.pncp.envelope import Page
from ingestor.sources.pncp.records import parse_record
from ingestor.sources.values import Record

PAGES_AHEAD = 3


class HealthySource:
    """The source that never pauses, asked by one process alone and without a limit."""

    workers = 1

    async def enter(self, service: str, *, wait: bool, seconds: float) -> None:
        """Go on."""

    def leave(self) -> None:
        """Nothing was taken."""

    async def rest(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    async def answered(self, service: str) -> None:
        """As expected."""

    async def failed(self, service: str, about: str, error: PncpError) -> bool:  # noqa: ARG002  # as `Source` has it
        """What must not happen."""
        raise error

    def answers(self, service: str) -> int:  # noqa: ARG002
        """Nothing fails, so that nothing is counted."""
        return 0


def client_of(task: Task) -> PncpClient:
    """The ingestor's client, allowed what the benchmark allows."""
    return PncpClient(
        task.portal_url,
        source=HealthySource(),
        page_size=None,
        requests_per_second=0,
        itens_concurrency=task.itens,
    )


def records_of(resource: Resource, page: Page) -> list[Record]:
    """The records of a page; only their keys lead to items."""
    return [record for record in (parse_record(resource, raw) for raw in page.records) if isinstance(record, Record)]


def fetch_and_discard(task: Task) -> int:
    """Read every page, and every record's items; answers how many records there were."""
    collect_seldom()
    return uvloop.run(_fetch_all(task))


async def _fetch_all(task: Task) -> int:
    slices = task.slices()
    async with client_of(task) as client, asyncio.TaskGroup() as group:
        workers = [group.create_task(_fetch_slices(client, task.described, slices)) for _ in range(task.slots)]
    return sum(worker.result() for worker in workers)


async def _fetch_slices(client: PncpClient, resource: Resource, slices: Iterator[tuple[date, int]]) -> int:
    """A listing may show a record on several pages, as it does plans: it counts once."""
    count = 0
    ahead = asyncio.Semaphore(PAGES_AHEAD)

    async def throw_away(records: list[Record]) -> None:
        await fetch_lists(client, resource, records)
        ahead.release()

    async with asyncio.TaskGroup() as group:
        for day, part in slices:
            number, pages, seen = 1, 1, set[str]()
            while number <= pages:
                page = await client.fetch_page(Span(resource, resource.day_criterio, part, day, day), number)
                pages = page.total_paginas
                records = [record for record in records_of(resource, page) if record.key not in seen]
                seen |= {record.key for record in records}
                number += 1
                await ahead.acquire()
                group.create_task(throw_away(records))
            count += len(seen)
    return count


if __name__ == "__main__":
    compete(fetch_and_discard)
