"""Scopes: what a caller may do. `admin` is everything; the others are a kind and a name, or `*` for all names.

`read:compras` is to read the records of an entity, `intake:compras` to hand records of it in, and `deliver:crm` to
have records sent to a destination.
"""

import re
from collections.abc import Collection, Iterable

from common.connections.files import NAME

ADMIN, READ, INTAKE, DELIVER = "admin", "read", "intake", "deliver"
KINDS = (READ, INTAKE, DELIVER)
ALL, ANY = "*", "?"
FORM = rf"({'|'.join(KINDS)}):(\*|{NAME})"
"""Of a scope that is not `admin`."""
READ_ALL = f"{READ}:{ALL}"


def scope_of(kind: str, name: str) -> str:
    """The scope for a name that a stranger may have written: what cannot be a name asks for all of them.

    So it is neither taken for a sign of ours nor written into a header.
    """
    return f"{kind}:{name if re.fullmatch(NAME, name) else ALL}"


def covers(held: Collection[str], wanted: str) -> bool:
    """Whether these scopes allow what asks for one; `intake:?` asks for any scope of its kind."""
    kind, _, name = wanted.partition(":")
    if ADMIN in held or wanted in held:
        return True
    if name == ANY:
        return any(one.startswith(f"{kind}:") for one in held)
    return bool(name) and f"{kind}:{ALL}" in held


def common_scopes(some: Iterable[str], others: Iterable[str]) -> frozenset[str]:
    """What both allow."""
    left, right = frozenset(some), frozenset(others)
    return frozenset(one for one in left if covers(right, one)) | frozenset(one for one in right if covers(left, one))
