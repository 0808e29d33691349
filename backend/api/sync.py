"""Start a synchronisation, see how the last one goes, look back."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from backend.dependencies import AppState, EachParameterOnce, Status
from backend.models.sync import HistoryQuery, SyncHistory, SyncRequest, SyncResponse, SyncStatus
from backend.services.force import force_sync

router = APIRouter(prefix="/sync", tags=["sync"])


@router.post("/force", summary="Inicia uma sincronização")
async def force(request: SyncRequest, response: Response, state: AppState) -> SyncResponse:
    """Registra a execução e toca o sino; o cabeçalho `Location` diz onde acompanhá-la."""
    execution_id = await force_sync(state["engine"], state["publisher"], request)
    response.headers["Location"] = f"/sync/executions/{execution_id}"
    return SyncResponse(success=True, message=f"Sync request published: {request.mode}", request_id=str(execution_id))


@router.get("/status", summary="Como vai a última execução")
async def get_status(status: Status) -> SyncStatus:
    """A execução mais nova; `idle` antes da primeira."""
    return await status.get_current_status()


@router.get("/history", summary="Execuções, da mais nova para a mais antiga", dependencies=[EachParameterOnce])
async def get_history(query: Annotated[HistoryQuery, Query()], status: Status) -> SyncHistory:
    """Com filtros; `next_cursor` leva à página seguinte."""
    return await status.get_history(query)
