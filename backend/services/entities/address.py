"""Where the detail of one row is, and which row an address or a control number names; derived from the descriptions.

The address of a record is made of the groups of its key's pattern, as the portal's own are: a number may be written
with zeros in front, and without. That of a party is made of its key.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from common.resources import RESOURCES
from common.resources.derive import party_columns, party_key, party_row_key
from common.resources.description import Party, Resource

_GROUP = re.compile(r"\(\?P<(\w+)>(.+?)\)")
_NUMBER = re.compile(r"\[0-9\]\{([0-9]+),([0-9]+)\}|\[0-9\]\{([0-9]+)\}")
_ORDER = ("cnpj", "ano", "sequencial", "numero")
"""The groups in addresses, of the portal and of the mirror; others come after them."""
LONGEST = 250
_ID = "[0-9]{1,18}|[0-9A-Z]{12}[0-9]{2}"
"""A number of ours, or the CNPJ of a company, which is no personal data: numbers of ours are not as long."""
_CNPJ_LENGTH = 14
_TEXT, _ANYTHING = r"[^/\u0000]+", r"[^\u0000]+"


@dataclass(frozen=True)
class Part:
    """A part of an address: a regular expression for all of it, and how many digits the key writes it with."""

    name: str
    pattern: str
    digits: int = 0
    may_hold_slashes: bool = False

    @property
    def in_route(self) -> str:
        """As the framework's routes write it."""
        return f"{{{self.name}:path}}" if self.may_hold_slashes else f"{{{self.name}}}"

    def in_key(self, written: str) -> str:
        """As the key writes it."""
        return written.lstrip("0").zfill(self.digits) if self.digits else written

    def in_address(self, written: str) -> str:
        """As addresses write it, the portal's too: a number without zeros in front."""
        return str(int(written)) if self.digits else written


def _part(group: re.Match[str]) -> Part:
    name, pattern = group.groups()
    number = _NUMBER.fullmatch(pattern)
    if number is None:
        return Part(name, pattern)
    least, most = int(number[1] or number[3]), int(number[2] or number[3])
    return Part(name, rf"0{{0,20}}[0-9]{{1,{most}}}", least)


@cache
def record_parts(resource: Resource) -> tuple[Part, ...]:
    """The parts of the address of a record, in their order; none where the key's pattern has no groups."""
    parts = map(_part, _GROUP.finditer(resource.key_pattern))
    return tuple(sorted(parts, key=lambda part: _ORDER.index(part.name) if part.name in _ORDER else len(_ORDER)))


def to_key(resource: Resource, written: Mapping[str, str]) -> str:
    """The key of the record at an address, whose parts have the form that they should have."""
    return _GROUP.sub(r"{\1}", resource.key_pattern).format_map(
        {part.name: part.in_key(written[part.name]) for part in record_parts(resource)}
    )


def _values(resource: Resource, key: str) -> dict[str, str] | None:
    found = re.fullmatch(resource.key_pattern, key)
    return found and {part.name: part.in_address(found[part.name]) for part in record_parts(resource)}


def record_path(resource: Resource, key: str) -> str | None:
    """The address of a record's detail; `None` where the key is not of the resource's form."""
    values = _values(resource, key)
    return "/".join(("", resource.name.replace("_", "-"), *values.values())) if values else None


def portal_page(resource: Resource, key: str) -> str | None:
    """Where the portal shows a record to people."""
    values = _values(resource, key)
    return resource.page.format_map(values) if values and resource.page else None


@cache
def _written(resource: Resource) -> re.Pattern[str]:
    """A key whose numbers may lack zeros in front."""
    parts = {part.name: part.pattern for part in record_parts(resource)}
    return re.compile(_GROUP.sub(lambda group: f"(?P<{group[1]}>{parts[group[1]]})", resource.key_pattern))


def find_record(number: str) -> str | None:
    """The address of the record that a control number names; `None` where it is none."""
    for resource in RESOURCES:
        found = _written(resource).fullmatch(number)
        if found:
            return record_path(resource, to_key(resource, found.groupdict()))
    return None


# --- parties ----------------------------------------------------------------------------------------------------


def party_parts(party: Party) -> Iterable[tuple[Part, ...]]:
    """The parts of the addresses of a party: by its key, and by what readers page by."""
    said = {column.name for column in party_columns(party)}
    for names in dict.fromkeys((party_key(party), party_row_key(party))):
        *before, last = names
        if last in said:
            yield (*(Part(name, _TEXT) for name in before), Part(last, _ANYTHING, may_hold_slashes=True))
        else:
            yield (Part(last, _ID),)


def to_party_key(party: Party, written: Mapping[str, str]) -> dict[str, str | int]:
    """The columns and values that an address of a party names."""
    said = {column.name for column in party_columns(party)}
    number = next((value for name, value in written.items() if name not in said), "")
    if len(number) == _CNPJ_LENGTH:
        return {"tipo_pessoa": "PJ", "ni": number}
    return {name: value if name in said else int(value) for name, value in written.items()}


def party_path(party: Party, row: Mapping[str, Any]) -> str:
    """The address of a party's detail, which names no natural person by their number."""
    return "/".join(("", party.name, *(quote(str(row[name]), safe="") for name in party_row_key(party))))
