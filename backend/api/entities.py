"""What the mirror holds, for readers: a list of each entity."""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response

from backend.access import reads
from backend.dependencies import AppState, CurrentUser
from backend.security import sees_personal_data
from backend.services.entities.documentation import document_list
from backend.services.entities.entity import ENTITIES, Entity
from backend.services.entities.question import parse_question
from backend.services.entities.rows import load_page, to_json
from common.database import network_errors, raw_driver_of

router = APIRouter(tags=["dados"])
Endpoint = Callable[..., Coroutine[Any, Any, Response]]


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


for _entity in ENTITIES:
    router.add_api_route(
        f"/{_entity.address}",
        _list_of(_entity),
        methods=["GET"],
        name=f"list {_entity.name}",
        summary=_entity.label,
        **document_list(_entity),
    )
