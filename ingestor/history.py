"""Deletes what is old: executions with their slices and lines of the log, resolved rejections, coletas, and changes.

What the mirror knows does not depend on it: what has been read is in the ledger (`common/coverage.py`), items that are
owed and records that are rejected stay, and metrics go on counting what was deleted. Of the executions that stay
whatever their age, `_KEPT` and `_OLD` say why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import in_transaction

log = structlog.get_logger(__name__)

ONE_DELETER = 7_020_114_138
"""The advisory lock of the one ingestor that is deleting."""

KEPT = 20
EXECUTIONS_AT_ONCE = 100
SLICES_AT_ONCE = 3000
"""A single execution may have more: it is deleted as a whole, so that no reader sees half of one."""
ROWS_AT_ONCE = 5000
PAGES_AT_ONCE, COLETAS_AT_ONCE = 500, 10
"""A page of a coleta may have megabytes, and its own row eight."""
PAUSE_SECONDS = 0.2

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
# The newest of each kind: they tell which parts are mirrored, how long work takes, and when the last success was.
_KEPT = text("""
    SELECT id
      FROM (SELECT id, row_number() OVER (PARTITION BY kind, resource, mode, status ORDER BY id DESC) AS place
              FROM sync_executions WHERE planned_at IS NOT NULL AND retry_of IS NULL AND status <> 'running') AS e
     WHERE place <= :kept
""")
# Not what a retry under way repeats, and not what has read changes beyond a gap: a watermark takes those readings in
# when the gap has been read. Most slices an execution has are its last ordinal.
_OLD = text("""
    SELECT e.id, (SELECT coalesce(max(s.ordinal), 0) FROM sync_slices s WHERE s.execution_id = e.id) AS slices
      FROM sync_executions e
     WHERE e.status <> 'running' AND e.created_at < now() - make_interval(days => :days)
       AND e.finished_at < now() - make_interval(days => :days)
       AND NOT e.id = ANY(CAST(:kept AS bigint[]))
       AND NOT EXISTS (SELECT FROM sync_executions r WHERE r.retry_of = e.id AND r.status = 'running')
       AND NOT EXISTS (SELECT FROM sync_slices s JOIN watermarks w ON w.resource = s.resource AND w.part = s.part
                        WHERE s.execution_id = e.id AND s.criterio = 'atualizacao' AND s.status = 'success'
                          AND s.window_end > w.reached)
     ORDER BY e.created_at
     LIMIT :most
       FOR UPDATE OF e SKIP LOCKED
""")
_DELETE_LINES = text("""
    DELETE FROM execution_log
     WHERE id IN (SELECT id FROM execution_log WHERE execution_id = ANY(CAST(:ids AS bigint[])) LIMIT :most)
""")
_DELETE_EXECUTIONS = text("DELETE FROM sync_executions WHERE id = ANY(CAST(:ids AS bigint[]))")
_DELETE_RESOLVED = text("""
    DELETE FROM rejected_records
     WHERE id IN (SELECT id FROM rejected_records
                   WHERE resolved_at < now() - make_interval(days => :days) LIMIT :most)
""")
# Not while its execution is under way.
_OLD_COLETAS = text("""
    SELECT id FROM coletas
     WHERE status IS NOT NULL AND data_coleta < now() - make_interval(days => :days)
     ORDER BY data_coleta
     LIMIT :most
""")
_DELETE_PAGES = text("""
    DELETE FROM coleta_paginas
     WHERE id IN (SELECT id FROM coleta_paginas WHERE coleta_id = ANY(CAST(:ids AS bigint[])) LIMIT :most)
""")
_DELETE_COLETAS = text("DELETE FROM coletas WHERE id = ANY(CAST(:ids AS bigint[]))")
# In the order of their numbers, which is nearly that of time; readers are told up to which one they have gone.
_DELETE_CHANGES = text("""
    WITH oldest AS (
        SELECT seq, quando FROM mudancas ORDER BY seq LIMIT :most
    ), deleted AS (
        DELETE FROM mudancas m USING oldest o
         WHERE m.seq = o.seq AND o.quando < now() - make_interval(days => :days)
        RETURNING m.seq
    ), noted AS (
        INSERT INTO change_horizon AS known (id, deleted_to) SELECT 1, max(seq) FROM deleted HAVING count(*) > 0
        ON CONFLICT (id) DO UPDATE SET deleted_to = greatest(known.deleted_to, excluded.deleted_to)
    )
    SELECT count(*) FROM deleted
