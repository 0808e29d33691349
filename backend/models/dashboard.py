"""What the dashboard answers: how fresh the mirror is, what runs, what failed, and how it has gone lately."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field, computed_field

from backend.models.sync import Mode, Moment, Progress, SyncExecution, SyncStatus
from backend.models.verdict import SyncVerdict
from common.lifecycle.causes import Cause


class Waiting(BaseModel):
    """Fatias que esperam para tentar de novo, em geral porque o portal falha."""

    slices: int
    next_try_at: Moment
    cause: Cause | None = Field(description="a causa do erro mais novo delas")
    error_message: str | None = Field(description="o erro mais novo delas")


class UnfinishedExecution(SyncExecution):
    """Uma execução em andamento."""

    progress: Progress
    waiting: Waiting | None


class ModalidadeFreshness(BaseModel):
    """Até quando o espelho tem as mudanças de uma modalidade."""

    modalidade: int | None = Field(description="`null`: o recurso não se divide")
    complete_until: Moment | None = Field(
        description="o mesmo que `updated_until`; `null` enquanto nenhum dia desde o início das atualizações foi lido"
        " por inteiro"
    )
    age_seconds: float | None
    updated_until: Moment | None = Field(
        description="até quando as mudanças foram lidas sem lacuna; `null`: nenhuma atualização terminou com sucesso"
    )
    updated_age_seconds: float | None


class Freshness(BaseModel):
    """Até quando o espelho está atualizado, e até quando está completo: valem as piores modalidades.

    Contam as modalidades da atualização planejada mais nova, entre as últimas duas mil execuções. Uma lacuna entre duas
    atualizações só deixa de contar depois de lida.
    """

    complete_until: Moment | None = Field(
        description="`null`: alguma modalidade não tem atualização, ou nenhum dia lido por inteiro desde a primeira"
    )
    age_seconds: float | None
    updated_until: Moment | None = Field(description="`null`: falta a primeira atualização de alguma modalidade")
    updated_age_seconds: float | None
    modalidades: list[ModalidadeFreshness]


class ResourceFreshness(Freshness):
    """O mesmo, de um recurso; `modalidades` são as suas partes."""

    resource: str
    label: str = Field(description="o nome para pessoas")


class Worker(BaseModel):
    """Um ingestor visto nos últimos 90 segundos."""

    id: str
    started_at: Moment
    last_seen_at: Moment
    slices_running: int


class DayOfExecutions(BaseModel):
    """As execuções pedidas em um dia de Brasília."""

    day: date
    success: int
    error: int
    cancelled: int = Field(description="das com `error`, as que alguém cancelou")
    running: int
    records_processed: int = Field(description="das que terminaram")
    mean_seconds: float | None = Field(description="duração média das que terminaram")


class ModeStatistics(BaseModel):
    """Durações e registros das execuções de um modo que terminaram nos últimos 30 dias."""

    mode: Mode
    executions: int
    mean_seconds: float
    p95_seconds: float
    mean_records: float


class CommonError(BaseModel):
    """Um erro dos últimos 30 dias, com números e endereços trocados por `…`, para que iguais se somem.

    As execuções canceladas não contam.
    """

    cause: Cause
    message: str | None = Field(description="o erro da última delas")
    executions: int
    last_execution_id: int
    last_at: Moment


class FailedExecution(BaseModel):
    """Uma execução dos últimos sete dias que terminou com erro e que nada posterior supriu; os alertas contam o mesmo.

    Supre uma execução o que leu depois, por inteiro, tudo o que nela falhou: a sua repetição, outra carga dos mesmos
    dias, a atualização seguinte. Uma repetição que falhou fica no lugar do que repetiu. As canceladas não contam.
    """

    id: int
    resource: str
    mode: Mode
    trigger: str
    cause: Cause
    error_message: str | None
    finished_at: Moment | None
    can_retry: bool = Field(description="há fatias com erro, que `/retry` repete e nenhuma repetição está a ler")


class Rejections(BaseModel):
    """Os registros dos últimos 35 dias que não puderam ser gravados até agora."""

    records: int
    days: int = Field(description="dias de publicação que não estão completos por causa deles")
    first_day: date | None
    last_day: date | None


class SourceState(BaseModel):
    """Um serviço do portal que está em pausa, ou que não respondeu desde a última."""

    service: str = Field(
        description="o que falha por si: `consulta` (listagens de contratações), as de outro recurso, ou `itens`"
    )
    reason: str | None = Field(description="`throttled`, `blocked`, `refused`, `down`; `null`: pausa pedida (429)")
    cause: Cause | None = Field(description="por que, em uma palavra; a lista está em docs/operating.md")
    error_message: str | None = Field(description="a última falha, em palavras técnicas")
    failing_since: Moment | None
    next_try_at: Moment


class OwedCause(BaseModel):
    """Por que itens de um recurso faltam."""

    resource: str
    reason: Literal["unread", "empty"] = Field(
        description="`unread`: a lista não pôde ser lida; `empty`: veio vazia, o que nada confirma ainda"
    )
    cause: str | None = Field(description="o que houve com o registro mais recente, em inglês")
    records: int
    is_set_aside: bool = Field(description="há registros com esta causa que não são mais tentados")

    @computed_field(description="o mesmo que `records`, de um tempo em que só contratações tinham itens")  # type: ignore[prop-decorator]
    @property
    def contratacoes(self) -> int:
        """As `records`."""
        return self.records


class OwedCount(BaseModel):
    """Registros gravados sem os seus itens, que são lidos depois."""

    count: int
    since: Moment | None = Field(description="desde quando falta o mais antigo")
    unread: int = Field(description="os cuja lista não pôde ser lida")
    empty: int = Field(description="os cuja lista veio vazia, o que nada confirma ainda")
    set_aside: int = Field(description="os que falharam demais e não são mais tentados")
    cause: str | None = Field(description="o motivo mais comum, em inglês")


class ResourceOwed(OwedCount):
    """Os de um recurso."""

    resource: str
    label: str = Field(description="o nome dos itens, para pessoas")


class ItensOwed(OwedCount):
    """Os de todos os recursos que têm itens."""

    causes: list[OwedCause] = Field(description="por recurso e motivo, o mais comum primeiro")
    resources: list[ResourceOwed] = Field(description="por recurso, dos que têm algum")


class ListOwed(BaseModel):
    """Uma lista que é lida depois dos seus registros; nenhuma execução espera por ela."""

    list: str = Field(description="`resultados`, `arquivos`, `termos` ou `historico`")
    resource: str
    label: str = Field(description="o nome para pessoas")
    scope: str = Field(description="de que registros é lida: `nenhum`, `tudo` ou filtros, como em PNCP_RESULTADOS")
    owed: int = Field(description="registros cuja lista está por ler; acima de cem mil, uma estimativa")
    since: Moment | None = Field(description="desde quando espera o mais antigo; nulo onde se estima")
    set_aside: int | None = Field(description="os que falharam demais; nulo onde se estima")
    requests: int | None = Field(description="pedidos ao portal que faltam, no mínimo; nulo acima de dez mil registros")


class UnsearchedRows(BaseModel):
    """Linhas que a busca ainda não encontra; os ingestores preparam as suas palavras aos poucos."""

    table: str
    label: str = Field(description="o nome da tabela para pessoas")
    rows: int = Field(description="uma estimativa")


class DriftedField(BaseModel):
    """Um campo que veio em outro tipo: fica vazio na sua coluna, e o valor está em `payload`."""

    resource: str
    path: str
    kind: str = Field(description="o que veio: object, array, string, number, boolean; unfit: não cabe na coluna")
    records: int = Field(description="os que foram gravados assim")
    first_seen: Moment
    last_seen: Moment
    example: str = Field(description="o primeiro valor visto, como JSON, encurtado")


class TableSize(BaseModel):
    """Quantas linhas tem uma tabela do espelho, e quanto espaço ocupa."""

    table: str
    label: str = Field(description="o nome para pessoas")
    rows: int
    exact: bool = Field(description="acima de dez mil linhas, o número é a estimativa do PostgreSQL")
    bytes: int = Field(description="em disco, com os índices")


class SyncDashboard(BaseModel):
    """Tudo o que a página inicial mostra, em uma resposta."""

    total_executions: int
    success_rate: str = Field(description="das que terminaram, sem as canceladas", examples=["97.5%"])
    avg_duration_seconds: str = Field(description="das que terminaram", examples=["45.2"])
    last_24h_executions: int
    current_status: SyncStatus

    success_count: int
    error_count: int = Field(description="com as canceladas")
    cancelled_count: int
    running_count: int
    records_processed: int = Field(description="de todas as execuções que terminaram")
    records_per_execution: float
    mean_duration_seconds: float | None = Field(description="dos últimos 30 dias")
    p95_duration_seconds: float | None = Field(description="dos últimos 30 dias: 95% terminaram em menos")
    modes: list[ModeStatistics]
    days: list[DayOfExecutions] = Field(description="os últimos 30 dias, hoje o último")
    errors: list[CommonError]
    failed: list[FailedExecution] = Field(description="o que falhou e ainda pede atenção; os dez mais novos")
    failed_count: int = Field(description="todas as que falharam e ainda pedem atenção")
    failed_updates_count: int = Field(description="delas, as atualizações, que a próxima com sucesso supre")
    rejections: Rejections
    itens_owed: ItensOwed
    lists_owed: list[ListOwed] = Field(description="as listas que são lidas depois dos seus registros")
    unsearched: list[UnsearchedRows] = Field(description="por tabela, o que a busca ainda não encontra, se algo")
    drift: list[DriftedField] = Field(description="dos últimos sete dias")
    freshness: Freshness = Field(description="de contratações")
    resources: list[ResourceFreshness] = Field(description="o mesmo, de cada recurso que tem alguma atualização")
    unfinished: list[UnfinishedExecution]
    workers: list[Worker]
    mirror: list[TableSize]
    source: list[SourceState]
    source_paused_until: Moment | None = Field(description="o portal pediu uma pausa (429) até este instante")
    verdict: SyncVerdict = Field(description="o mesmo que GET /sync/verdict")
    generated_at: Moment
