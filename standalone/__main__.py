"""Runs a command of ./pncp inside .venv; `standalone.environment` is what came before."""

import os
import sys

from standalone import cli, terminal
from standalone.checks import run_bench, run_chaos, run_checks, run_tests
from standalone.console import complain
from standalone.launch import run_demo, run_up
from standalone.system import LaunchError
from standalone.tools import run_tool


def main() -> int:
    """Run the command of the command line and return its exit code."""
    name, options = cli.parse(sys.argv[1:])
    os.chdir(cli.ROOT)
    try:
        match name:
            case "demo":
                code = run_demo(options)
            case "up":
                code = run_up()
            case "test":
                code = run_tests(options.arguments)
            case "bench":
                code = run_bench()
            case "chaos":
                code = run_chaos(options)
            case "check":
                code = run_checks()
            case _ if name in cli.TOOLS:
                code = run_tool(name, options.arguments)
            case _:
                code = terminal.run(name, options)
    except LaunchError as error:
        complain(str(error))
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
