"""The state machine: the only file that writes the status of an execution or of a slice.

An execution is `running`, then `success` or `error`, and never changes again. A slice is `pending`, `running`
(under a lease, fenced by `attempt`), then `success` or `error`. Every transition is one conditional UPDATE that says
whether it won. Locks are always taken in the order execution, slice, data, and all arithmetic uses the
database's clock.

Each function works in the transaction of the connection that it is given; the caller commits.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from common import coverage
from common.causes import Cause
from common.clock import to_wall_clock
from common.resources import LISTINGS_OF
from common.resources.contratacoes import CONTRATACOES
from common.tables import sync_executions, sync_pages, sync_slices

Mode = Literal["update", "backfill"]
Criterio = Literal["publicacao", "atualizacao"]
Kind = Literal["sync", "delivery", "intake"]
"""What an execution does: read a source, send rows to a destination, or take in rows that others send."""

KINDS: tuple[Kind, ...] = get_args(Kind)
ONLY_SYNC: tuple[Kind, ...] = ("sync",)

DEFAULT_RESOURCE = CONTRATACOES.name
"""The resource of a request that names none."""

PATIENCE: dict[Mode, timedelta] = {"update": timedelta(hours=1), "backfill": timedelta(hours=24)}
"""How long a slice may fail without a page that shows anything new, and an execution wait for a source that fails."""

MAX_STALLS = 6
"""Claims in a row without a committed page after which a slice is taken to kill its workers."""

MAX_UNFINISHED = 20
"""Executions under way at once unless the setting says otherwise, by every door: the API, a message, a sweep.

The schedule's update has a place of its own, so that the mirror stays fresh whatever fills the others.
"""

ADMISSION = 7_020_114_134
"""The advisory lock under which unfinished executions are counted and a new one is added."""

UNDECIDED_SECONDS = 5.0
"""By this time the API has answered a request, unless its process has died."""

PUBLISH_FAILED = "Failed to publish to RabbitMQ"
NO_WORKER = "no worker"
STALE_OUTAGE = timedelta(hours=1)
"""A pause that ended this long ago without a probe since shows that nothing was asked, not that nothing answers."""


@dataclass(frozen=True)
class Execution:
    """The data that planning needs of an execution: its window is Brasília's wall clock, absent for an update."""

    id: int
    resource: str
    mode: Mode
    criterio: Criterio
    window_start: datetime | None
    window_end: datetime | None
    parts: list[int] | None


@dataclass(frozen=True)
class PlannedSlice:
    """One listing to read: a span of days, one part of the resource, and the window of the span that counts."""

    part: int
    first_day: date
    last_day: date
    window_start: datetime
    window_end: datetime


@dataclass(frozen=True)
class Claim:
    """A slice held by one worker; `attempt` is the token that every write is fenced with.

    `page_size` is what its listing is read by, `None` where no claim has said. `counts_once`: its records may move to
    another slice of the execution while both are read, so that the execution has to remember what it has counted.
    """

    slice_id: int
    execution_id: int
    attempt: int
    worker_id: str
    resource: str
    mode: Mode
    criterio: Criterio
    part: int
    first_day: date
    last_day: date
    window_start: datetime
    window_end: datetime
    reading: int
    failures: int
    failing_since: datetime | None
    starts_execution: bool
    page_size: int | None = None
    counts_once: bool = False


@dataclass(frozen=True)
class PageCounts:
    """What one committed page adds to its slice."""

    processed: int = 0
    inserted: int = 0
    updated: int = 0
    rejected: int = 0
    itens: int = 0

    def plus(self, other: "PageCounts") -> "PageCounts":
        """Add two counts."""
        return PageCounts(
            self.processed + other.processed,
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.rejected + other.rejected,
            self.itens + other.itens,
        )


@dataclass(frozen=True)
class Summary:
    """How an execution has ended, in one line's worth; pages and itens are those of its slices."""

    status: str
    resource: str
    mode: Mode
    criterio: Criterio
    trigger: str
    records: int
    inserted: int
    updated: int
    rejected: int
    itens: int
    itens_owed: int
    slices: int
    failed_slices: int
    pages: int
    duration_seconds: float | None
    cause: str | None
    error_message: str | None


# --- executions -------------------------------------------------------------------------------------------------


