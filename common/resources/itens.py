"""Items of contratações."""

from common.resources.description import Child, boolean, code, integer, json, moment, number, text

ITENS = Child(
    name="itens_contratacao",
    label="Itens das contratações",
    key=("numero_item",),
    path="/pncp/v1/orgaos/{cnpj}/compras/{ano}/{sequencial}/itens",
    page_size=500,  # 500 and 1000 are accepted; without it 10 come and the rest is missing without a sign
    service="itens",
    read_at="itens_at",
    debts="itens_owed",
    address="itens",
    searched=("descricao",),
    columns=(
        integer("numero_item", "numeroItem", "Número do item", required=True),
        text("descricao", "descricao", "Descrição"),
        text("material_ou_servico", "materialOuServico", "Material (M) ou serviço (S)", filter="material_ou_servico"),
        text("material_ou_servico_nome", "materialOuServicoNome", "Material ou serviço"),
        number("quantidade", "quantidade", "Quantidade"),
        text("unidade_medida", "unidadeMedida", "Unidade de medida", filter="unidade_medida"),
        number("valor_unitario_estimado", "valorUnitarioEstimado", "Valor unitário estimado", filter="valor_unitario"),
        number("valor_total", "valorTotal", "Valor total"),
        boolean("orcamento_sigiloso", "orcamentoSigiloso", "Orçamento sigiloso"),
        code("item_categoria_id", "itemCategoriaId", "Código da categoria do item"),
        text("item_categoria_nome", "itemCategoriaNome", "Categoria do item"),
        code("criterio_julgamento_id", "criterioJulgamentoId", "Código do critério de julgamento", filter="criterio"),
        text("criterio_julgamento_nome", "criterioJulgamentoNome", "Critério de julgamento"),
        code("situacao_compra_item", "situacaoCompraItem", "Código da situação do item", filter="situacao_item"),
        text("situacao_compra_item_nome", "situacaoCompraItemNome", "Situação do item"),
        code("tipo_beneficio", "tipoBeneficio", "Código do tipo de benefício", filter="beneficio"),
        text("tipo_beneficio_nome", "tipoBeneficioNome", "Tipo de benefício"),
        boolean(
            "incentivo_produtivo_basico", "incentivoProdutivoBasico", "Incentivo fiscal do processo produtivo básico"
        ),
        boolean("exigencia_conteudo_nacional", "exigenciaConteudoNacional", "Exigência de conteúdo nacional"),
        boolean("tem_resultado", "temResultado", "Tem resultado"),
        integer("imagem", "imagem", "Imagem"),
        text("informacao_complementar", "informacaoComplementar", "Informação complementar"),
        text("ncm_nbs_codigo", "ncmNbsCodigo", "Código NCM/NBS", filter="ncm"),
        text("ncm_nbs_descricao", "ncmNbsDescricao", "Descrição NCM/NBS"),
        text("patrimonio", "patrimonio", "Patrimônio"),
        text("codigo_registro_imobiliario", "codigoRegistroImobiliario", "Código do registro imobiliário"),
        boolean(
            "aplicabilidade_margem_preferencia_normal",
            "aplicabilidadeMargemPreferenciaNormal",
            "Margem de preferência normal se aplica",
        ),
        boolean(
            "aplicabilidade_margem_preferencia_adicional",
            "aplicabilidadeMargemPreferenciaAdicional",
            "Margem de preferência adicional se aplica",
        ),
        number(
            "percentual_margem_preferencia_normal",
            "percentualMargemPreferenciaNormal",
            "Percentual da margem de preferência normal",
        ),
        number(
            "percentual_margem_preferencia_adicional",
            "percentualMargemPreferenciaAdicional",
            "Percentual da margem de preferência adicional",
        ),
        json("tipo_margem_preferencia", "tipoMargemPreferencia", "Tipo de margem de preferência"),
        json("catalogo", "catalogo", "Catálogo"),
        text("catalogo_codigo_item", "catalogoCodigoItem", "Código do item no catálogo"),
        json("categoria_item_catalogo", "categoriaItemCatalogo", "Categoria do item no catálogo"),
        moment("data_inclusao", "dataInclusao", "Inclusão no PNCP"),
        moment("data_atualizacao", "dataAtualizacao", "Última atualização"),
    ),
)
