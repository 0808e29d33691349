"""Atas, plans with their items, and instrumentos de cobrança; suppliers are a party; parties know when they were named.

A party knows on which day it was last named, and whether only in part.
A pause of the source says in a word why, and in a sentence beside it.
The domain tables are mirrored.
What was read of plans may be kept as it was read, and their items have the names of demands.
Slices are claimed by the turns of their resources.
Resultados, documents and termos of records are mirrored where they are asked for.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WALL_CLOCK = sa.DateTime(timezone=False)

# ruff: noqa: S608  # all names in these statements stand here

# What parties are called stands as of the newest record that named them. `as_of` was when they were first called that;
# it becomes when they were last named.
NAMED = """
    SELECT orgao_entidade_cnpj AS cnpj, unidade_orgao_codigo_unidade AS codigo_unidade, data_atualizacao_global AS as_of
      FROM contratacoes
     UNION ALL
    SELECT orgao_entidade_cnpj, unidade_orgao_codigo_unidade, data_atualizacao_global FROM contratos
"""
LAST_NAMED = {
    "orgaos": f"""
        UPDATE orgaos o SET as_of = last.as_of
          FROM (SELECT cnpj, max(as_of) AS as_of FROM ({NAMED}) named GROUP BY cnpj) last
         WHERE last.cnpj = o.cnpj AND last.as_of > o.as_of
    """,
    "unidades": f"""
        UPDATE unidades u SET as_of = last.as_of
          FROM (SELECT cnpj, codigo_unidade, max(as_of) AS as_of
                  FROM ({NAMED}) named GROUP BY cnpj, codigo_unidade) last
         WHERE last.cnpj = u.cnpj AND last.codigo_unidade = u.codigo_unidade AND last.as_of > u.as_of
    """,
}
# Lists that are only read later than their records.
LISTS_AT = (
    ("contratacoes", "resultados_at"),
    ("contratacoes", "arquivos_at"),
    ("contratos", "arquivos_at"),
    ("contratos", "termos_at"),
)
LIST_TABLES = ("resultados", "arquivos_contratacao", "arquivos_contrato", "termos_contrato")
NAMES = {"orgaos": "razao_social", "unidades": "nome_unidade"}

# As the merge writes them of records that come; a supplier without a name, and one that another has hired, in part.
FILL_FORNECEDORES = r"""
    INSERT INTO fornecedores (tipo_pessoa, ni, nome, codigo_pais, payload, as_of, is_partial)
    SELECT DISTINCT ON (tipo_pessoa, ni)
           tipo_pessoa, ni, nome, codigo_pais,
           jsonb_strip_nulls(jsonb_build_object('tipoPessoa', tipo_pessoa, 'ni', ni, 'nome', nome,
                                                'codigoPais', codigo_pais)),
           as_of, is_partial
      FROM (SELECT tipo_pessoa, ni_fornecedor AS ni, data_atualizacao_global AS as_of,
                   CASE WHEN nome_razao_social_fornecedor ~ '\S' THEN nome_razao_social_fornecedor END AS nome,
                   codigo_pais_fornecedor AS codigo_pais,
                   nome_razao_social_fornecedor ~ '\S' IS NOT TRUE AS is_partial
              FROM contratos
             UNION ALL
            SELECT tipo_pessoa_sub_contratada, ni_fornecedor_sub_contratado, data_atualizacao_global,
                   CASE WHEN nome_fornecedor_sub_contratado ~ '\S' THEN nome_fornecedor_sub_contratado END,
                   NULL, true
              FROM contratos) named
     WHERE tipo_pessoa ~ '\S' AND ni ~ '\S' AND length(tipo_pessoa) <= 250 AND length(ni) <= 250
     ORDER BY tipo_pessoa, ni, is_partial, as_of DESC
"""

# Of pauses that are on during the upgrade; they last a quarter of an hour at most.
CAUSES = (
    "cause IN ('portal_down', 'no_answer', 'portal_refused', 'bad_answer', 'incomplete', 'database', 'internal',"
    " 'stalled', 'no_worker', 'publish_failed', 'cancelled', 'cut_off')"
)
FILL_PAUSES = """
    UPDATE source_pauses
       SET cause = CASE WHEN reason IN ('blocked', 'refused') THEN 'portal_refused' ELSE 'no_answer' END
     WHERE reason IS NOT NULL
