"""The pace of the requests to one destination."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pace:
    """Lets so many requests per second begin, evenly spaced; None means no limit."""

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    async def wait(self) -> None:
        """Wait for this request's turn. Turns are given in the order of the calls."""
        if not self._interval:
            return
        now = self._clock()
        turn = max(self._next, now)
        self._next = turn + self._interval
        if turn > now:
            await self._sleep(turn - now)
