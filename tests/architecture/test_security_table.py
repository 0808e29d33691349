"""The checklist of security: every row names a test, and every test that it names is there."""

import re

from tests.support import ROOT

PAGE = ROOT / "docs" / "security.md"
TEST = re.compile(r"`(\w+/\w+\.py)::(\w+)`")
POINT = re.compile(r"\b\d{1,2}\.\d{1,2}\.\d{1,2}\b")


def rows() -> list[list[str]]:
    """The cells of each row, without heads and rules."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "point" and not set(row[0]) <= set("-: ")]


def test_every_test_that_the_checklist_names_exists() -> None:
    named = set(TEST.findall(PAGE.read_text()))
    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not re.search(rf"^(async )?def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
    ]
    assert len(named) > 40
    assert missing == []


def test_every_row_of_the_checklist_has_its_three_cells_and_a_test() -> None:
    found = rows()
    assert len(found) > 35
    assert [row for row in found if len(row) != 3 or not all(row) or not TEST.search(row[2])] == []


def test_no_point_stands_in_two_rows() -> None:
    points = [point for row in rows() for point in POINT.findall(row[0])]
    assert len(points) > 40
    assert sorted(points) == sorted(set(points))
