"""What can be delivered, asked of PostgreSQL: every column, every key, every condition."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from backend.config import BackendSettings
from backend.main import create_app
from backend.services.entities.address import portal_page
from common.connections.entities import shipped
from common.connections.loading import load_connections
from common.connections.names import ROUTES, TAKEN_BY_LISTS
from common.connections.samples import columns_sql, conditions_sql, sample_of
from common.connections.settings import Stream
from common.database import driver_of
from common.entities.delivered import DELIVERED, LINK, Delivered
from common.mapping.fields import compile_fields
from common.mapping.plan import FieldPlan
from common.resources import RESOURCES, RESOURCES_BY_NAME
from common.resources.description import Kind
from tests.integration.conftest import Database

every_entity = pytest.mark.parametrize("entity", DELIVERED.values(), ids=list(DELIVERED))
OF_VIEW = """
view: vw_valores
key: [cnpj, ano]
version: mudou
columns: {cnpj: text, ano: integer, total: number, quando: moment, extra: json}
"""
OF_RECORDS = """
key: [codigo, serie]
columns: {codigo: integer, serie: text, preco: number, ok: boolean, dia: day, quando: moment, itens: json}
"""
CRM = "url: https://example.com\nstart: all\nstreams:\n"


async def fetch(database: Database, sql: str, *values: Any) -> list[Any]:
    async with database.engine.begin() as db:
        driver = await driver_of(db)
        return list(await driver.fetch(sql, *values))


def question(entity: Delivered, columns: Sequence[str] = (), *, conditions: str = "") -> str:
    parts = (entity.key_sql, entity.version, *(entity.columns[name].sql for name in columns))
    where = " AND ".join(each for each in (entity.condition, conditions) if each) or "true"
    return f"SELECT {', '.join(parts)} FROM {entity.source} WHERE {where}"


def records_sql(stream: Stream) -> str:
    return f"SELECT {columns_sql(stream)} FROM {stream.entity.source} WHERE {conditions_sql(stream, first=1)}"


def streams_of(folder: Path, streams: str, **entities: str) -> tuple[Stream, ...]:
    for kind in ("destinations", "entities"):
        (folder / kind).mkdir(exist_ok=True)
    for name, content in entities.items():
        (folder / "entities" / f"{name}.yaml").write_text(content)
    (folder / "destinations" / "crm.yaml").write_text(CRM + streams)
    return load_connections(folder).destinations["crm"].streams


@pytest.fixture
async def view(database: Database) -> AsyncIterator[Database]:
    """A view of an operator's own, over a table with a key of two columns, and some declared records."""
    await database.rows(
        "CREATE TABLE valores (cnpj text, ano int, total numeric, quando timestamp, extra jsonb, mudou timestamptz,"
        " PRIMARY KEY (cnpj, ano))"
    )
    await database.rows(
        "INSERT INTO valores SELECT 'a/' || n, 2000 + n % 3, n / 4.0, '2026-01-01', '{\"n\": 1}', now()"
        " FROM generate_series(1, 30) n"
    )
    await database.rows("CREATE VIEW vw_valores AS SELECT * FROM valores")
    for number in range(3):
        record = {
            "codigo": number,
            "serie": "1",
            "preco": 5.90,
            "ok": number > 0,
            "dia": "2026-01-31",
            "quando": "2026-01-31T10:00:00",
            "itens": [{"n": 1}] if number else None,
        }
        await database.rows(
            "INSERT INTO entity_records (entity, key, data, removed_at)"
            " VALUES ('aquisicoes', :key, :data, CASE WHEN :number = 2 THEN now() END)",
            key=f"{number}/1",
            data=json.dumps(record),
            number=number,
        )
    yield database
    await database.rows("DROP VIEW vw_valores")
    await database.rows("DROP TABLE valores")
    await database.rows("DELETE FROM entity_records WHERE entity = 'aquisicoes'")


@every_entity
async def test_every_column_of_every_row_can_be_read_and_rendered(filled: Database, entity: Delivered) -> None:
    plans = {name: FieldPlan.model_validate({"from": name}) for name in entity.columns}
    rendering = compile_fields(plans, entity, wrap="array", echo=None, at=())
    rows = await fetch(filled, question(entity, rendering.columns))
    table = entity.source.split()[0]
    assert len(rows) == await filled.value(f"SELECT count(*) FROM {table}") > 0
    keys = [row[0] for row in rows]
    assert all(isinstance(key, str) for key in keys)
    assert len(set(keys)) == len(keys)
    for key, version, *values in rows:
        assert isinstance(version, datetime)
        assert version.tzinfo is not None
        content = json.loads(rendering.render(values, key, version).content)
        assert list(content) == list(entity.columns)


