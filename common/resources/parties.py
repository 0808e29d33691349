"""Órgãos, their units and suppliers, and the places in which records name them."""

from dataclasses import replace

from common.resources.description import Column, Mention, Party, short_text, text

ORGAOS = Party(
    name="orgaos",
    label="Órgãos",
    key=("cnpj",),
    called="razao_social",
    columns=(
        short_text("cnpj", "cnpj", "CNPJ", filter="cnpj"),
        text("razao_social", "razaoSocial", "Razão social"),
        text("poder_id", "poderId", "Poder", filter="poder"),
        text("esfera_id", "esferaId", "Esfera", filter="esfera"),
    ),
    searched=("razao_social",),
)
UNIDADES = Party(
    name="unidades",
    label="Unidades administrativas",
    owner=ORGAOS,
    key=("codigo_unidade",),
    called="nome_unidade",
    columns=(
        short_text("codigo_unidade", "codigoUnidade", "Código", filter="codigo_unidade"),
        text("nome_unidade", "nomeUnidade", "Nome"),
        short_text("codigo_ibge", "codigoIbge", "Código IBGE do município", filter="codigo_ibge"),
        text("municipio_nome", "municipioNome", "Município", filter="municipio"),
        short_text("uf_sigla", "ufSigla", "Sigla da UF", filter="uf"),
        text("uf_nome", "ufNome", "Nome da UF"),
    ),
    searched=("nome_unidade", "municipio_nome"),
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
    searched=("nome",),
)
PARTIES = (ORGAOS, UNIDADES, FORNECEDORES)
"""In the order in which records write them, so that two that name the same ones cannot deadlock."""


def _prefixed(party: Party, prefix: str) -> dict[str, str]:
    return {column.name: f"{prefix}_{column.name}" for column in party.columns}


def _columns_of(party: Party, prefix: str, path: str, label: str, *, filters: bool = False) -> tuple[Column, ...]:
    """The columns in which a record repeats what its object at `path` says of a party; `filters`: as its filters."""
    return tuple(
        replace(
            column,
            name=f"{prefix}_{column.name}",
            path=f"{path}.{column.path}",
            label=f"{column.label} ({label})",
            filter=column.filter if filters else "",
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
    *_columns_of(ORGAOS, "orgao_entidade", "orgaoEntidade", "órgão", filters=True),
    *_columns_of(UNIDADES, "unidade_orgao", "unidadeOrgao", "unidade do órgão", filters=True),
    *_columns_of(ORGAOS, "orgao_sub_rogado", "orgaoSubRogado", "órgão sub-rogado"),
    *_columns_of(UNIDADES, "unidade_sub_rogada", "unidadeSubRogada", "unidade sub-rogada"),
)
FORNECEDOR = Mention(
    FORNECEDORES,
    {"tipo_pessoa": "tipo_pessoa", "ni": "ni_fornecedor", "nome": "nome_razao_social_fornecedor"},
    partial=True,
)
SUB_CONTRATADO = Mention(
    FORNECEDORES,
    {
        "tipo_pessoa": "tipo_pessoa_sub_contratada",
        "ni": "ni_fornecedor_sub_contratado",
        "nome": "nome_fornecedor_sub_contratado",
    },
    partial=True,
)
OF_FORNECEDOR = (
    short_text("tipo_pessoa", "tipoPessoa", "Tipo de pessoa do fornecedor: PJ, PF ou PE"),
    short_text("ni_fornecedor", "niFornecedor", "CNPJ, CPF ou outro número do fornecedor", personal="tipoPessoa"),
    text("nome_razao_social_fornecedor", "nomeRazaoSocialFornecedor", "Fornecedor", personal="tipoPessoa"),
)
OF_SUB_CONTRATADO = (
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
)


def fornecedor_of(codigo_pais: str) -> Mention:
    """The supplier of a record that says in this column its country too."""
    return Mention(FORNECEDORES, {**FORNECEDOR.columns, "codigo_pais": codigo_pais})


def partial_mentions(cnpj: str, razao_social: str, codigo_unidade: str, nome_unidade: str) -> tuple[Mention, ...]:
    """The órgão and the unit of a record that names them by these columns, without esfera, poder and município."""
    return (
        Mention(ORGAOS, {"cnpj": cnpj, "razao_social": razao_social}, partial=True),
        Mention(UNIDADES, {"cnpj": cnpj, "codigo_unidade": codigo_unidade, "nome_unidade": nome_unidade}, partial=True),
    )
