"""Executions and slices say what they do and what of, in parts where that is divided, and why they failed in a word."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WALL_CLOCK = sa.DateTime(timezone=False)

CAUSES = (
    "cause IN ('portal_down', 'no_answer', 'portal_refused', 'bad_answer', 'incomplete', 'database', 'internal',"
    " 'stalled', 'no_worker', 'publish_failed', 'cancelled', 'cut_off')"
)
CANCELLED, OLD_CANCELLED = "cause = 'cancelled'", "error_message LIKE 'cancelled by %'"
CHECKS = {
    "sync_executions": {
        "cause_of_error": "(status = 'error') = (cause IS NOT NULL)",
        "cancelled_by": "(cause IS NOT DISTINCT FROM 'cancelled') = (cancelled_by IS NOT NULL)",
    },
    "sync_slices": {"cause_of_error": "status <> 'error' OR cause IS NOT NULL"},
}

# The sentences that the releases before have written, of a slice or behind `N of M slices failed: `. The first that
# matches counts: some hold the portal's own words or another sentence.
CAUSE_OF_SENTENCE = r"""
    CASE WHEN {sentence} ~ '^(.* modalidade \d+: )?\d+ workers in a row ended without a page' THEN 'stalled'
         WHEN {sentence} ~ '^(.* modalidade \d+: )?database: ' THEN 'database'
         WHEN {sentence} ~ '(planning failed: |unexpected \w+$)' THEN 'internal'
         WHEN {sentence} ~ 'records of page \d+ could not be stored' THEN 'bad_answer'
         WHEN {sentence} ~ '(after \d+ readings$|pages in a row, down to |page 1 (still|now) promises )'
           OR {sentence} ~ '( page \d+ is not there|the listing is empty, and its records are known)' THEN 'incomplete'
         WHEN {sentence} ~ 'status 200 with a page in HTML' THEN 'portal_refused'
         WHEN {sentence} ~ '(status (400|404|408|425|429|5\d\d)| is paused \()' THEN 'no_answer'
         WHEN {sentence} ~ 'status [34]\d\d' THEN 'portal_refused'
         WHEN {sentence} ~ ': (\w*(Error|Timeout|Disconnected|Exceeded)\M)' THEN 'no_answer'
         WHEN {sentence} ~ '(not UTF-8|not JSON|not the expected shape|nested too deeply|too large to be mended)'
           OR {sentence} ~ '(are promised (on|and)|more than \d+ (objects|separators)|larger than \d+ bytes)'
           OR {sentence} ~ '(packed more than once)' THEN 'bad_answer'
         ELSE 'internal' END
"""
# A slice that has its execution's sentence has ended with it; a slice that failed by itself is named in that sentence.
FILL_SLICES = r"""
    UPDATE sync_slices s
       SET cause = CASE WHEN s.status = 'error' AND e.status = 'error'
                             AND (s.error_message IS NULL OR s.error_message = e.error_message) THEN 'cut_off'
                        WHEN s.error_message IS NULL THEN 'internal'
                        ELSE {cause} END,
           error_message = regexp_replace(s.error_message, '^\d{{4}}-\d\d-\d\d modalidade \d+: (database: )?', '')
      FROM sync_executions e
     WHERE e.id = s.execution_id AND (s.status = 'error' OR s.status <> 'success' AND s.error_message IS NOT NULL)
"""
FILL_EXECUTIONS = r"""
    UPDATE sync_executions e
       SET cause = CASE WHEN e.error_message LIKE 'cancelled by %' THEN 'cancelled'
                        WHEN e.error_message = 'no worker' THEN 'no_worker'
                        WHEN e.error_message LIKE 'Failed to publish to RabbitMQ%' THEN 'publish_failed'
                        WHEN e.error_message LIKE 'the portal has not answered since %' THEN 'portal_down'
                        ELSE coalesce((SELECT mode() WITHIN GROUP (ORDER BY cause) FROM sync_slices s
                                        WHERE s.execution_id = e.id AND s.status = 'error' AND s.cause <> 'cut_off'),
                                      {cause}) END,
           cancelled_by = substring(e.error_message FROM '^cancelled by (.*)$')
     WHERE e.status = 'error'
