"""The loops of a worker of deliveries or of intakes: claim slices into slots, renew their leases, settle how they end.

There is one recovery, as for the portal's slices: work that was lost by any fault is found again by polling.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import cause_of, in_transaction, is_database_trouble, is_unknown_to_schema
from common.lifecycle import Kind, executions, jobs, slices
from common.lifecycle.causes import Cause
from common.lifecycle.jobs import JobClaim
from ingestor.errors import LeaseLost
from ingestor.loops import end, repeat, settle, stop_if_upgraded
from ingestor.metrics import Metrics
from ingestor.presence import beat, leave, limit_statements, new_worker_id, release_all
from ingestor.settling import database_wait

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
DATABASE_RETRY_SECONDS = 5.0
GAVE_UP = "sem êxito por 24 horas: {reason}"

Step = Callable[[], Awaitable[None]]


C = TypeVar("C", bound=JobClaim)


@dataclass
class Lease:
    """Until when the claim is surely held, on this process's monotonic clock; renewals move it."""

    valid_until: float


@dataclass(eq=False)
class Postponed(Exception):
    """The other side has failed; it is asked again after a pause."""

    seconds: float
    cause: Cause
    reason: str


@dataclass
class _Held(Generic[C]):
    claim: C
    task: asyncio.Task[None]
    lease: Lease
    lease_seconds: float


