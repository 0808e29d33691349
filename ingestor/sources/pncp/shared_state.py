"""The state of the source, shared by all ingestors of a database: pauses, probes, and the budget of requests.

One row of `source_pauses` for the listings of each resource, and one for each kind of list: each may fail while the
others answer. Every process looks at all of them once a second while it sends requests, never for each request. A pause
ends with a probe: one request of one worker; its answer ends the pause for all, its failure begins a longer one
(docs/adr/0019).
The same look tells how many workers share the budget of requests (docs/adr/0020).
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.resources import SERVICES
from ingestor.errors import (
    PncpBlocked,
    PncpDisputed,
    PncpError,
    PncpPaused,
    PncpRefused,
    PncpRejected,
    PncpThrottled,
    PncpTooLarge,
    PncpUnavailable,
    PncpUnreachable,
    StoppedWaiting,
)

log = structlog.get_logger(__name__)

Reason = Literal["throttled", "blocked", "refused", "down"]

LOOK_SECONDS = 1.0
LONGEST_PAUSE = 900.0
LONGEST_ASKED = 120.0
"""What a `Retry-After` may ask for: a mistaken one must not stop the mirror for a day."""
HANDFUL = 5
"""Failures in a row of one service after which it counts as down."""
DIFFERENT = 3
"""Requests that must be among them, unless there is no connection at all: one page may fail for itself."""
BUDGET = 7_020_114_137
"""The advisory lock under which a worker begins to use the budget."""

_AT_ONCE = (PncpThrottled, PncpBlocked, PncpRefused)
_REASONS: dict[type[PncpError], Reason] = {
    PncpThrottled: "throttled",
    PncpBlocked: "blocked",
    PncpRefused: "refused",
    PncpUnavailable: "down",  # after those before it, which are of its kind
    PncpRejected: "refused",
}

_LOOK = text("""
    WITH busy AS (
        SELECT id, row_number() OVER (ORDER BY id) - 1 AS rank, count(*) OVER () AS workers
          FROM workers WHERE is_busy AND stopped_at IS NULL AND alive_until > now()
    )
    SELECT asked.source, p.reason, p.error_message, p.failing_since IS NOT NULL AS is_failing,
           CAST(extract(epoch FROM p.paused_until - now()) AS float) AS left_seconds,
           CAST(extract(epoch FROM p.probing_until - now()) AS float) AS probing_seconds,
           (SELECT max(workers) FROM busy) AS workers, (SELECT rank FROM busy WHERE id = :worker_id) AS rank
      FROM unnest(CAST(:services AS text[])) AS asked (source) LEFT JOIN source_pauses p USING (source)
""")
# A pause that is on already is made longer where the portal asks for it, and is not counted twice.
_PAUSE = text("""
    WITH given AS (
        SELECT CAST(:least AS float) AS least, CAST(:base AS float) AS base, CAST(:less AS float) AS less,
               CAST(:longest AS float) AS longest
    )
    INSERT INTO source_pauses AS known (source, paused_until, reason, cause, error_message, failures, failing_since)
    SELECT asked.source, now() + make_interval(secs => greatest(given.least, (1 - given.less) * given.base)),
           :reason, :cause, :error_message, 1, now()
      FROM unnest(CAST(:services AS text[])) AS asked (source), given ORDER BY asked.source
    ON CONFLICT (source) DO UPDATE
       SET paused_until = CASE
               WHEN known.paused_until > now()
               THEN greatest(known.paused_until, now() + make_interval(secs => (SELECT least FROM given)))
               ELSE now() + make_interval(secs => (
                    SELECT greatest(least, least((power(2, least(known.failures, 20)) - less) * base, longest))
                      FROM given)) END,
           failures = known.failures + CASE WHEN known.paused_until > now() THEN 0 ELSE 1 END,
           reason = CASE WHEN known.paused_until > now() AND known.reason IN ('refused', 'down')
               THEN known.reason ELSE excluded.reason END,
           cause = CASE WHEN known.paused_until > now() AND known.reason IN ('refused', 'down')
               THEN known.cause ELSE excluded.cause END,
           error_message = CASE WHEN known.paused_until > now() AND known.reason IN ('refused', 'down')
               THEN known.error_message ELSE excluded.error_message END,
           failing_since = coalesce(known.failing_since, now()),
           probing_until = NULL
    RETURNING source, reason, error_message, failures, true AS is_failing,
              CAST(extract(epoch FROM paused_until - now()) AS float) AS left_seconds
