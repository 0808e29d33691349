"""An import from its staged rows to records: chunks, repeated keys, references that come later, takeovers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.services.intake import records as removing
from common.connections.loading import no_connections
from common.connections.settings import Layout
from common.intake.rows import Reader
from common.lifecycle import executions, imports, intake
from common.lifecycle.imports import StagedRow
from ingestor import jobs as job_worker
from ingestor.errors import LeaseLost
from ingestor.intake import importing
from ingestor.intake import worker as module
from ingestor.intake.importing import Tools, finish, process
from ingestor.intake.worker import IntakeOptions, IntakeWorker
from tests.integration.conftest import Database
from tests.support import eventually

SUPPLIER, OTHER = "00394460000141", "00360305000104"


def layout(name: str) -> Layout:
    return no_connections().layouts[name]


def staged(name: str, *rows: dict[str, Any]) -> list[StagedRow]:
    reader = Reader(layout(name), door="json")
    return [each for number, row in enumerate(rows, 1) for each in reader.read(number, row)]


async def push(database: Database, name: str, *rows: dict[str, Any]) -> int:
    """Stage rows as the door for JSON does; answers the import."""

    async def take(db: AsyncConnection) -> int:
        import_id = await imports.create(db, door="api", layout=name)
        assert import_id is not None
        await imports.push(db, import_id, layout=name, rows=staged(name, *rows), requested_by=None)
        return import_id

    return await database.run(take)


def supplier(document: str = SUPPLIER, **given: Any) -> dict[str, Any]:
    return {"documento": document, "nome": "Ministério", **given}


def purchase(number: str, **given: Any) -> dict[str, Any]:
    return {"numero": number, "orgao_cnpj": SUPPLIER, **given}


async def counts(database: Database, import_id: int) -> tuple[int, int, int, int, int]:
    row = await database.row(f"SELECT * FROM imports WHERE id = {import_id}")
    by_state = dict(
        tuple(one)
        for one in await database.rows(
            f"SELECT state, count(*) FROM import_rows WHERE import_id = {import_id} GROUP BY state"
        )
    )
    kept = tuple(by_state.get(state, 0) for state in ("pending", "processed", "unchanged", "rejected"))
    assert (row.pending, row.processed, row.unchanged, row.rejected) == kept
    assert row.rows == sum(kept), "the rows of an import add up"
    return (row.rows, *kept)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(module, name, 0.05)
    monkeypatch.setattr(job_worker, "POLL_SECONDS", 0.05)


@asynccontextmanager
async def working(database: Database, **given: Any) -> AsyncIterator[IntakeWorker]:
    options = {
        "folder": None,
        "watched": None,
        "slots": 2,
        "lease_seconds": 5,
        "imports_days": 30,
        "most_bytes": 1_000_000,
        **given,
    }
    worker = IntakeWorker(database.engine, IntakeOptions(**options))
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stopping.set()
        await task


def has_ended(database: Database, import_id: int) -> Any:
    async def ended() -> bool:
        return await database.value(f"SELECT ended_at IS NOT NULL FROM imports WHERE id = {import_id}")

    return ended


async def run(database: Database, *import_ids: int) -> None:
    async with working(database):
        for import_id in import_ids:
            await eventually(has_ended(database, import_id))


async def test_pushed_rows_become_records_and_the_execution_ends_with_the_import(database: Database) -> None:
    import_id = await push(database, "fornecedores_proprios", supplier(), supplier(OTHER, nome="Caixa"))
    await run(database, import_id)
    assert await counts(database, import_id) == (2, 0, 2, 0, 0)
    rows = await database.rows("SELECT key, data ->> 'nome', import_id FROM entity_records ORDER BY key")
    assert rows == [(OTHER, "Caixa", import_id), (SUPPLIER, "Ministério", import_id)]
    row = await database.row(
        "SELECT e.status, e.records_processed, i.state, i.created FROM sync_executions e"
        " JOIN imports i ON i.execution_id = e.id"
    )
    assert tuple(row) == ("success", 2, "done", 2)


async def test_the_same_rows_again_are_unchanged_and_a_rejected_one_is_counted(database: Database) -> None:
    first = await push(database, "fornecedores_proprios", supplier())
    again = await push(database, "fornecedores_proprios", supplier(), {"documento": "123", "nome": "x"})
    await run(database, first, again)
    assert await counts(database, again) == (2, 0, 0, 1, 1)


async def test_of_rows_with_one_key_the_last_one_holds(database: Database) -> None:
    import_id = await push(
        database,
        "fornecedores_proprios",
        supplier(nome="a"),
        supplier(nome="b"),
        supplier(nome="c"),
        supplier(nome="c"),
    )
    await run(database, import_id)
    assert await database.value("SELECT data ->> 'nome' FROM entity_records") == "c"
    assert await counts(database, import_id) == (4, 0, 3, 1, 0)


async def test_imports_of_one_layout_go_in_the_order_in_which_they_came(database: Database) -> None:
    several = [await push(database, "fornecedores_proprios", supplier(nome=f"n{n}")) for n in range(8)]
    await run(database, *several)
    assert await database.value("SELECT data ->> 'nome' FROM entity_records") == "n7"


async def test_a_row_that_refers_to_what_comes_later_waits_and_is_processed_then(database: Database) -> None:
    waiting = await push(database, "compras", purchase("1", fornecedor=SUPPLIER), purchase("2"))
    async with working(database):
        await eventually(has_ended(database, waiting))
        assert await counts(database, waiting) == (2, 1, 1, 0, 0)
        later = await push(database, "fornecedores_proprios", supplier())
        await eventually(has_ended(database, later))

        async def is_processed() -> bool:
            return await database.value(f"SELECT pending = 0 FROM imports WHERE id = {waiting}")

        await eventually(is_processed)
    assert await counts(database, waiting) == (2, 0, 2, 0, 0)
    assert await database.value("SELECT count(*) FROM entity_refs") == 1


async def test_a_row_that_has_waited_does_not_write_over_what_came_after_it(database: Database) -> None:
    old = await push(database, "compras", purchase("1", fornecedor=SUPPLIER, objeto="velho"))
    new = await push(database, "compras", purchase("1", objeto="novo"))
    await run(database, old, new)
    later = await push(database, "fornecedores_proprios", supplier())
    async with working(database):
        await eventually(has_ended(database, later))

        async def is_settled() -> bool:
            return await database.value(f"SELECT pending = 0 FROM imports WHERE id = {old}")

        await eventually(is_settled)
    assert await database.value("SELECT data ->> 'objeto' FROM entity_records WHERE entity = 'compras'") == "novo"
    assert await counts(database, old) == (1, 0, 0, 0, 1)
    assert await database.value(f"SELECT errors -> 0 ->> 'code' FROM import_rows WHERE import_id = {old}") == "replaced"


async def test_a_row_that_has_waited_does_not_bring_back_what_was_removed_meanwhile(database: Database) -> None:
    await run(database, await push(database, "fornecedores_proprios", supplier()))
    same = purchase("1", fornecedor=SUPPLIER)
    await run(database, await push(database, "compras", same))
    await database.rows("UPDATE entity_records SET removed_at = now() WHERE entity = 'fornecedores_proprios'")
    old = await push(database, "compras", same)
    await run(database, old)
    assert await counts(database, old) == (1, 1, 0, 0, 0)
    await database.rows("UPDATE entity_records SET removed_at = now(), updated_at = now() WHERE entity = 'compras'")
    later = await push(database, "fornecedores_proprios", supplier())
    async with working(database):
        await eventually(has_ended(database, later))

        async def is_settled() -> bool:
            return await database.value(f"SELECT pending = 0 FROM imports WHERE id = {old}")

        await eventually(is_settled)
    assert await counts(database, old) == (1, 0, 0, 0, 1)
    assert await database.value("SELECT removed_at IS NOT NULL FROM entity_records WHERE entity = 'compras'")


async def test_a_worker_that_was_overtaken_writes_nothing_and_the_next_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK", 2)
    import_id = await push(database, "compras", *(purchase(str(n)) for n in range(7)))
    first = await claim(database, "first")
    tools = tools_of(database, chunks=1)
    assert not await process(tools, first, await found(database, first), layout("compras"))
    await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 second'")
    second = await claim(database, "second")
    assert second.taken_over
    with pytest.raises(LeaseLost):
        await process(tools_of(database), first, await found(database, first), layout("compras"))
    assert await process(tools_of(database), second, await found(database, second), layout("compras"))
    assert not await database.run(finish, first, import_id)
    assert await database.run(finish, second, import_id)
    assert await counts(database, import_id) == (7, 0, 7, 0, 0)


async def test_a_cancelled_import_stops_and_is_discarded(database: Database) -> None:
    import_id = await push(database, "compras", purchase("1"))
    execution_id = await database.value("SELECT execution_id FROM imports")
    assert await database.run(executions.cancel, execution_id, "admin")
    await run(database, import_id)
    assert await database.value("SELECT state FROM imports") == "discarded"
    assert await database.value("SELECT count(*) FROM entity_records") == 0


async def test_two_workers_process_each_import_once(database: Database) -> None:
    several = [await push(database, "compras", *(purchase(f"{n}-{m}") for m in range(30))) for n in range(6)]
    several += [await push(database, "produtos", {"codigo": str(n), "descricao": "x"}) for n in range(6)]
    async with working(database), working(database):
        for import_id in several:
            await eventually(has_ended(database, import_id))
    for import_id in several:
        rows, pending, processed, unchanged, rejected = await counts(database, import_id)
        assert (pending, unchanged, rejected) == (0, 0, 0)
        assert processed == rows
    assert await database.value("SELECT count(*) FROM entity_records") == 186


async def test_one_import_is_claimed_at_a_time_whatever_the_plan_of_the_statement(database: Database) -> None:
    for number in range(4):
        await push(database, "compras", purchase(str(number)))
        await push(database, "produtos", {"codigo": str(number), "descricao": "x"})
    async with database.engine.begin() as db:
        await db.execute(
            text("UPDATE pg_class SET reltuples = 1, relpages = 1 WHERE relname IN ('sync_slices', 'sync_executions')")
        )
        for setting in ("hashjoin", "mergejoin", "material", "indexscan", "bitmapscan"):
            await db.execute(text(f"SET LOCAL enable_{setting} = off"))
        assert await intake.claim(db, "w", lease_seconds=60, sources=[]) is not None
    assert await database.value("SELECT count(*) FROM sync_slices WHERE worker_id = 'w'") == 1


async def test_a_worker_without_the_folder_leaves_layouts_that_it_does_not_know(database: Database) -> None:
    await database.rows("INSERT INTO imports (door, layout, state) VALUES ('api', 'vendas', 'receiving')")
    import_id = await database.value("SELECT id FROM imports")
    await database.run(imports.push, import_id, layout="vendas", rows=[], requested_by=None)
    known = list(no_connections().layouts)
    assert await database.run(intake.claim, "w", lease_seconds=5, sources=[], layouts=known) is None
    assert await database.run(intake.claim, "w", lease_seconds=5, sources=[]) is not None


async def claim(database: Database, worker_id: str) -> intake.IntakeClaim:
    claimed = await database.run(intake.claim, worker_id, lease_seconds=60, sources=[])
    assert claimed is not None
    return claimed


async def found(database: Database, claimed: intake.IntakeClaim) -> imports.Import:
    one = await database.run(imports.of_execution, claimed.execution_id)
    assert one is not None
    return one


def tools_of(database: Database, *, chunks: int = 1000) -> Tools:
    left = iter([False] * chunks)
    return Tools(database.engine, lambda: next(left, True))


async def test_rows_of_an_entity_that_the_layout_has_no_more_refuse_the_import(database: Database) -> None:
    import_id = await push(database, "compras", purchase("1"))
    claimed = await claim(database, "w")
    with pytest.raises(importing.Refused) as refused:
        await process(tools_of(database, chunks=3), claimed, await found(database, claimed), layout("produtos"))
    assert refused.value.code == "layout_changed"
    assert await counts(database, import_id) == (1, 1, 0, 0, 0)


async def test_a_worker_that_was_overtaken_refuses_nothing(database: Database) -> None:
    import_id = await push(database, "compras", purchase("1"))
    first = await claim(database, "first")
    seen = await found(database, first)
    await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 second'")
    await claim(database, "second")
    async with working(database) as worker:
        await worker._refuse(first, seen, importing.Refused("too_slow", "demorou"))
    assert await database.value(f"SELECT state FROM imports WHERE id = {import_id}") == "checked"
    assert await database.value("SELECT status FROM sync_executions") == "running"


async def test_a_worker_that_was_overtaken_ends_nothing(database: Database) -> None:
    await push(database, "compras", purchase("1"))
    first = await claim(database, "first")
    await database.rows("UPDATE sync_slices SET lease_until = now() - interval '1 second'")
    await claim(database, "second")
    async with working(database) as worker:
        await worker._end(first, "misconfigured", "o arquivo não está na pasta")
    assert await database.value("SELECT status FROM sync_executions") == "running"


async def test_an_import_that_was_discarded_is_forgotten_with_the_rows_that_it_left(database: Database) -> None:
    import_id = await push(database, "compras", purchase("1"))
    execution_id = await database.value("SELECT execution_id FROM imports")
    assert await database.run(executions.cancel, execution_id, "admin")
    assert await database.run(imports.discard, import_id)
    await database.rows("UPDATE imports SET ended_at = now() - interval '31 days'")
    while await database.run(imports.forget, days=30):
        pass
    assert await database.value("SELECT count(*) FROM import_rows") == 0
    assert await database.value("SELECT count(*) FROM imports") == 0


async def is_pending(database: Database, import_id: int) -> bool:
    return bool(await database.value(f"SELECT pending > 0 FROM imports WHERE id = {import_id}"))


async def process_now(database: Database, import_id: int, name: str = "compras") -> None:
    """Process an import whose turn it is."""
    claimed = await claim(database, "w")
    assert (await found(database, claimed)).id == import_id
    assert await process(tools_of(database), claimed, await found(database, claimed), layout(name))
    assert await database.run(finish, claimed, import_id)
    await database.run(executions.close, claimed.execution_id)


async def retry(database: Database) -> int:
    declared = no_connections().declarations
    return await database.run(importing.retry_waiting, declared)


async def bring(database: Database, *documents: str) -> None:
    """The suppliers that rows wait for."""
    import_id = await push(database, "fornecedores_proprios", *map(supplier, documents))
    await process_now(database, import_id, "fornecedores_proprios")


async def test_a_row_that_has_waited_does_not_write_over_a_later_row_of_its_import(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK", 1)
    import_id = await push(
        database, "compras", purchase("1", fornecedor=SUPPLIER, objeto="velho"), purchase("1", objeto="novo")
    )
    await process_now(database, import_id)
    await bring(database, SUPPLIER)
    await retry(database)
    assert await database.value("SELECT data ->> 'objeto' FROM entity_records WHERE entity = 'compras'") == "novo"
    assert await counts(database, import_id) == (2, 0, 1, 0, 1)


async def test_a_row_that_has_waited_longer_does_not_count_as_newer_than_one_that_came_later(
    database: Database,
) -> None:
    old = await push(database, "compras", purchase("1", fornecedor=SUPPLIER, objeto="velho"))
    new = await push(database, "compras", purchase("1", fornecedor=OTHER, objeto="novo"))
    await process_now(database, old)
    await process_now(database, new)
    await bring(database, SUPPLIER)
    await retry(database)
    await bring(database, OTHER)
    await retry(database)
    assert await database.value("SELECT data ->> 'objeto' FROM entity_records WHERE entity = 'compras'") == "novo"
    assert await counts(database, new) == (1, 0, 1, 0, 0)


async def test_a_later_import_that_says_what_is_there_overtakes_a_row_that_waits(database: Database) -> None:
    await process_now(database, await push(database, "compras", purchase("1", objeto="certo")))
    old = await push(database, "compras", purchase("1", fornecedor=SUPPLIER, objeto="errado"))
    await process_now(database, old)
    await process_now(database, await push(database, "compras", purchase("1", objeto="certo")))
    await bring(database, SUPPLIER)
    await retry(database)
    assert await database.value("SELECT data ->> 'objeto' FROM entity_records WHERE entity = 'compras'") == "certo"
    assert await counts(database, old) == (1, 0, 0, 0, 1)


async def test_a_record_that_was_removed_while_a_row_waited_stays_removed(database: Database) -> None:
    await bring(database, SUPPLIER)
    await process_now(database, await push(database, "compras", purchase("1", fornecedor=SUPPLIER)))
    await database.rows("UPDATE entity_records SET removed_at = now() WHERE key = :key", key=SUPPLIER)
    old = await push(database, "compras", purchase("1", fornecedor=SUPPLIER))
    await process_now(database, old)
    assert await is_pending(database, old)
    await records_removed(database, "1")
    await bring(database, SUPPLIER)
    await retry(database)
    assert await database.value("SELECT removed_at IS NOT NULL FROM entity_records WHERE entity = 'compras'")
    assert not await is_pending(database, old)


async def records_removed(database: Database, key: str) -> None:
    declaration = no_connections().declarations["compras"]
    await removing.remove(database.engine, declaration, key, who="admin")


async def test_rows_of_an_import_that_was_discarded_wait_for_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK", 1)
    import_id = await push(database, "compras", purchase("1", fornecedor=SUPPLIER), purchase("2"))
    claimed = await claim(database, "w")
    assert not await process(tools_of(database, chunks=1), claimed, await found(database, claimed), layout("compras"))
    assert await database.run(executions.cancel, claimed.execution_id, "admin")
    assert await database.run(imports.end_abandoned) == 1
    await bring(database, SUPPLIER)
    await retry(database)
    assert await database.value("SELECT count(*) FROM entity_records WHERE entity = 'compras'") == 0
    assert await counts(database, import_id) == (2, 2, 0, 0, 0)


async def test_an_import_that_kills_its_workers_is_not_told_as_one_that_somebody_discarded(database: Database) -> None:
    await push(database, "compras", purchase("1"))
    await database.rows("UPDATE sync_slices SET stalls = 99")
    async with working(database):
        import_id = await database.value("SELECT id FROM imports")
        await eventually(has_ended(database, import_id))
    row = await database.row("SELECT state, fault_code, fault FROM imports")
    assert tuple(row) == ("refused", "cut_off", "a importação não pôde ser terminada (stalled)")
