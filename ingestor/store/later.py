"""Debts of lists that are only read later: made as their records are written, and for all records of a wider scope."""

from collections.abc import Iterable
from functools import cache

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lists import Scopes, in_scope, is_to_be_read
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
    db: AsyncConnection, resource: Resource, keys: Iterable[str], scopes: Scopes, *, execution_id: int | None
) -> None:
    """Owe the lists of these records that are only read later, where they are in scope and not read.

    Of a version that is owed already the debt stays as it is.
    """
    keys = list(keys)
    for child in resource.later:
        scope = scopes.get(child.service)
        if scope is not None and keys:
            await db.execute(_owe(resource, child), {"keys": keys, "execution_id": execution_id, **scope.values})
