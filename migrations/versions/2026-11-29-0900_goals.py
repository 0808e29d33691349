"""What is to be kept complete, the slices that fill it, and an index of what of it has failed."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CLAIM = "ix_sync_slices_claim"
UNFINISHED = sa.text("status IN ('pending', 'running')")


def _rank_claims(*columns: str) -> None:
    op.drop_index(CLAIM, "sync_slices")
    op.create_index(CLAIM, "sync_slices", list(columns), postgresql_where=UNFINISHED)


def upgrade() -> None:
    """Add the table, the column of slices by which they are claimed last, and both indexes."""
    op.execute("""
        CREATE TABLE goals (
            resource text CONSTRAINT pk_goals PRIMARY KEY,
            from_day date,
            set_by text,
            set_at timestamptz,
            paused_at timestamptz,
            paused_by text,
            pause_reason text,
            CONSTRAINT ck_goals_set_by_a_user CHECK (num_nulls(set_at, set_by) IN (0, 2)),
            CONSTRAINT ck_goals_day_is_set CHECK (from_day IS NULL OR set_at IS NOT NULL),
            CONSTRAINT ck_goals_paused_with_reason CHECK (num_nulls(paused_at, paused_by, pause_reason) IN (0, 3))
        )
    """)
    op.add_column("sync_slices", sa.Column("for_goal", sa.Boolean, nullable=False, server_default=sa.false()))
    _rank_claims("for_goal", "mode", "resource", "execution_id", "ordinal")
    op.create_index(
        "ix_sync_slices_failed_days",
        "sync_slices",
        ["resource", "criterio", "first_day"],
        postgresql_where=sa.text("mode = 'backfill' AND status = 'error'"),
    )
    op.create_index(
        "ix_sync_executions_goal",
        "sync_executions",
        ["resource", "id"],
        postgresql_where=sa.text("trigger = 'goal'"),
    )


def downgrade() -> None:
    """Remove them; what fills goals is a backfill like others then."""
    op.drop_index("ix_sync_executions_goal", "sync_executions")
    op.drop_index("ix_sync_slices_failed_days", "sync_slices")
    _rank_claims("mode", "resource", "execution_id", "ordinal")
    op.drop_column("sync_slices", "for_goal")
    op.execute("DROP TABLE goals")
