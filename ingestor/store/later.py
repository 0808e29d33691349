"""Debts of lists that are only read later: made as their records are written, and for those of a scope that is new."""

from collections.abc import Iterable
from functools import cache
from typing import Literal

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lists import Scope, Scopes, in_scope, is_to_be_read
from common.resources.description import Child, Resource

# ruff: noqa: S608  # all names in these statements stand in descriptions


@cache
def _owe(resource: Resource, child: Child) -> TextClause:
    return text(_to_owe(resource, child))


def _to_owe(resource: Resource, child: Child) -> str:
    key, whole = resource.key, resource.version[1]
    anew = ", parts_left = NULL" if child.parts else ""
    return f"""
    INSERT INTO {child.debts} AS known ({key}, as_of, reason, execution_id)
    SELECT c.{key}, c.{whole}, 'unread', (SELECT id FROM sync_executions WHERE id = :execution_id FOR KEY SHARE)
      FROM unnest(CAST(:keys AS text[])) AS written (key)
     CROSS JOIN LATERAL (SELECT * FROM {resource.name} r WHERE r.{key} = written.key LIMIT 1) c
     WHERE {is_to_be_read(resource, child)}
           AND {in_scope(resource)}
     ORDER BY c.{key}
    ON CONFLICT ({key}) DO UPDATE
       SET as_of = excluded.as_of, execution_id = excluded.execution_id, owed_since = now(), tries = 0,
           empty_sights = 0, due_at = now(), set_aside_at = NULL{anew}
     WHERE known.as_of <> excluded.as_of
"""


async def owe_later(
    db: AsyncConnection,
    resource: Resource,
    keys: Iterable[str],
    scopes: Scopes,
    *,
    execution_id: int | None,
    only: Child | None = None,
) -> None:
    """Owe the lists of these records that are only read later, where they are in scope and not read.

    Of a version that is owed already the debt stays as it is.
    """
    keys = list(keys)
    for child in resource.later if only is None else (only,):
        scope = scopes.get(child.service)
        if scope is not None and keys:
            await db.execute(_owe(resource, child), {"keys": keys, "execution_id": execution_id, **scope.values})


# --- a scope that is new ----------------------------------------------------------------------------------------

RECORDS_AT_ONCE = 5_000
Widening = Literal["more", "ended", "elsewhere"]
"""Whether records are left to look at, none are, or another ingestor looks at them just now."""

_BEGIN = text("""
    INSERT INTO list_scopes (list, scope) VALUES (:list, :scope) ON CONFLICT (list) DO NOTHING
""")
_LOOK = text("SELECT scope, position, ended_at FROM list_scopes WHERE list = :list FOR UPDATE SKIP LOCKED")
_NOTE = text("""
    UPDATE list_scopes
       SET scope = :scope, position = :position, updated_at = now(), ended_at = CASE WHEN :has_ended THEN now() END
     WHERE list = :list
""")


_NEXT_KEYS = "SELECT {key} FROM {table} WHERE {key} > :position ORDER BY {key} LIMIT :most"


@cache
def _next_keys(resource: Resource) -> TextClause:
    return text(_NEXT_KEYS.format_map({"key": resource.key, "table": resource.name}))


@cache
def _drop(resource: Resource, child: Child) -> TextClause:
    return text(_to_drop(resource, child))


def _to_drop(resource: Resource, child: Child) -> str:
    key = resource.key
    return f"""
    DELETE FROM {child.debts} o USING {resource.name} c
     WHERE o.{key} = ANY(CAST(:keys AS text[])) AND c.{key} = o.{key} AND o.asked_at IS NULL
       AND ({in_scope(resource)}) IS NOT TRUE
"""


async def widen(db: AsyncConnection, resource: Resource, child: Child, scope: Scope, *, begins: bool) -> Widening:
    """Look at the next records of a scope that is new: owe the lists that are in it, and drop debts that are not.

    `begins`: the scope may replace another one; of two ingestors that are set differently, the one that has begun last
    goes on.
    """
    about = {"list": child.name, "scope": str(scope)}
    if begins:
        await db.execute(_BEGIN, about)
    seen = (await db.execute(_LOOK, about)).one_or_none()
    if seen is None:
        return "elsewhere"
    position, ended_at = seen.position, seen.ended_at
    if seen.scope != about["scope"]:
        if not begins:
            return "ended"
        position, ended_at = "", None
    if ended_at is not None:
        return "ended"
    rows = await db.execute(_next_keys(resource), {"position": position, "most": RECORDS_AT_ONCE})
    keys = list(rows.scalars())
    if keys:
        await db.execute(_drop(resource, child), {"keys": keys, **scope.values})
        await owe_later(db, resource, keys, {child.service: scope}, execution_id=None, only=child)
    has_ended = len(keys) < RECORDS_AT_ONCE
    await db.execute(_NOTE, {**about, "position": keys[-1] if keys else position, "has_ended": has_ended})
    return "ended" if has_ended else "more"
