"""The form of what the driver is sent where it is asked directly, and what it says to what cannot be stored."""

from collections.abc import Sequence
from itertools import accumulate

import asyncpg
from msgspec import Raw

VALUE_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""What PostgreSQL says to a value that it cannot hold: out of range, or too large for an index."""
BYTES_AT_ONCE = 4 * 1024 * 1024
"""Bytes of payloads that one statement takes, about: they are joined, encoded and sent, each time as a copy."""


def in_one(payloads: Sequence[bytes | Raw]) -> tuple[list[int], list[int], bytes]:
    """Where each payload begins, counted from 1, how many bytes it has, and all of them."""
    sizes = [memoryview(payload).nbytes for payload in payloads]
    return list(accumulate(sizes[:-1], initial=1)), sizes, b"".join(payloads)