@every_entity
async def test_rows_are_found_by_their_keys_and_no_others_are(filled: Database, entity: Delivered) -> None:
    keys = [row[0] for row in await fetch(filled, question(entity))]
    asked = keys[::2]
    strange = [
        "",
        "/",
        "//",
        "nothing",
        "1/2/3/4/5/6",
        "9" * 30,
        "-1",
        "1.5",
        "' OR true --",
        *(f"{key}/" for key in asked),
    ]
    sql = question(entity, conditions=f"({entity.rows_of().format(keys='$1')})")
    assert sorted(row[0] for row in await fetch(filled, sql, asked + strange)) == sorted(asked)
    assert await fetch(filled, sql, strange) == []
    assert await fetch(filled, sql, []) == []


@every_entity
async def test_rows_are_found_by_an_index_that_begins_with_the_key(filled: Database, entity: Delivered) -> None:
    async with filled.engine.begin() as db:
        driver = await driver_of(db)
        await driver.execute("SET LOCAL enable_seqscan = off")
        sql = question(entity, conditions=f"({entity.rows_of().format(keys='$1')})")
        plan = "\n".join(row[0] for row in await driver.fetch(f"EXPLAIN {sql}", ["x/1"]))
    first = entity.key[0].removeprefix("e.")
    assert any("Index Cond" in line and f"({first} = ANY" in line for line in plan.splitlines()), plan


async def test_the_page_of_the_portal_is_the_one_that_readers_see(filled: Database) -> None:
    for resource in RESOURCES:
        entity = DELIVERED[resource.name]
        assert (LINK in entity.columns) is bool(resource.page)
        if resource.page:
            for key, _, link in await fetch(filled, question(entity, [LINK])):
                assert link == portal_page(RESOURCES_BY_NAME[resource.name], key), key


async def test_lists_stand_in_their_records_in_the_order_of_their_keys(filled: Database) -> None:
    rows = await fetch(filled, question(DELIVERED["contratacoes"], ["itens"]))
    stored = await filled.rows(
        "SELECT numero_controle_pncp, numero_item, payload FROM itens_contratacao ORDER BY numero_item"
    )
    by_key: dict[str, list[Any]] = {}
    for key, _, payload in stored:
        by_key.setdefault(key, []).append(payload if not isinstance(payload, str) else json.loads(payload))
    assert {key: json.loads(itens) for key, _, itens in rows if itens is not None} == by_key
    assert len(by_key) > 1


async def test_declared_records_and_views_are_read_as_declared(view: Database, tmp_path: Path) -> None:
    streams = streams_of(
        tmp_path, "  - entity: aquisicoes\n  - entity: valores_de\n", aquisicoes=OF_RECORDS, valores_de=OF_VIEW
    )
    compras, valores = (stream.entity for stream in streams)
    rows = await fetch(view, question(compras, list(compras.columns)))
    assert sorted(row[0] for row in rows) == ["0/1", "1/1"]  # what was removed is not there
    rendering = streams[0].rendering
    content = rendering.render(
        (await fetch(view, question(compras, rendering.columns) + " AND e.key = '1/1'"))[0][2:],
        "1/1",
        datetime.now().astimezone(),
    ).content
    assert content == (
        b'{"codigo":1,"serie":"1","preco":5.9,"ok":true,"dia":"2026-01-31","quando":"2026-01-31T10:00:00"}'
    )
    assert len(await fetch(view, question(valores, list(valores.columns)))) == 30
    for entity, keys, other in ((compras, ["0/1", "1/1"], "2/1"), (valores, ["a/1/2001", "a/2/2002"], "a/1/2002")):
        sql = question(entity, conditions=entity.rows_of().format(keys="$1"))
        assert sorted(row[0] for row in await fetch(view, sql, [*keys, other, "x"])) == keys
    async with view.engine.begin() as db:
        driver = await driver_of(db)
        await driver.execute("SET LOCAL enable_seqscan = off")
        for entity in (compras, valores):
            sql = question(entity, conditions=entity.rows_of().format(keys="$1"))
            plan = "\n".join(row[0] for row in await driver.fetch(f"EXPLAIN {sql}", ["a/1/2001"]))
            assert "Index Cond" in plan, plan


NOTEBOOKS = """\
  - entity: contratacoes
    where:
      any_item: {{descricao: {{contains_any: [{words}]}}}}
    fields: {{id: numero_controle_pncp}}
"""


@pytest.mark.parametrize(
    ("words", "is_found"),
    [
        ('"ESTACAO de trabalho"', True),
        ('"nothing", "estação"', True),
        ('"50% _é"', True),
        ('"50%% _é"', False),
        ('"5_"', False),
        ('"trabalho estação"', False),
    ],
)
async def test_words_are_found_in_items_without_accents_and_case(
    filled: Database, tmp_path: Path, words: str, is_found: bool
) -> None:
    key = await filled.value("SELECT min(numero_controle_pncp) FROM itens_contratacao")
    await filled.rows("UPDATE itens_contratacao SET descricao = 'água'")
    await filled.rows(
        "UPDATE itens_contratacao SET descricao = 'Uma Estação de TRABALHO, 50% _É' WHERE numero_controle_pncp = :key"
        " AND numero_item = (SELECT min(numero_item) FROM itens_contratacao WHERE numero_controle_pncp = :key)",
        key=key,
    )
    (stream,) = streams_of(tmp_path, NOTEBOOKS.format(words=words))
    rows = await fetch(filled, records_sql(stream), *stream.where.values)
    assert [sample_of(stream, row).key for row in rows] == ([key] if is_found else [])


