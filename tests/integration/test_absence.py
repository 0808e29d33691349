"""Records that the portal no longer lists: marked when their day is read again, and present when back."""

import httpx
import pytest

from ingestor.slices import ingest_slice
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, MODALIDADE, Database, Portals
from tests.integration.test_ingestion import work_on


@pytest.fixture
def day(world: World) -> World:
    """A closed day with three pages of one modalidade, and others beside it."""
    world.publish(25, at=CLOSED_DAY, modalidade=MODALIDADE)
    world.publish(5, at=CLOSED_DAY, modalidade=8)
    return world


async def read(database: Database, portals: Portals, world: World) -> None:
    client = await portals.client(await portals.serve(world))
    assert await ingest_slice(work_on(database, client, await database.claimed()))


async def absent(database: Database) -> set[str]:
    rows = await database.rows("SELECT numero_controle_pncp FROM contratacoes WHERE ausente_desde IS NOT NULL")
    return {row.numero_controle_pncp for row in rows}


async def changes(database: Database) -> list[tuple[str, str]]:
    rows = await database.rows("SELECT chave, tipo FROM mudancas WHERE tipo <> 'inserido' ORDER BY seq")
    return [(row.chave, row.tipo) for row in rows]


async def test_what_left_its_day_is_marked_once_and_keeps_its_row(
    database: Database, portals: Portals, day: World
) -> None:
    await read(database, portals, day)
    assert await absent(database) == set()
    listed = day.select("publicacao", f"{CLOSED_DAY}", f"{CLOSED_DAY}T23:59:59", [MODALIDADE])
    gone = [record.numero_controle_pncp for record in listed[:2]]
    day.remove(gone)

    await read(database, portals, day)

    assert await absent(database) == set(gone)
    assert sorted(await changes(database)) == sorted((key, "ausente") for key in gone)
    since = await database.rows("SELECT ausente_desde FROM contratacoes ORDER BY 1")
    assert await database.value("SELECT count(*) FROM contratacoes") == 25

    await read(database, portals, day)

    assert await database.rows("SELECT ausente_desde FROM contratacoes ORDER BY 1") == since
    assert len(await changes(database)) == len(gone)


async def test_what_comes_back_is_present_again(database: Database, portals: Portals, day: World) -> None:
    await read(database, portals, day)
    key = await database.value("SELECT min(numero_controle_pncp) FROM contratacoes")
    await database.rows("UPDATE contratacoes SET ausente_desde = now() WHERE numero_controle_pncp = :key", key=key)

    await read(database, portals, day)

    assert await absent(database) == set()
    assert await changes(database) == [(key, "presente")]


async def test_a_new_version_of_a_record_is_present(database: Database, portals: Portals, day: World) -> None:
    await read(database, portals, day)
    await database.rows("UPDATE contratacoes SET ausente_desde = now()")
    day.touch(3)

    await read(database, portals, day)

    assert await absent(database) == set()


async def test_another_part_of_the_day_and_rows_that_came_during_the_reading_are_left_alone(
    database: Database, portals: Portals, day: World
) -> None:
    await read(database, portals, day)
    first, second = await database.rows("SELECT numero_controle_pncp FROM contratacoes ORDER BY 1 LIMIT 2")
    # a modalidade that this slice does not read, and a row that is newer than the beginning of the next reading
    await database.rows(
        "UPDATE contratacoes SET modalidade_id = 8 WHERE numero_controle_pncp = :key", key=first.numero_controle_pncp
    )
    await database.rows(
        "UPDATE contratacoes SET updated_at = now() + interval '1 hour' WHERE numero_controle_pncp = :key",
        key=second.numero_controle_pncp,
    )
    day.remove([first.numero_controle_pncp, second.numero_controle_pncp])

    await read(database, portals, day)

    assert await absent(database) == set()


async def test_readers_ask_for_what_is_absent(
    database: Database, portals: Portals, day: World, api: httpx.AsyncClient
) -> None:
    await read(database, portals, day)
    key = await database.value("SELECT max(numero_controle_pncp) FROM contratacoes")
    day.remove([key])
    await read(database, portals, day)

    there, gone = [(await api.get("/contratacoes", params={"ausente": asked})).json() for asked in ("false", "true")]

    assert [row["numero_controle_pncp"] for row in gone["registros"]] == [key]
    assert gone["registros"][0]["ausente_desde"]
    assert there["total"] == 24
    assert {row["ausente_desde"] for row in there["registros"]} == {None}
