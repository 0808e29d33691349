"""One engine per process, bounded in every direction, and the classes of the database's errors.

Every SQLSTATE has a class: the database is *unavailable* (down, full, too slow, read-only, refusing us): wait and try
again; the transaction is *transient*: run it again; anything else is a bug.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import asyncpg
from sqlalchemy import ExceptionContext, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

from common.tables import SCHEMA_REVISION

P = ParamSpec("P")
T = TypeVar("T")

TRANSACTION_TRIES = 5
ENCODING = "UTF8"
SILENT_SECONDS = 5.0
"""How long after a statement's time limit the server may stay silent before its connection is closed."""

_REFUSED = ("28", "3D")
"""User or password wrong, database unknown: fatal at the start, waited for afterwards (a rotated password)."""
_READ_ONLY = ("25006",)
_SHUTDOWN = ("57P",)
_UNAVAILABLE = (
    *("08", "53", "58"),  # connection; disk full, too many clients, out of memory; system errors
    *("57000", "57014"),  # operator intervention; a statement that was cancelled or ran out of time
    *("55P03", "25P03", "25P04"),  # lock not available; a transaction that was idle or lasted too long
    *_SHUTDOWN,
    *_READ_ONLY,
    *_REFUSED,
)
_NOT_LET_IN = ("42501", "55000")
"""While connecting: no CONNECT privilege, or a database that takes no connections just now."""
_LOST = (*_SHUTDOWN, *_READ_ONLY, *_REFUSED)
"""Errors that no connection of the pool recovers from: all connections are replaced at their next use."""
_TRANSIENT = ("40001", "40P01")
_UNKNOWN_TO_SCHEMA = ("42P01", "42703", "42883")
"""No such table, column or function."""


class UnusableDatabaseError(Exception):
    """The database answers, but waiting will not help: another schema or encoding, a wrong password, no database."""


class UnreachableDatabaseError(SQLAlchemyError):
    """A network error on the way to the database: refused, reset or timed out, at connect or during a statement."""


class _WrongEncodingError(UnreachableDatabaseError):
    """Fatal at startup; a database that comes back with another encoding later counts as absent."""


class _Pool(AsyncAdaptedQueuePool):
    """Converts network errors while connecting, so that other OSErrors are not taken for the database's."""

    __module__ = AsyncAdaptedQueuePool.__module__  # the library's logger has this name

    def connect(self) -> PoolProxiedConnection:
        """Take a connection out of the pool."""
        with network_errors():
            try:
                return super().connect()
            except Exception as error:
                if _sqlstate(error) in _NOT_LET_IN:
                    raise UnreachableDatabaseError(cause_of(error)) from error
                raise


@contextmanager
def network_errors() -> Iterator[None]:
    """Wrap code that uses the database without SQLAlchemy.

    Raises:
        UnreachableDatabaseError: in place of an OSError, which a time-out is too.

    """
    try:
        yield
    except OSError as error:
        raise UnreachableDatabaseError(str(error) or type(error).__name__) from error


def create_engine(
    url: str,
    *,
    application_name: str,
    pool_size: int,
    statement_seconds: float = 30,
    settings: Mapping[str, str] | None = None,
) -> AsyncEngine:
    """Create the engine; it connects at first use. `url` carries the asyncpg driver.

    `settings`: of PostgreSQL, beside those that every connection has.

    Settings we rely on are set at connect, whatever the defaults of role and database are. Whether transactions are
    read-only is not set: an administrator may use that to keep writers out, and a standby cannot be written to anyway.
    """
    engine = create_async_engine(
        url,
        poolclass=_Pool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_use_lifo=True,  # few connections, and those with their statements prepared
        pool_recycle=1800,
        hide_parameters=True,  # errors are logged, and parameters may hold anything
        connect_args={
            "timeout": 5,
            "command_timeout": statement_seconds + SILENT_SECONDS,
            "max_cacheable_statement_size": 0,  # a merge is longer than what is kept prepared by default
            "server_settings": {
                "application_name": application_name,
                "default_transaction_isolation": "read committed",
                "statement_timeout": str(int(statement_seconds * 1000)),
                "lock_timeout": "0",  # waiting for a lock counts as the statement's time
                # a process that freezes amid a page would keep its locks
                "idle_in_transaction_session_timeout": "10000",
                "timezone": "UTC",
                "datestyle": "ISO",  # COPY writes dates as text
                "jit": "off",  # to compile the reconciliation takes longer than to run it
                **(settings or {}),
            },
        },
    )
    event.listen(engine.sync_engine, "connect", _check_encoding)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    event.listen(engine.sync_engine, "handle_error", _classify)
    return engine


def _check_encoding(connection: Any, _: object) -> None:
    found = connection.driver_connection.get_settings().server_encoding  # reported by the server, not asked for
    if found != ENCODING:
        raise _WrongEncodingError(f"the database's encoding is {found} and has to be {ENCODING}")


