"""Texts are searched: a vector of the words of each row, and indexes for what leads a list. Rows are narrower.

Rows that are there get their words from the ingestors, in the background, and are narrower from then on: how a row is
laid out is decided when it is written. Indexes are made while others write, outside of a transaction: where that is cut
off, the same command goes on.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# ruff: noqa: S608  # all names in these statements stand here

# Each table with words, and the column by which those that are missing are made.
SEARCHED = {
    "contratacoes": "data_atualizacao",
    "contratos": "data_atualizacao",
    "atas": "data_atualizacao",
    "itens_contratacao": "created_at",
    "itens_pca": "created_at",
    "orgaos": "created_at",
    "unidades": "created_at",
    "fornecedores": "created_at",
}
NEW = {
    "contratacoes": [
        ["modalidade_id", "data_publicacao_pncp"],
        ["unidade_orgao_uf_sigla", "data_publicacao_pncp"],
        ["unidade_orgao_codigo_ibge", "data_publicacao_pncp"],
        ["data_encerramento_proposta"],
        ["updated_at"],
    ],
    "contratos": [
        ["unidade_orgao_uf_sigla", "data_publicacao_pncp"],
        ["unidade_orgao_codigo_ibge", "data_publicacao_pncp"],
        ["data_vigencia_fim", "numero_controle_pncp"],
        ["numero_controle_pncp_ata"],
        ["updated_at"],
    ],
    "atas": [["updated_at"]],
    "pcas": [["data_publicacao_pncp"], ["ano_pca", "data_publicacao_pncp"], ["updated_at"]],
    "instrumentos_cobranca": [["updated_at"]],
}
# Indexes that keep their names and get other columns: what they had, and what they have now.
CHANGED = {
    "contratacoes": [
        (["data_publicacao_pncp", "modalidade_id"], ["data_publicacao_pncp"]),
        (["orgao_entidade_cnpj", "data_atualizacao_global"], ["orgao_entidade_cnpj", "data_publicacao_pncp"]),
    ],
    "contratos": [
        (["orgao_entidade_cnpj", "data_atualizacao_global"], ["orgao_entidade_cnpj", "data_publicacao_pncp"]),
        (["ni_fornecedor"], ["ni_fornecedor", "data_publicacao_pncp"]),
    ],
    "atas": [
        (["data_publicacao_pncp"], ["data_publicacao_pncp", "numero_controle_pncp_ata"]),
        (["cnpj_orgao", "data_atualizacao_global"], ["cnpj_orgao", "data_publicacao_pncp"]),
        (["vigencia_fim"], ["vigencia_fim", "numero_controle_pncp_ata"]),
    ],
    "pcas": [
        (["orgao_entidade_cnpj", "data_atualizacao_global_pca"], ["orgao_entidade_cnpj", "data_publicacao_pncp"]),
    ],
}
# What an index did not hold before, and cannot where it is longer than a key may be. The payload keeps it.
NEWLY_INDEXED = {
    "contratacoes": ["unidade_orgao_uf_sigla", "unidade_orgao_codigo_ibge"],
    "contratos": ["unidade_orgao_uf_sigla", "unidade_orgao_codigo_ibge", "numero_controle_pncp_ata"],
}
LONGEST = 250
# Their payloads leave rows of more than 2 kB, as they are; words stay inside, since a search reads them.
NARROW = ("contratacoes", "contratos")


def _create_configuration() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS unaccent")
    op.execute("DROP TEXT SEARCH CONFIGURATION IF EXISTS pncp")
    op.execute("CREATE TEXT SEARCH CONFIGURATION pncp (COPY = simple)")
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION pncp"
        " ALTER MAPPING FOR word, numword, hword, numhword, hword_part, hword_numpart WITH unaccent, simple"
    )


@contextmanager
def _outside_of_a_transaction() -> Iterator[None]:
    """For indexes that are made while others write: it takes as long as it takes, and waits for old transactions."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        yield
        op.execute("RESET statement_timeout")
        op.execute("SET lock_timeout = '5s'")


IS_CUT_OFF = sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")


def _name(table: str, columns: list[str]) -> str:
    return f"ix_{table}_{columns[0]}"


def _create(name: str, table: str, columns: list[str], using: str | None = None, where: str | None = None) -> None:
    """Make an index; one that was cut off before is there and not valid."""
    if op.get_bind().execute(IS_CUT_OFF, {"name": name}).first() is not None:
        op.drop_index(name, table, postgresql_concurrently=True)
    op.create_index(
        name,
        table,
        columns,
        postgresql_using=using,
        postgresql_where=None if where is None else sa.text(where),
        postgresql_concurrently=True,
        if_not_exists=True,
    )


def _change(table: str, columns: list[str]) -> None:
    """Make an index anew with other columns; the old one serves until then."""
    name = _name(table, columns)
    _create(f"{name}_new", table, columns)
    op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
    op.execute(f"ALTER INDEX {name}_new RENAME TO {name}")


def upgrade() -> None:
    for table, names in NEWLY_INDEXED.items():
        for name in names:
            op.execute(f"UPDATE {table} SET {name} = NULL WHERE length({name}) > {LONGEST}")
    _create_configuration()
    for table in SEARCHED:  # the last step of a transaction, whose locks are short so
        op.add_column(table, sa.Column("busca", TSVECTOR), if_not_exists=True)
    for table in NARROW:
        op.execute(f"ALTER TABLE {table} RESET (toast_tuple_target)")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN payload SET STORAGE EXTERNAL")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN busca SET STORAGE MAIN")
    with _outside_of_a_transaction():
        for table, order in SEARCHED.items():
            _create(f"ix_{table}_busca", table, ["busca"], using="gin", where="busca IS NOT NULL")
            _create(f"ix_{table}_unsearched", table, [order], where="busca IS NULL")
        for table, indexes in NEW.items():
            for columns in indexes:
                _create(_name(table, columns), table, columns)
        for table, changes in CHANGED.items():
            for _, columns in changes:
                _change(table, columns)


def downgrade() -> None:
    with _outside_of_a_transaction():
        for table, changes in CHANGED.items():
            for columns, _ in changes:
                _change(table, columns)
    for table, indexes in NEW.items():
        for columns in indexes:
            op.drop_index(_name(table, columns), table)
    for table in SEARCHED:
        op.drop_column(table, "busca")  # with its indexes
    for table in NARROW:
        op.execute(f"ALTER TABLE {table} SET (toast_tuple_target = 8160)")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN payload SET STORAGE EXTENDED")
    # The extension stays: others may use it, and who made it may have been someone else.
    op.execute("DROP TEXT SEARCH CONFIGURATION pncp")
