"""Single records of declared entities: look, correct, remove."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request, Response

from backend.access import reads_list, takes_in
from backend.api.intake import REFUSED_RESPONSE, answer, read_json, who_of
from backend.dependencies import AppState, CurrentUser
from backend.errors import CONFLICT_RESPONSE, MEDIA_TYPE_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.destinations import LONGEST_KEY, STORABLE
from backend.models.imports import DeclaredRecord, RecordRemoved, RecordsAccepted
from backend.openapi import with_headers
from backend.security import sees_personal_data
from backend.services.deliveries.files import find_declaration
from backend.services.entities.rows import to_json
from backend.services.intake.pushing import Push, parse_records
from backend.services.intake.pushing import push as push_records
from backend.services.intake.records import check_correction, load_record
from backend.services.intake.records import remove as remove_record

router = APIRouter(prefix="/entities", tags=["entradas"])

EntityName = Annotated[
    str, Path(max_length=100, description="a entidade, com hífens ou sublinhados", examples=["compras"])
]
RecordKey = Annotated[
    str,
    Path(
        min_length=1,
        max_length=LONGEST_KEY,
        pattern=STORABLE,
        description="a chave; as partes de uma composta, separadas por `/`",
    ),
]
_OBJECT = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
}


@router.get(
    "/{entidade}/records/{chave:path}",
    operation_id="get_declared_record",
    summary="Um registro, e por onde veio",
    response_model=DeclaredRecord,
    responses=NOT_FOUND_RESPONSE,
)
@reads_list("{entidade}")
async def get_record(entidade: EntityName, chave: RecordKey, state: AppState, user: CurrentUser) -> Response:
    """Também os removidos. Um leitor vê mascarados os CPFs."""
    declaration = find_declaration(entidade, await state["connections"].load())
    found = await load_record(state["reading"], declaration, chave, sees_all=sees_personal_data(user))
    content = found.model_dump(mode="json", exclude={"data"}) | {"data": orjson.Fragment(to_json(found.data))}
    return Response(orjson.dumps(content), media_type="application/json")


@router.put(
    "/{entidade}/records/{chave:path}",
    operation_id="put_declared_record",
    status_code=202,
    summary="Corrige ou cria um registro",
    response_model=RecordsAccepted,
    responses={202: with_headers("Location"), **NOT_FOUND_RESPONSE, **MEDIA_TYPE_RESPONSE, **REFUSED_RESPONSE},
    openapi_extra=_OBJECT,
)
@takes_in
async def put_record(
    entidade: EntityName,
    chave: RecordKey,
    *,
    request: Request,
    response: Response,
    state: AppState,
    user: CurrentUser,
) -> RecordsAccepted | Response:
    """O registro inteiro: o que falta no corpo fica sem valor. É uma importação de uma linha, como as outras.

    As colunas da chave podem faltar no corpo.
    """
    known = await state["connections"].load()
    layout = known.layouts[find_declaration(entidade, known).name]
    (record,) = parse_records(await read_json(request), most=1)
    whole, rows = check_correction(layout, chave, record)
    asked = Push(layout, [whole], rows, who_of(user))
    pushed = await push_records(state["engine"], state["intake_publisher"], asked, metrics=state["metrics"])
    return answer(pushed, response)


@router.delete(
    "/{entidade}/records/{chave:path}",
    operation_id="remove_declared_record",
    summary="Remove um registro",
    responses={200: with_headers("Location"), **NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@takes_in
async def remove(
    entidade: EntityName, chave: RecordKey, response: Response, state: AppState, user: CurrentUser
) -> RecordRemoved:
    """Na hora; `Location` é a importação que o diz. 409 enquanto há registros que se referem a ele, ou linhas dele
    que esperam ser gravadas.

    O conteúdo é apagado depois de 30 dias; até lá, o mesmo registro enviado de novo volta como era.
    """
    declaration = find_declaration(entidade, await state["connections"].load())
    import_id = await remove_record(state["engine"], declaration, chave, who=who_of(user))
    response.headers["Location"] = f"/imports/{import_id}"
    return RecordRemoved(success=True, message="Registro removido", import_id=import_id)
