"""The use case: commit the row, ring the bell, answer. In that order."""

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.errors import PublishFailedError
from backend.models.sync import SyncRequest
from backend.services.publisher import RabbitMQPublisher
from common import executions
from common.database import is_unavailable

log = structlog.get_logger(__name__)

API_TRIGGER = "api"


async def force_sync(engine: AsyncEngine, publisher: RabbitMQPublisher | None, request: SyncRequest) -> int:
    """Record an execution and ring for it; answers its id.

    Raises:
        PublishFailedError: the bell did not ring and nobody had taken the execution: it has been ended.

    """
    command = request.to_command()
    async with engine.begin() as db:
        execution_id = await executions.create(
            db,
            mode=command.mode,
            window_start=command.window_start,
            window_end=command.window_end,
            criterio=None if command.mode == "update" else command.criterio,
            trigger=API_TRIGGER,
        )
    if execution_id is None:
        raise RuntimeError("an execution without a message of its own cannot be a duplicate")
    if publisher is not None:
        await _ring(engine, publisher, request, execution_id)
    log.info("execution accepted", execution_id=execution_id, mode=command.mode)
    return execution_id


async def _ring(engine: AsyncEngine, publisher: RabbitMQPublisher, request: SyncRequest, execution_id: int) -> None:
    if not await publisher.publish_sync_request(request, execution_id):
        async with engine.begin() as db:
            refused = await executions.refuse(db, execution_id)
        if refused:
            raise PublishFailedError(
                f"O RabbitMQ não confirmou o pedido: a execução {execution_id} foi encerrada com erro. Tente de novo."
            )
        return  # an ingestor has it already, by the message after all or by its poll
    try:
        async with engine.begin() as db:
            await executions.mark_published(db, execution_id)
    except Exception as error:
        if not is_unavailable(error):
            raise
        log.warning("publish could not be stamped", execution_id=execution_id)  # it runs all the same
