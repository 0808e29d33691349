"""One execution: progress, slices, log, cancel, retry."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from backend.access import changes, reads
from backend.dependencies import AppState, CurrentUser, EachParameterOnce, Status
from backend.errors import BUSY_RESPONSE, CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.execution_log import ExecutionLog, LogQuery
from backend.models.sync import SlicesQuery, SyncExecutionDetail, SyncMatrix, SyncResponse, SyncSlices
from backend.openapi import with_headers
from backend.security import name_of, sees_personal_data
from backend.services.control import cancel_execution, retry_execution
from backend.services.execution_log import load_lines
from backend.services.personal import mask_detail

router = APIRouter(prefix="/sync/executions", tags=["executions"], responses=NOT_FOUND_RESPONSE)

ExecutionId = Annotated[int, Path(ge=1, le=2**63 - 1, description="o `request_id` da resposta de `/sync/force`")]


@router.get("/{execution_id}", summary="Uma execução")
@reads
async def get_execution(execution_id: ExecutionId, status: Status, user: CurrentUser) -> SyncExecutionDetail:
    """Com o andamento e as fatias que falharam. Nos motivos, um leitor vê mascarados os CPFs."""
    detail = await status.get_execution(execution_id)
    return detail if sees_personal_data(user) else mask_detail(detail)


@router.get(
    "/{execution_id}/slices",
    operation_id="list_slices",
    summary="As fatias de uma execução",
    dependencies=[EachParameterOnce],
)
@reads
async def get_slices(execution_id: ExecutionId, query: Annotated[SlicesQuery, Query()], status: Status) -> SyncSlices:
    """Uma fatia por dia e modalidade (num update, por modalidade), na ordem em que são lidas."""
    return await status.get_slices(execution_id, query)


@router.get(
    "/{execution_id}/matrix",
    operation_id="get_execution_matrix",
    summary="As fatias como uma tabela de dias e modalidades",
)
@reads
async def get_execution_matrix(execution_id: ExecutionId, status: Status) -> SyncMatrix:
    """O estado de cada fatia, em poucas letras; `/slices` com `day` e `modalidade` diz mais de uma."""
    return await status.get_matrix(execution_id)


@router.get(
    "/{execution_id}/log",
    operation_id="get_execution_log",
    summary="O registro (log) de uma execução",
    dependencies=[EachParameterOnce],
)
@reads
async def get_log(execution_id: ExecutionId, query: Annotated[LogQuery, Query()], state: AppState) -> ExecutionLog:
    """O que o backend e os ingestores registraram dela, da linha mais antiga para a mais nova.

    As linhas chegam em até alguns segundos. Quem acompanha uma execução repete o pedido com o `id` da última linha que
    já tem em `cursor`.
    """
    return await load_lines(state["reading"], execution_id, query)


@router.post(
    "/{execution_id}/cancel",
    operation_id="cancel_execution",
    summary="Cancela uma execução",
    responses=CONFLICT_RESPONSE,
)
@changes
async def cancel(execution_id: ExecutionId, state: AppState, status: Status, user: CurrentUser) -> SyncExecutionDetail:
    """Para na próxima página; o que já foi gravado fica."""
    await cancel_execution(state["engine"], execution_id, name_of(user))
    return await status.get_execution(execution_id)


@router.post(
    "/{execution_id}/retry",
    operation_id="retry_execution",
    summary="Repete o que falhou",
    responses={200: with_headers("Location"), **CONFLICT_RESPONSE, **BUSY_RESPONSE},
)
@changes
async def retry(execution_id: ExecutionId, response: Response, state: AppState, user: CurrentUser) -> SyncResponse:
    """Uma execução nova, com cópias das fatias que terminaram com erro, e só delas."""
    copy = await retry_execution(
        state["engine"], execution_id, user.name if user else None, at_most=state["max_unfinished"]
    )
    response.headers["Location"] = f"/sync/executions/{copy}"
    return SyncResponse(success=True, message=f"Retry of execution {execution_id} started", request_id=str(copy))
