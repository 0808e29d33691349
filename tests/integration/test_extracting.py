"""Databases of others are read: whole and in part, interrupted, changed, with rows that cannot be stored (S1)."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.lifecycle import executions, jobs
from ingestor.errors import LeaseLost
from ingestor.intake import extracting, importing, sources
from ingestor.intake.extracting import Held
from ingestor.intake.faults import SourceChanged, SourceDown, SourceMisconfigured
from ingestor.intake.foreign import ForeignDatabase
from tests.integration.conftest import Database
from tests.sources import Desk, Erp, mariadb_erp, postgresql_erp, sqlite_erp
from tests.support import eventually

CURSOR = "cursor: {column: MUDOU, lag: 15m}"
MOMENT = datetime(2026, 3, 1, 10)
TABLE = "CREATE TABLE produtos (codigo {integer}, nome {text}, preco NUMERIC(12,4), mudou {moment})"
TYPES = {
    "postgresql": {"integer": "bigint", "text": "text", "moment": "timestamp"},
    "mariadb": {"integer": "bigint", "text": "varchar(200)", "moment": "datetime(6)"},
    "sqlite": {"integer": "integer", "text": "text", "moment": "text"},
}


@pytest.fixture
def desk(engine: AsyncEngine, tmp_path: Path) -> Desk:
    return Desk(engine, tmp_path / "connections")


@pytest.fixture
def postgresql(server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Erp]:
    with postgresql_erp(server_url) as erp:
        monkeypatch.setenv("ERP_URL", erp.url)
        erp.run(TABLE.format(**TYPES["postgresql"]))
        yield erp


@pytest.fixture
def mariadb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Erp]:
    with mariadb_erp() as erp:
        monkeypatch.setenv("ERP_URL", erp.url)
        erp.run(TABLE.format(**TYPES["mariadb"]))
        yield erp


@pytest.fixture(params=list(TYPES))
def erp(
    request: pytest.FixtureRequest, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Erp]:
    """Each database that is here."""
    with ExitStack() as stack:
        made = {
            "postgresql": lambda: postgresql_erp(server_url),
            "mariadb": mariadb_erp,
            "sqlite": lambda: sqlite_erp(tmp_path),
        }[request.param]()
        erp = stack.enter_context(made)
        monkeypatch.setenv("ERP_URL", erp.url)
        erp.run(TABLE.format(**TYPES[request.param]))
        yield erp


def product(number: int, **other: Any) -> dict[str, Any]:
    return {"codigo": number, "nome": f"Produto {number}", "preco": f"{number}.5", "mudou": MOMENT, **other}


def products(first: int, last: int, **other: Any) -> list[dict[str, Any]]:
    return [product(number, **other) for number in range(first, last + 1)]


async def stored(database: Database, entity: str = "produtos") -> dict[str, dict[str, Any]]:
    """The records that are there."""
    rows = await database.rows(
        "SELECT key, CAST(data AS text) AS data FROM entity_records WHERE entity = :entity AND removed_at IS NULL",
        entity=entity,
    )
    return {row.key: json.loads(row.data) for row in rows}


async def position(database: Database, entity: str = "produtos") -> Any:
    return await database.row("SELECT * FROM source_entities WHERE entity = :entity", entity=entity)


async def listed(database: Database) -> list[Any]:
    """What could not be stored, as imports tell it."""
    return await database.rows("""
        SELECT r.row, r.key, r.state, r.errors, r.waits_entity, r.waits_key, i.state AS import_state, i.door, i.layout,
               i.rows, i.pending, i.rejected
          FROM import_rows r JOIN imports i ON i.id = r.import_id ORDER BY r.import_id, r.row
    """)


async def test_all_rows_become_records_page_by_page(desk: Desk, erp: Erp, database: Database) -> None:
    erp.put("produtos", [{**each, "mudou": str(each["mudou"])} for each in products(1, 25)])
    desk.write_products()
    execution_id = await desk.read()

    records = await stored(database)
    assert list(records) == [*map(str, range(1, 26))] or set(records) == {*map(str, range(1, 26))}
    assert records["7"] == {"codigo": 7, "nome": "Produto 7", "preco": 7.5, "mudou": "2026-03-01T10:00:00"}
    execution = await database.execution(execution_id)
    assert (execution.status, execution.cause) == ("success", None)
    known = await position(database)
    assert (known.rows, known.reading_execution_id, known.full_at is not None) == (25, None, True)
    assert await database.value("SELECT count(*) FROM source_keys") == 0
    assert await database.value("SELECT last_success_at IS NOT NULL FROM sources") is True
    counts = await database.row("SELECT * FROM sync_slices WHERE execution_id = :id", id=execution_id)
    assert (counts.records_seen, counts.records_inserted, counts.pages_done) == (25, 25, 3)
    assert (
        desk.metrics.registry.get_sample_value("pncp_source_rows_total", {"source": "erp", "entity": "produtos"}) == 25
    )


async def test_a_second_reading_finds_new_changed_and_missing_rows(desk: Desk, erp: Erp, database: Database) -> None:
    erp.put("produtos", [{**each, "mudou": str(each["mudou"])} for each in products(1, 20)])
    desk.write_products()
    await desk.read()
    before = {row.key: row.updated_at for row in await database.rows("SELECT key, updated_at FROM entity_records")}
    erp.run(
        "DELETE FROM produtos WHERE codigo IN (4, 11)",
        "UPDATE produtos SET nome = 'Outro' WHERE codigo = 10",
        "INSERT INTO produtos (codigo, nome) VALUES (100, 'Novo')",
    )
    execution_id = await desk.read()

    records = await stored(database)
    assert set(records) == {*map(str, range(1, 21)), "100"} - {"4", "11"}
    assert records["10"]["nome"] == "Outro"
    assert records["100"] == {"codigo": 100, "nome": "Novo"}
    after = {row.key: row.updated_at for row in await database.rows("SELECT key, updated_at FROM entity_records")}
    assert {key for key, moment in before.items() if after[key] != moment} == {"4", "10", "11"}
    counts = await database.row("SELECT * FROM sync_slices WHERE execution_id = :id", id=execution_id)
    assert (counts.records_inserted, counts.records_updated, counts.records_unchanged) == (1, 1, 17)


async def test_a_reading_that_is_killed_at_any_page_goes_on_behind_the_last_one_that_was_stored(
    desk: Desk, postgresql: Erp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: killed at any page, before and after what it has stored is committed."""
    postgresql.put("produtos", products(1, 55))
    desk.write_products()
    await desk.ask()
    store, pages = extracting._store, 0

    async def dies(*arguments: Any) -> None:
        nonlocal pages
        pages += 1
        if pages % 2:
            raise ConnectionResetError("killed before the page is stored")
        await store(*arguments)

    monkeypatch.setattr(extracting, "_store", dies)
    read = 0
    for attempt in range(100):
        claim = await desk.claim(f"worker {attempt}", lease_seconds=0)
        assert claim is not None
        try:
            if await desk.work(claim, stops=lambda: True):
                break
        except ConnectionResetError:
            read += 1
    assert read > 4
    assert set(await stored(database)) == {*map(str, range(1, 56))}
    assert (await position(database)).rows == 55
    counts = await database.row("SELECT * FROM sync_slices")
    assert (counts.records_seen, counts.records_inserted, counts.status) == (55, 55, "success")


