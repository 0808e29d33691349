"""A price research as a file: the series with its evidence, and the calculation (art. 3 of IN 65/2021)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from backend.services.entities.mirror import Mirror
from backend.services.exports.about import describe
from backend.services.exports.tables import About, Column, Row, Section
from backend.services.prices.calculation import METHOD
from backend.services.prices.research import COUNTS
from backend.services.prices.series import PRICES, Wanted

_STATISTICS = {
    "media": "Média",
    "mediana": "Mediana",
    "primeiro_quartil": "Primeiro quartil (Q1)",
    "terceiro_quartil": "Terceiro quartil (Q3)",
    "minimo": "Menor preço",
    "maximo": "Maior preço",
    "desvio_padrao": "Desvio padrão",
    "coeficiente_variacao": "Coeficiente de variação",
}
_OWN = (
    Column("chave", "Chave", "TEXT"),
    Column("situacao", "Situação no cálculo", "TEXT"),
    Column("motivo", "Motivo", "TEXT"),
    Column("fonte", "Fonte", "TEXT"),
    Column("lugar", "Município/UF", "TEXT"),
)
_COLUMNS = {each.name: each for each in _OWN} | {
    each.name: Column(each.name, each.label, each.kind.name) for each in PRICES.fields.values()
}
_SHEET = (
    *(
        "data",
        "descricao",
        "unidade_medida",
        "quantidade_homologada",
        "valor_unitario_homologado",
        "situacao",
        "motivo",
    ),
    *("orgao_entidade_razao_social", "orgao_entidade_cnpj", "unidade_orgao_nome_unidade"),
    *("unidade_orgao_municipio_nome", "unidade_orgao_uf_sigla", "nome_razao_social_fornecedor", "ni_fornecedor"),
    *("modalidade_nome", "numero_controle_pncp", "numero_item", "sequencial_resultado", "fonte", "chave"),
)
_PAGE = (
    *("data", "descricao", "unidade_medida", "quantidade_homologada", "valor_unitario_homologado", "situacao"),
    *("orgao_entidade_razao_social", "lugar", "nome_razao_social_fornecedor", "ni_fornecedor", "chave", "fonte"),
)


def columns_of(form: str) -> tuple[Column, ...]:
    """The columns of the series in a file of this format; a page has room for fewer."""
    return tuple(_COLUMNS[name] for name in (_PAGE if form == "pdf" else _SHEET))


def rows_of(found: Mapping[str, Any], form: str) -> Iterator[Row]:
    """The series, each value as CSV has it."""
    names = [each.name for each in columns_of(form)]
    for price in found["serie"]:
        place = (price["unidade_orgao_municipio_nome"], price["unidade_orgao_uf_sigla"])
        shown = {**price, "lugar": "/".join(each for each in place if each)}
        yield [_written(shown[name]) for name in names]


def _written(value: Any) -> str | None:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value if value is None or isinstance(value, str) else str(value)


def about(wanted: Wanted, found: Mapping[str, Any], mirror: Mirror, *, made_at: datetime) -> About:
    """What the file says of the research, beside the series."""
    counts = found["contagem"]
    said = describe(wanted.question, mirror, rows=counts["serie"], made_at=made_at)
    notes = [
        ("Período dos resultados", f"{_day(wanted.first)} a {_day(wanted.last)}"),
        ("Método", METHOD),
        (
            "Preços",
            (
                f"{counts['serie']} na série: {counts['considerados']} considerados, {counts['discrepantes']}"
                f" discrepantes, {counts['excluidos']} excluídos por quem pesquisou"
            ),
        ),
        *(("Aviso", each["texto"]) for each in found["avisos"]),
        ("Fontes", "Portal Nacional de Contratações Públicas (PNCP); o endereço de cada preço está na coluna Fonte"),
    ]
    sections = [_calculation(found), *_left_out(found["serie"]), *_groups(found["grupos"])]
    return said.with_notes(title="Pesquisa de preços", notes=notes, sections=sections)


def _day(day: date) -> str:
    return f"{day:%d/%m/%Y}"


def _calculation(found: Mapping[str, Any]) -> Section:
    both = [found["estatisticas"][name] for name in ("com_todos", "sem_discrepantes")]
    heads = [f"{label} ({each['n']})" for label, each in zip(("Com todos", "Sem discrepantes"), both, strict=True)]
    rows: list[Row] = [[label, *(_written(each[name]) for each in both)] for name, label in _STATISTICS.items()]
    limits = found["limites"]
    if limits is not None:
        rows += [
            ["Limite inferior (Q1 - 1,5 x IQR)", _written(limits["inferior"]), None],
            ["Limite superior (Q3 + 1,5 x IQR)", _written(limits["superior"]), None],
        ]
    columns = (Column("estatistica", "Estatística", "TEXT"), *(Column(head, head, "NUMBER") for head in heads))
    return Section("Cálculo", columns, rows)


def _left_out(series: Sequence[Mapping[str, Any]]) -> Iterator[Section]:
    names = ("chave", "descricao", "valor_unitario_homologado", "situacao", "motivo")
    rows: list[Row] = [[_written(each[name]) for name in names] for each in series if each["situacao"] != COUNTS]
    if rows:
        yield Section("Fora do cálculo", tuple(_COLUMNS[name] for name in names), rows)


def _groups(groups: Sequence[Mapping[str, Any]]) -> Iterator[Section]:
    names = {"n": "Preços", "minimo": "Menor preço", "mediana": "Mediana", "maximo": "Maior preço"}
    rows: list[Row] = [[_written(each[name]) for name in names] for each in groups]
    if rows:
        columns = tuple(Column(name, label, "INTEGER" if name == "n" else "NUMBER") for name, label in names.items())
        yield Section("Grupos de preços próximos", columns, rows)


def file_name(wanted: Wanted, form: str) -> str:
    """A name that tells what is in the file: `precos-papel-a4-2026-11-29.pdf`."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", wanted.question.asked["q"].written[0])[:40].strip("-")
    return "-".join(each for each in ("precos", words, f"{wanted.last}") if each) + f".{form}"