_CREATE = text("""
    INSERT INTO sync_executions (resource, mode, criterio, window_start, window_end, trigger, parts, message_id,
                                 idempotency_key, request_digest, requested_by)
    SELECT :resource, :mode, :criterio, CAST(:window_start AS timestamp), CAST(:window_end AS timestamp), :trigger,
           CAST(:parts AS int[]), :message_id, :idempotency_key, :request_digest, :requested_by
     WHERE CAST(:at_most AS int) IS NULL
        OR (SELECT count(*) FROM sync_executions WHERE status = 'running') < CAST(:at_most AS int)
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
        "criterio": criterio or ("atualizacao" if mode == "update" else "publicacao"),
        "window_start": window_start,
        "window_end": window_end,
        "trigger": trigger,
        "parts": None if parts is None else list(parts),
        "message_id": message_id,
        "idempotency_key": idempotency_key,
        "request_digest": request_digest,
        "requested_by": requested_by,
        "at_most": at_most,
    }
    created: int | None = (await db.execute(_CREATE, parameters)).scalar_one_or_none()
    return created


_TAKE_ADMISSION = text("SELECT pg_advisory_xact_lock(:key)")
_UNFINISHED = text("SELECT count(*) FROM sync_executions WHERE status = 'running'")
_BY_KEY = text("""
    SELECT e.id, k.request_digest,
           e.trigger = 'api' AND e.planned_at IS NULL AND e.published_at IS NULL AND e.status = 'running'
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
        "criterio": criterio or ("atualizacao" if mode == "update" else "publicacao"),
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


_EXISTS = text("SELECT 1 FROM sync_executions WHERE id = :id")
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


async def exists(db: AsyncConnection, execution_id: int) -> bool:
    """Whether there is such a row."""
    return (await db.execute(_EXISTS, {"id": execution_id})).scalar_one_or_none() is not None


async def mark_published(db: AsyncConnection, execution_id: int) -> bool:
    """Stamp that an execution counts as published; `False` where it has ended before.

    In a transaction of its own: it does not wait for the disk, and neither would what is written with it.
    """
    return (await db.execute(_MARK_PUBLISHED, {"id": execution_id})).rowcount == 1


async def refuse(db: AsyncConnection, execution_id: int) -> bool:
    """End an execution whose message was not confirmed; `False` if a worker has taken it already, so that it runs."""
    return (await db.execute(_REFUSE, {"id": execution_id, "message": PUBLISH_FAILED})).one_or_none() is not None


# An update waits while another one of its resource is at work, and is what all others are that are asked for
# meanwhile: so that any number of requests comes to one that runs and one that waits. One that only waits to be tried
# again holds up the next for a minute.
_LOCK_UNPLANNED = text("""
    SELECT id, resource, mode, criterio, window_start, window_end, parts
      FROM sync_executions waiting
     WHERE status = 'running' AND planned_at IS NULL AND kind = 'sync'
       AND (id = :id OR trigger <> 'api' OR published_at IS NOT NULL
            OR created_at <= now() - make_interval(secs => :older_than_seconds))
       AND (mode <> 'update' OR NOT EXISTS (
            SELECT 1 FROM sync_executions e JOIN sync_slices s ON s.execution_id = e.id
             WHERE e.status = 'running' AND e.kind = 'sync' AND e.resource = waiting.resource AND e.mode = 'update'
               AND e.retry_of IS NULL AND s.status IN ('pending', 'running')
               AND (s.run_after IS NULL OR s.run_after <= now() OR e.planned_at > now() - interval '1 minute')))
     ORDER BY (id = :id) DESC, id
     LIMIT 1
       FOR UPDATE SKIP LOCKED
""")
_MARK_PLANNED = text("""
    UPDATE sync_executions
       SET planned_at = now(), updated_at = now(), window_start = :window_start, window_end = :window_end
     WHERE id = :id AND status = 'running' AND planned_at IS NULL
""")


async def lock_unplanned(
    db: AsyncConnection, *, older_than_seconds: float, execution_id: int | None = None
) -> Execution | None:
    """Lock the named unplanned execution, or the oldest one that cannot be refused any more.

    That is one that a message, a schedule or a gap has made, one that has been published, and any of that age.
    """
    parameters = {"id": execution_id, "older_than_seconds": float(older_than_seconds)}
    row = (await db.execute(_LOCK_UNPLANNED, parameters)).one_or_none()
    return None if row is None else Execution(*row)


async def plan(db: AsyncConnection, execution: Execution, slices: list[PlannedSlice]) -> None:
    """Write the slices of a locked execution (at least one) and fix its window as their span."""
    await db.execute(
        insert(sync_slices),
        [
            {
                "execution_id": execution.id,
                "ordinal": ordinal,
                "resource": execution.resource,
                "mode": execution.mode,
                "criterio": execution.criterio,
                "part": piece.part,
                "first_day": piece.first_day,
                "last_day": piece.last_day,
                "window_start": piece.window_start,
                "window_end": piece.window_end,
            }
            for ordinal, piece in enumerate(slices, start=1)
        ],
    )
    await db.execute(
        _MARK_PLANNED,
        {
            "id": execution.id,
            "window_start": min(piece.window_start for piece in slices),
            "window_end": max(piece.window_end for piece in slices),
        },
    )


_MARK_STARTED = text("""
    UPDATE sync_executions SET started_at = now(), updated_at = now()
     WHERE id = :id AND started_at IS NULL AND status = 'running'
""")


async def mark_started(db: AsyncConnection, execution_id: int) -> bool:
    """Stamp the first claim of an execution's slices; answers whether this was it."""
    return (await db.execute(_MARK_STARTED, {"id": execution_id})).rowcount == 1


_FORGET_COUNTED = text("DELETE FROM sync_counted WHERE execution_id = :id")
_UNFINISHED_SLICE = text("""
    SELECT 1 FROM sync_slices WHERE execution_id = :id AND status IN ('pending', 'running') LIMIT 1
""")
# Not FOR UPDATE: rows that refer to the execution may be written meanwhile, and who writes them holds a slice.
_LOCK_RUNNING = text("SELECT id FROM sync_executions WHERE id = :id AND status = 'running' FOR NO KEY UPDATE")
_CLOSE = text("""
    WITH done AS (
        SELECT count(*) AS slices,
               count(*) FILTER (WHERE status = 'error') AS failed,
               count(*) FILTER (WHERE status IN ('pending', 'running')) AS unfinished,
               coalesce(sum(records_processed), 0) AS records,
               coalesce(sum(records_rejected), 0) AS rejected,
               mode() WITHIN GROUP (ORDER BY cause) FILTER (WHERE status = 'error') AS cause
          FROM sync_slices WHERE execution_id = :id
    ), example AS (
        SELECT concat_ws(' ', s.first_day, coalesce('modalidade ' || nullif(s.part, 0), s.resource)) AS listing,
               s.error_message
          FROM sync_slices s JOIN done ON s.cause = done.cause
         WHERE s.execution_id = :id AND s.status = 'error'
         ORDER BY s.ordinal LIMIT 1
    )
    UPDATE sync_executions e
       SET status = CASE WHEN done.failed = 0 THEN 'success' ELSE 'error' END,
           cause = done.cause,
           error_message = CASE WHEN done.failed > 0
               THEN format('%s of %s slices failed: %s: %s', done.failed, done.slices, example.listing,
                           example.error_message) END,
           records_processed = done.records,
           records_rejected = done.rejected,
           duration_seconds = extract(epoch FROM clock_timestamp() - coalesce(e.started_at, e.planned_at)),
           finished_at = clock_timestamp(),
           updated_at = clock_timestamp()
      FROM done LEFT JOIN example ON true
     WHERE e.id = :id AND done.slices > 0 AND done.unfinished = 0
    RETURNING e.status
""")
_LEFT_OPEN = text("""
    SELECT e.id FROM sync_executions e
     WHERE e.status = 'running' AND e.planned_at IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM sync_slices s
                        WHERE s.execution_id = e.id AND s.status IN ('pending', 'running'))
     ORDER BY e.id
""")


async def close(db: AsyncConnection, execution_id: int) -> str | None:
    """End an execution whose slices have all ended; answers its status, or `None` where some have not.

    It is called after a slice's end has been committed, so that of two workers that end the last two slices at once,
    the later one sees both. The execution is locked before its slices are counted.
    """
    if (await db.execute(_UNFINISHED_SLICE, {"id": execution_id})).one_or_none() is not None:
        return None
    if (await db.execute(_LOCK_RUNNING, {"id": execution_id})).one_or_none() is None:
        return None
    status: str | None = (await db.execute(_CLOSE, {"id": execution_id})).scalar_one_or_none()
    if status is not None:
        await db.execute(_FORGET_COUNTED, {"id": execution_id})
    return status


async def end(
    db: AsyncConnection,
    execution_id: int,
    *,
    status: str,
    records_processed: int | None = None,
    duration_seconds: float | None = None,
    cause: Cause | None = None,
    error_message: str | None = None,
    cancelled_by: str | None = None,
) -> bool:
    """End a running execution from outside, and what is left of its slices; `False` if it had ended before.

    What is not given is taken from its slices and its start. An error has a `cause`, a success none.

    Raises:
        ValueError: a status that is no end, an error without a cause, or a success with one.

    """
    if status not in ("success", "error"):
        raise ValueError("an execution ends as 'success' or 'error'")
    if (status == "error") != (cause is not None):
        raise ValueError("an error has a cause, a success none")
    if (await db.execute(_LOCK_RUNNING, {"id": execution_id})).one_or_none() is None:
        return False
    own = sync_slices.c.execution_id == execution_id
    await db.execute(
        update(sync_slices)
        .where(own, sync_slices.c.status.in_(["pending", "running"]))
        .values(
            status="error",
            cause="cut_off",
            error_message=error_message,
            finished_at=func.now(),
            updated_at=func.now(),
            **_NOBODY,
        )
    )
    await db.execute(delete(sync_pages).where(sync_pages.c.slice_id.in_(select(sync_slices.c.id).where(own))))
    await db.execute(_FORGET_COUNTED, {"id": execution_id})
    processed = select(func.coalesce(func.sum(sync_slices.c.records_processed), 0)).where(own).scalar_subquery()
    rejected = select(func.coalesce(func.sum(sync_slices.c.records_rejected), 0)).where(own).scalar_subquery()
    column = sync_executions.c
    age = func.extract("epoch", func.now() - func.coalesce(column.started_at, func.now()))
    await db.execute(
        update(sync_executions)
        .where(column.id == execution_id)
        .values(
            status=status,
            cause=cause,
            error_message=error_message,
            cancelled_by=cancelled_by,
            records_processed=processed if records_processed is None else records_processed,
            records_rejected=rejected,
            duration_seconds=age if duration_seconds is None else duration_seconds,
            finished_at=func.now(),
            updated_at=func.now(),
        )
    )
    return True


async def cancel(db: AsyncConnection, execution_id: int, who: str) -> bool:
    """End an execution and all that is left of it because `who` asks for that; `False` if it had ended before."""
    return await end(
        db, execution_id, status="error", cause="cancelled", error_message=f"cancelled by {who}", cancelled_by=who
    )


_SUMMARIZE = text("""
    SELECT e.status, e.resource, e.mode, e.criterio, e.trigger, e.records_processed,
           coalesce(sum(s.records_inserted), 0), coalesce(sum(s.records_updated), 0), e.records_rejected,
           coalesce(sum(s.itens_written), 0),
           (SELECT count(*) FROM itens_owed WHERE execution_id = e.id), count(s.id),
           count(s.id) FILTER (WHERE s.status = 'error'), coalesce(sum(s.pages_done), 0),
           CAST(e.duration_seconds AS float), e.cause, e.error_message
      FROM sync_executions e LEFT JOIN sync_slices s ON s.execution_id = e.id
     WHERE e.id = :id
     GROUP BY e.id
""")


async def summarize(db: AsyncConnection, execution_id: int) -> Summary:
    """The final counts of an execution, for the process that has ended it."""
    return Summary(*(await db.execute(_SUMMARIZE, {"id": execution_id})).one())


_COPY_EXECUTION = text("""
    INSERT INTO sync_executions (kind, resource, mode, criterio, parts, trigger, retry_of, requested_by, planned_at,
                                 window_start, window_end)
    SELECT e.kind, e.resource, e.mode, e.criterio, e.parts, 'retry', e.id, :requested_by, now(),
           min(s.window_start), max(s.window_end)
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
_ORPHAN = text("""
    SELECT id FROM sync_executions
     WHERE status = 'running' AND created_at < now() - make_interval(secs => :seconds)
       AND NOT EXISTS (SELECT 1 FROM workers
                        WHERE alive_until > now() OR last_seen_at > now() - make_interval(secs => :seconds))
     ORDER BY id LIMIT 1
""")


async def retry(db: AsyncConnection, execution_id: int, requested_by: str | None = None) -> int | None:
    """A new execution with copies of the failed slices of one that has ended.

    `None` where there are none, or where they are being repeated already. The caller has asked to `admit` before, so
    that two requests at once do not both find nothing under way.
    """
    parameters = {"id": execution_id, "requested_by": requested_by}
    copy: int | None = (await db.execute(_COPY_EXECUTION, parameters)).scalar_one_or_none()
    if copy is not None:
        await db.execute(_COPY_FAILED_SLICES, {"id": execution_id, "copy": copy})
    return copy


async def expire_orphan(db: AsyncConnection, *, seconds: float) -> int | None:
    """End the oldest execution that has waited this long while no worker was alive; answers its id.

    One per transaction: a transaction that held the counts of one execution and waited for another's could deadlock.
    """
    orphan: int | None = (await db.execute(_ORPHAN, {"seconds": float(seconds)})).scalar_one_or_none()
    if orphan is None or not await end(db, orphan, status="error", cause="no_worker", error_message=NO_WORKER):
        return None
    return orphan


_OUTLASTED = text("""
    SELECT e.id, p.failing_since, p.reason, p.cause
      FROM source_pauses p
      JOIN sync_executions e ON e.status = 'running'
     CROSS JOIN LATERAL (SELECT CASE e.mode WHEN 'update' THEN CAST(:update AS interval)
                                            ELSE CAST(:backfill AS interval) END AS patience) AS own
     WHERE p.source = CAST(:listings AS jsonb) ->> e.resource
       AND p.failing_since < now() - own.patience AND e.created_at < now() - own.patience
       AND p.paused_until > now() - CAST(:stale AS interval)
     ORDER BY e.id LIMIT 1
""")


async def end_by_outage(db: AsyncConnection) -> int | None:
    """End the oldest execution whose resource's listings have failed longer than its patience; answers its id.

    One in a transaction, as for `expire_orphan`.
    """
    patience: dict[str, timedelta] = {str(mode): limit for mode, limit in PATIENCE.items()}
    parameters = {**patience, "stale": STALE_OUTAGE, "listings": json.dumps(LISTINGS_OF)}
    outlasted = (await db.execute(_OUTLASTED, parameters)).one_or_none()
    if outlasted is None:
        return None
    since = f"{to_wall_clock(outlasted.failing_since):%Y-%m-%d %H:%M}"
    message = f"the portal has not answered since {since} ({outlasted.reason}): {outlasted.cause}"
    ended = await end(db, outlasted.id, status="error", cause="portal_down", error_message=message)
    return outlasted.id if ended else None


async def left_open(db: AsyncConnection) -> list[int]:
    """Executions whose last slice has ended but that are still open, because that worker died in between."""
    return list((await db.execute(_LEFT_OPEN)).scalars())


# --- slices -----------------------------------------------------------------------------------------------------

_FREE = """
        SELECT id FROM sync_slices
         WHERE status IN ('pending', 'running') AND kind = ANY(CAST(:kinds AS text[]))
           AND resource <> ALL(CAST(:paused AS text[]))
           AND (lease_until IS NULL OR lease_until < now())
           AND (run_after IS NULL OR run_after <= now())
           AND stalls < :max_stalls
         ORDER BY (mode = 'backfill'), execution_id, ordinal
         LIMIT 1
"""
_IS_ANY_FREE = text(_FREE)
_CLAIM = text(
    """
    UPDATE sync_slices
       SET status = 'running', attempt = attempt + 1, stalls = stalls + 1, worker_id = :worker_id,
           lease_until = now() + make_interval(secs => :lease_seconds),
           page_size = coalesce(page_size, CAST(CAST(:page_sizes AS jsonb) ->> resource AS int)),
           started_at = coalesce(started_at, now()), updated_at = now()
     WHERE id = ("""  # noqa: S608  # constants of ours
    + _FREE
    + """ FOR UPDATE SKIP LOCKED)
    RETURNING id AS slice_id, execution_id, attempt, worker_id, resource, mode, criterio, part,
              first_day, last_day, window_start, window_end, reading, failures, failing_since,
              (SELECT e.started_at IS NULL FROM sync_executions e WHERE e.id = execution_id), page_size,
              CASE WHEN mode = 'backfill' AND criterio = 'atualizacao' THEN EXISTS (
                  SELECT FROM sync_slices other
                   WHERE other.execution_id = sync_slices.execution_id AND other.id <> sync_slices.id
                     AND other.part = sync_slices.part) ELSE false END
"""
)
_RENEW = text("""
    WITH ours AS MATERIALIZED (
        SELECT s.id, s.attempt
          FROM sync_slices s
          JOIN unnest(CAST(:slice_ids AS bigint[]), CAST(:attempts AS int[])) AS held (id, attempt)
            ON s.id = held.id AND s.attempt = held.attempt
         WHERE s.worker_id = :worker_id AND s.status = 'running'
    ), unlocked AS MATERIALIZED (
        SELECT s.id FROM sync_slices s JOIN ours ON s.id = ours.id AND s.attempt = ours.attempt
         WHERE s.worker_id = :worker_id AND s.status = 'running'
           FOR UPDATE OF s SKIP LOCKED
    ), renewed AS (
        UPDATE sync_slices s SET lease_until = now() + make_interval(secs => :lease_seconds)
          FROM unlocked WHERE s.id = unlocked.id
    )
    SELECT id FROM ours
""")
_FAIL_STALLED = text("""
    WITH failed AS (
        UPDATE sync_slices
           SET status = 'error', finished_at = now(), worker_id = NULL, lease_until = NULL, updated_at = now(),
               cause = 'stalled', error_message =
                   concat_ws(': ', format('%s workers in a row ended without a page', stalls), error_message)
         WHERE status IN ('pending', 'running') AND stalls >= :max_stalls
           AND (lease_until IS NULL OR lease_until < now())
        RETURNING id, execution_id
    ), forgotten AS (
        DELETE FROM sync_pages WHERE slice_id IN (SELECT id FROM failed)
    )
    SELECT execution_id FROM failed
""")


async def is_any_free(
    db: AsyncConnection, *, kinds: Collection[Kind] = ONLY_SYNC, paused: Collection[str] = ()
) -> bool:
    """Whether a claim would find anything, unless others come first."""
    parameters = {"max_stalls": MAX_STALLS, "kinds": list(kinds), "paused": list(paused)}
    return (await db.execute(_IS_ANY_FREE, parameters)).one_or_none() is not None


async def claim(
    db: AsyncConnection,
    worker_id: str,
    *,
    lease_seconds: float,
    kinds: Collection[Kind] = ONLY_SYNC,
    page_sizes: Mapping[str, int] | None = None,
    paused: Collection[str] = (),
) -> Claim | None:
    """Take the next free slice of these kinds under a lease: updates before backfills, older executions first.

    `paused`: resources whose slices are left alone.
    `page_sizes`: records per page of a listing, by its resource; the first claim that says one fixes it for the slice.
    """
    parameters = {
        "worker_id": worker_id,
        "lease_seconds": float(lease_seconds),
        "max_stalls": MAX_STALLS,
        "kinds": list(kinds),
        "paused": list(paused),
        "page_sizes": json.dumps(page_sizes or {}),
    }
    row = (await db.execute(_CLAIM, parameters)).one_or_none()
    return None if row is None else Claim(*row)


async def renew(db: AsyncConnection, worker_id: str, held: Iterable[Claim], *, lease_seconds: float) -> set[int]:
    """Renew the leases that this worker holds; answers the ids of the slices that are still its own.

    Locked rows are skipped: a page of this worker may hold the lock, and its transaction renews the lease itself. A
    claim skips locked rows too.
    """
    claims = list(held)
    if not claims:
        return set()
    parameters = {
        "worker_id": worker_id,
        "lease_seconds": float(lease_seconds),
        "slice_ids": [claim.slice_id for claim in claims],
        "attempts": [claim.attempt for claim in claims],
    }
    return set((await db.execute(_RENEW, parameters)).scalars())


# The statements of every page, written out: they are asked for more often than all others together. The page that
# ends its slice changes it once and not twice: a row that is changed a second time in one transaction has its foreign
# key checked, which would lock the execution after the slice.
_STILL_OURS = " WHERE id = :slice_id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'"
_HOLD = text("SELECT now() FROM sync_slices" + _STILL_OURS + " FOR UPDATE")  # noqa: S608  # constants of ours
_ONE_PAGE_MORE = """
    UPDATE sync_slices
       SET updated_at = now(), stalls = 0,
           failing_since = CASE WHEN :shows_new THEN NULL ELSE failing_since END,
           pages_done = :pages_done, pages_total = :pages_total, total_registros = :total_registros,
           records_processed = records_processed + :processed, records_inserted = records_inserted + :inserted,
           records_updated = records_updated + :updated, records_rejected = records_rejected + :rejected,
           itens_written = itens_written + :itens,
"""
_ADVANCE = text(
    _ONE_PAGE_MORE  # the lease counts from the page's end: its statements may have taken longer than a lease
    + " lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)"
    + _STILL_OURS
    + " RETURNING now()"
)
_ADVANCE_AND_FINISH = text(
    _ONE_PAGE_MORE + " lease_until = NULL, worker_id = NULL, status = 'success', finished_at = now(), cause = NULL,"
    " error_message = NULL" + _STILL_OURS + " RETURNING now()"
)
_FORGET_PAGES = text("DELETE FROM sync_pages WHERE slice_id = :slice_id")


async def hold(db: AsyncConnection, claim: Claim) -> datetime | None:
    """Lock the slice for this transaction, before its data; answers the database's moment, `None` if it is not ours."""
    moment: datetime | None = (await db.execute(_HOLD, _fence(claim))).scalar_one_or_none()
    return moment


async def advance(
    db: AsyncConnection,
    claim: Claim,
    counts: PageCounts,
    *,
    pages_done: int,
    pages_total: int,
    total_registros: int,
    lease_seconds: float,
    finishes: bool = False,
    shows_new: bool = True,
) -> datetime | None:
    """Move a slice's counts and lease by one page; answers the database's moment, `None` if it is not ours.

    `finishes`: with this page the slice is complete, and ends. `shows_new`: the page shows something that the slice had
    not seen; one that does not is no progress, so that the slice's failures go on counting.
    """
    parameters = {
        **_fence(claim),
        **vars(counts),
        "pages_done": pages_done,
        "pages_total": pages_total,
        "total_registros": total_registros,
        "shows_new": shows_new or finishes,
    }
    if finishes:
        await db.execute(_FORGET_PAGES, {"slice_id": claim.slice_id})
        result = await db.execute(_ADVANCE_AND_FINISH, parameters)
    else:
        result = await db.execute(_ADVANCE, {**parameters, "lease_seconds": float(lease_seconds)})
    moment: datetime | None = result.scalar_one_or_none()
    if finishes and moment is not None:
        await _note_success(db, claim)
    return moment


_NOBODY: dict[str, Any] = {"worker_id": None, "lease_until": None}
_ONE_STALL_LESS = func.greatest(sync_slices.c.stalls - 1, 0)


async def _note_success(db: AsyncConnection, claim: Claim) -> None:
    """Keep what the slice has read in the transaction that ends it."""
    await coverage.note_success(db, claim.slice_id, claim.criterio)


def _fence(claim: Claim) -> dict[str, Any]:
    return {"slice_id": claim.slice_id, "attempt": claim.attempt, "worker_id": claim.worker_id}


async def reread(db: AsyncConnection, claim: Claim) -> bool:
    """Begin the slice's listing anew, under the same claim."""
    return await _change(db, claim, reading=sync_slices.c.reading + 1, pages_done=0)


_NOTE_EMPTY = text(
    "UPDATE sync_slices SET empty_sights = empty_sights + 1, updated_at = now()"  # noqa: S608  # constants of ours
    + _STILL_OURS
    + " RETURNING empty_sights"
)


async def note_empty(db: AsyncConnection, claim: Claim) -> int | None:
    """Count a claim that found the listing empty against expectation; answers how many have, `None` if not ours."""
    sights: int | None = (await db.execute(_NOTE_EMPTY, _fence(claim))).scalar_one_or_none()
    return sights


async def release(
    db: AsyncConnection, claim: Claim, *, delay_seconds: float = 0.0, database_error: str | None = None
) -> bool:
    """Give a slice back, because the worker stops or the database is in trouble; the next claim goes on from its pages.

    It may be claimed again after `delay_seconds`; `database_error` is shown until then. This claim counts neither as a
    failure nor as a stall.
    """
    changes: dict[str, Any] = {"status": "pending", "stalls": _ONE_STALL_LESS, **_NOBODY}
    if delay_seconds:
        changes["run_after"] = func.now() + timedelta(seconds=delay_seconds)
    if database_error is not None:
        changes |= {"cause": "database", "error_message": database_error}
    return await _change(db, claim, **changes)


_DATABASE_TROUBLE = text("""
    SELECT error_message FROM sync_slices
     WHERE cause = 'database'
       AND (status = 'pending' AND run_after > now() - interval '1 minute' OR status = 'running' AND stalls > 0)
     ORDER BY updated_at DESC LIMIT 1
""")


async def database_trouble(db: AsyncConnection) -> str | None:
    """Why the database does not store what ingestors read, in its own words; `None` where it does.

    A slice that was given back and taken up again counts until it has committed a page.
    """
    error: str | None = (await db.execute(_DATABASE_TROUBLE)).scalar_one_or_none()
    return error


async def forgive(db: AsyncConnection, claim: Claim) -> None:
    """Take back the stall of a claim that the database's trouble has ended, and that another has followed."""
    column = sync_slices.c
    await db.execute(
        update(sync_slices)
        .where(column.id == claim.slice_id, column.attempt > claim.attempt, column.status.in_(["pending", "running"]))
        .values(stalls=_ONE_STALL_LESS)
    )


async def release_all(db: AsyncConnection, worker_id: str) -> list[tuple[int, int]]:
    """Release all slices of a worker that ends; answers the ids of the slices, each with its execution's."""
    column = sync_slices.c
    statement = (
        update(sync_slices)
        .where(column.worker_id == worker_id, column.status == "running")
        .values(status="pending", stalls=_ONE_STALL_LESS, updated_at=func.now(), **_NOBODY)
        .returning(column.id, column.execution_id)
    )
    return [(slice_id, execution_id) for slice_id, execution_id in await db.execute(statement)]


async def postpone(
    db: AsyncConnection,
    claim: Claim,
    *,
    delay_seconds: float,
    cause: Cause,
    error_message: str,
    progressed: bool,
    is_stall: bool = False,
) -> bool:
    """Put a slice back until later; `False` if it has failed longer than its patience, or is not ours.

    `progressed`: this claim has committed a page that showed something new, so that this failure is the first in a
    row. `is_stall`: it is not the source that failed, so that this claim counts towards `MAX_STALLS`.
    """
    column = sync_slices.c
    failing_since = column.failing_since if progressed else func.coalesce(column.failing_since, claim.failing_since)
    changes: dict[str, Any] = {
        "status": "pending",
        "failures": 1 if progressed else column.failures + 1,
        "failing_since": func.coalesce(failing_since, func.now()),
        "run_after": func.now() + timedelta(seconds=delay_seconds),
        "cause": cause,
        "error_message": error_message,
        **_NOBODY,
    }
    if not is_stall:
        changes["stalls"] = 0
    is_patient = or_(failing_since.is_(None), failing_since > func.now() - PATIENCE[claim.mode])
    return await _change(db, claim, is_patient, **changes)


async def fail(db: AsyncConnection, claim: Claim, cause: Cause, error_message: str) -> bool:
    """End a slice as failed; its committed records stay."""
    return await _end(db, claim, status="error", cause=cause, error_message=error_message)


async def finish(db: AsyncConnection, claim: Claim) -> bool:
    """End a slice as complete."""
    if not await _end(db, claim, status="success", cause=None, error_message=None):
        return False
    await _note_success(db, claim)
    return True


async def fail_stalled(db: AsyncConnection) -> set[int]:
    """End slices that have used up their stalls; answers the executions they belong to."""
    return set((await db.execute(_FAIL_STALLED, {"max_stalls": MAX_STALLS})).scalars())


def _mine(claim: Claim) -> ColumnElement[bool]:
    column = sync_slices.c
    return and_(
        column.id == claim.slice_id,
        column.attempt == claim.attempt,
        column.worker_id == claim.worker_id,
        column.status == "running",
    )


async def _end(db: AsyncConnection, claim: Claim, **changes: Any) -> bool:
    if not await _change(db, claim, finished_at=func.now(), **changes, **_NOBODY):
        return False
    await db.execute(delete(sync_pages).where(sync_pages.c.slice_id == claim.slice_id))
    return True


async def _change(db: AsyncConnection, claim: Claim, *conditions: ColumnElement[bool], **changes: Any) -> bool:
    """Apply a transition to a slice that is still this claim's; says whether it won."""
    statement = update(sync_slices).where(_mine(claim), *conditions).values(updated_at=func.now(), **changes)
    return (await db.execute(statement)).rowcount == 1
