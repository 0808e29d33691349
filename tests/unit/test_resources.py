"""A description says nothing that contradicts itself."""

import re

import pytest

from common.resources import RESOURCES
from common.resources.derive import entry_columns, party_columns, party_key
from common.resources.description import Column, Kind, Party, Resource
from common.resources.parties import PARTIES

every_resource = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)


def names(columns: tuple[Column, ...]) -> set[str]:
    found = [column.name for column in columns]
    assert len(found) == len(set(found))
    assert all(column.label and column.path for column in columns)
    return set(found)


@every_resource
def test_what_a_resource_names_are_columns_of_it(resource: Resource) -> None:
    columns = names(resource.columns)
    key = resource.key_columns or (resource.key,)
    named = {*key, *resource.version, *(name for index in resource.indexes for name in index)}
    named |= {listing.stamp for listing in resource.listings.values()}
    named |= set(resource.searched)
    named |= {resource.axis.column} if resource.axis else set()
    assert named <= columns
    for child in resource.lists:
        assert set(child.searched) <= names(child.columns)


@every_resource
def test_what_is_in_an_index_is_short(resource: Resource) -> None:
    """PostgreSQL refuses a row whose value is too long for one."""
    kinds = {column.name: column.kind for column in resource.columns}
    indexed = {name for index in resource.indexes for name in index} - {resource.key}
    assert not {name for name in indexed if kinds[name] is Kind.TEXT}


@every_resource
def test_a_record_needs_its_key_and_its_stamps_and_nothing_else(resource: Resource) -> None:
    required = {column.name for column in resource.columns if column.required}
    stamps = {listing.stamp for listing in resource.listings.values()}
    assert required == {*(resource.key_columns or (resource.key,)), *resource.version, *stamps}
    for child in resource.lists:
        assert {column.name for column in entry_columns(child) if column.required} == {
            *child.key,
            *child.key_columns[:1],
        }
        assert set(child.key_columns) <= names(child.columns)
        assert child.keeps_gone or not child.key_columns


@every_resource
def test_a_key_s_pattern_is_one(resource: Resource) -> None:
    pattern = re.compile(resource.key_pattern)
    assert pattern.fullmatch("x") is None
    assert "ano" in pattern.groupindex or not resource.is_collected


@every_resource
def test_a_mention_says_a_party_s_key_and_name_by_columns_of_its_record(resource: Resource) -> None:
    columns = {column.name: column for column in resource.columns}
    for mention in resource.mentions:
        party = mention.party
        key = party_key(party)
        assert mention.columns.keys() <= names(party_columns(party))
        assert {*key, party.called} <= mention.columns.keys()
        assert set(mention.columns.values()) <= columns.keys()
        # they are in the index of the party's key
        assert {columns[mention.columns[name]].kind for name in key} == {Kind.SHORT_TEXT}
        if mention.path is not None:
            assert {columns[mention.columns[column.name]].path for column in party.columns} == {
                f"{mention.path}.{column.path}" for column in party.columns
            }


@every_resource
def test_every_resource_writes_its_parties_in_the_same_order(resource: Resource) -> None:
    written = list(dict.fromkeys(mention.party for mention in resource.mentions))
    assert written == [party for party in PARTIES if party in written]


@pytest.mark.parametrize("party", PARTIES, ids=lambda party: party.name)
def test_a_party_s_key_and_name_are_among_its_columns(party: Party) -> None:
    assert {*party_key(party), party.called, *party.searched} <= names(party_columns(party))
