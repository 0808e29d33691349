"""The reconciliation in numbers: by situation, by month, by órgão, in one reading of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg

from backend.models.reconciliation import OfMonth, OfOrgao, OfSituation
from backend.services.entities.question import Question
from backend.services.entities.rows import ANSWER_SECONDS, LIST_SECONDS, too_slow
from common.entities.reconciliation import SITUATIONS

# ruff: noqa: S608  # all names in this statement stand in descriptions, and values are parameters

MOST_MONTHS, MOST_ORGAOS = 60, 50
_NO_SUMS: Mapping[str, Any] = {
    "registros": 0,
    "atrasadas": 0,
    "valor_proprio": None,
    "valor_pncp": None,
    "diferenca": None,
    "diferenca_absoluta": None,
}


def _part(value: str, places: int) -> str:
    """SQL of a sum in which the purchases of one contratação count what they share in equal parts, and so once."""
    return f"round(sum({value} / compras), {places})"


async def load_sums(
    driver: "asyncpg.Connection[Any]", question: Question
) -> tuple[list[OfSituation], list[OfMonth], list[OfOrgao]]:
    """The rows that a question asks for, by situation, by month and by órgão.

    Raises:
        TooSlowError: it takes too long.

    """
    where = question.where()
    columns = {name: question.entity.fields[name].sql for name in question.entity.fields}
    month = f"date_trunc('month', coalesce({columns['data_assinatura']}, {columns['data_publicacao_pncp']}))"
    statement = f"""
    WITH rows AS MATERIALIZED (
        SELECT {columns["situacao"]} AS situacao, CAST({month} AS date) AS mes, {columns["orgao_cnpj"]} AS orgao_cnpj,
               {columns["orgao_nome"]} AS orgao_nome, {columns["atrasada"]} AS atrasada,
               {columns["valor_proprio"]} AS valor_proprio, {columns["valor_pncp"]} AS valor_pncp,
               {columns["diferenca"]} AS diferenca,
               count(*) OVER (PARTITION BY {columns["numero_controle_pncp"]}) AS compras
          FROM {question.entity.source}{where.sql}
    )
    SELECT GROUPING(mes) = 0 AS is_month, GROUPING(orgao_cnpj) = 0 AS is_orgao, situacao, mes, orgao_cnpj,
           max(orgao_nome) AS orgao_nome, count(*) AS registros, count(*) FILTER (WHERE atrasada) AS atrasadas,
           sum(valor_proprio) AS valor_proprio, {_part("valor_pncp", 4)} AS valor_pncp,
           {_part("diferenca", 2)} AS diferenca, {_part("abs(diferenca)", 2)} AS diferenca_absoluta
      FROM rows GROUP BY GROUPING SETS ((situacao), (mes, situacao), (orgao_cnpj, situacao))"""
    try:
        found = await driver.fetch(statement, *where.values, timeout=LIST_SECONDS)
    except TimeoutError as error:
        await driver.execute("SELECT", timeout=ANSWER_SECONDS)
        raise too_slow(question) from error
    return (
        _by_situation(each for each in found if not each["is_month"] and not each["is_orgao"]),
        _by_month(each for each in found if each["is_month"]),
        _by_orgao(each for each in found if each["is_orgao"]),
    )


def _by_situation(rows: Iterable[asyncpg.Record]) -> list[OfSituation]:
    found = {row["situacao"]: {name: row[name] for name in _NO_SUMS} for row in rows}
    return [OfSituation(situacao=name, rotulo=label, **found.get(name, _NO_SUMS)) for name, label in SITUATIONS.items()]


def _by_month(rows: Iterable[asyncpg.Record]) -> list[OfMonth]:
    found: defaultdict[Any, dict[str, int]] = defaultdict(dict)
    for row in rows:
        found[row["mes"]][row["situacao"]] = row["registros"]
    known = sorted(month for month in found if month is not None)[-MOST_MONTHS:]
    unknown = [None] if None in found else []
    return [OfMonth(mes=month, situacoes=found[month]) for month in (*unknown, *known)]


def _by_orgao(rows: Iterable[asyncpg.Record]) -> list[OfOrgao]:
    found: dict[str | None, OfOrgao] = {}
    for row in rows:
        orgao = found.setdefault(
            row["orgao_cnpj"], OfOrgao(orgao_cnpj=row["orgao_cnpj"], orgao_nome=None, situacoes={})
        )
        orgao.situacoes[row["situacao"]] = row["registros"]
        orgao.orgao_nome = orgao.orgao_nome or row["orgao_nome"]
    return sorted(found.values(), key=lambda each: -sum(each.situacoes.values()))[:MOST_ORGAOS]
