"""The engine, the portal's client and the workers, made from the settings."""

from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from common.config import ConfigurationError
from common.connections.settings import Destination
from common.database import create_engine
from ingestor.config import IngestorSettings
from ingestor.delivery.amqp import AmqpSender
from ingestor.delivery.courier import ClosingSender, Courier, CourierOptions
from ingestor.delivery.http import HttpSender
from ingestor.intake.worker import IntakeOptions, IntakeWorker
from ingestor.metrics import Metrics
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.pncp.shared_state import SharedSource


def make_engine(settings: IngestorSettings) -> AsyncEngine:
    """The database's engine; a connection for every slot, for the loops beside them, and for the log."""
    return create_engine(
        settings.database_url.get_secret_value(),
        application_name="pncp-ingestor",
        pool_size=settings.worker_concurrency + 6,
        statement_seconds=60,
    )


def make_courier(settings: IngestorSettings, engine: AsyncEngine, metrics: Metrics) -> Courier:
    """The courier of a process that delivers; `CONNECTIONS_DIR` is set."""
    if settings.connections_dir is None:
        raise ConfigurationError("CONNECTIONS_DIR: is required by a worker of kind delivery")
    options = CourierOptions(
        folder=settings.connections_dir,
        slots=settings.worker_concurrency,
        lease_seconds=settings.lease_seconds,
        retry_seconds=settings.delivery_retry_seconds,
        schedule_enabled=settings.schedule_enabled,
        deadline_days=settings.reconciliation_days,
    )
    open_sender = partial(_open_sender, allow_loopback=settings.delivery_allow_loopback)
    return Courier(engine, options, open_sender, metrics)


def make_intake_worker(settings: IngestorSettings, engine: AsyncEngine, metrics: Metrics) -> IntakeWorker:
    """The worker of intakes of a process that takes in."""
    options = IntakeOptions(
        folder=settings.connections_dir,
        watched=settings.intake_dir,
        slots=settings.worker_concurrency,
        lease_seconds=settings.lease_seconds,
        imports_days=settings.imports_days,
        most_bytes=settings.upload_max_bytes,
        schedule_enabled=settings.schedule_enabled,
        retry_seconds=settings.delivery_retry_seconds,
    )
    return IntakeWorker(engine, options, metrics)


def _open_sender(destination: Destination, *, allow_loopback: bool) -> ClosingSender:
    if destination.kind == "amqp":
        return AmqpSender(destination, allow_loopback=allow_loopback)
    return HttpSender(destination, allow_loopback=allow_loopback)


def make_client(
    settings: IngestorSettings, engine: AsyncEngine, metrics: Metrics | None = None, *, waits: bool = True
) -> PncpClient:
    """The portal's client, which shares pauses and budget with all other ingestors on this database.

    `waits`: for the end of an outage, however long it lasts; a person at a terminal is told of it instead.
    """
    source = SharedSource(
        engine,
        requests_in_flight=settings.pncp_requests_in_flight,
        pause_seconds=settings.pncp_pause_seconds,
        waits=waits,
    )
    return PncpClient(
        settings.pncp_base_url,
        source=source,
        page_size=settings.pncp_page_size,
        requests_per_second=settings.pncp_requests_per_second,
        lists_per_second=settings.pncp_lists_per_second,
        itens_concurrency=settings.pncp_itens_concurrency,
        timeout_seconds=settings.http_timeout,
        retry_wait_max=settings.pncp_retry_wait_max,
        user_agent=settings.pncp_user_agent,
        meter=metrics,
    )
