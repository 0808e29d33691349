"""The purchases of a demonstration: most are as the portal shows them, and some differ, one of each kind."""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from common.connections.loading import load_connections
from common.intake.rows import Reader
from simulator.generated import generate
from standalone import purchases
from standalone.courier import EXAMPLES
from standalone.purchases import plan, rows_of, with_faults, write_purchases

LAST = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 12, 0, 0)


@pytest.fixture(scope="module")
def records() -> Sequence[dict[str, Any]]:
    world = generate(1, LAST - timedelta(days=9), LAST, 60, now=lambda: NOW)
    return [world.inventor.record(each) for each in world.contratacoes.records.values()]


def test_each_kind_of_difference_is_planted_once(records: Sequence[dict[str, Any]]) -> None:
    erp, sheet = plan(records, LAST)
    assert [each.situation for each in erp] == list(purchases.IN_ERP)
    assert [each.situation for each in sheet] == list(purchases.IN_SHEET)
    known = {each["numeroControlePNCP"]: each for each in records}
    for each in (*erp, *sheet):
        published = known.get(each.control_number or "")
        match each.situation:
            case "publicada_e_igual":
                assert published is not None
                assert each.value == published["valorTotalHomologado"]
            case "valor_difere":
                assert published is not None
                assert each.value == pytest.approx(published["valorTotalHomologado"] + 1000)
            case "fora_do_prazo":
                assert published is not None
                assert each.signed_on + timedelta(days=35) == date.fromisoformat(published["dataPublicacaoPncp"][:10])
            case "nao_encontrada":
                assert each.control_number
                assert published is None
            case "ambigua":
                same = [one for one in records if one["processo"] == each.process]
                assert [one["orgaoEntidade"]["cnpj"] for one in same].count(each.cnpj) > 1
    named = Counter(each.control_number for each in (*erp, *sheet) if each.control_number)
    assert set(named.values()) == {1}


def test_where_the_portal_has_little_there_are_fewer_purchases(records: Sequence[dict[str, Any]]) -> None:
    assert plan([], LAST) == ([], [])
    usable = [each for each in records if (each["valorTotalHomologado"] or 0) > 1000]
    erp, sheet = plan(usable[:4], LAST)
    assert [each.situation for each in erp[:3]] == ["publicada_e_igual"] * 3
    assert sheet == []


def test_all_rows_of_the_sheet_are_records_and_its_faults_are_three(records: Sequence[dict[str, Any]]) -> None:
    layout = load_connections(EXAMPLES).layouts["vendas"]
    rows = rows_of(plan(records, LAST)[1])
    reader = Reader(layout, door="json")

    def faults(rows: Sequence[dict[str, Any]]) -> set[tuple[int, str]]:
        read = [
            (n, one)
            for n, row in enumerate(json.loads(json.dumps(rows, default=str)), 1)
            for one in reader.read(n, row)
        ]
        return {(number, error.column) for number, one in read for error in one.errors}

    assert faults(rows) == set()
    assert {number for number, _ in faults(with_faults(rows))} == {1, 2, 3}
    for number in {row["Nota"] for row in rows}:
        items = [row for row in rows if row["Nota"] == number]
        assert sum(row["Valor do item"] for row in items) == pytest.approx(items[0]["Valor da compra"])


def test_the_files_are_written_once_and_stay_as_the_person_changes_them(
    records: Sequence[dict[str, Any]], tmp_path: Path
) -> None:
    write_purchases(tmp_path, records, NOW)
    names = {purchases.SHEET, purchases.SHEET_WITH_FAULTS, purchases.RECORDS, purchases.ERP}
    assert {path.name for path in tmp_path.iterdir()} == names
    sheet = load_workbook(tmp_path / purchases.SHEET).worksheets[0]
    assert sheet.max_row == 1 + len(json.loads((tmp_path / purchases.RECORDS).read_text()))
    with closing(sqlite3.connect(tmp_path / purchases.ERP)) as db:
        assert db.execute("SELECT count(*) FROM COMPRA").fetchone() == (len(purchases.IN_ERP),)
        db.execute("DELETE FROM COMPRA")
        db.commit()
        write_purchases(tmp_path, records, NOW)
        assert db.execute("SELECT count(*) FROM COMPRA").fetchone() == (0,)
