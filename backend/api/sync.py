"""Start a synchronisation, its status, the history, the dashboard."""

from typing import Annotated, get_args

from fastapi import APIRouter, Header, Query, Response

from backend.access import changes, reads
from backend.dependencies import AppState, CurrentUser, EachParameterOnce, RequestLanguage, Status
from backend.errors import BUSY_RESPONSE, CONFLICT_RESPONSE
from backend.models.coverage import CoverageQuery, CoverageSpans, CoverageSpansQuery, SyncCoverage
from backend.models.dashboard import SyncDashboard
from backend.models.rejected import RejectedQuery, RejectedRecords
from backend.models.resources import MirroredResource, Resources
from backend.models.sync import (
    CancelRequest,
    HistoryQuery,
    SyncCancelled,
    SyncHistory,
    SyncPlan,
    SyncRequest,
    SyncResponse,
    SyncStatus,
)
from backend.models.timeline import Timeline, TimelineQuery
from backend.openapi import with_headers
from backend.security import name_of, sees_personal_data
from backend.services.control import cancel_executions
from backend.services.coverage import load_coverage, load_spans
from backend.services.force import force_sync
from backend.services.personal import mask_dashboard, mask_rejected
from backend.services.plan import plan_request
from backend.services.rejected import load_rejected
from backend.services.status import SyncStatusService
from backend.services.timeline import load_timeline
from common.resources import RESOURCES
from common.resources.description import Criterio

router = APIRouter(prefix="/sync", tags=["sync"])


IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=200,
        pattern="^[!-~]+$",
        description="um nome seu para o pedido: repetido com o mesmo corpo, devolve a mesma execução",
    ),
]


@router.post(
    "/force",
    operation_id="create_sync",
    summary="Inicia uma sincronização",
    responses={200: with_headers("Location"), **CONFLICT_RESPONSE, **BUSY_RESPONSE},
)
@changes
async def force(
    request: SyncRequest,
    response: Response,
    state: AppState,
    user: CurrentUser,
    idempotency_key: IdempotencyKey = None,
) -> SyncResponse:
    """Registra a execução e avisa os ingestores; o cabeçalho `Location` diz onde acompanhá-la.

    Um `update` pedido enquanto outro ainda espera a sua vez é esse outro: a resposta traz o identificador dele.
    """
    requested_by = user.name if user else None
    execution_id = await force_sync(
        state["engine"],
        state["publisher"],
        request,
        idempotency_key,
        requested_by,
        metrics=state["metrics"],
        at_most=state["max_unfinished"],
    )
    response.headers["Location"] = f"/sync/executions/{execution_id}"
    return SyncResponse(success=True, message=f"Sync request published: {request.mode}", request_id=str(execution_id))


@router.post("/cancel", operation_id="cancel_executions", summary="Cancela várias execuções")
@changes
async def cancel_many(request: CancelRequest, state: AppState, user: CurrentUser) -> SyncCancelled:
    """Das que estão em andamento, as que passam por todos os filtros; o que já foi gravado fica."""
    return await cancel_executions(state["engine"], request, name_of(user))


@router.get("/resources", operation_id="list_resources", summary="O que pode ser sincronizado")
@reads
async def get_resources(state: AppState) -> Resources:
    """Os recursos que `/sync/force` e `/sync/plan` aceitam."""
    return Resources(
        resources=[
            MirroredResource(
                name=resource.name,
                label=resource.label,
                criterios=[criterio for criterio in get_args(Criterio) if criterio in resource.listings],
                is_divided=resource.axis is not None,
                is_scheduled=resource.name in state["schedule"].pncp_resources,
            )
            for resource in RESOURCES
        ]
    )


@router.post("/plan", operation_id="plan_sync", summary="O que um pedido viria a ser")
@reads
async def plan(request: SyncRequest, state: AppState) -> SyncPlan:
    """O mesmo corpo de `/sync/force`; nada é iniciado. As estimativas vêm do que já correu, e `basis` diz de quê."""
    return await plan_request(state["engine"], request)


@router.get("/status", summary="Como vai a última execução")
@reads
async def get_status(state: AppState) -> SyncStatus:
    """A execução mais nova; `idle` antes da primeira."""
    # without the semaphore and without a dependency that has to be closed: this is the most frequent and the fastest
    # request, and each of the two would add a tenth to its time
    async with state["reading"].engine.connect() as db:
        return await SyncStatusService(db).get_current_status()


@router.get(
    "/history",
    operation_id="list_executions",
    summary="Execuções, da mais nova para a mais antiga",
    dependencies=[EachParameterOnce],
)
@reads
async def get_history(query: Annotated[HistoryQuery, Query()], status: Status) -> SyncHistory:
    """Com filtros; `next_cursor` leva à página seguinte."""
    return await status.get_history(query)


@router.get("/dashboard", summary="Tudo o que a página inicial mostra")
@reads
async def get_dashboard(state: AppState, user: CurrentUser, language: RequestLanguage) -> SyncDashboard:
    """Totais, andamento, atualidade do espelho, falhas que pedem atenção e os últimos 30 dias.

    Nos exemplos de `drift`, um leitor vê mascarado o que pode ser um CPF.
    """
    dashboard = await state["dashboard"].load(language)
    return dashboard if sees_personal_data(user) else mask_dashboard(dashboard)


@router.get("/coverage", summary="O que o espelho tem de cada dia", dependencies=[EachParameterOnce])
@reads
async def get_coverage(query: Annotated[CoverageQuery, Query()], state: AppState) -> SyncCoverage:
    """Por dia, o estado das modalidades: completo, parcial, com falha, em andamento ou nunca pedido.

    O dia é o de publicação ou, onde o portal não lista por ela, o da única listagem do recurso.
    """
    return await load_coverage(state["engine"], query)


@router.get("/coverage/spans", summary="O estado de todos os dias, em trechos", dependencies=[EachParameterOnce])
@reads
async def list_coverage_spans(query: Annotated[CoverageSpansQuery, Query()], state: AppState) -> CoverageSpans:
    """Os anos inteiros em poucas linhas: dias seguidos no mesmo estado são um trecho."""
    return await load_spans(state["reading"], query)


@router.get("/timeline", summary="Execuções e atraso ao longo do tempo", dependencies=[EachParameterOnce])
@reads
async def get_timeline(query: Annotated[TimelineQuery, Query()], state: AppState) -> Timeline:
    """O que correu, quando e por quanto tempo, e até quando o espelho estava atualizado em cada momento."""
    return await load_timeline(state["reading"], query)


@router.get("/rejected", summary="O que não pôde ser gravado, e por quê", dependencies=[EachParameterOnce])
@reads
async def list_rejected(
    query: Annotated[RejectedQuery, Query()], state: AppState, user: CurrentUser
) -> RejectedRecords:
    """Dos registros que ainda não estão no espelho, o visto por último primeiro.

    Só um administrador recebe `payload`; um leitor vê mascarados os CPFs dos motivos. `./pncp rejected --retry` tenta
    gravá-los de novo, depois de uma versão nova.
    """
    found = await load_rejected(state["reading"], query)
    return found if sees_personal_data(user) else mask_rejected(found)
