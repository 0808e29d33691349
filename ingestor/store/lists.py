"""The lists of records in the database: written with their records, or owed and written later."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from common.database import driver_of, network_errors, raw_driver_of
from common.resources.description import Resource
from ingestor.sources.values import Bundle, EntryKey, Itens, Owed, Rejected, Stamps
from ingestor.store.drift import count_drift, drift_of_lists
from ingestor.store.driver import BYTES_AT_ONCE, VALUE_REFUSED, in_one
from ingestor.store.rejected import keep_rejected
from ingestor.store.statements import ListStatements, statements_of

log = structlog.get_logger(__name__)

LONGEST_CAUSE = 500
ITENS_AT_ONCE = 2_000
"""Entries that one statement takes, about; most pages have 400 items, and a few contratações thousands each."""
Listed = tuple[str, Itens]
"""A record by its key, and its list as read."""


async def merge_lists(
    driver: "asyncpg.Connection[Any]",
    statements: ListStatements,
    bundles: list[Bundle],
    written: dict[str, bool],
    execution_id: int | None,
) -> int:
    """Write the lists of records that were just written, and what is owed; answers how many entries were."""
    with_itens = [bundle for bundle in bundles if bundle.key in written and bundle.itens.payloads]
    new = [(bundle.key, bundle.itens) for bundle in with_itens if written[bundle.key]]
    known = [(bundle.key, bundle.itens) for bundle in with_itens if not written[bundle.key]]
    owed = {bundle.key: bundle.itens.owed for bundle in bundles if bundle.itens.owed is not None}
    settled = [key for key, is_new in written.items() if not is_new and key not in owed]
    if settled:
        await driver.execute(statements.settle_all, settled)
    owed |= await _delete_gone(driver, statements, known)
    itens = await _merge_itens(driver, statements, new, are_new=True) + await _merge_itens(driver, statements, known)
    if owed:
        await _owe(driver, statements, owed, written.keys(), execution_id)
    return itens


async def _merge_itens(
    driver: "asyncpg.Connection[Any]", statements: ListStatements, lists: list[Listed], *, are_new: bool = False
) -> int:
    """Write lists, some `ITENS_AT_ONCE` entries together; answers how many were written."""
    count = 0
    for some in _in_batches(lists):
        keys = [key for key, itens in some for _ in itens.payloads]
        payloads = [payload for _, itens in some for payload in itens.payloads.values()]
        if any(itens.drifted for _, itens in some):
            columns = [payload for _, itens in some for payload in itens.columns()]
            told = await driver.execute(statements.merge_drifted, keys, *in_one(columns), *in_one(payloads))
        else:
            told = await driver.execute(statements.insert if are_new else statements.merge, keys, *in_one(payloads))
        count += int(told.rpartition(" ")[2])
    return count


async def merge_itens_one_by_one(
    driver: "asyncpg.Connection[Any]", statements: ListStatements, key: str, itens: Itens
) -> tuple[int, list[Rejected]]:
    """Write a list that the database has refused as a whole; answers how many entries were, and those refused."""
    count, refused = 0, list[Rejected]()
    for number, payload in itens.payloads.items():
        try:
            async with driver.transaction():
                count += await _merge_itens(driver, statements, [(key, itens.only(number))])
        except VALUE_REFUSED as error:
            refused.append(Rejected(key, str(error), bytes(payload).decode(), statements.table))
    return count, refused


async def _delete_gone(
    driver: "asyncpg.Connection[Any]", statements: ListStatements, lists: list[Listed]
) -> dict[str, Owed]:
    """Delete the entries of known records that are not on their lists any more; answers what is owed instead.

    An empty list may be a fault of the portal's, and so may one that could have been cut off: it takes nothing away.
    """
    kept: list[tuple[str, list[EntryKey]]] = []
    owed: dict[str, Owed] = {}
    for key, itens in lists:
        numbers = list(itens.payloads)
        if itens.rejected or not numbers:
            continue
        if itens.is_proved:
            kept.append((key, numbers))
        elif statements.would_go is not None and await driver.fetch(statements.would_go, key, numbers):
            await driver.execute(statements.want, key)
            owed[key] = Owed("unread", f"entries are stored that are missing from a list of {itens.told}")
    if kept and statements.delete_gone is not None:
        await driver.executemany(statements.delete_gone, kept)
    return owed


async def _owe(
    driver: "asyncpg.Connection[Any]",
    statements: ListStatements,
    owed: Mapping[str, Owed],
    written: Collection[str],
    execution_id: int | None,
) -> None:
    """Note which lists are to be read later, after the merge has locked their records."""
    log.warning("lists are owed", list=statements.table, records=len(owed), cause=next(iter(owed.values())).cause)
    for statement, keys in (
        (statements.owe_anew, sorted(owed.keys() & set(written))),
        (statements.owe, sorted(owed.keys() - set(written))),
    ):
        if keys:
            reasons = [owed[key].reason for key in keys]
            causes = [owed[key].cause[:LONGEST_CAUSE] for key in keys]
            sights = [int(owed[key].reason == "empty") for key in keys]
            final = [owed[key].is_final for key in keys]
            await driver.execute(statement, keys, reasons, causes, sights, final, execution_id)


def _in_batches(lists: list[Listed]) -> Iterator[list[Listed]]:
    """Lists together until they hold `ITENS_AT_ONCE`, or take `BYTES_AT_ONCE`; a large one in parts."""
    batch: list[Listed] = []
    count = size = 0
    for listed in lists:
        for part in [listed] if listed[1].size <= BYTES_AT_ONCE else cut(*listed):
            batch.append(part)
            count += len(part[1].payloads)
            size += part[1].size
            if count >= ITENS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield batch
                batch, count, size = [], 0, 0
    if batch:
        yield batch


def cut(key: str, itens: Itens) -> Iterator[Listed]:
    """A list that is larger than what one statement takes, as several with a part of it each."""
    part = Itens()
    for number, payload in itens.payloads.items():
        part.payloads[number] = payload
        part.size += memoryview(payload).nbytes
        if number in itens.drifted:
            part.drifted[number] = itens.drifted[number]
        if part.size >= BYTES_AT_ONCE or len(part.payloads) >= ITENS_AT_ONCE:
            yield key, part
            part = Itens()
    yield key, part


async def want_list(db: AsyncConnection, resource: Resource, key: str) -> None:
    """Have the list of a record written again though the record is not newer; the caller has one to write."""
    statements = statements_of(resource).list
    if statements is not None:
        await (await driver_of(db)).execute(statements.want, key)


async def lacks_on_list(db: AsyncConnection, statements: ListStatements, key: str, itens: Itens) -> bool:
    """Whether entries of a record's list are stored that are not on this one, and would be deleted for it."""
    if statements.would_go is None:
        return False
    driver = await raw_driver_of(db)
    with network_errors():
        return bool(await driver.fetch(statements.would_go, key, list(itens.payloads)))


