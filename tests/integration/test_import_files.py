"""Files that are taken in: staged, shown, confirmed, refused, processed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from sqlalchemy.ext.asyncio import AsyncConnection

from common.connections.loading import load_connections
from common.connections.settings import Layout
from common.lifecycle import executions, imports, jobs
from ingestor.intake import importing
from ingestor.intake import worker as module
from ingestor.intake.worker import IntakeWorker
from tests.integration.conftest import Database
from tests.integration.test_importing import (
    OTHER,
    SUPPLIER,
    claim,
    counts,
    found,
    has_ended,
    layout,
    push,
    quick,
    tools_of,
    working,
)
from tests.support import eventually

__all__ = ["quick"]

HEADERS = ["CPF ou CNPJ", "Nome ou razão social", "Observação"]


def write_xlsx(path: Path, rows: list[list[Any]], headers: list[str] | None = None) -> bytes:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([headers or HEADERS, *rows]):
            sheet.write_row(number, 0, row)
    return path.read_bytes()


async def upload(database: Database, content: bytes, *, layout: str = "fornecedores_proprios", **given: Any) -> int:
    async def take(db: AsyncConnection) -> int:
        options = {"door": "file", "layout": layout, "file_name": "a.xlsx", **given}
        import_id = await imports.create(db, **options)
        assert import_id is not None
        for part, begin in enumerate(range(0, len(content), 1000)):
            await imports.add_part(db, import_id, part, content[begin : begin + 1000])
        await imports.mark_received(
            db, import_id, layout=layout, size=len(content), sha256=bytes(32), requested_by=None
        )
        return import_id

    return await database.run(take)


@pytest.fixture
def sheet(tmp_path: Path) -> bytes:
    rows = [[SUPPLIER, "Ministério", "x"], [OTHER, "Caixa", "y"], ["123", "Ninguém", "z"]]
    return write_xlsx(tmp_path / "a.xlsx", rows)


async def test_a_sheet_becomes_records_and_its_bad_row_says_where_and_why(database: Database, sheet: bytes) -> None:
    import_id = await upload(database, sheet)
    async with working(database):
        await eventually(has_ended(database, import_id))
    assert await counts(database, import_id) == (3, 0, 2, 0, 1)
    row = await database.row("SELECT row, key, errors FROM import_rows WHERE state = 'rejected'")
    assert row.row == 4, "as the sheet counts"
    assert [(error["column"], error["value"], error["code"]) for error in row.errors] == [
        ("CPF ou CNPJ", "***.000.001-**", "check_digits")
    ]
    notes = await database.value("SELECT notes FROM imports")
    assert notes["unknown_columns"] == ["Observação"]
    assert notes["preview"]["fornecedores_proprios"]["create"] == 2


async def test_a_sheet_that_needs_it_waits_with_its_preview_and_goes_on_when_confirmed(
    database: Database, sheet: bytes
) -> None:
    import_id = await upload(database, sheet, needs_confirmation=True)
    execution_id = await database.value("SELECT execution_id FROM imports")
    async with working(database):

        async def is_held() -> bool:
            return await database.value("SELECT held IS NOT NULL FROM sync_executions")

        await eventually(is_held)
        assert await database.value("SELECT count(*) FROM entity_records") == 0
        assert await database.value("SELECT state FROM imports") == "checked"

        async def confirm(db: AsyncConnection) -> bool:
            return await imports.confirm(db, execution_id, "admin") and await jobs.confirm(db, execution_id)

        assert await database.run(confirm)
        await eventually(has_ended(database, import_id))
    assert await counts(database, import_id) == (3, 0, 2, 0, 1)
    assert await database.value("SELECT status FROM sync_executions") == "success"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty_file"), (b"<html><table><tr><td>1</td></tr></table></html>", None)],
)
async def test_a_file_that_is_no_sheet_ends_its_import_with_the_reason_and_the_worker_goes_on(
    database: Database, sheet: bytes, content: bytes, code: str | None
) -> None:
    bad = await upload(database, content)
    good = await upload(database, sheet)
    async with working(database):
        await eventually(has_ended(database, bad))
        await eventually(has_ended(database, good))
    row = await database.row(f"SELECT state, fault_code, fault FROM imports WHERE id = {bad}")
    assert row.state == "refused"
    assert row.fault
    if code:
        assert row.fault_code == code
    execution = await database.row("SELECT status, cause, error_message FROM sync_executions ORDER BY id LIMIT 1")
    assert tuple(execution) == ("error", "bad_file", row.fault)


async def test_a_sheet_without_a_column_that_is_needed_is_refused_before_any_row(
    database: Database, tmp_path: Path
) -> None:
    import_id = await upload(database, write_xlsx(tmp_path / "b.xlsx", [["Ana"]], ["Nome ou razão social"]))
    async with working(database):
        await eventually(has_ended(database, import_id))
    row = await database.row("SELECT state, fault_code, rows FROM imports")
    assert tuple(row) == ("refused", "missing_columns", 0)


async def test_a_sheet_with_two_columns_for_one_is_refused(database: Database, tmp_path: Path) -> None:
    headers = ["documento", "CPF ou CNPJ", "nome"]
    content = write_xlsx(tmp_path / "b.xlsx", [[SUPPLIER, OTHER, "Ministério"]], headers)
    import_id = await upload(database, content)
    async with working(database):
        await eventually(has_ended(database, import_id))
    row = await database.row("SELECT state, fault_code, fault, rows FROM imports")
    assert tuple(row) == ("refused", "repeated_headers", "há colunas repetidas: CPF ou CNPJ", 0)


async def test_a_file_is_staged_anew_by_who_takes_over(database: Database, sheet: bytes) -> None:
    import_id = await upload(database, sheet)

    async def half(db: AsyncConnection) -> None:
        row = imports.StagedRow(99, "fornecedores_proprios", SUPPLIER, {"documento": SUPPLIER, "nome": "morto"})
        await imports.stage(db, import_id, [row])

    await database.run(half)
    async with working(database):
        await eventually(has_ended(database, import_id))
    assert await counts(database, import_id) == (3, 0, 2, 0, 1)


@asynccontextmanager
async def folder_with(tmp_path: Path, policy: str) -> AsyncIterator[Path]:
    folder = tmp_path / "connections"
    (folder / "layouts").mkdir(parents=True)
    (folder / "layouts" / "parceiros.yaml").write_text(
        f"""policy: {policy}
