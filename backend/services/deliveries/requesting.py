"""Deliveries that are asked for: of an entity, of rejected records, and a test."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError
from backend.models.destinations import DeliveryRequest
from backend.security import User, require_scope
from backend.services.deliveries.destinations import check_name, no_file
from backend.services.deliveries.files import ConnectionFiles, Known, unknown_entity
from backend.services.idempotency import find_earlier
from common.connections.scopes import DELIVER, scope_of
from common.connections.settings import Destination
from common.database import in_transaction
from common.lifecycle import Mode, deliveries, intake, jobs
from common.lifecycle.deliveries import SCHEDULE

log = structlog.get_logger(__name__)

TRIGGER = "api"
READ_FIRST = ("diferencas", "tudo")
"""Modes of a delivery before which an entity is read from its source."""

_STATE = text("""
    SELECT (SELECT paused_at FROM schedules WHERE name = :schedule) IS NOT NULL AS is_paused,
           (SELECT stopped_at FROM destinations WHERE name = :name) IS NOT NULL AS is_stopped
""")
_IS_ANY_REJECTED = text("""
    SELECT EXISTS (SELECT FROM deliveries d JOIN streams t ON t.id = d.stream_id
                    WHERE t.destination = :name AND d.rejected_since IS NOT NULL
                      AND (CAST(:keys AS text[]) IS NULL OR d.key = ANY(CAST(:keys AS text[]))))
""")


class DeliveryRunningError(ConflictError):
    """The destination has a delivery already; the answer says where it is."""

    def __init__(self, name: str, job_id: int) -> None:
        super().__init__("delivery_running", name=name, id=job_id)
        self.headers = {"Location": f"/jobs/{job_id}"}


@dataclass(frozen=True)
class Asked:
    """A delivery as it is asked for."""

    destination: str
    mode: Mode
    options: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Equal for equal requests."""
        return hashlib.sha256(json.dumps(vars(self), sort_keys=True).encode()).hexdigest()


async def deliver_entity(
    engine: AsyncEngine,
    files: ConnectionFiles,
    entity: str,
    request: DeliveryRequest,
    *,
    user: User | None,
    idempotency_key: str | None = None,
) -> tuple[str, int]:
    """Begin a delivery of an entity's records; answers the destination and the id of the job.

    Raises:
        NotFoundError: no entity or destination has this name.
        RequestValidationError: which destination is meant is not clear, or it does not receive the entity.
        ForbiddenError: the user may not deliver to this destination.
        ConflictError: the destination is delivering, paused or stopped, or its file does not hold.
        IdempotencyKeyReusedError: the key belongs to another request.

    """
    known = await files.load()
    name = entity.replace("-", "_")
    if name not in known.entities:
        raise unknown_entity(entity, known)
    destination = request.destino or _only_one_of(known, name)
    require_scope(user, scope_of(DELIVER, destination))
    async with engine.connect() as db:
        file = await _file_of(db, known, destination)
    streams = [stream.name for stream in file.streams if stream.entity.name == name]
    if not streams:
        raise _refused(f"o destino {destination} não recebe {name}")
    options: dict[str, Any] = {"mode": request.modo, "streams": streams}
    if request.chaves is not None:
        options["keys"] = sorted(set(request.chaves))
    asked = Asked(destination, "backfill", options)
    who = user.name if user else None
    # what is named, or was rejected, is sent as it is here
    source = _source_of(known, name) if request.modo in READ_FIRST and request.chaves is None else None
    return destination, await _begin(engine, asked, who=who, idempotency_key=idempotency_key, source=source)


async def repeat_rejected(
    engine: AsyncEngine, files: ConnectionFiles, destination: str, keys: Sequence[str] | None, *, who: str | None
) -> int:
    """Begin a delivery of a destination's rejected records, of these keys or of all; answers the id of the job.

    Raises:
        NotFoundError: there is no such destination.
        ConflictError: there are none, or as for `deliver_entity`.

    """
    known = await files.load()
    async with engine.connect() as db:
        await _file_of(db, known, destination)
        wanted = None if keys is None else sorted(set(keys))
        if not (await db.execute(_IS_ANY_REJECTED, {"name": destination, "keys": wanted})).scalar_one():
            raise ConflictError("nothing_rejected", name=destination)
    options = {"mode": "rejeitados", **({} if wanted is None else {"keys": wanted})}
    return await _begin(engine, Asked(destination, "backfill", options), who=who)


