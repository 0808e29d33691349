"""The command that makes a client: a secret, and the file that lets who has it call the API."""

import argparse
import hashlib
import re
import secrets
import sys
from collections.abc import Sequence
from ipaddress import ip_network

from common.connections.clients import scope_fault
from common.connections.files import MOST_SCOPES, NAME

SECRET_BYTES = 32


def client_from_terminal(words: Sequence[str]) -> int:
    """Print the file of a client to stdout, and its secret to stderr, this once; answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m backend make-client",
        description="Make a client: print the file for clients/ in CONNECTIONS_DIR, and its secret to stderr.",
    )
    parser.add_argument("name", type=_name, metavar="NAME", help="the name of the file, without .yaml")
    parser.add_argument(
        *("--scope", "-s"),
        type=_scope,
        action="append",
        required=True,
        metavar="SCOPE",
        help="what it may do, such as intake:compras, read:contratos, deliver:crm, read:*; may be repeated",
    )
    parser.add_argument(
        *("--network", "-n"),
        type=_network,
        action="append",
        default=[],
        metavar="CIDR",
        help="from where it may ask, such as 10.1.0.0/16; may be repeated; without it, from anywhere",
    )
    given = parser.parse_args(words)
    scopes = list(dict.fromkeys(given.scope))
    if len(scopes) > MOST_SCOPES:
        parser.error(f"a client has {MOST_SCOPES} scopes at most")
    secret = secrets.token_urlsafe(SECRET_BYTES)
    lines = ["scopes:", *_entries(scopes)]
    if given.network:
        lines += ["networks:", *_entries(given.network)]
    lines.append(f'secret_sha256: "{hashlib.sha256(secret.encode()).hexdigest()}"')
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    sys.stderr.write(f"save this as clients/{given.name}.yaml in CONNECTIONS_DIR; the secret is shown only now:\n")
    sys.stderr.write(f"{secret}\n")
    return 0


def _entries(values: Sequence[str]) -> list[str]:
    return [f'  - "{value}"' for value in values]


def _name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise argparse.ArgumentTypeError(f"expected lower-case letters, digits, - and _, not {value!r}")
    return value


def _scope(value: str) -> str:
    if scope_fault(value):
        raise argparse.ArgumentTypeError(f"expected read:, intake: or deliver: and a name or *, not {value!r}")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected an address or a network such as 10.1.0.0/16, not {value!r}"
        ) from None
