"""The simulator with a memory: every change goes to a journal, so that a killed portal comes back as it was.

The journal is also the truth by which a run is judged: `History` tells which records a window held at which moment.

What chaos may change is limited here. Up to `frozen_until` nothing ever enters or leaves a day's listing, by either
criterio; and no record changes twice within a second, because the portal's stamps could not tell the versions apart.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from simulator.app import serve
from simulator.generated import generate
from simulator.quirks import Quirks
from simulator.records import Contratacao, Contrato, Record
from simulator.resources import Criterio
from simulator.world import World


@dataclass(frozen=True)
class Setting:
    """What a portal is made from: the same setting makes the same records, also at a later hour."""

    seed: int
    first_day: date
    moment: datetime
    per_day: float
    frozen_until: date

    def generate(self) -> World:
        return generate(self.seed, self.first_day, self.moment.date(), self.per_day, now=lambda: self.moment)

    def to_arguments(self) -> list[str]:
        names = {name.replace("_", "-"): value for name, value in asdict(self).items()}
        return [
            word
            for name, value in names.items()
            for word in (f"--{name}", value.isoformat() if isinstance(value, date) else str(value))
        ]


def _to_json(record: Record) -> dict[str, Any]:
    fields = asdict(record) | {"resource": record.resource.name, "payload": record.payload and record.payload.decode()}
    if isinstance(record, Contratacao):
        fields["itens"] = record.itens and [item.decode() for item in record.itens]
    return fields


def _from_json(fields: dict[str, Any]) -> Record:
    resource, payload = fields.pop("resource"), fields.pop("payload")
    payload = payload and payload.encode()
    if resource == Contrato.resource.name:
        return Contrato(**fields, payload=payload)
    itens = fields.pop("itens")
    return Contratacao(**fields, payload=payload, itens=None if itens is None else [item.encode() for item in itens])


def read_journal(path: Path) -> list[dict[str, Any]]:
    """What has been written whole; a kill may have cut the last line, whose change no request has seen then."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


class RememberingWorld(World):
    """A world that writes down what happens to it, and spares what must stand still."""

    def __init__(self, setting: Setting, journal: Path) -> None:
        made = setting.generate()
        super().__init__(made.inventor)
        self.contrato_inventor = made.contrato_inventor  # it knows which numbers are given out
        self._frozen_until = setting.frozen_until.isoformat() + "T23:59:59"
        self._journal = None
        self.add(made.contratacoes.records.values())
        self.add(made.contratos.records.values())
        entries = read_journal(journal)
        for entry in entries:
            if "removed" in entry:
                super().remove([entry["removed"]])
            else:
                record = _from_json(entry["record"])
                self.add([record])
                given_out = (self.contrato_inventor if isinstance(record, Contrato) else self.inventor)._next
                place = record.orgao, record.ano
                given_out[place] = max(given_out.get(place, 0), record.sequencial + 1)
        self._random.seed(f"{setting.seed}/changes/{len(entries)}")
        self._randoms["contratos"].seed(f"{setting.seed}/contratos/changes/{len(entries)}")
        content = journal.read_bytes() if journal.exists() else b""
        if not content.endswith(b"\n"):
            journal.write_bytes(content[: content.rfind(b"\n") + 1])
        self._journal = journal.open("a")

    def _write(self, entry: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps({"at": time.time(), **entry}) + "\n")
            self._journal.flush()

    def add(self, records: Iterable[Record]) -> None:
        records = list(records)
        super().add(records)
        for record in records:
            self._write({"record": _to_json(record)})

    def _choose(self, which: int | Iterable[str], resource: str = "contratacoes") -> list[str]:
        """Of what is asked for, what may be touched."""
        now = self.now().isoformat()
        chosen = super()._choose(which, resource)
        return [key for key in chosen if self._frozen_until < self._known(key).atualizacao_global < now]

    def remove(self, which: int | Iterable[str] = 1, *, resource: str = "contratacoes") -> list[str]:
        chosen = self._choose(which, resource)
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
        """Whether a version of a record lies in it."""
        is_listed = record.resource.name == self.resource and (record.modalidade or 0) == self.part
        return is_listed and self.start <= record.stamp(self.criterio) <= self.end


@dataclass(frozen=True)
class Version:
    """One version of a record, and from when until when the portal showed it."""

    record: Record
    since: float
    until: float = float("inf")

    @property
    def stamps(self) -> tuple[str, str]:
        return self.record.atualizacao, self.record.atualizacao_global


class History:
    """All versions of all records there have been, by control number, the oldest first."""

    def __init__(self, setting: Setting, journal: Path) -> None:
        self.world = setting.generate()
        self.versions: dict[str, list[Version]] = {
            key: [Version(record, float("-inf"))]
            for store in (self.world.contratacoes, self.world.contratos)
            for key, record in store.records.items()
        }
        for entry in read_journal(journal):
            at = entry["at"]
            key = entry.get("removed") or entry["record"]["numero_controle_pncp"]
            known = self.versions.setdefault(key, [])
            if known and known[-1].until == float("inf"):
                known[-1] = replace(known[-1], until=at)
            if "record" in entry:
                known.append(Version(_from_json(entry["record"]), at))

    def payload(self, version: Version) -> bytes:
        return self.world.payload(version.record)

    def items(self, version: Version) -> list[bytes]:
        record = version.record
        if not isinstance(record, Contratacao):
            return []
        return record.itens if record.itens is not None else self.world.inventor.items(record)

    def current(self, resource: str, parts: Iterable[int]) -> dict[str, Version]:
        """What the portal holds now of these parts of a resource."""
        wanted = set(parts)
        return {
            key: versions[-1]
            for key, versions in self.versions.items()
            if versions[-1].until == float("inf")
            and versions[-1].record.resource.name == resource
            and (versions[-1].record.modalidade or 0) in wanted
        }

    def at(self, key: str, moment: float) -> Version | None:
        """The version that the portal showed at a moment."""
        for version in self.versions[key]:
            if version.since <= moment < version.until:
                return version
        return None

    def always(self, window: Window, during: tuple[float, float]) -> set[str]:
        """The records that stood in a window during the whole of a span of time.

        By `atualizacao` only those that did not change meanwhile: a change takes a record to the end of the listing, to
        the moment of the change, and there to a request for that moment.
        """
        since, until = during
        found = set()
        for key, versions in self.versions.items():
            met = [each for each in versions if each.since <= until and each.until > since]
            if not met or met[0].since > since or met[-1].until <= until:
                continue
            moves = window.criterio == "atualizacao" and len(met) > 1
            if not moves and all(window.holds(each.record) for each in met):
                found.add(key)
        return found

    def ever(self, window: Window, during: tuple[float, float]) -> set[str]:
        """The records that stood in a window at any moment of a span of time."""
        since, until = during
        return {
            key
            for key, versions in self.versions.items()
            for each in versions
            if each.since <= until and each.until > since and window.holds(each.record)
        }


# --- the program --------------------------------------------------------------------------------------------------


async def _serve(world: World, quirks: Quirks, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(world, quirks, port=port) as running:
        sys.stdout.write(
            f"portal ready on {running.base_url}, {len(world)} contratações, {len(world.contratos.records)} contratos\n"
        )
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
