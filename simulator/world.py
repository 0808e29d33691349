"""The records of the simulated portal, and how they change."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from simulator import domains
from simulator.invention import Inventor, invent_item, times_of_day
from simulator.invention_children import ChildInventor
from simulator.invention_contratos import ContratoInventor
from simulator.records import (
    STAMP,
    ChildKey,
    Contratacao,
    Contrato,
    Record,
    decode_json,
    encode_json,
    merged,
    without,
)
from simulator.resources import CONTRATACOES, CONTRATOS, Criterio
from simulator.store import Query, Store

BRASILIA: Final = ZoneInfo("America/Sao_Paulo")
_NO_MODALIDADE: Final = "contratos are not divided by modalidade"
_ITEM_CACHE: Final = 256  # contratações whose items stay made


def brasilia_now() -> datetime:
    """The wall clock of Brasília, to the second, without an offset: the portal's own way of telling time."""
    return datetime.now(BRASILIA).replace(microsecond=0, tzinfo=None)


class World:
    """All records of the portal, contratações with their items and contratos. Nothing here knows HTTP.

    `seed` decides what is invented later on; `now` is a callable that gives Brasília wall clock without offset. Its
    length, `keys` and `item_count` are those of the contratações. Where a method takes `which`, that is how many
    records of `resource`, drawn at random, or control numbers of any resource.
    """

    def __init__(self, inventor: Inventor, *, now: Callable[[], datetime] = brasilia_now) -> None:
        self.inventor = inventor
        self.contrato_inventor = ContratoInventor(inventor)
        # None where children are recorded: what is not among the recordings is not there.
        self.child_inventor: ChildInventor | None = ChildInventor(self.contrato_inventor)
        self.now = now
        self.first_day: date | None = None
        self.last_day: date | None = None
        self.contratacoes = Store[Contratacao](CONTRATACOES, inventor.record)
        self.contratos = Store[Contrato](CONTRATOS, self.contrato_inventor.record)
        self._stores: dict[str, Store[Any]] = {"contratacoes": self.contratacoes, "contratos": self.contratos}
        self._random = random.Random(f"{inventor.seed}/changes")
        self._contratos_random = random.Random(f"{inventor.seed}/contratos/changes")
        self._items: dict[str, list[bytes]] = {}
        self._given: dict[ChildKey, list[bytes]] = {}
        self._given_later: Callable[[], Mapping[ChildKey, list[bytes]]] | None = None

    def __len__(self) -> int:
        return len(self.contratacoes.records)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key) is not None

    # What is there

    @property
    def keys(self) -> list[str]:
        """The control numbers of all contratações."""
        return list(self.contratacoes.records)

    @property
    def item_count(self) -> int:
        """The items of all contratações."""
        return sum(record.item_count for record in self.contratacoes.records.values())

    def store(self, resource: str) -> Store[Any]:
        """The records of a resource; ValueError where there is none of that name."""
        if resource not in self._stores:
            raise ValueError(f"resource is one of {', '.join(self._stores)}, not {resource!r}")
        return self._stores[resource]

    def get(self, key: str) -> Record | None:
        """The record with control number `key`, of any resource."""
        found = (store.records.get(key) for store in self._stores.values())
        return next((record for record in found if record is not None), None)

    def before(self, record: Record) -> Record:
        """The version that a change has replaced; `record` itself where there was none."""
        before: Record = self.store(record.resource.name).before(record)
        return before

    def record(self, key: str) -> dict[str, Any]:
        """The JSON object of one record, freshly parsed, fractions as Decimal; KeyError where there is none."""
        parsed: dict[str, Any] = decode_json(self.payload(self._known(key)))
        return parsed

    def payload(self, record: Record) -> bytes:
        """The JSON bytes of one record, as every listing serves them."""
        if record.payload is None:
            record.payload = orjson.dumps(self.store(record.resource.name).invent(record))
        return record.payload

    def items(self, key: str) -> list[bytes]:
        """The JSON bytes of the items of a contratação, by `numeroItem`; KeyError where there is none."""
        record = self.contratacoes.records[key]
        if record.itens is not None:
            return record.itens
        made = self._items.get(key)
        if made is None:
            if len(self._items) >= _ITEM_CACHE:
                self._items.clear()
            made = self._items[key] = self.inventor.items(record)
        return made

    @property
    def given_children(self) -> dict[ChildKey, list[bytes]]:
        """The JSON bytes of children that were recorded or put by hand, by what they hang on; others are invented."""
        if self._given_later is not None:
            made = self._given_later()  # if this fails, it fails again the next time, and nothing looks empty
            self._given_later = None
            self._given = {**made, **self._given}
        return self._given

    def give_children_later(self, make: Callable[[], Mapping[ChildKey, list[bytes]]]) -> None:
        """Have no children but those that `make` returns when any are first asked for, and those put by hand."""
        self.child_inventor = None
        self._given_later = make

    def listing(self, query: Query) -> Sequence[Record]:
        """The records of a listing in its order: ascending by its stamp, ties by control number."""
        listing: Sequence[Record] = self.store(query.resource).listing(query)
        return listing

    def page(self, query: Query, page: int, size: int) -> list[bytes]:
        """The JSON bytes of the records on one page, 1-based, of `size` records."""
        return [self.payload(record) for record in self.listing(query)[(page - 1) * size : page * size]]

    def select(
        self, criterio: Criterio, start: str = "", end: str = "9999", modalidades: Iterable[int] | None = None
    ) -> list[Contratacao]:
        """The truth for a window of contratações, as `Store.select` says."""
        return self.contratacoes.select(criterio, start, end, modalidades)

    # How it changes

    def add(self, records: Iterable[Record]) -> None:
        """Take in records, replacing those with the same control number."""
        for record in records:
            self.store(record.resource.name).add(record)
            self._items.pop(record.numero_controle_pncp, None)
            day = date.fromisoformat(record.publicacao[:10])
            self.first_day = min(self.first_day or day, day)
            self.last_day = max(self.last_day or day, day)

    def publish(
        self,
        count: int = 1,
        *,
        at: datetime | date | str | None = None,
        modalidade: int | None = None,
        resource: str = "contratacoes",
    ) -> list[str]:
        """Add `count` invented records; their control numbers.

        `at` is when they are published: now if left out, a datetime or a whole stamp for that second, a date (or
        `YYYY-MM-DD`) for times spread over that day. Records of earlier days may have been updated since; those of now
        have not. `modalidade` is for contratações.
        """
        self.store(resource)  # refuses what is no resource
        made: Sequence[Record]
        if resource == "contratos":
            if modalidade is not None:
                raise ValueError(_NO_MODALIDADE)
            published, until = self._moments(self._contratos_random, count, at, domains.HOURS_CONTRATOS)
            made = self._new_contratos(published, until)
        else:
            published, until = self._moments(self._random, count, at, domains.HOURS_CONTRATACOES)
            if modalidade is None:
                modalidades = self._random.choices(list(domains.WEIGHTS), list(domains.WEIGHTS.values()), k=count)
            else:
                modalidades = [modalidade] * count
            made = self.inventor.contratacoes(self._random, published, modalidades, until)
        self.add(made)
        return [record.numero_controle_pncp for record in made]

    def _new_contratos(self, published: Sequence[datetime], until: datetime) -> list[Contrato]:
        self.contratos.fill()  # first, so that those have the same numbers whatever is published
        compras = list(self.contratacoes.records.values())
        return self.contrato_inventor.contratos(self._contratos_random, published, compras, until)

    def _moments(
        self, rng: random.Random, count: int, at: datetime | date | str | None, hours: Mapping[int, int]
    ) -> tuple[list[datetime], datetime]:
        """When `count` records are published, and until when they may have been updated."""
        moment = datetime.fromisoformat(at) if isinstance(at, str) and "T" in at else at
        now = self.now()
        if moment is None or isinstance(moment, datetime):
            return [moment or now] * count, moment or now
        day = moment if isinstance(moment, date) else date.fromisoformat(moment)
        midnight = datetime.combine(day, datetime.min.time())
        published = [midnight + time for time in times_of_day(rng, count, hours)]
        return published, max(now, *published, midnight)

    def touch(
        self, which: int | Iterable[str] = 1, *, at: datetime | None = None, resource: str = "contratacoes"
    ) -> list[str]:
        """Change records as results, termos and corrections do: their control numbers.

        dataAtualizacaoGlobal becomes `at` (now if left out). Of a contratação valorTotalHomologado moves, and so does
        the situação (then with dataAtualizacao, being the header's) or one item; of a contrato either nothing more, as
        with a document, or valorGlobal and numeroRetificacao with dataAtualizacao.
        """
        stamp = (at or self.now()).isoformat()
        touched = self._choose(which, resource)
        for key in touched:
            record = self._known(key)
            changed = replace(record, atualizacao_global=stamp)
            parsed = self.record(key) | {"dataAtualizacaoGlobal": stamp}
            if isinstance(changed, Contratacao):
                parsed |= self._touch_contratacao(changed, stamp)
            elif self._contratos_random.random() < 0.5:  # noqa: PLR2004
                changed.atualizacao = stamp
                parsed |= {
                    "valorGlobal": round(self._contratos_random.uniform(100, 1_000_000), 4),
                    "numeroRetificacao": _integer(parsed, "numeroRetificacao", 0) + 1,
                    "dataAtualizacao": stamp,
                }
            changed.payload = encode_json(parsed)
            self.add([changed])
        return touched

    def _touch_contratacao(self, changed: Contratacao, stamp: str) -> dict[str, Any]:
        """What changes in the JSON of a contratação; its items and stamps are changed in place."""
        over: dict[str, Any] = {"valorTotalHomologado": round(self._random.uniform(100, 1_000_000), 2)}
        items = self.items(changed.numero_controle_pncp)
        if items and self._random.random() < 0.7:  # noqa: PLR2004 - results come in more often than headers change
            changed.itens = self._homologate(items, stamp)
            return over
        situacao = self._random.choice((2, 3, 4))
        changed.atualizacao = stamp
        return over | {
            "situacaoCompraId": situacao,
            "situacaoCompraNome": domains.SITUACOES[situacao],
            "dataAtualizacao": stamp,
        }

    def lose_item(self, which: int | Iterable[str] = 1) -> list[str]:
        """Change contratações by taking an item away, of those that have several: the control numbers of those
        changed.
        """
        stamp = self.now().isoformat()
        touched = []
        for key in self._choose(which, "contratacoes"):
            record = self._known(key)
            if not isinstance(record, Contratacao) or record.item_count <= 1:
                continue
            items = list(self.items(key))
            items.pop(self._random.randrange(len(items)))
            parsed = self.record(key) | {"dataAtualizacaoGlobal": stamp}
            lessened = replace(
                record, atualizacao_global=stamp, itens=items, item_count=len(items), payload=encode_json(parsed)
            )
            self.add([lessened])
            touched.append(key)
        return touched

    def remove(self, which: int | Iterable[str] = 1, *, resource: str = "contratacoes") -> list[str]:
        """Make records vanish, as the portal does, without a trace: their control numbers."""
        gone = self._choose(which, resource)
        for key in gone:
            self.store(self._known(key).resource.name).drop(key)
            self._items.pop(key, None)
            for children in [each for each in self.given_children if each.key == key]:
                del self.given_children[children]
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
        resource: str = "contratacoes",
        **keys: Any,
    ) -> str:
        """Place a hand-made record of `resource` and return its control number.

        A record is invented (or, where one with the same `numeroControlePNCP` exists, that one is taken), then `record`
        and `keys` are laid over it, objects within objects key by key, and the keys in `delete` are taken out. The
        stamps (`YYYY-MM-DDTHH:MM:SS`, each by default equal to the one before it, the first to now) and `modalidade`
        (default 6) say in which listings it stands even if its JSON says otherwise. `items` is how many, or the items,
        each laid over an invented one; default 1. `numeroControlePNCP`, `orgaoEntidade.cnpj`, the year and the
        sequence (`anoCompra` and `sequencialCompra`, `anoContrato` and `sequencialContrato`) follow from each other
        unless all are given. `modalidade` and `items` are for contratações.
        """
        store = self.store(resource)
        if resource == "contratos" and (modalidade is not None or items is not None):
            raise ValueError(_NO_MODALIDADE if items is None else "contratos have no items")
        over = merged(record or {}, keys)
        head = self._head(store, over, (data_publicacao, data_atualizacao, data_atualizacao_global), modalidade)
        known = store.records.get(head.numero_controle_pncp)
        base = store.invent(head) if known is None else self.record(head.numero_controle_pncp)
        identity: dict[str, Any] = {
            "numeroControlePNCP": head.numero_controle_pncp,
            store.resource.year_key: head.ano,
            store.resource.sequence_key: head.sequencial,
            "orgaoEntidade": {"cnpj": head.cnpj},
        }
        if isinstance(head, Contratacao):
            identity |= {
                "modalidadeId": head.modalidade,
                "modalidadeNome": domains.MODALIDADES.get(head.modalidade, "Outra"),
                "dataInclusao": head.publicacao,
            }
        identity |= {
            "dataPublicacaoPncp": head.publicacao,
            "dataAtualizacao": head.atualizacao,
            "dataAtualizacaoGlobal": head.atualizacao_global,
        }
        full = without(merged(merged(base, identity), over), delete)
        head.payload = encode_json(full)
        read_head(head, full)
        if isinstance(head, Contratacao):
            self._put_items(head, known, items)
        self.add([head])
        return head.numero_controle_pncp

    # Parts of the above

    def _known(self, key: str) -> Record:
        record = self.get(key)
        if record is None:
            raise KeyError(f"no record {key}")
        return record

    def _head(
        self,
        store: Store[Any],
        over: Mapping[str, Any],
        stamps: tuple[str | None, str | None, str | None],
        modalidade: int | None,
    ) -> Record:
        """Where a hand-made record stands: from the arguments, else from well-formed JSON, else from the record it
        replaces.
        """
        resource = store.resource
        given = resource.key_form.fullmatch(str(over.get("numeroControlePNCP")))
        known: Record | None = store.records.get(given[0]) if given else None
        publicacao, atualizacao, atualizacao_global = stamps
        stamp = (
            publicacao or _stamp(over, "dataPublicacaoPncp") or (known.publicacao if known else self.now().isoformat())
        )
        if resource is CONTRATACOES:
            in_json = over.get("modalidadeId")
            modalidade = modalidade or (in_json if type(in_json) is int else None) or (known.modalidade if known else 6)
        head = known and replace(known)
        if head is None:
            head = self._new_head(datetime.fromisoformat(stamp), modalidade)
            cnpj = over.get("orgaoEntidade")
            cnpj = cnpj.get("cnpj") if isinstance(cnpj, Mapping) else None
            head.cnpj = given[1] if given else cnpj if isinstance(cnpj, str) else head.cnpj
            head.sequencial = int(given[2]) if given else _integer(over, resource.sequence_key, head.sequencial)
            head.ano = int(given[3]) if given else _integer(over, resource.year_key, head.ano)
            head.numero_controle_pncp = given[0] if given else resource.key(head.cnpj, head.sequencial, head.ano)
        head.modalidade = modalidade
        head.publicacao = stamp
        head.atualizacao = atualizacao or _stamp(over, "dataAtualizacao") or (known.atualizacao if known else stamp)
        head.atualizacao_global = (
            atualizacao_global
            or _stamp(over, "dataAtualizacaoGlobal")
            or (known.atualizacao_global if known else head.atualizacao)
        )
        return head

    def _new_head(self, moment: datetime, modalidade: int | None) -> Record:
        if modalidade is None:
            return self._new_contratos([moment], moment)[0]
        return self.inventor.contratacoes(self._random, [moment], [modalidade], moment)[0]

    def _put_items(
        self, head: Contratacao, known: Contratacao | None, items: int | Sequence[Mapping[str, Any]] | None
    ) -> None:
        if items is None and known is not None:
            head.itens, head.item_count = self.items(head.numero_controle_pncp), known.item_count
            return
        overs = [{} for _ in range(items)] if isinstance(items, int) else [{}] if items is None else items
        head.itens = [
            encode_json(merged(invent_item(random.Random(head.seed + number), head, number), item))
            for number, item in enumerate(overs, start=1)
        ]
        head.item_count = len(head.itens)

    def _choose(self, which: int | Iterable[str], resource: str = "contratacoes") -> list[str]:
        if isinstance(which, int):
            records = self.store(resource).records
            rng = self._random if resource == "contratacoes" else self._contratos_random
            return rng.sample(list(records), min(which, len(records)))
        chosen = list(which)
        for key in chosen:
            self._known(key)
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


def read_head(head: Record, record: Mapping[str, Any]) -> None:
    """Set what listings and filters look at from the JSON object; what is missing or ill-typed there stays."""
    unidade = record.get("unidadeOrgao")
    if isinstance(unidade, Mapping):
        head.uf = str(unidade.get("ufSigla", head.uf))
        head.codigo_ibge = str(unidade.get("codigoIbge", head.codigo_ibge))
        head.codigo_unidade = str(unidade.get("codigoUnidade", head.codigo_unidade))
    if isinstance(head, Contratacao):
        head.modo_disputa = _integer(record, "modoDisputaId", head.modo_disputa)
    elif isinstance(head, Contrato):
        head.compra = str(record.get("numeroControlePncpCompra", head.compra))


def _stamp(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    return value if isinstance(value, str) and STAMP.fullmatch(value) else None


def _integer(record: Mapping[str, Any], key: str, default: int) -> int:
    value = record.get(key)
    return value if type(value) is int else default
