"""Clients of the portal that others wrote read the simulator: their readings of the portal's papers agree with ours."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pncp_cli.constants import DOMINIOS

from simulator import Simulator, World, generate, serve
from simulator.children import find_children
from simulator.records import ChildKey, Contratacao, Record, decode_json, encode_json
from simulator.store import Query
from simulator.tables import TABLES

FIRST, LAST = date(2025, 3, 3), date(2025, 3, 7)
NOW = datetime.fromisoformat("2025-03-31T12:00:00")
MODALIDADE = 6
PERIOD = ("--de", str(FIRST), "--ate", str(LAST))
CRITERIOS = ("publicacao", "atualizacao")

# pncp-cli has the portal's address as a constant.
PNCP_CLI = "import sys; from pncp_cli import cli, client; client.BASE = sys.argv.pop(1); cli.main()"
# compras-mcp takes its addresses from the environment; calls and answers are JSON.
COMPRAS_MCP = """
import asyncio, json, sys
from fastmcp import Client
from compras_mcp import server

async def main():
    async with Client(server.mcp) as client:
        answers = [await client.call_tool(name, arguments) for name, arguments in json.loads(sys.argv[1])]
    print(json.dumps([answer.data for answer in answers]))

asyncio.run(main())
"""


@pytest.fixture
def world() -> World:
    return generate(7, FIRST, LAST, 40, until=NOW, now=lambda: NOW)


@pytest.fixture
async def portal(world: World) -> AsyncIterator[Simulator]:
    async with serve(world) as simulator:
        yield simulator


async def run(*command: str, **environment: str) -> str:
    """What a program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaints = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, complaints.decode()
    return printed.decode()


async def pncp(portal: Simulator, *words: str) -> Any:
    """What `pncp` of pncp-cli prints as JSON."""
    site = portal.base_url.removesuffix("/api")
    return json.loads(await run(sys.executable, "-c", PNCP_CLI, site, *words, "--retries", "1"), parse_float=Decimal)


def parsed(world: World, records: Iterable[Record]) -> dict[str, Any]:
    return {record.numero_controle_pncp: world.record(record.numero_controle_pncp) for record in records}


def by_key(rows: Iterable[dict[str, Any]], key: str = "numeroControlePNCP") -> dict[str, Any]:
    """Rows by control number; none may come twice."""
    found = list(rows)
    keyed = {row[key]: row for row in found}
    assert len(keyed) == len(found)
    return keyed


def largest(world: World) -> Contratacao:
    """The contratação with most items."""
    return max(world.contratacoes.records.values(), key=lambda record: record.item_count)


def place(record: Record) -> tuple[str, str, str]:
    return record.cnpj, str(record.ano), str(record.sequencial)


def children(world: World, kind: str, record: Record, item: int | None = None) -> list[Any]:
    """What hangs on a record."""
    return [decode_json(row) for row in find_children(world, ChildKey(kind, record.numero_controle_pncp, item))]


def richest(world: World, kind: str, resource: str) -> tuple[Record, list[Any]]:
    """The record with most children of a kind, and those."""
    counted = [(record, children(world, kind, record)) for record in world.store(resource).records.values()]
    record, rows = max(counted, key=lambda each: len(each[1]))
    assert rows
    return record, rows


# --- pncp-cli ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterio", CRITERIOS)
async def test_pncp_cli_reads_the_contratacoes_of_every_modalidade(
    portal: Simulator, world: World, criterio: str
) -> None:
    read = await pncp(portal, "consulta", "contratacoes", *PERIOD, "--por", criterio, "--modalidade", "all", "--all")
    expected = parsed(world, world.select(criterio, f"{FIRST}", f"{LAST}T23:59:59"))
    assert expected
    assert "incompleto" not in read
    assert by_key(read["data"]) == expected


@pytest.mark.parametrize("criterio", CRITERIOS)
async def test_pncp_cli_reads_the_contratos(portal: Simulator, world: World, criterio: str) -> None:
    read = await pncp(portal, "consulta", "contratos", *PERIOD, "--por", criterio, "--all")
    expected = parsed(world, world.contratos.select(criterio, f"{FIRST}", f"{LAST}T23:59:59"))
    assert expected
    assert read["totalRegistros"] == len(expected)
    assert by_key(read["data"]) == expected


