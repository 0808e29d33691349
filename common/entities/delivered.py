"""What can be delivered: tables with one key and one moment of their last change, as SQL.

Made of the descriptions of resources, lists and parties, and of declarations (`common.connections`). Columns are those
of the entity's own table: a value of a joined table could change without the row's version.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.entities.columns import strict_value_of
from common.entities.declared import Declaration
from common.entities.entity import ENTITIES, INTEGERS, MAIN, RECORDS, Entity, Field, joined_key, of_child
from common.resources import INLINE, LATER
from common.resources.derive import entry_columns, key_column
from common.resources.description import Child, Kind, Resource

# ruff: noqa: S608  # all names in these statements stand in descriptions, or are checked identifiers

ITEM = "i"
"""What the table of a record's list is called in conditions on its entries."""
LINK, PAYLOAD = "link_pncp", "payload"
OWN = ("visto_em", "alterado_em")
"""Columns that say when the mirror has stored a row, and not what is stored."""
_OWN_TABLE = re.compile(rf"(?<!\w){MAIN}\.")
_GROUP = re.compile(r"\(\?P<(\w+)>")


@dataclass(frozen=True, eq=False)
class DeliveredColumn:
    """A column by the SQL that gives it; JSON as text, whose numbers are exact."""

    name: str
    kind: Kind
    sql: str
    label: str


@dataclass(frozen=True, eq=False)
class Items:
    """The first list of a record: what stands behind FROM, which rows are the record's, and its columns."""

    source: str
    condition: str
    columns: Mapping[str, DeliveredColumn]


@dataclass(frozen=True, eq=False)
class Delivered:
    """What destinations receive. `source` stands behind FROM, where its own table is called `e`.

    `key` is SQL of the key's parts, and `key_sql` of the key as one text, its parts joined by `/`. `version` is SQL of
    the moment of the last change, a `timestamptz`. `condition` holds for all its rows; empty for none. `key_names` are
    what the parts of its key are called, and `kinds` their kinds. `items` is the first list of a record. `resource` is
    the name of the resource whose synchronisations write its rows, where that is one.
    """

    name: str
    label: str
    source: str
    key: tuple[str, ...]
    key_sql: str
    version: str
    condition: str
    columns: Mapping[str, DeliveredColumn]
    kinds: tuple[Kind, ...] = (Kind.TEXT,)
    items: Items | None = None
    key_names: tuple[str, ...] = ()
    resource: str | None = None

    def rows_of(self) -> str:
        """SQL of the condition that a row has one of some keys; `{keys}` stands for an array of key texts.

        It begins with the first part of the key, so that an index answers it. A text that no key can be finds nothing.
        """
        keys = "CAST({keys} AS text[])"
        first = self.key[0]
        if len(self.key) == 1:
            if self.kinds[0] in INTEGERS:
                # the condition stands inside, for it must hold before the text is cast
                number = "CASE WHEN k ~ '^[0-9]+$' AND length(k) < 19 THEN CAST(k AS bigint) END"
                return f"{first} = ANY(ARRAY(SELECT {number} FROM unnest({keys}) k))"
            return f"{first} = ANY({keys})"
        # a first part may hold slashes itself: all beginnings that end before one are looked for
        begins = (
            "ARRAY(SELECT DISTINCT array_to_string(p[1:n], '/')"
            f" FROM unnest({keys}) k, string_to_array(k, '/') p, generate_series(1, cardinality(p) - 1) n)"
        )
        return f"{first} = ANY({begins}) AND {self.key_sql} IN (SELECT unnest({keys}))"


def _column(each: Field) -> DeliveredColumn:
    return DeliveredColumn(each.name, each.kind, _read(each.kind, each.sql), each.label)


def _read(kind: Kind, sql: str) -> str:
    return f"CAST({sql} AS text)" if kind is Kind.JSON else sql


def _link_sql(resource: Resource, key: str) -> str:
    """SQL of the page on which the portal shows a record; null for a key of another form."""
    names = _GROUP.findall(resource.key_pattern)
    pattern = _GROUP.sub("(", resource.key_pattern)
    groups = f"regexp_match({key}, '^{pattern}$')"
    parts = []
    for text in re.split(r"(\{\w+\})", resource.page):
        if text.startswith("{"):
            name = text[1:-1]
            part = f"({groups})[{names.index(name) + 1}]"
            parts.append(part if name == "cnpj" else f"ltrim({part}, '0')")
        elif text:
            parts.append(f"'{text}'")
    return " || ".join(parts)


