"""A bridge by configuration alone: four declared entities of an ERP, in batches of 1,000, to a CRM's API at night."""

import json
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from common.clock import BRASILIA
from common.connections.loading import load_connections
from common.connections.settings import Stream
from tests.acceptance.conftest import Process, Stack
from tests.support import ROOT, eventually

EXAMPLES = ROOT / "docs" / "examples" / "connections"
EACH = 25_000
KEYS = {"filiais": "CODFILIAL", "produtos": "CODPRODUTO", "clientes": "CODCLIENTE", "vendas": "CHAVE"}
"""What the CRM calls the records of each; those of later ones also hold keys of earlier ones."""
ROWS = {
    "filiais": """n::text, jsonb_build_object('nroempresa', n, 'nomereduzido', '  Filial ' || n, 'uf', 'sc',
                  'cnpj', to_char(n, 'FM00000000000000'))""",
    "produtos": """n::text, jsonb_build_object('seqproduto', n, 'txdescricaoreduzida', ' Produto ' || n || ' ',
                   'status', CASE WHEN n % 2 = 0 THEN 'A' ELSE 'I' END, 'preco', n / 10.0,
                   'dtaalteracao', '2026-03-01T10:00:00')""",
    "clientes": """n::text, jsonb_build_object('seqpessoa', n, 'nomerazao', 'Cliente ' || n,
                   'nrocgccpf', to_char(n, 'FM000,000,000'), 'email', 'c' || n || '@example.com')""",
    "vendas": """n || '/1', jsonb_build_object('numerodf', n, 'seriedf', '1', 'nroempresa', 1 + n % 9, 'seqpessoa', n,
                 'dtavda', '2026-03-01', 'valor', n / 4.0, 'itens',
                 jsonb_build_array(jsonb_build_object('seqproduto', n, 'quantidade', 2, 'preco', 1.25)))""",
}
FILL = "INSERT INTO entity_records (entity, key, data) SELECT '{entity}', {row} FROM generate_series(1, {count}) n"
MIB = 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "connections"
    for kind, names in (("entities", [*KEYS]), ("destinations", ["plusoft"])):
        (made / kind).mkdir(parents=True)
        for name in names:
            (made / kind / f"{name}.yaml").write_text((EXAMPLES / kind / f"{name}.yaml").read_text(encoding="utf-8"))
    return made


def point(folder: Path, port: int, cron: str) -> None:
    """The example as it is, but for where the CRM is and when its night begins."""
    path = folder / "destinations" / "plusoft.yaml"
    before, _, after = path.read_text(encoding="utf-8").partition("auth:\n")
    after = after[after.index("schedule:") :]
    written = (before + after).replace("https://plusoft.example.com.br/api/carga", f"http://127.0.0.1:{port}/records")
    path.write_text(written.replace('"0 1 * * *"', f'"{cron}"') + "allow_http: true\ntimeout: 2\n", encoding="utf-8")


async def fill(stack: Stack) -> None:
    async with stack.engine.begin() as db:
        for entity, row in ROWS.items():
            await db.execute(text(FILL.format(entity=entity, row=row.replace(":", r"\:"), count=EACH)))


async def start_receiver(stack: Stack, *options: str) -> tuple[Process, int]:
    receiver = stack.start("receiver", "-m", "simulator.receiver", "--port", "0", *options)
    await eventually(lambda: "ready on http://" in receiver.text, seconds=30)
    return receiver, int(receiver.text.partition("ready on http://")[2].split("/")[0].rpartition(":")[2])


async def start_courier(stack: Stack, folder: Path) -> Process:
    courier = stack.start(
        "courier",
        "-m",
        "ingestor",
        WORKER_KINDS="delivery",
        CONNECTIONS_DIR=str(folder),
        DELIVERY_ALLOW_LOOPBACK="true",
        DELIVERY_RETRY_SECONDS="0.1",
        LEASE_SECONDS="4",
        SCHEDULE_ENABLED="true",
    )
    await eventually(lambda: "worker started" in courier.text, seconds=30)
    return courier


