"""The cost of a process, by the kernel's accounts: processor time and peak memory."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Run:
    """One run of one contender: seconds of the clock, of its processor and of PostgreSQL's, and its peak memory."""

    seconds: float
    records: int
    cpu_seconds: float = 0.0
    database_cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds


def cpu_seconds_of(pid: int) -> float:
    """Processor time that a process has used, in user and system mode."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib_of(pid: int) -> float:
    """The most memory that a process has held at once."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


class DatabaseCpu:
    """Processor time of PostgreSQL's processes for one database, where the server runs on this machine."""

    def __init__(self, database: str) -> None:
        self._name = f" {database} ".encode()
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        for pid, used in self._look().items():
            self._first[pid] = used
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._last |= self._look()

    @property
    def seconds(self) -> float:
        """What has been used between the beginning and the end, to within a quarter of a second per connection."""
        return sum(used - self._first.get(pid, 0.0) for pid, used in self._last.items())

    def _watch(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            self._last |= self._look()

    def _look(self) -> dict[int, float]:
        found = {}
        for entry in PROC.iterdir():
            if not entry.name.isdigit():
                continue
            try:
                title = (entry / "cmdline").read_bytes()
                if title.startswith(b"postgres: ") and self._name in title:
                    found[int(entry.name)] = cpu_seconds_of(int(entry.name))
            except OSError:  # it has ended meanwhile
                continue
        return found
