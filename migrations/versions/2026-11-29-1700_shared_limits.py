"""Backends count together what is limited, and an execution keeps the trace of the request that asked for it."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, which no backup and no standby needs, and the column."""
    op.execute("""
        CREATE UNLOGGED TABLE limit_counts (
            kind text NOT NULL,
            key text NOT NULL,
            seconds integer NOT NULL,
            events integer NOT NULL,
            ends_at timestamptz NOT NULL,
            CONSTRAINT pk_limit_counts PRIMARY KEY (kind, key, seconds)
        )
    """)
    op.execute("ALTER TABLE sync_executions ADD COLUMN traceparent text")


def downgrade() -> None:
    """Remove them."""
    op.execute("ALTER TABLE sync_executions DROP COLUMN traceparent")
    op.execute("DROP TABLE limit_counts")
