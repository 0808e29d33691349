"""The courier's loops: files that change, schedules, updates that are followed, two couriers, a stop in the middle."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.database import UnreachableDatabaseError
from common.lifecycle import executions, jobs
from ingestor import jobs as job_worker
from ingestor import loops
from ingestor.delivery import courier as module
from ingestor.delivery import owed, streams
from ingestor.delivery.courier import Courier, CourierOptions
from ingestor.delivery.verdicts import Answer
from ingestor.jobs import JobWorker
from tests.deliveries import Receiver, Request, accepting, put_products, write_files
from tests.integration.conftest import Database
from tests.integration.test_reconciliation import DAYS, plant, store_purchases
from tests.support import eventually

NAMES = {number: f"produto {number}" for number in range(1, 26)}
Open = Callable[..., Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_SECONDS", "LOOK_SECONDS", "TICK_SECONDS"):
        monkeypatch.setattr(module, name, 0.05)
    monkeypatch.setattr(job_worker, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(streams, "FORGET_AFTER_SECONDS", 0.0)


@asynccontextmanager
async def running(database: Database, folder: Path, receiver: Receiver, **options: Any) -> AsyncIterator[Courier]:
    """A courier at work until the block ends."""
    given = {"slots": 4, "lease_seconds": 20.0, "retry_seconds": 0.05, "schedule_enabled": False, **options}
    courier = Courier(database.engine, CourierOptions(folder=folder, **given), lambda _: receiver)
    task = asyncio.create_task(courier.run())
    try:
        yield courier
    finally:
        courier.stopping.set()
        await task


async def ask(database: Database, **options: Any) -> int:
    created = await database.run(
        jobs.create, kind="delivery", subject="crm", mode="backfill", trigger="api", options=options or None
    )
    assert created is not None
    return created


def has_ended(database: Database, execution_id: int, status: str = "success") -> Callable[[], Any]:
    async def check() -> bool:
        return bool((await database.execution(execution_id)).status == status)

    return check


async def test_a_delivery_that_is_asked_for_is_done(database: Database, tmp_path: Path) -> None:
    await put_products(database.engine, NAMES)
    receiver = Receiver()
    async with running(database, write_files(tmp_path), receiver):
        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 25
    worker = await database.row("SELECT * FROM workers")
    assert (worker.kinds, worker.stopped_at is not None) == (["delivery"], True)


async def test_what_fails_for_a_while_is_delivered_in_the_end(database: Database, tmp_path: Path) -> None:
    await put_products(database.engine, NAMES)
    receiver = Receiver()
    receiver.answer = lambda request: accepting(request) if len(receiver.requests) > 5 else Answer(503, {}, b"")
    async with running(database, write_files(tmp_path), receiver):
        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 25
    sent = {(request.idempotency_key, tuple(request.codes)) for request in receiver.requests}
    assert len(sent) == 3, "a request that is sent again has its key and its records"


async def test_two_couriers_send_nothing_twice(database: Database, tmp_path: Path) -> None:
    await put_products(database.engine, NAMES)
    receiver, folder = Receiver(), write_files(tmp_path, records=1)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(running(database, folder, receiver))
        await eventually(has_ended(database, await ask(database)))
    assert sorted(code for request in receiver.requests for code in request.codes) == sorted(NAMES)


async def test_a_file_that_no_longer_holds_leaves_what_it_said_before(database: Database, tmp_path: Path) -> None:
    await put_products(database.engine, NAMES)
    receiver, folder = Receiver(), write_files(tmp_path)
    async with running(database, folder, receiver) as courier:
        await eventually(lambda: courier._places)
        write_files(folder, change=lambda written: written.replace("CODIGO: codigo", "CODIGO: codgo"))
        before = courier._stamp
        await eventually(lambda: courier._stamp != before)
        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 25


async def test_a_destination_whose_file_is_gone_ends_its_delivery_and_keeps_its_ledger(
    database: Database, tmp_path: Path
) -> None:
    await put_products(database.engine, NAMES)
    receiver, folder = Receiver(), write_files(tmp_path)
    receiver.answer = lambda request: accepting(request) if len(receiver.requests) == 1 else Answer(503, {}, b"")
    async with running(database, folder, receiver):
        execution_id = await ask(database)
        await eventually(lambda: len(receiver.requests) > 2)
        (folder / "destinations" / "crm.yaml").unlink()
        await eventually(has_ended(database, execution_id, "error"))
        assert (await database.execution(execution_id)).cause == "misconfigured"
        assert await database.value("SELECT count(*) FROM delivery_batches WHERE state = 'open'") == 0
        assert await database.value("SELECT count(*) FROM deliveries WHERE state = 1") == 10

        receiver.answer = accepting
        write_files(folder)
        await eventually(lambda: database.value("SELECT missing_since IS NULL FROM destinations"))
        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 25


async def test_a_cancelled_delivery_sends_nothing_more(database: Database, tmp_path: Path) -> None:
    await put_products(database.engine, NAMES)
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def wait(_: Request) -> None:
        arrived.set()
        await gate.wait()

    receiver = Receiver(before=wait)
    async with running(database, write_files(tmp_path), receiver):
        execution_id = await ask(database)
        await arrived.wait()
        assert await database.run(executions.cancel, execution_id, "ana")
        gate.set()
    assert len(receiver.requests) == 1


async def test_a_courier_that_stops_settles_its_request_and_leaves_the_rest(database: Database, tmp_path: Path) -> None:
    await put_products(database.engine, NAMES)
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def wait(_: Request) -> None:
        arrived.set()
        await gate.wait()

    receiver, folder = Receiver(before=wait), write_files(tmp_path)
    async with running(database, folder, receiver) as courier:
        execution_id = await ask(database)
        await arrived.wait()
        courier.stopping.set()
        gate.set()
    assert len(receiver.records) == 10
    assert (await database.row("SELECT * FROM sync_slices")).status == "pending"
    async with running(database, folder, receiver):
        await eventually(has_ended(database, execution_id))
    assert len(receiver.requests) == 3


async def test_the_schedule_starts_full_deliveries_and_a_pause_stops_them(database: Database, tmp_path: Path) -> None:
    await put_products(database.engine, NAMES)
    receiver = Receiver()
    folder = write_files(tmp_path, change=lambda written: 'schedule: "* * * * *"\n' + written)
    async with running(database, folder, receiver, schedule_enabled=True):
        await eventually(lambda: database.value("SELECT count(*) FROM schedules WHERE name = 'deliver:crm'"))
        await database.rows("UPDATE schedules SET effective_at = now() - interval '2 minutes'")
        await eventually(lambda: database.value("SELECT count(*) = 1 FROM sync_executions WHERE status = 'success'"))
    assert len(receiver.records) == 25
    run = await database.row("SELECT * FROM sync_executions ORDER BY id LIMIT 1")
    assert (run.trigger, run.mode) == ("schedule", "backfill")

    await database.rows("""
        UPDATE schedules SET paused_at = now(), paused_by = 'ana', pause_reason = 'manutenção'
    """)
    await put_products(database.engine, {1: "mudou"})
    before = len(receiver.requests)
    async with running(database, folder, receiver):
        await ask(database)
        await eventually(
            lambda: database.value("SELECT planned_at IS NOT NULL FROM sync_executions ORDER BY id DESC LIMIT 1")
        )
        await asyncio.sleep(0.3)  # several looks of the loop
    assert len(receiver.requests) == before


async def test_a_destination_that_wants_no_more_ends_the_delivery_with_the_reason(
    database: Database, tmp_path: Path
) -> None:
    await put_products(database.engine, NAMES)
    receiver = Receiver(answer=lambda _: Answer(410, {}, b""))
    async with running(database, write_files(tmp_path), receiver):
        execution_id = await ask(database)
        await eventually(has_ended(database, execution_id, "error"))
    run = await database.execution(execution_id)
    assert run.cause == "destination_stopped"
    assert "410" in run.error_message


async def test_a_destination_that_fails_for_a_day_is_given_up_and_its_records_stay_owed(
    database: Database, tmp_path: Path
) -> None:
    await put_products(database.engine, NAMES)
    receiver = Receiver(answer=lambda _: Answer(503, {}, b""))
    async with running(database, write_files(tmp_path), receiver):
        execution_id = await ask(database)
        await eventually(lambda: database.value("SELECT max(failures) > 0 FROM sync_slices"))
        await database.rows("UPDATE sync_slices SET failing_since = now() - interval '25 hours'")
        await eventually(has_ended(database, execution_id, "error"))
        assert (await database.execution(execution_id)).cause == "destination_down"
        receiver.answer = accepting
        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 25


async def test_a_test_of_a_destination_sends_one_request_without_records(database: Database, tmp_path: Path) -> None:
    receiver = Receiver(answer=lambda _: Answer(200, {}, b""))
    async with running(database, write_files(tmp_path), receiver):
        await eventually(has_ended(database, await ask(database, mode="teste")))
    assert [request.codes for request in receiver.requests] == [[]]


async def test_a_mapping_that_changes_during_a_delivery_counts_from_the_next_one_on(
    database: Database, tmp_path: Path
) -> None:
    await put_products(database.engine, NAMES)
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def wait(_: Request) -> None:
        arrived.set()
        await gate.wait()

    receiver, folder = Receiver(before=wait), write_files(tmp_path)
    async with running(database, folder, receiver):
        execution_id = await ask(database)
        await arrived.wait()
        write_files(folder, change=lambda written: written.replace("NOME:", "TITULO:"))
        await eventually(lambda: database.value("SELECT plan = 2 FROM streams"))
        gate.set()
        await eventually(has_ended(database, execution_id))
        assert all("NOME" in record for record in receiver.records.values())
        assert await database.value("SELECT array_agg(DISTINCT plan) FROM deliveries") == [1]

        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 25
    assert all("TITULO" in record for record in receiver.records.values())


async def test_a_value_that_cannot_be_read_ends_the_delivery_with_the_reason_and_the_courier_goes_on(
    database: Database, tmp_path: Path
) -> None:
    await put_products(database.engine, NAMES)
    await put_products(database.engine, {26: "o preço é um texto"}, preco="sob consulta")
    receiver = Receiver()
    async with running(database, write_files(tmp_path), receiver):
        execution_id = await ask(database)
        await eventually(has_ended(database, execution_id, "error"))
        run = await database.execution(execution_id)
        assert run.cause == "misconfigured"
        assert "produtos" in run.error_message
        assert "sob consulta" in run.error_message
        await put_products(database.engine, {26: "o preço é um número"}, preco="1.5")
        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 26


async def test_a_question_that_takes_too_long_is_a_failure_that_has_an_end(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed, "QUESTION_SECONDS", 0.05)
    await put_products(database.engine, NAMES)
    async with running(database, write_files(tmp_path), Receiver()), database.engine.connect() as db:
        await db.execute(text("LOCK TABLE entity_records IN ACCESS EXCLUSIVE MODE"))
        execution_id = await ask(database)
        await eventually(lambda: database.value("SELECT max(failures) > 0 FROM sync_slices"))
        await database.rows("UPDATE sync_slices SET failing_since = now() - interval '25 hours'")
        await eventually(has_ended(database, execution_id, "error"))
        await db.rollback()
    assert "produtos" in (await database.execution(execution_id)).error_message


async def test_the_courier_outlives_a_database_that_is_away_while_a_failure_is_noted(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_products(database.engine, NAMES)
    monkeypatch.setattr(job_worker, "database_wait", lambda: 0.01)
    postpone, tries = jobs.postpone, 0

    async def away(*given: Any, **options: Any) -> bool:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise UnreachableDatabaseError("away")
        return await postpone(*given, **options)

    monkeypatch.setattr(jobs, "postpone", away)
    receiver = Receiver()
    receiver.answer = lambda request: accepting(request) if len(receiver.requests) > 1 else Answer(503, {}, b"")
    async with running(database, write_files(tmp_path), receiver):
        await eventually(has_ended(database, await ask(database)))
    assert tries >= 3
    assert len(receiver.records) == 25


async def test_a_delivery_whose_last_stream_has_ended_is_closed_by_the_next_courier(
    database: Database, tmp_path: Path
) -> None:
    folder = write_files(tmp_path)
    async with running(database, folder, Receiver()) as courier:
        await eventually(lambda: courier._places)
    execution_id = await ask(database)
    stream_id = await database.value("SELECT id FROM streams")
    await database.run(jobs.plan, execution_id, [stream_id])
    await database.rows("UPDATE sync_slices SET status = 'success', finished_at = now()")
    async with running(database, folder, Receiver()):
        await eventually(has_ended(database, execution_id))


async def test_a_stop_does_not_wait_longer_for_an_answer_than_it_may(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "GRACE_SECONDS", 0.1)
    await put_products(database.engine, NAMES)
    arrived = asyncio.Event()

    async def wait(_: Request) -> None:
        arrived.set()
        await asyncio.Event().wait()

    receiver = Receiver(before=wait)
    async with asyncio.timeout(15), running(database, write_files(tmp_path), receiver):
        await ask(database)
        await arrived.wait()
    assert (await database.row("SELECT * FROM sync_slices")).status == "pending"
    body = await database.value("SELECT body FROM delivery_batches WHERE state = 'open' ORDER BY id LIMIT 1")
    assert [body] == [request.body for request in receiver.requests], "it goes out again later"


async def test_a_courier_without_a_destinations_file_leaves_its_deliveries_to_one_that_has_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FORGET_AFTER_SECONDS", 60.0)
    await put_products(database.engine, NAMES)
    receiver, folder, other = Receiver(), write_files(tmp_path / "one"), write_files(tmp_path / "other")
    (other / "destinations" / "crm.yaml").unlink()
    async with running(database, folder, receiver) as courier:
        await eventually(lambda: courier._places)
    async with running(database, other, Receiver()) as courier:
        await eventually(lambda: database.value("SELECT missing_since IS NOT NULL FROM destinations"))
        execution_id = await ask(database)
        async with running(database, folder, receiver):
            await eventually(has_ended(database, execution_id))
            await eventually(lambda: database.value("SELECT missing_since IS NULL FROM destinations"))
    assert len(receiver.records) == 25


async def test_a_delivery_that_no_courier_has_a_file_of_ends_though_the_file_was_there_when_it_began(
    database: Database, tmp_path: Path
) -> None:
    folder, other = write_files(tmp_path / "one"), write_files(tmp_path / "other")
    (other / "destinations" / "crm.yaml").unlink()
    async with running(database, other, Receiver()) as second:
        await eventually(lambda: second._stamp is not None)
        async with running(database, folder, Receiver()) as first:
            await eventually(lambda: first._places)
        execution_id = await ask(database)
        await eventually(has_ended(database, execution_id, "error"))
    assert (await database.execution(execution_id)).cause == "misconfigured"


async def test_a_file_that_does_not_hold_from_the_start_ends_what_runs_and_keeps_open_requests(
    database: Database, tmp_path: Path
) -> None:
    await put_products(database.engine, NAMES)
    receiver, folder = Receiver(answer=lambda _: Answer(503, {}, b"")), write_files(tmp_path)
    async with running(database, folder, receiver):
        execution_id = await ask(database)
        await eventually(lambda: len(receiver.requests) > 1)
    write_files(folder, change=lambda written: written.replace("CODIGO: codigo", "CODIGO: codgo"))
    async with running(database, folder, receiver):
        await eventually(has_ended(database, execution_id, "error"))
        receiver.answer = accepting
        write_files(folder)
        await eventually(lambda: database.value("SELECT missing_since IS NULL FROM destinations"))
        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 25
    first = receiver.requests[0].body
    assert len({request.idempotency_key for request in receiver.requests if request.body == first}) == 1


async def test_a_folder_that_is_away_stops_no_delivery(database: Database, tmp_path: Path) -> None:
    await put_products(database.engine, NAMES)
    receiver, folder = Receiver(), write_files(tmp_path / "connections")
    async with running(database, folder, receiver) as courier:
        await eventually(lambda: courier._places)
        folder.rename(tmp_path / "away")
        await eventually(lambda: courier._stamp == frozenset())
        await eventually(has_ended(database, await ask(database)))
    assert len(receiver.records) == 25


async def test_an_update_is_followed_although_the_destination_was_tested_since(
    database: Database, tmp_path: Path
) -> None:
    receiver = Receiver(answer=lambda _: Answer(200, {}, b""))
    async with running(database, write_files(tmp_path), receiver):
        await eventually(has_ended(database, await ask(database, mode="teste")))
    pairs = {"destinations": ["crm"], "resources": ["contratacoes"], "schedule": "deliver:"}
    await database.rows("UPDATE sync_executions SET created_at = now() - interval '1 hour'")
    await database.rows("UPDATE destinations SET updated_at = now() - interval '2 hours'")
    await database.rows("""
        INSERT INTO sync_executions (resource, mode, criterio, trigger, status, planned_at, started_at, finished_at,
                                     published_at, duration_seconds)
        VALUES ('contratacoes', 'update', 'atualizacao', 'schedule', 'success', now() - interval '91 minutes',
                now() - interval '91 minutes', now() - interval '90 minutes', now(), 60)
    """)
    async with database.engine.connect() as db:
        assert [row.destination for row in await db.execute(module._UPDATED, pairs)] == ["crm"]


RECONCILED = """
url: https://crm.example/api
start: all
streams:
  - entity: conciliacao
    where: {situacao: {in: [valor_difere, nao_encontrada]}}
    batch: {records: 3, wrap: registros}
    fields: {CODIGO: {meta: key}, SITUACAO: situacao, DIFERENCA: {from: diferenca, decimal: 2}}