""")
_PROBE = text("""
    UPDATE source_pauses SET probing_until = now() + make_interval(secs => :seconds)
     WHERE source = :source AND failing_since IS NOT NULL AND paused_until <= now()
       AND (probing_until IS NULL OR probing_until <= now())
""")
# A throttle counts our address, whatever we ask: an answer of one service ends it for all.
_RECOVER = text("""
    UPDATE source_pauses p
       SET reason = NULL, cause = NULL, error_message = NULL, failures = 0, failing_since = NULL, probing_until = NULL
      FROM (SELECT source, failing_since FROM source_pauses WHERE failing_since IS NOT NULL
             ORDER BY source FOR UPDATE) AS known
     WHERE p.source = known.source AND p.paused_until <= now()
       AND (p.source = :source OR p.reason IN ('throttled', 'blocked'))
    RETURNING p.source, CAST(extract(epoch FROM now() - known.failing_since) AS float) AS failing_seconds
""")
_TAKE_BUDGET = text("SELECT pg_advisory_xact_lock(:key)")
_BEGIN_WORK = text("""
    WITH others AS (
        SELECT count(*) AS busy FROM workers
         WHERE is_busy AND stopped_at IS NULL AND alive_until > now() AND id <> :worker_id
    )
    INSERT INTO workers (id, is_busy)
    SELECT :worker_id, true FROM others WHERE :in_flight = 0 OR busy < :in_flight
    ON CONFLICT (id) DO UPDATE SET is_busy = true
    RETURNING (SELECT busy FROM others) AS others
""")
_END_WORK = text("UPDATE workers SET is_busy = false WHERE id = :worker_id")


def judge(error: PncpError) -> Reason | None:
    """What a failure says of its service; `None`: that it answers."""
    if isinstance(error, PncpDisputed | PncpTooLarge):
        return None
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), None)


@dataclass
class Streak:
    """The failures of one service since its last answer, in this process."""

    failures: int = 0
    about: set[str] = field(default_factory=set)

    def add(self, about: str, error: PncpError) -> bool:
        """Count one; answers whether the service as a whole fails."""
        self.failures += 1
        self.about.add(about)
        return self.failures >= HANDFUL and (isinstance(error, PncpUnreachable) or len(self.about) >= DIFFERENT)

    def end(self) -> None:
        """Begin anew."""
        if self.failures:
            self.failures = 0
            self.about.clear()


class Slots:
    """So many requests at once, first come first served; the limit may change at any time, `None` is none."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take_at_once(self) -> bool:
        """Take one if it is free and no task waits for it."""
        if self._waiting or (self.limit is not None and self._taken >= self.limit):
            return False
        self._taken += 1
        return True

    async def take(self) -> None:
        """Wait for a free one and take it."""
        if self.take_at_once():
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:  # it was handed over just now
                self.give()
            raise

    def give(self) -> None:
        """Give one back."""
        self._taken -= 1
        if self._waiting:
            self._hand_over()

    def resize(self, limit: int | None) -> None:
        """Change how many there are; those that are taken stay taken."""
        self.limit = limit
        self._hand_over()

    def _is_free(self) -> bool:
        return self.limit is None or self._taken < self.limit

    def _hand_over(self) -> None:
        while self._waiting and self._is_free():
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


def share_of(total: int, workers: int, rank: int) -> int:
    """One worker's part of a number that all of them share, so that the parts add up to it; `rank` counts from 0."""
    return total // workers + (rank < total % workers)


@dataclass
class _Service:
    """What this process knows of one service; moments are those of `time.monotonic`."""

    is_failing: bool = False
    until: float = 0.0
    probing_until: float = 0.0
    reason: Reason | None = None
    error_message: str | None = None
    prober: asyncio.Task[Any] | None = None
    """The task of this process whose request is the probe."""
    answers: int = 0
    streak: Streak = field(default_factory=Streak)

    @property
    def is_hopeless(self) -> bool:
        """Whether the service refuses or is down; while it is probed, that is about to be seen."""
        now = time.monotonic()
        return self.reason in ("refused", "down") and (self.until > now or self.probing_until <= now)

    def take(self, row: Row[Any], now: float, *, probing_seconds: float) -> None:
        left = row.left_seconds or 0.0
        was_failing = self.is_failing
        self.is_failing = bool(row.is_failing) or left > 0
        self.until, self.probing_until = now + left, now + probing_seconds
        self.reason, self.error_message = row.reason, row.error_message
        if was_failing and not self.is_failing:
            self.answers += 1


