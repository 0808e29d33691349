"""How far each listing of changes has been read without a gap: the only writer of the table `watermarks`.

A row says: everything that changed from `since` to `reached` has been read. It begins with the first update of its
listing that succeeds, and moves only where a reading adjoins, so that a gap stays visible until it has been read.

Every successful slice by `atualizacao` counts, whatever planned it: an update, the backfill of a gap, a sweep, a retry.
Such slices end in any order. A slice that moves the row also takes in those that ended before it and adjoin now.

What lies beyond `reached` is known from slices alone, which are kept whatever their age as long as they lie there.
Those that end before `since` may be deleted: then `since` moves less far back, which claims less.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.resources import RESOURCES_BY_NAME
from common.resources.description import CRITERIOS

_SECOND = timedelta(seconds=1)  # windows are whole seconds, ends included

# `read_until`: up to when a slice proves that it has seen everything. A listing cannot show what happened after it was
# read. The statements that look for slices repeat the predicate of ix_sync_slices_watermark.
_READING = text("""
    SELECT resource, part, mode, window_start,
           LEAST(window_end, timezone('America/Sao_Paulo', started_at)) AS read_until
      FROM sync_slices WHERE id = :slice_id
""")
_LOCK = text("""
    SELECT since, reached, complete_from FROM watermarks WHERE resource = :resource AND part = :part FOR UPDATE
""")
_BEGIN = text("""
    INSERT INTO watermarks (resource, part, since, reached) VALUES (:resource, :part, :since, :reached)
        ON CONFLICT (resource, part) DO NOTHING
""")
_MOVE = text("""
    UPDATE watermarks SET since = :since, reached = :reached, complete_from = :complete_from, updated_at = now()
     WHERE resource = :resource AND part = :part
