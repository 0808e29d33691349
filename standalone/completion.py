"""`./pncp completion SHELL`: a script that completes the commands and their options in a shell."""

import argparse

import shtab

from ingestor.commands import make_parser as make_ingestor_parser
from standalone import cli
from standalone.console import say
from standalone.language import tr

FILES = ("FILE",)
FOLDERS = ("FOLDER",)


def run_completion(options: argparse.Namespace) -> int:
    """Print the script."""
    say(shtab.complete(make_parser(), shell=options.shell), end="")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """All commands in one parser; those that other programs read have their options, too."""
    whole = argparse.ArgumentParser(prog="pncp", allow_abbrev=False)
    whole.add_argument("--version", action="store_true")
    chosen = whole.add_subparsers()
    theirs = _commands_of(make_ingestor_parser())
    for name, command in cli.COMMANDS.items():
        known = theirs.get(name) or cli.make_parser(name)
        if command.hands_on_arguments and name not in theirs:
            known.add_argument("arguments", nargs="*", metavar=FILES[0])
        _complete_files(known)
        chosen.add_parser(name, help=tr(command.summary), parents=[known], add_help=False)
    return whole


def _commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands of a parser."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    return dict(found[0].choices) if found else {}


def _complete_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:  # noqa: SLF001  # as shtab itself does
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