def _refuse_closed(connection: Any, *_: object) -> None:
    """Make the pool replace connections that the server has closed, by a restart for instance.

    The driver is notified of it at once. A ping before each use would cost a round trip.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def _classify(context: ExceptionContext) -> UnreachableDatabaseError | None:
    """Convert network errors, and replace all connections after errors that none of them recovers from.

    After a failover they may lead to a server that has become read-only.
    """
    error = context.original_exception
    if isinstance(error, OSError):
        context.is_disconnect = True
        return UnreachableDatabaseError(str(error) or type(error).__name__)
    if (_sqlstate(error) or "").startswith(_LOST):
        context.is_disconnect = True
    return None


async def check_schema(engine: AsyncEngine) -> None:
    """Compare the database's encoding and revision with the code's.

    Raises:
        UnusableDatabaseError: one line that says what to do.

    """
    try:
        async with engine.connect() as db:
            found = (await db.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except ProgrammingError as error:
        if is_unavailable(error):
            raise
        found = None
    except (DBAPIError, UnreachableDatabaseError) as error:
        raise_if_unusable(error)
        raise
    if found != SCHEMA_REVISION:
        # revisions are numbered
        advice = "start a newer version" if found and found > SCHEMA_REVISION else "run `alembic upgrade head`"
        raise UnusableDatabaseError(
            f"the database is at schema {found or 'nothing'} and this version needs {SCHEMA_REVISION}: {advice}"
        )


def raise_if_unusable(error: BaseException) -> None:
    """Check at startup for errors that waiting does not help against.

    Raises:
        UnusableDatabaseError: the encoding is another, or the database refuses us.

    """
    if isinstance(error, _WrongEncodingError):
        raise UnusableDatabaseError(f"{error}: create it with ENCODING '{ENCODING}' TEMPLATE template0") from None
    if (_sqlstate(error) or "").startswith(_REFUSED):
        raise UnusableDatabaseError(f"DATABASE_URL is refused: {cause_of(error)}") from None


# --- classes of errors ----------------------------------------------------------------------------------------------


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed if it is run again: a deadlock or a serialization failure."""
    return _sqlstate(error) in _TRANSIENT


def is_unavailable(error: BaseException) -> bool:
    """Whether the database is down, full, too slow or read-only, or refuses us, rather than asked something wrong.

    A connection that the server closes arrives as the driver's own error where the driver is used directly, and
    wrapped elsewhere. An OSError is not the database's unless it came from connecting or from a statement: then it
    arrives as `UnreachableDatabaseError`.
    """
    if isinstance(error, UnreachableDatabaseError | PoolTimeoutError):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, ValueError):  # the driver refuses a parameter before it is sent
        return False
    state = _sqlstate(error)
    if state is not None:
        return state.startswith(_UNAVAILABLE)
    # an internal error of the driver's: it was asked just when the server had closed the connection
    return isinstance(error, DBAPIError | asyncpg.InterfaceError | asyncpg.InternalClientError | asyncpg.PostgresError)


def is_database_trouble(error: BaseException) -> bool:
    """Whether the database is the cause, so that the work is to be retried later."""
    return is_unavailable(error) or is_transient(error)


def is_unknown_to_schema(error: BaseException) -> bool:
    """Whether a statement names what the schema has not: a bug, or a schema that was upgraded meanwhile."""
    return _sqlstate(error) in _UNKNOWN_TO_SCHEMA


def cause_of(error: BaseException) -> str:
    """The server's message, or the network's: without the statement, its parameters, or the server's details."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    driven = getattr(cause, "driver_exception", None) or cause
    told = str(driven.args[0]) if driven is not None and driven.args else ""
    return told.splitlines()[0] if told else type(error).__name__


def _sqlstate(error: BaseException) -> str | None:
    state: str | None = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    return state


# --- the driver itself ------------------------------------------------------------------------------------------

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


# --- transactions ---------------------------------------------------------------------------------------------------


async def in_transaction(
    engine: AsyncEngine,
    work: Callable[[AsyncConnection], Awaitable[T]],
    *,
    on_retry: Callable[[], None] = lambda: None,
) -> T:
    """Run `work` in a transaction and commit it; run it again after a deadlock or a serialization failure.

    Raises:
        DBAPIError: a deadlock or a serialization failure, for the fifth time.

    """

    async def once() -> T:
        async with engine.begin() as db:
            return await work(db)

    return await _again(once, on_retry)


def run_again(transaction: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Decorate what is one transaction: it is run again as `in_transaction` does."""

    @wraps(transaction)
    async def run(*arguments: P.args, **options: P.kwargs) -> T:
        return await _again(partial(transaction, *arguments, **options), lambda: None)

    return run


async def _again(once: Callable[[], Awaitable[T]], on_retry: Callable[[], None]) -> T:
    for attempt in range(1, TRANSACTION_TRIES + 1):
        try:
            return await once()
        except Exception as error:  # the driver's own where the work speaks to it directly
            if not is_transient(error) or attempt == TRANSACTION_TRIES:
                raise
        on_retry()
        await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311  # jitter
    raise AssertionError("unreachable")
