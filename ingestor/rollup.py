"""Keeps the rollup: adds up what triggers append, counts what was stored before them, and compares a day each night.

All three are done by one ingestor at a time, which holds an advisory lock until its transaction ends. A statement sees
one moment of the database, and at each moment a table and its rollup agree, since triggers write in the transaction
that changes the table. So the difference of both, of a day and in one statement, is what the rollup lacks or has too
much, whatever is written meanwhile. To append it is all that counting and repairing need.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import date
from functools import cache, partial

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.clock import BRASILIA
from common.database import in_transaction
from common.resources import RESOURCES
from common.resources.description import Resource
from common.resources.resumo import (
    AMOUNTS,
    DAILY,
    DAILY_KEY,
    DELTAS,
    DIMENSIONS,
    MARGINS_OF,
    MONTH_OF_DAY,
    MONTHLY,
    MONTHLY_KEY,
    SUMS,
    day_of,
    picked,
    summed,
)

log = structlog.get_logger(__name__)

# ruff: noqa: S608  # all names in these statements stand in descriptions

ONE_SUMMER = 7_020_114_141
"""The advisory lock of the one ingestor that adds up or counts."""

DELTAS_AT_ONCE = 20_000
SUMMED = tuple(resource for resource in RESOURCES if resource.rollup)


# --- adding up --------------------------------------------------------------------------------------------------


def _upsert(table: str, key: Iterable[str], rows: str) -> str:
    """A statement that adds rows to those of the same key."""
    key = ", ".join(key)
    changes = ", ".join(
        f"{name} = coalesce(known.{name} + excluded.{name}, known.{name}, excluded.{name})" for name in SUMS
    )
    return f"""
        INSERT INTO {table} AS known ({key}, {", ".join(SUMS)})
        {rows}
        ON CONFLICT ({key}) DO UPDATE SET {changes}
"""


def _to_add_up() -> str:
    days = ", ".join(DAILY_KEY)
    months = ", ".join(MONTH_OF_DAY if name == "mes" else name for name in MONTHLY_KEY)
    of_days = f"SELECT {days}, {summed()} FROM taken GROUP BY {days}"
    of_months = f"SELECT {months}, {summed()} FROM taken CROSS JOIN LATERAL {MARGINS_OF} GROUP BY {months}"
    return f"""
    WITH taken AS (
        DELETE FROM {DELTAS} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {DELTAS} LIMIT :most)) RETURNING *
    ), by_day AS ({_upsert(DAILY, DAILY_KEY, of_days)}), by_month AS ({_upsert(MONTHLY, MONTHLY_KEY, of_months)})
    SELECT count(*) FROM taken
"""


_ADD_UP = text(_to_add_up())
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")


async def _is_the_one(db: AsyncConnection) -> bool:
    return bool((await db.execute(_TRY_LOCK, {"key": ONE_SUMMER})).scalar_one())


async def add_up(db: AsyncConnection) -> bool:
    """Add some deltas to the sums of their days and months; answers whether others are likely to be left."""
    if not await _is_the_one(db):
        return False
    taken: int = (await db.execute(_ADD_UP, {"most": DELTAS_AT_ONCE})).scalar_one()
    return taken == DELTAS_AT_ONCE


# --- counting and comparing ---------------------------------------------------------------------------------------


@cache
def _correct(resource: Resource, *, has_day: bool) -> TextClause:
    return text(_to_correct(resource, has_day=has_day))


def _to_correct(resource: Resource, *, has_day: bool) -> str:
    """Append what a day's rows of the table are more than its rollup; without a day, those that have none."""
    day, dimensions = day_of(resource), ", ".join(DIMENSIONS)
    stored = f"{day} >= CAST(:day AS date) AND {day} < CAST(:day AS date) + 1" if has_day else f"{day} IS NULL"
    known = "dia = CAST(:day AS date)" if has_day else "dia IS NULL AND CAST(:day AS date) IS NULL"
    minus = f"-n, {dimensions}, {', '.join(f'-{name}' for name in AMOUNTS)}"
    return f"""
    INSERT INTO {DELTAS} (entidade, dia, {dimensions}, {", ".join(SUMS)})
    SELECT '{resource.name}', CAST(:day AS date), {dimensions}, {summed()}
      FROM (SELECT 1 AS n, {picked(resource)} FROM {resource.name} WHERE {stored}
             UNION ALL
            SELECT {minus} FROM {DAILY} WHERE entidade = '{resource.name}' AND {known}
             UNION ALL
            SELECT {minus} FROM {DELTAS} WHERE entidade = '{resource.name}' AND {known}) difference
     GROUP BY {dimensions}
    HAVING {" OR ".join(f"sum({name}) <> 0" for name in SUMS)}
"""


