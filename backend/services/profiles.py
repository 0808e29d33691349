"""Profiles of órgãos and suppliers: what their contratos and other records come to, by year, UF and other party.

What has a whole number is exact unless a limit is named beside it. The sums over contratos are one pass over an index.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg

from backend.services.entities.address import party_path
from backend.services.entities.rows import LIST_SECONDS
from common.entities.entity import NOW
from common.masking import mask_field
from common.resources.contratos import CONTRATOS
from common.resources.derive import party_key
from common.resources.description import Party
from common.resources.parties import FORNECEDORES, ORGAOS
from common.resources.resultados import INFORMED

# ruff: noqa: S608  # all names in these statements stand in descriptions or here

MOST = 20
"""Rows of each part of a profile; how many there are stands beside them."""
MOST_NAMES = 5
NEWEST = 5_000
"""Contratos, or results, of which names, modalidades and atas are counted: those that were published last."""
COUNTED = 10_000
"""Rows of results and of branches that are counted."""
CNPJ_LENGTH, ROOT_LENGTH = 14, 8
PROFILED = (ORGAOS, FORNECEDORES)

_UF = "unidade_orgao_uf_sigla"
# Everything that is added up is in one index, so that no row is visited; by all groups at once first, as those are few.
_TOTALS = """
    WITH known AS MATERIALIZED (
        SELECT CAST(extract(year FROM year) AS integer) AS ano, uf, {others}, contratos, vigentes, valor_global
          FROM (SELECT date_trunc('year', data_publicacao_pncp) AS year, {uf} AS uf, {others}, count(*) AS contratos,
                       count(*) FILTER (WHERE data_vigencia_inicio <= CAST({now} AS date)
                                          AND data_vigencia_fim >= CAST({now} AS date)) AS vigentes,
                       sum(valor_global) FILTER (WHERE receita IS NOT TRUE) AS valor_global
                  FROM contratos WHERE {own} GROUP BY 1, 2, {others}) AS by_year
    ), summed AS (
        SELECT CASE WHEN GROUPING(ano) = 0 THEN 'anos' WHEN GROUPING(uf) = 0 THEN 'ufs'
                    WHEN GROUPING({last}) = 0 THEN 'outros' ELSE 'total' END AS por,
               ano, uf, {others}, CAST(coalesce(sum(contratos), 0) AS bigint) AS contratos,
               CAST(coalesce(sum(vigentes), 0) AS bigint) AS vigentes, sum(valor_global) AS valor_global
          FROM known GROUP BY GROUPING SETS ((), (ano), (uf), ({others}))
    ), ranked AS (
        SELECT *, count(*) OVER (PARTITION BY por) AS whole,
               row_number() OVER (PARTITION BY por ORDER BY CASE WHEN por = 'anos' THEN ano END DESC,
                                  valor_global DESC NULLS LAST, contratos DESC, uf, {others}) AS place
          FROM summed
    )
    SELECT * FROM ranked WHERE place <= CASE WHEN por = 'anos' THEN 100 ELSE {most} END ORDER BY por, place
"""
_NAMES = r"""
    SELECT nome_razao_social_fornecedor AS nome, count(*) AS contratos, max(data_atualizacao_global) AS ate
      FROM (SELECT nome_razao_social_fornecedor, data_atualizacao_global FROM contratos WHERE {own}
             ORDER BY data_publicacao_pncp DESC LIMIT {newest}) AS newest
     WHERE nome_razao_social_fornecedor ~ '\S'
     GROUP BY nome_razao_social_fornecedor ORDER BY count(*) DESC, 3 DESC, 1 LIMIT {most}
"""
_MODALIDADES_OF_FORNECEDOR = """
    SELECT c.modalidade_id, c.modalidade_nome, count(*) AS contratos
      FROM (SELECT numero_controle_pncp_compra AS compra FROM contratos WHERE {own}
             ORDER BY data_publicacao_pncp DESC LIMIT {newest}) AS newest
      JOIN contratacoes c ON c.numero_controle_pncp = newest.compra
     GROUP BY c.modalidade_id, c.modalidade_nome ORDER BY count(*) DESC, 1 LIMIT {most}
"""
_CONTRATACOES = """
    SELECT CASE WHEN GROUPING(ano) = 0 THEN 'anos' ELSE 'modalidades' END AS por, ano, modalidade_id, modalidade_nome,
           count(*) AS contratacoes, sum(valor_total_estimado) AS valor_estimado,
           sum(valor_total_homologado) AS valor_homologado
      FROM (SELECT *, CAST(extract(year FROM data_publicacao_pncp) AS integer) AS ano FROM contratacoes
             WHERE orgao_entidade_cnpj = $1) AS own
     GROUP BY GROUPING SETS ((ano), (modalidade_id, modalidade_nome)) ORDER BY ano DESC, contratacoes DESC, 3
