"""Child processes and signals: the launcher's children end with it, in order, whatever ends it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol, TypeVar, runtime_checkable

from standalone.console import say, step
from standalone.language import tr
from standalone.system import LaunchError, command_of, ending_with_parent, last_lines, started_at

STOP_SECONDS = 30
SETTLED_SECONDS = 60.0
"""A service that has lived so long starts anew at once when it ends; others wait, twice as long each time."""
LONGEST_WAIT = 60.0
CRASH_LOOP = 4
"""After so many ends in a row, and each time as many more, the end of a service's log is shown."""
AT_ITS_START = 10.0
"""A service that ends by itself so soon has been started wrongly, and would again."""
POLL_SECONDS = 0.05
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP asked us to end; as with KeyboardInterrupt, nothing but the end should catch it."""


class Part(Protocol):
    """Something that runs until it is stopped: a child, or the embedded PostgreSQL."""

    name: str
    log: Path

    @property
    def pid(self) -> int | None:
        """Its process while it runs."""

    def stop(self) -> None:
        """End it in good order and wait for that."""

    def abandon(self) -> None:
        """End it at once, without waiting; called from a signal handler."""


@runtime_checkable
class Service(Part, Protocol):
    """A part that is started again when it ends by itself."""

    is_service: bool
    deaths: int
    opened_at: float

    @property
    def returncode(self) -> int:
        """How it ended: an exit code, or a signal's number below zero."""

    def open_again(self) -> None:
        """Start it anew where it was; a LaunchError if that fails."""


P = TypeVar("P", bound=Part)


class Child:
    """A program started by us, in a session of its own so that Ctrl-C reaches us alone."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, keep: Sequence[int] = ()
    ) -> None:
        """Start it; its output is appended to the log. It inherits the file descriptors to keep."""
        self.name = name
        self.command = list(command)
        self.log = log
        self.is_service = False
        self.deaths = 0
        self._environment = dict(environment)
        self._keep = tuple(keep)
        log.parent.mkdir(parents=True, exist_ok=True)
        self.open()

    def open(self) -> None:
        """Start the program, for the first time or again."""
        self.opened_at = time.monotonic()
        with self.log.open("ab") as output:
            moment = datetime.now().astimezone().isoformat(timespec="seconds")
            output.write(f"--- {moment} {self.name} starts\n".encode())
            output.flush()
            self._log_start = output.tell()
            self.process = subprocess.Popen(
                [*ending_with_parent("TERM"), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                pass_fds=self._keep,
            )

    def open_again(self) -> None:
        """Start the program again, and end what the one before may have left in its group."""
        self.abandon()
        self.open()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process.poll() is None else None

    @property
    def returncode(self) -> int:
        """Its exit code, once it has ended."""
        return int(self.process.wait())

    def said(self) -> str:
        """What it has written since its start."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def stop(self) -> None:
        """SIGTERM, up to 30 seconds of patience, then SIGKILL, also for what it left behind in its group."""
        if self.pid is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                what = tr("{name} did not end within {seconds} s: killed", name=self.name, seconds=STOP_SECONDS)
                say(f"{what} ", end="")
        self.abandon()
        self.process.wait()

    def abandon(self) -> None:
        """SIGKILL to the whole group."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # All of the group have ended; macOS says "not permitted" of a group of zombies.
            return


class Foreground:
    """A program that has the terminal, like pytest."""

    log = Path(os.devnull)

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. On a terminal it stays in our process group: a debugger reads from there, and Ctrl-C reaches it."""
        self.name = name
        self.on_terminal = sys.stdin.isatty()
        self.process = subprocess.Popen(
            [*ending_with_parent("TERM"), *command], env=dict(environment), start_new_session=not self.on_terminal
        )

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process.poll() is None else None

    def stop(self) -> None:
        """Nothing is left to do: who runs it waits for its end."""

    def abandon(self) -> None:
        """SIGKILL."""
        self.process.kill()


