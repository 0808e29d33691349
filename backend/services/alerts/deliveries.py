"""What one channel has accepted of what it is to send, as rows keep it, and its pauses after failures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How the last tries of a channel went; what it has accepted is added by those who send."""

    failures: int = 0
    retry_at: datetime | None = None
    error: str | None = None

    def failed(self, now: datetime, reason: str) -> Self:
        """The state after a try that failed."""
        failures = self.failures + 1
        return replace(self, failures=failures, retry_at=now + pause_after(failures), error=reason)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """From JSON."""
        fields: dict[str, Any] = {
            name: datetime.fromisoformat(value) if name.endswith("_at") and value else value
            for name, value in kept.items()
        }
        return cls(**fields)


def pause_after(failures: int) -> timedelta:
    """The pause of a channel after this many failures in a row."""
    doubled: int = 2 ** min(failures - 1, 16)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)
