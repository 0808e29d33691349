"""The commands of the terminal against a backend, an ingestor and a portal that really run."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest

from common.lifecycle import executions, slices
from standalone.cli import ROOT
from tests.acceptance.conftest import Stack
from tests.integration.conftest import Database
from tests.support import eventually

# The person's own settings must not lead a test astray.
STRANGE = ("PNCP_SYNC_", "ADMIN_", "BACKEND_PORT", "PNCP_HOME")


def environment_of(stack: Stack, **variables: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)}
    return {**ours, "PNCP_SYNC_URL": str(stack.api.base_url), "PNCP_HOME": str(stack.folder), **variables}


async def pncp(stack: Stack, *words: str, **variables: str) -> tuple[int, str, str]:
    """Run `./pncp WORDS`; its exit code, output and errors."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "standalone",
        *words,
        cwd=ROOT,
        env=environment_of(stack, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    out, err = await running.communicate()
    assert running.returncode is not None
    return running.returncode, out.decode(), err.decode()


async def json_of(stack: Stack, *words: str) -> dict[str, Any]:
    code, out, err = await pncp(stack, *words, "--json")
    assert code == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


async def test_a_day_at_the_terminal(stack: Stack) -> None:
    await stack.start_simulator("--per-day", "40", "--days", "4")
    await stack.start_backend()
    assert (await pncp(stack, "status"))[:2] == (0, "nothing has been synchronised yet\n")

    first, last = ((await stack.span())[0][:10], (await stack.span())[1][:10])
    plan = await json_of(stack, "sync", "--backfill", first, last, "--dry-run")
    assert plan["days"] * plan["modalidades"] == plan["slices"]
    assert (await json_of(stack, "history"))["total_count"] == 0

    # without an ingestor it waits, and may be cancelled
    code, out, _ = await pncp(stack, "sync", "--backfill", first, last)
    assert (code, out) == (0, "execution 1 has begun; to watch it: ./pncp status 1 --watch\n")
    assert "running, queued" in (await pncp(stack, "status"))[1]
    assert (await pncp(stack, "cancel", "1"))[0] == 0
    code, _, err = await pncp(stack, "cancel", "1")
    assert code == 1
    assert re.fullmatch(r"pncp: 409: [^\n]+\n", err)
    assert (await pncp(stack, "status", "--watch"))[0] == 1  # it ended in error
    assert (await pncp(stack, "retry", "1"))[0] == 1  # nothing of it had failed

    await stack.start_ingestor()
    code, out, err = await pncp(stack, "sync", "--backfill", first, last, "--watch")
    assert code == 0, out + err
    assert "execution 2: backfill by publicacao, success" in out
    told = await json_of(stack, "status", "2")
    assert told["records_processed"] == len(await stack.truth(f"{first}T00:00:00", f"{last}T23:59:59"))
    assert (await json_of(stack, "sync", "--update", "--watch"))["status"] == "success"

    code, out, _ = await pncp(stack, "history", "--status", "success", "--mode", "backfill")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["ID", "2", "1"]  # heads, one row, the sum
    assert out.splitlines()[-1] == "1 in all: 1 success, 0 error, 0 running"
    code, _, err = await pncp(stack, "status", "99")
    assert code == 1
    assert re.fullmatch(r"pncp: 404: [^\n]*99[^\n]*\n", err)


async def test_contratos_are_asked_for_by_name(stack: Stack) -> None:
    await stack.start_simulator("--per-day", "40", "--days", "3")
    await stack.start_backend()
    await stack.start_ingestor()
    first, last = ((await stack.span())[0], (await stack.span())[1])
    window = {"resource": "contratos", "criterio": "publicacao", "data_ini": first, "data_fim": last}
    listed = (await stack.api.get(f"{stack.simulator_url}/records", params=window)).json()
    assert listed
    assert (await json_of(stack, "sync", "--backfill", first[:10], last[:10], "--watch"))["status"] == "success"

    asked = ("sync", "--resource", "contratos", "--backfill", first[:10], last[:10])
    code, out, _ = await pncp(stack, *asked, "--dry-run")
    assert code == 0
    assert out.startswith("nothing was started; it would become 3 slices of contratos (3 days)\n")
    assert (await pncp(stack, "status", "--resource", "contratos"))[1].startswith("nothing of contratos has been")
    code, out, err = await pncp(stack, *asked, "--watch")
    assert code == 0, out + err
    assert "execution 2: backfill of contratos by publicacao, success" in out

    told = await json_of(stack, "status", "--resource", "contratos")
    assert (told["id"], told["records_processed"]) == (2, len(listed))
    code, out, _ = await pncp(stack, "history")
    assert [line.split()[2] for line in out.splitlines()[:3]] == ["RESOURCE", "contratos", "contratacoes"]
    ours = await json_of(stack, "history", "--resource", "contratos")
    assert [execution["id"] for execution in ours["executions"]] == [2]
    days = ("--from", first[:10], "--to", last[:10], "--resource", "contratos")
    covered = (await json_of(stack, "coverage", *days))["days"]
    assert sum(day["records"] for day in covered) == len(listed)
    assert {day["state"] for day in covered[:2]} == {"complete"}  # the last day is today
    assert (await pncp(stack, "coverage", *days))[1].splitlines()[-1].startswith("3 days: ")


async def test_everything_of_one_resource_is_cancelled_and_nothing_else(stack: Stack) -> None:
    await stack.start_backend()
    await stack.force(mode="update")
    await stack.force(mode="update", resource="contratos")
    assert (await json_of(stack, "cancel", "--resource", "contratos"))["execution_ids"] == [2]
    assert (await json_of(stack, "status", "1"))["status"] == "running"


async def test_what_failed_ends_the_watching_with_exit_code_1_and_is_retried(stack: Stack) -> None:
    await stack.start_backend()
    database = Database(stack.engine)
    claim = await database.claimed()
    await database.run(slices.fail, claim, "no_answer", "portal: 503")
    await database.run(executions.close, claim.execution_id)

    code, out, err = await pncp(stack, "status", "1", "--watch")

    assert code == 1, out + err
    assert "1 of 1 slices failed: 2025-03-10 modalidade 6: portal: 503" in out
    assert "to repeat what failed: ./pncp retry 1" in out
    assert (await json_of(stack, "retry", "1"))["request_id"] == "2"
    assert (await json_of(stack, "status"))["retry_of"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_watching_and_not_the_synchronisation(stack: Stack, number: signal.Signals) -> None:
    await stack.start_backend()
    execution_id = await stack.force(mode="update")
    ours, theirs = pty.openpty()
    watching = subprocess.Popen(  # noqa: ASYNC220  # it has a terminal of its own
        [sys.executable, "-m", "standalone", "status", "--watch"],
        cwd=ROOT,
        env=environment_of(stack),
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    said = b""

    def has_said(words: bytes) -> bool:
        nonlocal said
        with suppress(OSError):  # no output yet, or the process has ended
            said += os.read(ours, 65536)
        return words in said

    await eventually(lambda: has_said(b"no ingestor has taken it yet"), seconds=30)
    watching.send_signal(number)
    await eventually(lambda: has_said(f"To stop it: ./pncp cancel {execution_id}".encode()), seconds=30)
    assert await asyncio.to_thread(watching.wait, 30) == 130
    os.close(ours)
    assert said.rindex(b"\x1b[?25h") > said.rindex(b"\x1b[?25l")  # the cursor is there again
    assert (await stack.execution(execution_id))["status"] == "running"


async def test_with_authentication_a_password_is_taken_from_the_environment_alone(stack: Stack) -> None:
    await stack.start_backend(ADMIN_USERNAME="ana", ADMIN_PASSWORD="a-password-of-ana")
    code, _, err = await pncp(stack, "status")
    assert code == 1
    assert "401" in err
    assert "PNCP_SYNC_PASSWORD" in err
    ours = {"PNCP_SYNC_USERNAME": "ana", "PNCP_SYNC_PASSWORD": "a-password-of-ana"}
    assert (await pncp(stack, "status", **ours))[0] == 0
    # of this machine's own backend the administrator of .env is known
    assert (await pncp(stack, "status", ADMIN_USERNAME="ana", ADMIN_PASSWORD="a-password-of-ana"))[0] == 0


async def test_an_address_without_a_server_is_one_line(stack: Stack) -> None:
    code, _, err = await pncp(stack, "status", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert err.startswith("pncp: nothing answers at http://127.0.0.1:9: start ./pncp up or demo")
    assert err.count("\n") == 1


async def test_the_language_is_that_of_the_person(stack: Stack) -> None:
    await stack.start_backend()
    assert (await pncp(stack, "status", LANGUAGE="pt_BR"))[1] == "nada foi sincronizado ainda\n"
    assert (await pncp(stack, "status", LANGUAGE="", LC_ALL="en_US.UTF-8"))[1] == "nothing has been synchronised yet\n"


async def test_what_the_api_has_the_terminal_shows(stack: Stack) -> None:
    await stack.start_backend()
    await stack.force(mode="update")
    assert {each["name"] for each in (await json_of(stack, "schedules"))["schedules"]} >= {"update", "sweep"}
    paused = await json_of(stack, "schedules", "pause", "sweep", "--reason", "férias")
    assert (paused["paused"], paused["pause_reason"]) == (True, "férias")
    assert not (await json_of(stack, "schedules", "resume", "sweep"))["paused"]
    assert (await json_of(stack, "schedules", "set", "update", "0 * * * *"))["cron"] == "0 * * * *"
    assert (await json_of(stack, "schedules", "reset", "update"))["cron"] == "*/15 * * * *"
    assert (await json_of(stack, "alerts"))["open_count"] == 0
    assert (await json_of(stack, "searches"))["buscas"] == []
    assert (await json_of(stack, "changes"))["registros"] == []
    assert (await json_of(stack, "show", "1"))["slices"] == []
    address = (await pncp(stack, "open", "--no-browser"))[1].strip()
    assert address == f"{str(stack.api.base_url).rstrip('/')}/"
    for words in (("schedules",), ("alerts",), ("searches",), ("changes",), ("show", "1"), ("coverage",)):
        code, out, err = await pncp(stack, *words, LANGUAGE="pt_BR")
        assert code == 0, (words, out, err)
