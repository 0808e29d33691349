"""Owed lists: read later than their record, newest record first, until they are confirmed.

A debt of contratações, a row of `itens_owed`, exists exactly while `contratacoes.itens_at` is null, and so of the
others that have a list which is read with them. The rules and their reasons stand in docs/adr/0024. Debts of lists that
are only read later exist for the records that are in scope, or were asked for by hand; docs/adr/0040.
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from typing import Literal

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.database import in_transaction, is_database_trouble
from common.lists import Scopes
from common.resources import INLINE, LISTINGS_OF
from common.resources.description import Child, Resource
from ingestor.errors import NoRoomError, PncpError, PncpPaused, StoppedWaiting
from ingestor.loops import was_upgraded
from ingestor.room import Charge, Room, Share, alone, counting
from ingestor.sources.pncp.children import PartsRead, fetch_or_owe, fetch_parts
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.values import Itens, Owed, Stamps
from ingestor.store.coletas import add_list_to_coletas
from ingestor.store.later import owe_later
from ingestor.store.lists import LONGEST_CAUSE, lacks_on_list, store_owed
from ingestor.store.statements import ListStatements, list_statements

log = structlog.get_logger(__name__)

FIRST_WAIT, LONGEST_WAIT = 60.0, 6 * 3600.0
MOST_TRIES = 14
"""Failed tries, over one and a half days, after which a debt is set aside."""
EMPTY_WAITS = (3600.0, 86_400.0, 7 * 86_400.0)
"""Seconds to the next look at a list that was empty; one that is empty after the last of them is believed."""
CLAIM_SECONDS = 900.0
"""How long a claimed debt stays with its worker; after that another one may take it."""

PARTS_AT_ONCE = 25
"""Parts of a list that are asked for in one try: what comes first can come in between."""
ITENS_WAIT = 3600.0
"""Seconds to the next look whether the list has come whose entries say which parts there are."""

Outcome = Literal["read", "empty", "in_part", "failed", "set_aside", "waits", "stale"]
"""Of one try: entries stored; confirmed to be none; stored, and parts are left; to be tried again; given up; not tried;
a newer version is there."""
PROGRESS: frozenset[Outcome] = frozenset({"read", "empty", "in_part"})
"""After these, others are likely to come as well."""

List = tuple[Resource, Child]


@dataclass(frozen=True)
class Turn:
    """Which debts are worked off: of these lists, leaving out services that are `paused`.

    `wanted` are the services whose debts may be read now; of others only what was asked for by hand, which comes first.
    `scopes`: of the lists that are only read later, for what becomes owed meanwhile.
    `keeps_coletas`: what is read is also kept as it was read, where that is done for the resource.
    `searches_itens`: entries of lists are found by a search.
    """

    lists: tuple[List, ...] = INLINE
    paused: Collection[str] = ()
    wanted: Collection[str] = ()
    scopes: Scopes = field(default_factory=dict)
    keeps_coletas: bool = False
    searches_itens: bool = True

    @property
    def open(self) -> list[List]:
        """Its lists whose service is not paused."""
        return [(resource, child) for resource, child in self.lists if child.service not in self.paused]


OF_RECORDS = Turn()
"""Lists that are read with their records."""


# --- working off what is owed -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Debt:
    """A claimed debt: the version of the record that it belongs to, and `due_at`, by which the claim is known."""

    resource: Resource
    child: Child
    key: str
    version: Stamps
    tries: int
    empty_sights: int
    due_at: datetime
    execution_id: int | None
    parts_left: list[int] | None = None
    """Of a list that is read in parts; `None` before the first."""
    keeps_coleta: bool = False
    """Whether what is read of it is also kept as it was read."""
    searches_itens: bool = True

    @property
    def lists(self) -> ListStatements:
        """The statements of its list."""
        return list_statements(self.resource, self.child, searches_itens=self.searches_itens)


# Not while an update waits for a worker, unless it waits for the portal's listings.
_NO_UPDATE_WAITS = """(NOT EXISTS (SELECT FROM sync_slices
                             WHERE NOT (mode = 'backfill') AND kind = 'sync' AND status IN ('pending', 'running')
                               AND (run_after IS NULL OR run_after <= now()))
                OR EXISTS (SELECT FROM source_pauses
                            WHERE source = ANY(CAST(:listings AS text[])) AND paused_until > now()))"""
_MAY = {
    False: _NO_UPDATE_WAITS,
    True: f"(asked_at IS NOT NULL OR (CAST(:is_wanted AS boolean) AND {_NO_UPDATE_WAITS}))",
}
_ORDER = {False: "as_of DESC", True: "asked_at, as_of DESC"}
"""By whether a list is only read later."""
_DUE = """
        SELECT {key} FROM {debts}
         WHERE set_aside_at IS NULL AND due_at <= now()
           AND {may}
         ORDER BY {order}
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
    SELECT c.{key} AS key, c.{header} AS header, c.{whole} AS whole, o.tries, o.empty_sights, o.due_at, o.execution_id,
           {parts_left} AS parts_left
      FROM claimed o JOIN {table} c USING ({key})
     ORDER BY {order}
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
_LEAVE_PARTS = """
    UPDATE {debts} SET parts_left = CAST(:parts_left AS int[]), as_of = :as_of, due_at = now()
     WHERE {key} = :key AND due_at = :due_at
"""
_KEEP_PARTS = "UPDATE {debts} SET parts_left = CAST(:parts_left AS int[]), as_of = :as_of WHERE {key} = :key"
_LIST = """
    SELECT {key} AS key, reason, cause, owed_since, tries, set_aside_at IS NOT NULL AS is_set_aside
      FROM {debts} ORDER BY {order}
"""
_RETRY = "UPDATE {debts} SET set_aside_at = NULL, tries = 0, due_at = now() WHERE reason = 'unread'"


