"""What has been read: the owner of `read_days` and `swept_from`; `common/watermarks.py` beside it owns `watermarks`.

A row of `read_days` says that a day has been read whole, by one criterio and in one part of a resource: a slice of
this one day succeeded whose window covers it from its first second to its last, and which was first claimed after the
day had ended in Brasília. Of several such readings the newest slice stands for the day. A reading of an update spans
what has changed since the last one and is no day's: watermarks tell of it.

A row is written in the transaction that ends its slice, and stays when executions and slices are deleted. Others read
`read_days`, and do not ask slices what has been read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common import watermarks

READ_LATER = """
    (SELECT 1 FROM read_days d
      WHERE d.resource = b.resource AND d.criterio = b.criterio AND d.day = b.first_day AND d.part = b.part
        AND b.first_day = b.last_day AND d.slice_id > b.id) IS NOT NULL
    OR (SELECT 1 FROM sync_slices s
         WHERE s.criterio = 'publicacao' AND b.criterio = 'publicacao' AND s.status = 'success'
           AND s.first_day = b.first_day AND s.part = b.part AND s.resource = b.resource
           AND s.id > b.id AND s.window_start <= b.window_start AND s.window_end >= b.window_end
         LIMIT 1) IS NOT NULL
    OR (SELECT 1 FROM sync_slices s
         WHERE s.criterio = 'atualizacao' AND b.criterio = 'atualizacao' AND s.status = 'success'
           AND s.resource = b.resource AND s.part = b.part
           AND s.window_end >= b.window_end AND s.window_start <= b.window_start AND s.id > b.id
         ORDER BY s.window_end LIMIT 1) IS NOT NULL
"""
"""SQL: whether what the failed slice `b` was to read has been read since.

Days that are over are in the ledger. Of today's, and of windows that are no whole days, slices tell: those that are
newer than `b`, which are kept as long as `b` is asked about. Scalar subqueries with LIMIT 1 and not EXISTS: each is
one look into an index, never a join with all slices.
"""

# `stored`: the most that one reading has written, which is what the first one has; the others find it there.
NOTE_DAY = """
    INSERT INTO read_days AS known
           (resource, criterio, part, day, began_at, complete_at, slice_id, execution_id, pages, records, stored,
            total_registros)
    SELECT resource, criterio, part, first_day, started_at, finished_at, id, execution_id, pages_done,
           records_processed, records_inserted + records_updated, total_registros
      FROM {ended}
     WHERE kind = 'sync' AND status = 'success' AND first_day = last_day
       AND window_start <= first_day AND window_end >= first_day + interval '1 day' - interval '1 second'
       AND started_at >= timezone('America/Sao_Paulo', first_day + interval '1 day')
    ON CONFLICT (resource, criterio, day, part) DO UPDATE
       SET began_at = excluded.began_at, complete_at = excluded.complete_at, slice_id = excluded.slice_id,
           execution_id = excluded.execution_id, pages = excluded.pages, records = excluded.records,
           stored = GREATEST(known.stored, excluded.stored), total_registros = excluded.total_registros
     WHERE known.slice_id < excluded.slice_id
"""
"""SQL: take in the slices of `{ended}`, which have ended in this very transaction."""
_NOTE_DAY = text(NOTE_DAY.format(ended="(SELECT * FROM sync_slices WHERE id = :slice_id) ended"))


async def note_success(db: AsyncConnection, slice_id: int, criterio: str) -> None:
    """Take in a slice that has ended as success in this very transaction, whose row is locked."""
    await db.execute(_NOTE_DAY, {"slice_id": slice_id})
    if criterio == "atualizacao":
        await watermarks.move(db, slice_id)


@dataclass(frozen=True)
class MissingDay:
    """A day of which these parts, in order, have not been read whole since it ended."""

    day: date
    parts: tuple[int, ...]


_MISSING = text("""
    SELECT asked.day, ARRAY(SELECT unnest(CAST(:parts AS int[])) EXCEPT SELECT unnest(known.parts) ORDER BY 1) AS parts
      FROM (SELECT CAST(:first AS date) + n AS day
              FROM generate_series(0, CAST(:last AS date) - CAST(:first AS date)) AS n) AS asked
      LEFT JOIN (SELECT day, array_agg(part) AS parts FROM read_days
                  WHERE resource = :resource AND criterio = :criterio
                    AND day BETWEEN CAST(:first AS date) AND CAST(:last AS date) AND part = ANY(CAST(:parts AS int[]))
                  GROUP BY day) AS known ON known.day = asked.day
     WHERE coalesce(cardinality(known.parts), 0) < cardinality(CAST(:parts AS int[]))
     ORDER BY asked.day DESC
""")


async def load_missing(
    db: AsyncConnection, parts: Iterable[int], span: tuple[date, date], *, resource: str, criterio: str
) -> list[MissingDay]:
    """The days of a span, ends included, that have not been read whole in each of these parts; the newest first."""
    asked = {
        "resource": resource,
        "criterio": criterio,
        "parts": sorted(set(parts)),
        "first": span[0],
        "last": span[1],
    }
    return [MissingDay(row.day, tuple(row.parts)) for row in await db.execute(_MISSING, asked)]


@dataclass(frozen=True)
class Swept:
    """What sweeps have had to read of a listing: from which day on (`None` before the first), and what has been."""

    first: date | None
    read: frozenset[date]


_SWEPT = text("""
    SELECT asked.part, f.day AS first_day,
           ARRAY(SELECT d.day FROM read_days d
                  WHERE d.resource = :resource AND d.criterio = :criterio AND d.part = asked.part
                    AND d.day >= f.day) AS days
      FROM unnest(CAST(:parts AS int[])) AS asked (part)
      LEFT JOIN swept_from f ON f.resource = :resource AND f.criterio = :criterio AND f.part = asked.part
""")
_NOTE_SWEPT = text("""
    INSERT INTO swept_from AS known (resource, criterio, part, day)
    SELECT :resource, :criterio, part, day
      FROM unnest(CAST(:parts AS int[]), CAST(:days AS date[])) AS asked (part, day)
    ON CONFLICT (resource, criterio, part) DO UPDATE SET day = LEAST(known.day, excluded.day)
""")


async def load_swept(db: AsyncConnection, parts: Iterable[int], *, resource: str, criterio: str) -> dict[int, Swept]:
    """What sweeps have had to read of each of these parts by one criterio."""
    asked = {"resource": resource, "criterio": criterio, "parts": list(parts)}
    return {row.part: Swept(row.first_day, frozenset(row.days)) for row in await db.execute(_SWEPT, asked)}


async def note_swept(db: AsyncConnection, first: Mapping[int, date], *, resource: str, criterio: str) -> None:
    """Remember the `first` day that a sweep has had to read of each part; a day that is known and earlier stays."""
    values = {"resource": resource, "criterio": criterio, "parts": list(first), "days": list(first.values())}
    await db.execute(_NOTE_SWEPT, values)
