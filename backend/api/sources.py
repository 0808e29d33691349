"""Sources: state, readings, pause and resume."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from backend.access import changes, reads
from backend.api.sync import IdempotencyKey
from backend.dependencies import AppState, CurrentUser
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.schedules import PauseRequest
from backend.models.sources import ReadAccepted, ReadRequest, Sources, SourceSummary
from backend.openapi import with_headers
from backend.security import name_of
from backend.services.sources import list_sources, load_source, pause_source, read_source, resume_source

router = APIRouter(prefix="/sources", tags=["entradas"])

SourceName = Annotated[str, Path(max_length=100, description="o nome do arquivo da fonte, sem a extensão")]


@router.get("", operation_id="list_sources", summary="As fontes")
@reads
async def get_sources(state: AppState) -> Sources:
    """Os bancos de dados de outros sistemas que são lidos: estado, última leitura e a próxima."""
    return await list_sources(state["reading"], state["connections"])


@router.get("/{nome}", operation_id="get_source", summary="Uma fonte", responses=NOT_FOUND_RESPONSE)
@reads
async def get_source(nome: SourceName, state: AppState) -> SourceSummary:
    """O estado de uma fonte e das entidades que se leem dela."""
    return await load_source(state["reading"], state["connections"], nome)


@router.post(
    "/{nome}/ler",
    operation_id="read_source",
    status_code=202,
    summary="Lê uma fonte",
    responses={202: with_headers("Location"), **NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def read(
    nome: SourceName,
    *,
    request: ReadRequest,
    response: Response,
    state: AppState,
    user: CurrentUser,
    idempotency_key: IdempotencyKey = None,
) -> ReadAccepted:
    """Uma fonte é lida uma vez de cada vez: enquanto é lida, a resposta é 409, e `Location` diz o trabalho."""
    job_id = await read_source(
        state["engine"],
        state["connections"],
        nome,
        request,
        who=user.name if user else None,
        idempotency_key=idempotency_key,
    )
    response.headers["Location"] = f"/jobs/{job_id}"
    return ReadAccepted(success=True, message=f"Leitura de {nome} iniciada", request_id=str(job_id))


@router.post(
    "/{nome}/pause",
    operation_id="pause_source",
    summary="Põe uma fonte em pausa",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def pause(nome: SourceName, request: PauseRequest, state: AppState, user: CurrentUser) -> SourceSummary:
    """Nada mais é lido dela; uma leitura em andamento termina a entidade que está lendo."""
    files = state["connections"]
    await pause_source(state["engine"], files, nome, reason=request.reason, who=name_of(user))
    return await load_source(state["reading"], files, nome)


@router.post(
    "/{nome}/resume",
    operation_id="resume_source",
    summary="Retoma uma fonte",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def resume(nome: SourceName, state: AppState, user: CurrentUser) -> SourceSummary:
    """A partir da próxima vez; uma leitura que esperava continua."""
    files = state["connections"]
    await resume_source(state["engine"], files, nome, who=name_of(user))
    return await load_source(state["reading"], files, nome)
