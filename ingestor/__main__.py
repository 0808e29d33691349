"""`python -m ingestor`: settings, logging, engine, client; then work until a signal says to stop."""

import asyncio
import os
import random
import signal
import sys
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from common.config import ConfigurationError, load_settings
from common.database import UnusableDatabaseError, check_schema, create_engine, is_unavailable
from common.logs import configure_logging
from ingestor.config import IngestorSettings
from ingestor.consumer import Consumer
from ingestor.pause import SharedPause
from ingestor.planning import Rules
from ingestor.pncp.client import PncpClient
from ingestor.worker import DATABASE_WAIT, Worker, WorkerOptions

log = structlog.get_logger("ingestor")


async def run(settings: IngestorSettings) -> None:
    """Open everything, work, close everything."""
    stopping = asyncio.Event()
    _listen_to_signals(stopping)
    async with AsyncExitStack() as stack:
        engine = create_engine(
            settings.database_url.get_secret_value(),
            application_name="pncp-ingestor",
            pool_size=settings.worker_concurrency + 4,  # every slot, and the loops beside them
            statement_seconds=60,
        )
        stack.push_async_callback(engine.dispose)
        if not await _database_is_there(engine, stopping):
            return
        client = await stack.enter_async_context(make_client(settings, engine))
        worker = Worker(engine, client, worker_options(settings))
        async with asyncio.TaskGroup() as tasks:
            listening = None
            if settings.rabbitmq_url is not None:
                consumer = Consumer(settings.rabbitmq_url.get_secret_value(), settings.queue_name, engine, worker.ring)
                listening = tasks.create_task(consumer.run())
            working = tasks.create_task(worker.run())
            await stopping.wait()
            log.info("stopping")
            if listening is not None:
                listening.cancel()
            worker.stopping.set()
            await working


def make_client(settings: IngestorSettings, engine: AsyncEngine) -> PncpClient:
    """The portal's client as configured, braked together with all other ingestors on this database."""
    return PncpClient(
        settings.pncp_base_url,
        pause=SharedPause(engine),
        page_size=settings.pncp_page_size,
        requests_per_second=settings.pncp_requests_per_second,
        itens_concurrency=settings.pncp_itens_concurrency,
        timeout_seconds=settings.http_timeout,
        retry_wait_max=settings.pncp_retry_wait_max,
        user_agent=settings.pncp_user_agent,
    )


def worker_options(settings: IngestorSettings) -> WorkerOptions:
    """The worker's share of the settings."""
    rules = Rules(
        modalidades=tuple(settings.pncp_modalidades),
        rolling_window=timedelta(minutes=settings.rolling_window_minutes),
        overlap=timedelta(minutes=settings.update_overlap_minutes),
    )
    return WorkerOptions(
        rules=rules,
        slots=settings.worker_concurrency,
        lease_seconds=settings.lease_seconds,
        slice_retry_seconds=settings.slice_retry_seconds,
        has_broker=settings.rabbitmq_url is not None,
    )


def _listen_to_signals(stopping: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT stops after the page in hand, a second one at once."""

    def on_signal() -> None:
        if stopping.is_set():
            os._exit(1)  # leases and fences make this as safe as a crash
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)


async def _database_is_there(engine: AsyncEngine, stopping: asyncio.Event) -> bool:
    """Wait for the database and compare its schema; `False` if the wait was ended by a signal."""
    while not stopping.is_set():
        try:
            await check_schema(engine)
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("waiting for the database", error=type(error).__name__)
        else:
            return True
        try:
            async with asyncio.timeout(random.uniform(*DATABASE_WAIT)):  # noqa: S311  # jitter
                await stopping.wait()
        except TimeoutError:
            continue
    return False


def main() -> None:
    """Run the ingestor; a fault of the configuration or of the schema is one line and exit code 1."""
    try:
        settings = load_settings(IngestorSettings)
        configure_logging(settings.log_level, settings.log_format)
        asyncio.run(run(settings))
    except (ConfigurationError, UnusableDatabaseError) as error:
        sys.exit(f"ingestor: {error}")


if __name__ == "__main__":
    main()
