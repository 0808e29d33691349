"""What the summary of the reconciliation answers."""

from datetime import date

from pydantic import BaseModel, Field

from backend.models.entities import Mirror
from backend.models.summary import Amount


class ReconciledSums(BaseModel):
    """Quantas linhas, e quanto somam; os valores são decimais exatos, em texto, e nulos onde não há."""

    registros: int
    atrasadas: int = Field(description="quantas passaram do prazo de publicação, também com outro valor")
    valor_proprio: Amount | None
    valor_pncp: Amount | None = Field(
        description="cada contratação uma vez; a de compras em situações diferentes, em partes iguais"
    )
    diferenca: Amount | None = Field(
        description="a soma das diferenças: valor próprio menos o do PNCP, uma vez por contratação"
    )
    diferenca_absoluta: Amount | None = Field(description="a soma das diferenças sem sinal, que não se anulam")


class OfSituation(ReconciledSums):
    """As somas de uma situação."""

    situacao: str
    rotulo: str = Field(description="o que quer dizer, por extenso")


class OfMonth(BaseModel):
    """Quantas linhas de cada situação, em um mês."""

    mes: date | None = Field(description="o primeiro dia do mês da assinatura, ou da publicação; nulo: sem data")
    situacoes: dict[str, int]


class OfOrgao(BaseModel):
    """Quantas linhas de cada situação, em um órgão."""

    orgao_cnpj: str | None
    orgao_nome: str | None
    situacoes: dict[str, int]


class Reconciled(BaseModel):
    """A conciliação em números."""

    prazo_dias: int = Field(description="quantos dias depois da assinatura uma compra tem de estar publicada")
    situacoes: list[OfSituation] = Field(description="todas, da mais grave para a menos, também as de nenhuma linha")
    meses: list[OfMonth] = Field(description="em ordem; os últimos 60")
    orgaos: list[OfOrgao] = Field(description="os 50 com mais linhas")
    espelho: Mirror
