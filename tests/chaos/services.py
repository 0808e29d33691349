"""What chaos lets fall: programs, a PostgreSQL and a RabbitMQ of its own, on free ports of 127.0.0.1.

All are started by one thread that lives as long as we do: whatever ends us, the system ends them too (prctl's death
signal is bound to the starting thread). Nothing here touches a process that it has not started itself.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from standalone.postgres import EmbeddedPostgres
from standalone.system import ending_with_parent, find_free_port
from tests.support import ROOT, SETTINGS_OF_OURS

AMQP_GREETING = b"AMQP\x00\x00\x09\x01"


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment without what a person has set for the product, and with these settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in SETTINGS_OF_OURS and not name.startswith("RABBITMQ_")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "LOG_FORMAT": "text", **settings}


class Service:
    """Something that can be started, killed, stopped, frozen and started again."""

    name: str

    @property
    def pid(self) -> int | None:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and return when it answers."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it as a crash would."""
        raise NotImplementedError

    def terminate(self) -> None:
        """Ask it to end in good order, and do not wait."""
        raise NotImplementedError

    def close(self) -> None:
        """End it for good, in whatever state it is."""
        self.kill()

    def signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)


class Program(Service):
    """A program in a process and a session of its own; its output goes to one log, whatever happens."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        cwd: Path = ROOT,
        is_ready: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = folder / f"{name}.log"
        self.last_exit: int | None = None
        self.ended: dict[int, float] = {}  # when each of its processes was found to have ended, since 1970
        self._begin = 0
        self._cwd = cwd
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        self.look()
        return None if self._process is None else self._process.pid

    def look(self) -> None:
        """Note the end of its process, if it has ended."""
        code = None if self._process is None else self._process.poll()
        if self._process is not None and code is not None:
            self.last_exit = code
            self.ended[self._process.pid] = time.time()
            self._process = None

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def said(self) -> str:
        """What it has written since it was started last."""
        with self.log.open("rb") as file:
            file.seek(self._begin)
            return file.read().decode(errors="replace")

    def start(self) -> None:
        self.launch()
        self.wait_until(lambda: self._is_ready(self.said))

    def launch(self) -> None:
        """Start it without waiting for anything."""
        with self.log.open("ab") as sink:
            self._begin = sink.tell()
            self._process = subprocess.Popen(
                [*ending_with_parent("KILL"), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self.environment,
                start_new_session=True,
            )

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait while it lives: it may be killed before it is ready, which this does not judge."""
        deadline = time.monotonic() + seconds
        while self._process is not None and self._process.poll() is None and not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} is not ready after {seconds} s: {self.text[-2000:]}")
            time.sleep(0.02)

    def run(self) -> None:
        """Start it and wait for its end, which must be a good one."""
        self.launch()
        self.wait_until(lambda: False)
        if self.pid is None and self.last_exit != 0:
            raise RuntimeError(f"{self.name} failed: {self.text[-2000:]}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)


class Database(Service):
    """A PostgreSQL of our own, killed, frozen and started again on the same folder and port."""

    name = "database"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o711)
        self.server = EmbeddedPostgres(folder / "postgres")

    @property
    def pid(self) -> int | None:
        return self.server.pid

    @property
    def url(self) -> str:
        return self.server.url

    def start(self) -> None:
        port = self.server.port
        self.server.start()
        if port and port != self.server.port:
            raise RuntimeError("the database came back on another port")

    def kill(self) -> None:
        for pid in _family(self.pid):  # sessions too: else they would finish what they are doing
            _send(pid, signal.SIGKILL)
        self.server.kill()

    def terminate(self) -> None:
        """As an operator restarts it: open transactions are rolled back. Sessions that are frozen do not hold it up."""
        self.server.stop()

    def signal(self, number: signal.Signals) -> None:
        for pid in _family(self.pid):
            _send(pid, number)

    def close(self) -> None:
        self.signal(signal.SIGCONT)
        self.server.stop()


def _family(pid: int | None) -> list[int]:
    """A process and its children."""
    if pid is None:
        return []
    return [pid, *(int(each.name) for each in Path("/proc").glob("[0-9]*") if _parent_of(int(each.name)) == pid)]


def _parent_of(pid: int) -> int:
    try:
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(words.rpartition(")")[2].split()[1])


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def find_rabbitmq() -> Path | None:
    """The server's own script: Debian's wrapper in the path would become another user and leave files behind."""
    debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if debian.exists():
        return debian
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


class Broker(Program):
    """A RabbitMQ node of our own, with a port mapper of its own: the machine's node never hears of it."""

    def __init__(self, folder: Path, script: Path) -> None:
        folder.mkdir()
        self.port = find_free_port()
        self.folder = folder
        mapper = find_free_port()
        self._mapper = Program(
            "epmd", ["epmd", "-port", str(mapper), "-address", "127.0.0.1"], folder, clean_environment()
        )
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\nlog.console = true\nlog.console.level = warning\n"
        )
        (folder / "rabbitmq-env.conf").write_text("")
        (folder / "enabled_plugins").write_text("[].\n")
        environment = clean_environment(
            HOME=str(folder),
            ERL_EPMD_PORT=str(mapper),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RUNNING_UNDER_SYSTEMD="true",  # the script becomes the node instead of waiting for it
            RABBITMQ_NODENAME=f"chaos-{self.port}@localhost",
            RABBITMQ_DIST_PORT=str(find_free_port()),
            RABBITMQ_CONFIG_FILE=str(folder / "rabbitmq"),
            RABBITMQ_CONF_ENV_FILE=str(folder / "rabbitmq-env.conf"),
            RABBITMQ_MNESIA_BASE=str(folder / "mnesia"),
            RABBITMQ_LOG_BASE=str(folder / "log"),
            RABBITMQ_PID_FILE=str(folder / "pid"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "enabled_plugins"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        )
        super().__init__("broker", [str(script)], folder, environment, cwd=folder, is_ready=lambda _: self.greets())
        self._control = script.with_name("rabbitmqctl")

    @property
    def url(self) -> str:
        return self.url_through(self.port)

    def url_through(self, port: int) -> str:
        """Its URL for one that reaches it by another port."""
        return f"amqp://guest:guest@127.0.0.1:{port}/"

    def start(self) -> None:
        if self._mapper.pid is None:
            self._mapper.start()
        super().start()

    def greets(self) -> bool:
        """Readiness by protocol: an open port is not yet a broker."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=3) as connection:
                connection.sendall(AMQP_GREETING)
                return bool(connection.recv(1))
        except OSError:
            return False

    def control(self, *words: str) -> str:
        """Run rabbitmqctl on this node."""
        command = [str(self._control), "-n", self.environment["RABBITMQ_NODENAME"], *words]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def close(self) -> None:
        self.kill()
        self._mapper.kill()


def python(*words: str) -> list[str]:
    return [sys.executable, *words]
