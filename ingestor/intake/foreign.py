"""A database of others: one connection, used in one thread, that only reads, within limits of time and bytes.

What goes wrong is told in sentences of ours with the driver's class and code of the error: its own words may hold the
address with its password, or values of records.
"""

import asyncio
import importlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import quote

import structlog
from sqlalchemy import URL, Connection, CursorResult, Engine, ExceptionContext, Select, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from common.connections.secrets import SecretMissing
from common.connections.settings import Source, SourceEntity
from common.connections.sources import DRIVERS, kind_of
from ingestor.intake import statements
from ingestor.intake.columns import ForeignColumn, Row, Shape
from ingestor.intake.faults import SourceChanged, SourceDown, SourceMisconfigured

log = structlog.get_logger(__name__)

CHUNK_ROWS = 200
"""Rows that a driver holds at once, beside those of the page."""
MOST_BYTES = 16 * 1024 * 1024
"""Of a page; one that has them ends there, however few its rows."""
CONNECT_SECONDS = 10
SILENT_SECONDS = 5
"""How long after a statement's time limit the server may stay silent before its connection is given up."""
PACKAGES: Mapping[str, tuple[str, str]] = {
    "oracle": ("oracledb", "oracledb"),
    "postgresql": ("psycopg", "psycopg[binary]"),
    "mysql": ("pymysql", "pymysql[rsa]"),
    "mariadb": ("pymysql", "pymysql"),
    "mssql": ("pyodbc", "pyodbc"),
    "sqlite": ("sqlite3", ""),
}
"""The module of each driver, and the package that brings it."""
SQLSTATE_LENGTH = 5
BRASILIA = "America/Sao_Paulo"
_LATE = ("57014", "3024", "1969", "DPY-4024", "DPI-1067", "HYT00", "HYT01", "SQLITE_INTERRUPT")
"""Codes of statements that ran out of their time."""
_FIXED: Mapping[str, tuple[str, ...]] = {
    "postgresql": ("42", "22", "3F", "0A"),
    "mysql": ("1054", "1064", "1142", "1143", "1146", "1267", "1305", "1345", "1356", "1370"),
    "oracle": ("ORA-009", "ORA-01031", "ORA-01427", "ORA-01476", "ORA-01722", "ORA-04063"),
    "mssql": ("42", "22"),
    "sqlite": ("SQLITE_ERROR",),
}
"""Beginnings of codes that say that a statement does not fit what is there, so that trying again does not help."""

T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """Rows in their order; `is_whole`: there is nothing behind them."""

    rows: list[Row]
    is_whole: bool


