"""Notes once a day how many bytes each table takes, so that its growth can be said."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import BRASILIA
from common.sizes import BYTES

KEPT_DAYS = 400

_TO_NOTE = f"""
    INSERT INTO table_sizes (day, table_name, heap_bytes, index_bytes, toast_bytes)
    SELECT today.day, bytes.table_name, bytes.heap_bytes, bytes.index_bytes, bytes.toast_bytes
      FROM (SELECT CAST(timezone(:zone, now()) AS date) AS day) today
     CROSS JOIN LATERAL ({BYTES} AND NOT EXISTS (SELECT FROM table_sizes WHERE day = today.day)) bytes
    ON CONFLICT (day, table_name) DO NOTHING
"""  # noqa: S608  # a query of ours
_NOTE = text(_TO_NOTE)
_FORGET = text("DELETE FROM table_sizes WHERE day < CAST(timezone(:zone, now()) AS date) - CAST(:days AS integer)")


async def note_sizes(db: AsyncConnection) -> None:
    """Note today's bytes, if they are not noted yet, and forget what is more than a year old."""
    await db.execute(_NOTE, {"zone": BRASILIA.key})
    await db.execute(_FORGET, {"zone": BRASILIA.key, "days": KEPT_DAYS})
