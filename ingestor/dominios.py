"""The slice of the domain tables: each list read whole and committed by itself, in the place of a page.

A list that fails, or is empty though entries of it are known, changes nothing and holds up no other; the slice is then
tried again with the lists that are left.
"""

from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from common.database import in_transaction, network_errors
from common.lifecycle import slices
from common.lifecycle.slices import PageCounts
from common.resources.dominios import DOMAIN_TABLES, DOMINIOS, DomainTable
from ingestor.errors import LeaseLost, PncpError, PncpRejected, PncpUnavailable
from ingestor.slices import SliceIngestion
from ingestor.sources.pncp.dominios import parse_domain_table
from ingestor.sources.values import DomainEntry
from ingestor.store.dominios import DomainCounts, holds_entries_of, load_read, merge_domain_table, note_read
from ingestor.store.driver import VALUE_REFUSED

log = structlog.get_logger(__name__)


async def ingest_dominios(work: SliceIngestion) -> bool:
    """Read every list that no earlier claim of the slice has committed.

    Answers whether all are committed; if not, the worker was asked to stop.

    Raises:
        PncpError: some lists could not be read; the others are committed.
        LeaseLost: the slice is another worker's now, or has been ended.

    """
    async with work.tools.engine.connect() as db:
        read = await load_read(db, work.claim)
    failed: list[PncpError] = []
    for number, table in enumerate(DOMAIN_TABLES, start=1):
        if number in read:
            continue
        if work.tools.stopping.is_set():
            return False
        try:
            entries = await work.tools.client.fetch_whole(DOMINIOS, table.path, partial(parse_domain_table, table))
            await _commit(work, number, table, entries, done=len(read) + 1)
        except PncpError as error:
            log.warning(
                "domain table could not be read", dominio=table.name, cause=error.cause, error_message=str(error)
            )
            failed.append(error)
        else:
            read.add(number)
    if failed:
        raise _summed_up(failed)
    return True


def _summed_up(failed: list[PncpError]) -> PncpError:
    """One error for all lists that failed; it says that another try is of use where that is so of any of them."""
    passing = [error for error in failed if not isinstance(error, PncpRejected)]
    first = (passing or failed)[0]
    more = f", and {len(failed) - 1} other lists" if len(failed) > 1 else ""
    return (PncpUnavailable if passing else PncpRejected)(f"{first}{more}", first.cause)


async def _commit(
    work: SliceIngestion, number: int, table: DomainTable, entries: list[DomainEntry], *, done: int
) -> None:
    """Fence, entries, progress and counts in one transaction.

    Raises:
        PncpUnavailable: the list is empty against expectation, or the database refuses a value of it.

    """
    claim = work.claim

    async def write(db: AsyncConnection) -> tuple[DomainCounts, PageCounts]:
        if await slices.hold(db, claim) is None:
            raise LeaseLost(f"slice {claim.slice_id}")
        if not entries and await holds_entries_of(db, table.name):
            raise PncpUnavailable(f"{table.path}: the list is empty, and entries of it are known", "incomplete")
        merged = await merge_domain_table(db, table.name, entries)
        counts = PageCounts(len(entries), merged.inserted, merged.updated + merged.gone)
        await note_read(db, claim, number, entries=len(entries), lists=len(DOMAIN_TABLES))
        moment = await slices.advance(
            db,
            claim,
            counts,
            pages_done=done,
            pages_total=len(DOMAIN_TABLES),
            total_registros=len(entries),
            lease_seconds=work.tools.lease_seconds,
        )
        if moment is None:
            raise LeaseLost(f"slice {claim.slice_id}")
        return merged, counts

    try:
        async with work.tools.commits:
            with network_errors():
                merged, counts = await in_transaction(
                    work.tools.engine, write, on_retry=work.tools.metrics.transaction_retries.inc
                )
    except VALUE_REFUSED as error:
        raise PncpUnavailable(f"{table.path}: {error}", "bad_answer") from None
    work.committed += 1
    work.has_progressed = True
    work.counts = work.counts.plus(counts)
    work.tools.metrics.page_committed(counts)
    log.debug("domain table committed", dominio=table.name, entries=len(entries), **vars(merged))
    if merged.gone:
        log.warning("entries have left a domain table", dominio=table.name, entries=merged.gone)
