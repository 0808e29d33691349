"""What the endpoints of imports and of single records take and answer."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.models.destinations import STORABLE
from backend.models.problem import Problem
from backend.models.sync import Moment

Door = Literal["api", "file", "folder", "page", "sql"]
ImportState = Literal["receiving", "received", "checked", "processing", "done", "refused", "discarded"]
ImportPhase = Literal["receiving", "queued", "checking", "held", "processing", "done", "refused", "discarded"]
RowState = Literal["pending", "processed", "unchanged", "rejected"]
RowAction = Literal["create", "change", "none", "remove"]
YesOrNo = Literal["sim", "nao"]
ROW_CURSOR = r"^[0-9]{1,10}:[a-z][a-z0-9_]{0,99}$"


class RejectedCell(BaseModel):
    """Um valor que não serve."""

    row: int = Field(description="o número da linha, como na planilha, ou a partir de 1 na ordem do pedido")
    entity: str = Field(description="a entidade; o layout, quando a linha não pôde ser lida")
    column: str = Field(description="vazia quando se trata da linha inteira")
    value: str = Field(description="o valor como veio, no máximo 100 letras")
    code: str = Field(description="o mesmo em qualquer versão", examples=["check_digits"])
    message: str


class ImportAccepted(BaseModel):
    """Um pedido de importação que foi gravado, e será processado."""

    success: bool
    message: str
    import_id: int
    request_id: str = Field(description="o trabalho, em `/jobs/{id}`")


class RecordsAccepted(ImportAccepted):
    """Registros que foram gravados e serão processados; e os que não foram aceitos."""

    accepted: int = Field(description="registros aceitos")
    rejected: list[RejectedCell]


class RecordsRefused(Problem):
    """Nenhum registro foi aceito."""

    import_id: int
    accepted: int = 0
    rejected: list[RejectedCell]


class UploadQuery(BaseModel):
    """Como um arquivo é recebido."""

    model_config = ConfigDict(extra="forbid")

    nome: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f/\\]+$",
        description="o nome do arquivo, com a extensão: xlsx, ods, xls ou csv",
        examples=["compras-2026.xlsx"],
    )
    confirmar: YesOrNo = Field(
        "sim", description="`sim`: as linhas só são gravadas depois de `POST /imports/{id}/confirm`"
    )
    repetir: bool = Field(False, description="importa de novo um arquivo que já foi importado")


class ImportsQuery(BaseModel):
    """Filtros das importações."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200)
    layout: str | None = Field(None, min_length=1, max_length=100, pattern=STORABLE)
    state: ImportState | None = None
    door: Door | None = Field(None, description="por onde veio")
    cursor: int | None = Field(None, ge=1, le=2**63 - 1, description="`next_cursor` da página anterior")


class ImportCounts(BaseModel):
    """As linhas de uma importação: `rows` é a soma das quatro seguintes."""

    rows: int
    pending: int = Field(description="as que ainda não foram processadas, ou esperam um registro a que se referem")
    processed: int
    unchanged: int = Field(description="as que dizem o que já se sabia")
    rejected: int
    created: int = Field(description="das processadas, as que criaram um registro")
    changed: int = Field(description="das processadas, as que mudaram um registro")


class Import(ImportCounts):
    """Uma importação: um arquivo, ou os registros de um pedido."""

    id: int
    job_id: int | None = Field(description="o trabalho, em `/jobs/{id}`; `null` quando não houve nenhum")
    door: Door = Field(
        description="`api`: registros em JSON; `file`: arquivo de um programa; `page`: da página; `folder`: da pasta; "
        "`sql`: de um banco de dados"
    )
    layout: str
    state: ImportState
    phase: ImportPhase = Field(description="o que acontece agora; `held`: espera confirmação")
    needs_confirmation: bool
    file_name: str | None
    file_bytes: int | None
    fault_code: str | None
    fault: str | None = Field(description="por que foi recusada")
    requested_by: str | None
    confirmed_by: str | None
    created_at: Moment
    checked_at: Moment | None
    confirmed_at: Moment | None
    ended_at: Moment | None


