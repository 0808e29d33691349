"""Contratações."""

from common.resources.arquivos import arquivos_of
from common.resources.description import (
    Axis,
    Condition,
    Kind,
    Listing,
    Resource,
    Rollup,
    boolean,
    code,
    integer,
    json,
    moment,
    number,
    text,
)
from common.resources.historico import historico_of
from common.resources.itens import ITENS
from common.resources.parties import BOTH_ORGAOS, OF_BOTH_ORGAOS
from common.resources.resultados import RESULTADOS

ARQUIVOS = arquivos_of("compras", "arquivos_contratacao", "Documentos das contratações")
HISTORICO = historico_of(
    "compras",
    "historico_contratacao",
    "Histórico das contratações",
    (
        integer("item_numero", "itemNumero", "Número do item"),
        integer("item_resultado_numero", "itemResultadoNumero", "Número do item do resultado"),
        integer("item_resultado_sequencial", "itemResultadoSequencial", "Número do resultado do item"),
        integer("documento_sequencial", "documentoSequencial", "Número do documento"),
    ),
    text("documento_titulo", "documentoTitulo", "Título do documento"),
    text("documento_tipo", "documentoTipo", "Tipo de documento"),
)

CONTRATACOES = Resource(
    name="contratacoes",
    label="Contratações",
    key="numero_controle_pncp",
    # CNPJ, sequence and year, of which the address of its items is made; a CNPJ may hold letters
    key_pattern=r"(?P<cnpj>[0-9A-Z]{14})-1-(?P<sequencial>[0-9]{6,9})/(?P<ano>[0-9]{4})",
    key_form="CNPJ-1-SSSSSS/AAAA",
    version=("data_atualizacao", "data_atualizacao_global"),
    page_size=50,
    axis=Axis("codigoModalidadeContratacao", "modalidade_id"),
    listings={
        "publicacao": Listing("/consulta/v1/contratacoes/publicacao", stamp="data_publicacao_pncp"),
        "atualizacao": Listing("/consulta/v1/contratacoes/atualizacao", stamp="data_atualizacao_global"),
    },
    update_cron="*/15 * * * *",
    sweep_cron="0 1 * * *",
    columns=(
        text("numero_controle_pncp", "numeroControlePNCP", "Número de controle no PNCP", required=True),
        moment(
            "data_publicacao_pncp", "dataPublicacaoPncp", "Publicação no PNCP", required=True, filter="data_publicacao"
        ),
        moment("data_atualizacao", "dataAtualizacao", "Última atualização", required=True),
        moment(
            "data_atualizacao_global",
            "dataAtualizacaoGlobal",
            "Última atualização, também de itens, resultados e arquivos",
            required=True,
        ),
        moment("data_inclusao", "dataInclusao", "Inclusão no PNCP"),
        moment("data_abertura_proposta", "dataAberturaProposta", "Início do recebimento de propostas"),
        moment(
            "data_encerramento_proposta",
            "dataEncerramentoProposta",
            "Fim do recebimento de propostas",
            filter="encerramento",
        ),
        integer("ano_compra", "anoCompra", "Ano da contratação", filter="ano"),
        integer("sequencial_compra", "sequencialCompra", "Sequencial da contratação"),
        text("numero_compra", "numeroCompra", "Número da contratação"),
        text("processo", "processo", "Processo"),
        text("objeto_compra", "objetoCompra", "Objeto"),
        text("informacao_complementar", "informacaoComplementar", "Informação complementar"),
        text("justificativa_presencial", "justificativaPresencial", "Justificativa da forma presencial"),
        text("link_sistema_origem", "linkSistemaOrigem", "Link no sistema de origem"),
        text("link_processo_eletronico", "linkProcessoEletronico", "Link do processo eletrônico"),
        code("modalidade_id", "modalidadeId", "Código da modalidade", filter="modalidade"),
        text("modalidade_nome", "modalidadeNome", "Modalidade"),
        code("modo_disputa_id", "modoDisputaId", "Código do modo de disputa", filter="modo_disputa"),
        text("modo_disputa_nome", "modoDisputaNome", "Modo de disputa"),
        code("situacao_compra_id", "situacaoCompraId", "Código da situação", filter="situacao"),
        text("situacao_compra_nome", "situacaoCompraNome", "Situação"),
        code(
            "tipo_instrumento_convocatorio_codigo",
            "tipoInstrumentoConvocatorioCodigo",
            "Código do tipo de instrumento convocatório",
            filter="instrumento",
        ),
        text(
            "tipo_instrumento_convocatorio_nome",
            "tipoInstrumentoConvocatorioNome",
            "Tipo de instrumento convocatório",
        ),
        boolean("srp", "srp", "Sistema de registro de preços", filter="srp"),
        boolean("emenda_parlamentar", "emendaParlamentar", "Emenda parlamentar", filter="emenda"),
        number("valor_total_estimado", "valorTotalEstimado", "Valor total estimado", filter="valor"),
        number("valor_total_homologado", "valorTotalHomologado", "Valor total homologado"),
        text("usuario_nome", "usuarioNome", "Sistema que publicou", filter="plataforma"),
        code("amparo_legal_codigo", "amparoLegal.codigo", "Código do amparo legal", filter="amparo_legal"),
        text("amparo_legal_nome", "amparoLegal.nome", "Amparo legal"),
        text("amparo_legal_descricao", "amparoLegal.descricao", "Descrição do amparo legal"),
        json("fontes_orcamentarias", "fontesOrcamentarias", "Fontes orçamentárias"),
        *OF_BOTH_ORGAOS,
    ),
    conditions=(
        Condition(
            Kind.BOOLEAN,
            "aberta",
            "Recebe propostas agora",
            "{t}.data_encerramento_proposta > {now} AND {t}.data_abertura_proposta <= {now}",
        ),
        # the portal writes 0 for a budget that is secret
        Condition(Kind.BOOLEAN, "sem_valor", "Sem valor estimado", "coalesce({t}.valor_total_estimado, 0) = 0"),
        Condition(
            Kind.BOOLEAN,
            "tem_resultado",
            "Algum item tem resultado",
            "EXISTS (SELECT FROM itens_contratacao i"
            " WHERE i.numero_controle_pncp = {t}.numero_controle_pncp AND i.tem_resultado)",
        ),
    ),
    context=(
        "objeto_compra",
        "modalidade_nome",
        "situacao_compra_nome",
        "orgao_entidade_razao_social",
        "unidade_orgao_nome_unidade",
    ),
    page="https://pncp.gov.br/app/editais/{cnpj}/{ano}/{sequencial}",
    mentions=BOTH_ORGAOS,
    child=ITENS,
    rollup=Rollup(
        "data_publicacao_pncp",
        {
            "uf": "unidade_orgao_uf_sigla",
            "esfera": "orgao_entidade_esfera_id",
            "modalidade": "modalidade_id",
            "plataforma": "usuario_nome",
        },
        {"valor_estimado": "valor_total_estimado", "valor_homologado": "valor_total_homologado"},
    ),
    later=(RESULTADOS, ARQUIVOS, HISTORICO),
    searched=("numero_compra", "processo", "objeto_compra"),
    # what leads a list, whose rows come by the day of publication; and proposals that are open
    indexes=(
        ("data_publicacao_pncp",),
        ("data_atualizacao_global",),
        ("modalidade_id", "data_publicacao_pncp"),
        ("orgao_entidade_cnpj", "data_publicacao_pncp"),
        ("unidade_orgao_uf_sigla", "data_publicacao_pncp"),
        ("unidade_orgao_codigo_ibge", "data_publicacao_pncp"),
        ("data_encerramento_proposta",),
    ),
)
