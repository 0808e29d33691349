"""The rollup and the feed of changes, both kept by triggers; the bytes of each table by day.

What is stored already is counted later, in steps, by an ingestor.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

# The columns of each table: the day, uf, esfera, modalidade, tipo, receita and plataforma, then valor_estimado,
# valor_homologado and valor_global; empty where a table has none.
ROLLUPS = {
    "contratacoes": (
        "data_publicacao_pncp",
        *("unidade_orgao_uf_sigla", "orgao_entidade_esfera_id", "modalidade_id", "", "", "usuario_nome"),
        *("valor_total_estimado", "valor_total_homologado", ""),
    ),
    "contratos": (
        "data_publicacao_pncp",
        *("unidade_orgao_uf_sigla", "orgao_entidade_esfera_id", "", "tipo_contrato_id", "receita", "usuario_nome"),
        *("", "", "valor_global"),
    ),
    "atas": ("data_publicacao_pncp", *("", "", "", "", "", "usuario"), *("", "", "")),
    "pcas": ("data_publicacao_pncp", *("", "", "", "", "", ""), *("", "", "")),
    "instrumentos_cobranca": (
        "data_inclusao",
        *("", "", "", "tipo_instrumento_cobranca_id", "", ""),
        *("", "", ""),
    ),
}
KEYS = {
    "contratacoes": "numero_controle_pncp",
    "contratos": "numero_controle_pncp",
    "atas": "numero_controle_pncp_ata",
    "pcas": "id_pca_pncp",
    "instrumentos_cobranca": "chave",
}

# An upsert fires the triggers of inserts and of updates, whether or not there are rows of either. Deltas are appended,
# so that transactions that write the same day neither wait for each other nor deadlock.
SUM_ROLLUP = """
    CREATE FUNCTION sum_rollup() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        names CONSTANT text[] := ARRAY['uf', 'esfera', 'modalidade', 'tipo', 'receita', 'plataforma',
                                       'valor_estimado', 'valor_homologado', 'valor_global'];
        kinds CONSTANT text[] := ARRAY['text', 'text', 'integer', 'integer', 'boolean', 'text',
                                       'numeric', 'numeric', 'numeric'];
        picked text := format('CAST(%I AS date) AS dia', TG_ARGV[0]);
        rows text;
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF NOT EXISTS (SELECT FROM old_rows) THEN RETURN NULL; END IF;
        ELSIF NOT EXISTS (SELECT FROM new_rows) THEN
            RETURN NULL;
        END IF;
        FOR place IN 1 .. cardinality(names) LOOP
            picked := picked || ', ' || CASE
                WHEN TG_ARGV[place] = '' THEN format('CAST(NULL AS %s)', kinds[place])
                WHEN kinds[place] = 'text' THEN format('left(%I, 100)', TG_ARGV[place])
                ELSE quote_ident(TG_ARGV[place]) END || ' AS ' || names[place];
        END LOOP;
        rows := CASE TG_OP
            WHEN 'INSERT' THEN format('SELECT 1 AS sign, %s FROM new_rows', picked)
            WHEN 'DELETE' THEN format('SELECT -1 AS sign, %s FROM old_rows', picked)
            ELSE format('SELECT 1 AS sign, %1$s FROM new_rows UNION ALL SELECT -1, %1$s FROM old_rows', picked) END;
        EXECUTE format($sql$
            INSERT INTO resumo_deltas (entidade, dia, uf, esfera, modalidade, tipo, receita, plataforma,
                                       n, valor_estimado, valor_homologado, valor_global)
            SELECT %L, dia, uf, esfera, modalidade, tipo, receita, plataforma,
                   sum(sign), sum(sign * valor_estimado), sum(sign * valor_homologado), sum(sign * valor_global)
              FROM (%s) changed
             GROUP BY dia, uf, esfera, modalidade, tipo, receita, plataforma
            HAVING sum(sign) <> 0 OR sum(sign * valor_estimado) <> 0 OR sum(sign * valor_homologado) <> 0
                   OR sum(sign * valor_global) <> 0
        $sql$, TG_TABLE_NAME, rows);
        RETURN NULL;
    END $$
"""
# Both versions are unpacked once, by a concatenation with nothing that OFFSET 0 keeps from being done for every key.
# The number of a change is drawn after its transaction has written, so has a transaction id: `change_horizon` needs it.
NOTE_CHANGES = """
    CREATE FUNCTION note_changes() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF EXISTS (SELECT FROM new_rows) THEN
                EXECUTE format('INSERT INTO mudancas (entidade, chave, tipo) SELECT %L, %I, ''inserido'' FROM new_rows',
                               TG_TABLE_NAME, TG_ARGV[0]);
            END IF;
        ELSIF TG_OP = 'DELETE' THEN
            IF EXISTS (SELECT FROM old_rows) THEN
                EXECUTE format('INSERT INTO mudancas (entidade, chave, tipo) SELECT %L, %I, ''ausente'' FROM old_rows',
                               TG_TABLE_NAME, TG_ARGV[0]);
            END IF;
        ELSIF EXISTS (SELECT FROM new_rows) THEN
            EXECUTE format($sql$
                INSERT INTO mudancas (entidade, chave, tipo, campos)
                SELECT %1$L, chave, 'alterado',
                       (SELECT jsonb_object_agg(name, was -> name)
                          FROM (SELECT jsonb_object_keys(was) AS name
                                 UNION ALL
                                SELECT name FROM jsonb_object_keys(became) name WHERE NOT was ? name) names
                         WHERE was -> name IS DISTINCT FROM became -> name)
                  FROM (SELECT n.%2$I AS chave, o.payload || '{}' AS was, n.payload || '{}' AS became
                          FROM new_rows n JOIN old_rows o ON o.%2$I = n.%2$I
                        OFFSET 0) versions
                 WHERE was <> became
            $sql$, TG_TABLE_NAME, TG_ARGV[0]);
        END IF;
        RETURN NULL;
    END $$
