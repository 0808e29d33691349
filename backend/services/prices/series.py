"""What is asked of prices: items with results in a period, and which of them are left out.

Made of the entities of results and of items, so that filters, masks, limits and refusals are those of lists.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from backend.errors import TooBroadError
from backend.services.entities.address import portal_page, record_path
from backend.services.entities.question import PERSONAL, Question, parse_question, refuse
from backend.services.entities.rows import load_page
from backend.services.exports.tables import grouped
from backend.services.prices.calculation import HIGHEST
from backend.services.search import fold
from common.entities.entity import MAIN, SEARCH, Entity, Field, Filter, Form, Order, of_child
from common.resources.contratacoes import CONTRATACOES
from common.resources.description import Kind
from common.resources.itens import ITENS
from common.resources.resultados import INFORMED, RESULTADOS

MOST_PRICES = 5_000
"""Of a series, what is left out of it included; more are refused, as a part of them would be another series."""
MOST_EXCLUDED, LONGEST_REASON = 200, 500
EXCLUDE, REASON = "excluir", "motivo"
ITEM = "i"

_DAY = "coalesce(e.data_resultado, CAST(e.data_inclusao AS date), CAST(r.data_publicacao_pncp AS date))"
_UNITS = "lower(btrim(i.unidade_medida)) = ANY(SELECT lower(btrim(u)) FROM unnest(CAST({value} AS text[])) AS u)"
_OF_RESULTS = (
    *("numero_controle_pncp", "numero_item", "sequencial_resultado", "quantidade_homologada"),
    *("valor_unitario_homologado", "situacao_compra_item_resultado_id", "tipo_pessoa", "ni_fornecedor"),
    *("nome_razao_social_fornecedor", "orgao_entidade_cnpj", "orgao_entidade_razao_social"),
    *("unidade_orgao_nome_unidade", "unidade_orgao_municipio_nome", "unidade_orgao_uf_sigla", "modalidade_nome"),
)
_OF_ITEMS = ("descricao", "unidade_medida")
_NARROWING = ("uf", "codigo_ibge", "cnpj", "modalidade")


def _prices() -> Entity:
    results, items = of_child(CONTRATACOES, RESULTADOS), of_child(CONTRATACOES, ITENS)
    own, day = f"{MAIN}.", "Data do resultado"
    fields = {"data": Field("data", day, Kind.DAY, _DAY)}
    fields |= {name: replace(items.fields[name], sql=f"{ITEM}.{name}") for name in _OF_ITEMS}
    fields |= {name: results.fields[name] for name in _OF_RESULTS}
    words = items.filters[SEARCH]
    filters = {
        SEARCH: replace(words, sql=words.sql.replace(own, f"{ITEM}.")),
        "unidade": Filter("unidade", "Unidade de medida, sem distinção de maiúsculas", Kind.TEXT, Form.ANY, "unidade"),
        **{name: results.filters[name] for name in _NARROWING},
        "de": Filter("de", f"{day}: a partir de", Kind.DAY, Form.FROM, _DAY),
        "ate": Filter("ate", f"{day}: até, inclusive", Kind.DAY, Form.TO, _DAY),
    }
    number = f"{ITEM}.{CONTRATACOES.key} = {own}{CONTRATACOES.key} AND {ITEM}.numero_item = {own}numero_item"
    return Entity(
        name="precos",
        address="precos",
        label="Preços de itens com resultado",
        source=f"{results.source} JOIN {ITENS.name} {ITEM} ON {number}",
        key=results.key,
        fields=fields,
        filters=filters,
        orders={"data": Order("data", day, _DAY, Kind.DAY, is_required=True)},
        resources=results.resources,
        children=(ITENS, RESULTADOS),
        searched=ITENS.name,
    )


PRICES = _prices()


@dataclass(frozen=True)
class Wanted:
    """What is asked: from which day to which, and why which prices are left out; `is_usual`: no period is named."""

    question: Question
    first: date
    last: date
    is_usual: bool
    excluded: Mapping[str, str]

    @property
    def usual_first(self) -> date:
        """Where the period would begin that art. 5 of IN 65/2021 asks for."""
        return _year_before(self.last)


@dataclass(frozen=True)
class Found:
    """The prices of a question, the newest first, and how many results are none: cancelled, or without a price."""

    prices: Sequence[Mapping[str, Any]]
    cancelled: int
    without_price: int


def parse_wanted(parameters: Iterable[tuple[str, str]], *, may_see_all: bool, today: date) -> Wanted:
    """Read a query string.

    Raises:
        RequestValidationError: a parameter is missing, unknown, repeated or has a value that does not serve.

    """
    given = list(parameters)
    known = parse_question(PRICES, given, may_see_all=may_see_all, instead=(EXCLUDE, REASON, PERSONAL))
    if SEARCH not in known.asked:
        refuse(SEARCH, "é obrigatório: as palavras do item que se pesquisa")
    ends = {name: known.asked[name].day for name in ("de", "ate") if name in known.asked}
    last = ends.get("ate") or today
    first = ends.get("de") or _year_before(last)
    if first > last:
        refuse("de", "vem depois de ate")
    missing = [(name, day.isoformat()) for name, day in (("de", first), ("ate", last)) if name not in known.asked]
    question = parse_question(PRICES, [*given, *missing], may_see_all=may_see_all, instead=(EXCLUDE, REASON, PERSONAL))
    asked = dict(question.asked)
    if "unidade" in asked:
        units = asked["unidade"]
        asked["unidade"] = replace(units, sql=_UNITS, value=tuple(units.value))
    question = replace(question, asked=asked, limit=MOST_PRICES, period=(first, last))
    return Wanted(question, first, last, not ends, _excluded(given))


def _year_before(day: date) -> date:
    """The period of art. 5 of IN 65/2021 begins on this day."""
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # there is no 29 February, or no year before
        return day - timedelta(days=min(366, day.toordinal() - 1))


def _excluded(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The keys of the prices to leave out, each with its reason: the one at its place, or the one of all."""
    keys = [value.strip() for name, value in given if name == EXCLUDE]
    reasons = [value.strip() for name, value in given if name == REASON]
    if len(keys) > MOST_EXCLUDED:
        refuse(EXCLUDE, f"são no máximo {MOST_EXCLUDED}")
    if len(set(keys)) < len(keys):
        refuse(EXCLUDE, "tem o mesmo preço mais de uma vez")
    if len(reasons) not in {0, min(1, len(keys)), len(keys)}:  # clients may write all keys before all reasons
        refuse(REASON, f"deve vir um para cada {EXCLUDE}, na mesma ordem, ou um só para todos")
    if any(len(each) > LONGEST_REASON or "\0" in each for each in reasons):
        refuse(REASON, f"tem até {LONGEST_REASON} caracteres")
    if len(reasons) < len(keys):
        reasons = (reasons or [""]) * len(keys)
    return dict(zip(keys, reasons, strict=True))


