"""The records of the simulated portal, and how they change."""

import itertools
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from simulator import domains
from simulator.invention import Inventor, invent_item, times_of_day
from simulator.invention_atas import AtaInventor, touch_ata
from simulator.invention_children import ChildInventor
from simulator.invention_contratos import ContratoInventor, touch_contrato
from simulator.invention_instrumentos import InstrumentoInventor, touch_instrumento
from simulator.invention_pcas import PcaInventor, consolidated, listed_item, listed_order, touch_items
from simulator.records import (
    DAY,
    STAMP,
    Ata,
    ChildKey,
    Contratacao,
    Contrato,
    Instrumento,
    Pca,
    PlanItem,
    Record,
    decode_json,
    encode_json,
    merged,
    without,
)
from simulator.resources import ATAS, CONTRATACOES, CONTRATOS, INSTRUMENTOS_COBRANCA, PCAS, Criterio, Resource
from simulator.store import Query, Store
from simulator.tables import Tables

BRASILIA: Final = ZoneInfo("America/Sao_Paulo")
_ITEM_CACHE: Final = 256  # contratações whose items stay made


def brasilia_now() -> datetime:
    """The wall clock of Brasília, to the second, without an offset: the portal's own way of telling time."""
    return datetime.now(BRASILIA).replace(microsecond=0, tzinfo=None)


Row = Record | PlanItem


