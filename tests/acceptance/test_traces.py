"""One trace from a request over its message to slices and pages, at a collector of the test's own; none by default."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import text

from tests.acceptance.conftest import Stack, free_port
from tests.support import ROOT, eventually

encoding = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
GIVEN_TRACE, GIVEN_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
DAY = {"mode": "backfill", "criterio": "publicacao"}


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]


@dataclass
class Collector:
    url: str
    spans: list[Span] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        told = encoding.ExportTraceServiceRequest()
        told.ParseFromString(body)
        for resource in told.resource_spans:
            service = next(
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            )
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        *(service, each.name, each.trace_id.hex(), each.span_id.hex(), each.parent_span_id.hex()),
                        {one.key: one.value.string_value or one.value.int_value for one in each.attributes},
                    )
                    for each in scope.spans
                ]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield collector
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.rabbitmq
async def test_a_request_its_message_its_slices_and_their_pages_are_one_trace(
    stack: Stack, collector: Collector, rabbitmq_url: str, queue_name: str
) -> None:
    stack.settings |= {"RABBITMQ_URL": rabbitmq_url, "QUEUE_NAME": queue_name, "TRACES_URL": collector.url}
    stack.settings |= {"OTEL_BSP_SCHEDULE_DELAY": "100"}
    await stack.start_simulator("--per-day", "60", "--days", "2")
    await stack.start_backend()
    await stack.start_ingestor()
    start, end = await stack.span()
    body = {**DAY, "data_ini": start, "data_fim": end}

    answer = await stack.api.post(
        "/sync/force", json=body, headers={"traceparent": f"00-{GIVEN_TRACE}-{GIVEN_SPAN}-01"}
    )
    execution_id = int(answer.json()["request_id"])
    execution = await stack.finished(execution_id)

    pages = sum(each["pages_done"] for each in await rows(stack, "SELECT pages_done FROM sync_slices"))
    await eventually(lambda: len(collector.named("page")) >= pages > 0 and collector.named("message"))
    (posted,) = collector.named("POST /sync/force")
    assert (posted.service, posted.trace, posted.parent) == ("pncp-backend", GIVEN_TRACE, GIVEN_SPAN)
    assert posted.attributes["http.response.status_code"] == 200
    (received,) = collector.named("message")
    assert (received.service, received.trace, received.parent) == ("pncp-ingestor", GIVEN_TRACE, posted.id)
    slices = collector.named("slice")
    assert {(span.trace, span.parent) for span in slices} == {(GIVEN_TRACE, posted.id)}
    assert {span.attributes["pncp.execution_id"] for span in slices} == {execution_id}
    told = collector.named("page")
    assert {span.parent for span in told} <= {span.id for span in slices}
    assert sum(span.attributes["pncp.records"] for span in told) == execution["records_processed"]
    assert not [span for span in collector.spans if "health" in span.name]
    (row,) = await rows(stack, "SELECT traceparent FROM sync_executions")
    assert row["traceparent"] == f"00-{GIVEN_TRACE}-{posted.id}-01"


async def test_without_a_collector_everything_is_as_it_is_and_what_is_no_trace_begins_one(stack: Stack) -> None:
    stack.settings |= {"RABBITMQ_URL": "", "TRACES_URL": f"http://127.0.0.1:{free_port()}"}
    await stack.start_simulator("--per-day", "20", "--days", "1")
    await stack.start_backend()
    await stack.start_ingestor()
    start, end = await stack.span()

    answer = await stack.api.post(
        "/sync/force", json={**DAY, "data_ini": start, "data_fim": end}, headers={"traceparent": b"00-zz-\xe9-01"}
    )

    assert (await stack.finished(int(answer.json()["request_id"])))["status"] == "success"
    (row,) = await rows(stack, "SELECT traceparent FROM sync_executions")
    assert row["traceparent"].startswith("00-")


async def test_by_default_no_trace_is_kept(stack: Stack) -> None:
    stack.settings |= {"RABBITMQ_URL": ""}
    await stack.start_backend()
    headers = {"traceparent": f"00-{GIVEN_TRACE}-{GIVEN_SPAN}-01"}
    assert (await stack.api.post("/sync/force", json={"mode": "update"}, headers=headers)).is_success
    assert [row["traceparent"] for row in await rows(stack, "SELECT traceparent FROM sync_executions")] == [None]


@pytest.mark.parametrize(
    ("service", "loaded"), [("ingestor.__main__", "opentelemetry"), ("backend.main", "opentelemetry.sdk")]
)
def test_a_service_without_traces_imports_none_of_the_packages(service: str, loaded: str) -> None:
    program = f"import sys, {service}; print([name for name in sys.modules if name.startswith('{loaded}')])"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


async def rows(stack: Stack, statement: str) -> list[Any]:
    async with stack.engine.connect() as db:
        return list((await db.execute(text(statement))).mappings())
