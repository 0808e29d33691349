"""`python -m ingestor connections`: what it prints, and what it exits with."""

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tests.integration.conftest import Database
from tests.support import ROOT

FILE = """\
url: ${env:CRM_URL}
start: all
streams:
  - entity: contratacoes
    where: {modalidade_id: {is_null: false}}
    fields:
      id: numero_controle_pncp
      situacao: {from: modalidade_id, map: {"6": Pregão}}
  - entity: contratos
    name: nenhum
    where: {numero_controle_pncp: nothing}
"""


async def run(*arguments: str, folder: Path | None = None, **environment: str) -> tuple[int, str, str]:
    """Run the command to its end; answers exit code, stdout and stderr."""
    ours = {"CONNECTIONS_DIR": str(folder) if folder else "", **environment}
    known = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "RABBITMQ_URL")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ingestor",
        "connections",
        *arguments,
        cwd=ROOT,
        env=known | ours,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def write(folder: Path, content: str = FILE) -> Path:
    (folder / "destinations").mkdir(exist_ok=True)
    (folder / "destinations" / "crm.yaml").write_text(content)
    return folder


async def test_check_prints_what_files_say_and_which_secrets_are_missing(tmp_path: Path) -> None:
    folder = write(tmp_path)
    code, out, err = await run("check", folder=folder, CRM_URL="https://crm.example/secret-path")
    assert (code, err) == (0, "")
    assert "crm  http, 0 1 * * *, start all" in out
    assert "  contratacoes: contratacoes, 1000 records a request\n" in out
    assert "secret-path" not in out
    code, out, _ = await run("check", folder=folder)
    assert code == 1
    assert "  missing: a variável CRM_URL não está definida\n" in out
    assert (await run("check", "--without-secrets", folder=folder))[0] == 0


async def test_check_prints_faults_by_file_and_line(tmp_path: Path) -> None:
    code, out, _ = await run("check", "--dir", str(write(tmp_path, FILE.replace("start: all", "start: no"))))
    assert code == 1
    assert out == "destinations/crm.yaml:2: `no`: coloque o valor entre aspas; sem elas, YAML lê outra coisa\n"


async def test_without_a_folder_there_is_nothing_to_check() -> None:
    code, out, err = await run("check")
    assert (code, out) == (1, "")
    assert err == "ingestor: CONNECTIONS_DIR: is not set; it is the folder of the files of connections\n"


async def test_schemas_are_printed_without_a_database() -> None:
    for folder, known in (("destinations", "streams"), ("entities", "columns")):
        code, out, _ = await run("schema", folder)
        assert code == 0
        assert known in json.loads(out)["properties"]


async def test_a_preview_prints_records_as_they_would_be_sent(
    filled: Database, database_url: str, tmp_path: Path
) -> None:
    await filled.rows(
        "UPDATE contratacoes SET modalidade_id = CASE WHEN ctid = (SELECT min(ctid) FROM contratacoes) THEN 6 END"
    )
    code, out, err = await run("preview", "crm", folder=write(tmp_path), DATABASE_URL=database_url)
    assert (code, err) == (0, "")
    heading, record, other, nothing = out.splitlines()
    assert (heading, other, nothing) == ("contratacoes:", "nenhum:", "no records")
    assert json.loads(record)["situacao"] == "Pregão"
    await filled.rows("UPDATE contratacoes SET modalidade_id = 7 WHERE modalidade_id = 6")
    _, out, _ = await run("preview", "crm", folder=tmp_path, DATABASE_URL=database_url)
    assert "situacao: valor sem correspondência: 7" in out.splitlines()[1]
    code, _, err = await run("preview", "other", folder=tmp_path, DATABASE_URL=database_url)
    assert (code, err) == (1, "there is no valid file other.yaml in destinations or sources\n")


async def test_check_says_what_entities_layouts_and_sources_are(tmp_path: Path) -> None:
    folder = write_intake(tmp_path)
    code, out, _ = await run("check", folder=folder, ERP_FILE=str(tmp_path / "erp.sqlite"))
    assert code == 0
    assert out.splitlines() == [
        "notas  entity, by nota",
        "  fornecedor refers to fornecedores_proprios",
        "planilha  layout, valid_rows",
        "  notas: Nota, CNPJ",
        "erp  source, 30 0 * * *",
        "  notas: NOTA by NUMERO",
        "  ${env:ERP_FILE}",
        "no faults; entities: 1, layouts: 1, sources: 1, destinations: 0, clients: 0",
    ]


