"""What the coverage of a span of days takes and answers."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from backend.language.values import InvalidValueError
from backend.models.days import parse_day
from backend.models.sync import Moment, ResourceName
from common.lifecycle import DEFAULT_RESOURCE
from common.lifecycle.causes import Cause

MOST_DAYS = 366
MOST_DETAILED_DAYS = 31
FIRST_DAY = date(2021, 1, 1)
"""The portal has nothing of the years before."""

PairState = Literal["complete", "rejected", "partial", "failed", "running"]
DayState = Literal["complete", "rejected", "partial", "failed", "running", "never"]


class CoverageQuery(BaseModel):
    """Os dias, com ambos os extremos, e a modalidade."""

    model_config = ConfigDict(extra="forbid")

    first: str = Field(alias="from", max_length=100, description="primeiro dia, `YYYY-MM-DD`")
    last: str = Field(alias="to", max_length=100, description="último dia, `YYYY-MM-DD`; no máximo 366 dias")
    resource: ResourceName = Field(DEFAULT_RESOURCE, description="o recurso")
    modalidade: int | None = Field(None, ge=1, le=2**31 - 1, description="só esta; sem ela, todas")
    detail: bool = Field(
        False, description=f"`true`: cada dia traz as suas modalidades; no máximo {MOST_DETAILED_DAYS} dias"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        first, last = self.span
        if first > last:
            raise InvalidValueError("days_reversed", "from", "to")
        most = MOST_DETAILED_DAYS if self.detail else MOST_DAYS
        if (last - first).days >= most:
            raise InvalidValueError("days_too_many", "from", "to", most=most)
        return self

    @property
    def span(self) -> tuple[date, date]:
        """First and last day."""
        return parse_day(self.first, "from"), parse_day(self.last, "to")


class CoverageSpansQuery(BaseModel):
    """O recurso, e desde quando."""

    model_config = ConfigDict(extra="forbid")

    resource: ResourceName = Field(DEFAULT_RESOURCE, description="o recurso")
    modalidade: int | None = Field(None, ge=1, le=2**31 - 1, description="só esta; sem ela, todas")
    first: str = Field(
        str(FIRST_DAY), alias="from", max_length=100, description="primeiro dia, `YYYY-MM-DD`; sem ele, o do PNCP"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.first_day < FIRST_DAY:
            raise InvalidValueError("days_too_early", "from", first=FIRST_DAY)
        return self

    @property
    def first_day(self) -> date:
        """The first day."""
        return parse_day(self.first, "from")


class CoverageSpan(BaseModel):
    """Dias seguidos no mesmo estado."""

    first_day: date
    last_day: date
    state: DayState


class CoverageSpans(BaseModel):
    """O estado de todos os dias, de `from` até hoje, sem lacuna: o mesmo que `/sync/coverage` diz de cada um."""

    modalidades: list[int] = Field(description="as que contam: as que têm fatias em algum destes dias")
    spans: list[CoverageSpan]


class CoverageModalidade(BaseModel):
    """Uma modalidade em um dia.

    `complete`: alguma fatia da listagem dos dias cobriu o dia inteiro, teve sucesso, e começou depois que ele acabou em
    Brasília; `rejected`: o mesmo, mas há registros dela que não puderam ser gravados. Sem tal fatia: `running` se
    alguma espera ou corre; `failed` se a mais nova terminou com erro; `partial` se a mais nova teve sucesso, mas só em
    parte do dia ou antes que ele acabasse.
    """

    modalidade: Annotated[int | None, BeforeValidator(lambda part: part or None)] = Field(
        description="`null`: o recurso não se divide"
    )
    state: PairState
    records: int = Field(description="processados pela fatia que vale: a completa mais nova, ou a mais nova")
    total_registros: int | None = Field(
        description="o que o portal disse a essa fatia; `null` também onde ele conta itens ou linhas repetidas"
    )
    records_rejected: int = Field(description="vistos pela fatia que vale e que não puderam ser gravados até agora")
    execution_id: int | None = Field(description="a dessa fatia; `null` depois de `HISTORY_DAYS`")
    finished_at: Moment | None
    cause: Cause | None
    error_message: str | None


class CoverageDay(BaseModel):
    """Um dia. As modalidades que contam são as que têm fatias no intervalo pedido.

    `never`: nenhuma fatia; `complete`: todas completas; senão `running` se alguma corre, `failed` se alguma falhou,
    `rejected` se todas foram lidas por inteiro e alguma tem registros rejeitados, e `partial` nos outros casos.
    """

    day: date
    state: DayState
    complete: int = Field(description="modalidades completas")
    partial: int
    failed: int
    running: int
    rejected: int = Field(description="modalidades lidas por inteiro com registros que não puderam ser gravados")
    missing: int = Field(description="modalidades que contam e nunca foram pedidas neste dia")
    records: int
    total_registros: int | None = Field(description="soma do que o portal disse; `null` se não disse nada")
    records_rejected: int = Field(description="registros do dia que não puderam ser gravados até agora")
    modalidades: list[CoverageModalidade] | None = Field(description="só com `detail=true`")


class SyncCoverage(BaseModel):
    """O que o espelho tem de cada dia: de publicação, ou da listagem única do recurso."""

    modalidades: list[int] = Field(description="as que contam")
    days: list[CoverageDay]
