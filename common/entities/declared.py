"""Declared entities: records that others hand over, with the types of their columns and what they refer to.

A record is stored as JSON, keyed by one text. Values of columns stand in it as JSON gives them: days as `YYYY-MM-DD`,
moments as `YYYY-MM-DDTHH:MM:SS` on Brasília's clock, numbers with all their digits.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import msgspec

from common.resources.description import Kind

ColumnType = Literal[
    "text", "integer", "number", "boolean", "day", "moment", "json", "cnpj", "cpf", "cpf_cnpj", "control_number"
]
KINDS: Mapping[str, Kind] = {
    "text": Kind.TEXT,
    "integer": Kind.LONG,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "day": Kind.DAY,
    "moment": Kind.MOMENT,
    "json": Kind.JSON,
    "cnpj": Kind.TEXT,
    "cpf": Kind.TEXT,
    "cpf_cnpj": Kind.TEXT,
    "control_number": Kind.TEXT,
}
PERSONAL = ("cpf", "cpf_cnpj")
"""Types whose values may be the number of a natural person."""
OF_KEYS = ("text", "integer", "cnpj", "cpf", "cpf_cnpj", "control_number")
SEPARATOR = "/"
DIGEST_BYTES = 16


@dataclass(frozen=True)
class DeclaredColumn:
    """A column of a declared entity.

    `decimals`: a number is rounded to so many, half up. `longest`: of a text, in characters. `references`: the entity
    whose key its value is. `values`: those that it may have, where they are few; empty for any.
    """

    name: str
    type: ColumnType
    label: str
    is_required: bool = False
    decimals: int | None = None
    longest: int | None = None
    references: str | None = None
    values: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """How lists and deliveries treat it."""
        return KINDS[self.type]

    @property
    def is_personal(self) -> bool:
        """Whether it may hold the number of a natural person."""
        return self.type in PERSONAL


@dataclass(frozen=True, eq=False)
class Declaration:
    """A declared entity. `searched` are the columns whose words are searched.

    `view` is the view of the operator's that its rows stand in, and `version` its column that says when a row was last
    changed; null for records that are taken in.
    """

    name: str
    label: str
    key: tuple[str, ...]
    columns: Mapping[str, DeclaredColumn]
    searched: tuple[str, ...] = ()
    view: str | None = None
    version: str | None = None
    is_shipped: bool = False

    @property
    def references(self) -> Mapping[str, str]:
        """The entity that a column refers to, by the column."""
        return {each.name: each.references for each in self.columns.values() if each.references}

    @property
    def required(self) -> tuple[str, ...]:
        """The columns without which there is no record: those of the key, and those that are said to be."""
        return tuple(each.name for each in self.columns.values() if each.is_required or each.name in self.key)

    @property
    def key_text(self) -> str | None:
        """The column whose value is the key itself; null where a key has several parts, or is a number."""
        return self.key[0] if len(self.key) == 1 and self.columns[self.key[0]].kind is Kind.TEXT else None

    @property
    def has_personal_key(self) -> bool:
        """Whether its keys may hold the numbers of natural persons."""
        return any(self.columns[name].is_personal for name in self.key)

    def key_of(self, data: Mapping[str, Any]) -> str:
        """The key of a record whose values have been read."""
        return SEPARATOR.join(str(data[name]) for name in self.key)

    def references_of(self, data: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Column, entity and key of each record that a record refers to."""
        for column, entity in self.references.items():
            if data.get(column) is not None:
                yield column, entity, str(data[column])

    def words_of(self, data: Mapping[str, Any]) -> str | None:
        """The text whose words are searched; null where nothing is."""
        texts = [str(data[name]) for name in self.searched if data.get(name) is not None]
        return " ".join(texts) if texts else None


_ENCODER = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def to_json(data: Mapping[str, Any]) -> str:
    """A record as it is stored, with its numbers exact."""
    return _ENCODER.encode(data).decode()


def from_json(written: str) -> dict[str, Any]:
    """A stored record, its numbers with a fraction as decimals."""
    read: dict[str, Any] = _DECODER.decode(written)
    return read


def digest_of(data: Mapping[str, Any]) -> bytes:
    """Equal for records of equal content."""
    return hashlib.blake2b(_ENCODER.encode(data), digest_size=DIGEST_BYTES).digest()
