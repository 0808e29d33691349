"""What the sync endpoints take and answer."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, WithJsonSchema, model_validator

from backend.language.values import InvalidValueError
from backend.models.days import parse_day
from common.clock import check_window, parse_wall_clock, to_wall_clock
from common.lifecycle import DEFAULT_RESOURCE, criterio_of
from common.lifecycle.causes import Cause
from common.messages import SyncCommand
from common.resources import RESOURCE_NAMES, RESOURCES_BY_NAME
from common.resources.dominios import DOMINIOS

Mode = Literal["update", "backfill"]
Status = Literal["running", "success", "error"]
SliceStatus = Literal["pending", "running", "success", "error"]
Phase = Literal["queued", "running", "waiting", "finished"]
Criterio = Literal["publicacao", "atualizacao"]

# Not `format: date-time`, which by RFC 3339 has an offset.


def _known_resource(name: str) -> str:
    if name not in RESOURCE_NAMES:
        raise InvalidValueError("resource_unknown", names=", ".join(RESOURCE_NAMES))
    return name


def _known_or_dominios(name: str) -> str:
    return name if name == DOMINIOS else _known_resource(name)


WallClock = Annotated[
    datetime,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$",
            "description": "horário de Brasília, sem fuso",
            "examples": ["2025-01-31T23:59:59"],
        }
    ),
]
ResourceName = Annotated[
    str, AfterValidator(_known_resource), WithJsonSchema({"type": "string", "enum": list(RESOURCE_NAMES)})
]
AnyResource = Annotated[
    str, AfterValidator(_known_or_dominios), WithJsonSchema({"type": "string", "enum": [*RESOURCE_NAMES, DOMINIOS]})
]
"""What an execution may read: the domain tables too, which are read whole, by updates."""
Moment = Annotated[datetime, Field(description="instante com fuso", examples=["2025-01-31T12:00:00Z"])]


class SyncRequest(BaseModel):
    """Pedido de sincronização: `update` (o que mudou desde a última) ou `backfill` (um intervalo)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"mode": "update"},
                {"mode": "backfill", "data_ini": "2025-01-01T00:00:00", "data_fim": "2025-01-10T23:59:59"},
            ]
        },
    )

    resource: AnyResource = Field(
        DEFAULT_RESOURCE, description="o que ler; `dominios`, as tabelas de domínio, só no modo `update`"
    )
    mode: Mode = "update"
    data_ini: str | None = Field(None, max_length=100, description="`YYYY-MM-DDTHH:MM:SS`, horário de Brasília")
    data_fim: str | None = Field(None, max_length=100, description="`YYYY-MM-DDTHH:MM:SS`, até 365 dias depois")
    criterio: Criterio | None = Field(
        None,
        description="`publicacao`: o que foi publicado no intervalo, como se nada for dito; `atualizacao`: o que mudou "
        "nele, a única listagem de alguns recursos",
    )

    _command: SyncCommand = PrivateAttr()

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._command = self._parse_command()
        return self

    def to_command(self) -> SyncCommand:
        """The command of this request, as its message carries it; an update has no dates, even if some were sent."""
        return self._command

    def _parse_command(self) -> SyncCommand:
        """Raise `ValueError` for dates that are missing, malformed, or make no window that the portal answers."""
        if self.mode == "update":
            return SyncCommand("update", resource=self.resource)
        if self.data_ini is None or self.data_fim is None:
            missing = [name for name in ("data_ini", "data_fim") if getattr(self, name) is None]
            raise InvalidValueError("dates_missing", *missing)
        start, end = parse_wall_clock(self.data_ini, "data_ini"), parse_wall_clock(self.data_fim, "data_fim")
        check_window(start, end, to_wall_clock(datetime.now(UTC)))
        return SyncCommand("backfill", start, end, self._criterio(), self.resource)

    def _criterio(self) -> Criterio:
        if self.resource == DOMINIOS:
            raise InvalidValueError("domains_have_no_days", "mode")
        known = RESOURCES_BY_NAME[self.resource].listings
        if self.criterio is not None and self.criterio not in known:
            told = {"resource": self.resource, "asked": self.criterio, "known": ", ".join(known)}
            raise InvalidValueError("criterio_unknown", "criterio", **told)
        return criterio_of(self.resource, "backfill", self.criterio)


class SyncResponse(BaseModel):
    """O pedido foi aceito."""

    success: bool
    message: str = Field(examples=["Sync request published: update"])
    request_id: str = Field(description="o identificador da execução", examples=["42"])