"""

KINDS = "kind IN ('sync', 'delivery', 'intake')"

# As in 0002, by kind and resource too.
COUNT = """
    CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO sync_execution_counts AS known
               ({key}, executions, records_processed, records_rejected, duration_seconds)
        SELECT {key}, sum(c.sign), sum(c.sign * c.records_processed),
               sum(c.sign * c.records_rejected), sum(c.sign * coalesce(c.duration_seconds, 0))
          FROM ({rows}) c
         GROUP BY {key}
        HAVING sum(c.sign) <> 0 OR sum(c.sign * c.records_processed) <> 0 OR sum(c.sign * c.records_rejected) <> 0
               OR sum(c.sign * coalesce(c.duration_seconds, 0)) <> 0
         ORDER BY {key}
        ON CONFLICT ({key}) DO UPDATE
           SET executions = known.executions + excluded.executions,
               records_processed = known.records_processed + excluded.records_processed,
               records_rejected = known.records_rejected + excluded.records_rejected,
               duration_seconds = known.duration_seconds + excluded.duration_seconds;
        RETURN NULL;
    END $$
"""
ROWS = {
    "insert": "SELECT *, 1 AS sign FROM new_rows",
    "update": "SELECT *, 1 AS sign FROM new_rows UNION ALL SELECT *, -1 AS sign FROM old_rows",
    "delete": "SELECT *, -1 AS sign FROM old_rows",
}
KEY, OLD_KEY = "kind, resource, mode, trigger, status", "mode, trigger, status"

# What the slices of the past have read, as `common/coverage.py` notes it of each slice that ends.
SEED_READ_DAYS = """
    INSERT INTO read_days (resource, criterio, part, day, began_at, complete_at, slice_id, execution_id, pages, records,
                           stored, total_registros)
    SELECT DISTINCT ON (resource, criterio, first_day, part)
           resource, criterio, part, first_day, started_at, finished_at, id, execution_id, pages_done,
           records_processed, max(records_inserted + records_updated) OVER (
               PARTITION BY resource, criterio, first_day, part), total_registros
      FROM sync_slices
     WHERE status = 'success' AND first_day = last_day AND finished_at IS NOT NULL
       AND window_start <= first_day AND window_end >= first_day + interval '1 day' - interval '1 second'
       AND started_at >= timezone('America/Sao_Paulo', first_day + interval '1 day')
     ORDER BY resource, criterio, first_day, part, id DESC
"""
# The first day that a sweep has asked for, of each part. One that was ended before it was planned asked for all parts.
SEED_SWEPT_FROM = """
    INSERT INTO swept_from (resource, criterio, part, day)
    WITH swept AS (
        SELECT s.resource, s.criterio, s.part, s.first_day AS day
          FROM sync_slices s JOIN sync_executions e ON e.id = s.execution_id WHERE e.trigger = 'sweep'
    ), unplanned AS (
        SELECT resource, criterio, CAST(window_start AS date) AS day
          FROM sync_executions WHERE trigger = 'sweep' AND planned_at IS NULL AND window_start IS NOT NULL
    ), asked AS (
        SELECT * FROM swept
         UNION ALL
        SELECT u.resource, u.criterio, p.part, u.day
          FROM unplanned u JOIN (SELECT DISTINCT resource, part FROM swept) p ON p.resource = u.resource
    )
    SELECT resource, criterio, part, min(day) FROM asked GROUP BY resource, criterio, part
