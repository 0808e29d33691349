"""Lists that are read later: one is asked for by hand, and what reading them comes to is said beforehand."""

import re
from functools import cache

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import NotFoundError
from backend.models.lists import ListAccepted, ListPlan, ListPlanRequest, ListRequest, PlannedList
from common.config import ListSettings
from common.database import run_again
from common.lists import ask_for, hours_of, plan_list, write_scope
from common.resources import LATER
from common.resources.description import Child, Resource

_REQUESTS = """
    SELECT CASE WHEN c.{read_at} IS NOT NULL
                THEN (SELECT count(*) FROM {table} e WHERE e.{key} = c.{key} AND e.{has}) END
      FROM {parent} c WHERE c.{key} = :key
"""


@run_again
async def ask_for_list(engine: AsyncEngine, request: ListRequest) -> ListAccepted:
    """Have the list of a record read before all others.

    Raises:
        NotFoundError: there is no such record that has such a list.

    """
    key = request.numero_controle_pncp
    for resource, child in LATER:
        if child.service != request.list or not re.fullmatch(resource.key_pattern, key):
            continue
        async with engine.begin() as db:
            if await ask_for(db, resource, child, key):
                requests = await _requests_for(db, resource, child, key)
                return ListAccepted(
                    list=request.list, resource=resource.name, numero_controle_pncp=key, requests=requests
                )
    raise NotFoundError(f"O espelho não tem um registro {key} que tenha {request.list}.")


@cache
def _requests(resource: Resource, child: Child) -> TextClause | None:
    parts = child.parts
    if parts is None:
        return None
    names = {"read_at": parts.child.read_at, "table": parts.child.name, "has": parts.has}
    return text(_REQUESTS.format_map({**names, "key": resource.key, "parent": resource.name}))


async def _requests_for(db: AsyncConnection, resource: Resource, child: Child, key: str) -> int | None:
    """How many requests the list of a record comes to; `None` while it is not known which parts it has."""
    statement = _requests(resource, child)
    if statement is None:
        return 1
    found: int | None = (await db.execute(statement, {"key": key})).scalar_one()
    return found


async def plan_lists(engine: AsyncEngine, settings: ListSettings, request: ListPlanRequest) -> ListPlan:
    """What reading the lists comes to, as they are set or as is asked."""
    pace = settings.pncp_lists_per_second
    planned: list[PlannedList] = []
    for resource, child in LATER:
        if request.list not in (None, child.service):
            continue
        scope = settings.list_scopes[child.service] if request.scope is None else request.wanted
        async with engine.connect() as db:
            one = await plan_list(db, resource, child, scope)
        planned.append(
            PlannedList(
                list=child.service,
                resource=resource.name,
                scope=write_scope(scope),
                owed=one.owed,
                set_aside=one.set_aside,
                new=one.new,
                requests=one.requests,
                hours=hours_of(one.requests, pace),
            )
        )
    requests = sum(one.requests for one in planned)
    return ListPlan(requests_per_second=pace, lists=planned, requests=requests, hours=hours_of(requests, pace))