def peak_kib(process: Process) -> int:
    """The most memory that a process has held."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


async def received(port: int) -> dict[str, int]:
    async with httpx.AsyncClient(trust_env=False) as client:
        counts = (await client.get(f"http://127.0.0.1:{port}/_state")).json()
    return {name: box["records"] for name, box in counts["boxes"].items()}


async def state_of(port: int, name: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        state: dict[str, Any] = (await client.get(f"http://127.0.0.1:{port}/_state/{name}")).json()
    return state


def rendered(stream: Stream, rows: Iterator[Any]) -> dict[str, bytes]:
    """Every record of a stream as it has to arrive, by what the CRM calls it."""
    contents = (stream.rendering.render(row[2:], row[0], row[1]) for row in rows)
    return {str(each.echo): each.content for each in contents}


async def wanted_of(stack: Stack, stream: Stream) -> dict[str, bytes]:
    entity = stream.entity
    columns = ", ".join((entity.key_sql, entity.version, *(entity.columns[c].sql for c in stream.rendering.columns)))
    async with stack.engine.connect() as db:
        rows = await db.exec_driver_sql(f"SELECT {columns} FROM {entity.source} WHERE {entity.condition}")
        return rendered(stream, iter([tuple(row) for row in rows]))


async def test_four_entities_of_an_erp_reach_a_crm_at_night_whole_and_once(stack: Stack, folder: Path) -> None:
    """100,000 records; a worker is killed halfway, some answers are lost, and some records are refused."""
    await fill(stack)
    _, port = await start_receiver(
        stack,
        "--results",
        "207",
        "--max-records",
        "200000",
        "--faults",
        "error_before=0.05,error_after=0.05,bad=0.0002",
        *(word for key in reversed(KEYS.values()) for word in ("--key", key)),
    )
    async with stack.engine.begin() as db:
        await db.execute(text("INSERT INTO schedules (name, effective_at) VALUES ('deliver:plusoft', '2020-01-01')"))
        moment: datetime = (await db.execute(text("SELECT now()"))).scalar_one()
    then = moment.astimezone(BRASILIA) - timedelta(minutes=1)
    point(folder, port, f"{then.minute} {then.hour} * * *")

    first = await start_courier(stack, folder)
    await eventually(lambda: _is_beyond(port, EACH // 2), seconds=120)
    early = peak_kib(first)
    await eventually(lambda: _is_beyond(port, 2 * EACH), seconds=120)
    assert peak_kib(first) < early + 16 * MIB, "memory grows with the records"
    first.send(signal.SIGKILL)
    await first.ended()
    await start_courier(stack, folder)

    async def has_ended() -> bool:
        async with stack.engine.connect() as db:
            status = (await db.execute(text("SELECT status FROM sync_executions WHERE kind = 'delivery'"))).scalars()
            assert not (
                await db.execute(text("SELECT count(*) FROM sync_executions WHERE held IS NOT NULL"))
            ).scalar_one()
            return list(status) == ["success"]

    await eventually(has_ended, seconds=120)
    async with stack.engine.connect() as db:
        rejected = (await db.execute(text("SELECT key FROM deliveries WHERE state = 3"))).scalars().all()
        run = (await db.execute(text("SELECT * FROM sync_executions WHERE kind = 'delivery'"))).one()
    streams = load_connections(folder).destinations["plusoft"].streams
    assert [stream.name for stream in streams] == [*KEYS]
    refused = 0
    for stream in streams:
        state = await state_of(port, stream.name)
        wanted = await wanted_of(stack, stream)
        assert len(wanted) == EACH
        arrived = state["records"]
        missing = set(wanted) - set(arrived)
        assert not set(arrived) - set(wanted)
        assert {key: kept["record"] for key, kept in arrived.items()} == {
            key: json.loads(wanted[key]) for key in arrived
        }
        assert (state["duplicates"], state["backwards"]) == (0, 0)
        refused += len(missing)
    assert refused == len(rejected)
    assert 0 < refused < 100, "some are refused by the CRM, and only those"
    assert (run.trigger, run.status, run.records_rejected) == ("schedule", "success", refused)
    assert run.records_processed == 4 * EACH - refused


async def _is_beyond(port: int, number: int) -> bool:
    return sum((await received(port)).values()) > number