class Supervisor:
    """Starts children, watches them, and stops all of them, the last started first.

    Signals only leave a note, which `check` turns into an Interruption where it can be handled; so no child is lost
    between its start and its entry in the list. A second Ctrl-C kills everything at once.
    """

    def __init__(self, folder: Path) -> None:
        self.parts: list[Part] = []
        self.folder = folder
        # What else is to be closed behind the parts.
        self.at_end = ExitStack()
        self._pid_file = folder / "children.json"
        self._asked = 0
        self._starting = False
        self._killed = False

    def listen(self) -> None:
        """Take the signals that end us; to be called before anything is started."""
        for number in ENDING_SIGNALS:
            signal.signal(number, self._note)
        # They were held back while one program became the other (standalone.environment).
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            self._killed = True
            # A child between its birth and its entry in the list is killed by `start`.
            if not self._starting:
                self._kill_all()
        self._asked = number

    def _kill_all(self) -> None:
        for part in self.parts:
            part.abandon()
        self._pid_file.unlink(missing_ok=True)
        os._exit(130)

    def check(self) -> None:
        """Raise an Interruption when a signal asked us to end."""
        if self._asked:
            raise Interruption

    def check_alive(self, parts: Sequence[Part] | None = None) -> None:
        """Raise a LaunchError with the end of its log when one of the parts (by default all) has ended by itself."""
        self.check()
        for part in self.parts if parts is None else parts:
            if part.pid is None:
                said = last_lines(part.log, 20)
                raise LaunchError(f"{tr('{name} has ended; the end of {log}:', name=part.name, log=part.log)}\n{said}")

    def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Let a moment pass between two looks at something."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            time.sleep(POLL_SECONDS)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for the condition while all parts live; False when the time is over."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.check_alive()
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def watch(self) -> NoReturn:
        """Wait for a signal, and start services again that have ended; always ends by raising.

        What is no service ends everything with it, as does a service that cannot even start.
        """
        again_at: dict[str, float] = {}
        while True:
            self.check()
            for part in self.parts:
                if part.pid is not None:
                    continue
                if not isinstance(part, Service) or not part.is_service or _cannot_start(part):
                    self.check_alive([part])
                elif part.name not in again_at:
                    again_at[part.name] = self._report_death(part, _ending(part.returncode))
                elif time.monotonic() >= again_at[part.name]:
                    del again_at[part.name]
                    self._open_again(part)
            time.sleep(POLL_SECONDS)

    def _report_death(self, service: Service, how: str) -> float:
        """Say that it has ended, and when it is started again; what it logged, where that happens again and again."""
        wait = wait_before_restart(service, time.monotonic())
        values = {"name": service.name, "how": how, "seconds": f"{wait:.0f}", "log": service.log}
        say("! " + tr("{name} has ended ({how}); it is started again in {seconds} s; see {log}", **values))
        if service.deaths % CRASH_LOOP == 0:
            times = tr("{name} has ended {n} times in a row; the end of {log}:", **values, n=service.deaths)
            say(f"! {times}\n{last_lines(service.log, 10)}")
        return time.monotonic() + wait

    def _open_again(self, service: Service) -> None:
        self._starting = True
        try:
            service.open_again()
        except LaunchError as error:
            say(f"! {service.name}: {error}")  # it has no process, so that `watch` reports it and tries again
        finally:
            self._starting = False
        if self._killed:
            self._kill_all()
        self._write_pid_file()

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], keep: Sequence[int] = ()
    ) -> Child:
        """Start a service, a child that runs until it is stopped; it inherits the file descriptors to keep."""
        child = self._add(name, command, environment, keep)
        child.is_service = True
        self._write_pid_file()
        return child

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str], keep: Sequence[int] = ()) -> None:
        """Run a child to its end; a LaunchError with the end of its log when it fails."""
        child = self.complete(name, command, environment, keep)
        if child.process.returncode != 0:
            said = last_lines(child.log, 20)
            raise LaunchError(f"{tr('{name} failed; the end of {log}:', name=name, log=child.log)}\n{said}")

    def complete(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], keep: Sequence[int] = ()
    ) -> Child:
        """Run a child to its end, whatever that is; the others must live meanwhile."""
        others = list(self.parts)
        child = self._add(name, command, environment, keep)
        try:
            while child.pid is not None:
                self.check_alive(others)
                time.sleep(POLL_SECONDS)
        finally:
            child.stop()
            self.parts.remove(child)
        return child

    def run_in_foreground(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run a program that has the terminal; asked to stop, it is asked too, once, and waited for. Its exit code."""
        program = self._enter(lambda: Foreground(name, command, environment))
        deadline = float("inf")
        while program.pid is not None:
            if self._asked and deadline == float("inf"):
                deadline = time.monotonic() + STOP_SECONDS
                if self._asked != signal.SIGINT or not program.on_terminal:
                    program.process.send_signal(signal.SIGINT)
            if time.monotonic() > deadline:
                program.abandon()
            time.sleep(POLL_SECONDS)
        self.parts.remove(program)
        code = program.process.returncode
        return code if code >= 0 else 128 - code

    def _add(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], keep: Sequence[int] = ()
    ) -> Child:
        return self._enter(lambda: Child(name, command, environment, self.folder / "logs" / f"{name}.log", keep))

    def _enter(self, start: Callable[[], P]) -> P:
        self.check()
        self._starting = True
        try:
            part = start()
            self.parts.append(part)
        finally:
            self._starting = False
        if self._killed:
            self._kill_all()
        return part

    def stop_all(self) -> None:
        """Stop every part, the last started first, telling each."""
        while self.parts:
            part = self.parts[-1]
            if part.pid is None:
                part.stop()
            else:
                with step(tr("stopping {name}", name=part.name)):
                    part.stop()
            self.parts.pop()
        self.at_end.close()
        self._pid_file.unlink(missing_ok=True)

    def stop_stale(self) -> None:
        """End children of a launcher that was killed; where the system ends them with it there are none."""
        if not self._pid_file.exists():
            return
        for entry in json.loads(self._pid_file.read_text(encoding="utf-8")):
            _stop_stale(int(entry["pid"]), str(entry["started"]), list(entry["command"]))
        self._pid_file.unlink()

    def _write_pid_file(self) -> None:
        entries = [
            {
                "name": part.name,
                "pid": part.process.pid,
                "started": started_at(part.process.pid),
                "command": part.command,
            }
            for part in self.parts
            if isinstance(part, Child)
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self._pid_file.with_suffix(".new")
        fresh.write_text(json.dumps(entries), encoding="utf-8")
        fresh.replace(self._pid_file)


def wait_before_restart(service: Service, now: float) -> float:
    """Seconds to wait before a service that has ended is started again: 1, then twice as long each time, to 60."""
    service.deaths = 1 if now - service.opened_at >= SETTLED_SECONDS else service.deaths + 1
    return min(2.0 ** (service.deaths - 1), LONGEST_WAIT)


def _cannot_start(service: Service) -> bool:
    """Whether it has refused its first start, for a fault of the settings for instance; a signal is no refusal."""
    lived = time.monotonic() - service.opened_at
    return service.deaths == 0 and service.returncode > 0 and lived < AT_ITS_START


def _ending(code: int) -> str:
    return tr("exit code {n}", n=code) if code >= 0 else tr("signal {n}", n=-code)


def _stop_stale(pid: int, started: str, command: list[str]) -> None:
    def is_ours() -> bool:
        # Numbers are used again: only the same start and the same words make it our child.
        return started_at(pid) == started and (command_of(pid) or "").endswith(" ".join(command))

    if not is_ours():
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while is_ours():
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            deadline += STOP_SECONDS
        time.sleep(POLL_SECONDS)
