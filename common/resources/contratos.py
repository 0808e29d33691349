"""Contratos and empenhos."""

from common.resources.arquivos import arquivos_of
from common.resources.description import (
    Condition,
    Kind,
    Listing,
    Resource,
    Rollup,
    boolean,
    code,
    day,
    integer,
    moment,
    number,
    short_text,
    text,
)
from common.resources.historico import historico_of
from common.resources.parties import (
    BOTH_ORGAOS,
    OF_BOTH_ORGAOS,
    OF_FORNECEDOR,
    OF_SUB_CONTRATADO,
    SUB_CONTRATADO,
    fornecedor_of,
)
from common.resources.termos import TERMOS

# In their rows `anoCompra` and `sequencialCompra` are the contrato's own, in spite of what they are called.
ARQUIVOS = arquivos_of("contratos", "arquivos_contrato", "Documentos dos contratos")
HISTORICO = historico_of(
    "contratos",
    "historico_contrato",
    "Histórico dos contratos",
    (
        integer("documento_sequencial", "sequencialDocumentoContrato", "Número do documento"),
        integer("sequencial_termo_contrato", "sequencialTermoContrato", "Número do termo no contrato"),
        integer(
            "sequencial_documento_termo_contrato", "sequencialDocumentoTermoContrato", "Número do documento do termo"
        ),
        integer("sequencial_empenho", "sequencialEmpenho", "Número do empenho"),
        integer(
            "sequencial_instrumento_cobranca", "sequencialInstrumentoCobranca", "Número do instrumento de cobrança"
        ),
    ),
    text("documento_titulo", "tituloDocumentoContrato", "Título do documento"),
    text("numero_termo_contrato", "numeroTermoContrato", "Número do termo, como o órgão o escreve"),
    text("titulo_documento_termo_contrato", "tituloDocumentoTermoContrato", "Título do documento do termo"),
)

EMPENHO = 7
NO_EMPENHOS = "sem_empenhos"
_ADDED_UP = ("unidade_orgao_uf_sigla", "valor_global", "receita", "data_vigencia_inicio", "data_vigencia_fim")
"""The type of what is no contrato, but an order that commits money: two in five of all."""

