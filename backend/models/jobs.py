"""What the endpoints of jobs take and answer."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.models.destinations import STORABLE
from backend.models.execution_log import LogQuery
from backend.models.sync import Moment, SliceStatus, Status
from common.lifecycle.causes import Cause

JobKind = Literal["delivery", "intake"]
JobPhase = Literal["queued", "running", "waiting", "held", "finished"]
JobMode = Literal["novidades", "diferencas", "tudo", "rejeitados", "teste", "importacao"]
HeldReason = Literal["hold_above", "mostly_refused", "confirm_import", "many_removed"]


class JobsQuery(BaseModel):
    """Filtros dos trabalhos."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200)
    kind: JobKind | None = Field(None, description="o que fazem")
    subject: str | None = Field(
        None, min_length=1, max_length=100, pattern=STORABLE, description="o nome do destino, do layout ou da fonte"
    )
    status: Status | None = None
    cursor: int | None = Field(None, ge=1, le=2**63 - 1, description="`next_cursor` da página anterior")


class JobLogQuery(LogQuery):
    """Filtros do registro, e a sua forma."""

    formato: Literal["json", "texto"] = Field("json", description="`texto`: o registro inteiro, como arquivo")


class JobCounts(BaseModel):
    """Contagens de um trabalho ou de um fluxo."""

    seen: int = Field(description="registros comparados com o que o destino, ou o cadastro, tem")
    unchanged: int = Field(description="destes, os que não mudaram")
    accepted: int = Field(description="registros que o destino aceitou, ou que foram gravados")
    rejected: int = Field(description="registros que o destino recusou, que não puderam ser montados ou gravados")
    created: int = Field(description="registros criados por uma importação ou leitura")
    changed: int = Field(description="registros mudados por ela")
    requests: int = Field(description="pedidos com resposta do destino, ou partes lidas")


class JobHeld(BaseModel):
    """Por que um trabalho espera a confirmação de um administrador."""

    reason: HeldReason = Field(
        description="`hold_above`: deve mais do que o limite; `mostly_refused`: quase tudo recusado; `confirm_import`: "
        "a prévia de um arquivo espera; `many_removed`: muitos registros sumiram da fonte"
    )
    owed: int | None = Field(
        description="registros que seriam enviados, ou removidos; de `mostly_refused`, os que foram recusados"
    )
    samples: list[Any] | None = Field(
        description="alguns deles, como seriam enviados; de `mostly_refused`, alguns motivos; só para administradores"
    )


class JobStream(JobCounts):
    """O andamento de um fluxo: os registros de uma entidade, ou uma importação."""

    stream: str = Field(description="o nome do fluxo, ou do layout")
    entity: str | None = Field(description="`null` se o destino foi esquecido, e de uma importação")
    status: SliceStatus
    next_try_at: Moment | None = Field(description="quando se tenta de novo, depois de uma falha")
    cause: Cause | None
    error_message: str | None
    started_at: Moment | None
    finished_at: Moment | None


class Job(JobCounts):
    """Um trabalho: uma entrega a um destino, uma importação, ou a leitura de uma fonte."""

    id: int
    kind: JobKind
    subject: str = Field(description="o nome do destino, do layout ou da fonte")
    import_id: int | None = Field(description="a importação, em `/imports/{id}`; `null` dos outros")
    mode: JobMode = Field(
        description="`novidades`: o que mudou desde a última; `diferencas`: tudo o que difere; `importacao`"
    )
    trigger: str = Field(
        description="quem pediu: `api`, `schedule`, `update` (depois de uma atualização), `import` (uma importação)"
    )
    requested_by: str | None
    status: Status
    phase: JobPhase
    held: JobHeld | None
    cause: Cause | None
    error_message: str | None
    cancelled_by: str | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    duration_seconds: float | None


class JobDetail(Job):
    """Um trabalho e os seus fluxos."""

    streams: list[JobStream]


class Jobs(BaseModel):
    """Trabalhos, do mais novo para o mais antigo."""

    jobs: list[Job]
    next_cursor: Annotated[str | None, Field(description="`null` na última página")]
