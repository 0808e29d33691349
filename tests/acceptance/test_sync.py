"""The main job, end to end, with real processes: POST, row, claim, pages and items, PostgreSQL, status."""

import signal

import aio_pika
import pytest
from sqlalchemy import text

from tests.acceptance.conftest import Stack
from tests.support import eventually

PER_DAY = "300"  # over ten days about two thousand contratações, in slices of up to four pages


async def test_a_backfill_takes_exactly_what_the_portal_holds_and_a_second_one_asks_for_listings_only(
    stack: Stack,
) -> None:
    await stack.start_simulator("--per-day", PER_DAY, "--days", "10")
    await stack.start_backend()
    await stack.start_ingestor()
    start, end = await stack.span()

    first = await stack.finished(await stack.force(mode="backfill", data_ini=start, data_fim=end))

    truth = await stack.truth(start, end)
    assert first["status"] == "success", first
    assert first["records_processed"] == len(truth) > 1500
    assert max(truth.values()) > 10
    assert await stack.stored() == truth
    assert (await stack.requests())["itens"] > len(truth) / 2

    second = await stack.finished(await stack.force(mode="backfill", data_ini=start, data_fim=end))

    assert second["status"] == "success"
    assert second["records_processed"] == len(truth)
    assert (await stack.requests()).get("itens", 0) == 0
    status = (await stack.api.get("/sync/status")).json()
    assert (status["execution_id"], status["status"], status["phase"]) == (second["id"], "success", "finished")
    history = (await stack.api.get("/sync/history")).json()
    assert [execution["id"] for execution in history["executions"]] == [second["id"], first["id"]]
    assert history["success_count"] == history["total_count"] == 2


async def test_a_fifth_of_the_answers_failing_and_an_ingestor_killed_halfway_lose_nothing(stack: Stack) -> None:
    await stack.start_simulator("--per-day", PER_DAY, "--days", "10", "--fail", "0.2")
    await stack.start_backend()
    doomed = await stack.start_ingestor()
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)

    await stack.processed_at_least(execution_id, len(truth) // 3)
    doomed.send(signal.SIGKILL)
    await doomed.ended()
    await stack.start_ingestor()
    execution = await stack.finished(execution_id)

    assert execution["status"] == "success", execution
    assert execution["records_processed"] == len(truth)
    await stack.portal_behaves()

    async def all_is_stored() -> bool:  # items that failed several times in a row were owed, and come by themselves
        return await stack.stored() == truth

    await eventually(all_is_stored, seconds=200)


async def test_two_ingestors_share_one_backfill_and_a_frozen_one_writes_nothing_when_it_wakes(stack: Stack) -> None:
    await stack.start_simulator("--per-day", PER_DAY, "--days", "10", "--latency-ms", "5")
    await stack.start_backend()
    frozen = await stack.start_ingestor()
    await stack.start_ingestor()
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)

    await stack.processed_at_least(execution_id, len(truth) // 4)
    frozen.send(signal.SIGSTOP)
    execution = await stack.finished(execution_id)
    before = await rows_of(stack, execution_id)
    frozen.send(signal.SIGCONT)
    again = await stack.finished(await stack.force(mode="backfill", data_ini=start, data_fim=end))

    assert execution["status"] == again["status"] == "success"
    assert execution["records_processed"] == again["records_processed"] == len(truth)
    assert await stack.stored() == truth
    assert await rows_of(stack, execution_id) == before


async def test_sigterm_ends_an_ingestor_after_the_page_and_another_takes_its_slices_at_once(stack: Stack) -> None:
    await stack.start_simulator("--per-day", PER_DAY, "--days", "5", "--latency-ms", "20")
    await stack.start_backend()
    leaving = await stack.start_ingestor(LEASE_SECONDS="600")
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)

    await stack.processed_at_least(execution_id, 50)
    leaving.send(signal.SIGTERM)
    code = await leaving.ended(seconds=30)
    async with stack.engine.connect() as db:
        held = await db.execute(text("SELECT count(*) FROM sync_slices WHERE status = 'running'"))
        assert held.scalar_one() == 0
    await stack.start_ingestor()
    execution = await stack.finished(execution_id)

    assert code == 0
    assert "Traceback" not in leaving.text
    assert execution["status"] == "success"
    assert execution["records_processed"] == len(truth)
    assert await stack.stored() == truth


@pytest.mark.parametrize("criterio", ["publicacao", "atualizacao"])
async def test_a_window_of_a_few_hours_takes_exactly_its_records(stack: Stack, criterio: str) -> None:
    await stack.start_simulator("--per-day", PER_DAY, "--days", "4")
    await stack.start_backend()
    await stack.start_ingestor()
    day = (await stack.span())[0][:10]
    start, end = f"{day}T09:30:00", f"{day}T13:29:59"
    other = "atualizacao" if criterio == "publicacao" else "publicacao"
    truth = await stack.truth(start, end, criterio)
    assert truth
    assert truth != await stack.truth(start, end, other)

    body = {"mode": "backfill", "data_ini": start, "data_fim": end, "criterio": criterio}
    execution = await stack.finished(await stack.force(**body))

    assert execution["records_processed"] == len(truth)
    assert await stack.stored() == truth


