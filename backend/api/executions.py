"""One execution: its progress and its slices."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from backend.dependencies import EachParameterOnce, Status
from backend.errors import NOT_FOUND_RESPONSE
from backend.models.sync import SlicesQuery, SyncExecutionDetail, SyncSlices

router = APIRouter(prefix="/sync/executions", tags=["executions"], responses=NOT_FOUND_RESPONSE)

ExecutionId = Annotated[int, Path(ge=1, le=2**63 - 1, description="o `request_id` da resposta de `/sync/force`")]


@router.get("/{execution_id}", summary="Uma execução")
async def get_execution(execution_id: ExecutionId, status: Status) -> SyncExecutionDetail:
    """Com o andamento e as fatias que falharam."""
    return await status.get_execution(execution_id)


@router.get("/{execution_id}/slices", summary="As fatias de uma execução", dependencies=[EachParameterOnce])
async def get_slices(execution_id: ExecutionId, query: Annotated[SlicesQuery, Query()], status: Status) -> SyncSlices:
    """Uma fatia por dia e modalidade (num update, por modalidade), na ordem em que são lidas."""
    return await status.get_slices(execution_id, query)
