"""One engine per process, bounded in every direction, and the errors that mean "the database is not there"."""

from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from common.tables import SCHEMA_REVISION

_ABSENT = ("08", "53", "57", "58")
"""Classes of SQLSTATE: connection, resources (disk full, too many clients), operator (shutdown, timeout), system."""
_REFUSED = ("28", "3D")
"""User or password wrong, database unknown."""
_TRANSIENT = ("40001", "40P01")


class UnusableDatabaseError(Exception):
    """The database answers, but waiting will not help: another schema, a wrong password, no such database."""


def create_engine(url: str, *, application_name: str, pool_size: int, statement_seconds: float = 30) -> AsyncEngine:
    """Make the engine; it connects at first use. `url` carries the asyncpg driver."""
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_use_lifo=True,  # few connections, and those with their statements prepared
        pool_recycle=1800,
        hide_parameters=True,  # errors end up in logs, parameters may be anything
        connect_args={
            "timeout": 5,
            "command_timeout": statement_seconds + 5,
            "server_settings": {
                "application_name": application_name,
                "statement_timeout": str(int(statement_seconds * 1000)),
                # a process that is frozen in the middle of a page would keep its rows from everyone else
                "idle_in_transaction_session_timeout": "10000",
                "timezone": "UTC",
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, *_: object) -> None:
    """Have the pool replace what the server has closed, by a restart for instance.

    The driver hears of it when it happens, so that nothing has to be asked: a ping would cost a round trip each time.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


async def check_schema(engine: AsyncEngine) -> None:
    """Compare the database's revision with the code's.

    Raises:
        UnusableDatabaseError: one line that says what to do.

    """
    try:
        async with engine.connect() as db:
            found = (await db.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except ProgrammingError:
        found = None
    except DBAPIError as error:
        if (_sqlstate(error) or "").startswith(_REFUSED):
            raise UnusableDatabaseError(f"DATABASE_URL is refused: {error.orig}") from None
        raise
    if found != SCHEMA_REVISION:
        raise UnusableDatabaseError(
            f"the database is at schema {found or 'nothing'} and this version needs {SCHEMA_REVISION}:"
            " run `alembic upgrade head`"
        )


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed if it is run again: a deadlock or a serialization failure."""
    return _sqlstate(error) in _TRANSIENT


def is_unavailable(error: BaseException) -> bool:
    """Whether the database is down, full or too slow, rather than asked something wrong.

    A refused connection arrives as a bare OSError, as does a time-out; a connection that the server closes arrives as
    the driver's own error where the driver is used directly, and wrapped elsewhere.
    """
    if isinstance(error, OSError | PoolTimeoutError):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, ValueError):  # the driver refuses a parameter before it is sent
        return False
    state = _sqlstate(error)
    if state is not None:
        return state.startswith(_ABSENT)
    # an internal error of the driver's: it was asked just when the server had said good-bye
    return isinstance(error, DBAPIError | asyncpg.InterfaceError | asyncpg.InternalClientError | asyncpg.PostgresError)


def is_overloaded(error: BaseException) -> bool:
    """Whether the database answers, but could not do it: disk full, too many clients, statement too slow."""
    state = _sqlstate(error)
    return state is not None and (state.startswith("53") or state == "57014")


def _sqlstate(error: BaseException) -> str | None:
    state: str | None = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    return state
