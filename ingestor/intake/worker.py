"""The worker of intakes: it processes imports, reads sources, and takes up rows that waited for what they refer to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.connections.loading import FOLDERS, Stamp, check_connections, no_connections, stamp_of
from common.connections.settings import Connections
from common.database import in_transaction
from common.lifecycle import imports, intake, jobs, slices
from common.lifecycle.imports import Import
from common.lifecycle.intake import IntakeClaim
from ingestor.delivery.breaker import pause_seconds
from ingestor.intake import extracting, importing, records, sources
from ingestor.intake.extracting import Held
from ingestor.intake.faults import SourceChanged, SourceDown, SourceMisconfigured
from ingestor.intake.folder import Folder
from ingestor.intake.importing import CONFIRM, NeedsConfirmation, Refused, Tools
from ingestor.intake.readings import GONE, Readings
from ingestor.intake.sources import Registered
from ingestor.jobs import POLL_SECONDS, JobWorker, Lease, Postponed, Step, end_with
from ingestor.metrics import Metrics

T = TypeVar("T")
log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
TICK_SECONDS = 5.0
RETRY_SECONDS = 15.0
TIDY_SECONDS = 600.0
POSTPONED_SECONDS = 30.0
LAYOUT_SECONDS = 20.0
LAYOUT_TRIES = 3
"""How often an import whose layout is gone waits for it, before it is refused."""
NO_LAYOUT = "o layout {layout} não está na pasta, ou não vale"


@dataclass(frozen=True)
class IntakeOptions:
    """The settings of a worker that takes in.

    `folder`: the files of connections; `watched`: where files are left to be taken in. Both may be absent.
    """

    folder: Path | None
    watched: Path | None
    slots: int
    lease_seconds: float
    imports_days: int
    most_bytes: int
    schedule_enabled: bool = True
    retry_seconds: float = 5.0


class IntakeWorker(JobWorker[IntakeClaim]):
    """One process's share of the intakes; `run` returns when `stopping` is set and the chunks in hand are stored."""

    kind = "intake"

    def __init__(self, engine: AsyncEngine, options: IntakeOptions, metrics: Metrics | None = None) -> None:
        super().__init__(engine, slots=options.slots, lease_seconds=options.lease_seconds, metrics=metrics or Metrics())
        self._options = options
        self._connections: Connections | None = None
        self._stamp: Stamp | None = None
        self._readings = Readings(engine)
        self._is_unread = False
        self._tools = Tools(engine, self.stopping.is_set, self._metrics.taken_in)
        self._watched: Folder | None = None
        if options.watched is not None:
            self._watched = Folder(options.watched, engine, most_bytes=options.most_bytes)

    def _steps(self) -> Sequence[tuple[Step, float]]:
        return (
            (self._look, LOOK_SECONDS),
            (self._plan, POLL_SECONDS),
            (self._tick, TICK_SECONDS),
            (self._watch, LOOK_SECONDS),
            (self._retry_waiting, RETRY_SECONDS),
            (self._tidy, TIDY_SECONDS),
        )

    def _is_ready(self) -> bool:
        return self._connections is not None

    async def _claim(self, db: AsyncConnection, lease_seconds: float) -> IntakeClaim | None:
        assert self._connections is not None  # noqa: S101  # see `_is_ready`
        # without the folder, or while it cannot be read, this worker does not know which layouts there are
        is_blind = self._options.folder is None or self._is_unread
        layouts = list(self._connections.layouts) if is_blind else None
        return await intake.claim(
            db, self.id, lease_seconds=lease_seconds, sources=self._readings.names, layouts=layouts
        )

    # --- loops ----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Load the files if they have changed. A file that does not hold leaves what it was before."""
        if self._options.folder is None:
            self._connections = self._connections or no_connections()
            return
        stamp = await asyncio.to_thread(stamp_of, self._options.folder)
        if stamp == self._stamp and not self._is_unread:
            return
        found, faults = await asyncio.to_thread(check_connections, self._options.folder)
        if stamp != self._stamp:
            for fault in faults:
                log.error("a file of connections does not hold", file=fault.file, line=fault.line, fault=fault.message)
        # a folder that cannot be read says nothing of its files
        self._is_unread = any(fault.file in (str(self._options.folder), *FOLDERS) for fault in faults)
        if self._is_unread:
            self._connections = self._connections or found
        else:
            self._connections = _with_former(found, self._connections, {Path(fault.file).stem for fault in faults})
            await self._readings.take(self._connections.sources)
        self._stamp = stamp
        self._wake.set()

    async def _plan(self) -> None:
        """Give each new reading its entities."""
        if await self._readings.plan():
            self._wake.set()

    async def _tick(self) -> None:
        """Start the readings that are due, and end those of sources that are gone."""
        if self._stamp is None:  # without the folder, others know which sources there are
            return
        if self._options.schedule_enabled:
            await self._readings.tick()
        if not self._is_unread:
            await self._readings.give_up_missing()

    async def _watch(self) -> None:
        """Take in what lies in the watched folder, and move what has ended."""
        if self._watched is None or self._connections is None:
            return
        if await self._watched.look(self._connections.layouts):
            self.announce()

    async def _retry_waiting(self) -> None:
        """Take up rows whose missing record has come, and end imports whose executions have ended."""
        if self._connections is None:
            return
        retry = partial(importing.retry_waiting, entities=self._connections.declarations)
        while await in_transaction(self._engine, retry) and not self.stopping.is_set():
            pass
        await in_transaction(self._engine, imports.end_abandoned)

    async def _tidy(self) -> None:
        """Delete what is old, in small steps."""
        steps: tuple[Callable[[AsyncConnection], Awaitable[int]], ...] = (
            imports.forget_cut_off,
            imports.reject_waiting,
            imports.forget_files,
            partial(imports.forget, days=self._options.imports_days),
            records.blank_removed,
        )
        for step in steps:
            while await in_transaction(self._engine, step) and not self.stopping.is_set():
                pass

    # --- one slice ------------------------------------------------------------------------------------------------

    async def _work_on(self, claim: IntakeClaim, _: Lease) -> None:
        with structlog.contextvars.bound_contextvars(execution_id=claim.execution_id, slice_id=claim.slice_id):
            try:
                if claim.starts_execution:
                    await self._mark_started(claim)
                await (self._import(claim) if claim.is_import else self._extract(claim))
            except Exception as error:  # noqa: BLE001  # what becomes of the slice depends on which it is
                settle = partial(self._settle_error, claim, error, retry_seconds=POSTPONED_SECONDS)
                await self._insist(settle)

    async def _import(self, claim: IntakeClaim) -> None:
        assert self._connections is not None  # noqa: S101  # nothing is claimed before
        async with self._engine.connect() as db:
            found = await imports.of_execution(db, claim.execution_id)
        if found is None:
            await self._end(claim, "internal", "the import of this execution is gone")
            return
        layout = self._connections.layouts.get(found.layout)
        if layout is None:
            if claim.failures < LAYOUT_TRIES:  # files are replaced one by one
                raise Postponed(LAYOUT_SECONDS, "misconfigured", NO_LAYOUT.format(layout=found.layout))
            await self._refuse(claim, found, Refused("unknown_layout", NO_LAYOUT.format(layout=found.layout)))
            return
        with structlog.contextvars.bound_contextvars(import_id=found.id, layout=found.layout):
            try:
                is_done = await importing.process(self._tools, claim, found, layout)
            except Refused as refused:
                await self._refuse(claim, found, refused)
                return
            except NeedsConfirmation:
                await self._hold(claim, found)
                return
            if is_done:
                await self._finish(claim, partial(importing.finish, claim=claim, import_id=found.id))
                await self._retry_waiting()
            else:
                await self._release(claim)

    async def _extract(self, claim: IntakeClaim) -> None:
        registered = self._readings.find(claim)
        if registered is None:
            await self._end(claim, "misconfigured", GONE.format(source=claim.subject))
            return
        stops, metrics = self.stopping.is_set, self._metrics
        with structlog.contextvars.bound_contextvars(source=claim.subject, entity=registered.name):
            try:
                is_done = await extracting.extract(self._engine, claim, registered, stops=stops, metrics=metrics)
            except SourceChanged as error:
                await self._fail(claim, registered, str(error))
            except (SourceDown, SourceMisconfigured) as error:
                note = partial(sources.note_failure, source=claim.subject, reason=str(error))
                await in_transaction(self._engine, note)
                if isinstance(error, SourceMisconfigured):
                    await self._end(claim, "misconfigured", str(error))
                    return
                seconds = pause_seconds(claim.failures + 1, self._options.retry_seconds, None)
                raise Postponed(seconds, "source_down", str(error)) from error
            except Held as held:
                if await in_transaction(self._engine, partial(extracting.hold, claim=claim, held=held)):
                    log.warning("reading is held until it is confirmed", **held.details)
                else:
                    self._lose()
            else:
                if not is_done:
                    await self._release(claim)
                    return
                await self._finish(claim, partial(extracting.finish, claim=claim, registered=registered))
                await self._retry_waiting()

    async def _fail(self, claim: IntakeClaim, registered: Registered, reason: str) -> None:
        """End the reading of an entity that does not fit its file; the source's other entities go on."""
        fail = partial(extracting.fail, claim=claim, registered=registered, reason=reason)
        if not await in_transaction(self._engine, fail):
            self._lose()
            return
        self._metrics.slice_ended("failed")
        log.error("the source does not fit its file", reason=reason)
        await self._close_execution(claim.execution_id)

    async def _refuse(self, claim: IntakeClaim, found: Import, refused: Refused) -> None:
        """End an import that is not taken in, with its reason."""

        async def refuse(db: AsyncConnection) -> bool:
            await jobs.lock(db, claim.execution_id)
            if await slices.hold(db, claim) is None:
                return False
            await end_with(db, claim.execution_id, "bad_file", refused.message)
            return await imports.end(db, found.id, "refused", code=refused.code, fault=refused.message)

        if not await in_transaction(self._engine, refuse):
            self._lose()
            return
        self._metrics.slice_ended("failed")
        log.warning("import is refused", code=refused.code, fault=refused.message)

    async def _hold(self, claim: IntakeClaim, found: Import) -> None:
        """Let an import wait until a person has looked at its preview."""

        async def hold(db: AsyncConnection) -> bool:
            await jobs.lock(db, claim.execution_id)
            return await jobs.hold(db, claim, claim.execution_id, {"reason": CONFIRM, "import_id": found.id})

        if await in_transaction(self._engine, hold):
            log.info("import waits for its confirmation")
        else:
            self._lose()


def _with_former(found: Connections, former: Connections | None, faulty: set[str]) -> Connections:
    """What the files say, and for files that do not hold what they said before."""
    if former is None:
        return found
    return replace(
        found,
        declarations=_kept(found.declarations, former.declarations, faulty),
        layouts=_kept(found.layouts, former.layouts, faulty),
        sources=_kept(found.sources, former.sources, faulty),
    )


def _kept(now: Mapping[str, T], before: Mapping[str, T], faulty: set[str]) -> dict[str, T]:
    return {**{name: one for name, one in before.items() if name in faulty}, **now}
