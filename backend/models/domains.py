"""What the endpoints of domain tables answer."""

from typing import Literal

from pydantic import BaseModel, Field

from backend.models.sync import Moment


class DomainListed(BaseModel):
    """Uma tabela de domínio."""

    tabela: str
    entradas: int = Field(description="na tabela do portal; 0 se ele não tem uma, ou se ainda não foi lida")
    ausentes: int = Field(description="das que já não estão nela")
    vista_em: list[str] = Field(description="as tabelas do espelho cujos registros usam os seus códigos")


class Domains(BaseModel):
    """As tabelas de domínio: as do portal, e códigos de que ele não tem tabela."""

    tabelas: list[DomainListed]


class SeenName(BaseModel):
    """Um nome com que os registros chamam o código."""

    nome: str | None
    registros: int


class DomainEntry(BaseModel):
    """Um código, como o portal o chama e como os registros o chamam."""

    codigo: str
    nome: str | None = Field(description="na tabela do portal; nulo se não está nela")
    descricao: str | None
    ativo: bool | None
    ausente_desde: Moment | None = Field(description="desde quando falta na tabela do portal")
    registros: int
    nomes: list[SeenName] = Field(description="do mais frequente ao menos")
    divergencia: Literal["fora_da_tabela", "sem_registros", "outro_nome"] | None = Field(
        description="em que tabela e registros não concordam; nula também onde o portal não tem tabela"
    )


class Domain(BaseModel):
    """Uma tabela de domínio e o uso dos seus códigos."""

    tabela: str
    vista_em: list[str]
    estimado: bool = Field(description="os registros foram contados numa amostra; nomes raros podem faltar")
    incompleta: bool = Field(description="contar levaria tempo demais: faltam registros")
    entradas: list[DomainEntry]
