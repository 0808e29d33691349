"""Termos of contratos: what adds to them, notes on them, and their end."""

from common.resources.description import Child, boolean, day, integer, moment, number, text
from common.resources.parties import FORNECEDOR, OF_FORNECEDOR, OF_SUB_CONTRATADO, SUB_CONTRATADO

TERMOS = Child(
    name="termos_contrato",
    label="Termos dos contratos",
    key=("sequencial_termo_contrato",),
    path="/pncp/v1/orgaos/{cnpj}/contratos/{ano}/{sequencial}/termos",
    page_size=500,
    service="termos",
    read_at="termos_at",
    debts="termos_contrato_owed",
    # without the country
    mentions=(FORNECEDOR, SUB_CONTRATADO),
    stamp="data_atualizacao",
    columns=(
        integer("sequencial_termo_contrato", "sequencialTermoContrato", "Número do termo no contrato", required=True),
        text("numero_termo_contrato", "numeroTermoContrato", "Número do termo, como o órgão o escreve"),
        text("tipo_termo_contrato_nome", "tipoTermoContratoNome", "Tipo de termo"),
        text("objeto_termo_contrato", "objetoTermoContrato", "Objeto"),
        text("fundamento_legal", "fundamentoLegal", "Fundamento legal"),
        text("informativo_observacao", "informativoObservacao", "Observação"),
        text("informacao_complementar", "informacaoComplementar", "Informação complementar"),
        text("processo", "processo", "Processo"),
        boolean("qualificacao_acrescimo_supressao", "qualificacaoAcrescimoSupressao", "Acresce ou suprime"),
        boolean("qualificacao_vigencia", "qualificacaoVigencia", "Altera a vigência"),
        boolean("qualificacao_fornecedor", "qualificacaoFornecedor", "Altera o fornecedor"),
        boolean("qualificacao_reajuste", "qualificacaoReajuste", "Reajusta o valor"),
        number("valor_acrescido", "valorAcrescido", "Valor acrescido; negativo se suprimido"),
        number("valor_parcela", "valorParcela", "Valor da parcela"),
        number("valor_global", "valorGlobal", "Valor global"),
        integer("numero_parcelas", "numeroParcelas", "Número de parcelas"),
        integer("prazo_aditado_dias", "prazoAditadoDias", "Prazo aditado, em dias"),
        day("data_assinatura", "dataAssinatura", "Assinatura"),
        day("data_vigencia_inicio", "dataVigenciaInicio", "Início da vigência"),
        day("data_vigencia_fim", "dataVigenciaFim", "Fim da vigência"),
        moment("data_publicacao_pncp", "dataPublicacaoPncp", "Publicação no PNCP"),
        moment("data_inclusao", "dataInclusao", "Inclusão no PNCP"),
        moment("data_atualizacao", "dataAtualizacao", "Última atualização"),
        *OF_FORNECEDOR,
        *OF_SUB_CONTRATADO,
    ),
)
