"""Exports by real processes: killed ones, disks without room, and `./pncp export`."""

import asyncio
import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest

from standalone.cli import ROOT
from tests.acceptance.conftest import Stack, free_port
from tests.acceptance.test_terminal import environment_of, pncp
from tests.integration.conftest import Database
from tests.integration.test_exports import ended, files_in, fill, folders_in, held, is_reading, queued
from tests.support import eventually

MANY = 12_000
"""More rows than are given at once."""
WITHOUT_ROOM = """
import resource, uvicorn
resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))
uvicorn.run("backend.main:app", port={port}, log_config=None)
"""


@pytest.fixture
def database(stack: Stack) -> Database:
    return Database(stack.engine)


@pytest.fixture
def folder(stack: Stack) -> Path:
    stack.settings["EXPORT_DIR"] = str(stack.folder / "exports")
    return stack.folder / "exports"


async def test_a_job_whose_backend_is_killed_is_done_by_the_next_and_leaves_nothing(
    stack: Stack, database: Database, folder: Path
) -> None:
    await fill(database, 500)
    backend = await stack.start_backend()
    job_id = await queued(database)
    async with held(database):
        await eventually(lambda: is_reading(database, job_id))
        await eventually(lambda: folders_in(folder))
        backend.send(signal.SIGKILL)
        await backend.ended()
    await stack.start_backend()

    told = await ended(stack.api, job_id)  # when the dead one's lease has run out
    assert (told["estado"], told["registros"]) == ("pronta", 500)
    assert files_in(folder) == [told["arquivo"]]
    assert len(folders_in(folder)) == 1
    answer = await stack.api.get(f"/exportacoes/{job_id}/arquivo", headers={"Range": "bytes=0-10"})
    assert (answer.status_code, len(answer.content)) == (206, 11)


