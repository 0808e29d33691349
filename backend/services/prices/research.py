"""A price research: which prices count, what they come to, and what its reader has to know."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from backend.services.entities.mirror import Mirror
from backend.services.exports.tables import decimal_in_words
from backend.services.prices.calculation import (
    FEWEST,
    METHOD,
    Statistics,
    calculate,
    fences_of,
    groups_of,
    is_mixed,
)
from backend.services.prices.series import Found, Wanted, fold_unit

COUNTS, OUTLIER, EXCLUDED = "considerado", "discrepante", "excluido"
SITUATIONS = (COUNTS, OUTLIER, EXCLUDED)
NO_REASON = "sem justificativa informada"
MOST_UNITS = 10
"""That are named in a warning."""
Notice = dict[str, str]


def research(wanted: Wanted, found: Found, mirror: Mirror) -> dict[str, Any]:
    """The answer to a price research, as `backend.models.prices.PriceResearch` describes it."""
    kept = [each["valor_unitario_homologado"] for each in found.prices if each["chave"] not in wanted.excluded]
    fences = fences_of(kept) if kept else (Decimal(), Decimal())
    series = [{**each, **_verdict(each, wanted.excluded, fences)} for each in found.prices]
    inside = [each["valor_unitario_homologado"] for each in series if each["situacao"] == COUNTS]
    whole, without = calculate(kept), calculate(inside)
    is_heterogeneous = is_mixed(whole)
    warnings = [
        *_of_prices(whole, without, is_heterogeneous=is_heterogeneous),
        *_of_series(wanted, found, series),
        *_of_mirror(mirror),
    ]
    return {
        "periodo": {"de": wanted.first, "ate": wanted.last, "padrao": wanted.is_usual},
        "metodo": METHOD,
        "estatisticas": {"com_todos": asdict(whole), "sem_discrepantes": asdict(without)},
        "limites": {"inferior": fences[0], "superior": fences[1]} if kept else None,
        "heterogenea": is_heterogeneous,
        "grupos": [asdict(each) for each in groups_of(kept)] if is_heterogeneous else [],
        "contagem": {
            "serie": len(series),
            "considerados": len(inside),
            "discrepantes": len(kept) - len(inside),
            "excluidos": len(series) - len(kept),
            "resultados_cancelados": found.cancelled,
            "resultados_sem_preco": found.without_price,
        },
        "avisos": warnings,
        "serie": series,
        "espelho": mirror.to_object(),
    }


def _verdict(price: Mapping[str, Any], excluded: Mapping[str, str], fences: tuple[Decimal, Decimal]) -> dict[str, Any]:
    """Whether a price counts, and why not."""
    if price["chave"] in excluded:
        return {"situacao": EXCLUDED, "motivo": excluded[price["chave"]] or NO_REASON}
    value, (lowest, highest) = price["valor_unitario_homologado"], fences
    if value < lowest:
        return {"situacao": OUTLIER, "motivo": f"abaixo de Q1 - 1,5 x IQR = {in_words(lowest)}"}
    if value > highest:
        return {"situacao": OUTLIER, "motivo": f"acima de Q3 + 1,5 x IQR = {in_words(highest)}"}
    return {"situacao": COUNTS, "motivo": None}


def in_words(value: Decimal) -> str:
    """A decimal as Brazil writes it, with two to six digits behind the comma."""
    return decimal_in_words(f"{value:.6f}")


def _notice(code: str, text: str) -> Notice:
    return {"codigo": code, "texto": text}


def _of_prices(whole: Statistics, without: Statistics, *, is_heterogeneous: bool) -> Iterator[Notice]:
    if without.n < FEWEST:
        yield _notice(
            "poucos_precos",
            f"A série tem {without.n} preço{'' if without.n == 1 else 's'} no cálculo. A IN SEGES/ME 65/2021 pede ao"
            f" menos {FEWEST} (art. 6º); menos que isso, só com justificativa.",
        )
    if is_heterogeneous and whole.coeficiente_variacao is not None and whole.maximo and whole.minimo:
        remains = "Sem os discrepantes, continua assim." if is_mixed(without) else "Sem os discrepantes, deixa de ser."
        yield _notice(
            "heterogenea",
            "Os preços são muito diferentes entre si: o coeficiente de variação é"
            f" {in_words(whole.coeficiente_variacao)}, e o maior preço, {in_words(whole.maximo / whole.minimo)} vezes o"
            f" menor. Podem ser de coisas diferentes: veja os grupos, e use palavras mais precisas. {remains}",
        )


def _of_series(wanted: Wanted, found: Found, series: list[dict[str, Any]]) -> Iterator[Notice]:
    units: dict[str, str] = {}
    for each in series:
        if each["situacao"] != EXCLUDED:
            written = (each["unidade_medida"] or "").strip()
            units.setdefault(fold_unit(written), written or "(sem unidade)")
    if len(units) > 1:
        more = f" e mais {len(units) - MOST_UNITS}" if len(units) > MOST_UNITS else ""
        named = ", ".join(list(units.values())[:MOST_UNITS])
        yield _notice(
            "unidades",
            f"Há {len(units)} unidades de medida ({named}{more}), e preços de unidades diferentes não se comparam."
            " Escolha com `unidade`.",
        )
    if wanted.first < wanted.usual_first:
        yield _notice(
            "periodo_longo",
            "O período começa há mais de um ano do seu fim: a IN SEGES/ME 65/2021 (art. 5º) pede contratações de até"
            " um ano antes da pesquisa.",
        )
    keys = {each["chave"] for each in series}
    absent = [key for key in wanted.excluded if key not in keys]
    if absent:
        yield _notice("exclusao_desconhecida", f"Não estão na série, e não excluem nada: {', '.join(absent)}.")
    if any(not wanted.excluded[key] for key in wanted.excluded if key in keys):
        yield _notice(
            "exclusao_sem_motivo",
            "Há preços excluídos sem justificativa; informe um `motivo` para cada `excluir` (IN 65/2021, art. 6º).",
        )
    if found.cancelled or found.without_price:
        yield _notice(
            "fora_da_serie",
            f"Ficaram fora da série {found.cancelled} resultados que não estão informados (cancelados) e"
            f" {found.without_price} sem preço unitário.",
        )


def _of_mirror(mirror: Mirror) -> Iterator[Notice]:
    if not mirror.is_complete:
        yield _notice(
            "espelho_incompleto",
            f"Pode haver preços que não estão nesta série. {mirror.to_sentence()}",
        )