async def test_a_preview_of_a_source_prints_rows_as_they_would_be_stored(tmp_path: Path, database_url: str) -> None:
    folder = write_intake(tmp_path)
    path = tmp_path / "erp.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE NOTA (NUMERO TEXT PRIMARY KEY, FORNECEDOR TEXT)")
        db.executemany("INSERT INTO NOTA VALUES (?, ?)", [("n1", "00.394.460/0001-41"), ("n2", "7")])
    code, out, err = await run("preview", "erp", folder=folder, ERP_FILE=str(path), DATABASE_URL=database_url)
    assert (code, err) == (0, "")
    heading, stored, rejected = out.splitlines()
    assert heading == "notas:"
    assert json.loads(stored) == {"nota": "n1", "fornecedor": "00394460000141"}
    assert rejected.startswith("rejected n2: fornecedor: ")
    path.unlink()
    code, out, err = await run("preview", "erp", folder=folder, ERP_FILE=str(path), DATABASE_URL=database_url)
    assert (code, out) == (1, "")
    assert err


def write_intake(folder: Path) -> Path:
    files = {
        "entities/notas": """
key: nota
columns:
  nota: text
  fornecedor: {type: cnpj, references: fornecedores_proprios}
""",
        "layouts/planilha": "into: [{entity: notas, fields: {nota: Nota, fornecedor: CNPJ}}]",
        "sources/erp": "url: sqlite:///${env:ERP_FILE}\nentities: {notas: {table: NOTA, key: NUMERO}}",
    }
    for name, content in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir()
        path.write_text(content, encoding="utf-8")
    return folder


async def test_forget_removes_a_destination_with_all_that_is_known_of_it(database: Database, database_url: str) -> None:
    for name in ("crm", "erp"):
        await database.rows("INSERT INTO destinations (name) VALUES (:name)", name=name)
        await database.rows("INSERT INTO schedules (name) VALUES ('deliver:' || :name)", name=name)
        stream = await database.value(
            "INSERT INTO streams (destination, name, entity, plan_digest) VALUES (:name, 's', 'contratos', '')"
            " RETURNING id",
            name=name,
        )
        await database.rows(
            "INSERT INTO deliveries (stream_id, key, state) SELECT :stream, n, 1 FROM generate_series(1, 3) n",
            stream=stream,
        )

    async def left() -> list[str]:
        return [row[0] for row in await database.rows("SELECT name FROM destinations ORDER BY name")]

    code, out, _ = await run("forget", "crm", DATABASE_URL=database_url)
    assert (code, out) == (1, "3 records of crm would be forgotten; add --yes to do it\n")
    assert await left() == ["crm", "erp"]
    code, out, _ = await run("forget", "crm", "--yes", DATABASE_URL=database_url)
    assert (code, out) == (0, "3 records of crm are forgotten\n")
    assert await left() == ["erp"]
    assert await database.value("SELECT count(*) FROM deliveries") == 3
    schedules = await database.rows("SELECT name FROM schedules WHERE name LIKE 'deliver:%'")
    assert [row[0] for row in schedules] == ["deliver:erp"]
    code, _, err = await run("forget", "crm", "--yes", DATABASE_URL=database_url)
    assert (code, err) == (1, "nothing is known of crm\n")
    await run("forget", "erp", "--yes", DATABASE_URL=database_url)


async def test_what_is_being_delivered_is_not_forgotten(database: Database, database_url: str) -> None:
    await database.rows("INSERT INTO destinations (name) VALUES ('crm')")
    execution = await database.value(
        "INSERT INTO sync_executions (kind, resource, mode, criterio, trigger, status)"
        " VALUES ('delivery', 'crm', 'update', 'atualizacao', 'api', 'running') RETURNING id"
    )
    code, _, err = await run("forget", "crm", "--yes", DATABASE_URL=database_url)
    assert (code, err) == (1, f"execution {execution} delivers to crm: cancel it first\n")
    assert await database.value("SELECT count(*) FROM destinations") == 1
