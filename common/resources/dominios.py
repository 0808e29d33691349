"""The domain tables of the portal: what its codes are called, each table a list that is read whole."""

from dataclasses import dataclass

from common.resources.description import boolean, short_text, text

DOMINIOS = "dominios"
LABEL = "Tabelas de domínio"


@dataclass(frozen=True)
class DomainTable:
    """One list of the integration API; `name` is the end of its address.

    `joins`: the objects whose ids make an entry's code, in the order of the address of one entry; empty where entries
    have an id of their own.
    """

    name: str
    joins: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where the portal lists it."""
        return f"/pncp/v1/{self.name}"


DOMAIN_TABLES = (
    DomainTable("modalidades"),
    DomainTable("modos-disputas"),
    DomainTable("criterios-julgamentos"),
    DomainTable("amparos-legais"),
    DomainTable("tipos-instrumentos-convocatorios"),
    DomainTable("tipos-instrumentos-cobranca"),
    DomainTable("tipos-contratos"),
    DomainTable("tipos-documentos"),
    DomainTable("tipos-parte-envolvida"),
    DomainTable("portes-empresa"),
    DomainTable("fontes-orcamentarias"),
    DomainTable("catalogos"),
    DomainTable("categoriaItemPcas"),
    DomainTable("modalidade-criterio-julgamento", ("modalidadeContratacao", "criterioJulgamento")),
    DomainTable("modalidade-fonte-orcamentaria", ("modalidadeContratacao", "fonteOrcamentaria")),
    DomainTable("tipo-instrumento-convocatorio-modo-disputa", ("tipoInstrumentoConvocatorio", "modoDisputa")),
    DomainTable(
        "instrumento-convocatorio-modalidade-amparo-legal",
        ("amparoLegal", "modalidade", "tipoInstrumentoConvocatorio"),
    ),
)
"""In the order in which they are read."""

COLUMNS = (
    short_text("codigo", "id", "Código; de uma combinação, os códigos que a formam, com barras", required=True),
    text("nome", "nome", "Nome; de uma combinação, os nomes que a formam, com barras"),
    text("descricao", "descricao", "Descrição"),
    boolean("ativo", "statusAtivo", "Está em uso"),
)
