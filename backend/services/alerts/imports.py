"""What is wrong with imports that no person watches: refused files of the folder, and rows that wait for long."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.services.alerts.sentences import Details

REFUSED_WITHIN = timedelta(days=1)
"""Refused files count for so long: older ones are known."""
WAITING_FOR = timedelta(days=1)
MOST_SHOWN = 100

_REFUSED = text("""
    SELECT id, layout, file_name, fault_code AS code, fault AS error_message FROM imports
     WHERE door = 'folder' AND state = 'refused' AND ended_at > now() - CAST(:within AS interval)
     ORDER BY id DESC LIMIT :most
""")
_WAITING = text("""
    SELECT r.waits_entity AS entity, count(*) AS rows
      FROM import_rows r JOIN imports i ON i.id = r.import_id
     WHERE r.state = 'pending' AND r.waits_key IS NOT NULL AND i.ended_at < now() - CAST(:lasting AS interval)
     GROUP BY r.waits_entity ORDER BY r.waits_entity
""")


async def look_at_imports(db: AsyncConnection) -> Details | None:
    """The details of refused files and of waiting rows; null where there are none."""
    refused = (await db.execute(_REFUSED, {"within": REFUSED_WITHIN, "most": MOST_SHOWN})).all()
    waiting = (await db.execute(_WAITING, {"lasting": WAITING_FOR})).all()
    if not refused and not waiting:
        return None
    return {"refused": [row._asdict() for row in refused], "waiting": [row._asdict() for row in waiting]}
