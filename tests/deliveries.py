"""What tests of deliveries share: files of connections, declared records, and destinations that answer as told."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.connections.loading import load_connections
from common.connections.settings import Destination, Stream
from common.lifecycle import deliveries, executions, jobs
from common.lifecycle.deliveries import StreamClaim
from ingestor.delivery.deliver import Tools, deliver_stream, finish_stream
from ingestor.delivery.pace import Pace
from ingestor.delivery.streams import Registered, register
from ingestor.delivery.verdicts import Answer
from ingestor.jobs import Lease
from ingestor.metrics import Metrics

PRODUCTS = """
key: [codigo]
columns:
  codigo: integer
  nome: text
  preco: number
  status: text
"""
DESTINATION = """
kind: http
url: https://crm.example/api
start: all
hold_above: 1000000
concurrency: {concurrency}
timeout: 5
streams:
  - entity: produtos
    path: /produtos
    batch: {{records: {records}, max_bytes: {max_bytes}, wrap: registros}}
    {results}
    fields:
      CODIGO: codigo
      NOME: {{from: nome, trim: true, max: {longest}}}
      PRECO: {{from: preco, decimal: 2, default: "0.00"}}
      STATUS: {{from: status, map: {{A: ATIVO, I: INATIVO}}, else: reject, default: ATIVO}}
      VERSAO: {{meta: version}}
"""
RESULTS = "results: {at: resultados, key: CODIGO, rejected_when: {erro: present}, reason: erro}"


def write_files(
    folder: Path,
    *,
    records: int = 10,
    results: str = RESULTS,
    longest: int = 250,
    concurrency: int = 1,
    max_bytes: int = 5_000_000,
    change: Callable[[str], str] = lambda written: written,
) -> Path:
    """A declared entity and a destination that receives it."""
    for name, written in (
        ("entities/produtos.yaml", PRODUCTS),
        (
            "destinations/crm.yaml",
            change(
                DESTINATION.format(
                    records=records, results=results, longest=longest, concurrency=concurrency, max_bytes=max_bytes
                )
            ),
        ),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written, encoding="utf-8")
    return folder


async def put_products(engine: AsyncEngine, names: Mapping[int, str], **fields: Any) -> None:
    """Write records of the declared entity as its source would: a record that is the same stays as it is."""
    statement = text("""
        INSERT INTO entity_records AS known (entity, key, data)
        SELECT 'produtos', key, CAST(data AS jsonb)
          FROM unnest(CAST(:keys AS text[]), CAST(:data AS text[])) AS given (key, data)
        ON CONFLICT (entity, key) DO UPDATE SET data = excluded.data, updated_at = clock_timestamp()
         WHERE known.data IS DISTINCT FROM excluded.data
    """)
    data = [json.dumps({"codigo": number, "nome": name, **fields}) for number, name in names.items()]
    async with engine.begin() as db:
        await db.execute(statement, {"keys": [str(number) for number in names], "data": data})


@dataclass
class Request:
    """A request as it has arrived."""

    body: bytes
    idempotency_key: UUID
    attempt: int

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its records."""
        found: list[dict[str, Any]] = json.loads(self.body)["registros"]
        return found

    @property
    def codes(self) -> list[int]:
        """The keys of its records."""
        return [record["CODIGO"] for record in self.records]


def accepting(request: Request) -> Answer:
    """An answer that accepts every record, in another order."""
    return answer_of(dict.fromkeys(reversed(request.codes)))


def answer_of(verdicts: Mapping[int, str | None], status: int = 207) -> Answer:
    """An answer with a verdict of each of these records: None, or why it is rejected."""
    entries = [{"CODIGO": code, **({"erro": reason} if reason else {})} for code, reason in verdicts.items()]
    return Answer(status, {}, json.dumps({"resultados": entries}).encode())


