"""Rows become declared records: new, changed, equal, and those that refer to what is not there."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from common.database import driver_of
from common.entities.declared import Declaration, DeclaredColumn
from ingestor.intake.records import NewRecord, Upserted, make_record, upsert
from tests.integration.conftest import Database
from tests.support import eventually


def declare(name: str, **references: str) -> Declaration:
    columns = {
        "codigo": DeclaredColumn("codigo", "text", "Código"),
        "nome": DeclaredColumn("nome", "text", "Nome"),
        **{column: DeclaredColumn(column, "text", column, references=entity) for column, entity in references.items()},
    }
    return Declaration(name, name, ("codigo",), columns, searched=("nome",))


SUPPLIERS = declare("fornecedores_proprios")
PURCHASES = declare("compras", fornecedor="fornecedores_proprios")
PLACES = declare("locais", acima="locais")


def records(entity: Declaration, rows: Sequence[dict[str, Any]]) -> list[NewRecord]:
    return [make_record(entity, row["codigo"], row) for row in rows]


async def put(database: Database, entity: Declaration, *rows: dict[str, Any], **options: Any) -> Upserted:
    async with database.engine.begin() as db:
        return await upsert(await driver_of(db), entity, records(entity, rows), **options)


async def test_new_changed_and_equal_records_are_told_apart_and_only_changes_move_their_moment(
    database: Database,
) -> None:
    first = await put(database, SUPPLIERS, {"codigo": "1", "nome": "Ana"}, {"codigo": "2", "nome": "Bia"})
    assert first.created == {"1", "2"}
    before = await database.rows("SELECT key, updated_at FROM entity_records ORDER BY key")
    second = await put(
        database,
        SUPPLIERS,
        {"codigo": "1", "nome": "Ana"},
        {"codigo": "2", "nome": "Bia Ltda"},
        {"codigo": "3", "nome": "Caio"},
        import_id=7,
    )
    assert (second.created, second.changed, second.unchanged) == ({"3"}, {"2"}, {"1"})
    after = {row.key: row for row in await database.rows("SELECT * FROM entity_records")}
    assert after["1"].updated_at == before[0].updated_at
    assert after["2"].updated_at > before[1].updated_at
    assert (after["1"].import_id, after["2"].import_id) == (None, 7)
    assert await database.value("SELECT count(*) FROM entity_records WHERE busca @@ to_tsquery('pncp', 'bia')") == 1


async def test_a_record_whose_reference_is_missing_is_left_out_with_what_it_lacks(database: Database) -> None:
    done = await put(
        database,
        PURCHASES,
        {"codigo": "10", "nome": "a", "fornecedor": "1"},
        {"codigo": "11", "nome": "b"},
    )
    assert done.missing == {"10": ("fornecedores_proprios", "1")}
    assert done.created == {"11"}
    await put(database, SUPPLIERS, {"codigo": "1", "nome": "Ana"})
    assert (await put(database, PURCHASES, {"codigo": "10", "nome": "a", "fornecedor": "1"})).created == {"10"}
    assert await database.rows("SELECT field, ref_key FROM entity_refs") == [("fornecedor", "1")]


async def test_a_reference_follows_its_record_and_goes_with_its_value(database: Database) -> None:
    await put(database, SUPPLIERS, {"codigo": "1", "nome": "Ana"}, {"codigo": "2", "nome": "Bia"})
    await put(database, PURCHASES, {"codigo": "10", "nome": "a", "fornecedor": "1"})
    await put(database, PURCHASES, {"codigo": "10", "nome": "a", "fornecedor": "2"})
    assert await database.rows("SELECT ref_key FROM entity_refs") == [("2",)]
    await put(database, PURCHASES, {"codigo": "10", "nome": "a"})
    assert await database.rows("SELECT ref_key FROM entity_refs") == []


async def test_records_of_one_batch_may_refer_to_each_other_but_not_to_one_that_is_left_out(database: Database) -> None:
    done = await put(
        database,
        PLACES,
        {"codigo": "c", "nome": "sala", "acima": "b"},
        {"codigo": "b", "nome": "andar", "acima": "a"},
        {"codigo": "a", "nome": "prédio"},
        {"codigo": "y", "nome": "mesa", "acima": "x"},
        {"codigo": "x", "nome": "canto", "acima": "w"},
    )
    assert done.created == {"a", "b", "c"}
    assert set(done.missing) == {"x", "y"}


async def test_a_removed_record_is_no_reference_and_comes_back_with_its_content(database: Database) -> None:
    await put(database, SUPPLIERS, {"codigo": "1", "nome": "Ana"})
    await database.rows("UPDATE entity_records SET removed_at = now()")
    lacking = await put(database, PURCHASES, {"codigo": "10", "nome": "a", "fornecedor": "1"})
    assert set(lacking.missing) == {"10"}
    assert (await put(database, SUPPLIERS, {"codigo": "1", "nome": "Ana"})).changed == {"1"}
    assert await database.value("SELECT removed_at FROM entity_records") is None


async def test_the_database_itself_refuses_a_reference_to_what_was_never_there(database: Database) -> None:
    await put(database, PURCHASES, {"codigo": "10", "nome": "a"})
    wrong = "INSERT INTO entity_refs VALUES ('compras', '10', 'fornecedor', 'fornecedores_proprios', '404')"
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with database.engine.begin() as db:
            await (await driver_of(db)).execute(wrong)


async def test_a_source_takes_over_an_equal_record_without_moving_its_moment(database: Database) -> None:
    await put(database, SUPPLIERS, {"codigo": "1", "nome": "Ana"})
    before = await database.value("SELECT updated_at FROM entity_records")
    done = await put(database, SUPPLIERS, {"codigo": "1", "nome": "Ana"}, source="erp")
    assert done.unchanged == {"1"}
    row = await database.row("SELECT source, updated_at FROM entity_records")
    assert (row.source, row.updated_at) == ("erp", before)


async def test_a_record_that_is_being_removed_is_waited_for_and_is_then_no_reference(database: Database) -> None:
    await put(database, SUPPLIERS, {"codigo": "1", "nome": "Ana"})
    async with database.engine.connect() as removing:
        await removing.execute(text("SELECT FROM entity_records FOR UPDATE"))
        storing = asyncio.create_task(
            put(database, PURCHASES, {"codigo": "10", "nome": "a", "fornecedor": "1"}), name="storing"
        )
        waits = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")

        async def is_waiting() -> bool:
            return bool((await removing.execute(waits)).scalar_one())

        await eventually(is_waiting)
        await removing.execute(text("UPDATE entity_records SET removed_at = now()"))
        await removing.commit()
    assert set((await storing).missing) == {"10"}