"""


async def test_differences_between_own_purchases_and_the_portal_are_delivered_and_told_again_when_they_change(
    database: Database, tmp_path: Path
) -> None:
    made = plant()
    await made.portal.store(database)
    await store_purchases(database, made.purchases)
    (tmp_path / "destinations").mkdir()
    (tmp_path / "destinations" / "crm.yaml").write_text(RECONCILED)
    receiver = Receiver()
    expected = {
        f"{key}/{origin}"
        for (key, origin), each in made.expected.items()
        if each["situacao"] in ("valor_difere", "nao_encontrada")
    }
    async with running(database, tmp_path, receiver, deadline_days=DAYS):
        await eventually(has_ended(database, await ask(database)))
        assert {record["CODIGO"] for request in receiver.requests for record in request.records} == expected
        before = len(receiver.requests)
        await eventually(has_ended(database, await ask(database)))
        assert len(receiver.requests) == before, "nothing has changed"
        await database.rows(
            "UPDATE contratacoes SET valor_total_homologado = 90.61, updated_at = clock_timestamp()"
            " WHERE numero_controle_pncp = :number",
            number=made.purchases["centavo"]["numero_controle_pncp"],
        )
        await eventually(has_ended(database, await ask(database)))
    (last,) = receiver.requests[before:]
    assert last.records == [{"CODIGO": "centavo/compra", "SITUACAO": "valor_difere", "DIFERENCA": "-0.10"}]


async def test_a_claim_that_ends_after_a_later_one_of_its_slice_is_let_go(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A courier that stood still claims its own slice again while the first claim still waits for an answer."""
    monkeypatch.setattr(JobWorker, "_renew", lambda _: asyncio.sleep(0))
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["message"]))
    await put_products(database.engine, NAMES)
    answers = [asyncio.Event(), asyncio.Event()]
    asked: list[Request] = []

    async def wait(request: Request) -> None:
        asked.append(request)
        if len(asked) <= len(answers):
            await answers[len(asked) - 1].wait()

    receiver = Receiver(before=wait)
    async with running(database, write_files(tmp_path), receiver, lease_seconds=5.0) as courier:
        execution_id = await ask(database)
        await eventually(lambda: len(asked) == 1)
        await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 second'")
        await eventually(lambda: len(asked) == 2)
        answers[1].set()
        await eventually(has_ended(database, execution_id))
        await eventually(lambda: not courier._held)
        answers[0].set()
        await eventually(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("slice")])
        await asyncio.sleep(0)
    assert faults == []
