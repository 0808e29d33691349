"""A list as a file, of every entity and in every format, read back by other libraries."""

import asyncio
import csv
import io
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import openpyxl
import pyarrow.parquet as pq
import pypdf
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.services.exports import formats, serving
from backend.services.exports.tables import Column, heads_of
from common.config import ConfigurationError
from common.entities.entity import ENTITIES, ENTITIES_BY_ADDRESS, Entity
from common.resources.description import Kind
from tests.stored_rows import fill, insert

CPF, MASKED = "52998224725", "***.982.247-**"
ATOM = "{http://www.w3.org/2005/Atom}"
entities = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.address)


def fields_of(entity: Entity) -> list[str]:
    return [each.name for each in entity.fields.values() if each.kind is not Kind.JSON]


async def list_of(api: httpx.AsyncClient, entity: Entity) -> list[dict[str, Any]]:
    answer = await api.get(f"/{entity.address}", params={"campos": ",".join(fields_of(entity)), "limite": 500})
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = json.loads(answer.content, parse_float=Decimal)["registros"]
    return rows


async def file_of(api: httpx.AsyncClient, entity: Entity, form: str, **parameters: str) -> httpx.Response:
    answer = await api.get(f"/{entity.address}.{form}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer


def typed(entity: Entity, name: str, value: Any) -> Any:
    """A value of a list, as libraries read it out of files."""
    if value is None:
        return None
    kind = entity.fields[name].kind
    if kind in (Kind.MOMENT, Kind.STAMP):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if kind is Kind.DAY else value


@entities
async def test_csv_ndjson_parquet_and_xlsx_hold_the_rows_of_the_list(
    api: httpx.AsyncClient, engine: AsyncEngine, entity: Entity
) -> None:
    await fill(engine)
    rows, names = await list_of(api, entity), fields_of(entity)
    assert len(rows) >= 3
    expected = [{name: typed(entity, name, row[name]) for name in names} for row in rows]

    answer = await file_of(api, entity, "csv")
    assert answer.headers["X-Total-Registros"] == str(len(rows))
    found = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert found == [{name: as_written(value) for name, value in row.items()} for row in expected]

    answer = await file_of(api, entity, "ndjson")
    assert [json.loads(line, parse_float=Decimal) for line in answer.content.splitlines()] == rows

    table = pq.read_table(io.BytesIO((await file_of(api, entity, "parquet")).content))
    assert table.to_pylist() == expected
    assert json.loads(table.schema.metadata[b"pncp"])["mirror_sentence"].startswith("Espelho incompleto")

    book = openpyxl.load_workbook(io.BytesIO((await file_of(api, entity, "xlsx")).content))
    sheet, about = book.worksheets
    head, *body = list(sheet.iter_rows(values_only=True))
    columns = [Column(each.name, each.label, each.kind.name) for each in map(entity.fields.__getitem__, names)]
    assert list(head) == heads_of(tuple(columns))
    assert [[without_fraction(v) for v in line] for line in body] == [
        [in_excel(v) for v in row.values()] for row in expected
    ]
    assert {line[0]: line[1] for line in about.iter_rows(values_only=True)}["Registros"] == str(len(rows))


def as_written(value: Any) -> str:
    """As PostgreSQL writes it."""
    if isinstance(value, datetime):
        return value.isoformat(" ").rstrip("0") if value.microsecond else value.isoformat(" ")
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else "" if value is None else str(value)


def in_excel(value: Any) -> Any:
    """Excel has no days, and numbers with some fifteen digits."""
    if isinstance(value, Decimal):
        return float(value)
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    return datetime.combine(value, datetime.min.time()) if is_day else without_fraction(value)


def without_fraction(value: Any) -> Any:
    return value.replace(microsecond=0) if isinstance(value, datetime) else value


@entities
async def test_a_pdf_shows_every_row_and_whether_the_mirror_is_complete(
    api: httpx.AsyncClient, engine: AsyncEngine, entity: Entity
) -> None:
    await fill(engine)
    rows = await list_of(api, entity)
    pages = pypdf.PdfReader(io.BytesIO((await file_of(api, entity, "pdf")).content)).pages
    text = "\n".join(page.extract_text() for page in pages)
    assert f"Registros: {len(rows)}" in text
    assert "Espelho incompleto: " in pages[-1].extract_text()
    assert f"página {len(pages)} de" in text
    key = entity.key[-1].name
    if key in entity.fields:
        assert all(str(row[key]) in text for row in rows)


@entities
async def test_a_feed_has_an_entry_for_every_row(api: httpx.AsyncClient, engine: AsyncEngine, entity: Entity) -> None:
    await fill(engine)
    rows = await list_of(api, entity)
    answer = await file_of(api, entity, "atom")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    feed = ET.fromstring(answer.content)
    entries = feed.findall(f"{ATOM}entry")
    assert len(entries) == len(rows)
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(set(ids)) == len(rows)
    again = ET.fromstring((await file_of(api, entity, "atom")).content)
    assert [entry.findtext(f"{ATOM}id") for entry in again.findall(f"{ATOM}entry")] == ids
    for part in (feed, *entries):  # RFC 4287, 4.1.1 and 4.1.2
        assert part.findtext(f"{ATOM}id", "").startswith("urn:uuid:")
        assert part.findtext(f"{ATOM}title")
        assert datetime.fromisoformat(part.findtext(f"{ATOM}updated", "")).tzinfo
    assert feed.find(f"{ATOM}author/{ATOM}name") is not None
    same = await api.get(f"/{entity.address}.atom", headers={"If-None-Match": answer.headers["ETag"]})
    assert same.status_code == 304


def text_of(form: str, content: bytes) -> str:
    """All that a person or a program can read in a file."""
    if form == "xlsx":
        sheets = openpyxl.load_workbook(io.BytesIO(content)).worksheets
        return "\n".join(str(value) for sheet in sheets for row in sheet.iter_rows(values_only=True) for value in row)
    if form == "parquet":
        return str(pq.read_table(io.BytesIO(content)).to_pylist())
    if form == "pdf":
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)
    return content.decode()


