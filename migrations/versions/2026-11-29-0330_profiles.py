"""What profiles add up stands in the indexes by which they find contratos, so that no row is visited."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ADDED_UP = ["unidade_orgao_uf_sigla", "valor_global", "receita", "data_vigencia_inicio", "data_vigencia_fim"]
COVERED = {
    "orgao_entidade_cnpj": [*ADDED_UP, "tipo_pessoa", "ni_fornecedor"],
    "ni_fornecedor": [*ADDED_UP, "tipo_pessoa", "orgao_entidade_cnpj"],
}
IS_CUT_OFF = sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")


@contextmanager
def _outside_of_a_transaction() -> Iterator[None]:
    """As long as it takes: others write meanwhile, and old transactions are waited for."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        yield
        op.execute("RESET statement_timeout")
        op.execute("SET lock_timeout = '5s'")


def _change(column: str, include: list[str]) -> None:
    """Make an index anew; the old one serves until then. One that was cut off is there and not valid."""
    name = f"ix_contratos_{column}"
    if op.get_bind().execute(IS_CUT_OFF, {"name": f"{name}_new"}).first() is not None:
        op.drop_index(f"{name}_new", "contratos", postgresql_concurrently=True)
    op.create_index(
        f"{name}_new",
        "contratos",
        [column, "data_publicacao_pncp"],
        postgresql_include=include,
        postgresql_concurrently=True,
        if_not_exists=True,
    )
    op.drop_index(name, "contratos", postgresql_concurrently=True, if_exists=True)
    op.execute(f"ALTER INDEX {name}_new RENAME TO {name}")


def upgrade() -> None:
    """Make both indexes anew, while others read and write."""
    with _outside_of_a_transaction():
        for column, include in COVERED.items():
            _change(column, include)


def downgrade() -> None:
    """Make them as they were."""
    with _outside_of_a_transaction():
        for column in COVERED:
            _change(column, [])
