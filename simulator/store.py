"""The records of one resource, and the listings made of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Generic, TypeVar

from simulator.records import Record
from simulator.resources import Criterio, Resource

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Query:
    """One listing: what it filters on, and its days, both included.

    `modalidade` is None where the resource is not divided by it. `filters` are fields of `Record` and what they must
    hold.
    """

    criterio: Criterio
    modalidade: int | None
    first_day: date
    last_day: date
    filters: tuple[tuple[str, str | int], ...] = ()
    resource: str = "contratacoes"

    def accepts(self, record: Record) -> bool:
        """Whether the optional parameters let `record` into the listing."""
        return all(getattr(record, field) == value for field, value in self.filters)


Place = tuple[Criterio, int | None, str]
"""Where a record is listed: criterio, modalidade, day."""


class Store(Generic[R]):
    """Records by control number. Every change keeps the listings in order.

    `invent` makes the JSON object of a record that has none yet.
    """

    def __init__(self, resource: Resource, invent: Callable[[R], dict[str, Any]]) -> None:
        self.resource = resource
        self.invent = invent
        self._by_day = [criterio for criterio, listing in resource.listings.items() if not listing.in_force]
        self._records: dict[str, R] = {}
        self._later: Callable[[], Iterable[R]] | None = None
        self._days: dict[Place, list[R]] = {}
        self._unsorted: set[Place] = set()
        self._listings: dict[Query, list[R]] = {}
        self._before: dict[str, R] = {}

    @property
    def records(self) -> dict[str, R]:
        """All records, by control number."""
        self.fill()
        return self._records

    def fill_later(self, make: Callable[[], Iterable[R]]) -> None:
        """Add what `make` returns when the records are first asked for: unused records are never made."""
        self._later = make

    def fill(self) -> None:
        """Add what was to be added later."""
        if self._later is not None:
            made = list(self._later())  # if this fails, it fails again the next time, and nothing looks empty
            self._later = None
            self._insert(made)

    def before(self, record: R) -> R:
        """The version that a change has replaced; `record` itself where there was none."""
        return self._before.get(record.numero_controle_pncp, record)

    def listing(self, query: Query) -> Sequence[R]:
        """The records of a listing in its order: ascending by its stamp, ties by control number."""
        self.fill()
        found = self._listings.get(query)
        if found is None:
            in_force = self.resource.listings[query.criterio].in_force
            records = self._in_force(query) if in_force else self._of_days(query)
            found = self._listings[query] = list(filter(query.accepts, records))
        return found

    def select(
        self, criterio: Criterio, start: str = "", end: str = "9999", modalidades: Iterable[int] | None = None
    ) -> list[R]:
        """Records whose stamp lies in `start`..`end`, ends included, in order of stamp.

        A stamp that is a day lies there with any part of the day.
        """
        wanted = None if modalidades is None else set(modalidades)
        found = [
            record
            for record in self.records.values()
            if start[: len(record.stamp(criterio))] <= record.stamp(criterio) <= end
            and (wanted is None or record.modalidade in wanted)
        ]
        return sorted(found, key=lambda record: (record.stamp(criterio), record.numero_controle_pncp))

    def add(self, record: R) -> None:
        """Take in a record, replacing the one with the same control number."""
        known = self.records.get(record.numero_controle_pncp)
        if known is not None:
            self._before[known.numero_controle_pncp] = known
            self.drop(known.numero_controle_pncp)
        self._insert([record])

    def drop(self, key: str) -> None:
        """Take a record out; KeyError where there is none."""
        record = self.records.pop(key)
        for criterio in self._by_day:
            self._days[_place(record, criterio)].remove(record)
        self._listings.clear()

    def _insert(self, records: Iterable[R]) -> None:
        for record in records:
            self._records[record.numero_controle_pncp] = record
            for criterio in self._by_day:
                place = _place(record, criterio)
                self._days.setdefault(place, []).append(record)
                self._unsorted.add(place)
        self._listings.clear()

    def _of_days(self, query: Query) -> Iterator[R]:
        for offset in range((query.last_day - query.first_day).days + 1):
            day = (query.first_day + timedelta(days=offset)).isoformat()
            yield from self._day((query.criterio, query.modalidade, day))

    def _in_force(self, query: Query) -> list[R]:
        first_day, last_day = query.first_day.isoformat(), query.last_day.isoformat()
        found = [record for record in self._records.values() if record.in_force(first_day, last_day)]
        return sorted(found, key=lambda record: (record.stamp(query.criterio), record.numero_controle_pncp))

    def _day(self, place: Place) -> list[R]:
        records = self._days.get(place, [])
        if place in self._unsorted:
            criterio = place[0]
            records.sort(key=lambda record: (record.stamp(criterio), record.numero_controle_pncp))
            self._unsorted.discard(place)
        return records


def _place(record: Record, criterio: Criterio) -> Place:
    return criterio, record.modalidade, record.stamp(criterio)[:10]