class ForeignDatabase:
    """A connection to a source, open as a context manager.

    Every method raises `SourceDown` or `SourceChanged`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"source-{source.name}")
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._raw: Any = None
        self._result: CursorResult[Any] | None = None
        self._deadline = 0.0
        self._is_busy = False
        self.dialect = ""

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            SourceMisconfigured: a secret or a driver is missing, or the address is none.
            SourceDown: there is no connection.

        """
        try:
            await self._run(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection; a statement that is under way is cancelled first."""
        if self._is_busy:
            _interrupt(self._raw)
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    async def columns(self, entity: SourceEntity) -> list[ForeignColumn]:
        """The columns that there are, in their order."""
        return await self._run(self._columns, statements.probe(entity), entity)

    async def page(self, shape: Shape, after: Sequence[Any]) -> Page:
        """Rows from that with the key `after` on, which is among them if it is still there."""
        limit = shape.entity.page + bool(after)
        statement = statements.page(
            shape.entity, shape.columns, shape.key, after=after, limit=limit, dialect=self.dialect
        )
        return await self._run(self._page, statement, limit)

    async def changes(self, shape: Shape, since: Any, after: Sequence[Any]) -> Page:
        """Rows whose cursor is `since` or later, from that of `after`, cursor and key, on."""
        assert shape.cursor is not None  # noqa: S101  # without one there are none
        limit = shape.entity.page + bool(after)
        statement = statements.changes(
            *(shape.entity, shape.columns, shape.key),
            cursor=shape.cursor,
            since=since,
            after=after,
            limit=limit,
            dialect=self.dialect,
        )
        return await self._run(self._page, statement, limit)

    async def stream(self, shape: Shape, since: Any = None) -> AsyncIterator[Page]:
        """All rows in no order, by one statement; with `since` those whose cursor is that or later."""
        statement = statements.everything(shape.entity, shape.columns, shape.key)
        if since is not None and shape.cursor is not None:
            statement = statements.changes(
                *(shape.entity, shape.columns, shape.key),
                cursor=shape.cursor,
                since=since,
                after=(),
                limit=None,
                dialect=self.dialect,
            )
        result = await self._run(self._execute, statement)
        page = Page([], is_whole=False)
        while not page.is_whole:
            page = await self._run(self._take, result, shape.entity.page)
            yield page
        await self._run(self._end, result)

    async def without_key(self, shape: Shape, most: int) -> list[Row]:
        """Some rows in which a part of the key is null."""
        statement = statements.without_key(shape.entity, shape.columns, shape.key, limit=most)
        return (await self._run(self._page, statement, most + 1)).rows

    async def newest(self, shape: Shape, until: Any = None) -> Any:
        """The greatest value of the cursor, of those up to `until`; null where there is none."""
        assert shape.cursor is not None  # noqa: S101
        statement = statements.newest(shape.entity, shape.cursor, until=until, dialect=self.dialect)
        return (await self._run(self._page, statement, 2)).rows[0][0]

    # --- in the thread ------------------------------------------------------------------------------------------------

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        self._is_busy = True  # until the thread has come back: a cancelled wait leaves it at work
        self._deadline = time.monotonic() + self._source.timeout
        try:
            done = await asyncio.get_running_loop().run_in_executor(
                self._thread, partial(self._guarded, work, *arguments)
            )
        except Exception:
            self._is_busy = False
            raise
        self._is_busy = False
        return done

    def _guarded(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do a piece of work, with its errors in our words."""
        try:
            return work(*arguments)
        except DBAPIError as error:
            is_open = self._connection is not None
            raise _of_driver(error, self.dialect, self._source.timeout, is_open=is_open) from None
        except SQLAlchemyError as error:
            raise SourceDown(f"o banco de dados não pode ser lido ({type(error).__name__})") from None
        except (ValueError, OverflowError) as error:  # the driver cannot make a value of what it was sent
            raise SourceChanged(f"há um valor que o driver não lê ({type(error).__name__})") from None
        except OSError as error:
            raise SourceDown(f"não há conexão com o banco de dados ({type(error).__name__})") from None

    def _open(self) -> None:
        url = _url_of(self._source)
        self.dialect = url.get_dialect()().name
        self._engine = create_engine(url, **_engine_options(url, self.dialect, self._source.timeout))
        if self.dialect == "postgresql":
            event.listen(self._engine, "handle_error", _close_cursor)
        connection = self._connection = self._engine.connect()
        for statement in _session_statements(connection, self._source.timeout):
            connection.exec_driver_sql(statement)
        raw: Any = connection.connection.driver_connection
        self._raw = raw
        match self.dialect:
            case "postgresql":
                _adapt_postgresql(raw)
            case "oracle":
                raw.call_timeout = int(self._source.timeout * 1000)
            case "mssql":
                raw.timeout = int(self._source.timeout)
            case "sqlite":
                raw.set_progress_handler(lambda: time.monotonic() > self._deadline, 10_000)
        connection.commit()

    def _close(self) -> None:
        try:
            if self._result is not None:  # a reading that was left amid its rows
                self._result.close()
            if self._connection is not None:
                self._connection.close()
            if self._engine is not None:
                self._engine.dispose()
        except (SQLAlchemyError, OSError) as error:
            log.debug("a source's connection was not closed in order", error=type(error).__name__)

    def _begin(self) -> Connection:
        assert self._connection is not None  # noqa: S101  # it is open
        if self._connection.in_transaction():  # a statement before it has failed
            self._connection.rollback()
        if self.dialect == "oracle":
            self._connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        return self._connection

    def _columns(self, statement: Select[Any], entity: SourceEntity) -> list[ForeignColumn]:
        connection = self._begin()
        result = connection.execute(statement)
        described: Any = result.cursor.description or ()
        found = [ForeignColumn(each[0], _type_name(self.dialect, each[1])) for each in described]
        result.close()
        connection.rollback()
        if not found:
            raise SourceChanged(f"`{entity.table or 'query'}` não tem colunas")
        return found

    def _execute(self, statement: Select[Any]) -> CursorResult[Any]:
        # rows come as they are asked for, and none of them waits in the driver
        options = {"stream_results": True, "yield_per": CHUNK_ROWS}
        self._result = self._begin().execute(statement, execution_options=options)
        return self._result

    def _page(self, statement: Select[Any], limit: int) -> Page:
        result = self._execute(statement)
        page = self._take(result, limit)
        self._end(result)
        return page

    def _take(self, result: CursorResult[Any], limit: int) -> Page:
        rows: list[Row] = []
        size = 0
        while len(rows) < limit and size < MOST_BYTES:
            chunk = result.fetchmany(min(CHUNK_ROWS, limit - len(rows)))
            if not chunk:
                return Page(rows, is_whole=True)
            rows += map(tuple, chunk)
            size += sum(map(_size_of, chunk))
        return Page(rows, is_whole=False)

    def _end(self, result: CursorResult[Any]) -> None:
        """End a reading and its transaction, which frees what the server keeps for it."""
        result.close()
        self._result = None
        if self._connection is not None:
            self._connection.rollback()


def _size_of(row: Iterable[Any]) -> int:
    return sum(len(value) if isinstance(value, str | bytes) else 16 for value in row)


def _url_of(source: Source) -> URL:
    try:
        address = source.url.resolve()
    except SecretMissing as error:
        raise SourceMisconfigured(str(error)) from None
    kind = kind_of(address)
    if kind is None:
        raise SourceMisconfigured(f"o endereço não começa com {', '.join(f'{each}://' for each in DRIVERS)}")
    module, package = PACKAGES[kind]
    try:
        importlib.import_module(module)
    except ImportError:
        raise SourceMisconfigured(f"falta o driver {module}: pip install '{package}'") from None
    try:
        url = make_url(address).set(drivername=DRIVERS[kind])
    except (SQLAlchemyError, ValueError):
        raise SourceMisconfigured("o endereço do banco de dados não pode ser lido") from None
    if kind == "sqlite":  # a file that is not there is not made
        path = quote(url.database or "")
        return url.set(database=f"file:{path}", query={**url.query, "mode": "ro", "uri": "true"})
    return url


def _engine_options(url: URL, dialect: str, timeout: float) -> dict[str, Any]:
    seconds = int(timeout) + SILENT_SECONDS
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    arguments: dict[str, Any] = {}
    match dialect:
        case "postgresql":
            arguments = {"connect_timeout": CONNECT_SECONDS, "prepare_threshold": None}
            arguments["application_name"] = url.query.get("application_name", "pncp-sync")
        case "mysql":
            arguments = {"connect_timeout": CONNECT_SECONDS, "read_timeout": seconds, "write_timeout": seconds}
            arguments["charset"] = url.query.get("charset", "utf8mb4")
        case "oracle":
            _set_oracle_defaults()
            # numbers and long texts come as the driver gives them: exact, and whole
            options |= {"coerce_to_decimal": False, "auto_convert_lobs": False, "arraysize": CHUNK_ROWS}
            arguments = {"tcp_connect_timeout": CONNECT_SECONDS}
        case "mssql":
            arguments = {"timeout": CONNECT_SECONDS}
    return options | {"connect_args": arguments}


def _set_oracle_defaults() -> None:
    defaults = importlib.import_module("oracledb").defaults
    defaults.fetch_decimals = True
    defaults.fetch_lobs = False


def _session_statements(connection: Connection, timeout: float) -> list[str]:
    """What makes a session read-only, limits its statements, and has them in Brasília's time."""
    milliseconds = int(timeout * 1000)
    match connection.dialect.name:
        case "postgresql":
            return [
                "SET default_transaction_read_only = on",
                f"SET statement_timeout = {milliseconds}",
                f"SET timezone = '{BRASILIA}'",
            ]
        case "mysql":
            is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
            limit = f"max_statement_time = {timeout}" if is_mariadb else f"max_execution_time = {milliseconds}"
            return ["SET SESSION TRANSACTION READ ONLY", f"SET SESSION {limit}", "SET SESSION time_zone = '-03:00'"]
        case "oracle":
            # by default the language of the server says how it orders texts, and not how it compares them
            return [
                "ALTER SESSION SET NLS_SORT = BINARY NLS_COMP = BINARY",
                f"ALTER SESSION SET TIME_ZONE = '{BRASILIA}'",
            ]
        case "mssql":
            return [f"SET LOCK_TIMEOUT {milliseconds}"]
        case _:
            return ["PRAGMA query_only = ON"]


def _adapt_postgresql(raw: Any) -> None:
    """Numbers in JSON are read exactly, and moments beyond the calendar as their text."""
    json_types = importlib.import_module("psycopg.types.json")
    json_types.set_json_loads(partial(json.loads, parse_float=Decimal), raw)
    datetimes = importlib.import_module("psycopg.types.datetime")
    data_error = importlib.import_module("psycopg").DataError
    for kind in ("Date", "Timestamp", "Timestamptz"):
        raw.adapters.register_loader(kind.lower(), _lenient(getattr(datetimes, f"{kind}Loader"), data_error))


def _close_cursor(context: ExceptionContext) -> None:
    """Close the cursor of a statement that has failed; of a connection that is gone nothing else closes it."""
    execution = context.execution_context
    if execution is not None and execution.cursor is not None:
        execution.cursor.close()


def _lenient(loader: Any, data_error: type[Exception]) -> Any:
    class Lenient(loader):  # type: ignore[misc]  # the driver is there only where it is used
        def load(self, data: Any) -> date | datetime | str:
            try:
                read: date | datetime = super().load(data)
            except data_error:  # `infinity`, and years before Christ
                return bytes(data).decode()
            return read

    return Lenient


def _type_name(dialect: str, code: Any) -> str:
    """What a driver calls the type of a column; empty where it says nothing."""
    if code is None:
        return ""
    if dialect == "postgresql":
        known = importlib.import_module("psycopg").postgres.types.get(code)
        return known.name if known is not None else str(code)
    if dialect == "mysql":
        kinds = vars(importlib.import_module("pymysql.constants.FIELD_TYPE"))
        return next((name.lower() for name, number in kinds.items() if number == code), str(code))
    return str(getattr(code, "name", None) or getattr(code, "__name__", None) or code)


def _interrupt(raw: Any) -> None:
    """Ask the database to end the statement under way, where its driver can do that from another thread."""
    stop = getattr(raw, "cancel", None) or getattr(raw, "interrupt", None)
    if stop is None:
        return
    try:
        stop()
    except Exception as error:  # noqa: BLE001  # drivers have errors of their own; the time limit ends the statement
        log.debug("a statement of a source was not cancelled", error=type(error).__name__)


def _of_driver(error: DBAPIError, dialect: str, timeout: float, *, is_open: bool) -> SourceDown | SourceChanged:
    """An error of the driver's in our words. `is_open`: there was a connection."""
    code = _code_of(error.orig)
    told = f"{type(error.orig).__name__}, {code}" if code else type(error.orig).__name__
    if not is_open:
        return SourceDown(f"não há conexão com o banco de dados ({told})")
    if code in _LATE:
        return SourceDown(f"a consulta passou de {timeout:g} segundos ({told})")
    if not error.connection_invalidated and code.startswith(_FIXED.get(dialect, ())):
        return SourceChanged(f"o banco de dados recusou a consulta ({told})")
    return SourceDown(f"o banco de dados não respondeu como devia ({told})")


def _code_of(error: BaseException | None) -> str:
    """The code of a driver's error, empty where it has none."""
    first = error.args[0] if error is not None and error.args else None
    if isinstance(first, int):  # those of MySQL say more than its SQLSTATE
        return str(first)
    for owner, name in ((first, "full_code"), (error, "sqlstate"), (error, "sqlite_errorname")):
        if getattr(owner, name, None):
            return str(getattr(owner, name))
    return first if isinstance(first, str) and len(first) == SQLSTATE_LENGTH else ""
