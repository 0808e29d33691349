"""The commands that work on the database itself: verify, rejected, itens, lists, connections, psql and others.

They use the database of the services that run here, else DATABASE_URL, else the data folder of `./pncp up` (or of the
demonstration, where there is no other), whose server is then started for as long as the command takes.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import unquote, urlsplit

from standalone.cli import ROOT
from standalone.console import complain
from standalone.language import tr
from standalone.notes import SERVICES_NOTE, running_folders
from standalone.postgres import EmbeddedPostgres, find_binaries
from standalone.processes import ENDING_SIGNALS
from standalone.settings import Settings, from_caller, home_of, plain_url, read_settings
from standalone.system import LaunchError

OF_BACKEND = ("hash-password", "make-client")
OF_INGESTOR = ("verify", "rejected", "itens", "lists", "connections")
"""Commands that are the ingestor's own."""
NEED_DATABASE = {"preview", "forget"}
"""What of connections works on the database."""


def run_tool(name: str, words: Sequence[str]) -> int:
    """Run one of the commands with its arguments; its exit code.

    Raises:
        LaunchError: there is no database to work on.

    """
    # They were held back while one program became the other (standalone.environment).
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
    settings = read_settings()
    if name in OF_BACKEND:
        return _call([sys.executable, "-m", "backend", name, *words], settings)
    if any(word in ("-h", "--help") for word in words) and name in OF_INGESTOR:
        return _call([sys.executable, "-m", "ingestor", name, "--help"], settings)
    if name == "connections":
        words = _paths_from_caller(words)
        if not set(words) & NEED_DATABASE:
            return _check_connections(words, noted_settings(settings) or settings)
    with open_database(settings) as known:
        match name:
            case "psql":
                return _call(*_psql(words, known))
            case "backup" | "restore":
                return _call(*_script(name, words, known))
            case _:
                return _call([sys.executable, "-m", "ingestor", name, *words], known)


def _check_connections(words: Sequence[str], settings: Settings) -> int:
    """The ingestor's check of files, in the person's language."""
    from common.config import ConfigurationError  # noqa: PLC0415  # of no other command
    from ingestor.commands import parse_words  # noqa: PLC0415
    from ingestor.connections import run_without_database  # noqa: PLC0415

    os.environ.update(settings)
    try:
        return run_without_database(parse_words(["connections", *words]), tr)
    except ConfigurationError as error:
        raise LaunchError(str(error)) from None


def _paths_from_caller(words: Sequence[str]) -> list[str]:
    """The words with the folder of `--dir` as it is meant from where the person stands."""
    apart = [part for word in words for part in (word.split("=", 1) if word.startswith("--dir=") else [word])]
    return [
        str(from_caller(word, dict(os.environ))) if before == "--dir" else word
        for before, word in zip(["", *apart], apart, strict=False)
    ]


def noted_settings(settings: Settings, root: Path = ROOT) -> Settings | None:
    """The settings with those of the services that run here; None where none do."""
    known = {name: value for name, value in settings.items() if name != "PNCP_CALLED_FROM"}
    for folder, _ in running_folders(settings, root):
        note = folder / SERVICES_NOTE
        if note.exists():
            noted = json.loads(note.read_text(encoding="utf-8"))
            return known | {name: value for name, value in noted.items() if value}
    return None


@contextmanager
def open_database(settings: Settings, root: Path = ROOT) -> Iterator[Settings]:
    """The settings with the DATABASE_URL that is meant, and the portal of the services that run on it.

    Raises:
        LaunchError: nothing runs here, DATABASE_URL is not set, and there is no data folder.

    """
    running = noted_settings(settings, root)
    if running is not None:
        yield running
        return
    known = {name: value for name, value in settings.items() if name != "PNCP_CALLED_FROM"}
    if settings.get("DATABASE_URL"):
        yield known
        return
    folders = [home_of(settings, root) / name / "postgres" for name in ("up", "demo", "demo-recorded")]
    made = [folder for folder in folders if (folder / "data").exists()]
    if not made:
        raise LaunchError(tr("there is no database yet: start ./pncp up or demo, or set DATABASE_URL"))
    with EmbeddedPostgres(made[0]) as server:
        yield known | {"DATABASE_URL": server.url}


def split_password(url: str) -> tuple[str, str]:
    """A database URL without its password, and the password: what everyone on the machine may read, and what not."""
    plain = plain_url(url)
    parts = urlsplit(plain)
    if parts.password is None:
        return plain, ""
    name, _, place = parts.netloc.rpartition("@")
    return plain.replace(parts.netloc, f"{name.partition(':')[0]}@{place}", 1), unquote(parts.password)


def _psql(words: Sequence[str], environment: Settings) -> tuple[list[str], Settings]:
    url, password = split_password(environment["DATABASE_URL"])
    secret = {"PGPASSWORD": password} if password else {}
    return [str(find_binaries() / "psql"), f"--dbname={url}", *words], environment | secret


def _script(name: str, words: Sequence[str], environment: Settings) -> tuple[list[str], Settings]:
    """One of scripts/, with the tools of the PostgreSQL that is installed with the packages."""
    paths = [word if word.startswith("-") else str(from_caller(word, dict(os.environ))) for word in words]
    tools = f"{find_binaries()}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return ["sh", str(ROOT / "scripts" / f"{name}.sh"), *paths], environment | {"PATH": tools}


def _call(command: Sequence[str], environment: Settings) -> int:
    """Run a program that has the terminal, and wait for its end; Ctrl-C is its own."""

    def leave_it_to_the_program(_number: int, _frame: FrameType | None) -> None:
        """A handler, because what is ignored here would be ignored by the program too."""

    signal.signal(signal.SIGINT, leave_it_to_the_program)
    try:
        code = subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        complain(tr("{program} cannot be run: {error}", program=command[0], error=error.strerror))
        return 1
    return code if code >= 0 else 128 - code