"""


def _word_pauses() -> None:
    op.alter_column("source_pauses", "cause", new_column_name="error_message")
    op.add_column("source_pauses", sa.Column("cause", sa.Text))
    op.create_check_constraint("cause", "source_pauses", CAUSES)
    op.execute(FILL_PAUSES)


def _unword_pauses() -> None:
    op.drop_column("source_pauses", "cause")
    op.alter_column("source_pauses", "error_message", new_column_name="cause")


def _create_fornecedores() -> None:
    op.create_table(
        "fornecedores",
        sa.Column("tipo_pessoa", sa.Text, nullable=False),
        sa.Column("ni", sa.Text, nullable=False),
        sa.Column("nome", sa.Text),
        sa.Column("codigo_pais", sa.Text),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("as_of", WALL_CLOCK, nullable=False),
        sa.Column("is_partial", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("tipo_pessoa", "ni", name="pk_fornecedores"),
    )
    op.execute(FILL_FORNECEDORES)


def _create_dominios() -> None:
    op.create_table(
        "dominios",
        sa.Column("dominio", sa.Text, nullable=False),
        sa.Column("codigo", sa.Text, nullable=False),
        sa.Column("nome", sa.Text),
        sa.Column("descricao", sa.Text),
        sa.Column("ativo", sa.Boolean),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("ausente_desde", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("dominio", "codigo", name="pk_dominios"),
    )


def _create_atas() -> None:
    op.create_table(
        "atas",
        sa.Column("numero_controle_pncp_ata", sa.Text, nullable=False),
        sa.Column("data_atualizacao", WALL_CLOCK, nullable=False),
        sa.Column("data_atualizacao_global", WALL_CLOCK, nullable=False),
        sa.Column("data_publicacao_pncp", sa.Date),
        sa.Column("data_inclusao", sa.Date),
        sa.Column("numero_controle_pncp_compra", sa.Text),
        sa.Column("numero_ata_registro_preco", sa.Text),
        sa.Column("ano_ata", sa.Integer),
        sa.Column("cancelado", sa.Boolean),
        sa.Column("data_cancelamento", sa.Date),
        sa.Column("data_assinatura", sa.Date),
        sa.Column("vigencia_inicio", sa.Date),
        sa.Column("vigencia_fim", sa.Date),
        sa.Column("objeto_contratacao", sa.Text),
        sa.Column("possibilidade_adesao", sa.Boolean),
        sa.Column("usuario", sa.Text),
        sa.Column("cnpj_orgao", sa.Text),
        sa.Column("nome_orgao", sa.Text),
        sa.Column("codigo_unidade_orgao", sa.Text),
        sa.Column("nome_unidade_orgao", sa.Text),
        sa.Column("cnpj_orgao_subrogado", sa.Text),
        sa.Column("nome_orgao_subrogado", sa.Text),
        sa.Column("codigo_unidade_orgao_subrogado", sa.Text),
        sa.Column("nome_unidade_orgao_subrogado", sa.Text),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("numero_controle_pncp_ata", name="pk_atas"),
    )
    op.create_index("ix_atas_cnpj_orgao", "atas", ["cnpj_orgao", "data_atualizacao_global"])
    op.create_index("ix_atas_data_atualizacao_global", "atas", ["data_atualizacao_global"])
    op.create_index("ix_atas_data_publicacao_pncp", "atas", ["data_publicacao_pncp"])
    op.create_index("ix_atas_numero_controle_pncp_compra", "atas", ["numero_controle_pncp_compra"])
    op.create_index("ix_atas_vigencia_fim", "atas", ["vigencia_fim"])


def _create_instrumentos_cobranca() -> None:
    op.create_table(
        "instrumentos_cobranca",
        sa.Column("chave", sa.Text, nullable=False),
        sa.Column("cnpj", sa.Text, nullable=False),
        sa.Column("ano", sa.Integer, nullable=False),
        sa.Column("sequencial_contrato", sa.Integer, nullable=False),
        sa.Column("sequencial_instrumento_cobranca", sa.Integer, nullable=False),
        sa.Column("data_inclusao", WALL_CLOCK, nullable=False),
        sa.Column("data_atualizacao", WALL_CLOCK, nullable=False),
        sa.Column("numero_controle_pncp_contrato", sa.Text),
        sa.Column("tipo_instrumento_cobranca_id", sa.Integer),
        sa.Column("tipo_instrumento_cobranca_nome", sa.Text),
        sa.Column("numero_instrumento_cobranca", sa.Text),
        sa.Column("data_emissao_documento", sa.Date),
        sa.Column("observacao", sa.Text),
        sa.Column("chave_nfe", sa.Text),
        sa.Column("fonte_nfe", sa.Integer),
        sa.Column("data_consulta_nfe", WALL_CLOCK),
        sa.Column("status_response_nfe", sa.Text),
        sa.Column("json_response_nfe", sa.Text),
        sa.Column("nota_fiscal_valor", sa.Text),
        sa.Column("nota_fiscal_emissao", sa.Text),
        sa.Column("nota_fiscal_ni_emitente", sa.Text),
        sa.Column("nota_fiscal_nome_emitente", sa.Text),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("chave", name="pk_instrumentos_cobranca"),
    )
    op.create_index("ix_instrumentos_cobranca_data_inclusao", "instrumentos_cobranca", ["data_inclusao"])
    op.create_index(
        "ix_instrumentos_cobranca_nota_fiscal_ni_emitente", "instrumentos_cobranca", ["nota_fiscal_ni_emitente"]
    )
    op.create_index(
        "ix_instrumentos_cobranca_numero_controle_pncp_contrato",
        "instrumentos_cobranca",
        ["numero_controle_pncp_contrato"],
    )


def _create_debts(name: str, table: str, key: str, *more: sa.Column[Any]) -> None:
    """The records of a table whose lists are to be read later; of lists that are only read so, `more` is known."""
    debts = f"{name}_owed"
    op.create_table(
        debts,
        sa.Column(key, sa.Text, nullable=False),
        sa.Column("as_of", WALL_CLOCK, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cause", sa.Text),
        sa.Column("execution_id", sa.BigInteger),
        sa.Column("owed_since", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("tries", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("empty_sights", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("set_aside_at", MOMENT),
        *more,
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["sync_executions.id"],
            name=f"fk_{debts}_execution_id_sync_executions",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint([key], [f"{table}.{key}"], name=f"fk_{debts}_{key}_{table}", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(key, name=f"pk_{debts}"),
    )
    order = ["asked_at", "as_of DESC"] if more else ["as_of DESC"]
    due = list(map(sa.text, order))
    op.create_index(f"ix_{debts}_due", debts, due, postgresql_where=sa.text("set_aside_at IS NULL"))
    op.create_index(f"ix_{debts}_execution_id", debts, ["execution_id"])


def _create_pcas() -> None:
    op.create_table(
        "pcas",
        sa.Column("id_pca_pncp", sa.Text, nullable=False),
        sa.Column("data_publicacao_pncp", WALL_CLOCK, nullable=False),
        sa.Column("data_atualizacao_global_pca", WALL_CLOCK, nullable=False),
        sa.Column("ano_pca", sa.Integer),
        sa.Column("orgao_entidade_cnpj", sa.Text),
        sa.Column("orgao_entidade_razao_social", sa.Text),
        sa.Column("codigo_unidade", sa.Text),
        sa.Column("nome_unidade", sa.Text),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("itens_at", MOMENT),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id_pca_pncp", name="pk_pcas"),
    )
    op.create_index("ix_pcas_data_atualizacao_global_pca", "pcas", ["data_atualizacao_global_pca"])
    op.create_index("ix_pcas_orgao_entidade_cnpj", "pcas", ["orgao_entidade_cnpj", "data_atualizacao_global_pca"])
    op.create_table(
        "itens_pca",
        sa.Column("id_pca_pncp", sa.Text, nullable=False),
        sa.Column("numero_item", sa.Integer, nullable=False),
        sa.Column("descricao", sa.Text),
        sa.Column("categoria_item_pca_id", sa.Integer),
        sa.Column("categoria_item_pca_nome", sa.Text),
        sa.Column("catalogo_id", sa.Integer),
        sa.Column("nome_catalogo", sa.Text),
        sa.Column("classificacao_catalogo_id", sa.Integer),
        sa.Column("nome_classificacao", sa.Text),
        sa.Column("classificacao_superior_codigo", sa.Text),
        sa.Column("classificacao_superior_nome", sa.Text),
        sa.Column("pdm_codigo", sa.Text),
        sa.Column("pdm_descricao", sa.Text),
        sa.Column("codigo_item", sa.Text),
        sa.Column("grupo_contratacao_codigo", sa.Text),
        sa.Column("grupo_contratacao_nome", sa.Text),
        sa.Column("unidade_fornecimento", sa.Text),
        sa.Column("unidade_requisitante", sa.Text),
        sa.Column("quantidade", sa.Numeric),
        sa.Column("valor_unitario", sa.Numeric),
        sa.Column("valor_total", sa.Numeric),
        sa.Column("valor_orcamento_exercicio", sa.Numeric),
        sa.Column("data_desejada", sa.Date),
        sa.Column("data_inclusao", WALL_CLOCK),
        sa.Column("data_atualizacao", WALL_CLOCK),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["id_pca_pncp"],
            ["pcas.id_pca_pncp"],
            name="fk_itens_pca_id_pca_pncp_pcas",
            ondelete="CASCADE",
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("id_pca_pncp", "numero_item", name="pk_itens_pca"),
    )
    _create_debts("itens_pca", "pcas", "id_pca_pncp")


# Nothing says when a demand ends. An item stands in its plan until the plan's list is to be read again.
CREATE_DEMANDAS = """
    CREATE VIEW demandas AS
    SELECT i.id_pca_pncp, i.numero_item,
           (SELECT max(c.coleta_id) FROM coleta_paginas c WHERE c.id_pca_pncp = i.id_pca_pncp) AS coleta_id,
           i.grupo_contratacao_codigo AS dfd,
           coalesce(i.descricao, i.pdm_descricao, i.grupo_contratacao_nome, i.classificacao_superior_nome) AS descricao,
           i.valor_total AS valor, i.data_desejada AS data_inicio, CAST(NULL AS date) AS data_fim,
           CASE WHEN p.itens_at IS NULL THEN 'desatualizada' ELSE 'publicada' END AS status
      FROM itens_pca i JOIN pcas p USING (id_pca_pncp)
