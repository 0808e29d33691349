"""Streams as the database knows them: each with an id, the number of its mapping, and how far it has been delivered."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.connections.settings import Destination, Stream

FORGET_AFTER_SECONDS = 60.0
"""How long a destination's file may be gone before its open requests are given up: files are replaced one by one."""

_ADD_DESTINATION = text("""
    INSERT INTO destinations AS known (name, config_digest) VALUES (:name, :digest)
    ON CONFLICT (name) DO UPDATE SET config_digest = excluded.config_digest, missing_since = NULL, updated_at = now()
     WHERE known.config_digest IS DISTINCT FROM excluded.config_digest OR known.missing_since IS NOT NULL
""")
_FORGET_LIMITS = text("UPDATE streams SET batch_limit = NULL WHERE destination = :name AND batch_limit IS NOT NULL")
_ADD_STREAM = text("""
    INSERT INTO streams AS known (destination, name, entity, plan_digest, baseline_at)
    VALUES (:destination, :name, :entity, :digest,
            CASE WHEN :from_now THEN now() ELSE CAST(:baseline AS timestamptz) END)
    ON CONFLICT (destination, name) DO UPDATE
       SET entity = excluded.entity, plan_digest = excluded.plan_digest,
           plan = known.plan + CASE WHEN (known.entity, known.plan_digest) = (excluded.entity, excluded.plan_digest)
                                    THEN 0 ELSE 1 END,
           cursor_at = CASE WHEN known.entity = excluded.entity THEN known.cursor_at END
    RETURNING id, plan
""")
# Another courier may have the file: it says so at each look. Where none has, what is running is worked on by none.
_MARK_MISSING = text("""
    UPDATE destinations d SET missing_since = now()
     WHERE missing_since IS NULL AND name <> ALL(CAST(:names AS text[]))
       AND (CAST(:is_new AS boolean) OR EXISTS (
            SELECT FROM sync_executions e
             WHERE e.kind = 'delivery' AND e.status = 'running' AND e.held IS NULL AND e.resource = d.name
               AND e.created_at < now() - make_interval(secs => :seconds)
               AND NOT EXISTS (SELECT FROM sync_slices s
                                WHERE s.execution_id = e.id AND (s.lease_until > now() OR s.run_after > now()))))
""")
_MARK_THERE = text("""
    UPDATE destinations SET missing_since = NULL
     WHERE missing_since IS NOT NULL AND name = ANY(CAST(:names AS text[]))
""")
_MISSING = text("""
    SELECT d.name, array_agg(e.id) FILTER (WHERE e.id IS NOT NULL) AS executions
      FROM destinations d
      LEFT JOIN sync_executions e ON e.resource = d.name AND e.kind = 'delivery' AND e.status = 'running'
     WHERE d.missing_since < now() - make_interval(secs => :seconds)
       AND (e.id IS NOT NULL OR EXISTS (SELECT FROM streams s JOIN delivery_batches b ON b.stream_id = s.id
                                         WHERE s.destination = d.name AND b.state = 'open'))
     GROUP BY d.name
     UNION ALL
    SELECT e.resource, array_agg(e.id) FROM sync_executions e
     WHERE e.kind = 'delivery' AND e.status = 'running' AND e.created_at < now() - make_interval(secs => :seconds)
       AND NOT EXISTS (SELECT FROM destinations d WHERE d.name = e.resource)
     GROUP BY e.resource
""")
_OPEN_OF = text("""
    SELECT b.id, b.stream_id, b.keys FROM delivery_batches b JOIN streams s ON s.id = b.stream_id
     WHERE s.destination = :name AND b.state = 'open' ORDER BY b.id FOR UPDATE OF b
""")


@dataclass(frozen=True, eq=False)
class Registered:
    """A stream of a destination with its id and the number of its mapping."""

    destination: Destination
    stream: Stream
    id: int
    plan: int


@dataclass(frozen=True)
class Position:
    """How far a stream has been delivered.

    Records last changed up to `baseline_at` are not owed unless the ledger has them. `cursor_at`: all changes up to
    there were looked at. `batch_limit`: bytes that the destination has refused as too many.
    """

    baseline_at: datetime | None
    cursor_at: datetime | None
    batch_limit: int | None


async def register(db: AsyncConnection, destination: Destination) -> list[Registered]:
    """Write a destination's streams, in their order. A mapping or entity that has changed gets the next number.

    What `start` says holds from the first registration on.
    """
    changed = await db.execute(_ADD_DESTINATION, {"name": destination.name, "digest": destination.digest})
    if changed.rowcount:  # another address may take larger requests
        await db.execute(_FORGET_LIMITS, {"name": destination.name})
    return [await _register_stream(db, destination, stream) for stream in destination.streams]


async def _register_stream(db: AsyncConnection, destination: Destination, stream: Stream) -> Registered:
    row = (
        await db.execute(
            _ADD_STREAM,
            {
                "destination": destination.name,
                "name": stream.name,
                "entity": stream.entity.name,
                "digest": stream.rendering.digest,
                "from_now": destination.start == "now",
                "baseline": destination.first_moment,
            },
        )
    ).one()
    return Registered(destination, stream, row.id, row.plan)


_POSITION = text("SELECT baseline_at, cursor_at, batch_limit FROM streams WHERE id = :id")


async def load_position(db: AsyncConnection, stream_id: int) -> Position:
    """How far a stream has been delivered."""
    return Position(*(await db.execute(_POSITION, {"id": stream_id})).one())


async def mark_missing(db: AsyncConnection, names: Collection[str], *, is_new: bool) -> None:
    """Note that these destinations are there, and of others that their file is gone.

    `is_new`: of all others, as files have changed; else of those whose running deliveries are worked on by no courier.
    """
    await db.execute(_MARK_THERE, {"names": list(names)})
    await db.execute(_MARK_MISSING, {"names": list(names), "is_new": is_new, "seconds": FORGET_AFTER_SECONDS})


async def load_missing(db: AsyncConnection) -> list[tuple[str, list[int]]]:
    """Destinations that no courier has had a file of for a while and that have work, with their running deliveries."""
    rows = await db.execute(_MISSING, {"seconds": FORGET_AFTER_SECONDS})
    return [(name, executions or []) for name, executions in rows]


async def lock_open(db: AsyncConnection, name: str) -> list[tuple[int, int, list[str]]]:
    """The open requests of a destination, locked: the batch, its stream, and its keys."""
    return [(row.id, row.stream_id, list(row.keys)) for row in await db.execute(_OPEN_OF, {"name": name})]
