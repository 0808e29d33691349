"""What all floors of the tests share: a migrated database of their own, RabbitMQ where there is one, the simulator."""

import asyncio
import os
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from common.database import create_engine
from common.resources.mudancas import MUDANCAS
from common.resources.resumo import DELTAS
from common.tables import deleted_execution_counts, metadata, sync_execution_counts
from standalone.postgres import EmbeddedPostgres
from tests.support import ROOT, migrate

os.environ["LANGUAGE"] = "en"  # what ./pncp says is compared in English, whatever the person's language
os.environ.pop("PNCP_HOME", None)  # a person's folder is not for tests; what they start makes its own
RECORDED = ROOT.parent / "shared" / "pncp" / "real"
# Tenfold faster than TRUNCATE, which makes new files for every table and index. These come last: the triggers of what
# is deleted write them.
_BY_TRIGGERS = [
    *(metadata.tables[name] for name in (DELTAS, MUDANCAS)),
    sync_execution_counts,
    deleted_execution_counts,
]
_TABLES = [*(table for table in reversed(metadata.sorted_tables) if table not in _BY_TRIGGERS), *_BY_TRIGGERS]
_IDENTITIES = [(table.name, column.name) for table in _TABLES for column in table.columns if column.identity]
EMPTY = text(
    "DO $$ BEGIN "
    + " ".join(f"DELETE FROM {table.name};" for table in _TABLES)
    + " ".join(
        f" PERFORM setval(pg_get_serial_sequence('{table}', '{name}'), 1, false);" for table, name in _IDENTITIES
    )
    + " END $$"
)
DEFAULT_RABBITMQ_URL = "amqp://guest:guest@127.0.0.1:5672/"
AMQP_GREETING = b"AMQP\x00\x00\x09\x01"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes (servers that fall, images, browsers), but for those who ask for it."""
    if os.environ.get("PNCP_SLOW_TESTS"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session", autouse=True)
def loggers_follow_the_configuration() -> Iterator[None]:
    """A logger that one test binds for ever to its configuration would not be captured by another."""
    configure = structlog.configure

    def without_cache(*arguments: Any, **options: Any) -> None:
        configure(*arguments, **{**options, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_cache)
        yield


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A server on which databases may be made: the one `./pncp test` has chosen, or one of our own."""
    given = os.environ.get("PNCP_TEST_SERVER_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "postgres") as server:
        yield server.url


@pytest.fixture(scope="session")
def database_url(server_url: str) -> Iterator[str]:
    """A database of this process's own, made by running the migrations."""
    name = f"pncp_test_{uuid.uuid4().hex[:12]}"
    asyncio.run(_execute(server_url, f"CREATE DATABASE {name}"))
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    try:
        migrate(url, "upgrade", "head")
        yield url
    finally:
        asyncio.run(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The application's engine on an empty database."""
    url = make_url(database_url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    # a machine that stands still must not end a test's own transaction
    patient = {"idle_in_transaction_session_timeout": "0"}
    engine = create_engine(url, application_name="pncp-tests", pool_size=20, settings=patient)
    async with engine.begin() as db:
        await db.execute(EMPTY)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """RabbitMQ, if one answers; under CI it must."""
    url = os.environ.get("RABBITMQ_URL") or DEFAULT_RABBITMQ_URL
    if not _broker_greets(url):
        message = f"no RabbitMQ at {urlsplit(url).hostname}:{urlsplit(url).port or 5672}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return url


def _broker_greets(url: str) -> bool:
    """Readiness by protocol: an open port is not yet a broker."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5672), timeout=3) as connection:
            connection.sendall(AMQP_GREETING)
            return bool(connection.recv(1))
    except OSError:
        return False


@pytest.fixture
async def queue_name(rabbitmq_url: str) -> AsyncIterator[str]:
    """The name of a queue that no other test uses; it and its dead letters are deleted afterwards."""
    import aio_pika  # noqa: PLC0415  # most tests need no broker

    name = f"ingest.pncp.test-{uuid.uuid4().hex[:12]}"
    yield name
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection, connection.channel() as channel:
        await channel.queue_delete(name)
        await channel.queue_delete(f"{name}.dead")


@pytest.fixture
def recorded() -> Path:
    """The folder of recorded answers, where it is at hand."""
    if not RECORDED.is_dir():
        pytest.skip("no recorded answers beside the project")
    return RECORDED
