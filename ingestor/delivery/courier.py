"""The worker of deliveries: load the files, start what is due, claim the streams of destinations, deliver them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.connections.loading import FOLDERS, Stamp, check_connections, stamp_of
from common.connections.settings import Connections, Destination
from common.database import driver_of, in_transaction
from common.entities.reconciliation import DEADLINE_DAYS
from common.lifecycle import deliveries, jobs
from common.lifecycle.deliveries import SCHEDULE, StreamClaim
from ingestor.delivery import ledger, probe
from ingestor.delivery.breaker import pause_seconds
from ingestor.delivery.deliver import (
    MARGIN_SECONDS,
    Held,
    Sender,
    Stopped,
    Tools,
    Unreadable,
    deliver_stream,
    finish_stream,
    hold_stream,
)
from ingestor.delivery.pace import Pace
from ingestor.delivery.streams import Registered, load_missing, lock_open, mark_missing, register
from ingestor.jobs import POLL_SECONDS, JobWorker, Lease, Step, end_with
from ingestor.metrics import Metrics
from ingestor.schedule import Outcome, tick_each

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
TICK_SECONDS = 5.0
HISTORY_SECONDS = 3600.0
BATCHES_DAYS = 30
GONE = "o arquivo do destino {destination} não está na pasta, ou não vale"

# After an update that has ended since the last delivery was asked for that looks at all streams.
_UPDATED = text("""
    SELECT wanted.destination
      FROM unnest(CAST(:destinations AS text[]), CAST(:resources AS text[])) AS wanted (destination, resource)
      LEFT JOIN schedules p ON p.name = :schedule || wanted.destination
     WHERE p.paused_at IS NULL
       AND (SELECT max(u.finished_at) FROM sync_executions u
             WHERE u.kind = 'sync' AND u.resource = wanted.resource AND u.mode = 'update' AND u.status = 'success'
               AND u.finished_at > now() - interval '1 day')
           > coalesce((SELECT d.created_at FROM sync_executions d
                        WHERE d.kind = 'delivery' AND d.resource = wanted.destination
                          AND coalesce(d.options ->> 'mode', 'diferencas') IN ('diferencas', 'tudo')
                          AND d.options ->> 'keys' IS NULL AND d.options ->> 'streams' IS NULL
                        ORDER BY d.id DESC LIMIT 1),
                      (SELECT s.updated_at FROM destinations s WHERE s.name = wanted.destination))
       AND EXISTS (SELECT FROM destinations s WHERE s.name = wanted.destination AND s.stopped_at IS NULL)
     GROUP BY wanted.destination
