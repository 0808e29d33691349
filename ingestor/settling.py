"""What becomes of a slice whose claim has ended or failed, and of its execution after its last slice."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal, TypedDict

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import cause_of, in_transaction, is_database_trouble
from common.execution_log import log_finished
from common.lifecycle import executions, slices
from common.lifecycle.causes import Cause
from common.lifecycle.executions import Summary
from common.lifecycle.slices import Claim
from ingestor.errors import LeaseLost, ListingIncomplete, PageUnfit, PncpError, PncpRejected, StoppedWaiting
from ingestor.metrics import Outcome
from ingestor.slices import SliceIngestion, Tools

log = structlog.get_logger(__name__)

LONGEST_BACKOFF = 1800.0
UNFIT_TRIES = 3  # claims in a row that find a page too many of whose records cannot be stored
DATABASE_WAIT = (1.0, 5.0)
"""The delay before the database is tried again, in seconds."""
DATABASE_RETRY = (5.0, 15.0)
"""The delay before a slice that was released because of the database is claimed again, in seconds."""
LONGEST_MESSAGE = 2000  # characters of a slice's error

Fate = Literal["lost", "release", "give_back", "fail", "postpone"]


class Why(TypedDict):
    """What an error leaves on its slice."""

    cause: Cause
    error_message: str


def choose_fate(error: Exception, claim: Claim) -> Fate:
    """What becomes of a slice when the work of this claim ended in an error.

    A slice that is postponed fails nevertheless where its patience is over; the database's clock decides that.
    """
    match error:
        case LeaseLost():
            return "lost"
        case StoppedWaiting():
            return "release"
        case PageUnfit():
            return "fail" if claim.failures + 1 >= UNFIT_TRIES else "postpone"
        case PncpRejected():
            return "fail"
        case PncpError():
            return "postpone"
    return "give_back" if is_database_trouble(error) else "postpone"


def explain(error: Exception) -> Why:
    """What an error leaves on its slice; a fault of ours is named by its kind only."""
    if isinstance(error, PncpError):
        return {"cause": error.cause, "error_message": str(error)[:LONGEST_MESSAGE]}
    return {"cause": "internal", "error_message": f"unexpected {type(error).__name__}"}


def backoff_seconds(failures: int, first: float) -> float:
    """The pause after so many failures in a row: twice as long each time, up to half an hour, with jitter."""
    longest: float = min(first * 2 ** min(failures, 20), LONGEST_BACKOFF)
    return random.uniform(0.5, 1.0) * longest  # noqa: S311  # jitter


def database_wait() -> float:
    """The seconds to wait before the database is tried again, with jitter."""
    return random.uniform(*DATABASE_WAIT)  # noqa: S311  # jitter


async def settle_error(tools: Tools, work: SliceIngestion, error: Exception, *, retry_seconds: float) -> None:
    """Apply to a slice what becomes of it after an error; `retry_seconds` is the first pause of its back-off."""
    match choose_fate(error, work.claim):
        case "lost":
            tools.metrics.slice_ended("lost")
            _log_outcome("lost", {})
        case "release":
            await release(tools, work.claim)
        case "give_back":
            await give_back(tools, work.claim, cause_of(error))
        case "fail":
            await fail(tools, work.claim, explain(error))
        case "postpone":
            if not isinstance(error, PncpError):
                log.error("slice ended unexpectedly", exc_info=error)
            await postpone(tools, work, error, retry_seconds)


async def finish(tools: Tools, work: SliceIngestion) -> None:
    """End a slice that is complete."""

    async def end() -> Outcome:
        if work.finished:  # with its last page, as nearly always
            return "finished"
        won = await in_transaction(tools.engine, partial(slices.finish, claim=work.claim))
        return "finished" if won else "lost"

    await _settle(tools, work.claim, end, told=_described_finish(work))


async def fail(tools: Tools, claim: Claim, why: Why) -> None:
    """End a slice as failed."""

    async def end() -> Outcome:
        return "failed" if await in_transaction(tools.engine, partial(slices.fail, claim=claim, **why)) else "lost"

    await _settle(tools, claim, end, told=why)


async def release(tools: Tools, claim: Claim) -> None:
    """Release a slice, because the worker stops."""

    async def end() -> Outcome:
        return "released" if await in_transaction(tools.engine, partial(slices.release, claim=claim)) else "lost"

    await _settle(tools, claim, end)


async def give_back(tools: Tools, claim: Claim, database_error: str) -> None:
    """Release a slice because the database is in trouble; this counts neither as a failure nor as a stall."""
    log.warning("database is not available, the slice is released", cause="database", error_message=database_error)
    released = partial(
        slices.release,
        claim=claim,
        delay_seconds=random.uniform(*DATABASE_RETRY),  # noqa: S311  # jitter
        database_error=database_error[:LONGEST_MESSAGE],
    )

    async def end() -> Outcome:
        return "released" if await in_transaction(tools.engine, released) else "lost"

    await _settle(tools, claim, end, has_seen_trouble=True)


async def postpone(tools: Tools, work: SliceIngestion, error: Exception, retry_seconds: float) -> None:
    """Postpone a slice, or end it where its patience is over and there is no progress."""
    claim = work.claim
    why = explain(error)
    delay = backoff_seconds(claim.failures, retry_seconds)

    async def put_back(db: AsyncConnection) -> Outcome:
        if await slices.postpone(
            db,
            claim,
            delay_seconds=delay,
            **why,
            # a listing that does not add up is read again and again without progress
            progressed=work.has_progressed and not isinstance(error, ListingIncomplete | PageUnfit),
            is_stall=not isinstance(error, PncpError),
        ):
            return "postponed"
        return "failed" if await slices.fail(db, claim, **why) else "lost"

    await _settle(
        tools,
        claim,
        partial(in_transaction, tools.engine, put_back),
        told={**why, "delay_seconds": round(delay, 1)},
    )


async def close(engine: AsyncEngine, execution_id: int) -> None:
    """Close an execution whose slices have all ended, and log how it has; others are left open."""

    async def close_one(db: AsyncConnection) -> Summary | None:
        if await executions.close(db, execution_id) is None:
            return None
        return await executions.summarize(db, execution_id)

    summary = await in_transaction(engine, close_one)
    if summary is not None:
        log_finished(execution_id, summary)


async def end_outlasted(engine: AsyncEngine) -> None:
    """End the executions for which the source has failed longer than their patience, one in a transaction."""

    async def end_one(db: AsyncConnection) -> tuple[int, Summary] | None:
        execution_id = await executions.end_by_outage(db)
        return None if execution_id is None else (execution_id, await executions.summarize(db, execution_id))

    while (outlasted := await in_transaction(engine, end_one)) is not None:
        log_finished(*outlasted)


async def _settle(
    tools: Tools,
    claim: Claim,
    transition: Callable[[], Awaitable[Outcome]],
    *,
    told: Mapping[str, Any] | None = None,
    has_seen_trouble: bool = False,
) -> None:
    """Apply a transition, retrying while the database is in trouble; its fence tells whether it still applies.

    If another claim has followed meanwhile, this one is not counted as a stall: the database was the cause.
    """
    outcome: Outcome | None = None
    while True:
        try:
            if outcome is None:
                outcome = await transition()
                tools.metrics.slice_ended(outcome)
                _log_outcome(outcome, told or {})
            if outcome in ("finished", "failed"):
                await close(tools.engine, claim.execution_id)
            elif outcome == "lost" and has_seen_trouble:
                await in_transaction(tools.engine, partial(slices.forgive, claim=claim))
        except Exception as error:
            if not is_database_trouble(error):
                raise
            has_seen_trouble = True
            await asyncio.sleep(database_wait())
        else:
            return


def _log_outcome(outcome: Outcome, told: Mapping[str, Any]) -> None:
    """Log how the work on a slice has ended; empty slices, most of a backfill's, at debug level."""
    match outcome:
        case "finished":
            is_worth_it = told["records"] or told["rejected"] or told["attempt"] > 1 or told["reading"] > 1
            log.log(logging.INFO if is_worth_it else logging.DEBUG, "slice finished", **told)
        case "failed":
            log.error("slice failed", cause=told["cause"], error_message=told["error_message"])
        case "postponed":
            log.warning("slice is postponed", **told)
        case "released":
            log.info("slice is released")
        case "lost":
            log.warning("slice was taken over")


def _described_finish(work: SliceIngestion) -> dict[str, Any]:
    """The work of the claim that has finished a slice; earlier claims have logged their own."""
    counts = work.counts
    return {
        "pages": work.committed,
        "records": counts.processed,
        "inserted": counts.inserted,
        "updated": counts.updated,
        "rejected": counts.rejected,
        "itens": counts.itens,
        "attempt": work.claim.attempt,
        "reading": work.reading,
    }
