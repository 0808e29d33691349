"""Lists that are read later than their records: ask for one now, and what reading them comes to."""

from fastapi import APIRouter

from backend.access import changes, reads
from backend.dependencies import AppState
from backend.errors import NOT_FOUND_RESPONSE
from backend.models.lists import ListAccepted, ListPlan, ListPlanRequest, ListRequest
from backend.services.lists import ask_for_list, plan_lists

router = APIRouter(prefix="/sync/lists", tags=["sync"])


@router.post(
    "",
    operation_id="request_list",
    status_code=202,
    summary="Pede agora a lista de um registro",
    responses=NOT_FOUND_RESPONSE,
)
@changes
async def ask(request: ListRequest, state: AppState) -> ListAccepted:
    """Resultados, arquivos ou termos de um registro, fora de qualquer escopo; um ingestor os lê em segundos."""
    return await ask_for_list(state["engine"], request)


@router.post("/plan", operation_id="plan_lists", summary="O que a leitura das listas viria a ser")
@reads
async def plan(request: ListPlanRequest, state: AppState) -> ListPlan:
    """Registros, pedidos e horas, de cada lista; nada é iniciado. Com `scope`, de um escopo ainda não configurado."""
    return await plan_lists(state["engine"], state["lists"], request)
