"""Schedules: list, pause, resume, change the cron."""

from typing import Annotated

from fastapi import APIRouter, Path

from backend.access import changes, reads
from backend.dependencies import AppState, CurrentUser
from backend.errors import CONFLICT_RESPONSE, NOT_FOUND_RESPONSE
from backend.models.schedules import PauseRequest, Schedule, ScheduleChange, Schedules
from backend.security import name_of
from backend.services.schedules import change_schedule, list_schedules, pause_schedule, resume_schedule

router = APIRouter(prefix="/sync/schedules", tags=["schedules"])

ScheduleName = Annotated[str, Path(max_length=50, description="`update`, `sweep`, `contratos.update`, ...")]


@router.get("", operation_id="list_schedules", summary="As agendas")
@reads
async def get_schedules(state: AppState) -> Schedules:
    """Cron, pausa, próximas vezes e o que houve na última."""
    return Schedules(schedules=await list_schedules(state["engine"], state["schedule"]))


@router.post(
    "/{name}/pause",
    operation_id="pause_schedule",
    summary="Põe em pausa",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def pause(name: ScheduleName, request: PauseRequest, state: AppState, user: CurrentUser) -> Schedule:
    """Nada mais começa por esta agenda; o que corre continua."""
    return await pause_schedule(state["engine"], state["schedule"], name, reason=request.reason, who=name_of(user))


@router.post(
    "/{name}/resume",
    operation_id="resume_schedule",
    summary="Retoma",
    responses={**NOT_FOUND_RESPONSE, **CONFLICT_RESPONSE},
)
@changes
async def resume(name: ScheduleName, state: AppState, user: CurrentUser) -> Schedule:
    """A partir da próxima vez; as que passaram na pausa não são repostas, mas as janelas as cobrem."""
    return await resume_schedule(state["engine"], state["schedule"], name, who=name_of(user))


@router.put("/{name}", operation_id="change_schedule", summary="Muda o cron", responses=NOT_FOUND_RESPONSE)
@changes
async def change(name: ScheduleName, request: ScheduleChange, state: AppState, user: CurrentUser) -> Schedule:
    """`null` volta ao da configuração; uma pausa permanece."""
    return await change_schedule(state["engine"], state["schedule"], name, cron=request.cron, who=name_of(user))
