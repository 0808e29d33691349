"""A sheet of sales, left in a folder and pushed as JSON, becomes customers, products and purchases, whatever dies."""

import io
import json
import shutil
import signal
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika
import pypdf
import pytest
from openpyxl import load_workbook
from sqlalchemy import text

from simulator.generated import generate
from standalone.courier import EXAMPLES
from standalone.purchases import plan, rows_of, write_sheet
from tests.acceptance.conftest import Process, Stack
from tests.support import eventually

LAST = date(2026, 11, 20)
ADDRESSES = {
    "clientes": "clientes",
    "produtos": "produtos",
    "compras": "compras",
    "itens_vendidos": "itens-vendidos",
}
"""Where the entities are listed that the layout makes of a row, by their names."""
MANY = 20_000


@pytest.fixture(scope="module")
def sales() -> list[dict[str, Any]]:
    """The rows of the demonstration's sheet."""
    now = datetime(2026, 11, 20, 12, 0, 0)
    world = generate(1, LAST - timedelta(days=9), LAST, 60, now=lambda: now)
    records = [world.inventor.record(each) for each in world.contratacoes.records.values()]
    return rows_of(plan(records, LAST)[1])


class Shop:
    """The product with the demonstration's layout, a folder that is watched, and a backend."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.inbox = folder / "entradas" / "vendas"
        self.inbox.mkdir(parents=True)
        for kind in ("entities", "layouts"):
            shutil.copytree(EXAMPLES / kind, folder / "connections" / kind)
        stack.settings |= {
            "CONNECTIONS_DIR": str(folder / "connections"),
            "INTAKE_DIR": str(self.inbox.parent),
            "WORKER_KINDS": "intake",
            "LEASE_SECONDS": "4",
        }

    async def worker(self, **settings: str) -> Process:
        return await self.stack.start_ingestor(**settings)

    def drop(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Leave a sheet in the folder, under its name when it is whole."""
        write_sheet(self.inbox / f"{name}.part", rows)
        (self.inbox / f"{name}.part").rename(self.inbox / name)

    async def push(self, address: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        content = json.dumps(rows, default=str)
        answer = await self.stack.api.post(
            f"/intake/{address}", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 202, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def get(self, path: str, **parameters: Any) -> Any:
        answer = await self.stack.api.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def imports(self) -> list[dict[str, Any]]:
        """All imports, the first one first."""
        found: list[dict[str, Any]] = (await self.get("/imports"))["imports"]
        return found[::-1]

    async def has_ended(self, count: int, seconds: float = 60) -> list[dict[str, Any]]:
        """The imports, once there are so many, and all have ended."""

        async def ended() -> bool:
            states = [each["state"] for each in await self.imports()]
            return len(states) == count and set(states) <= {"done", "refused", "discarded"}

        await eventually(ended, seconds=seconds, every=0.2)
        return await self.imports()

    async def has_moved(self, *names: str) -> None:
        """Until files have left the folder for that of the day; then nothing of them is left behind."""

        def moved() -> bool:
            return {path.name for path in self.inbox.glob("feitos/*/*")} == set(names)

        await eventually(moved, seconds=40, every=0.2)
        assert [path for path in self.inbox.iterdir() if path.is_file()] == []

    async def keys(self) -> dict[str, set[str]]:
        """The keys of the records of each entity, as the lists show them."""
        found = {}
        for entity, address in ADDRESSES.items():
            listed = await self.get(f"/{address}", limite=500)
            found[entity] = {row["chave"] for row in listed["registros"]}
            assert len(found[entity]) == listed["total"]
        return found

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.stack.engine.connect() as db:
            return [tuple(row) for row in await db.execute(text(statement))]


@pytest.fixture
def shop(stack: Stack, tmp_path: Path) -> Shop:
    return Shop(stack, tmp_path)


def keys_of(rows: Sequence[dict[str, Any]]) -> dict[str, set[str]]:
    """The keys of what rows of sales become."""
    return {
        "clientes": {row["CNPJ do cliente"] for row in rows},
        "produtos": {row["Código do produto"] for row in rows},
        "compras": {row["Nota"] for row in rows},
        "itens_vendidos": {f"{row['Nota']}/{row['Item']}" for row in rows},
    }


async def test_a_sheet_and_the_same_rows_as_json_become_records_that_refer_to_each_other(
    shop: Shop, sales: list[dict[str, Any]]
) -> None:
    await shop.stack.start_backend()
    await shop.worker()
    shop.drop("vendas.xlsx", sales)
    (first,) = await shop.has_ended(1)
    assert (first["state"], first["door"], first["rejected"], first["pending"]) == ("done", "folder", 0, 0)
    await shop.has_moved("vendas.xlsx")
    assert await shop.keys() == keys_of(sales)

    # what the rows say is what the lists show, and the references are the database's own
    bought = {row["chave"]: row for row in (await shop.get("/compras", limite=500))["registros"]}
    for row in sales:
        known = bought[row["Nota"]]
        assert known["valor_homologado"] == pytest.approx(row["Valor da compra"], abs=0.005)
        assert (known["data_assinatura"], known["situacao"]) == (str(row["Data"]), "faturada")
        assert known["numero_controle_pncp"] == row["Contratação"]
    refs = set(await shop.rows("SELECT key, field, ref_entity, ref_key FROM entity_refs"))
    assert refs == {
        (f"{row['Nota']}/{row['Item']}", field, entity, row[header])
        for row in sales
        for field, entity, header in (
            ("nota", "compras", "Nota"),
            ("cliente", "clientes", "CNPJ do cliente"),
            ("produto", "produtos", "Código do produto"),
        )
    }

    # the same rows through another door change nothing
    told = await shop.push("vendas", sales)
    assert (told["accepted"], told["rejected"]) == (first["rows"], [])
    second = (await shop.has_ended(2))[1]
    assert (second["state"], second["unchanged"], second["created"], second["changed"]) == ("done", first["rows"], 0, 0)

    # one row that differs changes what it is of, and nothing else
    changed = {**sales[0], "Produto": "Caneta verde"}
    await shop.push("vendas", [changed])
    third = (await shop.has_ended(3))[2]
    assert (third["changed"], third["unchanged"]) == (2, 2)
    assert await shop.keys() == keys_of(sales)


async def test_what_came_in_is_found_in_a_pdf_an_xlsx_and_a_csv(shop: Shop, sales: list[dict[str, Any]]) -> None:
    await shop.stack.start_backend()
    await shop.worker()
    await shop.push("vendas", sales)
    await shop.has_ended(1)
    numbers = keys_of(sales)["compras"]
    files = {kind: await shop.stack.api.get(f"/compras.{kind}") for kind in ("pdf", "xlsx", "csv")}
    assert {answer.status_code for answer in files.values()} == {200}
    sheet = load_workbook(io.BytesIO(files["xlsx"].content)).worksheets[0]
    assert {row[0] for row in sheet.iter_rows(min_row=2, values_only=True)} == numbers
    printed = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(files["pdf"].content)).pages)
    written = files["csv"].content.decode("utf-8-sig")
    for number in numbers:
        assert number in printed
        assert number in written


