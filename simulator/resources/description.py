"""The values of which a resource's description is made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

Criterio = Literal["publicacao", "atualizacao", "vigencia", "inclusao"]
CRITERIOS: tuple[Criterio, ...] = ("publicacao", "atualizacao", "vigencia", "inclusao")

# A parameter's declared Java type, as the portal's refusals name it.
Kind = Literal["String", "Integer", "Long"]


@dataclass(frozen=True, slots=True)
class Listing:
    """One listing: its path, and the stamp on which it filters and by which it is in order.

    `stamp` is a field of `records.Record`. With `in_force` the stamp gives the order only, and a record is listed on
    every day on which it is in force.
    """

    path: str
    stamp: Literal["publicacao", "atualizacao", "atualizacao_global"]
    in_force: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of record that the consulta service lists by day.

    `digit` is what stands for the kind in a control number, `CNPJ-digit-SSSSSS/AAAA`, after which with `numbered`
    comes `-NNNNNN`; `key_name`, `year_key` and `sequence_key` are the JSON keys of the number and of its parts,
    None where the JSON lacks that part. Without a `key_name` the number is one of ours, made of `key_parts`: the
    JSON keys of CNPJ, sequence, year and last part. `stamp_keys` has the JSON key of each stamp, by field of
    `records.Record`. `division` is the required parameter that divides the listing by modalidade, None where there
    is none. `filters` has the optional parameters: the type of each, and the field of `records.Record` that it asks
    for; `needs` has those that are refused without another. Parameters that are not named here are ignored.
    `last_day_excluded` ends a window before its last day, and days before `earliest` are refused. With the
    parameter `unordered_by` each page is drawn from an order of its own, so that the pages together repeat some
    records and lack as many. With `repeats` a listing holds some records twice. A listing without records is
    answered with `empty_status`, and with `empty_message` where that is an error. `spoiled` has the key that each
    spoiling quirk spoils.
    """

    name: str
    digit: int
    key_name: str | None
    year_key: str | None
    sequence_key: str | None
    stamp_keys: Mapping[str, str]
    listings: Mapping[Criterio, Listing]
    first_day: str
    last_day: str
    division: str | None
    filters: Mapping[str, tuple[Kind, str]]
    unordered_by: str | None
    page_sizes: range
    default_page_size: int
    empty_status: int
    recordings: tuple[str, ...]
    spoiled: Mapping[str, str]
    numbered: bool = False
    last_day_excluded: bool = False
    earliest: date | None = None
    needs: Mapping[str, str] = field(default_factory=dict)
    key_parts: tuple[str, str, str, str] | None = None
    repeats: bool = False
    empty_message: str = ""
    key_form: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the form of the control number; its groups are CNPJ, sequence, year, and the last part where it has
        one.
        """
        last = r"-(\d{6,})" if self.numbered else ""
        form = rf"([0-9A-Z]{{14}})-{self.digit}-(\d{{6,}})/(\d{{4}}){last}"
        object.__setattr__(self, "key_form", re.compile(form))

    @property
    def required(self) -> dict[str, Kind]:
        """The required parameters and their types, in the order in which a refusal names them."""
        division: dict[str, Kind] = {} if self.division is None else {self.division: "Long"}
        return {self.first_day: "String", self.last_day: "String", **division, "pagina": "Integer"}

    def key(self, cnpj: str, sequencial: int, ano: int, numero: int = 0) -> str:
        """The control number of a record; `numero` is its last part, where it has one."""
        last = f"-{numero:06d}" if self.numbered else ""
        return f"{cnpj}-{self.digit}-{sequencial:06d}/{ano}{last}"

    def read_key(self, record: Mapping[str, Any]) -> re.Match[str] | None:
        """The control number in a JSON object, by its parts; None where there is none that is well-formed."""
        if self.key_name is not None:
            return self.key_form.fullmatch(str(record.get(self.key_name)))
        cnpj, sequencial, ano, numero = (record.get(name) for name in self.key_parts or ())
        if type(sequencial) is not int or type(ano) is not int or type(numero) is not int:
            return None
        return self.key_form.fullmatch(self.key(str(cnpj), sequencial, ano, numero))
