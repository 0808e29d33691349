"""What the endpoints of lists that are read later take and answer."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from backend.models.sync import Moment
from common.lists import NONE, Scope, parse_scope
from common.resources import LATER_SERVICES


def _known_list(name: str) -> str:
    if name not in LATER_SERVICES:
        raise ValueError(f"não é uma lista: use {', '.join(LATER_SERVICES)}")
    return name


def _scope(written: str) -> str:
    try:
        parse_scope(written)
    except ValueError as error:
        raise ValueError(
            "não é um escopo: use nenhum, tudo, ou filtros como uf=SP,MG;cnpj=...;modalidade=6,8;dias=30"
            f" (detalhe técnico: {error})"
        ) from None
    return written


ListName = Annotated[str, AfterValidator(_known_list), WithJsonSchema({"type": "string", "enum": list(LATER_SERVICES)})]


class ListRequest(BaseModel):
    """Pedido de leitura da lista de um registro."""

    model_config = ConfigDict(extra="forbid")

    list: ListName = Field(description="`arquivos` e `historico` valem para contratações e contratos")
    numero_controle_pncp: str = Field(max_length=100)


class ListAccepted(BaseModel):
    """O que foi aceito: a lista é lida antes das outras, ou já foi lida há pouco."""

    list: str
    resource: str
    numero_controle_pncp: str
    status: Literal["asked", "read"] = Field(
        description="`asked`: espera por um ingestor; `read`: foi lida há menos de uma hora, e não é lida de novo"
    )
    asked_at: Moment | None = Field(description="desde quando espera, também se outra pessoa pediu antes")
    read_at: Moment | None = Field(description="quando foi lida por inteiro; nulo se a versão atual ainda não foi")
    requests: int | None = Field(
        description="a quantos pedidos ao portal vem; nulo enquanto faltam os itens, que dizem quais têm resultado"
    )


class ListPlanRequest(BaseModel):
    """De que listas: todas, como estão configuradas, ou uma, num escopo seu."""

    model_config = ConfigDict(extra="forbid")

    list: ListName | None = None
    scope: Annotated[str, Field(max_length=10_000), AfterValidator(_scope)] | None = Field(
        None, description="como em PNCP_RESULTADOS; vazio, o que está configurado", examples=["uf=SP,MG;dias=30"]
    )

    @property
    def wanted(self) -> Scope | None:
        """The scope that was asked about."""
        scope = parse_scope(self.scope or NONE)
        assert scope is None or isinstance(scope, Scope)  # noqa: S101  # of text it is
        return scope


class PlannedList(BaseModel):
    """Uma lista de um recurso."""

    list: str
    resource: str
    scope: str
    owed: int = Field(description="registros cuja lista está por ler")
    set_aside: int = Field(description="os que falharam demais e não são mais tentados")
    new: int = Field(description="registros do escopo cuja lista ainda não foi lida nem está por ler")
    requests: int = Field(description="pedidos ao portal, dos que estão por ler e dos novos, no mínimo")
    hours: float = Field(description="quanto leva no ritmo configurado, se nada mais corre")


class ListPlan(BaseModel):
    """O que a leitura vem a ser; conta os registros que o espelho já tem."""

    requests_per_second: float
    lists: list[PlannedList]
    requests: int
    hours: float
