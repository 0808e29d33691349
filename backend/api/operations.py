"""Health: for people, for load balancers, for supervisors."""

from datetime import UTC, datetime

from fastapi import APIRouter, Response

from backend.dependencies import AppState
from backend.models.sync import Alive, Health
from backend.services.health import broker_state, database_state

router = APIRouter(tags=["operations"])


@router.get("/health", summary="Saúde do serviço", responses={503: {"model": Health}})
@router.get("/health/ready", summary="Pronto para atender", responses={503: {"model": Health}})
async def health(response: Response, state: AppState) -> Health:
    """503 sem banco de dados; sem RabbitMQ as leituras funcionam, e `broker` diz que ele falta."""
    database = await database_state(state["engine"])
    broker = await broker_state(state["publisher"])
    response.status_code = 200 if database == "connected" else 503
    fine = database == "connected" and broker != "disconnected"
    return Health(status="ok" if fine else "degraded", database=database, broker=broker, timestamp=datetime.now(UTC))


@router.get("/health/live", summary="O processo responde")
async def live() -> Alive:
    """Não pergunta nada a ninguém."""
    return Alive()
