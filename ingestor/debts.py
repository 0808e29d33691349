"""Owed lists: read later than their record, newest record first, until they are confirmed.

A debt of contratações, a row of `itens_owed`, exists exactly while `contratacoes.itens_at` is null, and so of the
others that have lists. The rules and their reasons stand in docs/adr/0024.
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from typing import Literal

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import in_transaction, is_database_trouble
from common.resources import LISTINGS_OF, RESOURCES
from common.resources.description import Child, Resource
from ingestor.errors import NoRoomError, PncpError, PncpPaused, StoppedWaiting
from ingestor.room import Charge, Room, Share, alone, counting
from ingestor.sources.pncp.children import fetch_or_owe
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.values import Itens, Owed, Stamps
from ingestor.store.lists import LONGEST_CAUSE, lacks_on_list, store_owed
from ingestor.store.statements import list_statements

log = structlog.get_logger(__name__)

FIRST_WAIT, LONGEST_WAIT = 60.0, 6 * 3600.0
MOST_TRIES = 14
"""Failed tries, over one and a half days, after which a debt is set aside."""
EMPTY_WAITS = (3600.0, 86_400.0, 7 * 86_400.0)
"""Seconds to the next look at a list that was empty; one that is empty after the last of them is believed."""
CLAIM_SECONDS = 900.0
"""How long a claimed debt stays with its worker; after that another one may take it."""

Outcome = Literal["read", "empty", "failed", "set_aside", "waits", "stale"]
"""Of one try: items stored; confirmed to be none; to be tried again; given up; not tried; a newer version is there."""


# --- working off what is owed -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Debt:
    """A claimed debt: the version of the record that it belongs to, and `due_at`, by which the claim is known."""

    resource: Resource
    key: str
    version: Stamps
    tries: int
    empty_sights: int
    due_at: datetime
    execution_id: int | None


# Not while an update waits for a worker, unless it waits for the portal's listings.
_DUE = """
        SELECT {key} FROM {debts}
         WHERE set_aside_at IS NULL AND due_at <= now()
           AND (NOT EXISTS (SELECT FROM sync_slices
                             WHERE NOT (mode = 'backfill') AND status IN ('pending', 'running')
                               AND (run_after IS NULL OR run_after <= now()))
                OR EXISTS (SELECT FROM source_pauses
                            WHERE source = ANY(CAST(:listings AS text[])) AND paused_until > now()))
         ORDER BY as_of DESC
         LIMIT :most
"""
_CLAIM = (
    """
    WITH due AS ("""  # noqa: S608  # names of ours
    + _DUE
    + """ FOR UPDATE SKIP LOCKED), claimed AS (
        UPDATE {debts} o SET due_at = clock_timestamp() + make_interval(secs => :seconds)
          FROM due WHERE o.{key} = due.{key}
        RETURNING o.*
    )
    SELECT c.{key} AS key, c.{header} AS header, c.{whole} AS whole, o.tries, o.empty_sights, o.due_at, o.execution_id
      FROM claimed o JOIN {table} c USING ({key})
     ORDER BY o.as_of DESC
"""
)
_PUT_BACK = "UPDATE {debts} SET due_at = now() WHERE {key} = :key AND due_at = :due_at"
_POSTPONE = """
    UPDATE {debts}
       SET reason = :reason, cause = :cause, tries = :tries, empty_sights = :empty_sights,
           due_at = now() + make_interval(secs => :seconds),
           set_aside_at = CASE WHEN :is_set_aside THEN now() END
     WHERE {key} = :key AND due_at = :due_at
"""
_LIST = """
    SELECT {key} AS key, reason, cause, owed_since, tries, set_aside_at IS NOT NULL AS is_set_aside
      FROM {debts} ORDER BY as_of DESC
"""
_RETRY = "UPDATE {debts} SET set_aside_at = NULL, tries = 0, due_at = now() WHERE reason = 'unread'"


@dataclass(frozen=True)
class _Statements:
    """For the debts of a resource's lists."""

    is_any_due: TextClause
    claim: TextClause
    put_back: TextClause
    postpone: TextClause
    list: TextClause
    retry: TextClause


