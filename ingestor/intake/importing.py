"""The life of an import: its file is read and staged, its preview confirmed, its rows made records in chunks.

Each chunk is one transaction that holds the import's slice, so that a worker that was overtaken writes nothing, and one
that dies leaves whole chunks.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.connections.settings import Layout
from common.database import driver_of, in_transaction
from common.entities.declared import Declaration
from common.intake.rows import Reader
from common.lifecycle import imports, intake, jobs, slices
from common.lifecycle.imports import Import
from common.lifecycle.intake import IntakeClaim
from ingestor.errors import LeaseLost
from ingestor.intake.records import BY_INDEX, Upserted, restore, upsert
from ingestor.intake.spreadsheet import SheetRefused, open_sheet

log = structlog.get_logger(__name__)

CHUNK = 1000
"""Rows of the sheet that become records in one transaction."""
CONFIRM = "confirm_import"
REJECTED_ROWS = "rejected_rows"
NO_ROWS = "no_rows"
NOTHING_ACCEPTED = "nothing_accepted"

_PARTS = "SELECT data FROM import_files WHERE import_id = $1 AND part >= $2 ORDER BY part LIMIT 4"
# Whole rows of the sheet: what one row is of several entities is not torn apart.
_NEXT = """
    WITH last AS (
        SELECT row FROM import_rows WHERE import_id = $1 AND state = 'pending' AND waits_key IS NULL
         ORDER BY row LIMIT 1 OFFSET $2
    )
    SELECT row, entity, key, CAST(data AS text) AS data, digest FROM import_rows
     WHERE import_id = $1 AND state = 'pending' AND waits_key IS NULL
       AND row <= coalesce((SELECT row FROM last), 2147483647)
     ORDER BY row
"""
_MARK = """
    UPDATE import_rows r
       SET state = done.state, action = done.action, waits_entity = done.waits_entity, waits_key = done.waits_key
      FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
           AS done (import_id, row, entity, state, action, waits_entity, waits_key)
     WHERE r.import_id = done.import_id AND r.row = done.row AND r.entity = done.entity
"""
_ADD = """
    UPDATE imports i
       SET pending = i.pending - done.processed - done.unchanged - done.rejected,
           processed = i.processed + done.processed, unchanged = i.unchanged + done.unchanged,
           rejected = i.rejected + done.rejected,
           created = i.created + done.created, changed = i.changed + done.changed, updated_at = now()
      FROM (SELECT $1::bigint AS id, $2::int AS processed, $3::int AS unchanged, $4::int AS rejected,
                   $5::int AS created, $6::int AS changed) AS done
     WHERE i.id = done.id
"""
# What the last row of each key would do. A record that is not there may also come by this import.
_PREVIEW = """
    SELECT r.entity, count(*) FILTER (WHERE known.key IS NULL OR known.removed_at IS NOT NULL) AS create,
           count(*) FILTER (WHERE known.removed_at IS NULL AND known.digest <> r.digest) AS change,
           count(*) FILTER (WHERE known.removed_at IS NULL AND known.digest = r.digest) AS none
      FROM (SELECT DISTINCT ON (entity, key) entity, key, digest FROM import_rows
             WHERE import_id = $1 AND state = 'pending' ORDER BY entity, key, row DESC) r
      LEFT JOIN entity_records known ON known.entity = r.entity AND known.key = r.key
     GROUP BY r.entity
"""
_CHANGED_SINCE = """
    SELECT count(*) FROM (SELECT DISTINCT ON (entity, key) entity, key, digest FROM import_rows
                           WHERE import_id = $1 AND state = 'pending' ORDER BY entity, key, row DESC) r
      JOIN entity_records known ON known.entity = r.entity AND known.key = r.key
     WHERE known.updated_at > (SELECT checked_at FROM imports WHERE id = $1)
       AND (known.digest IS DISTINCT FROM r.digest OR known.removed_at IS NOT NULL)
"""
_REPEATED = """
    SELECT entity, count(*) AS keys FROM (
        SELECT entity, key FROM import_rows WHERE import_id = $1 AND state = 'pending'
         GROUP BY entity, key HAVING count(DISTINCT digest) > 1) AS repeated
     GROUP BY entity
"""
_WAITING = """
    SELECT count(*) FROM import_rows r
     WHERE r.import_id = $1 AND r.entity = $2 AND r.state = 'pending' AND r.data ->> $3 IS NOT NULL
       AND NOT EXISTS (SELECT FROM entity_records known
                        WHERE known.entity = $4 AND known.key = r.data ->> $3 AND known.removed_at IS NULL)
       AND NOT EXISTS (SELECT FROM import_rows own
                        WHERE own.entity = $4 AND own.key = r.data ->> $3 AND own.import_id = $1
                          AND own.state = 'pending')
