"""`python -m simulator`: its one line, its end, its refusals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simulator.__main__ import main

pytestmark = pytest.mark.enable_socket

ROOT = Path(__file__).parents[2]
READY = re.compile(
    r"simulator ready on (http://127\.0\.0\.1:\d+/api) "
    r"\((\d+) contratações from (\d{4}-\d\d-\d\d) to (\d{4}-\d\d-\d\d)\)\n"
)


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], re.Match[str]]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    watchdog = threading.Timer(20, child.kill)
    watchdog.start()
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        ready = READY.fullmatch(line)
        assert ready, line
        yield child, ready
    finally:
        watchdog.cancel()
        child.kill()
        child.communicate()


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_one_line_when_ready_and_ends_with_0(number: signal.Signals) -> None:
    arguments = ["--from", "2025-01-06", "--until", "2025-01-08", "--per-day", "20", "--quirk", "no_items=404"]
    with running([*arguments, "--quirk", 'hang={"match": {"page": 2}}', "--live-per-minute", "6000"]) as (child, ready):
        assert (ready[3], ready[4]) == ("2025-01-06", "2025-01-08")
        control = ready[1].removesuffix("/api") + "/simulator"
        assert fetch(f"{control}/quirks")["no_items"] == "404"
        assert fetch(f"{control}/state")["records"] >= int(ready[2]) > 20
        child.send_signal(number)
        out, err = child.communicate(timeout=10)
    assert (child.returncode, out, err) == (0, "", "")


def test_records_appear_as_time_passes() -> None:
    with running(["--days", "1", "--per-day", "0", "--live-per-minute", "6000"]) as (_, ready):
        control = ready[1].removesuffix("/api") + "/simulator"
        seen = (0, 0)
        for _ in range(500):
            state = fetch(f"{control}/state")
            seen = state["records"], state["contratos"]
            if min(seen) > 1:
                break
        assert min(seen) > 1


def test_a_busy_port_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port), "--days", "1", "--per-day", "0"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"simulator: cannot listen on 127.0.0.1:{port}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quirk", "unheard=1"], "unheard"),
        (["--quirk", "429"], "NAME=VALUE"),
        (["--quirk", "429=often"], "often"),
        (["--fail", "3"], "fail"),
        (["--days", "0"], "--days"),
        (["--from", "2025-01-02", "--until", "2025-01-01"], "lies before"),
        (["--recorded", "no/such/folder"], "no contratação is recorded in no/such/folder"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("simulator: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_explains_every_quirk(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "gzip_bomb" in capsys.readouterr().out
