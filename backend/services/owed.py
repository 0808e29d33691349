"""What is stored incompletely: contratações whose items are owed, lists that are read later, fields that do not fit.

Used by alerts, the dashboard and metrics.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.resources import LATER

MOST_FIELDS = 50
MOST_COUNTED = 100_000
"""Debts of a list that are counted; of more the number is estimated."""
DRIFT_FOR = timedelta(days=7)
"""A field without drift for this long is no longer listed."""

COUNT = text("""
    SELECT count(*) AS count, min(owed_since) AS since, mode() WITHIN GROUP (ORDER BY cause) AS cause,
           count(*) FILTER (WHERE set_aside_at IS NULL AND reason = 'unread') AS unread,
           count(*) FILTER (WHERE set_aside_at IS NULL AND reason = 'empty') AS empty,
           count(*) FILTER (WHERE set_aside_at IS NOT NULL) AS set_aside
      FROM itens_owed
""")
_LOAD_CAUSES = text("""
    SELECT reason, count(*) AS contratacoes, bool_or(set_aside_at IS NOT NULL) AS is_set_aside,
           (array_agg(cause ORDER BY as_of DESC))[1] AS cause
      FROM itens_owed GROUP BY reason ORDER BY contratacoes DESC, reason
""")
_LOAD_DRIFT = text("""
    SELECT resource, path, kind, first_seen, last_seen, records, example
      FROM schema_drift
     WHERE CAST(:within AS interval) IS NULL OR last_seen > now() - CAST(:within AS interval)
     ORDER BY last_seen DESC, resource, path, kind LIMIT :most
""")


# Exact where that is fast, else the planner's estimate of the table: a scope may take millions of records.
_LIST = """
    SELECT CAST('{service}' AS text) AS list, CAST('{resource}' AS text) AS resource,
           CASE WHEN t.reltuples > {most} THEN CAST(t.reltuples AS bigint)
                ELSE (SELECT count(*) FROM {debts} WHERE set_aside_at IS NULL) END AS owed,
           CASE WHEN t.reltuples <= {most}
                THEN (SELECT count(*) FROM {debts} WHERE set_aside_at IS NOT NULL) END AS set_aside
      FROM pg_class t WHERE t.oid = CAST('{debts}' AS regclass)
"""
_LISTS = text(
    " UNION ALL ".join(
        _LIST.format_map(
            {"service": child.service, "resource": resource.name, "debts": child.debts, "most": MOST_COUNTED}
        )
        for resource, child in LATER
    )
)


async def load_lists(db: AsyncConnection) -> Sequence[Row[Any]]:
    """Of each list that is only read later how many records wait for theirs, and how many have been given up."""
    return (await db.execute(_LISTS)).all()


async def load_owed(db: AsyncConnection) -> Row[Any]:
    """How many contratações are stored without their items, since when, and in which state."""
    return (await db.execute(COUNT)).one()


async def load_causes(db: AsyncConnection) -> Sequence[Row[Any]]:
    """Why items are owed, in a word (unread, empty), the more frequent first; `cause` is that of the newest record."""
    return (await db.execute(_LOAD_CAUSES)).all()


async def load_drift(db: AsyncConnection, *, within: timedelta | None = None) -> Sequence[Row[Any]]:
    """Fields whose values did not fit their columns, the latest first; those seen within this time, or all."""
    return (await db.execute(_LOAD_DRIFT, {"within": within, "most": MOST_FIELDS})).all()
