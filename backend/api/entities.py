"""What the mirror holds, for readers: a list of each entity."""

import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from fastapi import APIRouter, Request, Response

from backend.access import reads
from backend.dependencies import AppState, CurrentUser
from backend.models.entities import Mirror as MirrorModel
from backend.models.summary import Facets, Group, Summary
from backend.security import sees_personal_data
from backend.services.entities.documentation import document_list, document_parameters
from backend.services.entities.entity import ENTITIES, Entity
from backend.services.entities.question import parse_question, refuse
from backend.services.entities.rows import load_page, to_json
from backend.services.facets import MOST_FACETS, default_facets_of, facets_of, load_facets
from backend.services.summary import default_groups_of, groups_of, load_summary_of
from common.database import network_errors, raw_driver_of
from common.resources.description import Rollup

router = APIRouter(tags=["dados"])
Endpoint = Callable[..., Coroutine[Any, Any, Any]]


def _list_of(entity: Entity) -> Endpoint:
    @reads
    async def list_rows(request: Request, state: AppState, user: CurrentUser) -> Response:
        question = parse_question(entity, request.query_params.multi_items(), may_see_all=sees_personal_data(user))
        async with state["reading"].connect() as db:
            with network_errors():
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
        headers = {} if page.next_cursor is None else {"Link": _link_to_next(request, page.next_cursor)}
        return answer(request, body, headers)

    return list_rows


def answer(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """An answer that a client may keep: 304 where it has this one already."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {**headers, "ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in (each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _link_to_next(request: Request, cursor: str) -> str:
    url = request.url.remove_query_params("pular").include_query_params(cursor=cursor)
    return f'<{url.path}?{url.query}>; rel="next"'


def _values_of(request: Request, name: str, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """The values of a parameter that names some of these, by repetition or commas."""
    given = [part.strip() for value in request.query_params.getlist(name) for part in value.split(",")]
    for value in given:
        if value not in known:
            refuse(name, f"deve ser {', '.join(known)}")
    return list(dict.fromkeys(given)) or list(default)


def _facets_of(entity: Entity) -> Endpoint:
    @reads
    async def count_values(request: Request, state: AppState) -> Facets:
        question = parse_question(entity, request.query_params.multi_items(), instead=("facetas",))
        names = _values_of(request, "facetas", facets_of(entity), default_facets_of(entity))
        if len(names) > MOST_FACETS:
            refuse("facetas", f"são no máximo {MOST_FACETS}")
        async with state["reading"].connect() as db:
            facets = await load_facets(db, question, names)
            mirror = await state["mirrors"].load(db, question)
        return Facets(facetas=facets, espelho=MirrorModel(**mirror.to_object()))

    return count_values


def _summary_of(entity: Entity, rollup: Rollup) -> Endpoint:
    @reads
    async def add_up(request: Request, state: AppState) -> Summary:
        question = parse_question(entity, request.query_params.multi_items(), instead=("agrupar",))
        groups = cast("list[Group]", _values_of(request, "agrupar", groups_of(rollup), default_groups_of(rollup)))
        async with state["reading"].connect() as db:
            summary = await load_summary_of(db, question, groups)
            mirror = await state["mirrors"].load(db, question)
        return summary.model_copy(update={"espelho": MirrorModel(**mirror.to_object())})

    return add_up


for _entity in ENTITIES:
    if _entity.resource is not None and _entity.resource.rollup is not None:
        router.add_api_route(
            f"/{_entity.address}/resumo",
            _summary_of(_entity, _entity.resource.rollup),
            name=f"add up {_entity.name}",
            summary=f"{_entity.label}: quantos são, e quanto somam",
            description="Sem filtros, ou com os que o resumo conhece, em milissegundos em qualquer tamanho do espelho;"
            " com outros, os registros são somados na hora.",
            openapi_extra=document_parameters(
                _entity, ("agrupar", groups_of(_entity.resource.rollup), "por que somar")
            ),
        )
    router.add_api_route(
        f"/{_entity.address}/facetas",
        _facets_of(_entity),
        name=f"count values of {_entity.name}",
        summary=f"{_entity.label}: quantos há de cada valor",
        description="Cada faceta é contada com todos os filtros menos o dela, em até 0,2 segundo.",
        openapi_extra=document_parameters(_entity, ("facetas", facets_of(_entity), "que filtros, no máximo seis")),
    )
    router.add_api_route(
        f"/{_entity.address}",
        _list_of(_entity),
        methods=["GET"],
        name=f"list {_entity.name}",
        summary=_entity.label,
        **document_list(_entity),
    )