@cache
def _statements_of(resource: Resource) -> _Statements:
    header, whole = resource.version
    names = {
        "table": resource.name,
        "debts": _child_of(resource).debts,
        "key": resource.key,
        "header": header,
        "whole": whole,
    }
    made = (_DUE, _CLAIM, _PUT_BACK, _POSTPONE, _LIST, _RETRY)
    return _Statements(*(text(statement.format_map(names)) for statement in made))


def _child_of(resource: Resource) -> Child:
    assert resource.child is not None  # noqa: S101  # debts are of lists
    return resource.child


OWING = tuple(resource for resource in RESOURCES if resource.child)
"""The resources whose records have lists."""


async def is_any_due(db: AsyncConnection, paused: Collection[str] = ()) -> bool:
    """Whether a claim would find anything, unless others come first; services that are `paused` are left out."""
    for resource in _owing(paused):
        asked = {"most": 1, "listings": list(LISTINGS_OF.values())}
        if (await db.execute(_statements_of(resource).is_any_due, asked)).one_or_none() is not None:
            return True
    return False


def _owing(paused: Collection[str]) -> list[Resource]:
    return [resource for resource in OWING if _child_of(resource).service not in paused]


async def claim_debts(db: AsyncConnection, most: int, paused: Collection[str] = ()) -> list[Debt]:
    """Take what is due, of each resource the newest records first, for `CLAIM_SECONDS`."""
    debts: list[Debt] = []
    for resource in _owing(paused):
        asked = {"most": most - len(debts), "seconds": CLAIM_SECONDS, "listings": list(LISTINGS_OF.values())}
        if len(debts) < most:
            rows = await db.execute(_statements_of(resource).claim, asked)
            debts += [
                Debt(
                    resource,
                    row.key,
                    (row.header, row.whole),
                    row.tries,
                    row.empty_sights,
                    row.due_at,
                    row.execution_id,
                )
                for row in rows
            ]
    return debts


async def work_off(
    engine: AsyncEngine,
    client: PncpClient,
    stopping: asyncio.Event,
    most: int,
    *,
    room: Room | None = None,
    paused: Collection[str] = (),
) -> list[Outcome]:
    """Claim and try up to `most` debts at once; answers how each went. Once `stopping` is set, the rest is put back.

    Lists that the room of the process is too small for are read one at a time. Those of services that are `paused` are
    left for later.
    """
    room = room or Room()
    debts = await in_transaction(engine, partial(claim_debts, most=most, paused=paused))
    if not debts:
        return []
    tries = {asyncio.create_task(_try(engine, client, room, debt)): debt for debt in debts}
    stop = asyncio.create_task(stopping.wait())
    try:
        pending: set[asyncio.Task[Outcome]] = set(tries)
        while pending and not stopping.is_set():
            await asyncio.wait({*pending, stop}, return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in tries if not task.done()}
    finally:
        stop.cancel()
        for task in tries:
            task.cancel()
        await asyncio.wait(tries)
    left = [debt for task, debt in tries.items() if task.cancelled()]
    if left:
        await in_transaction(engine, partial(_put_back, debts=left))
    return [task.result() for task in tries if not task.cancelled()]


async def _put_back(db: AsyncConnection, debts: Iterable[Debt]) -> None:
    for debt in debts:
        await db.execute(_statements_of(debt.resource).put_back, _fence(debt))


async def _try(engine: AsyncEngine, client: PncpClient, room: Room, debt: Debt) -> Outcome:
    """Read one list once more. What is wrong with one debt ends no worker."""
    share = Share(room)
    try:
        try:
            with counting(Charge(share)):
                return await _read(engine, client, debt)
        except NoRoomError:
            async with alone(room):
                return await _read(engine, client, debt)
    except (PncpPaused, StoppedWaiting):  # nothing was asked, so that it is no try
        await in_transaction(engine, partial(_put_back, debts=[debt]))
        return "waits"
    except Exception as error:
        if is_database_trouble(error):
            raise
        log.exception("items could not be read unexpectedly", natural_key=debt.key)
        owed = Owed("unread", f"unexpected {type(error).__name__}")
        return await in_transaction(engine, partial(_settle, debt=debt, itens=Itens(owed=owed)))
    finally:
        share.release()


async def _read(engine: AsyncEngine, client: PncpClient, debt: Debt) -> Outcome:
    itens = await fetch_or_owe(client, debt.resource, _child_of(debt.resource), debt.key, owe_unasked=False)
    if itens.owed is None and not itens.is_proved:
        itens = await _proved(engine, client, debt, itens)
    return await in_transaction(engine, partial(_settle, debt=debt, itens=itens))


