"""The records of the simulated portal, the listings made of them, and how they change."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from simulator import domains
from simulator.invention import Inventor, invent_item, times_of_day
from simulator.records import (
    CONTROL_NUMBER,
    CRITERIOS,
    STAMP,
    Contratacao,
    Criterio,
    control_number,
    decode_json,
    encode_json,
    merged,
    without,
)

BRASILIA: Final = ZoneInfo("America/Sao_Paulo")
_ITEM_CACHE: Final = 256  # contratações whose items stay made


def brasilia_now() -> datetime:
    """The wall clock of Brasília, to the second, without an offset: the portal's own way of telling time."""
    return datetime.now(BRASILIA).replace(microsecond=0, tzinfo=None)


@dataclass(frozen=True, slots=True)
class Filters:
    """The optional parameters of a listing; None where not asked for."""

    uf: str | None = None
    codigo_ibge: str | None = None
    cnpj: str | None = None
    codigo_unidade: str | None = None
    modo_disputa: int | None = None

    def accept(self, record: Contratacao) -> bool:
        """Whether a listing with these parameters holds `record`."""
        return (
            (self.uf is None or record.uf == self.uf)
            and (self.codigo_ibge is None or record.codigo_ibge == self.codigo_ibge)
            and (self.cnpj is None or record.cnpj == self.cnpj)
            and (self.codigo_unidade is None or record.codigo_unidade == self.codigo_unidade)
            and (self.modo_disputa is None or record.modo_disputa == self.modo_disputa)
        )


NO_FILTERS: Final = Filters()


@dataclass(frozen=True, slots=True)
class Query:
    """One listing: what it filters on, and its days, both included."""

    criterio: Criterio
    modalidade: int
    first_day: date
    last_day: date
    filters: Filters = NO_FILTERS


