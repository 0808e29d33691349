"""Imports as they are shown and decided on: the list, one with its preview, its rows, its errors as a file."""

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from common.lifecycle import imports
from tests.intake_rows import Intake, bad, good
from tests.integration.conftest import ADMIN, VIEWER, Database, Open
from tests.integration.test_scopes import allow, bearer
from tests.integration.test_scopes import folder as _folder

CPF, MASKED = "52998224725", "***.982.247-**"
folder = _folder


@pytest.fixture
def intake(engine: AsyncEngine) -> Intake:
    return Intake(engine)


async def test_imports_are_listed_from_the_newest_by_layout_state_and_door(
    api: httpx.AsyncClient, intake: Intake
) -> None:
    first = await intake.file()
    second = await intake.file("compras", door="folder")
    await intake.ended(second, "refused")
    third = await intake.file(door="file")
    listed = (await api.get("/imports")).json()
    assert ([one["id"] for one in listed["imports"]], listed["next_cursor"]) == ([third, second, first], None)
    for query, expected in (
        ("layout=produtos", [third, first]),
        ("state=refused", [second]),
        ("door=page", [first]),
        ("layout=x", []),
    ):
        assert [one["id"] for one in (await api.get(f"/imports?{query}")).json()["imports"]] == expected, query
    page = (await api.get("/imports?limit=2")).json()
    rest = (await api.get(f"/imports?limit=2&cursor={page['next_cursor']}")).json()
    assert ([one["id"] for one in rest["imports"]], rest["next_cursor"]) == ([first], None)
    assert (await api.get("/imports/99")).json()["code"] == "unknown_import"


async def test_a_held_import_shows_what_its_rows_would_do_and_goes_on_when_it_is_confirmed(
    api: httpx.AsyncClient, intake: Intake, database: Database
) -> None:
    import_id = await intake.file()
    rows = [good(2, "1"), good(3, "2"), bad(4, ("descricao", "", "required", "falta o valor"))]
    plan = {"create": 1, "change": 1, "none": 0, "waiting": 0}
    await intake.staged(import_id, rows, {"unknown_columns": ["cor"], "preview": {"produtos": plan}})
    shown = (await api.get(f"/imports/{import_id}")).json()
    assert (shown["phase"], shown["rows"], shown["pending"], shown["rejected"]) == ("held", 3, 2, 1)
    assert shown["notes"] == {"unknown_columns": ["cor"]}
    expected = {"entity": "produtos", "rows": 3, **plan, "remove": 0, "rejected": 1, "unknown": 0, "repeated": 0}
    assert shown["preview"] == [expected]
    confirmed = await api.post(f"/imports/{import_id}/confirm")
    assert (confirmed.status_code, confirmed.json()["phase"]) == (200, "processing")
    assert confirmed.json()["confirmed_by"] == "an administrator"
    job = await database.execution(confirmed.json()["job_id"])
    assert (job.held, job.options["confirmed"]) == (None, True)
    again = await api.post(f"/imports/{import_id}/confirm")
    assert (again.status_code, again.json()["code"]) == (409, "import_not_held")


async def test_imports_are_counted_by_what_they_wait_for(
    api: httpx.AsyncClient, intake: Intake, database: Database
) -> None:
    assert set((await api.get("/imports/resumo")).json().values()) == {0}
    held, running, done, old = [await intake.file() for _ in range(4)]
    await intake.staged(held, [good(2, "1"), bad(3, ("descricao", "", "required", "falta o valor"))])
    await intake.staged(running, [good(2, "1"), good(3, "2")], held=False)
    await intake.waits(running, 3, "fornecedores_proprios", "7")
    await intake.ended(done, "refused")
    await intake.staged(old, [bad(2, ("descricao", "", "required", "falta o valor"))])
    await database.rows("UPDATE imports SET created_at = now() - interval '8 days' WHERE id = :id", id=old)
    assert (await api.get("/imports/resumo")).json() == {
        "today": 3,
        "held": 2,
        "running": 1,
        "waiting_rows": 1,
        "rejected_rows": 1,
        "refused": 1,
    }


