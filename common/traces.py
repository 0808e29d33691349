"""Traces by OpenTelemetry where `TRACES_URL` says where to; without it nothing is imported, and a span is nothing.

A trace goes from a request over the message and the execution's row, which carry its `traceparent` (W3C Trace Context),
to the slices and their pages. The packages are the dependency group `traces`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

TRACEPARENT = "traceparent"
"""The header of requests and messages."""
LENGTH = 55
"""Characters of its value."""
Kind = Literal["INTERNAL", "SERVER", "PRODUCER", "CONSUMER"]

_WRITTEN = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_NOTHING: AbstractContextManager[None] = nullcontext()
_tracers: "list[Tracer]" = []
"""The one that spans are made by, while `keep_traces` is open."""


def can_send() -> bool:
    """Whether the packages are installed."""
    try:
        return find_spec("opentelemetry.sdk.trace") is not None and find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:
        return False


@asynccontextmanager
async def keep_traces(url: str | None, service: str) -> AsyncIterator[None]:
    """While open, send spans to the collector at `url` (OTLP over HTTP) as this service; nothing without a URL.

    A thread of their own sends them from a bounded queue: without the collector they are lost, and nothing waits.
    """
    if url is None:
        yield
        return
    provider = _provider(url, service)
    _tracers.append(provider.get_tracer("pncp-sync"))
    try:
        yield
    finally:
        _tracers.clear()
        await asyncio.to_thread(provider.shutdown)


def _provider(url: str, service: str) -> "TracerProvider":
    # optional packages, and a tenth of a second
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def span(
    name: str,
    attributes: Mapping[str, str | int] | None = None,
    *,
    parent: object = None,
    kind: Kind = "INTERNAL",
) -> "AbstractContextManager[Span | None]":
    """A span until the context ends, below `parent` (a `traceparent`), or below the present one.

    What is no `traceparent` begins a new trace where there is no present span.
    """
    if not _tracers:
        return _NOTHING
    from opentelemetry.trace import SpanKind  # noqa: PLC0415  # loaded by now
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    context = None
    if isinstance(parent, str) and _WRITTEN.fullmatch(parent):
        context = TraceContextTextMapPropagator().extract({TRACEPARENT: parent})
    return _tracers[0].start_as_current_span(
        name,
        context=context,
        kind=SpanKind[kind],
        attributes={f"pncp.{key}": value for key, value in (attributes or {}).items()},
        record_exception=False,  # the texts of errors may hold what a record holds
    )


def traceparent() -> str | None:
    """The present span, for a header or a row; `None` where there is none."""
    if not _tracers:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(TRACEPARENT)
