"""Children and signals: whatever ends the launcher, nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standalone.cli import ROOT
from standalone.processes import Child, Supervisor, wait_before_restart
from standalone.settings import listen_on, open_backend_socket, who_listens
from standalone.system import LaunchError, command_of, ending_with_parent, find_free_port, port_is_free, started_at

# Starts three children that note in a file when they are told to end; words: folder, then the children's names.
LAUNCHER = """
import os, sys
from pathlib import Path
from standalone import processes
from standalone.launch import _run
CHILD = '''
import signal, sys, time
from pathlib import Path
name, folder = sys.argv[1], Path(sys.argv[2])
def end(number, frame):
    with (folder / "ended").open("a") as file:
        file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if name == "deaf" else end)
(folder / name).touch()
if name == "dying":
    sys.exit("these were my last words")
while True:
    time.sleep(60)
'''
folder = Path(sys.argv[1])
if "--alone" in sys.argv:
    processes.ending_with_parent = lambda signal_name: ()
def work(supervisor):
    for name in sys.argv[2:]:
        if not name.startswith("--"):
            supervisor.start(name, [sys.executable, "-c", CHILD, name, str(folder)], os.environ)
            supervisor.wait_until((folder / name).exists, 20)
    print("all up", flush=True)
    return supervisor.watch()
