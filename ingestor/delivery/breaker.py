"""The breaker of a destination: failures in a row, when the next try is due, and that it wants no more."""

import random
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LONGEST_PAUSE_SECONDS = 1800.0

_LOAD = text("SELECT failures, stopped_at, stopped_reason FROM destinations WHERE name = :name")
_FAILED = text("""
    UPDATE destinations
       SET failures = failures + 1, failing_since = coalesce(failing_since, now()), last_error = :error,
           retry_at = now() + make_interval(secs => :seconds), updated_at = now()
     WHERE name = :name
""")
_ANSWERED = text("""
    UPDATE destinations
       SET failures = 0, failing_since = NULL, retry_at = NULL, last_error = NULL, last_success_at = now(),
           updated_at = now()
     WHERE name = :name AND (failures > 0 OR last_success_at IS NULL OR last_success_at < now() - interval '1 second')
""")
_STOPPED = text("""
    UPDATE destinations SET stopped_at = now(), stopped_reason = :reason, updated_at = now() WHERE name = :name
""")


@dataclass(frozen=True)
class State:
    """Failures in a row, and since when the destination wants no more."""

    failures: int
    stopped_at: datetime | None
    stopped_reason: str | None


async def load_state(db: AsyncConnection, name: str) -> State:
    """The state of a destination that is registered."""
    return State(*(await db.execute(_LOAD, {"name": name})).one())


async def note_failure(db: AsyncConnection, name: str, *, error: str, seconds: float) -> None:
    """Count a failure; the next try is due after so many seconds."""
    await db.execute(_FAILED, {"name": name, "error": error, "seconds": seconds})


async def note_answer(db: AsyncConnection, name: str) -> None:
    """Note that the destination has given a verdict."""
    await db.execute(_ANSWERED, {"name": name})


async def stop(db: AsyncConnection, name: str, reason: str) -> None:
    """Send nothing more until an administrator resumes the destination."""
    await db.execute(_STOPPED, {"name": name, "reason": reason})


def pause_seconds(failures: int, first: float, retry_after: float | None) -> float:
    """The pause after so many failures in a row: what the destination asks for, else twice as long each time."""
    if retry_after is not None:
        return retry_after
    longest = min(first * 2.0 ** min(max(failures - 1, 0), 20), LONGEST_PAUSE_SECONDS)
    return random.uniform(0.5, 1.0) * longest  # noqa: S311  # jitter
