"""The driver's own connection, for what is done once or more for each page, and the form of what it is sent."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import asyncpg
from msgspec import Raw
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

VALUE_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""What PostgreSQL says to a value that it cannot hold: out of range, or too large for an index."""
BYTES_AT_ONCE = 4 * 1024 * 1024
"""Bytes of payloads that one statement takes, about: they are joined, encoded and sent, each time as a copy."""
_ANYTHING = text("SELECT")


async def driver_of(db: AsyncConnection) -> "asyncpg.Connection[Any]":
    """The driver's own connection, inside the transaction that SQLAlchemy has begun on it, for what is done per page.

    It prepares a statement once and takes arrays as they are; SQLAlchemy's way there costs several times as much.
    """
    driver = await raw_driver_of(db)
    if not driver.is_in_transaction():
        await db.execute(_ANYTHING)  # SQLAlchemy begins its transaction with its own first statement only
    return driver


async def raw_driver_of(db: AsyncConnection) -> "asyncpg.Connection[Any]":
    """The driver's own connection, in no transaction unless there is one."""
    raw = await db.get_raw_connection()
    driver = raw.driver_connection
    if not isinstance(driver, asyncpg.Connection):
        raise TypeError("not an asyncpg connection")
    return driver


def in_one(payloads: Sequence[bytes | Raw]) -> tuple[list[int], list[int], bytes]:
    """Where each payload begins, counted from 1, how many bytes it has, and all of them."""
    sizes = [memoryview(payload).nbytes for payload in payloads]
    return list(accumulate(sizes[:-1], initial=1)), sizes, b"".join(payloads)
