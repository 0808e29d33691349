"""One stream of a delivery: finish what is open, ask what is owed, fill batches, send them, settle their verdicts.

Requests leave only after they are frozen, and their verdicts count only while the claim holds its slice. So a request
is repeated with the same bytes and the same key until there is a verdict, whatever happens in between.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.connections.settings import Stream
from common.database import cause_of, driver_of, in_transaction, network_errors
from common.difference import Scope
from common.lifecycle import jobs, slices
from common.lifecycle.deliveries import SCHEDULE, StreamClaim
from ingestor.delivery import breaker, ledger, owed
from ingestor.delivery.ledger import Filled, Frozen
from ingestor.delivery.owed import scope_of
from ingestor.delivery.pace import Pace
from ingestor.delivery.streams import Position, Registered, load_position
from ingestor.delivery.verdicts import LATER_STATUS, Answer, Kind, Sent, Verdict, judge
from ingestor.errors import LeaseLost
from ingestor.jobs import Lease, Postponed
from ingestor.metrics import Metrics

log = structlog.get_logger(__name__)

PATIENT_TRIES = 8
"""A request that has failed so often comes last, so that it does not hold up the others, and is cut if they succeed."""
MOST_REFUSALS = 64
"""Requests with the records of one batch that may be refused whole before the delivery is held."""
SINGLE_VERDICTS = 20
"""So many rejections before anything was accepted, or half of ten times as many verdicts, hold the delivery."""
MOSTLY_REFUSED = "mostly_refused"
TOO_SLOW = "a leitura de {entity} não terminou a tempo"
UNREADABLE = "não é possível ler {entity}: {reason}"
_NOT_READABLE = ("21", "22", "42")
"""Classes of errors: more rows than one, a value that a column cannot hold, a name or a right that is not there."""
SAMPLES = 3
LONGEST_SAMPLE = 2000
MARGIN_SECONDS = 1.0
"""A request leaves only where the lease outlives its time limit by this."""

_FINISHED = text("""
    UPDATE streams SET owed = 0, oldest_owed_at = NULL, cursor_at = CAST(:began_at AS timestamptz),
           full_at = CASE WHEN :is_full THEN now() ELSE full_at END
     WHERE id = :id
""")
_COUNTED = text("UPDATE streams SET owed = :owed, oldest_owed_at = CAST(:oldest AS timestamptz) WHERE id = :id")
_COUNTED_AT = text("UPDATE destinations SET counted_at = now() WHERE name = :name")
_LESS_OWED = text("UPDATE streams SET owed = greatest(owed - :settled, 0) WHERE id = :id")
_LIMIT = text("""
    UPDATE streams SET batch_limit = least(coalesce(batch_limit, :bytes), CAST(:bytes AS int)) WHERE id = :id
""")


class Sender(Protocol):
    """Sends the bytes of one request; every failure is an answer too."""

    async def send(
        self, stream: Stream, body: bytes, *, idempotency_key: UUID, attempt: int, message_ids: Sequence[str] = ()
    ) -> Answer:
        """Send a request; `attempt` counts those with this key, and `message_ids` name its records."""


@dataclass(frozen=True)
class Tools:
    """What deliveries of a process work with. `stopping` asks them to end after the requests in hand."""

    engine: AsyncEngine
    stopping: asyncio.Event
    metrics: Metrics
    retry_seconds: float


class Stopped(Exception):
    """The destination wants no more; the text says how it said so."""


class Unreadable(Exception):
    """The records cannot be read; the text says why. Trying again does not help."""


@dataclass(eq=False)
class Held(Exception):
    """An administrator has to confirm that the delivery goes on; `details` say why."""

    details: Mapping[str, Any]


class _Interrupted(Exception):
    """The worker stops, the destination is paused, or the lease is too short for another request."""


@dataclass
class _Origin:
    """Requests refused whole of those that hold the records of one batch; `is_stubborn`: it has failed often enough."""

    refusals: int = 0
    is_stubborn: bool = False


@dataclass
class Delivery:
    """One claim of a stream, and what has come of it so far.

    `limit`: requests under way at once, `under_way` those that have no answer yet. `halves`: keys of requests that were
    refused whole, to be sent in smaller ones. `verdicts` and `rejections`: of records that were not rejected before.
    `settled` and `unknown` count the records of the present round that have a verdict, and those that are owed again.
    `has_accepted`: the destination works.
    """

    tools: Tools
    claim: StreamClaim
    registered: Registered
    sender: Sender
    lease: Lease
    scope: Scope
    position: Position
    pace: Pace
    limit: int = 1
    under_way: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)
    verdicts: int = 0
    rejections: int = 0
    settled: int = 0
    unknown: int = 0
    has_accepted: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    halves: deque[tuple[list[str], _Origin]] = field(default_factory=deque)
    error: Exception | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether an administrator has let the delivery go on."""
        return bool(self.claim.options.get("confirmed"))


