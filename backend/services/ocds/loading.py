"""Loads contratações with all that belongs to them: one query a table for a whole batch, whatever its size."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.services.entities.mirror import Mirror, Mirrors, together
from backend.services.entities.question import Question
from backend.services.entities.rows import LIST_SECONDS
from backend.services.ocds.release import Process, Row
from common.entities.entity import Entity, of_child, of_resource
from common.resources.atas import ATAS
from common.resources.contratacoes import ARQUIVOS, CONTRATACOES
from common.resources.contratos import ARQUIVOS as ARQUIVOS_CONTRATO
from common.resources.contratos import CONTRATOS
from common.resources.derive import stored_columns
from common.resources.description import Child, Column, Kind, Resource
from common.resources.instrumentos_cobranca import INSTRUMENTOS_COBRANCA
from common.resources.itens import ITENS
from common.resources.resultados import RESULTADOS
from common.resources.termos import TERMOS

# ruff: noqa: S608  # names in these statements stand in descriptions, and values are parameters

_NI = "ni_fornecedor"
_COMPRA = "numero_controle_pncp_compra"
_CONTRATO = "numero_controle_pncp_contrato"
_PEOPLE = """
    SELECT ni, min(id) AS id FROM fornecedores
     WHERE tipo_pessoa = ANY(ARRAY['PF', 'PJ', 'PE']) AND ni = ANY(CAST($1 AS text[])) GROUP BY ni
"""


async def load_processes(driver: "asyncpg.Connection[Any]", keys: Sequence[str]) -> list[Process]:
    """The contratações with these control numbers, in this order; those that are not there are left out.

    Ten queries. The caller holds the snapshot in which all of them read.
    """
    own = CONTRATACOES.key
    found = {row[own]: row for row in await _rows(driver, CONTRATACOES, own, keys)}
    itens = await _grouped(driver, ITENS, own, keys)
    resultados = await _grouped(driver, RESULTADOS, own, keys)
    arquivos = await _grouped(driver, ARQUIVOS, own, keys)
    atas = await _grouped(driver, ATAS, _COMPRA, keys)
    contratos = await _grouped(driver, CONTRATOS, _COMPRA, keys)
    numbers = [row[CONTRATOS.key] for rows in contratos.values() for row in rows]
    termos = await _grouped(driver, TERMOS, CONTRATOS.key, numbers)
    arquivos_contrato = await _grouped(driver, ARQUIVOS_CONTRATO, CONTRATOS.key, numbers)
    instrumentos = await _grouped(driver, INSTRUMENTOS_COBRANCA, _CONTRATO, numbers)
    named = {row[_NI] for each in (resultados, contratos) for rows in each.values() for row in rows}
    named |= {row["nota_fiscal_ni_emitente"] for rows in instrumentos.values() for row in rows}
    people = await driver.fetch(_PEOPLE, [ni.strip() for ni in named if ni], timeout=LIST_SECONDS)
    numbered = {row["ni"]: row["id"] for row in people}
    return [
        Process(
            contratacao=found[key],
            itens=itens[key],
            resultados=resultados[key],
            arquivos=arquivos[key],
            contratos=contratos[key],
            atas=atas[key],
            termos=termos,
            arquivos_contrato=arquivos_contrato,
            instrumentos=instrumentos,
            people=numbered,
        )
        for key in keys
        if key in found
    ]


@cache
def _statement(described: Resource | Child, by: str) -> str:
    """The rows of a table whose column has one of several values, in the order of their key."""
    columns: Iterable[Column]
    key: tuple[str, ...]
    if isinstance(described, Resource):
        columns, key = stored_columns(described), (described.key,)
    else:
        columns, key = described.columns, described.key
    names = dict.fromkeys((by, *(column.name for column in columns if column.kind is not Kind.JSON)))
    return (
        f"SELECT {', '.join(names)} FROM {described.name}"
        f" WHERE {by} = ANY(CAST($1 AS text[])) ORDER BY {', '.join((by, *key))}"
    )


async def _rows(
    driver: "asyncpg.Connection[Any]", described: Resource | Child, by: str, keys: Sequence[str]
) -> Sequence[Row]:
    if not keys:
        return []
    return await driver.fetch(_statement(described, by), list(keys), timeout=LIST_SECONDS)


async def _grouped(
    driver: "asyncpg.Connection[Any]", described: Resource | Child, by: str, keys: Sequence[str]
) -> defaultdict[str, list[Row]]:
    made: defaultdict[str, list[Row]] = defaultdict(list)
    for row in await _rows(driver, described, by, keys):
        made[row[by]].append(row)
    return made


# --- completeness -----------------------------------------------------------------------------------------------


@cache
def _entities() -> tuple[Entity, ...]:
    """The entities beside contratações that releases are made of."""
    lists = ((CONTRATACOES, (RESULTADOS, ARQUIVOS)), (CONTRATOS, (TERMOS, ARQUIVOS_CONTRATO)))
    return (
        *(of_resource(each) for each in (CONTRATOS, ATAS, INSTRUMENTOS_COBRANCA)),
        *(of_child(resource, child) for resource, children in lists for child in children),
    )


async def load_mirror(mirrors: Mirrors, db: AsyncConnection, question: Question) -> Mirror:
    """What is known of the mirror about releases: of the contratações that are asked for, and of all that they name.

    What belongs to a contratação comes after it, so that the period of the others has no end.
    """
    first: date | None = question.period[0]
    found = [await mirrors.load(db, question)]
    found += [await mirrors.load_period(db, each, (first, None)) for each in _entities()]
    return replace(together(found), first=found[0].first)
