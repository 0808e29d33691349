"""The use case: commit the row, ring the bell, answer. In that order."""

import hashlib
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from backend.errors import ConflictError, IdempotencyKeyReusedError, PublishFailedError, TooManyUnfinishedError
from backend.metrics import Metrics
from backend.models.sync import SyncRequest
from backend.services.publisher import RabbitMQPublisher
from common import executions
from common.database import in_transaction, is_database_trouble
from common.execution_log import log_finished

log = structlog.get_logger(__name__)

API_TRIGGER = "api"


async def force_sync(
    engine: AsyncEngine,
    publisher: RabbitMQPublisher | None,
    request: SyncRequest,
    idempotency_key: str | None = None,
    requested_by: str | None = None,
    *,
    metrics: Metrics | None = None,
) -> int:
    """Record an execution and ring for it; answers its id, the same one for the same key and request.

    Raises:
        TooManyUnfinishedError: as many are under way as there may be.
        IdempotencyKeyReusedError: the key stands for another request.
        ConflictError: the same request is being answered at this very moment.
        PublishFailedError: the bell did not ring and nobody had taken the execution: it has been ended.

    """
    digest = hashlib.sha256(request.model_dump_json().encode()).hexdigest()

    async def accept(db: AsyncConnection) -> tuple[int, bool]:
        await executions.queue_up(db)
        if idempotency_key is not None:
            known = await _find_earlier(db, idempotency_key, digest, rings=publisher is not None)
            if known is not None:
                return known, False
        created = await _record(db, request, idempotency_key, digest, requested_by)
        if created is None:
            raise TooManyUnfinishedError(
                f"Já há {executions.MAX_UNFINISHED} execuções em andamento. Espere que alguma termine ou cancele uma."
            )
        return created, True

    execution_id, is_new = await in_transaction(engine, accept)
    if not is_new:
        return execution_id
    structlog.contextvars.bind_contextvars(execution_id=execution_id)  # until the request has ended
    log.info("execution accepted", **_told(request), trigger=API_TRIGGER, user=requested_by)
    if publisher is not None:
        await _ring(engine, publisher, request, execution_id, metrics)
    return execution_id


def _told(request: SyncRequest) -> dict[str, str | None]:
    if request.mode == "update":
        return {"mode": request.mode}
    return request.model_dump(include={"mode", "criterio", "data_ini", "data_fim"})


async def _find_earlier(db: AsyncConnection, key: str, digest: str, *, rings: bool) -> int | None:
    known = await executions.find_request(db, key)
    if known is None:
        return None
    if known.request_digest != digest:
        raise IdempotencyKeyReusedError("Esta Idempotency-Key já foi usada com outro pedido. Use uma chave nova.")
    if known.undecided and rings:
        raise ConflictError("O mesmo pedido está sendo atendido agora. Repita em alguns segundos.")
    return known.id


async def _record(
    db: AsyncConnection, request: SyncRequest, key: str | None, digest: str, requested_by: str | None
) -> int | None:
    command = request.to_command()
    return await executions.create(
        db,
        mode=command.mode,
        window_start=command.window_start,
        window_end=command.window_end,
        criterio=None if command.mode == "update" else command.criterio,
        trigger=API_TRIGGER,
        idempotency_key=key,
        request_digest=digest,
        requested_by=requested_by,
        at_most=executions.MAX_UNFINISHED,
    )


async def _refuse(db: AsyncConnection, *, execution_id: int) -> tuple[bool, executions.Summary]:
    return await executions.refuse(db, execution_id), await executions.summarize(db, execution_id)


async def _ring(
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
            raise PublishFailedError(
                f"O RabbitMQ não confirmou o pedido: a execução {execution_id} foi encerrada com erro. Tente de novo."
            )
        return  # an ingestor has it already, by the message after all or by its poll
    try:
        async with engine.connect() as db:
            await db.execution_options(isolation_level="AUTOCOMMIT")  # a single statement, which nobody waits for
            await executions.mark_published(db, execution_id)
    except Exception as error:
        if not is_database_trouble(error):
            raise
        log.warning("publish could not be stamped")  # it runs all the same