class SharedSource:
    """The state of the source as one process knows it; arithmetic on time is the database's.

    `requests_in_flight`: of all workers together, 0 for no limit. `pause_seconds`: the first pause of a service that
    fails; each that follows is twice as long. `waits`: whether a service that refuses or is down is waited for at all.
    """

    def __init__(
        self, engine: AsyncEngine, *, requests_in_flight: int = 0, pause_seconds: float = 30, waits: bool = True
    ) -> None:
        self._engine = engine
        self._waits = waits
        self._requests_in_flight = requests_in_flight
        self._pause_seconds = pause_seconds
        self._worker_id: str | None = None
        self._services = {name: _Service() for name in SERVICES}
        self._slots = Slots(requests_in_flight or None)
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self._version = 0
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._has_share_from = 0.0
        self.workers = 1

    # --- for requests ---------------------------------------------------------------------------------------------

    async def enter(self, service: str, *, wait: bool, seconds: float) -> None:
        """Wait until a request that may take so many seconds may be sent; `leave` must follow.

        Raises:
            PncpPaused: the service refuses or is down, and `wait` is false.
            StoppedWaiting: the worker stops.

        """
        state = self._services[service]
        if not state.is_failing and time.monotonic() - self._looked_at <= LOOK_SECONDS and self._slots.take_at_once():
            return  # as nearly always
        while True:
            await self.look()
            if state.is_failing and self._is_stopping:
                raise StoppedWaiting("the worker stops")
            if await self._may_send(service, seconds):
                await self._slots.take()
                if not state.is_failing or state.prober is asyncio.current_task():
                    return
                self._slots.give()  # paused while this request waited for its slot
            elif state.is_hopeless and not (wait and self._waits):
                raise PncpPaused(f"the portal's service {service} is paused ({state.reason}): {state.error_message}")
            else:
                left = state.until - time.monotonic()
                await self.rest(min(left, LOOK_SECONDS) if left > 0 else LOOK_SECONDS, until_changed=True)

    def leave(self) -> None:
        """The request has ended, in whatever way."""
        self._slots.give()

    async def rest(self, seconds: float, *, until_changed: bool = False) -> None:
        """Sleep, unless the worker stops.

        Raises:
            StoppedWaiting: the worker stops.

        """
        deadline = time.monotonic() + seconds
        while not self._is_stopping and (left := deadline - time.monotonic()) > 0:
            changed = self._changed
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                break
            if until_changed:
                break
        if self._is_stopping:
            raise StoppedWaiting("the worker stops")

    async def answered(self, service: str) -> None:
        """Report an answer that could be used; the probe's ends the pause."""
        state = self._services[service]
        state.answers += 1
        state.streak.end()
        if state.prober is not None and state.prober is asyncio.current_task():
            await self._recover(service)

    async def failed(self, service: str, about: str, error: PncpError) -> bool:
        """Report a failure; answers whether the service is paused now. `about` names what was asked for."""
        state = self._services[service]
        reason = judge(error)
        if reason is None:
            await self.answered(service)
            return False
        is_probe = state.prober is not None and state.prober is asyncio.current_task()
        if state.streak.add(about, error) or is_probe or isinstance(error, _AT_ONCE):
            await self._pause(service, reason, error)
        return state.is_failing

    def answers(self, service: str) -> int:
        """A count that has grown if the service has answered any request in between."""
        return self._services[service].answers

    # --- for the worker -------------------------------------------------------------------------------------------

    async def begin_work(self, worker_id: str) -> bool:
        """Take part in the budget; `False` if so many workers do already that nothing would be left for this one."""
        self._worker_id = worker_id
        parameters = {"worker_id": worker_id, "in_flight": self._requests_in_flight}
        async with self._engine.begin() as db:
            await db.execute(_TAKE_BUDGET, {"key": BUDGET})
            others: int | None = (await db.execute(_BEGIN_WORK, parameters)).scalar_one_or_none()
        self._looked_at = 0.0
        # the others learn of it by their next look, and end meanwhile what they have in flight beyond their share
        self._has_share_from = time.monotonic() + (2 * LOOK_SECONDS if others and self._requests_in_flight else 0.0)
        return others is not None

    async def end_work(self) -> None:
        """Leave this worker's part of the budget to the others."""
        async with self._engine.begin() as db:
            await db.execute(_END_WORK, {"worker_id": self._worker_id})

    def is_paused(self, service: str) -> bool:
        """Whether the service is paused, as of the last look."""
        return self._services[service].until > time.monotonic()

    @property
    def has_share(self) -> bool:
        """Whether this worker may have any request in flight."""
        return self._slots.limit != 0 and time.monotonic() >= self._has_share_from

    def stop_waiting(self) -> None:
        """The worker stops: end every wait for the end of a pause."""
        self._is_stopping = True
        self._announce()

    # --- the rows -------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Read the rows, unless that was done within the last second."""
        if time.monotonic() - self._looked_at <= LOOK_SECONDS:
            return
        async with self._looking:
            if time.monotonic() - self._looked_at <= LOOK_SECONDS:
                return  # another task looked while this one waited
            version = self._version
            async with self._engine.connect() as db:
                rows = (await db.execute(_LOOK, {"worker_id": self._worker_id, "services": list(SERVICES)})).all()
            now = self._looked_at = time.monotonic()
            self._share(rows)
            if version == self._version:  # else what was read may be older than what this process has written
                for row in rows:
                    self._services[row.source].take(row, now, probing_seconds=row.probing_seconds or 0.0)
            self._announce()

    def _share(self, rows: Sequence[Row[Any]]) -> None:
        workers, rank = rows[0].workers or 0, rows[0].rank
        is_counted = rank is not None
        self.workers = workers if is_counted else workers + 1
        if not self._requests_in_flight:
            return
        share = share_of(self._requests_in_flight, self.workers, rank if is_counted else workers)
        self._slots.resize(share if is_counted else max(share, 1))

    async def _may_send(self, service: str, seconds: float) -> bool:
        """Whether a request may be sent now, be it as the probe."""
        state = self._services[service]
        now = time.monotonic()
        if not state.is_failing:
            return True
        if state.until > now or state.probing_until > now:
            return False
        state.probing_until = now + LOOK_SECONDS  # of this process, one task asks
        async with self._engine.begin() as db:
            is_ours = (await db.execute(_PROBE, {"source": service, "seconds": seconds})).rowcount == 1
        if is_ours:
            state.probing_until = now + seconds
            state.prober = asyncio.current_task()
            log.info("source probed", service=service)
        else:
            self._looked_at = 0.0
        return is_ours

    async def _pause(self, service: str, reason: Reason, error: PncpError) -> None:
        asked = error.seconds if isinstance(error, PncpThrottled) else None
        is_of_all = reason in ("throttled", "blocked")
        first = self._pause_seconds
        if asked is not None:  # as long as it says; where it says so again and again, a little longer each time
            least, base, less = min(asked, LONGEST_ASKED), 1.0, 1
        elif is_of_all:  # the portal's throttle lasts about a minute and names no time of its own
            least, base, less = 2 * first, first, 0
        else:
            least, base, less = 0.0, first * random.uniform(0.8, 1.0), 0  # noqa: S311  # jitter
        parameters = {
            "services": list(SERVICES) if is_of_all else [service],
            "least": float(least),
            "base": float(base),
            "less": float(less),
            "longest": LONGEST_PAUSE,
            "reason": reason,
            "cause": error.cause,
            "error_message": str(error)[:500],
        }
        self._version += 1
        async with self._engine.begin() as db:
            rows = (await db.execute(_PAUSE, parameters)).all()
        self._version += 1
        now = time.monotonic()
        for row in rows:
            state = self._services[row.source]
            state.take(row, now, probing_seconds=0.0)
            state.prober = None
            state.streak.end()
        ours = next(row for row in rows if row.source == service)
        log.warning(
            "source paused",
            service=None if is_of_all else service,
            reason=ours.reason,
            pause_seconds=round(ours.left_seconds, 1),
            pauses=ours.failures,
            cause=error.cause,
            error_message=str(error),
        )
        self._announce()

    async def _recover(self, service: str) -> None:
        self._version += 1
        async with self._engine.begin() as db:
            rows = (await db.execute(_RECOVER, {"source": service})).all()
        self._version += 1
        self._services[service].prober = None
        for row in rows:
            state = self._services[row.source]
            state.is_failing, state.reason, state.error_message, state.until = False, None, None, 0.0
            state.answers += 1
            log.info("source answers again", service=row.source, failing_seconds=round(row.failing_seconds, 1))
        self._looked_at = 0.0
        self._announce()

    def _announce(self) -> None:
        """Have those that wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()