"""


def _create_ledger() -> None:
    op.create_table(
        "read_days",
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("criterio", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("complete_at", MOMENT, nullable=False),
        sa.Column("slice_id", sa.BigInteger, nullable=False),
        sa.Column("execution_id", sa.BigInteger, nullable=False),
        sa.Column("pages", sa.Integer, nullable=False),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("stored", sa.Integer, nullable=False),
        sa.Column("total_registros", sa.BigInteger),
        sa.PrimaryKeyConstraint("resource", "criterio", "day", "part", name="pk_read_days"),
    )
    op.create_table(
        "swept_from",
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("criterio", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("resource", "criterio", "part", name="pk_swept_from"),
    )
    op.execute(SEED_READ_DAYS)
    op.execute(SEED_SWEPT_FROM)


# What is deleted is subtracted from the counts and added to those of what was deleted.
COUNT_DELETED = """
        INSERT INTO deleted_execution_counts AS known
               (kind, resource, mode, trigger, status, executions, records_processed, records_rejected,
                duration_seconds)
        SELECT c.kind, c.resource, c.mode, c.trigger, c.status, count(*), sum(c.records_processed),
               sum(c.records_rejected), sum(coalesce(c.duration_seconds, 0))
          FROM (SELECT kind, resource, mode, trigger,
                       CASE WHEN cause = 'cancelled' THEN 'cancelled' ELSE status END AS status,
                       records_processed, records_rejected, duration_seconds
                  FROM old_rows WHERE status <> 'running') c
         GROUP BY c.kind, c.resource, c.mode, c.trigger, c.status
         ORDER BY c.kind, c.resource, c.mode, c.trigger, c.status
        ON CONFLICT (kind, resource, mode, trigger, status) DO UPDATE
           SET executions = known.executions + excluded.executions,
               records_processed = known.records_processed + excluded.records_processed,
               records_rejected = known.records_rejected + excluded.records_rejected,
               duration_seconds = known.duration_seconds + excluded.duration_seconds;
        RETURN NULL;
