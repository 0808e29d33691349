"""The settings of a start: the environment, over .env, over our defaults."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from dotenv import dotenv_values

from standalone.cli import ROOT
from standalone.language import tr
from standalone.system import LOOPBACK, LaunchError, port_is_free

Settings = dict[str, str]

DEFAULT_PORT = 8000
SECRETS = ("DATABASE_URL", "RABBITMQ_URL", "ADMIN_PASSWORD", "PNCP_SYNC_PASSWORD")


def read_settings(environment: Mapping[str, str] = os.environ, root: Path = ROOT) -> Settings:
    """The environment over `.env`, if there is one; as for the services, a name set to nothing counts as not set."""
    file = _read_secrets({name: value for name, value in dotenv_values(root / ".env").items() if value})
    ours = _read_secrets(dict(environment))
    return file | {name: value for name, value in ours.items() if value or name not in file}


def _read_secrets(settings: Settings) -> Settings:
    """With the content of the files that `<NAME>_FILE` names, of what the launcher itself must know."""
    for name in SECRETS:
        path = settings.pop(f"{name}_FILE", None)
        if path and settings.get(name):
            raise LaunchError(tr("{name} is set, and so is {name}_FILE; only one of them can count", name=name))
        if path:
            try:
                settings[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, ValueError) as error:
                raise LaunchError(tr("{name}_FILE names a file that cannot be read", name=name)) from error
    return settings


def home_of(settings: Settings, root: Path = ROOT) -> Path:
    """Where data lies; a relative PNCP_HOME of the environment is meant from where the person stands."""
    return from_caller(settings.get("PNCP_HOME") or str(root / ".data"), settings)


def from_caller(path: str, settings: Settings) -> Path:
    """A path that the person gave, made absolute."""
    return (Path(settings.get("PNCP_CALLED_FROM") or Path.cwd()) / Path(path).expanduser()).absolute()


def hide_password(url: str) -> str:
    """The URL as it may be shown: with *** for its password, and without its query, which may hold one too."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    if "@" in parts.netloc:
        place = f"{parts.username or ''}{':***' if parts.password else ''}@{place}"
    return urlunsplit((parts.scheme, place, parts.path, "", ""))


def plain_url(url: str) -> str:
    """A database URL as asyncpg reads it: without the driver that SQLAlchemy wants in the scheme."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


def open_backend_socket(settings: Settings) -> socket.socket:
    """A listening socket on BACKEND_PORT, or a LaunchError if that is busy; else on 8000 or the next free port."""
    given = settings.get("BACKEND_PORT")
    if not given:
        for port in range(DEFAULT_PORT, DEFAULT_PORT + 100):
            found = listen_on(port)
            if found is not None:
                return found
        span = {"first": DEFAULT_PORT, "last": DEFAULT_PORT + 99, "host": LOOPBACK}
        raise LaunchError(tr("no free port from {first} to {last} on {host}: set BACKEND_PORT", **span))
    if not given.isdigit() or not 0 < int(given) < 65_536:  # noqa: PLR2004
        raise LaunchError(tr("BACKEND_PORT is {given}: expected a number from 1 to 65535", given=repr(given)))
    found = listen_on(int(given))
    if found is None:
        busy = {"port": given, "host": LOOPBACK}
        raise LaunchError(tr("port {port} of {host} (BACKEND_PORT) is busy", **busy) + who_listens(int(given)))
    return found


def listen_on(port: int) -> socket.socket | None:
    """A listening socket on this port of 127.0.0.1; None when the port is taken or not for us."""
    if not port_is_free(port):
        return None
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((LOOPBACK, port))
        server.listen(1024)
    except OSError:
        server.close()
        return None
    return server


def who_listens(port: int) -> str:
    """`: held by NAME, process PID`, if an installed tool knows it; else empty."""
    asking = [
        (["ss", "-ltnpH", f"sport = :{port}"], r'\(\("(?P<name>[^"]+)",pid=(?P<pid>\d+)'),
        (["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"], r"p(?P<pid>\d+)\nc(?P<name>.+)"),
    ]
    for command, pattern in asking:
        if not shutil.which(command[0]):
            continue
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(pattern, answer.stdout)
        if found:
            return ": " + tr("held by {name}, process {pid}", name=found["name"], pid=found["pid"])
    return ""
