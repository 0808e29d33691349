"""What the timeline of executions takes and answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.models.sync import Mode, Moment


class TimelineQuery(BaseModel):
    """Quantas horas para trás."""

    model_config = ConfigDict(extra="forbid")

    hours: int = Field(24, ge=1, le=168, description="no máximo uma semana")


class TimelineBar(BaseModel):
    """Uma execução, ou várias seguidas do mesmo tipo e com o mesmo fim, perto demais para serem vistas uma a uma."""

    resource: str
    mode: Mode
    state: Literal["success", "error", "cancelled", "running"]
    executions: int
    first_id: int
    last_id: int
    started_at: Moment
    finished_at: Moment | None = Field(description="`null` enquanto corre")
    records_processed: int


class FreshnessMark(BaseModel):
    """A partir de `at`, o espelho estava atualizado até `updated_until`."""

    at: Moment
    updated_until: Moment


class ResourceTimeline(BaseModel):
    """O que correu de um recurso."""

    resource: str
    label: str = Field(description="o nome para pessoas")
    bars: list[TimelineBar] = Field(description="da que começou primeiro à que começou por último")
    marks: list[FreshnessMark] = Field(
        description="das atualizações com sucesso; a primeira pode ser de antes. Entre duas, o atraso cresce"
    )


class Timeline(BaseModel):
    """As últimas horas, por recurso."""

    since: Moment
    until: Moment
    resources: list[ResourceTimeline] = Field(description="dos que tiveram alguma execução")
