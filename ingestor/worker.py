"""The work loop: plan executions, claim slices into slots, renew their leases.

There is one recovery: work that was lost by any fault is found again by polling.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common import traces
from common.database import cause_of, in_transaction, is_database_trouble
from common.lifecycle import admission, executions, slices
from common.lifecycle.slices import Claim
from common.lists import Scopes
from common.resources import LATER, RESOURCES, SERVICE_OF, SERVICES
from common.resources.description import Child
from common.resources.dominios import DOMINIOS
from ingestor import settling
from ingestor.changes import move_horizon
from ingestor.debts import PROGRESS, Turn, is_any_due, work_off
from ingestor.dominios import ingest_dominios
from ingestor.goals import fill_goals
from ingestor.history import delete_old
from ingestor.loops import end, repeat, settle, stop_if_upgraded
from ingestor.metrics import Metrics
from ingestor.planning import Rules, plan_next
from ingestor.presence import beat, leave, limit_statements, new_worker_id, release_all
from ingestor.rollup import keep_rollup
from ingestor.schedule import tick
from ingestor.sizes import note_sizes
from ingestor.slices import SliceIngestion, Tools, ingest_slice
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.pncp.shared_state import SharedSource
from ingestor.store.coletas import settle_one
from ingestor.store.later import widen
from ingestor.store.search import fill_words

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
TICK_SECONDS = 5.0
GOALS_SECONDS = 10.0
DEBT_SECONDS = 5.0
DEBTS_AT_ONCE = 4
LATER_DEBTS_AT_ONCE = 2
HISTORY_SECONDS = 3600.0
WORDS_SECONDS = 60.0
ROLLUP_SECONDS = 5.0
HORIZON_SECONDS = 2.0
PLAN_AFTER_SECONDS = 30.0  # with a broker the message should have come by then


@dataclass(frozen=True)
class WorkerOptions:
    """The worker's settings."""

    rules: Rules
    slots: int
    lease_seconds: float
    slice_retry_seconds: float
    has_broker: bool
    crons: Mapping[str, str] = field(default_factory=dict)
    """The cron of each schedule that this worker looks after; empty where the schedule is switched off."""
    goals: Mapping[str, date] = field(default_factory=dict)
    """From which day on each resource is to be complete by the setting, by its name."""
    max_unfinished: int = admission.MAX_UNFINISHED
    history_days: int = 0
    """After how many days what has ended is deleted; 0 for never."""
    keeps_coletas: bool = False
    """Whether what is read of plans is also kept as it was read."""
    coletas_days: int = 0
    """After how many days that is deleted; 0 for never."""
    searches_itens: bool = True
    """Whether entries of lists are found by a search."""
    changes_days: int = 0
    """After how many days a change is deleted from the feed; 0 for never."""
    scopes: Scopes = field(default_factory=dict)
    """Of the lists that are only read later."""


@dataclass
class _Held:
    claim: Claim
    task: asyncio.Task[None]
    renewed_at: float
    is_settling: bool = False
    lost_by_database: str | None = None
    """Why its lease could not be renewed, where that was the database's trouble."""


