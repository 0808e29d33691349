"""The commands that work on the database itself, and those of the README, beside a running `./pncp demo`."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.passwords import hash_password
from standalone import tools
from standalone.cli import ROOT
from standalone.notes import write_notes
from standalone.system import LaunchError
from standalone.tools import open_database, split_password
from tests.demonstration import Demonstration, copy_project

PASSWORD = "uma senha de verdade 7"

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("demonstration")]


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    project = copy_project(tmp_path_factory.mktemp("tools") / "project")
    running = Demonstration(project, "--days", "3", "--per-day", "20")
    running.wait_for("the first sync is done")
    yield running
    running.stop()


def test_the_tools_know_the_running_database(demonstration: Demonstration, tmp_path: Path) -> None:
    counted = demonstration.call("psql", "-tAc", "SELECT count(*) > 0 FROM contratacoes")
    assert (counted.returncode, counted.stdout) == (0, "t\n"), counted.stderr
    dump = tmp_path / "mirror.dump"
    backup = demonstration.call("backup", str(dump))
    assert backup.returncode == 0, backup.stderr
    assert dump.stat().st_size > 10_000
    restore = demonstration.call("restore", str(dump))
    assert restore.returncode == 1
    assert "is in use: stop the backend and the ingestors first" in restore.stderr


def test_verify_asks_the_portal_of_the_demonstration(demonstration: Demonstration) -> None:
    verified = demonstration.call("verify", "--from", "2020-01-01", "--to", "2020-01-01")
    assert verified.returncode == 0, verified.stderr
    assert "19 listings" in verified.stdout
    listed = demonstration.call("rejected")
    assert listed.returncode == 0, listed.stderr


def test_lists_are_planned_in_the_scopes_of_the_demonstration(demonstration: Demonstration) -> None:
    planned = demonstration.call("lists", "--plan")
    assert planned.returncode == 0, planned.stderr
    scopes = {
        row.split()[0]: row.split()[-1] for row in planned.stdout.splitlines() if "dias=3" in row or "tudo" in row
    }
    assert scopes == {"resultados": "dias=3", "arquivos": "dias=3", "termos": "tudo"}


@pytest.mark.parametrize("name", ["verify", "rejected"])
def test_a_tool_has_its_help(demonstration: Demonstration, name: str) -> None:
    asked = demonstration.call(name, "--help")
    assert asked.returncode == 0, asked.stderr
    assert "usage:" in asked.stdout


def test_with_a_hash_alone_a_demonstration_goes_on_without_a_first_sync(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    running = Demonstration(
        project, "--days", "1", "--per-day", "1", ADMIN_PASSWORD_HASH=hash_password(PASSWORD.encode())
    )
    try:
        running.wait_for("no first sync")
        token = running.call("token", given=f"{PASSWORD}\n")
        assert token.returncode == 0, token.stderr
        assert token.stdout.count(".") == 2
        wrong = running.call("token", given="outra senha\n")
        assert wrong.returncode == 1
        assert "Traceback" not in wrong.stderr
    finally:
        assert running.stop() == 0
    stopped = running.call("psql", "-tAc", "SELECT count(*) FROM sync_executions")
    assert (stopped.returncode, stopped.stdout) == (0, "0\n"), stopped.stderr
    hashed = running.call("hash-password", given="mais uma senha boa 9\n")
    assert hashed.stdout.startswith("$argon2id$")


def test_a_password_is_taken_out_of_the_url_and_no_character_of_it_is_lost() -> None:
    url = "postgresql+asyncpg://us%40er:p%40ss%3A@host:5433/base?sslmode=require"
    assert split_password(url) == ("postgresql://us%40er@host:5433/base?sslmode=require", "p@ss:")
    assert split_password("postgresql:///pncp?user=pncp") == ("postgresql:///pncp?user=pncp", "")


def test_the_notes_are_their_owner_s_alone(tmp_path: Path) -> None:
    folder = tmp_path / "up"
    folder.mkdir()
    (folder / "services.json").touch(mode=0o644)
    notes = write_notes(folder, 8000, {"DATABASE_URL": "postgresql://a:b@c/d", "HOME": "/"})
    assert {note.stat().st_mode & 0o777 for note in notes} == {0o600}
    assert "HOME" not in (folder / "services.json").read_text()


def test_without_any_database_a_tool_says_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(LaunchError, match=r"start \./pncp up or demo, or set DATABASE_URL"),
        open_database({"PNCP_HOME": str(tmp_path)}),
    ):
        pass


def test_a_database_url_is_used_where_nothing_runs(tmp_path: Path) -> None:
    with open_database({"PNCP_HOME": str(tmp_path), "DATABASE_URL": "postgresql://x/y"}) as known:
        assert known["DATABASE_URL"] == "postgresql://x/y"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("DATABASE_URL=postgresql://a@b/c", "postgresql://a@b/c"),
        ("export DATABASE_URL='postgresql://a@b/c'  # ours", "postgresql://a@b/c"),
        ('DATABASE_URL = "postgresql+asyncpg://a@b/c"', "postgresql://a@b/c"),
        ("# DATABASE_URL=postgresql://a@b/c", None),
    ],
)
def test_the_scripts_read_the_url_of_env_as_everything_does(tmp_path: Path, line: str, meant: str | None) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / ".env").write_text(f"POSTGRES_PASSWORD=x\n{line}\n")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("pg_dump", "docker"):
        (bin_folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >&2\nexit 7\n')
        (bin_folder / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / "scripts" / "backup.sh", str(tmp_path / "dump")],
        env={"PATH": f"{bin_folder}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=False,
    )
    asked = "docker compose" if meant is None else f"pg_dump --dbname={meant} "
    assert asked in done.stderr


def test_no_test_is_led_by_a_person_s_folder() -> None:
    assert "PNCP_HOME" not in os.environ
    assert tools.home_of({}) == ROOT / ".data"