sys.exit(_run(folder, work, interrupted=0))
"""


class Launcher:
    """A launcher in a process of its own, and the means to see what it left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: list[subprocess.Popen[str]] = []

    def start(self, *names: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(self.folder), *names],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._opened.append(process)
        return process

    def start_all(self, *names: str) -> "subprocess.Popen[str]":
        process = self.start(*names)
        assert process.stdout is not None
        assert process.stdout.readline() == "all up\n"
        return process

    def children(self) -> list[int]:
        """The children that run now, found by the folder's name on their command line."""
        found = subprocess.run(["ps", "-ax", "-ww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        lines = [line.split(maxsplit=1) for line in found.stdout.splitlines()]
        return [
            int(words[0]) for words in lines if words[1].endswith(f" {self.folder}") and "name, folder = " in words[1]
        ]

    def close(self) -> None:
        for process in self._opened:
            process.kill()
            process.communicate()
        for pid in self.children():
            os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_the_last_started_first(launcher: Launcher, number: int) -> None:
    process = launcher.start_all("database", "backend", "ingestor")
    assert len(launcher.children()) == 3
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert (launcher.folder / "ended").read_text().split() == ["ingestor", "backend", "database"]
    assert said.index("stopping ingestor") < said.index("stopping backend") < said.index("stopping database")
    assert launcher.children() == []


def test_a_child_that_dies_takes_the_others_with_it_and_its_last_words_are_shown(launcher: Launcher) -> None:
    process = launcher.start("database", "dying")
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "these were my last words" in said
    assert (launcher.folder / "ended").read_text().split() == ["database"]
    assert launcher.children() == []


def test_a_service_that_is_killed_is_started_again_and_the_others_live_on(launcher: Launcher) -> None:
    process = launcher.start_all("database", "ingestor")
    before = launcher.children()
    os.kill(before[-1], signal.SIGKILL)
    wait_for(lambda: len(launcher.children()) == 2 and launcher.children() != before)
    assert before[0] in launcher.children()
    process.terminate()
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "ingestor has ended (signal 9); it is started again in 1 s" in said
    assert launcher.children() == []


def test_a_service_that_keeps_ending_is_waited_for_longer_each_time_and_forgiven_after_a_minute(tmp_path: Path) -> None:
    child = Child("service", [sys.executable, "-c", ""], os.environ, tmp_path / "log")
    child.process.wait()
    waits = [wait_before_restart(child, child.opened_at + 5) for _ in range(8)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert wait_before_restart(child, child.opened_at + 60) == 1


def test_a_service_that_ends_again_and_again_shows_the_end_of_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = Child("service", [sys.executable, "-c", "print('my last words')"], os.environ, tmp_path / "log")
    child.process.wait()
    supervisor = Supervisor(tmp_path)
    for _ in range(3):
        supervisor._report_death(child, "exit code 0")
    assert "my last words" not in capsys.readouterr().out
    supervisor._report_death(child, "exit code 0")
    said = capsys.readouterr().out
    assert "service has ended (exit code 0); it is started again in 8 s" in said
    assert "service has ended 4 times in a row" in said
    assert "my last words" in said


@pytest.mark.parametrize("moment", ["first", "second"])
def test_a_signal_while_it_starts_leaves_nothing(launcher: Launcher, moment: str) -> None:
    process = launcher.start("first", "second", "third", "fourth")
    wait_for((launcher.folder / moment).exists)
    process.terminate()
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert launcher.children() == []


@pytest.mark.skipif(
    not ending_with_parent("TERM"), reason="no setpriv: children of a killed launcher end at its next start"
)
def test_a_killed_launcher_leaves_nothing(launcher: Launcher) -> None:
    process = launcher.start_all("database", "backend")
    process.kill()
    process.wait()
    wait_for(lambda: launcher.children() == [])


def test_the_next_start_ends_the_children_of_a_killed_launcher(launcher: Launcher) -> None:
    process = launcher.start_all("database", "backend", "--alone")
    process.kill()
    process.wait()
    old = launcher.children()
    assert len(old) == 2
    process = launcher.start_all("ingestor")
    assert not set(old) & set(launcher.children())
    process.terminate()
    process.communicate(timeout=20)
    assert launcher.children() == []


def test_a_process_that_only_has_a_childs_number_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as foreign:
        entries = [
            {"pid": foreign.pid, "started": "long ago", "command": ["sleep", "60"]},
            {"pid": foreign.pid, "started": started_at(foreign.pid), "command": ["python", "-m", "ingestor"]},
        ]
        (tmp_path / "children.json").write_text(json.dumps(entries))
        Supervisor(tmp_path).stop_stale()
        assert foreign.poll() is None
        foreign.kill()
    assert not (tmp_path / "children.json").exists()


def test_a_second_ctrl_c_ends_everything_at_once(launcher: Launcher) -> None:
    process = launcher.start_all("database", "deaf")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    said = ""
    while "stopping deaf" not in said:
        said += process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    wait_for(lambda: launcher.children() == [])


def test_a_closed_terminal_does_not_keep_it_from_stopping(launcher: Launcher) -> None:
    process = launcher.start_all("database")
    assert process.stdout is not None
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 0
    assert launcher.children() == []
    process.stdout = None


def test_a_second_launcher_on_the_same_folder_is_refused(launcher: Launcher) -> None:
    first = launcher.start_all("database")
    second = launcher.start("backend")
    said, _ = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"in use by process {first.pid}" in said
    assert len(launcher.children()) == 1


def test_a_program_run_to_its_end_is_told_by_its_last_lines_if_it_fails(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.run("good", [sys.executable, "-c", "print('fine')"], os.environ)
    assert "fine" in (tmp_path / "logs" / "good.log").read_text()
    with pytest.raises(LaunchError, match=r"(?s)bad failed; the end of .*no such table"):
        supervisor.run("bad", [sys.executable, "-c", "raise SystemExit('no such table')"], os.environ)
    assert supervisor.parts == []


FOREGROUND = """
import os, sys
from pathlib import Path
from standalone.processes import Child, Supervisor, wait_before_restart
PROGRAM = '''
import sys, time
print("running", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(7)
'''
supervisor = Supervisor(Path(sys.argv[1]))
supervisor.listen()
sys.exit(supervisor.run_in_foreground("program", [sys.executable, "-c", PROGRAM], os.environ))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_has_the_terminal_is_interrupted_and_its_exit_code_is_ours(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, str(tmp_path)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        process.send_signal(number)
        assert process.wait(20) == 7


def test_a_process_that_has_ended_has_no_command() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        wait_for(lambda: command_of(process.pid) == "sleep 60")
        assert started_at(process.pid) is not None
        process.kill()
        # Dead and not yet reaped counts as ended too.
        wait_for(lambda: command_of(process.pid) is None)
    assert started_at(process.pid) is None


def test_a_busy_backend_port_is_named_with_its_holder() -> None:
    with open_backend_socket({}) as held:
        port = held.getsockname()[1]
        assert not port_is_free(port)
        with pytest.raises(LaunchError, match=rf"port {port} of 127.0.0.1 \(BACKEND_PORT\) is busy"):
            open_backend_socket({"BACKEND_PORT": str(port)})
        assert str(os.getpid()) in (who_listens(port) or str(os.getpid()))
        with open_backend_socket({}) as next_one:
            assert next_one.getsockname()[1] > port


def test_a_free_backend_port_is_taken() -> None:
    port = find_free_port()
    with open_backend_socket({"BACKEND_PORT": str(port)}) as taken:
        assert taken.getsockname() == ("127.0.0.1", port)
        assert listen_on(port) is None


def test_a_backend_port_that_is_no_port_is_refused() -> None:
    with pytest.raises(LaunchError, match="expected a number from 1 to 65535"):
        open_backend_socket({"BACKEND_PORT": "eighty"})
