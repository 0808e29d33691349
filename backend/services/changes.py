"""The feed of changes: how others keep a copy of the mirror."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.models.changes import Change, Changes
from common.resources.mudancas import NEXT_HOLDS

LOOKED_AT = 50_000
"""Rows that one request looks at, at most: those of one entity may be rare."""

_HORIZON = f"""
    WITH horizon AS (
        SELECT CASE WHEN next_seq IS NOT NULL AND {NEXT_HOLDS} THEN next_seq ELSE seq END AS seq, deleted_to
          FROM change_horizon
    )
"""  # noqa: S608  # a condition of ours
_LOOK = text(
    _HORIZON  # noqa: S608
    + """, looked_at AS (
        SELECT m.seq FROM mudancas m WHERE m.seq > :desde AND m.seq <= (SELECT seq FROM horizon)
         ORDER BY m.seq LIMIT :most
    )
    SELECT seq AS ultimo, deleted_to AS apagadas_ate,
           CASE WHEN (SELECT count(*) FROM looked_at) < :most THEN greatest(seq, :desde)
                ELSE (SELECT max(seq) FROM looked_at) END AS up_to
      FROM horizon
"""
)
_LOAD = text("""
    SELECT seq, entidade, chave, tipo, quando, campos FROM mudancas
     WHERE seq > :desde AND seq <= :up_to AND (CAST(:entidade AS text) IS NULL OR entidade = :entidade)
     ORDER BY seq LIMIT :most
""")
# Of one record: by an index that has no insertions.
_LOOK_TO_THE_END = text(
    _HORIZON  # noqa: S608
    + "SELECT seq AS ultimo, deleted_to AS apagadas_ate, greatest(seq, CAST(:desde AS bigint)) AS up_to FROM horizon"
)
_LOAD_OF_ONE = text("""
    SELECT seq, entidade, chave, tipo, quando, campos FROM mudancas
     WHERE chave = :chave AND tipo <> 'inserido' AND entidade = :entidade AND seq > :desde AND seq <= :up_to
     ORDER BY seq LIMIT :most
""")


async def load_changes(
    db: AsyncConnection, entidade: str | None, desde: int, limite: int, chave: str | None = None
) -> Changes:
    """The changes after a number, up to where all are visible. `entidade`: of this one alone.

    `chave`: alterations and removals of the record with this key.
    """
    look, asked = (_LOOK, {"most": LOOKED_AT}) if chave is None else (_LOOK_TO_THE_END, {})
    horizon = (await db.execute(look, {"desde": desde, **asked})).one_or_none()
    if horizon is None:
        return Changes(registros=[], proximo=desde, ha_mais=False, ultimo=0, apagadas_ate=0, lacuna=False)
    span = {"entidade": entidade, "desde": desde, "up_to": horizon.up_to, "most": limite + 1}
    of_one = {} if chave is None else {"chave": chave}
    rows = (await db.execute(_LOAD if chave is None else _LOAD_OF_ONE, {**span, **of_one})).all()
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
