"""Órgãos, their units and suppliers, and the places in which records name them."""

from dataclasses import replace

from common.resources.description import Column, Mention, Party, short_text, text

ORGAOS = Party(
    name="orgaos",
    label="Órgãos",
    key=("cnpj",),
    called="razao_social",
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
    key=("codigo_unidade",),
    called="nome_unidade",
    columns=(
        short_text("codigo_unidade", "codigoUnidade", "Código"),
        text("nome_unidade", "nomeUnidade", "Nome"),
        text("codigo_ibge", "codigoIbge", "Código IBGE do município"),
        text("municipio_nome", "municipioNome", "Município"),
        text("uf_sigla", "ufSigla", "Sigla da UF"),
        text("uf_nome", "ufNome", "Nome da UF"),
    ),
)

FORNECEDORES = Party(
    name="fornecedores",
    label="Fornecedores",
    key=("tipo_pessoa", "ni"),
    called="nome",
    columns=(
        short_text("tipo_pessoa", "tipoPessoa", "Tipo de pessoa: PJ, PF ou PE"),
        short_text("ni", "ni", "CNPJ, CPF ou outro número", personal="tipoPessoa"),
        text("nome", "nome", "Nome ou razão social", personal="tipoPessoa"),
        text("codigo_pais", "codigoPais", "País"),
    ),
)
PARTIES = (ORGAOS, UNIDADES, FORNECEDORES)
"""In the order in which records write them, so that two that name the same ones cannot deadlock."""


def _prefixed(party: Party, prefix: str) -> dict[str, str]:
    return {column.name: f"{prefix}_{column.name}" for column in party.columns}


def _columns_of(party: Party, prefix: str, path: str, label: str) -> tuple[Column, ...]:
    """The columns in which a record repeats what its object at `path` says of a party."""
    return tuple(
        replace(
            column,
            name=f"{prefix}_{column.name}",
            path=f"{path}.{column.path}",
            label=f"{column.label} ({label})",
        )
        for column in party.columns
    )


ORGAO_ENTIDADE = Mention(ORGAOS, _prefixed(ORGAOS, "orgao_entidade"), "orgaoEntidade")
UNIDADE_ORGAO = Mention(
    UNIDADES, {"cnpj": "orgao_entidade_cnpj", **_prefixed(UNIDADES, "unidade_orgao")}, "unidadeOrgao"
)
ORGAO_SUB_ROGADO = Mention(ORGAOS, _prefixed(ORGAOS, "orgao_sub_rogado"), "orgaoSubRogado")
UNIDADE_SUB_ROGADA = Mention(
    UNIDADES, {"cnpj": "orgao_sub_rogado_cnpj", **_prefixed(UNIDADES, "unidade_sub_rogada")}, "unidadeSubRogada"
)
BOTH_ORGAOS = (ORGAO_ENTIDADE, UNIDADE_ORGAO, ORGAO_SUB_ROGADO, UNIDADE_SUB_ROGADA)
OF_BOTH_ORGAOS = (
    *_columns_of(ORGAOS, "orgao_entidade", "orgaoEntidade", "órgão"),
    *_columns_of(UNIDADES, "unidade_orgao", "unidadeOrgao", "unidade do órgão"),
    *_columns_of(ORGAOS, "orgao_sub_rogado", "orgaoSubRogado", "órgão sub-rogado"),
    *_columns_of(UNIDADES, "unidade_sub_rogada", "unidadeSubRogada", "unidade sub-rogada"),
)
