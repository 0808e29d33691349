"""What the log of an execution is asked for, and what it answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.models.sync import Moment

Level = Literal["debug", "info", "warning", "error", "critical"]


class LogQuery(BaseModel):
    """Filtros do registro."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=500)
    level: Literal["debug", "info", "warning", "error"] = Field("debug", description="o nível mínimo")
    text: str | None = Field(
        None, min_length=1, max_length=100, description="só linhas com este texto, no acontecimento ou nos campos"
    )
    cursor: int | None = Field(
        None, ge=0, le=2**63 - 1, description="`next_cursor` da página anterior, ou o `id` da última linha lida"
    )


class LogLine(BaseModel):
    """Uma linha do registro."""

    id: int
    logged_at: Moment
    level: Level
    event: str = Field(description="o que aconteceu, em inglês, como no log dos serviços")
    slice_id: int | None = Field(description="a fatia de que se trata; `null` se da execução toda")
    fields: dict[str, Any] = Field(description="o que mais a linha diz")


class ExecutionLog(BaseModel):
    """Linhas do registro, da mais antiga para a mais nova."""

    lines: list[LogLine]
    next_cursor: Annotated[str | None, Field(description="`null` quando por ora não há mais linhas")]