class CancelRequest(BaseModel):
    """O que cancelar, das execuções em andamento; os filtros valem juntos, e ao menos um é obrigatório."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"ids": [42, 43]}, {"status": "running", "mode": "update"}, {"trigger": "message"}]
        },
    )

    status: Literal["running"] | None = Field(None, description="todas as que estão em andamento")
    resource: AnyResource | None = None
    mode: Mode | None = None
    trigger: Literal["api", "message", "schedule", "sweep", "gap", "goal", "retry"] | None = Field(
        None, description="quem pediu"
    )
    ids: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] | None = Field(
        None, min_length=1, max_length=500
    )  # in less than 16 KiB

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise InvalidValueError("nothing_to_cancel", example='{"status": "running"}')
        return self


class SyncCancelled(BaseModel):
    """O que foi cancelado."""

    cancelled: int
    execution_ids: list[int] = Field(description="as execuções canceladas, da mais antiga para a mais nova")
    remaining: int = Field(description="as que os filtros ainda alcançam: cancela-se até 1000 de cada vez")


class SyncPlan(BaseModel):
    """O que um pedido viria a ser; nada foi iniciado."""

    resource: str = Field(description="o que seria lido")
    slices: int = Field(description="fatias: dias vezes modalidades; num update, uma por modalidade")
    days: int
    modalidades: int | None = Field(description="`null`: o recurso não se divide, e cada dia é uma fatia")
    requests_estimate: int = Field(description="pedidos ao portal, de listagens e, onde há, de itens")
    records_estimate: int
    seconds_estimate: int
    basis: str = Field(description="em que as estimativas se apoiam")


class Progress(BaseModel):
    """Quanto de uma execução está feito."""

    percent: float = Field(description="0 a 100, pelas fatias e pelas páginas das que correm ou foram interrompidas")
    slices_total: int
    slices_done: int = Field(description="as que terminaram por si, com ou sem erro")
    slices_failed: int = Field(description="as que falharam por si, não as que um cancelamento interrompeu")
    slices_running: int
    pages_done: int
    records_inserted: int
    records_updated: int
    records_rejected: int
    itens_written: int


class RejectedRecord(BaseModel):
    """Um registro que não pôde ser gravado; o que veio do portal está em `rejected_records.payload`."""

    resource: str
    natural_key: str | None
    reason: str
    first_seen: Moment
    last_seen: Moment
    times: int = Field(description="execuções que o encontraram; ele aparece na última delas")
    resolved_at: Moment | None = Field(description="quando ele, ou uma versão mais nova dele, foi gravado")


class SyncExecution(BaseModel):
    """Uma execução."""

    id: int
    resource: str
    mode: Mode
    criterio: Criterio
    trigger: str = Field(description="quem pediu: `api`, `message`, `schedule`, `sweep`, `gap`, `goal`, `retry`")
    requested_by: str | None = Field(description="o usuário da API que pediu, onde há autenticação")
    retry_of: int | None = Field(description="a execução cujas fatias com erro esta repete")
    window_start: WallClock | None
    window_end: WallClock | None
    status: Status
    phase: Phase
    records_processed: int = Field(description="registros distintos da janela que foram processados")
    records_rejected: int = Field(description="registros que não puderam ser gravados; guardados com o motivo")
    itens_owed: int = Field(
        description="registros que esta execução gravou sem os itens, que ainda faltam; virão por si, sem pedido"
    )
    duration_seconds: float | None
    cause: Cause | None = Field(description="por que falhou, em uma palavra; a lista está em docs/operating.md")
    error_message: str | None = Field(description="o mesmo em uma frase")
    cancelled_by: str | None = Field(description="quem a cancelou")
    cancelled: bool = Field(description="alguém a cancelou: o seu `status` é `error`, e `percent` o que estava feito")
    created_at: Moment
    updated_at: Moment
    started_at: Moment | None
    finished_at: Moment | None


class SyncSlice(BaseModel):
    """Uma fatia: um dia (ou a janela de um update) de uma modalidade."""

    id: int
    ordinal: int
    resource: str
    criterio: Criterio
    modalidade: int | None = Field(description="`null`: o recurso não se divide")
    window_start: WallClock
    window_end: WallClock
    status: SliceStatus
    attempt: int
    reading: int
    pages_done: int
    pages_total: int | None
    total_registros: int | None = Field(description="o que o portal disse na última página lida")
    records_processed: int
    records_rejected: int
    cause: Cause | None = Field(description="por que falhou, em uma palavra; a lista está em docs/operating.md")
    error_message: str | None = Field(description="o mesmo em uma frase")
    run_after: Moment | None = Field(description="quando será tentada de novo")
    updated_at: Moment


class SyncExecutionDetail(SyncExecution):
    """Uma execução com o andamento e as fatias que falharam."""

    progress: Progress
    failed_slices: list[SyncSlice] = Field(description="as primeiras cem; todas em `/slices?status=error`")
    rejected_records: list[RejectedRecord] = Field(description="os primeiros cem")


class SyncSlices(BaseModel):
    """Fatias de uma execução, na ordem em que são lidas."""

    slices: list[SyncSlice]
    next_cursor: str | None


CellState = Literal["pending", "waiting", "running", "success", "rejected", "error", "cut_off"]


class MatrixDay(BaseModel):
    """As fatias de um dia, ou da janela de um update."""

    first_day: date
    last_day: date
    states: list[CellState | None] = Field(
        description="na ordem de `modalidades`; `waiting`: falhou, e será tentada de novo; `rejected`: lida, com "
        "registros que não puderam ser gravados; `cut_off`: a execução terminou antes; `null`: não foi pedida"
    )


class SyncMatrix(BaseModel):
    """As fatias de uma execução: dias por modalidade."""

    modalidades: list[int | None] = Field(description="`[null]`: o recurso não se divide")
    days: list[MatrixDay]


class SyncStatus(BaseModel):
    """A última execução; antes da primeira, `idle` e mais nada."""

    last_execution: Moment | None = Field(description="quando foi pedida")
    status: Literal["idle", "running", "success", "error"]
    resource: str | None
    mode: Mode | None
    window_start: WallClock | None
    window_end: WallClock | None
    records_processed: int
    itens_owed: int = Field(description="registros que a execução gravou sem os itens, que ainda faltam")
    duration_seconds: float | None
    cause: Cause | None = Field(description="por que falhou, em uma palavra; a lista está em docs/operating.md")
    error_message: str | None = Field(description="o mesmo em uma frase")
    last_updated: Moment | None
    execution_id: int | None
    phase: Phase | None
    progress: Progress | None


class SyncHistory(BaseModel):
    """Execuções, da mais nova para a mais antiga; as contagens são de todas as que passam pelos filtros."""

    executions: list[SyncExecution]
    total_count: int
    success_count: int
    error_count: int = Field(description="com as canceladas")
    cancelled_count: int
    running_count: int
    next_cursor: str | None


class HistoryQuery(BaseModel):
    """Filtros do histórico."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=500)
    status: Status | None = None
    resource: AnyResource | None = None
    mode: Mode | None = None
    trigger: str | None = Field(None, pattern="^[a-z]{1,20}$")
    since: str | None = Field(None, max_length=100, description="criadas desde `YYYY-MM-DDTHH:MM:SS`, Brasília")
    until: str | None = Field(None, max_length=100, description="criadas até `YYYY-MM-DDTHH:MM:SS`, Brasília")
    cursor: int | None = Field(None, ge=1, le=2**63 - 1, description="`next_cursor` da página anterior")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("since", "until"):
            if getattr(self, name) is not None:
                parse_wall_clock(getattr(self, name), name)
        return self


