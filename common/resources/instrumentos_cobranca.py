"""Instrumentos de cobrança: invoices of contratos."""

from common.resources.contratos import CONTRATOS
from common.resources.description import Listing, Nested, Resource, Rollup, code, day, integer, moment, short_text, text

INSTRUMENTOS_COBRANCA = Resource(
    name="instrumentos_cobranca",
    label="Instrumentos de cobrança",
    key="chave",
    key_columns=("cnpj", "ano", "sequencial_contrato", "sequencial_instrumento_cobranca"),
    key_pattern=r"(?P<cnpj>[0-9A-Z]{14})-(?P<ano>[0-9]{4})-(?P<sequencial>[0-9]{1,9})-(?P<numero>[0-9]{1,9})",
    key_form="CNPJ-AAAA-CONTRATO-INSTRUMENTO",
    version=("data_inclusao", "data_atualizacao"),
    page_size=100,
    # By the day of inclusion alone: what changes later is found where it was listed first.
    shows_changes=False,
    listings={
        "atualizacao": Listing(
            "/consulta/v1/instrumentoscobranca/inclusao",
            stamp="data_inclusao",
            empty_status=404,
            empty_text="Nenhum",
            repeats_rows=True,  # of 215,382 rows recorded 35,919 came twice
            at_once=1,
        )
    },
    nested=Nested(CONTRATOS, "recuperarContratoDTO"),
    update_cron="0 21 * * *",
    sweep_cron="0 6 * * *",
    columns=(
        short_text("cnpj", "cnpj", "CNPJ do órgão do contrato", required=True),
        integer("ano", "ano", "Ano do contrato", required=True),
        integer("sequencial_contrato", "sequencialContrato", "Sequencial do contrato", required=True),
        integer(
            "sequencial_instrumento_cobranca",
            "sequencialInstrumentoCobranca",
            "Sequencial do instrumento de cobrança",
            required=True,
        ),
        moment("data_inclusao", "dataInclusao", "Inclusão no PNCP", required=True),
        moment("data_atualizacao", "dataAtualizacao", "Última atualização", required=True),
        short_text(
            "numero_controle_pncp_contrato",
            "recuperarContratoDTO.numeroControlePNCP",
            "Contrato",
            filter="numero_controle_contrato",
            refers="contratos",
        ),
        code("tipo_instrumento_cobranca_id", "tipoInstrumentoCobranca.id", "Código do tipo", filter="tipo"),
        text("tipo_instrumento_cobranca_nome", "tipoInstrumentoCobranca.nome", "Tipo"),
        text("numero_instrumento_cobranca", "numeroInstrumentoCobranca", "Número"),
        day("data_emissao_documento", "dataEmissaoDocumento", "Emissão", filter="data_emissao"),
        text("observacao", "observacao", "Observação"),
        text("chave_nfe", "chaveNFe", "Chave da NF-e", filter="chave_nfe"),
        integer("fonte_nfe", "fonteNFe", "Fonte da NF-e"),
        moment("data_consulta_nfe", "dataConsultaNFe", "Consulta da NF-e"),
        text("status_response_nfe", "statusResponseNFe", "Resposta à consulta da NF-e"),
        text("json_response_nfe", "jsonResponseNFe", "NF-e como foi respondida, JSON em texto", personal=""),
        # as the portal writes it: with the punctuation of Brazil, and the number of a natural person perhaps
        text("nota_fiscal_valor", "notaFiscalEletronica.valorNotaFiscal", "Valor da NF-e, como o portal o escreve"),
        text("nota_fiscal_emissao", "notaFiscalEletronica.dataEmissao", "Emissão da NF-e, como o portal a escreve"),
        short_text(
            "nota_fiscal_ni_emitente",
            "notaFiscalEletronica.niEmitente",
            "CNPJ, CPF ou outro do emitente",
            filter="ni_emitente",
            personal="",
        ),
        text("nota_fiscal_nome_emitente", "notaFiscalEletronica.nomeEmitente", "Emitente da NF-e", personal=""),
    ),
    rollup=Rollup("data_inclusao", {"tipo": "tipo_instrumento_cobranca_id"}),
    indexes=(
        ("data_inclusao",),
        ("numero_controle_pncp_contrato",),
        ("nota_fiscal_ni_emitente",),
    ),
)
