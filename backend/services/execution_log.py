"""The log of an execution: load its lines, and delete old ones."""

import asyncio

import structlog
from sqlalchemy import Text, cast, or_, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.errors import UnknownExecutionError
from backend.models.execution_log import ExecutionLog, LogLine, LogQuery
from backend.services.reading import ReadConnections
from common.database import is_database_trouble
from common.lifecycle import Kind, executions
from common.tables import execution_log

log = structlog.get_logger(__name__)

LEVELS = ("debug", "info", "warning", "error", "critical")
FORGET_SECONDS = 3600.0
FORGET_BATCH = 10_000

_line = execution_log.c
_FORGET = text("""
    DELETE FROM execution_log WHERE id IN (
        SELECT id FROM execution_log WHERE logged_at < now() - make_interval(days => :days)
         ORDER BY logged_at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")


async def load_lines(
    reading: ReadConnections, execution_id: int, query: LogQuery, *, kind: Kind = "sync"
) -> ExecutionLog:
    """Lines of an execution that pass the filters, oldest first.

    Raises:
        UnknownExecutionError: there is no such execution of this kind.

    """
    statement = select(*[_line[name] for name in LogLine.model_fields]).where(_line.execution_id == execution_id)
    if query.level != LEVELS[0]:
        statement = statement.where(_line.level.in_(LEVELS[LEVELS.index(query.level) :]))
    if query.text is not None:
        words = query.text.replace("\x00", "")
        said = cast(_line.fields, Text)
        statement = statement.where(
            or_(_line.event.icontains(words, autoescape=True), said.icontains(words, autoescape=True))
        )
    if query.cursor is not None:
        statement = statement.where(_line.id > query.cursor)
    async with reading.connect() as db:
        if not await executions.exists(db, execution_id, kind=kind):
            raise UnknownExecutionError(execution_id)
        rows = (await db.execute(statement.order_by(_line.id).limit(query.limit + 1))).all()
    lines = [LogLine.model_validate(row, from_attributes=True) for row in rows[: query.limit]]
    return ExecutionLog(lines=lines, next_cursor=str(lines[-1].id) if len(rows) > query.limit else None)


async def forget_lines(engine: AsyncEngine, *, days: int, every: float = FORGET_SECONDS) -> None:
    """Delete lines older than `days`, in batches, until cancelled."""
    while True:
        try:
            async with engine.begin() as db:
                forgotten = (await db.execute(_FORGET, {"days": days, "batch": FORGET_BATCH})).rowcount
        except Exception as error:
            if not is_database_trouble(error):  # deletion can wait: an error of it must not end the API
                log.exception("lines of executions could not be deleted")
            forgotten = 0
        if forgotten:
            log.info("lines of executions deleted", lines=forgotten, days=days)
        await asyncio.sleep(1.0 if forgotten == FORGET_BATCH else every)
