"""Executions: the queries behind status, history and one execution, and two writes that are passed on.

Counts are kept on slices while an execution runs, and on its own row when it has ended.
"""

from datetime import datetime
from decimal import Decimal
from functools import reduce
from itertools import groupby
from operator import add
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Double,
    Row,
    Select,
    Table,
    TextClause,
    and_,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.sql.selectable import LateralFromClause

from backend.errors import UnknownExecutionError
from backend.models.sync import (
    HistoryQuery,
    MatrixDay,
    Phase,
    Progress,
    RejectedRecord,
    SlicesQuery,
    SyncExecution,
    SyncExecutionDetail,
    SyncHistory,
    SyncMatrix,
    SyncSlice,
    SyncSlices,
    SyncStatus,
)
from common.clock import BRASILIA, parse_wall_clock
from common.lifecycle import Mode, admission, executions
from common.resources import INLINE
from common.tables import metadata, rejected_records, sync_execution_counts, sync_executions, sync_slices

SHOWN = 100

OWED_TABLES = [metadata.tables[child.debts] for _, child in INLINE]

_execution = sync_executions.c
_slice = sync_slices.c
# Not one that has ended together with its execution, by a cancel or without a worker: that is neither read nor failed.
_is_failed = and_(_slice.status == "error", _slice.cause != literal_column("'cut_off'"))
_is_done = or_(_slice.status == "success", _is_failed)
# as a literal: what is compiled once has no parameters
_is_sync = _execution.kind == literal_column("'sync'")
_is_cancelled = _execution.cause.is_not_distinct_from("cancelled")
# The predicate of their index. The other slices are counted by the last ordinal: of twenty backfills of a year most
# have never been claimed.
_is_touched = or_(
    _slice.started_at.is_not(None), _slice.run_after.is_not(None), _slice.status != literal_column("'pending'")
)


def _count_owed(table: Table) -> ColumnElement[int]:
    """How many lists of a table of debts an execution has left."""
    owed = select(func.count()).select_from(table).where(table.c.execution_id == _execution.id)
    return owed.correlate(sync_executions).scalar_subquery()


def _counts(*conditions: ColumnElement[bool]) -> LateralFromClause:
    """The sums over an execution's slices; their ordinals are 1, 2, ... without a gap."""
    planned = sync_slices.alias("planned")
    total = (
        select(func.coalesce(func.max(planned.c.ordinal), 0))
        .where(planned.c.execution_id == _execution.id, *conditions)
        .correlate(sync_executions)
        .scalar_subquery()
    )
    pages_share = func.least(cast(_slice.pages_done, Double) / func.greatest(_slice.pages_total, 1), 0.99)
    is_ready = and_(_slice.status == "pending", or_(_slice.run_after.is_(None), _slice.run_after <= func.now()))
    return (
        select(
            total.label("slices_total"),
            func.count().filter(_is_done).label("slices_done"),
            func.count().filter(_is_failed).label("slices_failed"),
            func.count().filter(_slice.status == "running").label("slices_running"),
            (total - func.count() + func.count().filter(is_ready)).label("slices_ready"),
            func.coalesce(func.sum(_slice.pages_done), 0).label("pages_done"),
            func.coalesce(func.sum(_slice.records_processed), 0).label("slices_records"),
            func.coalesce(func.sum(_slice.records_inserted), 0).label("records_inserted"),
            func.coalesce(func.sum(_slice.records_updated), 0).label("records_updated"),
            func.coalesce(func.sum(_slice.records_rejected), 0).label("slices_rejected"),
            func.coalesce(func.sum(_slice.itens_written), 0).label("itens_written"),
            (func.sum(case((_is_done, cast(1, Double)), else_=pages_share)) / func.nullif(total, 0)).label("share"),
            func.max(_slice.updated_at).label("slices_updated_at"),
        )
        .where(_slice.execution_id == _execution.id, _is_touched, *conditions)
        .lateral("counts")
    )