class World:
    """All records of the portal: contratações and plans with their items, contratos, atas, instrumentos de
    cobrança. Nothing here knows HTTP.

    `seed` decides what is invented later on; `now` is a callable that gives Brasília wall clock without offset. Its
    length, `keys` and `item_count` are those of the contratações. Where a method takes `which`, that is how many
    records of `resource`, drawn at random, or control numbers of any resource.
    """

    def __init__(self, inventor: Inventor, *, now: Callable[[], datetime] = brasilia_now) -> None:
        self.inventor = inventor
        self.contrato_inventor = ContratoInventor(inventor)
        self.ata_inventor = AtaInventor(inventor)
        self.pca_inventor = PcaInventor(inventor)
        self.instrumento_inventor = InstrumentoInventor(self.contrato_inventor)
        # None where children are recorded: what is not among the recordings is not there.
        self.child_inventor: ChildInventor | None = ChildInventor(self.contrato_inventor)
        self.now = now
        self.tables = Tables(now)
        self.first_day: date | None = None
        self.last_day: date | None = None
        self.contratacoes = Store[Contratacao](CONTRATACOES, inventor.record)
        self.contratos = Store[Contrato](CONTRATOS, self.contrato_inventor.record)
        self.atas = Store[Ata](ATAS, self.ata_inventor.record)
        self.pcas = Store[Pca](PCAS, self.pca_inventor.record)
        self.instrumentos_cobranca = Store[Instrumento](INSTRUMENTOS_COBRANCA, self.instrumento_inventor.record)
        self._stores: dict[str, Store[Any]] = {
            store.resource.name: store
            for store in (self.contratacoes, self.contratos, self.atas, self.pcas, self.instrumentos_cobranca)
        }
        self._random = random.Random(f"{inventor.seed}/changes")
        # Each resource draws from a stream of its own, so that it is the same whatever happens to the others.
        self._randoms = {name: random.Random(f"{inventor.seed}/{name}/changes") for name in self._stores}
        self._randoms["contratacoes"] = self._random
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
        # The form of the number tells where to look first; other resources may not have been made yet.
        stores = sorted(self._stores.values(), key=lambda store: store.resource.key_form.fullmatch(key) is None)
        found = (store.records.get(key) for store in stores)
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
        """The JSON bytes of one record, as every listing serves them; of a plan with all its items."""
        if isinstance(record, Pca):
            return self._plan(record, self.listed_items(record))
        return self._own_payload(record)

    def _own_payload(self, record: Record) -> bytes:
        if record.payload is None:
            made = self.store(record.resource.name).invent(record)
            # An instrumento may hold a contrato that was put by hand, with digits and more that orjson refuses.
            record.payload = encode_json(made) if isinstance(record, Instrumento) else orjson.dumps(made)
        return record.payload

    def _plan(self, plan: Pca, items: Sequence[bytes]) -> bytes:
        return b'{"itens":[' + b",".join(items) + b"]," + self._own_payload(plan)[1:]

    def items(self, key: str) -> list[bytes]:
        """The JSON bytes of the items of a contratação or of a plan, by `numeroItem`, as the integration service lists
        them; KeyError where there is none.
        """
        return self._items_of(self.contratacoes.records.get(key) or self.pcas.records[key])

    def _items_of(self, record: Contratacao | Pca) -> list[bytes]:
        if record.itens is not None:
            return record.itens
        made = self._items.get(record.numero_controle_pncp)
        if made is None:
            if len(self._items) >= _ITEM_CACHE:
                self._items.clear()
            made = self.pca_inventor.items(record) if isinstance(record, Pca) else self.inventor.items(record)
            self._items[record.numero_controle_pncp] = made
        return made

    def listed_items(self, plan: Pca) -> list[bytes]:
        """The items of a plan as the consulta service shows them, in its order."""
        if plan.listed is None:
            plan.listed = [listed_item(item) for item in sorted(self._items_of(plan), key=listed_order)]
        return plan.listed

    def consolidated(self, plan: Pca) -> dict[str, Any]:
        """What the integration service says of a whole plan."""
        unidade = self.inventor.orgaos[plan.orgao].unidades[plan.unidade]
        return consolidated(plan, self._own(plan), self._items_of(plan), unidade)

    @property
    def given_children(self) -> dict[ChildKey, list[bytes]]:
        """The JSON bytes of children that were recorded or put by hand, by what they hang on; others are invented."""
        if self._given_later is not None:
            made = self._given_later()  # if this fails, it fails again the next time, and nothing looks empty
            self._given_later = None
            self._given = {**made, **self._given}
        return self._given

    def give_children(self, children: ChildKey, rows: list[bytes]) -> None:
        """Have these children, as JSON bytes, in place of those that there are."""
        self.given_children[children] = rows

    def give_children_later(self, make: Callable[[], Mapping[ChildKey, list[bytes]]]) -> None:
        """Have no children but those that `make` returns when any are first asked for, and those put by hand."""
        self.child_inventor = None
        self._given_later = make

    def listing(self, query: Query) -> Sequence[Record]:
        """The records of a listing in its order: ascending by its stamp, ties by control number."""
        listing: Sequence[Record] = self.store(query.resource).listing(query)
        return listing

    def rows(self, query: Query) -> Sequence[Row]:
        """What the pages of a listing count: its records, or the items of its plans."""
        if query.resource == PCAS.name:
            return [PlanItem(plan, place) for plan in self.pcas.listing(query) for place in range(plan.item_count)]
        return self.listing(query)

    def render(self, rows: Sequence[Row]) -> list[bytes]:
        """The JSON bytes of rows. Items of one plan that follow each other are shown within that plan."""
        shown: list[bytes] = []
        for plan, group in itertools.groupby(rows, lambda row: row.plan if isinstance(row, PlanItem) else None):
            if plan is None:
                shown += [self.payload(row) for row in group if isinstance(row, Record)]
            else:
                items = self.listed_items(plan)
                shown.append(self._plan(plan, [items[row.place] for row in group if isinstance(row, PlanItem)]))
        return shown

    def page(self, query: Query, page: int, size: int) -> list[bytes]:
        """The JSON bytes of the rows on one page, 1-based, of `size` rows."""
        return self.render(self.rows(query)[(page - 1) * size : page * size])

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
        if modalidade is not None:
            self._refuse_modalidade(resource)
        rng = self._randoms[self.store(resource).resource.name]
        hours = domains.HOURS_CONTRATOS if resource == "contratos" else domains.HOURS_CONTRATACOES
        published, until = self._moments(rng, count, at, hours)
        if resource == "contratacoes":
            made: Sequence[Record] = self._new_contratacoes(published, modalidade, until)
        else:
            made = self._new(resource, published, until)
        self.add(made)
        return [record.numero_controle_pncp for record in made]

    def _new_contratacoes(
        self, published: list[datetime], modalidade: int | None, until: datetime
    ) -> list[Contratacao]:
        if modalidade is None:
            weights = list(domains.WEIGHTS.values())
            modalidades = self._random.choices(list(domains.WEIGHTS), weights, k=len(published))
        else:
            modalidades = [modalidade] * len(published)
        return self.inventor.contratacoes(self._random, published, modalidades, until)

    def _new(self, resource: str, published: Sequence[datetime], until: datetime) -> Sequence[Record]:
        """New records of a resource other than contratações."""
        self.store(resource).fill()  # first, so that those have the same numbers whatever is published
        compras = list(self.contratacoes.records.values())
        rng = self._randoms[resource]
        if resource == "instrumentos_cobranca":
            contratos = list(self.contratos.records.values())
            made = self.instrumento_inventor.instrumentos(rng, published, contratos)
            return made or [self.instrumento_inventor.absent(rng, at) for at in published]
        if resource == "pcas":
            return self.pca_inventor.pcas(rng, published, until)
        if resource == "contratos":
            return self.contrato_inventor.contratos(rng, published, compras, until)
        return [self._new_ata(rng, at, compras, until) for at in published]

    def _new_ata(self, rng: random.Random, at: datetime, compras: Sequence[Contratacao], until: datetime) -> Ata:
        made = self.ata_inventor.atas(rng, [at], compras, self._has_srp, until)
        return next(made, None) or self.ata_inventor.absent(rng, at)

    def _has_srp(self, compra: Contratacao) -> bool:
        return self.record(compra.numero_controle_pncp).get("srp") is True

    def _refuse_modalidade(self, resource: str) -> None:
        if self.store(resource).resource.division is None:
            raise ValueError(f"{resource} are not divided by modalidade")

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
        with a document, or valorGlobal and numeroRetificacao with dataAtualizacao. An ata is extended, corrected or
        cancelled, with dataAtualizacao. Of a plan one item changes, or none. An instrumento has no global stamp: its
        observacao changes, with dataAtualizacao.
        """
        moment = at or self.now()
        touched = self.choose(which, resource)
        for key in touched:
            record = self._known(key)
            stamp = moment.isoformat() if record.stamp_form is STAMP else moment.date().isoformat()
            changed = replace(record, atualizacao_global=stamp)
            global_key = record.resource.stamp_keys.get("atualizacao_global")
            parsed = self._own(record) | ({global_key: stamp} if global_key else {})
            changed.payload = encode_json(parsed | self._touch(changed, parsed, stamp))
            self.add([changed])
        return touched

    def _touch(self, changed: Record, parsed: Mapping[str, Any], stamp: str) -> dict[str, Any]:
        """What changes in the JSON of a record besides its global stamp; `changed` is changed in place."""
        if isinstance(changed, Contratacao):
            return self._touch_contratacao(changed, stamp)
        rng = self._randoms[changed.resource.name]
        if isinstance(changed, Instrumento):
            return touch_instrumento(changed, stamp)
        if isinstance(changed, Pca):
            # Made now, since items that are not kept follow from the stamps of their plan.
            changed.itens = touch_items(rng, self._items_of(changed), stamp)
            changed.listed = None
            return {}
        if isinstance(changed, Ata):
            return touch_ata(rng, changed, parsed, stamp)
        return touch_contrato(rng, changed, parsed, stamp)

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

    def lose_item(self, which: int | Iterable[str] = 1, *, resource: str = "contratacoes") -> list[str]:
        """Change contratações or plans by taking an item away, of those that have several: the control numbers of those
        changed.
        """
        stamp = self.now().isoformat()
        touched = []
        for key in self.choose(which, resource):
            record = self._known(key)
            if not isinstance(record, Contratacao | Pca) or record.item_count <= 1:
                continue
            items = list(self.items(key))
            items.pop(self._randoms[record.resource.name].randrange(len(items)))
            parsed = self._own(record) | {record.resource.stamp_keys["atualizacao_global"]: stamp}
            lessened = replace(
                record, atualizacao_global=stamp, itens=items, item_count=len(items), payload=encode_json(parsed)
            )
            if isinstance(lessened, Pca):
                lessened.listed = None
            self.add([lessened])
            touched.append(key)
        return touched

    def remove(self, which: int | Iterable[str] = 1, *, resource: str = "contratacoes") -> list[str]:
        """Make records vanish, as the portal does, without a trace: their control numbers."""
        gone = self.choose(which, resource)
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

        A record is invented (or, where one with the same control number exists, that one is taken), then `record`
        and `keys` are laid over it, objects within objects key by key, and the keys in `delete` are taken out. The
        stamps (`YYYY-MM-DDTHH:MM:SS`, each by default equal to the one before it, the first to now) and `modalidade`
        (default 6) say in which listings it stands even if its JSON says otherwise. `items` is how many, or the items,
        each laid over an invented one; default 1. `numeroControlePNCP`, `orgaoEntidade.cnpj`, the year and the
        sequence (`anoCompra` and `sequencialCompra`, `anoContrato` and `sequencialContrato`) follow from each other
        unless all are given. `modalidade` and `items` are for contratações, `items` for plans
        (`idPcaPncp`) too, with the keys of the integration service. An ata is found by `numeroControlePNCPAta`,
        a new one belongs to a contratação of the world with srp; of its stamps only the days count. An instrumento is
        found by `cnpj`, `ano`, `sequencialContrato` and `sequencialInstrumentoCobranca`, all four of them.
        """
        store = self.store(resource)
        if modalidade is not None:
            self._refuse_modalidade(resource)
        if items is not None and store not in (self.contratacoes, self.pcas):
            raise ValueError(f"{resource} have no items")
        over = merged(record or {}, keys)
        head = self._head(store, over, (data_publicacao, data_atualizacao, data_atualizacao_global), modalidade)
        known = store.records.get(head.numero_controle_pncp)
        base = store.invent(head) if known is None else self._own(known)
        full = without(merged(merged(base, head.identity()), over), delete)
        head.payload = encode_json(full)
        read_head(head, full)
        if isinstance(head, Contratacao | Pca):
            self._put_items(head, known, items)
        self.add([head])
        return head.numero_controle_pncp

    # Parts of the above

    def _own(self, record: Record) -> dict[str, Any]:
        """The JSON object of a record; of a plan without its items."""
        parsed: dict[str, Any] = decode_json(self._own_payload(record))
        return parsed

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
        given = resource.read_key(over)
        known: Record | None = store.records.get(given[0]) if given else None
        publicacao, atualizacao, atualizacao_global = stamps
        in_json = {field: _stamp(over, key) for field, key in resource.stamp_keys.items()}
        stamp = publicacao or in_json.get("publicacao") or (known.publicacao if known else self.now().isoformat())
        if resource is CONTRATACOES:
            modalidade = modalidade or _integer(over, "modalidadeId", 0) or (known.modalidade if known else 6)
        head = known and replace(known)
        if isinstance(head, Pca):
            head.listed = None
        if head is None:
            head = self._new_head(resource, datetime.fromisoformat(stamp), modalidade)
            if isinstance(head, Ata):
                self._place_ata(head, given, over)
            elif isinstance(head, Instrumento):
                self._place_instrumento(head, given)
            else:
                _place(head, given, over)
        head.modalidade = modalidade
        head.publicacao = stamp
        head.atualizacao = atualizacao or in_json.get("atualizacao") or (known.atualizacao if known else stamp)
        head.atualizacao_global = (
            atualizacao_global
            or in_json.get("atualizacao_global")
            or (known.atualizacao_global if known else head.atualizacao)
        )
        if head.stamp_form is DAY:
            for field in resource.stamp_keys:
                setattr(head, field, getattr(head, field)[:10])
        return head

    def _new_head(self, resource: Resource, moment: datetime, modalidade: int | None) -> Record:
        if modalidade is None:
            return self._new(resource.name, [moment], moment)[0]
        return self.inventor.contratacoes(self._random, [moment], [modalidade], moment)[0]

    def _place_ata(self, head: Ata, given: re.Match[str] | None, over: Mapping[str, Any]) -> None:
        """Give a hand-made ata the number in its JSON, or the next one of the contratação there."""
        compra = given or CONTRATACOES.key_form.fullmatch(str(over.get("numeroControlePNCPCompra")))
        if compra is None:
            return
        head.cnpj, head.sequencial, head.ano = compra[1], int(compra[2]), int(compra[3])
        head.compra = CONTRATACOES.key(head.cnpj, head.sequencial, head.ano)
        others = (each.numero for each in self.atas.records.values() if each.compra == head.compra)
        head.numero = int(given[4]) if given else 1 + max(others, default=0)
        head.numero_controle_pncp = given[0] if given else ATAS.key(head.cnpj, head.sequencial, head.ano, head.numero)

    def _place_instrumento(self, head: Instrumento, given: re.Match[str] | None) -> None:
        """Give a hand-made instrumento the number in its JSON; without a whole one it has that of its contrato."""
        if given is None:
            return
        head.numero_controle_pncp = given[0]
        head.cnpj, head.sequencial, head.ano, head.numero = given[1], int(given[2]), int(given[3]), int(given[4])
        contrato = self.contratos.records.get(CONTRATOS.key(head.cnpj, head.sequencial, head.ano))
        head.contrato = contrato or head.contrato

    def _put_items(
        self, head: Contratacao | Pca, known: Record | None, items: int | Sequence[Mapping[str, Any]] | None
    ) -> None:
        if items is None and isinstance(known, Contratacao | Pca):
            head.itens, head.item_count = self._items_of(known), known.item_count
            return
        overs = [{} for _ in range(items)] if isinstance(items, int) else [{}] if items is None else items
        head.itens = [
            encode_json(merged(self._new_item(head, number), item)) for number, item in enumerate(overs, start=1)
        ]
        head.item_count = len(head.itens)

    def _new_item(self, head: Contratacao | Pca, number: int) -> dict[str, Any]:
        rng = random.Random(head.seed + number)
        return self.pca_inventor.item(rng, head, number) if isinstance(head, Pca) else invent_item(rng, head, number)

    def choose(self, which: int | Iterable[str], resource: str = "contratacoes") -> list[str]:
        """The control numbers of `which` records; KeyError where one is not there."""
        if isinstance(which, int):
            records = self.store(resource).records
            return self._randoms[resource].sample(list(records), min(which, len(records)))
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


