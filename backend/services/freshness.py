"""How far updates have got: up to when the changes of each modalidade have been read without a gap."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common import watermarks
from common.clock import BRASILIA
from common.watermarks import Watermark

# The backend does not know the ingestors' modalidades; what they planned last tells them.
_MIRRORED = text("""
    WITH newest AS (
        SELECT id FROM (SELECT id, mode, planned_at, retry_of FROM sync_executions ORDER BY id DESC LIMIT 2000) AS e
         WHERE mode = 'update' AND planned_at IS NOT NULL AND retry_of IS NULL
         ORDER BY id DESC LIMIT 1
    )
    SELECT DISTINCT modalidade FROM sync_slices WHERE execution_id = (SELECT id FROM newest)
""")


async def load_mirrored(db: AsyncConnection) -> list[int]:
    """The modalidades of the newest update; none before the first."""
    return list((await db.execute(_MIRRORED)).scalars())


async def load_marks(db: AsyncConnection, modalidades: Iterable[int]) -> dict[int, Watermark | None]:
    """How far the changes of each of these modalidades have been read without a gap; `None` where none ever were."""
    wanted = sorted(modalidades)
    known = await watermarks.load(db, wanted)
    return {modalidade: known.get(modalidade) for modalidade in wanted}


def reached_by(marks: Mapping[int, Watermark | None]) -> datetime | None:
    """Up to when all of them have been read without a gap (aware); `None` where one never has."""
    reached = [None if mark is None else mark.reached for mark in marks.values()]
    return min((aware(one) for one in reached if one is not None), default=None) if None not in reached else None


def aware(wall_clock: datetime) -> datetime:
    """A moment of Brasília's wall clock with its offset."""
    return wall_clock.replace(tzinfo=BRASILIA)
