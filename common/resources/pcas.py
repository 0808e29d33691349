"""Yearly procurement plans (planos de contratação anual) and their items.

Plans are found by their listing, and the items of each are read whole from the plan itself: the listing cuts a plan
between pages, repeats items at the cuts and leaves others out.
"""

from datetime import date

from common.resources.description import (
    Child,
    Listing,
    Resource,
    Rollup,
    code,
    day,
    integer,
    moment,
    number,
    short_text,
    text,
)
from common.resources.parties import partial_mentions

ITENS_PCA = Child(
    name="itens_pca",
    label="Itens dos planos de contratação anual",
    key=("numero_item",),
    path="/pncp/v1/orgaos/{cnpj}/pca/{ano}/{sequencial}/itens",
    page_size=2_000,
    service="itens_pca",
    read_at="itens_at",
    debts="itens_pca_owed",
    # many have no description of their own
    searched=("descricao", "pdm_descricao", "grupo_contratacao_nome", "classificacao_superior_nome"),
    columns=(
        integer("numero_item", "numeroItem", "Número do item", required=True),
        text("descricao", "descricao", "Descrição"),
        code("categoria_item_pca_id", "categoriaItemPcaid", "Código da categoria", filter="categoria"),
        text("categoria_item_pca_nome", "categoriaItemPcaNome", "Categoria"),
        integer("catalogo_id", "catalogoId", "Código do catálogo"),
        text("nome_catalogo", "nomeCatalogo", "Catálogo"),
        integer("classificacao_catalogo_id", "classificacaoCatalogoId", "Código da classificação no catálogo"),
        text("nome_classificacao", "nomeClassificacao", "Classificação no catálogo"),
        text(
            "classificacao_superior_codigo",
            "classificacaoSuperiorCodigo",
            "Código da classe ou grupo",
            filter="classificacao_superior",
        ),
        text("classificacao_superior_nome", "classificacaoSuperiorNome", "Classe ou grupo"),
        text("pdm_codigo", "pdmCodigo", "Código do padrão descritivo de material", filter="pdm"),
        text("pdm_descricao", "pdmDescricao", "Padrão descritivo de material"),
        text("codigo_item", "codigoItem", "Código do item no catálogo", filter="codigo_item"),
        text(
            "grupo_contratacao_codigo",
            "grupoContratacaoCodigo",
            "Código da contratação futura",
            filter="grupo_contratacao",
        ),
        text("grupo_contratacao_nome", "grupoContratacaoNome", "Contratação futura"),
        text("unidade_fornecimento", "unidadeFornecimento", "Unidade de fornecimento"),
        text("unidade_requisitante", "unidadeRequisitante", "Unidade requisitante"),
        number("quantidade", "quantidade", "Quantidade"),
        number("valor_unitario", "valorUnitario", "Valor unitário"),
        number("valor_total", "valorTotal", "Valor total"),
        number(
            "valor_orcamento_exercicio",
            "valorOrcamentoExercicio",
            "Orçamento do exercício, que pode ser o mesmo em todos os itens",
        ),
        day("data_desejada", "dataDesejada", "Data desejada"),
        moment("data_inclusao", "dataInclusao", "Inclusão no PNCP"),
        moment("data_atualizacao", "dataAtualizacao", "Última atualização"),
    ),
)

PCAS = Resource(
    name="pcas",
    label="Planos de contratação anual",
    key="id_pca_pncp",
    key_pattern=r"(?P<cnpj>[0-9A-Z]{14})-0-(?P<sequencial>[0-9]{6,9})/(?P<ano>[0-9]{4})",
    key_form="CNPJ-0-SSSSSS/AAAA",
    version=("data_publicacao_pncp", "data_atualizacao_global_pca"),
    page_size=500,
    listings={
        "atualizacao": Listing(
            "/consulta/v1/pca/atualizacao",
            stamp="data_atualizacao_global_pca",
            first_day="dataInicio",
            last_day="dataFim",
            excludes_last_day=True,
            begins=date(2021, 4, 1),
            empty_status=200,
            counts="itens",
            is_slow=True,
        )
    },
    omits=("itens",),
    is_collected=True,
    update_cron="0 22 * * *",
    sweep_cron="0 5 * * *",
    columns=(
        text("id_pca_pncp", "idPcaPncp", "Identificador no PNCP", required=True, filter="numero_controle_pncp"),
        moment(
            "data_publicacao_pncp", "dataPublicacaoPNCP", "Publicação no PNCP", required=True, filter="data_publicacao"
        ),
        moment(
            "data_atualizacao_global_pca",
            "dataAtualizacaoGlobalPCA",
            "Última atualização",
            required=True,
            filter="data_atualizacao_global",
        ),
        integer("ano_pca", "anoPca", "Ano do plano", filter="ano_pca"),
        short_text("orgao_entidade_cnpj", "orgaoEntidadeCnpj", "CNPJ do órgão", filter="cnpj"),
        text("orgao_entidade_razao_social", "orgaoEntidadeRazaoSocial", "Razão social do órgão"),
        short_text("codigo_unidade", "codigoUnidade", "Código da unidade", filter="codigo_unidade"),
        text("nome_unidade", "nomeUnidade", "Unidade"),
    ),
    context=("orgao_entidade_razao_social", "nome_unidade"),
    page="https://pncp.gov.br/app/pca/{cnpj}/{ano}/{sequencial}",
    mentions=partial_mentions("orgao_entidade_cnpj", "orgao_entidade_razao_social", "codigo_unidade", "nome_unidade"),
    child=ITENS_PCA,
    rollup=Rollup("data_publicacao_pncp"),
    # without texts of their own: their items and the parties that they name are searched
    indexes=(
        ("data_publicacao_pncp",),
        ("data_atualizacao_global_pca",),
        ("orgao_entidade_cnpj", "data_publicacao_pncp"),
        ("ano_pca", "data_publicacao_pncp"),
    ),
)
