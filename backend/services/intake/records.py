"""Single records of declared entities: look, correct, remove. A correction is an import of one row, and so is a
removal.
"""

import re
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, NotFoundError
from backend.models.imports import DeclaredRecord, RecordImport, ReferringRecord
from backend.services.intake.pushing import DOOR, check_records
from backend.services.personal import mask_record
from backend.services.reading import ReadConnections
from common.connections.settings import Layout
from common.database import in_transaction
from common.entities.declared import SEPARATOR, Declaration, from_json
from common.lifecycle import imports
from common.lifecycle.imports import StagedRow
from common.masking import mask_text

log = structlog.get_logger(__name__)

_INTEGER = re.compile(r"-?[0-9]{1,19}")
SHOWN = 20
"""Of the imports of a record, and of those that refer to it."""

_RECORD = text("""
    SELECT CAST(data AS text) AS data, created_at, updated_at, removed_at, source FROM entity_records
     WHERE entity = :entity AND key = :key
""")
_REFERS_TO = text("""
    SELECT ref_entity AS entity, ref_key AS key, field AS column FROM entity_refs
     WHERE entity = :entity AND key = :key ORDER BY field
""")
_REFERRED_BY = text("""
    SELECT r.entity, r.key, f.field AS column FROM entity_refs f
      JOIN entity_records r ON r.entity = f.entity AND r.key = f.key AND r.removed_at IS NULL
     WHERE f.ref_entity = :entity AND f.ref_key = :key ORDER BY r.entity, r.key, f.field LIMIT :most
""")
_COUNT_REFERRED = text("""
    SELECT count(*) FROM entity_refs f
      JOIN entity_records r ON r.entity = f.entity AND r.key = f.key AND r.removed_at IS NULL
     WHERE f.ref_entity = :entity AND f.ref_key = :key AND (f.entity, f.key) <> (:entity, :key)
""")
_IMPORTS = text("""
    SELECT i.id AS import_id, r.row, i.door, i.file_name, i.requested_by, i.created_at, r.state, r.action
      FROM import_rows r JOIN imports i ON i.id = r.import_id
     WHERE r.entity = :entity AND r.key = :key ORDER BY r.import_id DESC, r.row DESC LIMIT :most
""")
# Rows that refer to it lock it FOR KEY SHARE, which waits for this lock, as this one waits for theirs.
_LOCK = text("""
    SELECT key FROM entity_records WHERE entity = :entity AND key = :key AND removed_at IS NULL FOR UPDATE
""")
# Rows that were handed in before would bring it back. Those of a held import are decided on later, with their preview.
_COMING = text("""
    SELECT r.import_id FROM import_rows r
      JOIN imports i ON i.id = r.import_id AND i.ended_at IS NULL
      JOIN sync_executions e ON e.id = i.execution_id AND e.held IS NULL
     WHERE r.entity = :entity AND r.key = :key AND r.state = 'pending' AND r.waits_key IS NULL
     ORDER BY r.import_id LIMIT 1
""")
_REMOVE = text("""
    UPDATE entity_records SET removed_at = now(), updated_at = now(), import_id = :import_id
     WHERE entity = :entity AND key = :key
""")


class UnknownRecordError(NotFoundError):
    """An entity has no record of this key."""

    def __init__(self, entity: str, key: str) -> None:
        super().__init__("unknown_record", entity=entity, key=key)


async def load_record(
    reading: ReadConnections, declaration: Declaration, key: str, *, sees_all: bool
) -> DeclaredRecord:
    """A record with what it refers to, what refers to it, and the imports that it came by.

    Raises:
        UnknownRecordError: there is none.

    """
    asked = {"entity": declaration.name, "key": key}
    async with reading.connect() as db:
        row = (await db.execute(_RECORD, asked)).one_or_none()
        if row is None:
            raise UnknownRecordError(declaration.name, key)
        refers_to = (await db.execute(_REFERS_TO, asked)).all()
        referred_by = (await db.execute(_REFERRED_BY, {**asked, "most": SHOWN})).all()
        count = (await db.execute(_COUNT_REFERRED, asked)).scalar_one()
        past = (await db.execute(_IMPORTS, {**asked, "most": SHOWN})).all()

    def shown(written: str) -> str:
        return written if sees_all else mask_text(written)

    def related(rows: Any) -> list[ReferringRecord]:
        return [ReferringRecord(entity=one.entity, key=shown(one.key), column=one.column) for one in rows]

    data = from_json(row.data)
    return DeclaredRecord(
        entity=declaration.name,
        key=shown(key),
        data=data if sees_all else mask_record(data, declaration),
        created_at=row.created_at,
        updated_at=row.updated_at,
        removed_at=row.removed_at,
        source=row.source,
        refers_to=related(refers_to),
        referred_by=related(referred_by),
        referred_count=count,
        imports=[RecordImport(**one._asdict() | {"file_name": one.file_name and shown(one.file_name)}) for one in past],
    )


def check_correction(layout: Layout, key: str, record: Any) -> tuple[dict[str, Any], list[StagedRow]]:
    """A record as it is to be, with the parts of its key from the address, and its row.

    Raises:
        RequestValidationError: it is no object, or has another key than the address.

    """
    entity = layout.into[0].entity
    if not isinstance(record, Mapping):
        raise _refused("body", "", "records_form")
    parts = key.rsplit(SEPARATOR, len(entity.key) - 1)  # of a composite key only the first part may hold the sign
    if len(parts) != len(entity.key):
        raise _refused("path", "chave", "key_form", parts=len(entity.key), names=", ".join(entity.key))
    given = {
        name: int(part) if entity.columns[name].type == "integer" and _INTEGER.fullmatch(part) else part
        for name, part in zip(entity.key, parts, strict=True)
    }
    whole = {**given, **record}
    rows = check_records(layout, [whole])
    if rows[0].key is not None and rows[0].key != key:
        raise _refused("path", "chave", "key_differs", key=rows[0].key)
    return whole, rows


def _refused(where: str, field: str, code: str, **values: Any) -> RequestValidationError:
    return RequestValidationError([{"type": code, "loc": (where, field), "msg": "", "ctx": values}])


async def remove(engine: AsyncEngine, declaration: Declaration, key: str, *, who: str | None) -> int:
    """Mark a record as removed, at once; answers the import of one row that says so.

    Raises:
        UnknownRecordError: there is none, or it is removed already.
        ConflictError: records that are not removed refer to it, or rows of it are about to be processed.

    """
    named = {"entity": declaration.name, "key": key}

    async def once(db: AsyncConnection) -> int:
        if (await db.execute(_LOCK, named)).first() is None:
            raise UnknownRecordError(declaration.name, key)
        coming = (await db.execute(_COMING, named)).scalar_one_or_none()
        if coming is not None:
            raise ConflictError("record_coming", entity=declaration.name, key=mask_text(key), import_id=coming)
        count = (await db.execute(_COUNT_REFERRED, named)).scalar_one()
        if count:
            raise ConflictError("record_referred", entity=declaration.name, key=mask_text(key), count=count)
        import_id = await imports.record_removal(db, door=DOOR, requested_by=who, **named)
        await db.execute(_REMOVE, {**named, "import_id": import_id})
        return import_id

    import_id = await in_transaction(engine, once)
    log.info("record removed", import_id=import_id, entity=declaration.name, key=mask_text(key), user=who)
    return import_id