class World:
    """All contratações and their items. Every change keeps the listings in order; nothing here knows HTTP.

    `seed` decides what is invented later on; `now` is a callable that gives Brasília wall clock without offset.
    """

    def __init__(self, inventor: Inventor, *, now: Callable[[], datetime] = brasilia_now) -> None:
        self.inventor = inventor
        self.now = now
        self.first_day: date | None = None
        self.last_day: date | None = None
        self._random = random.Random(f"{inventor.seed}/changes")
        self._records: dict[str, Contratacao] = {}
        self._days: dict[tuple[Criterio, int, str], list[Contratacao]] = {}
        self._unsorted: set[tuple[Criterio, int, str]] = set()
        self._listings: dict[Query, list[Contratacao]] = {}
        self._items: dict[str, list[bytes]] = {}
        self._before: dict[str, Contratacao] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: object) -> bool:
        return key in self._records

    # What is there

    @property
    def keys(self) -> list[str]:
        """The control numbers of all records."""
        return list(self._records)

    @property
    def item_count(self) -> int:
        """The items of all records."""
        return sum(record.item_count for record in self._records.values())

    def get(self, key: str) -> Contratacao | None:
        """The record with control number `key`."""
        return self._records.get(key)

    def before(self, record: Contratacao) -> Contratacao:
        """The version that a change has replaced; `record` itself where there was none."""
        return self._before.get(record.numero_controle_pncp, record)

    def record(self, key: str) -> dict[str, Any]:
        """The JSON object of one record, freshly parsed, fractions as Decimal; KeyError where there is none."""
        parsed: dict[str, Any] = decode_json(self.payload(self._records[key]))
        return parsed

    def payload(self, record: Contratacao) -> bytes:
        """The JSON bytes of one record, as every listing serves them."""
        if record.payload is None:
            record.payload = orjson.dumps(self.inventor.record(record))
        return record.payload

    def items(self, key: str) -> list[bytes]:
        """The JSON bytes of the items of one record, by `numeroItem`; KeyError where there is no such record."""
        record = self._records[key]
        if record.itens is not None:
            return record.itens
        made = self._items.get(key)
        if made is None:
            if len(self._items) >= _ITEM_CACHE:
                self._items.clear()
            made = self._items[key] = self.inventor.items(record)
        return made

    def listing(self, query: Query) -> Sequence[Contratacao]:
        """The records of a listing in its order: ascending by its stamp, ties by control number."""
        found = self._listings.get(query)
        if found is None:
            found = []
            for offset in range((query.last_day - query.first_day).days + 1):
                day = (query.first_day + timedelta(days=offset)).isoformat()
                found += filter(query.filters.accept, self._day((query.criterio, query.modalidade, day)))
            self._listings[query] = found
        return found

    def page(self, query: Query, page: int, size: int) -> list[bytes]:
        """The JSON bytes of the records on one page, 1-based, of `size` records."""
        return [self.payload(record) for record in self.listing(query)[(page - 1) * size : page * size]]

    def select(
        self, criterio: Criterio, start: str = "", end: str = "9999", modalidades: Iterable[int] | None = None
    ) -> list[Contratacao]:
        """The truth for a window: records whose stamp lies in `start`..`end`, ends included, in order of stamp."""
        wanted = None if modalidades is None else set(modalidades)
        found = [
            record
            for record in self._records.values()
            if start <= record.stamp(criterio) <= end and (wanted is None or record.modalidade in wanted)
        ]
        return sorted(found, key=lambda record: (record.stamp(criterio), record.numero_controle_pncp))

    # How it changes

    def add(self, records: Iterable[Contratacao]) -> None:
        """Take in records, replacing those with the same control number."""
        for record in records:
            if record.numero_controle_pncp in self._records:
                self._before[record.numero_controle_pncp] = self._records[record.numero_controle_pncp]
                self._drop(record.numero_controle_pncp)
            self._records[record.numero_controle_pncp] = record
            for criterio in CRITERIOS:
                place = (criterio, record.modalidade, record.stamp(criterio)[:10])
                self._days.setdefault(place, []).append(record)
                self._unsorted.add(place)
            day = date.fromisoformat(record.publicacao[:10])
            self.first_day = min(self.first_day or day, day)
            self.last_day = max(self.last_day or day, day)
        self._listings.clear()

    def publish(
        self, count: int = 1, *, at: datetime | date | str | None = None, modalidade: int | None = None
    ) -> list[str]:
        """Add `count` invented records; their control numbers.

        `at` is when they are published: now if left out, a datetime or a whole stamp for that second, a date (or
        `YYYY-MM-DD`) for times spread over that day. Records of earlier days may have been updated since; those of now
        have not.
        """
        moment = datetime.fromisoformat(at) if isinstance(at, str) and "T" in at else at
        now = self.now()
        if moment is None or isinstance(moment, datetime):
            published = [moment or now] * count
            until = moment or now
        else:
            day = moment if isinstance(moment, date) else date.fromisoformat(moment)
            midnight = datetime.combine(day, datetime.min.time())
            published = [midnight + time for time in times_of_day(self._random, count)]
            until = max(now, *published, midnight)
        if modalidade is None:
            modalidades = self._random.choices(list(domains.WEIGHTS), list(domains.WEIGHTS.values()), k=count)
        else:
            modalidades = [modalidade] * count
        made = self.inventor.contratacoes(self._random, published, modalidades, until)
        self.add(made)
        return [record.numero_controle_pncp for record in made]

    def touch(self, which: int | Iterable[str] = 1, *, at: datetime | None = None) -> list[str]:
        """Change records as results and corrections do: their control numbers.

        `which` is how many, drawn at random, or the control numbers. dataAtualizacaoGlobal becomes `at` (now if left
        out), and valorTotalHomologado moves, and so does the situação (then with dataAtualizacao, being the header's)
        or one item.
        """
        stamp = (at or self.now()).isoformat()
        touched = self._choose(which)
        for key in touched:
            record = self._records[key]
            parsed = self.record(key)
            parsed["dataAtualizacaoGlobal"] = stamp
            parsed["valorTotalHomologado"] = round(self._random.uniform(100, 1_000_000), 2)
            changed = replace(record, atualizacao_global=stamp)
            items = self.items(key)
            if items and self._random.random() < 0.7:  # noqa: PLR2004 - results come in more often than headers change
                changed.itens = self._homologate(items, stamp)
            else:
                situacao = self._random.choice((2, 3, 4))
                parsed |= {"situacaoCompraId": situacao, "situacaoCompraNome": domains.SITUACOES[situacao]}
                parsed["dataAtualizacao"] = changed.atualizacao = stamp
            changed.payload = encode_json(parsed)
            self.add([changed])
        return touched

    def lose_item(self, which: int | Iterable[str] = 1) -> list[str]:
        """Change records by taking an item away, of those that have several: the control numbers of those changed."""
        stamp = self.now().isoformat()
        touched = [key for key in self._choose(which) if self._records[key].item_count > 1]
        for key in touched:
            record, items = self._records[key], list(self.items(key))
            items.pop(self._random.randrange(len(items)))
            parsed = self.record(key) | {"dataAtualizacaoGlobal": stamp}
            self.add(
                [
                    replace(
                        record,
                        atualizacao_global=stamp,
                        itens=items,
                        item_count=len(items),
                        payload=encode_json(parsed),
                    )
                ]
            )
        return touched

    def remove(self, which: int | Iterable[str] = 1) -> list[str]:
        """Make records vanish, as the portal does, without a trace: their control numbers."""
        gone = self._choose(which)
        for key in gone:
            self._drop(key)
        self._listings.clear()
        return gone

    def put(
        self,
        *,
        data_publicacao: str | None = None,
        data_atualizacao: str | None = None,
        data_atualizacao_global: str | None = None,
        modalidade: int | None = None,
        items: int | Sequence[Mapping[str, Any]] | None = None,
        record: Mapping[str, Any] | None = None,
        delete: Iterable[str] = (),
        **keys: Any,
    ) -> str:
        """Place a hand-made record and return its control number.

        A record is invented (or, where one with the same `numeroControlePNCP` exists, that one is taken), then `record`
        and `keys` are laid over it, objects within objects key by key, and the keys in `delete` are taken out. The
        stamps (`YYYY-MM-DDTHH:MM:SS`, each by default equal to the one before it, the first to now) and `modalidade`
        (default 6) say in which listings it stands even if its JSON says otherwise. `items` is how many, or the items,
        each laid over an invented one; default 1. `numeroControlePNCP`, `orgaoEntidade.cnpj`, `anoCompra` and
        `sequencialCompra` follow from each other unless all are given.
        """
        over = merged(record or {}, keys)
        head = self._head(over, data_publicacao, data_atualizacao, data_atualizacao_global, modalidade)
        known = self._records.get(head.numero_controle_pncp)
        base = self.inventor.record(head) if known is None else self.record(head.numero_controle_pncp)
        identity = {
            "numeroControlePNCP": head.numero_controle_pncp,
            "anoCompra": head.ano,
            "sequencialCompra": head.sequencial,
            "orgaoEntidade": {"cnpj": head.cnpj},
            "modalidadeId": head.modalidade,
            "modalidadeNome": domains.MODALIDADES.get(head.modalidade, "Outra"),
            "dataInclusao": head.publicacao,
            "dataPublicacaoPncp": head.publicacao,
            "dataAtualizacao": head.atualizacao,
            "dataAtualizacaoGlobal": head.atualizacao_global,
        }
        full = without(merged(merged(base, identity), over), delete)
        head.payload = encode_json(full)
        read_filters(head, full)
        if items is None and known is not None:
            head.itens, head.item_count = self.items(head.numero_controle_pncp), known.item_count
        else:
            overs = [{} for _ in range(items)] if isinstance(items, int) else [{}] if items is None else items
            head.itens = [
                encode_json(merged(invent_item(random.Random(head.seed + number), head, number), item))
                for number, item in enumerate(overs, start=1)
            ]
            head.item_count = len(head.itens)
        self.add([head])
        return head.numero_controle_pncp

    # Parts of the above

    def _head(
        self,
        over: Mapping[str, Any],
        publicacao: str | None,
        atualizacao: str | None,
        atualizacao_global: str | None,
        modalidade: int | None,
    ) -> Contratacao:
        """Where a hand-made record stands: from the arguments, else from well-formed JSON, else from the record it
        replaces.
        """
        given = CONTROL_NUMBER.fullmatch(str(over.get("numeroControlePNCP")))
        known = self._records.get(given[0]) if given else None
        stamp = (
            publicacao or _stamp(over, "dataPublicacaoPncp") or (known.publicacao if known else self.now().isoformat())
        )
        moment = datetime.fromisoformat(stamp)
        in_json = over.get("modalidadeId")
        modalidade = modalidade or (in_json if type(in_json) is int else None) or (known.modalidade if known else 6)
        head = known and replace(known, itens=None)
        if head is None:
            head = self.inventor.contratacoes(self._random, [moment], [modalidade], moment)[0]
            cnpj = over.get("orgaoEntidade")
            cnpj = cnpj.get("cnpj") if isinstance(cnpj, Mapping) else None
            head.cnpj = given[1] if given else cnpj if isinstance(cnpj, str) else head.cnpj
            head.sequencial = int(given[2]) if given else _integer(over, "sequencialCompra", head.sequencial)
            head.ano = int(given[3]) if given else _integer(over, "anoCompra", head.ano)
            head.numero_controle_pncp = given[0] if given else control_number(head.cnpj, head.sequencial, head.ano)
        head.modalidade = modalidade
        head.publicacao = stamp
        head.atualizacao = atualizacao or _stamp(over, "dataAtualizacao") or (known.atualizacao if known else stamp)
        head.atualizacao_global = (
            atualizacao_global
            or _stamp(over, "dataAtualizacaoGlobal")
            or (known.atualizacao_global if known else head.atualizacao)
        )
        return head

    def _day(self, place: tuple[Criterio, int, str]) -> list[Contratacao]:
        records = self._days.get(place, [])
        if place in self._unsorted:
            criterio = place[0]
            records.sort(key=lambda record: (record.stamp(criterio), record.numero_controle_pncp))
            self._unsorted.discard(place)
        return records

    def _drop(self, key: str) -> None:
        record = self._records.pop(key)
        self._items.pop(key, None)
        for criterio in CRITERIOS:
            self._days[criterio, record.modalidade, record.stamp(criterio)[:10]].remove(record)

    def _choose(self, which: int | Iterable[str]) -> list[str]:
        if isinstance(which, int):
            return self._random.sample(list(self._records), min(which, len(self._records)))
        chosen = list(which)
        unknown = [key for key in chosen if key not in self._records]
        if unknown:
            raise KeyError(f"no contratação {unknown[0]}")
        return chosen

    def _homologate(self, items: list[bytes], stamp: str) -> list[bytes]:
        """`items` with the result of one of them published at `stamp`."""
        index = self._random.randrange(len(items))
        item = decode_json(items[index])
        item |= {
            "situacaoCompraItem": 2,
            "situacaoCompraItemNome": domains.SITUACOES_ITEM[2],
            "temResultado": True,
            "dataAtualizacao": stamp,
        }
        return [*items[:index], encode_json(item), *items[index + 1 :]]


def read_filters(head: Contratacao, record: Mapping[str, Any]) -> None:
    """Set what the optional filters of a listing look at from the JSON object; what is missing or ill-typed there
    stays.
    """
    unidade = record.get("unidadeOrgao")
    if isinstance(unidade, Mapping):
        head.uf = str(unidade.get("ufSigla", head.uf))
        head.codigo_ibge = str(unidade.get("codigoIbge", head.codigo_ibge))
        head.codigo_unidade = str(unidade.get("codigoUnidade", head.codigo_unidade))
    head.modo_disputa = _integer(record, "modoDisputaId", head.modo_disputa)


def _stamp(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    return value if isinstance(value, str) and STAMP.fullmatch(value) else None


def _integer(record: Mapping[str, Any], key: str, default: int) -> int:
    value = record.get(key)
    return value if type(value) is int else default
