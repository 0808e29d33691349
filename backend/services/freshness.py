"""How far updates have got: up to when each modalidade has been read completely."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.clock import BRASILIA

# The backend does not know the ingestors' modalidades; what they planned last tells them.
_MIRRORED = text("""
    WITH newest AS (
        SELECT id FROM (SELECT id, mode, planned_at, retry_of FROM sync_executions ORDER BY id DESC LIMIT 2000) AS e
         WHERE mode = 'update' AND planned_at IS NOT NULL AND retry_of IS NULL
         ORDER BY id DESC LIMIT 1
    )
    SELECT DISTINCT modalidade FROM sync_slices WHERE execution_id = (SELECT id FROM newest)
""")
# each leaps through an index to where it has got to
_REACHED = text("""
    SELECT wanted.modalidade, (SELECT max(window_end) FROM sync_slices
                                WHERE mode = 'update' AND status = 'success' AND modalidade = wanted.modalidade)
      FROM unnest(CAST(:modalidades AS int[])) AS wanted (modalidade)
     ORDER BY wanted.modalidade
""")


async def load_mirrored(db: AsyncConnection) -> list[int]:
    """The modalidades of the newest update; none before the first."""
    return list((await db.execute(_MIRRORED)).scalars())


async def load_reached(db: AsyncConnection, modalidades: Iterable[int]) -> dict[int, datetime | None]:
    """The moment up to which updates have read each of these modalidades; `None` where none ever has."""
    rows = await db.execute(_REACHED, {"modalidades": list(modalidades)})
    return {modalidade: until and until.replace(tzinfo=BRASILIA) for modalidade, until in rows}