""")


class ClosingSender(Sender, Protocol):
    """A sender that holds connections."""

    async def close(self) -> None:
        """Close them."""


@dataclass(frozen=True)
class CourierOptions:
    """The settings of a worker that delivers."""

    folder: Path
    slots: int
    lease_seconds: float
    retry_seconds: float
    schedule_enabled: bool = True
    deadline_days: int = DEADLINE_DAYS


@dataclass
class _Place:
    """A destination as it is now: its streams by their ids, its sender, its pace."""

    destination: Destination
    streams: Mapping[int, Registered]
    sender: ClosingSender
    pace: Pace
    users: int = 0
    replaced: bool = False


class Courier(JobWorker[StreamClaim]):
    """One process's share of the deliveries; `run` returns when `stopping` is set and its requests are settled."""

    kind = "delivery"

    def __init__(
        self,
        engine: AsyncEngine,
        options: CourierOptions,
        open_sender: Callable[[Destination], ClosingSender],
        metrics: Metrics | None = None,
    ) -> None:
        super().__init__(engine, slots=options.slots, lease_seconds=options.lease_seconds, metrics=metrics or Metrics())
        self._options = options
        self._open_sender = open_sender
        self._tools = Tools(engine, self.stopping, self._metrics, options.retry_seconds)
        self._places: dict[str, _Place] = {}
        self._stamp: Stamp | None = None
        self._invalid: frozenset[str] = frozenset()
        self._is_unread = False

    def _steps(self) -> Sequence[tuple[Step, float]]:
        return (
            (self._look, LOOK_SECONDS),
            (self._plan, POLL_SECONDS),
            (self._tick, TICK_SECONDS),
            (self._delete_old, HISTORY_SECONDS),
        )

    async def _close(self) -> None:
        for place in self._places.values():
            await place.sender.close()

    # --- loops ----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Load the files if they have changed. A file that does not hold leaves what it was before."""
        stamp = await asyncio.to_thread(stamp_of, self._options.folder)
        if stamp != self._stamp:
            days = self._options.deadline_days
            connections, faults = await asyncio.to_thread(check_connections, self._options.folder, days)
            for fault in faults:
                log.error("a file of connections does not hold", file=fault.file, line=fault.line, fault=fault.message)
            self._invalid = frozenset(Path(fault.file).stem for fault in faults)
            # a folder that cannot be read says nothing of its files
            self._is_unread = any(fault.file in (str(self._options.folder), *FOLDERS) for fault in faults)
            await self._take(connections)
        names, is_new = list(self._places), stamp != self._stamp
        await in_transaction(self._engine, partial(mark_missing, names=names, is_new=is_new))
        self._stamp = stamp
        await self._give_up_missing()

    async def _take(self, connections: Connections) -> None:
        """Register the destinations that have changed, and note which are gone."""
        for name, destination in connections.destinations.items():
            known = self._places.get(name)
            if known is not None and _is_same(known, destination):
                continue
            registered = await in_transaction(self._engine, partial(register, destination=destination))
            await self._replace(name, destination, registered)
            log.info("destination loaded", destination=name, streams=[each.stream.name for each in registered])
        gone = set(self._places) - set(connections.destinations) - self._invalid
        for name in () if self._is_unread else gone:
            await self._retire(self._places.pop(name))
            log.warning("the file of a destination is gone", destination=name)

    async def _replace(self, name: str, destination: Destination, registered: list[Registered]) -> None:
        before = self._places.get(name)
        self._places[name] = _Place(
            destination,
            {each.id: each for each in registered},
            self._open_sender(destination),
            Pace(destination.requests_per_second),
        )
        if before is not None:
            await self._retire(before)

    async def _retire(self, place: _Place) -> None:
        """Close the connections of a destination's settings of before, as soon as no delivery uses them."""
        place.replaced = True
        if not place.users:
            await place.sender.close()

    async def _give_up_missing(self) -> None:
        """End the deliveries of destinations that no courier has a file of; the ledger is kept.

        Requests that are open stay so while a file is there that does not hold: they go on when it does.
        """

        async def give_up(db: AsyncConnection) -> list[tuple[str, int]]:
            ended = []
            for name, execution_ids in await load_missing(db):
                for execution_id in execution_ids:
                    await end_with(db, execution_id, "misconfigured", GONE.format(destination=name))
                if self._is_unread or name in self._invalid:
                    continue
                open_batches = await lock_open(db, name)
                driver = await driver_of(db)
                for batch_id, stream_id, keys in open_batches:
                    await ledger.give_back(driver, stream_id, batch_id, keys)
                ended.append((name, len(open_batches)))
            return ended

        for name, batches in await in_transaction(self._engine, give_up):
            log.warning("open requests are abandoned, the destination is gone", destination=name, requests=batches)

    async def _plan(self) -> None:
        """Give each new delivery its streams."""
        while self._stamp is not None and await in_transaction(self._engine, self._plan_one):
            self._wake.set()

    async def _plan_one(self, db: AsyncConnection) -> bool:
        asked = await deliveries.lock_unplanned(db, list(self._places))
        if asked is None:
            return False
        place = self._places.get(asked.destination)
        if place is None:
            await end_with(db, asked.id, "misconfigured", GONE.format(destination=asked.destination))
            return True
        wanted = asked.options.get("streams")
        streams = [
            each.id
            for each in place.streams.values()
            if wanted is None or each.stream.name in wanted or each.stream.entity.name in wanted
        ]
        if asked.options.get("mode") == probe.MODE:
            streams = streams[:1]
        if not streams:
            await end_with(db, asked.id, "misconfigured", GONE.format(destination=asked.destination))
            return True
        await jobs.plan(db, asked.id, streams)
        return True

    def _is_ready(self) -> bool:
        return bool(self._places)

    def _claim_seconds(self) -> float:
        longest = max(place.destination.timeout for place in self._places.values())
        return max(self._lease_seconds, 2 * (longest + MARGIN_SECONDS))

    async def _claim(self, db: AsyncConnection, lease_seconds: float) -> StreamClaim | None:
        return await deliveries.claim(db, self.id, lease_seconds=lease_seconds, destinations=list(self._places))

    async def _tick(self) -> None:
        """Start the deliveries that schedules say are due, and those after an update."""
        if not self._options.schedule_enabled:
            return
        crons = {f"{SCHEDULE}{name}": place.destination.schedule for name, place in self._places.items()}
        if crons:
            await tick_each(self._engine, crons, _start)
        await in_transaction(self._engine, self._follow_updates)

    async def _follow_updates(self, db: AsyncConnection) -> None:
        pairs = [
            (name, each.stream.entity.resource)
            for name, place in self._places.items()
            if place.destination.after == "update"
            for each in place.streams.values()
            if each.stream.entity.resource is not None
        ]
        if not pairs:
            return
        parameters = {
            "destinations": [name for name, _ in pairs],
            "resources": [resource for _, resource in pairs],
            "schedule": SCHEDULE,
        }
        for row in (await db.execute(_UPDATED, parameters)).all():
            created = await jobs.create(
                db, kind="delivery", subject=row.destination, mode="update", trigger="after_update"
            )
            if created is not None:
                log.info("execution accepted", execution_id=created, destination=row.destination)

    async def _delete_old(self) -> None:
        """Delete batches that were settled long ago."""

        async def delete(db: AsyncConnection) -> int:
            return await ledger.delete_old(await driver_of(db), BATCHES_DAYS)

        while await in_transaction(self._engine, delete) and not self.stopping.is_set():
            pass

    # --- one stream -----------------------------------------------------------------------------------------------

    async def _work_on(self, claim: StreamClaim, lease: Lease) -> None:
        place = self._places.get(claim.destination)
        bound = {"execution_id": claim.execution_id, "slice_id": claim.slice_id, "destination": claim.destination}
        with structlog.contextvars.bound_contextvars(**bound):
            if place is None or claim.stream_id not in place.streams:
                message = GONE.format(destination=claim.destination)
                await self._insist(partial(self._end, claim, "misconfigured", message))
                return
            place.users += 1
            try:
                await self._deliver(claim, place, lease)
            finally:
                place.users -= 1
                if place.replaced and not place.users:
                    await place.sender.close()

    async def _deliver(self, claim: StreamClaim, place: _Place, lease: Lease) -> None:
        registered = place.streams[claim.stream_id]
        try:
            if claim.starts_execution:
                await self._mark_started(claim)
            if claim.options.get("mode") == probe.MODE:
                complete = await probe.send_probe(self._tools, claim, registered, place.sender)
            else:
                complete = await deliver_stream(
                    self._tools, claim, registered, place.sender, lease=lease, pace=place.pace
                )
            if complete:
                await self._finish(claim, partial(finish_stream, claim=claim, registered=registered))
            else:
                await self._release(claim)
        except Exception as error:  # noqa: BLE001  # what becomes of the stream depends on which it is
            await self._insist(partial(self._settle_stream, claim, registered, error))

    async def _settle_stream(self, claim: StreamClaim, registered: Registered, error: Exception) -> None:
        """What becomes of a stream when the work of this claim ended in an error."""
        match error:
            case Stopped():
                await self._end(claim, "destination_stopped", str(error))
            case Unreadable() if not await self._stops_on(error):
                await self._end(claim, "misconfigured", str(error))
            case probe.ProbeFailed():
                await self._end(claim, "destination_down", str(error))
            case Held():
                hold = partial(hold_stream, claim=claim, registered=registered, held=error)
                details = await in_transaction(self._engine, hold)
                if details is not None:
                    log.warning("delivery is held until it is confirmed", **details)
            case _:
                retry_seconds = pause_seconds(claim.failures + 1, self._options.retry_seconds, None)
                await self._settle_error(claim, error, retry_seconds=retry_seconds)


async def _start(db: AsyncConnection, name: str, _: object) -> Outcome:
    """The full delivery of a destination, by its schedule."""
    destination = name.removeprefix(SCHEDULE)
    running = await deliveries.running_of(db, destination)
    if running is not None:
        return Outcome(skipped_reason=f"a entrega {running} ainda não terminou")
    created = await jobs.create(db, kind="delivery", subject=destination, mode="backfill", trigger="schedule")
    return Outcome([] if created is None else [created])


def _is_same(place: _Place, destination: Destination) -> bool:
    """Whether neither the destination's file nor a declared entity of its streams has changed."""
    before = [each.stream.rendering.digest for each in place.streams.values()]
    same_file = place.destination.digest == destination.digest
    return same_file and before == [stream.rendering.digest for stream in destination.streams]
