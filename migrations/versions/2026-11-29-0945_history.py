"""The portal's log of contratações and contratos is mirrored where asked for; changes are found by their record."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WALL_CLOCK = sa.DateTime(timezone=False)
LISTS = {"historico_contratacao": "contratacoes", "historico_contrato": "contratos"}


def _integers(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Integer) for name in names]


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text) for name in names]


def _create_history(name: str, table: str, *columns: sa.Column[Any]) -> None:
    """Events are told apart by a key of ours: when, what was done, and to which part of the record."""
    op.create_table(
        name,
        sa.Column("numero_controle_pncp", sa.Text, nullable=False),
        sa.Column("evento", sa.Text, nullable=False),
        sa.Column("log_manutencao_data_inclusao", WALL_CLOCK, nullable=False),
        *_integers("tipo_log_manutencao", "categoria_log_manutencao"),
        *_texts("tipo_log_manutencao_nome", "categoria_log_manutencao_nome"),
        *columns,
        *_texts("justificativa", "usuario_nome"),
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
        sa.PrimaryKeyConstraint("numero_controle_pncp", "evento", name=f"pk_{name}"),
    )


def _create_debts(name: str, table: str) -> None:
    debts = f"{name}_owed"
    op.create_table(
        debts,
        sa.Column("numero_controle_pncp", sa.Text, nullable=False),
        sa.Column("as_of", WALL_CLOCK, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cause", sa.Text),
        sa.Column("execution_id", sa.BigInteger),
        sa.Column("owed_since", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("tries", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("empty_sights", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("set_aside_at", MOMENT),
        sa.Column("asked_at", MOMENT),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["sync_executions.id"],
            name=f"fk_{debts}_execution_id_sync_executions",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["numero_controle_pncp"],
            [f"{table}.numero_controle_pncp"],
            name=f"fk_{debts}_numero_controle_pncp_{table}",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("numero_controle_pncp", name=f"pk_{debts}"),
    )
    due = [sa.text("asked_at"), sa.text("as_of DESC")]
    op.create_index(f"ix_{debts}_due", debts, due, postgresql_where=sa.text("set_aside_at IS NULL"))
    op.create_index(f"ix_{debts}_execution_id", debts, ["execution_id"])


def upgrade() -> None:
    """Add the tables of events, and of records whose events are to be read."""
    _create_history(
        "historico_contratacao",
        "contratacoes",
        *_integers("item_numero", "item_resultado_numero", "item_resultado_sequencial", "documento_sequencial"),
        *_texts("documento_titulo", "documento_tipo"),
    )
    _create_history(
        "historico_contrato",
        "contratos",
        *_integers("documento_sequencial", "sequencial_termo_contrato", "sequencial_documento_termo_contrato"),
        *_integers("sequencial_empenho", "sequencial_instrumento_cobranca"),
        *_texts("documento_titulo", "numero_termo_contrato", "titulo_documento_termo_contrato"),
    )
    for name, table in LISTS.items():
        op.add_column(table, sa.Column("historico_at", MOMENT))
        _create_debts(name, table)
    op.create_index("ix_mudancas_chave", "mudancas", ["chave"], postgresql_where=sa.text("tipo <> 'inserido'"))


def downgrade() -> None:
    """Remove them."""
    op.drop_index("ix_mudancas_chave", "mudancas")
    for name, table in LISTS.items():
        op.drop_column(table, "historico_at")
        op.drop_table(f"{name}_owed")
        op.drop_table(name)
