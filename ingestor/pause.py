"""The brake that one 429 puts on every ingestor: a row that all of them look at before they ask the portal."""

import asyncio
import time

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

SOURCE = "pncp"
LOOK_SECONDS = 1.0

_BEGIN = text("""
    INSERT INTO source_pauses AS known (source, paused_until)
    VALUES (:source, now() + make_interval(secs => :seconds))
    ON CONFLICT (source) DO UPDATE SET paused_until = greatest(known.paused_until, excluded.paused_until)
""")
_LEFT = text("SELECT CAST(extract(epoch FROM paused_until - now()) AS float) FROM source_pauses WHERE source = :source")


class SharedPause:
    """Looks at the row once a second at most, and at once after a 429 of its own; times are the database's."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._looked_at = 0.0
        self._until = 0.0
        self._looking = asyncio.Lock()

    async def clear(self) -> None:
        """Wait until nobody is paused."""
        while True:
            now = time.monotonic()
            if now - self._looked_at > LOOK_SECONDS:
                await self._look()
            elif self._until > now:
                await asyncio.sleep(min(self._until - now, LOOK_SECONDS))
            else:
                return

    async def begin(self, seconds: float) -> None:
        """Stop every ingestor for so long; a longer pause that is on already stays."""
        async with self._engine.begin() as db:
            await db.execute(_BEGIN, {"source": SOURCE, "seconds": float(seconds)})
        self._until = max(self._until, time.monotonic() + seconds)

    async def _look(self) -> None:
        async with self._looking:
            if time.monotonic() - self._looked_at <= LOOK_SECONDS:
                return  # another task looked while this one waited
            async with self._engine.connect() as db:
                left = (await db.execute(_LEFT, {"source": SOURCE})).scalar_one_or_none() or 0.0
            now = time.monotonic()
            self._looked_at, self._until = now, now + left
