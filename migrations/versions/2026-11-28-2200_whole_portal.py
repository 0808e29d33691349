"""Suppliers are a party of the mirror; parties know on which day they were last named, and whether only in part.

A pause of the source says in a word why, and in a sentence beside it.
The domain tables are mirrored.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

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


def upgrade() -> None:
    _word_pauses()
    _create_dominios()
    for table, name in NAMES.items():
        op.add_column(table, sa.Column("is_partial", sa.Boolean, nullable=False, server_default=sa.false()))
        op.execute(rf"UPDATE {table} SET is_partial = true WHERE {name} ~ '\S' IS NOT TRUE")
        op.execute(LAST_NAMED[table])
    _create_fornecedores()


def downgrade() -> None:
    _unword_pauses()
    op.drop_table("dominios")
    op.drop_table("fornecedores")
    for table in NAMES:
        op.drop_column(table, "is_partial")
