"""The watched folder: each file becomes one import, whatever workers die, and moves on when that has ended."""

import asyncio
import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from ingestor.intake import folder as folder_module
from ingestor.intake.folder import Folder
from tests.intake_rows import Intake, bad, good
from tests.integration.conftest import Database

LAYOUTS = ("produtos", "compras")
CSV = b"codigo;descricao\n7;Caneta\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the layout `produtos`."""
    path = tmp_path / "produtos"
    path.mkdir()
    return path


@pytest.fixture
def watched(tmp_path: Path, home: Path, engine: AsyncEngine) -> Folder:
    return Folder(tmp_path, engine, most_bytes=3 * 2**20)


@pytest.fixture
def intake(engine: AsyncEngine) -> Intake:
    return Intake(engine)


async def looked(watched: Folder, times: int = 2) -> list[int]:
    made = []
    for _ in range(times):
        made += await watched.look(LAYOUTS)
    return made


def names(home: Path) -> list[str]:
    """The files of a layout, with a star for tokens and days."""
    found = []
    for path in sorted(home.rglob("*")):
        if path.is_file():
            parts = path.relative_to(home).parts
            found.append("/".join((parts[0], "*", *parts[2:]) if len(parts) > 2 else parts))
    return found


def found(home: Path, pattern: str) -> list[Path]:
    return sorted(home.glob(pattern))


async def test_a_file_that_stands_still_is_claimed_and_stored_and_then_moved_by_the_day_of_its_end(
    watched: Folder, home: Path, intake: Intake, database: Database
) -> None:
    content = bytes(range(256)) * 8192 + b"rest"
    (home / "Compra (1).XLSX").write_bytes(content)
    assert await watched.look(LAYOUTS) == []
    assert names(home) == ["Compra (1).XLSX"], "it may still be written"
    assert await watched.look(LAYOUTS) == [1]
    assert names(home) == ["processando/*/Compra (1).XLSX"]
    row = await database.row("SELECT * FROM imports")
    assert (row.state, row.door, row.file_name, row.layout) == ("received", "folder", "Compra (1).XLSX", "produtos")
    assert (row.needs_confirmation, row.file_bytes) == (False, len(content))
    parts = await database.rows("SELECT data FROM import_files ORDER BY part")
    assert b"".join(bytes(part.data) for part in parts) == content
    assert (await database.execution(row.execution_id)).status == "running"
    assert await looked(watched, 3) == []
    assert names(home) == ["processando/*/Compra (1).XLSX"]
    await intake.staged(1, [good(2, "1")], held=False)
    await intake.ended(1)
    assert await looked(watched, 1) == []
    assert names(home) == ["feitos/*/Compra (1).XLSX"]
    day = await database.value("SELECT to_char(ended_at AT TIME ZONE 'America/Sao_Paulo', 'YYYY-MM-DD') FROM imports")
    assert (home / "feitos" / day / "Compra (1).XLSX").read_bytes() == content
    await looked(watched, 2)
    assert list((home / "processando").iterdir()) == []


async def test_what_is_wrong_with_rows_lies_beside_the_file(watched: Folder, home: Path, intake: Intake) -> None:
    (home / "a.csv").write_bytes(CSV)
    assert await looked(watched) == [1]
    await intake.staged(1, [good(2, "1"), bad(3, ("preco", "=1+1", "not_number", "esperava um número"))], held=False)
    await intake.ended(1)
    await watched.look(LAYOUTS)
    assert names(home) == ["feitos/*/a.csv", "feitos/*/a.csv.erros.csv"]
    (path,) = found(home, "feitos/*/a.csv.erros.csv")
    assert path.read_text(encoding="utf-8-sig").splitlines() == [
        "linha;entidade;coluna;valor;codigo;mensagem",
        "3;produtos;preco;'=1+1;not_number;esperava um número",
    ]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.xlsm", CSV, "macros"),
        ("a.txt", CSV, "unknown_format"),
        ("a.csv", b"", "empty_file"),
        ("a.csv", b"x" * (3 * 2**20 + 1), "file_too_large"),
    ],
)
async def test_what_cannot_be_taken_in_is_refused_with_its_reason(
    watched: Folder, home: Path, database: Database, name: str, content: bytes, code: str
) -> None:
    (home / name).write_bytes(content)
    assert await looked(watched) == [1]
    row = await database.row("SELECT * FROM imports")
    assert (row.state, row.fault_code, row.execution_id) == ("refused", code, None)
    await watched.look(LAYOUTS)
    assert names(home) == [f"recusados/*/{name}", f"recusados/*/{name}.erros.csv"]
    (path,) = found(home, "recusados/*/*.erros.csv")
    told = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))
    assert told[1] == ["", "produtos", "", "", code, row.fault]
    assert await database.value("SELECT count(*) FROM import_files") == 0


