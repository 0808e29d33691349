"""The state of an import: how a file or pushed rows come in, are staged, and end. No other file writes it.

`receiving` while a file is uploaded, `received` once it is whole, `checked` once its rows are staged, `processing`
while they become records, then `done`, `refused` or `discarded`. From `received` on it has an execution.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.database import driver_of
from common.entities.declared import digest_of, to_json
from common.lifecycle import intake, jobs

FILES_LOCK = 7_020_114_190
"""The advisory lock under which files that are whole are compared, so that of two equal ones the second is known."""
PART_BYTES = 1024 * 1024
"""Of an import's file, but for the last part."""
MOST_ERRORS = 20
"""Of a row are stored."""

_CREATE = text("""
    INSERT INTO imports (door, layout, state, needs_confirmation, file_name, requested_by, idempotency_key,
                         request_digest)
    VALUES (:door, :layout, 'receiving', :needs_confirmation, :file_name, :requested_by, :idempotency_key,
            :request_digest)
    ON CONFLICT DO NOTHING
    RETURNING id
""")
_FIND = text("SELECT id, request_digest FROM imports WHERE idempotency_key = :key")
_ADD_PART = text("""
    WITH alive AS (UPDATE imports SET updated_at = now() WHERE id = :id)
    INSERT INTO import_files (import_id, part, data) VALUES (:id, :part, :data)
""")
_DROP_RECEIVING = text("DELETE FROM imports WHERE id = :id AND state = 'receiving'")
_TAKE_FILES = text("SELECT pg_advisory_xact_lock(:key)")
_SAME_FILE = text("""
    SELECT id FROM imports
     WHERE file_sha256 = :sha256 AND layout = :layout AND id <> :id
       AND state IN ('received', 'checked', 'processing', 'done')
     ORDER BY id DESC LIMIT 1
""")
_MARK_RECEIVED = text("""
    UPDATE imports SET state = 'received', file_bytes = :bytes, file_sha256 = :sha256, execution_id = :execution_id,
                       updated_at = now()
     WHERE id = :id AND state = 'receiving' RETURNING layout
""")
_MARK_PUSHED = text("""
    UPDATE imports SET state = 'checked', execution_id = :execution_id, checked_at = now(), updated_at = now(),
                       rows = :rows, pending = :pending, rejected = :rejected
     WHERE id = :id AND state = 'receiving'
""")
_REFUSE_PUSHED = text("""
    UPDATE imports SET state = 'refused', checked_at = now(), ended_at = now(), updated_at = now(), rows = :rows,
                       rejected = :rows, fault_code = :code, fault = :fault
     WHERE id = :id AND state = 'receiving'
""")
_DISCARD = text("""
    UPDATE imports SET state = 'discarded', ended_at = now(), updated_at = now()
     WHERE id = :id AND state IN ('received', 'checked', 'processing')
""")
_ERRORS = text("""
    SELECT row, entity, errors FROM import_rows
     WHERE import_id = :id AND state = 'rejected' AND (row, entity) > (CAST(:row AS int), CAST(:entity AS text))
     ORDER BY row, entity LIMIT :most
""")
_RECORD_REMOVAL = text("""
    WITH ended AS (
        INSERT INTO imports (door, layout, state, rows, processed, requested_by, checked_at, ended_at)
        VALUES (:door, :entity, 'done', 1, 1, :requested_by, now(), now())
        RETURNING id)
    INSERT INTO import_rows (import_id, row, entity, key, state, action)
    SELECT id, 1, :entity, :key, 'processed', 'remove' FROM ended
    RETURNING import_id
""")
_UNSTAGE = text("DELETE FROM import_rows WHERE import_id = :id")
_MARK_CHECKED = text("""
    UPDATE imports i
       SET state = 'checked', checked_at = now(), updated_at = now(), notes = CAST(:notes AS jsonb),
           rows = counted.rows, pending = counted.pending, rejected = counted.rejected
      FROM (SELECT count(*) AS rows, count(*) FILTER (WHERE state = 'pending') AS pending,
                   count(*) FILTER (WHERE state = 'rejected') AS rejected
              FROM import_rows WHERE import_id = :id) AS counted
     WHERE i.id = :id AND i.state = 'received'
    RETURNING i.needs_confirmation
""")
_MARK_PROCESSING = text("""
    UPDATE imports SET state = 'processing', updated_at = now() WHERE id = :id AND state IN ('checked', 'processing')
""")
_CONFIRM = text("""
    UPDATE imports SET confirmed_at = now(), confirmed_by = :who, updated_at = now()
     WHERE execution_id = :execution_id AND state = 'checked'
""")
_ASK_AGAIN = text("""
    UPDATE imports SET notes = notes || CAST(:notes AS jsonb), checked_at = now(), confirmed_at = NULL,
                       confirmed_by = NULL, updated_at = now()
     WHERE id = :id AND state = 'checked'
""")
_END = text("""
    UPDATE imports SET state = :state, fault_code = :code, fault = :fault, ended_at = now(), updated_at = now()
     WHERE id = :id AND ended_at IS NULL
""")
_OF_EXECUTION = text("""
    SELECT id, layout, door, state, needs_confirmation, file_name FROM imports WHERE execution_id = :execution_id
""")


