"""How much room each table takes, and how fast it grows."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.storage import Storage, StoredTable
from common.clock import BRASILIA
from common.sizes import BYTES

GROWTH_DAYS = 30

_TO_LOAD = f"""
    WITH oldest AS (
        SELECT min(day) AS day, CAST(timezone(:zone, now()) AS date) - min(day) AS days FROM table_sizes
         WHERE day >= CAST(timezone(:zone, now()) AS date) - CAST(:growth_days AS integer)
    )
    SELECT b.table_name AS tabela, b.heap_bytes AS dados, b.index_bytes AS indices, b.toast_bytes AS valores_longos,
           b.heap_bytes + b.index_bytes + b.toast_bytes AS total,
           CASE WHEN b.estimated_rows >= 0 THEN b.estimated_rows END AS linhas_estimadas,
           (b.heap_bytes + b.index_bytes + b.toast_bytes
            - coalesce(s.heap_bytes + s.index_bytes + s.toast_bytes, 0)) / nullif(o.days, 0) AS crescimento_por_dia,
           o.day AS desde, pg_database_size(current_database()) AS banco
      FROM ({BYTES}) b CROSS JOIN oldest o
      LEFT JOIN table_sizes s ON s.day = o.day AND s.table_name = b.table_name
     ORDER BY total DESC, tabela
"""  # noqa: S608  # a query of ours
_LOAD = text(_TO_LOAD)


async def load_storage(db: AsyncConnection) -> Storage:
    """All tables, the largest first."""
    rows = (await db.execute(_LOAD, {"zone": BRASILIA.key, "growth_days": GROWTH_DAYS})).all()
    growth = [row.crescimento_por_dia for row in rows if row.crescimento_por_dia is not None]
    return Storage(
        tabelas=[StoredTable.model_validate(row, from_attributes=True) for row in rows],
        total=sum(row.total for row in rows),
        banco=rows[0].banco,
        crescimento_por_dia=sum(growth) if growth else None,
        desde=rows[0].desde,
    )
