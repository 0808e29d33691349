"""What the endpoints of saved searches take and answer."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from backend.config import MAIL_ADDRESS
from backend.models.exports import EntityAddress, Values, Word
from backend.models.sync import Moment
from backend.services.entities.documentation import MIRROR
from backend.services.entities.question import MOST_VALUES

LONGEST_NAME, LONGEST_EMAIL = 100, 254
_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def _name(value: str) -> str:
    name = " ".join(value.split())
    if not name or _UNSTORABLE.search(name):
        raise ValueError("nome deve ser um texto, sem caracteres de controle")
    return name


def _email(value: str) -> str:
    if not MAIL_ADDRESS.fullmatch(value):
        raise ValueError("email deve ser um endereço como ana@example.org, sem nome")
    return value


Name = Annotated[str, Field(max_length=LONGEST_NAME, description="para quem a lê"), AfterValidator(_name)]
Address = Annotated[str, Field(max_length=LONGEST_EMAIL, description="para onde vão mensagens"), AfterValidator(_email)]
Filters = Annotated[
    dict[Word, Values],
    Field(max_length=MOST_VALUES, description="os da lista: por nome, um valor ou vários"),
]
ByWebhook = Annotated[
    bool,
    Field(strict=True, description="também ao webhook configurado (`ALERT_WEBHOOK_URL`); nenhum outro endereço serve"),
]
Hour = Annotated[
    int, Field(ge=0, le=23, strict=True, description="a partir de que hora de Brasília sai a mensagem do dia")
]


class SavedSearchRequest(BaseModel):
    """Uma busca a salvar: a lista, os filtros e por onde avisar de registros novos."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "nome": "Merenda em Santa Catarina",
                    "entidade": "contratacoes",
                    "filtros": {"q": "merenda OU alimentação", "uf": "SC"},
                    "email": "ana@example.org",
                    "hora": 7,
                }
            ]
        },
    )

    nome: Name
    entidade: EntityAddress = Field(description="o endereço da lista, sem a barra")
    filtros: Filters = Field(default_factory=dict)
    email: Address | None = None
    webhook: ByWebhook = False
    hora: Hour = 7


class SavedSearchChange(BaseModel):
    """O que mudar; o que falta fica como está."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"hora": 9}, {"email": None, "webhook": True}]}
    )

    nome: Name | None = None
    filtros: Filters | None = Field(
        None, description="outros filtros começam de novo: o que já corresponde a eles não é novo"
    )
    email: Address | None = Field(None, description="`null`: nenhum e-mail mais")
    webhook: ByWebhook | None = None
    hora: Hour | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.model_fields_set - {"email"}:
            if getattr(self, name) is None:
                raise ValueError(f"{name} não pode ser nulo")
        return self


class SavedSearchChannel(BaseModel):
    """Como vão as mensagens por um canal."""

    canal: str = Field(description="`email` ou `webhook`")
    enviada_em: Moment | None = Field(description="a última mensagem que o servidor aceitou")
    erro: str | None = Field(description="por que a última tentativa falhou; nada se perde, ela é repetida")
    tenta_em: Moment | None = Field(description="a próxima tentativa depois de uma falha")


class SavedSearch(BaseModel):
    """Uma busca salva."""

    id: int
    nome: str
    entidade: str
    filtros: dict[str, list[str]]
    email: str | None
    webhook: bool
    hora: int
    solicitante: str | None = Field(description="de quem é; nulo sem autenticação")
    lista: str = Field(description="o endereço da lista com estes filtros")
    atom: str = Field(description="o da mesma lista como feed")
    vistos_desde: Moment | None = Field(
        description="só contam registros vistos depois deste momento, porque a busca já tinha mais de 100.000; nulo:"
        " contam também os que passam a corresponder por uma alteração"
    )
    criada_em: Moment
    alterada_em: Moment
    procurada_em: Moment | None = Field(description="quando se procuraram registros novos pela última vez")
    procura_em: Moment | None = Field(description="quando será a próxima; nulo se não há canal, ou se foi cancelada")
    erro: str | None = Field(description="por que a última procura falhou")
    canais: list[SavedSearchChannel]
    cancelada_em: Moment | None = Field(description="quando um destinatário cancelou; não sai mais mensagem nenhuma")


class SavedSearches(BaseModel):
    """Buscas salvas, da mais nova para a mais antiga."""

    buscas: list[SavedSearch]
    proximo: str | None = Field(description="o `cursor` da próxima página; nulo na última")


class SavedSearchesQuery(BaseModel):
    """Paginação."""

    model_config = ConfigDict(extra="forbid")

    limite: int = Field(50, ge=1, le=500)
    cursor: int | None = Field(None, ge=1, le=2**63 - 1, description="`proximo` da página anterior")


class SavedSearchRecord(BaseModel):
    """Um registro novo, como vai ao webhook."""

    chave: str
    titulo: str
    campos: dict[str, str] = Field(description="por nome em português, com os CPFs mascarados")
    visto_em: str | None = Field(description="quando o espelho o viu pela primeira vez, no horário de Brasília")
    portal: str | None = Field(description="a página do portal")
    detalhe: str | None = Field(description="o endereço do detalhe, onde `PUBLIC_URL` está definido")


class SavedSearchPreview(BaseModel):
    """O que a próxima mensagem diria, se saísse agora."""

    total: int
    total_tipo: str = Field(description="`exato`, ou `estimado` se contar demorou demais")
    registros: list[SavedSearchRecord] = Field(description="os mais novos, até 50")
    assunto: str
    texto: str = Field(description="o da mensagem, sem o endereço para cancelar")
    lista: str
    espelho: Annotated[dict[str, Any], WithJsonSchema(MIRROR)]
