"""Intake: records pushed as JSON, and files."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from backend.access import takes_in
from backend.api.sync import IdempotencyKey
from backend.bodies import LONGEST_RECORDS, body, takes_file
from backend.dependencies import AppState, CurrentUser, EachParameterOnce
from backend.errors import CONFLICT_RESPONSE, MEDIA_TYPE_RESPONSE, NOT_FOUND_RESPONSE, problem
from backend.models.imports import ImportAccepted, RecordsAccepted, UploadQuery
from backend.openapi import with_headers
from backend.security import User
from backend.services.deliveries.files import find_layout
from backend.services.intake.pushing import MOST_RECORDS, NOTHING_ACCEPTED, Push, Pushed, check_records, parse_records
from backend.services.intake.pushing import push as push_records
from backend.services.intake.receiving import Upload, check_name
from backend.services.intake.receiving import receive as receive_file

router = APIRouter(prefix="/intake", tags=["entradas"])

LayoutName = Annotated[
    str,
    Path(max_length=100, description="a entidade ou o layout, com hífens ou sublinhados", examples=["compras"]),
]
REFUSED_RESPONSE: dict[int | str, dict[str, Any]] = {
    422: {
        "description": "O pedido não serve, ou nenhum registro foi aceito: `rejected` diz por quê",
        "content": {
            "application/problem+json": {
                "schema": {
                    "anyOf": [{"$ref": "#/components/schemas/RecordsRefused"}, {"$ref": "#/components/schemas/Problem"}]
                }
            }
        },
    }
}
_RECORDS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        {"type": "object"},
                        {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MOST_RECORDS},
                    ]
                },
                "example": [{"codigo": "7", "descricao": "Caneta azul", "preco": 1.5}],
            }
        },
    }
}
_FILE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
    }
}


@router.post(
    "/{entidade}",
    operation_id="push_records",
    status_code=202,
    summary="Recebe registros",
    response_model=RecordsAccepted,
    responses={
        202: with_headers("Location"),
        **NOT_FOUND_RESPONSE,
        **CONFLICT_RESPONSE,
        **MEDIA_TYPE_RESPONSE,
        **REFUSED_RESPONSE,
    },
    openapi_extra=_RECORDS,
)
@takes_in
@body(most=LONGEST_RECORDS)
async def push(
    entidade: LayoutName,
    *,
    request: Request,
    response: Response,
    state: AppState,
    user: CurrentUser,
    idempotency_key: IdempotencyKey = None,
) -> RecordsAccepted | Response:
    """Um objeto ou uma lista de até 1000, de no máximo 1 MiB; `Location` diz onde acompanhar a importação.

    Cada registro é verificado na hora, e o que foi respondido com 202 já está gravado. Um registro que se refere a
    outro que ainda não existe espera por ele. Se nenhum serve, a resposta é 422, e a importação termina ali.
    """
    layout = find_layout(entidade, await state["connections"].load())
    records = parse_records(await read_json(request))
    asked = Push(layout, records, check_records(layout, records), who_of(user), idempotency_key)
    pushed = await push_records(state["engine"], state["intake_publisher"], asked, metrics=state["metrics"])
    return answer(pushed, response)


async def read_json(request: Request) -> bytes:
    """The body of a request that says it is JSON."""
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415)
    return await request.body()


def who_of(user: User | None) -> str | None:
    """The name by which an import is its user's."""
    return user.name if user else None


def answer(pushed: Pushed, response: Response) -> RecordsAccepted | Response:
    """The answer to pushed records: 202, or 422 where none was accepted."""
    location = {"Location": f"/imports/{pushed.import_id}"}
    if pushed.job_id is None:
        rejected = [one.model_dump() for one in pushed.rejected]
        members = {"import_id": pushed.import_id, "accepted": 0, "rejected": rejected}
        return problem(422, NOTHING_ACCEPTED, values={"id": pushed.import_id}, headers=location, members=members)
    response.headers.update(location)
    return RecordsAccepted(
        success=True,
        message=f"{pushed.accepted} registros aceitos, {len({one.row for one in pushed.rejected})} recusados",
        import_id=pushed.import_id,
        request_id=str(pushed.job_id),
        accepted=pushed.accepted,
        rejected=list(pushed.rejected),
    )


@router.put(
    "/{entidade}/arquivo",
    operation_id="upload_file",
    status_code=202,
    summary="Recebe uma planilha",
    dependencies=[EachParameterOnce],
    responses={202: with_headers("Location"), **NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
    openapi_extra=_FILE,
)
@takes_in
@takes_file
async def upload(
    entidade: LayoutName,
    *,
    query: Annotated[UploadQuery, Query()],
    request: Request,
    response: Response,
    state: AppState,
    user: CurrentUser,
) -> ImportAccepted:
    """O arquivo é o corpo do pedido, sem multipart. `Location` diz onde acompanhar a importação.

    Com `confirmar=sim`, o padrão, a importação mostra o que mudaria e espera `POST /imports/{id}/confirm`; com
    `confirmar=nao`, as linhas que servem são gravadas em seguida. Um arquivo que já foi importado responde 409, e
    `Location` diz em qual importação; `repetir=true` o importa de novo.
    """
    layout = find_layout(entidade, await state["connections"].load())
    check_name(query.nome)
    offered = Upload(
        layout=layout,
        door="page" if request.headers.get("X-Requested-With") == "fetch" else "file",
        file_name=query.nome,
        needs_confirmation=query.confirmar == "sim",
        may_repeat=query.repetir,
        who=who_of(user),
    )
    import_id, job_id = await receive_file(state["engine"], state["intake_publisher"], offered, request.stream())
    response.headers["Location"] = f"/imports/{import_id}"
    return ImportAccepted(success=True, message=f"{query.nome} recebido", import_id=import_id, request_id=str(job_id))
