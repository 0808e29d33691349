"""Makes what a file of `clients/` declares: a program that calls the API, and what it may do there."""

import re
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_network

from common.connections.files import ClientFile
from common.connections.scopes import ADMIN, ALL, FORM, KINDS
from common.connections.settings import Client
from common.mapping.problem import Problem, unknown

_WHAT = {"read": "entidade desconhecida", "intake": "entidade desconhecida", "deliver": "destino desconhecido"}


def make_client(
    name: str, written: ClientFile, known: Mapping[str, Collection[str]]
) -> tuple[Client | None, list[Problem]]:
    """The client, or what keeps it from being one. `known`: the names that a scope of each kind may have."""
    problems = [*_problems_of_scopes(written, known), *_problems_of_networks(written)]
    if problems:
        return None, problems
    made = Client(
        name=name,
        scopes=frozenset(written.scopes),
        networks=tuple(ip_network(each) for each in written.networks),
        secret_sha256=bytes.fromhex(written.secret_sha256),
    )
    return made, []


def _problems_of_scopes(written: ClientFile, known: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    for index, scope in enumerate(written.scopes):
        fault = scope_fault(scope, known)
        if fault:
            yield Problem(("scopes", index), fault)
    if len(set(written.scopes)) < len(written.scopes):
        yield Problem(("scopes",), "um escopo está repetido")


def scope_fault(scope: str, known: Mapping[str, Collection[str]] | None = None) -> str | None:
    """Why a client may not have a scope, for people; null if it may. Without `known`, only its form is judged."""
    if scope == ADMIN:
        return f"um cliente não pode ter o escopo `{ADMIN}`"
    kind, _, name = scope.partition(":")
    if kind not in KINDS:
        return unknown("escopo desconhecido", kind, KINDS)
    if not re.fullmatch(FORM, scope):
        return f"`{scope}`: esperava `{kind}:*` ou `{kind}:nome`"
    if known is None or name == ALL or name in known[kind]:
        return None
    return unknown(_WHAT[kind], name, known[kind])


def _problems_of_networks(written: ClientFile) -> Iterator[Problem]:
    for index, network in enumerate(written.networks):
        try:
            ip_network(network)
        except ValueError:
            yield Problem(("networks", index), f"`{network}`: esperava um endereço ou uma rede, como 10.1.0.0/16")