def _select_executions(counts: LateralFromClause) -> Select[Any]:
    is_running = _execution.status == "running"
    age = func.extract("epoch", func.now() - _execution.started_at)
    return (
        select(
            _execution.id,
            _execution.resource,
            _execution.mode,
            _execution.criterio,
            _execution.trigger,
            _execution.requested_by,
            _execution.retry_of,
            _execution.window_start,
            _execution.window_end,
            _execution.status,
            case((is_running, counts.c.slices_records), else_=_execution.records_processed).label("records_processed"),
            case((is_running, counts.c.slices_rejected), else_=_execution.records_rejected).label("records_rejected"),
            reduce(add, map(_count_owed, OWED_TABLES)).label("itens_owed"),
            case((is_running, age), else_=_execution.duration_seconds).label("duration_seconds"),
            _execution.cause,
            _execution.error_message,
            _execution.cancelled_by,
            _is_cancelled.label("cancelled"),
            _execution.created_at,
            func.greatest(_execution.updated_at, counts.c.slices_updated_at).label("updated_at"),
            _execution.started_at,
            _execution.finished_at,
            *[
                column
                for column in counts.c
                if column.name not in ("slices_records", "slices_rejected", "slices_updated_at")
            ],
        )
        .select_from(sync_executions.outerjoin(counts, true()))
        .where(_is_sync)
    )


# Of several slices of a day and part, as after an update over a gap, the one that was planned last.
_MATRIX = text("""
    SELECT DISTINCT ON (first_day, last_day, part) first_day, last_day, part,
           CASE WHEN status = 'error' AND cause = 'cut_off' THEN 'cut_off'
                WHEN status = 'pending' AND run_after > now() AND cause IS NOT NULL THEN 'waiting'
                WHEN status = 'success' AND records_rejected > 0 THEN 'rejected'
                ELSE status END AS state
      FROM sync_slices WHERE execution_id = :id
     ORDER BY first_day, last_day, part, ordinal DESC
""")
WITH_PROGRESS = _select_executions(_counts())
# In a list only running executions need their slices counted.
_LISTED = _select_executions(_counts(_execution.status == "running"))


def _newest(statement: Select[Any], most: str) -> TextClause:
    """The newest rows of a statement, as plain SQL.

    Building the cache key of so large a statement takes longer than the database's answer.
    """
    newest_first = statement.order_by(_execution.id.desc())
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return text(str(newest_first.compile(dialect=dialect, compile_kwargs={"literal_binds": True})) + f" LIMIT {most}")


_NEWEST = _newest(WITH_PROGRESS, "1")
_NEWEST_PAGE = _newest(_LISTED, ":most")


