"""Runs a command of ./pncp inside .venv; `standalone.environment` is what came before.

What a command needs is imported when it runs, so that none waits for another's packages.
"""

# ruff: noqa: PLC0415

import argparse
import os
import sys

from standalone import cli
from standalone.console import complain
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
    if name in cli.ASKING:
        from standalone import terminal

        code = terminal.run(name, options)
    elif name in cli.TOOLS:
        from standalone import tools

        code = tools.run_tool(name, options.arguments)
    elif name in ("demo", "up"):
        from standalone import launch

        code = launch.run_demo(options) if name == "demo" else launch.run_up(options)
    elif name == "completion":
        from standalone import completion

        code = completion.run_completion(options)
    else:
        from standalone import checks

        match name:
            case "test":
                code = checks.run_tests(options.arguments)
            case "bench":
                code = checks.run_bench()
            case "chaos":
                code = checks.run_chaos(options)
            case _:
                code = checks.run_checks()
    return code


if __name__ == "__main__":
    sys.exit(main())