async def deliver_stream(
    tools: Tools, claim: StreamClaim, registered: Registered, sender: Sender, *, lease: Lease, pace: Pace
) -> bool:
    """Deliver a stream until it owes nothing but what was rejected; `False` where it had to stop first.

    Raises:
        Postponed: the destination has failed.
        Stopped: the destination wants no more.
        Held: an administrator has to confirm.
        Unreadable: the records cannot be read.
        LeaseLost: the slice is another worker's now, or has been ended.

    """
    async with tools.engine.connect() as db:
        state = await breaker.load_state(db, claim.destination)
        position = await load_position(db, registered.id)
        open_batches = await ledger.load_open(await driver_of(db), registered.id)
    if state.stopped_at is not None:
        raise Stopped(state.stopped_reason or "")
    work = Delivery(tools, claim, registered, sender, lease, scope_of(claim), position, pace)
    # one request alone asks a destination that has failed
    work.limit = 1 if state.failures else registered.destination.concurrency
    try:
        patient = [frozen for frozen in open_batches if frozen.tries < PATIENT_TRIES]
        stubborn = [frozen for frozen in open_batches if frozen.tries >= PATIENT_TRIES]
        if claim.taken_over and open_batches:  # a request of the worker before may still be on its way
            await _pause(work, registered.destination.timeout)
        await _finish_open(work, patient)
        await _deliver_owed(work)
        if stubborn:
            await _finish_open(work, stubborn)
            await _deliver_owed(work)
    except _Interrupted:
        return False
    except asyncio.CancelledError:  # no more time: what is under way is repeated later
        for task in work.tasks:
            task.cancel()
        raise
    finally:
        await _drop(work)
    return True


async def _finish_open(work: Delivery, open_batches: Sequence[Frozen]) -> None:
    """Send again what has no verdict; what was tried least comes first, so that no request waits for one that fails."""
    for frozen in sorted(open_batches, key=lambda one: one.tries):
        await _wait_for_room(work)  # before the try is counted: one that another's failure prevents is none
        await _dispatch(work, replace(frozen, tries=await _try_again(work, frozen)), _Origin())
    await _drain(work)


async def _try_again(work: Delivery, frozen: Frozen) -> int:
    """Count one more request with the same bytes, before it leaves."""

    async def count(db: AsyncConnection) -> int:
        await _hold_unpaused(db, work)
        return await ledger.try_again(await driver_of(db), frozen)

    with network_errors():
        return await in_transaction(work.tools.engine, count)


