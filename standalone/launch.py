"""`./pncp up` and `./pncp demo`: database, migrations, backend, ingestor, and for a demo the simulator before them."""

import argparse
import getpass
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from common.clock import BRASILIA
from common.resources import RESOURCE_NAMES
from simulator.__main__ import make_parser as make_simulator_parser
from simulator.generated import generate
from standalone import courier, database, first_sync
from standalone.cli import ROOT
from standalone.console import complain, say, step
from standalone.guide import Addresses, guide_text
from standalone.language import number, tr
from standalone.notes import SERVICES_NOTE, running_folders, write_notes
from standalone.postgres import EmbeddedPostgres
from standalone.processes import Child, Interruption, Supervisor
from standalone.purchases import write_purchases
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

PORTAL = "https://pncp.gov.br/api"
READY_SECONDS = 60
CHECK_SECONDS = 5
"""How long the portal has to answer the check at the start."""
LIVE_PER_MINUTE = 20
"""Records that the portal of a demonstration publishes or changes."""
LISTS_SECONDS = 20
"""How long a demonstration waits for results, documents and termos before it says what is there; the rest follows."""
START = time.monotonic()
SYSTEMD_UNIT = """\
# ./pncp up --systemd | sudo tee /etc/systemd/system/pncp-sync.service
# sudo systemctl daemon-reload && sudo systemctl enable --now pncp-sync
[Unit]
Description=PNCP Sync: a mirror of the PNCP in PostgreSQL
Wants=network-online.target
After=network-online.target

[Service]
User={user}
WorkingDirectory={root}
{home}ExecStart={root}/pncp up
Restart=on-failure
RestartSec=10
TimeoutStopSec=120
KillMode=mixed

[Install]
WantedBy=multi-user.target
"""
SIMULATOR_READY = re.compile(r"^simulator ready on (http://\S+)/api \((\d+) \S+ from (\S+) to (\S+)\)$", re.MULTILINE)


def run_up(options: argparse.Namespace) -> int:
    """Everything against the real portal, until a signal; the exit code."""
    settings = read_settings()
    if options.systemd:
        say(systemd_unit(settings))
        return 0
    folder = home_of(settings) / "up"
    return _run(folder, lambda supervisor: _up(settings, supervisor), interrupted=0)


def run_demo(options: argparse.Namespace) -> int:
    """Everything against the simulator, until a signal or, if that was asked for, the end of the first sync."""
    settings = read_settings()
    if options.guide:
        return _print_guide(settings)
    folder = home_of(settings) / ("demo-recorded" if options.recorded else "demo")
    # An unfinished sync is no success for a script that waits for it.
    interrupted = 130 if options.exit_after_sync else 0
    return _run(folder, lambda supervisor: _demo(settings, options, supervisor), interrupted=interrupted)


def _print_guide(settings: Settings) -> int:
    """The guide with the addresses of the demonstration that runs here."""
    for folder, port in running_folders(settings):
        if folder.name == "demo":
            noted = json.loads((folder / SERVICES_NOTE).read_text(encoding="utf-8"))
            portal = str(noted["PNCP_BASE_URL"]).removesuffix("/api")
            addresses = Addresses(f"http://{LOOPBACK}:{port}", portal, str(noted["RECEIVER_URL"]))
            say(guide_text(addresses, folder, _days_of(portal)[0]))
            return 0
    raise LaunchError(tr("no demonstration runs here: start ./pncp demo, which prints the guide, too"))


def systemd_unit(settings: Settings) -> str:
    """A unit that runs `./pncp up` from this folder as the user who asks for it."""
    home = f"Environment=PNCP_HOME={home_of(settings)}\n" if settings.get("PNCP_HOME") else ""
    return SYSTEMD_UNIT.format(root=ROOT, user=getpass.getuser(), home=home).rstrip()


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
        say("\n" + tr("stopping; Ctrl-C again ends everything at once"))
        return interrupted
    except LaunchError as error:
        complain(str(error))
        return 1
    finally:
        supervisor.stop_all()
        lock.release()


