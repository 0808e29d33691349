"""What tests of sources share: databases that play an ERP, their files, and readings step by step."""

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from common.connections.loading import load_connections
from common.connections.settings import Source
from common.lifecycle import Mode, executions, intake, jobs
from common.lifecycle.intake import IntakeClaim
from ingestor.intake import extracting, sources
from ingestor.intake.sources import Registered
from ingestor.metrics import Metrics

MARIADB_URL = "mysql+pymysql://root@127.0.0.1:3306/"
PRODUTOS = """
key: codigo
columns:
  codigo: integer
  nome: {type: text, required: true, max: 100}
  preco: {type: number, decimals: 2}
  mudou: moment
"""
ERP = """
url: ${{env:ERP_URL}}
{options}
entities:
  produtos:
    table: produtos
    key: CODIGO
    page: {page}
    {cursor}
"""


@dataclass
class Erp:
    """A database of others; `url` is that of a source."""

    url: str

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection whose changes are committed."""
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as db:
            yield db
        engine.dispose()

    def run(self, *statements: str, **parameters: Any) -> None:
        """Run statements."""
        with self.connect() as db:
            for statement in statements:
                db.execute(text(statement), parameters)

    def put(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows."""
        if rows:
            names = list(rows[0])
            values = ", ".join(f":{name}" for name in names)
            with self.connect() as db:
                db.execute(text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"), rows)


@contextmanager
def postgresql_erp(server_url: str) -> Iterator[Erp]:
    """Another database on the server of the tests."""
    yield from _erp(make_url(server_url).set(drivername="postgresql+psycopg"), "WITH (FORCE)")


@contextmanager
def mariadb_erp() -> Iterator[Erp]:
    """A database on the MariaDB of this machine, if there is one."""
    yield from _erp(make_url(os.environ.get("MARIADB_URL") or MARIADB_URL), "")


@contextmanager
def sqlite_erp(folder: Path) -> Iterator[Erp]:
    """A file."""
    yield Erp(f"sqlite:///{folder / 'erp.db'}")


def _erp(server: Any, how: str) -> Iterator[Erp]:
    name = f"erp_test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as db:
            db.exec_driver_sql(f"CREATE DATABASE {name}")
    except OperationalError:
        if os.environ.get("CI") and server.drivername.startswith("postgresql"):
            raise
        pytest.skip(f"no database server at {server.host}:{server.port}")
    try:
        yield Erp(server.set(database=name).render_as_string(hide_password=False))
    finally:
        with engine.connect() as db:
            db.exec_driver_sql(f"DROP DATABASE {name} {how}")
        engine.dispose()


def never() -> bool:
    """The worker goes on."""
    return False


@dataclass
class Desk:
    """Readings of the source `erp` in tests, step by step."""

    engine: AsyncEngine
    folder: Path
    registered: list[Registered] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def write(self, source: str, **entities: str) -> None:
        """Write the files."""
        for path, written in {"sources/erp": source, **{f"entities/{n}": e for n, e in entities.items()}}.items():
            target = self.folder / f"{path}.yaml"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(written, encoding="utf-8")

    def write_products(self, *, page: int = 10, cursor: str = "", options: str = "") -> None:
        """Write the files of an ERP with one entity."""
        self.write(ERP.format(page=page, cursor=cursor, options=options), produtos=PRODUTOS)

    @property
    def source(self) -> Source:
        """The source as its file says it now."""
        return load_connections(self.folder).sources["erp"]

    async def ask(self, mode: Mode = "backfill") -> int:
        """A reading whose entities wait to be claimed."""
        async with self.engine.begin() as db:
            self.registered = await sources.register(db, self.source)
            created = await jobs.create(db, kind="intake", subject="erp", mode=mode, trigger="api")
            assert created is not None
            asked = await intake.lock_unplanned(db, ["erp"])
            assert asked is not None
            await jobs.plan(db, asked.id, sources.parts_of(self.registered, mode))
        return created

    async def claim(self, worker_id: str = "worker", lease_seconds: float = 60) -> IntakeClaim | None:
        """The next entity."""
        async with self.engine.begin() as db:
            return await intake.claim(db, worker_id, lease_seconds=lease_seconds, sources=["erp"])

    async def work(self, claim: IntakeClaim | None = None, *, stops: Callable[[], bool] = never) -> bool:
        """Read an entity of the running reading to its end."""
        claim = claim or await self.claim()
        assert claim is not None, "there is nothing to claim"
        registered = next(each for each in self.registered if each.id == claim.part)
        if not await extracting.extract(self.engine, claim, registered, stops=stops, metrics=self.metrics):
            return False
        async with self.engine.begin() as db:
            assert await extracting.finish(db, claim, registered)
        async with self.engine.begin() as db:
            await executions.close(db, claim.execution_id)
        return True

    async def read(self, mode: Mode = "backfill") -> int:
        """A whole reading of all entities; answers the execution."""
        execution_id = await self.ask(mode)
        for _ in range(len(sources.parts_of(self.registered, mode))):
            assert await self.work()
        return execution_id
