"""What the endpoints of declared entities and of layouts answer."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from common.entities.declared import ColumnType


class DeclaredColumnShown(BaseModel):
    """Uma coluna."""

    nome: str
    rotulo: str
    tipo: ColumnType
    obrigatoria: bool
    refere: str | None = Field(description="a entidade cuja chave é o valor")


class DeclaredEntity(BaseModel):
    """Uma entidade declarada."""

    nome: str
    rotulo: str
    endereco: str = Field(description="o da lista, sem a barra")
    origem: Literal["produto", "arquivo"] = Field(description="vem com o produto, ou de um arquivo de `entities/`")
    recebe: bool = Field(description="aceita registros; falso para visões do banco de dados")
    chave: list[str] = Field(description="as colunas da chave")
    colunas: list[DeclaredColumnShown]
    layouts: list[str] = Field(description="como linhas viram registros dela: os nomes que `/intake/{entidade}` aceita")
    registros: int | None = Field(description="quantos há; nulo se a visão não pôde ser contada")
    registros_tipo: Literal["exato", "minimo"]
    alterada_em: datetime | None = Field(
        description="quando um registro mudou pela última vez, no horário de Brasília, sem fuso"
    )


class DeclaredEntities(BaseModel):
    """As entidades declaradas, por nome."""

    entidades: list[DeclaredEntity]


class LayoutColumn(BaseModel):
    """Uma coluna que uma planilha tem, ou um membro de um objeto."""

    nome: str
    entidade: str
    coluna: str
    obrigatoria: bool


class ShownLayout(BaseModel):
    """Como uma linha vira registros."""

    nome: str
    rotulo: str
    entidades: list[str]
    colunas: list[LayoutColumn]


class Layouts(BaseModel):
    """Os layouts, por nome; cada entidade que aceita registros tem um com o seu nome."""

    layouts: list[ShownLayout]
