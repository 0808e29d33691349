"""Upgrades while services run: this version beside the next schema, the last release's writer, and what fails halfway.

The next schema is one that a test makes: the migrations as they are, and one more.
"""

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from common.database import create_engine
from common.tables import SCHEMA_REVISION
from tests.acceptance.conftest import Stack
from tests.support import ROOT, migrate

RELEASE = ROOT / "tests" / "data" / "release_0004.sql"
NEXT = "9999"
MIGRATION = """
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade():
{body}
"""
ADDS = """
    op.execute("CREATE TABLE of_the_next_version (id bigint PRIMARY KEY)")
    op.execute("ALTER TABLE sync_executions ADD COLUMN next_version text")
    op.execute("ALTER TABLE sync_slices ADD COLUMN next_version integer NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE contratacoes ADD COLUMN next_version text")
    op.execute("ALTER TABLE itens_contratacao ADD COLUMN next_version integer NOT NULL DEFAULT 0")
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY ix_of_the_next_version ON itens_contratacao (next_version)")
"""
TAKES_AWAY = """
    op.execute("ALTER TABLE sync_slices RENAME COLUMN pages_done TO pages_read")
"""
FAILS = """
    op.execute("CREATE TABLE half (id bigint PRIMARY KEY)")
    op.execute("ALTER TABLE contratacoes ADD COLUMN half text NOT NULL DEFAULT 'half'")
    op.execute("UPDATE contratacoes SET processo = 'half'")
    op.execute("SELECT 1 / 0")
"""
FAILS_OUTSIDE = """
    op.execute("CREATE TABLE IF NOT EXISTS half (id bigint PRIMARY KEY)")
    with op.get_context().autocommit_block():
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS half_of_it ON contratacoes (modalidade_id)")
"""
REPAIRED = """
    op.execute("CREATE TABLE IF NOT EXISTS half (id bigint PRIMARY KEY)")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS half_of_it")
        op.execute("CREATE INDEX CONCURRENTLY half_of_it ON contratacoes (modalidade_id)")
"""


