"""A `./pncp demo` or `up` that really runs, in a copy of the project, and the shell that a person has beside it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from standalone.cli import ROOT

PARTS = ("backend", "common", "ingestor", "migrations", "scripts", "simulator", "standalone")


class Demonstration:
    """A running demonstration in a folder of its own, and the shell that a person has beside it."""

    def __init__(self, project: Path, *words: str, command: str = "demo", **variables: str) -> None:
        self.project = project
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PNCP_", "ADMIN_", "PG"))}
        for name in ("DATABASE_URL", "RABBITMQ_URL", "BACKEND_PORT"):
            clean.pop(name, None)
        self.environment = clean | variables
        self.said = project / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "standalone", command, *words],
                cwd=project,
                env=self.environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def wait_for(self, words: str) -> None:
        """Until it has said these words; a demonstration that does not is ended."""
        deadline = time.monotonic() + 120
        while words not in self.said.read_text():
            if self.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            self.stop()
            raise AssertionError(self.said.read_text())

    def call(self, *words: str, given: str | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
        """One command as `./pncp` runs it."""
        return subprocess.run(
            [sys.executable, "-m", "standalone", *words],
            cwd=self.project,
            env=self.environment | variables,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def shell(self, command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """A line of a document or a guide, in a shell in the project's folder."""
        return subprocess.run(
            ["bash", "-c", command.replace("./pncp", f"{sys.executable} -m standalone")],
            cwd=self.project,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def json(self, *words: str) -> Any:
        """What a command answers to a program."""
        done = self.call(*words, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def stop(self) -> int:
        """Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def copy_project(folder: Path) -> Path:
    """The programs without the developer's .env and data."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", folder)
    return folder
