"""Jobs: what is delivered to other systems or taken in, its progress and its log; cancel, confirm."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from backend.access import changes, reads, reads_job
from backend.dependencies import AppState, CurrentUser, EachParameterOnce, State
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.execution_log import ExecutionLog
from backend.models.jobs import JobDetail, JobLogQuery, Jobs, JobsQuery
from backend.openapi import with_headers
from backend.security import User, name_of, sees_personal_data
from backend.services.deliveries.jobs import (
    UnknownJobError,
    cancel_job,
    confirm_job,
    list_jobs,
    load_job,
    load_log,
    open_log,
)
from backend.services.personal import mask_log
from common.connections.scopes import DELIVER, READ_ALL, covers, scope_of

router = APIRouter(prefix="/jobs", tags=["entregas"])

JobId = Annotated[
    int,
    Path(
        ge=1,
        le=2**63 - 1,
        description="o `request_id` da resposta de `/{entidade}/sincronizar` ou `/intake/{entidade}`",
    ),
]
_TEXT = {"text/plain": {"schema": {"type": "string"}}}


@router.get("", operation_id="list_jobs", summary="Os trabalhos", dependencies=[EachParameterOnce])
@reads
async def get_jobs(query: Annotated[JobsQuery, Query()], state: AppState, user: CurrentUser) -> Jobs:
    """As entregas a outros sistemas, as importações e as leituras de fontes, da mais nova para a mais antiga."""
    return await list_jobs(state["reading"], query, sees_all=sees_personal_data(user))


@router.get("/{job_id}", operation_id="get_job", summary="Um trabalho", responses=NOT_FOUND_RESPONSE)
@reads_job
async def get_job(job_id: JobId, state: AppState, user: CurrentUser) -> JobDetail:
    """Com o andamento de cada fluxo. Só um administrador recebe `samples`.

    Um programa que só pode entregar vê as entregas aos seus destinos.
    """
    await _require_sight(state, job_id, user)
    return await load_job(state["reading"], job_id, sees_all=sees_personal_data(user))


@router.get(
    "/{job_id}/log",
    operation_id="get_job_log",
    summary="O registro (log) de um trabalho",
    dependencies=[EachParameterOnce],
    response_model=ExecutionLog,
    responses={200: {"content": _TEXT, **with_headers("Content-Disposition")}, **NOT_FOUND_RESPONSE},
)
@reads_job
async def get_log(
    job_id: JobId, query: Annotated[JobLogQuery, Query()], state: AppState, user: CurrentUser
) -> ExecutionLog | Response:
    """Da linha mais antiga para a mais nova; `formato=texto` devolve um arquivo com todas.

    Um leitor vê mascarados os CPFs.
    """
    sees_all = sees_personal_data(user)
    await _require_sight(state, job_id, user)
    if query.formato == "json":
        found = await load_log(state["reading"], job_id, query)
        return found if sees_all else mask_log(found)
    file = await open_log(state["reading"], job_id, sees_all=sees_all)
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}
    return StreamingResponse(file.lines, headers=headers, media_type="text/plain; charset=utf-8")


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancela um trabalho",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def cancel(job_id: JobId, state: AppState, user: CurrentUser) -> JobDetail:
    """O que já foi enviado ou gravado fica; o resto de uma entrega é devido na próxima."""
    await cancel_job(state["engine"], job_id, name_of(user))
    return await load_job(state["reading"], job_id, sees_all=sees_personal_data(user))


@router.post(
    "/{job_id}/confirm",
    operation_id="confirm_job",
    summary="Confirma um trabalho retido",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def confirm(job_id: JobId, state: AppState, user: CurrentUser) -> JobDetail:
    """O que foi retido por ser muito, ou por ter sido quase todo recusado, segue; de uma importação, a prévia."""
    await confirm_job(state["engine"], job_id, name_of(user))
    return await load_job(state["reading"], job_id, sees_all=sees_personal_data(user))


async def _require_sight(state: State, job_id: int, user: User | None) -> None:
    """Hide from a user that may only deliver all jobs but the deliveries to its destinations; readers see all.

    Raises:
        UnknownJobError: there is none, or it is hidden.

    """
    if user is None or covers(user.scopes, READ_ALL):
        return
    job = await load_job(state["reading"], job_id, sees_all=False)
    if job.kind != "delivery" or not covers(user.scopes, scope_of(DELIVER, job.subject)):
        raise UnknownJobError(job_id)
