"""The embedded PostgreSQL: as the user of the tests, as an ordinary user, and after every way to end."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from standalone import database, postgres
from standalone.cli import ROOT
from standalone.postgres import EmbeddedPostgres, find_binaries
from standalone.processes import Interruption
from standalone.settings import listen_on
from standalone.system import FolderLock, LaunchError, command_of, ending_with_parent, find_free_port

HOLD = """
import sys, time
from pathlib import Path
from standalone import postgres
if "--alone" in sys.argv:
    postgres.ending_with_parent = lambda signal_name: ()
server = postgres.EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), server.pid, flush=True)
sys.stdin.read()
server.stop()
"""


def ask(url: str, query: str) -> Any:
    async def connect_and_ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(connect_and_ask())


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own are closed."""
    made = Path(tempfile.mkdtemp(prefix="pncp-standalone-"))
    made.chmod(0o755)
    yield made / "a folder's data"
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder for all tests that leave it as good as they found it: to make one takes a second."""
    made = tmp_path_factory.mktemp("made") / "a folder's data"
    with EmbeddedPostgres(made):
        pass
    return made


@pytest.fixture
def server(made: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(made) as started:
        yield started


@pytest.fixture
def executions(server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database that holds an execution."""
    ask(server.url, "CREATE TABLE sync_executions (id int)")
    ask(server.url, "INSERT INTO sync_executions VALUES (1)")
    yield server.url
    ask(server.url, "DROP TABLE sync_executions")


def test_the_url_leads_to_a_database_of_ours(server: EmbeddedPostgres) -> None:
    assert ask(server.url, "SELECT current_database()") == "pncp"
    assert ask(server.url, "SHOW max_connections") == "100"
    assert ask(server.url, "SHOW synchronous_commit") == "on"
    assert ask(server.url, "SHOW data_checksums") == "on"
    assert ask(server.url, "SELECT datlocale FROM pg_database WHERE datname = 'pncp'") == "C.UTF-8"


def test_without_the_password_there_is_no_access(server: EmbeddedPostgres) -> None:
    assert (server.folder / "password").stat().st_mode & 0o077 == 0
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/pncp", "SELECT 1")


