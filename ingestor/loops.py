"""Loops of a worker: steps that are repeated until it stops, and wait while the database is unavailable."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from common.database import (
    UnusableDatabaseError,
    cause_of,
    check_schema,
    is_database_trouble,
    is_unknown_to_schema,
)
from ingestor import settling
from ingestor.presence import LEAVE_SECONDS

log = structlog.get_logger(__name__)

GRACE_SECONDS = 20.0  # a stopping worker's time to finish what is in hand
LOOPS_SECONDS = 0.5  # the time of loops to end by themselves


async def was_upgraded(error: BaseException | None, engine: AsyncEngine) -> UnusableDatabaseError | None:
    """Whether a statement failed because the schema is another version's by now; the error says which."""
    while error is not None and is_unknown_to_schema(error):
        try:
            await check_schema(engine)
        except UnusableDatabaseError as unusable:
            return unusable
        except Exception as trouble:
            if not is_database_trouble(trouble):
                raise
            await asyncio.sleep(settling.database_wait())
        else:
            return None
    return None


async def stop_if_upgraded(error: BaseException | None, engine: AsyncEngine, stopping: asyncio.Event) -> bool:
    """Stop the worker if its schema was upgraded, for it could store nothing; answers whether it is so."""
    unusable = await was_upgraded(error, engine)
    if unusable is not None and not stopping.is_set():
        log.critical("the schema was changed, this worker stops", reason=str(unusable))
        stopping.set()
    return unusable is not None


async def repeat(
    step: Callable[[], Awaitable[None]],
    seconds: float,
    wake: asyncio.Event,
    *,
    ends: asyncio.Event,
    engine: AsyncEngine,
    stopping: asyncio.Event,
) -> None:
    """Repeat a step every so many seconds, or as soon as `wake` is set, until `ends` is set.

    While the database is unavailable, keep retrying. On a schema that was upgraded, set `stopping`. Every other error
    ends the loop.
    """
    while not ends.is_set():
        pause = seconds
        try:
            await step()
        except Exception as error:
            if is_database_trouble(error):
                log.warning("database is not available", step=step.__name__.strip("_"), cause=cause_of(error))
            elif not await stop_if_upgraded(error, engine, stopping):
                raise
            pause = settling.database_wait()
        try:
            async with asyncio.timeout(pause):
                await wake.wait()
        except TimeoutError:
            continue
        if wake is not ends:
            wake.clear()


async def end(loops: Collection[asyncio.Task[None]]) -> bool:
    """Wait a moment for loops that have been asked to end, then cancel them; answers whether all did by themselves."""
    _, late = await asyncio.wait(loops, timeout=LOOPS_SECONDS)
    for task in late:
        task.cancel()
    if late:
        # closing a connection that does not answer takes time
        await asyncio.wait(late, timeout=LEAVE_SECONDS)
    return not late


async def settle(tasks: Collection[asyncio.Task[None]]) -> bool:
    """Let what is in hand be finished; answers whether all was in time. The others are cancelled."""
    if not tasks:
        return True
    _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
    return not late
