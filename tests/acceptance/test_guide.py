"""The guided ten minutes of ./pncp demo, each step entered as it is printed and seen to show what it says."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openpyxl import load_workbook

from common.connections.loading import no_connections
from common.entities import reconciliation
from standalone import purchases
from tests.demonstration import Demonstration, copy_project

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("demonstration"), pytest.mark.timeout(500)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    demonstration = Demonstration(copy_project(tmp_path_factory.mktemp("guide") / "project"), "--days", "5")
    demonstration.wait_for("12. Compare one's own purchases with the portal")
    yield demonstration
    demonstration.stop()


def commands_of(guide: str) -> dict[str, list[str]]:
    """The commands of each step, by its number."""
    steps: dict[str, list[str]] = {}
    number = ""
    for line in guide.splitlines():
        if line.startswith("     "):
            steps[number].append(line.strip())
        elif line[:1].isdigit():
            number = line.partition(".")[0]
            steps[number] = []
    return steps


def until(condition: Callable[[], bool], seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.5)


def test_each_step_of_the_guide_shows_what_it_says(running: Demonstration) -> None:
    printed = running.call("demo", "--guide")
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout in running.said.read_text()  # the same as at the start
    steps = commands_of(printed.stdout)
    assert list(steps) == [str(number) for number in range(1, 13)]

    (verdict,) = steps["1"]
    asked = running.shell(verdict)
    assert asked.returncode == 1, asked.stderr
    assert "./pncp retry-failed" in asked.stdout

    for command in steps["2"]:
        done = running.shell(command)
        assert done.returncode == 0, (command, done.stderr)
    until(lambda: states_since(running, steps["2"][-1].split()[-1]) == {"complete"})
    until(lambda: facts(running)["complete"] == "ok")

    newest = running.json("changes", "--limit", "1")["registros"][-1]["seq"]
    update, history = steps["3"]
    assert running.shell(update).returncode == 0
    until(lambda: "schedule" in running.shell(history).stdout)
    until(lambda: any(row["seq"] > newest for row in running.json("changes", "--kind", "inserido")["registros"]))

    (changed,) = steps["4"]
    until(lambda: "alterado" in running.shell(changed).stdout)

    fail, verdict, mend = steps["5"]
    assert running.shell(fail).returncode == 0
    until(lambda: any(trouble["kind"] == "source" for trouble in running.json("verdict")["troubles"]))
    assert running.shell(verdict).returncode == 1
    assert running.shell(mend).returncode == 0
    until(lambda: set(facts(running).values()) == {"ok"}, seconds=180)

    (export,) = steps["6"]
    exported = running.shell(export)
    assert exported.returncode == 0, exported.stderr
    assert "the mirror is complete for this" in exported.stderr
    rows = load_workbook(running.project / Path(export.split()[-1])).worksheets[0].max_row
    assert rows > 100

    destinations, deliver = steps["7"]
    assert "webhook" in running.shell(destinations).stdout
    assert "accepted" in running.shell(deliver).stdout


def test_each_step_of_intake_shows_what_it_says(running: Demonstration) -> None:
    steps = commands_of(running.call("demo", "--guide").stdout)
    drop, imports = steps["8"]
    assert running.shell(drop).returncode == 0
    until(lambda: re.search(r"vendas +vendas\.xlsx +done", running.shell(imports).stdout) is not None)

    push, imports = steps["9"]
    pushed = json.loads(running.shell(push).stdout)
    assert pushed["rejected"] == []
    until(lambda: re.search(r"vendas +JSON +done", running.shell(imports).stdout) is not None)
    again = running.json("imports", str(pushed["import_id"]))
    assert again["unchanged"] == again["rows"] > 0

    (spoilt,) = steps["10"]
    refused = running.shell(spoilt)
    assert refused.returncode == 3, refused.stderr
    assert "(check_digits)" in refused.stdout
    assert "(not_day)" in refused.stdout
    assert "(not_mapped)" in refused.stdout
    saved = running.project / Path(spoilt.split()[2]).with_suffix(".erros.csv")
    assert "check_digits" in saved.read_text(encoding="utf-8-sig")

    sources, read = steps["11"]
    assert "erp" in running.shell(sources).stdout
    assert "all rows: success" in running.shell(read).stdout

    some, everything = steps["12"]
    for command in (some, everything):
        exported = running.shell(command)
        assert exported.returncode in (0, 3), (command, exported.stderr)  # 3: a day is being read
    assert (running.project / "conciliacao.pdf").read_bytes().startswith(b"%PDF")
    rows = list(load_workbook(running.project / "conciliacao.xlsx").worksheets[0].iter_rows(values_only=True))
    columns = no_connections().declarations[reconciliation.NAME].columns
    number, situation, origin = (rows[0].index(columns[name].label) for name in ("numero", "situacao", "origem"))
    found = {row[number]: row[situation] for row in rows[1:] if row[origin] == "compra"}
    assert len(found) == len(purchases.IN_ERP) + len(purchases.IN_SHEET)
    # what the portal has changed meanwhile may differ, too
    assert Counter(found.values()) >= Counter({*purchases.IN_ERP} - {reconciliation.EQUAL})


def states_since(running: Demonstration, day: str) -> set[str]:
    """The states of the closed days from a day on."""
    return {each["state"] for each in running.json("coverage", "--from", day)["days"][:-1]}


def facts(running: Demonstration) -> dict[str, str]:
    """The state of each fact of the verdict."""
    return {fact["fact"]: fact["state"] for fact in running.json("verdict")["facts"]}