"""
# What waits for a record that is there now. What a later import, or none, has changed or removed since this one came in
# is not written over.
_RIPE = """
    SELECT r.import_id, r.row, r.entity, r.key, CAST(r.data AS text) AS data, r.digest,
           CASE i.door WHEN 'sql' THEN i.notes ->> 'source' END AS source,
           own.updated_at > i.created_at
           AND (own.import_id IS NULL OR own.import_id > r.import_id OR own.removed_at IS NOT NULL)
           AND (own.digest IS DISTINCT FROM r.digest OR own.removed_at IS NOT NULL) AS is_replaced
      FROM import_rows r
      JOIN imports i ON i.id = r.import_id AND i.state IN ('processing', 'done')
      JOIN entity_records referred ON referred.entity = r.waits_entity AND referred.key = r.waits_key
                                  AND referred.removed_at IS NULL
      LEFT JOIN entity_records own ON own.entity = r.entity AND own.key = r.key
     WHERE r.state = 'pending' AND r.waits_key IS NOT NULL AND r.entity = ANY($1)
     ORDER BY r.import_id, r.row LIMIT $2 FOR UPDATE OF r SKIP LOCKED
"""


class Refused(Exception):
    """An import that is not taken in: a code, and a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class NeedsConfirmation(Exception):
    """The rows are staged, and a person has to look at what they would do."""


@dataclass(frozen=True)
class Tools:
    """What the work on imports needs of the worker.

    `stops` says whether it is to end, `count` takes entity, state and number of rows.
    """

    engine: AsyncEngine
    stops: Any
    count: Callable[[str, str, int], None] = lambda *_: None


@dataclass
class _Marks:
    """What became of rows, column by column as they are written."""

    imports: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    entities: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    actions: list[str | None] = field(default_factory=list)
    waits_entities: list[str | None] = field(default_factory=list)
    waits_keys: list[str | None] = field(default_factory=list)

    def add(
        self, row: asyncpg.Record, import_id: int, state: str, action: str | None, waits: tuple[str, str] | None = None
    ) -> None:
        self.imports.append(import_id)
        self.rows.append(row["row"])
        self.entities.append(row["entity"])
        self.states.append(state)
        self.actions.append(action)
        self.waits_entities.append(waits[0] if waits else None)
        self.waits_keys.append(waits[1] if waits else None)

    def count(self, state: str, action: str | None = None) -> int:
        return sum(
            1
            for known, done in zip(self.states, self.actions, strict=True)
            if known == state and action in (None, done)
        )

    async def write(self, driver: "asyncpg.Connection[Any]") -> None:
        await driver.execute(
            _MARK,
            self.imports,
            self.rows,
            self.entities,
            self.states,
            self.actions,
            self.waits_entities,
            self.waits_keys,
        )


async def process(tools: Tools, claim: IntakeClaim, found: Import, layout: Layout) -> bool:
    """Work on an import until it is done; `False` where the worker stops before.

    Raises:
        Refused: its file, or its rows, are not taken in.
        NeedsConfirmation: its rows wait for a person to look at them.
        LeaseLost: it is another worker's now.

    """
    if found.state == "received":
        await _stage(tools, claim, found, layout)
    if found.state != "processing":  # the worker that staged it may have died before this was asked
        await _ask_leave(tools, claim, found, layout)
    entities = {each.entity.name: each.entity for each in layout.into}
    while not tools.stops():
        marks = await in_transaction(tools.engine, lambda db: _process_chunk(db, claim, found.id, entities))
        if marks is None:
            return True
        for (entity, state), rows in Counter(zip(marks.entities, marks.states, strict=True)).items():
            tools.count(entity, state, rows)
    return False


async def finish(db: AsyncConnection, claim: IntakeClaim, import_id: int) -> bool:
    """End an import whose rows have all been looked at; `False` if it is not ours."""
    if not await jobs.finish(db, claim):
        return False
    return await imports.end(db, import_id, "done")


# --- staging ----------------------------------------------------------------------------------------------------------