@dataclass(frozen=True)
class CellError:
    """Why a row is rejected: in which column, by which value as it was written, a code, and a sentence for people."""

    column: str
    value: str
    code: str
    message: str


@dataclass(frozen=True)
class StagedRow:
    """A row of one entity: its content as it is stored, or what is wrong with it.

    `row`: its number, as the sheet or the sender counts.
    """

    row: int
    entity: str
    key: str | None
    data: Mapping[str, Any] | None
    errors: tuple[CellError, ...] = ()


@dataclass(frozen=True)
class Import:
    """An import as the worker takes it up."""

    id: int
    layout: str
    door: str
    state: str
    needs_confirmation: bool
    file_name: str | None


async def create(
    db: AsyncConnection,
    *,
    door: str,
    layout: str,
    file_name: str | None = None,
    needs_confirmation: bool = False,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    request_digest: str | None = None,
) -> int | None:
    """Record an import that begins to be received; `None` where its idempotency key is known."""
    parameters = {
        "door": door,
        "layout": layout,
        "file_name": file_name,
        "needs_confirmation": needs_confirmation,
        "requested_by": requested_by,
        "idempotency_key": idempotency_key,
        "request_digest": request_digest,
    }
    created: int | None = (await db.execute(_CREATE, parameters)).scalar_one_or_none()
    return created


async def find_request(db: AsyncConnection, idempotency_key: str) -> tuple[int, str | None] | None:
    """The import of an idempotency key, with the digest of its request."""
    row = (await db.execute(_FIND, {"key": idempotency_key})).one_or_none()
    return None if row is None else (row.id, row.request_digest)


async def add_part(db: AsyncConnection, import_id: int, part: int, data: bytes) -> None:
    """Store a part of an import's file, `PART_BYTES` of it but for the last one; parts are counted from 0."""
    await db.execute(_ADD_PART, {"id": import_id, "part": part, "data": data})


async def drop_receiving(db: AsyncConnection, import_id: int) -> None:
    """Delete an import whose file did not come to its end, or is known."""
    await db.execute(_DROP_RECEIVING, {"id": import_id})


async def find_same_file(db: AsyncConnection, import_id: int, layout: str, sha256: bytes) -> int | None:
    """Another import of the same layout that has, or has had, the same bytes and was not refused.

    Until the transaction ends, no other one can be marked as received whose file was compared so.
    """
    await db.execute(_TAKE_FILES, {"key": FILES_LOCK})
    found: int | None = (
        await db.execute(_SAME_FILE, {"id": import_id, "layout": layout, "sha256": sha256})
    ).scalar_one_or_none()
    return found


async def mark_received(
    db: AsyncConnection, import_id: int, *, layout: str, size: int, sha256: bytes, requested_by: str | None
) -> int:
    """Let an import whose file is whole be worked on; answers the id of its execution."""
    execution_id = await _execution_of(db, import_id, layout, requested_by)
    parameters = {"id": import_id, "bytes": size, "sha256": sha256, "execution_id": execution_id}
    (await db.execute(_MARK_RECEIVED, parameters)).one()
    return execution_id