FORMS = ("csv", "xlsx", "parquet", "ndjson", "pdf", "atom")


@pytest.mark.parametrize("form", FORMS)
async def test_a_viewer_sees_no_cpf_in_a_file_and_an_administrator_does(
    open_api: Callable[..., Any], engine: AsyncEngine, form: str
) -> None:
    api = await open_api(admin_password="a-password-of-ana", viewer_password="a-password-of-rui")
    await insert(engine, "fornecedores", {"tipo_pessoa": "PF", "ni": CPF, "nome": f"Ana {CPF}"})
    viewer, admin = ("viewer", "a-password-of-rui"), ("admin", "a-password-of-ana")
    url, whole = f"/fornecedores.{form}", {"dados_pessoais": "true"}

    for auth in (viewer, admin):
        shown = text_of(form, (await api.get(url, auth=auth)).content)
        assert CPF not in shown
        assert MASKED in shown
    assert CPF in text_of(form, (await api.get(url, params=whole, auth=admin)).content)
    assert (await api.get(url, params=whole, auth=viewer)).status_code == 422
    for fields in ("todos", "payload"):
        refused = await api.get(url, params={"campos": fields}, auth=viewer)
        assert refused.status_code == 422
        assert "payload" in refused.json()["detail"]
    assert (await api.get(url)).status_code == 401


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")', 'a"b;c,d', "linha\nnova", "", "é€🙂"]


