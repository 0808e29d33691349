"""What the mirror holds, for readers: a list of each entity, the detail of each row, and control numbers."""

import hashlib
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from backend.access import reads, reads_list
from backend.dependencies import AppState, CurrentUser, State
from backend.errors import NOT_FOUND_RESPONSE
from backend.models.descriptions import Description
from backend.openapi import with_headers
from backend.security import User, sees_personal_data
from backend.services.deliveries.files import unknown_list
from backend.services.entities.address import LONGEST, Part, find_record, party_parts, record_parts
from backend.services.entities.descriptions import describe_entity
from backend.services.entities.detail import load_party, load_record
from backend.services.entities.documentation import PERSONAL_PARAMETER, document_detail, document_list
from backend.services.entities.question import parse_question, parse_sees_all, refuse
from backend.services.entities.rows import load_page, to_json
from common.database import raw_driver_of
from common.entities.entity import ENTITIES, Entity
from common.resources import RESOURCES

router = APIRouter(tags=["dados"])
Endpoint = Callable[..., Coroutine[Any, Any, Response]]
Load = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


def _list_of(entity: Entity) -> Endpoint:
    @reads_list(entity.address)
    async def list_rows(request: Request, state: AppState, user: CurrentUser) -> Response:
        return await give_page(entity, request, state, user)

    return list_rows


async def give_page(entity: Entity, request: Request, state: State, user: User | None) -> Response:
    """A page of the rows that a request asks for."""
    question = parse_question(entity, request.query_params.multi_items(), may_see_all=sees_personal_data(user))
    async with state["reading"].connect() as db:
        page = await load_page(await raw_driver_of(db), question)
        mirror = await state["mirrors"].load(db, question)
    body = to_json(
        {
            "registros": page.rows,
            "total": page.total.number,
            "total_tipo": page.total.kind,
            "proximo": page.next_cursor,
            "pular": question.skip,
            "limite": question.limit,
            "espelho": mirror.to_object(),
        }
    )
    headers = {} if page.next_cursor is None else {"Link": link_to(following_path(request, page.next_cursor))}
    return answer(request, body, headers, may_be_kept=not question.sees_all)


def _detail_of(entity: Entity, parts: Sequence[Part], load: Load) -> Endpoint:
    @reads_list(entity.address)
    async def row(request: Request, state: AppState, user: CurrentUser) -> Response:
        written = {part.name: str(request.path_params[part.name]) for part in parts}
        for part in parts:
            if len(written[part.name]) > LONGEST or not re.fullmatch(part.pattern, written[part.name]):
                refuse(part.name, "não tem a forma que se espera")
        sees_all = parse_sees_all(request.query_params.multi_items(), may_see_all=sees_personal_data(user))
        async with state["reading"].connect() as db:
            found = await load(db, state["mirrors"], written, sees_all=sees_all)
        return answer(request, to_json(found), {}, may_be_kept=not sees_all)

    return row


@router.get(
    "/controle/{numero:path}",
    operation_id="find_control_number",
    status_code=307,
    summary="O registro que um número de controle nomeia",
    responses={
        307: {"description": "`Location` é o endereço do detalhe", **with_headers("Location")},
        **NOT_FOUND_RESPONSE,
    },
    openapi_extra={"parameters": [PERSONAL_PARAMETER]},
)
@reads
async def control_number(numero: str, request: Request, user: CurrentUser) -> Response:
    """Com o número de uma contratação, ata, contrato, plano ou instrumento; zeros à esquerda podem faltar."""
    parse_sees_all(request.query_params.multi_items(), may_see_all=sees_personal_data(user))
    address = find_record(numero) if len(numero) <= LONGEST else None
    if address is None:
        refuse("numero", f"deve ser um número de controle: {', '.join(each.key_form for each in RESOURCES)}")
    query = f"?{request.url.query}" if request.url.query else ""
    return Response(status_code=307, headers={"Location": f"{address}{query}"})


def answer(
    request: Request,
    body: bytes,
    headers: Mapping[str, str],
    *,
    may_be_kept: bool,
    media_type: str = "application/json",
) -> Response:
    """An answer with a tag, or 304 where the client has this one already; `may_be_kept`: by caches of one user."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {**headers, "ETag": tag, **({"Cache-Control": "private, no-cache"} if may_be_kept else {})}
    if is_kept(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def is_kept(request: Request, tag: str) -> bool:
    """Whether the client has the answer with this tag already."""
    return tag in (each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(","))


def following_path(request: Request, cursor: str) -> str:
    """The path and the query of the next page."""
    url = request.url.remove_query_params("pular").include_query_params(cursor=cursor)
    return f"{url.path}?{url.query}"


def link_to(following: str) -> str:
    """The header `Link` to the next page."""
    return f'<{following}>; rel="next"'


@router.get(
    "/entidades/{entidade}",
    operation_id="describe_list",
    summary="O que se pode pedir de uma lista",
    responses=NOT_FOUND_RESPONSE,
)
@reads
async def get_description(
    entidade: Annotated[str, Path(max_length=LONGEST, description="o endereço da lista", examples=["contratacoes"])],
    state: AppState,
) -> Description:
    """Filtros, campos, ordens e formatos, com os seus nomes em português: do que se faz um formulário."""
    known = await state["connections"].load()
    entity = known.list_of(entidade)
    if entity is None:
        raise unknown_list(entidade, known)
    return describe_entity(entity)


def add_routes(to: APIRouter, entity: Entity) -> None:
    """Add the list of an entity, and the details of its rows."""
    address = f"/{entity.address}"
    to.add_api_route(
        address,
        _list_of(entity),
        methods=["GET"],
        operation_id=f"list_{entity.name}",
        summary=entity.label,
        **document_list(entity),
    )
    ways = []
    if entity.resource is not None and record_parts(entity.resource):
        ways.append((record_parts(entity.resource), partial(load_record, resource=entity.resource)))
    if entity.party is not None:
        ways += [(parts, partial(load_party, party=entity.party)) for parts in party_parts(entity.party)]
    for n, (parts, load) in enumerate(ways):
        to.add_api_route(
            f"{address}/{'/'.join(part.in_route for part in parts)}",
            _detail_of(entity, parts, load),
            methods=["GET"],
            operation_id="_by_".join((f"get_{entity.name}", *(name for name in [parts[-1].name] if n))),
            summary=f"{entity.label}: um registro",
            **document_detail(entity, parts),
        )


for _entity in ENTITIES:
    add_routes(router, _entity)
