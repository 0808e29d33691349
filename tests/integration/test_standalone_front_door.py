"""`./pncp` itself: what it says without installing anything, and how it makes and keeps its environment."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from standalone import environment
from standalone.cli import ROOT

# One worker for all: making an environment is what takes long here.
pytestmark = pytest.mark.xdist_group("standalone front door")

STAND_IN = """
import os, sys
from pathlib import Path
print("ran", sys.argv[1:], "in", os.getcwd(), "from", os.environ["PNCP_CALLED_FROM"], "with", sys.prefix)
"""


# Stands for uv: makes the environment (its last word) and installs nothing.
UV = """#!/bin/sh
echo "uv $*"
if [ "$1" = venv ]; then for folder; do :; done; "$PYTHON" -m venv --without-pip "$folder"; fi
"""


def call(script: Path, *words: str, cwd: Path = ROOT, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [script, *words],
        cwd=cwd,
        env={**os.environ, "PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def copy_of_the_project(folder: Path) -> Path:
    """A project whose commands only tell how they were called, and that needs no packages."""
    folder.mkdir()
    shutil.copy2(ROOT / "pncp", folder)
    for part in ("standalone", "common"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "standalone" / "__main__.py").write_text(STAND_IN)
    for name in ("requirements-local.txt", "requirements-dev.txt"):
        (folder / name).write_text("# nothing\n")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose environment was made by two starts at once."""
    project = copy_of_the_project(tmp_path_factory.mktemp("front") / "a project")
    starts = [
        subprocess.Popen(
            [project / "pncp", "up"],
            env={**os.environ, "PYTHON": sys.executable},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [start.communicate(timeout=100)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0], said
    assert sum("making .venv" in each for each in said) == 1, said
    assert sum("waiting for another" in each for each in said) <= 1
    return project


@pytest.mark.parametrize("words", [(), ("--help",), ("help",), ("demo", "--help"), ("up", "-h")])
def test_help_installs_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    project = copy_of_the_project(tmp_path / "project")
    done = call(project / "pncp", *words)
    assert done.returncode == 0, done.stderr
    assert "usage: ./pncp" in done.stdout
    assert not (project / ".venv").exists()


def test_an_unknown_command_installs_nothing_and_exits_with_2(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    done = call(project / "pncp", "dmeo")
    assert done.returncode == 2
    assert "did you mean demo?" in done.stderr
    assert not (project / ".venv").exists()


def test_a_python_that_is_too_old_is_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = call(ROOT / "pncp", "up", PYTHON=str(old))
    assert done.returncode == 1
    assert (
        done.stderr
        == f"pncp: needs Python 3.11 or newer and found none (tried: {old}); install one, or set PYTHON to its path\n"
    )


def test_a_link_from_elsewhere_works_and_the_callers_folder_is_known(project: Path, tmp_path: Path) -> None:
    (tmp_path / "first").symlink_to(project / "pncp")
    (tmp_path / "second").symlink_to("first")
    done = call(tmp_path / "second", "demo", "--days", "3", cwd=tmp_path, PYTHONSAFEPATH="1")
    expected = f"ran ['demo', '--days', '3'] in {project} from {tmp_path} with {project / '.venv'}\n"
    assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_nothing_is_installed_twice(project: Path) -> None:
    assert "installing" not in call(project / "pncp", "up").stdout


def test_other_requirements_are_installed(project: Path) -> None:
    (project / "requirements-local.txt").write_text("# nothing yet\n")
    assert "installing the packages of requirements-local.txt" in call(project / "pncp", "up").stdout
    assert "installing" not in call(project / "pncp", "up").stdout
    assert "installing the packages of requirements-dev.txt" in call(project / "pncp", "test").stdout
    # Those of development hold those of running.
    assert "installing" not in call(project / "pncp", "up").stdout


def test_an_installation_that_fails_says_why_and_is_done_again_with_uv_where_that_is(
    project: Path, tmp_path: Path
) -> None:
    requirements = project / "requirements-local.txt"
    requirements.write_text("no such requirement!\n")
    failed = call(project / "pncp", "up")
    assert failed.returncode == 1
    assert "pip failed; the end of" in failed.stderr
    assert not environment.is_fit(project / ".venv")
    requirements.write_text("# nothing\n")
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
    again = call(project / "pncp", "up", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert again.returncode == 0, again.stderr
    assert "uv pip install" in (project / ".venv" / "logs" / "uv.log").read_text()
    assert "making .venv" in again.stdout
    assert environment.is_fit(project / ".venv")


def test_a_copied_environment_is_not_fit(tmp_path: Path, project: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project / ".venv", copy, symlinks=True)
    assert not environment.is_fit(copy)
    # Neither without our stamp, as when another tool had made it: its scripts lead elsewhere.
    (copy / "pncp-stamp.json").unlink()
    assert not environment.is_fit(copy)


def test_an_environment_that_another_tool_made_here_is_fit(tmp_path: Path, project: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project / ".venv", copy, symlinks=True)
    (copy / "pncp-stamp.json").unlink()
    activate = copy / "bin" / "activate"
    activate.write_text(activate.read_text().replace(str(project / ".venv"), str(copy)))
    assert environment.is_fit(copy)


def test_an_environment_whose_python_has_gone_is_not_fit(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    assert not environment.is_fit(tmp_path)
    (tmp_path / "bin" / "python").symlink_to("/nowhere/python3")
    assert not environment.is_fit(tmp_path)


def test_an_environment_of_another_python_than_asked_for_is_not_fit(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON", "python3.99")
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    assert not environment.is_fit(project / ".venv")
    monkeypatch.delenv("PYTHON")
    assert environment.is_fit(project / ".venv")
