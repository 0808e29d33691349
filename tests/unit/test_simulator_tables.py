"""The simulator's domain tables: every path of the portal's description, the recorded shapes, changes on demand."""

import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulator import Simulator, World, generate, serve
from simulator.recorded import load_recorded
from simulator.tables import TABLES

pytestmark = pytest.mark.enable_socket

NOW = datetime.fromisoformat("2025-01-20T12:00:00")
SHARED = Path(__file__).parents[3] / "shared" / "pncp"
needs_recordings = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the papers and recordings of the portal lie outside the project and are not here"
)


class Client:
    """A client and the simulator it asks."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.session = session

    async def get(self, path: str, **parameters: Any) -> tuple[int, Any]:
        async with self.session.get(f"{self.simulator.base_url}/pncp/v1/{path}", params=parameters) as response:
            return response.status, await response.json() if response.content_type == "application/json" else None

    async def change(self, **order: Any) -> int:
        async with self.session.post(f"{self.simulator.control_url}/tables", json=order) as response:
            return response.status


@pytest.fixture
def world() -> World:
    return generate(1, date(2025, 1, 6), date(2025, 1, 8), 5, now=lambda: NOW)


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with serve(world) as simulator, aiohttp.ClientSession() as session:
        yield Client(simulator, session)


def described() -> dict[str, Any]:
    """The paths of the portal's description that belong neither to an órgão nor to a user."""
    document = json.loads((SHARED / "openapi" / "autopncp_pncp-api-get_20260731.json").read_text())
    return {
        path.removeprefix("/v1/"): operation
        for path, operation in document["paths"].items()
        if not path.startswith(("/v1/orgaos", "/v1/usuarios"))
    }


@needs_recordings
async def test_every_table_of_the_portals_description_is_served_whole_and_by_entry(client: Client) -> None:
    paths = described()
    assert {path.partition("/")[0] for path in paths} == set(TABLES)
    for path, operation in paths.items():
        name, _, places = path.partition("/")
        status, entries = await client.get(name)
        assert status == 200
        assert entries
        asked = {parameter["name"] for parameter in operation["parameters"]}
        if places:
            codes = next(iter(client.simulator.world.tables.entries(name)))
            assert len(codes) == len(asked) == places.count("/") + 1
            assert await client.get("/".join([name, *map(str, codes)])) == (200, entries[0])
            assert (await client.get("/".join([name, *["999"] * len(codes)])))[0] == 404
        else:
            assert asked == set(TABLES[name].filters)


@needs_recordings
async def test_entries_have_the_keys_of_the_portals_description(client: Client) -> None:
    document = json.loads((SHARED / "openapi" / "autopncp_pncp-api-get_20260731.json").read_text())
    checked = 0
    for path, operation in described().items():
        name, _, places = path.partition("/")
        schema = next(iter(operation["200"].values())).get("$ref", "").rpartition("/")[2]
        if places and schema in document["schemas"]:
            _, entries = await client.get(name)
            assert {frozenset(entry) for entry in entries} == {frozenset(document["schemas"][schema]["properties"])}
            checked += 1
    assert checked == len(TABLES) - 1  # of fontes-orcamentarias the document has no schema


@needs_recordings
@pytest.mark.parametrize("name", ["modalidades", "modos-disputas", "amparos-legais"])
async def test_entries_are_as_recorded(client: Client, name: str) -> None:
    recorded = json.loads((SHARED / "real" / "dominios" / f"contratos360_{name}.json").read_text())
    _, entries = await client.get(name)
    assert [set(entry) for entry in entries] == [set(recorded[0])] * len(entries)
    assert [(entry["id"], entry["nome"]) for entry in entries][: len(recorded)] == [
        (entry["id"], entry["nome"]) for entry in recorded
    ]
    assert all(entry.get("tipoAmparoLegal") == entries[entry["id"] - 1].get("tipoAmparoLegal") for entry in recorded)
    world = load_recorded(SHARED / "real")
    assert list(world.tables.entries(name).values()) == recorded


async def test_tables_have_every_code_that_records_use(client: Client, world: World) -> None:
    for name, key in [
        ("modalidades", "modalidadeId"),
        ("modos-disputas", "modoDisputaId"),
        ("tipos-instrumentos-convocatorios", "tipoInstrumentoConvocatorioCodigo"),
    ]:
        codes = {entry["id"] for entry in (await client.get(name))[1]}
        assert {world.record(each)[key] for each in world.keys} <= codes
    codes = {entry["id"] for entry in (await client.get("amparos-legais"))[1]}
    assert {world.record(each)["amparoLegal"]["codigo"] for each in world.keys} <= codes


async def test_tables_are_filtered_by_their_parameters(client: Client) -> None:
    assert [entry["id"] for entry in (await client.get("amparos-legais", tipoAmparoLegalId=2))[1]] == [143, 144]
    _, entries = await client.get("modalidade-criterio-julgamento", modalidadeId=1)
    assert [entry["criterioJulgamento"]["id"] for entry in entries] == [5]
    assert await client.get("modalidades", statusAtivo="false") == (204, None)
    assert len((await client.get("modalidades", statusAtivo="true"))[1]) == 19
    for over in ({"statusAtivo": "talvez"}, {"tipoAmparoLegalId": "x"}):
        assert (await client.get("amparos-legais", **over))[0] == 400


async def test_an_entry_changes_is_added_and_vanishes_on_demand(client: Client) -> None:
    _, before = await client.get("modalidades")
    assert await client.change(table="modalidades", entry={"id": 3, "nome": "Concurso público"}) == 204
    assert await client.change(table="modalidades", entry={"id": 20, "nome": "Nova", "statusAtivo": False}) == 204
    assert await client.change(table="modalidades", remove=19) == 204
    _, after = await client.get("modalidades")
    now = NOW.isoformat()
    assert after[2] == before[2] | {"nome": "Concurso público", "dataAtualizacao": now}
    assert [entry["id"] for entry in after] == [*range(1, 19), 20]
    assert after[-1] == before[0] | {
        "id": 20,
        "nome": "Nova",
        "statusAtivo": False,
        "dataInclusao": now,
        "dataAtualizacao": now,
    }
    assert [entry["id"] for entry in (await client.get("modalidades", statusAtivo="false"))[1]] == [20]
    assert await client.change(table="modalidade-fonte-orcamentaria", remove=[6, 4]) == 204
    assert (await client.get("modalidade-fonte-orcamentaria/6/4"))[0] == 404
    for wrong in (
        {"table": "modalidade", "entry": {"id": 1}},
        {"table": "modalidades", "entry": {"nome": "Sem código"}},
        {"table": "modalidades", "entry": 3},
        {"table": "modalidades", "remove": 99},
        {"table": "modalidades"},
    ):
        assert await client.change(**wrong) == 400


async def test_a_table_can_be_down_or_spoiled_alone(client: Client, world: World) -> None:
    quirks = client.simulator.quirks
    quirks.add("items_down", match={"kind": "dominios"})
    assert (await client.get("modalidades"))[0] == 503
    quirks.reset()
    quirks.add("missing_key", match={"path": "/modalidades", "kind": "dominios"})
    assert "id" not in (await client.get("modalidades"))[1][0]
    assert "id" in (await client.get("modos-disputas"))[1][0]


async def test_paths_near_those_of_tables_are_404(client: Client) -> None:
    for path in ("modalidades/", "modalidades/1/2", "Modalidades", "modalidade-fonte-orcamentaria/6", "modalidades/x"):
        assert (await client.get(path))[0] == 404
