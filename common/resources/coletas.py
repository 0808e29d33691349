"""What was read of plans, kept as it was read (`coletas`), and their items by the names of demands (`demandas`).

Only where settings ask for it (`COLETAS_ENABLED`), as it doubles what is written. `demandas` is a view.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

COLETAS, PAGINAS, DEMANDAS = "coletas", "coleta_paginas", "demandas"

_MOMENT = sa.DateTime(timezone=True)
_NOW = sa.text("now()")

LABELS = {
    COLETAS: "O que uma execução leu dos planos de um ano",
    PAGINAS: "Páginas das coletas, cada uma um plano com seus itens, como foram lidos",
    DEMANDAS: "Itens dos planos, com outros nomes (visão)",
}
MEANINGS = {
    COLETAS: {
        "id": "Número da coleta",
        "fonte": "De onde veio: PNCP ou PGC",
        "data_coleta": "Quando começou",
        "ano_referencia": "Ano dos planos",
        "cnpj": "CNPJ do órgão a que se limitou; nulo: todos",
        "execution_id": "Execução que leu; fica depois que ela é apagada",
        "dados": "As páginas, enquanto não passam de 8 MB; as que faltam aqui estão em coleta_paginas",
        "status": "Como a execução terminou: success ou error; nulo enquanto não se sabe",
    },
    PAGINAS: {
        "id": "Ordem em que foram lidas",
        "coleta_id": "Coleta a que pertence",
        "id_pca_pncp": "Identificador do plano no PNCP",
        "bytes": "Tamanho em bytes",
        "dados": "O registro do plano (registro) e seus itens (itens); nulo: está em dados da coleta",
    },
    DEMANDAS: {
        "id_pca_pncp": "Identificador do plano no PNCP",
        "numero_item": "Número do item",
        "coleta_id": "A última coleta que leu o item; nulo se nenhuma foi guardada",
        "dfd": "Código da contratação futura",
        "descricao": "Descrição; na falta, o padrão descritivo, a contratação futura, a classe ou grupo",
        "valor": "Valor total",
        "data_inicio": "Data desejada",
        "data_fim": "Sempre nulo: o portal não diz",
        "status": "publicada: está no plano; desatualizada: o plano mudou, e os itens ainda serão lidos de novo",
    },
}
NOTES = {
    COLETAS: "Empty unless `COLETAS_ENABLED`; kept for `COLETAS_RETENTION_DAYS`.",
    DEMANDAS: "A view on `itens_pca`.",
}


def add_coletas(metadata: sa.MetaData) -> None:
    """Add the tables of what was read."""
    sa.Table(
        COLETAS,
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True),
        sa.Column(
            "fonte",
            sa.Text,
            sa.CheckConstraint("fonte IN ('PNCP', 'PGC')", name="fonte"),
            nullable=False,
            server_default="PNCP",
        ),
        sa.Column("data_coleta", _MOMENT, nullable=False, server_default=_NOW),
        sa.Column("ano_referencia", sa.Integer, nullable=False),
        sa.Column("cnpj", sa.Text),
        # no foreign key: a coleta may outlive its execution
        sa.Column("execution_id", sa.BigInteger, nullable=False),
        sa.Column("dados", JSONB),
        sa.Column("status", sa.Text, sa.CheckConstraint("status IN ('success', 'error')", name="status")),
        sa.Index(
            "uq_coletas_execution_id",
            "execution_id",
            "fonte",
            "ano_referencia",
            "cnpj",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        # what is old enough to be deleted
        sa.Index("ix_coletas_data_coleta", "data_coleta"),
        # what is to be settled when its execution has ended
        sa.Index("ix_coletas_unsettled", "id", postgresql_where=sa.text("status IS NULL")),
    )
    sa.Table(
        PAGINAS,
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True),
        sa.Column("coleta_id", sa.BigInteger, sa.ForeignKey(f"{COLETAS}.id", ondelete="CASCADE"), nullable=False),
        sa.Column("id_pca_pncp", sa.Text, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("dados", JSONB),
        sa.Index("ix_coleta_paginas_coleta_id", "coleta_id"),
        # the last coleta that has read a plan
        sa.Index("ix_coleta_paginas_id_pca_pncp", "id_pca_pncp", "coleta_id"),
    )


def demandas() -> sa.Table:
    """The view, as a table that no migration makes."""
    return sa.Table(
        DEMANDAS,
        sa.MetaData(),
        sa.Column("id_pca_pncp", sa.Text, primary_key=True),
        sa.Column("numero_item", sa.Integer, primary_key=True),
        sa.Column("coleta_id", sa.BigInteger),
        sa.Column("dfd", sa.Text),
        sa.Column("descricao", sa.Text),
        sa.Column("valor", sa.Numeric),
        sa.Column("data_inicio", sa.Date),
        sa.Column("data_fim", sa.Date),
        sa.Column("status", sa.Text, nullable=False),
    )