class Worker:
    """One ingestor process's share of the work; `run` returns when `stopping` is set and its slices are settled."""

    def __init__(
        self, engine: AsyncEngine, client: PncpClient, options: WorkerOptions, metrics: Metrics | None = None
    ) -> None:
        self.id = new_worker_id()
        self.stopping = asyncio.Event()
        self._engine = engine
        assert isinstance(client.source, SharedSource)  # noqa: S101  # only tests of the client have another source
        self._client = client
        self._page_sizes = {resource.name: client.page_size(resource) for resource in RESOURCES}
        self._source = client.source
        self._turns = list(SERVICE_OF)
        """All resources, the one claimed last at the end: each has its turn, however many slices another one has."""
        self._is_busy = False
        self._becoming_busy = asyncio.Lock()
        self._debts_in_hand = 0
        self._widening: set[Child] = set()
        self._widened: set[Child] = set()
        self._options = options
        self._metrics = metrics or Metrics()
        self._held: dict[Claim, _Held] = {}
        self._announced: set[int] = set()
        self._wake_planner = asyncio.Event()
        self._wake_slots = asyncio.Event()
        self._settled = asyncio.Event()
        self._leaves_slices = False  # those in hand when the schema was upgraded
        self._tasks = asyncio.TaskGroup()
        self._metrics.held_slices.set_function(lambda: len(self._held))
        self._tools = Tools(
            engine,
            client,
            self.stopping,
            options.lease_seconds,
            metrics=self._metrics,
            scopes=options.scopes,
            keeps_coletas=options.keeps_coletas,
            searches_itens=options.searches_itens,
        )

    def announce(self, execution_id: int) -> None:
        """Plan an execution soon; the poll would find it later."""
        self._announced.add(execution_id)
        self._wake_planner.set()

    async def run(self) -> None:
        """Work until `stopping` is set. A loop that fails ends the process, so that it is restarted."""
        log.info("worker started", worker_id=self.id, slots=self._options.slots)
        async with self._tasks as tasks:
            beats = [  # two tasks, so that neither delays the other
                tasks.create_task(self._keep(step, self._options.lease_seconds / 4, self._settled))
                for step in (self._beat, self._renew)
            ]
            loops = [
                tasks.create_task(self._keep(self._plan, POLL_SECONDS, self._wake_planner)),
                tasks.create_task(self._keep(self._fill_slots, POLL_SECONDS, self._wake_slots)),
            ]
            if self._options.crons:
                loops.append(tasks.create_task(self._keep(self._tick, TICK_SECONDS, self.stopping)))
            loops += [
                tasks.create_task(self._keep(step, DEBT_SECONDS, self.stopping))
                for step in (self._work_off_debts, self._work_off_later, self._widen_scopes)
            ]
            loops += [
                tasks.create_task(self._keep(step, seconds, self.stopping))
                for step, seconds in (
                    (self._fill_goals, GOALS_SECONDS),
                    (self._fill_words, WORDS_SECONDS),
                    (self._keep_rollup, ROLLUP_SECONDS),
                    (self._move_horizon, HORIZON_SECONDS),
                    (self._note_sizes, HISTORY_SECONDS),
                    (self._delete_old, HISTORY_SECONDS),
                )
            ]
            await self.stopping.wait()
            self._source.stop_waiting()
            self._wake_planner.set()
            self._wake_slots.set()
            all_ended = await end(loops)
            all_settled = await self._settle_all()
            if self._leaves_slices or not (all_ended and all_settled):
                await self._release_all()
            self._settled.set()
            await end(beats)
        await leave(self._engine, self.id)
        log.info("worker stopped", worker_id=self.id)

    async def _keep(self, step: Callable[[], Awaitable[None]], seconds: float, wake: asyncio.Event) -> None:
        """Repeat a step until the worker stops; with `_settled` to wake it, until all its slices are settled."""
        ends = wake if wake is self._settled else self.stopping
        await repeat(step, seconds, wake, ends=ends, engine=self._engine, stopping=self.stopping)

    # --- loops ----------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Record that this worker is alive, and until when it counts as alive."""
        await beat(self._engine, self.id, ["sync"], lease_seconds=self._options.lease_seconds)

    async def _renew(self) -> None:
        """Renew the leases; release slices whose lease was not renewed in time."""
        if not self._held:
            return
        cause = None
        try:
            still_ours = await self._renew_leases()
            now = time.monotonic()
            for held in self._held.values():
                if held.claim.slice_id in still_ours:
                    held.renewed_at = now
        except Exception as error:
            cause = cause_of(error) if is_database_trouble(error) else None
            raise
        finally:
            self._let_go_of_overdue(cause)

    async def _renew_leases(self) -> set[int]:
        lease_seconds = self._options.lease_seconds
        claims = [held.claim for held in self._held.values()]
        async with self._engine.begin() as db:
            # not longer, so that what cannot be renewed is given up in time
            await limit_statements(db, max(lease_seconds / 4, 1))
            return await slices.renew(db, self.id, claims, lease_seconds=lease_seconds)

    def _let_go_of_overdue(self, database_cause: str | None) -> None:
        oldest = time.monotonic() - 0.75 * self._options.lease_seconds
        for held in self._held.values():
            if held.renewed_at < oldest and not held.is_settling:
                log.warning("lease could not be renewed, the slice is released", **_named(held.claim))
                held.lost_by_database = database_cause
                held.task.cancel()

    async def _plan(self) -> None:
        """Plan announced executions, then those that have waited; close and end what a dead worker left behind.

        Settle the coletas of executions that have ended.
        """
        while self._announced:
            await self._plan_one(execution_id=self._announced.pop())
        while await self._plan_one() is not None:
            pass
        stalled = await in_transaction(self._engine, slices.fail_stalled)
        for execution_id in stalled:
            log.error("slices failed, their workers ended again and again", execution_id=execution_id)
        async with self._engine.connect() as db:
            left_open = await executions.left_open(db)
        for execution_id in {*stalled, *left_open}:
            await settling.close(self._engine, execution_id)
        await settling.end_outlasted(self._engine)
        while await in_transaction(self._engine, settle_one) is not None:
            pass

    async def _plan_one(self, execution_id: int | None = None) -> int | None:
        older_than = PLAN_AFTER_SECONDS if self._options.has_broker else 0.0
        planned = await plan_next(
            self._engine, self._options.rules, older_than_seconds=older_than, execution_id=execution_id
        )
        if planned is not None:
            self._wake_slots.set()
        return planned

    async def _tick(self) -> None:
        """Start what the schedule says is due, if no other worker has."""
        options = self._options
        if await tick(self._engine, options.rules, options.crons, at_most=options.max_unfinished):
            self._wake_planner.set()

    async def _fill_goals(self) -> None:
        """Start what goals miss, if no other worker has."""
        options = self._options
        if await fill_goals(self._engine, options.rules, options.goals, at_most=options.max_unfinished):
            self._wake_planner.set()

    async def _delete_old(self) -> None:
        """Delete what is old of the history, and of what was kept as it was read, unless another worker is doing it."""
        options = self._options
        await delete_old(
            self._engine,
            options.history_days,
            self.stopping,
            coletas_days=options.coletas_days,
            changes_days=options.changes_days,
        )

    async def _keep_rollup(self) -> None:
        """Add up what triggers have noted for the rollup, and count and compare what is due."""
        self._metrics.rollup_mismatches.inc(await keep_rollup(self._engine, self.stopping))

    async def _move_horizon(self) -> None:
        """Let readers of the feed go on to the changes that are all visible now."""
        await in_transaction(self._engine, move_horizon)

    async def _note_sizes(self) -> None:
        """Note the size of each table, unless another worker has done it today."""
        await in_transaction(self._engine, note_sizes)

    async def _fill_words(self) -> None:
        """Make the words of rows that a search does not find yet, unless another worker is doing it."""
        await fill_words(self._engine, self.stopping, searches_itens=self._options.searches_itens)

    async def _work_off_debts(self) -> None:
        """Read lists that are owed, as long as any come."""
        while not self.stopping.is_set():
            turn = Turn(
                paused=self._paused_services(),
                scopes=self._options.scopes,
                keeps_coletas=self._options.keeps_coletas,
                searches_itens=self._options.searches_itens,
            )
            if not await self._work_off(turn):
                break
        await self._rest()

    async def _work_off_later(self) -> None:
        """Read lists that are only read later, while none of the others are due; what was asked for at any time."""
        scopes = self._options.scopes
        while not self.stopping.is_set():
            paused = self._paused_services()
            async with self._engine.connect() as db:
                others_are_due = await is_any_due(db, Turn(paused=paused))
            wanted = [] if others_are_due else [service for service, scope in scopes.items() if scope is not None]
            if not await self._work_off(Turn(LATER, paused, wanted, scopes)):
                break
        await self._rest()

    async def _widen_scopes(self) -> None:
        """Owe the lists of records that were there before their scope was; nothing, once all have been looked at."""
        for resource, child in LATER:
            scope = self._options.scopes.get(child.service)
            while scope is not None and child not in self._widened and not self.stopping.is_set():
                begins = child not in self._widening
                look = partial(widen, resource=resource, child=child, scope=scope, begins=begins)
                came_to = await in_transaction(self._engine, look)
                if came_to == "elsewhere":
                    break
                (self._widening if came_to == "more" else self._widened).add(child)

    async def _work_off(self, turn: Turn) -> bool:
        """Try some of the debts that are due, if any are; answers whether others are likely to come."""
        if not await self._may_ask(partial(is_any_due, turn=turn)):
            return False
        self._debts_in_hand += 1
        try:
            most = LATER_DEBTS_AT_ONCE if turn.lists is LATER else DEBTS_AT_ONCE
            outcomes = await work_off(self._engine, self._client, self.stopping, most, room=self._tools.room, turn=turn)
        finally:
            self._debts_in_hand -= 1
        return not PROGRESS.isdisjoint(outcomes)

    def _paused_services(self) -> list[str]:
        return [service for service in SERVICES if self._source.is_paused(service)]

    async def _fill_slots(self) -> None:
        while not self.stopping.is_set():
            if not await self._may_ask(partial(slices.is_any_free, resources=self._readable())):
                return
            readable = self._readable()
            # slices that wait for the end of a pause keep no slot from those of another resource
            if sum(claim.resource in readable for claim in self._held) >= self._options.slots:
                return
            claim = await in_transaction(
                self._engine,
                partial(
                    slices.claim,
                    worker_id=self.id,
                    lease_seconds=self._options.lease_seconds,
                    page_sizes=self._page_sizes,
                    resources=readable,
                ),
            )
            if claim is None:
                await self._rest()
                return
            self._turns.remove(claim.resource)
            self._turns.append(claim.resource)
            if self.stopping.is_set():
                await settling.release(self._tools, claim)
                return
            task = self._tasks.create_task(self._hold(claim), name=f"slice {claim.slice_id}")
            self._held[claim] = _Held(claim, task, time.monotonic())
            task.add_done_callback(partial(self._let_go, claim))

    def _readable(self) -> list[str]:
        """The resources whose listings are not paused, in the order of their turns."""
        return [resource for resource in self._turns if not self._source.is_paused(SERVICE_OF[resource])]

    async def _may_ask(self, has_work: Callable[[AsyncConnection], Awaitable[bool]]) -> bool:
        """Whether to take up work: there is some, and this worker has a share of the budget."""
        async with self._becoming_busy:
            if not self._is_busy:
                async with self._engine.connect() as db:
                    if not await has_work(db):
                        return False
                self._is_busy = await self._source.begin_work(self.id)
        await self._source.look()
        return self._is_busy and self._source.has_share

    async def _rest(self) -> None:
        """Leave this worker's share of the budget to the others, if it has nothing to do."""
        async with self._becoming_busy:
            if self._is_busy and not self._held and not self._debts_in_hand:
                await self._source.end_work()
                self._is_busy = False

    def _let_go(self, claim: Claim, _: asyncio.Task[None]) -> None:
        self._held.pop(claim, None)
        self._wake_slots.set()

    # --- one slice ------------------------------------------------------------------------------------------------

    async def _hold(self, claim: Claim) -> None:
        """Work on a slice; give it back where its lease could not be renewed because of the database."""
        try:
            await self._work_on(claim)
        except asyncio.CancelledError:
            held = self._held[claim]
            if held.lost_by_database is None:
                raise
            held.task.uncancel()
            with structlog.contextvars.bound_contextvars(**_named(claim)):
                held.is_settling = True
                await settling.give_back(self._tools, claim, held.lost_by_database)

    async def _work_on(self, claim: Claim) -> None:
        about = {**_named(claim), **_part(claim), "day": claim.first_day.isoformat()}
        with (
            structlog.contextvars.bound_contextvars(**about),
            traces.span("slice", about, parent=claim.traceparent),
        ):
            work = SliceIngestion(self._tools, claim)
            try:
                if claim.starts_execution:
                    start = partial(executions.mark_started, execution_id=claim.execution_id)
                    if await in_transaction(self._engine, start):
                        log.info("execution started", worker_id=self.id)
                ingest = ingest_dominios if claim.resource == DOMINIOS else ingest_slice
                complete = await ingest(work)
                self._held[claim].is_settling = True
                await (settling.finish(self._tools, work) if complete else settling.release(self._tools, claim))
            except Exception as error:  # noqa: BLE001  # what becomes of the slice depends on which it is
                self._held[claim].is_settling = True
                if await stop_if_upgraded(error, self._engine, self.stopping):
                    self._leaves_slices = True
                    return
                retry_seconds = self._options.slice_retry_seconds
                await settling.settle_error(self._tools, work, error, retry_seconds=retry_seconds)

    # --- the end --------------------------------------------------------------------------------------------------

    async def _settle_all(self) -> bool:
        """Let unfinished pages be finished; answers whether all were in time. The others are cancelled."""
        if self._held:
            log.info("finishing the pages in hand", slices=len(self._held))
        return await settle([held.task for held in self._held.values()])

    async def _release_all(self) -> None:
        """Release all slices of this worker, also unknown ones: a cancelled claim may have been committed."""
        for _ in await release_all(self._engine, self.id):
            self._metrics.slice_ended("released")


def _named(claim: Claim) -> dict[str, int]:
    return {"execution_id": claim.execution_id, "slice_id": claim.slice_id}


def _part(claim: Claim) -> dict[str, str | int]:
    """The resource of a slice and its part, for the log."""
    return {"resource": claim.resource, **({"part": claim.part} if claim.part else {})}
