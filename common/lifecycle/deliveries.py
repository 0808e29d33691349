"""The state of a delivery: an execution of kind `delivery`, with a slice for each stream of its destination, in order.

A destination has one delivery at a time. The slices of a delivery are claimed one after the other, so that the records
of a later stream find those that they refer to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle import jobs
from common.lifecycle.jobs import JobClaim

SCHEDULE = "deliver:"
"""A destination's schedule has its name behind this. While it is paused, nothing is sent."""

_RUNNING = text("""
    SELECT id FROM sync_executions WHERE kind = 'delivery' AND status = 'running' AND resource = :destination
""")
# One that was asked for together with a reading of a source waits until that has ended, however it has.
_LOCK_UNPLANNED = text("""
    SELECT id, resource, options FROM sync_executions waiting
     WHERE kind = 'delivery' AND status = 'running' AND planned_at IS NULL
       AND resource = ANY(CAST(:destinations AS text[]))
       AND NOT EXISTS (SELECT FROM sync_executions reading
                        WHERE reading.id = CAST(waiting.options ->> 'reads_first' AS bigint)
                          AND reading.status = 'running')
     ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""")
_CLAIM = jobs.claiming(
    "delivery",
    """e.resource = ANY(CAST(:destinations AS text[]))
       AND NOT EXISTS (SELECT FROM schedules p WHERE p.name = :schedule || e.resource AND p.paused_at IS NOT NULL)""",
)


@dataclass(frozen=True)
class Requested:
    """A delivery that waits to be planned."""

    id: int
    destination: str
    options: Mapping[str, Any]


class StreamClaim(JobClaim):
    """A stream of a delivery held by one worker; what changes from `began_at` on is the next delivery's."""

    @property
    def stream_id(self) -> int:
        """The stream."""
        return self.part

    @property
    def destination(self) -> str:
        """Where it is delivered to."""
        return self.subject


async def running_of(db: AsyncConnection, destination: str) -> int | None:
    """The delivery that a destination has."""
    found: int | None = (await db.execute(_RUNNING, {"destination": destination})).scalar_one_or_none()
    return found


async def lock_unplanned(db: AsyncConnection, destinations: Sequence[str]) -> Requested | None:
    """Lock the oldest delivery to one of these destinations that has no slices yet."""
    row = (await db.execute(_LOCK_UNPLANNED, {"destinations": list(destinations)})).one_or_none()
    return None if row is None else Requested(row.id, row.resource, row.options or {})


async def claim(
    db: AsyncConnection, worker_id: str, *, lease_seconds: float, destinations: Sequence[str]
) -> StreamClaim | None:
    """Take the next stream of these destinations under a lease; of one destination only the first that has not ended.

    Not of destinations that are paused, nor of deliveries that wait to be confirmed.
    """
    own = {"destinations": list(destinations), "schedule": SCHEDULE}
    return await jobs.claim(db, _CLAIM, worker_id, StreamClaim, lease_seconds=lease_seconds, **own)