def _up(settings: Settings, supervisor: Supervisor) -> int:
    portal = settings.get("PNCP_BASE_URL") or PORTAL
    folders = courier.folders_of(settings)
    listening = _listen(settings, supervisor)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(check_portal, portal)  # while the database starts
        url = _open_database(settings, supervisor)
        if database.look_into(url).is_marked:
            raise LaunchError(
                tr(
                    "the database {url} holds demonstration data (./pncp demo filled it); set DATABASE_URL to another "
                    "one, or drop and create this one",
                    url=hide_password(url),
                )
            )
        environment = _environment_of(settings, url, supervisor.folder, folders)
        _migrate(supervisor, environment)
        say(f"- {asked.result()}")
    backend_url = _start_services(listening, supervisor, environment)
    say(tr("an update starts every 15 minutes by itself. What to do next:"))
    if not database.look_into(url).has_executions:
        first = first_sync.today().replace(day=1)
        say("  " + tr("./pncp goals set contratacoes {day}   to keep all since that day complete", day=first))
    say("  " + tr("./pncp verdict   says whether the mirror is fresh, complete and healthy"))
    say("  " + tr("./pncp up --systemd   prints a unit that starts this with the machine"))
    say("  " + tr("the page is at {url}", url=f"{backend_url}/"))
    return supervisor.watch()


def _demo(settings: Settings, options: argparse.Namespace, supervisor: Supervisor) -> int:
    listening = _listen(settings, supervisor)
    portal = _start_simulator(settings, options, supervisor)  # first: it checks the recordings
    has_courier = not options.exit_after_sync
    receiver = courier.start_receiver(settings, supervisor) if has_courier else {}
    url = _open_database(settings, supervisor)
    contents = database.look_into(url)
    if contents.has_executions and not contents.is_marked:
        raise LaunchError(
            tr(
                "the database {url} holds executions that no demonstration made: real data, among which a "
                "demonstration's must not get. Unset DATABASE_URL, or set it to an empty database",
                url=hide_password(url),
            )
        )
    # Never the person's own folders: invented records must not get to real systems.
    folders = courier.write_examples(supervisor.folder) if has_courier else {}
    if has_courier and not options.recorded:
        write_purchases(supervisor.folder, _published(options, portal), datetime.now(BRASILIA))
    environment = _environment_of(settings, url, supervisor.folder, folders) | receiver
    _migrate(supervisor, environment)
    database.mark(url)
    environment |= _demo_environment(f"{portal}/api", is_live=lives(options))
    backend_url = _start_services(listening, supervisor, environment)
    has_only_hash = settings.get("ADMIN_PASSWORD_HASH") and not settings.get("ADMIN_PASSWORD")
    if has_only_hash and not options.no_first_sync and not options.exit_after_sync:
        say(tr("- no first sync: it would need ADMIN_PASSWORD, and only ADMIN_PASSWORD_HASH is set. Start one:"))
        say(f"  ./pncp sync --backfill {first_sync.today()} {first_sync.today()} --watch")
    elif not options.no_first_sync:
        success = _first_sync(environment, options, supervisor, backend_url, portal)
        if options.exit_after_sync:
            return 0 if success else 1
    if lives(options):
        addresses = Addresses(backend_url, portal, receiver["RECEIVER_URL"])
        say(guide_text(addresses, supervisor.folder, _days_of(portal)[0]))
    return supervisor.watch()


def _open_database(settings: Settings, supervisor: Supervisor) -> str:
    """The URL of DATABASE_URL's database, or of the embedded one, which is then started."""
    given = settings.get("DATABASE_URL")
    if given:
        say("- " + tr("PostgreSQL: DATABASE_URL, {url}", url=hide_password(given)))
        return given
    server = EmbeddedPostgres(supervisor.folder / "postgres", check=supervisor.check)
    # Before its start, so that a second Ctrl-C finds it.
    supervisor.parts.append(server)
    with step(tr("PostgreSQL: embedded, its data in {folder}", folder=server.folder)):
        url = server.start()
    server.is_service = True
    return url


def _environment_of(settings: Settings, database_url: str, folder: Path, folders: Settings) -> Settings:
    """The environment of the children: the person's settings, the chosen parts, and this machine alone."""
    others = ("PNCP_CALLED_FROM", courier.FOLDER, courier.INBOX)
    environment = {name: value for name, value in settings.items() if name not in others}
    if not settings.get("DATABASE_URL"):
        # PGSSLMODE and its like are meant for another server.
        environment = {name: value for name, value in environment.items() if not name.startswith("PG")}
    broker = settings.get("RABBITMQ_URL")
    say(
        "- " + tr("broker: {url}", url=hide_password(broker) if broker else tr("none, the ingestor polls the database"))
    )
    files = {
        name: settings.get(name) or str(folder / kind)
        for name, kind in (("EXPORT_DIR", "exports"), ("FILES_DIR", "files"))
    }
    ours = {"DATABASE_URL": database_url, "BACKEND_HOST": LOOPBACK, "PYTHONUNBUFFERED": "1"}
    return environment | files | ours | folders