async def correct(db: AsyncConnection, resource: Resource, day: date | None) -> int:
    """Make the rollup of a day what the table says; answers how many of its rows were wrong or missing.

    The caller holds the lock: of two at once, both would append the same difference.
    """
    return (await db.execute(_correct(resource, has_day=day is not None), {"day": day})).rowcount


_LATEST_DAY = """
    SELECT greatest((SELECT CAST(max({day}) AS date) FROM {table} WHERE {day} < CAST(:before AS date)),
                    (SELECT max(dia) FROM {daily} WHERE entidade = '{table}' AND dia < CAST(:before AS date)))
"""
_RANDOM_DAY = """
    SELECT first + CAST(floor(random() * (last - first + 1)) AS integer)
      FROM (SELECT CAST(min({day}) AS date) AS first, CAST(max({day}) AS date) AS last FROM {table}) span
"""


@cache
def _about_days(statement: str, resource: Resource) -> TextClause:
    return text(statement.format(day=day_of(resource), table=resource.name, daily=DAILY))


async def _latest_day(db: AsyncConnection, resource: Resource, before: date) -> date | None:
    """The latest day before this one of which the table or the rollup has rows."""
    day: date | None = (await db.execute(_about_days(_LATEST_DAY, resource), {"before": before})).scalar_one()
    return day


_OPEN = text("INSERT INTO rollup_state (entidade) VALUES (:entidade) ON CONFLICT (entidade) DO NOTHING")
_STATE = text("SELECT counted_from, complete_at FROM rollup_state WHERE entidade = :entidade")
_COUNTED = text("""
    UPDATE rollup_state
       SET counted_from = coalesce(CAST(:day AS date), counted_from),
           complete_at = CASE WHEN CAST(:day AS date) IS NULL THEN now() END
     WHERE entidade = :entidade
""")


async def count_a_day(db: AsyncConnection, resource: Resource) -> bool:
    """Count the next day of what was stored before the rollup, the newest first; answers whether others are left."""
    if not await _is_the_one(db):
        return False
    about = {"entidade": resource.name}
    await db.execute(_OPEN, about)
    state = (await db.execute(_STATE, about)).one()
    if state.complete_at is not None:
        return False
    day = await _latest_day(db, resource, state.counted_from or date.max)
    await correct(db, resource, day)
    await db.execute(_COUNTED, {**about, "day": day})
    await add_up(db)
    if day is None:
        log.info("rollup is complete", resource=resource.name)
    return day is not None


_VERIFIED = text("""
    UPDATE rollup_state SET verified_at = now(), mismatches = mismatches + :mismatches WHERE entidade = :entidade
""")


async def verify_a_day(db: AsyncConnection, resource: Resource) -> int:
    """Compare the rollup of a random day with the table, and repair it; answers how many days differed: 0 or 1."""
    state = (await db.execute(_STATE, {"entidade": resource.name})).one_or_none()
    if state is None or state.complete_at is None or not await _is_the_one(db):
        return 0
    random_day: date | None = (await db.execute(_about_days(_RANDOM_DAY, resource))).scalar_one()
    wrong = 0
    if random_day is not None and random_day < date.max:
        day = await _latest_day(db, resource, date.fromordinal(random_day.toordinal() + 1))
        wrong = await correct(db, resource, day)
        if wrong:
            log.error("rollup differed from its table and is repaired", resource=resource.name, day=day, rows=wrong)
    mismatches = int(wrong > 0)
    await db.execute(_VERIFIED, {"entidade": resource.name, "mismatches": mismatches})
    return mismatches


# --- the loop ---------------------------------------------------------------------------------------------------


_DUE = text("""
    SELECT summed.name FROM unnest(CAST(:names AS text[])) AS summed (name)
      LEFT JOIN rollup_state s ON s.entidade = summed.name
     WHERE s.complete_at IS NULL OR s.verified_at IS NULL
           OR CAST(timezone(:zone, s.verified_at) AS date) < CAST(timezone(:zone, now()) AS date)
""")


async def keep_rollup(engine: AsyncEngine, stopping: asyncio.Event) -> int:
    """Add up, count what is left to count, compare a day once a night; answers how many days differed."""
    while not stopping.is_set() and await in_transaction(engine, add_up):
        pass
    async with engine.connect() as db:
        rows = await db.execute(_DUE, {"names": [each.name for each in SUMMED], "zone": BRASILIA.key})
        due = set(rows.scalars())
    mismatches = 0
    for resource in SUMMED:
        is_left = resource.name in due
        while is_left and not stopping.is_set():
            began = time.monotonic()
            is_left = await in_transaction(engine, partial(count_a_day, resource=resource))
            if is_left:
                await asyncio.sleep(time.monotonic() - began)  # half of the time is left to everything else
        if resource.name in due and not stopping.is_set():
            mismatches += await in_transaction(engine, partial(verify_a_day, resource=resource))
    return mismatches
