"""`./pncp token` and `open`: a token for scripts, and the page in a browser."""

import argparse
import getpass
import sys
import webbrowser

from standalone.api import Api, credentials
from standalone.console import say
from standalone.language import tr
from standalone.settings import read_settings
from standalone.terminal.output import print_answer


def token(api: Api, options: argparse.Namespace) -> int:
    """A token for scripts; the password comes from the settings or a prompt, never from the command line."""
    known = credentials(read_settings(), is_here=True)
    name = options.user or (known[0] if known else "admin")
    password = known[1] if known and name == known[0] else _read_password(name)
    answer = api.post_form("/auth/token", username=name, password=password)
    print_answer(answer, str(answer["access_token"]), as_json=options.json)
    return 0


def _read_password(name: str) -> str:
    """From a prompt, or as one line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(tr("password of {name}: ", name=name))
    return sys.stdin.readline().rstrip("\r\n")


def open(api: Api, options: argparse.Namespace) -> int:  # noqa: A001  # the command's name
    """Open the page in a browser where there is one, and print its address."""
    api.get("/health/live")
    address = f"{api.address}/{options.place.lstrip('/')}"
    if options.json:
        print_answer({"url": address}, as_json=True)
    else:
        say(address)
    if not options.no_browser:
        webbrowser.open(address)
    return 0
