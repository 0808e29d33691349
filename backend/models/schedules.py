"""What the schedule's endpoints take and answer."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backend.language.values import InvalidValueError
from backend.models.sync import Moment
from common.cron import LONGEST_CRON, CronError, check_cron

LONGEST_REASON = 500

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and lone surrogates, which PostgreSQL refuses


def _said(value: str) -> str:
    reason = " ".join(value.split())
    if not reason or _UNSTORABLE.search(reason):
        raise InvalidValueError("reason_missing", "reason")
    return reason


def _cron(value: str) -> str:
    try:
        return check_cron(value)
    except CronError:
        raise InvalidValueError("cron_unknown", "cron") from None


class PauseRequest(BaseModel):
    """Pedido de pausa."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "portal em manutenção"}]})

    reason: Annotated[
        str, Field(max_length=LONGEST_REASON, description="por que, para quem vier depois"), AfterValidator(_said)
    ]


class ScheduleChange(BaseModel):
    """Pedido de outro cron; `null` volta ao da configuração."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"cron": "*/30 6-22 * * *"}, {"cron": None}]}
    )

    cron: Annotated[str, Field(max_length=LONGEST_CRON), AfterValidator(_cron)] | None = Field(
        description="minuto hora dia mês dia-da-semana, no horário de Brasília"
    )


class ScheduleTick(BaseModel):
    """A última vez: as execuções que iniciou ou por que não iniciou nenhuma."""

    due_at: Moment
    execution_ids: list[int]
    skipped_reason: str | None


class Schedule(BaseModel):
    """Uma agenda."""

    name: str = Field(description="`update` ou `sweep`; de outros recursos que contratações, `contratos.update`")
    resource: str = Field(description="o que ela lê")
    label: str = Field(description="o mesmo, para pessoas")
    action: str = Field(description="`update` ou `sweep`")
    cron: str = Field(description="o que vale, no horário de Brasília")
    default_cron: str = Field(description="o da configuração (`SCHEDULE_UPDATE`, `SCHEDULE_SWEEP`, `SCHEDULE_CRONS`)")
    enabled: bool = Field(description="`SCHEDULE_ENABLED`")
    paused: bool
    paused_at: Moment | None
    paused_by: str | None
    pause_reason: str | None
    next_runs: list[Moment] = Field(description="as próximas cinco do cron; em pausa ou desligada, nada corre nelas")
    last_tick: ScheduleTick | None
    updated_at: Moment | None = Field(description="quando foi pausada, retomada ou mudada pela última vez")
    updated_by: str | None


class Schedules(BaseModel):
    """As agendas."""

    schedules: list[Schedule]
