"""Sources as the database knows them: how far each entity was read, and the reading under way."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.connections.settings import Source, SourceEntity
from common.lifecycle import Mode
from ingestor.intake.columns import ForeignColumn
from ingestor.intake.faults import SourceChanged

FORGET_AFTER_SECONDS = 60.0
"""How long a source's file may be gone before its readings end: files are replaced one by one."""

_ADD_SOURCE = text("""
    INSERT INTO sources AS known (name, config_digest) VALUES (:name, :digest)
    ON CONFLICT (name) DO UPDATE SET config_digest = excluded.config_digest, missing_since = NULL, updated_at = now()
     WHERE known.config_digest IS DISTINCT FROM excluded.config_digest OR known.missing_since IS NOT NULL
""")
_ADD_ENTITY = text("""
    INSERT INTO source_entities AS known (source, entity, plan_digest) VALUES (:source, :entity, :digest)
    ON CONFLICT (source, entity) DO UPDATE
       SET plan_digest = excluded.plan_digest, cursor_value = NULL, full_at = NULL, columns = NULL,
           reading_execution_id = NULL, reading_after = NULL, reading_cursor = NULL, without_cursor = NULL
     WHERE known.plan_digest <> excluded.plan_digest
""")
_ID = text("SELECT id FROM source_entities WHERE source = :source AND entity = :entity")
_POSITION = text("""
    SELECT cursor_value, full_at, reading_execution_id, reading_after, reading_cursor, columns
      FROM source_entities WHERE id = :id
""")
_BEGIN = text("""
    UPDATE source_entities
       SET reading_execution_id = :execution_id, reading_after = CAST(:after AS jsonb), reading_cursor = :cursor,
           columns = CAST(:columns AS jsonb),
           without_cursor = CASE WHEN CAST(:is_whole AS boolean) THEN 0 ELSE without_cursor END
     WHERE id = :id
""")
_ADVANCE = text("""
    UPDATE source_entities SET reading_after = CAST(:after AS jsonb),
                               without_cursor = coalesce(without_cursor, 0) + :without_cursor
     WHERE id = :id AND reading_execution_id = :execution_id
""")
_END = text("""
    UPDATE source_entities
       SET reading_execution_id = NULL, reading_after = NULL, reading_cursor = NULL,
           cursor_value = coalesce(CAST(:cursor AS text), cursor_value),
           full_at = CASE WHEN CAST(:is_whole AS boolean) THEN now() ELSE full_at END,
           rows = CASE WHEN CAST(:is_whole AS boolean) THEN :rows ELSE rows END
     WHERE id = :id
""")
_SUCCEEDED = text(
    "UPDATE sources SET last_success_at = now(), last_error = NULL, updated_at = now() WHERE name = :name"
)
_FAILED = text("UPDATE sources SET last_error = :reason, updated_at = now() WHERE name = :name")
_MARK_THERE = text("""
    UPDATE sources SET missing_since = NULL WHERE missing_since IS NOT NULL AND name = ANY(CAST(:names AS text[]))
""")
_MARK_MISSING = text("""
    UPDATE sources SET missing_since = now() WHERE missing_since IS NULL AND name <> ALL(CAST(:names AS text[]))
""")
# Another worker may have the file, and is then at work on it.
_ABANDONED = text("""
    SELECT e.id, e.resource FROM sync_executions e LEFT JOIN sources s ON s.name = e.resource
     WHERE e.kind = 'intake' AND e.trigger <> 'import' AND e.status = 'running' AND e.held IS NULL
       AND e.resource <> ALL(CAST(:names AS text[]))
       AND coalesce(s.missing_since, e.created_at) < now() - make_interval(secs => :seconds)
       AND NOT EXISTS (SELECT FROM sync_slices p
                        WHERE p.execution_id = e.id AND (p.lease_until > now() OR p.run_after > now()))
""")


@dataclass(frozen=True, eq=False)
class Registered:
    """An entity of a source with its id."""

    source: Source
    entity: SourceEntity
    id: int

    @property
    def name(self) -> str:
        """The entity's."""
        return self.entity.entity.name


@dataclass(frozen=True)
class Position:
    """How far an entity was read.

    `cursor`: all changes up to this value were looked at; null where all rows are to be. `reading`: the execution of
    the reading under way; `after`: the order of its last row, empty at its beginning; `is_read`: all its rows have been
    met; `next_cursor`: what the cursor was at its beginning. `columns`: types by name, as they were seen last.
    """

    cursor: Any
    full_at: datetime | None
    reading: int | None
    after: tuple[Any, ...]
    is_read: bool
    next_cursor: Any
    columns: Mapping[str, str]


async def register(db: AsyncConnection, source: Source) -> list[Registered]:
    """Write a source's entities, in their order. One that is read in another way than before begins anew."""
    await db.execute(_ADD_SOURCE, {"name": source.name, "digest": source.digest})
    made = []
    for entity in source.entities:
        known = {"source": source.name, "entity": entity.entity.name}
        await db.execute(_ADD_ENTITY, {**known, "digest": plan_digest(entity)})
        made.append(Registered(source, entity, (await db.execute(_ID, known)).scalar_one()))
    return made


