"""Imports and declared records, as workers leave them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.lifecycle import imports
from common.lifecycle.imports import CellError, StagedRow

DIGEST = b"0123456789abcdef"


class Intake:
    """Writes imports and records into a database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def _write(self, statement: str, **parameters: Any) -> None:
        async with self._engine.begin() as db:
            await db.execute(text(statement), parameters)

    async def file(
        self, layout: str = "produtos", *, door: str = "page", who: str | None = None, confirms: bool = True
    ) -> int:
        """An import whose file has been received."""
        async with self._engine.begin() as db:
            created = await imports.create(
                db, door=door, layout=layout, file_name="a.csv", needs_confirmation=confirms, requested_by=who
            )
            assert created is not None
            await imports.add_part(db, created, 0, b"codigo;descricao\n")
            await imports.mark_received(db, created, layout=layout, size=17, sha256=DIGEST * 2, requested_by=who)
        return created

    async def staged(
        self, import_id: int, rows: Sequence[StagedRow], notes: Mapping[str, Any] | None = None, *, held: bool = True
    ) -> None:
        """Its rows are staged, and it waits to be confirmed."""
        async with self._engine.begin() as db:
            await imports.stage(db, import_id, rows)
            await imports.mark_checked(db, import_id, notes or {})
            if held:
                await db.execute(
                    text(
                        "UPDATE sync_executions e SET held = CAST(:held AS jsonb), started_at = now()"
                        " FROM imports i WHERE i.execution_id = e.id AND i.id = :id"
                    ),
                    {"id": import_id, "held": json.dumps({"reason": "confirm_import", "import_id": import_id})},
                )

    async def ended(self, import_id: int, state: str = "done", age: str = "0", **columns: int) -> None:
        """It has ended so long ago."""
        async with self._engine.begin() as db:
            await imports.end(db, import_id, state, code=None if state == "done" else "bad_file")
            sets = "".join(f", {name} = {value}" for name, value in columns.items())
            await db.execute(
                text(
                    f"UPDATE imports SET ended_at = now() - CAST(CAST(:age AS text) AS interval) {sets} WHERE id = :id"
                ),
                {"id": import_id, "age": age},
            )

    async def record(
        self,
        entity: str,
        key: str,
        data: Mapping[str, Any] | None = None,
        *,
        refers: Mapping[str, tuple[str, str]] | None = None,
        removed: str | None = None,
    ) -> None:
        """A record; `refers`: entity and key by the column. `removed`: how long ago."""
        await self._write(
            "INSERT INTO entity_records (entity, key, data, digest, removed_at) VALUES (:entity, :key,"
            " CAST(:data AS jsonb), :digest, now() - CAST(CAST(:removed AS text) AS interval))",
            entity=entity,
            key=key,
            data=json.dumps(data or {}),
            digest=DIGEST,
            removed=removed,
        )
        for field, (ref_entity, ref_key) in (refers or {}).items():
            await self._write(
                "INSERT INTO entity_refs VALUES (:entity, :key, :field, :ref_entity, :ref_key)",
                entity=entity,
                key=key,
                field=field,
                ref_entity=ref_entity,
                ref_key=ref_key,
            )

    async def waits(self, import_id: int, row: int, entity: str, key: str) -> None:
        """A row waits for a record."""
        await self._write(
            "UPDATE import_rows SET waits_entity = :entity, waits_key = :key WHERE import_id = :id AND row = :row",
            id=import_id,
            row=row,
            entity=entity,
            key=key,
        )


def good(row: int, key: str, entity: str = "produtos", **data: Any) -> StagedRow:
    """A row that can be stored."""
    return StagedRow(row, entity, key, data or {"codigo": key, "descricao": f"produto {key}"})


def bad(row: int, *errors: tuple[str, str, str, str], entity: str = "produtos") -> StagedRow:
    """A row with errors: column, value, code, message."""
    return StagedRow(row, entity, None, None, tuple(CellError(*error) for error in errors))
