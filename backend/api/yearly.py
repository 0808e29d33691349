"""Files of whole years: which there are, and the files."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from backend.access import changes, reads
from backend.api.downloads import FILE_RESPONSES, serve
from backend.dependencies import AppState, CurrentUser
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.yearly import Round, YearFiles
from backend.services.exports.yearly import find_file, load_files, to_round

router = APIRouter(prefix="/arquivos", tags=["arquivos"])

FileName = Annotated[str, Path(pattern="^[a-z-]{1,60}(-[0-9]{4})?[.][a-z.]{1,20}$", examples=["contratos-2026.csv.gz"])]


@router.get("", operation_id="list_year_files", summary="Arquivos prontos, por ano")
@reads
async def get_files(state: AppState) -> YearFiles:
    """De cada ano de cada entidade, todos os registros, com os CPFs mascarados. Um arquivo só muda se eles mudam."""
    return await load_files(state["reading"], state["yearly"], state["notifier"].public_url)


@router.post(
    "", operation_id="make_year_files", status_code=202, summary="Faz os arquivos agora", responses=CONFLICT_RESPONSE
)
@changes
async def make(state: AppState, user: CurrentUser) -> Round:
    """Os que mudaram. Se uma geração está em andamento, é ela; `GET /arquivos` diz quando terminou."""
    return to_round(await state["yearly"].ask(user.name if user else None))


@router.get(
    "/{nome}",
    operation_id="download_year_file",
    summary="Um arquivo",
    response_class=Response,
    responses={**FILE_RESPONSES, **NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@reads
async def get_file(nome: FileName, request: Request, state: AppState) -> Response:
    """Inteiro, ou a parte que `Range` pede."""
    return await serve(request, await find_file(state["reading"], state["yearly"], nome))