"""
# After the triggers, whose creation waits for all writers: they have missed nothing of an empty table.
OPEN_STATE = """
    INSERT INTO rollup_state (entidade, complete_at)
    SELECT '{table}', CASE WHEN NOT EXISTS (SELECT FROM {table}) THEN now() END
"""
REFERENCES = {
    "insert": "NEW TABLE AS new_rows",
    "update": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "OLD TABLE AS old_rows",
}


def _create_triggers() -> None:
    op.execute(SUM_ROLLUP)
    op.execute(NOTE_CHANGES)
    for table, key in KEYS.items():
        for function, arguments in (("sum_rollup", ROLLUPS[table]), ("note_changes", (key,))):
            handed = ", ".join(f"'{argument}'" for argument in arguments)
            for event, references in REFERENCES.items():
                op.execute(
                    f"CREATE TRIGGER {function}_{event} AFTER {event.upper()} ON {table} REFERENCING {references}"
                    f" FOR EACH STATEMENT EXECUTE FUNCTION {function}({handed})"
                )


def _by_day() -> list[sa.Column[object]]:
    return [
        sa.Column("entidade", sa.Text, nullable=False),
        sa.Column("dia", sa.Date),
        sa.Column("uf", sa.Text),
        sa.Column("esfera", sa.Text),
        sa.Column("modalidade", sa.Integer),
        sa.Column("tipo", sa.Integer),
        sa.Column("receita", sa.Boolean),
        sa.Column("plataforma", sa.Text),
        *_sums(),
    ]


def _sums() -> list[sa.Column[object]]:
    return [
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("valor_estimado", sa.Numeric),
        sa.Column("valor_homologado", sa.Numeric),
        sa.Column("valor_global", sa.Numeric),
    ]


def _create_resumo() -> None:
    op.create_table("resumo_deltas", *_by_day())
    op.create_table("resumo_diario", *_by_day())
    op.create_index(
        "uq_resumo_diario",
        "resumo_diario",
        ["entidade", "dia", "uf", "esfera", "modalidade", "tipo", "receita", "plataforma"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "resumo_mensal",
        sa.Column("entidade", sa.Text, nullable=False),
        sa.Column("dimensao", sa.Text, nullable=False),
        sa.Column("mes", sa.Date),
        sa.Column("valor", sa.Text),
        sa.Column("tipo", sa.Integer),
        sa.Column("receita", sa.Boolean),
        *_sums(),
    )
    op.create_index(
        "uq_resumo_mensal",
        "resumo_mensal",
        ["entidade", "dimensao", "mes", "valor", "tipo", "receita"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "rollup_state",
        sa.Column("entidade", sa.Text, nullable=False),
        sa.Column("counted_from", sa.Date),
        sa.Column("complete_at", MOMENT),
        sa.Column("verified_at", MOMENT),
        sa.Column("mismatches", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("entidade", name="pk_rollup_state"),
    )


def _create_changes() -> None:
    op.create_table(
        "mudancas",
        sa.Column("seq", sa.BigInteger, sa.Identity(always=False), nullable=False),
        sa.Column("entidade", sa.Text, nullable=False),
        sa.Column("chave", sa.Text, nullable=False),
        sa.Column("tipo", sa.Text, nullable=False),
        sa.Column("quando", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("campos", JSONB),
        sa.PrimaryKeyConstraint("seq", name="pk_mudancas"),
    )
    op.create_table(
        "change_horizon",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("next_seq", sa.BigInteger),
        sa.Column("next_xid", sa.BigInteger),
        sa.Column("deleted_to", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("id = 1", name="one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_change_horizon"),
    )


def upgrade() -> None:
    _create_resumo()
    _create_changes()
    op.create_table(
        "table_sizes",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("heap_bytes", sa.BigInteger, nullable=False),
        sa.Column("index_bytes", sa.BigInteger, nullable=False),
        sa.Column("toast_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "table_name", name="pk_table_sizes"),
    )
    _create_triggers()
    for table in KEYS:
        op.execute(OPEN_STATE.format(table=table))


def downgrade() -> None:
    for table in KEYS:
        for function in ("sum_rollup", "note_changes"):
            for event in REFERENCES:
                op.execute(f"DROP TRIGGER {function}_{event} ON {table}")
    op.execute("DROP FUNCTION sum_rollup()")
    op.execute("DROP FUNCTION note_changes()")
    for table in ("table_sizes", "change_horizon", "mudancas", "rollup_state", "resumo_mensal"):
        op.drop_table(table)
    for table in ("resumo_diario", "resumo_deltas"):
        op.drop_table(table)
