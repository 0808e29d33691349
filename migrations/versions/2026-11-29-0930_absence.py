"""Since when the portal no longer lists a record."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

KEYS = {"contratacoes": "numero_controle_pncp", "contratos": "numero_controle_pncp"}


def upgrade() -> None:
    """Add the column, and the index of the few rows that have it."""
    for table in KEYS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS ausente_desde timestamptz")
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        for table, key in KEYS.items():
            name = f"ix_{table}_ausente_desde"
            # one that was cut off is there and not valid
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
            op.create_index(
                name,
                table,
                ["data_publicacao_pncp", key],
                postgresql_where=sa.text("ausente_desde IS NOT NULL"),
                postgresql_concurrently=True,
            )
            # without statistics a new column counts as filled, and the index as useless
            op.execute(f"ANALYZE {table} (ausente_desde)")
        op.execute("RESET statement_timeout")
        op.execute("SET lock_timeout = '5s'")


def downgrade() -> None:
    """Remove them."""
    for table in KEYS:
        op.drop_index(f"ix_{table}_ausente_desde", table)
        op.drop_column(table, "ausente_desde")
