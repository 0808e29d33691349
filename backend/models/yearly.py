"""What the endpoints of files of whole years answer."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from backend.models.sync import Moment
from backend.services.entities.documentation import MIRROR


class YearFile(BaseModel):
    """Um arquivo: todos os registros de um ano de uma entidade."""

    nome: str
    endereco: str
    entidade: str
    ano: int | None = Field(description="nulo: a entidade não tem anos, e o arquivo tem tudo")
    formato: str
    registros: int
    bytes: int
    sha256: str
    espelho: Annotated[dict[str, Any], WithJsonSchema(MIRROR)] = Field(
        description="se o espelho tinha tudo do ano, no instante em que os registros foram lidos"
    )
    feito_em: Moment
    verificado_em: Moment = Field(description="até quando se sabe que os registros não mudaram desde então")


class Round(BaseModel):
    """Uma geração dos arquivos."""

    id: int
    solicitante: str | None = Field(description="quem pediu; nulo: o horário, ou sem autenticação")
    pedida_em: Moment
    iniciada_em: datetime | None
    terminada_em: datetime | None
    arquivos_feitos: int
    arquivos_iguais: int = Field(description="os que não mudaram")
    erro: str | None


class YearFiles(BaseModel):
    """Os arquivos prontos, e como se fazem."""

    arquivos: list[YearFile]
    geracao: Round | None = Field(description="a última, ou a que está em andamento")
    horario: str = Field(description="quando são feitos (FILES_CRON), no horário de Brasília; `off`: só a pedido")
    proxima: datetime | None
    dataset: dict[str, Any] = Field(description="os mesmos arquivos como `Dataset` de schema.org, em JSON-LD")
