"""Who may call an endpoint and what a call counts as: declared beside the endpoint, read by the gate."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from backend.security import Role

Cost = Literal["read", "write"]
Endpoint = TypeVar("Endpoint", bound=Callable[..., object])

_KEY = "access"


@dataclass(frozen=True)
class Access:
    """The least role that may call an endpoint, and the limit that its calls count against."""

    role: Role
    cost: Cost

    def allows(self, role: Role) -> bool:
        """Whether a user of this role may call."""
        return role == "admin" or self.role == "viewer"


CLOSED = Access("admin", "write")
"""The access of an endpoint that declares none."""


def access(role: Role, cost: Cost) -> Callable[[Endpoint], Endpoint]:
    """Declare the access of an endpoint; the route's decorator stands above this one."""

    def declare(endpoint: Endpoint) -> Endpoint:
        vars(endpoint)[_KEY] = Access(role, cost)
        return endpoint

    return declare


reads = access("viewer", "read")
changes = access("admin", "write")


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
