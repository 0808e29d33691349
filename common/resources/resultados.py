"""Results of the items of contratações: who won, and at which price."""

from common.resources.description import (
    Child,
    Parts,
    boolean,
    code,
    day,
    integer,
    json,
    moment,
    number,
    text,
)
from common.resources.itens import ITENS
from common.resources.parties import OF_FORNECEDOR, fornecedor_of

INFORMED = 1
"""The situação of a result that stands; others are cancelled."""

RESULTADOS = Child(
    name="resultados",
    label="Resultados dos itens das contratações",
    key=("numero_item", "sequencial_resultado"),
    # There is none for all items. What an item says of itself is trusted, not its situação.
    path="/pncp/v1/orgaos/{cnpj}/compras/{ano}/{sequencial}/itens/{numero_item}/resultados",
    parts=Parts(ITENS, column="numero_item", has="tem_resultado"),
    page_size=0,
    service="resultados",
    read_at="resultados_at",
    debts="resultados_owed",
    keeps_gone=True,
    mentions=(fornecedor_of("codigo_pais"),),
    stamp="data_atualizacao",
    indexes=(("ni_fornecedor",),),
    columns=(
        integer("numero_item", "numeroItem", "Número do item", required=True),
        integer("sequencial_resultado", "sequencialResultado", "Número do resultado", required=True),
        *OF_FORNECEDOR,
        text("codigo_pais", "codigoPais", "País do fornecedor"),
        code("porte_fornecedor_id", "porteFornecedorId", "Código do porte do fornecedor", filter="porte"),
        text("porte_fornecedor_nome", "porteFornecedorNome", "Porte do fornecedor"),
        text("natureza_juridica_id", "naturezaJuridicaId", "Código da natureza jurídica, com zeros à esquerda"),
        text("natureza_juridica_nome", "naturezaJuridicaNome", "Natureza jurídica"),
        json("localidade_fornecedor", "localidadeFornecedor", "Localidade do fornecedor"),
        json("localidade_exterior", "localidadeExterior", "Localidade no exterior"),
        number("quantidade_homologada", "quantidadeHomologada", "Quantidade homologada"),
        number("valor_unitario_homologado", "valorUnitarioHomologado", "Valor unitário homologado"),
        number("valor_total_homologado", "valorTotalHomologado", "Valor total homologado", filter="valor"),
        number("percentual_desconto", "percentualDesconto", "Percentual de desconto"),
        code(
            "situacao_compra_item_resultado_id",
            "situacaoCompraItemResultadoId",
            "Código da situação; 2 é cancelado",
            filter="situacao_resultado",
        ),
        text("situacao_compra_item_resultado_nome", "situacaoCompraItemResultadoNome", "Situação"),
        day("data_resultado", "dataResultado", "Data do resultado"),
        moment("data_inclusao", "dataInclusao", "Inclusão no PNCP"),
        moment("data_atualizacao", "dataAtualizacao", "Última atualização"),
        moment("data_cancelamento", "dataCancelamento", "Cancelamento"),
        text("motivo_cancelamento", "motivoCancelamento", "Motivo do cancelamento"),
        integer(
            "ordem_classificacao_srp",
            "ordemClassificacaoSrp",
            "Ordem de classificação no registro de preços",
            filter="ordem_srp",
        ),
        code("reserva_remanescente_codigo", "reservaRemanescente.codigo", "Código de reserva ou remanescente"),
        text("reserva_remanescente_nome", "reservaRemanescente.nome", "Reserva ou remanescente"),
        boolean("indicador_subcontratacao", "indicadorSubcontratacao", "Admite subcontratação"),
        boolean("aplicacao_margem_preferencia", "aplicacaoMargemPreferencia", "Margem de preferência aplicada"),
        json("amparo_legal_margem_preferencia", "amparoLegalMargemPreferencia", "Amparo da margem de preferência"),
        boolean("aplicacao_beneficio_me_epp", "aplicacaoBeneficioMeEpp", "Benefício de ME ou EPP aplicado"),
        boolean("aplicacao_criterio_desempate", "aplicacaoCriterioDesempate", "Critério de desempate aplicado"),
        json("amparo_legal_criterio_desempate", "amparoLegalCriterioDesempate", "Amparo do critério de desempate"),
        json("pais_origem_produto_servico", "paisOrigemProdutoServico", "País de origem do produto ou serviço"),
        json("moeda_estrangeira", "moedaEstrangeira", "Moeda estrangeira"),
        number("valor_nominal_moeda_estrangeira", "valorNominalMoedaEstrangeira", "Valor na moeda estrangeira"),
        json("data_cotacao_moeda_estrangeira", "dataCotacaoMoedaEstrangeira", "Cotação da moeda estrangeira"),
        json("timezone_cotacao_moeda_estrangeira", "timezoneCotacaoMoedaEstrangeira", "Fuso horário dessa cotação"),
    ),
)
