"""The state of a slice: `pending`, `running` under a lease and fenced by `attempt`, then `success` or `error`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from common import coverage, watermarks
from common.database import driver_of
from common.lifecycle import GOAL_PATIENCE, PATIENCE, Mode
from common.lifecycle.causes import Cause
from common.resources import SERVICE_OF
from common.resources.description import Criterio
from common.resources.dominios import DOMINIOS
from common.tables import sync_pages, sync_slices

MAX_STALLS = 6
"""Claims in a row without a committed page after which a slice is taken to kill its workers."""


@dataclass(frozen=True)
class PlannedSlice:
    """One listing to read: a span of days, one part of the resource, and the window of the span that counts."""

    part: int
    first_day: date
    last_day: date
    window_start: datetime
    window_end: datetime


class Fenced(Protocol):
    """A claim of a slice of any kind: what every write under it is fenced with."""

    @property
    def slice_id(self) -> int:
        """The slice."""

    @property
    def attempt(self) -> int:
        """The token, incremented by each claim."""

    @property
    def worker_id(self) -> str:
        """The worker that holds it."""


@dataclass(frozen=True)
class Claim:
    """A slice held by one worker; `attempt` is the token that every write is fenced with.

    `page_size` is what its listing is read by, `None` where no claim has said. `counts_once`: its records may move to
    another slice of the execution while both are read, so that the execution has to remember what it has counted.
    `reaches_today`: its listing may grow while it is read. `traceparent`: the trace that asked for it, if there is one.
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
    reaches_today: bool = False
    traceparent: str | None = None


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


# Updates first, then backfills, then what fills goals; of each the resources in the order of their turn, which the
# subquery's own order keeps. One look into an index for each of them, until there is a slice; only that one is locked.
# Two comparisons stand for an equality: with that the planner may take another index for the order, and pass over all
# slices of other resources.
_FREE = """
        SELECT free.id
          FROM (SELECT rank.for_goal, rank.mode, turn.resource
                  FROM (VALUES (false, 'update', 1), (false, 'backfill', 2), (true, 'backfill', 3))
                       AS rank (for_goal, mode, number)
                 CROSS JOIN unnest(CAST(:resources AS text[])) WITH ORDINALITY AS turn (resource, number)
                 ORDER BY rank.number, turn.number) AS turns
         CROSS JOIN LATERAL (
               SELECT id FROM sync_slices
                WHERE (for_goal, mode, resource) >= (turns.for_goal, turns.mode, turns.resource)
                  AND (for_goal, mode, resource) <= (turns.for_goal, turns.mode, turns.resource)
                  AND status IN ('pending', 'running') AND kind = 'sync'
                  AND (lease_until IS NULL OR lease_until < now())
                  AND (run_after IS NULL OR run_after <= now())
                  AND stalls < :max_stalls
                ORDER BY for_goal, mode, resource, execution_id, ordinal
                LIMIT 1 {lock}) AS free
         LIMIT 1
"""

