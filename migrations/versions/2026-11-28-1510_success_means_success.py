"""What `success` rests on: watermarks, owed items, drift, the state of the source, patience by failures."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WALL_CLOCK = sa.DateTime(timezone=False)

# What the past has read of each listing of changes without a gap. Successful slices become islands: stretches in which
# each reading adjoins the ones before it. A hole between two islands counts as read where every one of its days was
# read whole by `publicacao` after the hole had ended: the mirror has been repaired there, and is not asked to read it
# again. The first stretch that an update has read begins the row: what lies beyond the first hole that was never read
# is taken in as soon as the next update has had it bridged.
SEED_WATERMARKS = """
    INSERT INTO watermarks (resource, part, since, reached)
    WITH readings AS (
        SELECT id, resource, modalidade, mode, window_start,
               LEAST(window_end, timezone('America/Sao_Paulo', started_at)) AS read_until
          FROM sync_slices WHERE criterio = 'atualizacao' AND status = 'success'
    ), begun AS (
        SELECT *, coalesce(window_start > max(read_until) OVER (PARTITION BY resource, modalidade
                                                                ORDER BY window_start, id
                                                                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                           + interval '1 second', true) AS begins
          FROM readings WHERE read_until >= window_start
    ), numbered AS (
        SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY resource, modalidade
                                                       ORDER BY window_start, id) AS island
          FROM begun
    ), islands AS (
        SELECT resource, modalidade, island, min(window_start) AS since, max(read_until) AS reached,
               bool_or(mode = 'update') AS is_updated
          FROM numbered GROUP BY resource, modalidade, island
    ), holes AS (
        SELECT *, lag(reached) OVER (PARTITION BY resource, modalidade ORDER BY island) AS hole_from FROM islands
    ), judged AS (
        SELECT *, hole_from IS NULL OR EXISTS (
               SELECT 1
                 FROM generate_series(CAST(hole_from AS date), CAST(since AS date), interval '1 day') AS days (day)
                WHERE NOT EXISTS (
                      SELECT 1 FROM sync_slices p
                       WHERE p.criterio = 'publicacao' AND p.status = 'success' AND p.resource = holes.resource
                         AND p.modalidade = holes.modalidade AND p.first_day = CAST(days.day AS date)
                         AND p.window_start <= days.day
                         AND p.window_end >= days.day + interval '1 day' - interval '1 second'
                         AND timezone('America/Sao_Paulo', p.started_at)
                             >= GREATEST(holes.since, days.day + interval '1 day'))) AS is_apart
          FROM holes
    ), stretched AS (
        SELECT *, count(*) FILTER (WHERE is_apart) OVER (PARTITION BY resource, modalidade ORDER BY island) AS stretch
          FROM judged
    ), stretches AS (
        SELECT resource, modalidade, min(since) AS since, max(reached) AS reached, bool_or(is_updated) AS is_updated
          FROM stretched GROUP BY resource, modalidade, stretch
    )
    SELECT DISTINCT ON (resource, modalidade) resource, modalidade, since, reached
      FROM stretches WHERE is_updated ORDER BY resource, modalidade, since
