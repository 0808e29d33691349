"""Contratações as OCDS releases: a page of them, and one."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from backend.access import reads
from backend.api.entities import answer, following_path, link_to
from backend.dependencies import AppState, State
from backend.errors import NOT_FOUND_RESPONSE, TOO_LONG_RESPONSE
from backend.openapi import with_headers
from backend.services.entities.documentation import own_parameters, parameters
from backend.services.entities.rows import to_json
from backend.services.exports.about import to_ascii
from backend.services.ocds.package import (
    MOST_RELEASES,
    WITHOUT,
    Publisher,
    Releases,
    check_publisher,
    load_release,
    load_releases,
    parse_releases_question,
    to_package,
)
from common.entities.entity import of_resource
from common.resources.contratacoes import CONTRATACOES

router = APIRouter(prefix="/ocds", tags=["dados"])

Ocid = Annotated[
    str, Path(max_length=100, pattern="^ocds-[0-9A-Za-z-]+$", examples=["ocds-abc123-46675997000180-1-000350-2026"])
]
_PACKAGE: dict[str, Any] = {
    "description": "Um pacote de releases do OCDS 1.1",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["uri", "version", "publishedDate", "publisher", "releases"],
                "properties": {"releases": {"type": "array", "items": {"type": "object"}}},
            }
        }
    },
    **with_headers("ETag", "Link", "X-Espelho"),
}


def _parameters() -> list[dict[str, Any]]:
    entity = of_resource(CONTRATACOES)
    own = list(own_parameters(entity, without=WITHOUT))
    for each in own:
        if each["name"] == "limite":
            each["schema"]["maximum"] = MOST_RELEASES
    return [*parameters(entity, has_pages=False), *own]


@router.get(
    "/releases",
    operation_id="list_releases",
    summary="Contratações como releases do OCDS",
    response_class=Response,
    responses={200: _PACKAGE, **NOT_FOUND_RESPONSE, **TOO_LONG_RESPONSE},
    openapi_extra={"parameters": _parameters()},
)
@reads
async def get_releases(request: Request, state: AppState) -> Response:
    """Um release compilado de cada contratação, com os filtros da lista delas; CPFs não aparecem.

    `links.next` é a próxima página. 404 onde `OCDS_PREFIX` não está definida.
    """
    publisher = check_publisher(state["ocds"])
    question = parse_releases_question(request.query_params.multi_items())
    async with state["reading"].connect() as db:
        found = await load_releases(db, state["mirrors"], question, publisher.prefix)
    return _answer(request, state, found, publisher)


@router.get(
    "/{ocid}",
    summary="O release de uma contratação",
    response_class=Response,
    responses={200: _PACKAGE, **NOT_FOUND_RESPONSE},
)
@reads
async def get_release(ocid: Ocid, request: Request, state: AppState) -> Response:
    """Um pacote com um release compilado. 404 onde `OCDS_PREFIX` não está definida."""
    publisher = check_publisher(state["ocds"])
    async with state["reading"].connect() as db:
        found = await load_release(db, state["mirrors"], ocid, publisher.prefix)
    return _answer(request, state, found, publisher)


def _answer(request: Request, state: State, found: Releases, publisher: Publisher) -> Response:
    base = state["notifier"].public_url or str(request.base_url).rstrip("/")
    query = f"?{request.url.query}" if request.url.query else ""
    headers, next_uri = {"X-Espelho": to_ascii(found.mirror.to_sentence())}, None
    if found.next_cursor is not None:
        following = following_path(request, found.next_cursor)
        next_uri, headers["Link"] = f"{base}{following}", link_to(following)
    package = to_package(found, publisher, uri=f"{base}{request.url.path}{query}", next_uri=next_uri)
    return answer(request, to_json(package), headers, may_be_kept=True)