async def push(
    db: AsyncConnection, import_id: int, *, layout: str, rows: Sequence[StagedRow], requested_by: str | None
) -> int:
    """Stage pushed rows and let them be processed; answers the id of the execution."""
    await stage(db, import_id, rows)
    execution_id = await _execution_of(db, import_id, layout, requested_by)
    rejected = sum(1 for each in rows if each.errors)
    parameters = {
        "id": import_id,
        "execution_id": execution_id,
        "rows": len(rows),
        "pending": len(rows) - rejected,
        "rejected": rejected,
    }
    await db.execute(_MARK_PUSHED, parameters)
    return execution_id


async def refuse_push(db: AsyncConnection, import_id: int, rows: Sequence[StagedRow], *, code: str, fault: str) -> None:
    """Store pushed rows of which none is accepted, and end their import."""
    await stage(db, import_id, rows)
    await db.execute(_REFUSE_PUSHED, {"id": import_id, "rows": len(rows), "code": code, "fault": fault})


async def _execution_of(db: AsyncConnection, import_id: int, layout: str, requested_by: str | None) -> int:
    execution_id = await jobs.create(
        db,
        kind="intake",
        subject=layout,
        mode="backfill",
        trigger=intake.IMPORT,
        options={"import_id": import_id},
        requested_by=requested_by,
    )
    assert execution_id is not None  # noqa: S101  # nothing of an import's execution is unique
    await jobs.plan(db, execution_id, [0])
    return execution_id


async def of_execution(db: AsyncConnection, execution_id: int) -> Import | None:
    """The import that an execution processes."""
    row = (await db.execute(_OF_EXECUTION, {"execution_id": execution_id})).one_or_none()
    return None if row is None else Import(*row)


async def unstage(db: AsyncConnection, import_id: int) -> None:
    """Delete what a worker has staged that did not come to its end."""
    await db.execute(_UNSTAGE, {"id": import_id})


async def stage(db: AsyncConnection, import_id: int, rows: Iterable[StagedRow]) -> None:
    """Store rows; those with errors as rejected, the others to be processed."""
    driver = await driver_of(db)
    await driver.copy_records_to_table(
        "import_rows",
        columns=["import_id", "row", "entity", "key", "state", "data", "digest", "errors"],
        records=[
            (
                import_id,
                each.row,
                each.entity,
                each.key,
                "rejected" if each.errors else "pending",
                None if each.data is None else to_json(each.data),
                None if each.data is None else digest_of(each.data),
                _errors_of(each),
            )
            for each in rows
        ],
    )


def _errors_of(row: StagedRow) -> str | None:
    return json.dumps([vars(error) for error in row.errors[:MOST_ERRORS]]) if row.errors else None


async def mark_checked(db: AsyncConnection, import_id: int, notes: Mapping[str, Any]) -> bool | None:
    """Count what was staged; answers whether it waits for a confirmation, `None` where it is not being checked."""
    asked: bool | None = (
        await db.execute(_MARK_CHECKED, {"id": import_id, "notes": json.dumps(notes)})
    ).scalar_one_or_none()
    return asked


async def mark_processing(db: AsyncConnection, import_id: int) -> bool:
    """Whether the rows of an import may become records."""
    return (await db.execute(_MARK_PROCESSING, {"id": import_id})).rowcount == 1


async def confirm(db: AsyncConnection, execution_id: int, who: str) -> bool:
    """Note who has looked at the preview; the execution is confirmed with it."""
    return (await db.execute(_CONFIRM, {"execution_id": execution_id, "who": who})).rowcount == 1


async def ask_again(db: AsyncConnection, import_id: int, notes: Mapping[str, Any]) -> None:
    """Take a confirmation back, as the preview is another one now; the execution's is taken back with it."""
    await db.execute(_ASK_AGAIN, {"id": import_id, "notes": json.dumps(notes)})


async def end(
    db: AsyncConnection, import_id: int, state: str, *, code: str | None = None, fault: str | None = None
) -> bool:
    """End an import as `done`, `refused` or `discarded`; `False` where it has ended."""
    parameters = {"id": import_id, "state": state, "code": code, "fault": fault}
    return (await db.execute(_END, parameters)).rowcount == 1


async def discard(db: AsyncConnection, import_id: int) -> bool:
    """End an import whose execution was cancelled; `False` where it has ended. What was processed stays."""
    return (await db.execute(_DISCARD, {"id": import_id})).rowcount == 1