class JobWorker(Generic[C]):
    """One process's share of the jobs of a kind; `run` returns when `stopping` is set and what is in hand is settled.

    A subclass says what is claimed and how it is worked on, and which steps are repeated beside.
    """

    kind: Kind

    def __init__(self, engine: AsyncEngine, *, slots: int, lease_seconds: float, metrics: Metrics) -> None:
        self.id = new_worker_id()
        self.stopping = asyncio.Event()
        self._engine = engine
        self._slots = slots
        self._lease_seconds = lease_seconds
        self._metrics = metrics
        self._held: dict[int, _Held[C]] = {}
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._leaves_slices = False  # those in hand when the schema was upgraded
        self._tasks = asyncio.TaskGroup()

    # --- what a subclass says -----------------------------------------------------------------------------------

    def _steps(self) -> Sequence[tuple[Step, float]]:
        """What is repeated until the worker stops, each with its seconds."""
        raise NotImplementedError

    def _is_ready(self) -> bool:
        """Whether anything may be claimed yet."""
        raise NotImplementedError

    def _claim_seconds(self) -> float:
        """How long a lease lasts."""
        return self._lease_seconds

    async def _claim(self, db: AsyncConnection, lease_seconds: float) -> C | None:
        raise NotImplementedError

    async def _work_on(self, claim: C, lease: Lease) -> None:
        raise NotImplementedError

    async def _close(self) -> None:
        """Close what the worker has opened."""

    # --- loops ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `stopping` is set. A loop that fails ends the process, so that it is restarted."""
        log.info("worker started", kind=self.kind, worker_id=self.id, slots=self._slots)
        async with self._tasks as tasks:
            beats = [
                tasks.create_task(self._keep(step, self._lease_seconds / 4, self._settled))
                for step in (self._beat, self._renew)
            ]
            loops = [
                tasks.create_task(self._keep(step, seconds, self.stopping))
                for step, seconds in (*self._steps(), (self._close_left_open, POLL_SECONDS))
            ]
            loops.append(tasks.create_task(self._keep(self._fill_slots, POLL_SECONDS, self._wake)))
            await self.stopping.wait()
            self._wake.set()
            all_ended = await end(loops)
            all_settled = await self._settle_all()
            if self._leaves_slices or not (all_settled and all_ended):
                for _ in await release_all(self._engine, self.id):
                    self._metrics.slice_ended("released")
            self._settled.set()
            await end(beats)
        await self._close()
        await leave(self._engine, self.id)
        log.info("worker stopped", kind=self.kind, worker_id=self.id)

    async def _keep(self, step: Step, seconds: float, wake: asyncio.Event) -> None:
        """Repeat a step until the worker stops; with `_settled` to wake it, until all its slices are settled."""
        ends = wake if wake is self._settled else self.stopping
        await repeat(step, seconds, wake, ends=ends, engine=self._engine, stopping=self.stopping)

    def announce(self) -> None:
        """Look for work at once: something was heard of."""
        self._wake.set()

    async def _beat(self) -> None:
        """Record that this worker is alive."""
        await beat(self._engine, self.id, [self.kind], lease_seconds=self._lease_seconds)

    async def _renew(self) -> None:
        """Renew the leases; what goes by them is done only while one outlives it."""
        for held in list(self._held.values()):
            began = time.monotonic()
            async with self._engine.begin() as db:
                await limit_statements(db, max(held.lease_seconds / 4, 1))
                if await slices.renew(db, self.id, [held.claim], lease_seconds=held.lease_seconds):
                    held.lease.valid_until = began + held.lease_seconds

    async def _close_left_open(self) -> None:
        """Close what a worker that died has left open, and end slices that kill their workers."""
        stalled = await in_transaction(self._engine, slices.fail_stalled)
        async with self._engine.connect() as db:
            left_open = await executions.left_open(db, kind=self.kind)
        for execution_id in {*stalled, *left_open}:
            await self._close_execution(execution_id)

    async def _fill_slots(self) -> None:
        while not self.stopping.is_set() and len(self._held) < self._slots and self._is_ready():
            lease_seconds = self._claim_seconds()
            began = time.monotonic()
            claim = await in_transaction(self._engine, partial(self._claim, lease_seconds=lease_seconds))
            if claim is None:
                return
            lease = Lease(began + lease_seconds)
            task = self._tasks.create_task(self._work_on(claim, lease), name=f"slice {claim.slice_id}")
            self._held[claim.slice_id] = _Held(claim, task, lease, lease_seconds)
            task.add_done_callback(partial(self._let_go, claim.slice_id))

    def _let_go(self, slice_id: int, task: asyncio.Task[None]) -> None:
        held = self._held.get(slice_id)
        if held is not None and held.task is task:  # it may have been claimed again, and that claim may have ended
            del self._held[slice_id]
        self._wake.set()

    # --- how a slice ends -----------------------------------------------------------------------------------------

    async def _settle_error(self, claim: C, error: Exception, *, retry_seconds: float) -> None:
        """What becomes of a slice when the work of this claim ended in an error."""
        match error:
            case Postponed():
                await self._postpone(claim, error)
            case LeaseLost():
                self._lose()
            case _ if is_database_trouble(error):
                await self._give_back(claim, cause_of(error))
            case _ if await self._stops_on(error):
                self._leaves_slices = True
            case _:
                log.error("job ended unexpectedly", kind=self.kind, exc_info=error)
                message = f"unexpected {type(error).__name__}"
                await self._postpone(claim, Postponed(retry_seconds, "internal", message))

    async def _stops_on(self, error: Exception) -> bool:
        """Whether the work failed because the schema was upgraded; an error that explains another one counts as it."""
        cause = error if is_unknown_to_schema(error) else error.__cause__
        return await stop_if_upgraded(cause, self._engine, self.stopping)

    async def _mark_started(self, claim: C) -> None:
        await in_transaction(self._engine, partial(executions.mark_started, execution_id=claim.execution_id))
        log.info("execution started", worker_id=self.id)

    async def _release(self, claim: C) -> None:
        """Give a slice back that is not done, because this worker stops."""
        await in_transaction(self._engine, partial(slices.release, claim=claim))
        self._metrics.slice_ended("released")

    async def _insist(self, step: Step) -> None:
        """Repeat a step while the database is unavailable; fences tell whether it still applies."""
        while True:
            try:
                await step()
            except Exception as error:
                if not is_database_trouble(error):
                    raise
                log.warning("database is not available", cause=cause_of(error))
                await asyncio.sleep(database_wait())
            else:
                return

    async def _give_back(self, claim: C, cause: str) -> None:
        """Release a slice because of the database."""
        log.warning("database is not available", cause=cause)
        release = partial(slices.release, claim=claim, delay_seconds=DATABASE_RETRY_SECONDS, database_error=cause)
        await in_transaction(self._engine, release)

    def _lose(self) -> None:
        self._metrics.slice_ended("lost")
        log.warning("slice is another worker's now, or has been ended")

    async def _finish(self, claim: C, finish: Callable[[AsyncConnection], Awaitable[bool]]) -> None:
        if await in_transaction(self._engine, finish):
            self._metrics.slice_ended("finished")
            await self._close_execution(claim.execution_id)
        else:
            self._metrics.slice_ended("lost")

    async def _postpone(self, claim: C, error: Postponed) -> None:
        """Put a slice back; where it has failed for longer than it may, end the job."""
        postpone = partial(
            jobs.postpone,
            claim=claim,
            delay_seconds=error.seconds,
            cause=error.cause,
            error_message=error.reason,
        )
        if await in_transaction(self._engine, postpone):
            self._metrics.slice_ended("postponed")
            log.warning("job is tried again later", seconds=round(error.seconds, 1), reason=error.reason)
            return
        await self._end(claim, error.cause, GAVE_UP.format(reason=error.reason))

    async def _end(self, claim: C, cause: Cause, message: str) -> None:
        """End the job as failed, unless its slice is another worker's now: what failed here may go well there."""

        async def end_own(db: AsyncConnection) -> bool:
            await jobs.lock(db, claim.execution_id)
            if await slices.hold(db, claim) is None:
                return False
            await end_with(db, claim.execution_id, cause, message)
            return True

        if not await in_transaction(self._engine, end_own):
            self._lose()
            return
        self._metrics.slice_ended("failed")
        log.error("execution finished", status="error", cause=cause, error_message=message)

    async def _close_execution(self, execution_id: int) -> None:
        """End a job whose last slice has ended."""
        status = await in_transaction(self._engine, partial(executions.close, execution_id=execution_id))
        if status is not None:
            log.info("execution finished", execution_id=execution_id, status=status)

    async def _settle_all(self) -> bool:
        """Let what is in hand come to its end; answers whether all was in time. The others are cancelled."""
        if self._held:
            log.info("finishing what is in hand", kind=self.kind, slices=len(self._held))
        return await settle([held.task for held in self._held.values()])


async def end_with(db: AsyncConnection, execution_id: int, cause: Cause, message: str) -> None:
    """End a job as failed, in the caller's transaction."""
    await executions.end(db, execution_id, status="error", cause=cause, error_message=message)