class ImportPreview(BaseModel):
    """O que as linhas de uma entidade fazem, ou fizeram."""

    entity: str
    rows: int
    create: int = Field(description="linhas que criam um registro; de uma chave repetida, na prévia só a última conta")
    change: int = Field(description="linhas que mudam um registro")
    none: int = Field(description="linhas que não mudam nada")
    remove: int = Field(description="registros removidos")
    rejected: int
    waiting: int = Field(description="linhas que esperam um registro a que se referem")
    unknown: int = Field(description="linhas de que ainda não se sabe")
    repeated: int = Field(description="chaves que estão em mais de uma linha do arquivo; vale a última")


class ImportDetail(Import):
    """Uma importação, com a prévia."""

    notes: dict[str, Any] = Field(description="o que se viu no arquivo: colunas desconhecidas, chaves repetidas, ...")
    preview: list[ImportPreview]


class Imports(BaseModel):
    """Importações, da mais nova para a mais antiga."""

    imports: list[Import]
    next_cursor: Annotated[str | None, Field(description="`null` na última página")]


class ImportFigures(BaseModel):
    """As importações em números."""

    today: int = Field(description="recebidas hoje, no horário de Brasília, sem as leituras de bancos de dados")
    held: int = Field(description="esperam confirmação")
    running: int = Field(description="recebidas, e ainda não terminadas nem à espera de confirmação")
    waiting_rows: int = Field(description="linhas que esperam um registro a que se referem; no máximo 100.000")
    rejected_rows: int = Field(description="linhas recusadas das importações dos últimos sete dias")
    refused: int = Field(description="arquivos recusados por inteiro nos últimos sete dias")


class ImportRowsQuery(BaseModel):
    """Filtros das linhas de uma importação."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1000)
    state: RowState | None = None
    entidade: str | None = Field(None, min_length=1, max_length=100, pattern=STORABLE)
    cursor: str | None = Field(None, pattern=ROW_CURSOR, description="`next_cursor` da página anterior")


class RowError(BaseModel):
    """Por que uma linha foi recusada."""

    column: str
    value: str
    code: str
    message: str


class RecordReference(BaseModel):
    """Um registro, pela entidade e pela chave."""

    entity: str
    key: str


class ImportRow(BaseModel):
    """Uma linha, como registro de uma entidade."""

    row: int
    entity: str
    key: str | None = Field(description="`null` quando não pôde ser lida")
    state: RowState
    action: RowAction | None = Field(description="o que faz, ou fez, com o registro")
    data: dict[str, Any] | None
    errors: list[RowError]
    waits_for: RecordReference | None = Field(description="o registro que falta")


class ImportRows(BaseModel):
    """Linhas de uma importação, na sua ordem."""

    rows: list[ImportRow]
    next_cursor: Annotated[str | None, Field(description="`null` na última página")]


class RecordImport(BaseModel):
    """Uma importação por que um registro passou."""

    import_id: int
    row: int
    door: Door
    file_name: str | None
    requested_by: str | None
    created_at: Moment
    state: RowState
    action: RowAction | None


class ReferringRecord(RecordReference):
    """Um registro que se refere a outro, e por qual coluna."""

    column: str


class DeclaredRecord(BaseModel):
    """Um registro de uma entidade declarada, e por onde veio."""

    entity: str
    key: str
    data: dict[str, Any]
    created_at: Moment
    updated_at: Moment = Field(description="quando o conteúdo mudou pela última vez")
    removed_at: Moment | None
    source: str | None = Field(description="o banco de dados de que é lido")
    refers_to: list[ReferringRecord]
    referred_by: list[ReferringRecord] = Field(description="alguns dos registros que se referem a ele")
    referred_count: int = Field(description="quantos são, sem os removidos")
    imports: list[RecordImport] = Field(description="as mais novas primeiro")


class RecordRemoved(BaseModel):
    """Um registro que foi removido."""

    success: bool
    message: str
    import_id: int = Field(description="a importação de uma linha que o diz")
