"""The state of an intake: an execution of kind `intake`, which processes an import or reads a foreign database.

An import is one slice, whose `resource` is the layout; imports of one layout go one after the other, so that what came
later wins. A reading of a source has a slice for each of its entities, in order; `part` is the id of the entity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle import Mode, jobs
from common.lifecycle.jobs import JobClaim

IMPORT = "import"
"""The trigger of an execution that processes an import; any other reads a source."""
SCHEDULE = "extract:"
"""A source's schedule has its name behind this. While it is paused, nothing is read."""
DELTA = ".delta"
"""What stands behind the name of the schedule of a source's changes."""

_RUNNING = text("""
    SELECT id FROM sync_executions
     WHERE kind = 'intake' AND trigger <> 'import' AND status = 'running' AND resource = :source
""")
_LOCK_UNPLANNED = text("""
    SELECT id, resource, mode, options FROM sync_executions
     WHERE kind = 'intake' AND status = 'running' AND planned_at IS NULL AND trigger <> 'import'
       AND resource = ANY(CAST(:sources AS text[]))
     ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""")
# An import waits for the ones before it of the same layout, but for those that wait to be confirmed.
_CLAIM = jobs.claiming(
    "intake",
    """CASE e.trigger
           WHEN 'import' THEN e.resource = ANY(coalesce(CAST(:layouts AS text[]), ARRAY[e.resource]))
           ELSE e.resource = ANY(CAST(:sources AS text[])) END
       AND NOT EXISTS (SELECT FROM sync_executions before
                        WHERE e.trigger = 'import' AND before.kind = 'intake' AND before.trigger = 'import'
                          AND before.resource = e.resource AND before.id < e.id
                          AND before.status = 'running' AND before.held IS NULL)
       AND NOT EXISTS (SELECT FROM schedules p
                        WHERE e.trigger <> 'import' AND p.name = :schedule || e.resource
                          AND p.paused_at IS NOT NULL)""",
)
_ASK_FOR = text("""
    UPDATE sync_executions
       SET options = coalesce(options, '{}') || jsonb_build_object('asked_for', CAST(:entity AS text)),
           updated_at = now()
     WHERE id = :execution_id
""")
_ASK_AGAIN = text("""
    UPDATE sync_executions SET options = options - 'confirmed', updated_at = now() WHERE id = :execution_id
""")


@dataclass(frozen=True)
class Requested:
    """A reading of a source that waits to be planned."""

    id: int
    source: str
    mode: Mode
    options: Mapping[str, Any]


class IntakeClaim(JobClaim):
    """A slice of an intake held by one worker."""

    @property
    def is_import(self) -> bool:
        """Whether it processes an import; any other reads a source."""
        return self.trigger == IMPORT


async def running_of(db: AsyncConnection, source: str) -> int | None:
    """The reading that a source has."""
    found: int | None = (await db.execute(_RUNNING, {"source": source})).scalar_one_or_none()
    return found


async def lock_unplanned(db: AsyncConnection, sources: Sequence[str]) -> Requested | None:
    """Lock the oldest reading of one of these sources that has no slices yet."""
    row = (await db.execute(_LOCK_UNPLANNED, {"sources": list(sources)})).one_or_none()
    return None if row is None else Requested(row.id, row.resource, row.mode, row.options or {})


async def ask_for(db: AsyncConnection, execution_id: int, entity: str) -> None:
    """Note of which entity a reading that is held asks whether it may go on."""
    await db.execute(_ASK_FOR, {"execution_id": execution_id, "entity": entity})


async def ask_again(db: AsyncConnection, execution_id: int) -> None:
    """Take the confirmation of an import back."""
    await db.execute(_ASK_AGAIN, {"execution_id": execution_id})


async def claim(
    db: AsyncConnection,
    worker_id: str,
    *,
    lease_seconds: float,
    sources: Sequence[str],
    layouts: Sequence[str] | None = None,
) -> IntakeClaim | None:
    """Take the next import, or the next entity of one of these sources, under a lease.

    `layouts`: whose imports are taken; those of all, also of ones that are gone, where it is not given.
    """
    own = {
        "sources": list(sources),
        "layouts": None if layouts is None else list(layouts),
        "schedule": SCHEDULE,
    }
    return await jobs.claim(db, _CLAIM, worker_id, IntakeClaim, lease_seconds=lease_seconds, **own)
