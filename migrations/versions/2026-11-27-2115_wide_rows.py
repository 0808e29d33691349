"""Rows as wide as a page holds: payloads of an ordinary length are neither compressed nor moved out of their row."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WIDE = ("contratacoes", "itens_contratacao")


def upgrade() -> None:
    # 8160 is the most there is. Rows that are there already stay as they are; both forms are read alike.
    for table in WIDE:
        op.execute(f"ALTER TABLE {table} SET (toast_tuple_target = 8160)")


def downgrade() -> None:
    for table in WIDE:
        op.execute(f"ALTER TABLE {table} RESET (toast_tuple_target)")
