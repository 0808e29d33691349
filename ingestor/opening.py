"""The engine and the portal's client, made from the settings."""

from sqlalchemy.ext.asyncio import AsyncEngine

from common.database import create_engine
from ingestor.config import IngestorSettings
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
