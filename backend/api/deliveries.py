"""Deliveries of an entity: begin one, and the trace of a record."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from backend.access import delivers_some, reads
from backend.api.sync import IdempotencyKey
from backend.bodies import LONGEST_LIST, body
from backend.dependencies import AppState, CurrentUser
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.destinations import LONGEST_KEY, STORABLE, DeliveryAccepted, DeliveryRequest, RecordTrace
from backend.openapi import with_headers
from backend.security import sees_personal_data
from backend.services.deliveries.requesting import deliver_entity
from backend.services.deliveries.trace import trace_record

router = APIRouter(tags=["entregas"])

EntityName = Annotated[
    str, Path(max_length=100, description="a entidade, com hífens ou sublinhados", examples=["contratacoes"])
]


@router.get(
    "/deliveries/{entidade}/{chave:path}",
    operation_id="trace_record",
    summary="Para onde foi um registro",
    responses=NOT_FOUND_RESPONSE,
)
@reads
async def get_trace(
    entidade: EntityName,
    chave: Annotated[
        str,
        Path(
            max_length=LONGEST_KEY,
            pattern=STORABLE,
            description="a chave; as partes de uma composta, separadas por `/`",
        ),
    ],
    state: AppState,
    user: CurrentUser,
) -> RecordTrace:
    """Por destino: o que foi enviado, quando, em que pedido, e o que o destino respondeu."""
    sees_all = sees_personal_data(user)
    return await trace_record(state["reading"], state["connections"], entidade, chave, sees_all=sees_all)


@router.post(
    "/{entidade}/sincronizar",
    operation_id="deliver_entity",
    status_code=202,
    summary="Entrega uma entidade a um destino",
    responses={202: with_headers("Location"), **NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@delivers_some
@body(most=LONGEST_LIST)
async def deliver(
    entidade: EntityName,
    *,
    request: DeliveryRequest,
    response: Response,
    state: AppState,
    user: CurrentUser,
    idempotency_key: IdempotencyKey = None,
) -> DeliveryAccepted:
    """Compara todos os registros da entidade com o que o destino tem, e envia o que difere.

    Uma entidade que vem de uma fonte é antes lida dela: a entrega espera essa leitura terminar.
    Um destino tem uma entrega de cada vez: enquanto há uma, a resposta é 409, e `Location` diz qual.
    """
    destination, job_id = await deliver_entity(
        state["engine"],
        state["connections"],
        entidade,
        request,
        user=user,
        idempotency_key=idempotency_key,
    )
    response.headers["Location"] = f"/jobs/{job_id}"
    return DeliveryAccepted(success=True, message=f"Entrega a {destination} iniciada", request_id=str(job_id))
