"""The rules of the house that import contracts cannot say."""

import ast
import hashlib
import re
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from pydantic_settings import BaseSettings
from sqlalchemy.dialects.postgresql import JSONB

from backend.config import OWN_PREFIXES, BackendSettings
from common.config import DatabaseSettings, find_typos, secrets_of
from common.resources import RESOURCES
from common.resources.coletas import COLETAS, PAGINAS, demandas
from common.resources.derive import to_markdown
from common.resources.mudancas import MUDANCAS
from common.resources.parties import PARTIES
from common.resources.resumo import DAILY, DELTAS, MONTHLY
from common.tables import SCHEMA_REVISION, metadata
from ingestor.config import IngestorSettings
from tests.compose import example_settings, interpolated_names, load_compose
from tests.support import ROOT

SERVICES = ("backend", "ingestor")
OF_COMPOSE = {
    *("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "GRAFANA_PASSWORD", "GRAFANA_PORT"),
    *("PROMETHEUS_USERNAME", "PROMETHEUS_PASSWORD", "PROMETHEUS_PORT", "CONNECTIONS_SECRETS_DIR"),
    *("ELASTIC_PASSWORD", "LOGS_PASSWORD", "LOGS_DAYS", "KIBANA_PORT"),
}
# what only ./pncp reads, to ask a backend
TERMINAL = {"PNCP_SYNC_URL", "PNCP_SYNC_USERNAME", "PNCP_SYNC_PASSWORD"}
CODE = [path for folder in (*SERVICES, "common") for path in sorted((ROOT / folder).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


COMMON = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "common").rglob("*.py"))
    if path.stem != "__main__"
}


def modules_of_common_used_by(service: str) -> set[str]:
    """Those that a service imports, and those that these import in turn."""
    found: set[str] = set()
    left = {name for path in (ROOT / service).rglob("*.py") for name in imports_of(path)}
    while left:
        fresh = (left & COMMON.keys()) - found
        found |= fresh | (
            {name.rpartition(".")[0] for name in fresh} & COMMON.keys()
        )  # a package is run with its module
        left = {name for module in fresh for name in imports_of(COMMON[module])}
    return found


def test_a_module_of_common_is_used_by_both_services() -> None:
    for service in SERVICES:
        assert modules_of_common_used_by(service) == COMMON.keys(), service


def test_only_the_state_machine_writes_a_status() -> None:
    writes = re.compile(r"UPDATE\s+sync_(executions|slices)|(update|insert)\(sync_(executions|slices)\)", re.IGNORECASE)
    writers = {str(path.relative_to(ROOT)) for path in CODE if writes.search(path.read_text())}
    names = ("admission", "executions", "intake", "jobs", "slices")
    assert writers == {f"common/lifecycle/{name}.py" for name in names}


def test_no_two_advisory_locks_share_a_number() -> None:
    """They are one space for the whole database: two of them that are equal would wait for each other."""
    numbers = [
        found
        for path in (*CODE, ROOT / "migrations" / "env.py")
        for found in re.findall(r"^\w+ = (7_020_114_\d+)", path.read_text(), re.MULTILINE)
    ]
    assert len(numbers) >= 4
    assert sorted(numbers) == sorted(set(numbers))


def test_the_broker_is_known_to_four_files() -> None:
    users = {str(path.relative_to(ROOT)) for path in CODE if "aio_pika" in imports_of(path)}
    assert users == {
        "common/rabbit.py",
        "backend/services/publisher.py",
        "ingestor/listener.py",
        "ingestor/delivery/amqp.py",
    }


def test_the_bytes_of_the_broker_are_known_to_one_file() -> None:
    users = {
        str(path.relative_to(ROOT)) for path in CODE if imports_of(path) & {"aiormq", "aiormq.connection", "pamqp"}
    }
    assert users == {"ingestor/wire.py"}


def test_the_http_client_is_known_to_four_files() -> None:
    users = {str(path.relative_to(ROOT)) for path in CODE if imports_of(path) & {"httpx", "aiohttp"}}
    assert users == {
        "ingestor/sources/pncp/client.py",
        "ingestor/sources/pncp/bodies.py",
        "ingestor/delivery/http.py",
        "backend/services/alerts/channels.py",
    }


