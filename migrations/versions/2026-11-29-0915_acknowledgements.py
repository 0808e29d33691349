"""What administrators have taken note of: troubles that count again as soon as they change."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.execute("""
        CREATE TABLE acknowledgements (
            id text CONSTRAINT pk_acknowledgements PRIMARY KEY,
            fingerprint text NOT NULL,
            acknowledged_by text NOT NULL,
            acknowledged_at timestamptz NOT NULL DEFAULT now()
        )
    """)


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP TABLE acknowledgements")
