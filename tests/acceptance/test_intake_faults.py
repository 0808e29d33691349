"""Intake with real processes: what is answered is stored, whatever is killed, down, doubled or left behind."""

import asyncio
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import httpx
import pytest
from sqlalchemy import text

from common.messages import ImportAnnounced, encode_import
from tests.acceptance.conftest import Stack
from tests.support import eventually

HEAD = b"codigo;descricao;preco\n"


def sheet(rows: int, mark: str = "") -> bytes:
    return HEAD + b"".join(f"{mark}{row};produto {row};{row},50\n".encode() for row in range(rows))


async def value(stack: Stack, statement: str) -> Any:
    async with stack.engine.connect() as db:
        return (await db.execute(text(statement))).scalar_one()


async def start_worker(stack: Stack, **settings: str) -> Any:
    worker = stack.start("worker", "-m", "ingestor", WORKER_KINDS="intake", **settings)
    await eventually(lambda: "worker started" in worker.text or worker.popen.poll() is not None, seconds=30)
    assert worker.popen.poll() is None, worker.text
    return worker


async def ended(stack: Stack, import_id: int, seconds: float = 60) -> dict[str, Any]:
    async def is_over() -> bool:
        return bool((await stack.api.get(f"/imports/{import_id}")).json()["ended_at"])

    await eventually(is_over, seconds=seconds, every=0.1)
    return dict((await stack.api.get(f"/imports/{import_id}")).json())


def adds_up(shown: dict[str, Any]) -> bool:
    parts = ("pending", "processed", "unchanged", "rejected")
    return bool(shown["rows"] == sum(shown[name] for name in parts))


async def test_records_and_files_become_records_and_their_rows_add_up(stack: Stack) -> None:
    await stack.start_backend()
    await start_worker(stack)
    pushed = await stack.api.post("/intake/produtos", json=[{"codigo": "a", "descricao": "x"}, {"codigo": "b"}])
    shown = await ended(stack, pushed.json()["import_id"])
    assert (shown["state"], shown["processed"], shown["rejected"], adds_up(shown)) == ("done", 1, 1, True)
    upload = await stack.api.put("/intake/produtos/arquivo?nome=p.csv&confirmar=sim", content=sheet(3000))
    import_id = upload.json()["import_id"]

    async def is_held() -> bool:
        return bool((await stack.api.get(f"/imports/{import_id}")).json()["phase"] == "held")

    await eventually(is_held, seconds=30)
    preview = (await stack.api.get(f"/imports/{import_id}")).json()["preview"]
    assert (preview[0]["create"], preview[0]["unknown"]) == (3000, 0)
    assert (await stack.api.post(f"/imports/{import_id}/confirm")).status_code == httpx.codes.OK
    shown = await ended(stack, import_id)
    assert (shown["state"], shown["created"], adds_up(shown)) == ("done", 3000, True)
    assert await value(stack, "SELECT count(*) FROM entity_records") == 3001