""")


@dataclass(frozen=True)
class Deleted:
    """What one transaction has deleted; `is_all`: nothing else is old enough, or another ingestor is deleting."""

    executions: int = 0
    slices: int = 0
    lines: int = 0
    rejections: int = 0
    coletas: int = 0
    pages: int = 0
    changes: int = 0
    is_all: bool = True


async def delete_old(
    engine: AsyncEngine, days: int, stopping: asyncio.Event, *, coletas_days: int = 0, changes_days: int = 0
) -> None:
    """Delete what ended more than so many days ago, in small transactions, until nothing is left or `stopping` is set.

    Coletas and changes have days of their own; 0 keeps all. Of several ingestors one does it.
    """
    if days:
        async with engine.connect() as db:
            kept = list((await db.execute(_KEPT, {"kept": KEPT})).scalars())
        names = ("executions", "slices", "lines", "rejections")
        total = await _repeat(engine, stopping, lambda db: _delete_some(db, days, kept), names)
        if any(total.values()):
            log.info("old history deleted", days=days, **total)
    if coletas_days:
        total = await _repeat(engine, stopping, lambda db: _delete_some_coletas(db, coletas_days), ("coletas", "pages"))
        if any(total.values()):
            log.info("old coletas deleted", days=coletas_days, **total)
    if changes_days:
        total = await _repeat(engine, stopping, lambda db: _delete_some_changes(db, changes_days), ("changes",))
        if any(total.values()):
            log.info("old changes deleted", days=changes_days, **total)


async def _repeat(
    engine: AsyncEngine,
    stopping: asyncio.Event,
    step: Callable[[AsyncConnection], Awaitable[Deleted]],
    names: Iterable[str],
) -> dict[str, int]:
    """Repeat a step until it has deleted all; answers how many of these were deleted."""
    total = dict.fromkeys(names, 0)
    is_all = False
    while not is_all and not stopping.is_set():
        deleted = await in_transaction(engine, step)
        total = {name: count + getattr(deleted, name) for name, count in total.items()}
        is_all = deleted.is_all
        if not is_all:
            await asyncio.sleep(PAUSE_SECONDS)
    return total


async def _delete_some_coletas(db: AsyncConnection, days: int) -> Deleted:
    """Delete coletas after all of their pages."""
    if not (await db.execute(_TRY_LOCK, {"key": ONE_DELETER})).scalar_one():
        return Deleted()
    ids = list((await db.execute(_OLD_COLETAS, {"days": days, "most": COLETAS_AT_ONCE})).scalars())
    pages = (await db.execute(_DELETE_PAGES, {"ids": ids, "most": PAGES_AT_ONCE})).rowcount
    if pages == PAGES_AT_ONCE:
        return Deleted(pages=pages, is_all=False)
    await db.execute(_DELETE_COLETAS, {"ids": ids})
    return Deleted(pages=pages, coletas=len(ids), is_all=len(ids) < COLETAS_AT_ONCE)


async def _delete_some_changes(db: AsyncConnection, days: int) -> Deleted:
    if not (await db.execute(_TRY_LOCK, {"key": ONE_DELETER})).scalar_one():
        return Deleted()
    changes: int = (await db.execute(_DELETE_CHANGES, {"days": days, "most": ROWS_AT_ONCE})).scalar_one()
    return Deleted(changes=changes, is_all=changes < ROWS_AT_ONCE)


async def _delete_some(db: AsyncConnection, days: int, kept: Iterable[int]) -> Deleted:
    if not (await db.execute(_TRY_LOCK, {"key": ONE_DELETER})).scalar_one():
        return Deleted()
    resolved = (await db.execute(_DELETE_RESOLVED, {"days": days, "most": ROWS_AT_ONCE})).rowcount
    old = (await db.execute(_OLD, {"days": days, "kept": list(kept), "most": EXECUTIONS_AT_ONCE})).all()
    ids, slices = list[int](), 0
    for row in old:
        if ids and slices + row.slices > SLICES_AT_ONCE:
            break
        ids.append(row.id)
        slices += row.slices
    if not ids:
        return Deleted(rejections=resolved, is_all=resolved < ROWS_AT_ONCE)
    lines = (await db.execute(_DELETE_LINES, {"ids": ids, "most": ROWS_AT_ONCE})).rowcount
    if lines == ROWS_AT_ONCE:  # the executions go when their lines have gone
        return Deleted(lines=lines, rejections=resolved, is_all=False)
    await db.execute(_DELETE_EXECUTIONS, {"ids": ids})
    return Deleted(len(ids), slices, lines, resolved, is_all=False)
