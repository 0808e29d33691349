"""What the endpoints of destinations take and answer."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.models.sync import Moment

DestinationState = Literal["ok", "running", "waiting", "held", "stopped", "paused", "missing", "invalid"]
DeliveryMode = Literal["diferencas", "tudo", "rejeitados"]
RecordState = Literal["devido", "enviado", "enviando", "rejeitado"]
STORABLE = r"^[^\x00]+$"
"""Texts without NUL, which PostgreSQL refuses."""
LONGEST_KEY = 500
RecordKey = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY, pattern=STORABLE)]
MOST_KEYS = 1000


class FileFault(BaseModel):
    """O que não vale em um arquivo da configuração."""

    file: str
    line: int | None
    message: str


class DestinationStream(BaseModel):
    """Um fluxo: os registros de uma entidade que um destino recebe."""

    name: str
    entity: str
    label: str = Field(description="o nome da entidade, para pessoas")
    owed: int = Field(description="registros devidos, contados na última entrega")
    oldest_owed_at: Moment | None = Field(description="desde quando o mais antigo deles é devido")
    rejected: int = Field(description="registros rejeitados que ainda não foram aceitos")
    cursor_at: Moment | None = Field(description="até quando as mudanças já foram vistas")
    full_at: Moment | None = Field(description="quando todos os registros foram comparados pela última vez")


class DestinationSummary(BaseModel):
    """Um destino: o que ele é está em arquivos; o que houve com ele, aqui."""

    name: str
    kind: Literal["http", "amqp"] | None = Field(description="`null` quando o arquivo não existe mais, ou nunca valeu")
    preset: str | None
    host: str | None = Field(description="para onde se envia; `null` quando o endereço é um segredo")
    state: DestinationState = Field(
        description="`ok`; `running`: enviando; `waiting`: o destino falhou e se tenta de novo em `retry_at`; `held`: "
        "uma entrega espera confirmação; `stopped`: o destino não quer mais receber; `paused`: em pausa; `missing`: o "
        "arquivo sumiu; `invalid`: o arquivo tem erros"
    )
    job_id: int | None = Field(description="a entrega em andamento")
    cron: str | None
    after: Literal["update"] | None = Field(description="`update`: também depois de cada atualização")
    next_run: Moment | None = Field(description="`null` em pausa, ou sem arquivo")
    streams: list[DestinationStream]
    owed: int | None = Field(description="registros devidos, contados na última entrega")
    owed_counted_at: Moment | None = Field(description="quando isso foi contado")
    oldest_owed_at: Moment | None = Field(description="desde quando o mais antigo deles é devido")
    rejected: int
    last_success_at: Moment | None
    failing_since: Moment | None
    failures: int = Field(description="falhas seguidas do destino")
    retry_at: Moment | None
    last_error: str | None
    stopped_at: Moment | None
    stopped_reason: str | None
    paused_at: Moment | None
    paused_by: str | None
    pause_reason: str | None
    missing_since: Moment | None
    faults: list[FileFault]


class Destinations(BaseModel):
    """Os destinos, por nome."""

    destinations: list[DestinationSummary]
    faults: list[FileFault] = Field(description="de arquivos que não são de um destino")
    workers: int = Field(description="processos que fazem entregas")
    hint: str | None = Field(description="o que fazer onde não há nenhum")


class DeliveryRequest(BaseModel):
    """Pedido de entrega de uma entidade."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{}, {"destino": "crm", "modo": "tudo", "chaves": ["00394460005887-1-000123/2026"]}]
        },
    )

    destino: str | None = Field(
        None, min_length=1, max_length=100, description="pode faltar onde só um destino recebe a entidade"
    )
    modo: DeliveryMode = Field(
        "diferencas",
        description="`diferencas`: o que o destino ainda não tem assim; `tudo`: também o que ele já tem; `rejeitados`: "
        "de novo o que foi recusado",
    )
    chaves: list[RecordKey] | None = Field(None, min_length=1, max_length=MOST_KEYS, description="só estes registros")


class RepeatRequest(BaseModel):
    """Pedido de repetir registros rejeitados; sem chaves, todos."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{}, {"chaves": ["00394460005887-1-000123/2026"]}]}
    )

    chaves: list[RecordKey] | None = Field(None, min_length=1, max_length=MOST_KEYS, description="só estes")


class DeliveryAccepted(BaseModel):
    """O pedido de entrega foi aceito."""

    success: bool
    message: str = Field(examples=["Entrega a crm iniciada"])
    request_id: str = Field(description="o identificador do trabalho", examples=["42"])


class PreviewedRecord(BaseModel):
    """Um registro como seria enviado, ou por que não pode ser montado."""

    key: str | None
    version: Moment | None = Field(description="a última mudança do registro")
    content: str | None = Field(description="JSON, ou uma linha de mensagem")
    reason: str | None = Field(description="por que o registro seria rejeitado")


class StreamPreview(BaseModel):
    """O que um fluxo enviaria agora."""

    name: str
    entity: str
    owed: int | None = Field(description="registros devidos agora; `null` se a contagem demora mais de 5 segundos")
    records: list[PreviewedRecord] | None = Field(
        description="até cinco, os mudados por último; `null` se a consulta demora mais de 5 segundos"
    )


class Preview(BaseModel):
    """O que um destino receberia; nada é enviado."""

    destination: str
    streams: list[StreamPreview]


class RejectedDeliveriesQuery(BaseModel):
    """Página dos rejeitados."""

    model_config = ConfigDict(extra="forbid")

    limite: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(
        None,
        min_length=3,
        max_length=LONGEST_KEY + 20,
        pattern=STORABLE,
        description="`next_cursor` da página anterior",
    )


class RejectedDelivery(BaseModel):
    """Um registro que o destino recusou, ou que não pôde ser montado."""

    stream: str
    entity: str
    key: str
    reason: str | None
    tries: int = Field(description="recusas seguidas")
    since: Moment | None = Field(description="desde quando é recusado")
    last_try_at: Moment | None
    content: str | None = Field(
        description="como seria enviado agora: JSON, ou uma linha de mensagem; só para administradores"
    )


class RejectedDeliveries(BaseModel):
    """Registros rejeitados de um destino."""

    records: list[RejectedDelivery]
    total: int
    next_cursor: Annotated[str | None, Field(description="`null` na última página")]


class TracedRequest(BaseModel):
    """Um pedido enviado ao destino com o registro."""

    batch: int
    job_id: int
    state: Literal["open", "accepted", "partial", "split", "refused", "abandoned"]
    records: int = Field(description="registros no mesmo pedido")
    tries: int
    created_at: Moment
    settled_at: Moment | None
    status: int | None = Field(description="o status HTTP da última resposta")
    error: str | None
    answer: str | None = Field(description="o começo da última resposta; só para administradores")


class TracedStream(BaseModel):
    """O que houve com o registro em um fluxo."""

    destination: str
    stream: str
    state: RecordState
    version: Moment | None = Field(description="a versão do registro que foi decidida por último")
    sent_at: Moment | None = Field(description="quando o destino respondeu por último")
    tries: int = Field(description="recusas seguidas")
    reason: str | None
    requests: list[TracedRequest] = Field(description="os últimos, do mais novo para o mais antigo")


class RecordTrace(BaseModel):
    """Para onde foi um registro."""

    entity: str
    key: str
    streams: list[TracedStream] = Field(description="vazia se nenhum destino o recebeu, nem o recusou")