"""


def upgrade() -> None:
    op.add_column("sync_slices", sa.Column("failing_since", MOMENT))
    op.drop_column("sync_slices", "give_up_at")
    op.add_column("sync_slices", sa.Column("page_size", sa.Integer))
    op.add_column("sync_slices", sa.Column("empty_sights", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("sync_pages", sa.Column("records", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.create_index(
        "ix_sync_slices_touched",
        "sync_slices",
        ["execution_id"],
        postgresql_where=sa.text("started_at IS NOT NULL OR run_after IS NOT NULL OR status <> 'pending'"),
    )
    op.create_index(
        "ix_sync_executions_cancelled",
        "sync_executions",
        ["mode", "trigger"],
        postgresql_where=sa.text("error_message LIKE 'cancelled by %'"),
    )

    op.add_column("sync_pages", sa.Column("unfit", sa.Integer, nullable=False, server_default=sa.text("0")))
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
        "coalesced_keys",
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("request_digest", sa.Text, nullable=False),
        sa.Column("execution_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key", name="pk_coalesced_keys"),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["sync_executions.id"],
            name="fk_coalesced_keys_execution_id_sync_executions",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_coalesced_keys_execution_id", "coalesced_keys", ["execution_id"])
    op.create_table(
        "watermarks",
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("since", WALL_CLOCK, nullable=False),
        sa.Column("reached", WALL_CLOCK, nullable=False),
        sa.Column("complete_from", sa.Date),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("resource", "part", name="pk_watermarks"),
    )
    op.drop_index("ix_sync_slices_watermark", "sync_slices")
    op.create_index(
        "ix_sync_slices_watermark",
        "sync_slices",
        ["resource", "modalidade", "window_end", "window_start"],
        postgresql_where=sa.text("criterio = 'atualizacao' AND status = 'success'"),
    )
    op.execute(SEED_WATERMARKS)
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

    op.execute("DELETE FROM source_pauses")  # one row for both services; a pause of two minutes at most
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

    _keep_rejected_records_once()


def _keep_rejected_records_once() -> None:
    """Of the rows that executions made of one record, the last stays and says when the first was made."""
    table = "rejected_records"
    op.drop_constraint("fk_rejected_records_execution_id_sync_executions", table)
    op.drop_index("uq_rejected_records_execution_id_payload_hash", table_name=table)
    op.alter_column(table, "created_at", new_column_name="first_seen")
    op.add_column(table, sa.Column("last_seen", MOMENT, nullable=False, server_default=sa.text("now()")))
    op.add_column(table, sa.Column("times", sa.Integer, nullable=False, server_default=sa.text("1")))
    op.alter_column(table, "execution_id", nullable=True)
    op.execute("""
        WITH sights AS (
            SELECT max(id) AS last_id, min(first_seen) AS first_seen, max(first_seen) AS last_seen, count(*) AS times,
                   CASE WHEN bool_and(resolved_at IS NOT NULL) THEN max(resolved_at) END AS resolved_at
              FROM rejected_records GROUP BY payload_hash
        )
        UPDATE rejected_records r
           SET first_seen = s.first_seen, last_seen = s.last_seen, times = s.times, resolved_at = s.resolved_at
          FROM sights s WHERE r.id = s.last_id
    """)
    op.execute("""
        DELETE FROM rejected_records
         WHERE id NOT IN (SELECT max(id) FROM rejected_records GROUP BY payload_hash)
    """)
    op.create_unique_constraint("uq_rejected_records_payload_hash", table, ["payload_hash"])
    op.create_foreign_key(
        "fk_rejected_records_execution_id_sync_executions",
        table,
        "sync_executions",
        ["execution_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index("ix_rejected_records_execution_id", table, ["execution_id"])
    op.create_index("ix_rejected_records_slice_id", table, ["slice_id"])
    op.create_index(
        "ix_rejected_records_unresolved", table, ["natural_key"], postgresql_where=sa.text("resolved_at IS NULL")
    )
    op.add_column(table, sa.Column("day", sa.Date))
    op.add_column(table, sa.Column("modalidade", sa.Integer))
    op.execute("""
        UPDATE rejected_records r SET day = s.first_day, modalidade = s.modalidade
          FROM sync_slices s WHERE s.id = r.slice_id AND s.criterio = 'publicacao'
    """)
    op.create_index(
        "ix_rejected_records_day", table, ["day", "modalidade"], postgresql_where=sa.text("resolved_at IS NULL")
    )


def _keep_rejected_records_by_execution() -> None:
    table = "rejected_records"
    for name in ("day", "unresolved", "slice_id", "execution_id"):
        op.drop_index(f"ix_rejected_records_{name}", table_name=table)
    op.drop_column(table, "modalidade")
    op.drop_column(table, "day")
    op.drop_constraint("fk_rejected_records_execution_id_sync_executions", table)
    op.drop_constraint("uq_rejected_records_payload_hash", table)
    op.execute("DELETE FROM rejected_records WHERE execution_id IS NULL")
    op.alter_column(table, "execution_id", nullable=False)
    op.drop_column(table, "times")
    op.drop_column(table, "last_seen")
    op.alter_column(table, "first_seen", new_column_name="created_at")
    op.create_index(
        "uq_rejected_records_execution_id_payload_hash", table, ["execution_id", "payload_hash"], unique=True
    )
    op.create_foreign_key(
        "fk_rejected_records_execution_id_sync_executions",
        table,
        "sync_executions",
        ["execution_id"],
        ["id"],
        ondelete="CASCADE",
    )


def downgrade() -> None:
    _keep_rejected_records_by_execution()
    op.drop_column("sync_pages", "unfit")
    op.drop_table("itens_owed")
    op.drop_column("workers", "is_busy")
    op.drop_column("workers", "alive_until")
    for name in ("probing_until", "failing_since", "failures", "cause", "reason"):
        op.drop_column("source_pauses", name)
    op.drop_table("schema_drift")
    op.drop_index("ix_sync_slices_watermark", "sync_slices")
    op.create_index(
        "ix_sync_slices_watermark",
        "sync_slices",
        ["modalidade", "window_end"],
        postgresql_where=sa.text("mode = 'update' AND status = 'success'"),
    )
    op.drop_table("watermarks")
    op.drop_table("coalesced_keys")
    op.drop_table("sync_counted")
    op.drop_column("sync_pages", "records")
    op.drop_column("sync_slices", "empty_sights")
    op.drop_index("ix_sync_executions_cancelled", "sync_executions")
    op.drop_index("ix_sync_slices_touched", "sync_slices")
    op.drop_column("sync_slices", "page_size")
    op.drop_column("sync_slices", "failing_since")
    later = sa.text("now() + interval '1 day'")
    op.add_column("sync_slices", sa.Column("give_up_at", MOMENT, nullable=False, server_default=later))
    op.alter_column("sync_slices", "give_up_at", server_default=None)
