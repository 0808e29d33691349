"""The use case of `POST /sync/force`: commit the row, publish the message, answer. In that order."""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, PublishFailedError, TooManyUnfinishedError
from backend.metrics import Metrics
from backend.models.sync import SyncRequest
from backend.services.idempotency import find_earlier
from backend.services.publisher import RabbitMQPublisher
from common.database import in_transaction, is_database_trouble
from common.execution_log import log_finished
from common.lifecycle import admission, executions
from common.lifecycle.admission import Unplanned
from common.messages import SyncCommand, encode

log = structlog.get_logger(__name__)

API_TRIGGER = "api"
DECISION_POLL_SECONDS = 0.05
PUBLISH_MARGIN_SECONDS = 0.5  # a request that waits for another one is answered within five seconds too


async def force_sync(
    engine: AsyncEngine,
    publisher: RabbitMQPublisher | None,
    request: SyncRequest,
    idempotency_key: str | None = None,
    requested_by: str | None = None,
    *,
    metrics: Metrics | None = None,
    at_most: int = admission.MAX_UNFINISHED,
) -> int:
    """Record an execution and publish its message; answers its id, the same one for the same key and request.

    A request for an update joins an update that is not planned yet.

    Raises:
        TooManyUnfinishedError: the limit of unfinished executions is reached.
        IdempotencyKeyReusedError: the key belongs to another request.
        ConflictError: the same request is being processed.
        PublishFailedError: the message was not confirmed and no worker had the execution, so it was ended.

    """
    command = request.to_command()
    digest = hashlib.sha256(encode(command)).hexdigest()  # of the command, not of its spelling

    async def accept(db: AsyncConnection) -> _Accepted:
        await admission.queue_up(db)
        if idempotency_key is not None:
            known = await _find_earlier(db, idempotency_key, digest, publishes=publisher is not None)
            if known is not None:
                return _Accepted(known)
        waiting = (
            await admission.find_unplanned(db, mode="update", resource=command.resource)
            if command.mode == "update"
            else None
        )
        if waiting is not None:
            if idempotency_key is not None:
                await admission.keep_key(db, waiting.id, idempotency_key, digest)
            return _Accepted(waiting.id, joins=waiting)
        created = await _record(
            db, command, key=idempotency_key, digest=digest, requested_by=requested_by, at_most=at_most
        )
        if created is None:
            raise TooManyUnfinishedError("too_many_executions", most=at_most)
        return _Accepted(created, is_new=True)

    accepted = await in_transaction(engine, accept)
    execution_id = accepted.id
    if accepted.joins is not None:
        await _join(engine, accepted.joins, requested_by, publishes=publisher is not None)
    if not accepted.is_new:
        return execution_id
    structlog.contextvars.bind_contextvars(execution_id=execution_id)  # until the request has ended
    log.info("execution accepted", **_log_fields(request), trigger=API_TRIGGER, user=requested_by)
    if publisher is not None:
        await _publish(engine, publisher, request, execution_id, metrics)
    return execution_id


@dataclass(frozen=True)
class _Accepted:
    """The execution of a request: a new one, one that it joins, or the one of its key."""

    id: int
    is_new: bool = False
    joins: Unplanned | None = None


async def _join(engine: AsyncEngine, waiting: Unplanned, requested_by: str | None, *, publishes: bool) -> None:
    """Return once the request that has made the execution is accepted, or fail with it."""
    if publishes and waiting.undecided and not await _is_accepted(engine, waiting.id):
        raise _publish_failed(waiting.id)
    log.info("update joins one that is not planned yet", joined=waiting.id, user=requested_by)


async def _is_accepted(engine: AsyncEngine, execution_id: int) -> bool:
    """Wait for the outcome of another request's publish, which has its own time limit."""
    deadline = time.monotonic() + admission.UNDECIDED_SECONDS - PUBLISH_MARGIN_SECONDS
    while time.monotonic() < deadline:
        async with engine.connect() as db:
            outcome = await admission.decision(db, execution_id)
        if outcome != "open":
            return outcome == "accepted"
        await asyncio.sleep(DECISION_POLL_SECONDS)
    async with (
        engine.begin() as db
    ):  # that request's process has died: once stamped, the execution is planned by the next poll
        await admission.mark_published(db, execution_id)
        return await admission.decision(db, execution_id) == "accepted"


def _publish_failed(execution_id: int) -> PublishFailedError:
    return PublishFailedError("publish_failed", id=execution_id)


def _log_fields(request: SyncRequest) -> dict[str, str | None]:
    if request.mode == "update":
        return request.model_dump(include={"resource", "mode"})
    asked = request.model_dump(include={"resource", "mode", "data_ini", "data_fim"})
    return asked | {"criterio": request.to_command().criterio}


async def _find_earlier(db: AsyncConnection, key: str, digest: str, *, publishes: bool) -> int | None:
    known = await find_earlier(db, key, digest)
    if known is None:
        return None
    if known.undecided and publishes:
        if known.age_seconds < admission.UNDECIDED_SECONDS:
            raise ConflictError("request_in_progress")
        await admission.mark_published(db, known.id)  # that request's process has died: the next poll plans it
    return known.id


async def _record(
    db: AsyncConnection,
    command: SyncCommand,
    *,
    key: str | None,
    digest: str,
    requested_by: str | None,
    at_most: int,
) -> int | None:
    return await admission.create(
        db,
        mode=command.mode,
        resource=command.resource,
        window_start=command.window_start,
        window_end=command.window_end,
        criterio=None if command.mode == "update" else command.criterio,
        trigger=API_TRIGGER,
        idempotency_key=key,
        request_digest=digest,
        requested_by=requested_by,
        at_most=at_most,
    )


async def _refuse(db: AsyncConnection, *, execution_id: int) -> tuple[bool, executions.Summary]:
    return await admission.refuse(db, execution_id), await executions.summarize(db, execution_id)


async def _publish(
    engine: AsyncEngine,
    publisher: RabbitMQPublisher,
    request: SyncRequest,
    execution_id: int,
    metrics: Metrics | None,
) -> None:
    confirmed = await publisher.publish_sync_request(request, execution_id)
    if metrics is not None:
        metrics.published(confirmed=confirmed)
    if not confirmed:
        refused, summary = await in_transaction(engine, partial(_refuse, execution_id=execution_id))
        if refused:
            log_finished(execution_id, summary)
            raise _publish_failed(execution_id)
        return  # an ingestor has it already: the message did arrive, or its poll found the row
    try:
        async with engine.connect() as db:
            await db.execution_options(isolation_level="AUTOCOMMIT")  # a single statement that no answer waits for
            await admission.mark_published(db, execution_id)
    except Exception as error:
        if not is_database_trouble(error):
            raise
        log.warning("publish could not be stamped")  # the execution runs nevertheless