async def test_a_backend_that_is_killed_in_the_middle_of_an_upload_leaves_nothing_that_looks_like_an_import(
    stack: Stack,
) -> None:
    backend = await stack.start_backend()
    parts = urlsplit(str(stack.api.base_url))
    content = sheet(200_000)
    head = f"PUT /intake/produtos/arquivo?nome=p.csv HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"

    def send_half() -> socket.socket:
        connection = socket.create_connection((parts.hostname or "", parts.port or 0))
        connection.sendall(head.encode() + content[: len(content) // 2])
        return connection

    connection = await asyncio.to_thread(send_half)

    async def has_parts() -> bool:
        return bool(await value(stack, "SELECT count(*) FROM import_files"))

    await eventually(has_parts)
    backend.popen.kill()
    await backend.ended()
    connection.close()
    assert await value(stack, "SELECT array_agg(state) FROM imports") == ["receiving"]
    assert await value(stack, "SELECT count(*) FROM sync_executions") == 0
    await stack.start_backend()
    await start_worker(stack)
    again = await stack.api.put("/intake/produtos/arquivo?nome=p.csv&confirmar=nao", content=sheet(100))
    shown = await ended(stack, again.json()["import_id"])
    assert (shown["state"], shown["created"]) == ("done", 100)


@pytest.mark.rabbitmq
async def test_with_the_broker_down_a_message_doubled_or_lost_every_row_is_processed_once(
    stack: Stack, rabbitmq_url: str, queue_name: str
) -> None:
    with_broker = {"RABBITMQ_URL": rabbitmq_url, "INTAKE_QUEUE": queue_name}
    await stack.start_backend(RABBITMQ_URL="amqp://guest:guest@127.0.0.1:1/", INTAKE_QUEUE=queue_name)
    body = [{"codigo": str(number), "descricao": "x"} for number in range(1000)]
    down = await stack.api.post("/intake/produtos", json=body)
    assert down.status_code == httpx.codes.ACCEPTED, "the rows are committed, whatever the broker does"
    await stack.start_backend(**with_broker)
    purged = await stack.api.post("/intake/produtos", json=[{**one, "codigo": f"p{one['codigo']}"} for one in body])
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection, connection.channel() as channel:
        queue = await channel.get_queue(queue_name)
        await queue.purge()
        for _ in range(5):
            for import_id in (down.json()["import_id"], purged.json()["import_id"]):
                announced = ImportAnnounced(import_id, "produtos", (1, 500))
                message = aio_pika.Message(encode_import(announced), message_id=announced.message_id)
                await channel.default_exchange.publish(message, routing_key=queue_name)
        await channel.default_exchange.publish(aio_pika.Message(b"rubbish"), routing_key=queue_name)
        await start_worker(stack, **with_broker)
        for answer in (down, purged):
            shown = await ended(stack, answer.json()["import_id"])
            assert (shown["processed"], shown["created"], adds_up(shown)) == (1000, 1000, True)
        live = await stack.api.post("/intake/produtos", json=body)
        assert (await ended(stack, live.json()["import_id"]))["unchanged"] == 1000

        async def is_drained() -> bool:
            return (await channel.declare_queue(queue_name, durable=True)).declaration_result.message_count == 0

        await eventually(is_drained)
        dead = await channel.get_queue(f"{queue_name}.dead")
        letter = await dead.get(no_ack=True)
        assert letter is not None
        assert (letter.body, letter.headers["reason"]) == (b"rubbish", "the body is not JSON")
    assert await value(stack, "SELECT count(*) FROM entity_records") == 2000


async def test_a_row_that_refers_to_what_comes_later_waits_for_it(stack: Stack) -> None:
    await stack.start_backend()
    await start_worker(stack)
    purchase = {"numero": "1", "orgao_cnpj": "00394460000141", "fornecedor": "00394460000141"}
    waiting = await stack.api.post("/intake/compras", json=purchase)
    shown = await ended(stack, waiting.json()["import_id"])
    assert (shown["state"], shown["pending"], shown["preview"][0]["waiting"]) == ("done", 1, 1)
    rows = (await stack.api.get(f"/imports/{shown['id']}/rows?state=pending")).json()["rows"]
    assert rows[0]["waits_for"] == {"entity": "fornecedores_proprios", "key": "00394460000141"}
    supplier = {"documento": "00394460000141", "nome": "Fazenda"}
    await stack.api.put("/entities/fornecedores_proprios/records/00394460000141", json=supplier)

    async def is_stored() -> bool:
        return bool((await stack.api.get(f"/imports/{shown['id']}")).json()["processed"] == 1)

    await eventually(is_stored, seconds=60, every=0.2)
    refused = await stack.api.delete("/entities/fornecedores_proprios/records/00394460000141")
    assert refused.json()["code"] == "record_referred"


async def test_files_of_a_folder_are_imported_once_by_workers_that_are_killed_again_and_again(
    stack: Stack, tmp_path: Path
) -> None:
    await stack.start_backend()
    watched = tmp_path / "watched"
    home = watched / "produtos"
    home.mkdir(parents=True)
    for number in range(6):
        (home / f"{number}.csv").write_bytes(sheet(400, f"{number}-"))
    (home / "again.csv").write_bytes(sheet(400, "0-"))
    settings = {"INTAKE_DIR": str(watched), "LEASE_SECONDS": "4"}
    for _ in range(3):
        dying = await start_worker(stack, **settings)
        seen = dying.text.count("import accepted")
        await eventually(lambda dying=dying, seen=seen: dying.text.count("import accepted") > seen, seconds=30)
        dying.popen.kill()
        await dying.ended()
        (home / f"new-{_}.csv").write_bytes(sheet(100, f"n{_}-"))
    for _ in range(2):
        await start_worker(stack, **settings)

    def has_moved() -> bool:
        return len(list(home.glob("feitos/*/*.csv"))) == 10

    await eventually(has_moved, seconds=120, every=0.2)
    assert [path.name for path in home.glob("feitos/*/*.nota.txt")]
    assert await value(stack, "SELECT count(*) FROM imports WHERE state = 'done'") == 9
    assert await value(stack, "SELECT count(*) FROM entity_records") == 6 * 400 + 3 * 100
    assert await value(stack, "SELECT sum(created) FROM imports") == 6 * 400 + 3 * 100
