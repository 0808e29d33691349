"""Questions to the operating system: processes, locks of folders, free ports."""

import fcntl
import functools
import os
import random
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

from standalone.language import tr

LOOPBACK = "127.0.0.1"


class LaunchError(Exception):
    """A start that cannot go on; the message is what the person at the terminal reads."""


class FolderLock:
    """A lock for one process at a time on a data folder; the system releases it when the process ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, or raise a LaunchError that names the process which holds it."""
        if self._file is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            what = {"folder": self.path.parent, "pid": holder}
            raise LaunchError(tr("{folder} is in use by process {pid}: stop that one first", **what)) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Release the lock; the file stays, since removing it would let two starts lock two different files."""
        if self._file is not None:
            self._file.close()
            self._file = None


def command_of(pid: int) -> str | None:
    """The command line of a running process, its words parted by blanks; None when there is no such process."""
    if sys.platform == "linux":
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # Without words it may have ended and wait to be reaped; or it is just becoming another program.
        if not words and _stat(pid)[:1] in ([], ["Z"], ["X"]):
            return None
        return words.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return _ps(pid, "command=")


def started_at(pid: int) -> str | None:
    """When a process was started, in words of the system that only the same process has; None when there is none."""
    if sys.platform == "linux":
        # Field 22 of proc(5), in clock ticks since the system's start.
        return next(iter(_stat(pid)[19:20]), None)
    return _ps(pid, "lstart=")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on; none when there is no such process."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The second, in brackets, is the program's name and may hold blanks and brackets itself.
    return words.rpartition(")")[2].split()


def _ps(pid: int, column: str) -> str | None:
    command = ["ps", "-ww", "-o", column, "-o", "stat=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    words, _, state = answer.stdout.strip().rpartition(" ")
    return words.strip() if state and not state.startswith("Z") else None


@functools.cache
def ending_with_parent(signal_name: str) -> tuple[str, ...]:
    """Words to put before a command so that it gets this signal when its parent is killed; none where that is unknown.

    The signal comes when the *thread* that started the command ends, so start children from the main thread.
    """
    words = ("setpriv", "--pdeathsig", signal_name)
    if not shutil.which("setpriv"):
        return ()
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if tried.returncode == 0 else ()


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as asked:
        # On macOS a port that is bound on all addresses can still be bound on one: try to connect too.
        if asked.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def find_free_port() -> int:
    """A free port below the range from which systems take the ports of outgoing connections, so that it stays free."""
    for _ in range(200):
        port = random.randint(15_000, 32_000)  # noqa: S311
        if port_is_free(port):
            return port
    raise LaunchError("no free port found on 127.0.0.1")


def last_lines(path: Path, count: int) -> str:
    """The end of a log, for an error message."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64 * 1024))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-count:])
