"""Goals: from which day on each resource is to be complete, how far that has got, and what another one comes to."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from backend.access import changes, reads
from backend.dependencies import AppState, CurrentUser, EachParameterOnce
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.goals import Goal, GoalChange, GoalPlan, GoalPlanQuery, Goals
from backend.models.schedules import PauseRequest
from backend.security import name_of
from backend.services.goals import list_goals, pause_goal, plan_goal, remove_goal, resume_goal, set_goal

router = APIRouter(prefix="/sync/goals", tags=["goals"])

GoalResource = Annotated[str, Path(max_length=50, description="`contratacoes`, `contratos`, `atas`, ...")]


@router.get("", operation_id="list_goals", summary="As metas")
@reads
async def get_goals(state: AppState) -> Goals:
    """Por recurso: a partir de que dia ele deve estar completo, quanto falta e quanto isso ainda leva."""
    async with state["reading"].connect() as db:
        return Goals(goals=await list_goals(db, state["schedule"].goals))


@router.get(
    "/{resource}/plan",
    operation_id="plan_goal",
    summary="O que uma meta viria a ser",
    responses=NOT_FOUND_RESPONSE,
    dependencies=[EachParameterOnce],
)
@reads
async def get_plan(resource: GoalResource, query: Annotated[GoalPlanQuery, Query()], state: AppState) -> GoalPlan:
    """Dias, pedidos, horas e bytes do que falta desde um dia; nada muda."""
    async with state["reading"].connect() as db:
        return await plan_goal(db, resource, query.from_day)


@router.put("/{resource}", operation_id="set_goal", summary="Define a meta", responses=NOT_FOUND_RESPONSE)
@changes
async def put_goal(resource: GoalResource, request: GoalChange, state: AppState, user: CurrentUser) -> Goal:
    """Os ingestores leem o que falta, do dia mais novo para o mais antigo, quando não há outra coisa a fazer.

    Uma meta menor não interrompe o que corre. Uma pausa permanece.
    """
    return await set_goal(
        state["engine"], state["schedule"].goals, resource, from_day=request.from_day, who=name_of(user)
    )


@router.delete("/{resource}", operation_id="remove_goal", summary="Remove a meta", responses=NOT_FOUND_RESPONSE)
@changes
async def delete_goal(resource: GoalResource, state: AppState, user: CurrentUser) -> Goal:
    """Também a de `MIRROR_FROM`. O que corre continua, e o que foi gravado fica."""
    return await remove_goal(state["engine"], state["schedule"].goals, resource, who=name_of(user))


@router.post(
    "/{resource}/pause",
    operation_id="pause_goal",
    summary="Põe a meta em pausa",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def pause(resource: GoalResource, request: PauseRequest, state: AppState, user: CurrentUser) -> Goal:
    """Nada mais começa por ela; o que corre continua. Cancelar uma execução dela também a põe em pausa."""
    return await pause_goal(
        state["engine"], state["schedule"].goals, resource, reason=request.reason, who=name_of(user)
    )


@router.post(
    "/{resource}/resume",
    operation_id="resume_goal",
    summary="Retoma a meta",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def resume(resource: GoalResource, state: AppState, user: CurrentUser) -> Goal:
    """O que falta é lido a partir de agora."""
    return await resume_goal(state["engine"], state["schedule"].goals, resource, who=name_of(user))
