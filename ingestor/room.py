"""One process's memory for what the portal sends: a budget in bytes for bodies in flight and records in hand.

Nothing waits for room while it holds some, so that nothing waits for ever: a page waits before it is asked for, and a
body that finds no more room is let go and asked for again when it is alone (docs/adr/0021).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from ingestor.errors import NoRoomError

ROOM_BYTES = 32 * 1024 * 1024
"""Bytes that one process holds of what the portal sends, besides one list that is read alone."""
RECORD_BYTES = 64 * 1024
"""Bytes that a record to be written takes in advance with its list: several times what nearly all of them have."""
LONE_RECORD_BYTES = 8 * 1024
"""The same of a record that has no list: a whole page of 500 has about 1 MB."""


class Room:
    """How many bytes a process may hold; requests for room in advance are served in order.

    `alone` is held while something is read that needs more than there is room for.
    """

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self.size = size
        self.alone = asyncio.Lock()
        self._free = size
        self._turn = asyncio.Lock()
        self._given = asyncio.Event()

    @property
    def free(self) -> int:
        """Bytes that nothing holds."""
        return self._free

    async def take(self, size: int) -> None:
        """Wait until there is room for so many bytes more, and take it."""
        async with self._turn:
            while self._free < size:
                self._given.clear()
                await self._given.wait()
            self._free -= size

    def try_take(self, size: int) -> bool:
        """Take so many bytes if they are there now, ahead of those that wait."""
        if self._free < size:
            return False
        self._free -= size
        return True

    def give(self, size: int) -> None:
        """Give room back that has been taken."""
        self._free += size
        self._given.set()


class Share:
    """What one page holds of the room: what it has taken in advance, and what it has needed beyond that.

    A share that holds all the room grows without a limit: its page is alone, and its body has one of its own.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self._taken = 0
        self._least = 0
        self._used = 0
        self._is_alone = False

    async def reserve(self, size: int) -> None:
        """Give up what is held and wait for so many bytes, at most all the room."""
        self.release()
        size = min(size, self.room.size)
        await self.room.take(size)
        self._taken = self._least = size
        self._is_alone = size == self.room.size

    def settle(self, *, least: int, used: int) -> None:
        """Keep `used` bytes, and at least so many; the rest goes back."""
        self._least, self._used, self._is_alone = least, used, False
        self._give_back()

    def grow(self, size: int) -> None:
        """Use so many bytes more.

        Raises:
            NoRoomError: there is no room for them.

        """
        beyond = self._used + size - self._taken
        if beyond > 0 and not self._is_alone:
            if not self.room.try_take(beyond):
                raise NoRoomError("no room in memory")
            self._taken += beyond
        self._used += size

    def shrink(self, size: int) -> None:
        """Use so many bytes less."""
        self._used -= size
        self._give_back()

    def release(self) -> None:
        """Give everything back."""
        self.settle(least=0, used=0)

    def _give_back(self) -> None:
        surplus = self._taken - max(self._least, self._used)
        if surplus > 0:
            self._taken -= surplus
            self.room.give(surplus)


class Charge:
    """What one answer, or one list in several answers, takes of a share: a body while it is read, then what is kept.

    `factor`: bytes that each byte of the body takes. Without a share nothing is counted.
    """

    def __init__(self, share: Share | None, factor: int = 1) -> None:
        self._share = share
        self._factor = factor
        self._body = 0
        self._kept = 0

    def begin(self) -> None:
        """A body is about to be read; the one before it, if it was not kept, has failed."""
        if self._body and self._share is not None:
            self._share.shrink(self._body)
        self._body = 0

    def grow(self, size: int) -> None:
        """So many bytes of the body have come.

        Raises:
            NoRoomError: there is no room for them.

        """
        if self._share is not None:
            self._share.grow(self._factor * size)
            self._body += self._factor * size

    def keep(self, more: int = 0) -> None:
        """The body is kept, and takes so many bytes more now that it is read.

        Raises:
            NoRoomError: there is no room for them.

        """
        if self._share is not None and more:
            self._share.grow(more)
            self._kept += more
        self._kept += self._body
        self._body = 0

    def drop(self) -> None:
        """Nothing of it is kept."""
        self.begin()
        if self._kept and self._share is not None:
            self._share.shrink(self._kept)
        self._kept = 0


UNCOUNTED = Charge(None)
_current: ContextVar[Charge] = ContextVar("charge", default=UNCOUNTED)


def current_charge() -> Charge:
    """Where bodies that are read in this context are counted."""
    return _current.get()


class counting:  # noqa: N801  # used as a function; a class costs half of a generator, for every record
    """Count the bodies that are read inside; what fails inside keeps nothing."""

    __slots__ = ("_charge", "_token")

    def __init__(self, charge: Charge) -> None:
        self._charge = charge

    def __enter__(self) -> None:
        self._token = _current.set(self._charge)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        _current.reset(self._token)
        if kind is not None:
            self._charge.drop()


@asynccontextmanager
async def alone(room: Room) -> AsyncIterator[None]:
    """Read something inside that needs more than there is room for: one at a time, and uncounted."""
    async with room.alone:
        with counting(UNCOUNTED):
            yield