def test_what_was_written_outlives_a_kill_and_the_url_stays(server: EmbeddedPostgres) -> None:
    url, pid = server.url, server.pid
    ask(url, "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert server.start() == url
    assert server.pid != pid
    assert ask(url, "SELECT answer FROM kept") == 42
    server.kill()
    assert server.pid is None
    assert server.start() == url
    server.stop()
    assert server.start() == url


def test_a_start_inside_an_event_loop_works(folder: Path) -> None:
    async def start_and_stop() -> int | None:
        with EmbeddedPostgres(folder) as started:
            return started.pid

    assert asyncio.run(start_and_stop()) is not None


def test_a_second_start_on_the_same_folder_is_refused(server: EmbeddedPostgres) -> None:
    with pytest.raises(LaunchError, match=rf"in use by process {os.getpid()}"):
        EmbeddedPostgres(server.folder).start()
    with pytest.raises(LaunchError, match="running already"):
        server.start()
    assert ask(server.url, "SELECT 1") == 1


def test_a_folder_of_another_version_is_refused_and_left_alone(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(LaunchError, match=r"made by PostgreSQL 17 and this is PostgreSQL \d+\. It was left as it is"):
        EmbeddedPostgres(folder).start()
    assert [path.name for path in (folder / "data").iterdir()] == ["PG_VERSION"]


def test_an_interrupted_first_start_is_begun_anew(folder: Path) -> None:
    (folder / "data.new").mkdir(parents=True)
    (folder / "data.new" / "PG_VERSION").write_text("half made")
    with EmbeddedPostgres(folder) as started:
        assert ask(started.url, "SELECT 1") == 1


def test_a_port_that_was_taken_meanwhile_is_given_up(server: EmbeddedPostgres) -> None:
    server.stop()
    port = server.port
    taken = listen_on(port)
    assert taken is not None
    with taken:
        server.start()
        assert server.port != port
        assert ask(server.url, "SELECT 1") == 1


def test_a_port_that_is_taken_in_the_last_moment_is_given_up(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    port = server.port
    taken = listen_on(port)
    assert taken is not None
    monkeypatch.setattr(postgres, "port_is_free", lambda _: True)
    with taken:
        server.start()
        assert server.port != port
        assert ask(server.url, "SELECT 1") == 1


def test_a_lock_file_that_names_another_program_does_not_hinder(server: EmbeddedPostgres) -> None:
    server.kill()
    lock_file = server.data / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"]) as foreign:
        lines = lock_file.read_text().splitlines(keepends=True)
        lock_file.write_text("".join([f"{foreign.pid}\n", *lines[1:]]))
        server.start()
        assert foreign.poll() is None
        foreign.kill()


def test_an_error_of_the_server_shows_the_end_of_its_log(server: EmbeddedPostgres) -> None:
    server.stop()
    configuration = server.data / "postgresql.conf"
    sound = configuration.read_text()
    configuration.write_text(f"{sound}no_such_setting = 1\n")
    with pytest.raises(LaunchError, match="no_such_setting"):
        server.start()
    configuration.write_text(sound)


def test_what_the_wait_raises_ends_the_start(folder: Path) -> None:
    def check() -> None:
        raise Interruption

    server = EmbeddedPostgres(folder, check=check)
    with pytest.raises(Interruption):
        server.start()
    assert server.pid is None
    lock = FolderLock(folder)
    lock.acquire()
    lock.release()


def hold(folder: Path, *words: str) -> tuple["subprocess.Popen[str]", str, int]:
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    url, pid = parent.stdout.readline().split()
    return parent, url, int(pid)


@pytest.mark.skipif(not ending_with_parent("INT"), reason="no setpriv: a killed parent's server ends at the next start")
def test_the_server_ends_with_a_killed_parent(made: Path) -> None:
    parent, _, pid = hold(made)
    with parent:
        parent.kill()
    wait_for(lambda: command_of(pid) is None)
    assert "database system is shut down" in (made / "server.log").read_text()


def test_the_next_start_stops_a_server_whose_parent_was_killed(made: Path) -> None:
    parent, url, pid = hold(made, "--alone")
    with parent:
        parent.kill()
    assert command_of(pid) is not None
    with EmbeddedPostgres(made) as started:
        assert command_of(pid) is None
        assert started.url == url
        assert ask(url, "SELECT 1") == 1


def a_python_for(user: list[str]) -> tuple[str, str] | None:
    """A Python that this user may run, and the packages for it."""
    packages = str(find_binaries().parent.parent.parent)
    for python in (sys.executable, "/usr/bin/python3"):
        tried = subprocess.run(
            [*user, python, "-c", "import asyncpg"],
            env={"PYTHONPATH": packages, "PATH": os.environ["PATH"]},
            cwd="/",
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0:
            return python, packages
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("uid", [65534, 54321], ids=["with_a_name", "without_a_name"])
def test_an_ordinary_user_can_start_it(folder: Path, uid: int) -> None:
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    found = a_python_for(user)
    if found is None:
        pytest.skip("no Python here that another user may run")
    python, packages = found
    code = folder.parent / "code"
    shutil.copytree(ROOT / "standalone", code / "standalone")
    os.chown(folder.parent, uid, uid)
    done = subprocess.run(
        [*user, python, "-c", HOLD, str(folder)],
        env={"PYTHONPATH": packages, "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        cwd=code,
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "data").stat().st_uid == uid


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root on Linux can switch to another user"
)
def test_root_switches_to_another_user_where_user_namespaces_are_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = folder.parent / "closed"
    package = find_binaries().parent.parent
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, closed / name, symlinks=True)
    closed.chmod(0o700)
    (folder.parent / "unshare").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{folder.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(postgres, "find_binaries", lambda: closed / package.name / "pginstall" / "bin")
    with EmbeddedPostgres(folder) as started:
        assert ask(started.url, "SELECT 1") == 1
        assert Path(f"/proc/{started.pid}").stat().st_uid == 65534
    monkeypatch.undo()
    # And back again, as after a move to a machine with open ones.
    with EmbeddedPostgres(folder) as started:
        assert ask(started.url, "SELECT 1") == 1
        assert (folder / "data").stat().st_uid == 0


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root on Linux can switch to another user"
)
def test_a_folder_that_no_user_can_enter_is_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.chmod(0o700)
    (folder.parent / "unshare").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{folder.parent}:{os.environ['PATH']}")
    with pytest.raises(LaunchError, match="Set PNCP_HOME"):
        EmbeddedPostgres(folder).start()


def test_a_demonstration_marks_its_database(executions: str) -> None:
    assert database.look_into(executions) == database.Contents(has_executions=True, is_marked=False)
    database.mark(executions)
    assert database.look_into(executions) == database.Contents(has_executions=True, is_marked=True)


def test_an_empty_database_holds_nothing(server: EmbeddedPostgres) -> None:
    assert database.look_into(server.url) == database.Contents(has_executions=False, is_marked=False)


def launch(command: str, url: str, home: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "standalone", command],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "PNCP_HOME": str(home), "BACKEND_PORT": str(find_free_port())},
        capture_output=True,
        text=True,
        check=False,
    )


def test_demo_refuses_real_data_and_up_refuses_a_demonstrations(executions: str, made: Path, tmp_path: Path) -> None:
    refused = launch("demo", executions, tmp_path)
    assert refused.returncode == 1
    assert "executions that no demonstration made" in refused.stderr
    database.mark(executions)
    refused = launch("up", executions, tmp_path)
    assert refused.returncode == 1
    assert "holds demonstration data" in refused.stderr
    assert (made / "password").read_text() not in refused.stdout + refused.stderr
    assert "postgres:***@127.0.0.1" in refused.stdout


def test_a_database_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    done = launch("up", "postgresql://ana:s3cret@127.0.0.1:1/pncp", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("pncp: no connection to the database postgresql://ana:***@127.0.0.1:1/pncp: ")
    assert done.stderr.count("\n") == 1
