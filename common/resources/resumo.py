"""The rollup: how many records there are of each resource and what they come to, by day and by month.

Triggers append to `resumo_deltas`, in the transaction that writes records, what changes. An ingestor adds that up: by
day, with all dimensions, in `resumo_diario`; by month, with one dimension at a time, in `resumo_mensal`. What is true
at any moment is the sum of a table and the deltas. Of each resource, `Resource.rollup` says what is added up.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from common.resources.description import Resource, Rollup

DAILY, MONTHLY, DELTAS = "resumo_diario", "resumo_mensal", "resumo_deltas"

_TYPES: dict[str, TypeEngine[Any]] = {
    "uf": sa.Text(),
    "esfera": sa.Text(),
    "modalidade": sa.Integer(),
    "tipo": sa.Integer(),
    "receita": sa.Boolean(),
    "plataforma": sa.Text(),
}
DIMENSIONS = tuple(_TYPES)
MARGINS = ("uf", "esfera", "modalidade", "plataforma")
"""The dimensions of which each has its own sums by month; `tipo` and `receita` are in all of them."""
AMOUNTS = ("valor_estimado", "valor_homologado", "valor_global")
SUMS = ("n", *AMOUNTS)
LONGEST = 100
"""Of a text as a dimension, so many characters: it is part of an index."""

LABELS = {
    DAILY: "Quantos registros há e quanto somam, por dia",
    MONTHLY: "Quantos registros há e quanto somam, por mês",
    DELTAS: "O que mudou desde que os resumos foram somados",
}
_OF_DIMENSIONS = {
    "entidade": "Tabela dos registros",
    "uf": "Sigla da UF da unidade do órgão",
    "esfera": "Esfera do órgão",
    "modalidade": "Código da modalidade",
    "tipo": "Código do tipo de contrato ou de instrumento de cobrança; 7 é empenho",
    "receita": "Contrato de receita",
    "plataforma": "Sistema que publicou, até 100 caracteres",
}
_OF_SUMS = {
    "n": "Registros",
    "valor_estimado": "Soma do valor total estimado; nulo se nenhum o diz",
    "valor_homologado": "Soma do valor total homologado; nulo se nenhum o diz",
    "valor_global": "Soma do valor global, também dos contratos de receita; nulo se nenhum o diz",
}
_DAY = "Dia de publicação, de instrumentos de cobrança o de inclusão"
MEANINGS = {
    DAILY: {**_OF_DIMENSIONS, "dia": _DAY, **_OF_SUMS},
    MONTHLY: {
        **_OF_DIMENSIONS,
        "mes": "Primeiro dia do mês",
        "dimensao": "Por que mais se divide: uf, esfera, modalidade, plataforma, ou nada (texto vazio)",
        "valor": "O valor dessa dimensão",
        **_OF_SUMS,
    },
    DELTAS: {**_OF_DIMENSIONS, "dia": _DAY, **_OF_SUMS},
}
_NOTE = "What is true is the sum of these rows and those of `resumo_deltas`; `n` may be 0."
NOTES = {DAILY: _NOTE, MONTHLY: _NOTE, DELTAS: "Written by triggers, emptied every few seconds; `n` may be negative."}


def _sums() -> list[sa.Column[object]]:
    amounts: list[sa.Column[object]] = [sa.Column(name, sa.Numeric) for name in AMOUNTS]
    return [sa.Column("n", sa.BigInteger, nullable=False), *amounts]


def _by_day() -> list[sa.Column[object]]:
    dimensions = [sa.Column(name, _TYPES[name]) for name in DIMENSIONS]
    return [sa.Column("entidade", sa.Text, nullable=False), sa.Column("dia", sa.Date), *dimensions, *_sums()]


DAILY_KEY = ("entidade", "dia", *DIMENSIONS)
MONTHLY_KEY = ("entidade", "dimensao", "mes", "valor", "tipo", "receita")


def add_resumo(metadata: sa.MetaData) -> None:
    """Add the tables of the rollup."""
    sa.Table(DELTAS, metadata, *_by_day())
    sa.Table(DAILY, metadata, *_by_day(), _unique(DAILY, DAILY_KEY))
    sa.Table(
        MONTHLY,
        metadata,
        sa.Column("entidade", sa.Text, nullable=False),
        sa.Column("dimensao", sa.Text, nullable=False),
        sa.Column("mes", sa.Date),
        sa.Column("valor", sa.Text),
        *(sa.Column(name, _TYPES[name]) for name in ("tipo", "receita")),
        *_sums(),
        _unique(MONTHLY, MONTHLY_KEY),
    )


def _unique(table: str, columns: Iterable[str]) -> sa.Index:
    return sa.Index(f"uq_{table}", *columns, unique=True, postgresql_nulls_not_distinct=True)


def trigger_arguments(rollup: Rollup) -> tuple[str, ...]:
    """What a resource's triggers hand to `sum_rollup`: its columns, in the order of the rollup's."""
    columns = {**rollup.dimensions, **rollup.amounts}
    return (rollup.day, *(columns.get(name, "") for name in (*DIMENSIONS, *AMOUNTS)))


def day_of(resource: Resource) -> str:
    """The column with the day of a resource's records in the rollup."""
    assert resource.rollup is not None  # noqa: S101  # only those with one are asked about
    return resource.rollup.day


def picked(resource: Resource) -> str:
    """SQL of what a record of a resource adds to the rollup, as `sum_rollup` has it: dimensions, then amounts."""
    assert resource.rollup is not None  # noqa: S101
    values = []
    columns = {**resource.rollup.dimensions, **resource.rollup.amounts}
    for name in (*DIMENSIONS, *AMOUNTS):
        kind = _TYPES.get(name, sa.Numeric())
        column = columns.get(name)
        if column is None:
            values.append(f"CAST(NULL AS {kind.compile()}) AS {name}")
        elif isinstance(kind, sa.Text):
            values.append(f"left({column}, {LONGEST}) AS {name}")
        else:
            values.append(f"{column} AS {name}")
    return ", ".join(values)


MARGINS_OF = "(VALUES ('', NULL), {}) AS margin (dimensao, valor)".format(
    ", ".join(f"('{name}', CAST({name} AS text))" for name in MARGINS)
)
"""SQL of the rows by month that a row by day is part of; to be joined laterally."""
MONTH_OF_DAY = "CAST(date_trunc('month', CAST(dia AS timestamp)) AS date)"


def summed() -> str:
    """SQL of the sums of rows of the rollup, each by its name."""
    return ", ".join(f"sum({name}) AS {name}" for name in SUMS)
