"""Statistics of prices, in exact decimals, as IN SEGES/ME 65/2021 asks for them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import pairwise

FEWEST = 3
"""A research with fewer prices has to be justified (art. 6 of IN 65/2021)."""
FENCE = Decimal("1.5")
"""A price is an outlier where it lies so many interquartile ranges beyond a quartile."""
MOST_VARIATION, MOST_RATIO = Decimal("0.5"), 3
"""Prices that vary more, or whose highest is more times the lowest, are hardly those of one thing."""
GAP = Decimal("1.5")
"""A group of prices ends where the next one is more than so many times as high."""
HIGHEST = Decimal(10) ** 15
"""No price is as high."""
METHOD = (
    "Preço unitário homologado, nunca o estimado. Quartis pelo método inclusivo, com interpolação linear (PERCENTIL.INC"
    " do Excel). Desvio padrão amostral (n - 1); coeficiente de variação: desvio padrão / média. É discrepante o preço"
    " abaixo de Q1 - 1,5 x IQR ou acima de Q3 + 1,5 x IQR, em que IQR = Q3 - Q1; ele fica na série, e sai do cálculo"
    ' "sem discrepantes". O que foi excluído por quem pesquisou sai dos dois cálculos. Valores com até seis decimais.'
)
_STEP = Decimal("0.000001")
_DIGITS = 80


@dataclass(frozen=True)
class Statistics:
    """What some prices come to, to six decimals; null where there are too few of them."""

    n: int
    media: Decimal | None = None
    mediana: Decimal | None = None
    primeiro_quartil: Decimal | None = None
    terceiro_quartil: Decimal | None = None
    minimo: Decimal | None = None
    maximo: Decimal | None = None
    desvio_padrao: Decimal | None = None
    coeficiente_variacao: Decimal | None = None


@dataclass(frozen=True)
class Group:
    """Prices that lie close together."""

    n: int
    minimo: Decimal
    maximo: Decimal
    mediana: Decimal


def calculate(prices: Sequence[Decimal]) -> Statistics:
    """The statistics of prices, all above zero."""
    if not prices:
        return Statistics(0)
    with localcontext(prec=_DIGITS):
        mean = statistics.mean(prices)
        first, middle, third = _quartiles(prices)
        deviation = statistics.stdev(prices) if len(prices) > 1 else None
        variation = None if deviation is None else deviation / mean
        return Statistics(
            len(prices),
            *(each.quantize(_STEP) for each in (mean, middle, first, third, min(prices), max(prices))),
            *(None if each is None else each.quantize(_STEP) for each in (deviation, variation)),
        )


def fences_of(prices: Sequence[Decimal]) -> tuple[Decimal, Decimal]:
    """Below and above which prices are outliers; there is at least one price."""
    with localcontext(prec=_DIGITS):
        first, _, third = _quartiles(prices)
        return first - FENCE * (third - first), third + FENCE * (third - first)


def _quartiles(prices: Sequence[Decimal]) -> list[Decimal]:
    """By the inclusive method: linear between the prices, the lowest being the quantile 0 and the highest 1."""
    return statistics.quantiles(prices, n=4, method="inclusive") if len(prices) > 1 else list(prices) * 3


def is_mixed(found: Statistics) -> bool:
    """Whether prices are too far apart to be those of one thing."""
    if found.coeficiente_variacao is None or found.minimo is None or found.maximo is None:
        return False
    return found.coeficiente_variacao > MOST_VARIATION or found.maximo > MOST_RATIO * found.minimo


def groups_of(prices: Sequence[Decimal]) -> list[Group]:
    """The groups of prices that lie close together, the lowest first."""
    if not prices:
        return []
    ordered = sorted(prices)
    ends = [n for n, (lower, higher) in enumerate(pairwise(ordered), 1) if higher > GAP * lower]
    parts = [ordered[first:last] for first, last in pairwise([0, *ends, len(ordered)])]
    return [Group(len(part), part[0], part[-1], statistics.median(part)) for part in parts]