def _list_column(resource: Resource, child: Child) -> DeliveredColumn:
    """The entries of a record's list as the portal gives them, in the order of their key."""
    order = ", ".join(f"{ITEM}.{name}" for name in child.key)
    entries = f"SELECT jsonb_agg({ITEM}.payload ORDER BY {order}) FROM {child.name} {ITEM}"
    sql = f"({entries} WHERE {ITEM}.{resource.key} = {MAIN}.{resource.key})"
    return DeliveredColumn(_NAMES[child], Kind.JSON, _read(Kind.JSON, sql), child.label)


def _items(resource: Resource, child: Child) -> Items:
    columns = (key_column(resource), *entry_columns(child))
    return Items(
        f"{child.name} {ITEM}",
        f"{ITEM}.{resource.key} = {MAIN}.{resource.key}",
        {each.name: DeliveredColumn(each.name, each.kind, f"{ITEM}.{each.name}", each.label) for each in columns},
    )


def _of(entity: Entity, name: str) -> Delivered:
    """The rows of an entity that stand in one table."""
    columns = {
        each.name: _column(each)
        for each in entity.fields.values()
        if each.name != PAYLOAD and _OWN_TABLE.search(each.sql)
    }
    resource = entity.resources[0] if entity.resource or entity.children else None
    if resource is not None and resource.page:
        link = _link_sql(resource, f"{MAIN}.{resource.key}")
        columns[LINK] = DeliveredColumn(LINK, Kind.TEXT, link, "Página no PNCP")
    if entity.resource is not None:
        columns |= {_NAMES[child]: _list_column(entity.resource, child) for child in entity.resource.lists}
    columns[PAYLOAD] = _column(entity.fields[PAYLOAD])
    key = tuple(each.sql for each in entity.key)
    lists = entity.resource.lists if entity.resource else ()
    return Delivered(
        name=name,
        label=entity.label,
        source=entity.source.partition(" ")[0] + f" {MAIN}",
        key=key,
        key_sql=key[0] if len(key) == 1 and entity.key[0].kind not in INTEGERS else joined_key(key),
        version=f"{MAIN}.updated_at",
        condition="",
        columns=columns,
        kinds=tuple(each.kind for each in entity.key),
        items=_items(entity.resource, lists[0]) if entity.resource and lists else None,
        key_names=tuple(each.name for each in entity.key),
        resource=resource.name if resource else None,
    )


_LISTS = (*INLINE, *LATER)
_ADDRESSES = {child: of_child(resource, child).address for resource, child in _LISTS}
_SHARED = {address for address, count in Counter(_ADDRESSES.values()).items() if count > 1}
# lists that are shown as one stand in tables of their own, and are delivered by the names of these
_NAMES = {
    child: child.name if address in _SHARED else address.replace("-", "_") for child, address in _ADDRESSES.items()
}


def _all() -> Iterable[Delivered]:
    for entity in ENTITIES:
        if entity.resource is not None or entity.party is not None:
            yield _of(entity, entity.name)
    for resource, child in _LISTS:
        yield _of(of_child(resource, child), _NAMES[child])


DELIVERED: Mapping[str, Delivered] = {each.name: each for each in _all()}
"""What of the mirror can be delivered, by name."""


def of_declared(entity: Declaration) -> Delivered:
    """The records of a declared entity, or the rows of its view, whose `version` is of type `timestamptz`.

    A value that a column cannot hold fails the statement that reads it. A key of one whole number in a view is compared
    as one.
    """
    columns = {
        each.name: DeliveredColumn(each.name, each.kind, strict_value_of(entity, each, MAIN), each.label)
        for each in entity.columns.values()
    }
    if entity.view is None:
        return Delivered(
            name=entity.name,
            label=entity.label,
            source=f"{RECORDS} {MAIN}",
            key=(f"{MAIN}.key",),
            key_sql=f"{MAIN}.key",
            version=f"{MAIN}.updated_at",
            condition=f"{MAIN}.entity = '{entity.name}' AND {MAIN}.removed_at IS NULL",
            columns=columns,
            key_names=entity.key,
        )
    key = tuple(f"{MAIN}.{each}" for each in entity.key)
    return Delivered(
        name=entity.name,
        label=entity.label,
        source=f"{entity.view} {MAIN}",
        key=key,
        key_sql=joined_key(key),
        version=f"{MAIN}.{entity.version}",
        condition="",
        columns=columns,
        kinds=tuple(entity.columns[each].kind for each in entity.key),
        key_names=entity.key,
    )