# `None` for a record whose list of parts has not come.
_PARTS = """
    SELECT CASE WHEN c.{parts_read_at} IS NOT NULL
                THEN ARRAY(SELECT e.{column} FROM {parts_table} e
                            WHERE e.{key} = c.{key} AND e.{has} ORDER BY e.{column})
                END AS parts
      FROM {table} c WHERE c.{key} = :key
"""


@dataclass(frozen=True)
class _Statements:
    """For the debts of a list."""

    is_any_due: TextClause
    claim: TextClause
    put_back: TextClause
    postpone: TextClause
    list: TextClause
    retry: TextClause
    leave_parts: TextClause
    keep_parts: TextClause
    parts: TextClause


@cache
def _statements_of(resource: Resource, child: Child) -> _Statements:
    header, whole = resource.version
    is_later = child in resource.later
    names = {
        "table": resource.name,
        "debts": child.debts,
        "key": resource.key,
        "header": header,
        "whole": whole,
        "may": _MAY[is_later],
        "order": _ORDER[is_later],
        # what was left of another version says nothing of this one
        "parts_left": f"CASE WHEN o.as_of = c.{whole} THEN o.parts_left END" if child.parts else "CAST(NULL AS int[])",
    }
    if child.parts:
        of_parts = child.parts
        names |= {"column": of_parts.column, "has": of_parts.has, "parts_table": of_parts.child.name}
        names |= {"parts_read_at": of_parts.child.read_at}
    made = (_DUE, _CLAIM, _PUT_BACK, _POSTPONE, _LIST, _RETRY)
    in_parts = (_LEAVE_PARTS, _KEEP_PARTS, _PARTS) if child.parts else ("", "", "")
    return _Statements(*(text(statement.format_map(names)) for statement in (*made, *in_parts)))


def _may(resource: Resource, child: Child, turn: Turn) -> dict[str, object]:
    """The parameters by which `_DUE` chooses."""
    chosen: dict[str, object] = {"listings": list(LISTINGS_OF.values())}
    return {**chosen, "is_wanted": child.service in turn.wanted} if child in resource.later else chosen


async def is_any_due(db: AsyncConnection, turn: Turn = OF_RECORDS) -> bool:
    """Whether a claim would find anything, unless others come first."""
    for resource, child in turn.open:
        asked = {"most": 1, **_may(resource, child, turn)}
        if (await db.execute(_statements_of(resource, child).is_any_due, asked)).one_or_none() is not None:
            return True
    return False