async def test_a_worker_that_was_overtaken_stores_nothing(desk: Desk, postgresql: Erp, database: Database) -> None:
    postgresql.put("produtos", products(1, 5))
    desk.write_products()
    await desk.ask()
    frozen = await desk.claim("frozen", lease_seconds=0)
    assert await desk.work(await desk.claim("other"))
    postgresql.run("UPDATE produtos SET nome = 'velho'")
    with pytest.raises(LeaseLost):
        await desk.work(frozen)
    assert {each["nome"] for each in (await stored(database)).values()} == {f"Produto {n}" for n in range(1, 6)}


async def test_a_delta_reads_what_was_changed_and_loses_no_equal_and_no_late_value(
    desk: Desk, erp: Erp, database: Database
) -> None:
    """Inclusive, with a lag, without an upper bound: rows of one moment over several pages, and one that came late."""

    def put(rows: list[dict[str, Any]]) -> None:
        """SQLite has no type for moments but texts."""
        texts = erp.url.startswith("sqlite")
        erp.put("produtos", [{**row, "mudou": str(row["mudou"])} if texts and row["mudou"] else row for row in rows])

    put(products(1, 35))  # all of one moment
    desk.write_products(cursor=CURSOR)
    await desk.read()
    put(products(40, 74, mudou=MOMENT + timedelta(hours=1)))
    put([product(80, mudou=MOMENT - timedelta(minutes=14)), product(81, mudou=None)])
    put([product(82, mudou=MOMENT - timedelta(minutes=16))])
    execution_id = await desk.read("update")

    records = await stored(database)
    assert set(records) == {*map(str, [*range(1, 36), *range(40, 75), 80])}
    counts = await database.row("SELECT * FROM sync_slices WHERE execution_id = :id", id=execution_id)
    assert (counts.records_inserted, counts.records_unchanged, counts.records_seen) == (36, 35, 71)
    assert (await position(database)).without_cursor == 0
    await desk.read()  # what has no value in the cursor, and what came too late, are the whole reading's
    assert {"81", "82"} <= set(await stored(database))
    assert (await position(database)).without_cursor == 1


