"""What the endpoint of an entity's description answers."""

from typing import Literal

from pydantic import BaseModel, Field

Kind = Literal["texto", "inteiro", "codigo", "numero", "booleano", "dia", "momento", "json"]
Form = Literal["valores", "desde", "ate", "condicao", "com_valor", "palavras"]


class DescribedFilter(BaseModel):
    """Um filtro."""

    nome: str
    rotulo: str
    tipo: Kind
    forma: Form = Field(
        description="`valores`: um ou vários; `desde` e `ate`: as pontas de um intervalo; `condicao`: sim ou não;"
        " `com_valor`: uma condição sobre um valor; `palavras`: uma busca"
    )
    indice: bool = Field(description="um índice conduz a busca por ele")
    faceta: bool = Field(description="`/{entidade}/facetas` conta os seus valores")
    dominio: str | None = Field(description="a tabela de `/dominios/{tabela}` que dá nome aos códigos")


class DescribedField(BaseModel):
    """Um campo dos registros."""

    nome: str
    rotulo: str
    tipo: Kind
    refere: str | None = Field(
        None,
        description="o endereço da lista cuja chave é o valor; `controle` onde ele é um número de controle do PNCP",
    )


class DescribedOrder(BaseModel):
    """Uma ordem."""

    nome: str
    rotulo: str
    decrescente: bool = Field(description="a direção de quem não pede outra")


class DescribedFormat(BaseModel):
    """Um formato de arquivo e os seus limites."""

    nome: str
    registros_na_hora: int = Field(description="até quantos vêm na hora; acima disso, `POST /exportacoes`")
    registros: int | None = Field(description="quantos o formato aceita ao todo; nulo: sem limite")
    registros_por_planilha: int | None = Field(description="acima disso, o arquivo tem várias planilhas")


class Description(BaseModel):
    """O que se pode pedir de uma lista."""

    entidade: str
    endereco: str
    rotulo: str
    titulo: str = Field(description="o campo que diz em palavras o que é o registro")
    colunas: list[str] = Field(description="os campos que cabem em uma página, em ordem")
    facetas: list[str] = Field(description="as que `/{entidade}/facetas` conta se nenhuma é pedida")
    filtros: list[DescribedFilter]
    campos: list[DescribedField]
    ordens: list[DescribedOrder] = Field(description="a primeira é a de quem não pede outra")
    formatos: list[DescribedFormat]
