"""What scopes allow, and what two sets of them allow both."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.connections.scopes import ADMIN, FORM, KINDS, common_scopes, covers

NAMES = ["*", "compras", "crm-1"]
SCOPES = [ADMIN, *(f"{kind}:{name}" for kind in KINDS for name in NAMES)]
some_scopes = st.frozensets(st.sampled_from(SCOPES))


@pytest.mark.parametrize(
    ("held", "wanted", "allowed"),
    [
        ({"admin"}, "admin", True),
        ({"admin"}, "deliver:crm", True),
        ({"read:*"}, "admin", False),
        ({"read:*", "intake:*", "deliver:*"}, "admin", False),
        ({"read:*"}, "read:compras", True),
        ({"read:*"}, "intake:compras", False),
        ({"read:compras"}, "read:*", False),
        ({"read:compras"}, "read:compra", False),
        ({"read:compras"}, "read:compras_extra", False),
        ({"intake:compras"}, "intake:?", True),
        ({"intake:compras"}, "deliver:?", False),
        (set(), "read:?", False),
        (set(), "admin", False),
        (set(), "", False),
    ],
)
def test_a_scope_allows_itself_and_what_its_star_stands_for(held: set[str], wanted: str, allowed: bool) -> None:
    assert covers(held, wanted) is allowed


@given(some_scopes, some_scopes)
def test_what_both_allow_is_what_each_allows(left: frozenset[str], right: frozenset[str]) -> None:
    both = common_scopes(left, right)
    for wanted in SCOPES:
        assert covers(both, wanted) == (covers(left, wanted) and covers(right, wanted)), wanted


def test_no_scope_that_a_client_may_have_is_the_administrator_s_or_any_of_a_kind() -> None:
    written = [scope for scope in SCOPES if re.fullmatch(FORM, scope)]
    assert written == [scope for scope in SCOPES if scope != ADMIN]
    assert not re.fullmatch(FORM, "intake:?")