CONTRATOS = Resource(
    name="contratos",
    label="Contratos e empenhos",
    key="numero_controle_pncp",
    key_pattern=r"(?P<cnpj>[0-9A-Z]{14})-2-(?P<sequencial>[0-9]{6,9})/(?P<ano>[0-9]{4})",
    key_form="CNPJ-2-SSSSSS/AAAA",
    version=("data_atualizacao", "data_atualizacao_global"),
    page_size=500,
    # Read by whole days of the country: asked for by órgão, each page comes in another order, and records are missing.
    listings={
        "publicacao": Listing("/consulta/v1/contratos", stamp="data_publicacao_pncp"),
        "atualizacao": Listing("/consulta/v1/contratos/atualizacao", stamp="data_atualizacao_global"),
    },
    update_cron="20 * * * *",
    sweep_cron="0 3 * * *",
    columns=(
        text("numero_controle_pncp", "numeroControlePNCP", "Número de controle no PNCP", required=True),
        moment(
            "data_publicacao_pncp", "dataPublicacaoPncp", "Publicação no PNCP", required=True, filter="data_publicacao"
        ),
        moment("data_atualizacao", "dataAtualizacao", "Última atualização", required=True),
        moment(
            "data_atualizacao_global",
            "dataAtualizacaoGlobal",
            "Última atualização, também do que depende dele",
            required=True,
        ),
        # often of another órgão, or of none that is mirrored: no foreign key
        short_text(
            "numero_controle_pncp_compra",
            "numeroControlePncpCompra",
            "Contratação de que resulta",
            filter="numero_controle_compra",
            refers="contratacoes",
        ),
        short_text(
            "numero_controle_pncp_ata",
            "numeroControlePncpAta",
            "Ata de que resulta",
            filter="numero_controle_ata",
            refers="atas",
        ),
        integer("ano_contrato", "anoContrato", "Ano do contrato", filter="ano"),
        integer("sequencial_contrato", "sequencialContrato", "Sequencial do contrato"),
        text("numero_contrato_empenho", "numeroContratoEmpenho", "Número do contrato ou empenho"),
        integer("numero_retificacao", "numeroRetificacao", "Número da retificação"),
        code("tipo_contrato_id", "tipoContrato.id", "Código do tipo de contrato", filter="tipo_contrato"),
        text("tipo_contrato_nome", "tipoContrato.nome", "Tipo de contrato"),
        code("categoria_processo_id", "categoriaProcesso.id", "Código da categoria do processo", filter="categoria"),
        text("categoria_processo_nome", "categoriaProcesso.nome", "Categoria do processo"),
        text("processo", "processo", "Processo"),
        text("objeto_contrato", "objetoContrato", "Objeto"),
        text("informacao_complementar", "informacaoComplementar", "Informação complementar"),
        boolean("receita", "receita", "Contrato de receita"),
        boolean("fruto_adesao", "frutoAdesao", "Resulta de adesão a uma ata", filter="adesao"),
        boolean("tem_remanejamento", "temRemanejamento", "Tem remanejamento"),
        boolean("emenda_parlamentar", "emendaParlamentar", "Emenda parlamentar", filter="emenda"),
        day("data_assinatura", "dataAssinatura", "Assinatura"),
        day("data_vigencia_inicio", "dataVigenciaInicio", "Início da vigência"),
        day("data_vigencia_fim", "dataVigenciaFim", "Fim da vigência", filter="vigencia_fim"),
        number("valor_inicial", "valorInicial", "Valor inicial"),
        number("valor_parcela", "valorParcela", "Valor da parcela"),
        number("valor_global", "valorGlobal", "Valor global", filter="valor"),
        number("valor_acumulado", "valorAcumulado", "Valor acumulado"),
        integer("numero_parcelas", "numeroParcelas", "Número de parcelas"),
        *OF_FORNECEDOR,
        text("codigo_pais_fornecedor", "codigoPaisFornecedor", "País do fornecedor"),
        *OF_SUB_CONTRATADO,
        text("identificador_cipi", "identificadorCipi", "Identificador no cadastro de projetos de investimento"),
        text("url_cipi", "urlCipi", "Endereço no cadastro de projetos de investimento"),
        text("usuario_nome", "usuarioNome", "Sistema que publicou", filter="plataforma"),
        *OF_BOTH_ORGAOS,
    ),
    conditions=(
        Condition(Kind.BOOLEAN, NO_EMPENHOS, "Não é empenho", f"{{t}}.tipo_contrato_id IS DISTINCT FROM {EMPENHO}"),
        Condition(
            Kind.BOOLEAN,
            "vigente",
            "Em vigor hoje",
            "{t}.data_vigencia_inicio <= CAST({now} AS date) AND {t}.data_vigencia_fim >= CAST({now} AS date)",
        ),
    ),
    context=(
        "objeto_contrato",
        "numero_contrato_empenho",
        "tipo_contrato_nome",
        "orgao_entidade_razao_social",
        "unidade_orgao_nome_unidade",
    ),
    page="https://pncp.gov.br/app/contratos/{cnpj}/{ano}/{sequencial}",
    mentions=(*BOTH_ORGAOS, fornecedor_of("codigo_pais_fornecedor"), SUB_CONTRATADO),
    rollup=Rollup(
        "data_publicacao_pncp",
        {
            "uf": "unidade_orgao_uf_sigla",
            "esfera": "orgao_entidade_esfera_id",
            "tipo": "tipo_contrato_id",
            "receita": "receita",
            "plataforma": "usuario_nome",
        },
        {"valor_global": "valor_global"},
    ),
    later=(ARQUIVOS, TERMOS, HISTORICO),
    searched=("numero_contrato_empenho", "processo", "objeto_contrato"),
    # what leads a list, whose rows come by the day of publication; those that end on one day are too many to sort
    indexes=(
        ("data_publicacao_pncp",),
        ("data_atualizacao_global",),
        ("orgao_entidade_cnpj", "data_publicacao_pncp"),
        ("unidade_orgao_uf_sigla", "data_publicacao_pncp"),
        ("unidade_orgao_codigo_ibge", "data_publicacao_pncp"),
        ("ni_fornecedor", "data_publicacao_pncp"),
        ("data_vigencia_fim", "numero_controle_pncp"),
        ("numero_controle_pncp_compra",),
        ("numero_controle_pncp_ata",),
    ),
    # what profiles of órgãos and suppliers add up: the rows of the largest are too many to be visited
    covers={
        "orgao_entidade_cnpj": (*_ADDED_UP, "tipo_pessoa", "ni_fornecedor"),
        "ni_fornecedor": (*_ADDED_UP, "tipo_pessoa", "orgao_entidade_cnpj"),
    },
)
