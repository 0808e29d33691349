"""Reconciliation: what the portal says it has of each day and modalidade, against what is stored."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ingestor.pncp.client import PncpClient

_STORED = text("""
    SELECT count(*) FROM contratacoes
     WHERE modalidade_id = :modalidade
       AND data_publicacao_pncp >= CAST(:day AS date) AND data_publicacao_pncp < CAST(:day AS date) + 1
""")
_REJECTED = text("""
    SELECT count(DISTINCT r.payload_hash) FROM rejected_records r JOIN sync_slices s ON s.id = r.slice_id
     WHERE r.resource = 'contratacoes' AND r.resolved_at IS NULL
       AND s.criterio = 'publicacao' AND s.modalidade = :modalidade AND s.first_day = :day
""")


@dataclass(frozen=True)
class DayCount:
    """One listing: `portal` is its totalRegistros; `stored` and `rejected` are ours."""

    day: date
    modalidade: int
    portal: int
    stored: int
    rejected: int

    @property
    def missing(self) -> int:
        """What the portal has and we do not; below zero we keep what the portal has deleted since."""
        return self.portal - self.stored - self.rejected


async def count_days(
    engine: AsyncEngine, client: PncpClient, first: date, last: date, modalidades: Sequence[int]
) -> AsyncIterator[DayCount]:
    """Ask the portal for page 1 of every listing of the span, both days included, and count ours beside it."""
    day = first
    while day <= last:
        for modalidade in modalidades:
            page = await client.fetch_page("publicacao", modalidade, day, day, 1)
            key = {"day": day, "modalidade": modalidade}
            async with engine.connect() as db:
                stored: int = (await db.execute(_STORED, key)).scalar_one()
                rejected: int = (await db.execute(_REJECTED, key)).scalar_one()
            yield DayCount(day, modalidade, page.total_registros, stored, rejected)
        day += timedelta(days=1)