WHERE = {
    "modalidade_id: 6": lambda row: row["modalidade_id"] == 6,
    "modalidade_id: {in: [6, 7]}": lambda row: row["modalidade_id"] in (6, 7),
    "unidade_orgao_uf_sigla: SP": lambda row: row["unidade_orgao_uf_sigla"] == "SP",
    "processo: {is_null: true}": lambda row: row["processo"] is None,
    "processo: {is_null: false}": lambda row: row["processo"] is not None,
    "srp: true": lambda row: row["srp"] is True,
    "valor_total_estimado: {at_least: 0.1, at_most: 1234567.8901}": lambda row: (
        row["valor_total_estimado"] is not None and 0.1 <= float(row["valor_total_estimado"]) <= 1234567.8901
    ),
    "objeto_compra: {contains_any: [ACAO, sp]}": lambda row: row["objeto_compra"] in ("Ação", "SP"),
    "data_publicacao_pncp: {from: 2021-01-01, to: 2100-01-01}": lambda row: row["data_publicacao_pncp"] is not None,
    "data_publicacao_pncp: {to: 2021-01-01}": lambda row: row["data_publicacao_pncp"] < datetime(2021, 1, 2),
    "any_item: {numero_item: {in: [1, 2, 3]}}": None,
}


@pytest.mark.parametrize("where", WHERE)
async def test_a_condition_leaves_what_a_plain_comparison_leaves(filled: Database, tmp_path: Path, where: str) -> None:
    (stream,) = streams_of(tmp_path, f"  - entity: contratacoes\n    where: {{{where}}}\n")
    found = {row[0] for row in await fetch(filled, records_sql(stream), *stream.where.values)}
    holds = WHERE[where]
    if holds is None:
        stored = await filled.rows(
            "SELECT DISTINCT numero_controle_pncp FROM itens_contratacao WHERE numero_item IN (1,2,3)"
        )
        assert found == {row[0] for row in stored}
        return
    rows = [dict(row._mapping) for row in await filled.rows("SELECT * FROM contratacoes")]
    assert found == {row["numero_controle_pncp"] for row in rows if holds(row)}


async def test_every_column_can_be_a_condition(filled: Database, tmp_path: Path) -> None:
    values = {
        Kind.TEXT: '"1"',
        Kind.SHORT_TEXT: '"1"',
        Kind.INTEGER: "1",
        Kind.CODE: "1",
        Kind.NUMBER: "1.5",
        Kind.BOOLEAN: "true",
        Kind.DAY: "2026-01-31",
        Kind.MOMENT: "2026-01-31",
        Kind.STAMP: "2026-01-31T10:00:00",
    }
    for entity in DELIVERED.values():
        for column in entity.columns.values():
            if column.kind is not Kind.JSON:
                where = f"{column.name}: {{equals: {values[column.kind]}, in: [{values[column.kind]}]}}"
                (stream,) = streams_of(tmp_path, f"  - entity: {entity.name}\n    where: {{{where}}}\n")
                await fetch(filled, records_sql(stream), *stream.where.values)


def test_no_declared_entity_can_hide_an_address_of_the_api(database_url: str) -> None:
    app = create_app(BackendSettings(database_url=database_url, rabbitmq_url=None))
    firsts = {path.split("/")[1] for path in app.openapi()["paths"]}
    words = {first.partition(".")[0].replace("-", "_") for first in firsts if first and "{" not in first}
    assert words
    assert words - ROUTES - TAKEN_BY_LISTS == set(shipped())


SHIPPED = """\
  - entity: compras
    where: {valor_estimado: {at_least: 100}, ano: {in: [2026]}, data_assinatura: {from: 2026-01-01}}
    fields:
      NUMERO: numero
      VALOR: {from: valor_estimado, decimal: 2}
      ASSINADA: {from: data_assinatura, date: "%d/%m/%Y"}
"""


async def test_records_of_an_entity_that_comes_with_the_product_are_delivered(
    database: Database, tmp_path: Path
) -> None:
    for number, value in ((1, 99.5), (2, 100), (3, 1234.5)):
        record = {"numero": f"C{number}", "ano": 2026, "valor_estimado": value, "data_assinatura": "2026-02-03"}
        await database.rows(
            "INSERT INTO entity_records (entity, key, data) VALUES ('compras', :key, CAST(:data AS jsonb))",
            key=f"C{number}",
            data=json.dumps(record),
        )
    (stream,) = streams_of(tmp_path, SHIPPED)
    rows = await fetch(database, records_sql(stream), *stream.where.values)
    sent = [json.loads(sample_of(stream, row).content) for row in rows]
    assert sorted(each["NUMERO"] for each in sent) == ["C2", "C3"]
    assert {"NUMERO": "C3", "VALOR": "1234.50", "ASSINADA": "03/02/2026"} in sent
    await database.rows("DELETE FROM entity_records")