_IS_ANY_FREE = text(_FREE.format(lock=""))
_CLAIM = text(
    """
    UPDATE sync_slices
       SET status = 'running', attempt = attempt + 1, stalls = stalls + 1, worker_id = :worker_id,
           lease_until = now() + make_interval(secs => :lease_seconds),
           page_size = coalesce(page_size, CAST(CAST(:page_sizes AS jsonb) ->> resource AS int)),
           started_at = coalesce(started_at, now()), updated_at = now()
     WHERE id = ("""  # noqa: S608  # constants of ours
    + _FREE.format(lock="FOR UPDATE SKIP LOCKED")
    + """)
    RETURNING id AS slice_id, execution_id, attempt, worker_id, resource, mode, criterio, part,
              first_day, last_day, window_start, window_end, reading, failures, failing_since,
              (SELECT e.started_at IS NULL FROM sync_executions e WHERE e.id = execution_id), page_size,
              CASE WHEN mode = 'backfill' AND criterio = 'atualizacao' THEN EXISTS (
                  SELECT FROM sync_slices other
                   WHERE other.execution_id = sync_slices.execution_id AND other.id <> sync_slices.id
                     AND other.part = sync_slices.part) ELSE false END,
              last_day >= CAST(timezone('America/Sao_Paulo', now()) AS date),
              (SELECT e.traceparent FROM sync_executions e WHERE e.id = execution_id)
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


async def is_any_free(db: AsyncConnection, *, resources: Sequence[str] = tuple(SERVICE_OF)) -> bool:
    """Whether a claim would find anything, unless others come first."""
    parameters = {"max_stalls": MAX_STALLS, "resources": list(resources)}
    return (await db.execute(_IS_ANY_FREE, parameters)).one_or_none() is not None


async def claim(
    db: AsyncConnection,
    worker_id: str,
    *,
    lease_seconds: float,
    page_sizes: Mapping[str, int] | None = None,
    resources: Sequence[str] = tuple(SERVICE_OF),
) -> Claim | None:
    """Take the next free slice under a lease: updates, backfills, goals, older executions first.

    `resources`: those whose slices are claimed. Of slices of equal rank, the first resource's go before the second's:
    who gives the resource claimed last as the last one lets them take turns, however much of one is left.
    `page_sizes`: records per page of a listing, by its resource; the first claim that says one fixes it for the slice.
    """
    parameters = {
        "worker_id": worker_id,
        "lease_seconds": float(lease_seconds),
        "max_stalls": MAX_STALLS,
        "resources": list(resources),
        "page_sizes": json.dumps(page_sizes or {}),
    }
    row = (await db.execute(_CLAIM, parameters)).one_or_none()
    return None if row is None else Claim(*row)


async def renew(db: AsyncConnection, worker_id: str, held: Iterable[Fenced], *, lease_seconds: float) -> set[int]:
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
_STILL_OURS = " WHERE id = {} AND attempt = {} AND worker_id = {} AND status = 'running'"
_IS_OURS = _STILL_OURS.format(":slice_id", ":attempt", ":worker_id")

_HOLD = text("SELECT now() FROM sync_slices" + _IS_OURS + " FOR UPDATE")  # noqa: S608  # constants of ours
# For the driver itself: $1 to $3 the fence, $4 whether the page shows something new, $5 to $7 pages and records of the
# listing, $8 to $12 the counts.
_ONE_PAGE_MORE = """
    UPDATE sync_slices
       SET updated_at = now(), stalls = 0, failing_since = CASE WHEN $4 THEN NULL ELSE failing_since END,
           pages_done = $5, pages_total = $6, total_registros = $7,
           records_processed = records_processed + $8, records_inserted = records_inserted + $9,
           records_updated = records_updated + $10, records_rejected = records_rejected + $11,
           itens_written = itens_written + $12,
"""
_OF_CLAIM = _STILL_OURS.format("$1", "$2", "$3")

_ADVANCE = (
    _ONE_PAGE_MORE  # the lease counts from the page's end: its statements may have taken longer than a lease
    + f" lease_until = clock_timestamp() + make_interval(secs => $13) {_OF_CLAIM} RETURNING now()"
)
# In one statement what else would be three: many slices have one page.
_ADVANCE_AND_FINISH = f"""
    WITH ended AS ({_ONE_PAGE_MORE} lease_until = NULL, worker_id = NULL, status = 'success', finished_at = now(),
                   cause = NULL, error_message = NULL {_OF_CLAIM} RETURNING *),
    forgotten AS (DELETE FROM sync_pages WHERE slice_id IN (SELECT id FROM ended)),
    noted AS ({coverage.NOTE_DAY.format(ended="ended")})
    SELECT now() FROM ended
"""  # noqa: S608  # constants of ours


async def hold(db: AsyncConnection, claim: Fenced) -> datetime | None:
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
    told = (
        *(claim.slice_id, claim.attempt, claim.worker_id),
        *(shows_new or finishes, pages_done, pages_total, total_registros),
        *(counts.processed, counts.inserted, counts.updated, counts.rejected, counts.itens),
    )
    driver = await driver_of(db)
    moment: datetime | None = (
        await driver.fetchval(_ADVANCE_AND_FINISH, *told)
        if finishes
        else await driver.fetchval(_ADVANCE, *told, float(lease_seconds))
    )
    if finishes and moment is not None and claim.criterio == "atualizacao":
        await watermarks.move(db, claim.slice_id)
    return moment


UNHELD: dict[str, Any] = {"worker_id": None, "lease_until": None}
_ONE_STALL_LESS = func.greatest(sync_slices.c.stalls - 1, 0)


def _fence(claim: Fenced) -> dict[str, Any]:
    return {"slice_id": claim.slice_id, "attempt": claim.attempt, "worker_id": claim.worker_id}


async def reread(db: AsyncConnection, claim: Claim) -> bool:
    """Begin the slice's listing anew, under the same claim."""
    return await change(db, claim, reading=sync_slices.c.reading + 1, pages_done=0)


_NOTE_EMPTY = text(
    "UPDATE sync_slices SET empty_sights = empty_sights + 1, updated_at = now()"  # noqa: S608  # constants of ours
    + _IS_OURS
    + " RETURNING empty_sights"
)


async def note_empty(db: AsyncConnection, claim: Claim) -> int | None:
    """Count a claim that found the listing empty against expectation; answers how many have, `None` if not ours."""
    sights: int | None = (await db.execute(_NOTE_EMPTY, _fence(claim))).scalar_one_or_none()
    return sights


async def release(
    db: AsyncConnection, claim: Fenced, *, delay_seconds: float = 0.0, database_error: str | None = None
) -> bool:
    """Give a slice back, because the worker stops or the database is in trouble; the next claim goes on from its pages.

    It may be claimed again after `delay_seconds`; `database_error` is shown until then. This claim counts neither as a
    failure nor as a stall.
    """
    changes: dict[str, Any] = {"status": "pending", "stalls": _ONE_STALL_LESS, **UNHELD}
    if delay_seconds:
        changes["run_after"] = func.now() + timedelta(seconds=delay_seconds)
    if database_error is not None:
        changes |= {"cause": "database", "error_message": database_error}
    return await change(db, claim, **changes)


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
        .values(status="pending", stalls=_ONE_STALL_LESS, updated_at=func.now(), **UNHELD)
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
        **UNHELD,
    }
    if not is_stall:
        changes["stalls"] = 0
    patience = case((column.for_goal, GOAL_PATIENCE), else_=PATIENCE[claim.mode])
    is_patient = or_(failing_since.is_(None), failing_since > func.now() - patience)
    return await change(db, claim, is_patient, **changes)


