"""Prometheus metrics of this process; those from the database are in services/figures.py."""

from collections.abc import Iterable, Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from backend.services.exports.formats import FORMATS

CONTENT_TYPE = CONTENT_TYPE_LATEST
NOWHERE = "(unknown)"
OTHER_METHOD = "(other)"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
EXPORT_OUTCOMES = ("pronta", "erro", "cancelada", "interrompida")
LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        # omit the _created series beside each metric
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self._registry = CollectorRegistry()
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=registry)
        self._requests = Counter(
            "pncp_http_requests",
            "Requests answered, by the route's template and the class of the status.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._latency = Histogram(
            "pncp_http_request_duration_seconds",
            "Time to the end of the answer.",
            ["route", "method"],
            buckets=LATENCIES,
            registry=registry,
        )
        publishes = Counter(
            "pncp_publishes", "Messages published: confirmed by the broker, or not.", ["outcome"], registry=registry
        )
        self._publishes = {
            confirmed: publishes.labels(name) for confirmed, name in ((True, "confirmed"), (False, "failed"))
        }
        self._validation_errors = Counter(
            "pncp_validation_errors",
            "Faults of requests that were refused, by their type.",
            ["type"],
            registry=registry,
        )
        self.failed_logins = Counter("pncp_failed_logins", "Wrong names or passwords.", registry=registry)
        self.refused_tokens = Counter("pncp_refused_tokens", "Tokens that were not valid.", registry=registry)
        self._limit_hits = Counter(
            "pncp_limit_hits", "Requests refused because of a limit.", ["limit"], registry=registry
        )

        self._import_rows = Counter(
            "pncp_import_rows",
            "Rows that were pushed and not accepted; the worker counts what becomes of the others.",
            ["entity", "state"],
            registry=registry,
        )
        self._exports = Counter(
            "pncp_exports",
            "Export jobs that this process has left, by format and how.",
            ["format", "outcome"],
            registry=registry,
        )
        for name in FORMATS:
            for outcome in EXPORT_OUTCOMES:
                self._exports.labels(name, outcome)
        self._saved_searches = Counter(
            "pncp_saved_search_messages",
            "Messages of saved searches that this process has sent, or tried to, by channel.",
            ["channel", "outcome"],
            registry=registry,
        )
        for name in ("email", "webhook"):
            for outcome in ("delivered", "failed"):
                self._saved_searches.labels(name, outcome)
        self._export_rows = Counter("pncp_export_rows", "Rows of finished exports.", registry=registry)
        self._export_bytes = Counter("pncp_export_bytes", "Bytes of finished exports.", registry=registry)

    def answered(self, route: str, method: str, status: int | None, seconds: float) -> None:
        """Count a request; `status` is absent where the connection or the process ended before the answer."""
        method = method if method in METHODS else OTHER_METHOD
        self._requests.labels(route, method, f"{status // 100}xx" if status else "none").inc()
        self._latency.labels(route, method).observe(seconds)

    def published(self, *, confirmed: bool) -> None:
        """Count a published message by its outcome."""
        self._publishes[confirmed].inc()

    def invalid(self, kinds: Iterable[str]) -> None:
        """Count a request's validation errors."""
        for kind in kinds:
            self._validation_errors.labels(kind).inc()

    def import_row_rejected(self, entity: str) -> None:
        """Count a pushed row that was not accepted; `entity`: of a declared one, or a layout."""
        self._import_rows.labels(entity, "rejected").inc()

    def export_ended(self, file_format: str, outcome: str) -> None:
        """Count an export job that this process has left."""
        self._exports.labels(file_format, outcome).inc()

    def exported(self, *, rows: int, size: int) -> None:
        """Count the rows and bytes of a finished export."""
        self._export_rows.inc(rows)
        self._export_bytes.inc(size)

    def saved_search_sent(self, channel: str, *, delivered: bool) -> None:
        """Count a message of a saved search by its outcome."""
        self._saved_searches.labels(channel, "delivered" if delivered else "failed").inc()

    def limit_hit(self, limit: str) -> None:
        """Count a request over a rate limit."""
        self._limit_hits.labels(limit.replace(" ", "_")).inc()

    def render(self, others: Sequence[Metric]) -> bytes:
        """All metrics in Prometheus' text format, with `others` added."""
        return generate_latest(self._registry) + generate_latest(_registry_of(others))


class _Ready:
    """A collector of metrics that were computed beforehand."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Sequence[Metric]:
        return self._metrics


def _registry_of(metrics: Sequence[Metric]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Ready(metrics))
    return registry


def template_of(asked: Scope, routed: Scope, routes: Sequence[BaseRoute]) -> str:
    """The route's path template: text of the caller must not become a label.

    Called after the request. The route is looked up where the gate refused the request or a mount served it.
    """
    route = routed.get("route")
    if route is None:
        route = next((one for one in routes if one.matches(asked)[0] is not Match.NONE), None)
    return str(getattr(route, "path", NOWHERE))
