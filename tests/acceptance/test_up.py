"""`./pncp up` as a service: what it says at its start, what it does when a part of it is killed, and how it ends."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from simulator import Quirks, generate, serve
from simulator.world import brasilia_now
from standalone.launch import check_portal, systemd_unit
from standalone.notes import running_folders
from tests.demonstration import Demonstration, copy_project

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("up")]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """With a portal that nothing answers for, and a folder of connections."""
    project = copy_project(tmp_path_factory.mktemp("up") / "project")
    (project / "connections").mkdir()
    settings = {
        "PNCP_BASE_URL": "http://127.0.0.1:9/api",
        "SCHEDULE_ENABLED": "false",
        "CONNECTIONS_DIR": "connections",
    }
    running = Demonstration(project, command="up", **settings)
    running.wait_for("the page is at")
    yield running
    running.stop()


def until(condition: Callable[[], bool], running: Demonstration) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert running.process.poll() is None, running.said.read_text()
        assert time.monotonic() < deadline, running.said.read_text()
        time.sleep(0.05)


def pids_of(running: Demonstration) -> dict[str, int]:
    """The processes of the parts, by the names under which they are reported."""
    folder = running.project / ".data" / "up"
    children = json.loads((folder / "children.json").read_text())
    found = {one["name"]: one["pid"] for one in children}
    lock = folder / "postgres" / "data" / "postmaster.pid"
    return found | {"PostgreSQL": int(lock.read_text().split()[0])}


def is_well(running: Demonstration) -> bool:
    """Whether the backend answers, with its database and an ingestor."""
    try:
        ((_, port),) = running_folders({"PNCP_HOME": str(running.project / ".data")})
        health = httpx.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).json()
    except (ValueError, httpx.HTTPError):
        return False
    return health["status"] == "ok" and health["workers"] == "ok"


def test_it_says_that_the_portal_cannot_be_reached_goes_on_and_says_what_to_do_next(up: Demonstration) -> None:
    said = up.said.read_text()
    assert "portal http://127.0.0.1:9/api: cannot be reached (" in said
    assert "What to do next:" in said
    assert "./pncp goals set contratacoes" in said


def test_a_courier_delivers_and_the_ingestor_beside_it_does_not(up: Demonstration) -> None:
    until(lambda: is_well(up), up)
    until(lambda: up.json("deliveries")["workers"] == 1, up)
    assert up.json("deliveries")["destinations"] == []


@pytest.mark.parametrize("name", ["ingestor", "courier", "backend", "PostgreSQL"])
def test_a_part_that_is_killed_is_started_again_and_the_others_live_on(up: Demonstration, name: str) -> None:
    until(lambda: is_well(up), up)
    before = pids_of(up)
    os.kill(before[name], signal.SIGKILL)
    until(lambda: f"{name} has ended (signal 9); it is started again" in up.said.read_text(), up)
    until(lambda: is_there(up, name, before[name]) and is_well(up), up)
    others = {other: pid for other, pid in pids_of(up).items() if other != name}
    assert others == {other: pid for other, pid in before.items() if other != name}


def is_there(running: Demonstration, name: str, before: int) -> bool:
    """Whether the part runs as another process."""
    try:
        return pids_of(running)[name] != before
    except (OSError, ValueError, IndexError, KeyError):
        return False


def test_sigterm_stops_all_of_it_in_good_order(up: Demonstration) -> None:
    pids = pids_of(up)
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(60) == 0
    said = up.said.read_text()
    assert said.index("stopping courier") < said.index("stopping ingestor")
    assert said.index("stopping ingestor") < said.index("stopping backend") < said.index("stopping PostgreSQL")
    assert [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()] == []


async def test_a_portal_that_answers_or_refuses_is_one_line() -> None:
    day = brasilia_now().date()
    async with serve(generate(1, day, day, 1), quirks := Quirks()) as portal:
        assert await asyncio.to_thread(check_portal, portal.base_url) == f"portal {portal.base_url}: answers"
        quirks.add("403")
        said = await asyncio.to_thread(check_portal, portal.base_url)
    assert said.startswith(f"portal {portal.base_url}: refuses (status 403);")


def test_the_systemd_unit_starts_this_folder_as_this_user_and_lets_it_end_in_good_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "ana")
    unit = systemd_unit({"PNCP_HOME": "/srv/pncp"})
    settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    assert settings["User"] == "ana"
    assert settings["ExecStart"] == f"{settings['WorkingDirectory']}/pncp up"
    assert settings["Environment"] == "PNCP_HOME=/srv/pncp"
    assert (settings["Restart"], settings["KillMode"]) == ("on-failure", "mixed")
    assert "Environment" not in systemd_unit({})
