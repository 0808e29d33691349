"""Makes .venv with the pinned packages, then runs the command in it; itself on any Python 3.11 and nothing else."""

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standalone import cli
from standalone.console import complain, say, step
from standalone.language import tr
from standalone.processes import ENDING_SIGNALS, Interruption, Supervisor
from standalone.system import LaunchError

Stamp = dict[str, str]


def main() -> None:
    """Check the command line, make the environment fit for it, and become the command in that environment."""
    name, _ = cli.parse(sys.argv[1:])
    folder = cli.ROOT / ".venv"
    supervisor = Supervisor(folder)
    supervisor.listen()
    try:
        prepare(folder, cli.COMMANDS[name].requirements, supervisor)
        supervisor.check()
    except Interruption:
        say(tr("stopped"))
        sys.exit(130)
    except LaunchError as error:
        complain(str(error))
        sys.exit(1)
    python = folder / "bin" / "python"
    # A signal that comes while one program becomes the other waits until the other can handle it.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    os.execv(python, [str(python), "-m", "standalone", *sys.argv[1:]])  # noqa: S606


def prepare(folder: Path, requirements: str, supervisor: Supervisor) -> None:
    """Make the environment if it is missing or unfit, and install what the requirements file pins if that changed.

    A lock lets a second start wait; `pncp-stamp.json` says what is installed, and is missing while it is being done.
    """
    wanted = checksum(cli.ROOT / requirements)
    key = Path(requirements).stem
    if is_fit(folder) and read_stamp(folder).get(key) == wanted:
        return
    folder.mkdir(exist_ok=True)
    with _locked(folder, supervisor) as lock:
        if not is_fit(folder):
            _make(folder, supervisor, lock)
        stamp = read_stamp(folder)
        # Another start may have done it while we waited.
        if stamp.get(key) != wanted:
            (folder / "pncp-incomplete").touch()
            (folder / "pncp-stamp.json").unlink(missing_ok=True)
            with step(tr("installing the packages of {file}", file=requirements)):
                _install(folder, cli.ROOT / requirements, supervisor, lock)
            _write_stamp(folder, requirements)
            (folder / "pncp-incomplete").unlink()


def checksum(path: Path) -> str:
    """What changes when the file's content does."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_stamp(folder: Path) -> Stamp:
    """What was installed in the environment: a checksum per requirements file, the Python, the folder's own path."""
    path = folder / "pncp-stamp.json"
    if not path.exists():
        return {}
    stamp: Stamp = json.loads(path.read_text(encoding="utf-8"))
    return stamp


def _write_stamp(folder: Path, requirements: str) -> None:
    # The packages for development hold those for running as well.
    files = {requirements, cli.LOCAL} if requirements == cli.DEVELOPMENT else {requirements}
    stamp = {Path(name).stem: checksum(cli.ROOT / name) for name in files}
    stamp |= {"python": _ask_version(folder), "folder": str(folder.resolve())}
    fresh = folder / "pncp-stamp.new"
    fresh.write_text(json.dumps(stamp), encoding="utf-8")
    fresh.replace(folder / "pncp-stamp.json")


def _ask_version(folder: Path) -> str:
    """The version of the environment's Python; empty when it does not run, as after its Python was removed."""
    python = folder / "bin" / "python"
    if not python.exists():
        return ""
    asked = subprocess.run(
        [python, "-I", "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""


def is_fit(folder: Path) -> bool:
    """Whether the environment works, is whole, was made in this very folder, and for this Python."""
    version = _ask_version(folder)
    if not version or (folder / "pncp-incomplete").exists():
        return False
    stamp = read_stamp(folder)
    if os.environ.get("PYTHON") and version.split(".")[:2] != platform.python_version().split(".")[:2]:
        return False
    if stamp:
        return stamp["folder"] == str(folder.resolve()) and stamp["python"] == version
    # Made by another tool: usable, unless it was copied here and its scripts lead elsewhere.
    activate = folder / "bin" / "activate"
    new_enough = tuple(int(part) for part in version.split(".")[:2]) >= (3, 11)
    return new_enough and activate.exists() and str(folder.resolve()) in activate.read_text(encoding="utf-8")


@contextmanager
def _locked(folder: Path, supervisor: Supervisor) -> Iterator[int]:
    with (folder / "pncp-lock").open("w", encoding="ascii") as file:
        if not _try_lock(file.fileno()):
            with step(tr("waiting for another ./pncp that is installing")):
                while not _try_lock(file.fileno()):
                    supervisor.pause()
        yield file.fileno()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make(folder: Path, supervisor: Supervisor, lock: int) -> None:
    """Make the environment anew in place; the lock file is what has to stay."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != "pncp-lock":
            entry.unlink()
    # The Python that runs this may itself be one of an environment, even of this one.
    python = str(getattr(sys, "_base_executable", sys.executable))
    with step(tr("making .venv with Python {version}", version=platform.python_version())):
        uv = shutil.which("uv")
        if uv and _run_uv([uv, "venv", "--allow-existing", "--python", python, str(folder)], supervisor, lock):
            return
        _require_venv()
        supervisor.run("venv", [python, "-I", "-m", "venv", str(folder)], _clean_environment(), keep=(lock,))


def _require_venv() -> None:
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    version = ".".join(platform.python_version_tuple()[:2])
    raise LaunchError(
        tr(
            "this Python {version} cannot make virtual environments. On Debian or Ubuntu: apt-get install "
            "python{version}-venv; or install uv (https://docs.astral.sh/uv/), which does without",
            version=version,
        )
    )


def _install(folder: Path, requirements: Path, supervisor: Supervisor, lock: int) -> None:
    python = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv and _run_uv([uv, "pip", "install", "--python", python, "-r", str(requirements)], supervisor, lock):
        return
    if not (folder / "bin" / "pip").exists():
        supervisor.run("pip", [python, "-I", "-m", "ensurepip"], _clean_environment(), keep=(lock,))
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "-r", str(requirements)]
    supervisor.run("pip", [python, "-I", "-m", "pip", "install", *options], _clean_environment(), keep=(lock,))


def _run_uv(command: list[str], supervisor: Supervisor, lock: int) -> bool:
    """Whether uv did it; pip may still manage where uv cannot, with a closed cache folder or an index of its own."""
    try:
        supervisor.run("uv", command, _clean_environment(), keep=(lock,))
    except LaunchError as error:
        why = str(error).splitlines()[-1].strip()
        say(tr("(uv could not: {why}; trying pip) ", why=why), end="")
        return False
    return True


def _clean_environment() -> dict[str, str]:
    """Without what would lead an installer to other packages than those of this environment."""
    strange = {"PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in strange}


if __name__ == "__main__":
    main()
