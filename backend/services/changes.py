"""The feed of changes: how others keep a copy of the mirror."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.changes import Change, Changes
from common.resources.mudancas import NEXT_HOLDS

LOOKED_AT = 50_000
"""Rows that one request looks at, at most: those of one entity may be rare."""

_TO_LOOK = f"""
    WITH horizon AS (
        SELECT CASE WHEN next_seq IS NOT NULL AND {NEXT_HOLDS} THEN next_seq ELSE seq END AS seq, deleted_to
          FROM change_horizon
    ), looked_at AS (
        SELECT m.seq FROM mudancas m WHERE m.seq > :desde AND m.seq <= (SELECT seq FROM horizon)
         ORDER BY m.seq LIMIT :most
    )
    SELECT seq AS ultimo, deleted_to AS apagadas_ate,
           CASE WHEN (SELECT count(*) FROM looked_at) < :most THEN greatest(seq, :desde)
                ELSE (SELECT max(seq) FROM looked_at) END AS up_to
      FROM horizon
"""  # noqa: S608  # a condition of ours
_LOOK = text(_TO_LOOK)
_LOAD = text("""
    SELECT seq, entidade, chave, tipo, quando, campos FROM mudancas
     WHERE seq > :desde AND seq <= :up_to AND (CAST(:entidade AS text) IS NULL OR entidade = :entidade)
     ORDER BY seq LIMIT :most
""")


async def load_changes(db: AsyncConnection, entidade: str | None, desde: int, limite: int) -> Changes:
    """The changes after a number, up to where all are visible. `entidade`: of this one alone."""
    horizon = (await db.execute(_LOOK, {"desde": desde, "most": LOOKED_AT})).one_or_none()
    if horizon is None:
        return Changes(registros=[], proximo=desde, ha_mais=False, ultimo=0, apagadas_ate=0, lacuna=False)
    asked = {"desde": desde, "up_to": horizon.up_to, "entidade": entidade, "most": limite + 1}
    rows = (await db.execute(_LOAD, asked)).all()
    changes = [Change.model_validate(row, from_attributes=True) for row in rows[:limite]]
    proximo = changes[-1].seq if len(rows) > limite else horizon.up_to
    return Changes(
        registros=changes,
        proximo=proximo,
        ha_mais=proximo < horizon.ultimo,
        ultimo=horizon.ultimo,
        apagadas_ate=horizon.apagadas_ate,
        lacuna=desde < horizon.apagadas_ate,
    )
