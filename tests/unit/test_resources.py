"""A description says nothing that contradicts itself."""

import re

import pytest

from common.resources import RESOURCES
from common.resources.derive import party_columns, party_key
from common.resources.description import Column, Mention, Party, Resource
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
    named = {resource.key, *resource.version, *(name for index in resource.indexes for name in index)}
    named |= {listing.stamp for listing in resource.listings.values()}
    named |= {resource.axis.column} if resource.axis else set()
    assert named <= columns


@every_resource
def test_a_record_needs_its_key_and_its_stamps_and_nothing_else(resource: Resource) -> None:
    required = {column.name for column in resource.columns if column.required}
    stamps = {listing.stamp for listing in resource.listings.values()}
    assert required == {resource.key, *resource.version, *stamps}
    if resource.child:
        assert {column.name for column in resource.child.columns if column.required} == {resource.child.key}


@every_resource
def test_a_key_s_pattern_is_one(resource: Resource) -> None:
    assert re.compile(resource.key_pattern).fullmatch("x") is None


def mention_columns(mention: Mention) -> set[str]:
    return {f"{mention.prefix}_{column.name}" for column in mention.party.columns}


@every_resource
def test_a_resource_has_the_columns_of_the_parties_that_it_names(resource: Resource) -> None:
    columns = names(resource.columns)
    for mention in resource.mentions:
        assert mention_columns(mention) <= columns
        assert mention.party in PARTIES
        assert (mention.owner and mention.owner.party) is mention.party.owner
        if mention.confirms:
            key = f"{(mention.owner or mention).prefix}_{party_key(mention.party)[0]}"
            assert any(index[0] == key for index in resource.indexes)


@pytest.mark.parametrize("party", PARTIES, ids=lambda party: party.name)
def test_a_party_s_key_is_among_its_columns(party: Party) -> None:
    assert set(party_key(party)) <= names(party_columns(party))
