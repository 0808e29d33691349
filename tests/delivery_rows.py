"""Rows of deliveries, as workers leave them, and the files of connections that go with them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

DIGEST = b"0123456789abcdef"


class Deliveries:
    """Writes rows of deliveries into a database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def _value(self, statement: str, **parameters: Any) -> int:
        async with self._engine.begin() as db:
            return int((await db.execute(text(statement), parameters)).scalar_one())

    async def _write(self, statement: str, **parameters: Any) -> None:
        async with self._engine.begin() as db:
            await db.execute(text(statement), parameters)

    async def destination(self, name: str, **state: str) -> None:
        """A destination; `state`: SQL of its columns."""
        columns, values = ", ".join(["name", *state]), ", ".join([":name", *state.values()])
        await self._write(f"INSERT INTO destinations ({columns}) VALUES ({values})", name=name)

    async def stream(self, destination: str, entity: str = "contratacoes", name: str | None = None) -> int:
        """A stream of a destination."""
        return await self._value(
            "INSERT INTO streams (destination, name, entity, plan_digest, full_at)"
            " VALUES (:destination, :name, :entity, :digest, now() - interval '9 hours') RETURNING id",
            destination=destination,
            name=name or entity,
            entity=entity,
            digest=DIGEST,
        )

    async def record(self, stream_id: int, key: str, state: int = 1, **columns: Any) -> None:
        """A record of the ledger; of a rejected one with a reason."""
        values = {"tries": 3 if state == 3 else 0, "reason": "valor sem correspondência: X" if state == 3 else None}
        values |= columns
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        await self._write(
            f"INSERT INTO deliveries (stream_id, key, state, plan, source_at, digest, sent_at, rejected_since, {names})"
            " VALUES (:stream_id, :key, CAST(:state AS int), 1, now() - interval '2 days', :digest,"
            f" now() - interval '1 hour', CASE WHEN CAST(:state AS int) = 3 THEN now() - interval '1 day' END,"
            f" {marks})",
            stream_id=stream_id,
            key=key,
            state=state,
            digest=DIGEST,
            **values,
        )

    async def batch(self, stream_id: int, execution_id: int, keys: Sequence[str], **columns: Any) -> int:
        """A request; without `state` one that was accepted."""
        values = {"state": "accepted", "last_status": 200, "last_error": None, "last_answer": None, **columns}
        is_open = values["state"] == "open"
        return await self._value(
            f"""
            INSERT INTO delivery_batches (stream_id, execution_id, idempotency, body, keys, digests, source_ats, plan,
                                          records, bytes, tries, first_sent_at, settled_at, {", ".join(values)})
            VALUES (:stream_id, :execution_id, gen_random_uuid(), {"'[]'" if is_open else "NULL"}, :keys,
                    array_fill(CAST(:digest AS bytea), ARRAY[CAST(:records AS int)]),
                    array_fill(now(), ARRAY[CAST(:records AS int)]), 1, :records, 2, 1, now(),
                    {"NULL" if is_open else "now()"}, {", ".join(f":{name}" for name in values)})
            RETURNING id
            """,
            stream_id=stream_id,
            execution_id=execution_id,
            keys=list(keys),
            digest=DIGEST,
            records=len(keys),
            **values,
        )

    async def execution(
        self,
        destination: str,
        status: str = "running",
        *,
        mode: str = "backfill",
        age: str = "3 hours",
        trigger: str = "schedule",
        cause: str | None = None,
        held: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        streams: Sequence[int] = (),
        counts: Mapping[str, int] | None = None,
    ) -> int:
        """A delivery that was asked for so long ago, with slices of these streams."""
        is_open = status == "running"
        cause = cause or ("destination_down" if status == "error" else None)
        execution_id = await self._value(
            f"""
            INSERT INTO sync_executions (kind, resource, mode, criterio, trigger, status, cause, error_message, options,
                                         held, cancelled_by, created_at, planned_at, started_at, finished_at,
                                         published_at, duration_seconds, records_processed, records_rejected)
            VALUES ('delivery', :destination, :mode, 'atualizacao', :trigger, :status, :cause, :error, :options, :held,
                    :cancelled_by, {"now() - CAST(CAST(:age AS text) AS interval), " * 3}
                    {"NULL" if is_open else "now()"}, now(), {"NULL" if is_open else "61"}, 0, 0)
            RETURNING id
            """.replace(":options", "CAST(:options AS jsonb)").replace(":held", "CAST(:held AS jsonb)"),
            destination=destination,
            mode=mode,
            trigger=trigger,
            status=status,
            cause=cause,
            error=None if cause is None else "não respondeu em 30 s",
            options=None if options is None else json.dumps(options),
            held=None if held is None else json.dumps(held),
            cancelled_by="maria" if cause == "cancelled" else None,
            age=age,
        )
        told = dict(counts or {})
        for ordinal, stream_id in enumerate(streams, start=1):
            names = "".join(f", {name}" for name in told)
            await self._write(
                f"""
                INSERT INTO sync_slices (execution_id, ordinal, kind, resource, mode, criterio, part, status, cause,
                                         error_message, started_at, finished_at {names})
                SELECT :id, :ordinal, 'delivery', destination, :mode, 'atualizacao', id, :status, :cause, :error, now(),
                       CASE WHEN :status <> 'running' THEN now() END {"".join(f", :{name}" for name in told)}
                  FROM streams WHERE id = :stream_id
                """,
                id=execution_id,
                ordinal=ordinal,
                mode=mode,
                status=status,
                cause="no_answer" if status == "error" else None,
                error="não respondeu em 30 s" if status == "error" else None,
                stream_id=stream_id,
                **told,
            )
        return execution_id

    async def pause(self, destination: str) -> None:
        """Its schedule is paused."""
        await self._write(
            "INSERT INTO schedules (name, paused_at, paused_by, pause_reason)"
            " VALUES ('deliver:' || CAST(:name AS text), now(), 'maria', 'manutenção')",
            name=destination,
        )

    async def worker(self, alive: str = "1 hour") -> None:
        """A worker that delivers and nothing else."""
        await self._write(
            "INSERT INTO workers (id, kinds, last_seen_at, alive_until)"
            " VALUES ('courier', '{delivery}', now() + CAST(CAST(:alive AS text) AS interval) - interval '1 hour',"
            " now() + CAST(CAST(:alive AS text) AS interval))",
            alive=alive,
        )
