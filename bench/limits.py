"""The limits: the same pages and items fetched by the same client and thrown away; the same rows into empty tables."""

import asyncio
from collections.abc import Iterator
from datetime import date

from bench.contender import PAGE_SIZE, Task, compete
from ingestor.pncp.client import PncpClient
from ingestor.pncp.records import (
    Page,
    Record,
    parse_contratacao,
)
from ingestor.reading import fetch_itens

PAGES_AHEAD = 3


class NoBrake:
    """Nobody pauses anybody."""

    async def clear(self) -> None:
        """Go on."""

    async def begin(self, seconds: float) -> None:
        """Fail: the portal of a benchmark throttles nobody."""
        raise AssertionError(seconds)


def fetch_and_discard(task: Task) -> int:
    """Read every page, and every record's items; answers how many records there were."""
    return asyncio.run(_fetch_all(task))


async def _fetch_all(task: Task) -> int:
    slices = iter(list(task.slices()))
    async with client_of(task) as client, asyncio.TaskGroup() as group:
        workers = [group.create_task(_fetch_slices(client, slices)) for _ in range(task.slots)]
    return sum(worker.result() for worker in workers)


async def _fetch_slices(client: PncpClient, slices: Iterator[tuple[date, int]]) -> int:
    count = 0
    ahead = asyncio.Semaphore(PAGES_AHEAD)

    async def throw_away(page: Page) -> None:
        records = [parse_contratacao(raw) for raw in page.records]
        await fetch_itens(client, [record for record in records if isinstance(record, Record)])
        ahead.release()

    async with asyncio.TaskGroup() as group:
        for day, modalidade in slices:
            first = await client.fetch_page("publicacao", modalidade, day, day, 1)
            for number in range(1, max(first.total_paginas, 1) + 1):
                page = first if number == 1 else await client.fetch_page("publicacao", modalidade, day, day, number)
                count += len(page.records)
                await ahead.acquire()
                group.create_task(throw_away(page))
    return count


def client_of(task: Task) -> PncpClient:
    """The ingestor's client as the benchmark has it."""
    return PncpClient(
        task.portal_url,
        pause=NoBrake(),
        page_size=PAGE_SIZE,
        requests_per_second=0,
        itens_concurrency=task.itens,
    )


if __name__ == "__main__":
    compete(fetch_and_discard)