async def test_pncp_cli_reads_a_contratacao_and_its_items(portal: Simulator, world: World) -> None:
    record = largest(world)
    assert record.item_count > 1
    detail = await pncp(portal, "contratacao", "--controle", record.numero_controle_pncp)
    assert world.record(record.numero_controle_pncp).items() <= detail.items()
    # pages of one item each, so that its way of finding the end is tried as well
    items = await pncp(portal, "itens", *place(record), "--tam", "1")
    assert items == [decode_json(item) for item in world.items(record.numero_controle_pncp)]


@pytest.mark.parametrize("criterio", ["vigencia", "atualizacao"])
async def test_pncp_cli_reads_the_atas(portal: Simulator, world: World, criterio: str) -> None:
    read = await pncp(portal, "consulta", "atas", *PERIOD, "--por", criterio, "--all")
    expected = parsed(world, world.listing(Query(criterio, None, FIRST, LAST, resource="atas")))
    assert expected
    assert by_key(read["data"], "numeroControlePNCPAta") == expected


async def test_pncp_cli_reads_the_instrumentos_de_cobranca(portal: Simulator, world: World) -> None:
    read = await pncp(portal, "consulta", "cobranca", *PERIOD, "--all")
    query = Query("inclusao", None, FIRST, LAST, resource="instrumentos_cobranca")
    payloads = [world.payload(record) for record in world.listing(query)]
    texts = {json.dumps(decode_json(row), sort_keys=True, default=str) for row in payloads}
    assert texts
    assert {json.dumps(row, sort_keys=True, default=str) for row in read["data"]} == texts
    assert len(read["data"]) == read["totalRegistros"] > len(texts)  # the portal lists some twice, and counts them so


async def test_pncp_cli_reads_the_plans_that_have_changed(portal: Simulator, world: World) -> None:
    read = await pncp(portal, "consulta", "pca", "--por", "atualizacao", *PERIOD, "--all", "--tam", "10")
    assert "incompleto" not in read
    items: dict[str, list[Any]] = {}
    for part in read["data"]:  # a plan goes on from page to page
        items.setdefault(part["idPcaPncp"], []).extend(part["itens"])
    changed = world.pcas.select("atualizacao", f"{FIRST}", f"{LAST}")  # the last day itself is left out
    assert changed
    assert items == {
        plan.numero_controle_pncp: [decode_json(item) for item in world.listed_items(plan)] for plan in changed
    }


async def test_pncp_cli_reads_a_whole_plan(portal: Simulator, world: World) -> None:
    plan = max(world.pcas.records.values(), key=lambda plan: plan.item_count)
    where = (plan.cnpj, str(plan.ano), "--seq", str(plan.sequencial))
    items = await pncp(portal, "pca", "itens", *where)
    assert items == [decode_json(item) for item in world.items(plan.numero_controle_pncp)]
    assert await pncp(portal, "pca", "consolidado", *where) == decode_json(encode_json(world.consolidated(plan)))


async def test_pncp_cli_reads_the_results_of_every_item(portal: Simulator, world: World) -> None:
    for record in world.contratacoes.records.values():
        items = [decode_json(item) for item in world.items(record.numero_controle_pncp)]
        numbers = [item["numeroItem"] for item in items if item["temResultado"]]
        if len(numbers) > 1:
            break
    expected = [row for number in numbers for row in children(world, "resultados", record, number)]
    assert len(expected) > 1
    assert await pncp(portal, "resultados", *place(record)) == expected


@pytest.mark.parametrize(
    ("kind", "resource", "words"),
    [
        ("arquivos", "contratacoes", ("arquivos",)),
        ("arquivos", "contratos", ("contrato", "arquivos")),
        ("termos", "contratos", ("contrato", "termos")),
    ],
)
async def test_pncp_cli_reads_what_hangs_on_a_record(
    portal: Simulator, world: World, kind: str, resource: str, words: tuple[str, ...]
) -> None:
    record, expected = richest(world, kind, resource)
    assert await pncp(portal, *words, *place(record)) == expected


async def test_pncp_cli_reads_every_domain_table(portal: Simulator, world: World) -> None:
    names = {name: path.rpartition("/")[2] for name, path in DOMINIOS.items()}
    assert set(names.values()) == set(TABLES)
    for name, table in names.items():
        assert await pncp(portal, "dominio", name) == list(world.tables.entries(table).values()), name