async def test_what_is_no_plain_file_and_what_others_write_is_left_alone(
    watched: Folder, home: Path, tmp_path: Path, database: Database
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.csv"
    outside.write_bytes(CSV)
    (home / "link.csv").symlink_to(outside)
    (tmp_path / "compras").symlink_to(home)
    os.mkfifo(home / "pipe.csv")
    (home / "folder.csv").mkdir()
    for name in ("~$a.xlsx", ".a.csv", "a.csv.part", "a.TMP"):
        (home / name).write_bytes(CSV)
    with capture_logs() as logs:
        assert await looked(watched, 4) == []
    assert await database.value("SELECT count(*) FROM imports") == 0
    assert sorted(path.name for path in found(home, "*")) == sorted(
        ["link.csv", "pipe.csv", "folder.csv", "~$a.xlsx", ".a.csv", "a.csv.part", "a.TMP"]
    )
    assert [line["event"] for line in logs] == ["what lies beside the folders of layouts is not taken in"]
    outside.unlink()


async def test_the_folder_of_no_layout_is_said_once_and_taken_up_when_there_is_one(
    watched: Folder, tmp_path: Path
) -> None:
    (tmp_path / "vendas").mkdir()
    (tmp_path / "vendas" / "a.csv").write_bytes(CSV)
    with capture_logs() as logs:
        assert await looked(watched, 4) == []
    assert [line["event"] for line in logs] == ["a folder has the name of no layout"]
    for _ in range(2):
        made = await watched.look((*LAYOUTS, "vendas"))
    assert made == [1]


async def test_a_file_that_still_grows_waits(watched: Folder, home: Path) -> None:
    path = home / "a.csv"
    path.write_bytes(b"codigo")
    for _ in range(4):
        assert await watched.look(LAYOUTS) == []
        path.write_bytes(path.read_bytes() + b"x")
    assert await looked(watched) == [1]


async def test_a_file_that_is_written_to_while_it_is_read_is_taken_up_when_it_stands_still(
    watched: Folder, home: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "a.csv").write_bytes(CSV)
    read = folder_module._read_part

    def and_written(opened: int) -> bytes:
        data = read(opened)
        for path in home.glob("processando/*/a.csv"):
            path.write_bytes(CSV + b"8;Papel\n")
        return data

    await watched.look(LAYOUTS)
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "_read_part", and_written)
        assert await watched.look(LAYOUTS) == []
    assert await database.value("SELECT count(*) FROM imports") == 0
    assert await looked(watched, 3) == [2]  # ids of what was rolled back are not given again
    assert await database.value("SELECT file_bytes FROM imports") == len(CSV) + 8


async def test_a_file_that_is_removed_before_or_while_it_is_claimed_costs_nothing(
    watched: Folder, home: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "a.csv").write_bytes(CSV)
    claim = folder_module._claim

    def too_late(file: folder_module._File) -> folder_module._File:
        file.path.unlink()
        return claim(file)

    await watched.look(LAYOUTS)
    monkeypatch.setattr(folder_module, "_claim", too_late)
    with capture_logs() as logs:
        assert await watched.look(LAYOUTS) == []
    assert [line["event"] for line in logs] == ["a file of the folder is gone"]
    assert await database.value("SELECT count(*) FROM imports") == 0
    assert names(home) == []


async def test_the_same_bytes_under_another_name_are_no_second_import(
    watched: Folder, home: Path, database: Database, intake: Intake
) -> None:
    (home / "a.csv").write_bytes(CSV)
    assert await looked(watched) == [1]
    (home / "b.csv").write_bytes(CSV)
    assert await looked(watched) == []
    assert names(home) == ["feitos/*/b.csv", "feitos/*/b.csv.nota.txt", "processando/*/a.csv"]
    (note,) = found(home, "feitos/*/b.csv.nota.txt")
    assert "já importado em " in note.read_text()
    assert "na importação 1" in note.read_text()
    await intake.ended(1, "refused")
    (home / "b.csv").write_bytes(CSV)
    assert len(await looked(watched)) == 1, "what was refused is not known"
    assert await database.value("SELECT count(*) FROM imports") == 2


