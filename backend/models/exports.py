"""What the endpoints of exports take and answer."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from backend.models.sync import Moment
from backend.services.entities.documentation import MIRROR
from backend.services.entities.question import LONGEST_VALUE, MOST_VALUES
from backend.services.exports.formats import FORMATS
from common.entities.entity import ENTITIES_BY_ADDRESS

State = Literal["na_fila", "lendo", "convertendo", "pronta", "erro", "expirada"]


def _format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"{name[:50]!r} não existe: use {' ou '.join(FORMATS)}")
    return name


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float) or len(str(value)) > LONGEST_VALUE:
        raise ValueError("filtros: um valor é um texto, um número, true ou false, ou uma lista deles")
    return _encodable(str(value))


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("um texto tem um caractere que não é aceito") from None
    return text


def _values(value: object) -> list[str]:
    """The values of a filter as texts, as a query string has them."""
    values = [_text(each) for each in (value if isinstance(value, list) else [value])]
    if not 0 < len(values) <= MOST_VALUES:
        raise ValueError(f"filtros: um filtro tem de 1 a {MOST_VALUES} valores")
    return values


_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"], "maxLength": LONGEST_VALUE}
Values = Annotated[
    list[str],
    BeforeValidator(_values),
    WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": MOST_VALUES}]}),
]
LONGEST_NAME = 60
"""So that one name too many is refused for that: 200 of them fit into the longest body."""
Word = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_encodable)]
EntityAddress = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=LONGEST_NAME, examples=list(ENTITIES_BY_ADDRESS)),
]
"""Which lists there are changes with the files of connections."""
FormatName = Annotated[str, AfterValidator(_format), WithJsonSchema({"type": "string", "enum": list(FORMATS)})]


class ExportRequest(BaseModel):
    """O que exportar: a mesma pergunta que a lista da entidade responde, inteira, num arquivo."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"entidade": "contratos", "formato": "csv", "filtros": {"uf": ["SC", "PR"], "ano": 2026}}]
        },
    )

    entidade: EntityAddress = Field(description="o endereço da lista, sem a barra")
    formato: FormatName
    filtros: dict[Word, Values] = Field(
        default_factory=dict, max_length=MOST_VALUES, description="os da lista: por nome, um valor ou vários"
    )
    campos: list[Word] | None = Field(
        None, min_length=1, max_length=MOST_VALUES, description="quais, e em que ordem; sem isto, todos menos os JSON"
    )
    ordem: Word | None = Field(None, description="como em `ordem` da lista")
    excel: bool = Field(
        default=False,
        strict=True,
        description="só `csv`: como o Excel em português o espera (`;`, vírgula decimal, BOM)",
    )
    dados_pessoais: bool = Field(default=False, strict=True, description="CPFs por inteiro; só para administradores")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.excel and self.formato != "csv":
            raise ValueError("excel: só vale para o formato csv")
        return self


class Export(BaseModel):
    """Uma exportação, e como ela vai."""

    id: int
    estado: State = Field(
        description="`na_fila`, `lendo` (do banco de dados), `convertendo` (para o formato), `pronta`; `erro`;"
        " `expirada`: o arquivo não existe mais"
    )
    entidade: str
    formato: str
    filtros: dict[str, list[str]]
    campos: list[str] | None
    ordem: str | None
    excel: bool
    dados_pessoais: bool
    solicitante: str | None = Field(description="quem pediu; nulo sem autenticação")
    registros: int = Field(description="quantos registros há; dito antes, e exato quando todos foram lidos")
    registros_tipo: Literal["exato", "estimado"]
    registros_feitos: int = Field(description="lidos ou, durante `convertendo`, convertidos")
    percentual: float = Field(description="0 a 100, das duas etapas juntas")
    bytes: int = Field(description="o tamanho do arquivo; antes do fim, o que ocupa no disco")
    segundos_restantes: float | None = Field(description="nulo enquanto não se sabe")
    avisos: list[str] = Field(description="limites do formato que este pedido alcança, ditos antes")
    espelho: Annotated[dict[str, Any], WithJsonSchema(MIRROR)] = Field(
        description="se o espelho tem tudo do que foi pedido; depois da leitura, no instante dela"
    )
    arquivo: str | None = Field(description="o nome do arquivo, que está em `/exportacoes/{id}/arquivo`")
    causa: str | None = Field(
        description="por que falhou: `disco_cheio`, `limite`, `banco`, `interrompida`, `pedido`, `inesperada`"
    )
    erro: str | None = Field(description="o mesmo numa frase")
    criada_em: Moment
    iniciada_em: datetime | None
    terminada_em: datetime | None
    expira_em: datetime | None


class Exports(BaseModel):
    """Exportações, da mais nova para a mais antiga."""

    exportacoes: list[Export]
    proximo: str | None = Field(description="o `cursor` da próxima página; nulo na última")


class ExportsQuery(BaseModel):
    """Paginação."""

    model_config = ConfigDict(extra="forbid")

    limite: int = Field(50, ge=1, le=500)
    cursor: int | None = Field(None, ge=1, le=2**63 - 1, description="`proximo` da página anterior")
