"""Take note of a trouble, so that it does not count until it changes."""

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.services.verdict.state import Verdict
from common.database import run_again

log = structlog.get_logger(__name__)

_KEEP = text("""
    INSERT INTO acknowledgements AS known (id, fingerprint, acknowledged_by)
    VALUES (:id, :fingerprint, :who)
    ON CONFLICT (id) DO UPDATE
       SET fingerprint = excluded.fingerprint, acknowledged_by = excluded.acknowledged_by, acknowledged_at = now()
""")
_DROP = text("DELETE FROM acknowledgements WHERE id = :id")


@run_again
async def acknowledge(engine: AsyncEngine, verdict: Verdict, trouble_id: str, who: str) -> None:
    """Take note of a trouble of this verdict.

    Raises:
        NotFoundError: there is none of this id.
        ConflictError: it counts as long as it lasts.

    """
    trouble = next((one for one in verdict.troubles if one.id == trouble_id), None)
    if trouble is None:
        raise NotFoundError("unknown_trouble")
    if trouble.fingerprint is None:
        raise ConflictError("not_to_be_acknowledged")
    async with engine.begin() as db:
        await db.execute(_KEEP, {"id": trouble.id, "fingerprint": trouble.fingerprint, "who": who})
    log.info("trouble acknowledged", trouble=trouble.id, user=who)


@run_again
async def forget(engine: AsyncEngine, trouble_id: str, who: str) -> None:
    """Let a trouble count again.

    Raises:
        NotFoundError: it was not acknowledged.

    """
    async with engine.begin() as db:
        if not (await db.execute(_DROP, {"id": trouble_id})).rowcount:
            raise NotFoundError("not_acknowledged")
    log.info("trouble counts again", trouble=trouble_id, user=who)
