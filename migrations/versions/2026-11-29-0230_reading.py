"""What readers page by: suppliers have a number of ours, since their key may hold a CPF and addresses mask nothing."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the number; the table is written anew, which takes seconds for a million suppliers."""
    op.execute("ALTER TABLE fornecedores ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY")
    op.execute("ALTER TABLE fornecedores ADD CONSTRAINT uq_fornecedores_id UNIQUE (id)")


def downgrade() -> None:
    """Remove it."""
    op.execute("ALTER TABLE fornecedores DROP COLUMN id")
