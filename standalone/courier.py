"""The parts of a start that deliver: the courier, and for a demonstration a receiver and its folder of connections."""

import re
import secrets
import shutil
import sys
from base64 import b64encode
from pathlib import Path

from standalone import purchases
from standalone.cli import ROOT
from standalone.console import say, step
from standalone.language import tr
from standalone.processes import Child, Supervisor
from standalone.settings import Settings, from_caller
from standalone.system import LaunchError

FOLDER, INBOX = "CONNECTIONS_DIR", "INTAKE_DIR"
EXAMPLES = ROOT / "standalone" / "connections"
"""What a demonstration starts with."""
INBOX_NAME = "entradas"
"""The folder that a demonstration watches."""
RECEIVER_PORT = 8300
RECEIVER_FAULTS = "error_before=0.1,throttle=0.05,bad=0.004"
"""Enough of them that a demonstration shows repeated requests and a rejected record or two."""
RECEIVER_KEYS = ("id", "CODPRODUTO")
"""The fields in which the demonstration's connections send the key of a record."""
RECEIVER_READY = re.compile(r"^receiver ready on (http://\S+)$", re.MULTILINE)
READY_SECONDS = 60


def folders_of(settings: Settings) -> Settings:
    """The folders that CONNECTIONS_DIR and INTAKE_DIR name, as absolute paths; without those that are not set.

    Raises:
        LaunchError: there is no such folder.

    """
    folders = {name: from_caller(settings[name], settings) for name in (FOLDER, INBOX) if settings.get(name)}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise LaunchError(tr("{name} is {folder}, which is no folder", name=name, folder=folder))
    return {name: str(folder) for name, folder in folders.items()}


def write_examples(folder: Path) -> Settings:
    """The connections of a demonstration and the folder that it watches; what the services have to know of them.

    They are written once: they are the person's to change, and stay changed.
    """
    connections, inbox = folder / EXAMPLES.name, folder / INBOX_NAME
    if not connections.exists():
        shutil.copytree(EXAMPLES, connections)
    for layout in (EXAMPLES / "layouts").glob("*.yaml"):
        (inbox / layout.stem).mkdir(parents=True, exist_ok=True)
    return {FOLDER: str(connections), INBOX: str(inbox), "ERP_FILE": str(folder / purchases.ERP)}


def start_receiver(settings: Settings, supervisor: Supervisor) -> Settings:
    """Start the receiver of a demonstration; what the courier and the files of connections have to know of it."""
    secret = "whsec_" + b64encode(secrets.token_bytes(24)).decode()
    words = ["--port", str(RECEIVER_PORT), "--or-any-port", "--faults", RECEIVER_FAULTS, "--secret", secret]
    words += [word for name in RECEIVER_KEYS for word in ("--key", name)]
    environment = {name: value for name, value in settings.items() if name != "PNCP_CALLED_FROM"}
    with step(tr("receiver of deliveries, which fails now and then")):
        child = supervisor.start("receiver", [sys.executable, "-m", "simulator.receiver", *words], environment)
        if not supervisor.wait_until(lambda: RECEIVER_READY.search(child.said()) is not None, READY_SECONDS):
            raise LaunchError(tr("{name} was not ready; see {log}", name=child.name, log=child.log))
    url = str(RECEIVER_READY.findall(child.said())[0])
    say(f"  {url}/")
    return {
        "RECEIVER_URL": url,
        "RECEIVER_SECRET": secret,
        # The guard of addresses is right to refuse this machine to everything but a demonstration.
        "DELIVERY_ALLOW_LOOPBACK": "true",
        "DELIVERY_RETRY_SECONDS": "1",
    }


def start_courier(environment: Settings, supervisor: Supervisor) -> Child:
    """Start the worker that delivers and takes in, beside the one that reads the portal."""
    metrics = environment.get("METRICS_PORT", "")
    ours = {"WORKER_KINDS": "delivery,intake"}
    if metrics.isdigit() and int(metrics):  # each process has a port of its own
        ours["METRICS_PORT"] = str(int(metrics) + 1)
    with step(tr("courier: deliveries and intake by the files in {folder}", folder=environment[FOLDER])):
        return supervisor.start("courier", [sys.executable, "-m", "ingestor"], environment | ours)