async def load_prices(driver: "asyncpg.Connection[Any]", wanted: Wanted) -> Found:
    """The prices of a question; CPFs are masked unless it sees all.

    Raises:
        TooBroadError: there are more results than a series has, or finding them takes too long.
        TooSlowError: as for lists.
        TimeoutError: the database does not answer any more.

    """
    page = await load_page(driver, wanted.question)
    if page.next_cursor is not None:
        raise TooBroadError(
            f"São {page.total.to_words()} resultados, e uma pesquisa de preços leva até {grouped(MOST_PRICES)}: uma"
            " parte deles daria outros números. Use mais palavras, unidade, uf ou um período menor."
        )
    standing = [row for row in page.rows if row["situacao_compra_item_resultado_id"] == INFORMED]
    prices = [_price(row) for row in standing if _is_price(row["valor_unitario_homologado"])]
    return Found(prices, len(page.rows) - len(standing), len(standing) - len(prices))


def _is_price(value: Decimal | None) -> bool:
    return value is not None and value.is_finite() and 0 < value < HIGHEST


def _price(row: Mapping[str, Any]) -> dict[str, Any]:
    """A price with its key and its evidence."""
    number = row["numero_controle_pncp"]
    shown = {name: value for name, value in row.items() if name != "situacao_compra_item_resultado_id"}
    return {
        "chave": f"{number}-{row['numero_item']}-{row['sequencial_resultado']}",
        **shown,
        "endereco": record_path(CONTRATACOES, number),
        "fonte": portal_page(CONTRATACOES, number),
    }


def fold_unit(written: str | None) -> str:
    """A unit as units are compared."""
    return fold((written or "").strip())
