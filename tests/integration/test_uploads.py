"""Files that are uploaded: stored while they arrive, known by their bytes; one that does not end leaves nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from common.lifecycle import imports
from tests.integration.conftest import Database, OpenApi

CSV = b"codigo;descricao\n7;Caneta\n"


async def put(
    api: httpx.AsyncClient, content: bytes | AsyncIterator[bytes] = CSV, name: str = "produtos.csv", **query: str
) -> httpx.Response:
    return await api.put("/intake/produtos/arquivo", params={"nome": name, **query}, content=content)


async def in_pieces(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for first in range(0, len(content), size):
        yield content[first : first + size]


async def test_a_file_is_stored_in_parts_and_waits_to_be_read(api: httpx.AsyncClient, database: Database) -> None:
    content = bytes(range(256)) * (4096 * 2) + b"rest"  # 2 MiB and a rest
    answer = await put(api, in_pieces(content), "A Compra.XLSX")
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert answer.headers["Location"] == "/imports/1"
    parts = await database.rows("SELECT part, data FROM import_files ORDER BY part")
    assert [(row.part, len(row.data)) for row in parts] == [(0, 2**20), (1, 2**20), (2, 4)]
    assert b"".join(bytes(row.data) for row in parts) == content
    row = await database.row("SELECT * FROM imports")
    assert (row.state, row.door, row.file_name, row.file_bytes) == ("received", "file", "A Compra.XLSX", len(content))
    assert (row.needs_confirmation, bytes(row.file_sha256)) == (True, hashlib.sha256(content).digest())
    assert row.execution_id == int(told["request_id"])
    shown = (await api.get("/imports/1")).json()
    assert (shown["phase"], shown["preview"], shown["rows"]) == ("queued", [], 0)


async def test_who_wants_no_preview_says_so_and_the_page_is_a_door_of_its_own(
    api: httpx.AsyncClient, database: Database
) -> None:
    api.headers["X-Requested-With"] = "fetch"
    assert (await put(api, confirmar="nao")).status_code == 202
    row = await database.row("SELECT * FROM imports")
    assert (row.needs_confirmation, row.door) == (False, "page")


async def test_the_same_bytes_again_are_answered_with_the_import_that_has_them(
    api: httpx.AsyncClient, database: Database
) -> None:
    assert (await put(api)).status_code == 202
    again = await put(api, name="outro nome.csv")
    assert (again.status_code, again.json()["code"]) == (409, "file_known")
    assert again.headers["Location"] == "/imports/1"
    assert "na importação 1" in again.json()["detail"]
    assert await database.value("SELECT count(*) FROM imports") == 1
    assert await database.value("SELECT count(*) FROM import_files") == 1
    repeated = await put(api, repetir="true")
    assert repeated.status_code == 202
    other = await api.put("/intake/compras/arquivo?nome=a.csv", content=CSV)
    assert other.status_code == 202, "another layout has not seen them"
    await api.post("/imports/1/discard")
    await api.post(f"/imports/{repeated.json()['import_id']}/discard")
    assert (await put(api)).status_code == 202, "what was discarded is not known"


async def test_of_two_equal_files_at_once_one_is_known(open_api: OpenApi, database: Database) -> None:
    apis = [await open_api() for _ in range(2)]
    answers = await asyncio.gather(*(put(api) for api in apis))
    assert sorted(answer.status_code for answer in answers) == [202, 409]
    assert await database.value("SELECT count(*) FROM imports") == 1


@pytest.mark.parametrize(
    ("name", "content", "status", "code"),
    [
        ("a.xlsm", CSV, 422, "file_kind"),
        ("a", CSV, 422, "file_kind"),
        ("../a.csv", CSV, 422, "string_pattern_mismatch"),
        ("a\x00.csv", CSV, 422, "string_pattern_mismatch"),
        ("a.csv", b"", 422, "missing"),
        ("a.csv", b"x" * (11 * 2**20), 413, "body_too_large"),
    ],
)
async def test_what_is_no_sheet_is_refused_and_leaves_nothing(
    api: httpx.AsyncClient, database: Database, name: str, content: bytes, status: int, code: str
) -> None:
    answer = await put(api, content, name)
    told = answer.json()
    assert (answer.status_code, told.get("errors", [told])[0]["code"]) == (status, code), answer.text
    assert await database.value("SELECT count(*) FROM imports") == 0


async def test_a_file_that_turns_out_too_long_leaves_nothing(api: httpx.AsyncClient, database: Database) -> None:
    answer = await put(api, in_pieces(b"x" * (11 * 2**20)))  # without a length beforehand
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert await database.value("SELECT count(*) FROM imports") == 0
    assert await database.value("SELECT count(*) FROM import_files") == 0


async def test_what_was_received_of_an_upload_that_never_ended_is_deleted_after_an_hour(
    database: Database, engine: AsyncEngine
) -> None:
    for age in ("2 hours", "30 minutes"):
        created = await database.run(imports.create, door="file", layout="produtos", file_name="a.csv")
        assert created is not None
        await database.run(imports.add_part, created, 0, CSV)
        await database.rows(
            "UPDATE imports SET updated_at = now() - CAST(CAST(:age AS text) AS interval) WHERE id = :id",
            age=age,
            id=created,
        )
    assert await database.run(imports.forget_cut_off) == 1
    assert await database.value("SELECT array_agg(import_id) FROM import_files") == [2]


async def test_a_file_of_entities_of_the_folder_goes_by_its_layout(open_api: OpenApi, tmp_path: Path) -> None:
    (tmp_path / "layouts").mkdir()
    (tmp_path / "layouts" / "vendas.yaml").write_text(
        "into:\n  - entity: produtos\n    fields: {codigo: {from: a}, descricao: {from: b}}\n"
    )
    api = await open_api(connections_dir=tmp_path)
    assert (await api.put("/intake/vendas/arquivo?nome=v.csv", content=b"a;b\n1;2\n")).status_code == 202
    assert (await api.put("/intake/nada/arquivo?nome=v.csv", content=b"a")).json()["code"] == "unknown_layout"


async def test_a_sender_that_goes_away_leaves_nothing(api: httpx.AsyncClient, database: Database) -> None:
    messages = iter(
        [
            {"type": "http.request", "body": b"x" * (2**20 + 5), "more_body": True},
            {"type": "http.disconnect"},
            {"type": "http.disconnect"},
        ]
    )
    parts: list[int] = []
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        parts.append(await database.value("SELECT count(*) FROM import_files"))
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    path = "/intake/produtos/arquivo"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"nome=a.csv",
        "root_path": "",
        "headers": [(b"host", b"api")],
        "client": ("127.0.0.1", 1),
        "server": ("api", 80),
    }
    await api._transport.app(scope, receive, send)  # type: ignore[attr-defined]
    assert parts[:2] == [0, 1], "the first part was stored while the rest was on its way"
    assert sent[0]["status"] == 400
    assert await database.value("SELECT count(*) FROM imports") == 0
    assert await database.value("SELECT count(*) FROM import_files") == 0
