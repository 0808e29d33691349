"""A folder of files that backends may share: it has an identity, by which a row says where its file is."""

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backend.errors import ConflictError
from common.config import ConfigurationError

_IDENTITY = ".pncp-folder"


@dataclass(frozen=True)
class Download:
    """A file to serve, with a tag that no other content has."""

    path: Path
    name: str
    media_type: str
    tag: str


class Folder:
    """A folder in which backends write files. Each job has a folder of its own in it, which goes with its files."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity

    def of_job(self, name: str) -> Path:
        """A new and empty folder of a job."""
        path = self.path / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        return path

    def remove(self, name: str) -> None:
        """Remove a job's folder, if it is there."""
        shutil.rmtree(self.path / name, ignore_errors=True)

    def names(self, prefix: str) -> Iterator[str]:
        """The folders of jobs, whose names have this prefix."""
        return (entry.name for entry in os.scandir(self.path) if entry.name.startswith(prefix) and entry.is_dir())


def open_folder(path: Path, variable: str) -> Folder:
    """Open a folder, which is made if it is missing; `variable` is the setting that names it.

    Raises:
        ConfigurationError: it cannot be written.

    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = path.stat()
        if known.st_uid != os.getuid() and known.st_mode & stat.S_IWOTH:
            raise PermissionError(f"{path} belongs to another user, and anyone may write there")
        return Folder(path, _identity_of(path))
    except OSError as error:
        raise ConfigurationError(f"{variable}: is not a folder that can be written: {error}") from None


def _identity_of(path: Path) -> str:
    """The identity that the folder's first backend has given it: the target of a link, which is made in one step."""
    kept = path / _IDENTITY
    with suppress(FileExistsError):
        kept.symlink_to(uuid.uuid4().hex)
    return kept.readlink().name


def in_another_folder(variable: str) -> ConflictError:
    """The error for a file in the folder of another backend; `variable` is the setting that names the folder."""
    return ConflictError(
        f"O arquivo está na pasta de outro backend: peça-o ao que o fez, ou dê a todos a mesma {variable}."
    )


def size_of(path: Path) -> int:
    """How many bytes the files in a folder take."""
    total = 0
    for entry in os.scandir(path):
        with suppress(FileNotFoundError):  # renamed just now
            total += entry.stat().st_size
    return total
