"""What the honesty of a success needs: watermarks, owed items, drift, the state of the source, patience by failures."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WALL_CLOCK = sa.DateTime(timezone=False)


def upgrade() -> None:
    op.add_column("sync_slices", sa.Column("failing_since", MOMENT))
    op.add_column("sync_slices", sa.Column("page_size", sa.Integer))

    op.create_table(
        "sync_counted",
        sa.Column("execution_id", sa.BigInteger, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "key", name="pk_sync_counted"),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["sync_executions.id"],
            name="fk_sync_counted_execution_id_sync_executions",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "watermarks",
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("since", WALL_CLOCK, nullable=False),
        sa.Column("reached", WALL_CLOCK, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("resource", "part", name="pk_watermarks"),
    )
    op.create_table(
        "schema_drift",
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("first_seen", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("last_seen", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("records", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("example", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("resource", "path", "kind", name="pk_schema_drift"),
    )

    op.add_column("source_pauses", sa.Column("reason", sa.Text))
    op.add_column("source_pauses", sa.Column("cause", sa.Text))
    op.add_column("source_pauses", sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("source_pauses", sa.Column("failing_since", MOMENT))
    op.add_column("source_pauses", sa.Column("probing_until", MOMENT))

    alive_until = sa.text("now() + interval '2 minutes'")
    op.add_column("workers", sa.Column("alive_until", MOMENT, nullable=False, server_default=alive_until))
    op.add_column("workers", sa.Column("is_busy", sa.Boolean, nullable=False, server_default=sa.text("false")))

    op.create_table(
        "itens_owed",
        sa.Column("numero_controle_pncp", sa.Text, nullable=False),
        sa.Column("as_of", WALL_CLOCK, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cause", sa.Text),
        sa.Column("execution_id", sa.BigInteger),
        sa.Column("owed_since", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("tries", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("empty_sights", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("due_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("set_aside_at", MOMENT),
        sa.PrimaryKeyConstraint("numero_controle_pncp", name="pk_itens_owed"),
        sa.ForeignKeyConstraint(
            ["numero_controle_pncp"],
            ["contratacoes.numero_controle_pncp"],
            name="fk_itens_owed_numero_controle_pncp_contratacoes",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["sync_executions.id"],
            name="fk_itens_owed_execution_id_sync_executions",
            ondelete="SET NULL",
        ),
    )
    op.create_index(
        "ix_itens_owed_due", "itens_owed", [sa.text("as_of DESC")], postgresql_where=sa.text("set_aside_at IS NULL")
    )
    op.create_index("ix_itens_owed_execution_id", "itens_owed", ["execution_id"])
    op.execute("""
        INSERT INTO itens_owed (numero_controle_pncp, as_of, reason)
        SELECT numero_controle_pncp, data_atualizacao_global, 'unread' FROM contratacoes WHERE itens_at IS NULL
    """)


def downgrade() -> None:
    op.drop_table("itens_owed")
    op.drop_column("workers", "is_busy")
    op.drop_column("workers", "alive_until")
    for name in ("probing_until", "failing_since", "failures", "cause", "reason"):
        op.drop_column("source_pauses", name)
    op.drop_table("schema_drift")
    op.drop_table("watermarks")
    op.drop_table("sync_counted")
    op.drop_column("sync_slices", "page_size")
    op.drop_column("sync_slices", "failing_since")
