"""Observability: counts of executions kept by triggers, the log of an execution, alerts, coverage by day.

And an index that finds an órgão's newest record.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A statement's rows are summed before the counts are touched, in the order of their key, so that two statements
# cannot wait for each other; an update that changes neither status nor figures, as most are, touches nothing.
COUNT = """
    CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO sync_execution_counts AS known
               (mode, trigger, status, executions, records_processed, records_rejected, duration_seconds)
        SELECT c.mode, c.trigger, c.status, sum(c.sign), sum(c.sign * c.records_processed),
               sum(c.sign * c.records_rejected), sum(c.sign * coalesce(c.duration_seconds, 0))
          FROM ({rows}) c
         GROUP BY c.mode, c.trigger, c.status
        HAVING sum(c.sign) <> 0 OR sum(c.sign * c.records_processed) <> 0 OR sum(c.sign * c.records_rejected) <> 0
               OR sum(c.sign * coalesce(c.duration_seconds, 0)) <> 0
         ORDER BY c.mode, c.trigger, c.status
        ON CONFLICT (mode, trigger, status) DO UPDATE
           SET executions = known.executions + excluded.executions,
               records_processed = known.records_processed + excluded.records_processed,
               records_rejected = known.records_rejected + excluded.records_rejected,
               duration_seconds = known.duration_seconds + excluded.duration_seconds;
        RETURN NULL;
    END $$
"""
NEW_ROWS = "SELECT *, 1 AS sign FROM new_rows"
OLD_ROWS = "SELECT *, -1 AS sign FROM old_rows"
REFERENCES_NEW = "NEW TABLE AS new_rows"
REFERENCES_OLD = "OLD TABLE AS old_rows"
EVENTS = {
    "INSERT": (NEW_ROWS, REFERENCES_NEW),
    "UPDATE": (f"{NEW_ROWS} UNION ALL {OLD_ROWS}", f"{REFERENCES_OLD} {REFERENCES_NEW}"),
    "DELETE": (OLD_ROWS, REFERENCES_OLD),
}


def upgrade() -> None:
    op.create_table(
        "sync_execution_counts",
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("executions", sa.BigInteger(), nullable=False),
        sa.Column("records_processed", sa.BigInteger(), nullable=False),
        sa.Column("records_rejected", sa.BigInteger(), nullable=False),
        sa.Column("duration_seconds", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("mode", "trigger", "status", name=op.f("pk_sync_execution_counts")),
    )
    for event, (rows, references) in EVENTS.items():
        function = f"count_sync_executions_{event.lower()}"
        op.execute(COUNT.format(function=function, rows=rows))
        op.execute(
            f"CREATE TRIGGER {function} AFTER {event} ON sync_executions REFERENCING {references} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
    # after the triggers, whose creation waits for all writers: no execution is missed
    op.execute("""
        INSERT INTO sync_execution_counts
        SELECT mode, trigger, status, count(*), sum(records_processed), sum(records_rejected),
               sum(coalesce(duration_seconds, 0))
          FROM sync_executions GROUP BY mode, trigger, status
    """)
    op.create_table(
        "execution_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("slice_id", sa.BigInteger(), nullable=True),
        sa.Column("logged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("fields", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution_log")),
    )
    op.create_index("ix_execution_log_execution_id_id", "execution_log", ["execution_id", "id"])
    op.create_index("ix_execution_log_logged_at", "execution_log", ["logged_at"])
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("details", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("deliveries", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notifications", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("delivery_error", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recovery_notified_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index("uq_alerts_open", "alerts", ["kind"], unique=True, postgresql_where=sa.text("resolved_at IS NULL"))
    op.create_index(
        "ix_sync_slices_coverage",
        "sync_slices",
        ["first_day", "modalidade", "id"],
        postgresql_where=sa.text("criterio = 'publicacao'"),
    )
    op.create_index(
        "ix_sync_executions_retry_of",
        "sync_executions",
        ["retry_of"],
        postgresql_where=sa.text("retry_of IS NOT NULL"),
    )
    op.drop_index("ix_contratacoes_orgao_entidade_cnpj", table_name="contratacoes")
    op.create_index(
        "ix_contratacoes_orgao_entidade_cnpj", "contratacoes", ["orgao_entidade_cnpj", "data_atualizacao_global"]
    )


def downgrade() -> None:
    op.drop_index(
        "ix_sync_executions_retry_of",
        table_name="sync_executions",
        postgresql_where=sa.text("retry_of IS NOT NULL"),
    )
    op.drop_index("ix_contratacoes_orgao_entidade_cnpj", table_name="contratacoes")
    op.create_index("ix_contratacoes_orgao_entidade_cnpj", "contratacoes", ["orgao_entidade_cnpj"])
    op.drop_index(
        "ix_sync_slices_coverage", table_name="sync_slices", postgresql_where=sa.text("criterio = 'publicacao'")
    )
    op.drop_table("alerts")
    op.drop_table("execution_log")
    for event in EVENTS:
        function = f"count_sync_executions_{event.lower()}"
        op.execute(f"DROP TRIGGER {function} ON sync_executions")
        op.execute(f"DROP FUNCTION {function}()")
    op.drop_table("sync_execution_counts")