async def fail(db: AsyncConnection, claim: Claim, cause: Cause, error_message: str) -> bool:
    """End a slice as failed; its committed records stay."""
    return await _end(db, claim, status="error", cause=cause, error_message=error_message)


async def finish(db: AsyncConnection, claim: Claim) -> bool:
    """End a slice as complete."""
    if not await _end(db, claim, status="success", cause=None, error_message=None):
        return False
    if claim.resource != DOMINIOS:  # whose lists are of no day
        await coverage.note_success(db, claim.slice_id, claim.criterio)
    return True


async def fail_stalled(db: AsyncConnection) -> set[int]:
    """End slices that have used up their stalls; answers the executions they belong to."""
    return set((await db.execute(_FAIL_STALLED, {"max_stalls": MAX_STALLS})).scalars())


def _mine(claim: Fenced) -> ColumnElement[bool]:
    column = sync_slices.c
    return and_(
        column.id == claim.slice_id,
        column.attempt == claim.attempt,
        column.worker_id == claim.worker_id,
        column.status == "running",
    )


async def _end(db: AsyncConnection, claim: Claim, **changes: Any) -> bool:
    if not await change(db, claim, finished_at=func.now(), **changes, **UNHELD):
        return False
    await db.execute(delete(sync_pages).where(sync_pages.c.slice_id == claim.slice_id))
    return True


async def change(db: AsyncConnection, claim: Fenced, *conditions: ColumnElement[bool], **changes: Any) -> bool:
    """Apply a transition to a slice that is still this claim's; says whether it won."""
    statement = update(sync_slices).where(_mine(claim), *conditions).values(updated_at=func.now(), **changes)
    return (await db.execute(statement)).rowcount == 1
