"""The worker of intakes and its sources: files, schedules, failures, and what ends a reading."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from common.clock import to_wall_clock
from common.lifecycle import jobs
from ingestor.intake import worker as module
from ingestor.intake.readings import Readings
from ingestor.intake.worker import IntakeOptions, IntakeWorker
from tests.integration.conftest import Database
from tests.sources import Desk, Erp, postgresql_erp
from tests.support import eventually

TABLE = "CREATE TABLE produtos (codigo bigint PRIMARY KEY, nome text, preco numeric, mudou timestamp)"
Start = Callable[[], AbstractAsyncContextManager[IntakeWorker]]


@pytest.fixture
def erp(server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Erp]:
    with postgresql_erp(server_url) as erp:
        monkeypatch.setenv("ERP_URL", erp.url)
        erp.run(TABLE, "INSERT INTO produtos SELECT n, 'Produto ' || n, n, '2026-03-01' FROM generate_series(1, 35) n")
        yield erp


@pytest.fixture
def desk(engine: AsyncEngine, tmp_path: Path) -> Desk:
    desk = Desk(engine, tmp_path / "connections")
    desk.write_products(cursor="cursor: {column: mudou}", options='delta: "*/15 * * * *"')
    return desk


@pytest.fixture
def start(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a worker of intakes, which looks at its files all the time."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.05)

    @asynccontextmanager
    async def start() -> AsyncIterator[IntakeWorker]:
        options = IntakeOptions(
            folder=desk.folder,
            watched=None,
            slots=2,
            lease_seconds=5,
            imports_days=30,
            most_bytes=1000,
            retry_seconds=0.05,
        )
        worker = IntakeWorker(desk.engine, options)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stopping.set()
            await running

    return start


async def ask(desk: Desk, mode: Any = "backfill") -> int:
    async with desk.engine.begin() as db:
        created = await jobs.create(db, kind="intake", subject="erp", mode=mode, trigger="api")
    assert created is not None
    return created


async def ended(database: Database, execution_id: int) -> Any:
    await eventually(lambda: _has_ended(database, execution_id), seconds=20)
    return await database.execution(execution_id)


async def _has_ended(database: Database, execution_id: int) -> bool:
    return bool((await database.execution(execution_id)).status != "running")


async def test_a_worker_reads_what_is_asked_for(erp: Erp, desk: Desk, database: Database, start: Start) -> None:
    first = await ask(desk)
    async with start():
        assert (await ended(database, first)).status == "success"
        assert await database.value("SELECT count(*) FROM entity_records") == 35
        erp.run("INSERT INTO produtos VALUES (36, 'Novo', 1, '2026-03-02')")
        assert (await ended(database, await ask(desk, "update"))).status == "success"
        assert await database.value("SELECT count(*) FROM entity_records") == 36


async def test_a_source_that_is_down_is_tried_again_and_one_that_has_changed_is_not(
    erp: Erp, desk: Desk, database: Database, start: Start, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("ERP_URL", f"postgresql://u:marca@127.0.0.1:{closed_port}/erp")
    execution_id = await ask(desk)
    async with start():

        async def has_failed() -> bool:
            return bool(await database.value("SELECT max(failures) > 1 FROM sync_slices"))

        await eventually(has_failed, seconds=20)
        row = await database.row("SELECT cause, error_message FROM sync_slices")
        assert row.cause == "source_down"
        assert "marca" not in row.error_message
        assert await database.value("SELECT last_error IS NOT NULL FROM sources")
        monkeypatch.setenv("ERP_URL", erp.url)
        assert (await ended(database, execution_id)).status == "success"
        assert await database.value("SELECT last_error FROM sources") is None
        erp.run("ALTER TABLE produtos DROP COLUMN nome")
        failed = await ended(database, await ask(desk))
        assert (failed.status, failed.cause) == ("error", "source_changed")
        assert "`nome`" in failed.error_message
        monkeypatch.setenv("ERP_URL", "")
        failed = await ended(database, await ask(desk))
        assert (failed.status, failed.cause) == ("error", "misconfigured")
        assert "ERP_URL" in failed.error_message


async def test_rows_gone_are_held_until_they_are_confirmed(
    erp: Erp, desk: Desk, database: Database, start: Start
) -> None:
    async with start():
        await ended(database, await ask(desk))
        erp.run("DELETE FROM produtos WHERE codigo > 20")
        execution_id = await ask(desk)

        async def is_held() -> bool:
            return bool((await database.execution(execution_id)).held)

        await eventually(is_held, seconds=20)
        await database.rows("""
            UPDATE sync_executions SET held = NULL, options = options || '{"confirmed": true}' WHERE held IS NOT NULL
        """)
        assert (await ended(database, execution_id)).status == "success"
    assert await database.value("SELECT count(*) FROM entity_records WHERE removed_at IS NULL") == 20


async def test_a_source_without_a_file_ends_its_readings_after_a_while(
    erp: Erp, desk: Desk, database: Database, start: Start
) -> None:
    execution_id = await ask(desk)
    (desk.folder / "sources" / "erp.yaml").unlink()
    async with start():
        await eventually(lambda: database.value("SELECT count(*) FROM workers"), seconds=10)
        assert (await database.execution(execution_id)).status == "running"
        await database.rows("UPDATE sync_executions SET created_at = now() - interval '2 minutes'")
        failed = await ended(database, execution_id)
    assert failed.cause == "misconfigured"
    assert "erp" in failed.error_message


# --- schedules ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def readings(desk: Desk, database: Database) -> Readings:
    """The source is due now, whole and in part."""
    moment = to_wall_clock(await database.value("SELECT now()")) - timedelta(minutes=1)
    cron = f"{moment.minute} {moment.hour} * * *"
    desk.write_products(cursor="cursor: {column: mudou}", options=f'delta: "{cron}"\nschedule: "{cron}"')
    readings = Readings(desk.engine)
    await readings.take({"erp": desk.source})
    await readings.tick()  # the schedules are opened, and nothing of before is made up for
    await database.rows("UPDATE schedules SET effective_at = now() - interval '1 hour'")
    return readings


async def modes(database: Database) -> list[str]:
    return [row.mode for row in await database.rows("SELECT mode FROM sync_executions ORDER BY id")]


async def test_where_both_are_due_all_rows_are_read_and_by_one_worker_alone(
    readings: Readings, desk: Desk, database: Database
) -> None:
    other = Readings(desk.engine)
    await other.take({"erp": desk.source})
    await asyncio.gather(readings.tick(), other.tick())
    await readings.tick()
    assert await modes(database) == ["backfill"]
    skipped = await database.value("SELECT skipped_reason FROM schedule_ticks WHERE schedule = 'extract:erp.delta'")
    assert "ainda não terminou" in skipped


async def test_a_whole_reading_that_is_due_waits_for_changes_that_are_being_read(
    readings: Readings, desk: Desk, database: Database
) -> None:
    running = await ask(desk, "update")
    await readings.tick()
    assert await modes(database) == ["update"]
    await database.rows(f"UPDATE sync_executions SET status = 'success', finished_at = now() WHERE id = {running}")
    await readings.tick()
    assert await modes(database) == ["update", "backfill"]


async def test_a_source_that_is_paused_starts_neither(readings: Readings, database: Database) -> None:
    await database.rows(
        "UPDATE schedules SET paused_at = now(), paused_by = 'a', pause_reason = 'b' WHERE name = 'extract:erp'"
    )
    await readings.tick()
    assert await modes(database) == []
    skipped = await database.value("SELECT skipped_reason FROM schedule_ticks WHERE schedule = 'extract:erp.delta'")
    assert "em pausa" in skipped
