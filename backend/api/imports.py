"""Imports: what has come in, row by row; confirm, discard."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from backend.access import reads_imports, takes_in_some
from backend.dependencies import AppState, CurrentUser, EachParameterOnce, State
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.imports import ImportDetail, ImportFigures, ImportRows, ImportRowsQuery, Imports, ImportsQuery
from backend.openapi import with_headers
from backend.security import User, is_administrator, name_of, require_scope
from backend.services.entities.rows import to_json
from backend.services.intake import imports
from backend.services.intake.imports import Onlooker, list_imports, load_figures, load_import, load_rows, open_errors
from common.connections.scopes import INTAKE, READ_ALL, covers, scope_of

router = APIRouter(prefix="/imports", tags=["entradas"])

ImportId = Annotated[int, Path(ge=1, le=2**63 - 1, description="o `import_id` da resposta de `/intake/{entidade}`")]
_CSV = {"text/csv": {"schema": {"type": "string"}}}


@router.get("", operation_id="list_imports", summary="As importações", dependencies=[EachParameterOnce])
@reads_imports
async def get_imports(query: Annotated[ImportsQuery, Query()], state: AppState, user: CurrentUser) -> Imports:
    """Da mais nova para a mais antiga. Um programa vê as suas; um leitor vê mascarados os CPFs."""
    return await list_imports(state["reading"], query, onlooker_of(user))


@router.get("/resumo", operation_id="summarize_imports", summary="As importações em números")
@reads_imports
async def get_figures(state: AppState, user: CurrentUser) -> ImportFigures:
    """Quantas vieram hoje, esperam confirmação ou correm, e quantas linhas esperam ou foram recusadas."""
    return await load_figures(state["reading"], onlooker_of(user))


@router.get("/{import_id}", operation_id="get_import", summary="Uma importação", responses=NOT_FOUND_RESPONSE)
@reads_imports
async def get_import(import_id: ImportId, state: AppState, user: CurrentUser) -> ImportDetail:
    """Com as contagens e a prévia: o que as linhas criam, mudam ou não conseguem."""
    return await load_import(state["reading"], import_id, onlooker_of(user))


@router.get(
    "/{import_id}/rows",
    operation_id="list_import_rows",
    summary="As linhas de uma importação",
    dependencies=[EachParameterOnce],
    response_model=ImportRows,
    responses=NOT_FOUND_RESPONSE,
)
@reads_imports
async def get_rows(
    import_id: ImportId, query: Annotated[ImportRowsQuery, Query()], state: AppState, user: CurrentUser
) -> Response:
    """Uma linha que é registro de várias entidades vem uma vez por entidade."""
    known = await state["connections"].load()
    found = await load_rows(state["reading"], known, import_id, query, onlooker_of(user))
    return Response(to_json(found.model_dump()), media_type="application/json")  # with all digits of numbers


@router.get(
    "/{import_id}/erros.csv",
    operation_id="get_import_errors",
    summary="Os erros de uma importação, como planilha",
    response_class=StreamingResponse,
    responses={200: {"content": _CSV, **with_headers("Content-Disposition")}, **NOT_FOUND_RESPONSE},
)
@reads_imports
async def get_errors(import_id: ImportId, state: AppState, user: CurrentUser) -> Response:
    """Linha, coluna, valor, código e mensagem de cada erro; separados por ponto e vírgula."""
    lines = await open_errors(state["reading"], import_id, onlooker_of(user))
    headers = {"Content-Disposition": f'attachment; filename="importacao-{import_id}.erros.csv"'}
    return StreamingResponse(lines, headers=headers, media_type="text/csv; charset=utf-8")


@router.post(
    "/{import_id}/confirm",
    operation_id="confirm_import",
    summary="Confirma uma importação",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@takes_in_some
async def confirm(import_id: ImportId, state: AppState, user: CurrentUser) -> ImportDetail:
    """As linhas que servem passam a ser gravadas."""
    onlooker = await _may_decide(state, user, import_id)
    await imports.confirm(state["engine"], state["intake_publisher"], import_id, name_of(user), onlooker)
    return await load_import(state["reading"], import_id, onlooker)


@router.post(
    "/{import_id}/discard",
    operation_id="discard_import",
    summary="Descarta uma importação",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@takes_in_some
async def discard(import_id: ImportId, state: AppState, user: CurrentUser) -> ImportDetail:
    """O que já foi gravado fica."""
    onlooker = await _may_decide(state, user, import_id)
    await imports.discard(state["engine"], import_id, name_of(user), onlooker)
    return await load_import(state["reading"], import_id, onlooker)


def onlooker_of(user: User | None) -> Onlooker:
    """What a user sees of imports: readers all of them, with masked CPFs, and others their own."""
    if user is None or is_administrator(user):
        return Onlooker(owner=None, sees_all=True)
    reads_all = covers(user.scopes, READ_ALL)
    return Onlooker(owner=None if reads_all else user.name, sees_all=not reads_all)


async def _may_decide(state: State, user: User | None, import_id: int) -> Onlooker:
    """Whether a user may decide on an import: that takes the scope that it was handed in by."""
    onlooker = onlooker_of(user)
    found = await load_import(state["reading"], import_id, onlooker)
    require_scope(user, scope_of(INTAKE, found.layout))
    return onlooker
