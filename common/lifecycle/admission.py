"""How an execution comes to be: room, requests that are the same, publication."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lifecycle import DEFAULT_RESOURCE, Mode, criterio_of
from common.lifecycle.executions import PUBLISH_FAILED
from common.resources.description import Criterio
from common.traces import traceparent

MAX_UNFINISHED = 20
"""Executions under way at once unless the setting says otherwise, by every door: the API, a message, a sweep.

The schedule's update has a place of its own, so that the mirror stays fresh whatever fills the others.
"""

ADMISSION = 7_020_114_134
"""The advisory lock under which unfinished executions are counted and a new one is added."""

UNDECIDED_SECONDS = 5.0
"""By this time the API has answered a request, unless its process has died."""

_CREATE = text("""
    INSERT INTO sync_executions (resource, mode, criterio, window_start, window_end, trigger, parts, message_id,
                                 idempotency_key, request_digest, requested_by, traceparent)
    SELECT :resource, :mode, :criterio, CAST(:window_start AS timestamp), CAST(:window_end AS timestamp), :trigger,
           CAST(:parts AS int[]), :message_id, :idempotency_key, :request_digest, :requested_by, :traceparent
     WHERE CAST(:at_most AS int) IS NULL
        OR (SELECT count(*) FROM sync_executions WHERE status = 'running' AND kind = 'sync') < CAST(:at_most AS int)
        ON CONFLICT (message_id) DO NOTHING
    RETURNING id
""")


async def create(
    db: AsyncConnection,
    *,
    mode: Mode,
    window_start: datetime | None,
    window_end: datetime | None,
    trigger: str,
    resource: str = DEFAULT_RESOURCE,
    criterio: Criterio | None = None,
    parts: Iterable[int] | None = None,
    message_id: str | None = None,
    idempotency_key: str | None = None,
    request_digest: str | None = None,
    requested_by: str | None = None,
    at_most: int | None = None,
) -> int | None:
    """Record an execution and answer its id; `None` if the message that asks for it has made its row before.

    `None` also where `at_most` are unfinished already; a caller that gives it has called `queue_up` before.
    """
    parameters = {
        "resource": resource,
        "mode": mode,
        "criterio": criterio or criterio_of(resource, mode),
        "window_start": window_start,
        "window_end": window_end,
        "trigger": trigger,
        "parts": None if parts is None else list(parts),
        "message_id": message_id,
        "idempotency_key": idempotency_key,
        "request_digest": request_digest,
        "requested_by": requested_by,
        "at_most": at_most,
        "traceparent": traceparent(),
    }
    created: int | None = (await db.execute(_CREATE, parameters)).scalar_one_or_none()
    return created


_TAKE_ADMISSION = text("SELECT pg_advisory_xact_lock(:key)")
_UNFINISHED = text("SELECT count(*) FROM sync_executions WHERE status = 'running' AND kind = 'sync'")
_BY_KEY = text("""
    SELECT e.id, k.request_digest,
           e.trigger = 'api' AND e.planned_at IS NULL AND e.published_at IS NULL AND e.status = 'running',
           CAST(extract(epoch FROM clock_timestamp() - e.created_at) AS float)
      FROM (SELECT id, request_digest FROM sync_executions WHERE idempotency_key = :key
             UNION ALL
            SELECT execution_id, request_digest FROM coalesced_keys WHERE idempotency_key = :key) AS k
      JOIN sync_executions e USING (id)
     LIMIT 1
""")
_BY_MESSAGE = text("SELECT id FROM sync_executions WHERE message_id = :message_id")
_FIND_UNPLANNED = text("""
    SELECT id, trigger = 'api' AND published_at IS NULL,
           CAST(extract(epoch FROM clock_timestamp() - created_at) AS float)
      FROM sync_executions
     WHERE status = 'running' AND planned_at IS NULL AND parts IS NULL
       AND kind = 'sync' AND resource = :resource AND mode = :mode AND criterio = :criterio
       AND window_start IS NOT DISTINCT FROM CAST(:window_start AS timestamp)
       AND window_end IS NOT DISTINCT FROM CAST(:window_end AS timestamp)
     ORDER BY id LIMIT 1
""")
_KEEP_KEY = text("""
    INSERT INTO coalesced_keys (idempotency_key, request_digest, execution_id)
    VALUES (:idempotency_key, :request_digest, :execution_id)
""")
_DECISION = text("""
    SELECT CASE WHEN planned_at IS NOT NULL OR published_at IS NOT NULL OR trigger <> 'api' THEN 'accepted'
                WHEN cause = 'publish_failed' THEN 'refused'
                WHEN status <> 'running' THEN 'accepted'
                ELSE 'open' END
      FROM sync_executions WHERE id = :id
""")


@dataclass(frozen=True)
class KnownRequest:
    """The execution of an idempotency key; `undecided` until its message is known to be published."""

    id: int
    request_digest: str
    undecided: bool
    age_seconds: float


@dataclass(frozen=True)
class Unplanned:
    """An execution that waits to be planned; `undecided` while the request that made it may still be refused."""

    id: int
    undecided: bool
    age_seconds: float


Decision = Literal["open", "accepted", "refused"]


async def queue_up(db: AsyncConnection) -> None:
    """Serialize the creation of executions: only one transaction at a time creates one, until it ends."""
    await db.execute(_TAKE_ADMISSION, {"key": ADMISSION})


async def admit(db: AsyncConnection, *, at_most: int = MAX_UNFINISHED) -> bool:
    """Whether one more execution may be added, and will still be allowed when this transaction adds it."""
    await queue_up(db)
    unfinished: int = (await db.execute(_UNFINISHED)).scalar_one()
    return unfinished < at_most


async def find_request(db: AsyncConnection, idempotency_key: str) -> KnownRequest | None:
    """The request of an idempotency key."""
    row = (await db.execute(_BY_KEY, {"key": idempotency_key})).one_or_none()
    return None if row is None else KnownRequest(*row)


async def find_message(db: AsyncConnection, message_id: str) -> int | None:
    """The execution made by another party's message."""
    found: int | None = (await db.execute(_BY_MESSAGE, {"message_id": message_id})).scalar_one_or_none()
    return found


