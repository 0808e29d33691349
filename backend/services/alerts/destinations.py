"""What is wrong with destinations: their own faults, what waits for an administrator, and what they reject."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.services.alerts.sentences import Details
from common.lifecycle.deliveries import SCHEDULE

FAILING_FOR = timedelta(minutes=15)
REJECTED_WITHIN = timedelta(days=1)
"""Rejected records count from their first rejection for so long: older ones are known."""

# The newest delivery that has ended says whether the last one gave up. One that was cancelled says nothing.
_LOAD = text("""
    SELECT d.name, d.failing_since, d.last_error, d.stopped_at, d.stopped_reason,
           held.id AS held_id, held.held AS held, failed.id AS failed_id, failed.cause, failed.error_message,
           (SELECT count(*) FROM streams t JOIN deliveries r ON r.stream_id = t.id
             WHERE t.destination = d.name AND r.rejected_since > now() - CAST(:recent AS interval)) AS rejected,
           d.failing_since < now() - CAST(:failing_for AS interval) AS is_failing
      FROM destinations d
      LEFT JOIN sync_executions held
             ON held.kind = 'delivery' AND held.status = 'running' AND held.resource = d.name AND held.held IS NOT NULL
      LEFT JOIN LATERAL (
           SELECT id, status, cause, error_message FROM sync_executions
            WHERE kind <> 'sync' AND resource = d.name AND status <> 'running'
              AND cause IS DISTINCT FROM 'cancelled'
            ORDER BY id DESC LIMIT 1) failed ON failed.status = 'error'
     WHERE d.missing_since IS NULL
       AND NOT EXISTS (SELECT FROM schedules s WHERE s.name = :schedule || d.name AND s.paused_at IS NOT NULL)
     ORDER BY d.name
""")


async def look_at_destinations(db: AsyncConnection, faults: Mapping[str, Sequence[str]]) -> dict[str, Details]:
    """The details of each destination with something wrong, by name; of paused ones only faults of their files.

    `faults`: sentences about files that do not hold, by destination.
    """
    parameters = {"recent": REJECTED_WITHIN, "failing_for": FAILING_FOR, "schedule": SCHEDULE}
    found: dict[str, Details] = {row.name: _told(row) for row in await db.execute(_LOAD, parameters)}
    for name, said in faults.items():
        found.setdefault(name, {})["faults"] = list(said)
    return {name: {"destination": name, **details} for name, details in found.items() if details}


def _told(row: Row[tuple[object, ...]]) -> Details:
    details: Details = {}
    if row.stopped_at is not None:
        details["stopped"] = {"since": row.stopped_at.isoformat(), "error_message": row.stopped_reason}
    elif row.is_failing:
        details["failing"] = {"since": row.failing_since.isoformat(), "error_message": row.last_error}
    if row.held_id is not None:
        details["held"] = {"id": row.held_id, "owed": row.held.get("owed"), "reason": row.held.get("reason")}
    if row.failed_id is not None:
        details["failed"] = {"id": row.failed_id, "cause": row.cause, "error_message": row.error_message}
    if row.rejected:
        details["rejected"] = row.rejected
    return details
