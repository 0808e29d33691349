"""Health and metrics."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from backend.access import reads
from backend.dependencies import AppState
from backend.metrics import CONTENT_TYPE
from backend.models.about import About
from backend.models.sync import Alive, Health, QueueHealth
from backend.services.figures import verdict_metric
from backend.services.health import load_broker, load_state

router = APIRouter(tags=["operations"])


@router.get("/health", operation_id="get_health", summary="Saúde do serviço", responses={503: {"model": Health}})
@router.get(
    "/health/ready", operation_id="get_readiness", summary="Pronto para atender", responses={503: {"model": Health}}
)
async def health(response: Response, state: AppState) -> Health:
    """503 sem banco de dados em que se possa escrever; sem RabbitMQ as leituras funcionam, e `broker` o diz.

    `database: failing`: o banco responde, mas não grava o que os ingestores leram (disco cheio, por exemplo).
    `workers: none` com execuções por fazer é `degraded`: nenhum ingestor está vivo.
    `broker_blocked`: o RabbitMQ responde e não aceita mensagens (alarme de memória ou de disco), de modo que `broker`
    é `disconnected`. Mensagens em `queue` sem quem as leia são `degraded` também.
    """
    known = await load_state(state["engine"])
    broker = await load_broker(state["publisher"])
    response.status_code = 200 if known.is_ready else 503
    return Health(
        status="ok" if known.is_fine and (broker is None or broker.is_fine) else "degraded",
        database=known.database,
        workers=known.workers,
        broker="disabled" if broker is None else "connected" if broker.state == "connected" else "disconnected",
        broker_blocked=broker is not None and broker.state == "blocked",
        queue=None
        if broker is None or broker.state != "connected"
        else QueueHealth(messages=broker.messages, consumers=broker.consumers),
        timestamp=datetime.now(UTC),
    )


@router.get("/about", summary="Que servidor é este")
@reads
async def get_about(state: AppState) -> About:
    """A versão, e de que portal vêm os registros."""
    return state["about"]


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Métricas para o Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": "pncp_database_up 1.0"}}}},
)
@reads
async def metrics(state: AppState) -> Response:
    """No formato de texto do Prometheus. Sem o banco de dados responde igualmente, com `pncp_database_up 0`."""
    figures, verdict = await asyncio.gather(state["figures"].metrics(), state["dashboard"].verdict())
    return Response(state["metrics"].render([*figures, verdict_metric(verdict)]), media_type=CONTENT_TYPE)


@router.get("/health/live", operation_id="get_liveness", summary="O processo responde")
async def live() -> Alive:
    """Não pergunta nada a ninguém."""
    return Alive()
