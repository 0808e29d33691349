"""The migrations: up from nothing, down to nothing, in agreement with the tables that the code knows."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from tests.support import migrate

LEFT = """
    SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
     WHERE nspname = 'public' AND relname NOT LIKE 'alembic_version%'
    UNION ALL SELECT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'public'
"""
OLD_HISTORY = """
    INSERT INTO sync_executions (mode, criterio, trigger, status, finished_at, records_processed, duration_seconds)
    VALUES ('update', 'atualizacao', 'api', 'success', now(), 7, 1.5),
           ('update', 'atualizacao', 'api', 'success', now(), 5, 2.5),
           ('backfill', 'publicacao', 'sweep', 'error', now(), 0, NULL)
"""


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    name = f"pncp_test_{uuid.uuid4().hex[:12]}"
    query(server_url, f"CREATE DATABASE {name}")
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    query(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(run())


def test_the_schema_goes_up_agrees_with_the_tables_and_goes_down_to_nothing(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "head")
    migrate(empty_database, "check")
    assert query(empty_database, LEFT)

    migrate(empty_database, "downgrade", "base")
    assert query(empty_database, LEFT) == []

    migrate(empty_database, "upgrade", "head")


def test_what_a_history_came_to_before_it_was_counted_is_counted_too(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "0001")
    query(empty_database, OLD_HISTORY)

    migrate(empty_database, "upgrade", "head")

    counts = (
        "SELECT mode, status, executions, records_processed, duration_seconds FROM sync_execution_counts ORDER BY 1"
    )
    assert query(empty_database, counts) == [("backfill", "error", 1, 0, 0), ("update", "success", 2, 12, 4)]
