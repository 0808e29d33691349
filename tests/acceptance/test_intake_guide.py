"""The guide of docs/intake.md: its commands as they stand there, beside a demonstration, and what they show."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import yaml
from openpyxl import load_workbook

from backend.services.intake.pushing import MOST_RECORDS
from common.connections.loading import check_connections
from common.entities.reconciliation import ONLY_PORTAL, SITUATIONS
from common.intake.faults import SENTENCES
from common.lifecycle.imports import MOST_ERRORS, REFERENCE_MISSING, REPLACED
from ingestor.intake.sheets.reading import MEBIBYTE, Limits
from standalone import purchases
from standalone.courier import EXAMPLES
from tests.demonstration import Demonstration, copy_project
from tests.support import ROOT

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("demonstration"), pytest.mark.timeout(400)]

GUIDE = (ROOT / "docs" / "intake.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
"""Of the backend, as the guide writes it."""


def blocks(language: str, text: str = GUIDE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


STEPS = [[re.sub(r"\s+#.*", "", line) for line in block.splitlines()] for block in blocks("sh", section("Ten minutes"))]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    project = copy_project(tmp_path_factory.mktemp("intake") / "project")
    demonstration = Demonstration(project, "--days", "5", "--still")
    demonstration.wait_for("the first sync is done")
    yield demonstration
    demonstration.stop()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.5)


class Person:
    """Enters lines of the guide, with the address of this demonstration."""

    def __init__(self, running: Demonstration) -> None:
        self.running = running
        (self.backend,) = re.findall(r"(http://\S+)/ \(page\)", running.said.read_text())

    def enter(self, line: str, *codes: int) -> str:
        """What a line prints; `codes` are those that it may end with, 0 if none is given."""
        done = self.running.shell(line.replace(ADDRESS, self.backend))
        assert done.returncode in (codes or (0,)), (line, done.stdout, done.stderr)
        return done.stdout


def test_each_command_of_the_guide_shows_what_it_says(running: Demonstration) -> None:
    start, look, folder, json_rows, faults, database, lists, beside = STEPS
    assert start == ["./pncp demo"]
    person = Person(running)
    check, layout = look
    assert "layouts: 1, sources: 1, destinations: 4" in person.enter(check)
    assert "into:" in person.enter(layout)

    drop, wait, imports, moved = folder
    person.enter(drop)
    assert wait == "sleep 15"
    until(lambda: re.search(r"vendas +vendas\.xlsx +done", person.enter(imports)) is not None)
    until(lambda: running.shell(moved).stdout == "vendas.xlsx\n")

    push, wait, imports = json_rows
    assert json.loads(person.enter(push))["rejected"] == []
    assert wait.startswith("sleep")
    until(lambda: re.search(r"vendas +JSON +done", person.enter(imports)) is not None)
    pushed, dropped = running.json("imports")["imports"]
    assert (pushed["unchanged"], pushed["created"]) == (pushed["rows"], 0)
    assert dropped["created"] > 0

    look_only, take_in, reasons = faults
    assert "nothing was taken in" in person.enter(look_only, 3)
    assert "5 rejected" in person.enter(take_in, 3)
    assert Counter(re.findall(r";(check_digits|not_day|not_mapped);", person.enter(reasons))) == {
        "check_digits": 3,
        "not_day": 1,
        "not_mapped": 1,
    }

    sources, whole, delta = database
    assert person.enter(sources).splitlines()[1].startswith("erp ")
    assert re.search(rf"compras +success +{len(purchases.IN_ERP)} ", person.enter(whole))
    assert "what has changed: success" in person.enter(delta)

    as_sheet, filtered, traced = lists
    person.enter(as_sheet)
    sheet = load_workbook(running.project / "compras.xlsx").worksheets[0]
    assert sheet.max_row == 1 + len(purchases.IN_ERP) + len(purchases.IN_SHEET)
    person.enter(filtered)
    items = (running.project / "itens.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
    assert items
    assert all("V-101" in item for item in items)
    record = json.loads(person.enter(traced))
    assert {one["entity"] for one in record["referred_by"]} == {"itens_vendidos"}
    assert record["imports"][-1]["file_name"] == "vendas.xlsx"

    some, printed, deliver = beside
    for line in (some, printed):
        person.enter(line, 0, 3)  # 3: today is not closed
    assert (running.project / "conciliacao.pdf").read_bytes().startswith(b"%PDF")
    assert "success" in person.enter(deliver)


def test_the_reconciliation_finds_each_planted_difference_and_nothing_else(running: Demonstration) -> None:
    running.call("read", "erp", "--watch")
    pushed = next(line for step in STEPS for line in step if line.startswith("curl") and "/intake/" in line)
    Person(running).enter(pushed)
    until(lambda: len(found(running)) == len(planted()))
    assert found(running) == planted()


def found(running: Demonstration) -> dict[str, str]:
    """What the reconciliation says of each purchase."""
    done = running.call("export", "conciliacao", "--formato", "ndjson", "-o", "-")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["situacao"] for row in rows if row["origem"] == "pncp"} == {ONLY_PORTAL}
    return {row["numero"]: row["situacao"] for row in rows if row["origem"] == "compra"}


def planted() -> dict[str, str]:
    """What the guide says of each purchase."""
    rows = re.findall(r"^\| (`[CV]-.*?) \| `(\w+)`", section("Ten minutes"), re.MULTILINE)
    told: dict[str, str] = {}
    for numbers, situation in rows:
        for first, last in re.findall(r"`(\w-\d+)`(?: to `(\w-\d+)`)?", numbers):
            letter, start, end = first[0], int(first[2:]), int((last or first)[2:])
            told |= {f"{letter}-{number:03}": situation for number in range(start, end + 1)}
    return told


def test_the_guide_lists_the_differences_that_are_planted() -> None:
    numbered = {f"C-{number:03}": each for number, each in enumerate(purchases.IN_ERP, 1)}
    numbered |= {f"V-{number:03}": each for number, each in enumerate(purchases.IN_SHEET, 101)}
    assert planted() == numbered


def test_the_guide_names_every_reason_every_situation_and_every_limit() -> None:
    reasons = section("What is refused, and why")
    assert [code for code, (_, english) in SENTENCES.items() if f"| `{code}` | {english} |" not in reasons] == []
    assert [code for code in (REFERENCE_MISSING, REPLACED) if f"| `{code}` |" not in reasons] == []
    assert re.findall(r"^\| `(\w+)` \|", section("Reconciliation"), re.MULTILINE)[1:] == list(SITUATIONS)
    limits, most = section("Limits"), Limits()
    for said in (
        f"{most.rows:,} rows, {most.columns} columns",
        f"{most.inflated // MEBIBYTE} MiB unpacked, {most.parts:,} parts",
        f"{most.seconds} seconds, {most.memory // MEBIBYTE} MiB",
        f"{MOST_RECORDS:,} records",
        f"{MOST_ERRORS} of a row",
    ):
        assert said in limits


def test_every_yaml_of_the_guide_holds_beside_the_files_of_the_demonstration(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each is a file of its own, which may name the entities of the demonstration."""
    shown = [(block.partition("\n")[0].removeprefix("# "), block) for block in blocks("yaml")]
    assert len(shown) == 2
    for name, block in shown:
        folder = tmp_path_factory.mktemp("connections")
        (folder / "entities").mkdir()
        (folder / "layouts").mkdir()
        customers = (EXAMPLES / "entities" / "clientes.yaml").read_text(encoding="utf-8")
        (folder / "entities" / "clientes.yaml").write_text(customers, encoding="utf-8")
        (folder / name).write_text(block, encoding="utf-8")
        assert isinstance(yaml.safe_load(block), dict)
        assert check_connections(folder)[1] == (), name
