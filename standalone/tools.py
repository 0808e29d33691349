"""The commands that work on the database itself: verify, rejected, itens, lists, psql, backup and others.

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
from standalone.postgres import EmbeddedPostgres, find_binaries
from standalone.processes import ENDING_SIGNALS
from standalone.settings import Settings, from_caller, home_of, plain_url, read_settings
from standalone.system import LaunchError, port_is_free

SERVICES_NOTE = "services.json"
"""What the services that run from a data folder were started with, as far as these commands need it."""
PORT_NOTE = "backend-port"
NOTED = (
    "DATABASE_URL",
    "PNCP_BASE_URL",
    "PNCP_REQUESTS_PER_SECOND",
    "PNCP_ITENS_CONCURRENCY",
    "PNCP_RESULTADOS",
    "PNCP_ARQUIVOS",
    "PNCP_TERMOS",
    "PNCP_HISTORICO",
)


def write_notes(folder: Path, port: int, environment: Settings) -> list[Path]:
    """Note in a data folder where its services are; readable by their owner alone, for one of them is a secret."""
    notes = {PORT_NOTE: str(port), SERVICES_NOTE: json.dumps({name: environment.get(name) for name in NOTED})}
    for name, content in notes.items():
        (folder / name).unlink(missing_ok=True)
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
    return [folder / name for name in notes]


def running_folders(settings: Settings, root: Path = ROOT) -> list[tuple[Path, int]]:
    """The data folders whose services run now, with the backend's port; the one that was started last comes first."""
    notes = sorted(home_of(settings, root).glob(f"*/{PORT_NOTE}"), key=lambda note: note.stat().st_mtime, reverse=True)
    running = []
    for note in notes:
        port = note.read_text(encoding="ascii").strip()
        if port.isdigit() and not port_is_free(int(port)):  # services that were killed left their note behind
            running.append((note.parent, int(port)))
    return running


def run_tool(name: str, words: Sequence[str]) -> int:
    """Run one of the commands with its arguments; its exit code.

    Raises:
        LaunchError: there is no database to work on.

    """
    # They were held back while one program became the other (standalone.environment).
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
    settings = read_settings()
    if name == "hash-password":
        return _call([sys.executable, "-m", "backend", "hash-password", *words], settings)
    if any(word in ("-h", "--help") for word in words) and name in ("verify", "rejected", "itens", "lists"):
        return _call([sys.executable, "-m", "ingestor", name, "--help"], settings)
    with open_database(settings) as known:
        match name:
            case "psql":
                return _call(*_psql(words, known))
            case "backup" | "restore":
                return _call(*_script(name, words, known))
            case _:
                return _call([sys.executable, "-m", "ingestor", name, *words], known)


@contextmanager
def open_database(settings: Settings, root: Path = ROOT) -> Iterator[Settings]:
    """The settings with the DATABASE_URL that is meant, and the portal of the services that run on it.

    Raises:
        LaunchError: nothing runs here, DATABASE_URL is not set, and there is no data folder.

    """
    known = {name: value for name, value in settings.items() if name != "PNCP_CALLED_FROM"}
    for folder, _ in running_folders(settings, root):
        note = folder / SERVICES_NOTE
        if note.exists():
            noted = json.loads(note.read_text(encoding="utf-8"))
            yield known | {name: value for name, value in noted.items() if value}
            return
    if settings.get("DATABASE_URL"):
        yield known
        return
    folders = [home_of(settings, root) / name / "postgres" for name in ("up", "demo", "demo-recorded")]
    made = [folder for folder in folders if (folder / "data").exists()]
    if not made:
        raise LaunchError("there is no database yet: start ./pncp up or demo, or set DATABASE_URL")
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
        complain(f"{command[0]} cannot be run: {error.strerror}")
        return 1
    return code if code >= 0 else 128 - code
