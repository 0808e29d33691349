"""A bridge by configuration alone: four views of an ERP, page by page at half past midnight, to a CRM's API at one."""

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
from tests.sources import Erp, postgresql_erp
from tests.support import ROOT, eventually

EXAMPLES = ROOT / "docs" / "examples" / "connections"
KEYS = {"filiais": "CODFILIAL", "produtos": "CODPRODUTO", "clientes": "CODCLIENTE", "vendas": "CHAVE"}
"""What the CRM calls the records of each; those of later ones also hold keys of earlier ones."""
VIEWS = {
    '"CONSINCO"."VW_FILIAIS"': """SELECT n AS "NROEMPRESA", '  Filial ' || n AS "NOMEREDUZIDO", 'sc' AS "UF",
        to_char(n, 'FM00000000000000') AS "CNPJ" FROM generate_series(1, {each}) n""",
    '"CONSINCO"."VW_PRODUTOS"': """SELECT n AS "SEQPRODUTO", ' Produto ' || n || ' ' AS "TXDESCRICAOREDUZIDA",
        CASE WHEN n % 2 = 0 THEN 'A' ELSE 'I' END AS "STATUS", timestamp '2026-03-01 10:00' AS "DTAALTERACAO",
        CAST(n / 10.0 AS numeric(12, 2)) AS "PRECO" FROM generate_series(1, {each}) n""",
    '"CONSINCO"."VW_CLIENTES"': """SELECT n AS "SEQPESSOA", 'Cliente ' || n AS "NOMERAZAO",
        to_char(n, 'FM000,000,000') AS "NROCGCCPF", 'c' || n || '@example.com' AS "EMAIL",
        timestamp '2026-03-01 10:00' AS "DTAALTERACAO" FROM generate_series(1, {each}) n""",
    "consinco.vw_vendas": """SELECT n AS numerodf, '1' AS seriedf, 1 + n % 9 AS nroempresa, n AS seqpessoa,
        date '2026-03-01' AS dtavda, CAST(n / 4.0 AS numeric(12, 2)) AS vlrtotal, 'V' AS statusdf,
        jsonb_build_array(jsonb_build_object('seqproduto', n, 'quantidade', 2, 'preco', 1.25)) AS itens
        FROM generate_series(1, {each}) n""",
}
"""The views of the example, as tables with the keys that those behind views have."""
MIB = 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "connections"
    for kind, names in (("entities", [*KEYS]), ("sources", ["consinco"]), ("destinations", ["plusoft"])):
        (made / kind).mkdir(parents=True)
        for name in names:
            (made / kind / f"{name}.yaml").write_text((EXAMPLES / kind / f"{name}.yaml").read_text(encoding="utf-8"))
    return made


def point(folder: Path, port: int, cron: str) -> None:
    """The examples as they are, but for where the CRM is and when the night begins."""
    path = folder / "destinations" / "plusoft.yaml"
    before, _, after = path.read_text(encoding="utf-8").partition("auth:\n")
    after = after[after.index("schedule:") :]
    written = (before + after).replace("https://plusoft.example.com.br/api/carga", f"http://127.0.0.1:{port}/records")
    written = written.replace("hold_above: 200000", "hold_above: 500000")
    path.write_text(written.replace('"0 1 * * *"', f'"{cron}"') + "allow_http: true\ntimeout: 2\n", encoding="utf-8")
    path = folder / "sources" / "consinco.yaml"
    written = path.read_text(encoding="utf-8").replace('"30 0 * * *"', f'"{cron}"')
    path.write_text(written.replace('delta: "*/15 6-22 * * *"\n', ""), encoding="utf-8")


def fill(erp: Erp, each: int) -> None:
    """Make what the example reads."""
    keys = {
        "filiais": '"NROEMPRESA"',
        "produtos": '"SEQPRODUTO"',
        "clientes": '"SEQPESSOA"',
        "vendas": "numerodf, seriedf",
    }
    erp.run('CREATE SCHEMA "CONSINCO"', "CREATE SCHEMA consinco")
    for (view, select), (name, key) in zip(VIEWS.items(), keys.items(), strict=True):
        table = f"{view.partition('.')[0]}.{name}"
        erp.run(f"CREATE TABLE {table} AS {select.format(each=each)}", f"CREATE UNIQUE INDEX ON {table} ({key})")
        erp.run(f"CREATE VIEW {view} AS SELECT * FROM {table}")


async def start_receiver(stack: Stack, *options: str) -> tuple[Process, int]:
    receiver = stack.start("receiver", "-m", "simulator.receiver", "--port", "0", *options)
    await eventually(lambda: "ready on http://" in receiver.text, seconds=30)
    return receiver, int(receiver.text.partition("ready on http://")[2].split("/")[0].rpartition(":")[2])


async def start_courier(stack: Stack, folder: Path, erp: Erp) -> Process:
    courier = stack.start(
        "courier",
        "-m",
        "ingestor",
        WORKER_KINDS="delivery,intake",
        CONNECTIONS_DIR=str(folder),
        DELIVERY_ALLOW_LOOPBACK="true",
        DELIVERY_RETRY_SECONDS="0.1",
        LEASE_SECONDS="4",
        SCHEDULE_ENABLED="true",
        CONSINCO_URL=erp.url,
    )
    await eventually(lambda: courier.text.count("worker started") > 1, seconds=30)
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


@pytest.fixture
def erp(server_url: str) -> Iterator[Erp]:
    with postgresql_erp(server_url) as erp:
        yield erp


async def stored(stack: Stack) -> int:
    """Records of the ERP that are here."""
    async with stack.engine.connect() as db:
        found: int = (await db.execute(text("SELECT count(*) FROM entity_records"))).scalar_one()
    return found