async def load_errors(
    db: AsyncConnection, import_id: int, *, after: tuple[int, str] = (-1, ""), most: int = 1000
) -> list[tuple[int, str, list[dict[str, Any]]]]:
    """Number, entity and errors of rejected rows after this number and entity, in their order."""
    asked = {"id": import_id, "row": after[0], "entity": after[1], "most": most}
    return [(row.row, row.entity, row.errors or []) for row in await db.execute(_ERRORS, asked)]


async def record_removal(db: AsyncConnection, *, door: str, entity: str, key: str, requested_by: str | None) -> int:
    """Note a record that is removed in this transaction as an import of one row; answers its id."""
    parameters = {"door": door, "entity": entity, "key": key, "requested_by": requested_by}
    recorded: int = (await db.execute(_RECORD_REMOVAL, parameters)).scalar_one()
    return recorded


# --- by age ---------------------------------------------------------------------------------------------------------

_FORGET_CUT_OFF = text("""
    DELETE FROM imports WHERE id IN (
        SELECT id FROM imports
         WHERE state = 'receiving' AND updated_at < now() - make_interval(secs => :seconds)
         ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)
""")
_REJECT_WAITING = text("""
    WITH late AS (
        SELECT r.import_id, r.row, r.entity FROM import_rows r JOIN imports i ON i.id = r.import_id
         WHERE r.state = 'pending' AND r.waits_key IS NOT NULL
           AND i.ended_at < now() - make_interval(days => :days)
         LIMIT :most FOR UPDATE SKIP LOCKED
    ), rejected AS (
        UPDATE import_rows r
           SET state = 'rejected', action = NULL,
               errors = jsonb_build_array(jsonb_build_object(
                   'column', '', 'value', left(r.waits_key, 100), 'code', CAST(:code AS text),
                   'message', format(CAST(:message AS text), r.waits_entity, r.waits_key)))
          FROM late WHERE (r.import_id, r.row, r.entity) = (late.import_id, late.row, late.entity)
        RETURNING r.import_id
    ), counted AS (
        SELECT import_id, count(*) AS rows FROM rejected GROUP BY import_id
    ), told AS (
        UPDATE imports i
           SET pending = i.pending - counted.rows, rejected = i.rejected + counted.rows, updated_at = now()
          FROM counted WHERE i.id = counted.import_id
    )
    SELECT count(*) FROM rejected
""")
_FORGET_FILES = text("""
    DELETE FROM import_files WHERE (import_id, part) IN (
        SELECT f.import_id, f.part FROM import_files f JOIN imports i ON i.id = f.import_id
         WHERE i.ended_at < now() - make_interval(days => :days)
         LIMIT :most FOR UPDATE OF f SKIP LOCKED)
""")
# The oldest one of that age. What was refused or discarded keeps rows that are not looked at any more.
_FORGET_ROWS = text("""
    DELETE FROM import_rows WHERE (import_id, row, entity) IN (
        SELECT r.import_id, r.row, r.entity
          FROM (SELECT id FROM imports
                 WHERE ended_at < now() - make_interval(days => :days) AND (pending = 0 OR state <> 'done')
                 ORDER BY ended_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) AS oldest
          JOIN import_rows r ON r.import_id = oldest.id
         LIMIT :most)
""")
_FORGET_IMPORT = text("""
    DELETE FROM imports WHERE id IN (
        SELECT id FROM imports
         WHERE ended_at < now() - make_interval(days => :days) AND (pending = 0 OR state <> 'done')
         ORDER BY ended_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
""")
REFERENCE_MISSING = "reference_missing"
_MISSING_TOO_LONG = "esperou 30 dias por %s/%s, que não veio"


async def forget_cut_off(db: AsyncConnection, *, seconds: float = 3600, most: int = 10) -> int:
    """Delete imports of whose upload nothing has come for so long."""
    return (await db.execute(_FORGET_CUT_OFF, {"seconds": float(seconds), "most": most})).rowcount


async def reject_waiting(db: AsyncConnection, *, days: int = 30, most: int = 1000) -> int:
    """Reject rows that have waited so long for the record that they refer to; answers how many."""
    parameters = {"days": days, "most": most, "code": REFERENCE_MISSING, "message": _MISSING_TOO_LONG}
    rejected: int = (await db.execute(_REJECT_WAITING, parameters)).scalar_one()
    return rejected


async def forget_files(db: AsyncConnection, *, days: int = 7, most: int = 10) -> int:
    """Delete parts of files whose imports ended so long ago."""
    return (await db.execute(_FORGET_FILES, {"days": days, "most": most})).rowcount