class SyncStatusService:
    """Queries, and writes that are passed on, in the given session or connection; the caller commits."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        self._session = session

    async def get_last_execution(self) -> SyncExecutionDetail | None:
        """The newest execution, without its failed slices; `None` if there is none."""
        row = await self._load_newest()
        return None if row is None else _to_detail(row, [], [])

    async def get_current_status(self) -> SyncStatus:
        """The status of the newest execution."""
        row = await self._load_newest()
        if row is None:
            return SyncStatus(
                last_execution=None,
                status="idle",
                resource=None,
                mode=None,
                window_start=None,
                window_end=None,
                records_processed=0,
                itens_owed=0,
                duration_seconds=None,
                cause=None,
                error_message=None,
                last_updated=None,
                execution_id=None,
                phase=None,
                progress=None,
            )
        return SyncStatus(
            last_execution=row.created_at,
            status=row.status,
            resource=row.resource,
            mode=row.mode,
            window_start=row.window_start,
            window_end=row.window_end,
            records_processed=row.records_processed,
            itens_owed=row.itens_owed,
            duration_seconds=_rounded(row.duration_seconds),
            cause=row.cause,
            error_message=row.error_message,
            last_updated=row.updated_at,
            execution_id=row.id,
            phase=_phase_of(row),
            progress=progress_of(row),
        )

    async def _load_newest(self) -> Row[Any] | None:
        return (await self._session.execute(_NEWEST)).one_or_none()

    async def get_history(self, query: HistoryQuery) -> SyncHistory:
        """Executions that pass the filters, newest first, and how many there are in all."""
        filters = _filters(query)
        if query.cursor is not None:
            filters.append(_execution.id < query.cursor)
        most = query.limit + 1
        if filters:
            page = await self._session.execute(_LISTED.where(*filters).order_by(_execution.id.desc()).limit(most))
        else:
            page = await self._session.execute(_NEWEST_PAGE, {"most": most})
        rows = page.all()
        shown = [_to_execution(row) for row in rows[: query.limit]]
        counts = await self._count(query)
        return SyncHistory(
            executions=shown,
            total_count=sum(counts.values()),
            success_count=counts.get("success", 0),
            error_count=counts.get("error", 0),
            cancelled_count=await self._count_cancelled(query),
            running_count=counts.get("running", 0),
            next_cursor=str(shown[-1].id) if len(rows) > query.limit else None,
        )

    async def _count(self, query: HistoryQuery) -> dict[str, int]:
        """Executions that pass the filters, by status; whole histories have been counted beforehand, by triggers."""
        if query.since is not None or query.until is not None:
            counted = (
                select(_execution.status, func.count()).where(_is_sync, *_filters(query)).group_by(_execution.status)
            )
        else:
            kinds = sync_execution_counts.c
            asked = query.model_dump(include={"status", "resource", "mode", "trigger"})
            same = [kinds[name] == value for name, value in asked.items() if value is not None]
            same.append(kinds.kind == "sync")
            counted = select(kinds.status, func.sum(kinds.executions)).where(*same).group_by(kinds.status)
        return {status: int(count) for status, count in await self._session.execute(counted)}

    async def _count_cancelled(self, query: HistoryQuery) -> int:
        """By the index of the cancelled ones, which are few."""
        is_cancelled = _execution.cause == literal_column("'cancelled'")
        counted = select(func.count()).where(is_cancelled, _is_sync, *_filters(query))
        return int((await self._session.execute(counted)).scalar_one())

    async def get_execution(self, execution_id: int) -> SyncExecutionDetail:
        """One execution with its progress and its failed slices.

        Raises:
            UnknownExecutionError: there is none of this id.

        """
        row = (await self._session.execute(WITH_PROGRESS.where(_execution.id == execution_id))).one_or_none()
        if row is None:
            raise UnknownExecutionError(execution_id)
        failed = await self._load_slices(execution_id, SlicesQuery(status="error", limit=SHOWN))
        return _to_detail(row, failed[:SHOWN], await self._load_rejected(execution_id))

    async def get_slices(self, execution_id: int, query: SlicesQuery) -> SyncSlices:
        """The slices of an execution that pass the filters.

        Raises:
            UnknownExecutionError: there is no such execution.

        """
        if not await executions.exists(await self._connection(), execution_id):
            raise UnknownExecutionError(execution_id)
        slices = await self._load_slices(execution_id, query)
        shown = slices[: query.limit]
        return SyncSlices(slices=shown, next_cursor=str(shown[-1].ordinal) if len(slices) > query.limit else None)

    async def get_matrix(self, execution_id: int) -> SyncMatrix:
        """The state of every slice of an execution, by day and part.

        Raises:
            UnknownExecutionError: there is no such execution.

        """
        if not await executions.exists(await self._connection(), execution_id):
            raise UnknownExecutionError(execution_id)
        rows = (await self._session.execute(_MATRIX, {"id": execution_id})).all()
        parts = sorted({row.part for row in rows})
        days = []
        for (first, last), of_day in groupby(rows, key=lambda row: (row.first_day, row.last_day)):
            states = {row.part: row.state for row in of_day}
            days.append(MatrixDay(first_day=first, last_day=last, states=[states.get(part) for part in parts]))
        return SyncMatrix(modalidades=[part or None for part in parts], days=days)

    async def create_execution(
        self, mode: Mode, window_start: datetime | None = None, window_end: datetime | None = None
    ) -> int | None:
        """Record an execution (bounds in Brasília's wall clock); an ingestor's poll finds it without a message."""
        return await admission.create(
            await self._connection(),
            mode=mode,
            window_start=window_start,
            window_end=window_end,
            trigger="api",
        )

    async def update_execution(
        self,
        execution_id: int,
        status: str,
        records_processed: int | None = None,
        duration_seconds: float | None = None,
        error_message: str | None = None,
    ) -> bool:
        """End a running execution as `success` or `error`; `False` if it has ended already.

        Raises:
            ValueError: any other status; a running execution's counts are its slices' alone.

        """
        return await executions.end(
            await self._connection(),
            execution_id,
            status=status,
            records_processed=records_processed,
            duration_seconds=duration_seconds,
            cause="internal" if status == "error" else None,
            error_message=error_message,
        )

    async def _connection(self) -> AsyncConnection:
        return self._session if isinstance(self._session, AsyncConnection) else await self._session.connection()

    async def _load_rejected(self, execution_id: int) -> list[RejectedRecord]:
        statement = (
            select(*[rejected_records.c[name] for name in RejectedRecord.model_fields])
            .where(rejected_records.c.execution_id == execution_id)
            .order_by(rejected_records.c.id)
            .limit(SHOWN)
        )
        rows = await self._session.execute(statement)
        return [RejectedRecord.model_validate(row, from_attributes=True) for row in rows]

    async def _load_slices(self, execution_id: int, query: SlicesQuery) -> list[SyncSlice]:
        """One more row than the limit, to know whether there are more."""
        modalidade = func.nullif(_slice.part, 0).label("modalidade")
        columns = [modalidade if name == "modalidade" else _slice[name] for name in SyncSlice.model_fields]
        statement = select(*columns).where(_slice.execution_id == execution_id)
        if query.status is not None:
            statement = statement.where(_slice.status == query.status)
        if (day := query.chosen_day) is not None:
            statement = statement.where(_slice.first_day <= day, _slice.last_day >= day)
        if query.modalidade is not None:
            statement = statement.where(_slice.part == query.modalidade)
        if query.cursor is not None:
            statement = statement.where(_slice.ordinal > query.cursor)
        rows = await self._session.execute(statement.order_by(_slice.ordinal).limit(query.limit + 1))
        return [SyncSlice.model_validate(row, from_attributes=True) for row in rows]


def _filters(query: HistoryQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    filters += [
        _execution[name] == value
        for name in ("status", "resource", "mode", "trigger")
        if (value := getattr(query, name)) is not None
    ]
    if query.since is not None:
        filters.append(_execution.created_at >= _moment_of(query.since))
    if query.until is not None:
        filters.append(_execution.created_at <= _moment_of(query.until))
    return filters


def _moment_of(wall_clock: str) -> ColumnElement[datetime]:
    """Converted by the database, because Python's calendar ends before some of the moments that can be named."""
    return func.timezone(BRASILIA.key, parse_wall_clock(wall_clock), type_=DateTime(timezone=True))


def _phase_of(row: Row[Any]) -> Phase:
    if row.status != "running":
        return "finished"
    if row.started_at is None:
        return "queued"
    if row.slices_running == 0 and row.slices_ready == 0 and row.slices_done < row.slices_total:
        return "waiting"
    return "running"


def fields_of(row: Row[Any]) -> dict[str, Any]:
    """The fields of a `SyncExecution`, from a row of `WITH_PROGRESS`."""
    fields = {name: getattr(row, name) for name in SyncExecution.model_fields if name != "phase"}
    return {**fields, "phase": _phase_of(row), "duration_seconds": _rounded(row.duration_seconds)}


def _to_execution(row: Row[Any]) -> SyncExecution:
    return SyncExecution(**fields_of(row))


def progress_of(row: Row[Any]) -> Progress:
    """The progress, from a row of `WITH_PROGRESS`."""
    counted = {name: getattr(row, name) for name in Progress.model_fields if name != "percent"}
    percent = 100.0 if row.status == "success" else round(float(row.share or 0) * 100, 1)
    return Progress(percent=percent, **counted)


def _to_detail(row: Row[Any], failed: list[SyncSlice], rejected: list[RejectedRecord]) -> SyncExecutionDetail:
    return SyncExecutionDetail(
        **fields_of(row),
        progress=progress_of(row),
        failed_slices=failed,
        rejected_records=rejected,
    )


def _rounded(seconds: Decimal | float | None) -> float | None:
    return None if seconds is None else round(float(seconds), 2)
