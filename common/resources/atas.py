"""Atas de registro de preços."""

from common.resources.description import (
    Condition,
    Kind,
    Listing,
    Mention,
    Resource,
    Rollup,
    boolean,
    day,
    integer,
    short_text,
    stamp,
    text,
)
from common.resources.parties import ORGAOS, partial_mentions

ATAS = Resource(
    name="atas",
    label="Atas de registro de preços",
    key="numero_controle_pncp_ata",
    key_pattern=r"(?P<cnpj>[0-9A-Z]{14})-1-(?P<sequencial>[0-9]{6,9})/(?P<ano>[0-9]{4})-(?P<numero>[0-9]{6})",
    key_form="CNPJ-1-SSSSSS/AAAA-NNNNNN",
    version=("data_atualizacao", "data_atualizacao_global"),
    has_day_stamps=True,
    page_size=500,
    # The other listing, `/v1/atas`, has every ata on every day that it is in force: 410,000 on one day.
    listings={"atualizacao": Listing("/consulta/v1/atas/atualizacao", stamp="data_atualizacao_global")},
    update_cron="50 * * * *",
    sweep_cron="0 4 * * *",
    columns=(
        text(
            "numero_controle_pncp_ata",
            "numeroControlePNCPAta",
            "Número de controle no PNCP",
            required=True,
            filter="numero_controle_pncp",
        ),
        stamp("data_atualizacao", "dataAtualizacao", "Última atualização", required=True),
        stamp(
            "data_atualizacao_global",
            "dataAtualizacaoGlobal",
            "Última atualização, também do que depende dela",
            required=True,
        ),
        day("data_publicacao_pncp", "dataPublicacaoPncp", "Publicação no PNCP", filter="data_publicacao"),
        day("data_inclusao", "dataInclusao", "Inclusão no PNCP"),
        short_text(
            "numero_controle_pncp_compra",
            "numeroControlePNCPCompra",
            "Contratação de que resulta",
            filter="numero_controle_compra",
            refers="contratacoes",
        ),
        text("numero_ata_registro_preco", "numeroAtaRegistroPreco", "Número da ata"),
        integer("ano_ata", "anoAta", "Ano da ata", filter="ano"),
        boolean("cancelado", "cancelado", "Cancelada", filter="cancelada"),
        day("data_cancelamento", "dataCancelamento", "Cancelamento"),
        day("data_assinatura", "dataAssinatura", "Assinatura"),
        day("vigencia_inicio", "vigenciaInicio", "Início da vigência"),
        day("vigencia_fim", "vigenciaFim", "Fim da vigência"),
        text("objeto_contratacao", "objetoContratacao", "Objeto"),
        # missing before 2026, which does not say that it is not possible
        boolean("possibilidade_adesao", "possibilidadeAdesao", "Possibilidade de adesão", filter="adesao_possivel"),
        text("usuario", "usuario", "Sistema que publicou", filter="plataforma"),
        short_text("cnpj_orgao", "cnpjOrgao", "CNPJ do órgão", filter="cnpj"),
        text("nome_orgao", "nomeOrgao", "Órgão"),
        short_text("codigo_unidade_orgao", "codigoUnidadeOrgao", "Código da unidade do órgão", filter="codigo_unidade"),
        text("nome_unidade_orgao", "nomeUnidadeOrgao", "Unidade do órgão"),
        short_text("cnpj_orgao_subrogado", "cnpjOrgaoSubrogado", "CNPJ do órgão sub-rogado"),
        text("nome_orgao_subrogado", "nomeOrgaoSubrogado", "Órgão sub-rogado"),
        text("codigo_unidade_orgao_subrogado", "codigoUnidadeOrgaoSubrogado", "Código da unidade sub-rogada"),
        text("nome_unidade_orgao_subrogado", "nomeUnidadeOrgaoSubrogado", "Unidade sub-rogada"),
    ),
    conditions=(
        Condition(
            Kind.DAY,
            "vigente_em",
            "Em vigor neste dia, e não cancelada",
            "{t}.vigencia_inicio <= {value} AND {t}.vigencia_fim >= {value} AND {t}.cancelado IS NOT TRUE",
        ),
    ),
    page="https://pncp.gov.br/app/atas/{cnpj}/{ano}/{sequencial}/{numero}",
    # without esfera, poder and município, which other records have
    mentions=(
        *partial_mentions("cnpj_orgao", "nome_orgao", "codigo_unidade_orgao", "nome_unidade_orgao"),
        Mention(ORGAOS, {"cnpj": "cnpj_orgao_subrogado", "razao_social": "nome_orgao_subrogado"}, partial=True),
    ),
    rollup=Rollup("data_publicacao_pncp", {"plataforma": "usuario"}),
    searched=("numero_ata_registro_preco", "objeto_contratacao"),
    # what leads a list, whose rows come by the day of publication
    indexes=(
        ("data_atualizacao_global",),
        ("data_publicacao_pncp", "numero_controle_pncp_ata"),
        ("cnpj_orgao", "data_publicacao_pncp"),
        ("numero_controle_pncp_compra",),
        ("vigencia_fim", "numero_controle_pncp_ata"),
    ),
)
