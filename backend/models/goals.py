"""What the endpoints of goals take and answer."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from backend.language.values import InvalidValueError
from backend.models.days import parse_day
from backend.models.sync import Moment
from common.clock import FIRST_DAY, to_wall_clock


def _first_day(value: object) -> date:
    if not isinstance(value, str):
        raise InvalidValueError("day_no_text", "from_day", name="from_day")
    return parse_day(value, "from_day")


def _of_the_portal(day: date) -> date:
    if day < FIRST_DAY:
        raise InvalidValueError("goal_too_early", "from_day", first=FIRST_DAY)
    if day > to_wall_clock(datetime.now(UTC)).date():
        raise InvalidValueError("goal_in_future", "from_day")
    return day


FromDay = Annotated[
    date,
    BeforeValidator(_first_day),
    AfterValidator(_of_the_portal),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2021-01-01"]}),
]


class GoalChange(BaseModel):
    """Pedido de outra meta."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"from_day": "2021-01-01"}]})

    from_day: FromDay = Field(description="a partir de que dia manter completo, `YYYY-MM-DD`")


class GoalPlanQuery(BaseModel):
    """A meta de que se pergunta."""

    model_config = ConfigDict(extra="forbid")

    from_day: FromDay = Field(description="a partir de que dia manter completo, `YYYY-MM-DD`")


class Goal(BaseModel):
    """A meta de um recurso, e quanto falta para ela.

    Um dia é devido a partir das 7 horas do dia seguinte: a varredura da noite o lê antes. `days_complete`,
    `days_rejected` e `days_missing` somam `days`; `days_failed` é uma parte de `days_missing`.
    """

    resource: str
    label: str = Field(description="o mesmo, para pessoas")
    from_day: date | None = Field(description="a partir de que dia manter completo; `null`: não há meta")
    origin: Literal["setting", "api"] | None = Field(
        description="de onde vem: `setting` (`MIRROR_FROM`) ou `api`, que vale mais, também para dizer que não há meta"
    )
    set_by: str | None
    set_at: Moment | None
    paused: bool
    paused_by: str | None
    paused_at: Moment | None
    pause_reason: str | None
    days: int = Field(description="os dias encerrados que a meta pede")
    days_complete: int = Field(description="lidos por inteiro depois de encerrados, com tudo gravado")
    days_rejected: int = Field(description="lidos por inteiro, mas com registros que não puderam ser gravados")
    days_failed: int = Field(description="dos que faltam, aqueles cuja leitura falhou; são tentados de novo")
    days_missing: int = Field(description="ainda não lidos por inteiro")
    oldest_missing: date | None
    newest_missing: date | None
    requests_left: int | None = Field(description="pedidos ao portal, estimados; `null` sem meta")
    hours_left: float | None = Field(description="estimadas; `null` sem meta")
    execution_id: int | None = Field(description="a execução que lê dias que faltam agora")


class Goals(BaseModel):
    """As metas, uma por recurso."""

    goals: list[Goal]


class GoalPlan(BaseModel):
    """O que uma meta viria a ser; nada muda."""

    resource: str
    from_day: date
    days: int = Field(description="os que faltam")
    slices: int = Field(description="fatias: os dias, vezes as modalidades que faltam neles")
    requests: int = Field(description="pedidos ao portal, de listagens e, onde há, de itens; estimados")
    records: int
    hours: float
    bytes: int = Field(description="a mais no banco de dados, com índices")
    basis: str = Field(description="em que as estimativas se apoiam")
