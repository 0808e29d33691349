"""What ./pncp makes of the environment, of .env and of its command line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.resources import RESOURCE_NAMES
from standalone import cli
from standalone.checks import spread
from standalone.launch import _demo_environment
from standalone.settings import from_caller, hide_password, home_of, plain_url, read_settings


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BACKEND_PORT=9001\nLOG_LEVEL=DEBUG\n")
    settings = read_settings({"BACKEND_PORT": "9002"}, tmp_path)
    assert settings == {"BACKEND_PORT": "9002", "LOG_LEVEL": "DEBUG"}


def test_a_name_set_to_nothing_counts_as_not_set_as_it_does_for_the_services(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=\nRABBITMQ_URL=amqp://broker/\n")
    settings = read_settings({"RABBITMQ_URL": "", "HOME": ""}, tmp_path)
    assert settings == {"RABBITMQ_URL": "amqp://broker/", "HOME": ""}


def test_without_a_file_the_environment_is_all(tmp_path: Path) -> None:
    assert read_settings({"A": "b"}, tmp_path) == {"A": "b"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ana:s3cret@db:5432/pncp", "postgresql://ana:***@db:5432/pncp"),
        ("postgresql://ana:s3@cr:et@db/pncp", "postgresql://ana:***@db/pncp"),
        ("postgresql+asyncpg://ana@db/pncp?password=s3cret", "postgresql+asyncpg://ana@db/pncp"),
        ("postgresql://db/pncp", "postgresql://db/pncp"),
        ("amqp://guest:guest@127.0.0.1:5672/", "amqp://guest:***@127.0.0.1:5672/"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert hide_password(url) == shown


def test_a_driver_in_the_scheme_is_taken_out_for_asyncpg() -> None:
    assert plain_url("postgresql+asyncpg://ana@db/pncp") == "postgresql://ana@db/pncp"
    assert plain_url("postgresql://ana:a+b@db/pncp") == "postgresql://ana:a+b@db/pncp"


def test_data_lies_in_the_project_unless_pncp_home_says_otherwise(tmp_path: Path) -> None:
    assert home_of({}, tmp_path) == tmp_path / ".data"
    assert home_of({"PNCP_HOME": "/elsewhere"}, tmp_path) == Path("/elsewhere")


def test_a_relative_path_is_meant_from_where_the_person_stands(tmp_path: Path) -> None:
    called_from = {"PNCP_CALLED_FROM": str(tmp_path)}
    assert from_caller("recordings", called_from) == tmp_path / "recordings"
    assert home_of({"PNCP_HOME": "data", **called_from}) == tmp_path / "data"


def test_tests_are_spread_over_the_cores_unless_the_arguments_say_how() -> None:
    assert spread(["-k", "name", "-n0"]) == []
    assert spread(["--pdb"]) == []
    assert spread(["-s"]) == []
    assert spread(["-k", "name", "-sv"])[0] == "-n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["help"], ["--help"], ["-h"]):
        with pytest.raises(SystemExit) as ended:
            cli.parse(words)
        assert ended.value.code == 0
        said = capsys.readouterr().out
        assert all(f"  {name} " in said for name in cli.COMMANDS)


@pytest.mark.parametrize(
    ("name", "hint"), [("dmeo", "did you mean demo?"), ("xyz", "commands: demo, up, verdict, status, sync")]
)
def test_an_unknown_command_is_answered_with_what_comes_near_or_the_list(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse([name])
    assert ended.value.code == 2
    assert f"unknown command '{name}'; {hint}" in capsys.readouterr().err


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"PNCP Sync \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_share_beyond_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(["demo", "--fail", "1.5"])
    assert ended.value.code == 2
    assert "between 0 and 1" in capsys.readouterr().err


def test_arguments_of_test_are_pytests() -> None:
    name, options = cli.parse(["test", "-k", "name", "--help"])
    assert (name, options.arguments) == ("test", ["-k", "name", "--help"])


def test_reading_the_command_line_needs_the_standard_library_alone() -> None:
    modules = ", ".join(f"standalone.{name}" for name in ("cli", "console", "environment", "processes", "system"))
    code = f"import sys; sys.path.insert(0, {str(cli.ROOT)!r}); import {modules}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)  # -S: no installed packages


def test_the_requirements_of_development_hold_those_of_running() -> None:
    def lines(name: str) -> set[str]:
        return set((cli.ROOT / name).read_text(encoding="utf-8").split("\n"))

    assert lines(cli.LOCAL) <= lines(cli.DEVELOPMENT)


def test_a_demonstration_updates_every_resource_each_minute_unless_it_is_still_or_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SCHEDULE_ENABLED", raising=False)
    live = _demo_environment("http://portal/api", is_live=True)
    assert (live["SCHEDULE_ENABLED"], live["SCHEDULE_UPDATE"]) == ("true", "* * * * *")
    assert live["SCHEDULE_CRONS"].split("; ") == [f"{name}.update=* * * * *" for name in RESOURCE_NAMES[1:]]
    assert live["PNCP_RESOURCES"] == ",".join(RESOURCE_NAMES)
    assert _demo_environment("http://portal/api", is_live=False)["SCHEDULE_ENABLED"] == "false"
    monkeypatch.setenv("SCHEDULE_ENABLED", "true")
    assert _demo_environment("http://portal/api", is_live=False)["SCHEDULE_ENABLED"] == "true"
