"""Every recorded resultado, document and termo is asked for, and stored once as it was recorded."""

import asyncio
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from common.lists import ask_for
from common.resources import LATER
from common.resources.description import Child, Kind, Resource
from ingestor.debts import Turn, work_off
from ingestor.sources.pncp.records import parse_record
from ingestor.sources.values import Bundle, Itens, Record
from ingestor.store.batch import store_bundles
from simulator.recorded import load_recorded
from simulator.records import ChildKey, decode_json
from simulator.world import World
from tests.integration.conftest import Database, Portals

FEWEST = {
    "resultados": 2,
    "arquivos_contratacao": 600,
    "historico_contratacao": 50,
    "arquivos_contrato": 1,
    "termos_contrato": 150,
    "historico_contrato": 0,
}
"""So that an empty folder proves nothing by accident; no event of a contrato was recorded."""
every_list = pytest.mark.parametrize(("resource", "child"), LATER, ids=[child.name for _, child in LATER])


@pytest.fixture
def world(recorded: Path) -> World:
    return load_recorded(recorded)


def recorded_lists(world: World, resource: Resource, child: Child) -> dict[ChildKey, list[dict[str, Any]]]:
    """What was recorded of a kind of list, by what it hangs on."""
    return {
        children: [decode_json(row) for row in rows]
        for children, rows in world.given_children.items()
        if children.kind == child.service and ("-1-" in children.key) == (resource.name == "contratacoes")
    }


async def store_parents(database: Database, resource: Resource, lists: list[ChildKey]) -> None:
    """Records with these keys, and of contratações the items that say they have results."""
    bundles = []
    for key in dict.fromkeys(children.key for children in lists):
        stamps = {column.path: "2025-01-01T10:00:00" for column in resource.columns if column.required}
        record = parse_record(resource, json.dumps({**stamps, "numeroControlePNCP": key}).encode())
        assert isinstance(record, Record)
        numbers = [children.item for children in lists if children.key == key and children.item]
        items = {n: json.dumps({"numeroItem": n, "temResultado": True}).encode() for n in numbers}
        bundles.append(Bundle(record, Itens(dict(items), told=len(items))))
    async with database.engine.begin() as db:
        _, refused = await store_bundles(db, resource, bundles)
    assert refused == []


def in_a_column(value: Any, kind: Kind) -> Any:
    """A value of the portal's as its column holds it."""
    if value is None or kind is Kind.JSON:
        return value
    if kind is Kind.NUMBER:
        return Decimal(str(value))
    if kind is Kind.MOMENT:
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if kind is Kind.DAY else value


def value_at(record: dict[str, Any], path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        value = None if value is None else value.get(name)
    return value


async def read_all(database: Database, portals: Portals, world: World, resource: Resource, child: Child) -> None:
    """Ask for the list of every record, and work all of them off."""
    client = await portals.client(await portals.serve(world))
    keys = [row[0] for row in await database.rows(f"SELECT numero_controle_pncp FROM {resource.name}")]
    async with database.engine.begin() as db:
        for key in keys:
            assert await ask_for(db, resource, child, key)
    outcomes = await work_off(database.engine, client, asyncio.Event(), len(keys), turn=Turn(LATER))
    assert set(outcomes) <= {"read", "empty"}


@every_list
async def test_every_recorded_entry_is_stored_once_as_it_was_recorded_and_a_second_run_writes_nothing(
    database: Database, portals: Portals, world: World, resource: Resource, child: Child
) -> None:
    lists = recorded_lists(world, resource, child)
    if not FEWEST[child.name]:
        pytest.skip(f"nothing was recorded of {child.label}")
    await store_parents(database, resource, list(lists))

    await read_all(database, portals, world, resource, child)

    columns = {column.name: column for column in child.columns}
    told_apart_by = [columns[name] for name in child.told_apart_by]
    expected = {
        (children.key, *(in_a_column(row[column.path], column.kind) for column in told_apart_by)): row
        for children, rows in lists.items()
        for row in rows
    }
    rows = await database.rows(f"SELECT *, CAST(payload AS text) AS written FROM {child.name}")
    stored = {(row.numero_controle_pncp, *(getattr(row, name) for name in child.told_apart_by)): row for row in rows}
    assert stored.keys() == expected.keys()
    assert len(expected) >= FEWEST[child.name]
    for key, record in expected.items():
        assert decode_json(stored[key].written) == record, key
        for column in child.columns:
            told = in_a_column(value_at(record, column.path), column.kind)
            assert getattr(stored[key], column.name) == told, (key, column.name)
    assert await database.value("SELECT count(*) FROM rejected_records") == 0
    assert await database.value("SELECT count(*) FROM schema_drift") == 0

    versions = f"SELECT ctid, xmin::text FROM {child.name} ORDER BY 1"
    before = await database.rows(versions)
    await read_all(database, portals, world, resource, child)
    assert await database.rows(versions) == before


def test_every_key_of_the_recordings_has_its_column_or_is_known_to_have_none(world: World) -> None:
    without = {
        "resultados": {"numeroControlePNCPCompra"},
        # in a contrato's rows they are the contrato's own
        "arquivos": {"uri", "cnpj", "anoCompra", "sequencialCompra"},
        # objects that its contrato has as well, and the supplier's, who stands beside it
        "termos": {
            "unidade",
            "orgaoEntidade",
            "orgaoSubrogado",
            "unidadeSubrogada",
            "fornecedor",
            "fornecedorSubContratado",
        },
        # those of its record
        "historico": {"compraOrgaoCnpj", "compraAno", "compraSequencial"},
    }
    for resource, child in LATER:
        keys = {key for rows in recorded_lists(world, resource, child).values() for row in rows for key in row}
        columns = {column.path.partition(".")[0] for column in child.columns}
        assert keys - columns <= without[child.service], child.name