async def test_a_sheet_that_is_left_twice_or_under_another_name_is_imported_once(
    shop: Shop, sales: list[dict[str, Any]]
) -> None:
    await shop.stack.start_backend()
    await shop.worker()
    shop.drop("vendas.xlsx", sales)
    await shop.has_ended(1)
    await shop.has_moved("vendas.xlsx")
    (kept,) = shop.inbox.glob("feitos/*/vendas.xlsx")
    for name in ("vendas.xlsx", "copia.xlsx"):
        shutil.copyfile(kept, shop.inbox / name)

    def is_known() -> bool:
        return len(list(shop.inbox.glob("feitos/*/*.nota.txt"))) == 2

    await eventually(is_known, seconds=40, every=0.2)
    notes = [path.read_text(encoding="utf-8") for path in shop.inbox.glob("feitos/*/*.nota.txt")]
    assert all(note.startswith("já importado em ") and note.endswith("na importação 1\n") for note in notes)
    assert len(list(shop.inbox.glob("feitos/*/*.xlsx"))) == 3
    assert len(await shop.imports()) == 1
    assert await shop.keys() == keys_of(sales)


async def test_two_workers_take_each_sheet_once(shop: Shop, sales: list[dict[str, Any]]) -> None:
    await shop.stack.start_backend()
    names = [f"vendas-{number}.xlsx" for number in range(8)]
    for number, name in enumerate(names):
        shop.drop(name, [{**row, "Nota": f"{number}-{row['Nota']}"} for row in sales])
    await shop.worker()
    await shop.worker()
    ended = await shop.has_ended(len(names))
    assert sorted(each["file_name"] for each in ended) == names
    assert {(each["state"], each["rejected"], each["pending"]) for each in ended} == {("done", 0, 0)}
    await shop.has_moved(*names)
    found = await shop.keys()
    assert len(found["compras"]) == len(names) * len(keys_of(sales)["compras"])
    assert found["clientes"] == keys_of(sales)["clientes"]
    # of the rows that make a record, one has created it: in whichever import
    assert sum(each["created"] for each in ended) == sum(map(len, found.values()))


