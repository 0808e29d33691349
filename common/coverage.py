"""What has been read: the owner of `read_days` and `swept_from`; `common/watermarks.py` beside it owns `watermarks`.

A row of `read_days` says that a day has been read whole, by one criterio and in one part of a resource: a slice of
this one day succeeded whose window covers it from its first second to its last, and which was first claimed after the
day had ended in Brasília. Of several such readings the newest slice stands for the day. A reading of an update spans
what has changed since the last one and is no day's: watermarks tell of it.

Only this module writes these tables, and only in the transaction that ends a slice, so that executions and slices may
be deleted without anything having to be read again. Others read them, and do not ask slices what has been read.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common import watermarks

# `stored`: the most that one reading has written, which is what the first one has; the others find it there.
_NOTE_DAY = text("""
    INSERT INTO read_days AS known
           (resource, criterio, part, day, began_at, complete_at, slice_id, execution_id, pages, records, stored,
            total_registros)
    SELECT resource, criterio, part, first_day, started_at, finished_at, id, execution_id, pages_done,
           records_processed, records_inserted + records_updated, total_registros
      FROM sync_slices
     WHERE id = :slice_id AND kind = 'sync' AND status = 'success' AND first_day = last_day
       AND window_start <= first_day AND window_end >= first_day + interval '1 day' - interval '1 second'
       AND started_at >= timezone('America/Sao_Paulo', first_day + interval '1 day')
    ON CONFLICT (resource, criterio, day, part) DO UPDATE
       SET began_at = excluded.began_at, complete_at = excluded.complete_at, slice_id = excluded.slice_id,
           execution_id = excluded.execution_id, pages = excluded.pages, records = excluded.records,
           stored = GREATEST(known.stored, excluded.stored), total_registros = excluded.total_registros
     WHERE known.slice_id < excluded.slice_id
""")


async def note_success(db: AsyncConnection, slice_id: int, criterio: str) -> None:
    """Take in a slice that has ended as success in this very transaction, whose row is locked."""
    await db.execute(_NOTE_DAY, {"slice_id": slice_id})
    if criterio == "atualizacao":
        await watermarks.move(db, slice_id)
