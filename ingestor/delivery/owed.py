"""Which records a stream owes, asked in the present transaction (`common.difference`)."""

from datetime import datetime
from typing import Any

import asyncpg

from common.database import SILENT_SECONDS
from common.difference import Ledger, Scope, difference
from common.lifecycle.deliveries import StreamClaim
from ingestor.delivery.ledger import Unfit
from ingestor.delivery.streams import Position, Registered

NO_KEY = "há registros sem chave"
NO_MOMENT = "a coluna da última mudança não é timestamptz"
AT_ONCE = 50_000
"""Keys of one question: they take some 5 MB."""
QUESTION_SECONDS = 900.0
"""The time of one question: other statements have a minute, in which large tables cannot be compared."""


def scope_of(claim: StreamClaim) -> Scope:
    """What the delivery of a claim asks about."""
    options = claim.options
    keys = options.get("keys")
    return Scope(
        wanted=options.get("mode", "diferencas"),
        is_full=claim.mode == "backfill",
        begun_at=claim.created_at,
        keys=None if keys is None else tuple(keys),
    )


async def load_owed(
    driver: "asyncpg.Connection[Any]", registered: Registered, position: Position, scope: Scope
) -> tuple[list[str], datetime | None]:
    """Keys of records that are owed, `AT_ONCE` at most and in no order, and the oldest change of them.

    Raises:
        Unfit: a record has no key, or its last change is no moment.

    """
    entity = registered.stream.entity
    # one row: a row for each key takes three times the memory, which is not given back
    select = "SELECT array_agg(found.key), min(found.version) FROM ("
    select += f"SELECT {entity.key_sql} AS key, {entity.version} AS version"
    ((keys, oldest),) = await _ask(driver, select, registered, position, scope, after=f"LIMIT {AT_ONCE}) found")
    if keys is None:
        return [], None
    if None in keys:
        raise Unfit(NO_KEY)
    if oldest is not None and (not isinstance(oldest, datetime) or oldest.tzinfo is None):
        raise Unfit(NO_MOMENT)
    return keys, oldest


async def count_owed(
    driver: "asyncpg.Connection[Any]", registered: Registered, position: Position, scope: Scope
) -> tuple[int, datetime | None]:
    """How many records are owed, and the oldest change of them."""
    select = f"SELECT count(*), min({registered.stream.entity.version})"
    ((number, oldest),) = await _ask(driver, select, registered, position, scope)
    return number, oldest


async def _ask(
    driver: "asyncpg.Connection[Any]",
    select: str,
    registered: Registered,
    position: Position,
    scope: Scope,
    *,
    after: str = "",
) -> list[Any]:
    """Ask; both tables whole are joined by hashes, and not by a look-up for each record."""
    ledger = Ledger(registered.id, registered.plan, position.baseline_at, position.cursor_at)
    sql, values = difference(registered.stream, ledger, scope)
    await driver.execute(f"SET LOCAL statement_timeout = {int(QUESTION_SECONDS * 1000)}")
    if scope.looks_at_all(position.cursor_at):
        await driver.execute("SET LOCAL enable_nestloop = off")
        await driver.execute("SET LOCAL work_mem = '64MB'")
    limit = QUESTION_SECONDS + SILENT_SECONDS
    rows: list[Any] = await driver.fetch(f"{select} {sql} {after}", *values, timeout=limit)
    return rows
