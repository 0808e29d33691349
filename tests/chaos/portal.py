"""The simulator with a memory: every change goes to a journal, so that a killed portal comes back as it was.

The journal is also the truth by which a run is judged: `History` tells which records a window held at which moment.

What chaos may change is limited here. Up to `frozen_until` nothing ever enters or leaves a day's listing, by any
criterio; and no record changes twice within a second, because the portal's stamps could not tell the versions apart.
Those of atas are days: of them several versions have the same.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from simulator.app import serve
from simulator.children import Parent, invent_children
from simulator.generated import generate
from simulator.quirks import Quirks
from simulator.records import (
    DAY,
    Ata,
    ChildKey,
    Contratacao,
    Contrato,
    Instrumento,
    Pca,
    Record,
    decode_json,
    encode_json,
)
from simulator.resources import CONTRATOS, RESOURCES, Criterio
from simulator.tables import TABLES, Tables
from simulator.world import World

DOMINIOS = "dominios"
"""The name under which all domain tables are read."""
MOST_ITEMS = 30
"""Items of a plan: some pages of ten. Plans of thousands would take longer than all other listings together."""
_KINDS: dict[str, type[Record]] = {kind.resource.name: kind for kind in (Contratacao, Contrato, Ata, Pca, Instrumento)}
_VERSION_OF = {
    "pcas": ("publicacao", "atualizacao_global"),
    "instrumentos_cobranca": ("publicacao", "atualizacao"),
}
"""The stamps by which versions of a resource's records are told apart, where they are not those of most."""


@dataclass(frozen=True)
class Setting:
    """What a portal is made from: the same setting makes the same records, also at a later hour."""

    seed: int
    first_day: date
    moment: datetime
    per_day: float
    frozen_until: date

    def generate(self) -> World:
        made = generate(self.seed, self.first_day, self.moment.date(), self.per_day, now=lambda: self.moment)
        for plan in made.pcas.records.values():
            plan.item_count = min(plan.item_count, MOST_ITEMS)
        return made

    def to_arguments(self) -> list[str]:
        names = {name.replace("_", "-"): value for name, value in asdict(self).items()}
        return [
            word
            for name, value in names.items()
            for word in (f"--{name}", value.isoformat() if isinstance(value, date) else str(value))
        ]


def _to_json(record: Record) -> dict[str, Any]:
    if isinstance(record, Instrumento):
        record = replace(record, contrato=None)  # its payload holds it
    if isinstance(record, Pca):
        record = replace(record, listed=None)  # made of its items
    fields = asdict(record) | {"resource": record.resource.name, "payload": record.payload and record.payload.decode()}
    if isinstance(record, Contratacao | Pca):
        fields["itens"] = record.itens and [item.decode() for item in record.itens]
    return fields


def _from_json(fields: dict[str, Any]) -> Record:
    kind, payload = _KINDS[fields.pop("resource")], fields.pop("payload")
    if fields.get("itens") is not None:
        fields["itens"] = [item.encode() for item in fields["itens"]]
    return kind(**fields, payload=payload and payload.encode())