async def test_a_delta_removes_nothing_and_its_cursor_is_that_of_its_beginning(
    desk: Desk, postgresql: Erp, database: Database
) -> None:
    postgresql.put("produtos", products(1, 30))
    desk.write_products(cursor=CURSOR)
    await desk.read()
    postgresql.run("DELETE FROM produtos WHERE codigo < 20")
    postgresql.put("produtos", [product(100, mudou=MOMENT + timedelta(days=2))])
    await desk.read("update")
    assert len(await stored(database)) == 31
    assert (await position(database)).cursor_value == '["datetime", "2026-03-03T10:00:00"]'


async def test_a_value_of_the_cursor_in_the_future_hides_no_changes(
    desk: Desk, postgresql: Erp, database: Database
) -> None:
    postgresql.put("produtos", [*products(1, 3), product(4, mudou=datetime(2199, 1, 1))])
    desk.write_products(cursor=CURSOR)
    await desk.read()
    assert (await position(database)).cursor_value == '["datetime", "2026-03-01T10:00:00"]'


async def test_the_first_reading_of_a_delta_is_whole(desk: Desk, postgresql: Erp, database: Database) -> None:
    postgresql.put("produtos", [*products(1, 3), product(4, mudou=None)])
    desk.write_products(cursor=CURSOR)
    await desk.read("update")
    assert len(await stored(database)) == 4
    assert (await position(database)).full_at is not None


