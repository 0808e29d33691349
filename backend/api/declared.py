"""Declared entities: what there are, schemas and model sheets; and their lists, by the code of all lists."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from backend.access import describes, reads_list
from backend.api.entities import Endpoint, answer, give_page
from backend.api.files import EXCEL_PARAMETER, Suffix, describe_files, document_file, give_file
from backend.api.summaries import FACETS_SENTENCE, document_facets, give_facets
from backend.dependencies import AppState, CurrentUser, State
from backend.errors import NOT_FOUND_RESPONSE, READ_VIEW
from backend.models.declared import DeclaredEntities, Layouts
from backend.models.summary import Facets
from backend.openapi import with_headers
from backend.services.deliveries.files import Known, find_layout, unknown_list
from backend.services.entities.declared import (
    find_declared,
    list_declared,
    model_of,
    schema_of,
    show_layout,
)
from backend.services.entities.documentation import document_list, list_answers, own_parameters
from backend.services.entities.question import PAGING
from common.connections.entities import shipped
from common.connections.loading import no_connections
from common.connections.settings import Layout
from common.database import raw_driver_of
from common.entities.entity import Entity, of_declared
from common.entities.reconciliation import NAME as RECONCILIATION
from common.entities.reconciliation import to_list

router = APIRouter(tags=["cadastros"])
lists = APIRouter(tags=["cadastros"])
"""The lists of declared entities, which stand behind all other addresses."""

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_SHEET: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A planilha",
        # generators of clients pass over a type of content that they do not know, and take the other
        "content": {XLSX: _BINARY, "application/octet-stream": _BINARY},
        **with_headers("ETag", "Content-Disposition"),
    },
    **NOT_FOUND_RESPONSE,
}
Name = Annotated[str, Path(max_length=100, description="o nome, com hífens ou sublinhados", examples=["compras"])]


@router.get("/entities", operation_id="list_declared_entities", summary="As entidades declaradas")
@describes
async def get_entities(state: AppState) -> DeclaredEntities:
    """As que vêm com o produto e as dos arquivos de `entities/`, com as suas colunas e quantos registros têm."""
    known = await state["connections"].load()
    async with state["reading"].connect() as db:
        return await list_declared(await raw_driver_of(db), known)


@router.get(
    "/entities/{entidade}",
    operation_id="get_entity_schema",
    summary="O JSON Schema dos registros de uma entidade",
    responses=NOT_FOUND_RESPONSE,
)
@describes
async def get_schema(entidade: Name, state: AppState) -> dict[str, Any]:
    """JSON Schema 2020-12 de um registro; `x-refere` diz a que uma coluna se refere, e `x-layouts` como se recebe."""
    known = await state["connections"].load()
    return schema_of(known, find_declared(known, entidade))


@router.get(
    "/entities/{entidade}/modelo.xlsx",
    operation_id="download_entity_model",
    summary="A planilha vazia de uma entidade",
    response_class=Response,
    responses=_SHEET,
)
@describes
async def get_entity_model(entidade: Name, request: Request, state: AppState) -> Response:
    """Com os nomes das colunas, e outra planilha que explica cada uma."""
    known = await state["connections"].load()
    return await _give_model(request, find_layout(find_declared(known, entidade).name, known))


@router.get("/layouts", operation_id="list_layouts", summary="Como linhas viram registros")
@describes
async def get_layouts(state: AppState) -> Layouts:
    """Os dos arquivos de `layouts/`, e o de cada entidade que aceita registros."""
    known = await state["connections"].load()
    return Layouts(layouts=[show_layout(known.layouts[name]) for name in sorted(known.layouts)])


@router.get(
    "/layouts/{layout}/modelo.xlsx",
    operation_id="download_layout_model",
    summary="A planilha vazia de um layout",
    response_class=Response,
    responses=_SHEET,
)
@describes
async def get_layout_model(layout: Name, request: Request, state: AppState) -> Response:
    """Como a de uma entidade, com as colunas de todas as que uma linha alimenta."""
    known = await state["connections"].load()
    return await _give_model(request, find_layout(layout, known))


async def _give_model(request: Request, layout: Layout) -> Response:
    content = await asyncio.to_thread(model_of, layout)
    headers = {"Content-Disposition": f'attachment; filename="{layout.name}-modelo.xlsx"'}
    return answer(request, content, headers, may_be_kept=True, media_type=XLSX)


# --- lists ------------------------------------------------------------------------------------------------------


class DeclaredRoute(APIRoute):
    """A route of which `{entidade}` is one of the declared entities; others have no such address.

    A request keeps the entities of the moment at which the gate saw it: one that is declared after that has no route
    that the gate knows of, and so no user.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any route, but for names that nothing declares."""
        match, found = super().matches(scope)
        if match is not Match.NONE and not _is_declared(scope, found["path_params"]["entidade"]):
            return Match.NONE, {}
        return match, found


def _is_declared(scope: Scope, name: str) -> bool:
    state = scope.get("state", {})
    if "connections" not in state:
        return False
    known: Known = state.setdefault("declared", state["connections"].known)
    return name.replace("_", "-") in known.lists


async def _find(request: Request, state: State, address: str) -> Entity:
    """The list of a declared entity as its file is now."""
    known = await state["connections"].load()
    entity = known.lists.get(address.replace("_", "-"))
    if entity is None:
        raise unknown_list(address, known)
    if entity.declared is not None and entity.declared.view is not None and not entity.declared.is_shipped:
        setattr(request.state, READ_VIEW, entity.declared.view)
    return entity


def _list_of(address: str) -> Endpoint:
    @reads_list(address)
    async def list_rows(request: Request, state: AppState, user: CurrentUser) -> Response:
        return await give_page(await _find(request, state, address), request, state, user)

    return list_rows


def _facets_of(address: str) -> Callable[..., Coroutine[Any, Any, Facets]]:
    @reads_list(address)
    async def count_values(request: Request, state: AppState) -> Facets:
        return await give_facets(await _find(request, state, address), request, state)

    return count_values


def _file_of(address: str) -> Endpoint:
    @reads_list(address)
    async def download(request: Request, state: AppState, user: CurrentUser, formato: Suffix) -> Response:
        return await give_file(await _find(request, state, address), request, state, user, formato)

    return download


for _entity in (*map(of_declared, shipped().values()), to_list(no_connections().declarations[RECONCILIATION])):
    lists.add_api_route(
        f"/{_entity.address}",
        _list_of(_entity.address),
        methods=["GET"],
        operation_id=f"list_{_entity.name}",
        summary=_entity.label,
        **document_list(_entity),
    )
    lists.add_api_route(
        f"/{_entity.address}/facetas",
        _facets_of(_entity.address),
        operation_id=f"count_{_entity.name}",
        **document_facets(_entity),
    )
    lists.add_api_route(
        f"/{_entity.address}.{{formato}}",
        _file_of(_entity.address),
        methods=["GET"],
        operation_id=f"download_{_entity.name}",
        summary=f"{_entity.label}: arquivo",
        **document_file(_entity),
    )

_ANY = next(iter(shipped().values()))
_TEXT = {"type": "string", "maxLength": 2000}
_NAMED = [
    {"name": "ordem", "in": "query", "description": "uma das ordens da lista, e `:asc` ou `:desc`", "schema": _TEXT},
    {"name": "campos", "in": "query", "description": "os campos, separados por vírgula", "schema": _TEXT},
]


def _parameters(*without: str) -> list[dict[str, Any]]:
    """The parameters that all lists have beside filters, without the names that one list has."""
    return [*own_parameters(of_declared(_ANY), without=("ordem", "campos", *without)), *_NAMED]


_FILES = describe_files("Os registros")
_BESIDE = "Os filtros e os campos são os que `GET /entidades/{entidade}` diz."


@reads_list("{entidade}")
async def _list_any(entidade: Name, request: Request, state: AppState, user: CurrentUser) -> Response:
    return await give_page(await _find(request, state, entidade), request, state, user)


@reads_list("{entidade}")
async def _count_any(entidade: Name, request: Request, state: AppState) -> Facets:
    return await give_facets(await _find(request, state, entidade), request, state)


@reads_list("{entidade}")
async def _download_any(
    entidade: Name, formato: Suffix, request: Request, state: AppState, user: CurrentUser
) -> Response:
    return await give_file(await _find(request, state, entidade), request, state, user, formato)


lists.add_api_route(
    "/{entidade}",
    _list_any,
    methods=["GET"],
    operation_id="list_records",
    summary="A lista de uma entidade declarada",
    description=f"Registros de uma entidade de um arquivo de `entities/`. {_BESIDE}",
    responses={**list_answers([]), **NOT_FOUND_RESPONSE},
    openapi_extra={"parameters": _parameters()},
    route_class_override=DeclaredRoute,
)
lists.add_api_route(
    "/{entidade}/facetas",
    _count_any,
    methods=["GET"],
    operation_id="count_records",
    summary="Uma entidade declarada: quantos há de cada valor",
    description=f"{FACETS_SENTENCE} {_BESIDE}",
    responses=NOT_FOUND_RESPONSE,
    route_class_override=DeclaredRoute,
)
lists.add_api_route(
    "/{entidade}.{formato}",
    _download_any,
    methods=["GET"],
    operation_id="download_records",
    summary="Uma entidade declarada: arquivo",
    **{**_FILES, "responses": {**_FILES["responses"], **NOT_FOUND_RESPONSE}},
    openapi_extra={"parameters": [*_parameters(*PAGING), EXCEL_PARAMETER]},
    route_class_override=DeclaredRoute,
)
