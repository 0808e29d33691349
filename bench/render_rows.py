"""The bound of deliveries: the same records, read by the same statement and rendered by the same mapping, discarded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.products import BATCH, DESTINATION, Task, compete, write_files
from common.config import DatabaseSettings
from common.connections.loading import load_connections
from common.database import create_engine, driver_of, in_transaction
from common.garbage import collect_seldom
from ingestor.delivery import ledger
from ingestor.delivery.streams import Registered, register


@asynccontextmanager
async def stream_of(task: Task) -> AsyncIterator[tuple[AsyncEngine, Registered]]:
    """The stream as a worker loads it from its files, and an engine."""
    with TemporaryDirectory(prefix="pncp-bench-") as folder:
        write_files(Path(folder), task)
        destination = load_connections(Path(folder)).destinations[DESTINATION]
    url = DatabaseSettings(database_url=task.database_url).database_url.get_secret_value()
    engine = create_engine(url, application_name="pncp-bench", pool_size=1, statement_seconds=60)
    try:
        (registered,) = await in_transaction(engine, lambda db: register(db, destination))
        yield engine, registered
    finally:
        await engine.dispose()


def render_and_discard(task: Task) -> int:
    """Read and render every record; answers how many there were."""
    collect_seldom()
    return uvloop.run(_render_all(task))


async def _render_all(task: Task) -> int:
    count = 0
    async with stream_of(task) as (engine, registered), engine.connect() as db:
        driver = await driver_of(db)
        keys = [row[0] for row in await driver.fetch("SELECT key FROM entity_records WHERE entity = 'produtos'")]
        for start in range(0, len(keys), BATCH):
            count += len(await ledger.render_some(driver, registered, keys[start : start + BATCH]))
    return count


if __name__ == "__main__":
    compete(render_and_discard)