""")
# What was read beyond `reached`, in the order of its beginnings, up to the first gap.
_FOLLOW = text("""
    WITH beyond AS (
        SELECT id, window_start, LEAST(window_end, timezone('America/Sao_Paulo', started_at)) AS read_until
          FROM sync_slices
         WHERE criterio = 'atualizacao' AND status = 'success' AND resource = :resource AND part = :part
           AND window_end > :reached
    ), linked AS (
        SELECT id, window_start, read_until,
               window_start <= GREATEST(:reached, max(read_until) OVER (ORDER BY window_start, id
                                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) + interval '1 second'
                   AS adjoins
          FROM beyond
    ), chained AS (
        SELECT read_until, bool_and(adjoins) OVER (ORDER BY window_start, id) AS is_whole FROM linked
    )
    SELECT GREATEST(:reached, max(read_until)) FROM chained WHERE is_whole
""")
# The same towards the past.
_FOLLOW_BACK = text("""
    WITH before AS (
        SELECT id, window_start, LEAST(window_end, timezone('America/Sao_Paulo', started_at)) AS read_until
          FROM sync_slices
         WHERE criterio = 'atualizacao' AND status = 'success' AND resource = :resource AND part = :part
           AND window_start < :since
    ), linked AS (
        SELECT id, window_start, read_until,
               read_until >= LEAST(:since, min(window_start) OVER (ORDER BY read_until DESC, id
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) - interval '1 second'
                   AS adjoins
          FROM before
    ), chained AS (
        SELECT window_start, bool_and(adjoins) OVER (ORDER BY read_until DESC, id) AS is_whole FROM linked
    )
    SELECT LEAST(:since, min(window_start)) FROM chained WHERE is_whole
""")
# The first day of which everything is stored: read by the listing of days from its beginning until changes are read.
# Slices are asked about a day that was not over yet; earlier days are in the ledger.
_COMPLETE_FROM = """
    SELECT min(day) FROM (
        SELECT (SELECT day FROM read_days
                 WHERE criterio = '{criterio}' AND resource = :resource AND part = :part
                   AND day >= CAST(:since AS date)
                 ORDER BY day LIMIT 1) AS day
         UNION ALL
        SELECT (SELECT first_day FROM sync_slices
                 WHERE criterio = '{criterio}' AND status = 'success' AND resource = :resource AND part = :part
                   AND first_day = last_day AND first_day >= CAST(:since AS date) AND window_start <= first_day
                   AND LEAST(window_end, timezone('America/Sao_Paulo', started_at)) >= :since
                 ORDER BY first_day LIMIT 1)) AS found
"""
# written out, so that each is answered from the index of its listing
_COMPLETE_FROM_BY = {criterio: text(_COMPLETE_FROM.format(criterio=criterio)) for criterio in CRITERIOS}
_LOAD = text("""
    SELECT part, since, reached, complete_from FROM watermarks
     WHERE resource = :resource AND part = ANY(CAST(:parts AS int[])) ORDER BY part
""")
# What lies beyond a gap: the newest end of a successful reading, where the first of them begins, and whether a backfill
# that reads on from `reached` is under way.
_BEYOND = text("""
    SELECT w.part, w.reached, GREATEST(w.reached, ahead.newest) AS newest, LEAST(ahead.first, pending.first) AS resumes,
           coalesce(pending.bridges, false) AS is_bridged
      FROM watermarks w
     CROSS JOIN LATERAL (
           SELECT max(LEAST(window_end, timezone('America/Sao_Paulo', started_at))) AS newest,
                  min(window_start) AS first
             FROM sync_slices
            WHERE criterio = 'atualizacao' AND status = 'success' AND resource = w.resource AND part = w.part
              AND window_end > w.reached) ahead
     CROSS JOIN LATERAL (
           SELECT bool_or(window_start <= w.reached + interval '1 second') AS bridges,
                  min(window_start) FILTER (WHERE window_start > w.reached) AS first
             FROM sync_executions
            WHERE status = 'running' AND kind = 'sync' AND resource = w.resource AND mode = 'backfill'
              AND criterio = 'atualizacao' AND window_end > w.reached
              AND (parts IS NULL OR w.part = ANY(parts))) pending
     WHERE w.resource = :resource AND w.part = ANY(CAST(:parts AS int[]))
""")


@dataclass(frozen=True)
class Watermark:
    """What has been read of one listing, in Brasília's wall clock.

    `complete_from`: the first day of which everything is stored; `None` where no such day has been read, so that the
    changes since `since` have nothing to complete.
    """

    since: datetime
    reached: datetime
    complete_from: date | None


@dataclass(frozen=True)
class Beyond:
    """How far a listing's changes have been read without a gap, and what has been read beyond the gap.

    `newest`: the end of the newest reading; `resumes`: where the first reading beyond the gap begins, done or under
    way; `is_bridged`: a backfill that reads on from `reached` is under way.
    """

    reached: datetime
    newest: datetime
    resumes: datetime | None = None
    is_bridged: bool = False


async def move(db: AsyncConnection, slice_id: int) -> None:
    """Move the watermark by a slice by `atualizacao` that ended as success in this transaction.

    The row stays locked until the transaction ends: of two slices that end at once, the later one sees both.
    """
    reading = (await db.execute(_READING, {"slice_id": slice_id})).one()
    if reading.read_until < reading.window_start:
        return  # it was read before its window began
    key = {"resource": reading.resource, "part": reading.part}
    known = (await db.execute(_LOCK, key)).one_or_none()
    if known is None:
        if reading.mode != "update":
            return
        await db.execute(_BEGIN, {**key, "since": reading.window_start, "reached": reading.read_until})
        known = (await db.execute(_LOCK, key)).one()
        moved = await _follow(db, key, known, known.since, known.reached, is_new=True)
    else:
        moved = await _follow(db, key, known, reading.window_start, reading.read_until)
    if moved != Watermark(*known):
        await db.execute(_MOVE, {**key, **vars(moved)})


async def _follow(
    db: AsyncConnection,
    key: dict[str, object],
    known: Row[Any],
    start: datetime,
    end: datetime,
    *,
    is_new: bool = False,
) -> Watermark:
    since, reached, complete_from = known.since, known.reached, known.complete_from
    if is_new or (start <= reached + _SECOND and end > reached):
        reached = (await db.execute(_FOLLOW, {**key, "reached": reached})).scalar_one() or reached
    if is_new or (end >= since - _SECOND and start < since):
        since = (await db.execute(_FOLLOW_BACK, {**key, "since": since})).scalar_one() or since
    if complete_from is None or since != known.since:
        statement = _COMPLETE_FROM_BY[RESOURCES_BY_NAME[str(key["resource"])].day_criterio]
        found = (await db.execute(statement, {**key, "since": since})).scalar_one_or_none()
        complete_from = found or complete_from
    return Watermark(since, reached, complete_from)


async def load(db: AsyncConnection, parts: Iterable[int], *, resource: str) -> dict[int, Watermark]:
    """The rows of these parts; those that have none are left out."""
    rows = await db.execute(_LOAD, {"resource": resource, "parts": list(parts)})
    return {row.part: Watermark(row.since, row.reached, row.complete_from) for row in rows}


async def load_beyond(db: AsyncConnection, parts: Iterable[int], *, resource: str) -> dict[int, Beyond]:
    """What planning needs to know of these parts; those without a row are left out."""
    rows = await db.execute(_BEYOND, {"resource": resource, "parts": list(parts)})
    return {row.part: Beyond(row.reached, row.newest, row.resumes, row.is_bridged) for row in rows}
