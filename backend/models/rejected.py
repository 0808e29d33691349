"""What the list of rejected records takes and answers."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from backend.models.sync import Moment, ResourceName


class RejectedQuery(BaseModel):
    """Filtros dos rejeitados."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200)
    resource: ResourceName | None = Field(None, description="os deste recurso e das suas listas")
    execution_id: int | None = Field(None, ge=1, le=2**63 - 1, description="os que esta execução viu por último")
    cursor: int | None = Field(None, ge=1, le=2**63 - 1, description="`next_cursor` da página anterior")


class RejectedEntry(BaseModel):
    """Um registro que não pôde ser gravado."""

    id: int
    table: str = Field(description="a tabela em que ele falta")
    label: str = Field(description="o nome da tabela para pessoas")
    natural_key: str | None = Field(description="nula se nem a chave pôde ser lida")
    day: date | None = Field(description="o dia em que a listagem o mostra; nulo se nenhuma")
    modalidade: Annotated[int | None, BeforeValidator(lambda part: part or None)]
    reason: str = Field(description="o motivo, em palavras técnicas")
    explanation: str = Field(description="o motivo, para pessoas")
    first_seen: Moment
    last_seen: Moment
    times: int = Field(description="execuções que o encontraram")
    execution_id: int | None = Field(description="a última delas; `null` depois de `HISTORY_DAYS`")
    payload: str | None = Field(description="o que o portal enviou, só para administradores; no máximo 20 mil letras")
    payload_length: int = Field(description="letras do que o portal enviou")


class RejectedRecords(BaseModel):
    """Registros rejeitados, o mais novo primeiro."""

    records: list[RejectedEntry]
    total: int = Field(description="todos os que passam pelos filtros")
    next_cursor: str | None
