"""Termos of contratos: what adds to them, notes on them, and their end."""

from common.resources.description import Child, Mention, boolean, day, integer, moment, number, short_text, text
from common.resources.parties import FORNECEDORES

FORNECEDOR = {"tipo_pessoa": "tipo_pessoa", "ni": "ni_fornecedor", "nome": "nome_razao_social_fornecedor"}
SUB_CONTRATADO = {
    "tipo_pessoa": "tipo_pessoa_sub_contratada",
    "ni": "ni_fornecedor_sub_contratado",
    "nome": "nome_fornecedor_sub_contratado",
}

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
    mentions=(Mention(FORNECEDORES, FORNECEDOR, partial=True), Mention(FORNECEDORES, SUB_CONTRATADO, partial=True)),
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
        short_text("tipo_pessoa", "tipoPessoa", "Tipo de pessoa do fornecedor: PJ, PF ou PE"),
        short_text("ni_fornecedor", "niFornecedor", "CNPJ, CPF ou outro número do fornecedor", personal="tipoPessoa"),
        text("nome_razao_social_fornecedor", "nomeRazaoSocialFornecedor", "Fornecedor", personal="tipoPessoa"),
        short_text("tipo_pessoa_sub_contratada", "tipoPessoaSubContratada", "Tipo de pessoa do subcontratado"),
        short_text(
            "ni_fornecedor_sub_contratado",
            "niFornecedorSubContratado",
            "CNPJ, CPF ou outro número do subcontratado",
            personal="tipoPessoaSubContratada",
        ),
        text(
            "nome_fornecedor_sub_contratado",
            "nomeFornecedorSubContratado",
            "Subcontratado",
            personal="tipoPessoaSubContratada",
        ),
    ),
)
