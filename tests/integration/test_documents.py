"""The commands of README and guides: the same in both languages, and each works beside a demonstration."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from standalone.cli import ROOT
from standalone.notes import running_folders
from tests.demonstration import Demonstration, copy_project

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("demonstration")]

DOCUMENTS = ("README.md", "docs/reading.md", "docs/operating.md")
NOT_RUN = {
    "docker ": "needs a Docker engine; tests/acceptance/test_deployment.py follows the files of it",
    "cp .env.example": "makes a .env, which a running demonstration does not read",
    "python3 -m venv": "tests/acceptance/test_deployment.py installs each service's requirements",
    "pip install": "the same",
    "alembic ": "the same",
    "uvicorn ": "the same",
    "python -m ingestor": "the same",
    "git pull": "changes the folder",
    "scripts/": "tests/acceptance/test_deployment.py runs them on databases of their own",
    "createdb ": "the same: a backup is restored into one of them",
    "export DATABASE_URL=": "a setting",
    "DATABASE_URL=": "the same, or a setting",
    "PNCP_RESULTADOS=": "a setting",
    "PNCP_ARQUIVOS=": "a setting",
    "PNCP_TERMOS=": "a setting",
    "./pncp demo --guide": "tests/acceptance/test_guide.py",
    "./pncp up --systemd |": "changes the machine; the unit itself is printed by the line before",
    "sudo ": "changes the machine",
    "journalctl ": "needs systemd",
    "./pncp completion": "writes into the home; tests/unit/test_completion.py",
    "./pncp hash-password": "asks for a password; tests/integration/test_standalone_tools.py gives it one",
    "./pncp token": "asks for a password; tests/integration/test_standalone_tools.py gives it one",
    "openssl ": "makes a secret",
}
"""How commands begin that are not run here, and why."""
MAIL = {
    "ALERT_EMAIL_TO": "ana@example.org",
    "ALERT_EMAIL_FROM": "pncp@example.org",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "9",
    "PUBLIC_URL": "http://127.0.0.1:8000",
}
"""Settings that the guide's section on saved searches asks for; nothing answers there."""
STARTS = ("./pncp demo", "./pncp up")
REFUSED = {
    "./pncp verdict": "a day of the demonstration has failed",
    "./pncp retry 42": "the execution may have succeeded",
    "curl -X POST http://127.0.0.1:8000/sync/troubles/failed-updates/acknowledge": "no update has failed",
    "curl -X POST http://127.0.0.1:8000/sync/retry-failed": "the goal that the README sets may have read the day",
    "./pncp cancel 42": "the execution has ended",
    "curl -X POST http://127.0.0.1:8000/sync/executions/42/retry": "the execution may have succeeded",
    "curl -X POST http://127.0.0.1:8000/sync/executions/42/cancel": "the execution has ended",
    "curl -u ana -C - -o contratos.parquet http://127.0.0.1:8000/exportacoes/1/arquivo": "the file may not be made yet",
}
"""What may end with exit code 1, or curl's 22 for an answer of 4xx, in a demonstration that has just been started."""


def commands_of(document: str) -> Iterator[str]:
    """Each command of the shell blocks, without comments, continued lines in one."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        joined = re.sub(r"\\\n\s*", "", block)
        lines = [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()]
        yield from (line for line in lines if line)


def links_of(document: str) -> set[str]:
    """The files and places of the project that a document links to, those within it left out."""
    found = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / document).read_text(encoding="utf-8"))
    return {link for link in found if "://" not in link}


def test_both_readmes_have_the_same_commands_and_link_to_each_other() -> None:
    assert list(commands_of("README.md")) == list(commands_of("README.en.md"))
    ours, theirs = links_of("README.md"), links_of("README.en.md")
    assert ours - {"README.en.md"} == theirs - {"README.md"}
    assert "README.en.md" in ours
    assert "README.md" in theirs


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "README.en.md",
        *(f"docs/{name}.md" for name in ("reading", "operating", "delivery", "intake", "sources")),
    ],
)
def test_every_link_of_a_document_leads_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    assert sorted(link for link in links_of(document) if not (folder / link).exists()) == []


@pytest.mark.parametrize(
    "document",
    ["README.md", "README.en.md", *(f"docs/{name}.md" for name in ("reading", "operating", "delivery", "intake"))],
)
def test_every_place_that_a_document_links_to_has_its_heading(document: str) -> None:
    folder = (ROOT / document).parent
    text = (ROOT / document).read_text(encoding="utf-8")
    for file, place in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", text):
        if "://" not in file:
            assert place in anchors_of((folder / file) if file else ROOT / document), (file, place)


def anchors_of(path: Path) -> set[str]:
    """The names of a document's headings in links."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    project = copy_project(tmp_path_factory.mktemp("documents") / "project")
    running = Demonstration(project, "--days", "5", **MAIL)
    running.wait_for("7. Deliver to another system")
    yield running
    running.stop()


def test_every_reason_for_not_running_a_command_is_needed() -> None:
    commands = [command for document in DOCUMENTS for command in commands_of(document)]
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in commands)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_a_document_works_beside_a_demonstration(demonstration: Demonstration, document: str) -> None:
    """In one shell, as a person enters them: what a line sets is there for the next."""
    ((_, port),) = running_folders({"PNCP_HOME": str(demonstration.project / ".data")})
    setting = ""
    for command in commands_of(document):
        if command in STARTS or command.startswith(tuple(NOT_RUN)):
            continue
        meant = re.sub(r"127\.0\.0\.1:8000", f"127.0.0.1:{port}", command).replace("curl -u ana ", "curl ")
        meant = re.sub(r"\b42\b", "1", meant).replace("curl -u admin ", "curl ")
        meant = meant.replace("https://pncp.example.org", f"http://127.0.0.1:{port}")
        meant = meant.replace("curl ", "curl --silent --show-error --fail-with-body ")
        if re.match(r"\w+=\$\(", meant):
            setting = f"{meant}; "
            continue
        done = demonstration.shell(setting + meant)
        allowed = (0, 1, 22) if command.split(" || ")[0] in REFUSED else (0, 3) if " export " in command else (0,)
        assert done.returncode in allowed, (command, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, command
