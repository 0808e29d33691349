"""ReDoc in a browser that reaches this server alone: its page is complete, within the policy that the backend sends."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.acceptance.conftest import Stack

CHROMIUM = shutil.which("chromium")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
async def test_redoc_shows_every_endpoint_without_another_host(stack: Stack, tmp_path: Path) -> None:
    await stack.start_backend()
    document = (await stack.api.get("/openapi.json")).json()
    assert CHROMIUM is not None
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *OPTIONS,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        str(stack.api.base_url.join("/redoc")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        dom = (await asyncio.wait_for(browser.communicate(), 90))[0].decode()
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"] in dom
    assert "Download OpenAPI specification" in dom
