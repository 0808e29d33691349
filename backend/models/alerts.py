"""What the endpoints of alerts take and answer."""

from pydantic import BaseModel, ConfigDict, Field

from backend.models.sync import Moment


class Alert(BaseModel):
    """Um episódio: do que começou a falhar até voltar ao normal."""

    id: int
    kind: str = Field(
        description="`sync`: execuções que falham ou atualizações que não vêm; `source`: o portal não responde ou"
        " recusa os pedidos; `empty`: listagens vazias; `rejected`:"
        " registros que não puderam ser gravados; `itens`: itens que faltam há mais de um dia, ou postos de lado;"
        " `drift`: campos que não cabem mais na coluna; `import`: arquivos recusados da pasta, ou linhas que esperam"
        " há mais de um dia"
    )
    summary: str
    execution_ids: list[int] = Field(description="as execuções que falharam no episódio, as cem mais novas")
    technical_detail: list[str] = Field(
        description="o que o programa, o portal ou o banco de dados disseram, em inglês"
    )
    opened_at: Moment
    notified_at: Moment | None = Field(description="quando a última mensagem, a primeira ou um lembrete, foi entregue")
    notifications: int = Field(description="mensagens entregues, sem a do fim")
    delivery_error: str | None = Field(description="por que a última tentativa de entrega falhou, por canal")
    resolved_at: Moment | None
    resolution: str | None = Field(description="por que terminou")
    recovery_notified_at: Moment | None = Field(description="quando a mensagem do fim foi entregue a todos os canais")


class Alerts(BaseModel):
    """Episódios, do mais novo para o mais antigo."""

    alerts: list[Alert]
    open_count: int = Field(description="quantos estão abertos agora")
    channels: list[str] = Field(description="por onde se avisa: `email`, `webhook`; vazio, só aqui")
    next_cursor: str | None


class AlertsQuery(BaseModel):
    """Paginação."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=500)
    cursor: int | None = Field(None, ge=1, le=2**63 - 1, description="`next_cursor` da página anterior")


class ChannelOutcome(BaseModel):
    """O que houve com a mensagem de teste num canal."""

    channel: str
    delivered: bool
    error: str | None


class AlertTest(BaseModel):
    """A mensagem de teste, canal por canal."""

    channels: list[ChannelOutcome]