def converter_of(backend: int) -> int | None:
    """The process of a backend that converts a file."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (folder / "cmdline").read_bytes(), (folder / "stat").read_text()
        except OSError:  # it has ended meanwhile
            continue
        if b"backend.services.exports.converting" in command and int(status.rpartition(")")[2].split()[1]) == backend:
            return int(folder.name)
    return None


async def test_a_backend_that_is_killed_while_it_converts_leaves_no_child_and_the_next_one_makes_the_file(
    stack: Stack, database: Database, folder: Path
) -> None:
    await fill(database, MANY)
    backend = await stack.start_backend()
    job_id = await queued(database, formato="xlsx")
    await eventually(lambda: converter_of(backend.pid) is not None, every=0.005)
    child = converter_of(backend.pid)
    assert child is not None
    os.kill(child, signal.SIGSTOP)  # it stays where it is
    assert await database.value("SELECT status FROM exportacoes WHERE id = :id", id=job_id) == "convertendo"
    backend.send(signal.SIGKILL)
    await backend.ended()
    os.kill(child, signal.SIGCONT)
    await eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())
    await stack.start_backend()

    told = await ended(stack.api, job_id)
    assert (told["estado"], told["registros"]) == ("pronta", MANY)
    assert files_in(folder) == [told["arquivo"]]
    answer = await stack.api.get(f"/exportacoes/{job_id}/arquivo")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content), read_only=True).worksheets[0]
    assert sum(1 for _ in sheet.iter_rows()) == MANY + 1


async def start_without_room(stack: Stack) -> None:
    """A backend none of whose files may become larger than 250 kB, which is as if the disk was full then."""
    port = free_port()
    backend = stack.start("backend", "-c", WITHOUT_ROOM.format(port=port))
    stack.api.base_url = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        try:
            return (await stack.api.get("/health")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    await stack._wait_for(backend, ready)


@pytest.mark.parametrize("body", [{"formato": "csv"}, {"formato": "ndjson", "campos": ["ni"]}])
async def test_a_file_that_has_no_room_ends_the_job_with_a_word(
    stack: Stack, database: Database, folder: Path, body: dict[str, Any]
) -> None:
    """As CSV it does not fit; of the other only what is converted does not."""
    await fill(database, MANY)
    await start_without_room(stack)
    asked = await stack.api.post("/exportacoes", json={"entidade": "fornecedores", **body})
    told = await ended(stack.api, asked.json()["id"])
    assert (told["estado"], told["causa"]) == ("erro", "disco_cheio")
    assert "EXPORT_DIR" in told["erro"]
    await eventually(lambda: files_in(folder) == [])


# --- ./pncp export ----------------------------------------------------------------------------------------------


def written(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


async def test_few_rows_come_at_once(stack: Stack, database: Database) -> None:
    await stack.start_backend()
    await fill(database, 20)
    target = stack.folder / "fornecedores.csv"

    code, out, err = await pncp(
        stack, "export", "fornecedores", "--tipo-pessoa", "PJ,PF", "--campos", "ni,nome", "-o", str(target)
    )

    assert (code, out) == (3, ""), err  # nothing has been mirrored, so that it cannot be complete
    assert err.startswith(f"pncp: 20 rows in {target}\npncp: the mirror is NOT complete for this: no day has been read")
    assert len(written(target)) == 20
    assert await database.value("SELECT count(*) FROM exportacoes") == 0
    code, out, _ = await pncp(stack, "export", "fornecedores", "--formato", "ndjson", "-o", "-")
    assert (code, len([json.loads(line) for line in out.splitlines()])) == (3, 20)


async def test_many_rows_are_a_job_that_is_gone_afterwards(stack: Stack, database: Database, folder: Path) -> None:
    await stack.start_backend()
    await fill(database, MANY)
    target = stack.folder / "rows.ndjson"

    code, out, err = await pncp(stack, "export", "fornecedores", "--ordem=chave", "-o", str(target), "--json")

    assert code == 3, err
    assert json.loads(out)["registros"] == MANY
    assert target.read_bytes().count(b"\n") == MANY
    assert await database.value("SELECT status FROM exportacoes") == "apagada"
    assert files_in(folder) == []


async def test_a_mirror_that_is_complete_is_said_to_be(stack: Stack, database: Database) -> None:
    await stack.start_backend()
    await database.rows("""
        INSERT INTO watermarks (resource, part, since, reached, complete_from)
        VALUES ('atas', 0, '2026-01-01', timezone('America/Sao_Paulo', now()), '2026-01-01')
    """)
    await database.rows("""
        INSERT INTO read_days (resource, criterio, day, part, began_at, complete_at, slice_id, execution_id, pages,
                               records, stored)
        VALUES ('atas', 'atualizacao', '2026-01-01', 0, now(), now(), 1, 1, 1, 1, 1)
    """)
    code, out, err = await pncp(stack, "export", "atas", "-o", "-")
    assert code == 0, err
    assert next(csv.reader(io.StringIO(out)))
    assert "the mirror is complete for this; its changes are read up to 20" in err


async def test_what_is_wrong_is_said_and_leaves_no_file(stack: Stack) -> None:
    await stack.start_backend()
    target = stack.folder / "out" / "x.csv"
    target.parent.mkdir()
    for words, said in (
        (("contrato",), "there is no entity 'contrato'; did you mean contratos?"),
        (("contratos", "--ufs", "SC"), "422: ufs não é um parâmetro de /contratos; o mais próximo é uf"),
        (("contratos", "--uf", "SC", "--formato", "doc"), "422: formato "),
        (("contratos", "--campos", "objetos"), "422: campos tem um campo que não existe"),
        (("contratos", "SC"), "'SC' belongs to no option"),
        (("--uf", "SC", "contratos"), "the entity comes first"),
    ):
        code, _, err = await pncp(stack, "export", *words, "-o", str(target))
        assert code == 2, err
        assert said in err
        assert list(target.parent.iterdir()) == []


async def test_a_job_that_fails_leaves_no_file_and_the_old_one_as_it_was(
    stack: Stack, database: Database, folder: Path
) -> None:
    await stack.start_backend(EXPORT_MAX_BYTES="1000000")
    await fill(database, MANY)
    target = stack.folder / "out" / "x.csv"
    target.parent.mkdir()
    target.write_text("old")
    code, _, err = await pncp(stack, "export", "fornecedores", "-o", str(target))
    assert code == 1, err
    assert "EXPORT_MAX_BYTES" in err
    assert [path.name for path in target.parent.iterdir()] == ["x.csv"]
    assert target.read_text() == "old"


async def test_filters_are_shown_without_a_backend(stack: Stack) -> None:
    code, out, _ = await pncp(stack, "export", "contratos", "--filtros", "--url", "http://127.0.0.1:9")
    assert code == 0
    assert "  --data-publicacao-de" in out
    code, out, _ = await pncp(stack, "export", "--help")
    assert (code, "--FILTRO VALOR" in out, "3 done, but" in out) == (0, True, True)


async def test_declared_records_are_exported_with_the_filters_that_the_backend_names(
    stack: Stack, database: Database, folder: Path
) -> None:
    await stack.start_backend()
    await database.rows(
        "INSERT INTO entity_records (entity, key, data) SELECT 'compras', CAST(n AS text), jsonb_build_object('numero',"
        " CAST(n AS text), 'ano', 2020 + n, 'valor_estimado', n * 1.5) FROM generate_series(1, 5) n"
    )
    target = stack.folder / "compras.csv"
    code, _, err = await pncp(stack, "export", "compras", "--ano", "2023", "-o", str(target))
    assert code == 0, err
    head, line = target.read_text().splitlines()
    assert dict(zip(head.split(","), line.split(","), strict=True))["valor_estimado"] == "4.5"
    code, out, err = await pncp(stack, "export", "compras", "--filtros")
    assert code == 0, err
    assert "  --valor-estimado-min" in out
    code, _, err = await pncp(stack, "export", "comprass", "--filtros")
    assert (code, "comprass" in err) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_cancels_the_job_and_leaves_no_file(
    stack: Stack, database: Database, folder: Path, number: signal.Signals
) -> None:
    await stack.start_backend(EXPORT_CONCURRENCY="1")
    await fill(database, MANY)
    target = stack.folder / "out" / "x.csv"
    target.parent.mkdir()
    blocker = await queued(database, entidade="orgaos")
    async with held(database, "orgaos"):
        await eventually(lambda: is_reading(database, blocker))
        exporting = subprocess.Popen(  # noqa: ASYNC220  # its signals are sent one by one
            [sys.executable, "-m", "standalone", "export", "fornecedores", "-o", str(target)],
            cwd=ROOT,
            env=environment_of(stack),
            stderr=subprocess.PIPE,
        )

        async def waits() -> bool:
            return bool(await database.value("SELECT count(*) FROM exportacoes WHERE status = 'na_fila'") == 1)

        await eventually(waits, seconds=30)
        os.kill(exporting.pid, number)
        _, err = await asyncio.to_thread(exporting.communicate, timeout=30)
    assert exporting.returncode == 130
    assert "interrupted; there is no file" in err.decode()
    assert list(target.parent.iterdir()) == []
    assert await database.value("SELECT status FROM exportacoes WHERE id <> :id", id=blocker) == "cancelada"
