"""Lists that are read later: one is asked for by hand, and what reading them comes to is said beforehand."""

import re
from functools import cache

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import NotFoundError, TooManyUnfinishedError
from backend.models.lists import ListAccepted, ListPlan, ListPlanRequest, ListRequest, PlannedList
from common.config import ListSettings
from common.database import run_again
from common.lists import ask_for, hours_of, plan_list, write_scope
from common.resources import LATER
from common.resources.description import Child, Resource

ADMISSION = 7_020_114_147
"""The advisory lock under which the lists that wait are counted and another one is added."""

_TAKE_ADMISSION = text("SELECT pg_advisory_xact_lock(:key)")
_STATE = """
    SELECT c.{read_at} AS read_at, coalesce(c.{read_at} > now() - interval '1 hour', false) AS is_fresh,
           CASE WHEN o.set_aside_at IS NULL THEN o.asked_at END AS asked_at, now() AS now
      FROM {parent} c LEFT JOIN {debts} o ON o.{key} = c.{key}
     WHERE c.{key} = :key
"""
_ASKED = " UNION ALL ".join(
    f"(SELECT FROM {child.debts} WHERE asked_at IS NOT NULL AND set_aside_at IS NULL LIMIT :most)" for _, child in LATER
)
_COUNT_ASKED = text("SELECT count(*) FROM (" + _ASKED + ") asked")  # noqa: S608  # names of descriptions
_REQUESTS = """
    SELECT CASE WHEN c.{read_at} IS NOT NULL
                THEN (SELECT count(*) FROM {table} e WHERE e.{key} = c.{key} AND e.{has}) END
      FROM {parent} c WHERE c.{key} = :key
"""


@run_again
async def ask_for_list(engine: AsyncEngine, request: ListRequest, *, most_asked: int | None) -> ListAccepted:
    """Have the list of a record read before all others.

    `most_asked`: so many lists that were asked for may wait, and neither one of them nor one that was read within the
    hour is read again; `None`: it is read in any case.

    Raises:
        NotFoundError: there is no such record that has such a list.
        TooManyUnfinishedError: too many lists that were asked for wait.

    """
    key = request.numero_controle_pncp
    for resource, child in LATER:
        if child.service != request.list or not re.fullmatch(resource.key_pattern, key):
            continue
        async with engine.begin() as db:
            if most_asked is not None:
                await db.execute(_TAKE_ADMISSION, {"key": ADMISSION})
            state = (await db.execute(_state(resource, child), {"key": key})).one_or_none()
            if state is None:
                continue
            asked_at, read_at = state.asked_at, state.read_at
            is_waiting = most_asked is not None and asked_at is not None
            is_read = most_asked is not None and not is_waiting and state.is_fresh
            if not (is_waiting or is_read):
                if most_asked is not None:
                    await _refuse_too_many(db, most_asked)
                await ask_for(db, resource, child, key)
                asked_at, read_at = state.now, None
            return ListAccepted(
                list=request.list,
                resource=resource.name,
                numero_controle_pncp=key,
                status="read" if is_read else "asked",
                asked_at=asked_at,
                read_at=read_at,
                requests=0 if is_read else await _requests_for(db, resource, child, key),
            )
    raise NotFoundError(f"O espelho não tem um registro {key} que tenha {request.list}.")


async def _refuse_too_many(db: AsyncConnection, most: int) -> None:
    if (await db.execute(_COUNT_ASKED, {"most": most})).scalar_one() >= most:
        raise TooManyUnfinishedError(
            f"Já esperam {most} listas pedidas, que é o limite (LISTS_ASKED_AT_ONCE): tente de novo em alguns segundos."
        )


@cache
def _state(resource: Resource, child: Child) -> TextClause:
    names = {"read_at": child.read_at, "debts": child.debts, "key": resource.key, "parent": resource.name}
    return text(_STATE.format_map(names))


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
