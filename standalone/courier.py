"""The parts of a start that deliver: the courier, and for a demonstration a receiver and its folder of connections."""

import re
import secrets
import shutil
import sys
from base64 import b64encode
from pathlib import Path

from standalone.cli import ROOT
from standalone.console import say, step
from standalone.language import tr
from standalone.processes import Child, Supervisor
from standalone.settings import Settings, from_caller
from standalone.system import LaunchError

FOLDER = "CONNECTIONS_DIR"
EXAMPLES = ROOT / "standalone" / "connections"
"""What a demonstration starts with."""
RECEIVER_PORT = 8300
RECEIVER_FAULTS = "error_before=0.1,throttle=0.05,bad=0.004"
"""Enough of them that a demonstration shows repeated requests and a rejected record or two."""
RECEIVER_KEYS = ("id", "CODPRODUTO")
"""The fields in which the demonstration's connections send the key of a record."""
RECEIVER_READY = re.compile(r"^receiver ready on (http://\S+)$", re.MULTILINE)
READY_SECONDS = 60


def folder_of(settings: Settings) -> Path | None:
    """The folder that CONNECTIONS_DIR names, as an absolute path; None where it is not set.

    Raises:
        LaunchError: there is no such folder.

    """
    given = settings.get(FOLDER)
    if not given:
        return None
    folder = from_caller(given, settings)
    if not folder.is_dir():
        raise LaunchError(tr("CONNECTIONS_DIR is {folder}, which is no folder", folder=folder))
    return folder


def write_examples(folder: Path) -> None:
    """The connections of a demonstration, once: they are the person's to change, and stay changed."""
    if not folder.exists():
        shutil.copytree(EXAMPLES, folder)


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
    with step(tr("courier: deliveries by the files in {folder}", folder=environment[FOLDER])):
        return supervisor.start("courier", [sys.executable, "-m", "ingestor"], environment | ours)
