"""The feed of changes: what was inserted, altered or removed, written by triggers in the transaction that does it."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

MUDANCAS = "mudancas"
LABEL = "O que mudou, na ordem em que foi gravado"
MEANINGS = {
    "seq": "Número, crescente e com lacunas",
    "entidade": "Tabela do registro",
    "chave": "Chave do registro",
    "tipo": "inserido; alterado, se o payload mudou; ausente, se o portal não o lista mais, ou se a linha foi apagada;"
    " presente, se o portal o lista de novo",
    "quando": "Começo da transação que gravou",
    "campos": "De alterado: as chaves do payload que mudaram, com o valor de antes; nulo se não existiam",
}
NOTE = "Kept for `MUDANCAS_DAYS`. A row may become visible after one with a greater `seq`; `change_horizon` knows."

NEXT_HOLDS = """
    (next_xid <= CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
     OR next_xid > CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint))
"""
"""SQL: whether all changes up to `next_seq` of `change_horizon` are visible.

That number was the last that had been drawn when `next_xid` was the id of no transaction yet. So those that have drawn
it or an earlier one have smaller ids, and have ended if no transaction of a smaller id is under way; or the whole
database was restored on another server, which has not come to this id.
"""


def add_mudancas(metadata: sa.MetaData) -> None:
    """Add the table of changes."""
    sa.Table(
        MUDANCAS,
        metadata,
        sa.Column("seq", sa.BigInteger, sa.Identity(always=False), primary_key=True),
        sa.Column("entidade", sa.Text, nullable=False),
        sa.Column("chave", sa.Text, nullable=False),
        sa.Column("tipo", sa.Text, nullable=False),
        sa.Column("quando", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("campos", JSONB),
        # those of one record; of a first load, which inserts, it has nothing
        sa.Index(f"ix_{MUDANCAS}_chave", "chave", postgresql_where=sa.text("tipo <> 'inserido'")),
    )