async def test_files_of_one_name_keep_each_other(watched: Folder, home: Path, intake: Intake) -> None:
    for number in range(3):
        (home / "a.csv").write_bytes(CSV + b"%d" % number)
        (made,) = await looked(watched)
        await intake.ended(made)
        await watched.look(LAYOUTS)
    assert names(home) == ["feitos/*/a (2).csv", "feitos/*/a (3).csv", "feitos/*/a.csv"]
    assert sorted(path.read_bytes()[-1:] for path in found(home, "feitos/*/*")) == [b"0", b"1", b"2"]


async def test_of_many_workers_one_claims(tmp_path: Path, home: Path, engine: AsyncEngine, database: Database) -> None:
    for number in range(6):
        (home / f"{number}.csv").write_bytes(CSV + b"%d" % number)
    workers = [Folder(tmp_path, engine, most_bytes=2**20) for _ in range(5)]
    made: list[int] = []
    for _ in range(12):
        for each in await asyncio.gather(*(worker.look(LAYOUTS) for worker in workers)):
            made += each
    assert len(made) == len(set(made)) == 6
    assert await database.value("SELECT count(DISTINCT file_sha256) FROM imports") == 6
    assert await database.value("SELECT count(*) FROM imports") == 6
    assert len(found(home, "processando/*/*.csv")) == 6


STEPS: dict[str, Callable[[], None]] = {
    name: getattr(folder_module, name) for name in ("_claim", "_open", "_read_part", "_move")
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_worker_that_dies_at_any_step_leaves_one_import_in_the_end(
    step: str,
    after: bool,
    tmp_path: Path,
    home: Path,
    engine: AsyncEngine,
    database: Database,
    intake: Intake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    work = STEPS[step]

    def die(*arguments: object) -> None:
        if after:
            work(*arguments)
        raise Killed

    (home / "a.csv").write_bytes(CSV)
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, step, die)
        dying = Folder(tmp_path, engine, most_bytes=2**20)
        try:
            await looked(dying)
            await intake.ended(1)
            await dying.look(LAYOUTS)
        except Killed:
            pass
    heir = Folder(tmp_path, engine, most_bytes=2**20)
    await looked(heir, 3)
    (row,) = await database.rows("SELECT id, file_bytes FROM imports")
    assert row.file_bytes == len(CSV)
    await intake.ended(row.id)
    await looked(heir, 3)
    assert names(home) == ["feitos/*/a.csv"]
    assert await database.value("SELECT count(*) FROM import_files") == 1


async def test_a_disk_that_refuses_is_said_once_and_tried_again(
    watched: Folder, home: Path, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "a.csv").write_bytes(CSV)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with capture_logs() as logs:
        with monkeypatch.context() as patch:
            patch.setattr(folder_module, "_claim", full)
            assert await looked(watched, 4) == []
        assert await looked(watched, 1) == [1]
        await intake.ended(1)
        with monkeypatch.context() as patch:
            patch.setattr(folder_module, "_move", full)
            await looked(watched, 3)
        await watched.look(LAYOUTS)
    told = [line for line in logs if line["log_level"] == "error"]
    assert [line["error"] for line in told] == ["ENOSPC: No space left on device"] * 2
    assert names(home) == ["feitos/*/a.csv"]


async def test_a_file_that_may_not_be_read_is_refused(
    watched: Folder, home: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> int:
        raise PermissionError(13, "Permission denied")

    (home / "a.csv").write_bytes(CSV)
    monkeypatch.setattr(folder_module, "_open", refused)
    assert await looked(watched) == [1]
    assert await database.value("SELECT fault_code FROM imports") == "unreadable_file"


async def test_a_folder_that_is_not_there_is_said_once(tmp_path: Path, engine: AsyncEngine) -> None:
    watched = Folder(tmp_path / "nowhere", engine, most_bytes=1)
    with capture_logs() as logs:
        assert await looked(watched, 3) == []
    assert [line["event"] for line in logs] == ["the folder that is watched cannot be read"]


async def test_names_that_are_no_utf_8_are_taken_in(watched: Folder, home: Path, database: Database) -> None:
    path = os.fsencode(home) + b"/pre\xe7os.csv"
    with open(path, "wb") as file:  # noqa: ASYNC230, PTH123
        file.write(CSV)
    assert await looked(watched) == [1]
    assert await database.value("SELECT file_name FROM imports") == "pre?os.csv"