def read_journal(path: Path) -> list[dict[str, Any]]:
    """What has been written whole; a kill may have cut the last line, whose change no request has seen then."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def _encoded(rows: Iterable[str]) -> list[bytes]:
    return [row.encode() for row in rows]


def _child_key(entry: dict[str, Any]) -> ChildKey:
    return ChildKey(*entry["children"])


class RememberingTables(Tables):
    """Domain tables that write down what happens to them; `entries` are what has happened before."""

    def __init__(
        self, now: Callable[[], datetime], write: Callable[[dict[str, Any]], None], entries: Iterable[dict[str, Any]]
    ) -> None:
        super().__init__(now)
        self._write = write
        for entry in entries:
            change_table(self, entry)

    def put(self, name: str, entry: Mapping[str, Any]) -> None:
        super().put(name, entry)
        code = TABLES[name].code_of(entry)
        self._write({"table": name, "code": code, "entry": self.entries(name)[code]})

    def remove(self, name: str, code: int | Sequence[int]) -> None:
        super().remove(name, code)
        self._write({"table": name, "code": [code] if isinstance(code, int) else code, "entry": None})


def code_in(table: str, code: Iterable[int]) -> str:
    """An entry of a domain table, by the name of the table and its code."""
    return f"{table} {'/'.join(map(str, code))}"


def change_table(tables: Tables, entry: dict[str, Any]) -> None:
    """Change a domain table as an entry of the journal says."""
    entries, code = tables.entries(entry["table"]), tuple(entry["code"])
    if entry["entry"] is None:
        del entries[code]
    else:
        entries[code] = entry["entry"]


class RememberingWorld(World):
    """A world that writes down what happens to it, and spares what must stand still."""

    def __init__(self, setting: Setting, journal: Path) -> None:
        made = setting.generate()
        super().__init__(made.inventor)
        # they know which numbers are given out
        self.contrato_inventor, self.ata_inventor = made.contrato_inventor, made.ata_inventor
        self.pca_inventor, self.instrumento_inventor = made.pca_inventor, made.instrumento_inventor
        self._frozen_until = setting.frozen_until.isoformat() + "T23:59:59"
        self._journal = None
        for name in RESOURCES:
            self.add(made.store(name).records.values())
        entries = read_journal(journal)
        for entry in entries:
            if "removed" in entry:
                super().remove([entry["removed"]])
            elif "children" in entry:
                super().give_children(_child_key(entry), _encoded(entry["rows"]))
            elif "record" in entry:
                record = _from_json(entry["record"])
                self.add([record])
                self._give_out_no_more(record)
        self.tables = RememberingTables(self.now, self._write, (entry for entry in entries if "table" in entry))
        for name, drawn in self._randoms.items():
            drawn.seed(f"{setting.seed}/{name}/changes/{len(entries)}")
        content = journal.read_bytes() if journal.exists() else b""
        if not content.endswith(b"\n"):
            journal.write_bytes(content[: content.rfind(b"\n") + 1])
        self._journal = journal.open("a")

    def _give_out_no_more(self, record: Record) -> None:
        """Have the numbers that are given out from now on come after that of this record."""
        number = record.numero if isinstance(record, Ata | Instrumento) else record.sequencial
        given_out, place = self._numbers_beside(record)
        given_out[place] = max(given_out.get(place, 0), number + 1)

    def _numbers_beside(self, record: Record) -> tuple[dict[Any, int], object]:
        """The next numbers that an inventor gives out, and where that for records beside this one stands there."""
        if isinstance(record, Ata):
            return self.ata_inventor._next, record.compra
        if isinstance(record, Instrumento):
            return self.instrumento_inventor._next, CONTRATOS.key(record.cnpj, record.sequencial, record.ano)
        if isinstance(record, Pca):
            return self.pca_inventor._next, (record.orgao, record.ano)
        inventor = self.contrato_inventor if isinstance(record, Contrato) else self.inventor
        return inventor._next, (record.orgao, record.ano)

    def _write(self, entry: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps({"at": time.time(), **entry}) + "\n")
            self._journal.flush()

    def add(self, records: Iterable[Record]) -> None:
        records = list(records)
        for record in records:
            if isinstance(record, Pca) and record.itens is None:
                record.item_count = min(record.item_count, MOST_ITEMS)
        super().add(records)
        if self._journal is None:
            return
        for record in records:
            if isinstance(record, Instrumento):
                self.payload(record)  # made while it is known as of when its contrato is
            self._write({"record": _to_json(record)})

    def give_children(self, children: ChildKey, rows: list[bytes]) -> None:
        super().give_children(children, rows)
        self._write({"children": children, "rows": [row.decode() for row in rows]})

    def choose(self, which: int | Iterable[str], resource: str = "contratacoes") -> list[str]:
        """Of what is asked for, what may be touched."""
        now = self.now().isoformat()
        chosen = super().choose(which, resource)
        return [key for key in chosen if self._frozen_until < self._known(key).atualizacao_global < now]

    def remove(self, which: int | Iterable[str] = 1, *, resource: str = "contratacoes") -> list[str]:
        chosen = self.choose(which, resource)
        gone = super().remove([key for key in chosen if self._known(key).publicacao > self._frozen_until])
        for key in gone:
            self._write({"removed": key})
        return gone


# --- the truth ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """What a slice reads: the records of a part of a resource whose stamp lies between two moments, ends included.

    `part` is a modalidade, 0 where the resource is not divided. The moments are Brasília's wall clock.
    """

    resource: str
    part: int
    criterio: Criterio
    start: str
    end: str

    def holds(self, record: Record) -> bool:
        """Whether a version of a record lies in it; one whose stamp is a day, with any part of the day."""
        is_listed = record.resource.name == self.resource and (record.modalidade or 0) == self.part
        stamp = record.stamp(self.criterio)
        return is_listed and self.start[: len(stamp)] <= stamp <= self.end


@dataclass(frozen=True)
class Version:
    """One version of a record, and from when until when the portal showed it."""

    record: Record
    since: float
    until: float = float("inf")

    @property
    def stamps(self) -> tuple[str, str]:
        """Those by which versions are told apart, as moments."""
        header, whole = _VERSION_OF.get(self.record.resource.name, ("atualizacao", "atualizacao_global"))
        return _moment(getattr(self.record, header)), _moment(getattr(self.record, whole))


def _moment(stamp: str) -> str:
    return stamp if "T" in stamp else f"{stamp}T00:00:00"


class History:
    """All versions of all records there have been, by control number, the oldest first; `keys`: those of each part.

    Of the domain tables, when each entry was listed.
    """

    def __init__(self, setting: Setting, journal: Path) -> None:
        self.world = setting.generate()
        self.versions: dict[str, list[Version]] = {
            key: [Version(record, float("-inf"))]
            for name in RESOURCES
            for key, record in self.world.store(name).records.items()
        }
        self._tables = self.world.tables
        self._listed: dict[str, list[tuple[float, float]]] = {
            code_in(name, code): [(float("-inf"), float("inf"))]
            for name in TABLES
            for code in self._tables.entries(name)
        }
        self._given: dict[ChildKey, list[tuple[float, list[bytes]]]] = {}
        for entry in read_journal(journal):
            at = entry["at"]
            if "table" in entry:
                self._change_table(entry, at)
                continue
            if "children" in entry:
                self._given.setdefault(_child_key(entry), []).append((at, _encoded(entry["rows"])))
                continue
            key = entry.get("removed") or entry["record"]["numero_controle_pncp"]
            known = self.versions.setdefault(key, [])
            if known and known[-1].until == float("inf"):
                known[-1] = replace(known[-1], until=at)
            if "record" in entry:
                known.append(Version(_from_json(entry["record"]), at))
        self.keys: dict[tuple[str, int], list[str]] = {}
        for key, versions in self.versions.items():
            record = versions[0].record
            self.keys.setdefault((record.resource.name, record.modalidade or 0), []).append(key)

    def payload(self, version: Version) -> bytes:
        """The JSON of a version; of a plan without its items."""
        return self.world._own_payload(version.record)

    def items(self, version: Version) -> list[bytes]:
        """The list of a version, of records that have one."""
        record = version.record
        if not isinstance(record, Contratacao | Pca):
            return []
        if record.itens is not None:
            return record.itens
        return self.world.pca_inventor.items(record) if isinstance(record, Pca) else self.world.inventor.items(record)

    def _change_table(self, entry: dict[str, Any], at: float) -> None:
        change_table(self._tables, entry)
        listed = self._listed.setdefault(code_in(entry["table"], entry["code"]), [])
        is_listed = bool(listed) and listed[-1][1] == float("inf")
        if entry["entry"] is None:
            listed[-1] = listed[-1][0], at
        elif not is_listed:
            listed.append((at, float("inf")))

    def entries(self) -> dict[str, bytes]:
        """All entries of the domain tables as they are now, by their codes."""
        return {
            code_in(name, code): encode_json(entry)
            for name in TABLES
            for code, entry in self._tables.entries(name).items()
        }

    def has_listed(self, code: str) -> bool:
        """Whether a domain table ever had an entry with this code."""
        return code in self._listed

    def children(self, version: Version, kind: str) -> list[bytes]:
        """What hung on a version of a record, of one kind, when the portal showed it last."""
        key = ChildKey(kind, version.record.numero_controle_pncp)
        given = [rows for at, rows in self._given.get(key, []) if at < version.until]
        if given:
            return given[-1]
        inventor = self.world.child_inventor
        assert inventor is not None
        record = decode_json(self.payload(version))
        items = [decode_json(item) for item in self.items(version)] if kind in ("resultados", "historico") else []
        parents = (
            [Parent(version.record, record, item) for item in items]
            if kind == "resultados"
            else [Parent(version.record, record, {}, items)]
        )
        return [encode_json(row) for parent in parents for row in invent_children(inventor, kind, parent)]

    def current(self, resource: str, parts: Iterable[int]) -> dict[str, Version]:
        """What the portal holds now of these parts of a resource."""
        return {
            key: self.versions[key][-1]
            for part in parts
            for key in self.keys.get((resource, part), [])
            if self.versions[key][-1].until == float("inf")
        }

    def at(self, key: str, moment: float) -> Version | None:
        """The version of a record that the portal showed at a moment."""
        for version in self.versions.get(key, ()):
            if version.since <= moment < version.until:
                return version
        return None

    def always(self, window: Window, during: tuple[float, float]) -> set[str]:
        """The records, or entries of domain tables, that stood in a window during the whole of a span of time.

        Only those whose stamp stayed the same: a change of it takes a record to the end of the listing, to the moment
        of the change, and there to a request for that moment. Where stamps are days, none of a day that others enter
        meanwhile: they come to stand among those that are there, and move some of these past the reader.
        """
        since, until = during
        if window.resource == DOMINIOS:
            return {code for code, spans in self._listed.items() if any(a <= since and b > until for a, b in spans)}
        found = set[str]()
        if self._some_enter_among(window, during):
            return found
        for key, versions in self._of(window):
            met = [each for each in versions if each.since <= until and each.until > since]
            if not met or met[0].since > since or met[-1].until <= until:
                continue
            stamps = {each.record.stamp(window.criterio) for each in met}
            if len(stamps) == 1 and all(window.holds(each.record) for each in met):
                found.add(key)
        return found

    def _some_enter_among(self, window: Window, during: tuple[float, float]) -> bool:
        """Whether records enter a listing during a span of time, and stand among the others because stamps are days."""
        since, until = during
        return any(
            after.record.stamp_form is DAY
            and since < after.since <= until
            and window.holds(after.record)
            and not (before is not None and window.holds(before.record))
            for _, versions in self._of(window)
            for before, after in pairwise([None, *versions])
            if after is not None
        )

    def _of(self, window: Window) -> Iterator[tuple[str, list[Version]]]:
        for key in self.keys.get((window.resource, window.part), []):
            yield key, self.versions[key]

    def ever(self, window: Window, during: tuple[float, float]) -> set[str]:
        """The records, or entries of domain tables, that stood in a window at any moment of a span of time."""
        since, until = during
        if window.resource == DOMINIOS:
            return {code for code, spans in self._listed.items() if any(a <= until and b > since for a, b in spans)}
        return {
            key
            for key, versions in self._of(window)
            for each in versions
            if each.since <= until and each.until > since and window.holds(each.record)
        }


# --- the program --------------------------------------------------------------------------------------------------


async def _serve(world: World, quirks: Quirks, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(world, quirks, port=port) as running:
        held = ", ".join(f"{len(world.store(name).records)} {name}" for name in RESOURCES)
        sys.stdout.write(f"portal ready on {running.base_url}, {held}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first-day", type=date.fromisoformat, required=True)
    parser.add_argument("--moment", type=datetime.fromisoformat, required=True)
    parser.add_argument("--per-day", type=float, required=True)
    parser.add_argument("--frozen-until", type=date.fromisoformat, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--quirks", type=json.loads, default={})
    options = parser.parse_args()
    setting = Setting(options.seed, options.first_day, options.moment, options.per_day, options.frozen_until)
    quirks = Quirks(seed=options.seed)
    quirks.update(options.quirks)
    asyncio.run(_serve(RememberingWorld(setting, options.journal), quirks, options.port))


if __name__ == "__main__":
    main()