async def _pause(work: Delivery, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work.tools.stopping.wait()
    except TimeoutError:
        return
    raise _Interrupted


async def _deliver_owed(work: Delivery) -> None:
    """Ask and send until nothing is owed but what has changed meanwhile, which the next delivery finds."""
    most, is_first = work.registered.stream.batch_records, True
    while keys := await _ask(work, is_first=is_first):
        is_first, work.settled, work.unknown = False, 0, 0
        for start in range(0, len(keys), most):
            await _fill(work, keys[start : start + most], _Origin())
        await _drain(work)
        if not work.settled:
            raise await _without_verdicts(work)
        if len(keys) < owed.AT_ONCE and not work.unknown:
            return


async def _without_verdicts(work: Delivery) -> Postponed:
    """The failure of a destination whose answers are read and say nothing of any record."""
    reason = "as respostas do destino não dizem o que foi feito dos registros"

    async def fail(db: AsyncConnection) -> float:
        await _hold(db, work)
        return await _note_failure(db, work, reason, None)

    return Postponed(await in_transaction(work.tools.engine, fail), "destination_down", reason)


async def _ask(work: Delivery, *, is_first: bool) -> list[str]:
    """The keys of records that are owed; the first question of a claim also counts them.

    Raises:
        Held: there are more of them than a delivery may send unasked.

    """
    registered = work.registered

    async def ask(db: AsyncConnection) -> tuple[list[str], Held | None]:
        driver = await driver_of(db)
        keys, oldest = await owed.load_owed(driver, registered, work.position, work.scope)
        if not is_first:
            return keys, None
        number = len(keys)
        if number == owed.AT_ONCE:
            number, oldest = await owed.count_owed(driver, registered, work.position, work.scope)
        if work.scope.covers:
            await db.execute(_COUNTED, {"id": registered.id, "owed": number, "oldest": oldest})
            await db.execute(_COUNTED_AT, {"name": work.claim.destination})
        log.info("records are owed", owed=number, stream=registered.stream.name)
        if number <= registered.destination.hold_above or work.is_confirmed:
            return keys, None
        samples = [one[:LONGEST_SAMPLE] for one in await ledger.render_some(driver, registered, keys[:SAMPLES])]
        held = {"reason": "hold_above", "owed": number, "samples": samples, "stream": registered.stream.name}
        return keys, Held(held)

    with _reading(work):
        keys, held = await in_transaction(work.tools.engine, ask)
    if held is not None:
        raise held
    return keys


@contextmanager
def _reading(work: Delivery) -> Iterator[None]:
    """Wrap what reads an entity: it may take too long whenever it is asked, or not be readable at all.

    Raises:
        Postponed: it took too long.
        Unreadable: the database refuses to read it, because of a value, a column or the whole of it.

    """
    try:
        with network_errors():
            yield
    except asyncpg.QueryCanceledError as error:
        seconds = breaker.pause_seconds(work.claim.failures + 1, work.tools.retry_seconds, None)
        raise Postponed(seconds, "internal", TOO_SLOW.format(entity=work.registered.stream.entity.name)) from error
    except ledger.Unfit as error:
        raise Unreadable(UNREADABLE.format(entity=work.registered.stream.entity.name, reason=error)) from error
    except asyncpg.PostgresError as error:
        if not (error.sqlstate or "").startswith(_NOT_READABLE):
            raise
        entity = work.registered.stream.entity.name
        raise Unreadable(UNREADABLE.format(entity=entity, reason=cause_of(error))) from error


async def _hold(db: AsyncConnection, work: Delivery) -> None:
    if await slices.hold(db, work.claim) is None:
        raise LeaseLost(f"slice {work.claim.slice_id}")


async def _hold_unpaused(db: AsyncConnection, work: Delivery) -> None:
    """Hold the slice for another request.

    Raises:
        _Interrupted: the destination has been paused.

    """
    await _hold(db, work)
    if await jobs.is_paused(db, SCHEDULE + work.claim.destination):
        raise _Interrupted


async def _fill(work: Delivery, keys: Sequence[str], origin: _Origin, most_records: int | None = None) -> None:
    """Freeze the records of these keys and send them."""
    _look(work)
    stream, registered = work.registered.stream, work.registered
    limit = min(stream.batch_bytes, work.position.batch_limit or stream.batch_bytes)

    with _reading(work):
        async with work.tools.engine.connect() as db:  # outside the lock, which verdicts of other requests wait for
            prepared = await ledger.prepare(
                await driver_of(db),
                registered,
                keys,
                most_bytes=stream.batch_bytes,
                forgets=work.scope.forgets,
                asks_rejected=work.scope.asks_rejected,
            )

    async def fill(db: AsyncConnection) -> Filled:
        await _hold_unpaused(db, work)
        filled = await ledger.freeze(
            await driver_of(db),
            registered,
            work.claim.execution_id,
            prepared,
            most_records=most_records or stream.batch_records,
            limit=limit,
        )
        settled = filled.unchanged + filled.rejected + len(keys) - filled.seen
        await _count_down(db, work, settled)
        await jobs.count(db, work.claim, seen=filled.seen, unchanged=filled.unchanged, rejected=filled.rejected)
        return filled

    with network_errors():
        filled = await in_transaction(work.tools.engine, fill)
    work.settled += filled.unchanged + filled.rejected + len(keys) - filled.seen
    work.tools.metrics.delivered(
        work.claim.destination, stream.name, unchanged=filled.unchanged, rejected=filled.rejected
    )
    await _guard(work, filled.new_rejections, filled.new_rejections)
    for frozen in filled.batches:
        await _dispatch(work, frozen, origin)


async def _count_down(db: AsyncConnection, work: Delivery, settled: int) -> None:
    """Count what is owed no more; records that were asked for by name need not have been owed."""
    if settled and work.scope.covers:
        await db.execute(_LESS_OWED, {"id": work.registered.id, "settled": settled})


def _look(work: Delivery) -> None:
    """Go on only while nothing has gone wrong.

    Raises:
        _Interrupted: the worker was asked to stop.

    """
    if work.error is not None:
        raise work.error
    if work.tools.stopping.is_set():
        raise _Interrupted


async def _dispatch(work: Delivery, frozen: Frozen, origin: _Origin) -> None:
    """Send a batch beside those that are under way, as soon as there is room."""
    await _wait_for_room(work)
    work.under_way += 1
    task = asyncio.create_task(_send(work, frozen, origin))
    work.tasks.add(task)
    task.add_done_callback(lambda ended: _collect(work, ended))


async def _wait_for_room(work: Delivery) -> None:
    while not _has_room(work):
        await work.room.wait()
        work.room.clear()
        _look(work)
    _look(work)


def _has_room(work: Delivery) -> bool:
    """Whether one more request may leave: beside others, also while the verdicts of some are being written."""
    most = work.limit if work.limit == 1 else 2 * work.limit
    return work.under_way < work.limit and len(work.tasks) < most


def _collect(work: Delivery, task: asyncio.Task[None]) -> None:
    work.tasks.discard(task)
    work.room.set()
    if not task.cancelled() and isinstance(error := task.exception(), Exception) and work.error is None:
        work.error = error


async def _drain(work: Delivery) -> None:
    """Wait for all requests, and send in halves what was refused whole."""
    while work.tasks or work.halves:
        if work.tasks:
            await asyncio.wait(work.tasks)
            await asyncio.sleep(0)  # for the callbacks
        _look(work)
        if work.halves:
            keys, origin = work.halves.popleft()
            await _fill(work, keys, origin, most_records=len(keys))
    _look(work)


async def _drop(work: Delivery) -> None:
    """Let requests that are under way come to their verdict; cancelled with this, they are repeated later."""
    try:
        while work.tasks:
            await asyncio.wait(work.tasks)
    finally:
        for task in work.tasks:
            task.cancel()


# --- one request ------------------------------------------------------------------------------------------------


async def _send(work: Delivery, frozen: Frozen, origin: _Origin) -> None:
    """Send a batch and settle its verdict."""
    try:
        answer = await _request(work, frozen)
    finally:
        work.under_way -= 1
        work.room.set()
    stream = work.registered.stream
    verdict = judge(answer, Sent(frozen.keys, frozen.echoes, frozen.tries), stream.results)
    if _fails_alone(work, frozen, origin, answer, verdict):
        origin.is_stubborn = True
        verdict = replace(verdict, kind=Kind.SPLIT, reason=f"{verdict.reason}, e aceita outros registros")
    log.debug("request answered", batch=frozen.id, records=len(frozen.keys), verdict=verdict.kind.value)
    match verdict.kind:
        case Kind.SETTLED:
            await _settle(work, frozen, answer, verdict)
        case Kind.SPLIT if len(frozen.keys) == 1:
            reason = verdict.reason
            await _settle(work, frozen, answer, verdict, rejected={frozen.keys[0]: reason})
        case Kind.SPLIT:
            await _split(work, frozen, answer, verdict, origin)
        case Kind.STOP:
            await _stop(work, frozen, answer, verdict)
        case _:
            await _fail(work, frozen, answer, verdict)


async def _request(work: Delivery, frozen: Frozen) -> Answer:
    """Send the bytes of a batch, if the lease outlives the request.

    Raises:
        _Interrupted: it does not, or the worker was asked to stop.

    """
    await work.pace.wait()
    _look(work)
    if work.lease.valid_until - time.monotonic() < work.registered.destination.timeout + MARGIN_SECONDS:
        raise _Interrupted
    began = time.monotonic()
    answer = await work.sender.send(
        work.registered.stream,
        frozen.body,
        idempotency_key=frozen.idempotency,
        attempt=frozen.tries,
        message_ids=_names_of(frozen, work.registered.stream),
    )
    status = str(answer.status if answer.failure is None else answer.failure)
    work.tools.metrics.requested(work.claim.destination, status, time.monotonic() - began)
    return answer


def _names_of(frozen: Frozen, stream: Stream) -> list[str]:
    """What tells the records of a batch apart at a destination that takes each as a message of its own."""
    versions = zip(frozen.keys, frozen.source_ats, strict=True)
    return [f"{stream.name}:{key}@{version.isoformat()}" for key, version in versions] if stream.wrap == "none" else []


def _fails_alone(work: Delivery, frozen: Frozen, origin: _Origin, answer: Answer, verdict: Verdict) -> bool:
    """Whether it is these records that the destination fails at: again and again, while it accepts others.

    Parts of such a request need no more tries, but a single record does.
    """
    is_tried = frozen.tries > PATIENT_TRIES or (origin.is_stubborn and len(frozen.keys) > 1)
    return is_tried and work.has_accepted and verdict.kind is Kind.REPEAT and answer.status not in LATER_STATUS


async def _settle(
    work: Delivery, frozen: Frozen, answer: Answer, verdict: Verdict, *, rejected: Mapping[str, str] | None = None
) -> None:
    """Close a batch by the verdict of each record; records without one are owed again."""
    bad = verdict.rejected if rejected is None else rejected
    accepted = frozenset(verdict.accepted) - set(bad)
    state = "accepted" if len(accepted) == len(frozen.keys) else "partial" if accepted else "refused"

    async def settle(db: AsyncConnection) -> tuple[int, int]:
        await _hold(db, work)
        driver = await driver_of(db)
        number, new = await ledger.settle(
            driver,
            work.registered.id,
            frozen,
            state=state,
            accepted=accepted,
            rejected=bad,
            status=answer.status,
            error=verdict.reason or None,
            answer=answer.told if bad else b"",
        )
        if rejected is not None and verdict.too_large:
            await db.execute(_LIMIT, {"id": work.registered.id, "bytes": len(frozen.body) - 1})
        await _count_down(db, work, len(accepted) + number)
        await jobs.count(db, work.claim, requests=1, accepted=len(accepted), rejected=number)
        await breaker.note_answer(db, work.claim.destination)
        return number, new

    with network_errors():
        number, new = await in_transaction(work.tools.engine, settle)
    work.limit = work.registered.destination.concurrency
    work.has_accepted = work.has_accepted or bool(accepted)
    work.settled += len(accepted) + number
    work.unknown += len(frozen.keys) - len(accepted) - number
    work.tools.metrics.delivered(
        work.claim.destination, work.registered.stream.name, accepted=len(accepted), rejected=number
    )
    if number:
        log.warning("records are rejected", batch=frozen.id, rejected=number, example=next(iter(bad.values())))
    await _guard(work, len(accepted) + new, new)


async def _split(work: Delivery, frozen: Frozen, answer: Answer, verdict: Verdict, origin: _Origin) -> None:
    """Close a batch that was refused whole: nothing was applied, and its records go on in two halves."""
    origin.refusals += 1
    limit = len(frozen.body) // 2 if verdict.too_large else None

    async def split(db: AsyncConnection) -> None:
        await _hold(db, work)
        await ledger.settle(
            await driver_of(db),
            work.registered.id,
            frozen,
            state="split",
            accepted=(),
            rejected={},
            status=answer.status,
            error=verdict.reason,
            answer=answer.told,
        )
        if limit is not None:
            await db.execute(_LIMIT, {"id": work.registered.id, "bytes": limit})
        await jobs.count(db, work.claim, requests=1)
        await breaker.note_answer(db, work.claim.destination)

    with network_errors():
        await in_transaction(work.tools.engine, split)
    if limit is not None:  # what is filled from now on is smaller at once
        known = work.position.batch_limit or limit
        work.position = replace(work.position, batch_limit=min(known, limit))
    work.tools.metrics.delivered(work.claim.destination, work.registered.stream.name, split=len(frozen.keys))
    if origin.refusals > MOST_REFUSALS and not work.is_confirmed:
        raise _mostly_refused(work, verdict.reason)
    middle = (len(frozen.keys) + 1) // 2
    for keys in (frozen.keys[:middle], frozen.keys[middle:]):
        work.halves.append((list(keys), origin))


async def _stop(work: Delivery, frozen: Frozen, answer: Answer, verdict: Verdict) -> None:
    async def stop(db: AsyncConnection) -> None:
        await _hold(db, work)
        await ledger.note_answer(await driver_of(db), frozen, answer.status, verdict.reason, answer.told)
        await breaker.stop(db, work.claim.destination, verdict.reason)

    with network_errors():
        await in_transaction(work.tools.engine, stop)
    raise Stopped(verdict.reason)


async def _fail(work: Delivery, frozen: Frozen, answer: Answer, verdict: Verdict) -> None:
    """Leave a batch open: the same bytes go out again under the same key, after a pause."""

    async def fail(db: AsyncConnection) -> float:
        await _hold(db, work)
        await ledger.note_answer(await driver_of(db), frozen, answer.status, verdict.reason, answer.told)
        return await _note_failure(db, work, verdict.reason, verdict.retry_after)

    with network_errors():
        seconds = await in_transaction(work.tools.engine, fail)
    raise Postponed(seconds, "destination_down", verdict.reason)


async def _note_failure(db: AsyncConnection, work: Delivery, reason: str, retry_after: float | None) -> float:
    """Count a failure of the destination; answers the seconds of the pause."""
    state = await breaker.load_state(db, work.claim.destination)
    seconds = breaker.pause_seconds(state.failures + 1, work.tools.retry_seconds, retry_after)
    await breaker.note_failure(db, work.claim.destination, error=reason, seconds=seconds)
    return seconds


# --- guards -----------------------------------------------------------------------------------------------------


async def _guard(work: Delivery, verdicts: int, rejections: int) -> None:
    """Count verdicts of records that were not rejected before, and hold the delivery where nearly all are rejections.

    Raises:
        Held: the other side, or the mapping, has probably changed; what was rejected is owed again.

    """
    work.verdicts += verdicts
    work.rejections += rejections
    if not rejections or work.is_confirmed:
        return
    all_of_the_first = work.rejections == work.verdicts and work.rejections >= SINGLE_VERDICTS
    half_of_many = work.verdicts >= 10 * SINGLE_VERDICTS and 2 * work.rejections >= work.verdicts
    if all_of_the_first or half_of_many:
        raise _mostly_refused(work, "")


def _mostly_refused(work: Delivery, reason: str) -> Held:
    details = {"reason": MOSTLY_REFUSED, "owed": work.rejections, "samples": [reason]}
    return Held({**details, "stream": work.registered.stream.name})


async def hold_stream(
    db: AsyncConnection, claim: StreamClaim, registered: Registered, held: Held
) -> dict[str, Any] | None:
    """Let the delivery wait for an administrator; answers why, without samples, or `None` if the slice is not ours.

    Where nearly everything was refused, what this delivery has rejected is owed again, and the reasons are kept.
    """
    details, taken_back = dict(held.details), 0
    await jobs.lock(db, claim.execution_id)  # before the slice, as everywhere
    if details["reason"] == MOSTLY_REFUSED and await slices.hold(db, claim) is not None:
        driver = await driver_of(db)
        details["samples"] = (
            await ledger.load_reasons(driver, registered.id, claim.began_at, SAMPLES) or details["samples"]
        )
        taken_back = await ledger.forget_rejections(driver, registered.id, claim.began_at)
        if scope_of(claim).covers:
            await db.execute(_LESS_OWED, {"id": registered.id, "settled": -taken_back})
    if not await jobs.hold(db, claim, claim.execution_id, details, taken_back=taken_back):
        return None
    del details["samples"]  # what is said of it goes into logs, and samples are for administrators
    return details


async def finish_stream(db: AsyncConnection, claim: StreamClaim, registered: Registered) -> bool:
    """End a stream that owes nothing but what was rejected; `False` if it is not ours."""
    if not await jobs.finish(db, claim):
        return False
    scope = scope_of(claim)
    if scope.covers:
        await db.execute(_FINISHED, {"id": registered.id, "began_at": claim.began_at, "is_full": scope.is_full})
    return True
