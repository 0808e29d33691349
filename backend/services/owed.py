"""What is stored incompletely: records whose items are owed, lists that are read later, fields that do not fit.

Used by alerts, the dashboard and metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.lists import count_list, count_requests
from common.resources import INLINE, LATER

MOST_FIELDS = 50
MOST_COUNTED = 100_000
"""Debts of a list that are counted; of more the number is estimated."""
MOST_REQUESTED = 10_000
"""Debts of a list whose requests are counted, which takes a tenth of a second for as many."""
DRIFT_FOR = timedelta(days=7)
"""A field without drift for this long is no longer listed."""

_DEBTS = " UNION ALL ".join(
    f"SELECT CAST('{resource.name}' AS text) AS resource, reason, cause, as_of, owed_since, set_aside_at"  # noqa: S608
    f" FROM {child.debts}"
    for resource, child in INLINE
)
# resource: null for all of them together, which is the first row and always there
_LOAD_OWED = text(
    """
    SELECT resource, count(*) AS count, min(owed_since) AS since, mode() WITHIN GROUP (ORDER BY cause) AS cause,
           count(*) FILTER (WHERE set_aside_at IS NULL AND reason = 'unread') AS unread,
           count(*) FILTER (WHERE set_aside_at IS NULL AND reason = 'empty') AS empty,
           count(*) FILTER (WHERE set_aside_at IS NOT NULL) AS set_aside
      FROM ("""  # noqa: S608  # names of descriptions
    + _DEBTS
    + ") debts GROUP BY GROUPING SETS ((resource), ()) ORDER BY resource NULLS FIRST"
)
_LOAD_CAUSES = text(
    """
    SELECT resource, reason, count(*) AS records, bool_or(set_aside_at IS NOT NULL) AS is_set_aside,
           (array_agg(cause ORDER BY as_of DESC))[1] AS cause
      FROM ("""  # noqa: S608
    + _DEBTS
    + ") debts GROUP BY resource, reason ORDER BY records DESC, resource, reason"
)
_LOAD_DRIFT = text("""
    SELECT resource, path, kind, first_seen, last_seen, records, example
      FROM schema_drift
     WHERE CAST(:within AS interval) IS NULL OR last_seen > now() - CAST(:within AS interval)
     ORDER BY last_seen DESC, resource, path, kind LIMIT :most
""")


_ESTIMATES = text("""
    SELECT relname AS table, CAST(reltuples AS bigint) AS rows
      FROM pg_class WHERE oid = ANY(CAST(CAST(:names AS text[]) AS regclass[]))
""")


@dataclass(frozen=True)
class CountedList:
    """How many records of a resource wait for a list that is read later; `None` where they are too many to count."""

    list: str
    resource: str
    label: str
    owed: int
    since: datetime | None = None
    set_aside: int | None = None
    requests: int | None = None


async def load_lists(db: AsyncConnection, *, with_requests: bool = False) -> list[CountedList]:
    """All lists that are only read later: counted where that is fast, as a scope may take millions of records."""
    rows = await db.execute(_ESTIMATES, {"names": [child.debts for _, child in LATER]})
    estimates = {row.table: row.rows for row in rows}
    lists = []
    for resource, child in LATER:
        known = (child.service, resource.name, child.label)
        if estimates[child.debts] > MOST_COUNTED:
            lists.append(CountedList(*known, estimates[child.debts]))
        else:
            counted = await count_list(db, child)
            is_cheap = with_requests and counted.owed <= MOST_REQUESTED
            requests = await count_requests(db, resource, child) if is_cheap else None
            lists.append(CountedList(*known, counted.owed, counted.since, counted.set_aside, requests))
    return lists


async def load_owed(db: AsyncConnection) -> Sequence[Row[Any]]:
    """How many records are stored without their items, since when, and in which state; first the sums.

    Then of each resource that has any.
    """
    return (await db.execute(_LOAD_OWED)).all()


async def load_causes(db: AsyncConnection) -> Sequence[Row[Any]]:
    """Why items are owed, in a word (unread, empty), the more frequent first; `cause` is that of the newest record."""
    return (await db.execute(_LOAD_CAUSES)).all()


async def load_drift(db: AsyncConnection, *, within: timedelta | None = None) -> Sequence[Row[Any]]:
    """Fields whose values did not fit their columns, the latest first; those seen within this time, or all."""
    return (await db.execute(_LOAD_DRIFT, {"within": within, "most": MOST_FIELDS})).all()
