"""Freshness: up to when the changes of each part of a resource have been read without a gap."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common import watermarks
from common.clock import BRASILIA
from common.watermarks import Watermark

# The backend does not know the ingestors' settings: their newest update shows which parts they read.
_MIRRORED = text("""
    WITH newest AS (
        SELECT id
          FROM (SELECT id, kind, resource, mode, planned_at, retry_of FROM sync_executions
                 ORDER BY id DESC LIMIT 2000) AS e
         WHERE kind = 'sync' AND resource = :resource AND mode = 'update' AND planned_at IS NOT NULL
           AND retry_of IS NULL
         ORDER BY id DESC LIMIT 1
    )
    SELECT DISTINCT part FROM sync_slices WHERE execution_id = (SELECT id FROM newest)
""")


async def load_mirrored(db: AsyncConnection, resource: str) -> list[int]:
    """The parts of the newest update of a resource; none before the first."""
    return list((await db.execute(_MIRRORED, {"resource": resource})).scalars())


async def load_marks(db: AsyncConnection, resource: str, parts: Iterable[int]) -> dict[int, Watermark | None]:
    """Per part, up to when its changes have been read without a gap; `None` where they never were."""
    wanted = sorted(parts)
    known = await watermarks.load(db, wanted, resource=resource)
    return {part: known.get(part) for part in wanted}


def reached_by(marks: Mapping[int, Watermark | None]) -> datetime | None:
    """The earliest of these moments (aware); `None` if one is absent."""
    reached = [None if mark is None else mark.reached for mark in marks.values()]
    return min((aware(one) for one in reached if one is not None), default=None) if None not in reached else None


def aware(wall_clock: datetime) -> datetime:
    """A moment of Brasília's wall clock with its offset."""
    return wall_clock.replace(tzinfo=BRASILIA)