async def claim_debts(db: AsyncConnection, most: int, turn: Turn = OF_RECORDS) -> list[Debt]:
    """Take what is due, of each list that of the newest records first, for `CLAIM_SECONDS`."""
    debts: list[Debt] = []
    for resource, child in turn.open:
        asked = {"most": most - len(debts), "seconds": CLAIM_SECONDS, **_may(resource, child, turn)}
        if len(debts) < most:
            rows = await db.execute(_statements_of(resource, child).claim, asked)
            debts += [
                Debt(
                    resource,
                    child,
                    row.key,
                    (row.header, row.whole),
                    row.tries,
                    row.empty_sights,
                    row.due_at,
                    row.execution_id,
                    row.parts_left,
                    turn.keeps_coletas and resource.is_collected and child is resource.child,
                    turn.searches_itens,
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
    turn: Turn = OF_RECORDS,
) -> list[Outcome]:
    """Claim and try up to `most` debts at once; answers how each went. Once `stopping` is set, the rest is put back.

    Lists that the room of the process is too small for are read one at a time.
    """
    room = room or Room()
    debts = await in_transaction(engine, partial(claim_debts, most=most, turn=turn))
    if not debts:
        return []
    tries = {asyncio.create_task(_try(engine, client, room, debt, turn.scopes)): debt for debt in debts}
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
        await db.execute(_statements_of(debt.resource, debt.child).put_back, _fence(debt))


async def _try(engine: AsyncEngine, client: PncpClient, room: Room, debt: Debt, scopes: Scopes) -> Outcome:
    """Read one list once more. What is wrong with one debt ends no worker."""
    share = Share(room)
    try:
        try:
            with counting(Charge(share)):
                return await _read(engine, client, debt, scopes)
        except NoRoomError:
            async with alone(room):
                return await _read(engine, client, debt, scopes)
    except (PncpPaused, StoppedWaiting):  # nothing was asked, so that it is no try
        await in_transaction(engine, partial(_put_back, debts=[debt]))
        return "waits"
    except Exception as error:
        if is_database_trouble(error) or await was_upgraded(error, engine):
            raise
        log.exception("a list could not be read unexpectedly", natural_key=debt.key, list=debt.child.name)
        owed = Owed("unread", f"unexpected {type(error).__name__}")
        return await in_transaction(engine, partial(_postpone, debt=debt, owed=owed))
    finally:
        share.release()


async def _read(engine: AsyncEngine, client: PncpClient, debt: Debt, scopes: Scopes) -> Outcome:
    if debt.child.parts:
        return await _read_parts(engine, client, debt)
    itens = await fetch_or_owe(client, debt.resource, debt.child, debt.key, owe_unasked=False)
    if itens.owed is None and not itens.is_proved:
        itens = await _proved(engine, client, debt, itens)
    return await in_transaction(engine, partial(_settle, debt=debt, itens=itens, scopes=scopes))


async def _settle(db: AsyncConnection, debt: Debt, itens: Itens, scopes: Scopes) -> Outcome:
    """Store what came, or note why nothing did."""
    if itens.owed is None:
        return await _pay(db, debt, itens, scopes)
    if itens.owed.reason == "empty":
        return await _look_again(db, debt, itens.owed, scopes)
    return await _postpone(db, debt, itens.owed)


async def _proved(engine: AsyncEngine, client: PncpClient, debt: Debt, itens: Itens) -> Itens:
    """A list that may have been cut off: proved by the portal's own count, where entries would be deleted for it."""
    async with engine.connect() as db:
        if itens.rejected or not await lacks_on_list(db, debt.lists, debt.key, itens):
            return itens
    try:
        count = await client.fetch_count(debt.resource, debt.child, debt.key, wait=False)
    except PncpPaused:
        raise
    except PncpError as error:
        cause = f"the list has {len(itens.payloads)} entries, which nothing confirms; {error}"
        return Itens(owed=Owed("unread", cause))
    if count == len(itens.payloads):
        return replace(itens, is_proved=True)
    return Itens(owed=Owed("unread", f"the list has {len(itens.payloads)} entries, and the portal says {count}"))


async def _pay(db: AsyncConnection, debt: Debt, itens: Itens, scopes: Scopes) -> Outcome:
    if not await store_owed(db, debt.lists, debt.key, debt.version, itens, execution_id=debt.execution_id):
        await db.execute(_statements_of(debt.resource, debt.child).put_back, _fence(debt))
        return "stale"
    if debt.child is debt.resource.child:  # now it is known which of its parts others have
        await owe_later(db, debt.resource, [debt.key], scopes, execution_id=debt.execution_id)
    if debt.keeps_coleta and debt.execution_id is not None:
        await add_list_to_coletas(db, debt.resource, debt.key, itens, debt.execution_id)
    return "read" if itens.told else "empty"


async def _read_parts(engine: AsyncEngine, client: PncpClient, debt: Debt) -> Outcome:
    """Read some parts of a list, and leave the others for the next try."""
    parts = debt.parts_left
    if parts is None:
        async with engine.connect() as db:
            statement = _statements_of(debt.resource, debt.child).parts
            parts = (await db.execute(statement, {"key": debt.key})).scalar_one_or_none()
    if parts is None:
        return await in_transaction(engine, partial(_await_parts, debt=debt))
    read = await fetch_parts(client, debt.resource, debt.child, debt.key, parts[:PARTS_AT_ONCE])
    left = [*read.unasked, *parts[PARTS_AT_ONCE:]]
    return await in_transaction(engine, partial(_settle_parts, debt=debt, read=read, left=left))


async def _settle_parts(db: AsyncConnection, debt: Debt, read: PartsRead, left: list[int]) -> Outcome:
    """Store what came of the parts; those that failed are asked for again after all others."""
    to_read = [*left, *read.failed]
    statements = _statements_of(debt.resource, debt.child)
    if not await store_owed(
        db,
        debt.lists,
        debt.key,
        debt.version,
        read.itens,
        execution_id=debt.execution_id,
        begins=debt.parts_left is None,
        ends=not to_read,
    ):
        await db.execute(statements.put_back, _fence(debt))
        return "stale"
    if not to_read:
        return "read" if read.itens.told or debt.parts_left else "empty"
    kept = {"parts_left": to_read, "as_of": debt.version[1]}
    if left or read.owed is None:
        await db.execute(statements.leave_parts, {**_fence(debt), **kept})
        return "waits" if read.is_paused else "in_part"
    outcome = await _postpone(db, debt, read.owed)
    await db.execute(statements.keep_parts, {"key": debt.key, **kept})
    return outcome


async def _await_parts(db: AsyncConnection, debt: Debt) -> Outcome:
    """Look again later whether the list has come whose entries say which parts there are."""
    await _delay(db, debt, Owed("unread", "the list that says which parts there are is owed itself"), ITENS_WAIT)
    return "failed"


async def _look_again(db: AsyncConnection, debt: Debt, owed: Owed, scopes: Scopes) -> Outcome:
    """Count an empty list; after the last look it is believed."""
    if debt.empty_sights >= len(EMPTY_WAITS):
        log.info("a list is empty, confirmed", natural_key=debt.key, list=debt.child.name, looks=debt.empty_sights + 1)
        return await _pay(db, debt, Itens(), scopes)
    seen = replace(debt, empty_sights=debt.empty_sights + 1)
    await _delay(db, seen, owed, EMPTY_WAITS[debt.empty_sights])
    return "failed"


async def _postpone(db: AsyncConnection, debt: Debt, owed: Owed) -> Outcome:
    tries = debt.tries + 1
    is_set_aside = owed.is_final or tries >= MOST_TRIES
    await _delay(db, debt, owed, wait_after(tries), tries=tries, is_set_aside=is_set_aside)
    if is_set_aside:
        log.error("a list is set aside", natural_key=debt.key, list=debt.child.name, tries=tries, cause=owed.cause)
        return "set_aside"
    return "failed"


async def _delay(
    db: AsyncConnection, debt: Debt, owed: Owed, seconds: float, *, tries: int = 0, is_set_aside: bool = False
) -> None:
    """Have a debt tried again after so many seconds, and note why."""
    await db.execute(
        _statements_of(debt.resource, debt.child).postpone,
        {
            **_fence(debt),
            "reason": owed.reason,
            "cause": owed.cause[:LONGEST_CAUSE],
            "tries": tries,
            "empty_sights": debt.empty_sights,
            "seconds": seconds,
            "is_set_aside": is_set_aside,
        },
    )


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


async def load_owed(engine: AsyncEngine, resource: Resource, child: Child) -> list[OwedItens]:
    """Every record of a resource whose list is owed, in the order in which they are read."""
    async with engine.connect() as db:
        return [OwedItens(*row) for row in await db.execute(_statements_of(resource, child).list)]


async def try_all_again(engine: AsyncEngine, resource: Resource, child: Child) -> int:
    """Have the ingestors try now what could not be read, what is set aside as well; answers how many these are."""
    async with engine.begin() as db:
        return (await db.execute(_statements_of(resource, child).retry)).rowcount