async def test_a_view_that_loses_a_column_ends_the_reading_and_removes_nothing(
    desk: Desk, postgresql: Erp, database: Database
) -> None:
    """S1: the error names the column; a new one is no error."""
    postgresql.put("produtos", products(1, 20))
    desk.write_products()
    await desk.read()
    postgresql.run("ALTER TABLE produtos DROP COLUMN preco", "ALTER TABLE produtos ADD COLUMN marca text")
    postgresql.run("DELETE FROM produtos WHERE codigo > 18")
    execution_id = await desk.ask()
    claim = await desk.claim()
    assert claim is not None
    with pytest.raises(SourceChanged, match="a coluna `preco` de `produtos`") as raised:
        await desk.work(claim)
    async with desk.engine.begin() as db:
        assert await extracting.fail(db, claim, desk.registered[0], str(raised.value))
    async with desk.engine.begin() as db:
        assert await executions.close(db, execution_id) == "error"
    execution = await database.execution(execution_id)
    assert execution.cause == "source_changed"
    assert "`preco`" in execution.error_message
    assert len(await stored(database)) == 20
    assert "`preco`" in await database.value("SELECT last_error FROM sources")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER COLUMN preco TYPE timestamp USING now()", "`preco` traz valores do tipo datetime"),
        ("ALTER COLUMN nome TYPE bytea USING 'x'", "`nome` traz valores do tipo bytes"),
        ("ALTER COLUMN preco TYPE text USING 'caro'", "nenhuma linha de `produtos` traz um valor que sirva em `preco`"),
        ("DROP COLUMN codigo", "a coluna `CODIGO`"),
        ("ALTER COLUMN codigo TYPE float8", "uma chave ou um cursor é do tipo float"),
    ],
)
async def test_a_column_of_an_unfit_type_ends_the_reading(
    desk: Desk, postgresql: Erp, database: Database, change: str, said: str
) -> None:
    postgresql.put("produtos", products(1, 60))
    desk.write_products(page=100)
    await desk.read()
    postgresql.run(f"ALTER TABLE produtos {change}")
    await desk.ask()
    with pytest.raises(SourceChanged, match=said):
        await desk.work()
    assert len(await stored(database)) == 60


async def test_a_key_that_is_not_unique_is_named(desk: Desk, erp: Erp, database: Database) -> None:
    """S1: within a page, and on both sides of a page's end."""
    erp.put("produtos", [{**each, "mudou": str(each["mudou"])} for each in products(1, 25)])
    desk.write_products()
    await desk.read()
    for number in (5, 10):
        erp.run(f"INSERT INTO produtos (codigo, nome) VALUES ({number}, 'outra vez')")
        execution_id = await desk.ask()
        with pytest.raises(SourceChanged, match=f"chave `CODIGO` de `produtos` não é única: {number} aparece"):
            await desk.work()
        erp.run("DELETE FROM produtos WHERE nome = 'outra vez'")
        async with desk.engine.begin() as db:
            await executions.cancel(db, execution_id, "test")
    assert len(await stored(database)) == 25


async def test_many_equal_keys_do_not_hold_a_reading_up_for_ever(desk: Desk, postgresql: Erp) -> None:
    postgresql.put("produtos", [product(7) for _ in range(50)])
    desk.write_products()
    await desk.ask()
    with pytest.raises(SourceChanged, match=r"não é única|não avançam"):
        await desk.work()


async def test_where_capitals_do_not_count_keys_on_both_sides_of_a_page_s_end_are_all_read(
    desk: Desk, mariadb: Erp, database: Database
) -> None:
    """To MariaDB `a` and `A` are equal, and `é` and `e`: what is behind the one may be the other."""
    texts = [f"{letter}{number}" for number in range(10) for letter in "aAbBcCéeÉE"]
    mariadb.run("CREATE TABLE marcas (sigla varchar(20), nome varchar(20)) DEFAULT COLLATE utf8mb4_unicode_ci")
    mariadb.put("marcas", [{"sigla": each, "nome": each} for each in texts])
    for page in (1, 2, 3, 7):
        source = f"url: ${{env:ERP_URL}}\nentities: {{marcas: {{table: marcas, key: SIGLA, page: {page + 3}}}}}\n"
        desk.write(source, marcas="key: sigla\ncolumns: {sigla: text, nome: text}\n")
        await desk.read()
        assert set(await stored(database, "marcas")) == set(texts)
        assert (await position(database, "marcas")).rows == len(texts)


async def test_keys_of_several_parts_are_read_in_the_order_of_the_database(
    desk: Desk, erp: Erp, database: Database
) -> None:
    erp.run("CREATE TABLE vendas (numero integer, serie varchar(10), valor NUMERIC(38, 2))")
    rows = [
        {"numero": number, "serie": serie, "valor": f"{number}.25"}
        for number in range(1, 12)
        for serie in ("1", "A", "é")
    ]
    erp.put("vendas", rows)
    query = "SELECT v.*, ':x' AS z FROM vendas v -- all of them"
    source = f'url: ${{env:ERP_URL}}\nentities:\n  vendas: {{query: "{query}", key: [NUMERO, SERIE], page: 4}}\n'
    desk.write(source, vendas="key: [numero, serie]\ncolumns: {numero: integer, serie: text, valor: number}\n")
    await desk.read()
    assert set(await stored(database, "vendas")) == {f"{row['numero']}/{row['serie']}" for row in rows}