"""
_WON = """
    SELECT count(*) AS itens, sum(valor_total_homologado) AS valor_homologado
      FROM (SELECT valor_total_homologado FROM resultados
             WHERE ni_fornecedor = $2 AND tipo_pessoa = $1 AND situacao_compra_item_resultado_id = {informed}
             LIMIT {counted}) AS won
"""
_ATAS_OF_FORNECEDOR = """
    SELECT count(*) AS atas, count(*) FILTER (WHERE {in_force}) AS vigentes
      FROM atas WHERE numero_controle_pncp_compra IN (
           SELECT numero_controle_pncp FROM resultados
            WHERE ni_fornecedor = $2 AND tipo_pessoa = $1 AND situacao_compra_item_resultado_id = {informed}
            LIMIT {newest})
"""
_ATAS_OF_ORGAO = (
    "SELECT count(*) AS atas, count(*) FILTER (WHERE {in_force}) AS vigentes FROM atas WHERE cnpj_orgao = $1"
)
_IN_FORCE = f"vigencia_inicio <= CAST({NOW} AS date) AND vigencia_fim >= CAST({NOW} AS date) AND cancelado IS NOT TRUE"
_PCAS = """
    SELECT p.ano_pca AS ano, count(DISTINCT p.id_pca_pncp) AS planos, count(i.numero_item) AS itens,
           sum(i.valor_total) AS valor_total
      FROM pcas p LEFT JOIN itens_pca i ON i.id_pca_pncp = p.id_pca_pncp
     WHERE p.orgao_entidade_cnpj = $1 GROUP BY p.ano_pca ORDER BY p.ano_pca DESC
"""
_BRANCHES = """
    SELECT id, ni, nome, count(*) OVER () AS whole
      FROM (SELECT id, ni, nome FROM fornecedores
             WHERE tipo_pessoa = 'PJ' AND ni BETWEEN $1 || '000000' AND $1 || 'ZZZZZZ' AND ni <> $2
             ORDER BY ni LIMIT {counted}) AS branches
     ORDER BY ni LIMIT {most}