async def has_read(stack: Stack) -> bool:
    async with stack.engine.connect() as db:
        found = (
            await db.execute(text("SELECT status, error_message FROM sync_executions WHERE kind = 'intake'"))
        ).all()
    assert all(row.status != "error" for row in found), found
    return [row.status for row in found] == ["success"]


async def half_an_hour_passes(stack: Stack) -> None:
    """The delivery is due."""
    async with stack.engine.begin() as db:
        moment: datetime = (await db.execute(text("SELECT now()"))).scalar_one()
        at = moment.astimezone(BRASILIA) - timedelta(minutes=1)
        due = text("""
            INSERT INTO schedules (name, cron, effective_at) VALUES ('deliver:plusoft', :cron, '2020-01-01')
            ON CONFLICT (name) DO UPDATE SET cron = :cron, effective_at = '2020-01-01'
        """)
        await db.execute(due, {"cron": f"{at.minute} {at.hour} * * *"})


SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("each", [10_000, pytest.param(100_000, marks=SLOW)])
async def test_four_entities_of_an_erp_reach_a_crm_at_night_whole_and_once(
    stack: Stack, folder: Path, erp: Erp, each: int
) -> None:
    """Workers are killed while they read and deliver, some answers are lost, and some records are refused."""
    seconds = 120 + each / 200
    fill(erp, each)
    _, port = await start_receiver(
        stack,
        "--results",
        "207",
        "--max-records",
        str(8 * each),
        "--faults",
        f"error_before=0.05,error_after=0.05,bad={10 / each}",
        *(word for key in reversed(KEYS.values()) for word in ("--key", key)),
    )
    async with stack.engine.begin() as db:
        await db.execute(text("INSERT INTO schedules (name, effective_at) VALUES ('extract:consinco', '2020-01-01')"))
        moment: datetime = (await db.execute(text("SELECT now()"))).scalar_one()
    then = moment.astimezone(BRASILIA) - timedelta(minutes=1)
    point(folder, port, f"{then.minute} {then.hour} * * *")

    first = await start_courier(stack, folder, erp)
    for share in (0.5, 1.5, 2.5, 3.5):  # of each of the four
        await eventually(lambda share=share: _has_stored(stack, int(share * each)), seconds=seconds)  # type: ignore[misc]
        first.send(signal.SIGKILL)
        await first.ended()
        first = await start_courier(stack, folder, erp)
    await eventually(lambda: has_read(stack), seconds=seconds)
    assert peak_kib(first) < 150 * MIB, "memory grows with the rows"
    assert await stored(stack) == 4 * each
    await _check_records(stack, each)

    await half_an_hour_passes(stack)
    await eventually(lambda: _is_beyond(port, 5 * each // 2), seconds=seconds)
    early = peak_kib(first)
    await eventually(lambda: _is_beyond(port, 7 * each // 2), seconds=seconds)
    # up to 50,000 keys of a stream are held at once, whatever it owes
    assert peak_kib(first) < early + 48 * MIB, "memory grows with the records"
    first.send(signal.SIGKILL)
    await first.ended()
    await start_courier(stack, folder, erp)

    async def has_ended() -> bool:
        async with stack.engine.connect() as db:
            status = (await db.execute(text("SELECT status FROM sync_executions WHERE kind = 'delivery'"))).scalars()
            assert not (
                await db.execute(text("SELECT count(*) FROM sync_executions WHERE held IS NOT NULL"))
            ).scalar_one()
            return list(status) == ["success"]

    await eventually(has_ended, seconds=seconds)
    async with stack.engine.connect() as db:
        rejected = (await db.execute(text("SELECT key FROM deliveries WHERE state = 3"))).scalars().all()
        run = (await db.execute(text("SELECT * FROM sync_executions WHERE kind = 'delivery'"))).one()
    streams = load_connections(folder).destinations["plusoft"].streams
    assert [stream.name for stream in streams] == [*KEYS]
    refused = 0
    for stream in streams:
        state = await state_of(port, stream.name)
        wanted = await wanted_of(stack, stream)
        assert len(wanted) == each
        arrived = state["records"]
        missing = set(wanted) - set(arrived)
        assert not set(arrived) - set(wanted)
        assert {key: kept["record"] for key, kept in arrived.items()} == {
            key: json.loads(wanted[key]) for key in arrived
        }
        assert (state["duplicates"], state["backwards"]) == (0, 0)
        refused += len(missing)
    assert refused == len(rejected)
    assert 0 < refused < 120, "some are refused by the CRM, and only those"
    assert (run.trigger, run.status, run.records_rejected) == ("schedule", "success", refused)
    assert run.records_processed == 4 * each - refused


async def _is_beyond(port: int, number: int) -> bool:
    return sum((await received(port)).values()) > number


async def _has_stored(stack: Stack, number: int) -> bool:
    return await stored(stack) > number


async def _check_records(stack: Stack, each: int) -> None:
    """What the ERP has is here, once, and whole."""
    checks = {
        "filiais": "sum((data ->> 'nroempresa')::int)",
        "produtos": "sum((data ->> 'preco')::numeric)",
        "clientes": "sum((data ->> 'seqpessoa')::int)",
        "vendas": "sum((data #>> '{itens,0,seqproduto}')::int)",
    }
    whole = each * (each + 1) // 2
    async with stack.engine.connect() as db:
        for entity, total in checks.items():
            row = (
                await db.exec_driver_sql(
                    f"SELECT count(*) AS number, {total} AS total FROM entity_records"
                    f" WHERE entity = '{entity}' AND source = 'consinco' AND removed_at IS NULL"
                )
            ).one()
            assert (row.number, row.total) == (each, whole / 10 if entity == "produtos" else whole)