async def test_a_third_of_the_rows_gone_waits_for_a_confirmation(
    desk: Desk, postgresql: Erp, database: Database
) -> None:
    """S1: held with its reason, its count and samples; nothing is removed before it is confirmed."""
    postgresql.put("produtos", products(1, 30))
    desk.write_products()
    await desk.read()
    postgresql.run("DELETE FROM produtos WHERE codigo <= 9")
    execution_id = await desk.ask()
    claim = await desk.claim()
    assert claim is not None
    with pytest.raises(Held) as raised:
        await desk.work(claim)
    async with desk.engine.begin() as db:
        assert await extracting.hold(db, claim, raised.value)
    held = (await database.execution(execution_id)).held
    assert held == {
        "reason": "many_removed",
        "owed": 9,
        "of": 30,
        "entity": "produtos",
        "samples": ["1", "2", "3"],
    }
    assert len(await stored(database)) == 30
    assert await desk.claim() is None
    async with desk.engine.begin() as db:
        assert await jobs.confirm(db, execution_id)
    postgresql.run("DROP TABLE produtos")  # it is not read again
    assert await desk.work()
    assert set(await stored(database)) == {*map(str, range(10, 31))}


async def test_only_records_of_the_source_are_removed(desk: Desk, postgresql: Erp, database: Database) -> None:
    async with desk.engine.begin() as db:
        await db.exec_driver_sql("""
            INSERT INTO entity_records (entity, key, data, source) VALUES
            ('produtos', '900', '{"codigo": 900}', NULL), ('produtos', '901', '{"codigo": 901}', 'outra')
        """)
    postgresql.put("produtos", products(1, 10))
    desk.write_products()
    await desk.read()
    assert {"900", "901"} <= set(await stored(database))


async def test_rows_that_cannot_be_stored_are_listed_with_their_reason_and_the_others_are_stored(
    desk: Desk, mariadb: Erp, database: Database
) -> None:
    """S1: no key, a long text (CLOB), NUL in a text, a number beyond a column; their earlier records stay."""
    mariadb.run("ALTER TABLE produtos MODIFY nome LONGTEXT, MODIFY codigo DECIMAL(38)")
    mariadb.put("produtos", products(1, 30))
    desk.write_products()
    await desk.read()
    mariadb.run(
        "UPDATE produtos SET nome = repeat('x', 100000) WHERE codigo = 3",
        "UPDATE produtos SET nome = concat('a', char(0), 'b') WHERE codigo = 4",
        "UPDATE produtos SET nome = NULL WHERE codigo = 5",
        "UPDATE produtos SET codigo = NULL WHERE codigo = 6",
        "INSERT INTO produtos (codigo, nome) VALUES (12345678901234567890123456789012345678, 'x')",
    )
    execution_id = await desk.read()
    rows = await listed(database)
    assert [(row.key, row.state, row.errors[0]["column"], row.errors[0]["code"]) for row in rows] == [
        (None, "rejected", "codigo", "required"),
        ("3", "rejected", "nome", "too_long"),
        ("4", "rejected", "nome", "bad_character"),
        ("5", "rejected", "nome", "required"),
        (None, "rejected", "codigo", "out_of_range"),
    ]
    assert {(row.door, row.layout, row.import_state, row.rows, row.rejected) for row in rows} == {
        ("sql", "produtos", "done", 5, 5)
    }
    records = await stored(database)
    assert set(records) == {*map(str, range(1, 31))} - {"6"}
    assert records["3"]["nome"] == "Produto 3"
    execution = await database.execution(execution_id)
    assert (execution.status, execution.records_rejected) == ("success", 5)


