"""What tests of several floors do alike."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.config import BackendSettings
from common.config import secrets_of
from ingestor.config import IngestorSettings
from ingestor.errors import PncpBlocked, PncpError, PncpPaused, PncpRefused, PncpThrottled

ROOT = Path(__file__).parent.parent
SERVICES = (BackendSettings, IngestorSettings)
SETTINGS_OF_OURS = {
    "CI",
    *(name.upper() for kind in SERVICES for name in kind.model_fields),
    *(f"{name}_FILE" for kind in SERVICES for name in secrets_of(kind)),
}
"""What a person may have set for the product, and a test's processes must not see."""


def migrate(url: str, *command: str, capture: bool = False) -> None:
    """Run Alembic as operators do; with `capture`, what it says is in the error."""
    environment = {**os.environ, "DATABASE_URL": url}
    subprocess.run(
        [sys.executable, "-m", "alembic", *command],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=60,
        capture_output=capture,
    )


async def eventually(condition: Callable[[], object], *, seconds: float = 60, every: float = 0.02) -> None:
    """Wait until a condition holds; it may be a coroutine function. Fails with its last value."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"still not so after {seconds} s: {condition}")
        await asyncio.sleep(every)


class FakeSource:
    """The state of the source in memory, by the loop's time: a throttle and a refusal pause it, and both are noted."""

    def __init__(self) -> None:
        self.workers = 1
        self.entered = 0
        self.in_flight = 0
        self.pauses: list[float] = []
        self.failures: list[PncpError] = []
        self.pause_seconds = 60.0
        self.keeps_pauses = True
        self._answers = 0
        self._until = 0.0

    @property
    def is_paused(self) -> bool:
        return self.keeps_pauses and self._until > asyncio.get_running_loop().time()

    async def enter(self, service: str, *, wait: bool, seconds: float) -> None:  # noqa: ARG002  # as `Source` has it
        self.entered += 1
        if self.is_paused and not wait:
            raise PncpPaused(f"{service} is paused")
        if self.is_paused:
            await asyncio.sleep(self._until - asyncio.get_running_loop().time())
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def answered(self, service: str) -> None:  # noqa: ARG002
        self._answers += 1

    async def failed(self, service: str, about: str, error: PncpError) -> bool:  # noqa: ARG002
        self.failures.append(error)
        if isinstance(error, PncpThrottled | PncpBlocked | PncpRefused):
            asked = error.seconds if isinstance(error, PncpThrottled) else None
            self.pauses.append(self.pause_seconds if asked is None else asked)
            self._until = max(self._until, asyncio.get_running_loop().time() + self.pauses[-1])
            return True
        return self.is_paused

    def answers(self, service: str) -> int:  # noqa: ARG002
        return self._answers
