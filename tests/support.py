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


async def eventually(condition: Callable[[], object], *, seconds: float = 10, every: float = 0.02) -> None:
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