@dataclass
class Receiver:
    """A destination: keeps the requests, and answers as it is told. It upserts, unless the key is known to it."""

    answer: Callable[[Request], Answer] = accepting
    requests: list[Request] = field(default_factory=list)
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    before: Callable[[Request], Any] | None = None

    async def send(
        self,
        stream: Stream,  # noqa: ARG002
        body: bytes,
        *,
        idempotency_key: UUID,
        attempt: int,
        message_ids: Sequence[str] = (),  # noqa: ARG002
    ) -> Answer:
        request = Request(body, idempotency_key, attempt)
        self.requests.append(request)
        if self.before is not None:
            waits = self.before(request)
            if asyncio.iscoroutine(waits):
                await waits
        answer = self.answer(request)
        if answer.status is not None and answer.status < 300:
            refused = {
                entry["CODIGO"] for entry in json.loads(answer.body or b"{}").get("resultados", []) if "erro" in entry
            }
            mentioned = {entry["CODIGO"] for entry in json.loads(answer.body or b"{}").get("resultados", [])}
            for record in request.records:
                if record["CODIGO"] not in refused and (record["CODIGO"] in mentioned or not answer.body):
                    self.records[record["CODIGO"]] = record
        return answer

    async def close(self) -> None:
        """There is nothing to close."""


class Desk:
    """Deliveries to the destination `crm` in tests, step by step."""

    def __init__(self, engine: AsyncEngine, folder: Path, receiver: Receiver) -> None:
        self.engine = engine
        self.folder = folder
        self.receiver = receiver
        self.tools = Tools(engine, asyncio.Event(), Metrics(), retry_seconds=0.01)
        self.registered: list[Registered] = []

    @property
    def destination(self) -> Destination:
        """The destination as the files say it now."""
        return load_connections(self.folder).destinations["crm"]

    async def load(self) -> Registered:
        """Register what the files say now."""
        async with self.engine.begin() as db:
            self.registered = await register(db, self.destination)
        return self.registered[0]

    async def ask(self, how: str = "backfill", **options: Any) -> int:
        """Ask for a delivery, and plan it."""
        async with self.engine.begin() as db:
            created = await jobs.create(
                db,
                kind="delivery",
                subject="crm",
                mode=how,
                trigger="api",
                options=options,  # type: ignore[arg-type]
            )
            assert created is not None
            asked = await deliveries.lock_unplanned(db, ["crm"])
            assert asked is not None
            await jobs.plan(db, asked.id, [each.id for each in self.registered])
        return created

    async def claim(self, worker_id: str = "courier", lease_seconds: float = 60) -> StreamClaim | None:
        """The next stream."""
        async with self.engine.begin() as db:
            return await deliveries.claim(db, worker_id, lease_seconds=lease_seconds, destinations=["crm"])

    async def work(self, claim: StreamClaim | None = None, *, receiver: Receiver | None = None) -> bool:
        """Deliver a stream of the running delivery to its end."""
        claim = claim or await self.claim()
        assert claim is not None, "there is nothing to claim"
        registered = next(each for each in self.registered if each.id == claim.stream_id)
        complete = await deliver_stream(
            self.tools, claim, registered, receiver or self.receiver, lease=Lease(1e12), pace=Pace(None)
        )
        if complete:
            async with self.engine.begin() as db:
                assert await finish_stream(db, claim, registered)
            await self.close(claim.execution_id)
        return complete

    async def close(self, execution_id: int) -> None:
        """End a delivery whose streams have ended."""
        async with self.engine.begin() as db:
            await executions.close(db, execution_id)

    async def deliver(self, how: str = "backfill", **options: Any) -> None:
        """A whole delivery."""
        await self.ask(how, **options)
        await self.work()

    async def states(self) -> dict[int, int]:
        """The state of every record in the ledger."""
        async with self.engine.connect() as db:
            return {int(row.key): row.state for row in await db.execute(text("SELECT key, state FROM deliveries"))}


async def run_in(engine: AsyncEngine, statement: str, **parameters: Any) -> None:
    """Run a statement of a test."""
    async with engine.begin() as db:
        await _execute(db, statement, parameters)


async def _execute(db: AsyncConnection, statement: str, parameters: dict[str, Any]) -> None:
    await db.execute(text(statement), parameters)