@pytest.mark.timeout(800)
async def test_a_worker_that_is_killed_amid_an_import_of_20_000_rows_loses_and_doubles_nothing(
    shop: Shop, sales: list[dict[str, Any]]
) -> None:
    await shop.stack.start_backend()
    many = [{**sales[number % len(sales)], "Nota": f"N-{number:05}", "Item": 1} for number in range(MANY)]
    shop.drop("muitas.xlsx", many)
    killed = 0
    for least in (MANY // 8, MANY // 2):
        worker = await shop.worker()

        async def is_amid(least: int = least) -> bool:
            (row,) = await shop.rows("SELECT coalesce(max(processed + unchanged), 0) FROM imports")
            return bool(row[0] > least)

        await eventually(is_amid, seconds=240, every=0.01)
        worker.send(signal.SIGKILL)
        await worker.ended()
        killed += (await shop.imports())[0]["state"] == "processing"
    assert killed == 2, "it was killed too late to show anything"
    await shop.worker()
    (done,) = await shop.has_ended(1, seconds=300)
    assert (done["state"], done["rejected"], done["pending"]) == ("done", 0, 0)
    assert done["rows"] == 4 * MANY
    assert done["processed"] + done["unchanged"] == done["rows"]
    assert done["created"] == 2 * MANY + len(keys_of(sales)["clientes"]) + len(keys_of(sales)["produtos"])
    counts = dict(await shop.rows("SELECT entity, count(*) FROM entity_records GROUP BY entity"))
    assert (counts["compras"], counts["itens_vendidos"]) == (MANY, MANY)
    assert await shop.rows("SELECT count(*) FROM entity_refs") == [(3 * MANY,)]
    assert await shop.rows("SELECT count(*) FROM import_rows WHERE state = 'pending'") == [(0,)]
    await shop.has_moved("muitas.xlsx")


async def test_rows_are_announced_on_the_queue_and_processed_once_whatever_becomes_of_the_messages(
    shop: Shop, sales: list[dict[str, Any]], rabbitmq_url: str, queue_name: str
) -> None:
    broker = {"RABBITMQ_URL": rabbitmq_url, "INTAKE_QUEUE": queue_name}
    await shop.stack.start_backend(**broker)
    told = await shop.push("vendas", sales)
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_name)
        message = await queue.get()
        assert message is not None
        assert json.loads(message.body) == {
            "import_id": told["import_id"],
            "entity": "vendas",
            "rows": [1, len(sales)],
        }
        assert message.message_id == f"{told['import_id']}/1"
        await message.ack()  # it is lost to the worker, which finds the rows all the same
        for _ in range(3):  # and what comes again and again does nothing
            again = aio_pika.Message(message.body, message_id=message.message_id)
            await channel.default_exchange.publish(again, queue_name)
        worker = await shop.worker(**broker)
        (done,) = await shop.has_ended(1)
        assert (done["state"], done["pending"]) == ("done", 0)
        await eventually(lambda: _is_empty(channel, queue_name), seconds=20)
    assert worker.popen.poll() is None, worker.text
    assert await shop.keys() == keys_of(sales)


async def _is_empty(channel: aio_pika.abc.AbstractChannel, name: str) -> bool:
    declared = await channel.declare_queue(name, passive=True)
    return not declared.declaration_result.message_count


async def test_a_record_that_is_corrected_by_hand_is_traced(shop: Shop, sales: list[dict[str, Any]]) -> None:
    await shop.stack.start_backend()
    await shop.worker()
    await shop.push("vendas", sales)
    await shop.has_ended(1)
    address = f"/entities/compras/records/{sales[0]['Nota']}"
    before = await shop.get(address)
    corrected = await shop.stack.api.put(address, json={**before["data"], "objeto": "Corrigido"})
    assert corrected.status_code in (200, 202), corrected.text
    await shop.has_ended(2)
    after = await shop.get(address)
    assert after["data"] == {**before["data"], "objeto": "Corrigido"}
    assert [(one["door"], one["action"]) for one in after["imports"][:2]] == [("api", "change"), ("api", "create")]
    assert {one["entity"] for one in after["referred_by"]} == {"itens_vendidos"}
    refused = await shop.stack.api.delete(address)
    assert refused.status_code == 409, "items refer to it"
