"""How far the feed of changes can be read: up to the number below which no transaction is still to commit a change."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.resources.mudancas import NEXT_HOLDS

_LAST = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM mudancas_seq_seq")
_OPEN = text("INSERT INTO change_horizon (id) VALUES (1) ON CONFLICT (id) DO NOTHING")
# Nothing is written while nothing changes.
_TO_MOVE = f"""
    UPDATE change_horizon h
       SET seq = moved.seq,
           next_seq = CASE WHEN :last > moved.seq THEN :last END,
           next_xid = CASE WHEN :last > moved.seq THEN CAST(CAST(pg_current_xact_id() AS text) AS bigint) END
      FROM (SELECT CASE WHEN next_seq IS NULL THEN seq ELSE next_seq END AS seq
              FROM change_horizon WHERE next_seq IS NULL OR {NEXT_HOLDS}) moved
     WHERE h.seq <= moved.seq AND (h.next_seq IS NOT NULL OR :last > h.seq)
"""  # noqa: S608  # a condition of ours
_MOVE = text(_TO_MOVE)


async def move_horizon(db: AsyncConnection) -> None:
    """Note how far all changes are visible, and which number is to be next, with the id of this transaction.

    To be the first in its transaction: the last number is read before this transaction has an id. Those that have drawn
    it or an earlier one had theirs by then, so have smaller ids.
    """
    last: int = (await db.execute(_LAST)).scalar_one()
    await db.execute(_OPEN)
    await db.execute(_MOVE, {"last": last})
