"""What the endpoints of sources take and answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.models.destinations import FileFault
from backend.models.sync import Moment

SourceState = Literal["ok", "running", "waiting", "held", "failed", "paused", "missing", "invalid"]


class SourceEntityState(BaseModel):
    """Uma entidade que se lê de uma fonte."""

    entity: str
    label: str = Field(description="o nome da entidade, para pessoas")
    cursor: str | None = Field(description="a coluna que diz quando uma linha mudou")
    full_at: Moment | None = Field(description="quando todas as linhas foram lidas pela última vez")
    rows: int | None = Field(description="linhas na última leitura completa")
    without_cursor: int | None = Field(description="destas, as sem valor no cursor, que só a leitura completa encontra")
    columns: list[str] | None = Field(description="as colunas que a fonte tinha na última leitura")


class SourceSummary(BaseModel):
    """Uma fonte: um banco de dados de outro sistema, que é só lido."""

    name: str
    kind: str | None = Field(description="o banco de dados; `null` quando o endereço inteiro é um segredo")
    state: SourceState = Field(
        description="`ok`; `running`: lendo; `waiting`: a fonte falhou e se tenta de novo; `held`: uma leitura espera "
        "confirmação; `failed`: a última leitura falhou; `paused`: em pausa; `missing`: o arquivo sumiu; `invalid`: o "
        "arquivo tem erros"
    )
    job_id: int | None = Field(description="a leitura em andamento")
    schedule: str | None = Field(description="o cron da leitura completa")
    delta: str | None = Field(description="o cron da leitura do que mudou")
    next_run: Moment | None = Field(description="a próxima leitura completa; `null` em pausa, ou sem arquivo")
    next_delta: Moment | None
    last_success_at: Moment | None
    last_error: str | None = Field(description="por que a última leitura falhou; `null` depois de uma que deu certo")
    paused_at: Moment | None
    paused_by: str | None
    pause_reason: str | None
    missing_since: Moment | None
    entities: list[SourceEntityState]
    faults: list[FileFault]


class Sources(BaseModel):
    """As fontes, por nome."""

    sources: list[SourceSummary]
    workers: int = Field(description="processos que leem fontes")


class ReadRequest(BaseModel):
    """Pedido de leitura."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}, {"modo": "delta"}]})

    modo: Literal["full", "delta"] = Field(
        "full", description="`full`: todas as linhas, e o que sumiu é removido; `delta`: só o que mudou desde a última"
    )


class ReadAccepted(BaseModel):
    """O pedido de leitura foi aceito."""

    success: bool
    message: str = Field(examples=["Leitura de consinco iniciada"])
    request_id: str = Field(description="o identificador do trabalho", examples=["42"])
