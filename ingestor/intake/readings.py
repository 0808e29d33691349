"""The sources that a worker has files of: registered, planned into their entities, and read when they are due."""

from collections.abc import Mapping
from datetime import datetime

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.connections.settings import Source
from common.database import in_transaction
from common.lifecycle import Mode, intake, jobs
from common.lifecycle.intake import DELTA, SCHEDULE, IntakeClaim
from ingestor.intake import sources
from ingestor.intake.sources import Registered
from ingestor.jobs import end_with
from ingestor.schedule import Outcome, tick_each

log = structlog.get_logger(__name__)

GONE = "o arquivo da fonte {source} não está na pasta, ou não vale"
NOTHING_CHANGES = "a fonte {source} não tem entidades com cursor"

_RUNNING = text("""
    SELECT id, mode = 'update' AND now() < CAST(:due_at AS timestamptz) + interval '9 minutes' AS is_waited_for
      FROM sync_executions
     WHERE kind = 'intake' AND trigger <> 'import' AND status = 'running' AND resource = :source
""")


class _NotYet(Exception):
    """Changes are just being read: the whole reading that is due begins when that has ended."""


class Readings:
    """The sources of one worker."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sources: Mapping[str, Source] = {}
        self._registered: dict[str, list[Registered]] = {}

    @property
    def names(self) -> list[str]:
        """Those whose readings this worker takes."""
        return list(self._registered)

    def find(self, claim: IntakeClaim) -> Registered | None:
        """The entity that a claim is of; null where its file is gone."""
        known = self._registered.get(claim.subject, ())
        return next((each for each in known if each.id == claim.part), None)

    async def take(self, found: Mapping[str, Source]) -> None:
        """Register what the files say now."""

        async def register(db: AsyncConnection) -> dict[str, list[Registered]]:
            registered = {name: await sources.register(db, source) for name, source in sorted(found.items())}
            await sources.mark_missing(db, list(registered), is_new=True)
            return registered

        gone = set(self._registered) - set(found)
        self._registered = await in_transaction(self._engine, register)
        self._sources = dict(found)
        for name in sorted(gone):
            log.warning("the file of a source is gone", source=name)

    async def plan(self) -> bool:
        """Give each new reading its entities; answers whether there was one."""
        planned = 0
        while bool(self._registered) and await in_transaction(self._engine, self._plan_one):
            planned += 1
        return planned > 0

    async def _plan_one(self, db: AsyncConnection) -> bool:
        asked = await intake.lock_unplanned(db, self.names)
        if asked is None:
            return False
        wanted = asked.options.get("entities")
        registered = [each for each in self._registered[asked.source] if wanted is None or each.name in wanted]
        parts = sources.parts_of(registered, asked.mode)
        if parts:
            await jobs.plan(db, asked.id, parts)
        else:
            await end_with(db, asked.id, "misconfigured", NOTHING_CHANGES.format(source=asked.source))
        return True

    async def give_up_missing(self) -> None:
        """End readings of sources that no worker has a file of."""

        async def give_up(db: AsyncConnection) -> list[tuple[int, str]]:
            abandoned = await sources.load_abandoned(db, self.names)
            for execution_id, source in abandoned:
                await end_with(db, execution_id, "misconfigured", GONE.format(source=source))
            return abandoned

        for execution_id, source in await in_transaction(self._engine, give_up):
            log.warning("a reading is given up, its source is gone", execution_id=execution_id, source=source)

    async def tick(self) -> None:
        """Start the readings that are due: whole ones first, as one of changes would be in their way."""
        whole = {SCHEDULE + name: source.schedule for name, source in self._sources.items()}
        changes = {SCHEDULE + name + DELTA: source.delta for name, source in self._sources.items() if source.delta}
        for name, cron in (*whole.items(), *changes.items()):
            try:
                await tick_each(self._engine, {name: cron}, _start)
            except _NotYet:
                log.debug("a whole reading waits for the changes that are being read", schedule=name)


async def _start(db: AsyncConnection, name: str, due_at: datetime) -> Outcome:
    """The reading of a source, by its schedule."""
    is_delta = name.endswith(DELTA)
    source = name.removeprefix(SCHEDULE).removesuffix(DELTA)
    if is_delta and await jobs.is_paused(db, SCHEDULE + source):
        return Outcome(skipped_reason=f"a fonte {source} está em pausa")
    running = (await db.execute(_RUNNING, {"source": source, "due_at": due_at})).one_or_none()
    if running is not None:
        if running.is_waited_for and not is_delta:
            raise _NotYet
        return Outcome(skipped_reason=f"a leitura {running.id} ainda não terminou")
    mode: Mode = "update" if is_delta else "backfill"
    created = await jobs.create(db, kind="intake", subject=source, mode=mode, trigger="schedule")
    return Outcome([] if created is None else [created])
