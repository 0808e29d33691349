"""What is wrong with sources: readings that fail or wait for an administrator, and files that do not hold."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.services.alerts.sentences import Details
from common.lifecycle.intake import SCHEDULE

FAILING_FOR = timedelta(minutes=15)

# The newest reading that has ended says whether the last one gave up. One that was cancelled says nothing.
_LOAD = text("""
    SELECT o.name, waiting.failing_since, waiting.error_message AS waiting_error,
           held.id AS held_id, held.held AS held, failed.id AS failed_id, failed.cause, failed.error_message
      FROM sources o
      LEFT JOIN sync_executions held
             ON held.kind = 'intake' AND held.trigger <> 'import' AND held.status = 'running'
            AND held.resource = o.name AND held.held IS NOT NULL
      LEFT JOIN LATERAL (
           SELECT s.failing_since, s.error_message
             FROM sync_slices s JOIN sync_executions e ON e.id = s.execution_id
            WHERE e.kind = 'intake' AND e.trigger <> 'import' AND e.status = 'running' AND e.resource = o.name
              AND s.failing_since < now() - CAST(:failing_for AS interval)
            ORDER BY s.failing_since LIMIT 1) waiting ON true
      LEFT JOIN LATERAL (
           SELECT id, status, cause, error_message FROM sync_executions
            WHERE kind = 'intake' AND trigger <> 'import' AND resource = o.name AND status <> 'running'
              AND cause IS DISTINCT FROM 'cancelled'
            ORDER BY id DESC LIMIT 1) failed ON failed.status = 'error'
     WHERE o.missing_since IS NULL
       AND NOT EXISTS (SELECT FROM schedules s WHERE s.name = :schedule || o.name AND s.paused_at IS NOT NULL)
     ORDER BY o.name
""")


async def look_at_sources(db: AsyncConnection, faults: Mapping[str, Sequence[str]]) -> dict[str, Details]:
    """The details of each source with something wrong, by name; of paused ones only faults of their files.

    `faults`: sentences about files that do not hold, by source.
    """
    parameters = {"failing_for": FAILING_FOR, "schedule": SCHEDULE}
    found: dict[str, Details] = {row.name: _told(row) for row in await db.execute(_LOAD, parameters)}
    for name, said in faults.items():
        found.setdefault(name, {})["faults"] = list(said)
    return {name: {"source": name, **details} for name, details in found.items() if details}


def _told(row: Row[tuple[object, ...]]) -> Details:
    details: Details = {}
    if row.failing_since is not None:
        details["failing"] = {"since": row.failing_since.isoformat(), "error_message": row.waiting_error}
    if row.held_id is not None:
        told = {"id": row.held_id, "entity": row.held.get("entity"), "removed": row.held.get("owed")}
        details["held"] = told
    if row.failed_id is not None:
        details["failed"] = {"id": row.failed_id, "cause": row.cause, "error_message": row.error_message}
    return details