def test_prometheus_is_known_to_three_files() -> None:
    users = {str(path.relative_to(ROOT)) for path in CODE if any("prometheus" in name for name in imports_of(path))}
    assert users == {"backend/metrics.py", "backend/services/figures.py", "ingestor/metrics.py"}


def test_only_one_file_says_depends() -> None:
    users = {path.name for path in CODE if "fastapi.Depends" in imports_of(path)}
    assert users == {"dependencies.py"}


def test_times_are_converted_in_one_file() -> None:
    users = {str(path.relative_to(ROOT)) for path in CODE if "zoneinfo" in imports_of(path)}
    assert users == {"common/clock.py"}


def test_the_ingestor_plans_by_the_database_s_clock() -> None:
    """A machine whose clock is three days late plans the same windows and runs the same ticks as any other."""
    clocks = re.compile(r"\b(datetime\.(now|utcnow|today)|date\.today|time\.(time|localtime|strftime))\(")
    shared = ("common/watermarks.py", "common/coverage.py", "common/clock.py", "common/messages.py")
    packages = (ROOT / "ingestor", ROOT / "common" / "lifecycle")
    paths = [*(path for package in packages for path in package.rglob("*.py")), *(ROOT / name for name in shared)]
    # a pause that the portal asks for until a date is short in any case; a destination checks signatures by its clock
    users = {str(path.relative_to(ROOT)) for path in paths if clocks.search(path.read_text())}
    assert users <= {"ingestor/sources/pncp/client.py", "ingestor/delivery/http.py"}


def test_no_text_of_sql_is_made_with_an_f_string() -> None:
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "text":
                assert not isinstance(node.args[0], ast.JoinedStr), f"{path}:{node.lineno}"


def test_every_setting_stands_in_the_example_and_the_other_way_round() -> None:
    settings = {name.upper() for kind in (BackendSettings, IngestorSettings) for name in kind.model_fields}
    assert names_in_example() == settings | TERMINAL | {"PNCP_HOME"} | OF_COMPOSE


def test_every_secret_may_come_from_a_file_and_the_example_says_so() -> None:
    secrets = secrets_of(BackendSettings) | secrets_of(IngestorSettings)
    looks_secret = {name for name in names_in_example() if re.search(r"(PASSWORD|_HASH|SECRET|_URL)", name)}
    assert secrets == looks_secret - {"PNCP_BASE_URL", "PUBLIC_URL", "TRACES_URL"} - TERMINAL - OF_COMPOSE
    named = set(re.findall(r"\b([A-Z_]+)_FILE\b", (ROOT / ".env.example").read_text()))
    assert named == secrets


def test_no_name_of_the_example_is_taken_for_a_typo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in names_in_example():
        monkeypatch.setenv(name, "x")
    ours = names_in_example()
    assert not ours & find_typos(BackendSettings, OWN_PREFIXES).keys()
    assert not ours & find_typos(IngestorSettings).keys()


@pytest.mark.parametrize(
    ("service", "settings"),
    [("pncp-backend", BackendSettings), ("ingestor", IngestorSettings), ("migrations", DatabaseSettings)],
)
def test_compose_sets_every_setting_of_a_service_and_nothing_else(service: str, settings: type[BaseSettings]) -> None:
    environment = load_compose(example_settings())["services"][service]["environment"]
    assert set(environment) == {name.upper() for name in settings.model_fields}


def test_the_courier_of_compose_has_settings_of_a_worker_and_none_of_the_portal() -> None:
    environment = load_compose(example_settings())["services"]["courier"]["environment"]
    assert set(environment) < {name.upper() for name in IngestorSettings.model_fields}
    assert not any(name.startswith("PNCP_") for name in environment)
    assert (environment["WORKER_KINDS"], environment["CONNECTIONS_DIR"]) == ("delivery,intake", "/connections")


