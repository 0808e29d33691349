"""The table of faults: every test that it names is there, and no fault is left out."""

import re

from tests.support import ROOT

ROWS = {"A": 35, "B": 17, "C": 9, "D": 12, "E": 17, "F": 12, "G": 10, "H": 17, "J": 8, "K": 10}


def test_every_test_that_the_table_of_faults_names_exists_and_no_fault_is_left_out() -> None:
    table = (ROOT / "docs" / "faults.md").read_text()
    named = set(re.findall(r"`(\w+/\w+\.py)::(\w+)`", table))
    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not re.search(rf"^(async )?def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
    ]
    rows = re.findall(r"^\| ([A-HJK])([0-9]+) \| [^|]+ \| [^|]+ \|$", table, re.MULTILINE)

    assert len(named) > 60
    assert missing == []
    assert rows == [(letter, str(number)) for letter, count in ROWS.items() for number in range(1, count + 1)]
