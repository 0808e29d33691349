"""The whole API against its own OpenAPI document, with generated inputs."""

import asyncio
import sys

import pytest

from tests.acceptance.conftest import Stack

# Some rules cannot be said in a schema (a backfill has both dates, and they make a window), so that a request may be
# valid by the document and still be refused.
LEFT_OUT = "positive_data_acceptance"


@pytest.mark.parametrize("user", [None, "admin", "viewer"])
async def test_no_input_makes_the_api_break_its_own_document(stack: Stack, user: str | None) -> None:
    """Open, and as each of the two roles; with authentication, schemathesis tries every call without it too."""
    passwords = {f"{name.upper()}_PASSWORD": f"{name}-and-its-long-words" for name in ("admin", "viewer")}
    await stack.start_backend(**(passwords if user else {}))
    login = ["--auth", f"{user}:{user}-and-its-long-words"] if user else []

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"{stack.api.base_url}/openapi.json", *login),
        *("--checks", "all", "--exclude-checks", LEFT_OUT, "--max-examples", "25" if user is None else "10"),
        *("--seed", "1", "--no-color"),
        cwd=stack.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 100)

    assert process.returncode == 0, output.decode()[-4000:]
    assert "Traceback" not in stack.processes[0].text
