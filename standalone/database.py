"""The launcher's own queries, and the mark that distinguishes demonstration data from real data."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from common.resources import RESOURCES
from common.resources.dominios import DOMINIOS
from common.resources.parties import PARTIES
from standalone.language import tr
from standalone.settings import hide_password, plain_url
from standalone.system import LaunchError

MARK = "demonstration data of PNCP Sync"

T = TypeVar("T")


@dataclass(frozen=True)
class Contents:
    """What a database holds: executions at all, and whether a demonstration made them."""

    has_executions: bool
    is_marked: bool


def look_into(url: str) -> Contents:
    """What the database holds; a LaunchError in one line when it cannot be reached."""
    return _ask(url, _look_into)


def mark(url: str) -> None:
    """Note in the database that its data are a demonstration's; its tables must exist."""
    _ask(url, lambda connection: connection.execute(f"COMMENT ON TABLE sync_executions IS '{MARK}'"))


def count(url: str) -> dict[str, int]:
    """How many rows each table of the mirror holds."""
    return _ask(url, _count)


def count_owed(url: str) -> int:
    """How many lists of records are still to be read, save empty ones, which are read again much later."""
    return _ask(url, _count_owed)


async def _look_into(connection: "asyncpg.Connection[asyncpg.Record]") -> Contents:
    if await connection.fetchval("SELECT to_regclass('sync_executions')") is None:
        return Contents(has_executions=False, is_marked=False)
    comment = await connection.fetchval("SELECT obj_description(to_regclass('sync_executions'), 'pg_class')")
    found = await connection.fetchval("SELECT EXISTS (SELECT FROM sync_executions)")
    return Contents(has_executions=bool(found), is_marked=comment == MARK)


async def _count(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    tables = [
        *(table for resource in RESOURCES for table in resource.tables),
        *(party.name for party in PARTIES),
        DOMINIOS,
    ]
    return {table: int(await connection.fetchval(f"SELECT count(*) FROM {table}")) for table in tables}  # noqa: S608


async def _count_owed(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    debts = [child.debts for resource in RESOURCES for child in resource.lists]
    soon = "due_at < now() + interval '20 minutes'"
    return sum([int(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {soon}")) for table in debts])  # noqa: S608


def _ask(url: str, question: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[T]]) -> T:
    async def connect_and_ask() -> T:
        try:
            connection = await asyncpg.connect(plain_url(url), timeout=10)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            what = str(error) or type(error).__name__
            shown = hide_password(url)
            raise LaunchError(tr("no connection to the database {url}: {error}", url=shown, error=what)) from error
        try:
            return await question(connection)
        finally:
            await connection.close()

    return asyncio.run(connect_and_ask())
