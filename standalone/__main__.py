"""Runs a command of ./pncp inside .venv; `standalone.environment` is what came before."""

import argparse
import os
import sys
from collections.abc import Callable

from standalone import cli
from standalone.checks import run_bench, run_chaos, run_checks, run_tests
from standalone.console import complain
from standalone.launch import run_demo, run_up
from standalone.system import LaunchError


def main() -> int:
    """Run the command of the command line and return its exit code."""
    name, options = cli.parse(sys.argv[1:])
    os.chdir(cli.ROOT)
    try:
        return _run(name, options)
    except LaunchError as error:
        complain(str(error))
    return 1


def _run(name: str, options: argparse.Namespace) -> int:
    commands: dict[str, Callable[[], int]] = {
        "demo": lambda: run_demo(options),
        "up": run_up,
        "test": lambda: run_tests(options.arguments),
        "bench": run_bench,
        "chaos": lambda: run_chaos(options),
        "check": run_checks,
    }
    return commands[name]()


if __name__ == "__main__":
    sys.exit(main())