"""


def _create_coletas() -> None:
    op.create_table(
        "coletas",
        sa.Column("id", sa.BigInteger, sa.Identity(always=False), nullable=False),
        sa.Column("fonte", sa.Text, server_default="PNCP", nullable=False),
        sa.Column("data_coleta", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("ano_referencia", sa.Integer, nullable=False),
        sa.Column("cnpj", sa.Text),
        sa.Column("execution_id", sa.BigInteger, nullable=False),
        sa.Column("dados", JSONB),
        sa.Column("status", sa.Text),
        sa.CheckConstraint("fonte IN ('PNCP', 'PGC')", name="fonte"),
        sa.CheckConstraint("status IN ('success', 'error')", name="status"),
        sa.PrimaryKeyConstraint("id", name="pk_coletas"),
    )
    op.create_index(
        "uq_coletas_execution_id",
        "coletas",
        ["execution_id", "fonte", "ano_referencia", "cnpj"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_index("ix_coletas_data_coleta", "coletas", ["data_coleta"])
    op.create_index("ix_coletas_unsettled", "coletas", ["id"], postgresql_where=sa.text("status IS NULL"))
    op.create_table(
        "coleta_paginas",
        sa.Column("id", sa.BigInteger, sa.Identity(always=False), nullable=False),
        sa.Column("coleta_id", sa.BigInteger, nullable=False),
        sa.Column("id_pca_pncp", sa.Text, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("dados", JSONB),
        sa.ForeignKeyConstraint(
            ["coleta_id"], ["coletas.id"], name="fk_coleta_paginas_coleta_id_coletas", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_coleta_paginas"),
    )
    op.create_index("ix_coleta_paginas_coleta_id", "coleta_paginas", ["coleta_id"])
    op.create_index("ix_coleta_paginas_id_pca_pncp", "coleta_paginas", ["id_pca_pncp", "coleta_id"])
    op.execute(CREATE_DEMANDAS)


CLAIM = "ix_sync_slices_claim"
UNFINISHED = sa.text("status IN ('pending', 'running')")


def _let_resources_take_turns() -> None:
    op.drop_index(CLAIM, "sync_slices")
    columns = ["mode", "resource", "execution_id", "ordinal"]
    op.create_index(CLAIM, "sync_slices", columns, postgresql_where=UNFINISHED)


def _let_resources_wait() -> None:
    op.drop_index(CLAIM, "sync_slices")
    columns: list[str | sa.TextClause] = [sa.text("(mode = 'backfill')"), "execution_id", "ordinal"]
    op.create_index(CLAIM, "sync_slices", columns, postgresql_where=UNFINISHED)


def _create_resultados() -> None:
    op.create_table(
        "resultados",
        sa.Column("numero_controle_pncp", sa.Text, nullable=False),
        sa.Column("numero_item", sa.Integer, nullable=False),
        sa.Column("sequencial_resultado", sa.Integer, nullable=False),
        sa.Column("tipo_pessoa", sa.Text),
        sa.Column("ni_fornecedor", sa.Text),
        sa.Column("nome_razao_social_fornecedor", sa.Text),
        sa.Column("codigo_pais", sa.Text),
        sa.Column("porte_fornecedor_id", sa.Integer),
        sa.Column("porte_fornecedor_nome", sa.Text),
        sa.Column("natureza_juridica_id", sa.Text),
        sa.Column("natureza_juridica_nome", sa.Text),
        sa.Column("localidade_fornecedor", JSONB),
        sa.Column("localidade_exterior", JSONB),
        sa.Column("quantidade_homologada", sa.Numeric),
        sa.Column("valor_unitario_homologado", sa.Numeric),
        sa.Column("valor_total_homologado", sa.Numeric),
        sa.Column("percentual_desconto", sa.Numeric),
        sa.Column("situacao_compra_item_resultado_id", sa.Integer),
        sa.Column("situacao_compra_item_resultado_nome", sa.Text),
        sa.Column("data_resultado", sa.Date),
        sa.Column("data_inclusao", WALL_CLOCK),
        sa.Column("data_atualizacao", WALL_CLOCK),
        sa.Column("data_cancelamento", WALL_CLOCK),
        sa.Column("motivo_cancelamento", sa.Text),
        sa.Column("ordem_classificacao_srp", sa.Integer),
        sa.Column("reserva_remanescente_codigo", sa.Integer),
        sa.Column("reserva_remanescente_nome", sa.Text),
        sa.Column("indicador_subcontratacao", sa.Boolean),
        sa.Column("aplicacao_margem_preferencia", sa.Boolean),
        sa.Column("amparo_legal_margem_preferencia", JSONB),
        sa.Column("aplicacao_beneficio_me_epp", sa.Boolean),
        sa.Column("aplicacao_criterio_desempate", sa.Boolean),
        sa.Column("amparo_legal_criterio_desempate", JSONB),
        sa.Column("pais_origem_produto_servico", JSONB),
        sa.Column("moeda_estrangeira", JSONB),
        sa.Column("valor_nominal_moeda_estrangeira", sa.Numeric),
        sa.Column("data_cotacao_moeda_estrangeira", JSONB),
        sa.Column("timezone_cotacao_moeda_estrangeira", JSONB),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["numero_controle_pncp"],
            ["contratacoes.numero_controle_pncp"],
            name="fk_resultados_numero_controle_pncp_contratacoes",
            ondelete="CASCADE",
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("numero_controle_pncp", "numero_item", "sequencial_resultado", name="pk_resultados"),
    )
    op.create_index("ix_resultados_ni_fornecedor", "resultados", ["ni_fornecedor"])
    _create_debts(
        "resultados",
        "contratacoes",
        "numero_controle_pncp",
        sa.Column("asked_at", MOMENT),
        sa.Column("parts_left", ARRAY(sa.Integer)),
    )


def _create_arquivos(name: str, table: str) -> None:
    op.create_table(
        name,
        sa.Column("numero_controle_pncp", sa.Text, nullable=False),
        sa.Column("sequencial_documento", sa.Integer, nullable=False),
        sa.Column("titulo", sa.Text),
        sa.Column("tipo_documento_id", sa.Integer),
        sa.Column("tipo_documento_nome", sa.Text),
        sa.Column("tipo_documento_descricao", sa.Text),
        sa.Column("url", sa.Text),
        sa.Column("data_publicacao_pncp", WALL_CLOCK),
        sa.Column("status_ativo", sa.Boolean),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["numero_controle_pncp"],
            [f"{table}.numero_controle_pncp"],
            name=f"fk_{name}_numero_controle_pncp_{table}",
            ondelete="CASCADE",
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("numero_controle_pncp", "sequencial_documento", name=f"pk_{name}"),
    )
    _create_debts(name, table, "numero_controle_pncp", sa.Column("asked_at", MOMENT))


def _create_termos() -> None:
    op.create_table(
        "termos_contrato",
        sa.Column("numero_controle_pncp", sa.Text, nullable=False),
        sa.Column("sequencial_termo_contrato", sa.Integer, nullable=False),
        sa.Column("numero_termo_contrato", sa.Text),
        sa.Column("tipo_termo_contrato_nome", sa.Text),
        sa.Column("objeto_termo_contrato", sa.Text),
        sa.Column("fundamento_legal", sa.Text),
        sa.Column("informativo_observacao", sa.Text),
        sa.Column("informacao_complementar", sa.Text),
        sa.Column("processo", sa.Text),
        sa.Column("qualificacao_acrescimo_supressao", sa.Boolean),
        sa.Column("qualificacao_vigencia", sa.Boolean),
        sa.Column("qualificacao_fornecedor", sa.Boolean),
        sa.Column("qualificacao_reajuste", sa.Boolean),
        sa.Column("valor_acrescido", sa.Numeric),
        sa.Column("valor_parcela", sa.Numeric),
        sa.Column("valor_global", sa.Numeric),
        sa.Column("numero_parcelas", sa.Integer),
        sa.Column("prazo_aditado_dias", sa.Integer),
        sa.Column("data_assinatura", sa.Date),
        sa.Column("data_vigencia_inicio", sa.Date),
        sa.Column("data_vigencia_fim", sa.Date),
        sa.Column("data_publicacao_pncp", WALL_CLOCK),
        sa.Column("data_inclusao", WALL_CLOCK),
        sa.Column("data_atualizacao", WALL_CLOCK),
        sa.Column("tipo_pessoa", sa.Text),
        sa.Column("ni_fornecedor", sa.Text),
        sa.Column("nome_razao_social_fornecedor", sa.Text),
        sa.Column("tipo_pessoa_sub_contratada", sa.Text),
        sa.Column("ni_fornecedor_sub_contratado", sa.Text),
        sa.Column("nome_fornecedor_sub_contratado", sa.Text),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["numero_controle_pncp"],
            ["contratos.numero_controle_pncp"],
            name="fk_termos_contrato_numero_controle_pncp_contratos",
            ondelete="CASCADE",
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("numero_controle_pncp", "sequencial_termo_contrato", name="pk_termos_contrato"),
    )
    _create_debts("termos_contrato", "contratos", "numero_controle_pncp", sa.Column("asked_at", MOMENT))


def _add_lists() -> None:
    for table, column in LISTS_AT:
        op.add_column(table, sa.Column(column, MOMENT))
    _create_resultados()
    _create_arquivos("arquivos_contratacao", "contratacoes")
    _create_arquivos("arquivos_contrato", "contratos")
    _create_termos()
    op.create_table(
        "list_scopes",
        sa.Column("list", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("position", sa.Text, server_default=sa.text("''"), nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("list", name="pk_list_scopes"),
    )


def _drop_lists() -> None:
    op.drop_table("list_scopes")
    for table in LIST_TABLES:
        op.drop_table(f"{table}_owed")
        op.drop_table(table)
    for table, column in LISTS_AT:
        op.drop_column(table, column)


def upgrade() -> None:
    _word_pauses()
    _create_dominios()
    _let_resources_take_turns()
    for table, name in NAMES.items():
        op.add_column(table, sa.Column("is_partial", sa.Boolean, nullable=False, server_default=sa.false()))
        op.execute(rf"UPDATE {table} SET is_partial = true WHERE {name} ~ '\S' IS NOT TRUE")
        op.execute(LAST_NAMED[table])
    _create_fornecedores()
    _create_atas()
    _create_pcas()
    _create_instrumentos_cobranca()
    _create_coletas()
    _add_lists()


def downgrade() -> None:
    op.execute("DROP VIEW demandas")
    for table in ("coleta_paginas", "coletas"):
        op.drop_table(table)
    _drop_lists()
    for table in ("instrumentos_cobranca", "itens_pca_owed", "itens_pca", "pcas", "atas"):
        op.drop_table(table)
    _unword_pauses()
    op.drop_table("dominios")
    _let_resources_wait()
    op.drop_table("fornecedores")
    for table in NAMES:
        op.drop_column(table, "is_partial")
