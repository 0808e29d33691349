"""Exports: a question's rows as a file, made by a job."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from backend.access import asks, reads
from backend.api.downloads import FILE_RESPONSES, serve
from backend.api.sync import IdempotencyKey
from backend.dependencies import AppState, CurrentUser, EachParameterOnce
from backend.errors import BUSY_RESPONSE, CONFLICT_RESPONSE, NO_PARQUET_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.exports import Export, ExportRequest, Exports, ExportsQuery
from backend.openapi import with_headers
from backend.services.exports.asking import ask_for_export, end_export, find_file, list_exports, load_export

router = APIRouter(prefix="/exportacoes", tags=["exportações"])

ExportId = Annotated[int, Path(ge=1, le=2**63 - 1, description="o `id` da resposta de `POST /exportacoes`")]


@router.post(
    "",
    operation_id="create_export",
    status_code=202,
    summary="Pede um arquivo",
    responses={202: with_headers("Location"), **CONFLICT_RESPONSE, **BUSY_RESPONSE, **NO_PARQUET_RESPONSE},
)
@asks
async def ask(
    body: ExportRequest,
    response: Response,
    state: AppState,
    user: CurrentUser,
    idempotency_key: IdempotencyKey = None,
) -> Export:
    """A resposta diz quantos registros são e se o espelho tem todos; `Location`, onde acompanhar.

    Todos os registros são lidos num só instante do banco de dados. Os CPFs vão mascarados.
    """
    export = await ask_for_export(
        state["engine"],
        state["reading"],
        state["mirrors"],
        state["exports"],
        body,
        user=user,
        key=idempotency_key,
    )
    response.headers["Location"] = f"/exportacoes/{export.id}"
    return export


@router.get(
    "",
    operation_id="list_exports",
    summary="Exportações, da mais nova para a mais antiga",
    dependencies=[EachParameterOnce],
)
@reads
async def get_exports(query: Annotated[ExportsQuery, Query()], state: AppState, user: CurrentUser) -> Exports:
    """As próprias; um administrador vê as de todos. Uma exportação é esquecida 30 dias depois do fim."""
    return await list_exports(state["reading"], query, user)


@router.get("/{export_id}", summary="Como vai uma exportação", responses=NOT_FOUND_RESPONSE)
@reads
async def get_export(export_id: ExportId, state: AppState, user: CurrentUser) -> Export:
    """O estado, quanto está feito e quanto falta."""
    return await load_export(state["reading"], export_id, user)


@router.get(
    "/{export_id}/arquivo",
    operation_id="download_export",
    summary="O arquivo de uma exportação",
    response_class=Response,
    responses={**FILE_RESPONSES, **NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@reads
async def get_file(export_id: ExportId, request: Request, state: AppState, user: CurrentUser) -> Response:
    """Inteiro, ou a parte que `Range` pede: uma cópia interrompida continua de onde parou."""
    return await serve(request, await find_file(state["reading"], state["exports"], export_id, user))


@router.delete(
    "/{export_id}",
    operation_id="delete_export",
    status_code=204,
    summary="Cancela uma exportação, ou apaga o arquivo",
    responses=NOT_FOUND_RESPONSE,
)
@asks
async def end(export_id: ExportId, state: AppState, user: CurrentUser) -> None:
    """Depois, a exportação não existe mais (404)."""
    await end_export(state["engine"], state["reading"], state["exports"], export_id, user)
