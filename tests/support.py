"""What tests of several floors do alike."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def migrate(url: str, *command: str) -> None:
    """Run Alembic as operators do."""
    environment = {**os.environ, "DATABASE_URL": url}
    subprocess.run([sys.executable, "-m", "alembic", *command], cwd=ROOT, env=environment, check=True, timeout=60)


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
