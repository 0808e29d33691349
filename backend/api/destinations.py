"""Destinations: state, pause, test, preview, and the records that they rejected."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from backend.access import changes, delivers, reads
from backend.bodies import LONGEST_LIST, body
from backend.dependencies import AppState, CurrentUser, EachParameterOnce, RequestLanguage
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.destinations import (
    DeliveryAccepted,
    Destinations,
    DestinationSummary,
    Preview,
    RejectedDeliveries,
    RejectedDeliveriesQuery,
    RepeatRequest,
)
from backend.models.schedules import PauseRequest
from backend.openapi import with_headers
from backend.security import name_of, sees_personal_data
from backend.services.deliveries.destinations import (
    list_destinations,
    load_destination,
    pause_destination,
    resume_destination,
)
from backend.services.deliveries.rendering import list_rejected_deliveries, preview_destination
from backend.services.deliveries.requesting import repeat_rejected, test_destination

router = APIRouter(prefix="/destinations", tags=["entregas"])

DestinationName = Annotated[str, Path(max_length=100, description="o nome do arquivo do destino, sem a extensão")]
_STARTS = {202: with_headers("Location"), **NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE}


@router.get("", operation_id="list_destinations", summary="Os destinos")
@reads
async def get_destinations(state: AppState, language: RequestLanguage) -> Destinations:
    """O estado de cada um, o que lhe é devido, e a próxima entrega."""
    return await list_destinations(state["reading"], state["connections"], language)


@router.get("/{destination}", operation_id="get_destination", summary="Um destino", responses=NOT_FOUND_RESPONSE)
@reads
async def get_destination(destination: DestinationName, state: AppState) -> DestinationSummary:
    """O que é devido foi contado na última entrega; nada é contado aqui."""
    return await load_destination(state["reading"], state["connections"], destination)


@router.post(
    "/{destination}/pause",
    operation_id="pause_destination",
    summary="Põe um destino em pausa",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def pause(
    destination: DestinationName, request: PauseRequest, state: AppState, user: CurrentUser
) -> DestinationSummary:
    """Nada mais lhe é enviado, nem depois de atualizações; uma entrega em andamento espera."""
    files = state["connections"]
    await pause_destination(state["engine"], files, destination, reason=request.reason, who=name_of(user))
    return await load_destination(state["reading"], files, destination)


@router.post(
    "/{destination}/resume",
    operation_id="resume_destination",
    summary="Retoma um destino",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def resume(destination: DestinationName, state: AppState, user: CurrentUser) -> DestinationSummary:
    """Depois de uma pausa, ou de o destino ter respondido que não quer mais receber."""
    files = state["connections"]
    await resume_destination(state["engine"], files, destination, who=name_of(user))
    return await load_destination(state["reading"], files, destination)


@router.post(
    "/{destination}/test",
    operation_id="test_destination",
    status_code=202,
    summary="Testa um destino",
    responses=_STARTS,
)
@delivers
async def test(
    destination: DestinationName, response: Response, state: AppState, user: CurrentUser
) -> DeliveryAccepted:
    """Envia um pedido assinado, sem registros; o trabalho diz o que o destino respondeu."""
    job_id = await test_destination(state["engine"], state["connections"], destination, who=user.name if user else None)
    response.headers["Location"] = f"/jobs/{job_id}"
    return DeliveryAccepted(success=True, message=f"Teste de {destination} iniciado", request_id=str(job_id))


@router.post(
    "/{destination}/preview",
    operation_id="preview_destination",
    summary="O que seria enviado",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def preview(destination: DestinationName, state: AppState) -> Preview:
    """Cinco registros de cada fluxo, como seriam enviados, e quantos são devidos; o destino não é contatado."""
    return await preview_destination(state["reading"], state["connections"], destination)


@router.get(
    "/{destination}/rejeitados",
    operation_id="list_rejected_deliveries",
    summary="O que um destino recusou, e por quê",
    responses=NOT_FOUND_RESPONSE,
    dependencies=[EachParameterOnce],
)
@reads
async def get_rejected(
    destination: DestinationName, query: Annotated[RejectedDeliveriesQuery, Query()], state: AppState, user: CurrentUser
) -> RejectedDeliveries:
    """Os registros rejeitados são tentados de novo quando mudam, e em entregas completas.

    Só um administrador recebe `content`; um leitor vê mascarados os CPFs.
    """
    sees_all = sees_personal_data(user)
    return await list_rejected_deliveries(state["reading"], state["connections"], destination, query, sees_all=sees_all)


@router.post(
    "/{destination}/rejeitados/repetir",
    operation_id="repeat_rejected_deliveries",
    status_code=202,
    summary="Repete o que um destino recusou",
    responses=_STARTS,
)
@delivers
@body(most=LONGEST_LIST)
async def repeat(
    destination: DestinationName, request: RepeatRequest, response: Response, state: AppState, user: CurrentUser
) -> DeliveryAccepted:
    """Os registros destas chaves, ou todos os rejeitados; são montados de novo."""
    job_id = await repeat_rejected(
        state["engine"], state["connections"], destination, request.chaves, who=user.name if user else None
    )
    response.headers["Location"] = f"/jobs/{job_id}"
    return DeliveryAccepted(
        success=True, message=f"Rejeitados de {destination} serão repetidos", request_id=str(job_id)
    )