def make_environment(folder: Path, *pins: str) -> str:
    """A Python of its own with these packages; the test is skipped where they cannot be installed."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--retries=1", *pins]
    installed = subprocess.run(install, capture_output=True, text=True, check=False, timeout=240)
    if installed.returncode:
        pytest.skip(f"{pins[0]} cannot be installed here: {installed.stderr[-300:]}")
    return str(python)


# --- compras-mcp ------------------------------------------------------------------------------------------------


COMPRAS_MCP_PINS = ("compras-mcp==0.4.0", "fastmcp==2.14.7")


@pytest.fixture(scope="module")
def python_with_compras_mcp(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment of its own: what compras-mcp needs is more than forty packages that nothing else here uses."""
    return make_environment(tmp_path_factory.mktemp("compras-mcp"), *COMPRAS_MCP_PINS)


async def compras(python: str, folder: Path, portal: Simulator, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """The answers of compras-mcp's tools."""
    addresses = {"PNCP_BASE_URL": f"{portal.base_url}/consulta", "PNCP_API_BASE_URL": f"{portal.base_url}/pncp"}
    settings = {**addresses, "HTTP_MAX_RETRIES": "0", "LOG_LEVEL": "ERROR", "HOME": str(folder)}
    printed = await run(python, "-c", COMPRAS_MCP, json.dumps(calls), **settings)
    answers: list[Any] = json.loads(printed.splitlines()[-1], parse_float=Decimal)  # it logs above
    return answers


@pytest.mark.slow
async def test_compras_mcp_reads_the_contratacoes(
    portal: Simulator, world: World, python_with_compras_mcp: str, tmp_path: Path
) -> None:
    period = {"data_inicial": str(FIRST), "data_final": str(LAST), "codigo_modalidade": MODALIDADE}
    record = largest(world)
    one = {"cnpj": record.cnpj, "ano": record.ano, "sequencial": record.sequencial}
    published, changed, found = await compras(
        python_with_compras_mcp,
        tmp_path,
        portal,
        ("compras_pncp_contratacoes_publicacao", period),
        ("compras_pncp_contratacoes_atualizacao", period),
        ("compras_pncp_contratacao_por_orgao", one),
    )
    for criterio, page in zip(CRITERIOS, (published, changed), strict=True):
        expected = parsed(world, world.select(criterio, f"{FIRST}", f"{LAST}T23:59:59", [MODALIDADE]))
        assert page["_total_registros"] == len(expected)
        assert by_key(page["resultado"]).items() <= expected.items()
    assert world.record(record.numero_controle_pncp).items() <= found["contratacao"].items()


@pytest.mark.slow
async def test_compras_mcp_pages_through_the_contratos(
    portal: Simulator, world: World, python_with_compras_mcp: str, tmp_path: Path
) -> None:
    expected = parsed(world, world.contratos.select("publicacao", f"{FIRST}", f"{LAST}T23:59:59"))
    period = {"data_inicial": str(FIRST), "data_final": str(LAST), "tamanho_pagina": 10}
    calls = [
        ("compras_pncp_contratos_listar", {**period, "pagina": page}) for page in range(1, len(expected) // 10 + 2)
    ]
    pages = await compras(python_with_compras_mcp, tmp_path, portal, *calls)
    assert by_key(row for page in pages for row in page["resultado"]) == expected


@pytest.mark.slow
async def test_compras_mcp_reads_atas_plans_and_documents(
    portal: Simulator, world: World, python_with_compras_mcp: str, tmp_path: Path
) -> None:
    period = {"data_inicial": str(FIRST), "data_final": str(LAST)}
    record, documents = richest(world, "arquivos", "contratacoes")
    one = {"cnpj": record.cnpj, "ano": record.ano, "sequencial": record.sequencial}
    atas, plans, found, items = await compras(
        python_with_compras_mcp,
        tmp_path,
        portal,
        ("compras_pncp_atas_listar", period),
        ("compras_pncp_pca_atualizacao", period),
        ("compras_pncp_contratacao_arquivos", one),
        ("compras_pncp_contratacao_itens", one),
    )
    expected = parsed(world, world.listing(Query("vigencia", None, FIRST, LAST, resource="atas")))
    assert atas["_total_registros"] == len(expected)
    assert by_key(atas["resultado"], "numeroControlePNCPAta").items() <= expected.items()
    changed = world.pcas.select("atualizacao", f"{FIRST}", f"{LAST}")
    assert plans["_total_registros"] == sum(plan.item_count for plan in changed)  # the totals count items
    assert found["resultado"] == documents[:10]  # it asks for no page size, and the simulator gives ten then
    # it looks for them at the consulta service, where the portal has none
    assert items["_erro_upstream"]["status"] == 404