async def test_an_import_is_discarded_once_and_its_job_with_it(
    api: httpx.AsyncClient, intake: Intake, database: Database
) -> None:
    import_id = await intake.file()
    await intake.staged(import_id, [good(2, "1")])
    discarded = (await api.post(f"/imports/{import_id}/discard")).json()
    assert (discarded["state"], discarded["phase"]) == ("discarded", "discarded")
    job = await database.execution(discarded["job_id"])
    assert (job.status, job.cause) == ("error", "cancelled")
    assert (await api.post(f"/imports/{import_id}/discard")).json()["code"] == "import_ended"
    assert (await api.post(f"/imports/{import_id}/confirm")).json()["code"] == "import_not_held"


async def test_jobs_show_imports_and_what_is_decided_there_holds_for_the_import(
    api: httpx.AsyncClient, intake: Intake, database: Database
) -> None:
    first, second = await intake.file(), await intake.file("compras")
    await intake.staged(first, [good(2, "1")])
    listed = (await api.get("/jobs?kind=intake")).json()["jobs"]
    assert [(one["subject"], one["import_id"], one["mode"]) for one in listed] == [
        ("compras", second, "importacao"),
        ("produtos", first, "importacao"),
    ]
    assert (await api.get("/jobs?kind=delivery")).json()["jobs"] == []
    held, queued = listed[1], listed[0]
    assert (held["phase"], held["held"]["reason"], queued["phase"]) == ("held", "confirm_import", "queued")
    detail = (await api.get(f"/jobs/{held['id']}")).json()
    assert [(one["stream"], one["entity"], one["status"]) for one in detail["streams"]] == [
        ("produtos", None, "pending")
    ]
    assert (await api.post(f"/jobs/{held['id']}/confirm")).status_code == 200
    assert await database.value("SELECT confirmed_by FROM imports WHERE id = :id", id=first) == "an administrator"
    assert (await api.post(f"/jobs/{queued['id']}/cancel")).status_code == 200
    assert await database.value("SELECT state FROM imports WHERE id = :id", id=second) == "discarded"
    await database.rows(
        "INSERT INTO execution_log (execution_id, logged_at, level, event, fields)"
        " VALUES (:id, now(), 'info', 'import is staged', '{}')",
        id=held["id"],
    )
    assert [line["event"] for line in (await api.get(f"/jobs/{held['id']}/log")).json()["lines"]] == [
        "import is staged"
    ]
    assert "import is staged" in (await api.get(f"/jobs/{held['id']}/log?formato=texto")).text


async def test_rows_are_paged_with_all_their_digits(api: httpx.AsyncClient, intake: Intake) -> None:
    import_id = await intake.file()
    exact = good(1, "7", codigo="7", preco=Decimal("12345678901234567.8901"))
    rows = [exact, good(1, "c", "compras"), bad(2, ("x", "y", "z", "m")), good(2, "d", "compras"), good(3, "8")]
    await intake.staged(import_id, rows)
    await intake.waits(import_id, 3, "fornecedores_proprios", "9")
    answer = await api.get(f"/imports/{import_id}/rows?limit=3")
    assert b"12345678901234567.8901" in answer.content
    found, cursor = list(answer.json()["rows"]), answer.json()["next_cursor"]
    assert cursor == "2:compras"
    rest = (await api.get(f"/imports/{import_id}/rows?limit=3&cursor={cursor}")).json()
    assert rest["next_cursor"] is None
    found += rest["rows"]
    assert [(one["row"], one["entity"]) for one in found] == [
        (1, "compras"),
        (1, "produtos"),
        (2, "compras"),
        (2, "produtos"),
        (3, "produtos"),
    ]
    assert found[3]["errors"] == [{"column": "x", "value": "y", "code": "z", "message": "m"}]
    assert found[4]["waits_for"] == {"entity": "fornecedores_proprios", "key": "9"}
    for query, numbers in (("state=rejected", [2]), ("entidade=compras", [1, 2]), ("state=processed", [])):
        listed = (await api.get(f"/imports/{import_id}/rows?{query}")).json()["rows"]
        assert [one["row"] for one in listed] == numbers, query
    assert (await api.get(f"/imports/{import_id}/rows?cursor=99999999999:x")).status_code == 422
    assert (await api.get(f"/imports/{import_id}/rows?cursor=9999999999:x")).json()["rows"] == []
    assert (await api.get("/imports/99/rows")).status_code == 404