async def _stage(tools: Tools, claim: IntakeClaim, found: Import, layout: Layout) -> None:
    """Read the file into rows. What a worker before has staged is thrown away: it may have died in between."""

    async def begin(db: AsyncConnection) -> None:
        await _hold(db, claim)
        await imports.unstage(db, found.id)

    await in_transaction(tools.engine, begin)
    with tempfile.TemporaryDirectory(prefix="pncp-import-") as folder:
        path = Path(folder) / "file"
        await _fetch(tools.engine, found.id, path)
        try:
            notes = await _read(tools, claim, found, layout, path)
        except SheetRefused as refused:
            raise Refused(refused.code, refused.message) from None

    async def check(db: AsyncConnection) -> None:
        await _hold(db, claim)
        preview = await _preview(await driver_of(db), found.id, layout)
        await imports.mark_checked(db, found.id, {**notes, **preview})

    await in_transaction(tools.engine, check)
    log.info("import is staged", import_id=found.id, rows=notes["rows"])


async def _ask_leave(tools: Tools, claim: IntakeClaim, found: Import, layout: Layout) -> None:
    """Raise where staged rows may not become records, or not yet."""
    async with tools.engine.connect() as db:
        counted = await (await driver_of(db)).fetch("SELECT rows, rejected FROM imports WHERE id = $1", found.id)
    ((rows, rejected),) = counted
    if rejected and rejected == rows:
        raise Refused(NOTHING_ACCEPTED, "nenhuma linha pode ser importada: todas têm erros")
    if rejected and layout.policy == "all_or_nothing":
        raise Refused(REJECTED_ROWS, f"{rejected} linhas têm erros, e o layout {layout.name} aceita tudo ou nada")
    if not found.needs_confirmation:
        return
    ask_again = partial(_ask_again, claim=claim, found=found, layout=layout)
    if not claim.options.get("confirmed") or await in_transaction(tools.engine, ask_again):
        raise NeedsConfirmation


async def _ask_again(db: AsyncConnection, claim: IntakeClaim, found: Import, layout: Layout) -> bool:
    """Whether rows would write over what was changed since their preview, which is then made anew to be confirmed."""
    await jobs.lock(db, claim.execution_id)
    await _hold(db, claim)
    driver = await driver_of(db)
    await driver.execute(BY_INDEX)
    changed = await driver.fetchval(_CHANGED_SINCE, found.id)
    if changed:
        preview = await _preview(driver, found.id, layout)
        await imports.ask_again(db, found.id, {**preview, "changed_since": changed})
        await intake.ask_again(db, claim.execution_id)
        log.warning("records were changed since the preview that was confirmed", records=changed)
    return bool(changed)


async def _fetch(engine: AsyncEngine, import_id: int, path: Path) -> None:
    """Write the uploaded bytes to a file, a few parts at a time."""
    part = 0
    with path.open("wb") as file:
        while True:
            async with engine.connect() as db:
                rows = await (await driver_of(db)).fetch(_PARTS, import_id, part)
            if not rows:
                return
            for row in rows:
                file.write(row["data"])
            part += len(rows)


async def _read(tools: Tools, claim: IntakeClaim, found: Import, layout: Layout, path: Path) -> dict[str, Any]:
    """Stage the rows of a sheet, batch by batch; answers what is told of the file."""
    rows = 0
    async with open_sheet(path, found.file_name) as sheet:
        reader = Reader(layout, door="sheet")
        headers = reader.bind(sheet.headers)
        if headers.missing:
            raise Refused("missing_columns", f"faltam colunas obrigatórias: {', '.join(headers.missing)}")
        if headers.repeated:  # as by its name and by its label: which of the two counts is not for us to guess
            raise SheetRefused("repeated_headers", headers=", ".join(headers.repeated))
        async for batch in sheet.batches():
            staged = [
                row
                for number, cells in batch
                for row in reader.read(number, dict(zip(sheet.headers, cells, strict=False)))
            ]
            rows += len(batch)

            async def store(db: AsyncConnection, staged: Sequence[imports.StagedRow] = staged) -> None:
                await _hold(db, claim)
                await imports.stage(db, found.id, staged)

            await in_transaction(tools.engine, store)
            for entity, number in Counter(row.entity for row in staged if row.errors).items():
                tools.count(entity, "rejected", number)
    if not rows:
        raise Refused(NO_ROWS, "a planilha não tem nenhuma linha além do cabeçalho")
    return {"rows": rows, "headers": list(sheet.headers), "unknown_columns": list(headers.unknown)}


async def _preview(driver: "asyncpg.Connection[Any]", import_id: int, layout: Layout) -> dict[str, Any]:
    """What the staged rows would do, by entity."""
    await driver.execute(BY_INDEX)
    found: dict[str, dict[str, int]] = {}
    for row in await driver.fetch(_PREVIEW, import_id):
        found[row["entity"]] = {"create": row["create"], "change": row["change"], "none": row["none"]}
    for row in await driver.fetch(_REPEATED, import_id):
        found[row["entity"]]["repeated"] = row["keys"]
    for each in layout.into:
        if each.entity.name in found:
            waiting = 0
            for column, entity in each.entity.references.items():
                waiting += await driver.fetchval(_WAITING, import_id, each.entity.name, column, entity)
            found[each.entity.name]["waiting"] = waiting
    return {"preview": found}