class SlicesQuery(BaseModel):
    """Filtros das fatias."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=500)
    status: SliceStatus | None = None
    day: str | None = Field(None, max_length=100, description="só as deste dia, `YYYY-MM-DD`")
    modalidade: int | None = Field(None, ge=1, le=2**31 - 1, description="só as desta")
    cursor: int | None = Field(None, ge=1, le=2**31 - 1, description="`next_cursor` da página anterior")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.chosen_day
        return self

    @property
    def chosen_day(self) -> date | None:
        """The day whose slices are asked for."""
        return None if self.day is None else parse_day(self.day, "day")


class QueueHealth(BaseModel):
    """A fila: o que espera, e quantos ingestores a leem."""

    messages: int
    consumers: int


class Health(BaseModel):
    """Saúde do serviço e do que ele usa."""

    status: Literal["ok", "degraded"]
    database: Literal["connected", "failing", "read-only", "disconnected"]
    workers: Literal["ok", "none", "unknown"]
    broker: Literal["connected", "disconnected", "disabled"]
    broker_blocked: bool = Field(description="o RabbitMQ responde, mas não aceita mensagens")
    queue: QueueHealth | None = Field(description="nulo sem RabbitMQ")
    timestamp: Moment


class Alive(BaseModel):
    """O processo responde."""

    status: Literal["ok"] = "ok"