"""


def root_of(tipo_pessoa: str, ni: str) -> str | None:
    """What the CNPJs of a company and of all its branches begin with; of another number there is none."""
    return ni[:ROOT_LENGTH] if tipo_pessoa == "PJ" and len(ni) == CNPJ_LENGTH else None


async def load_profile(
    driver: "asyncpg.Connection[Any]", party: Party, key: Mapping[str, Any], *, sees_all: bool
) -> dict[str, Any]:
    """The profile of a party of `PROFILED`, by the columns of its key; names of natural persons are masked.

    Raises:
        TimeoutError: the database takes too long.

    """
    other = FORNECEDORES if party is ORGAOS else ORGAOS
    values = [key[name] for name in party_key(party)]
    own = " AND ".join(f"{column} = ${n}" for n, column in enumerate(_columns(party), 1))
    rows = await driver.fetch(_totals(own, other), *values, timeout=LIST_SECONDS)
    profile = {
        "contratos": _total(rows),
        "anos": [_sums(row, "ano") for row in rows if row["por"] == "anos"],
        "ufs": _ranked(rows, "ufs", [_sums(row, "uf") for row in rows if row["por"] == "ufs"]),
    }
    others = [row for row in rows if row["por"] == "outros"]
    named = await _load_named(driver, other, others, sees_all=sees_all)
    shown = [{**name, **_sums(row)} for name, row in zip(named, others, strict=True)]
    profile["compradores" if other is ORGAOS else "fornecedores"] = _ranked(rows, "outros", shown)
    more = _of_orgao(driver, *values) if party is ORGAOS else _of_fornecedor(driver, own, *values, sees_all=sees_all)
    return {**profile, **await more}


def _columns(party: Party) -> list[str]:
    """The columns in which contratos name a party, those of its key."""
    mention = next(each for each in CONTRATOS.mentions if each.party is party)
    return [mention.columns[name] for name in party_key(party)]


def _totals(own: str, other: Party) -> str:
    names = _columns(other)
    joined = ", ".join(names)
    return _TOTALS.format(uf=_UF, others=joined, last=names[-1], own=own, now=NOW, most=MOST)


def _total(rows: list[asyncpg.Record]) -> dict[str, Any]:
    return _sums(next(row for row in rows if row["por"] == "total"))


def _sums(row: asyncpg.Record, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in (*names, "contratos", "vigentes", "valor_global")}


def _ranked(rows: list[asyncpg.Record], por: str, shown: list[dict[str, Any]]) -> dict[str, Any]:
    """The first of a part, and how many there are."""
    return {"total": next((row["whole"] for row in rows if row["por"] == por), 0), "registros": shown}


async def _load_named(
    driver: "asyncpg.Connection[Any]", party: Party, rows: list[asyncpg.Record], *, sees_all: bool
) -> list[dict[str, Any]]:
    """What the mirror knows of parties, by the columns in which contratos name them; addresses name no person."""
    names, columns = party_key(party), _columns(party)
    keys = [[row[column] for row in rows] for column in columns]
    arrays = ", ".join(f"CAST(${n} AS text[])" for n in range(1, len(names) + 1))
    on = " AND ".join(f"p.{name} = k.{name}" for name in names)
    row_number = ", p.id" if party is FORNECEDORES else ""
    statement = f"""
        SELECT {", ".join(f"k.{name}" for name in names)}, p.{party.called} AS nome,
               p.payload IS NOT NULL AS is_known{row_number}
          FROM unnest({arrays}) WITH ORDINALITY AS k ({", ".join(names)}, place)
          LEFT JOIN {party.name} p ON {on} ORDER BY k.place"""
    found = await driver.fetch(statement, *keys, timeout=LIST_SECONDS)
    shown = []
    for row in found:
        person = None if party is ORGAOS else row["tipo_pessoa"]
        said = {name: row[name] for name in (*names, "nome")}
        if party is FORNECEDORES and not sees_all:
            said = {name: value and mask_field(value, person) for name, value in said.items()}
        shown.append({**said, "endereco": party_path(party, dict(row)) if row["is_known"] else None})
    return shown


async def _of_fornecedor(
    driver: "asyncpg.Connection[Any]", own: str, tipo_pessoa: str, ni: str, *, sees_all: bool
) -> dict[str, Any]:
    limits = {"own": own, "newest": NEWEST, "counted": COUNTED + 1, "in_force": _IN_FORCE, "informed": INFORMED}

    async def fetch(statement: str, *values: Any, most: int = MOST) -> list[asyncpg.Record]:
        return await driver.fetch(statement.format(**limits, most=most), *values, timeout=LIST_SECONDS)

    names = await fetch(_NAMES, tipo_pessoa, ni, most=MOST_NAMES)
    (won,) = await fetch(_WON, tipo_pessoa, ni)
    (atas,) = await fetch(_ATAS_OF_FORNECEDOR, tipo_pessoa, ni)
    root = root_of(tipo_pessoa, ni)
    branches = [] if root is None else await fetch(_BRANCHES, root, ni)
    return {
        "nomes": [{**row, "nome": row["nome"] if sees_all else mask_field(row["nome"], tipo_pessoa)} for row in names],
        "modalidades": [dict(row) for row in await fetch(_MODALIDADES_OF_FORNECEDOR, tipo_pessoa, ni)],
        "contados": NEWEST,
        # what was counted is a part where there are more
        "itens_vencidos": {**_limited(won["itens"]), "valor_homologado": won["valor_homologado"]},
        "atas": {**atas, "de_resultados": NEWEST},
        "filiais": {
            **_limited(branches[0]["whole"] if branches else 0),
            "registros": [
                {"ni": row["ni"], "nome": row["nome"], "endereco": party_path(FORNECEDORES, dict(row))}
                for row in branches
            ],
        },
    }


def _limited(number: int) -> dict[str, Any]:
    """A count that ends at a limit, with its kind."""
    return {"total": min(number, COUNTED), "total_tipo": "minimo" if number > COUNTED else "exato"}


async def _of_orgao(driver: "asyncpg.Connection[Any]", cnpj: str) -> dict[str, Any]:
    rows = await driver.fetch(_CONTRATACOES, cnpj, timeout=LIST_SECONDS)
    sums = ("contratacoes", "valor_estimado", "valor_homologado")
    atas = await driver.fetchrow(_ATAS_OF_ORGAO.format(in_force=_IN_FORCE), cnpj, timeout=LIST_SECONDS)
    return {
        "contratacoes": [{name: row[name] for name in ("ano", *sums)} for row in rows if row["por"] == "anos"],
        "modalidades": [
            {name: row[name] for name in ("modalidade_id", "modalidade_nome", *sums)}
            for row in rows
            if row["por"] == "modalidades"
        ],
        "atas": dict(atas or {}),
        "pcas": [dict(row) for row in await driver.fetch(_PCAS, cnpj, timeout=LIST_SECONDS)],
    }
