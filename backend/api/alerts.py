"""Alerts: their episodes, and a test message."""

from typing import Annotated

from fastapi import APIRouter, Query

from backend.access import changes, reads
from backend.dependencies import AppState, EachParameterOnce, RequestLanguage
from backend.errors import CONFLICT_RESPONSE
from backend.models.alerts import Alerts, AlertsQuery, AlertTest
from backend.services.alerts.episodes import list_alerts, send_test

router = APIRouter(prefix="/sync/alerts", tags=["alerts"])


@router.get(
    "", operation_id="list_alerts", summary="Alertas, do mais novo para o mais antigo", dependencies=[EachParameterOnce]
)
@reads
async def get_alerts(query: Annotated[AlertsQuery, Query()], state: AppState, language: RequestLanguage) -> Alerts:
    """Os episódios abertos e os passados; `next_cursor` leva à página seguinte."""
    shown, open_count, next_cursor = await list_alerts(state["engine"], query, language)
    channels = [channel.name for channel in state["notifier"].channels]
    return Alerts(alerts=shown, open_count=open_count, channels=channels, next_cursor=next_cursor)


@router.post("/test", operation_id="test_alerts", summary="Envia uma mensagem de teste", responses=CONFLICT_RESPONSE)
@changes
async def test(state: AppState) -> AlertTest:
    """Por todos os canais configurados; 409 se não há nenhum."""
    return AlertTest(channels=await send_test(state["notifier"]))