async def test_what_looks_like_a_formula_stays_a_text(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await insert(engine, "orgaos", *({"cnpj": f"{n:014}", "razao_social": name} for n, name in enumerate(HOSTILE)))
    orgaos, fields = ENTITIES_BY_ADDRESS["orgaos"], {"campos": "cnpj,razao_social"}

    content = (await file_of(api, orgaos, "csv", excel="1", **fields)).content
    assert content.startswith(b"\xef\xbb\xbf")
    head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";")
    assert head == ["CNPJ", "Razão social"]
    assert [name for _, name in rows] == [
        f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") and name else name for name in HOSTILE
    ]

    plain = csv.reader(io.StringIO((await file_of(api, orgaos, "csv", **fields)).content.decode(), newline=""))
    assert [name for _, name in plain][1:] == HOSTILE

    sheet = openpyxl.load_workbook(io.BytesIO((await file_of(api, orgaos, "xlsx", **fields)).content)).worksheets[0]
    cells = [row[1] for row in sheet.iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells if cell.value is not None} == {"s"}
    assert [cell.value for cell in cells][:4] == HOSTILE[:4]
    assert [row[0].value for row in sheet.iter_rows(min_row=2)] == [f"{n:014}" for n in range(len(HOSTILE))]

    pages = pypdf.PdfReader(io.BytesIO((await file_of(api, orgaos, "pdf")).content)).pages
    assert '=HYPERLINK("http://x")' in pages[0].extract_text()


async def test_csv_for_excel_has_decimal_commas_and_days_first(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await fill(engine, rows=1)
    fields = "valor_global,data_assinatura,data_publicacao_pncp,receita,ano_contrato"
    content = (await file_of(api, ENTITIES_BY_ADDRESS["contratos"], "csv", excel="1", campos=fields)).content
    _, row = csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=";")
    assert row == ["12345678901234,5678", "10/03/2026", "10/03/2026 08:30:00", "sim", "1"]


async def test_a_file_has_the_filters_of_the_list_and_a_name_that_tells_them(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await fill(engine)
    contratos = ENTITIES_BY_ADDRESS["contratos"]
    answer = await file_of(api, contratos, "csv", uf="01", ordem="data_publicacao:asc", campos="numero_controle_pncp")
    assert answer.text == "numero_controle_pncp\n01\n"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="contratos-01-20')
    assert answer.headers["X-Espelho"].startswith("Espelho incompleto: nenhum dia foi lido")
    assert answer.headers["X-Espelho"].isascii()
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/contratos.csv?limite=5", "limite"),
        ("/contratos.csv?cursor=x", "cursor"),
        ("/contratos.csv?ufff=SP", "ufff"),
        ("/contratos.xlsx?excel=1", "só vale para .csv"),
        ("/contratos.csv?excel=sim", "deve ser 0 ou 1"),
        ("/contratos.doc", "formato"),
        ("/contratos.pdf?campos=" + ",".join(list(ENTITIES_BY_ADDRESS["contratos"].fields)[:13]), "12"),
    ],
)
async def test_what_no_file_has_is_refused(api: httpx.AsyncClient, address: str, told: str) -> None:
    answer = await api.get(address)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