async def test_errors_are_a_csv_in_which_no_cell_is_a_formula(api: httpx.AsyncClient, intake: Intake) -> None:
    import_id = await intake.file()
    signs = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", 'com ; e "aspas"']
    await intake.staged(import_id, [bad(2, *(("descricao", sign, "c", "m") for sign in signs)), good(3, "1")])
    answer = await api.get(f"/imports/{import_id}/erros.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="importacao-{import_id}.erros.csv"'
    assert answer.content.startswith("\ufeff".encode())
    head, *lines = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"), newline=""), delimiter=";")
    assert head == ["linha", "entidade", "coluna", "valor", "codigo", "mensagem"]
    assert [line[3] for line in lines] == [*(f"'{sign}" for sign in signs[:-1]), signs[-1]]
    assert (await api.get("/imports/99/erros.csv")).status_code == 404
    await intake.ended(import_id, "refused")
    refused = (await api.get(f"/imports/{import_id}/erros.csv")).text.splitlines()
    assert refused[1] == ";produtos;;;bad_file;"


async def test_many_errors_are_written_in_several_parts(api: httpx.AsyncClient, intake: Intake) -> None:
    import_id = await intake.file()
    await intake.staged(import_id, [bad(row, ("a", str(row), "c", "m")) for row in range(2, 2503)])
    lines = (await api.get(f"/imports/{import_id}/erros.csv")).text.splitlines()
    assert [line.split(";")[0] for line in lines[1:]] == [str(row) for row in range(2, 2503)]


async def test_viewers_see_imports_with_masked_cpfs_and_decide_on_none(start: Open, intake: Intake) -> None:
    import_id = await intake.file("fornecedores_proprios")
    rows = [
        good(2, CPF, "fornecedores_proprios", documento=CPF, nome=f"Ana {CPF}"),
        bad(3, ("nome", CPF, "c", f"m {CPF}"), entity="fornecedores_proprios"),
    ]
    await intake.staged(import_id, rows, {"x": CPF})
    async with (await start())() as api:
        for path in ("", f"/{import_id}", f"/{import_id}/rows", f"/{import_id}/erros.csv"):
            shown = await api.get(f"/imports{path}", auth=VIEWER)
            assert shown.status_code == 200
            assert CPF not in shown.text, path
        assert MASKED in (await api.get(f"/imports/{import_id}/rows", auth=VIEWER)).text
        assert CPF in (await api.get(f"/imports/{import_id}/rows", auth=ADMIN)).text
        for change in ("confirm", "discard"):
            assert (await api.post(f"/imports/{import_id}/{change}", auth=VIEWER)).status_code == 403


async def test_a_program_sees_and_decides_on_what_it_has_handed_in_and_nothing_else(
    start: Open, folder: Path, intake: Intake
) -> None:
    allow(folder, "intake:produtos")
    own = await intake.file(who="client:erp")
    await intake.staged(own, [good(2, "1")])
    other = await intake.file(who="client:other")
    narrowed = await intake.file("fornecedores_proprios", who="client:erp")  # before it lost that scope
    await intake.staged(narrowed, [good(2, CPF, "fornecedores_proprios", documento=CPF)])
    async with (await start(connections_dir=folder))() as api:
        api.headers.update(await bearer(api))
        assert [one["id"] for one in (await api.get("/imports")).json()["imports"]] == [narrowed, own]
        assert CPF in (await api.get(f"/imports/{narrowed}/rows")).text, "it has sent it itself"
        for path in ("", "/rows", "/erros.csv"):
            assert (await api.get(f"/imports/{other}{path}")).json()["code"] == "unknown_import"
        for change in ("confirm", "discard"):
            assert (await api.post(f"/imports/{other}/{change}")).status_code == 404
        assert (await api.post(f"/imports/{narrowed}/confirm")).json()["code"] == "insufficient_scope"
        assert (await api.post(f"/imports/{own}/confirm")).status_code == 200
        assert (await api.get("/jobs")).status_code == 403


# What is old


async def test_imports_are_deleted_by_their_age_in_small_steps_and_those_with_waiting_rows_later(
    intake: Intake, database: Database
) -> None:
    old, waiting, fresh = [await intake.file() for _ in range(3)]
    for import_id in (old, waiting, fresh):
        await intake.staged(import_id, [good(row, str(row)) for row in range(2, 14)])
    await intake.ended(old, age="31 days", pending=0, processed=12)
    await intake.waits(waiting, 2, "compras", "x")
    await intake.ended(waiting, age="29 days", pending=1, processed=11)
    await intake.ended(fresh, age="6 days", pending=0)
    steps = []
    while removed := await database.run(imports.forget, days=28, most=5):
        steps.append(removed)
    assert steps == [5, 5, 2, 1]
    assert [row.id for row in await database.rows("SELECT id FROM imports ORDER BY id")] == [waiting, fresh]
    assert await database.run(imports.forget_files) == 1
    assert await database.value("SELECT array_agg(import_id) FROM import_files") == [fresh]
    assert await database.run(imports.reject_waiting) == 0
    await intake.ended(waiting)
    await database.rows("UPDATE imports SET ended_at = now() - interval '31 days' WHERE id = :id", id=waiting)
    assert await database.run(imports.reject_waiting) == 1
    row = await database.row("SELECT * FROM import_rows WHERE state = 'rejected'")
    assert row.errors == [
        {
            "column": "",
            "value": "x",
            "code": "reference_missing",
            "message": "esperou 30 dias por compras/x, que não veio",
        }
    ]
    counts = await database.row("SELECT pending, rejected, processed FROM imports WHERE id = :id", id=waiting)
    assert tuple(counts) == (0, 1, 11)


async def shown_record(api: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await api.get(f"/entities/{path}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = orjson.loads(answer.content)
    return shown


async def test_a_record_shows_what_it_refers_to_what_refers_to_it_and_the_imports_it_came_by(
    api: httpx.AsyncClient, intake: Intake
) -> None:
    await intake.record("fornecedores_proprios", CPF, {"documento": CPF})
    await intake.record(
        "compras", "1/2026", {"numero": "1/2026"}, refers={"fornecedor": ("fornecedores_proprios", CPF)}
    )
    item = {"compra": "1/2026", "item": 7}
    await intake.record("itens_compra", "1/2026/7", item, refers={"compra": ("compras", "1/2026")})
    await intake.record("itens_compra", "1/2026/8", refers={"compra": ("compras", "1/2026")}, removed="1 day")
    import_id = await intake.file("itens_compra")
    await intake.staged(import_id, [good(5, "1/2026/7", "itens_compra", **item)])
    shown = await shown_record(api, "compras/records/1/2026")
    assert shown["refers_to"] == [{"entity": "fornecedores_proprios", "key": CPF, "column": "fornecedor"}]
    assert shown["referred_by"] == [{"entity": "itens_compra", "key": "1/2026/7", "column": "compra"}]
    assert (shown["referred_count"], shown["imports"]) == (1, [])
    shown = await shown_record(api, "itens-compra/records/1/2026/7")
    assert (shown["key"], shown["data"]) == ("1/2026/7", item)
    assert [(one["import_id"], one["row"], one["door"]) for one in shown["imports"]] == [(import_id, 5, "page")]
    assert (await shown_record(api, "itens_compra/records/1/2026/8"))["removed_at"] is not None
    assert (await api.get("/entities/compras/records/nada")).json()["code"] == "unknown_record"
    assert (await api.get("/entities/compra/records/nada")).json()["code"] == "unknown_entity"


async def test_viewers_see_records_with_masked_cpfs(start: Open, intake: Intake) -> None:
    await intake.record("fornecedores_proprios", CPF, {"documento": CPF, "nome": "Ana", "telefone": "11987654321"})
    async with (await start())() as api:
        shown = await api.get(f"/entities/fornecedores_proprios/records/{CPF}", auth=VIEWER)
        assert shown.json()["data"] == {"documento": MASKED, "nome": "Ana", "telefone": "11987654321"}
        assert CPF not in shown.text
        assert (await api.put("/entities/produtos/records/1", json={}, auth=VIEWER)).status_code == 403
        assert (await api.delete("/entities/produtos/records/1", auth=VIEWER)).status_code == 403


async def test_a_correction_is_an_import_of_one_row_whose_key_stands_in_the_address(
    api: httpx.AsyncClient, database: Database
) -> None:
    answer = await api.put("/entities/itens-compra/records/1/2026/7", json={"descricao": "Caneta", "quantidade": 1.25})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1), answer.text
    assert answer.headers["Location"] == "/imports/1"
    row = await database.row("SELECT key, CAST(data AS text) AS data, state FROM import_rows")
    assert (row.key, row.state) == ("1/2026/7", "pending")
    assert orjson.loads(row.data) == {"compra": "1/2026", "item": 7, "descricao": "Caneta", "quantidade": 1.25}
    negative = await api.put("/entities/itens-compra/records/1/2026/-7", json={"descricao": "Caneta"})
    assert (negative.status_code, negative.json()["accepted"]) == (202, 1), negative.text
    same = await api.put("/entities/produtos/records/7", json={"codigo": "7", "descricao": "Caneta"})
    assert same.status_code == 202
    for path, body, code in (
        ("produtos/records/7", {"codigo": "8", "descricao": "x"}, "key_differs"),
        ("itens_compra/records/7", {}, "key_form"),
        ("produtos/records/7", [{}, {}], "records_too_many"),
        ("produtos/records/7", 5, "records_form"),
        ("produtos/records/7", [[]], "records_form"),
    ):
        refused = await api.put(f"/entities/{path}", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, code), refused.text
    nothing = await api.put("/entities/produtos/records/7", json={})
    assert (nothing.status_code, nothing.json()["code"]) == (422, "nothing_accepted")


async def test_a_record_is_not_removed_while_rows_of_it_are_about_to_bring_it_back(
    api: httpx.AsyncClient, intake: Intake, database: Database
) -> None:
    await intake.record("produtos", "1", {"codigo": "1", "descricao": "a"})
    corrected = await api.put("/entities/produtos/records/1", json={"descricao": "b"})
    refused = await api.delete("/entities/produtos/records/1")
    assert (refused.status_code, refused.json()["code"]) == (409, "record_coming")
    assert f"A importação {corrected.json()['import_id']} " in refused.json()["detail"]
    assert (await api.post(f"/imports/{corrected.json()['import_id']}/discard")).status_code == 200
    held = await intake.file()
    await intake.staged(held, [good(2, "1")])
    assert (await api.delete("/entities/produtos/records/1")).status_code == 200, "what is held is decided on"
    assert await database.value("SELECT removed_at IS NOT NULL FROM entity_records")


async def test_a_record_is_removed_only_when_no_other_refers_to_it_and_the_removal_is_traced(
    api: httpx.AsyncClient, intake: Intake, database: Database
) -> None:
    await intake.record("compras", "1", {"numero": "1"})
    await intake.record("itens_compra", "1/1", refers={"compra": ("compras", "1")})
    refused = await api.delete("/entities/compras/records/1")
    assert (refused.status_code, refused.json()["code"]) == (409, "record_referred")
    assert refused.json()["detail"].startswith("Registros que se referem a 1 de compras: 1.")
    assert await database.value("SELECT count(*) FROM imports") == 0
    assert (await api.delete("/entities/itens_compra/records/1/1")).status_code == 200
    removed = await api.delete("/entities/compras/records/1")
    assert removed.status_code == 200
    import_id = removed.json()["import_id"]
    record = await database.row("SELECT removed_at, import_id FROM entity_records WHERE entity = 'compras'")
    assert (record.removed_at is not None, record.import_id) == (True, import_id)
    traced = (await api.get(removed.headers["Location"])).json()
    assert (traced["state"], traced["rows"], traced["processed"], traced["preview"][0]["remove"]) == ("done", 1, 1, 1)
    (told,) = (await shown_record(api, "compras/records/1"))["imports"]
    assert (told["import_id"], told["action"]) == (import_id, "remove")
    assert (await api.delete("/entities/compras/records/1")).json()["code"] == "unknown_record"