def plan_digest(entity: SourceEntity) -> bytes:
    """Equal where an entity is read in the same way, whatever the size of its pages."""
    declared = [
        (
            column.name,
            column.type,
            column.is_required,
            column.decimals,
            column.longest,
            column.references,
            column.values,
        )
        for column in entity.entity.columns.values()
    ]
    how = [entity.table, entity.query, entity.key, sorted(entity.names.items()), entity.cursor, entity.paging]
    return hashlib.sha256(json.dumps([how, entity.entity.key, declared]).encode()).digest()


def parts_of(registered: Sequence[Registered], mode: Mode) -> list[int]:
    """The ids of what a reading is of: of all entities, or for changes alone of those that have a cursor."""
    return [each.id for each in registered if mode == "backfill" or each.entity.cursor is not None]


async def load_position(db: AsyncConnection, registered: Registered) -> Position:
    """How far an entity was read."""
    row = (await db.execute(_POSITION, {"id": registered.id})).one()
    after = row.reading_after or {}
    return Position(
        cursor=_from_text(row.cursor_value),
        full_at=row.full_at,
        reading=row.reading_execution_id,
        after=tuple(decode(each) for each in after.get("values", ())),
        is_read=bool(after.get("is_read")),
        next_cursor=_from_text(row.reading_cursor),
        columns=row.columns or {},
    )


async def begin(
    db: AsyncConnection,
    registered: Registered,
    execution_id: int,
    *,
    cursor: Any,
    columns: Sequence[ForeignColumn],
    is_whole: bool,
) -> None:
    """Note a reading that begins, and which columns it has found."""
    parameters = {
        "id": registered.id,
        "execution_id": execution_id,
        "after": "{}",
        "cursor": _to_text(cursor),
        "columns": json.dumps({each.name: each.type for each in columns}),
        "is_whole": is_whole,
    }
    await db.execute(_BEGIN, parameters)


async def advance(
    db: AsyncConnection,
    registered: Registered,
    execution_id: int,
    *,
    after: Sequence[Any],
    without_cursor: int = 0,
    is_read: bool = False,
) -> bool:
    """Note the last row of a page that was stored; `False` where the entity's file has changed amid the reading."""
    written = json.dumps({"values": [encode(each) for each in after], "is_read": is_read})
    parameters = {"id": registered.id, "execution_id": execution_id, "after": written, "without_cursor": without_cursor}
    return (await db.execute(_ADVANCE, parameters)).rowcount == 1


async def end(
    db: AsyncConnection, registered: Registered, *, cursor: Any, is_whole: bool, rows: int | None = None
) -> None:
    """Note a reading that is complete."""
    parameters = {"id": registered.id, "cursor": _to_text(cursor), "is_whole": is_whole, "rows": rows}
    await db.execute(_END, parameters)
    await db.execute(_SUCCEEDED, {"name": registered.source.name})


async def note_failure(db: AsyncConnection, source: str, reason: str) -> None:
    """Note why a source could not be read."""
    await db.execute(_FAILED, {"name": source, "reason": reason})


async def mark_missing(db: AsyncConnection, names: Collection[str], *, is_new: bool) -> None:
    """Note that these sources are there; `is_new`: files have changed, so that all others are gone."""
    await db.execute(_MARK_THERE, {"names": list(names)})
    if is_new:
        await db.execute(_MARK_MISSING, {"names": list(names)})


async def load_abandoned(db: AsyncConnection, names: Collection[str]) -> list[tuple[int, str]]:
    """Readings of sources that no worker has had a file of for a while: the execution, and the source."""
    rows = await db.execute(_ABANDONED, {"names": list(names), "seconds": FORGET_AFTER_SECONDS})
    return [(row.id, row.resource) for row in rows]


# --- values of keys and cursors ---------------------------------------------------------------------------------------


def encode(value: Any) -> list[str]:
    """A value as JSON keeps it, with its type.

    Raises:
        SourceChanged: pages cannot follow each other by values of this type.

    """
    match value:
        case bool() | float():
            pass
        case int() | Decimal() | str() | UUID():
            return [type(value).__name__, str(value)]
        case datetime() | date():
            return [type(value).__name__, value.isoformat()]
    raise SourceChanged(f"uma chave ou um cursor é do tipo {type(value).__name__}, que não serve para ler em páginas")


def decode(written: Sequence[str]) -> Any:
    """The inverse of `encode`."""
    kind, value = written
    return _DECODERS[kind](value)


_DECODERS: Mapping[str, Any] = {
    "int": int,
    "Decimal": Decimal,
    "str": str,
    "UUID": UUID,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def _to_text(value: Any) -> str | None:
    return None if value is None else json.dumps(encode(value))


def _from_text(written: str | None) -> Any:
    return None if written is None else decode(json.loads(written))