@pytest.fixture
async def own_url(server_url: str) -> AsyncIterator[str]:
    """A database without tables."""
    name = f"pncp_test_{uuid.uuid4().hex[:12]}"
    await query(server_url, f"CREATE DATABASE {name}")
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    await query(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def own_stack(tmp_path: Path, own_url: str, stack: Stack) -> AsyncIterator[Stack]:
    """The product on a database whose schema may be changed."""
    driven = make_url(own_url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    engine = create_engine(driven, application_name="pncp-tests", pool_size=5)
    (tmp_path / "own").mkdir()
    own = Stack(tmp_path / "own", own_url, engine, settings={**stack.settings, "RABBITMQ_URL": ""})
    yield own
    await own.close()
    await engine.dispose()


async def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def next_version(folder: Path, body: str) -> Path:
    """The configuration of Alembic for our migrations and one more."""
    for path in (ROOT / "migrations").glob("**/*.py"):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    added = MIGRATION.format(revision=NEXT, before=SCHEMA_REVISION, body=body)
    (folder / "migrations" / "versions" / "9999-12-31-0000_next.py").write_text(added)
    configuration = (ROOT / "alembic.ini").read_text()
    path = folder / "alembic.ini"
    path.write_text(configuration.replace("script_location = migrations", f"script_location = {folder}/migrations"))
    return path


def upgrade(configuration: Path, url: str) -> None:
    migrate(url, "-c", str(configuration), "upgrade", "head", capture=True)


async def revision_of(url: str) -> str:
    ((revision,),) = await query(url, "SELECT version_num FROM alembic_version")
    return str(revision)


@pytest.mark.slow
async def test_this_version_works_on_beside_the_schema_of_the_next_and_does_not_start_on_it(
    own_stack: Stack, tmp_path: Path
) -> None:
    stack, url = own_stack, own_stack.database_url
    await asyncio.to_thread(migrate, url, "upgrade", "head")
    await stack.start_simulator("--per-day", "300", "--days", "10", "--latency-ms", "60")
    backend = await stack.start_backend()
    ingestors = [await stack.start_ingestor() for _ in range(2)]
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    await stack.processed_at_least(execution_id, len(truth) // 5)

    await asyncio.to_thread(upgrade, next_version(tmp_path, ADDS), url)

    assert (await stack.execution(execution_id))["status"] == "running", "the upgrade came into the middle of it"
    execution = await stack.finished(execution_id)
    assert execution["status"] == "success", execution
    assert execution["records_processed"] == len(truth)
    assert await stack.stored() == truth
    again = await stack.finished(await stack.force(mode="backfill", data_ini=start, data_fim=end))
    assert (again["status"], again["records_processed"]) == ("success", len(truth))
    services = (backend, *ingestors)
    assert [process.popen.poll() for process in services] == [None] * 3
    assert not [process.text for process in services if "unexpectedly" in process.text or "Traceback" in process.text]

    refused = [stack.start("ingestor", "-m", "ingestor"), stack.start("backend", "-m", "backend", BACKEND_PORT="1")]
    for process in refused:
        assert await process.ended() != 0
        assert f"at schema {NEXT} and this version needs {SCHEMA_REVISION}: start a newer version" in process.text
        assert "Traceback" not in process.text


@pytest.mark.slow
async def test_a_worker_whose_schema_is_taken_away_stops_and_loses_nothing(own_stack: Stack, tmp_path: Path) -> None:
    stack, url = own_stack, own_stack.database_url
    await asyncio.to_thread(migrate, url, "upgrade", "head")
    await stack.start_simulator("--per-day", "200", "--days", "6", "--latency-ms", "60")
    await stack.start_backend()
    ingestor = await stack.start_ingestor()
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    await stack.processed_at_least(execution_id, len(truth) // 5)

    await asyncio.to_thread(upgrade, next_version(tmp_path, TAKES_AWAY), url)

    assert await ingestor.ended() == 0
    assert f"at schema {NEXT} and this version needs {SCHEMA_REVISION}: start a newer version" in ingestor.text
    assert await query(url, "SELECT count(*) FROM sync_slices WHERE status IN ('running', 'error')") == [(0,)]
    await query(url, "ALTER TABLE sync_slices RENAME COLUMN pages_read TO pages_done")
    await query(url, f"UPDATE alembic_version SET version_num = '{SCHEMA_REVISION}'")
    await stack.start_ingestor()
    execution = await stack.finished(execution_id)
    assert (execution["status"], execution["records_processed"]) == ("success", len(truth))
    assert await stack.stored() == truth


async def keep_writing(url: str, stopping: asyncio.Event, say: Callable[[], None]) -> tuple[list[str], list[str]]:
    """Store copies of a contratação of the release one by one, as its own code would; the keys, and what was refused.

    A write that fails is tried again, until the schema has no such column any more.
    """
    (names,) = await query(
        url,
        """SELECT string_agg(attname, ', ') FROM pg_attribute
            WHERE attrelid = 'contratacoes'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
              AND attname <> 'numero_controle_pncp'""",
    )
    insert = f"""INSERT INTO contratacoes (numero_controle_pncp, {names[0]})
                 SELECT $1, {names[0]} FROM contratacoes ORDER BY numero_controle_pncp LIMIT 1"""
    stored: list[str] = []
    refused: list[str] = []
    connection = await asyncpg.connect(url)
    try:
        while not stopping.is_set():
            key = f"written-{len(stored) + len(refused):05}"
            try:
                await connection.execute(insert, key, timeout=30)
                stored.append(key)
            except (asyncpg.UndefinedColumnError, asyncpg.GeneratedAlwaysError):
                refused.append(key)
            except asyncpg.InvalidCachedStatementError:
                continue
            say()
            await asyncio.sleep(0.01)
    finally:
        await connection.close()
    return stored, refused


async def test_what_a_writer_of_the_last_release_has_stored_during_the_upgrade_is_there_once(own_stack: Stack) -> None:
    stack, url = own_stack, own_stack.database_url
    connection = await asyncpg.connect(url)
    await connection.execute(RELEASE.read_text())
    await connection.close()
    before = await query(url, "SELECT numero_controle_pncp, payload::text FROM contratacoes ORDER BY 1")
    stopping, has_written = asyncio.Event(), asyncio.Event()
    writing = asyncio.create_task(keep_writing(url, stopping, has_written.set))
    await has_written.wait()

    await asyncio.to_thread(migrate, url, "upgrade", "head")

    has_written.clear()
    await has_written.wait()
    stopping.set()
    stored, _ = await writing
    rows = await query(
        url, "SELECT numero_controle_pncp FROM contratacoes WHERE numero_controle_pncp LIKE 'written-%' ORDER BY 1"
    )
    assert [key for (key,) in rows] == stored
    assert len(stored) > 10
    kept = """SELECT numero_controle_pncp, payload::text FROM contratacoes
               WHERE numero_controle_pncp NOT LIKE 'written-%' ORDER BY 1"""
    assert await query(url, kept) == before
    await query(url, "DELETE FROM contratacoes WHERE numero_controle_pncp LIKE 'written-%'")

    await stack.start_simulator("--per-day", "20", "--days", "3")
    await stack.start_backend()
    await stack.start_ingestor()
    start, end = await stack.span()
    truth = await stack.truth(start, end)
    execution = await stack.finished(await stack.force(mode="backfill", data_ini=start, data_fim=end))
    assert (execution["status"], execution["records_processed"]) == ("success", len(truth))
    mirrored = await stack.stored()
    assert {key: mirrored[key] for key in truth} == truth


@pytest.fixture
async def migrated(own_url: str) -> str:
    """A database of this version with some rows."""
    connection = await asyncpg.connect(own_url)
    await connection.execute(RELEASE.read_text())
    await connection.close()
    await asyncio.to_thread(migrate, own_url, "upgrade", "head")
    return own_url


CONTENTS = "SELECT count(*), md5(string_agg(CAST(c AS text), '' ORDER BY numero_controle_pncp)) FROM contratacoes c"


async def test_a_migration_that_fails_leaves_the_schema_and_the_rows_as_they_were(
    migrated: str, tmp_path: Path
) -> None:
    before = await query(migrated, CONTENTS)

    with pytest.raises(subprocess.CalledProcessError) as failed:
        await asyncio.to_thread(upgrade, next_version(tmp_path, FAILS), migrated)

    assert b"division by zero" in failed.value.stderr
    assert await revision_of(migrated) == SCHEMA_REVISION
    assert await query(migrated, CONTENTS) == before
    assert await query(migrated, "SELECT to_regclass('half')") == [(None,)]
    await asyncio.to_thread(migrate, migrated, "check")


async def test_a_migration_that_fails_amid_an_index_keeps_the_revision_and_goes_on_when_it_is_repaired(
    migrated: str, tmp_path: Path
) -> None:
    """What is done outside of a transaction stays: an index that could not be made is there, and not valid."""
    invalid = "SELECT relname FROM pg_class JOIN pg_index ON indexrelid = oid WHERE NOT indisvalid"

    with pytest.raises(subprocess.CalledProcessError):
        await asyncio.to_thread(upgrade, next_version(tmp_path, FAILS_OUTSIDE), migrated)

    assert await revision_of(migrated) == SCHEMA_REVISION
    assert await query(migrated, invalid) == [("half_of_it",)]
    await asyncio.to_thread(upgrade, next_version(tmp_path, REPAIRED), migrated)
    assert await revision_of(migrated) == NEXT
    assert await query(migrated, invalid) == []
