"""The commands that ask the API. Each is imported when it runs: what a command does not need costs it no time."""

import argparse
import signal
from importlib import import_module

from standalone.api import connect
from standalone.console import say
from standalone.processes import ENDING_SIGNALS
from standalone.settings import read_settings

INTERRUPTED = 130
MODULES = {
    "sync": "executions",
    "status": "executions",
    "show": "executions",
    "history": "executions",
    "cancel": "executions",
    "retry": "executions",
    "retry-failed": "executions",
    "log": "log",
    "verdict": "verdict",
    "coverage": "coverage",
    "goals": "goals",
    "schedules": "schedules",
    "alerts": "alerts",
    "changes": "changes",
    "searches": "searches",
    "deliver": "deliveries",
    "deliveries": "deliveries",
    "import": "intake",
    "imports": "intake",
    "sources": "sources",
    "read": "sources",
    "export": "export",
    "token": "access",
    "open": "access",
}
"""In which module the function of each command stands; it has the command's name."""
NAMES = {"import": "import_file"}
"""Functions whose commands have names that Python does not allow for them."""


def run(name: str, options: argparse.Namespace) -> int:
    """Run one of the commands; its exit code.

    Raises:
        LaunchError: it could not be done; the text says why.

    """
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.default_int_handler)  # a progress bar hides the cursor, and has to show it again
    # They were held back while one program became the other (standalone.environment).
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
    command = getattr(import_module(f"standalone.terminal.{MODULES[name]}"), NAMES.get(name, name.replace("-", "_")))
    try:
        with connect(options.url, read_settings()) as api:
            code: int = command(api, options)
            return code
    except KeyboardInterrupt:
        say("")
        return INTERRUPTED