async def test_numbers_of_38_digits_long_texts_and_json_are_stored_exactly(
    desk: Desk, postgresql: Erp, database: Database
) -> None:
    """S1: NUMBER(38), CLOB."""
    postgresql.run(
        "CREATE TABLE t (id numeric(38), n numeric(38, 18), b boolean, d date, j jsonb, c text, u uuid, w timestamptz)",
        """INSERT INTO t VALUES (9223372036854775807, 12345678901234567890.123456789012345678, true, '2026-02-28',
           '{"a": [12345678901234567.25, 2], "n": null}', repeat('é', 50000), '0d2a4b5e-4f3a-4a8f-9d0a-1f2e3d4c5b6a',
           '2026-03-01 13:00:00Z')""",
        "INSERT INTO t (id, n, d) VALUES (2, 'NaN', '-infinity'), (3, 1, 'infinity')",
    )
    desk.write(
        "url: ${env:ERP_URL}\nentities: {exatos: {table: t, key: ID}}\n",
        exatos="key: id\ncolumns: {id: integer, n: number, b: boolean, d: day, j: json, c: text, u: text, w: moment}\n",
    )
    await desk.read()
    (written,) = await database.rows("SELECT key, CAST(data AS text) AS data FROM entity_records")
    assert written.key == "9223372036854775807"
    assert '"n": 12345678901234567890.123456789012345678' in written.data
    data = json.loads(written.data)
    assert (data["b"], data["d"], data["c"]) == (True, "2026-02-28", "é" * 50000)
    assert '"a": [12345678901234567.25, 2]' in written.data
    assert (data["u"], data["w"]) == ("0d2a4b5e-4f3a-4a8f-9d0a-1f2e3d4c5b6a", "2026-03-01T10:00:00")
    assert [(row.key, {each["column"] for each in row.errors}) for row in await listed(database)] == [
        ("2", {"n", "d"}),
        ("3", {"d"}),
    ]


@pytest.fixture
def references(desk: Desk, postgresql: Erp) -> Desk:
    postgresql.run("CREATE TABLE linhas (id integer, codigo integer)")
    postgresql.put("produtos", products(1, 3))
    postgresql.put("linhas", [{"id": 10, "codigo": 1}, {"id": 11, "codigo": 99}])
    desk.write_products()
    source = (desk.folder / "sources" / "erp.yaml").read_text() + "  linhas: {table: linhas, key: id}\n"
    entity = "key: id\ncolumns: {id: integer, codigo: {type: integer, references: produtos}}\n"
    desk.write(source, linhas=entity)
    return desk


async def test_rows_that_refer_to_what_is_not_there_wait_for_it(
    references: Desk, postgresql: Erp, database: Database
) -> None:
    await references.read()
    (row,) = await listed(database)
    assert (row.key, row.state, row.waits_entity, row.waits_key, row.import_state, row.pending) == (
        *("11", "pending", "produtos", "99"),
        *("done", 1),
    )
    assert set(await stored(database, "linhas")) == {"10"}
    await references.read()  # read again, it waits once
    assert [each.state for each in await listed(database)] == ["rejected", "pending"]
    postgresql.put("produtos", [product(99)])
    async with references.engine.begin() as db:
        await db.exec_driver_sql("""
            INSERT INTO entity_records (entity, key, data, source) VALUES ('produtos', '99', '{"codigo": 99}', 'erp')
        """)
        declared = {each.name: each.entity.entity for each in references.registered}
        assert await importing.retry_waiting(db, declared) == 1
    assert set(await stored(database, "linhas")) == {"10", "11"}
    await references.read()
    assert await database.value("SELECT source FROM entity_records WHERE key = '11'") == "erp"


async def test_a_stream_is_read_in_one_piece_and_begins_anew(desk: Desk, erp: Erp, database: Database) -> None:
    erp.put("produtos", [{**each, "mudou": str(each["mudou"])} for each in products(1, 45)])
    desk.write_products(cursor="paging: stream")
    await desk.ask()
    assert not await desk.work(await desk.claim(lease_seconds=0), stops=lambda: True)
    assert await desk.work()
    assert len(await stored(database)) == 45
    assert (await position(database)).rows == 45