async def forget(db: AsyncConnection, *, days: int, most: int = 5000) -> int:
    """Delete rows of the oldest import that ended so long ago, or itself; answers how many rows of tables.

    One that is done and has rows that wait stays until they have been processed or rejected.
    """
    rows = (await db.execute(_FORGET_ROWS, {"days": days, "most": most})).rowcount
    return rows or (await db.execute(_FORGET_IMPORT, {"days": days})).rowcount


# --- what became of rows elsewhere ----------------------------------------------------------------------------------

_END_ABANDONED = text("""
    UPDATE imports i
       SET state = CASE WHEN failed.is_own THEN 'refused' ELSE 'discarded' END, ended_at = now(), updated_at = now(),
           fault_code = CASE WHEN failed.is_own THEN CAST(:code AS text) END,
           fault = CASE WHEN failed.is_own THEN format(CAST(:message AS text), e.cause) END
      FROM sync_executions e CROSS JOIN LATERAL (
           SELECT e.trigger = 'import' AND e.cause IS DISTINCT FROM 'cancelled' AS is_own) AS failed
     WHERE i.ended_at IS NULL AND e.id = i.execution_id AND e.status = 'error'
""")
CUT_OFF = "cut_off"
_CUT_OFF = "a importação não pôde ser terminada (%s)"
_REJECT_WAITING_ROWS = """
    WITH rejected AS (
        UPDATE import_rows r
           SET state = 'rejected', waits_entity = NULL, waits_key = NULL,
               errors = jsonb_build_array(jsonb_build_object('column', '', 'value', left(r.key, 100),
                                                             'code', CAST(:code AS text),
                                                             'message', CAST(:message AS text)))
          FROM {rows} AND r.state = 'pending' AND r.waits_key IS NOT NULL
        RETURNING r.import_id
    )
    UPDATE imports i SET pending = pending - done.rows, rejected = rejected + done.rows, updated_at = now()
      FROM (SELECT import_id, count(*) AS rows FROM rejected GROUP BY import_id) AS done WHERE i.id = done.import_id
"""
_REJECT_REPLACED = text(
    _REJECT_WAITING_ROWS.format(
        rows="""unnest(CAST(:rows AS int[]), CAST(:entities AS text[])) AS late (row, entity)
         WHERE r.import_id = :id AND r.row = late.row AND r.entity = late.entity"""
    )
)
_REJECT_OVERTAKEN = text(
    _REJECT_WAITING_ROWS.format(
        rows="""unnest(CAST(:keys AS text[]), CAST(:rows AS int[])) AS later (key, row)
         WHERE r.entity = :entity AND r.key = later.key AND (r.import_id, r.row) < (:id, later.row)"""
    )
)
REPLACED = "replaced"
_REPLACED = "enquanto esperava, o registro recebeu um conteúdo mais novo"


async def reject_replaced(db: AsyncConnection, import_id: int, rows: Sequence[tuple[int, str]]) -> None:
    """Reject rows, each a number and an entity, whose records were changed while they waited."""
    parameters = {
        "id": import_id,
        "rows": [number for number, _ in rows],
        "entities": [entity for _, entity in rows],
        "code": REPLACED,
        "message": _REPLACED,
    }
    await db.execute(_REJECT_REPLACED, parameters)


async def reject_overtaken(db: AsyncConnection, import_id: int, entity: str, rows: Mapping[str, int]) -> None:
    """Reject rows that still wait, as later ones of their records hold now. `rows`: numbers by keys."""
    told = {"keys": list(rows), "rows": list(rows.values())}
    await db.execute(
        _REJECT_OVERTAKEN, {"id": import_id, "entity": entity, **told, "code": REPLACED, "message": _REPLACED}
    )


async def end_abandoned(db: AsyncConnection) -> int:
    """End imports whose executions have failed or were cancelled; what was processed stays."""
    return (await db.execute(_END_ABANDONED, {"code": CUT_OFF, "message": _CUT_OFF})).rowcount


# --- rows of a source that could not be stored ------------------------------------------------------------------------

