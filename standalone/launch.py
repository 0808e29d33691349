"""`./pncp up` and `./pncp demo`: database, migrations, backend, ingestor, and for a demo the simulator before them."""

import argparse
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from common.resources import RESOURCE_NAMES
from standalone import database, first_sync
from standalone.console import complain, say, step
from standalone.postgres import EmbeddedPostgres
from standalone.processes import Child, Interruption, Supervisor
from standalone.settings import (
    DEFAULT_PORT,
    Settings,
    from_caller,
    hide_password,
    home_of,
    open_backend_socket,
    read_settings,
    who_listens,
)
from standalone.system import LOOPBACK, FolderLock, LaunchError, find_free_port, last_lines
from standalone.tools import write_notes

PORTAL = "https://pncp.gov.br/api"
READY_SECONDS = 60
LISTS_SECONDS = 20
"""How long a demonstration waits for results, documents and termos before it says what is there; the rest follows."""
START = time.monotonic()
SIMULATOR_READY = re.compile(r"^simulator ready on (http://\S+)/api(.*)$", re.MULTILINE)


def run_up() -> int:
    """Everything against the real portal, until a signal; the exit code."""
    settings = read_settings()
    folder = home_of(settings) / "up"
    return _run(folder, lambda supervisor: _up(settings, supervisor), interrupted=0)


def run_demo(options: argparse.Namespace) -> int:
    """Everything against the simulator, until a signal or, if that was asked for, the end of the first sync."""
    settings = read_settings()
    folder = home_of(settings) / ("demo-recorded" if options.recorded else "demo")
    # An unfinished sync is no success for a script that waits for it.
    interrupted = 130 if options.exit_after_sync else 0
    return _run(folder, lambda supervisor: _demo(settings, options, supervisor), interrupted=interrupted)


def _run(folder: Path, work: Callable[[Supervisor], int], *, interrupted: int) -> int:
    """Do the work as the only one on this folder, and stop all that it started however it ends."""
    supervisor = Supervisor(folder)
    supervisor.listen()
    lock = FolderLock(folder)
    try:
        lock.acquire()
        supervisor.stop_stale()
        return work(supervisor)
    except Interruption:
        say("\nstopping; Ctrl-C again ends everything at once")
        return interrupted
    except LaunchError as error:
        complain(str(error))
        return 1
    finally:
        supervisor.stop_all()
        lock.release()


def _up(settings: Settings, supervisor: Supervisor) -> int:
    listening = _listen(settings, supervisor)
    url = _open_database(settings, supervisor)
    if database.look_into(url).is_marked:
        raise LaunchError(
            f"the database {hide_password(url)} holds demonstration data (./pncp demo filled it); "
            "set DATABASE_URL to another one, or drop and create this one"
        )
    environment = _environment_of(settings, url, supervisor.folder)
    _migrate(supervisor, environment)
    portal = settings.get("PNCP_BASE_URL") or PORTAL
    backend_url = _start_services(listening, supervisor, environment)
    say(f"portal: {portal}; an update starts every 15 minutes by itself, the page is at {backend_url}/")
    if not database.look_into(url).has_executions:
        today = first_sync.today()
        say(
            f"nothing is mirrored yet: ./pncp sync --backfill {today.replace(day=1)} {today} --watch fetches this month"
        )
    threading.Thread(target=_try_portal, args=(portal,), daemon=True).start()
    return supervisor.watch()


def _demo(settings: Settings, options: argparse.Namespace, supervisor: Supervisor) -> int:
    listening = _listen(settings, supervisor)
    url = _open_database(settings, supervisor)
    contents = database.look_into(url)
    if contents.has_executions and not contents.is_marked:
        raise LaunchError(
            f"the database {hide_password(url)} holds executions that no demonstration made: real data, "
            "among which a demonstration's must not get. Unset DATABASE_URL, or set it to an empty database"
        )
    environment = _environment_of(settings, url, supervisor.folder)
    _migrate(supervisor, environment)
    database.mark(url)
    portal = _start_simulator(settings, options, supervisor, environment)
    environment |= _demo_environment(f"{portal}/api")
    backend_url = _start_services(listening, supervisor, environment)
    has_only_hash = settings.get("ADMIN_PASSWORD_HASH") and not settings.get("ADMIN_PASSWORD")
    if has_only_hash and not options.no_first_sync and not options.exit_after_sync:
        say("- no first sync: it would need ADMIN_PASSWORD, and only ADMIN_PASSWORD_HASH is set. Start one yourself:")
        say(f"  ./pncp sync --backfill {first_sync.today()} {first_sync.today()} --watch")
    elif not options.no_first_sync:
        success = _first_sync(environment, supervisor, backend_url, portal, url)
        if options.exit_after_sync:
            return 0 if success else 1
    return supervisor.watch()


