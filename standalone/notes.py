"""What running services leave in their data folder for the other commands: their port and their settings."""

import json
import os
from pathlib import Path

from standalone.cli import ROOT
from standalone.settings import Settings, home_of
from standalone.system import port_is_free

SERVICES_NOTE = "services.json"
"""What the services that run from a data folder were started with, as far as these commands need it."""
PORT_NOTE = "backend-port"
NOTED = (
    "DATABASE_URL",
    "PNCP_BASE_URL",
    "PNCP_REQUESTS_PER_SECOND",
    "PNCP_ITENS_CONCURRENCY",
    "PNCP_RESULTADOS",
    "PNCP_ARQUIVOS",
    "PNCP_TERMOS",
    "PNCP_HISTORICO",
    "CONNECTIONS_DIR",
    "RECEIVER_URL",
    "RECEIVER_SECRET",
    "ERP_FILE",
)


def write_notes(folder: Path, port: int, environment: Settings) -> list[Path]:
    """Note in a data folder where its services are; readable by their owner alone, for one of them is a secret."""
    notes = {PORT_NOTE: str(port), SERVICES_NOTE: json.dumps({name: environment.get(name) for name in NOTED})}
    for name, content in notes.items():
        (folder / name).unlink(missing_ok=True)
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
    return [folder / name for name in notes]


def running_folders(settings: Settings, root: Path = ROOT) -> list[tuple[Path, int]]:
    """The data folders whose services run now, with the backend's port; the one that was started last comes first."""
    notes = sorted(home_of(settings, root).glob(f"*/{PORT_NOTE}"), key=lambda note: note.stat().st_mtime, reverse=True)
    running = []
    for note in notes:
        port = note.read_text(encoding="ascii").strip()
        if port.isdigit() and not port_is_free(int(port)):  # services that were killed left their note behind
            running.append((note.parent, int(port)))
    return running
