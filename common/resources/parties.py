"""Órgãos and their units, and the places in which records name them."""

from dataclasses import replace

from common.resources.description import Column, Mention, Party, short_text, text

ORGAOS = Party(
    name="orgaos",
    label="Órgãos",
    key="cnpj",
    columns=(
        short_text("cnpj", "cnpj", "CNPJ"),
        text("razao_social", "razaoSocial", "Razão social"),
        text("poder_id", "poderId", "Poder"),
        text("esfera_id", "esferaId", "Esfera"),
    ),
)
UNIDADES = Party(
    name="unidades",
    label="Unidades administrativas",
    owner=ORGAOS,
    key="codigo_unidade",
    columns=(
        short_text("codigo_unidade", "codigoUnidade", "Código"),
        text("nome_unidade", "nomeUnidade", "Nome"),
        text("codigo_ibge", "codigoIbge", "Código IBGE do município"),
        text("municipio_nome", "municipioNome", "Município"),
        text("uf_sigla", "ufSigla", "Sigla da UF"),
        text("uf_nome", "ufNome", "Nome da UF"),
    ),
)

ORGAO_ENTIDADE = Mention(ORGAOS, "orgao_entidade", "orgaoEntidade", "órgão", confirms=True)
UNIDADE_ORGAO = Mention(
    UNIDADES, "unidade_orgao", "unidadeOrgao", "unidade do órgão", owner=ORGAO_ENTIDADE, confirms=True
)
ORGAO_SUB_ROGADO = Mention(ORGAOS, "orgao_sub_rogado", "orgaoSubRogado", "órgão sub-rogado")
UNIDADE_SUB_ROGADA = Mention(
    UNIDADES, "unidade_sub_rogada", "unidadeSubRogada", "unidade sub-rogada", owner=ORGAO_SUB_ROGADO
)
BOTH_ORGAOS = (ORGAO_ENTIDADE, UNIDADE_ORGAO, ORGAO_SUB_ROGADO, UNIDADE_SUB_ROGADA)
PARTIES = (ORGAOS, UNIDADES)


def columns_of(mention: Mention) -> tuple[Column, ...]:
    """The columns in which a record repeats what it says of a party."""
    return tuple(
        replace(
            column,
            name=f"{mention.prefix}_{column.name}",
            path=f"{mention.path}.{column.path}",
            label=f"{column.label} ({mention.label})",
        )
        for column in mention.party.columns
    )


OF_BOTH_ORGAOS = tuple(column for mention in BOTH_ORGAOS for column in columns_of(mention))
