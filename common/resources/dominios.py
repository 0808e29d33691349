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


@dataclass(frozen=True)
class Seen:
    """Where records say a code and its name: two columns of a table."""

    table: str
    code: str
    name: str


SEEN = {
    "modalidades": (Seen("contratacoes", "modalidade_id", "modalidade_nome"),),
    "modos-disputas": (Seen("contratacoes", "modo_disputa_id", "modo_disputa_nome"),),
    "criterios-julgamentos": (Seen("itens_contratacao", "criterio_julgamento_id", "criterio_julgamento_nome"),),
    "amparos-legais": (Seen("contratacoes", "amparo_legal_codigo", "amparo_legal_nome"),),
    "tipos-instrumentos-convocatorios": (
        Seen("contratacoes", "tipo_instrumento_convocatorio_codigo", "tipo_instrumento_convocatorio_nome"),
    ),
    "tipos-instrumentos-cobranca": (
        Seen("instrumentos_cobranca", "tipo_instrumento_cobranca_id", "tipo_instrumento_cobranca_nome"),
    ),
    "tipos-contratos": (Seen("contratos", "tipo_contrato_id", "tipo_contrato_nome"),),
    "tipos-documentos": (
        Seen("arquivos_contratacao", "tipo_documento_id", "tipo_documento_nome"),
        Seen("arquivos_contrato", "tipo_documento_id", "tipo_documento_nome"),
    ),
    "portes-empresa": (Seen("resultados", "porte_fornecedor_id", "porte_fornecedor_nome"),),
    "catalogos": (Seen("itens_pca", "catalogo_id", "nome_catalogo"),),
    "categoriaItemPcas": (Seen("itens_pca", "categoria_item_pca_id", "categoria_item_pca_nome"),),
    "situacoes-compra": (Seen("contratacoes", "situacao_compra_id", "situacao_compra_nome"),),
    "categorias-processo": (Seen("contratos", "categoria_processo_id", "categoria_processo_nome"),),
    "categorias-item": (Seen("itens_contratacao", "item_categoria_id", "item_categoria_nome"),),
    "situacoes-item": (Seen("itens_contratacao", "situacao_compra_item", "situacao_compra_item_nome"),),
    "tipos-beneficio": (Seen("itens_contratacao", "tipo_beneficio", "tipo_beneficio_nome"),),
    "situacoes-resultado": (
        Seen("resultados", "situacao_compra_item_resultado_id", "situacao_compra_item_resultado_nome"),
    ),
}
"""Where records use the codes of a domain table, by its name; of the last six the portal has none."""

COLUMNS = (
    short_text("codigo", "id", "Código; de uma combinação, os códigos que a formam, com barras", required=True),
    text("nome", "nome", "Nome; de uma combinação, os nomes que a formam, com barras"),
    text("descricao", "descricao", "Descrição"),
    boolean("ativo", "statusAtivo", "Está em uso"),
)
