"""What the summary of an entity takes and answers, and what facets are."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field, PlainSerializer

from backend.models.entities import Mirror

Group = Literal["dia", "mes", "uf", "esfera", "modalidade", "tipo", "receita", "plataforma"]
GROUPS: tuple[Group, ...] = get_args(Group)
Amount = Annotated[Decimal, PlainSerializer(lambda amount: format(amount, "f"), return_type=str, when_used="json")]
"""An exact decimal, in JSON a text without an exponent, which the driver's decimals may have."""


class Sums(BaseModel):
    """Quantos registros, e quanto somam; os valores são decimais exatos, em texto, e nulos onde não há."""

    registros: int
    valor_estimado: Amount | None = Field(None, description="de contratações: o valor total estimado")
    valor_homologado: Amount | None = Field(None, description="de contratações: o valor total homologado")
    valor_global: Amount | None = Field(None, description="de contratos: o valor global, sem os de receita")
    valor_receita: Amount | None = Field(None, description="de contratos: o valor global dos de receita")
    mediana_estimado: Amount | None = Field(None, description="com `medianas`: a dos valores acima de zero")
    mediana_homologado: Amount | None = Field(None, description="o mesmo, do valor homologado")
    mediana_global: Amount | None = Field(None, description="o mesmo, do valor global, sem os contratos de receita")


class SummaryGroup(Sums):
    """As somas de um valor."""

    valor: str | None = Field(
        description="o dia, o primeiro dia do mês, a sigla, o código, `true`, `false` ou o nome; nulo: sem informação"
    )


class Summary(Sums):
    """Somas do que o espelho tem; nunca de contratações e contratos juntos."""

    entidade: str
    completo: bool = Field(description="`false` enquanto se conta o que foi gravado antes de haver resumo")
    contado_desde: date | None = Field(description="enquanto não está completo: o dia desde o qual tudo está contado")
    grupos: dict[Group, list[SummaryGroup]] = Field(description="dias e meses em ordem, o mais do maior para o menor")
    espelho: Mirror | None = None


class FacetValue(BaseModel):
    """Um valor e quantos registros o têm."""

    valor: str | None
    registros: int


class Facet(BaseModel):
    """Os valores de uma coluna, contados com todos os filtros menos o dela mesma."""

    valores: list[FacetValue] = Field(description="os 50 mais frequentes")
    outros: int = Field(description="quantos valores há além desses")
    incompleta: bool = Field(description="contar levaria tempo demais, e não há valores")


class Facets(BaseModel):
    """Quantos registros há de cada valor, por filtro."""

    facetas: dict[str, Facet]
    espelho: Mirror
