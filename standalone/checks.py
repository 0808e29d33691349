"""`./pncp test`, `bench`, `chaos` and `check`: tests and benchmarks on servers of their own, and static checks."""

import argparse
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from standalone.console import say, step
from standalone.postgres import EmbeddedPostgres
from standalone.processes import Interruption, Supervisor
from standalone.settings import Settings, hide_password, plain_url, read_settings

CHECKS = {
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    "ruff check": ("-m", "ruff", "check", "."),
    "mypy": ("-m", "mypy"),
    "lint-imports": ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
}
# What tests must not read: the person's own database, and the real portal.
HIDDEN = ("DATABASE_URL", "PNCP_BASE_URL", "PNCP_CALLED_FROM", "APP_ENV", "ADMIN_PASSWORD", "ADMIN_PASSWORD_HASH")
# The tests' databases are gone with their run: nothing of them has to outlive the machine.
FLEETING = {"fsync": "off", "full_page_writes": "off"}
DEFAULT_BROKER = "amqp://guest:guest@127.0.0.1:5672/"


def run_checks() -> int:
    """Run every check, print its result and time, and what it said where it failed; 1 if any failed, 130 if stopped."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pncp-check-") as folder:
        supervisor = Supervisor(Path(folder))
        supervisor.listen()
        for name, words in CHECKS.items():
            start = time.monotonic()
            try:
                done = supervisor.complete(name, [sys.executable, *words], os.environ)
            except Interruption:
                return 130
            passed = done.process.returncode == 0
            say(f"- {name}: {'ok' if passed else 'failed'} ({time.monotonic() - start:.1f} s)")
            if not passed:
                failed = 1
                say(done.said().rstrip())
    return failed


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest against the server of DATABASE_URL, or an embedded one that is gone afterwards; pytest's exit code."""
    folder = Path(tempfile.mkdtemp(prefix="pncp-test-"))
    # Also for the user the server gets when root may not run it.
    folder.chmod(0o711)
    supervisor = Supervisor(folder)
    supervisor.listen()
    try:
        settings = read_settings()
        _tell_broker(settings.get("RABBITMQ_URL") or DEFAULT_BROKER)
        server_url = _open_server(settings, supervisor, FLEETING)
        environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
        environment["PNCP_TEST_SERVER_URL"] = server_url
        if settings.get("RABBITMQ_URL"):
            environment["RABBITMQ_URL"] = settings["RABBITMQ_URL"]
        command = [sys.executable, "-m", "pytest", *spread(arguments), *arguments]
        return supervisor.run_in_foreground("pytest", command, environment)
    except Interruption:
        return 130
    finally:
        supervisor.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def run_chaos(options: argparse.Namespace) -> int:
    """Run a storm; it starts and ends every server that it needs itself. Its exit code."""
    words = [f"--{name}={value}" for name, value in vars(options).items() if name != "keep" and value is not None]
    keep = ["--keep"] if options.keep else []
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    with tempfile.TemporaryDirectory(prefix="pncp-chaos-") as folder:
        supervisor = Supervisor(Path(folder))
        supervisor.listen()
        try:
            return supervisor.run_in_foreground(
                "chaos", [sys.executable, "-m", "tests.chaos", *words, *keep], environment
            )
        except Interruption:
            return 130
        finally:
            supervisor.stop_all()


def run_bench() -> int:
    """Run the benchmarks on the server of DATABASE_URL, or an embedded one that is gone afterwards; the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="pncp-bench-"))
    folder.chmod(0o711)
    supervisor = Supervisor(folder)
    supervisor.listen()
    try:
        settings = read_settings()
        server_url = _open_server(settings, supervisor)
        environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
        environment |= {"DATABASE_URL": server_url, "RABBITMQ_URL": settings.get("RABBITMQ_URL") or DEFAULT_BROKER}
        return supervisor.run_in_foreground("bench", [sys.executable, "-m", "bench", *sys.argv[2:]], environment)
    except Interruption:
        return 130
    finally:
        supervisor.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def _tell_broker(url: str) -> None:
    answers = "answers" if broker_answers(url) else "does not answer, its tests are skipped"
    say(f"- RabbitMQ at {hide_password(url)}: {answers}")


def _open_server(settings: Settings, supervisor: Supervisor, own: Mapping[str, str] | None = None) -> str:
    """The URL of a server on which databases may be made; `own`: settings of one that is started for it."""
    given = settings.get("DATABASE_URL")
    if given:
        say(f"- PostgreSQL: databases of their own on the server of DATABASE_URL, {hide_password(given)}")
        return plain_url(given)
    server = EmbeddedPostgres(supervisor.folder / "postgres", check=supervisor.check, settings=own)
    supervisor.parts.append(server)
    with step(f"PostgreSQL: embedded, in {server.folder} until the end"):
        return server.start()


def spread(arguments: Sequence[str]) -> list[str]:
    """Options that spread the tests over the processor's cores, unless the arguments say how or ask for a debugger."""
    asked = ("-n", "--numprocesses", "--dist", "--pdb", "--trace", "-s")
    if any(word.startswith(option) for word in arguments for option in asked if option != "-s") or "-s" in arguments:
        return []
    # one more than there are cores: many tests wait for what they have started
    return ["-n", str(min(os.cpu_count() or 1, 4) + 1), "--dist", "loadgroup"]


def broker_answers(url: str) -> bool:
    """Whether something at the URL speaks AMQP 0-9-1."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5672), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(8))
    except OSError:
        return False