def test_compose_takes_from_the_example_whatever_it_does_not_decide_itself() -> None:
    decided = {"DATABASE_URL", "RABBITMQ_URL", "BACKEND_HOST", "BACKEND_RELOAD", "PNCP_HOME", *TERMINAL}
    decided |= {"METRICS_HOST", "METRICS_PORT", "EXPORT_DIR", "FILES_DIR"}
    assert interpolated_names() == names_in_example() - decided


def names_in_example() -> set[str]:
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_the_data_dictionary_is_what_the_descriptions_say() -> None:
    assert (ROOT / "docs" / "data.md").read_text() == to_markdown(RESOURCES, PARTIES)


def test_the_data_dictionary_has_every_column_of_every_table_of_the_mirror() -> None:
    documented: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / "data.md").read_text().splitlines():
        if heading := re.match(r"## `(\w+)`", line):
            rows = documented[heading[1]] = []
        elif row := re.match(r"\| `(\w+)` \|", line):
            rows.append(row[1])
    mirror = [
        table for table in metadata.tables.values() if isinstance(getattr(table.c.get("payload"), "type", None), JSONB)
    ]
    mirror += [metadata.tables[name] for name in (COLETAS, PAGINAS, DAILY, MONTHLY, DELTAS, MUDANCAS)] + [demandas()]
    assert documented == {table.name: table.columns.keys() for table in mirror}


def test_the_expected_revision_is_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(Config(str(ROOT / "alembic.ini")))
    assert scripts.get_current_head() == SCHEMA_REVISION


def test_pins_are_exact_and_agree() -> None:
    pins: dict[str, set[str]] = {}
    for path in ROOT.glob("requirements-*.txt"):
        for line in path.read_text().splitlines():
            name, found, rest = line.partition("==")
            assert found, f"{path.name}: {line} is not pinned"
            # on which machines a package is needed depends on what stands beside it
            pins.setdefault(name, set()).add(rest.partition(" ;")[0])
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


def test_vendored_files_are_those_that_were_taken_in() -> None:
    vendor = ROOT / "backend" / "web" / "vendor"
    sums = dict(reversed(line.split("  ")) for line in (vendor / "SHA256SUMS").read_text().splitlines())
    files = {str(path.relative_to(vendor)): path for path in vendor.glob("*/**/*") if path.is_file()}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == sums


def test_the_requirements_of_a_service_do_not_hold_what_only_the_other_one_needs() -> None:
    backend = (ROOT / "requirements-backend.txt").read_text()
    ingestor = (ROOT / "requirements-ingestor.txt").read_text()
    assert "aiohttp" not in backend
    assert "fastapi" not in ingestor
    for text in (backend, ingestor):
        assert "pytest" not in text
        assert "embedded" not in text


def test_every_decision_has_a_status_that_the_index_repeats() -> None:
    folder = ROOT / "docs" / "adr"
    rows = {}
    for path in sorted(folder.glob("0*.md")):
        title, _, status = path.read_text().splitlines()[:3]
        number = path.name[:4]
        assert title.startswith(f"# {number}: ")
        assert re.match(r"Status: (accepted|superseded by \[\d{4}\])", status), path.name
        amended_by = re.findall(r"\[(\d{4})\]", status.partition("Amended by")[2])
        *first, last = amended_by or [""]
        named = f"{', '.join(first)} and {last}" if first else last
        shown = status.removeprefix("Status: ").partition(".")[0].replace("[", "").partition("]")[0]
        rows[path.name] = f"{shown}, amended by {named}" if named else shown
    listed = re.findall(
        r"^\| \[\d{4}\]\(([^)]+)\) \| .* \| ([^|]+) \|$", (folder / "README.md").read_text(), re.MULTILINE
    )
    assert dict(listed) == rows


def test_the_code_is_in_plain_english() -> None:
    """No metaphors for messages, and a named subject in place of an impersonal one."""
    words = re.compile(
        r"\b(bells?|ropes?|rings?|rang|rung|bur(y|ied|ies)|whoever|nobody|somebody|whom)\b", re.IGNORECASE
    )
    folders = (*SERVICES, "common", "simulator", "standalone", "bench")
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))):
        found = {match[0] for match in words.finditer(path.read_text())}
        assert not found, f"{path.relative_to(ROOT)}: {', '.join(sorted(found))}"