async def store_owed(
    db: AsyncConnection,
    statements: ListStatements,
    key: str,
    version: Stamps,
    itens: Itens,
    *,
    execution_id: int | None,
    begins: bool = True,
    ends: bool = True,
) -> bool:
    """Write a list that was owed, in the caller's transaction; it is complete, or empty and confirmed.

    `begins` and `ends`: of a list that is read in parts, these hold its first and its last one.

    `False`, and nothing is written, where the record is not of this version any more, or has its list.
    """
    driver = await driver_of(db)
    with network_errors():
        if not await driver.fetch(statements.version_without, key, *version):
            await driver.execute(statements.settle_paid, key)
            return False
        if begins:
            await driver.execute(statements.resolve, key)
        refused = await _replace_list(driver, statements, key, itens)
        if ends:
            await driver.execute(statements.has, key)
            await driver.execute(statements.settle, key)
    for record in sorted([*itens.rejected, *refused], key=lambda record: record.hash):
        await keep_rejected(db, record, execution_id=execution_id, slice_id=None)
    return True


async def _replace_list(
    driver: "asyncpg.Connection[Any]", statements: ListStatements, key: str, itens: Itens
) -> list[Rejected]:
    """Write a list over what is stored; answers what the database itself refuses."""
    if itens.payloads and not itens.rejected and statements.delete_gone is not None:
        await driver.execute(statements.delete_gone, key, list(itens.payloads))
    refused: list[Rejected] = []
    if itens.payloads:
        try:
            async with driver.transaction():
                await _merge_itens(driver, statements, [(key, itens)])
        except VALUE_REFUSED:
            _, refused = await merge_itens_one_by_one(driver, statements, key, itens)
    drift = drift_of_lists(statements, [itens])
    if drift:
        await count_drift(driver, drift)
    return refused