"""


def _count_by(key: str) -> None:
    for event, rows in ROWS.items():
        op.execute(COUNT.format(function=f"count_sync_executions_{event}", rows=rows, key=key))


def upgrade() -> None:
    for table in ("sync_executions", "sync_slices"):
        op.add_column(table, sa.Column("kind", sa.Text, nullable=False, server_default="sync"))
        op.create_check_constraint("kind", table, KINDS)
    _add_causes()
    op.add_column("sync_executions", sa.Column("resource", sa.Text, nullable=False, server_default="contratacoes"))
    op.alter_column("sync_executions", "modalidades", new_column_name="parts")
    op.alter_column("sync_slices", "modalidade", new_column_name="part", server_default=sa.text("0"))
    op.alter_column("rejected_records", "modalidade", new_column_name="part")
    op.drop_index("ix_sync_slices_coverage", "sync_slices")
    op.create_index(
        "ix_sync_slices_coverage",
        "sync_slices",
        ["resource", "first_day", "part", "id"],
        postgresql_where=sa.text("criterio = 'publicacao'"),
    )

    op.add_column("sync_execution_counts", sa.Column("kind", sa.Text, nullable=False, server_default="sync"))
    op.add_column(
        "sync_execution_counts", sa.Column("resource", sa.Text, nullable=False, server_default="contratacoes")
    )
    op.drop_constraint("pk_sync_execution_counts", "sync_execution_counts")
    op.create_primary_key("pk_sync_execution_counts", "sync_execution_counts", KEY.split(", "))
    _count_by(KEY)
    # open episodes of overdue updates say of which resource
    op.execute("""
        UPDATE alerts SET details = details || jsonb_build_object('late', jsonb_build_array(jsonb_build_object(
               'resource', 'contratacoes', 'has_gap', coalesce(details -> 'has_gap', 'false'),
               'last_success_at', details -> 'last_success_at', 'updated_until', details -> 'updated_until')))
         WHERE kind = 'sync' AND resolved_at IS NULL AND details -> 'overdue' = 'true'
    """)
    _create_contratos()
    _create_ledger()
    _count_deleted()


def _count_deleted() -> None:
    op.create_table(
        "deleted_execution_counts",
        *[sa.Column(name, sa.Text, nullable=False) for name in KEY.split(", ")],
        sa.Column("executions", sa.BigInteger, nullable=False),
        sa.Column("records_processed", sa.BigInteger, nullable=False),
        sa.Column("records_rejected", sa.BigInteger, nullable=False),
        sa.Column("duration_seconds", sa.Numeric, nullable=False),
        sa.PrimaryKeyConstraint(*KEY.split(", "), name="pk_deleted_execution_counts"),
    )
    counted = COUNT.format(function="count_sync_executions_delete", rows=ROWS["delete"], key=KEY)
    op.execute(counted.replace("        RETURN NULL;\n", COUNT_DELETED))
    op.create_index(
        "ix_rejected_records_resolved_at",
        "rejected_records",
        ["resolved_at"],
        postgresql_where=sa.text("resolved_at IS NOT NULL"),
    )


def _add_causes() -> None:
    for table in ("sync_executions", "sync_slices"):
        op.add_column(table, sa.Column("cause", sa.Text))
        op.create_check_constraint("cause", table, CAUSES)
    op.add_column("sync_executions", sa.Column("cancelled_by", sa.Text))
    op.drop_index("ix_sync_executions_cancelled", "sync_executions")
    op.execute(FILL_SLICES.format(cause=CAUSE_OF_SENTENCE.format(sentence="s.error_message")))
    op.execute(FILL_EXECUTIONS.format(cause=CAUSE_OF_SENTENCE.format(sentence="coalesce(e.error_message, '')")))
    for table, checks in CHECKS.items():
        for name, check in checks.items():
            op.create_check_constraint(name, table, check)
    op.create_index(
        "ix_sync_executions_cancelled", "sync_executions", ["mode", "trigger"], postgresql_where=sa.text(CANCELLED)
    )


def _create_contratos() -> None:
    table = "contratos"
    op.create_table(
        table,
        sa.Column("numero_controle_pncp", sa.Text, nullable=False),
        sa.Column("data_publicacao_pncp", WALL_CLOCK, nullable=False),
        sa.Column("data_atualizacao", WALL_CLOCK, nullable=False),
        sa.Column("data_atualizacao_global", WALL_CLOCK, nullable=False),
        sa.Column("numero_controle_pncp_compra", sa.Text),
        sa.Column("numero_controle_pncp_ata", sa.Text),
        sa.Column("ano_contrato", sa.Integer),
        sa.Column("sequencial_contrato", sa.Integer),
        sa.Column("numero_contrato_empenho", sa.Text),
        sa.Column("numero_retificacao", sa.Integer),
        sa.Column("tipo_contrato_id", sa.Integer),
        sa.Column("tipo_contrato_nome", sa.Text),
        sa.Column("categoria_processo_id", sa.Integer),
        sa.Column("categoria_processo_nome", sa.Text),
        sa.Column("processo", sa.Text),
        sa.Column("objeto_contrato", sa.Text),
        sa.Column("informacao_complementar", sa.Text),
        sa.Column("receita", sa.Boolean),
        sa.Column("fruto_adesao", sa.Boolean),
        sa.Column("tem_remanejamento", sa.Boolean),
        sa.Column("emenda_parlamentar", sa.Boolean),
        sa.Column("data_assinatura", sa.Date),
        sa.Column("data_vigencia_inicio", sa.Date),
        sa.Column("data_vigencia_fim", sa.Date),
        sa.Column("valor_inicial", sa.Numeric),
        sa.Column("valor_parcela", sa.Numeric),
        sa.Column("valor_global", sa.Numeric),
        sa.Column("valor_acumulado", sa.Numeric),
        sa.Column("numero_parcelas", sa.Integer),
        sa.Column("tipo_pessoa", sa.Text),
        sa.Column("ni_fornecedor", sa.Text),
        sa.Column("nome_razao_social_fornecedor", sa.Text),
        sa.Column("codigo_pais_fornecedor", sa.Text),
        sa.Column("tipo_pessoa_sub_contratada", sa.Text),
        sa.Column("ni_fornecedor_sub_contratado", sa.Text),
        sa.Column("nome_fornecedor_sub_contratado", sa.Text),
        sa.Column("identificador_cipi", sa.Text),
        sa.Column("url_cipi", sa.Text),
        sa.Column("usuario_nome", sa.Text),
        sa.Column("orgao_entidade_cnpj", sa.Text),
        sa.Column("orgao_entidade_razao_social", sa.Text),
        sa.Column("orgao_entidade_poder_id", sa.Text),
        sa.Column("orgao_entidade_esfera_id", sa.Text),
        sa.Column("unidade_orgao_codigo_unidade", sa.Text),
        sa.Column("unidade_orgao_nome_unidade", sa.Text),
        sa.Column("unidade_orgao_codigo_ibge", sa.Text),
        sa.Column("unidade_orgao_municipio_nome", sa.Text),
        sa.Column("unidade_orgao_uf_sigla", sa.Text),
        sa.Column("unidade_orgao_uf_nome", sa.Text),
        sa.Column("orgao_sub_rogado_cnpj", sa.Text),
        sa.Column("orgao_sub_rogado_razao_social", sa.Text),
        sa.Column("orgao_sub_rogado_poder_id", sa.Text),
        sa.Column("orgao_sub_rogado_esfera_id", sa.Text),
        sa.Column("unidade_sub_rogada_codigo_unidade", sa.Text),
        sa.Column("unidade_sub_rogada_nome_unidade", sa.Text),
        sa.Column("unidade_sub_rogada_codigo_ibge", sa.Text),
        sa.Column("unidade_sub_rogada_municipio_nome", sa.Text),
        sa.Column("unidade_sub_rogada_uf_sigla", sa.Text),
        sa.Column("unidade_sub_rogada_uf_nome", sa.Text),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("numero_controle_pncp", name="pk_contratos"),
    )
    op.execute("ALTER TABLE contratos SET (toast_tuple_target = 8160)")  # as in 0003
    for columns in (
        ["data_publicacao_pncp"],
        ["data_atualizacao_global"],
        ["orgao_entidade_cnpj", "data_atualizacao_global"],
        ["numero_controle_pncp_compra"],
        ["ni_fornecedor"],
    ):
        op.create_index(f"ix_contratos_{columns[0]}", table, columns)


def downgrade() -> None:
    op.drop_table("swept_from")
    op.drop_table("read_days")
    op.drop_table("contratos")
    # what the release before knows nothing of would be counted as contratações
    op.execute("DELETE FROM sync_executions WHERE kind <> 'sync' OR resource <> 'contratacoes'")
    op.execute("DELETE FROM watermarks WHERE resource <> 'contratacoes'")
    op.execute("DELETE FROM sync_execution_counts WHERE kind <> 'sync' OR resource <> 'contratacoes'")
    op.drop_constraint("pk_sync_execution_counts", "sync_execution_counts")
    op.drop_column("sync_execution_counts", "resource")
    op.drop_column("sync_execution_counts", "kind")
    op.create_primary_key("pk_sync_execution_counts", "sync_execution_counts", OLD_KEY.split(", "))
    _count_by(OLD_KEY)
    op.drop_table("deleted_execution_counts")
    op.drop_index("ix_rejected_records_resolved_at", "rejected_records")

    op.drop_index("ix_sync_slices_coverage", "sync_slices")
    op.alter_column("rejected_records", "part", new_column_name="modalidade")
    op.alter_column("sync_slices", "part", new_column_name="modalidade", server_default=None)
    op.create_index(
        "ix_sync_slices_coverage",
        "sync_slices",
        ["first_day", "modalidade", "id"],
        postgresql_where=sa.text("criterio = 'publicacao'"),
    )
    op.alter_column("sync_executions", "parts", new_column_name="modalidades")
    op.drop_column("sync_executions", "resource")
    op.drop_index("ix_sync_executions_cancelled", "sync_executions")
    op.create_index(
        "ix_sync_executions_cancelled", "sync_executions", ["mode", "trigger"], postgresql_where=sa.text(OLD_CANCELLED)
    )
    for table, checks in CHECKS.items():
        for name in (*checks, "cause"):
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.drop_column("sync_executions", "cancelled_by")
    for table in ("sync_executions", "sync_slices"):
        op.drop_column(table, "cause")
        op.drop_constraint(op.f(f"ck_{table}_kind"), table)
        op.drop_column(table, "kind")
