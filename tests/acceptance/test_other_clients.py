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

from simulator import Simulator, World, generate, serve
from simulator.records import Contratacao, Record, decode_json

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


def by_key(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Rows by control number; none may come twice."""
    found = list(rows)
    keyed = {row["numeroControlePNCP"]: row for row in found}
    assert len(keyed) == len(found)
    return keyed


def largest(world: World) -> Contratacao:
    """The contratação with most items."""
    return max(world.contratacoes.records.values(), key=lambda record: record.item_count)


def place(record: Record) -> tuple[str, str, str]:
    return record.cnpj, str(record.ano), str(record.sequencial)


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


# --- compras-mcp ------------------------------------------------------------------------------------------------


COMPRAS_MCP_PINS = ("compras-mcp==0.4.0", "fastmcp==2.14.7")


@pytest.fixture(scope="module")
def python_with_compras_mcp(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment of its own: what compras-mcp needs is more than forty packages that nothing else here uses."""
    folder = tmp_path_factory.mktemp("compras-mcp")
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--retries=1", *COMPRAS_MCP_PINS]
    installed = subprocess.run(install, capture_output=True, text=True, check=False, timeout=240)
    if installed.returncode:
        pytest.skip(f"compras-mcp cannot be installed here: {installed.stderr[-300:]}")
    return str(python)


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