def _place(head: Record, given: re.Match[str] | None, over: Mapping[str, Any]) -> None:
    """Give a hand-made record the number in its JSON, or one of the parts that are there."""
    resource = head.resource
    orgao = over.get("orgaoEntidade")
    cnpj = orgao.get("cnpj") if isinstance(orgao, Mapping) else over.get("orgaoEntidadeCnpj")
    head.cnpj = given[1] if given else cnpj if isinstance(cnpj, str) else head.cnpj
    head.sequencial = int(given[2]) if given else _integer(over, resource.sequence_key, head.sequencial)
    head.ano = int(given[3]) if given else _integer(over, resource.year_key, head.ano)
    head.numero_controle_pncp = given[0] if given else resource.key(head.cnpj, head.sequencial, head.ano)


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
    elif isinstance(head, Instrumento):
        tipo = record.get("tipoInstrumentoCobranca")
        head.tipo = _integer(tipo, "id", head.tipo) if isinstance(tipo, Mapping) else head.tipo
    elif isinstance(head, Pca):
        head.codigo_unidade = str(record.get("codigoUnidade", head.codigo_unidade))
    elif isinstance(head, Ata):
        head.compra = str(record.get("numeroControlePNCPCompra", head.compra))
        head.codigo_unidade = str(record.get("codigoUnidadeOrgao", head.codigo_unidade))
        head.vigencia_inicio = _day(record, "vigenciaInicio") or head.vigencia_inicio
        head.vigencia_fim = _day(record, "vigenciaFim") or head.vigencia_fim


def _stamp(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    return value if isinstance(value, str) and (STAMP.fullmatch(value) or DAY.fullmatch(value)) else None


def _day(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    return value if isinstance(value, str) and DAY.fullmatch(value) else None


def _integer(record: Mapping[str, Any], key: str | None, default: int) -> int:
    value = None if key is None else record.get(key)
    return value if type(value) is int else default