def _open_database(settings: Settings, supervisor: Supervisor) -> str:
    """The URL of DATABASE_URL's database, or of the embedded one, which is then started."""
    given = settings.get("DATABASE_URL")
    if given:
        say(f"- PostgreSQL: DATABASE_URL, {hide_password(given)}")
        return given
    server = EmbeddedPostgres(supervisor.folder / "postgres", check=supervisor.check)
    # Before its start, so that a second Ctrl-C finds it.
    supervisor.parts.append(server)
    with step(f"PostgreSQL: embedded, its data in {server.folder}"):
        return server.start()


def _environment_of(settings: Settings, database_url: str, folder: Path) -> Settings:
    """The environment of the children: the person's settings, the chosen parts, and this machine alone."""
    environment = {name: value for name, value in settings.items() if name != "PNCP_CALLED_FROM"}
    if not settings.get("DATABASE_URL"):
        # PGSSLMODE and its like are meant for another server.
        environment = {name: value for name, value in environment.items() if not name.startswith("PG")}
    broker = settings.get("RABBITMQ_URL")
    say(f"- broker: {hide_password(broker) if broker else 'none, the ingestor polls the database'}")
    files = {
        name: settings.get(name) or str(folder / kind)
        for name, kind in (("EXPORT_DIR", "exports"), ("FILES_DIR", "files"))
    }
    ours = {"DATABASE_URL": database_url, "BACKEND_HOST": LOOPBACK, "PYTHONUNBUFFERED": "1"}
    return environment | files | ours


def _demo_environment(portal: str) -> Settings:
    """What fits a simulator. The environment may say otherwise, but not .env, which describes the real portal."""
    ours = {
        "PNCP_BASE_URL": portal,
        "PNCP_REQUESTS_PER_SECOND": "0",
        "PNCP_REQUESTS_IN_FLIGHT": "0",
        "PNCP_ITENS_CONCURRENCY": "8",
        "SCHEDULE_ENABLED": "false",  # a demonstration starts nothing by itself
        "PNCP_RESOURCES": ",".join(RESOURCE_NAMES),
        "PNCP_RESULTADOS": "dias=3",  # the others take their turn after all of these
        "PNCP_ARQUIVOS": "dias=3",
        "PNCP_TERMOS": "tudo",
        "PNCP_LISTS_PER_SECOND": "1000",
    }
    theirs = {name: os.environ[name] for name in ours if os.environ.get(name)}
    for name, value in theirs.items():
        say(f"- {name}={value}, from the environment, instead of {ours[name]}")
    return ours | theirs


def _migrate(supervisor: Supervisor, environment: Settings) -> None:
    with step("migrations"):
        supervisor.run("migrations", [sys.executable, "-m", "alembic", "upgrade", "head"], environment)


def _start_simulator(
    settings: Settings, options: argparse.Namespace, supervisor: Supervisor, environment: Settings
) -> str:
    """Start the simulator and return its URL."""
    words = ["--port", str(find_free_port()), "--days", str(options.days), "--per-day", str(options.per_day)]
    if options.recorded:
        words += ["--recorded", str(from_caller(options.recorded, settings))]
    if options.fail is not None:
        words += ["--fail", str(options.fail)]
    if options.seed is not None:
        words += ["--seed", str(options.seed)]
    with step("simulated portal"):
        child = supervisor.start("simulator", [sys.executable, "-m", "simulator", *words], environment)
        if not supervisor.wait_until(lambda: SIMULATOR_READY.search(child.said()) is not None, READY_SECONDS):
            raise _not_ready(child)
    url, data = SIMULATOR_READY.findall(child.said())[0]
    say(f"  {url}/api {data}")
    return str(url)


