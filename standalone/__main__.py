"""Runs a command of ./pncp inside .venv; `standalone.environment` is what came before."""

import os
import sys

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
        match name:
            case "demo":
                return run_demo(options)
            case "up":
                return run_up()
            case "test":
                return run_tests(options.arguments)
            case "chaos":
                return run_chaos(options)
            case "bench":
                return run_bench()
            case "check":
                return run_checks()
    except LaunchError as error:
        complain(str(error))
    return 1


if __name__ == "__main__":
    sys.exit(main())
