"""What a source gives: records with their lists, one page of them at a time, and what of them cannot be stored.

Values alone: they are made by `ingestor.sources`, and `ingestor.store` writes them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any, Literal

from msgspec import Raw, Struct

from common.resources.description import Resource

Stamps = tuple[datetime, datetime]
"""A version, in Brasília's wall clock; of a contratação `dataAtualizacao` and `dataAtualizacaoGlobal`."""

EntryKey = int | tuple[Any, ...]
"""What tells the entries of one list apart: a number, or several values."""

ENTRY_BYTES, REFUSED_BYTES = 256, 1_024
"""Bytes of memory that an entry takes besides its text, and what is known of one that does not fit besides."""
FEWEST_UNFIT, UNFIT_SHARE = 5, 0.05
"""A page of which so many records, and more than such a share, cannot be stored has a fault that is not theirs."""


def compare_versions(incoming: Stamps, stored: Stamps) -> Literal["unchanged", "older", "newer"]:
    """Judge an incoming version against the stored one."""
    if incoming == stored:
        return "unchanged"
    if incoming[0] <= stored[0] and incoming[1] <= stored[1]:
        return "older"
    return "newer"


class Drift(Struct, frozen=True, gc=False):
    """An optional field whose value its column does not take.

    `path`: its keys from the outermost object, joined with dots; `kind`: object, array, string, number, boolean, or
    unfit (the right type with a value that no column holds); `example`: the value as JSON, shortened.
    """

    path: str
    kind: str
    example: str


class Entry(Struct, frozen=True, gc=False):
    """One record, or one entry of a list, as it came and as it was read.

    `columns` is what its columns are read from, where that is not the payload: the same record without the values of
    `drift`, which are null in `typed` too. `typed` is made by `decoders`.
    """

    typed: Any
    payload: str
    columns: str | None = None
    drift: tuple[Drift, ...] = ()


class Record(Entry, frozen=True, gc=False, kw_only=True):
    """One record of a listing, which can be stored."""

    key: str
    version: Stamps


@dataclass(frozen=True)
class Rejected:
    """One record that cannot be stored, as it came; `resource` is the table that it was meant for."""

    natural_key: str | None
    reason: str
    payload: str
    resource: str

    @property
    def hash(self) -> str:
        """What tells it from other rejected records: two records may have the very same entry."""
        return hashlib.sha256(f"{self.resource} {self.natural_key} {self.payload}".encode()).hexdigest()


class Owed(Struct, frozen=True):
    """Why the list of a record is to be read later.

    `reason`: unread (it could not be read) or empty (an empty list that nothing confirms); `cause` in a sentence.
    `is_final`: trying again by itself would lead nowhere.
    """

    reason: Literal["unread", "empty"]
    cause: str
    is_final: bool = False


@dataclass
class Itens:
    """The list of a record: the JSON of each entry by its key, in UTF-8, and what cannot be stored.

    Most payloads are parts of the answer's body, not copies: with sixty lists on their way, copies are megabytes.
    `told` counts the entries of the answer, which may have a key twice; then the later one stands. `drifted` holds, by
    their keys, the entries with values that their columns do not take: what their columns are read from, and the drift.
    `is_proved`: nothing can have been cut off the list. `owed`: this is not the list, which is to be read later, and
    why. `size` is that of the bodies, in bytes.
    """

    payloads: dict[EntryKey, bytes | Raw] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    told: int = 0
    drifted: dict[EntryKey, tuple[bytes, tuple[Drift, ...]]] = field(default_factory=dict)
    is_proved: bool = True
    owed: Owed | None = None
    size: int = field(default=0, compare=False)

    @property
    def overhead(self) -> int:
        """Bytes that the entries take in memory besides their text, about."""
        known = ENTRY_BYTES * self.told + REFUSED_BYTES * (len(self.rejected) + len(self.drifted))
        return known + sum(len(columns) for columns, _ in self.drifted.values()) if self.drifted else known

    def columns(self) -> Iterator[bytes | Raw]:
        """What the columns of each entry are read from, in the order of the payloads."""
        for number, payload in self.payloads.items():
            yield self.drifted[number][0] if number in self.drifted else payload

    def only(self, number: EntryKey) -> "Itens":
        """One entry alone."""
        drifted = {number: self.drifted[number]} if number in self.drifted else {}
        return Itens({number: self.payloads[number]}, told=1, drifted=drifted)

    def add(self, more: "Itens") -> bool:
        """Take in another page of the list; `False` if it brings nothing that was not known."""
        rejected = [record for record in more.rejected if record not in self.rejected]
        brings = bool(rejected) or any(
            number not in self.payloads or bytes(self.payloads[number]) != bytes(payload)
            for number, payload in more.payloads.items()
        )
        self.payloads |= more.payloads
        for number in more.payloads:
            self.drifted.pop(number, None)
        self.drifted |= more.drifted
        self.rejected += rejected
        self.told += more.told
        self.size += more.size
        return brings


@dataclass(frozen=True)
class Bundle:
    """A record to be written, with its list as read."""

    record: Record
    itens: Itens = field(default_factory=Itens)

    @property
    def key(self) -> str:
        """That of its record."""
        return self.record.key


class Ended(Enum):
    """How the reading of a slice ended."""

    AT_THE_END = auto()  # or where all readings together have shown every record
    OLD_ENOUGH = auto()  # all that is left lies before an update's window
    ASKED_TO_STOP = auto()


@dataclass(frozen=True)
class Batch:
    """What one page leaves: its rows, the keys that count as processed, what to write and to reject.

    `keys` names every row (`completeness.row_names`), `records` is how many there are, and `listed` how many records
    they belong to. `crowded` are records to be written for whose lists there was no room. `nested` are records of
    another resource that stand in those to be written. `is_second_look`: page 1 is read for the second time in this
    reading.
    `ends` says how the reading ends with this page, `None` where it goes on.
    """

    resource: Resource
    number: int
    total_registros: int
    total_paginas: int
    keys: frozenset[str]
    processed: frozenset[str]
    bundles: list[Bundle] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    crowded: list[Record] = field(default_factory=list)
    nested: list[Bundle] = field(default_factory=list)
    records: int = 0
    listed: int = 0
    is_second_look: bool = False
    ends: Ended | None = None

    @property
    def unfit(self) -> int:
        """How many of its records cannot be stored, where those are more than single records' faults; else 0."""
        lost = sum(record.resource == self.resource.name for record in self.rejected)
        return lost if lost >= FEWEST_UNFIT and lost > UNFIT_SHARE * self.listed else 0


@dataclass(frozen=True)
class DomainEntry:
    """One entry of a domain table: `payload` is its JSON as it came."""

    codigo: str
    nome: str | None
    descricao: str | None
    ativo: bool | None
    payload: str
