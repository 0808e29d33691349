"""`./pncp demo` as a whole, with everything real but the portal."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.resources import RESOURCE_NAMES
from standalone.cli import ROOT

# What a developer may have set, and a demonstration must not be led by here.
SETTINGS = ("DATABASE_URL", "RABBITMQ_URL", "BACKEND_PORT", "PNCP_BASE_URL", "ADMIN_PASSWORD", "ADMIN_PASSWORD_HASH")
PARTS = ("backend", "common", "ingestor", "migrations", "simulator", "standalone")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The programs without the developer's .env and data."""
    project = tmp_path / "project"
    for part in PARTS:
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", project)
    return project


def test_a_demonstration_fills_a_database_and_leaves_nothing_running(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "standalone", "demo", "--exit-after-sync", "--days", "6", "--per-day", "20"],
        cwd=project,
        env={name: value for name, value in os.environ.items() if name not in SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    promised = re.search(r"\((\d+) contratações from", done.stdout)
    told = done.stdout.partition("in the database:")[2]
    held = {table: int(rows.replace(",", "")) for table, rows in re.findall(r"^  (\w+) +([\d,]+)$", told, re.MULTILINE)}
    assert promised is not None
    assert held["contratacoes"] == int(promised[1])
    assert [
        name for name in (*RESOURCE_NAMES, "itens_contratacao", "resultados", "itens_pca", "dominios") if not held[name]
    ] == []
    folder = project / ".data" / "demo"
    assert (folder / "logs" / "ingestor.log").exists()
    assert not (folder / "children.json").exists()
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()


def test_a_folder_without_recordings_is_refused_before_anything_starts(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "standalone", "demo", "--recorded", str(project / "simulator")],
        cwd=project,
        env={name: value for name, value in os.environ.items() if name not in SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no contratação is recorded in" in done.stderr
    assert not (project / ".data" / "demo-recorded" / "postgres").exists()