async def _settle(db: AsyncConnection, debt: Debt, itens: Itens) -> Outcome:
    """Store what came, or note why nothing did."""
    if itens.owed is None:
        return await _pay(db, debt, itens)
    if itens.owed.reason == "empty":
        return await _look_again(db, debt, itens.owed)
    return await _postpone(db, debt, itens.owed)


async def _proved(engine: AsyncEngine, client: PncpClient, debt: Debt, itens: Itens) -> Itens:
    """A list that may have been cut off: proved by the portal's own count, where entries would be deleted for it."""
    child = _child_of(debt.resource)
    async with engine.connect() as db:
        if itens.rejected or not await lacks_on_list(db, list_statements(debt.resource, child), debt.key, itens):
            return itens
    try:
        count = await client.fetch_count(debt.resource, child, debt.key, wait=False)
    except PncpPaused:
        raise
    except PncpError as error:
        return Itens(owed=Owed("unread", f"the list has {len(itens.payloads)} items, which nothing confirms; {error}"))
    if count == len(itens.payloads):
        return replace(itens, is_proved=True)
    return Itens(owed=Owed("unread", f"the list has {len(itens.payloads)} items, and the portal says {count}"))


async def _pay(db: AsyncConnection, debt: Debt, itens: Itens) -> Outcome:
    lists = list_statements(debt.resource, _child_of(debt.resource))
    if not await store_owed(db, lists, debt.key, debt.version, itens, execution_id=debt.execution_id):
        await db.execute(_statements_of(debt.resource).put_back, _fence(debt))
        return "stale"
    return "read" if itens.told else "empty"


async def _look_again(db: AsyncConnection, debt: Debt, owed: Owed) -> Outcome:
    """Count an empty list; after the last look it is believed."""
    if debt.empty_sights >= len(EMPTY_WAITS):
        log.info("items confirmed to be none", natural_key=debt.key, looks=debt.empty_sights + 1)
        return await _pay(db, debt, Itens())
    await db.execute(
        _statements_of(debt.resource).postpone,
        {
            **_fence(debt),
            "reason": owed.reason,
            "cause": owed.cause[:LONGEST_CAUSE],
            "tries": 0,
            "empty_sights": debt.empty_sights + 1,
            "seconds": EMPTY_WAITS[debt.empty_sights],
            "is_set_aside": False,
        },
    )
    return "failed"


async def _postpone(db: AsyncConnection, debt: Debt, owed: Owed) -> Outcome:
    tries = debt.tries + 1
    is_set_aside = owed.is_final or tries >= MOST_TRIES
    await db.execute(
        _statements_of(debt.resource).postpone,
        {
            **_fence(debt),
            "reason": owed.reason,
            "cause": owed.cause[:LONGEST_CAUSE],
            "tries": tries,
            "empty_sights": debt.empty_sights,
            "seconds": wait_after(tries),
            "is_set_aside": is_set_aside,
        },
    )
    if is_set_aside:
        log.error("items set aside", natural_key=debt.key, tries=tries, cause=owed.cause)
        return "set_aside"
    return "failed"


def wait_after(tries: int) -> float:
    """Seconds to the next try after so many that failed."""
    longest: float = min(FIRST_WAIT * 2 ** min(tries - 1, 20), LONGEST_WAIT)
    return longest


def _fence(debt: Debt) -> dict[str, object]:
    return {"key": debt.key, "due_at": debt.due_at}


# --- for the command line ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwedItens:
    """A record without its list, as the command line shows it."""

    key: str
    reason: str
    cause: str | None
    owed_since: datetime
    tries: int
    is_set_aside: bool


async def load_owed(engine: AsyncEngine, resource: Resource) -> list[OwedItens]:
    """Every record of a resource whose list is owed, newest first."""
    async with engine.connect() as db:
        return [OwedItens(*row) for row in await db.execute(_statements_of(resource).list)]


async def try_all_again(engine: AsyncEngine, resource: Resource) -> int:
    """Have the ingestors try now what could not be read, what is set aside as well; answers how many these are."""
    async with engine.begin() as db:
        return (await db.execute(_statements_of(resource).retry)).rowcount