def _listen(settings: Settings, supervisor: Supervisor) -> socket.socket:
    """The socket for the backend, opened first: a busy port is reported before anything starts."""
    listening = open_backend_socket(settings)
    supervisor.at_end.callback(listening.close)
    port = listening.getsockname()[1]
    if port != DEFAULT_PORT and not settings.get("BACKEND_PORT"):
        say(f"- port {DEFAULT_PORT} is busy{who_listens(DEFAULT_PORT)}; the backend takes {port} instead")
    return listening


def _start_services(listening: socket.socket, supervisor: Supervisor, environment: Settings) -> str:
    """Start backend and ingestor, say where they are, and return the backend's URL."""
    port = listening.getsockname()[1]
    url = f"http://{LOOPBACK}:{port}"
    environment = environment | {"BACKEND_PORT": str(port)}
    with step("backend"):
        words = [sys.executable, "-m", "standalone.serve", str(listening.fileno())]
        child = supervisor.start("backend", words, environment, keep=(listening.fileno(),))
        supervisor.at_end.callback(listening.close)  # kept, so that a backend that is started again has the same port
        _wait_for_answer(supervisor, child, f"{url}/health/live")
    with step("ingestor"):
        supervisor.start("ingestor", [sys.executable, "-m", "ingestor"], environment)
    for note in write_notes(supervisor.folder, port, environment):  # for ./pncp status, verify, psql and their like
        supervisor.at_end.callback(note.unlink, missing_ok=True)
    say(f"ready after {time.monotonic() - START:.1f} s: {url}, {url}/docs, {url}/sync/status, {url}/health")
    say(f"logs in {supervisor.folder / 'logs'}; Ctrl-C stops everything, the data stays")
    return url


def _wait_for_answer(supervisor: Supervisor, child: Child, url: str) -> None:
    def answers() -> bool:
        try:
            return httpx.get(url, timeout=1, trust_env=False).is_success
        except httpx.TransportError:
            return False

    if not supervisor.wait_until(answers, READY_SECONDS):
        raise _not_ready(child)


def _not_ready(child: Child) -> LaunchError:
    tail = last_lines(child.log, 20)
    return LaunchError(f"{child.name} was not ready within {READY_SECONDS} s; the end of {child.log}:\n{tail}")


def _first_sync(settings: Settings, supervisor: Supervisor, backend_url: str, portal: str, database_url: str) -> bool:
    state = httpx.get(f"{portal}/simulator/state", timeout=10, trust_env=False).json()
    first, last = (date.fromisoformat(day) for day in state["days"])
    resources = first_sync.resources_of(settings)
    say(f"- first sync of {', '.join(resources)}: {first} to {last}")
    with first_sync.connect(backend_url, settings, supervisor) as backend:
        ended = [first_sync.run_first_sync(backend, (first, last), resource) for resource in resources]
        ended.append(first_sync.run_domain_tables(backend))
    success = all(ended)
    with step("lists that are read after their records"):
        supervisor.wait_until(lambda: not database.count_owed(database_url), LISTS_SECONDS)
    say("in the database:")
    counts = database.count(database_url)
    for table, rows in counts.items():
        say(f"  {table:<{max(map(len, counts))}} {rows:>7,}")
    user = "-u USER:PASSWORD " if settings.get("ADMIN_PASSWORD") else ""
    say(f"try: curl {user}{backend_url}/sync/status")
    say(f"     curl {user}-X POST {backend_url}/sync/force -H 'Content-Type: application/json' -d '{{}}'")
    return success


def _try_portal(url: str) -> None:
    """Say so when the portal cannot be reached; the services go on trying by themselves."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        socket.create_connection((host, parts.port or (443 if parts.scheme == "https" else 80)), timeout=5).close()
    except OSError as error:
        say(f"! {host} cannot be reached ({error}): nothing comes in until it can. ./pncp demo needs no internet")
