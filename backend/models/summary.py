"""What the summary of an entity takes and answers, and what facets are."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from backend.models.coverage import parse_day

Group = Literal["dia", "mes", "uf", "esfera", "modalidade", "tipo", "receita", "plataforma"]
MOST_DAYS = 366
_DAY = r"^\d{4}-\d{2}-\d{2}$"


def _split(values: object) -> object:
    """Several values by repetition or commas, as a list."""
    if not isinstance(values, list):
        return values
    return [part.strip() for value in values for part in (value.split(",") if isinstance(value, str) else [value])]


Texts = Annotated[list[str], BeforeValidator(_split), Field(max_length=50)]
Codes = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], BeforeValidator(_split), Field(max_length=50)]


class SummaryQuery(BaseModel):
    """Filtros e agrupamentos; vários valores por repetição ou vírgula."""

    model_config = ConfigDict(extra="forbid")

    agrupar: Annotated[list[Group], BeforeValidator(_split)] | None = Field(
        None,
        description=f"por que somar; sem ele: mês, UF, modalidade ou tipo, e plataforma. `dia` pede no máximo"
        f" {MOST_DAYS} dias",
    )
    uf: Texts = Field([], description="sigla da UF da unidade")
    esfera: Texts = Field([], description="esfera do órgão: F, E, M ou D")
    modalidade: Codes = Field([], description="código da modalidade")
    tipo: Codes = Field([], description="código do tipo de contrato ou de instrumento de cobrança")
    plataforma: Annotated[list[str], Field(max_length=50)] = Field(
        [], description="sistema que publicou; os primeiros 100 caracteres do nome, vários só por repetição"
    )
    empenhos: bool = Field(True, description="`false`: sem os contratos que são empenhos")
    data_publicacao_de: str | None = Field(None, pattern=_DAY, description="primeiro dia, `YYYY-MM-DD`")
    data_publicacao_ate: str | None = Field(None, pattern=_DAY, description="último dia, `YYYY-MM-DD`")

    @model_validator(mode="after")
    def _check(self) -> Self:
        first, last = self.span
        if first and last and first > last:
            raise ValueError("data_publicacao_de deve ser anterior ou igual a data_publicacao_ate")
        if "dia" in (self.agrupar or ()) and not (first and last and (last - first).days < MOST_DAYS):
            raise ValueError(
                f"agrupar por dia pede data_publicacao_de e data_publicacao_ate, no máximo {MOST_DAYS} dias"
            )
        return self

    @property
    def span(self) -> tuple[date | None, date | None]:
        """First and last day, each where it is given."""
        first, last = self.data_publicacao_de, self.data_publicacao_ate
        return (
            parse_day(first, "data_publicacao_de") if first else None,
            parse_day(last, "data_publicacao_ate") if last else None,
        )

    @property
    def filters(self) -> Mapping[str, Sequence[Any]]:
        """The values of each dimension that is filtered by."""
        given = {name: getattr(self, name) for name in ("uf", "esfera", "modalidade", "tipo", "plataforma")}
        return {name: values for name, values in given.items() if values}


class Sums(BaseModel):
    """Quantos registros, e quanto somam; os valores são decimais exatos, em texto, e nulos onde não há."""

    registros: int
    valor_estimado: Decimal | None = Field(None, description="de contratações: o valor total estimado")
    valor_homologado: Decimal | None = Field(None, description="de contratações: o valor total homologado")
    valor_global: Decimal | None = Field(None, description="de contratos: o valor global, sem os de receita")
    valor_receita: Decimal | None = Field(None, description="de contratos: o valor global dos de receita")


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


class FacetValue(BaseModel):
    """Um valor e quantos registros o têm."""

    valor: str | None
    registros: int


class Facet(BaseModel):
    """Os valores de uma coluna, contados com todos os filtros menos o dela mesma."""

    valores: list[FacetValue] = Field(description="os 50 mais frequentes")
    outros: int = Field(description="quantos valores há além desses")
    incompleta: bool = Field(description="contar levaria tempo demais, e não há valores")
