"""The tables whose words are searched, and how the words of a row are read out of its columns."""

from collections.abc import Iterator
from dataclasses import dataclass

from common.resources import INLINE, LATER, RESOURCES
from common.resources.derive import party_key, search_order, search_vector
from common.resources.parties import PARTIES


@dataclass(frozen=True)
class SearchedTable:
    """A table with a column `busca`: its key, and SQL of the words of a row.

    Rows without words are looked for by the column `order`, from its highest value down. `is_list`: of the entries of
    lists, whose words are only made where settings ask for it.
    """

    name: str
    key: tuple[str, ...]
    order: str
    vector: str
    is_list: bool = False


def _searched_tables() -> Iterator[SearchedTable]:
    for resource in RESOURCES:
        if resource.searched:
            vector = search_vector(resource.searched)
            yield SearchedTable(resource.name, (resource.key,), search_order(resource), vector)
    for party in PARTIES:
        yield SearchedTable(party.name, party_key(party), search_order(party), search_vector(party.searched))
    for resource, child in (*INLINE, *LATER):
        if child.searched:
            key = (resource.key, *child.key)
            yield SearchedTable(child.name, key, search_order(child), search_vector(child.searched), is_list=True)


SEARCHED = {table.name: table for table in _searched_tables()}
"""By their names, in the order in which words are made for rows that have none."""