async def find_unplanned(
    db: AsyncConnection,
    *,
    mode: Mode,
    resource: str = DEFAULT_RESOURCE,
    window_start: datetime | None = None,
    window_end: datetime | None = None,
    criterio: Criterio | None = None,
) -> Unplanned | None:
    """The execution that does what is asked for and whose window is not fixed yet: the request is that one.

    The caller has called `queue_up` before. The window is that of the request; an update has none.
    """
    parameters = {
        "resource": resource,
        "mode": mode,
        "criterio": criterio or criterio_of(resource, mode),
        "window_start": window_start,
        "window_end": window_end,
    }
    row = (await db.execute(_FIND_UNPLANNED, parameters)).one_or_none()
    return None if row is None else Unplanned(*row)


async def keep_key(db: AsyncConnection, execution_id: int, idempotency_key: str, request_digest: str) -> None:
    """Remember the idempotency key of a request that became an execution which was there before."""
    parameters = {
        "idempotency_key": idempotency_key,
        "request_digest": request_digest,
        "execution_id": execution_id,
    }
    await db.execute(_KEEP_KEY, parameters)


async def decision(db: AsyncConnection, execution_id: int) -> Decision:
    """Whether the request that made an execution has been accepted; `open` while its message is being published."""
    found: Decision = (await db.execute(_DECISION, {"id": execution_id})).scalar_one()
    return found


# Asynchronous commit: without a stamp that a crash of the database has lost, the execution is planned all the same.
_MARK_PUBLISHED = text("""
    WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    UPDATE sync_executions SET published_at = now(), updated_at = now()
      FROM relaxed WHERE id = :id AND status = 'running'
""")
# Not one that is published: another request has been answered with it.
_REFUSE = text("""
    WITH refused AS (
        UPDATE sync_executions
           SET status = 'error', finished_at = now(), updated_at = now(), duration_seconds = 0,
               cause = 'publish_failed', error_message = :message, idempotency_key = NULL
         WHERE id = :id AND status = 'running' AND planned_at IS NULL AND published_at IS NULL
        RETURNING id
    ), forgotten AS (
        DELETE FROM coalesced_keys WHERE execution_id IN (SELECT id FROM refused)
    )
    SELECT id FROM refused
""")


async def mark_published(db: AsyncConnection, execution_id: int) -> bool:
    """Stamp that an execution counts as published; `False` where it has ended before.

    In a transaction of its own: it does not wait for the disk, and neither would what is written with it.
    """
    return (await db.execute(_MARK_PUBLISHED, {"id": execution_id})).rowcount == 1


async def refuse(db: AsyncConnection, execution_id: int) -> bool:
    """End an execution whose message was not confirmed; `False` if a worker has taken it already, so that it runs."""
    return (await db.execute(_REFUSE, {"id": execution_id, "message": PUBLISH_FAILED})).one_or_none() is not None


_COPY_EXECUTION = text("""
    INSERT INTO sync_executions (kind, resource, mode, criterio, parts, trigger, retry_of, requested_by, planned_at,
                                 window_start, window_end, traceparent)
    SELECT e.kind, e.resource, e.mode, e.criterio, e.parts, 'retry', e.id, :requested_by, now(),
           min(s.window_start), max(s.window_end), :traceparent
      FROM sync_executions e JOIN sync_slices s ON s.execution_id = e.id AND s.status = 'error'
     WHERE e.id = :id AND e.status = 'error'
       AND NOT EXISTS (SELECT 1 FROM sync_executions r WHERE r.retry_of = e.id AND r.status = 'running')
     GROUP BY e.id
    RETURNING id
""")
_COPY_FAILED_SLICES = text("""
    INSERT INTO sync_slices (execution_id, ordinal, kind, resource, mode, criterio, part, first_day, last_day,
                             window_start, window_end)
    SELECT :copy, row_number() OVER (ORDER BY s.ordinal), s.kind, s.resource, s.mode, s.criterio, s.part, s.first_day,
           s.last_day, s.window_start, s.window_end
      FROM sync_slices s JOIN sync_executions e ON e.id = s.execution_id
     WHERE e.id = :id AND s.status = 'error'
""")


async def retry(db: AsyncConnection, execution_id: int, requested_by: str | None = None) -> int | None:
    """A new execution with copies of the failed slices of one that has ended.

    `None` where there are none, or where they are being repeated already. The caller has asked to `admit` before, so
    that two requests at once do not both find nothing under way.
    """
    parameters = {"id": execution_id, "requested_by": requested_by, "traceparent": traceparent()}
    copy: int | None = (await db.execute(_COPY_EXECUTION, parameters)).scalar_one_or_none()
    if copy is not None:
        await db.execute(_COPY_FAILED_SLICES, {"id": execution_id, "copy": copy})
    return copy
