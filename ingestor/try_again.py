"""Try to store a rejected record again, as after an upgrade."""

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from common.lists import Scopes, ask_for
from common.resources import INLINE, LATER, RESOURCES_BY_NAME
from common.resources.description import Resource
from ingestor.sources.pncp.children import fetch_or_owe
from ingestor.sources.pncp.client import PncpClient
from ingestor.sources.pncp.records import parse_entry, parse_record
from ingestor.sources.values import Bundle, Itens, Record, Rejected
from ingestor.store.batch import store_bundles
from ingestor.store.lists import want_list
from ingestor.store.rejected import Unresolved, keep_rejected, resolve
from ingestor.store.statements import statements_of

log = structlog.get_logger(__name__)

_PARENTS = {child.name: resource for resource, child in INLINE}
_LATER = {child.name: (resource, child) for resource, child in LATER}


async def try_again(
    engine: AsyncEngine, client: PncpClient, entry: Unresolved, scopes: Scopes, *, searches_itens: bool = True
) -> str | None:
    """Store a rejected record, with its items as they are now; answers why it cannot be, `None` where it is stored.

    Of a contratação whose items do not come just now they are owed; a rejected item is then not stored. `scopes`: of
    the lists that are read later; of these the ingestors are asked for the whole list of the record. `searches_itens`:
    items are found by a search.
    """
    if entry.resource in _LATER:
        return await _ask_again(engine, entry)
    parent = _PARENTS.get(entry.resource)
    resource = parent or RESOURCES_BY_NAME[entry.resource]
    record = await _record_of(engine, resource, entry)
    if isinstance(record, Rejected):
        return record.reason
    bundle = Bundle(
        record, await fetch_or_owe(client, resource, resource.child, record.key) if resource.child else Itens()
    )
    async with engine.connect() as db, db.begin() as transaction:
        if parent:
            await want_list(db, parent, bundle.key)
        _, refused = await store_bundles(
            db, resource, [bundle], entry.execution_id, scopes, searches_itens=searches_itens
        )
        still = [rejected.reason for rejected in refused]
        if still:
            await transaction.rollback()
            return still[0]
        for rejected in bundle.itens.rejected:
            await keep_rejected(db, rejected, execution_id=entry.execution_id, slice_id=entry.slice_id)
        still = [rejected.reason for rejected in bundle.itens.rejected if rejected.hash == entry.payload_hash]
        if bundle.itens.owed is not None and parent:
            still.append(f"its items are owed: {bundle.itens.owed.cause}")
        if still:
            return still[0]
        await resolve(db, entry.payload_hash)
    log.info("rejected record stored", natural_key=entry.natural_key)
    return None


async def _ask_again(engine: AsyncEngine, entry: Unresolved) -> str:
    resource, child = _LATER[entry.resource]
    read = parse_entry(child, entry.payload.encode())
    if isinstance(read, Rejected):
        return read.reason
    async with engine.begin() as db:
        is_there = await ask_for(db, resource, child, entry.natural_key or "")
    return "its list is read again soon" if is_there else "the record that it belongs to is not stored"


async def _record_of(engine: AsyncEngine, resource: Resource, entry: Unresolved) -> Record | Rejected:
    """The record to write: the rejected one, or the stored one to whose list a rejected entry belongs."""
    if entry.resource == resource.name or resource.child is None:
        return parse_record(resource, entry.payload.encode())
    read = parse_entry(resource.child, entry.payload.encode())
    if isinstance(read, Rejected):
        return read
    async with engine.connect() as db:
        payload = (await db.execute(statements_of(resource).payload, {"key": entry.natural_key})).scalar_one_or_none()
    if payload is None:
        return Rejected(entry.natural_key, "the record that it belongs to is not stored", entry.payload, entry.resource)
    return parse_record(resource, payload.encode())
