"""The reconciliation in numbers; its list and its files are those of any entity."""

from fastapi import APIRouter, Request

from backend.access import reads_list
from backend.dependencies import AppState
from backend.models.entities import Mirror
from backend.models.reconciliation import Reconciled
from backend.services.entities.documentation import parameters
from backend.services.entities.question import parse_question
from backend.services.reconciliation import load_sums
from common.connections.loading import no_connections
from common.database import raw_driver_of
from common.entities.reconciliation import NAME, to_list

router = APIRouter(tags=["cadastros"])


@router.get(
    f"/{NAME}/resumo",
    operation_id="summarize_conciliacao",
    summary="Conciliação: quantas compras em cada situação, e quanto somam",
    openapi_extra={"parameters": list(parameters(to_list(no_connections().declarations[NAME]), has_pages=False))},
)
@reads_list(NAME)
async def summarize(request: Request, state: AppState) -> Reconciled:
    """Com os mesmos filtros da lista `/conciliacao`; por situação, por mês e por órgão."""
    known = await state["connections"].load()
    question = parse_question(known.lists[NAME], request.query_params.multi_items(), instead=())
    async with state["reading"].connect() as db:
        situations, months, organs = await load_sums(await raw_driver_of(db), question)
        mirror = await state["mirrors"].load(db, question)
    return Reconciled(
        prazo_dias=state["connections"].deadline_days,
        situacoes=situations,
        meses=months,
        orgaos=organs,
        espelho=Mirror(**mirror.to_object()),
    )
