"""What the rows of an entity come to: sums, and how many there are of each value."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from fastapi import APIRouter, Request

from backend.access import reads
from backend.dependencies import AppState, State
from backend.models.entities import Mirror
from backend.models.summary import Facets, Group, Summary
from backend.services.entities.documentation import document_parameters
from backend.services.entities.question import parse_question, refuse
from backend.services.facets import MOST_FACETS, default_facets_of, facets_of, load_facets
from backend.services.summary import default_groups_of, groups_of, load_summary_of
from common.entities.entity import ENTITIES, Entity
from common.resources.description import Rollup

router = APIRouter(tags=["dados"])
_MEDIANS = {
    "name": "medianas",
    "in": "query",
    "description": "também as medianas dos valores",
    "schema": {"type": "boolean", "default": False},
}
Endpoint = Callable[..., Coroutine[Any, Any, Any]]


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
        return await give_facets(entity, request, state)

    return count_values


async def give_facets(entity: Entity, request: Request, state: State) -> Facets:
    """How many rows there are of each value of the filters that a request names."""
    question = parse_question(entity, request.query_params.multi_items(), instead=("facetas",))
    names = _values_of(request, "facetas", facets_of(entity), default_facets_of(entity))
    if len(names) > MOST_FACETS:
        refuse("facetas", f"são no máximo {MOST_FACETS}")
    async with state["reading"].connect() as db:
        facets = await load_facets(db, question, names)
        mirror = await state["mirrors"].load(db, question)
    return Facets(facetas=facets, espelho=Mirror(**mirror.to_object()))


def _summary_of(entity: Entity, rollup: Rollup) -> Endpoint:
    @reads
    async def add_up(request: Request, state: AppState) -> Summary:
        question = parse_question(entity, request.query_params.multi_items(), instead=("agrupar", "medianas"))
        groups = cast("list[Group]", _values_of(request, "agrupar", groups_of(rollup), default_groups_of(rollup)))
        with_medians = _values_of(request, "medianas", ("true", "false"), ["false"]) == ["true"]
        async with state["reading"].connect() as db:
            summary = await load_summary_of(db, question, groups, with_medians=with_medians)
            mirror = await state["mirrors"].load(db, question)
        return summary.model_copy(update={"espelho": Mirror(**mirror.to_object())})

    return add_up


FACETS_SENTENCE = "Cada faceta é contada com todos os filtros menos o dela, em até 0,2 segundo."


def document_facets(entity: Entity) -> dict[str, Any]:
    """The arguments of the route of an entity's facets that describe it."""
    return {
        "summary": f"{entity.label}: quantos há de cada valor",
        "description": FACETS_SENTENCE,
        "openapi_extra": document_parameters(entity, ("facetas", facets_of(entity), "que filtros, no máximo seis")),
    }


for _entity in ENTITIES:
    if _entity.resource is not None and _entity.resource.rollup is not None:
        router.add_api_route(
            f"/{_entity.address}/resumo",
            _summary_of(_entity, _entity.resource.rollup),
            operation_id=f"summarize_{_entity.name}",
            summary=f"{_entity.label}: quantos são, e quanto somam",
            description="Sem filtros, ou com os que o resumo conhece, em milissegundos em qualquer tamanho do espelho;"
            " com outros, ou com medianas, os registros são somados na hora, em até cinco segundos.",
            openapi_extra=document_parameters(
                _entity, ("agrupar", groups_of(_entity.resource.rollup), "por que somar"), _MEDIANS
            ),
        )
    router.add_api_route(
        f"/{_entity.address}/facetas",
        _facets_of(_entity),
        operation_id=f"count_{_entity.name}",
        **document_facets(_entity),
    )
