"""Prometheus metrics of this process, and their small HTTP server.

The backend serves from the database what must survive a restart and be the same for all processes. These are known to
the worker alone: the source's answers and times, what is written, what is retried.
"""

import asyncio
import contextlib
import errno
import socket
from threading import Thread
from typing import Literal, Self
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from common.config import ConfigurationError
from common.lifecycle.slices import PageCounts
from common.resources import SERVICES

log = structlog.get_logger(__name__)

Outcome = Literal["finished", "failed", "postponed", "released", "lost"]
"""How the work on a slice has ended: complete, failed, postponed, released at a stop, or taken over."""

OUTCOMES: tuple[Outcome, ...] = ("finished", "failed", "postponed", "released", "lost")
LATENCIES = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OPEN_AGAIN_SECONDS = 30.0
_MISTAKES = (errno.EACCES, errno.EADDRNOTAVAIL)


class Metrics:
    """The metrics of one process, in a registry of their own. Labels are looked up once."""

    def __init__(self) -> None:
        # omit the _created series beside each metric
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._pages = counter("pncp_ingestor_pages", "Pages committed.")
        self._processed = counter("pncp_ingestor_records_processed", "Distinct records processed.")
        written = counter("pncp_ingestor_records_written", "Records written, by what became of them.", "result")
        self._inserted, self._updated = written.labels("inserted"), written.labels("updated")
        self._itens = counter("pncp_ingestor_itens_written", "Entries of lists written.")
        self._rejected = counter("pncp_ingestor_records_rejected", "Records that could not be stored.")
        slices = counter("pncp_ingestor_slices", "Slices let go of, by how the work on them ended.", "outcome")
        self._slices = {outcome: slices.labels(outcome) for outcome in OUTCOMES}
        self.transaction_retries = counter(
            "pncp_ingestor_transaction_retries", "Page transactions run again after a deadlock or the like."
        )
        self.rollup_mismatches = counter(
            "pncp_ingestor_rollup_mismatches", "Days whose rollup differed from their table, and was repaired."
        )
        self.held_slices = Gauge("pncp_ingestor_held_slices", "Slices being worked on now.", registry=registry)
        self._last_page = Gauge(
            "pncp_ingestor_last_page_timestamp_seconds",
            "When the last page was committed; 0 before the first.",
            registry=registry,
        )
        self._requests = counter(
            "pncp_source_requests",
            "Requests to the portal, by service and status or kind of error.",
            "service",
            "status",
        )
        self._known_requests: dict[tuple[str, int | str], Counter] = {}
        latency = Histogram(
            "pncp_source_request_duration_seconds",
            "Time to the end of the portal's answer, or to the error.",
            ["service"],
            buckets=LATENCIES,
            registry=registry,
        )
        self._latency = {service: latency.labels(service) for service in SERVICES}
        retries = counter("pncp_source_retries", "Requests sent again because one before them failed.", "service")
        self._retries = {service: retries.labels(service) for service in SERVICES}
        self._delivered = counter(
            "pncp_delivery_records",
            "Records of deliveries, by what became of them.",
            *("destination", "stream", "verdict"),
        )
        self._delivery_requests = counter(
            "pncp_delivery_requests", "Requests to destinations, by status or kind of error.", "destination", "status"
        )
        self._delivery_latency = Histogram(
            "pncp_delivery_request_duration_seconds",
            "Time to the end of a destination's answer, or to the error.",
            ["destination"],
            buckets=LATENCIES,
            registry=registry,
        )
        self._source_rows = counter(
            "pncp_source_rows",
            "Rows read from databases of others, those that were rejected among them.",
            "source",
            "entity",
        )
        self._taken_in = counter(
            "pncp_import_rows", "Rows of imports, by entity and by what became of them.", "entity", "state"
        )
        self._throttled = counter("pncp_source_throttled", "Answers of 429 that made every ingestor pause.")

    def page_committed(self, counts: PageCounts) -> None:
        """Count a page and its records."""
        self._pages.inc()
        self._processed.inc(counts.processed)
        self._inserted.inc(counts.inserted)
        self._updated.inc(counts.updated)
        self._rejected.inc(counts.rejected)
        self._itens.inc(counts.itens)
        self._last_page.set_to_current_time()

    def slice_ended(self, outcome: Outcome) -> None:
        """Count the end of the work on a slice."""
        self._slices[outcome].inc()

    def delivered(self, destination: str, stream: str, **records: int) -> None:
        """Count records of a delivery: accepted, rejected, unchanged, or split, as they were in a refused request."""
        for verdict, number in records.items():
            if number:
                self._delivered.labels(destination, stream, verdict).inc(number)

    def taken_in(self, entity: str, state: str, rows: int) -> None:
        """Count rows of an import: processed, unchanged, rejected, or pending where they wait for another record."""
        self._taken_in.labels(entity, state).inc(rows)

    def requested(self, destination: str, status: str, seconds: float) -> None:
        """Count a request to a destination: the status of its answer, or the kind of its error."""
        self._delivery_requests.labels(destination, status).inc()
        self._delivery_latency.labels(destination).observe(seconds)

    def source_read(self, source: str, entity: str, rows: int) -> None:
        """Count rows that were read from a database of others."""
        self._source_rows.labels(source, entity).inc(rows)

    # --- calls of the portal's client ---------------------------------------------------------------------------

    def answered(self, service: str, status: int | str, seconds: float) -> None:
        """Count a request to the portal: the status of its answer, or the kind of its error."""
        known = self._known_requests.get((service, status))
        if known is None:
            known = self._known_requests[service, status] = self._requests.labels(service, str(status))
        known.inc()
        self._latency[service].observe(seconds)

    def retried(self, service: str) -> None:
        """Count a request that is sent again."""
        self._retries[service].inc()

    def throttled(self) -> None:
        """Count a 429."""
        self._throttled.inc()


class MetricsServer:
    """Serves the metrics over HTTP, in a thread, while open as a context manager; without a port it does nothing.

    A busy port does not stop the worker: an ingestor that is just ending may still hold it. The error is logged and the
    port tried again; Prometheus notices the missing target. An address that this machine does not have is a
    configuration error.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._registry = registry
        self._host = host
        self._port = port
        self._serving: tuple[WSGIServer, Thread] | None = None
        self._later: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the server, or retry in the background.

        Raises:
            ConfigurationError: this machine has no such address, or we may not have this port.

        """
        if self._port and not await self._open():
            log.error("metrics are not served yet: the port is busy", host=self._host, port=self._port)
            self._later = asyncio.create_task(self._open_later())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._later is not None:
            self._later.cancel()
            await asyncio.wait([self._later])
        if self._serving is not None:
            server, thread = self._serving
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            thread.join()

    async def _open(self) -> bool:
        try:
            # in a thread, because the server looks up its own name
            self._serving = await asyncio.to_thread(start_http_server, self._port, self._host, self._registry)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno in _MISTAKES:
                told = f"cannot listen on {self._host}, port {self._port} ({error.strerror})"
                raise ConfigurationError(f"METRICS_HOST, METRICS_PORT: {told}") from None
            return False
        log.info("metrics are served", host=self._host, port=self._port)
        return True

    async def _open_later(self) -> None:
        while True:
            await asyncio.sleep(OPEN_AGAIN_SECONDS)
            with contextlib.suppress(ConfigurationError):
                if await self._open():
                    return