async def _hold(db: AsyncConnection, claim: IntakeClaim) -> None:
    if await slices.hold(db, claim) is None:
        raise LeaseLost


# --- processing -------------------------------------------------------------------------------------------------------


async def _process_chunk(
    db: AsyncConnection, claim: IntakeClaim, import_id: int, entities: Mapping[str, Declaration]
) -> _Marks | None:
    """Make records of the next rows; answers what became of them, `None` where there are none.

    `entities` in the order in which rows refer.
    """
    await _hold(db, claim)
    if not await imports.mark_processing(db, import_id):
        raise LeaseLost
    driver = await driver_of(db)
    rows = await driver.fetch(_NEXT, import_id, CHUNK - 1)
    if not rows:
        return None
    unknown = {row["entity"] for row in rows} - entities.keys()
    if unknown:
        raise Refused("layout_changed", f"o layout mudou desde a leitura: já não traz {', '.join(sorted(unknown))}")
    marks = await _store(db, import_id, rows, entities)
    await _count(driver, import_id, marks)
    processed, unchanged = marks.count("processed"), marks.count("unchanged")
    await jobs.count(db, claim, seen=len(rows), unchanged=unchanged, accepted=processed, requests=1)
    return marks


async def _store(
    db: AsyncConnection,
    import_id: int,
    rows: Sequence[asyncpg.Record],
    entities: Mapping[str, Declaration],
    *,
    source: str | None = None,
) -> _Marks:
    """Upsert staged rows, entity by entity, and mark what became of them. Of rows with one key the last one holds.

    Rows before them that still wait are overtaken. `source`: the database that they were read from.
    """
    driver = await driver_of(db)
    marks = _Marks()
    held: dict[str, dict[str, int]] = {}
    for name, entity in entities.items():
        own = [row for row in rows if row["entity"] == name]
        if not own:
            continue
        last = {row["key"]: row for row in own}
        records = [restore(entity, key, row["data"], row["digest"]) for key, row in last.items()]
        done = await upsert(driver, entity, records, source=source, import_id=import_id)
        held[name] = {key: row["row"] for key, row in last.items() if key not in done.missing}
        for row in own:
            _mark(marks, row, import_id, done, is_last=last[row["key"]] is row, last=last[row["key"]])
    await marks.write(driver)
    for name, numbers in held.items():
        await imports.reject_overtaken(db, import_id, name, numbers)
    return marks


def _mark(
    marks: _Marks, row: asyncpg.Record, import_id: int, done: Upserted, *, is_last: bool, last: asyncpg.Record
) -> None:
    key = row["key"]
    if key in done.missing:
        marks.add(row, import_id, "pending", None, done.missing[key])
    elif not is_last:
        # the same content again, or one that a later row of this import has replaced
        state = "unchanged" if row["digest"] == last["digest"] else "processed"
        marks.add(row, import_id, state, "none")
    elif key in done.created:
        marks.add(row, import_id, "processed", "create")
    elif key in done.changed:
        marks.add(row, import_id, "processed", "change")
    else:
        marks.add(row, import_id, "unchanged", "none")


async def _count(driver: "asyncpg.Connection[Any]", import_id: int, marks: _Marks) -> None:
    await driver.execute(
        _ADD,
        import_id,
        marks.count("processed"),
        marks.count("unchanged"),
        marks.count("rejected"),
        marks.count("processed", "create"),
        marks.count("processed", "change"),
    )


async def retry_waiting(db: AsyncConnection, entities: Mapping[str, Declaration]) -> int:
    """Take up rows whose missing record is there now, some of them; answers how many were looked at.

    A row that a later change of its record has overtaken is rejected.
    """
    driver = await driver_of(db)
    await driver.execute(BY_INDEX)
    ripe = await driver.fetch(_RIPE, list(entities), CHUNK)
    by_import: dict[int, list[asyncpg.Record]] = {}
    for row in ripe:
        by_import.setdefault(row["import_id"], []).append(row)
    for import_id, rows in sorted(by_import.items()):
        fresh = [row for row in rows if not row["is_replaced"]]
        marks = await _store(db, import_id, fresh, entities, source=rows[0]["source"])
        await _count(driver, import_id, marks)
        replaced = [row for row in rows if row["is_replaced"]]
        if replaced:
            await imports.reject_replaced(db, import_id, [(row["row"], row["entity"]) for row in replaced])
    return len(ripe)