into:
  - entity: fornecedores_proprios
    fields: {{documento: CPF ou CNPJ, nome: Nome ou razão social}}
  - entity: compras
    fields:
      numero: Nota
      orgao_cnpj: {{const: "{SUPPLIER}"}}
      fornecedor: CPF ou CNPJ
      valor_homologado: Valor
""",
        encoding="utf-8",
    )
    yield folder


async def test_one_row_becomes_records_of_several_entities_with_their_reference(
    database: Database, tmp_path: Path
) -> None:
    content = write_xlsx(
        tmp_path / "c.xlsx",
        [[SUPPLIER, "Ministério", "n1", 10.5], [SUPPLIER, "Ministério", "n2", 20], [OTHER, "Caixa", "n3", 1]],
        ["CPF ou CNPJ", "Nome ou razão social", "Nota", "Valor"],
    )
    async with folder_with(tmp_path, "valid_rows") as folder:
        import_id = await upload(database, content, layout="parceiros")
        async with working(database, folder=folder):
            await eventually(has_ended(database, import_id))
    assert await counts(database, import_id) == (6, 0, 5, 1, 0)
    found = await database.rows("SELECT key, ref_key FROM entity_refs ORDER BY key")
    assert found == [("n1", SUPPLIER), ("n2", SUPPLIER), ("n3", OTHER)]


async def test_a_layout_of_all_or_nothing_takes_nothing_of_a_sheet_with_an_error(
    database: Database, tmp_path: Path
) -> None:
    content = write_xlsx(
        tmp_path / "c.xlsx",
        [[SUPPLIER, "Ministério", "n1", 10.5], ["1", "Ninguém", "n2", 20]],
        ["CPF ou CNPJ", "Nome ou razão social", "Nota", "Valor"],
    )
    async with folder_with(tmp_path, "all_or_nothing") as folder:
        import_id = await upload(database, content, layout="parceiros")
        async with working(database, folder=folder):
            await eventually(has_ended(database, import_id))
    assert await database.value("SELECT state FROM imports") == "refused"
    assert await database.value("SELECT count(*) FROM entity_records") == 0
    assert await database.value("SELECT count(*) FROM import_rows WHERE state = 'rejected'") > 0


async def test_an_import_of_a_layout_that_is_gone_is_refused(
    database: Database, sheet: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAYOUT_SECONDS", 0.01)
    import_id = await upload(database, sheet, layout="sumiu")
    async with folder_with(tmp_path, "valid_rows") as folder, working(database, folder=folder):
        await eventually(has_ended(database, import_id))
    assert await database.value("SELECT fault_code FROM imports") == "unknown_layout"
    execution_id = await database.value("SELECT execution_id FROM imports")
    assert not await database.run(executions.cancel, execution_id, "admin")


async def test_a_preview_is_waited_for_though_the_worker_dies_right_behind_it(database: Database, sheet: bytes) -> None:
    import_id = await upload(database, sheet, needs_confirmation=True)
    await stage_and_die(database, layout("fornecedores_proprios"))
    async with working(database):

        async def is_settled() -> bool:
            return await database.value("SELECT held IS NOT NULL OR status <> 'running' FROM sync_executions")

        await eventually(is_settled)
    assert await database.value(f"SELECT state FROM imports WHERE id = {import_id}") == "checked"
    assert await database.value("SELECT count(*) FROM entity_records") == 0


async def test_all_or_nothing_holds_though_the_worker_dies_right_behind_the_staging(
    database: Database, tmp_path: Path
) -> None:
    content = write_xlsx(
        tmp_path / "c.xlsx",
        [[SUPPLIER, "Ministério", "n1", 10.5], ["1", "Ninguém", "n2", 20]],
        ["CPF ou CNPJ", "Nome ou razão social", "Nota", "Valor"],
    )
    async with folder_with(tmp_path, "all_or_nothing") as folder:
        import_id = await upload(database, content, layout="parceiros")
        await stage_and_die(database, load_connections(folder).layouts["parceiros"])
        async with working(database, folder=folder):
            await eventually(has_ended(database, import_id))
    assert await database.value("SELECT state FROM imports") == "refused"
    assert await database.value("SELECT count(*) FROM entity_records") == 0


async def stage_and_die(database: Database, by: Layout) -> None:
    """What a worker has committed that is killed as soon as the rows are staged."""
    claimed = await claim(database, "dies")
    one = await found(database, claimed)
    with suppress(importing.Refused, importing.NeedsConfirmation):
        await importing.process(tools_of(database, chunks=0), claimed, one, by)
    assert await database.value("SELECT state FROM imports") == "checked"
    await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 second'")


async def test_an_import_waits_while_the_folder_of_its_layout_cannot_be_read(
    database: Database, tmp_path: Path
) -> None:
    content = write_xlsx(
        tmp_path / "c.xlsx",
        [[SUPPLIER, "Ministério", "n1", 10.5]],
        ["CPF ou CNPJ", "Nome ou razão social", "Nota", "Valor"],
    )
    async with folder_with(tmp_path, "valid_rows") as folder:
        async with working(database, folder=folder) as worker:
            await eventually(lambda: _knows(worker, "parceiros"))
            folder.rename(tmp_path / "away")
            await worker._look()
            import_id = await upload(database, content, layout="parceiros")
            await eventually(has_ended(database, import_id))
        assert await database.value("SELECT state FROM imports") == "done"


async def test_a_worker_that_starts_while_its_folder_cannot_be_read_takes_nothing(
    database: Database, sheet: bytes, tmp_path: Path
) -> None:
    import_id = await upload(database, sheet, layout="parceiros")
    async with working(database, folder=tmp_path / "connections") as worker:
        await worker._look()
        await worker._fill_slots()
        assert not worker._held
    assert await database.value(f"SELECT state FROM imports WHERE id = {import_id}") == "received"


async def _knows(worker: IntakeWorker, name: str) -> bool:
    return worker._connections is not None and name in worker._connections.layouts


async def test_an_import_goes_on_when_the_file_of_its_layout_has_been_replaced(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAYOUT_SECONDS", 0.5)
    content = write_xlsx(
        tmp_path / "c.xlsx",
        [[SUPPLIER, "Ministério", "n1", 10.5]],
        ["CPF ou CNPJ", "Nome ou razão social", "Nota", "Valor"],
    )
    async with folder_with(tmp_path, "valid_rows") as folder, working(database, folder=folder) as worker:
        await eventually(lambda: _knows(worker, "parceiros"))
        written = folder / "layouts" / "parceiros.yaml"
        written.rename(tmp_path / "parceiros.yaml")
        await worker._look()
        import_id = await upload(database, content, layout="parceiros")

        async def is_looked_at() -> bool:
            return bool(await database.value("SELECT max(failures) > 0 FROM sync_slices"))

        await eventually(is_looked_at)
        (tmp_path / "parceiros.yaml").rename(written)
        await eventually(has_ended(database, import_id))
    assert await database.value("SELECT state FROM imports") == "done"


async def test_what_was_changed_since_the_preview_is_asked_about_again(database: Database, tmp_path: Path) -> None:
    old = write_xlsx(tmp_path / "old.xlsx", [[SUPPLIER, "Velho", None], [OTHER, "Caixa", None]])
    import_id = await upload(database, old, needs_confirmation=True)
    execution_id = await database.value("SELECT execution_id FROM imports")

    async def waits() -> bool:
        return await database.value(f"SELECT held IS NOT NULL FROM sync_executions WHERE id = {execution_id}")

    async def confirm(db: AsyncConnection) -> bool:
        return await jobs.confirm(db, execution_id) and await imports.confirm(db, execution_id, "admin")

    async with working(database):
        await eventually(waits)
        newer = await push(database, "fornecedores_proprios", {"documento": SUPPLIER, "nome": "Novo"})
        await eventually(has_ended(database, newer))
        assert await database.run(confirm)
        await eventually(waits)
        assert await database.value("SELECT data ->> 'nome' FROM entity_records") == "Novo"
        row = await database.row(f"SELECT notes, confirmed_by FROM imports WHERE id = {import_id}")
        assert (row.notes["changed_since"], row.confirmed_by) == (1, None)
        assert row.notes["preview"]["fornecedores_proprios"] == {"create": 1, "change": 1, "none": 0, "waiting": 0}
        assert await database.run(confirm)
        await eventually(has_ended(database, import_id))
    assert await database.rows("SELECT data ->> 'nome' FROM entity_records ORDER BY 1") == [("Caixa",), ("Velho",)]


async def test_a_sheet_of_which_no_row_can_be_taken_in_is_refused(database: Database, tmp_path: Path) -> None:
    content = write_xlsx(tmp_path / "b.xlsx", [["1", "Ana", None], ["2", "Bia", None]])
    import_id = await upload(database, content, needs_confirmation=True)
    async with working(database):
        await eventually(has_ended(database, import_id))
    assert await counts(database, import_id) == (2, 0, 0, 0, 2)
    row = await database.row("SELECT i.state, i.fault_code, e.status FROM imports i, sync_executions e")
    assert tuple(row) == ("refused", "nothing_accepted", "error")