async def test_another_way_of_reading_begins_anew(desk: Desk, postgresql: Erp, database: Database) -> None:
    postgresql.put("produtos", products(1, 5))
    desk.write_products(cursor=CURSOR)
    await desk.read()
    desk.write_products(page=3, cursor=CURSOR.replace("15m", "1h"))
    await desk.read("update")
    assert (await position(database)).cursor_value is not None  # neither pages nor lag change what is read
    desk.write_products()
    await desk.ask()
    assert (await position(database)).cursor_value is None


async def test_a_database_that_cannot_be_asked_says_why_and_shows_no_secret(
    desk: Desk, postgresql: Erp, mariadb: Erp, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    desk.write_products(options="timeout: 1")
    await desk.ask()
    marked = "marca-da-senha"
    cases: list[tuple[str, type[Exception]]] = [
        (f"postgresql://leitor:{marked}@127.0.0.1:{closed_port}/erp", SourceDown),
        (f"mysql://leitor:{marked}@127.0.0.1:3306/erp", SourceDown),
        (f"oracle://leitor:{marked}@127.0.0.1:{closed_port}/?service_name=erp", SourceDown),
        (f"postgresql://leitor:{marked}@127.0.0.1:porta/erp", SourceMisconfigured),
        (f"db2://leitor:{marked}@127.0.0.1/erp", SourceMisconfigured),
        ("", SourceMisconfigured),
    ]
    claim = await desk.claim()
    for url, expected in cases:
        monkeypatch.setenv("ERP_URL", url)
        with pytest.raises(expected) as raised:
            await desk.work(claim)
        assert marked not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
    monkeypatch.setenv("ERP_URL", postgresql.url)
    postgresql.run(
        "ALTER TABLE produtos RENAME TO t", "CREATE VIEW produtos AS SELECT t.*, pg_sleep(3)::text AS s FROM t"
    )
    postgresql.put("t", products(1, 2))
    with pytest.raises(SourceDown, match="passou de 1 segundos"):
        await desk.work(claim)


async def test_nothing_is_written_to_a_source(desk: Desk, erp: Erp, database: Database) -> None:
    erp.put("produtos", [{**each, "mudou": str(each["mudou"])} for each in products(1, 2)])
    if erp.url.startswith("postgresql"):
        erp.run(
            "CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'DELETE FROM produtos RETURNING 1'",
            "ALTER TABLE produtos RENAME TO t",
            "CREATE FUNCTION w() RETURNS int LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN 1; END'",
            "CREATE VIEW produtos AS SELECT t.*, w() FROM t",
        )
        desk.write_products()
        await desk.ask()
        with pytest.raises((SourceChanged, SourceDown)):
            await desk.work()
        with erp.connect() as db:
            assert db.exec_driver_sql("SELECT count(*) FROM t").scalar_one() == 2
        return
    desk.write_products()
    async with ForeignDatabase(desk.source) as database_of_others:
        connection = database_of_others._connection
        assert connection is not None
        with pytest.raises((SourceChanged, SourceDown)):
            await database_of_others._run(connection.exec_driver_sql, "DELETE FROM produtos")


async def test_a_statement_that_is_under_way_ends_when_the_worker_does(desk: Desk, postgresql: Erp) -> None:
    postgresql.run("CREATE VIEW devagar AS SELECT codigo, nome, pg_sleep(30)::text AS s FROM produtos")
    postgresql.put("produtos", products(1, 2))
    desk.write_products()
    path = desk.folder / "sources" / "erp.yaml"
    path.write_text(path.read_text().replace("table: produtos", "table: devagar"))
    await desk.ask()
    reading = asyncio.create_task(desk.work())
    active = text("""
        SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'pncp-sync' AND wait_event = 'PgSleep'
    """)

    def is_asking() -> bool:
        with postgresql.connect() as db:
            return bool(db.execute(active).scalar_one())

    await eventually(is_asking, seconds=20)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await eventually(lambda: not is_asking(), seconds=10)


async def test_a_connection_that_breaks_is_a_source_that_is_down(desk: Desk, postgresql: Erp) -> None:
    postgresql.run(
        "CREATE VIEW cai AS SELECT codigo, nome, pg_terminate_backend(pg_backend_pid())::text AS s FROM produtos"
    )
    postgresql.put("produtos", products(1, 2))
    desk.write_products()
    path = desk.folder / "sources" / "erp.yaml"
    path.write_text(path.read_text().replace("table: produtos", "table: cai") + "    fields: {nome: s}\n")
    await desk.ask()
    with pytest.raises(SourceDown):
        await desk.work()


async def test_a_row_that_has_waited_belongs_to_its_source_and_goes_with_it(
    references: Desk, postgresql: Erp, database: Database
) -> None:
    await references.read()
    await bring_product(references, 99)
    assert await database.value("SELECT source FROM entity_records WHERE entity = 'linhas' AND key = '11'") == "erp"


async def test_a_row_that_waits_and_has_left_the_source_is_not_stored(
    references: Desk, postgresql: Erp, database: Database
) -> None:
    await references.read()
    postgresql.run("DELETE FROM linhas WHERE id = 11")
    await references.read()
    assert [(each.state, each.pending, each.rejected) for each in await listed(database)] == [("rejected", 0, 1)]
    await bring_product(references, 99)
    assert set(await stored(database, "linhas")) == {"10"}


async def bring_product(references: Desk, number: int) -> None:
    """The product that a row waits for."""
    async with references.engine.begin() as db:
        await db.exec_driver_sql(f"""
            INSERT INTO entity_records (entity, key, data, source)
            VALUES ('produtos', '{number}', '{{"codigo": {number}}}', 'erp')
        """)
        await importing.retry_waiting(db, {each.name: each.entity.entity for each in references.registered})


async def test_a_reading_whose_file_changes_amid_it_does_not_end_as_one_of_the_new_file(
    desk: Desk, postgresql: Erp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql.put("produtos", products(1, 25))
    desk.write_products(cursor=CURSOR)
    await desk.read()
    await desk.ask("update")
    store = extracting._store

    async def change_and_store(*arguments: Any) -> None:
        written = desk.folder / "entities" / "produtos.yaml"
        written.write_text(written.read_text().replace("max: 100", "max: 99"))
        async with desk.engine.begin() as db:
            await sources.register(db, desk.source)
        await store(*arguments)

    monkeypatch.setattr(extracting, "_store", change_and_store)
    with pytest.raises(LeaseLost):
        await desk.work()
    monkeypatch.undo()
    monkeypatch.setenv("ERP_URL", postgresql.url)
    known = await position(database)
    assert (known.cursor_value, known.full_at, known.rows) == (None, None, 25)
    await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 second' WHERE status = 'running'")
    async with desk.engine.begin() as db:
        desk.registered = await sources.register(db, desk.source)
    assert await desk.work()
    assert (await position(database)).full_at is not None


async def test_a_stream_that_always_breaks_off_fails_for_good_in_the_end(
    desk: Desk, postgresql: Erp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql.put("produtos", products(1, 45))
    desk.write_products(cursor="paging: stream")
    await desk.ask()
    stream = ForeignDatabase.stream

    async def breaks_off(self: ForeignDatabase, *arguments: Any) -> AsyncIterator[Any]:
        async for page in stream(self, *arguments):
            yield page
            raise SourceDown("caiu")

    monkeypatch.setattr(ForeignDatabase, "stream", breaks_off)
    for _ in range(3):
        claim = await desk.claim()
        assert claim is not None
        with pytest.raises(SourceDown):
            await desk.work(claim)
        failure = {"delay_seconds": 0, "cause": "source_down", "error_message": "caiu"}
        async with desk.engine.begin() as db:
            assert await jobs.postpone(db, claim, **failure)
    assert await database.value("SELECT failures FROM sync_slices") == 3
