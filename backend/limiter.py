"""Rate limits per user and per peer: in this process, and for what is seldom in all backends together.

Keys from unauthenticated requests are hashed, with a key of the backends, into a fixed number of counters: memory is
bounded, and a caller cannot choose whose counter to share. Authenticated users have counters of their own.
"""

import hashlib
import ipaddress
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from backend.services.shared_limits import Count, SharedCounts

COUNTERS = 2**14
SHARED = ("failed login", "token", "token of user", "token of client", "write")
"""What all backends count together. Reads are too many for a statement each: they are limited in each process."""


@dataclass(frozen=True)
class Limits:
    """Events per minute or hour; 0 is no limit."""

    failed_logins_per_minute: int = 0
    failed_logins_per_hour: int = 0
    tokens_per_minute: int = 0
    writes_per_minute: int = 0
    reads_per_minute: int = 0
    unauthenticated_per_minute: int = 0
    client_tokens_per_minute: int = 0
    client_requests_per_minute: int = 0


class Limiter:
    """Counts events of several kinds per key.

    `salt` must be the same in all backends; without one, each counts for itself.
    """

    def __init__(self, limits: Limits, salt: bytes | None = None) -> None:
        self.shared: SharedCounts | None = None
        failed = [RateLimitItemPerMinute(limits.failed_logins_per_minute)] if limits.failed_logins_per_minute else []
        hourly = [RateLimitItemPerHour(limits.failed_logins_per_hour)] if limits.failed_logins_per_hour else []
        self._items: dict[str, list[RateLimitItem]] = {
            "failed login": [*failed, *hourly],
            "token": _per_minute(limits.tokens_per_minute),
            # issued tokens per user: strangers' attempts must not use up the administrator's share
            "token of user": _per_minute(2 * limits.tokens_per_minute),
            # those of programs are apart: one that asks too often must not keep people out who share its address
            "token of client": _per_minute(limits.client_tokens_per_minute),
            "client": _per_minute(limits.client_requests_per_minute),
            "write": _per_minute(limits.writes_per_minute),
            "read": _per_minute(limits.reads_per_minute),
            "unauthenticated": _per_minute(limits.unauthenticated_per_minute),
        }
        self._storage = MemoryStorage()
        self._counter = FixedWindowRateLimiter(self._storage)
        self._salt = secrets.token_bytes(32) if salt is None else salt

    async def hit(self, kind: str, key: str, *, signed_in: bool = False) -> int:
        """Count one event; 0 if it is within the limit, else the seconds until the next one is.

        What this process alone refuses is not counted by all: a flood costs the database nothing.
        """
        name = (kind, key) if signed_in else self._name(kind, key)
        refused = [item for item in self._items[kind] if not await self._counter.hit(item, *name)]
        shared = self._shared_of(kind)
        if refused or shared is None:
            return await self._wait(refused, name)
        counts = await shared.hit(kind, self._digest(name[1]), self._windows(kind))
        return self._wait_shared(kind, counts, counted=True)

    async def full(self, kind: str, key: str) -> int:
        """0 if one more event would be within the limit, else the seconds until it would be. Counts nothing."""
        name = self._name(kind, key)
        refused = [item for item in self._items[kind] if not await self._counter.test(item, *name)]
        shared = self._shared_of(kind)
        if refused or shared is None:
            return await self._wait(refused, name)
        return self._wait_shared(kind, await shared.look(kind, self._digest(name[1]), self._windows(kind)))

    async def is_clean(self, kind: str, key: str) -> bool:
        """Whether no event has been counted in the present windows."""
        for item in self._items[kind]:
            _, left = await self._counter.get_window_stats(item, *self._name(kind, key))
            if left < item.amount:
                return False
        shared = self._shared_of(kind)
        return shared is None or not await shared.look(
            kind, self._digest(self._name(kind, key)[1]), self._windows(kind)
        )

    def _shared_of(self, kind: str) -> SharedCounts | None:
        return self.shared if kind in SHARED and self._items[kind] else None

    def _windows(self, kind: str) -> list[int]:
        return [item.get_expiry() for item in self._items[kind]]

    def _wait_shared(self, kind: str, counts: Mapping[int, Count], *, counted: bool = False) -> int:
        """The seconds until none of the windows is full; `counted`: the event is among those that they have."""
        waits = [0.0]
        for item in self._items[kind]:
            count = counts.get(item.get_expiry())
            if count is not None and count.events >= item.amount + counted:
                waits.append(max(1.0, count.seconds_left))
        return math.ceil(max(waits))

    def _digest(self, name: str) -> str:
        """A name as the database has it, which shows neither users nor addresses."""
        return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=self._salt, digest_size=16).hexdigest()

    async def _wait(self, refused: list[RateLimitItem], name: tuple[str, str]) -> int:
        ends = [(await self._counter.get_window_stats(item, *name))[0] for item in refused]
        return max([0, *[max(1, math.ceil(end - time.time())) for end in ends]])

    def _name(self, kind: str, key: str) -> tuple[str, str]:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=self._salt, digest_size=8).digest()
        return kind, str(int.from_bytes(digest) % COUNTERS)


def _per_minute(amount: int) -> list[RateLimitItem]:
    return [RateLimitItemPerMinute(amount)] if amount else []


def network_of(host: str) -> str:
    """The network that a peer is counted by: its IPv4 address, or its IPv6 /64, which one customer holds."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