def _demo_environment(portal: str, *, is_live: bool) -> Settings:
    """What fits a simulator. The environment may say otherwise, but not .env, which describes the real portal.

    Where the portal lives, every resource is updated each minute; a portal that failed is tried again soon.
    """
    cron = "* * * * *"
    ours = {
        "PNCP_BASE_URL": portal,
        "PNCP_REQUESTS_PER_SECOND": "0",
        "PNCP_REQUESTS_IN_FLIGHT": "0",
        "PNCP_ITENS_CONCURRENCY": "8",
        "SCHEDULE_ENABLED": "true" if is_live else "false",
        "SCHEDULE_UPDATE": cron,
        "SCHEDULE_CRONS": "; ".join(f"{name}.update={cron}" for name in RESOURCE_NAMES[1:]),
        "PNCP_PAUSE_SECONDS": "5",
        "PNCP_RESOURCES": ",".join(RESOURCE_NAMES),
        "PNCP_RESULTADOS": "dias=3",  # the others take their turn after all of these
        "PNCP_ARQUIVOS": "dias=3",
        "PNCP_TERMOS": "tudo",
        "PNCP_LISTS_PER_SECOND": "1000",
    }
    theirs = {name: os.environ[name] for name in ours if os.environ.get(name)}
    for name, value in theirs.items():
        say(
            "- "
            + tr("{name}={value}, from the environment, instead of {ours}", name=name, value=value, ours=ours[name])
        )
    return ours | theirs


def _migrate(supervisor: Supervisor, environment: Settings) -> None:
    with step(tr("migrations")):
        supervisor.run("migrations", [sys.executable, "-m", "alembic", "upgrade", "head"], environment)


def lives(options: argparse.Namespace) -> bool:
    """Whether the simulated portal publishes and changes records, and schedules read them."""
    return not (options.still or options.recorded or options.exit_after_sync)


def _start_simulator(settings: Settings, options: argparse.Namespace, supervisor: Supervisor) -> str:
    """Start the simulator and return its URL."""
    environment = {name: value for name, value in settings.items() if name != "PNCP_CALLED_FROM"}
    words = ["--port", str(find_free_port()), "--days", str(options.days), "--per-day", str(options.per_day)]
    if options.recorded:
        words += ["--recorded", str(from_caller(options.recorded, settings))]
    if options.fail is not None:
        words += ["--fail", str(options.fail)]
    if options.seed is not None:
        words += ["--seed", str(options.seed)]
    if lives(options):
        words += ["--live-per-minute", str(LIVE_PER_MINUTE)]
    data = "simulated portal, with recorded data" if options.recorded else "simulated portal, with invented data"
    with step(tr(data)):
        child = supervisor.start("simulator", [sys.executable, "-m", "simulator", *words], environment)
        if not supervisor.wait_until(lambda: SIMULATOR_READY.search(child.said()) is not None, READY_SECONDS):
            raise _not_ready(child)
    url, count, first, last = SIMULATOR_READY.findall(child.said())[0]
    days = {"first": first, "last": last}
    say(f"  {url}/api " + tr("({n} contratações from {first} to {last})", n=number(int(count)), **days))
    return str(url)


def _listen(settings: Settings, supervisor: Supervisor) -> socket.socket:
    """The socket for the backend, opened first: a busy port is reported before anything starts."""
    listening = open_backend_socket(settings)
    supervisor.at_end.callback(listening.close)
    port = listening.getsockname()[1]
    if port != DEFAULT_PORT and not settings.get("BACKEND_PORT"):
        busy = f"{DEFAULT_PORT}{who_listens(DEFAULT_PORT)}"
        say("- " + tr("port {busy} is busy; the backend takes {port} instead", busy=busy, port=port))
    return listening