MOST_LISTED = 10_000
"""Rows of one reading of an entity that are kept; any further ones are only counted by its job."""
_OPEN_LISTING = text("""
    INSERT INTO imports AS known (door, layout, state, execution_id, notes, checked_at)
    VALUES ('sql', :entity, 'processing', :execution_id, jsonb_build_object('source', CAST(:source AS text)), now())
    ON CONFLICT (execution_id, layout) DO UPDATE SET updated_at = now()
    RETURNING id, rows
""")
_COUNT_LISTED = text("""
    UPDATE imports SET rows = rows + :rejected + :pending, rejected = rejected + :rejected,
                       pending = pending + :pending, notes = notes || CAST(:notes AS jsonb), updated_at = now()
     WHERE id = :id
""")
_END_LISTING = text("""
    UPDATE imports SET state = 'done', ended_at = now(), updated_at = now()
     WHERE execution_id = :execution_id AND layout = :entity AND door = 'sql' AND ended_at IS NULL
""")
_DROP_LISTING = text("""
    DELETE FROM imports WHERE execution_id = :execution_id AND layout = :entity AND door = 'sql'
""")
_REJECT_READ_AGAIN = text(
    _REJECT_WAITING_ROWS.format(
        rows="""imports i
         WHERE i.id = r.import_id AND i.door = 'sql' AND r.entity = :entity AND r.key = ANY(CAST(:keys AS text[]))"""
    )
)
_REJECT_GONE = text(
    _REJECT_WAITING_ROWS.format(
        rows="""imports i
         WHERE i.id = r.import_id AND i.door = 'sql' AND i.layout = :entity AND i.notes ->> 'source' = :source
           AND i.execution_id <> :execution_id AND r.entity = :entity"""
    )
)
GONE = "gone"
_GONE = "enquanto esperava, a linha saiu da fonte"


async def list_unstored(
    db: AsyncConnection,
    execution_id: int,
    entity: str,
    rows: Sequence[StagedRow],
    missing: Mapping[str, tuple[str, str]],
    *,
    source: str,
) -> None:
    """Keep rows of a source that have errors, or whose key waits for a record that is missing, as an import.

    An execution has one for each entity; its rows are numbered as they come.
    """
    parameters = {"entity": entity, "execution_id": execution_id, "source": source}
    opened = (await db.execute(_OPEN_LISTING, parameters)).one()
    kept = rows[: max(MOST_LISTED - opened.rows, 0)]
    driver = await driver_of(db)
    await driver.copy_records_to_table(
        "import_rows",
        columns=["import_id", "row", "entity", "key", "state", "data", "digest", "errors", "waits_entity", "waits_key"],
        records=[
            (
                *(opened.id, number, entity, each.key, "rejected" if each.errors else "pending"),
                None if each.data is None else to_json(each.data),
                None if each.data is None else digest_of(each.data),
                _errors_of(each),
                *((None, None) if each.errors or each.key is None else missing[each.key]),
            )
            for number, each in enumerate(kept, opened.rows + 1)
        ],
    )
    rejected = sum(1 for each in kept if each.errors)
    notes = json.dumps({"not_listed": True} if len(kept) < len(rows) else {})
    counted = {"id": opened.id, "rejected": rejected, "pending": len(kept) - rejected, "notes": notes}
    await db.execute(_COUNT_LISTED, counted)


async def drop_listing(db: AsyncConnection, execution_id: int, entity: str) -> None:
    """Forget what a reading could not store, as it begins anew."""
    await db.execute(_DROP_LISTING, {"execution_id": execution_id, "entity": entity})


async def end_listing(db: AsyncConnection, execution_id: int, entity: str) -> None:
    """End the import of what a reading could not store of an entity, if it has one; rows that wait go on waiting."""
    await db.execute(_END_LISTING, {"execution_id": execution_id, "entity": entity})


async def reject_read_again(db: AsyncConnection, entity: str, keys: Sequence[str]) -> None:
    """Reject rows of earlier readings that still wait, as these keys have been read again."""
    parameters = {"entity": entity, "keys": list(keys), "code": REPLACED, "message": _REPLACED}
    await db.execute(_REJECT_READ_AGAIN, parameters)


async def reject_gone(db: AsyncConnection, execution_id: int, entity: str, *, source: str) -> None:
    """Reject rows of earlier readings that still wait, as a whole reading has met none of them."""
    parameters = {"entity": entity, "source": source, "execution_id": execution_id, "code": GONE, "message": _GONE}
    await db.execute(_REJECT_GONE, parameters)
