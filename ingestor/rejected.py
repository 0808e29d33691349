"""Records that could not be stored: find them, and try them again after an upgrade."""

from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.resources.contratacoes import CONTRATACOES, ITENS
from ingestor.debts import fetch_or_owe
from ingestor.persistence import Bundle, keep_rejected, store_bundles
from ingestor.pncp.client import PncpClient
from ingestor.pncp.records import Record, Rejected, parse_entry, parse_record

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """A rejected record; the ids are of the execution that saw it last, if it is still there."""

    payload_hash: str
    resource: str
    natural_key: str | None
    reason: str
    payload: str
    execution_id: int | None
    slice_id: int | None


_UNRESOLVED = text("""
    SELECT payload_hash, resource, natural_key, reason, payload, execution_id, slice_id
      FROM rejected_records WHERE resolved_at IS NULL ORDER BY id
""")
_RESOLVE = text("UPDATE rejected_records SET resolved_at = now() WHERE payload_hash = :hash AND resolved_at IS NULL")
_STORED = text("SELECT CAST(payload AS text) FROM contratacoes WHERE numero_controle_pncp = :key")
_WANT_ITENS = text("UPDATE contratacoes SET itens_at = NULL WHERE numero_controle_pncp = :key")


async def load_unresolved(engine: AsyncEngine) -> list[Entry]:
    """Every record that is still not stored."""
    async with engine.connect() as db:
        return [Entry(*row) for row in await db.execute(_UNRESOLVED)]


async def try_again(engine: AsyncEngine, client: PncpClient, entry: Entry) -> str | None:
    """Store a rejected record, with its items as they are now; answers why it cannot be, `None` where it is stored.

    Of a contratação whose items do not come just now they are owed; a rejected item is then not stored.
    """
    record = await _record_of(engine, entry)
    if isinstance(record, Rejected):
        return record.reason
    bundle = Bundle(record, await fetch_or_owe(client, record.key))
    async with engine.connect() as db, db.begin() as transaction:
        if entry.resource != "contratacoes":
            await db.execute(_WANT_ITENS, {"key": bundle.key})
        _, refused = await store_bundles(db, [bundle], entry.execution_id)
        still = [rejected.reason for rejected in refused]
        if still:
            await transaction.rollback()
            return still[0]
        for rejected in bundle.itens.rejected:
            await keep_rejected(db, rejected, execution_id=entry.execution_id, slice_id=entry.slice_id)
        still = [rejected.reason for rejected in bundle.itens.rejected if rejected.hash == entry.payload_hash]
        if bundle.itens.owed is not None and entry.resource != "contratacoes":
            still.append(f"its items are owed: {bundle.itens.owed.cause}")
        if still:
            return still[0]
        await db.execute(_RESOLVE, {"hash": entry.payload_hash})
    log.info("rejected record stored", natural_key=entry.natural_key)
    return None


async def _record_of(engine: AsyncEngine, entry: Entry) -> Record | Rejected:
    """The contratação to write: the rejected one, or the stored one that a rejected item belongs to."""
    if entry.resource == "contratacoes":
        return parse_record(CONTRATACOES, entry.payload.encode())
    item = parse_entry(ITENS, entry.payload.encode())
    if isinstance(item, Rejected):
        return item
    async with engine.connect() as db:
        payload = (await db.execute(_STORED, {"key": entry.natural_key})).scalar_one_or_none()
    if payload is None:
        return Rejected(entry.natural_key, "its contratação is not stored", entry.payload, entry.resource)
    return parse_record(CONTRATACOES, payload.encode())
