"""`python -m ingestor`: settings, logging, engine, client; work until a signal or a worker ends it, or a command."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from common.config import ConfigurationError, find_typos, load_settings
from common.database import UnusableDatabaseError, cause_of, check_schema, is_database_trouble
from common.execution_log import keep_execution_log
from common.garbage import collect_seldom
from common.logs import configure_logging
from common.resources.contratacoes import CONTRATACOES
from common.traces import keep_traces
from ingestor.commands import itens, lists, parse_words, rejected, verify
from ingestor.config import IngestorSettings
from ingestor.connections import connections, needs_database, run_without_database
from ingestor.consumer import Consumer
from ingestor.delivery.courier import Courier
from ingestor.intake.announcements import ImportListener
from ingestor.intake.worker import IntakeWorker
from ingestor.metrics import Metrics, MetricsServer
from ingestor.opening import make_client, make_courier, make_engine, make_intake_worker
from ingestor.planning import Rules
from ingestor.settling import database_wait
from ingestor.worker import Worker, WorkerOptions

log = structlog.get_logger("ingestor")


async def run(settings: IngestorSettings) -> None:
    """Open everything, work, close everything."""
    stopping = asyncio.Event()
    _listen_to_signals(stopping)
    async with AsyncExitStack() as stack:
        engine = make_engine(settings)
        stack.push_async_callback(engine.dispose)
        if not await _database_is_there(engine, stopping):
            return
        metrics = Metrics()
        await stack.enter_async_context(MetricsServer(metrics.registry, settings.metrics_host, settings.metrics_port))
        await stack.enter_async_context(keep_execution_log(engine))
        await stack.enter_async_context(keep_traces(settings.traces_url, "pncp-ingestor"))
        workers: list[Worker | Courier | IntakeWorker] = []
        listening: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as tasks:
            if "sync" in settings.worker_kinds:
                client = await stack.enter_async_context(make_client(settings, engine, metrics))
                worker = Worker(engine, client, worker_options(settings), metrics)
                workers.append(worker)
                if settings.rabbitmq_url is not None:
                    consumer = Consumer(
                        settings.rabbitmq_url.get_secret_value(),
                        settings.queue_name,
                        engine,
                        worker.announce,
                        at_most=settings.max_unfinished,
                    )
                    listening.append(tasks.create_task(consumer.run()))
            if settings.delivers:
                workers.append(make_courier(settings, engine, metrics))
            if settings.takes_in:
                intake = make_intake_worker(settings, engine, metrics)
                workers.append(intake)
                if settings.rabbitmq_url is not None:
                    listener = ImportListener(
                        settings.rabbitmq_url.get_secret_value(), settings.intake_queue, lambda _: intake.announce()
                    )
                    listening.append(tasks.create_task(listener.run()))
            working = [tasks.create_task(each.run()) for each in workers]
            signalled = tasks.create_task(stopping.wait())
            # a worker whose schema was changed ends by itself
            await asyncio.wait((signalled, *working), return_when=asyncio.FIRST_COMPLETED)
            signalled.cancel()
            log.info("stopping")
            for task in listening:
                task.cancel()
            for each in workers:
                each.stopping.set()
            await asyncio.gather(*working)


def worker_options(settings: IngestorSettings) -> WorkerOptions:
    """The worker's share of the settings."""
    rules = Rules(
        parts={CONTRATACOES.name: tuple(settings.pncp_modalidades)},
        rolling_window=timedelta(minutes=settings.rolling_window_minutes),
        overlap=timedelta(minutes=settings.update_overlap_minutes),
    )
    return WorkerOptions(
        rules=rules,
        slots=settings.worker_concurrency,
        lease_seconds=settings.lease_seconds,
        slice_retry_seconds=settings.slice_retry_seconds,
        has_broker=settings.rabbitmq_url is not None,
        crons=settings.crons if settings.schedule_enabled else {},
        goals=settings.goals,
        max_unfinished=settings.max_unfinished,
        history_days=settings.history_days,
        keeps_coletas=settings.coletas_enabled,
        coletas_days=settings.coletas_retention_days,
        searches_itens=settings.search_itens,
        changes_days=settings.mudancas_days,
        scopes=settings.list_scopes,
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
            if not is_database_trouble(error):
                raise
            log.warning("waiting for the database", cause=cause_of(error))
        else:
            return True
        try:
            async with asyncio.timeout(database_wait()):
                await stopping.wait()
        except TimeoutError:
            continue
    return False


COMMANDS = {"verify": verify, "rejected": rejected, "itens": itens, "lists": lists, "connections": connections}


def main() -> None:
    """Run the ingestor or one of its commands; a fault of configuration or schema is one line and exit code 1."""
    options = parse_words()
    try:
        if options.command == "connections" and not needs_database(options):
            sys.exit(run_without_database(options))
        settings = load_settings(IngestorSettings)
        if options.command is not None:
            configure_logging("WARNING", settings.log_format, sys.stderr)  # stdout is the table's
            sys.exit(asyncio.run(COMMANDS[options.command](settings, options)))
        configure_logging(settings.log_level, settings.log_format)
        for name, meant in find_typos(IngestorSettings).items():
            log.warning("unknown variable, a typo?", variable=name, known=meant)
        collect_seldom()
        uvloop.run(run(settings))
    except (ConfigurationError, UnusableDatabaseError) as error:
        sys.exit(f"ingestor: {error}")
    except BrokenPipeError:  # the table was piped into `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
