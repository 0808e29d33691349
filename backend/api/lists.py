"""Lists that are read later than their records: ask for one now, and what reading them comes to."""

from fastapi import APIRouter, Response

from backend.access import asks, reads
from backend.dependencies import AppState, CurrentUser
from backend.errors import BUSY_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.lists import ListAccepted, ListPlan, ListPlanRequest, ListRequest
from backend.security import is_administrator
from backend.services.lists import ask_for_list, plan_lists

router = APIRouter(prefix="/sync/lists", tags=["sync"])


@router.post(
    "",
    operation_id="request_list",
    status_code=202,
    summary="Pede agora a lista de um registro",
    responses={
        200: {"model": ListAccepted, "description": "Foi lida há menos de uma hora, e não é lida de novo"},
        **NOT_FOUND_RESPONSE,
        **BUSY_RESPONSE,
    },
)
@asks
async def ask(request: ListRequest, response: Response, state: AppState, user: CurrentUser) -> ListAccepted:
    """Uma lista de um registro, fora de qualquer escopo; um ingestor a lê em segundos, antes das outras.

    O que já foi pedido e espera não é pedido duas vezes. Para um leitor, o que foi lido na última hora não é lido de
    novo, e só esperam `LISTS_ASKED_AT_ONCE` listas pedidas ao mesmo tempo. Um administrador pede quando quiser.
    """
    most = None if is_administrator(user) else state["lists_asked_at_once"]
    accepted = await ask_for_list(state["engine"], request, most_asked=most)
    if accepted.status == "read":
        response.status_code = 200
    return accepted


@router.post("/plan", operation_id="plan_lists", summary="O que a leitura das listas viria a ser")
@reads
async def plan(request: ListPlanRequest, state: AppState) -> ListPlan:
    """Registros, pedidos e horas, de cada lista; nada é iniciado. Com `scope`, de um escopo ainda não configurado."""
    return await plan_lists(state["engine"], state["lists"], request)
