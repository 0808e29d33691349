"""Files of lists over real connections: clients that are slow, that leave, and a backend that is killed."""

import asyncio
import os
import time
from pathlib import Path

import httpx
from sqlalchemy import text

from tests.acceptance.conftest import Stack
from tests.stored_rows import insert
from tests.support import eventually

ROWS = 60_000
COPIES = text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pncp-backend-files' AND state = 'active'"
)


async def fill_many(stack: Stack) -> None:
    """Rows that are wide, so that they fit into no buffer."""
    await insert(stack.engine, "orgaos", {"cnpj": "first"})
    async with stack.engine.begin() as db:
        await db.execute(
            text("""
            INSERT INTO orgaos (cnpj, razao_social, payload, as_of)
            SELECT n, repeat(md5(CAST(n AS text)), 20), '{}', as_of FROM orgaos, generate_series(1, :rows) AS n
            """),
            {"rows": ROWS - 1},
        )


async def hang(stack: Stack, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a file and read nothing but its beginning."""
    url = httpx.URL(str(stack.api.base_url))
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=1024)
    writer.write(f"GET {address} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


async def copies(stack: Stack) -> int:
    async with stack.engine.connect() as db:
        return int((await db.execute(COPIES)).scalar_one())


def files_of(folder: Path) -> list[Path]:
    # a folder that goes meanwhile is no error of this
    paths = [Path(place) / name for place, _, names in os.walk(folder) for name in names]
    return [path for path in paths if path.is_file() and not path.name.startswith(".")]


async def test_a_hundred_clients_that_do_not_read_hold_no_connection_and_slow_no_other_request(
    stack: Stack, tmp_path: Path
) -> None:
    await fill_many(stack)
    await stack.start_backend(EXPORT_DIR=str(tmp_path / "exports"))
    clients = [await hang(stack, "/orgaos.csv") for _ in range(100)]
    waits = []

    async def all_answered() -> bool:
        began = time.monotonic()
        assert (await stack.api.get("/health/live")).status_code == 200
        waits.append(time.monotonic() - began)
        return await copies(stack) == 0 and len(waits) > 50

    await eventually(all_answered, seconds=60)
    assert sorted(waits)[len(waits) * 9 // 10] < 0.1
    heads = [await asyncio.wait_for(reader.readline(), 30) for reader, _ in clients]
    assert {head.split()[1] for head in heads} == {b"200", b"503"}
    assert (await stack.api.get("/orgaos", params={"limite": 1})).status_code == 200
    for _, writer in clients:
        writer.close()
    await eventually(lambda: files_of(tmp_path / "exports") == [])


async def test_a_copy_ends_within_a_second_of_its_client(stack: Stack, tmp_path: Path) -> None:
    await fill_many(stack)
    async with stack.engine.begin() as db:  # what makes the rows slow
        await db.execute(text("ALTER TABLE orgaos RENAME TO orgaos_kept"))
        await db.execute(
            text("CREATE VIEW orgaos AS SELECT *, CAST(pg_sleep(0.001) AS text) AS slow FROM orgaos_kept ORDER BY cnpj")
        )
    try:
        await stack.start_backend(EXPORT_DIR=str(tmp_path / "exports"))
        _, writer = await hang(stack, "/orgaos.xlsx")

        async def is_copying() -> bool:
            return await copies(stack) == 1

        async def has_ended() -> bool:
            return await copies(stack) == 0

        await eventually(is_copying)
        writer.close()
        await eventually(has_ended, seconds=1.5)
        await eventually(lambda: files_of(tmp_path / "exports") == [])
    finally:
        async with stack.engine.begin() as db:
            await db.execute(text("DROP VIEW orgaos"))
            await db.execute(text("ALTER TABLE orgaos_kept RENAME TO orgaos"))


async def test_a_client_that_is_too_slow_gets_no_whole_file(stack: Stack, tmp_path: Path) -> None:
    await fill_many(stack)
    await stack.start_backend(EXPORT_DIR=str(tmp_path / "exports"))
    reader, writer = await hang(stack, "/orgaos.csv")
    backend = stack.processes[-1]
    await eventually(lambda: "a file was taken too slowly" in backend.text, seconds=60)
    await eventually(lambda: files_of(tmp_path / "exports") == [])
    content = await reader.read(-1)
    assert not content.endswith(b"0\r\n\r\n")
    writer.close()


async def test_a_killed_backend_leaves_nothing_once_it_is_back(stack: Stack, tmp_path: Path) -> None:
    await fill_many(stack)
    backend = await stack.start_backend(EXPORT_DIR=str(tmp_path / "exports"))
    _, writer = await hang(stack, "/orgaos.xlsx")

    def converter() -> list[int]:
        children = Path(f"/proc/{backend.pid}/task/{backend.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"exports.converting" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    await eventually(lambda: converter() != [], seconds=30)
    (pid,) = converter()
    backend.popen.kill()
    await backend.ended()
    await eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())
    writer.close()
    assert files_of(tmp_path / "exports") != []
    await stack.start_backend(EXPORT_DIR=str(tmp_path / "exports"))
    assert files_of(tmp_path / "exports") == []
    assert (await stack.api.get("/orgaos.ndjson", params={"cnpj": "first"})).status_code == 200