async def test_destination(engine: AsyncEngine, files: ConnectionFiles, destination: str, *, who: str | None) -> int:
    """Begin a delivery of one request without records; answers the id of the job.

    Raises:
        NotFoundError: there is no such destination.
        ConflictError: as for `deliver_entity`.

    """
    known = await files.load()
    async with engine.connect() as db:
        await _file_of(db, known, destination)
    return await _begin(engine, Asked(destination, "update", {"mode": "teste"}), who=who)


async def _file_of(db: AsyncConnection, known: Known, name: str) -> Destination:
    await check_name(db, known, name)
    file = known.destinations.get(name)
    if file is None:
        raise no_file(known, name)
    return file


def _source_of(known: Known, entity: str) -> tuple[str, str] | None:
    """The first source that an entity is read from, with the entity."""
    names = [one.name for one in known.sources.values() if any(each.entity.name == entity for each in one.entities)]
    return (min(names), entity) if names else None


async def _read_first(db: AsyncConnection, source: tuple[str, str] | None, who: str | None) -> int | None:
    """Begin to read an entity from its source, unless that is being read or paused; answers the job to wait for."""
    if source is None:
        return None
    name, entity = source
    if await jobs.is_paused(db, intake.SCHEDULE + name):
        return None
    created = await jobs.create(
        db,
        kind="intake",
        subject=name,
        mode="backfill",
        trigger=TRIGGER,
        options={"entities": [entity]},
        requested_by=who,
    )
    return created if created is not None else await intake.running_of(db, name)


def _only_one_of(known: Known, entity: str) -> str:
    names = [one.name for one in known.destinations.values() if any(each.entity.name == entity for each in one.streams)]
    if not names:
        raise _refused(f"nenhum destino recebe {entity}")
    if len(names) > 1:
        raise _refused(f"deve ser um destes, que recebem {entity}: {', '.join(sorted(names))}")
    return names[0]


def _refused(message: str) -> RequestValidationError:
    return RequestValidationError([{"type": "parameter", "loc": ("body", "destino"), "msg": message}])


async def _begin(
    engine: AsyncEngine,
    asked: Asked,
    *,
    who: str | None,
    idempotency_key: str | None = None,
    source: tuple[str, str] | None = None,
) -> int:
    """Record a delivery, after a reading of `source`, a source and one of its entities, where there is one."""

    async def accept(db: AsyncConnection) -> tuple[int, bool]:
        earlier = await find_earlier(db, idempotency_key, asked.digest)
        if earlier is not None:
            return earlier.id, False
        await _check_state(db, asked.destination)
        if await deliveries.running_of(db, asked.destination) is not None:  # no reading for what is refused
            return await find_faster(db), False
        reading = await _read_first(db, source, who)
        created = await jobs.create(
            db,
            kind="delivery",
            subject=asked.destination,
            mode=asked.mode,
            trigger=TRIGGER,
            options=asked.options if reading is None else {**asked.options, "reads_first": reading},
            requested_by=who,
            idempotency_key=idempotency_key,
            request_digest=asked.digest,
        )
        return (await find_faster(db), False) if created is None else (created, True)

    async def find_faster(db: AsyncConnection) -> int:
        """The delivery of another request that was faster, if it is the same one; any other one refuses this."""
        earlier = await find_earlier(db, idempotency_key, asked.digest)
        if earlier is not None:
            return earlier.id
        running = await deliveries.running_of(db, asked.destination)
        if running is None:  # it has just ended
            raise ConflictError("request_in_progress")
        raise DeliveryRunningError(asked.destination, running)

    job_id, is_new = await in_transaction(engine, accept)
    if is_new:
        structlog.contextvars.bind_contextvars(execution_id=job_id)  # until the request has ended
        told = {
            "destination": asked.destination,
            "mode": asked.options["mode"],
            "keys": len(asked.options.get("keys", ())),
        }
        log.info("delivery accepted", **told, trigger=TRIGGER, user=who)
    return job_id


async def _check_state(db: AsyncConnection, name: str) -> None:
    state = (await db.execute(_STATE, {"schedule": SCHEDULE + name, "name": name})).one()
    if state.is_stopped:
        raise ConflictError("destination_stopped", name=name)
    if state.is_paused:
        raise ConflictError("destination_paused", name=name)
