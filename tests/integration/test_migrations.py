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


def test_of_the_rows_of_one_rejected_record_the_last_stays(empty_database: str) -> None:
    migrate(empty_database, "upgrade", "0003")
    query(empty_database, OLD_HISTORY)
    query(
        empty_database,
        """
        INSERT INTO rejected_records
               (execution_id, resource, natural_key, reason, payload_hash, payload, created_at, resolved_at)
        VALUES (1, 'contratacoes', 'a', 'r', 'x', '{}', '2025-01-01', NULL),
               (2, 'contratacoes', 'a', 'r', 'x', '{}', '2025-01-02', now()),
               (1, 'contratacoes', 'b', 'r', 'y', '{}', '2025-01-03', now())
        """,
    )

    migrate(empty_database, "upgrade", "head")

    rows = """
        SELECT execution_id, natural_key, to_char(first_seen, 'DD'), to_char(last_seen, 'DD'), times,
               resolved_at IS NULL
          FROM rejected_records ORDER BY natural_key
    """
    assert query(empty_database, rows) == [(2, "a", "01", "02", 2, True), (1, "b", "03", "03", 1, False)]

    migrate(empty_database, "downgrade", "0003")
    assert query(empty_database, "SELECT execution_id, natural_key FROM rejected_records ORDER BY 2") == [
        (2, "a"),
        (1, "b"),
    ]