@pytest.mark.parametrize("listing", ["in order", "unordered"])
async def test_an_update_takes_what_has_changed_since_the_last_one(stack: Stack, listing: str) -> None:
    await stack.start_simulator("--per-day", PER_DAY, "--days", "3")
    await stack.start_backend()
    await stack.start_ingestor()
    if listing == "unordered":
        await stack.api.put(f"{stack.simulator_url}/quirks", json={"unordered": 1})
    await stack.finished(await stack.force(mode="update"))
    await stack.api.post(f"{stack.simulator_url}/changes", json={"publish": 30, "touch": 40, "modalidade": 6})
    changed = {}

    async def everything_is_there() -> bool:
        update = await stack.finished(await stack.force(mode="update"))
        assert update["status"] == "success", update
        changed.update(await stack.truth(update["window_start"], update["window_end"], "atualizacao"))
        return changed.items() <= (await stack.stored()).items() and len(changed) >= 30

    # an update ends at the moment of its planning, so that what is stamped in that very second is the next one's
    await eventually(everything_is_there, seconds=30, every=0.5)


@pytest.mark.rabbitmq
@pytest.mark.parametrize("body", [b'{"mode":"update"}', b"{}", b""])
async def test_a_message_of_any_other_party_runs_too(
    rabbitmq_url: str, queue_name: str, stack: Stack, body: bytes
) -> None:
    stack.settings |= {"RABBITMQ_URL": rabbitmq_url, "QUEUE_NAME": queue_name}
    await stack.start_simulator("--days", "1")
    await stack.start_backend()
    await stack.start_ingestor()
    await stack.start_ingestor()

    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(body), routing_key=queue_name)

    async def ran() -> bool:
        status = (await stack.api.get("/sync/status")).json()
        return bool(status["mode"] == "update" and status["status"] == "success")

    await eventually(ran, seconds=30)
    history = (await stack.api.get("/sync/history")).json()
    assert [execution["trigger"] for execution in history["executions"]] == ["message"]


@pytest.mark.rabbitmq
async def test_with_a_broker_a_backfill_is_shared_by_two_ingestors_and_the_queue_is_drained(
    rabbitmq_url: str, queue_name: str, stack: Stack
) -> None:
    stack.settings |= {"RABBITMQ_URL": rabbitmq_url, "QUEUE_NAME": queue_name}
    await stack.start_simulator("--per-day", PER_DAY, "--days", "5", "--latency-ms", "5")
    await stack.start_backend()
    await stack.start_ingestor()
    await stack.start_ingestor()
    assert (await stack.api.get("/health")).json()["broker"] == "connected"
    start, end = await stack.span()

    executions = [
        await stack.force(mode="backfill", data_ini=start, data_fim=end),
        await stack.force(mode="update"),
        await stack.force(mode="backfill", data_ini=start, data_fim=start),
    ]
    ended = [await stack.finished(execution_id) for execution_id in executions]

    assert [execution["status"] for execution in ended] == ["success"] * 3
    assert ended[0]["records_processed"] == len(await stack.truth(start, end))
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        for name in (queue_name, f"{queue_name}.dead"):
            queue = await channel.declare_queue(name, passive=True)
            assert queue.declaration_result.message_count == 0


async def test_a_second_sigterm_ends_at_once(stack: Stack) -> None:
    await stack.start_simulator("--per-day", PER_DAY, "--days", "2", "--latency-ms", "2000")
    await stack.start_backend()
    ingestor = await stack.start_ingestor()
    start, end = await stack.span()
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)

    async def is_held() -> bool:
        return bool((await stack.execution(execution_id))["progress"]["slices_running"])

    await eventually(is_held)
    ingestor.send(signal.SIGTERM)
    await eventually(lambda: "stopping" in ingestor.text)
    ingestor.send(signal.SIGTERM)

    assert await ingestor.ended(seconds=5) == 1
    assert "Traceback" not in ingestor.text


async def rows_of(stack: Stack, execution_id: int) -> set[str]:
    """An execution and its slices as they stand."""
    statement = text("""
        SELECT to_jsonb(e) FROM sync_executions e WHERE id = :id
        UNION ALL SELECT to_jsonb(s) FROM sync_slices s WHERE execution_id = :id
    """)
    async with stack.engine.connect() as db:
        return {str(row) for row in (await db.execute(statement, {"id": execution_id})).scalars()}
