"""Fresh databases for each run, on the server of DATABASE_URL or on an embedded one; all are dropped in the end."""

import asyncio
import os
import subprocess
import sys
import uuid
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url

ROOT = Path(__file__).resolve().parent.parent


class Databases:
    """Makes databases by copying one that has been migrated, or empty ones."""

    def __init__(self, server_url: str) -> None:
        self.server_url = server_url
        self._mark = f"pncp_bench_{uuid.uuid4().hex[:8]}"
        self._made: list[str] = []
        self._template = self._create("migrated", "")
        migrate(self.url_of(self._template))

    def fresh(self, name: str, *, migrated: bool = True) -> str:
        """The URL of a new database."""
        return self.url_of(self._create(name, f"TEMPLATE {self._template}" if migrated else ""))

    def kept(self, name: str) -> tuple[str, bool]:
        """The URL of a database of this name, which stays unless it is dropped, and whether it was there already."""
        found = query(self.server_url, "SELECT FROM pg_database WHERE datname = $1", name)
        if not found:
            self._execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return self.url_of(name), bool(found)

    def drop(self, url: str) -> None:
        """Drop one of ours."""
        name = name_of(url)
        if name in self._made:
            self._made.remove(name)
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        """Drop what is left."""
        for name in list(self._made):
            self.drop(self.url_of(name))

    def url_of(self, name: str) -> str:
        """The URL of a database on this server."""
        return make_url(self.server_url).set(database=name).render_as_string(hide_password=False)

    def _create(self, name: str, options: str) -> str:
        full = f"{self._mark}_{name}_{len(self._made)}_{uuid.uuid4().hex[:4]}"
        self._execute(f"CREATE DATABASE {full} {options}")
        self._made.append(full)
        return full

    def _execute(self, statement: str) -> None:
        query(self.server_url, statement)


def name_of(url: str) -> str:
    """The database that a URL names."""
    return make_url(url).database or ""


def migrate(url: str) -> None:
    """Run Alembic as operators do."""
    environment = {**os.environ, "DATABASE_URL": url}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


def query(url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    """Run one statement."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    return asyncio.run(run())
