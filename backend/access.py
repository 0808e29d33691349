"""Who may call an endpoint and what a call counts as: declared beside the endpoint, read by the gate."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from common.connections.scopes import ADMIN, ANY, DELIVER, INTAKE, READ, READ_ALL, scope_of

Cost = Literal["read", "write"]
Endpoint = TypeVar("Endpoint", bound=Callable[..., object])

_KEY = "access"


@dataclass(frozen=True)
class Access:
    """The scope that an endpoint asks for, and the limit that its calls count against.

    A name in braces stands for the parameter of the path: `intake:{entidade}`. `deliver:?` lets any scope of the kind
    in: what is asked for stands in the body, and the endpoint judges it by `require_scope`. `also`: a scope that lets
    in as well, and whose holders the endpoint shows what is theirs.
    """

    scope: str
    cost: Cost
    also: str | None = None

    def scope_at(self, parameters: Mapping[str, Any]) -> str:
        """The scope at an address with these parameters."""
        kind, _, name = self.scope.partition(":")
        if not name.startswith("{"):
            return self.scope
        given = str(parameters[name[1:-1]])
        if kind != DELIVER:
            given = given.replace("-", "_")  # addresses have hyphens where entities have underscores
        return scope_of(kind, given)


CLOSED = Access(ADMIN, "write")
"""The access of an endpoint that declares none."""


def access(scope: str, cost: Cost, *, also: str | None = None) -> Callable[[Endpoint], Endpoint]:
    """Declare the access of an endpoint; the route's decorator stands above this one."""

    def declare(endpoint: Endpoint) -> Endpoint:
        vars(endpoint)[_KEY] = Access(scope, cost, also)
        return endpoint

    return declare


reads = access(READ_ALL, "read")
asks = access(READ_ALL, "write")
"""Of what readers make for themselves: files, saved searches, lists of a record."""
changes = access(ADMIN, "write")
takes_in = access(f"{INTAKE}:{{entidade}}", "write")
takes_in_some = access(f"{INTAKE}:{ANY}", "write")
reads_imports = access(READ_ALL, "read", also=f"{INTAKE}:{ANY}")
delivers = access(f"{DELIVER}:{{destination}}", "write")
delivers_some = access(f"{DELIVER}:{ANY}", "write")
reads_job = access(READ_ALL, "read", also=f"{DELIVER}:{ANY}")


def reads_list(name: str) -> Callable[[Endpoint], Endpoint]:
    """Declare that an endpoint reads the records of one list, by its address or as `{entidade}`."""
    return access(f"{READ}:{name.replace('-', '_')}", "read")


describes = access(READ_ALL, "read", also=f"{INTAKE}:{ANY}")
"""What entities and sheets look like, for those who hand records in, too."""


def access_of(route: BaseRoute) -> Access:
    """The declared access of a route's endpoint, `CLOSED` where there is none."""
    declared = getattr(getattr(route, "endpoint", None), _KEY, CLOSED)
    return declared if isinstance(declared, Access) else CLOSED


def leaves(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """The routes of an application, those of included routers among them."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from leaves(included.routes)


def methods_at(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """The methods that the address of a request takes, sorted."""
    return methods_of(route for route in leaves(routes) if route.matches(scope)[0] is not Match.NONE)


def methods_of(routes: Iterable[BaseRoute]) -> list[str]:
    """All methods that some route answers to, sorted."""
    return sorted({method for route in leaves(routes) for method in getattr(route, "methods", None) or ()})
