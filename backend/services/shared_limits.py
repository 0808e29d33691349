"""Counts of events that all backends share: failed logins, tokens, writes.

Each count is a row of an unlogged table and one statement. Without the database nothing is counted here, and the limits
of each process stand alone.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.database import cause_of, is_database_trouble

log = structlog.get_logger(__name__)

LONGEST_SECONDS = 1.0
"""A database that takes longer counts as away."""
AWAY_SECONDS = 5.0
"""How long a database that was away is not asked."""
AT_ONCE = 2
"""Statements of one process: a flood of logins must leave connections to others."""
FORGET_SECONDS = 600.0

# A window begins with its first event. The rows of one key are always written in the same order. Where the clock of the
# database was turned back, a window lasts no longer than it is long.
_HIT = text("""
    INSERT INTO limit_counts AS c (kind, key, seconds, events, ends_at)
    SELECT :kind, :key, w.seconds, 1, now() + make_interval(secs => w.seconds)
      FROM unnest(CAST(:windows AS int[])) AS w (seconds) ORDER BY w.seconds
    ON CONFLICT (kind, key, seconds) DO UPDATE
       SET events = CASE WHEN c.ends_at <= now() THEN 1 ELSE c.events + 1 END,
           ends_at = CASE WHEN c.ends_at <= now() THEN excluded.ends_at ELSE least(c.ends_at, excluded.ends_at) END
    RETURNING seconds, events, CAST(extract(epoch FROM ends_at - now()) AS float) AS seconds_left
""")
_LOOK = text("""
    SELECT seconds, events, CAST(extract(epoch FROM ends_at - now()) AS float) AS seconds_left
      FROM limit_counts
     WHERE kind = :kind AND key = :key AND seconds = ANY(CAST(:windows AS int[])) AND ends_at > now()
""")
_FORGET = text("""
    DELETE FROM limit_counts
     WHERE ctid = ANY(ARRAY(SELECT ctid FROM limit_counts WHERE ends_at <= now() FOR UPDATE SKIP LOCKED))
""")


@dataclass(frozen=True)
class Count:
    """How many events a window has, and when it ends."""

    events: int
    seconds_left: float


class SharedCounts:
    """The counts in the database, of windows that are named by their length in seconds."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._away_until = float("-inf")
        self._forgotten_at = time.monotonic()

    async def hit(self, kind: str, key: str, windows: Sequence[int]) -> Mapping[int, Count]:
        """Count one event in each window; what they have now. Empty without the database."""
        return await self._ask(_HIT, kind, key, windows)

    async def look(self, kind: str, key: str, windows: Sequence[int]) -> Mapping[int, Count]:
        """What the windows have that are under way. Empty without the database."""
        return await self._ask(_LOOK, kind, key, windows)

    async def _ask(self, statement: TextClause, kind: str, key: str, windows: Sequence[int]) -> Mapping[int, Count]:
        if time.monotonic() < self._away_until:
            return {}
        asking = asyncio.create_task(self._run(statement, {"kind": kind, "key": key, "windows": list(windows)}))
        # not asyncio.timeout: the driver takes seconds to close a connection that does not answer
        await asyncio.wait([asking], timeout=LONGEST_SECONDS)
        if not asking.done():
            asking.cancel()
            self._is_away("no answer")
            return {}
        try:
            rows = asking.result()
        except Exception as error:
            if not is_database_trouble(error):
                raise
            self._is_away(cause_of(error))
            return {}
        return {row.seconds: Count(row.events, row.seconds_left) for row in rows}

    async def _run(self, statement: TextClause, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        async with self._turns, self._engine.connect() as db:
            if time.monotonic() - self._forgotten_at >= FORGET_SECONDS:
                self._forgotten_at = time.monotonic()
                await db.execute(_FORGET)
            return (await db.execute(statement, parameters)).all()

    def _is_away(self, cause: str) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
        log.warning("limits hold in each process alone, the database is away", cause=cause)
