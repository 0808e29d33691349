"""The first tables: executions, slices and pages; the mirror of contratações; rejected records and workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contratacoes",
        sa.Column("numero_controle_pncp", sa.Text(), nullable=False),
        sa.Column("data_publicacao_pncp", sa.DateTime(), nullable=False),
        sa.Column("data_atualizacao", sa.DateTime(), nullable=False),
        sa.Column("data_atualizacao_global", sa.DateTime(), nullable=False),
        sa.Column("data_inclusao", sa.DateTime(), nullable=True),
        sa.Column("data_abertura_proposta", sa.DateTime(), nullable=True),
        sa.Column("data_encerramento_proposta", sa.DateTime(), nullable=True),
        sa.Column("ano_compra", sa.Integer(), nullable=True),
        sa.Column("sequencial_compra", sa.Integer(), nullable=True),
        sa.Column("numero_compra", sa.Text(), nullable=True),
        sa.Column("processo", sa.Text(), nullable=True),
        sa.Column("objeto_compra", sa.Text(), nullable=True),
        sa.Column("informacao_complementar", sa.Text(), nullable=True),
        sa.Column("justificativa_presencial", sa.Text(), nullable=True),
        sa.Column("link_sistema_origem", sa.Text(), nullable=True),
        sa.Column("link_processo_eletronico", sa.Text(), nullable=True),
        sa.Column("modalidade_id", sa.Integer(), nullable=True),
        sa.Column("modalidade_nome", sa.Text(), nullable=True),
        sa.Column("modo_disputa_id", sa.Integer(), nullable=True),
        sa.Column("modo_disputa_nome", sa.Text(), nullable=True),
        sa.Column("situacao_compra_id", sa.Integer(), nullable=True),
        sa.Column("situacao_compra_nome", sa.Text(), nullable=True),
        sa.Column("tipo_instrumento_convocatorio_codigo", sa.Integer(), nullable=True),
        sa.Column("tipo_instrumento_convocatorio_nome", sa.Text(), nullable=True),
        sa.Column("srp", sa.Boolean(), nullable=True),
        sa.Column("emenda_parlamentar", sa.Boolean(), nullable=True),
        sa.Column("valor_total_estimado", sa.Numeric(), nullable=True),
        sa.Column("valor_total_homologado", sa.Numeric(), nullable=True),
        sa.Column("usuario_nome", sa.Text(), nullable=True),
        sa.Column("amparo_legal_codigo", sa.Integer(), nullable=True),
        sa.Column("amparo_legal_nome", sa.Text(), nullable=True),
        sa.Column("amparo_legal_descricao", sa.Text(), nullable=True),
        sa.Column("fontes_orcamentarias", JSONB(), nullable=True),
        sa.Column("orgao_entidade_cnpj", sa.Text(), nullable=True),
        sa.Column("orgao_entidade_razao_social", sa.Text(), nullable=True),
        sa.Column("orgao_entidade_poder_id", sa.Text(), nullable=True),
        sa.Column("orgao_entidade_esfera_id", sa.Text(), nullable=True),
        sa.Column("unidade_orgao_codigo_unidade", sa.Text(), nullable=True),
        sa.Column("unidade_orgao_nome_unidade", sa.Text(), nullable=True),
        sa.Column("unidade_orgao_codigo_ibge", sa.Text(), nullable=True),
        sa.Column("unidade_orgao_municipio_nome", sa.Text(), nullable=True),
        sa.Column("unidade_orgao_uf_sigla", sa.Text(), nullable=True),
        sa.Column("unidade_orgao_uf_nome", sa.Text(), nullable=True),
        sa.Column("orgao_sub_rogado_cnpj", sa.Text(), nullable=True),
        sa.Column("orgao_sub_rogado_razao_social", sa.Text(), nullable=True),
        sa.Column("orgao_sub_rogado_poder_id", sa.Text(), nullable=True),
        sa.Column("orgao_sub_rogado_esfera_id", sa.Text(), nullable=True),
        sa.Column("unidade_sub_rogada_codigo_unidade", sa.Text(), nullable=True),
        sa.Column("unidade_sub_rogada_nome_unidade", sa.Text(), nullable=True),
        sa.Column("unidade_sub_rogada_codigo_ibge", sa.Text(), nullable=True),
        sa.Column("unidade_sub_rogada_municipio_nome", sa.Text(), nullable=True),
        sa.Column("unidade_sub_rogada_uf_sigla", sa.Text(), nullable=True),
        sa.Column("unidade_sub_rogada_uf_nome", sa.Text(), nullable=True),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("itens_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("numero_controle_pncp", name=op.f("pk_contratacoes")),
    )
    op.create_index(
        "ix_contratacoes_data_atualizacao_global", "contratacoes", ["data_atualizacao_global"], unique=False
    )
    op.create_index(
        "ix_contratacoes_data_publicacao_pncp", "contratacoes", ["data_publicacao_pncp", "modalidade_id"], unique=False
    )
    op.create_index("ix_contratacoes_orgao_entidade_cnpj", "contratacoes", ["orgao_entidade_cnpj"], unique=False)
    op.create_table(
        "orgaos",
        sa.Column("cnpj", sa.Text(), nullable=False),
        sa.Column("razao_social", sa.Text(), nullable=True),
        sa.Column("poder_id", sa.Text(), nullable=True),
        sa.Column("esfera_id", sa.Text(), nullable=True),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("as_of", sa.DateTime(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("cnpj", name=op.f("pk_orgaos")),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("effective_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "num_nulls(paused_at, paused_by, pause_reason) IN (0, 3)", name=op.f("ck_schedules_paused_with_reason")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )
    op.create_table(
        "schedule_ticks",
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("execution_ids", sa.ARRAY(sa.BigInteger()), nullable=True),
        sa.Column("skipped_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule"], ["schedules.name"], name=op.f("fk_schedule_ticks_schedule_schedules"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("schedule", "due_at", name=op.f("pk_schedule_ticks")),
    )
    op.create_table(
        "source_pauses",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_pauses")),
    )
    op.create_table(
        "sync_executions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("criterio", sa.Text(), nullable=False),
        sa.Column("window_start", sa.DateTime(), nullable=True),
        sa.Column("window_end", sa.DateTime(), nullable=True),
        sa.Column("modalidades", sa.ARRAY(sa.Integer()), nullable=True),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("records_processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("records_rejected", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("duration_seconds", sa.Numeric(precision=10, scale=2), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("retry_of", sa.BigInteger(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'running') = (finished_at IS NULL)", name=op.f("ck_sync_executions_finished_when_ended")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_executions")),
        sa.ForeignKeyConstraint(
            ["retry_of"],
            ["sync_executions.id"],
            name=op.f("fk_sync_executions_retry_of_sync_executions"),
            ondelete="SET NULL",
        ),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_sync_executions_idempotency_key")),
        sa.UniqueConstraint("message_id", name=op.f("uq_sync_executions_message_id")),
    )
    op.create_index("idx_sync_executions_created_at", "sync_executions", ["created_at"], unique=False)
    op.create_index("idx_sync_executions_status", "sync_executions", ["status"], unique=False)
    op.create_table(
        "unidades",
        sa.Column("cnpj", sa.Text(), nullable=False),
        sa.Column("codigo_unidade", sa.Text(), nullable=False),
        sa.Column("nome_unidade", sa.Text(), nullable=True),
        sa.Column("codigo_ibge", sa.Text(), nullable=True),
        sa.Column("municipio_nome", sa.Text(), nullable=True),
        sa.Column("uf_sigla", sa.Text(), nullable=True),
        sa.Column("uf_nome", sa.Text(), nullable=True),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("as_of", sa.DateTime(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("cnpj", "codigo_unidade", name=op.f("pk_unidades")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "itens_contratacao",
        sa.Column("numero_controle_pncp", sa.Text(), nullable=False),
        sa.Column("numero_item", sa.Integer(), nullable=False),
        sa.Column("descricao", sa.Text(), nullable=True),
        sa.Column("material_ou_servico", sa.Text(), nullable=True),
        sa.Column("material_ou_servico_nome", sa.Text(), nullable=True),
        sa.Column("quantidade", sa.Numeric(), nullable=True),
        sa.Column("unidade_medida", sa.Text(), nullable=True),
        sa.Column("valor_unitario_estimado", sa.Numeric(), nullable=True),
        sa.Column("valor_total", sa.Numeric(), nullable=True),
        sa.Column("orcamento_sigiloso", sa.Boolean(), nullable=True),
        sa.Column("item_categoria_id", sa.Integer(), nullable=True),
        sa.Column("item_categoria_nome", sa.Text(), nullable=True),
        sa.Column("criterio_julgamento_id", sa.Integer(), nullable=True),
        sa.Column("criterio_julgamento_nome", sa.Text(), nullable=True),
        sa.Column("situacao_compra_item", sa.Integer(), nullable=True),
        sa.Column("situacao_compra_item_nome", sa.Text(), nullable=True),
        sa.Column("tipo_beneficio", sa.Integer(), nullable=True),
        sa.Column("tipo_beneficio_nome", sa.Text(), nullable=True),
        sa.Column("incentivo_produtivo_basico", sa.Boolean(), nullable=True),
        sa.Column("exigencia_conteudo_nacional", sa.Boolean(), nullable=True),
        sa.Column("tem_resultado", sa.Boolean(), nullable=True),
        sa.Column("imagem", sa.Integer(), nullable=True),
        sa.Column("informacao_complementar", sa.Text(), nullable=True),
        sa.Column("ncm_nbs_codigo", sa.Text(), nullable=True),
        sa.Column("ncm_nbs_descricao", sa.Text(), nullable=True),
        sa.Column("patrimonio", sa.Text(), nullable=True),
        sa.Column("codigo_registro_imobiliario", sa.Text(), nullable=True),
        sa.Column("aplicabilidade_margem_preferencia_normal", sa.Boolean(), nullable=True),
        sa.Column("aplicabilidade_margem_preferencia_adicional", sa.Boolean(), nullable=True),
        sa.Column("percentual_margem_preferencia_normal", sa.Numeric(), nullable=True),
        sa.Column("percentual_margem_preferencia_adicional", sa.Numeric(), nullable=True),
        sa.Column("tipo_margem_preferencia", JSONB(), nullable=True),
        sa.Column("catalogo", JSONB(), nullable=True),
        sa.Column("catalogo_codigo_item", sa.Text(), nullable=True),
        sa.Column("categoria_item_catalogo", JSONB(), nullable=True),
        sa.Column("data_inclusao", sa.DateTime(), nullable=True),
        sa.Column("data_atualizacao", sa.DateTime(), nullable=True),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["numero_controle_pncp"],
            ["contratacoes.numero_controle_pncp"],
            name=op.f("fk_itens_contratacao_numero_controle_pncp_contratacoes"),
            ondelete="CASCADE",
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("numero_controle_pncp", "numero_item", name=op.f("pk_itens_contratacao")),
    )
    op.create_table(
        "sync_slices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("criterio", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), server_default="contratacoes", nullable=False),
        sa.Column("modalidade", sa.Integer(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("window_start", sa.DateTime(), nullable=False),
        sa.Column("window_end", sa.DateTime(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stalls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reading", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("pages_total", sa.Integer(), nullable=True),
        sa.Column("pages_done", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("records_processed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("records_inserted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("records_updated", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("records_rejected", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("itens_written", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_registros", sa.BigInteger(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["sync_executions.id"],
            name=op.f("fk_sync_slices_execution_id_sync_executions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_slices")),
    )
    op.create_index(
        "ix_sync_slices_claim",
        "sync_slices",
        [sa.literal_column("(mode = 'backfill')"), "execution_id", "ordinal"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.create_index(
        "ix_sync_slices_unfinished",
        "sync_slices",
        ["execution_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.create_index(
        "ix_sync_slices_watermark",
        "sync_slices",
        ["modalidade", "window_end"],
        unique=False,
        postgresql_where=sa.text("mode = 'update' AND status = 'success'"),
    )
    op.create_index("uq_sync_slices_execution_id_ordinal", "sync_slices", ["execution_id", "ordinal"], unique=True)
    op.create_table(
        "rejected_records",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("slice_id", sa.BigInteger(), nullable=True),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("natural_key", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["sync_executions.id"],
            name=op.f("fk_rejected_records_execution_id_sync_executions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["slice_id"], ["sync_slices.id"], name=op.f("fk_rejected_records_slice_id_sync_slices"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_records")),
    )
    op.create_index(
        "uq_rejected_records_execution_id_payload_hash",
        "rejected_records",
        ["execution_id", "payload_hash"],
        unique=True,
    )
    op.create_table(
        "sync_pages",
        sa.Column("slice_id", sa.BigInteger(), nullable=False),
        sa.Column("reading", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("keys", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("processed", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("total_registros", sa.BigInteger(), nullable=False),
        sa.Column("total_paginas", sa.Integer(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["slice_id"], ["sync_slices.id"], name=op.f("fk_sync_pages_slice_id_sync_slices"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("slice_id", "reading", "page", name=op.f("pk_sync_pages")),
    )


def downgrade() -> None:
    op.drop_table("sync_pages")
    op.drop_index("uq_rejected_records_execution_id_payload_hash", table_name="rejected_records")
    op.drop_table("rejected_records")
    op.drop_index("uq_sync_slices_execution_id_ordinal", table_name="sync_slices")
    op.drop_index(
        "ix_sync_slices_watermark",
        table_name="sync_slices",
        postgresql_where=sa.text("mode = 'update' AND status = 'success'"),
    )
    op.drop_index(
        "ix_sync_slices_unfinished",
        table_name="sync_slices",
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.drop_index(
        "ix_sync_slices_claim", table_name="sync_slices", postgresql_where=sa.text("status IN ('pending', 'running')")
    )
    op.drop_table("sync_slices")
    op.drop_table("itens_contratacao")
    op.drop_table("workers")
    op.drop_table("unidades")
    op.drop_index("idx_sync_executions_status", table_name="sync_executions")
    op.drop_index("idx_sync_executions_created_at", table_name="sync_executions")
    op.drop_table("sync_executions")
    op.drop_table("source_pauses")
    op.drop_table("schedule_ticks")
    op.drop_table("schedules")
    op.drop_table("orgaos")
    op.drop_index("ix_contratacoes_orgao_entidade_cnpj", table_name="contratacoes")
    op.drop_index("ix_contratacoes_data_publicacao_pncp", table_name="contratacoes")
    op.drop_index("ix_contratacoes_data_atualizacao_global", table_name="contratacoes")
    op.drop_table("contratacoes")
