"""A world of generated records: so many days, so many contratações a day and what follows from them, from one seed."""

import functools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final

from simulator import domains
from simulator.invention import Inventor, times_of_day
from simulator.invention_instrumentos import FIRST_DAY
from simulator.records import Ata, Contratacao, Contrato, Instrumento, Pca
from simulator.world import World, brasilia_now

_WEEKEND: Final = 0.12  # how many contratações a day of the weekend has for each of a weekday
_BLOCK_DAYS: Final = 10  # modalidades 1..13 all occur within this many days, given enough records
_SATURDAY: Final = 5
# How many records of another resource a day has for each contratação.
_CONTRATOS: Final = 0.6
_ATAS: Final = 0.3
_PCAS: Final = 0.05
_INSTRUMENTOS: Final = 0.07


def generate(
    seed: int,
    first_day: date,
    last_day: date,
    per_day: float,
    *,
    until: datetime | None = None,
    now: Callable[[], datetime] = brasilia_now,
) -> World:
    """A world with a mean of `per_day` contratações per weekday, all modalidades together, from `first_day` to
    `last_day`, and for ten of them of six contratos, three atas, half a plan and not quite one instrumento de cobrança.

    The same arguments give the same records. Update stamps spread over the days after publication up to `until`
    (default: the end of `last_day`), and nothing lies after `now`, so a world that includes today grows with the hour.
    """
    if last_day < first_day:
        raise ValueError(f"the last day, {last_day}, lies before the first, {first_day}")
    limit = min(until or datetime.combine(last_day, time(23, 59, 59)), now())
    inventor = Inventor(seed)
    world = World(inventor, now=now)
    by_day: dict[date, list[Contratacao]] = {}
    for offset in range((last_day - first_day).days + 1):
        day = first_day + timedelta(days=offset)
        rng = random.Random(f"{seed}/{day}")
        mean = _mean(per_day, day)
        count = max(0, round(rng.gauss(mean, mean**0.5)))
        modalidades = rng.choices(list(domains.WEIGHTS), list(domains.WEIGHTS.values()), k=count)
        promised = _promised(seed, first_day, last_day, day)[:count]
        modalidades[: len(promised)] = promised
        midnight = datetime.combine(day, time())
        published = [midnight + moment for moment in times_of_day(rng, count, domains.HOURS_CONTRATACOES)]
        known = [(at, modalidade) for at, modalidade in zip(published, modalidades, strict=True) if at <= limit]
        by_day[day] = inventor.contratacoes(rng, [at for at, _ in known], [each for _, each in known], limit)
        world.add(by_day[day])
    # Made once: those of instrumentos are the contratos as they were before any change.
    contratos = functools.cache(lambda: list(_contratos(world, by_day, per_day, limit)))
    world.contratos.fill_later(contratos)
    world.instrumentos_cobranca.fill_later(lambda: _instrumentos(world, contratos(), by_day, per_day, limit))
    world.atas.fill_later(lambda: _atas(world, by_day, per_day, limit))
    world.pcas.fill_later(lambda: _pcas(world, by_day, per_day, limit))
    world.first_day, world.last_day = first_day, last_day
    return world


def _contratos(
    world: World, by_day: dict[date, list[Contratacao]], per_day: float, limit: datetime
) -> Iterator[Contrato]:
    """The contratos of all days, each of a contratação of a day before it or of one that the world does not hold."""
    compras: list[Contratacao] = []
    for day, contratacoes in by_day.items():
        rng = random.Random(f"{world.inventor.seed}/contratos/{day}")
        published = _published(rng, day, _CONTRATOS * _mean(per_day, day), domains.HOURS_CONTRATOS, limit)
        yield from world.contrato_inventor.contratos(rng, published, compras, limit)
        compras += contratacoes


def _atas(world: World, by_day: dict[date, list[Contratacao]], per_day: float, limit: datetime) -> Iterator[Ata]:
    """The atas of all days, each of a contratação with srp of a day before it."""
    compras: list[Contratacao] = []
    for day, contratacoes in by_day.items():
        rng = random.Random(f"{world.inventor.seed}/atas/{day}")
        published = _published(rng, day, _ATAS * _mean(per_day, day), domains.HOURS_CONTRATACOES, limit)
        yield from world.ata_inventor.atas(rng, published, compras, world.inventor.has_srp, limit)
        compras += contratacoes


def _pcas(world: World, days: Iterable[date], per_day: float, limit: datetime) -> Iterator[Pca]:
    for day in days:
        rng = random.Random(f"{world.inventor.seed}/pcas/{day}")
        published = _published(rng, day, _PCAS * _mean(per_day, day), domains.HOURS_CONTRATACOES, limit)
        yield from world.pca_inventor.pcas(rng, published, limit)


def _instrumentos(
    world: World, contratos: Sequence[Contrato], days: Iterable[date], per_day: float, limit: datetime
) -> Iterator[Instrumento]:
    """The instrumentos de cobrança of all days, each of a contrato of a day before it."""
    for day in days:
        if day < FIRST_DAY:
            continue
        rng = random.Random(f"{world.inventor.seed}/instrumentos_cobranca/{day}")
        included = _published(rng, day, _INSTRUMENTOS * _mean(per_day, day), domains.HOURS_CONTRATACOES, limit)
        older = [contrato for contrato in contratos if contrato.publicacao < day.isoformat()]
        yield from world.instrumento_inventor.instrumentos(rng, included, older)


def _published(rng: random.Random, day: date, mean: float, hours: Mapping[int, int], limit: datetime) -> list[datetime]:
    """When the records of a day were published, `mean` of them more or less, those after `limit` left out."""
    times = times_of_day(rng, max(0, round(rng.gauss(mean, mean**0.5))), hours)
    return [at for at in (datetime.combine(day, time()) + each for each in times) if at <= limit]


def _mean(per_day: float, day: date) -> float:
    return per_day * (_WEEKEND if day.weekday() >= _SATURDAY else 1)


def _promised(seed: int, first_day: date, last_day: date, day: date) -> list[int]:
    """The modalidades of 1..13 that this day has at least one record of, so that every ten days have them all."""
    block = (day - first_day).days // _BLOCK_DAYS
    start = first_day + timedelta(days=block * _BLOCK_DAYS)
    # The last day may be today, of which only the hours gone by are there.
    days = [
        start + timedelta(days=offset) for offset in range(_BLOCK_DAYS) if start + timedelta(days=offset) < last_day
    ]
    weekdays = [each for each in days if each.weekday() < _SATURDAY] or days or [last_day]
    rng = random.Random(f"{seed}/{block}/promised")
    return [modalidade for modalidade in range(1, 14) if rng.choice(weekdays) == day]