def _start_services(listening: socket.socket, supervisor: Supervisor, environment: Settings) -> str:
    """Start backend, ingestor and, where there are connections, the courier; say where they are; the backend's URL."""
    port = listening.getsockname()[1]
    url = f"http://{LOOPBACK}:{port}"
    environment = environment | {"BACKEND_PORT": str(port)}
    with step("backend"):
        words = [sys.executable, "-m", "standalone.serve", str(listening.fileno())]
        child = supervisor.start("backend", words, environment, keep=(listening.fileno(),))
        supervisor.at_end.callback(listening.close)  # kept, so that a backend that is started again has the same port
        _wait_for_answer(supervisor, child, f"{url}/health/live")
    with step("ingestor"):
        has_courier = bool(environment.get(courier.FOLDER))
        kinds = "sync" if has_courier else "sync,intake"
        supervisor.start("ingestor", [sys.executable, "-m", "ingestor"], environment | {"WORKER_KINDS": kinds})
    if has_courier:
        courier.start_courier(environment, supervisor)
    for note in write_notes(supervisor.folder, port, environment):  # for ./pncp status, verify, psql and their like
        supervisor.at_end.callback(note.unlink, missing_ok=True)
    took = f"{time.monotonic() - START:.1f}"
    say(tr("ready after {seconds} s: {url}/ (page), {url}/docs, {url}/health", seconds=took, url=url))
    say(tr("logs in {folder}; Ctrl-C stops everything, the data stays", folder=supervisor.folder / "logs"))
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
    values = {"name": child.name, "seconds": READY_SECONDS, "log": child.log}
    what = tr("{name} was not ready within {seconds} s; the end of {log}:", **values)
    return LaunchError(f"{what}\n{last_lines(child.log, 20)}")


def _first_sync(
    settings: Settings, options: argparse.Namespace, supervisor: Supervisor, backend_url: str, portal: str
) -> bool:
    """The first synchronisation of every resource; whether all of it succeeded, but for the day that is to fail."""
    first, last = _days_of(portal)
    resources = first_sync.resources_of(settings)
    say(tr("- first sync of {resources}: {first} to {last}", resources=", ".join(resources), first=first, last=last))
    with first_sync.connect(backend_url, settings, supervisor) as backend:
        bad = first_sync.choose_bad_day(backend, (first, last)) if lives(options) else None
        recorded = _recorded_days(portal) if options.recorded else {}
        ended = []
        for resource in resources:
            without = bad if resource == RESOURCE_NAMES[0] else None
            only = recorded.get(resource)
            ended.append(first_sync.run_first_sync(backend, (first, last), resource, without=without, only=only))
        ended.append(first_sync.run_domain_tables(backend))
        if bad is not None:
            say(tr("- {day}, of which the portal refuses a part, so that there is something to repair:", day=bad))
            first_sync.run_bad_day(backend, portal, bad)
    success = all(ended)
    with step(tr("lists that are read after their records")):
        supervisor.wait_until(lambda: not database.count_owed(settings["DATABASE_URL"]), LISTS_SECONDS)
    say(tr("in the database:"))
    counts = database.count(settings["DATABASE_URL"])
    for table, rows in counts.items():
        say(f"  {table:<{max(map(len, counts))}} {number(rows):>7}")
    say(tr("the first sync is done"))
    return success


def _days_of(portal: str) -> tuple[date, date]:
    """The first and the last day of the simulated portal."""
    state = httpx.get(f"{portal}/simulator/state", timeout=10, trust_env=False).json()
    first, last = (date.fromisoformat(day) for day in state["days"])
    return first, last


def _published(options: argparse.Namespace, portal: str) -> list[dict[str, Any]]:
    """The contratações that the simulated portal has of the days that are mirrored whole, made as it has made them."""
    first, last = _days_of(portal)
    parser = make_simulator_parser()
    seed = parser.get_default("seed") if options.seed is None else options.seed
    world = generate(seed, first, last, options.per_day)
    partly = {last, last - timedelta(days=first_sync.BAD_DAY_BEFORE_LAST)}
    records = [world.inventor.record(each) for each in world.contratacoes.records.values()]
    return [each for each in records if date.fromisoformat(each["dataPublicacaoPncp"][:10]) not in partly]


def _recorded_days(portal: str) -> dict[str, list[date]]:
    """The days of which the simulated portal has records, by resource."""
    found = httpx.get(f"{portal}/simulator/days", timeout=30, trust_env=False).json()
    return {name: [date.fromisoformat(day) for day in days] for name, days in found.items()}


def check_portal(url: str) -> str:
    """One line about the portal: it answers, refuses, or cannot be reached. The services start in any case."""
    try:
        answer = httpx.get(f"{url}/pncp/v1/modalidades", timeout=CHECK_SECONDS, follow_redirects=False)
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        return tr("portal {url}: cannot be reached ({why}); it is tried again by itself", url=url, why=why)
    if answer.is_success:
        return tr("portal {url}: answers", url=url)
    text = "portal {url}: refuses (status {status}); some networks are blocked. It is tried again by itself"
    return tr(text, url=url, status=answer.status_code)