@pytest.mark.parametrize("form", ["csv", "xlsx", "pdf"])
async def test_a_file_that_is_too_large_is_refused_with_its_rows_and_a_remedy(
    api: httpx.AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    await fill(engine)
    if form == "pdf":
        monkeypatch.setitem(formats.FORMATS, "pdf", replace(formats.FORMATS["pdf"], most_rows=2))
    else:
        monkeypatch.setattr(serving, "MOST_ROWS", 2)
    answer = await api.get(f"/contratos.{form}")
    assert answer.status_code == 422
    assert f"São 3 registros, e .{form} leva até 2" in answer.json()["detail"]
    assert ("POST /exportacoes" if form != "pdf" else "XLSX") in answer.json()["detail"]
    assert (await api.get(f"/contratos.{form}", params={"uf": ["00", "01"]})).status_code == 200


async def test_without_its_library_parquet_is_answered_with_the_remedy(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "has_parquet", lambda: False)
    answer = await api.get("/contratos.parquet")
    assert answer.status_code == 501
    assert "requirements-exports.txt" in answer.json()["detail"]


@pytest.fixture
def kept_folder(tmp_path: Path) -> Path:
    return tmp_path / "exports"


FILLED = [(form, is_copy) for form in ("xlsx", "parquet", "ndjson", "pdf") for is_copy in (True, False)]


@pytest.mark.parametrize(("form", "is_copy"), [("csv", True), *FILLED])
async def test_a_full_disk_is_answered_and_leaves_nothing_behind(
    open_api: Callable[..., Any],
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    kept_folder: Path,
    form: str,
    is_copy: bool,
) -> None:
    await fill(engine)
    api = await open_api(export_dir=kept_folder)
    made = serving.Workspace.folder

    @asynccontextmanager
    async def full(workspace: serving.Workspace) -> AsyncIterator[Path]:
        async with made(workspace) as path:
            (path / f"arquivo.{form}").symlink_to("/dev/full")
            yield path

    def open_full(copy: serving._Copy) -> None:
        copy.path.touch()
        copy.file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115  # closed with the copy
        copy.grown = asyncio.Event()
        copy._kept = bytearray()

    if is_copy:
        monkeypatch.setattr(serving._Copy, "__post_init__", open_full)
    else:
        monkeypatch.setattr(serving.Workspace, "folder", full)
    if form == "csv":  # it has begun to be sent
        with pytest.raises(AssertionError):  # an answer without its end
            await api.get(f"/contratos.{form}")
    else:
        answer = await api.get(f"/contratos.{form}")
        assert answer.status_code == 507, answer.text
        assert "EXPORT_DIR" in answer.json()["detail"]
    assert files_in(kept_folder) == []


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir() and not path.name.startswith(".")]


async def test_a_file_leaves_nothing_behind(
    open_api: Callable[..., Any], engine: AsyncEngine, kept_folder: Path
) -> None:
    await fill(engine)
    api = await open_api(export_dir=kept_folder)
    for form in ("csv", "xlsx", "ndjson"):
        await file_of(api, ENTITIES_BY_ADDRESS["contratos"], form)
    assert files_in(kept_folder) == []


def test_what_a_killed_backend_has_left_goes_at_the_next_start(kept_folder: Path) -> None:
    living = serving.Workspace(kept_folder)
    left = kept_folder / "direct-of-one-that-was-killed"
    left.mkdir()
    (left / "linhas.csv").touch()
    other = serving.Workspace(kept_folder)
    assert not left.exists()
    assert len(list(kept_folder.iterdir())) == 2
    living.close()
    other.close()
    assert list(kept_folder.iterdir()) == []


async def test_a_folder_that_is_removed_is_made_again(
    open_api: Callable[..., Any], engine: AsyncEngine, tmp_path: Path
) -> None:
    """As by what cleans temporary files; where it cannot be made, files alone are refused."""
    await fill(engine)
    folder = tmp_path / "exports"
    api = await open_api(export_dir=folder)
    assert (await api.get("/contratos.csv")).status_code == 200
    shutil.rmtree(folder)
    folder.touch()
    assert (await api.get("/contratos.csv")).status_code == 507
    assert (await api.get("/contratos")).status_code == 200
    folder.unlink()
    assert (await api.get("/contratos.csv")).status_code == 200


async def test_a_folder_that_cannot_be_written_ends_the_start_with_its_variable(
    open_api: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(ConfigurationError, match="EXPORT_DIR"):
        await open_api(export_dir=tmp_path / "a-file" / "exports")


async def test_more_files_than_are_made_at_once_are_answered_503(
    api: httpx.AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(engine)
    monkeypatch.setattr(serving, "MOST_FILES", 0)
    answer = await api.get("/contratos.csv")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    monkeypatch.setattr(serving, "MOST_FILES", 20)
    monkeypatch.setattr(serving, "TURN_SECONDS", 0.001)
    answers = await asyncio.gather(*(api.get("/contratos.ndjson") for _ in range(6)))
    assert {each.status_code for each in answers} == {200, 503}
    assert (await api.get("/contratos.ndjson")).status_code == 200
